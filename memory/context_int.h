/* SPDX-License-Identifier: MIT */
#ifndef MEMORY_CONTEXT_INT_H
#define MEMORY_CONTEXT_INT_H
/*
 * Between the files of context.h: what a query's words are worth in a text (context_words.c), and text made
 * harmless and cut into sentences (context_text.c). Pure; any thread.
 */
#include "memory/context.h"

/* ---- words ---- */

#define CONTEXT_WORDS 64 /* as many as a mask has bits */
#define CONTEXT_FILTER 4096

struct context_word {
    char text[20]; /* lower case, the beginning of a word; some letters are looked for in either case */
    uint32_t key[2]; /* of its bytes 0 to 2, and 1 to 3 */
    unsigned char n;
    bool anywhere; /* of a script without blanks, or digits: not only where a word begins */
    unsigned char bit;
};

struct context_words {
    struct context_word word[2 * CONTEXT_WORDS];
    unsigned n, bits;
    double weight[CONTEXT_WORDS]; /* by bit */
    unsigned char filter[CONTEXT_FILTER]; /* by hash: whether some word has such a key */
};

void context_words_init(struct context_words *w, const struct context_query *q);
/* Bit set of the words in text. About half a nanosecond a byte. */
uint64_t context_words_find(const struct context_words *w, struct str text);
/* Makes words that many of n texts have worth less; df counts them by bit. */
void context_words_weigh(struct context_words *w, const unsigned df[CONTEXT_WORDS], unsigned n);
double context_words_worth(const struct context_words *w, uint64_t found);

/* ---- text ---- */

/*
 * Appends text as it may stand in the block. Of each kind of what could pass for something else:
 *   the fence's brackets and their likes become [ and ];
 *   <| and |> are taken apart by a blank, so that no special token of a model is spelt;
 *   `system:`, `developer:` and `tool:` at the beginning of a line become `(system):` and so on;
 *   controls, marks of direction, invisible and tag characters, U+FEFF are left out, malformed bytes are U+FFFD.
 * Runs of blanks and of line breaks become one. Its own failure is b->rc.
 */
void context_text_clean(struct buf *b, struct str text);
/* The same for a label: one line, at most 96 bytes. */
void context_text_label(struct buf *b, struct str text);
/*
 * Bytes of the next unit of cleaned text: a sentence, or a line with what belongs to it (a heading with what
 * follows it, an item with its indented lines); blanks behind it included. 0 at the end.
 */
size_t context_text_unit(struct str text);

#endif
