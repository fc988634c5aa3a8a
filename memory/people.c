/* SPDX-License-Identifier: MIT */
#include "memory/people.h"

#include "memory/people_int.h"
#include "plugin/base/arena.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "plugin/base/phone.h"

#include <string.h>

/* ---- Statements in short. ---- */

static sqlite3_stmt *bound(struct store *s, const char *sql, struct str a, struct str b, uint64_t n,
                           int *rc)
{
    sqlite3_stmt *st = store_stmt(s, sql, rc);
    int has;

    if (st == NULL)
        return NULL;
    has = sqlite3_bind_parameter_count(st);
    if (has > 0)
        journal_bind(st, 1, a);
    if (has > 1)
        journal_bind(st, 2, b);
    if (has > 2)
        journal_bind_int(st, 3, n);
    return st;
}

int people_exec(struct store *s, const char *sql, struct str a, struct str b, uint64_t n)
{
    int rc;
    sqlite3_stmt *st = bound(s, sql, a, b, n, &rc);

    return st == NULL ? rc : journal_step(s, st);
}

int people_int(struct store *s, const char *sql, struct str a, struct str b, uint64_t n, int64_t *out)
{
    int rc;
    sqlite3_stmt *st = bound(s, sql, a, b, n, &rc);

    *out = 0;
    if (st == NULL)
        return rc;
    rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        *out = sqlite3_column_int64(st, 0);
    (void)sqlite3_reset(st);
    return store_rc(s, rc);
}

/* ---- Identities and persons. ---- */

bool people_is_identity(struct str s)
{
    size_t colon = str_find(s, ':');

    if (colon == 0 || colon > 32 || colon + 1 >= s.n || s.n >= PEOPLE_IDENTITY_BYTES ||
        !str_utf8_valid(s))
        return false;
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f)
            return false;
    if (str_starts(s, STR(PEOPLE_VOICE)))
        return phone_is_e164(str_skip(s, sizeof PEOPLE_VOICE - 1));
    return true;
}

bool people_identity_of(struct str id, struct people_identity *out)
{
    if (phone_is_e164(id)) {
        memcpy(out->text, PEOPLE_VOICE, sizeof PEOPLE_VOICE - 1);
        return str_copy(out->text + sizeof PEOPLE_VOICE - 1, sizeof out->text - sizeof PEOPLE_VOICE + 1, id);
    }
    return people_is_identity(id) && str_copy(out->text, sizeof out->text, id);
}

static int find_text(struct store *s, const char *sql, struct str key, char *out, size_t cap)
{
    int rc, sq;
    sqlite3_stmt *st = bound(s, sql, key, STR_NONE, 0, &rc);

    if (st == NULL)
        return rc;
    sq = sqlite3_step(st);
    rc = sq == SQLITE_ROW ? 0 : sq == SQLITE_DONE ? ERR_NOT_FOUND : store_rc(s, sq);
    if (rc == 0 && !str_copy(out, cap, journal_text(st, 0)))
        rc = ERR_CORRUPT;
    (void)sqlite3_reset(st);
    return rc;
}

int people_find(struct store *s, struct str identity, struct id *person)
{
    return find_text(s, "SELECT person FROM identity WHERE identity=?1", identity, person->text,
                     sizeof person->text);
}

int people_resolve(struct store *s, struct str id, struct id *person)
{
    struct people_identity identity;

    if (people_identity_of(id, &identity))
        return people_find(s, str_of(identity.text), person);
    return find_text(s, "SELECT id FROM person WHERE id=?1", id, person->text, sizeof person->text);
}

int people_first(struct store *s, struct str person, struct people_identity *out)
{
    return find_text(s, "SELECT i.identity FROM identity i LEFT JOIN caller c ON"
                        " i.identity='" PEOPLE_VOICE "' || c.number WHERE i.person=?1"
                        " ORDER BY c.number IS NULL, c.first_seen, i.at, i.identity LIMIT 1",
                     person, out->text, sizeof out->text);
}

int people_new(struct store *s, uint64_t at, struct id *person)
{
    int rc = id_make(person, "per_", at);

    return rc < 0 ? rc : people_exec(s, "INSERT INTO person(id, name, made_at) VALUES(?1, ?2, ?3)",
                                     str_of(person->text), STR_NONE, at);
}

int people_need(struct store *s, struct str identity, uint64_t at, struct id *person)
{
    int rc = people_find(s, identity, person);

    if (rc != ERR_NOT_FOUND)
        return rc;
    rc = people_new(s, at, person);
    return rc < 0 ? rc : people_exec(s, "INSERT INTO identity(identity, person, at) VALUES(?1, ?2, ?3)",
                                     identity, str_of(person->text), at);
}

/* ---- A call rings. ---- */

struct seen {
    struct store_op op;
    people_caller_fn *fn;
    void *arg;
    struct str call, number;
    uint64_t at;
    struct people_identity identity;
    struct people_caller c;
    struct arena texts; /* what c borrows */
};

static void seen_done(struct store_op *op, int rc)
{
    struct seen *n = (struct seen *)op;

    if (n->fn != NULL)
        n->fn(n->arg, rc, rc < 0 ? NULL : &n->c);
    arena_free(&n->texts);
    mem_free(n);
}

static struct str keep(struct seen *n, struct str text)
{
    return str_make(arena_text(&n->texts, text), n->texts.rc < 0 ? 0 : text.n);
}

static int seen_person(struct seen *n, struct store *s)
{
    int rc, sq;
    sqlite3_stmt *st = bound(s, "SELECT p.id, p.name, p.language, p.notes FROM identity i JOIN person p"
                                " ON p.id=i.person WHERE i.identity=?1",
                             str_of(n->identity.text), STR_NONE, 0, &rc);
    struct id made;

    if (st == NULL)
        return rc;
    sq = sqlite3_step(st);
    if (sq != SQLITE_ROW && sq != SQLITE_DONE)
        return store_rc(s, sq);
    if (sq == SQLITE_ROW) {
        n->c.person = keep(n, journal_text(st, 0));
        n->c.name = keep(n, journal_text(st, 1));
        n->c.language = keep(n, journal_text(st, 2));
        n->c.notes = keep(n, journal_text(st, 3));
        return n->texts.rc;
    }
    rc = people_need(s, str_of(n->identity.text), n->at, &made);
    n->c.person = keep(n, str_of(made.text));
    return rc < 0 ? rc : n->texts.rc;
}

/* One walk over the person's identities gives the links and, from the numbers' rows, what was before. */
static int seen_before(struct seen *n, struct store *s)
{
    static const char sql[] =
        "SELECT i.identity, coalesce((SELECT source FROM (SELECT source FROM link WHERE a=i.identity UNION ALL"
        " SELECT source FROM link WHERE b=i.identity) ORDER BY source='config' LIMIT 1), ''),"
        " c.first_seen, c.last_seen, c.calls FROM identity i LEFT JOIN caller c"
        " ON i.identity='" PEOPLE_VOICE "' || c.number WHERE i.person=?1 ORDER BY i.at, i.identity";
    int rc, sq;
    sqlite3_stmt *st = bound(s, sql, n->c.person, STR_NONE, 0, &rc);

    if (st == NULL)
        return rc;
    while ((sq = sqlite3_step(st)) == SQLITE_ROW) {
        uint64_t first = journal_u64(st, 2), last = journal_u64(st, 3);

        if (first != 0 && (n->c.first_seen == 0 || first < n->c.first_seen))
            n->c.first_seen = first;
        if (last > n->c.last_seen)
            n->c.last_seen = last;
        n->c.calls += (unsigned)journal_u64(st, 4);
        if (n->c.n_identities == PEOPLE_IDENTITIES_MAX ||
            str_eqc(journal_text(st, 0), n->identity.text))
            continue;
        n->c.identities[n->c.n_identities] = keep(n, journal_text(st, 0));
        n->c.sources[n->c.n_identities++] = keep(n, journal_text(st, 1));
    }
    return sq == SQLITE_DONE ? n->texts.rc : store_rc(s, sq);
}

static int seen_run(struct store_op *op, struct store *s, struct sqlite3 *db)
{
    static const char tie[] = "UPDATE call SET person=?2 WHERE id=?1 AND person=''";
    static const char count[] =
        "INSERT INTO caller(number, first_seen, last_seen, calls) VALUES(?1, ?3, ?3, 1)"
        " ON CONFLICT(number) DO UPDATE SET calls=calls+1, last_seen=max(last_seen, ?3)";
    struct seen *n = (struct seen *)op;
    int64_t counted = 0, stands = 0;
    int rc;

    arena_free(&n->texts);
    memset(&n->c, 0, sizeof n->c);
    if (n->call.n > 0) {
        rc = people_int(s, "SELECT 1 + (person<>'') FROM call WHERE id=?1", n->call, STR_NONE, 0, &stands);
        if (rc < 0 || stands == 0)
            return rc < 0 ? rc : ERR_NOT_FOUND;
        counted = stands == 2;
    }
    rc = seen_person(n, s);
    if (rc == 0)
        rc = seen_before(n, s);
    if (rc < 0)
        return rc;
    if (counted) {
        /* Asked again, after a restart: what was before does not include it. */
        n->c.calls -= n->c.calls > 0;
        return 0;
    }
    rc = n->call.n == 0 ? 0 : people_exec(s, tie, n->call, n->c.person, 0);
    (void)db;
    return rc < 0 ? rc : people_exec(s, count, n->number, STR_NONE, n->at);
}

int people_seen(struct store *s, struct str call, struct str number, uint64_t at, people_caller_fn *fn,
                void *arg)
{
    struct seen *n;
    void *block;
    char *text;
    int rc = op_make(&block, &text, sizeof *n, call.n + number.n);

    if (rc < 0)
        return rc;
    n = block;
    n->op.run = seen_run;
    n->op.done = seen_done;
    n->op.flags = STORE_RETRY;
    n->fn = fn;
    n->arg = arg;
    n->at = at;
    n->call = op_pack(&text, call);
    n->number = op_pack(&text, number);
    arena_init(&n->texts, (size_t)1 << 20);
    if (!phone_is_e164(number)) {
        rc = store_settle(s, &n->op);
        if (rc < 0)
            mem_free(n);
        return rc;
    }
    (void)people_identity_of(number, &n->identity);
    return op_push(s, &n->op);
}

/* ---- What a caller says of themselves. ---- */

struct update {
    struct op o;
    struct str id;
    struct people_update u;
};

/* The note as one line behind the others; the oldest lines go when there are too many. */
static int append_note(struct store *s, struct str person, struct str note)
{
    struct buf b;
    struct str all;
    int rc, sq;
    sqlite3_stmt *st = bound(s, "SELECT notes FROM person WHERE id=?1", person, STR_NONE, 0, &rc);

    if (st == NULL)
        return rc;
    buf_init(&b, 8 * PEOPLE_NOTES_BYTES);
    sq = sqlite3_step(st);
    if (sq == SQLITE_ROW)
        (void)buf_puts(&b, journal_text(st, 0));
    (void)sqlite3_reset(st);
    if (b.n > 0 && b.p[b.n - 1] != '\n')
        (void)buf_putc(&b, '\n');
    for (size_t i = 0; i < note.n; i++)
        (void)buf_putc(&b, (unsigned char)note.p[i] < ' ' ? ' ' : note.p[i]);
    all = buf_str(&b);
    while (all.n > PEOPLE_NOTES_BYTES) {
        size_t line = str_find(all, '\n');

        all = str_skip(all, line < all.n ? line + 1 : all.n);
    }
    rc = sq == SQLITE_ROW ? b.rc : store_rc(s, sq);
    if (rc == 0)
        rc = people_exec(s, "UPDATE person SET notes=?2 WHERE id=?1", person, all, 0);
    buf_free(&b);
    return rc;
}

static int update_run(struct store_op *op, struct store *s, struct sqlite3 *db)
{
    struct update *u = (struct update *)op;
    struct id id;
    struct str person;
    int rc = people_resolve(s, u->id, &id);

    (void)db;
    person = str_of(id.text);
    if (rc == 0 && u->u.name.p != NULL)
        rc = people_exec(s, "UPDATE person SET name=?2 WHERE id=?1", person, u->u.name, 0);
    if (rc == 0 && u->u.language.p != NULL)
        rc = people_exec(s, "UPDATE person SET language=?2 WHERE id=?1", person, u->u.language, 0);
    if (rc == 0 && u->u.notes.p != NULL)
        rc = people_exec(s, "UPDATE person SET notes=?2 WHERE id=?1", person, u->u.notes, 0);
    if (rc == 0 && u->u.note.n > 0)
        rc = append_note(s, person, u->u.note);
    return rc;
}

int people_update(struct store *s, struct str id, const struct people_update *u, people_fn *fn, void *arg)
{
    struct update *o;
    void *block;
    char *text;
    int rc;

    if (u->name.n > PEOPLE_NAME_BYTES || u->language.n > PEOPLE_NAME_BYTES ||
        u->notes.n > PEOPLE_NOTES_BYTES || u->note.n > PEOPLE_NOTES_BYTES)
        return ERR_TOO_BIG;
    rc = op_make(&block, &text, sizeof *o,
                 id.n + u->name.n + u->language.n + u->notes.n + u->note.n);
    if (rc < 0)
        return rc;
    o = block;
    o->id = op_pack(&text, id);
    o->u.name = u->name.p ? op_pack(&text, u->name) : STR_NONE;
    o->u.language = u->language.p ? op_pack(&text, u->language) : STR_NONE;
    o->u.notes = u->notes.p ? op_pack(&text, u->notes) : STR_NONE;
    o->u.note = op_pack(&text, u->note);
    o->o = (struct op){{.run = update_run, .done = op_done, .flags = STORE_RETRY, .bytes = o->o.op.bytes},
                       fn, arg};
    return op_push(s, &o->o.op);
}

/* ---- Summaries. ---- */

struct summary {
    struct op o;
    struct str call, summary, outcome;
};

static int summary_run(struct store_op *op, struct store *s, struct sqlite3 *db)
{
    struct summary *m = (struct summary *)op;
    int rc;
    sqlite3_stmt *st = store_stmt(s, "UPDATE call SET summary=?2, outcome=iif(?3='', outcome, ?3)"
                                     " WHERE id=?1", &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, m->call);
    journal_bind(st, 2, m->summary);
    journal_bind(st, 3, m->outcome);
    rc = journal_step(s, st);
    return rc == 0 && sqlite3_changes64(db) == 0 ? ERR_NOT_FOUND : rc;
}

int people_set_summary(struct store *s, struct str call, struct str summary, const char *outcome,
                       people_fn *fn, void *arg)
{
    struct str end = str_of(outcome);
    struct summary *m;
    void *block;
    char *text;
    int rc = op_make(&block, &text, sizeof *m, call.n + summary.n + end.n);

    if (rc < 0)
        return rc;
    m = block;
    m->call = op_pack(&text, call);
    m->summary = op_pack(&text, summary);
    m->outcome = op_pack(&text, end);
    m->o = (struct op){{.run = summary_run, .done = op_done, .flags = STORE_RETRY,
                        .bytes = m->o.op.bytes}, fn, arg};
    return op_push(s, &m->o.op);
}

/* ---- Chats. ---- */

struct message {
    struct op o;
    struct people_message m;
};

static int message_run(struct store_op *op, struct store *s, struct sqlite3 *db)
{
    static const char sql[] = "INSERT INTO message(identity, session_key, from_them, text, at)"
                              " VALUES(?1, ?2, ?3, ?4, ?5)";
    static const char cut[] = "DELETE FROM message WHERE identity=?1 AND n<=(SELECT n FROM message"
                              " WHERE identity=?1 ORDER BY n DESC LIMIT 1 OFFSET 200)";
    const struct people_message *m = &((struct message *)op)->m;
    int rc;
    sqlite3_stmt *st = store_stmt(s, sql, &rc);

    (void)db;
    if (st == NULL)
        return rc;
    journal_bind(st, 1, m->identity);
    journal_bind(st, 2, m->session_key);
    journal_bind_int(st, 3, m->from_them);
    journal_bind(st, 4, m->text);
    journal_bind_int(st, 5, m->at);
    rc = journal_step(s, st);
    return rc < 0 ? rc : people_exec(s, cut, m->identity, STR_NONE, 0);
}

int people_message(struct store *s, const struct people_message *m, people_fn *fn, void *arg)
{
    struct str said = str_head(m->text, str_utf8_floor(m->text, PEOPLE_MESSAGE_BYTES));
    struct message *o;
    void *block;
    char *text;
    int rc;

    if (!people_is_identity(m->identity))
        return ERR_INVALID;
    rc = op_make(&block, &text, sizeof *o, m->identity.n + m->session_key.n + said.n);
    if (rc < 0)
        return rc;
    o = block;
    o->m = *m;
    o->m.identity = op_pack(&text, m->identity);
    o->m.session_key = op_pack(&text, m->session_key);
    o->m.text = op_pack(&text, said);
    o->o = (struct op){{.run = message_run, .done = op_done, .flags = STORE_RETRY,
                        .bytes = o->o.op.bytes}, fn, arg};
    return op_push(s, &o->o.op);
}
