/* SPDX-License-Identifier: MIT */
#ifndef TESTS_FAULTS_ROWS_KIT_H
#define TESTS_FAULTS_ROWS_KIT_H
/*
 * A model of what a store was told and what it acknowledged. Every row counts up: version 1 is its insert, each
 * later one an update that says its number. Operations of one row are carried out in order, so after a crash the
 * row must stand at a version between the last acknowledged and the last asked for. Ids of calls may be claimed
 * anew: the first answer "new" is the only one.
 */
#include "memory/journal.h"
#include "memory/lines.h"
#include "memory/outbox.h"
#include "tests/faults/vfs_shim.h"
#include "tests/unit/store_kit.h"

#include <inttypes.h>

#define ROWS_MAX 600u
#define ROWS_CALLS 120u

enum row_kind { ROW_CALL, ROW_TURN, ROW_TOOL, ROW_OUTBOX, ROW_HANDOFF, ROW_LINE, ROW_ACTION, ROW_RECORDING, ROW_QUESTION,
                ROW_REF, ROW_KINDS };

struct row {
    enum row_kind kind;
    unsigned acked, asked, news; /* news: how often it was said to be new */
    bool out;                    /* operations of it are under way */
    char id[32], call[32];
};

struct rows {
    struct row row[ROWS_MAX];
    unsigned n, calls, serial;
    unsigned pending, finished, ok;
    unsigned wrong; /* said by the last check */
};

struct rows_op { /* one that is under way */
    struct rows *rows;
    struct row *row;
    unsigned version;
};

static inline struct rows_op *rows_begin(struct rows *m, struct row *r)
{
    struct rows_op *o = shim_grow(NULL, sizeof *o);

    *o = (struct rows_op){m, r, ++r->asked};
    m->pending++;
    return o;
}

static inline void rows_ack(struct rows_op *o, int rc)
{
    if (rc == 0) {
        o->rows->ok++;
        if (o->row->acked < o->version)
            o->row->acked = o->version;
    }
    o->rows->finished++;
    free(o);
}

static inline void rows_rc(void *arg, int rc)
{
    rows_ack(arg, rc);
}

static inline void rows_claimed(void *arg, int rc, enum journal_claim_result result)
{
    struct rows_op *o = arg;

    if (rc == 0 && result == JOURNAL_NEW)
        o->row->news++;
    rows_ack(o, rc);
}

static inline void rows_made(void *arg, int rc, enum line_made made, struct str call)
{
    (void)made;
    (void)call;
    rows_ack(arg, rc);
}

static inline void rows_leg(void *arg, int rc, enum line_leg_result result, struct str call)
{
    struct rows_op *o = arg;

    (void)call;
    /* Not taken: the version asked for does not come to be. */
    rows_ack(o, rc == 0 && result != LINE_LEG_NEW ? ERR_BAD_STATE : rc);
}

/* One operation is over before it began. */
static inline void rows_refused(struct rows_op *o, int rc)
{
    if (rc < 0)
        rows_ack(o, rc);
}

static inline void rows_claim(struct rows *m, struct store *s, struct row *r, uint64_t deadline_ms)
{
    struct rows_op *o = rows_begin(m, r);
    char openai[48], sip[48];
    struct journal_call c = {.id = str_of(r->id), .direction = STR("inbound"), .from = STR("+15551230000"),
                             .from_kind = STR("e164"), .level = STR("known"), .state = STR(JOURNAL_CLAIMED),
                             .detail = STR("v1"), .received_at = 1000};

    (void)snprintf(openai, sizeof openai, "rtc_%s", r->id);
    (void)snprintf(sip, sizeof sip, "sip_%s", r->id);
    c.openai_call_id = str_of(openai);
    c.sip_call_id = str_of(sip);
    rows_refused(o, journal_claim(s, &c, deadline_ms, rows_claimed, o));
}

static inline int rows_insert(struct rows_op *o, struct store *s)
{
    struct row *r = o->row;
    struct str id = str_of(r->id), call = str_of(r->call);
    const struct outbox_row outbox = {.id = id, .call = call, .kind = STR("wake"), .state = STR("v1"),
                                      .payload = STR("{}"), .made_at = 1, .due_at = 1};
    const struct handoff_row handoff = {.id = id, .call = call, .channel = STR("telegram"), .to = STR("1"),
                                        .reason = STR("r"), .state = STR("v1"), .at = 1};
    const struct journal_call own = {.id = call, .direction = STR("outbound"), .from = STR("+15550000001"),
                                     .from_kind = STR("e164"), .level = STR("known"), .state = STR(JOURNAL_WAITING)};
    const struct line_row line = {.call = call, .carrier = STR("twilio"), .ref = id, .phase = STR("v1"),
                                  .machine = STR("m"), .spec = STR("{}"), .idem = id, .idem_hash = STR("h")};
    const struct action_row action = {.id = id, .call = call, .kind = STR("hold"), .state = STR("v1"), .idem = id,
                                      .idem_hash = STR("h"), .body = STR("{}"), .at = 1};
    const struct recording_row recording = {.call = call, .sid = id, .state = STR("fetching"), .path = STR("v1")};

    switch (r->kind) {
    case ROW_RECORDING:
        return recording_add(s, &recording, rows_rc, o);
    case ROW_OUTBOX:
        return outbox_put(s, &outbox, rows_rc, o);
    case ROW_HANDOFF:
        return handoff_put(s, &handoff, rows_rc, o);
    case ROW_LINE:
        return line_put(s, &own, &line, 0, rows_made, o);
    case ROW_ACTION:
        return action_put(s, &action, rows_made, o);
    case ROW_REF:
        return line_note_ref(s, id, call, rows_rc, o);
    default:
        return ERR_INVALID;
    }
}

/* Rows that are inserted and replaced by one and the same function. */
static inline int rows_replace(struct rows_op *o, struct store *s, struct str v)
{
    struct row *r = o->row;
    struct str id = str_of(r->id), call = str_of(r->call);
    const struct journal_turn turn = {.item_id = id, .pos = 1, .who = STR("caller"), .text = v};
    const struct journal_tool tool = {.tool_call = id, .name = STR("t"), .arguments = STR("{}"), .state = v};
    const struct question_row question = {.id = id, .call = call, .text = STR("?"), .state = v};

    switch (r->kind) {
    case ROW_TURN:
        return journal_turn(s, call, &turn, rows_rc, o);
    case ROW_TOOL:
        return journal_tool(s, call, &tool, rows_rc, o);
    case ROW_QUESTION:
        return question_put(s, &question, rows_rc, o);
    default:
        return ERR_INVALID;
    }
}

static inline int rows_update(struct rows_op *o, struct store *s, struct str v)
{
    struct row *r = o->row;
    struct str id = str_of(r->id), call = str_of(r->call);
    const struct journal_call own = {.id = id, .detail = v, .reason = STR("busy")};
    const struct outbox_row outbox = {.id = id, .state = v};
    const struct line_row line = {.call = call, .phase = v, .machine = v};
    const struct recording_row recording = {.call = call, .sid = id, .state = STR("fetching"), .path = v};
    char openai[48], sip[48];

    (void)snprintf(openai, sizeof openai, "leg_%s", r->id);
    (void)snprintf(sip, sizeof sip, "lsip_%s", r->id);
    switch (r->kind) {
    case ROW_CALL:
        return journal_save(s, &own, JOURNAL_SET_REASON, rows_rc, o);
    case ROW_OUTBOX:
        return outbox_save(s, &outbox, rows_rc, o);
    case ROW_HANDOFF:
        return handoff_save(s, id, v, STR_NONE, 0, rows_rc, o);
    case ROW_LINE:
        return line_save(s, &line, rows_rc, o);
    case ROW_RECORDING:
        return recording_save(s, &recording, rows_rc, o);
    case ROW_ACTION:
        return action_save(s, id, v, STR_NONE, 0, rows_rc, o);
    case ROW_REF:
        return line_claim_leg(s, id, str_of(openai), str_of(sip), 0, 1, 0, rows_leg, o);
    default:
        return rows_replace(o, s, v);
    }
}

/* The next operation of a row: its insert, or the update to its next version. */
static inline void rows_step(struct rows *m, struct store *s, struct row *r)
{
    struct rows_op *o;
    char v[16];
    int rc;

    if (r->kind == ROW_CALL && r->asked == 0) {
        rows_claim(m, s, r, 0);
        return;
    }
    /* A reference is used once. */
    if (r->kind == ROW_REF && r->asked >= 2)
        return;
    o = rows_begin(m, r);
    (void)snprintf(v, sizeof v, "v%u", o->version);
    rc = rows_update(o, s, str_of(v));
    if (o->version == 1 && rc == ERR_INVALID)
        rc = ERR_BAD_STATE;
    rows_refused(o, rc);
}

static inline bool rows_replaced(enum row_kind kind)
{
    return kind == ROW_TURN || kind == ROW_TOOL || kind == ROW_QUESTION;
}

static inline struct row *rows_add(struct rows *m, enum row_kind kind, const struct row *call)
{
    struct row *r = &m->row[m->n++];

    *r = (struct row){.kind = kind};
    (void)snprintf(r->id, sizeof r->id, "%s_%06u", kind == ROW_CALL ? "call" : "row", ++m->serial);
    if (kind == ROW_LINE) /* brings its own call */
        (void)snprintf(r->call, sizeof r->call, "call_%06u", m->serial);
    else
        memcpy(r->call, call ? call->id : r->id, sizeof r->call);
    m->calls += kind == ROW_CALL;
    return r;
}

/* A random operation: a new call, something new of a known one, or another word about something. */
static inline void rows_any(struct rows *m, struct store *s)
{
    struct row *r, *call;
    struct rows_op *o;
    unsigned at;

    if (m->n == 0 || (m->calls < ROWS_CALLS && m->n < ROWS_MAX && shim_dice(5) == 0)) {
        rows_step(m, s, rows_add(m, ROW_CALL, NULL));
        return;
    }
    at = (unsigned)shim_dice(m->n);
    r = &m->row[at];
    if (r->kind == ROW_CALL && r->acked > 0 && m->n < ROWS_MAX && shim_dice(2) == 0) {
        call = r;
        r = rows_add(m, (enum row_kind)(1 + shim_dice(ROW_KINDS - 1)), call);
        if (r->kind == ROW_RECORDING)
            for (unsigned i = 0; i + 1 < m->n; i++)
                if (m->row[i].kind == ROW_RECORDING && strcmp(m->row[i].call, r->call) == 0)
                    r->kind = ROW_TURN; /* one recording a call */
        if (rows_replaced(r->kind)) {
            rows_step(m, s, r);
        } else {
            o = rows_begin(m, r);
            rows_refused(o, rows_insert(o, s));
        }
    } else if (r->acked > 0 || (r->kind == ROW_CALL && r->asked == 0)) {
        rows_step(m, s, r);
    }
}

/* ---- What stands. ---- */

static const char *const rows_sql[ROW_KINDS] = {
    [ROW_CALL] = "SELECT detail FROM call WHERE id=?1",
    [ROW_TURN] = "SELECT text FROM turn WHERE item_id=?1",
    [ROW_TOOL] = "SELECT state FROM tool_run WHERE tool_call=?1",
    [ROW_OUTBOX] = "SELECT state FROM outbox WHERE id=?1",
    [ROW_HANDOFF] = "SELECT state FROM handoff WHERE id=?1",
    [ROW_LINE] = "SELECT phase FROM line WHERE ref=?1",
    [ROW_ACTION] = "SELECT state FROM action WHERE id=?1",
    [ROW_RECORDING] = "SELECT path FROM recording WHERE sid=?1",
    [ROW_QUESTION] = "SELECT state FROM question WHERE id=?1",
    [ROW_REF] = "SELECT 'v' || (1 + used) FROM leg_ref WHERE ref=?1",
};

/* 0: it is not there. */
static inline unsigned rows_found(sqlite3 *db, const struct row *r, unsigned *copies)
{
    sqlite3_stmt *st = NULL;
    unsigned v = 0;

    *copies = 0;
    if (sqlite3_prepare_v2(db, rows_sql[r->kind], -1, &st, NULL) == SQLITE_OK) {
        (void)sqlite3_bind_text(st, 1, r->id, -1, SQLITE_STATIC);
        while (sqlite3_step(st) == SQLITE_ROW) {
            const char *text = (const char *)sqlite3_column_text(st, 0);

            ++*copies;
            v = text != NULL && text[0] == 'v' ? (unsigned)strtoul(text + 1, NULL, 10) : 9999999;
        }
    }
    (void)sqlite3_finalize(st);
    return v;
}

static inline bool rows_sound(sqlite3 *db)
{
    sqlite3_stmt *st = NULL;
    bool ok = false;

    if (sqlite3_prepare_v2(db, "PRAGMA integrity_check(1)", -1, &st, NULL) == SQLITE_OK &&
        sqlite3_step(st) == SQLITE_ROW)
        ok = strcmp((const char *)sqlite3_column_text(st, 0), "ok") == 0;
    (void)sqlite3_finalize(st);
    return ok && kit_int(db, "SELECT count(*) FROM pragma_foreign_key_check") == 0 &&
           /* All or nothing: a claim and its call; a line and its call; a leg that was used and its claim. */
           kit_int(db, "SELECT count(*) FROM claim WHERE call NOT IN (SELECT id FROM call)") == 0 &&
           kit_int(db, "SELECT count(*) FROM call WHERE direction='inbound' AND id NOT IN"
                       " (SELECT call FROM claim)") == 0 &&
           kit_int(db, "SELECT count(*) FROM call WHERE direction='outbound' AND id NOT IN"
                       " (SELECT call FROM line)") == 0 &&
           kit_int(db, "SELECT count(*) FROM claim") ==
               kit_int(db, "SELECT count(*) FROM call WHERE direction='inbound'") +
                   kit_int(db, "SELECT count(*) FROM leg_ref WHERE used=1") &&
           kit_int(db, "SELECT count(*) - count(DISTINCT openai) FROM claim") == 0;
}

/* Every row against the model, which then knows what stands. The number of contradictions, said if `tell`. */
static inline unsigned rows_check(struct rows *m, sqlite3 *db, bool tell)
{
    unsigned wrong = 0, copies = 0;

    if (!rows_sound(db)) {
        wrong++;
        if (tell)
            printf("  the database is not sound\n");
    }
    for (unsigned i = 0; i < m->n; i++) {
        struct row *r = &m->row[i];
        unsigned v = rows_found(db, r, &copies);

        if (v < r->acked || v > r->asked || copies > 1 || r->news > 1) {
            wrong++;
            if (tell)
                printf("  row %s of kind %d stands at %u (%u copies), acknowledged %u, asked for %u, new %u times\n",
                       r->id, (int)r->kind, v, copies, r->acked, r->asked, r->news);
        }
        r->acked = r->asked = v;
    }
    return wrong;
}

/* ---- A new life takes over what the last one left. ---- */

struct rows_adopted {
    unsigned n;
    int rc;
};

static inline void rows_adopted_fn(void *arg, int rc, const struct journal_found *found, unsigned n, unsigned held)
{
    struct rows_adopted *a = arg;

    (void)found;
    (void)n;
    a->rc = rc < 0 ? rc : held > 0 ? ERR_BAD_STATE : 0;
    a->n++;
}

static inline void rows_owed_fn(void *arg, int rc, const struct outbox_row *rows, unsigned n,
                                bool more)
{
    struct rows_adopted *a = arg;

    (void)rows;
    (void)n;
    (void)more;
    a->rc = rc;
    a->n++;
}

static inline bool rows_adopt(struct kit *k)
{
    static struct rows_adopted calls, owed; /* answered late when the power fails meanwhile */

    calls = owed = (struct rows_adopted){0};
    return journal_adopt(k->s, rows_adopted_fn, &calls) == 0 && kit_wait(k, &calls.n, 1, 10000) && calls.rc == 0 &&
           outbox_open_rows(k->s, 1000, true, rows_owed_fn, &owed) == 0 &&
           kit_wait(k, &owed.n, 1, 10000) && owed.rc == 0;
}

/* SQL of the store's thread outside any transaction. */
static inline int rows_bare(struct kit *k, const char *sql)
{
    struct kit_op o = {.sql = sql};
    unsigned done = 0;
    int rc = -1;

    return kit_push(k, &o, STORE_BARE, &done, &rc) == 0 && kit_wait(k, &done, 1, 10000) ? rc : -1;
}

/* Until all is answered; or until the power fails, after which nothing is worth a wait. */
static inline bool rows_settle(struct rows *m, struct kit *k, unsigned ms)
{
    uint64_t until = clock_mono_ms() + ms;

    while (m->finished < m->pending && !shim.dead && clock_mono_ms() < until)
        (void)kit_wait(k, &m->finished, m->pending, 5);
    return m->finished == m->pending;
}

#endif
