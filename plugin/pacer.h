/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_PACER_H
#define PLUGIN_PACER_H
/*
 * When a leg may be created: the carrier takes only so many calls a second, and `max_concurrent` is ours. Legs of a
 * call that somebody waits in go before new dials; a dial pays for its model's leg as well, so that whoever answers
 * is not left waiting. Loop thread.
 */
#include "plugin/base/id.h"
#include "plugin/call/line.h"
#include "plugin/net/loop.h"

struct pacer;

struct pacer_config {
    unsigned per_second;               /* at least 1 */
    bool (*room)(void *arg);           /* may another call be dialled now, by max_concurrent? */
    void (*go)(void *arg, struct str call, struct str label); /* not from inside pacer_ask() */
    void *arg;
};

int pacer_open(struct pacer **out, struct loop *l, const struct pacer_config *config);
void pacer_close(struct pacer *p);
enum pacer_kind { PACER_DIAL, PACER_WAITED_FOR, PACER_PAID /* by its dial */ };
/* Asking again for the same leg changes nothing. ERR_NOMEM. */
int pacer_ask(struct pacer *p, struct str call, struct str label, enum pacer_kind kind);
/* Forgets what the call asked for. */
void pacer_forget(struct pacer *p, struct str call);
/* A call ended: there may be room for another. */
void pacer_look(struct pacer *p);
unsigned pacer_waiting(const struct pacer *p);

#endif
