/* SPDX-License-Identifier: MIT */
/* One decision per call, whoever else decides at the same time. */
#include "memory/journal.h"
#include "tests/unit/journal_kit.h"

#include <sys/socket.h>

/* ---- Claims. ---- */

static void one_decision_per_call(void)
{
    struct kit k;
    sqlite3 *db;

    kit_init(&k);
    kit_open(&k, 0);
    T_EQ(claim(&k, "call_1", "rtc_1", "sip_1"), JOURNAL_NEW);
    /* The same delivery; the same call under another id; the same id with other headers. */
    T_EQ(claim(&k, "call_2", "rtc_1", "sip_1"), JOURNAL_DUPLICATE);
    T_EQ(claim(&k, "call_3", "live_9", "sip_1"), JOURNAL_DUPLICATE);
    T_EQ(claim(&k, "call_4", "rtc_1", "sip_2"), JOURNAL_DUPLICATE);
    T_EQ(claim(&k, "call_5", "rtc_1", ""), JOURNAL_DUPLICATE);
    /* What those duplicates brought along was not claimed with them. */
    T_EQ(claim(&k, "call_6", "live_9", ""), JOURNAL_NEW);
    T_EQ(claim(&k, "call_7", "rtc_7", "sip_2"), JOURNAL_NEW);
    /* Without a SIP Call-ID calls are told apart by the provider's id alone. */
    T_EQ(claim(&k, "call_8", "rtc_8", ""), JOURNAL_NEW);
    T_EQ(claim(&k, "call_9", "rtc_9", ""), JOURNAL_NEW);
    T_EQ(claim(&k, "call_10", "rtc_8", "sip_10"), JOURNAL_DUPLICATE);
    T_EQ(claim(&k, "call_11", "rtc_11", "sip_10"), JOURNAL_NEW);
    /* One kind of id never stands for the other. */
    T_EQ(claim(&k, "call_12", "sip_1", "rtc_1"), JOURNAL_NEW);
    db = kit_beside(&k);
    T_EQ(kit_int(db, "SELECT count(*) FROM call"), 7);
    T_EQ(kit_int(db, "SELECT count(*) FROM claim"), 7);
    (void)sqlite3_close(db);

    /* Known without asking, and still so for a process that starts anew. */
    T_TRUE(journal_known(k.s, STR("rtc_1"), STR_NONE));
    T_TRUE(journal_known(k.s, STR("zzz"), STR("sip_1")));
    T_FALSE(journal_known(k.s, STR("sip_1x"), STR("rtc_9")));
    kit_close(&k);
    kit_open(&k, 0);
    T_FALSE(journal_known(k.s, STR("rtc_1"), STR_NONE));
    T_EQ(claim(&k, "call_20", "rtc_1", "sip_77"), JOURNAL_DUPLICATE);
    T_TRUE(journal_known(k.s, STR("rtc_1"), STR_NONE));
    T_FALSE(journal_known(k.s, STR_NONE, STR("sip_77")));
    T_EQ(claim(&k, "call_21", "rtc_21", "sip_77"), JOURNAL_NEW);
    kit_done(&k);
}

/* All or nothing also when the row itself is refused: our id is taken. */
static void a_failed_claim_leaves_nothing(void)
{
    struct kit k;
    struct heard h = {0};
    struct journal_call row = row_of("call_1", "rtc_2", "sip_2");

    kit_init(&k);
    kit_open(&k, 0);
    T_EQ(claim(&k, "call_1", "rtc_1", "sip_1"), JOURNAL_NEW);
    T_OK(journal_claim(k.s, &row, 0, on_claim, &h));
    WAIT(&k, &h);
    T_ERR(h.rc);
    T_FALSE(journal_known(k.s, STR("rtc_2"), STR("sip_2")));
    T_EQ(claim(&k, "call_2", "rtc_2", "sip_2"), JOURNAL_NEW);
    kit_done(&k);
}

static void a_claim_has_a_deadline(void)
{
    struct kit k;
    struct heard h = {0};
    struct journal_call row = row_of("call_1", "rtc_1", "sip_1");
    sqlite3 *db;

    kit_init(&k);
    kit_open(&k, 3000);
    db = kit_lock(&k);
    T_OK(journal_claim(k.s, &row, clock_mono_ms() + 150, on_claim, &h));
    WAIT(&k, &h);
    T_EQ(h.rc, ERR_TIMEOUT);
    T_MUST(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK);
    (void)sqlite3_close(db);
    T_EQ(claim(&k, "call_1", "rtc_1", "sip_1"), JOURNAL_NEW);
    kit_done(&k);
}

/* Very long and odd ids are claimed as they are. */
static void odd_ids(void)
{
    struct kit k;
    char a[3001], b[3001];

    kit_init(&k);
    kit_open(&k, 0);
    memset(a, 'x', sizeof a);
    memset(b, 'x', sizeof b);
    a[3000] = b[3000] = '\0';
    b[2999] = 'y';
    T_EQ(claim(&k, "call_1", a, ""), JOURNAL_NEW);
    T_EQ(claim(&k, "call_2", b, ""), JOURNAL_NEW);
    T_EQ(claim(&k, "call_3", a, ""), JOURNAL_DUPLICATE);
    T_EQ(claim(&k, "call_4", "'; DROP TABLE call; --", "\"\xff\xfe"), JOURNAL_NEW);
    T_EQ(claim(&k, "call_5", "rtc_5", "\"\xff\xfe"), JOURNAL_DUPLICATE);
    kit_done(&k);
}

/*
 * Two stores in turn on one file: each must see what the other appended, also when its own transaction was
 * rolled back in between and the other took the same row numbers.
 */
static int spoil(struct kit_op *o, sqlite3 *db)
{
    (void)o;
    (void)db;
    return ERR_NOMEM; /* a passing failure: the transaction is rolled back */
}

static void others_claims_are_seen(void)
{
    enum { N = 600 };
    struct kit a, b;
    char id[20], openai[20], sip[20];
    unsigned wrong = 0;

    kit_init(&a);
    kit_init_beside(&b, &a);
    kit_open(&a, 5000);
    kit_open(&b, 5000);
    for (unsigned i = 0; i < N; i++) {
        (void)snprintf(id, sizeof id, "call_%u", i);
        (void)snprintf(openai, sizeof openai, "rtc_%u", i);
        (void)snprintf(sip, sizeof sip, "sip_%u", i);
        if (i % 50 == 49) {
            struct kit_op o = {.fn = spoil};
            struct heard lost = {0};
            struct journal_call row = row_of("call_0", "rtc_lost", "sip_lost");
            unsigned done = 0;

            /* Both in one transaction; the second undoes the first, which then fails by itself. */
            T_OK(journal_claim(a.s, &row, 0, on_claim, &lost));
            T_OK(kit_push(&a, &o, 0, &done, NULL));
            T_TRUE(kit_wait(&a, &done, 1, 5000));
            WAIT(&a, &lost);
            T_ERR(lost.rc);
        }
        wrong += claim(i % 2 ? &a : &b, id, openai, sip) != JOURNAL_NEW;
        /* By the other store, by either key, with nothing in its short memory. */
        wrong += claim(i % 2 ? &b : &a, "call_x", openai, "") != JOURNAL_DUPLICATE;
        wrong += claim(i % 2 ? &b : &a, "call_x", "rtc_x", sip) != JOURNAL_DUPLICATE;
    }
    T_EQ(wrong, 0);
    T_EQ(claim(&a, "call_n", "rtc_lost", "sip_lost"), JOURNAL_NEW);
    T_EQ(claim(&b, "call_x", "rtc_lost", ""), JOURNAL_DUPLICATE);
    kit_close(&a);
    kit_close(&b);
    kit_open(&a, 0);
    for (unsigned i = 0; i < N; i++) { /* and from the table alone */
        (void)snprintf(openai, sizeof openai, "rtc_%u", i);
        wrong += claim(&a, "call_x", openai, "") != JOURNAL_DUPLICATE;
    }
    T_EQ(wrong, 0);
    (void)close(b.fd);
    kit_done(&a);
}

#define RACE 2000
#define ROUND 20 /* keys that the two claim at the same time, the one upwards and the other downwards */

static struct journal_call *racer_row(char id[40], char openai[40], char sip[40], unsigned who, unsigned key,
                                      struct journal_call *row)
{
    (void)snprintf(id, 40, "call_%u_%u", who, key);
    if (key % 3)
        (void)snprintf(openai, 40, "rtc_%u", key);
    else /* another id for the same call: the SIP Call-ID decides */
        (void)snprintf(openai, 40, "rtc_%u_%u", key, who);
    (void)snprintf(sip, 40, "sip_%u", key);
    if (key % 3 == 1)
        sip[0] = '\0';
    *row = row_of(id, openai, sip);
    return row;
}

/* A process that claims the ids 0..RACE-1 and writes to the pipe which ones it won. meet: to the other one. */
static void racer(const struct kit *dir, int out, int meet, unsigned who)
{
    struct kit k = *dir;
    struct heard h[RACE];
    char id[40], openai[40], sip[40], c = 0;
    struct journal_call row;

    memset(h, 0, sizeof h);
    k.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    kit_open(&k, 8000);
    for (unsigned first = 0; first < RACE; first += ROUND) {
        if (write(meet, &c, 1) != 1 || read(meet, &c, 1) != 1)
            _exit(4);
        for (unsigned i = 0; i < ROUND; i++) {
            unsigned key = first + (who == 0 ? i : ROUND - 1 - i);

            if (journal_claim(k.s, racer_row(id, openai, sip, who, key, &row), 0, on_claim, &h[key]) < 0)
                _exit(2);
            if (i % 4 == 3 && !kit_wait(&k, &h[key].n, 1, 20000))
                _exit(3);
        }
    }
    for (unsigned i = 0; i < RACE; i++) {
        if (!kit_wait(&k, &h[i].n, 1, 20000) || h[i].rc < 0)
            _exit(3);
        if (h[i].result == JOURNAL_NEW)
            (void)!write(out, &i, sizeof i);
    }
    store_close(k.s, 5000);
    _exit(0);
}

/* Two processes on one database: each key has exactly one winner. */
static void two_processes_race(void)
{
    static unsigned wins[RACE];
    struct kit k;
    int out[2], meet[2], status, bad = 0;
    pid_t pid[2];
    unsigned i, total = 0, lost = 0;
    sqlite3 *db;

    memset(wins, 0, sizeof wins);
    kit_init(&k);
    kit_open(&k, 0); /* makes the file */
    kit_close(&k);
    T_MUST(pipe(out) == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, meet) == 0);
    for (unsigned n = 0; n < 2; n++) {
        pid[n] = fork();
        if (pid[n] == 0) {
            (void)close(out[0]);
            (void)close(meet[1 - n]);
            racer(&k, out[1], meet[n], n);
        }
        T_MUST(pid[n] > 0);
    }
    (void)close(out[1]);
    (void)close(meet[0]);
    (void)close(meet[1]);
    while (read(out[0], &i, sizeof i) == sizeof i) {
        if (i < RACE)
            wins[i]++;
        total++;
    }
    for (unsigned n = 0; n < 2; n++) {
        (void)waitpid(pid[n], &status, 0);
        T_EQ(status, 0);
    }
    for (i = 0; i < RACE; i++) {
        bad += wins[i] > 1;
        lost += wins[i] == 0;
    }
    T_EQ(bad, 0);
    T_EQ(lost, 0);
    T_EQ(total, RACE);
    db = kit_beside(&k);
    T_EQ(kit_int(db, "SELECT count(*) FROM call"), RACE);
    /* Had one process won all, nothing would have been proven. */
    T_GT(kit_int(db, "SELECT count(*) FROM call WHERE id LIKE 'call\\_0\\_%' ESCAPE '\\'"), 0);
    T_GT(kit_int(db, "SELECT count(*) FROM call WHERE id LIKE 'call\\_1\\_%' ESCAPE '\\'"), 0);
    (void)sqlite3_close(db);
    (void)close(out[0]);
    kit_done(&k);
}

int main(void)
{
    T_RUN(one_decision_per_call);
    T_RUN(a_failed_claim_leaves_nothing);
    T_RUN(a_claim_has_a_deadline);
    T_RUN(odd_ids);
    T_RUN(others_claims_are_seen);
    T_RUN(two_processes_race);
    return T_DONE();
}
