/* SPDX-License-Identifier: MIT */
#include "plugin/base/buf.h"
#include "plugin/base/mem.h"
#include "plugin/config.h"
#include "plugin/config_keys.h"
#include "plugin/destinations.h"
#include "tests/unit/t.h"

#include <sys/stat.h>
#include <unistd.h>

#define HEX64 "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"
#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
/* What every configuration needs; its six lines stand before those under test. */
#define BASE \
    "channels:\n" \
    "  voice:\n" \
    "    openai:\n" \
    "      api_key: sk-base\n" \
    "    webhook:\n" \
    "      secret: " SECRET "\n"

static char dir[64];

struct seen {
    struct config *c;
    struct buf faults, warnings;
    int rc;
};

static const char *in_dir(const char *name)
{
    static char path[2][200];
    static unsigned turn;

    turn ^= 1;
    (void)snprintf(path[turn], sizeof path[turn], "%s/%s", dir, name);
    return path[turn];
}

static void put(const char *name, const char *text)
{
    FILE *f = fopen(in_dir(name), "w");

    T_MUST(f);
    T_MUST(fwrite(text, 1, strlen(text), f) == strlen(text));
    T_MUST(fclose(f) == 0);
}

static void read_json(struct seen *s, const char *json)
{
    memset(s, 0, sizeof *s);
    buf_init(&s->faults, 1u << 20);
    buf_init(&s->warnings, 1u << 20);
    s->rc = config_read(&s->c, str_of(json), &s->faults, &s->warnings);
}

/* Lines name the file by its path; the tests know it as "F". */
static void shorten(struct buf *b)
{
    struct buf out;
    struct str rest = buf_str(b), path = str_of(dir);

    buf_init(&out, b->max_bytes);
    while (rest.n > 0) {
        size_t at = str_find_str(rest, path);

        (void)buf_put(&out, rest.p, at);
        if (at < rest.n)
            (void)buf_putc(&out, 'F');
        rest = str_skip(rest, at < rest.n ? at + path.n : at);
    }
    buf_free(b);
    *b = out;
}

/* Reads `yaml` (NULL: no file) with the rest of create()'s object behind it. */
static void take(struct seen *s, const char *yaml, const char *more)
{
    char json[4096];

    if (yaml)
        put("c.yaml", yaml);
    (void)snprintf(json, sizeof json, "{\"host\":\"native\",\"config_file\":\"%s\"%s}",
                   yaml ? in_dir("c.yaml") : "", more);
    read_json(s, json);
    shorten(&s->faults);
    shorten(&s->warnings);
}

static void drop(struct seen *s)
{
    config_unref(s->c);
    buf_free(&s->faults);
    buf_free(&s->warnings);
}

/* ---- the table ---- */

static void table_is_sound(void)
{
    T_GT(config_keys_n, 80);
    for (unsigned i = 0; i < config_keys_n; i++)
        for (unsigned j = 0; j < i; j++)
            T_STR_NE(config_keys[i].path, config_keys[j].path);
}

static const struct config_key *key(const char *path)
{
    for (unsigned i = 0; i < config_keys_n; i++)
        if (strcmp(config_keys[i].path, path) == 0)
            return &config_keys[i];
    T_FAIL("no key %s", path);
    return &config_keys[0];
}

static void ranges(void)
{
    T_EQ(key("channels.voice.call.silence_timeout_seconds")->min, 1);
    T_EQ(key("channels.voice.call.tool_timeout_ms")->min, 1000);
    T_EQ(key("channels.voice.call.max_call_duration_minutes")->min, 1);
    T_EQ(key("channels.voice.call.max_call_duration_minutes")->max, 60);
    T_EQ(key("channels.voice.webhook.port")->min, 0);
}

/* ---- what is read ---- */

static void defaults(void)
{
    struct seen s;

    take(&s, BASE, "");
    T_OK(s.rc);
    T_EQ(s.faults.n, 0);
    T_EQ(s.warnings.n, 0);
    T_MUST(s.c);
    T_TRUE(s.c->native_host);
    T_FALSE(s.c->enabled);
    T_STR_EQ(s.c->config_file, in_dir("c.yaml"));
    T_STR_EQ(s.c->state_dir, in_dir("home/.openclaw/voice"));
    T_STR_EQ(s.c->workspace, in_dir("home/.openclaw/workspace"));
    T_STR_EQ(s.c->gateway_url, "");
    T_STR_EQ(s.c->openai.api_key, "sk-base");
    T_STR_EQ(s.c->openai.project_id, "");
    T_STR_EQ(s.c->openai.model, "gpt-realtime-2.1");
    T_STR_EQ(s.c->openai.voice, "marin");
    T_STR_EQ(s.c->openai.base_url, "https://api.openai.com/v1");
    T_STR_EQ(s.c->openai.noise_reduction, "near_field");
    T_EQ(s.c->webhook.port, 8080);
    T_STR_EQ(s.c->webhook.bind, "127.0.0.1");
    T_EQ(s.c->webhook.secrets.n, 1);
    T_STR_EQ(s.c->webhook.secrets.v[0], SECRET);
    T_STR_EQ(s.c->api_token, "");
    T_STR_EQ(s.c->api_public_url, "");
    T_STR_EQ(s.c->agent_file, in_dir("agent.json"));
    T_EQ(s.c->call.max_duration_min, 30);
    T_EQ(s.c->call.silence_timeout_s, 300);
    T_EQ(s.c->call.max_concurrent, 100);
    T_EQ(s.c->call.filler_after_ms, 3000);
    T_EQ(s.c->call.progress_every_ms, 12000);
    T_EQ(s.c->call.tool_timeout_ms, 45000);
    T_TRUE(s.c->call.auto_end_on_silence);
    T_TRUE(s.c->call.interruption_enabled);
    T_FALSE(s.c->call.record_calls);
    T_TRUE(s.c->security.verify_signatures);
    T_FALSE(s.c->security.whitelist_enabled);
    T_TRUE(s.c->security.blacklist_enabled);
    T_TRUE(s.c->security.unknown_allowed);
    T_EQ(s.c->security.tools_unknown, CONFIG_TOOLS_NONE);
    T_EQ(s.c->security.tools_known, CONFIG_TOOLS_SAFE);
    T_EQ(s.c->security.tools_proven, CONFIG_TOOLS_FULL);
    T_EQ(s.c->logging.level, LOG_INFO);
    T_FALSE(s.c->logging.include_transcripts);
    T_EQ(s.c->integration.context_max_tokens, 2000);
    T_EQ(s.c->integration.handoff_channels.n, 2);
    T_STR_EQ(s.c->integration.handoff_channels.v[1], "discord");
    T_STR_EQ(s.c->memory.call_summaries_file, "memory/voice-calls.md");
    T_EQ(s.c->memory.inject_recent_memory_days, 2);
    T_EQ(s.c->sessions.session_cleanup_h, 24);
    T_TRUE(s.c->metrics.export_metrics);
    drop(&s);
}

static void calling_set(const struct config *c)
{
    T_TRUE(c->outbound.quiet_hours.set);
    T_EQ(c->outbound.quiet_hours.from_min, 22 * 60 + 30);
    T_EQ(c->outbound.quiet_hours.to_min, 8 * 60);
    T_EQ(c->outbound.voicemail, CONFIG_VOICEMAIL_HANGUP);
    T_STR_EQ(c->outbound.voicemail_message, "Bye");
    T_STR_EQ(c->outbound.owner, "telegram:777");
    T_STR_EQ(c->outbound.default_country, "DE");
    T_FALSE(c->recording.dual);
    T_STR_EQ(c->recording.encryption_key, HEX64);
    T_EQ(c->recording.consent.n, 4);
    T_EQ(config_consent_of(c, STR("+4989123456")), CONFIG_CONSENT_ASK);
    T_EQ(config_consent_of(c, STR("+4930123456")), CONFIG_CONSENT_NONE);
    T_EQ(config_consent_of(c, STR("+15551234567")), CONFIG_CONSENT_NOTICE);
    T_EQ(config_consent_of(c, STR("+33123456789")), CONFIG_CONSENT_NONE);
    T_EQ(config_consent_of(c, STR("")), CONFIG_CONSENT_NONE);
    T_TRUE(c->security.destinations_given);
    T_EQ(c->security.destinations_allow.n, 2);
    T_STR_EQ(c->security.destinations_allow.v[1], "*");
    T_EQ(c->security.destinations_deny.n, 1);
    T_STR_EQ(c->security.destinations_deny.v[0], "+4916");
    T_EQ(c->security.transfer_targets.n, 2);
    T_STR_EQ(c->security.transfer_targets.v[0].name, "front desk");
    T_STR_EQ(c->security.transfer_targets.v[0].value, "+15551111111");
    T_STR_EQ(c->security.transfer_targets.v[1].name, "B\303\274ro");
}

static void everything_set(void)
{
    struct seen s;

    put("cert.pem", "x");
    put("key.pem", "x");
    put("ca.pem", "x");
    put("me.json", "{}");
    take(&s,
         "openclaw: {workspace: ws, gateway_url: 'http://127.0.0.1:1/', gateway_token: gt}\n"
         "channels:\n"
         "  voice:\n"
         "    enabled: YES\n"
         "    state_dir: ~/st\n"
         "    agent_file: ./me.json\n"
         "    openai: {api_key: k, project_id: p, model: m, voice: cedar, base_url: http://localhost:9/v1/,\n"
         "             ca_file: ca.pem, transcription_model: t, transcription_language: de,\n"
         "             turn_detection: server_vad, noise_reduction: off, reasoning_effort: xhigh}\n"
         "    twilio: {account_sid: AC0123456789abcdef0123456789abcdef, auth_token: [b, c],\n"
         "             phone_number: [+15551234567, +15557654321], region: ie1, edge: dublin,\n"
         "             api_key_sid: SK0123456789abcdef0123456789abcdef, api_key_secret: d,\n"
         "             base_url: 'https://t.example.com'}\n"
         "    outbound: {quiet_hours: '22:30-08:00', voicemail: hangup, default_country: DE,\n"
         "               voicemail_message: Bye, owner: 'telegram:777'}\n"
         "    recording: {channels: mono, encryption_key: " HEX64 ",\n"
         "                consent: {+49: ask, +4930: none, '*': none, +1: notice}}\n"
         "    webhook:\n"
         "      port: 0\n"
         "      base_url: https://voice.example.com/\n"
         "      secret:\n"
         "        - " SECRET "\n"
         "        - plain secret of enough bytes\n"
         "      bind: '::1'\n"
         "      tls_cert: cert.pem\n"
         "      tls_key: key.pem\n"
         "    api: {token: 0123456789abcdef, public_url: https://voice.example.com/api/}\n"
         "    integration: {handoff_channels: slack, context_max_tokens: 0}\n"
         "    call:\n"
         "      default_instructions: |\n"
         "        One.\n"
         "        Two.\n"
         "      greeting: 'Hi: there'\n"
         "      record_calls: true\n"
         "      max_call_duration_minutes: 60\n"
         "      auto_end_on_silence: off\n"
         "      silence_timeout_seconds: 1\n"
         "      interruption_enabled: no\n"
         "      max_concurrent: 5\n"
         "      filler_after_ms: 500\n"
         "      progress_every_ms: 1000\n"
         "      tool_timeout_ms: 1000\n"
         "logging: {voice: {level: debug, include_transcripts: on, call_events: false}}\n"
         "security:\n"
         "  voice:\n"
         "    whitelist_enabled: true\n"
         "    whitelist: [+15551234567, '+4915112345678']\n"
         "    blacklist_enabled: false\n"
         "    blacklist: +15550000000\n"
         "    unknown_caller_policy: deny\n"
         "    tools: {unknown: safe, known: full, proven: none}\n"
         "    destinations: {allow: [+49, '*'], deny: +4916}\n"
         "    transfer_targets: {front desk: +15551111111, Büro: '+493012345678'}\n"
         "memory: {voice: {call_summaries_file: a/b.md}}\n",
         "");
    T_STR_EQ(buf_cstr(&s.faults), "");
    T_OK(s.rc);
    T_MUST(s.c);
    T_TRUE(s.c->enabled);
    T_STR_EQ(s.c->workspace, in_dir("ws"));
    T_STR_EQ(s.c->gateway_url, "http://127.0.0.1:1");
    T_STR_EQ(s.c->gateway_token, "gt");
    T_STR_EQ(s.c->state_dir, in_dir("home/st"));
    T_STR_EQ(s.c->agent_file, in_dir("me.json"));
    T_STR_EQ(s.c->openai.base_url, "http://localhost:9/v1");
    T_STR_EQ(s.c->openai.ca_file, in_dir("ca.pem"));
    T_STR_EQ(s.c->openai.noise_reduction, "");
    T_STR_EQ(s.c->openai.turn_detection, "server_vad");
    T_STR_EQ(s.c->openai.reasoning_effort, "xhigh");
    T_STR_EQ(s.c->openai.transcription_language, "de");
    T_STR_EQ(s.c->twilio.phone_number, "+15551234567");
    T_EQ(s.c->twilio.phone_numbers.n, 2);
    T_STR_EQ(s.c->twilio.phone_numbers.v[1], "+15557654321");
    T_STR_EQ(s.c->twilio.auth_token, "b");
    T_EQ(s.c->twilio.auth_tokens.n, 2);
    T_TRUE(s.c->twilio.ready);
    calling_set(s.c);
    T_STR_EQ(s.c->twilio.base_url, "https://t.example.com");
    T_EQ(s.c->webhook.port, 0);
    T_STR_EQ(s.c->webhook.base_url, "https://voice.example.com");
    T_EQ(s.c->webhook.secrets.n, 2);
    T_STR_EQ(s.c->webhook.secrets.v[1], "plain secret of enough bytes");
    T_STR_EQ(s.c->webhook.bind, "::1");
    T_STR_EQ(s.c->webhook.tls_key, in_dir("key.pem"));
    T_STR_EQ(s.c->api_token, "0123456789abcdef");
    T_STR_EQ(s.c->api_public_url, "https://voice.example.com/api");
    T_EQ(s.c->integration.handoff_channels.n, 1);
    T_STR_EQ(s.c->integration.handoff_channels.v[0], "slack");
    T_STR_EQ(s.c->call.instructions, "One.\nTwo.\n");
    T_STR_EQ(s.c->call.greeting, "Hi: there");
    T_TRUE(s.c->call.record_calls);
    T_EQ(s.c->call.max_duration_min, 60);
    T_FALSE(s.c->call.auto_end_on_silence);
    T_EQ(s.c->call.silence_timeout_s, 1);
    T_FALSE(s.c->call.interruption_enabled);
    T_EQ(s.c->call.tool_timeout_ms, 1000);
    T_EQ(s.c->logging.level, LOG_DEBUG);
    T_TRUE(s.c->logging.include_transcripts);
    T_TRUE(s.c->security.whitelist_enabled);
    T_EQ(s.c->security.whitelist.n, 2);
    T_STR_EQ(s.c->security.whitelist.v[0], "+15551234567");
    T_STR_EQ(s.c->security.blacklist.v[0], "+15550000000");
    T_FALSE(s.c->security.unknown_allowed);
    T_EQ(s.c->security.tools_unknown, CONFIG_TOOLS_SAFE);
    T_EQ(s.c->security.tools_known, CONFIG_TOOLS_FULL);
    T_EQ(s.c->security.tools_proven, CONFIG_TOOLS_NONE);
    T_STR_EQ(s.c->memory.call_summaries_file, "a/b.md");
    drop(&s);
}

/*
 * Whether b has a word that differs from a's where a and its twin agree: with all three alive, their
 * own pointers differ from one another and count for nothing.
 */
static bool changed(const struct config *a, const struct config *twin, const struct config *b)
{
    for (size_t at = 0; at + sizeof(uintptr_t) <= sizeof *a; at += sizeof(uintptr_t)) {
        uintptr_t x, y, z;

        memcpy(&x, (const char *)a + at, sizeof x);
        memcpy(&y, (const char *)twin + at, sizeof y);
        memcpy(&z, (const char *)b + at, sizeof z);
        if (x == y && x != z)
            return true;
    }
    return false;
}

/* The gateway's section with one key set. */
static void section_of(char *out, size_t cap, const char *path, const char *value)
{
    size_t n = (size_t)snprintf(out, cap, ",\"section\":{\"");
    unsigned depth = 0;

    if (strncmp(path, "channels.voice.", 15) == 0)
        path += 15;
    for (; *path; path++) {
        depth += *path == '.';
        n += (size_t)snprintf(out + n, cap - n, *path == '.' ? "\":{\"" : "%c", *path);
    }
    n += (size_t)snprintf(out + n, cap - n, "\":%s}", value);
    while (depth-- > 0)
        n += (size_t)snprintf(out + n, cap - n, "}");
}

/* Each boolean and number of the table, set away from its default, arrives: none is left unbound. */
static void every_key_arrives(void)
{
    struct seen base, twin;
    unsigned seen = 0;

    take(&base, BASE, ",\"section\":{}");
    take(&twin, BASE, ",\"section\":{}");
    T_MUST(base.c && twin.c);
    T_FALSE(changed(base.c, twin.c, twin.c));
    for (unsigned i = 0; i < config_keys_n; i++) {
        const struct config_key *k = &config_keys[i];
        struct seen after;
        char section[512], value[32];

        if ((k->type != CONFIG_BOOL && k->type != CONFIG_INT) || (k->flags & CONFIG_KEY_OLD))
            continue;
        (void)snprintf(value, sizeof value, "%lld", k->min == atoll(k->def) ? k->max : k->min);
        if (k->type == CONFIG_BOOL)
            (void)snprintf(value, sizeof value, "%s", strcmp(k->def, "true") ? "true" : "false");
        section_of(section, sizeof section, k->path, value);
        take(&after, BASE, section);
        if (after.rc != 0)
            T_FAIL("%s: %s", section, buf_cstr(&after.faults));
        else if (!changed(base.c, twin.c, after.c))
            T_FAIL("%s changes nothing", k->path);
        seen++;
        drop(&after);
    }
    T_GT(seen, 40);
    drop(&base);
    drop(&twin);
}

/* ---- faults ---- */

#define AT(n, key) "F/c.yaml:" n ": " key ": "

static void golden_listing(void)
{
    struct seen s;

    (void)setenv("PORT", "http", 1);
    put(".env", "TWILIO_ACCOUNT_SID=\"broken\nPUBLIC_URL=ftp://x\n");
    take(&s,
         "channels:\n"
         "  voice:\n"
         "    enabled: maybe\n"
         "    openai:\n"
         "      api_key: ${NO_SUCH_NAME}\n"
         "      voice: marinn\n"
         "      base_url: http://api.example.com/v1\n"
         "      modle: gpt-realtime-2.1\n"
         "    webhook:\n"
         "      secret: [" SECRET ", whsec_oops]\n"
         "      tls_cert: none.pem\n"
         "    call:\n"
         "      silence_timeout_seconds: 0\n"
         "      tool_timeout_ms: 999\n"
         "      max_call_duration_minutes: 61\n"
         "      greeting: [a, b]\n"
         "  telegram: {}\n"
         "security:\n"
         "  voice:\n"
         "    verify_webhook_signatures: false\n"
         "    whitelist: [+15551234567, 5551234567, ' +15551234567']\n"
         "    tools: {pin_hash: '4711'}\n"
         "loging: {voice: {level: debug}}\n",
         ",\"section_name\":\"openclaw.json\",\"section\":{\"webhook\":{\"bind\":\"0.0.0.0\"},"
         "\"call\":{\"max_concurrent\":\"5\"},\"api_key\":\"k\",\"dmPolicy\":\"open\"}");
    T_EQ(s.rc, ERR_CONFIG);
    T_NULL(s.c);
    T_STR_EQ(
        buf_cstr(&s.faults),
        "openclaw.json: channels.voice.api_key: no such key; did you mean "
        "channels.voice.openai.api_key?\n"
        "openclaw.json: channels.voice.call.max_concurrent: must be a number, without quotes\n"
        AT("3", "channels.voice.enabled") "must be true or false, not \"maybe\"\n"
        AT("5", "channels.voice.openai.api_key")
        "NO_SUCH_NAME is not set, neither in the environment nor in F/.env; set it, or write "
        "${NO_SUCH_NAME:-default}\n"
        AT("6", "channels.voice.openai.voice")
        "must be alloy, ash, ballad, coral, echo, sage, shimmer, verse, marin or cedar, not "
        "\"marinn\"; did you mean marin?\n"
        AT("7", "channels.voice.openai.base_url")
        "must begin with https://; http:// is for loopback alone, since the key would travel in the "
        "clear\n"
        AT("8", "channels.voice.openai.modle") "no such key; did you mean model?\n"
        AT("10", "channels.voice.webhook.secret")
        "cannot be a webhook secret; copy it whole from OpenAI's webhook settings: whsec_ and base64 "
        "behind it\n"
        AT("11", "channels.voice.webhook.tls_cert")
        "needs webhook.tls_key, the certificate's private key, beside it\n"
        AT("13", "channels.voice.call.silence_timeout_seconds")
        "must be a whole number from 1 to 3600, not \"0\"\n"
        AT("14", "channels.voice.call.tool_timeout_ms")
        "must be a whole number from 1000 to 600000, not \"999\"\n"
        AT("15", "channels.voice.call.max_call_duration_minutes")
        "must be a whole number from 1 to 60, not \"61\"\n"
        AT("16", "channels.voice.call.greeting") "must be a text, not a list\n"
        AT("17", "channels.telegram") "no such key; remove it\n"
        AT("20", "security.voice.verify_webhook_signatures")
        "may be false only while webhook.bind is a loopback address; else anybody could start calls\n"
        AT("21", "security.voice.whitelist")
        "must be a number in E.164 such as +15551234567 (+, country code, digits alone), not "
        "\"5551234567\"\n"
        AT("21", "security.voice.whitelist")
        "must be a number in E.164 such as +15551234567 (+, country code, digits alone), not "
        "\" +15551234567\"\n"
        AT("22", "security.voice.tools.pin_hash")
        "must be scrypt$N$r$p$salt$hash (the sample configuration shows how to make it): it does not "
        "begin with scrypt$\n"
        AT("23", "loging") "no such key; did you mean logging?\n"
        "F/.env:2: PUBLIC_URL (channels.voice.webhook.base_url): must be a URL such as "
        "https://voice.example.com, not \"ftp://x\": it begins with https:// or http://\n"
        "environment: PORT (channels.voice.webhook.port): must be a whole number from 0 to 65535, "
        "not \"http\"\n");
    drop(&s);
    (void)unsetenv("PORT");
    (void)unlink(in_dir(".env"));
}

struct row {
    const char *lines; /* behind BASE's six */
    const char *first; /* what the first fault holds; NULL: there is none */
};

static void run_rows(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct seen s;
        char yaml[2048];

        (void)snprintf(yaml, sizeof yaml, BASE "%s", rows[i].lines);
        take(&s, yaml, "");
        if (rows[i].first == NULL) {
            if (s.rc != 0)
                T_FAIL("row %zu: %s", i, buf_cstr(&s.faults));
        } else {
            T_EQ(s.rc, ERR_CONFIG);
            T_HAS(buf_cstr(&s.faults), rows[i].first);
        }
        drop(&s);
    }
}
#define RUN_ROWS(rows) run_rows(rows, sizeof rows / sizeof *rows)

static void urls(void)
{
    static const struct row rows[] = {
        {"      base_url: https://voice.example.com\n", NULL},
        {"      base_url: https://voice.example.com:8443/oc\n", NULL},
        {"      base_url: http://127.0.0.1:8080\n", NULL},
        {"      base_url: http://localhost:8080\n", NULL},
        {"      base_url: https://[::1]:8080\n", NULL},
        {"      base_url: https://8.8.8.8\n", NULL},
        {"      base_url: http://voice.example.com\n", ":7: channels.voice.webhook.base_url: must begin with https://"},
        {"      base_url: https://10.1.2.3\n", "cannot be reached from outside"},
        {"      base_url: https://172.16.0.1\n", "cannot be reached"},
        {"      base_url: https://172.32.0.1\n", NULL},
        {"      base_url: https://192.168.1.4\n", "cannot be reached"},
        {"      base_url: https://169.254.169.254\n", "cannot be reached"},
        {"      base_url: https://100.64.0.1\n", "cannot be reached"},
        {"      base_url: https://0.0.0.0\n", "cannot be reached"},
        {"      base_url: https://[fd00::1]\n", "cannot be reached"},
        {"      base_url: https://[fe80::1]\n", "cannot be reached"},
        {"      base_url: https://[2606:4700::1]\n", NULL},
        {"      base_url: https://myhost\n", "\"myhost\" cannot be reached"},
        {"      base_url: https://box.local\n", "cannot be reached"},
        {"      base_url: https://box.LAN\n", "cannot be reached"},
        {"      base_url: wss://voice.example.com\n", "it begins with https://"},
        {"      base_url: voice.example.com\n", "must be a URL"},
        {"      base_url: https://voice.example.com/?a=b\n", "it must end before the ?"},
        {"      base_url: https://joe:hunter2@voice.example.com\n", "must not hold a user or password"},
        {"openclaw: {gateway_url: 'http://gateway:18789'}\n", NULL},
        {"openclaw: {gateway_url: 'tcp://gateway'}\n", "openclaw.gateway_url: must be a URL"},
    };
    struct seen s;

    RUN_ROWS(rows);
    take(&s, BASE "      base_url: https://joe:hunter2@voice.example.com\n", "");
    T_NULL(strstr(buf_cstr(&s.faults), "hunter2"));
    drop(&s);
}

static void types(void)
{
    static const struct row rows[] = {
        {"      port: 80_80\n", "must be a whole number from 0 to 65535, not \"80_80\""},
        {"      port: 0x50\n", "must be a whole number"},
        {"      port: 010\n", "must be a whole number"},
        {"      port: 8080.0\n", "must be a whole number"},
        {"      port: 1e3\n", "must be a whole number"},
        {"      port: -1\n", "must be a whole number"},
        {"      port: +80\n", "must be a whole number"},
        {"      port: 65536\n", "must be a whole number"},
        {"      port: 99999999999999999999999\n", "must be a whole number"},
        {"      port: '8080'\n", "must be a number, without quotes"},
        {"      port: {a: 1}\n", "must be a whole number, not a section"},
        {"      port: [1]\n", "must be a whole number, not a list"},
        {"      port: ~\n", NULL},
        {"      port:\n", NULL},
        {"      port: ''\n", NULL},
        {"    enabled: y\n", "must be true or false, not \"y\""},
        {"    enabled: 1\n", "must be true or false"},
        {"    enabled: 'true'\n", "must be true or false, without quotes"},
        {"    enabled: Off\n", NULL},
        {"    enabled: false\n", NULL},
        {"    call: true\n", "channels.voice.call: must be a section"},
        {"    call: []\n", "must be a section"},
        {"    call:\n", NULL},
        {"    integration: {handoff_channels: [[a]]}\n", "each entry must be a text"},
        {"    integration: {handoff_channels: [a, '']}\n", "an entry is empty"},
        {"    integration: {handoff_channels: []}\n", NULL},
        {"    integration: {handoff_channels: [a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q]}\n", "at most 16 entries, not 17"},
        {"    call: {greeting: \"a\\0b\"}\n", "a NUL character"},
        {"      bind: localhost\n", NULL},
        {"      bind: example.com\n", "must be an IP address"},
        {"      bind: '[::1]'\n", "must be an IP address"},
        {"      bind: 127.0.0.1:80\n", "must be an IP address"},
        {"    api: {token: 'two words of a token'}\n", "must be printable ASCII without blanks"},
        {"    api: {token: \"tokentokentoken\\n\"}\n", "must be printable ASCII"},
        {"memory: {voice: {call_summaries_file: ../x.md}}\n", "inside the workspace"},
        {"memory: {voice: {call_summaries_file: /etc/x.md}}\n", "inside the workspace"},
        {"    state_dir: ~joe/x\n", "~ of another user"},
    };

    RUN_ROWS(rows);
}

static void near_misses(void)
{
    static const struct row rows[] = {
        {"      prot: 1\n", "channels.voice.webhook.prot: no such key; did you mean port?"},
        {"    webhok: {port: 1}\n", "channels.voice.webhok: no such key; did you mean webhook?"},
        {"    port: 1\n", "did you mean channels.voice.webhook.port?"},
        {"api_key: x\n", "api_key: no such key; did you mean channels.voice.openai.api_key?"},
        {"    nothing_like_it: 1\n", "no such key; remove it"},
        {"\"\": 1\n", ":7: "},
        {"    dmPolicy: open\n", "no such key"}, /* the host's, and not in this file */
        {"logging: {voice: {level: inof}}\n", "did you mean info?"},
        {"logging: {voice: {level: loud}}\n", "must be error, warn, info or debug, not \"loud\"\n"},
    };

    RUN_ROWS(rows);
}

static void missing_keys(void)
{
    struct seen s;

    take(&s, "channels:\n  voice:\n    enabled: true\n    openai:\n      model: m\n", "");
    T_EQ(s.rc, ERR_CONFIG);
    T_STR_EQ(buf_cstr(&s.faults),
             "F/c.yaml:2: channels.voice.webhook.secret: missing; write the secret that OpenAI showed "
             "when the webhook was made (whsec_...), or set WEBHOOK_SECRET in the environment\n"
             "F/c.yaml:4: channels.voice.openai.api_key: missing; write your OpenAI API key, or set "
             "OPENAI_API_KEY in the environment\n");
    drop(&s);
    /* Switched off on purpose: no fault. */
    take(&s, "channels: {voice: {enabled: false}}\n", "");
    T_OK(s.rc);
    T_MUST(s.c);
    T_FALSE(s.c->enabled);
    drop(&s);
    take(&s, NULL, ",\"section_name\":\"openclaw.json\",\"section\":{\"enabled\":true}");
    T_EQ(s.rc, ERR_CONFIG);
    T_HAS(buf_cstr(&s.faults), "openclaw.json: channels.voice.openai.api_key: missing");
    drop(&s);
    take(&s, "", "");
    T_EQ(s.rc, ERR_CONFIG);
    T_HAS(buf_cstr(&s.faults), "F/c.yaml: channels.voice.openai.api_key: missing");
    drop(&s);
    /* What a broken file lacks is not known. */
    take(&s, "channels: {voice: {enabled: ${X}}}\n", "");
    T_HAS(buf_cstr(&s.faults), "F/c.yaml:1: not YAML: while parsing a flow mapping: did not find "
                               "expected ',' or '}'; between { } or [ ] write \"${NAME}\" in quotes");
    drop(&s);
    take(&s, "channels: [\n", "");
    T_EQ(s.rc, ERR_CONFIG);
    T_HAS(buf_cstr(&s.faults), "F/c.yaml:2: not YAML: ");
    T_NULL(strstr(buf_cstr(&s.faults), "missing"));
    drop(&s);
    read_json(&s, "{\"host\":\"native\",\"config_file\":\"/nowhere/c.yaml\"}");
    T_EQ(s.rc, ERR_CONFIG);
    T_STR_EQ(buf_cstr(&s.faults), "/nowhere/c.yaml: cannot be read: No such file or directory\n");
    drop(&s);
}

static void signatures_off(void)
{
    static const struct row rows[] = {
        {"security: {voice: {verify_webhook_signatures: false}}\n", NULL},
        {"      base_url: https://voice.example.com\nsecurity: {voice: {verify_webhook_signatures: false}}\n",
         "without a public webhook.base_url"},
        {"      base_url: http://127.0.0.1:8080\nsecurity: {voice: {verify_webhook_signatures: false}}\n", NULL},
        {"      bind: 0.0.0.0\nsecurity: {voice: {verify_webhook_signatures: false}}\n",
         "webhook.bind is a loopback address"},
        {"      bind: '::'\nsecurity: {voice: {verify_webhook_signatures: false}}\n",
         "webhook.bind is a loopback address"},
        {"      bind: 127.0.0.2\nsecurity: {voice: {verify_webhook_signatures: no}}\n", NULL},
    };
    struct seen s;

    RUN_ROWS(rows);
    /* Without verification no secret is needed. */
    take(&s, "channels: {voice: {openai: {api_key: k}}}\n"
             "security: {voice: {verify_webhook_signatures: false}}\n", "");
    T_OK(s.rc);
    T_FALSE(s.c && s.c->security.verify_signatures);
    drop(&s);
}

static void secrets_that_cannot_be(void)
{
    static const char *const bad[] = {"whsec_", "whsec_!!!!", "whsec_abc", "short", "whsec_AAAA", "[]"};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct seen s;
        char yaml[256];

        (void)snprintf(yaml, sizeof yaml, "channels: {voice: {openai: {api_key: k},\n"
                                          " webhook: {secret: %s}}}\n", bad[i]);
        take(&s, yaml, "");
        T_EQ(s.rc, ERR_CONFIG);
        T_HAS(buf_cstr(&s.faults), "F/c.yaml:2: channels.voice.webhook.secret: ");
        drop(&s);
    }
}

/* ---- secrets ---- */

static void secrets_are_masked(void)
{
    struct seen s;
    struct buf all;

    take(&s, BASE "    twilio: {auth_token: TWILIO-TOKEN}\n    api: {token: API-TOKEN-1234567}\n"
                  "openclaw: {gateway_token: GATEWAY-TOKEN}\n", "");
    T_OK(s.rc);
    T_MUST(s.c);
    buf_init(&all, 1u << 20);
    T_OK(json_write(s.c->all, &all));
    T_NULL(strstr(buf_cstr(&all), "TOKEN"));
    T_NULL(strstr(buf_cstr(&all), "sk-base"));
    T_NULL(strstr(buf_cstr(&all), "MfKQ"));
    T_HAS(buf_cstr(&all), "\"channels.voice.openai.api_key\":\"***\"");
    T_HAS(buf_cstr(&all), "\"channels.voice.webhook.secret\":[\"***\"]");
    T_HAS(buf_cstr(&all), "\"channels.voice.twilio.api_key_secret\":null");
    T_HAS(buf_cstr(&all), "\"channels.voice.webhook.port\":8080");
    buf_free(&all);
    drop(&s);
    take(&s, "channels: {voice: {openai: {api_key: 'SE CRET', base_url: '${LEAK}'},\n"
             " webhook: {secret: SECRET1, port: '${LEAK}'}, api: {token: 'SE CRET'}}}\n"
             "security: {voice: {tools: {pin_hash: SECRET}}}\n", "");
    T_EQ(s.rc, ERR_CONFIG);
    T_NULL(strstr(buf_cstr(&s.faults), "CRET"));
    T_HAS(buf_cstr(&s.faults), "webhook.port: LEAK is not set");
    drop(&s);
    /* What a variable held is not shown either: it may be the wrong one. */
    (void)setenv("LEAK", "SECRET", 1);
    take(&s, BASE "      port: ${LEAK}\n", "");
    T_EQ(s.rc, ERR_CONFIG);
    T_HAS(buf_cstr(&s.faults), "not \"${LEAK}\"");
    T_NULL(strstr(buf_cstr(&s.faults), "SECRET"));
    drop(&s);
    (void)unsetenv("LEAK");
}

/* ---- sources ---- */

static void precedence(void)
{
    struct seen s;

    (void)setenv("OPENAI_API_KEY", "from-environment", 1);
    (void)setenv("PORT", "1001", 1);
    take(&s, "channels: {voice: {webhook: {secret: " SECRET "}}}\n", "");
    T_OK(s.rc);
    T_STR_EQ(s.c ? s.c->openai.api_key : "", "from-environment");
    T_EQ(s.c ? s.c->webhook.port : 0, 1001);
    drop(&s);
    take(&s, BASE "      port: 1002\n", "");
    T_STR_EQ(s.c ? s.c->openai.api_key : "", "sk-base");
    T_EQ(s.c ? s.c->webhook.port : 0, 1002);
    drop(&s);
    take(&s, BASE "      port: 1002\n",
         ",\"section\":{\"webhook\":{\"port\":1003},\"security\":{\"voice\":{\"tools\":{\"known\":\"none\"}}}}");
    T_EQ(s.c ? s.c->webhook.port : 0, 1003);
    T_STR_EQ(s.c ? s.c->openai.api_key : "", "sk-base");
    T_EQ(s.c ? s.c->security.tools_known : CONFIG_TOOLS_FULL, CONFIG_TOOLS_NONE);
    drop(&s);
    /* An empty value and null leave a key to the next source. */
    take(&s, BASE "      port: ''\n", ",\"section\":{\"webhook\":{\"port\":null}}");
    T_EQ(s.c ? s.c->webhook.port : 0, 1001);
    drop(&s);
    (void)unsetenv("OPENAI_API_KEY");
    (void)unsetenv("PORT");
}

static void section_alone(void)
{
    struct seen s;

    take(&s, NULL,
         ",\"state_dir\":\"/s\",\"workspace\":\"/w\",\"section_name\":\"openclaw.json\",\"section\":{"
         "\"enabled\":true,\"openai\":{\"api_key\":\"k\"},\"webhook\":{\"secret\":[\"" SECRET "\"]},"
         "\"allowFrom\":[\"*\"],\"configFile\":\"x\",\"openclaw\":{\"gateway_token\":\"${NOT_READ_HERE}\"}}");
    T_STR_EQ(buf_cstr(&s.faults), "");
    T_MUST(s.c);
    T_TRUE(s.c->enabled);
    T_STR_EQ(s.c->config_file, "");
    T_STR_EQ(s.c->state_dir, "/s");
    T_STR_EQ(s.c->workspace, "/w");
    T_STR_EQ(s.c->agent_file, "/s/agent.json");
    T_STR_EQ(s.c->gateway_token, "${NOT_READ_HERE}"); /* the gateway replaces its variables itself */
    drop(&s);
    take(&s, NULL,
         ",\"section_name\":\"openclaw.json\",\"section\":{\"openai\":{\"api_key\":5,\"voice\":true,"
         "\"ca_file\":\"x.pem\"},\"webhook\":{\"secret\":{\"source\":\"env\"},\"port\":80.5},"
         "\"channels\":{\"voice\":{}},\"agent\":{\"heartbeat\":{\"check_active_calls\":\"no\"}}}");
    T_EQ(s.rc, ERR_CONFIG);
    T_STR_EQ(buf_cstr(&s.faults),
             "openclaw.json: channels.voice.openai.api_key: must be a text, in quotes\n"
             "openclaw.json: channels.voice.openai.voice: must be a text, in quotes\n"
             "openclaw.json: channels.voice.webhook.secret: must be a text or a list of texts, not a "
             "section\n"
             "openclaw.json: channels.voice.channels: no such key; remove it\n"
             "openclaw.json: channels.voice.openai.ca_file: write an absolute path: there is no file "
             "that it could be relative to\n"
             "openclaw.json: channels.voice.webhook.port: must be a whole number from 0 to 65535, not "
             "\"80.5\"\n"
             "openclaw.json: agent.heartbeat.check_active_calls: must be true or false, without "
             "quotes\n");
    drop(&s);
}

static void create_object(void)
{
    static const char *const bad[] = {"", "[]", "{", "{}", "{\"host\":\"moon\"}", "{\"host\":5}",
                                      "{\"host\":\"native\",\"section\":5}"};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct seen s;

        read_json(&s, bad[i]);
        T_EQ(s.rc, ERR_INVALID);
        T_HAS(buf_cstr(&s.faults), "create: ");
        T_NULL(s.c);
        drop(&s);
    }
}

static void variables(void)
{
    static const struct {
        const char *value, *expect; /* of call.greeting; NULL: a fault */
    } rows[] = {
        {"${A}", "one"},
        {"x${A}y${B}z", "xoneytwoz"},
        {"'${A}'", "one"},
        {"\"${A}\"", "one"},
        {"${A:-other}", "one"},
        {"${NOPE:-other}", "other"},
        {"${EMPTY:-other}", "other"},
        {"x${NOPE:-}", "x"},
        {"'${NOPE:-a b: c}'", "a b: c"},
        {"$${A}", "${A}"},
        {"a$${A}${A}", "a${A}one"},
        {"$A", "$A"},
        {"$", "$"},
        {"5$", "5$"},
        {"${LOOP}", "${A}"}, /* what a variable holds is not read again */
        {"${NOPE}", NULL},
        {"${}", NULL},
        {"${A", NULL},
        {"${1A}", NULL},
        {"${A-b}", NULL},
        {"${A:b}", NULL},
        {"${DOT}", "from .env"},
        {"${BOTH}", "environment"},
        {"${EXPORTED}", "a # b"},
        {"${SINGLE}", "it\\n"},
        {"${DOUBLE}", "a\nb\"c"},
        {"${BARE}", "b c"},
        {"${HASH}", "x#y"},
        {"${TWICE}", "second"},
    };

    (void)setenv("A", "one", 1);
    (void)setenv("B", "two", 1);
    (void)setenv("EMPTY", "", 1);
    (void)setenv("LOOP", "${A}", 1);
    (void)setenv("BOTH", "environment", 1);
    put(".env", "# a comment\n"
                "\n"
                "DOT=from .env\n"
                "BOTH=file\n"
                "export EXPORTED='a # b' # why\n"
                "SINGLE='it\\n'\r\n"
                "DOUBLE=\"a\\nb\\\"c\"\n"
                "BARE =  b c   # comment\n"
                "HASH=x#y\n"
                "TWICE=first\n"
                "TWICE=second\n"
                "no equals sign\n"
                "OPEN='quote\n"
                "1BAD=x\n");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct seen s;
        char yaml[512];

        (void)snprintf(yaml, sizeof yaml, BASE "    call:\n      greeting: %s\n", rows[i].value);
        take(&s, yaml, "");
        if (rows[i].expect == NULL) {
            T_EQ(s.rc, ERR_CONFIG);
            T_HAS(buf_cstr(&s.faults), "F/c.yaml:8: channels.voice.call.greeting: ");
        } else if (s.rc != 0) {
            T_FAIL("row %zu: %s", i, buf_cstr(&s.faults));
        } else {
            T_STR_EQ(s.c->call.greeting, rows[i].expect);
            T_STR_EQ(buf_cstr(&s.warnings),
                     "F/.env:12: not read: a line is NAME=value, in quotes if it holds blanks or #\n"
                     "F/.env:13: not read: a line is NAME=value, in quotes if it holds blanks or #\n"
                     "F/.env:14: not read: a line is NAME=value, in quotes if it holds blanks or #\n");
        }
        drop(&s);
    }
    (void)unlink(in_dir(".env"));
}

/* Variables give numbers and booleans too, in quotes or not. */
static void variables_of_other_types(void)
{
    struct seen s;

    (void)setenv("A", "8123", 1);
    (void)setenv("B", "true", 1);
    take(&s, BASE "      port: '${A}'\n    enabled: ${B}\n    call: {max_concurrent: \"${NONE:-7}\"}\n", "");
    T_OK(s.rc);
    T_MUST(s.c);
    T_EQ(s.c->webhook.port, 8123);
    T_TRUE(s.c->enabled);
    T_EQ(s.c->call.max_concurrent, 7);
    drop(&s);
}

/* 2 MB of environment text through a file of 64 bytes a reference. */
static void variables_are_bounded(void)
{
    struct buf big, yaml;
    struct seen s;

    buf_init(&big, 1u << 20);
    buf_init(&yaml, 1u << 20);
    for (int i = 0; i < 60000; i++)
        (void)buf_putc(&big, 'x');
    (void)setenv("BIG", buf_cstr(&big), 1);
    (void)buf_puts(&yaml, STR(BASE "    integration:\n      handoff_channels:\n"));
    for (int i = 0; i < 100; i++)
        (void)buf_puts(&yaml, STR("        - ${BIG}\n"));
    take(&s, buf_cstr(&yaml), "");
    T_EQ(s.rc, ERR_CONFIG);
    T_HAS(buf_cstr(&s.faults), "what its variables hold is too long");
    drop(&s);
    buf_free(&big);
    buf_free(&yaml);
    (void)unsetenv("BIG");
}

/* ---- the carrier, calls that we place, recordings ---- */

#define SID "AC0123456789abcdef0123456789abcdef"

static void calling_defaults(void)
{
    struct seen s;

    take(&s, BASE, "");
    T_OK(s.rc);
    T_MUST(s.c);
    T_FALSE(s.c->twilio.ready);
    T_STR_EQ(s.c->twilio.phone_number, "");
    T_EQ(s.c->outbound.ring_timeout_s, 30);
    T_EQ(s.c->outbound.calls_per_second, 1);
    T_EQ(s.c->outbound.retries, 0);
    T_EQ(s.c->outbound.ask_owner_timeout_ms, 120000);
    T_FALSE(s.c->outbound.quiet_hours.set);
    T_EQ(s.c->outbound.voicemail, CONFIG_VOICEMAIL_MESSAGE);
    T_TRUE(s.c->recording.dual);
    T_EQ(s.c->recording.consent.n, 1);
    T_STR_EQ(s.c->recording.consent.v[0].name, "*");
    T_EQ(config_consent_of(s.c, STR("+4989123456")), CONFIG_CONSENT_NOTICE);
    T_FALSE(s.c->security.destinations_given);
    T_EQ(s.c->security.transfer_targets.n, 0);
    drop(&s);
    /* An empty list is not the default: nobody may be called. */
    take(&s, BASE "    recording: {consent: ask}\nsecurity: {voice: {destinations: {allow: []}}}\n", "");
    T_MUST(s.c);
    T_TRUE(s.c->security.destinations_given);
    T_EQ(s.c->security.destinations_allow.n, 0);
    T_EQ(config_consent_of(s.c, STR("+4989123456")), CONFIG_CONSENT_ASK);
    drop(&s);
    take(&s, BASE "    recording: {consent: {+49: ask}}\n", "");
    T_MUST(s.c);
    T_EQ(config_consent_of(s.c, STR("+15551234567")), CONFIG_CONSENT_NOTICE);
    drop(&s);
    take(&s, BASE "security: {voice: {destinations: {allow: +499001234567}, "
                  "transfer_targets: {fun: +499001234567}}}\n", "");
    T_OK(s.rc);
    drop(&s);
    /* The gateway's section has maps, too; its answer is shown whole. */
    take(&s, BASE, ",\"section\":{\"security\":{\"voice\":{\"transfer_targets\":"
                   "{\"Desk\":\"+15551234567\"}}}}");
    T_OK(s.rc);
    T_MUST(s.c);
    T_STR_EQ(s.c->security.transfer_targets.v[0].name, "Desk");
    T_STR_EQ(json_get_str(json_get(s.c->all, "security.voice.transfer_targets"), "Desk").p, "+15551234567");
    drop(&s);
}

static void calling_faults(void)
{
    static const struct {
        const char *yaml, *fault;
    } bad[] = {
        {"    twilio: {account_sid: AC123, auth_token: x, phone_number: +15551234567}\n",
         "7: channels.voice.twilio.account_sid: must be an account SID"},
        {"    twilio: {account_sid: " SID ", phone_number: +15551234567}\n",
         "7: channels.voice.twilio.account_sid: needs twilio.auth_token"},
        {"    twilio: {account_sid: " SID ", auth_token: x}\n",
         "7: channels.voice.twilio.account_sid: needs twilio.phone_number"},
        {"    twilio: {auth_token: [x, 'y z']}\n", "7: channels.voice.twilio.auth_token: must be printable"},
        {"    twilio: {phone_number: [+15551234567, 5551234567]}\n",
         "7: channels.voice.twilio.phone_number: must be a number in E.164"},
        {"    twilio: {api_key_sid: SK0123456789abcdef0123456789abcdef}\n",
         "7: channels.voice.twilio.api_key_sid: needs twilio.api_key_secret"},
        {"    twilio: {api_key_secret: x}\n", "7: channels.voice.twilio.api_key_secret: needs"},
        {"    twilio: {edge: 'a.b/'}\n", "7: channels.voice.twilio.edge: must be a name such as"},
        {"    outbound: {quiet_hours: 22-8}\n", "7: channels.voice.outbound.quiet_hours: must be from and to"},
        {"    outbound: {quiet_hours: '22:00-22:00'}\n", "quiet_hours: must be"},
        {"    outbound: {quiet_hours: '24:00-08:00'}\n", "quiet_hours: must be"},
        {"    outbound: {quiet_hours: '22:60-08:00'}\n", "quiet_hours: must be"},
        {"    outbound: {default_country: de}\n", "default_country: must be the two capital letters"},
        {"    outbound: {default_country: EU}\n", "default_country: must be the two capital letters"},
        {"    outbound: {owner: ada}\n", "outbound.owner: must be a channel and who is written to there"},
        {"    outbound: {owner: 'telegram:'}\n", "outbound.owner: must be a channel"},
        {"    outbound: {voicemail: beep}\n", "voicemail: must be hangup, message or continue"},
        {"    recording: {encryption_key: " HEX64 "}\n    x: 1\n", "8: channels.voice.x: no such key"},
        {"    recording: {encryption_key: 0011}\n", "encryption_key: must be 64 hex digits"},
        {"    recording: {consent: maybe}\n", "consent: must be none, notice or ask, not \"maybe\""},
        {"    recording:\n      consent:\n        +49: ask\n        +1: maybe\n",
         "10: channels.voice.recording.consent: must be none, notice or ask, not \"maybe\""},
        {"    recording: {consent: {DE: ask}}\n", "consent: \"DE\" must be a prefix"},
        {"    recording: {consent: [ask]}\n", "consent: must be a text, or names with a text each, not a list"},
        {"security: {voice: {destinations: {allow: ['49']}}}\n", "destinations.allow: must be a prefix"},
        {"security: {voice: {destinations: {deny: [+0]}}}\n", "destinations.deny: must be a prefix"},
        {"security: {voice: {destinations: {deny: ['+49*']}}}\n", "destinations.deny: must be a prefix"},
        {"security: {voice: {transfer_targets: +15551234567}}\n",
         "transfer_targets: must be a section of names with a text each, not a text"},
        {"security: {voice: {transfer_targets: {desk: 'sip:a@b'}}}\n", "\"desk\" must be a number in E.164"},
        {"security: {voice: {transfer_targets: {desk: {a: b}}}}\n", "each entry must be a text"},
        {"security: {voice: {transfer_targets: {+155: +15551234567}}}\n", "\"+155\" is no name"},
        {"security: {voice: {transfer_targets: {Caller: +15551234567}}}\n", "\"Caller\" is no name"},
        {"security: {voice: {transfer_targets: {a/b: +15551234567}}}\n", "\"a/b\" is no name"},
        {"security: {voice: {transfer_targets: {thirty-two bytes are one too many: +15551234567}}}\n", "is no name"},
        {"security: {voice: {transfer_targets: {Desk: +15551234567, desk: +15551234568}}}\n",
         "\"desk\" stands there twice"},
        {"security: {voice: {destinations: {allow: +4990}, transfer_targets: {fun: +499001234567}}}\n",
         "the number of \"fun\" is a premium-rate number, which is never called"},
        {"security: {voice: {transfer_targets: {sos: +491120000}}}\n", "is an emergency number"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char yaml[1024];
        struct seen s;

        (void)snprintf(yaml, sizeof yaml, BASE "%s", bad[i].yaml);
        take(&s, yaml, "");
        T_EQ(s.rc, ERR_CONFIG);
        T_HAS(buf_cstr(&s.faults), bad[i].fault);
        T_EQ(str_find(buf_str(&s.faults), '\n'), s.faults.n - 1); /* that fault alone */
        drop(&s);
    }
}

/* From the file to the decision. */
static void calling_policy(void)
{
    static const struct {
        const char *number, *reason;
    } rows[] = {
        {"+4930123456", "allowed"}, {"+4916012345678", "denied"}, {"+33153456789", "not_allowed"},
        {"+499001234567", "premium"}, {"+4930999999", "own_number"}, {"+15551234567", "allowed"},
    };
    struct destination_policy *p = NULL;
    struct destination_verdict v;
    struct err e = {0};
    struct seen s;

    take(&s, BASE "    twilio: {phone_number: +4930999999}\n"
                  "security: {voice: {destinations: {allow: +49, deny: +4916}, "
                  "transfer_targets: {desk: +15551234567}}}\n", "");
    T_OK(s.rc);
    T_MUST(s.c);
    T_OK(destinations_make(&p, s.c, &e));
    T_MUST(p);
    drop(&s); /* the policy keeps nothing of it */
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        destination_decide(p, str_of(rows[i].number), NULL, 0, &v);
        T_STR_EQ(v.reason, rows[i].reason);
    }
    destination_target_decide(p, STR("DESK"), NULL, 0, &v);
    T_STR_EQ(v.number, "+15551234567");
    destination_policy_free(p);
}

/* A placeholder in the environment of earlier users does not keep the channel from starting. */
static void calling_environment(void)
{
    struct seen s;

    put(".env", "TWILIO_ACCOUNT_SID=ACxxxx\nTWILIO_AUTH_TOKEN=your token\nTWILIO_PHONE_NUMBER=+1XXX\n");
    take(&s, BASE, "");
    T_OK(s.rc);
    T_MUST(s.c);
    T_FALSE(s.c->twilio.ready);
    T_STR_EQ(s.c->twilio.account_sid, "");
    T_EQ(s.c->twilio.phone_numbers.n, 0);
    T_HAS(buf_cstr(&s.warnings), "F/.env:1: TWILIO_ACCOUNT_SID: not used: must be an account SID");
    T_HAS(buf_cstr(&s.warnings), "F/.env:2: TWILIO_AUTH_TOKEN: not used: ");
    T_HAS(buf_cstr(&s.warnings), "F/.env:3: TWILIO_PHONE_NUMBER: not used: must be a number in E.164");
    T_NULL(strstr(buf_cstr(&s.warnings), "your token"));
    drop(&s);
    put(".env", "TWILIO_ACCOUNT_SID=" SID "\n");
    take(&s, BASE, "");
    T_OK(s.rc);
    T_HAS(buf_cstr(&s.warnings), "not used: needs twilio.auth_token");
    drop(&s);
    put(".env", "TWILIO_ACCOUNT_SID=" SID "\nTWILIO_AUTH_TOKEN=t\nTWILIO_PHONE_NUMBER=+15551234567\n");
    take(&s, BASE, "");
    T_OK(s.rc);
    T_TRUE(s.c && s.c->twilio.ready);
    T_HAS(buf_cstr(&s.warnings), "without webhook.base_url");
    drop(&s);
    (void)unlink(in_dir(".env"));
}

/* ---- old keys, and keys without effect ---- */

static void warnings(void)
{
    struct seen s;

    take(&s, BASE
         "    plugin: openclaw-voice\n"
         "    call:\n"
         "      voice_model: gpt-4o\n"
         "      response_latency_ms: soon\n"
         "      record_calls: true\n"
         "      filler_after_ms: 2000\n"
         "      tool_timeout_ms: 2000\n"
         "    integration:\n"
         "      memory_enabled: true\n"
         "      handoff_channels: [telegram, discord, email]\n"
         "metrics: {voice: {export_metrics: no}}\n"
         "security:\n"
         "  voice:\n"
         "    whitelist_enabled: true\n"
         "    unknown_caller_policy: reject\n",
         ",\"section_name\":\"openclaw.json\",\"section\":{\"openai\":{\"voice\":\"onyx\","
         "\"model\":\"gpt-realtime\"},\"api\":{\"token\":\"short\"}}");
    T_OK(s.rc);
    T_STR_EQ(buf_cstr(&s.faults), "");
    T_STR_EQ(
        buf_cstr(&s.warnings),
        "openclaw.json: channels.voice.openai.voice: \"onyx\" is an old value; marin is used, write "
        "that\n"
        "openclaw.json: channels.voice.api.token: is short enough to be guessed; remove it to have one "
        "made, or write at least 16 characters\n"
        "openclaw.json: channels.voice.openai.model: OpenAI shuts gpt-realtime down on 2027-01-20; "
        "write gpt-realtime-2.1\n"
        AT("7", "channels.voice.plugin") "has no meaning any more; remove it\n"
        AT("9", "channels.voice.call.voice_model")
        "has no meaning any more; write channels.voice.openai.voice\n"
        AT("10", "channels.voice.call.response_latency_ms") "has no meaning any more; remove it\n"
        AT("12", "channels.voice.call.filler_after_ms")
        "is not below call.tool_timeout_ms: nothing will be said in between\n"
        AT("16", "channels.voice.integration.handoff_channels")
        "\"email\" is an old value without effect; remove it\n"
        AT("17", "metrics.voice.export_metrics") "has no effect in this version\n"
        AT("20", "security.voice.whitelist_enabled") "with an empty whitelist nobody can call\n"
        AT("21", "security.voice.unknown_caller_policy")
        "\"reject\" is an old value; deny is used, write that\n");
    T_MUST(s.c);
    T_STR_EQ(s.c->openai.voice, "marin");
    T_EQ(s.c->integration.handoff_channels.n, 2);
    T_FALSE(s.c->security.unknown_allowed);
    drop(&s);
    take(&s, BASE "    plugin: ./openclaw_voice.so\n", "");
    T_OK(s.rc);
    T_EQ(s.warnings.n, 0);
    drop(&s);
    take(&s, BASE "      bind: 0.0.0.0\n", "");
    T_OK(s.rc);
    T_HAS(buf_cstr(&s.warnings), ":7: channels.voice.webhook.bind: other machines reach the API");
    drop(&s);
    take(&s, BASE "    agent_file: who.json\n", "");
    T_OK(s.rc);
    T_HAS(buf_cstr(&s.warnings), "F/who.json\" is not there");
    drop(&s);
}

static void files(void)
{
    struct seen s;

    put("cert.pem", "x");
    take(&s, BASE "      tls_cert: cert.pem\n      tls_key: gone.pem\n", "");
    T_EQ(s.rc, ERR_CONFIG);
    T_STR_EQ(buf_cstr(&s.faults), "F/c.yaml:8: channels.voice.webhook.tls_key: \"F/gone.pem\" cannot be "
                                  "read: No such file or directory\n");
    drop(&s);
    take(&s, BASE "      tls_key: cert.pem\n", "");
    T_HAS(buf_cstr(&s.faults), ":7: channels.voice.webhook.tls_key: needs webhook.tls_cert");
    drop(&s);
    take(&s, BASE "      tls_cert: .\n      tls_key: cert.pem\n", "");
    T_HAS(buf_cstr(&s.faults), "it is no file");
    drop(&s);
    /* A FIFO must not hold up the reader. */
    T_MUST(mkfifo(in_dir("fifo"), 0600) == 0);
    take(&s, BASE "      tls_cert: fifo\n      tls_key: cert.pem\n", "");
    T_HAS(buf_cstr(&s.faults), "it is no file");
    drop(&s);
}

static void relative_config_file(void)
{
    struct seen s;
    char before[512];

    T_MUST(getcwd(before, sizeof before));
    put("c.yaml", BASE);
    T_MUST(chdir(dir) == 0);
    read_json(&s, "{\"host\":\"gateway\",\"config_file\":\"./c.yaml\"}");
    T_MUST(chdir(before) == 0);
    T_OK(s.rc);
    T_MUST(s.c);
    T_STR_EQ(s.c->config_file, in_dir("c.yaml"));
    T_FALSE(s.c->native_host);
    drop(&s);
}

/* ---- bounds ---- */

static void many_faults(void)
{
    struct buf yaml;
    struct seen s;
    unsigned lines = 0;

    buf_init(&yaml, 1u << 20);
    (void)buf_puts(&yaml, STR(BASE "security:\n  voice:\n    whitelist:\n"));
    for (int i = 0; i < 300; i++)
        (void)buf_puts(&yaml, STR("    - x\n"));
    take(&s, buf_cstr(&yaml), "");
    T_EQ(s.rc, ERR_CONFIG);
    for (size_t i = 0; i < s.faults.n; i++)
        lines += s.faults.p[i] == '\n';
    T_EQ(lines, 201);
    T_HAS(buf_cstr(&s.faults), "configuration: and 100 more\n");
    drop(&s);
    /* A buffer with little room gets whole lines. */
    put("c.yaml", buf_cstr(&yaml));
    memset(&s, 0, sizeof s);
    buf_init(&s.faults, 400);
    buf_init(&s.warnings, 400);
    buf_clear(&yaml);
    (void)buf_printf(&yaml, "{\"host\":\"native\",\"config_file\":\"%s\"}", in_dir("c.yaml"));
    s.rc = config_read(&s.c, buf_str(&yaml), &s.faults, &s.warnings);
    T_EQ(s.rc, ERR_CONFIG);
    T_GT(s.faults.n, 100);
    T_EQ(s.faults.p[s.faults.n - 1], '\n');
    drop(&s);
    buf_free(&yaml);
}

static void shared_snapshot(void)
{
    struct seen s;

    take(&s, BASE, "");
    T_MUST(s.c);
    T_PTR_EQ(config_ref(s.c), s.c);
    config_unref(s.c);
    T_STR_EQ(s.c->openai.api_key, "sk-base");
    drop(&s);
    config_unref(NULL);
}

static unsigned ladder(const char *yaml, const char *more, int want)
{
    unsigned n = 1;

    for (;; n++) {
        struct seen s;

        (void)mem_fault_after(n);
        {
            char json[1024];

            (void)snprintf(json, sizeof json, "{\"host\":\"native\",\"config_file\":\"%s\"%s}",
                           in_dir("c.yaml"), more);
            if (n == 1)
                put("c.yaml", yaml);
            read_json(&s, json);
        }
        (void)mem_fault_after(0);
        if (s.rc == want) {
            drop(&s);
            return n;
        }
        T_EQ(s.rc, ERR_NOMEM);
        T_NULL(s.c);
        drop(&s);
        T_MUST(n < 2000);
    }
}

static void out_of_memory(void)
{
    put(".env", "A=b\nC=\"d\\n\"\n");
    T_GT(ladder(BASE "    integration: {handoff_channels: [a, '${A}', email]}\n    recording: {consent: {+49: ask}}\n"
                     "    call: {greeting: 'x${C}'}\nsecurity: {voice: {whitelist: [+15551234567]}}\n",
                ",\"section\":{\"webhook\":{\"port\":5}}", 0), 8);
    T_GT(ladder(BASE "    call: {greeting: '${NONE}', voice: x, max_concurrent: x}\n"
                     "security: {voice: {whitelist: [+155]}}\n",
                ",\"section\":{\"webhook\":{\"port\":\"x\"}}", ERR_CONFIG), 8);
    (void)unlink(in_dir(".env"));
}

/* ---- the sample ---- */

static void sample(void)
{
    const char *root = getenv("OCV_ROOT");
    char json[1024];
    struct seen s;

    (void)setenv("OPENAI_API_KEY", "sk-x", 1);
    (void)setenv("WEBHOOK_SECRET", SECRET, 1);
    (void)snprintf(json, sizeof json,
                   "{\"host\":\"native\",\"config_file\":\"%s/openclaw-voice-config.yaml\"}",
                   root && *root ? root : ".");
    read_json(&s, json);
    T_STR_EQ(buf_cstr(&s.faults), "");
    T_STR_EQ(buf_cstr(&s.warnings), "");
    T_OK(s.rc);
    T_TRUE(s.c && s.c->enabled);
    drop(&s);
    (void)unsetenv("OPENAI_API_KEY");
    (void)unsetenv("WEBHOOK_SECRET");
}

int main(void)
{
    static const char *const names[] = {
        "OPENAI_API_KEY", "OPENAI_PROJECT_ID", "WEBHOOK_SECRET", "TWILIO_ACCOUNT_SID",
        "TWILIO_AUTH_TOKEN", "TWILIO_PHONE_NUMBER", "PUBLIC_URL", "PORT"};
    char command[128];
    int rc;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        (void)unsetenv(names[i]);
    (void)snprintf(dir, sizeof dir, "/tmp/test_config.XXXXXX");
    if (mkdtemp(dir) == NULL)
        return 1;
    (void)setenv("HOME", in_dir("home"), 1);
    T_RUN(table_is_sound);
    T_RUN(ranges);
    T_RUN(defaults);
    T_RUN(everything_set);
    T_RUN(every_key_arrives);
    T_RUN(golden_listing);
    T_RUN(urls);
    T_RUN(types);
    T_RUN(near_misses);
    T_RUN(missing_keys);
    T_RUN(signatures_off);
    T_RUN(secrets_that_cannot_be);
    T_RUN(secrets_are_masked);
    T_RUN(precedence);
    T_RUN(section_alone);
    T_RUN(create_object);
    T_RUN(variables);
    T_RUN(variables_of_other_types);
    T_RUN(variables_are_bounded);
    T_RUN(calling_defaults);
    T_RUN(calling_faults);
    T_RUN(calling_policy);
    T_RUN(calling_environment);
    T_RUN(warnings);
    T_RUN(files);
    T_RUN(relative_config_file);
    T_RUN(many_faults);
    T_RUN(shared_snapshot);
    T_RUN(out_of_memory);
    T_RUN(sample);
    rc = T_DONE();
    (void)snprintf(command, sizeof command, "rm -rf '%s'", dir);
    if (system(command) != 0)
        rc = 1;
    return rc;
}
