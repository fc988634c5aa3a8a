/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_AFTERS_TEXT_H
#define PLUGIN_AFTERS_TEXT_H
/*
 * Texts that are made when a call is over. Pure; any thread. Failures are the buffer's rc.
 */
#include "plugin/base/buf.h"

struct json;

/* Honest and plain, where no agent makes a summary: the caller's first words and the last said to them. */
void afters_extract(struct buf *out, const struct json *turns);
/* The words of a call as they are searched and summed up: a line for each turn. */
void afters_words(struct buf *out, const struct json *turns);
/* "turns":[{entry_id, who, text, at}], as a member of an object: for the agent's session. */
void afters_turns(struct buf *b, const struct json *turns, struct str call);
/* YYYY-MM-DD in this machine's time zone; "" when that cannot be told. */
void afters_day(uint64_t wall_ms, char *out, size_t cap);
/* text, but no three ">" in a row: it cannot end a quotation that ends with them. */
void afters_unfence(struct buf *b, struct str text);
/* text as a Markdown quotation. */
void afters_quote(struct buf *b, struct str text);

#endif
