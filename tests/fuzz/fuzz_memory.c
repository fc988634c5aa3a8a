/* SPDX-License-Identifier: MIT */
/* Memory files: Markdown in blocks, sections of ours among anything, text for the search engine. */
/* covers: memory/index_text.c */
#include "memory/index_int.h"
#include "plugin/base/err.h"
#include "tests/fuzz/fuzz.h"

struct walk {
    struct str text;
    unsigned line;
};

static int on_block(void *arg, const struct index_block *b)
{
    struct walk *w = arg;

    FUZZ_MUST(b->lines > 0 || b->text.n == 0 || b->from > 0);
    FUZZ_MUST(b->from >= w->line);
    FUZZ_MUST(b->call.n == 0 || index_id_valid(b->call));
    w->line = b->from;
    return 0;
}

static void spans(struct str text)
{
    struct index_span s;
    size_t at = 0, before = 0;

    while (index_span_next(text, &at, &s)) {
        FUZZ_MUST(at > before && at <= text.n && s.at >= before && s.at + s.n <= text.n && s.summed <= s.n);
        FUZZ_MUST(index_id_valid(s.call) && s.call.n <= 64 && fuzz_inside(s.call, text));
        FUZZ_MUST(!s.whole || index_mark_stands(text, s.call));
        before = at;
    }
}

/* Whatever is said in a call, its section is one section, whole, with its own mark alone. */
static void section(struct fuzz f)
{
    struct index_section s = {.path = STR("memory/2026-11-23.md"), .call = STR("call_01abc")};
    struct index_span found;
    struct buf out;
    size_t at = 0;

    s.heading = fuzz_text(&f, 60);
    s.body = fuzz_rest(&f);
    buf_init(&out, 1u << 22);
    if (index_section_write(&out, &s, false) == 0) {
        FUZZ_MUST(index_span_next(buf_str(&out), &at, &found) && found.whole && str_eq(found.call, s.call));
        FUZZ_MUST(found.at + found.n == out.n && found.at < 4);
        FUZZ_MUST(!index_span_next(buf_str(&out), &at, &found));
        FUZZ_MUST(str_utf8_valid(buf_str(&out)));
    }
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz f = {data, size};
    size_t want = 16 + fuzz_u8(&f) * 8u;
    struct str text = fuzz_rest(&f);
    struct walk w = {text, 0};
    struct buf out;
    int64_t day;

    (void)index_split(text, want, want & 8, on_block, &w);
    spans(text);
    section(f);
    (void)index_day(text, &day);
    (void)index_path_is_memory(text);
    (void)index_path_is_writable(text);
    buf_init(&out, 1u << 22);
    if (index_fold(&out, text) == 0)
        FUZZ_MUST(!str_utf8_valid(text) || str_utf8_valid(buf_str(&out)));
    buf_free(&out);
    return 0;
}
