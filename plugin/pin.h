/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_PIN_H
#define PLUGIN_PIN_H
/*
 * Checks of a spoken PIN. The hash is slow on purpose, so each check runs on a thread of its own, one
 * at a time; the answer comes through calls_tool_done(), and calls_proven() before it if the PIN fits.
 */
#include "plugin/base/str.h"

struct app;
struct pins;

int pins_open(struct pins **out, struct app *app);
/* Waits for a check that runs (some 50 ms); what waits in line is dropped. */
void pins_close(struct pins *p);
/* Loop thread. The PIN is copied and wiped after use. */
void pins_check(struct pins *p, struct str call, struct str tool_call, struct str pin);

#endif
