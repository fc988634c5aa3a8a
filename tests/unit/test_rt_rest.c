/* SPDX-License-Identifier: MIT */
/* The retry policy over a pool, timers and a clock of the test's own. */
#include "plugin/base/mem.h"
#include "plugin/net/httpc.h"
#include "plugin/realtime/rt_rest.h"
#include "tests/unit/pool_kit.h"

/* ---- The fakes. ---- */

struct timer {
    timer_fn *fn;
    void *arg;
    uint64_t at_ms;
    bool open;
};

static struct {
    struct timer all[8];
    unsigned n;
    int rc;
} timers;

int timer_open(struct timer **out, struct loop *l, timer_fn *fn, void *arg)
{
    (void)l;
    if (timers.rc < 0)
        return timers.rc;
    T_MUST(timers.n < 8);
    timers.all[timers.n] = (struct timer){fn, arg, 0, true};
    *out = &timers.all[timers.n++];
    return 0;
}

void timer_set(struct timer *t, uint64_t at_ms)
{
    T_TRUE(t->open);
    t->at_ms = at_ms;
}

void timer_stop(struct timer *t)
{
    t->at_ms = 0;
}

void timer_close(struct timer *t)
{
    if (t == NULL)
        return;
    T_TRUE(t->open);
    t->open = false;
}

/* ---- What a test does with them. ---- */

struct told {
    unsigned times;
    int status, err;
    bool maybe_sent;
    char detail[200], body[100];
    struct rt_rest *cancel; /* from inside */
};

static struct rt_api *api;
static struct str project;

static void open_api(void)
{
    struct rt_api_config config = {
        .base_url = STR("http://127.0.0.1:1/v1/"),
        .api_key = STR("sk-test"),
        .project = project,
        .max_conns = 7,
        .warm_conns = 2,
    };
    struct err e = {0};

    memset(&net, 0, sizeof net);
    memset(&timers, 0, sizeof timers);
    net.now = 5000;
    T_MUST(rt_api_open(&api, NULL, &config, NULL, &e) == 0);
}

static void count_closed(void *arg)
{
    ++*(unsigned *)arg;
}

static void close_api(void)
{
    unsigned closed = 0;

    rt_api_close(api, count_closed, &closed);
    T_EQ(closed, 0);
    T_MUST(net.pool.closed != NULL);
    net.pool.closed(net.pool.closed_arg);
    T_EQ(closed, 1);
    for (unsigned i = 0; i < net.n_calls; i++)
        T_FALSE(net.calls[i].open);
    for (unsigned i = 0; i < timers.n; i++)
        T_FALSE(timers.all[i].open);
}

static void on_told(void *arg, const struct call_rest_result *r)
{
    struct told *t = arg;

    t->times++;
    t->status = r->status;
    t->err = r->err;
    t->maybe_sent = r->maybe_sent;
    T_TRUE(str_copy(t->detail, sizeof t->detail, r->detail));
    rt_rest_cancel(t->cancel);
}

static void on_models(void *arg, int status, struct str body)
{
    struct told *t = arg;

    t->times++;
    t->status = status;
    T_TRUE(str_copy(t->body, sizeof t->body, body));
}

static void answer_with(unsigned i, const struct httpc_result *r)
{
    T_MUST(i < net.n_calls && net.calls[i].open);
    net.calls[i].open = false;
    net.calls[i].req.on_done(net.calls[i].req.arg, r);
}

static void answer(unsigned i, int status, const char *body)
{
    struct httpc_result r = {.status = status, .maybe_sent = true, .body = str_of(body)};

    answer_with(i, &r);
}

static void fail(unsigned i, int err, bool maybe_sent)
{
    struct httpc_result r = {.err = err, .maybe_sent = maybe_sent, .text = STR("connection reset")};

    answer_with(i, &r);
}

/* Moves the clock to the timer and fires it; how long that took, 0 when none is set. */
static uint64_t wait_for_timer(void)
{
    for (unsigned i = 0; i < timers.n; i++) {
        struct timer *t = &timers.all[i];
        uint64_t waited;

        if (!t->open || t->at_ms == 0)
            continue;
        T_GE(t->at_ms, net.now);
        waited = t->at_ms - net.now;
        net.now = t->at_ms;
        t->at_ms = 0;
        t->fn(t->arg);
        return waited;
    }
    return 0;
}

static void accept(struct told *t, uint32_t timeout_ms)
{
    struct rt_rest *r = NULL;

    memset(t, 0, sizeof *t);
    T_MUST(rt_accept(api, STR("rtc_1"), STR("{\"type\":\"realtime\"}"), timeout_ms, on_told, t,
                     &r) == 0);
    t->cancel = r;
    T_EQ(t->times, 0);
}

/* ---- Cases. ---- */

static void an_accept_is_sent_once(void)
{
    struct told t;

    open_api();
    T_STR_EQ(net.base_url, "http://127.0.0.1:1/v1");
    T_FALSE(net.has_tls);
    T_NULL(rt_api_tls(api));
    T_EQ(net.max_conns, 7);
    T_EQ(net.warm_conns, 2);
    accept(&t, 8000);
    T_EQ(net.n_calls, 1);
    T_STR_EQ(net.calls[0].req.method, "POST");
    T_STR_EQ(net.calls[0].path, "/realtime/calls/rtc_1/accept");
    T_STR_EQ(net.calls[0].body, "{\"type\":\"realtime\"}");
    T_STR_EQ(net.calls[0].auth, "Bearer sk-test");
    T_STR_EQ(net.calls[0].type, "application/json");
    T_STR_EQ(net.calls[0].names, "Authorization\nUser-Agent\nContent-Type\n"); /* no OpenAI-Beta */
    T_EQ(net.calls[0].req.timeout_ms, 8000);
    answer(0, 200, "");
    T_EQ(t.times, 1);
    T_EQ(t.status, 200);
    T_EQ(t.err, 0);
    T_TRUE(t.maybe_sent);
    T_STR_EQ(t.detail, "200");
    close_api();
}

static void the_project_is_named(void)
{
    struct told t = {0};

    project = STR("proj_1");
    open_api();
    accept(&t, 8000);
    T_STR_EQ(net.calls[0].names, "Authorization\nUser-Agent\nOpenAI-Project\nContent-Type\n");
    answer(0, 200, "");
    close_api();
    project = STR_NONE;
}

static void an_id_is_escaped_in_the_path(void)
{
    struct told t = {0};

    open_api();
    T_EQ(rt_hangup(api, STR("a/b?c d"), on_told, &t, NULL), 0);
    T_STR_EQ(net.calls[0].path, "/realtime/calls/a%2Fb%3Fc%20d/hangup");
    T_STR_EQ(net.calls[0].body, "");
    T_STR_EQ(net.calls[0].type, "");
    T_EQ(rt_hangup(api, STR(""), on_told, &t, NULL), ERR_INVALID);
    close_api();
    T_EQ(t.times, 0);
}

/* Every first answer of an accept: is it tried again, and what does the second answer tell? */
static void an_accept_is_retried_by_its_answer(void)
{
    static const struct {
        int status; /* 0: no answer */
        bool maybe_sent, retried, in_doubt;
    } table[] = {
        {429, true, true, false},  {500, true, true, true},   {503, true, true, true},
        {599, true, true, true},   {404, true, true, false},  {401, true, false, false},
        {400, true, false, false}, {403, true, false, false}, {409, true, false, false},
        {301, true, false, false}, {204, true, false, true},  {0, false, true, false},
        {0, true, true, true},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct told t;
        uint64_t waited;

        open_api();
        accept(&t, 8000);
        if (table[i].status != 0)
            answer(0, table[i].status, "{\"error\":{\"type\":\"x\",\"code\":null}}");
        else
            fail(0, -104, table[i].maybe_sent);
        T_EQ(t.times, !table[i].retried);
        waited = wait_for_timer();
        T_EQ(waited > 0, table[i].retried);
        T_EQ(net.n_calls, table[i].retried ? 2 : 1);
        if (table[i].retried) {
            T_TRUE(waited >= 200 && waited <= 300);
            T_STR_EQ(net.calls[1].body, "{\"type\":\"realtime\"}");
            T_STR_EQ(net.calls[1].path, "/realtime/calls/rtc_1/accept");
            T_EQ(net.calls[1].req.timeout_ms, 8000 - waited);
            answer(1, 404, "{\"error\":{\"code\":\"call_id_not_found\"}}");
            T_EQ(wait_for_timer(), 0); /* one retry in all */
            T_EQ(t.status, 404);
            T_STR_EQ(t.detail, "404 call_id_not_found");
        } else {
            T_EQ(t.status, table[i].status);
        }
        T_EQ(t.times, 1);
        T_EQ(t.maybe_sent, table[i].in_doubt);
        close_api();
        T_EQ(t.times, 1);
    }
}

static void the_last_answer_is_told(void)
{
    struct told t;

    open_api();
    accept(&t, 8000);
    answer(0, 503, "");
    (void)wait_for_timer();
    answer(1, 200, "");
    T_EQ(t.status, 200);
    accept(&t, 8000);
    fail(2, -104, false);
    (void)wait_for_timer();
    fail(3, -111, false);
    T_EQ(t.times, 1);
    T_EQ(t.status, 0);
    T_EQ(t.err, -111);
    T_FALSE(t.maybe_sent);
    T_STR_EQ(t.detail, "connection reset");
    close_api();
}

static void the_server_may_say_when(void)
{
    static const struct {
        const char *retry_after;
        uint64_t ms; /* 0: our own time */
    } table[] = {{"1", 1000}, {"30", 1000}, {" 1 ", 1000}, {"0", 0}, {"-1", 0}, {"soon", 0},
                 {"Mon, 23 Nov 2026 06:30:24 GMT", 0}, {"99999999999999999999", 0}};

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct httpc_result r = {.status = 429, .retry_after = str_of(table[i].retry_after)};
        struct told t;
        uint64_t waited;

        open_api();
        accept(&t, 8000);
        answer_with(0, &r);
        waited = wait_for_timer();
        if (table[i].ms != 0)
            T_EQ(waited, table[i].ms);
        else
            T_TRUE(waited >= 200 && waited <= 300);
        close_api();
    }
}

static void no_time_is_no_retry(void)
{
    struct told t;

    open_api();
    accept(&t, 5800);
    net.now += 5500; /* a 404 that took long */
    answer(0, 404, "");
    T_EQ(t.times, 1);
    T_EQ(t.status, 404);
    T_STR_EQ(t.detail, "404");
    accept(&t, 6500);
    net.now += 5500;
    answer(1, 404, "");
    T_EQ(t.times, 0);
    T_GT(wait_for_timer(), 0);
    T_LE(net.calls[2].req.timeout_ms, 800);
    net.now += 800;
    fail(2, ERR_TIMEOUT, true);
    T_EQ(t.times, 1);
    T_EQ(t.err, ERR_TIMEOUT);
    T_TRUE(t.maybe_sent);
    close_api();
}

static void a_retry_that_cannot_be_sent_is_told(void)
{
    struct told t;

    open_api();
    accept(&t, 8000);
    answer(0, 500, "");
    net.send_rc = ERR_FULL;
    (void)wait_for_timer();
    T_EQ(t.times, 1);
    T_EQ(t.status, 0);
    T_EQ(t.err, ERR_FULL);
    T_TRUE(t.maybe_sent);
    T_TRUE(t.detail[0] != '\0');
    net.send_rc = 0;
    timers.rc = ERR_NOMEM;
    accept(&t, 8000);
    answer(1, 500, "");
    T_EQ(t.times, 1);
    T_EQ(t.status, 500);
    T_TRUE(t.maybe_sent);
    close_api();
}

static void a_cancelled_request_says_nothing(void)
{
    struct told t, u;

    open_api();
    accept(&t, 8000);
    rt_rest_cancel(t.cancel);
    T_TRUE(net.calls[0].canceled);
    accept(&t, 8000);
    accept(&u, 8000);
    answer(1, 500, "");
    rt_rest_cancel(t.cancel); /* while it waits for its retry */
    T_EQ(wait_for_timer(), 0);
    answer(2, 200, "");
    T_EQ(t.times, 0);
    T_EQ(u.times, 1);
    rt_rest_cancel(NULL);
    close_api();
}

static void closing_cancels_all(void)
{
    struct told t[3];
    unsigned closed = 0;

    open_api();
    for (int i = 0; i < 3; i++)
        accept(&t[i], 8000);
    answer(1, 503, "");
    rt_api_close(api, count_closed, &closed);
    rt_api_close(api, count_closed, &closed);
    for (int i = 0; i < 3; i++)
        T_EQ(t[i].times, 0);
    T_EQ(rt_accept(api, STR("rtc_1"), STR("{}"), 10, on_told, &t[0], NULL), ERR_CLOSED);
    T_EQ(rt_models(api, on_models, &t[0]), ERR_CLOSED);
    net.pool.closed(net.pool.closed_arg);
    T_EQ(closed, 1);
    for (unsigned i = 0; i < timers.n; i++)
        T_FALSE(timers.all[i].open);
}

static void a_slow_accept_delays_no_other(void)
{
    struct told slow, quick;

    open_api();
    accept(&slow, 8000);
    answer(0, 503, "");
    accept(&quick, 8000);
    T_EQ(net.calls[1].sent_at, net.now);
    answer(1, 200, "");
    T_EQ(quick.times, 1);
    T_EQ(slow.times, 0);
    close_api();
}

static void a_reject_has_its_sip_status(void)
{
    struct told t = {0};

    open_api();
    T_EQ(rt_reject(api, STR("rtc_1"), 486, on_told, &t, NULL), 0);
    T_STR_EQ(net.calls[0].path, "/realtime/calls/rtc_1/reject");
    T_STR_EQ(net.calls[0].body, "{\"status_code\":486}");
    answer(0, 404, "");
    T_GT(wait_for_timer(), 0);
    answer(1, 404, "");
    T_EQ(t.times, 1);
    T_EQ(t.status, 404);
    T_EQ(rt_reject(api, STR("rtc_1"), 200, on_told, &t, NULL), ERR_INVALID);
    T_EQ(rt_reject(api, STR("rtc_1"), 700, on_told, &t, NULL), ERR_INVALID);
    close_api();
}

static void a_hang_up_tries_thrice(void)
{
    struct told t = {0};

    open_api();
    T_EQ(rt_hangup(api, STR("rtc_1"), on_told, &t, NULL), 0);
    T_LE(net.calls[0].req.timeout_ms, 7000);
    fail(0, ERR_TIMEOUT, true);
    T_GT(wait_for_timer(), 0);
    answer(1, 503, "");
    T_GT(wait_for_timer(), 0);
    answer(2, 500, "");
    T_EQ(wait_for_timer(), 0);
    T_EQ(t.times, 1);
    T_EQ(t.status, 500);
    T_EQ(rt_hangup(api, STR("rtc_1"), on_told, &t, NULL), 0);
    answer(3, 404, "");
    T_EQ(t.times, 2);
    T_EQ(t.status, 404);
    close_api();
}

static void a_refer_is_sent_once(void)
{
    static const char *const bad[] = {"", "+15551234567", "tel:15551234567", "tel:+", "tel:+1555abc", "tel:+1 555",
                                      "tel:+1234567890123456", "sip:", "sip:a b", "https://example.com",
                                      "sip:a\nX: y", "tel:+1555;x=y"};
    struct told t = {0};

    open_api();
    T_EQ(rt_refer(api, STR("rtc_1"), STR("tel:+15551234567"), on_told, &t, NULL), 0);
    T_STR_EQ(net.calls[0].path, "/realtime/calls/rtc_1/refer");
    T_STR_EQ(net.calls[0].body, "{\"target_uri\":\"tel:+15551234567\"}");
    T_STR_EQ(net.calls[0].type, "application/json");
    answer(0, 500, "");
    T_EQ(wait_for_timer(), 0); /* the server may have passed it on */
    T_EQ(t.times, 1);
    T_EQ(t.status, 500);
    T_TRUE(t.maybe_sent);
    T_EQ(rt_refer(api, STR("rtc_1"), STR("sip:carol@example.com"), on_told, &t, NULL), 0);
    fail(1, ERR_TIMEOUT, true);
    T_EQ(wait_for_timer(), 0);
    T_EQ(t.times, 2);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        T_EQ(rt_refer(api, STR("rtc_1"), str_of(bad[i]), on_told, &t, NULL), ERR_INVALID);
    T_EQ(rt_refer(api, STR(""), STR("tel:+15551234567"), on_told, &t, NULL), ERR_INVALID);
    close_api();
    T_EQ(t.times, 2);
}

static void the_models_are_asked_for_once(void)
{
    struct told t = {0};

    open_api();
    T_EQ(rt_models(api, on_models, &t), 0);
    T_STR_EQ(net.calls[0].req.method, "GET");
    T_STR_EQ(net.calls[0].path, "/models");
    answer(0, 200, "{\"data\":[]}");
    T_EQ(t.status, 200);
    T_STR_EQ(t.body, "{\"data\":[]}");
    T_EQ(rt_models(api, on_models, &t), 0);
    fail(1, -111, false);
    T_EQ(t.status, 0);
    T_EQ(t.times, 2);
    T_EQ(wait_for_timer(), 0);
    close_api();
}

static void a_detail_is_fit_for_a_log(void)
{
    static const struct {
        const char *body, *detail;
    } table[] = {
        {"", "400"},
        {"no json", "400"},
        {"{\"error\":null}", "400"},
        {"{\"error\":{\"code\":7,\"type\":\"invalid_request_error\"}}", "400 invalid_request_error"},
        {"{\"error\":{\"code\":\"a\\nb\"}}", "400 a"},
        {"{\"error\":{\"code\":\"\\u001b[31m\"}}", "400"},
        {"{\"error\":{\"code\":\"\xc3\xa4\"}}", "400"},
    };
    struct told t;
    char body[600];

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        open_api();
        accept(&t, 8000);
        answer(0, 400, table[i].body);
        T_STR_EQ(t.detail, table[i].detail);
        close_api();
    }
    (void)snprintf(body, sizeof body, "{\"error\":{\"code\":\"%0*d\"}}", 500, 1);
    open_api();
    accept(&t, 8000);
    answer(0, 400, body);
    T_LT(strlen(t.detail), 160);
    close_api();
}

static void a_bad_config_is_refused(void)
{
    static const char *const urls[] = {"", "x", "ftp://h/v1", "http://", "http://u@h/v1",
                                       "http://h/v1?x=1"};
    struct rt_api_config config = {.api_key = STR("k")};
    struct err e = {0};

    memset(&net, 0, sizeof net);
    memset(&timers, 0, sizeof timers);
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        config.base_url = str_of(urls[i]);
        T_EQ(rt_api_open(&api, NULL, &config, NULL, &e), ERR_INVALID);
    }
    config.base_url = STR("http://127.0.0.1/v1");
    config.api_key = STR("k\r\nX: y");
    T_EQ(rt_api_open(&api, NULL, &config, NULL, &e), ERR_INVALID);
    T_NULL(strstr(e.text, "X: y"));
    config.api_key = STR("k");
    config.project = STR("proj\r\nX: y");
    T_EQ(rt_api_open(&api, NULL, &config, NULL, &e), ERR_INVALID);
    config.project = STR("");
    config.base_url = STR("https://127.0.0.1/v1");
    config.ca_file = STR("/nonexistent/ca.pem");
    T_EQ(rt_api_open(&api, NULL, &config, NULL, &e), ERR_TLS);
    config.base_url = STR("http://127.0.0.1/v1");
    net.open_rc = ERR_NOMEM;
    T_EQ(rt_api_open(&api, NULL, &config, NULL, &e), ERR_NOMEM);
}

static void memory_may_run_out(void)
{
    struct rt_api_config config = {.base_url = STR("http://127.0.0.1/v1"), .api_key = STR("k")};
    struct told t = {0};
    unsigned long n = 1;
    int rc = ERR_NOMEM;

    memset(&net, 0, sizeof net);
    memset(&timers, 0, sizeof timers);
    for (; rc == ERR_NOMEM && n < 50; n++) {
        (void)mem_fault_after(n);
        rc = rt_api_open(&api, NULL, &config, NULL, NULL);
        (void)mem_fault_after(0);
    }
    T_MUST(rc == 0);
    T_GT(n, 3);
    rc = ERR_NOMEM;
    for (n = 1; rc == ERR_NOMEM && n < 50; n++) {
        (void)mem_fault_after(n);
        rc = rt_reject(api, STR("rtc_1"), 603, on_told, &t, NULL);
        (void)mem_fault_after(0);
    }
    T_EQ(rc, 0);
    T_GT(n, 2);
    close_api();
    T_EQ(t.times, 0);
}

int main(void)
{
    T_RUN(an_accept_is_sent_once);
    T_RUN(the_project_is_named);
    T_RUN(an_id_is_escaped_in_the_path);
    T_RUN(an_accept_is_retried_by_its_answer);
    T_RUN(the_last_answer_is_told);
    T_RUN(the_server_may_say_when);
    T_RUN(no_time_is_no_retry);
    T_RUN(a_retry_that_cannot_be_sent_is_told);
    T_RUN(a_cancelled_request_says_nothing);
    T_RUN(closing_cancels_all);
    T_RUN(a_slow_accept_delays_no_other);
    T_RUN(a_reject_has_its_sip_status);
    T_RUN(a_hang_up_tries_thrice);
    T_RUN(a_refer_is_sent_once);
    T_RUN(the_models_are_asked_for_once);
    T_RUN(a_detail_is_fit_for_a_log);
    T_RUN(a_bad_config_is_refused);
    T_RUN(memory_may_run_out);
    return T_DONE();
}
