/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_CALL_KIT_H
#define TESTS_UNIT_CALL_KIT_H
/*
 * A call with a fake clock, for the tests of plugin/call. Every step goes through kit_step(), which
 * plays the part of the shell, writes down what the effects ask for, and checks what must hold after
 * any event whatever: see kit_check_*(). Include it after t.h and plugin/call/call_int.h.
 */
#define KIT_LIST 256

enum kit_line { KIT_NONE, KIT_OPENING, KIT_OPEN };

struct kit_text {
    char call_id[CALL_TOOL_ID_BYTES + 4];
    char item_id[ID_BYTES], event_id[ID_BYTES];
    char text[400];
};

struct kit {
    struct call c;
    struct call_effects fx;
    struct call_now now;
    enum kit_line line;
    bool over, left, was_begun;
    unsigned legs, line_ends, line_told[CALL_LINE_VOICEMAIL_SAID + 1], cancelled, cleared;
    unsigned machine_asks, machine_failures;
    bool asked_held;
    char keys[CALL_KEYS_MAX + 1]; /* that a tool was given */
    unsigned accepts, rejects, hangups, attaches, detaches, asks, runs, cancels, resumed;
    unsigned n_outputs, n_news, n_retrieves, sip_status;
    struct kit_text ask, output[KIT_LIST], news, retrieve[KIT_LIST], run[KIT_LIST];
    bool ask_tools;
    uint64_t asked_at;
    unsigned n_hops, notices[CALL_NOTICE_ENDED + 1];
    const char *hops[KIT_LIST];
    const char *saved, *tool_saved, *phase; /* the last of each */
    char tool_output[400], turn[200];
    uint32_t ticket;
    unsigned saved_columns;
    unsigned spins;
    uint64_t checksum; /* of all text in effects, so that each byte is read */
};

static inline struct call_settings kit_settings(void)
{
    return (struct call_settings){.filler_after_ms = 3000,
                                  .progress_every_ms = 12000,
                                  .tool_timeout_ms = 45000,
                                  .max_duration_ms = 1800000,
                                  .tools = CALL_TOOLS_FULL,
                                  .ask_available = true,
                                  .verify_available = true};
}

static inline void kit_copy(char *to, size_t cap, struct str from)
{
    size_t n = from.n < cap - 1 ? from.n : cap - 1;

    if (n > 0)
        memcpy(to, from.p, n);
    to[n] = '\0';
}

static inline void kit_read(struct kit *k, struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        k->checksum = k->checksum * 31 + (unsigned char)s.p[i];
}

static inline void kit_fault(const struct kit *k, const char *what)
{
    T_FAIL("%s: state %s, reason %s, %llu ms", what, call_state_name(k->c.state),
           call_reason_name(k->c.reason), (unsigned long long)k->now.mono_ms);
}

static inline void kit_on_send(struct kit *k, const struct call_fx *f)
{
    struct kit_text t;

    memset(&t, 0, sizeof t);
    kit_copy(t.call_id, sizeof t.call_id, f->u.send.call_id);
    kit_copy(t.text, sizeof t.text, f->u.send.text);
    kit_copy(t.item_id, sizeof t.item_id, str_of(f->u.send.item_id.text));
    kit_copy(t.event_id, sizeof t.event_id, str_of(f->u.send.event_id.text));
    kit_read(k, f->u.send.text);
    kit_read(k, f->u.send.call_id);
    if (k->line != KIT_OPEN)
        kit_fault(k, "SEND without an open sideband");
    switch (f->u.send.kind) {
    case CALL_SEND_RESPONSE:
        k->asks++;
        k->asked_held = k->asked_held || k->c.held;
        if (strstr(t.text, "answering machine") != NULL && ++k->machine_asks > 1 + k->machine_failures)
            kit_fault(k, "the machine's words were asked for twice");
        k->ask = t;
        k->ask_tools = f->u.send.allow_tools;
        k->asked_at = k->now.mono_ms;
        break;
    case CALL_SEND_OUTPUT: k->output[k->n_outputs++ % KIT_LIST] = t; break;
    case CALL_SEND_NEWS:
        k->n_news++;
        k->news = t;
        break;
    case CALL_SEND_CANCEL: k->cancelled++; break;
    case CALL_SEND_CLEAR: k->cleared++; break;
    case CALL_SEND_RETRIEVE: k->retrieve[k->n_retrieves++ % KIT_LIST] = t; break;
    default: break;
    }
}

static inline void kit_on_tool(struct kit *k, const struct call_fx *f)
{
    const struct tool *t = f->u.tool.tool;

    kit_read(k, str_of(t->id));
    kit_read(k, str_of(t->name));
    kit_read(k, str_of(t->arguments));
    if (f->kind == CALL_FX_TOOL_CANCEL) {
        k->cancels++;
        return;
    }
    if (t->kind != TOOL_ASK && t->kind != TOOL_PIN && t->kind != TOOL_NATIVE && t->kind != TOOL_OWNER)
        kit_fault(k, "TOOL_RUN for a tool that does not run");
    if (f->u.tool.keys.n > 0) {
        kit_copy(k->keys, sizeof k->keys, f->u.tool.keys);
        return;
    }
    if (t->kind == TOOL_ASK && k->c.set.tools == CALL_TOOLS_NONE)
        kit_fault(k, "TOOL_RUN for a caller who may do nothing");
    kit_copy(k->run[k->runs % KIT_LIST].call_id, sizeof k->run[0].call_id, str_of(t->id));
    k->runs++;
    k->resumed += f->u.tool.resumed;
}

static inline void kit_on_note(struct kit *k, const struct call_fx *f)
{
    switch (f->kind) {
    case CALL_FX_SAVE:
        if (f->u.save.columns & CALL_SAVE_STATE)
            k->saved = f->u.save.state;
        k->saved_columns |= f->u.save.columns;
        if (f->u.save.ticket != 0)
            k->ticket = f->u.save.ticket;
        break;
    case CALL_FX_SAVE_TOOL:
        k->tool_saved = f->u.tool_row.state;
        kit_copy(k->tool_output, sizeof k->tool_output, f->u.tool_row.output);
        kit_read(k, str_of(f->u.tool_row.tool->id));
        kit_read(k, str_of(f->u.tool_row.tool->arguments));
        kit_read(k, f->u.tool_row.output);
        break;
    case CALL_FX_SAVE_TURN:
        kit_copy(k->turn, sizeof k->turn, f->u.turn.text);
        kit_read(k, f->u.turn.item_id);
        kit_read(k, f->u.turn.text);
        break;
    case CALL_FX_HOP:
        k->hops[k->n_hops++ % KIT_LIST] = f->u.hop.name;
        kit_read(k, f->u.hop.detail);
        break;
    case CALL_FX_NOTIFY:
        k->notices[f->u.notify.what]++;
        kit_read(k, f->u.notify.text);
        if (f->u.notify.what == CALL_NOTICE_TOOL) {
            k->phase = f->u.notify.phase;
            kit_read(k, str_of(f->u.notify.tool->name));
        }
        break;
    default: break;
    }
}

static inline void kit_on_effect(struct kit *k, const struct call_fx *f, bool last)
{
    enum call_state s = k->c.state;

    switch (f->kind) {
    case CALL_FX_ACCEPT:
        if (++k->accepts > (k->c.set.line ? k->legs : 1) || s != CALL_ACCEPTING)
            kit_fault(k, "ACCEPT twice or out of its state");
        break;
    case CALL_FX_REJECT:
        k->sip_status = (unsigned)f->u.sip_status;
        if (++k->rejects > 1 || s != CALL_REFUSING || f->u.sip_status < 400 || f->u.sip_status > 699)
            kit_fault(k, "REJECT twice, out of its state or with a bad status");
        break;
    case CALL_FX_HANGUP:
        if (f->u.hangup_line) {
            k->line_ends++;
            if (s != CALL_HANGING_UP || !k->c.set.line || k->c.line_over)
                kit_fault(k, "the end of a line out of its state");
            break;
        }
        if (++k->hangups > 1 || s != CALL_HANGING_UP || (k->c.set.line && !k->c.line_over))
            kit_fault(k, "HANGUP twice or out of its state");
        break;
    case CALL_FX_LINE:
        k->line_told[f->u.line.what]++;
        kit_read(k, f->u.line.text);
        if (!k->c.set.line)
            kit_fault(k, "words for a line that is not there");
        if (f->u.line.what == CALL_LINE_VOICEMAIL_SAID && k->line_told[f->u.line.what] > 1)
            kit_fault(k, "the machine's words ended twice");
        if (f->u.line.what == CALL_LINE_MODEL_GONE && s != CALL_WAITING)
            kit_fault(k, "a leg is gone out of its state");
        break;
    case CALL_FX_ATTACH:
        k->attaches++;
        if (k->line != KIT_NONE || s != CALL_ATTACHING)
            kit_fault(k, "ATTACH with a sideband or out of its state");
        k->line = KIT_OPENING;
        break;
    case CALL_FX_DETACH:
        k->detaches++;
        k->line = KIT_NONE;
        break;
    case CALL_FX_SEND: kit_on_send(k, f); break;
    case CALL_FX_TOOL_RUN:
    case CALL_FX_TOOL_CANCEL: kit_on_tool(k, f); break;
    case CALL_FX_SAVE:
    case CALL_FX_SAVE_TURN:
    case CALL_FX_SAVE_TOOL:
    case CALL_FX_HOP:
    case CALL_FX_NOTIFY: kit_on_note(k, f); break;
    case CALL_FX_COST:
        kit_read(k, f->u.cost.response);
        if (f->u.cost.nano == 0 || !k->c.set.rates.known)
            kit_fault(k, "a charge of nothing");
        break;
    case CALL_FX_OVER:
    default:
        if (!last || s != CALL_OVER || k->line != KIT_NONE)
            kit_fault(k, "OVER not last, too early or with a sideband");
        k->over = true;
        break;
    }
}

static inline void kit_check_step(struct kit *k)
{
    const char *broken = call_broken(&k->c);
    bool limits = k->c.set.max_duration_ms > 0 || (k->c.set.silence_ms > 0 && !k->c.held);
    uint64_t at = call_deadline_ms(&k->c);

    if (k->c.held && k->asked_held)
        kit_fault(k, "a response was asked for on hold");
    if (k->over && k->fx.n > 0)
        kit_fault(k, "effects after OVER");
    if (k->fx.overflow)
        kit_fault(k, "effects were lost");
    for (unsigned i = 0; i < k->fx.n; i++)
        kit_on_effect(k, &k->fx.v[i], i + 1 == k->fx.n);
    if (broken)
        kit_fault(k, broken);
    if ((k->c.state == CALL_OVER) != k->over)
        kit_fault(k, "OVER without its effect");
    if (k->c.state == CALL_LIVE && k->line != KIT_OPEN && !k->left)
        kit_fault(k, "live without a sideband");
    if (at == 0 && k->c.state != CALL_OVER && k->c.state != CALL_NEW &&
        (k->c.state != CALL_LIVE || limits))
        kit_fault(k, "nothing is scheduled");
}

/* One event; then timers for as long as one is due, which must end at once. */
static inline void kit_step(struct kit *k, const struct call_event *ev)
{
    struct call_event timer = {.kind = CALL_EV_TIMER};
    unsigned turns = 0;

    if (ev->kind == CALL_EV_SIDEBAND_LOST)
        k->line = KIT_NONE;
    if (ev->kind == CALL_EV_LEG && call_takes_leg(&k->c))
        k->legs++;
    if (ev->kind == CALL_EV_ERROR || ev->kind == CALL_EV_RESPONSE_DONE)
        k->machine_failures++; /* may say that nothing was said */
    if (ev->kind == CALL_EV_SESSION && k->line == KIT_OPENING)
        k->line = KIT_OPEN;
    call_step(&k->c, ev, k->now, &k->fx);
    k->left = k->left || ev->kind == CALL_EV_LEAVE;
    kit_check_step(k);
    for (;;) {
        uint64_t at = k->left ? 0 : call_deadline_ms(&k->c);

        if (at == 0 || at > k->now.mono_ms)
            break;
        if (++turns > 4) {
            kit_fault(k, "a deadline that is due does not go away");
            k->spins++;
            break;
        }
        call_step(&k->c, &timer, k->now, &k->fx);
        kit_check_step(k);
    }
}

static inline void kit_open(struct kit *k, struct call_settings set)
{
    memset(k, 0, sizeof *k);
    k->now = (struct call_now){.mono_ms = 1000000, .wall_ms = 1790000000000u};
    k->saved = k->tool_saved = k->phase = "";
    call_init(&k->c, &set);
}

static inline void kit_close(struct kit *k)
{
    call_free(&k->c);
}

static inline void kit_pass(struct kit *k, uint64_t ms)
{
    k->now.mono_ms += ms;
    k->now.wall_ms += ms;
}

/* Lets time pass, with a timer at each deadline on the way. */
static inline void kit_run(struct kit *k, uint64_t ms)
{
    struct call_event ev = {.kind = CALL_EV_TIMER};
    uint64_t until = k->now.mono_ms + ms;

    for (unsigned i = 0; i < 10000; i++) {
        uint64_t at = call_deadline_ms(&k->c);

        if (at == 0 || at > until)
            break;
        if (at > k->now.mono_ms)
            kit_pass(k, at - k->now.mono_ms);
        kit_step(k, &ev);
    }
    kit_pass(k, until - k->now.mono_ms);
}

static inline unsigned kit_hops(const struct kit *k, const char *name)
{
    unsigned n = 0;

    for (unsigned i = 0; i < k->n_hops && i < KIT_LIST; i++)
        n += strcmp(k->hops[i], name) == 0;
    return n;
}

/* ---- Events ---- */

static inline void kit_begin(struct kit *k)
{
    call_begin(&k->c, k->now, &k->fx);
    kit_check_step(k);
}

static inline void kit_restore(struct kit *k, const struct call_restored *r)
{
    k->legs += k->c.set.line && str_eqc(r->state, "claimed");
    call_restore(&k->c, r, k->now, &k->fx);
    kit_check_step(k);
}

static inline void kit_plain(struct kit *k, enum call_ev kind)
{
    kit_step(k, &(struct call_event){.kind = kind});
}

static inline void kit_rest(struct kit *k, enum call_ev kind, int status, bool maybe_sent)
{
    struct call_event ev = {.kind = kind};

    ev.u.rest.status = status;
    ev.u.rest.err = status ? 0 : -111;
    ev.u.rest.maybe_sent = maybe_sent;
    ev.u.rest.detail = STR("what the provider said");
    kit_step(k, &ev);
}

static inline void kit_lost(struct kit *k, int http_status)
{
    struct call_event ev = {.kind = CALL_EV_SIDEBAND_LOST};

    ev.u.lost.http_status = http_status;
    ev.u.lost.detail = STR("the line was cut");
    kit_step(k, &ev);
}

static inline void kit_session(struct kit *k)
{
    kit_plain(k, CALL_EV_SESSION);
}

static inline void kit_saved(struct kit *k)
{
    struct call_event ev = {.kind = CALL_EV_SAVED};

    ev.u.ticket = k->ticket;
    kit_step(k, &ev);
}

static inline void kit_end(struct kit *k, enum call_reason reason)
{
    struct call_event ev = {.kind = CALL_EV_END};

    ev.u.end.reason = call_reason_name(reason);
    ev.u.end.detail = STR("because");
    kit_step(k, &ev);
}

static inline void kit_speech(struct kit *k, bool starts)
{
    struct call_event ev = {.kind = starts ? CALL_EV_SPEECH_STARTED : CALL_EV_SPEECH_STOPPED};

    ev.u.item.id = STR("item_speech");
    kit_step(k, &ev);
}

static inline void kit_item(struct kit *k, enum call_ev kind, const char *id)
{
    struct call_event ev = {.kind = kind};

    ev.u.item.id = str_of(id);
    kit_step(k, &ev);
}

static inline void kit_response(struct kit *k, enum call_ev kind, const char *id)
{
    struct call_event ev = {.kind = kind};

    ev.u.response.id = str_of(id);
    kit_step(k, &ev);
}

static inline void kit_done(struct kit *k, const char *id, enum call_response_status status,
                            const struct call_output *outputs, unsigned n)
{
    struct call_event ev = {.kind = CALL_EV_RESPONSE_DONE};

    ev.u.response.id = str_of(id);
    ev.u.response.status = status;
    ev.u.response.detail = STR("server_error");
    ev.u.response.outputs = outputs;
    ev.u.response.n_outputs = n;
    ev.u.response.usage.responses = 1;
    kit_step(k, &ev);
}

static inline struct call_output kit_words(const char *text)
{
    return (struct call_output){.item_id = STR("item_words"), .text = str_of(text)};
}

static inline struct call_output kit_call(const char *id, const char *name, const char *arguments)
{
    return (struct call_output){.item_id = STR("item_call"),
                                .is_function = true,
                                .call_id = str_of(id),
                                .name = str_of(name),
                                .arguments = str_of(arguments)};
}

static inline struct call_output kit_question(const char *id)
{
    return kit_call(id, "ask_openclaw", "{\"request\":\"What is the weather?\"}");
}

static inline void kit_error(struct kit *k, const char *code, const char *event_id)
{
    struct call_event ev = {.kind = CALL_EV_ERROR};

    ev.u.error.code = str_of(code);
    ev.u.error.message = STR("what went wrong");
    ev.u.error.event_id = str_of(event_id);
    kit_step(k, &ev);
}

static inline void kit_result(struct kit *k, const char *id, int rc, const char *text)
{
    struct call_event ev = {.kind = CALL_EV_TOOL_DONE};

    ev.u.tool.call_id = str_of(id);
    ev.u.tool.rc = rc;
    ev.u.tool.text = str_of(text);
    kit_step(k, &ev);
}

static inline void kit_acting(struct kit *k, const char *id)
{
    struct call_event ev = {.kind = CALL_EV_TOOL_ACTING};

    ev.u.tool.call_id = str_of(id);
    kit_step(k, &ev);
}

/* The provider speaks the response that was asked for, or one of its own, to its end. */
static inline void kit_speak(struct kit *k, const char *id)
{
    struct call_output words = kit_words("Hello there.");

    kit_response(k, CALL_EV_RESPONSE_STARTED, id);
    kit_response(k, CALL_EV_AUDIO_STARTED, id);
    kit_done(k, id, CALL_RESPONSE_COMPLETED, &words, 1);
    kit_run(k, 500);
    kit_response(k, CALL_EV_AUDIO_STOPPED, id);
}

/* Lets time pass with a provider that speaks whatever is asked for. */
static inline void kit_talk(struct kit *k, uint64_t ms)
{
    uint64_t until = k->now.mono_ms + ms;
    char id[24];

    while (k->now.mono_ms < until && !k->over) {
        if (k->c.floor.response_asked && k->line == KIT_OPEN) {
            (void)snprintf(id, sizeof id, "resp_talk_%u", k->asks);
            kit_speak(k, id);
        } else {
            kit_run(k, 100);
        }
    }
}

/* ---- The telephone's side ---- */

static inline struct call_settings kit_line_settings(void)
{
    struct call_settings set = kit_settings();

    set.line = true;
    return set;
}

static inline void kit_begin_waiting(struct kit *k)
{
    call_begin_waiting(&k->c, k->now, &k->fx);
    kit_check_step(k);
}

static inline void kit_voicemail(struct kit *k, const char *text)
{
    struct call_event ev = {.kind = CALL_EV_VOICEMAIL, .u.text = str_of(text)};

    kit_step(k, &ev);
}

static inline void kit_line_over(struct kit *k, enum call_reason reason)
{
    struct call_event ev = {.kind = CALL_EV_LINE_OVER};

    ev.u.end.reason = call_reason_name(reason);
    ev.u.end.detail = STR("said the line");
    kit_step(k, &ev);
}

static inline void kit_keys(struct kit *k, const char *keys)
{
    for (; *keys; keys++) {
        struct call_event ev = {.kind = CALL_EV_DTMF, .u.text = str_make(keys, 1)};

        kit_step(k, &ev);
    }
}

/* A leg of the model that speaks. */
static inline void kit_leg(struct kit *k)
{
    kit_plain(k, CALL_EV_LEG);
    kit_rest(k, CALL_EV_ACCEPTED, 200, true);
    kit_session(k);
}

/* As kit_live(), for a call that has a line. */
static inline void kit_line_live(struct kit *k, struct call_settings set)
{
    kit_open(k, set);
    kit_begin_waiting(k);
    kit_leg(k);
    kit_saved(k);
    kit_speak(k, "resp_greeting");
}

/* To the point where the greeting was heard and nobody speaks. */
static inline void kit_live(struct kit *k, struct call_settings set)
{
    kit_open(k, set);
    kit_begin(k);
    kit_rest(k, CALL_EV_ACCEPTED, 200, true);
    kit_session(k);
    kit_saved(k);
    kit_speak(k, "resp_greeting");
}

/* The model calls functions in a response of its own. */
static inline void kit_calls(struct kit *k, const char *id, const struct call_output *v, unsigned n)
{
    kit_response(k, CALL_EV_RESPONSE_STARTED, id);
    kit_done(k, id, CALL_RESPONSE_COMPLETED, v, n);
}

/* A response "resp_ID" that asks the agent something by function call ID, and is complete. */
static inline void kit_ask_one(struct kit *k, const char *id)
{
    struct call_output q = kit_question(id);
    char response[32];

    (void)snprintf(response, sizeof response, "resp_%s", id);
    kit_calls(k, response, &q, 1);
}

static inline void kit_expect(const struct kit *k, enum call_state state, enum call_reason reason)
{
    T_STR_EQ(call_state_name(k->c.state), call_state_name(state));
    T_STR_EQ(call_reason_name(k->c.reason), call_reason_name(reason));
}

#endif
