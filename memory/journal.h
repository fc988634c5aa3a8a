/* SPDX-License-Identifier: MIT */
#ifndef MEMORY_JOURNAL_H
#define MEMORY_JOURNAL_H
/*
 * The rows that make calls survive a crash: claims, calls, turns, hops of the flight record, tool runs.
 * Every function copies its arguments, queues one store operation and answers on the loop thread after
 * the commit (fn may be NULL). Negative returns (ERR_FULL, ERR_NOMEM, ERR_CLOSED, and ERR_TOO_BIG for
 * over 8 MiB of text): nothing was queued, fn will not fire. Times are Unix milliseconds. Ids are ours
 * ("call_...", made by id_make(), so that their order is that of time) unless said otherwise.
 *
 * Tables: claim(n, at, call, openai, sip)  call(...)  turn(call, item_id, pos, ...)
 *         hop(call, seq, at, hop, detail)  tool_run(call, tool_call, ...). PRAGMA user_version = STORE_SCHEMA.
 */
#include "memory/store.h"

typedef void journal_fn(void *arg, int rc);

/* ---- Calls ---- */

/* Durable states of a call, text in the column call.state. */
#define JOURNAL_WAITING "waiting"   /* has a line (lines.h) but no leg of the model: dialling, or parked */
#define JOURNAL_CLAIMED "claimed"   /* ours; an accept may be in flight */
#define JOURNAL_ACCEPTED "accepted" /* the provider took the accept */
#define JOURNAL_LIVE "live"         /* the sideband spoke; the greeting was asked for */
#define JOURNAL_REFUSING "refusing" /* a reject is owed */
#define JOURNAL_LEAVING "leaving"   /* a hang-up is owed */
#define JOURNAL_OVER "over"

struct journal_call {
    struct str id, openai_call_id, sip_call_id; /* sip_call_id may be empty */
    struct str direction;                       /* "inbound" | "outbound" */
    struct str from;                            /* E.164, or "" for a withheld or malformed number */
    struct str from_kind;                       /* "e164" | "anonymous" | "malformed" */
    struct str level;                           /* "unknown" | "known" | "proven" (later also "linked") */
    struct str state, reason, detail;
    struct str session_key, model, voice;
    struct str usage_json; /* object or empty */
    uint64_t received_at, accepted_at, live_at, ended_at; /* 0: not yet */
    int64_t sip_status;    /* of a reject that is owed */
    uint64_t event_at;     /* not stored: no claim of this call can be older (wall ms); 0: not known */
};

enum journal_claim_result { JOURNAL_NEW, JOURNAL_DUPLICATE };
typedef void journal_claim_fn(void *arg, int rc, enum journal_claim_result result);
/*
 * The one decision per pending call: inserts claims for the provider's call id and, if there is one, the SIP
 * Call-ID (as SHA-256), and the call's row, owned by this instance; all or nothing. DUPLICATE when
 * either claim stands already, whoever made it. Not begun by deadline_ms (monotonic): ERR_TIMEOUT.
 * An older duplicate takes a transaction, but writes nothing; a recent one is told from memory.
 */
int journal_claim(struct store *s, const struct journal_call *row, uint64_t deadline_ms,
                  journal_claim_fn *fn, void *arg);

/*
 * True when a claim by either id is known to stand durably, without a wait, an allocation or a thread: the
 * short way for repeated deliveries. False says nothing: ask journal_claim(). Loop thread.
 */
bool journal_known(struct store *s, struct str openai_call_id, struct str sip_call_id);

enum journal_set { /* which columns a save writes */
    JOURNAL_SET_STATE = 1 << 0,
    JOURNAL_SET_REASON = 1 << 1, /* and detail */
    JOURNAL_SET_LEVEL = 1 << 2,
    JOURNAL_SET_SESSION = 1 << 3,
    JOURNAL_SET_MODEL = 1 << 4, /* and voice */
    JOURNAL_SET_USAGE = 1 << 5,
    JOURNAL_SET_ACCEPTED_AT = 1 << 6,
    JOURNAL_SET_LIVE_AT = 1 << 7,
    JOURNAL_SET_ENDED_AT = 1 << 8,
    JOURNAL_SET_SIP_STATUS = 1 << 9
};
/*
 * Updates the columns of `set` in the row of row->id, if this instance owns the call: ERR_NOT_FOUND when
 * there is no such call or another instance took it over. STORE_RETRY.
 */
int journal_save(struct store *s, const struct journal_call *row, unsigned set, journal_fn *fn,
                 void *arg);

/* ---- Flight record, turns, tool runs (all STORE_RETRY) ---- */

int journal_hop(struct store *s, struct str call, uint64_t at, struct str hop, struct str detail);

struct journal_turn {
    struct str item_id;
    int64_t pos; /* order of turns within a call */
    struct str who; /* "caller" | "assistant" */
    struct str text;
    bool interrupted;
    uint64_t audio_ms, heard_ms, at;
};
/*
 * Inserts, or replaces the row of that item id. text.p NULL: the stored row is cut to heard_ms and marked
 * interrupted, unless it is already; nothing else of it changes.
 */
int journal_turn(struct store *s, struct str call, const struct journal_turn *row, journal_fn *fn,
                 void *arg);

#define JOURNAL_TOOL_CLOSED "closed" /* the one state in which nothing is owed for a tool run */

struct journal_tool { /* one function call of the model; state: JOURNAL_TOOL_CLOSED or the caller's own */
    struct str tool_call, name, arguments, state, output;
    uint64_t at;
};
/* Inserts, or updates state and output (an empty output leaves it). */
int journal_tool(struct store *s, struct str call, const struct journal_tool *row, journal_fn *fn,
                 void *arg);

/* ---- Recovery ---- */

struct journal_found { /* a call that is not over; everything borrowed for the callback */
    struct journal_call row;
    const struct journal_tool *tools; /* not yet closed ones, oldest first */
    unsigned n_tools;
    int64_t last_pos; /* of its turns, 0 none */
    unsigned n_turns, n_assistant_turns;
    struct call_cost {    /* charge.h */
        uint64_t nano, day_nano; /* in all; on the last day with a charge */
        uint32_t day;            /* 0: nothing was counted */
        struct str response;     /* that was counted last */
    } cost;
    struct str last_items[8]; /* item ids of the last turns, oldest first */
    int64_t last_items_pos[8];
    unsigned n_last_items;
    bool has_line;        /* lines.h: at a carrier */
    bool has_direct_line; /* of a call that came straight to the speech API, and not over */
    struct str line_machine; /* of a direct one */
    struct str line_spec; /* what it was asked for */
};
typedef void journal_adopt_fn(void *arg, int rc, const struct journal_found *found, unsigned n,
                              unsigned held_by_others);
#define JOURNAL_ADOPT_MAX 16384u /* calls at a time; when as many come, ask again for the rest */
/*
 * Takes over every call that is not over and whose owner is gone (its lock file is free), oldest first.
 * held_by_others: calls that a living instance drives. Of calls that are over it takes over, without telling them,
 * those whose line waits for its recording or whose recording is being fetched.
 */
int journal_adopt(struct store *s, journal_adopt_fn *fn, void *arg);

/* ---- Queries: JSON text for the API, borrowed for the callback ---- */

enum journal_query {
    /*
     * {"calls":[{call, openai_call_id, direction, from, from_kind, level, state, status, reason, detail,
     * session_key, received_at, accepted_at, live_at, ended_at, duration_ms, turns, model, voice, cost_usd}]}
     * newest first; id = "" all, or a group: "live" (not over) | "over". status: "ringing" | "live" |
     * "ended". Times, duration_ms and cost_usd are null while they are not known.
     */
    JOURNAL_Q_CALLS,
    JOURNAL_Q_CALL,       /* one such call with its "usage" (object or null) and "tools" (count) */
    JOURNAL_Q_TRANSCRIPT, /* {"call","turns":[{item_id, who, text, interrupted, at}]} in order */
    /*
     * {"call":{as CALL},"hops":[{at, hop, detail}],"tools":[{tool_call, name, arguments, state, output, at}],
     * "turns":{caller, assistant, interrupted}}, for why.c
     */
    JOURNAL_Q_WHY
};
typedef void journal_query_fn(void *arg, int rc, struct str json);
/*
 * id: ours or OpenAI's (that of a call older than 72 h is looked for among the newest 100,000 calls only).
 * ERR_NOT_FOUND comes by fn, and ERR_TOO_BIG for an answer over 64 MiB. limit: rows of
 * CALLS at most (1..1000).
 */
int journal_query(struct store *s, enum journal_query what, struct str id, unsigned limit,
                  journal_query_fn *fn, void *arg);

/*
 * Deletes claims older than 72 h, and calls that ended more than keep_ms ago with all that hangs on them
 * (0: keep). Works in steps of a few milliseconds, between which other operations run; fn comes after the
 * last.
 * A call to which an open outbox row belongs stays until that is settled. Callers outlive their calls:
 * who they are is not what was said. But a person of whom nothing is known but a number (no name, language,
 * notes or links, no call left) goes 90 days after being last seen, or after keep_ms if that is longer.
 */
int journal_expire(struct store *s, uint64_t now_ms, uint64_t keep_ms, journal_fn *fn, void *arg);

#endif
