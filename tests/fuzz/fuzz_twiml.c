/* SPDX-License-Identifier: MIT */
/* Steps with any text in them as a TwiML document: well formed, and no text becomes markup. */
/* covers: plugin/carrier/twiml.c */
#include "plugin/carrier/twiml.h"
#include "tests/fuzz/fuzz.h"

/* Where the tag ends that begins here: the first '>' outside of quotes. */
static size_t tag_end(struct str s)
{
    bool quoted = false;
    size_t at = 0;

    for (; at < s.n && (quoted || s.p[at] != '>'); at++)
        quoted ^= s.p[at] == '"';
    return at;
}

/* Elements of a document: tags are balanced, attributes quoted, and no character stands that XML forbids. */
static unsigned elements(struct str x)
{
    struct str open[16];
    unsigned depth = 0, n = 0;

    for (size_t at = 0; at < x.n; at++) {
        unsigned char c = (unsigned char)x.p[at];
        struct str rest = str_skip(x, at), tag;
        size_t end;

        FUZZ_MUST(c >= 0x20 || c == '\n' || c == '\t' || c == '\r');
        if (c == '&') {
            end = str_find(rest, ';');
            FUZZ_MUST(end > 1 && end < 8);
        }
        if (c != '<')
            continue;
        end = tag_end(rest);
        FUZZ_MUST(end < rest.n);
        tag = str_make(rest.p + 1, end - 1);
        at += end;
        if (str_starts(tag, STR("?")))
            continue;
        FUZZ_MUST(tag.n > 0 && str_find(tag, '<') == tag.n);
        if (tag.p[0] == '/') {
            struct str name = depth > 0 ? open[depth - 1] : STR_NONE;

            FUZZ_MUST(depth > 0 && str_eq(name, str_skip(tag, 1)));
            depth--;
            continue;
        }
        n++;
        if (tag.p[tag.n - 1] != '/') {
            FUZZ_MUST(depth < 16);
            open[depth++] = str_head(tag, str_find(tag, ' '));
        }
    }
    FUZZ_MUST(depth == 0);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct carrier_step step[6];
    struct fuzz f = {data, size};
    struct buf out, link;
    unsigned n = 0;
    int rc;

    memset(step, 0, sizeof step);
    for (; n < 6 && f.n > 0; n++) {
        unsigned how = fuzz_u8(&f);

        step[n].kind = (enum carrier_step_kind)(how % (STEP_HANG_UP + 1u));
        step[n].ends_room = how & 64;
        step[n].busy = how & 128;
        step[n].n = fuzz_u8(&f);
        step[n].seconds = fuzz_u8(&f) * 40u;
        step[n].text = fuzz_text(&f, 255);
        step[n].ref = fuzz_text(&f, 40);
        step[n].label = fuzz_text(&f, 40);
        step[n].token = fuzz_text(&f, 40);
    }
    buf_init(&out, TWIML_BYTES_MAX);
    buf_init(&link, 4096);
    rc = twiml_render(STR("https://voice.example.org/v"), step, n, &out);
    if (rc == 0)
        FUZZ_MUST(elements(buf_str(&out)) >= 1 && elements(buf_str(&out)) <= 1 + 3 * n);
    buf_clear(&out);
    if (twiml_render_inline(STR("https://voice.example.org/v"), step, n, &out) == 0)
        FUZZ_MUST(out.n <= 4 * TWIML_INLINE_CHARS);
    if (n > 0) {
        struct twiml_link l = {"status", step[0].ref, step[0].label, step[0].token, step[0].n};

        (void)twiml_digits_ok(step[0].text);
        twiml_link_put(&link, STR("https://voice.example.org"), &l);
        FUZZ_MUST(str_find(buf_str(&link), '"') == link.n && str_find(buf_str(&link), '<') == link.n);
    }
    buf_free(&out);
    buf_free(&link);
    return 0;
}
