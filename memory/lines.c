/* SPDX-License-Identifier: MIT */
#include "memory/lines.h"

#include "memory/journal_int.h"
#include "memory/people_int.h"
#include "memory/rows.h"
#include "memory/sql_op.h"
#include "plugin/base/arena.h"
#include "plugin/base/id.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"

#include <string.h>

#define ROWS_BYTES ((size_t)64 << 20)
#define LINES_MAX 16384u

/* ---- Making a row that an asker's key may name already ---- */

struct make {
    struct store_op op;
    line_made_fn *fn;
    void *arg;
    enum line_made made;
    char stands[ID_BYTES]; /* the id of the row, the new one's or the earlier one's */
    struct str id, call, idem, idem_hash;
    const char *find_sql;  /* ?1 key, ?2 call: id and hash of the row that has it */
    bool has_call;
    struct journal_call call_row;
    struct sql_op insert;
};

static void make_done(struct store_op *op, int rc)
{
    struct make *m = (struct make *)op;

    m->fn(m->arg, rc, m->made, str_of(m->stands));
    mem_free(m);
}

/* The write lock is held: nobody puts the same key between the look and the insert. */
static int find_key(struct make *m, struct store *s)
{
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, m->find_sql, &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, m->idem);
    journal_bind(st, 2, m->call);
    sq = sqlite3_step(st);
    if (sq != SQLITE_ROW)
        return sq == SQLITE_DONE ? 0 : store_rc(s, sq);
    if (!str_copy(m->stands, sizeof m->stands, journal_text(st, 0)))
        return ERR_CORRUPT;
    m->made = str_eq(journal_text(st, 1), m->idem_hash) ? LINE_MADE_SAME : LINE_MADE_OTHER;
    return 0;
}

static int make_run(struct store_op *op, struct store *s, struct sqlite3 *db)
{
    struct make *m = (struct make *)op;
    int rc = 0;

    (void)db;
    m->made = LINE_MADE_NEW;
    (void)str_copy(m->stands, sizeof m->stands, m->id);
    if (m->idem.n > 0)
        rc = find_key(m, s);
    if (rc < 0 || m->made != LINE_MADE_NEW)
        return rc;
    if (m->has_call)
        rc = journal_insert(s, &m->call_row);
    return rc < 0 ? rc : sql_op_run(s, &m->insert);
}

/* Copies *what, the row of a call with it if there is one, and queues it. */
static int make_push(struct store *s, const struct make *what, const struct journal_call *call,
                     uint64_t deadline_ms, line_made_fn *fn, void *arg)
{
    size_t bytes = what->id.n + what->call.n + what->idem.n + what->idem_hash.n;
    struct make *m;
    void *block;
    char *at;
    int rc;

    for (unsigned i = 0; i < what->insert.n_texts; i++)
        bytes += what->insert.texts[i].n;
    rc = op_make(&block, &at, sizeof *m, bytes + (call != NULL ? journal_row_bytes(call) : 0));
    if (rc < 0)
        return rc;
    m = block;
    bytes = m->op.bytes;
    *m = *what;
    m->op = (struct store_op){.run = make_run, .done = make_done, .deadline_ms = deadline_ms, .bytes = bytes};
    m->fn = fn;
    m->arg = arg;
    m->id = op_pack(&at, what->id);
    m->call = op_pack(&at, what->call);
    m->idem = op_pack(&at, what->idem);
    m->idem_hash = op_pack(&at, what->idem_hash);
    for (unsigned i = 0; i < what->insert.n_texts; i++)
        m->insert.texts[i] = op_pack(&at, what->insert.texts[i]);
    m->has_call = call != NULL;
    if (call != NULL)
        journal_row_pack(&m->call_row, call, &at);
    return op_push(s, &m->op);
}

/* ---- Lines ---- */

int line_put(struct store *s, const struct journal_call *call, const struct line_row *row, uint64_t deadline_ms,
             line_made_fn *fn, void *arg)
{
    const struct make m = {
        .id = row->call, .call = row->call, .idem = row->idem, .idem_hash = row->idem_hash,
        .find_sql = "SELECT call, idem_hash FROM line WHERE idem=?1 AND ?2=?2",
        .insert = {.sql = "INSERT INTO line(call, carrier, ref, phase, outcome, code, detail, number, own, machine,"
                          " spec, idem, idem_hash, attempts, made_at, due_at, answered_at, ended_at)"
                          " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18)",
                   .texts = {row->call, row->carrier, row->ref, row->phase, row->outcome, row->code, row->detail,
                             row->number, row->own, row->machine, row->spec, row->idem, row->idem_hash},
                   .n_texts = 13,
                   .ints = {row->attempts, row->made_at, row->due_at, row->answered_at, row->ended_at},
                   .n_ints = 5}};

    return make_push(s, &m, call, deadline_ms, fn, arg);
}

int line_add(struct store *s, const struct line_row *row, journal_fn *fn, void *arg)
{
    const struct sql_op op = {
        .sql = "INSERT INTO line(call, carrier, ref, phase, outcome, code, detail, number, own, machine, spec, idem,"
               " idem_hash, attempts, made_at, due_at, answered_at, ended_at)"
               " SELECT id,?2,?3,?4,'','','',?5,?6,'','','','',0,?7,0,0,0 FROM call WHERE id=?1"
               " ON CONFLICT(call) DO NOTHING",
        .texts = {row->call, row->carrier, row->ref, row->phase, row->number, row->own}, .n_texts = 6,
        .ints = {row->made_at}, .n_ints = 1};

    return sql_op_push(s, &op, fn, arg);
}

int line_end_over(struct store *s, journal_fn *fn, void *arg)
{
    const struct sql_op op = {.sql = "UPDATE line SET phase='completed', machine='' WHERE phase<>'completed'"
                                     " AND (phase<>'ending' OR machine='' OR carrier='sip') AND EXISTS"
                                     " (SELECT 1 FROM call c WHERE c.id=line.call AND c.state='over')"};

    return sql_op_push(s, &op, fn, arg);
}

int line_save(struct store *s, const struct line_row *row, journal_fn *fn, void *arg)
{
    const struct sql_op op = {
        .sql = "UPDATE line SET phase=?2, outcome=?3, code=?4, detail=?5, machine=?6, attempts=?8, due_at=?9,"
               " answered_at=?10, ended_at=?11 WHERE call=?1"
               " AND EXISTS (SELECT 1 FROM call c WHERE c.id=?1 AND c.owner=?7)",
        .texts = {row->call, row->phase, row->outcome, row->code, row->detail, row->machine},
        .n_texts = 6, .owner = true, .must_change = true,
        .ints = {row->attempts, row->due_at, row->answered_at, row->ended_at}, .n_ints = 4};

    return sql_op_push(s, &op, fn, arg);
}

int line_note_leg(struct store *s, struct str sid, struct str call, journal_fn *fn, void *arg)
{
    const struct sql_op op = {.sql = "INSERT INTO leg_sid(sid, call) SELECT ?1, id FROM call WHERE id=?2"
                                     " ON CONFLICT(sid) DO NOTHING",
                              .texts = {sid, call}, .n_texts = 2};

    return sql_op_push(s, &op, fn, arg);
}

int line_note_ref(struct store *s, struct str ref, struct str call, journal_fn *fn, void *arg)
{
    const struct sql_op op = {.sql = "INSERT INTO leg_ref(ref, call, used) SELECT ?1, id, 0 FROM call WHERE id=?2"
                                     " ON CONFLICT(ref) DO NOTHING",
                              .texts = {ref, call}, .n_texts = 2};

    return sql_op_push(s, &op, fn, arg);
}

/* ---- Reading rows ---- */

struct rows { /* of one kind: an array in `mem` of `size` bytes each */
    struct store_op op;
    union {
        lines_found_fn *lines;
        actions_fn *actions;
        recordings_fn *recordings;
        recordings_owed_fn *owed;
        questions_fn *questions;
    } fn;
    void *arg;
    int (*read)(struct rows *r, sqlite3_stmt *st, void *row);
    void (*tell)(struct rows *r, int rc);
    const char *sql; /* ?1 id, ?2 this instance */
    struct str id;
    size_t size;
    unsigned n;
    void *v;
    struct arena mem;
};

static struct str keep(struct rows *r, sqlite3_stmt *st, int col)
{
    struct str text = journal_text(st, col);

    return str_make(arena_text(&r->mem, text), text.n);
}

static void rows_done(struct store_op *op, int rc)
{
    struct rows *r = (struct rows *)op;

    if (rc < 0)
        r->n = 0;
    r->tell(r, rc);
    arena_free(&r->mem);
    mem_free(r);
}

static int rows_run(struct store_op *op, struct store *s, struct sqlite3 *db)
{
    struct rows *r = (struct rows *)op;
    unsigned room = 0;
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, r->sql, &rc);

    (void)db;
    if (st == NULL)
        return rc;
    arena_free(&r->mem);
    r->n = 0;
    journal_bind(st, 1, r->id);
    journal_bind(st, 2, store_owner(s));
    while ((sq = sqlite3_step(st)) == SQLITE_ROW && r->n < LINES_MAX) {
        if (r->n == room) {
            void *old = r->v;

            room = room == 0 ? 16 : room * 2;
            r->v = arena_alloc(&r->mem, room * r->size);
            if (r->v == NULL)
                return ERR_NOMEM;
            for (size_t i = 0; old != NULL && i < r->n * r->size; i++)
                ((char *)r->v)[i] = ((char *)old)[i];
        }
        rc = r->read(r, st, (char *)r->v + r->n * r->size);
        if (rc < 0 || r->mem.rc < 0)
            return rc < 0 ? rc : r->mem.rc;
        r->n++;
    }
    return sq == SQLITE_ROW ? 0 : store_rc(s, sq);
}

static int rows_push(struct store *s, const struct rows *what)
{
    struct rows *r;
    void *block;
    char *at;
    int rc = op_make(&block, &at, sizeof *r, what->id.n);

    if (rc < 0)
        return rc;
    r = block;
    *r = *what;
    r->op = (struct store_op){.run = rows_run, .done = rows_done, .flags = STORE_READ, .bytes = sizeof *r};
    r->id = op_pack(&at, what->id);
    arena_init(&r->mem, ROWS_BYTES);
    return op_push(s, &r->op);
}

static int read_line(struct rows *r, sqlite3_stmt *st, void *at)
{
    *(struct line_row *)at = (struct line_row){
        .call = keep(r, st, 0), .carrier = keep(r, st, 1), .ref = keep(r, st, 2), .phase = keep(r, st, 3),
        .outcome = keep(r, st, 4), .code = keep(r, st, 5), .detail = keep(r, st, 6), .number = keep(r, st, 7),
        .own = keep(r, st, 8), .machine = keep(r, st, 9), .spec = keep(r, st, 10),
        .attempts = (unsigned)journal_u64(st, 11), .made_at = journal_u64(st, 12), .due_at = journal_u64(st, 13),
        .answered_at = journal_u64(st, 14), .ended_at = journal_u64(st, 15)};
    return 0;
}

static void tell_lines(struct rows *r, int rc)
{
    r->fn.lines(r->arg, rc, r->v, r->n);
}

#define LINE_COLUMNS "l.call, l.carrier, l.ref, l.phase, l.outcome, l.code, l.detail, l.number, l.own, l.machine," \
                     " l.spec, l.attempts, l.made_at, l.due_at, l.answered_at, l.ended_at"

int lines_open_rows(struct store *s, lines_found_fn *fn, void *arg)
{
    const struct rows what = {.sql = "SELECT " LINE_COLUMNS " FROM line l JOIN call c ON c.id=l.call"
                                     " WHERE l.phase<>'completed' AND c.owner=?2 AND (c.state<>'over' OR"
                                     " (l.phase='ending' AND l.machine<>'')) AND ?1='' ORDER BY l.call",
                              .fn.lines = fn, .arg = arg, .read = read_line, .tell = tell_lines,
                              .size = sizeof(struct line_row)};

    return rows_push(s, &what);
}

int line_row_of(struct store *s, struct str call, lines_found_fn *fn, void *arg)
{
    const struct rows what = {.sql = "SELECT " LINE_COLUMNS " FROM line l WHERE l.call=?1 OR l.ref=?1 OR l.call="
                                     "(SELECT call FROM leg_sid WHERE sid=?1) AND ?2=?2 LIMIT 1",
                              .id = call, .fn.lines = fn, .arg = arg, .read = read_line, .tell = tell_lines,
                              .size = sizeof(struct line_row)};

    return rows_push(s, &what);
}

/* ---- Actions ---- */

int action_put(struct store *s, const struct action_row *row, line_made_fn *fn, void *arg)
{
    const struct make m = {
        .id = row->id, .call = row->call, .idem = row->idem, .idem_hash = row->idem_hash,
        .find_sql = "SELECT id, idem_hash FROM action WHERE idem=?1 AND call=?2",
        .insert = {.sql = "INSERT INTO action(id, call, kind, state, error, idem, idem_hash, body, at, done_at)"
                          " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)",
                   .texts = {row->id, row->call, row->kind, row->state, row->error, row->idem, row->idem_hash,
                             row->body},
                   .n_texts = 8,
                   .ints = {row->at, row->done_at},
                   .n_ints = 2}};

    return make_push(s, &m, NULL, 0, fn, arg);
}

int action_save(struct store *s, struct str id, struct str state, struct str error, uint64_t done_at,
                journal_fn *fn, void *arg)
{
    const struct sql_op op = {.sql = "UPDATE action SET state=?2, error=?3, done_at=?4 WHERE id=?1 AND done_at=0",
                              .texts = {id, state, error}, .n_texts = 3, .ints = {done_at}, .n_ints = 1};

    return sql_op_push(s, &op, fn, arg);
}

static int read_action(struct rows *r, sqlite3_stmt *st, void *at)
{
    *(struct action_row *)at = (struct action_row){
        .id = keep(r, st, 0), .call = keep(r, st, 1), .kind = keep(r, st, 2), .state = keep(r, st, 3),
        .error = keep(r, st, 4), .body = keep(r, st, 5), .at = journal_u64(st, 6), .done_at = journal_u64(st, 7)};
    return 0;
}

static void tell_actions(struct rows *r, int rc)
{
    r->fn.actions(r->arg, rc, r->v, r->n);
}

int action_rows(struct store *s, struct str id, actions_fn *fn, void *arg)
{
    const struct rows what = {
        .sql = id.n > 0 ? "SELECT id, call, kind, state, error, body, at, done_at FROM action WHERE id=?1 AND ?2=?2"
                        : "SELECT a.id, a.call, a.kind, a.state, a.error, a.body, a.at, a.done_at FROM call c"
                          " JOIN action a ON a.call=c.id WHERE c.state<>'over' AND c.owner=?2 AND a.done_at=0"
                          " AND ?1='' ORDER BY a.at, a.id",
        .id = id, .fn.actions = fn, .arg = arg, .read = read_action, .tell = tell_actions,
        .size = sizeof(struct action_row)};

    return rows_push(s, &what);
}

int action_end_over(struct store *s, struct str error, uint64_t now_ms, journal_fn *fn, void *arg)
{
    const struct sql_op op = {
        .sql = "UPDATE action SET state=CASE WHEN kind='hangup' THEN 'done' WHEN state='doing' THEN 'uncertain'"
               " ELSE 'failed' END,"
               " error=CASE kind WHEN 'hangup' THEN '' ELSE ?1 END, done_at=?2 WHERE done_at=0"
               " AND EXISTS (SELECT 1 FROM call c WHERE c.id=action.call AND c.state='over')",
        .texts = {error}, .n_texts = 1, .ints = {now_ms}, .n_ints = 1};

    return sql_op_push(s, &op, fn, arg);
}

static int list_actions(struct op_ask *a, struct store *s)
{
    static const struct rows_col cols[] = {{"id", ROWS_TEXT},    {"action", ROWS_TEXT}, {"state", ROWS_TEXT},
                                           {"error", ROWS_TEXT}, {"body", ROWS_JSON},   {"at", ROWS_INT},
                                           {"done_at", ROWS_INT}, {NULL, 0}};
    static const struct rows_query query = {
        "actions",
        "SELECT id, kind, state, error, body, at, done_at FROM action WHERE call=?1 ORDER BY at, id LIMIT ?2",
        cols, NULL};

    return rows_put_object(s, &query, a->id, ROWS_MAX, &a->out);
}

int action_list(struct store *s, struct str call, journal_query_fn *fn, void *arg)
{
    const struct op_ask what = {.id = call, .run = list_actions, .op.flags = STORE_READ};

    return op_ask(s, &what, fn, arg);
}

/* ---- Recordings ---- */

struct adding { /* a row, or what is owed where its call is gone */
    struct op o;
    struct sql_op add, owe;
};

static int adding_run(struct store_op *op, struct store *s, struct sqlite3 *db)
{
    const struct adding *a = (const struct adding *)op;
    int rc = sql_op_run(s, &a->add);

    (void)db;
    return rc < 0 ? rc : sql_op_run(s, &a->owe);
}

int recording_add(struct store *s, const struct recording_row *row, journal_fn *fn, void *arg)
{
    const struct str texts[] = {row->call, row->sid, row->state, row->path, row->type, row->error};
    const uint64_t ints[] = {row->at, row->due_at, row->channels};
    size_t bytes = 0;
    struct adding *a;
    void *block;
    char *at;
    int rc;

    for (unsigned i = 0; i < 6; i++)
        bytes += texts[i].n;
    rc = op_make(&block, &at, sizeof *a, bytes);
    if (rc < 0)
        return rc;
    a = block;
    a->add = (struct sql_op){
        .sql = "INSERT INTO recording(call, sid, state, path, sha256, type, error, bytes, at, due_at, channels,"
               " attempts, sealed) SELECT ?1,?2,?3,?4,'',?5,?6,0,?7,?8,?9,0,0 FROM call WHERE id=?1"
               " ON CONFLICT(call) DO NOTHING", .n_texts = 6, .n_ints = 3};
    for (unsigned i = 0; i < 6; i++)
        a->add.texts[i] = op_pack(&at, texts[i]);
    memcpy(a->add.ints, ints, sizeof ints);
    a->owe = (struct sql_op){
        .sql = "INSERT INTO recording_owed(sid, path, made_at, due_at, attempts) SELECT ?2, '', ?3, 0, 0"
               " WHERE ?2<>'' AND NOT EXISTS (SELECT 1 FROM call WHERE id=?1)",
        .texts = {a->add.texts[0], a->add.texts[1]}, .n_texts = 2, .ints = {row->at}, .n_ints = 1};
    a->o = (struct op){{.run = adding_run, .done = op_done, .flags = STORE_RETRY, .bytes = a->o.op.bytes}, fn, arg};
    return op_push(s, &a->o.op);
}

int recording_save(struct store *s, const struct recording_row *row, journal_fn *fn, void *arg)
{
    const struct sql_op op = {
        .sql = "UPDATE recording SET state=?2, path=?3, sha256=?4, type=?5, error=?6, bytes=?7, due_at=?8,"
               " channels=?9, attempts=?10, sealed=?11 WHERE call=?1 AND state='fetching'",
        .texts = {row->call, row->state, row->path, row->sha256, row->type, row->error}, .n_texts = 6,
        .ints = {row->bytes, row->due_at, row->channels, row->attempts, row->sealed}, .n_ints = 5,
        .must_change = true};

    return sql_op_push(s, &op, fn, arg);
}

static int read_recording(struct rows *r, sqlite3_stmt *st, void *at)
{
    *(struct recording_row *)at = (struct recording_row){
        .call = keep(r, st, 0), .sid = keep(r, st, 1), .state = keep(r, st, 2), .path = keep(r, st, 3),
        .sha256 = keep(r, st, 4), .type = keep(r, st, 5), .error = keep(r, st, 6), .bytes = journal_u64(st, 7),
        .at = journal_u64(st, 8), .due_at = journal_u64(st, 9), .channels = (unsigned)journal_u64(st, 10),
        .attempts = (unsigned)journal_u64(st, 11), .sealed = journal_u64(st, 12) != 0};
    return 0;
}

static void tell_recordings(struct rows *r, int rc)
{
    r->fn.recordings(r->arg, rc, r->v, r->n);
}

#define RECORDING_COLUMNS \
    "r.call, r.sid, r.state, r.path, r.sha256, r.type, r.error, r.bytes, r.at, r.due_at, r.channels, r.attempts," \
    " r.sealed"

int recording_rows(struct store *s, struct str call, recordings_fn *fn, void *arg)
{
    const struct rows what = {
        .sql = call.n > 0 ? "SELECT " RECORDING_COLUMNS " FROM recording r WHERE r.call=?1 AND ?2=?2"
                          : "SELECT " RECORDING_COLUMNS " FROM recording r JOIN call c ON c.id=r.call"
                            " WHERE r.state='fetching' AND c.owner=?2 AND ?1='' ORDER BY r.due_at, r.call",
        .id = call, .fn.recordings = fn, .arg = arg, .read = read_recording, .tell = tell_recordings,
        .size = sizeof(struct recording_row)};

    return rows_push(s, &what);
}

int recording_drop(struct store *s, struct str call, journal_fn *fn, void *arg)
{
    const struct sql_op op = {.sql = "UPDATE recording SET state='deleted' WHERE call=?1 AND state<>'deleted'",
                              .texts = {call}, .n_texts = 1, .must_change = true};

    return sql_op_push(s, &op, fn, arg);
}

int recording_expire(struct store *s, uint64_t before, journal_fn *fn, void *arg)
{
    const struct sql_op op = {.sql = "UPDATE recording SET state='deleted' WHERE at<?1"
                                     " AND state IN ('stored','failed')", .ints = {before}, .n_ints = 1};

    return sql_op_push(s, &op, fn, arg);
}

/* ---- What is owed of recordings ---- */

static int read_owed(struct rows *r, sqlite3_stmt *st, void *at)
{
    *(struct recording_owed *)at = (struct recording_owed){
        .n = journal_u64(st, 0), .sid = keep(r, st, 1), .path = keep(r, st, 2), .made_at = journal_u64(st, 3),
        .due_at = journal_u64(st, 4), .attempts = (unsigned)journal_u64(st, 5)};
    return 0;
}

static void tell_owed(struct rows *r, int rc)
{
    r->fn.owed(r->arg, rc, r->v, r->n);
}

int recordings_owed(struct store *s, recordings_owed_fn *fn, void *arg)
{
    const struct rows what = {.sql = "SELECT n, sid, path, made_at, due_at, attempts FROM recording_owed"
                                     " WHERE ?1='' AND ?2=?2 ORDER BY due_at, n LIMIT 1000",
                              .fn.owed = fn, .arg = arg, .read = read_owed, .tell = tell_owed,
                              .size = sizeof(struct recording_owed)};

    return rows_push(s, &what);
}

int recording_owed_again(struct store *s, uint64_t n, unsigned attempts, uint64_t due_at, journal_fn *fn, void *arg)
{
    const struct sql_op op = {.sql = "UPDATE recording_owed SET attempts=?2, due_at=?3 WHERE n=?1",
                              .ints = {n, attempts, due_at}, .n_ints = 3};

    return sql_op_push(s, &op, fn, arg);
}

int recording_owed_done(struct store *s, uint64_t n, journal_fn *fn, void *arg)
{
    const struct sql_op op = {.sql = "DELETE FROM recording_owed WHERE n=?1", .ints = {n}, .n_ints = 1};

    return sql_op_push(s, &op, fn, arg);
}

/* ---- Questions to the owner ---- */

int question_put(struct store *s, const struct question_row *row, journal_fn *fn, void *arg)
{
    const struct sql_op op = {
        .sql = "INSERT INTO question(id, call, text, answer, identity, state, asked_at, until, answered_at)"
               " SELECT ?1,?2,?3,?4,?5,?6,?7,?8,?9 FROM call WHERE id=?2 ON CONFLICT(id) DO UPDATE SET"
               " answer=excluded.answer, identity=excluded.identity, state=excluded.state, until=excluded.until,"
               " answered_at=excluded.answered_at",
        .texts = {row->id, row->call, row->text, row->answer, row->identity, row->state}, .n_texts = 6,
        .ints = {row->asked_at, row->until, row->answered_at}, .n_ints = 3};

    return sql_op_push(s, &op, fn, arg);
}

static int read_question(struct rows *r, sqlite3_stmt *st, void *at)
{
    *(struct question_row *)at = (struct question_row){
        .id = keep(r, st, 0), .call = keep(r, st, 1), .text = keep(r, st, 2), .answer = keep(r, st, 3),
        .identity = keep(r, st, 4), .state = keep(r, st, 5), .asked_at = journal_u64(st, 6),
        .until = journal_u64(st, 7), .answered_at = journal_u64(st, 8)};
    return 0;
}

static void tell_questions(struct rows *r, int rc)
{
    r->fn.questions(r->arg, rc, r->v, r->n);
}

int question_rows(struct store *s, struct str call, questions_fn *fn, void *arg)
{
    const struct rows what = {.sql = "SELECT q.id, q.call, q.text, q.answer, q.identity, q.state, q.asked_at, q.until,"
                                     " q.answered_at FROM question q JOIN call c ON c.id=q.call WHERE (q.call=?1 OR"
                                     " (?1='' AND q.state NOT IN ('told','expired') AND c.owner=?2))"
                                     " ORDER BY q.asked_at, q.id",
                              .id = call, .fn.questions = fn, .arg = arg, .read = read_question,
                              .tell = tell_questions, .size = sizeof(struct question_row)};

    return rows_push(s, &what);
}
