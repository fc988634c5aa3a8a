/* SPDX-License-Identifier: MIT */
/*
 * OpenAI's Realtime API for measurements, and the calls that come in: accepts every call at once, opens every
 * sideband, says session.created, and answers each response.create with a response that is done. It checks and
 * simulates nothing else. With a certificate it speaks TLS, else plain TCP.
 *
 *   load_service [CERT KEY]     WEBHOOK_SECRET in the environment; prints {"port","agent"}; then a command a line, a JSON
 *                               line each. agent: the port, plain TCP, of an agent that answers each question at once
 *
 *   calls PORT FIRST N RATE     signed webhooks of N calls from number FIRST on, RATE a second, to 127.0.0.1:PORT;
 *                               ends when all are accepted and, with sidebands, all have one. From the webhook's
 *                               write to the read of the accept's head: p50_ms, p99_ms
 *   churn PORT FIRST N RATE MS  the same for calls that last: each has a turn on either side and is hung up after MS; ends
 *                               when all are over
 *                               What is not answered 200 is counted as bad and not waited for
 *   attach N                    waits for N sidebands to be open; last_us on the monotonic clock
 *   events N RATE SECONDS       RATE events of 330 bytes a second to each of N sidebands, each followed by a ping;
 *                               from the write of the event to the pong: p50_ms, p99_ms
 *   flood N COUNT heard|handled COUNT events in all to N sidebands as fast as they take them, a ping at the end of each;
 *                               heard: pieces of transcript, which mean nothing to a call; handled: the caller speaks
 *   tools N COUNT MS            COUNT questions to the agent, one every MS, asked by the model in N calls in turn: from the
 *                               agent's answer to the output that holds it (output_*) and to the response.create behind it
 *   deaf                        takes no new connection any more: calls are accepted over those that stand, and their
 *                               sidebands wait
 *   later SECONDS               the plugin's clock is that much ahead of ours from now on: webhooks are signed for it
 *   end
 */
#include "tests/bench/load_realtime.h"

#include <fcntl.h>
#include <signal.h>

#define WAIT_S 120u
#define CALLS_MAX 1000000u
#define BURST 8u /* events to one sideband before the next has its turn */

/* ---- Webhooks ---- */

static void feeder_open(struct feeder *f)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = f};

    f->fd = connect_local(s.plugin_port);
    f->got = 0;
    if (epoll_ctl(s.ep, EPOLL_CTL_ADD, f->fd, &ev) != 0)
        die("epoll");
}

static void feeder_send(struct feeder *f)
{
    char mac[LOAD_MAC_CHARS + 1];

    webhook_sign(&s.hook, f->number, mac);
    webhook_send(&s.hook, f->fd, f->number, mac);
}

/* A connection that was idle for too long is closed by the plugin; a request that met that goes over the next one. */
static void on_feeder(struct feeder *f)
{
    ssize_t n = read(f->fd, f->answer + f->got, sizeof f->answer - 1 - f->got);

    if (n <= 0) {
        if (f->got > 0)
            die("the plugin closed a connection in the middle of an answer");
        (void)close(f->fd);
        feeder_open(f);
        if (f->in_flight)
            feeder_send(f);
        return;
    }
    f->got += (size_t)n;
    f->answer[f->got] = '\0';
    if (!answer_whole(f->answer, f->got)) /* one request in flight on each: nothing follows */
        return;
    s.bad += strncmp(f->answer, "HTTP/1.1 200", 12) != 0;
    s.answered++;
    f->in_flight = false;
    f->got = 0;
}

static void feed_next(void)
{
    for (unsigned i = 0; i < FEEDERS; i++) {
        struct feeder *f = &s.feeders[i];

        if (f->in_flight)
            continue;
        f->in_flight = true;
        f->number = s.first + s.asked;
        s.asked_us[s.asked] = now_us();
        feeder_send(f);
        s.asked++;
        return;
    }
}

/* ---- The loop ---- */

static void turn(int wait_ms)
{
    struct epoll_event evs[256];
    int n = epoll_wait(s.ep, evs, 256, wait_ms);

    for (int i = 0; i < n; i++) {
        void *p = evs[i].data.ptr;

        if (p == &s.listener || p == &s.agent)
            on_listener(*(int *)p);
        else if (p >= (void *)s.feeders && p < (void *)(s.feeders + FEEDERS))
            on_feeder(p);
        else
            on_conn(p, evs[i].events);
    }
}

static void reset(void)
{
    memset(&s.took, 0, sizeof s.took);
    s.pongs = 0;
}

/* since: when it last moved, or should have ended. */
static void late(uint64_t since, const char *what)
{
    if (now_us() > since + WAIT_S * 1000000ull) {
        errno = ETIMEDOUT;
        die(what);
    }
}

/* The caller hangs up: an upgrade for this call is refused from now on. */
static void hang_up(struct conn *c)
{
    c->end_us = 0;
    s.ended[number_of(c->id) / 8] |= (unsigned char)(1u << number_of(c->id) % 8);
    frame(c, 8, "\x03\xe8", 2);
}

static void hang_up_due(void)
{
    uint64_t now = now_us();

    for (unsigned i = s.n_bands; i-- > 0;)
        if (s.bands[i]->end_us != 0 && s.bands[i]->end_us <= now)
            hang_up(s.bands[i]);
}

static void do_calls(int port, uint64_t first, uint64_t n, double rate, double live_ms)
{
    uint64_t begun, bands = s.attached, done = s.accepted, answered = s.answered, bad = s.bad, moved = 0, moved_us;
    double cpu = cpu_s();

    if (n > CALLS_MAX)
        die("calls");
    s.plugin_port = port;
    for (unsigned i = 0; i < FEEDERS; i++) {
        s.feeders[i] = (struct feeder){0};
        feeder_open(&s.feeders[i]);
    }
    s.hook = (struct webhook){.later_s = s.later_s};
    webhook_begin(&s.hook, "realtime.call.incoming");
    reset();
    s.first = first;
    s.asked = 0;
    s.live_us = (uint64_t)(live_ms * 1000);
    s.asked_us = calloc(n, sizeof *s.asked_us);
    begun = moved_us = now_us();
    while (s.answered - answered < n || s.accepted - done + s.bad - bad < n ||
           (!s.deaf && s.attached - bands + s.bad - bad < n) ||
           (s.live_us > 0 && s.n_bands > 0)) {
        uint64_t due = (uint64_t)((double)(now_us() - begun) / 1e6 * rate) + 1;

        for (unsigned i = 0; i < FEEDERS && s.asked < n && s.asked < due; i++)
            feed_next();
        turn(s.asked < n || s.live_us > 0 ? 1 : 100);
        hang_up_due();
        if (moved != s.answered + s.accepted + s.attached + s.n_bands) { /* it is slow rather than stuck */
            moved = s.answered + s.accepted + s.attached + s.n_bands;
            moved_us = now_us();
        }
        late(moved_us, s.answered - answered < n             ? "calls: a webhook is not answered" :
                       s.accepted - done + s.bad - bad < n   ? "calls: one is not accepted" :
                       s.attached - bands + s.bad - bad < n  ? "calls: a sideband does not come" :
                                                               "calls: a sideband does not end");
    }
    printf("{\"calls\":%llu,\"bad\":%llu,\"seconds\":%.3f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f,\"cpu_s\":%.3f}\n",
           (unsigned long long)n, (unsigned long long)(s.bad - bad), (double)(now_us() - begun) / 1e6, times_ms(&s.took, 0.5),
           times_ms(&s.took, 0.99), (double)s.took.max_us / 1e3, cpu_s() - cpu);
    for (unsigned i = 0; i < FEEDERS; i++)
        (void)close(s.feeders[i].fd);
    free(s.asked_us);
    s.asked_us = NULL;
    s.live_us = 0;
}

static void do_attach(unsigned n)
{
    uint64_t moved_us = now_us();
    unsigned had = s.n_bands;
    double cpu = cpu_s();

    while (s.n_bands < n) {
        turn(100);
        if (had != s.n_bands) {
            had = s.n_bands;
            moved_us = now_us();
        }
        late(moved_us, "attach");
    }
    printf("{\"open\":%u,\"last_us\":%llu,\"cpu_s\":%.3f}\n", s.n_bands, (unsigned long long)s.last_us, cpu_s() - cpu);
}

/* A piece of transcript while the model speaks, 330 bytes in all: the most frequent event of a call. */
static void speak(struct conn *c)
{
    c->events++;
    event(c, "{\"type\":\"response.output_audio_transcript.delta\",\"event_id\":\"event_%020llu\",\"response_id\":"
          "\"resp_%020llu\",\"item_id\":\"item_%020llu\",\"output_index\":0,\"content_index\":0,\"delta\":"
          "\"and so the appointment is on Thursday at a quarter past nine\",\"obfuscation\":\"aB3dE5gH7jK9mN1pQ\"}",
          (unsigned long long)c->events, (unsigned long long)c->events, (unsigned long long)c->events);
}

/* One that is parsed and handled: the caller's turn was written down. */
static void turn_heard(struct conn *c)
{
    c->events++;
    event(c, "{\"type\":\"input_audio_buffer.speech_started\",\"event_id\":\"event_%020llu\",\"audio_start_ms\":%llu,"
          "\"item_id\":\"item_%020llu\",\"padding\":\"%0160d\"}", (unsigned long long)c->events,
          (unsigned long long)c->events, (unsigned long long)c->events, 0);
}

static void probe(struct conn *c)
{
    if (c->ping_us == 0)
        c->ping_us = now_us();
    frame(c, 9, "p", 1);
}

static void do_events(unsigned n, double rate, double seconds)
{
    uint64_t begun, sent = 0, pings = 0, want = (uint64_t)(n * rate * seconds);
    double cpu = cpu_s();

    if (n == 0 || n > s.n_bands)
        die("events: so many sidebands are not open");
    reset();
    begun = now_us();
    while (sent < want || s.pongs < pings) {
        uint64_t due = (uint64_t)((double)(now_us() - begun) / 1e6 * n * rate);

        for (; sent < want && sent < due; sent++) {
            struct conn *c = s.bands[sent % n];

            (sent / n % 20 == 0 ? turn_heard : speak)(c);
            probe(c);
            pings++;
        }
        turn(1);
        late(begun + (uint64_t)(seconds * 1e6), "events");
    }
    printf("{\"events\":%llu,\"seconds\":%.3f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f,\"open\":%u,\"cpu_s\":%.3f}\n",
           (unsigned long long)sent, (double)(now_us() - begun) / 1e6, times_ms(&s.took, 0.5), times_ms(&s.took, 0.99),
           (double)s.took.max_us / 1e3, s.n_bands, cpu_s() - cpu);
}

static void do_flood(unsigned n, uint64_t count, bool handled)
{
    uint64_t begun, sent = 0;
    bool asked = false;
    double cpu = cpu_s();

    if (n == 0 || n > s.n_bands)
        die("flood: so many sidebands are not open");
    reset();
    begun = now_us();
    while (s.pongs < n) {
        bool stuck = true; /* until somebody takes more */

        for (unsigned i = 0; i < n; i++)
            for (unsigned k = 0; k < BURST && sent < count && s.bands[i]->out_n == 0; k++, sent++, stuck = false)
                (handled ? turn_heard : speak)(s.bands[i]);
        for (unsigned i = 0; i < n && sent == count && !asked; i++)
            probe(s.bands[i]);
        asked = sent == count;
        turn(stuck ? 10 : 0);
        late(begun, "flood");
    }
    printf("{\"events\":%llu,\"seconds\":%.3f,\"cpu_s\":%.3f}\n", (unsigned long long)count,
           (double)(now_us() - begun) / 1e6, cpu_s() - cpu);
}

/* The model asks the agent: a response that is a function call. */
static void ask_agent(struct conn *c)
{
    unsigned long long k = ++c->events;

    event(c, "{\"type\":\"response.created\",\"event_id\":\"eq_%llu\",\"response\":{\"object\":\"realtime.response\",\"id\":"
          "\"resp_q_%s_%llu\",\"status\":\"in_progress\",\"output\":[]}}", k, c->id, k);
    event(c, "{\"type\":\"response.done\",\"event_id\":\"er_%llu\",\"response\":{\"object\":\"realtime.response\",\"id\":"
          "\"resp_q_%s_%llu\",\"status\":\"completed\",\"output\":[{\"id\":\"item_q_%s_%llu\",\"object\":\"realtime.item\","
          "\"type\":\"function_call\",\"status\":\"completed\",\"name\":\"ask_openclaw\",\"call_id\":\"call_q_%s_%llu\","
          "\"arguments\":\"{\\\"request\\\":\\\"Is the table by the window free?\\\"}\"}],\"usage\":{\"total_tokens\":0,"
          "\"input_tokens\":0,\"output_tokens\":0}}}", k, c->id, k, c->id, k, c->id, k);
}

static void do_tools(unsigned n, unsigned count, unsigned gap_ms)
{
    static struct times output;
    uint64_t begun = now_us();
    double cpu = cpu_s();

    if (n == 0 || n > s.n_bands)
        die("tools: so many sidebands are not open");
    reset();
    memset(&output, 0, sizeof output);
    for (unsigned i = 0; i < count; i++) {
        uint64_t asked = now_us();

        memset(&s.tool, 0, sizeof s.tool);
        s.tool.band = s.bands[s.n_bands - 1 - i % n]; /* `events` begins at the other end */
        ask_agent(s.tool.band);
        while (s.tool.create_us == 0 || now_us() - asked < gap_ms * 1000ull) {
            turn(1);
            late(asked, "tools");
            if (s.tool.band == NULL)
                die("tools: a sideband was closed");
        }
        if (s.tool.ready_us == 0)
            die("tools: the agent was not asked");
        times_add(&output, s.tool.output_us - s.tool.ready_us);
        times_add(&s.took, s.tool.create_us - s.tool.ready_us);
    }
    s.tool.band = NULL;
    printf("{\"questions\":%u,\"seconds\":%.3f,\"output_p50_ms\":%.3f,\"output_p99_ms\":%.3f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,"
           "\"max_ms\":%.3f,\"cpu_s\":%.3f}\n", count, (double)(now_us() - begun) / 1e6, times_ms(&output, 0.5),
           times_ms(&output, 0.99), times_ms(&s.took, 0.5), times_ms(&s.took, 0.99), (double)s.took.max_us / 1e3, cpu_s() - cpu);
}

static bool command(char *line)
{
    unsigned long long first, n;
    double rate, seconds, live_ms;
    unsigned k, count, gap_ms;
    int port;
    char word[16];

    if (sscanf(line, "calls %d %llu %llu %lf", &port, &first, &n, &rate) == 4)
        do_calls(port, first, n, rate, 0);
    else if (sscanf(line, "churn %d %llu %llu %lf %lf", &port, &first, &n, &rate, &live_ms) == 5)
        do_calls(port, first, n, rate, live_ms);
    else if (sscanf(line, "attach %u", &k) == 1)
        do_attach(k);
    else if (sscanf(line, "tools %u %u %u", &k, &count, &gap_ms) == 3)
        do_tools(k, count, gap_ms);
    else if (sscanf(line, "events %u %lf %lf", &k, &rate, &seconds) == 3)
        do_events(k, rate, seconds);
    else if (sscanf(line, "flood %u %llu %15s", &k, &n, word) == 3)
        do_flood(k, n, strcmp(word, "handled") == 0);
    else if (sscanf(line, "later %lld", &s.later_s) == 1)
        printf("{\"later\":%lld}\n", s.later_s);
    else if (strncmp(line, "deaf", 4) == 0) {
        (void)epoll_ctl(s.ep, EPOLL_CTL_DEL, s.listener, NULL);
        s.deaf = true;
        printf("{\"open\":%u}\n", s.n_bands);
    } else {
        return false;
    }
    (void)fflush(stdout);
    return true;
}

/* What is known of it in epoll is the address of the descriptor. */
static int listen_at(int *listener)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = listener};
    socklen_t n = sizeof at;

    *listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(*listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(*listener, 4096) != 0 ||
        getsockname(*listener, (struct sockaddr *)&at, &n) != 0 ||
        epoll_ctl(s.ep, EPOLL_CTL_ADD, *listener, &ev) != 0)
        die("listen");
    return ntohs(at.sin_port);
}

static void open_all(char **argv)
{
    if (argv[1] != NULL) {
        s.tls = SSL_CTX_new(TLS_server_method());
        if (s.tls == NULL || SSL_CTX_use_certificate_chain_file(s.tls, argv[1]) != 1 ||
            SSL_CTX_use_PrivateKey_file(s.tls, argv[2], SSL_FILETYPE_PEM) != 1)
            die("certificate");
        (void)SSL_CTX_set_mode(s.tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                          SSL_MODE_RELEASE_BUFFERS);
    }
    s.ep = epoll_create1(EPOLL_CLOEXEC);
    s.port = listen_at(&s.listener);
    s.agent_port = listen_at(&s.agent);
}

int main(int argc, char **argv)
{
    char line[256];
    size_t n = 0;

    if (argc != 1 && argc != 3)
        die("load_service [CERT KEY]");
    (void)signal(SIGPIPE, SIG_IGN);
    open_all(argv);
    (void)fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
    printf("{\"port\":%d,\"agent\":%d}\n", s.port, s.agent_port);
    (void)fflush(stdout);
    for (;;) {
        ssize_t got = read(STDIN_FILENO, line + n, sizeof line - 1 - n);
        char *end;

        if (got == 0)
            return 0;
        n += got > 0 ? (size_t)got : 0;
        line[n] = '\0';
        end = strchr(line, '\n');
        if (end == NULL) {
            turn(10);
            continue;
        }
        if (!command(line))
            return strncmp(line, "end", 3) == 0 ? 0 : 2;
        n -= (size_t)(end + 1 - line);
        memmove(line, end + 1, n + 1);
    }
}
