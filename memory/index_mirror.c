/* SPDX-License-Identifier: MIT */
#include "memory/index_int.h"
#include "plugin/base/clock.h"
#include "plugin/base/mem.h"

#include <string.h>
#include <time.h>

#define PIECE_BYTES 500u
#define DAY_MS 86400000
#define AHEAD_DAYS 31 /* notes made for later */

/* Today in the host's zone, in days since 1970. */
static int64_t day_of(uint64_t wall_ms)
{
    time_t t = (time_t)(wall_ms / 1000u);
    struct tm tm;

    if (localtime_r(&t, &tm) == NULL)
        return (int64_t)(wall_ms / DAY_MS);
    return ((int64_t)t + tm.tm_gmtoff) / 86400;
}

bool index_mirror_wants(struct str path, enum context_kind *kind, int64_t *day)
{
    int64_t today;

    *day = INT64_MAX;
    if (str_eqc(path, "MEMORY.md"))
        *kind = CONTEXT_MEMORY;
    else if (str_eqc(path, "USER.md"))
        *kind = CONTEXT_USER;
    else if (str_eqc(path, "IDENTITY.md") || str_eqc(path, "SOUL.md"))
        *kind = CONTEXT_IDENTITY;
    else
        *kind = CONTEXT_DAILY;
    if (*kind != CONTEXT_DAILY)
        return true;
    if (!str_starts(path, STR("memory/")) || !index_day(str_skip(path, 7), day) ||
        str_find(str_skip(path, 7), '/') != path.n - 7)
        return false;
    today = day_of(clock_wall_ms());
    return *day > today - (int64_t)INDEX_MIRROR_DAYS - 1 && *day <= today + AHEAD_DAYS;
}

/* ---- A note is made in two walks: the first counts. ---- */

struct maker {
    struct index_note *note;
    size_t label_bytes, label_at;
    uint64_t at;
    unsigned n;
    size_t path_n;
};

static bool in_context(const struct index_block *b)
{
    /* Our sections tell of calls: whose context this is, is not known here. */
    return b->call.n == 0;
}

static int count_block(void *arg, const struct index_block *b)
{
    struct maker *m = arg;

    if (!in_context(b))
        return 0;
    m->n++;
    m->label_bytes += m->path_n + 2 + b->head.n;
    return 0;
}

static int put_block(void *arg, const struct index_block *b)
{
    struct maker *m = arg;
    struct index_note *note = m->note;
    struct context_piece *piece;
    char *label = note->labels + m->label_at;
    size_t n = m->path_n;

    if (!in_context(b))
        return 0;
    piece = &note->pieces[note->n_pieces++];
    memcpy(label, note->path, n);
    if (b->head.n > 0) {
        memcpy(label + n, ": ", 2);
        memcpy(label + n + 2, b->head.p, b->head.n);
        n += 2 + b->head.n;
    }
    m->label_at += n;
    *piece = (struct context_piece){.kind = note->kind, .source = str_make(label, n), .text = b->text,
                                    .at = m->at};
    return 0;
}

static void note_free(struct index_note *note)
{
    if (note == NULL)
        return;
    mem_free(note->path);
    mem_free(note->text);
    mem_free(note->pieces);
    mem_free(note->labels);
    mem_free(note);
}

static struct index_note *note_make(struct str path, struct str text, enum context_kind kind, int64_t day)
{
    struct index_note *note = MEM_NEW(struct index_note);
    struct maker m = {.note = note, .path_n = path.n};

    if (note == NULL)
        return NULL;
    note->refs = 1;
    note->kind = kind;
    note->day = day;
    note->path = str_dup(path);
    note->text = str_dup(text);
    if (note->path == NULL || note->text == NULL)
        goto fail;
    text = str_make(note->text, text.n);
    m.at = day != INT64_MAX && day > 0 ? (uint64_t)day * DAY_MS : 0;
    (void)index_split(text, PIECE_BYTES, false, count_block, &m);
    note->pieces = mem_alloc(m.n * sizeof *note->pieces);
    note->labels = mem_alloc(m.label_bytes);
    if (note->pieces == NULL || note->labels == NULL)
        goto fail;
    (void)index_split(text, PIECE_BYTES, false, put_block, &m);
    note->bytes = sizeof *note + path.n + text.n + m.label_bytes + m.n * sizeof *note->pieces;
    return note;
fail:
    note_free(note);
    return NULL;
}

/* ---- The table. Under the lock. ---- */

static void unref(struct index_note *note)
{
    if (--note->refs == 0)
        note_free(note);
}

static void remove_at(struct index *ix, unsigned i)
{
    ix->note_bytes -= ix->notes[i]->bytes;
    unref(ix->notes[i]);
    memmove(&ix->notes[i], &ix->notes[i + 1], (ix->n_notes - i - 1) * sizeof *ix->notes);
    ix->n_notes--;
}

static unsigned find(const struct index *ix, struct str path)
{
    unsigned i = 0;

    while (i < ix->n_notes && !str_eqc(path, ix->notes[i]->path))
        i++;
    return i;
}

static bool before(const struct index_note *a, const struct index_note *b)
{
    if (a->kind != b->kind)
        return a->kind < b->kind;
    if (a->day != b->day)
        return a->day > b->day;
    return strcmp(a->path, b->path) < 0;
}

/* The oldest daily note, or n_notes. */
static unsigned oldest(const struct index *ix)
{
    unsigned at = ix->n_notes;

    for (unsigned i = 0; i < ix->n_notes; i++)
        if (ix->notes[i]->kind == CONTEXT_DAILY && (at == ix->n_notes || ix->notes[i]->day <= ix->notes[at]->day))
            at = i;
    return at;
}

static void make_room(struct index *ix, int64_t first_day)
{
    unsigned at;

    while (at = oldest(ix), at < ix->n_notes &&
           (ix->notes[at]->day < first_day || ix->note_bytes > INDEX_MIRROR_BYTES ||
            ix->n_notes >= INDEX_NOTES))
        remove_at(ix, at);
}

bool index_mirror_has(struct index *ix, struct str path)
{
    bool has;

    pthread_mutex_lock(&ix->lock);
    has = find(ix, path) < ix->n_notes;
    pthread_mutex_unlock(&ix->lock);
    return has;
}

void index_mirror_drop(struct index *ix, struct str path)
{
    unsigned i;

    pthread_mutex_lock(&ix->lock);
    i = find(ix, path);
    if (i < ix->n_notes)
        remove_at(ix, i);
    pthread_mutex_unlock(&ix->lock);
}

void index_mirror_put(struct index *ix, struct str path, struct str text)
{
    enum context_kind kind;
    struct index_note *note;
    int64_t day;
    unsigned i;

    if (!index_mirror_wants(path, &kind, &day))
        return;
    note = note_make(path, text, kind, day);
    if (note == NULL) {
        log_warn(ix->log, "out of memory: %.*s is left as it was in the context of calls", STR_ARG(path));
        return;
    }
    pthread_mutex_lock(&ix->lock);
    i = find(ix, path);
    if (i < ix->n_notes)
        remove_at(ix, i);
    if (ix->n_notes < INDEX_NOTES) {
        for (i = ix->n_notes++; i > 0 && before(note, ix->notes[i - 1]); i--)
            ix->notes[i] = ix->notes[i - 1];
        ix->notes[i] = note;
        ix->note_bytes += note->bytes;
        note = NULL;
    }
    make_room(ix, day_of(clock_wall_ms()) - (int64_t)INDEX_MIRROR_DAYS);
    pthread_mutex_unlock(&ix->lock);
    note_free(note);
}

void index_mirror_free(struct index *ix)
{
    while (ix->n_notes > 0)
        remove_at(ix, ix->n_notes - 1);
}

/* ---- Loop thread. ---- */

int index_mirror_take(struct index *ix, struct index_op *op, unsigned days, uint64_t now_ms)
{
    int64_t today = day_of(now_ms);
    struct index_note *note;
    size_t pieces = 0;
    int rc = 0;

    if (days > INDEX_MIRROR_DAYS)
        days = INDEX_MIRROR_DAYS;
    pthread_mutex_lock(&ix->lock);
    op->notes = mem_alloc(ix->n_notes * sizeof(*op->notes));
    if (op->notes == NULL)
        rc = ERR_NOMEM;
    for (unsigned i = 0; rc == 0 && i < ix->n_notes; i++) {
        note = ix->notes[i];
        /* A day ahead may be today in the zone of whoever wrote it. */
        if (note->kind == CONTEXT_DAILY && (note->day <= today - (int64_t)days || note->day > today + (days > 0)))
            continue;
        note->refs++;
        op->notes[op->n_notes++] = note;
        pieces += note->n_pieces;
    }
    pthread_mutex_unlock(&ix->lock);
    if (rc == 0) {
        op->pieces = mem_alloc(pieces * sizeof(*op->pieces));
        if (op->pieces == NULL)
            rc = ERR_NOMEM;
    }
    for (unsigned i = 0; rc == 0 && i < op->n_notes; i++) {
        note = op->notes[i];
        if (note->n_pieces > 0)
            memcpy(op->pieces + op->n_pieces, note->pieces, note->n_pieces * sizeof *note->pieces);
        op->n_pieces += note->n_pieces;
    }
    if (rc < 0)
        index_mirror_give(ix, op);
    return rc;
}

void index_mirror_give(struct index *ix, struct index_op *op)
{
    pthread_mutex_lock(&ix->lock);
    for (unsigned i = 0; i < op->n_notes; i++)
        unref(op->notes[i]);
    pthread_mutex_unlock(&ix->lock);
    mem_free(op->notes);
    mem_free(op->pieces);
    op->notes = NULL;
    op->pieces = NULL;
    op->n_notes = op->n_pieces = 0;
}
