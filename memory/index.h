/* SPDX-License-Identifier: MIT */
#ifndef MEMORY_INDEX_H
#define MEMORY_INDEX_H
/*
 * The workspace's memory files (MEMORY.md, USER.md, IDENTITY.md, SOUL.md, memory/ and below, *.md), mirrored and
 * searchable: a thread of its own, inotify, and an FTS5 database <state_dir>/index.db that may be deleted
 * at any time. Also the texts of past calls. Reads and searches never touch the store's thread.
 * Functions: loop thread; answers on the loop thread by index_poll().
 *
 * Bad files are not fatal: over 1 MiB, binary, unreadable, links that leave the workspace, changed while
 * read: skipped with one log line, and counted. A change is found within 2 s.
 */
#include "plugin/base/buf.h"
#include "plugin/base/err.h"
#include "plugin/base/log.h"

struct index;

struct index_config {
    const char *workspace, *state_dir;
    const struct log *log;
    void (*wake)(void *ctx); /* any thread: answers wait for index_poll(), or stats.begun has grown */
    void *ctx;
};

/* Starts the thread; the first scan goes on in it. A missing workspace is waited for. ERR_NOMEM, ERR_IO. */
int index_open(struct index **out, const struct index_config *config, struct err *e);
/* Removes databases of indexes that nobody has open: words may have been left in them. Before index_open(). */
void index_discard(const char *state_dir);
void index_poll(struct index *ix);
void index_close(struct index *ix); /* joins; unanswered questions are answered with ERR_CLOSED on this thread */

/* Who asks; decides what is shown. */
struct index_scope {
    bool files;            /* MEMORY.md, USER.md and the rest of the workspace's memory */
    struct str person;     /* own calls, "" none */
    bool all_calls;        /* the owner: everybody's calls */
    struct str number;     /* our own sections in files about other calls are hidden unless all_calls */
};

/*
 * Pieces for context_write(): mirrored files, borrowed for the callback. days: of daily notes, today (of the
 * host's time zone) included, at most 14. Sections of ours about calls are not among them, whoever asks.
 */
struct context_piece;
typedef void index_pieces_fn(void *arg, int rc, const struct context_piece *pieces, unsigned n);
/* From memory alone: answers in well under 10 ms for 1,000 files once the first scan is done. */
int index_pieces(struct index *ix, unsigned days, uint64_t now_wall_ms, index_pieces_fn *fn, void *arg);

typedef void index_json_fn(void *arg, int rc, struct str json);
/* {"hits":[{path|call, from, lines, at, text, score}]}; any words, no FTS syntax. limit 1..20. */
int index_search(struct index *ix, const struct index_scope *scope, struct str query, unsigned limit,
                 index_json_fn *fn, void *arg);
/*
 * {"path","from","lines","total_lines","text"}: path as in hits; inside the workspace's memory only.
 * ERR_NOT_FOUND, ERR_DENIED.
 */
int index_get(struct index *ix, const struct index_scope *scope, struct str path, unsigned from,
              unsigned lines, index_json_fn *fn, void *arg);
/* A finished call's text for searching. Again: replaces its person, time and text; cheap when nothing changed. */
int index_put_call(struct index *ix, struct str call, struct str person, uint64_t at, struct str text);
/*
 * Says whose a call is that was put before, its sections in files too; cheap when that is known. ERR_NOT_FOUND by
 * fn: it was not put since the database was begun.
 */
int index_own_call(struct index *ix, struct str call, struct str person, void (*fn)(void *arg, int rc), void *arg);
/* Forgets a person's calls, for real. */
int index_forget(struct index *ix, struct str person, void (*fn)(void *arg, int rc), void *arg);
/*
 * Drops the text of calls that came before text_before, for real; and of those before calls_before, which are not put
 * or owned again, whose they were, unless a section in a file is about them. By the wall clock in ms, calls_before 0:
 * none. fn may be NULL.
 */
int index_expire(struct index *ix, uint64_t text_before, uint64_t calls_before, void (*fn)(void *arg, int rc),
                 void *arg);

/* ---- Sections of ours in memory files ---- */

struct index_section {
    struct str path;    /* below the workspace: "memory/2026-11-23.md" */
    struct str call;    /* our id; the section is "## Call <id> ..." */
    struct str heading; /* rest of that line */
    struct str body;    /* Markdown, without the end mark */
};
/*
 * Appends the section unless it stands there whole: one O_APPEND write, fsync, ending in a mark of its own; a
 * half section of ours (from a crash) is completed. Never twice. ERR_IO, ERR_DENIED (path leaves the workspace).
 */
int index_append(struct index *ix, const struct index_section *section, void (*fn)(void *arg, int rc),
                 void *arg);
/* Removes our sections of these calls from a file where they are unchanged; json: {"removed":n,"left":[paths]}. */
int index_erase_sections(struct index *ix, const struct str *calls, unsigned n, index_json_fn *fn, void *arg);

struct index_stats {
    unsigned files, skipped;
    bool scanned; /* the first scan is done, or the workspace is missing */
    bool mirrored; /* what index_pieces() gives was read for the first time; comes long before `scanned` */
    unsigned begun; /* how often the database was begun anew in this run: past calls must be put again */
};
void index_stats_read(struct index *ix, struct index_stats *out); /* any thread */

#endif
