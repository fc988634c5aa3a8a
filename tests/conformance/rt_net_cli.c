/* SPDX-License-Identifier: MIT */
/*
 * The REST calls, the sideband and the transcript of one telephone call over real sockets, for
 * tests in other languages:
 *     rt_net_cli BASE_URL KEY CALL_ID [CA_FILE]
 * accepts the call, joins its sideband, speaks first, writes the transcript, and ends when the
 * sideband is gone; a key pressed by the caller ('#') makes it hang up. One JSON line each for the
 * answers, the kinds of events, the loss, and last {"turns":[..]}.
 */
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "plugin/call/transcript.h"
#include "plugin/realtime/rt_event.h"
#include "plugin/realtime/rt_rest.h"
#include "plugin/realtime/rt_session.h"
#include "plugin/realtime/rt_sideband.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

#define TURNS_MAX 64
#define TIME_MS 30000u

struct turn {
    char id[80];
    int64_t pos;
    bool caller, interrupted;
    char *text;
};

struct run {
    struct loop_msg start;
    struct loop *loop;
    struct rt_api_config config;
    const char *call_id;
    struct rt_api *api;
    struct rt_sideband *sb;
    struct timer *timer;
    struct transcript transcript;
    struct turn turns[TURNS_MAX];
    unsigned n_turns;
    bool failed;
};

static void finish(struct run *r)
{
    rt_sideband_close(r->sb);
    r->sb = NULL;
    if (r->api == NULL)
        return;
    timer_close(r->timer);
    rt_api_close(r->api, NULL, NULL);
    r->api = NULL;
    loop_stop(r->loop);
}

static void on_time(void *arg)
{
    struct run *r = arg;

    printf("{\"timeout\":true}\n");
    r->failed = true;
    finish(r);
}

static void print_rest(const char *what, const struct call_rest_result *res)
{
    printf("{\"%s\":%d,\"err\":%d,\"maybe_sent\":%s,\"detail\":\"%.*s\"}\n", what, res->status,
           res->err, res->maybe_sent ? "true" : "false", STR_ARG(res->detail));
}

/* ---- Turns, kept as a store would. ---- */

static void put(struct run *r, const struct transcript_row *row)
{
    struct turn *t = NULL;

    for (unsigned i = 0; i < r->n_turns; i++)
        if (str_eqc(row->item_id, r->turns[i].id))
            t = &r->turns[i];
    if (t == NULL) {
        if (r->n_turns == TURNS_MAX || row->text.p == NULL) {
            r->failed = true;
            return;
        }
        t = &r->turns[r->n_turns++];
        r->failed |= !str_copy(t->id, sizeof t->id, row->item_id);
    }
    t->interrupted = row->interrupted;
    if (row->text.p == NULL)
        return;
    t->pos = row->pos;
    t->caller = row->who == CALL_WHO_CALLER;
    mem_free(t->text);
    t->text = str_dup(row->text);
}

static void print_turns(struct run *r)
{
    struct buf out;

    buf_init(&out, 1u << 20);
    jw_open(&out, '{');
    jw_key(&out, "turns");
    jw_open(&out, '[');
    for (unsigned n = 0; n < r->n_turns; n++) {
        struct turn *t = NULL;

        for (unsigned i = 0; i < r->n_turns; i++)
            if (r->turns[i].text != NULL && (t == NULL || r->turns[i].pos < t->pos))
                t = &r->turns[i];
        if (t == NULL)
            break;
        jw_open(&out, '{');
        jw_kstrc(&out, "item_id", t->id);
        jw_kstrc(&out, "who", t->caller ? "caller" : "assistant");
        jw_kstrc(&out, "text", t->text);
        jw_kbool(&out, "interrupted", t->interrupted);
        jw_close(&out, '}');
        mem_free(t->text);
        t->text = NULL;
    }
    jw_close(&out, ']');
    jw_close(&out, '}');
    printf("%s\n", buf_cstr(&out));
    buf_free(&out);
}

static void write_down(struct run *r, const struct call_event *ev)
{
    struct transcript_rows rows = {.n = 0};
    uint64_t now = 1;

    switch (ev->kind) {
    case CALL_EV_SPEECH_STARTED:
    case CALL_EV_COMMITTED:
    case CALL_EV_ITEM_ADDED:
        transcript_on_item(&r->transcript, ev->u.item.id, ev->u.item.prev, ev->u.item.who, now,
                           &rows);
        break;
    case CALL_EV_CALLER_TEXT:
        transcript_on_text(&r->transcript, ev->u.item.id, ev->u.item.text, now, &rows);
        break;
    case CALL_EV_CALLER_TEXT_FAILED:
        transcript_on_text_failed(&r->transcript, ev->u.item.id, now, &rows);
        break;
    case CALL_EV_RESPONSE_DONE:
        transcript_on_response(&r->transcript, ev, now, &rows);
        break;
    case CALL_EV_TRUNCATED:
        transcript_on_truncated(&r->transcript, ev->u.item.id, ev->u.item.heard_ms, now, &rows);
        break;
    default:
        break;
    }
    for (unsigned i = 0; i < rows.n; i++)
        put(r, &rows.v[i]);
}

/* ---- The call. ---- */

static void on_hung_up(void *arg, const struct call_rest_result *res)
{
    (void)arg;
    print_rest("hangup", res);
}

static void send_event(struct run *r, int rc, struct buf *text)
{
    if (rc < 0 || rt_sideband_send(r->sb, buf_str(text)) < 0)
        r->failed = true;
    buf_free(text);
}

static void on_event(void *arg, const struct call_event *ev)
{
    struct run *r = arg;
    struct buf text;

    buf_init(&text, 65536);
    printf("{\"event\":%d}\n", ev->kind);
    write_down(r, ev);
    if (ev->kind == CALL_EV_SESSION)
        send_event(r, rt_write_response_create(&text, STR("evt_greeting"), STR_NONE, true), &text);
    else if (ev->kind == CALL_EV_ERROR)
        printf("{\"error\":\"%.*s\"}\n", STR_ARG(ev->u.error.code));
    else if (ev->kind == CALL_EV_DTMF && str_eq(ev->u.text, STR("#")))
        r->failed |= rt_hangup(r->api, str_of(r->call_id), on_hung_up, r, NULL) < 0;
}

static void on_lost(void *arg, const struct call_event *ev)
{
    struct run *r = arg;

    printf("{\"lost\":true,\"http_status\":%d,\"ws_code\":%d,\"err\":%d,\"detail\":\"%.*s\"}\n",
           ev->u.lost.http_status, ev->u.lost.ws_code, ev->u.lost.err, STR_ARG(ev->u.lost.detail));
    r->sb = NULL;
    /* An answer to the hang-up may still be on its way. */
    timer_set(r->timer, loop_now_ms(r->loop) + 100);
}

static void on_accepted(void *arg, const struct call_rest_result *res)
{
    static const struct rt_sideband_handler handler = {on_event, on_lost};
    struct run *r = arg;

    print_rest("accept", res);
    if (res->status == 200 || res->maybe_sent)
        r->failed |= rt_sideband_open(&r->sb, r->api, str_of(r->call_id), &handler, r) < 0;
    else
        finish(r);
}

static void on_timer(void *arg)
{
    struct run *r = arg;

    if (r->sb == NULL)
        finish(r);
    else
        on_time(r);
}

static void on_start(struct loop_msg *m)
{
    struct run *r = (struct run *)m;
    struct rt_session session = {
        .model = STR("gpt-realtime-2.1"),
        .voice = STR("marin"),
        .instructions = STR("Answer the telephone."),
        .transcription_model = STR("gpt-transcribe"),
        .interrupt_response = true,
    };
    struct err e = {0};
    struct buf text;

    buf_init(&text, 65536);
    if (rt_api_open(&r->api, r->loop, &r->config, NULL, &e) < 0 ||
        timer_open(&r->timer, r->loop, on_timer, r) < 0) {
        printf("{\"open\":\"%s\"}\n", e.text);
        r->failed = true;
        loop_stop(r->loop);
        return;
    }
    timer_set(r->timer, loop_now_ms(r->loop) + TIME_MS);
    if (rt_session_write(&text, &session) < 0 ||
        rt_accept(r->api, str_of(r->call_id), buf_str(&text), 8000, on_accepted, r, NULL) < 0)
        r->failed = true;
    buf_free(&text);
}

int main(int argc, char **argv)
{
    static struct run r;
    int rc;

    if (argc < 4)
        return 2;
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    transcript_init(&r.transcript);
    r.config = (struct rt_api_config){.base_url = str_of(argv[1]), .api_key = str_of(argv[2]),
                                      .ca_file = str_of(argc > 4 ? argv[4] : ""), .max_conns = 4};
    r.call_id = argv[3];
    r.start.run = on_start;
    rc = loop_open(&r.loop, NULL, NULL);
    if (rc == 0)
        rc = loop_start(r.loop, NULL, NULL, NULL);
    if (rc == 0)
        rc = loop_post(r.loop, &r.start);
    if (rc < 0)
        return 2;
    rc = loop_close(r.loop);
    print_turns(&r);
    transcript_free(&r.transcript);
    printf("{\"end\":%d}\n", rc);
    return rc < 0 || r.failed ? 1 : 0;
}
