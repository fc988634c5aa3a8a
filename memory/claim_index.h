/* SPDX-License-Identifier: MIT */
#ifndef MEMORY_CLAIM_INDEX_H
#define MEMORY_CLAIM_INDEX_H
/*
 * Finds a claim by its key. Keys are hashes: kept in a tree of the database, each new one would change a
 * random page of it, and a commit would write hundreds of pages to store some kilobytes. So the table
 * claim is only appended to, and this index over its newest rows is held in memory: 8 bytes a slot, two keys a
 * claim, the last 32,768 claims or those of the last minute, whichever is more. Claims stand for 72 h; those that
 * are older than the index are searched row by row (0.2 s for a million) for a key whose event is that old, which
 * a new call's never is. It is built when the store opens and follows what other processes append, by row number.
 *
 * The index only hints: each hit is checked against the row. Row numbers never come back (the newest
 * row is never deleted), and what was rolled back is forgotten. Owner: the store. Store thread, within a
 * transaction.
 */
#include <stdbool.h>
#include <stdint.h>

struct claim_index;
struct store;

#define CLAIM_KEY_BYTES 16

struct claim_index *claim_index_new(void); /* NULL: out of memory */
void claim_index_free(struct claim_index *ix);
void claim_index_clear(struct claim_index *ix); /* for another file */
/*
 * Takes in the rows that were appended by others since the last transaction; at first all. To be called
 * before find or add. ERR_NOMEM, ERR_SQLITE - n: the operation must fail.
 */
int claim_index_sync(struct claim_index *ix, struct store *s);
/*
 * The row that holds the key in either column: *n its number, 0 when there is none; its call into
 * call[cap] if cap > 0 (empty when it does not fit). It cannot have been written before since_ms (wall; 0: at any
 * time).
 */
int claim_index_find(struct claim_index *ix, struct store *s, const unsigned char *key, uint64_t since_ms, int64_t *n,
                     char *call, unsigned cap);
/* Room for two more keys, so that claim_index_add() cannot fail after the row was written. ERR_NOMEM. */
int claim_index_reserve(struct claim_index *ix, struct store *s);
/* A row that this transaction appended; keys may be NULL. */
void claim_index_add(struct claim_index *ix, int64_t n, const unsigned char *openai,
                     const unsigned char *sip);
/* The transaction was rolled back. */
void claim_index_undo(struct claim_index *ix);

#endif
