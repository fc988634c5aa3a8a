/* SPDX-License-Identifier: MIT */
#ifndef MEMORY_WORDS_H
#define MEMORY_WORDS_H
/*
 * The index of words (table turn_fts, FTS5 with external content) over the turns of calls that are over. A
 * call is indexed when it ends, all its turns at once: one by one they would put three times their own
 * bytes into the log. The index holds no text and has to be told what was in it, so whoever changes turns
 * takes their call out first: words_drop(), change, words_put(). These are calls and not triggers,
 * because a file's schema is not trusted with virtual tables. Store thread, inside a transaction.
 */
#include "memory/store.h"

/* Takes the call out of the index. *was: it was in it. */
int words_drop(struct store *s, struct str call, bool *was);
/* Puts the call into the index, if it is over and not in it. */
int words_put(struct store *s, struct str call);
/*
 * One piece (about a millisecond) of melting the index into one segment, after which nothing of what was
 * taken out is in it. *more: there is more to do.
 */
int words_melt(struct store *s, bool *more);

#endif
