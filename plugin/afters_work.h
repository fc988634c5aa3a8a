/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_AFTERS_WORK_H
#define PLUGIN_AFTERS_WORK_H
/*
 * The rows of the outbox that afters.c has in hand: found by id, taken up in the order in which they came, set aside
 * until they are due again. Each of it costs the same however many there are. They are bounded: what is beyond stands
 * in the database alone (afters_rows.c). Owner: struct afters; loop thread.
 */
#include "plugin/base/str.h"

#include <stdbool.h>
#include <stdint.h>

#define WORKS_BUCKETS 1024u
#define WORKS_MAX 1000u                   /* in hand; what an answer of outbox_open_rows() has at most */
#define WORKS_BYTES_MAX ((size_t)8 << 20) /* of their payloads; one may go beyond */

struct afters;
struct json;

/* SAVING: at its end, or set aside in the database, which has not answered yet. */
enum work_place { WORK_READY, WORK_PAUSED, WORK_RUNNING, WORK_SAVING, WORK_PLACES };

struct work { /* a row under way */
    struct work *next, *before; /* in its place */
    struct work *same;          /* in its bucket */
    enum work_place place;
    struct afters *owner;
    char *id, *call, *kind, *state, *payload;
    unsigned attempts;
    uint64_t made_at, due_ms; /* due, of a paused one: monotonic */
    bool forgotten;
    unsigned saving;          /* answers of the database about it that are to come */
    const char *ends, *why;   /* the final state that is to be saved, NULL none, and its error; static */
    size_t bytes;             /* of the payload */
    uint64_t token;           /* the host's request, 0 none */
    uint64_t step_by_ms;      /* of a running one */
    struct json *doc;         /* of the payload */
    char *text;               /* made by an earlier part of the step */
};

struct works {
    struct work *first[WORK_PLACES], *last[WORK_PLACES];
    unsigned n[WORK_PLACES], all;
    unsigned max; /* WORKS_MAX */
    size_t bytes;
    struct work *buckets[WORKS_BUCKETS];
    uint64_t wake_ms; /* no paused one is due before; 0: none is paused */
};

/* No room for another. */
bool works_full(const struct works *ws);
/* At most half of the room is taken. */
bool works_low(const struct works *ws);
struct work *works_find(const struct works *ws, struct str id);
/* Behind the ready ones. Its id is set and stands in no other. */
void works_add(struct works *ws, struct work *w);
/* To the end of that place; due_ms is set where it is WORK_PAUSED. */
void works_move(struct works *ws, struct work *w, enum work_place place);
/* Out of the list; it is the caller's. */
void works_take(struct works *ws, struct work *w);
/* The next one to be begun, NULL: none is due. */
struct work *works_next(struct works *ws, uint64_t now_ms);
/* When something is to be looked at again: a paused one that is due, a running one whose time is up. 0: never. */
uint64_t works_due(const struct works *ws);

#endif
