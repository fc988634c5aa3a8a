/* SPDX-License-Identifier: MIT */
#include "memory/people.h"

#include "memory/people_int.h"
#include "plugin/base/json.h"

#include <string.h>

#define LIST_MAX 1000u
#define GET_CALLS 100u
#define LAST_TURNS 6
#define SEARCH_WORDS 16u

static unsigned bounded(unsigned n, unsigned max)
{
    return n < 1 ? 1 : n > max ? max : n;
}

static void put_time(struct buf *b, const char *key, uint64_t ms)
{
    jw_key(b, key);
    if (ms == 0)
        jw_null(b);
    else
        jw_int(b, (int64_t)ms);
}

static void put_text_or_null(struct buf *b, const char *key, struct str text)
{
    jw_key(b, key);
    if (text.n == 0)
        jw_null(b);
    else
        jw_str(b, text);
}

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
    static const char sql[] =
        "SELECT i.identity, coalesce((SELECT source FROM (SELECT source FROM link WHERE a=i.identity UNION ALL"
        " SELECT source FROM link WHERE b=i.identity) ORDER BY source='config' LIMIT 1), ''), i.at"
        " FROM identity i WHERE i.person=?1 ORDER BY i.at, i.identity";
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, sql, &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, person);
    jw_key(b, "identities");
    jw_open(b, '[');
    while ((sq = sqlite3_step(st)) == SQLITE_ROW) {
        jw_open(b, '{');
        jw_kstr(b, "identity", journal_text(st, 0));
        put_text_or_null(b, "source", journal_text(st, 1));
        jw_kint(b, "at", sqlite3_column_int64(st, 2));
        jw_close(b, '}');
    }
    jw_close(b, ']');
    return store_rc(s, sq);
}

static int put_fields(struct store *s, struct str person, struct buf *b)
{
    static const char sql[] =
        "SELECT p.id, p.name, p.language, p.notes, min(c.first_seen), max(c.last_seen), total(c.calls)"
        " FROM person p LEFT JOIN identity i ON i.person=p.id LEFT JOIN caller c"
        " ON i.identity='" PEOPLE_VOICE "' || c.number WHERE p.id=?1 GROUP BY p.id";
    static const char *const names[] = {"person", "name", "language", "notes"};
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, sql, &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, person);
    sq = sqlite3_step(st);
    if (sq != SQLITE_ROW)
        return sq == SQLITE_DONE ? ERR_NOT_FOUND : store_rc(s, sq);
    for (int i = 0; i < 4; i++)
        jw_kstr(b, names[i], journal_text(st, i));
    put_time(b, "first_seen", journal_u64(st, 4));
    put_time(b, "last_seen", journal_u64(st, 5));
    jw_kint(b, "call_count", sqlite3_column_int64(st, 6));
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
static int put_last_turns(struct store *s, struct str call, struct buf *b)
{
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, "SELECT who, text FROM (SELECT who, text, pos, n FROM turn WHERE call=?1"
                                     " ORDER BY pos DESC, n DESC LIMIT ?2) ORDER BY pos, n", &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, call);
    journal_bind_int(st, 2, LAST_TURNS);
    jw_key(b, "last_turns");
    jw_open(b, '[');
    while ((sq = sqlite3_step(st)) == SQLITE_ROW && b->rc == 0) {
        jw_open(b, '{');
        jw_kstr(b, "who", journal_text(st, 0));
        jw_kstr(b, "text", journal_text(st, 1));
        jw_close(b, '}');
    }
    jw_close(b, ']');
    return store_rc(s, sq);
}

/* From a row of CALLS_SQL. */
#define CALLS_COLUMNS \
    "id, received_at, accepted_at, live_at, ended_at, reason, summary, outcome, direction, number, state"

static void put_call_members(struct buf *b, sqlite3_stmt *st)
{
    uint64_t begun = journal_u64(st, 2) ? journal_u64(st, 2) : journal_u64(st, 3);
    uint64_t ended = journal_u64(st, 4);

    jw_kstr(b, "call", journal_text(st, 0));
    jw_kint(b, "at", sqlite3_column_int64(st, 1));
    jw_key(b, "duration_ms");
    if (ended == 0)
        jw_null(b);
    else
        jw_int(b, begun != 0 && ended > begun ? (int64_t)(ended - begun) : 0);
    jw_kstr(b, "reason", journal_text(st, 5));
    put_text_or_null(b, "summary", journal_text(st, 6));
    put_text_or_null(b, "outcome", journal_text(st, 7));
    jw_kstr(b, "direction", journal_text(st, 8));
    jw_kstr(b, "number", journal_text(st, 9));
    jw_kstr(b, "state", journal_text(st, 10));
}

static int put_calls(struct store *s, struct str person, unsigned limit, bool turns, struct buf *b)
{
    static const char all[] = "SELECT " CALLS_COLUMNS " FROM call WHERE person=?1 AND person<>''"
                              " ORDER BY id DESC LIMIT ?2";
    static const char over[] = "SELECT " CALLS_COLUMNS " FROM call WHERE person=?1 AND person<>''"
                               " AND state='over' ORDER BY id DESC LIMIT ?2";
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, turns ? over : all, &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, person);
    journal_bind_int(st, 2, limit);
    jw_key(b, "calls");
    jw_open(b, '[');
    while ((sq = sqlite3_step(st)) == SQLITE_ROW && b->rc == 0) {
        jw_open(b, '{');
        put_call_members(b, st);
        rc = turns ? put_last_turns(s, journal_text(st, 0), b) : 0;
        if (rc < 0)
            return rc;
        jw_close(b, '}');
    }
    jw_close(b, ']');
    return store_rc(s, sq);
}

/* ---- For the context of a call. ---- */

static int put_messages(struct store *s, struct str person, unsigned limit, struct buf *b)
{
    static const char sql[] = "SELECT m.identity, m.from_them, m.text, m.at FROM identity i JOIN message m"
                              " ON m.identity=i.identity WHERE i.person=?1 ORDER BY m.at DESC, m.n DESC"
                              " LIMIT ?2";
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, sql, &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, person);
    journal_bind_int(st, 2, limit);
    jw_key(b, "messages");
    jw_open(b, '[');
    while ((sq = sqlite3_step(st)) == SQLITE_ROW && b->rc == 0) {
        jw_open(b, '{');
        jw_kstr(b, "identity", journal_text(st, 0));
        jw_kbool(b, "from_them", sqlite3_column_int(st, 1) != 0);
        jw_kstr(b, "text", journal_text(st, 2));
        jw_kint(b, "at", sqlite3_column_int64(st, 3));
        jw_close(b, '}');
    }
    jw_close(b, ']');
    return store_rc(s, sq);
}

/* What is owed: questions to the agent without an answer, and deliveries that are not done. */
static int put_open(struct store *s, struct str person, struct buf *b)
{
    static const char sql[] =
        "SELECT * FROM ("
        "SELECT coalesce(CASE WHEN json_valid(t.arguments) THEN json_extract(t.arguments, '$.request') END,"
        " t.name) AS text, t.at AS at FROM call c JOIN tool_run t ON t.call=c.id WHERE c.person=?1"
        " AND c.person<>'' AND c.state='over' AND t.state<>'" JOURNAL_TOOL_CLOSED "'"
        " UNION ALL "
        "SELECT coalesce(CASE WHEN json_valid(o.payload) THEN json_extract(o.payload, '$.text') END, o.kind),"
        " o.made_at FROM call c JOIN outbox o ON o.call=c.id WHERE c.person=?1 AND c.person<>''"
        " AND o.kind IN ('late','handoff') AND o.state " PEOPLE_OPEN_STATE
        ") ORDER BY at DESC LIMIT 20";
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, sql, &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, person);
    jw_key(b, "open");
    jw_open(b, '[');
    while ((sq = sqlite3_step(st)) == SQLITE_ROW && b->rc == 0) {
        jw_open(b, '{');
        jw_kstr(b, "text", journal_text(st, 0));
        jw_kint(b, "at", sqlite3_column_int64(st, 1));
        jw_close(b, '}');
    }
    jw_close(b, ']');
    return store_rc(s, sq);
}

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
        rc = put_calls(s, str_of(person.text), n_calls, true, b);
    if (rc == 0)
        rc = put_messages(s, str_of(person.text), n_messages, b);
    if (rc == 0)
        rc = put_open(s, str_of(person.text), b);
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
                       .limit = n_calls < LIST_MAX ? n_calls : LIST_MAX,
                       .at = n_messages < LIST_MAX ? n_messages : LIST_MAX};

    return op_ask(s, &a, fn, arg);
}

static int past_run(struct op_ask *a, struct store *s)
{
    static const char sql[] =
        "SELECT id, person, received_at FROM call WHERE state='over' AND (?1='' OR id<?1)"
        " AND EXISTS(SELECT 1 FROM turn WHERE turn.call=call.id) ORDER BY id DESC LIMIT ?2";
    struct buf *b = &a->out;
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, sql, &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, a->id);
    journal_bind_int(st, 2, bounded(a->limit, LIST_MAX));
    jw_open(b, '{');
    jw_key(b, "calls");
    jw_open(b, '[');
    while ((sq = sqlite3_step(st)) == SQLITE_ROW && b->rc == 0) {
        jw_open(b, '{');
        jw_kstr(b, "call", journal_text(st, 0));
        jw_kstr(b, "person", journal_text(st, 1));
        jw_kint(b, "at", sqlite3_column_int64(st, 2));
        jw_close(b, '}');
    }
    jw_close(b, ']');
    jw_close(b, '}');
    return store_rc(s, sq);
}

int people_past(struct store *s, struct str before, unsigned limit, people_json_fn *fn, void *arg)
{
    return op_ask(s, &(struct op_ask){.op.flags = STORE_READ, .run = past_run, .id = before, .limit = limit}, fn,
                  arg);
}

/* ---- The API. ---- */

static int list_run(struct op_ask *a, struct store *s)
{
    static const char sql[] =
        "SELECT c.number, p.id, p.name, p.language, p.notes, c.first_seen, c.last_seen, c.calls"
        " FROM caller c JOIN identity i ON i.identity='" PEOPLE_VOICE "' || c.number JOIN person p"
        " ON p.id=i.person ORDER BY c.last_seen DESC, c.number LIMIT ?1";
    static const char *const names[] = {"number", "person", "name", "language", "notes"};
    struct buf *b = &a->out;
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, sql, &rc);

    if (st == NULL)
        return rc;
    journal_bind_int(st, 1, bounded(a->limit, LIST_MAX));
    jw_open(b, '{');
    jw_key(b, "callers");
    jw_open(b, '[');
    while ((sq = sqlite3_step(st)) == SQLITE_ROW && b->rc == 0) {
        jw_open(b, '{');
        for (int i = 0; i < 5; i++)
            jw_kstr(b, names[i], journal_text(st, i));
        put_time(b, "first_seen", journal_u64(st, 5));
        put_time(b, "last_seen", journal_u64(st, 6));
        jw_kint(b, "call_count", sqlite3_column_int64(st, 7));
        rc = put_identities(s, journal_text(st, 1), b);
        if (rc < 0)
            return rc;
        jw_close(b, '}');
    }
    jw_close(b, ']');
    jw_close(b, '}');
    return store_rc(s, sq);
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
        rc = put_calls(s, str_of(person.text), GET_CALLS, false, &a->out);
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

static int put_hits(struct op_ask *a, struct store *s, struct str match)
{
    static const char sql[] =
        "SELECT t.call, t.at, t.who, t.text, c.number FROM turn_fts f JOIN turn t ON t.n=f.rowid"
        " JOIN call c ON c.id=t.call WHERE turn_fts MATCH ?1 ORDER BY f.rowid DESC LIMIT ?2";
    struct buf *b = &a->out;
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, sql, &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, match);
    journal_bind_int(st, 2, bounded(a->limit, LIST_MAX));
    while ((sq = sqlite3_step(st)) == SQLITE_ROW && b->rc == 0) {
        jw_open(b, '{');
        jw_kstr(b, "call", journal_text(st, 0));
        jw_kint(b, "at", sqlite3_column_int64(st, 1));
        jw_kstr(b, "who", journal_text(st, 2));
        jw_kstr(b, "text", journal_text(st, 3));
        jw_kstr(b, "number", journal_text(st, 4));
        jw_close(b, '}');
    }
    rc = store_rc(s, sq);
    (void)sqlite3_reset(st);
    return rc;
}

static int search_run(struct op_ask *a, struct store *s)
{
    struct buf match;
    int rc = 0;

    buf_init(&match, 4 * (size_t)OP_KEY_BYTES);
    jw_open(&a->out, '{');
    jw_key(&a->out, "hits");
    jw_open(&a->out, '[');
    if (match_of(&match, a->text))
        rc = match.rc < 0 ? match.rc : put_hits(a, s, buf_str(&match));
    jw_close(&a->out, ']');
    jw_close(&a->out, '}');
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
    static const char sql[] =
        "SELECT c.id, c.number, c.number_kind, c.person, coalesce(p.name, ''), c.reason, c.detail,"
        " CASE WHEN c.sip_status<>0 OR c.reason LIKE 'refused%' THEN 'refused'"
        " WHEN c.reason IN ('caller_gone','caller_hung_up') THEN 'abandoned' ELSE 'failed' END,"
        " c.sip_status, c.received_at, c.ended_at FROM call c LEFT JOIN person p ON p.id=c.person"
        " WHERE c.state='over' AND c.live_at=0 AND c.direction='inbound' ORDER BY c.id DESC LIMIT ?1";
    static const char *const names[] = {"call", "from", "from_kind", "person", "name", "reason", "detail",
                                        "kind"};
    struct buf *b = &a->out;
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, sql, &rc);

    if (st == NULL)
        return rc;
    journal_bind_int(st, 1, bounded(a->limit, LIST_MAX));
    jw_open(b, '{');
    jw_key(b, "missed");
    jw_open(b, '[');
    while ((sq = sqlite3_step(st)) == SQLITE_ROW && b->rc == 0) {
        jw_open(b, '{');
        for (int i = 0; i < 8; i++)
            jw_kstr(b, names[i], journal_text(st, i));
        jw_kint(b, "sip_status", sqlite3_column_int64(st, 8));
        jw_kint(b, "at", sqlite3_column_int64(st, 9));
        put_time(b, "ended_at", journal_u64(st, 10));
        jw_close(b, '}');
    }
    jw_close(b, ']');
    jw_close(b, '}');
    return store_rc(s, sq);
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
