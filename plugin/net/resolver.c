/* SPDX-License-Identifier: MIT */
#include "plugin/net/resolver.h"

#include "plugin/base/mem.h"
#include "plugin/base/thread.h"
#include "plugin/net/loop_uv.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#define FRESH_MS 60000u
#define NAMES_MAX 64u
#define QUERIES_MAX 16384u
#define NAME_BYTES 254u

struct resolver_query {
    struct resolver_query *next;
    struct name *name; /* NULL once cancelled or answered */
    resolver_fn *fn;
    void *arg;
};

struct name { /* one host: what is known of it, and who waits */
    struct name *next;
    struct resolver *owner;
    char host[NAME_BYTES];
    struct resolver_addrs addrs;
    uint64_t good_until_ms; /* 0: never answered */
    uint64_t used_ms;
    struct resolver_query *waiting;
    bool asked; /* a job is under way */
};

/* A lookup on its way through the helper thread; owned by whoever holds it. */
struct job {
    struct loop_msg msg;
    struct loop *loop;
    char host[NAME_BYTES];
    struct resolver_addrs addrs;
    int rc;
};

/* Shared with the thread, which may outlive the resolver: freed by the last of the two. */
struct helper {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    struct loop *loop;        /* NULL once closed; under lock, as all that follows */
    struct fifo jobs;
    bool closed, done;
    bool detached; /* the thread frees */
};

struct resolver {
    struct loop *loop;
    struct helper *helper; /* NULL until the first question */
    struct name *names;
    unsigned n_names, n_queries;
};

static void helper_free(struct helper *h)
{
    struct job *job;

    while ((job = fifo_take(&h->jobs)) != NULL)
        mem_free(job);
    (void)pthread_cond_destroy(&h->wake);
    (void)pthread_mutex_destroy(&h->lock);
    mem_free(h);
}

static void copy_addrs(struct resolver_addrs *out, const struct addrinfo *list)
{
    out->n = 0;
    for (const struct addrinfo *a = list; a != NULL && out->n < RESOLVER_ADDRS_MAX; a = a->ai_next) {
        union resolver_addr *to = &out->a[out->n];

        memset(to, 0, sizeof *to); /* they are compared byte by byte */
        if (a->ai_family == AF_INET && a->ai_addrlen == sizeof to->v4)
            memcpy(&to->v4, a->ai_addr, sizeof to->v4);
        else if (a->ai_family == AF_INET6 && a->ai_addrlen == sizeof to->v6)
            memcpy(&to->v6, a->ai_addr, sizeof to->v6);
        else
            continue;
        out->n++;
    }
}

static void look_up(struct job *job)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *list = NULL;

    job->rc = getaddrinfo(job->host, NULL, &hints, &list);
    if (job->rc == EAI_NONAME || job->rc == EAI_ADDRFAMILY || job->rc == EAI_NODATA) {
        /* AI_ADDRCONFIG hides loopback names on a machine that has nothing but loopback. */
        hints.ai_flags = 0;
        job->rc = getaddrinfo(job->host, NULL, &hints, &list);
    }
    if (job->rc == 0) {
        copy_addrs(&job->addrs, list);
        freeaddrinfo(list);
        if (job->addrs.n == 0)
            job->rc = EAI_NODATA;
    }
}

static void *helper_main(void *arg)
{
    struct helper *h = arg;
    bool mine;

    (void)pthread_mutex_lock(&h->lock);
    while (!h->closed) {
        struct job *job = fifo_take(&h->jobs);

        if (job == NULL) {
            (void)pthread_cond_wait(&h->wake, &h->lock);
            continue;
        }
        (void)pthread_mutex_unlock(&h->lock);
        look_up(job);
        (void)pthread_mutex_lock(&h->lock);
        /* Under the lock, so that the loop cannot go away between the check and the post. */
        if (h->loop == NULL || loop_post(h->loop, &job->msg) < 0)
            mem_free(job);
    }
    h->done = true;
    mine = h->detached;
    (void)pthread_mutex_unlock(&h->lock);
    if (mine)
        helper_free(h);
    return NULL;
}

static int helper_open(struct resolver *r)
{
    struct helper *h = MEM_NEW(struct helper);
    int rc;

    if (h == NULL)
        return ERR_NOMEM;
    if (pthread_mutex_init(&h->lock, NULL) != 0 || pthread_cond_init(&h->wake, NULL) != 0) {
        mem_free(h);
        return ERR_NOMEM;
    }
    h->loop = r->loop;
    rc = thread_start(&h->thread, "oc-voice-dns", helper_main, h, NULL);
    if (rc < 0) {
        helper_free(h);
        return rc;
    }
    r->helper = h;
    return 0;
}

int resolver_open(struct resolver **out, struct loop *l)
{
    struct resolver *r = MEM_NEW(struct resolver);

    if (r == NULL)
        return ERR_NOMEM;
    r->loop = l;
    *out = r;
    return 0;
}

static void helper_close(struct helper *h)
{
    struct timespec until;

    (void)pthread_mutex_lock(&h->lock);
    h->closed = true;
    h->loop = NULL;
    (void)pthread_cond_signal(&h->wake);
    (void)pthread_mutex_unlock(&h->lock);
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 1;
    if (pthread_timedjoin_np(h->thread, NULL, &until) == 0) {
        helper_free(h);
        return;
    }
    /* It hangs in getaddrinfo(), which nothing can interrupt. It ends by itself and frees the rest. */
    (void)pthread_mutex_lock(&h->lock);
    if (h->done) {
        (void)pthread_mutex_unlock(&h->lock);
        (void)pthread_join(h->thread, NULL);
        helper_free(h);
        return;
    }
    h->detached = true;
    (void)pthread_detach(h->thread);
    (void)pthread_mutex_unlock(&h->lock);
}

void resolver_close(struct resolver *r)
{
    if (r->helper != NULL)
        helper_close(r->helper);
    while (r->names != NULL) {
        struct name *name = r->names;

        r->names = name->next;
        /* Their owners keep the query's memory until they cancel it. */
        for (struct resolver_query *q = name->waiting; q != NULL; q = q->next)
            q->name = NULL;
        mem_free(name);
    }
    mem_free(r);
}

static struct name *find(struct resolver *r, struct str host)
{
    for (struct name *n = r->names; n != NULL; n = n->next)
        if (str_ieq(str_of(n->host), host))
            return n;
    return NULL;
}

/* The oldest name that nobody waits for makes room. */
static void forget_one(struct resolver *r)
{
    struct name **oldest = NULL, *gone;

    for (struct name **at = &r->names; *at != NULL; at = &(*at)->next)
        if (!(*at)->asked && (*at)->waiting == NULL &&
            (oldest == NULL || (*at)->used_ms < (*oldest)->used_ms))
            oldest = at;
    if (oldest == NULL)
        return;
    gone = *oldest;
    *oldest = gone->next;
    r->n_names--;
    mem_free(gone);
}

static struct name *find_or_add(struct resolver *r, struct str host)
{
    struct name *name = find(r, host);

    if (name != NULL)
        return name;
    if (r->n_names >= NAMES_MAX)
        forget_one(r);
    name = r->n_names < NAMES_MAX ? MEM_NEW(struct name) : NULL;
    if (name == NULL || !str_copy(name->host, sizeof name->host, host)) {
        mem_free(name);
        return NULL;
    }
    name->owner = r;
    name->next = r->names;
    r->names = name;
    r->n_names++;
    return name;
}

static bool numeric(struct str host, struct resolver_addrs *out)
{
    char text[INET6_ADDRSTRLEN];
    union resolver_addr a;

    memset(&a, 0, sizeof a);
    if (!str_copy(text, sizeof text, host))
        return false;
    if (inet_pton(AF_INET, text, &a.v4.sin_addr) == 1)
        a.v4.sin_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &a.v6.sin6_addr) == 1)
        a.v6.sin6_family = AF_INET6;
    else
        return false;
    out->n = 1;
    out->a[0] = a;
    return true;
}

int resolver_known(struct resolver *r, struct str host, struct resolver_addrs *out)
{
    struct name *name;

    if (host.n == 0 || host.n >= NAME_BYTES || str_has_nul(host))
        return ERR_INVALID;
    if (numeric(host, out))
        return 0;
    name = find(r, host);
    if (name == NULL || loop_now_ms(r->loop) >= name->good_until_ms)
        return ERR_NOT_FOUND;
    name->used_ms = loop_now_ms(r->loop);
    *out = name->addrs;
    return 0;
}

static void answer(struct resolver *r, struct name *name, int rc, const char *why)
{
    /* Callbacks may ask and cancel, so the list is taken one by one from its head. */
    while (name->waiting != NULL) {
        struct resolver_query *q = name->waiting;

        name->waiting = q->next;
        q->name = NULL;
        r->n_queries--;
        q->fn(q->arg, &name->addrs, rc, why);
        mem_free(q);
    }
}

static void on_answer(struct loop_msg *m)
{
    struct job *job = (struct job *)m;
    struct resolver *r = job->loop->resolver; /* NULL once the loop stops */
    struct name *name = r != NULL ? find(r, str_of(job->host)) : NULL;

    if (name != NULL) {
        name->asked = false;
        if (job->rc == 0)
            name->addrs = job->addrs;
        /* A failure with an old answer at hand: better a stale address than none. */
        if (job->rc == 0 || name->good_until_ms != 0) {
            name->good_until_ms = loop_now_ms(r->loop) + (job->rc == 0 ? FRESH_MS : FRESH_MS / 12);
            answer(r, name, 0, "");
        } else {
            answer(r, name, ERR_NOT_FOUND, gai_strerror(job->rc));
        }
    }
    mem_free(job);
}

static int post_job(struct resolver *r, struct name *name)
{
    struct job *job;
    int rc = r->helper == NULL ? helper_open(r) : 0;

    if (rc < 0)
        return rc;
    job = MEM_NEW(struct job);
    if (job == NULL)
        return ERR_NOMEM;
    (void)str_copy(job->host, sizeof job->host, str_of(name->host));
    job->loop = r->loop;
    job->msg.run = on_answer;
    (void)pthread_mutex_lock(&r->helper->lock);
    fifo_add(&r->helper->jobs, &job->msg.item);
    (void)pthread_cond_signal(&r->helper->wake);
    (void)pthread_mutex_unlock(&r->helper->lock);
    name->asked = true;
    return 0;
}

int resolver_ask(struct resolver *r, struct str host, resolver_fn *fn, void *arg,
                 struct resolver_query **out)
{
    struct resolver_query *q;
    struct name *name;
    int rc;

    if (host.n == 0 || host.n >= NAME_BYTES || str_has_nul(host))
        return ERR_INVALID;
    if (r->n_queries >= QUERIES_MAX)
        return ERR_FULL;
    name = find_or_add(r, host);
    q = name != NULL ? MEM_NEW(struct resolver_query) : NULL;
    if (q == NULL)
        return name == NULL && r->n_names >= NAMES_MAX ? ERR_FULL : ERR_NOMEM;
    rc = name->asked ? 0 : post_job(r, name);
    if (rc < 0) {
        mem_free(q);
        return rc;
    }
    name->used_ms = loop_now_ms(r->loop);
    q->name = name;
    q->fn = fn;
    q->arg = arg;
    q->next = name->waiting;
    name->waiting = q;
    r->n_queries++;
    *out = q;
    return 0;
}

void resolver_cancel(struct resolver_query *q)
{
    struct resolver_query **at = q->name != NULL ? &q->name->waiting : NULL;

    while (at != NULL && *at != NULL && *at != q)
        at = &(*at)->next;
    if (at != NULL && *at == q) {
        *at = q->next;
        q->name->owner->n_queries--;
    }
    mem_free(q);
}

void resolver_prefer(struct resolver *r, struct str host, const union resolver_addr *good)
{
    struct name *name = find(r, host);
    union resolver_addr first;

    if (name == NULL)
        return;
    for (unsigned i = 1; i < name->addrs.n; i++) {
        if (memcmp(&name->addrs.a[i], good, sizeof *good) != 0)
            continue;
        first = name->addrs.a[i];
        memmove(&name->addrs.a[1], &name->addrs.a[0], i * sizeof first);
        name->addrs.a[0] = first;
        return;
    }
}
