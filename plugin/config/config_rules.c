/* SPDX-License-Identifier: MIT */
#include "plugin/base/phone.h"
#include "plugin/base/secret.h"
#include "plugin/config/config_token.h"
#include "plugin/config/config_parts.h"
#include "plugin/proto/sig.h"
#include "plugin/proto/url.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define VOICE "channels.voice."
#define TOKEN_BYTES_SHORT 16u
#define LANGUAGE_BYTES_MAX 3u

const struct config_key *config_key_of(const char *path)
{
    return &config_keys[config_key_index(str_of(path))];
}

bool config_is_set(struct config_reader *r, const char *path)
{
    return config_value_at(r, path)->n > 0;
}

bool config_is_good(struct config_reader *r, const char *path)
{
    const struct config_value *v = config_value_at(r, path);

    return v->n > 0 && !v->bad;
}

static bool is_true(struct config_reader *r, const char *path)
{
    return str_eq(config_text_at(r, path), STR("true"));
}

bool config_is_visible(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~')
            return false;
    return true;
}

/* ---- what must be there ---- */

static void require(struct config_reader *r, const char *path, const char *what)
{
    enum config_origin origin;
    unsigned line;

    if (config_is_set(r, path) || config_value_at(r, path)->bad)
        return;
    config_place(r, path, &origin, &line);
    config_fault(r, origin, line, str_of(path), "%s", what);
}

static void check_required(struct config_reader *r)
{
    if (r->file_cut)
        return;
    /* A channel that is switched off may be half configured. */
    if (config_value_at(r, VOICE "enabled")->origin < CONFIG_FROM_DEFAULT &&
        !is_true(r, VOICE "enabled"))
        return;
    require(r, VOICE "openai.api_key",
            "missing; write your OpenAI API key, or set OPENAI_API_KEY in the environment");
    if (is_true(r, "security.voice.verify_webhook_signatures"))
        require(r, VOICE "webhook.secret",
                "missing; write the secret that OpenAI showed when the webhook was made (whsec_...), "
                "or set WEBHOOK_SECRET in the environment");
}

/* ---- texts that end in header lines ---- */

static void check_headers(struct config_reader *r)
{
    static const char *const paths[] = {VOICE "openai.api_key", VOICE "openai.project_id",
                                        VOICE "openai.model", VOICE "openai.transcription_model",
                                        VOICE "api.token", "openclaw.gateway_token"};

    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (config_is_good(r, paths[i]) && !config_is_visible(config_text_at(r, paths[i])))
            CONFIG_FAULT(r, paths[i], "must be printable ASCII without blanks; a line end or quote may "
                               "have come along when it was pasted");
}

static void check_tokens(struct config_reader *r)
{
    static const char path[] = VOICE "api.tokens", whole[] = VOICE "api.token";
    struct config_value *v = config_value_at(r, path);
    bool tokens = config_is_good(r, path);
    unsigned char hash[32];
    unsigned scopes;

    for (unsigned i = 0; tokens && i < v->n; i++)
        if (config_token_read(v->v[i].text, &scopes, hash) < 0)
            config_value_fault(r, config_key_of(path), v, &v->v[i],
                               "%s must be scopes (read, steer or admin, joined by commas), a blank and the SHA-256 of "
                               "the token, 64 hex digits: read,steer 9f86...; `printf %%s \"$TOKEN\" | sha256sum` "
                               "makes it",
                               config_shown(r, v->v[i].name));
    if (config_is_good(r, whole) && str_starts(config_text_at(r, whole), STR("sha256:")) &&
        config_token_hash(config_text_at(r, whole), hash) < 0)
        CONFIG_FAULT(r, whole, "must have 64 hex digits behind sha256:, or be the token itself");
}

static void check_token(struct config_reader *r)
{
    const struct config_value *v = config_value_at(r, VOICE "api.token");

    if (config_is_good(r, VOICE "api.token") && v->v->text.n < TOKEN_BYTES_SHORT)
        config_warning(r, v->origin, v->line, STR(VOICE "api.token"),
                       "is short enough to be guessed; remove it to have one made, or write at "
                       "least %u characters", TOKEN_BYTES_SHORT);
}

static void check_language(struct config_reader *r)
{
    struct str s = config_text_at(r, VOICE "openai.transcription_language");
    bool good = s.n >= 2 && s.n <= LANGUAGE_BYTES_MAX;

    for (size_t i = 0; i < s.n; i++)
        good = good && s.p[i] >= 'a' && s.p[i] <= 'z';
    if (s.n > 0 && !good)
        CONFIG_FAULT(r, VOICE "openai.transcription_language", "must be a code of ISO 639, such as en or de");
}

/* ---- models that OpenAI has announced the end of ---- */

struct ending {
    const char *model, *date, *instead;
};

static void check_ending(struct config_reader *r, const char *path, const struct ending *list,
                         size_t n)
{
    const struct config_value *v = config_value_at(r, path);
    struct str model = config_text_at(r, path);

    for (size_t i = 0; i < n; i++)
        if (str_eqc(model, list[i].model))
            config_warning(r, v->origin, v->line, str_of(path),
                           "OpenAI shuts %s down on %s; write %s", list[i].model, list[i].date,
                           list[i].instead);
}

static void check_models(struct config_reader *r)
{
    static const struct ending speech[] = {
        {"gpt-realtime", "2027-01-20", "gpt-realtime-2.1"},
        {"gpt-realtime-2025-08-28", "2027-01-20", "gpt-realtime-2.1"},
        {"gpt-realtime-mini", "2027-01-20", "gpt-realtime-2.1-mini"},
        {"gpt-realtime-mini-2025-12-15", "2027-01-20", "gpt-realtime-2.1-mini"},
    };
    static const struct ending hearing[] = {
        {"whisper-1", "2027-02-26", "gpt-transcribe"},
        {"gpt-4o-transcribe", "2027-02-26", "gpt-transcribe"},
        {"gpt-4o-transcribe-diarize", "2027-02-26", "gpt-transcribe"},
        {"gpt-4o-mini-transcribe", "2027-02-26", "gpt-transcribe"},
        {"gpt-4o-mini-transcribe-2025-12-15", "2027-02-26", "gpt-transcribe"},
    };

    check_ending(r, VOICE "openai.model", speech, sizeof speech / sizeof *speech);
    check_ending(r, VOICE "openai.transcription_model", hearing, sizeof hearing / sizeof *hearing);
}

/* ---- URLs ---- */

static bool is_http_abroad(struct str text)
{
    struct url url;

    return url_read(&url, text, NULL) == 0 && !url.tls && !url_is_loopback(url.host);
}

static bool is_loopback_url(struct str text)
{
    struct url url;

    return url_read(&url, text, NULL) == 0 && url_is_loopback(url.host);
}

/* Addresses that no carrier on the Internet reaches (RFC 1918, 3927, 6598; 4193, 4291). */
static bool is_private_v4(const unsigned char a[4])
{
    return a[0] == 0 || a[0] == 10 || (a[0] == 172 && (a[1] & 0xf0) == 16) ||
           (a[0] == 192 && a[1] == 168) || (a[0] == 169 && a[1] == 254) ||
           (a[0] == 100 && (a[1] & 0xc0) == 64) || a[0] >= 224;
}

static bool is_private_v6(const unsigned char a[16])
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff}, zero[16];

    return memcmp(a, zero, 15) == 0 || (a[0] & 0xfe) == 0xfc || a[0] == 0xff ||
           (a[0] == 0xfe && (a[1] & 0x80) == 0x80) ||
           (memcmp(a, mapped, 12) == 0 && is_private_v4(a + 12));
}

static bool is_public_host(struct str host)
{
    static const char *const inner[] = {".local", ".internal", ".lan", ".home.arpa", ".localhost",
                                        ".invalid", ".test"};
    unsigned char a[16];
    char text[254];

    if (!str_copy(text, sizeof text, host))
        return false;
    if (inet_pton(AF_INET, text, a) == 1)
        return !is_private_v4(a);
    if (inet_pton(AF_INET6, text, a) == 1)
        return !is_private_v6(a);
    for (size_t i = 0; i < sizeof inner / sizeof *inner; i++)
        if (host.n >= strlen(inner[i]) &&
            str_ieq(str_skip(host, host.n - strlen(inner[i])), str_of(inner[i])))
            return false;
    return str_find(host, '.') < host.n;
}

static void check_public_url(struct config_reader *r)
{
    struct str text = config_text_at(r, VOICE "webhook.base_url");
    struct url url;

    if (text.n == 0 || url_read(&url, text, NULL) < 0 || url_is_loopback(url.host))
        return;
    if (!url.tls)
        CONFIG_FAULT(r, VOICE "webhook.base_url", "must begin with https://; webhooks are sent to no "
                                           "other");
    else if (!is_public_host(url.host))
        CONFIG_FAULT(r, VOICE "webhook.base_url",
              "%s cannot be reached from outside; write the public name under which the webhook is "
              "registered", config_shown(r, url.host));
}

static void check_urls(struct config_reader *r)
{
    static const char *const strict[] = {VOICE "openai.base_url", VOICE "twilio.base_url"};
    const struct config_value *gateway = config_value_at(r, "openclaw.gateway_url");

    for (size_t i = 0; i < sizeof strict / sizeof *strict; i++)
        if (config_is_good(r, strict[i]) && is_http_abroad(config_text_at(r, strict[i])))
            CONFIG_FAULT(r, strict[i], "must begin with https://; http:// is for loopback alone, since the "
                                "key would travel in the clear");
    if (config_is_good(r, "openclaw.gateway_url") && is_http_abroad(gateway->v->text))
        config_warning(r, gateway->origin, gateway->line, STR("openclaw.gateway_url"),
                       "http:// to another machine: the gateway's token travels in the clear");
    check_public_url(r);
}

/* ---- the listener ---- */

static bool is_loopback_bind(struct config_reader *r)
{
    return url_is_loopback(config_text_at(r, VOICE "webhook.bind"));
}

static void check_bind(struct config_reader *r)
{
    struct config_value *v = config_value_at(r, VOICE "webhook.bind");
    unsigned char a[16];

    if (!config_is_good(r, VOICE "webhook.bind"))
        return;
    if (str_eq(v->v->text, STR("localhost")))
        v->v->text = STR("127.0.0.1");
    if (inet_pton(AF_INET, v->v->text.p, a) != 1 && inet_pton(AF_INET6, v->v->text.p, a) != 1)
        CONFIG_FAULT(r, VOICE "webhook.bind", "must be an IP address such as 127.0.0.1 or 0.0.0.0, not %s",
              config_shown(r, v->v->text));
    else if (!is_loopback_bind(r) && !config_is_set(r, VOICE "webhook.tls_cert"))
        config_warning(r, v->origin, v->line, STR(VOICE "webhook.bind"),
                       "other machines reach the API without encryption; set webhook.tls_cert and "
                       "tls_key, or let a proxy here do it");
}

static void check_readable(struct config_reader *r, const char *path)
{
    struct config_value *v = config_value_at(r, path);
    struct buf b;
    struct err e = {0};
    int rc;

    if (!config_is_good(r, path))
        return;
    buf_init(&b, (1u << 20) + 8192);
    rc = config_file_read(&b, v->v->text.p, 1u << 20, &e);
    secret_wipe(b.p, b.n);
    buf_free(&b);
    if (rc == ERR_NOMEM)
        r->scratch.rc = rc;
    else if (rc < 0)
        CONFIG_FAULT(r, path, "%s cannot be read: %s", config_shown(r, v->v->text), e.text);
}

static void check_tls(struct config_reader *r)
{
    static const char cert[] = VOICE "webhook.tls_cert", key[] = VOICE "webhook.tls_key";

    if (config_is_set(r, cert) && !config_is_set(r, key))
        CONFIG_FAULT(r, cert, "needs webhook.tls_key, the certificate's private key, beside it");
    if (config_is_set(r, key) && !config_is_set(r, cert))
        CONFIG_FAULT(r, key, "needs webhook.tls_cert, the key's certificate, beside it");
    check_readable(r, cert);
    check_readable(r, key);
    check_readable(r, VOICE "openai.ca_file");
}

static void check_verify(struct config_reader *r)
{
    static const char verify[] = "security.voice.verify_webhook_signatures";
    struct str url = config_text_at(r, VOICE "webhook.base_url");

    if (!config_is_good(r, verify) || is_true(r, verify))
        return;
    if (!is_loopback_bind(r))
        CONFIG_FAULT(r, verify, "may be false only while webhook.bind is a loopback address; else anybody "
                         "could start calls");
    else if (url.n > 0 && !is_loopback_url(url))
        CONFIG_FAULT(r, verify, "may be false only without a public webhook.base_url; else anybody could "
                         "start calls");
}

static void check_secrets(struct config_reader *r)
{
    static const char path[] = VOICE "webhook.secret";
    struct config_value *v = config_value_at(r, path);

    if (!config_is_good(r, path))
        return;
    for (unsigned i = 0; i < v->n; i++) {
        struct sig_keys *keys = NULL;
        struct err e = {0};
        int rc = sig_keys_open(&keys, &v->v[i].text, 1, &e);

        sig_keys_free(keys);
        if (rc == ERR_NOMEM)
            r->scratch.rc = rc;
        else if (rc < 0)
            config_value_fault(r, config_key_of(path), v, &v->v[i],
                               "cannot be a webhook secret; copy it whole from OpenAI's webhook "
                               "settings: whsec_ and base64 behind it");
    }
}

/* ---- numbers, PIN, files in the workspace ---- */

void config_check_numbers(struct config_reader *r, const char *path)
{
    struct config_value *v = config_value_at(r, path);

    if (!config_is_good(r, path))
        return;
    for (unsigned i = 0; i < v->n; i++)
        if (!phone_is_e164(v->v[i].text))
            config_value_fault(r, config_key_of(path), v, &v->v[i],
                               "must be a number in E.164 such as +15551234567 (+, country code, "
                               "digits alone), not %s", config_shown(r, v->v[i].shown));
}

static void check_lists(struct config_reader *r)
{
    static const char enabled[] = "security.voice.whitelist_enabled";

    config_check_numbers(r, "security.voice.whitelist");
    config_check_numbers(r, "security.voice.blacklist");
    if (is_true(r, enabled) && !config_is_set(r, "security.voice.whitelist") &&
        !config_value_at(r, "security.voice.whitelist")->bad)
        config_warning(r, config_value_at(r, enabled)->origin, config_value_at(r, enabled)->line,
                       str_of(enabled), "with an empty whitelist nobody can call");
}

static void check_pin(struct config_reader *r)
{
    static const char path[] = "security.voice.tools.pin_hash";
    struct err e = {0};

    if (config_is_good(r, path) && secret_pin_check(config_text_at(r, path), &e) < 0)
        CONFIG_FAULT(r, path, "must be scrypt$N$r$p$salt$hash (the sample configuration shows how to make "
                       "it): %s", e.text);
}

static bool leaves_folder(struct str path)
{
    struct str part;

    if (path.n > 0 && (path.p[0] == '/' || path.p[0] == '~'))
        return true;
    while (str_split(&path, '/', &part))
        if (str_eq(part, STR("..")))
            return true;
    return false;
}

static void check_workspace_files(struct config_reader *r)
{
    static const char *const paths[] = {"memory.voice.call_summaries_file",
                                        "memory.voice.caller_history_file"};

    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (config_is_good(r, paths[i]) && leaves_folder(config_text_at(r, paths[i])))
            CONFIG_FAULT(r, paths[i], "must be a path inside the workspace, such as memory/calls.md");
}

/* ---- numbers that depend on each other ---- */

static long long int_at(struct config_reader *r, const char *path)
{
    long long n = 0;

    (void)config_int_read(config_text_at(r, path), &n);
    return n;
}

static void check_times(struct config_reader *r)
{
    const struct config_value *filler = config_value_at(r, VOICE "call.filler_after_ms");

    if (config_is_good(r, VOICE "call.filler_after_ms") && config_is_good(r, VOICE "call.tool_timeout_ms") &&
        filler->origin < CONFIG_FROM_DEFAULT &&
        int_at(r, VOICE "call.filler_after_ms") >= int_at(r, VOICE "call.tool_timeout_ms"))
        config_warning(r, filler->origin, filler->line, STR(VOICE "call.filler_after_ms"),
                       "is not below call.tool_timeout_ms: nothing will be said in between");
}

static void check_agent_file(struct config_reader *r)
{
    const struct config_value *v = config_value_at(r, VOICE "agent_file");

    /* The gateway fills defaults in; that one is not there is no news. */
    if (config_is_good(r, VOICE "agent_file") && v->origin < CONFIG_FROM_DEFAULT &&
        !str_eqc(v->v->shown, config_key_of(VOICE "agent_file")->def) &&
        access(v->v->text.p, R_OK) != 0 && errno == ENOENT)
        config_warning(r, v->origin, v->line, STR(VOICE "agent_file"),
                       "%s is not there; call.default_instructions are used until it is",
                       config_shown(r, v->v->text));
}

void config_check_rules(struct config_reader *r)
{
    check_required(r);
    check_headers(r);
    check_token(r);
    check_tokens(r);
    check_language(r);
    check_models(r);
    check_bind(r);
    check_urls(r);
    check_tls(r);
    check_verify(r);
    check_secrets(r);
    check_lists(r);
    check_pin(r);
    check_workspace_files(r);
    check_times(r);
    check_agent_file(r);
    config_check_calling(r);
    config_check_costs(r);
}
