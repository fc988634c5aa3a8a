/* SPDX-License-Identifier: MIT */
/* The alphabet of the search over call_step(): what each letter is as an event. */
#include "tests/model/call_world.h"

#include <stdio.h>
#include <string.h>

static const char *const names[] = {
#define EVENT(id, name) name,
#include "tests/model/call_events.h"
#undef EVENT
};

const char *call_event_name(unsigned event)
{
    return event < N_EVENTS ? names[event] : "?";
}

struct str tool_id(unsigned i)
{
    return i == 0 ? STR("fc_0") : STR("fc_1");
}

unsigned tool_of(const char *id)
{
    return strcmp(id, "fc_0") == 0 ? 0 : strcmp(id, "fc_1") == 0 ? 1 : TOOLS;
}

struct str function_name(unsigned kind)
{
    static const char *const of[FUNCTIONS] = {"ask_openclaw", "memory_search", "ask_owner", "verify_identity",
                                              "verify_identity", "record_consent", "no_such_tool"};

    return str_of(of[kind]);
}

struct str function_arguments(unsigned kind)
{
    static const char *const of[FUNCTIONS] = {"{\"request\":\"x\"}", "{\"query\":\"x\"}", "{\"question\":\"x\"}",
                                              "{\"pin\":\"1234\"}", "{\"by_keypad\":true}", "{\"granted\":true}", "{}"};

    return str_of(of[kind]);
}

/* Texts that events name live as long as the step: one step at a time. */
static char text_a[48], text_b[48];

static struct str response_id(const struct world *w, unsigned back)
{
    (void)snprintf(text_a, sizeof text_a, "resp_%u", w->n_responses > back ? w->n_responses - back : 0);
    return str_of(text_a);
}

static struct str item_of(unsigned tool, char kind)
{
    struct tool t;
    struct id id;

    memset(&t, 0, sizeof t);
    (void)str_copy(t.id, sizeof t.id, tool_id(tool));
    id = tool_item_id(&t);
    if (kind == 'n')
        id_derive(&id, "news_", tool_id(tool), STR("late"));
    (void)snprintf(text_b, sizeof text_b, "%s", id.text);
    return str_of(text_b);
}

static struct str event_of(unsigned tool, char kind)
{
    struct str item = item_of(tool, kind);
    char id[48];

    (void)snprintf(id, sizeof id, "%c%.30s", kind, item.p);
    memcpy(text_b, id, sizeof text_b);
    return str_of(text_b);
}

bool call_can(const void *world, unsigned event)
{
    const struct world *w = world;
    const struct past *p = &w->past;
    unsigned kinds = 0;

    for (; scenario->kinds != NULL && scenario->kinds[kinds] != 0xff; kinds++)
        ;
    if (w->dead) /* nobody continues it */
        return false;
    if (w->n_saves > LAG && event != E_DURABLE) /* behind a ticket: the disk comes first then */
        return false;
    switch (event) {
    case E_TIMER:
    case E_LATE: return call_deadline_ms(&w->c) != 0;
    case E_DURABLE: return w->n_saves > 0;
    case E_ACTING_0:
    case E_DONE_0:
    case E_FAIL_0: return w->ran[0];
    case E_ACTING_1:
    case E_DONE_1: return w->ran[1];
    case E_RESP_CALL_A: return w->open && kinds > 0 && w->n_tools < TOOLS;
    case E_RESP_CALL_B: return w->open && kinds > 1 && w->n_tools < TOOLS;
    case E_RESP_TWO: return w->open && kinds > 0 && w->n_tools == 0;
    case E_RESP_AGAIN: return w->asked_here;
    case E_OUT_SEEN_0: return p->sent[0];
    case E_OUT_SEEN_1: return p->sent[1];
    case E_OUT_REFUSED_0: return p->sent[0];
    case E_OUT_THERE_0: return p->probed[0] && p->sent[0];
    case E_OUT_THERE_1: return p->probed[1] && p->sent[1];
    case E_OUT_GONE_0: return p->probed[0];
    case E_OUT_GONE_1: return p->probed[1];
    case E_NEWS_SEEN_0:
    case E_NEWS_REFUSED_0: return p->news[0];
    case E_AUDIO_OLD: return w->n_responses > 1;
    default: return true;
    }
}

/* ---- Making them ---- */

static void rest(struct call_event *ev, enum call_ev kind, int status, bool maybe_sent)
{
    ev->kind = kind;
    ev->u.rest.status = status;
    ev->u.rest.err = status ? 0 : -1;
    ev->u.rest.maybe_sent = maybe_sent;
    ev->u.rest.detail = STR("said the provider");
}

static void cut(struct call_event *ev, int status)
{
    ev->kind = CALL_EV_SIDEBAND_LOST;
    ev->u.lost.http_status = status;
    ev->u.lost.detail = STR("cut");
}

static void text(struct call_event *ev, enum call_ev kind, struct str t)
{
    ev->kind = kind;
    ev->u.text = t;
}

static void end(struct call_event *ev, enum call_ev kind, const char *reason)
{
    ev->kind = kind;
    ev->u.end.reason = reason;
    ev->u.end.detail = STR("");
}

static void item(struct call_event *ev, enum call_ev kind, struct str id, enum call_who who)
{
    ev->kind = kind;
    ev->u.item.id = id;
    ev->u.item.who = who;
    ev->u.item.text = kind == CALL_EV_CALLER_TEXT || kind == CALL_EV_ITEM_FOUND ? STR("words") : STR("");
}

static void error(struct call_event *ev, const char *code, struct str event_id)
{
    ev->kind = CALL_EV_ERROR;
    ev->u.error.code = str_of(code);
    ev->u.error.message = STR("what went wrong");
    ev->u.error.event_id = event_id;
}

static struct str ask_id(const struct world *w)
{
    (void)snprintf(text_b, sizeof text_b, "rc_%u", w->c.floor.ask_seq);
    return str_of(text_b);
}

static void budget(struct call_event *ev, uint64_t warn, uint64_t left)
{
    ev->kind = CALL_EV_BUDGET;
    cost_budget_none(&ev->u.budget);
    ev->u.budget.warn_left = warn;
    ev->u.budget.left = left;
    ev->u.budget.cap = ev->u.budget.warn_cap = COST_CAP_DAY;
}

static void tool_result(struct call_event *ev, enum call_ev kind, unsigned i, int rc)
{
    ev->kind = kind;
    ev->u.tool.call_id = tool_id(i);
    ev->u.tool.rc = rc;
    ev->u.tool.text = STR("Sunny.");
}

static void add_call(struct call_event *ev, struct call_output *outputs, struct str id, struct str name,
                     struct str arguments)
{
    outputs[ev->u.response.n_outputs++] =
        (struct call_output){.item_id = STR("item_call"), .is_function = true, .call_id = id, .name = name,
                             .arguments = arguments};
}

static void new_call(struct world *w, struct call_event *ev, struct call_output *outputs, unsigned which)
{
    unsigned kind = scenario->kinds[which], i = w->n_tools++;

    w->kind[i] = (uint8_t)kind;
    if (i == 0) {
        w->asked_here = true;
        w->asked_in = w->n_responses;
    }
    add_call(ev, outputs, tool_id(i), function_name(kind), function_arguments(kind));
}

static void done(struct world *w, unsigned event, struct call_event *ev, struct call_output *outputs)
{
    bool words = event == E_RESP_WORDS || event == E_RESP_CANCELLED || event == E_RESP_BYE;

    ev->kind = CALL_EV_RESPONSE_DONE;
    ev->u.response.id = response_id(w, 0);
    ev->u.response.detail = STR("server_error");
    ev->u.response.outputs = outputs;
    ev->u.response.n_outputs = 0;
    ev->u.response.usage.responses = 1;
    ev->u.response.usage.output_audio = ev->u.response.usage.output_tokens = 10;
    ev->u.response.status = event == E_RESP_CANCELLED    ? CALL_RESPONSE_CANCELLED
                            : event == E_RESP_FAILED     ? CALL_RESPONSE_FAILED
                            : event == E_RESP_INCOMPLETE ? CALL_RESPONSE_INCOMPLETE : CALL_RESPONSE_COMPLETED;
    if (words)
        outputs[ev->u.response.n_outputs++] = (struct call_output){.item_id = STR("item_words"), .text = STR("Hello.")};
    if (event == E_RESP_CALL_A || event == E_RESP_TWO)
        new_call(w, ev, outputs, 0);
    if (event == E_RESP_CALL_B)
        new_call(w, ev, outputs, 1);
    if (event == E_RESP_TWO)
        new_call(w, ev, outputs, scenario->kinds[1] != 0xff ? 1 : 0);
    if (event == E_RESP_AGAIN) {
        (void)snprintf(text_a, sizeof text_a, "resp_%u", w->asked_in);
        ev->u.response.id = str_of(text_a);
        add_call(ev, outputs, tool_id(0), function_name(w->kind[0]), function_arguments(w->kind[0]));
    }
    if (event == E_RESP_END || event == E_RESP_BYE)
        add_call(ev, outputs, STR("fc_end"), STR("end_call"), STR("{}"));
}

static void make_response(struct world *w, unsigned event, struct call_event *ev)
{
    static const enum call_ev kinds[] = {CALL_EV_AUDIO_STARTED, CALL_EV_AUDIO_STOPPED, CALL_EV_AUDIO_CLEARED,
                                         CALL_EV_AUDIO_STOPPED};

    if (event == E_RESP) {
        w->n_responses++;
        ev->kind = CALL_EV_RESPONSE_STARTED;
    } else {
        ev->kind = kinds[event - E_AUDIO];
    }
    ev->u.response.id = response_id(w, event == E_AUDIO_OLD);
}

static bool make_life(struct world *w, unsigned event, struct call_event *ev)
{
    static const int accepted[] = {200, 404, 401, 429, 500, 0, 0};
    static const int cuts[] = {0, 404, 401, 503};

    switch (event) {
    case E_TIMER:
    case E_LATE: ev->kind = CALL_EV_TIMER; break;
    case E_ACC_OK:
    case E_ACC_404:
    case E_ACC_401:
    case E_ACC_429:
    case E_ACC_500:
    case E_ACC_LOST:
    case E_ACC_UNSENT: rest(ev, CALL_EV_ACCEPTED, accepted[event - E_ACC_OK], event == E_ACC_LOST); break;
    case E_REJ_OK:
    case E_REJ_LOST: rest(ev, CALL_EV_REJECTED, event == E_REJ_OK ? 200 : 0, true); break;
    case E_HUP_OK: rest(ev, CALL_EV_HUNG_UP, 200, true); break;
    case E_HUP_404: rest(ev, CALL_EV_HUNG_UP, 404, true); break;
    case E_HUP_LOST: rest(ev, CALL_EV_HUNG_UP, 0, true); break;
    case E_CUT:
    case E_CUT_404:
    case E_CUT_401:
    case E_CUT_503: cut(ev, cuts[event - E_CUT]); break;
    case E_SESSION:
    case E_SESSION_SHORT:
        ev->kind = CALL_EV_SESSION;
        ev->u.session.expires_at_ms = event == E_SESSION_SHORT ? w->now.wall_ms + 20000 : 0;
        break;
    case E_END: end(ev, CALL_EV_END, "operator"); break;
    case E_STOP: end(ev, CALL_EV_END, "shutdown"); break;
    case E_LEAVE: ev->kind = CALL_EV_LEAVE; break;
    case E_CONTEXT: text(ev, CALL_EV_CONTEXT, STR("context")); break;
    case E_TELL:
    case E_TELL_QUIET:
        ev->kind = CALL_EV_TELL;
        ev->u.tell.id = STR("told");
        ev->u.tell.text = STR("They wrote.");
        ev->u.tell.speak = event == E_TELL;
        break;
    case E_BUDGET_WARN: budget(ev, 0, COST_USD); break;
    case E_BUDGET_ZERO: budget(ev, 0, 0); break;
    case E_BUDGET_NONE: budget(ev, COST_NONE, COST_NONE); break;
    case E_REFER:
    case E_REFER_NO:
        ev->kind = CALL_EV_REFERRED;
        ev->u.flag = event == E_REFER;
        break;
    default: return false;
    }
    return true;
}

static bool make_line(unsigned event, struct call_event *ev)
{
    switch (event) {
    case E_LEG: ev->kind = CALL_EV_LEG; break;
    case E_PARK: ev->kind = CALL_EV_PARK; break;
    case E_HOLD: ev->kind = CALL_EV_HOLD; break;
    case E_RESUME: ev->kind = CALL_EV_RESUME; break;
    case E_NOTICE: ev->kind = CALL_EV_NOTICE; break;
    case E_UNREC:
    case E_REC:
        ev->kind = CALL_EV_UNRECORDED;
        ev->u.flag = event == E_UNREC;
        break;
    case E_MACHINE: text(ev, CALL_EV_VOICEMAIL, STR("Please call back.")); break;
    case E_MACHINE_OWN: text(ev, CALL_EV_VOICEMAIL, STR("")); break;
    case E_LINE_OVER: end(ev, CALL_EV_LINE_OVER, NULL); break;
    case E_LINE_MOVED: end(ev, CALL_EV_LINE_OVER, "transferred"); break;
    default: return false;
    }
    return true;
}

static bool make_tool(unsigned event, struct call_event *ev)
{
    switch (event) {
    case E_ACTING_0:
    case E_ACTING_1: tool_result(ev, CALL_EV_TOOL_ACTING, event - E_ACTING_0, 0); break;
    case E_DONE_0:
    case E_DONE_1: tool_result(ev, CALL_EV_TOOL_DONE, event - E_DONE_0, 0); break;
    case E_FAIL_0: tool_result(ev, CALL_EV_TOOL_DONE, 0, -1); break;
    case E_OUT_SEEN_0:
    case E_OUT_SEEN_1: item(ev, CALL_EV_ITEM_ADDED, item_of(event - E_OUT_SEEN_0, 'o'), CALL_WHO_OTHER); break;
    case E_OUT_THERE_0:
    case E_OUT_THERE_1: item(ev, CALL_EV_ITEM_FOUND, item_of(event - E_OUT_THERE_0, 'o'), CALL_WHO_OTHER); break;
    case E_OUT_GONE_0:
    case E_OUT_GONE_1: error(ev, "item_not_found", event_of(event - E_OUT_GONE_0, 'p')); break;
    case E_OUT_REFUSED_0: error(ev, "invalid_value", event_of(0, 'o')); break;
    case E_NEWS_SEEN_0: item(ev, CALL_EV_ITEM_ADDED, item_of(0, 'n'), CALL_WHO_OTHER); break;
    case E_NEWS_REFUSED_0: error(ev, "invalid_value", event_of(0, 'n')); break;
    default: return false;
    }
    return true;
}

static void make_speech(struct world *w, unsigned event, struct call_event *ev)
{
    switch (event) {
    case E_SPEECH: item(ev, CALL_EV_SPEECH_STARTED, STR("item_caller"), CALL_WHO_CALLER); break;
    case E_QUIET: item(ev, CALL_EV_SPEECH_STOPPED, STR("item_caller"), CALL_WHO_CALLER); break;
    case E_COMMITTED: item(ev, CALL_EV_COMMITTED, STR("item_caller"), CALL_WHO_CALLER); break;
    case E_ITEM: item(ev, CALL_EV_ITEM_ADDED, STR("item_words"), CALL_WHO_ASSISTANT); break;
    case E_WORDS: item(ev, CALL_EV_CALLER_TEXT, STR("item_caller"), CALL_WHO_CALLER); break;
    case E_NO_WORDS: item(ev, CALL_EV_CALLER_TEXT_FAILED, STR("item_caller"), CALL_WHO_CALLER); break;
    case E_FOUND: item(ev, CALL_EV_ITEM_FOUND, STR("item_words"), CALL_WHO_ASSISTANT); break;
    case E_TRUNCATED: item(ev, CALL_EV_TRUNCATED, STR("item_words"), CALL_WHO_ASSISTANT); break;
    case E_KEY: text(ev, CALL_EV_DTMF, STR("7")); break;
    case E_HASH: text(ev, CALL_EV_DTMF, STR("#")); break;
    case E_ERR_BUSY: error(ev, "conversation_already_has_active_response", ask_id(w)); break;
    case E_ERR_BUSY_BARE: error(ev, "conversation_already_has_active_response", STR("")); break;
    case E_ERR_ASK: error(ev, "invalid_value", ask_id(w)); break;
    case E_ERR_EXPIRED: error(ev, "session_expired", STR("")); break;
    case E_ERR_CANCEL: error(ev, "response_cancel_not_active", STR("")); break;
    case E_ERR_OTHER: error(ev, "server_error", STR("")); break;
    default: break;
    }
}

void call_make(struct world *w, unsigned event, struct call_event *ev, struct call_output *outputs)
{
    *ev = (struct call_event){.kind = CALL_EV_NONE};
    if (make_life(w, event, ev) || make_line(event, ev) || make_tool(event, ev))
        return;
    if (event >= E_RESP_WORDS && event <= E_RESP_BYE)
        done(w, event, ev, outputs);
    else if (event == E_RESP || (event >= E_AUDIO && event <= E_AUDIO_OLD))
        make_response(w, event, ev);
    else
        make_speech(w, event, ev);
}
