/* SPDX-License-Identifier: MIT */
#include "memory/journal.h"
#include "tests/unit/journal_kit.h"

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
    kit_close(&k);
    T_EQ(h.n, 1);
    T_OK(h.rc);
    kit_open(&k, 0);
    T_EQ(adopt(&k).tools, 1);
    kit_done(&k);
}

int main(void)
{
    T_RUN(saves_write_what_they_name);
    T_RUN(transcripts);
    T_RUN(flight_record);
    T_RUN(lists_of_calls);
    T_RUN(too_much_text);
    T_RUN(out_of_memory);
    T_RUN(nobody_listens);
    return T_DONE();
}
