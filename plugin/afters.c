/* SPDX-License-Identifier: MIT */
/*
 * The one retrier of the outbox. A row is taken up when it is due, carried one step further and saved; only
 * then comes its next step. Kinds:
 *   summary    transcript → the agent's summary, or an extract → caller's history → "files" and "wake" rows
 *   files      a section in the day's memory file, the summaries file and the callers' (afters_files.c)
 *   transcript the turns into the agent's session
 *   wake       a line to the agent that a call took place
 *   report     how a call that was asked for has ended: makes "told" and "wake" for who asked (afters_report.c)
 *   handoff    and "missed", "late", "told": a message to a chat; asked → sending → delivered | failed | uncertain
 */
#include "plugin/afters_int.h"

#include "abi/openclaw_voice.h"
#include "memory/index.h"
#include "memory/journal.h"
#include "memory/people.h"
#include "plugin/afters_files.h"
#include "plugin/afters_report.h"
#include "plugin/afters_text.h"
#include "plugin/base/clock.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"

#include <stdio.h>
#include <string.h>

#define ASKED_AT_ONCE 4u /* where the host has a part in it: it may be a turn of the agent */
#define ROWS_AT_ONCE 32u /* of ours alone: the database takes them together */
#define ATTEMPTS_MAX 12u     /* about two hours with the pauses between them */
#define STEP_MS 60000u       /* the host's answer to one step */
#define TEXT_BYTES (1u << 20)
#define SUMMARY_WORDS 80

static struct id row_id(const char *kind, struct str call)
{
    struct id id;

    id_derive(&id, "out_", call, str_of(kind));
    return id;
}

/* ---- The end of a step ---- */

static void finish(struct work *w, const char *state, const char *error)
{
    struct afters *as = w->owner;

    work_settle(w, state, error);
    afters_pump(as);
}

static void again(struct work *w, const char *error)
{
    struct afters *as = w->owner;
    uint64_t pause = AFTERS_PAUSE_MS;

    if (w->forgotten || ++w->attempts >= ATTEMPTS_MAX) {
        if (!w->forgotten)
            log_warn(&as->app->log, "%s: %s was given up after %u attempts: %s", w->call, w->kind, w->attempts, error);
        finish(w, "failed", error);
        return;
    }
    for (unsigned i = 1; i < w->attempts && pause < AFTERS_PAUSE_MAX_MS; i++)
        pause *= 2;
    work_pause(w, error, pause);
    afters_pump(as);
}

static int ask_host(struct work *w, const char *name, struct buf *json, host_reply_fn *fn)
{
    int rc = json->rc;

    if (rc == 0)
        rc = host_request(w->owner->app->host, name, str_of(w->call), buf_str(json), fn, NULL, w, &w->token);
    buf_free(json);
    return rc;
}

/* ---- Summary ---- */

static void summarized(struct work *w, struct str summary)
{
    struct afters *as = w->owner;
    const struct config *c = as->app->config;
    struct id id = row_id("files", str_of(w->call));
    struct buf b;

    (void)people_set_summary(as->app->store, str_of(w->call), summary, NULL, NULL, NULL);
    buf_init(&b, TEXT_BYTES);
    jw_open(&b, '{');
    jw_kstr(&b, "summary", summary);
    for (const struct json *m = json_first(w->doc); m != NULL; m = json_next(m)) {
        char key[32];

        if (str_copy(key, sizeof key, json_key(m)) && strcmp(key, "summary") != 0) {
            jw_key(&b, key);
            jw_node(&b, m);
        }
    }
    jw_close(&b, '}');
    if (b.rc == 0 && as->app->index != NULL && c->integration.sync_memory &&
        afters_files_wanted(c, json_get_bool(w->doc, "words", false)))
        (void)afters_put(as, "files", str_of(w->call), str_of(id.text), buf_str(&b), NULL, NULL);
    id = row_id("report", str_of(w->call));
    if (b.rc == 0 && json_get(w->doc, "report") != NULL)
        (void)afters_put(as, "report", str_of(w->call), str_of(id.text), buf_str(&b), NULL, NULL);
    id = row_id("wake", str_of(w->call));
    if (b.rc == 0 && host_serves(as->app->host) && c->agent.include_voice_calls &&
        !afters_report_wakes(json_get(w->doc, "report"), json_get_str(w->doc, "session_key")))
        (void)afters_put(as, "wake", str_of(w->call), str_of(id.text), buf_str(&b), NULL, NULL);
    buf_free(&b);
    finish(w, "done", "");
}

static void on_summary(void *arg, int code, struct str json)
{
    struct work *w = arg;
    struct json *doc = NULL;
    struct str text = STR("");

    w->token = 0;
    if (code == OC_OK && json_parse(&doc, json, NULL) == 0)
        text = str_trim(json_get_str(doc, "text"));
    if (text.n == 0)
        text = str_of(w->text);
    summarized(w, text);
    json_free(doc);
}

/* A step that could not be done: what was forgotten stays so, everything else is tried again. */
static void trouble(struct work *w, int rc, const char *what)
{
    if (rc == ERR_NOT_FOUND)
        finish(w, "failed", "the call is gone");
    else if (rc == ERR_DENIED)
        finish(w, "failed", "the memory file's path leaves the workspace");
    else
        again(w, what);
}

static bool transcript_of(struct work *w, int rc, struct str json, struct json **doc)
{
    if (rc == 0)
        rc = w->forgotten ? ERR_NOT_FOUND : json_parse(doc, json, NULL);
    if (rc < 0)
        trouble(w, rc, "the transcript cannot be read");
    return rc == 0;
}

static void on_transcript_for_summary(void *arg, int rc, struct str json)
{
    struct work *w = arg;
    struct json *doc = NULL;
    struct buf words, text, ask;

    if (!transcript_of(w, rc, json, &doc))
        return;
    buf_init(&words, 4096);
    afters_extract(&words, json_get(doc, "turns"));
    mem_free(w->text);
    w->text = words.rc == 0 ? str_dup(buf_str(&words)) : NULL;
    buf_free(&words);
    buf_init(&text, TEXT_BYTES);
    afters_words(&text, json_get(doc, "turns"));
    if (w->owner->app->index != NULL) /* what was said can be searched from now on */
        (void)index_put_call(w->owner->app->index, str_of(w->call), json_get_str(w->doc, "person"),
                             (uint64_t)json_get_int(w->doc, "at", 0), buf_str(&text));
    buf_init(&ask, TEXT_BYTES);
    jw_open(&ask, '{');
    jw_kstrc(&ask, "call", w->call);
    jw_kstr(&ask, "text", buf_str(&text));
    jw_kint(&ask, "max_words", SUMMARY_WORDS);
    jw_close(&ask, '}');
    buf_free(&text);
    json_free(doc);
    if (w->text == NULL)
        again(w, "out of memory");
    else if (ask_host(w, OC_REQ_SUMMARY, &ask, on_summary) < 0)
        summarized(w, str_of(w->text)); /* no agent to ask: the extract is honest about it */
}

static void step_summary(struct work *w)
{
    if (journal_query(w->owner->app->store, JOURNAL_Q_TRANSCRIPT, str_of(w->call), 1, on_transcript_for_summary,
                      w) < 0)
        again(w, "the database takes no question");
}

/* ---- Files ---- */

static void on_filed(void *arg, int rc)
{
    struct work *w = arg;

    if (rc == 0)
        finish(w, "done", "");
    else
        trouble(w, rc, "a memory file cannot be written");
}

static void step_files(struct work *w)
{
    afters_files_write(w->owner->app, str_of(w->call), w->doc, on_filed, w);
}

/* ---- To whoever asked for the call ---- */

static void on_reported(void *arg, int rc)
{
    struct work *w = arg;

    if (rc == 0)
        finish(w, "done", "");
    else
        trouble(w, rc, "how the call ended cannot be read");
}

static void step_report(struct work *w)
{
    afters_report_write(w->owner->app, str_of(w->call), w->doc, on_reported, w);
}

/* ---- Turns into the agent's session ---- */

static void on_host_took(void *arg, int code, struct str json)
{
    struct work *w = arg;

    (void)json;
    w->token = 0;
    if (code == OC_OK)
        finish(w, "done", "");
    else if (code == OC_ENOTSUP || code == OC_EINVAL)
        finish(w, "failed", "the gateway refuses it");
    else
        again(w, "the gateway did not take it");
}

static void on_transcript_for_session(void *arg, int rc, struct str json)
{
    struct work *w = arg;
    struct json *doc = NULL;
    struct buf b;

    if (!transcript_of(w, rc, json, &doc))
        return;
    buf_init(&b, TEXT_BYTES);
    jw_open(&b, '{');
    jw_kstrc(&b, "call", w->call);
    jw_kstr(&b, "session_key", json_get_str(w->doc, "session_key"));
    jw_kstr(&b, "from", json_get_str(w->doc, "from")); /* names the session when the host could not in time */
    jw_kstr(&b, "level", json_get_str(w->doc, "level"));
    afters_turns(&b, json_get(doc, "turns"), str_of(w->call));
    jw_close(&b, '}');
    json_free(doc);
    if (ask_host(w, OC_REQ_TRANSCRIPT, &b, on_host_took) < 0)
        again(w, "the gateway takes no request");
}

static void step_transcript(struct work *w)
{
    if (journal_query(w->owner->app->store, JOURNAL_Q_TRANSCRIPT, str_of(w->call), 1, on_transcript_for_session,
                      w) < 0)
        again(w, "the database takes no question");
}

/* ---- A word to the agent ---- */

static void step_wake(struct work *w)
{
    bool words = json_get_bool(w->doc, "words", false);
    struct str summary = json_get_str(w->doc, "summary");
    struct buf text, b;

    buf_init(&text, TEXT_BYTES);
    if (json_get_bool(w->doc, "asked", false))
        (void)buf_printf(&text, "A telephone call that was asked for in this session is over. Report, as a quotation, "
                                "which the user has in their chat. If a question to them stands in it without an "
                                "answer, what they write now may be that: it comes too late for the call.\n"
                                "<<<\n%.*s\n>>>", STR_ARG(summary));
    else if (words)
        (void)buf_printf(&text, "A telephone call with this user has ended. Summary, as a quotation:\n<<<\n%.*s\n>>>",
                         STR_ARG(summary));
    else
        (void)buf_puts(&text, STR("A telephone call with a caller who is not linked to anybody has ended. Its words "
                                  "are in the channel's own history."));
    buf_init(&b, TEXT_BYTES);
    jw_open(&b, '{');
    jw_kstrc(&b, "call", w->call);
    jw_kstr(&b, "session_key", json_get_str(w->doc, "session_key"));
    jw_kstr(&b, "text", buf_str(&text));
    jw_kstr(&b, "tools", json_get_str(w->doc, "tools"));
    jw_close(&b, '}');
    buf_free(&text);
    if (ask_host(w, OC_REQ_WAKE, &b, on_host_took) < 0)
        again(w, "the gateway takes no request");
}

/* ---- Messages to other channels ---- */

/*
 * What is durable of a message: "asked", nothing was sent; "sending", it may have been; "repeating", so may
 * its one repeat. Whoever finds the last does nothing more.
 */
static bool set_state(struct work *w, const char *state)
{
    char *copy = str_dup(str_of(state));

    if (copy == NULL)
        return false;
    mem_free(w->state);
    w->state = copy;
    return true;
}

static void on_sent(void *arg, int code, struct str json)
{
    struct work *w = arg;

    (void)json;
    w->token = 0;
    if (code == OC_OK)
        finish(w, "delivered", "");
    else if (code == OC_EINVAL || code == OC_ENOTSUP || code == OC_ENOENT)
        finish(w, "failed", "the channel cannot deliver it");
    else if (code == OC_EBUSY)
        again(w, "the channel is busy");
    else if (strcmp(w->state, "asked") != 0 || !set_state(w, "sending"))
        finish(w, "uncertain", "it is not known whether the message arrived");
    else
        again(w, "it is not known whether the message arrived");
}

/* That it is being sent is durable before it is: after a crash here one repeat is allowed, which says so. */
static void on_sending_saved(void *arg, int rc)
{
    struct work *w = arg;
    bool repeat = strcmp(w->state, "sending") == 0;
    struct str text = json_get_str(w->doc, "text");
    struct buf words, b;

    if (rc < 0 || w->forgotten) {
        trouble(w, rc, "the database does not answer");
        return;
    }
    buf_init(&words, AFTERS_MESSAGE_BYTES + 64);
    if (repeat)
        (void)buf_puts(&words, STR("(may be a repeat)\n"));
    (void)buf_puts(&words, str_head(text, str_utf8_floor(text, AFTERS_MESSAGE_BYTES - 20)));
    buf_init(&b, TEXT_BYTES);
    jw_open(&b, '{');
    jw_kstrc(&b, "id", w->id);
    jw_kstr(&b, "channel", json_get_str(w->doc, "channel"));
    jw_kstr(&b, "to", json_get_str(w->doc, "to"));
    if (json_get_str(w->doc, "account").n > 0)
        jw_kstr(&b, "account", json_get_str(w->doc, "account"));
    jw_kstr(&b, "text", buf_str(&words));
    jw_kstr(&b, "session_key", json_get_str(w->doc, "session_key"));
    jw_close(&b, '}');
    buf_free(&words);
    if (ask_host(w, OC_REQ_SEND, &b, on_sent) < 0)
        again(w, "the gateway takes no request");
}

static void step_send(struct work *w)
{
    bool first = strcmp(w->state, "asked") == 0;
    struct outbox_row row = {.id = str_of(w->id), .call = str_of(w->call), .kind = str_of(w->kind),
                             .state = first ? STR("sending") : STR("repeating"), .payload = STR(""),
                             .attempts = w->attempts, .made_at = w->made_at, .due_at = clock_wall_ms()};

    if (strcmp(w->state, "repeating") == 0) {
        finish(w, "uncertain", "it is not known whether the message arrived");
        return;
    }
    if (strcmp(w->kind, "handoff") == 0)
        (void)handoff_save(w->owner->app->store, str_of(w->id), STR("sending"), STR(""), 0, NULL, NULL);
    if (outbox_save(w->owner->app->store, &row, on_sending_saved, w) < 0)
        again(w, "the database takes nothing");
}

/* ---- Taking rows up ---- */

static void start(struct work *w)
{
    static const struct {
        const char *kind;
        void (*step)(struct work *w);
    } kinds[] = {{"summary", step_summary}, {"files", step_files}, {"transcript", step_transcript},
                 {"wake", step_wake},       {"handoff", step_send}, {"missed", step_send},
                 {"late", step_send},       {"told", step_send},       {"report", step_report}};

    works_move(&w->owner->works, w, WORK_RUNNING);
    w->step_by_ms = loop_now_ms(w->owner->app->loop) + STEP_MS;
    if (w->ends != NULL) { /* it is over, and that was not durable yet */
        finish(w, w->ends, w->why);
        return;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(w->kind, kinds[i].kind) == 0) {
            kinds[i].step(w);
            return;
        }
    }
    finish(w, "failed", "an unknown kind");
}

void afters_pump(struct afters *as)
{
    unsigned at_once = host_serves(as->app->host) ? ASKED_AT_ONCE : ROWS_AT_ONCE;
    struct work *w;

    /* What is owed is on disk for the next start; the index may be closed already. */
    if (as->app->phase >= APP_STOPPING || as->pumping)
        return;
    as->pumping = true; /* what is over at once asks for the next here, not deeper and deeper */
    while (as->works.n[WORK_RUNNING] < at_once && (w = works_next(&as->works, loop_now_ms(as->app->loop))) != NULL)
        start(w);
    as->pumping = false;
    afters_look(as);
    afters_arm(as);
}

static bool is_message(const struct work *w)
{
    return strcmp(w->kind, "handoff") == 0 || strcmp(w->kind, "missed") == 0 || strcmp(w->kind, "late") == 0 ||
           strcmp(w->kind, "told") == 0;
}

static void on_timer(void *arg)
{
    struct afters *as = arg;
    uint64_t now = loop_now_ms(as->app->loop);

    for (struct work *w = as->works.first[WORK_RUNNING]; w != NULL; w = w->next) {
        if (w->token == 0 || w->step_by_ms > now)
            continue;
        host_cancel(as->app->host, w->token);
        host_forget(as->app->host, w->token);
        w->token = 0;
        if (strcmp(w->kind, "summary") == 0 && w->text != NULL)
            summarized(w, str_of(w->text));
        else if (is_message(w))
            on_sent(w, OC_ETIMEDOUT, STR(""));
        else
            again(w, "the gateway did not answer in time");
        break; /* the list may have changed */
    }
    afters_pump(as);
}

/* ---- Planning ---- */

static void plan(struct afters *as, const struct after_call *c, const char *kind)
{
    struct id id = row_id(kind, c->call);
    struct buf b;

    buf_init(&b, 4096);
    jw_open(&b, '{');
    jw_kstr(&b, "session_key", c->session_key);
    jw_kstr(&b, "from", c->number);
    jw_kstrc(&b, "level", caller_level_name(c->level));
    jw_kstr(&b, "date", c->date);
    jw_kstr(&b, "person", c->person);
    jw_kint(&b, "at", (int64_t)c->received_wall_ms);
    jw_kint(&b, "duration_ms", (int64_t)c->duration_ms);
    jw_kbool(&b, "words", c->access.words_to_memory);
    jw_kstrc(&b, "tools", c->level == CALLER_UNKNOWN ? "none" : "safe");
    if (c->outbound && host_serves(as->app->host))
        afters_report_plan(&b, c->spec);
    jw_close(&b, '}');
    if (b.rc == 0)
        (void)afters_put(as, kind, c->call, str_of(id.text), buf_str(&b), NULL, NULL);
    buf_free(&b);
}

void afters_plan(struct afters *as, const struct after_call *c)
{
    const struct config *cfg = as->app->config;

    if (!c->was_live && !c->outbound && c->access.own_chats)
        afters_tell_missed(as->app, c);
    if (!c->was_live || c->turns == 0) {
        if (c->outbound && host_serves(as->app->host) && afters_report_wanted(c->spec))
            plan(as, c, "report");
        return;
    }
    plan(as, c, "summary");
    if (c->access.own_history && cfg->integration.sync_memory && cfg->agent.share_across_channels &&
        host_serves(as->app->host))
        plan(as, c, "transcript");
}

/* ---- Open and close ---- */

int afters_open(struct afters **out, struct app *app)
{
    struct afters *as = MEM_NEW(struct afters);
    int rc;

    if (as == NULL)
        return ERR_NOMEM;
    as->app = app;
    as->works.max = WORKS_MAX;
    rc = timer_open(&as->timer, app->loop, on_timer, as);
    if (rc < 0) {
        mem_free(as);
        return rc;
    }
    *out = as;
    return 0;
}

void afters_close(struct afters *as)
{
    if (as == NULL)
        return;
    afters_drop_all(as);
    timer_close(as->timer);
    mem_free(as);
}
