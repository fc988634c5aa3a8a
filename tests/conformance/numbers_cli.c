/* SPDX-License-Identifier: MIT */
/*
 * sessions/number.c and plugin/base/zone.c for tests in other languages. Each line of standard input is one of
 *     {"numbers":["+491512..",..]}              -> {"kinds":[0,..]}
 *     {"number":"+49.."}                        -> {"zones":["Europe/Berlin",..]}
 *     {"zone":"Europe/Berlin","at":[0,..]}      -> {"offsets":[3600,..]}, or {"error":".."}
 */
#include "plugin/base/json.h"
#include "plugin/base/zone.h"
#include "sessions/number.h"

#include <stdio.h>

#define INPUT_MAX (256u << 20)

static void kinds(const struct json *list, struct buf *out)
{
    jw_key(out, "kinds");
    jw_open(out, '[');
    for (const struct json *i = json_first(list); i; i = json_next(i))
        jw_int(out, number_kind_of(json_str(i)));
    jw_close(out, ']');
}

static void zones(struct str number, struct buf *out)
{
    const char *names[NUMBER_ZONES_MAX];
    unsigned n = number_zones(number, names, NUMBER_ZONES_MAX);

    jw_key(out, "zones");
    jw_open(out, '[');
    for (unsigned i = 0; i < n; i++)
        jw_str(out, str_of(names[i]));
    jw_close(out, ']');
}

static void offsets(const struct json *q, struct buf *out)
{
    struct zone *zone = NULL;
    struct err e = {0};
    char name[128];

    if (!str_copy(name, sizeof name, json_get_str(q, "zone")) || zone_open(&zone, name, &e) < 0) {
        jw_kstr(out, "error", str_of(e.text));
        return;
    }
    jw_key(out, "offsets");
    jw_open(out, '[');
    for (const struct json *i = json_first(json_get(q, "at")); i; i = json_next(i))
        jw_int(out, zone_offset_s(zone, json_int(i, 0)));
    jw_close(out, ']');
    zone_free(zone);
}

static int line_answer(struct str line, struct buf *out)
{
    struct json *q = NULL;
    struct err e = {0};

    if (json_parse(&q, line, &e) < 0) {
        fprintf(stderr, "a line is not understood: %s\n", e.text);
        return -1;
    }
    jw_open(out, '{');
    if (json_get(q, "numbers"))
        kinds(json_get(q, "numbers"), out);
    else if (json_get(q, "number"))
        zones(json_get_str(q, "number"), out);
    else
        offsets(q, out);
    jw_close(out, '}');
    (void)buf_putc(out, '\n');
    json_free(q);
    return 0;
}

int main(void)
{
    struct buf in, out;
    struct str rest, line;
    size_t n;
    int bad = 0;

    buf_init(&in, INPUT_MAX);
    buf_init(&out, INPUT_MAX);
    while (buf_reserve(&in, 1 << 16) == 0 && (n = fread(in.p + in.n, 1, 1 << 16, stdin)) > 0)
        in.n += n;
    rest = buf_str(&in);
    while (!bad && str_split(&rest, '\n', &line))
        if (line.n > 0)
            bad = line_answer(line, &out) < 0;
    if (out.n > 0)
        fwrite(out.p, 1, out.n, stdout);
    bad = bad || in.rc || out.rc;
    buf_free(&in);
    buf_free(&out);
    return bad ? 2 : 0;
}
