/* SPDX-License-Identifier: MIT */
/* The table of keys and what is read by it: defaults, every key, secrets, old keys, files, bounds, the sample. */
#include "plugin/base/mem.h"
#include "plugin/config/config.h"
#include "plugin/config/config_keys.h"
#include "tests/unit/config_kit.h"

#include <sys/stat.h>

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
    T_TRUE(lacks(&all, "TOKEN"));
    T_MUST(buf_cstr(&all) != NULL);
    T_TRUE(lacks(&all, "sk-base"));
    T_TRUE(lacks(&all, "MfKQ"));
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
    T_TRUE(lacks(&s.faults, "CRET"));
    T_HAS(buf_cstr(&s.faults), "webhook.port: LEAK is not set");
    drop(&s);
    /* What a variable held is not shown either: it may be the wrong one. */
    (void)setenv("LEAK", "SECRET", 1);
    take(&s, BASE "      port: ${LEAK}\n", "");
    T_EQ(s.rc, ERR_CONFIG);
    T_HAS(buf_cstr(&s.faults), "not \"${LEAK}\"");
    T_TRUE(lacks(&s.faults, "SECRET"));
    drop(&s);
    (void)unsetenv("LEAK");
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
    if (begin() != 0)
        return 1;
    T_RUN(table_is_sound);
    T_RUN(ranges);
    T_RUN(defaults);
    T_RUN(everything_set);
    T_RUN(every_key_arrives);
    T_RUN(secrets_are_masked);
    T_RUN(warnings);
    T_RUN(files);
    T_RUN(many_faults);
    T_RUN(shared_snapshot);
    T_RUN(out_of_memory);
    T_RUN(sample);
    return end();
}
