/* SPDX-License-Identifier: MIT */
#include "memory/index_int.h"

#include <string.h>

#define LEVELS 6u
#define HEAD_BYTES 240u

/* ---- Lines. ---- */

static bool next_line(struct str text, size_t *at, struct str *line)
{
    if (*at >= text.n)
        return false;
    *line = str_skip(text, *at);
    line->n = str_find(*line, '\n');
    *at += line->n + 1;
    if (*at > text.n)
        *at = text.n;
    return true;
}

static struct str trim_line(struct str line)
{
    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    return str_trim(line);
}

/* The heading's level (RFC 7763 Markdown, ATX headings alone), 0 if it is none; *text: without the marks. */
static unsigned heading_level(struct str line, struct str *text)
{
    unsigned n = 0;

    while (n < line.n && line.p[n] == '#')
        n++;
    if (n == 0 || n > LEVELS)
        return 0;
    *text = str_skip(line, n);
    if (text->n > 0 && text->p[0] != ' ' && text->p[0] != '\t' && text->p[0] != '\r')
        return 0;
    *text = trim_line(*text);
    while (text->n > 0 && text->p[text->n - 1] == '#')
        text->n--;
    *text = str_trim(*text);
    return n;
}

static bool is_fence(struct str line)
{
    line = str_trim(line);
    return str_starts(line, STR("```")) || str_starts(line, STR("~~~"));
}

static bool is_item(struct str line)
{
    size_t i = 0;

    if (line.n >= 2 && (line.p[0] == '-' || line.p[0] == '*' || line.p[0] == '+'))
        return line.p[1] == ' ';
    while (i < line.n && line.p[i] >= '0' && line.p[i] <= '9')
        i++;
    return i > 0 && i + 1 < line.n && (line.p[i] == '.' || line.p[i] == ')') && line.p[i + 1] == ' ';
}

/* ---- Sections of ours. ---- */

static bool id_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

bool index_id_valid(struct str id)
{
    if (id.n == 0 || id.n > INDEX_ID_BYTES)
        return false;
    for (size_t i = 0; i < id.n; i++)
        if (!id_char(id.p[i]))
            return false;
    return true;
}

static bool begins_section(struct str line, struct str *call)
{
    struct str s = trim_line(line);

    if (!str_starts(line, STR("## Call ")))
        return false;
    s = str_skip(s, 8);
    *call = str_head(s, str_find(s, ' '));
    return index_id_valid(*call);
}

/* The mark stands at the end of its line; before it may be the sum. */
static bool ends_section(struct str line, struct str *call, struct str *sum)
{
    static const char begin[] = "<!-- voice:call ", end[] = " end -->";
    struct str s = trim_line(line);
    size_t at;

    *sum = STR_NONE;
    if (str_starts(s, STR("<!-- voice:sum "))) {
        *sum = str_head(str_skip(s, 15), 16);
        at = str_find_str(s, STR("-->"));
        if (at != 15 + 16 + 1)
            return false;
        s = str_skip(s, at + 3);
    }
    if (!str_starts(s, str_of(begin)) || !str_ends(s, str_of(end)) || s.n < sizeof begin + sizeof end - 2)
        return false;
    *call = str_make(s.p + sizeof begin - 1, s.n - (sizeof begin - 1) - (sizeof end - 1));
    return index_id_valid(*call);
}

/*
 * How far the section reaches that begins at out->at: to its mark; without one to the next heading of its
 * level, the next section or the end.
 */
static void span_measure(struct str text, size_t from, struct index_span *out)
{
    size_t at = from, begin, stop = 0;
    struct str line, call, sum, title;
    unsigned level;

    while (begin = at, next_line(text, &at, &line)) {
        if (ends_section(line, &call, &sum) && str_eq(call, out->call)) {
            out->whole = true;
            out->sum = sum;
            out->summed = begin - out->at;
            out->n = at - out->at;
            return;
        }
        level = heading_level(line, &title);
        if (stop == 0 && level > 0 && level <= 2)
            stop = begin;
        if (begins_section(line, &call))
            break;
    }
    out->n = (stop > 0 ? stop : text.n) - out->at;
}

bool index_span_next(struct str text, size_t *at, struct index_span *out)
{
    struct str line;
    size_t begin;

    while (begin = *at, next_line(text, at, &line)) {
        memset(out, 0, sizeof *out);
        if (!begins_section(line, &out->call))
            continue;
        out->at = begin;
        span_measure(text, *at, out);
        /* Somebody's own "## Call mum" is not ours: no mark, and not one of our ids. */
        if (!out->whole && !str_starts(out->call, STR("call_")))
            continue;
        *at = out->at + out->n;
        return true;
    }
    return false;
}

bool index_mark_stands(struct str text, struct str call)
{
    struct str line, id, sum;
    size_t at = 0;

    while (next_line(text, &at, &line))
        if (ends_section(line, &id, &sum) && str_eq(id, call))
            return true;
    return false;
}

/* ---- Blocks. ---- */

struct heads {
    struct str level[LEVELS];
};

struct splitter {
    struct str text, call;
    size_t want;
    bool headings, fenced;
    struct heads heads;
    size_t begin, end; /* of the block at hand; equal: none */
    unsigned begin_line;
    char head[HEAD_BYTES];
    index_block_fn *fn;
    void *arg;
};

static struct str head_text(struct splitter *s)
{
    struct str h, part;
    size_t n = 0;

    for (unsigned i = 0; i < LEVELS; i++) {
        h = s->heads.level[i];
        if (h.n == 0)
            continue;
        part = str_head(h, str_utf8_floor(h, 100));
        if (n + part.n + 3 > sizeof s->head)
            break;
        if (n > 0) {
            memcpy(s->head + n, " > ", 3);
            n += 3;
        }
        memcpy(s->head + n, part.p, part.n);
        n += part.n;
    }
    return str_make(s->head, n);
}

static unsigned count_lines(struct str s)
{
    unsigned n = 0;
    size_t at = 0;
    struct str line;

    while (next_line(s, &at, &line))
        n++;
    return n;
}

/* A piece of a line that is longer than a block may be: up to a blank, and to a character's end. */
static size_t cut_long(struct str s, size_t max)
{
    size_t n = str_utf8_floor(s, max), i;

    for (i = n; i > n / 2; i--)
        if (s.p[i - 1] == ' ')
            return i;
    return n > 0 ? n : s.n;
}

static int emit(struct splitter *s)
{
    struct str t = str_make(s->text.p + s->begin, s->end - s->begin), line;
    unsigned from = s->begin_line;
    struct index_block b = {.call = s->call};
    size_t at, n;
    int rc = 0;

    s->begin = s->end;
    while (at = 0, next_line(t, &at, &line) && trim_line(line).n == 0) {
        t = str_skip(t, at);
        from++;
    }
    while (t.n > 0 && strchr(" \t\r\n", t.p[t.n - 1]) != NULL)
        t.n--;
    if (t.n == 0)
        return 0;
    b.head = head_text(s);
    while (t.n > 0 && rc == 0) {
        n = t.n > 3 * s->want ? cut_long(t, 2 * s->want) : t.n;
        b.text = str_head(t, n);
        b.from = from;
        b.lines = count_lines(b.text);
        rc = s->fn(s->arg, &b);
        for (size_t i = 0; i < n; i++)
            from += t.p[i] == '\n';
        t = str_skip(t, n);
    }
    return rc;
}

static void set_heading(struct splitter *s, unsigned level, struct str text)
{
    s->heads.level[level - 1] = text;
    for (unsigned i = level; i < LEVELS; i++)
        s->heads.level[i] = STR_NONE;
}

static int take_line(struct splitter *s, struct str line, size_t begin, size_t end, unsigned number)
{
    struct str title;
    unsigned level = s->fenced ? 0 : heading_level(line, &title);
    size_t have = s->end - s->begin;
    bool blank = trim_line(line).n == 0;
    int rc = 0;

    if (is_fence(line))
        s->fenced = !s->fenced;
    if (level > 0 || have >= 2 * s->want || (have >= s->want && (blank || is_item(line))))
        rc = emit(s);
    if (rc < 0)
        return rc;
    if (level > 0)
        set_heading(s, level, title);
    if (level > 0 && !s->headings) {
        s->begin = s->end = end;
        return 0;
    }
    if (s->begin == s->end) {
        s->begin = begin;
        s->begin_line = number;
    }
    s->end = end;
    return 0;
}

int index_split(struct str text, size_t want, bool headings, index_block_fn *fn, void *arg)
{
    struct splitter s = {.text = text, .want = want, .headings = headings, .fn = fn, .arg = arg};
    struct heads outer = {0};
    struct index_span span;
    size_t at = 0, begin, span_at = 0;
    bool more = index_span_next(text, &span_at, &span), inside = false;
    struct str line;
    unsigned number = 0;
    int rc = 0;

    while (rc == 0 && (begin = at, next_line(text, &at, &line))) {
        number++;
        if (inside && begin >= span.at + span.n) {
            /* Whatever follows a section must not carry its headings. */
            rc = emit(&s);
            s.heads = outer;
            s.call = STR_NONE;
            s.fenced = inside = false;
            more = index_span_next(text, &span_at, &span);
        }
        if (rc == 0 && !inside && more && begin == span.at) {
            rc = emit(&s);
            outer = s.heads;
            s.call = span.call;
            s.fenced = false;
            inside = true;
        }
        if (rc == 0)
            rc = take_line(&s, line, begin, at, number);
    }
    return rc == 0 ? emit(&s) : rc;
}

/* ---- Small readers. ---- */

static bool two(const char *p, unsigned *out)
{
    if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9')
        return false;
    *out = (unsigned)(p[0] - '0') * 10 + (unsigned)(p[1] - '0');
    return true;
}

bool index_day(struct str s, int64_t *day)
{
    unsigned century, year, month, mday;
    int64_t y, era, doe, doy;

    if (s.n < 10 || s.p[4] != '-' || s.p[7] != '-' || !two(s.p, &century) || !two(s.p + 2, &year) ||
        !two(s.p + 5, &month) || !two(s.p + 8, &mday))
        return false;
    if (month < 1 || month > 12 || mday < 1 || mday > 31)
        return false;
    /* Days from the civil date, years beginning in March. */
    y = (int64_t)(century * 100 + year) - (month <= 2);
    era = y / 400;
    doy = (153 * (int64_t)(month > 2 ? month - 3 : month + 9) + 2) / 5 + mday - 1;
    doe = (y - era * 400) * 365 + (y - era * 400) / 4 - (y - era * 400) / 100 + doy;
    *day = era * 146097 + doe - 719468;
    return true;
}

size_t index_cjk(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    uint32_t c;

    if (s.n >= 3 && p[0] >= 0xe3 && p[0] <= 0xef) {
        c = (uint32_t)(p[0] & 15) << 12 | (uint32_t)(p[1] & 63) << 6 | (p[2] & 63);
        /* Kana, Han, compatibility Han. */
        if ((c >= 0x3041 && c <= 0x30ff) || (c >= 0x3400 && c <= 0x9fff) || (c >= 0xf900 && c <= 0xfaff))
            return 3;
    }
    if (s.n >= 4 && p[0] == 0xf0 && p[1] >= 0xa0 && p[1] <= 0xb2)
        return 4;
    return 0;
}

int index_fold(struct buf *out, struct str s)
{
    size_t i = 0, n;

    buf_clear(out);
    while (i < s.n) {
        n = (unsigned char)s.p[i] < 0x80 ? 0 : index_cjk(str_skip(s, i));
        if (n == 0) {
            n = 1;
            while (i + n < s.n && (unsigned char)s.p[i + n] < 0xe3)
                n++;
            (void)buf_put(out, s.p + i, n);
        } else {
            (void)buf_putc(out, ' ');
            (void)buf_put(out, s.p + i, n);
            (void)buf_putc(out, ' ');
        }
        i += n;
    }
    return out->rc;
}
