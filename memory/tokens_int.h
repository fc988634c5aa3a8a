/* SPDX-License-Identifier: MIT */
#ifndef MEMORY_TOKENS_INT_H
#define MEMORY_TOKENS_INT_H
/*
 * Between the files of tokens.h: the mapped table (tokens_table.c), the merging of a piece
 * (tokens_merge.c) and the cutting of a text into pieces (tokens.c). Any thread, as tokens.h.
 */
#include "memory/tokens.h"

enum { /* bits of a class byte */
    UPPER = 1,  /* Lu Lt Lm Lo M */
    LOWER = 2,  /* Ll Lm Lo M */
    LETTER = 4, /* L */
    DIGIT = 8,  /* N */
    SPACE = 16, /* \s */
    BREAK = 32  /* CR, LF */
};

#define TOKENS_NO_RANK UINT32_MAX
#define TOKENS_SHORT_BYTES 128u         /* up to here a piece is merged on the stack; no token is longer */
#define TOKENS_PIECE_MAX_BYTES (1u << 20) /* beyond it a piece counts its bytes */

struct tokens {
    const unsigned char *map;
    size_t map_bytes;
    uint32_t tokens_n, slots_n, bytes_n, blocks_n, longest;
    const unsigned char *offsets, *slots, *bytes, *class_index, *class_blocks;
    unsigned char ascii[128]; /* class bytes */
};

/* Class byte of a code point up to U+10FFFF. */
unsigned tokens_class(const struct tokens *t, uint32_t c);
/* Rank of the token with these bytes, or TOKENS_NO_RANK. */
uint32_t tokens_rank(const struct tokens *t, const unsigned char *p, size_t n);
/* Tokens of one piece of n > 0 bytes. */
size_t tokens_merge(const struct tokens *t, const unsigned char *p, size_t n);
/*
 * The same for a piece of more than TOKENS_SHORT_BYTES; the first ends_n ends of its tokens go to ends[], which
 * stays as it is when memory is out.
 */
size_t tokens_merge_long(const struct tokens *t, const unsigned char *p, size_t n, uint32_t *ends,
                         size_t ends_n);

#endif
