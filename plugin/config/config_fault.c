/* SPDX-License-Identifier: MIT */
#include "plugin/base/mem.h"
#include "plugin/config/config_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LINES_MAX 200u
#define LINE_BYTES 1200u
#define SHOWN_BYTES 60u
#define WORD_BYTES_MAX 96u

int config_reader_rc(const struct config_reader *r)
{
    /* Both kinds of failure of an arena mean that there is no room to go on. */
    return r->mem.rc < 0 || r->scratch.rc < 0 ? ERR_NOMEM : 0;
}

static const char *origin_name(const struct config_reader *r, enum config_origin origin)
{
    switch (origin) {
    case CONFIG_FROM_SECTION: return r->section_name;
    case CONFIG_FROM_FILE: return r->file;
    case CONFIG_FROM_DOTENV: return config_env_file(r);
    case CONFIG_FROM_ENV: return "environment";
    case CONFIG_FROM_DEFAULT:
    case CONFIG_FROM_NOWHERE: break;
    }
    return "configuration";
}

__attribute__((format(printf, 5, 0))) static void
line_add(struct config_reader *r, struct config_lines *lines, struct config_line where,
         struct str key, const char *fmt, va_list ap)
{
    char text[LINE_BYTES];
    char number[16] = "";
    size_t n;
    struct config_line *line;

    if (lines->n++ >= LINES_MAX)
        return;
    if (where.line > 0)
        (void)snprintf(number, sizeof number, ":%u", where.line);
    (void)snprintf(text, sizeof text, "%s%s: %.*s%s", origin_name(r, where.origin), number,
                   STR_ARG(str_head(key, 300)), key.n > 0 ? ": " : "");
    n = strlen(text);
    (void)vsnprintf(text + n, sizeof text - n, fmt, ap);
    /* A path or a key may hold anything; a line must stay one line. */
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    line = arena_alloc(&r->scratch, sizeof *line);
    if (line == NULL)
        return;
    *line = where;
    line->seq = lines->n;
    line->text = arena_text(&r->scratch, str_head(str_of(text), str_utf8_floor(str_of(text), LINE_BYTES)));
    line->next = lines->first;
    lines->first = line;
}

void config_fault(struct config_reader *r, enum config_origin origin, unsigned line, struct str key,
                  const char *fmt, ...)
{
    struct config_line where = {.origin = origin, .line = line};
    va_list ap;

    va_start(ap, fmt);
    line_add(r, &r->faults, where, key, fmt, ap);
    va_end(ap);
}

void config_warning(struct config_reader *r, enum config_origin origin, unsigned line,
                    struct str key, const char *fmt, ...)
{
    struct config_line where = {.origin = origin, .line = line};
    va_list ap;

    va_start(ap, fmt);
    line_add(r, &r->warnings, where, key, fmt, ap);
    va_end(ap);
}

static bool comes_before(const struct config_line *a, const struct config_line *b)
{
    if (a->origin != b->origin)
        return a->origin < b->origin;
    if (a->line != b->line)
        return a->line < b->line;
    return a->seq < b->seq;
}

/* Insertion: there are at most LINES_MAX. */
static struct config_line *sorted(struct config_line *list)
{
    struct config_line *out = NULL;

    while (list) {
        struct config_line *line = list, **at = &out;

        list = list->next;
        while (*at && comes_before(*at, line))
            at = &(*at)->next;
        line->next = *at;
        *at = line;
    }
    return out;
}

int config_lines_write(struct config_reader *r, struct config_lines *lines, struct buf *out)
{
    lines->first = sorted(lines->first);
    for (const struct config_line *l = lines->first; l; l = l->next) {
        size_t n = strlen(l->text);

        /* A reader with little room gets the first lines, each whole. */
        if (out->n + n + 1 > out->max_bytes)
            return config_reader_rc(r);
        (void)buf_put(out, l->text, n);
        (void)buf_putc(out, '\n');
    }
    if (lines->n > LINES_MAX && out->max_bytes - out->n > 80)
        (void)buf_printf(out, "configuration: and %u more\n", lines->n - LINES_MAX);
    return out->rc == ERR_NOMEM ? ERR_NOMEM : config_reader_rc(r);
}

const char *config_shown(struct config_reader *r, struct str s)
{
    char text[SHOWN_BYTES + 8];
    size_t n = str_utf8_floor(s, SHOWN_BYTES);

    if (!str_utf8_valid(s))
        return "bytes that are not UTF-8";
    (void)snprintf(text, sizeof text, "\"%.*s\"%s", (int)n, s.p ? s.p : "", n < s.n ? "..." : "");
    return arena_text(&r->scratch, str_of(text));
}

/* Optimal string alignment distance: insertions, deletions, replacements, neighbours swapped. */
static unsigned distance(struct str a, struct str b)
{
    unsigned rows[3][WORD_BYTES_MAX + 1];
    unsigned *before = rows[0], *last = rows[1], *now = rows[2];

    for (size_t j = 0; j <= b.n; j++)
        last[j] = (unsigned)j;
    for (size_t i = 1; i <= a.n; i++) {
        unsigned *spare = before;

        now[0] = (unsigned)i;
        for (size_t j = 1; j <= b.n; j++) {
            unsigned same = a.p[i - 1] == b.p[j - 1] ? 0 : 1;
            unsigned best = last[j - 1] + same;

            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1] &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
        before = last;
        last = now;
        now = spare;
    }
    return last[b.n];
}

const char *config_nearest(struct str word, const char *const *candidates, unsigned n)
{
    const char *best = NULL;
    unsigned best_at = 4; /* more than three slips are another word */

    if (word.n == 0 || word.n > WORD_BYTES_MAX)
        return NULL;
    for (unsigned i = 0; i < n; i++) {
        struct str c = str_of(candidates[i]);
        unsigned d;

        if (c.n == 0 || c.n > WORD_BYTES_MAX)
            continue;
        d = distance(word, c);
        if (d < best_at && d * 3 <= c.n) {
            best = candidates[i];
            best_at = d;
        }
    }
    return best;
}
