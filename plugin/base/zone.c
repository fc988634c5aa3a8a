/* SPDX-License-Identifier: MIT */
#include "plugin/base/zone.h"

#define DAY_MIN (24 * 60)

/* "HH:MM"; -1 for anything else. */
static int clock_read(struct str s)
{
    uint64_t h, m;

    if (s.n != 5 || s.p[2] != ':' || !str_u64(str_head(s, 2), &h) || !str_u64(str_skip(s, 3), &m) ||
        h > 23 || m > 59)
        return -1;
    return (int)(h * 60 + m);
}

int zone_hours_read(struct zone_hours *out, struct str text)
{
    struct zone_hours h = {.set = true};

    *out = (struct zone_hours){0};
    if (text.n == 0)
        return 0;
    if (text.n != 11 || text.p[5] != '-')
        return ERR_INVALID;
    h.from_min = clock_read(str_head(text, 5));
    h.to_min = clock_read(str_skip(text, 6));
    /* From noon to noon could be all day or never: neither is guessed. */
    if (h.from_min < 0 || h.to_min < 0 || h.from_min == h.to_min)
        return ERR_INVALID;
    *out = h;
    return 0;
}

bool zone_hours_has(const struct zone_hours *h, int minute)
{
    int since = (minute - h->from_min + DAY_MIN) % DAY_MIN;

    return h->set && since < (h->to_min - h->from_min + DAY_MIN) % DAY_MIN;
}
