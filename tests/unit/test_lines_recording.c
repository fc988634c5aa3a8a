/* SPDX-License-Identifier: MIT */
/* Rows of recordings: fetched by one instance, found again by the next, and owed when they go, whichever way. */
#include "memory/lines.h"
#include "tests/unit/people_kit.h"

struct seen {
    unsigned calls, n;
    int rc;
    char call[64], sid[40], state[20], path[40], error[60];
    uint64_t bytes, owed;
    unsigned attempts;
    bool sealed;
};

static void on_rows(void *arg, int rc, const struct recording_row *rows, unsigned n)
{
    struct seen *s = arg;

    s->calls++;
    s->rc = rc;
    s->n = n;
    if (n == 0)
        return;
    (void)str_copy(s->call, sizeof s->call, rows[0].call);
    (void)str_copy(s->sid, sizeof s->sid, rows[0].sid);
    (void)str_copy(s->state, sizeof s->state, rows[0].state);
    (void)str_copy(s->path, sizeof s->path, rows[0].path);
    (void)str_copy(s->error, sizeof s->error, rows[0].error);
    s->bytes = rows[0].bytes;
    s->attempts = rows[0].attempts;
    s->sealed = rows[0].sealed;
}

static void on_owed(void *arg, int rc, const struct recording_owed *owed, unsigned n)
{
    struct seen *s = arg;

    s->calls++;
    s->rc = rc;
    s->n = n;
    if (n == 0)
        return;
    s->owed = owed[0].n;
    s->attempts = owed[0].attempts;
    (void)str_copy(s->sid, sizeof s->sid, owed[0].sid);
    (void)str_copy(s->path, sizeof s->path, owed[0].path);
}

static void on_made(void *arg, int rc, enum line_made made, struct str id)
{
    (void)made;
    (void)id;
    on_rc(arg, rc);
}

/* Those of a call; "": those that are to be fetched here. */
static struct seen rows_of(struct kit *k, const char *call)
{
    struct seen s = {0};

    T_OK(recording_rows(k->s, str_of(call), on_rows, &s));
    T_TRUE(kit_wait(k, &s.calls, 1, 10000));
    T_OK(s.rc);
    return s;
}

static struct seen owed(struct kit *k)
{
    struct seen s = {0};

    T_OK(recordings_owed(k->s, on_owed, &s));
    T_TRUE(kit_wait(k, &s.calls, 1, 10000));
    T_OK(s.rc);
    return s;
}

static void put_call(struct kit *k, const char *id, const char *ref)
{
    const struct journal_call call = {.id = str_of(id), .direction = STR("outbound"), .from = STR("+15550000002"),
                                      .from_kind = STR("e164"), .level = STR("known"), .state = STR(JOURNAL_WAITING),
                                      .received_at = 1000};
    const struct line_row row = {.call = str_of(id), .carrier = STR("twilio"), .ref = str_of(ref),
                                 .phase = STR("queued"), .number = STR("+15550000002"), .own = STR("+15550000001"),
                                 .spec = STR("{}"), .made_at = 1000};
    struct heard h = {0};

    T_EQ(ASK(k, &h, line_put(k->s, &call, &row, 0, on_made, &h)), 0);
}

static void over(struct kit *k, const char *id)
{
    const struct journal_call row = {.id = str_of(id), .state = STR(JOURNAL_OVER), .ended_at = 2000};
    struct heard h = {0};

    T_EQ(ASK(k, &h, journal_save(k->s, &row, JOURNAL_SET_STATE | JOURNAL_SET_ENDED_AT, on_rc, &h)), 0);
}

static struct recording_row row_of(const char *call, const char *sid, const char *state)
{
    return (struct recording_row){.call = str_of(call), .sid = str_of(sid), .state = str_of(state),
                                  .path = STR("a.wav"), .type = STR("audio/x-wav"), .at = 3000, .due_at = 3000,
                                  .channels = 2};
}

static int add(struct kit *k, const char *call, const char *sid, const char *state)
{
    const struct recording_row row = row_of(call, sid, state);
    struct heard h = {0};

    return ASK(k, &h, recording_add(k->s, &row, on_rc, &h));
}

static int save(struct kit *k, const struct recording_row *row)
{
    struct heard h = {0};

    return ASK(k, &h, recording_save(k->s, row, on_rc, &h));
}

static int drop(struct kit *k, const char *call)
{
    struct heard h = {0};

    return ASK(k, &h, recording_drop(k->s, str_of(call), on_rc, &h));
}

static void open_with_call(struct kit *k)
{
    kit_init(k);
    kit_open(k, 0);
    put_call(k, "call_1", "room1");
}

static void on_its_way(void)
{
    struct kit k;
    struct seen s;
    struct recording_row row = row_of("call_1", "", "fetching");

    open_with_call(&k);
    T_EQ(rows_of(&k, "call_1").n, 0);
    T_OK(add(&k, "call_1", "RE1", "fetching"));
    T_OK(add(&k, "call_1", "RE2", "absent")); /* the first stands */
    row.attempts = 2;
    row.error = STR("HTTP 503");
    T_OK(save(&k, &row));
    s = rows_of(&k, "");
    T_EQ(s.n, 1);
    T_STR_EQ(s.sid, "RE1");
    T_STR_EQ(s.error, "HTTP 503");
    T_EQ(s.attempts, 2);
    row.state = STR("stored");
    row.error = STR("");
    row.bytes = 77;
    row.sealed = true;
    T_OK(save(&k, &row));
    T_EQ(rows_of(&k, "").n, 0);
    s = rows_of(&k, "call_1");
    T_STR_EQ(s.state, "stored");
    T_EQ(s.bytes, 77);
    T_TRUE(s.sealed);
    T_EQ(save(&k, &row), ERR_NOT_FOUND); /* it is not being fetched any more */
    T_OK(add(&k, "call_1", "RE1", "fetching"));
    T_STR_EQ(rows_of(&k, "call_1").state, "stored");
    T_EQ(owed(&k).n, 0);
    kit_done(&k);
}

static void dropped(void)
{
    struct kit k;
    struct seen s;
    struct heard h = {0};
    struct recording_row row = row_of("call_1", "", "stored");

    open_with_call(&k);
    T_EQ(drop(&k, "call_1"), ERR_NOT_FOUND);
    T_OK(add(&k, "call_1", "RE1", "fetching"));
    T_OK(drop(&k, "call_1"));
    T_EQ(drop(&k, "call_1"), ERR_NOT_FOUND);
    T_EQ(save(&k, &row), ERR_NOT_FOUND); /* what was being fetched is not brought back */
    T_STR_EQ(rows_of(&k, "call_1").state, "deleted");
    s = owed(&k);
    T_EQ(s.n, 1);
    T_STR_EQ(s.sid, "RE1");
    T_STR_EQ(s.path, "a.wav");
    T_EQ(ASK(&k, &h, recording_owed_again(k.s, s.owed, 3, 9000, on_rc, &h)), 0);
    T_EQ(owed(&k).attempts, 3);
    T_EQ(ASK(&k, &h, recording_owed_done(k.s, s.owed, on_rc, &h)), 0);
    T_EQ(owed(&k).n, 0);
    kit_done(&k);
}

static void expired(void)
{
    static const char *const states[] = {"stored", "failed", "absent", "fetching"};
    struct kit k;
    struct heard h = {0};
    char id[16];

    kit_init(&k);
    kit_open(&k, 0);
    for (unsigned i = 0; i < 4; i++) {
        (void)snprintf(id, sizeof id, "call_%u", i);
        put_call(&k, id, id);
        T_OK(add(&k, id, id, states[i]));
    }
    T_EQ(ASK(&k, &h, recording_expire(k.s, 3000, on_rc, &h)), 0);
    T_EQ(owed(&k).n, 0);
    T_EQ(ASK(&k, &h, recording_expire(k.s, 3001, on_rc, &h)), 0);
    T_EQ(owed(&k).n, 2);
    T_STR_EQ(rows_of(&k, "call_0").state, "deleted");
    T_STR_EQ(rows_of(&k, "call_1").state, "deleted");
    T_STR_EQ(rows_of(&k, "call_2").state, "absent");
    T_STR_EQ(rows_of(&k, "call_3").state, "fetching");
    kit_done(&k);
}

/* A call that goes leaves its recording as owed; one that is gone, too, when it comes to have one. */
static void of_calls_that_go(void)
{
    struct kit k;
    struct heard h = {0};

    open_with_call(&k);
    T_OK(add(&k, "call_1", "RE1", "fetching"));
    over(&k, "call_1");
    T_EQ(ASK(&k, &h, journal_expire(k.s, 10000000, 1000, on_rc, &h)), 0);
    T_EQ(rows_of(&k, "call_1").n, 0);
    T_EQ(owed(&k).n, 1);
    T_STR_EQ(owed(&k).path, "a.wav");
    T_OK(add(&k, "call_1", "RE9", "fetching"));
    T_EQ(rows_of(&k, "call_1").n, 0);
    T_EQ(owed(&k).n, 2);
    kit_done(&k);
}

static void on_adopted(void *arg, int rc, const struct journal_found *found, unsigned n, unsigned held)
{
    struct seen *s = arg;

    (void)found;
    s->calls++;
    s->rc = rc;
    s->n = n;
    s->owed = held;
}

static void on_lines(void *arg, int rc, const struct line_row *rows, unsigned n)
{
    struct seen *s = arg;

    s->calls++;
    s->rc = rc;
    s->n = n;
    if (n > 0)
        (void)str_copy(s->call, sizeof s->call, rows[0].call);
}

static void line_is(struct kit *k, const char *call, const char *phase, const char *machine)
{
    const struct line_row row = {.call = str_of(call), .phase = str_of(phase), .machine = str_of(machine)};
    struct heard h = {0};

    T_EQ(ASK(k, &h, line_save(k->s, &row, on_rc, &h)), 0);
}

/* Their calls are over: nobody is told of them, but what is owed of them has an owner again. */
static void the_next_instance_goes_on(void)
{
    struct kit k;
    struct heard h = {0};
    struct seen s = {0}, lines = {0};

    kit_init(&k);
    kit_open(&k, 0);
    put_call(&k, "call_1", "room1"); /* is being fetched */
    put_call(&k, "call_2", "room2"); /* waits for its recording */
    put_call(&k, "call_3", "room3"); /* was to be dialled, and is not any more */
    put_call(&k, "call_4", "room4"); /* owes nothing */
    T_OK(add(&k, "call_1", "RE1", "fetching"));
    line_is(&k, "call_1", "completed", "");
    line_is(&k, "call_2", "ending", "{\"v\":1}");
    line_is(&k, "call_3", "queued", "{\"v\":1}");
    line_is(&k, "call_4", "completed", "");
    for (unsigned i = 1; i <= 4; i++) {
        char id[16];

        (void)snprintf(id, sizeof id, "call_%u", i);
        over(&k, id);
    }
    kit_close(&k);
    kit_open(&k, 0);
    T_EQ(rows_of(&k, "").n, 0); /* not ours yet */
    T_OK(journal_adopt(k.s, on_adopted, &s));
    T_TRUE(kit_wait(&k, &s.calls, 1, 10000));
    T_EQ(s.n, 0);
    T_EQ(s.owed, 0);
    T_EQ(rows_of(&k, "").n, 1);
    T_OK(lines_open_rows(k.s, on_lines, &lines));
    T_TRUE(kit_wait(&k, &lines.calls, 1, 10000));
    T_EQ(lines.n, 1);
    T_STR_EQ(lines.call, "call_2");
    T_EQ(ASK(&k, &h, line_end_over(k.s, on_rc, &h)), 0);
    {
        sqlite3 *db = kit_beside(&k);

        T_EQ(kit_int(db, "SELECT count(*) FROM line WHERE phase='completed'"), 3);
        T_EQ(kit_int(db, "SELECT count(*) FROM line WHERE call='call_2' AND machine<>''"), 1);
        sqlite3_close(db);
    }
    kit_done(&k);
}

int main(void)
{
    T_RUN(on_its_way);
    T_RUN(dropped);
    T_RUN(expired);
    T_RUN(of_calls_that_go);
    T_RUN(the_next_instance_goes_on);
    return T_DONE();
}
