/* SPDX-License-Identifier: MIT */
/*
 * Rows of the outbox on their way between the database and the hand. There is room for WORKS_MAX of them. What comes
 * while that is taken is a row of the database and nothing else, and so is what comes behind it until all of these were
 * fetched: the order stays. When half of the room is free, the oldest due are fetched; what waits for another attempt
 * makes room for what was not tried yet, and is fetched again when it is due.
 */
#include "memory/journal.h"
#include "plugin/afters_int.h"
#include "plugin/base/clock.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"

#include <string.h>

#define DUE_SLACK_MS 50u /* between two clocks */

static void look_by(struct afters *as, uint64_t at_ms)
{
    if (as->look_ms == 0 || at_ms < as->look_ms)
        as->look_ms = at_ms;
}

void afters_arm(struct afters *as)
{
    uint64_t at = works_due(&as->works);

    if (as->look_ms != 0 && (at == 0 || as->look_ms < at))
        at = as->look_ms;
    if (at != 0)
        timer_set(as->timer, at);
    else
        timer_stop(as->timer);
}

/* ---- In hand ---- */

static void work_free(struct work *w)
{
    if (w->token != 0)
        host_forget(w->owner->app->host, w->token);
    json_free(w->doc);
    mem_free(w->id);
    mem_free(w->call);
    mem_free(w->kind);
    mem_free(w->state);
    mem_free(w->payload);
    mem_free(w->text);
    mem_free(w);
}

static void work_end(struct work *w)
{
    works_take(&w->owner->works, w);
    work_free(w);
}

/* One that is in hand already stays as it is. ERR_NOMEM. */
static int work_begin(struct afters *as, const struct outbox_row *row)
{
    struct work *w;
    int rc;

    if (works_find(&as->works, row->id) != NULL)
        return 0;
    w = MEM_NEW(struct work);
    if (w == NULL)
        return ERR_NOMEM;
    w->owner = as;
    w->id = str_dup(row->id);
    w->call = str_dup(row->call);
    w->kind = str_dup(row->kind);
    w->state = str_dup(row->state);
    w->payload = str_dup(row->payload);
    w->bytes = row->payload.n;
    w->attempts = row->attempts;
    w->made_at = row->made_at;
    rc = w->id && w->call && w->kind && w->state && w->payload ? json_parse(&w->doc, str_of(w->payload), NULL)
                                                               : ERR_NOMEM;
    if (rc == ERR_NOMEM) {
        work_free(w);
        return rc;
    }
    if (rc < 0) { /* would be found again and again */
        w->ends = "failed";
        w->why = "the row cannot be read";
    }
    works_add(&as->works, w);
    return 0;
}

void work_drop(struct work *w)
{
    if (w->saving == 0) {
        work_end(w);
        return;
    }
    if (w->token != 0)
        host_forget(w->owner->app->host, w->token);
    w->token = 0;
    w->forgotten = true;
    works_move(&w->owner->works, w, WORK_SAVING);
}

/* ---- To the database ---- */

static void set_aside(struct work *w, uint64_t pause_ms)
{
    w->due_ms = loop_now_ms(w->owner->app->loop) + pause_ms;
    works_move(&w->owner->works, w, WORK_PAUSED);
}

static void on_saved(void *arg, int rc)
{
    struct work *w = arg;
    struct afters *as = w->owner;

    w->saving--;
    if (w->place != WORK_SAVING) {
        if (as->more) /* it may make room now */
            afters_pump(as);
        return;
    }
    if (w->saving > 0)
        return;
    if (rc < 0 && rc != ERR_NOT_FOUND && !w->forgotten)
        set_aside(w, AFTERS_PAUSE_MS); /* its end is saved once more */
    else
        work_end(w);
    afters_pump(as);
}

static int save(struct work *w, const char *state, const char *error, uint64_t due_at)
{
    bool delivered = strcmp(state, "delivered") == 0;
    struct outbox_row row = {.id = str_of(w->id), .call = str_of(w->call), .kind = str_of(w->kind),
                             .state = delivered ? STR("done") : str_of(state), .payload = STR(""),
                             .error = str_of(error), .attempts = w->attempts, .made_at = w->made_at,
                             .due_at = due_at};
    int rc = outbox_save(w->owner->app->store, &row, on_saved, w);

    if (rc == 0)
        w->saving++;
    if (rc == 0 && strcmp(w->kind, "handoff") == 0)
        (void)handoff_save(w->owner->app->store, str_of(w->id),
                           strcmp(state, "repeating") == 0 ? STR("sending") : str_of(state), str_of(error),
                           delivered ? clock_wall_ms() : 0, NULL, NULL);
    return rc;
}

void work_settle(struct work *w, const char *state, const char *why)
{
    w->token = 0;
    if (w->forgotten) {
        work_drop(w);
        return;
    }
    w->ends = state;
    w->why = why;
    if (save(w, state, why, 0) == 0)
        works_move(&w->owner->works, w, WORK_SAVING);
    else
        set_aside(w, AFTERS_PAUSE_MS);
}

void work_pause(struct work *w, const char *why, uint64_t pause_ms)
{
    (void)save(w, w->state, why, clock_wall_ms() + pause_ms);
    w->token = 0;
    set_aside(w, pause_ms);
}

struct put { /* a row that is made in the database alone */
    struct afters *as;
    outbox_fn *fn;
    void *arg;
};

static void on_put(void *arg, int rc)
{
    struct put p = *(struct put *)arg;

    mem_free(arg);
    if (p.fn != NULL)
        p.fn(p.arg, rc);
    if (rc < 0)
        return;
    p.as->more = true;
    afters_pump(p.as);
}

static int put_aside(struct afters *as, const struct outbox_row *row, outbox_fn *fn, void *arg)
{
    struct put *p = MEM_NEW(struct put);
    int rc;

    if (p == NULL)
        return ERR_NOMEM;
    *p = (struct put){as, fn, arg};
    rc = outbox_put(as->app->store, row, on_put, p);
    if (rc < 0)
        mem_free(p);
    return rc;
}

int afters_put(struct afters *as, const char *kind, struct str call, struct str id, struct str payload,
               outbox_fn *fn, void *arg)
{
    struct outbox_row row = {.id = id, .call = call, .kind = str_of(kind), .state = STR("asked"),
                             .payload = payload, .made_at = clock_wall_ms(), .due_at = clock_wall_ms()};
    bool aside = as->asked || as->more || works_full(&as->works);
    int rc = aside ? put_aside(as, &row, fn, arg) : outbox_put(as->app->store, &row, fn, arg);

    if (rc < 0) {
        log_error(&as->app->log, "%.*s: what is owed after it (%s) could not be queued", STR_ARG(call), kind);
        return rc;
    }
    if (aside)
        return 0;
    if (work_begin(as, &row) < 0)
        look_by(as, loop_now_ms(as->app->loop) + AFTERS_PAUSE_MS);
    timer_set(as->timer, loop_now_ms(as->app->loop));
    return 0;
}

/* ---- From the database ---- */

/* How long until it is due; what an earlier instance was to try later is tried at once, at the start. */
static uint64_t delay_of(const struct afters *as, const struct outbox_row *row)
{
    uint64_t wall = clock_wall_ms();

    if (!as->begun || row->due_at <= wall + DUE_SLACK_MS)
        return 0;
    return row->due_at - wall < AFTERS_PAUSE_MAX_MS ? row->due_at - wall : AFTERS_PAUSE_MAX_MS;
}

static void take_up(struct afters *as, const struct outbox_row *rows, unsigned n, bool more)
{
    uint64_t now = loop_now_ms(as->app->loop), delay;

    for (unsigned i = 0; i < n; i++) {
        if (works_find(&as->works, rows[i].id) != NULL)
            continue;
        delay = delay_of(as, &rows[i]);
        if (delay > 0) { /* and so are those behind it */
            look_by(as, now + delay);
            return;
        }
        if (works_full(&as->works)) {
            more = true;
            break;
        }
        if (work_begin(as, &rows[i]) < 0) {
            look_by(as, now + AFTERS_PAUSE_MS);
            return;
        }
    }
    as->more = as->more || more;
}

static void on_rows(void *arg, int rc, const struct outbox_row *rows, unsigned n, bool more)
{
    struct afters *as = arg;

    as->asked = false;
    if (rc == 0) {
        if (!as->begun && n > 0)
            log_info(&as->app->log, "%u things are still owed from earlier calls%s", n, more ? ", and more" : "");
        take_up(as, rows, n, more);
        as->begun = true;
    } else {
        if (!as->failing)
            log_error(&as->app->log, "what is still owed could not be read: %s", err_name(rc));
        look_by(as, loop_now_ms(as->app->loop) + AFTERS_PAUSE_MS);
    }
    as->failing = rc < 0;
    afters_pump(as);
}

/* What waits for another attempt, and of which that is durable, is fetched again when it is due. */
static void make_room(struct afters *as)
{
    for (struct work *w = as->works.last[WORK_PAUSED], *before; w != NULL && !works_low(&as->works); w = before) {
        before = w->before;
        if (w->saving > 0 || w->ends != NULL)
            continue;
        look_by(as, w->due_ms);
        work_end(w);
    }
}

void afters_look(struct afters *as)
{
    uint64_t now = loop_now_ms(as->app->loop);

    if (as->look_ms != 0 && as->look_ms <= now) {
        as->more = true;
        as->look_ms = 0;
    }
    if (!as->more || as->asked)
        return;
    make_room(as);
    if (!works_low(&as->works))
        return;
    if (outbox_open_rows(as->app->store, as->works.max, as->dead_too, on_rows, as) < 0) {
        look_by(as, now + AFTERS_PAUSE_MS);
        return;
    }
    as->asked = true;
    as->more = as->dead_too = false;
}

void afters_resume(struct afters *as)
{
    as->more = as->dead_too = true;
    afters_pump(as);
}

/* What waits for the database or the index ends with that answer. */
void afters_forget(struct afters *as, struct str call)
{
    for (unsigned place = 0; place < WORK_SAVING; place++) {
        for (struct work *w = as->works.first[place], *next; w != NULL; w = next) {
            next = w->next;
            if (!str_eqc(call, w->call))
                continue;
            w->forgotten = true;
            if (w->token != 0)
                host_cancel(as->app->host, w->token);
            if (place != WORK_RUNNING || w->token != 0)
                work_drop(w);
        }
    }
}

void afters_write(const struct afters *as, struct buf *out)
{
    jw_open(out, '{');
    jw_kint(out, "in_hand", as->works.all);
    jw_kint(out, "waiting_for_another_attempt", as->works.n[WORK_PAUSED]);
    jw_kbool(out, "more_in_database", as->more || as->asked || as->look_ms != 0);
    jw_close(out, '}');
}

void afters_drop_all(struct afters *as)
{
    for (unsigned place = 0; place < WORK_PLACES; place++)
        while (as->works.first[place] != NULL)
            work_end(as->works.first[place]);
}
