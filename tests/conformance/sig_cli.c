/* SPDX-License-Identifier: MIT */
/*
 * The webhook verifier for tests in other languages: each line of standard input is
 *     {"headers":{"webhook-id":..,"webhook-timestamp":..,"webhook-signature":..}, "body_hex":"..",
 *      "secrets":[..], "now":seconds}
 * and is answered by {"result":"good"|"missing"|"stale"|"bad"|"keys","why":".."}; "keys": the
 * secrets cannot be secrets.
 */
#include "plugin/base/json.h"
#include "plugin/proto/sig.h"

#include <stdio.h>

#define INPUT_MAX (16u << 20)

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool unhex(struct buf *out, struct str s)
{
    buf_clear(out);
    for (size_t i = 0; i + 1 < s.n; i += 2) {
        int hi = hex_digit(s.p[i]), lo = hex_digit(s.p[i + 1]);

        if (hi < 0 || lo < 0)
            return false;
        (void)buf_putc(out, (char)(hi << 4 | lo));
    }
    return s.n % 2 == 0 && out->rc == 0;
}

static const char *verify(const struct json *q, struct str body, struct err *e)
{
    static const char *const names[] = {"good", "missing", "stale", "bad"};
    const struct json *headers = json_get(q, "headers");
    struct str secrets[SIG_SECRETS_MAX];
    struct sig_keys *keys = NULL;
    enum sig_result result;
    unsigned n = 0;

    for (const struct json *s = json_first(json_get(q, "secrets")); s != NULL; s = json_next(s))
        if (n < SIG_SECRETS_MAX)
            secrets[n++] = json_str(s);
    if (sig_keys_open(&keys, secrets, n, e) < 0)
        return "keys";
    result = sig_verify(keys, json_get_str(headers, "webhook-id"),
                        json_get_str(headers, "webhook-timestamp"),
                        json_get_str(headers, "webhook-signature"), body,
                        (uint64_t)json_get_int(q, "now", 0), e);
    sig_keys_free(keys);
    return names[result];
}

static bool answer(struct str line, struct buf *body, struct buf *out)
{
    struct json *q = NULL;
    struct err e = {0};

    if (json_parse(&q, line, &e) < 0 || !unhex(body, json_get_str(q, "body_hex"))) {
        (void)fprintf(stderr, "sig_cli: %s\n", e.text);
        json_free(q);
        return false;
    }
    jw_open(out, '{');
    jw_kstrc(out, "result", verify(q, buf_str(body), &e));
    jw_kstrc(out, "why", e.text);
    jw_close(out, '}');
    (void)buf_putc(out, '\n');
    json_free(q);
    return out->rc == 0;
}

int main(void)
{
    struct buf in, out, body;
    struct str rest, line;
    char chunk[4096];
    size_t n;
    bool good = true;

    buf_init(&in, INPUT_MAX);
    buf_init(&out, INPUT_MAX);
    buf_init(&body, INPUT_MAX);
    while ((n = fread(chunk, 1, sizeof chunk, stdin)) > 0)
        (void)buf_put(&in, chunk, n);
    rest = buf_str(&in);
    while (good && str_split(&rest, '\n', &line))
        good = line.n == 0 || answer(line, &body, &out);
    good = good && in.rc == 0 && fwrite(out.p, 1, out.n, stdout) == out.n;
    buf_free(&in);
    buf_free(&out);
    buf_free(&body);
    return good ? 0 : 1;
}
