/* SPDX-License-Identifier: MIT */
/* What rows of calls, lines, actions and recordings tell to whoever asks. */
#include "memory/lines.h"
#include "tests/unit/people_kit.h"

/* Stands until it is asked four times more. */
static const char *text_of(const struct json *node, const char *key)
{
    static char text[4][200];
    static unsigned at;

    at = (at + 1) % 4;
    if (!str_copy(text[at], sizeof text[at], json_get_str(node, key)))
        text[at][0] = '\0';
    return text[at];
}

static void begin(struct kit *k)
{
    struct heard h = {0};
    struct journal_call row = {.id = STR("call_1"), .openai_call_id = STR("rtc_1"), .sip_call_id = STR("sip_1"),
                               .direction = STR("inbound"), .from = STR("+15550000001"), .from_kind = STR("e164"),
                               .level = STR("known"), .state = STR(JOURNAL_CLAIMED), .received_at = 1000};

    kit_init(k);
    kit_open(k, 0);
    T_EQ(ASK(k, &h, journal_claim(k->s, &row, 0, on_claim, &h)), 0);
}

static void on_made(void *arg, int rc, enum line_made made, struct str id)
{
    (void)made;
    (void)id;
    on_rc(arg, rc);
}

/* A call that came straight here has a line once it is steered, and one at most. */
static void a_line_of_a_call_that_stands(void)
{
    struct kit k;
    struct heard h = {0};
    struct line_row line = {.call = STR("call_1"), .carrier = STR("sip"), .ref = STR("ref_1"), .phase = STR("live"),
                            .number = STR("+15550000001"), .own = STR(""), .made_at = 2000};

    begin(&k);
    T_EQ(ASK(&k, &h, journal_query(k.s, JOURNAL_Q_CALL, STR("call_1"), 1, on_json, &h)), 0);
    T_STR_EQ(text_of(h.doc, "carrier"), "sip");
    T_EQ(ASK(&k, &h, line_add(k.s, &line, on_rc, &h)), 0);
    line.ref = STR("ref_2");
    T_EQ(ASK(&k, &h, line_add(k.s, &line, on_rc, &h)), 0);
    line.call = STR("call_gone");
    line.ref = STR("ref_3");
    T_EQ(ASK(&k, &h, line_add(k.s, &line, on_rc, &h)), 0);
    {
        sqlite3 *db = kit_beside(&k);

        T_EQ(kit_int(db, "SELECT count(*) FROM line"), 1);
        T_EQ(kit_int(db, "SELECT count(*) FROM line WHERE ref='ref_1' AND call='call_1'"), 1);
        sqlite3_close(db);
    }
    line = (struct line_row){.call = STR("call_1"), .phase = STR("completed"), .outcome = STR("handed_over"),
                             .machine = STR(""), .ended_at = 3000};
    T_EQ(ASK(&k, &h, line_save(k.s, &line, on_rc, &h)), 0);
    T_EQ(ASK(&k, &h, journal_query(k.s, JOURNAL_Q_CALL, STR("call_1"), 1, on_json, &h)), 0);
    T_STR_EQ(text_of(h.doc, "outcome"), "handed_over");
    T_STR_EQ(text_of(h.doc, "carrier"), "sip");
    heard_free(&h);
    kit_done(&k);
}

static void placed(struct kit *k, const char *id)
{
    struct heard h = {0};
    struct journal_call call = {.id = str_of(id), .direction = STR("outbound"), .from = STR("+15550000002"),
                                .from_kind = STR("e164"), .level = STR("known"), .state = STR(JOURNAL_WAITING),
                                .received_at = 1000};
    struct line_row line = {.call = str_of(id), .carrier = STR("twilio"), .ref = str_of(id), .phase = STR("queued"),
                            .number = STR("+15550000002"), .own = STR("+15550000001"), .machine = STR("m"),
                            .spec = STR("{}"), .made_at = 1000, .due_at = 5000};

    T_EQ(ASK(k, &h, line_put(k->s, &call, &line, 0, on_made, &h)), 0);
}

static void expect_line(struct kit *k, const char *phase, const char *status)
{
    struct heard h = {0};
    struct line_row line = {.call = STR("call_2"), .phase = str_of(phase), .outcome = STR("answered"),
                            .code = STR("200"), .detail = STR("so it is"), .machine = STR("m"), .due_at = 5000};

    T_EQ(ASK(k, &h, line_save(k->s, &line, on_rc, &h)), 0);
    T_EQ(ASK(k, &h, journal_query(k->s, JOURNAL_Q_CALL, STR("call_2"), 1, on_json, &h)), 0);
    T_STR_EQ(text_of(h.doc, "status"), status);
    T_STR_EQ(text_of(h.doc, "phase"), phase);
    T_STR_EQ(text_of(h.doc, "detail"), "so it is");
    T_STR_EQ(text_of(h.doc, "carrier_code"), "200");
    T_STR_EQ(text_of(h.doc, "outcome"), "answered");
    heard_free(&h);
}

static void a_line_in_its_calls_words(void)
{
    struct kit k;
    struct heard h = {0};
    struct journal_call over = {.id = STR("call_2"), .state = STR(JOURNAL_OVER), .ended_at = 9000};
    struct recording_row recording = {.call = STR("call_2"), .sid = STR("RE1"), .state = STR("fetching"),
                                      .path = STR("call_2.wav"), .at = 4000, .due_at = 4000};

    begin(&k);
    placed(&k, "call_2");
    expect_line(&k, "queued", "initiated");
    expect_line(&k, "dialing", "initiated");
    expect_line(&k, "live", "live");
    expect_line(&k, "ending", "answered");
    T_EQ(ASK(&k, &h, recording_add(k.s, &recording, on_rc, &h)), 0);
    T_EQ(ASK(&k, &h, journal_query(k.s, JOURNAL_Q_CALL, STR("call_2"), 1, on_json, &h)), 0);
    T_STR_EQ(text_of(h.doc, "recording"), "fetching");
    T_EQ(ASK(&k, &h, journal_save(k.s, &over, JOURNAL_SET_STATE | JOURNAL_SET_ENDED_AT, on_rc, &h)), 0);
    T_EQ(ASK(&k, &h, journal_query(k.s, JOURNAL_Q_CALL, STR("call_2"), 1, on_json, &h)), 0);
    T_STR_EQ(text_of(h.doc, "status"), "completed"); /* though it waits for its recording */
    heard_free(&h);
    kit_done(&k);
}

static void actions_in_order(void)
{
    static const struct {
        const char *id, *kind, *body;
        uint64_t at;
    } rows[] = {{"act_b", "hold", "{\"by\":\"api\"}", 20}, {"act_a", "dtmf", "{\"digits\":\"1\"}", 10}};
    struct kit k;
    struct heard h = {0};
    const struct json *a;

    begin(&k);
    T_EQ(ASK(&k, &h, action_list(k.s, STR("call_1"), on_json, &h)), 0);
    T_STR_EQ(h.json, "{\"actions\":[]}");
    for (size_t i = 0; i < 2; i++) {
        struct action_row row = {.id = str_of(rows[i].id), .call = STR("call_1"), .kind = str_of(rows[i].kind),
                                 .state = STR("asked"), .idem = str_of(rows[i].id), .idem_hash = STR("h"),
                                 .body = str_of(rows[i].body), .at = rows[i].at};

        T_EQ(ASK(&k, &h, action_put(k.s, &row, on_made, &h)), 0);
    }
    T_EQ(ASK(&k, &h, action_save(k.s, STR("act_b"), STR("failed"), STR("no line"), 30, on_rc, &h)), 0);
    T_EQ(ASK(&k, &h, action_list(k.s, STR("call_1"), on_json, &h)), 0);
    a = json_first(json_get(h.doc, "actions"));
    T_STR_EQ(text_of(a, "id"), "act_a");
    T_STR_EQ(text_of(a, "action"), "dtmf");
    T_STR_EQ(text_of(json_get(a, "body"), "digits"), "1");
    a = json_next(a);
    T_STR_EQ(text_of(a, "state"), "failed");
    T_STR_EQ(text_of(a, "error"), "no line");
    T_EQ(json_get_int(a, "done_at", 0), 30);
    T_NULL(json_next(a));
    heard_free(&h);
    kit_done(&k);
}

/* A recording that is told when its call is forgotten already is owed to be deleted. */
static void a_recording_of_a_call_that_is_gone(void)
{
    struct kit k;
    struct heard h = {0};
    struct recording_row r = {.call = STR("call_gone"), .sid = STR("RE9"), .state = STR("fetching"), .at = 4000};
    sqlite3 *db;

    begin(&k);
    T_EQ(ASK(&k, &h, recording_add(k.s, &r, on_rc, &h)), 0);
    db = kit_beside(&k);
    T_EQ(kit_int(db, "SELECT count(*) FROM recording"), 0);
    T_EQ(kit_int(db, "SELECT count(*) FROM recording_owed WHERE sid='RE9' AND path=''"), 1);
    sqlite3_close(db);
    r.call = STR("call_1");
    r.sid = STR("RE1");
    T_EQ(ASK(&k, &h, recording_add(k.s, &r, on_rc, &h)), 0);
    r.sid = STR("RE2"); /* another of that call is left alone */
    T_EQ(ASK(&k, &h, recording_add(k.s, &r, on_rc, &h)), 0);
    db = kit_beside(&k);
    T_EQ(kit_int(db, "SELECT count(*) FROM recording WHERE call='call_1' AND sid='RE1'"), 1);
    T_EQ(kit_int(db, "SELECT count(*) FROM recording_owed"), 1);
    sqlite3_close(db);
    kit_done(&k);
}

static const char *said(struct kit *k, struct heard *h, bool *interrupted)
{
    const struct json *t;

    T_EQ(ASK(k, h, journal_query(k->s, JOURNAL_Q_TRANSCRIPT, STR("call_1"), 1, on_json, h)), 0);
    t = json_first(json_get(h->doc, "turns"));
    *interrupted = json_get_bool(t, "interrupted", false);
    return text_of(t, "text");
}

/* What was stored whole turns out to have been cut off: once, to what was heard of it. */
static void a_turn_that_was_cut_off(void)
{
    struct kit k;
    struct heard h = {0};
    bool interrupted = true;
    struct journal_turn turn = {.item_id = STR("item_1"), .pos = 1, .who = STR("assistant"),
                                .text = STR("one two three four five six seven eight"), .audio_ms = 8000, .at = 5000};
    struct journal_turn cut = {.item_id = STR("item_1"), .heard_ms = 4000};
    char first[100];

    begin(&k);
    T_EQ(ASK(&k, &h, journal_turn(k.s, STR("call_1"), &turn, on_rc, &h)), 0);
    T_STR_EQ(said(&k, &h, &interrupted), "one two three four five six seven eight");
    T_FALSE(interrupted);
    T_EQ(ASK(&k, &h, journal_turn(k.s, STR("call_1"), &cut, on_rc, &h)), 0);
    (void)snprintf(first, sizeof first, "%s", said(&k, &h, &interrupted));
    T_TRUE(interrupted);
    T_TRUE(strncmp(first, "one two", 7) == 0);
    T_LT(strlen(first), 30);
    cut.heard_ms = 1000; /* told again: it stays as it is */
    T_EQ(ASK(&k, &h, journal_turn(k.s, STR("call_1"), &cut, on_rc, &h)), 0);
    T_STR_EQ(said(&k, &h, &interrupted), first);
    cut.item_id = STR("item_unknown"); /* nothing stands there */
    T_EQ(ASK(&k, &h, journal_turn(k.s, STR("call_1"), &cut, on_rc, &h)), 0);
    T_STR_EQ(said(&k, &h, &interrupted), first);
    heard_free(&h);
    kit_done(&k);
}

int main(void)
{
    T_RUN(a_line_of_a_call_that_stands);
    T_RUN(a_line_in_its_calls_words);
    T_RUN(actions_in_order);
    T_RUN(a_recording_of_a_call_that_is_gone);
    T_RUN(a_turn_that_was_cut_off);
    return T_DONE();
}
