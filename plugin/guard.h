/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_GUARD_H
#define PLUGIN_GUARD_H
/*
 * How often who may ask: numbers that call, tokens of the API, and peers whose authentication fails. Tables of fixed
 * size; what they count is gone with the process. A right signature or token is never refused for a peer's failures,
 * since behind a tunnel all are one peer. Owner: the app; loop thread.
 */
#include "plugin/base/err.h"
#include "plugin/base/str.h"

struct app;
struct guard;

int guard_open(struct guard **out, struct app *app);
void guard_close(struct guard *g);
/* Whether a call from this number ("" withheld: all of them together) may be taken; one that may is counted. */
bool guard_call(struct guard *g, struct str number);
/* A request with this token, by name: 0, or in how many seconds it may ask again. */
unsigned guard_request(struct guard *g, struct str token);
/*
 * Authentication failed: 0 while it may be answered 401, else for how many seconds it is 429. *first is true when the
 * peer was not named by a log for a minute, so that a flood of failures is no flood of lines. g may be NULL: no limit.
 */
unsigned guard_failed(struct guard *g, struct str peer, bool *first);

#endif
