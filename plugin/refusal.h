/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_REFUSAL_H
#define PLUGIN_REFUSAL_H
/*
 * An incoming call that was refused at the carrier, before any leg was made: its row, for /calls and
 * /missed-calls, its events, and a message to a caller whose chat is known. Loop thread.
 */
#include "plugin/calls.h"

struct app;

void refusal_note(struct app *app, const struct calls_incoming *in);

#endif
