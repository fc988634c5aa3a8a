/* SPDX-License-Identifier: MIT */
/*
 * More is owed than there is room for. The test stands in for the host that takes what is owed; loop, database and rows
 * are real. A row is known by the session that its word goes to: "0", "1", ...
 */
#include "plugin/afters_int.h"
#include "plugin/base/json.h"
#include "tests/unit/owner_kit.h"

#define ROOM 8u
#define ROWS 60u
#define OPEN_MAX 8u

struct scene {
    struct desk d;
    uint64_t open[OPEN_MAX]; /* requests without an answer */
    unsigned n_open;
    unsigned asked[ROWS];    /* how often each was given to the host */
    unsigned order[10 * ROWS], n_asked;
    unsigned from, to;       /* which are put */
    unsigned refused;        /* those below are not taken */
    unsigned durable, most;  /* in hand at once */
    bool silent;             /* the host answers nothing */
    unsigned left;           /* rows without an end */
};

static int on_request(void *ctx, uint64_t token, const struct oc_request *req)
{
    struct scene *s = ctx;
    struct json *doc = NULL;
    uint64_t which = ROWS;

    if (json_parse(&doc, from_oc(req->json), NULL) == 0)
        (void)str_u64(json_get_str(doc, "session_key"), &which);
    json_free(doc);
    if (which >= ROWS || s->n_open >= OPEN_MAX || s->n_asked >= 10 * ROWS)
        return OC_EINVAL;
    s->asked[which]++;
    s->order[s->n_asked++] = (unsigned)which;
    if (which < s->refused)
        return OC_EBUSY;
    s->open[s->n_open++] = token;
    return OC_OK;
}

/* ---- On the loop's thread ---- */

static void open_fn(void *arg)
{
    struct scene *s = arg;
    struct desk *d = &s->d;

    host_close(d->app.host);
    d->app.host = NULL;
    d->table.request = on_request;
    d->rc = host_open(&d->app.host, &d->table);
    if (d->rc == 0)
        d->rc = afters_open(&d->app.afters, &d->app);
    if (d->rc < 0)
        return;
    d->app.phase = APP_RUNNING;
    d->app.afters->works.max = ROOM;
}

static void close_fn(void *arg)
{
    struct scene *s = arg;

    s->d.app.phase = APP_STOPPING;
    store_close(s->d.app.store, 5000);
    s->d.app.store = NULL;
    afters_close(s->d.app.afters);
    s->d.app.afters = NULL;
}

static void resume_fn(void *arg)
{
    afters_resume(((struct desk *)arg)->app.afters);
}

static void on_put(void *arg, int rc)
{
    struct scene *s = arg;

    s->durable += rc == 0;
}

static void put_fn(void *arg)
{
    struct scene *s = arg;

    for (unsigned i = s->from; i < s->to; i++) {
        char id[16], payload[64];

        (void)snprintf(id, sizeof id, "out_%03u", i);
        (void)snprintf(payload, sizeof payload, "{\"session_key\":\"%u\",\"summary\":\"x\"}", i);
        s->d.rc = afters_put(s->d.app.afters, "wake", STR(""), str_of(id), str_of(payload), on_put, s);
    }
}

/* The database's answers, and the host's. */
static void turn_fn(void *arg)
{
    struct scene *s = arg;
    unsigned n = s->silent ? 0 : s->n_open;
    uint64_t open[OPEN_MAX];

    memcpy(open, s->open, sizeof open);
    if (!s->silent)
        s->n_open = 0;
    for (unsigned i = 0; i < n; i++)
        (void)host_on_reply(s->d.app.host, open[i], OC_OK, STR("{}"));
    store_poll(s->d.app.store);
    if (s->d.app.afters->works.all > s->most)
        s->most = s->d.app.afters->works.all;
}

static void on_left(void *arg, int rc, const struct outbox_row *rows, unsigned n, bool more)
{
    struct scene *s = arg;

    (void)rows;
    (void)more;
    desk_rc(&s->d, rc);
    s->left = n;
}

static void left_fn(void *arg)
{
    struct scene *s = arg;

    if (outbox_open_rows(s->d.app.store, 1000, false, on_left, s) < 0)
        desk_rc(&s->d, ERR_FULL);
}

static void forget_fn(void *arg)
{
    afters_forget(((struct desk *)arg)->app.afters, STR(""));
}

/* ---- The scene ---- */

static void scene_open(struct scene *s)
{
    memset(s, 0, sizeof *s);
    desk_open(&s->d);
    desk_do(&s->d, open_fn);
    T_MUST(s->d.rc == 0);
}

static void scene_close(struct scene *s)
{
    desk_do(&s->d, close_fn);
    desk_close(&s->d);
}

static void put(struct scene *s, unsigned from, unsigned to)
{
    s->from = from;
    s->to = to;
    desk_do(&s->d, put_fn);
}

/* Until *n is want. */
static bool goes_on(struct scene *s, const unsigned *n, unsigned want)
{
    for (uint64_t until = clock_mono_ms() + 2 * KIT_WAIT_MS; clock_mono_ms() < until; usleep(300)) {
        desk_do(&s->d, turn_fn);
        if (*n >= want)
            return true;
    }
    return false;
}

static unsigned left(struct scene *s)
{
    unsigned want = s->d.done + 1;

    desk_do(&s->d, left_fn);
    T_MUST(desk_wait(&s->d, &s->d.done, want));
    T_MUST(s->d.rc == 0);
    return s->left;
}

/* Nothing is in hand, and nothing is left. */
static bool all_is_done(struct scene *s)
{
    for (unsigned i = 0; i < 2000; i++) {
        desk_do(&s->d, turn_fn);
        if (s->d.app.afters->works.all == 0 && left(s) == 0)
            return true;
        usleep(300);
    }
    return false;
}

/* ---- Cases ---- */

static void each_once_in_order(void)
{
    struct scene s;

    scene_open(&s);
    put(&s, 0, ROWS / 2);
    T_TRUE(goes_on(&s, &s.n_asked, 5));
    put(&s, ROWS / 2, ROWS); /* behind those that are in the database alone */
    T_TRUE(goes_on(&s, &s.n_asked, ROWS));
    T_TRUE(all_is_done(&s));
    T_EQ(s.durable, ROWS);
    T_EQ(s.n_asked, ROWS);
    for (unsigned i = 0; i < ROWS; i++)
        T_EQ(s.order[i], i);
    T_LE(s.most, ROOM);
    scene_close(&s);
}

/* A host that refuses more than there is room for keeps nobody from what it takes; what it refused comes again. */
static void what_waits_makes_room(void)
{
    struct scene s;

    scene_open(&s);
    s.refused = 3 * ROOM;
    put(&s, 0, 3 * ROOM + 10);
    for (unsigned i = 0; i < 3 * ROOM + 10; i++)
        T_TRUE(goes_on(&s, &s.asked[i], 1));
    T_LE(s.most, ROOM);
    s.refused = 0;
    for (unsigned i = 0; i < 3 * ROOM; i++)
        T_TRUE(goes_on(&s, &s.asked[i], 2));
    T_TRUE(all_is_done(&s));
    for (unsigned i = 3 * ROOM; i < 3 * ROOM + 10; i++)
        T_EQ(s.asked[i], 1);
    T_LE(s.most, ROOM);
    scene_close(&s);
}

/* What an earlier run left is more than there is room for. */
static void left_by_an_earlier_run(void)
{
    struct scene s;

    scene_open(&s);
    s.silent = true;
    put(&s, 0, ROWS);
    T_TRUE(goes_on(&s, &s.durable, ROWS));
    desk_do(&s.d, close_fn);
    s.n_asked = s.n_open = 0;
    s.silent = false;
    memset(s.asked, 0, sizeof s.asked);
    host_close(s.d.app.host);
    desk_do(&s.d, desk_store_fn);
    T_MUST(s.d.rc == 0);
    desk_do(&s.d, open_fn);
    T_MUST(s.d.rc == 0);
    desk_do(&s.d, resume_fn);
    T_TRUE(goes_on(&s, &s.n_asked, ROWS));
    T_TRUE(all_is_done(&s));
    for (unsigned i = 0; i < ROWS; i++)
        T_EQ(s.asked[i], 1);
    T_LE(s.most, ROOM);
    scene_close(&s);
}

/* Whose call is forgotten: out of hand, whether an answer of host or database is to come or not. */
static void forgotten(void)
{
    struct scene s;

    scene_open(&s);
    s.silent = true;
    put(&s, 0, ROOM);
    T_TRUE(goes_on(&s, &s.n_asked, 4));
    desk_do(&s.d, forget_fn);
    desk_settle(&s.d);
    T_EQ(s.d.app.afters->works.all, 0);
    T_EQ(s.n_asked, 4);
    scene_close(&s);
}

int main(void)
{
    T_RUN(each_once_in_order);
    T_RUN(what_waits_makes_room);
    T_RUN(left_by_an_earlier_run);
    T_RUN(forgotten);
    return T_DONE();
}
