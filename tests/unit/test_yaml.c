/* SPDX-License-Identifier: MIT */
#include "plugin/base/buf.h"
#include "plugin/base/err.h"
#include "plugin/base/mem.h"
#include "plugin/config/yaml.h"
#include "tests/unit/t.h"

/* Reads text and writes down what came of it: the tree on one line, the faults on lines of their own. */
struct seen {
    struct arena mem;
    struct yaml_node *root;
    struct buf faults, tree;
    int rc;
};

static void on_fault(void *ctx, unsigned line, struct str path, const char *text)
{
    struct seen *s = ctx;

    (void)buf_printf(&s->faults, "%u:%.*s:%s\n", line, STR_ARG(path), text);
}

static void show(struct buf *b, const struct yaml_node *n)
{
    if (n == NULL) {
        (void)buf_puts(b, STR("-"));
        return;
    }
    if (n->kind == YAML_IS_NULL)
        (void)buf_puts(b, STR("null"));
    if (n->kind == YAML_IS_TEXT)
        (void)buf_printf(b, n->quoted ? "'%.*s'" : "%.*s", STR_ARG(n->text));
    if (n->kind != YAML_IS_LIST && n->kind != YAML_IS_MAP)
        return;
    (void)buf_putc(b, n->kind == YAML_IS_LIST ? '[' : '{');
    for (const struct yaml_node *c = n->first; c; c = c->next) {
        if (n->kind == YAML_IS_MAP)
            (void)buf_printf(b, "%.*s@%u=", STR_ARG(c->key), c->key_line);
        show(b, c);
        if (c->next)
            (void)buf_putc(b, ' ');
    }
    (void)buf_putc(b, n->kind == YAML_IS_LIST ? ']' : '}');
}

static void take(struct seen *s, struct str text)
{
    memset(s, 0, sizeof *s);
    arena_init(&s->mem, 16u << 20);
    buf_init(&s->faults, 1u << 20);
    buf_init(&s->tree, 1u << 20);
    s->rc = yaml_doc_read(&s->root, &s->mem, text, on_fault, s);
    show(&s->tree, s->root);
}

static void drop(struct seen *s)
{
    arena_free(&s->mem);
    buf_free(&s->faults);
    buf_free(&s->tree);
}

static void trees(void)
{
    static const struct {
        const char *text, *tree;
    } rows[] = {
        {"", "-"},
        {"# nothing\n", "-"},
        {"---\n", "-"},
        {"a: 1\n", "{a@1=1}"},
        {"\xef\xbb\xbf" "a: 1\n", "{a@1=1}"},
        {"a: 1\r\nb: 2\r\n", "{a@1=1 b@2=2}"},
        {"a:\n  b: x\n  c: 'y'\nd: \"z\\n\"\n", "{a@1={b@2=x c@3='y'} d@4='z\n'}"},
        {"a: [1, 'two', ~]\n", "{a@1=[1 'two' null]}"},
        {"a:\n- x\n- y\n", "{a@1=[x y]}"},
        {"a: |\n  one\n  two\n", "{a@1='one\ntwo\n'}"},
        {"a: null\nb: ~\nc:\nd: 'null'\ne: ''\n", "{a@1=null b@2=null c@3=null d@4='null' e@5=''}"},
        {"a: yes\nb: 010\nc: +1555\n", "{a@1=yes b@2=010 c@3=+1555}"},
        {"a: ${X:-y}\n", "{a@1=${X:-y}}"},
        {"%YAML 1.1\n---\na: 1\n...\n", "{a@3=1}"},
        {"a: {}\nb: []\n", "{a@1={} b@2=[]}"},
        {"<<: {a: 1}\n", "{<<@1={a@1=1}}"}, /* merging is not done: an unknown key to the reader */
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct seen s;

        take(&s, str_of(rows[i].text));
        T_OK(s.rc);
        T_STR_EQ(buf_cstr(&s.tree), rows[i].tree);
        T_EQ(s.faults.n, 0);
        drop(&s);
    }
}

static void malformed(void)
{
    static const struct {
        const char *text;
        int rc;
        const char *fault; /* the first one's beginning */
    } rows[] = {
        {"a: [1\nb: 2\n", ERR_CORRUPT, "2::not YAML: "},
        {"a: 'x\n", ERR_CORRUPT, "2::not YAML: while scanning a quoted scalar"},
        {"a:\n\tb: 1\n", ERR_CORRUPT, "2::not YAML: while scanning for the next token: found character "
                                      "that cannot start any token; indent with spaces, not with tabs"},
        {"a: 1\n  b: 2\n", ERR_CORRUPT, "2::not YAML: mapping values are not allowed in this context"},
        {"a: b: c\n", ERR_CORRUPT, "1::not YAML: mapping values"},
        {"a: @x\n", ERR_CORRUPT, "1::not YAML: "},
        {"a: `x`\n", ERR_CORRUPT, "1::not YAML: "},
        {"a: \"\\q\"\n", ERR_CORRUPT, "1::not YAML: "},
        {"a: \xff\n", ERR_CORRUPT, "1::not YAML: "},
        {"ok: 1\na: \x01\n", ERR_CORRUPT, "2::not YAML: control characters are not allowed"},
        {"a: \"\\0\"\n", ERR_INVALID, "1:a:a NUL character"},
        {"x\n", ERR_INVALID, "1::the file must hold keys"},
        {"- x\n", ERR_INVALID, "1::the file must hold keys"},
        {"a: 1\n---\nb: 2\n", ERR_INVALID, "2::a second document"},
        {"a: 1\na: 2\n", ERR_INVALID, "2:a:given twice (first on line 1); keep one"},
        {"a:\n  b: 1\n  'b': 2\n", ERR_INVALID, "3:a.b:given twice (first on line 2)"},
        {"a: &x 1\n", ERR_INVALID, "1:a:anchors"},
        {"a: &x {b: 1}\n", ERR_INVALID, "1:a:anchors"},
        {"a: &x [1]\nb: *x\n", ERR_INVALID, "1:a:anchors"},
        {"a: *x\n", ERR_INVALID, "1:a:aliases"},
        {"a: !!int 1\n", ERR_INVALID, "1:a:tags"},
        {"a: !x [1]\n", ERR_INVALID, "1:a:tags"},
        {"? [x]\n: 1\n", ERR_CORRUPT, "1::a key must be a plain word"},
        {"{a: 1}: 2\n", ERR_CORRUPT, "1::a key must be a plain word"},
        {"%YAML 3.0\n---\na: 1\n", ERR_CORRUPT, "1::not YAML: found incompatible YAML document"},
        {"a: {b: [}\n", ERR_CORRUPT, "1::not YAML: "},
        {"\xff\xfe" "a", ERR_CORRUPT, "1::not YAML: "},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct seen s;

        take(&s, str_of(rows[i].text));
        T_EQ(s.rc, rows[i].rc);
        if (!str_starts(buf_str(&s.faults), str_of(rows[i].fault)))
            T_FAIL("row %zu: %s\n  not %s", i, buf_cstr(&s.faults), rows[i].fault);
        drop(&s);
    }
}

static void faults_all_told(void)
{
    struct seen s;

    take(&s, STR("a: &x 1\nb: !t 2\nc: 1\nc: 2\nd: *x\n"));
    T_EQ(s.rc, ERR_INVALID);
    T_STR_EQ(buf_cstr(&s.faults),
             "1:a:anchors (&name) are not read here; write the value out\n"
             "2:b:tags (!name) are not read here; write the value alone\n"
             "4:c:given twice (first on line 3); keep one\n"
             "5:d:aliases (*name) are not read here; write the value out\n");
    T_STR_EQ(buf_cstr(&s.tree), "{a@1=1 b@2=2 c@3=1 d@5=null}");
    drop(&s);
}

static struct str repeated(struct buf *b, const char *unit, size_t times)
{
    for (size_t i = 0; i < times; i++)
        (void)buf_puts(b, str_of(unit));
    return buf_str(b);
}

static void bounds(void)
{
    struct buf b;
    struct seen s;

    buf_init(&b, 1u << 20);
    (void)buf_puts(&b, STR("a: "));
    take(&s, repeated(&b, "[", YAML_MAX_DEPTH - 1));
    T_EQ(s.rc, ERR_CORRUPT); /* not closed */
    T_HAS(buf_cstr(&s.faults), "not YAML");
    drop(&s);

    buf_clear(&b);
    (void)buf_puts(&b, STR("a: "));
    (void)repeated(&b, "[", 5000);
    take(&s, repeated(&b, "]", 5000));
    T_EQ(s.rc, ERR_CORRUPT);
    T_HAS(buf_cstr(&s.faults), "nested deeper than 16 levels");
    drop(&s);

    buf_clear(&b);
    (void)buf_puts(&b, STR("a: ["));
    take(&s, repeated(&b, "1,", YAML_MAX_NODES + 10));
    T_EQ(s.rc, ERR_CORRUPT);
    T_HAS(buf_cstr(&s.faults), "more than 32768 values");
    drop(&s);

    buf_clear(&b);
    for (unsigned i = 0; i <= YAML_MAX_KEYS; i++)
        (void)buf_printf(&b, "k%u: 1\n", i);
    take(&s, buf_str(&b));
    T_EQ(s.rc, ERR_CORRUPT);
    T_HAS(buf_cstr(&s.faults), "257::more than 256 keys");
    drop(&s);

    buf_clear(&b);
    take(&s, repeated(&b, "# xxxxxxxxxxxxx\n", YAML_MAX_BYTES / 16 + 1));
    T_EQ(s.rc, ERR_CORRUPT);
    T_HAS(buf_cstr(&s.faults), "larger than 256 KiB");
    drop(&s);

    buf_clear(&b);
    take(&s, repeated(&b, "# xxxxxxxxxxxxx\n", YAML_MAX_BYTES / 16));
    T_OK(s.rc);
    drop(&s);
    buf_free(&b);
}

/* Ten levels of ten references each would be 10^10 values. */
static void billion_laughs(void)
{
    struct buf b;
    struct seen s;

    buf_init(&b, 1u << 16);
    (void)buf_puts(&b, STR("a: &a [x, x, x, x, x, x, x, x, x, x]\n"));
    for (char c = 'b'; c < 'l'; c++)
        (void)buf_printf(&b, "%c: &%c [*%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c]\n", c, c, c - 1,
                         c - 1, c - 1, c - 1, c - 1, c - 1, c - 1, c - 1, c - 1, c - 1);
    take(&s, buf_str(&b));
    T_EQ(s.rc, ERR_INVALID);
    T_LT(s.mem.total_bytes, 1u << 16);
    drop(&s);
    buf_free(&b);
}

static void out_of_memory(void)
{
    static const char text[] = "a:\n  b: [1, 2, x]\n  c: 'text'\nd: {e: f}\n";
    unsigned n = 1;
    struct seen s;

    for (;; n++) {
        memset(&s, 0, sizeof s);
        arena_init(&s.mem, 1u << 20);
        buf_init(&s.faults, 1u << 12);
        (void)mem_fault_after(n);
        s.rc = yaml_doc_read(&s.root, &s.mem, str_of(text), on_fault, &s);
        (void)mem_fault_after(0);
        if (s.rc == 0)
            break;
        T_EQ(s.rc, ERR_NOMEM);
        T_NULL(s.root);
        drop(&s);
        T_MUST(n < 100);
    }
    T_GT(n, 2);
    drop(&s);
}

int main(void)
{
    T_RUN(trees);
    T_RUN(malformed);
    T_RUN(faults_all_told);
    T_RUN(bounds);
    T_RUN(billion_laughs);
    T_RUN(out_of_memory);
    return T_DONE();
}
