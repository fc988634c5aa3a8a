/* SPDX-License-Identifier: MIT */
/* Forms and URLs: what is read is what a second reader has, can be written, and reads back as the same. */
/* covers: plugin/proto/form.c plugin/proto/url.c */
#include "plugin/base/mem.h"
#include "plugin/proto/form.h"
#include "plugin/proto/url.h"
#include "tests/fuzz/fuzz.h"

#define HEX "0123456789abcdefABCDEF"

/* One name or value, decoded by sscanf; SIZE_MAX when it is none. */
static size_t decoded(struct str raw, bool form, char *out)
{
    size_t n = 0;

    for (size_t i = 0; i < raw.n; i++, n++) {
        char pair[3] = "";
        unsigned v = (unsigned char)raw.p[i];

        if (v == '%') {
            if (i + 2 >= raw.n || !strchr(HEX, raw.p[i + 1]) || !strchr(HEX, raw.p[i + 2]))
                return SIZE_MAX;
            memcpy(pair, raw.p + i + 1, 2);
            if (strlen(pair) != 2)
                return SIZE_MAX;
            v = (unsigned)strtoul(pair, NULL, 16);
            i += 2;
        }
        if (v == 0)
            return SIZE_MAX;
        out[n] = (char)(raw.p[i] == '+' && v == '+' && form ? ' ' : (int)v);
    }
    return n;
}

/* The form as a second reader has it: whether it is one, and the same fields. */
static void judge(const struct form *f, int rc, struct str in)
{
    char *text = malloc(in.n + 1);
    struct str part;
    unsigned n = 0;
    bool good = true;

    FUZZ_MUST(text != NULL);
    while (str_split(&in, '&', &part)) {
        size_t equals = str_find(part, '='), name, value;

        if (part.n == 0)
            continue;
        name = decoded(str_head(part, equals), true, text);
        good &= name != SIZE_MAX;
        if (good && rc == 0)
            FUZZ_MUST(n < f->n && str_eq(f->fields[n].name, str_make(text, name)));
        value = decoded(str_skip(part, equals + 1), true, text);
        good &= value != SIZE_MAX;
        if (good && rc == 0)
            FUZZ_MUST(str_eq(f->fields[n].value, str_make(text, value)));
        n++;
    }
    free(text);
    FUZZ_MUST(rc != 0 || (good && f->n == n));
    FUZZ_MUST(rc != ERR_INVALID || !good);
    FUZZ_MUST(rc != ERR_TOO_BIG || n > FORM_FIELDS_MAX || fuzz_starved);
}

static void forms(struct str in)
{
    struct form f, again;
    struct buf out;
    int rc;

    memset(&f, 0, sizeof f);
    memset(&again, 0, sizeof again);
    buf_init(&out, 1u << 20);
    rc = form_read(&f, in);
    judge(&f, rc, in);
    if (rc == 0) {
        FUZZ_MUST(f.n <= FORM_FIELDS_MAX);
        for (unsigned i = 0; i < f.n; i++) {
            char *name = str_dup(f.fields[i].name);

            FUZZ_MUST(!str_has_nul(f.fields[i].name) && !str_has_nul(f.fields[i].value));
            if (name != NULL)
                form_put(&out, name, f.fields[i].value);
            FUZZ_MUST(name != NULL || fuzz_starved);
            mem_free(name);
        }
        if (out.rc == 0 && out.n <= FORM_BYTES_MAX && !fuzz_starved) {
            FUZZ_MUST(form_read(&again, buf_str(&out)) == 0 && again.n == f.n);
            for (unsigned i = 0; i < f.n; i++)
                FUZZ_MUST(str_eq(f.fields[i].name, again.fields[i].name) &&
                          str_eq(f.fields[i].value, again.fields[i].value));
        }
        (void)form_get(&f, "a");
    }
    form_free(&f);
    form_free(&again);
    buf_free(&out);
}

static void judge_unescape(struct str in, struct buf *back)
{
    char *text = malloc(in.n + 1);
    int rc = url_unescape(back, in, false);
    size_t n;

    FUZZ_MUST(text != NULL);
    n = decoded(in, false, text);
    FUZZ_MUST(fuzz_starved || (rc == 0) == (n != SIZE_MAX));
    FUZZ_MUST(rc != 0 || str_eq(buf_str(back), str_make(text, n)));
    free(text);
}

/* Put together again, the parts are the text. */
static void rebuilt(const struct url *u, struct str in)
{
    static const struct {
        const char *scheme;
        bool tls;
    } known[] = {{"http", false}, {"ws", false}, {"https", true}, {"wss", true}};
    struct str after = str_skip(in, u->scheme.n);
    unsigned port = 0, which = 0;

    while (which < 4 && !str_eqc(u->scheme, known[which].scheme))
        which++;
    FUZZ_MUST(which < 4 && u->tls == known[which].tls && str_starts(in, u->scheme) && str_starts(after, STR("://")));
    after = str_skip(after, u->is_ipv6 ? 4 : 3);
    FUZZ_MUST(!u->is_ipv6 || after.p[-1] == '[');
    FUZZ_MUST(str_starts(after, u->host) && after.p == u->host.p && u->host.n <= 253);
    after = str_skip(after, u->host.n);
    if (u->is_ipv6) {
        FUZZ_MUST(str_starts(after, STR("]")));
        after = str_skip(after, 1);
    }
    if (u->has_port) {
        FUZZ_MUST(str_starts(after, STR(":")));
        for (after = str_skip(after, 1); after.n > 0 && after.p[0] >= '0' && after.p[0] <= '9'; after = str_skip(after, 1))
            port = port * 10 + (unsigned)(after.p[0] - '0');
        FUZZ_MUST(port == u->port);
    } else {
        FUZZ_MUST(u->port == (u->tls ? 443 : 80));
    }
    FUZZ_MUST(str_starts(after, u->path) && (u->path.n == 0 || u->path.p[0] == '/'));
    after = str_skip(after, u->path.n);
    FUZZ_MUST(after.n == 0 ? u->query.n == 0 : after.p[0] == '?' && str_eq(str_skip(after, 1), u->query));
}

static void urls(struct str in)
{
    struct url u;
    struct buf out, back;
    struct err e = {0};

    if (url_read(&u, in, &e) == 0) {
        FUZZ_MUST(u.host.n > 0 && u.port > 0);
        FUZZ_MUST(fuzz_inside(u.host, in) && fuzz_inside(u.path, in) && fuzz_inside(u.query, in));
        FUZZ_MUST(!str_has_nul(in) && str_find(in, '\n') == in.n && str_find(in, '\r') == in.n);
        rebuilt(&u, in);
        (void)url_is_loopback(u.host);
    } else {
        FUZZ_MUST(e.text[0] != '\0');
    }
    buf_init(&out, 1u << 20);
    buf_init(&back, 1u << 20);
    if (url_escape(&out, in) == 0 && !str_has_nul(in) && url_unescape(&back, buf_str(&out), false) == 0)
        FUZZ_MUST(str_eq(in, buf_str(&back)));
    else
        FUZZ_MUST(fuzz_starved || str_has_nul(in) || in.n > 300000);
    buf_clear(&back);
    judge_unescape(in, &back);
    buf_free(&out);
    buf_free(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    forms(str_make((const char *)data, size));
    urls(str_make((const char *)data, size));
    return 0;
}
