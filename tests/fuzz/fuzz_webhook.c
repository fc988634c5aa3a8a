/* SPDX-License-Identifier: MIT */
/* The body of OpenAI's webhook, and the numbers in its SIP headers. */
/* covers: plugin/realtime/rt_webhook.c plugin/base/phone.c */
#include "plugin/base/phone.h"
#include "plugin/realtime/rt_webhook.h"
#include "tests/fuzz/fuzz.h"

static void number(struct str header)
{
    struct phone p;

    memset(&p, 0, sizeof p);
    (void)phone_from_sip(&p, header);
    FUZZ_MUST(p.kind != PHONE_E164 || phone_is_e164(str_of(p.number)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"From", "t", "Call-ID", "X-Call-Ref", "Diversion"};
    struct str body = {(const char *)data, size}, peek = rt_webhook_peek_call(body);
    struct rt_webhook w;
    struct err e = {0};

    FUZZ_MUST(fuzz_inside(peek, body));
    number(body);
    memset(&w, 0, sizeof w);
    if (rt_webhook_read(&w, body, &e) == 0) {
        FUZZ_MUST(w.type.p != NULL);
        if (w.kind == RT_WEBHOOK_INCOMING) {
            FUZZ_MUST(w.call_id.n > 0 && w.call_id.n <= 256);
            FUZZ_MUST(peek.p == NULL || str_eq(peek, w.call_id));
        }
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            for (unsigned n = 0; n < 4; n++)
                number(rt_webhook_header(&w, names[i], n));
    } else {
        FUZZ_MUST(e.text[0] != '\0');
    }
    rt_webhook_free(&w);
    return 0;
}
