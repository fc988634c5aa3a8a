/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_JOURNAL_KIT_H
#define TESTS_UNIT_JOURNAL_KIT_H
/* What tests of the journal share: rows, and answers waited for. */
#include "memory/journal.h"
#include "plugin/base/id.h"
#include "plugin/base/json.h"
#include "tests/unit/store_kit.h"

/* ---- What callbacks leave behind. ---- */

struct heard {
    unsigned n;
    int rc;
    enum journal_claim_result result;
    char *json;
    struct json *doc;
};

static inline void on_claim(void *arg, int rc, enum journal_claim_result result)
{
    struct heard *h = arg;

    h->rc = rc;
    h->result = result;
    h->n++;
}

static inline void on_rc(void *arg, int rc)
{
    struct heard *h = arg;

    h->rc = rc;
    h->n++;
}

static inline void on_json(void *arg, int rc, struct str json)
{
    struct heard *h = arg;

    h->rc = rc;
    free(h->json);
    h->json = rc == 0 ? strndup(json.p, json.n) : NULL;
    h->n++;
}

/* A callback's result, waited for; the macro keeps the line of a failure. */
#define WAIT(k, h) T_TRUE(kit_wait((k), &(h)->n, 1, 10000))

static inline struct journal_call row_of(const char *id, const char *openai, const char *sip)
{
    return (struct journal_call){.id = str_of(id), .openai_call_id = str_of(openai),
                                 .sip_call_id = str_of(sip), .direction = STR("inbound"),
                                 .from = STR("+15551234567"), .from_kind = STR("e164"),
                                 .level = STR("known"), .state = STR(JOURNAL_CLAIMED),
                                 .received_at = 1000};
}

static inline enum journal_claim_result claim(struct kit *k, const char *id, const char *openai,
                                       const char *sip)
{
    struct heard h = {0};
    struct journal_call row = row_of(id, openai, sip);

    T_OK(journal_claim(k->s, &row, 0, on_claim, &h));
    WAIT(k, &h);
    T_OK(h.rc);
    return h.result;
}

static inline int save(struct kit *k, const struct journal_call *row, unsigned set)
{
    struct heard h = {0};

    T_OK(journal_save(k->s, row, set, on_rc, &h));
    WAIT(k, &h);
    return h.rc;
}

static inline int set_state(struct kit *k, const char *id, const char *state)
{
    struct journal_call row = {.id = str_of(id), .state = str_of(state)};

    return save(k, &row, JOURNAL_SET_STATE);
}

static inline int turn(struct kit *k, const char *call, const char *item, int64_t pos, const char *who,
                const char *text)
{
    struct heard h = {0};
    struct journal_turn row = {.item_id = str_of(item), .pos = pos, .who = str_of(who),
                               .text = str_of(text), .audio_ms = 900, .heard_ms = 800,
                               .at = 5000 + (uint64_t)pos};

    T_OK(journal_turn(k->s, str_of(call), &row, on_rc, &h));
    WAIT(k, &h);
    return h.rc;
}

static inline int tool(struct kit *k, const char *call, const char *id, const char *state, const char *output)
{
    struct heard h = {0};
    struct journal_tool row = {.tool_call = str_of(id), .name = STR("ask_openclaw"),
                               .arguments = STR("{\"request\":\"x\"}"), .state = str_of(state),
                               .output = str_of(output), .at = 77};

    T_OK(journal_tool(k->s, str_of(call), &row, on_rc, &h));
    WAIT(k, &h);
    return h.rc;
}

static inline int query(struct kit *k, struct heard *h, enum journal_query what, const char *id,
                 unsigned limit)
{
    struct err e = {0};

    json_free(h->doc);
    h->doc = NULL;
    h->n = 0;
    T_OK(journal_query(k->s, what, str_of(id), limit, on_json, h));
    WAIT(k, h);
    if (h->rc == 0) {
        T_OK(json_parse(&h->doc, str_of(h->json), &e));
        if (h->doc == NULL)
            printf("  %s: %s\n", e.text, h->json);
    }
    return h->rc;
}

static inline void heard_free(struct heard *h)
{
    json_free(h->doc);
    free(h->json);
    memset(h, 0, sizeof *h);
}

static inline void text_is(const struct json *node, const char *key, const char *want)
{
    char got[200];

    T_TRUE(str_copy(got, sizeof got, json_get_str(node, key)));
    T_STR_EQ(got, want);
}

static inline unsigned count(const struct json *list)
{
    unsigned n = 0;

    for (const struct json *i = json_first(list); i != NULL; i = json_next(i))
        n++;
    return n;
}

struct found {
    unsigned n, calls, held;
    int rc;
    unsigned turns, assistant, tools, last;
    int64_t last_pos;
    char first[40], items[8][16], tool_state[20], tool_args[40], state[20], number[20];
};

static inline void on_adopt(void *arg, int rc, const struct journal_found *found, unsigned n,
                     unsigned held_by_others)
{
    struct found *f = arg;

    f->rc = rc;
    f->calls = n;
    f->held = held_by_others;
    if (n > 0) {
        f->turns = found[0].n_turns;
        f->assistant = found[0].n_assistant_turns;
        f->tools = found[0].n_tools;
        f->last = found[0].n_last_items;
        f->last_pos = found[0].last_pos;
        (void)str_copy(f->first, sizeof f->first, found[0].row.id);
        (void)str_copy(f->state, sizeof f->state, found[0].row.state);
        (void)str_copy(f->number, sizeof f->number, found[0].row.from);
        for (unsigned i = 0; i < found[0].n_last_items; i++)
            (void)str_copy(f->items[i], sizeof f->items[i], found[0].last_items[i]);
        if (found[0].n_tools > 0) {
            (void)str_copy(f->tool_state, sizeof f->tool_state, found[0].tools[0].state);
            (void)str_copy(f->tool_args, sizeof f->tool_args, found[0].tools[0].arguments);
        }
    }
    f->n++;
}

static inline struct found adopt(struct kit *k)
{
    struct found f = {0};

    T_OK(journal_adopt(k->s, on_adopt, &f));
    WAIT(k, &f);
    T_OK(f.rc);
    return f;
}

/* This instance's calls are nobody's, as if its process were gone. */
static inline int release(struct kit *k)
{
    char sql[200];
    struct kit_op o = {.sql = sql};
    unsigned done = 0;
    int rc = ERR_TIMEOUT;

    (void)snprintf(sql, sizeof sql, "UPDATE call SET owner='' WHERE owner='%.*s' AND state<>'over'",
                   STR_ARG(store_owner(k->s)));
    T_OK(kit_push(k, &o, 0, &done, &rc));
    T_TRUE(kit_wait(k, &done, 1, 10000));
    return rc;
}

#endif
