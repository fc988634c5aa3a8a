/* SPDX-License-Identifier: MIT */
/*
 * The power fails at a random change of a file, and what was not synced is lost, kept or torn: what the store
 * acknowledged must stand, nothing may stand twice, and the file must be sound. That the test can tell is shown by
 * the same lives without syncs, which must fail it.
 */
#include "memory/store.h"
#include "tests/faults/long.h"
#include "tests/faults/rows_kit.h"

#define LIVES_OF_ONE_FILE 25u

struct life {
    struct kit k;
    struct rows m;
    bool begun;
    const char *pragma; /* of a mutant */
    uint64_t acked, cuts;
    unsigned wrong;
    bool tell;
};

static void life_end(struct life *l)
{
    if (l->begun)
        kit_done(&l->k);
    l->begun = false;
    memset(&l->m, 0, sizeof l->m);
    shim_clear();
}

/* Opens, also with the power failing meanwhile; false: it did. */
static bool life_open(struct life *l)
{
    struct err e = {0};
    struct store_health h;

    if (!l->begun) {
        kit_init(&l->k);
        l->begun = true;
    }
    if (kit_try(&l->k, 200, &e) < 0) {
        if (!shim.dead) {
            l->wrong++;
            printf("  cannot open: %s\n", e.text);
        }
        return false;
    }
    store_health_read(l->k.s, &h);
    if (h.set_aside) {
        l->wrong++;
        if (l->tell)
            printf("  the file was set aside as corrupt\n");
    }
    return true;
}

/* What the next life finds. */
static void life_look(struct life *l)
{
    sqlite3 *db = kit_beside(&l->k);
    unsigned wrong = rows_check(&l->m, db, l->tell);

    (void)sqlite3_close(db);
    l->wrong += wrong;
}

/* All calls are delivered again: those that stand are duplicates. */
static void life_again(struct life *l)
{
    unsigned old = 0;

    for (unsigned i = 0; i < l->m.n; i++) {
        struct row *r = &l->m.row[i];

        if (r->kind != ROW_CALL || r->acked == 0)
            continue;
        old++;
        r->news = r->news > 0 ? r->news : 1; /* it stands, so once it was new, told or not */
        rows_claim(&l->m, l->k.s, r, 0);
        r->asked--; /* changes nothing */
        if (old == 20)
            break;
    }
    if (!rows_settle(&l->m, &l->k, 10000))
        l->wrong++;
    for (unsigned i = 0; i < l->m.n; i++) {
        struct row *r = &l->m.row[i];

        l->wrong += r->news > 1;
        r->acked = r->asked;
    }
}

/* One life: opens, works, is cut off; then the next one looks. */
static void life_run(struct life *l, uint64_t round)
{
    unsigned ops = 5 + (unsigned)shim_dice(60);
    bool up;

    shim_cut_after(1 + shim_dice(1 + shim_dice(120)));
    up = life_open(l) && (l->pragma == NULL || rows_bare(&l->k, l->pragma) == 0 || shim.dead);
    if (up && !rows_adopt(&l->k))
        up = false;
    for (unsigned i = 0; up && i < ops; i++) {
        rows_any(&l->m, l->k.s);
        if (shim_dice(4) == 0)
            (void)rows_settle(&l->m, &l->k, shim.dead ? 0 : 2000);
        if (shim_dice(30) == 0)
            (void)rows_bare(&l->k, shim_dice(2) ? "PRAGMA wal_checkpoint(TRUNCATE)" : "PRAGMA wal_checkpoint(PASSIVE)");
    }
    if (up && !shim.dead && shim_dice(3) > 0)
        (void)rows_settle(&l->m, &l->k, 2000);
    /* A third of those that got this far are cut while they close. */
    if (shim.dead || shim_dice(3) > 0)
        shim_cut_after(0);
    store_close(l->k.s, 0);
    l->k.s = NULL;
    l->acked += l->m.ok;
    l->m.ok = 0;
    if (l->m.finished != l->m.pending) {
        l->wrong++;
        printf("  round %" PRIu64 ": %u operations were never answered\n", round, l->m.pending - l->m.finished);
    }
    l->cuts += shim.dead;
    shim_power();
    if (!life_open(l))
        return;
    life_look(l);
    if (rows_adopt(&l->k))
        life_again(l);
    else
        l->wrong++;
    store_close(l->k.s, 5000);
    l->k.s = NULL;
}

static uint64_t file_seed(const struct rounds *r, uint64_t round)
{
    return (r->seed << 32) + round / LIVES_OF_ONE_FILE * 2654435761u;
}

static void power_cuts(void)
{
    static struct life l;
    struct rounds r;

    memset(&l, 0, sizeof l);
    l.tell = true;
    rounds_begin(&r, "power", 300, 100000);
    r.next -= r.next % LIVES_OF_ONE_FILE;
    while (l.wrong == 0 && rounds_go(&r)) {
        if ((r.next - 1) % LIVES_OF_ONE_FILE == 0) {
            life_end(&l);
            shim.seed = file_seed(&r, r.next - 1);
        }
        life_run(&l, r.next - 1);
        if (l.wrong > 0)
            printf("  FAULT_SEED=%" PRIu64 ", round %" PRIu64 "\n", r.seed, r.next - 1);
    }
    life_end(&l);
    printf("  %" PRIu64 " cuts, %" PRIu64 " acknowledged operations, %u contradictions\n", l.cuts, l.acked, l.wrong);
    T_EQ(l.wrong, 0);
    T_GT(l.cuts, r.n / 4);
    T_GT(l.acked, r.n);
}

/* Lives of a store that does not sync must be told from good ones. How many rounds that takes. */
static unsigned until_caught(const char *pragma, unsigned most)
{
    static struct life l;
    unsigned round = 0;

    memset(&l, 0, sizeof l);
    l.pragma = pragma;
    shim.seed = 77;
    while (l.wrong == 0 && round++ < most) {
        if (round % LIVES_OF_ONE_FILE == 0)
            life_end(&l);
        life_run(&l, round);
    }
    life_end(&l);
    return l.wrong > 0 ? round : 0;
}

static void mutant_off_is_caught(void)
{
    unsigned n = until_caught("PRAGMA synchronous=OFF", 100);

    printf("  synchronous=OFF: caught in round %u\n", n);
    T_GT(n, 0);
}

static void mutant_normal_is_caught(void)
{
    unsigned n = until_caught("PRAGMA synchronous=NORMAL", 100);

    printf("  synchronous=NORMAL: caught in round %u\n", n);
    T_GT(n, 0);
}

int main(void)
{
    shim_install();
    T_RUN(mutant_off_is_caught);
    T_RUN(mutant_normal_is_caught);
    T_RUN(power_cuts);
    return T_DONE();
}
