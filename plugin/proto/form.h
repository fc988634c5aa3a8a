/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_PROTO_FORM_H
#define PLUGIN_PROTO_FORM_H
/*
 * application/x-www-form-urlencoded (WHATWG URL, 5), as bodies and as queries: a strict reader that keeps repeated
 * names in their order, and a writer. Pure; any thread.
 */
#include "plugin/base/buf.h"
#include "plugin/base/err.h"

#define FORM_BYTES_MAX 65536u
#define FORM_FIELDS_MAX 512u

struct form_field {
    struct str name, value; /* decoded; live as long as the form */
};

struct form {
    struct form_field *fields; /* in the order they came */
    unsigned n;
    char *text;
};

/*
 * Reads `text`; nothing between two '&' is no field, a name without '=' has an empty value. *out is to be given to
 * form_free() in any case. ERR_INVALID (a bad escape, a NUL), ERR_TOO_BIG (the limits above), ERR_NOMEM.
 */
int form_read(struct form *out, struct str text);
void form_free(struct form *f);
/* The first value of that name (byte for byte); STR_NONE when it is missing. */
struct str form_get(const struct form *f, const char *name);

/* Each appends a field, with '&' before it unless the buffer ends in '?' or is empty. Failures stick in b->rc. */
void form_put(struct buf *b, const char *name, struct str value);
void form_put_int(struct buf *b, const char *name, uint64_t value);
void form_put_bool(struct buf *b, const char *name, bool value);

#endif
