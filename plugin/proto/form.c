/* SPDX-License-Identifier: MIT */
#include "plugin/proto/form.h"

#include "plugin/base/mem.h"
#include "plugin/proto/url.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static unsigned count(struct str text)
{
    struct str part;
    unsigned n = 0;

    while (str_split(&text, '&', &part))
        n += part.n > 0;
    return n;
}

/* Appends the decoded text; the buffer was made large enough, so that slices of it stay. */
static int decode(struct buf *b, struct str raw, struct str *out)
{
    size_t from = b->n;
    int rc = url_unescape(b, raw, true);

    *out = str_make(b->p + from, b->n - from);
    return rc;
}

int form_read(struct form *out, struct str text)
{
    struct buf b;
    struct str part;
    unsigned n;
    int rc = 0;

    memset(out, 0, sizeof *out);
    n = text.n <= FORM_BYTES_MAX ? count(text) : 0;
    if (text.n > FORM_BYTES_MAX || n > FORM_FIELDS_MAX)
        return ERR_TOO_BIG;
    if (n == 0)
        return 0;
    buf_init(&b, FORM_BYTES_MAX);
    out->fields = mem_zalloc(n * sizeof *out->fields);
    if (out->fields == NULL || buf_reserve(&b, text.n) < 0)
        rc = ERR_NOMEM;
    while (rc == 0 && str_split(&text, '&', &part)) {
        struct form_field *field = &out->fields[out->n];
        size_t at = str_find(part, '=');

        if (part.n == 0)
            continue;
        rc = decode(&b, str_head(part, at), &field->name);
        if (rc == 0)
            rc = decode(&b, str_skip(part, at + 1), &field->value);
        out->n++;
    }
    out->text = buf_steal(&b, NULL);
    if (rc < 0)
        form_free(out);
    return rc;
}

void form_free(struct form *f)
{
    mem_free(f->fields);
    mem_free(f->text);
    memset(f, 0, sizeof *f);
}

struct str form_get(const struct form *f, const char *name)
{
    for (unsigned i = 0; i < f->n; i++)
        if (str_eqc(f->fields[i].name, name))
            return f->fields[i].value;
    return STR_NONE;
}

void form_put(struct buf *b, const char *name, struct str value)
{
    if (b->n > 0 && b->p[b->n - 1] != '?')
        (void)buf_putc(b, '&');
    (void)url_escape(b, str_of(name));
    (void)buf_putc(b, '=');
    (void)url_escape(b, value);
}

void form_put_int(struct buf *b, const char *name, uint64_t value)
{
    char text[24];

    (void)snprintf(text, sizeof text, "%" PRIu64, value);
    form_put(b, name, str_of(text));
}

void form_put_bool(struct buf *b, const char *name, bool value)
{
    form_put(b, name, value ? STR("true") : STR("false"));
}
