/* SPDX-License-Identifier: MIT */
#include "plugin/recordings_int.h"

#include "plugin/base/clock.h"
#include "plugin/base/fifo.h"
#include "plugin/base/mem.h"
#include "plugin/base/thread.h"
#include "plugin/net/loop.h"

#include <pthread.h>
#include <stddef.h>
#include <string.h>

#define CLOSE_MS 3000u
#define NAMES_BYTES (1u << 20)

/* One thing to do on the thread; embedded in what it is about. */
struct job {
    struct fifo_item item; /* first */
    struct recordings *r;
    void (*work)(struct recordings *r, struct job *j); /* thread; sets rc */
    void (*done)(struct job *j);                       /* loop; frees */
    int rc;
};

struct recordings {
    struct loop_msg msg; /* first: finished jobs wait */
    struct loop *loop;
    const struct log *log;
    struct disk disk;       /* thread */
    uint64_t max_bytes;
    struct recording_file *files;     /* all but those that are over */
    struct recording_source *sources;
    unsigned n_files, n_sources;      /* those that are over and still have jobs included */
    size_t queued_bytes;
    bool closed;            /* the thread is joined */

    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    struct fifo asked, finished; /* under lock */
    bool closing, posted;        /* under lock */
    uint64_t close_by_ms;        /* under lock */
};

struct recording_file {
    struct recording_file *next;
    struct recordings *owner; /* NULL: closed before it */
    struct disk_file disk;    /* thread */
    struct job first, last;
    unsigned jobs; /* not done yet */
    bool over;     /* its holder has let go */
    int rc;        /* first failure that was told */
    uint64_t bytes;
    size_t pending;
    recording_made_fn *fn;
    void *arg;
};

struct piece {
    struct job job; /* first */
    struct recording_file *file;
    size_t n;
    char bytes[];
};

struct recording_source {
    struct recording_source *next;
    struct recordings *owner; /* NULL: closed before it */
    struct disk_source disk;  /* thread */
    struct job opening, reading, closing;
    unsigned jobs;
    bool over, busy, sealed;
    char name[RECORDING_NAME_BYTES];
    recording_opened_fn *opened;
    void *opened_arg;
    recording_bytes_fn *fn;
    void *arg;
    uint64_t from;
    size_t n;
    char *bytes;
};

struct removal {
    struct job job; /* first */
    char name[RECORDING_NAME_BYTES];
    uint64_t before_ms;
    struct buf names;
    recording_gone_fn *gone;
    recording_expired_fn *expired;
    void *arg;
};

#define OF(type, member, j) ((struct type *)(void *)((char *)(j) - offsetof(struct type, member)))

/* ---- the thread ---- */

static void tell(struct recordings *r)
{
    if (loop_post(r->loop, &r->msg) == 0)
        return;
    /* The loop stops: recordings_close() runs what is left. */
    pthread_mutex_lock(&r->lock);
    r->posted = false;
    pthread_mutex_unlock(&r->lock);
}

static void *run(void *arg)
{
    struct recordings *r = arg;
    struct job *j;
    bool late, wake;

    disk_sweep(&r->disk);
    pthread_mutex_lock(&r->lock);
    for (;;) {
        while (r->asked.head == NULL && !r->closing)
            (void)pthread_cond_wait(&r->cond, &r->lock);
        j = fifo_take(&r->asked);
        if (j == NULL)
            break;
        late = r->closing && clock_mono_ms() >= r->close_by_ms;
        pthread_mutex_unlock(&r->lock);
        if (late)
            j->rc = ERR_CANCELED;
        else
            j->work(r, j);
        pthread_mutex_lock(&r->lock);
        fifo_add(&r->finished, &j->item);
        wake = !r->posted;
        r->posted = true;
        pthread_mutex_unlock(&r->lock);
        if (wake)
            tell(r);
        pthread_mutex_lock(&r->lock);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

static void ask(struct recordings *r, struct job *j, void (*work)(struct recordings *r, struct job *j),
                void (*done)(struct job *j))
{
    j->r = r;
    j->work = work;
    j->done = done;
    pthread_mutex_lock(&r->lock);
    fifo_add(&r->asked, &j->item);
    (void)pthread_cond_signal(&r->cond);
    pthread_mutex_unlock(&r->lock);
}

static void finish_all(struct recordings *r)
{
    struct fifo list = {NULL, NULL};
    struct job *j;

    pthread_mutex_lock(&r->lock);
    fifo_join(&list, &r->finished);
    r->posted = false;
    pthread_mutex_unlock(&r->lock);
    while ((j = fifo_take(&list)) != NULL)
        j->done(j);
}

static void destroy(struct recordings *r)
{
    disk_close(&r->disk);
    (void)pthread_cond_destroy(&r->cond);
    (void)pthread_mutex_destroy(&r->lock);
    mem_free(r);
}

static void on_wake(struct loop_msg *m)
{
    struct recordings *r = (struct recordings *)(void *)m;

    if (r->closed)
        destroy(r);
    else
        finish_all(r);
}

/* ---- writing ---- */

static void file_unlink(struct recording_file *f)
{
    struct recording_file **at = &f->owner->files;

    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
}

static void file_free_if_over(struct recording_file *f)
{
    if (!f->over || f->jobs > 0)
        return;
    if (f->owner != NULL)
        f->owner->n_files--;
    mem_free(f);
}

static void begin_work(struct recordings *r, struct job *j)
{
    j->rc = disk_file_begin(&r->disk, &OF(recording_file, first, j)->disk);
}

static void note(struct recording_file *f, int rc)
{
    if (rc < 0 && f->rc == 0)
        f->rc = rc;
}

static void begin_done(struct job *j)
{
    struct recording_file *f = OF(recording_file, first, j);

    note(f, j->rc);
    f->jobs--;
    file_free_if_over(f);
}

int recording_file_open(struct recording_file **out, struct recordings *r, struct str name)
{
    struct recording_file *f;

    if (!disk_name_good(name))
        return ERR_INVALID;
    if (r->closed)
        return ERR_CLOSED;
    if (r->n_files >= RECORDING_FILES_MAX)
        return ERR_FULL;
    f = MEM_NEW(struct recording_file);
    if (f == NULL)
        return ERR_NOMEM;
    (void)str_copy(f->disk.name, sizeof f->disk.name, name);
    f->disk.fd = -1;
    f->owner = r;
    f->next = r->files;
    r->files = f;
    r->n_files++;
    f->jobs++;
    ask(r, &f->first, begin_work, begin_done);
    *out = f;
    return 0;
}

static void piece_work(struct recordings *r, struct job *j)
{
    struct piece *p = (struct piece *)(void *)j;

    j->rc = disk_file_write(&r->disk, &p->file->disk, str_make(p->bytes, p->n));
}

static void piece_done(struct job *j)
{
    struct piece *p = (struct piece *)(void *)j;
    struct recording_file *f = p->file;

    j->r->queued_bytes -= p->n;
    f->pending -= p->n;
    note(f, j->rc);
    f->jobs--;
    file_free_if_over(f);
    mem_free(p);
}

int recording_file_write(struct recording_file *f, struct str bytes)
{
    struct recordings *r = f->owner;
    struct piece *p;

    if (r == NULL)
        return ERR_CLOSED;
    if (f->rc < 0 || bytes.n == 0)
        return f->rc;
    if (r->max_bytes > 0 && bytes.n > r->max_bytes - f->bytes)
        return f->rc = ERR_TOO_BIG;
    if (bytes.n > RECORDING_QUEUE_BYTES - f->pending || bytes.n > RECORDINGS_QUEUE_BYTES - r->queued_bytes)
        return f->rc = ERR_FULL;
    p = mem_alloc(sizeof *p + bytes.n);
    if (p == NULL)
        return f->rc = ERR_NOMEM;
    *p = (struct piece){.file = f, .n = bytes.n};
    memcpy(p->bytes, bytes.p, bytes.n);
    f->bytes += bytes.n;
    f->pending += bytes.n;
    f->jobs++;
    r->queued_bytes += bytes.n;
    ask(r, &p->job, piece_work, piece_done);
    return 0;
}

size_t recording_file_pending(const struct recording_file *f)
{
    return f->pending;
}

static void finish_work(struct recordings *r, struct job *j)
{
    j->rc = disk_file_finish(&r->disk, &OF(recording_file, last, j)->disk);
}

static void abandon_work(struct recordings *r, struct job *j)
{
    disk_file_abandon(&r->disk, &OF(recording_file, last, j)->disk);
    j->rc = 0;
}

static void last_done(struct job *j)
{
    struct recording_file *f = OF(recording_file, last, j);
    struct recording_made made = {str_of(f->disk.name), f->disk.bytes, f->disk.sha256, j->r->disk.keyed};
    int rc = f->rc < 0 ? f->rc : j->rc;

    if (j->rc == ERR_CANCELED) /* the thread is over and did not come to it */
        disk_file_abandon(&j->r->disk, &f->disk);
    if (f->fn != NULL)
        f->fn(f->arg, rc, rc == 0 ? &made : NULL);
    f->jobs--;
    file_free_if_over(f);
}

static void file_end(struct recording_file *f, void (*work)(struct recordings *r, struct job *j))
{
    f->over = true;
    if (f->owner == NULL) {
        if (f->fn != NULL)
            f->fn(f->arg, ERR_CLOSED, NULL);
        file_free_if_over(f);
        return;
    }
    file_unlink(f);
    f->jobs++;
    ask(f->owner, &f->last, work, last_done);
}

void recording_file_finish(struct recording_file *f, recording_made_fn *fn, void *arg)
{
    f->fn = fn;
    f->arg = arg;
    /* What write() refused is missing in it. */
    file_end(f, f->rc < 0 ? abandon_work : finish_work);
}

void recording_file_abandon(struct recording_file *f)
{
    if (f != NULL)
        file_end(f, abandon_work);
}

/* ---- reading ---- */

static void source_free_if_over(struct recording_source *s)
{
    if (!s->over || s->jobs > 0)
        return;
    if (s->owner != NULL)
        s->owner->n_sources--;
    mem_free(s->bytes);
    mem_free(s);
}

static void open_work(struct recordings *r, struct job *j)
{
    struct recording_source *s = OF(recording_source, opening, j);

    j->rc = disk_source_open(&r->disk, &s->disk, s->name, s->sealed);
}

static void open_done(struct job *j)
{
    struct recording_source *s = OF(recording_source, opening, j);

    if (!s->over)
        s->opened(s->opened_arg, j->rc, j->rc == 0 ? s->disk.bytes : 0);
    s->jobs--;
    source_free_if_over(s);
}

int recording_source_open(struct recording_source **out, struct recordings *r, struct str name, bool sealed,
                          recording_opened_fn *fn, void *arg)
{
    struct recording_source *s;

    if (!disk_name_good(name))
        return ERR_INVALID;
    if (r->closed)
        return ERR_CLOSED;
    if (r->n_sources >= RECORDING_SOURCES_MAX)
        return ERR_FULL;
    s = MEM_NEW(struct recording_source);
    if (s == NULL)
        return ERR_NOMEM;
    (void)str_copy(s->name, sizeof s->name, name);
    s->disk.fd = -1;
    s->sealed = sealed;
    s->opened = fn;
    s->opened_arg = arg;
    s->owner = r;
    s->next = r->sources;
    r->sources = s;
    r->n_sources++;
    s->jobs++;
    ask(r, &s->opening, open_work, open_done);
    *out = s;
    return 0;
}

static void read_work(struct recordings *r, struct job *j)
{
    struct recording_source *s = OF(recording_source, reading, j);

    (void)r;
    j->rc = disk_source_read(&s->disk, s->from, s->bytes, s->n);
}

static void read_done(struct job *j)
{
    struct recording_source *s = OF(recording_source, reading, j);
    char *bytes = s->bytes;

    s->busy = false;
    s->bytes = NULL; /* fn may ask for more */
    if (!s->over)
        s->fn(s->arg, j->rc, j->rc == 0 ? str_make(bytes, s->n) : STR_NONE);
    mem_free(bytes);
    s->jobs--;
    source_free_if_over(s);
}

int recording_source_read(struct recording_source *s, uint64_t from, size_t n, recording_bytes_fn *fn, void *arg)
{
    if (s->owner == NULL)
        return ERR_CLOSED;
    if (s->busy || n == 0 || n > RECORDING_READ_BYTES)
        return ERR_BAD_STATE;
    s->bytes = mem_alloc(n);
    if (s->bytes == NULL)
        return ERR_NOMEM;
    s->from = from;
    s->n = n;
    s->fn = fn;
    s->arg = arg;
    s->busy = true;
    s->jobs++;
    ask(s->owner, &s->reading, read_work, read_done);
    return 0;
}

static void close_work(struct recordings *r, struct job *j)
{
    (void)r;
    disk_source_close(&OF(recording_source, closing, j)->disk);
    j->rc = 0;
}

static void close_done(struct job *j)
{
    struct recording_source *s = OF(recording_source, closing, j);

    disk_source_close(&s->disk); /* where the thread did not come to it */
    s->jobs--;
    source_free_if_over(s);
}

void recording_source_close(struct recording_source *s)
{
    struct recording_source **at;

    if (s == NULL)
        return;
    s->over = true;
    if (s->owner == NULL) {
        source_free_if_over(s);
        return;
    }
    for (at = &s->owner->sources; *at != s; at = &(*at)->next)
        ;
    *at = s->next;
    s->jobs++;
    ask(s->owner, &s->closing, close_work, close_done);
}

/* ---- removing ---- */

static void removal_work(struct recordings *r, struct job *j)
{
    struct removal *m = (struct removal *)(void *)j;

    j->rc = m->name[0] != '\0' ? disk_delete(&r->disk, m->name) : disk_expire(&r->disk, m->before_ms, &m->names);
}

static void removal_done(struct job *j)
{
    struct removal *m = (struct removal *)(void *)j;

    if (m->gone != NULL)
        m->gone(m->arg, j->rc);
    if (m->expired != NULL)
        m->expired(m->arg, j->rc, buf_str(&m->names));
    buf_free(&m->names);
    mem_free(m);
}

static int remove_later(struct recordings *r, const struct removal *what)
{
    struct removal *m = r->closed ? NULL : MEM_NEW(struct removal);

    if (m == NULL)
        return r->closed ? ERR_CLOSED : ERR_NOMEM;
    *m = *what;
    buf_init(&m->names, NAMES_BYTES);
    ask(r, &m->job, removal_work, removal_done);
    return 0;
}

int recording_delete(struct recordings *r, struct str name, recording_gone_fn *fn, void *arg)
{
    struct removal m = {.gone = fn, .arg = arg};

    if (!disk_name_good(name) || !str_copy(m.name, sizeof m.name, name))
        return ERR_INVALID;
    return remove_later(r, &m);
}

int recordings_expire(struct recordings *r, uint64_t before_wall_ms, recording_expired_fn *fn, void *arg)
{
    return remove_later(r, &(struct removal){.before_ms = before_wall_ms, .expired = fn, .arg = arg});
}

/* ---- open and close ---- */

int recordings_open(struct recordings **out, const struct recordings_config *config, struct err *e)
{
    struct recordings *r = MEM_NEW(struct recordings);
    int rc;

    if (r == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    r->msg.run = on_wake;
    r->loop = config->loop;
    r->log = r->disk.log = config->log;
    r->max_bytes = config->max_bytes;
    r->disk.dir = -1;
    r->disk.keyed = config->key[0] != '\0';
    if (pthread_mutex_init(&r->lock, NULL) != 0) {
        mem_free(r);
        return err_set(e, ERR_NOMEM, "cannot make a lock");
    }
    if (pthread_cond_init(&r->cond, NULL) != 0) {
        (void)pthread_mutex_destroy(&r->lock);
        mem_free(r);
        return err_set(e, ERR_NOMEM, "cannot make a condition variable");
    }
    rc = r->disk.keyed ? seal_key_read(&r->disk.key, str_of(config->key), e) : 0;
    if (rc == 0)
        rc = disk_open(&r->disk, config->state_dir, e);
    if (rc == 0)
        rc = thread_start(&r->thread, "oc-record", run, r, e);
    if (rc < 0)
        destroy(r);
    else
        *out = r;
    return rc;
}

/* The thread is joined: what holders still have stays theirs, without files behind it. */
static void let_go(struct recordings *r)
{
    while (r->files != NULL) {
        struct recording_file *f = r->files;

        r->files = f->next;
        disk_file_abandon(&r->disk, &f->disk);
        f->owner = NULL;
    }
    while (r->sources != NULL) {
        struct recording_source *s = r->sources;

        r->sources = s->next;
        disk_source_close(&s->disk);
        s->owner = NULL;
    }
}

void recordings_close(struct recordings *r)
{
    bool posted;

    if (r == NULL)
        return;
    pthread_mutex_lock(&r->lock);
    r->closing = true;
    r->close_by_ms = clock_mono_ms() + CLOSE_MS;
    (void)pthread_cond_signal(&r->cond);
    pthread_mutex_unlock(&r->lock);
    (void)pthread_join(r->thread, NULL);
    r->closed = true;
    let_go(r);
    posted = r->posted; /* its message will still be run, and frees */
    finish_all(r);
    if (!posted)
        destroy(r);
}
