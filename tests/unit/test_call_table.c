/* SPDX-License-Identifier: MIT */
/*
 * Every event in every state, and long random walks. What must hold after any step stands in call_kit.h;
 * from everywhere, a provider that never answers again lets the call end in a bounded number of steps.
 */
#include "plugin/base/mem.h"
#include "plugin/call/call_int.h"
#include "tests/unit/call_events.h"
#include "tests/unit/t.h"

/* ---- Ways to each state ---- */

static void to_new(void)
{
    kit_open(&kit, settings());
}

static void to_accepting(void)
{
    to_new();
    kit_begin(&kit);
}

static void to_accepting_ended(void)
{
    to_accepting();
    kit_end(&kit, CALL_REASON_OPERATOR);
}

static void to_accepting_again(void)
{
    restore("claimed", false, NULL, NULL);
}

static void to_refusing(void)
{
    to_new();
    call_begin_refusal(&kit.c, CALL_REASON_REFUSED_BUSY, 486, STR("too many calls"), kit.now, &kit.fx);
    kit_check_step(&kit);
}

static void to_refusing_again(void)
{
    restore("refusing", false, NULL, NULL);
}

static void to_attaching(void)
{
    to_accepting();
    kit_rest(&kit, CALL_EV_ACCEPTED, 200, true);
}

static void to_attaching_pause(void)
{
    to_attaching();
    kit_lost(&kit, 503);
}

static void to_attaching_uncertain(void)
{
    to_accepting();
    kit_rest(&kit, CALL_EV_ACCEPTED, 500, true);
}

static void to_attaching_restored(void)
{
    restore("accepted", false, NULL, NULL);
}

static void to_attaching_with_tool(void)
{
    restore("live", true, "asked", "");
}

static void to_live_greeting(void)
{
    to_attaching();
    kit_session(&kit);
}

static void to_live(void)
{
    kit_live(&kit, settings());
}

static void to_attaching_after_live(void)
{
    to_live();
    kit_run(&kit, 10000);
    kit_lost(&kit, 0);
}

static void to_attaching_flapping(void)
{
    to_live();
    kit_lost(&kit, 0);
}

static void to_live_active(void)
{
    to_live();
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_1");
}

static void to_live_heard(void)
{
    to_live_active();
    kit_response(&kit, CALL_EV_AUDIO_STARTED, "resp_1");
}

static void to_live_speech(void)
{
    to_live();
    kit_speech(&kit, true);
}

static void to_live_after_speech(void)
{
    to_live_speech();
    kit_speech(&kit, false);
}

static void to_live_tool(void)
{
    struct call_output v[] = {kit_question("call_1"), kit_call("call_2", "verify_identity", "{\"pin\":\"1\"}")};

    to_live();
    kit_calls(&kit, "resp_ask", v, 2);
}

static void to_live_late(void)
{
    to_live_tool();
    kit_talk(&kit, 50000);
}

static void to_live_sent(void)
{
    to_live_tool();
    kit_result(&kit, "call_1", 0, "Sunny.");
    kit_result(&kit, "call_2", 0, "Right.");
}

static void to_live_news(void)
{
    to_live_late();
    kit_result(&kit, "call_1", 0, "Sunny.");
}

static void to_live_probing(void)
{
    to_live_sent();
    kit_run(&kit, 10);
    kit_lost(&kit, 0);
    kit_run(&kit, 1000);
    kit_session(&kit);
}

static void to_live_restored_late(void)
{
    restore("live", true, "late", "Sunny.");
    kit_session(&kit);
}

static void to_live_retry(void)
{
    to_live_active();
    kit_done(&kit, "resp_1", CALL_RESPONSE_FAILED, NULL, 0);
}

static void to_goodbye_asked(void)
{
    to_live();
    kit_end(&kit, CALL_REASON_SHUTDOWN);
}

static void to_goodbye_spoken(void)
{
    struct call_output v[] = {kit_words("Bye."), kit_call("call_1", "end_call", "{}"), kit_question("call_2")};

    to_live();
    kit_calls(&kit, "resp_1", v, 3);
}

static void to_hanging_up(void)
{
    to_live_tool();
    kit_end(&kit, CALL_REASON_OPERATOR);
}

static void to_hanging_up_again(void)
{
    restore("leaving", true, NULL, NULL);
}

/* ---- With a line ---- */

static struct call_settings line_settings(void)
{
    struct call_settings set = settings();

    set.line = set.ask_consent = true;
    set.notice = STR("Say that this call is recorded.");
    set.notice_first = true;
    return set;
}

static void to_waiting(void)
{
    kit_open(&kit, line_settings());
    kit_begin_waiting(&kit);
}

static void to_accepting_leg(void)
{
    to_waiting();
    kit_plain(&kit, CALL_EV_LEG);
}

static void to_attaching_leg(void)
{
    to_accepting_leg();
    kit_rest(&kit, CALL_EV_ACCEPTED, 200, true);
}

static void to_live_notice(void)
{
    to_attaching_leg();
    kit_session(&kit);
    kit_saved(&kit);
}

static void to_live_line(void)
{
    kit_line_live(&kit, line_settings());
    kit_talk(&kit, 2000);
}

static void to_live_line_tool(void)
{
    struct call_output v[] = {kit_question("call_1"), kit_call("call_2", "verify_identity", "{\"by_keypad\":true}")};

    to_live_line();
    kit_calls(&kit, "resp_ask", v, 2);
}

static void to_live_held(void)
{
    to_live_line_tool();
    kit_plain(&kit, CALL_EV_HOLD);
}

static void to_waiting_parked(void)
{
    to_live_held();
    kit_plain(&kit, CALL_EV_PARK);
}

static void to_waiting_lost(void)
{
    to_live_line_tool();
    kit_run(&kit, 10000);
    kit_lost(&kit, 0);
    kit_lost(&kit, 404);
}

static void to_live_again(void)
{
    to_waiting_lost();
    kit_leg(&kit);
}

static void to_live_keys(void)
{
    to_live_line();
    kit_keys(&kit, "12");
}

static void to_live_voicemail(void)
{
    to_live_line();
    kit_voicemail(&kit, "Please call back.");
}

static void to_live_voicemail_asked(void)
{
    to_live_voicemail();
    kit_saved(&kit);
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_1");
}

static void to_goodbye_line(void)
{
    to_live_line();
    kit_end(&kit, CALL_REASON_SHUTDOWN);
}

static void to_hanging_up_line(void)
{
    to_live_line_tool();
    kit_end(&kit, CALL_REASON_OPERATOR);
}

static void to_hanging_up_line_over(void)
{
    to_hanging_up_line();
    kit_line_over(&kit, CALL_REASON_CALLER_HUNG_UP);
}

static void restore_line(const char *state, const char *tool_state, const char *reason)
{
    struct call_restore_tool t = {.id = STR("call_1"), .name = STR("ask_openclaw"),
                                  .arguments = STR("{\"request\":\"x\"}"), .state = str_of(tool_state)};
    struct call_restored r = {.state = str_of(state), .reason = str_of(reason), .age_ms = 30000,
                              .live_age_ms = tool_state ? 20000 : 0, .spoke = tool_state != NULL, .tools = &t,
                              .n_tools = tool_state != NULL};

    kit_open(&kit, line_settings());
    kit_restore(&kit, &r);
}

static void to_waiting_restored(void)
{
    restore_line("waiting", "asked", "");
}

static void to_accepting_restored(void)
{
    restore_line("claimed", "acting", "");
}

static void to_attaching_voicemail(void)
{
    restore_line("live", "asked", "voicemail");
}

static void to_hanging_up_restored(void)
{
    restore_line("leaving", "asked", "operator");
}

static void to_over(void)
{
    to_hanging_up();
    kit_rest(&kit, CALL_EV_HUNG_UP, 200, true);
}

static const struct {
    void (*go)(void);
    enum call_state state;
} ways[] = {
    {to_new, CALL_NEW},
    {to_accepting, CALL_ACCEPTING},
    {to_accepting_ended, CALL_ACCEPTING},
    {to_accepting_again, CALL_ACCEPTING},
    {to_refusing, CALL_REFUSING},
    {to_refusing_again, CALL_REFUSING},
    {to_attaching, CALL_ATTACHING},
    {to_attaching_pause, CALL_ATTACHING},
    {to_attaching_uncertain, CALL_ATTACHING},
    {to_attaching_restored, CALL_ATTACHING},
    {to_attaching_with_tool, CALL_ATTACHING},
    {to_attaching_after_live, CALL_ATTACHING},
    {to_attaching_flapping, CALL_ATTACHING},
    {to_live_greeting, CALL_LIVE},
    {to_live, CALL_LIVE},
    {to_live_active, CALL_LIVE},
    {to_live_heard, CALL_LIVE},
    {to_live_speech, CALL_LIVE},
    {to_live_after_speech, CALL_LIVE},
    {to_live_tool, CALL_LIVE},
    {to_live_late, CALL_LIVE},
    {to_live_sent, CALL_LIVE},
    {to_live_news, CALL_LIVE},
    {to_live_probing, CALL_LIVE},
    {to_live_restored_late, CALL_LIVE},
    {to_live_retry, CALL_LIVE},
    {to_goodbye_asked, CALL_GOODBYE},
    {to_goodbye_spoken, CALL_GOODBYE},
    {to_hanging_up, CALL_HANGING_UP},
    {to_hanging_up_again, CALL_HANGING_UP},
    {to_waiting, CALL_WAITING},
    {to_accepting_leg, CALL_ACCEPTING},
    {to_attaching_leg, CALL_ATTACHING},
    {to_live_notice, CALL_LIVE},
    {to_live_line, CALL_LIVE},
    {to_live_line_tool, CALL_LIVE},
    {to_live_held, CALL_LIVE},
    {to_waiting_parked, CALL_WAITING},
    {to_waiting_lost, CALL_WAITING},
    {to_live_again, CALL_LIVE},
    {to_live_keys, CALL_LIVE},
    {to_live_voicemail, CALL_LIVE},
    {to_live_voicemail_asked, CALL_LIVE},
    {to_goodbye_line, CALL_GOODBYE},
    {to_hanging_up_line, CALL_HANGING_UP},
    {to_hanging_up_line_over, CALL_HANGING_UP},
    {to_waiting_restored, CALL_WAITING},
    {to_accepting_restored, CALL_ACCEPTING},
    {to_attaching_voicemail, CALL_ATTACHING},
    {to_hanging_up_restored, CALL_HANGING_UP},
    {to_over, CALL_OVER},
};

#define WAYS (sizeof ways / sizeof ways[0])
/* Nobody answers any more: the call ends by its deadlines alone. */
static void let_it_end(void)
{
    unsigned steps = 0;

    while (!kit.over && !kit.left && kit.c.state != CALL_NEW && t_now.bad == 0) {
        uint64_t at = call_deadline_ms(&kit.c);

        if (at == 0 || ++steps > 900) {
            kit_fault(&kit, at == 0 ? "nothing is scheduled" : "it does not end");
            return;
        }
        if (at > kit.now.mono_ms)
            kit_pass(&kit, at - kit.now.mono_ms);
        kit_plain(&kit, CALL_EV_TIMER);
    }
}

static void set_ids(struct made *m)
{
    (void)snprintf(m->call_ids[0], sizeof m->call_ids[0], "call_1");
    (void)snprintf(m->call_ids[1], sizeof m->call_ids[1], "call_2");
    (void)snprintf(m->call_ids[2], sizeof m->call_ids[2], "call_3");
    (void)snprintf(m->response, sizeof m->response, "resp_1");
    (void)snprintf(m->item, sizeof m->item, "%s",
                   kit.n_retrieves ? kit.retrieve[0].item_id : kit.output[0].item_id);
    (void)snprintf(m->event_id, sizeof m->event_id, "%s",
                   kit.n_retrieves ? kit.retrieve[0].event_id : kit.ask.event_id);
}

static void every_way_ends(void)
{
    for (size_t i = 0; i < WAYS && t_now.bad == 0; i++) {
        ways[i].go();
        T_STR_EQ(call_state_name(kit.c.state), call_state_name(ways[i].state));
        let_it_end();
        kit_close(&kit);
    }
}

static void every_event_in_every_state(void)
{
    static struct made m;
    unsigned cells = 0;

    for (size_t i = 0; i < WAYS; i++) {
        for (int kind = 0; kind <= CALL_EV_COUNT; kind++) {
            for (unsigned variant = 0; variant < VARIANTS && t_now.bad == 0; variant++) {
                ways[i].go();
                set_ids(&m);
                make(&m, (enum call_ev)kind, variant);
                kit_step(&kit, &m.ev);
                if (kind == CALL_EV_LEAVE && kit.c.state != CALL_NEW && kit.c.state != CALL_OVER)
                    T_EQ(kit.line, KIT_NONE);
                let_it_end();
                if (t_now.bad)
                    printf("  way %zu, event %d, variant %u\n", i, kind, variant);
                kit_close(&kit);
                cells++;
            }
        }
    }
    T_EQ(cells, WAYS * (CALL_EV_COUNT + 1) * VARIANTS);
}

/* ---- Random walks ---- */

static uint64_t dice_state;

static unsigned dice(unsigned sides)
{
    dice_state ^= dice_state << 13;
    dice_state ^= dice_state >> 7;
    dice_state ^= dice_state << 17;
    return (unsigned)((dice_state >> 11) % sides);
}

static void random_walk(void)
{
    static struct made m;
    unsigned calls = 0, longest = 0, steps = 0, by_state[CALL_STATES] = {0};

    dice_state = 0x2545f4914f6cdd1du;
    new_walk();
    for (unsigned i = 0; i < 300000 && t_now.bad == 0; i++) {
        if (dice(3))
            kit_run(&kit, dice(4) ? dice(60) : dice(6000));
        if (!kit.over && !kit.left) {
            random_event(&m);
            kit_step(&kit, &m.ev);
            memset(&m, 'x', sizeof m); /* nothing may be kept of it */
        }
        keep_book();
        by_state[kit.c.state]++;
        steps++;
        if (!kit.over && !kit.left && steps < 2000)
            continue;
        longest = steps > longest ? steps : longest;
        steps = 0;
        calls++;
        kit_close(&kit);
        new_walk();
    }
    printf("  %u calls, the longest of %u events\n", calls, longest);
    T_GT(calls, 1000);
    for (int s = CALL_WAITING; s < CALL_STATES; s++)
        T_GT(by_state[s], 200);
    kit_close(&kit);
}

/* The same with an allocator that fails now and then. */
static void random_walk_without_memory(void)
{
    static struct made m;
    unsigned steps = 0;

    dice_state = 0x9e3779b97f4a7c15u;
    new_walk();
    for (unsigned i = 0; i < 50000 && t_now.bad == 0; i++) {
        kit_run(&kit, dice(200));
        if (!kit.over && !kit.left) {
            random_event(&m);
            (void)mem_fault_after(dice(3) ? 0 : 1 + dice(4));
            kit_step(&kit, &m.ev);
            (void)mem_fault_after(0);
        }
        if (!kit.over && !kit.left && ++steps < 500)
            continue;
        steps = 0;
        kit_close(&kit);
        new_walk();
    }
    kit_close(&kit);
}

int main(void)
{
    T_RUN(every_way_ends);
    T_RUN(every_event_in_every_state);
    T_RUN(random_walk);
    T_RUN(random_walk_without_memory);
    return T_DONE();
}
