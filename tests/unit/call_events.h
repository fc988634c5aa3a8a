/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_CALL_EVENTS_H
#define TESTS_UNIT_CALL_EVENTS_H
/*
 * Events for a call of call_kit.h, by kind and variant and at random, and a book of what it did with them. Who
 * includes this says what is random: dice(n) is a number below n. For one program with one call at a time.
 */
#include "plugin/call/call_int.h"
#include "tests/unit/t.h"

#include "tests/unit/call_kit.h"

static unsigned dice(unsigned sides);

static struct kit kit;

static struct call_settings settings(void)
{
    struct call_settings set = kit_settings();

    set.silence_ms = 60000;
    return set;
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

    kit_open(&kit, settings());
    kit_restore(&kit, &r);
}

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

/* ---- Random walks ---- */

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

#endif
