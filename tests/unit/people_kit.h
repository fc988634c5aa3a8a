/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_PEOPLE_KIT_H
#define TESTS_UNIT_PEOPLE_KIT_H
/* What the tests of memory/people*.c and outbox.c share: calls, answers waited for. */
#include "memory/journal.h"
#include "memory/outbox.h"
#include "memory/people.h"
#include "plugin/base/json.h"
#include "tests/unit/store_kit.h"

struct heard {
    unsigned n;
    int rc;
    char *json;
    struct json *doc;
    char person[40], name[100], ids[400], sources[200], whose[100], call[40];
    unsigned calls;
    uint64_t first, last;
    bool fits, blocked;
};

static inline void heard_free(struct heard *h)
{
    json_free(h->doc);
    free(h->json);
    memset(h, 0, sizeof *h);
}

static inline void on_rc(void *arg, int rc)
{
    struct heard *h = arg;

    h->rc = rc;
    h->n++;
}

static inline void on_claim(void *arg, int rc, enum journal_claim_result result)
{
    (void)result;
    on_rc(arg, rc);
}

static inline void on_json(void *arg, int rc, struct str json)
{
    struct heard *h = arg;
    struct err e = {0};

    json_free(h->doc);
    h->doc = NULL;
    free(h->json);
    h->json = rc == 0 ? strndup(json.p, json.n) : NULL;
    if (rc == 0 && json_parse(&h->doc, json, &e) < 0)
        T_FAIL("no JSON: %s: %s", e.text, h->json);
    on_rc(arg, rc);
}

static inline void on_seen(void *arg, int rc, const struct people_caller *c)
{
    struct heard *h = arg;
    size_t ids = 0, sources = 0;

    h->ids[0] = h->sources[0] = '\0';
    if (rc == 0) {
        (void)str_copy(h->person, sizeof h->person, c->person);
        (void)str_copy(h->name, sizeof h->name, c->name);
        h->calls = c->calls;
        h->first = c->first_seen;
        h->last = c->last_seen;
        for (unsigned i = 0; i < c->n_identities; i++) {
            ids += (size_t)snprintf(h->ids + ids, sizeof h->ids - ids, "%.*s ", STR_ARG(c->identities[i]));
            sources += (size_t)snprintf(h->sources + sources, sizeof h->sources - sources, "%.*s ",
                                        STR_ARG(c->sources[i]));
        }
    }
    on_rc(arg, rc);
}

static inline void on_code(void *arg, int rc, const struct people_code_result *r)
{
    struct heard *h = arg;

    if (rc == 0) {
        h->fits = r->fits;
        h->blocked = r->blocked;
        (void)str_copy(h->whose, sizeof h->whose, r->identity);
        (void)str_copy(h->call, sizeof h->call, r->call);
    }
    on_rc(arg, rc);
}

#define WAIT(k, h) T_TRUE(kit_wait((k), &(h)->n, 1, 20000))
/* Calls, waits, and is the code of the answer. */
#define ASK(k, h, call) ((h)->n = 0, asked((k), (h), (call)))

static inline int asked(struct kit *k, struct heard *h, int rc)
{
    if (rc == 0 && !kit_wait(k, &h->n, 1, 20000))
        return -1;
    return rc < 0 ? rc : h->rc;
}

static inline void claim_call(struct kit *k, const char *id, const char *number, uint64_t at)
{
    struct heard h = {0};
    char openai[80], sip[80];
    struct journal_call row = {.id = str_of(id), .direction = STR("inbound"), .from = str_of(number),
                               .from_kind = *number ? STR("e164") : STR("anonymous"),
                               .level = STR("unknown"), .state = STR(JOURNAL_CLAIMED), .received_at = at};

    (void)snprintf(openai, sizeof openai, "rtc_%s", id);
    (void)snprintf(sip, sizeof sip, "sip_%s", id);
    row.openai_call_id = str_of(openai);
    row.sip_call_id = str_of(sip);
    T_OK(journal_claim(k->s, &row, 0, on_claim, &h));
    WAIT(k, &h);
    T_OK(h.rc);
}

static inline int seen(struct kit *k, struct heard *h, const char *call, const char *number, uint64_t at)
{
    h->n = 0;
    T_OK(people_seen(k->s, str_of(call), str_of(number), at, on_seen, h));
    WAIT(k, h);
    return h->rc;
}

static inline void say(struct kit *k, const char *call, const char *item, int64_t pos, const char *who,
                       const char *text)
{
    struct heard h = {0};
    struct journal_turn row = {.item_id = str_of(item), .pos = pos, .who = str_of(who),
                               .text = str_of(text), .audio_ms = 900, .heard_ms = 900,
                               .at = 5000 + (uint64_t)pos};

    T_OK(journal_turn(k->s, str_of(call), &row, on_rc, &h));
    WAIT(k, &h);
    T_OK(h.rc);
}

static inline void end_call(struct kit *k, const char *call, uint64_t live, uint64_t ended)
{
    struct heard h = {0};
    struct journal_call row = {.id = str_of(call), .state = STR(JOURNAL_OVER), .live_at = live,
                               .reason = live ? STR("caller_hung_up") : STR("caller_gone"),
                               .ended_at = ended};

    T_OK(journal_save(k->s, &row, JOURNAL_SET_STATE | JOURNAL_SET_REASON | JOURNAL_SET_LIVE_AT |
                                      JOURNAL_SET_ENDED_AT, on_rc, &h));
    WAIT(k, &h);
    T_OK(h.rc);
}

/* A call from the ring to the end. */
static inline void whole_call(struct kit *k, const char *id, const char *number, uint64_t at,
                              const char *text)
{
    struct heard h = {0};

    claim_call(k, id, number, at);
    T_OK(seen(k, &h, id, number, at));
    say(k, id, "i1", 1, "caller", text);
    say(k, id, "i2", 2, "assistant", "very well");
    end_call(k, id, at + 1000, at + 9000);
}

static inline void message(struct kit *k, const char *identity, bool from_them, const char *text, uint64_t at)
{
    struct heard h = {0};
    struct people_message m = {str_of(identity), STR("agent:main:x"), from_them, str_of(text), at};

    T_OK(people_message(k->s, &m, on_rc, &h));
    WAIT(k, &h);
    T_OK(h.rc);
}

static inline unsigned count(const struct json *list)
{
    unsigned n = 0;

    for (const struct json *i = json_first(list); i != NULL; i = json_next(i))
        n++;
    return n;
}

static inline void text_is(const struct json *node, const char *key, const char *want)
{
    char got[300];

    T_TRUE(str_copy(got, sizeof got, json_get_str(node, key)));
    T_STR_EQ(got, want);
}

#endif
