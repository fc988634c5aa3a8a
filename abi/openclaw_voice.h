/* SPDX-License-Identifier: MIT */
#ifndef OPENCLAW_VOICE_H
#define OPENCLAW_VOICE_H
/*
 * Names and JSON payloads that the voice plugin and its hosts exchange over openclaw_plugin.h.
 * Fields may be added; a reader ignores those it does not know. Times are Unix milliseconds; `call`
 * is our id of a call (call_...), `run` names one agent run.
 */

/*
 * Configuration, the object given to create():
 *   host         "gateway" | "native": what the host is; decides how the agent is reached
 *   config_file  path of openclaw-voice-config.yaml, or absent
 *   section      object: the gateway's `channels.voice`; its keys win over the file's. Keys of the
 *                file below `channels.voice` stand there directly, others by their full path
 *                (`security: { voice: { ... } }`). Keys of the host alone (dmPolicy, allowFrom,
 *                configFile) are not read from here
 *   section_name what faults in `section` are named after, such as "openclaw.json"
 *   state_dir    default of channels.voice.state_dir
 *   workspace    default of openclaw.workspace
 *   timezone     IANA name by which days are counted (agents.defaults.userTimezone), or absent: the host's
 *   policy       as in OC_CMD_POLICY_SET
 *   check        true: the instance takes no calls and opens no database; all it does is OC_CMD_CHECK
 */

/* ---- Events, plugin to host. All carry {"event", "at"} and, but for the first three, "call". ---- */
#define OC_EV_READY "ready"           /* url, port, version, pid, state_dir, reattaching: calls found,
                                         default_country: for national numbers, which the host makes E.164 */
#define OC_EV_WARNING "warning"       /* text: what an operator should look at */
#define OC_EV_DRAINING "draining"     /* live, left_ms: no new calls are taken, live ones may finish; no "call" */
#define OC_EV_INCOMING "call.incoming" /* openai_call_id, from (E.164 or ""), level, direction */
#define OC_EV_ACCEPTED "call.accepted" /* openai_call_id, model, voice, ms since the webhook */
#define OC_EV_LIVE "call.live"         /* openai_call_id, reattached: bool, ms since the webhook */
#define OC_EV_TURN "turn"              /* item_id, who: "caller"|"assistant", text, interrupted, at */
#define OC_EV_TOOL "tool"              /* tool, tool_call, phase: "asked"|"acting"|"filler"|"timeout"|
                                          "done"|"failed"|"refused"|"late"|"cancelled", ms, text */
#define OC_EV_ENDED "call.ended"       /* reason, detail, duration_ms, turns, openai_call_id, and of a call with a
                                          line at a carrier: outcome */
/* Calls that have a line at a carrier; each with direction, to or from, status. */
#define OC_EV_INITIATED "call.initiated"     /* purpose: the dial is a durable row */
#define OC_EV_RINGING "call.ringing"
#define OC_EV_ANSWERED "call.answered"
#define OC_EV_HELD "call.held"
#define OC_EV_RESUMED "call.resumed"
#define OC_EV_TRANSFERRED "call.transferred"
#define OC_EV_RECORDING "call.recording"     /* recording: wanted starting on paused stopped absent failed, stored */
/* id, action, state: asked doing done failed uncertain handed_over; party, error */
#define OC_EV_ACTION "call.action"

/* A question to the owner of a placed call: id, identity (the chat), state: "open": their next message there is meant
 * for the call; "over": it is not any more */
#define OC_EV_QUESTION "call.question"

/* ---- Requests, plugin to host. ---- */

/*
 * One turn of the caller's agent session. {run, call, from, level, session_key, request, tools:
 * "none"|"safe"|"full", timeout_ms, resumed: bool}. progress: {"text": all text so far}. Before a tool
 * that can change anything starts, the host sends OC_CMD_RUN_ACTING and waits for its done. reply:
 * OC_OK {"text"}, or a code with {"error"}. oc_host.cancel() ends a run.
 */
#define OC_REQ_AGENT_RUN "agent.run"

/* A caller who may be paired. {number}. reply: {"code", "created": bool}. */
#define OC_REQ_PAIRING "pairing.request"

/*
 * A call rings: prepare its agent session. {call, from, level}. reply: {"session_key"}. The plugin
 * goes on without it after a deadline.
 */
#define OC_REQ_SESSION_PREPARE "session.prepare"

/*
 * A summary of a call for its history. {call, text: the transcript as plain text, max_words}. reply:
 * {"text"}. Any code: an extract is made instead.
 */
#define OC_REQ_SUMMARY "summary.make"

/*
 * Turns of a call go into the agent's session, so that its next turn in any channel knows them. {call,
 * session_key, from, level, turns: [{entry_id, who, text, at}]}; the host names an empty
 * session_key. Each entry_id at most once, also over repeats. reply: {}.
 */
#define OC_REQ_TRANSCRIPT "transcript.append"

/*
 * Sends text to a person on another channel and makes that the session's last route; an empty session_key names none.
 * The same text under the same id is sent once, however often it is asked for. {id, channel, to, account?, text,
 * session_key}. reply: OC_OK {"message_id"}; OC_EINVAL or OC_ENOTSUP: it will never work ({"error"}); OC_EBUSY: not
 * sent, try again; any other code: it is not known whether it was sent.
 */
#define OC_REQ_SEND "message.send"

/*
 * Wakes the agent after a call. {call, session_key, text, tools: "none"|"safe"|"full"}. reply: {} once it is
 * queued.
 */
#define OC_REQ_WAKE "session.wake"

/* ---- Commands, host to plugin. ---- */

/*
 * A text message passed in a chat: {channel, peer, account?, session_key, who: "them"|"assistant", text, at}.
 * Only of chats that the gateway admits. done: {} or {"reply": text for that chat}: the message was a code,
 * answered a question (OC_EV_QUESTION) or was meant for a live call, and is nothing for the agent.
 */
#define OC_CMD_CHAT "chat.message"

/*
 * Groups of session.identityLinks: {groups: [["telegram:777", "voice:+1555..."], ...], owners: ["telegram:777", ...]};
 * owners: whose placed calls are that nobody else asked for, by rank; none where it is absent. done: {}.
 */
#define OC_CMD_LINKS_SET "links.set"

/*
 * Replaces the mirror of who may call: {dm_policy: "pairing"|"allowlist"|"open"|"disabled"|null,
 * allow_from: [..], paired: [..], linked: [..]}. Entries are E.164 or "*" (in allow_from); `linked`
 * are the numbers in session.identityLinks. done: {}.
 */
#define OC_CMD_POLICY_SET "policy.set"

/* The run is about to act: {run}. done once that is durable; a code forbids the action. */
#define OC_CMD_RUN_ACTING "run.acting"

/* How the instance is. done: {"url","live","reattaching","accepting",...}, the body of GET /health and more. */
#define OC_CMD_STATUS "status"

/*
 * The dry run: keys, webhook, carrier and numbers are looked at, no call is placed. {text: bool}. done: the report,
 * {ok, counts, checks: [{check, result: "ok"|"warn"|"fail"|"skip", detail, cure?}], enter: {...}, handoff: [..]}, or
 * with `text` one JSON string of lines for people; OC_EFAIL when something must be fixed, with the report too.
 */
#define OC_CMD_CHECK "check"

/*
 * Before a stop: no new calls are taken, live ones may finish for {seconds}, by default call.drain_seconds. done:
 * {"live": calls that are still on} when none is any more or the time is up; OC_ECANCELED when calls are taken again
 * or the instance is stopped meanwhile.
 */
#define OC_CMD_DRAIN "drain"

/* A request with the shape of the HTTP API: {method, path, body?}. done: {status, body}. */
#define OC_CMD_HTTP "http"

#endif
