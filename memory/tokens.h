/* SPDX-License-Identifier: MIT */
#ifndef MEMORY_TOKENS_H
#define MEMORY_TOKENS_H
/*
 * Counting tokens as OpenAI's models do: the o200k_base byte-pair encoding with its exact pre-split. The
 * table is a file that the build derives (scripts/gen-tokens.mjs) and that is mapped read-only. A table is
 * immutable: any thread. Source: the encoding's published pattern and ranks.
 */
#include "plugin/base/err.h"
#include "plugin/base/str.h"

struct tokens;

/* Maps the file. ERR_IO, ERR_CORRUPT; e names path and cure. */
int tokens_open(struct tokens **out, const char *path, struct err *e);
void tokens_close(struct tokens *t);
/*
 * Number of tokens of text (special tokens are ordinary text). Malformed UTF-8 counts as U+FFFD. Linear, n log n
 * within a run that the pattern does not split. Allocates only for such a run of more than 128 bytes; one of more
 * than 1 MiB, or one that memory is out for, counts its bytes, which is never too few.
 */
size_t tokens_count(const struct tokens *t, struct str text);
/*
 * Bytes of the longest prefix that has at most max tokens; ends at a character. Where it ends in an unsplit run of
 * more than 256 bytes, the end of one of the run's tokens is taken: a few characters may be missing.
 */
size_t tokens_fit(const struct tokens *t, struct str text, size_t max);

#endif
