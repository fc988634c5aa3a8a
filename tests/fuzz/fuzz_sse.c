/* SPDX-License-Identifier: MIT */
/* Server-sent events: the same in any pieces. */
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

/* A CR with its LF is one line end: the same without the LF. */
static uint64_t bare(struct str in, int *rc)
{
    char *text = malloc(in.n + 1);
    uint64_t hash = 0;
    size_t n = 0;

    FUZZ_MUST(text != NULL);
    for (size_t i = 0; i < in.n; i++)
        if (!(in.p[i] == '\n' && i > 0 && in.p[i - 1] == '\r'))
            text[n++] = in.p[i];
    hash = run(str_make(text, n), n + 1, rc);
    free(text);
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
        FUZZ_MUST(whole == bare(fuzz_rest(&f), &rc_parts) && rc_parts == 0);
    return 0;
}
