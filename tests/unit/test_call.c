/* SPDX-License-Identifier: MIT */
/* The life of a call: accept, refusal, attaching, greeting, turns; and the whole of it without memory. */
#include "plugin/base/mem.h"
#include "plugin/call/call_int.h"
#include "tests/unit/t.h"

#include "tests/unit/call_kit.h"

static struct kit kit;

static void begin_with(int status, bool maybe_sent)
{
    kit_open(&kit, kit_settings());
    kit_begin(&kit);
    T_EQ(kit.accepts, 1);
    kit_rest(&kit, CALL_EV_ACCEPTED, status, maybe_sent);
}

static void accept_outcomes(void)
{
    static const struct {
        int status;
        bool maybe_sent;
        enum call_state state;
        enum call_reason reason;
        unsigned attaches, rejects;
    } table[] = {
        {200, true, CALL_ATTACHING, CALL_REASON_NONE, 1, 0},
        {204, true, CALL_ATTACHING, CALL_REASON_NONE, 1, 0},
        {401, false, CALL_OVER, CALL_REASON_ACCEPT_FAILED, 0, 0},
        {403, false, CALL_OVER, CALL_REASON_ACCEPT_FAILED, 0, 0},
        {404, false, CALL_OVER, CALL_REASON_CALLER_GONE, 0, 0},
        {400, false, CALL_REFUSING, CALL_REASON_ACCEPT_FAILED, 0, 1},
        {429, false, CALL_REFUSING, CALL_REASON_ACCEPT_FAILED, 0, 1},
        {0, false, CALL_REFUSING, CALL_REASON_ACCEPT_FAILED, 0, 1},
        {302, false, CALL_REFUSING, CALL_REASON_ACCEPT_FAILED, 0, 1},
        /* perhaps accepted: the sideband knows */
        {500, true, CALL_ATTACHING, CALL_REASON_NONE, 1, 0},
        {503, false, CALL_ATTACHING, CALL_REASON_NONE, 1, 0},
        {0, true, CALL_ATTACHING, CALL_REASON_NONE, 1, 0},
        {404, true, CALL_ATTACHING, CALL_REASON_NONE, 1, 0},
        {400, true, CALL_ATTACHING, CALL_REASON_NONE, 1, 0},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        begin_with(table[i].status, table[i].maybe_sent);
        kit_expect(&kit, table[i].state, table[i].reason);
        T_EQ(kit.attaches, table[i].attaches);
        T_EQ(kit.rejects, table[i].rejects);
        T_EQ(kit.notices[CALL_NOTICE_ACCEPTED], table[i].status / 100 == 2);
        if (table[i].state == CALL_REFUSING) {
            T_EQ(kit.sip_status, 503);
            T_STR_EQ(kit.saved, "refusing");
        }
        kit_close(&kit);
    }
}

static void accept_never_answered(void)
{
    kit_open(&kit, kit_settings());
    kit_begin(&kit);
    kit_run(&kit, 19999);
    kit_expect(&kit, CALL_ACCEPTING, CALL_REASON_NONE);
    kit_run(&kit, 1);
    kit_expect(&kit, CALL_ATTACHING, CALL_REASON_NONE);
    kit_session(&kit);
    kit_expect(&kit, CALL_LIVE, CALL_REASON_NONE);
    /* The session proves the accept: the journal and the host learn of it, once. */
    T_EQ(kit.notices[CALL_NOTICE_ACCEPTED], 1);
    T_TRUE(kit.saved_columns & CALL_SAVE_ACCEPTED);
    T_STR_EQ(kit.saved, "live");
    kit_rest(&kit, CALL_EV_ACCEPTED, 200, true);
    T_EQ(kit.notices[CALL_NOTICE_ACCEPTED], 1);
    kit_close(&kit);
}

static void uncertain_accept_and_no_call(void)
{
    begin_with(502, true);
    for (unsigned i = 0; i < 3; i++) {
        kit_expect(&kit, CALL_ATTACHING, CALL_REASON_NONE);
        T_EQ(kit.attaches, i + 1);
        kit_lost(&kit, 404);
        kit_run(&kit, 1000);
    }
    kit_expect(&kit, CALL_REFUSING, CALL_REASON_ACCEPT_FAILED);
    T_EQ(kit.sip_status, 503);
    kit_rest(&kit, CALL_EV_REJECTED, 200, true);
    kit_expect(&kit, CALL_OVER, CALL_REASON_ACCEPT_FAILED);
    kit_close(&kit);
}

static void ended_while_accepting(void)
{
    static const struct {
        int status;
        bool maybe_sent;
        enum call_state state;
    } table[] = {{200, true, CALL_HANGING_UP}, {500, true, CALL_HANGING_UP}, {0, true, CALL_HANGING_UP},
                 {404, false, CALL_OVER},      {401, false, CALL_OVER},      {429, false, CALL_REFUSING}};

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        kit_open(&kit, kit_settings());
        kit_begin(&kit);
        kit_end(&kit, CALL_REASON_OPERATOR);
        kit_expect(&kit, CALL_ACCEPTING, CALL_REASON_OPERATOR);
        kit_rest(&kit, CALL_EV_ACCEPTED, table[i].status, table[i].maybe_sent);
        kit_expect(&kit, table[i].state, CALL_REASON_OPERATOR);
        kit_close(&kit);
    }
    T_CASE("ended while accepting, and the accept is never answered");
    kit_open(&kit, kit_settings());
    kit_begin(&kit);
    kit_end(&kit, CALL_REASON_OPERATOR);
    kit_run(&kit, 20000);
    kit_expect(&kit, CALL_HANGING_UP, CALL_REASON_OPERATOR);
    kit_close(&kit);
}

static void refusal(void)
{
    static const int answers[] = {200, 404, 500, 0};

    for (size_t i = 0; i < 4; i++) {
        kit_open(&kit, kit_settings());
        call_begin_refusal(&kit.c, CALL_REASON_REFUSED_POLICY, 603, STR("not on the list"), kit.now,
                           &kit.fx);
        kit_check_step(&kit);
        kit_expect(&kit, CALL_REFUSING, CALL_REASON_REFUSED_POLICY);
        T_EQ(kit.rejects, 1);
        T_EQ(kit.sip_status, 603);
        T_EQ(kit.accepts, 0);
        T_STR_EQ(kit.c.detail, "not on the list");
        kit_rest(&kit, CALL_EV_REJECTED, answers[i], true);
        kit_expect(&kit, CALL_OVER, CALL_REASON_REFUSED_POLICY);
        T_EQ(kit_hops(&kit, "reject_failed"), answers[i] == 200 ? 0 : 1);
        T_EQ(kit.notices[CALL_NOTICE_ENDED], 1);
        T_STR_EQ(kit.saved, "over");
        kit_close(&kit);
    }
    kit_open(&kit, kit_settings());
    call_begin_refusal(&kit.c, CALL_REASON_REFUSED_BUSY, 486, STR(""), kit.now, &kit.fx);
    kit_check_step(&kit);
    kit_run(&kit, 15000);
    kit_expect(&kit, CALL_OVER, CALL_REASON_REFUSED_BUSY);
    kit_close(&kit);
}

static void attach_backs_off_and_gives_up(void)
{
    uint64_t begun, last = 0;

    begin_with(200, true);
    begun = kit.now.mono_ms;
    for (unsigned i = 0; i < 200 && kit.c.state == CALL_ATTACHING; i++) {
        uint64_t at = kit.now.mono_ms;

        kit_lost(&kit, i % 2 ? 503 : 0);
        T_EQ(kit.attaches, i + 1);
        while (kit.attaches == i + 1 && kit.c.state == CALL_ATTACHING)
            kit_run(&kit, 50);
        if (kit.c.state == CALL_ATTACHING) {
            T_GE(kit.now.mono_ms - at, last < 5000 ? last : 5000);
            last = kit.now.mono_ms - at;
        }
    }
    kit_expect(&kit, CALL_HANGING_UP, CALL_REASON_ATTACH_FAILED);
    T_LE(kit.now.mono_ms - begun, 45000);
    T_GE(kit.attaches, 8);
    T_LE(kit.attaches, 20);
    T_EQ(kit.hangups, 1);
    kit_rest(&kit, CALL_EV_HUNG_UP, 200, true);
    kit_expect(&kit, CALL_OVER, CALL_REASON_ATTACH_FAILED);
    kit_close(&kit);
}

static void silent_session_counts_as_lost(void)
{
    begin_with(200, true);
    kit_run(&kit, 19999);
    T_EQ(kit.detaches, 0);
    kit_run(&kit, 1);
    T_EQ(kit.detaches, 1);
    T_EQ(kit_hops(&kit, "sideband_lost"), 1);
    kit_run(&kit, 100);
    kit_lost(&kit, 0); /* the closed one says so as well: one pause, not two */
    kit_run(&kit, 100);
    T_EQ(kit.attaches, 2);
    kit_run(&kit, 24000);
    kit_expect(&kit, CALL_HANGING_UP, CALL_REASON_ATTACH_FAILED);
    kit_close(&kit);
}

static void handshake_refused(void)
{
    static const int statuses[] = {401, 403, 400, 301};

    for (size_t i = 0; i < 4; i++) {
        begin_with(200, true);
        kit_lost(&kit, statuses[i]);
        kit_expect(&kit, CALL_HANGING_UP, CALL_REASON_ATTACH_FAILED);
        kit_close(&kit);
    }
}

static void no_such_call_after_accept(void)
{
    begin_with(200, true);
    for (unsigned i = 0; i < 3; i++) {
        kit_expect(&kit, CALL_ATTACHING, CALL_REASON_NONE);
        kit_lost(&kit, 404);
        if (i < 2)
            kit_run(&kit, 700);
    }
    kit_expect(&kit, CALL_OVER, CALL_REASON_CALLER_GONE);
    T_EQ(kit.hangups, 0);
    kit_close(&kit);
    T_CASE("a sideband that comes too early finds the call a little later");
    begin_with(200, true);
    kit_lost(&kit, 404);
    kit_run(&kit, 300);
    T_EQ(kit.attaches, 2);
    kit_session(&kit);
    kit_expect(&kit, CALL_LIVE, CALL_REASON_NONE);
    kit_close(&kit);
}

static void caller_hangs_up(void)
{
    uint64_t wall;

    kit_live(&kit, kit_settings());
    kit_run(&kit, 20000);
    wall = kit.now.wall_ms;
    kit_lost(&kit, 0);
    kit_expect(&kit, CALL_ATTACHING, CALL_REASON_NONE);
    kit_run(&kit, 700);
    kit_lost(&kit, 404);
    kit_expect(&kit, CALL_OVER, CALL_REASON_CALLER_HUNG_UP);
    T_EQ(kit.c.ended_wall_ms, wall);
    T_EQ(kit.hangups, 0);
    T_EQ(kit.asks, 1);
    kit_close(&kit);
}

static void reattach(void)
{
    kit_live(&kit, kit_settings());
    kit_run(&kit, 20000);
    kit_lost(&kit, 0);
    T_EQ(kit.attaches, 2);
    kit_run(&kit, 600);
    kit_session(&kit);
    kit_expect(&kit, CALL_LIVE, CALL_REASON_NONE);
    T_EQ(kit.notices[CALL_NOTICE_LIVE], 2);
    T_EQ(kit.notices[CALL_NOTICE_ACCEPTED], 1);
    kit_run(&kit, 60000);
    T_EQ(kit.asks, 1); /* no second greeting */
    kit_lost(&kit, 0);
    kit_run(&kit, 39000);
    kit_expect(&kit, CALL_ATTACHING, CALL_REASON_NONE);
    kit_run(&kit, 2000);
    kit_expect(&kit, CALL_HANGING_UP, CALL_REASON_CONTROL_LOST);
    kit_close(&kit);
}

static void flapping_line_is_tried_with_pauses(void)
{
    uint64_t begun;

    kit_live(&kit, kit_settings());
    kit_run(&kit, 20000);
    begun = kit.now.mono_ms;
    while (kit.now.mono_ms < begun + 60000) {
        if (kit.line == KIT_OPENING)
            kit_session(&kit);
        if (kit.c.state == CALL_LIVE)
            kit_lost(&kit, 0);
        kit_run(&kit, 10);
    }
    T_LE(kit.attaches, 30);
    kit_expect(&kit, CALL_ATTACHING, CALL_REASON_NONE);
    kit_close(&kit);
}

static void greeting(void)
{
    kit_open(&kit, kit_settings());
    kit_begin(&kit);
    kit_rest(&kit, CALL_EV_ACCEPTED, 200, true);
    kit_session(&kit);
    T_STR_EQ(kit.saved, "live");
    T_NE(kit.ticket, 0);
    T_EQ(kit.asks, 0);
    kit_run(&kit, 120);
    kit_saved(&kit);
    T_EQ(kit.asks, 1);
    T_TRUE(kit.ask_tools);
    T_STR_EQ(kit.ask.text, "");
    kit_saved(&kit);
    kit_session(&kit);
    kit_speak(&kit, "resp_1");
    kit_run(&kit, 10000);
    T_EQ(kit.asks, 1);
    T_EQ(kit_hops(&kit, "first_audio"), 1);
    kit_close(&kit);

    T_CASE("greeting without its save");
    kit_open(&kit, kit_settings());
    kit_begin(&kit);
    kit_rest(&kit, CALL_EV_ACCEPTED, 200, true);
    kit_session(&kit);
    kit_run(&kit, 299);
    T_EQ(kit.asks, 0);
    kit_run(&kit, 1);
    T_EQ(kit.asks, 1);
    kit_saved(&kit);
    T_EQ(kit.asks, 1);
    kit_close(&kit);

    T_CASE("the line is lost before the greeting was asked for");
    kit_open(&kit, kit_settings());
    kit_begin(&kit);
    kit_rest(&kit, CALL_EV_ACCEPTED, 200, true);
    kit_session(&kit);
    kit_lost(&kit, 0);
    kit_saved(&kit);
    kit_run(&kit, 1000);
    kit_session(&kit);
    T_EQ(kit.asks, 1);
    kit_close(&kit);

    T_CASE("the line is lost after the greeting was asked for: only if it stays quiet");
    kit_open(&kit, kit_settings());
    kit_begin(&kit);
    kit_rest(&kit, CALL_EV_ACCEPTED, 200, true);
    kit_session(&kit);
    kit_saved(&kit);
    kit_lost(&kit, 0);
    kit_run(&kit, 1000);
    kit_session(&kit);
    T_EQ(kit.asks, 1);
    kit_run(&kit, 2999);
    T_EQ(kit.asks, 1);
    kit_run(&kit, 1);
    T_EQ(kit.asks, 2);
    kit_close(&kit);
}

static void turns_and_usage(void)
{
    struct call_output words = kit_words("It is sunny.");
    struct call_event ev = {.kind = CALL_EV_CALLER_TEXT};

    kit_live(&kit, kit_settings());
    T_EQ(kit.c.turns, 1);
    kit_item(&kit, CALL_EV_COMMITTED, "item_q");
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_2");
    kit_done(&kit, "resp_2", CALL_RESPONSE_COMPLETED, &words, 1);
    T_EQ(kit.c.turns, 2);
    kit_done(&kit, "resp_2", CALL_RESPONSE_COMPLETED, &words, 1);
    T_EQ(kit.c.turns, 2);
    T_EQ(kit.c.usage.responses, 2);
    ev.u.item.id = STR("item_q");
    ev.u.item.text = STR("What is the weather?");
    ev.u.item.usage.transcription_tokens = 9;
    kit_step(&kit, &ev);
    T_EQ(kit.c.turns, 3);
    T_EQ(kit.notices[CALL_NOTICE_TURN], 3);
    T_EQ(kit.c.usage.transcription_tokens, 9);
    kit_close(&kit);

    T_CASE("what is said while hanging up is written down");
    kit_live(&kit, kit_settings());
    kit_end(&kit, CALL_REASON_OPERATOR);
    kit_step(&kit, &ev);
    T_EQ(kit.c.turns, 2);
    kit_close(&kit);
}

static void names(void)
{
    for (int i = 0; i < CALL_REASONS; i++)
        T_EQ(call_reason_of(str_of(call_reason_name((enum call_reason)i))), i);
    T_EQ(call_reason_of(STR("")), CALL_REASON_NONE);
    T_STR_EQ(call_reason_name(CALL_REASONS), "?");
    T_STR_EQ(call_state_name(CALL_STATES), "?");
}

/* ---- Out of memory ---- */

static void whole_call(void)
{
    struct call_output two[] = {kit_question("call_1"), kit_question("call_2")};
    struct call_output end = kit_call("call_end", "end_call", "{}");
    struct call_event ev = {.kind = CALL_EV_CALLER_TEXT};

    kit_live(&kit, kit_settings());
    ev.u.item.id = STR("item_q");
    ev.u.item.text = STR("What is the weather?");
    kit_item(&kit, CALL_EV_COMMITTED, "item_q");
    kit_step(&kit, &ev);
    kit_calls(&kit, "resp_2", two, 2);
    kit_talk(&kit, 4000);
    kit_result(&kit, "call_1", 0, "Sunny.");
    kit_talk(&kit, 50000);
    kit_lost(&kit, 0);
    kit_result(&kit, "call_2", 0, "Rainy.");
    kit_talk(&kit, 1000);
    if (kit.line == KIT_OPENING)
        kit_session(&kit);
    kit_talk(&kit, 40000);
    kit_calls(&kit, "resp_3", &end, 1);
    kit_talk(&kit, 60000);
    kit_rest(&kit, CALL_EV_HUNG_UP, 200, true);
}

static void memory_runs_out(void)
{
    unsigned long total, n;

    (void)mem_fault_after(0);
    whole_call();
    kit_expect(&kit, CALL_OVER, CALL_REASON_ASSISTANT_ENDED);
    kit_close(&kit);
    total = mem_fault_after(0);
    T_GT(total, 8);
    for (n = 1; n <= total; n++) {
        (void)mem_fault_after(n);
        whole_call();
        kit_close(&kit);
        (void)mem_fault_after(0);
        /* Two questions were asked and have exactly one output each, unless the call ended before. */
        if (!kit.over)
            kit_fault(&kit, "without memory the call did not end");
        T_LE(kit.n_outputs, 3 + kit.n_retrieves);
    }
}

int main(void)
{
    T_RUN(accept_outcomes);
    T_RUN(accept_never_answered);
    T_RUN(uncertain_accept_and_no_call);
    T_RUN(ended_while_accepting);
    T_RUN(refusal);
    T_RUN(attach_backs_off_and_gives_up);
    T_RUN(silent_session_counts_as_lost);
    T_RUN(handshake_refused);
    T_RUN(no_such_call_after_accept);
    T_RUN(caller_hangs_up);
    T_RUN(reattach);
    T_RUN(flapping_line_is_tried_with_pauses);
    T_RUN(greeting);
    T_RUN(turns_and_usage);
    T_RUN(names);
    T_RUN(memory_runs_out);
    return T_DONE();
}
