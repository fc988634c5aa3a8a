/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_VERIFY_H
#define PLUGIN_VERIFY_H
/*
 * The tool verify_identity: who is on the phone is proven by the PIN (pin.h), or by the chat that the caller is
 * linked to. A message there holds a code of six digits, to be spoken, and asks for YES or NO: either proves
 * that the caller holds that chat, for this call alone. Nothing of it is kept on disk. Owner: the app; loop thread.
 *
 * Bounds: a code is valid once and for link_timeout_minutes; the tries of a call are counted by the machine
 * (tool.c); two messages a call, five an hour to one chat, so that nobody is pestered under a forged number. After
 * a NO no chat proves anything in that call any more.
 */
#include "plugin/base/str.h"

struct app;
struct config;
struct people_caller;
struct verifies;

int verifies_open(struct verifies **out, struct app *app);
void verifies_close(struct verifies *v); /* NULL is fine */

struct verify_ask { /* borrowed */
    struct str call, tool_call, number;
    struct str pin, code; /* the first that is there counts; with neither, a message is sent */
    bool by_chat;         /* the caller's level and links allow that */
};
/* calls_tool_done() answers, later and once; calls_proven() comes before it if that is so. */
void verify_run(struct app *app, const struct verify_ask *ask);

/*
 * A message that a person wrote in their chat. true: it answers a question of ours, and `reply` (static) is to be
 * written there; the call it was about has been told.
 */
bool verify_answered(struct app *app, struct str identity, struct str text, struct str *reply);
/* Does this message to that chat hold a code that is open? Such a one must reach no conversation's history. */
bool verify_holds_code(const struct app *app, struct str identity, struct str text);
/* May we write to one of the caller's chats? */
bool verify_by_chat(const struct app *app, const struct people_caller *p);

#endif
