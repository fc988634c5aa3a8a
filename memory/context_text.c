/* SPDX-License-Identifier: MIT */
/*
 * Text from files and chats on its way into a prompt. Whatever is looked for is looked for in what was written
 * so far, not in what is read, so that leaving a character out never makes a marker of its neighbours.
 */
#include "memory/context_int.h"

#include <string.h>

#define LABEL_MAX_BYTES 96
#define UNIT_MAX_BYTES 1200 /* a sentence that is longer is cut at a blank */

/* The character at p and its bytes; UINT32_MAX when malformed (one byte then). */
static size_t rune_read(const char *text, size_t n, uint32_t *c)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t want = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;

    if (want == 0 || want > n || !str_utf8_valid(str_make(text, want))) {
        *c = UINT32_MAX;
        return 1;
    }
    *c = want == 1 ? p[0] : p[0] & (0xffu >> (want + 1));
    for (size_t i = 1; i < want; i++)
        *c = *c << 6 | (p[i] & 0x3f);
    return want;
}

static bool is_left_out(uint32_t c)
{
    return c < 0x20 || c == 0x7f || (c >= 0x80 && c < 0xa0) || c == 0xad || c == 0x61c || c == 0x180e ||
           c == 0x200b || c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) ||
           (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) ||
           (c >= 0xe0000 && c <= 0xe0fff) || (c >= 0x115f && c <= 0x1160) || c == 0x3164 || c == 0xffa0;
}

/* What a character becomes: itself, another one, '\n', ' ', or 0 for nothing. */
static uint32_t tame(uint32_t c)
{
    if (c == '\n' || c == '\r' || c == 0x0b || c == 0x0c || c == 0x85 || c == 0x2028 || c == 0x2029)
        return '\n';
    if (c == '\t' || c == 0xa0 || (c >= 0x2000 && c <= 0x200a) || c == 0x202f || c == 0x205f || c == 0x3000)
        return ' ';
    if (c == UINT32_MAX)
        return 0xfffd;
    if (c == 0x3010 || c == 0x3016 || c == 0x301a || c == 0x27e6)
        return '[';
    if (c == 0x3011 || c == 0x3017 || c == 0x301b || c == 0x27e7)
        return ']';
    return is_left_out(c) ? 0 : c;
}

static void put_rune(struct buf *b, uint32_t c)
{
    char p[4];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

    for (size_t i = n; i > 1; i--, c >>= 6)
        p[i - 1] = (char)(0x80 | (c & 0x3f));
    p[0] = (char)(n == 1 ? c : (0xf00u >> n & 0xff) | c);
    buf_put(b, p, n);
}

static char last_of(const struct buf *b, size_t from)
{
    return b->n > from ? b->p[b->n - 1] : '\n';
}

/* A blank or a break: one of a run is kept, breaks before blanks; a line may be indented by two. */
static void put_white(struct buf *b, size_t from, uint32_t c)
{
    char last = last_of(b, from);

    if (c == '\n') {
        while (b->n > from && b->p[b->n - 1] == ' ')
            b->n--;
        if (b->n > from && last_of(b, from) != '\n')
            buf_putc(b, '\n');
    } else if (last == '\n' ? b->n > from : last != ' ') {
        buf_putc(b, ' ');
    } else if (last == ' ' && b->n - from > 1 && b->p[b->n - 2] == '\n') {
        buf_putc(b, ' ');
    }
}

static bool is_role(struct str word)
{
    return str_ieq(word, STR("system")) || str_ieq(word, STR("developer")) || str_ieq(word, STR("tool"));
}

/* A colon was reached: if the line so far is a role, perhaps in marks, it is put in brackets. */
static void put_colon(struct buf *b, size_t line, uint32_t colon)
{
    size_t begin = line, end = b->n;
    char word[16];

    while (begin < end && memchr(" #*_>`\"'-+=([{<|", b->p[begin], 16))
        begin++;
    while (end > begin && memchr(" *_`\"')]}>|", b->p[end - 1], 11))
        end--;
    if (end - begin < sizeof(word) && is_role(str_make(b->p + begin, end - begin))) {
        size_t n = end - begin;

        memcpy(word, b->p + begin, n);
        b->n = line;
        buf_putc(b, '(');
        buf_put(b, word, n);
        buf_putc(b, ')');
    }
    put_rune(b, colon);
}

void context_text_clean(struct buf *b, struct str text)
{
    size_t from = b->n, line = b->n;

    for (size_t i = 0; i < text.n && b->rc == 0;) {
        uint32_t c;

        i += rune_read(text.p + i, text.n - i, &c);
        c = tame(c);
        if (c == 0 || (c == 0xfffd && str_ends(str_make(b->p + from, b->n - from), STR("\xef\xbf\xbd"))))
            continue;
        if (c == ' ' || c == '\n') {
            put_white(b, from, c);
        } else {
            char last = last_of(b, from);

            if ((last == '<' && c == '|') || (last == '|' && c == '>'))
                buf_putc(b, ' ');
            if (c == ':' || c == 0xff1a)
                put_colon(b, line, c);
            else
                put_rune(b, c);
        }
        if (last_of(b, from) == '\n')
            line = b->n;
    }
    while (b->n > from && (b->p[b->n - 1] == ' ' || b->p[b->n - 1] == '\n'))
        b->n--;
}

void context_text_label(struct buf *b, struct str text)
{
    size_t from = b->n;

    context_text_clean(b, str_head(text, 4 * LABEL_MAX_BYTES));
    if (b->rc < 0)
        return;
    b->n = from + str_utf8_floor(str_make(b->p + from, b->n - from), LABEL_MAX_BYTES);
    for (size_t i = from; i < b->n; i++) {
        if (b->p[i] == '\n')
            b->p[i] = ' ';
    }
}

/* ---- units --------------------------------------------------------------------------------------------- */

static struct str line_of(struct str text)
{
    size_t n = str_find(text, '\n');

    return str_head(text, n < text.n ? n + 1 : n);
}

static size_t indent_of(struct str line)
{
    size_t n = 0;

    while (n < line.n && line.p[n] == ' ')
        n++;
    return n;
}

/* "- ", "* ", "+ ", "• ", "1. ", "12) " behind blanks. */
static bool is_item(struct str line)
{
    size_t i = indent_of(line), digits = i;

    if (i + 1 < line.n && memchr("-*+", line.p[i], 3) && line.p[i + 1] == ' ')
        return true;
    if (line.n - i > 4 && memcmp(line.p + i, "\xe2\x80\xa2 ", 4) == 0)
        return true;
    while (digits < line.n && line.p[digits] >= '0' && line.p[digits] <= '9')
        digits++;
    return digits > i && digits - i < 4 && digits + 1 < line.n &&
           (line.p[digits] == '.' || line.p[digits] == ')') && line.p[digits + 1] == ' ';
}

/* A heading, or a line that announces the next: "Open:". */
static bool leads_on(struct str line)
{
    struct str t = str_trim(line.n > 0 && line.p[line.n - 1] == '\n' ? str_head(line, line.n - 1) : line);

    return t.n > 0 && t.n < 160 && (t.p[0] == '#' || t.p[t.n - 1] == ':');
}

/* Bytes of the mark of a sentence's end at p: *full needs no blank behind it. 0: none. */
static size_t end_mark(struct str s, bool *full)
{
    uint32_t c;
    size_t n = rune_read(s.p, s.n, &c);

    *full = c == 0x3002 || c == 0xff01 || c == 0xff1f || c == 0xff61 || c == 0xff0e || c == 0x61f ||
            c == 0x6d4 || c == 0x964 || c == 0x965 || c == 0x17d4 || c == 0x1362 || c == 0x104b;
    return *full || c == '.' || c == '!' || c == '?' || c == 0x2026 ? n : 0;
}

/* Closing quotes and brackets belong to the sentence. */
static size_t skip_closing(struct str s, size_t i)
{
    for (;;) {
        uint32_t c;
        size_t n;

        if (i >= s.n)
            return i;
        n = rune_read(s.p + i, s.n - i, &c);
        if (c != '"' && c != '\'' && c != ')' && c != ']' && c != '*' && c != '_' && c != 0x201c && c != 0x201d &&
            c != 0x2019 && c != 0xbb && c != 0xab && c != 0x300d && c != 0x300f && c != 0xff09)
            return i;
        i += n;
    }
}

/* "Dr.", "No.", "z. B.", "3." end no sentence within a line. */
static bool is_short_form(struct str line, size_t dot, size_t next)
{
    size_t begin = dot;
    char after = next < line.n ? line.p[next] : 0;

    while (begin > 0 && line.p[begin - 1] != ' ' && line.p[begin - 1] != '(' && line.p[begin - 1] != '\n')
        begin--;
    if (after >= 'a' && after <= 'z')
        return true;
    return dot - begin == 1 || (dot - begin <= 2 && line.p[begin] >= 'A' && line.p[begin] <= 'Z') ||
           (dot > begin && line.p[dot - 1] >= '0' && line.p[dot - 1] <= '9' && dot - begin <= 2);
}

/* A sentence of a long line without marks is cut at the last blank, or at a character. */
static size_t cut_long(struct str s)
{
    size_t n = str_utf8_floor(s, UNIT_MAX_BYTES), i = n;

    while (i > UNIT_MAX_BYTES / 2 && s.p[i - 1] != ' ' && s.p[i - 1] != '\n')
        i--;
    return i > UNIT_MAX_BYTES / 2 ? i : n;
}

/* A sentence that goes on in the next line: text that was wrapped, not a list of lines. */
static bool goes_on(struct str s, size_t line_begin, size_t i)
{
    return i - line_begin > 40 && i + 1 < s.n && s.p[i + 1] >= 'a' && s.p[i + 1] <= 'z';
}

static size_t sentence(struct str s)
{
    size_t line_begin = 0;

    for (size_t i = 0; i < s.n && i < UNIT_MAX_BYTES;) {
        bool full;
        size_t mark, next;

        if (s.p[i] == '\n') {
            if (!goes_on(s, line_begin, i))
                return i + 1;
            line_begin = ++i;
            continue;
        }
        mark = end_mark(str_skip(s, i), &full);
        if (mark == 0) {
            i++;
            continue;
        }
        next = skip_closing(s, i + mark);
        if (next >= s.n || s.p[next] == '\n')
            return next < s.n ? next + 1 : next;
        if (s.p[next] == ' ' && (full || s.p[i] != '.' || !is_short_form(s, i, next + 1)))
            return next + 1;
        if (full)
            return next;
        i += mark;
    }
    return s.n > UNIT_MAX_BYTES ? cut_long(s) : s.n;
}

size_t context_text_unit(struct str text)
{
    size_t n = 0;
    struct str line = line_of(text);

    /* Up to three headings, one below the other, go with what is below them. */
    for (unsigned k = 0; k < 3 && leads_on(line) && n + line.n < text.n; k++) {
        n += line.n;
        line = line_of(str_skip(text, n));
    }
    if (!is_item(line))
        return line.n > 0 ? n + sentence(str_skip(text, n)) : n;
    do {
        n += line.n;
        line = line_of(str_skip(text, n));
    } while (line.n > 0 && n < UNIT_MAX_BYTES && indent_of(line) > 1 && !is_item(line));
    return n > UNIT_MAX_BYTES ? cut_long(text) : n;
}
