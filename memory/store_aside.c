/* SPDX-License-Identifier: MIT */
#include "memory/store_int.h"
#include "plugin/base/thread.h"

#include <sqlite3.h>

#define LOOK_OPS 5000 /* of SQLite's machine, between two looks at whether the store closes */

static int must_stop(void *arg)
{
    struct store *s = arg;
    bool closing;

    pthread_mutex_lock(&s->lock);
    closing = s->closing;
    pthread_mutex_unlock(&s->lock);
    return closing;
}

static int connect_aside(struct store *s, sqlite3 **db)
{
    int rc = sqlite3_open_v2(s->path, db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
                                              SQLITE_OPEN_PRIVATECACHE, NULL);

    if (rc != SQLITE_OK)
        return rc;
    (void)sqlite3_db_config(*db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    (void)sqlite3_db_config(*db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_busy_timeout(*db, (int)s->busy_ms);
    sqlite3_progress_handler(*db, LOOK_OPS, must_stop, s);
    return sqlite3_exec(*db, "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-2048; PRAGMA"
                             " wal_autocheckpoint=0", NULL, NULL, NULL);
}

static void *run_aside(void *arg)
{
    struct store *s = arg;
    struct store_op *op = s->aside_op;
    sqlite3 *db = NULL;
    bool wake;
    int rc = connect_aside(s, &db);

    op->rc = rc == SQLITE_OK ? op->run(op, s, db) : ERR_SQLITE - (rc & 0xff);
    (void)sqlite3_close_v2(db);
    pthread_mutex_lock(&s->lock);
    s->aside_runs = false;
    wake = s->finished.head == NULL;
    fifo_add(&s->finished, &op->item);
    pthread_mutex_unlock(&s->lock);
    if (wake && s->wake != NULL)
        s->wake(s->ctx);
    return NULL;
}

int store_aside(struct store *s, struct store_op *op)
{
    bool closing, runs;
    int rc;

    pthread_mutex_lock(&s->lock);
    closing = s->closing;
    runs = s->aside_runs;
    pthread_mutex_unlock(&s->lock);
    if (closing || runs)
        return closing ? ERR_CLOSED : ERR_BAD_STATE;
    store_aside_join(s);
    s->aside_op = op;
    s->aside_runs = true;
    rc = thread_start(&s->aside, "oc-store-aside", run_aside, s, NULL);
    s->aside_begun = rc == 0;
    if (rc < 0)
        s->aside_runs = false;
    return rc;
}

void store_aside_join(struct store *s)
{
    if (s->aside_begun)
        (void)pthread_join(s->aside, NULL);
    s->aside_begun = false;
}
