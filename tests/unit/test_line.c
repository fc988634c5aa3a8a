/* SPDX-License-Identifier: MIT */
/* The line machine, rule by rule: dialling, what is said of a leg, the model's leg, its text, the clock. */
#include "plugin/call/line.h"

#include "tests/unit/t.h"

#include "tests/unit/line_kit.h"

static struct lk k;

/* ---- Dialling ---- */

static void durable_before_the_dial(void)
{
    struct line_settings set = lk_settings();
    struct line_event ev = {.kind = LINE_EV_SLOT};

    memset(&k, 0, sizeof k);
    k.hold_saves = k.hold_slots = true;
    line_begin_dial(&k.l, &set, STR("r"), STR("+15551230000"), 0, lk_now(&k), &k.fx);
    lk_after(&k);
    T_EQ(k.l.phase, LINE_QUEUED);
    T_EQ(k.slots, 1);
    ev.u.label = STR("caller");
    lk_step(&k, &ev);
    T_EQ(k.l.phase, LINE_DIALING);
    T_EQ(k.n_cmds, 0);
    ev.kind = LINE_EV_SAVED;
    ev.u.version = k.l.version - 1; /* an earlier one */
    lk_step(&k, &ev);
    T_EQ(k.n_cmds, 0);
    ev.u.version = k.l.version;
    lk_step(&k, &ev);
    T_EQ(lk_count(&k, LINE_CMD_CREATE, "caller"), 1);
    lk_step(&k, &ev);
    T_EQ(k.n_cmds, 1);
    T_EQ(k.l.attempts, 1);
}

static void put_off(void)
{
    struct line_settings set = lk_settings();
    uint64_t pauses[] = {1000, 2000, 4000, 8000};

    lk_dial(&k, &set);
    for (unsigned i = 0; i < 4; i++) {
        lk_answer_full(&k, lk_last(&k, LINE_CMD_CREATE, "caller"), i & 1 ? 429 : 0, false, "", "");
        T_EQ(k.l.legs[0].state, LEG_WANTED);
        T_EQ(k.l.attempts, 0);
        T_EQ(k.l.phase, LINE_DIALING);
        lk_wait(&k, pauses[i] - 1);
        T_EQ(lk_count(&k, LINE_CMD_CREATE, ""), i + 1);
        lk_wait(&k, 1);
        T_EQ(lk_count(&k, LINE_CMD_CREATE, ""), i + 2);
    }
    k.hold_slots = true;
    lk_answer_full(&k, lk_last(&k, LINE_CMD_CREATE, "caller"), 0, false, "", "");
    lk_wait(&k, 60000);
    T_EQ(k.l.phase, LINE_OVER);
    T_EQ(k.l.outcome, LINE_OUTCOME_EXPIRED);
    T_EQ(k.overs, 1);
}

static void refusals(void)
{
    static const struct { int status; const char *code; enum line_outcome outcome; } v[] = {
        {400, "21211", LINE_OUTCOME_INVALID}, {400, "21217", LINE_OUTCOME_INVALID}, {400, "13224", LINE_OUTCOME_INVALID},
        {400, "21214", LINE_OUTCOME_UNREACHABLE}, {400, "21215", LINE_OUTCOME_GEO_BLOCKED},
        {400, "13227", LINE_OUTCOME_GEO_BLOCKED}, {400, "21216", LINE_OUTCOME_REFUSED},
        {400, "13225", LINE_OUTCOME_REFUSED}, {400, "21210", LINE_OUTCOME_REFUSED}, {400, "21219", LINE_OUTCOME_REFUSED},
        {401, "20003", LINE_OUTCOME_REFUSED}, {403, "", LINE_OUTCOME_REFUSED}, {400, "21205", LINE_OUTCOME_FAILED},
        {404, "", LINE_OUTCOME_FAILED}};
    struct line_settings set = lk_settings();

    for (unsigned i = 0; i < sizeof v / sizeof v[0]; i++) {
        lk_dial(&k, &set);
        lk_answer_full(&k, lk_last(&k, LINE_CMD_CREATE, "caller"), v[i].status, true, "", v[i].code);
        T_EQ(k.l.outcome, v[i].outcome);
        T_STR_EQ(k.l.code, v[i].code);
        T_TRUE(strlen(k.l.detail) > 20);
        T_EQ(k.l.phase, LINE_OVER);
        T_EQ(lk_count(&k, LINE_CMD_CREATE, ""), 1);
        T_EQ(k.tells[TELL_OVER], 1);
    }
}

static void lost_and_found(void)
{
    struct line_settings set = lk_settings();
    struct line_seen_leg seen = {.label = STR("caller"), .sid = STR("CA7"), .status = LEG_SAYS_RINGING, .up_s = -1};

    for (int status = 0; status <= 503; status += 503) {
        lk_dial(&k, &set);
        lk_answer(&k, lk_last(&k, LINE_CMD_CREATE, "caller"), status, "");
        T_EQ(k.l.legs[0].state, LEG_LOST);
        T_EQ(lk_count(&k, LINE_CMD_LOOK_UP, ""), 1); /* at once */
        lk_found(&k, NULL, 0);
        T_EQ(k.l.legs[0].state, LEG_LOST);
        lk_wait(&k, 5000);
        T_GE(lk_count(&k, LINE_CMD_LOOK_UP, ""), 2);
        lk_found(&k, &seen, 1);
        T_EQ(k.l.phase, LINE_RINGING);
        T_STR_EQ(k.l.legs[0].sid, "CA7");
        T_EQ(lk_count(&k, LINE_CMD_CREATE, ""), 1);
    }
}

static void lost_for_good(void)
{
    struct line_settings set = lk_settings();
    struct leg stray;
    struct line_event ev = {.kind = LINE_EV_STATUS};

    lk_dial(&k, &set);
    lk_answer(&k, lk_last(&k, LINE_CMD_CREATE, "caller"), 500, "");
    for (unsigned i = 0; i < 40; i++) {
        lk_found(&k, NULL, 0);
        lk_wait(&k, 1500);
    }
    T_EQ(k.l.phase, LINE_OVER);
    T_EQ(k.l.outcome, LINE_OUTCOME_UNCONFIRMED);
    T_EQ(lk_count(&k, LINE_CMD_CREATE, ""), 1);
    ev.u.status.label = STR("caller");
    ev.u.status.sid = STR("CA9");
    ev.u.status.status = LEG_SAYS_RINGING;
    T_TRUE(line_stray(&ev, &stray));
    T_STR_EQ(stray.sid, "CA9");
    lk_status(&k, "caller", "CA9", LEG_SAYS_RINGING, 1); /* it rings after all: it ends */
    T_MUST(lk_last(&k, LINE_CMD_END_LEG, ""));
    T_STR_EQ(lk_last(&k, LINE_CMD_END_LEG, "")->sid, "CA9");
    ev.u.status.status = LEG_SAYS_COMPLETED;
    T_FALSE(line_stray(&ev, &stray));
}

static void answer_after_giving_up(void)
{
    struct line_settings set = lk_settings();

    lk_dial(&k, &set);
    lk_wait(&k, 20000); /* no answer at all */
    T_EQ(k.l.legs[0].state, LEG_LOST);
    lk_wait(&k, 150000);
    T_EQ(k.l.outcome, LINE_OUTCOME_UNCONFIRMED);
    T_EQ(k.l.phase, LINE_OVER);
    T_EQ(lk_count(&k, LINE_CMD_CREATE, ""), 1);
    lk_answer(&k, lk_last(&k, LINE_CMD_CREATE, "caller"), 201, "CA9");
    T_STR_EQ(lk_last(&k, LINE_CMD_END_LEG, "")->sid, "CA9");
}

static void callback_adopts(void)
{
    struct line_settings set = lk_settings();

    lk_dial(&k, &set);
    lk_status(&k, "caller", "CA1", LEG_SAYS_RINGING, 1); /* faster than the answer */
    T_EQ(k.l.phase, LINE_RINGING);
    lk_answer(&k, lk_last(&k, LINE_CMD_CREATE, "caller"), 0, ""); /* which is lost */
    T_EQ(k.l.legs[0].state, LEG_RINGING);
    lk_status(&k, "caller", "CA2", LEG_SAYS_RINGING, 2); /* somebody else's? it must not live */
    T_STR_EQ(lk_last(&k, LINE_CMD_END_LEG, "")->sid, "CA2");
    T_STR_EQ(k.l.legs[0].sid, "CA1");
}

static void other_lines_callbacks(void)
{
    struct line_event ev = {.kind = LINE_EV_STATUS};

    lk_dial_made(&k);
    ev.u.status.label = STR("caller");
    ev.u.status.sid = STR("CA1");
    ev.u.status.ref = STR("another");
    ev.u.status.status = LEG_SAYS_IN_PROGRESS;
    lk_step(&k, &ev);
    T_EQ(k.l.phase, LINE_DIALING);
}

static void due_later(void)
{
    struct line_settings set = lk_settings();

    memset(&k, 0, sizeof k);
    line_begin_dial(&k.l, &set, STR("r"), STR("+15551230000"), LK_WALL + 3600000, lk_now(&k), &k.fx);
    lk_after(&k);
    lk_wait(&k, 3599000);
    T_EQ(k.slots, 0);
    lk_wait(&k, 1000);
    T_EQ(lk_count(&k, LINE_CMD_CREATE, "caller"), 1);
}

/* ---- Status ---- */

static void ends_before_the_answer(void)
{
    static const struct { enum line_leg_status says; int sip; enum line_outcome outcome; } v[] = {
        {LEG_SAYS_BUSY, 486, LINE_OUTCOME_BUSY}, {LEG_SAYS_BUSY, 0, LINE_OUTCOME_BUSY},
        {LEG_SAYS_BUSY, 603, LINE_OUTCOME_REJECTED}, {LEG_SAYS_NO_ANSWER, 0, LINE_OUTCOME_NO_ANSWER},
        {LEG_SAYS_NO_ANSWER, 480, LINE_OUTCOME_NO_ANSWER}, {LEG_SAYS_CANCELED, 487, LINE_OUTCOME_CANCELED},
        {LEG_SAYS_FAILED, 404, LINE_OUTCOME_INVALID}, {LEG_SAYS_FAILED, 480, LINE_OUTCOME_UNREACHABLE},
        {LEG_SAYS_FAILED, 403, LINE_OUTCOME_REJECTED}, {LEG_SAYS_FAILED, 500, LINE_OUTCOME_FAILED},
        {LEG_SAYS_FAILED, 0, LINE_OUTCOME_FAILED}, {LEG_SAYS_COMPLETED, 0, LINE_OUTCOME_FAILED}};
    char code[32];

    for (unsigned i = 0; i < sizeof v / sizeof v[0]; i++) {
        lk_dial_made(&k);
        lk_status_sip(&k, "caller", "CA1", v[i].says, 3, v[i].sip);
        T_EQ(k.l.outcome, v[i].outcome);
        T_EQ(k.l.phase, LINE_OVER);
        (void)snprintf(code, sizeof code, "SIP %d", v[i].sip);
        T_STR_EQ(k.l.code, v[i].sip ? code : "");
        T_STR_EQ(k.notified, ""); /* missing steps are not invented */
        lk_status(&k, "caller", "CA1", LEG_SAYS_IN_PROGRESS, 2); /* late */
        lk_status(&k, "caller", "CA1", LEG_SAYS_IN_PROGRESS, 4);
        T_EQ(lk_count(&k, LINE_CMD_CREATE, "model"), 0);
        T_EQ(lk_count(&k, LINE_CMD_END_LEG, ""), 0);
    }
}

static void order_of_callbacks(void)
{
    lk_dial_made(&k);
    lk_status(&k, "caller", "CA1", LEG_SAYS_IN_PROGRESS, 2);
    T_EQ(k.l.phase, LINE_ANSWERED);
    lk_status(&k, "caller", "CA1", LEG_SAYS_RINGING, 1);
    lk_status(&k, "caller", "CA1", LEG_SAYS_RINGING, -1);
    lk_status(&k, "caller", "CA1", LEG_SAYS_IN_PROGRESS, 2);
    T_EQ(k.l.legs[0].state, LEG_UP);
    T_STR_EQ(k.notified, "call.answered ");
    T_EQ(lk_count(&k, LINE_CMD_CREATE, "model"), 1);
}

static void join_is_no_answer(void)
{
    lk_dial_made(&k);
    lk_status(&k, "caller", "CA1", LEG_SAYS_RINGING, 1);
    lk_room(&k, ROOM_START, "", "");
    lk_room(&k, ROOM_JOIN, "caller", "CA1");
    T_EQ(k.l.phase, LINE_RINGING);
    T_EQ(lk_count(&k, LINE_CMD_CREATE, "model"), 0);
}

static void lost_answer_callback(void)
{
    struct line_seen_leg seen = {.label = STR("caller"), .sid = STR("CA1"), .status = LEG_SAYS_IN_PROGRESS, .up_s = 3};

    lk_dial_made(&k);
    lk_status(&k, "caller", "CA1", LEG_SAYS_RINGING, 1);
    lk_wait(&k, 10000);
    lk_found(&k, &seen, 1);
    T_EQ(k.l.phase, LINE_ANSWERED);
    T_EQ(lk_count(&k, LINE_CMD_CREATE, "model"), 1);
}

static void silent_ring(void)
{
    lk_dial_made(&k);
    lk_status(&k, "caller", "CA1", LEG_SAYS_RINGING, 1);
    lk_wait(&k, 30000 + 65000);
    T_EQ(k.l.phase, LINE_ENDING);
    T_EQ(k.l.outcome, LINE_OUTCOME_NO_ANSWER);
    T_EQ(lk_count(&k, LINE_CMD_END_LEG, "caller"), 1);
}

static void retries(void)
{
    struct line_settings set = lk_settings();

    set.retries = 1;
    lk_dial(&k, &set);
    lk_answer(&k, lk_last(&k, LINE_CMD_CREATE, "caller"), 201, "CA1");
    lk_status(&k, "caller", "CA1", LEG_SAYS_RINGING, 1);
    lk_status(&k, "caller", "CA1", LEG_SAYS_BUSY, 2);
    T_EQ(k.l.outcome, LINE_OUTCOME_NONE);
    T_EQ(k.l.phase, LINE_RINGING);
    lk_wait(&k, 59000);
    T_EQ(lk_count(&k, LINE_CMD_CREATE, "caller"), 1);
    lk_wait(&k, 1000);
    T_EQ(lk_count(&k, LINE_CMD_CREATE, "caller"), 2);
    lk_status(&k, "caller", "CA1", LEG_SAYS_BUSY, 2); /* again, of the first */
    T_EQ(k.l.legs[0].state, LEG_CREATING);
    lk_answer(&k, lk_last(&k, LINE_CMD_CREATE, "caller"), 201, "CA3");
    lk_status(&k, "caller", "CA3", LEG_SAYS_NO_ANSWER, 2);
    T_EQ(k.l.outcome, LINE_OUTCOME_NO_ANSWER);
    T_EQ(k.l.attempts, 2);
    lk_dial(&k, &set);
    lk_answer(&k, lk_last(&k, LINE_CMD_CREATE, "caller"), 201, "CA1");
    lk_status_sip(&k, "caller", "CA1", LEG_SAYS_BUSY, 2, 603); /* declined is not busy */
    T_EQ(k.l.outcome, LINE_OUTCOME_REJECTED);
}

/* ---- The model's leg ---- */

static void model_at_the_answer(void)
{
    const struct leg *m;

    lk_dial_made(&k);
    lk_status(&k, "caller", "CA1", LEG_SAYS_IN_PROGRESS, 2);
    m = line_leg(&k.l, STR("model"));
    T_MUST(m);
    T_EQ(strlen(m->ref), 32);
    T_STR_EQ(lk_last(&k, LINE_CMD_CREATE, "model")->ref, m->ref);
    lk_answer(&k, lk_last(&k, LINE_CMD_CREATE, "model"), 201, "CA2");
    lk_said_model(&k, LINE_EV_MODEL_LIVE);
    lk_wait(&k, 20000);
    T_EQ(k.l.phase, LINE_ANSWERED);
}

static void model_never_comes(void)
{
    lk_dial_made(&k);
    lk_status(&k, "caller", "CA1", LEG_SAYS_IN_PROGRESS, 2);
    lk_answer(&k, lk_last(&k, LINE_CMD_CREATE, "model"), 201, "CA2");
    lk_wait(&k, 3999);
    T_EQ(lk_count(&k, LINE_CMD_CREATE, "model"), 1);
    lk_wait(&k, 1); /* it rings and rings: once more */
    T_EQ(lk_count(&k, LINE_CMD_END_LEG, "model"), 1);
    lk_answer(&k, lk_last(&k, LINE_CMD_END_LEG, "model"), 200, "");
    T_EQ(lk_count(&k, LINE_CMD_CREATE, "model"), 2);
    lk_answer(&k, lk_last(&k, LINE_CMD_CREATE, "model"), 201, "CA3");
    lk_wait(&k, 3999);
    T_EQ(lk_count(&k, LINE_CMD_APOLOGISE, "caller"), 0);
    lk_wait(&k, 1);
    T_EQ(lk_count(&k, LINE_CMD_CREATE, "model"), 2);
    T_EQ(lk_count(&k, LINE_CMD_APOLOGISE, "caller"), 1);
    T_EQ(k.l.outcome, LINE_OUTCOME_FAILED);
    T_EQ(lk_count(&k, LINE_CMD_END_LEG, "model"), 2);
    T_EQ(lk_count(&k, LINE_CMD_END_LEG, "caller"), 0); /* it is still being told */
    T_EQ(lk_count(&k, LINE_CMD_END_ROOM, ""), 0);
    lk_answer(&k, lk_last(&k, LINE_CMD_END_LEG, "model"), 200, "");
    lk_answer(&k, lk_last(&k, LINE_CMD_APOLOGISE, "caller"), 200, "");
    lk_wait(&k, 5000);
    lk_status(&k, "caller", "CA1", LEG_SAYS_COMPLETED, 5);
    T_EQ(k.l.phase, LINE_OVER);
    T_EQ(lk_count(&k, LINE_CMD_APOLOGISE, ""), 1);
}

static void apology_fails(void)
{
    lk_dial_made(&k);
    lk_status(&k, "caller", "CA1", LEG_SAYS_IN_PROGRESS, 2);
    lk_wait(&k, 8000);
    lk_answer(&k, lk_last(&k, LINE_CMD_APOLOGISE, "caller"), 400, "");
    T_EQ(lk_count(&k, LINE_CMD_END_LEG, "caller"), 1);
}

static void model_tried_twice(void)
{
    char first[LINE_REF_BYTES];

    lk_dial_made(&k);
    lk_status(&k, "caller", "CA1", LEG_SAYS_IN_PROGRESS, 2);
    lk_text(first, sizeof first, str_of(lk_last(&k, LINE_CMD_CREATE, "model")->ref));
    lk_answer(&k, lk_last(&k, LINE_CMD_CREATE, "model"), 201, "CA2");
    lk_status(&k, "model", "CA2", LEG_SAYS_FAILED, 1);
    T_EQ(lk_count(&k, LINE_CMD_CREATE, "model"), 2);
    T_STR_NE(lk_last(&k, LINE_CMD_CREATE, "model")->ref, first);
    lk_answer_full(&k, lk_last(&k, LINE_CMD_CREATE, "model"), 400, true, "", "13224");
    T_EQ(lk_count(&k, LINE_CMD_CREATE, "model"), 2);
    T_EQ(lk_count(&k, LINE_CMD_APOLOGISE, "caller"), 1);
    T_EQ(k.l.outcome, LINE_OUTCOME_FAILED);
}

static void model_create_lost(void)
{
    lk_dial_made(&k);
    lk_status(&k, "caller", "CA1", LEG_SAYS_IN_PROGRESS, 2);
    lk_answer(&k, lk_last(&k, LINE_CMD_CREATE, "model"), 0, "");
    lk_wait(&k, 3000);
    T_EQ(lk_count(&k, LINE_CMD_CREATE, "model"), 2); /* another one, under another reference */
    lk_answer(&k, lk_last(&k, LINE_CMD_CREATE, "model"), 201, "CA3");
    lk_said_model(&k, LINE_EV_MODEL_LIVE);
    lk_status(&k, "model", "CA2", LEG_SAYS_RINGING, 0); /* the first was made after all */
    T_STR_EQ(lk_last(&k, LINE_CMD_END_LEG, "model")->sid, "CA2");
    T_STR_EQ(line_leg(&k.l, STR("model"))->sid, "CA3");
}

static void model_lost_in_a_call(void)
{
    struct line_settings set = lk_settings();
    struct line_seen_leg seen = {.label = STR("caller"), .sid = STR("CA1"), .status = LEG_SAYS_IN_PROGRESS,
                                 .in_room = true, .up_s = 9};

    lk_talk(&k, &set);
    lk_said_model(&k, LINE_EV_MODEL_GONE);
    T_EQ(lk_count(&k, LINE_CMD_END_LEG, "model"), 1);
    T_EQ(lk_count(&k, LINE_CMD_CREATE, "model"), 1); /* first: is the caller still there? */
    lk_answer(&k, lk_last(&k, LINE_CMD_END_LEG, "model"), 200, "");
    lk_found(&k, &seen, 1);
    T_EQ(lk_count(&k, LINE_CMD_CREATE, "model"), 2);
    lk_said_model(&k, LINE_EV_MODEL_GONE); /* of the first leg: said once more */
    T_EQ(k.l.phase, LINE_ANSWERED);
    lk_answer(&k, lk_last(&k, LINE_CMD_CREATE, "model"), 201, "CA3");
    lk_said_model(&k, LINE_EV_MODEL_LIVE);
    lk_wait(&k, 5000);
    lk_status(&k, "model", "CA3", LEG_SAYS_COMPLETED, 5); /* within 60 s of the last */
    T_EQ(lk_count(&k, LINE_CMD_APOLOGISE, "caller"), 1);
    T_EQ(k.l.outcome, LINE_OUTCOME_FAILED);
}

static void model_lost_with_the_caller(void)
{
    struct line_settings set = lk_settings();
    struct line_seen_leg seen = {.label = STR("caller"), .sid = STR("CA1"), .status = LEG_SAYS_COMPLETED, .up_s = -1};

    lk_talk(&k, &set);
    lk_wait(&k, 5000);
    lk_said_model(&k, LINE_EV_MODEL_GONE);
    lk_found(&k, &seen, 1); /* the callback about the caller was lost */
    T_GE(k.l.phase, LINE_ENDING);
    T_EQ(k.l.outcome, LINE_OUTCOME_ANSWERED);
    T_EQ(lk_count(&k, LINE_CMD_CREATE, "model"), 1);
}

/* ---- Text, clock ---- */

static void texts_that_are_none(void)
{
    static const char *const v[] = {"", "{", "null", "[]", "{}", "{\"v\":2}", "{\"v\":1}", "{\"v\":1,\"legs\":[]}",
        "{\"v\":1,\"set\":{},\"legs\":[{}],\"actions\":[],\"past\":[]}",
        "{\"v\":1,\"set\":{},\"legs\":[{\"state\":9}],\"actions\":[],\"past\":[]}",
        "{\"v\":1,\"set\":{},\"legs\":[{},{},{},{},{},{},{}],\"actions\":[],\"past\":[]}",
        "{\"v\":1,\"set\":{},\"legs\":[{\"state\":\"x\"}],\"actions\":[],\"past\":[]}",
        "{\"v\":1,\"phase\":-1,\"set\":{},\"legs\":[{\"state\":1,\"label\":\"caller\"}],\"actions\":[],\"past\":[]}"};
    static struct line l;
    struct line_settings set = lk_settings();
    struct buf b;
    unsigned bad = 0;

    for (unsigned i = 0; i < sizeof v / sizeof v[0]; i++)
        T_EQ(line_read(&l, str_of(v[i])), ERR_INVALID);
    lk_talk(&k, &set);
    lk_act(&k, "act_1", ACT_DTMF, "", "1234");
    buf_init(&b, LINE_DURABLE_BYTES);
    T_OK(line_write(&k.l, &b));
    T_LT(b.n, 6000);
    for (size_t i = 0; i < b.n; i++) { /* each byte broken once: a fault or a line whose invariants hold */
        char keep = b.p[i];

        for (unsigned c = 0; c < 4; c++) {
            b.p[i] = "9\"}x"[c];
            if (line_read(&l, buf_str(&b)) == 0)
                T_NULL(line_broken(&l));
            else
                bad++;
        }
        b.p[i] = keep;
        T_EQ(line_read(&l, str_make(b.p, i)), ERR_INVALID);
    }
    T_GT(bad, b.n);
    buf_free(&b);
}

static void clock_jumps(void)
{
    struct line_settings set = lk_settings();

    set.max_ms = 60000;
    for (int64_t jump = -7200000; jump <= 7200000; jump += 14400000) {
        lk_talk(&k, &set);
        lk_wait(&k, 1000);
        k.jump = jump;
        lk_said_model(&k, LINE_EV_CALLEE_TURN);
        lk_wait(&k, 50000);
        T_EQ(k.l.phase, LINE_ANSWERED);
        lk_restart(&k, 0); /* the text knows of the jump */
        lk_wait(&k, 8000);
        T_EQ(k.l.phase, LINE_ANSWERED);
        lk_wait(&k, 1500);
        T_EQ(k.l.phase, LINE_ENDING);
        k.jump = 0;
    }
    lk_talk(&k, &set);
    lk_act(&k, "act_1", ACT_COLLECT, "", "");
    k.jump = -7200000; /* while we are away: the text does not know of it */
    lk_restart(&k, 0);
    lk_wait(&k, 61000);
    T_EQ(k.l.phase, LINE_ENDING);
    T_EQ(lk_state(&k, "act_1"), ACTION_FAILED);
    k.jump -= 7200000;
    lk_restart(&k, 0);
    lk_wait(&k, 75000);
    T_EQ(k.overs, 1);
}

static void names(void)
{
    T_STR_EQ(line_phase_name(LINE_OVER), "completed");
    T_STR_EQ(line_outcome_name(LINE_OUTCOME_GEO_BLOCKED), "geo_blocked");
    T_STR_EQ(line_outcome_name(LINE_OUTCOME_FAILED), "failed");
    for (unsigned i = 1; i < ACT_KINDS; i++)
        T_EQ(line_action_of(str_of(line_action_name((enum line_action_kind)i))), i);
    T_EQ(line_action_of(STR("")), ACT_NONE);
    T_STR_EQ(line_can_name(0), "hold");
    T_STR_EQ(line_can_name(11), "say");
    T_NULL(line_can_name(12));
    T_STR_EQ(leg_state_name(LEG_GONE), "gone");
    T_STR_EQ(line_action_state_name(ACTION_UNCERTAIN), "uncertain");
}

int main(void)
{
    T_RUN(durable_before_the_dial);
    T_RUN(put_off);
    T_RUN(refusals);
    T_RUN(lost_and_found);
    T_RUN(lost_for_good);
    T_RUN(answer_after_giving_up);
    T_RUN(callback_adopts);
    T_RUN(other_lines_callbacks);
    T_RUN(due_later);
    T_RUN(ends_before_the_answer);
    T_RUN(order_of_callbacks);
    T_RUN(join_is_no_answer);
    T_RUN(lost_answer_callback);
    T_RUN(silent_ring);
    T_RUN(retries);
    T_RUN(model_at_the_answer);
    T_RUN(model_never_comes);
    T_RUN(apology_fails);
    T_RUN(model_tried_twice);
    T_RUN(model_create_lost);
    T_RUN(model_lost_in_a_call);
    T_RUN(model_lost_with_the_caller);
    T_RUN(texts_that_are_none);
    T_RUN(clock_jumps);
    T_RUN(names);
    return T_DONE();
}
