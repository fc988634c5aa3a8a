/* SPDX-License-Identifier: MIT */
/* The sideband over a WebSocket that stands here instead of the real one (see test_rt_rest.c). */
#include "plugin/base/log.h"
#include "plugin/base/mem.h"
#include "plugin/net/wsconn.h"
#include "plugin/realtime/rt_rest.h"
#include "plugin/realtime/rt_sideband.h"
#include "tests/unit/t.h"

#define T_SLICE(s, lit) T_MEM_EQ((s).p, (s).n, lit, sizeof(lit) - 1)

/* ---- The fakes. ---- */

struct wsconn {
    struct wsconn_handler h;
    void *arg;
    char url[300], auth[60], sent[300];
    unsigned n_headers;
    uint32_t ping_ms, dead_ms, max_message_bytes, max_queue_bytes;
    bool open;
};

static struct wsconn ws;
static int open_rc;
static char base_url[60];

int wsconn_open(struct wsconn **out, struct loop *l, const struct wsconn_config *config,
                const struct wsconn_handler *h, void *arg, const struct log *log)
{
    (void)l;
    (void)log;
    if (open_rc < 0)
        return open_rc;
    memset(&ws, 0, sizeof ws);
    ws.h = *h;
    ws.arg = arg;
    T_TRUE(str_copy(ws.url, sizeof ws.url, config->url));
    for (unsigned i = 0; i < config->n_headers; i++) {
        T_FALSE(str_ieq(config->headers[i].name, STR("openai-beta")));
        if (str_ieq(config->headers[i].name, STR("authorization")))
            T_TRUE(str_copy(ws.auth, sizeof ws.auth, config->headers[i].value));
    }
    ws.ping_ms = config->ping_ms;
    ws.dead_ms = config->dead_ms;
    ws.max_message_bytes = config->max_message_bytes;
    ws.max_queue_bytes = config->max_queue_bytes;
    ws.open = true;
    *out = &ws;
    return 0;
}

int wsconn_send(struct wsconn *w, struct str text)
{
    T_TRUE(w->open);
    T_TRUE(str_copy(w->sent, sizeof w->sent, text));
    return 0;
}

void wsconn_close(struct wsconn *w)
{
    T_TRUE(w->open);
    w->open = false;
}

/* The api is only asked for its settings. */
const struct rt_api_config *rt_api_settings(const struct rt_api *api)
{
    static struct rt_api_config config;

    (void)api;
    config = (struct rt_api_config){.base_url = str_of(base_url), .api_key = STR("sk-test")};
    return &config;
}

struct tls_ctx *rt_api_tls(const struct rt_api *api)
{
    (void)api;
    return NULL;
}

struct loop *rt_api_loop(const struct rt_api *api)
{
    (void)api;
    return NULL;
}

static unsigned log_lines;

static void on_log(void *ctx, enum log_level level, struct str line)
{
    (void)ctx;
    (void)level;
    log_lines++;
    T_EQ(str_find_str(line, STR("sk-test")), line.n);
}

const struct log *rt_api_log(const struct rt_api *api)
{
    static struct log log;

    (void)api;
    log_init(&log, on_log, NULL, LOG_DEBUG);
    return &log;
}

/* ---- The owner. ---- */

static struct {
    struct rt_sideband *sb;
    unsigned events, lost;
    enum call_ev last;
    char id[40], detail[100];
    int http_status, ws_code, err;
    bool close_on_event, close_on_lost, send_on_event;
} owner;

static void on_event(void *arg, const struct call_event *ev)
{
    T_PTR_EQ(arg, &owner);
    owner.events++;
    owner.last = ev->kind;
    if (ev->kind == CALL_EV_COMMITTED)
        T_TRUE(str_copy(owner.id, sizeof owner.id, ev->u.item.id));
    if (owner.send_on_event)
        T_EQ(rt_sideband_send(owner.sb, STR("{}")), 0);
    if (owner.close_on_event) {
        rt_sideband_close(owner.sb);
        /* What was read is still there, and closing again does nothing. */
        if (ev->kind == CALL_EV_COMMITTED)
            T_SLICE(ev->u.item.id, "i1");
        rt_sideband_close(owner.sb);
        T_EQ(rt_sideband_send(owner.sb, STR("{}")), ERR_CLOSED);
        owner.sb = NULL;
    }
}

static void on_lost(void *arg, const struct call_event *ev)
{
    T_PTR_EQ(arg, &owner);
    owner.lost++;
    T_EQ(ev->kind, CALL_EV_SIDEBAND_LOST);
    owner.http_status = ev->u.lost.http_status;
    owner.ws_code = ev->u.lost.ws_code;
    owner.err = ev->u.lost.err;
    T_TRUE(str_copy(owner.detail, sizeof owner.detail, ev->u.lost.detail));
    T_EQ(rt_sideband_send(owner.sb, STR("{}")), ERR_CLOSED);
    if (owner.close_on_lost)
        rt_sideband_close(owner.sb);
    owner.sb = NULL;
}

static const struct rt_sideband_handler handler = {on_event, on_lost};

static void begin(const char *url)
{
    memset(&owner, 0, sizeof owner);
    log_lines = 0;
    open_rc = 0;
    T_TRUE(str_copy(base_url, sizeof base_url, str_of(url)));
    T_MUST(rt_sideband_open(&owner.sb, NULL, STR("rtc_a/b&c"), &handler, &owner) == 0);
}

static void say(const char *text)
{
    ws.h.text(ws.arg, str_of(text));
}

static void the_address_names_the_call_alone(void)
{
    begin("https://api.openai.com/v1");
    T_STR_EQ(ws.url, "wss://api.openai.com/v1/realtime?call_id=rtc_a%2Fb%26c");
    T_STR_EQ(ws.auth, "Bearer sk-test");
    T_EQ(ws.ping_ms, 10000);
    T_EQ(ws.dead_ms, 25000);
    T_EQ(ws.max_message_bytes, 16 << 20);
    T_EQ(ws.max_queue_bytes, 1 << 20);
    rt_sideband_close(owner.sb);
    T_FALSE(ws.open);
    begin("http://127.0.0.1:8080/v1");
    T_STR_EQ(ws.url, "ws://127.0.0.1:8080/v1/realtime?call_id=rtc_a%2Fb%26c");
    rt_sideband_close(owner.sb);
    begin("wss://h/v1");
    T_STR_EQ(ws.url, "wss://h/v1/realtime?call_id=rtc_a%2Fb%26c");
    rt_sideband_close(owner.sb);
    rt_sideband_close(NULL);
    T_EQ(rt_sideband_open(&owner.sb, NULL, STR(""), &handler, &owner), ERR_INVALID);
    open_rc = ERR_NOMEM;
    T_EQ(rt_sideband_open(&owner.sb, NULL, STR("c"), &handler, &owner), ERR_NOMEM);
}

static void events_come_in_our_words(void)
{
    begin("http://h/v1");
    say("{\"type\":\"session.created\",\"session\":{}}");
    T_EQ(owner.events, 1);
    T_EQ(owner.last, CALL_EV_SESSION);
    say("{\"type\":\"input_audio_buffer.committed\",\"item_id\":\"i1\"}");
    T_EQ(owner.last, CALL_EV_COMMITTED);
    T_STR_EQ(owner.id, "i1");
    say("{\"type\":\"response.output_audio.delta\",\"delta\":\"\"}");
    say("{\"type\":\"what.is.this\"}");
    T_EQ(owner.events, 2);
    T_EQ(log_lines, 0);
    owner.send_on_event = true;
    say("{\"type\":\"error\",\"error\":{}}");
    T_STR_EQ(ws.sent, "{}");
    rt_sideband_close(owner.sb);
}

static void nonsense_is_ignored_and_logged_a_few_times(void)
{
    begin("http://h/v1");
    for (int i = 0; i < 20; i++)
        say("no json");
    T_EQ(owner.events, 0);
    T_EQ(log_lines, 5);
    say("{\"type\":\"error\"}");
    T_EQ(owner.events, 1);
    rt_sideband_close(owner.sb);
}

static void it_may_be_closed_from_inside(void)
{
    begin("http://h/v1");
    owner.close_on_event = true;
    say("{\"type\":\"input_audio_buffer.committed\",\"item_id\":\"i1\"}");
    T_EQ(owner.events, 1);
    T_FALSE(ws.open);
    T_EQ(owner.lost, 0);
}

static void a_loss_is_told_once(void)
{
    for (int i = 0; i < 2; i++) {
        struct wsconn_end end = {.http_status = 404, .ws_code = 1006, .err = ERR_HTTP,
                                 .text = "HTTP 404"};

        begin("http://h/v1");
        owner.close_on_lost = i == 1;
        ws.h.closed(ws.arg, &end);
        T_EQ(owner.lost, 1);
        T_EQ(owner.http_status, 404);
        T_EQ(owner.ws_code, 1006);
        T_EQ(owner.err, ERR_HTTP);
        T_STR_EQ(owner.detail, "HTTP 404");
        T_TRUE(ws.open); /* it ended by itself: nobody closes it again */
    }
}

static void memory_may_run_out(void)
{
    unsigned long n = 1;
    int rc = ERR_NOMEM;

    begin("http://h/v1");
    rt_sideband_close(owner.sb);
    for (; rc == ERR_NOMEM && n < 50; n++) {
        (void)mem_fault_after(n);
        rc = rt_sideband_open(&owner.sb, NULL, STR("c"), &handler, &owner);
        (void)mem_fault_after(0);
    }
    T_EQ(rc, 0);
    T_GT(n, 3);
    rt_sideband_close(owner.sb);
}

int main(void)
{
    T_RUN(the_address_names_the_call_alone);
    T_RUN(events_come_in_our_words);
    T_RUN(nonsense_is_ignored_and_logged_a_few_times);
    T_RUN(it_may_be_closed_from_inside);
    T_RUN(a_loss_is_told_once);
    T_RUN(memory_may_run_out);
    return T_DONE();
}
