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

/* One character of text, with what stands for it: how many bytes were used. */
static size_t character(struct str s, struct buf *text)
{
    static const struct {
        const char *entity;
        char c;
    } known[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&#xD;", '\r'}, {"&#xA;", '\n'}, {"&#x9;", '\t'}};

    for (size_t i = 0; s.p[0] == '&' && i < sizeof known / sizeof known[0]; i++)
        if (str_starts(s, str_of(known[i].entity))) {
            (void)buf_putc(text, known[i].c);
            return strlen(known[i].entity);
        }
    FUZZ_MUST(s.p[0] != '&');
    (void)buf_putc(text, s.p[0]);
    return 1;
}

/* What is said and what rooms are called, in turn: all the text that stands between tags. */
static void judge_text(struct str x, const struct carrier_step *step, unsigned n)
{
    struct buf got, want;

    buf_init(&got, 1u << 20);
    buf_init(&want, 1u << 20);
    while (x.n > 0)
        x = str_skip(x, x.p[0] == '<' ? tag_end(x) + 1 : character(x, &got));
    for (unsigned i = 0; i < n; i++) {
        if (step[i].kind == STEP_JOIN)
            (void)buf_puts(&want, step[i].ref);
        if (step[i].kind == STEP_SAY || step[i].kind == STEP_GATHER)
            (void)buf_puts(&want, step[i].text);
    }
    FUZZ_MUST(fuzz_starved || str_eq(buf_str(&got), buf_str(&want)));
    buf_free(&got);
    buf_free(&want);
}

static bool digits(struct str s)
{
    bool ok = s.n >= 1 && s.n <= 128;

    for (size_t i = 0; ok && i < s.n; i++)
        ok = (s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '*' || s.p[i] == '#' || s.p[i] == 'w' || s.p[i] == 'W';
    return ok;
}

/* Steps that no document can hold. */
static bool impossible(const struct carrier_step *step, unsigned n)
{
    bool bad = false;

    for (unsigned i = 0; i < n; i++) {
        bad |= step[i].kind == STEP_JOIN && step[i].ref.n == 0;
        bad |= step[i].kind == STEP_REJECT && i > 0;
        bad |= step[i].kind == STEP_DIGITS && !digits(step[i].text);
        bad |= step[i].kind == STEP_SAY && !str_utf8_valid(step[i].text);
    }
    return bad;
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

static size_t points(struct str s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.p[i] & 0xc0u) != 0x80u;
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
    FUZZ_MUST(rc != 0 || !impossible(step, n));
    if (rc == 0) {
        FUZZ_MUST(elements(buf_str(&out)) >= 1 && elements(buf_str(&out)) <= 1 + 3 * n);
        judge_text(buf_str(&out), step, n);
    }
    buf_clear(&out);
    if (twiml_render_inline(STR("https://voice.example.org/v"), step, n, &out) == 0)
        FUZZ_MUST(points(buf_str(&out)) <= TWIML_INLINE_CHARS);
    else
        FUZZ_MUST(rc != 0 || fuzz_starved || points(buf_str(&out)) > TWIML_INLINE_CHARS);
    if (n > 0) {
        struct twiml_link l = {"status", step[0].ref, step[0].label, step[0].token, step[0].n};

        FUZZ_MUST(twiml_digits_ok(step[0].text) == digits(step[0].text));
        twiml_link_put(&link, STR("https://voice.example.org"), &l);
        FUZZ_MUST(str_find(buf_str(&link), '"') == link.n && str_find(buf_str(&link), '<') == link.n);
    }
    buf_free(&out);
    buf_free(&link);
    return 0;
}
