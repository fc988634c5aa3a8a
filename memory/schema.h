/* SPDX-License-Identifier: MIT */
#ifndef MEMORY_SCHEMA_H
#define MEMORY_SCHEMA_H
/*
 * The shape of the database: a list of steps from each version to the next, kept in PRAGMA
 * user_version. Owner: the store, while it opens. Any thread that owns the connection. Pure SQL; no
 * file is touched but through the connection.
 */
#include "plugin/base/err.h"

struct sqlite3;

#define STORE_SCHEMA 5                    /* the version this code writes */
#define SCHEMA_APPLICATION_ID 0x6f63766f  /* "ocvo": tells our files from another program's */

/* Reads user_version into *version without writing. ERR_SQLITE - n. */
int schema_version(struct sqlite3 *db, int *version, struct err *e);
/*
 * Brings the database from its version to STORE_SCHEMA in one transaction: all steps or none. Safe
 * against another process that migrates at the same time (the version is read again under the lock).
 * ERR_NEWER: a later version, nothing was written. ERR_INVALID: the file is another program's, nothing
 * was written. ERR_SQLITE - n with SQLite's text in e.
 */
int schema_migrate(struct sqlite3 *db, struct err *e);
/*
 * The same up to version `to` only, so that tests can make the database of an earlier version:
 * 0 <= to <= STORE_SCHEMA.
 */
int schema_migrate_to(struct sqlite3 *db, int to, struct err *e);

#endif
