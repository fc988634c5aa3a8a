/* SPDX-License-Identifier: MIT */
/* Where configuration comes from, and what stands in for what: file, section of the gateway, create()'s object, variables. */
#include "plugin/config/config.h"
#include "tests/unit/config_kit.h"

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
    T_MUST(buf_cstr(&big) != NULL);
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

int main(void)
{
    if (begin() != 0)
        return 1;
    T_RUN(precedence);
    T_RUN(section_alone);
    T_RUN(create_object);
    T_RUN(variables);
    T_RUN(variables_of_other_types);
    T_RUN(variables_are_bounded);
    T_RUN(relative_config_file);
    return end();
}
