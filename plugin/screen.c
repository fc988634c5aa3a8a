/* SPDX-License-Identifier: MIT */
#include "plugin/screen.h"

#include "abi/openclaw_voice.h"
#include "plugin/app.h"
#include "plugin/base/json.h"
#include "plugin/calls.h"
#include "plugin/config/config.h"
#include "plugin/costs.h"
#include "plugin/drain.h"
#include "plugin/guard.h"
#include "plugin/notice.h"

void screen_caller(const struct app *app, struct str number, enum access_attestation a, struct caller_verdict *out)
{
    const struct config *c = app->config;

    caller_decide(app->policy, number, out);
    if (a != ATTEST_NONE || c->security.attestation_trusted)
        out->level = access_attested(out->level, a, c->security.attestation_trusted, c->security.attestation_known,
                                     c->security.attestation_linked);
}

void screen_limit(const struct app *app, struct calls_incoming *in, unsigned pending)
{
    struct str number = str_of(in->from.number);
    enum cost_cap cap;

    in->limit = CALL_REASON_NONE;
    if (!in->verdict.accept)
        return;
    if (drain_active(app->drain)) {
        in->limit = CALL_REASON_REFUSED_DRAINING;
        in->limit_text = "about to stop; no new calls are taken";
    } else if (calls_talking(app->calls) + pending >= app->config->call.max_concurrent) {
        in->limit = CALL_REASON_REFUSED_BUSY;
        in->limit_text = "too many calls at once";
    } else if ((cap = costs_refusal(app->costs, number)) != COST_CAP_NONE) {
        in->limit = CALL_REASON_REFUSED_COST;
        in->limit_text = cost_cap_words(cap);
    } else if (!guard_call(app->guard, number)) {
        in->limit = CALL_REASON_REFUSED_RATE;
        in->limit_text = "too many calls from this number (call.max_per_caller_hour)";
    }
}

bool screen_takes(const struct calls_incoming *in)
{
    return in->verdict.accept && in->limit == CALL_REASON_NONE;
}

enum call_reason screen_reason(const struct calls_incoming *in)
{
    return in->verdict.accept ? in->limit : CALL_REASON_REFUSED_POLICY;
}

const char *screen_detail(const struct calls_incoming *in)
{
    return in->verdict.accept ? in->limit_text : in->verdict.reason;
}

int screen_sip_status(const struct calls_incoming *in)
{
    if (!in->verdict.accept)
        return in->verdict.sip_status;
    return in->limit == CALL_REASON_REFUSED_DRAINING ? DRAIN_SIP_STATUS : SCREEN_BUSY;
}

void screen_row(const struct app *app, const struct id *id, const struct phone *from,
                const struct caller_verdict *verdict, uint64_t received_wall_ms, struct journal_call *out)
{
    *out = (struct journal_call){
        .id = str_of(id->text), .direction = STR("inbound"), .from = str_of(from->number),
        .from_kind = str_of(phone_kind_name(from->kind)), .level = str_of(caller_level_name(verdict->level)),
        .received_at = received_wall_ms, .model = str_of(app->config->openai.model),
        .voice = str_of(app->config->openai.voice)};
}

void screen_notify(struct app *app, struct str call, struct str openai_call_id, struct str from,
                   enum caller_level level)
{
    struct buf b;

    notice_begin(&b, OC_EV_INCOMING, call);
    jw_kstr(&b, "openai_call_id", openai_call_id);
    jw_kstr(&b, "from", from);
    jw_kstrc(&b, "level", caller_level_name(level));
    jw_kstrc(&b, "direction", "inbound");
    notice_send(app, &b, OC_EV_INCOMING, call);
}
