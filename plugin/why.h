/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_WHY_H
#define PLUGIN_WHY_H
/*
 * A call's flight record in plain words: what happened when, and for a call that went wrong the likely
 * cause and its cure. Pure.
 */
#include "plugin/base/buf.h"
#include "plugin/base/str.h"

/*
 * record: the object of JOURNAL_Q_WHY. Writes {call, openai_call_id, state, reason, detail, went_wrong,
 * summary, cause, cure, hops:[{at, after_ms, hop, text, detail}], tools, turns} into out. ERR_INVALID, or
 * out->rc.
 */
int why_write(struct buf *out, struct str record);

#endif
