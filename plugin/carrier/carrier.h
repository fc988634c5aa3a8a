/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_CARRIER_CARRIER_H
#define PLUGIN_CARRIER_CARRIER_H
/*
 * Who owns the telephone line, behind one interface: Twilio (twilio*.c), and numbers whose trunk points straight
 * at the speech API (siponly.c). A carrier verifies and reads its webhooks into events of ours, carries out the
 * commands of plugin/call/line.h, and renders what it should do next. It keeps no state of calls: that is the
 * line's. Owner: plugin/lines.c. Loop thread.
 *
 * What comes next is a list of abstract steps. A carrier that pulls documents (Twilio: TwiML, Plivo: XML) renders
 * them into the answer of a webhook or into a command; one that is driven by commands (Telnyx) sends them one by one.
 */
#include "plugin/base/buf.h"
#include "plugin/base/finding.h"
#include "plugin/call/line.h"
#include "plugin/net/httpc.h"

struct carrier;
struct carrier_fetch;

/* ---- Webhooks ---- */

#define CARRIER_HEADERS 4u
struct carrier_header { struct str name, value; };

struct carrier_hook { /* one request of the carrier; borrowed */
    struct str method;
    struct str path;          /* ours, below the public base URL: "/twilio/status" */
    struct str query;         /* as it came, undecoded, without '?' */
    struct str body, content_type;
    const struct carrier_header *headers;
    unsigned n_headers;
};

enum carrier_said { /* what a webhook says */
    SAID_NOTHING = 0,         /* understood, of no concern */
    SAID_INCOMING,            /* a call rings at our number: steps are due as the answer */
    SAID_STATUS, SAID_ROOM, SAID_MACHINE, SAID_DIGITS, SAID_RECORDING, /* `event` holds it */
    SAID_NEEDS_WORDS,         /* the carrier fetches what it should say (announcement `token`); of a token that is
                                 not known ("silence": a held model) nothing is to be heard: no steps */
    SAID_DIAL_ENDED           /* the caller left the room by itself or the room ended: steps are due */
};

struct carrier_event { /* text lives in `text` until carrier_event_free() */
    enum carrier_said said;
    struct line_event event;  /* kind LINE_EV_* for STATUS, ROOM, MACHINE, DIGITS, RECORDING */
    struct str ref;           /* our reference, from our own callback URL; empty: none */
    struct str token;         /* SAID_NEEDS_WORDS, SAID_DIGITS: from our own callback URL */
    struct str label;         /* the party in our own callback URL; empty: none */
    struct str sid, from, to; /* SAID_INCOMING: the leg, and addresses as the carrier wrote them; sid: of the leg
                                 also for DIGITS, NEEDS_WORDS and DIAL_ENDED, where the carrier tells */
    struct str attestation;   /* SAID_INCOMING: STIR/SHAKEN result, or empty */
    struct buf text;
};
void carrier_event_free(struct carrier_event *e); /* a zeroed one is fine */

/* ---- What to do next ---- */

enum carrier_step_kind {
    STEP_JOIN,     /* into the room `ref` as `label`, for `seconds` at most (0: the carrier's limit); the room ends
                      when this leg leaves if `ends_room` */
    STEP_SAY,      /* text */
    STEP_PAUSE,    /* seconds */
    STEP_DIGITS,   /* play digits: text */
    STEP_GATHER,   /* say text, collect up to n digits (0: until '#'), the next within seconds of the last; the
                      answer, also an empty one, comes with `ref`, `label` and `token` */
    STEP_REJECT,   /* refuse without answering: busy if `busy`; only as the first step */
    STEP_HANG_UP
};
struct carrier_step {
    enum carrier_step_kind kind;
    struct str text, ref, label, token;
    struct str voice, language; /* in which words are spoken; the implementation fills them in */
    unsigned n, seconds;
    bool ends_room, busy;
};

/* ---- The interface ---- */

struct carrier_answer { /* of a command; borrowed for the callback */
    unsigned cmd;
    enum line_cmd what;
    int http_status;          /* 0: none came */
    bool maybe_sent;
    bool busy;                /* refused for its rate (429): nothing was done */
    uint32_t retry_after_ms;
    struct str sid, room;     /* what was made or steered, and its room, where the carrier tells */
    struct str code, message; /* the carrier's error; a message may name numbers: not for logs */
    bool room_live;           /* LOOK_UP */
    const struct line_seen_leg *legs;
    unsigned n_legs;
    struct str recording;     /* LOOK_UP: of the caller's leg, if one is to be made; else empty */
};
/*
 * `call` is the call's id as it was given with the command. Not from inside command(). A room or leg that is
 * over already is told as 404 (also Twilio's 21220, a 400). LOOK_UP: 200, or what kept us from seeing all.
 */
typedef void carrier_answer_fn(void *arg, struct str call, const struct carrier_answer *a);

struct carrier_order { /* a command; copied */
    unsigned cmd;
    enum line_cmd what;
    struct str call;
    const struct line *line;  /* its room, settings and legs as they are now */
    const struct leg *leg;    /* NULL: the room */
    struct str text, token;   /* token: names an action or announcement in callbacks */
    bool secret;              /* text is never logged */
};

struct carrier_check { /* what setting up wants to know; borrowed until done */
    const char *const *auth_tokens; /* as in the configuration */
    unsigned n_auth_tokens;
    const char *const *numbers;     /* ours, E.164 */
    unsigned n_numbers;
    struct findings *out;           /* filled before done */
    void (*done)(void *arg);        /* once, not from inside check() */
    void *arg;
};

struct carrier_probe { /* a webhook of the carrier's about nothing, as it would come; text in `text` */
    const char *path, *content_type, *header; /* header: the signature's name */
    struct buf text;
    struct str body, signature;
};

struct carrier_ops {
    const char *name;         /* "twilio", "sip" */
    unsigned can;             /* LINE_CAN_* */
    /* Headers of its webhooks that verify() and read() look at, in small letters; the first is the signature's and may
     * stand there once. NULL behind the last. */
    const char *headers[CARRIER_HEADERS + 1];
    const char *cure;         /* of a wrong signature: what of the configuration it depends on */
    /* 0; ERR_DENIED: the signature is wrong or missing; ERR_NOMEM. Constant time over tokens and signatures. */
    int (*verify)(const struct carrier *c, const struct carrier_hook *hook);
    /* 0; ERR_INVALID (logged by the parameter's name), ERR_NOT_FOUND: no path of the carrier's, ERR_NOMEM. Unknown
     * parameters are ignored. *out is filled in any case and goes to carrier_event_free(). */
    int (*read)(const struct carrier *c, const struct carrier_hook *hook, struct carrier_event *out);
    /* Writes the document that the webhook is answered with, and its content type; no steps: an empty document.
     * ERR_INVALID (characters that it cannot hold, a step out of place), ERR_TOO_BIG, ERR_BAD_STATE: it has none. */
    int (*render)(const struct carrier *c, const struct carrier_step *steps, unsigned n, struct buf *out,
                  const char **content_type);
    /* 0, or negative: nothing was sent and the answer will not come. */
    int (*command)(struct carrier *c, const struct carrier_order *order);
    /* Streams the finished recording `sid`; see carrier_fetch. */
    int (*fetch)(struct carrier *c, struct str sid, const struct carrier_fetch *fetch);
    /* Deletes it at the carrier; done(arg, http_status or 0). */
    int (*erase)(struct carrier *c, struct str sid, void (*done)(void *arg, int http_status), void *arg);
    /* Asks whether credentials and numbers are good, and never for a call. NULL: it cannot. ERR_NOMEM, ERR_CLOSED. */
    int (*check)(struct carrier *c, const struct carrier_check *check);
    /* Fills *out, whose text is to be freed in any case, with a signed webhook that has no effect. NULL: none. */
    int (*probe)(const struct carrier *c, struct carrier_probe *out);
    /* Cancels all without callbacks; `closed` once on the loop, maybe from inside. */
    void (*close)(struct carrier *c, void (*closed)(void *arg), void *arg);
};

struct carrier { /* embedded first in each implementation */
    const struct carrier_ops *ops;
    carrier_answer_fn *on_answer;
    void *arg;
};

struct carrier_fetch {
    void (*on_data)(void *arg, struct str data);
    /* Once: http_status 200 = whole; 0: text says why not; 404: not there (yet). */
    void (*on_done)(void *arg, int http_status, struct str text);
    /* Bytes that were taken and are not away yet: of more than 1 MiB no more are read. NULL: all are taken at once. */
    size_t (*pending)(void *arg);
    void *arg;
    unsigned channels;        /* asked for: 1 or 2 */
    uint64_t max_bytes;       /* more: the rest is not told, and on_done says http_status 0; 0: no limit */
};

/* ---- Twilio (REST 2010-04-01, TwiML, X-Twilio-Signature) ---- */

struct twilio_config {
    struct str account_sid;
    const char *const *auth_tokens; /* the first signs nothing of ours but is used for REST; all verify */
    unsigned n_auth_tokens;
    struct str api_key_sid, api_key_secret; /* both or none: used for REST instead of the token */
    struct str base_url;      /* "" or https://api.twilio.com: that host, or the one of region and edge */
    struct str region, edge;
    struct str voice, language; /* of <Say>; "": Twilio's own */
    struct str public_url;    /* our own, as Twilio is given it, without a slash at the end */
    struct str ca_file;
    struct str recording_channels; /* "dual" | "mono" */
};
/* ERR_INVALID, ERR_TLS, ERR_NOMEM; e names key and cure. */
int twilio_open(struct carrier **out, struct loop *loop, const struct twilio_config *config, carrier_answer_fn *fn,
                void *arg, const struct log *log, struct err *e);

/* ---- A trunk that points straight at the speech API: no REST, no webhooks of its own ---- */

/*
 * refer and hang-up go through the speech API's REST: plugin/lines.c gives the functions, and answers through the
 * carrier's on_answer once it knows, with `cmd`; what: LINE_CMD_REFER, or LINE_CMD_END_ROOM for a hang-up. Each: 0,
 * or negative, and then the command fails with it.
 */
struct sip_only_config {
    int (*refer)(void *arg, struct str call, struct str number, unsigned cmd);
    int (*hang_up)(void *arg, struct str call, unsigned cmd);
    void *arg;
};
int sip_only_open(struct carrier **out, const struct sip_only_config *config, carrier_answer_fn *fn, void *arg);

#endif
