/* SPDX-License-Identifier: MIT */
/* Rows of the telephone's side: made once for each key, tied to legs, found again after a restart. */
#include "memory/lines.h"
#include "tests/unit/people_kit.h"

#define REF "0123456789abcdef0123456789abcdef"

struct made {
    unsigned n;
    int rc;
    enum line_made made;
    enum line_leg_result leg;
    char id[64];
};

static void on_made(void *arg, int rc, enum line_made made, struct str id)
{
    struct made *m = arg;

    m->rc = rc;
    m->made = made;
    (void)str_copy(m->id, sizeof m->id, id);
    m->n++;
}

static void on_leg(void *arg, int rc, enum line_leg_result leg, struct str id)
{
    struct made *m = arg;

    m->rc = rc;
    m->leg = leg;
    (void)str_copy(m->id, sizeof m->id, id);
    m->n++;
}

static struct journal_call call_of(const char *id)
{
    return (struct journal_call){.id = str_of(id), .direction = STR("outbound"), .from = STR("+15550000002"),
                                 .from_kind = STR("e164"), .level = STR("known"), .state = STR(JOURNAL_WAITING),
                                 .received_at = 1000};
}

static struct line_row line_of(const char *call, const char *ref, const char *idem, const char *hash)
{
    return (struct line_row){.call = str_of(call), .carrier = STR("twilio"), .ref = str_of(ref),
                             .phase = STR("queued"), .number = STR("+15550000002"), .own = STR("+15550000001"),
                             .machine = STR("{\"v\":1}"), .spec = STR("{\"purpose\":\"x\"}"), .idem = str_of(idem),
                             .idem_hash = str_of(hash), .made_at = 1000};
}

static struct made put(struct kit *k, const char *call, const char *ref, const char *idem, const char *hash)
{
    struct made m = {0};
    struct journal_call c = call_of(call);
    struct line_row row = line_of(call, ref, idem, hash);

    T_OK(line_put(k->s, &c, &row, 0, on_made, &m));
    T_TRUE(kit_wait(k, &m.n, 1, 10000));
    return m;
}

static struct made leg(struct kit *k, const char *ref, const char *openai, const char *sip)
{
    struct made m = {0};

    T_OK(line_claim_leg(k->s, str_of(ref), str_of(openai), str_of(sip), 0, 2000, 0, on_leg, &m));
    T_TRUE(kit_wait(k, &m.n, 1, 10000));
    return m;
}

struct seen {
    unsigned calls, n;
    int rc;
    char call[64], phase[32], machine[100], outcome[32];
    unsigned attempts;
};

static void on_lines(void *arg, int rc, const struct line_row *rows, unsigned n)
{
    struct seen *s = arg;

    s->rc = rc;
    s->n = n;
    if (n > 0) {
        (void)str_copy(s->call, sizeof s->call, rows[0].call);
        (void)str_copy(s->phase, sizeof s->phase, rows[0].phase);
        (void)str_copy(s->machine, sizeof s->machine, rows[0].machine);
        (void)str_copy(s->outcome, sizeof s->outcome, rows[0].outcome);
        s->attempts = rows[0].attempts;
    }
    s->calls++;
}

static struct seen open_rows(struct kit *k)
{
    struct seen s = {0};

    T_OK(lines_open_rows(k->s, on_lines, &s));
    T_TRUE(kit_wait(k, &s.calls, 1, 10000));
    T_OK(s.rc);
    return s;
}

static void a_key_makes_one_call(void)
{
    struct kit k;
    struct made m;

    kit_init(&k);
    kit_open(&k, 0);
    m = put(&k, "call_1", REF, "key", "hash");
    T_OK(m.rc);
    T_EQ(m.made, LINE_MADE_NEW);
    m = put(&k, "call_2", "ref2", "key", "hash");
    T_EQ(m.made, LINE_MADE_SAME);
    T_STR_EQ(m.id, "call_1");
    m = put(&k, "call_3", "ref3", "key", "another");
    T_EQ(m.made, LINE_MADE_OTHER);
    T_EQ(put(&k, "call_4", "ref4", "", "").made, LINE_MADE_NEW);
    T_EQ(put(&k, "call_5", "ref5", "", "").made, LINE_MADE_NEW);
    T_LT(put(&k, "call_6", "ref5", "", "").rc, 0); /* a reference is unique; the call goes with it */
    T_EQ(open_rows(&k).n, 3);
    {
        sqlite3 *db = kit_beside(&k);

        T_EQ(kit_int(db, "SELECT count(*) FROM call"), 3);
        sqlite3_close(db);
    }
    kit_done(&k);
}

static void a_leg_is_tied_once(void)
{
    struct kit k;
    struct heard h = {0};
    struct journal_call over = {.id = STR("call_2"), .state = STR(JOURNAL_OVER)};

    kit_init(&k);
    kit_open(&k, 0);
    (void)put(&k, "call_1", "room1", "", "");
    (void)put(&k, "call_2", "room2", "", "");
    T_EQ(leg(&k, REF, "rtc_0", "sip_0").leg, LINE_LEG_UNKNOWN);
    T_EQ(ASK(&k, &h, line_note_ref(k.s, STR(REF), STR("call_1"), on_rc, &h)), 0);
    T_EQ(leg(&k, REF, "rtc_1", "sip_1").leg, LINE_LEG_NEW);
    T_EQ(leg(&k, REF, "rtc_1", "sip_1").leg, LINE_LEG_DUPLICATE);
    T_EQ(leg(&k, REF, "rtc_2", "sip_2").leg, LINE_LEG_UNKNOWN); /* used */
    T_EQ(ASK(&k, &h, line_note_ref(k.s, STR("leg2"), STR("call_2"), on_rc, &h)), 0);
    T_EQ(ASK(&k, &h, journal_save(k.s, &over, JOURNAL_SET_STATE, on_rc, &h)), 0);
    T_EQ(leg(&k, "leg2", "rtc_3", "sip_3").leg, LINE_LEG_OVER);
    {
        sqlite3 *db = kit_beside(&k);

        T_EQ(kit_int(db, "SELECT count(*) FROM call WHERE id='call_1' AND openai_call_id='rtc_1' AND state='claimed'"),
             1);
        T_EQ(kit_int(db, "SELECT count(*) FROM claim"), 1);
        sqlite3_close(db);
    }
    kit_done(&k);
}

struct adopted {
    unsigned calls, n;
    bool has_line;
    char state[16], spec[64];
};

static void on_adopted(void *arg, int rc, const struct journal_found *found, unsigned n, unsigned held)
{
    struct adopted *a = arg;

    T_OK(rc);
    T_EQ(held, 0);
    a->n = n;
    for (unsigned i = 0; i < n; i++) {
        a->has_line = found[i].has_line;
        (void)str_copy(a->state, sizeof a->state, found[i].row.state);
        (void)str_copy(a->spec, sizeof a->spec, found[i].line_spec);
    }
    a->calls++;
}

static void the_next_instance_knows_what_was_asked_for(void)
{
    struct kit k;
    struct adopted a = {0};

    kit_init(&k);
    kit_open(&k, 0);
    (void)put(&k, "call_1", REF, "", "");
    kit_close(&k);
    kit_open(&k, 0);
    T_OK(journal_adopt(k.s, on_adopted, &a));
    T_TRUE(kit_wait(&k, &a.calls, 1, 10000));
    T_EQ(a.n, 1);
    T_TRUE(a.has_line);
    T_STR_EQ(a.state, JOURNAL_WAITING);
    T_STR_EQ(a.spec, "{\"purpose\":\"x\"}");
    kit_done(&k);
}

static void rows_come_back(void)
{
    struct kit k;
    struct heard h = {0};
    struct seen s;
    struct made m = {0};
    struct line_row row = line_of("call_1", REF, "", "");
    struct action_row act = {.id = STR("act_1"), .call = STR("call_1"), .kind = STR("hold"), .state = STR("asked"),
                             .body = STR("{}"), .idem = STR("k"), .idem_hash = STR("h"), .at = 5};

    kit_init(&k);
    kit_open(&k, 0);
    (void)put(&k, "call_1", REF, "", "");
    row.phase = STR("answered");
    row.machine = STR("{\"v\":2}");
    row.attempts = 2;
    T_EQ(ASK(&k, &h, line_save(k.s, &row, on_rc, &h)), 0);
    T_EQ(ASK(&k, &h, line_note_leg(k.s, STR("CA1"), STR("call_1"), on_rc, &h)), 0);
    T_EQ(ASK(&k, &h, line_note_leg(k.s, STR("CA1"), STR("call_1"), on_rc, &h)), 0);
    s = open_rows(&k);
    T_EQ(s.n, 1);
    T_STR_EQ(s.phase, "answered");
    T_STR_EQ(s.machine, "{\"v\":2}");
    T_EQ(s.attempts, 2);
    memset(&s, 0, sizeof s);
    T_OK(line_row_of(k.s, STR("CA1"), on_lines, &s));
    T_TRUE(kit_wait(&k, &s.calls, 1, 10000));
    T_STR_EQ(s.call, "call_1");
    T_OK(action_put(k.s, &act, on_made, &m));
    T_TRUE(kit_wait(&k, &m.n, 1, 10000));
    T_EQ(m.made, LINE_MADE_NEW);
    act.id = STR("act_2");
    T_OK(action_put(k.s, &act, on_made, &m));
    T_TRUE(kit_wait(&k, &m.n, 2, 10000));
    T_EQ(m.made, LINE_MADE_SAME);
    T_STR_EQ(m.id, "act_1");
    T_EQ(ASK(&k, &h, action_save(k.s, STR("act_1"), STR("done"), STR(""), 9, on_rc, &h)), 0);
    row.phase = STR("completed");
    T_EQ(ASK(&k, &h, line_save(k.s, &row, on_rc, &h)), 0);
    T_EQ(open_rows(&k).n, 0);
    row.call = STR("call_9");
    T_EQ(ASK(&k, &h, line_save(k.s, &row, on_rc, &h)), ERR_NOT_FOUND);
    kit_done(&k);
}

static void on_actions(void *arg, int rc, const struct action_row *rows, unsigned n)
{
    struct seen *s = arg;

    s->rc = rc;
    s->n = n;
    if (n > 0) {
        (void)str_copy(s->call, sizeof s->call, rows[0].id);
        (void)str_copy(s->phase, sizeof s->phase, rows[0].state);
        (void)str_copy(s->machine, sizeof s->machine, rows[0].body);
    }
    s->calls++;
}

static struct seen actions_of(struct kit *k, const char *id)
{
    struct seen s = {0};

    T_OK(action_rows(k->s, str_of(id), on_actions, &s));
    T_TRUE(kit_wait(k, &s.calls, 1, 10000));
    T_OK(s.rc);
    return s;
}

static void ask(struct kit *k, const char *id, const char *call, const char *kind, uint64_t at)
{
    struct made m = {0};
    struct action_row row = {.id = str_of(id), .call = str_of(call), .kind = str_of(kind), .state = STR("asked"),
                             .body = STR("{\"by\":\"api\"}"), .at = at};

    T_OK(action_put(k->s, &row, on_made, &m));
    T_TRUE(kit_wait(k, &m.n, 1, 10000));
}

static void actions_that_are_open_are_found_and_end_once(void)
{
    struct kit k;
    struct heard h = {0};
    struct seen s;
    struct journal_call over = {.id = STR("call_2"), .state = STR("over"), .ended_at = 9};

    kit_init(&k);
    kit_open(&k, 0);
    (void)put(&k, "call_1", REF, "", "");
    (void)put(&k, "call_2", "1123456789abcdef0123456789abcdef", "", "");
    ask(&k, "act_2", "call_1", "hold", 20);
    ask(&k, "act_1", "call_1", "dtmf", 10);
    ask(&k, "act_3", "call_2", "hangup", 5);
    ask(&k, "act_4", "call_2", "hold", 6);
    T_EQ(ASK(&k, &h, journal_save(k.s, &over, JOURNAL_SET_STATE | JOURNAL_SET_ENDED_AT, on_rc, &h)), 0);
    s = actions_of(&k, "");
    T_EQ(s.n, 2);
    T_STR_EQ(s.call, "act_1");
    T_STR_EQ(s.machine, "{\"by\":\"api\"}");
    T_EQ(ASK(&k, &h, action_save(k.s, STR("act_1"), STR("doing"), STR(""), 0, on_rc, &h)), 0);
    T_EQ(actions_of(&k, "").n, 2);
    T_EQ(ASK(&k, &h, action_save(k.s, STR("act_1"), STR("done"), STR(""), 9, on_rc, &h)), 0);
    T_EQ(actions_of(&k, "").n, 1);
    T_EQ(ASK(&k, &h, action_save(k.s, STR("act_1"), STR("failed"), STR("x"), 10, on_rc, &h)), 0);
    T_STR_EQ(actions_of(&k, "act_1").phase, "done");
    T_EQ(ASK(&k, &h, action_end_over(k.s, STR("gone"), 30, on_rc, &h)), 0);
    T_STR_EQ(actions_of(&k, "act_3").phase, "done");
    T_STR_EQ(actions_of(&k, "act_4").phase, "failed");
    T_STR_EQ(actions_of(&k, "act_2").phase, "asked");
    kit_close(&k);
    kit_open(&k, 0);
    T_EQ(actions_of(&k, "").n, 0); /* whose call is another instance's, until it is adopted */
    kit_done(&k);
}

struct questions_seen {
    unsigned calls, n;
    char id[64], answer[64], state[32];
    uint64_t until;
};

static void on_questions(void *arg, int rc, const struct question_row *rows, unsigned n)
{
    struct questions_seen *s = arg;

    T_OK(rc);
    s->n = n;
    if (n > 0) {
        (void)str_copy(s->id, sizeof s->id, rows[0].id);
        (void)str_copy(s->answer, sizeof s->answer, rows[0].answer);
        (void)str_copy(s->state, sizeof s->state, rows[0].state);
        s->until = rows[0].until;
    }
    s->calls++;
}

static struct questions_seen questions(struct kit *k, const char *call)
{
    struct questions_seen s = {0};

    T_OK(question_rows(k->s, str_of(call), on_questions, &s));
    T_TRUE(kit_wait(k, &s.calls, 1, 10000));
    return s;
}

/* Asked once however often it is put; those that nobody waits for any more are found by their call alone. */
static void questions_are_open_until_they_are_told(void)
{
    struct kit k;
    struct heard h = {0};
    struct questions_seen s;
    struct question_row row = {.id = STR("qst_1"), .call = STR("call_1"), .text = STR("Eight?"), .state = STR("asked"),
                               .identity = STR("telegram:777"), .asked_at = 5, .until = 500};

    kit_init(&k);
    kit_open(&k, 0);
    (void)put(&k, "call_1", REF, "", "");
    T_EQ(questions(&k, "").n, 0);
    T_EQ(ASK(&k, &h, question_put(k.s, &row, on_rc, &h)), 0);
    row.state = STR("answered");
    row.answer = STR("Nine.");
    T_EQ(ASK(&k, &h, question_put(k.s, &row, on_rc, &h)), 0);
    s = questions(&k, "");
    T_EQ(s.n, 1);
    T_STR_EQ(s.id, "qst_1");
    T_STR_EQ(s.answer, "Nine.");
    T_STR_EQ(s.state, "answered");
    T_EQ(s.until, 500);
    T_EQ(questions(&k, "call_2").n, 0);
    row.state = STR("told");
    T_EQ(ASK(&k, &h, question_put(k.s, &row, on_rc, &h)), 0);
    T_EQ(questions(&k, "").n, 0);
    T_EQ(questions(&k, "call_1").n, 1);
    row.call = STR("call_9"); /* forgotten meanwhile */
    row.id = STR("qst_9");
    T_EQ(ASK(&k, &h, question_put(k.s, &row, on_rc, &h)), 0);
    T_EQ(questions(&k, "call_9").n, 0);
    kit_done(&k);
}

int main(void)
{
    T_RUN(a_key_makes_one_call);
    T_RUN(a_leg_is_tied_once);
    T_RUN(the_next_instance_knows_what_was_asked_for);
    T_RUN(rows_come_back);
    T_RUN(actions_that_are_open_are_found_and_end_once);
    T_RUN(questions_are_open_until_they_are_told);
    return T_DONE();
}
