/* SPDX-License-Identifier: MIT */
/*
 * memory/tokens.c for tests in other languages: tokens_cli TABLE. Each line of standard input is one of
 *     {"hex":".."}                               -> {"n":12}   of the text with these bytes
 *     {.., "fit":10}                             -> {"n":12,"fit":34}
 *     {.., "times":100}                          -> {"n":12,"us":0.7}   the best of that many
 */
#include "memory/tokens.h"
#include "plugin/base/json.h"

#include <stdio.h>
#include <time.h>

#define INPUT_MAX (256u << 20)

static double now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static int nibble(char c)
{
    return c >= 'a' ? c - 'a' + 10 : c - '0';
}

static int text_of(const struct json *q, struct buf *text)
{
    struct str hex = json_get_str(q, "hex");

    buf_clear(text);
    for (size_t i = 0; i + 1 < hex.n; i += 2)
        buf_putc(text, (char)(nibble(hex.p[i]) << 4 | nibble(hex.p[i + 1])));
    return text->rc;
}

static void answer(const struct tokens *t, const struct json *q, struct str text, struct buf *out)
{
    int64_t times = json_get_int(q, "times", 0), fit = json_get_int(q, "fit", -1);
    double best = 1e18;

    jw_open(out, '{');
    jw_kint(out, "n", (int64_t)tokens_count(t, text));
    if (fit >= 0)
        jw_kint(out, "fit", (int64_t)tokens_fit(t, text, (size_t)fit));
    for (int64_t i = 0; i < times; i++) {
        double begun = now_us(), took;

        (void)tokens_count(t, text);
        took = now_us() - begun;
        best = took < best ? took : best;
    }
    if (times > 0) {
        jw_key(out, "us");
        jw_num(out, best);
    }
    jw_close(out, '}');
    buf_putc(out, '\n');
}

int main(int argc, char **argv)
{
    struct buf in, out, text;
    struct tokens *t = NULL;
    struct err e = {0};
    struct str rest, line;
    size_t n;

    if (argc != 2 || tokens_open(&t, argv[1], &e) < 0) {
        fprintf(stderr, "tokens_cli TABLE: %s\n", e.text);
        return 2;
    }
    buf_init(&in, INPUT_MAX);
    buf_init(&out, INPUT_MAX);
    buf_init(&text, INPUT_MAX);
    while (buf_reserve(&in, 1 << 16) == 0 && (n = fread(in.p + in.n, 1, 1 << 16, stdin)) > 0)
        in.n += n;
    rest = buf_str(&in);
    while (str_split(&rest, '\n', &line)) {
        struct json *q = NULL;

        if (line.n == 0)
            continue;
        if (json_parse(&q, line, &e) < 0 || text_of(q, &text) < 0) {
            fprintf(stderr, "a line is not understood: %s\n", e.text);
            return 2;
        }
        answer(t, q, buf_str(&text), &out);
        json_free(q);
    }
    if (out.n > 0)
        fwrite(out.p, 1, out.n, stdout);
    buf_free(&in);
    buf_free(&out);
    buf_free(&text);
    tokens_close(t);
    return in.rc || out.rc ? 2 : 0;
}
