/* SPDX-License-Identifier: MIT */
#include "memory/people.h"

#include "memory/people_int.h"
#include "plugin/base/arena.h"
#include "plugin/base/clock.h"

#include <string.h>

#define ROWS_BYTES ((size_t)16 << 20) /* identities and links of one person, or of the configuration */

static bool before(struct str a, struct str b)
{
    int c = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);

    return c != 0 ? c < 0 : a.n < b.n;
}

/* ---- Two become one. ---- */

static int made_at(struct store *s, const struct id *person, int64_t *at)
{
    return people_int(s, "SELECT made_at FROM person WHERE id=?1", str_of(person->text), STR_NONE, 0, at);
}

static int merge(struct store *s, const struct id *a, const struct id *b)
{
    static const char *const sql[] = {
        "UPDATE identity SET person=?1 WHERE person=?2",
        "UPDATE call SET person=?1 WHERE person=?2 AND person<>''",
        "UPDATE person AS p SET name=iif(p.name='', g.name, p.name),"
        " language=iif(p.language='', g.language, p.language),"
        " notes=p.notes || iif(p.notes='' OR g.notes='', '', char(10)) || g.notes"
        " FROM (SELECT name, language, notes FROM person WHERE id=?2) AS g WHERE p.id=?1",
        "DELETE FROM person WHERE id=?2"};
    struct str stays = str_of(a->text), goes = str_of(b->text);
    int64_t at_a = 0, at_b = 0;
    int rc = made_at(s, a, &at_a);

    if (rc == 0)
        rc = made_at(s, b, &at_b);
    if (at_b < at_a || (at_b == at_a && before(goes, stays))) {
        stays = str_of(b->text);
        goes = str_of(a->text);
    }
    for (unsigned i = 0; rc == 0 && i < sizeof sql / sizeof *sql; i++)
        rc = people_exec(s, sql[i], stays, goes, 0);
    return rc;
}

static int put_link(struct store *s, struct str a, struct str b, struct str source, uint64_t at)
{
    int rc;
    sqlite3_stmt *st = store_stmt(s, "INSERT INTO link(a, b, source, at) VALUES(?1, ?2, ?3, ?4)"
                                     " ON CONFLICT DO NOTHING", &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, before(a, b) ? a : b);
    journal_bind(st, 2, before(a, b) ? b : a);
    journal_bind(st, 3, source);
    journal_bind_int(st, 4, at);
    return journal_step(s, st);
}

int people_join(struct store *s, struct str a, struct str b, const char *source, uint64_t at)
{
    struct id one, other;
    int rc = people_need(s, a, at, &one);

    if (rc == 0)
        rc = people_need(s, b, at, &other);
    if (rc == 0 && !str_eq(a, b))
        rc = put_link(s, a, b, str_of(source), at);
    if (rc < 0 || str_eqc(str_of(one.text), other.text))
        return rc;
    return merge(s, &one, &other);
}

/* ---- One becomes several. ---- */

struct node {
    struct node *next, *set; /* set: towards the one that stands for its piece */
    struct str identity;
    struct id person; /* of a piece that leaves */
};

static struct node *root(struct node *n)
{
    while (n->set != n)
        n = n->set = n->set->set;
    return n;
}

static struct node *node_of(struct node *list, struct str identity)
{
    while (list != NULL && !str_eq(list->identity, identity))
        list = list->next;
    return list;
}

static int read_nodes(struct store *s, struct str person, struct arena *mem, struct node **out)
{
    static const char sql[] =
        "SELECT i.identity FROM identity i LEFT JOIN caller c ON i.identity='" PEOPLE_VOICE "' || c.number"
        " WHERE i.person=?1 ORDER BY c.number IS NULL, c.first_seen, i.at, i.identity";
    struct node **at = out;
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, sql, &rc);

    *out = NULL;
    if (st == NULL)
        return rc;
    journal_bind(st, 1, person);
    while ((sq = sqlite3_step(st)) == SQLITE_ROW) {
        struct node *n = arena_alloc(mem, sizeof *n);
        struct str identity = journal_text(st, 0);

        if (n == NULL)
            return mem->rc;
        n->identity = str_make(arena_text(mem, identity), identity.n);
        n->set = n;
        *at = n;
        at = &n->next;
    }
    return sq == SQLITE_DONE ? mem->rc : store_rc(s, sq);
}

/* The first of the list stands for its piece: pieces are joined towards whoever comes earlier. */
static int unite(struct store *s, struct str person, struct node *list)
{
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, "SELECT a, b FROM identity i JOIN link ON a=i.identity"
                                     " WHERE i.person=?1", &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, person);
    while ((sq = sqlite3_step(st)) == SQLITE_ROW) {
        struct node *a = node_of(list, journal_text(st, 0)), *b = node_of(list, journal_text(st, 1));
        struct node *n;

        if (a == NULL || b == NULL || root(a) == root(b))
            continue;
        a = root(a);
        b = root(b);
        for (n = list; n != a && n != b; n = n->next)
            ;
        if (n == a)
            b->set = a;
        else
            a->set = b;
    }
    return store_rc(s, sq);
}

static int leave(struct store *s, struct str person, struct node *n, uint64_t at)
{
    struct node *to = root(n);
    struct str now;
    int rc = 0;

    if (to->person.text[0] == '\0')
        rc = people_new(s, at, &to->person);
    now = str_of(to->person.text);
    if (rc == 0)
        rc = people_exec(s, "UPDATE identity SET person=?2 WHERE identity=?1", n->identity, now, 0);
    if (rc == 0 && str_starts(n->identity, STR(PEOPLE_VOICE))) {
        sqlite3_stmt *st = store_stmt(s, "UPDATE call SET person=?2 WHERE person=?1 AND person<>''"
                                         " AND number=?3", &rc);

        if (st == NULL)
            return rc;
        journal_bind(st, 1, person);
        journal_bind(st, 2, now);
        journal_bind(st, 3, str_skip(n->identity, sizeof PEOPLE_VOICE - 1));
        rc = journal_step(s, st);
    }
    return rc;
}

int people_part(struct store *s, struct str person, uint64_t at)
{
    struct arena mem;
    struct node *list = NULL;
    int rc;

    arena_init(&mem, ROWS_BYTES);
    rc = read_nodes(s, person, &mem, &list);
    if (rc == 0 && list != NULL)
        rc = unite(s, person, list);
    for (struct node *n = list; rc == 0 && n != NULL; n = n->next)
        if (root(n) != list)
            rc = leave(s, person, n, at);
    arena_free(&mem);
    return rc;
}

/* ---- By the API, by code, by pairing. ---- */

static bool is_source(const char *source)
{
    return str_eqc(STR("code"), source) || str_eqc(STR("api"), source) || str_eqc(STR("paired"), source);
}

static int link_run(struct op_ask *a, struct store *s)
{
    const char *source = a->limit == 0 ? "code" : a->limit == 1 ? "api" : "paired";
    struct people_identity own;
    struct id person, other;
    int64_t have = 0, more = 0;
    int rc = people_resolve(s, a->id, &person);

    if (rc < 0)
        return rc;
    if (!people_identity_of(a->id, &own)) {
        rc = people_first(s, str_of(person.text), &own);
        if (rc < 0)
            return rc;
    }
    rc = people_find(s, a->text, &other);
    if (rc < 0 && rc != ERR_NOT_FOUND)
        return rc;
    if (rc == ERR_NOT_FOUND || !str_eqc(str_of(other.text), person.text)) {
        static const char sql[] = "SELECT count(*) FROM identity WHERE person=?1";

        more = rc == ERR_NOT_FOUND;
        rc = people_int(s, sql, str_of(person.text), STR_NONE, 0, &have);
        if (rc == 0 && more == 0)
            rc = people_int(s, sql, str_of(other.text), STR_NONE, 0, &more);
        if (rc < 0 || have + more > PEOPLE_IDENTITIES_MAX)
            return rc < 0 ? rc : ERR_FULL;
    }
    rc = people_join(s, str_of(own.text), a->text, source, a->at);
    if (rc == 0)
        rc = people_find(s, a->text, &person);
    return rc < 0 ? rc : people_put(s, str_of(person.text), &a->out);
}

int people_link(struct store *s, struct str id, struct str identity, const char *source, uint64_t at,
                people_json_fn *fn, void *arg)
{
    struct op_ask a = {.run = link_run, .id = id, .text = identity, .at = at};

    if (!people_is_identity(identity) || !is_source(source))
        return ERR_INVALID;
    a.limit = str_eqc(STR("code"), source) ? 0 : str_eqc(STR("api"), source) ? 1 : 2;
    return op_ask(s, &a, fn, arg);
}

static int reconnect(struct store *s, struct str identity, struct arena *mem)
{
    static const char sql[] = "SELECT iif(a=?1, b, a), source, at FROM link WHERE a=?1 OR b=?1 ORDER BY at";
    struct str first = STR_NONE;
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, sql, &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, identity);
    while ((sq = sqlite3_step(st)) == SQLITE_ROW) {
        struct str other = journal_text(st, 0);

        if (first.p == NULL)
            first = str_make(arena_text(mem, other), other.n);
        else if (!str_eq(first, other))
            rc = put_link(s, first, other, journal_text(st, 1), journal_u64(st, 2));
        if (rc < 0 || mem->rc < 0)
            return rc < 0 ? rc : mem->rc;
    }
    return store_rc(s, sq);
}

int people_take_out(struct store *s, struct str identity, struct id *alone)
{
    struct arena mem;
    int rc;

    arena_init(&mem, ROWS_BYTES);
    rc = reconnect(s, identity, &mem);
    arena_free(&mem);
    if (rc == 0)
        rc = people_exec(s, "DELETE FROM link WHERE a=?1 OR b=?1", identity, STR_NONE, 0);
    if (rc == 0)
        rc = people_new(s, clock_wall_ms(), alone);
    return rc < 0 ? rc : people_exec(s, "UPDATE identity SET person=?2 WHERE identity=?1", identity,
                                     str_of(alone->text), 0);
}

static int unlink_run(struct op_ask *a, struct store *s)
{
    struct id person, other, alone;
    int64_t have = 0;
    int rc = people_resolve(s, a->id, &person);

    if (rc == 0)
        rc = people_find(s, a->text, &other);
    if (rc < 0)
        return rc;
    if (!str_eqc(str_of(other.text), person.text))
        return ERR_NOT_FOUND;
    rc = people_int(s, "SELECT count(*) FROM identity WHERE person=?1", str_of(person.text), STR_NONE, 0,
                    &have);
    if (rc < 0 || have < 2)
        return rc < 0 ? rc : ERR_BAD_STATE;
    rc = people_take_out(s, a->text, &alone);
    return rc < 0 ? rc : people_put(s, str_of(person.text), &a->out);
}

int people_unlink(struct store *s, struct str id, struct str identity, people_json_fn *fn, void *arg)
{
    if (!people_is_identity(identity))
        return ERR_INVALID;
    return op_ask(s, &(struct op_ask){.run = unlink_run, .id = id, .text = identity}, fn, arg);
}

/* ---- By configuration: the whole set at once. ---- */

struct item {
    struct str identity;
    unsigned group;
};

struct config {
    struct op o;
    unsigned n;
    struct item items[]; /* by group; the first of a group is the one that the others are tied to */
};

static const struct item *item_of(const struct config *c, struct str identity)
{
    for (unsigned i = 0; i < c->n; i++)
        if (str_eq(c->items[i].identity, identity))
            return &c->items[i];
    return NULL;
}

static bool is_hub(const struct config *c, const struct item *i)
{
    return i == c->items || i[-1].group != i->group;
}

static bool is_wanted(const struct config *c, struct str a, struct str b)
{
    const struct item *x = item_of(c, a), *y = item_of(c, b);

    return x != NULL && y != NULL && x->group == y->group && (is_hub(c, x) || is_hub(c, y));
}

struct stale {
    struct stale *next;
    struct str a, b;
};

static int find_stale(const struct config *c, struct store *s, struct arena *mem, struct stale **out)
{
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, "SELECT a, b FROM link WHERE source='config'", &rc);

    if (st == NULL)
        return rc;
    while ((sq = sqlite3_step(st)) == SQLITE_ROW) {
        struct str a = journal_text(st, 0), b = journal_text(st, 1);
        struct stale *old;

        if (is_wanted(c, a, b))
            continue;
        old = arena_alloc(mem, sizeof *old);
        if (old == NULL)
            return mem->rc;
        *old = (struct stale){*out, str_make(arena_text(mem, a), a.n), str_make(arena_text(mem, b), b.n)};
        *out = old;
    }
    return sq == SQLITE_DONE ? mem->rc : store_rc(s, sq);
}

/* What is no longer said goes first, so that nobody is joined through it. */
static int config_run(struct store_op *op, struct store *s, struct sqlite3 *db)
{
    const struct config *c = (struct config *)op;
    const struct item *hub = NULL;
    struct stale *stale = NULL;
    struct arena mem;
    struct id person;
    uint64_t now = clock_wall_ms();
    int rc;

    (void)db;
    arena_init(&mem, ROWS_BYTES);
    rc = find_stale(c, s, &mem, &stale);
    for (const struct stale *i = stale; rc == 0 && i != NULL; i = i->next)
        rc = people_exec(s, "DELETE FROM link WHERE a=?1 AND b=?2 AND source='config'", i->a, i->b, 0);
    for (const struct stale *i = stale; rc == 0 && i != NULL; i = i->next) {
        rc = people_find(s, i->a, &person);
        if (rc == 0)
            rc = people_part(s, str_of(person.text), now);
    }
    arena_free(&mem);
    for (unsigned i = 0; rc == 0 && i < c->n; i++) {
        if (is_hub(c, &c->items[i]))
            hub = &c->items[i];
        else
            rc = people_join(s, hub->identity, c->items[i].identity, "config", now);
    }
    return rc;
}

/* The smallest identity of a group is its hub, so that the order in the file means nothing. */
static void choose_hub(struct config *c, unsigned from)
{
    for (unsigned i = from + 1; i < c->n; i++) {
        struct item first = c->items[from];

        if (before(c->items[i].identity, first.identity)) {
            c->items[from] = c->items[i];
            c->items[i] = first;
        }
    }
}

int people_set_config_links(struct store *s, const struct people_group *groups, unsigned n, people_fn *fn,
                            void *arg)
{
    struct config *c;
    size_t all = 0, bytes = 0;
    void *block;
    char *text;
    int rc;

    for (unsigned g = 0; g < n; g++) {
        all += groups[g].n;
        for (unsigned i = 0; i < groups[g].n; i++)
            bytes += groups[g].identities[i].n;
    }
    if (all > PEOPLE_CONFIG_MAX)
        return ERR_TOO_BIG;
    rc = op_make(&block, &text, sizeof *c + all * sizeof c->items[0], bytes);
    if (rc < 0)
        return rc;
    c = block;
    for (unsigned g = 0; g < n; g++) {
        unsigned from = c->n;

        for (unsigned i = 0; i < groups[g].n; i++) {
            struct str identity = groups[g].identities[i];

            if (people_is_identity(identity) && item_of(c, identity) == NULL)
                c->items[c->n++] = (struct item){op_pack(&text, identity), g};
        }
        choose_hub(c, from);
    }
    c->o = (struct op){{.run = config_run, .done = op_done, .flags = STORE_RETRY, .bytes = c->o.op.bytes},
                       fn, arg};
    return op_push(s, &c->o.op);
}
