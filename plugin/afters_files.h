/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_AFTERS_FILES_H
#define PLUGIN_AFTERS_FILES_H
/*
 * What a call leaves in the workspace's memory files: a section in the day's file (summary, and with
 * persist_transcripts the words), one in the summaries file, and one in the callers' file if the caller had something
 * remembered of themselves. Words and news only of callers from linked up: a stranger's must not poison memory.
 * Loop thread.
 */
#include <stdbool.h>

#include "plugin/base/str.h"

struct app;
struct config;
struct json;

/* Is there a file to write for a call whose words may (or may not) stand in files? */
bool afters_files_wanted(const struct config *c, bool words);
/*
 * doc: the payload of the row, borrowed until fn: {summary, words, date, at, duration_ms, from}. fn fires once, later
 * or at once: 0, ERR_DENIED (a path leaves the workspace), or what may go well another time. A section that stands
 * there is not written again.
 */
typedef void afters_files_fn(void *arg, int rc);
void afters_files_write(struct app *app, struct str call, const struct json *doc, afters_files_fn *fn, void *arg);

#endif
