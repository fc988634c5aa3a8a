/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_RECORDINGS_H
#define PLUGIN_RECORDINGS_H
/*
 * Recordings as files in <state_dir>/recordings (0700, files 0600), sealed when there is a key. A file grows
 * under another name and stands under its own only when it is whole and on the disk. All work on files is
 * done by one thread of its own ("oc-record"), in the order in which it was asked for; everything here is
 * called on the loop thread, callbacks fire there, once, and never from inside the call that asked unless
 * said. Owner: the app.
 *
 * A name is 1 to 120 of the characters A-Z a-z 0-9 . _ - and does not begin with a dot. Codes: ERR_* and
 * negative errno values.
 */
#include "plugin/base/err.h"
#include "plugin/base/log.h"
#include "plugin/base/str.h"

#include <stdint.h>

#define RECORDING_NAME_BYTES 121u
#define RECORDING_QUEUE_BYTES (8u << 20)  /* of one file, on their way to the disk */
#define RECORDINGS_QUEUE_BYTES (32u << 20) /* of all files */
#define RECORDING_READ_BYTES 262144u      /* at once */
#define RECORDING_FILES_MAX 256u
#define RECORDING_SOURCES_MAX 64u

struct loop;
struct recordings;
struct recording_file;   /* one that is being written */
struct recording_source; /* one that is being read */

struct recordings_config {
    const char *state_dir;
    const char *key;    /* see seal_key_read(); "": files are stored as they come */
    uint64_t max_bytes; /* of one file; 0: no limit */
    struct loop *loop;
    const struct log *log;
};

/* Makes the folder; the thread then removes what no living instance is still writing. ERR_IO, ERR_INVALID (key). */
int recordings_open(struct recordings **out, const struct recordings_config *config, struct err *e);
/*
 * Does what was asked for, for at most 3 s, calls what waits for answers (ERR_CANCELED where there is none)
 * and removes unfinished files. Files and sources that are still held stay valid and say ERR_CLOSED; they
 * must be closed all the same. Not from inside a callback of these functions. NULL is fine.
 */
void recordings_close(struct recordings *r);

/* ---- writing ---- */

struct recording_made {
    struct str name;
    uint64_t bytes;     /* plain ones */
    const char *sha256; /* of the plain bytes, in hex */
    bool sealed;
};
/* rc < 0: there is no such file and made is NULL. */
typedef void recording_made_fn(void *arg, int rc, const struct recording_made *made);

/* ERR_INVALID (name), ERR_FULL, ERR_NOMEM, ERR_CLOSED. A file of that name is replaced in the end. */
int recording_file_open(struct recording_file **out, struct recordings *r, struct str name);
/*
 * Copies bytes to be written. ERR_TOO_BIG: over max_bytes; ERR_FULL: the disk is too slow (see
 * recording_file_pending()); or what went wrong with earlier ones. A file that failed stays failed.
 */
int recording_file_write(struct recording_file *f, struct str bytes);
size_t recording_file_pending(const struct recording_file *f); /* bytes on their way */
/*
 * All was written: checksum, fsync, rename, fsync of the folder. f is gone; fn tells, after
 * recordings_close() at once.
 */
void recording_file_finish(struct recording_file *f, recording_made_fn *fn, void *arg);
void recording_file_abandon(struct recording_file *f); /* removes it; NULL is fine */

/* ---- reading ---- */

typedef void recording_opened_fn(void *arg, int rc, uint64_t bytes);
typedef void recording_bytes_fn(void *arg, int rc, struct str bytes);

/*
 * sealed: as it was told when it was made; a plain file in the place of a sealed one is ERR_CORRUPT.
 * fn: ERR_NOT_FOUND, ERR_CORRUPT, ERR_DENIED (sealed, but there is no key). Here: ERR_INVALID, ERR_FULL, ERR_NOMEM,
 * ERR_CLOSED.
 */
int recording_source_open(struct recording_source **out, struct recordings *r, struct str name, bool sealed,
                          recording_opened_fn *fn, void *arg);
/* 1 to RECORDING_READ_BYTES plain bytes at `from`, one request at a time. ERR_NOMEM, ERR_CLOSED, ERR_BAD_STATE. */
int recording_source_read(struct recording_source *s, uint64_t from, size_t n, recording_bytes_fn *fn, void *arg);
/* No callback of it fires any more. NULL is fine. */
void recording_source_close(struct recording_source *s);

/* ---- removing ---- */

typedef void recording_gone_fn(void *arg, int rc);
/* Removes the file and makes that durable; fn may be NULL and gets ERR_NOT_FOUND where there was none. */
int recording_delete(struct recordings *r, struct str name, recording_gone_fn *fn, void *arg);
typedef void recording_expired_fn(void *arg, int rc, struct str names); /* one a line */
/* Removes files that were made before that time, 1,000 at once. fn may be NULL. */
int recordings_expire(struct recordings *r, uint64_t before_wall_ms, recording_expired_fn *fn, void *arg);

#endif
