/* SPDX-License-Identifier: MIT */
/* The model's side of calls that have a line at a carrier: words from the line in, words to it out. */
#include "abi/openclaw_voice.h"
#include "memory/journal.h"
#include "memory/lines.h"
#include "plugin/base/clock.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "plugin/calls_int.h"
#include "plugin/fetches.h"
#include "plugin/lines.h"
#include "plugin/notice.h"
#include "plugin/owner.h"
#include "plugin/questions.h"
#include "plugin/runs.h"
#include "plugin/screen.h"

#include <string.h>

#define READ_BACK_MS 30000u /* after an adoption, until a line that is not there counts as over */
#define SO_FAR_BYTES 12000u /* of what was said, for a leg that comes back: the end of it */

/* ---- Beginning ---- */

int live_line_settings(struct live *lc, struct call_settings *set)
{
    struct str message = lc->outbound ? json_get_str(lc->spec, "message") : STR("");
    bool notice = lc->call.set.notice_first; /* what the line said before the machine was made */

    set->line = true;
    set->ask_consent = lc->call.set.ask_consent;
    set->notice_first = notice;
    set->notice = str_of(prompt_notice());
    if (lc->call.set.max_duration_ms > 0)
        set->max_duration_ms = lc->call.set.max_duration_ms;
    mem_free(lc->first);
    lc->first = prompt_first(message, notice);
    set->first = str_of(lc->first);
    return lc->first != NULL ? 0 : ERR_NOMEM;
}

struct str live_owner(const struct live *lc)
{
    struct str owner = lc->outbound ? json_get_str(lc->spec, "owner") : STR("");

    return owner.n > 0 && owner_reachable(lc->owner->app, owner) ? owner : STR("");
}

/* What the line said when it began is in its own machine; this says the same for what goes on here. */
void live_line_adopt(struct live *lc, bool outbound, struct str spec)
{
    const struct config *c = lc->owner->app->config;
    int64_t minutes;

    lc->has_line = true;
    lc->outbound = outbound;
    lc->adopted_at_ms = loop_now_ms(lc->owner->app->loop);
    if (spec.n > 0)
        (void)json_parse(&lc->spec, spec, NULL);
    lc->recorded = json_get_bool(lc->spec, "record", false);
    lc->call.set.ask_consent = lc->recorded && config_consent_of(c, str_of(lc->from)) == CONFIG_CONSENT_ASK;
    minutes = json_get_int(lc->spec, "max_minutes", 0);
    if (minutes > 0 && minutes < (int64_t)c->call.max_duration_min)
        lc->call.set.max_duration_ms = (uint64_t)minutes * 60000u;
}

void live_lines_adopt(struct app *app)
{
    if (app->lines != NULL)
        lines_adopt(app->lines);
    fetches_look(app->fetches);
}

static void notify_waiting(struct live *lc)
{
    struct app *app = lc->owner->app;

    if (app->config->logging.call_events)
        log_info(&app->log, "%s %s %s (%s)", lc->id, lc->outbound ? "to" : "from",
                 log_number(&app->log, str_of(lc->from)).text, caller_level_name(lc->level));
    if (!lc->outbound) /* call.initiated is the line's */
        screen_notify(app, str_of(lc->id), str_of(lc->openai_call_id), str_of(lc->from), lc->level);
}

void calls_begin_waiting(struct calls *cs, const struct calls_waiting *in)
{
    struct live *lc = cs->leaving ? NULL : live_new(cs, str_of(in->id.text), STR(""));
    struct str session;

    if (lc == NULL)
        return; /* the row is durable: the next start begins it */
    (void)str_copy(lc->from, sizeof lc->from, str_of(in->other.number));
    lc->has_line = true;
    lc->outbound = in->outbound;
    lc->begun = true;
    lc->base = lc->level = in->verdict.level < CALLER_LINKED ? in->verdict.level : CALLER_LINKED;
    lc->recorded = in->recorded;
    lc->received_wall_ms = in->received_wall_ms;
    lc->received_mono_ms = loop_now_ms(cs->app->loop);
    if (in->spec.n > 0)
        (void)json_parse(&lc->spec, in->spec, NULL);
    live_look_up_access(lc);
    session = json_get_str(lc->spec, "session");
    if (session.n > 0 && session.n <= 512 && lc->access.shared_session)
        lc->session_key = str_dup(session);
    lc->call.set.max_duration_ms = in->max_duration_ms;
    lc->call.set.notice_first = in->notice;
    lc->call.set.ask_consent = in->ask_consent;
    if (live_prepare(lc) < 0) {
        log_error(&cs->app->log, "%s: no memory, it waits for the next start", in->id.text);
        live_free(lc);
        return;
    }
    notify_waiting(lc);
    live_note_caller(lc);
    if (lc->call.set.ask_available)
        runs_prepare(cs->app->runs, str_of(lc->id), str_of(lc->from), str_of(caller_level_name(lc->level)));
    live_brief(lc);
    call_begin_waiting(&lc->call, live_now(cs), &cs->fx);
    live_settle(lc);
}

/* ---- A leg of the model ---- */

bool live_is(const struct live *lc, struct str openai_call_id)
{
    if (openai_call_id.n == 0)
        return false;
    for (unsigned i = 0; i < lc->past.n; i++)
        if (str_eqc(openai_call_id, lc->past.id[i]))
            return true;
    return str_eqc(openai_call_id, lc->openai_call_id);
}

void live_line_free(struct live *lc)
{
    for (unsigned i = 0; i < lc->past.n; i++)
        mem_free(lc->past.id[i]);
    json_free(lc->spec);
    mem_free(lc->first);
    mem_free(lc->so_far);
}

static int replace_id(struct live *lc, struct str openai_call_id)
{
    char *copy = str_dup(openai_call_id);

    if (copy == NULL)
        return ERR_NOMEM;
    if (lc->openai_call_id[0] == '\0') {
        mem_free(lc->openai_call_id);
    } else {
        if (lc->past.n == LIVE_PAST_LEGS) { /* its row still knows the oldest */
            mem_free(lc->past.id[0]);
            memmove(&lc->past.id[0], &lc->past.id[1], (LIVE_PAST_LEGS - 1) * sizeof lc->past.id[0]);
            lc->past.n--;
        }
        lc->past.id[lc->past.n++] = lc->openai_call_id;
    }
    lc->openai_call_id = copy;
    return 0;
}

static void leg_in(struct live *lc)
{
    struct call_event ev = {.kind = CALL_EV_LEG};

    lc->leg_asked = false;
    live_look_up_access(lc); /* what the line can do is known now */
    lc->call.set.native_tools = lc->natives.names;
    lc->call.set.n_native_tools = lc->natives.n;
    lc->call.set.context_late = lc->briefing != NULL;
    live_feed(lc, &ev);
}

struct reading { /* of what was said; the call may be gone when it is read */
    struct calls *cs;
    char id[ID_BYTES];
};

/* "Caller: ...\nAssistant: ...\n", the end of it. NULL: nothing was said, or no memory. */
static char *what_was_said(const struct json *turns)
{
    struct buf b;
    struct str text;
    char *said = NULL;

    buf_init(&b, 1u << 20);
    for (const struct json *t = json_first(turns); t != NULL; t = json_next(t))
        if (json_get_str(t, "text").n > 0)
            (void)buf_printf(&b, "%s: %.*s\n", str_eqc(json_get_str(t, "who"), "caller") ? "They" : "You",
                             STR_ARG(json_get_str(t, "text")));
    text = buf_str(&b);
    if (text.n > SO_FAR_BYTES) {
        text = str_skip(text, text.n - SO_FAR_BYTES);
        text = str_skip(text, str_find(text, '\n'));
    }
    text = str_trim(text);
    if (text.n > 0)
        said = str_dup(text);
    buf_free(&b);
    return said;
}

static void on_said(void *arg, int rc, struct str json)
{
    struct reading r = *(struct reading *)arg;
    struct live *lc = live_find(r.cs, str_of(r.id));
    struct json *doc = NULL;

    mem_free(arg);
    if (lc == NULL || !lc->leg_asked)
        return;
    if (rc == 0)
        (void)json_parse(&doc, json, NULL);
    mem_free(lc->so_far);
    lc->so_far = what_was_said(json_get(doc, "turns"));
    json_free(doc);
    leg_in(lc);
}

/* The new leg is another conversation at the provider: what was said goes in with the accept. */
static bool read_said(struct live *lc)
{
    struct reading *r = MEM_NEW(struct reading);

    if (r == NULL)
        return false;
    r->cs = lc->owner;
    (void)str_copy(r->id, sizeof r->id, str_of(lc->id));
    if (journal_query(lc->owner->app->store, JOURNAL_Q_TRANSCRIPT, str_of(lc->id), 1, on_said, r) == 0)
        return true;
    mem_free(r);
    return false;
}

int calls_leg(struct calls *cs, struct str call, struct str openai_call_id, struct str sip_call_id)
{
    struct live *lc = cs != NULL ? live_find(cs, call) : NULL;

    (void)sip_call_id; /* it stands in the call's row */
    if (lc == NULL || cs->leaving || !call_takes_leg(&lc->call))
        return ERR_NOT_FOUND;
    if (replace_id(lc, openai_call_id) < 0)
        return ERR_NOMEM;
    if (lc->leg_asked) /* the one before is not even accepted */
        return 0;
    lc->leg_asked = lc->call.greeted;
    if (!lc->leg_asked || !read_said(lc))
        leg_in(lc);
    return 0;
}

/* ---- From the line ---- */

static void feed(struct live *lc, enum call_ev kind, struct str text)
{
    struct call_event ev = {.kind = kind};

    if (kind == CALL_EV_VOICEMAIL)
        ev.u.text = text;
    live_feed(lc, &ev);
}

static void tell(struct live *lc, struct str text, bool say)
{
    struct call_event ev = {.kind = CALL_EV_TELL};
    struct buf words, key;

    buf_init(&words, 16384);
    buf_init(&key, 64);
    if (say)
        (void)buf_puts(&words, STR("Say this to the person on the telephone now, in these words and no others:\n"));
    (void)buf_puts(&words, text);
    (void)buf_printf(&key, "line %llu", (unsigned long long)clock_wall_ms());
    ev.u.tell.id = buf_str(&key);
    ev.u.tell.text = buf_str(&words);
    ev.u.tell.speak = say;
    live_feed(lc, &ev);
    buf_free(&words);
    buf_free(&key);
}

static void over(struct live *lc, enum call_reason reason, struct str detail)
{
    struct call_event ev = {.kind = CALL_EV_LINE_OVER};

    ev.u.end.reason = reason != CALL_REASON_NONE ? call_reason_name(reason) : NULL;
    ev.u.end.detail = detail;
    live_feed(lc, &ev);
}

static struct str machine_words(const struct live *lc, struct str text)
{
    if (text.n == 0)
        text = json_get_str(lc->spec, "voicemail_message");
    return text.n > 0 ? text : str_of(lc->owner->app->config->outbound.voicemail_message);
}

void calls_line(struct calls *cs, struct str call, enum line_tell what, struct str text)
{
    struct live *lc = cs != NULL ? live_find(cs, call) : NULL;

    if (lc == NULL || (!lc->has_line && !lc->followed))
        return;
    switch (what) {
    case TELL_HOLD: feed(lc, CALL_EV_HOLD, STR("")); break;
    case TELL_RESUME: feed(lc, CALL_EV_RESUME, STR("")); break;
    case TELL_PARK: feed(lc, CALL_EV_PARK, STR("")); break;
    case TELL_SAY: tell(lc, text, true); break;
    case TELL_NEWS: tell(lc, text, false); break;
    case TELL_VOICEMAIL: feed(lc, CALL_EV_VOICEMAIL, machine_words(lc, text)); break;
    case TELL_TRANSFERRED:
        lc->outcome = LINE_OUTCOME_TRANSFERRED;
        over(lc, CALL_REASON_TRANSFERRED, text);
        break;
    case TELL_REFERRED: live_feed(lc, &(struct call_event){.kind = CALL_EV_REFERRED, .u.flag = text.n > 0}); break;
    case TELL_OVER: break; /* calls_line_over() says how */
    }
}

void calls_notice(struct calls *cs, struct str call)
{
    struct live *lc = cs != NULL ? live_find(cs, call) : NULL;

    if (lc != NULL && lc->has_line)
        feed(lc, CALL_EV_NOTICE, STR(""));
}

void calls_unrecorded(struct calls *cs, struct str call, bool paused)
{
    struct live *lc = cs != NULL ? live_find(cs, call) : NULL;
    struct call_event ev = {.kind = CALL_EV_UNRECORDED, .u.flag = paused};

    if (lc != NULL && lc->has_line)
        live_feed(lc, &ev);
}

void calls_keys(struct calls *cs, struct str call, struct str digits)
{
    for (size_t i = 0; i <= digits.n; i++) {
        struct call_event ev = {.kind = CALL_EV_DTMF, .u.text = i < digits.n ? str_make(digits.p + i, 1) : STR("#")};
        struct live *lc = cs != NULL ? live_find(cs, call) : NULL;

        if (lc != NULL && digits.n > 0)
            live_feed(lc, &ev);
    }
}

static enum call_reason reason_of(const struct call *c, enum line_outcome outcome)
{
    switch (outcome) {
    case LINE_OUTCOME_VOICEMAIL: return CALL_REASON_VOICEMAIL;
    case LINE_OUTCOME_TRANSFERRED: return CALL_REASON_TRANSFERRED;
    case LINE_OUTCOME_CANCELED: return CALL_REASON_CANCELED;
    case LINE_OUTCOME_INTERRUPTED: return CALL_REASON_ENDED_WHILE_DOWN;
    case LINE_OUTCOME_FAILED:
        return c->live_since_ms != 0 ? CALL_REASON_CONTROL_LOST : CALL_REASON_NOT_CONNECTED;
    case LINE_OUTCOME_NONE:
    case LINE_OUTCOME_ANSWERED: return CALL_REASON_NONE; /* the machine knows how */
    default: return CALL_REASON_NOT_CONNECTED;
    }
}

void calls_line_over(struct calls *cs, struct str call, enum line_outcome outcome, struct str detail)
{
    struct live *lc = cs != NULL ? live_find(cs, call) : NULL;

    if (lc == NULL || !lc->has_line)
        return;
    if (outcome != LINE_OUTCOME_NONE)
        lc->outcome = outcome;
    over(lc, reason_of(&lc->call, outcome), detail);
}

struct gone { /* a call whose line is read, for how it ended */
    struct calls *cs;
    char call[ID_BYTES];
};

static void on_gone_row(void *arg, int rc, const struct line_row *rows, unsigned n)
{
    struct gone *g = arg;
    bool known = rc == 0 && n == 1;
    struct live *lc = live_find(g->cs, str_of(g->call));

    if (lc != NULL && !lines_has(g->cs->app->lines, str_of(g->call)))
        calls_line_over(g->cs, str_of(g->call), known ? line_outcome_of(rows[0].outcome) : LINE_OUTCOME_NONE,
                        known ? rows[0].detail : STR(""));
    mem_free(g);
}

/*
 * It ended in the moment of the death: the call's row did not say so yet. How, its line says, if that waits for its
 * recording, or else the line's row.
 */
static void line_is_gone(struct live *lc, uint64_t adopted_by_ms)
{
    struct lines *ls = lc->owner->app->lines;
    enum line_outcome outcome;
    struct str detail;
    struct gone *g;

    if (!lc->has_line || lc->adopted_at_ms == 0 || lc->adopted_at_ms > adopted_by_ms)
        return;
    if (lines_over(ls, str_of(lc->id), &outcome, &detail)) {
        calls_line_over(lc->owner, str_of(lc->id), outcome, detail);
        return;
    }
    if (lines_has(ls, str_of(lc->id)))
        return;
    g = MEM_NEW(struct gone);
    if (g != NULL) {
        g->cs = lc->owner;
        (void)str_copy(g->call, sizeof g->call, str_of(lc->id));
        if (line_row_of(lc->owner->app->store, str_of(lc->id), on_gone_row, g) == 0)
            return;
    }
    mem_free(g);
    over(lc, CALL_REASON_NONE, STR(""));
}

bool calls_line_away(struct calls *cs, struct str call)
{
    struct live *lc = cs != NULL && call.n > 0 ? live_find(cs, call) : NULL;

    return lc != NULL && lc->has_line && lc->adopted_at_ms != 0 && !lines_has(cs->app->lines, call) &&
           loop_now_ms(cs->app->loop) < lc->adopted_at_ms + READ_BACK_MS;
}

void calls_lines_read(struct calls *cs, uint64_t adopted_by_ms)
{
    for (unsigned i = 0; cs != NULL && i < cs->n_buckets; i++) {
        for (struct live *lc = cs->buckets[i], *next; lc != NULL; lc = next) {
            next = lc->next; /* feeding frees at most the call that is fed */
            line_is_gone(lc, adopted_by_ms);
        }
    }
}

/* ---- To the line ---- */

struct line_word {
    struct loop_msg msg;
    struct app *app;
    char call[ID_BYTES];
    bool end;
    bool over, by_provider; /* of a direct line */
    enum line_ev what;
    char text[200];
};

static void on_word(struct loop_msg *m)
{
    struct line_word *w = (struct line_word *)(void *)m;

    if (w->app->lines != NULL && w->over)
        lines_direct_over(w->app->lines, str_of(w->call), w->by_provider);
    else if (w->app->lines != NULL && w->end)
        lines_end(w->app->lines, str_of(w->call), str_of(w->text));
    else if (w->app->lines != NULL)
        lines_from_model(w->app->lines, str_of(w->call), w->what, str_of(w->text));
    mem_free(w);
}

static bool post(struct live *lc, const struct line_word *word, struct str text)
{
    struct line_word *w = MEM_NEW(struct line_word);

    if (w == NULL) {
        log_error(&lc->owner->app->log, "%s: no memory to tell the line", lc->id);
        return false;
    }
    *w = *word;
    w->msg.run = on_word;
    w->app = lc->owner->app;
    (void)str_copy(w->call, sizeof w->call, str_of(lc->id));
    (void)str_copy(w->text, sizeof w->text, str_head(text, str_utf8_floor(text, sizeof w->text - 1)));
    if (loop_post(w->app->loop, &w->msg) == 0)
        return true;
    mem_free(w);
    return false;
}

void live_tell_line(struct live *lc, enum call_line what, struct str text)
{
    static const enum line_ev events[] = {
        [CALL_LINE_MODEL_LIVE] = LINE_EV_MODEL_LIVE,
        [CALL_LINE_MODEL_GONE] = LINE_EV_MODEL_GONE,
        [CALL_LINE_NOTICE_HEARD] = LINE_EV_NOTICE_HEARD,
        [CALL_LINE_CONSENT_GONE] = LINE_EV_CONSENT_GONE,
        [CALL_LINE_CALLEE_TURN] = LINE_EV_CALLEE_TURN,
        [CALL_LINE_VOICEMAIL_SAID] = LINE_EV_VOICEMAIL_SAID,
    };

    (void)post(lc, &(struct line_word){.what = events[what]}, text);
}

/* The machine asks again until the line is over: once is enough for a line that is there. */
void live_end_line(struct live *lc)
{
    struct app *app = lc->owner->app;
    bool there = app->lines != NULL && lines_has(app->lines, str_of(lc->id));

    if (app->lines == NULL || (there && lc->line_ending))
        return;
    if (!there && lc->adopted_at_ms != 0 && loop_now_ms(app->loop) < lc->adopted_at_ms + READ_BACK_MS)
        return; /* it is being read back */
    lc->line_ending = post(lc, &(struct line_word){.end = true}, str_of(call_reason_name(lc->call.reason)));
}

/* ---- Calls without such a line ---- */

static struct live *named(struct calls *cs, struct str id)
{
    struct live *lc = live_find(cs, id);

    for (unsigned i = 0; i < cs->n_buckets && lc == NULL && !str_starts(id, STR("call_")); i++)
        for (struct live *each = cs->buckets[i]; each != NULL && lc == NULL; each = each->next)
            lc = live_is(each, id) ? each : NULL;
    return lc;
}

struct str calls_ours(struct calls *cs, struct str id)
{
    const struct live *lc = cs != NULL ? named(cs, id) : NULL;

    return lc != NULL ? str_of(lc->id) : id;
}

bool calls_direct(struct calls *cs, struct str id, struct calls_direct *out)
{
    const struct live *lc = cs != NULL && !cs->leaving ? named(cs, id) : NULL;

    if (lc == NULL || lc->has_line || lc->refused || lc->call.state == CALL_REFUSING ||
        lc->call.state == CALL_HANGING_UP || lc->call.state == CALL_OVER)
        return false;
    (void)str_copy(out->id, sizeof out->id, str_of(lc->id));
    (void)str_copy(out->number, sizeof out->number, str_of(lc->from));
    out->live = lc->call.state == CALL_LIVE;
    return true;
}

void calls_follow(struct calls *cs, struct str call)
{
    struct live *lc = live_find(cs, call);

    if (lc == NULL)
        return;
    lc->followed = true;
    lc->told_live = lc->call.state == CALL_LIVE;
}

int calls_refer(struct calls *cs, struct str call, struct str target_uri, rt_rest_fn *fn, void *arg,
                struct rt_rest **out)
{
    struct live *lc = cs != NULL ? live_find(cs, call) : NULL;

    return lc == NULL ? ERR_NOT_FOUND
                      : rt_refer(cs->app->api, str_of(lc->openai_call_id), target_uri, fn, arg, out);
}

/* Whether the provider closed the call, or it is we who ended it. */
static bool closed_by_provider(enum call_reason r)
{
    return r == CALL_REASON_CALLER_HUNG_UP || r == CALL_REASON_ENDED_WHILE_DOWN || r == CALL_REASON_CALLER_GONE ||
           r == CALL_REASON_TRANSFERRED;
}

void live_follow(struct live *lc, bool over)
{
    bool live = lc->call.state == CALL_LIVE;

    if (!lc->followed)
        return;
    if (over) {
        (void)post(lc, &(struct line_word){.over = true, .by_provider = closed_by_provider(lc->call.reason)}, STR(""));
    } else if (live != lc->told_live) {
        lc->told_live = live;
        (void)post(lc, &(struct line_word){.what = live ? LINE_EV_MODEL_LIVE : LINE_EV_MODEL_AWAY}, STR(""));
    }
}
