/* SPDX-License-Identifier: MIT */
#include "plugin/bearer.h"

#include "plugin/base/id.h"
#include "plugin/base/mem.h"
#include "plugin/config/config.h"

#include <string.h>

struct bearer {
    const char *name; /* the configuration's, or static */
    unsigned scopes;
    unsigned char hash[CONFIG_TOKEN_HASH_BYTES];
};

struct bearers {
    unsigned n;
    struct bearer v[];
};

/* ---- Tokens ---- */

static void add_token(struct bearers *b, const char *name, struct str token)
{
    struct bearer *t = &b->v[b->n++];

    t->name = name;
    t->scopes = SCOPE_ALL;
    if (config_token_hash(token, t->hash) < 0)
        id_sha256(t->hash, token);
}

int bearers_open(struct bearers **out, const struct config *c, struct str first)
{
    unsigned most = c->api_tokens.n + 2;
    struct bearers *b = mem_zalloc(sizeof *b + most * sizeof b->v[0]);

    if (b == NULL)
        return ERR_NOMEM;
    if (first.n > 0) /* the file holds the token itself, whatever it looks like */
        b->v[b->n++] = (struct bearer){.name = "api-token", .scopes = SCOPE_ALL};
    if (first.n > 0)
        id_sha256(b->v[0].hash, first);
    if (c->api_token[0] != '\0')
        add_token(b, "api.token", str_of(c->api_token));
    for (unsigned i = 0; i < c->api_tokens.n; i++) {
        struct bearer *t = &b->v[b->n];

        t->name = c->api_tokens.v[i].name;
        if (config_token_read(str_of(c->api_tokens.v[i].value), &t->scopes, t->hash) == 0)
            b->n++;
    }
    *out = b;
    return 0;
}

void bearers_close(struct bearers *b)
{
    mem_free(b);
}

const char *bearers_find(const struct bearers *b, struct str token, unsigned *scopes)
{
    unsigned char hash[CONFIG_TOKEN_HASH_BYTES];
    const struct str asked = str_make((const char *)hash, sizeof hash);
    const struct bearer *found = NULL;

    id_sha256(hash, token);
    for (unsigned i = 0; i < b->n; i++)
        if (id_equal_ct(asked, str_make((const char *)b->v[i].hash, sizeof b->v[i].hash)))
            found = &b->v[i]; /* and on to the last */
    *scopes = found ? found->scopes : 0;
    return found ? found->name : NULL;
}

/* ---- What needs what ---- */

enum bearer_scope bearer_needs(struct str method, struct str path)
{
    bool reads = str_eqc(method, "GET") || str_eqc(method, "HEAD");
    bool erases = str_eqc(method, "DELETE") && str_ends(path, STR("/recording"));

    if (reads)
        return str_ends(path, STR("/export")) ? SCOPE_ADMIN : SCOPE_READ;
    if (str_eqc(path, "/call") || str_starts(path, STR("/call/")) || (str_starts(path, STR("/calls/")) && !erases))
        return SCOPE_STEER;
    return SCOPE_ADMIN;
}

const char *bearer_scope_name(enum bearer_scope s)
{
    return s == SCOPE_READ ? "read" : s == SCOPE_STEER ? "steer" : "admin";
}
