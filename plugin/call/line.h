/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_CALL_LINE_H
#define PLUGIN_CALL_LINE_H
/*
 * The telephone's side of one call at a carrier: who is on it, dialling, hold, transfer, recording, as a state
 * machine without I/O. line_step(line, event, now, effects) returns effects and never calls out. Owner:
 * plugin/lines.c. Loop thread. The model's side is struct call (call.h); the shell carries words between the two.
 *
 * A line is a room at the carrier, named by the line's reference, in which its parties meet: "caller" (the human
 * at the other end, whoever dialled), "model" (the speech API, by SIP), and further humans (targets of a transfer,
 * invited ones). Each party has a leg:
 *
 *   WANTED ──slot, saved──► CREATING ──answered──► RINGING ──in-progress──► UP ──► GONE
 *                              │  answer lost          ▲                          ▲
 *                              ▼                       │ found, or its callback   │
 *                            LOST ─────────────────────┘                          │
 *                              └── nothing in 60 s: unconfirmed ──────────────────┘
 *
 * Never a second ring: CREATING is durable before the first byte; from CREATING and LOST no path leads back to a
 * create, but a refused connection (nothing was sent) and 429 (nothing was done). A callback that names our
 * reference and party with an unknown leg adopts it, or ends it when the line is over or the party is GONE.
 * (The model is no human: its leg may be replaced by another one under a fresh reference, and the old one ended.)
 *
 * The whole machine is durable as one text (line_write, line_read): it is saved (by version) before each effect
 * at the carrier that must not be done twice. After line_read() the machine asks the carrier what is so
 * (LINE_CMD_LOOK_UP) before it does anything else to a party that was CREATING, LOST, RINGING or UP, but for
 * ending it. Of a step's effects LINE_FX_ACTION come before LINE_FX_SAVE: an action whose row is open and which
 * line_read() does not know was never begun, and is handed in again (LINE_EV_ACTION is idempotent by id).
 *
 * Phases of the line: QUEUED (caller WANTED, nobody was dialled) → DIALING → RINGING → ANSWERED → ENDING → OVER; an
 * incoming one starts ANSWERED. They never go back. Each has a deadline: QUEUED queue_ms; DIALING/RINGING
 * ring_ms + 65 s; ANSWERED the maximum duration; ENDING 15 s, tried again until every leg is known to be gone or
 * 75 s have passed. A line that is OVER but waits for its recording (30 s at most) has a timer still; LINE_FX_OVER
 * says that nothing is owed any more. A dial that goes back to WANTED keeps its phase.
 */
#include "plugin/base/buf.h"
#include "plugin/base/id.h"
#include "plugin/base/phone.h"
#include "plugin/call/call.h" /* struct call_now */

#define LINE_PARTIES 6u
#define LINE_ACTIONS 16u         /* open at one time */
#define LINE_LABEL_BYTES 32u
#define LINE_SID_BYTES 48u       /* of a leg, room or recording at the carrier */
#define LINE_REF_BYTES 33u       /* 128 random bits in hexadecimal */
#define LINE_ADDRESS_BYTES 256u  /* E.164 number, or a SIP URI */
#define LINE_TEXT_BYTES 1024u    /* text of an action, digits included */

enum line_phase { LINE_QUEUED = 0, LINE_DIALING, LINE_RINGING, LINE_ANSWERED, LINE_ENDING, LINE_OVER, LINE_PHASES };

enum line_outcome { /* names: line_outcome_name() */
    LINE_OUTCOME_NONE = 0,
    LINE_OUTCOME_ANSWERED, LINE_OUTCOME_VOICEMAIL, LINE_OUTCOME_TRANSFERRED, LINE_OUTCOME_BUSY,
    LINE_OUTCOME_NO_ANSWER, LINE_OUTCOME_REJECTED, LINE_OUTCOME_INVALID, LINE_OUTCOME_UNREACHABLE,
    LINE_OUTCOME_GEO_BLOCKED, LINE_OUTCOME_REFUSED, LINE_OUTCOME_CANCELED, LINE_OUTCOME_EXPIRED,
    LINE_OUTCOME_INTERRUPTED, LINE_OUTCOME_UNCONFIRMED, LINE_OUTCOME_FAILED, LINE_OUTCOMES
};

enum line_can { /* what this line's carrier and topology can do */
    LINE_CAN_HOLD = 1 << 0, LINE_CAN_MUTE = 1 << 1, LINE_CAN_DTMF = 1 << 2, LINE_CAN_COLLECT = 1 << 3,
    LINE_CAN_TRANSFER = 1 << 4, LINE_CAN_WARM = 1 << 5, LINE_CAN_INVITE = 1 << 6, LINE_CAN_ANNOUNCE = 1 << 7,
    LINE_CAN_RECORD = 1 << 8, LINE_CAN_REFER = 1 << 9, LINE_CAN_HANGUP = 1 << 10, LINE_CAN_SAY = 1 << 11
};
/* Name of one capability in the API ("hold", "transfer", ...), NULL behind the last. */
const char *line_can_name(unsigned bit_index);

enum leg_state { LEG_NONE = 0, LEG_WANTED, LEG_CREATING, LEG_LOST, LEG_RINGING, LEG_UP, LEG_GONE };
enum leg_role { ROLE_CALLER = 0, ROLE_MODEL, ROLE_OTHER };

struct line_job { /* private: one command at a time for one thing; lives in memory alone */
    unsigned n, what, fails; /* n: number of the command in flight, 0 none */
    bool on;
    uint64_t until_ms, next_ms;
};

/* legs[0] is the caller's. Two legs of one label: the older one is being ended (ended_by_us). */
struct leg {
    enum leg_state state;
    enum leg_role role;
    bool held, muted, ended_by_us, saved; /* saved: its CREATING is durable */
    bool offered;               /* made by LINE_CMD_OFFER: in the room only once it has accepted */
    bool in_room;               /* seen there, as far as told */
    bool given_up;              /* GONE without a proof: ended when a callback says that it lives */
    bool mute_want, ends_room, ends_want; /* private: what is wanted of the carrier, what it was told */
    bool slot_asked;            /* private */
    unsigned unsure;            /* private: LEG_UNSURE_*: what the carrier made of a command is not known */
    unsigned tries;
    uint64_t not_before_wall_ms; /* private: WANTED */
    uint64_t save_version;       /* private: CREATING is durable with it */
    struct line_job job;         /* private */
    int64_t last_seq;           /* of its status callbacks; -1 none */
    uint64_t since_wall_ms;     /* of the state */
    char label[LINE_LABEL_BYTES]; /* "caller", "model", or a name of the configuration */
    char ref[LINE_REF_BYTES];   /* of the model's leg alone: goes out as X-Call-Ref; one leg each */
    char sid[LINE_SID_BYTES];   /* "" not known yet */
    char to[LINE_ADDRESS_BYTES];
};

enum line_action_kind {
    ACT_NONE = 0, ACT_HOLD, ACT_RESUME, ACT_MUTE, ACT_UNMUTE, ACT_DTMF, ACT_COLLECT, ACT_TRANSFER, ACT_INVITE,
    ACT_REMOVE, ACT_SAY, ACT_ANNOUNCE, ACT_HANGUP, ACT_RECORD_START, ACT_RECORD_PAUSE, ACT_RECORD_RESUME,
    ACT_RECORD_STOP, ACT_KINDS
};
enum line_action_state {
    ACTION_ASKED = 0, ACTION_DOING, ACTION_DONE, ACTION_FAILED, ACTION_UNCERTAIN,
    ACTION_HANDED_OVER /* a refer, and the call ended: whether the target took it nobody says */
};

struct line_action {
    char id[ID_BYTES];              /* "act_..." */
    enum line_action_kind kind;
    enum line_action_state state;
    bool sent;                      /* its command may have reached the carrier: not sent twice where that matters */
    bool warm, secret;              /* ACT_TRANSFER; ACT_COLLECT: digits of a PIN, never told to the model */
    uint64_t deadline_wall_ms;
    char party[LINE_LABEL_BYTES];   /* "" : the caller */
    char to[PHONE_BYTES];           /* number, already decided by policy */
    char text[LINE_TEXT_BYTES];     /* digits, words to say, summary for a target */
    char error[160];
    /* private; given as zero */
    bool changed, accepted, holds;  /* holds: it put the caller on hold */
    unsigned step;
    uint64_t send_version, since_wall_ms;
    struct line_job job;
};

enum line_recording_state {
    REC_NONE = 0,
    REC_WANTED,   /* until the notice was heard */
    REC_STARTING,
    REC_ON,
    REC_PAUSED,
    REC_STOPPED,  /* whole, at the carrier */
    REC_ABSENT,   /* nothing was recorded */
    REC_FAILED
};

struct line_settings { /* frozen when the line begins; durable with it */
    unsigned can;                   /* LINE_CAN_* */
    bool outbound;
    uint32_t ring_ms, queue_ms, hold_drop_ms /* 0: never */, max_ms;
    enum line_voicemail { VOICEMAIL_HANGUP = 0, VOICEMAIL_MESSAGE, VOICEMAIL_CONTINUE } voicemail;
    bool detect_machine;            /* ask the carrier for machine detection */
    unsigned retries;               /* after a proven busy or no_answer */
    enum line_consent { CONSENT_NONE = 0, CONSENT_NOTICE, CONSENT_ASK } consent;
    bool record;
    char own[PHONE_BYTES];          /* our number: From of every leg to a human */
    char model_uri[LINE_ADDRESS_BYTES]; /* sip:proj@...;transport=tls, without our header */
};

struct line {
    enum line_phase phase;
    enum line_outcome outcome;      /* set once */
    char ref[LINE_REF_BYTES];       /* name of the room */
    char room[LINE_SID_BYTES];      /* "" not known */
    char code[32];                  /* the carrier's own: "21217", "SIP 486" */
    char detail[200];               /* a sentence for people */
    struct line_settings set;
    struct leg legs[LINE_PARTIES];
    struct line_action actions[LINE_ACTIONS];
    enum line_recording_state recording;
    char recording_sid[LINE_SID_BYTES];
    bool consented;                 /* notice heard, or asked and granted */
    bool held;                      /* the caller is on hold */
    bool model_dropped;             /* on hold: the model's leg was ended on purpose */
    bool apologising;               /* the carrier says sorry to the caller, then it ends */
    bool leave_legs;                /* OVER by a transfer: the humans stay connected */
    bool restored;                  /* read back and not looked up yet */
    bool voicemail;                 /* a machine answered */
    unsigned attempts;              /* dials of the caller */
    unsigned callee_turns;
    uint64_t made_wall_ms, due_wall_ms /* QUEUED: not before */, answered_wall_ms, held_wall_ms, ended_wall_ms;
    uint64_t model_due_wall_ms;     /* the model's leg must be UP by then; 0 off */
    uint64_t timer_wall_ms;         /* the next LINE_EV_TIMER; 0 never */
    uint64_t version;               /* of the durable text; rises with each save */
    bool direct;                    /* no room and no legs of ours */
    bool model_live;                /* said so, and not gone since */
    bool over_told;                 /* LINE_FX_OVER is out */
    /* private */
    bool hold_want, model_check, dirty, notice_asked, newcomer, pause_want, record_stop, record_unsure, fetched;
    bool handed_over;
    bool voicemail_told, machine_end, look_now, look_slow, announced_ringing;
    unsigned model_tries, model_brings, next_cmd, next_past;
    uint64_t model_brought_wall_ms, resume_wall_ms, voicemail_due_wall_ms, record_wall_ms, looked_wall_ms,
        restored_wall_ms, record_version;
    int64_t skew_ms;                /* of the wall clock since `base_ms` was taken */
    uint64_t base_ms;               /* wall - monotonic; times above are monotonic + base_ms */
    struct line_job look, end_room, record_job, apology;
    struct leg stray;               /* a leg that nobody knows and that is being ended */
    struct line_action refused;     /* one that found no place */
    char past[8][LINE_SID_BYTES];   /* legs that were replaced */
};

/* ---- Events ---- */

enum line_ev {
    LINE_EV_NONE = 0,
    LINE_EV_SLOT,       /* u.label: that leg may be created now (the carrier's rate, our own limit) */
    LINE_EV_SAVED,      /* u.version is durable */
    LINE_EV_CREATED,    /* answer to LINE_CMD_CREATE: u.answer */
    LINE_EV_DONE,       /* answer to any other command: u.answer */
    LINE_EV_FOUND,      /* answer to LINE_CMD_LOOK_UP: u.found */
    LINE_EV_STATUS,     /* a leg's status callback: u.status */
    LINE_EV_ROOM,       /* the room's callback: u.room */
    LINE_EV_MACHINE,    /* machine detection: u.machine */
    LINE_EV_DIGITS,     /* a Gather was answered: u.digits */
    LINE_EV_RECORDING,  /* u.recording */
    LINE_EV_MODEL_LIVE, /* the model's side speaks and listens; told again after line_read() once it does again */
    LINE_EV_MODEL_GONE, /* the model's side was lost (u.text: why); the line may bring it back */
    LINE_EV_MODEL_AWAY, /* of a direct line: not known for the moment whether it is there; _LIVE or _GONE follows */
    LINE_EV_MODEL_LEAVES,/* the model's side wants the call over: u.text is why */
    LINE_EV_NOTICE_HEARD,/* the words about recording were heard to their end, or consent was given */
    LINE_EV_CONSENT_GONE,/* consent was given, and is taken back: the recording ends */
    LINE_EV_CALLEE_TURN,/* the human said something */
    LINE_EV_VOICEMAIL_SAID, /* the message was heard to its end */
    LINE_EV_ACTION,     /* somebody asks for something: u.action; already durable as a row */
    LINE_EV_TIMER,
    LINE_EV_COUNT
};

enum line_leg_status { LEG_SAYS_QUEUED = 0, LEG_SAYS_RINGING, LEG_SAYS_IN_PROGRESS, LEG_SAYS_COMPLETED, LEG_SAYS_BUSY,
                       LEG_SAYS_NO_ANSWER, LEG_SAYS_CANCELED, LEG_SAYS_FAILED };

struct line_seen_leg { /* a leg as a look-up found it */
    struct str label, sid;  /* label may be empty for one asked for by its sid */
    enum line_leg_status status;
    bool in_room;           /* among the parties of the room now */
    int64_t up_s;           /* IN_PROGRESS: seconds since it was answered; -1: the carrier does not tell */
};

struct line_event { /* text is borrowed for the step */
    enum line_ev kind;
    union {
        struct str label;
        uint64_t version;
        struct {
            unsigned cmd;          /* the command's number, LINE_FX_COMMAND.n */
            int http_status;       /* 0: none came */
            bool maybe_sent;       /* without a status: the request may have reached the carrier */
            struct str sid;        /* of what was made: leg, recording */
            struct str room;       /* its room, if said */
            struct str code, message; /* the carrier's error */
        } answer;
        struct {
            unsigned cmd;
            /* 200: the whole answer; a leg whose sid is known and which is not in it is gone. Else asked again. */
            int http_status;
            struct str room;       /* empty: there is no such room */
            bool room_live;
            const struct line_seen_leg *legs; /* also such as are over, where the carrier tells */
            unsigned n_legs;
            struct str recording;  /* of the caller's leg, if there is one and the carrier tells; may be empty */
        } found;
        struct {
            struct str label, sid; /* label from our callback URL; sid may be unknown to us */
            struct str ref;        /* the line's reference in the callback URL */
            enum line_leg_status status;
            int64_t seq;           /* -1: none */
            int sip_code;          /* 0: none */
            uint64_t duration_s;
        } status;
        struct {
            struct str room, label, sid;
            enum {
                ROOM_START, ROOM_END, ROOM_JOIN, ROOM_LEAVE, ROOM_HOLD, ROOM_UNHOLD, ROOM_ANNOUNCED,
                ROOM_ANNOUNCE_FAILED, ROOM_OTHER
            } what;
            int64_t seq;
        } room;
        struct {
            struct str sid;
            enum { MACHINE_HUMAN, MACHINE_START, MACHINE_END, MACHINE_FAX, MACHINE_UNKNOWN } by;
        } machine;
        struct { struct str label, action, digits; } digits;
        struct {
            struct str sid, leg_sid;
            enum { RECORDING_ON, RECORDING_DONE, RECORDING_ABSENT, RECORDING_FAILED } what;
        } recording;
        struct line_action action;
        struct str text;
    } u;
};

/* ---- Effects ---- */

enum line_cmd { /* at the carrier; each is answered by LINE_EV_CREATED, _DONE or _FOUND with its number */
    LINE_CMD_CREATE = 1,  /* leg u.command.leg: dial it into the room */
    LINE_CMD_LOOK_UP,     /* the room by its name, its parties, and the legs whose sid is known */
    LINE_CMD_END_ROOM,    /* everybody out; of a direct line: hang up. 404: there is no such room (any more) */
    LINE_CMD_END_LEG,     /* whatever its state (canceled or completed); 404 and "not in a state for it": it is gone */
    LINE_CMD_HOLD, LINE_CMD_UNHOLD, LINE_CMD_MUTE, LINE_CMD_UNMUTE,
    LINE_CMD_STAY,        /* when this leg leaves the room goes on (text "") or ends (text "end") */
    LINE_CMD_PLAY_DIGITS, /* to this leg alone: text */
    LINE_CMD_ANNOUNCE,    /* to this leg, or all when leg is NULL: text is spoken by the carrier */
    LINE_CMD_COLLECT,     /* the leg leaves the room, is asked for digits, and comes back: LINE_EV_DIGITS */
    LINE_CMD_OFFER,       /* create a target's leg that is asked to press 1 and hears text; joins the room if it does */
    LINE_CMD_APOLOGISE,   /* the leg hears that we are sorry and is hung up, whatever becomes of us */
    LINE_CMD_RECORD, LINE_CMD_RECORD_PAUSE, LINE_CMD_RECORD_RESUME, LINE_CMD_RECORD_STOP,
    LINE_CMD_REFER        /* SIP-only: the provider asks the caller's trunk to go elsewhere: text is the number */
};

enum line_fx_kind {
    LINE_FX_SAVE,     /* write line_write() durably; LINE_EV_SAVED with u.version afterwards */
    LINE_FX_SLOT,     /* u.slot: ask the pacer for leave to create that leg */
    LINE_FX_COMMAND,  /* u.command */
    LINE_FX_ACTION,   /* u.action changed its state: save its row, tell the host (call.action) */
    LINE_FX_MODEL,    /* u.model: tell the model's side */
    LINE_FX_NOTIFY,   /* u.notify: event of that name */
    LINE_FX_HOP,      /* u.hop: a line of the flight record */
    LINE_FX_FETCH,    /* the recording of that sid is ready at the carrier, or should be: u.text */
    LINE_FX_NOTICE,   /* the words about recording are due (u.text: to a newcomer of that label; empty: to the
                         caller); LINE_EV_NOTICE_HEARD when they were heard. Nothing is captured until then */
    LINE_FX_OVER      /* nothing is owed, the line may be freed; always last. TELL_OVER came when it was OVER */
};

enum line_tell { /* to the model's side */
    TELL_HOLD,        /* stay silent until resumed */
    TELL_RESUME,
    TELL_PARK,        /* its leg will be ended on purpose: keep the conversation */
    TELL_SAY,         /* say this: text */
    TELL_NEWS,        /* know this: text */
    TELL_VOICEMAIL,   /* stop speaking, say this once, then MODEL: LINE_EV_VOICEMAIL_SAID: text */
    TELL_TRANSFERRED, /* leave now */
    TELL_REFERRED,    /* of a direct line: if the provider closes the call now, our refer did; text "": no more */
    TELL_OVER         /* the line is over: outcome and detail are set */
};

struct line_fx {
    enum line_fx_kind kind;
    union {
        uint64_t version;
        struct { const struct leg *leg; bool dial; /* a new dial to a human that nobody waits for */ } slot;
        struct { unsigned n; enum line_cmd what; const struct leg *leg; struct str text, action; bool secret; } command;
        const struct line_action *action;
        struct { enum line_tell what; struct str text; } model;
        /* call.ringing call.answered call.held call.resumed call.transferred call.recording */
        struct { const char *name; } notify;
        struct { const char *name; struct str detail; } hop;
        struct str text;
    } u;
};

#define LINE_FX_MAX 96u
struct line_effects {
    unsigned n;
    bool overflow;
    struct line_fx v[LINE_FX_MAX];
    char scratch[12][240];
    unsigned n_scratch;
};

/* ---- Functions. Pure but for random references, which the shell gives. ---- */

/* An outgoing line: the caller (the callee) is WANTED. due_wall_ms: not before (quiet hours); 0 now. */
void line_begin_dial(struct line *l, const struct line_settings *set, struct str ref, struct str to,
                     uint64_t due_wall_ms, struct call_now now, struct line_effects *fx);
/* An incoming one: the carrier was told to put the caller's leg into the room; the model is fetched at once. */
void line_begin_inbound(struct line *l, const struct line_settings *set, struct str ref, struct str caller_sid,
                        struct str from, struct call_now now, struct line_effects *fx);
/*
 * A call that came straight to the speech API: no room, no legs of ours; only LINE_CAN_REFER, _HANGUP, _SAY. A refer
 * is sent once; its 200 proves nothing, so 10 s later a call that is still here says that it failed, and one that
 * the provider closed that it was handed over, as far as anybody knows. LINE_EV_TIMER is due at once.
 */
void line_begin_direct(struct line *l, const struct line_settings *set, struct call_now now);
/* The durable text: a JSON object, some 2 KiB, at most LINE_DURABLE_BYTES. */
#define LINE_DURABLE_BYTES 98304u
int line_write(const struct line *l, struct buf *out);
/* ERR_INVALID (also for a newer version of the text), ERR_NOMEM. Then LINE_EV_TIMER at once makes it look around. */
int line_read(struct line *l, struct str json);
/* Every event is allowed in every phase. fx is cleared first. refs: a fresh random reference for each step. */
void line_step(struct line *l, const struct line_event *ev, struct str fresh_ref, struct call_now now,
               struct line_effects *fx);
/* Keys that can be sent: 1 to LINE_DIGITS_MAX of 0-9 * #, and w or W for half a second's or a whole one's pause. */
#define LINE_DIGITS_MAX 64u
bool line_digits_good(struct str digits);
/* The LINE_CAN_* bit that it needs and `can` lacks; 0: none. direct: a line of line_begin_direct(). */
int line_lacks(unsigned can, bool direct, enum line_action_kind kind, bool warm);
/* Can this be asked for now? 0; else a LINE_CAN_* bit that is missing (unsupported), or -1: not in this phase. */
int line_refuses(const struct line *l, enum line_action_kind kind, bool warm);
/*
 * A callback (LINE_EV_STATUS) for a line that is over and no longer in memory: does its leg live? Then *out is the leg
 * for LINE_CMD_END_LEG. line_step() does the same by itself with lines that are still in memory.
 */
bool line_stray(const struct line_event *ev, struct leg *out);
/*
 * A target answers an offer (LINE_CMD_OFFER) with these digits: does it join the room? Asked before LINE_EV_DIGITS
 * is given to line_step(), for the answer to the carrier: join as its label, else hang up.
 */
bool line_accepts(const struct line *l, struct str action, struct str digits);
const struct leg *line_leg(const struct line *l, struct str label); /* NULL; the newest that is not being ended */
const struct leg *line_leg_by_sid(const struct line *l, struct str sid);
const char *line_broken(const struct line *l); /* the invariant that does not hold, or NULL */
const char *line_phase_name(enum line_phase p);     /* queued dialing ringing answered ending completed */
const char *line_outcome_name(enum line_outcome o);
enum line_outcome line_outcome_of(struct str name); /* LINE_OUTCOME_NONE: it is none's name */
const char *line_action_name(enum line_action_kind k);
enum line_action_kind line_action_of(struct str name);
const char *line_action_state_name(enum line_action_state s); /* asked doing done failed uncertain handed_over */
const char *leg_state_name(enum leg_state s);

#endif
