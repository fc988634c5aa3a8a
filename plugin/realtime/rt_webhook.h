/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_REALTIME_RT_WEBHOOK_H
#define PLUGIN_REALTIME_RT_WEBHOOK_H
/*
 * The body of OpenAI's webhook `realtime.call.incoming`, after its signature was checked
 * (proto/sig.h). No I/O; any thread. What it returns is borrowed from the body or the view of it inside, and lives
 * as long as both: until rt_webhook_free().
 */
#include "plugin/base/err.h"
#include "plugin/base/json.h"
#include "plugin/base/str.h"

enum rt_webhook_kind {
    RT_WEBHOOK_INCOMING, /* realtime.call.incoming: a call to decide on */
    RT_WEBHOOK_OTHER     /* anything else, live.* among it: acknowledged and ignored */
};

struct rt_webhook {
    enum rt_webhook_kind kind;
    struct str type;
    struct str call_id;     /* "rtc_...", as sent */
    struct str sip_call_id; /* Call-ID header, STR_NONE if absent */
    uint64_t created_at;    /* of an incoming call: s by the provider's clock, 0 unknown */
    uint32_t headers;       /* in the view; JSON_NO_NODE if absent */
    struct json_view view;
};

/*
 * The call of an event without reading the rest of it, to see whether it is decided already: borrowed from the
 * body; STR_NONE when only rt_webhook_read() can tell.
 */
struct str rt_webhook_peek_call(struct str body);
/*
 * ERR_INVALID with a text for the log when the body is no JSON object, has no string type, or, for
 * an incoming call, no usable string call_id (empty, over 256 bytes, characters outside
 * [A-Za-z0-9_.-]).
 */
int rt_webhook_read(struct rt_webhook *out, struct str body, struct err *e);
void rt_webhook_free(struct rt_webhook *w);
/*
 * The n-th (0 = first) SIP header of that name (case ignored; the compact forms f, i, t, m are the
 * same as From, Call-ID, To, Contact).
 */
struct str rt_webhook_header(const struct rt_webhook *w, const char *name, unsigned n);

#endif
