/* SPDX-License-Identifier: MIT */
#include "plugin/base/buf.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "sessions/caller.h"
#include "tests/unit/t.h"

#define N "+15551234567"
#define OTHER "+4930123456"

static struct caller_policy *policy(const struct caller_rules *rules, const char *gateway,
                                    unsigned *ignored)
{
    struct caller_policy *p = NULL;
    struct json *json = NULL;
    struct err e = {0};

    T_MUST(gateway == NULL || json_parse(&json, str_of(gateway), &e) == 0);
    if (caller_policy_make(&p, rules, json, ignored, &e) < 0)
        T_FAIL("%s", e.text);
    json_free(json);
    T_MUST(p);
    return p;
}

/* ---- the table written by hand: what the documentation says, case by case ---- */

struct row {
    const char *dm;      /* NULL: unset */
    const char *allow;   /* JSON list */
    const char *paired, *linked;
    unsigned file;       /* bits of what the file says */
    const char *number;
    bool accept, may_pair;
    enum caller_level level;
    const char *reason;
};

enum { WL_ON = 1, WL_HAS = 2, BL_ON = 4, BL_HAS = 8, ALLOW = 16 };

static const char withheld[] = "";

static const struct row rows[] = {
    /* no dmPolicy: unknown_caller_policy */
    {NULL, "[]", "[]", "[]", ALLOW, N, true, false, CALLER_UNKNOWN, "unknown callers are allowed"},
    {NULL, "[]", "[]", "[]", 0, N, false, false, CALLER_UNKNOWN, "unknown callers are refused"},
    {NULL, "[]", "[]", "[]", WL_HAS, N, true, false, CALLER_KNOWN, "known number"},
    {NULL, "[\"" N "\"]", "[]", "[]", 0, N, true, false, CALLER_KNOWN, "known number"},
    {NULL, "[]", "[\"" N "\"]", "[]", 0, N, true, false, CALLER_LINKED, "known number"},
    {NULL, "[]", "[]", "[\"" N "\"]", 0, N, true, false, CALLER_LINKED, "known number"},
    {NULL, "[\"*\"]", "[]", "[]", 0, N, false, false, CALLER_UNKNOWN, "unknown callers are refused"},
    {NULL, "[]", "[]", "[]", ALLOW, withheld, true, false, CALLER_UNKNOWN, "number withheld, and unknown callers are allowed"},
    {NULL, "[]", "[]", "[]", 0, withheld, false, false, CALLER_UNKNOWN, "number withheld, and unknown callers are refused"},
    /* the file's lists come first */
    {NULL, "[\"" N "\"]", "[\"" N "\"]", "[\"" N "\"]", BL_ON | BL_HAS | WL_HAS | ALLOW, N, false, false, CALLER_LINKED, "blacklisted"},
    {NULL, "[]", "[]", "[]", BL_HAS | ALLOW, N, true, false, CALLER_UNKNOWN, "unknown callers are allowed"},
    {NULL, "[]", "[]", "[]", WL_ON | ALLOW, N, false, false, CALLER_UNKNOWN, "not in whitelist"},
    {NULL, "[\"" N "\"]", "[]", "[]", WL_ON | ALLOW, N, false, false, CALLER_KNOWN, "not in whitelist"},
    {NULL, "[]", "[]", "[]", WL_ON | WL_HAS, N, true, false, CALLER_KNOWN, "known number"},
    {NULL, "[]", "[]", "[]", WL_ON | ALLOW, withheld, false, false, CALLER_UNKNOWN, "not in whitelist"},
    {"open", "[\"*\"]", "[]", "[]", WL_ON | ALLOW, N, false, false, CALLER_UNKNOWN, "not in whitelist"},
    {"open", "[\"*\"]", "[]", "[]", BL_ON | BL_HAS, N, false, false, CALLER_UNKNOWN, "blacklisted"},
    {"pairing", "[]", "[\"" N "\"]", "[]", BL_ON | BL_HAS, N, false, false, CALLER_LINKED, "blacklisted"},
    {"pairing", "[]", "[]", "[]", WL_ON, N, false, false, CALLER_UNKNOWN, "not in whitelist"},
    /* pairing */
    {"pairing", "[]", "[]", "[]", ALLOW, N, false, true, CALLER_UNKNOWN, "not paired"},
    {"pairing", "[\"" N "\"]", "[]", "[]", 0, N, true, false, CALLER_KNOWN, "in allowFrom"},
    {"pairing", "[]", "[\"" N "\"]", "[]", 0, N, true, false, CALLER_LINKED, "paired"},
    {"pairing", "[\"*\"]", "[]", "[]", 0, N, true, false, CALLER_UNKNOWN, "allowFrom has *"},
    {"pairing", "[]", "[]", "[\"" N "\"]", ALLOW, N, false, true, CALLER_LINKED, "not paired"},
    {"pairing", "[]", "[]", "[]", WL_HAS | ALLOW, N, false, true, CALLER_KNOWN, "not paired"},
    {"pairing", "[]", "[]", "[]", WL_ON | WL_HAS, N, false, true, CALLER_KNOWN, "not paired"},
    {"pairing", "[\"*\"]", "[]", "[]", ALLOW, withheld, false, false, CALLER_UNKNOWN, "number withheld, and dmPolicy is pairing"},
    /* allowlist: the pairing store does not count */
    {"allowlist", "[\"" N "\"]", "[]", "[]", 0, N, true, false, CALLER_KNOWN, "in allowFrom"},
    {"allowlist", "[]", "[\"" N "\"]", "[]", ALLOW, N, false, false, CALLER_LINKED, "not in allowFrom"},
    {"allowlist", "[\"" OTHER "\"]", "[]", "[]", ALLOW, N, false, false, CALLER_UNKNOWN, "not in allowFrom"},
    {"allowlist", "[\"*\"]", "[]", "[]", 0, N, true, false, CALLER_UNKNOWN, "allowFrom has *"},
    {"allowlist", "[\"*\"]", "[]", "[]", ALLOW, withheld, false, false, CALLER_UNKNOWN, "number withheld, and dmPolicy is allowlist"},
    /* open needs its "*" */
    {"open", "[\"*\"]", "[]", "[]", 0, N, true, false, CALLER_UNKNOWN, "dmPolicy is open"},
    {"open", "[\"*\",\"" N "\"]", "[]", "[]", 0, N, true, false, CALLER_KNOWN, "dmPolicy is open"},
    {"open", "[\"*\"]", "[]", "[]", 0, withheld, true, false, CALLER_UNKNOWN, "dmPolicy is open"},
    {"open", "[\"" N "\"]", "[]", "[]", 0, N, true, false, CALLER_KNOWN, "in allowFrom"},
    {"open", "[]", "[\"" N "\"]", "[]", ALLOW, N, false, false, CALLER_LINKED, "dmPolicy is open, but allowFrom has no * and not this number"},
    {"open", "[]", "[]", "[]", ALLOW, withheld, false, false, CALLER_UNKNOWN, "dmPolicy is open, but allowFrom has no * and not this number"},
    /* disabled */
    {"disabled", "[\"*\",\"" N "\"]", "[\"" N "\"]", "[]", ALLOW | WL_HAS, N, false, false, CALLER_LINKED, "dmPolicy is disabled"},
    {"disabled", "[\"*\"]", "[]", "[]", ALLOW, withheld, false, false, CALLER_UNKNOWN, "dmPolicy is disabled"},
};

static struct caller_verdict decide(const struct row *row)
{
    static const char *const own[] = {N};
    struct caller_rules rules = {
        .whitelist_enabled = row->file & WL_ON,
        .blacklist_enabled = row->file & BL_ON,
        .unknown_allowed = row->file & ALLOW,
        .whitelist = own, .n_whitelist = row->file & WL_HAS ? 1 : 0,
        .blacklist = own, .n_blacklist = row->file & BL_HAS ? 1 : 0,
    };
    char gateway[300];
    struct caller_verdict v;
    struct caller_policy *p;

    (void)snprintf(gateway, sizeof gateway,
                   "{\"dm_policy\":%s%s%s,\"allow_from\":%s,\"paired\":%s,\"linked\":%s}",
                   row->dm ? "\"" : "", row->dm ? row->dm : "null", row->dm ? "\"" : "", row->allow,
                   row->paired, row->linked);
    p = policy(&rules, gateway, NULL);
    caller_decide(p, str_of(row->number), &v);
    caller_policy_free(p);
    return v;
}

static void by_the_table(void)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct caller_verdict v = decide(&rows[i]);

        if (v.accept != rows[i].accept || v.may_pair != rows[i].may_pair || v.level != rows[i].level)
            T_FAIL("row %zu: accept %d, may_pair %d, level %s", i, v.accept, v.may_pair,
                   caller_level_name(v.level));
        T_STR_EQ(v.reason, rows[i].reason);
        T_EQ(v.sip_status, v.accept ? 0 : 603);
    }
}

/* ---- all combinations against the rules said another way ---- */

struct world {
    unsigned dm; /* 0 unset, pairing, allowlist, open, disabled */
    bool wl_on, wl, bl_on, bl, allow, listed, star, paired, linked, hidden;
};

static bool may_pass(const struct world *w)
{
    bool known = !w->hidden && (w->wl || w->listed || w->paired || w->linked);
    bool listed = !w->hidden && w->listed, paired = !w->hidden && w->paired;

    if ((w->bl_on && w->bl && !w->hidden) || w->dm == 4)
        return false;
    if (w->wl_on && (!w->wl || w->hidden))
        return false;
    if (w->dm == 0)
        return known || w->allow;
    if (w->dm == 1)
        return listed || paired || (w->star && !w->hidden);
    if (w->dm == 2)
        return listed || (w->star && !w->hidden);
    return w->star || listed;
}

static void by_all_combinations(void)
{
    static const char *const names[] = {NULL, "pairing", "allowlist", "open", "disabled"};
    unsigned seen = 0;

    for (unsigned i = 0; i < 5u << 10; i++) {
        struct world w = {i >> 10, i & 1, i & 2, i & 4, i & 8, i & 16, i & 32, i & 64, i & 128,
                          i & 256, i & 512};
        struct row row = {
            .dm = names[w.dm],
            .allow = w.listed ? (w.star ? "[\"" N "\",\"*\"]" : "[\"" OTHER "\",\"" N "\"]")
                              : (w.star ? "[\"*\"]" : "[]"),
            .paired = w.paired ? "[\"" N "\"]" : "[\"" OTHER "\"]",
            .linked = w.linked ? "[\"" N "\"]" : "[]",
            .file = (w.wl_on ? WL_ON : 0u) | (w.wl ? WL_HAS : 0u) | (w.bl_on ? BL_ON : 0u) |
                    (w.bl ? BL_HAS : 0u) | (w.allow ? ALLOW : 0u),
            .number = w.hidden ? "" : N,
        };
        struct caller_verdict v = decide(&row);
        enum caller_level level = w.hidden                ? CALLER_UNKNOWN
                                  : w.paired || w.linked  ? CALLER_LINKED
                                  : w.wl || w.listed      ? CALLER_KNOWN : CALLER_UNKNOWN;

        if (v.accept != may_pass(&w))
            T_FAIL("combination %u: accept %d, %s", i, v.accept, v.reason);
        if (v.level != level)
            T_FAIL("combination %u: level %s", i, caller_level_name(v.level));
        /* Pairing is offered to a number refused for nothing else. */
        if (v.may_pair != (w.dm == 1 && !v.accept && !w.hidden && !(w.bl_on && w.bl) &&
                           !(w.wl_on && !w.wl)))
            T_FAIL("combination %u: may_pair %d", i, v.may_pair);
        seen++;
    }
    T_EQ(seen, 5120);
}

/* ---- numbers ---- */

static void exact_numbers(void)
{
    static const char *const lists[] = {"+15551234567", "15551234567", "+1 555 123 4567",
                                        "tel:+15551234567", "anonymous", "", "+0123456789"};
    static const struct {
        const char *number;
        enum caller_level level;
    } calls[] = {
        {"+15551234567", CALLER_KNOWN},
        {"+1555123456", CALLER_UNKNOWN},
        {"+155512345678", CALLER_UNKNOWN},
        {"15551234567", CALLER_UNKNOWN},
        {"+1 555 123 4567", CALLER_UNKNOWN},
        {"tel:+15551234567", CALLER_UNKNOWN},
        {"+15551234567;ext=1", CALLER_UNKNOWN},
        {"anonymous", CALLER_UNKNOWN},
        {"", CALLER_UNKNOWN},
        {"*", CALLER_UNKNOWN},
        {"+0123456789", CALLER_UNKNOWN},
    };
    struct caller_rules rules = {.unknown_allowed = true, .whitelist = lists, .n_whitelist = 7,
                                 .blacklist_enabled = true, .blacklist = lists + 1, .n_blacklist = 6};
    unsigned ignored = 0;
    struct caller_policy *p = policy(&rules, NULL, &ignored);

    T_EQ(ignored, 12);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        struct caller_verdict v;

        caller_decide(p, str_of(calls[i].number), &v);
        T_EQ(v.level, calls[i].level);
        T_TRUE(v.accept); /* no malformed entry of a blacklist ever matches */
    }
    caller_policy_free(p);
}

static void star_is_no_number(void)
{
    struct caller_rules rules = {0};
    unsigned ignored = 0;
    struct caller_verdict v;
    struct caller_policy *p = policy(&rules, "{\"dm_policy\":\"open\",\"allow_from\":[5,null,\"x\"],"
                                             "\"paired\":[\"*\"],\"linked\":[\"*\"]}", &ignored);

    T_EQ(ignored, 5);
    caller_decide(p, STR(N), &v);
    T_FALSE(v.accept);
    T_EQ(v.level, CALLER_UNKNOWN);
    caller_policy_free(p);
}

static void many_numbers(void)
{
    struct caller_rules rules = {0};
    struct buf b;
    struct caller_policy *p;
    char number[24];
    struct caller_verdict v;

    buf_init(&b, 1u << 20);
    (void)buf_puts(&b, STR("{\"allow_from\":["));
    for (int i = 4999; i >= 0; i--)
        (void)buf_printf(&b, "\"+1555%07d\"%s", i * 2, i ? "," : "]}");
    p = policy(&rules, buf_cstr(&b), NULL);
    for (int i = 0; i < 10000; i++) {
        (void)snprintf(number, sizeof number, "+1555%07d", i);
        caller_decide(p, str_of(number), &v);
        if (v.level != (i % 2 ? CALLER_UNKNOWN : CALLER_KNOWN))
            T_FAIL("%s is %s", number, caller_level_name(v.level));
    }
    caller_policy_free(p);
    buf_free(&b);
}

static void malformed_policies(void)
{
    static const char *const bad[] = {"{\"dm_policy\":\"closed\"}", "{\"dm_policy\":5}",
                                      "{\"dm_policy\":\"\"}", "{\"allow_from\":\"*\"}",
                                      "{\"paired\":{}}", "{\"linked\":5}"};
    struct caller_rules rules = {0};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct caller_policy *p = NULL;
        struct json *json = NULL;
        struct err e = {0};

        T_MUST(json_parse(&json, str_of(bad[i]), &e) == 0);
        T_EQ(caller_policy_make(&p, &rules, json, NULL, &e), ERR_INVALID);
        T_HAS(e.text, "policy: ");
        T_NULL(p);
        json_free(json);
    }
    caller_policy_free(NULL);
}

static void level_names(void)
{
    T_STR_EQ(caller_level_name(CALLER_UNKNOWN), "unknown");
    T_STR_EQ(caller_level_name(CALLER_KNOWN), "known");
    T_STR_EQ(caller_level_name(CALLER_PROVEN), "proven");
}

static void out_of_memory(void)
{
    static const char *const own[] = {N};
    struct caller_rules rules = {.whitelist = own, .n_whitelist = 1, .blacklist = own, .n_blacklist = 1};
    struct json *json = NULL;
    unsigned n = 1;

    T_MUST(json_parse(&json, STR("{\"allow_from\":[\"" N "\"],\"paired\":[\"" N "\"],\"linked\":[\"" N
                                 "\"]}"), NULL) == 0);
    for (;; n++) {
        struct caller_policy *p = NULL;
        int rc;

        (void)mem_fault_after(n);
        rc = caller_policy_make(&p, &rules, json, NULL, NULL);
        (void)mem_fault_after(0);
        caller_policy_free(p);
        if (rc == 0)
            break;
        T_EQ(rc, ERR_NOMEM);
        T_NULL(p);
        T_MUST(n < 50);
    }
    T_EQ(n, 7);
    json_free(json);
}

int main(void)
{
    T_RUN(by_the_table);
    T_RUN(by_all_combinations);
    T_RUN(exact_numbers);
    T_RUN(star_is_no_number);
    T_RUN(many_numbers);
    T_RUN(malformed_policies);
    T_RUN(level_names);
    T_RUN(out_of_memory);
    return T_DONE();
}
