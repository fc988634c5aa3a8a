/* SPDX-License-Identifier: MIT */
#include "plugin/carrier/twilio_int.h"

#include "plugin/base/mem.h"
#include "plugin/base/secret.h"
#include "plugin/proto/form.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT_URL "https://api.twilio.com"
#define VERSION_PATH "/2010-04-01/"
#define REQUEST_MS 10000u
#define COMMAND_MS 20000u /* of a command that has to find something out first */
#define LOOK_MS 40000u
#define FETCH_MS 600000u
#define PENDING_BYTES_MAX (1u << 20)
#define PACE_MS 10u
#define RETRY_AFTER_MS 1000u /* where a 429 does not say */
#define RETRY_AFTER_S_MAX 60u
#define BODY_BYTES_MAX (1u << 20)
#define CONNECTIONS_MAX 32u
#define CONNECTIONS_WARM 2u
#define JSON_CODE_OVER 21220 /* the call is not in a state for it */

/* ---- The instance. ---- */

static void free_secret(char *s)
{
    if (s != NULL)
        secret_wipe(s, strlen(s));
    mem_free(s);
}

static void twilio_free(struct twilio *t)
{
    tls_ctx_free(t->tls);
    sig_twilio_free(t->sig);
    free_secret(t->authorization);
    mem_free(t->account);
    mem_free(t->voice);
    mem_free(t->language);
    mem_free(t->base_url);
    mem_free(t->public_url);
    mem_free(t);
}

/* RFC 4648, 4. */
static void put_base64(struct buf *b, struct str s)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < s.n; i += 3) {
        uint32_t bits = 0;

        for (size_t k = 0; k < 3; k++)
            bits = bits << 8 | (i + k < s.n ? (unsigned char)s.p[i + k] : 0);
        for (size_t k = 0; k < 4; k++)
            (void)buf_putc(b, i + k <= s.n ? digits[bits >> (18 - 6 * k) & 63] : '=');
    }
}

char *twilio_authorization(struct str user, struct str secret)
{
    struct buf plain, b;
    char *text = NULL;

    buf_init(&plain, 1024);
    buf_init(&b, 2048);
    (void)buf_puts(&plain, user);
    (void)buf_putc(&plain, ':');
    (void)buf_puts(&plain, secret);
    (void)buf_puts(&b, STR("Basic "));
    put_base64(&b, buf_str(&plain));
    if (plain.rc == 0 && buf_cstr(&b) != NULL)
        text = buf_steal(&b, NULL);
    if (plain.n > 0)
        secret_wipe(plain.p, plain.n);
    buf_free(&plain);
    buf_free(&b);
    return text;
}

/* https://api[.edge][.region].twilio.com; an edge alone implies us1. */
static char *make_base_url(const struct twilio_config *config)
{
    struct str region = config->region, edge = config->edge;
    struct buf b;
    char *text = NULL;

    if (config->base_url.n > 0 && !str_eqc(config->base_url, DEFAULT_URL))
        return str_dup(config->base_url);
    if (edge.n > 0 && region.n == 0)
        region = STR("us1");
    buf_init(&b, 1024);
    (void)buf_puts(&b, STR("https://api"));
    if (edge.n > 0)
        (void)buf_printf(&b, ".%.*s", STR_ARG(edge));
    if (region.n > 0)
        (void)buf_printf(&b, ".%.*s", STR_ARG(region));
    (void)buf_puts(&b, STR(".twilio.com"));
    if (buf_cstr(&b) != NULL)
        text = buf_steal(&b, NULL);
    buf_free(&b);
    return text;
}

static int check_config(const struct twilio_config *c, struct err *e)
{
    struct url url;
    int rc = url_read(&url, c->public_url, e);

    if (rc < 0)
        return rc;
    if (url.query.n > 0 || str_ends(c->public_url, STR("/")))
        return err_set(e, ERR_INVALID, "webhook.base_url must have no query and no slash at its end");
    if (c->account_sid.n == 0 || c->n_auth_tokens == 0)
        return err_set(e, ERR_INVALID, "twilio.account_sid and twilio.auth_token belong together: give both");
    if ((c->api_key_sid.n > 0) != (c->api_key_secret.n > 0))
        return err_set(e, ERR_INVALID, "twilio.api_key_sid and twilio.api_key_secret belong together: give both");
    return 0;
}

static int open_signature(struct twilio *t, const struct twilio_config *config, struct err *e)
{
    struct str tokens[SIG_TWILIO_TOKENS_MAX];

    if (config->n_auth_tokens > SIG_TWILIO_TOKENS_MAX)
        return err_set(e, ERR_INVALID, "twilio.auth_token: at most %u at one time", SIG_TWILIO_TOKENS_MAX);
    for (unsigned i = 0; i < config->n_auth_tokens; i++)
        tokens[i] = str_of(config->auth_tokens[i]);
    return sig_twilio_open(&t->sig, tokens, config->n_auth_tokens, e);
}

static int open_pool(struct twilio *t, struct str ca_file, struct err *e)
{
    struct httpc_config pool = {
        .base_url = str_of(t->base_url),
        .max_conns = CONNECTIONS_MAX,
        .warm_conns = CONNECTIONS_WARM,
        .max_body_bytes = BODY_BYTES_MAX,
    };
    struct url url;
    char *file = NULL;
    int rc = url_read(&url, pool.base_url, e);

    if (rc == 0 && url.query.n > 0)
        rc = err_set(e, ERR_INVALID, "twilio.base_url has a query");
    if (rc == 0 && url.tls) {
        file = str_dup(ca_file);
        rc = file == NULL ? err_set(e, ERR_NOMEM, "out of memory")
                          : tls_ctx_client(&t->tls, ca_file.n > 0 ? file : NULL, e);
        mem_free(file);
    }
    pool.tls = t->tls;
    return rc < 0 ? rc : httpc_open(&t->pool, t->loop, &pool, t->log, e);
}

int twilio_open(struct carrier **out, struct loop *loop, const struct twilio_config *config, carrier_answer_fn *fn,
                void *arg, const struct log *log, struct err *e)
{
    struct twilio *t;
    int rc = check_config(config, e);

    if (rc < 0)
        return rc;
    t = MEM_NEW(struct twilio);
    if (t == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    t->base = (struct carrier){&twilio_ops, fn, arg};
    t->loop = loop;
    t->log = log;
    t->mono = str_eqc(config->recording_channels, "mono");
    t->account = str_dup(config->account_sid);
    t->public_url = str_dup(config->public_url);
    t->voice = str_dup(config->voice);
    t->language = str_dup(config->language);
    t->base_url = make_base_url(config);
    t->own_key = config->api_key_sid.n > 0;
    t->authorization = t->own_key ? twilio_authorization(config->api_key_sid, config->api_key_secret)
                                  : twilio_authorization(config->account_sid, str_of(config->auth_tokens[0]));
    if (!t->account || !t->public_url || !t->voice || !t->language || !t->base_url || !t->authorization)
        rc = err_set(e, ERR_NOMEM, "out of memory");
    if (rc == 0)
        rc = open_signature(t, config, e);
    if (rc == 0)
        rc = open_pool(t, config->ca_file, e);
    if (rc < 0) {
        twilio_free(t);
        return rc;
    }
    *out = &t->base;
    return 0;
}

/* ---- Jobs. ---- */

struct twilio_job *twilio_job_open(struct twilio *t, uint32_t time_ms)
{
    struct twilio_job *j = MEM_NEW(struct twilio_job);

    if (j == NULL)
        return NULL;
    j->t = t;
    j->deadline_ms = loop_now_ms(t->loop) + time_ms;
    buf_init(&j->body, TWILIO_BODY_BYTES);
    j->next = t->jobs;
    if (j->next != NULL)
        j->next->prev = j;
    t->jobs = j;
    return j;
}

static void unlink_job(struct twilio_job *j)
{
    if (j->prev != NULL)
        j->prev->next = j->next;
    else if (j->t->jobs == j)
        j->t->jobs = j->next;
    if (j->next != NULL)
        j->next->prev = j->prev;
    j->prev = j->next = NULL;
}

void twilio_job_free(struct twilio_job *j)
{
    if (j->http != NULL)
        httpc_cancel(j->http);
    timer_close(j->pace);
    unlink_job(j);
    mem_free(j->look);
    buf_free(&j->body);
    mem_free(j);
}

int twilio_status(const struct httpc_result *r)
{
    return r->err == 0 ? r->status : 0;
}

static void on_done(void *arg, const struct httpc_result *r)
{
    struct twilio_job *j = arg;
    struct json *doc = NULL;

    j->http = NULL;
    if (twilio_status(r) / 100 == 2 && r->body.n > 0 && json_parse(&doc, r->body, NULL) < 0)
        doc = NULL;
    j->reply(j, r, doc);
    json_free(doc);
}

static void on_data(void *arg, struct str data);

int twilio_send(struct twilio_job *j, const char *method, struct str path, struct str body, twilio_reply_fn *reply)
{
    struct twilio *t = j->t;
    struct httpc_header headers[4] = {
        {STR("Authorization"), str_of(j->authorization != NULL ? j->authorization : t->authorization)},
        {STR("User-Agent"), STR("openclaw-voice")},
        {STR("Accept"), j->fetch.on_done != NULL ? STR("audio/*") : STR("application/json")},
        {STR("Content-Type"), STR("application/x-www-form-urlencoded")},
    };
    struct httpc_request req = {
        .method = method,
        .headers = headers,
        .n_headers = body.n > 0 ? 4 : 3,
        .body = body,
        .on_data = j->fetch.on_data != NULL ? on_data : NULL,
        .on_done = on_done,
        .arg = j,
    };
    uint64_t now = loop_now_ms(t->loop), left = j->deadline_ms > now ? j->deadline_ms - now : 0;
    uint64_t most = j->fetch.on_done != NULL ? FETCH_MS : REQUEST_MS;
    struct buf whole;
    int rc;

    if (left == 0)
        return ERR_TIMEOUT;
    req.timeout_ms = (uint32_t)(left < most ? left : most);
    buf_init(&whole, TWILIO_PATH_BYTES);
    if (!str_starts(path, STR(VERSION_PATH)))
        (void)buf_printf(&whole, VERSION_PATH "Accounts/%s", t->account);
    (void)buf_puts(&whole, path);
    req.path = buf_str(&whole);
    j->reply = reply;
    rc = whole.rc < 0 ? whole.rc : httpc_send(t->pool, &req, &j->http);
    buf_free(&whole);
    return rc;
}

/* ---- Answers. ---- */

static const char *name_of(enum line_cmd what)
{
    static const char *const names[] = {
        [LINE_CMD_CREATE] = "create a leg", [LINE_CMD_LOOK_UP] = "look around",
        [LINE_CMD_END_ROOM] = "end the room", [LINE_CMD_END_LEG] = "end a leg", [LINE_CMD_HOLD] = "hold",
        [LINE_CMD_UNHOLD] = "resume", [LINE_CMD_MUTE] = "mute", [LINE_CMD_UNMUTE] = "unmute",
        [LINE_CMD_STAY] = "keep the room", [LINE_CMD_PLAY_DIGITS] = "play digits",
        [LINE_CMD_ANNOUNCE] = "announce", [LINE_CMD_COLLECT] = "collect digits", [LINE_CMD_OFFER] = "offer",
        [LINE_CMD_APOLOGISE] = "apologise", [LINE_CMD_RECORD] = "record",
        [LINE_CMD_RECORD_PAUSE] = "pause the recording", [LINE_CMD_RECORD_RESUME] = "resume the recording",
        [LINE_CMD_RECORD_STOP] = "stop the recording", [LINE_CMD_REFER] = "refer",
    };

    return (size_t)what < sizeof names / sizeof *names && names[what] != NULL ? names[what] : "command";
}

void twilio_finish(struct twilio_job *j, struct carrier_answer *a)
{
    struct carrier *c = &j->t->base;

    unlink_job(j); /* whoever is told may close us */
    a->cmd = j->cmd;
    a->what = j->what;
    if (a->room.n == 0)
        a->room = str_of(j->room);
    if (a->http_status / 100 != 2 && a->http_status != 404)
        log_warn(j->t->log, "twilio: %s: %s, HTTP %d, code %.*s", j->call, name_of(j->what), a->http_status,
                 STR_ARG(a->code.n > 0 ? a->code : STR("none")));
    c->on_answer(c->arg, str_of(j->call), a);
    mem_free(j->look);
    buf_free(&j->body);
    mem_free(j);
}

static uint32_t retry_after(const struct httpc_result *r)
{
    uint64_t s;

    if (!str_u64(str_trim(r->retry_after), &s))
        return RETRY_AFTER_MS;
    return (uint32_t)(s < RETRY_AFTER_S_MAX ? s : RETRY_AFTER_S_MAX) * 1000u;
}

/* Status and the carrier's error body {code, message}; *doc owns its text. */
static void read_failure(struct carrier_answer *a, const struct httpc_result *r, struct json **doc, char code[24])
{
    int64_t number = 0;

    a->http_status = twilio_status(r);
    if (a->http_status == 0)
        a->message = r->text.n > 0 ? r->text : str_of(err_name(r->err));
    else if (json_parse(doc, r->body, NULL) == 0)
        number = json_get_int(*doc, "code", 0);
    if (a->http_status != 0)
        a->message = json_get_str(*doc, "message");
    if (number > 0) {
        (void)snprintf(code, 24, "%" PRId64, number);
        a->code = str_of(code);
    }
    if (a->http_status == 429) {
        a->busy = true;
        a->retry_after_ms = retry_after(r);
    }
}

void twilio_finish_early(struct twilio_job *j, const struct httpc_result *r, int rc)
{
    struct carrier_answer a = {0};
    struct json *doc = NULL;
    char code[24] = "";

    if (r != NULL && twilio_status(r) / 100 == 2)
        a.message = STR("an answer that cannot be read"); /* which must not pass for one */
    else if (r != NULL)
        read_failure(&a, r, &doc, code);
    else if (rc == ERR_NOT_FOUND)
        a.http_status = 404;
    else
        a.message = str_of(err_name(rc));
    twilio_finish(j, &a);
    json_free(doc);
}

/* The request that does it was answered, or not. */
static void on_answer(struct twilio_job *j, const struct httpc_result *r, const struct json *doc)
{
    struct carrier_answer a = {0};
    struct json *error = NULL;
    char code[24] = "";

    if (twilio_status(r) / 100 == 2) {
        a.http_status = r->status;
        a.sid = json_get_str(doc, "call_sid");
        if (a.sid.n == 0 || j->target == TARGET_RECORDINGS)
            a.sid = json_get_str(doc, "sid");
        a.room = json_get_str(doc, "conference_sid");
    } else {
        read_failure(&a, r, &error, code);
        a.maybe_sent = a.http_status == 0 ? r->maybe_sent : a.http_status >= 500;
        if (json_get_int(error, "code", 0) == JSON_CODE_OVER && j->what == LINE_CMD_END_LEG)
            a.http_status = 404;
    }
    twilio_finish(j, &a);
    json_free(error);
}

int twilio_go(struct twilio_job *j)
{
    struct buf path;
    int rc;

    buf_init(&path, TWILIO_PATH_BYTES);
    rc = twilio_path(j, &path);
    if (rc == ERR_NOT_FOUND) {
        rc = j->room[0] == '\0' ? twilio_find_room(j) : twilio_find_leg(j);
    } else if (rc == 0) {
        j->sending = true;
        rc = twilio_send(j, "POST", buf_str(&path), buf_str(&j->body), on_answer);
    }
    buf_free(&path);
    return rc;
}

static int command(struct carrier *c, const struct carrier_order *o)
{
    struct twilio *t = (struct twilio *)c;
    struct twilio_job *j;
    int rc;

    if (t->closing)
        return ERR_CLOSED;
    j = twilio_job_open(t, o->what == LINE_CMD_LOOK_UP ? LOOK_MS : COMMAND_MS);
    if (j == NULL)
        return ERR_NOMEM;
    rc = str_copy(j->call, sizeof j->call, o->call) ? twilio_compose(j, o) : ERR_INVALID;
    if (rc == 0)
        rc = twilio_go(j);
    if (rc < 0)
        twilio_job_free(j);
    return rc;
}

/* ---- Recordings: always by their sid at our base URL, never by a URL that a callback names. ---- */

static void fetch_over(struct twilio_job *j, int status, struct str text)
{
    struct carrier_fetch fetch = j->fetch;

    twilio_job_free(j);
    fetch.on_done(fetch.arg, status, text);
}

/* A network may be faster than a disk. */
static void pace(void *arg)
{
    struct twilio_job *j = arg;
    bool full = j->fetch.pending(j->fetch.arg) > PENDING_BYTES_MAX;

    if (j->http == NULL)
        return;
    httpc_pause(j->http, full);
    if (full)
        timer_set(j->pace, loop_now_ms(j->t->loop) + PACE_MS);
}

static void on_data(void *arg, struct str data)
{
    struct twilio_job *j = arg;

    j->got_bytes += data.n;
    if (j->fetch.max_bytes != 0 && j->got_bytes > j->fetch.max_bytes) {
        fetch_over(j, 0, STR("larger than the limit"));
        return;
    }
    j->fetch.on_data(j->fetch.arg, data);
    if (j->fetch.pending != NULL)
        pace(j);
}

static void on_fetched(struct twilio_job *j, const struct httpc_result *r, const struct json *doc)
{
    int status = twilio_status(r);

    (void)doc;
    if (status == 0)
        fetch_over(j, 0, r->text.n > 0 ? r->text : str_of(err_name(r->err)));
    else if (status / 100 == 3)
        fetch_over(j, status, STR("sent elsewhere, which is not followed"));
    else
        fetch_over(j, status == 200 || status / 100 != 2 ? status : 0, status == 200 ? STR("") : STR("refused"));
}

static int start_transfer(struct twilio_job *j, const char *method, struct str sid, const char *kind,
                          twilio_reply_fn *reply)
{
    struct buf path;
    int rc;

    buf_init(&path, TWILIO_PATH_BYTES);
    (void)buf_puts(&path, STR("/Recordings/"));
    (void)url_escape(&path, sid);
    (void)buf_puts(&path, str_of(kind));
    rc = path.rc < 0 ? path.rc : twilio_send(j, method, buf_str(&path), STR_NONE, reply);
    buf_free(&path);
    if (rc < 0)
        twilio_job_free(j);
    return rc;
}

static int fetch(struct carrier *c, struct str sid, const struct carrier_fetch *fetch)
{
    struct twilio *t = (struct twilio *)c;
    struct twilio_job *j;

    if (t->closing || sid.n == 0)
        return t->closing ? ERR_CLOSED : ERR_INVALID;
    j = twilio_job_open(t, FETCH_MS);
    if (j == NULL)
        return ERR_NOMEM;
    j->fetch = *fetch;
    if (timer_open(&j->pace, t->loop, pace, j) < 0) {
        twilio_job_free(j);
        return ERR_NOMEM;
    }
    return start_transfer(j, "GET", sid, fetch->channels > 1 ? ".wav?RequestedChannels=2"
                                                             : ".wav?RequestedChannels=1", on_fetched);
}

static void on_erased(struct twilio_job *j, const struct httpc_result *r, const struct json *doc)
{
    void (*erased)(void *, int) = j->erased;
    void *arg = j->erased_arg;
    int status = twilio_status(r);

    (void)doc;
    twilio_job_free(j);
    erased(arg, status);
}

static int erase(struct carrier *c, struct str sid, void (*done)(void *arg, int http_status), void *arg)
{
    struct twilio *t = (struct twilio *)c;
    struct twilio_job *j;

    if (t->closing || sid.n == 0)
        return t->closing ? ERR_CLOSED : ERR_INVALID;
    j = twilio_job_open(t, REQUEST_MS);
    if (j == NULL)
        return ERR_NOMEM;
    j->erased = done;
    j->erased_arg = arg;
    return start_transfer(j, "DELETE", sid, ".json", on_erased);
}

/* ---- The rest of the interface. ---- */

unsigned twilio_voiced(const struct twilio *t, const struct carrier_step *steps, unsigned n,
                       struct carrier_step out[TWILIO_STEPS_MAX])
{
    for (unsigned i = 0; i < n && i < TWILIO_STEPS_MAX; i++) {
        out[i] = steps[i];
        out[i].voice = str_of(t->voice);
        out[i].language = str_of(t->language);
    }
    return n < TWILIO_STEPS_MAX ? n : TWILIO_STEPS_MAX;
}

static int render(const struct carrier *c, const struct carrier_step *steps, unsigned n, struct buf *out,
                  const char **content_type)
{
    const struct twilio *t = (const struct twilio *)c;
    struct carrier_step spoken[TWILIO_STEPS_MAX];

    *content_type = "text/xml; charset=utf-8";
    return n > TWILIO_STEPS_MAX ? ERR_INVALID
                                : twiml_render(str_of(t->public_url), spoken, twilio_voiced(t, steps, n, spoken), out);
}

static void on_pool_closed(void *arg)
{
    struct twilio *t = arg;
    void (*closed)(void *) = t->closed;
    void *closed_arg = t->closed_arg;

    twilio_free(t);
    if (closed != NULL)
        closed(closed_arg);
}

static void close_carrier(struct carrier *c, void (*closed)(void *arg), void *arg)
{
    struct twilio *t = (struct twilio *)c;

    if (t->closing)
        return;
    t->closing = true;
    t->closed = closed;
    t->closed_arg = arg;
    while (t->jobs != NULL)
        twilio_job_free(t->jobs);
    while (t->checks != NULL)
        twilio_check_free(t->checks);
    httpc_close(t->pool, on_pool_closed, t);
}

const struct carrier_ops twilio_ops = {
    .name = "twilio",
    .can = LINE_CAN_HOLD | LINE_CAN_MUTE | LINE_CAN_DTMF | LINE_CAN_COLLECT | LINE_CAN_TRANSFER | LINE_CAN_WARM |
           LINE_CAN_INVITE | LINE_CAN_ANNOUNCE | LINE_CAN_RECORD | LINE_CAN_HANGUP | LINE_CAN_SAY,
    .headers = {"x-twilio-signature", "i-twilio-idempotency-token"},
    .cure = "channels.voice.twilio.auth_token and channels.voice.webhook.base_url",
    .verify = twilio_verify,
    .read = twilio_read,
    .render = render,
    .command = command,
    .fetch = fetch,
    .erase = erase,
    .check = twilio_check,
    .probe = twilio_probe,
    .close = close_carrier,
};
