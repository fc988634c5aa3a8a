/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_AFTERS_INT_H
#define PLUGIN_AFTERS_INT_H
/*
 * What afters.c (steps) and afters_rows.c (rows, from and to the database) share. Loop thread.
 */
#include "plugin/afters.h"
#include "plugin/afters_work.h"
#include "plugin/app.h"
#include "plugin/net/loop.h"

#define AFTERS_PAUSE_MS 2000u
#define AFTERS_PAUSE_MAX_MS 900000u

struct afters {
    struct app *app;
    struct works works;
    struct timer *timer;
    bool pumping;

    /* Rows that stand in the database alone. */
    bool asked;       /* for rows; the answer is to come */
    bool more;        /* some may be due */
    bool dead_too;    /* those of dead instances are to be asked for, too */
    bool begun;       /* the first answer was there */
    bool failing;     /* the last answer was a failure, and that was said */
    uint64_t look_ms; /* some may be due from then on; 0 never */
};

/* ---- afters.c ---- */

/* Begins what is due, as far as it may be under way at once, and looks for more. */
void afters_pump(struct afters *as);

/* ---- afters_rows.c ---- */

/*
 * Saves the row's final state, unless it is forgotten; w stays in hand until that is durable, so that no answer of
 * before brings the row back. w is gone for the caller.
 */
void work_settle(struct work *w, const char *state, const char *why);
/* Saves that it is tried again, and sets it aside until due_ms. */
void work_pause(struct work *w, const char *why, uint64_t pause_ms);
/* Out of hand as soon as the database has answered what it was asked. */
void work_drop(struct work *w);
/* Asks the database for rows when there are such and room for them. */
void afters_look(struct afters *as);
/* Out of hand with all of them; the database is closed. */
void afters_drop_all(struct afters *as);
/* Sets the timer to the next moment at which anything is to be looked at. */
void afters_arm(struct afters *as);

#endif
