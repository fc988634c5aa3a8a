/* SPDX-License-Identifier: MIT */
#include "plugin/config/config.h"
#include "tests/unit/config_kit.h"

/* ---- faults ---- */

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
    T_TRUE(lacks(&s.faults, "hunter2"));
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
    T_TRUE(lacks(&s.faults, "missing"));
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

int main(void)
{
    if (begin() != 0)
        return 1;
    T_RUN(golden_listing);
    T_RUN(urls);
    T_RUN(types);
    T_RUN(near_misses);
    T_RUN(missing_keys);
    T_RUN(signatures_off);
    T_RUN(secrets_that_cannot_be);
    return end();
}
