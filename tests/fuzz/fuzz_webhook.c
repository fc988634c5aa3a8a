/* SPDX-License-Identifier: MIT */
/* The body of OpenAI's webhook, and the numbers in its SIP headers. */
/* covers: plugin/realtime/rt_webhook.c plugin/base/phone.c */
#include "plugin/base/json.h"
#include "plugin/base/phone.h"
#include "plugin/realtime/rt_webhook.h"
#include "tests/fuzz/fuzz.h"

#define IN_IDS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"

static bool is_e164(struct str s)
{
    bool digits = s.n >= 8 && s.n <= 16 && s.p[0] == '+' && s.p[1] != '0';

    for (size_t i = 1; digits && i < s.n; i++)
        digits = s.p[i] >= '0' && s.p[i] <= '9';
    return digits;
}

static void number(struct str header)
{
    struct phone p;

    memset(&p, 0, sizeof p);
    FUZZ_MUST((phone_from_sip(&p, header) == 0) == (p.kind != PHONE_MALFORMED));
    FUZZ_MUST((p.kind == PHONE_E164) == (p.number[0] != '\0') && fuzz_inside(p.host, header));
    FUZZ_MUST(phone_kind_name(p.kind)[0] != '\0');
    if (p.kind != PHONE_E164)
        return;
    FUZZ_MUST(is_e164(str_of(p.number)) && header.n <= PHONE_FROM_MAX + 64);
    for (size_t i = 0; i < header.n; i++)
        FUZZ_MUST((unsigned char)header.p[i] >= ' ' || strchr("\t\r\n", header.p[i]) != NULL);
}

/* What is read is what the document says; an id could stand in a path. */
static void judge(const struct rt_webhook *w, struct str body)
{
    struct json *doc = NULL;

    if (json_parse(&doc, body, NULL) < 0) {
        FUZZ_MUST(fuzz_starved);
        return;
    }
    FUZZ_MUST(json_is_object(doc) && w->type.n > 0 && str_eq(json_get_str(doc, "type"), w->type));
    FUZZ_MUST((w->kind == RT_WEBHOOK_INCOMING) == str_eqc(w->type, "realtime.call.incoming"));
    if (w->kind == RT_WEBHOOK_INCOMING) {
        const struct json *headers = json_get(json_get(doc, "data"), "sip_headers");
        int64_t at = json_get_int(doc, "created_at", 0);
        struct str from = STR_NONE;

        FUZZ_MUST(w->call_id.n > 0 && w->call_id.n <= 256);
        FUZZ_MUST(str_eq(w->call_id, json_get_str(json_get(doc, "data"), "call_id")));
        FUZZ_MUST(!str_eqc(w->call_id, ".") && !str_eqc(w->call_id, ".."));
        for (size_t i = 0; i < w->call_id.n; i++)
            FUZZ_MUST(w->call_id.p[i] != '\0' && strchr(IN_IDS, w->call_id.p[i]) != NULL);
        FUZZ_MUST((int64_t)w->created_at == (at > 0 ? at : 0));
        for (const struct json *h = json_first(headers); h != NULL && from.p == NULL; h = json_next(h))
            if (str_ieq(json_get_str(h, "name"), STR("From")) || str_ieq(json_get_str(h, "name"), STR("f")))
                from = json_get_str(h, "value");
        FUZZ_MUST(str_eq(from, rt_webhook_header(w, "From", 0)));
    }
    json_free(doc);
}

/* A call that must not be refused. */
static bool is_incoming(struct str body)
{
    struct json *doc = NULL;
    bool yes = false;

    if (json_parse(&doc, body, NULL) == 0) {
        struct str id = json_get_str(json_get(doc, "data"), "call_id");

        yes = json_get_str(doc, "type").n > 0 && id.n > 0 && id.n <= 256 && !str_eqc(id, ".") && !str_eqc(id, "..");
        for (size_t i = 0; yes && i < id.n; i++)
            yes = strchr(IN_IDS, id.p[i]) != NULL;
    }
    json_free(doc);
    return yes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"From", "t", "Call-ID", "X-Call-Ref", "Diversion"};
    struct str body = {(const char *)data, size}, peek = rt_webhook_peek_call(body);
    struct rt_webhook w;
    struct err e = {0};

    FUZZ_MUST(fuzz_inside(peek, body));
    FUZZ_MUST(phone_is_e164(body) == is_e164(body));
    number(body);
    memset(&w, 0, sizeof w);
    if (rt_webhook_read(&w, body, &e) == 0) {
        judge(&w, body);
        FUZZ_MUST(w.kind != RT_WEBHOOK_INCOMING || peek.p == NULL || str_eq(peek, w.call_id));
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            for (unsigned n = 0; n < 4; n++)
                number(rt_webhook_header(&w, names[i], n));
    } else {
        FUZZ_MUST(fuzz_starved || !is_incoming(body));
        FUZZ_MUST(e.text[0] != '\0');
    }
    rt_webhook_free(&w);
    return 0;
}
