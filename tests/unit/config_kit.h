/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_CONFIG_KIT_H
#define TESTS_UNIT_CONFIG_KIT_H
/* What tests of the configuration share: a folder of their own, a file read with what it says. */
#include "plugin/base/buf.h"
#include "plugin/config/config.h"
#include "tests/unit/t.h"

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

/* The text has not that word, also where memory for it was out. */
static inline bool lacks(struct buf *b, const char *word)
{
    const char *text = buf_cstr(b);

    return text == NULL || strstr(text, word) == NULL;
}

static inline const char *in_dir(const char *name)
{
    static char path[2][200];
    static unsigned turn;

    turn ^= 1;
    (void)snprintf(path[turn], sizeof path[turn], "%s/%s", dir, name);
    return path[turn];
}

static inline void put(const char *name, const char *text)
{
    FILE *f = fopen(in_dir(name), "w");

    T_MUST(f);
    T_MUST(fwrite(text, 1, strlen(text), f) == strlen(text));
    T_MUST(fclose(f) == 0);
}

static inline void read_json(struct seen *s, const char *json)
{
    memset(s, 0, sizeof *s);
    buf_init(&s->faults, 1u << 20);
    buf_init(&s->warnings, 1u << 20);
    s->rc = config_read(&s->c, str_of(json), &s->faults, &s->warnings);
}

/* Lines name the file by its path; the tests know it as "F". */
static inline void shorten(struct buf *b)
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
static inline void take(struct seen *s, const char *yaml, const char *more)
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

static inline void drop(struct seen *s)
{
    config_unref(s->c);
    buf_free(&s->faults);
    buf_free(&s->warnings);
}

#define AT(n, key) "F/c.yaml:" n ": " key ": "

/* Nothing of the machine's own is read; 1: no folder can be made. */
static inline int begin(void)
{
    static const char *const names[] = {
        "OPENAI_API_KEY", "OPENAI_PROJECT_ID", "WEBHOOK_SECRET", "TWILIO_ACCOUNT_SID",
        "TWILIO_AUTH_TOKEN", "TWILIO_PHONE_NUMBER", "PUBLIC_URL", "PORT"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        (void)unsetenv(names[i]);
    (void)snprintf(dir, sizeof dir, "/tmp/test_config.XXXXXX");
    if (mkdtemp(dir) == NULL)
        return 1;
    (void)setenv("HOME", in_dir("home"), 1);
    return 0;
}

/* Removes the folder; main's result. */
static inline int end(void)
{
    char command[128];
    int rc = T_DONE();

    (void)snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command) != 0 ? 1 : rc;
}

#endif
