/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_RUNS_H
#define PLUGIN_RUNS_H
/*
 * Runs of the OpenClaw agent for ask_openclaw: in the gateway by asking the host, otherwise over the
 * gateway's OpenAI-compatible HTTP endpoint (POST /v1/chat/completions, server-sent events). A run
 * outlives its call when it has begun to act. Loop thread.
 */
#include "plugin/base/err.h"
#include "plugin/call/call.h"

struct runs;
struct app;

int runs_open(struct runs **out, struct app *app, struct err *e);
/* Cancels what has not begun to act and forgets the rest; `closed` once on the loop. */
void runs_close(struct runs *rs, void (*closed)(void *arg), void *arg);
/* Is there an agent to ask? */
bool runs_available(const struct runs *rs);

struct run_ask { /* borrowed */
    struct str call, tool_call;
    struct str request;     /* what the caller wants */
    struct str from, level, session_key;
    enum call_tools tools;
    bool resumed;           /* asked again after a restart */
};
/*
 * Starts a run; calls_tool_done() answers, later and once, unless cancelled. A failure to start is
 * answered the same way.
 */
void runs_ask(struct runs *rs, const struct run_ask *ask);
/* The call is over: stops the run unless it has begun to act; its result then only goes to the journal. */
void runs_cancel(struct runs *rs, struct str call, struct str tool_call);
/*
 * OC_CMD_RUN_ACTING: the run is about to change something. done(arg, 0) once that is durable, or a
 * negative code that forbids it (ERR_CANCELED: call gone; ERR_NOT_FOUND: no such run).
 */
void runs_acting(struct runs *rs, struct str run, void (*done)(void *arg, int rc), void *arg);
/* OC_REQ_SESSION_PREPARE: calls_session_key() answers if the host does. */
void runs_prepare(struct runs *rs, struct str call, struct str from, struct str level);
/* OC_REQ_PAIRING, answered by a log line for the owner. */
void runs_pairing(struct runs *rs, struct str number);

#endif
