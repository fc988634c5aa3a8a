/* SPDX-License-Identifier: MIT */
#include "plugin/pacer.h"

#include "plugin/base/mem.h"

#define COST_MS(p) (1000u / (p)->config.per_second)
#define RETRY_MS 500u

struct asked {
    struct asked *next;
    enum pacer_kind kind;
    char call[ID_BYTES];
    char label[LINE_LABEL_BYTES];
};

struct pacer {
    struct pacer_config config;
    struct loop *loop;
    struct timer *timer;
    struct asked *first; /* those that are waited for, then dials, each in the order in which they came */
    unsigned n;
    uint64_t free_at_ms; /* the carrier takes the next one from then on */
};

static void arm(struct pacer *p)
{
    uint64_t now = loop_now_ms(p->loop), at = p->free_at_ms > now ? p->free_at_ms : now;

    if (p->first == NULL) {
        timer_stop(p->timer);
        return;
    }
    if (p->first->kind == PACER_DIAL && !p->config.room(p->config.arg))
        at = now + RETRY_MS; /* pacer_look() comes sooner when a call ends */
    timer_set(p->timer, p->first->kind == PACER_PAID ? now : at);
}

static bool ready(const struct pacer *p, const struct asked *a)
{
    if (a->kind == PACER_PAID)
        return true;
    return p->free_at_ms <= loop_now_ms(p->loop) && (a->kind != PACER_DIAL || p->config.room(p->config.arg));
}

static void on_timer(void *arg)
{
    struct pacer *p = arg;
    unsigned n = p->n; /* what is asked for meanwhile waits for the next time */

    while (n-- > 0 && p->first != NULL && ready(p, p->first)) {
        struct asked *a = p->first;
        uint64_t now = loop_now_ms(p->loop);

        p->first = a->next;
        p->n--;
        if (a->kind != PACER_PAID)
            p->free_at_ms = (p->free_at_ms > now ? p->free_at_ms : now) + COST_MS(p) * (a->kind == PACER_DIAL ? 2 : 1);
        p->config.go(p->config.arg, str_of(a->call), str_of(a->label));
        mem_free(a);
    }
    arm(p);
}

int pacer_open(struct pacer **out, struct loop *l, const struct pacer_config *config)
{
    struct pacer *p = MEM_NEW(struct pacer);
    int rc;

    if (p == NULL)
        return ERR_NOMEM;
    p->config = *config;
    p->config.per_second = config->per_second == 0 ? 1 : config->per_second > 1000 ? 1000 : config->per_second;
    p->loop = l;
    rc = timer_open(&p->timer, l, on_timer, p);
    if (rc < 0)
        mem_free(p);
    else
        *out = p;
    return rc;
}

void pacer_close(struct pacer *p)
{
    if (p == NULL)
        return;
    while (p->first != NULL) {
        struct asked *a = p->first;

        p->first = a->next;
        mem_free(a);
    }
    timer_close(p->timer);
    mem_free(p);
}

int pacer_ask(struct pacer *p, struct str call, struct str label, enum pacer_kind kind)
{
    struct asked *a, **at = &p->first;

    for (const struct asked *b = p->first; b != NULL; b = b->next)
        if (str_eqc(call, b->call) && str_eqc(label, b->label))
            return 0;
    a = MEM_NEW(struct asked);
    if (a == NULL || !str_copy(a->call, sizeof a->call, call) || !str_copy(a->label, sizeof a->label, label)) {
        mem_free(a);
        return ERR_NOMEM;
    }
    a->kind = kind;
    while (*at != NULL && (*at)->kind >= kind) /* the higher kind goes first */
        at = &(*at)->next;
    a->next = *at;
    *at = a;
    p->n++;
    arm(p);
    return 0;
}

void pacer_forget(struct pacer *p, struct str call)
{
    struct asked **at = &p->first;

    while (*at != NULL) {
        struct asked *a = *at;

        if (!str_eqc(call, a->call)) {
            at = &a->next;
            continue;
        }
        *at = a->next;
        p->n--;
        mem_free(a);
    }
    arm(p);
}

void pacer_look(struct pacer *p)
{
    arm(p);
}

unsigned pacer_waiting(const struct pacer *p)
{
    return p->n;
}
