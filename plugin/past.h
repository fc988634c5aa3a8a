/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_PAST_H
#define PLUGIN_PAST_H
/*
 * Keeps the index of past calls true to the database: a walk over all calls that are over, newest first, which
 * tells the index whose each of them is and gives it those that it has not. At the start, when the index was
 * begun anew, and after persons became one or several. Loop thread.
 */
struct app;
struct past;

int past_open(struct past **out, struct app *app); /* ERR_NOMEM */
/* After index and store are closed. NULL is fine. */
void past_close(struct past *p);
/* Walks; if it does already, once more afterwards. Nothing without an index. */
void past_look(struct past *p);
/* The index's thread woke the loop: walks if the database of the index was begun anew since. */
void past_index_woke(struct past *p);

#endif
