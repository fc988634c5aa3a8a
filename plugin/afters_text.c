/* SPDX-License-Identifier: MIT */
#include "plugin/afters_text.h"

#include "plugin/base/json.h"

#include <stdio.h>
#include <time.h>

void afters_extract(struct buf *out, const struct json *turns)
{
    struct str first = STR(""), last = STR("");

    for (const struct json *t = json_first(turns); t != NULL; t = json_next(t)) {
        struct str text = json_get_str(t, "text");

        if (text.n == 0)
            continue;
        if (first.n == 0 && str_eqc(json_get_str(t, "who"), "caller"))
            first = text;
        if (str_eqc(json_get_str(t, "who"), "assistant"))
            last = text;
    }
    (void)buf_puts(out, STR("(No summary could be made; an extract.) "));
    if (first.n > 0)
        (void)buf_printf(out, "The caller began with: \"%.*s\" ", STR_ARG(str_head(first, str_utf8_floor(first, 300))));
    if (last.n > 0)
        (void)buf_printf(out, "The last thing said to them: \"%.*s\"",
                         STR_ARG(str_head(last, str_utf8_floor(last, 300))));
}

void afters_words(struct buf *out, const struct json *turns)
{
    for (const struct json *t = json_first(turns); t != NULL; t = json_next(t))
        (void)buf_printf(out, "%s: %.*s\n", str_eqc(json_get_str(t, "who"), "caller") ? "Caller" : "Assistant",
                         STR_ARG(json_get_str(t, "text")));
}

void afters_turns(struct buf *b, const struct json *turns, struct str call)
{
    jw_key(b, "turns");
    jw_open(b, '[');
    for (const struct json *t = json_first(turns); t != NULL; t = json_next(t)) {
        char entry[400];

        if (json_get_str(t, "text").n == 0)
            continue;
        (void)snprintf(entry, sizeof entry, "%.*s:%.*s", STR_ARG(call),
                       STR_ARG(str_head(json_get_str(t, "item_id"), 300)));
        jw_open(b, '{');
        jw_kstrc(b, "entry_id", entry);
        jw_kstr(b, "who", json_get_str(t, "who"));
        jw_kstr(b, "text", json_get_str(t, "text"));
        jw_kint(b, "at", json_get_int(t, "at", 0));
        jw_close(b, '}');
    }
    jw_close(b, ']');
}

void afters_day(uint64_t wall_ms, char *out, size_t cap)
{
    time_t secs = (time_t)(wall_ms / 1000);
    struct tm tm;

    if (localtime_r(&secs, &tm) == NULL || strftime(out, cap, "%Y-%m-%d", &tm) == 0)
        out[0] = '\0';
}

void afters_unfence(struct buf *b, struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        (void)buf_putc(b, text.p[i]);
        if (text.p[i] == '>' && i + 1 < text.n && text.p[i + 1] == '>')
            (void)buf_putc(b, ' ');
    }
}

void afters_quote(struct buf *b, struct str text)
{
    /* Words of a caller are a quotation for whoever reads the file, not instructions. */
    while (text.n > 0) {
        size_t n = str_find(text, '\n');

        (void)buf_printf(b, "> %.*s\n", STR_ARG(str_head(text, n)));
        text = str_skip(text, n + 1);
    }
}
