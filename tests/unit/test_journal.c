/* SPDX-License-Identifier: MIT */
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

static void on_claim(void *arg, int rc, enum journal_claim_result result)
{
    struct heard *h = arg;

    h->rc = rc;
    h->result = result;
    h->n++;
}

static void on_rc(void *arg, int rc)
{
    struct heard *h = arg;

    h->rc = rc;
    h->n++;
}

static void on_json(void *arg, int rc, struct str json)
{
    struct heard *h = arg;

    h->rc = rc;
    free(h->json);
    h->json = rc == 0 ? strndup(json.p, json.n) : NULL;
    h->n++;
}

/* A callback's result, waited for; the macro keeps the line of a failure. */
#define WAIT(k, h) T_TRUE(kit_wait((k), &(h)->n, 1, 10000))

static struct journal_call row_of(const char *id, const char *openai, const char *sip)
{
    return (struct journal_call){.id = str_of(id), .openai_call_id = str_of(openai),
                                 .sip_call_id = str_of(sip), .direction = STR("inbound"),
                                 .from = STR("+15551234567"), .from_kind = STR("e164"),
                                 .level = STR("known"), .state = STR(JOURNAL_CLAIMED),
                                 .received_at = 1000};
}

static enum journal_claim_result claim(struct kit *k, const char *id, const char *openai,
                                       const char *sip)
{
    struct heard h = {0};
    struct journal_call row = row_of(id, openai, sip);

    T_OK(journal_claim(k->s, &row, 0, on_claim, &h));
    WAIT(k, &h);
    T_OK(h.rc);
    return h.result;
}

static int save(struct kit *k, const struct journal_call *row, unsigned set)
{
    struct heard h = {0};

    T_OK(journal_save(k->s, row, set, on_rc, &h));
    WAIT(k, &h);
    return h.rc;
}

static int set_state(struct kit *k, const char *id, const char *state)
{
    struct journal_call row = {.id = str_of(id), .state = str_of(state)};

    return save(k, &row, JOURNAL_SET_STATE);
}

static int turn(struct kit *k, const char *call, const char *item, int64_t pos, const char *who,
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

static int tool(struct kit *k, const char *call, const char *id, const char *state, const char *output)
{
    struct heard h = {0};
    struct journal_tool row = {.tool_call = str_of(id), .name = STR("ask_openclaw"),
                               .arguments = STR("{\"request\":\"x\"}"), .state = str_of(state),
                               .output = str_of(output), .at = 77};

    T_OK(journal_tool(k->s, str_of(call), &row, on_rc, &h));
    WAIT(k, &h);
    return h.rc;
}

static int query(struct kit *k, struct heard *h, enum journal_query what, const char *id,
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

static void heard_free(struct heard *h)
{
    json_free(h->doc);
    free(h->json);
    memset(h, 0, sizeof *h);
}

static void text_is(const struct json *node, const char *key, const char *want)
{
    char got[200];

    T_TRUE(str_copy(got, sizeof got, json_get_str(node, key)));
    T_STR_EQ(got, want);
}

static unsigned count(const struct json *list)
{
    unsigned n = 0;

    for (const struct json *i = json_first(list); i != NULL; i = json_next(i))
        n++;
    return n;
}

/* ---- Claims. ---- */

static void one_decision_per_call(void)
{
    struct kit k;
    sqlite3 *db;

    kit_init(&k);
    kit_open(&k, 0);
    T_EQ(claim(&k, "call_1", "rtc_1", "sip_1"), JOURNAL_NEW);
    /* The same delivery; the same call under another id; the same id with other headers. */
    T_EQ(claim(&k, "call_2", "rtc_1", "sip_1"), JOURNAL_DUPLICATE);
    T_EQ(claim(&k, "call_3", "live_9", "sip_1"), JOURNAL_DUPLICATE);
    T_EQ(claim(&k, "call_4", "rtc_1", "sip_2"), JOURNAL_DUPLICATE);
    T_EQ(claim(&k, "call_5", "rtc_1", ""), JOURNAL_DUPLICATE);
    /* What those duplicates brought along was not claimed with them. */
    T_EQ(claim(&k, "call_6", "live_9", ""), JOURNAL_NEW);
    T_EQ(claim(&k, "call_7", "rtc_7", "sip_2"), JOURNAL_NEW);
    /* Without a SIP Call-ID calls are told apart by the provider's id alone. */
    T_EQ(claim(&k, "call_8", "rtc_8", ""), JOURNAL_NEW);
    T_EQ(claim(&k, "call_9", "rtc_9", ""), JOURNAL_NEW);
    T_EQ(claim(&k, "call_10", "rtc_8", "sip_10"), JOURNAL_DUPLICATE);
    T_EQ(claim(&k, "call_11", "rtc_11", "sip_10"), JOURNAL_NEW);
    /* One kind of id never stands for the other. */
    T_EQ(claim(&k, "call_12", "sip_1", "rtc_1"), JOURNAL_NEW);
    db = kit_beside(&k);
    T_EQ(kit_int(db, "SELECT count(*) FROM call"), 7);
    T_EQ(kit_int(db, "SELECT count(*) FROM claim"), 7);
    (void)sqlite3_close(db);

    /* Known without asking, and still so for a process that starts anew. */
    T_TRUE(journal_known(k.s, STR("rtc_1"), STR_NONE));
    T_TRUE(journal_known(k.s, STR("zzz"), STR("sip_1")));
    T_FALSE(journal_known(k.s, STR("sip_1x"), STR("rtc_9")));
    kit_close(&k);
    kit_open(&k, 0);
    T_FALSE(journal_known(k.s, STR("rtc_1"), STR_NONE));
    T_EQ(claim(&k, "call_20", "rtc_1", "sip_77"), JOURNAL_DUPLICATE);
    T_TRUE(journal_known(k.s, STR("rtc_1"), STR_NONE));
    T_FALSE(journal_known(k.s, STR_NONE, STR("sip_77")));
    T_EQ(claim(&k, "call_21", "rtc_21", "sip_77"), JOURNAL_NEW);
    kit_done(&k);
}

/* All or nothing also when the row itself is refused: our id is taken. */
static void a_failed_claim_leaves_nothing(void)
{
    struct kit k;
    struct heard h = {0};
    struct journal_call row = row_of("call_1", "rtc_2", "sip_2");

    kit_init(&k);
    kit_open(&k, 0);
    T_EQ(claim(&k, "call_1", "rtc_1", "sip_1"), JOURNAL_NEW);
    T_OK(journal_claim(k.s, &row, 0, on_claim, &h));
    WAIT(&k, &h);
    T_ERR(h.rc);
    T_FALSE(journal_known(k.s, STR("rtc_2"), STR("sip_2")));
    T_EQ(claim(&k, "call_2", "rtc_2", "sip_2"), JOURNAL_NEW);
    kit_done(&k);
}

static void a_claim_has_a_deadline(void)
{
    struct kit k;
    struct heard h = {0};
    struct journal_call row = row_of("call_1", "rtc_1", "sip_1");
    sqlite3 *db;

    kit_init(&k);
    kit_open(&k, 3000);
    db = kit_beside(&k);
    T_MUST(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK);
    T_OK(journal_claim(k.s, &row, clock_mono_ms() + 150, on_claim, &h));
    WAIT(&k, &h);
    T_EQ(h.rc, ERR_TIMEOUT);
    T_MUST(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK);
    (void)sqlite3_close(db);
    T_EQ(claim(&k, "call_1", "rtc_1", "sip_1"), JOURNAL_NEW);
    kit_done(&k);
}

/* Very long and odd ids are claimed as they are. */
static void odd_ids(void)
{
    struct kit k;
    char a[3001], b[3001];

    kit_init(&k);
    kit_open(&k, 0);
    memset(a, 'x', sizeof a);
    memset(b, 'x', sizeof b);
    a[3000] = b[3000] = '\0';
    b[2999] = 'y';
    T_EQ(claim(&k, "call_1", a, ""), JOURNAL_NEW);
    T_EQ(claim(&k, "call_2", b, ""), JOURNAL_NEW);
    T_EQ(claim(&k, "call_3", a, ""), JOURNAL_DUPLICATE);
    T_EQ(claim(&k, "call_4", "'; DROP TABLE call; --", "\"\xff\xfe"), JOURNAL_NEW);
    T_EQ(claim(&k, "call_5", "rtc_5", "\"\xff\xfe"), JOURNAL_DUPLICATE);
    kit_done(&k);
}

/*
 * Two stores in turn on one file: each must see what the other appended, also when its own transaction was
 * rolled back in between and the other took the same row numbers.
 */
static int spoil(struct kit_op *o, sqlite3 *db)
{
    (void)o;
    (void)db;
    return ERR_NOMEM; /* a passing failure: the transaction is rolled back */
}

static void others_claims_are_seen(void)
{
    enum { N = 600 };
    struct kit a, b;
    char id[20], openai[20], sip[20];
    unsigned wrong = 0;

    kit_init(&a);
    kit_init(&b);
    kit_rm(b.dir);
    (void)str_copy(b.dir, sizeof b.dir, str_of(a.dir));
    kit_open(&a, 5000);
    kit_open(&b, 5000);
    for (unsigned i = 0; i < N; i++) {
        (void)snprintf(id, sizeof id, "call_%u", i);
        (void)snprintf(openai, sizeof openai, "rtc_%u", i);
        (void)snprintf(sip, sizeof sip, "sip_%u", i);
        if (i % 50 == 49) {
            struct kit_op o = {.fn = spoil};
            struct heard lost = {0};
            struct journal_call row = row_of("call_0", "rtc_lost", "sip_lost");
            unsigned done = 0;

            /* Both in one transaction; the second undoes the first, which then fails by itself. */
            T_OK(journal_claim(a.s, &row, 0, on_claim, &lost));
            T_OK(kit_push(&a, &o, 0, &done, NULL));
            T_TRUE(kit_wait(&a, &done, 1, 5000));
            WAIT(&a, &lost);
            T_ERR(lost.rc);
        }
        wrong += claim(i % 2 ? &a : &b, id, openai, sip) != JOURNAL_NEW;
        /* By the other store, by either key, with nothing in its short memory. */
        wrong += claim(i % 2 ? &b : &a, "call_x", openai, "") != JOURNAL_DUPLICATE;
        wrong += claim(i % 2 ? &b : &a, "call_x", "rtc_x", sip) != JOURNAL_DUPLICATE;
    }
    T_EQ(wrong, 0);
    T_EQ(claim(&a, "call_n", "rtc_lost", "sip_lost"), JOURNAL_NEW);
    T_EQ(claim(&b, "call_x", "rtc_lost", ""), JOURNAL_DUPLICATE);
    kit_close(&a);
    kit_close(&b);
    kit_open(&a, 0);
    for (unsigned i = 0; i < N; i++) { /* and from the table alone */
        (void)snprintf(openai, sizeof openai, "rtc_%u", i);
        wrong += claim(&a, "call_x", openai, "") != JOURNAL_DUPLICATE;
    }
    T_EQ(wrong, 0);
    (void)close(b.fd);
    kit_done(&a);
}

#define RACE 2000

/* A process that claims the ids 0..RACE-1 and writes to the pipe which ones it won. */
static void racer(const struct kit *dir, int out, int go, unsigned who)
{
    struct kit k = *dir;
    struct heard h[RACE];
    char id[40], openai[40], sip[40], c;
    unsigned seed = who * 77;

    memset(h, 0, sizeof h);
    k.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    kit_open(&k, 8000);
    (void)!write(out, &who, sizeof who); /* ready */
    (void)!read(go, &c, 1);
    for (unsigned i = 0; i < RACE; i++) {
        struct journal_call row;

        (void)snprintf(id, sizeof id, "call_%u_%u", who, i);
        if (i % 3)
            (void)snprintf(openai, sizeof openai, "rtc_%u", i);
        else /* another id for the same call: the SIP Call-ID decides */
            (void)snprintf(openai, sizeof openai, "rtc_%u_%u", i, who);
        (void)snprintf(sip, sizeof sip, "sip_%u", i);
        if (i % 3 == 1)
            sip[0] = '\0';
        row = row_of(id, openai, sip);
        if (journal_claim(k.s, &row, 0, on_claim, &h[i]) < 0)
            _exit(2);
        /* Few in flight and rests of uneven length, so that now the one and now the other is ahead. */
        if (i >= 8 && !kit_wait(&k, &h[i - 8].n, 1, 20000))
            _exit(3);
        seed = seed * 1103515245u + 12345u;
        if (i % 16 == 0)
            kit_nap(seed / 65536u % 8);
    }
    for (unsigned i = 0; i < RACE; i++) {
        if (!kit_wait(&k, &h[i].n, 1, 20000) || h[i].rc < 0)
            _exit(3);
        if (h[i].result == JOURNAL_NEW)
            (void)!write(out, &i, sizeof i);
    }
    store_close(k.s, 5000);
    _exit(0);
}

/* Two processes on one database: each key has exactly one winner. */
static void two_processes_race(void)
{
    static unsigned wins[RACE];
    struct kit k;
    int out[2], go[2], status, bad = 0;
    pid_t pid[2];
    unsigned i, total = 0, lost = 0;
    sqlite3 *db;

    memset(wins, 0, sizeof wins);
    kit_init(&k);
    kit_open(&k, 0); /* makes the file */
    kit_close(&k);
    T_MUST(pipe(out) == 0 && pipe(go) == 0);
    for (unsigned n = 0; n < 2; n++) {
        pid[n] = fork();
        if (pid[n] == 0) {
            (void)close(out[0]);
            (void)close(go[1]);
            racer(&k, out[1], go[0], n);
        }
        T_MUST(pid[n] > 0);
        T_EQ(read(out[0], &i, sizeof i), sizeof i);
        T_EQ(i, n);
    }
    (void)close(out[1]);
    (void)close(go[0]);
    T_EQ(write(go[1], "go", 2), 2);
    while (read(out[0], &i, sizeof i) == sizeof i) {
        if (i < RACE)
            wins[i]++;
        total++;
    }
    for (unsigned n = 0; n < 2; n++) {
        (void)waitpid(pid[n], &status, 0);
        T_EQ(status, 0);
    }
    for (i = 0; i < RACE; i++) {
        bad += wins[i] > 1;
        lost += wins[i] == 0;
    }
    T_EQ(bad, 0);
    T_EQ(lost, 0);
    T_EQ(total, RACE);
    db = kit_beside(&k);
    T_EQ(kit_int(db, "SELECT count(*) FROM call"), RACE);
    /* Had one process won all, nothing would have been proven. */
    T_GT(kit_int(db, "SELECT count(*) FROM call WHERE id LIKE 'call\\_0\\_%' ESCAPE '\\'"), 0);
    T_GT(kit_int(db, "SELECT count(*) FROM call WHERE id LIKE 'call\\_1\\_%' ESCAPE '\\'"), 0);
    (void)sqlite3_close(db);
    (void)close(out[0]);
    (void)close(go[1]);
    kit_done(&k);
}

/* ---- Rows. ---- */

static void saves_write_what_they_name(void)
{
    struct kit k;
    struct heard h = {0};
    struct journal_call row = {.id = STR("call_1"), .state = STR(JOURNAL_LIVE), .reason = STR("r"),
                               .detail = STR("d"), .level = STR("proven"), .session_key = STR("s"),
                               .model = STR("m"), .voice = STR("v"), .usage_json = STR("{\"a\":1}"),
                               .accepted_at = 2000, .live_at = 3000, .ended_at = 9000,
                               .sip_status = 486};
    const struct json *c;

    kit_init(&k);
    kit_open(&k, 0);
    T_EQ(claim(&k, "call_1", "rtc_1", "sip_1"), JOURNAL_NEW);
    T_OK(save(&k, &row, JOURNAL_SET_ACCEPTED_AT));
    T_OK(query(&k, &h, JOURNAL_Q_CALL, "call_1", 1));
    text_is(h.doc, "state", JOURNAL_CLAIMED);
    text_is(h.doc, "status", "ringing");
    text_is(h.doc, "level", "known");
    T_EQ(json_get_int(h.doc, "accepted_at", 0), 2000);
    T_NULL(json_get(h.doc, "live_at"));
    T_NULL(json_get(h.doc, "ended_at"));
    T_NULL(json_get(h.doc, "duration_ms"));
    T_NULL(json_get(h.doc, "usage"));
    T_HAS(h.json, "\"live_at\":null");
    T_OK(save(&k, &row, JOURNAL_SET_STATE | JOURNAL_SET_LIVE_AT | JOURNAL_SET_SESSION |
                            JOURNAL_SET_MODEL | JOURNAL_SET_LEVEL));
    T_OK(query(&k, &h, JOURNAL_Q_CALL, "rtc_1", 1));
    c = h.doc;
    text_is(c, "call", "call_1");
    text_is(c, "openai_call_id", "rtc_1");
    text_is(c, "direction", "inbound");
    text_is(c, "from", "+15551234567");
    text_is(c, "status", "live");
    text_is(c, "level", "proven");
    text_is(c, "model", "m");
    text_is(c, "voice", "v");
    text_is(c, "session_key", "s");
    text_is(c, "reason", "");
    row.state = STR(JOURNAL_OVER);
    T_OK(save(&k, &row, JOURNAL_SET_STATE | JOURNAL_SET_REASON | JOURNAL_SET_USAGE |
                            JOURNAL_SET_ENDED_AT | JOURNAL_SET_SIP_STATUS));
    T_OK(query(&k, &h, JOURNAL_Q_CALL, "call_1", 1));
    text_is(h.doc, "status", "ended");
    text_is(h.doc, "reason", "r");
    text_is(h.doc, "detail", "d");
    T_EQ(json_get_int(h.doc, "duration_ms", 0), 7000);
    T_EQ(json_get_int(json_get(h.doc, "usage"), "a", 0), 1);
    T_EQ(json_get_int(h.doc, "received_at", 0), 1000);
    row.id = STR("call_none");
    T_EQ(save(&k, &row, JOURNAL_SET_STATE), ERR_NOT_FOUND);
    heard_free(&h);
    kit_done(&k);
}

static void transcripts(void)
{
    static const char *const want[] = {"i0", "i1", "i2a", "i2b", "i3"};
    struct kit k;
    struct heard h = {0};
    struct journal_turn cut = {.item_id = STR("i1"), .pos = 1, .who = STR("assistant"),
                               .text = STR("I am"), .interrupted = true, .at = 6000};
    struct heard r = {0};
    const struct json *t;
    unsigned n = 0;

    kit_init(&k);
    kit_open(&k, 0);
    T_EQ(claim(&k, "call_1", "rtc_1", "sip_1"), JOURNAL_NEW);
    T_EQ(claim(&k, "call_2", "rtc_2", "sip_2"), JOURNAL_NEW);
    T_OK(turn(&k, "call_1", "i3", 3, "caller", "\xc3\xbc\xe2\x82\xac \"quoted\"\n\x01"));
    T_OK(turn(&k, "call_1", "i1", 1, "assistant", "I am whole"));
    T_OK(turn(&k, "call_1", "i2a", 2, "caller", "first of two"));
    T_OK(turn(&k, "call_1", "i2b", 2, "assistant", "second of two"));
    T_OK(turn(&k, "call_1", "i0", 0, "assistant", "hello"));
    T_OK(turn(&k, "call_2", "i1", 1, "caller", "another call's i1"));
    T_OK(journal_turn(k.s, STR("call_1"), &cut, on_rc, &r));
    WAIT(&k, &r);
    T_OK(r.rc);
    T_OK(query(&k, &h, JOURNAL_Q_TRANSCRIPT, "rtc_1", 0));
    text_is(h.doc, "call", "call_1");
    for (t = json_first(json_get(h.doc, "turns")); t != NULL && n < 5; t = json_next(t), n++)
        text_is(t, "item_id", want[n]);
    T_EQ(n, 5);
    T_NULL(t);
    t = json_next(json_first(json_get(h.doc, "turns")));
    text_is(t, "text", "I am");
    text_is(t, "who", "assistant");
    T_TRUE(json_get_bool(t, "interrupted", false));
    T_EQ(json_get_int(t, "at", 0), 6000);
    T_FALSE(json_get_bool(json_first(json_get(h.doc, "turns")), "interrupted", true));
    T_HAS(h.json, "\xc3\xbc\xe2\x82\xac \\\"quoted\\\"\\n\\u0001");
    T_ERR(turn(&k, "call_none", "i1", 1, "caller", "x")); /* no such call */
    T_EQ(query(&k, &h, JOURNAL_Q_TRANSCRIPT, "call_none", 0), ERR_NOT_FOUND);
    heard_free(&h);
    kit_done(&k);
}

static void flight_record(void)
{
    struct kit k;
    struct heard h = {0};
    const struct json *hop, *t;
    char name[20];
    unsigned n = 0;

    kit_init(&k);
    kit_open(&k, 0);
    T_EQ(claim(&k, "call_1", "rtc_1", "sip_1"), JOURNAL_NEW);
    for (unsigned i = 0; i < 20; i++) {
        (void)snprintf(name, sizeof name, "hop %u", i);
        T_OK(journal_hop(k.s, STR("call_1"), 100 - i, str_of(name), STR("why")));
    }
    T_OK(tool(&k, "call_1", "t1", "running", ""));
    T_OK(tool(&k, "call_1", "t2", "running", ""));
    T_OK(tool(&k, "call_1", "t1", "ready", "the answer"));
    T_OK(tool(&k, "call_1", "t1", JOURNAL_TOOL_CLOSED, ""));
    T_OK(turn(&k, "call_1", "a", 1, "caller", "x"));
    T_OK(turn(&k, "call_1", "b", 2, "assistant", "x"));
    T_OK(turn(&k, "call_1", "c", 3, "assistant", "x"));
    T_OK(query(&k, &h, JOURNAL_Q_WHY, "call_1", 0));
    text_is(json_get(h.doc, "call"), "call", "call_1");
    T_EQ(json_get_int(json_get(h.doc, "call"), "tools", 0), 2);
    for (hop = json_first(json_get(h.doc, "hops")); hop != NULL; hop = json_next(hop), n++) {
        (void)snprintf(name, sizeof name, "hop %u", n);
        text_is(hop, "hop", name); /* as they came, whatever the clock said */
        T_EQ(json_get_int(hop, "at", 0), 100 - n);
    }
    T_EQ(n, 20);
    t = json_first(json_get(h.doc, "tools"));
    text_is(t, "tool_call", "t1");
    text_is(t, "state", JOURNAL_TOOL_CLOSED);
    text_is(t, "output", "the answer"); /* an empty output leaves it */
    text_is(t, "arguments", "{\"request\":\"x\"}");
    text_is(json_next(t), "tool_call", "t2");
    t = json_get(h.doc, "turns");
    T_EQ(json_get_int(t, "caller", 0), 1);
    T_EQ(json_get_int(t, "assistant", 0), 2);
    T_EQ(json_get_int(t, "interrupted", 9), 0);
    heard_free(&h);
    kit_done(&k);
}

static void lists_of_calls(void)
{
    struct kit k;
    struct heard h = {0};
    char id[20], openai[20];

    kit_init(&k);
    kit_open(&k, 0);
    T_OK(query(&k, &h, JOURNAL_Q_CALLS, "", 10));
    T_STR_EQ(h.json, "{\"calls\":[]}");
    for (unsigned i = 0; i < 9; i++) {
        (void)snprintf(id, sizeof id, "call_%u", i);
        (void)snprintf(openai, sizeof openai, "rtc_%u", i);
        T_EQ(claim(&k, id, openai, ""), JOURNAL_NEW);
        if (i % 3 == 0)
            T_OK(set_state(&k, id, JOURNAL_OVER));
    }
    T_OK(turn(&k, "call_8", "a", 1, "caller", "x"));
    T_OK(query(&k, &h, JOURNAL_Q_CALLS, "", 4));
    T_EQ(count(json_get(h.doc, "calls")), 4);
    text_is(json_first(json_get(h.doc, "calls")), "call", "call_8");
    T_EQ(json_get_int(json_first(json_get(h.doc, "calls")), "turns", 0), 1);
    text_is(json_next(json_first(json_get(h.doc, "calls"))), "call", "call_7");
    T_OK(query(&k, &h, JOURNAL_Q_CALLS, "live", 1000));
    T_EQ(count(json_get(h.doc, "calls")), 6);
    T_OK(query(&k, &h, JOURNAL_Q_CALLS, "over", 1000));
    T_EQ(count(json_get(h.doc, "calls")), 3);
    text_is(json_first(json_get(h.doc, "calls")), "call", "call_6");
    T_EQ(query(&k, &h, JOURNAL_Q_CALLS, "sideways", 5), ERR_INVALID);
    T_OK(query(&k, &h, JOURNAL_Q_CALLS, "", 0)); /* at least one */
    T_EQ(count(json_get(h.doc, "calls")), 1);
    T_EQ(query(&k, &h, JOURNAL_Q_CALL, "nobody", 1), ERR_NOT_FOUND);
    T_EQ(query(&k, &h, JOURNAL_Q_CALL, "' OR 1=1 --", 1), ERR_NOT_FOUND);
    T_EQ(query(&k, &h, JOURNAL_Q_WHY, "", 1), ERR_NOT_FOUND);
    heard_free(&h);
    kit_done(&k);
}

/* ---- Recovery. ---- */

struct found {
    unsigned n, calls, held;
    int rc;
    unsigned turns, assistant, tools, last;
    int64_t last_pos;
    char first[40], items[8][16], tool_state[20], tool_args[40], state[20], number[20];
};

static void on_adopt(void *arg, int rc, const struct journal_found *found, unsigned n,
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

static struct found adopt(struct kit *k)
{
    struct found f = {0};

    T_OK(journal_adopt(k->s, on_adopt, &f));
    WAIT(k, &f);
    T_OK(f.rc);
    return f;
}

static int release(struct kit *k)
{
    struct heard h = {0};

    T_OK(journal_release(k->s, on_rc, &h));
    WAIT(k, &h);
    return h.rc;
}

/* As during a reload: an old and a new instance in one process. */
static void only_the_dead_are_inherited(void)
{
    struct kit a, b;
    struct found f;
    char item[20];

    kit_init(&a);
    kit_init(&b);
    kit_rm(b.dir);
    (void)str_copy(b.dir, sizeof b.dir, str_of(a.dir));
    kit_open(&a, 0);
    kit_open(&b, 0);
    T_EQ(claim(&a, "call_1", "rtc_1", "sip_1"), JOURNAL_NEW);
    T_EQ(claim(&a, "call_2", "rtc_2", "sip_2"), JOURNAL_NEW);
    T_EQ(claim(&a, "call_3", "rtc_3", "sip_3"), JOURNAL_NEW);
    T_EQ(claim(&b, "call_4", "rtc_4", "sip_4"), JOURNAL_NEW);
    T_OK(set_state(&a, "call_2", JOURNAL_OVER));
    T_OK(set_state(&a, "call_1", JOURNAL_LIVE));
    for (int i = 1; i <= 11; i++) {
        (void)snprintf(item, sizeof item, "i%d", i);
        T_OK(turn(&a, "call_1", item, i, i % 2 ? "assistant" : "caller", "x"));
    }
    T_OK(tool(&a, "call_1", "t1", JOURNAL_TOOL_CLOSED, "o"));
    T_OK(tool(&a, "call_1", "t2", "running", ""));

    f = adopt(&b); /* the other lives: its two open calls are not ours */
    T_EQ(f.calls, 0);
    T_EQ(f.held, 2);
    f = adopt(&a); /* nor does one adopt one's own */
    T_EQ(f.calls, 0);
    T_EQ(f.held, 1);

    /* Given up, though alive: the next one takes them, and the old one writes no more. */
    T_OK(release(&a));
    T_EQ(set_state(&a, "call_3", JOURNAL_OVER), ERR_NOT_FOUND);
    f = adopt(&b);
    T_EQ(f.calls, 2);
    T_EQ(f.held, 0);
    T_STR_EQ(f.first, "call_1");
    T_STR_EQ(f.state, JOURNAL_LIVE);
    T_STR_EQ(f.number, "+15551234567");
    T_EQ(f.turns, 11);
    T_EQ(f.assistant, 6);
    T_EQ(f.last_pos, 11);
    T_EQ(f.last, 8);
    T_STR_EQ(f.items[0], "i4");
    T_STR_EQ(f.items[7], "i11");
    T_EQ(f.tools, 1);
    T_STR_EQ(f.tool_state, "running");
    T_STR_EQ(f.tool_args, "{\"request\":\"x\"}");
    T_EQ(set_state(&a, "call_1", JOURNAL_OVER), ERR_NOT_FOUND);
    T_OK(set_state(&b, "call_1", JOURNAL_LEAVING));
    f = adopt(&a);
    T_EQ(f.calls, 0);
    T_EQ(f.held, 3);

    /* Closed without a word: gone all the same. */
    kit_close(&b);
    f = adopt(&a);
    T_EQ(f.calls, 3);
    T_EQ(f.held, 0);
    T_STR_EQ(f.state, JOURNAL_LEAVING);
    f = adopt(&a);
    T_EQ(f.calls, 0);
    kit_close(&a);
    (void)close(b.fd);
    kit_done(&a);
}

/* Two that adopt at the same time: every call goes to one of them. */
static void two_adopt_at_once(void)
{
    enum { N = 50 };
    struct kit a, b;
    struct found fa = {0}, fb = {0};
    char id[20], openai[20];

    kit_init(&a);
    kit_init(&b);
    kit_rm(b.dir);
    (void)str_copy(b.dir, sizeof b.dir, str_of(a.dir));
    kit_open(&a, 0);
    for (unsigned i = 0; i < N; i++) {
        (void)snprintf(id, sizeof id, "call_%02u", i);
        (void)snprintf(openai, sizeof openai, "rtc_%u", i);
        T_EQ(claim(&a, id, openai, ""), JOURNAL_NEW);
    }
    kit_close(&a);
    kit_open(&a, 5000);
    kit_open(&b, 5000);
    T_OK(journal_adopt(a.s, on_adopt, &fa));
    T_OK(journal_adopt(b.s, on_adopt, &fb));
    T_TRUE(kit_wait(&a, &fa.n, 1, 5000));
    T_TRUE(kit_wait(&b, &fb.n, 1, 5000));
    T_OK(fa.rc);
    T_OK(fb.rc);
    T_EQ(fa.calls + fb.calls, N);
    T_TRUE(fa.calls == 0 || fb.calls == 0); /* one transaction takes all */
    T_EQ(fa.held + fb.held, N);
    kit_close(&b);
    (void)close(b.fd);
    kit_done(&a);
}

/* ---- kill -9 in the middle of a storm. ---- */

struct ack {
    uint32_t what, n; /* 0: claim n; 1: turn n of call n / 4 */
};

struct storm {
    struct kit k;
    int out;
    unsigned round, acked;
};

struct storm_op {
    struct storm *storm;
    struct ack ack;
};

static void ack(struct storm_op *o, int rc)
{
    if (rc == 0)
        (void)!write(o->storm->out, &o->ack, sizeof o->ack);
    o->storm->acked++;
    free(o);
}

static void on_storm_claim(void *arg, int rc, enum journal_claim_result result)
{
    ack(arg, rc == 0 && result != JOURNAL_NEW ? ERR_DUPLICATE : rc);
}

static void on_storm_turn(void *arg, int rc)
{
    ack(arg, rc);
}

static struct storm_op *storm_op(struct storm *s, uint32_t what, uint32_t n)
{
    struct storm_op *o = malloc(sizeof *o);

    if (o == NULL)
        _exit(4);
    *o = (struct storm_op){s, {what, n}};
    return o;
}

static void storm_child(struct kit *dir, int out, unsigned round)
{
    struct storm s = {.k = *dir, .out = out, .round = round};
    char id[40], openai[40], sip[40], item[40];
    unsigned sent = 0;

    s.k.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    kit_open(&s.k, 5000);
    for (uint32_t n = 0; n < 1000000; n++) {
        struct journal_call row;

        (void)snprintf(id, sizeof id, "call_%03u_%06u", round, n);
        (void)snprintf(openai, sizeof openai, "rtc_%u_%u", round, n);
        (void)snprintf(sip, sizeof sip, "sip_%u_%u", round, n);
        row = row_of(id, openai, sip);
        if (journal_claim(s.k.s, &row, 0, on_storm_claim, storm_op(&s, 0, n)) < 0)
            _exit(5);
        sent++;
        for (uint32_t t = 0; t < 4; t++) {
            struct journal_turn turn_row = {.pos = t, .who = STR("caller"), .text = STR("what was said")};

            (void)snprintf(item, sizeof item, "item_%u", t);
            turn_row.item_id = str_of(item);
            if (journal_turn(s.k.s, row.id, &turn_row, on_storm_turn, storm_op(&s, 1, n * 4 + t)) < 0)
                _exit(6);
            sent++;
        }
        /* At most some hundred in flight, as a server has. */
        while (sent - s.acked > 200)
            (void)kit_wait(&s.k, &s.acked, s.acked + 1, 1000);
        store_poll(s.k.s);
    }
    _exit(7);
}

static bool row_stands(sqlite3_stmt *st, const char *call, const char *item)
{
    bool found;

    (void)sqlite3_bind_text(st, 1, call, -1, SQLITE_TRANSIENT);
    if (item != NULL)
        (void)sqlite3_bind_text(st, 2, item, -1, SQLITE_TRANSIENT);
    found = sqlite3_step(st) == SQLITE_ROW;
    (void)sqlite3_reset(st);
    return found;
}

static unsigned check_acks(const struct kit *k, int in, unsigned round, unsigned *lost)
{
    struct ack a;
    char call[40], item[40];
    unsigned n = 0;
    sqlite3 *db = kit_beside(k);
    sqlite3_stmt *calls = NULL, *turns = NULL;

    T_MUST(sqlite3_prepare_v2(db, "SELECT 1 FROM call WHERE id=?1", -1, &calls, NULL) == SQLITE_OK);
    T_MUST(sqlite3_prepare_v2(db, "SELECT 1 FROM turn WHERE call=?1 AND item_id=?2", -1, &turns,
                              NULL) == SQLITE_OK);
    while (read(in, &a, sizeof a) == sizeof a) {
        (void)snprintf(call, sizeof call, "call_%03u_%06u", round, a.what == 0 ? a.n : a.n / 4);
        (void)snprintf(item, sizeof item, "item_%u", a.n % 4);
        *lost += !row_stands(a.what == 0 ? calls : turns, call, a.what == 0 ? NULL : item);
        n++;
    }
    (void)sqlite3_finalize(calls);
    (void)sqlite3_finalize(turns);
    (void)sqlite3_close(db);
    return n;
}

static void killed_in_a_storm(void)
{
    struct kit k;
    int fds[2], status;
    unsigned acked = 0, lost = 0, rounds = 0, seed = 7;
    uint64_t until = clock_mono_ms() + 20000;
    sqlite3 *db;

    kit_init(&k);
    kit_open(&k, 0);
    kit_close(&k);
    for (; rounds < 50 && clock_mono_ms() < until; rounds++) {
        pid_t pid;

        T_MUST(pipe(fds) == 0);
        /* Room for all acknowledgements of a round: the child must not wait for its reader. */
        (void)fcntl(fds[1], F_SETPIPE_SZ, 1 << 20);
        pid = fork();
        if (pid == 0) {
            (void)close(fds[0]);
            storm_child(&k, fds[1], rounds);
        }
        T_MUST(pid > 0);
        (void)close(fds[1]);
        seed = seed * 1103515245u + 12345u;
        kit_nap(20 + seed / 65536u % 130);
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, &status, 0);
        T_TRUE(WIFSIGNALED(status));
        kit_open(&k, 0);
        acked += check_acks(&k, fds[0], rounds, &lost);
        (void)close(fds[0]);
        kit_close(&k);
    }
    T_EQ(lost, 0);
    T_GE(rounds, 20);
    T_GT(acked, 1000);
    db = kit_beside(&k);
    T_EQ(kit_int(db, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"), 0);
    /* A claim and its call stand or fall together. */
    T_EQ(kit_int(db, "SELECT count(*) FROM claim WHERE call NOT IN (SELECT id FROM call)"), 0);
    T_EQ(kit_int(db, "SELECT count(*) FROM call"), kit_int(db, "SELECT count(*) FROM claim"));
    (void)sqlite3_close(db);
    printf("  %u rounds, %u acknowledged\n", rounds, acked);
    kit_done(&k);
}

/* ---- Expiry. ---- */

static int expire(struct kit *k, uint64_t now, uint64_t keep)
{
    struct heard h = {0};

    T_OK(journal_expire(k->s, now, keep, on_rc, &h));
    WAIT(k, &h);
    return h.rc;
}

/* Claims many at once; how many did not end as wanted. */
static unsigned claim_many(struct kit *k, const char *name, unsigned n, enum journal_claim_result want)
{
    struct heard *h = calloc(n, sizeof *h);
    char id[40], openai[40], sip[40];
    unsigned wrong = 0;

    T_MUST(h != NULL);
    for (unsigned i = 0; i < n; i++) {
        struct journal_call row;

        (void)snprintf(id, sizeof id, "call_%s_%u", name, i);
        (void)snprintf(openai, sizeof openai, "rtc_%s_%u", name, i);
        (void)snprintf(sip, sizeof sip, "sip_%s_%u", name, i);
        row = row_of(id, openai, sip);
        T_OK(journal_claim(k->s, &row, 0, on_claim, &h[i]));
    }
    for (unsigned i = 0; i < n; i++)
        wrong += !kit_wait(k, &h[i].n, 1, 10000) || h[i].rc < 0 || h[i].result != want;
    free(h);
    return wrong;
}

static void old_calls_go(void)
{
    enum { N = 400 };
    const uint64_t hour = 3600000, t0 = 1000000 * hour;
    struct kit k;
    char id[20], openai[20], sip[20], item[20];
    struct heard h = {0};
    struct journal_call row;
    unsigned claimed = 0;
    struct heard all[N];
    sqlite3 *db;

    memset(all, 0, sizeof all);
    kit_init(&k);
    kit_open(&k, 0);
    for (unsigned i = 0; i < N; i++) {
        (void)snprintf(id, sizeof id, "call_%04u", i);
        (void)snprintf(openai, sizeof openai, "rtc_%u", i);
        (void)snprintf(sip, sizeof sip, "sip_%u", i);
        row = row_of(id, openai, sip);
        row.received_at = t0 + i * hour / 4; /* the last is 100 h younger than the first */
        T_OK(journal_claim(k.s, &row, 0, on_claim, &all[i]));
        T_OK(journal_hop(k.s, row.id, 1, STR("h"), STR("d")));
        (void)snprintf(item, sizeof item, "i%u", i);
        row.state = STR(JOURNAL_OVER);
        row.ended_at = row.received_at + 1000;
        if (i != 3) /* one of the oldest never ended */
            T_OK(journal_save(k.s, &row, JOURNAL_SET_STATE | JOURNAL_SET_ENDED_AT, NULL, NULL));
    }
    for (unsigned i = 0; i < N; i++)
        claimed += kit_wait(&k, &all[i].n, 1, 10000) && all[i].rc == 0;
    T_EQ(claimed, N);
    T_OK(turn(&k, "call_0000", "i", 1, "caller", "secret words"));
    db = kit_beside(&k);

    T_OK(expire(&k, t0 + 50 * hour, 0)); /* keeps all */
    T_EQ(kit_int(db, "SELECT count(*) FROM call"), N);
    T_EQ(kit_int(db, "SELECT count(*) FROM claim"), N);
    /* Now is 100 h after the first: calls of 20 h are kept and claims of 72 h; the rest goes. */
    T_OK(expire(&k, t0 + 100 * hour, 20 * hour));
    T_EQ(kit_int(db, "SELECT count(*) FROM call WHERE state='over'"), 80);
    T_EQ(kit_int(db, "SELECT count(*) FROM call WHERE id='call_0003'"), 1);
    T_EQ(kit_int(db, "SELECT count(*) FROM hop"), 81);
    T_EQ(kit_int(db, "SELECT count(*) FROM turn"), 0);
    T_EQ(kit_int(db, "SELECT count(*) FROM claim"), 72 * 4);
    T_EQ(claim(&k, "call_x", "rtc_150", ""), JOURNAL_DUPLICATE); /* gone, but not to be taken again */
    T_EQ(claim(&k, "call_y", "rtc_0", ""), JOURNAL_NEW); /* older than any retry */
    T_EQ(query(&k, &h, JOURNAL_Q_CALL, "rtc_150", 1), ERR_NOT_FOUND);
    T_OK(query(&k, &h, JOURNAL_Q_CALL, "rtc_3", 1)); /* older than its claim, but it stands */
    text_is(h.doc, "call", "call_0003");
    /* And those claims go in their time, all but the newest. */
    T_OK(expire(&k, t0 + 200 * hour, 20 * hour));
    T_EQ(kit_int(db, "SELECT count(*) FROM call"), 2); /* the open one, and call_y */
    T_EQ(kit_int(db, "SELECT count(*) FROM claim"), 1);
    T_EQ(claim(&k, "call_z", "rtc_150", ""), JOURNAL_NEW);
    T_EQ(kit_int(db, "SELECT max(n) FROM claim"), N + 2);
    T_FALSE(journal_known(k.s, STR("rtc_151"), STR_NONE));
    /* The index outgrows its table, drops what is gone, and still knows the rest. */
    T_EQ(claim_many(&k, "again", 3000, JOURNAL_NEW), 0);
    T_EQ(claim_many(&k, "again", 3000, JOURNAL_DUPLICATE), 0);
    T_EQ(claim_many(&k, "more", 3000, JOURNAL_NEW), 0);
    T_EQ(claim(&k, "call_x", "rtc_150", ""), JOURNAL_DUPLICATE);
    T_EQ(kit_int(db, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"), 0);
    T_EQ(kit_int(db, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
    (void)sqlite3_close(db);
    heard_free(&h);
    kit_done(&k);
}

/* ---- Bounds and memory. ---- */

static void too_much_text(void)
{
    const size_t n = ((size_t)8 << 20) + 1;
    struct kit k;
    struct heard h = {0};
    char *big = malloc(n);
    struct journal_call row = row_of("call_1", "rtc_1", "");
    struct journal_turn t = {.item_id = STR("i")};

    T_MUST(big != NULL);
    memset(big, 'a', n);
    kit_init(&k);
    kit_open(&k, 0);
    T_EQ(claim(&k, "call_1", "rtc_1", ""), JOURNAL_NEW);
    t.text = str_make(big, n);
    T_EQ(journal_turn(k.s, row.id, &t, on_rc, &h), ERR_TOO_BIG);
    T_EQ(journal_hop(k.s, row.id, 1, STR("h"), t.text), ERR_TOO_BIG);
    row.detail = t.text;
    T_EQ(journal_save(k.s, &row, JOURNAL_SET_REASON, on_rc, &h), ERR_TOO_BIG);
    T_EQ(journal_claim(k.s, &row, 0, on_claim, &h), ERR_TOO_BIG);
    T_EQ(journal_query(k.s, JOURNAL_Q_CALL, t.text, 1, on_json, &h), ERR_TOO_BIG);
    T_EQ(h.n, 0);
    t.text = str_make(big, n / 2); /* half of that is taken, and comes back whole */
    t.who = STR("caller");
    T_OK(journal_turn(k.s, STR("call_1"), &t, on_rc, &h));
    WAIT(&k, &h);
    T_OK(h.rc);
    T_OK(query(&k, &h, JOURNAL_Q_TRANSCRIPT, "call_1", 0));
    T_EQ(json_get_str(json_first(json_get(h.doc, "turns")), "text").n, n / 2);
    heard_free(&h);
    free(big);
    kit_done(&k);
}

/* Every function refuses in order when memory is out, and works when it is there again. */
static void out_of_memory(void)
{
    struct kit k;
    struct heard h = {0};
    struct found f = {0};
    struct journal_call row = row_of("call_1", "rtc_1", "sip_1");
    struct journal_turn t = {.item_id = STR("i"), .who = STR("caller"), .text = STR("x")};
    struct journal_tool run = {.tool_call = STR("t"), .state = STR("running")};
    int rc;

    kit_init(&k);
    kit_open(&k, 0);
    for (int what = 0; what < 8; what++) {
        rc = -1;
        for (unsigned long n = 1; rc < 0 && n < 20; n++) {
            h.n = f.n = 0;
            (void)mem_fault_after(n);
            switch (what) {
            case 0: rc = journal_claim(k.s, &row, 0, on_claim, &h); break;
            case 1: rc = journal_save(k.s, &row, JOURNAL_SET_STATE, on_rc, &h); break;
            case 2: rc = journal_hop(k.s, row.id, 1, STR("h"), STR("d")); break;
            case 3: rc = journal_turn(k.s, row.id, &t, on_rc, &h); break;
            case 4: rc = journal_tool(k.s, row.id, &run, on_rc, &h); break;
            case 5: rc = journal_query(k.s, JOURNAL_Q_WHY, row.id, 1, on_json, &h); break;
            case 6: rc = journal_adopt(k.s, on_adopt, &f); break;
            default: rc = journal_expire(k.s, 1, 1, on_rc, &h); break;
            }
            (void)mem_fault_after(0);
            if (rc < 0) {
                T_EQ(rc, ERR_NOMEM);
                T_EQ(n, 1); /* one block an operation */
            }
        }
        T_OK(rc);
        if (what == 2)
            h.n = 1;
        T_TRUE(kit_wait(&k, what == 6 ? &f.n : &h.n, 1, 5000));
        T_OK(what == 6 ? f.rc : h.rc);
    }
    T_OK(release(&k));
    T_HAS(h.json, "\"hop\":\"h\"");
    heard_free(&h);
    kit_done(&k);
}

/* Callbacks may be left out, and what is queued when the store closes is still told. */
static void nobody_listens(void)
{
    struct kit k;
    struct heard h = {0};
    struct journal_call row = row_of("call_1", "rtc_1", "");
    struct journal_turn t = {.item_id = STR("i"), .who = STR("caller"), .text = STR("x")};
    struct journal_tool run = {.tool_call = STR("t"), .state = STR("running")};

    kit_init(&k);
    kit_open(&k, 0);
    T_OK(journal_claim(k.s, &row, 0, on_claim, &h));
    T_OK(journal_turn(k.s, row.id, &t, NULL, NULL));
    T_OK(journal_tool(k.s, row.id, &run, NULL, NULL));
    T_OK(journal_save(k.s, &row, JOURNAL_SET_STATE, NULL, NULL));
    T_OK(journal_adopt(k.s, NULL, NULL));
    T_OK(journal_expire(k.s, 1, 1, NULL, NULL));
    T_OK(journal_release(k.s, NULL, NULL));
    kit_close(&k);
    T_EQ(h.n, 1);
    T_OK(h.rc);
    kit_open(&k, 0);
    T_EQ(adopt(&k).tools, 1);
    kit_done(&k);
}

int main(void)
{
    T_RUN(one_decision_per_call);
    T_RUN(a_failed_claim_leaves_nothing);
    T_RUN(a_claim_has_a_deadline);
    T_RUN(odd_ids);
    T_RUN(others_claims_are_seen);
    T_RUN(two_processes_race);
    T_RUN(saves_write_what_they_name);
    T_RUN(transcripts);
    T_RUN(flight_record);
    T_RUN(lists_of_calls);
    T_RUN(only_the_dead_are_inherited);
    T_RUN(two_adopt_at_once);
    T_RUN(killed_in_a_storm);
    T_RUN(old_calls_go);
    T_RUN(too_much_text);
    T_RUN(out_of_memory);
    T_RUN(nobody_listens);
    return T_DONE();
}
