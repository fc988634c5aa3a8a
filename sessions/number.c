/* SPDX-License-Identifier: MIT */
#include "sessions/number.h"

#include "sessions/number_table.h"

#define DIGITS_MAX 15u
#define ZONE_DIGITS_MAX 9u /* of a prefix in the table */

static bool is_form(struct str s)
{
    if (s.n < 2 || s.n > 1 + DIGITS_MAX || s.p[0] != '+')
        return false;
    for (size_t i = 1; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    return true;
}

static unsigned state_next(const struct number_state *state, unsigned digit)
{
    unsigned at = state->exceptions;

    if (!(state->mask >> digit & 1u))
        return state->usual;
    for (unsigned d = 0; d < digit; d++)
        at += state->mask >> d & 1u;
    return number_exceptions[at];
}

enum number_kind number_kind_of(struct str number)
{
    unsigned at = number_first;

    if (!is_form(number))
        return NUMBER_UNASSIGNED;
    for (size_t i = 1; i < number.n; i++)
        at = state_next(&number_states[at], (unsigned)(number.p[i] - '0'));
    return (enum number_kind)number_states[at].kind;
}

/* The entry with exactly these digits, or NULL. No prefix begins with 0, so their value says it all. */
static const struct number_zone_prefix *prefix_find(uint32_t digits)
{
    unsigned low = 0, high = number_zone_prefixes_n;

    while (low < high) {
        unsigned mid = low + (high - low) / 2;

        if (number_zone_prefixes[mid].digits < digits)
            low = mid + 1;
        else
            high = mid;
    }
    return low < number_zone_prefixes_n && number_zone_prefixes[low].digits == digits
               ? &number_zone_prefixes[low]
               : NULL;
}

unsigned number_zones(struct str number, const char **names, unsigned cap)
{
    const struct number_zone_prefix *hit = NULL;
    uint32_t digits = 0;
    unsigned n = 0;

    if (!is_form(number) || number.p[1] == '0')
        return 0;
    for (size_t i = 1; i < number.n && i <= ZONE_DIGITS_MAX; i++) {
        const struct number_zone_prefix *longer;

        digits = digits * 10 + (uint32_t)(number.p[i] - '0');
        longer = prefix_find(digits);
        hit = longer ? longer : hit;
    }
    if (hit == NULL)
        return 0;
    for (unsigned i = number_zone_sets[hit->set]; i < number_zone_sets[hit->set + 1u] && n < cap; i++)
        names[n++] = number_zone_names[number_zone_members[i]];
    return n;
}

bool number_country_known(struct str country)
{
    for (const char *c = number_countries; *c && country.n == 2; c += 2)
        if (c[0] == country.p[0] && c[1] == country.p[1])
            return true;
    return false;
}
