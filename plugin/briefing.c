/* SPDX-License-Identifier: MIT */
#include "plugin/briefing.h"

#include "memory/context.h"
#include "memory/index.h"
#include "memory/people.h"
#include "plugin/app.h"
#include "plugin/base/clock.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "plugin/net/loop.h"

#include <stdio.h>
#include <string.h>

#define HISTORY_CALLS 10u
#define HISTORY_MESSAGES 40u
#define LOOK_MS 15u      /* how often the files are asked for while they are read for the first time */
#define FILES_MS 10000u  /* and how long, before the rest is told without them */
#define BLOCK_BYTES (256u * 1024u)
#define TEXT_BYTES (512u * 1024u)

struct briefing {
    struct app *app;
    struct access access;
    briefing_fn *fn; /* NULL: cancelled, freed when the answer that is under way is in */
    void *arg;
    char number[24];
    bool files;          /* the level opens them */
    struct timer *timer; /* NULL, unless the files had to be waited for */
    bool looking;        /* they still are */
    uint64_t files_by_ms, begun_us;
    struct json *history;
    struct context_piece *pieces; /* their texts are in `texts` */
    unsigned n, cap;
    struct buf texts;
};

static void briefing_free(struct briefing *b)
{
    timer_close(b->timer);
    json_free(b->history);
    mem_free(b->pieces);
    buf_free(&b->texts);
    mem_free(b);
}

/* ---- Pieces. While they are collected a text is an offset into `texts`, which may still move. ---- */

static struct str keep(struct briefing *b, struct str text)
{
    size_t at = b->texts.n;

    if (buf_puts(&b->texts, text) < 0)
        return STR_NONE;
    return (struct str){(const char *)(uintptr_t)at, text.n};
}

static void add(struct briefing *b, enum context_kind kind, struct str source, struct str text, uint64_t at)
{
    struct context_piece *p;

    if (text.n == 0)
        return;
    if (b->n == b->cap) {
        unsigned cap = b->cap ? b->cap * 2 : 64;
        struct context_piece *more = mem_realloc(b->pieces, cap * sizeof *more);

        if (more == NULL)
            return;
        b->pieces = more;
        b->cap = cap;
    }
    p = &b->pieces[b->n];
    *p = (struct context_piece){.kind = kind, .at = at};
    p->source = keep(b, source);
    p->text = keep(b, text);
    if (b->texts.rc == 0)
        b->n++;
}

static void settle_texts(struct briefing *b)
{
    for (unsigned i = 0; i < b->n; i++) {
        b->pieces[i].source.p = b->texts.p + (uintptr_t)b->pieces[i].source.p;
        b->pieces[i].text.p = b->texts.p + (uintptr_t)b->pieces[i].text.p;
    }
}

static void label(char *out, size_t cap, const char *what, struct str detail, uint64_t at)
{
    char when[32];

    clock_rfc3339(at, when, sizeof when);
    (void)snprintf(out, cap, "%s%s%.*s, %.10s %.5s UTC", what, detail.n ? " " : "",
                   STR_ARG(str_head(detail, 60)), when, when + 11);
}

static void add_calls(struct briefing *b, const struct json *calls)
{
    for (const struct json *c = json_first(calls); c != NULL; c = json_next(c)) {
        uint64_t at = (uint64_t)json_get_int(c, "at", 0);
        struct str summary = json_get_str(c, "summary");
        struct buf text;
        char source[160];

        label(source, sizeof source, "an earlier call of this caller", STR(""), at);
        if (summary.n > 0) {
            add(b, CONTEXT_CALLS, str_of(source), summary, at);
            continue;
        }
        buf_init(&text, 16384);
        for (const struct json *t = json_first(json_get(c, "last_turns")); t != NULL; t = json_next(t))
            (void)buf_printf(&text, "%s: %.*s\n",
                             str_eqc(json_get_str(t, "who"), "caller") ? "Caller" : "Assistant",
                             STR_ARG(json_get_str(t, "text")));
        add(b, CONTEXT_CALLS, str_of(source), buf_str(&text), at);
        buf_free(&text);
    }
}

static void add_messages(struct briefing *b, const struct json *messages)
{
    for (const struct json *m = json_first(messages); m != NULL; m = json_next(m)) {
        uint64_t at = (uint64_t)json_get_int(m, "at", 0);
        struct str identity = json_get_str(m, "identity");
        struct buf text;
        char source[160];

        label(source, sizeof source, "chat on", str_head(identity, str_find(identity, ':')), at);
        buf_init(&text, 16384);
        (void)buf_printf(&text, "%s: %.*s", json_get_bool(m, "from_them", true) ? "They wrote" : "Assistant wrote",
                         STR_ARG(str_head(json_get_str(m, "text"), 4000)));
        add(b, CONTEXT_CHAT, str_of(source), buf_str(&text), at);
        buf_free(&text);
    }
}

static void add_caller(struct briefing *b, const struct json *caller)
{
    static const char *const fields[] = {"name", "language", "notes"};
    struct buf text;

    buf_init(&text, 8192);
    for (unsigned i = 0; i < 3; i++) {
        struct str v = json_get_str(caller, fields[i]);

        if (v.n > 0)
            (void)buf_printf(&text, "%s: %.*s. ", fields[i], STR_ARG(str_head(v, 2000)));
    }
    add(b, CONTEXT_CALLER, STR("what this caller said of themselves"), buf_str(&text), 0);
    buf_free(&text);
}

static void add_history(struct briefing *b)
{
    const struct config *c = b->app->config;

    if (b->history == NULL)
        return;
    if (b->access.own_history && c->memory.inject_caller_history) {
        add_caller(b, json_get(b->history, "caller"));
        add_calls(b, json_get(b->history, "calls"));
        for (const struct json *o = json_first(json_get(b->history, "open")); o != NULL; o = json_next(o))
            add(b, CONTEXT_OPEN, STR("still owed to this caller"), json_get_str(o, "text"),
                (uint64_t)json_get_int(o, "at", 0));
    }
    if (b->access.own_chats && c->memory.inject_cross_channel_context && c->integration.cross_channel_enabled)
        add_messages(b, json_get(b->history, "messages"));
}

/* ---- Answers: first the history, then the files, which are borrowed and so come last ---- */

/* Once; b is gone then. */
static void finish(struct briefing *b)
{
    struct context_query q = {.max_tokens = b->app->config->integration.context_max_tokens,
                              .now = clock_wall_ms(), .number = str_of(b->number),
                              .caller_name = json_get_str(json_get(b->history, "caller"), "name")};
    struct context_stats stats = {0};
    uint64_t begun = clock_mono_us();
    struct buf block;

    buf_init(&block, BLOCK_BYTES);
    if (b->fn != NULL && context_write(&block, b->app->tokens, &q, b->pieces, b->n, &stats) < 0)
        buf_clear(&block);
    if (b->fn != NULL && b->app->config->logging.include_context_injection)
        log_info(&b->app->log, "context: %zu tokens from %zu of %zu pieces, %llu us after it was asked for, %llu us of "
                 "them to write it", stats.tokens, stats.pieces_used, stats.pieces_used + stats.pieces_left,
                 (unsigned long long)(clock_mono_us() - b->begun_us),
                 (unsigned long long)(clock_mono_us() - begun));
    if (b->fn != NULL)
        b->fn(b->arg, buf_str(&block));
    buf_free(&block);
    briefing_free(b);
}

static void on_pieces(void *arg, int rc, const struct context_piece *pieces, unsigned n)
{
    struct briefing *b = arg;
    struct context_piece *all = NULL;

    if (rc == 0 && b->fn != NULL && n > 0)
        all = mem_realloc(b->pieces, ((size_t)b->n + n) * sizeof *all);
    if (all != NULL) {
        b->pieces = all;
        memcpy(b->pieces + b->n, pieces, n * sizeof *pieces);
        b->n += n;
    }
    finish(b);
}

static bool ask_pieces(struct briefing *b)
{
    return index_pieces(b->app->index, b->app->config->memory.inject_recent_memory_days, clock_wall_ms(), on_pieces,
                        b) == 0;
}

/* Right after a start the files are not in memory yet: half of what is known would be no context. */
static void on_look(void *arg)
{
    struct briefing *b = arg;
    struct index_stats stats;
    uint64_t now = loop_now_ms(b->app->loop);

    index_stats_read(b->app->index, &stats);
    if (!stats.mirrored && now < b->files_by_ms) {
        timer_set(b->timer, now + LOOK_MS);
        return;
    }
    b->looking = false;
    if (!ask_pieces(b))
        finish(b);
}

static bool files_start(struct briefing *b)
{
    struct index_stats stats;

    if (b->app->index == NULL) /* stopping */
        return false;
    index_stats_read(b->app->index, &stats);
    if (stats.mirrored)
        return ask_pieces(b);
    if (timer_open(&b->timer, b->app->loop, on_look, b) < 0)
        return false;
    b->looking = true;
    b->files_by_ms = loop_now_ms(b->app->loop) + FILES_MS;
    timer_set(b->timer, loop_now_ms(b->app->loop) + LOOK_MS);
    return true;
}

static void on_history(void *arg, int rc, struct str json)
{
    struct briefing *b = arg;

    if (rc == 0 && b->fn != NULL)
        (void)json_parse(&b->history, json, NULL);
    add_history(b);
    settle_texts(b);
    if (b->fn == NULL || !b->files || !files_start(b))
        finish(b);
}

int briefing_start(struct briefing **out, struct app *app, const struct briefing_ask *ask, briefing_fn *fn,
                   void *arg)
{
    const struct config *c = app->config;
    bool history = ask->number.n > 0 && (ask->access.own_history || ask->access.own_chats);
    bool files = ask->access.private_memory && app->index != NULL;
    struct briefing *b;

    *out = NULL;
    if (!c->integration.memory_enabled || !c->integration.inherit_context || (!history && !files))
        return 0;
    b = MEM_NEW(struct briefing);
    if (b == NULL)
        return ERR_NOMEM;
    b->app = app;
    b->access = ask->access;
    b->fn = fn;
    b->arg = arg;
    (void)str_copy(b->number, sizeof b->number, ask->number);
    b->files = files;
    b->begun_us = clock_mono_us();
    buf_init(&b->texts, TEXT_BYTES);
    if (!(history && people_history(app->store, ask->number, HISTORY_CALLS, HISTORY_MESSAGES, on_history, b) == 0) &&
        !(files && files_start(b))) {
        briefing_free(b);
        return ERR_NOMEM;
    }
    *out = b;
    return 0;
}

void briefing_cancel(struct briefing *b)
{
    if (b == NULL)
        return;
    b->fn = NULL;
    if (!b->looking)
        return;
    b->looking = false;
    briefing_free(b);
}
