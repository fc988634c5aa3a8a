/* SPDX-License-Identifier: MIT */
#include "memory/journal.h"

#include "memory/journal_int.h"
#include "memory/op.h"
#include "memory/words.h"
#include "plugin/base/heard.h"
#include "plugin/base/id.h"
#include "plugin/base/mem.h"

#include <stddef.h>
#include <string.h>

/* The texts of a call's row, in the order of their columns. */
static const size_t call_texts[] = {
    offsetof(struct journal_call, id),          offsetof(struct journal_call, state),
    offsetof(struct journal_call, openai_call_id), offsetof(struct journal_call, sip_call_id),
    offsetof(struct journal_call, direction),   offsetof(struct journal_call, from),
    offsetof(struct journal_call, from_kind),   offsetof(struct journal_call, level),
    offsetof(struct journal_call, reason),      offsetof(struct journal_call, detail),
    offsetof(struct journal_call, session_key), offsetof(struct journal_call, model),
    offsetof(struct journal_call, voice),       offsetof(struct journal_call, usage_json),
};
#define CALL_TEXTS (sizeof call_texts / sizeof *call_texts)

static struct str *text_of(struct journal_call *row, size_t i)
{
    return (struct str *)(void *)((char *)row + call_texts[i]);
}

size_t journal_row_bytes(const struct journal_call *row)
{
    struct journal_call copy = *row;
    size_t n = 0;

    for (size_t i = 0; i < CALL_TEXTS; i++)
        n += text_of(&copy, i)->n;
    return n;
}

void journal_row_pack(struct journal_call *to, const struct journal_call *from, char **at)
{
    *to = *from;
    for (size_t i = 0; i < CALL_TEXTS; i++)
        *text_of(to, i) = op_pack(at, *text_of(to, i));
}

int journal_insert(struct store *s, struct journal_call *row)
{
    static const char sql[] =
        "INSERT INTO call(id, state, openai_call_id, sip_call_id, direction, number, number_kind, level,"
        " reason, detail, session_key, model, voice, usage, owner, sip_status, received_at,"
        " accepted_at, live_at, ended_at)"
        " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20)";
    int rc, at = 1;
    sqlite3_stmt *st = store_stmt(s, sql, &rc);

    if (st == NULL)
        return rc;
    for (size_t i = 0; i < CALL_TEXTS; i++)
        journal_bind(st, at++, *text_of(row, i));
    journal_bind(st, at++, store_owner(s));
    (void)sqlite3_bind_int64(st, at++, row->sip_status);
    journal_bind_int(st, at++, row->received_at);
    journal_bind_int(st, at++, row->accepted_at);
    journal_bind_int(st, at++, row->live_at);
    journal_bind_int(st, at, row->ended_at);
    return journal_step(s, st);
}

/* ---- Saves. ---- */

struct save {
    struct op o;
    struct journal_call row;
    unsigned set;
};

#define SAVE_COLUMNS \
    " reason=iif(?3&2,?5,reason), detail=iif(?3&2,?6,detail), level=iif(?3&4,?7,level)," \
    " session_key=iif(?3&8,?8,session_key), model=iif(?3&16,?9,model)," \
    " voice=iif(?3&16,?10,voice), usage=iif(?3&32,?11,usage)," \
    " accepted_at=iif(?3&64,?12,accepted_at), live_at=iif(?3&128,?13,live_at)," \
    " ended_at=iif(?3&256,?14,ended_at), sip_status=iif(?3&512,?15,sip_status)" \
    " WHERE id=?1 AND owner=?2"

_Static_assert(JOURNAL_SET_REASON == 2 && JOURNAL_SET_LEVEL == 4 && JOURNAL_SET_SESSION == 8 &&
                   JOURNAL_SET_MODEL == 16 && JOURNAL_SET_USAGE == 32 &&
                   JOURNAL_SET_ACCEPTED_AT == 64 && JOURNAL_SET_LIVE_AT == 128 &&
                   JOURNAL_SET_ENDED_AT == 256 && JOURNAL_SET_SIP_STATUS == 512,
               "the statement above names these bits");

static int save_run(struct store_op *op, struct store *s, struct sqlite3 *db)
{
    /* Naming the state costs a change of the partial index, which most saves need not pay. */
    static const char with_state[] = "UPDATE call SET state=?4," SAVE_COLUMNS;
    static const char without[] = "UPDATE call SET" SAVE_COLUMNS;
    struct save *v = (struct save *)op;
    bool state = v->set & JOURNAL_SET_STATE;
    const struct journal_call *row = &v->row;
    int rc;
    sqlite3_stmt *st = store_stmt(s, state ? with_state : without, &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, row->id);
    journal_bind(st, 2, store_owner(s));
    journal_bind_int(st, 3, v->set);
    if (state)
        journal_bind(st, 4, row->state);
    journal_bind(st, 5, row->reason);
    journal_bind(st, 6, row->detail);
    journal_bind(st, 7, row->level);
    journal_bind(st, 8, row->session_key);
    journal_bind(st, 9, row->model);
    journal_bind(st, 10, row->voice);
    journal_bind(st, 11, row->usage_json);
    journal_bind_int(st, 12, row->accepted_at);
    journal_bind_int(st, 13, row->live_at);
    journal_bind_int(st, 14, row->ended_at);
    (void)sqlite3_bind_int64(st, 15, row->sip_status);
    rc = journal_step(s, st);
    if (rc == 0 && sqlite3_changes64(db) == 0)
        return ERR_NOT_FOUND;
    return rc == 0 && state && str_eqc(row->state, JOURNAL_OVER) ? words_put(s, row->id) : rc;
}

int journal_save(struct store *s, const struct journal_call *row, unsigned set, journal_fn *fn,
                 void *arg)
{
    struct save *v;
    void *block;
    char *at;
    int rc = op_make(&block, &at, sizeof *v, journal_row_bytes(row));

    if (rc < 0)
        return rc;
    v = block;
    journal_row_pack(&v->row, row, &at);
    v->set = set;
    v->o = (struct op){{.run = save_run, .done = op_done, .flags = STORE_RETRY, .bytes = v->o.op.bytes},
                       fn, arg};
    return op_push(s, &v->o.op);
}

/* ---- Flight record, turns, tool runs. ---- */

struct hop {
    struct op o;
    struct str call, hop, detail;
    uint64_t at;
};

static int hop_run(struct store_op *op, struct store *s, struct sqlite3 *db)
{
    struct hop *h = (struct hop *)op;
    int rc;
    sqlite3_stmt *st = store_stmt(s, "INSERT INTO hop(call, seq, at, hop, detail)"
                                     " SELECT ?1, coalesce(max(seq), 0) + 1, ?2, ?3, ?4"
                                     " FROM hop WHERE call = ?1", &rc);

    (void)db;
    if (st == NULL)
        return rc;
    journal_bind(st, 1, h->call);
    journal_bind_int(st, 2, h->at);
    journal_bind(st, 3, h->hop);
    journal_bind(st, 4, h->detail);
    return journal_step(s, st);
}

int journal_hop(struct store *s, struct str call, uint64_t at, struct str hop, struct str detail)
{
    struct hop *h;
    void *block;
    char *text;
    int rc = op_make(&block, &text, sizeof *h, call.n + hop.n + detail.n);

    if (rc < 0)
        return rc;
    h = block;
    h->call = op_pack(&text, call);
    h->hop = op_pack(&text, hop);
    h->detail = op_pack(&text, detail);
    h->at = at;
    h->o = (struct op){{.run = hop_run, .done = op_done, .flags = STORE_RETRY, .bytes = h->o.op.bytes},
                       NULL, NULL};
    return op_push(s, &h->o.op);
}

struct turn {
    struct op o;
    struct str call;
    struct journal_turn row;
    bool only_cut; /* the text stands in the row and is cut there */
};

/* A message that was stored whole turns out to have been cut off: once, by what was heard of it. */
static int cut_run(struct store *s, const struct turn *t)
{
    static const char read_sql[] = "SELECT text, audio_ms FROM turn"
                                   " WHERE call=?1 AND item_id=?2 AND interrupted=0";
    static const char write_sql[] = "UPDATE turn SET text=?3, heard_ms=?4, interrupted=1"
                                    " WHERE call=?1 AND item_id=?2";
    char *heard;
    int rc;
    sqlite3_stmt *st = store_stmt(s, read_sql, &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, t->call);
    journal_bind(st, 2, t->row.item_id);
    rc = sqlite3_step(st);
    if (rc != SQLITE_ROW)
        return rc == SQLITE_DONE ? 0 : store_rc(s, rc);
    heard = str_dup(heard_text(journal_text(st, 0), t->row.heard_ms, journal_u64(st, 1)));
    (void)sqlite3_reset(st);
    if (heard == NULL)
        return ERR_NOMEM;
    st = store_stmt(s, write_sql, &rc);
    if (st != NULL) {
        journal_bind(st, 1, t->call);
        journal_bind(st, 2, t->row.item_id);
        journal_bind(st, 3, str_of(heard));
        journal_bind_int(st, 4, t->row.heard_ms);
        rc = journal_step(s, st);
        (void)sqlite3_clear_bindings(st); /* the text goes */
    }
    mem_free(heard);
    return rc;
}

static int put_run(struct store *s, const struct turn *t)
{
    static const char sql[] =
        "INSERT INTO turn(call, item_id, pos, who, text, interrupted, audio_ms, heard_ms, at)"
        " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
        " ON CONFLICT(call, item_id) DO UPDATE SET pos=excluded.pos, who=excluded.who,"
        " text=excluded.text, interrupted=excluded.interrupted, audio_ms=excluded.audio_ms,"
        " heard_ms=excluded.heard_ms, at=excluded.at";
    int rc;
    sqlite3_stmt *st = store_stmt(s, sql, &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, t->call);
    journal_bind(st, 2, t->row.item_id);
    (void)sqlite3_bind_int64(st, 3, t->row.pos);
    journal_bind(st, 4, t->row.who);
    journal_bind(st, 5, t->row.text);
    journal_bind_int(st, 6, t->row.interrupted);
    journal_bind_int(st, 7, t->row.audio_ms);
    journal_bind_int(st, 8, t->row.heard_ms);
    journal_bind_int(st, 9, t->row.at);
    return journal_step(s, st);
}

static int turn_run(struct store_op *op, struct store *s, struct sqlite3 *db)
{
    struct turn *t = (struct turn *)op;
    bool late;
    int rc = words_drop(s, t->call, &late);

    (void)db;
    if (rc == 0)
        rc = t->only_cut ? cut_run(s, t) : put_run(s, t);
    return rc == 0 && late ? words_put(s, t->call) : rc;
}

int journal_turn(struct store *s, struct str call, const struct journal_turn *row, journal_fn *fn,
                 void *arg)
{
    struct turn *t;
    void *block;
    char *text;
    int rc = op_make(&block, &text, sizeof *t, call.n + row->item_id.n + row->who.n + row->text.n);

    if (rc < 0)
        return rc;
    t = block;
    t->row = *row;
    t->only_cut = row->text.p == NULL;
    t->call = op_pack(&text, call);
    t->row.item_id = op_pack(&text, row->item_id);
    t->row.who = op_pack(&text, row->who);
    t->row.text = op_pack(&text, row->text);
    t->o = (struct op){{.run = turn_run, .done = op_done, .flags = STORE_RETRY, .bytes = t->o.op.bytes},
                       fn, arg};
    return op_push(s, &t->o.op);
}

struct tool_run {
    struct op o;
    struct str call;
    struct journal_tool row;
};

static int tool_run(struct store_op *op, struct store *s, struct sqlite3 *db)
{
    static const char sql[] =
        "INSERT INTO tool_run(call, tool_call, name, arguments, state, output, at)"
        " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)"
        " ON CONFLICT(call, tool_call) DO UPDATE SET state=excluded.state,"
        " output=iif(excluded.output='', output, excluded.output)";
    struct tool_run *t = (struct tool_run *)op;
    int rc;
    sqlite3_stmt *st = store_stmt(s, sql, &rc);

    (void)db;
    if (st == NULL)
        return rc;
    journal_bind(st, 1, t->call);
    journal_bind(st, 2, t->row.tool_call);
    journal_bind(st, 3, t->row.name);
    journal_bind(st, 4, t->row.arguments);
    journal_bind(st, 5, t->row.state);
    journal_bind(st, 6, t->row.output);
    journal_bind_int(st, 7, t->row.at);
    return journal_step(s, st);
}

int journal_tool(struct store *s, struct str call, const struct journal_tool *row, journal_fn *fn,
                 void *arg)
{
    struct tool_run *t;
    void *block;
    char *text;
    int rc = op_make(&block, &text, sizeof *t,
                  call.n + row->tool_call.n + row->name.n + row->arguments.n + row->state.n +
                      row->output.n);

    if (rc < 0)
        return rc;
    t = block;
    t->row = *row;
    t->call = op_pack(&text, call);
    t->row.tool_call = op_pack(&text, row->tool_call);
    t->row.name = op_pack(&text, row->name);
    t->row.arguments = op_pack(&text, row->arguments);
    t->row.state = op_pack(&text, row->state);
    t->row.output = op_pack(&text, row->output);
    t->o = (struct op){{.run = tool_run, .done = op_done, .flags = STORE_RETRY, .bytes = t->o.op.bytes},
                       fn, arg};
    return op_push(s, &t->o.op);
}
