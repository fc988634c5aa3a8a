/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_AFTERS_H
#define PLUGIN_AFTERS_H
/*
 * What is owed when a call is over: its summary, its section in the memory files, its turns in the agent's
 * session, a word to the agent, a message about a missed call, the report of a placed one, handoffs. Each is a row of
 * the outbox before it is done, so it survives kill -9 and is done once; one that fails is tried again with growing
 * pauses. Loop thread.
 */
#include "memory/outbox.h"
#include "plugin/base/id.h"
#include "plugin/call/call.h"
#include "sessions/access.h"

struct afters;
struct app;
struct buf;
struct json;

int afters_open(struct afters **out, struct app *app);
/* Forgets what waits; the rows stay for the next start. */
void afters_close(struct afters *as);
/* The call is being forgotten: nothing more is done for it. Its rows go with it. */
void afters_forget(struct afters *as, struct str call);
/* Takes up what earlier runs left, and instances that are dead now. */
void afters_resume(struct afters *as);
/* Writes {in_hand, waiting_for_another_attempt, more_in_database}. */
void afters_write(const struct afters *as, struct buf *out);

struct after_call { /* borrowed */
    struct str call, number, person, session_key;
    struct str date; /* YYYY-MM-DD of its start where the user lives; empty: this machine's zone */
    struct access access;
    enum caller_level level;
    enum call_reason reason;
    bool outbound; /* we called them: a call that did not get through is no call that they missed */
    const struct json *spec; /* of a call that was asked for (dial.c): who is told of its end; NULL none */
    bool was_live;
    unsigned turns;
    uint64_t received_wall_ms;
    uint64_t duration_ms;
};
/* Writes the rows of a call that ends now; to be called before the call's row says "over". */
void afters_plan(struct afters *as, const struct after_call *c);

/*
 * A handoff to another channel: row first. to empty: the caller's linked identity there. fn fires once, maybe
 * at once.
 */
struct handoff_ask {
    struct str call, number, channel, to, reason, session_key;
};
typedef void handoff_fn(void *arg, int rc, struct str id, struct str text); /* rc < 0: text says why */
void afters_handoff(struct app *app, const struct handoff_ask *ask, handoff_fn *fn, void *arg);

/*
 * A message of our own to the caller's chat on the first channel of handoff_channels where they are linked; to nobody
 * if they are not. Of a placed call: to its owner's chat, if it has one. kind: "missed" | "late"; one of a kind for
 * each call.
 */
void afters_tell(struct app *app, const char *kind, struct str call, struct str text);
/* That they did not get through. */
void afters_tell_missed(struct app *app, const struct after_call *c);

/* The person's (people_get()) identity on the first channel that may be written to; borrowed from both. */
struct config;
bool afters_address(const struct config *c, const struct json *person, struct str *channel, struct str *to);
/* "telegram:777" is `777` on telegram. */
bool afters_is_on(struct str identity, struct str channel, struct str *to);

#define AFTERS_MESSAGE_BYTES 3500u /* of a message to another channel */
/*
 * Makes a row of the outbox and takes it up, as soon as there is room. payload: a JSON object. fn or NULL: it is
 * durable. ERR_NOMEM, ERR_FULL.
 */
int afters_put(struct afters *as, const char *kind, struct str call, struct str id, struct str payload,
               outbox_fn *fn, void *arg);

#endif
