/* SPDX-License-Identifier: MIT */
#include "memory/journal_int.h"
#include "plugin/base/mem.h"

#include <string.h>

/* ---- Memory of an adoption: freed as a whole. ---- */

#define CHUNK_BYTES ((size_t)16 << 10)

struct chunk {
    struct chunk *next;
    size_t used, cap;
    /* the bytes follow, aligned as the struct is */
};

static void *take(struct chunk **list, size_t n)
{
    struct chunk *c = *list;
    size_t cap = n > CHUNK_BYTES ? n : CHUNK_BYTES;
    void *p;

    n = (n + 15) & ~(size_t)15;
    if (c == NULL || c->cap - c->used < n) {
        cap = (cap + 15) & ~(size_t)15;
        c = mem_alloc(sizeof *c + cap);
        if (c == NULL)
            return NULL;
        *c = (struct chunk){*list, 0, cap};
        *list = c;
    }
    p = (char *)(c + 1) + c->used;
    c->used += n;
    return p;
}

static void drop(struct chunk **list)
{
    while (*list != NULL) {
        struct chunk *c = *list;

        *list = c->next;
        mem_free(c);
    }
}

static int keep(struct chunk **list, struct str s, struct str *out)
{
    char *p = take(list, s.n + 1);

    if (p == NULL)
        return ERR_NOMEM;
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    *out = str_make(p, s.n);
    return 0;
}

/* ---- Recovery. ---- */

struct adopt {
    struct store_op op;
    journal_adopt_fn *fn;
    void *arg;
    struct chunk *memory;
    struct journal_found *found;
    unsigned n, cap, held;
};

static void adopt_forget(struct adopt *a)
{
    drop(&a->memory);
    mem_free(a->found);
    a->found = NULL;
    a->n = a->cap = a->held = 0;
}

static void adopt_done(struct store_op *op, int rc)
{
    struct adopt *a = (struct adopt *)op;

    if (a->fn != NULL)
        a->fn(a->arg, rc, rc < 0 ? NULL : a->found, rc < 0 ? 0 : a->n, rc < 0 ? 0 : a->held);
    adopt_forget(a);
    mem_free(a);
}

static struct journal_found *adopt_slot(struct adopt *a)
{
    unsigned cap = a->cap ? a->cap * 2 : 16;
    struct journal_found *p;

    if (a->n == a->cap) {
        p = mem_realloc(a->found, cap * sizeof *p);
        if (p == NULL)
            return NULL;
        a->found = p;
        a->cap = cap;
    }
    p = &a->found[a->n];
    memset(p, 0, sizeof *p);
    return p;
}

static int read_row(struct adopt *a, sqlite3_stmt *st, struct journal_call *row)
{
    struct str *texts[] = {&row->id,    &row->openai_call_id, &row->sip_call_id, &row->direction,
                           &row->from,  &row->from_kind,      &row->level,       &row->state,
                           &row->reason, &row->detail,        &row->session_key, &row->model,
                           &row->voice, &row->usage_json};
    int n = (int)(sizeof texts / sizeof *texts), rc;

    for (int i = 0; i < n; i++) {
        rc = keep(&a->memory, journal_text(st, i), texts[i]);
        if (rc < 0)
            return rc;
    }
    row->received_at = journal_u64(st, n);
    row->accepted_at = journal_u64(st, n + 1);
    row->live_at = journal_u64(st, n + 2);
    row->ended_at = journal_u64(st, n + 3);
    row->sip_status = sqlite3_column_int64(st, n + 4);
    return 0;
}

/*
 * Of calls that are over: the line ends yet or waits for its recording, or the recording is being fetched. A line of
 * an earlier phase is none of these: it must not dial any more.
 */
#define STILL_OWED \
    "SELECT c.id AS id, c.owner AS owner FROM line l JOIN call c ON c.id=l.call WHERE l.phase<>'completed'" \
    " AND l.phase='ending' AND l.machine<>'' AND c.state='over'" \
    " UNION ALL SELECT c.id, c.owner FROM recording r JOIN call c ON c.id=r.call" \
    " WHERE r.state='fetching' AND c.state='over'"

/* Who drives calls that are not over, or owes something: the living are counted, the calls of the dead taken. */
static int adopt_owners(struct adopt *a, struct store *s, struct str *dead, unsigned cap,
                        unsigned *n_dead)
{
    int rc, sq;
    struct str owner;
    sqlite3_stmt *st = store_stmt(s, "SELECT owner, count(*) FROM (SELECT id, owner FROM call"
                                     " WHERE state<>'over' UNION ALL " STILL_OWED ") GROUP BY owner", &rc);

    if (st == NULL)
        return rc;
    *n_dead = 0;
    while ((sq = sqlite3_step(st)) == SQLITE_ROW) {
        owner = journal_text(st, 0);
        if (str_eq(owner, store_owner(s)))
            continue;
        if (owner.n > 0 && owner_alive(s->owner, owner)) {
            a->held += (unsigned)sqlite3_column_int64(st, 1);
            continue;
        }
        /* More dead owners than fit are left for the next adoption. */
        if (*n_dead == cap)
            continue;
        rc = keep(&a->memory, owner, &dead[*n_dead]);
        if (rc < 0)
            return rc;
        ++*n_dead;
    }
    return store_rc(s, sq);
}

static int adopt_rows(struct adopt *a, struct store *s, struct str owner)
{
    int rc, sq;
    struct journal_found *f;
    sqlite3_stmt *st = store_stmt(s, "SELECT " JOURNAL_CALL_COLUMNS " FROM call"
                                     " WHERE owner=?1 AND state<>'over' ORDER BY id LIMIT ?2", &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, owner);
    journal_bind_int(st, 2, JOURNAL_ADOPT_MAX - a->n);
    while ((sq = sqlite3_step(st)) == SQLITE_ROW) {
        f = adopt_slot(a);
        if (f == NULL)
            return ERR_NOMEM;
        rc = read_row(a, st, &f->row);
        if (rc < 0)
            return rc;
        a->n++;
    }
    return store_rc(s, sq);
}

static int adopt_tools(struct adopt *a, struct store *s, struct journal_found *f)
{
    int rc, sq;
    unsigned n = 0;
    struct journal_tool *t = NULL;
    sqlite3_stmt *st = store_stmt(s, "SELECT tool_call, name, arguments, state, output, at,"
                                     " count(*) OVER () FROM tool_run"
                                     " WHERE call=?1 AND state<>'" JOURNAL_TOOL_CLOSED "' ORDER BY n",
                                  &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, f->row.id);
    while ((sq = sqlite3_step(st)) == SQLITE_ROW) {
        struct str *texts[5];

        if (t == NULL) {
            f->n_tools = (unsigned)sqlite3_column_int64(st, 6);
            t = take(&a->memory, f->n_tools * sizeof *t);
            if (t == NULL)
                return ERR_NOMEM;
            memset(t, 0, f->n_tools * sizeof *t);
            f->tools = t;
        }
        texts[0] = &t[n].tool_call;
        texts[1] = &t[n].name;
        texts[2] = &t[n].arguments;
        texts[3] = &t[n].state;
        texts[4] = &t[n].output;
        for (int i = 0; i < 5; i++) {
            rc = keep(&a->memory, journal_text(st, i), texts[i]);
            if (rc < 0)
                return rc;
        }
        t[n++].at = journal_u64(st, 5);
    }
    return store_rc(s, sq);
}

static int adopt_turns(struct adopt *a, struct store *s, struct journal_found *f)
{
    enum { LAST = sizeof f->last_items / sizeof *f->last_items };
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, "SELECT item_id, pos, count(*) OVER (),"
                                     " sum(who='assistant') OVER () FROM turn"
                                     " WHERE call=?1 ORDER BY pos DESC, n DESC LIMIT 8", &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, f->row.id);
    while ((sq = sqlite3_step(st)) == SQLITE_ROW && f->n_last_items < LAST) {
        if (f->n_last_items == 0) {
            f->last_pos = sqlite3_column_int64(st, 1);
            f->n_turns = (unsigned)sqlite3_column_int64(st, 2);
            f->n_assistant_turns = (unsigned)sqlite3_column_int64(st, 3);
        }
        rc = keep(&a->memory, journal_text(st, 0), &f->last_items[f->n_last_items]);
        if (rc < 0)
            return rc;
        f->last_items_pos[f->n_last_items++] = sqlite3_column_int64(st, 1);
    }
    /* They came newest first. */
    for (unsigned i = 0; i < f->n_last_items / 2; i++) {
        unsigned j = f->n_last_items - 1 - i;
        struct str item = f->last_items[i];
        int64_t pos = f->last_items_pos[i];

        f->last_items[i] = f->last_items[j];
        f->last_items_pos[i] = f->last_items_pos[j];
        f->last_items[j] = item;
        f->last_items_pos[j] = pos;
    }
    return store_rc(s, sq);
}

static int adopt_line(struct adopt *a, struct store *s, struct journal_found *f)
{
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, "SELECT spec, carrier, machine, phase FROM line WHERE call=?1", &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, f->row.id);
    sq = sqlite3_step(st);
    if (sq != SQLITE_ROW)
        return store_rc(s, sq);
    if (str_eqc(journal_text(st, 1), "sip")) {
        f->has_direct_line = !str_eqc(journal_text(st, 3), "completed");
        return keep(&a->memory, journal_text(st, 2), &f->line_machine);
    }
    f->has_line = true;
    return keep(&a->memory, journal_text(st, 0), &f->line_spec);
}

static int adopt_cost(struct adopt *a, struct store *s, struct journal_found *f)
{
    int rc, sq;
    sqlite3_stmt *st = store_stmt(s, "SELECT day, nano, response FROM charge WHERE call=?1 ORDER BY day", &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, f->row.id);
    while ((sq = sqlite3_step(st)) == SQLITE_ROW) {
        f->cost.day = (uint32_t)journal_u64(st, 0);
        f->cost.day_nano = journal_u64(st, 1);
        f->cost.nano += f->cost.day_nano;
        rc = keep(&a->memory, journal_text(st, 2), &f->cost.response);
        if (rc < 0)
            return rc;
    }
    return store_rc(s, sq);
}

static int adopt_take(struct store *s, struct str id)
{
    int rc;
    sqlite3_stmt *st = store_stmt(s, "UPDATE call SET owner=?2 WHERE id=?1", &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, id);
    journal_bind(st, 2, store_owner(s));
    return journal_step(s, st);
}

/* The calls stay over; this instance goes on with what is owed of them. */
static int adopt_owed(struct store *s, struct str owner)
{
    int rc;
    sqlite3_stmt *st = store_stmt(s, "UPDATE call SET owner=?2 WHERE owner=?1 AND id IN (SELECT id FROM ("
                                     STILL_OWED "))", &rc);

    if (st == NULL)
        return rc;
    journal_bind(st, 1, owner);
    journal_bind(st, 2, store_owner(s));
    return journal_step(s, st);
}

/* The write lock is held: two instances that adopt at once see each other's result. */
static int adopt_run(struct store_op *op, struct store *s, struct sqlite3 *db)
{
    struct adopt *a = (struct adopt *)op;
    struct str dead[64];
    unsigned n_dead = 0;
    int rc;

    (void)db;
    adopt_forget(a);
    rc = adopt_owners(a, s, dead, 64, &n_dead);
    for (unsigned i = 0; rc == 0 && i < n_dead && a->n < JOURNAL_ADOPT_MAX; i++) {
        rc = adopt_rows(a, s, dead[i]);
        if (rc == 0)
            rc = adopt_owed(s, dead[i]);
    }
    for (unsigned i = 0; rc == 0 && i < a->n; i++) {
        rc = adopt_tools(a, s, &a->found[i]);
        if (rc == 0)
            rc = adopt_turns(a, s, &a->found[i]);
        if (rc == 0)
            rc = adopt_line(a, s, &a->found[i]);
        if (rc == 0)
            rc = adopt_cost(a, s, &a->found[i]);
        if (rc == 0)
            rc = adopt_take(s, a->found[i].row.id);
    }
    if (rc == 0)
        owner_sweep(s->owner); /* one without a file is as dead: its calls are found all the same */
    return rc;
}

int journal_adopt(struct store *s, journal_adopt_fn *fn, void *arg)
{
    struct adopt *a = MEM_NEW(struct adopt);
    int rc;

    if (a == NULL)
        return ERR_NOMEM;
    a->op = (struct store_op){.run = adopt_run, .done = adopt_done, .bytes = sizeof *a};
    a->fn = fn;
    a->arg = arg;
    rc = store_push(s, &a->op);
    if (rc < 0)
        mem_free(a);
    return rc;
}
