/* SPDX-License-Identifier: MIT */
/*
 * Text is cut into pieces by the encoding's pattern, and each piece is merged on its own (tokens_merge.c).
 * The pattern, as the npm package that the table comes from has it:
 *
 *     A  [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+('s|'t|'re|'ve|'m|'ll|'d)?
 *     B  [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*('s|'t|'re|...)?
 *     C  \p{N}{1,3}
 *     D  [ ]?[^\s\p{L}\p{N}]+[\r\n/]*
 *     E  \s*[\r\n]+
 *     F  \s+(?!\S)
 *     G  \s+
 *
 * Contractions are ASCII in either case. \s is JavaScript's, which has U+FEFF and lacks U+0085; another
 * engine that runs this pattern has it the other way round. context.c lets neither into a block.
 */
#include "memory/tokens_int.h"

#include "plugin/base/mem.h"

#include <string.h>

struct scan {
    const struct tokens *t;
    const unsigned char *p;
    size_t n;
    bool broken; /* the piece has malformed UTF-8 */
};

struct rune {
    size_t n; /* bytes; 0 at the end */
    unsigned class;
    unsigned char byte; /* the first one */
};

/*
 * Bytes of the character at p, and it. A malformed sequence is U+FFFD for each longest beginning of a
 * well-formed one (Unicode 3.9, table 3-7; what decoders of browsers do).
 */
static size_t decode(const unsigned char *p, size_t n, uint32_t *c)
{
    static const uint32_t lead[5] = {0, 0, 0x1f, 0x0f, 0x07};
    size_t want = p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
    unsigned char low = 0x80, high = 0xbf;
    size_t i;

    *c = p[0];
    if (p[0] < 0x80)
        return 1;
    *c = p[0] & lead[want];
    if (p[0] == 0xe0)
        low = 0xa0;
    else if (p[0] == 0xed)
        high = 0x9f;
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xf4)
        high = 0x8f;
    for (i = 1; i < want && i < n && p[i] >= low && p[i] <= high; i++) {
        *c = *c << 6 | (p[i] & 0x3f);
        low = 0x80;
        high = 0xbf;
    }
    if (i == want)
        return want;
    *c = UINT32_MAX;
    return i;
}

static struct rune rune_at(struct scan *s, size_t at)
{
    struct rune r = {0};
    uint32_t c;

    if (at >= s->n)
        return r;
    r.byte = s->p[at];
    if (r.byte < 128) {
        r.n = 1;
        r.class = s->t->ascii[r.byte];
        return r;
    }
    r.n = decode(s->p + at, s->n - at, &c);
    if (c == UINT32_MAX) {
        s->broken = true;
        c = 0xfffd;
    }
    r.class = tokens_class(s->t, c);
    return r;
}

/* ---- the pattern --------------------------------------------------------------------------------------- */

static size_t skip_class(struct scan *s, size_t at, unsigned class)
{
    struct rune r;

    while ((r = rune_at(s, at)).n > 0 && (r.class & class))
        at += r.n;
    return at;
}

/* End of A's and B's ending at `at`, which may be missing. */
static size_t contraction(const struct scan *s, size_t at)
{
    char a, b;

    if (s->n - at < 2 || s->p[at] != '\'')
        return at;
    a = (char)(s->p[at + 1] | 0x20);
    b = s->n - at > 2 ? (char)(s->p[at + 2] | 0x20) : 0;
    if (a == 's' || a == 'd' || a == 'm' || a == 't')
        return at + 2;
    if ((a == 'l' && b == 'l') || ((a == 'v' || a == 'r') && b == 'e'))
        return at + 3;
    return at;
}

/*
 * A without what may stand before it: capitals, then at least one small letter. Where none follows, the
 * capitals are given back up to the last character that is also a small one (Lm, Lo, M). Else 0, and
 * *upper_end is where B ends.
 */
static size_t match_word(struct scan *s, size_t at, size_t *upper_end)
{
    size_t i = at, last = 0, end;
    struct rune r;

    while ((r = rune_at(s, i)).n > 0 && (r.class & UPPER)) {
        i += r.n;
        if (r.class & LOWER)
            last = i;
    }
    *upper_end = i;
    end = skip_class(s, i, LOWER);
    return end > i ? end : last;
}

/* E, F, G: white space from `at`, where neither A nor D match. */
static size_t match_space(struct scan *s, size_t at)
{
    size_t i = at, last_break = 0, last = at;
    struct rune r;

    while ((r = rune_at(s, i)).n > 0 && (r.class & SPACE)) {
        last = i;
        i += r.n;
        if (r.class & BREAK)
            last_break = i;
    }
    if (last_break > 0)
        return last_break; /* E */
    if (i < s->n && last > at)
        return last; /* F: the last one stays with the word behind it */
    return i; /* F at the end of the text, or G */
}

static bool is_other(struct rune r)
{
    return r.n > 0 && !(r.class & (SPACE | LETTER | DIGIT));
}

/* D from `at`, which is past its blank. */
static size_t match_other(struct scan *s, size_t at)
{
    struct rune r;

    while (is_other(r = rune_at(s, at)))
        at += r.n;
    while (at < s->n && (s->p[at] == '\r' || s->p[at] == '\n' || s->p[at] == '/'))
        at++;
    return at;
}

/* End of the piece that begins at `at`, which is before the end of the text. */
static size_t match_piece(struct scan *s, size_t at)
{
    struct rune r = rune_at(s, at);
    size_t end, after_b = 0, unused;

    if (r.class & DIGIT) { /* C: the alternatives before it want a letter */
        for (unsigned k = 0; k < 3 && r.n > 0 && (r.class & DIGIT); k++) {
            at += r.n;
            r = rune_at(s, at);
        }
        return at;
    }
    if (!(r.class & (LETTER | BREAK))) { /* may stand before a word */
        size_t word = at + r.n;

        end = match_word(s, word, &after_b);
        if (end == 0 && (r.class & LOWER))
            end = match_word(s, at, &unused); /* a mark is a word of its own */
        if (end == 0 && after_b > word)
            end = after_b;
    } else {
        end = match_word(s, at, &after_b);
        if (end == 0 && after_b > at)
            end = after_b;
    }
    if (end > 0)
        return contraction(s, end);
    if (is_other(r))
        return match_other(s, at);
    if (r.byte == ' ' && is_other(rune_at(s, at + 1)))
        return match_other(s, at + 1);
    return match_space(s, at);
}

/* ---- counting -------------------------------------------------------------------------------------- */

/* Writes p with U+FFFD for what is malformed, at most 3 bytes for each; how many. */
static size_t mend(unsigned char *out, const unsigned char *p, size_t n)
{
    static const unsigned char mark[3] = {0xef, 0xbf, 0xbd};
    size_t length = 0;
    uint32_t c;

    for (size_t i = 0, k; i < n; i += k) {
        k = decode(p + i, n - i, &c);
        if (c == UINT32_MAX) {
            memcpy(out + length, mark, sizeof(mark));
            length += sizeof(mark);
        } else {
            memcpy(out + length, p + i, k);
            length += k;
        }
    }
    return length;
}

static size_t count_broken(const struct tokens *t, const unsigned char *p, size_t n)
{
    unsigned char small[3 * TOKENS_SHORT_BYTES];
    unsigned char *copy;
    size_t count;

    if (n <= TOKENS_SHORT_BYTES)
        return tokens_merge(t, small, mend(small, p, n));
    copy = n <= TOKENS_PIECE_MAX_BYTES ? mem_alloc(3 * n) : NULL;
    count = copy ? tokens_merge(t, copy, mend(copy, p, n)) : 3 * n;
    mem_free(copy);
    return count;
}

/* Counts the piece at `at`, whose end goes to *end. */
static size_t count_piece(struct scan *s, size_t at, size_t *end)
{
    s->broken = false;
    *end = match_piece(s, at);
    if (s->broken)
        return count_broken(s->t, s->p + at, *end - at);
    return tokens_merge(s->t, s->p + at, *end - at);
}

static struct scan scan_of(const struct tokens *t, struct str text)
{
    return (struct scan){t, (const unsigned char *)text.p, text.n, false};
}

size_t tokens_count(const struct tokens *t, struct str text)
{
    struct scan s = scan_of(t, text);
    size_t count = 0;

    for (size_t at = 0; at < s.n;)
        count += count_piece(&s, at, &at);
    return count;
}

/* ---- the longest prefix -------------------------------------------------------------------------------- */

/* Where the character before `at` begins, counted from `low`, which begins one. */
static size_t step_back(const struct scan *s, size_t low, size_t at)
{
    size_t back = at - low > 8 ? at - 8 : low;
    uint32_t c;

    while (back > low && (s->p[back] & 0xc0) == 0x80)
        back--;
    for (size_t next; (next = back + decode(s->p + back, s->n - back, &c)) < at;)
        back = next;
    return back;
}

/* A place of at most `left` tokens in the long piece [at, end): behind the last token that fits. */
static size_t guess_long(const struct scan *s, size_t at, size_t end, size_t left)
{
    size_t head = end - at, cut;
    uint32_t *ends;

    if (left == 0)
        return at;
    if (left < TOKENS_PIECE_MAX_BYTES / TOKENS_SHORT_BYTES && head > (left + 1) * TOKENS_SHORT_BYTES)
        head = (left + 1) * TOKENS_SHORT_BYTES;
    if (head > TOKENS_PIECE_MAX_BYTES)
        head = TOKENS_PIECE_MAX_BYTES;
    if (left >= head)
        return at + head;
    ends = mem_zalloc(left * sizeof(*ends));
    cut = left;
    if (ends) {
        size_t parts = tokens_merge_long(s->t, s->p + at, head, ends, left);

        cut = ends[(parts < left ? parts : left) - 1];
        cut = cut > 0 ? cut : left;
    }
    mem_free(ends);
    return at + cut;
}

/*
 * The longest prefix that ends in [base, from] and adds at most `left` tokens to what is before base: the
 * places are tried from the end, since fewer bytes may be more tokens. Where each try is dear, few of them.
 */
static size_t fit_back(struct scan *s, size_t base, size_t from, size_t left)
{
    struct str whole = str_make((const char *)s->p, s->n);
    unsigned tries = from - base > 4 * TOKENS_SHORT_BYTES ? 8 : 8 * TOKENS_SHORT_BYTES;

    while (from > base) {
        struct str part = str_skip(str_head(whole, from), base);

        if (tokens_count(s->t, part) <= left)
            return from;
        if (tries > 0)
            tries--;
        else
            from = base + (from - base) / 2 + 1;
        from = step_back(s, base, from);
    }
    return base;
}

/*
 * A cut changes the piece that it is in and, where white space then ends the text, the piece before; and
 * it may lie behind the first character after the piece that is too much, for the same reason.
 */
size_t tokens_fit(const struct tokens *t, struct str text, size_t max)
{
    struct scan s = scan_of(t, text);
    size_t before = 0, before_sum = 0, begin = 0, sum = 0, end = 0, total = 0, top;

    while (end < s.n && total <= max) {
        before = begin;
        before_sum = sum;
        begin = end;
        sum = total;
        total += count_piece(&s, begin, &end);
    }
    if (total <= max)
        return s.n;
    top = end;
    if (end - begin > 2 * TOKENS_SHORT_BYTES)
        top = guess_long(&s, begin, end, max - sum);
    else if (top < s.n)
        top += rune_at(&s, top).n;
    if (top > begin && top < s.n && (s.p[top] & 0xc0) == 0x80)
        top = step_back(&s, begin, top + 1);
    if (begin > before && (rune_at(&s, step_back(&s, before, begin)).class & SPACE))
        return fit_back(&s, before, top, max - before_sum);
    return fit_back(&s, begin, top, max - sum);
}
