/* SPDX-License-Identifier: MIT */
/*
 * Every event in every state, and long random walks. What must hold after any step stands in call_kit.h;
 * from everywhere, a provider that never answers again lets the call end in a bounded number of steps.
 */
#include "plugin/base/mem.h"
#include "plugin/call/call_int.h"
#include "tests/unit/t.h"

#include "tests/unit/call_kit.h"

static struct kit kit;

/* ---- Ways to each state ---- */

static struct call_settings settings(void)
{
    struct call_settings set = kit_settings();

    set.silence_ms = 60000;
    return set;
}

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

static void restore(const char *state, bool spoke, const char *tool_state, const char *output)
{
    struct call_restore_tool t = {.id = STR("call_1"),
                                  .name = STR("ask_openclaw"),
                                  .arguments = STR("{\"request\":\"x\"}"),
                                  .state = str_of(tool_state),
                                  .output = str_of(output)};
    struct call_restored r = {.state = str_of(state),
                              .reason = STR("refused_policy"),
                              .age_ms = 30000,
                              .live_age_ms = 20000,
                              .spoke = spoke,
                              .tools = &t,
                              .n_tools = tool_state != NULL};

    to_new();
    kit_restore(&kit, &r);
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
#define VARIANTS 6u

/* ---- Events ---- */

struct made { /* an event and what it points to */
    struct call_event ev;
    struct call_output outputs[CALL_OUTPUTS_MAX];
    char call_ids[3][24], response[24], item[ID_BYTES], event_id[ID_BYTES];
};

static void make_rest(struct made *m, unsigned variant)
{
    static const int status[VARIANTS] = {200, 404, 500, 0, 401, 429};

    m->ev.u.rest.status = status[variant];
    m->ev.u.rest.maybe_sent = variant == 3;
    m->ev.u.rest.detail = STR("said the provider");
}

static void make_lost(struct made *m, unsigned variant)
{
    static const int status[VARIANTS] = {0, 404, 401, 503, 0, 302};

    m->ev.u.lost.http_status = status[variant];
    m->ev.u.lost.ws_code = variant == 4 ? 1006 : 0;
    m->ev.u.lost.detail = STR("the line was cut");
}

static void make_done(struct made *m, unsigned variant)
{
    static const enum call_response_status status[VARIANTS] = {
        CALL_RESPONSE_COMPLETED, CALL_RESPONSE_CANCELLED, CALL_RESPONSE_FAILED,
        CALL_RESPONSE_INCOMPLETE, CALL_RESPONSE_COMPLETED, CALL_RESPONSE_COMPLETED};
    unsigned n = 0;

    m->ev.u.response.id = str_of(m->response);
    m->ev.u.response.status = status[variant];
    m->ev.u.response.detail = STR("server_error");
    m->ev.u.response.audio_tokens = variant * 40;
    m->outputs[n++] = kit_words("Here you are.");
    if (variant == 1 || variant == 4) {
        m->outputs[n++] = kit_question(m->call_ids[0]);
        m->outputs[n++] = kit_call(m->call_ids[1], "no_such_tool", "");
        m->outputs[n++] = kit_question(m->call_ids[2]);
    } else if (variant == 5) {
        m->outputs[0] = kit_call(m->call_ids[0], "end_call", "");
    }
    m->ev.u.response.outputs = m->outputs;
    m->ev.u.response.n_outputs = n;
}

static void make_error(struct made *m, unsigned variant)
{
    static const char *const codes[VARIANTS] = {
        "conversation_already_has_active_response", "conversation_already_has_active_response",
        "invalid_value", "item_not_found", "session_expired", "response_cancel_not_active"};

    m->ev.u.error.code = str_of(codes[variant]);
    m->ev.u.error.message = STR("what went wrong");
    m->ev.u.error.event_id = str_of(variant == 1 ? "" : m->event_id);
}

static void make_end(struct made *m, unsigned variant)
{
    static const char *const reasons[VARIANTS] = {"operator", "shutdown", "silence",
                                                  "caller_gone", "nonsense", NULL};

    m->ev.u.end.reason = reasons[variant];
    m->ev.u.end.detail = STR("somebody said so");
}

/* The ids in m are set. */
static void make(struct made *m, enum call_ev kind, unsigned variant)
{
    m->ev = (struct call_event){.kind = kind};
    switch (kind) {
    case CALL_EV_ACCEPTED:
    case CALL_EV_REJECTED:
    case CALL_EV_HUNG_UP: make_rest(m, variant); break;
    case CALL_EV_SIDEBAND_LOST: make_lost(m, variant); break;
    case CALL_EV_SAVED: m->ev.u.ticket = variant; break;
    case CALL_EV_END: make_end(m, variant); break;
    case CALL_EV_CONTEXT:
    case CALL_EV_DTMF: m->ev.u.text = variant % 2 ? STR("#") : STR("7"); break;
    case CALL_EV_VOICEMAIL: m->ev.u.text = variant % 2 ? STR("Please call back.") : STR(""); break;
    case CALL_EV_UNRECORDED: m->ev.u.flag = variant % 2; break;
    case CALL_EV_BUDGET:
        cost_budget_none(&m->ev.u.budget);
        if (variant % 2)
            m->ev.u.budget = (struct cost_budget){.warn_left = variant % 3, .left = variant % 4, .cap = COST_CAP_DAY};
        break;
    case CALL_EV_LINE_OVER: make_end(m, variant); break;
    case CALL_EV_TELL:
        m->ev.u.tell.id = STR("a message");
        m->ev.u.tell.text = variant % 2 ? STR("") : STR("They wrote: half past ten.");
        m->ev.u.tell.speak = variant < 3;
        break;
    case CALL_EV_TOOL_ACTING:
    case CALL_EV_TOOL_DONE:
        m->ev.u.tool.call_id = str_of(m->call_ids[variant % 3]);
        m->ev.u.tool.rc = variant < 3 ? 0 : -1;
        m->ev.u.tool.text = STR("Sunny.");
        break;
    case CALL_EV_SESSION:
        m->ev.u.session.expires_at_ms = variant ? kit.now.wall_ms + variant * 20000 : 0;
        break;
    case CALL_EV_SPEECH_STARTED:
    case CALL_EV_SPEECH_STOPPED:
    case CALL_EV_COMMITTED:
    case CALL_EV_CALLER_TEXT:
    case CALL_EV_CALLER_TEXT_FAILED:
    case CALL_EV_TRUNCATED:
        m->ev.u.item.id = str_of(variant ? "item_words" : "");
        m->ev.u.item.text = STR("What is the weather?");
        m->ev.u.item.heard_ms = variant * 300;
        break;
    case CALL_EV_ITEM_ADDED:
    case CALL_EV_ITEM_FOUND: m->ev.u.item.id = str_of(variant ? m->item : "item_x"); break;
    case CALL_EV_RESPONSE_DONE: make_done(m, variant); break;
    case CALL_EV_RESPONSE_STARTED:
    case CALL_EV_AUDIO_STARTED:
    case CALL_EV_AUDIO_STOPPED:
    case CALL_EV_AUDIO_CLEARED: m->ev.u.response.id = str_of(variant ? m->response : ""); break;
    case CALL_EV_ERROR: make_error(m, variant); break;
    case CALL_EV_NONE:
    case CALL_EV_TIMER:
    case CALL_EV_LEAVE:
    case CALL_EV_LEG:
    case CALL_EV_PARK:
    case CALL_EV_HOLD:
    case CALL_EV_RESUME:
    case CALL_EV_NOTICE:
    case CALL_EV_COUNT:
    default: break;
    }
}

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

#define IDS 4096u

static struct {
    unsigned outputs[IDS], retrieves[IDS], runs[IDS];
    unsigned seen_outputs, seen_retrieves, seen_runs, next_call, next_response;
    char item[64][ID_BYTES];
    unsigned item_of[64];
} book;

static unsigned number_of(const char *id)
{
    const char *digits = strchr(id, '_');

    return digits ? (unsigned)strtoul(digits + 1, NULL, 10) % IDS : 0;
}

/* One run a function call, and one output but for those that the provider was asked about. */
static void keep_book(void)
{
    for (; book.seen_runs < kit.runs; book.seen_runs++) {
        unsigned i = number_of(kit.run[book.seen_runs % KIT_LIST].call_id);

        if (++book.runs[i] > 1)
            kit_fault(&kit, "a function call was run twice");
    }
    for (; book.seen_retrieves < kit.n_retrieves; book.seen_retrieves++) {
        const struct kit_text *t = &kit.retrieve[book.seen_retrieves % KIT_LIST];

        for (unsigned i = 0; i < 64; i++)
            if (strcmp(book.item[i], t->item_id) == 0)
                book.retrieves[book.item_of[i]]++;
    }
    for (; book.seen_outputs < kit.n_outputs; book.seen_outputs++) {
        const struct kit_text *t = &kit.output[book.seen_outputs % KIT_LIST];
        unsigned i = number_of(t->call_id);

        memcpy(book.item[i % 64], t->item_id, ID_BYTES);
        book.item_of[i % 64] = i;
        if (++book.outputs[i] > 1 + book.retrieves[i])
            kit_fault(&kit, "an output was sent twice");
    }
}

static void random_ids(struct made *m)
{
    unsigned back = dice(12), response = book.next_response > 3 ? book.next_response - dice(4) : 1;

    for (unsigned i = 0; i < 3; i++)
        (void)snprintf(m->call_ids[i], sizeof m->call_ids[i], "call_%u",
                       book.next_call > back ? book.next_call - back + i : i);
    (void)snprintf(m->response, sizeof m->response, "resp_%u", response);
    (void)snprintf(m->item, sizeof m->item, "%s",
                   dice(3) == 0 && kit.n_news ? kit.news.item_id
                   : kit.n_outputs ? kit.output[(kit.n_outputs - 1 - dice(3) % kit.n_outputs) % KIT_LIST].item_id
                                   : "item_x");
    switch (dice(4)) {
    case 0: (void)snprintf(m->event_id, sizeof m->event_id, "%s", kit.ask.event_id); break;
    case 1:
        (void)snprintf(m->event_id, sizeof m->event_id, "%s",
                       kit.n_retrieves ? kit.retrieve[(kit.n_retrieves - 1) % KIT_LIST].event_id : "");
        break;
    case 2:
        (void)snprintf(m->event_id, sizeof m->event_id, "%s",
                       kit.n_outputs ? kit.output[(kit.n_outputs - 1) % KIT_LIST].event_id : "");
        break;
    default: (void)snprintf(m->event_id, sizeof m->event_id, "%s", kit.news.event_id); break;
    }
}

static void random_event(struct made *m)
{
    enum call_ev kind = (enum call_ev)dice(CALL_EV_COUNT);
    unsigned variant = dice(VARIANTS);

    /* What ends or leaves a call comes seldom, else no call gets old. */
    if ((kind == CALL_EV_LEAVE || kind == CALL_EV_END || kind == CALL_EV_HUNG_UP) && dice(40))
        kind = CALL_EV_RESPONSE_DONE;
    if ((kind == CALL_EV_LINE_OVER || kind == CALL_EV_VOICEMAIL) && dice(40))
        kind = CALL_EV_RESUME;
    if ((kind == CALL_EV_PARK || kind == CALL_EV_LEG || kind == CALL_EV_HOLD) && dice(5))
        kind = CALL_EV_RESUME;
    if (kit.c.state == CALL_WAITING && dice(3) == 0)
        kind = CALL_EV_LEG;
    if (kind == CALL_EV_SIDEBAND_LOST && dice(6))
        kind = CALL_EV_TOOL_DONE;
    if (kit.line == KIT_OPENING && dice(3) == 0)
        kind = CALL_EV_SESSION;
    if (kit.c.state == CALL_ACCEPTING && dice(2))
        kind = CALL_EV_ACCEPTED;
    random_ids(m);
    if (kind == CALL_EV_RESPONSE_STARTED)
        book.next_response++;
    if (kind == CALL_EV_RESPONSE_DONE) {
        if (variant == 5)
            variant = dice(10) ? 0 : 5;
        if (variant == 4 || variant == 1 || variant == 5) {
            book.next_call += 3;
            for (unsigned i = 0; i < 3; i++)
                (void)snprintf(m->call_ids[i], sizeof m->call_ids[i], "call_%u", book.next_call + i);
        } else if (variant == 2 && dice(4)) {
            variant = 0;
        }
    }
    if (kind == CALL_EV_ERROR && variant == 4 && dice(20))
        variant = 0;
    make(m, kind, variant);
}

static void new_walk(void)
{
    struct call_settings set = settings();
    static const char *const states[] = {"claimed", "accepted", "live", "leaving", "refusing"};
    static const char *const tools[] = {"asked", "acting", "answered", "late", "late_acting"};

    memset(&book, 0, sizeof book);
    book.next_call = 10;
    if (dice(3) == 0) {
        unsigned state = dice(5), tool = dice(10), more = dice(4);

        restore(states[state], more & 1, tool < 5 ? tools[tool] : NULL, more & 2 ? "Sunny." : "");
        return;
    }
    set.silence_ms = dice(2) ? 0 : 1000 + dice(20000);
    set.max_duration_ms = dice(2) ? 0 : 10000 + dice(300000);
    set.tool_timeout_ms = 1000 + dice(20000);
    set.tools = (enum call_tools)(dice(8) ? CALL_TOOLS_FULL : CALL_TOOLS_NONE);
    set.line = dice(2);
    set.notice = dice(2) ? STR("Say that this call is recorded.") : STR("");
    set.notice_first = dice(2);
    set.first = dice(2) ? STR("Say exactly this: hello.") : STR("");
    kit_open(&kit, set);
    if (set.line)
        kit_begin_waiting(&kit);
    else
        kit_begin(&kit);
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
