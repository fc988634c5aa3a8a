/* SPDX-License-Identifier: MIT */
#include "sessions/caller.h"

#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "plugin/base/phone.h"

#include <stdlib.h>
#include <string.h>

#define SIP_DECLINE 603
#define LIST_MAX 100000u /* of one list; what is above it is ignored, and counted */

struct entry {
    char number[PHONE_BYTES];
};

struct set { /* sorted */
    struct entry *v;
    unsigned n, cap;
};

struct caller_policy {
    bool whitelist_enabled, blacklist_enabled, unknown_allowed;
    bool anybody; /* "*" in allow_from */
    enum caller_dm_policy dm;
    struct set whitelist, blacklist, allow_from, paired, linked;
};

/* ---- sets ---- */

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->number, ((const struct entry *)b)->number);
}

static int set_open(struct set *set, size_t n)
{
    set->cap = n < LIST_MAX ? (unsigned)n : LIST_MAX;
    set->v = set->cap ? mem_alloc(set->cap * sizeof *set->v) : NULL;
    return set->cap && set->v == NULL ? ERR_NOMEM : 0;
}

static void set_add(struct set *set, struct str number, unsigned *ignored)
{
    /* phone_is_e164() bounds the length, so the copy fits. */
    if (set->n == set->cap || !phone_is_e164(number) ||
        !str_copy(set->v[set->n].number, sizeof set->v[set->n].number, number))
        (*ignored)++;
    else
        set->n++;
}

static void set_sort(struct set *set)
{
    if (set->n > 1)
        qsort(set->v, set->n, sizeof *set->v, compare);
}

static bool set_has(const struct set *set, struct str number)
{
    struct entry key;

    return set->n > 0 && number.n > 0 && str_copy(key.number, sizeof key.number, number) &&
           bsearch(&key, set->v, set->n, sizeof *set->v, compare) != NULL;
}

/* ---- making a policy ---- */

static int texts_take(struct set *set, const char *const *texts, unsigned n, unsigned *ignored)
{
    int rc = set_open(set, n);

    for (unsigned i = 0; rc == 0 && i < n; i++)
        set_add(set, str_of(texts[i]), ignored);
    set_sort(set);
    return rc;
}

/* anybody: where "*" is noted, or NULL for a list in which it means nothing. */
static int json_take(struct set *set, const struct json *gateway, const char *key, bool *anybody,
                     unsigned *ignored, struct err *e)
{
    const struct json *list = json_get(gateway, key);
    size_t n = 0;
    int rc;

    if (list == NULL)
        return 0;
    if (!json_is_array(list))
        return err_set(e, ERR_INVALID, "policy: %s is no list", key);
    for (const struct json *i = json_first(list); i; i = json_next(i))
        n++;
    rc = set_open(set, n);
    for (const struct json *i = json_first(list); rc == 0 && i; i = json_next(i)) {
        if (anybody && str_eq(json_str(i), STR("*")))
            *anybody = true;
        else
            set_add(set, json_str(i), ignored);
    }
    set_sort(set);
    return rc;
}

static int dm_take(enum caller_dm_policy *dm, const struct json *gateway, struct err *e)
{
    static const char *const names[] = {
        [CALLER_DM_PAIRING] = "pairing",
        [CALLER_DM_ALLOWLIST] = "allowlist",
        [CALLER_DM_OPEN] = "open",
        [CALLER_DM_DISABLED] = "disabled",
    };
    const struct json *node = json_get(gateway, "dm_policy");

    *dm = CALLER_DM_UNSET;
    if (node == NULL)
        return 0;
    for (unsigned i = CALLER_DM_PAIRING; i <= CALLER_DM_DISABLED; i++)
        if (str_eqc(json_str(node), names[i]))
            *dm = (enum caller_dm_policy)i;
    return *dm == CALLER_DM_UNSET ? err_set(e, ERR_INVALID, "policy: unknown dm_policy") : 0;
}

static int gateway_take(struct caller_policy *p, const struct json *gateway, unsigned *ignored,
                        struct err *e)
{
    int rc = dm_take(&p->dm, gateway, e);

    if (rc == 0)
        rc = json_take(&p->allow_from, gateway, "allow_from", &p->anybody, ignored, e);
    if (rc == 0)
        rc = json_take(&p->paired, gateway, "paired", NULL, ignored, e);
    if (rc == 0)
        rc = json_take(&p->linked, gateway, "linked", NULL, ignored, e);
    return rc;
}

int caller_policy_make(struct caller_policy **out, const struct caller_rules *rules,
                       const struct json *gateway, unsigned *ignored, struct err *e)
{
    struct caller_policy *p = MEM_NEW(struct caller_policy);
    unsigned skipped = 0;
    int rc;

    if (p == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    p->whitelist_enabled = rules->whitelist_enabled;
    p->blacklist_enabled = rules->blacklist_enabled;
    p->unknown_allowed = rules->unknown_allowed;
    rc = texts_take(&p->whitelist, rules->whitelist, rules->n_whitelist, &skipped);
    if (rc == 0)
        rc = texts_take(&p->blacklist, rules->blacklist, rules->n_blacklist, &skipped);
    if (rc == 0 && gateway)
        rc = gateway_take(p, gateway, &skipped, e);
    if (rc < 0) {
        caller_policy_free(p);
        return rc == ERR_NOMEM ? err_set(e, rc, "out of memory") : rc;
    }
    if (ignored)
        *ignored = skipped;
    *out = p;
    return 0;
}

void caller_policy_free(struct caller_policy *p)
{
    if (p == NULL)
        return;
    mem_free(p->whitelist.v);
    mem_free(p->blacklist.v);
    mem_free(p->allow_from.v);
    mem_free(p->paired.v);
    mem_free(p->linked.v);
    mem_free(p);
}

/* ---- the decision ---- */

static void accept(struct caller_verdict *out, const char *reason)
{
    out->accept = true;
    out->reason = reason;
}

static void refuse(struct caller_verdict *out, const char *reason)
{
    out->accept = false;
    out->sip_status = SIP_DECLINE;
    out->reason = reason;
}

static void decide_pairing(const struct caller_policy *p, struct str number,
                           struct caller_verdict *out)
{
    if (number.n == 0) {
        refuse(out, "number withheld, and dmPolicy is pairing");
    } else if (set_has(&p->allow_from, number)) {
        accept(out, "in allowFrom");
    } else if (set_has(&p->paired, number)) {
        accept(out, "paired");
    } else if (p->anybody) {
        accept(out, "allowFrom has *");
    } else {
        refuse(out, "not paired");
        out->may_pair = true;
    }
}

static void decide_allowlist(const struct caller_policy *p, struct str number,
                             struct caller_verdict *out)
{
    if (number.n == 0)
        refuse(out, "number withheld, and dmPolicy is allowlist");
    else if (set_has(&p->allow_from, number))
        accept(out, "in allowFrom");
    else if (p->anybody)
        accept(out, "allowFrom has *");
    else
        refuse(out, "not in allowFrom");
}

static void decide_open(const struct caller_policy *p, struct str number, struct caller_verdict *out)
{
    if (p->anybody)
        accept(out, "dmPolicy is open");
    else if (set_has(&p->allow_from, number))
        accept(out, "in allowFrom");
    else
        refuse(out, "dmPolicy is open, but allowFrom has no * and not this number");
}

static void decide_by_file(const struct caller_policy *p, struct str number,
                           struct caller_verdict *out)
{
    if (out->level >= CALLER_KNOWN)
        accept(out, "known number");
    else if (p->unknown_allowed)
        accept(out, number.n > 0 ? "unknown callers are allowed"
                                 : "number withheld, and unknown callers are allowed");
    else
        refuse(out, number.n > 0 ? "unknown callers are refused"
                                 : "number withheld, and unknown callers are refused");
}

void caller_decide(const struct caller_policy *p, struct str number, struct caller_verdict *out)
{
    *out = (struct caller_verdict){.level = CALLER_UNKNOWN};
    if (!phone_is_e164(number))
        number = STR("");
    if (set_has(&p->paired, number) || set_has(&p->linked, number))
        out->level = CALLER_LINKED;
    else if (set_has(&p->whitelist, number) || set_has(&p->allow_from, number))
        out->level = CALLER_KNOWN;
    if (p->blacklist_enabled && set_has(&p->blacklist, number)) {
        refuse(out, "blacklisted");
        return;
    }
    if (p->dm == CALLER_DM_DISABLED) {
        refuse(out, "dmPolicy is disabled");
        return;
    }
    if (p->whitelist_enabled && !set_has(&p->whitelist, number)) {
        refuse(out, "not in whitelist");
        return;
    }
    switch (p->dm) {
    case CALLER_DM_PAIRING: decide_pairing(p, number, out); return;
    case CALLER_DM_ALLOWLIST: decide_allowlist(p, number, out); return;
    case CALLER_DM_OPEN: decide_open(p, number, out); return;
    case CALLER_DM_DISABLED:
    case CALLER_DM_UNSET: break;
    }
    decide_by_file(p, number, out);
}

const char *caller_level_name(enum caller_level level)
{
    switch (level) {
    case CALLER_UNKNOWN: return "unknown";
    case CALLER_KNOWN: return "known";
    case CALLER_LINKED: return "linked";
    case CALLER_PROVEN: return "proven";
    }
    return "unknown";
}
