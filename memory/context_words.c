/* SPDX-License-Identifier: MIT */
/*
 * Every piece is looked through, so a byte must cost next to nothing: of three bytes at every second place a
 * filter says whether they may be the first three of a word of the query, or its second to fourth. One of the two
 * stands at such a place. A word that was found is taken out of the filter, so that a text full of the
 * caller's name costs no more than another.
 */
#include "memory/context_int.h"

#include <string.h>

#define NUMBER_WEIGHT 4.0
#define NAME_WEIGHT 3.0
#define HINT_WEIGHT 1.0
#define STEM_BYTES 6 /* "appointment" finds "appointed" */

/* 0 for what is between words; letters in lower case; bytes of other scripts as they are. */
static unsigned char fold(unsigned char c)
{
    if (c >= 'A' && c <= 'Z')
        return c | 0x20;
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c >= 0x80)
        return c;
    return 0;
}

static unsigned filter_at(uint32_t key)
{
    return (key * 0x9e3779b1u) >> 20;
}

/* The case of letters is lost, and a little of all else. */
static uint32_t key_of(uint32_t bytes)
{
    return (bytes | 0x20202020u) & 0xffffffu;
}

/* n > 0 bytes, as far as there are three. */
static uint32_t load_few(const unsigned char *p, size_t n)
{
    return (uint32_t)p[0] | (uint32_t)(n > 1 ? p[1] : 0) << 8 | (uint32_t)(n > 2 ? p[2] : 0) << 16;
}

/* Behind a word of three letters anything may stand. */
static void put_filter(unsigned char filter[CONTEXT_FILTER], const struct context_word *word)
{
    filter[filter_at(word->key[0])] = 1;
    filter[filter_at(word->key[1])] = 1;
    for (uint32_t c = 0; word->n == 3 && c < 256; c++)
        filter[filter_at(key_of((word->key[1] & 0xffff) | c << 16))] = 1;
}

static void add_form(struct context_words *w, const char *text, size_t n, bool anywhere, unsigned bit)
{
    struct context_word *word;

    if (w->n == sizeof(w->word) / sizeof(*w->word))
        return;
    word = &w->word[w->n++];
    memcpy(word->text, text, n);
    word->n = (unsigned char)n;
    word->anywhere = anywhere;
    word->bit = (unsigned char)bit;
    word->key[0] = key_of(load_few((const unsigned char *)text, n));
    word->key[1] = key_of(load_few((const unsigned char *)text + 1, n - 1));
    put_filter(w->filter, word);
}

/* The other case of a first letter of two bytes: Latin-1, Greek, Cyrillic. False when it has none here. */
static bool other_case(char out[2], const char *p)
{
    unsigned c = ((unsigned char)p[0] & 0x1fu) << 6 | ((unsigned char)p[1] & 0x3fu), o = 0;

    if ((unsigned char)p[0] < 0xc2 || (unsigned char)p[0] >= 0xe0)
        return false;
    if ((c >= 0xc0 && c <= 0xde) || (c >= 0x391 && c <= 0x3a9) || (c >= 0x410 && c <= 0x42f))
        o = c + 0x20;
    else if ((c >= 0xe0 && c <= 0xfe) || (c >= 0x3b1 && c <= 0x3c9) || (c >= 0x430 && c <= 0x44f))
        o = c - 0x20;
    if (o == 0)
        return false;
    out[0] = (char)(0xc0 | o >> 6);
    out[1] = (char)(0x80 | (o & 0x3f));
    return true;
}

/* p is folded. */
static void add_word(struct context_words *w, const char *p, size_t n, bool anywhere, double weight)
{
    char other[sizeof(w->word[0].text)];

    if (w->bits == CONTEXT_WORDS || n < (anywhere ? 4 : 3))
        return;
    for (unsigned i = 0; i < w->n; i++) {
        if (w->word[i].n == n && memcmp(w->word[i].text, p, n) == 0)
            return;
    }
    w->weight[w->bits] = weight;
    add_form(w, p, n, anywhere, w->bits);
    memcpy(other, p, n);
    if (!anywhere && other_case(other, p))
        add_form(w, other, n, false, w->bits);
    w->bits++;
}

/* Three bytes and more, up to Thai, or from there: a script without blanks between words goes by pairs. */
static void add_run(struct context_words *w, const char *p, size_t n, double weight)
{
    size_t max = weight > HINT_WEIGHT ? sizeof(w->word[0].text) : STEM_BYTES;

    if ((unsigned char)p[0] < 0xe3 || (unsigned char)p[0] >= 0xf0) {
        n = str_utf8_floor(str_make(p, n), n < max ? n : max);
        add_word(w, p, n, false, weight);
        return;
    }
    for (size_t i = 0; i + 6 <= n; i += 3)
        add_word(w, p + i, 6, true, weight);
}

static void add_text(struct context_words *w, struct str text, double weight)
{
    char run[120];
    size_t n = 0;

    for (size_t i = 0; i <= text.n && w->bits < CONTEXT_WORDS; i++) {
        unsigned char c = i < text.n ? fold((unsigned char)text.p[i]) : 0;

        if (c && n < sizeof(run)) {
            run[n++] = (char)c;
        } else if (!c) {
            if (n >= (weight > HINT_WEIGHT ? 3 : 4))
                add_run(w, run, n, weight);
            n = 0;
        }
    }
}

void context_words_init(struct context_words *w, const struct context_query *q)
{
    char digits[20];
    size_t n = 0;

    memset(w, 0, sizeof(*w));
    for (size_t i = q->number.n; i > 0 && n < 7; i--) {
        if (q->number.p[i - 1] >= '0' && q->number.p[i - 1] <= '9')
            digits[sizeof(digits) - ++n] = q->number.p[i - 1];
    }
    if (n == 7)
        add_word(w, digits + sizeof(digits) - n, n, true, NUMBER_WEIGHT);
    add_text(w, q->caller_name, NAME_WEIGHT);
    add_text(w, q->hints, HINT_WEIGHT);
}

static bool stands_at(const struct context_word *word, struct str text, size_t begin)
{
    if (word->n > text.n - begin)
        return false;
    if (!word->anywhere && begin > 0 && fold((unsigned char)text.p[begin - 1]))
        return false;
    for (size_t k = 0; k < word->n; k++) {
        if (fold((unsigned char)text.p[begin + k]) != (unsigned char)word->text[k])
            return false;
    }
    return true;
}

/* The words of which the three bytes at `at` are the first, or the second to fourth. */
static uint64_t verify(const struct context_words *w, struct str text, size_t at, uint32_t key)
{
    uint64_t found = 0;

    for (unsigned i = 0; i < w->n; i++) {
        const struct context_word *word = &w->word[i];
        uint32_t differs = key ^ word->key[1];

        if (word->n == 3)
            differs &= 0xffff;
        if ((key == word->key[0] && stands_at(word, text, at)) ||
            (differs == 0 && at > 0 && stands_at(word, text, at - 1)))
            found |= (uint64_t)1 << word->bit;
    }
    return found;
}

/* The filter without the words that were found. */
static void narrow(const struct context_words *w, uint64_t found, unsigned char filter[CONTEXT_FILTER])
{
    memset(filter, 0, CONTEXT_FILTER);
    for (unsigned i = 0; i < w->n; i++) {
        if (!(found >> w->word[i].bit & 1))
            put_filter(filter, &w->word[i]);
    }
}

/* The next place, by twos, at which the filter says yes; the end of the text if there is none. */
static size_t next_place(const unsigned char *filter, struct str text, size_t i)
{
    const unsigned char *p = (const unsigned char *)text.p;

    for (; i + 4 <= text.n; i += 2) {
        uint32_t four = (uint32_t)p[i] | (uint32_t)p[i + 1] << 8 | (uint32_t)p[i + 2] << 16 |
                        (uint32_t)p[i + 3] << 24; /* one load; the fourth byte is dropped */

        if (filter[filter_at(key_of(four))])
            return i;
    }
    for (; i < text.n; i += 2) {
        if (filter[filter_at(key_of(load_few(p + i, text.n - i)))])
            return i;
    }
    return text.n;
}

uint64_t context_words_find(const struct context_words *w, struct str text)
{
    unsigned char narrowed[CONTEXT_FILTER];
    const unsigned char *filter = w->filter;
    uint64_t found = 0, more;

    if (w->n == 0)
        return 0;
    for (size_t i = next_place(filter, text, 0); i < text.n; i = next_place(filter, text, i + 2)) {
        uint32_t key = key_of(load_few((const unsigned char *)text.p + i, text.n - i));

        more = verify(w, text, i, key) & ~found;
        if (more == 0)
            continue;
        found |= more;
        narrow(w, found, narrowed);
        filter = narrowed;
    }
    return found;
}

void context_words_weigh(struct context_words *w, const unsigned df[CONTEXT_WORDS], unsigned n)
{
    for (unsigned i = 0; i < w->bits; i++)
        w->weight[i] /= 1.0 + (n > 1 ? 15.0 * (df[i] > 0 ? df[i] - 1 : 0) / (n - 1) : 0);
}

double context_words_worth(const struct context_words *w, uint64_t found)
{
    double worth = 0;

    for (unsigned i = 0; i < w->bits; i++)
        worth += found >> i & 1 ? w->weight[i] : 0;
    return worth;
}
