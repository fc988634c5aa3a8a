/* SPDX-License-Identifier: MIT */
#include "memory/journal_int.h"
#include "memory/rows.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"

#include <string.h>

#define ANSWER_BYTES ((size_t)64 << 20)

struct query {
    struct store_op op;
    journal_query_fn *fn;
    void *arg;
    enum journal_query what;
    unsigned limit;
    struct str id;
    struct buf out;
};

#define VIEW_COLUMNS \
    JOURNAL_CALL_COLUMNS ", (SELECT count(*) FROM turn WHERE turn.call = call.id)," \
                 " (SELECT count(*) FROM tool_run WHERE tool_run.call = call.id), l_carrier, l_phase," \
                 " l_outcome, l_code, l_detail, l_attempts, l_due," \
                 " (SELECT printf('%d.%09d', sum(nano) / 1000000000, sum(nano) % 1000000000) FROM charge" \
                 " WHERE charge.call = call.id HAVING count(*) > 0)," \
                 " (SELECT state FROM recording WHERE recording.call = call.id)"
#define VIEW_FROM \
    " FROM call LEFT JOIN (SELECT call AS l_call, carrier AS l_carrier, phase AS l_phase, outcome AS l_outcome," \
    " code AS l_code, detail AS l_detail, attempts AS l_attempts, due_at AS l_due FROM line) ON l_call=id "

/* Once live it stays so: the leg of a call that has a line may come again. */
static const char *status_of(struct str state, uint64_t live_at)
{
    if (str_eqc(state, JOURNAL_OVER))
        return "ended";
    return live_at != 0 || str_eqc(state, JOURNAL_LIVE) || str_eqc(state, JOURNAL_LEAVING) ? "live" : "ringing";
}

/* What the telephone's side of a call says of it; of one that came straight to the speech API little is known. */
static void put_line(struct buf *b, sqlite3_stmt *st)
{
    struct str phase = journal_text(st, 22), outcome = journal_text(st, 23), recording = journal_text(st, 29);

    if (phase.n == 0 || str_eqc(journal_text(st, 21), "sip")) { /* the second: it was steered */
        jw_kstrc(b, "status", status_of(journal_text(st, 7), journal_u64(st, 16)));
        jw_kstr(b, "detail", journal_text(st, 9));
        jw_kstrc(b, "carrier", "sip");
        if (outcome.n > 0)
            jw_kstr(b, "outcome", outcome);
        return;
    }
    if (str_eqc(journal_text(st, 7), JOURNAL_OVER))
        phase = STR("completed"); /* though it may wait for its recording */
    jw_kstr(b, "status", str_eqc(phase, "queued") || str_eqc(phase, "dialing") ? STR("initiated")
                         : str_eqc(phase, "ending")                            ? STR("answered") : phase);
    jw_kstr(b, "detail", journal_text(st, journal_text(st, 25).n > 0 ? 25 : 9));
    jw_kstr(b, "carrier", journal_text(st, 21));
    jw_kstr(b, "phase", phase);
    jw_kstr(b, "outcome", outcome);
    jw_kstr(b, "carrier_code", journal_text(st, 24));
    jw_kint(b, "attempts", sqlite3_column_int64(st, 26));
    rows_put_time(b, "due_at", journal_u64(st, 27));
    if (recording.n > 0)
        jw_kstr(b, "recording", recording);
}

static void put_members(struct buf *b, sqlite3_stmt *st)
{
    static const char *const names[] = {"call",  "openai_call_id", NULL,     "direction",   "from",
                                        "from_kind", "level",      "state",  "reason",      NULL,
                                        "session_key", "model",    "voice"};
    uint64_t received = journal_u64(st, 14), accepted = journal_u64(st, 15);
    uint64_t live = journal_u64(st, 16), ended = journal_u64(st, 17);
    uint64_t begun = accepted ? accepted : live;

    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++)
        if (names[i] != NULL)
            jw_kstr(b, names[i], journal_text(st, i));
    put_line(b, st);
    rows_put_time(b, "received_at", received);
    rows_put_time(b, "accepted_at", accepted);
    rows_put_time(b, "live_at", live);
    rows_put_time(b, "ended_at", ended);
    jw_key(b, "duration_ms");
    if (ended == 0)
        jw_null(b);
    else
        jw_int(b, begun != 0 && ended > begun ? (int64_t)(ended - begun) : 0);
    jw_kint(b, "turns", sqlite3_column_int64(st, 19));
    jw_kraw(b, "cost_usd", journal_text(st, 28).n > 0 ? journal_text(st, 28) : STR("null"));
}

/* One call, with what a list leaves out. */
static void put_call(struct buf *b, sqlite3_stmt *st)
{
    struct str usage = journal_text(st, 13);

    jw_open(b, '{');
    put_members(b, st);
    jw_kraw(b, "usage", usage.n > 0 && json_check(usage, NULL) == 0 ? usage : STR("null"));
    jw_kint(b, "tools", sqlite3_column_int64(st, 20));
    jw_close(b, '}');
}

static int put_row(struct store *s, sqlite3_stmt *st, struct buf *b)
{
    (void)s;
    put_members(b, st);
    return 0;
}

static int query_calls(struct query *q, struct store *s)
{
#define CALLS_QUERY(where) \
    {"calls", "SELECT " VIEW_COLUMNS VIEW_FROM where " ORDER BY id DESC LIMIT ?2", no_cols, put_row}
    static const struct rows_col no_cols[] = {{NULL, 0}};
    static const struct rows_query all = CALLS_QUERY(""), live = CALLS_QUERY("WHERE state<>'over'"),
                                   over = CALLS_QUERY("WHERE state='over'");
#undef CALLS_QUERY
    const struct rows_query *which = q->id.n == 0 ? &all : str_eqc(q->id, "live") ? &live
                                     : str_eqc(q->id, "over") ? &over : NULL;

    return which == NULL ? ERR_INVALID : rows_put_object(s, which, STR_NONE, rows_limit(q->limit), &q->out);
}

static int view_call(struct store *s, struct str id, sqlite3_stmt **out)
{
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, "SELECT " VIEW_COLUMNS VIEW_FROM "WHERE id=?1", &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, id);
    sq = sqlite3_step(st);
    *out = st;
    return sq == SQLITE_ROW ? 0 : sq == SQLITE_DONE ? ERR_NOT_FOUND : store_rc(s, sq);
}

/* Beyond the time of claims, the provider's id is looked for among this many calls. */
#define SCAN_CALLS "100000"

/* The text that `sql` finds for the id, into out[cap]. */
static int find_text(struct store *s, const char *sql, struct str id, char *out, unsigned cap)
{
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, sql, &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, id);
    sq = sqlite3_step(st);
    if (sq != SQLITE_ROW)
        return sq == SQLITE_DONE ? ERR_NOT_FOUND : store_rc(s, sq);
    return str_copy(out, cap, journal_text(st, 0)) ? 0 : ERR_NOT_FOUND;
}

/* The provider's id leads to ours by its claim while that stands; later by a walk over the newest calls. */
static int find_claimed(struct store *s, struct str id, char *out, unsigned cap)
{
    unsigned char key[JOURNAL_KEY_BYTES];
    int64_t n = 0;
    int rc = claim_index_sync(s->index, s);

    journal_key_openai(key, id);
    if (rc == 0)
        rc = claim_index_find(s->index, s, key, 0, &n, out, cap);
    if (rc < 0 || n != 0)
        return rc;
    return find_text(s, "SELECT id FROM (SELECT id, openai_call_id FROM call ORDER BY id DESC LIMIT " SCAN_CALLS
                        ") WHERE openai_call_id=?1", id, out, cap);
}

/* The carrier's name of a leg. */
static int find_leg(struct store *s, struct str id, char *out, unsigned cap)
{
    return find_text(s, "SELECT call FROM leg_sid WHERE sid=?1", id, out, cap);
}

/* The call's row, by our id, OpenAI's or the carrier's; *st stands on it. */
static int find_call(struct store *s, struct str id, sqlite3_stmt **st)
{
    char ours[128];
    int rc = view_call(s, id, st);

    if (rc != ERR_NOT_FOUND || id.n == 0)
        return rc;
    rc = find_leg(s, id, ours, sizeof ours);
    if (rc == ERR_NOT_FOUND)
        rc = find_claimed(s, id, ours, sizeof ours);
    return rc < 0 ? rc : view_call(s, str_of(ours), st);
}

static int put_turns(struct buf *b, struct store *s, struct str call)
{
    static const struct rows_col cols[] = {{"item_id", ROWS_TEXT},     {"who", ROWS_TEXT}, {"text", ROWS_TEXT},
                                           {"interrupted", ROWS_BOOL}, {"at", ROWS_INT},   {NULL, 0}};
    static const struct rows_query query = {
        "turns", "SELECT item_id, who, text, interrupted, at FROM turn WHERE call=?1 ORDER BY pos, n", cols, NULL};

    return rows_put(s, &query, call, 0, b);
}

static int put_hops(struct buf *b, struct store *s, struct str call)
{
    static const struct rows_col cols[] = {
        {"at", ROWS_INT}, {"hop", ROWS_TEXT}, {"detail", ROWS_TEXT}, {NULL, 0}};
    static const struct rows_query query = {
        "hops", "SELECT at, hop, detail FROM hop WHERE call=?1 ORDER BY seq", cols, NULL};

    return rows_put(s, &query, call, 0, b);
}

static int put_tools(struct buf *b, struct store *s, struct str call)
{
    static const struct rows_col cols[] = {{"tool_call", ROWS_TEXT}, {"name", ROWS_TEXT},
                                           {"arguments", ROWS_TEXT}, {"state", ROWS_TEXT},
                                           {"output", ROWS_TEXT},    {"at", ROWS_INT},     {NULL, 0}};
    static const struct rows_query query = {
        "tools", "SELECT tool_call, name, arguments, state, output, at FROM tool_run WHERE call=?1 ORDER BY n", cols,
        NULL};

    return rows_put(s, &query, call, 0, b);
}

static int put_counts(struct buf *b, struct store *s, struct str call)
{
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, "SELECT total(who='caller'), total(who='assistant'),"
                                     " total(interrupted) FROM turn WHERE call=?1", &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, call);
    sq = sqlite3_step(st);
    jw_key(b, "turns");
    jw_open(b, '{');
    jw_kint(b, "caller", sqlite3_column_int64(st, 0));
    jw_kint(b, "assistant", sqlite3_column_int64(st, 1));
    jw_kint(b, "interrupted", sqlite3_column_int64(st, 2));
    jw_close(b, '}');
    return store_rc(s, sq);
}

static int query_one(struct query *q, struct store *s)
{
    struct buf *b = &q->out;
    sqlite3_stmt *st;
    char ours[128];
    struct str call;
    int rc = find_call(s, q->id, &st);

    if (rc < 0)
        return rc;
    if (!str_copy(ours, sizeof ours, journal_text(st, 0)))
        return ERR_TOO_BIG;
    call = str_of(ours);
    if (q->what == JOURNAL_Q_CALL) {
        put_call(b, st);
        return 0;
    }
    jw_open(b, '{');
    if (q->what == JOURNAL_Q_TRANSCRIPT) {
        jw_kstr(b, "call", call);
        rc = put_turns(b, s, call);
        jw_close(b, '}');
        return rc;
    }
    jw_key(b, "call");
    put_call(b, st);
    rc = put_hops(b, s, call);
    if (rc == 0)
        rc = put_tools(b, s, call);
    if (rc == 0)
        rc = put_counts(b, s, call);
    jw_close(b, '}');
    return rc;
}

static int query_run(struct store_op *op, struct store *s, struct sqlite3 *db)
{
    struct query *q = (struct query *)op;
    int rc;

    (void)db;
    buf_clear(&q->out);
    rc = q->what == JOURNAL_Q_CALLS ? query_calls(q, s) : query_one(q, s);
    return rc < 0 ? rc : q->out.rc;
}

static void query_done(struct store_op *op, int rc)
{
    struct query *q = (struct query *)op;

    q->fn(q->arg, rc, rc < 0 ? STR_NONE : buf_str(&q->out));
    buf_free(&q->out);
    mem_free(q);
}

int journal_query(struct store *s, enum journal_query what, struct str id, unsigned limit,
                  journal_query_fn *fn, void *arg)
{
    struct query *q;
    int rc;

    if (id.n > 4096)
        return ERR_TOO_BIG;
    q = mem_zalloc(sizeof *q + id.n);
    if (q == NULL)
        return ERR_NOMEM;
    q->op = (struct store_op){.run = query_run, .done = query_done, .flags = STORE_READ,
                              .bytes = sizeof *q + id.n};
    q->fn = fn;
    q->arg = arg;
    q->what = what;
    q->limit = limit;
    if (id.n > 0)
        memcpy(q + 1, id.p, id.n);
    q->id = str_make((const char *)(q + 1), id.n);
    buf_init(&q->out, ANSWER_BYTES);
    rc = store_push(s, &q->op);
    if (rc < 0)
        mem_free(q);
    return rc;
}
