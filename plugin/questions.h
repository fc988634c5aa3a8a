/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_QUESTIONS_H
#define PLUGIN_QUESTIONS_H
/*
 * The tool ask_owner of a placed call: the model asks its owner in their chat (owner.h) while the callee is kept
 * company. The first message of the owner there from then on is the answer, for as long as the call lasts: it is
 * the tool's result, or news of the call once the tool's time limit has passed (tool.c). Owner: the app; loop thread.
 *
 * A question is a row, and then a message: asked → open (it is known to have been sent) → answered → told, or expired:
 * the call ended first, or the message could not be sent. A message whose fate is unknown is sent again under the
 * same id in the same words, which the host sends once. An answer is a row before it is acknowledged. After kill -9 a
 * later instance reads the rows of the calls it takes over; the tool, begun again, finds its question by its id.
 *
 * Bounds: one question a call and a chat at a time, five a call; a later question ends the wait for an answer
 * that is overdue.
 */
#include "plugin/base/str.h"

struct app;
struct native_ask;
struct questions;

#define QUESTIONS_A_CALL 5u

int questions_open(struct questions **out, struct app *app);
/* Rows stay for the next start. NULL is fine. */
void questions_close(struct questions *qs);
/* The calls of earlier instances, if there were any, are in the table of calls: their questions are, soon. */
void questions_adopt(struct questions *qs, bool any);

/* The tool, begun or begun again. calls_tool_done() answers, later and once; or never, when the owner does not. */
void questions_ask(struct app *app, const struct native_ask *ask);
/* The call ends: what is open expires. Before the call's row says that it is over. */
void questions_over(struct questions *qs, struct str call);

/*
 * A message that a person wrote in their chat, at Unix milliseconds `at` (one from long before the question, held up
 * on its way, is no answer). false: it answers no question. true: fn comes once; rc 0: it is an answer, is durable,
 * and `reply` is to be written there; negative: it is a message like any other after all, or (ERR_CLOSED) the instance
 * stops.
 */
typedef void questions_fn_answer(void *arg, int rc, struct str reply);
bool questions_offer(struct questions *qs, struct str identity, struct str text, uint64_t at,
                     questions_fn_answer *fn, void *arg);

#endif
