/* SPDX-License-Identifier: MIT */
#ifndef MEMORY_INDEX_INT_H
#define MEMORY_INDEX_INT_H
/*
 * What the files of the index share: index.c (thread, queue, the loop's side), index_file.c (files opened
 * without following links), index_scan.c (what there is and what changed), index_text.c (Markdown in blocks,
 * sections of ours), index_mirror.c, index_db.c, index_keep.c (what of a changed file stands in the database already),
 * index_purge.c, index_search.c, index_section.c. memory/ only. Functions:
 * index thread, but where another is named.
 */
#include "memory/context.h"
#include "memory/index.h"
#include "plugin/base/fifo.h"

#include <limits.h>
#include <pthread.h>
#include <sys/stat.h>

struct sqlite3;
struct sqlite3_stmt;
struct index_tally;

#define INDEX_FILES_MAX 20000u
#define INDEX_FILE_BYTES ((size_t)1 << 20)
#define INDEX_PATH_BYTES 512u
#define INDEX_DEPTH 16u
#define INDEX_DIRS_MAX 4096u
#define INDEX_QUEUE_OPS 1024u
#define INDEX_QUEUE_BYTES ((size_t)32 << 20)
#define INDEX_BUCKETS 16384u
#define INDEX_SLICE_MS 4u
#define INDEX_MIRROR_BYTES ((size_t)8 << 20)
#define INDEX_MIRROR_DAYS 14u
#define INDEX_NOTES 1024u
#define INDEX_SECTION_BYTES ((size_t)256 << 10) /* of body */
#define INDEX_ID_BYTES 64u
#define INDEX_BLOCK_BYTES 700u /* of what is searched, about */
#define INDEX_DB_PATH (PATH_MAX + 32u)
#define INDEX_HEAD_BYTES (INDEX_PATH_BYTES + 256u)

/* ---- Files. ---- */

struct index_sig {
    int64_t mtime_ns, ctime_ns, size;
    uint64_t inode;
};

enum index_skip {
    INDEX_OK = 0,
    INDEX_BIG,
    INDEX_BINARY,
    INDEX_UNREADABLE,
    INDEX_LINK,
    INDEX_SPECIAL,
    INDEX_CHANGING
};

struct index_file {
    struct index_file *chain, *next_due;
    uint64_t due_ms, tx;
    bool queued;
    int64_t id; /* in the database, 0 none */
    struct index_sig sig;
    enum index_skip skip;
    unsigned tries; /* found changing, one after the other */
    uint32_t took_ms; /* to read it in last time */
    size_t path_n;
    char path[];
};

struct index_due {
    struct index_file *head, *tail;
};

struct index_dir {
    int wd;
    char *path; /* "" the workspace */
};

/* ---- The mirror: notes are immutable; counted references under the lock. ---- */

struct index_note {
    unsigned refs;
    enum context_kind kind;
    int64_t day; /* of a daily note, since 1970; else INT64_MAX */
    size_t bytes;
    char *path, *text;
    struct context_piece *pieces;
    unsigned n_pieces;
    char *labels;
};

/* ---- Questions and orders. ---- */

enum index_what {
    INDEX_PIECES,
    INDEX_SEARCH,
    INDEX_GET,
    INDEX_PUT_CALL,
    INDEX_OWN_CALL,
    INDEX_FORGET,
    INDEX_EXPIRE,
    INDEX_APPEND,
    INDEX_ERASE
};

struct index_op {
    struct fifo_item item; /* first */
    enum index_what what;
    int rc;
    size_t bytes;
    uint64_t deadline_ms; /* monotonic: not begun by then = ERR_TIMEOUT; 0 none */
    index_pieces_fn *on_pieces;
    index_json_fn *on_json;
    void (*on_done)(void *arg, int rc);
    void *arg;

    struct index_scope scope;
    struct str a, b, c, d; /* by kind; in data */
    struct str *list;
    unsigned n, from, lines;
    uint64_t at, calls_before;
    struct buf out;

    /* Jobs that go on over several turns. */
    unsigned step, cursor, count;
    struct buf left; /* paths, each with a NUL; of an expiry the last call that was looked at */

    struct index_note **notes;
    unsigned n_notes, n_pieces;
    struct context_piece *pieces;

    char *data;
};

#define INDEX_STMTS 32u

struct index {
    /* Unchanged while the thread runs. */
    const struct log *log;
    void (*wake)(void *ctx);
    void *ctx;
    char workspace[PATH_MAX], state_dir[PATH_MAX];
    pthread_t thread;
    int event_fd, inotify_fd; /* inotify_fd -1: none to be had, everything is looked at every 5 s */

    /* Under the lock. */
    pthread_mutex_t lock;
    struct fifo queue, finished;
    unsigned waiting;
    size_t waiting_bytes;
    bool closing;
    struct index_stats stats;
    struct index_note *notes[INDEX_NOTES]; /* by kind, newest day first, path */
    unsigned n_notes;
    size_t note_bytes;

    /* Index thread. */
    struct index_op *job;
    struct fifo jobs;
    int root_fd; /* the workspace, -1 missing */
    struct index_file *buckets[INDEX_BUCKETS];
    unsigned n_files, n_skipped, n_indexed;
    struct index_due first, rest; /* to be looked at: mirrored files first */
    struct index_dir *dirs;       /* watched */
    unsigned n_dirs, cap_dirs;
    char **todo; /* folders to be listed */
    unsigned n_todo, cap_todo;
    bool blind;           /* something could not be watched */
    bool rescan, full_said, blind_said;
    uint64_t look_ms;     /* look for the workspace, or at everything while blind; 0 never */
    unsigned lines_said;  /* log lines about bad files */

    /* index_db.c */
    struct sqlite3 *db;
    struct sqlite3_stmt *stmts[INDEX_STMTS];
    int lock_fd;
    char db_path[INDEX_DB_PATH];
    bool in_tx, db_said;
    uint64_t tx, tx_since_ms, db_retry_ms, rebuilt_ms, query_until_ms;
    unsigned tx_files;
    struct buf fold[3];

    /* index_search.c */
    struct index_tally *tally;
    uint32_t *tally_used, tally_turn;
    unsigned n_tally;
};

/* ---- index_text.c: pure. ---- */

struct index_block {
    struct str text, head; /* head: the headings above it, "A > B" */
    struct str call;       /* of a section of ours, else empty */
    unsigned from, lines;  /* the first line is 1 */
};
typedef int index_block_fn(void *arg, const struct index_block *b);
/*
 * Cuts Markdown into blocks of about `want` bytes, at headings, blank lines and list items. headings: a
 * heading's line is part of the block below it. Stops at the first negative result, and returns it.
 */
int index_split(struct str text, size_t want, bool headings, index_block_fn *fn, void *arg);

struct index_span {
    size_t at, n;
    struct str call;
    bool whole; /* ends in its mark */
    struct str sum; /* in the mark; empty none */
    size_t summed;  /* bytes that it is the sum of */
};
/* The next section of ours at or behind *at; *at moves behind it. */
bool index_span_next(struct str text, size_t *at, struct index_span *out);
/* Whether the end mark of that call stands anywhere. */
bool index_mark_stands(struct str text, struct str call);
bool index_id_valid(struct str id);
/* "2026-11-23" at the beginning of s in days since 1970. */
bool index_day(struct str s, int64_t *day);
/* Text as the search engine is given it: ideographs stand alone. */
int index_fold(struct buf *out, struct str s);
/* Bytes of a CJK character at p, 0 if there is none. */
size_t index_cjk(struct str s);

/* ---- index_file.c ---- */

/* Whether the path may be read: MEMORY.md and its like, or memory/...md; no dots, no empty parts. */
bool index_path_is_memory(struct str path);
/* Whether a section may stand there: memory/...md or a file at the top. */
bool index_path_is_writable(struct str path);
bool index_root_open(struct index *ix);
/*
 * Opens the folder that holds the path, part by part, following no link; *name: the path's last part. make:
 * missing folders are made. -errno.
 */
int index_parent_open(struct index *ix, struct str path, bool make, const char **name, int *fd);
void index_sig_of(struct index_sig *out, const struct stat *st);
bool index_sig_eq(const struct index_sig *a, const struct index_sig *b);
/* Reads a file whole. rc 0 with *why INDEX_OK, or *why says why not; ERR_NOT_FOUND, ERR_NOMEM. */
int index_file_read(struct index *ix, struct str path, size_t max, struct buf *out,
                    struct index_sig *sig, enum index_skip *why);
/* The signature alone, without opening. */
int index_file_stat(struct index *ix, struct str path, struct index_sig *sig, enum index_skip *why);
int index_run_get(struct index *ix, struct index_op *op);
/* Reads n bytes at most from fd at offset 0 on. */
int index_fd_read(int fd, size_t max, struct buf *out);

/* ---- index_scan.c ---- */

void index_scan_free(struct index *ix);
void index_scan_events(struct index *ix); /* inotify_fd is readable */
bool index_scan_slice(struct index *ix);  /* works for INDEX_SLICE_MS; true: there is more to do now */
int index_scan_timeout(struct index *ix); /* ms until something is due, -1 never */
struct index_file *index_file_find(struct index *ix, struct str path);
struct index_file *index_file_add(struct index *ix, struct str path);
void index_file_touch(struct index *ix, struct index_file *f, uint64_t due_ms);
/* Looks at one file at once, for those who changed it. */
void index_file_look(struct index *ix, struct str path);
/* What the database held is gone or was undone: all files (since tx; 0 all) are read again. */
void index_files_unstore(struct index *ix, uint64_t tx, uint64_t due_ms);
void index_stats_set(struct index *ix);

/* ---- index_mirror.c ---- */

bool index_mirror_wants(struct str path, enum context_kind *kind, int64_t *day);
bool index_mirror_has(struct index *ix, struct str path);
void index_mirror_put(struct index *ix, struct str path, struct str text);
void index_mirror_drop(struct index *ix, struct str path);
void index_mirror_free(struct index *ix);
/* Loop thread: references to what is wanted, and their pieces, into op. */
int index_mirror_take(struct index *ix, struct index_op *op, unsigned days, uint64_t now_ms);
void index_mirror_give(struct index *ix, struct index_op *op);

/* ---- index_db.c ---- */

void index_db_open(struct index *ix); /* leaves db NULL on failure, to be tried again */
void index_db_close(struct index *ix);
struct sqlite3_stmt *index_stmt(struct index *ix, unsigned which);
/* Maps; a damaged database is thrown away, after other failures the running transaction is undone. */
int index_db_fail(struct index *ix, int sqlite_rc);
int index_db_put_file(struct index *ix, struct index_file *f, struct str text);
int index_db_drop_file(struct index *ix, struct index_file *f);
int index_db_load_files(struct index *ix);
int index_db_begin(struct index *ix);
int index_db_commit(struct index *ix);
int index_run_put_call(struct index *ix, struct index_op *op);
int index_run_own_call(struct index *ix, struct index_op *op);
/* One step of forgetting, or of dropping what is old; 1: there is more to do. */
int index_step_forget(struct index *ix, struct index_op *op);
/* Drops the blocks that `of` selects (id, head, text, person), counted in *count (NULL allowed); an SQLite code. */
int index_db_drop(struct index *ix, struct sqlite3_stmt *of, bool talk, unsigned *count);
uint64_t index_hash(struct str s);
/* A statement without rows: SQLITE_OK, or why not. */
int index_db_step(struct index *ix, struct sqlite3_stmt *st);

enum { /* index_stmt() */
    Q_BEGIN, Q_COMMIT, Q_ROLLBACK, Q_FILES, Q_FILE_PUT, Q_FILE_DROP, Q_DOC_OF, Q_DOC_DROP, Q_DOC_PUT,
    Q_DOC_FTS_PUT, Q_DOC_FTS_DROP, Q_TALK_OF_FILE, Q_TALK_OF_CALL, Q_TALK_OF_PERSON, Q_TALK_OLD,
    Q_TALK_DROP, Q_TALK_PUT, Q_TALK_FTS_PUT, Q_TALK_FTS_DROP, Q_TALK_OWN, Q_CALL_GET, Q_CALL_PUT,
    Q_CALLS_DROP, Q_CALLS_SOME, Q_CALLS_OLD_DROP, Q_DOC_ROWS, Q_TALK_ROWS, Q_DOC_GET, Q_TALK_GET,
    Q_DOC_MERGE, Q_TALK_MERGE, Q_DOC_TOP, Q_N
};
_Static_assert(Q_N <= INDEX_STMTS, "each has its place");

/* ---- index_keep.c ---- */

struct index_kept { /* blocks of a file in the order of their rows, as far as they are what the file has now */
    unsigned doc, talk;
    int64_t doc_id, talk_id; /* rows of the last of them; 0 none */
};
/* Compares the rows of a file with its text, whatever wrote it and where. Within a transaction. */
void index_db_keep(struct index *ix, int64_t file, struct str path, uint64_t at, struct str text,
                   struct index_kept *out);
/* What a block is found by beside its text: "path: headings", cut to cap. */
struct str index_block_head(struct str path, const struct index_block *b, char *out, size_t cap);

/* ---- index_purge.c ---- */

/* One step of writing the search tables anew without what was deleted; 1: more. *step counts. */
int index_db_purge(struct index *ix, unsigned *step);

/* ---- index_search.c ---- */

int index_run_search(struct index *ix, struct index_op *op);
/* Whose call it is, into out[INDEX_ID_BYTES + 1]; "" unknown. */
void index_call_person(struct index *ix, struct str call, char *out);
bool index_call_shown(struct index *ix, const struct index_scope *scope, struct str call);

/* ---- index_section.c ---- */

int index_run_append(struct index *ix, struct index_op *op);
int index_step_erase(struct index *ix, struct index_op *op); /* 1: more */
/* The section's text. Pure. */
int index_section_write(struct buf *out, const struct index_section *s, bool continued);

#endif
