/* SPDX-License-Identifier: MIT */
/* Server-sent events: the same in any pieces, and what a reader of the whole text makes of it. */
/* covers: plugin/proto/sse.c */
#include "plugin/proto/sse.h"
#include "tests/fuzz/fuzz.h"

static void on_event(void *arg, struct str data)
{
    uint64_t *hash = arg;

    FUZZ_MUST(data.n <= 512);
    *hash = fuzz_hash(*hash, data);
}

static uint64_t run(struct str in, size_t piece, int *rc)
{
    struct sse s;
    uint64_t hash = 0;

    *rc = 0;
    sse_init(&s, 512);
    for (size_t at = 0; at < in.n && *rc == 0; at += piece)
        *rc = sse_feed(&s, str_make(in.p + at, piece < in.n - at ? piece : in.n - at), on_event, &hash);
    sse_free(&s);
    return hash;
}

/* What the bytes mean by the standard, read as lines of a whole text: every line end is made an LF first. */
static uint64_t plainly(struct str in)
{
    char *text = malloc(in.n + 1), *data = malloc(in.n + 1);
    struct str rest, line;
    uint64_t hash = 0;
    size_t n = 0, have = 0;
    bool any = false;

    FUZZ_MUST(text != NULL && data != NULL);
    for (size_t i = 0; i < in.n; i++)
        if (!(in.p[i] == '\n' && i > 0 && in.p[i - 1] == '\r'))
            text[n++] = in.p[i] == '\r' ? '\n' : in.p[i];
    rest = str_make(text, n);
    while (str_find(rest, '\n') < rest.n) {
        size_t colon;

        line = str_head(rest, str_find(rest, '\n'));
        rest = str_skip(rest, line.n + 1);
        colon = str_find(line, ':');
        if (line.n == 0) {
            if (any)
                on_event(&hash, str_make(data, have));
            any = false;
            have = 0;
        } else if (str_eqc(str_head(line, colon), "data")) {
            line = str_skip(line, colon + 1);
            line = str_skip(line, str_starts(line, STR(" ")) ? 1 : 0);
            if (any)
                data[have++] = '\n';
            if (line.n > 0)
                memcpy(data + have, line.p, line.n);
            have += line.n;
            any = true;
        }
    }
    free(text);
    free(data);
    return hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz f = {data, size};
    size_t piece = 1 + fuzz_u8(&f) % 64;
    int rc_whole, rc_parts;
    uint64_t whole = run(fuzz_rest(&f), f.n + 1, &rc_whole), parts = run(fuzz_rest(&f), piece, &rc_parts);

    FUZZ_MUST(fuzz_starved || (rc_whole == rc_parts && whole == parts));
    if (!fuzz_starved && rc_whole == 0)
        FUZZ_MUST(whole == plainly(fuzz_rest(&f)));
    return 0;
}
