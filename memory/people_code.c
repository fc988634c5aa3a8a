/* SPDX-License-Identifier: MIT */
#include "memory/people.h"

#include "memory/people_int.h"
#include "plugin/base/mem.h"

#include <string.h>

#define CODE_DIGITS 6u
#define SALT_BYTES 16u
#define HASH_BYTES 32u
#define CODES_MAX 1000u /* open ones; beyond that the one that ends first goes */
#define HOUR_MS 3600000u

static bool is_code(struct str code)
{
    uint64_t n;

    return code.n == CODE_DIGITS && str_u64(code, &n);
}

static void hash_of(unsigned char out[HASH_BYTES], const void *salt, struct str code)
{
    char text[SALT_BYTES + CODE_DIGITS];

    memcpy(text, salt, SALT_BYTES);
    memcpy(text + SALT_BYTES, code.p, CODE_DIGITS);
    id_sha256(out, str_make(text, sizeof text));
}

/* Does the row of `identity, salt, hash, ...` hold this code? */
static bool fits(sqlite3_stmt *st, struct str code)
{
    unsigned char hash[HASH_BYTES];

    if (sqlite3_column_bytes(st, 1) != (int)SALT_BYTES || sqlite3_column_bytes(st, 2) != (int)HASH_BYTES)
        return false;
    hash_of(hash, sqlite3_column_blob(st, 1), code);
    return id_equal_ct(str_make((const char *)hash, HASH_BYTES),
                       str_make(sqlite3_column_blob(st, 2), HASH_BYTES));
}

/* ---- Make. ---- */

struct make {
    struct op o;
    struct str identity, call, code;
    uint64_t until;
};

static int is_taken(struct store *s, const struct make *m)
{
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, "SELECT identity, salt, hash FROM link_code WHERE identity<>?1", &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, m->identity);
    while ((sq = sqlite3_step(st)) == SQLITE_ROW)
        if (fits(st, m->code))
            return ERR_DUPLICATE;
    return store_rc(s, sq);
}

static int make_run(struct store_op *op, struct store *s, struct sqlite3 *db)
{
    static const char sql[] =
        "INSERT INTO link_code(identity, salt, hash, call, until, tries) VALUES(?1, ?2, ?3, ?4, ?5, 0)"
        " ON CONFLICT(identity) DO UPDATE SET salt=?2, hash=?3, call=?4, until=?5, tries=0";
    static const char cut[] = "DELETE FROM link_code WHERE identity IN (SELECT identity FROM link_code"
                              " ORDER BY until DESC LIMIT -1 OFFSET 1000)";
    const struct make *m = (struct make *)op;
    unsigned char salt[SALT_BYTES], hash[HASH_BYTES];
    sqlite3_stmt *st;
    int rc = is_taken(s, m);

    (void)db;
    if (rc == 0)
        rc = id_random(salt, sizeof salt);
    if (rc < 0)
        return rc;
    hash_of(hash, salt, m->code);
    st = store_stmt(s, sql, &rc);
    if (st == NULL)
        return rc;
    journal_bind(st, 1, m->identity);
    (void)sqlite3_bind_blob(st, 2, salt, sizeof salt, SQLITE_TRANSIENT);
    (void)sqlite3_bind_blob(st, 3, hash, sizeof hash, SQLITE_TRANSIENT);
    journal_bind(st, 4, m->call);
    journal_bind_int(st, 5, m->until);
    rc = journal_step(s, st);
    return rc < 0 ? rc : people_exec(s, cut, STR_NONE, STR_NONE, 0);
}

_Static_assert(CODES_MAX == 1000u, "the statement above names it");

int people_code_make(struct store *s, struct str identity, struct str call, struct str code,
                     uint64_t until, people_fn *fn, void *arg)
{
    struct make *m;
    void *block;
    char *text;
    int rc;

    if (!people_is_identity(identity) || !is_code(code))
        return ERR_INVALID;
    rc = op_make(&block, &text, sizeof *m, identity.n + call.n + code.n);
    if (rc < 0)
        return rc;
    m = block;
    m->identity = op_pack(&text, identity);
    m->call = op_pack(&text, call);
    m->code = op_pack(&text, code);
    m->until = until;
    m->o = (struct op){{.run = make_run, .done = op_done, .bytes = m->o.op.bytes}, fn, arg};
    return op_push(s, &m->o.op);
}

/* ---- Use. ---- */

struct use {
    struct store_op op;
    people_code_fn *fn;
    void *arg;
    struct str other, code;
    uint64_t now;
    bool fits, blocked;
    struct people_identity whose;
    char call[ID_BYTES];
};

static void use_done(struct store_op *op, int rc)
{
    struct use *u = (struct use *)op;
    struct people_code_result r = {.fits = u->fits, .blocked = u->blocked,
                                   .identity = str_of(u->whose.text), .call = str_of(u->call)};

    if (u->fn != NULL)
        u->fn(u->arg, rc, rc < 0 ? NULL : &r);
    mem_free(u);
}

/* *own: it is the code that this very identity asked for. */
static int look(struct use *u, struct store *s, bool *own)
{
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, "SELECT identity, salt, hash, call FROM link_code WHERE until>=?1", &rc);

    if (st == NULL)
        return rc;
    journal_bind_int(st, 1, u->now);
    /* All of them, so that the time does not tell how far it went. */
    while ((sq = sqlite3_step(st)) == SQLITE_ROW) {
        if (!fits(st, u->code))
            continue;
        if (str_eq(journal_text(st, 0), u->other)) {
            *own = true;
            continue;
        }
        u->fits = str_copy(u->whose.text, sizeof u->whose.text, journal_text(st, 0));
        (void)str_copy(u->call, sizeof u->call, journal_text(st, 3));
    }
    return store_rc(s, sq);
}

/* It names nobody's code: so it counts against who tried, and a little against all. */
static int miss(const struct use *u, struct store *s)
{
    int rc;
    sqlite3_stmt *st = store_stmt(s, "INSERT INTO code_try(identity, at) VALUES(?1, ?2)", &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, u->other);
    journal_bind_int(st, 2, u->now);
    rc = journal_step(s, st);
    if (rc == 0)
        rc = people_exec(s, "UPDATE link_code SET tries=tries+1", STR_NONE, STR_NONE, 0);
    return rc < 0 ? rc : people_exec(s, "DELETE FROM link_code WHERE tries>=50", STR_NONE, STR_NONE, 0);
}

_Static_assert(PEOPLE_CODE_TRIES_ALL == 50u, "the statement above names it");

static int forget_old(const struct use *u, struct store *s)
{
    static const char *const sql[] = {"DELETE FROM code_try WHERE at<=?1", "DELETE FROM link_code WHERE until<?1"};
    uint64_t limit[] = {u->now > HOUR_MS ? u->now - HOUR_MS : 0, u->now};
    int rc = 0;

    for (int i = 0; rc == 0 && i < 2; i++) {
        sqlite3_stmt *st = store_stmt(s, sql[i], &rc);

        if (st == NULL)
            return rc;
        journal_bind_int(st, 1, limit[i]);
        rc = journal_step(s, st);
    }
    return rc;
}

static int use_run(struct store_op *op, struct store *s, struct sqlite3 *db)
{
    struct use *u = (struct use *)op;
    int64_t tries = 0;
    bool own = false;
    int rc;

    (void)db;
    u->fits = u->blocked = false;
    u->whose.text[0] = u->call[0] = '\0';
    rc = forget_old(u, s);
    if (rc == 0)
        rc = people_int(s, "SELECT count(*) FROM code_try WHERE identity=?1", u->other, STR_NONE, 0, &tries);
    if (rc == 0 && tries >= PEOPLE_CODE_TRIES) {
        u->blocked = true;
        return 0;
    }
    if (rc == 0)
        rc = look(u, s, &own);
    if (rc < 0)
        return rc;
    if (!u->fits)
        return own ? 0 : miss(u, s);
    rc = people_exec(s, "DELETE FROM link_code WHERE identity=?1", str_of(u->whose.text), STR_NONE, 0);
    return rc < 0 ? rc : people_join(s, str_of(u->whose.text), u->other, "code", u->now);
}

int people_code_use(struct store *s, struct str other, struct str code, uint64_t now, people_code_fn *fn,
                    void *arg)
{
    struct use *u;
    void *block;
    char *text;
    int rc;

    if (!people_is_identity(other) || !is_code(code))
        return ERR_INVALID;
    rc = op_make(&block, &text, sizeof *u, other.n + code.n);
    if (rc < 0)
        return rc;
    u = block;
    u->op.run = use_run;
    u->op.done = use_done;
    u->fn = fn;
    u->arg = arg;
    u->now = now;
    u->other = op_pack(&text, other);
    u->code = op_pack(&text, code);
    return op_push(s, &u->op);
}
