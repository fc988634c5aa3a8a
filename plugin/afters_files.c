/* SPDX-License-Identifier: MIT */
#include "plugin/afters_files.h"

#include "memory/index.h"
#include "memory/journal.h"
#include "plugin/afters_text.h"
#include "plugin/app.h"
#include "plugin/base/clock.h"
#include "plugin/base/id.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "plugin/config/config.h"

#include <stdio.h>
#include <string.h>

#define TEXT_BYTES (1u << 20)
#define SECTION_BYTES ((size_t)250 << 10) /* below what memory/index_section.c takes */

struct filing {
    struct app *app;
    const struct json *doc;
    char call[ID_BYTES];
    bool words;
    struct json *turns, *why; /* NULL: not wanted */
    unsigned parts;           /* answers that are waited for, and one of ours */
    int rc;                   /* the worst of them */
    afters_files_fn *fn;
    void *arg;
};

bool afters_files_wanted(const struct config *c, bool words)
{
    return c->memory.persist_call_summaries ||
           (words && (c->memory.persist_transcripts || c->memory.persist_caller_updates));
}

static void part_over(void *arg, int rc)
{
    struct filing *f = arg;

    /* What may go well another time is tried again, for the other sections' sake, too. */
    if (rc < 0 && (f->rc == 0 || f->rc == ERR_DENIED))
        f->rc = rc;
    if (--f->parts > 0)
        return;
    f->fn(f->arg, f->rc);
    json_free(f->turns);
    json_free(f->why);
    mem_free(f);
}

static void append(struct filing *f, const char *path, const char *heading, struct buf *body)
{
    struct index_section s = {.path = str_of(path), .call = str_of(f->call), .heading = str_of(heading)};
    struct str text = buf_str(body);

    if (text.n == 0 && body->rc == 0)
        return;
    s.body = str_head(text, str_utf8_floor(text, SECTION_BYTES));
    f->parts++;
    if (body->rc < 0 || index_append(f->app->index, &s, part_over, f) < 0)
        part_over(f, body->rc < 0 ? body->rc : ERR_IO);
}

/* ---- The sections ---- */

static void write_summary(struct filing *f, struct buf *b)
{
    if (f->words)
        afters_quote(b, json_get_str(f->doc, "summary"));
    else
        (void)buf_printf(b, "A call of %lld s took place. Its words are not kept here; see "
                         "the channel's own history.\n",
                         (long long)(json_get_int(f->doc, "duration_ms", 0) / 1000));
}

static void write_words(struct filing *f, struct buf *b)
{
    struct buf words;

    buf_init(&words, TEXT_BYTES);
    afters_words(&words, json_get(f->turns, "turns"));
    if (words.n > 0) {
        (void)buf_puts(b, STR("\n### Transcript\n\n"));
        afters_quote(b, buf_str(&words));
    }
    if (words.rc < 0)
        b->rc = words.rc;
    buf_free(&words);
}

/* What remember_caller kept in this call. */
static void write_news(struct filing *f, struct buf *b)
{
    static const char *const fields[] = {"name", "language", "note"};
    struct str number = json_get_str(f->doc, "from");

    for (const struct json *t = json_first(json_get(f->why, "tools")); t != NULL; t = json_next(t)) {
        struct json *args = NULL;

        if (!str_eqc(json_get_str(t, "name"), "remember_caller") || !str_eqc(json_get_str(t, "output"), "Kept.") ||
            json_parse(&args, json_get_str(t, "arguments"), NULL) < 0)
            continue;
        if (b->n == 0)
            (void)buf_printf(b, "The caller from %.*s said of themselves:\n\n", STR_ARG(number));
        for (unsigned i = 0; i < 3; i++) {
            struct str v = str_trim(json_get_str(args, fields[i]));
            struct buf line;

            if (v.n == 0)
                continue;
            buf_init(&line, 4096);
            (void)buf_printf(&line, "%s: %.*s", fields[i], STR_ARG(str_head(v, str_utf8_floor(v, 500))));
            afters_quote(b, buf_str(&line));
            buf_free(&line);
        }
        json_free(args);
    }
}

static void write_all(struct filing *f)
{
    const struct config *c = f->app->config;
    uint64_t at = (uint64_t)json_get_int(f->doc, "at", 0);
    struct str date = json_get_str(f->doc, "date");
    char daily[64], day[16], heading[160], when[32];
    struct buf b;

    if (f->app->index == NULL) { /* closed before the database is, or memory was turned off: a later start has it */
        part_over(f, ERR_CLOSED);
        return;
    }
    clock_rfc3339(at, when, sizeof when);
    afters_day(at, day, sizeof day);
    (void)snprintf(daily, sizeof daily, "memory/%.*s.md", STR_ARG(date.n == 10 ? date : str_of(day)));
    (void)snprintf(heading, sizeof heading, "%.5s UTC, by telephone, %s", when + 11,
                   f->words ? "with a linked caller" : "with a caller who is not linked");
    buf_init(&b, TEXT_BYTES);
    if (c->memory.persist_call_summaries)
        write_summary(f, &b);
    if (c->memory.call_summaries_file[0] != '\0')
        append(f, c->memory.call_summaries_file, heading, &b);
    if (!c->agent.voice_summary_in_daily)
        buf_clear(&b);
    if (f->turns != NULL)
        write_words(f, &b);
    append(f, daily, heading, &b);
    buf_clear(&b);
    if (f->why != NULL && c->memory.caller_history_file[0] != '\0') {
        write_news(f, &b);
        (void)snprintf(heading, sizeof heading, "%.10s %.5s UTC, news of a caller", when, when + 11);
        append(f, c->memory.caller_history_file, heading, &b);
    }
    buf_free(&b);
    part_over(f, 0);
}

/* ---- What they are made of ---- */

static void on_why(void *arg, int rc, struct str json)
{
    struct filing *f = arg;

    if (rc == 0)
        rc = json_parse(&f->why, json, NULL);
    if (rc < 0)
        part_over(f, rc);
    else
        write_all(f);
}

static void ask_why(struct filing *f)
{
    if (!f->words || !f->app->config->memory.persist_caller_updates)
        write_all(f);
    else if (journal_query(f->app->store, JOURNAL_Q_WHY, str_of(f->call), 1, on_why, f) < 0)
        part_over(f, ERR_FULL);
}

static void on_turns(void *arg, int rc, struct str json)
{
    struct filing *f = arg;

    if (rc == 0)
        rc = json_parse(&f->turns, json, NULL);
    if (rc < 0)
        part_over(f, rc);
    else
        ask_why(f);
}

void afters_files_write(struct app *app, struct str call, const struct json *doc, afters_files_fn *fn, void *arg)
{
    struct filing *f = MEM_NEW(struct filing);

    if (f == NULL) {
        fn(arg, ERR_NOMEM);
        return;
    }
    *f = (struct filing){.app = app, .doc = doc, .words = json_get_bool(doc, "words", false), .parts = 1, .fn = fn,
                         .arg = arg};
    (void)str_copy(f->call, sizeof f->call, call);
    if (!f->words || !app->config->memory.persist_transcripts)
        ask_why(f);
    else if (journal_query(app->store, JOURNAL_Q_TRANSCRIPT, call, 1, on_turns, f) < 0)
        part_over(f, ERR_FULL);
}
