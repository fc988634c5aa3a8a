/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_CALL_EVENT_H
#define PLUGIN_CALL_EVENT_H
/*
 * What can happen to a call: the input of call_step(). The speech API's events stand here in words of
 * our own, so that the call knows no provider; plugin/realtime translates. All text is borrowed for
 * the step. Loop thread.
 */
#include "plugin/base/str.h"
#include "plugin/call/cost.h"

enum call_ev {
    CALL_EV_NONE = 0, /* an event of the provider that means nothing to a call */
    /* life cycle */
    CALL_EV_ACCEPTED,      /* the accept was answered: u.rest */
    CALL_EV_REJECTED,      /* the reject was answered: u.rest */
    CALL_EV_HUNG_UP,       /* our hang-up was answered: u.rest */
    CALL_EV_SIDEBAND_LOST, /* closed or never opened: u.lost */
    CALL_EV_TIMER,         /* a deadline of call_deadline_ms() passed */
    CALL_EV_SAVED,         /* a save that was asked for with a ticket is durable: u.ticket */
    CALL_EV_END,           /* somebody wants it over: u.end */
    CALL_EV_LEAVE,         /* this instance stops; the call lives on at the provider */
    CALL_EV_CONTEXT,       /* what the model should know from the start came late: u.text */
    CALL_EV_TELL,          /* the model should know something now: u.tell */
    CALL_EV_BUDGET,        /* what it may still cost: u.budget */
    /* from the telephone's side; only for calls with a line */
    CALL_EV_LEG,           /* a leg of the model came in: the first, or in place of one that is lost */
    CALL_EV_PARK,          /* its leg is ended on purpose: the conversation waits */
    CALL_EV_HOLD,          /* the caller hears music */
    CALL_EV_RESUME,
    CALL_EV_NOTICE,        /* words about recording are due (again) */
    CALL_EV_UNRECORDED,    /* u.flag: what is said from now on is not to be kept, or is again */
    CALL_EV_VOICEMAIL,     /* a machine answered: say u.text once (empty: words of its own) */
    CALL_EV_LINE_OVER,     /* everybody is gone, or is no concern of ours any more: u.end */
    CALL_EV_REFERRED,      /* without such a line: the provider was asked to refer the caller (u.flag), or no more */
    /* tools */
    CALL_EV_TOOL_ACTING, /* u.tool: the run is about to change something */
    CALL_EV_TOOL_DONE,   /* u.tool: its result, good or bad */
    /* from the speech API */
    CALL_EV_SESSION,           /* the sideband speaks for this call: u.session */
    CALL_EV_SPEECH_STARTED,    /* the caller speaks: u.item.id */
    CALL_EV_SPEECH_STOPPED,    /* u.item.id */
    CALL_EV_COMMITTED,         /* the caller's audio became an item: u.item.id, .prev */
    CALL_EV_ITEM_ADDED,        /* u.item */
    CALL_EV_ITEM_FOUND,        /* answer to a retrieve: u.item.id */
    CALL_EV_CALLER_TEXT,       /* transcription: u.item.id, .text */
    CALL_EV_CALLER_TEXT_FAILED,/* u.item.id */
    CALL_EV_RESPONSE_STARTED,  /* u.response.id */
    CALL_EV_RESPONSE_DONE,     /* u.response */
    CALL_EV_AUDIO_STARTED,     /* the caller begins to hear a response: u.response.id */
    CALL_EV_AUDIO_STOPPED,     /* heard to its end: u.response.id */
    CALL_EV_AUDIO_CLEARED,     /* cut off: u.response.id */
    CALL_EV_TRUNCATED,         /* an assistant item was cut: u.item.id, .heard_ms */
    CALL_EV_DTMF,              /* u.text: one of 0-9 * # A-D; needs an open sideband */
    CALL_EV_ERROR,             /* u.error */
    CALL_EV_COUNT
};

enum call_who { CALL_WHO_OTHER = 0, CALL_WHO_CALLER, CALL_WHO_ASSISTANT };

enum call_response_status {
    CALL_RESPONSE_COMPLETED = 0,
    CALL_RESPONSE_CANCELLED, /* interrupted, or by us */
    CALL_RESPONSE_FAILED,
    CALL_RESPONSE_INCOMPLETE
};

/* Token counts of responses (subset `cached` is contained in the inputs) and of transcription. */
struct call_usage {
    uint32_t responses;
    uint64_t input_tokens, output_tokens;
    uint64_t input_text, input_audio, input_image, input_cached;
    uint64_t cached_text, cached_audio, cached_image;
    uint64_t output_text, output_audio;
    uint64_t transcription_tokens, transcription_ms;
};

/* One item that a response produced. */
struct call_output {
    struct str item_id;
    bool is_function; /* else a message of the assistant */
    struct str text;  /* message: what it says (transcript or text) */
    struct str call_id, name, arguments; /* function call; arguments are JSON text, unchecked */
};

#define CALL_OUTPUTS_MAX 32

struct call_rest_result {
    int status;        /* HTTP status, 0 when none came */
    int err;           /* 0, or a negative code when no status came */
    bool maybe_sent;   /* the request may have reached the server */
    struct str detail; /* short, for people: "404 call_id_not_found", "connection refused" */
};

struct call_tool_result {
    struct str call_id; /* the function call's id at the provider */
    int rc;             /* 0, or negative: `text` then says why in words for the model */
    struct str text;
};

struct call_event {
    enum call_ev kind;
    union {
        struct call_rest_result rest;
        struct {
            int http_status; /* the handshake was answered with this instead of 101; else 0 */
            int ws_code;     /* close code, or 0 */
            int err;
            struct str detail;
        } lost;
        struct {
            uint64_t expires_at_ms; /* wall clock; 0 unknown */
        } session;
        struct {
            struct str id, prev; /* prev.p NULL: not said */
            enum call_who who;
            struct str text;
            uint64_t heard_ms;
            struct call_usage usage; /* CALLER_TEXT: transcription only */
        } item;
        struct {
            struct str id;
            enum call_response_status status;
            struct str detail; /* failed, incomplete: why */
            const struct call_output *outputs;
            unsigned n_outputs;
            uint64_t audio_tokens; /* spoken by this response; 0 unknown */
            struct call_usage usage;
        } response;
        struct {
            struct str code, message, event_id; /* event_id: of our event that it answers */
        } error;
        struct {
            const char *reason; /* static name of enum call_reason, see call.h; NULL: that of the call */
            struct str detail;
        } end;
        struct call_tool_result tool;
        struct {
            struct str id;   /* the same for the same thing told again */
            struct str text;
            bool speak;      /* and it should say something about it */
        } tell;
        struct cost_budget budget;
        struct str text;
        bool flag;
        uint32_t ticket;
    } u;
};

#endif
