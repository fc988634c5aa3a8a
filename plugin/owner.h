/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_OWNER_H
#define PLUGIN_OWNER_H
/*
 * Whose a placed call is: the chat that its questions and its result go to. The first of these that can be written to:
 * whom the request names (`owner`: an identity such as "telegram:777", or the number of somebody who is linked to
 * one); who wrote last in the session that asked; channels.voice.outbound.owner; the owners that the host told
 * (the gateway's commands.ownerAllowFrom, then the one person of session.identityLinks if there is but one).
 * Decided once, when the call is asked for, and kept in the line's `spec` as owner and owner_session.
 * Owner: the app; loop thread.
 */
#include "plugin/base/str.h"

struct app;
struct json;
struct owners;

#define OWNER_BYTES 256u         /* of an identity, with its NUL */
#define OWNER_SESSION_BYTES 513u

int owners_open(struct owners **out, struct app *app);
void owners_close(struct owners *os); /* NULL is fine */
/* OC_CMD_LINKS_SET: identities, the first that can be written to counts. NULL: none. */
void owners_set(struct owners *os, const struct json *list);

/* Is it "channel:peer" on a channel of integration.handoff_channels, and does the host send messages? */
bool owner_reachable(const struct app *app, struct str identity);

struct owner_ask { /* borrowed; each may be empty */
    struct str named, session;
};
/* identity "": nobody can be asked. session_key: the agent's session that shall know the result, or "". */
typedef void owner_fn(void *arg, struct str identity, struct str session_key);
/* fn fires once, maybe at once. */
void owner_find(struct app *app, const struct owner_ask *ask, owner_fn *fn, void *arg);

#endif
