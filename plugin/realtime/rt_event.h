/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_REALTIME_RT_EVENT_H
#define PLUGIN_REALTIME_RT_EVENT_H
/*
 * Server events of OpenAI's Realtime API (GA), from JSON text to struct call_event, and client
 * events from words of ours to JSON. No I/O. Source: the API's OpenAPI document, realtime/server
 * and realtime/client. Loop thread; an rt_event lives until rt_event_free().
 */
#include "plugin/base/buf.h"
#include "plugin/base/err.h"
#include "plugin/call/event.h"

struct json;

struct rt_event {
    struct call_event ev; /* text in it is borrowed from `doc`, `outputs` and `text` */
    struct json *doc;     /* NULL when the type alone said all */
    struct call_output outputs[CALL_OUTPUTS_MAX];
    struct buf text;      /* what had to be put together from parts */
};

/*
 * Reads one event. Types that mean nothing to a call give CALL_EV_NONE cheaply (the deltas are most
 * of the traffic: they are recognised by their type without building a tree), and so do events that
 * lack what would make them mean something. Every optional field may be null or missing; text
 * fields then have p NULL or n 0. Lone surrogates and NUL escapes in strings become U+FFFD.
 * item.added, .created and .done are all CALL_EV_ITEM_ADDED, so it may come more than once for one
 * item; u.item.text is what the item says at that time, if anything. 0, ERR_INVALID (no JSON, no
 * object, no type), ERR_NOMEM. On 0 the caller must rt_event_free(); out must not be copied
 * meanwhile.
 */
int rt_event_read(struct rt_event *out, struct str text, struct err *e);
void rt_event_free(struct rt_event *ev);
/* The event's type as text, a slice of `text`; STR_NONE if it has none. No parsing beyond that. */
struct str rt_event_type(struct str text);

/* ---- Client events, each written whole into out (cleared first). 0 or out->rc. ---- */

/* response.create; instructions empty: the session's own. event_id comes back in an error. */
int rt_write_response_create(struct buf *out, struct str event_id, struct str instructions,
                             bool allow_tools);
/* conversation.item.create of a function_call_output under an item id of ours. */
int rt_write_function_output(struct buf *out, struct str event_id, struct str item_id,
                             struct str call_id, struct str output);
/* conversation.item.create of a message; role "system" or "user", content input_text. */
int rt_write_message(struct buf *out, struct str event_id, struct str item_id, const char *role,
                     struct str text);
int rt_write_item_retrieve(struct buf *out, struct str event_id, struct str item_id);
int rt_write_response_cancel(struct buf *out, struct str event_id);
int rt_write_output_clear(struct buf *out, struct str event_id);

#endif
