/* SPDX-License-Identifier: MIT */
#ifndef MEMORY_OP_H
#define MEMORY_OP_H
/*
 * Operations of the store as one block: a struct that begins with a struct store_op and, behind it, the
 * bytes of its texts. Whoever makes one counts the bytes first, then packs them. memory/ only; made and
 * ended on the loop thread.
 */
#include "memory/store.h"
#include "plugin/base/buf.h"

#define OP_TEXT_BYTES ((size_t)8 << 20)    /* text of one operation at most */
#define OP_ANSWER_BYTES ((size_t)64 << 20) /* of a JSON answer */
#define OP_KEY_BYTES 4096u                 /* of an id or a query that is asked for */

typedef void op_fn(void *arg, int rc);
typedef void op_json_fn(void *arg, int rc, struct str json);

struct op { /* answers with a code alone */
    struct store_op op;
    op_fn *fn;
    void *arg;
};

/* A zeroed block: a struct of `size` bytes, room for `text` bytes at *text_at. ERR_TOO_BIG, ERR_NOMEM. */
int op_make(void **out, char **text_at, size_t size, size_t text);
/* Copies s to *at and moves that on. */
struct str op_pack(char **at, struct str s);
/* store_push(), but frees the block on failure. */
int op_push(struct store *s, struct store_op *op);
/* `done` of a struct op. */
void op_done(struct store_op *op, int rc);

struct op_ask { /* answers with JSON; run writes it to `out`, which is empty then */
    struct store_op op;
    op_json_fn *fn;
    void *arg;
    int (*run)(struct op_ask *a, struct store *s);
    struct str id, text;
    unsigned limit;
    uint64_t at;
    struct buf out;
};

/* Copies *what (id, text, limit, at, run, op.flags), queues it. ERR_TOO_BIG: id or text over OP_KEY_BYTES. */
int op_ask(struct store *s, const struct op_ask *what, op_json_fn *fn, void *arg);

#endif
