/* SPDX-License-Identifier: MIT */
#include "plugin/afters_report.h"

#include "memory/journal.h"
#include "memory/lines.h"
#include "plugin/afters.h"
#include "plugin/afters_text.h"
#include "plugin/app.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "plugin/config/config.h"
#include "plugin/questions.h"

#include <string.h>

#define PAYLOAD_BYTES 65536u
#define PURPOSE_BYTES 300u
#define SUMMARY_BYTES 1500u
#define TURN_BYTES 400u
#define QUESTION_BYTES 200u /* of a question to the owner, and of its answer */
#define MARGIN_BYTES 200u /* of the message, for its last lines */

struct address {
    struct str session, channel, to, account;
};

/* Where it was asked for; what is not said there, by whose the call is (owner.h). */
static struct address address_of(const struct json *spec)
{
    const struct json *r = json_get(spec, "report");
    struct str owner = json_get_str(spec, "owner");
    struct address a = {json_get_str(r, "session"), json_get_str(r, "channel"), json_get_str(r, "to"),
                        json_get_str(r, "account")};

    if (a.session.n == 0)
        a.session = json_get_str(spec, "session");
    if (a.session.n == 0)
        a.session = json_get_str(spec, "owner_session");
    if (a.to.n == 0 && owner.n > 0) {
        a.channel = str_head(owner, str_find(owner, ':'));
        a.to = str_skip(owner, a.channel.n + 1);
    }
    return a;
}

bool afters_report_wanted(const struct json *spec)
{
    struct address a = address_of(spec);

    return a.session.n > 0 || a.to.n > 0;
}

void afters_report_plan(struct buf *b, const struct json *spec)
{
    struct str purpose = json_get_str(spec, "purpose");
    struct address a = address_of(spec);

    if (!afters_report_wanted(spec))
        return;
    jw_key(b, "report");
    jw_open(b, '{');
    jw_kstr(b, "session", a.session);
    jw_kstr(b, "channel", a.channel);
    jw_kstr(b, "to", a.to);
    jw_kstr(b, "account", a.account);
    jw_kstr(b, "purpose", str_head(purpose, str_utf8_floor(purpose, PURPOSE_BYTES)));
    jw_close(b, '}');
}

bool afters_report_wakes(const struct json *report, struct str session_key)
{
    return session_key.n > 0 && str_eq(json_get_str(report, "session"), session_key);
}

/* ---- The text ---- */

static const char *sentence(struct str outcome)
{
    static const struct {
        const char *outcome, *text;
    } sentences[] = {
        {"answered", "was answered"},
        {"voicemail", "reached a voicemail"},
        {"transferred", "was answered and handed over"},
        {"busy", "did not get through: busy"},
        {"no_answer", "was not answered"},
        {"rejected", "was declined"},
        {"canceled", "was canceled before it was answered"},
        {"expired", "waited too long and was not placed"},
        {"interrupted", "was cut off by an interruption here"},
        {"unconfirmed", "may have been placed: the carrier's answer was lost, and it is not tried again"},
    };

    for (unsigned i = 0; i < sizeof sentences / sizeof *sentences; i++)
        if (str_eqc(outcome, sentences[i].outcome))
            return sentences[i].text;
    return "did not get through";
}

static void write_words(struct buf *text, const struct json *turns, size_t room)
{
    bool begun = false;

    for (const struct json *t = json_first(turns); t != NULL; t = json_next(t)) {
        struct str words = json_get_str(t, "text");

        if (words.n == 0)
            continue;
        if (text->n + TURN_BYTES + MARGIN_BYTES > room) {
            (void)buf_puts(text, STR("(and more)\n"));
            return;
        }
        if (!begun)
            (void)buf_puts(text, STR("What was said:\n"));
        begun = true;
        (void)buf_printf(text, "%s: %.*s\n", str_eqc(json_get_str(t, "who"), "caller") ? "They" : "Assistant",
                         STR_ARG(str_head(words, str_utf8_floor(words, TURN_BYTES))));
    }
}

static void clipped(struct buf *b, struct str text, size_t max)
{
    (void)buf_printf(b, "%.*s%s", STR_ARG(str_head(text, str_utf8_floor(text, max))), text.n > max ? " ..." : "");
}

static void write_question(struct buf *text, const struct question_row *q)
{
    (void)buf_puts(text, STR("You were asked: "));
    clipped(text, q->text, QUESTION_BYTES);
    if (q->answer.n == 0) {
        (void)buf_puts(text, STR(" No answer came in time.\n"));
        return;
    }
    (void)buf_puts(text, STR("\nYou answered: "));
    clipped(text, q->answer, QUESTION_BYTES);
    (void)buf_puts(text, str_eqc(q->state, "told") ? STR("\n") : STR(" (too late for the call)\n"));
}

struct report { /* what is known of the call */
    const struct json *doc, *call, *turns;
    const struct question_row *questions;
    unsigned n_questions;
};

static void write_report(struct buf *text, const struct config *c, const struct report *r)
{
    const struct json *doc = r->doc, *call = r->call;
    struct str outcome = json_get_str(call, "outcome"), detail = json_get_str(call, "detail");
    struct str purpose = json_get_str(json_get(doc, "report"), "purpose"), summary = json_get_str(doc, "summary");
    int64_t ms = json_get_int(call, "duration_ms", 0);

    (void)buf_printf(text, "The call to %.*s %s", STR_ARG(json_get_str(call, "from")), sentence(outcome));
    if (json_get_int(call, "live_at", 0) > 0 && ms > 0)
        (void)buf_printf(text, " (%lld s)", (long long)((ms + 999) / 1000));
    (void)buf_puts(text, STR(".\n"));
    if (!str_eqc(outcome, "answered") && detail.n > 0)
        (void)buf_printf(text, "%.*s\n", STR_ARG(str_head(detail, str_utf8_floor(detail, PURPOSE_BYTES))));
    if (purpose.n > 0)
        (void)buf_printf(text, "Purpose: %.*s\n", STR_ARG(purpose));
    if (summary.n > 0)
        (void)buf_printf(text, "Summary: %.*s\n", STR_ARG(str_head(summary, str_utf8_floor(summary, SUMMARY_BYTES))));
    for (unsigned i = 0; i < r->n_questions && i < QUESTIONS_A_CALL; i++)
        write_question(text, &r->questions[i]);
    write_words(text, r->turns, AFTERS_MESSAGE_BYTES - strlen(c->api_public_url));
    (void)buf_printf(text, "(%.*s, outcome %.*s)", STR_ARG(json_get_str(call, "call")), STR_ARG(outcome));
    if (c->api_public_url[0] != '\0')
        (void)buf_printf(text, "\n%s/calls/%.*s", c->api_public_url, STR_ARG(json_get_str(call, "call")));
}

/* ---- The rows ---- */

struct writing {
    struct app *app;
    afters_report_fn *fn;
    void *arg;
    const struct json *doc; /* lives as long as its row, which waits for fn */
    struct json *call, *turns;
};

static void writing_over(struct writing *w, int rc)
{
    w->fn(w->arg, rc);
    json_free(w->call);
    json_free(w->turns);
    mem_free(w);
}

static void put_message(struct writing *w, struct str text)
{
    static const char *const names[] = {"channel", "to", "account"};
    const struct json *report = json_get(w->doc, "report");
    struct str call = json_get_str(w->call, "call");
    struct id id;
    struct buf b;

    if (json_get_str(report, "to").n == 0)
        return;
    buf_init(&b, PAYLOAD_BYTES);
    jw_open(&b, '{');
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        jw_kstr(&b, names[i], json_get_str(report, names[i]));
    jw_kstrc(&b, "session_key", ""); /* in no session: what strangers said would stand there as the assistant's words */
    jw_kstr(&b, "text", text);
    jw_close(&b, '}');
    id_derive(&id, "out_", call, STR("told"));
    if (b.rc == 0)
        (void)afters_put(w->app->afters, "told", call, str_of(id.text), buf_str(&b), NULL, NULL);
    buf_free(&b);
}

static void put_wake(struct writing *w, struct str text)
{
    struct str session = json_get_str(json_get(w->doc, "report"), "session");
    struct str call = json_get_str(w->call, "call");
    struct id id;
    struct buf b, words;

    if (session.n == 0)
        return;
    buf_init(&b, PAYLOAD_BYTES);
    buf_init(&words, PAYLOAD_BYTES);
    afters_unfence(&words, text);
    jw_open(&b, '{');
    jw_kstr(&b, "session_key", session);
    jw_kstr(&b, "summary", buf_str(&words));
    jw_kbool(&b, "asked", true);
    jw_kstrc(&b, "tools", "safe"); /* a stranger's words begin no run that may act */
    jw_close(&b, '}');
    id_derive(&id, "out_", call, STR("report wake"));
    if (b.rc == 0 && words.rc == 0)
        (void)afters_put(w->app->afters, "wake", call, str_of(id.text), buf_str(&b), NULL, NULL);
    buf_free(&b);
    buf_free(&words);
}

static void on_questions(void *arg, int rc, const struct question_row *rows, unsigned n)
{
    struct writing *w = arg;
    const struct report report = {.doc = w->doc, .call = w->call, .turns = json_get(w->turns, "turns"),
                                  .questions = rows, .n_questions = n};
    struct buf text;

    if (rc < 0) {
        writing_over(w, rc);
        return;
    }
    buf_init(&text, 4 * AFTERS_MESSAGE_BYTES);
    write_report(&text, w->app->config, &report);
    rc = text.rc;
    if (rc == 0) {
        put_message(w, buf_str(&text));
        put_wake(w, buf_str(&text));
    }
    buf_free(&text);
    writing_over(w, rc);
}

static void on_turns(void *arg, int rc, struct str json)
{
    struct writing *w = arg;

    if (rc == 0)
        (void)json_parse(&w->turns, json, NULL);
    if (rc == 0 || rc == ERR_NOT_FOUND)
        rc = question_rows(w->app->store, json_get_str(w->call, "call"), on_questions, w);
    if (rc < 0)
        writing_over(w, rc);
}

static void on_call(void *arg, int rc, struct str json)
{
    struct writing *w = arg;

    if (rc == 0)
        rc = json_parse(&w->call, json, NULL);
    if (rc == 0 && (!str_eqc(json_get_str(w->call, "state"), JOURNAL_OVER) ||
                    json_get_str(w->call, "outcome").n == 0))
        rc = ERR_BAD_STATE; /* its last row is on its way */
    if (rc == 0)
        rc = journal_query(w->app->store, JOURNAL_Q_TRANSCRIPT, json_get_str(w->call, "call"), 1, on_turns, w);
    if (rc < 0)
        writing_over(w, rc);
}

void afters_report_write(struct app *app, struct str call, const struct json *doc, afters_report_fn *fn, void *arg)
{
    struct writing *w = MEM_NEW(struct writing);
    int rc = ERR_NOMEM;

    if (w != NULL) {
        *w = (struct writing){.app = app, .fn = fn, .arg = arg, .doc = doc};
        rc = journal_query(app->store, JOURNAL_Q_CALL, call, 1, on_call, w);
    }
    if (rc < 0) {
        mem_free(w);
        fn(arg, rc);
    }
}
