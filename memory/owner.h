/* SPDX-License-Identifier: MIT */
#ifndef MEMORY_OWNER_H
#define MEMORY_OWNER_H
/*
 * Who lives: every store holds flock(2) on <dir>/owner/<its id>.lock for as long as it is open. The kernel
 * frees the lock when the process dies, however it dies, so a free or missing file means a dead owner.
 * Two stores in one process exclude each other as two processes do, since each has a descriptor of
 * its own. Owner: the store. owner_alive() and owner_bury() from any thread, the rest from one.
 */
#include "plugin/base/err.h"
#include "plugin/base/id.h"

struct owner;

/*
 * Makes <dir>/owner (0700) and a locked file in it (0600). Also removes the files of owners that died
 * and left no lock. *out ends with owner_close(). ERR_IO (e names the path), ERR_NOMEM.
 */
int owner_open(struct owner **out, const char *dir, struct err *e);
/* Unlocks and removes the file: from now on this owner is gone. NULL is fine. */
void owner_close(struct owner *o);
/* "own_..." Valid until owner_close(). */
struct str owner_id(const struct owner *o);
const char *owner_path(const struct owner *o); /* of the lock file */
/* Does the owner of that id live? Also true for o itself, and when it cannot be told. */
bool owner_alive(const struct owner *o, struct str id);
/* Removes a dead owner's file, if it is dead. */
void owner_bury(const struct owner *o, struct str id);
/* How many owners other than o live. Negative: ERR_IO, cannot be told. */
int owner_others(const struct owner *o);
/* The same, and the dead whose files were not removed yet. */
int owner_marks(const struct owner *o);
/* Removes the files of all who died. */
void owner_sweep(const struct owner *o);

/*
 * The one lock that is held while a database is opened, checked, migrated or set aside, so that two
 * starting instances do not do that at once. Waits up to wait_ms. *fd is closed by owner_gate_close().
 * ERR_TIMEOUT, ERR_IO.
 */
int owner_gate_open(int *fd, const char *dir, unsigned wait_ms, struct err *e);
void owner_gate_close(int fd);

#endif
