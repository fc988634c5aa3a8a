/* SPDX-License-Identifier: MIT */
/* Names of states and reasons, and what must be true in each state. */
#include "plugin/call/call_int.h"

const char *call_state_name(enum call_state s)
{
    static const char *const names[CALL_STATES] = {"new",       "waiting", "accepting", "refusing",
                                                   "attaching", "live",    "goodbye",   "hanging_up", "over"};

    return (unsigned)s < CALL_STATES ? names[s] : "?";
}

static const char *const reason_names[CALL_REASONS] = {
    "none",           "caller_hung_up", "assistant_ended", "silence",       "max_duration",
    "session_expired", "operator",      "shutdown",        "refused_policy", "refused_busy",
    "caller_gone",    "accept_failed",  "attach_failed",   "control_lost",  "model_failed",
    "ended_while_down", "not_connected", "transferred",    "voicemail",     "canceled",
    "cost_limit",     "refused_cost",   "refused_rate",  "refused_draining"};

const char *call_reason_name(enum call_reason r)
{
    return (unsigned)r < CALL_REASONS ? reason_names[r] : "?";
}

enum call_reason call_reason_of(struct str name)
{
    for (unsigned i = 0; i < CALL_REASONS; i++)
        if (str_eqc(name, reason_names[i]))
            return (enum call_reason)i;
    return CALL_REASON_NONE;
}

const char *call_broken(const struct call *c)
{
    bool tries = c->try_at_ms != 0 || c->try_until_ms != 0;

    switch (c->state) {
    case CALL_NEW: return NULL;
    case CALL_WAITING:
        return c->deadline_ms == 0 ? "waiting without a deadline"
               : !c->set.line      ? "waiting without a line"
               : c->leg            ? "waiting with a leg"
               : c->sideband_open  ? "waiting with a sideband" : NULL;
    case CALL_ACCEPTING:
        return c->deadline_ms == 0 ? "accepting without a deadline"
               : c->sideband_open  ? "accepting with a sideband" : NULL;
    case CALL_REFUSING:
        return c->deadline_ms == 0                  ? "refusing without a deadline"
               : c->reason == CALL_REASON_NONE      ? "refusing without a reason"
               : c->sip_status < 400                ? "refusing without a SIP status" : NULL;
    case CALL_ATTACHING:
        return c->deadline_ms == 0 ? "attaching without a deadline"
               : !tries            ? "attaching without a try"
               : c->sideband_open  ? "attaching with an open sideband" : NULL;
    case CALL_LIVE:
        return !c->sideband_open ? "live without a sideband"
               : !c->greeted     ? "live without a greeting" : NULL;
    case CALL_GOODBYE:
        return c->deadline_ms == 0             ? "goodbye without a deadline"
               : c->reason == CALL_REASON_NONE ? "goodbye without a reason" : NULL;
    case CALL_HANGING_UP:
        return c->deadline_ms == 0             ? "hanging up without a deadline"
               : c->reason == CALL_REASON_NONE ? "hanging up without a reason" : NULL;
    case CALL_OVER:
        return c->reason == CALL_REASON_NONE ? "over without a reason"
               : call_deadline_ms(c) != 0    ? "over with a deadline" : NULL;
    case CALL_STATES:
    default: return "no such state";
    }
}
