/* SPDX-License-Identifier: MIT */
#include "memory/index_int.h"
#include "plugin/base/clock.h"
#include "plugin/base/mem.h"
#include "plugin/base/thread.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#define ASK_MS 5000u       /* a question that was not begun by then helps nobody any longer */
#define JSON_BYTES ((size_t)1 << 20)
#define QUERY_BYTES 512u
#define CALL_BYTES ((size_t)4 << 20)

/* ---- Operations. ---- */

static void op_free(struct index_op *op)
{
    if (op == NULL)
        return;
    buf_free(&op->out);
    buf_free(&op->left);
    mem_free(op->data);
    mem_free(op);
}

/* Texts are copied into one block, each with a NUL behind it. */
static struct index_op *op_make(enum index_what what, struct str **texts, unsigned n, void *arg)
{
    struct index_op *op = MEM_NEW(struct index_op);
    size_t total = 1, at = 0;

    if (op == NULL)
        return NULL;
    for (unsigned i = 0; i < n; i++)
        total += texts[i]->n + 1;
    op->data = mem_alloc(total);
    if (op->data == NULL) {
        mem_free(op);
        return NULL;
    }
    for (unsigned i = 0; i < n; i++) {
        if (texts[i]->n > 0)
            memcpy(op->data + at, texts[i]->p, texts[i]->n);
        op->data[at + texts[i]->n] = '\0';
        *texts[i] = str_make(op->data + at, texts[i]->n);
        at += texts[i]->n + 1;
    }
    op->what = what;
    op->arg = arg;
    op->bytes = sizeof *op + total;
    buf_init(&op->out, JSON_BYTES);
    buf_init(&op->left, JSON_BYTES);
    return op;
}

static void op_answer(struct index *ix, struct index_op *op)
{
    struct str json = op->rc == 0 ? buf_str(&op->out) : STR_NONE;

    if (op->on_pieces != NULL)
        op->on_pieces(op->arg, op->rc, op->pieces, op->rc == 0 ? op->n_pieces : 0);
    else if (op->on_json != NULL)
        op->on_json(op->arg, op->rc, json);
    else if (op->on_done != NULL)
        op->on_done(op->arg, op->rc);
    if (op->notes != NULL)
        index_mirror_give(ix, op);
    op_free(op);
}

/* ---- The thread. ---- */

static void finish(struct index *ix, struct index_op *op, int rc)
{
    bool wake;

    op->rc = rc;
    pthread_mutex_lock(&ix->lock);
    wake = ix->finished.head == NULL;
    fifo_add(&ix->finished, &op->item);
    pthread_mutex_unlock(&ix->lock);
    if (wake && ix->wake != NULL)
        ix->wake(ix->ctx);
}

static void run(struct index *ix, struct index_op *op)
{
    int rc;

    if (op->deadline_ms != 0 && clock_mono_ms() >= op->deadline_ms) {
        finish(ix, op, ERR_TIMEOUT);
        return;
    }
    switch (op->what) {
    case INDEX_SEARCH:
        rc = index_run_search(ix, op);
        break;
    case INDEX_GET:
        rc = index_run_get(ix, op);
        break;
    case INDEX_PUT_CALL:
        rc = index_run_put_call(ix, op);
        if (rc < 0)
            log_warn(ix->log, "the call %.*s cannot be searched (%s)", STR_ARG(op->a), err_name(rc));
        break;
    case INDEX_OWN_CALL:
        rc = index_run_own_call(ix, op);
        break;
    case INDEX_APPEND:
        rc = index_run_append(ix, op);
        break;
    default:
        fifo_add(&ix->jobs, &op->item);
        return;
    }
    finish(ix, op, rc);
}

/* What takes long goes on in steps, between which others are answered. */
static bool run_job(struct index *ix)
{
    int rc;

    if (ix->job == NULL)
        ix->job = fifo_take(&ix->jobs);
    if (ix->job == NULL)
        return false;
    rc = ix->job->what == INDEX_ERASE ? index_step_erase(ix, ix->job) : index_step_forget(ix, ix->job);
    if (rc <= 0) {
        finish(ix, ix->job, rc);
        ix->job = NULL;
    }
    return true;
}

static void wait_for(struct index *ix, int timeout_ms)
{
    struct pollfd fds[2] = {{.fd = ix->event_fd, .events = POLLIN}, {.fd = ix->inotify_fd, .events = POLLIN}};
    uint64_t count;

    if (poll(fds, 2, timeout_ms) <= 0)
        return;
    if (fds[0].revents != 0)
        (void)!read(ix->event_fd, &count, sizeof count);
    if (fds[1].revents != 0)
        index_scan_events(ix);
}

static void *run_thread(void *arg)
{
    struct index *ix = arg;
    struct index_op *op;
    bool more;

    index_db_open(ix);
    ix->rescan = true;
    for (;;) {
        pthread_mutex_lock(&ix->lock);
        op = ix->closing ? NULL : fifo_take(&ix->queue);
        more = ix->closing;
        pthread_mutex_unlock(&ix->lock);
        if (more)
            break;
        more = op != NULL;
        if (op != NULL)
            run(ix, op);
        more = run_job(ix) || more;
        more = index_scan_slice(ix) || more;
        wait_for(ix, more ? 0 : index_scan_timeout(ix));
    }
    index_scan_free(ix);
    index_db_close(ix);
    return NULL;
}

/* ---- Open and close. ---- */

static void destroy(struct index *ix)
{
    index_mirror_free(ix);
    if (ix->event_fd >= 0)
        (void)close(ix->event_fd);
    if (ix->inotify_fd >= 0)
        (void)close(ix->inotify_fd);
    (void)pthread_mutex_destroy(&ix->lock);
    mem_free(ix);
}

int index_open(struct index **out, const struct index_config *config, struct err *e)
{
    struct index *ix = MEM_NEW(struct index);
    int rc = 0;

    if (ix == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    if (pthread_mutex_init(&ix->lock, NULL) != 0) {
        mem_free(ix);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    ix->log = config->log;
    ix->wake = config->wake;
    ix->ctx = config->ctx;
    ix->root_fd = ix->lock_fd = -1;
    ix->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    ix->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (!str_copy(ix->workspace, sizeof ix->workspace, str_of(config->workspace)) ||
        !str_copy(ix->state_dir, sizeof ix->state_dir, str_of(config->state_dir)))
        rc = err_set(e, ERR_IO, "the path of the workspace or of the state directory is too long");
    else if (ix->event_fd < 0)
        rc = err_set(e, ERR_IO, "cannot make an event descriptor; too many files are open");
    else
        rc = thread_start(&ix->thread, "oc-index", run_thread, ix, e);
    if (rc < 0)
        destroy(ix);
    else
        *out = ix;
    return rc;
}

static void poke(struct index *ix)
{
    uint64_t one = 1;

    (void)!write(ix->event_fd, &one, sizeof one);
}

static void close_all(struct index *ix, struct fifo *l)
{
    struct index_op *op;

    while ((op = fifo_take(l)) != NULL) {
        op->rc = ERR_CLOSED;
        op_answer(ix, op);
    }
}

void index_close(struct index *ix)
{
    if (ix == NULL)
        return;
    pthread_mutex_lock(&ix->lock);
    ix->closing = true;
    pthread_mutex_unlock(&ix->lock);
    poke(ix);
    (void)pthread_join(ix->thread, NULL);
    index_poll(ix);
    if (ix->job != NULL)
        fifo_add(&ix->queue, &ix->job->item);
    close_all(ix, &ix->jobs);
    close_all(ix, &ix->queue);
    destroy(ix);
}

/* ---- The loop's side. ---- */

void index_poll(struct index *ix)
{
    struct fifo done = {NULL, NULL};
    struct index_op *op;

    pthread_mutex_lock(&ix->lock);
    fifo_join(&done, &ix->finished);
    for (const struct fifo_item *at = done.head; at != NULL; at = at->next) {
        ix->waiting--;
        ix->waiting_bytes -= ((const struct index_op *)(const void *)at)->bytes;
    }
    pthread_mutex_unlock(&ix->lock);
    while ((op = fifo_take(&done)) != NULL)
        op_answer(ix, op);
}

void index_stats_read(struct index *ix, struct index_stats *out)
{
    pthread_mutex_lock(&ix->lock);
    *out = ix->stats;
    pthread_mutex_unlock(&ix->lock);
}

/* to: the queue, or the finished ones. Frees the operation when it is not taken. */
static int push(struct index *ix, struct index_op *op, struct fifo *to)
{
    bool wake = false;
    int rc = 0;

    pthread_mutex_lock(&ix->lock);
    if (ix->closing) {
        rc = ERR_CLOSED;
    } else if (ix->waiting >= INDEX_QUEUE_OPS || op->bytes > INDEX_QUEUE_BYTES - ix->waiting_bytes) {
        rc = ERR_FULL;
    } else {
        wake = to->head == NULL;
        fifo_add(to, &op->item);
        ix->waiting++;
        ix->waiting_bytes += op->bytes;
    }
    pthread_mutex_unlock(&ix->lock);
    if (rc < 0) {
        if (op->notes != NULL)
            index_mirror_give(ix, op);
        op_free(op);
    } else if (wake && to == &ix->queue) {
        poke(ix);
    } else if (wake && ix->wake != NULL) {
        ix->wake(ix->ctx);
    }
    return rc;
}

int index_pieces(struct index *ix, unsigned days, uint64_t now_wall_ms, index_pieces_fn *fn, void *arg)
{
    struct index_op *op = op_make(INDEX_PIECES, NULL, 0, arg);
    int rc;

    if (op == NULL)
        return ERR_NOMEM;
    op->on_pieces = fn;
    rc = index_mirror_take(ix, op, days, now_wall_ms);
    if (rc < 0) {
        op_free(op);
        return rc;
    }
    return push(ix, op, &ix->finished);
}

static int ask(struct index *ix, enum index_what what, const struct index_scope *scope, struct str text,
               unsigned from, unsigned lines, index_json_fn *fn, void *arg)
{
    struct index_scope s = *scope;
    struct str *texts[] = {&text, &s.person, &s.number};
    struct index_op *op;

    if (text.n > CALL_BYTES || (s.person.n > 0 && !index_id_valid(s.person)))
        return ERR_INVALID;
    op = op_make(what, texts, 3, arg);
    if (op == NULL)
        return ERR_NOMEM;
    op->scope = s;
    op->a = text;
    op->from = from;
    op->lines = lines;
    op->on_json = fn;
    op->deadline_ms = clock_mono_ms() + ASK_MS;
    return push(ix, op, &ix->queue);
}

int index_search(struct index *ix, const struct index_scope *scope, struct str query, unsigned limit,
                 index_json_fn *fn, void *arg)
{
    query = str_head(query, str_utf8_floor(query, QUERY_BYTES));
    return ask(ix, INDEX_SEARCH, scope, query, 0, limit < 1 ? 1 : limit > 20 ? 20 : limit, fn, arg);
}

int index_get(struct index *ix, const struct index_scope *scope, struct str path, unsigned from,
              unsigned lines, index_json_fn *fn, void *arg)
{
    return ask(ix, INDEX_GET, scope, path, from, lines, fn, arg);
}

int index_put_call(struct index *ix, struct str call, struct str person, uint64_t at, struct str text)
{
    struct str *texts[] = {&call, &person, &text};
    struct index_op *op;

    if (!index_id_valid(call) || (person.n > 0 && !index_id_valid(person)) || text.n > CALL_BYTES)
        return ERR_INVALID;
    op = op_make(INDEX_PUT_CALL, texts, 3, NULL);
    if (op == NULL)
        return ERR_NOMEM;
    op->a = call;
    op->b = person;
    op->c = text;
    op->at = at;
    return push(ix, op, &ix->queue);
}

int index_own_call(struct index *ix, struct str call, struct str person, void (*fn)(void *arg, int rc), void *arg)
{
    struct str *texts[] = {&call, &person};
    struct index_op *op;

    if (!index_id_valid(call) || (person.n > 0 && !index_id_valid(person)))
        return ERR_INVALID;
    op = op_make(INDEX_OWN_CALL, texts, 2, arg);
    if (op == NULL)
        return ERR_NOMEM;
    op->a = call;
    op->b = person;
    op->on_done = fn;
    return push(ix, op, &ix->queue);
}

int index_forget(struct index *ix, struct str person, void (*fn)(void *arg, int rc), void *arg)
{
    struct str *texts[] = {&person};
    struct index_op *op;

    if (!index_id_valid(person))
        return ERR_INVALID;
    op = op_make(INDEX_FORGET, texts, 1, arg);
    if (op == NULL)
        return ERR_NOMEM;
    op->a = person;
    op->on_done = fn;
    return push(ix, op, &ix->queue);
}

int index_expire(struct index *ix, uint64_t text_before, uint64_t calls_before, void (*fn)(void *arg, int rc),
                 void *arg)
{
    struct index_op *op = op_make(INDEX_EXPIRE, NULL, 0, arg);

    if (op == NULL)
        return ERR_NOMEM;
    op->at = text_before;
    op->calls_before = calls_before;
    op->on_done = fn;
    return push(ix, op, &ix->queue);
}

int index_append(struct index *ix, const struct index_section *section, void (*fn)(void *arg, int rc),
                 void *arg)
{
    struct index_section s = *section;
    struct str *texts[] = {&s.path, &s.call, &s.heading, &s.body};
    struct index_op *op;

    if (!index_id_valid(s.call) || s.body.n > INDEX_SECTION_BYTES)
        return s.body.n > INDEX_SECTION_BYTES ? ERR_TOO_BIG : ERR_INVALID;
    op = op_make(INDEX_APPEND, texts, 4, arg);
    if (op == NULL)
        return ERR_NOMEM;
    op->a = s.path;
    op->b = s.call;
    op->c = s.heading;
    op->d = s.body;
    op->on_done = fn;
    return push(ix, op, &ix->queue);
}

int index_erase_sections(struct index *ix, const struct str *calls, unsigned n, index_json_fn *fn, void *arg)
{
    struct index_op *op;
    size_t total = 0, at;
    char *data;

    for (unsigned i = 0; i < n; i++) {
        if (!index_id_valid(calls[i]))
            return ERR_INVALID;
        total += calls[i].n;
    }
    op = op_make(INDEX_ERASE, NULL, 0, arg);
    if (op == NULL)
        return ERR_NOMEM;
    at = n * sizeof *op->list;
    data = mem_alloc(at + total);
    if (data == NULL) {
        op_free(op);
        return ERR_NOMEM;
    }
    mem_free(op->data);
    op->data = data;
    op->list = (struct str *)(void *)data;
    for (unsigned i = 0; i < n; i++) {
        memcpy(data + at, calls[i].p, calls[i].n);
        op->list[i] = str_make(data + at, calls[i].n);
        at += calls[i].n;
    }
    op->n = n;
    op->bytes += at;
    op->on_json = fn;
    return push(ix, op, &ix->queue);
}
