/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_AFTERS_REPORT_H
#define PLUGIN_AFTERS_REPORT_H
/*
 * How a call that somebody asked for has ended, told to whoever asked: a message to the chat where it was asked for,
 * and a report before the next turn of that session. Both name outcome, summary and what was said. Loop thread.
 */
#include <stdbool.h>

#include "plugin/base/str.h"

struct app;
struct buf;
struct json;

/*
 * The words are quotations of people on the telephone and of the model: the report starts no run, it waits in the
 * session. spec: of the dial, {..., report: {session?, channel?, to?, account?}, session?}; may be NULL.
 */
bool afters_report_wanted(const struct json *spec);
/* Writes the member "report" of a row's payload, when one is wanted: what of spec the report needs. */
void afters_report_plan(struct buf *b, const struct json *spec);
/* Will that session hear of the call by its report? Then it needs no other word of it. */
bool afters_report_wakes(const struct json *report, struct str session_key);
/*
 * Makes the rows of message and session from the payload ({report, summary?}) and the call's own row, which says
 * that it is over by then, else ERR_BAD_STATE. fn fires once, later or at once: 0, ERR_NOT_FOUND: no such call, or
 * what may go well another time.
 */
typedef void afters_report_fn(void *arg, int rc);
void afters_report_write(struct app *app, struct str call, const struct json *doc, afters_report_fn *fn, void *arg);

#endif
