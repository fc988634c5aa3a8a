/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_BASE_TURNS_H
#define PLUGIN_BASE_TURNS_H
/*
 * How the kernel's scheduler shares a core among threads (sched(7), sched_setattr(2)). No state. Any thread, about
 * itself.
 */
#include "plugin/base/err.h"

#define TURNS_SHORT_NS 300000u /* the begin of a call fits in; ordinary ones take 1.4 to 4 ms */

/*
 * Asks for short turns on the core: the same share of it, in pieces of TURNS_SHORT_NS. A thread that wakes then gets
 * the core before one with longer turns that is in the middle of its work, and is not pushed aside by those that it
 * wakes itself. Needs no privilege. Threads that it makes have ordinary turns, unless it was set above others (a
 * negative nice value), which they inherit.
 *
 * ERR_BAD_STATE: it has another policy than the ordinary one, and nothing was changed; ERR_DENIED: the kernel (before
 * Linux 6.12) or a sandbox grants none.
 */
int turns_short(void);

#endif
