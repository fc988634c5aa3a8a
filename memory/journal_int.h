/* SPDX-License-Identifier: MIT */
#ifndef MEMORY_JOURNAL_INT_H
#define MEMORY_JOURNAL_INT_H
/* What journal.c (writes), journal_adopt.c, journal_query.c and journal_expire.c share. memory/ only. */
#include "memory/claim_index.h"
#include "memory/journal.h"
#include "memory/store_int.h"

#include <sqlite3.h>

#define JOURNAL_KEY_BYTES 32

/* In the order in which readers of a row expect them. */
#define JOURNAL_CALL_COLUMNS \
    "id, openai_call_id, sip_call_id, direction, number, number_kind, level, state, reason, detail," \
    " session_key, model, voice, usage, received_at, accepted_at, live_at, ended_at, sip_status"

/* The claim's key of the provider's call id, and of the SIP Call-ID. */
void journal_key_openai(unsigned char key[JOURNAL_KEY_BYTES], struct str id);
void journal_key_sip(unsigned char key[JOURNAL_KEY_BYTES], struct str id);

/* A row with its texts in one block, see op.h. */
size_t journal_row_bytes(const struct journal_call *row);
void journal_row_pack(struct journal_call *to, const struct journal_call *from, char **at);
/* Inserts it, owned by this instance. Store thread, inside a transaction. */
int journal_insert(struct store *s, struct journal_call *row);

/* Deletes a call with all that hangs on it but its claim. Store thread, inside a transaction. */
int journal_drop(struct store *s, struct str id);
/* Takes our id out of a call's claim, which goes on to stand as hashes. Store thread, inside a transaction. */
int journal_blank_claim(struct store *s, struct str openai_call_id, struct str sip_call_id);

/* Borrowed until the statement is reset. Statements' own failures show when they are stepped. */
static inline void journal_bind(sqlite3_stmt *st, int at, struct str text)
{
    (void)sqlite3_bind_text64(st, at, text.p ? text.p : "", text.n, SQLITE_STATIC, SQLITE_UTF8);
}

static inline void journal_bind_int(sqlite3_stmt *st, int at, uint64_t v)
{
    (void)sqlite3_bind_int64(st, at, (sqlite3_int64)v);
}

/* Steps a statement that gives no rows. */
static inline int journal_step(struct store *s, sqlite3_stmt *st)
{
    return store_rc(s, sqlite3_step(st));
}

/* A column's text, valid until the next step. */
static inline struct str journal_text(sqlite3_stmt *st, int col)
{
    const char *p = (const char *)sqlite3_column_text(st, col);

    return str_make(p ? p : "", p ? (size_t)sqlite3_column_bytes(st, col) : 0);
}

static inline uint64_t journal_u64(sqlite3_stmt *st, int col)
{
    sqlite3_int64 v = sqlite3_column_int64(st, col);

    return v > 0 ? (uint64_t)v : 0;
}

#endif
