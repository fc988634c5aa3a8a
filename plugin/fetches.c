/* SPDX-License-Identifier: MIT */
#include "plugin/fetches.h"

#include "abi/openclaw_voice.h"
#include "memory/lines.h"
#include "plugin/app.h"
#include "plugin/base/clock.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "plugin/carrier/carrier.h"
#include "plugin/lines.h"
#include "plugin/net/loop.h"
#include "plugin/notice.h"
#include "plugin/recordings.h"

#include <stdio.h>
#include <string.h>

#define AT_ONCE 4u             /* fetches, and as many deletions */
#define AGAIN_MS 1000u
#define AGAIN_MAX_MS 900000u
#define ABSENT_TRIES 11u       /* a carrier may need minutes until the file is there */
#define DISK_TRIES 8u
#define GIVE_UP_MS (UINT64_C(3) * 86400000u)
#define OWED_GIVE_UP_MS (UINT64_C(30) * 86400000u)
#define LOOK_AGAIN_MS 60000u   /* after a question to the database that failed */
#define TYPE "audio/x-wav"

struct fetch { /* one under way; the carrier's answer cannot be called off */
    struct fetch *next;
    struct fetches *owner;
    char call[ID_BYTES], sid[LINE_SID_BYTES], name[RECORDING_NAME_BYTES];
    unsigned channels, attempts;
    uint64_t at_wall_ms;
    struct recording_file *file; /* NULL: failed, finished, or not wanted any more */
    int rc;                      /* of the file */
    bool doomed;                 /* deleted meanwhile */
    const char *end;             /* the state that is being saved, when it is the last; else NULL */
    uint64_t bytes;
    char error[240];
};

struct owed { /* one deletion under way */
    struct owed *next;
    struct fetches *owner;
    uint64_t n, made_wall_ms;
    unsigned attempts;
    char sid[LINE_SID_BYTES];
};

struct fetches {
    struct app *app;
    struct timer *timer;
    struct fetch *fetches;
    struct owed *owed;
    unsigned n_fetches, n_owed;
    bool looking, look_again, leaving, warned;
    uint64_t next_wall_ms; /* of what the look under way found; 0 nothing */
};

/* ---- Decisions ---- */

uint64_t fetch_delay_ms(unsigned attempts)
{
    uint64_t ms = attempts == 0 || attempts > 20 ? AGAIN_MAX_MS : (uint64_t)AGAIN_MS << (attempts - 1);

    return ms < AGAIN_MAX_MS ? ms : AGAIN_MAX_MS;
}

enum fetch_next fetch_decide(const struct fetch_failure *x)
{
    if (x->rc == ERR_TOO_BIG || (x->rc < 0 && x->attempts >= DISK_TRIES))
        return FETCH_FAILED;
    if (x->rc == 0 && (x->http_status == 410 || (x->http_status == 404 && x->attempts >= ABSENT_TRIES)))
        return FETCH_ABSENT;
    return x->age_ms >= GIVE_UP_MS ? FETCH_FAILED : FETCH_AGAIN;
}

/* ---- The rows that say how it stands ---- */

static void tell(const struct fetch *x)
{
    struct app *app = x->owner->app;
    char hop[300];
    struct buf b;

    notice_begin(&b, OC_EV_RECORDING, str_of(x->call));
    jw_kstrc(&b, "recording", x->end);
    if (x->bytes > 0)
        jw_kint(&b, "bytes", (int64_t)x->bytes);
    if (x->error[0] != '\0')
        jw_kstrc(&b, "error", x->error);
    notice_send(app, &b, OC_EV_RECORDING, str_of(x->call));
    (void)snprintf(hop, sizeof hop, "%s%s%s", x->end, x->error[0] != '\0' ? ": " : "", x->error);
    (void)journal_hop(app->store, str_of(x->call), clock_wall_ms(), STR("recording"), str_of(hop));
}

static void fetch_free(struct fetch *x)
{
    struct fetches *f = x->owner;
    struct fetch **at = &f->fetches;

    while (*at != x)
        at = &(*at)->next;
    *at = x->next;
    f->n_fetches--;
    recording_file_abandon(x->file);
    mem_free(x);
}

static void on_saved(void *arg, int rc)
{
    struct fetch *x = arg;
    struct fetches *f = x->owner;

    if (rc == 0 && x->end != NULL && !f->leaving)
        tell(x);
    else if (rc == ERR_NOT_FOUND && f->app->recordings != NULL) /* deleted while it was being written */
        (void)recording_delete(f->app->recordings, str_of(x->name), NULL, NULL);
    else if (rc < 0 && rc != ERR_NOT_FOUND && !f->leaving)
        log_error(&f->app->log, "%s: what became of its recording could not be saved: %s", x->call, err_name(rc));
    fetch_free(x);
    fetches_look(f);
}

/* Frees x, now or when the row is durable. */
static void save(struct fetch *x, struct recording_row *row)
{
    struct fetches *f = x->owner;

    row->call = str_of(x->call);
    row->path = str_of(x->name);
    row->type = STR(TYPE);
    row->error = str_of(x->error);
    row->bytes = x->bytes;
    row->channels = x->channels;
    row->attempts = x->attempts;
    if (f->app->store != NULL && recording_save(f->app->store, row, on_saved, x) == 0)
        return;
    if (!f->leaving)
        log_error(&f->app->log, "%s: the row of its recording could not be queued", x->call);
    fetch_free(x);
    if (!f->leaving)
        timer_set(f->timer, loop_now_ms(f->app->loop) + LOOK_AGAIN_MS);
}

static void failed(struct fetch *x, int http_status, int rc, struct str why)
{
    struct fetches *f = x->owner;
    uint64_t now = clock_wall_ms();
    struct fetch_failure failure = {.http_status = http_status, .rc = rc, .attempts = ++x->attempts,
                                    .age_ms = now > x->at_wall_ms ? now - x->at_wall_ms : 0};
    enum fetch_next next = fetch_decide(&failure);
    uint64_t delay_ms = fetch_delay_ms(x->attempts);
    struct recording_row row = {.state = STR("fetching"), .due_at = now + delay_ms};

    if (x->doomed || f->leaving) { /* its row is gone, or stays for the next instance */
        fetch_free(x);
        if (!f->leaving)
            fetches_look(f);
        return;
    }
    if (http_status == 400 && x->channels > 1)
        x->channels = 1; /* it has but one */
    if (http_status != 0)
        (void)snprintf(x->error, sizeof x->error, "the carrier answered HTTP %d", http_status);
    else
        (void)str_copy(x->error, sizeof x->error, str_head(why, str_utf8_floor(why, sizeof x->error - 1)));
    if (next == FETCH_AGAIN) {
        log_warn(&f->app->log, "%s: its recording could not be fetched (%s); again in %llu s", x->call, x->error,
                 (unsigned long long)(delay_ms / 1000));
    } else {
        x->end = next == FETCH_ABSENT ? "absent" : "failed";
        row.state = str_of(x->end);
        log_error(&f->app->log, "%s: its recording is not fetched: %s, %u tr%s", x->call, x->error, x->attempts,
                  x->attempts == 1 ? "y" : "ies");
    }
    save(x, &row);
}

/* ---- Fetching ---- */

static struct str disk_words(int rc)
{
    return rc == ERR_TOO_BIG ? STR("it is larger than channels.voice.recording.max_mb")
           : rc > -5000      ? str_of(strerrordesc_np(-rc))
           : rc == ERR_FULL  ? STR("the disk is too slow") : str_of(err_name(rc));
}

static void on_made(void *arg, int rc, const struct recording_made *made)
{
    struct fetch *x = arg;
    struct recording_row row = {.state = STR("stored")};

    if (rc < 0) {
        failed(x, 0, rc, disk_words(rc));
        return;
    }
    x->end = "stored";
    x->error[0] = '\0';
    x->attempts++;
    x->bytes = made->bytes;
    row.sha256 = str_of(made->sha256);
    row.sealed = made->sealed;
    save(x, &row);
}

static void on_data(void *arg, struct str data)
{
    struct fetch *x = arg;

    if (x->file == NULL)
        return;
    x->rc = recording_file_write(x->file, data);
    if (x->rc < 0) {
        recording_file_abandon(x->file);
        x->file = NULL;
    }
}

static size_t pending(void *arg)
{
    const struct fetch *x = arg;

    return x->file != NULL ? recording_file_pending(x->file) : 0;
}

static void on_done(void *arg, int http_status, struct str text)
{
    struct fetch *x = arg;
    struct recording_file *file = x->file;

    if (x->rc < 0 || x->doomed || file == NULL) {
        failed(x, 0, x->rc, disk_words(x->rc));
    } else if (http_status != 200) {
        failed(x, http_status, 0, text);
    } else {
        x->file = NULL;
        recording_file_finish(file, on_made, x);
    }
}

static void start(struct fetches *f, struct carrier *c, const struct recording_row *row)
{
    struct fetch *x = MEM_NEW(struct fetch);
    uint64_t limit = (uint64_t)f->app->config->recording.max_mb << 20;
    struct carrier_fetch want = {.on_data = on_data, .on_done = on_done, .pending = pending, .arg = x,
                                 .channels = row->channels,
                                 .max_bytes = limit + (1u << 20)}; /* the file's own limit is met first */
    int rc;

    if (x == NULL || !str_copy(x->call, sizeof x->call, row->call) || !str_copy(x->sid, sizeof x->sid, row->sid) ||
        !str_copy(x->name, sizeof x->name, row->path)) {
        log_error(&f->app->log, "%.*s: no memory to fetch its recording", STR_ARG(row->call));
        mem_free(x);
        return;
    }
    x->owner = f;
    x->channels = row->channels;
    x->attempts = row->attempts;
    x->at_wall_ms = row->at;
    x->next = f->fetches;
    f->fetches = x;
    f->n_fetches++;
    rc = recording_file_open(&x->file, f->app->recordings, str_of(x->name));
    if (rc < 0) {
        failed(x, 0, rc, disk_words(rc));
        return;
    }
    rc = c->ops->fetch(c, str_of(x->sid), &want);
    if (rc < 0)
        failed(x, 0, 0, str_of(err_name(rc)));
}

static struct fetch *fetch_of(struct fetches *f, struct str call)
{
    struct fetch *x = f->fetches;

    while (x != NULL && !str_eqc(call, x->call))
        x = x->next;
    return x;
}

/* ---- Deleting ---- */

static void owed_free(struct owed *o)
{
    struct fetches *f = o->owner;
    struct owed **at = &f->owed;

    while (*at != o)
        at = &(*at)->next;
    *at = o->next;
    f->n_owed--;
    mem_free(o);
}

static void on_owed_saved(void *arg, int rc)
{
    struct owed *o = arg;
    struct fetches *f = o->owner;

    if (rc < 0 && !f->leaving)
        log_error(&f->app->log, "a deletion of a recording could not be saved: %s", err_name(rc));
    owed_free(o);
    fetches_look(f);
}

static void owed_end(struct owed *o, bool done)
{
    struct fetches *f = o->owner;
    uint64_t now = clock_wall_ms();
    int rc = ERR_CLOSED;

    if (!done && now > o->made_wall_ms + OWED_GIVE_UP_MS && o->attempts > ABSENT_TRIES) {
        log_error(&f->app->log, "the recording %s could not be deleted at the carrier: delete it there", o->sid);
        done = true;
    }
    if (f->app->store != NULL && !f->leaving)
        rc = done ? recording_owed_done(f->app->store, o->n, on_owed_saved, o)
                  : recording_owed_again(f->app->store, o->n, o->attempts + 1, now + fetch_delay_ms(o->attempts + 1),
                                         on_owed_saved, o);
    if (rc < 0)
        owed_free(o);
}

static void on_erased(void *arg, int http_status)
{
    struct owed *o = arg;
    bool done = http_status / 100 == 2 || http_status == 404;

    if (done)
        log_info(&o->owner->app->log, "the recording %s is deleted at the carrier", o->sid);
    else
        log_warn(&o->owner->app->log, "the recording %s could not be deleted at the carrier (HTTP %d); again later",
                 o->sid, http_status);
    owed_end(o, done);
}

static void on_file_gone(void *arg, int rc)
{
    struct owed *o = arg;
    struct fetches *f = o->owner;
    struct carrier *c = f->leaving ? NULL : lines_its_carrier(f->app->lines);

    if (rc < 0 && rc != ERR_NOT_FOUND && !f->leaving)
        log_error(&f->app->log, "the file of the recording %s could not be deleted: %s", o->sid, err_name(rc));
    if (rc < 0 && rc != ERR_NOT_FOUND)
        owed_end(o, false);
    else if (o->sid[0] == '\0')
        owed_end(o, true);
    else if (c == NULL || c->ops->erase(c, str_of(o->sid), on_erased, o) < 0)
        owed_end(o, false);
}

static void owe(struct fetches *f, const struct recording_owed *row)
{
    struct owed *o = MEM_NEW(struct owed);

    if (o == NULL || !str_copy(o->sid, sizeof o->sid, row->sid)) {
        mem_free(o);
        return;
    }
    o->owner = f;
    o->n = row->n;
    o->attempts = row->attempts;
    o->made_wall_ms = row->made_at;
    o->next = f->owed;
    f->owed = o;
    f->n_owed++;
    for (struct fetch *x = f->fetches; x != NULL; x = x->next)
        if (str_eqc(row->path, x->name) && row->path.n > 0) {
            x->doomed = true;
            recording_file_abandon(x->file);
            x->file = NULL;
        }
    if (row->path.n == 0 || recording_delete(f->app->recordings, row->path, on_file_gone, o) < 0)
        on_file_gone(o, row->path.n == 0 ? 0 : ERR_CLOSED);
}

/* ---- Looking ---- */

static void wants_look(struct fetches *f, uint64_t due_wall_ms)
{
    if (f->next_wall_ms == 0 || due_wall_ms < f->next_wall_ms)
        f->next_wall_ms = due_wall_ms;
}

static void looked(struct fetches *f)
{
    uint64_t now = clock_wall_ms();

    f->looking = false;
    if (f->leaving)
        return;
    if (f->look_again) {
        f->look_again = false;
        fetches_look(f);
    } else if (f->next_wall_ms != 0) {
        timer_set(f->timer, loop_now_ms(f->app->loop) + (f->next_wall_ms > now ? f->next_wall_ms - now : 0));
    }
}

static void on_owed(void *arg, int rc, const struct recording_owed *owed, unsigned n)
{
    struct fetches *f = arg;
    uint64_t now = clock_wall_ms();

    for (unsigned i = 0; rc == 0 && i < n && !f->leaving && f->app->recordings != NULL; i++) {
        const struct owed *o = f->owed;

        while (o != NULL && o->n != owed[i].n)
            o = o->next;
        if (o != NULL)
            continue;
        if (owed[i].due_at > now)
            wants_look(f, owed[i].due_at);
        else if (f->n_owed < AT_ONCE) /* whoever ends looks again */
            owe(f, &owed[i]);
    }
    if (rc < 0)
        wants_look(f, now + LOOK_AGAIN_MS);
    looked(f);
}

static void on_rows(void *arg, int rc, const struct recording_row *rows, unsigned n)
{
    struct fetches *f = arg;
    struct carrier *c = f->leaving ? NULL : lines_its_carrier(f->app->lines);
    uint64_t now = clock_wall_ms();

    if (rc == 0 && n > 0 && c == NULL && !f->leaving && !f->warned) {
        f->warned = true;
        log_warn(&f->app->log, "%u recording%s to be fetched, but no carrier is configured", n,
                 n == 1 ? " is" : "s are");
    }
    for (unsigned i = 0; rc == 0 && i < n && c != NULL && f->app->recordings != NULL; i++) {
        if (fetch_of(f, rows[i].call) != NULL)
            continue;
        if (rows[i].due_at > now)
            wants_look(f, rows[i].due_at);
        else if (f->n_fetches < AT_ONCE)
            start(f, c, &rows[i]);
    }
    if (rc < 0)
        wants_look(f, now + LOOK_AGAIN_MS);
    if (f->leaving || f->app->store == NULL || recordings_owed(f->app->store, on_owed, f) < 0)
        looked(f);
}

void fetches_look(struct fetches *f)
{
    if (f == NULL || f->leaving || f->app->store == NULL)
        return;
    if (f->looking) {
        f->look_again = true;
        return;
    }
    f->next_wall_ms = 0;
    f->looking = recording_rows(f->app->store, STR(""), on_rows, f) == 0;
    if (!f->looking)
        timer_set(f->timer, loop_now_ms(f->app->loop) + LOOK_AGAIN_MS);
}

static void on_timer(void *arg)
{
    fetches_look(arg);
}

/* ---- What others ask for ---- */

static void on_added(void *arg, int rc)
{
    struct fetches *f = arg;

    if (rc < 0 && !f->leaving)
        log_error(&f->app->log, "a recording could not be noted: %s", err_name(rc));
    fetches_look(f);
}

static void add(struct fetches *f, struct str call, struct str sid, struct str state, struct str error)
{
    char name[RECORDING_NAME_BYTES];
    struct recording_row row = {.call = call, .sid = sid, .state = state, .type = STR(TYPE), .error = error,
                                .at = clock_wall_ms(), .channels = f->app->config->recording.dual ? 2 : 1};

    (void)snprintf(name, sizeof name, "%.*s.wav", STR_ARG(str_head(call, 100)));
    row.path = str_eqc(state, "fetching") ? str_of(name) : STR("");
    if (f->leaving || f->app->store == NULL || recording_add(f->app->store, &row, on_added, f) < 0)
        log_error(&f->app->log, "%.*s: its recording could not be noted", STR_ARG(call));
}

void fetches_begin(struct fetches *f, struct str call, struct str sid)
{
    add(f, call, sid, STR("fetching"), STR(""));
}

void fetches_none(struct fetches *f, struct str call, struct str sid, bool failed_there)
{
    add(f, call, sid, failed_there ? STR("failed") : STR("absent"),
        failed_there ? STR("the carrier did not record") : STR("nothing was recorded"));
}

static void on_files_expired(void *arg, int rc, struct str names)
{
    struct fetches *f = arg;

    if (rc < 0 && !f->leaving)
        log_warn(&f->app->log, "old recordings could not be looked for: %s", err_name(rc));
    if (rc == 0 && names.n > 0)
        log_info(&f->app->log, "files of recordings that nothing names any more were deleted");
}

/* Files whose row is still there went with it; here go those that a crash left without one. */
static void on_expired(void *arg, int rc)
{
    struct fetches *f = arg;
    uint64_t keep_ms = (uint64_t)f->app->config->recording.retention_days * 86400000u;

    if (rc == 0 && !f->leaving && f->app->recordings != NULL)
        (void)recordings_expire(f->app->recordings, clock_wall_ms() - keep_ms, on_files_expired, f);
    fetches_look(f);
}

void fetches_expire(struct fetches *f)
{
    uint64_t days = f->app->config->recording.retention_days;

    if (f->leaving || f->app->store == NULL)
        return;
    if (days == 0 || recording_expire(f->app->store, clock_wall_ms() - days * 86400000u, on_expired, f) < 0)
        fetches_look(f);
}

struct dropping {
    struct fetches *f;
    fetches_fn *fn;
    void *arg;
};

static void on_dropped(void *arg, int rc)
{
    struct dropping *d = arg;

    fetches_look(d->f);
    d->fn(d->arg, rc);
    mem_free(d);
}

void fetches_delete(struct fetches *f, struct str call, fetches_fn *fn, void *arg)
{
    struct dropping *d = MEM_NEW(struct dropping);
    int rc = d == NULL ? ERR_NOMEM : f->leaving || f->app->store == NULL ? ERR_CLOSED : 0;

    if (rc == 0) {
        *d = (struct dropping){f, fn, arg};
        rc = recording_drop(f->app->store, call, on_dropped, d);
    }
    if (rc == 0)
        return;
    mem_free(d);
    fn(arg, rc);
}

/* ---- Open and close ---- */

int fetches_open(struct fetches **out, struct app *app, struct err *e)
{
    const struct config *c = app->config;
    struct recordings_config files = {.state_dir = c->state_dir, .key = c->recording.encryption_key,
                                      .max_bytes = (uint64_t)c->recording.max_mb << 20, .loop = app->loop,
                                      .log = &app->log};
    struct fetches *f;
    int rc = recordings_open(&app->recordings, &files, e);

    if (rc < 0)
        return rc;
    f = MEM_NEW(struct fetches);
    if (f == NULL)
        return ERR_NOMEM;
    f->app = app;
    if (timer_open(&f->timer, app->loop, on_timer, f) < 0) {
        mem_free(f);
        return ERR_NOMEM;
    }
    *out = f;
    return 0;
}

void fetches_leave(struct fetches *f)
{
    if (f == NULL)
        return;
    f->leaving = true;
    timer_stop(f->timer);
    for (struct fetch *x = f->fetches; x != NULL; x = x->next) {
        recording_file_abandon(x->file);
        x->file = NULL;
    }
}

void fetches_close(struct fetches *f)
{
    if (f == NULL)
        return;
    while (f->fetches != NULL)
        fetch_free(f->fetches);
    while (f->owed != NULL)
        owed_free(f->owed);
    timer_close(f->timer);
    mem_free(f);
}
