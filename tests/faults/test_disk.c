/* SPDX-License-Identifier: MIT */
/*
 * Every call of SQLite to the system fails once, n = 1, 2, ... until a whole life of the store meets no fault: as an
 * I/O error that passes, as one that stays until somebody mends it, as a full disk. Each must be told, leave nothing
 * half done, and be over when the disk is well again. And a disk whose syncs take 2 s.
 */
#include "memory/journal.h"
#include "tests/faults/long.h"
#include "tests/faults/rows_kit.h"

struct scene {
    struct kit k;
    struct rows m;
    bool stays; /* the fault is mended only when something failed or hangs */
    unsigned told, hung;
    unsigned wrong;
};

static void say_wrong(struct scene *w, const char *what)
{
    w->wrong++;
    printf("  %s\n", what);
}

static void mend(struct scene *w)
{
    if (w->stays)
        shim_fail_after(0, false, SHIM_IO);
}

static void scene_open(struct scene *w)
{
    struct err e = {0};
    struct store_health h;
    int rc = kit_try(&w->k, 30, &e);

    if (rc < 0) {
        w->told++;
        if (e.text[0] == '\0' || w->k.s != NULL)
            say_wrong(w, "an open failed and did not say why");
        mend(w);
        rc = kit_try(&w->k, 30, &e);
    }
    if (rc < 0) {
        printf("  %d %s\n", rc, e.text);
        say_wrong(w, "no open after the fault was gone");
        return;
    }
    store_health_read(w->k.s, &h);
    if (h.set_aside)
        say_wrong(w, "a file was set aside for a fault of the disk");
}

/* A delivery that stands already: nothing changes, but who waits in line is tried again behind it. */
static void nudge(struct scene *w)
{
    struct kit_op o = {.sql = "UPDATE call SET reason=reason WHERE id=''"};
    unsigned done = 0;

    if (kit_push(&w->k, &o, 0, &done, NULL) < 0 || !kit_wait(&w->k, &done, 1, 10000))
        say_wrong(w, "the store hangs");
}

/* What was begun ends; what may wait in line does so until the fault is mended, and then is carried out. */
static void scene_settle(struct scene *w)
{
    struct rows *m = &w->m;

    if (kit_wait(&w->k, &m->finished, m->pending, 10))
        return;
    w->hung++;
    mend(w);
    nudge(w);
    if (!kit_wait(&w->k, &m->finished, m->pending, 10000))
        say_wrong(w, "an operation hangs though the disk is well");
}

static void scene_step(struct scene *w, struct row *r)
{
    unsigned version = r->asked + 1;

    for (int i = 0; i < 2 && r->acked < version; i++) {
        if (i > 0) {
            w->told++;
            mend(w);
            r->asked--; /* once more the same */
        }
        if (r->asked == 0 && r->kind != ROW_CALL && !rows_replaced(r->kind)) {
            struct rows_op *o = rows_begin(&w->m, r);

            rows_refused(o, rows_insert(o, w->k.s));
        } else {
            rows_step(&w->m, w->k.s, r);
        }
        scene_settle(w);
    }
    if (r->acked < version) {
        printf("  row of kind %d, version %u\n", (int)r->kind, version);
        say_wrong(w, "an operation fails though the disk is well");
    }
}

static void scene_adopt(struct scene *w)
{
    if (rows_adopt(&w->k))
        return;
    w->told++;
    mend(w);
    if (!rows_adopt(&w->k))
        say_wrong(w, "calls cannot be taken over though the disk is well");
}

static void scene_check(struct scene *w)
{
    sqlite3 *db;

    shim_reset();
    scene_open(w);
    if (w->k.s == NULL)
        return;
    db = kit_beside(&w->k);
    if (rows_check(&w->m, db, true) != 0)
        say_wrong(w, "what was acknowledged does not stand");
    (void)sqlite3_close(db);
}

/* A life: an empty directory, rows of all kinds, a checkpoint, an end; a second life on that file. */
static void scene_run(struct scene *w)
{
    struct row *call, *r[ROW_KINDS] = {NULL};

    scene_open(w);
    if (w->k.s == NULL)
        return;
    scene_adopt(w);
    call = r[ROW_CALL] = rows_add(&w->m, ROW_CALL, NULL);
    for (int kind = ROW_CALL; kind < ROW_KINDS; kind++) {
        if (kind != ROW_CALL)
            r[kind] = rows_add(&w->m, (enum row_kind)kind, call);
        scene_step(w, r[kind]);
    }
    if (rows_bare(&w->k, "PRAGMA wal_checkpoint(TRUNCATE)") != 0) {
        w->told++;
        mend(w);
    }
    for (int kind = ROW_CALL; kind < ROW_KINDS; kind++)
        scene_step(w, r[kind]);
    store_close(w->k.s, 5000);
    w->k.s = NULL;
    scene_open(w);
    if (w->k.s == NULL)
        return;
    scene_adopt(w);
    scene_step(w, r[ROW_CALL]);
    scene_step(w, r[ROW_TURN]);
    store_close(w->k.s, 5000);
    w->k.s = NULL;
}

/* False: this n was never reached. */
static bool fault_at(uint64_t n, bool stays, enum shim_faults fault, unsigned *wrong, unsigned *told)
{
    static struct scene w;
    uint64_t hits;

    memset(&w, 0, sizeof w);
    w.stays = stays;
    shim_clear();
    kit_init(&w.k);
    shim_fail_after(n, !stays, fault);
    scene_run(&w);
    hits = shim.hits;
    /* Mended faults are forgotten by the counter. */
    if (w.told + w.hung > 0)
        hits = 1;
    scene_check(&w);
    kit_done(&w.k);
    if (w.wrong > 0)
        printf("  call %" PRIu64 ", fault %d, %s\n", n, (int)fault, stays ? "stays" : "passes");
    *wrong += w.wrong;
    *told += w.told + w.hung;
    return hits > 0;
}

/* All n in the long form; every stride-th in the short one, from another one at each seed. */
static void ladder(const char *name, bool stays, enum shim_faults fault, unsigned stride)
{
    uint64_t n = 1 + rounds_env("FAULT_SEED", 1) % stride, ran = 0, told_ms = clock_mono_ms();
    unsigned wrong = 0, told = 0;

    for (; wrong == 0 && fault_at(n, stays, fault, &wrong, &told); n += stride) {
        ran++;
        if (rounds_long() && clock_mono_ms() - told_ms >= 10000) {
            told_ms = clock_mono_ms();
            printf("  %s: call %" PRIu64 "\n", name, n);
            fflush(stdout);
        }
    }
    printf("  %s: %" PRIu64 " of %" PRIu64 " calls failed, %u times told or waited for\n", name, ran, n, told);
    T_EQ(wrong, 0);
    T_GT(n, 100);
    T_GT(told, 5);
}

static void errors_that_pass(void)
{
    ladder("disk-passing", false, SHIM_IO, rounds_long() ? 1 : 13);
}

static void errors_that_stay(void)
{
    ladder("disk-staying", true, SHIM_IO, rounds_long() ? 1 : 13);
}

static void full_disks(void)
{
    ladder("disk-full", true, SHIM_FULL, rounds_long() ? 1 : 7);
}

/* ---- A slow disk. ---- */

/*
 * A sync takes 2 s. Who asks is answered by its own deadline or in order, the thread that asks never waits, and
 * once the disk is quick again nothing is left behind.
 */
static void slow_syncs(void)
{
    enum { N = 20 };
    static struct rows m;
    struct kit k;
    uint64_t t, longest = 0;
    unsigned timely = 0;

    memset(&m, 0, sizeof m);
    shim_clear();
    kit_init(&k);
    kit_open(&k, 0);
    shim.sync_ms = 2000;
    for (unsigned i = 0; i < N; i++) {
        t = clock_mono_ms();
        rows_claim(&m, k.s, rows_add(&m, ROW_CALL, NULL), t + 500);
        store_poll(k.s);
        t = clock_mono_ms() - t;
        longest = t > longest ? t : longest;
        kit_nap(5);
    }
    /* The first is in the commit that hangs; those behind it are never begun, and hear so. */
    T_TRUE(kit_wait(&k, &m.finished, N, 15000));
    for (unsigned i = 0; i < N; i++)
        timely += m.row[i].acked > 0;
    T_GE(timely, 1);
    T_LT(timely, N);
    T_LT(longest, 400);
    shim.sync_ms = 0;
    /* Delivered again: those that got through are duplicates, the others new. */
    for (unsigned i = 0; i < N; i++) {
        m.row[i].asked = 0;
        rows_claim(&m, k.s, &m.row[i], clock_mono_ms() + 5000);
    }
    T_TRUE(kit_wait(&k, &m.finished, 2 * N, 10000));
    for (unsigned i = 0; i < N; i++) {
        T_EQ(m.row[i].news, 1);
        T_EQ(m.row[i].acked, 1);
    }
    kit_done(&k);
}

int main(void)
{
    shim_install();
    T_RUN(errors_that_pass);
    T_RUN(errors_that_stay);
    T_RUN(full_disks);
    T_RUN(slow_syncs);
    return T_DONE();
}
