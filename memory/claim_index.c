/* SPDX-License-Identifier: MIT */
#include "memory/claim_index.h"

#include "memory/store_int.h"
#include "plugin/base/mem.h"

#include <sqlite3.h>
#include <string.h>

/*
 * Open addressing with linear probing; at most 7 of 10 slots are used. A slot holds 32 bits of the key,
 * from which its place follows too, so that growing needs no database. Deleted rows leave their slots
 * behind; these go when the table is rebuilt, by their row number, for rows are deleted oldest first.
 */
struct slot {
    uint32_t mark; /* of the key */
    uint32_t n;    /* the row's number; 0: free */
};

#define FIRST_SLOTS 256u
#define HELD_CLAIMS 32768 /* at least, and all of the last HELD_MS */
#define HELD_MS 60000
#define SLACK_MS 5000     /* between an event's time and that of its claim */

struct claim_index {
    struct slot *slot;
    unsigned bits; /* 1 << bits slots; 0: none yet */
    size_t used;
    int64_t first_n; /* older rows are not in; 0: all are */
    uint64_t first_at;
    int64_t known_n; /* all rows from there up to this one are in; committed */
    int64_t own_n;   /* and up to this one if the transaction is committed */
    uint64_t txn;    /* in which it was synced last */
};

struct claim_index *claim_index_new(void)
{
    return MEM_NEW(struct claim_index);
}

void claim_index_free(struct claim_index *ix)
{
    claim_index_clear(ix);
    mem_free(ix);
}

void claim_index_clear(struct claim_index *ix)
{
    if (ix == NULL)
        return;
    mem_free(ix->slot);
    *ix = (struct claim_index){0};
}

static uint32_t mark_of(const unsigned char *key)
{
    return (uint32_t)key[0] | (uint32_t)key[1] << 8 | (uint32_t)key[2] << 16 | (uint32_t)key[3] << 24;
}

static size_t place_of(const struct claim_index *ix, uint32_t mark)
{
    return (size_t)((mark * 0x9e3779b97f4a7c15ull) >> (64 - ix->bits));
}

static void put(struct claim_index *ix, uint32_t mark, uint32_t n)
{
    size_t mask = ((size_t)1 << ix->bits) - 1, at = place_of(ix, mark);

    while (ix->slot[at].n != 0)
        at = (at + 1) & mask;
    ix->slot[at] = (struct slot){mark, n};
    ix->used++;
}

/* One number that `sql` asks for, by up to two others; 0 when there is none. */
static int ask(struct store *s, const char *sql, int64_t a, int64_t b, int64_t *n)
{
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, sql, &rc);

    if (st == NULL)
        return rc;
    (void)sqlite3_bind_int64(st, 1, a);
    if (sqlite3_bind_parameter_count(st) > 1)
        (void)sqlite3_bind_int64(st, 2, b);
    sq = sqlite3_step(st);
    *n = sqlite3_column_int64(st, 0);
    return store_rc(s, sq);
}

/* Where the index begins when the newest row is that one. */
static int find_first(struct claim_index *ix, struct store *s, int64_t newest)
{
    int64_t first = newest - HELD_CLAIMS + 1, at = 0, late = 0;
    int rc;

    if (first <= ix->first_n)
        return 0;
    rc = ask(s, "SELECT at FROM claim WHERE n=?1", newest, 0, &at);
    if (rc == 0) /* the newest of those that are old enough to be left out */
        rc = ask(s, "SELECT max(n) FROM claim WHERE n<?1 AND at<?2", first, at - HELD_MS, &late);
    if (rc < 0 || late < ix->first_n || late == 0)
        return rc;
    rc = ask(s, "SELECT at FROM claim WHERE n=?1", late, 0, &at);
    if (rc == 0) {
        ix->first_n = late + 1;
        ix->first_at = (uint64_t)at;
    }
    return rc;
}

/* A new table without the slots of rows that are too old, with room to double what is left. */
static int rebuild(struct claim_index *ix, struct store *s)
{
    struct claim_index next = *ix;
    size_t slots = ix->bits ? (size_t)1 << ix->bits : 0, live = 0;
    int rc = find_first(&next, s, ix->own_n);

    if (rc < 0)
        return rc;
    for (size_t i = 0; i < slots; i++)
        live += ix->slot[i].n != 0 && ix->slot[i].n >= next.first_n;
    for (next.bits = 8; ((size_t)1 << next.bits) < 2 * live + FIRST_SLOTS; next.bits++)
        ;
    next.slot = mem_zalloc(sizeof *next.slot << next.bits);
    if (next.slot == NULL)
        return ERR_NOMEM;
    next.used = 0;
    for (size_t i = 0; i < slots; i++)
        if (ix->slot[i].n != 0 && ix->slot[i].n >= next.first_n)
            put(&next, ix->slot[i].mark, ix->slot[i].n);
    mem_free(ix->slot);
    *ix = next;
    return 0;
}

int claim_index_reserve(struct claim_index *ix, struct store *s)
{
    size_t slots = ix->bits ? (size_t)1 << ix->bits : 0;

    /* Four thousand million claims are a century of a large call centre. */
    if (ix->own_n >= UINT32_MAX)
        return ERR_FULL;
    return ix->used + 2 <= slots / 10 * 7 ? 0 : rebuild(ix, s);
}

void claim_index_add(struct claim_index *ix, int64_t n, const unsigned char *openai,
                     const unsigned char *sip)
{
    if (openai != NULL)
        put(ix, mark_of(openai), (uint32_t)n);
    if (sip != NULL)
        put(ix, mark_of(sip), (uint32_t)n);
    ix->own_n = n;
}

void claim_index_undo(struct claim_index *ix)
{
    ix->own_n = ix->known_n;
    ix->txn = 0;
}

static const unsigned char *key_at(sqlite3_stmt *st, int col)
{
    return sqlite3_column_bytes(st, col) == CLAIM_KEY_BYTES ? sqlite3_column_blob(st, col) : NULL;
}

static int read_new(struct claim_index *ix, struct store *s)
{
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, "SELECT n, openai, sip FROM claim WHERE n>?1 ORDER BY n", &rc);

    if (st == NULL)
        return rc;
    (void)sqlite3_bind_int64(st, 1, ix->known_n >= ix->first_n ? ix->known_n : ix->first_n - 1);
    while ((sq = sqlite3_step(st)) == SQLITE_ROW) {
        rc = claim_index_reserve(ix, s);
        if (rc < 0)
            return rc;
        claim_index_add(ix, sqlite3_column_int64(st, 0), key_at(st, 1), key_at(st, 2));
        ix->known_n = ix->own_n;
    }
    return store_rc(s, sq);
}

int claim_index_sync(struct claim_index *ix, struct store *s)
{
    int rc, sq;
    int64_t newest;
    sqlite3_stmt *st;

    if (ix->txn == s->txn)
        return 0;
    /* What an earlier transaction added is committed, or claim_index_undo() was called. */
    ix->known_n = ix->own_n;
    st = store_stmt(s, "SELECT max(n) FROM claim", &rc);
    if (st == NULL)
        return rc;
    sq = sqlite3_step(st);
    newest = sqlite3_column_int64(st, 0);
    rc = store_rc(s, sq);
    if (rc == 0 && ix->bits == 0)
        rc = find_first(ix, s, newest);
    if (rc == 0 && newest > ix->known_n)
        rc = read_new(ix, s);
    if (rc == 0)
        ix->txn = s->txn;
    return rc;
}

/* Does that row hold the key? *n becomes 0 if not. */
static int check_row(struct store *s, const unsigned char *key, int64_t *n, char *call, unsigned cap)
{
    const unsigned char *a, *b;
    struct str id;
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, "SELECT openai, sip, call FROM claim WHERE n=?1", &rc);

    if (st == NULL)
        return rc;
    (void)sqlite3_bind_int64(st, 1, *n);
    sq = sqlite3_step(st);
    if (sq == SQLITE_DONE)
        *n = 0;
    if (sq != SQLITE_ROW)
        return store_rc(s, sq);
    a = key_at(st, 0);
    b = key_at(st, 1);
    if (!(a != NULL && memcmp(a, key, CLAIM_KEY_BYTES) == 0) &&
        !(b != NULL && memcmp(b, key, CLAIM_KEY_BYTES) == 0)) {
        *n = 0;
        return 0;
    }
    if (cap > 0) {
        id = str_make((const char *)sqlite3_column_text(st, 2), (size_t)sqlite3_column_bytes(st, 2));
        (void)str_copy(call, cap, id);
    }
    return 0;
}

/* Among the rows that are older than the index. */
static int find_old(struct claim_index *ix, struct store *s, const unsigned char *key, int64_t *n)
{
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, "SELECT n FROM claim WHERE n<?1 AND (openai=?2 OR sip=?2) LIMIT 1", &rc);

    if (st == NULL)
        return rc;
    (void)sqlite3_bind_int64(st, 1, ix->first_n);
    (void)sqlite3_bind_blob(st, 2, key, CLAIM_KEY_BYTES, SQLITE_STATIC);
    sq = sqlite3_step(st);
    *n = sqlite3_column_int64(st, 0);
    return store_rc(s, sq);
}

static int find_held(struct claim_index *ix, struct store *s, const unsigned char *key, int64_t *n, char *call,
                     unsigned cap)
{
    uint32_t mark = mark_of(key);
    size_t mask = ((size_t)1 << ix->bits) - 1, at;
    int rc;

    *n = 0;
    if (ix->bits == 0)
        return 0;
    for (at = place_of(ix, mark); ix->slot[at].n != 0; at = (at + 1) & mask) {
        if (ix->slot[at].mark != mark)
            continue;
        *n = ix->slot[at].n;
        rc = check_row(s, key, n, call, cap);
        if (rc < 0 || *n != 0)
            return rc;
    }
    return 0;
}

int claim_index_find(struct claim_index *ix, struct store *s, const unsigned char *key, uint64_t since_ms, int64_t *n,
                     char *call, unsigned cap)
{
    int rc = find_held(ix, s, key, n, call, cap);

    if (rc < 0 || *n != 0 || ix->first_n == 0 || since_ms > ix->first_at + SLACK_MS)
        return rc;
    rc = find_old(ix, s, key, n);
    return rc < 0 || *n == 0 ? rc : check_row(s, key, n, call, cap);
}
