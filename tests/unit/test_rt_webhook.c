/* SPDX-License-Identifier: MIT */
#include "plugin/base/buf.h"
#include "plugin/base/mem.h"
#include "plugin/realtime/rt_webhook.h"
#include "tests/unit/t.h"

#define T_SLICE(s, lit) T_MEM_EQ((s).p, (s).n, lit, sizeof(lit) - 1)

static const char incoming[] =
    "{\"id\":\"evt_1\",\"object\":\"event\",\"type\":\"realtime.call.incoming\","
    "\"created_at\":1750287018,\"data\":{\"call_id\":\"rtc_u0_a-b.c\",\"sip_media_security\":\"new\","
    "\"sip_headers\":[{\"name\":\"From\",\"value\":\"<sip:+15551234567@a>;tag=1\"},"
    "{\"name\":\"x-A\",\"value\":\"1\"},{\"name\":\"X-a\",\"value\":\"2\"},{\"name\":\"X-A\"},"
    "null,7,{\"value\":\"3\"},{\"name\":\"i\",\"value\":\" 03782086@h \"},"
    "{\"name\":\"Call-ID\",\"value\":\"second\"}]}}";

static void an_incoming_call_is_read(void)
{
    struct rt_webhook w;
    struct err e = {0};

    T_MUST(rt_webhook_read(&w, str_of(incoming), &e) == 0);
    T_EQ(w.kind, RT_WEBHOOK_INCOMING);
    T_SLICE(w.call_id, "rtc_u0_a-b.c");
    T_SLICE(w.sip_call_id, "03782086@h");
    T_SLICE(w.type, "realtime.call.incoming");
    T_EQ(w.created_at, 1750287018);
    T_SLICE(rt_webhook_header(&w, "from", 0), "<sip:+15551234567@a>;tag=1");
    T_SLICE(rt_webhook_header(&w, "f", 0), "<sip:+15551234567@a>;tag=1");
    T_SLICE(rt_webhook_header(&w, "X-A", 0), "1");
    T_SLICE(rt_webhook_header(&w, "X-A", 1), "2");
    T_NULL(rt_webhook_header(&w, "X-A", 2).p);
    T_SLICE(rt_webhook_header(&w, "CALL-ID", 1), "second");
    T_NULL(rt_webhook_header(&w, "To", 0).p);
    T_NULL(rt_webhook_header(&w, "", 0).p);
    rt_webhook_free(&w);
    rt_webhook_free(&w);
}

static void the_call_of_a_repeat_needs_no_tree(void)
{
    T_SLICE(rt_webhook_peek_call(str_of(incoming)), "rtc_u0_a-b.c");
    T_NULL(rt_webhook_peek_call(STR("{\"type\":\"realtime.call.incoming\",\"call_id\":\"rtc_1\"}")).p);
    T_NULL(rt_webhook_peek_call(STR("{\"data\":[{\"call_id\":\"rtc_1\"}]}")).p);
    T_NULL(rt_webhook_peek_call(STR("")).p);
}

static void other_events_are_no_calls(void)
{
    static const char *const bodies[] = {
        "{\"type\":\"live.transport.incoming\",\"data\":{\"type\":\"sip\",\"session_id\":\"live_1\"}}",
        "{\"type\":\"live.call.incoming\",\"data\":{\"call_id\":\"live_1\"}}",
        "{\"type\":\"realtime.call.incoming2\"}",
        "{\"type\":\"batch.completed\",\"created_at\":-5,\"data\":null}",
        "{\"type\":\"x\",\"created_at\":\"then\"}",
    };

    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct rt_webhook w;

        T_MUST(rt_webhook_read(&w, str_of(bodies[i]), NULL) == 0);
        T_EQ(w.kind, RT_WEBHOOK_OTHER);
        T_NULL(w.call_id.p);
        rt_webhook_free(&w);
    }
}

static void an_unusable_body_is_refused(void)
{
    static const char *const bodies[] = {
        "",
        "x",
        "[]",
        "null",
        "\"realtime.call.incoming\"",
        "{}",
        "{\"type\":null}",
        "{\"type\":\"\"}",
        "{\"type\":7}",
        "{\"type\":\"realtime.call.incoming\"}",
        "{\"type\":\"realtime.call.incoming\",\"data\":[]}",
        "{\"type\":\"realtime.call.incoming\",\"data\":{\"call_id\":null}}",
        "{\"type\":\"realtime.call.incoming\",\"data\":{\"call_id\":17}}",
        "{\"type\":\"realtime.call.incoming\",\"data\":{\"call_id\":\"\"}}",
        "{\"type\":\"realtime.call.incoming\",\"data\":{\"call_id\":\"..\"}}",
        "{\"type\":\"realtime.call.incoming\",\"data\":{\"call_id\":\"a/b\"}}",
        "{\"type\":\"realtime.call.incoming\",\"data\":{\"call_id\":\"a?b\"}}",
        "{\"type\":\"realtime.call.incoming\",\"data\":{\"call_id\":\"a b\"}}",
        "{\"type\":\"realtime.call.incoming\",\"data\":{\"call_id\":\"a\\r\\nb\"}}",
        "{\"type\":\"realtime.call.incoming\",\"data\":{\"call_id\":\"\xc3\xa4\"}}",
        "{\"type\":\"realtime.call.incoming\",\"data\":{\"call_id\":\"a\\u0000\"}}",
        "{\"type\":\"realtime.call.incoming\",\"data\":{\"call_id\":\"rtc_1\"}} x",
    };

    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct rt_webhook w;
        struct err e = {0};

        T_EQ(rt_webhook_read(&w, str_of(bodies[i]), &e), ERR_INVALID);
        T_TRUE(e.text[0] != '\0');
        T_EQ(w.headers, JSON_NO_NODE);
        rt_webhook_free(&w);
    }
}

static void a_call_id_has_at_most_256_bytes(void)
{
    for (int n = 255; n <= 257; n++) {
        struct rt_webhook w;
        struct buf b;

        buf_init(&b, 1024);
        (void)buf_printf(&b, "{\"type\":\"realtime.call.incoming\",\"data\":{\"call_id\":\"%0*d\"}}", n,
                         7);
        T_EQ(rt_webhook_read(&w, buf_str(&b), NULL), n <= 256 ? 0 : ERR_INVALID);
        rt_webhook_free(&w);
        buf_free(&b);
    }
}

static void a_call_without_headers_is_still_a_call(void)
{
    static const char *const bodies[] = {
        "{\"type\":\"realtime.call.incoming\",\"data\":{\"call_id\":\"rtc_1\"}}",
        "{\"type\":\"realtime.call.incoming\",\"data\":{\"call_id\":\"rtc_1\",\"sip_headers\":null}}",
        "{\"type\":\"realtime.call.incoming\",\"data\":{\"call_id\":\"rtc_1\",\"sip_headers\":\"x\"}}",
        ("{\"type\":\"realtime.call.incoming\",\"data\":{\"call_id\":\"rtc_1\",\"sip_headers\":"
         "[{\"name\":\"Call-ID\",\"value\":\" \"}]}}"),
    };

    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct rt_webhook w;

        T_MUST(rt_webhook_read(&w, str_of(bodies[i]), NULL) == 0);
        T_EQ(w.kind, RT_WEBHOOK_INCOMING);
        T_NULL(w.sip_call_id.p);
        T_NULL(rt_webhook_header(&w, "From", 0).p);
        rt_webhook_free(&w);
    }
}

/* Every truncation and every byte flipped: an answer, and nothing leaks or is read beyond the end. */
static void damaged_bodies_do_no_harm(void)
{
    size_t n = sizeof incoming - 1;

    for (size_t i = 0; i < n; i++) {
        struct rt_webhook w;
        char *copy = mem_dup(incoming, i);

        T_MUST(copy != NULL);
        T_EQ(rt_webhook_read(&w, str_make(copy, i), NULL), ERR_INVALID);
        mem_free(copy);
        copy = mem_dup(incoming, n);
        T_MUST(copy != NULL);
        copy[i] = (char)(copy[i] ^ 1 << i % 8);
        if (rt_webhook_read(&w, str_make(copy, n), NULL) == 0)
            rt_webhook_free(&w);
        mem_free(copy);
    }
}

int main(void)
{
    T_RUN(an_incoming_call_is_read);
    T_RUN(the_call_of_a_repeat_needs_no_tree);
    T_RUN(other_events_are_no_calls);
    T_RUN(an_unusable_body_is_refused);
    T_RUN(a_call_id_has_at_most_256_bytes);
    T_RUN(a_call_without_headers_is_still_a_call);
    T_RUN(damaged_bodies_do_no_harm);
    return T_DONE();
}
