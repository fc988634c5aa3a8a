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
/* YYYY-MM-DD in this machine's time zone; "" when that cannot be told. */
void afters_day(uint64_t wall_ms, char *out, size_t cap);
/* text as a Markdown quotation. */
void afters_quote(struct buf *b, struct str text);

#endif
