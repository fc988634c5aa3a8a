/* SPDX-License-Identifier: MIT */
#include "plugin/proto/sig.h"

#include "plugin/base/mem.h"
#include "tests/unit/t.h"

#define NOW 1700000000u
#define KEY "whsec_MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1u" /* "0123456789abcdefghijklmn" */
#define RAW "a raw secret of 25 bytes!"
#define GOOD "v1,TM+6HqOG6Wr8CGKfFM1jku93FO8vsyWXoqBE47jhY0U="
#define GOOD_RAW "v1,/gEITlaL4EoJY3zxadI8CUhuvCXQHKO6jF2y0mFDUIE="
#define OTHER "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define BODY "{\"a\":1}"

static struct sig_keys *open_keys(const char *first, const char *second)
{
    struct str s[2] = {str_of(first), str_of(second)};
    struct sig_keys *k = NULL;

    T_MUST(sig_keys_open(&k, s, second ? 2 : 1, NULL) == 0);
    return k;
}

/* The example that the specification's authors publish. */
static void the_published_example(void)
{
    struct sig_keys *k = open_keys("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", NULL);
    char out[64];

    T_EQ(sig_verify(k, STR("msg_p5jXN8AQM9LWM0D4loKWxJek"), STR("1614265330"),
                    STR("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="), STR("{\"test\": 2432232314}"),
                    1614265330, NULL), SIG_GOOD);
    T_OK(sig_sign(k, STR("msg_p5jXN8AQM9LWM0D4loKWxJek"), STR("1614265330"), STR("{\"test\": 2432232314}"),
                  out, sizeof out));
    T_STR_EQ(out, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    T_EQ(sig_sign(k, STR("a"), STR("1"), STR(""), out, 20), ERR_TOO_BIG);
    sig_keys_free(k);
}

static const struct {
    const char *name, *id, *time, *signatures, *body;
    enum sig_result want;
} cases[] = {
    {"good", "wh_1", "1700000000", GOOD, BODY, SIG_GOOD},
    {"good under the second secret", "wh_1", "1700000000", GOOD_RAW, BODY, SIG_GOOD},
    {"an empty body", "wh_1", "1700000000", "v1,QdXf3U8RpcnSzrn5mf5P0tBNvuLXdj+TqMGi0PFCxwk=", "", SIG_GOOD},
    {"the good one last", "wh_1", "1700000000", OTHER " v1a,xyz " GOOD, BODY, SIG_GOOD},
    {"the good one first", "wh_1", "1700000000", GOOD " " OTHER, BODY, SIG_GOOD},
    {"blanks around", "wh_1", "1700000000", "  " GOOD "  ", BODY, SIG_GOOD},
    {"another body", "wh_1", "1700000000", GOOD, BODY " ", SIG_BAD},
    {"another id", "wh_2", "1700000000", GOOD, BODY, SIG_BAD},
    {"another time", "wh_1", "1700000001", GOOD, BODY, SIG_BAD},
    {"the time spelled otherwise", "wh_1", "01700000000", GOOD, BODY, SIG_BAD},
    {"no prefix", "wh_1", "1700000000", "TM+6HqOG6Wr8CGKfFM1jku93FO8vsyWXoqBE47jhY0U=", BODY, SIG_BAD},
    {"v2", "wh_1", "1700000000", "v2,TM+6HqOG6Wr8CGKfFM1jku93FO8vsyWXoqBE47jhY0U=", BODY, SIG_BAD},
    {"V1", "wh_1", "1700000000", "V1,TM+6HqOG6Wr8CGKfFM1jku93FO8vsyWXoqBE47jhY0U=", BODY, SIG_BAD},
    {"no padding", "wh_1", "1700000000", "v1,TM+6HqOG6Wr8CGKfFM1jku93FO8vsyWXoqBE47jhY0U", BODY, SIG_BAD},
    {"cut", "wh_1", "1700000000", "v1,TM+6HqOG6Wr8", BODY, SIG_BAD},
    {"empty v1", "wh_1", "1700000000", "v1,", BODY, SIG_BAD},
    {"a comma between", "wh_1", "1700000000", OTHER "," GOOD, BODY, SIG_BAD},
    {"no id", "", "1700000000", GOOD, BODY, SIG_MISSING},
    {"no time", "wh_1", "", GOOD, BODY, SIG_MISSING},
    {"no signature", "wh_1", "1700000000", "", BODY, SIG_MISSING},
    {"a time with letters", "wh_1", "1700000000abc", GOOD, BODY, SIG_MISSING},
    {"a time with a sign", "wh_1", "+1700000000", GOOD, BODY, SIG_MISSING},
    {"a negative time", "wh_1", "-1", GOOD, BODY, SIG_MISSING},
    {"a time with a point", "wh_1", "1700000000.0", GOOD, BODY, SIG_MISSING},
    {"a time with a blank", "wh_1", " 1700000000", GOOD, BODY, SIG_MISSING},
    {"a time beyond all", "wh_1", "99999999999999999999999", GOOD, BODY, SIG_MISSING},
    {"the largest time", "wh_1", "18446744073709551615", GOOD, BODY, SIG_STALE},
    {"time 0", "wh_1", "0", GOOD, BODY, SIG_STALE},
};

static void a_table(void)
{
    struct sig_keys *k = open_keys(KEY, RAW);

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = {0};
        enum sig_result got = sig_verify(k, str_of(cases[i].id), str_of(cases[i].time),
                                         str_of(cases[i].signatures), str_of(cases[i].body), NOW, &e);

        if (got != cases[i].want || (got != SIG_GOOD) != (e.text[0] != '\0'))
            T_FAIL("%s: %d, not %d: %s", cases[i].name, got, cases[i].want, e.text);
        T_TRUE(strstr(e.text, "raw secret") == NULL);
    }
    sig_keys_free(k);
}

static void the_window(void)
{
    struct sig_keys *k = open_keys(KEY, NULL);
    static const struct {
        int off;
        enum sig_result want;
    } at[] = {{0, SIG_GOOD}, {300, SIG_GOOD}, {-300, SIG_GOOD}, {301, SIG_STALE}, {-301, SIG_STALE}};

    for (size_t i = 0; i < sizeof at / sizeof *at; i++)
        T_EQ(sig_verify(k, STR("wh_1"), STR("1700000000"), STR(GOOD), STR(BODY),
                        (uint64_t)((int64_t)NOW + at[i].off), NULL), at[i].want);
    sig_keys_free(k);
}

static void bytes_of_any_value(void)
{
    struct sig_keys *k = open_keys(KEY, NULL);
    char body[256];

    for (int i = 0; i < 256; i++)
        body[i] = (char)i;
    T_EQ(sig_verify(k, STR("wh_2"), STR("1700000000"), STR("v1,B40TgH8I7eVa9eogLUH6g/f6ya1yfsjUv1BMHIrIC34="),
                    str_make(body, 256), NOW, NULL), SIG_GOOD);
    sig_keys_free(k);
}

/* The 32nd signature still counts, the 33rd does not: the work is bounded. */
static void many_signatures(void)
{
    struct sig_keys *k = open_keys(KEY, NULL);
    char text[4096] = "";
    size_t n = 0;

    for (int i = 0; i < 31; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s ", OTHER);
    (void)snprintf(text + n, sizeof text - n, "%s", GOOD);
    T_EQ(sig_verify(k, STR("wh_1"), STR("1700000000"), str_of(text), STR(BODY), NOW, NULL), SIG_GOOD);
    (void)snprintf(text + n, sizeof text - n, "%s %s", OTHER, GOOD);
    T_EQ(sig_verify(k, STR("wh_1"), STR("1700000000"), str_of(text), STR(BODY), NOW, NULL), SIG_BAD);
    sig_keys_free(k);
}

/* A key longer than a block of the hash is hashed first (RFC 2104, 2). */
static void a_long_secret(void)
{
    struct sig_keys *k;
    char secret[101] = "";

    memset(secret, 's', 100);
    k = open_keys(secret, NULL);
    T_EQ(sig_verify(k, STR("wh_1"), STR("1700000000"), STR("v1,0mIngD22tK4jtx9iyKVYZAhpf5W8ZRAEvCdztImJ85A="),
                    STR(BODY), NOW, NULL), SIG_GOOD);
    sig_keys_free(k);
}

static void every_flipped_bit_is_noticed(void)
{
    struct sig_keys *k = open_keys(KEY, NULL);
    char text[] = GOOD;

    for (size_t i = 3; i < sizeof text - 1; i++) {
        for (int bit = 0; bit < 7; bit++) {
            text[i] = (char)(text[i] ^ (1 << bit));
            if (text[i] != ' ' && text[i] != '\0')
                T_EQ(sig_verify(k, STR("wh_1"), STR("1700000000"), str_of(text), STR(BODY), NOW, NULL),
                     SIG_BAD);
            text[i] = (char)(text[i] ^ (1 << bit));
        }
    }
    sig_keys_free(k);
}

static void secrets(void)
{
    static const char *const bad[] = {
        "", "short", "fifteen bytes..", "whsec_", "whsec_!!!!", "whsec_MDEyMzQ1Njc4OWFi",
        "whsec_MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1", "whsec_MDEyMzQ1 jc4OWFiY2RlZmdoaWprbG1u",
        "whsec_MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1-", "whsec_MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1u====",
    };
    char longest[300];
    struct sig_keys *k = NULL;
    struct str s[2];
    struct err e;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        s[0] = STR(KEY);
        s[1] = str_of(bad[i]);
        if (sig_keys_open(&k, s, 2, &e) != ERR_INVALID || strstr(e.text, "secret 2") == NULL)
            T_FAIL("\"%s\" passed: %s", bad[i], e.text);
        if (*bad[i] != '\0')
            T_TRUE(strstr(e.text, bad[i]) == NULL || strcmp(bad[i], "whsec_") == 0);
    }
    memset(longest, 's', sizeof longest);
    s[0] = str_make(longest, 256);
    T_OK(sig_keys_open(&k, s, 1, &e));
    sig_keys_free(k);
    s[0] = str_make(longest, 257);
    T_EQ(sig_keys_open(&k, s, 1, &e), ERR_INVALID);
    T_EQ(sig_keys_open(&k, s, 0, &e), ERR_INVALID);
    sig_keys_free(NULL);
}

int main(void)
{
    T_RUN(the_published_example);
    T_RUN(a_table);
    T_RUN(the_window);
    T_RUN(bytes_of_any_value);
    T_RUN(many_signatures);
    T_RUN(a_long_secret);
    T_RUN(every_flipped_bit_is_noticed);
    T_RUN(secrets);
    return T_DONE();
}
