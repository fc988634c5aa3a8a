/* SPDX-License-Identifier: MIT */
/*
 * The life of an instance: start, commands, replies, stop and destroy in every state and from several
 * threads; each answer exactly once, and no word to the host after the end. t-limit: 120
 */
#include "tests/conformance/abi_kit.h"

#include <fcntl.h>

/* ---- Start ---- */

static void start_answers_once(void)
{
    struct kit k;

    kit_open(&k, "start", "");
    T_HAS(k.started.json, "\"url\":\"http://127.0.0.1:");
    T_EQ(atomic_load(&k.host.ready), 1);
    T_EQ(k.p->start(k.inst, kit_on_done, &k.started), OC_ESTATE);
    T_EQ(k.p->start(NULL, kit_on_done, &k.started), OC_EINVAL);
    kit_stop(&k);
    T_EQ(k.p->start(k.inst, kit_on_done, &k.started), OC_ESTATE);
    T_EQ(atomic_load(&k.started.n), 1);
    kit_destroy(&k);
}

/* Starts what cannot start, and judges that it can be left all the same. */
static void fail_to_start(struct kit *k, int code, const char *word)
{
    T_EQ(k->p->start(k->inst, kit_on_done, &k->started), OC_OK);
    T_MUST(kit_wait(&k->started.n, 1));
    T_EQ(k->started.code, code);
    T_HAS(k->started.json, "\"error\":\"");
    T_HAS(k->started.json, word);
    T_EQ(atomic_load(&k->host.ready), 0);
    kit_sleep_ms(20);
    T_EQ(k->p->stop(k->inst, OC_STOP_LEAVE_CALLS, 100, kit_on_done, &k->stopped), OC_ESTATE);
    T_EQ(k->p->start(k->inst, kit_on_done, &k->started), OC_ESTATE);
    T_EQ(kit_command(k->p, k->inst, OC_CMD_STATUS, "{}", kit_on_done, &k->stopped), OC_ESTATE);
    kit_destroy(k);
    T_EQ(atomic_load(&k->stopped.n), 0);
}

static int taken_port(int *fd)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t n = sizeof at;

    *fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    T_MUST(*fd >= 0 && bind(*fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(*fd, 1) == 0);
    T_MUST(getsockname(*fd, (struct sockaddr *)&at, &n) == 0);
    return ntohs(at.sin_port);
}

static void start_fails_when_the_port_is_taken(void)
{
    struct kit k;
    int fd, port = taken_port(&fd);

    kit_create(&k, "taken", port, "");
    fail_to_start(&k, OC_EFAIL, "address");
    (void)close(fd);
}

static void start_fails_without_a_folder(void)
{
    char path[128];
    struct kit k;
    int fd;

    (void)kit_plugin();
    (void)snprintf(path, sizeof path, "%s/file", kit_root);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    T_MUST(fd >= 0);
    (void)close(fd);
    kit_create(&k, "file/state", 0, "");
    fail_to_start(&k, OC_EIO, "file/state");
}

static void start_fails_with_a_newer_database(void)
{
    static const unsigned char version[4] = {0, 0, 0x70, 0}; /* user_version, big-endian at byte 60 */
    char path[128];
    struct kit k;
    int fd;

    kit_open(&k, "newer", "");
    kit_stop(&k);
    kit_destroy(&k);
    (void)snprintf(path, sizeof path, "%s/newer/voice.db", kit_root);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    T_MUST(fd >= 0 && pwrite(fd, version, sizeof version, 60) == (ssize_t)sizeof version);
    (void)close(fd);
    kit_create(&k, "newer", 0, "");
    fail_to_start(&k, OC_EFAIL, "newer");
}

/* ---- Stop ---- */

static void stop_in_every_state(void)
{
    struct kit_done none = {0};
    struct kit k;

    kit_create(&k, "every", 0, "");
    T_EQ(k.p->stop(NULL, OC_STOP_LEAVE_CALLS, 0, kit_on_done, &none), OC_EINVAL);
    T_EQ(k.p->stop(k.inst, OC_STOP_LEAVE_CALLS, 0, kit_on_done, &none), OC_ESTATE);
    kit_start(&k);
    T_EQ(k.p->stop(k.inst, OC_STOP_END_CALLS, 500, kit_on_done, &k.stopped), OC_OK);
    T_EQ(k.p->stop(k.inst, OC_STOP_LEAVE_CALLS, 0, kit_on_done, &none), OC_ESTATE);
    T_MUST(kit_wait(&k.stopped.n, 1));
    T_EQ(k.stopped.code, OC_OK);
    T_EQ(k.p->stop(k.inst, OC_STOP_LEAVE_CALLS, 0, kit_on_done, &none), OC_ESTATE);
    kit_destroy(&k);
    T_EQ(atomic_load(&none.n), 0);
}

/* Right behind start(), which works on: both are answered, start first. */
static void stop_while_it_starts(void)
{
    struct kit k;

    for (unsigned i = 0; i < 20; i++) {
        kit_create(&k, "hasty", 0, "");
        T_EQ(k.p->start(k.inst, kit_on_done, &k.started), OC_OK);
        T_EQ(k.p->stop(k.inst, OC_STOP_LEAVE_CALLS, 500, kit_on_done, &k.stopped), OC_OK);
        T_MUST(kit_wait(&k.stopped.n, 1));
        T_EQ(atomic_load(&k.started.n), 1);
        T_TRUE(k.started.code == OC_OK || k.started.code == OC_ESTATE);
        kit_destroy(&k);
    }
}

/* A start that will fail, with a stop behind it: both are answered. */
static void stop_while_a_start_fails(void)
{
    struct kit k;
    int fd, port = taken_port(&fd);

    kit_create(&k, "taken", port, "");
    T_EQ(k.p->start(k.inst, kit_on_done, &k.started), OC_OK);
    T_EQ(k.p->stop(k.inst, OC_STOP_END_CALLS, 500, kit_on_done, &k.stopped), OC_OK);
    T_MUST(kit_wait(&k.stopped.n, 1));
    T_EQ(atomic_load(&k.started.n), 1);
    T_EQ(k.started.code, OC_EFAIL);
    kit_destroy(&k);
    (void)close(fd);
}

static void destroy_in_every_state(void)
{
    struct kit k;

    kit_create(&k, "destroyed", 0, ""); /* created */
    kit_destroy(&k);
    for (unsigned i = 0; i < 10; i++) { /* starting */
        kit_create(&k, "destroyed", 0, "");
        T_EQ(k.p->start(k.inst, kit_on_done, &k.started), OC_OK);
        kit_destroy(&k);
        T_EQ(atomic_load(&k.started.n), 1);
    }
    kit_open(&k, "destroyed", ""); /* running */
    kit_destroy(&k);
    T_TRUE(kit_connect(k.port) < 0);
    kit_open(&k, "destroyed", ""); /* stopping */
    T_EQ(k.p->stop(k.inst, OC_STOP_LEAVE_CALLS, 500, kit_on_done, &k.stopped), OC_OK);
    kit_destroy(&k);
    T_EQ(atomic_load(&k.stopped.n), 1);
    kit_open(&k, "destroyed", ""); /* stopped */
    kit_stop(&k);
    kit_destroy(&k);
    k.p->destroy(NULL);
}

static void answers_may_be_unwanted(void)
{
    struct kit k;

    kit_create(&k, "unwanted", 0, "");
    T_EQ(k.p->start(k.inst, NULL, NULL), OC_OK);
    T_MUST(kit_wait(&k.host.ready, 1));
    T_EQ(kit_command(k.p, k.inst, OC_CMD_STATUS, "{}", NULL, NULL), OC_OK);
    T_EQ(k.p->stop(k.inst, OC_STOP_LEAVE_CALLS, 500, NULL, NULL), OC_OK);
    kit_destroy(&k);
}

/* Who waits for done() may destroy from the waiting thread while stop() is still on its way out. */
struct ender {
    struct kit *k;
};

static void *destroy_when_stopped(void *arg)
{
    struct kit *k = ((struct ender *)arg)->k;

    while (atomic_load(&k->stopped.n) == 0)
        ;
    k->p->destroy(k->inst);
    return NULL;
}

static void destroy_at_the_moment_of_done(void)
{
    struct kit k;

    for (unsigned i = 0; i < 20; i++) {
        struct ender e = {&k};
        pthread_t thread;

        kit_open(&k, "moment", "");
        T_MUST(pthread_create(&thread, NULL, destroy_when_stopped, &e) == 0);
        T_EQ(k.p->stop(k.inst, OC_STOP_LEAVE_CALLS, 500, kit_on_done, &k.stopped), OC_OK);
        (void)pthread_join(thread, NULL);
        T_EQ(atomic_load(&k.host.late), 0);
        T_EQ(atomic_load(&k.stopped.n), 1);
    }
}

/* ---- Commands ---- */

static int ask(struct kit *k, const char *name, const char *json, struct kit_done *d)
{
    memset(d, 0, sizeof *d);
    if (kit_command(k->p, k->inst, name, json, kit_on_done, d) != OC_OK)
        return 999;
    T_MUST(kit_wait(&d->n, 1));
    return d->code;
}

static void commands_are_answered(void)
{
    struct kit_done *d = malloc(sizeof *d);
    struct kit k;

    T_MUST(d != NULL);
    memset(d, 0, sizeof *d);
    kit_create(&k, "commands", 0, "");
    T_EQ(kit_command(k.p, k.inst, OC_CMD_STATUS, "{}", kit_on_done, d), OC_ESTATE);
    kit_start(&k);
    T_EQ(ask(&k, OC_CMD_STATUS, "{}", d), OC_OK);
    T_HAS(d->json, "\"status\":\"ok\"");
    T_EQ(ask(&k, OC_CMD_STATUS, "", d), OC_OK); /* empty means {} */
    T_EQ(ask(&k, OC_CMD_HTTP, "{\"method\":\"GET\",\"path\":\"/calls\"}", d), OC_OK);
    T_HAS(d->json, "\"status\":200");
    T_EQ(ask(&k, OC_CMD_HTTP, "{\"method\":\"POST\",\"path\":\"/calls\"}", d), OC_OK);
    T_HAS(d->json, "\"status\":405");
    T_EQ(ask(&k, OC_CMD_POLICY_SET, "{\"dm_policy\":\"open\",\"allow_from\":[],\"paired\":[]}", d), OC_OK);
    T_EQ(ask(&k, OC_CMD_POLICY_SET, "{\"dm_policy\":\"sometimes\"}", d), OC_EINVAL);
    T_EQ(ask(&k, OC_CMD_RUN_ACTING, "{\"run\":\"run_none\"}", d), OC_ENOENT);
    T_EQ(ask(&k, "make.coffee", "{}", d), OC_ENOTSUP);
    T_EQ(ask(&k, OC_CMD_STATUS, "{", d), OC_EINVAL);
    T_EQ(ask(&k, OC_CMD_STATUS, "\xff", d), OC_EINVAL);
    kit_stop(&k);
    T_EQ(ask(&k, OC_CMD_STATUS, "{}", d), 999);
    T_EQ(kit_command(k.p, k.inst, OC_CMD_STATUS, "{}", kit_on_done, d), OC_ESTATE);
    kit_destroy(&k);
    free(d);
}

/* Requests as older hosts compiled them, each on a block of exactly its size. */
static void requests_of_every_size(void)
{
    struct oc_request full = {.size = sizeof full, .name = kit_str(OC_CMD_STATUS), .json = kit_str("{}")};
    atomic_uint n = 0;
    unsigned taken = 0;
    struct kit k;

    kit_open(&k, "requests", "");
    T_EQ(k.p->command(k.inst, NULL, kit_on_count, &n), OC_EINVAL);
    T_EQ(k.p->command(NULL, &full, kit_on_count, &n), OC_EINVAL);
    for (uint32_t size = 4; size <= sizeof full + 16; size += 4) {
        struct oc_request *req = malloc(size);
        int rc;

        T_MUST(req != NULL);
        memset(req, 0xa5, size);
        memcpy(req, &full, size < sizeof full ? size : sizeof full);
        req->size = size;
        rc = k.p->command(k.inst, req, kit_on_count, &n);
        T_EQ(rc, size >= offsetof(struct oc_request, call) ? OC_OK : OC_EINVAL);
        taken += rc == OC_OK;
        free(req);
    }
    full.name = (struct oc_str){NULL, 0};
    T_EQ(k.p->command(k.inst, &full, kit_on_count, &n), OC_EINVAL);
    full.name = (struct oc_str){NULL, 3};
    T_EQ(k.p->command(k.inst, &full, kit_on_count, &n), OC_EINVAL);
    full.name = kit_str(OC_CMD_STATUS);
    full.json = (struct oc_str){NULL, 8};
    T_EQ(k.p->command(k.inst, &full, kit_on_count, &n), OC_EINVAL);
    T_TRUE(kit_wait(&n, taken));
    kit_stop(&k);
    kit_destroy(&k);
    T_EQ(atomic_load(&n), taken);
}

static const struct {
    const char *name, *json;
} mixed[] = {
    {OC_CMD_STATUS, "{}"},
    {OC_CMD_HTTP, "{\"method\":\"GET\",\"path\":\"/calls\"}"},
    {OC_CMD_RUN_ACTING, "{\"run\":\"run_none\"}"},
    {OC_CMD_POLICY_SET, "{\"dm_policy\":\"open\"}"},
    {"unknown", "{}"},
    {OC_CMD_STATUS, "nonsense"},
    {OC_CMD_HTTP, "{\"method\":\"GET\",\"path\":\"/calls/call_none/why\"}"},
};

#define MIXED (sizeof mixed / sizeof mixed[0])
#define MANY 1000u

static void a_thousand_commands_and_a_stop(void)
{
    static atomic_uint answers[MANY];
    struct kit k;

    memset(answers, 0, sizeof answers);
    kit_open(&k, "thousand", "");
    for (unsigned i = 0; i < MANY; i++)
        T_EQ(kit_command(k.p, k.inst, mixed[i % MIXED].name, mixed[i % MIXED].json, kit_on_count,
                         &answers[i]), OC_OK);
    kit_stop(&k);
    for (unsigned i = 0; i < MANY; i++)
        T_EQ(atomic_load(&answers[i]), 1);
    kit_destroy(&k);
    for (unsigned i = 0; i < MANY; i++)
        T_EQ(atomic_load(&answers[i]), 1);
}

/* ---- From many threads ---- */

struct asker {
    struct kit *k;
    atomic_uint answers;
    unsigned taken, refused, busy;
};

static void *ask_until_it_ends(void *arg)
{
    struct asker *a = arg;

    for (unsigned i = 0; a->refused == 0; i++) {
        int rc = kit_command(a->k->p, a->k->inst, mixed[i % MIXED].name, mixed[i % MIXED].json,
                             kit_on_count, &a->answers);

        a->taken += rc == OC_OK;
        a->busy += rc == OC_EBUSY;
        a->refused += rc == OC_ESTATE;
        (void)a->k->p->progress(a->k->inst, i, kit_str("{\"text\":\"x\"}"));
        (void)a->k->p->reply(a->k->inst, i, OC_OK, kit_str("{\"text\":\"x\"}"));
        if (i % 64 == 0)
            kit_sleep_ms(1);
    }
    return NULL;
}

static void threads_ask_while_one_stops(void)
{
    struct asker askers[4];
    pthread_t threads[4];
    struct kit k;

    for (unsigned round = 0; round < 5; round++) {
        memset(askers, 0, sizeof askers);
        kit_open(&k, "threads", "");
        for (unsigned i = 0; i < 4; i++) {
            askers[i].k = &k;
            T_MUST(pthread_create(&threads[i], NULL, ask_until_it_ends, &askers[i]) == 0);
        }
        kit_sleep_ms(20 + 10 * round);
        kit_stop(&k);
        for (unsigned i = 0; i < 4; i++)
            (void)pthread_join(threads[i], NULL);
        for (unsigned i = 0; i < 4; i++) {
            T_GT(askers[i].taken, 0);
            T_EQ(atomic_load(&askers[i].answers), askers[i].taken);
        }
        kit_destroy(&k);
    }
}

struct stopper {
    struct kit *k;
    struct kit_done done;
    int rc;
};

static void *stop_once(void *arg)
{
    struct stopper *s = arg;

    s->rc = s->k->p->stop(s->k->inst, OC_STOP_LEAVE_CALLS, 500, kit_on_done, &s->done);
    return NULL;
}

static void only_one_of_many_stops_counts(void)
{
    static struct stopper stoppers[4];
    pthread_t threads[4];
    struct kit k;
    unsigned won = 0;

    kit_open(&k, "stops", "");
    for (unsigned i = 0; i < 4; i++) {
        stoppers[i] = (struct stopper){.k = &k};
        T_MUST(pthread_create(&threads[i], NULL, stop_once, &stoppers[i]) == 0);
    }
    for (unsigned i = 0; i < 4; i++)
        (void)pthread_join(threads[i], NULL);
    kit_destroy(&k);
    for (unsigned i = 0; i < 4; i++) {
        T_EQ(atomic_load(&stoppers[i].done.n), stoppers[i].rc == OC_OK);
        T_TRUE(stoppers[i].rc == OC_OK || stoppers[i].rc == OC_ESTATE);
        won += stoppers[i].rc == OC_OK;
    }
    T_EQ(won, 1);
}

/* A host whose loop is held up must not make the plugin keep what it cannot work off. */
static void a_queue_has_an_end(void)
{
    enum { BIG = 1 << 20 };
    char *big = malloc(BIG);
    struct oc_request req = {.size = sizeof req, .name = kit_str("x")};
    atomic_uint n = 0;
    unsigned taken = 0;
    struct kit k;
    int rc = OC_OK;

    T_MUST(big != NULL);
    memset(big, ' ', BIG);
    kit_create(&k, "queue", 0, "");
    k.host.slow_ms = 300; /* the loop stands still in the events of its start */
    T_EQ(k.p->start(k.inst, kit_on_done, &k.started), OC_OK);
    req.json = (struct oc_str){big, BIG};
    for (unsigned i = 0; i < 200 && rc == OC_OK; i++) {
        rc = k.p->command(k.inst, &req, kit_on_count, &n);
        taken += rc == OC_OK;
    }
    T_EQ(rc, OC_EBUSY);
    k.host.slow_ms = 0;
    T_TRUE(kit_wait(&n, taken));
    req.json.n = (size_t)64 << 20; /* of which nothing is read */
    T_EQ(k.p->command(k.inst, &req, kit_on_count, &n), OC_EINVAL);
    kit_stop(&k); /* also with a full queue: see the preceding commands */
    kit_destroy(&k);
    T_EQ(atomic_load(&n), taken);
    free(big);
}

/* ---- Replies ---- */

static void replies_to_nobody(void)
{
    static const uint64_t tokens[] = {0, 1, 2, 77, UINT64_MAX};
    struct kit k;

    kit_create(&k, "replies", 0, "");
    T_EQ(k.p->reply(k.inst, 1, OC_OK, kit_str("{}")), OC_ESTATE);
    T_EQ(k.p->progress(k.inst, 1, kit_str("{}")), OC_ESTATE);
    T_EQ(k.p->reply(NULL, 1, OC_OK, kit_str("{}")), OC_EINVAL);
    kit_start(&k);
    for (unsigned i = 0; i < 2 * sizeof tokens / sizeof tokens[0]; i++) {
        int rc = k.p->reply(k.inst, tokens[i / 2], i % 3 ? OC_OK : -77, kit_str(i % 2 ? "{}" : "nonsense"));

        T_TRUE(rc == OC_OK || rc == OC_ENOENT);
        rc = k.p->progress(k.inst, tokens[i / 2], kit_str(i % 2 ? "{\"text\":1}" : ""));
        T_TRUE(rc == OC_OK || rc == OC_ENOENT);
    }
    T_EQ(k.p->reply(k.inst, 1, OC_OK, (struct oc_str){NULL, 4}), OC_EINVAL);
    kit_stop(&k);
    T_EQ(k.p->reply(k.inst, 1, OC_OK, kit_str("{}")), OC_ESTATE);
    T_EQ(k.p->progress(k.inst, 1, kit_str("{}")), OC_ESTATE);
    kit_destroy(&k);
}

#define CALLS 20u

/* Each call asks the host to prepare a session: answered never, twice, in the middle of a stop. */
static void replies_around_a_stop(void)
{
    struct kit k;

    for (unsigned round = 0; round < 3; round++) {
        unsigned before = 0;

        kit_open(&k, "around", "");
        for (unsigned i = 0; i < CALLS; i++) {
            char id[40];

            (void)snprintf(id, sizeof id, "rtc_around_%u_%u", round, i);
            T_EQ(kit_webhook(k.port, id), 200);
        }
        T_TRUE(kit_wait(&k.host.requests, CALLS));
        for (; before < CALLS / 2; before++) {
            uint64_t token = atomic_load(&k.host.tokens[before]);

            T_EQ(k.p->progress(k.inst, token, kit_str("{\"text\":\"soon\"}")), OC_OK);
            T_EQ(k.p->reply(k.inst, token, OC_OK, kit_str("{\"session_key\":\"agent:main:x\"}")), OC_OK);
            T_TRUE(k.p->reply(k.inst, token, OC_OK, kit_str("{\"session_key\":\"twice\"}")) <= OC_OK);
        }
        T_EQ(k.p->stop(k.inst, round == 0 ? OC_STOP_END_CALLS : OC_STOP_LEAVE_CALLS, 300, kit_on_done,
                       &k.stopped), OC_OK);
        for (unsigned n = 0; atomic_load(&k.stopped.n) == 0 && n < 20000; n++) {
            uint64_t token = atomic_load(&k.host.tokens[before + n % (CALLS / 2)]);
            int rc = k.p->reply(k.inst, token, OC_OK, kit_str("{\"session_key\":\"agent:main:x\"}"));

            T_TRUE(rc == OC_OK || rc == OC_ESTATE || rc == OC_EBUSY);
        }
        T_MUST(kit_wait(&k.stopped.n, 1));
        kit_destroy(&k);
    }
}

/* A host that has a request function and refuses everything. */
static void a_host_that_refuses(void)
{
    struct kit k;

    kit_create(&k, "refuses", 0, "");
    k.host.request_code = OC_EBUSY;
    kit_start(&k);
    T_EQ(kit_webhook(k.port, "rtc_refused_1"), 200);
    T_TRUE(kit_wait(&k.host.requests, 1));
    T_TRUE(kit_wait(&k.host.incoming, 1));
    kit_stop(&k);
    kit_destroy(&k);
}

int main(void)
{
    T_RUN(start_answers_once);
    T_RUN(start_fails_when_the_port_is_taken);
    T_RUN(start_fails_without_a_folder);
    T_RUN(start_fails_with_a_newer_database);
    T_RUN(stop_in_every_state);
    T_RUN(stop_while_it_starts);
    T_RUN(stop_while_a_start_fails);
    T_RUN(destroy_in_every_state);
    T_RUN(answers_may_be_unwanted);
    T_RUN(destroy_at_the_moment_of_done);
    T_RUN(commands_are_answered);
    T_RUN(requests_of_every_size);
    T_RUN(a_thousand_commands_and_a_stop);
    T_RUN(threads_ask_while_one_stops);
    T_RUN(only_one_of_many_stops_counts);
    T_RUN(a_queue_has_an_end);
    T_RUN(replies_to_nobody);
    T_RUN(replies_around_a_stop);
    T_RUN(a_host_that_refuses);
    return T_DONE();
}
