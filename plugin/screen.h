/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_SCREEN_H
#define PLUGIN_SCREEN_H
/*
 * Who calls and whether the call is taken, whichever way it came: from the mirrored lists and what the trunk says of
 * the number. Nothing here waits for the host. Loop thread.
 */
#include "memory/journal.h"
#include "plugin/base/id.h"
#include "plugin/base/phone.h"
#include "plugin/call/call.h"
#include "sessions/access.h"

struct app;
struct calls_incoming;

#define SCREEN_BUSY 486 /* SIP Busy Here: of every limit, so that nobody learns which (but see drain.h) */

/* A refusal by a list stays one; attestation may only lower the level. number: E.164 or "". */
void screen_caller(const struct app *app, struct str number, enum access_attestation a, struct caller_verdict *out);
/*
 * Sets in->limit for a caller who may call: it drains (drain.h), too many calls at once (pending: claims under way),
 * too many from this number, or what may be spent today is spent. A call that is not refused counts towards its
 * number's.
 */
void screen_limit(const struct app *app, struct calls_incoming *in, unsigned pending);
bool screen_takes(const struct calls_incoming *in);
/* Of a call that is not taken. */
enum call_reason screen_reason(const struct calls_incoming *in);
const char *screen_detail(const struct calls_incoming *in);
int screen_sip_status(const struct calls_incoming *in);
/* What the row of an incoming call says from the first, but for its state and the provider's ids. Text is borrowed. */
void screen_row(const struct app *app, const struct id *id, const struct phone *from,
                const struct caller_verdict *verdict, uint64_t received_wall_ms, struct journal_call *out);
/* call.incoming, to the host and the readers of /events. openai_call_id may be empty. */
void screen_notify(struct app *app, struct str call, struct str openai_call_id, struct str from,
                   enum caller_level level);

#endif
