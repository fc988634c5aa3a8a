/* SPDX-License-Identifier: MIT */
/*
 * The carrier's side for tests in other languages: JSON lines in, JSON lines out.
 *     carrier_cli                                              {"sig":{..}} and {"twiml":{..}}
 *     carrier_cli BASE_URL ACCOUNT TOKEN PUBLIC_URL [KEY SECRET]   also {"hook":{..}}, and over real sockets
 *                                                              {"order":{..}}, {"fetch":{..}}, {"erase":{..}}
 * Each answer repeats the question's "id"; orders are answered when the carrier has answered them. At the end of the
 * input what is under way is waited for, and {"end":0} says that nothing was left open.
 */
#include "plugin/base/id.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "plugin/carrier/carrier.h"
#include "plugin/carrier/twiml.h"
#include "plugin/net/loop.h"
#include "plugin/proto/sig_twilio.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OUT_MAX (1u << 20)
#define WAIT_MS 50000u

struct cli {
    struct loop *loop;
    struct carrier *carrier;
    struct log log;
    struct twilio_config config;
    const char *tokens[1];
    atomic_uint open;
    atomic_bool done;
    int rc;
};

struct ask { /* one question on its way through the loop */
    struct loop_msg msg;
    struct cli *cli;
    struct json *q;
    struct line line;
    int64_t id;
    struct buf got;
};

static void print(struct buf *b)
{
    (void)buf_putc(b, '\n');
    if (b->rc == 0) {
        (void)fwrite(b->p, 1, b->n, stdout);
        (void)fflush(stdout);
    }
    buf_free(b);
}

static void begin(struct buf *b, int64_t id)
{
    buf_init(b, OUT_MAX);
    jw_open(b, '{');
    jw_kint(b, "id", id);
}

static const char *name_of(int rc)
{
    return rc == 0 ? "ok" : err_name(rc);
}

static bool text_field(char *dst, size_t cap, const struct json *q, const char *name)
{
    return str_copy(dst, cap, json_get_str(q, name));
}

/* ---- signatures, documents, webhooks ---- */

static void answer_sig(const struct json *q, struct buf *out)
{
    struct str tokens[SIG_TWILIO_TOKENS_MAX];
    struct sig_twilio *s = NULL;
    struct sig_twilio_request r = {json_get_str(q, "url"), json_get_str(q, "type"), json_get_str(q, "body"),
                                   json_get_str(q, "signature")};
    unsigned n = 0;
    int rc;

    for (const struct json *t = json_first(json_get(q, "tokens")); t != NULL && n < SIG_TWILIO_TOKENS_MAX;
         t = json_next(t))
        tokens[n++] = json_str(t);
    rc = sig_twilio_open(&s, tokens, n, NULL);
    jw_kstrc(out, "result", rc < 0 ? "keys" : name_of(sig_twilio_verify(s, &r)));
    sig_twilio_free(s);
}

static void answer_twiml(const struct json *q, struct buf *out)
{
    struct carrier_step steps[16];
    struct buf text;
    unsigned n = 0;
    int rc;

    memset(steps, 0, sizeof steps);
    for (const struct json *s = json_first(json_get(q, "steps")); s != NULL && n < 16; s = json_next(s), n++)
        steps[n] = (struct carrier_step){
            .kind = (enum carrier_step_kind)json_get_int(s, "kind", 0),
            .text = json_get_str(s, "text"), .ref = json_get_str(s, "ref"), .label = json_get_str(s, "label"),
            .token = json_get_str(s, "token"), .n = (unsigned)json_get_int(s, "n", 0),
            .seconds = (unsigned)json_get_int(s, "seconds", 0), .ends_room = json_get_bool(s, "ends_room", false),
            .busy = json_get_bool(s, "busy", false),
        };
    buf_init(&text, TWIML_BYTES_MAX);
    rc = twiml_render(json_get_str(q, "public"), steps, n, &text);
    jw_kstrc(out, "rc", name_of(rc));
    jw_kstr(out, "text", buf_str(&text));
    buf_free(&text);
}

static void put_event(struct buf *out, const struct carrier_event *e)
{
    const struct line_event *ev = &e->event;

    jw_kint(out, "said", e->said);
    jw_kstr(out, "ref", e->ref);
    jw_kstr(out, "label", e->label);
    jw_kstr(out, "token", e->token);
    jw_kstr(out, "sid", e->sid);
    jw_kstr(out, "from", e->from);
    jw_kstr(out, "to", e->to);
    jw_kstr(out, "attestation", e->attestation);
    jw_kint(out, "kind", ev->kind);
    switch (ev->kind) {
    case LINE_EV_STATUS:
        jw_kint(out, "status", ev->u.status.status);
        jw_kint(out, "seq", ev->u.status.seq);
        jw_kint(out, "sip", ev->u.status.sip_code);
        jw_kstr(out, "leg", ev->u.status.sid);
        break;
    case LINE_EV_ROOM:
        jw_kint(out, "what", ev->u.room.what);
        jw_kstr(out, "party", ev->u.room.label);
        jw_kstr(out, "leg", ev->u.room.sid);
        break;
    case LINE_EV_MACHINE:
        jw_kint(out, "by", ev->u.machine.by);
        break;
    case LINE_EV_DIGITS:
        jw_kstr(out, "digits", ev->u.digits.digits);
        break;
    case LINE_EV_RECORDING:
        jw_kint(out, "what", ev->u.recording.what);
        jw_kstr(out, "recording", ev->u.recording.sid);
        break;
    default:
        break;
    }
}

static void answer_hook(struct carrier *c, const struct json *q, struct buf *out)
{
    struct carrier_header header = {STR("X-Twilio-Signature"), json_get_str(q, "signature")};
    struct carrier_hook hook = {
        .method = json_get_str(q, "method"), .path = json_get_str(q, "path"), .query = json_get_str(q, "query"),
        .body = json_get_str(q, "body"), .content_type = json_get_str(q, "type"), .headers = &header, .n_headers = 1,
    };
    struct carrier_event ev;

    jw_kstrc(out, "verify", name_of(c->ops->verify(c, &hook)));
    jw_kstrc(out, "read", name_of(c->ops->read(c, &hook, &ev)));
    put_event(out, &ev);
    carrier_event_free(&ev);
}

/* ---- orders ---- */

static void ask_free(struct ask *a)
{
    atomic_fetch_sub(&a->cli->open, 1);
    json_free(a->q);
    buf_free(&a->got);
    mem_free(a);
}

static void put_legs(struct buf *b, const struct carrier_answer *a)
{
    jw_key(b, "legs");
    jw_open(b, '[');
    for (unsigned i = 0; i < a->n_legs; i++) {
        jw_open(b, '{');
        jw_kstr(b, "label", a->legs[i].label);
        jw_kstr(b, "sid", a->legs[i].sid);
        jw_kint(b, "status", a->legs[i].status);
        jw_kbool(b, "in_room", a->legs[i].in_room);
        jw_kint(b, "up_s", a->legs[i].up_s);
        jw_close(b, '}');
    }
    jw_close(b, ']');
}

static void on_answer(void *arg, struct str call, const struct carrier_answer *a)
{
    struct buf b;

    (void)arg;
    begin(&b, (int64_t)a->cmd);
    jw_kstr(&b, "call", call);
    jw_kint(&b, "what", a->what);
    jw_kint(&b, "http_status", a->http_status);
    jw_kbool(&b, "maybe_sent", a->maybe_sent);
    jw_kbool(&b, "busy", a->busy);
    jw_kint(&b, "retry_after_ms", a->retry_after_ms);
    jw_kstr(&b, "sid", a->sid);
    jw_kstr(&b, "room", a->room);
    jw_kstr(&b, "code", a->code);
    jw_kstr(&b, "message", a->message);
    jw_kbool(&b, "room_live", a->room_live);
    jw_kstr(&b, "recording", a->recording);
    put_legs(&b, a);
    jw_close(&b, '}');
    print(&b);
    atomic_fetch_sub(&((struct cli *)arg)->open, 1);
}

static bool read_leg(struct leg *leg, const struct json *q)
{
    leg->role = (enum leg_role)json_get_int(q, "role", ROLE_OTHER);
    leg->state = LEG_UP;
    leg->tries = 1;
    return text_field(leg->label, sizeof leg->label, q, "label") &&
           text_field(leg->ref, sizeof leg->ref, q, "ref") && text_field(leg->sid, sizeof leg->sid, q, "sid") &&
           text_field(leg->to, sizeof leg->to, q, "to");
}

static bool read_line_of(struct line *l, const struct json *q)
{
    struct line_settings *set = &l->set;
    bool good = text_field(l->ref, sizeof l->ref, q, "ref") && text_field(l->room, sizeof l->room, q, "room") &&
                text_field(l->recording_sid, sizeof l->recording_sid, q, "recording") &&
                text_field(set->own, sizeof set->own, q, "own") &&
                text_field(set->model_uri, sizeof set->model_uri, q, "model_uri");
    unsigned n = 0;

    set->outbound = json_get_bool(q, "outbound", true);
    set->detect_machine = json_get_bool(q, "detect_machine", false);
    set->record = json_get_bool(q, "record", false);
    set->voicemail = (enum line_voicemail)json_get_int(q, "voicemail", VOICEMAIL_HANGUP);
    set->ring_ms = (uint32_t)json_get_int(q, "ring_ms", 30000);
    set->max_ms = (uint32_t)json_get_int(q, "max_ms", 600000);
    for (const struct json *leg = json_first(json_get(q, "legs")); leg != NULL && n < LINE_PARTIES;
         leg = json_next(leg))
        good = read_leg(&l->legs[n++], leg) && good;
    return good;
}

static int send_order(struct ask *a)
{
    const struct json *q = json_get(a->q, "order");
    int64_t leg = json_get_int(q, "leg", -1);
    struct carrier_order o = {
        .cmd = (unsigned)a->id, .what = (enum line_cmd)json_get_int(q, "what", 0), .call = STR("call_1"),
        .line = &a->line, .leg = leg >= 0 && leg < (int64_t)LINE_PARTIES ? &a->line.legs[leg] : NULL,
        .text = json_get_str(q, "text"), .token = json_get_str(q, "token"),
    };
    int rc = read_line_of(&a->line, json_get(q, "line")) ? 0 : ERR_INVALID;

    if (rc == 0)
        rc = a->cli->carrier->ops->command(a->cli->carrier, &o);
    if (rc == 0)
        atomic_fetch_add(&a->cli->open, 1); /* for the answer */
    return rc;
}

/* ---- recordings ---- */

static void on_bytes(void *arg, struct str data)
{
    (void)buf_puts(&((struct ask *)arg)->got, data);
}

static void on_whole(void *arg, int status, struct str text)
{
    struct ask *a = arg;
    unsigned char hash[32];
    char hex[65] = "";
    struct buf b;

    id_sha256(hash, buf_str(&a->got));
    for (unsigned i = 0; i < 32; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", hash[i]);
    begin(&b, a->id);
    jw_kint(&b, "status", status);
    jw_kstr(&b, "text", text);
    jw_kint(&b, "bytes", (int64_t)a->got.n);
    jw_kstrc(&b, "sha256", hex);
    jw_close(&b, '}');
    print(&b);
    ask_free(a);
}

static void on_erased(void *arg, int status)
{
    on_whole(arg, status, STR(""));
}

static int transfer(struct ask *a)
{
    const struct json *f = json_get(a->q, "fetch");
    struct carrier *c = a->cli->carrier;
    struct carrier_fetch fetch = {.on_data = on_bytes, .on_done = on_whole, .arg = a,
                                  .channels = (unsigned)json_get_int(f, "channels", 1),
                                  .max_bytes = (uint64_t)json_get_int(f, "max_bytes", 0)};

    if (f != NULL)
        return c->ops->fetch(c, json_get_str(f, "sid"), &fetch);
    return c->ops->erase(c, json_get_str(json_get(a->q, "erase"), "sid"), on_erased, a);
}

static void run_ask(struct loop_msg *m)
{
    struct ask *a = (struct ask *)m;
    bool order = json_get(a->q, "order") != NULL;
    int rc = order ? send_order(a) : transfer(a);
    struct buf b;

    if (rc < 0) {
        begin(&b, a->id);
        jw_kstrc(&b, "rc", err_name(rc));
        jw_close(&b, '}');
        print(&b);
    }
    if (rc < 0 || order)
        ask_free(a);
}

/* ---- the program ---- */

static bool take(struct cli *c, struct str text)
{
    struct json *q = NULL;
    struct err e = {0};
    struct ask *a;
    struct buf out;

    if (json_parse(&q, text, &e) < 0) {
        (void)fprintf(stderr, "carrier_cli: %s\n", e.text);
        return false;
    }
    if (json_get(q, "order") != NULL || json_get(q, "fetch") != NULL || json_get(q, "erase") != NULL) {
        a = mem_zalloc(sizeof *a);
        if (a == NULL || c->loop == NULL)
            return false;
        a->msg.run = run_ask;
        a->cli = c;
        a->q = q;
        a->id = json_get_int(q, "id", 0);
        buf_init(&a->got, 64u << 20);
        atomic_fetch_add(&c->open, 1);
        return loop_post(c->loop, &a->msg) == 0;
    }
    begin(&out, json_get_int(q, "id", 0));
    if (json_get(q, "sig") != NULL)
        answer_sig(json_get(q, "sig"), &out);
    else if (json_get(q, "twiml") != NULL)
        answer_twiml(json_get(q, "twiml"), &out);
    else if (c->carrier != NULL)
        answer_hook(c->carrier, json_get(q, "hook"), &out);
    jw_close(&out, '}');
    print(&out);
    json_free(q);
    return true;
}

static void log_sink(void *ctx, enum log_level level, struct str text)
{
    (void)ctx;
    (void)level;
    (void)fprintf(stderr, "%.*s\n", STR_ARG(text));
}

struct turn {
    struct loop_msg msg;
    struct cli *cli;
};

static void open_carrier(struct loop_msg *m)
{
    struct cli *c = ((struct turn *)m)->cli;
    struct err e = {0};

    c->rc = twilio_open(&c->carrier, c->loop, &c->config, on_answer, c, &c->log, &e);
    if (c->rc < 0)
        (void)fprintf(stderr, "carrier_cli: %s\n", e.text);
    atomic_store(&c->done, true);
}

static void on_closed(void *arg)
{
    loop_stop(((struct cli *)arg)->loop);
}

static void close_carrier(struct loop_msg *m)
{
    struct cli *c = ((struct turn *)m)->cli;

    if (c->carrier != NULL)
        c->carrier->ops->close(c->carrier, on_closed, c);
    else
        on_closed(c);
}

static bool start(struct cli *c, int argc, char **argv)
{
    static struct turn open_turn;
    struct err e = {0};

    c->tokens[0] = argv[3];
    c->config = (struct twilio_config){
        .base_url = str_of(argv[1]), .account_sid = str_of(argv[2]), .auth_tokens = c->tokens, .n_auth_tokens = 1,
        .public_url = str_of(argv[4]), .recording_channels = STR("dual"),
        .api_key_sid = str_of(argc > 6 ? argv[5] : ""), .api_key_secret = str_of(argc > 6 ? argv[6] : ""),
    };
    log_init(&c->log, log_sink, NULL, LOG_INFO);
    if (loop_open(&c->loop, &c->log, &e) < 0 || loop_start(c->loop, NULL, NULL, &e) < 0)
        return false;
    open_turn = (struct turn){.msg = {.run = open_carrier}, .cli = c};
    if (loop_post(c->loop, &open_turn.msg) < 0)
        return false;
    while (!atomic_load(&c->done))
        (void)usleep(1000);
    return c->rc == 0;
}

static int end(struct cli *c)
{
    static struct turn close_turn;
    int rc;

    for (unsigned i = 0; i < WAIT_MS && atomic_load(&c->open) > 0; i++)
        (void)usleep(1000);
    close_turn = (struct turn){.msg = {.run = close_carrier}, .cli = c};
    (void)loop_post(c->loop, &close_turn.msg);
    rc = loop_close(c->loop);
    printf("{\"end\":%d,\"open\":%u}\n", rc, atomic_load(&c->open));
    return rc;
}

int main(int argc, char **argv)
{
    static struct cli cli;
    char *text = NULL;
    size_t cap = 0;
    ssize_t n;
    bool good = argc < 5 || start(&cli, argc, argv);

    while (good && (n = getline(&text, &cap, stdin)) > 0)
        good = take(&cli, str_make(text, (size_t)n - (text[n - 1] == '\n')));
    free(text);
    if (cli.loop != NULL && end(&cli) != 0)
        good = false;
    return good ? 0 : 1;
}
