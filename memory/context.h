/* SPDX-License-Identifier: MIT */
#ifndef MEMORY_CONTEXT_H
#define MEMORY_CONTEXT_H
/*
 * The context block of a call: pieces of text chosen by relevance and age, fenced as data, never over its
 * budget of tokens. Pure; any thread.
 */
#include "memory/tokens.h"
#include "plugin/base/buf.h"

enum context_kind { /* in the order of the block */
    CONTEXT_IDENTITY,  /* IDENTITY.md, SOUL.md: who the agent is */
    CONTEXT_USER,      /* USER.md */
    CONTEXT_CALLER,    /* what we know of this caller */
    CONTEXT_OPEN,      /* open tasks, owed answers */
    CONTEXT_CHAT,      /* recent turns of linked chats */
    CONTEXT_CALLS,     /* this caller's history */
    CONTEXT_DAILY,     /* memory/YYYY-MM-DD*.md */
    CONTEXT_MEMORY,    /* MEMORY.md */
    CONTEXT_KINDS
};

struct context_piece { /* borrowed */
    enum context_kind kind;
    struct str source; /* label: "memory/2026-11-22.md", "telegram, today 09:12" */
    struct str text;
    uint64_t at;       /* Unix ms, 0 timeless */
};

struct context_query {
    size_t max_tokens;          /* of the whole block with labels and fences */
    uint64_t now;
    struct str caller_name, number; /* raise what mentions them; may be empty */
    struct str hints;               /* further words, such as the last call's summary */
};

struct context_stats {
    size_t tokens, pieces_used, pieces_left;
};

/*
 * Appends the block (nothing when there is nothing or the budget is too small for a line). Whole sentences
 * (or lines); each piece labelled with its source and date (once for neighbours with the same label); newest first
 * within a kind, the timeless last; every kind gets a share before the rest is filled; at least 85 % of the budget
 * is used when the pieces hold twice as much, for which one sentence may be cut at a word and end in U+2026.
 * Text that imitates the fence, a model's special tokens or a role is defused (context_int.h says how); left out
 * are controls and invisible characters. t NULL: an upper bound of one token per byte is used instead. The same
 * arguments give the same block. Looked at are 256 KiB of a piece and 4 MiB of the best pieces.
 * ERR_NOMEM, ERR_TOO_BIG (out is full); out is then as long as before.
 */
int context_write(struct buf *out, const struct tokens *t, const struct context_query *q,
                  const struct context_piece *pieces, unsigned n, struct context_stats *stats);

#endif
