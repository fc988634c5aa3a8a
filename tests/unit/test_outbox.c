/* SPDX-License-Identifier: MIT */
#include "memory/outbox.h"
#include "plugin/base/json.h"
#include "tests/unit/people_kit.h"

#define A "+15550000001"

struct rows {
    unsigned n, calls;
    int rc;
    bool more;
    char ids[200], payload[100], error[100];
    unsigned attempts;
    uint64_t due;
};

static void on_rows(void *arg, int rc, const struct outbox_row *rows, unsigned n, bool more)
{
    struct rows *r = arg;
    size_t at = 0;

    r->rc = rc;
    r->n = n;
    r->more = more;
    r->ids[0] = '\0';
    for (unsigned i = 0; i < n && at < sizeof r->ids; i++)
        at += (size_t)snprintf(r->ids + at, sizeof r->ids - at, "%.*s ", STR_ARG(rows[i].id));
    if (n > 0) {
        (void)str_copy(r->payload, sizeof r->payload, rows[0].payload);
        (void)str_copy(r->error, sizeof r->error, rows[0].error);
        r->attempts = rows[0].attempts;
        r->due = rows[0].due_at;
    }
    r->calls++;
}

static void look(struct kit *k, struct rows *r, unsigned limit)
{
    memset(r, 0, sizeof *r);
    T_OK(outbox_open_rows(k->s, limit, true, on_rows, r));
    T_TRUE(kit_wait(k, &r->calls, 1, 10000));
    T_OK(r->rc);
}

static struct outbox_row row_of(const char *id, const char *call, uint64_t due)
{
    return (struct outbox_row){.id = str_of(id), .call = str_of(call), .kind = STR("summary"),
                               .state = STR("due"), .payload = STR("{\"a\":1}"), .made_at = 1, .due_at = due};
}

static void rows_are_kept_and_found(void)
{
    struct kit k;
    struct heard h = {0};
    struct rows r;
    struct outbox_row row;

    kit_init(&k);
    kit_open(&k, 0);
    whole_call(&k, "call_1", A, 1000, "x");
    row = row_of("out_1", "call_1", 500);
    T_EQ(ASK(&k, &h, outbox_put(k.s, &row, on_rc, &h)), 0);
    row = row_of("out_2", "", 400);
    T_EQ(ASK(&k, &h, outbox_put(k.s, &row, on_rc, &h)), 0);
    row = row_of("out_3", "call_gone", 300);
    T_EQ(ASK(&k, &h, outbox_put(k.s, &row, on_rc, &h)), ERR_NOT_FOUND);
    /* Once more: the row that stands is left alone. */
    row = row_of("out_1", "call_1", 1);
    T_EQ(ASK(&k, &h, outbox_put(k.s, &row, on_rc, &h)), 0);
    look(&k, &r, 10);
    T_STR_EQ(r.ids, "out_2 out_1 ");
    T_FALSE(r.more);
    look(&k, &r, 1);
    T_STR_EQ(r.ids, "out_2 ");
    T_TRUE(r.more);
    row = (struct outbox_row){.id = STR("out_2"), .state = STR("sending"), .error = STR("try \"2\""),
                              .attempts = 3, .due_at = 900};
    T_EQ(ASK(&k, &h, outbox_save(k.s, &row, on_rc, &h)), 0);
    row.id = STR("out_x");
    T_EQ(ASK(&k, &h, outbox_save(k.s, &row, on_rc, &h)), ERR_NOT_FOUND);
    kit_close(&k);
    kit_open(&k, 0); /* another instance now: the dead one's rows are its */
    look(&k, &r, 10);
    T_STR_EQ(r.ids, "out_1 out_2 ");
    row = (struct outbox_row){.id = STR("out_1"), .state = STR("done"), .payload = STR("{}")};
    T_EQ(ASK(&k, &h, outbox_save(k.s, &row, on_rc, &h)), 0);
    look(&k, &r, 10);
    T_STR_EQ(r.ids, "out_2 ");
    T_STR_EQ(r.payload, "{\"a\":1}");
    T_STR_EQ(r.error, "try \"2\"");
    T_EQ(r.attempts, 3);
    T_EQ(r.due, 900);
    row = (struct outbox_row){.id = STR("out_2"), .state = STR("uncertain")};
    T_EQ(ASK(&k, &h, outbox_save(k.s, &row, on_rc, &h)), 0);
    look(&k, &r, 10);
    T_EQ(r.n, 0);
    kit_done(&k);
}

/* Of two that live, each has its own rows; those of the dead go to one. */
static void one_alone_delivers(void)
{
    struct kit a, b;
    struct heard h = {0};
    struct rows r;
    struct outbox_row row;

    kit_init(&a);
    kit_open(&a, 5000);
    b = a;
    b.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    kit_open(&b, 5000);
    row = row_of("out_a", "", 1);
    T_EQ(ASK(&a, &h, outbox_put(a.s, &row, on_rc, &h)), 0);
    row = row_of("out_b", "", 2);
    T_EQ(ASK(&b, &h, outbox_put(b.s, &row, on_rc, &h)), 0);
    look(&a, &r, 10);
    T_STR_EQ(r.ids, "out_a ");
    look(&b, &r, 10);
    T_STR_EQ(r.ids, "out_b ");
    kit_close(&a);
    look(&b, &r, 10);
    T_STR_EQ(r.ids, "out_a out_b ");
    kit_open(&a, 5000);
    look(&a, &r, 10);
    T_EQ(r.n, 0);
    kit_close(&b);
    (void)close(b.fd);
    kit_done(&a);
}

/* Between the acknowledgement and the end of the process there is nothing that could be lost. */
static void killed_after_the_answer(void)
{
    struct kit k;
    struct heard h = {0};
    struct rows r;
    int status = 0;
    pid_t pid;

    kit_init(&k);
    fflush(stdout);
    pid = fork();
    T_MUST(pid >= 0);
    if (pid == 0) {
        struct outbox_row row = row_of("out_1", "call_1", 1);

        kit_open(&k, 0);
        whole_call(&k, "call_1", A, 1000, "x");
        if (ASK(&k, &h, outbox_put(k.s, &row, on_rc, &h)) == 0)
            (void)kill(getpid(), SIGKILL);
        _exit(1);
    }
    T_EQ(waitpid(pid, &status, 0), pid);
    T_TRUE(WIFSIGNALED(status));
    kit_open(&k, 0);
    look(&k, &r, 10);
    T_STR_EQ(r.ids, "out_1 ");
    kit_done(&k);
}

static void handoffs_are_listed(void)
{
    struct kit k;
    struct heard h = {0};
    struct handoff_row row = {.id = STR("hof_1"), .call = STR("call_1"), .channel = STR("telegram"),
                              .to = STR("777"), .reason = STR("asked"), .state = STR("asked"), .at = 10};
    struct outbox_row out = row_of("hof_1", "call_1", 1);
    const struct json *one;

    kit_init(&k);
    kit_open(&k, 0);
    T_EQ(ASK(&k, &h, handoff_put(k.s, &row, on_rc, &h)), ERR_NOT_FOUND);
    whole_call(&k, "call_1", A, 1000, "x");
    T_EQ(ASK(&k, &h, handoff_put(k.s, &row, on_rc, &h)), 0);
    T_EQ(ASK(&k, &h, handoff_put(k.s, &row, on_rc, &h)), 0);
    out.attempts = 2;
    T_EQ(ASK(&k, &h, outbox_put(k.s, &out, on_rc, &h)), 0);
    row.id = STR("hof_2");
    row.call = STR("");
    row.at = 20;
    T_EQ(ASK(&k, &h, handoff_put(k.s, &row, on_rc, &h)), 0);
    T_EQ(ASK(&k, &h, handoff_save(k.s, STR("hof_1"), STR("delivered"), STR(""), 99, on_rc, &h)), 0);
    T_EQ(ASK(&k, &h, handoff_save(k.s, STR("hof_9"), STR("delivered"), STR(""), 99, on_rc, &h)),
         ERR_NOT_FOUND);
    T_EQ(ASK(&k, &h, handoff_list(k.s, 10, on_json, &h)), 0);
    T_EQ(count(json_get(h.doc, "handoffs")), 2);
    one = json_next(json_first(json_get(h.doc, "handoffs")));
    text_is(one, "id", "hof_1");
    text_is(one, "call", "call_1");
    text_is(one, "to", "777");
    text_is(one, "state", "delivered");
    T_EQ(json_get_int(one, "sent_at", 0), 99);
    T_EQ(json_get_int(one, "attempts", 0), 2);
    heard_free(&h);
    kit_done(&k);
}

/* What is owed keeps its call; what is settled goes with it. */
static void what_is_owed_is_not_expired(void)
{
    uint64_t day = 86400000, now = 400 * day;
    struct kit k;
    struct heard h = {0};
    struct outbox_row row = row_of("out_1", "call_1", 1), alone = row_of("out_2", "", 1);
    sqlite3 *db;

    kit_init(&k);
    kit_open(&k, 0);
    whole_call(&k, "call_1", A, 1000, "x");
    T_EQ(ASK(&k, &h, outbox_put(k.s, &row, on_rc, &h)), 0);
    alone.state = STR("done");
    T_EQ(ASK(&k, &h, outbox_put(k.s, &alone, on_rc, &h)), 0);
    T_EQ(ASK(&k, &h, journal_expire(k.s, now, day, on_rc, &h)), 0);
    db = kit_beside(&k);
    T_EQ(kit_int(db, "SELECT count(*) FROM call"), 1);
    T_EQ(kit_int(db, "SELECT count(*) FROM outbox"), 1);
    row.state = STR("failed");
    T_EQ(ASK(&k, &h, outbox_save(k.s, &row, on_rc, &h)), 0);
    T_EQ(ASK(&k, &h, journal_expire(k.s, now, day, on_rc, &h)), 0);
    T_EQ(kit_int(db, "SELECT count(*) FROM call"), 0);
    T_EQ(kit_int(db, "SELECT count(*) FROM outbox"), 0);
    (void)sqlite3_close(db);
    kit_done(&k);
}

static int try_all(struct kit *k, struct heard *h, struct rows *r, int what)
{
    struct outbox_row row = row_of("out_1", "", 1);
    struct handoff_row hand = {.id = STR("hof_1"), .channel = STR("telegram"), .state = STR("asked")};

    switch (what) {
    case 0: return outbox_put(k->s, &row, on_rc, h);
    case 1: return outbox_save(k->s, &row, on_rc, h);
    case 2: return handoff_put(k->s, &hand, on_rc, h);
    case 3: return handoff_save(k->s, hand.id, hand.state, STR(""), 1, on_rc, h);
    case 4: return handoff_list(k->s, 5, on_json, h);
    default: return outbox_open_rows(k->s, 5, true, on_rows, r);
    }
}

static void out_of_memory(void)
{
    struct kit k;

    kit_init(&k);
    kit_open(&k, 0);
    for (int what = 0; what <= 5; what++) {
        for (unsigned long n = 1; n < 20; n++) {
            struct heard h = {0};
            struct rows r = {0};
            int rc;

            (void)mem_fault_after(n);
            rc = try_all(&k, &h, &r, what);
            (void)mem_fault_after(0);
            T_TRUE(rc == 0 || rc == ERR_NOMEM);
            if (rc == 0)
                T_TRUE(kit_wait(&k, what == 5 ? &r.calls : &h.n, 1, 10000));
            T_OK(h.rc);
            heard_free(&h);
            if (rc == 0)
                break;
            T_EQ(n, 1);
        }
    }
    kit_done(&k);
}

int main(void)
{
    T_RUN(rows_are_kept_and_found);
    T_RUN(one_alone_delivers);
    T_RUN(killed_after_the_answer);
    T_RUN(handoffs_are_listed);
    T_RUN(what_is_owed_is_not_expired);
    T_RUN(out_of_memory);
    return T_DONE();
}
