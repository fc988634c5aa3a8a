/* SPDX-License-Identifier: MIT */
/*
 * A small plugin for tests of hosts: keeps every rule of abi/openclaw_plugin.h, knows nothing of
 * telephones, and does what it is told. Needs libc alone.
 *
 * Configuration (looked for anywhere in the text, the first two also as `port:` and `fault:` in the
 * file that "config_file" names): "port" to listen on (else any), "fault": N makes create() refuse with N lines, "start_fails", "start_ms", "stop_ms", "destroy_ms" slow those down,
 * "acting_forbidden" makes run.acting fail.
 *
 * Commands: status, http (answers with what it was asked), policy.set, links.set, chat.message (both shown
 * in status), run.acting as in openclaw_voice.h; mock.slow {ms}; mock.never
 * (answered by the stop alone); mock.echo; mock.flood {events, logs, bytes}; mock.request.NAME sends
 * the host the request NAME with the same payload and answers {code, reply, progress}.
 *
 * Over HTTP on 127.0.0.1: POST /request/NAME does the same as mock.request.NAME, and closing the
 * connection cancels; POST /chat-answer is what chat.message answers from then on; POST /event/NAME emits
 * that event for call_mock; POST /flood as mock.flood; POST /forbid and /permit decide what run.acting
 * answers; GET /health answers; anything else is 404.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "abi/openclaw_voice.h"
#include "abi/openclaw_plugin.h"

#define PENDING_MAX 1024
#define TEXT_MAX (1 << 20)

enum life { LIFE_NEW, LIFE_STARTED, LIFE_STOPPING, LIFE_STOPPED };

/* Something to do on the loop thread. */
struct item {
    struct item *next;
    enum { ITEM_COMMAND, ITEM_REPLY, ITEM_PROGRESS } kind;
    char *name, *json;
    uint64_t token;
    int code;
    oc_done_fn *done;
    void *arg;
};

/* An answer that is owed: to a command, to a connection, or both none. */
struct pending {
    bool used;
    uint64_t token;  /* of the request that was sent to the host, or 0 */
    uint64_t due_ms; /* answer then, or 0 */
    oc_done_fn *done;
    void *arg;
    int fd; /* or -1 */
    char *progress;
};

struct oc_instance {
    const struct oc_host *host;
    pthread_mutex_t lock;
    struct item *head, *tail;
    enum life life;
    pthread_t thread;
    bool threaded;
    int wake_fd, listen_fd, port, want_port;
    long start_ms, stop_ms, destroy_ms;
    bool start_fails, acting_forbidden;
    oc_done_fn *start_done, *stop_done;
    void *start_arg, *stop_arg;
    uint64_t next_token;
    unsigned long acted, cancelled;
    char *policy, *links, *chat_answer, *chats;
    struct pending pending[PENDING_MAX];
};

static struct oc_str str(const char *s)
{
    return (struct oc_str){ s, strlen(s) };
}

static char *copy(struct oc_str s)
{
    char *c = malloc(s.n + 1);

    if (!c)
        return NULL;
    if (s.n > 0)
        memcpy(c, s.p, s.n);
    c[s.n] = 0;
    return c;
}

static uint64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void sleep_ms(long ms)
{
    struct timespec ts = { ms / 1000, (ms % 1000) * 1000000 };

    while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
        ;
}

/* The number after "key": anywhere in the text; true counts as 1. */
static long number(const char *json, const char *key, long fallback)
{
    char quoted[64];
    const char *at;

    snprintf(quoted, sizeof(quoted), "\"%s\":", key);
    at = json ? strstr(json, quoted) : NULL;
    if (!at)
        return fallback;
    at += strlen(quoted);
    while (*at == ' ')
        at++;
    return strncmp(at, "true", 4) == 0 ? 1 : strtol(at, NULL, 10);
}

/* `key: N` in the YAML file that the configuration names. */
static long number_in_file(const char *json, const char *key)
{
    const char *at = strstr(json, "\"config_file\":\"");
    const char *end = at ? strchr(at + 15, '"') : NULL;
    char name[512], text[4096], wanted[64];
    FILE *file;
    size_t n;

    if (!end || (size_t)(end - at - 15) >= sizeof(name))
        return 0;
    memcpy(name, at + 15, (size_t)(end - at - 15));
    name[end - at - 15] = 0;
    file = fopen(name, "re");
    if (!file)
        return 0;
    n = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[n] = 0;
    snprintf(wanted, sizeof(wanted), "%s: ", key);
    at = strstr(text, wanted);
    return at ? strtol(at + strlen(wanted), NULL, 10) : 0;
}

static void say(struct oc_instance *in, int level, const char *line)
{
    if (OC_HAS(in->host, log))
        in->host->log(in->host->ctx, level, str(line));
}

static void emit(struct oc_instance *in, const char *name, const char *call, const char *json)
{
    struct oc_event ev = { sizeof(ev), str(name), str(call), str(json) };

    if (OC_HAS(in->host, event))
        in->host->event(in->host->ctx, &ev);
}

/* ---- Answers. ---- */

static void answer_fd(int fd, int status, const char *body)
{
    char head[160];
    int n = snprintf(head, sizeof(head),
                     "HTTP/1.1 %d X\r\ncontent-type: application/json\r\nconnection: close\r\n"
                     "content-length: %zu\r\n\r\n",
                     status, strlen(body));

    if (send(fd, head, (size_t)n, MSG_NOSIGNAL) == n)
        (void)!send(fd, body, strlen(body), MSG_NOSIGNAL);
    close(fd);
}

static void settle(struct pending *p, int code, const char *json)
{
    size_t n = strlen(json) + (p->progress ? strlen(p->progress) : 0) + 80;
    char *body = malloc(n);

    if (body)
        snprintf(body, n, "{\"code\":%d,\"reply\":%s,\"progress\":[%s]}", code,
                 *json ? json : "null", p->progress ? p->progress : "");
    if (p->fd >= 0)
        answer_fd(p->fd, body ? 200 : 500, body ? body : "{}");
    if (p->done && p->token)
        p->done(p->arg, body ? OC_OK : OC_ENOMEM, str(body ? body : "{}"));
    else if (p->done)
        p->done(p->arg, code, str(json));
    free(body);
    free(p->progress);
    memset(p, 0, sizeof(*p));
}

static struct pending *pending_new(struct oc_instance *in)
{
    size_t i;

    for (i = 0; i < PENDING_MAX; i++) {
        if (in->pending[i].used)
            continue;
        memset(&in->pending[i], 0, sizeof(in->pending[i]));
        in->pending[i].used = true;
        in->pending[i].fd = -1;
        return &in->pending[i];
    }
    return NULL;
}

static void ask_host(struct oc_instance *in, const char *name, const char *json, struct pending *p)
{
    struct oc_request req = { sizeof(req), str(name), str("call_mock"), str(json) };
    int rc = OC_ENOTSUP;

    p->token = ++in->next_token;
    if (OC_HAS(in->host, request))
        rc = in->host->request(in->host->ctx, p->token, &req);
    if (rc < 0)
        settle(p, rc, "{\"refused\":true}");
}

static void flood(struct oc_instance *in, const char *json)
{
    long events = number(json, "events", 0), logs = number(json, "logs", 0), i;
    long bytes = number(json, "bytes", 0);
    char *fill = malloc((size_t)bytes + 1), *line = malloc((size_t)bytes + 128);

    if (fill && line) {
        memset(fill, 'x', (size_t)bytes);
        fill[bytes] = 0;
        for (i = 0; i < events; i++) {
            sprintf(line, "{\"event\":\"mock\",\"n\":%ld,\"fill\":\"%s\"}", i, fill);
            emit(in, "mock", "call_mock", line);
        }
        for (i = 0; i < logs; i++) {
            sprintf(line, "line %ld %s", i, fill);
            say(in, OC_LOG_INFO, line);
        }
    }
    free(fill);
    free(line);
}

static void on_status(struct oc_instance *in, oc_done_fn *done, void *arg)
{
    const char *policy = in->policy ? in->policy : "null", *links = in->links ? in->links : "null";
    const char *chats = in->chats ? in->chats : "";
    size_t n = strlen(policy) + strlen(links) + strlen(chats) + 256;
    char *json = malloc(n);

    if (json)
        snprintf(json, n,
                 "{\"url\":\"http://127.0.0.1:%d\",\"port\":%d,\"live\":0,\"acted\":%lu,"
                 "\"cancelled\":%lu,\"policy\":%s,\"links\":%s,\"chats\":[%s]}",
                 in->port, in->port, in->acted, in->cancelled, policy, links, chats);
    done(arg, json ? OC_OK : OC_ENOMEM, str(json ? json : ""));
    free(json);
}

static void on_acting(struct oc_instance *in, struct item *it)
{
    in->acted++;
    if (in->acting_forbidden)
        it->done(it->arg, OC_ECANCELED, str("{\"error\":\"the call is over\"}"));
    else
        it->done(it->arg, OC_OK, str("{}"));
}

static void on_policy(struct oc_instance *in, struct item *it)
{
    free(in->policy);
    in->policy = copy(str(it->json));
    it->done(it->arg, OC_OK, str("{}"));
}

static void on_chat(struct oc_instance *in, struct item *it)
{
    size_t had = in->chats ? strlen(in->chats) : 0;
    char *more = had < TEXT_MAX ? realloc(in->chats, had + strlen(it->json) + 2) : NULL;

    if (more) {
        sprintf(more + had, "%s%s", had ? "," : "", it->json);
        in->chats = more;
    }
    it->done(it->arg, more ? OC_OK : OC_ENOMEM, str(in->chat_answer ? in->chat_answer : "{}"));
}

static void on_http(struct item *it)
{
    size_t n = strlen(it->json) + 64;
    char *json = malloc(n);

    if (json)
        snprintf(json, n, "{\"status\":200,\"body\":{\"mock\":true},\"asked\":%s}", it->json);
    it->done(it->arg, json ? OC_OK : OC_ENOMEM, str(json ? json : "{}"));
    free(json);
}

static void on_command(struct oc_instance *in, struct item *it)
{
    struct pending *p;

    if (strcmp(it->name, OC_CMD_STATUS) == 0) {
        on_status(in, it->done, it->arg);
    } else if (strcmp(it->name, OC_CMD_HTTP) == 0) {
        on_http(it);
    } else if (strcmp(it->name, OC_CMD_CHAT) == 0) {
        on_chat(in, it);
    } else if (strcmp(it->name, OC_CMD_LINKS_SET) == 0) {
        free(in->links);
        in->links = copy(str(it->json));
        it->done(it->arg, OC_OK, str("{}"));
    } else if (strcmp(it->name, OC_CMD_POLICY_SET) == 0) {
        on_policy(in, it);
    } else if (strcmp(it->name, OC_CMD_RUN_ACTING) == 0) {
        on_acting(in, it);
    } else if (strcmp(it->name, "mock.echo") == 0) {
        it->done(it->arg, OC_OK, str(it->json));
    } else if (strcmp(it->name, "mock.flood") == 0) {
        flood(in, it->json);
        it->done(it->arg, OC_OK, str("{}"));
    } else if (strncmp(it->name, "mock.", 5) == 0) {
        p = pending_new(in);
        if (!p) {
            it->done(it->arg, OC_EBUSY, str("{\"error\":\"too many\"}"));
            return;
        }
        p->done = it->done;
        p->arg = it->arg;
        if (strncmp(it->name, "mock.request.", 13) == 0)
            ask_host(in, it->name + 13, it->json, p);
        else if (strcmp(it->name, "mock.slow") == 0)
            p->due_ms = now_ms() + (uint64_t)number(it->json, "ms", 100);
    } else {
        it->done(it->arg, OC_ENOTSUP, str("{\"error\":\"unknown command\"}"));
    }
}

static void on_progress(struct pending *p, const char *json)
{
    size_t had = p->progress ? strlen(p->progress) : 0;
    char *more = realloc(p->progress, had + strlen(json) + 2);

    if (!more)
        return;
    sprintf(more + had, "%s%s", had ? "," : "", json);
    p->progress = more;
}

static void on_item(struct oc_instance *in, struct item *it)
{
    size_t i;

    if (it->kind == ITEM_COMMAND) {
        on_command(in, it);
        return;
    }
    for (i = 0; i < PENDING_MAX; i++) {
        if (!in->pending[i].used || in->pending[i].token != it->token)
            continue;
        if (it->kind == ITEM_PROGRESS)
            on_progress(&in->pending[i], it->json);
        else
            settle(&in->pending[i], it->code, it->json);
        return;
    }
}

/* ---- The loop. ---- */

static struct item *item_take(struct oc_instance *in)
{
    struct item *it;

    pthread_mutex_lock(&in->lock);
    it = in->head;
    if (it && !(in->head = it->next))
        in->tail = NULL;
    pthread_mutex_unlock(&in->lock);
    return it;
}

static void items_run(struct oc_instance *in)
{
    struct item *it;
    uint64_t count;

    (void)!read(in->wake_fd, &count, sizeof(count));
    while ((it = item_take(in))) {
        on_item(in, it);
        free(it->name);
        free(it->json);
        free(it);
    }
}

/* One request a connection, read whole; a test's client sends it at once. */
static void on_connection(struct oc_instance *in, int fd)
{
    struct timeval limit = { 2, 0 };
    char *text = calloc(1, TEXT_MAX), *body = NULL, *path, *end;
    struct pending *p;
    size_t n = 0;
    ssize_t got;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    while (text && n < TEXT_MAX - 1 && (got = recv(fd, text + n, TEXT_MAX - 1 - n, 0)) > 0) {
        n += (size_t)got;
        body = strstr(text, "\r\n\r\n");
        if (!body)
            continue;
        end = strcasestr(text, "content-length:");
        if (strlen(body + 4) >= (end && end < body ? strtoul(end + 15, NULL, 10) : 0))
            break;
    }
    path = text ? strchr(text, ' ') : NULL;
    end = path ? strchr(path + 1, ' ') : NULL;
    if (!body || !end) {
        answer_fd(fd, 400, "{}");
    } else {
        *end = 0;
        p = strncmp(path + 1, "/request/", 9) == 0 ? pending_new(in) : NULL;
        if (p) {
            p->fd = fd;
            ask_host(in, path + 10, body + 4, p);
        } else if (strcmp(path + 1, "/chat-answer") == 0) {
            free(in->chat_answer);
            in->chat_answer = copy(str(body + 4));
            answer_fd(fd, 200, "{}");
        } else if (strncmp(path + 1, "/event/", 7) == 0) {
            emit(in, path + 8, "call_mock", body + 4);
            answer_fd(fd, 200, "{}");
        } else if (strcmp(path + 1, "/flood") == 0) {
            flood(in, body + 4);
            answer_fd(fd, 200, "{}");
        } else if (strcmp(path + 1, "/forbid") == 0 || strcmp(path + 1, "/permit") == 0) {
            in->acting_forbidden = path[2] == 'f';
            answer_fd(fd, 200, "{}");
        } else {
            answer_fd(fd, strcmp(path + 1, "/health") == 0 ? 200 : 404, "{}");
        }
    }
    free(text);
}

/* A connection that closed no longer wants its answer. */
static void check_clients(struct oc_instance *in)
{
    char byte;
    size_t i;

    for (i = 0; i < PENDING_MAX; i++) {
        struct pending *p = &in->pending[i];

        if (p->used && p->fd >= 0 && recv(p->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0) {
            close(p->fd);
            p->fd = -1;
            in->cancelled++;
            if (OC_HAS(in->host, cancel))
                in->host->cancel(in->host->ctx, p->token);
        }
        if (p->used && p->due_ms && now_ms() >= p->due_ms)
            settle(p, OC_OK, "{\"slow\":true}");
    }
}

static bool stopping(struct oc_instance *in)
{
    bool yes;

    pthread_mutex_lock(&in->lock);
    yes = in->life >= LIFE_STOPPING;
    pthread_mutex_unlock(&in->lock);
    return yes;
}

static int listen_on(struct oc_instance *in)
{
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons((uint16_t)in->want_port) };
    socklen_t n = sizeof(sa);
    int on = 1;

    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    in->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(in->listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(in->listen_fd, (struct sockaddr *)&sa, n) < 0 || listen(in->listen_fd, 64) < 0 ||
        getsockname(in->listen_fd, (struct sockaddr *)&sa, &n) < 0)
        return OC_EIO;
    in->port = ntohs(sa.sin_port);
    return OC_OK;
}

static void started(struct oc_instance *in)
{
    char json[160];
    int rc;

    sleep_ms(in->start_ms);
    rc = in->start_fails ? OC_EFAIL : listen_on(in);
    if (rc < 0) {
        in->start_done(in->start_arg, rc, str("{\"error\":\"cannot listen\"}"));
        return;
    }
    snprintf(json, sizeof(json), "{\"url\":\"http://127.0.0.1:%d\",\"port\":%d}", in->port,
             in->port);
    say(in, OC_LOG_INFO, "listening");
    in->start_done(in->start_arg, OC_OK, str(json));
    emit(in, OC_EV_READY, "", json);
}

/* Everything owed is answered, then the stop itself, last of all. */
static void finish(struct oc_instance *in)
{
    size_t i;

    sleep_ms(in->stop_ms);
    items_run(in);
    for (i = 0; i < PENDING_MAX; i++) {
        if (in->pending[i].used)
            settle(&in->pending[i], OC_ESTATE, "{\"error\":\"stopped\"}");
    }
    if (in->listen_fd >= 0)
        close(in->listen_fd);
    in->listen_fd = -1;
    pthread_mutex_lock(&in->lock);
    in->life = LIFE_STOPPED;
    pthread_mutex_unlock(&in->lock);
    items_run(in);
    if (in->stop_done)
        in->stop_done(in->stop_arg, OC_OK, str("{}"));
}

static void *loop_main(void *arg)
{
    struct oc_instance *in = arg;
    struct pollfd fds[2] = { { .fd = in->wake_fd, .events = POLLIN }, { .events = POLLIN } };

    started(in);
    fds[1].fd = in->listen_fd;
    while (!stopping(in)) {
        poll(fds, in->port ? 2 : 1, 20);
        items_run(in);
        if (in->port && fds[1].revents & POLLIN)
            on_connection(in, accept4(in->listen_fd, NULL, NULL, SOCK_CLOEXEC));
        check_clients(in);
    }
    finish(in);
    return NULL;
}

static void wake(struct oc_instance *in)
{
    uint64_t one = 1;

    (void)!write(in->wake_fd, &one, sizeof(one));
}

/* ---- The plugin's functions. ---- */

static int fail_create(struct oc_error *err, int code, long lines)
{
    long i;
    size_t at = 0;

    if (!err)
        return code;
    err->code = code;
    if (err->text && err->cap > 0)
        err->text[0] = 0;
    for (i = 0; i < lines && err->text && at + 80 < err->cap; i++)
        at += (size_t)snprintf(err->text + at, err->cap - at,
                               "%sopenclaw.json: channels.voice.key%ld: write a number",
                               i ? "\n" : "", i);
    return code;
}

/* The policy is the configuration's last member: all from its value to the brace that ends both. */
static char *policy_in(const char *json)
{
    const char *at = strstr(json, "\"policy\":{");
    size_t n = at ? strlen(at + 9) : 0;

    return n > 1 ? copy((struct oc_str){ at + 9, n - 1 }) : NULL;
}

static int mock_create(const struct oc_host *host, struct oc_str config, struct oc_instance **out,
                       struct oc_error *err)
{
    char *text = copy(config);
    struct oc_instance *in = calloc(1, sizeof(*in));
    long fault = text ? number(text, "fault", number_in_file(text, "fault")) : 0;

    if (!text || !in || fault > 0) {
        free(text);
        free(in);
        return fail_create(err, fault > 0 ? OC_ECONFIG : OC_ENOMEM, fault);
    }
    in->host = host;
    in->listen_fd = -1;
    in->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&in->lock, NULL);
    in->want_port = (int)number(text, "port", number_in_file(text, "port"));
    in->start_ms = number(text, "start_ms", 0);
    in->stop_ms = number(text, "stop_ms", 0);
    in->destroy_ms = number(text, "destroy_ms", 0);
    in->start_fails = number(text, "start_fails", 0) != 0;
    in->acting_forbidden = number(text, "acting_forbidden", 0) != 0;
    in->policy = policy_in(text);
    free(text);
    say(in, OC_LOG_DEBUG, "created");
    *out = in;
    return OC_OK;
}

static int mock_start(struct oc_instance *in, oc_done_fn *done, void *arg)
{
    sigset_t all, old;
    int rc;

    if (in->life != LIFE_NEW)
        return OC_ESTATE;
    in->start_done = done;
    in->start_arg = arg;
    in->life = LIFE_STARTED;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(&in->thread, NULL, loop_main, in);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    in->threaded = rc == 0;
    if (rc != 0)
        in->life = LIFE_NEW;
    return rc == 0 ? OC_OK : OC_EFAIL;
}

static int push(struct oc_instance *in, struct item *it)
{
    bool open;

    pthread_mutex_lock(&in->lock);
    open = in->life == LIFE_STARTED;
    if (open) {
        if (in->tail)
            in->tail->next = it;
        else
            in->head = it;
        in->tail = it;
    }
    pthread_mutex_unlock(&in->lock);
    if (!open) {
        free(it->name);
        free(it->json);
        free(it);
        return OC_ESTATE;
    }
    wake(in);
    return OC_OK;
}

static struct item *item_new(int kind, struct oc_str name, struct oc_str json)
{
    struct item *it = calloc(1, sizeof(*it));

    if (!it)
        return NULL;
    it->kind = kind;
    it->name = copy(name);
    it->json = copy(json);
    return it;
}

static int mock_command(struct oc_instance *in, const struct oc_request *req, oc_done_fn *done,
                        void *arg)
{
    struct item *it = item_new(ITEM_COMMAND, req->name, req->json);

    if (!it)
        return OC_ENOMEM;
    it->done = done;
    it->arg = arg;
    return push(in, it);
}

static int mock_reply(struct oc_instance *in, uint64_t token, int code, struct oc_str json)
{
    struct item *it = item_new(ITEM_REPLY, str(""), json);

    if (!it)
        return OC_ENOMEM;
    it->token = token;
    it->code = code;
    return push(in, it);
}

static int mock_progress(struct oc_instance *in, uint64_t token, struct oc_str json)
{
    struct item *it = item_new(ITEM_PROGRESS, str(""), json);

    if (!it)
        return OC_ENOMEM;
    it->token = token;
    return push(in, it);
}

static int mock_stop(struct oc_instance *in, int how, uint32_t grace_ms, oc_done_fn *done,
                     void *arg)
{
    int rc = OC_OK;

    (void)how;
    (void)grace_ms;
    pthread_mutex_lock(&in->lock);
    if (in->life != LIFE_STARTED) {
        rc = OC_ESTATE;
    } else {
        in->life = LIFE_STOPPING;
        in->stop_done = done;
        in->stop_arg = arg;
    }
    pthread_mutex_unlock(&in->lock);
    if (rc == OC_OK)
        wake(in);
    return rc;
}

static void mock_destroy(struct oc_instance *in)
{
    if (in->threaded) {
        mock_stop(in, OC_STOP_LEAVE_CALLS, 0, NULL, NULL);
        pthread_join(in->thread, NULL);
    }
    sleep_ms(in->destroy_ms);
    close(in->wake_fd);
    pthread_mutex_destroy(&in->lock);
    free(in->policy);
    free(in->links);
    free(in->chats);
    free(in->chat_answer);
    free(in);
}

const struct oc_plugin *openclaw_plugin_entry(uint32_t host_abi)
{
    static const struct oc_plugin plugin = {
        .size = sizeof(plugin),
        .abi = OC_ABI,
        .name = "mock",
        .version = "1.2.3",
        .caps = OC_CAP_INBOUND,
        .create = mock_create,
        .start = mock_start,
        .command = mock_command,
        .reply = mock_reply,
        .progress = mock_progress,
        .stop = mock_stop,
        .destroy = mock_destroy,
    };

    return OC_ABI_MAJOR_OF(host_abi) == OC_ABI_MAJOR ? &plugin : NULL;
}
