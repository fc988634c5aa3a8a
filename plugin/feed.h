/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_FEED_H
#define PLUGIN_FEED_H
/*
 * GET /events: what goes to the host as an event goes to readers as server-sent events (WHATWG HTML, 9.2),
 * with the same name and the same JSON. The last FEED_EVENTS_MAX events, at most FEED_BYTES_MAX of them,
 * stay in memory; each reader has a place in them and nothing else, so a slow one costs no more than a
 * quick one, and is dropped when its place is overwritten. An id is `<stamp>-<n>`: the stamp is of this
 * run, n counts its events from 1. Owner: the app. Loop thread.
 *
 * A reader that names the last id it saw goes on behind it. When what it asks for is not here any more,
 * or was another run's, the stream begins with an event `gap`: {event, at, asked, next}, next being the id
 * of the first event that follows.
 */
#include "plugin/base/log.h"
#include "plugin/base/str.h"

#include <stdint.h>

#define FEED_EVENTS_MAX 4096u
#define FEED_BYTES_MAX (1u << 20)
#define FEED_READERS_MAX 32u
#define FEED_BEAT_MS 15000u

struct feed;
struct httpd_exchange;
struct loop;

/* ERR_NOMEM, ERR_IO (no random bytes for the stamp). */
int feed_open(struct feed **out, struct loop *l, const struct log *log);
/* Ends all streams in order; what was added before still leaves. NULL is fine. */
void feed_close(struct feed *f);
/* An event: call is empty where it belongs to none, json one object on one line; all copied. NULL is fine for f. */
void feed_add(struct feed *f, const char *name, struct str call, struct str json);
/*
 * GET or HEAD /events?call=ID&last_event_id=ID of somebody who may; a header Last-Event-ID goes before the
 * parameter. Takes the exchange over. Answers 503 when FEED_READERS_MAX read already.
 */
void feed_serve(struct feed *f, struct httpd_exchange *x);
unsigned feed_readers(const struct feed *f);

#endif
