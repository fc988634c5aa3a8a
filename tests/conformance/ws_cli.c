/* SPDX-License-Identifier: MIT */
/*
 * A WebSocket client that sends every text message back, for a server that tests it by cases:
 *     ws_cli BASE_URL COUNT [CA_FILE]
 * opens BASE_URL/0 to BASE_URL/COUNT-1, SIDE of them at a time. One JSON line for each that is over:
 * {"case":n,"opened":bool,"texts":n,"http_status":n,"ws_code":n,"err":n,"text":".."}, and last {"end":rc}.
 */
#include "plugin/base/json.h"
#include "plugin/net/wsconn.h"
#include "plugin/proto/tls.h"

#include <stdio.h>
#include <stdlib.h>

#define SIDE 16u
#define MAX_BYTES (20u << 20)
#define TIME_MS 50000u

struct run;

struct slot {
    struct run *r;
    struct wsconn *ws;
    unsigned nth, texts;
    bool opened, done;
};

struct run {
    struct loop_msg start;
    struct loop *loop;
    struct timer *timer;
    struct tls_ctx *tls;
    const char *base;
    unsigned count, next, busy;
    bool failed;
    struct slot slots[SIDE];
};

static void open_next(struct slot *s);

static void on_open(void *arg)
{
    struct slot *s = arg;

    s->opened = true;
}

static void on_text(void *arg, struct str text)
{
    struct slot *s = arg;

    s->texts++;
    (void)wsconn_send(s->ws, text);
}

static void on_closed(void *arg, const struct wsconn_end *end)
{
    struct slot *s = arg;
    struct run *r = s->r;
    struct buf out;

    buf_init(&out, 4096);
    jw_open(&out, '{');
    jw_kint(&out, "case", s->nth);
    jw_kbool(&out, "opened", s->opened);
    jw_kint(&out, "texts", s->texts);
    jw_kint(&out, "http_status", end->http_status);
    jw_kint(&out, "ws_code", end->ws_code);
    jw_kint(&out, "err", end->err);
    jw_kstrc(&out, "text", end->text);
    jw_close(&out, '}');
    printf("%.*s\n", STR_ARG(buf_str(&out)));
    buf_free(&out);
    s->ws = NULL;
    s->done = true;
    r->busy--;
    timer_set(r->timer, loop_now_ms(r->loop)); /* the next one is not opened from inside */
}

static void open_next(struct slot *s)
{
    static const struct wsconn_handler handler = {on_open, on_text, on_closed};
    struct run *r = s->r;
    char url[200];
    struct wsconn_config config = {.tls = r->tls, .connect_ms = 8000, .ping_ms = 60000, .dead_ms = 20000,
                                   .max_message_bytes = MAX_BYTES, .max_queue_bytes = 64u << 20};

    *s = (struct slot){.r = r, .nth = r->next++};
    (void)snprintf(url, sizeof url, "%s/%u", r->base, s->nth);
    config.url = str_of(url);
    if (wsconn_open(&s->ws, r->loop, &config, &handler, s, NULL) < 0) {
        r->failed = true;
        return;
    }
    r->busy++;
}

static void on_timer(void *arg)
{
    struct run *r = arg;

    for (unsigned i = 0; i < SIDE && r->next < r->count; i++)
        if (r->slots[i].ws == NULL)
            open_next(&r->slots[i]);
    if (r->busy > 0 && !r->failed) {
        timer_set(r->timer, loop_now_ms(r->loop) + TIME_MS);
        return;
    }
    timer_close(r->timer);
    loop_stop(r->loop);
}

static void on_start(struct loop_msg *m)
{
    struct run *r = (struct run *)m;

    for (unsigned i = 0; i < SIDE; i++)
        r->slots[i].r = r;
    if (timer_open(&r->timer, r->loop, on_timer, r) < 0)
        r->failed = true;
    else
        timer_set(r->timer, loop_now_ms(r->loop));
}

int main(int argc, char **argv)
{
    static struct run r;
    struct err e = {0};
    int rc;

    if (argc < 3)
        return 2;
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    r.base = argv[1];
    r.count = (unsigned)strtoul(argv[2], NULL, 10);
    r.start.run = on_start;
    if (tls_ctx_client(&r.tls, argc > 3 ? argv[3] : NULL, &e) < 0) {
        fprintf(stderr, "%s\n", e.text);
        return 2;
    }
    rc = loop_open(&r.loop, NULL, NULL);
    if (rc == 0)
        rc = loop_start(r.loop, NULL, NULL, NULL);
    if (rc == 0)
        rc = loop_post(r.loop, &r.start);
    if (rc < 0)
        return 2;
    rc = loop_close(r.loop);
    tls_ctx_free(r.tls);
    printf("{\"end\":%d}\n", rc);
    return rc < 0 || r.failed ? 1 : 0;
}
