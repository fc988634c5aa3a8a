/* SPDX-License-Identifier: MIT */
#include "plugin/why.h"

#include "plugin/base/clock.h"
#include "plugin/base/err.h"
#include "plugin/base/json.h"

struct phrase {
    const char *hop, *text;
};

/* One sentence for each hop that plugin/call and plugin/calls.c record. */
static const struct phrase phrases[] = {
    {"webhook", "OpenAI announced the call; the signature was good and the call was recorded."},
    {"accept_sent", "We told OpenAI to accept the call."},
    {"accepted", "OpenAI accepted the call."},
    {"accept_failed", "OpenAI did not take the accept."},
    {"reject_sent", "We told OpenAI to refuse the call."},
    {"reject_failed", "OpenAI did not take the refusal."},
    {"sideband_open", "The control channel opened and the session answered."},
    {"sideband_lost", "The control channel was lost or could not be opened."},
    {"reattached", "The control channel opened again; the call had gone on meanwhile."},
    {"restored", "A new run of the plugin took the call over."},
    {"greeting_asked", "The model was asked to speak first."},
    {"first_audio", "The caller began to hear the assistant."},
    {"no_audio", "Nothing was heard although the model was asked to speak."},
    {"filler", "The caller had waited in silence; the model was told to say it is still working."},
    {"tool_done", "The agent answered."},
    {"tool_failed", "The agent could not answer; the model was told so."},
    {"tool_refused", "The model asked for something that this caller may not have."},
    {"tool_timeout", "The agent took too long; the model was told honestly that it is not finished."},
    {"tool_late", "A late answer of the agent was given to the caller after all."},
    {"tool_interrupted", "A restart interrupted work that had begun to act; the model was told so."},
    {"tool_asked_again", "A restart interrupted the agent before it acted; it was asked again."},
    {"output_refused", "OpenAI did not take a tool's result, most likely because it had it already."},
    {"response_failed", "The model failed to answer; it is asked again, at most twice."},
    {"error_event", "OpenAI reported an error in the session."},
    {"proven", "The caller proved who they are."},
    {"dtmf", "The caller pressed keys; the model was told which."},
    {"waiting", "The call waited for its leg to the model."},
    {"leg_in", "The model's leg came in."},
    {"leg_lost", "The model's leg was lost; the carrier was to bring another one."},
    {"parked", "The model's leg was ended on purpose; the call waited."},
    {"held", "The caller was put on hold."},
    {"resumed", "The caller was taken back from hold."},
    {"notice_asked", "The model was asked to say that the call is recorded."},
    {"notice_heard", "That the call is recorded was heard to its end."},
    {"notice_not_heard", "That the call is recorded was cut off twice; nothing was recorded."},
    {"consent", "The caller was asked whether the call may be recorded."},
    {"recording", "The recording changed its state, at the carrier or on its way here; see the detail."},
    {"voicemail", "An answering machine took the call; the assistant was stopped."},
    {"voicemail_said", "The message for the answering machine was over."},
    {"cost_warning", "Most of what may be spent was spent; the model was told to say so."},
    {"asked", "The call was asked for and recorded."},
    {"create_sent", "We asked the carrier to dial."},
    {"created", "The carrier took it and dials."},
    {"create_put_off", "The carrier did not take it yet; it is asked again."},
    {"create_refused", "The carrier refused to dial."},
    {"create_lost", "The carrier's answer was lost; it is looked up, and nobody is dialled twice."},
    {"dial_again", "It was busy or not answered; another attempt follows."},
    {"leg_up", "It was answered."},
    {"leg_adopted", "A callback told of somebody whom the carrier had dialled for us."},
    {"leg_gone", "Somebody left, or was not reached."},
    {"leg_given_up", "Nothing more was heard of somebody; they count as gone."},
    {"stray_leg", "Somebody was there who should not be, and was hung up."},
    {"model_wanted", "The model is due: somebody has answered."},
    {"model_live", "The model is in the call."},
    {"model_slow", "The model's leg did not come in time."},
    {"model_lost", "The model's leg was lost."},
    {"model_parked", "The model's leg was ended for the length of a hold."},
    {"hold_too_long", "The hold lasted so long that the model's leg was ended."},
    {"machine", "A machine answered."},
    {"machine_end", "A machine answered, and its announcement is over."},
    {"machine_ignored", "The carrier took the callee for a machine; they talk like a person, so nothing was changed."},
    {"apology", "The carrier apologised, since no model was there."},
    {"action", "Something was done to the call, or tried."},
    {"command_failed", "The carrier did not do what it was told."},
    {"recording", "The recording changed."},
    {"ending", "The line was to end."},
    {"not_looked_up", "The carrier could not be asked who is there."},
    {"goodbye", "The call was about to end and a goodbye was due."},
    {"goodbye_heard", "The goodbye was heard to its end."},
    {"hangup_sent", "We told OpenAI to hang up."},
    {"hangup_failed", "OpenAI did not take the hang-up."},
    {"no_answer", "OpenAI did not answer in time."},
    {"over", "The call was over."},
};

struct verdict {
    const char *reason;
    bool wrong;
    const char *summary, *cause, *cure;
};

static const struct verdict verdicts[] = {
    {"caller_hung_up", false, "The caller hung up.", NULL, NULL},
    {"assistant_ended", false, "The assistant said goodbye and hung up.", NULL, NULL},
    {"operator", false, "It was ended through the API or by the host.", NULL, NULL},
    {"shutdown", false, "The plugin was stopped and was asked to end its calls.", NULL, NULL},
    {"silence", false, "Nobody spoke for the configured time, so the assistant hung up.",
     "call.silence_timeout_seconds", "Raise it, or set call.auto_end_on_silence: false."},
    {"max_duration", false, "The call reached its longest allowed duration.",
     "call.max_call_duration_minutes", "Raise it (60 is OpenAI's own limit)."},
    {"session_expired", true, "OpenAI's own limit for a session was reached.",
     "A session lasts at most 60 minutes.", "The caller can call again; the conversation goes on."},
    {"refused_policy", false, "The call was refused by policy.",
     "The number is not allowed to call (see detail).",
     "Add it to allowFrom or security.voice.whitelist, approve its pairing, or change dmPolicy or "
     "security.voice.unknown_caller_policy."},
    {"refused_busy", true, "The call was refused because too many calls were on.",
     "call.max_concurrent was reached.", "Raise call.max_concurrent."},
    {"refused_cost", true, "The call was refused because what may be spent today is spent.",
     "A limit of costs.voice was reached (see detail), or the model's price is not known.",
     "Raise the limit, wait for the next day, or write the model's price into costs.voice.prices."},
    {"refused_rate", true, "The call was refused because this number calls too often.",
     "call.max_per_caller_hour was reached.", "Raise it, or put the number on security.voice.blacklist."},
    {"refused_draining", false, "The call was refused because the plugin was about to stop.",
     "It was draining: told to stop with call.drain_seconds, or by POST /drain.",
     "Call again; or set call.drain_seconds to 0, so that live calls are left to the next start at once."},
    {"cost_limit", true, "The call reached a limit of what it may cost, so the assistant said goodbye.",
     "A limit of costs.voice was reached (see detail).", "Raise the limit in costs.voice."},
    {"caller_gone", true, "The caller hung up before we answered.",
     "The caller did not wait, or the accept came too late. If it happens with every call, the API key "
     "belongs to another project than the SIP address that is dialled.",
     "Compare openai.api_key's project with proj_... in the SIP URI of the trunk."},
    {"accept_failed", true, "OpenAI did not let us accept the call.",
     "See detail: 401 or 403 is the API key, 400 a setting of the session, 429 a quota or rate limit, "
     "5xx or no answer a fault at OpenAI or in the network.",
     "For 401 check openai.api_key; for 400 check openai.model, openai.voice and the agent file; for 429 "
     "check the account's limits and billing; else try again later."},
    {"attach_failed", true, "The call was accepted, but its control channel never opened, so it was ended.",
     "The sideband WebSocket was refused or never answered (see the hops).",
     "The key must be a standard key of the same project; a proxy or firewall must let WebSockets to "
     "OpenAI through."},
    {"control_lost", true, "The control channel was lost and could not be opened again, so the call was ended.",
     "Network trouble between this machine and OpenAI that lasted over 40 s.",
     "Look at this machine's network at that time."},
    {"model_failed", true, "The model failed three times in a row, so the call was ended.",
     "See detail; an exhausted quota fails every response.", "Check the account's billing and limits."},
    {"ended_while_down", true, "The call ended while the plugin was not running.",
     "The plugin or its gateway was down, and the caller hung up meanwhile.",
     "Look at why it restarted; what was said before is in the transcript."},
    {"not_connected", true, "A call of ours was not answered, or could not be placed.",
     "See detail; it is what the carrier says of the number.", "Check the number, and try again later."},
    {"transferred", false, "The caller was handed to somebody else; of a call without a carrier nobody says whether "
     "they took it.", NULL, NULL},
    {"voicemail", false, "An answering machine took a call of ours.", NULL, NULL},
    {"canceled", false, "A call of ours was taken back before it was answered.", NULL, NULL},
};

static const char *phrase_of(struct str hop)
{
    for (size_t i = 0; i < sizeof phrases / sizeof phrases[0]; i++)
        if (str_eqc(hop, phrases[i].hop))
            return phrases[i].text;
    return "";
}

static const struct verdict *verdict_of(struct str reason)
{
    for (size_t i = 0; i < sizeof verdicts / sizeof verdicts[0]; i++)
        if (str_eqc(reason, verdicts[i].reason))
            return &verdicts[i];
    return NULL;
}

static bool has_hop(const struct json *hops, const char *name)
{
    for (const struct json *h = json_first(hops); h != NULL; h = json_next(h))
        if (str_eqc(json_get_str(h, "hop"), name))
            return true;
    return false;
}

static void write_hops(struct buf *out, const struct json *hops, int64_t received_at)
{
    jw_key(out, "hops");
    jw_open(out, '[');
    for (const struct json *h = json_first(hops); h != NULL; h = json_next(h)) {
        int64_t at = json_get_int(h, "at", 0);
        char when[32];

        clock_rfc3339((uint64_t)at, when, sizeof when);
        jw_open(out, '{');
        jw_kint(out, "at", at);
        jw_kstrc(out, "time", when);
        jw_kint(out, "after_ms", received_at > 0 ? at - received_at : 0);
        jw_kstr(out, "hop", json_get_str(h, "hop"));
        jw_kstrc(out, "text", phrase_of(json_get_str(h, "hop")));
        jw_kstr(out, "detail", json_get_str(h, "detail"));
        jw_close(out, '}');
    }
    jw_close(out, ']');
}

static void write_verdict(struct buf *out, const struct json *call, const struct json *hops)
{
    const struct verdict *v = verdict_of(json_get_str(call, "reason"));
    bool silent = has_hop(hops, "greeting_asked") && !has_hop(hops, "first_audio");

    if (v == NULL) {
        jw_kbool(out, "went_wrong", false);
        jw_kstrc(out, "summary", "The call is not over yet.");
        jw_kstrc(out, "cause", NULL);
        jw_kstrc(out, "cure", NULL);
        return;
    }
    jw_kstrc(out, "summary", v->summary);
    if (!v->wrong && silent) {
        jw_kbool(out, "went_wrong", true);
        jw_kstrc(out, "cause", "The caller never heard the assistant: the model was asked to speak, but no audio "
                               "began.");
        jw_kstrc(out, "cure", "Look for error_event or response_failed among the hops; check the account's limits and "
                              "the carrier's codec and SRTP settings.");
        return;
    }
    jw_kbool(out, "went_wrong", v->wrong);
    jw_kstrc(out, "cause", v->cause);
    jw_kstrc(out, "cure", v->cure);
}

int why_write(struct buf *out, struct str record)
{
    struct json *doc = NULL;
    const struct json *call, *hops;
    int rc = json_parse(&doc, record, NULL);

    if (rc < 0)
        return rc;
    call = json_get(doc, "call");
    hops = json_get(doc, "hops");
    jw_open(out, '{');
    jw_kstr(out, "call", json_get_str(call, "call"));
    jw_kstr(out, "openai_call_id", json_get_str(call, "openai_call_id"));
    jw_kstr(out, "state", json_get_str(call, "state"));
    jw_kstr(out, "reason", json_get_str(call, "reason"));
    jw_kstr(out, "detail", json_get_str(call, "detail"));
    jw_key(out, "cost_usd");
    jw_node(out, json_get(call, "cost_usd"));
    write_verdict(out, call, hops);
    write_hops(out, hops, json_get_int(call, "received_at", 0));
    jw_key(out, "tools");
    jw_node(out, json_get(doc, "tools"));
    jw_key(out, "turns");
    jw_node(out, json_get(doc, "turns"));
    jw_close(out, '}');
    json_free(doc);
    return out->rc;
}
