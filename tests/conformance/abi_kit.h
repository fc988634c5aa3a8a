/* SPDX-License-Identifier: MIT */
#ifndef TESTS_CONFORMANCE_ABI_KIT_H
#define TESTS_CONFORMANCE_ABI_KIT_H
/*
 * What the test_abi_*.c programs share: the plugin opened as a host opens it (dlopen, one symbol), a host
 * that counts what it is told and notices what comes too late, answers that can be waited for, and a few
 * bytes of HTTP. Nothing of the plugin is linked.
 */
#include "abi/openclaw_voice.h"
#include "abi/openclaw_plugin.h"
#include "tests/unit/t.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <ftw.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define KIT_TOKENS 4096u
#define KIT_JSON 8192u
#define KIT_WAIT_MS 20000u

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KIT_SANITIZED 1
#else
#define KIT_SANITIZED 0
#endif

/* ---- Time and files ---- */

static inline uint64_t kit_now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

static inline void kit_sleep_ms(unsigned ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000L};

    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        ;
}

static inline int kit_remove_one(const char *path, const struct stat *st, int flag, struct FTW *at)
{
    (void)st;
    (void)flag;
    (void)at;
    (void)remove(path);
    return 0;
}

static char kit_root[64]; /* a folder of this run, with a folder for each instance's state in it */

static inline void kit_end(void)
{
    if (kit_root[0] != '\0')
        (void)nftw(kit_root, kit_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline unsigned kit_entries(const char *dir)
{
    DIR *d = opendir(dir);
    unsigned n = 0;

    while (d != NULL && readdir(d) != NULL)
        n++;
    if (d != NULL)
        (void)closedir(d);
    return n;
}

static inline unsigned kit_threads(void)
{
    return kit_entries("/proc/self/task") - 2;
}

static inline unsigned kit_fds(void)
{
    return kit_entries("/proc/self/fd") - 3; /* ".", "..", and the one that reads */
}

/* A thread that was joined may be listed for a moment yet. */
static inline bool kit_threads_become(unsigned n)
{
    for (unsigned i = 0; i < 200; i++) {
        if (kit_threads() <= n)
            return true;
        kit_sleep_ms(5);
    }
    return false;
}

static inline long kit_rss_kib(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[200];
    long kib = -1;

    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, "VmRSS:", 6) == 0)
            kib = strtol(line + 6, NULL, 10);
    if (f != NULL)
        (void)fclose(f);
    return kib;
}

/* ---- The plugin ---- */

static inline openclaw_plugin_entry_fn *kit_entry(void)
{
    static void *so;
    const char *path = getenv("OCV_SO");
    openclaw_plugin_entry_fn *entry = NULL;
    void *symbol;

    if (so == NULL)
        so = dlopen(path != NULL ? path : "build/openclaw_voice.so", RTLD_NOW | RTLD_LOCAL);
    if (so == NULL)
        printf("  %s\n", dlerror());
    T_MUST(so != NULL);
    symbol = dlsym(so, OC_PLUGIN_ENTRY_NAME);
    T_MUST(symbol != NULL);
    memcpy(&entry, &symbol, sizeof entry); /* ISO C has no cast from object to function */
    return entry;
}

/* Also prepares the folder. The environment must not leak into configurations. */
static inline const struct oc_plugin *kit_plugin(void)
{
    static const char *const names[] = {"OPENAI_API_KEY", "OPENAI_PROJECT_ID", "WEBHOOK_SECRET",
                                        "PUBLIC_URL", "PORT"};
    const struct oc_plugin *p = kit_entry()(OC_ABI);

    T_MUST(p != NULL);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        (void)unsetenv(names[i]);
    (void)signal(SIGPIPE, SIG_IGN);
    if (kit_root[0] == '\0') {
        (void)snprintf(kit_root, sizeof kit_root, "/tmp/ocv-abi-XXXXXX");
        T_MUST(mkdtemp(kit_root) != NULL);
        (void)setenv("HOME", kit_root, 1);
        (void)atexit(kit_end);
    }
    return p;
}

static inline struct oc_str kit_str(const char *s)
{
    return (struct oc_str){s, strlen(s)};
}

/* A configuration whose OpenAI is a port at which nobody listens. `more`: further keys of the section. */
static inline struct oc_str kit_config(char *to, size_t cap, const char *state, int port, const char *more)
{
    int n = snprintf(to, cap,
                     "{\"host\":\"native\",\"section_name\":\"test\",\"state_dir\":\"%s/%s\","
                     "\"workspace\":\"%s\",\"section\":{\"enabled\":true,\"openai\":{\"api_key\":\"sk-test\","
                     "\"project_id\":\"proj_test\",\"base_url\":\"http://127.0.0.1:1/v1\"},"
                     "\"webhook\":{\"port\":%d,\"secret\":\"whsec_c2VjcmV0IG9mIHRoZSB0ZXN0cywgbG9uZw==\"},"
                     "\"security\":{\"voice\":{\"verify_webhook_signatures\":false,\"whitelist\":"
                     "[\"+15551234567\"]}}%s}}",
                     kit_root, state, kit_root, port, more);

    T_MUST(n > 0 && (size_t)n < cap);
    return (struct oc_str){to, (size_t)n};
}

/* ---- A host ---- */

struct kit_host {
    struct oc_host table;
    atomic_uint logs, events, requests, cancels, ready, incoming, ended;
    atomic_bool over;   /* the instance's stop is done */
    atomic_uint late;   /* what came all the same */
    atomic_uint slow_ms; /* each event and log line takes this long */
    int request_code;   /* what request() answers */
    _Atomic uint64_t tokens[KIT_TOKENS];
};

static inline void kit_note(struct kit_host *h, atomic_uint *n)
{
    if (atomic_load(&h->over))
        atomic_fetch_add(&h->late, 1);
    atomic_fetch_add(n, 1);
    if (atomic_load(&h->slow_ms) > 0)
        kit_sleep_ms(atomic_load(&h->slow_ms));
}

static inline void kit_on_log(void *ctx, int level, struct oc_str line)
{
    struct kit_host *h = ctx;

    if (getenv("OCV_SHOW") != NULL)
        fprintf(stderr, "  log %d: %.*s\n", level, (int)line.n, line.p);
    kit_note(h, &h->logs);
}

static inline bool kit_is(struct oc_str s, const char *text)
{
    return s.n == strlen(text) && memcmp(s.p, text, s.n) == 0;
}

static inline void kit_on_event(void *ctx, const struct oc_event *ev)
{
    struct kit_host *h = ctx;

    if (kit_is(ev->name, OC_EV_READY))
        atomic_fetch_add(&h->ready, 1);
    if (kit_is(ev->name, OC_EV_INCOMING))
        atomic_fetch_add(&h->incoming, 1);
    if (kit_is(ev->name, OC_EV_ENDED))
        atomic_fetch_add(&h->ended, 1);
    kit_note(h, &h->events);
}

static inline int kit_on_request(void *ctx, uint64_t token, const struct oc_request *req)
{
    struct kit_host *h = ctx;
    unsigned n = atomic_load(&h->requests);

    (void)req;
    atomic_store(&h->tokens[n % KIT_TOKENS], token);
    kit_note(h, &h->requests);
    return h->request_code;
}

static inline void kit_on_cancel(void *ctx, uint64_t token)
{
    struct kit_host *h = ctx;

    (void)token;
    kit_note(h, &h->cancels);
}

static inline void kit_host_init(struct kit_host *h)
{
    memset(h, 0, sizeof *h);
    h->table = (struct oc_host){.size = sizeof h->table, .abi = OC_ABI, .ctx = h, .log = kit_on_log,
                                .event = kit_on_event, .request = kit_on_request,
                                .cancel = kit_on_cancel};
}

/* ---- Answers ---- */

struct kit_done {
    struct kit_host *host; /* its `over` is set by this answer; NULL but for a stop's */
    atomic_uint n;
    int code;
    char json[KIT_JSON];
};

static inline void kit_on_done(void *arg, int code, struct oc_str json)
{
    struct kit_done *d = arg;
    size_t n = json.n < sizeof d->json - 1 ? json.n : sizeof d->json - 1;

    if (atomic_load(&d->n) == 0) {
        d->code = code;
        if (n > 0)
            memcpy(d->json, json.p, n);
        d->json[n] = '\0';
    }
    if (d->host != NULL)
        atomic_store(&d->host->over, true);
    atomic_fetch_add(&d->n, 1);
}

/* For answers of which only the number counts. */
static inline void kit_on_count(void *arg, int code, struct oc_str json)
{
    (void)code;
    (void)json;
    atomic_fetch_add((atomic_uint *)arg, 1);
}

static inline bool kit_wait(const atomic_uint *n, unsigned wanted)
{
    uint64_t end = kit_now_ms() + KIT_WAIT_MS;

    while (atomic_load(n) < wanted && kit_now_ms() < end)
        kit_sleep_ms(1);
    return atomic_load(n) >= wanted;
}

static inline int kit_command(const struct oc_plugin *p, struct oc_instance *inst, const char *name,
                              const char *json, oc_done_fn *done, void *arg)
{
    struct oc_request req = {.size = sizeof req, .name = kit_str(name), .json = kit_str(json)};

    return p->command(inst, &req, done, arg);
}

/* ---- One instance with its host ---- */

struct kit {
    const struct oc_plugin *p;
    struct kit_host host;
    struct oc_instance *inst;
    struct kit_done started, stopped;
    int port;
};

static inline void kit_create(struct kit *k, const char *state, int port, const char *more)
{
    char config[2048], text[2048] = "";
    struct oc_error err = {.size = sizeof err, .text = text, .cap = sizeof text};
    int rc;

    memset(k, 0, sizeof *k);
    k->p = kit_plugin();
    kit_host_init(&k->host);
    k->stopped.host = &k->host;
    rc = k->p->create(&k->host.table, kit_config(config, sizeof config, state, port, more), &k->inst,
                      &err);
    if (rc != OC_OK)
        printf("  create: %s\n", text);
    T_MUST(rc == OC_OK && k->inst != NULL);
}

static inline void kit_start(struct kit *k)
{
    const char *at;

    T_EQ(k->p->start(k->inst, kit_on_done, &k->started), OC_OK);
    T_MUST(kit_wait(&k->started.n, 1));
    if (k->started.code != OC_OK)
        printf("  start: %s\n", k->started.json);
    T_MUST(k->started.code == OC_OK);
    at = strstr(k->started.json, "\"port\":");
    T_MUST(at != NULL);
    k->port = (int)strtol(at + 7, NULL, 10);
}

static inline void kit_open(struct kit *k, const char *state, const char *more)
{
    kit_create(k, state, 0, more);
    kit_start(k);
}

static inline void kit_stop(struct kit *k)
{
    T_EQ(k->p->stop(k->inst, OC_STOP_LEAVE_CALLS, 2000, kit_on_done, &k->stopped), OC_OK);
    T_MUST(kit_wait(&k->stopped.n, 1));
    T_EQ(k->stopped.code, OC_OK);
}

/* Destroys, and judges what holds for every life: answers at most once, silence after the end. */
static inline void kit_destroy(struct kit *k)
{
    k->p->destroy(k->inst);
    atomic_store(&k->host.over, true);
    k->inst = NULL;
    kit_sleep_ms(20);
    T_EQ(atomic_load(&k->host.late), 0);
    T_LE(atomic_load(&k->started.n), 1);
    T_LE(atomic_load(&k->stopped.n), 1);
}

/* ---- HTTP ---- */

static inline int kit_connect(int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct timeval limit = {10, 0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
        return fd;
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

/* Writes one request; the answer's status is read by kit_status(). */
static inline bool kit_send_webhook(int fd, const char *call_id)
{
    char body[600], request[1200];
    int n = snprintf(body, sizeof body,
                     "{\"id\":\"evt_%s\",\"object\":\"event\",\"type\":\"realtime.call.incoming\",\"data\":"
                     "{\"call_id\":\"%s\",\"sip_headers\":[{\"name\":\"From\",\"value\":"
                     "\"<sip:+15551234567@192.0.2.1>\"},{\"name\":\"Call-ID\",\"value\":\"sip-%s\"}]}}",
                     call_id, call_id, call_id);

    n = snprintf(request, sizeof request,
                 "POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                 "Content-Length: %d\r\nConnection: close\r\n\r\n%s", n, body);
    return send(fd, request, (size_t)n, MSG_NOSIGNAL) == n;
}

/* Of the answer; -1: none came. Closes. */
static inline int kit_status(int fd)
{
    char answer[2048];
    size_t n = 0;
    ssize_t got;

    while (n < sizeof answer - 1 && (got = recv(fd, answer + n, sizeof answer - 1 - n, 0)) > 0)
        n += (size_t)got;
    (void)close(fd);
    answer[n] = '\0';
    return n > 12 && strncmp(answer, "HTTP/1.1 ", 9) == 0 ? (int)strtol(answer + 9, NULL, 10) : -1;
}

static inline int kit_webhook(int port, const char *call_id)
{
    int fd = kit_connect(port);

    if (fd < 0 || !kit_send_webhook(fd, call_id)) {
        if (fd >= 0)
            (void)close(fd);
        return -1;
    }
    return kit_status(fd);
}

#endif
