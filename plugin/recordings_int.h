/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_RECORDINGS_INT_H
#define PLUGIN_RECORDINGS_INT_H
/*
 * What recordings_disk.c does for recordings.c: the files themselves. All of it blocks and belongs to the
 * thread of struct recordings, but for disk_open() and what is done once that thread is joined. Nobody else
 * includes this.
 */
#include "plugin/base/seal.h"
#include "plugin/recordings.h"

#define DISK_TEMP_BYTES 160u

struct disk {
    const struct log *log;
    int dir; /* -1: closed */
    bool keyed;
    struct seal_key key;
};

struct disk_file { /* being written */
    int fd; /* -1: not open (any more) */
    int rc; /* the first failure */
    char name[RECORDING_NAME_BYTES], temp[DISK_TEMP_BYTES];
    struct seal_writer *writer; /* NULL: stored as it comes */
    struct seal_sum *sum;
    struct buf out;
    uint64_t bytes;
    char sha256[65]; /* when finished */
};

struct disk_source { /* being read */
    int fd;
    struct seal_reader *reader;
    uint64_t bytes;
};

bool disk_name_good(struct str name);
/* Makes and opens the folder. ERR_IO. */
int disk_open(struct disk *d, const char *state_dir, struct err *e);
void disk_close(struct disk *d);
/* Removes unfinished files that no living process has open. */
void disk_sweep(struct disk *d);

/* f->name is set, f->fd is -1. */
int disk_file_begin(struct disk *d, struct disk_file *f);
int disk_file_write(struct disk *d, struct disk_file *f, struct str bytes);
/* On failure nothing is left of it. */
int disk_file_finish(struct disk *d, struct disk_file *f);
void disk_file_abandon(struct disk *d, struct disk_file *f); /* more than once is fine */

int disk_source_open(struct disk *d, struct disk_source *s, const char *name, bool sealed);
int disk_source_read(struct disk_source *s, uint64_t from, void *into, size_t n);
void disk_source_close(struct disk_source *s); /* more than once is fine */

int disk_delete(struct disk *d, const char *name);
/* Appends the names that were removed, one a line. */
int disk_expire(struct disk *d, uint64_t before_wall_ms, struct buf *names);

#endif
