/* SPDX-License-Identifier: MIT */
#include "memory/index_int.h"

#include <sqlite3.h>
#include <stdio.h>

/* Blocks are numbered as they stand in their file, those of a section of ours apart from the others. */
struct rows {
    sqlite3_stmt *st; /* NULL: no more is kept */
    unsigned *n;
    int64_t *last;
};

struct keeper {
    struct index *ix;
    struct str path;
    uint64_t at;
    struct rows doc, talk;
};

static struct str column(sqlite3_stmt *st, int i)
{
    const void *p = sqlite3_column_text(st, i);

    return str_make(p, p != NULL ? (size_t)sqlite3_column_bytes(st, i) : 0);
}

struct str index_block_head(struct str path, const struct index_block *b, char *out, size_t cap)
{
    int n = snprintf(out, cap, "%.*s%s%.*s", STR_ARG(path), path.n > 0 && b->head.n > 0 ? ": " : "", STR_ARG(b->head));

    return str_make(out, n < 0 ? 0 : (size_t)n < cap ? (size_t)n : cap - 1);
}

static bool is_same(struct keeper *k, sqlite3_stmt *st, const struct index_block *b)
{
    char head[INDEX_HEAD_BYTES], person[INDEX_ID_BYTES + 1];

    if (sqlite3_column_int64(st, 4) != b->from || sqlite3_column_int64(st, 5) != b->lines ||
        !str_eq(column(st, 2), b->text) || !str_eq(column(st, 1), index_block_head(k->path, b, head, sizeof head)))
        return false;
    if (b->call.n == 0)
        return true;
    index_call_person(k->ix, b->call, person);
    return str_eq(column(st, 6), b->call) && str_eqc(column(st, 3), person) &&
           (uint64_t)sqlite3_column_int64(st, 7) == k->at;
}

/* What cannot be read counts as another block: it is written anew, and whoever does it tells what is wrong. */
static int compare(void *arg, const struct index_block *b)
{
    struct keeper *k = arg;
    struct rows *r = b->call.n > 0 ? &k->talk : &k->doc;

    if (r->st != NULL && (sqlite3_step(r->st) != SQLITE_ROW || !is_same(k, r->st, b))) {
        (void)sqlite3_reset(r->st);
        r->st = NULL;
    }
    if (r->st != NULL) {
        ++*r->n;
        *r->last = sqlite3_column_int64(r->st, 0);
    }
    return k->doc.st == NULL && k->talk.st == NULL ? -1 : 0; /* -1: nothing is left to be compared */
}

void index_db_keep(struct index *ix, int64_t file, struct str path, uint64_t at, struct str text,
                   struct index_kept *out)
{
    struct keeper k = {.ix = ix, .path = path, .at = at, .doc = {index_stmt(ix, Q_DOC_OF), &out->doc, &out->doc_id},
                       .talk = {index_stmt(ix, Q_TALK_OF_FILE), &out->talk, &out->talk_id}};

    *out = (struct index_kept){0};
    (void)sqlite3_bind_int64(k.doc.st, 1, file);
    (void)sqlite3_bind_int64(k.doc.st, 2, 0);
    (void)sqlite3_bind_int64(k.talk.st, 1, file);
    (void)sqlite3_bind_int64(k.talk.st, 2, 0);
    (void)index_split(text, INDEX_BLOCK_BYTES, true, compare, &k);
    if (k.doc.st != NULL)
        (void)sqlite3_reset(k.doc.st);
    if (k.talk.st != NULL)
        (void)sqlite3_reset(k.talk.st);
}
