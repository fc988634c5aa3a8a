/* SPDX-License-Identifier: MIT */
#ifndef MEMORY_FORGET_MARK_H
#define MEMORY_FORGET_MARK_H
/*
 * That somebody is being forgotten, as a file beside the database, <path>.forget-<owner>: one line, a person's id,
 * for each that was begun. It is there before the first row goes and until the last byte is gone, here and in the
 * index; one of a dead owner is what the next start has to finish. memory/ only; add: store thread, the rest: loop
 * thread.
 */
#include "memory/store_int.h"
#include "plugin/base/buf.h"

/* Durable when it returns. What fails is said in the log: forgetting goes on without. */
void forget_mark_add(struct store *s, struct str person);
/* Nothing is owed any more. */
void forget_mark_clear(struct store *s);
/* Makes marks of dead owners this one's; their lines go to ids. Whether there was any. */
bool forget_mark_take(struct store *s, struct buf *ids);

#endif
