/* SPDX-License-Identifier: MIT */
/*
 * The plugin's way of a webhook without its calls: HTTP server, signature, JSON, the durable claim with the call's
 * row, 200. Nobody accepts the calls.
 *
 *   serve_claims STATE-DIR     WEBHOOK_SECRET in the environment; prints {"port"}; ends on SIGTERM and then prints
 *                              {"commits","operations"}
 */
#include "memory/journal.h"
#include "plugin/base/clock.h"
#include "plugin/base/id.h"
#include "plugin/base/mem.h"
#include "plugin/base/phone.h"
#include "plugin/net/httpd.h"
#include "plugin/net/loop.h"
#include "plugin/proto/sig.h"
#include "plugin/realtime/rt_webhook.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct server {
    struct log log;
    struct loop *loop;
    struct httpd *httpd;
    struct store *store;
    struct sig_keys *keys;
    struct loop_msg begin, end, wake, lull;
    bool woken; /* by __atomic: any thread */
    int rc;
    struct err e;
};

static void say(struct httpd_exchange *x, int status)
{
    httpd_reply(x, status, "application/json", status == 200 ? STR("{\"ok\":true}") : STR("{\"ok\":false}"));
}

static void on_claimed(void *arg, int rc, enum journal_claim_result result)
{
    (void)result;
    say(arg, rc < 0 ? 503 : 200);
}

static int claim(struct server *s, struct httpd_exchange *x, const struct rt_webhook *hook)
{
    uint64_t now = clock_wall_ms();
    struct phone from;
    struct id id;
    int rc = id_make(&id, "call_", now);
    struct journal_call row;

    if (rc < 0)
        return rc;
    (void)phone_from_sip(&from, rt_webhook_header(hook, "From", 0));
    row = (struct journal_call){
        .id = str_of(id.text), .openai_call_id = hook->call_id, .sip_call_id = hook->sip_call_id,
        .direction = STR("inbound"), .from = str_of(from.number), .from_kind = STR("e164"), .level = STR("unknown"),
        .state = STR(JOURNAL_CLAIMED), .received_at = now, .event_at = now};
    return journal_claim(s->store, &row, loop_now_ms(s->loop) + 2000, on_claimed, x);
}

static void on_request(void *arg, struct httpd_exchange *x)
{
    struct server *s = arg;
    struct rt_webhook hook;
    struct err e = {0};
    struct str peek;

    if (sig_verify(s->keys, httpd_header(x, "webhook-id"), httpd_header(x, "webhook-timestamp"),
                   httpd_header(x, "webhook-signature"), httpd_body(x), clock_wall_ms() / 1000, &e) != SIG_GOOD) {
        say(x, 401);
        return;
    }
    peek = rt_webhook_peek_call(httpd_body(x));
    if (journal_known(s->store, peek, STR_NONE)) {
        say(x, 200);
        return;
    }
    if (rt_webhook_read(&hook, httpd_body(x), &e) < 0) {
        say(x, 400);
        return;
    }
    if (hook.kind != RT_WEBHOOK_INCOMING ||
        journal_known(s->store, str_eq(peek, hook.call_id) ? STR_NONE : hook.call_id, hook.sip_call_id))
        say(x, 200);
    else if (claim(s, x, &hook) < 0)
        say(x, 503);
    rt_webhook_free(&hook);
}

static void on_wake(struct loop_msg *m)
{
    struct server *s = (struct server *)((char *)m - offsetof(struct server, wake));

    __atomic_store_n(&s->woken, false, __ATOMIC_SEQ_CST);
    if (s->store != NULL)
        store_poll(s->store);
}

static void wake(void *ctx)
{
    struct server *s = ctx;

    if (!__atomic_exchange_n(&s->woken, true, __ATOMIC_SEQ_CST))
        (void)loop_post(s->loop, &s->wake);
}

static void on_lull(struct loop_msg *m)
{
    struct server *s = (struct server *)((char *)m - offsetof(struct server, lull));

    if (s->store != NULL)
        store_begin(s->store);
}

static void gather(void *ctx)
{
    struct server *s = ctx;

    if (loop_lull(s->loop, &s->lull) < 0)
        store_begin(s->store);
}

static void on_begin(struct loop_msg *m)
{
    struct server *s = (struct server *)((char *)m - offsetof(struct server, begin));
    const struct httpd_config config = {.bind = "127.0.0.1", .max_conns = 4096, .max_conns_peer = 4096};

    s->rc = httpd_open(&s->httpd, s->loop, &config, on_request, s, &s->log, &s->e);
    if (s->rc == 0)
        printf("{\"port\":%d}\n", httpd_port(s->httpd));
    else
        fprintf(stderr, "serve_claims: %s\n", s->e.text);
    (void)fflush(stdout);
}

static void on_closed(void *arg)
{
    struct server *s = arg;

    loop_stop(s->loop);
}

static void on_end(struct loop_msg *m)
{
    struct server *s = (struct server *)((char *)m - offsetof(struct server, end));
    struct store_health health;

    store_health_read(s->store, &health);
    printf("{\"commits\":%llu,\"operations\":%llu}\n", (unsigned long long)health.commits,
           (unsigned long long)health.operations);
    (void)fflush(stdout);
    store_close(s->store, 1000);
    s->store = NULL;
    if (s->httpd != NULL)
        httpd_close(s->httpd, 1000, on_closed, s);
    else
        loop_stop(s->loop);
}

int main(int argc, char **argv)
{
    const char *secret = getenv("WEBHOOK_SECRET");
    struct str secrets[1];
    static struct server s;
    const struct store_config config = {.dir = argc > 1 ? argv[1] : "", .log = &s.log, .wake = wake, .gather = gather,
                                        .ctx = &s};
    sigset_t end;
    int sig;

    if (argc != 2 || secret == NULL)
        return 2;
    (void)sigemptyset(&end);
    (void)sigaddset(&end, SIGTERM);
    (void)pthread_sigmask(SIG_BLOCK, &end, NULL);
    secrets[0] = str_of(secret);
    s.begin.run = on_begin;
    s.end.run = on_end;
    s.wake.run = on_wake;
    s.lull.run = on_lull;
    if (sig_keys_open(&s.keys, secrets, 1, &s.e) < 0 || loop_open(&s.loop, &s.log, &s.e) < 0 ||
        store_open(&s.store, &config, &s.e) < 0 || loop_start(s.loop, NULL, NULL, &s.e) < 0) {
        fprintf(stderr, "serve_claims: %s\n", s.e.text);
        return 1;
    }
    (void)loop_post(s.loop, &s.begin);
    (void)sigwait(&end, &sig);
    (void)loop_post(s.loop, &s.end);
    (void)loop_close(s.loop);
    return s.rc == 0 ? 0 : 1;
}
