/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_PROMPT_H
#define PLUGIN_PROMPT_H
/* What the model is told and given when a call is accepted: instructions, tools, voice. Pure. */
#include "plugin/base/buf.h"
#include "plugin/call/call.h"
#include "plugin/config.h"
#include "plugin/natives.h"
#include "sessions/caller.h"

struct prompt_input {
    const struct config *config;
    const struct agent *agent;  /* the personality file's, or an empty one */
    struct str from;            /* E.164 or empty */
    enum caller_level level;
    bool ask_available, pin_available, chat_available;
    const struct natives *natives; /* NULL: none */
    struct str context;            /* a finished block, or empty */
};

/* Writes the session object for the accept into out. 0, ERR_NOMEM, ERR_TOO_BIG. */
int prompt_session(struct buf *out, const struct prompt_input *in);
/* session.update with the tools of a higher level, once identity is proven. 0 or out->rc. */
int prompt_tools_update(struct buf *out, const struct prompt_input *in);

#endif
