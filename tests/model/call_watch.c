/* SPDX-License-Identifier: MIT */
/* What the world sees of a call's effects, and what must hold of them whatever happens. */
#include "tests/model/call_world.h"

#include <string.h>

#define ASK_LOST_MS 5000u
#define RESPONSE_LOST_MS 60000u
#define BUSY_MS 8000u
#define SPEECH_LOST_MS 30000u
#define AUTO_MS 2500u

const char *const call_invariants[INVARIANTS_CALL] = {
    [I_STATE] = "what is true in each state (call_broken)",
    [I_ACCEPT] = "accept: once a leg and instance, in its state, never beside one in flight",
    [I_REJECT] = "reject: once an instance, in its state, behind its row, with a SIP status",
    [I_HANGUP] = "hang-up: once an instance, in its state, behind its row",
    [I_ATTACH] = "one sideband at a time",
    [I_SEND] = "nothing is sent without a sideband",
    [I_ONE] = "never two responses at once, never over the caller",
    [I_HELD] = "nothing is asked to be said on hold",
    [I_GREET] = "one greeting, over restarts too",
    [I_MACHINE] = "the words for a machine once, over restarts too",
    [I_RUN] = "a function call runs once an instance",
    [I_ACTED] = "what has begun to act never runs again",
    [I_OUTPUT] = "an output goes out again only after it was asked for, and only into its own conversation",
    [I_SEEN] = "an output that an instance saw there never goes out again from it",
    [I_CLOSED] = "no function call is closed without its output",
    [I_ROWS] = "the row of each function call says how it stands",
    [I_ROW] = "the call's row never goes back",
    [I_CANCEL] = "at the end no run goes on unwanted",
    [I_OVER] = "the end is told once, last, with its row, and nothing comes after it",
    [I_REASON] = "every end has a reason",
    [I_DEADLINE] = "every state has a deadline",
    [I_SPIN] = "a deadline that is due goes away",
    [I_EXIT] = "timers alone lead to the end, within the bound",
    [I_SILENT] = "nobody waits in silence for words that are owed longer than the bound",
    [I_OWED] = "a restart goes on with what is owed",
    [I_COST] = "a response is charged once, over restarts too; with nothing left there is the goodbye alone",
    [I_ANSWER] = "an answer that is awaited moves the call on",
    [I_READY] = "no output waits that can be sent",
    [I_LINE] = "words to the line: only with one, in their state, the machine's end once",
    [I_OVERFLOW] = "no effect is lost",
};

const char *const row_names[ROW_STATES] = {"claimed", "accepted", "live", "waiting", "leaving", "refusing", "over"};

const char *const tool_row_names[T_STATES] = {"", "closed", "asked", "acting", "answered", "late", "late_acting",
                                              "moved", "moved_acting"};

static uint8_t row_state_of(const char *name)
{
    for (unsigned i = 0; i < ROW_STATES; i++)
        if (strcmp(row_names[i], name) == 0)
            return (uint8_t)i;
    return 0xff;
}

static uint8_t tool_row_of(const char *name)
{
    for (unsigned i = T_CLOSED; i < T_STATES; i++)
        if (strcmp(tool_row_names[i], name) == 0)
            return (uint8_t)i;
    return T_NONE;
}

/* ---- The log of a step ---- */

static struct entry *log_add(struct world *w, enum log_kind kind, unsigned tool)
{
    struct entry *e = &w->log[w->n_log < LOG - 1 ? w->n_log++ : LOG - 1];

    must(I_OVERFLOW, w->n_log < LOG - 1, "the model's own log is full");
    memset(e, 0, sizeof *e);
    e->kind = kind;
    e->tool = (uint8_t)tool;
    e->save.state = e->save.tool_state = 0xff;
    return e;
}

static void queue(struct world *w, const struct save *s)
{
    must(I_OVERFLOW, w->n_saves < SAVES, "the model's own queue of writes is full");
    if (w->n_saves < SAVES)
        w->saves[w->n_saves++] = *s;
}

/* The row as it will be once all is durable. */
static struct row settled(const struct world *w)
{
    static struct world later;

    later.row = w->row;
    memset(&later.past, 0, sizeof later.past);
    for (unsigned i = 0; i < w->n_saves; i++)
        save_apply(&later, &w->saves[i]);
    return later.row;
}

/* ---- Writes ---- */

static unsigned rank_of(uint8_t state)
{
    static const unsigned ranks[ROW_STATES] = {0, 1, 2, 0, 4, 4, 5};

    return ranks[state];
}

static void on_save(struct world *w, const struct call_fx *f)
{
    struct entry *e = log_add(w, L_SAVE, 0);
    unsigned columns = f->u.save.columns;
    uint8_t before = settled(w).state, state = 0xff;

    if (columns & CALL_SAVE_STATE) {
        state = row_state_of(f->u.save.state);
        must(I_ROW, state != 0xff, "a state that the journal does not know");
        must(I_ROW, w->c.set.line && before < ROW_LEAVING ? state != ROW_CLAIMED : rank_of(state) >= rank_of(before),
             "the row went back");
        must(I_ROW, before != ROW_OVER, "a row that is over was written");
    }
    e->save.state = state;
    e->save.has_reason = columns & CALL_SAVE_REASON;
    e->save.reason = (uint8_t)w->c.reason;
    e->save.live = columns & CALL_SAVE_LIVE;
    e->save.ticket = (uint8_t)f->u.save.ticket;
    queue(w, &e->save);
    note("write: %s%s%s%s", state != 0xff ? row_names[state] : "", e->save.has_reason ? ", reason " : "",
         e->save.has_reason ? call_reason_name(w->c.reason) : "", e->save.ticket ? ", with a ticket" : "");
}

static void on_save_tool(struct world *w, const struct call_fx *f)
{
    unsigned i = tool_of(f->u.tool_row.tool->id);
    struct entry *e;

    note("write: function call %s %s", f->u.tool_row.tool->id, f->u.tool_row.state);
    if (i >= TOOLS)
        return;
    e = log_add(w, L_SAVE, i);
    e->save.tool = (uint8_t)i;
    e->save.tool_state = tool_row_of(f->u.tool_row.state);
    e->save.output = f->u.tool_row.output.n > 0;
    queue(w, &e->save);
    if (e->save.tool_state == T_CLOSED && w->c.state == CALL_LIVE && !w->past.old[i])
        must(I_CLOSED, w->past.sent[i] || w->past.seen[i] || f->u.tool_row.tool->cancelled,
             "a function call was closed without an output");
}

static void on_turn(struct world *w, const struct call_fx *f)
{
    struct entry *e;

    if (f->u.turn.who != CALL_WHO_ASSISTANT)
        return;
    e = log_add(w, L_SAVE, 0);
    e->save.spoke = true;
    queue(w, &e->save);
    note("write: a turn of the assistant");
}

static void on_cost(struct world *w)
{
    struct entry *e = log_add(w, L_SAVE, 0);
    uint8_t number = (uint8_t)(1 + w->n_responses % 250);

    must(I_COST, settled(w).last_response != number, "a response was charged twice");
    e->save.charge = true;
    e->save.last_response = number;
    queue(w, &e->save);
    note("write: a charge");
}

/* ---- Speaking ---- */

static void on_ask(struct world *w, const struct call_fx *f)
{
    uint64_t now = w->now.mono_ms;
    unsigned serves = w->c.floor.asked_for;

    (void)log_add(w, L_ASK, 0);
    must(I_COST, w->c.budget.left != 0 || (serves & WANT_GOODBYE) != 0,
         "asked for more than the goodbye with nothing left");
    must(I_HELD, !w->c.held, "a response was asked for on hold");
    must(I_ONE, !(w->asked && now < w->asked_at + ASK_LOST_MS), "asked while an ask is not answered");
    must(I_ONE, !(w->active && now < w->active_until), "asked while a response is on");
    must(I_ONE, !(w->speaking && now < w->speaking_until), "asked while the caller speaks");
    must(I_ONE, now >= w->auto_until || (serves & WANT_VOICEMAIL) != 0, "asked where the provider answers by itself");
    must(I_STATE, w->c.state == CALL_LIVE || w->c.state == CALL_GOODBYE, "asked out of its state");
    w->asked = true;
    w->asked_at = now;
    w->asked_greeting = serves & WANT_GREETING;
    if (serves & WANT_GREETING)
        must(I_GREET, !w->began.live && !w->greeted, "a second greeting");
    if (serves & WANT_VOICEMAIL) {
        (void)log_add(w, L_MACHINE, 0);
        w->past.asked_machine = true;
        must(I_MACHINE, w->machine_asks <= w->machine_failures && !w->machine_before,
             "the machine's words were asked for twice");
        if (w->machine_failures > 0)
            w->machine_failures--; /* what said that nothing was said counts for one more */
        else
            w->machine_asks = 1;
    }
    note("response.create%s%s%s%s", serves & WANT_GREETING ? ", the greeting" : "",
         serves & WANT_GOODBYE ? ", the goodbye" : "", serves & WANT_FILLER ? ", a filler" : "",
         serves & WANT_VOICEMAIL ? ", for the machine" : "");
    (void)f;
}

static unsigned tool_by_item(const char *item)
{
    for (unsigned i = 0; i < TOOLS; i++) {
        struct tool t;
        struct id id;

        memset(&t, 0, sizeof t);
        (void)str_copy(t.id, sizeof t.id, tool_id(i));
        id = tool_item_id(&t);
        if (strcmp(id.text, item) == 0)
            return i;
        id_derive(&id, "news_", tool_id(i), STR("late"));
        if (strcmp(id.text, item) == 0)
            return i;
    }
    return TOOLS;
}

static void on_output(struct world *w, unsigned i)
{
    struct past *p = &w->past;

    note("output of function call %u", i);
    if (i >= TOOLS)
        return;
    (void)log_add(w, L_OUTPUT, i);
    must(I_OUTPUT, !p->sent[i] || p->probed[i], "an output was sent again");
    must(I_OUTPUT, !p->old[i], "an output went into another conversation");
    must(I_SEEN, !w->saw[i], "an output that was seen was sent again");
    p->sent[i] = true;
    p->probed[i] = false;
}

static void on_send(struct world *w, const struct call_fx *f)
{
    unsigned i = f->u.send.item_id.text[0] ? tool_by_item(f->u.send.item_id.text) : TOOLS;

    must(I_SEND, w->open, "sent without a sideband");
    switch (f->u.send.kind) {
    case CALL_SEND_RESPONSE: on_ask(w, f); break;
    case CALL_SEND_OUTPUT: on_output(w, i); break;
    case CALL_SEND_NEWS:
        note("a system message");
        if (i < TOOLS)
            w->past.news[i] = true;
        break;
    case CALL_SEND_RETRIEVE:
        note("asked: is the item there?");
        if (i < TOOLS)
            w->past.probed[i] = true;
        break;
    case CALL_SEND_CANCEL:
    case CALL_SEND_CLEAR: note("what is being said is stopped"); break;
    }
}

/* ---- Tools ---- */

static void on_run(struct world *w, const struct call_fx *f)
{
    unsigned i = tool_of(f->u.tool.tool->id);

    note("run of %s%s%s", f->u.tool.tool->id, f->u.tool.resumed ? ", again" : "",
         f->u.tool.keys.n > 0 ? ", with the keys that were pressed" : "");
    if (i >= TOOLS)
        return;
    if (f->u.tool.keys.n > 0) {
        must(I_RUN, w->running[i] && w->kind[i] == F_KEYPAD && !w->keyed[i], "keys for a run that waits for none");
        w->keyed[i] = true;
        return;
    }
    (void)log_add(w, L_RUN, i);
    must(I_RUN, !w->ran[i], "a function call ran twice");
    must(I_RUN, w->past.runs[i] == 0 || f->u.tool.resumed, "a function call ran again, and does not say so");
    must(I_ACTED, !w->past.acted[i], "what had begun to act ran again");
    w->ran[i] = w->running[i] = true;
    if (w->past.runs[i] < 3)
        w->past.runs[i]++;
}

/* ---- Life ---- */

static void on_hangup(struct world *w, const struct call_fx *f)
{
    (void)log_add(w, L_OTHER, 0);
    note(f->u.hangup_line ? "the line is ended" : "hang-up");
    must(I_HANGUP, settled(w).state == ROW_LEAVING, "a hang-up that no later instance would owe");
    if (f->u.hangup_line) {
        must(I_HANGUP, w->c.state == CALL_HANGING_UP && w->c.set.line && !w->c.line_over,
             "a line's end out of its state");
        w->line_ends = true;
        return;
    }
    if (w->hangups < 3)
        w->hangups++;
    must(I_HANGUP, w->hangups == 1 && w->c.state == CALL_HANGING_UP && (!w->c.set.line || w->c.line_over),
         "a hang-up twice or out of its state");
}

static void on_accept(struct world *w)
{
    (void)log_add(w, L_ACCEPT, 0);
    note("accept");
    if (w->accepts < 3)
        w->accepts++;
    must(I_ACCEPT, w->c.state == CALL_ACCEPTING && !w->awaits_accept, "an accept out of its state or beside another");
    must(I_ACCEPT, w->c.set.line || w->accepts == 1, "a second accept");
    must(I_ACCEPT, !w->c.set.line || w->leg_new, "an accept without a leg");
    w->awaits_accept = true;
    w->leg_new = false;
}

static void on_line_word(struct world *w, const struct call_fx *f)
{
    must(I_LINE, w->c.set.line, "words to a line that is not there");
    if (f->u.line.what == CALL_LINE_VOICEMAIL_SAID) {
        must(I_LINE, !w->told_said, "the end of the machine's words was told twice");
        w->told_said = true;
    }
    if (f->u.line.what == CALL_LINE_MODEL_GONE)
        must(I_LINE, w->c.state == CALL_WAITING, "a leg that is gone out of its state");
    note("to the line: %d", (int)f->u.line.what);
}

static void on_over(struct world *w, bool last)
{
    note("OVER: %s", call_reason_name(w->c.reason));
    must(I_OVER, last && w->c.state == CALL_OVER && !w->open && !w->opening && !w->over,
         "the end not last, too early, twice, or with a sideband");
    must(I_OVER, settled(w).state == ROW_OVER, "the end without its row");
    for (unsigned i = 0; i < TOOLS; i++)
        must(I_CANCEL, !w->running[i], "a run goes on that nobody waits for");
    w->over = true;
}

static void on_effect(struct world *w, const struct call_fx *f, bool last)
{
    unsigned i;

    switch (f->kind) {
    case CALL_FX_ACCEPT: on_accept(w); break;
    case CALL_FX_REJECT:
        (void)log_add(w, L_OTHER, 0);
        note("reject: SIP %d", f->u.sip_status);
        must(I_REJECT, settled(w).state == ROW_REFUSING, "a reject that no later instance would owe");
        must(I_REJECT, ++w->rejects == 1 && w->c.state == CALL_REFUSING && f->u.sip_status >= 400, "a reject");
        break;
    case CALL_FX_HANGUP: on_hangup(w, f); break;
    case CALL_FX_ATTACH:
        (void)log_add(w, L_OTHER, 0);
        note("the sideband is opened");
        must(I_ATTACH, !w->open && !w->opening && w->c.state == CALL_ATTACHING,
             "a second sideband, or out of its state");
        w->opening = true;
        break;
    case CALL_FX_DETACH:
        note("the sideband is closed");
        w->open = w->opening = false;
        break;
    case CALL_FX_SEND: on_send(w, f); break;
    case CALL_FX_TOOL_RUN: on_run(w, f); break;
    case CALL_FX_TOOL_CANCEL:
        i = tool_of(f->u.tool.tool->id);
        if (i < TOOLS)
            w->running[i] = false;
        break;
    case CALL_FX_SAVE: on_save(w, f); break;
    case CALL_FX_SAVE_TOOL: on_save_tool(w, f); break;
    case CALL_FX_SAVE_TURN: on_turn(w, f); break;
    case CALL_FX_COST: on_cost(w); break;
    case CALL_FX_LINE: on_line_word(w, f); break;
    case CALL_FX_OVER: on_over(w, last); break;
    case CALL_FX_HOP:
        note("(%s %.*s)", f->u.hop.name, (int)(f->u.hop.detail.n < 60 ? f->u.hop.detail.n : 60),
             f->u.hop.detail.p ? f->u.hop.detail.p : "");
        break;
    case CALL_FX_NOTIFY:
    default: break;
    }
}

/* ---- Before and after a step ---- */

/* It may say that nothing was said to the machine. */
static void failed(struct world *w)
{
    if (w->machine_failures < 2)
        w->machine_failures++;
}

static void before_response(struct world *w, unsigned event)
{
    bool again = w->last_done == w->n_responses + 1;

    if (event == E_RESP) {
        /* Also one that comes late, unless the provider was about to speak by itself. */
        w->greeting = w->asked && w->asked_greeting && w->now.mono_ms >= w->auto_until;
        w->asked = false;
        w->active = true;
        w->active_until = w->now.mono_ms + RESPONSE_LOST_MS;
        w->auto_until = 0;
    } else if (!again) {
        if (w->now.mono_ms >= w->active_until)
            w->greeting = false; /* given up, and may come again */
        w->active = false;
        w->last_done = w->n_responses + 1;
        if (w->greeting && (event == E_RESP_WORDS || event == E_RESP_BYE))
            w->greeted = true;
        failed(w);
    }
}

static void before_error(struct world *w, unsigned event)
{
    if (event == E_ERR_BUSY_BARE && w->c.floor.asked_for == 0)
        return;
    w->asked = false;
    w->greeting = false; /* what is on is another one */
    failed(w);
    if (event == E_ERR_ASK || w->active)
        return;
    w->active = true;
    w->active_until = w->now.mono_ms + BUSY_MS;
}

static void before_speech(struct world *w, unsigned event)
{
    if (!w->open)
        return;
    if (event == E_RESP_AGAIN && w->asked_in != w->n_responses) {
        return;
    } else if (event == E_RESP || (event >= E_RESP_WORDS && event <= E_RESP_BYE)) {
        before_response(w, event);
    } else if (event == E_ERR_BUSY || event == E_ERR_BUSY_BARE || event == E_ERR_ASK) {
        before_error(w, event);
    } else if (event == E_SPEECH) {
        w->speaking = true;
        w->speaking_until = w->now.mono_ms + SPEECH_LOST_MS;
    } else if (event == E_QUIET) {
        w->speaking = false;
        w->auto_until = w->now.mono_ms + AUTO_MS;
    } else if (event == E_OUT_SEEN_0 || event == E_OUT_SEEN_1) {
        w->past.seen[event - E_OUT_SEEN_0] = w->saw[event - E_OUT_SEEN_0] = true;
    } else if (event == E_OUT_THERE_0 || event == E_OUT_THERE_1) {
        w->past.seen[event - E_OUT_THERE_0] = w->saw[event - E_OUT_THERE_0] = true;
    }
}

void watch_before(struct world *w, unsigned event)
{
    if (event >= E_ACC_OK && event <= E_ACC_UNSENT)
        w->awaits_accept = false;
    if (event >= E_CUT && event <= E_CUT_503)
        w->open = w->opening = w->greeting = false;
    if ((event == E_SESSION || event == E_SESSION_SHORT) && w->opening) {
        w->open = true;
        w->opening = w->asked = w->active = w->speaking = false;
        w->auto_until = 0;
    }
    if (event == E_LEG && call_takes_leg(&w->c)) {
        w->leg_new = true;
        w->awaits_accept = w->greeting = false;
    }
    if (event == E_DONE_0 || event == E_FAIL_0)
        w->running[0] = false;
    if (event == E_DONE_1)
        w->running[1] = false;
    before_speech(w, event);
}

void watch_effects(struct world *w, const struct call_effects *fx)
{
    if (w->over)
        must(I_OVER, fx->n == 0, "effects after the end");
    must(I_OVERFLOW, !fx->overflow, "effects were lost");
    for (unsigned i = 0; i < fx->n; i++)
        on_effect(w, &fx->v[i], i + 1 == fx->n);
    w->n_effects += fx->n;
    if (w->c.state == CALL_ACCEPTING || w->c.state == CALL_WAITING || w->c.state == CALL_OVER)
        w->asked = w->active = w->speaking = false;
    if (w->c.state != CALL_ACCEPTING)
        w->awaits_accept = false;
}

static const struct tool *in_memory(const struct call *c, unsigned i)
{
    for (unsigned k = 0; k < CALL_TOOLS_PENDING; k++)
        if (c->tools[k] != NULL && tool_of(c->tools[k]->id) == i)
            return c->tools[k];
    return NULL;
}

/* Of calls that go on: later nobody asks for the rows. */
static void rows_agree(const struct world *w)
{
    struct row row = settled(w);

    if (w->c.state != CALL_LIVE && w->c.state != CALL_ATTACHING && w->c.state != CALL_ACCEPTING &&
        w->c.state != CALL_WAITING)
        return;
    for (unsigned i = 0; i < TOOLS; i++) {
        const struct tool *t = in_memory(&w->c, i);
        bool open = row.tool[i] != T_NONE && row.tool[i] != T_CLOSED;

        must(I_ROWS, (t != NULL) == open, "a function call and its row: one of them is missing");
        if (t != NULL && open && t->state != TOOL_PROBING)
            must(I_ROWS, row.tool[i] == tool_row_of(tool_state_name(t)), "a function call's row says something else");
    }
}

/* What was waited for came: the state is left. */
void watch_answer(const struct world *w, unsigned event, enum call_state before)
{
    enum call_state now = w->c.state;

    if (before == CALL_ACCEPTING && event >= E_ACC_OK && event <= E_ACC_UNSENT)
        must(I_ANSWER, now != CALL_ACCEPTING, "the accept was answered, and nothing follows");
    if (before == CALL_REFUSING && (event == E_REJ_OK || event == E_REJ_LOST))
        must(I_ANSWER, now == CALL_OVER, "the reject was answered, and the call is not over");
    if (before == CALL_HANGING_UP && event >= E_HUP_OK && event <= E_HUP_LOST)
        must(I_ANSWER, now == CALL_OVER, "the hang-up was answered, and the call is not over");
    if (before == CALL_GOODBYE && event >= E_CUT && event <= E_CUT_503)
        must(I_ANSWER, now != CALL_GOODBYE, "a goodbye that nobody can hear");
    if (before == CALL_LIVE && event >= E_CUT && event <= E_CUT_503)
        must(I_ANSWER, now != CALL_LIVE, "the sideband is lost, and the call is live");
    if (before != CALL_OVER && event == E_LINE_OVER && w->c.set.line)
        must(I_ANSWER, now == CALL_OVER || now == CALL_HANGING_UP, "the line is over, and the call goes on");
    if (before != CALL_NEW && before != CALL_ACCEPTING && event == E_END)
        must(I_ANSWER, now == CALL_OVER || now == CALL_HANGING_UP || now == CALL_REFUSING, "it was ended, and goes on");
}

/* In a conversation that hears it. */
static void nothing_waits(const struct world *w)
{
    const struct call *c = &w->c;

    for (unsigned i = 0; i < CALL_TOOLS_PENDING && c->state == CALL_LIVE && w->open && !c->held; i++)
        must(I_READY, c->tools[i] == NULL || c->tools[i]->state != TOOL_READY, "an output that is ready is not sent");
}

void watch_after(struct world *w)
{
    const char *broken = call_broken(&w->c);
    bool ends = w->c.state == CALL_OVER || w->c.state == CALL_NEW;

    must(I_STATE, broken == NULL, broken ? broken : "");
    must(I_OVER, (w->c.state == CALL_OVER) == w->over, "over without its effect");
    must(I_REASON, w->c.state != CALL_OVER || w->c.reason != CALL_REASON_NONE, "an end without a reason");
    must(I_DEADLINE, ends || call_deadline_ms(&w->c) != 0, "nothing is scheduled");
    if (w->c.state == CALL_HANGING_UP && w->c.set.line && !w->c.line_over)
        must(I_DEADLINE, call_deadline_ms(&w->c) <= w->now.mono_ms + 2000, "the line is not asked again to end");
    must(I_ATTACH, w->c.sideband_open == w->open || w->c.state == CALL_GOODBYE || w->c.state == CALL_HANGING_UP,
         "the machine is wrong about its sideband");
    rows_agree(w);
    nothing_waits(w);
}
