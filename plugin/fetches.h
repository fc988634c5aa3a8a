/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_FETCHES_H
#define PLUGIN_FETCHES_H
/*
 * Recordings on their way from the carrier to the disk, and to their end. What is to be fetched, and what is to be
 * deleted here and at the carrier, are rows (memory/lines.h); in memory is only what is under way. Whatever fails is
 * tried again, later and later, by whichever instance is there then. Loop thread. Owner: the app.
 *
 *   fetching ──whole on the disk──► stored ──retention, DELETE, forgetting──► deleted
 *      │ ▲ 404, 429, 5xx, no answer: 1 s, 2 s, 4 s ... 15 min later
 *      ├─┘
 *      ├──404 for a quarter of an hour──► absent
 *      └──larger than the limit, no room on the disk, nothing for three days──► failed
 */
#include "plugin/base/err.h"
#include "plugin/base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct app;
struct fetches;

/* Opens app->recordings, too, as the configuration says; the app closes that. */
int fetches_open(struct fetches **out, struct app *app, struct err *e);
/* Starts nothing any more. The store and the carrier may close then, and fetches_close() comes after both. */
void fetches_leave(struct fetches *f);
void fetches_close(struct fetches *f); /* NULL is fine */

/* The recording `sid` of a call is at the carrier, or will soon be: a row, then its fetch. */
void fetches_begin(struct fetches *f, struct str call, struct str sid);
/* Nothing of that call was recorded, or it failed: kept for who asks. sid may be empty. */
void fetches_none(struct fetches *f, struct str call, struct str sid, bool failed);
/* Something may be due: looks at the rows. After an adoption, and when rows were changed by others. */
void fetches_look(struct fetches *f);
/* Deletes what is older than retention_days, if that is not 0. */
void fetches_expire(struct fetches *f);
/* fn: 0, the recording is gone here and will be at the carrier; ERR_NOT_FOUND: there was none. Once, maybe at once. */
typedef void fetches_fn(void *arg, int rc);
void fetches_delete(struct fetches *f, struct str call, fetches_fn *fn, void *arg);

/* ---- For tests: decisions ---- */

enum fetch_next { FETCH_AGAIN, FETCH_ABSENT, FETCH_FAILED };
struct fetch_failure {
    int http_status;  /* 0: none came */
    int rc;           /* of the disk; 0: the carrier's fault */
    unsigned attempts; /* with this one */
    uint64_t age_ms;  /* since the recording was to be fetched first */
};
enum fetch_next fetch_decide(const struct fetch_failure *failure);
uint64_t fetch_delay_ms(unsigned attempts);

#endif
