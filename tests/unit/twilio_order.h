/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_TWILIO_ORDER_H
#define TESTS_UNIT_TWILIO_ORDER_H
/*
 * A line whose commands the carrier of twilio_kit.h is given: order() gives one, asks() says which request it made of it,
 * answer(), fail() and give() are what comes back; what the carrier told then is in kit_told. The line has a caller, a
 * model and one who is not dialled yet. One thread.
 */
#include "plugin/proto/form.h"
#include "tests/unit/twilio_kit.h"

#define AT "/2010-04-01/Accounts/" KIT_AC
#define BASIC_TOKEN "Basic QUMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMTp0b2tlbi1vbmU="
#define MODEL_REF "fedcba9876543210fedcba9876543210"
#define PARTY1 AT "/Conferences/" KIT_CF1 "/Participants/" KIT_CA1 ".json"
#define CALL1 AT "/Calls/" KIT_CA1
#define ROOMS AT "/Conferences.json?FriendlyName=" KIT_REF "&PageSize=20"
#define ROOM(sid, status) "{\"sid\":\"" sid "\",\"friendly_name\":\"" KIT_REF "\",\"status\":\"" status "\"}"

static struct line line;

static inline void set_leg(unsigned i, enum leg_role role, enum leg_state state, const char *label, const char *sid,
                           const char *to, const char *ref)
{
    struct leg *leg = &line.legs[i];

    leg->role = role;
    leg->state = state;
    leg->tries = 1;
    T_TRUE(str_copy(leg->label, sizeof leg->label, str_of(label)));
    T_TRUE(str_copy(leg->sid, sizeof leg->sid, str_of(sid)));
    T_TRUE(str_copy(leg->to, sizeof leg->to, str_of(to)));
    T_TRUE(str_copy(leg->ref, sizeof leg->ref, str_of(ref)));
}

/* Answered, in that room; "" before it is known. */
static inline void set_line(const char *room)
{
    memset(&line, 0, sizeof line);
    T_TRUE(str_copy(line.ref, sizeof line.ref, STR(KIT_REF)));
    T_TRUE(str_copy(line.room, sizeof line.room, str_of(room)));
    line.set.outbound = true;
    line.set.detect_machine = true;
    line.set.ring_ms = 30000;
    line.set.max_ms = 1800000;
    T_TRUE(str_copy(line.set.own, sizeof line.set.own, STR("+15550001000")));
    T_TRUE(str_copy(line.set.model_uri, sizeof line.set.model_uri, STR("sip:p@sip.api.openai.com;transport=tls")));
    set_leg(0, ROLE_CALLER, LEG_UP, "caller", KIT_CA1, "+15551234567", "");
    set_leg(1, ROLE_MODEL, LEG_UP, "model", KIT_CA2, "", MODEL_REF);
    set_leg(2, ROLE_OTHER, LEG_WANTED, "boss", "", "+15557654321", "");
}

/* The leg by its number, -1 none. What was told before is forgotten. */
static inline int order(enum line_cmd what, int leg, const char *text, const char *token)
{
    struct carrier_order o = {.cmd = 7, .what = what, .call = STR("call_1"), .line = &line,
                              .leg = leg < 0 ? NULL : &line.legs[leg], .text = str_of(text), .token = str_of(token)};

    memset(&kit_told, 0, sizeof kit_told);
    return kit_carrier->ops->command(kit_carrier, &o);
}

/* The request that was made last. */
static inline const struct httpc_call *last(void)
{
    T_MUST(net.n_calls > 0);
    return &net.calls[net.n_calls - 1];
}

static inline void give(const struct httpc_result *r)
{
    struct httpc_call *call = &net.calls[net.n_calls - 1];

    T_MUST(call->open);
    call->open = false;
    call->req.on_done(call->req.arg, r);
}

static inline void answer(int status, const char *body)
{
    struct httpc_result r = {.status = status, .maybe_sent = true, .body = str_of(body)};

    give(&r);
}

static inline void fail(int err, bool maybe_sent)
{
    struct httpc_result r = {.err = err, .maybe_sent = maybe_sent, .text = STR("connection reset")};

    give(&r);
}

/* The fields of the last body as one text, decoded: "A=1|B=2". */
static inline const char *fields(void)
{
    static char out[9000];
    struct form f;
    size_t n = 0;

    T_MUST(form_read(&f, str_of(last()->body)) == 0);
    out[0] = '\0';
    for (unsigned i = 0; i < f.n; i++)
        n += (size_t)snprintf(out + n, sizeof out - n, "%s%.*s=%.*s", i > 0 ? "|" : "", STR_ARG(f.fields[i].name),
                              STR_ARG(f.fields[i].value));
    form_free(&f);
    return out;
}

static inline void asks(const char *method, const char *path, const char *want)
{
    T_STR_EQ(last()->method, method);
    T_STR_EQ(last()->path, path);
    T_STR_EQ(want[0] != '\0' ? fields() : last()->body, want);
}

#endif
