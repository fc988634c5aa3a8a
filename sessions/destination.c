/* SPDX-License-Identifier: MIT */
#include "sessions/destination.h"

#include "plugin/base/mem.h"
#include "sessions/number.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX 100000u
#define NAMES_SHOWN_BYTES 160u

struct prefix {
    char text[PHONE_BYTES]; /* "+49"; "" is "*" */
};

struct prefixes { /* sorted */
    struct prefix *v;
    unsigned n;
};

struct target {
    char *name;
    char number[PHONE_BYTES];
};

struct destination_policy {
    bool given;
    struct prefixes allow, deny, own;
    struct target *targets;
    unsigned n_targets;
};

/* ---- making a policy ---- */

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct prefix *)a)->text, ((const struct prefix *)b)->text);
}

static bool is_prefix(struct str s)
{
    if (s.n < 2 || s.n >= PHONE_BYTES || s.p[0] != '+' || s.p[1] == '0')
        return false;
    for (size_t i = 1; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    return true;
}

static int prefixes_take(struct prefixes *set, const char *const *texts, unsigned n, const char *what,
                         struct err *e)
{
    if (n > LIST_MAX)
        return err_set(e, ERR_INVALID, "%s: more than %u entries", what, LIST_MAX);
    set->v = n > 0 ? mem_alloc(n * sizeof *set->v) : NULL;
    if (n > 0 && set->v == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (; set->n < n; set->n++) {
        struct str s = str_of(texts[set->n]);

        if (!str_eq(s, STR("*")) && !is_prefix(s))
            return err_set(e, ERR_INVALID, "%s: %.*s is no prefix of E.164 numbers", what,
                           STR_ARG(str_head(s, 40)));
        (void)str_copy(set->v[set->n].text, sizeof set->v->text, str_eq(s, STR("*")) ? STR("") : s);
    }
    if (n > 1)
        qsort(set->v, n, sizeof *set->v, compare);
    return 0;
}

static int targets_take(struct destination_policy *p, const struct destination_rules *rules, struct err *e)
{
    if (rules->n_targets == 0)
        return 0;
    if (rules->n_targets > LIST_MAX)
        return err_set(e, ERR_INVALID, "transfer_targets: more than %u entries", LIST_MAX);
    p->targets = mem_zalloc(rules->n_targets * sizeof *p->targets);
    if (p->targets == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (; p->n_targets < rules->n_targets; p->n_targets++) {
        const struct destination_target *from = &rules->targets[p->n_targets];
        struct target *to = &p->targets[p->n_targets];

        if (!phone_is_e164(str_of(from->number)) || !str_copy(to->number, sizeof to->number, str_of(from->number)))
            return err_set(e, ERR_INVALID, "transfer_targets: the number of %.40s is no E.164 number", from->name);
        if (strlen(from->name) >= DESTINATION_NAME_BYTES)
            return err_set(e, ERR_INVALID, "transfer_targets: %.40s is longer than %u bytes", from->name,
                           DESTINATION_NAME_BYTES - 1);
        to->name = str_dup(str_of(from->name));
        if (to->name == NULL)
            return err_set(e, ERR_NOMEM, "out of memory");
    }
    return 0;
}

int destination_policy_make(struct destination_policy **out, const struct destination_rules *rules, struct err *e)
{
    struct destination_policy *p = MEM_NEW(struct destination_policy);
    int rc;

    if (p == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    p->given = rules->given;
    rc = prefixes_take(&p->allow, rules->allow, rules->n_allow, "destinations.allow", e);
    if (rc == 0)
        rc = prefixes_take(&p->deny, rules->deny, rules->n_deny, "destinations.deny", e);
    if (rc == 0)
        rc = prefixes_take(&p->own, rules->own, rules->n_own, "our own numbers", e);
    if (rc == 0)
        rc = targets_take(p, rules, e);
    if (rc < 0) {
        destination_policy_free(p);
        return rc;
    }
    *out = p;
    return 0;
}

void destination_policy_free(struct destination_policy *p)
{
    if (p == NULL)
        return;
    for (unsigned i = 0; i < p->n_targets; i++)
        mem_free(p->targets[i].name);
    mem_free(p->targets);
    mem_free(p->allow.v);
    mem_free(p->deny.v);
    mem_free(p->own.v);
    mem_free(p);
}

/* ---- the decision ---- */

__attribute__((format(printf, 3, 4))) static void refuse(struct destination_verdict *out, const char *reason,
                                                         const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(out->text, sizeof out->text, fmt, ap);
    va_end(ap);
    out->reason = reason;
}

static bool has(const struct prefixes *set, struct str text)
{
    struct prefix key;

    return set->n > 0 && str_copy(key.text, sizeof key.text, text) &&
           bsearch(&key, set->v, set->n, sizeof *set->v, compare) != NULL;
}

/* Length of the longest entry that number begins with, 0 for "*"; -1: none. */
static int longest(const struct prefixes *set, struct str number)
{
    for (size_t n = number.n; n >= 2; n--)
        if (has(set, str_head(number, n)))
            return (int)n;
    return has(set, STR("")) ? 0 : -1;
}

static bool is_target(const struct destination_policy *p, struct str number)
{
    for (unsigned i = 0; i < p->n_targets; i++)
        if (str_eqc(number, p->targets[i].number))
            return true;
    return false;
}

static bool is_linked(const char *const *linked, unsigned n, struct str number)
{
    for (unsigned i = 0; i < n; i++)
        if (str_eqc(number, linked[i]))
            return true;
    return false;
}

/* What no prefix opens. true: refused. */
static bool refuse_always(const struct destination_policy *p, struct str number, struct destination_verdict *out)
{
    enum number_kind kind = number_kind_of(number);
    const char *cure = "name exactly this number in security.voice.destinations.allow if it must be called";

    if (has(&p->allow, number))
        return false;
    switch (kind) {
    case NUMBER_EMERGENCY:
        refuse(out, "emergency", "%.*s is an emergency number; an assistant does not call those. If it is meant, "
                                 "%s", STR_ARG(number), cure);
        return true;
    case NUMBER_SHORT:
        if (!phone_is_e164(number))
            return false;
        refuse(out, "emergency", "%.*s is a short number of its country, which cannot be reached from abroad or "
                                 "costs extra; %s", STR_ARG(number), cure);
        return true;
    case NUMBER_PREMIUM:
        refuse(out, "premium", "%.*s is a premium-rate number; %s", STR_ARG(number), cure);
        return true;
    case NUMBER_SPECIAL:
        refuse(out, "premium", "%.*s belongs to a satellite or international network, which is as dear as premium "
                               "rate; %s", STR_ARG(number), cure);
        return true;
    case NUMBER_UNASSIGNED:
        refuse(out, "not_e164", "no country has the code that %.*s begins with; look the number up again",
               STR_ARG(number));
        return true;
    case NUMBER_PLAIN: break;
    }
    if (!has(&p->own, number))
        return false;
    refuse(out, "own_number", "%.*s is our own number: the assistant would call itself; %s", STR_ARG(number), cure);
    return true;
}

static void decide_by_lists(const struct destination_policy *p, struct str number, const char *const *linked,
                            unsigned n_linked, struct destination_verdict *out)
{
    bool exact = is_target(p, number) || (!p->given && is_linked(linked, n_linked, number));
    int allow = exact ? (int)number.n : longest(&p->allow, number);
    int deny = longest(&p->deny, number);

    if (deny >= 0 && deny >= allow)
        refuse(out, "denied", "%.*s is closed by \"%.*s\" in security.voice.destinations.deny; a longer entry in "
                              "allow, such as the whole number, opens it", STR_ARG(number),
               deny ? deny : 1, deny ? number.p : "*");
    else if (allow < 0)
        refuse(out, "not_allowed", p->given ? "%.*s fits no entry of security.voice.destinations.allow; add the "
                                              "number or a prefix of it there"
                                            : "only the owner's linked numbers may be called, and %.*s is none; "
                                              "link it, or add it to security.voice.destinations.allow",
               STR_ARG(number));
    else
        out->allow = true;
}

void destination_decide(const struct destination_policy *p, struct str number, const char *const *linked,
                        unsigned n_linked, struct destination_verdict *out)
{
    *out = (struct destination_verdict){.reason = "allowed"};
    /* An emergency number is called that, though it is too short for E.164. */
    if (is_prefix(number) && refuse_always(p, number, out))
        return;
    if (!phone_is_e164(number)) {
        refuse(out, "not_e164", "a number to call is written in E.164: +, country code, then digits alone, 7 to 15 "
                                "in all, such as +15551234567");
        return;
    }
    decide_by_lists(p, number, linked, n_linked, out);
    if (out->allow)
        (void)str_copy(out->number, sizeof out->number, number);
}

/* ---- transfer targets ---- */

static void refuse_name(const struct destination_policy *p, struct destination_verdict *out)
{
    char names[NAMES_SHOWN_BYTES] = "";
    size_t n = 0;

    for (unsigned i = 0; i < p->n_targets && n + strlen(p->targets[i].name) + 8 < sizeof names; i++)
        n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", i ? ", " : "", p->targets[i].name);
    if (p->n_targets == 0)
        refuse(out, "no_target", "nobody can be transferred to: security.voice.transfer_targets is empty; write "
                                 "names with their numbers there");
    else
        refuse(out, "no_target", "there is no transfer target of that name; there is: %s", names);
}

void destination_target_decide(const struct destination_policy *p, struct str name, const char *const *linked,
                               unsigned n_linked, struct destination_verdict *out)
{
    *out = (struct destination_verdict){.reason = "allowed"};
    name = str_trim(name);
    for (unsigned i = 0; i < p->n_targets; i++) {
        if (!str_ieq(str_of(p->targets[i].name), name))
            continue;
        destination_decide(p, str_of(p->targets[i].number), linked, n_linked, out);
        if (out->allow)
            (void)str_copy(out->name, sizeof out->name, str_of(p->targets[i].name));
        return;
    }
    refuse_name(p, out);
}
