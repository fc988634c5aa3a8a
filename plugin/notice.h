/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_NOTICE_H
#define PLUGIN_NOTICE_H
/* The events of abi/openclaw_voice.h as JSON, handed to the host and to the readers of /events. Loop thread. */
#include "plugin/base/buf.h"
#include "plugin/base/str.h"

struct app;

/* Begins {"event":name,"call":call,"at":now}; the caller adds fields and ends with notice_send(). */
void notice_begin(struct buf *b, const char *name, struct str call);
/* Closes, sends to the host and to /events, and frees b. */
void notice_send(struct app *app, struct buf *b, const char *name, struct str call);
void notice_warning(struct app *app, const char *text);

#endif
