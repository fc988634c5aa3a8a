/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_CHATS_H
#define PLUGIN_CHATS_H
/*
 * What passes in text channels, told by the host: kept for the context of calls, told to a live call of the
 * same person, and read as a linking code or as the answer to a question of a call when it is one. Also the codes
 * spoken on the phone. Loop thread.
 */
#include "plugin/base/str.h"

struct app;
struct json;

/* OC_CMD_CHAT. done fires once with {} or {"reply": text for that chat}, or a negative rc. */
typedef void chats_fn(void *arg, int rc, struct str json);
void chats_message(struct app *app, const struct json *message, chats_fn *fn, void *arg);
/* OC_CMD_LINKS_SET: groups of identities that are one person, and who owns what nobody else asked for. */
void chats_set_links(struct app *app, const struct json *links, chats_fn *fn, void *arg);

/*
 * The tool link_chat: without a code, makes one for the caller to type in their chat; with one, takes the code
 * that they were shown there. calls_tool_done() answers.
 */
void chats_link_tool(struct app *app, struct str call, struct str tool_call, struct str number, struct str code);

#endif
