/* SPDX-License-Identifier: MIT */
#include "memory/people.h"

#include "memory/forget_mark.h"
#include "memory/people_int.h"
#include "memory/words.h"
#include "plugin/base/clock.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#define STEP_CALLS 64 /* of one operation: others run in between */
#define SCRUB_MAX_BYTES ((int64_t)512 << 20)
#define LOG_WAIT_MS 50u   /* for readers of the log, at a time */
#define LOG_GIVE_UP_MS 8000u

/*
 * Forgetting is a chain of operations, each short, but for the last two.
 *
 * ROWS: calls in pieces, then the person. Each piece is committed for itself: a crash leaves a person with
 * fewer calls, who can be forgotten again.
 * MELT: what was taken out of an FTS5 index stays in its older segments until these are merged.
 * SCRUB: secure_delete overwrites what is deleted, but a cell that moved to another page before left a copy
 * of itself in the free room of the old one, which nothing overwrites. Only VACUUM, which writes all pages
 * anew, is sure to leave none. The store thread does nothing else meanwhile: about 10 ms a MiB at worst.
 * LOG: the log holds the old pages until a checkpoint truncates it, which other processes' readers can delay.
 *
 * A file beside the database (forget_mark.h) says that it was begun, so that the next start goes on where a crash came.
 */
enum phase { ROWS, MELT, SCRUB, LOG };

enum { T_CALL, T_TURN, T_HOP, T_TOOL, T_HANDOFF, T_OUTBOX, T_RECORDING, T_MESSAGE, T_LINK, T_CODE, T_TRY, T_CALLER,
       T_IDENTITY, T_PERSON, T_CHARGE, TABLES };

static const char *const table_names[TABLES] = {
    "call",  "turn", "hop",       "tool_run", "handoff", "outbox", "recording", "message",
    "link",  "link_code", "code_try", "caller",   "identity", "person", "charge"};

struct forget {
    struct store_op op;
    struct store *s;
    people_json_fn *fn;
    void *arg;
    struct str id;
    bool only_number;
    bool finishing;    /* what a dead instance began: of the persons in `ids` */
    struct buf ids;    /* a line each */
    struct str next;   /* those that are still to come */
    enum phase phase;
    bool found, more;
    uint64_t give_up_ms;
    struct id shown, person; /* person: whose rows go, for only_number made for it */
    int64_t erased[TABLES], step[TABLES];
    struct buf calls, numbers; /* JSON lists without brackets */
    size_t calls_kept;         /* of what was committed */
    struct buf left, out;
};

/* ---- Rows. ---- */

/* The number alone becomes a person, to be forgotten as such, unless it is all that the person has. */
static int single_out(struct forget *f, struct store *s)
{
    struct people_identity identity;
    int64_t have = 0;
    int rc;

    if (!people_identity_of(f->id, &identity)) {
        rc = people_int(s, "SELECT count(*) FROM identity WHERE person=?1 AND identity LIKE 'voice:%'",
                        str_of(f->person.text), STR_NONE, 0, &have);
        if (rc < 0 || have != 1)
            return rc < 0 ? rc : ERR_INVALID;
        rc = people_first(s, str_of(f->person.text), &identity);
        if (rc < 0)
            return rc;
    }
    if (!str_starts(str_of(identity.text), STR(PEOPLE_VOICE)))
        return ERR_INVALID;
    rc = people_int(s, "SELECT count(*) FROM identity WHERE person=?1", str_of(f->person.text), STR_NONE, 0,
                    &have);
    if (rc < 0 || have < 2)
        return rc;
    return people_take_out(s, str_of(identity.text), &f->person);
}

/* The person's numbers, and every call by one of them, whoever it was said to belong to. */
static int gather(struct forget *f, struct store *s)
{
    static const char sql[] = "SELECT substr(identity, 7) FROM identity WHERE person=?1"
                              " AND identity LIKE 'voice:%' ORDER BY identity";
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, sql, &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, str_of(f->person.text));
    buf_clear(&f->numbers);
    while ((sq = sqlite3_step(st)) == SQLITE_ROW) {
        jw_str(&f->numbers, journal_text(st, 0));
        rc = people_exec(s, "UPDATE call SET person=?1 WHERE number=?2 AND person<>?1",
                         str_of(f->person.text), journal_text(st, 0), 0);
        if (rc < 0)
            return rc;
    }
    return sq == SQLITE_DONE ? f->numbers.rc : store_rc(s, sq);
}

static int find(struct forget *f, struct store *s)
{
    int rc = people_resolve(s, f->id, &f->person);

    f->shown = f->person;
    if (rc == 0 && f->only_number)
        rc = single_out(f, s);
    return rc < 0 ? rc : gather(f, s);
}

static int count_call(struct forget *f, struct store *s, struct str call)
{
    static const char *const sql[] = {
        NULL,
        "SELECT count(*) FROM turn WHERE call=?1",
        "SELECT count(*) FROM hop WHERE call=?1",
        "SELECT count(*) FROM tool_run WHERE call=?1",
        "SELECT count(*) FROM handoff WHERE call=?1",
        "SELECT count(*) FROM outbox WHERE call=?1",
        "SELECT count(*) FROM recording WHERE call=?1 AND state<>'deleted'"};
    int64_t n = 0;
    int rc = 0;

    for (int t = T_TURN; rc == 0 && t <= T_RECORDING; t++) {
        rc = people_int(s, sql[t], call, STR_NONE, 0, &n);
        f->step[t] += n;
    }
    f->step[T_CALL]++;
    jw_str(&f->calls, call);
    return rc < 0 ? rc : f->calls.rc;
}

static int erase_calls(struct forget *f, struct store *s)
{
    int rc, sq, n = 0;
    sqlite3_stmt *st = store_stmt(s, "SELECT id, openai_call_id, sip_call_id FROM call WHERE person=?1"
                                     " AND person<>'' ORDER BY id LIMIT ?2", &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, str_of(f->person.text));
    journal_bind_int(st, 2, STEP_CALLS);
    while ((sq = sqlite3_step(st)) == SQLITE_ROW) {
        n++;
        rc = count_call(f, s, journal_text(st, 0));
        if (rc == 0)
            rc = journal_blank_claim(s, journal_text(st, 1), journal_text(st, 2));
        if (rc == 0)
            rc = people_exec(s, "DELETE FROM link_code WHERE call=?1", journal_text(st, 0), STR_NONE, 0);
        if (rc == 0)
            rc = journal_drop(s, journal_text(st, 0));
        if (rc < 0)
            return rc;
    }
    f->more = n == STEP_CALLS;
    return store_rc(s, sq);
}

#define OF_PERSON "(SELECT identity FROM identity WHERE person=?1)"

static int erase_person(struct forget *f, struct store *s)
{
    static const struct {
        int table;
        const char *sql;
    } steps[] = {
        {T_MESSAGE, "DELETE FROM message WHERE identity IN " OF_PERSON},
        {T_LINK, "DELETE FROM link WHERE a IN " OF_PERSON " OR b IN " OF_PERSON},
        {T_CODE, "DELETE FROM link_code WHERE identity IN " OF_PERSON},
        {T_TRY, "DELETE FROM code_try WHERE identity IN " OF_PERSON},
        {T_HANDOFF, "DELETE FROM handoff WHERE dest IN " OF_PERSON " OR channel || ':' || dest IN " OF_PERSON},
        /* What is owed without a call, and names them. */
        {T_OUTBOX, "DELETE FROM outbox WHERE call IS NULL AND (EXISTS (SELECT 1 FROM identity WHERE person=?1"
                   " AND (instr(payload, identity)>0 OR (identity LIKE 'voice:%' AND"
                   " instr(payload, substr(identity, 7))>0))))"},
        /* What was spent stays spent, by nobody. */
        {T_CHARGE, "UPDATE charge SET number='' WHERE 'voice:' || number IN " OF_PERSON},
        {T_CALLER, "DELETE FROM caller WHERE 'voice:' || number IN " OF_PERSON},
        {T_IDENTITY, "DELETE FROM identity WHERE person=?1"},
        {T_PERSON, "DELETE FROM person WHERE id=?1"}};
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < sizeof steps / sizeof *steps; i++) {
        rc = people_exec(s, steps[i].sql, str_of(f->person.text), STR_NONE, 0);
        f->step[steps[i].table] += sqlite3_changes64(s->db);
    }
    return rc;
}

static int rows(struct forget *f, struct store *s)
{
    int64_t live = 0;
    int rc = 0;

    memset(f->step, 0, sizeof f->step);
    f->calls.n = f->calls_kept;
    if (!f->found)
        rc = find(f, s);
    if (rc == 0)
        rc = people_int(s, "SELECT 1 FROM call WHERE person=?1 AND person<>'' AND state<>'over'",
                        str_of(f->person.text), STR_NONE, 0, &live);
    if (rc < 0 || live)
        return rc < 0 ? rc : ERR_BAD_STATE;
    if (!f->found)
        forget_mark_add(s, str_of(f->person.text));
    rc = erase_calls(f, s);
    return rc < 0 || f->more ? rc : erase_person(f, s);
}

/* ---- What the rows leave behind. ---- */

static int scrub(struct store *s)
{
    int64_t bytes = 0;
    int rc = people_int(s, "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
                        STR_NONE, STR_NONE, 0, &bytes);

    /* It is built in memory first, since nothing of a call may reach a temporary directory. */
    if (rc < 0 || bytes > SCRUB_MAX_BYTES)
        return rc < 0 ? rc : ERR_TOO_BIG;
    return store_rc(s, sqlite3_exec(s->db, "VACUUM", NULL, NULL, NULL));
}

static int empty_log(struct store *s)
{
    s->busy_cut_ms = 0;
    s->busy_until_ms = clock_mono_ms() + LOG_WAIT_MS;
    return store_rc(s, sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL));
}

static int forget_run(struct store_op *op, struct store *s, struct sqlite3 *db)
{
    struct forget *f = (struct forget *)op;

    (void)db;
    f->more = false;
    switch (f->phase) {
    case ROWS:
        return rows(f, s);
    case MELT:
        return words_melt(s, &f->more);
    case SCRUB:
        return scrub(s);
    case LOG:
    default:
        return empty_log(s);
    }
}

/* ---- The chain, on the loop thread. ---- */

static void leave(struct forget *f, const char *path)
{
    jw_str(&f->left, str_of(path));
}

/* Copies that were made before: they are the operator's. */
static void list_copies(struct forget *f)
{
    char folder[PATH_MAX], path[PATH_MAX + 256];
    const char *slash = strrchr(f->s->path, '/');
    DIR *d;
    struct dirent *entry;

    (void)str_copy(folder, sizeof folder,
                   slash != NULL ? str_make(f->s->path, (size_t)(slash - f->s->path) + 1) : STR("./"));
    d = opendir(folder);
    if (d == NULL)
        return;
    while ((entry = readdir(d)) != NULL) {
        struct str name = str_of(entry->d_name);

        if (!(str_starts(name, STR("backup-")) && str_ends(name, STR(".db"))) &&
            !str_starts(name, STR("voice.db.corrupt-")))
            continue;
        if (snprintf(path, sizeof path, "%s%s", folder, entry->d_name) > 0)
            leave(f, path);
    }
    (void)closedir(d);
}

static void put_list(struct buf *b, const char *key, const struct buf *items)
{
    jw_key(b, key);
    jw_open(b, '[');
    (void)buf_puts(b, buf_str(items));
    jw_close(b, ']');
}

static int answer(struct forget *f)
{
    struct buf *b = &f->out;

    list_copies(f);
    jw_open(b, '{');
    jw_kstrc(b, "person", f->shown.text);
    jw_key(b, "erased");
    jw_open(b, '{');
    for (int t = 0; t < TABLES; t++)
        jw_kint(b, table_names[t], f->erased[t]);
    jw_close(b, '}');
    put_list(b, "calls", &f->calls);
    put_list(b, "numbers", &f->numbers);
    put_list(b, "left", &f->left);
    jw_close(b, '}');
    return b->rc < 0 ? b->rc : f->calls.rc < 0 ? f->calls.rc : f->left.rc;
}

static void forget_free(struct forget *f)
{
    buf_free(&f->calls);
    buf_free(&f->numbers);
    buf_free(&f->left);
    buf_free(&f->out);
    buf_free(&f->ids);
    mem_free(f);
}

static void end(struct forget *f, int rc)
{
    if (rc < 0 && f->found)
        f->s->forget_owed = true;
    if (rc == 0)
        rc = answer(f);
    if (f->fn != NULL)
        f->fn(f->arg, rc, rc < 0 ? STR_NONE : buf_str(&f->out));
    forget_free(f);
}

static void kept_rows(struct forget *f)
{
    for (int t = 0; t < TABLES; t++)
        f->erased[t] += f->step[t];
    f->calls_kept = f->calls.n;
    f->found = true;
}

/* The rows are gone; that their bytes are, too, failed: the file is named, and why is in the log. */
static void residue(struct forget *f, const char *tail, int rc)
{
    char path[PATH_MAX + 8];

    log_warn(f->s->log, "of what was forgotten something may be left in %s%s: %s", f->s->path, tail,
             err_name(rc));
    (void)snprintf(path, sizeof path, "%s%s", f->s->path, tail);
    leave(f, path);
    if (rc != ERR_TOO_BIG) /* else it is so at the next start, too */
        f->s->forget_owed = true;
}

/* The next person whose forgetting a crash came before; false: there is none. */
static bool next_id(struct forget *f)
{
    f->id = STR("");
    while (f->id.n == 0 && str_split(&f->next, '\n', &f->id))
        ;
    f->found = false;
    return f->id.n > 0;
}

/* One piece of the rows is done; false: it ends here. */
static bool rows_done(struct forget *f, int rc)
{
    if (rc < 0 && !f->finishing) {
        end(f, rc);
        return false;
    }
    if (rc == 0)
        kept_rows(f);
    else if (rc != ERR_NOT_FOUND) /* a call of theirs may be live */
        f->s->forget_owed = true;
    if ((rc < 0 || !f->more) && !(f->finishing && next_id(f)))
        f->phase = MELT;
    return true;
}

static void forget_done(struct store_op *op, int rc)
{
    struct forget *f = (struct forget *)op;

    switch (f->phase) {
    case ROWS:
        if (!rows_done(f, rc))
            return;
        break;
    case MELT:
        if (rc < 0)
            residue(f, "", rc);
        if (rc < 0 || !f->more) {
            f->phase = SCRUB;
            op->flags = STORE_BARE;
        }
        break;
    case SCRUB:
        if (rc < 0)
            residue(f, "", rc);
        f->phase = LOG;
        f->give_up_ms = clock_mono_ms() + LOG_GIVE_UP_MS;
        break;
    case LOG:
    default:
        if (rc < 0 && clock_mono_ms() < f->give_up_ms)
            break;
        if (rc < 0)
            residue(f, "-wal", rc);
        end(f, 0);
        return;
    }
    rc = store_push(f->s, op);
    if (rc < 0)
        end(f, rc);
}

static int forget_new(struct forget **out, struct store *s, struct str id, people_json_fn *fn, void *arg)
{
    struct forget *f;
    void *block;
    char *text;
    int rc = op_make(&block, &text, sizeof *f, id.n);

    if (rc < 0)
        return rc;
    f = block;
    f->op.run = forget_run;
    f->op.done = forget_done;
    f->s = s;
    f->fn = fn;
    f->arg = arg;
    f->id = op_pack(&text, id);
    buf_init(&f->calls, OP_ANSWER_BYTES);
    buf_init(&f->numbers, OP_ANSWER_BYTES);
    buf_init(&f->left, OP_ANSWER_BYTES);
    buf_init(&f->out, OP_ANSWER_BYTES);
    buf_init(&f->ids, OP_TEXT_BYTES);
    *out = f;
    return 0;
}

static int forget_push(struct forget *f)
{
    int rc = store_push(f->s, &f->op);

    if (rc < 0)
        forget_free(f);
    else
        f->s->forgets++;
    return rc;
}

int people_forget(struct store *s, struct str id, bool only_number, people_json_fn *fn, void *arg)
{
    struct forget *f;
    int rc = id.n > OP_KEY_BYTES ? ERR_TOO_BIG : forget_new(&f, s, id, fn, arg);

    if (rc < 0)
        return rc;
    f->only_number = only_number;
    return forget_push(f);
}

void people_forget_over(struct store *s, bool clean)
{
    s->forget_owed = s->forget_owed || !clean;
    if (--s->forgets == 0 && !s->forget_owed)
        forget_mark_clear(s);
}

int people_forget_finish(struct store *s, people_json_fn *fn, void *arg)
{
    struct forget *f;
    int rc = forget_new(&f, s, STR(""), fn, arg);

    if (rc < 0)
        return rc;
    f->finishing = true;
    if (!forget_mark_take(s, &f->ids)) {
        forget_free(f);
        return ERR_NOT_FOUND;
    }
    f->next = buf_str(&f->ids);
    if (!next_id(f))
        f->phase = MELT;
    return forget_push(f);
}

/* ---- What would be. ---- */

static int look_run(struct op_ask *a, struct store *s)
{
    static const char sql[] =
        "SELECT id, state<>'over' FROM call WHERE (?2='' AND person=?1) OR number=?2 OR (?2='' AND number IN"
        " (SELECT substr(identity, 7) FROM identity WHERE person=?1 AND identity LIKE 'voice:%')) ORDER BY id";
    struct people_identity number = {""};
    struct id person;
    bool live = false;
    int rc = people_resolve(s, a->id, &person), sq;
    sqlite3_stmt *st = rc == 0 ? store_stmt(s, sql, &rc) : NULL;

    if (st == NULL)
        return rc;
    if (a->limit != 0 && people_identity_of(a->id, &number) && str_starts(str_of(number.text), STR(PEOPLE_VOICE)))
        journal_bind(st, 2, str_skip(str_of(number.text), sizeof PEOPLE_VOICE - 1));
    else
        journal_bind(st, 2, STR(""));
    journal_bind(st, 1, str_of(person.text));
    jw_open(&a->out, '{');
    jw_kstrc(&a->out, "person", person.text);
    jw_key(&a->out, "calls");
    jw_open(&a->out, '[');
    while ((sq = sqlite3_step(st)) == SQLITE_ROW) {
        live = live || sqlite3_column_int(st, 1) != 0;
        jw_str(&a->out, journal_text(st, 0));
    }
    jw_close(&a->out, ']');
    jw_close(&a->out, '}');
    return live ? ERR_BAD_STATE : store_rc(s, sq);
}

int people_forget_look(struct store *s, struct str id, bool only_number, people_json_fn *fn, void *arg)
{
    const struct op_ask ask = {.op.flags = STORE_READ, .run = look_run, .id = id, .limit = only_number};

    return op_ask(s, &ask, fn, arg);
}

/* ---- Retention of transcripts. ---- */

struct expire {
    struct store_op op;
    struct store *s;
    people_fn *fn;
    void *arg;
    uint64_t before;
    bool more;
    char reached[ID_BYTES], next[ID_BYTES]; /* calls; next counts once committed */
};

static int drop_turns(struct store *s, struct str call)
{
    bool was;
    int rc = words_drop(s, call, &was);

    if (rc == 0)
        rc = people_exec(s, "DELETE FROM turn WHERE call=?1", call, STR_NONE, 0);
    return rc == 0 && was ? words_put(s, call) : rc;
}

static int expire_run(struct store_op *op, struct store *s, struct sqlite3 *db)
{
    static const char sql[] =
        "SELECT id FROM call WHERE id>?1 AND state='over' AND ended_at>0 AND ended_at<?2 AND EXISTS"
        " (SELECT 1 FROM turn WHERE turn.call=call.id) ORDER BY id LIMIT ?3";
    struct expire *x = (struct expire *)op;
    int rc, sq, n = 0;
    sqlite3_stmt *st = store_stmt(s, sql, &rc);

    (void)db;
    if (st == NULL)
        return rc;
    journal_bind(st, 1, str_of(x->reached));
    journal_bind_int(st, 2, x->before);
    journal_bind_int(st, 3, STEP_CALLS);
    while ((sq = sqlite3_step(st)) == SQLITE_ROW) {
        n++;
        (void)str_copy(x->next, sizeof x->next, journal_text(st, 0));
        rc = drop_turns(s, str_of(x->next));
        if (rc < 0)
            return rc;
    }
    x->more = n == STEP_CALLS;
    rc = store_rc(s, sq);
    if (rc < 0 || x->more)
        return rc;
    st = store_stmt(s, "DELETE FROM message WHERE at<?1", &rc);
    if (st == NULL)
        return rc;
    journal_bind_int(st, 1, x->before);
    return journal_step(s, st);
}

static void expire_done(struct store_op *op, int rc)
{
    struct expire *x = (struct expire *)op;

    memcpy(x->reached, x->next, sizeof x->reached);
    if (rc == 0 && x->more) {
        rc = store_push(x->s, op);
        if (rc == 0)
            return;
    }
    if (x->fn != NULL)
        x->fn(x->arg, rc);
    mem_free(x);
}

int people_expire_turns(struct store *s, uint64_t before, people_fn *fn, void *arg)
{
    struct expire *x;
    void *block;
    char *text;
    int rc = op_make(&block, &text, sizeof *x, 0);

    if (rc < 0)
        return rc;
    x = block;
    x->op.run = expire_run;
    x->op.done = expire_done;
    x->s = s;
    x->fn = fn;
    x->arg = arg;
    x->before = before;
    return op_push(s, &x->op);
}
