/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_CALLS_H
#define PLUGIN_CALLS_H
/*
 * All calls of an instance that are not over: feeds events into their machines (plugin/call) and
 * carries the effects out through realtime, memory, agent and host. Loop thread.
 */
#include "plugin/base/id.h"
#include "plugin/base/phone.h"
#include "plugin/call/call.h"
#include "plugin/call/line.h"
#include "plugin/realtime/rt_rest.h"
#include "sessions/caller.h"

struct app;
struct calls;

/* What is known of a call when its claim is durable. Text is borrowed. */
struct calls_incoming {
    struct id id;
    struct str openai_call_id, sip_call_id;
    struct phone from;
    struct caller_verdict verdict;
    uint64_t received_wall_ms, received_mono_ms;
    enum call_reason limit; /* why a caller who may call is refused all the same; NONE: is not */
    const char *limit_text; /* static */
};

int calls_open(struct calls **out, struct app *app);
void calls_close(struct calls *cs); /* all calls were left or are over */
/* Calls that are not over and not being refused. */
unsigned calls_live(const struct calls *cs);
unsigned calls_count(const struct calls *cs);
/* Of calls_live() those that somebody is in, or being rung for: not those that wait to be dialled. */
unsigned calls_talking(const struct calls *cs);
/* A claim of ours is durable: accepts or refuses it. */
void calls_begin(struct calls *cs, const struct calls_incoming *in);
/* Takes over what earlier instances left. */
void calls_adopt(struct calls *cs);
/* How many calls living instances drive, as the last adoption found; and how many it re-attaches. */
unsigned calls_held_by_others(const struct calls *cs);
/* Our id of a call that is not over, by that or one of OpenAI's; any other comes back as it is. Until the call ends. */
struct str calls_ours(struct calls *cs, struct str id);
/* CALL_EV_END to one call by our id or OpenAI's, or to all (id empty). ERR_NOT_FOUND. */
int calls_end(struct calls *cs, struct str id, enum call_reason reason, struct str detail);
/* Detaches from all calls, which live on at the provider. */
void calls_leave(struct calls *cs);

/* ---- From the telephone's side (lines.h); unknown calls are ignored ---- */

struct calls_waiting { /* a call whose line begins: it has no leg of the model yet. Borrowed */
    struct id id;
    bool outbound;
    struct phone other;        /* the number at the other end */
    struct caller_verdict verdict; /* level: at most linked */
    struct str spec;           /* JSON: message, purpose, context, session, voicemail_message; "" inbound */
    uint64_t received_wall_ms, max_duration_ms;
    bool recorded;             /* or to be, once those words were heard: */
    bool notice, ask_consent;  /* words about recording come first */
};
/* Its rows are durable. The call waits (CALL_WAITING) until calls_leg(). */
void calls_begin_waiting(struct calls *cs, const struct calls_waiting *in);
/*
 * The model's leg came in and its claim is durable: accept it. ERR_NOT_FOUND: reject it, its call is over. One that
 * comes in place of an earlier one has that conversation as text.
 */
int calls_leg(struct calls *cs, struct str call, struct str openai_call_id, struct str sip_call_id);
/*
 * What the line tells the model's side (enum line_tell, all but TELL_OVER). After an adoption TELL_HOLD is to be told
 * again. May be called from inside the line's effects: nothing here calls back into lines.h at once.
 */
void calls_line(struct calls *cs, struct str call, enum line_tell what, struct str text);
/* LINE_FX_NOTICE: words about recording are due; LINE_EV_NOTICE_HEARD follows once they were heard. */
void calls_notice(struct calls *cs, struct str call);
/* The recording pauses, or goes on: what is said meanwhile stands in the transcript as "[not recorded]". */
void calls_unrecorded(struct calls *cs, struct str call, bool paused);
/*
 * Keys that the carrier collected from the caller: as if they had been pressed in the conversation. While a PIN is
 * awaited they go to its check and nowhere else.
 */
void calls_keys(struct calls *cs, struct str call, struct str digits);
/* All lines of calls that were adopted by then are read back: whose is not among them has none any more. */
void calls_lines_read(struct calls *cs, uint64_t adopted_by_ms);
/*
 * Whether the call was taken over and its line is not read back yet: what is asked of it now must wait, since a call
 * that is ended without its line goes on to ring.
 */
bool calls_line_away(struct calls *cs, struct str call);
/* The line is over: so is the call. outcome: line_outcome_name(). */
void calls_line_over(struct calls *cs, struct str call, enum line_outcome outcome, struct str detail);

/* ---- Calls that came straight to the speech API (lines.h begins their lines when they are steered) ---- */

struct calls_direct {
    char id[ID_BYTES], number[PHONE_BYTES];
    bool live; /* its control channel is open */
};
/* By our id or OpenAI's. false: it is none of them, is refused or being hung up. */
bool calls_direct(struct calls *cs, struct str id, struct calls_direct *out);
/* Its line is told from now on whether the call is there. */
void calls_follow(struct calls *cs, struct str call);
/* rt_refer() for that call. ERR_NOT_FOUND. */
int calls_refer(struct calls *cs, struct str call, struct str target_uri, rt_rest_fn *fn, void *arg,
                struct rt_rest **out);

/* ---- From the agent's runs (runs.h); unknown calls are ignored ---- */
void calls_tool_done(struct calls *cs, struct str call, struct str tool_call, int rc, struct str text);
/* false: the call is gone, so the run must not act. */
bool calls_tool_acting(struct calls *cs, struct str call, struct str tool_call);
/* A person wrote in a chat while a call of theirs is live: the model is told. */
void calls_tell_person(struct calls *cs, struct str person, struct str identity, struct str text);
/* Persons became one or several: who each live caller is is asked again. */
void calls_know_again(struct calls *cs);
/* The number of a call was linked to a chat by a code: what that opens is opened. */
void calls_linked(struct calls *cs, struct str call, struct str identity);
/* The caller proved who they are ("by PIN"): tools of that level open. */
void calls_proven(struct calls *cs, struct str call, const char *how);
/* The model should know this now and say something about it; key: the same for the same thing told again. */
void calls_tell(struct calls *cs, struct str call, struct str key, struct str text);
bool calls_has(struct calls *cs, struct str call); /* it is not over */
/* The host prepared the session: its key, and the day of the call where the user lives. */
void calls_session_key(struct calls *cs, struct str call, struct str key, struct str date);

#endif
