/* SPDX-License-Identifier: MIT */
/*
 * The way from outside: GET /health through the public address must come back from this very instance, with a number
 * that was made up a moment ago; then signed webhooks without effect must arrive there as they were sent. Also the
 * other end of these probes.
 */
#include "plugin/check_int.h"

#include "plugin/base/clock.h"
#include "plugin/base/id.h"
#include "plugin/base/json.h"
#include "plugin/lines_int.h"
#include "plugin/net/httpc.h"
#include "plugin/net/httpd.h"
#include "plugin/proto/sig.h"
#include "plugin/realtime/rt_webhook.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define REACH_MS 10000u
#define BODY_BYTES 65536u
#define PROBE_TYPE "voice.check"
#define SIGNATURE_BYTES 96
#define TARGET_BYTES 120

/* ---- The other end ---- */

static bool is_nonce(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (str_find(STR("0123456789abcdef"), s.p[i]) == 16)
            return false;
    return s.n == CHECK_NONCE_BYTES - 1;
}

bool check_health(struct app *app, struct str query, struct buf *out)
{
    struct str nonce = str_skip(query, 6);

    if (!str_starts(query, STR("probe=")) || !is_nonce(nonce))
        return false;
    jw_open(out, '{');
    jw_kstrc(out, "status", app_status_word(app));
    jw_kstrc(out, "instance", app->instance);
    jw_kstr(out, "probe", nonce);
    jw_close(out, '}');
    return true;
}

bool check_is_probe(struct str body, struct buf *answer)
{
    struct json *doc = NULL;
    struct str nonce;
    bool is = json_parse(&doc, body, NULL) == 0 && str_eq(json_get_str(doc, "type"), STR(PROBE_TYPE));

    nonce = json_str(json_at(doc, "data", "probe"));
    is = is && is_nonce(nonce);
    if (is) {
        jw_open(answer, '{');
        jw_kbool(answer, "ok", true);
        jw_kbool(answer, "ignored", true);
        jw_kstr(answer, "probe", nonce);
        jw_close(answer, '}');
    }
    json_free(doc);
    return is;
}

/* What is no probe comes again, or is for an instance that does take calls. */
static void come_again(struct httpd_exchange *x)
{
    (void)httpd_reply_header(x, "Retry-After", STR("5"));
    httpd_reply(x, 503, "application/json", STR("{\"error\":\"only a check runs here; try again\"}"));
}

static void serve_webhook(struct app *app, struct httpd_exchange *x)
{
    struct buf b;

    if (!webhook_verified(app, x))
        return;
    buf_init(&b, 1024);
    if (check_is_probe(httpd_body(x), &b))
        httpd_reply(x, 200, "application/json", buf_str(&b));
    else
        come_again(x);
    buf_free(&b);
}

void check_serve(void *arg, struct httpd_exchange *x)
{
    struct app *app = arg;
    struct str path = httpd_path(x);
    struct buf b;

    buf_init(&b, 1024);
    if (str_eq(path, STR("/health")) && check_health(app, httpd_query(x), &b))
        httpd_reply(x, 200, "application/json", buf_str(&b));
    else if (str_eq(path, STR("/health")))
        httpd_reply(x, 503, "application/json", STR("{\"status\":\"checking\"}"));
    else if (str_eq(path, STR("/webhook")) && str_eq(httpd_method(x), STR("POST")))
        serve_webhook(app, x);
    else if (str_eq(path, STR("/twilio/status")) && app->lines != NULL && app->lines->carrier != NULL)
        lines_hook(app->lines, x);
    else
        come_again(x);
    buf_free(&b);
}

/* ---- What came back instead ---- */

/* Where a proxy or tunnel must lead to. */
static void target_of(const struct app *app, char out[TARGET_BYTES])
{
    const struct config *c = app->config;

    (void)snprintf(out, TARGET_BYTES, "%s://%.64s:%d", c->webhook.tls_cert[0] ? "https" : "http", c->webhook.bind,
                   app->httpd != NULL ? httpd_port(app->httpd) : c->webhook.port);
}

/* The request got no answer. */
static void tell_silence(struct findings *f, const char *check, const struct httpc_result *res, const char *target)
{
    struct str text = res->text.n > 0 ? res->text : str_of(err_name(res->err));
    char cure[FINDING_TEXT_BYTES];

    if (res->err == ERR_TLS)
        (void)snprintf(cure, sizeof cure, "Give the server of that address a certificate that a public authority "
                       "signed for its name, with the chain; OpenAI and Twilio take no other.");
    else if (res->err == ERR_TIMEOUT || res->err == -ETIMEDOUT)
        (void)snprintf(cure, sizeof cure, "Open the firewall for that port, and let the proxy or tunnel lead to %s.",
                       target);
    else if (res->err == -ECONNREFUSED)
        (void)snprintf(cure, sizeof cure, "Nothing listens there: start the proxy or tunnel and let it lead to %s.",
                       target);
    else
        (void)snprintf(cure, sizeof cure, "Compare channels.voice.webhook.base_url with the name and port of your "
                       "proxy or tunnel, which must lead to %s.", target);
    finding_add(f, FINDING_FAIL, check, cure, "no answer: %.*s", STR_ARG(str_head(text, 300)));
}

/* An answer that is not ours. */
static void tell_stranger(struct findings *f, const char *check, const struct httpc_result *res, const char *target)
{
    char cure[FINDING_TEXT_BYTES];
    const char *what = "another program answers";

    (void)snprintf(cure, sizeof cure, "Let the proxy or tunnel lead every path, unchanged, to %s.", target);
    if (res->status / 100 == 3) {
        what = "it is sent elsewhere, which OpenAI and Twilio do not follow";
        (void)snprintf(cure, sizeof cure, "Write the address it ends at into channels.voice.webhook.base_url (it was "
                       "sent to %.*s).", STR_ARG(str_head(res->location, 200)));
    } else if (res->status == 401 || res->status == 403) {
        what = "somebody on the way refuses it";
        (void)snprintf(cure, sizeof cure, "Exempt /webhook, /health and /twilio/ from the proxy's login, firewall or "
                       "bot rules.");
    } else if (res->status == 404) {
        what = "whoever answers does not know the path";
    } else if (res->status >= 502 && res->status <= 504) {
        what = "the proxy or tunnel does not reach the plugin";
        (void)snprintf(cure, sizeof cure, "Let it lead to %s, and look whether it may connect there.", target);
    }
    finding_add(f, FINDING_FAIL, check, cure, "answered %d: %s", res->status, what);
}

/* ---- Signed webhooks ---- */

static const char *skipped(const struct check_run *r)
{
    return r->app->config->webhook.base_url[0] == '\0' ? "without a public address" : "while webhook.reach fails";
}

static void on_signed(void *arg, const struct httpc_result *res)
{
    struct check_run *r = arg;
    struct findings *f = &r->part[PART_SIGNED];
    struct json *doc = NULL;
    char target[TARGET_BYTES];

    target_of(r->app, target);
    (void)json_parse(&doc, res->body, NULL);
    if (res->status == 0)
        tell_silence(f, "webhook.signed", res, target);
    else if (res->status == 200 && str_eqc(json_get_str(doc, "probe"), r->nonce))
        finding_add(f, FINDING_OK, "webhook.signed", NULL, "a signed webhook arrives as it was sent");
    else if (res->status == 401 && json_get_str(doc, "error").n > 0)
        finding_add(f, FINDING_FAIL, "webhook.signed", "Let the proxy pass body and headers on as they come: no "
                    "rewriting of JSON, no changes of compression or character set. If another process serves this "
                    "address, give both the same channels.voice.webhook.secret.",
                    "our own signature is refused where it arrives (401): the body or the webhook-* headers were "
                    "changed on the way");
    else if (res->status == 400 && json_get_str(doc, "error").n > 0)
        finding_add(f, FINDING_FAIL, "webhook.signed", "Let the proxy pass webhook-id, webhook-timestamp and "
                    "webhook-signature on.", "the webhook arrives without its headers (400)");
    else
        tell_stranger(f, "webhook.signed", res, target);
    json_free(doc);
    check_release(r);
}

static void on_carrier_hook(void *arg, const struct httpc_result *res)
{
    struct check_run *r = arg;
    struct findings *f = &r->part[PART_CARRIER_HOOK];
    char target[TARGET_BYTES];

    target_of(r->app, target);
    if (res->status == 0)
        tell_silence(f, "webhook.carrier", res, target);
    else if (res->status == 200 && str_find_str(res->body, STR("<Response")) < res->body.n)
        finding_add(f, FINDING_OK, "webhook.carrier", NULL, "a callback signed as Twilio signs arrives as it was sent");
    else if (res->status == 401 && str_find_str(res->body, STR("signature")) < res->body.n)
        finding_add(f, FINDING_FAIL, "webhook.carrier", "Let the proxy pass path, query, body and the header "
                    "X-Twilio-Signature on as they come, and write channels.voice.webhook.base_url exactly as the "
                    "proxy is called from outside.",
                    "our own signature as Twilio's is refused where it arrives (401): path, body or header were "
                    "changed on the way");
    else
        tell_stranger(f, "webhook.carrier", res, target);
    check_release(r);
}

struct probe { /* a request on its way out; borrowed */
    const char *method, *path;
    const struct httpc_header *headers;
    unsigned n_headers;
    struct str body;
    void (*fn)(void *arg, const struct httpc_result *res);
};

static void send_probe(struct check_run *r, struct findings *f, const char *check, const struct probe *p)
{
    struct httpc_call *call = NULL;
    const struct httpc_request req = {.method = p->method, .path = str_of(p->path), .headers = p->headers,
                                      .n_headers = p->n_headers, .body = p->body, .timeout_ms = REACH_MS,
                                      .on_done = p->fn, .arg = r};
    int rc;

    check_hold(r);
    rc = httpc_send(r->owner->pool, &req, &call);
    if (rc == 0)
        return;
    finding_add(f, FINDING_FAIL, check, "Try again.", "no request could be sent: %s", err_name(rc));
    check_release(r);
}

static void probe_webhook(struct check_run *r)
{
    struct findings *f = &r->part[PART_SIGNED];
    uint64_t now_s = clock_wall_ms() / 1000;
    char body[400], at[24], id[64], signature[SIGNATURE_BYTES];
    const struct httpc_header headers[] = {
        {STR("Content-Type"), STR("application/json")}, {STR("User-Agent"), STR("openclaw-voice check")},
        {STR("webhook-id"), STR_NONE}, {STR("webhook-timestamp"), STR_NONE}, {STR("webhook-signature"), STR_NONE}};
    struct httpc_header own[sizeof headers / sizeof *headers];
    int n;

    if (r->app->keys == NULL) {
        finding_add(f, FINDING_SKIP, "webhook.signed", NULL, "signatures are not verified");
        return;
    }
    /* Blanks, escapes and letters that somebody who reads and writes it again would write otherwise. */
    n = snprintf(body, sizeof body, "{ \"id\":\"evt_%s\", \"object\":\"event\",\"created_at\": %llu,\"type\":\""
                 PROBE_TYPE "\",\"data\" : {\"probe\":\"%s\",\"text\":\"\\u00e4 \xc3\xa4 \\/ 1.0e2\",\"n\":1.50} }\n",
                 r->nonce, (unsigned long long)now_s, r->nonce);
    (void)snprintf(at, sizeof at, "%llu", (unsigned long long)now_s);
    (void)snprintf(id, sizeof id, "wh_%s", r->nonce);
    if (sig_sign(r->app->keys, str_of(id), str_of(at), str_make(body, (size_t)n), signature, sizeof signature) < 0) {
        finding_add(f, FINDING_SKIP, "webhook.signed", NULL, "no signature could be made");
        return;
    }
    memcpy(own, headers, sizeof own);
    own[2].value = str_of(id);
    own[3].value = str_of(at);
    own[4].value = str_of(signature);
    send_probe(r, f, "webhook.signed", &(struct probe){"POST", "/webhook", own, sizeof own / sizeof *own,
                                                       str_make(body, (size_t)n), on_signed});
}

static void probe_carrier(struct check_run *r)
{
    struct findings *f = &r->part[PART_CARRIER_HOOK];
    const struct carrier *c = check_has_carrier(r->app) ? r->app->lines->carrier : NULL;
    struct carrier_probe p = {.path = ""};

    if (c == NULL || c->ops->probe == NULL)
        return;
    if (c->ops->probe(c, &p) == 0) {
        const struct httpc_header headers[] = {{STR("Content-Type"), str_of(p.content_type)},
                                               {STR("User-Agent"), STR("openclaw-voice check")},
                                               {str_of(p.header), p.signature}};

        send_probe(r, f, "webhook.carrier", &(struct probe){"POST", p.path, headers, sizeof headers / sizeof *headers,
                                                            p.body, on_carrier_hook});
    } else {
        finding_add(f, FINDING_SKIP, "webhook.carrier", NULL, "no signature could be made");
    }
    buf_free(&p.text);
}

/* ---- The way there ---- */

static void skip_signed(struct check_run *r)
{
    finding_add(&r->part[PART_SIGNED], FINDING_SKIP, "webhook.signed", NULL, "not tried %s", skipped(r));
    if (check_has_carrier(r->app))
        finding_add(&r->part[PART_CARRIER_HOOK], FINDING_SKIP, "webhook.carrier", NULL, "not tried %s", skipped(r));
}

/* Our answer, by somebody. */
static bool tell_answered(struct check_run *r, struct findings *f, struct str instance, const char *target)
{
    uint64_t ms = clock_mono_ms() - r->asked_ms;
    const char *url = r->app->config->webhook.base_url;
    char cure[FINDING_TEXT_BYTES];

    if (str_eqc(instance, r->app->instance)) {
        finding_add(f, FINDING_OK, "webhook.reach", NULL, "%s leads here (%llu ms)", url, (unsigned long long)ms);
        return true;
    }
    if (r->app->check_only && r->app->httpd == NULL) {
        finding_add(f, FINDING_OK, "webhook.reach", NULL, "%s leads to a running voice plugin (%llu ms); it holds the "
                    "port %d, so this check ran beside it", url, (unsigned long long)ms, r->app->config->webhook.port);
        return true;
    }
    (void)snprintf(cure, sizeof cure, "Let the proxy or tunnel of %s lead to %s, or stop the other one.", url, target);
    finding_add(f, FINDING_FAIL, "webhook.reach", cure, "another instance of the plugin answers at %s: calls go there",
                url);
    return false;
}

static void on_health(void *arg, const struct httpc_result *res)
{
    struct check_run *r = arg;
    struct findings *f = &r->part[PART_REACH];
    struct json *doc = NULL;
    char target[TARGET_BYTES];
    bool good = false;

    target_of(r->app, target);
    (void)json_parse(&doc, res->body, NULL);
    if (res->status == 0)
        tell_silence(f, "webhook.reach", res, target);
    else if (res->status == 200 && str_eqc(json_get_str(doc, "probe"), r->nonce))
        good = tell_answered(r, f, json_get_str(doc, "instance"), target);
    else if (res->status == 200 && json_get_str(doc, "status").n > 0)
        finding_add(f, FINDING_FAIL, "webhook.reach", "Let no cache stand before these paths, and the query come "
                    "through; if the plugin was updated, restart the old one.",
                    "an answer like ours comes, but not to this question");
    else
        tell_stranger(f, "webhook.reach", res, target);
    json_free(doc);
    if (good) {
        probe_webhook(r);
        probe_carrier(r);
    } else {
        skip_signed(r);
    }
    check_release(r);
}

static int open_pool(struct checks *c, struct err *e)
{
    const struct config *config = c->app->config;
    struct httpc_config pool = {.base_url = str_of(config->webhook.base_url), .max_body_bytes = BODY_BYTES};
    struct url url;
    int rc = 0;

    if (c->pool != NULL)
        return 0;
    rc = url_read(&url, pool.base_url, e);
    if (rc == 0 && url.tls && c->tls == NULL)
        rc = tls_ctx_client(&c->tls, config->openai.ca_file[0] != '\0' ? config->openai.ca_file : NULL, e);
    pool.tls = c->tls;
    return rc < 0 ? rc : httpc_open(&c->pool, c->app->loop, &pool, &c->app->log, e);
}

static void tell_secrets(struct check_run *r)
{
    const struct config *c = r->app->config;
    struct findings *f = &r->part[PART_REACH];
    unsigned raw = 0;

    for (unsigned i = 0; i < c->webhook.secrets.n; i++)
        raw += strncmp(c->webhook.secrets.v[i], "whsec_", 6) != 0;
    if (r->app->keys == NULL)
        finding_add(f, FINDING_WARN, "webhook.secret", "Set security.voice.verify_webhook_signatures: true.",
                    "signatures are not verified: whoever reaches the port can begin calls");
    else if (raw > 0)
        finding_add(f, FINDING_WARN, "webhook.secret",
                    "Copy it whole from OpenAI's webhook settings: whsec_ and base64.",
                    "a secret does not begin with whsec_ as OpenAI's do; it is used as it stands");
    else
        finding_add(f, FINDING_OK, "webhook.secret", NULL,
                    "%u secret%s of OpenAI's form; whether OpenAI signs with it shows with its first webhook",
                    c->webhook.secrets.n, c->webhook.secrets.n == 1 ? "" : "s");
}

static void tell_listen(struct check_run *r)
{
    struct findings *f = &r->part[PART_REACH];
    char target[TARGET_BYTES];

    target_of(r->app, target);
    if (r->app->httpd != NULL)
        finding_add(f, FINDING_OK, "webhook.listen", NULL, "listening at %s%s", target,
                    r->app->check_only ? " for the length of this check" : "");
    else
        finding_add(f, FINDING_WARN, "webhook.listen", "If that is not the running channel, set "
                    "channels.voice.webhook.port to a free one.", "another process listens at %s", target);
}

void check_reach(struct check_run *r)
{
    const struct config *c = r->app->config;
    struct findings *f = &r->part[PART_REACH];
    struct err e = {0};
    struct url url;
    char path[64];

    tell_secrets(r);
    tell_listen(r);
    if (c->webhook.base_url[0] == '\0') {
        finding_add(f, c->twilio.ready ? FINDING_FAIL : FINDING_WARN, "webhook.url", "Write the public https URL of "
                    "this server into channels.voice.webhook.base_url (or PUBLIC_URL).",
                    "webhook.base_url is not set%s", c->twilio.ready
                        ? ": Twilio cannot call back, and no call can be placed"
                        : ", so it is not known whether OpenAI reaches this server");
        skip_signed(r);
        return;
    }
    if (url_read(&url, str_of(c->webhook.base_url), NULL) == 0 && url_is_loopback(url.host))
        finding_add(f, FINDING_WARN, "webhook.url", "Write the public https URL of this server.",
                    "%s is reached from this machine alone: neither OpenAI nor Twilio can", c->webhook.base_url);
    if (open_pool(r->owner, &e) < 0) {
        finding_add(f, FINDING_FAIL, "webhook.reach", "Correct channels.voice.webhook.base_url.", "%s", e.text);
        skip_signed(r);
        return;
    }
    r->asked_ms = clock_mono_ms();
    (void)snprintf(path, sizeof path, "/health?probe=%s", r->nonce);
    send_probe(r, f, "webhook.reach", &(struct probe){"GET", path, NULL, 0, STR_NONE, on_health});
}
