/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_NATIVES_H
#define PLUGIN_NATIVES_H
/*
 * Tools of the model that this plugin answers itself, in milliseconds, before the slower agent: memory_search,
 * memory_get, remember_caller, ask_owner (questions.h), and those that steer the call (steer.h). Which of them a call
 * has follows from what its caller's level opens. Loop thread.
 */
#include "plugin/realtime/rt_session.h"
#include "sessions/access.h"

struct app;

#define NATIVES_MAX 16u

struct natives { /* the tools of one call */
    const char *names[NATIVES_MAX];
    unsigned n;
    bool refers; /* transfer_call is a refer: at once, without asking the target first */
};

void natives_of(struct natives *out, const struct app *app, const struct access *access, struct str number);
void natives_add(struct natives *out, const char *name); /* static name; beyond the room it is left out */
/* Their declarations for the session; out has room for NATIVES_MAX. Returns how many. */
unsigned natives_declare(struct rt_session_tool *out, const struct natives *natives);

struct native_ask { /* borrowed */
    struct str call, tool_call, name, arguments;
    struct str number, person, session_key;
    struct str owner, purpose; /* of a placed call: whom it may ask, what it is for */
    struct access access;
};
/* calls_tool_done() answers, later and once. */
void natives_run(struct app *app, const struct native_ask *ask);
/* Answers a tool by calls_tool_done(), but not before the loop's next turn. text: at most 480 bytes, else cut. */
void natives_answer(struct app *app, struct str call, struct str tool_call, int rc, struct str text);

#endif
