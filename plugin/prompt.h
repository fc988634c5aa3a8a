/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_PROMPT_H
#define PLUGIN_PROMPT_H
/* What the model is told and given when a call is accepted: instructions, tools, voice. Pure. */
#include "plugin/base/buf.h"
#include "plugin/call/call.h"
#include "plugin/config/config.h"
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
    /* calls with a line */
    bool outbound;                 /* we called: `from` is whom */
    struct str message, purpose, task; /* what it is about; data, all may be empty */
    bool ask_consent;              /* may it be recorded? */
    struct str so_far;             /* what was said before the leg came back, or empty */
};

/* Writes the session object for the accept into out. 0, ERR_NOMEM, ERR_TOO_BIG. */
int prompt_session(struct buf *out, const struct prompt_input *in);
/*
 * Instructions of a call's first response, with words about recording before what is to be said (message); empty when
 * there is no message: the session's instructions say how to begin. NULL out of memory; to be freed.
 */
char *prompt_first(struct str message, bool notice);
/* Instructions of a response that says the words about recording. Static. */
const char *prompt_notice(void);
/* session.update with the tools of a higher level, once identity is proven. 0 or out->rc. */
int prompt_tools_update(struct buf *out, const struct prompt_input *in);

#endif
