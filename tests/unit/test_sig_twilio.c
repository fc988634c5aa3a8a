/* SPDX-License-Identifier: MIT */
/* What the sender publishes as examples, and the rules one by one; tests/conformance has the wide table. */
#include "plugin/proto/sig_twilio.h"

#include "plugin/base/mem.h"
#include "tests/unit/t.h"

#define URL "https://mycompany.com/myapp.php?foo=1&bar=2"
#define FORM "CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212"
#define GOOD "RSOYDt4T1cUTdK1PDd93/VVr8B8="
#define JSON_BODY "{\"property\": \"value\", \"boolean\": true}"
#define JSON_HASH "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
#define JSON_GOOD "a9nBmqA0ju/hNViExpshrM61xv4="
#define TYPE "application/x-www-form-urlencoded"

static struct sig_twilio *keys(const char *first, const char *second)
{
    struct str tokens[2] = {str_of(first), str_of(second)};
    struct sig_twilio *s = NULL;

    T_MUST(sig_twilio_open(&s, tokens, second != NULL ? 2 : 1, NULL) == 0);
    return s;
}

static int verify(const struct sig_twilio *s, const char *url, const char *type, const char *body, const char *sig)
{
    struct sig_twilio_request r = {str_of(url), str_of(type), str_of(body), str_of(sig)};

    return sig_twilio_verify(s, &r);
}

static void the_published_examples(void)
{
    struct sig_twilio *s = keys("12345", NULL);
    char out[SIG_TWILIO_TEXT];

    T_OK(verify(s, URL, TYPE, FORM, GOOD));
    T_OK(verify(s, URL, "Application/X-WWW-Form-Urlencoded ; charset=UTF-8", FORM, GOOD));
    T_OK(verify(s, URL "&bodySHA256=" JSON_HASH, "application/json", JSON_BODY, JSON_GOOD));
    T_OK(sig_twilio_sign(s, STR(URL), STR(FORM), out));
    T_STR_EQ(out, GOOD);
    sig_twilio_free(s);
}

static const struct {
    const char *name, *url, *type, *body, *sig;
    int want;
} cases[] = {
    {"fields in another order", URL, TYPE,
     "To=%2B18005551212&From=%2B14158675309&Digits=1234&Caller=%2B14158675309&CallSid=CA1234567890ABCDE", GOOD, 0},
    {"a field twice with one value", URL, TYPE, FORM "&Digits=1234", GOOD, 0},
    {"a field twice with another value", URL, TYPE, FORM "&Digits=12345", GOOD, ERR_DENIED},
    {"with the standard port", "https://mycompany.com:443/myapp.php?foo=1&bar=2", TYPE, FORM, GOOD, 0},
    {"with another port", "https://mycompany.com:8443/myapp.php?foo=1&bar=2", TYPE, FORM, GOOD, 0},
    {"http for https", "http://mycompany.com/myapp.php?foo=1&bar=2", TYPE, FORM, GOOD, ERR_DENIED},
    {"a slash at the end", "https://mycompany.com/myapp.php/?foo=1&bar=2", TYPE, FORM, GOOD, ERR_DENIED},
    {"another query", "https://mycompany.com/myapp.php?foo=1&bar=3", TYPE, FORM, GOOD, ERR_DENIED},
    {"another value", URL, TYPE, FORM "5", GOOD, ERR_DENIED},
    {"a name in other case", URL, TYPE, "c" FORM, GOOD, ERR_DENIED},
    {"an added field", URL, TYPE, FORM "&Zone=1", GOOD, ERR_DENIED},
    {"no body", URL, TYPE, "", GOOD, ERR_DENIED},
    {"a body of no form", URL, "application/json", FORM, GOOD, ERR_DENIED},
    {"a body of no type", URL, "", FORM, GOOD, ERR_DENIED},
    {"a body that is broken", URL, TYPE, FORM "&a=%", GOOD, ERR_DENIED},
    {"no signature", URL, TYPE, FORM, "", ERR_DENIED},
    {"a signature cut", URL, TYPE, FORM, "RSOYDt4T1cUTdK1PDd93/VVr8B8", ERR_DENIED},
    {"a signature and more", URL, TYPE, FORM, GOOD "=", ERR_DENIED},
    {"a signature in other case", URL, TYPE, FORM, "rsOYDt4T1cUTdK1PDd93/VVr8B8=", ERR_DENIED},
    {"JSON with another byte", URL "&bodySHA256=" JSON_HASH, "application/json", JSON_BODY " ", JSON_GOOD, ERR_DENIED},
    {"JSON without its hash", URL, "application/json", JSON_BODY, JSON_GOOD, ERR_DENIED},
    {"JSON with its hash empty", URL "&bodySHA256=", "application/json", JSON_BODY, JSON_GOOD, ERR_DENIED},
    {"JSON with its hash shorter", URL "&bodySHA256=0a1f", "application/json", JSON_BODY, JSON_GOOD, ERR_DENIED},
    {"no URL", "", TYPE, FORM, GOOD, ERR_DENIED},
    {"a URL of no scheme", "mycompany.com/x", TYPE, FORM, GOOD, ERR_DENIED},
};

static void each_rule(void)
{
    struct sig_twilio *s = keys("12345", NULL);

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (verify(s, cases[i].url, cases[i].type, cases[i].body, cases[i].sig) != cases[i].want)
            T_FAIL("%s", cases[i].name);
    sig_twilio_free(s);
}

static void either_token_of_a_rotation_fits(void)
{
    struct sig_twilio *first = keys("12345", "67890"), *second = keys("67890", "12345"), *none = keys("67890", "1");

    T_OK(verify(first, URL, TYPE, FORM, GOOD));
    T_OK(verify(second, URL, TYPE, FORM, GOOD));
    T_EQ(verify(none, URL, TYPE, FORM, GOOD), ERR_DENIED);
    sig_twilio_free(first);
    sig_twilio_free(second);
    sig_twilio_free(none);
}

static void tokens_are_checked(void)
{
    static char big[300];
    struct str none = STR(""), long_one = str_make(memset(big, 'x', sizeof big), sizeof big), many[9];
    struct str good[2] = {STR("a"), STR("")};
    struct sig_twilio *s = NULL;
    struct err e = {0};

    for (int i = 0; i < 9; i++)
        many[i] = STR("a");
    T_EQ(sig_twilio_open(&s, &none, 1, &e), ERR_INVALID);
    T_EQ(sig_twilio_open(&s, &long_one, 1, &e), ERR_INVALID);
    T_EQ(sig_twilio_open(&s, many, 0, &e), ERR_INVALID);
    T_EQ(sig_twilio_open(&s, many, 9, &e), ERR_INVALID);
    T_EQ(sig_twilio_open(&s, good, 2, &e), ERR_INVALID);
    T_HAS(e.text, "2");
    T_NULL(s);
    sig_twilio_free(NULL);
}

static void memory_that_is_out_denies_nobody_for_good(void)
{
    struct sig_twilio *s = keys("12345", NULL);
    unsigned failed = 0;
    int rc = ERR_NOMEM;

    for (unsigned long n = 1; n < 100 && rc != 0; n++) {
        (void)mem_fault_after(n);
        rc = verify(s, URL, TYPE, FORM, GOOD);
        (void)mem_fault_after(0);
        T_TRUE(rc == 0 || rc == ERR_NOMEM);
        failed += rc != 0;
    }
    T_OK(rc);
    T_GT(failed, 5);
    sig_twilio_free(s);
}

static void a_url_of_any_size_is_borne(void)
{
    static char url[40000] = "https://h/?";
    struct sig_twilio *s = keys("12345", NULL);

    memset(url + 11, '\'', sizeof url - 12);
    T_EQ(verify(s, url, TYPE, FORM, GOOD), ERR_DENIED);
    url[16000] = '\0';
    T_EQ(verify(s, url, TYPE, FORM, GOOD), ERR_DENIED);
    sig_twilio_free(s);
}

int main(void)
{
    T_RUN(the_published_examples);
    T_RUN(each_rule);
    T_RUN(either_token_of_a_rotation_fits);
    T_RUN(tokens_are_checked);
    T_RUN(memory_that_is_out_denies_nobody_for_good);
    T_RUN(a_url_of_any_size_is_borne);
    return T_DONE();
}
