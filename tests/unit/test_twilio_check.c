/* SPDX-License-Identifier: MIT */
#include "tests/unit/twilio_kit.h"

#include "plugin/base/json.h"
#include "plugin/carrier/carrier.h"

#define OWN "+15550001000"
#define OTHER "+15550001001"

static const char *const tokens[] = {"token-one", "token-two"};
static const char *const numbers[] = {OWN, OTHER};
static struct findings found;
static unsigned done_times;

static void on_done(void *arg)
{
    ++*(unsigned *)arg;
}

static int check(void)
{
    const struct carrier_check ask = {.auth_tokens = tokens, .n_auth_tokens = 2, .numbers = numbers, .n_numbers = 2,
                                      .out = &found, .done = on_done, .arg = &done_times};

    findings_free(&found);
    findings_init(&found);
    done_times = 0;
    return kit_carrier->ops->check(kit_carrier, &ask);
}

static void answer(unsigned i, int status, const char *body)
{
    const struct httpc_result r = {.status = status, .body = str_of(body)};

    T_MUST(i < net.n_calls && net.calls[i].open);
    net.calls[i].open = false;
    net.calls[i].req.on_done(net.calls[i].req.arg, &r);
}

/* The n-th finding as "check result". */
static const char *nth(unsigned n)
{
    static char text[100];
    struct json *doc = NULL;
    struct buf all;
    const struct json *f;

    buf_init(&all, 1u << 20);
    jw_open(&all, '[');
    if (found.json.n > 0)
        jw_raw(&all, buf_str(&found.json));
    jw_close(&all, ']');
    T_MUST(json_parse(&doc, buf_str(&all), NULL) == 0);
    f = json_first(doc);
    while (f != NULL && n-- > 0)
        f = json_next(f);
    (void)snprintf(text, sizeof text, "%.*s %.*s", STR_ARG(json_get_str(f, "check")), STR_ARG(json_get_str(f, "result")));
    json_free(doc);
    buf_free(&all);
    return text;
}

#define ACCOUNT "{\"status\":\"active\",\"type\":\"Full\",\"friendly_name\":\"Us\"}"
#define NUMBER "{\"incoming_phone_numbers\":[{\"voice_url\":\"" KIT_PUBLIC "/twilio/voice\",\"voice_method\":\"POST\"," \
               "\"capabilities\":{\"voice\":true},\"trunk_sid\":null}]}"

static void asks_at_once_and_tells_in_order(void)
{
    kit_open();
    T_EQ(check(), 0);
    T_EQ(net.n_calls, 4);
    for (unsigned i = 0; i < 4; i++) {
        T_TRUE(strcmp(net.calls[i].method, "GET") == 0);
        T_EQ(net.calls[i].req.body.n, 0);
    }
    T_TRUE(strcmp(net.calls[0].path, "/2010-04-01/Accounts/" KIT_AC ".json") == 0);
    T_TRUE(strcmp(net.calls[0].auth, net.calls[1].auth) != 0);
    T_TRUE(strcmp(net.calls[0].auth, net.calls[2].auth) == 0);
    T_TRUE(strcmp(net.calls[2].path,
                  "/2010-04-01/Accounts/" KIT_AC "/IncomingPhoneNumbers.json?PhoneNumber=%2B15550001000") == 0);
    answer(3, 200, "{\"incoming_phone_numbers\":[]}");
    T_EQ(net.n_calls, 5);
    answer(2, 200, NUMBER);
    answer(1, 401, "{\"code\":20003}");
    answer(4, 200, "{\"outgoing_caller_ids\":[]}");
    T_EQ(done_times, 0);
    answer(0, 200, ACCOUNT);
    T_EQ(done_times, 1);
    T_TRUE(strcmp(nth(0), "twilio.auth_token ok") == 0);
    T_TRUE(strcmp(nth(1), "twilio.account ok") == 0);
    T_TRUE(strcmp(nth(2), "twilio.auth_token warn") == 0);
    T_TRUE(strcmp(nth(3), "twilio.number ok") == 0);
    T_TRUE(strcmp(nth(4), "twilio.number fail") == 0);
    T_EQ(kit_told.times, 0);
    kit_close();
}

static void answers_that_cannot_be_read(void)
{
    static const char *const bodies[] = {"", "{", "[]", "{\"incoming_phone_numbers\":7}", "null"};

    kit_open();
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        unsigned from = net.n_calls;

        T_EQ(check(), 0);
        for (unsigned k = 0; k < 4; k++)
            answer(from + k, 200, bodies[i]);
        for (unsigned k = from + 4; k < net.n_calls; k++)
            answer(k, 500, bodies[i]);
        T_EQ(done_times, 1);
        T_TRUE(found.n[FINDING_FAIL] >= 2);
    }
    kit_close();
}

static void ends_with_the_carrier(void)
{
    kit_open();
    T_EQ(check(), 0);
    answer(0, 200, ACCOUNT);
    kit_close();
    T_EQ(done_times, 0);
    kit_open();
    net.send_rc = ERR_FULL;
    T_TRUE(check() < 0);
    T_EQ(done_times, 0);
    kit_close();
}

static void memory_may_run_out(void)
{
    int rc = ERR_NOMEM;
    unsigned long n = 1;

    for (; n < 200 && (rc < 0 || found.n[FINDING_FAIL] > 0); n++) {
        kit_open();
        findings_free(&found); /* else its memory is counted with the rest */
        (void)mem_fault_after(n);
        rc = check();
        (void)mem_fault_after(0);
        for (unsigned i = 0; rc == 0 && i < net.n_calls; i++)
            answer(i, 200, i < 2 ? ACCOUNT : NUMBER);
        T_EQ(done_times, rc == 0 ? 1 : 0);
        kit_close();
    }
    T_EQ(rc, 0);
    T_GT(n, 10);
}

static void the_probe_is_one_that_the_carrier_itself_takes(void)
{
    struct carrier_probe p = {.path = ""};
    struct carrier_event ev = {0};

    kit_open();
    T_MUST(kit_carrier->ops->probe(kit_carrier, &p) == 0);
    {
        const struct carrier_header header = {str_of(p.header), p.signature};
        struct carrier_hook hook = {.method = STR("POST"), .path = str_of(p.path), .query = STR(""), .body = p.body,
                                    .content_type = str_of(p.content_type), .headers = &header, .n_headers = 1};

        T_EQ(kit_carrier->ops->verify(kit_carrier, &hook), 0);
        T_EQ(kit_carrier->ops->read(kit_carrier, &hook, &ev), 0);
        T_EQ(ev.said, SAID_STATUS);
        T_EQ(ev.ref.n, 0);
        hook.body = str_head(p.body, p.body.n - 7);
        T_EQ(kit_carrier->ops->verify(kit_carrier, &hook), ERR_DENIED);
    }
    carrier_event_free(&ev);
    buf_free(&p.text);
    kit_close();
}

int main(void)
{
    findings_init(&found);
    T_RUN(asks_at_once_and_tells_in_order);
    T_RUN(answers_that_cannot_be_read);
    T_RUN(ends_with_the_carrier);
    T_RUN(memory_may_run_out);
    T_RUN(the_probe_is_one_that_the_carrier_itself_takes);
    findings_free(&found);
    return T_DONE();
}
