/* SPDX-License-Identifier: MIT */
/* Effects of a call's machine, carried out. Each function is one kind of effect. */
#include "abi/openclaw_voice.h"
#include "memory/journal.h"
#include "plugin/base/clock.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "plugin/afters.h"
#include "plugin/calls_int.h"
#include "plugin/notice.h"
#include "plugin/questions.h"
#include "plugin/realtime/rt_event.h"
#include "plugin/runs.h"
#include "plugin/steer.h"
#include "plugin/verify.h"

#include <string.h>

#define ACCEPT_TIMEOUT_MS 15000u
#define EVENT_BYTES (1024u * 1024u)

/* An effect failed at once: its event is fed when the others are carried out. */
static void fail_later(struct live *lc, enum call_ev kind, const char *detail)
{
    lc->failure = (struct call_event){.kind = kind, .u.rest.detail = str_of(detail)};
    lc->has_failure = true;
}

/* ---- REST ---- */

static void on_rest(void *arg, enum call_ev kind, const struct call_rest_result *r)
{
    struct live *lc = arg;
    struct call_event ev = {.kind = kind, .u.rest = *r};

    lc->rest = NULL;
    live_feed(lc, &ev);
}

static void on_accepted(void *arg, const struct call_rest_result *r)
{
    on_rest(arg, CALL_EV_ACCEPTED, r);
}

static void on_rejected(void *arg, const struct call_rest_result *r)
{
    on_rest(arg, CALL_EV_REJECTED, r);
}

static void on_hung_up(void *arg, const struct call_rest_result *r)
{
    on_rest(arg, CALL_EV_HUNG_UP, r);
}

static void do_accept(struct live *lc)
{
    struct app *app = lc->owner->app;
    struct prompt_input in;
    struct buf body;

    rt_rest_cancel(lc->rest); /* of a leg that this one replaces */
    lc->rest = NULL;
    live_prompt(lc, &in);
    buf_init(&body, EVENT_BYTES);
    if (prompt_session(&body, &in) < 0 ||
        rt_accept(app->api, str_of(lc->openai_call_id), buf_str(&body), ACCEPT_TIMEOUT_MS, on_accepted,
                  lc, &lc->rest) < 0)
        fail_later(lc, CALL_EV_ACCEPTED, "no accept could be sent: memory or connections are used up");
    buf_free(&body);
}

static void do_reject(struct live *lc, int sip_status)
{
    rt_rest_cancel(lc->rest);
    lc->rest = NULL;
    if (rt_reject(lc->owner->app->api, str_of(lc->openai_call_id), sip_status, on_rejected, lc,
                  &lc->rest) < 0)
        fail_later(lc, CALL_EV_REJECTED, "no reject could be sent");
}

static void do_hangup(struct live *lc)
{
    rt_rest_cancel(lc->rest);
    lc->rest = NULL;
    if (rt_hangup(lc->owner->app->api, str_of(lc->openai_call_id), on_hung_up, lc, &lc->rest) < 0)
        fail_later(lc, CALL_EV_HUNG_UP, "no hang-up could be sent");
}

/* ---- Sideband ---- */

/* The step may be the call's last. */
static void on_session(struct live *lc, const struct call_event *ev)
{
    struct calls *cs = lc->owner;
    char id[ID_BYTES];

    (void)str_copy(id, sizeof id, str_of(lc->id));
    live_feed(lc, ev);
    lc = live_find(cs, str_of(id));
    if (lc != NULL && lc->context_late && lc->call.sideband_open)
        live_tell_context(lc);
}

static void on_event(void *arg, const struct call_event *ev)
{
    struct live *lc = arg;

    if (ev->kind != CALL_EV_SESSION) {
        live_feed(lc, ev);
        return;
    }
    live_attach_done(lc);
    on_session(lc, ev);
}

static void on_lost(void *arg, const struct call_event *ev)
{
    struct live *lc = arg;

    lc->side = NULL;
    live_attach_done(lc);
    live_feed(lc, ev);
}

static const struct rt_sideband_handler sideband_handler = {on_event, on_lost};

static void connect_now(struct live *lc)
{
    struct calls *cs = lc->owner;

    lc->attaching = true;
    cs->attaching++;
    if (rt_sideband_open(&lc->side, cs->app->api, str_of(lc->openai_call_id), &sideband_handler, lc) <
        0) {
        /* For want of memory alone. The machine counts a try that does not speak in time as lost. */
        lc->side = NULL;
        log_error(&cs->app->log, "%s: no control channel could be opened", lc->id);
        live_attach_done(lc);
    }
}

static void leave_line(struct live *lc)
{
    struct calls *cs = lc->owner;
    struct live **at = &cs->attach_first;
    struct live *prev = NULL;

    if (!lc->attach_waiting)
        return;
    while (*at != lc) {
        prev = *at;
        at = &(*at)->next_attach;
    }
    *at = lc->next_attach;
    if (cs->attach_last == lc)
        cs->attach_last = prev;
    lc->next_attach = NULL;
    lc->attach_waiting = false;
}

static void do_attach(struct live *lc)
{
    struct calls *cs = lc->owner;

    live_detach(lc);
    if (cs->attaching < CALLS_ATTACH_MAX) {
        connect_now(lc);
        return;
    }
    lc->attach_waiting = true;
    if (cs->attach_last != NULL)
        cs->attach_last->next_attach = lc;
    else
        cs->attach_first = lc;
    cs->attach_last = lc;
}

void live_attach_done(struct live *lc)
{
    struct calls *cs = lc->owner;
    struct live *next;

    if (!lc->attaching)
        return;
    lc->attaching = false;
    cs->attaching--;
    next = cs->attach_first;
    if (next == NULL || cs->leaving)
        return;
    leave_line(next);
    connect_now(next);
}

void live_detach(struct live *lc)
{
    leave_line(lc);
    rt_sideband_close(lc->side);
    lc->side = NULL;
    live_attach_done(lc);
}

static void do_send(struct live *lc, const struct call_fx *fx)
{
    struct str event_id = str_of(fx->u.send.event_id.text), item_id = str_of(fx->u.send.item_id.text);
    struct buf b;
    int rc = 0;

    if (lc->side == NULL)
        return;
    buf_init(&b, EVENT_BYTES);
    switch (fx->u.send.kind) {
    case CALL_SEND_RESPONSE:
        rc = rt_write_response_create(&b, event_id, fx->u.send.text, fx->u.send.allow_tools);
        break;
    case CALL_SEND_OUTPUT:
        rc = rt_write_function_output(&b, event_id, item_id, fx->u.send.call_id, fx->u.send.text);
        break;
    case CALL_SEND_NEWS: rc = rt_write_message(&b, event_id, item_id, "system", fx->u.send.text); break;
    case CALL_SEND_RETRIEVE:
        rc = rt_write_item_retrieve(&b, event_id, fx->u.send.text.n > 0 ? fx->u.send.text : item_id);
        break;
    case CALL_SEND_CANCEL: rc = rt_write_response_cancel(&b, event_id); break;
    case CALL_SEND_CLEAR: rc = rt_write_output_clear(&b, event_id); break;
    }
    if (rc == 0)
        rc = rt_sideband_send(lc->side, buf_str(&b));
    if (rc < 0) /* the loss of the sideband follows, and its recovery sends what is owed */
        log_warn(&lc->owner->app->log, "%s: an event could not be sent: %s", lc->id, err_name(rc));
    buf_free(&b);
}

/* ---- Tools ---- */

static struct str argument(const struct json *args, const char *key)
{
    return str_trim(json_get_str(args, key));
}

static void do_ask(struct live *lc, const struct tool *t, bool resumed)
{
    struct json *args = NULL;
    struct run_ask ask = {.call = str_of(lc->id), .tool_call = str_of(t->id), .from = str_of(lc->from),
                          .level = str_of(caller_level_name(lc->level)),
                          .session_key = str_of(lc->session_key), .tools = lc->call.set.tools,
                          .resumed = resumed};
    struct buf request;

    buf_init(&request, 32768);
    (void)json_parse(&args, str_of(t->arguments), NULL);
    if (strcmp(t->name, "ask_openclaw") == 0)
        (void)buf_puts(&request, argument(args, "request"));
    else /* a tool of the personality file: the agent is asked to do what it names */
        (void)buf_printf(&request, "Do what the tool \"%s\" stands for, with these arguments, and answer with "
                                   "its result: %s", t->name, t->arguments);
    ask.request = buf_str(&request);
    runs_ask(lc->owner->app->runs, &ask);
    json_free(args);
    buf_free(&request);
}

static void do_verify(struct live *lc, const struct tool *t, struct str keys)
{
    struct verify_ask ask = {.call = str_of(lc->id), .tool_call = str_of(t->id), .number = str_of(lc->from),
                             .by_chat = live_chat_available(lc)};
    struct json *args = NULL;

    (void)json_parse(&args, str_of(t->arguments), NULL);
    if (keys.n > 0 && !live_pin_available(lc)) {
        ask.code = keys;
    } else {
        ask.pin = keys.n > 0 ? keys : argument(args, "pin");
        ask.code = keys.n > 0 ? STR_NONE : argument(args, "code");
    }
    verify_run(lc->owner->app, &ask);
    json_free(args);
}

static void do_native(struct live *lc, const struct tool *t)
{
    struct native_ask ask = {.call = str_of(lc->id), .tool_call = str_of(t->id), .name = str_of(t->name),
                             .arguments = str_of(t->arguments), .number = str_of(lc->from),
                             .person = str_of(lc->person), .access = lc->access,
                             .session_key = str_of(lc->session_key), .owner = live_owner(lc),
                             .purpose = json_get_str(lc->spec, "purpose")};

    natives_run(lc->owner->app, &ask);
}

/* ---- Journal ---- */

struct ticket { /* names the call, which may be gone when the save is durable */
    struct calls *cs;
    char id[ID_BYTES];
    uint32_t number;
};

static void on_saved(void *arg, int rc)
{
    struct ticket *t = arg;
    struct call_event ev = {.kind = CALL_EV_SAVED, .u.ticket = t->number};
    struct live *lc = rc == 0 ? live_find(t->cs, str_of(t->id)) : NULL;

    mem_free(t);
    if (lc != NULL)
        live_feed(lc, &ev);
}

/* What is owed after the call are rows before the call's own row says that it is over. */
static void plan_after(struct live *lc)
{
    const struct call *c = &lc->call;
    struct app *app = lc->owner->app;
    struct after_call after = {
        .call = str_of(lc->id), .number = str_of(lc->from), .person = str_of(lc->person),
        .session_key = str_of(lc->session_key), .date = str_of(lc->date), .access = lc->access,
        .level = lc->level, .reason = c->reason,
        .outbound = lc->outbound, .spec = lc->spec, .was_live = c->was_live, .turns = c->turns,
        .received_wall_ms = lc->received_wall_ms,
        .duration_ms = c->live_since_ms > 0 ? loop_now_ms(app->loop) - c->live_since_ms : 0};

    questions_over(app->questions, str_of(lc->id));
    afters_plan(app->afters, &after);
}

static void do_save(struct live *lc, const struct call_fx *fx)
{
    const struct call *c = &lc->call;
    unsigned columns = fx->u.save.columns, set = 0;
    struct ticket *t = NULL;
    struct buf usage;
    struct journal_call row = {
        .id = str_of(lc->id), .state = str_of(fx->u.save.state),
        .reason = c->reason ? str_of(call_reason_name(c->reason)) : STR(""),
        .detail = str_of(c->detail), .sip_status = c->sip_status,
        .accepted_at = clock_wall_ms(), .live_at = clock_wall_ms(), .ended_at = c->ended_wall_ms};

    if (columns & CALL_SAVE_ENDED)
        plan_after(lc);
    buf_init(&usage, 4096);
    set |= columns & CALL_SAVE_STATE ? JOURNAL_SET_STATE : 0;
    set |= columns & CALL_SAVE_REASON ? JOURNAL_SET_REASON | JOURNAL_SET_SIP_STATUS : 0;
    set |= columns & CALL_SAVE_ACCEPTED ? JOURNAL_SET_ACCEPTED_AT : 0;
    set |= columns & CALL_SAVE_LIVE ? JOURNAL_SET_LIVE_AT : 0;
    set |= columns & CALL_SAVE_ENDED ? JOURNAL_SET_ENDED_AT : 0;
    if ((columns & CALL_SAVE_USAGE) && c->usage.responses > 0) {
        live_write_usage(&usage, &c->usage);
        row.usage_json = buf_str(&usage);
        set |= usage.rc == 0 ? JOURNAL_SET_USAGE : 0;
    }
    if (fx->u.save.ticket != 0 && (t = MEM_NEW(struct ticket)) != NULL) {
        t->cs = lc->owner;
        (void)str_copy(t->id, sizeof t->id, str_of(lc->id));
        t->number = fx->u.save.ticket;
    }
    if (set != 0 && journal_save(lc->owner->app->store, &row, set, t ? on_saved : NULL, t) < 0) {
        log_error(&lc->owner->app->log, "%s: its state could not be queued for the database", lc->id);
        mem_free(t);
    } else if (set == 0) {
        mem_free(t);
    }
    buf_free(&usage);
}

static void do_save_turn(struct live *lc, const struct transcript_row *row)
{
    struct journal_turn turn = {
        .item_id = row->item_id, .pos = row->pos,
        .who = row->who == CALL_WHO_CALLER ? STR("caller") : STR("assistant"),
        .text = row->text, .interrupted = row->interrupted,
        .audio_ms = row->audio_ms, .heard_ms = row->heard_ms, .at = row->at_wall_ms};

    if (journal_turn(lc->owner->app->store, str_of(lc->id), &turn, NULL, NULL) < 0)
        log_error(&lc->owner->app->log, "%s: a turn could not be queued for the database", lc->id);
}

static void do_save_tool(struct live *lc, const struct call_fx *fx)
{
    const struct tool *t = fx->u.tool_row.tool;
    bool secret = t->kind == TOOL_PIN;
    struct journal_tool row = {.tool_call = str_of(t->id), .name = str_of(t->name),
                               .arguments = secret ? STR("{}") : str_of(t->arguments),
                               .state = str_of(fx->u.tool_row.state), .output = fx->u.tool_row.output,
                               .at = clock_wall_ms()};

    if (journal_tool(lc->owner->app->store, str_of(lc->id), &row, NULL, NULL) < 0)
        log_error(&lc->owner->app->log, "%s: a tool's state could not be queued", lc->id);
}

static void do_hop(struct live *lc, const struct call_fx *fx)
{
    (void)journal_hop(lc->owner->app->store, str_of(lc->id), clock_wall_ms(), str_of(fx->u.hop.name),
                      fx->u.hop.detail);
    log_debug(&lc->owner->app->log, "%s %s %.*s", lc->id, fx->u.hop.name, STR_ARG(fx->u.hop.detail));
}

/* ---- Events for the host ---- */

static void notify_turn(struct live *lc, const struct transcript_row *turn)
{
    struct app *app = lc->owner->app;
    struct buf b;

    notice_begin(&b, OC_EV_TURN, str_of(lc->id));
    jw_kstr(&b, "item_id", turn->item_id);
    jw_kstrc(&b, "who", turn->who == CALL_WHO_CALLER ? "caller" : "assistant");
    jw_kstr(&b, "text", turn->text);
    jw_kbool(&b, "interrupted", turn->interrupted);
    notice_send(app, &b, OC_EV_TURN, str_of(lc->id));
    if (app->config->logging.include_transcripts)
        log_info(&app->log, "%s %s: %.*s", lc->id, turn->who == CALL_WHO_CALLER ? "caller" : "assistant",
                 STR_ARG(turn->text));
}

static void notify_tool(struct live *lc, const struct call_fx *fx)
{
    const struct tool *t = fx->u.notify.tool;
    struct buf b;

    notice_begin(&b, OC_EV_TOOL, str_of(lc->id));
    jw_kstrc(&b, "tool", t->name);
    jw_kstrc(&b, "tool_call", t->id);
    jw_kstrc(&b, "phase", fx->u.notify.phase);
    jw_kint(&b, "ms", (int64_t)fx->u.notify.ms);
    if (fx->u.notify.text.n > 0)
        jw_kstr(&b, "text", fx->u.notify.text);
    notice_send(lc->owner->app, &b, OC_EV_TOOL, str_of(lc->id));
}

static void notify_state(struct live *lc, const struct call_fx *fx)
{
    struct app *app = lc->owner->app;
    const struct call *c = &lc->call;
    enum call_notice what = fx->u.notify.what;
    const char *name = what == CALL_NOTICE_ACCEPTED ? OC_EV_ACCEPTED
                       : what == CALL_NOTICE_LIVE   ? OC_EV_LIVE : OC_EV_ENDED;
    struct buf b;

    notice_begin(&b, name, str_of(lc->id));
    jw_kstrc(&b, "openai_call_id", lc->openai_call_id);
    if (what == CALL_NOTICE_ENDED) {
        uint64_t from = c->live_since_ms;

        jw_kstrc(&b, "reason", call_reason_name(c->reason));
        jw_kstrc(&b, "detail", c->detail);
        if (lc->outcome != LINE_OUTCOME_NONE)
            jw_kstrc(&b, "outcome", line_outcome_name(lc->outcome));
        jw_kint(&b, "duration_ms",
                from > 0 ? (int64_t)(loop_now_ms(app->loop) - from) : 0);
        jw_kint(&b, "turns", c->turns);
        if (app->config->logging.call_events)
            log_info(&app->log, "%s ended: %s%s%s", lc->id, call_reason_name(c->reason),
                     c->detail[0] ? ", " : "", c->detail);
    } else {
        jw_kint(&b, "ms", (int64_t)(loop_now_ms(app->loop) - lc->received_mono_ms));
        if (what == CALL_NOTICE_LIVE)
            jw_kbool(&b, "reattached", fx->u.notify.flag);
        else {
            jw_kstrc(&b, "model", lc->agent->model[0] ? lc->agent->model : app->config->openai.model);
            jw_kstrc(&b, "voice", lc->agent->voice[0] ? lc->agent->voice : app->config->openai.voice);
        }
        if (app->config->logging.call_events)
            log_info(&app->log, "%s %s", lc->id,
                     what == CALL_NOTICE_ACCEPTED ? "accepted" : fx->u.notify.flag ? "re-attached" : "live");
    }
    notice_send(app, &b, name, str_of(lc->id));
}

static void do_notify(struct live *lc, const struct call_fx *fx)
{
    live_announce(lc);
    switch (fx->u.notify.what) {
    case CALL_NOTICE_TURN: notify_turn(lc, &fx->u.notify.turn); break;
    case CALL_NOTICE_TOOL: notify_tool(lc, fx); break;
    case CALL_NOTICE_ACCEPTED:
    case CALL_NOTICE_LIVE:
    case CALL_NOTICE_ENDED: notify_state(lc, fx); break;
    }
}

/* ---- All of them ---- */

bool live_effects(struct live *lc)
{
    struct calls *cs = lc->owner;
    bool over = false;

    if (cs->fx.overflow)
        log_error(&cs->app->log, "%s: more effects than one step may have", lc->id);
    for (unsigned i = 0; i < cs->fx.n; i++) {
        const struct call_fx *fx = &cs->fx.v[i];

        switch (fx->kind) {
        case CALL_FX_ACCEPT: do_accept(lc); break;
        case CALL_FX_REJECT: do_reject(lc, fx->u.sip_status); break;
        case CALL_FX_HANGUP:
            if (fx->u.hangup_line)
                live_end_line(lc);
            else
                do_hangup(lc);
            break;
        case CALL_FX_LINE: live_tell_line(lc, fx->u.line.what, fx->u.line.text); break;
        case CALL_FX_ATTACH: do_attach(lc); break;
        case CALL_FX_DETACH: live_detach(lc); break;
        case CALL_FX_SEND: do_send(lc, fx); break;
        case CALL_FX_TOOL_RUN:
            if (fx->u.tool.tool->kind == TOOL_PIN && fx->u.tool.tool->keypad)
                steer_collect_pin(cs->app, str_of(lc->id), str_of(fx->u.tool.tool->id));
            else if (fx->u.tool.tool->kind == TOOL_PIN)
                do_verify(lc, fx->u.tool.tool, fx->u.tool.keys);
            else if (fx->u.tool.tool->kind == TOOL_NATIVE || fx->u.tool.tool->kind == TOOL_OWNER)
                do_native(lc, fx->u.tool.tool);
            else
                do_ask(lc, fx->u.tool.tool, fx->u.tool.resumed);
            break;
        case CALL_FX_TOOL_CANCEL:
            runs_cancel(cs->app->runs, str_of(lc->id), str_of(fx->u.tool.tool->id));
            break;
        case CALL_FX_SAVE: do_save(lc, fx); break;
        case CALL_FX_SAVE_TURN: do_save_turn(lc, &fx->u.turn); break;
        case CALL_FX_SAVE_TOOL: do_save_tool(lc, fx); break;
        case CALL_FX_HOP: do_hop(lc, fx); break;
        case CALL_FX_NOTIFY: do_notify(lc, fx); break;
        case CALL_FX_COST: live_charge(lc, fx); break;
        case CALL_FX_OVER: over = true; break;
        }
    }
    return over;
}
