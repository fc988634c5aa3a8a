/* SPDX-License-Identifier: MIT */
/* Lines of the log, names of errors, and where this program lies. */
#include "plugin/base/log.h"
#include "plugin/base/err.h"
#include "plugin/base/here.h"
#include "tests/unit/t.h"

#include <unistd.h>

struct sunk {
    unsigned n;
    enum log_level level;
    char text[1200];
    size_t len;
};

static void sink(void *ctx, enum log_level level, struct str line)
{
    struct sunk *s = ctx;

    s->n++;
    s->level = level;
    s->len = line.n;
    (void)str_copy(s->text, sizeof s->text, line);
}

static void levels(void)
{
    struct sunk s = {0};
    struct log log;

    log_init(&log, sink, &s, LOG_WARN);
    log_error(&log, "one %d", 1);
    T_EQ(s.n, 1);
    T_EQ(s.level, LOG_ERROR);
    T_STR_EQ(s.text, "one 1");
    log_warn(&log, "two");
    T_EQ(s.n, 2);
    log_info(&log, "three");
    log_debug(&log, "four");
    T_EQ(s.n, 2);
    log_error(NULL, "nobody listens");
    log_init(&log, NULL, NULL, LOG_DEBUG);
    log_error(&log, "nobody listens");
    T_EQ(s.n, 2);
}

/* Input of strangers cannot forge a line, nor be cut within a character. */
static void one_line(void)
{
    struct sunk s = {0};
    struct log log;
    char wide[1100];

    log_init(&log, sink, &s, LOG_DEBUG);
    log_info(&log, "a%sb", "\r\nERROR forged\t\x1b[31m\x7f");
    T_STR_EQ(s.text, "a  ERROR forged  [31m b");
    T_NULL(strchr(s.text, '\n'));
    memset(wide, 'x', sizeof wide);
    for (size_t i = 1; i + 2 < sizeof wide; i += 2)
        memcpy(wide + i, "\xc3\xa4", 2);
    wide[sizeof wide - 1] = '\0';
    log_info(&log, "%s", wide);
    T_EQ(s.len, 999); /* the character that the limit of 1,000 bytes cuts through is left out */
    T_EQ((unsigned char)s.text[998], 0xa4);
}

static void numbers(void)
{
    struct log log;

    log_init(&log, sink, NULL, LOG_INFO);
    T_STR_EQ(log_number(&log, STR("+15551234567")).text, "+15…67");
    T_STR_EQ(log_number(&log, STR("+1555")).text, "…");
    T_STR_EQ(log_number(&log, STR("")).text, "(no number)");
    T_STR_EQ(log_number(NULL, STR("+15551234567")).text, "+15…67");
    log_init(&log, sink, NULL, LOG_DEBUG);
    T_STR_EQ(log_number(&log, STR("+15551234567")).text, "+15551234567");
    T_STR_EQ(log_number(&log, STR("+155512345678901234567890")).text, "+1555123456789012345");
}

static void errors(void)
{
    struct err e = {0};

    T_EQ(err_set(&e, ERR_TOO_BIG, "%s is %d", "it", 5), ERR_TOO_BIG);
    T_EQ(e.code, ERR_TOO_BIG);
    T_STR_EQ(e.text, "it is 5");
    T_EQ(err_set(NULL, ERR_IO, "nobody reads it"), ERR_IO);
    (void)err_set(&e, ERR_IO, "%0400d", 0);
    T_EQ(strlen(e.text), sizeof e.text - 1);
    /* Each code has a name of its own; foreign codes have one in common, and SQLite's, too. */
    for (int a = ERR_NOMEM; a >= ERR_IO; a--) {
        T_STR_NE(err_name(a), "error");
        for (int b = a - 1; b >= ERR_IO; b--)
            T_STR_NE(err_name(a), err_name(b));
    }
    T_STR_EQ(err_name(ERR_IO - 1), "error");
    T_STR_EQ(err_name(-2), "error");
    T_STR_EQ(err_name(ERR_SQLITE - 13), "database error");
}

static void here(void)
{
    char path[1024], own[1024], small[8];
    ssize_t n = readlink("/proc/self/exe", own, sizeof own - 1);
    char *slash;

    T_MUST(n > 0);
    own[n] = '\0';
    T_TRUE(here_path("beside.bin", path, sizeof path));
    slash = strrchr(path, '/');
    T_MUST(slash != NULL);
    T_STR_EQ(slash, "/beside.bin");
    *slash = '\0';
    *strrchr(own, '/') = '\0';
    T_TRUE(strlen(own) >= strlen(path) && strcmp(own + strlen(own) - strlen(path) + (path[0] == '.' ? 1 : 0),
                                                 path + (path[0] == '.' ? 1 : 0)) == 0);
    T_FALSE(here_path("a name that is longer than the room", small, sizeof small));
}

int main(void)
{
    T_RUN(levels);
    T_RUN(one_line);
    T_RUN(numbers);
    T_RUN(errors);
    T_RUN(here);
    return T_DONE();
}
