/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_DESTINATIONS_H
#define PLUGIN_DESTINATIONS_H
/* The policy of who may be called (sessions/destination.h) as a configuration says it. Any thread. */
#include "plugin/config/config.h"
#include "sessions/destination.h"

/* The policy keeps nothing of c. ERR_NOMEM; else what destination_policy_make() says. */
int destinations_make(struct destination_policy **out, const struct config *c, struct err *e);

#endif
