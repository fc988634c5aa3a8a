/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_STEER_H
#define PLUGIN_STEER_H
/*
 * Tools by which the model steers its call: hold, send_dtmf, transfer_call, invite, voice_call, pause_recording,
 * resume_recording. Which of them a call has follows from what its line can do and what the level opens
 * (sessions/access.h). Whom a transfer or invitation goes to the model names; the number comes from the
 * configuration and is decided here, before anything is sent. Loop thread.
 */
#include "plugin/natives.h"

/* Adds the tools of this call to out. recorded: the call is to be recorded. */
void steer_of(struct natives *out, const struct app *app, struct str call, const struct access *access, bool recorded);
/* Declarations of those among `natives`; returns how many. */
unsigned steer_declare(struct rt_session_tool *out, const struct natives *natives);
/* Has the carrier ask for the keys of a PIN, where the line can; else they come through the conversation. */
void steer_collect_pin(struct app *app, struct str call, struct str tool_call);
/* false: the tool is none of these. calls_tool_done() answers, later and once. */
bool steer_run(struct app *app, const struct native_ask *ask);

#endif
