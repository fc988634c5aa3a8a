/* SPDX-License-Identifier: MIT */
#include "memory/people.h"

#include "memory/people_int.h"
#include "memory/rows.h"
#include "plugin/base/json.h"

#include <string.h>

#define GET_CALLS 100u
#define LAST_TURNS 6
#define SEARCH_WORDS 16u

/* ---- A person. ---- */

static int put_numbers(struct store *s, struct str person, struct buf *b)
{
    static const char sql[] = "SELECT c.number FROM identity i JOIN caller c ON i.identity='" PEOPLE_VOICE
                              "' || c.number WHERE i.person=?1 ORDER BY c.first_seen, c.number";
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, sql, &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, person);
    jw_key(b, "numbers");
    jw_open(b, '[');
    while ((sq = sqlite3_step(st)) == SQLITE_ROW)
        jw_str(b, journal_text(st, 0));
    jw_close(b, ']');
    return store_rc(s, sq);
}

static int put_identities(struct store *s, struct str person, struct buf *b)
{
    static const struct rows_col cols[] = {
        {"identity", ROWS_TEXT}, {"source", ROWS_TEXT_OR_NULL}, {"at", ROWS_INT}, {NULL, 0}};
    static const struct rows_query query = {
        "identities",
        "SELECT i.identity, coalesce((SELECT source FROM (SELECT source FROM link WHERE a=i.identity UNION ALL"
        " SELECT source FROM link WHERE b=i.identity) ORDER BY source='config' LIMIT 1), ''), i.at"
        " FROM identity i WHERE i.person=?1 ORDER BY i.at, i.identity",
        cols, NULL};

    return rows_put(s, &query, person, 0, b);
}

static int put_fields(struct store *s, struct str person, struct buf *b)
{
    static const char sql[] =
        "SELECT p.id, p.name, p.language, p.notes, min(c.first_seen), max(c.last_seen), total(c.calls)"
        " FROM person p LEFT JOIN identity i ON i.person=p.id LEFT JOIN caller c"
        " ON i.identity='" PEOPLE_VOICE "' || c.number WHERE p.id=?1 GROUP BY p.id";
    static const struct rows_col cols[] = {
        {"person", ROWS_TEXT}, {"name", ROWS_TEXT},      {"language", ROWS_TEXT},  {"notes", ROWS_TEXT},
        {"first_seen", ROWS_TIME}, {"last_seen", ROWS_TIME}, {"call_count", ROWS_INT}, {NULL, 0}};
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, sql, &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, person);
    sq = sqlite3_step(st);
    if (sq != SQLITE_ROW)
        return sq == SQLITE_DONE ? ERR_NOT_FOUND : store_rc(s, sq);
    rows_put_members(b, st, cols);
    return 0;
}

/* The members of a person's object; who calls opens and closes it. */
static int put_members(struct store *s, struct str person, struct buf *b)
{
    int rc = put_fields(s, person, b);

    if (rc == 0)
        rc = put_numbers(s, person, b);
    return rc < 0 ? rc : put_identities(s, person, b);
}

int people_put(struct store *s, struct str person, struct buf *b)
{
    int rc;

    jw_open(b, '{');
    rc = put_members(s, person, b);
    jw_close(b, '}');
    return rc;
}

/* ---- Calls of a person. ---- */

/* Of one call, oldest first, but the last ones only. */
static int put_last_turns(struct store *s, sqlite3_stmt *call, struct buf *b)
{
    static const struct rows_col cols[] = {{"who", ROWS_TEXT}, {"text", ROWS_TEXT}, {NULL, 0}};
    static const struct rows_query query = {
        "last_turns",
        "SELECT who, text FROM (SELECT who, text, pos, n FROM turn WHERE call=?1"
        " ORDER BY pos DESC, n DESC LIMIT ?2) ORDER BY pos, n",
        cols, NULL};

    return rows_put(s, &query, journal_text(call, 0), LAST_TURNS, b);
}

#define CALLS_SQL                                                                                               \
    "SELECT id, received_at, accepted_at, live_at, ended_at, reason, summary, outcome, direction, number, state" \
    " FROM call WHERE person=?1 AND person<>''"

/* The members of a row of CALLS_SQL. */
static int put_call(struct store *s, sqlite3_stmt *st, struct buf *b)
{
    uint64_t begun = journal_u64(st, 2) ? journal_u64(st, 2) : journal_u64(st, 3);
    uint64_t ended = journal_u64(st, 4);

    (void)s;
    jw_kstr(b, "call", journal_text(st, 0));
    jw_kint(b, "at", sqlite3_column_int64(st, 1));
    jw_key(b, "duration_ms");
    if (ended == 0)
        jw_null(b);
    else
        jw_int(b, begun != 0 && ended > begun ? (int64_t)(ended - begun) : 0);
    jw_kstr(b, "reason", journal_text(st, 5));
    rows_put_text_or_null(b, "summary", journal_text(st, 6));
    rows_put_text_or_null(b, "outcome", journal_text(st, 7));
    jw_kstr(b, "direction", journal_text(st, 8));
    jw_kstr(b, "number", journal_text(st, 9));
    jw_kstr(b, "state", journal_text(st, 10));
    return 0;
}

static int put_call_with_turns(struct store *s, sqlite3_stmt *st, struct buf *b)
{
    (void)put_call(s, st, b);
    return put_last_turns(s, st, b);
}

static const struct rows_col no_cols[] = {{NULL, 0}};
static const struct rows_query calls_of = {"calls", CALLS_SQL " ORDER BY id DESC LIMIT ?2", no_cols, put_call};
static const struct rows_query calls_over = {"calls", CALLS_SQL " AND state='over' ORDER BY id DESC LIMIT ?2",
                                             no_cols, put_call_with_turns};

/* ---- For the context of a call. ---- */

static const struct rows_col message_cols[] = {
    {"identity", ROWS_TEXT}, {"from_them", ROWS_BOOL}, {"text", ROWS_TEXT}, {"at", ROWS_INT}, {NULL, 0}};
static const struct rows_query messages_of = {
    "messages",
    "SELECT m.identity, m.from_them, m.text, m.at FROM identity i JOIN message m ON m.identity=i.identity"
    " WHERE i.person=?1 ORDER BY m.at DESC, m.n DESC LIMIT ?2",
    message_cols, NULL};

/* What is owed: questions to the agent without an answer, and deliveries that are not done. */
static const struct rows_col open_cols[] = {{"text", ROWS_TEXT}, {"at", ROWS_INT}, {NULL, 0}};
static const struct rows_query open_of = {
    "open",
    "SELECT * FROM ("
    "SELECT coalesce(CASE WHEN json_valid(t.arguments) THEN json_extract(t.arguments, '$.request') END,"
    " t.name) AS text, t.at AS at FROM call c JOIN tool_run t ON t.call=c.id WHERE c.person=?1"
    " AND c.person<>'' AND c.state='over' AND t.state<>'" JOURNAL_TOOL_CLOSED "'"
    " UNION ALL "
    "SELECT coalesce(CASE WHEN json_valid(o.payload) THEN json_extract(o.payload, '$.text') END, o.kind),"
    " o.made_at FROM call c JOIN outbox o ON o.call=c.id WHERE c.person=?1 AND c.person<>''"
    " AND o.kind IN ('late','handoff') AND o.state " PEOPLE_OPEN_STATE
    ") ORDER BY at DESC LIMIT 20",
    open_cols, NULL};

static int history_run(struct op_ask *a, struct store *s)
{
    unsigned n_calls = a->limit, n_messages = (unsigned)a->at;
    struct buf *b = &a->out;
    struct id person;
    int rc = a->id.n == 0 ? ERR_NOT_FOUND : people_resolve(s, a->id, &person);

    if (rc == ERR_NOT_FOUND)
        return buf_puts(b, STR("{\"calls\":[],\"messages\":[],\"open\":[],\"caller\":null}"));
    jw_open(b, '{');
    if (rc == 0)
        rc = rows_put(s, &calls_over, str_of(person.text), n_calls, b);
    if (rc == 0)
        rc = rows_put(s, &messages_of, str_of(person.text), n_messages, b);
    if (rc == 0)
        rc = rows_put(s, &open_of, str_of(person.text), 0, b);
    jw_key(b, "caller");
    if (rc == 0)
        rc = people_put(s, str_of(person.text), b);
    jw_close(b, '}');
    return rc;
}

int people_history(struct store *s, struct str number, unsigned n_calls, unsigned n_messages,
                   people_json_fn *fn, void *arg)
{
    struct op_ask a = {.op.flags = STORE_READ, .run = history_run, .id = number,
                       .limit = n_calls < ROWS_MAX ? n_calls : ROWS_MAX,
                       .at = n_messages < ROWS_MAX ? n_messages : ROWS_MAX};

    return op_ask(s, &a, fn, arg);
}

static int past_run(struct op_ask *a, struct store *s)
{
    static const struct rows_col cols[] = {
        {"call", ROWS_TEXT}, {"person", ROWS_TEXT}, {"at", ROWS_INT}, {NULL, 0}};
    static const struct rows_query query = {
        "calls",
        "SELECT id, person, received_at FROM call WHERE state='over' AND (?1='' OR id<?1)"
        " AND EXISTS(SELECT 1 FROM turn WHERE turn.call=call.id) ORDER BY id DESC LIMIT ?2",
        cols, NULL};

    return rows_put_object(s, &query, a->id, rows_limit(a->limit), &a->out);
}

int people_past(struct store *s, struct str before, unsigned limit, people_json_fn *fn, void *arg)
{
    return op_ask(s, &(struct op_ask){.op.flags = STORE_READ, .run = past_run, .id = before, .limit = limit}, fn,
                  arg);
}

/* ---- The API. ---- */

static int put_person_of_row(struct store *s, sqlite3_stmt *st, struct buf *b)
{
    return put_identities(s, journal_text(st, 1), b);
}

static int list_run(struct op_ask *a, struct store *s)
{
    static const struct rows_col cols[] = {
        {"number", ROWS_TEXT}, {"person", ROWS_TEXT},     {"name", ROWS_TEXT},      {"language", ROWS_TEXT},
        {"notes", ROWS_TEXT},  {"first_seen", ROWS_TIME}, {"last_seen", ROWS_TIME}, {"call_count", ROWS_INT},
        {NULL, 0}};
    static const struct rows_query query = {
        "callers",
        "SELECT c.number, p.id, p.name, p.language, p.notes, c.first_seen, c.last_seen, c.calls"
        " FROM caller c JOIN identity i ON i.identity='" PEOPLE_VOICE "' || c.number JOIN person p"
        " ON p.id=i.person ORDER BY c.last_seen DESC, c.number LIMIT ?2",
        cols, put_person_of_row};

    return rows_put_object(s, &query, STR_NONE, rows_limit(a->limit), &a->out);
}

int people_list(struct store *s, unsigned limit, people_json_fn *fn, void *arg)
{
    return op_ask(s, &(struct op_ask){.op.flags = STORE_READ, .run = list_run, .limit = limit}, fn, arg);
}

static int get_run(struct op_ask *a, struct store *s)
{
    struct id person;
    int rc = people_resolve(s, a->id, &person);

    if (rc < 0)
        return rc;
    jw_open(&a->out, '{');
    rc = put_members(s, str_of(person.text), &a->out);
    if (rc == 0)
        rc = rows_put(s, &calls_of, str_of(person.text), GET_CALLS, &a->out);
    jw_close(&a->out, '}');
    return rc;
}

int people_get(struct store *s, struct str id, people_json_fn *fn, void *arg)
{
    return op_ask(s, &(struct op_ask){.op.flags = STORE_READ, .run = get_run, .id = id}, fn, arg);
}

/*
 * Each word quoted, so that no syntax of FTS5 is left in it, and taken as a beginning. False: there is no word in
 * it. A word of signs alone is none for the index either, and would match nothing together with others.
 */
static bool match_of(struct buf *b, struct str query)
{
    static const char ends[] = " \t\r\n\f\v";
    unsigned words = 0;
    size_t i = 0;

    while (i < query.n && words < SEARCH_WORDS) {
        size_t from;
        bool sense = false;

        while (i < query.n && memchr(ends, query.p[i], sizeof ends - 1) != NULL)
            i++;
        from = i;
        for (; i < query.n && memchr(ends, query.p[i], sizeof ends - 1) == NULL; i++) {
            unsigned char c = (unsigned char)query.p[i];

            sense = sense || c >= 0x80 || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
        }
        if (!sense)
            continue;
        (void)buf_puts(b, words++ > 0 ? STR(" \"") : STR("\""));
        for (; from < i; from++)
            (void)buf_puts(b, query.p[from] == '"' ? STR("\"\"") : str_make(query.p + from, 1));
        (void)buf_puts(b, STR("\"*"));
    }
    return words > 0;
}

static int search_run(struct op_ask *a, struct store *s)
{
    static const struct rows_col cols[] = {{"call", ROWS_TEXT}, {"at", ROWS_INT},      {"who", ROWS_TEXT},
                                           {"text", ROWS_TEXT}, {"number", ROWS_TEXT}, {NULL, 0}};
    static const struct rows_query query = {
        "hits",
        "SELECT t.call, t.at, t.who, t.text, c.number FROM turn_fts f JOIN turn t ON t.n=f.rowid"
        " JOIN call c ON c.id=t.call WHERE turn_fts MATCH ?1 ORDER BY f.rowid DESC LIMIT ?2",
        cols, NULL};
    struct buf match;
    int rc;

    buf_init(&match, 4 * (size_t)OP_KEY_BYTES);
    if (!match_of(&match, a->text))
        rc = buf_puts(&a->out, STR("{\"hits\":[]}"));
    else if (match.rc < 0)
        rc = match.rc;
    else
        rc = rows_put_object(s, &query, buf_str(&match), rows_limit(a->limit), &a->out);
    buf_free(&match);
    return rc;
}

int people_search(struct store *s, struct str query, unsigned limit, people_json_fn *fn, void *arg)
{
    if (!str_utf8_valid(query) || str_has_nul(query))
        return ERR_INVALID;
    return op_ask(s, &(struct op_ask){.op.flags = STORE_READ, .run = search_run, .text = query,
                                      .limit = limit}, fn, arg);
}

/* Nobody was spoken to: refused by us, failed on our side, or the caller was gone first. */
static int missed_run(struct op_ask *a, struct store *s)
{
    static const struct rows_col cols[] = {
        {"call", ROWS_TEXT},     {"from", ROWS_TEXT},   {"from_kind", ROWS_TEXT}, {"person", ROWS_TEXT},
        {"name", ROWS_TEXT},     {"reason", ROWS_TEXT}, {"detail", ROWS_TEXT},    {"kind", ROWS_TEXT},
        {"sip_status", ROWS_INT}, {"at", ROWS_INT},     {"ended_at", ROWS_TIME},  {NULL, 0}};
    static const struct rows_query query = {
        "missed",
        "SELECT c.id, c.number, c.number_kind, c.person, coalesce(p.name, ''), c.reason, c.detail,"
        " CASE WHEN c.sip_status<>0 OR c.reason LIKE 'refused%' THEN 'refused'"
        " WHEN c.reason IN ('caller_gone','caller_hung_up') THEN 'abandoned' ELSE 'failed' END,"
        " c.sip_status, c.received_at, c.ended_at FROM call c LEFT JOIN person p ON p.id=c.person"
        " WHERE c.state='over' AND c.live_at=0 AND c.direction='inbound' ORDER BY c.id DESC LIMIT ?2",
        cols, NULL};

    return rows_put_object(s, &query, STR_NONE, rows_limit(a->limit), &a->out);
}

int people_missed(struct store *s, unsigned limit, people_json_fn *fn, void *arg)
{
    return op_ask(s, &(struct op_ask){.op.flags = STORE_READ, .run = missed_run, .limit = limit}, fn, arg);
}

static int chat_run(struct op_ask *a, struct store *s)
{
    static const char sql[] = "SELECT identity, session_key FROM message WHERE from_them=1 AND"
                              " (identity=?1 OR session_key=?1) ORDER BY n DESC LIMIT 1";
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, sql, &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, a->id);
    sq = sqlite3_step(st);
    jw_open(&a->out, '{');
    if (sq == SQLITE_ROW && a->id.n > 0) {
        jw_kstr(&a->out, "identity", journal_text(st, 0));
        jw_kstr(&a->out, "session_key", journal_text(st, 1));
    }
    jw_close(&a->out, '}');
    return store_rc(s, sq);
}

int people_chat(struct store *s, struct str id, people_json_fn *fn, void *arg)
{
    return op_ask(s, &(struct op_ask){.op.flags = STORE_READ, .run = chat_run, .id = id}, fn, arg);
}
