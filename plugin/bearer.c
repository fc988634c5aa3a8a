/* SPDX-License-Identifier: MIT */
#include "plugin/bearer.h"

#include "plugin/base/id.h"
#include "plugin/base/mem.h"
#include "plugin/config.h"

#include <string.h>

#define HASH_BYTES 32u
#define ALL (SCOPE_READ | SCOPE_STEER | SCOPE_ADMIN)

struct bearer {
    const char *name; /* the configuration's, or static */
    unsigned scopes;
    unsigned char hash[HASH_BYTES];
};

struct bearers {
    unsigned n;
    struct bearer v[];
};

/* ---- Texts ---- */

static int nibble(char c)
{
    return c >= '0' && c <= '9' ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool read_hash(struct str hex, unsigned char hash[HASH_BYTES])
{
    if (hex.n != 2 * HASH_BYTES)
        return false;
    for (size_t i = 0; i < HASH_BYTES; i++) {
        int hi = nibble(hex.p[2 * i]), lo = nibble(hex.p[2 * i + 1]);

        if (hi < 0 || lo < 0)
            return false;
        hash[i] = (unsigned char)(hi << 4 | lo);
    }
    return true;
}

int bearer_hash_read(struct str text, unsigned char hash[32])
{
    const struct str head = STR("sha256:");

    return str_starts(text, head) && read_hash(str_skip(text, head.n), hash) ? 0 : ERR_INVALID;
}

static bool add_scope(struct str word, unsigned *scopes)
{
    if (str_eqc(word, "read"))
        *scopes |= SCOPE_READ;
    else if (str_eqc(word, "steer"))
        *scopes |= SCOPE_STEER;
    else if (str_eqc(word, "admin"))
        *scopes |= ALL;
    else
        return false;
    return true;
}

int bearer_read(struct str text, unsigned *scopes, unsigned char hash[32])
{
    struct str words, word;
    size_t blank;

    text = str_trim(text);
    blank = str_find(text, ' ');
    words = str_head(text, blank);
    *scopes = 0;
    while (words.n > 0 && str_split(&words, ',', &word))
        if (!add_scope(word, scopes))
            return ERR_INVALID;
    text = str_trim(str_skip(text, blank));
    if (str_starts(text, STR("sha256:")))
        text = str_skip(text, 7);
    return *scopes != 0 && read_hash(text, hash) ? 0 : ERR_INVALID;
}

/* ---- Tokens ---- */

static void add_token(struct bearers *b, const char *name, struct str token)
{
    struct bearer *t = &b->v[b->n++];

    t->name = name;
    t->scopes = ALL;
    if (bearer_hash_read(token, t->hash) < 0)
        id_sha256(t->hash, token);
}

int bearers_open(struct bearers **out, const struct config *c, struct str first)
{
    unsigned most = c->api_tokens.n + 2;
    struct bearers *b = mem_zalloc(sizeof *b + most * sizeof b->v[0]);

    if (b == NULL)
        return ERR_NOMEM;
    if (first.n > 0) /* the file holds the token itself, whatever it looks like */
        b->v[b->n++] = (struct bearer){.name = "api-token", .scopes = ALL};
    if (first.n > 0)
        id_sha256(b->v[0].hash, first);
    if (c->api_token[0] != '\0')
        add_token(b, "api.token", str_of(c->api_token));
    for (unsigned i = 0; i < c->api_tokens.n; i++) {
        struct bearer *t = &b->v[b->n];

        t->name = c->api_tokens.v[i].name;
        if (bearer_read(str_of(c->api_tokens.v[i].value), &t->scopes, t->hash) == 0)
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
    unsigned char hash[HASH_BYTES];
    const struct bearer *found = NULL;

    id_sha256(hash, token);
    for (unsigned i = 0; i < b->n; i++)
        if (id_equal_ct(str_make((const char *)hash, HASH_BYTES), str_make((const char *)b->v[i].hash, HASH_BYTES)))
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
