/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_CARRIER_TWILIO_INT_H
#define PLUGIN_CARRIER_TWILIO_INT_H
/*
 * Private to twilio*.c. A job is one command (or a recording's transfer) on its way through one or more requests:
 * what it needs to know first (the room by its name, a leg by its label), then the request that does it.
 * twilio.c jobs and the instance, twilio_rest.c what a command asks for, twilio_look.c looking around,
 * twilio_check.c what setting up wants to know,
 * twilio_hook.c webhooks. Loop thread.
 */
#include "plugin/base/json.h"
#include "plugin/carrier/carrier.h"
#include "plugin/carrier/twiml.h"
#include "plugin/proto/sig_twilio.h"

#define TWILIO_CALL_BYTES 64u
#define TWILIO_PATH_BYTES 1024u
#define TWILIO_BODY_BYTES 65536u
#define TWILIO_LOOK_LEGS 16u
#define TWILIO_LOOK_PAGES 8u

struct twilio {
    struct carrier base; /* first */
    struct loop *loop;
    const struct log *log;
    char *account, *base_url, *public_url, *authorization;
    char *voice, *language; /* of words; "": its own */
    bool mono;
    struct sig_twilio *sig;
    struct tls_ctx *tls;
    struct httpc *pool;
    struct twilio_job *jobs;
    struct twilio_check *checks; /* under way */
    bool own_key;                /* requests carry an API key, not the auth token */
    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;
};

enum twilio_target { /* the resource of the request that does it; what it needs is found first */
    TARGET_CALLS,        /* Calls */
    TARGET_CALL,         /* Calls/{leg} */
    TARGET_PARTICIPANTS, /* Conferences/{ref}/Participants */
    TARGET_PARTICIPANT,  /* Conferences/{room}/Participants/{leg or label} */
    TARGET_ROOM,         /* Conferences/{room} */
    TARGET_RECORDINGS,   /* Calls/{leg}/Recordings */
    TARGET_RECORDING,    /* Calls/{leg}/Recordings/{recording} */
    TARGET_LOOK          /* none: twilio_look.c */
};

struct twilio_seen {
    char sid[LINE_SID_BYTES], label[LINE_LABEL_BYTES];
    enum line_leg_status status;
    bool in_room, known;  /* known: the carrier has such a leg */
    int64_t up_s;
};

struct twilio_look {
    bool room_live, want_recording;
    unsigned n, at, pages;
    struct twilio_seen legs[TWILIO_LOOK_LEGS];
    char caller[LINE_SID_BYTES], recording[LINE_SID_BYTES];
};

struct twilio_job;
/* doc: the body of a 2xx, or NULL. */
typedef void twilio_reply_fn(struct twilio_job *j, const struct httpc_result *r, const struct json *doc);

struct twilio_job {
    struct twilio *t;
    struct twilio_job *prev, *next;
    struct httpc_call *http;
    twilio_reply_fn *reply;
    uint64_t deadline_ms;
    /* commands */
    char call[TWILIO_CALL_BYTES];
    unsigned cmd;
    enum line_cmd what;
    enum twilio_target target;
    bool sending;        /* the request that does it is on its way, not one that finds something out */
    struct buf body;     /* of that request */
    char ref[LINE_REF_BYTES], room[LINE_SID_BYTES], leg[LINE_SID_BYTES], label[LINE_LABEL_BYTES];
    char recording[LINE_SID_BYTES];
    struct twilio_look *look;
    /* recordings */
    struct carrier_fetch fetch;
    uint64_t got_bytes;
    struct timer *pace;  /* while the taker is full */
    void (*erased)(void *arg, int http_status);
    void *erased_arg;
    /* checks */
    struct twilio_check *check;
    unsigned slot;
    const char *authorization; /* instead of the account's own; NULL: that */
};

/* ---- twilio.c ---- */

extern const struct carrier_ops twilio_ops;
#define TWILIO_STEPS_MAX 4u
/* Copies the steps with the voice that is configured; how many those are. */
unsigned twilio_voiced(const struct twilio *t, const struct carrier_step *steps, unsigned n,
                       struct carrier_step out[TWILIO_STEPS_MAX]);

/* Sends a request of the job; `path` is below the account's ("/Calls.json") unless it begins with "/2010-04-01/". */
int twilio_send(struct twilio_job *j, const char *method, struct str path, struct str body, twilio_reply_fn *reply);
/* Ends the job with an answer, which gets cmd, what and room from it. */
void twilio_finish(struct twilio_job *j, struct carrier_answer *a);
/* Ends it with what a request said that was not the last, or could not be sent (rc, r NULL). */
void twilio_finish_early(struct twilio_job *j, const struct httpc_result *r, int rc);
struct twilio_job *twilio_job_open(struct twilio *t, uint32_t time_ms); /* NULL: out of memory */
void twilio_job_free(struct twilio_job *j);
/* "Basic ..." of RFC 7617, to be wiped and freed; NULL: out of memory. */
char *twilio_authorization(struct str user, struct str secret);
/* The status of a whole answer, else 0. */
int twilio_status(const struct httpc_result *r);
/* Finds what the job's target needs, and does it. */
int twilio_go(struct twilio_job *j);

/* ---- twilio_rest.c ---- */

/* What the order asks for: target, body and names of the job. ERR_INVALID, ERR_TOO_BIG, ERR_BAD_STATE, ERR_NOMEM. */
int twilio_compose(struct twilio_job *j, const struct carrier_order *o);
/* The path of the target; ERR_NOT_FOUND: room or leg must be found first. */
int twilio_path(const struct twilio_job *j, struct buf *out);

/* ---- twilio_look.c ---- */

int twilio_look_begin(struct twilio_job *j, const struct carrier_order *o);
/* Begins with the room by its name; then as twilio_go() for other targets. */
int twilio_find_room(struct twilio_job *j);
int twilio_find_leg(struct twilio_job *j);

/* ---- twilio_check.c ---- */

int twilio_check(struct carrier *c, const struct carrier_check *check);
int twilio_probe(const struct carrier *c, struct carrier_probe *out);
void twilio_check_free(struct twilio_check *ck); /* NULL is fine */

/* ---- twilio_hook.c ---- */

int twilio_verify(const struct carrier *c, const struct carrier_hook *hook);
int twilio_read(const struct carrier *c, const struct carrier_hook *hook, struct carrier_event *out);
/* Words of the API to ours; false: not known. */
bool twilio_leg_status(struct str word, enum line_leg_status *out);
/* A label without the mark that a second leg of one label has (twilio_rest.c). */
struct str twilio_label(struct str label);

#endif
