/* SPDX-License-Identifier: MIT */
#include "plugin/realtime/rt_sideband.h"

#include "plugin/base/mem.h"
#include "plugin/net/wsconn.h"
#include "plugin/realtime/rt_event.h"
#include "plugin/realtime/rt_rest.h"

#include <string.h>

#define PING_MS 10000u
#define DEAD_MS 25000u
#define CONNECT_MS 10000u
#define MESSAGE_BYTES_MAX (16u << 20)
#define QUEUE_BYTES_MAX (1u << 20)
#define BAD_EVENTS_LOGGED 5u /* then only counted: a peer's fault must not fill the log */

struct rt_sideband {
    struct wsconn *ws; /* NULL once it is over */
    const struct log *log;
    struct rt_sideband_handler h;
    void *arg;
    unsigned bad_events;
    unsigned depth; /* callbacks we are inside of: the one left last frees */
    bool closed;    /* by the owner, or told as lost */
};

static void enter(struct rt_sideband *s)
{
    s->depth++;
}

static void leave(struct rt_sideband *s)
{
    if (--s->depth == 0 && s->closed)
        mem_free(s);
}

static void on_text(void *arg, struct str text)
{
    struct rt_sideband *s = arg;
    struct rt_event ev;
    struct err e = {0};

    if (s->closed)
        return;
    if (rt_event_read(&ev, text, &e) < 0) {
        if (s->bad_events++ < BAD_EVENTS_LOGGED)
            log_warn(s->log, "sideband: an event of %zu bytes is ignored: %s", text.n, e.text);
        return;
    }
    enter(s);
    if (ev.ev.kind != CALL_EV_NONE)
        s->h.event(s->arg, &ev.ev);
    rt_event_free(&ev);
    leave(s);
}

static void on_closed(void *arg, const struct wsconn_end *end)
{
    struct rt_sideband *s = arg;
    struct call_event ev = {.kind = CALL_EV_SIDEBAND_LOST};

    s->ws = NULL;
    if (s->closed)
        return;
    ev.u.lost.http_status = end->http_status;
    ev.u.lost.ws_code = end->ws_code;
    ev.u.lost.err = end->err;
    ev.u.lost.detail = str_of(end->text);
    enter(s);
    s->h.lost(s->arg, &ev);
    s->closed = true;
    leave(s);
}

/* http://host/v1 becomes ws://host/v1/realtime?call_id=..., https wss. */
static int make_url(struct buf *url, struct str base, struct str call_id)
{
    (void)buf_puts(url, STR("ws"));
    (void)buf_puts(url, str_istarts(base, STR("http")) ? str_skip(base, 4) : str_skip(base, 2));
    (void)buf_puts(url, STR("/realtime?call_id="));
    (void)url_escape(url, call_id);
    return url->rc;
}

int rt_sideband_open(struct rt_sideband **out, struct rt_api *api, struct str call_id,
                     const struct rt_sideband_handler *h, void *arg)
{
    static const struct wsconn_handler handler = {.text = on_text, .closed = on_closed};
    const struct rt_api_config *settings = rt_api_settings(api);
    struct httpc_header headers[3] = {{.name = STR("Authorization")},
                                      {STR("User-Agent"), STR("openclaw-voice")},
                                      {STR("OpenAI-Project"), settings->project}};
    struct wsconn_config config = {
        .tls = rt_api_tls(api),
        .headers = headers,
        .n_headers = settings->project.n > 0 ? 3 : 2,
        .connect_ms = CONNECT_MS,
        .ping_ms = PING_MS,
        .dead_ms = DEAD_MS,
        .max_message_bytes = MESSAGE_BYTES_MAX,
        .max_queue_bytes = QUEUE_BYTES_MAX,
    };
    struct rt_sideband *s = NULL;
    struct buf url, key;
    int rc = 0;

    if (call_id.n == 0 || call_id.n > 256)
        return ERR_INVALID;
    buf_init(&url, settings->base_url.n + 1024);
    buf_init(&key, settings->api_key.n + 16);
    rc = make_url(&url, settings->base_url, call_id);
    if (rc == 0) {
        (void)buf_puts(&key, STR("Bearer "));
        rc = buf_puts(&key, settings->api_key);
    }
    s = rc == 0 ? MEM_NEW(struct rt_sideband) : NULL;
    if (rc == 0 && s == NULL)
        rc = ERR_NOMEM;
    if (rc < 0)
        goto out;
    *s = (struct rt_sideband){.log = rt_api_log(api), .h = *h, .arg = arg};
    config.url = buf_str(&url);
    headers[0].value = buf_str(&key);
    rc = wsconn_open(&s->ws, rt_api_loop(api), &config, &handler, s, s->log);
    if (rc == 0)
        *out = s;
    else
        mem_free(s);
out:
    buf_free(&url);
    if (key.p != NULL)
        explicit_bzero(key.p, key.n);
    buf_free(&key);
    return rc;
}

int rt_sideband_send(struct rt_sideband *s, struct str json)
{
    return s->ws == NULL || s->closed ? ERR_CLOSED : wsconn_send(s->ws, json);
}

void rt_sideband_close(struct rt_sideband *s)
{
    if (s == NULL || s->closed)
        return;
    s->closed = true;
    if (s->ws != NULL)
        wsconn_close(s->ws);
    s->ws = NULL;
    if (s->depth == 0)
        mem_free(s);
}
