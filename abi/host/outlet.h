/* SPDX-License-Identifier: MIT */
#ifndef ABI_HOST_OUTLET_H
#define ABI_HOST_OUTLET_H
/*
 * Lines to a file descriptor through a thread of its own, so that a reader who has stopped reading
 * holds up nobody but that thread. Bounded: what does not fit is dropped and counted. A closed reader
 * ends the writing, not the program (SIGPIPE must be ignored). Owner: main(); outlet_put(): any thread.
 */
#include <stddef.h>

struct outlet;

/* Starts the thread that writes to fd (borrowed, never closed). 0, or a negative errno. */
int outlet_open(struct outlet **out, int fd, size_t max_bytes);

/*
 * Queues head and line (either may be empty) as one line; the line end is added. A line that does not
 * fit is dropped; the next that fits is preceded by what `lost` makes of their number.
 */
void outlet_put(struct outlet *outlet, const char *head, const char *line, size_t n);

/* How lost lines are told: writes one line without its end into text (NUL terminated). */
typedef void outlet_lost_fn(char *text, size_t cap, unsigned long lost);
void outlet_on_lost(struct outlet *outlet, outlet_lost_fn *fn);

/*
 * Waits at most wait_ms until all is written, then ends the thread and frees the outlet; returns 0. A
 * thread that hangs in write() is left alone with its memory: -ETIMEDOUT. NULL is allowed.
 */
int outlet_close(struct outlet *outlet, unsigned wait_ms);

#endif
