/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_LINES_H
#define PLUGIN_LINES_H
/*
 * The telephone's side of all calls that have one: feeds the machines of plugin/call/line.h with callbacks, answers
 * and actions, and carries their effects out through the carrier, the store and the model's side (calls.h). One
 * line a call, under the call's id. Loop thread.
 *
 * lines.c the table, stepping; lines_fx.c effects; lines_back.c lines of an earlier instance; lines_direct.c those of
 * calls without a carrier; lines_hook.c the carrier's webhooks; line_ask.c what is asked of a line; pacer.c when a leg
 * may be created; dial.c POST /call; actions.c POST /calls/{id}/... .
 */
#include "plugin/base/json.h"
#include "plugin/call/line.h"
#include "plugin/routes.h"
#include "sessions/caller.h"

struct app;
struct carrier;
struct httpd_exchange;
struct line_row;
struct lines;

int lines_open(struct lines **out, struct app *app, struct err *e);
/* After calls_adopt() has found calls with a line: reads their machines back and looks around. */
void lines_adopt(struct lines *ls);
/* Forgets all lines; their rows stay and their legs go on. `closed` once, when the carrier's connections are gone. */
void lines_leave(struct lines *ls);
void lines_close(struct lines *ls, void (*closed)(void *arg), void *arg);

/* ---- For the model's side ---- */

bool lines_has(const struct lines *ls, struct str call);
/*
 * The line is over and stands only for what it is still owed, as its recording; *detail is borrowed from it until the
 * loop goes on.
 */
bool lines_over(const struct lines *ls, struct str call, enum line_outcome *outcome, struct str *detail);
/* Lines whose dial waits: for its time, or for room. NULL: none. */
unsigned lines_waiting(const struct lines *ls);
void lines_look(struct lines *ls); /* there may be room for dials again */
/* What the call can do now, as a JSON array of names and of parties; for the API and prompts. */
void lines_describe(const struct lines *ls, struct str call, struct buf *out);
unsigned lines_can(const struct lines *ls, struct str call); /* LINE_CAN_*; 0: the call is not live */
/* An event of the model's side: LINE_EV_MODEL_LIVE, _GONE, _LEAVES, _NOTICE_HEARD, _CALLEE_TURN, _VOICEMAIL_SAID. */
void lines_from_model(struct lines *ls, struct str call, enum line_ev what, struct str text);
/*
 * End the line: the model's side is over or wants to be. calls_line_over() follows once every leg is gone or given
 * up; at once (from the loop's next turn) when there is no line.
 */
void lines_end(struct lines *ls, struct str call, struct str why);

/* ---- Of calls that came straight to the speech API; their line begins with the first action ---- */

/* Its line as an earlier instance left it. true: the provider was asked to hand the caller over. */
bool lines_adopt_direct(struct lines *ls, struct str call, struct str number, struct str machine);
/* The call is over. by_provider: we did not end it. */
void lines_direct_over(struct lines *ls, struct str call, bool by_provider);

/* ---- Beginning ---- */

/* 128 random bits in hexadecimal, for line_start.ref. ERR_IO. */
int lines_fresh_ref(char out[LINE_REF_BYTES]);

struct line_start { /* everything copied */
    struct str call;             /* id of ours; its row and the line's are durable */
    struct line_settings set;
    struct str ref, to;          /* outbound */
    struct str caller_sid, from; /* inbound */
    uint64_t due_wall_ms;
};
/* Begins the machine of rows that are durable. ERR_NOMEM, ERR_FULL. */
int lines_begin(struct lines *ls, const struct line_start *start);
/* What the configuration says for a line to or from that number ("" when withheld). */
void lines_settings(const struct lines *ls, bool outbound, struct str other, struct line_settings *out);
const char *lines_carrier(const struct lines *ls); /* "twilio", or "sip": none is configured */
struct carrier *lines_its_carrier(const struct lines *ls); /* NULL: none, or ls is NULL */

/* ---- Actions ---- */

struct action_ask { /* borrowed */
    struct str call;             /* ours, OpenAI's id or a leg's sid */
    enum line_action_kind kind;
    struct str party, to;        /* to: a number that sessions/destination allowed, its name in party */
    struct str text;
    bool warm, secret;
    struct str idem;             /* Idempotency-Key, or empty */
    struct str by;               /* "api" | "model" | "chat" | "host", for the flight record */
};
/*
 * rc 0: durable; id and state of the action ("asked", or that of the earlier one with this key). ERR_NOT_FOUND: no
 * such live call; ERR_BAD_STATE: unsupported, `text` names the capability; ERR_DUPLICATE: the key stands with another
 * body; ERR_FULL, ERR_NOMEM. Once, maybe at once.
 */
typedef void action_fn(void *arg, int rc, struct str id, struct str state, struct str text);
void lines_act(struct lines *ls, const struct action_ask *ask, action_fn *fn, void *arg);
/* fn fires when the action is over (done, failed, uncertain): for tools of the model. false: not known. */
typedef void action_over_fn(void *arg, struct str id, enum line_action_state state, struct str error);
bool lines_wait(struct lines *ls, struct str action, action_over_fn *fn, void *arg);

/* ---- HTTP ---- */

/* POST /twilio/...: the carrier's webhooks, verified by their signature. */
void lines_hook(struct lines *ls, struct httpd_exchange *x);
/* POST /call, DELETE /call/{id} (dial.c). false: the path is none of these. */
bool dial_route(const struct route_ask *ask);
/* POST /calls/{id}/hold ..., GET /calls/{id}/actions (actions.c). false: the path is none of these. */
bool action_route(const struct route_ask *ask);

/* A request to dial, from API, tool or chat: `body` as POST /call takes it. fn as routes_fn. */
void dial_ask(struct app *app, const struct json *body, struct str idem, struct str by, routes_fn *fn, void *arg);

#endif
