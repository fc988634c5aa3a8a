/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_CALL_CALL_H
#define PLUGIN_CALL_CALL_H
/*
 * One telephone call, as a state machine without I/O: call_step(call, event, now) returns effects and
 * never calls out, so nothing re-enters it and nothing is freed under it. Owner: plugin/calls.c, which
 * feeds events in and carries effects out. Loop thread.
 *
 *   refused by policy                  claimed                          found after a restart
 *        │                                │                        claimed│accepted,live│leaving
 *        ▼                                ▼                               │      │      │
 *    REFUSING ◄──────no────────────── ACCEPTING ◄─────────────────────────┘      │      │
 *        │                                │ accepted, or perhaps accepted        │      │
 *        │                                ▼                                      │      │
 *        │   ┌──────── gave up ────── ATTACHING ◄────────────────────────────────┘      │
 *        │   │                         │     ▲                                          │
 *        │   │      the session speaks │     │ sideband lost                            │
 *        │   │                         ▼     │                                          │
 *        │   │◄──── hang up ─────────── LIVE ┘                                          │
 *        │   │                            │ a goodbye is due                            │
 *        │   │                            ▼                                             │
 *        │   │◄──── heard, or 12 s ── GOODBYE                                           │
 *        │   ▼                                                                          │
 *        │ HANGING_UP ◄─────────────────────────────────────────────────────────────────┘
 *        ▼   ▼
 *        OVER ◄── the caller is gone ── ACCEPTING, ATTACHING
 *
 * A call with a line at a carrier (set.line; line.h) is there without a leg of the model, too:
 *
 *        begun by the line, or restored ──► WAITING ── its leg came in ──► ACCEPTING
 *                                             ▲
 *        parked, or the leg is lost for good  │
 *        ACCEPTING, ATTACHING, LIVE ──────────┘
 *
 * There no REFUSING and no end for want of a leg: the line brings a leg back or ends. A leg that comes in is a
 * conversation of its own at the provider: what was owed in the old one is told as news (tools_new_leg()).
 *
 * Edges, and the function that makes each: begin → ACCEPTING, REFUSING (call_begin), WAITING
 * (call_begin_waiting); restore → ACCEPTING, REFUSING, ATTACHING, HANGING_UP, WAITING (call_restore);
 * WAITING, ACCEPTING, ATTACHING, LIVE → ACCEPTING (on_leg); ACCEPTING, ATTACHING, LIVE → WAITING (on_park,
 * call_lose_leg); WAITING → HANGING_UP (hang_up, deadline), OVER (on_line_over); ACCEPTING → ATTACHING, REFUSING, OVER,
 * HANGING_UP when it was ended meanwhile (on_accepted, deadline); ATTACHING → LIVE (on_session),
 * HANGING_UP (give_up), REFUSING, OVER (on_lost); LIVE → ATTACHING (on_lost), GOODBYE (say_goodbye),
 * HANGING_UP (hang_up); GOODBYE → HANGING_UP (drained, on_lost, deadline); REFUSING, HANGING_UP → OVER
 * (answered, deadline). CALL_EV_LEAVE detaches in every state without an edge: the call goes to the next instance.
 *
 * True in each state, and its deadline:
 *   WAITING     no leg of the model: the line is dialling, or the leg is parked or lost; the row says
 *               "waiting". The line's own deadlines, and behind them the maximum duration from the first words on;
 *               before those the maximum duration + 25 h, since a line may wait for quiet hours to end.
 *   ACCEPTING   one accept in flight; no sideband. 20 s, then as if the answer were lost.
 *   ATTACHING   accepted as far as we know; at most one sideband, or a pause before the next try.
 *               20 s for each try to speak, 40 s in all, then hang up.
 *   LIVE        the sideband spoke; turns are written. The maximum duration of the call.
 *   GOODBYE     the sideband is open, the row says "leaving"; the last words are being heard. 12 s.
 *   HANGING_UP  a hang-up is in flight, the row says "leaving". 15 s; with a line it is the line that ends both
 *               legs, asked for again every 2 s, 5 min at most.
 *   REFUSING    a reject is in flight, the row says "refusing" or the reason is known. 15 s.
 *   OVER        the row is final and nothing is pending.
 *
 * What it costs: call_cost.c; a limit that is reached leads from LIVE to GOODBYE. What was said and what keys were
 * pressed: call_speech.c. The telephone's side: call_line.c. While `held` nothing is
 * asked to be said and results wait; the maximum duration runs on.
 *
 * Speaking (floor.c): never two responses at once. Tools (tool.c, owed.c): exactly one output for
 * each function call, then one response for all calls of a response.
 */
#include "plugin/base/buf.h"
#include "plugin/base/id.h"
#include "plugin/call/event.h"
#include "plugin/call/transcript.h"

enum call_state {
    CALL_NEW = 0,
    CALL_WAITING,
    CALL_ACCEPTING,
    CALL_REFUSING,
    CALL_ATTACHING,
    CALL_LIVE,
    CALL_GOODBYE,
    CALL_HANGING_UP,
    CALL_OVER,
    CALL_STATES
};

/* Why a call ended: one is recorded for every call. Names by call_reason_name(). */
enum call_reason {
    CALL_REASON_NONE = 0,
    CALL_REASON_CALLER_HUNG_UP,   /* the provider closed the call after a conversation */
    CALL_REASON_ASSISTANT_ENDED,  /* the model called end_call */
    CALL_REASON_SILENCE,          /* nobody spoke for the configured time */
    CALL_REASON_MAX_DURATION,
    CALL_REASON_SESSION_EXPIRED,  /* the provider's own limit */
    CALL_REASON_OPERATOR,         /* by API or host */
    CALL_REASON_SHUTDOWN,         /* the host stopped and asked for calls to end */
    CALL_REASON_REFUSED_POLICY,   /* detail says which rule */
    CALL_REASON_REFUSED_BUSY,     /* max_concurrent */
    CALL_REASON_CALLER_GONE,      /* hung up before we answered */
    CALL_REASON_ACCEPT_FAILED,    /* detail: what the provider answered */
    CALL_REASON_ATTACH_FAILED,    /* accepted, but the sideband never spoke */
    CALL_REASON_CONTROL_LOST,     /* the sideband was lost and could not be had again */
    CALL_REASON_MODEL_FAILED,     /* responses kept failing; detail says how */
    CALL_REASON_ENDED_WHILE_DOWN, /* over when we came back */
    CALL_REASON_NOT_CONNECTED,    /* a call of ours that nobody took; detail says why */
    CALL_REASON_TRANSFERRED,      /* the caller talks to somebody else now */
    CALL_REASON_VOICEMAIL,        /* an answering machine took it */
    CALL_REASON_CANCELED,         /* taken back before it was answered */
    CALL_REASON_COST_LIMIT,       /* detail says which limit was reached */
    CALL_REASON_REFUSED_COST,     /* a day's limit is used up; detail says which */
    CALL_REASON_REFUSED_RATE,     /* too many calls from one number */
    CALL_REASON_REFUSED_DRAINING, /* the instance is about to stop */
    CALL_REASONS
};

/* What a caller's level allows, decided by the shell when the call begins and when a PIN is proven. */
enum call_tools { CALL_TOOLS_NONE = 0, CALL_TOOLS_SAFE, CALL_TOOLS_FULL };

struct call_settings { /* copied into the call */
    uint32_t filler_after_ms, progress_every_ms, tool_timeout_ms;
    uint32_t owner_timeout_ms; /* of the native tool ask_owner, in place of tool_timeout_ms */
    uint64_t max_duration_ms;
    uint64_t silence_ms; /* 0: off */
    enum call_tools tools;
    bool ask_available; /* ask_openclaw is among the session's tools */
    bool verify_available; /* verify_identity is among them */
    bool chat_available;   /* it needs no arguments: without them a code goes to the caller's chat */
    const char *const *custom_tools; /* names from the agent file; borrowed for the call's life */
    unsigned n_custom_tools;
    const char *const *native_tools; /* names that the shell answers itself; borrowed likewise */
    unsigned n_native_tools;
    struct cost_rates rates;
    bool context_late; /* CALL_EV_CONTEXT will come: the greeting waits for it, at most 300 ms */
    /* With a line; texts are borrowed for the call's life. */
    bool line;
    bool ask_consent;  /* record_consent is among the tools */
    struct str first;  /* instructions of the first response, or empty: the session's */
    struct str notice; /* instructions of a response that says the words about recording; empty: none are known */
    bool notice_first; /* they are due at the beginning; `first`, if given, holds them */
};

#define CALL_TOOLS_PENDING 16  /* function calls without an output at one time; more are refused */
#define CALL_TOOL_ID_BYTES 80  /* longest function call id that is taken */
#define CALL_OUTPUT_BYTES 16384u /* longest result given to the model, in bytes */

enum tool_state { /* names in the journal: tool_state_name() */
    TOOL_FREE = 0,
    TOOL_PROBING, /* restored: asking the provider whether the output is there already */
    TOOL_RUNNING, /* the shell works on it */
    TOOL_READY,   /* has its output, which was not handed to the sideband yet */
    TOOL_SENT,    /* handed to the sideband, not yet seen in the conversation */
    TOOL_LATE     /* an honest "not finished" went out; the run goes on and its result will be news */
};

/* OWNER: the native tool by which the model asks its owner in their chat; it may be begun again. */
enum tool_kind { TOOL_ASK, TOOL_NATIVE, TOOL_OWNER, TOOL_END, TOOL_PIN, TOOL_CONSENT, TOOL_UNKNOWN };

struct tool { /* one function call of the model */
    enum tool_state state;
    enum tool_kind kind;
    bool acting;    /* the run began to change things: never asked twice */
    bool restored;  /* from before a restart: no run of ours belongs to it until started */
    bool confirmed; /* SENT, LATE: its output was seen in the conversation */
    bool was_late;  /* restored: the journal says that it was LATE */
    bool elsewhere; /* its function call is in a conversation that is gone: its result can only be news */
    bool probed;    /* LATE: the provider was asked for its output and has not said */
    bool cancelled; /* nobody waits for it any more */
    bool news_sent; /* LATE: its result was handed to the sideband, not yet seen there */
    bool news_here; /* LATE: seen there */
    bool news_again; /* LATE: perhaps not for the first time: announced when it is seen */
    bool keypad;     /* TOOL_PIN: waits for the digits that the caller presses */
    uint32_t batch; /* function calls of one response share it */
    uint64_t asked_at, since;
    char id[CALL_TOOL_ID_BYTES];
    char *name, *arguments; /* owned */
    char *output;           /* owned; NULL until READY, or LATE with its result */
    char *news;             /* owned; the result as a message, while news_sent */
    struct tool *next_gone; /* closed ones live until the next step, since effects name them */
};

struct floor { /* who speaks, and what we still want said; private to floor.c */
    bool response_active;  /* between response.created and response.done */
    bool response_asked;   /* our response.create is out and not answered */
    bool caller_speaking, audio_playing;
    unsigned want;         /* WANT_* */
    unsigned asked_for;    /* the WANT_* that the asked response serves */
    unsigned lost_for;     /* of one that was not answered in time: what begins now may be it, only late */
    uint32_t ask_seq;      /* number of our response.create events */
    uint64_t asked_at, active_at, speaking_at, audio_until;
    uint64_t active_until; /* the active response counts as lost then */
    uint64_t audio_id;     /* hash of the response that is heard */
    uint64_t auto_until;   /* the provider is about to start a response by itself */
    uint64_t quiet_since;  /* nobody spoke from here on */
    uint64_t filler_at;    /* when the last filler was asked for; 0 none for the running tools */
    uint64_t guard_at;     /* after a re-attach: speak if it is still quiet then; 0 off */
    uint64_t retry_at;     /* a failed response is asked for again then; 0 off */
    unsigned failures;     /* responses that failed, in a row */
    uint64_t heard_check_at; /* first words should be heard by then; 0 off */
    uint64_t greet_at;     /* greet at the latest then, durable or not; 0 off */
    uint64_t goodbye_id;   /* hash of the response that says goodbye; 0 not known yet */
    uint64_t notice_id;    /* hash of the response that says the words about recording; 0 none */
    uint64_t voicemail_id; /* hash of the response that speaks to the machine; 0 none */
    uint64_t stopped_id;   /* hash of the response whose audio ended last */
    uint64_t done_ids[8];  /* hashes of the last responses that are done: events may come twice */
    unsigned next_done;
    bool heard_any;
};

enum call_voicemail { /* words for an answering machine */
    CALL_VOICEMAIL_NONE = 0,
    CALL_VOICEMAIL_SAVING, /* not durable yet that they are to be said */
    CALL_VOICEMAIL_WANTED,
    CALL_VOICEMAIL_ASKED, /* may be being said: never asked for again, unless the provider says that it was not */
    CALL_VOICEMAIL_SAID   /* or lost */
};

#define CALL_KEYS_MAX 32   /* digits gathered before they are told */
#define CALL_ANNOUNCED 8u  /* items whose words are not known yet */
#define CALL_UNRECORDED 64u
#define CALL_ITEM_BYTES 80 /* longest item id that is asked for */

struct announced { /* an item of the conversation that should get words */
    enum call_who who; /* OTHER: the place is free */
    bool unheard;      /* it came while no sideband was open: `who` is not known, its answer says so */
    char id[CALL_ITEM_BYTES];
};

struct call {
    enum call_state state;
    enum call_reason reason; /* set once */
    uint64_t begun_ms;       /* monotonic */
    uint64_t deadline_ms;    /* of the state; 0 only in NEW, LIVE without a limit, and OVER */
    uint64_t live_since_ms, max_at_ms, warn_at_ms;
    uint64_t try_at_ms;    /* ATTACHING: when to try again; 0: a try is on */
    uint64_t try_until_ms; /* ATTACHING: when the try that is on counts as lost */
    uint64_t spoke_at_ms;  /* when the session spoke last (monotonic) */
    uint64_t lost_wall_ms; /* when the sideband was lost last */
    uint64_t ended_wall_ms;
    unsigned tries;
    unsigned not_found;      /* handshakes answered 404 in a row */
    bool greet_saved;
    bool restored, greeted, was_live, second_accept, uncertain_accept, sideband_open;
    bool accepted;         /* the provider said so, or the session spoke */
    bool warned, expires_first; /* the provider's limit comes before ours */
    bool leg;              /* with a line: a leg of the model is there, as far as we know */
    bool leg_again;        /* it is not the first: the conversation has to be told that it goes on */
    bool held;             /* the caller hears music: nothing is said, results wait */
    bool line_over;        /* nobody is at the other end any more */
    bool referred;         /* the provider was asked to hand the caller over: its closing the call says that it did */
    bool notice_due, notice_heard, consented;
    unsigned notices;      /* how often the words about recording were asked for */
    unsigned resumes;
    enum call_voicemail voicemail;
    uint64_t voicemail_until; /* said or not, the line goes on then */
    char *voicemail_words; /* owned */
    uint64_t keys_at;      /* when the last key was pressed; 0: none is kept */
    unsigned n_keys;
    char keys[CALL_KEYS_MAX + 1], spent_keys[CALL_KEYS_MAX + 1]; /* the second is named by effects; both are wiped */
    struct announced announced[CALL_ANNOUNCED];
    unsigned next_announced;
    bool gap;              /* no item was seen since the sideband was open again: some may have been missed */
    bool unrecorded;       /* turns are kept without their words */
    uint64_t unrecorded_ids[CALL_UNRECORDED]; /* hashes of items that were said so: their words may come later */
    unsigned next_unrecorded;
    bool turned;           /* the assistant was heard since the last turn of the human */
    int sip_status;
    unsigned turns, pin_tries;
    uint32_t batch_seq;
    struct call_settings set;
    struct call_usage usage;
    uint64_t cost_nano, dearest_nano; /* so far; of its dearest response */
    struct cost_budget budget;
    bool cost_warned;
    struct floor floor;
    struct tool *tools[CALL_TOOLS_PENDING];
    struct tool *gone;
    struct transcript transcript;
    char detail[160];        /* of the reason */
};

/* ---- Effects ---- */

enum call_fx_kind {
    CALL_FX_ACCEPT,   /* POST accept */
    CALL_FX_REJECT,   /* POST reject, u.sip_status */
    CALL_FX_HANGUP,   /* u.hangup_line: end the line, which ends both legs (perhaps not for the first time); else
                       * POST hangup */
    CALL_FX_ATTACH,   /* open the sideband */
    CALL_FX_DETACH,   /* close it if open */
    CALL_FX_SEND,     /* u.send to the sideband */
    CALL_FX_TOOL_RUN, /* u.tool: start working on it (TOOL_ASK, TOOL_NATIVE, TOOL_OWNER or TOOL_PIN) */
    CALL_FX_TOOL_CANCEL, /* u.tool: its result is wanted no more; keep what has begun to act */
    CALL_FX_SAVE,     /* write the call's row: u.save columns by CALL_SAVE_* */
    CALL_FX_SAVE_TURN,/* u.turn */
    CALL_FX_SAVE_TOOL,/* u.tool_row */
    CALL_FX_HOP,      /* u.hop: a line of the flight record */
    CALL_FX_NOTIFY,   /* u.notify: an event for the host */
    CALL_FX_COST,     /* u.cost: it cost so much more, by this response */
    CALL_FX_LINE,     /* u.line: an event for the line; only with set.line */
    CALL_FX_OVER      /* the call may be freed when its saves are queued; always last */
};

enum call_send_kind {
    CALL_SEND_RESPONSE, /* response.create: instructions, allow_tools */
    CALL_SEND_OUTPUT,   /* function_call_output: item_id, call_id, text */
    CALL_SEND_NEWS,     /* a system message: item_id, text */
    CALL_SEND_RETRIEVE, /* item_id, or `text`: the id of an item of the provider's */
    CALL_SEND_CANCEL,   /* the response under way */
    CALL_SEND_CLEAR     /* what the caller would still hear */
};

enum call_line { /* what a line is told; as LINE_EV_* in line.h, which stands above this */
    CALL_LINE_MODEL_LIVE,
    CALL_LINE_MODEL_GONE,   /* text: why */
    CALL_LINE_NOTICE_HEARD, /* the words about recording, to their end; or consent was given */
    CALL_LINE_CONSENT_GONE, /* consent was taken back, or not given */
    CALL_LINE_CALLEE_TURN,
    CALL_LINE_VOICEMAIL_SAID
};

#define CALL_SAVE_STATE (1u << 0)
#define CALL_SAVE_REASON (1u << 1)
#define CALL_SAVE_USAGE (1u << 2)
#define CALL_SAVE_ACCEPTED (1u << 3)
#define CALL_SAVE_LIVE (1u << 4)
#define CALL_SAVE_ENDED (1u << 5)

enum call_notice {
    CALL_NOTICE_ACCEPTED,
    CALL_NOTICE_LIVE, /* u.notify.flag: re-attached */
    CALL_NOTICE_TURN,
    CALL_NOTICE_TOOL, /* tool, phase, text, ms */
    CALL_NOTICE_ENDED
};

/* Text is borrowed from the call, its event or static memory: valid until the next step. */
struct call_fx {
    enum call_fx_kind kind;
    union {
        int sip_status;
        bool hangup_line;
        struct {
            enum call_line what;
            struct str text;
        } line;
        struct {
            enum call_send_kind kind;
            struct id event_id, item_id;
            struct str call_id, text;
            bool allow_tools;
        } send;
        struct {
            const struct tool *tool;
            bool resumed; /* asked again after a restart */
            struct str keys; /* TOOL_PIN: the digits that were pressed; empty with tool->keypad: they are awaited */
        } tool;
        struct {
            unsigned columns;
            const char *state; /* durable name, with CALL_SAVE_STATE */
            uint32_t ticket;   /* not 0: CALL_EV_SAVED with it once it is durable */
        } save;
        struct transcript_row turn;
        struct {
            const struct tool *tool;
            const char *state; /* durable name */
            struct str output;
        } tool_row;
        struct {
            uint64_t nano;
            struct str response; /* or the item that was transcribed */
        } cost;
        struct {
            const char *name; /* static */
            struct str detail;
        } hop;
        struct {
            enum call_notice what;
            bool flag;
            const struct tool *tool;
            const char *phase;
            struct str text;
            uint64_t ms;
            struct transcript_row turn;
        } notify;
    } u;
};

#define CALL_FX_MAX 256

struct call_effects {
    unsigned n;
    bool overflow; /* effects were lost: a bug; the shell logs it and ends the call */
    struct call_fx v[CALL_FX_MAX];
    char scratch[24][200]; /* texts made by the step */
    unsigned n_scratch;
    struct transcript_rows rows; /* of the event, until the next step */
};

/* A point in time, both clocks. */
struct call_now {
    uint64_t mono_ms, wall_ms;
};

/* ---- Functions. All pure but for the allocator; OOM ends a tool or call in an orderly way. ---- */

void call_init(struct call *c, const struct call_settings *set);
void call_free(struct call *c);
/* Starts a claimed call: accepts it, or refuses it with a SIP status and a static reason text. */
void call_begin(struct call *c, struct call_now now, struct call_effects *fx);
void call_begin_refusal(struct call *c, enum call_reason reason, int sip_status, struct str detail,
                        struct call_now now, struct call_effects *fx);
/* Starts a call with a line (set.line), whose row says "waiting": CALL_EV_LEG comes, or CALL_EV_LINE_OVER. */
void call_begin_waiting(struct call *c, struct call_now now, struct call_effects *fx);

struct call_restore_tool {
    struct str id, name, arguments, state, output;
    uint64_t age_ms; /* since it was asked for */
};
struct call_restored { /* what the journal has of it */
    struct str state, reason, detail;
    int sip_status;
    uint64_t age_ms;      /* since it was received */
    uint64_t live_age_ms; /* since the first words were asked for; 0 never */
    unsigned turns;
    bool spoke; /* the assistant's first turn is stored */
    const struct call_restore_tool *tools;
    unsigned n_tools;
    struct call_usage usage;
    uint64_t cost_nano;
    struct str last_response; /* the one that was counted last */
};
/* Continues a call that an earlier instance drove. The transcript is restored by the caller before. */
void call_restore(struct call *c, const struct call_restored *r, struct call_now now,
                  struct call_effects *fx);
/* One event. fx is cleared first. Every event is allowed in every state. */
void call_step(struct call *c, const struct call_event *ev, struct call_now now,
               struct call_effects *fx);
/* When the next CALL_EV_TIMER is due (monotonic), 0 for never. */
uint64_t call_deadline_ms(const struct call *c);
/* The invariants of the state; the first that does not hold, or NULL. For tests and debug builds. */
const char *call_broken(const struct call *c);

const char *call_state_name(enum call_state s);
/* Whether a leg of the model that comes in now would be taken. */
bool call_takes_leg(const struct call *c);
const char *call_reason_name(enum call_reason r);
/* NONE for an unknown name. */
enum call_reason call_reason_of(struct str name);
const char *tool_state_name(const struct tool *t); /* the journal's word */
/* The conversation item id under which a function call's output stands: the same in every instance. */
struct id tool_item_id(const struct tool *t);

#endif
