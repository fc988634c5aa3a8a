/* SPDX-License-Identifier: MIT */
/* What a later instance finds, after a death at any moment; and what expires. */
#include "memory/journal.h"
#include "tests/unit/journal_kit.h"

/* ---- Recovery. ---- */

/* As during a reload: an old and a new instance in one process. */
static void only_the_dead_are_inherited(void)
{
    struct kit a, b;
    struct found f;
    char item[20];

    kit_init(&a);
    kit_init_beside(&b, &a);
    kit_open(&a, 0);
    kit_open(&b, 0);
    T_EQ(claim(&a, "call_1", "rtc_1", "sip_1"), JOURNAL_NEW);
    T_EQ(claim(&a, "call_2", "rtc_2", "sip_2"), JOURNAL_NEW);
    T_EQ(claim(&a, "call_3", "rtc_3", "sip_3"), JOURNAL_NEW);
    T_EQ(claim(&b, "call_4", "rtc_4", "sip_4"), JOURNAL_NEW);
    T_OK(set_state(&a, "call_2", JOURNAL_OVER));
    T_OK(set_state(&a, "call_1", JOURNAL_LIVE));
    for (int i = 1; i <= 11; i++) {
        (void)snprintf(item, sizeof item, "i%d", i);
        T_OK(turn(&a, "call_1", item, i, i % 2 ? "assistant" : "caller", "x"));
    }
    T_OK(tool(&a, "call_1", "t1", JOURNAL_TOOL_CLOSED, "o"));
    T_OK(tool(&a, "call_1", "t2", "running", ""));

    f = adopt(&b); /* the other lives: its two open calls are not ours */
    T_EQ(f.calls, 0);
    T_EQ(f.held, 2);
    f = adopt(&a); /* nor does one adopt one's own */
    T_EQ(f.calls, 0);
    T_EQ(f.held, 1);

    /* Given up, though alive: the next one takes them, and the old one writes no more. */
    T_OK(release(&a));
    T_EQ(set_state(&a, "call_3", JOURNAL_OVER), ERR_NOT_FOUND);
    f = adopt(&b);
    T_EQ(f.calls, 2);
    T_EQ(f.held, 0);
    T_STR_EQ(f.first, "call_1");
    T_STR_EQ(f.state, JOURNAL_LIVE);
    T_STR_EQ(f.number, "+15551234567");
    T_EQ(f.turns, 11);
    T_EQ(f.assistant, 6);
    T_EQ(f.last_pos, 11);
    T_EQ(f.last, 8);
    T_STR_EQ(f.items[0], "i4");
    T_STR_EQ(f.items[7], "i11");
    T_EQ(f.tools, 1);
    T_STR_EQ(f.tool_state, "running");
    T_STR_EQ(f.tool_args, "{\"request\":\"x\"}");
    T_EQ(set_state(&a, "call_1", JOURNAL_OVER), ERR_NOT_FOUND);
    T_OK(set_state(&b, "call_1", JOURNAL_LEAVING));
    f = adopt(&a);
    T_EQ(f.calls, 0);
    T_EQ(f.held, 3);

    /* Closed without a word: gone all the same. */
    kit_close(&b);
    f = adopt(&a);
    T_EQ(f.calls, 3);
    T_EQ(f.held, 0);
    T_STR_EQ(f.state, JOURNAL_LEAVING);
    f = adopt(&a);
    T_EQ(f.calls, 0);
    kit_close(&a);
    (void)close(b.fd);
    kit_done(&a);
}

/* Two that adopt at the same time: every call goes to one of them. */
static void two_adopt_at_once(void)
{
    enum { N = 50 };
    struct kit a, b;
    struct found fa = {0}, fb = {0};
    char id[20], openai[20];

    kit_init(&a);
    kit_init_beside(&b, &a);
    kit_open(&a, 0);
    for (unsigned i = 0; i < N; i++) {
        (void)snprintf(id, sizeof id, "call_%02u", i);
        (void)snprintf(openai, sizeof openai, "rtc_%u", i);
        T_EQ(claim(&a, id, openai, ""), JOURNAL_NEW);
    }
    kit_close(&a);
    kit_open(&a, 5000);
    kit_open(&b, 5000);
    T_OK(journal_adopt(a.s, on_adopt, &fa));
    T_OK(journal_adopt(b.s, on_adopt, &fb));
    T_TRUE(kit_wait(&a, &fa.n, 1, 5000));
    T_TRUE(kit_wait(&b, &fb.n, 1, 5000));
    T_OK(fa.rc);
    T_OK(fb.rc);
    T_EQ(fa.calls + fb.calls, N);
    T_TRUE(fa.calls == 0 || fb.calls == 0); /* one transaction takes all */
    T_EQ(fa.held + fb.held, N);
    kit_close(&b);
    (void)close(b.fd);
    kit_done(&a);
}

/* ---- kill -9 in the middle of a storm. ---- */

struct ack {
    uint32_t what, n; /* 0: claim n; 1: turn n of call n / 4 */
};

struct storm {
    struct kit k;
    int out;
    unsigned round, acked;
};

struct storm_op {
    struct storm *storm;
    struct ack ack;
};

static void ack(struct storm_op *o, int rc)
{
    if (rc == 0)
        (void)!write(o->storm->out, &o->ack, sizeof o->ack);
    o->storm->acked++;
    free(o);
}

static void on_storm_claim(void *arg, int rc, enum journal_claim_result result)
{
    ack(arg, rc == 0 && result != JOURNAL_NEW ? ERR_DUPLICATE : rc);
}

static void on_storm_turn(void *arg, int rc)
{
    ack(arg, rc);
}

static struct storm_op *storm_op(struct storm *s, uint32_t what, uint32_t n)
{
    struct storm_op *o = malloc(sizeof *o);

    if (o == NULL)
        _exit(4);
    *o = (struct storm_op){s, {what, n}};
    return o;
}

static void storm_child(struct kit *dir, int out, unsigned round)
{
    struct storm s = {.k = *dir, .out = out, .round = round};
    char id[40], openai[40], sip[40], item[40];
    unsigned sent = 0;

    s.k.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    kit_open(&s.k, 5000);
    for (uint32_t n = 0; n < 1000000; n++) {
        struct journal_call row;

        (void)snprintf(id, sizeof id, "call_%03u_%06u", round, n);
        (void)snprintf(openai, sizeof openai, "rtc_%u_%u", round, n);
        (void)snprintf(sip, sizeof sip, "sip_%u_%u", round, n);
        row = row_of(id, openai, sip);
        if (journal_claim(s.k.s, &row, 0, on_storm_claim, storm_op(&s, 0, n)) < 0)
            _exit(5);
        sent++;
        for (uint32_t t = 0; t < 4; t++) {
            struct journal_turn turn_row = {.pos = t, .who = STR("caller"), .text = STR("what was said")};

            (void)snprintf(item, sizeof item, "item_%u", t);
            turn_row.item_id = str_of(item);
            if (journal_turn(s.k.s, row.id, &turn_row, on_storm_turn, storm_op(&s, 1, n * 4 + t)) < 0)
                _exit(6);
            sent++;
        }
        /* At most some hundred in flight, as a server has. */
        while (sent - s.acked > 200)
            (void)kit_wait(&s.k, &s.acked, s.acked + 1, 1000);
        store_poll(s.k.s);
    }
    _exit(7);
}

static bool row_stands(sqlite3_stmt *st, const char *call, const char *item)
{
    bool found;

    (void)sqlite3_bind_text(st, 1, call, -1, SQLITE_TRANSIENT);
    if (item != NULL)
        (void)sqlite3_bind_text(st, 2, item, -1, SQLITE_TRANSIENT);
    found = sqlite3_step(st) == SQLITE_ROW;
    (void)sqlite3_reset(st);
    return found;
}

static unsigned check_acks(const struct kit *k, int in, unsigned round, unsigned *lost)
{
    struct ack a;
    char call[40], item[40];
    unsigned n = 0;
    sqlite3 *db = kit_beside(k);
    sqlite3_stmt *calls = NULL, *turns = NULL;

    T_MUST(sqlite3_prepare_v2(db, "SELECT 1 FROM call WHERE id=?1", -1, &calls, NULL) == SQLITE_OK);
    T_MUST(sqlite3_prepare_v2(db, "SELECT 1 FROM turn WHERE call=?1 AND item_id=?2", -1, &turns,
                              NULL) == SQLITE_OK);
    while (read(in, &a, sizeof a) == sizeof a) {
        (void)snprintf(call, sizeof call, "call_%03u_%06u", round, a.what == 0 ? a.n : a.n / 4);
        (void)snprintf(item, sizeof item, "item_%u", a.n % 4);
        *lost += !row_stands(a.what == 0 ? calls : turns, call, a.what == 0 ? NULL : item);
        n++;
    }
    (void)sqlite3_finalize(calls);
    (void)sqlite3_finalize(turns);
    (void)sqlite3_close(db);
    return n;
}

static void killed_in_a_storm(void)
{
    struct kit k;
    int fds[2], status;
    unsigned acked = 0, lost = 0, rounds = 0, seed = 7;
    uint64_t until = clock_mono_ms() + 20000;
    sqlite3 *db;

    kit_init(&k);
    kit_open(&k, 0);
    kit_close(&k);
    for (; rounds < 50 && clock_mono_ms() < until; rounds++) {
        pid_t pid;

        T_MUST(pipe(fds) == 0);
        /* Room for all acknowledgements of a round: the child must not wait for its reader. */
        (void)fcntl(fds[1], F_SETPIPE_SZ, 1 << 20);
        pid = fork();
        if (pid == 0) {
            (void)close(fds[0]);
            storm_child(&k, fds[1], rounds);
        }
        T_MUST(pid > 0);
        (void)close(fds[1]);
        seed = seed * 1103515245u + 12345u;
        kit_nap(20 + seed / 65536u % 130);
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, &status, 0);
        T_TRUE(WIFSIGNALED(status));
        kit_open(&k, 0);
        acked += check_acks(&k, fds[0], rounds, &lost);
        (void)close(fds[0]);
        kit_close(&k);
    }
    T_EQ(lost, 0);
    T_GE(rounds, 20);
    T_GT(acked, 1000);
    db = kit_beside(&k);
    T_EQ(kit_int(db, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"), 0);
    /* A claim and its call stand or fall together. */
    T_EQ(kit_int(db, "SELECT count(*) FROM claim WHERE call NOT IN (SELECT id FROM call)"), 0);
    T_EQ(kit_int(db, "SELECT count(*) FROM call"), kit_int(db, "SELECT count(*) FROM claim"));
    (void)sqlite3_close(db);
    printf("  %u rounds, %u acknowledged\n", rounds, acked);
    kit_done(&k);
}

/* ---- Expiry. ---- */

static int expire(struct kit *k, uint64_t now, uint64_t keep)
{
    struct heard h = {0};

    T_OK(journal_expire(k->s, now, keep, on_rc, &h));
    WAIT(k, &h);
    return h.rc;
}

/* Claims many at once; how many did not end as wanted. */
static unsigned claim_many(struct kit *k, const char *name, unsigned n, enum journal_claim_result want)
{
    struct heard *h = calloc(n, sizeof *h);
    char id[40], openai[40], sip[40];
    unsigned wrong = 0;

    T_MUST(h != NULL);
    for (unsigned i = 0; i < n; i++) {
        struct journal_call row;

        (void)snprintf(id, sizeof id, "call_%s_%u", name, i);
        (void)snprintf(openai, sizeof openai, "rtc_%s_%u", name, i);
        (void)snprintf(sip, sizeof sip, "sip_%s_%u", name, i);
        row = row_of(id, openai, sip);
        T_OK(journal_claim(k->s, &row, 0, on_claim, &h[i]));
    }
    for (unsigned i = 0; i < n; i++)
        wrong += !kit_wait(k, &h[i].n, 1, 10000) || h[i].rc < 0 || h[i].result != want;
    free(h);
    return wrong;
}

static void old_calls_go(void)
{
    enum { N = 400 };
    const uint64_t hour = 3600000, t0 = 1000000 * hour;
    struct kit k;
    char id[20], openai[20], sip[20], item[20];
    struct heard h = {0};
    struct journal_call row;
    unsigned claimed = 0;
    struct heard all[N];
    sqlite3 *db;

    memset(all, 0, sizeof all);
    kit_init(&k);
    kit_open(&k, 0);
    for (unsigned i = 0; i < N; i++) {
        (void)snprintf(id, sizeof id, "call_%04u", i);
        (void)snprintf(openai, sizeof openai, "rtc_%u", i);
        (void)snprintf(sip, sizeof sip, "sip_%u", i);
        row = row_of(id, openai, sip);
        row.received_at = t0 + i * hour / 4; /* the last is 100 h younger than the first */
        T_OK(journal_claim(k.s, &row, 0, on_claim, &all[i]));
        T_OK(journal_hop(k.s, row.id, 1, STR("h"), STR("d")));
        (void)snprintf(item, sizeof item, "i%u", i);
        row.state = STR(JOURNAL_OVER);
        row.ended_at = row.received_at + 1000;
        if (i != 3) /* one of the oldest never ended */
            T_OK(journal_save(k.s, &row, JOURNAL_SET_STATE | JOURNAL_SET_ENDED_AT, NULL, NULL));
    }
    for (unsigned i = 0; i < N; i++)
        claimed += kit_wait(&k, &all[i].n, 1, 10000) && all[i].rc == 0;
    T_EQ(claimed, N);
    T_OK(turn(&k, "call_0000", "i", 1, "caller", "secret words"));
    db = kit_beside(&k);

    T_OK(expire(&k, t0 + 50 * hour, 0)); /* keeps all */
    T_EQ(kit_int(db, "SELECT count(*) FROM call"), N);
    T_EQ(kit_int(db, "SELECT count(*) FROM claim"), N);
    /* Now is 100 h after the first: calls of 20 h are kept and claims of 72 h; the rest goes. */
    T_OK(expire(&k, t0 + 100 * hour, 20 * hour));
    T_EQ(kit_int(db, "SELECT count(*) FROM call WHERE state='over'"), 80);
    T_EQ(kit_int(db, "SELECT count(*) FROM call WHERE id='call_0003'"), 1);
    T_EQ(kit_int(db, "SELECT count(*) FROM hop"), 81);
    T_EQ(kit_int(db, "SELECT count(*) FROM turn"), 0);
    T_EQ(kit_int(db, "SELECT count(*) FROM claim"), 72 * 4);
    T_EQ(claim(&k, "call_x", "rtc_150", ""), JOURNAL_DUPLICATE); /* gone, but not to be taken again */
    T_EQ(claim(&k, "call_y", "rtc_0", ""), JOURNAL_NEW); /* older than any retry */
    T_EQ(query(&k, &h, JOURNAL_Q_CALL, "rtc_150", 1), ERR_NOT_FOUND);
    T_OK(query(&k, &h, JOURNAL_Q_CALL, "rtc_3", 1)); /* older than its claim, but it stands */
    text_is(h.doc, "call", "call_0003");
    /* And those claims go in their time, all but the newest. */
    T_OK(expire(&k, t0 + 200 * hour, 20 * hour));
    T_EQ(kit_int(db, "SELECT count(*) FROM call"), 2); /* the open one, and call_y */
    T_EQ(kit_int(db, "SELECT count(*) FROM claim"), 1);
    T_EQ(claim(&k, "call_z", "rtc_150", ""), JOURNAL_NEW);
    T_EQ(kit_int(db, "SELECT max(n) FROM claim"), N + 2);
    T_FALSE(journal_known(k.s, STR("rtc_151"), STR_NONE));
    /* The index outgrows its table, drops what is gone, and still knows the rest. */
    T_EQ(claim_many(&k, "again", 3000, JOURNAL_NEW), 0);
    T_EQ(claim_many(&k, "again", 3000, JOURNAL_DUPLICATE), 0);
    T_EQ(claim_many(&k, "more", 3000, JOURNAL_NEW), 0);
    T_EQ(claim(&k, "call_x", "rtc_150", ""), JOURNAL_DUPLICATE);
    T_EQ(kit_int(db, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"), 0);
    T_EQ(kit_int(db, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
    (void)sqlite3_close(db);
    heard_free(&h);
    kit_done(&k);
}

int main(void)
{
    T_RUN(only_the_dead_are_inherited);
    T_RUN(two_adopt_at_once);
    T_RUN(killed_in_a_storm);
    T_RUN(old_calls_go);
    return T_DONE();
}
