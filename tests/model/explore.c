/* SPDX-License-Identifier: MIT */
#include "tests/model/explore.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NONE UINT32_MAX
#define DEPTH_MAX 4096u
#define SHOWN_EACH 2u /* traces of an invariant */
#define INVARIANTS 64u
#define MEASURES 16u

struct node {
    struct mark mark;
    uint32_t parent, step; /* step: the event; above bit 16 the crash point, from 1; of a root its number */
    uint16_t depth;
    uint8_t control;
    bool over, ends; /* ends: timers alone lead from it to the end */
};

struct death {
    struct mark mark;
    uint32_t node; /* NONE: free */
};

struct slot { /* a world on the path that is being expanded */
    uint32_t node;
    void *world;
};

struct cell { /* of the table */
    uint64_t n, effects, stays;
    uint32_t to;
};

static struct {
    const struct model *m;
    struct node *nodes;
    uint32_t *table;
    uint64_t n_nodes, cap_nodes, cap_table;
    struct death *deaths; /* by hash: what was left, and the state that the next instance made of it */
    uint64_t n_deaths, cap_deaths;
    uint32_t *edges;
    uint64_t n_edges, cap_edges, *first_edge;
    struct slot path[DEPTH_MAX];
    bool counting, showing, failed;
    uint32_t at; /* what is being expanded, and by which step */
    uint32_t step;
    struct explored *out;
} run;

static uint64_t checks[INVARIANTS], fails[INVARIANTS], highest[MEASURES];
static struct cell cells[EXPLORE_CONTROLS][EXPLORE_EVENTS];

/* ---- Marks ---- */

void mark_add(struct mark *m, const void *p, size_t n)
{
    const unsigned char *at = p;

    for (size_t i = 0; i < n; i += 8) {
        uint64_t v = 0;

        memcpy(&v, at + i, n - i < 8 ? n - i : 8);
        m->a = (m->a ^ v) * 0x9e3779b97f4a7c15ull;
        m->a ^= m->a >> 29;
        m->b = (m->b + v) * 0xc2b2ae3d27d4eb4full;
        m->b ^= m->b >> 32;
    }
}

void mark_times(struct mark *m, const uint64_t *at, unsigned n, uint64_t now)
{
    uint64_t sorted[64];
    unsigned char rank[64];
    unsigned k = 0;

    for (unsigned i = 0; i < n; i++) {
        unsigned j;

        if (at[i] == 0 || at[i] <= now)
            continue;
        for (j = 0; j < k && sorted[j] < at[i]; j++)
            ;
        if (j < k && sorted[j] == at[i])
            continue;
        memmove(&sorted[j + 1], &sorted[j], (k - j) * sizeof sorted[0]);
        sorted[j] = at[i];
        k++;
    }
    for (unsigned i = 0; i < n; i++) {
        rank[i] = at[i] == 0 ? 0 : 1;
        for (unsigned j = 0; j < k && at[i] > now; j++)
            if (sorted[j] == at[i])
                rank[i] = (unsigned char)(2 + (j < 99 ? j : 99));
    }
    mark_add(m, rank, n);
}

/* ---- States ---- */

static void *grow(void *p, uint64_t *cap, uint64_t need, size_t one)
{
    uint64_t next = *cap ? *cap : 1024;

    if (need <= *cap)
        return p;
    while (next < need)
        next *= 2;
    p = realloc(p, next * one);
    if (p == NULL) {
        printf("FAIL out of memory\n");
        exit(1);
    }
    *cap = next;
    return p;
}

static uint64_t place(const struct mark *k)
{
    uint64_t i = k->a & (run.cap_table - 1);

    while (run.table[i] != NONE && (run.nodes[run.table[i]].mark.a != k->a || run.nodes[run.table[i]].mark.b != k->b))
        i = (i + 1) & (run.cap_table - 1);
    return i;
}

static void rehash(void)
{
    free(run.table);
    run.cap_table = run.cap_table ? run.cap_table * 2 : 1u << 16;
    run.table = malloc(run.cap_table * sizeof run.table[0]);
    if (run.table == NULL) {
        printf("FAIL out of memory\n");
        exit(1);
    }
    memset(run.table, 0xff, run.cap_table * sizeof run.table[0]);
    for (uint64_t i = 0; i < run.n_nodes; i++)
        run.table[place(&run.nodes[i].mark)] = (uint32_t)i;
}

static uint32_t add(const void *world, uint32_t parent, uint32_t step)
{
    struct node *n;
    struct mark k = run.m->mark(world);
    uint64_t at;
    uint64_t cap = run.cap_nodes;

    if (run.n_nodes * 2 >= run.cap_table)
        rehash();
    at = place(&k);
    if (run.table[at] != NONE)
        return run.table[at];
    run.nodes = grow(run.nodes, &run.cap_nodes, run.n_nodes + 1, sizeof run.nodes[0]);
    if (run.cap_nodes != cap)
        run.first_edge = realloc(run.first_edge, (run.cap_nodes + 1) * sizeof run.first_edge[0]);
    n = &run.nodes[run.n_nodes];
    *n = (struct node){.mark = k, .parent = parent, .step = step,
                       .depth = (uint16_t)(parent == NONE ? 0 : run.nodes[parent].depth + 1),
                       .control = (uint8_t)run.m->control(world), .over = run.m->over(world)};
    run.table[at] = (uint32_t)run.n_nodes;
    if (n->depth > run.out->depth)
        run.out->depth = n->depth;
    return (uint32_t)run.n_nodes++;
}

/* ---- Deaths ---- */

static struct death *death_at(const struct mark *k)
{
    uint64_t i = k->a & (run.cap_deaths - 1);

    while (run.deaths[i].node != NONE && (run.deaths[i].mark.a != k->a || run.deaths[i].mark.b != k->b))
        i = (i + 1) & (run.cap_deaths - 1);
    return &run.deaths[i];
}

/* Room for one more. */
static void deaths_grow(void)
{
    struct death *old = run.deaths;
    uint64_t n = run.cap_deaths;

    if (run.n_deaths * 2 < run.cap_deaths)
        return;
    run.cap_deaths = n ? n * 2 : 1u << 12;
    run.deaths = malloc(run.cap_deaths * sizeof run.deaths[0]);
    if (run.deaths == NULL) {
        printf("FAIL out of memory\n");
        exit(1);
    }
    memset(run.deaths, 0xff, run.cap_deaths * sizeof run.deaths[0]);
    for (uint64_t i = 0; i < n; i++)
        if (old[i].node != NONE)
            *death_at(&old[i].mark) = old[i];
    free(old);
}

/* ---- Paths ---- */

static void make_step(void *world, uint32_t step)
{
    run.m->step(world, step & 0xffff);
    if (step >> 16)
        run.m->crash(world, (step >> 16) - 1);
}

/* The world of a node; of the path to the last one that was asked for what is the same is not made again. */
static void *reach(uint32_t id)
{
    const struct node *n = &run.nodes[id];
    struct slot *s = &run.path[n->depth];
    const void *from = NULL;

    if (s->world != NULL && s->node == id)
        return s->world;
    if (n->parent != NONE)
        from = reach(n->parent);
    if (s->world == NULL)
        s->world = calloc(1, run.m->world_bytes);
    else
        run.m->drop(s->world);
    if (s->world == NULL) {
        printf("FAIL out of memory\n");
        exit(1);
    }
    s->node = id;
    if (from == NULL) {
        run.m->root(s->world, n->step);
    } else {
        run.m->copy(s->world, from);
        make_step(s->world, n->step);
    }
    return s->world;
}

static void forget_path(void)
{
    for (unsigned i = 0; i < DEPTH_MAX; i++) {
        if (run.path[i].world == NULL)
            continue;
        run.m->drop(run.path[i].world);
        free(run.path[i].world);
        run.path[i].world = NULL;
    }
}

/* ---- Failures ---- */

void note(const char *fmt, ...)
{
    va_list ap;

    if (!run.showing)
        return;
    va_start(ap, fmt);
    printf("        ");
    vprintf(fmt, ap);
    printf("\n");
    va_end(ap);
}

static void show_step(void *world, uint32_t step, unsigned number)
{
    printf("    %2u  in %s: %s%s\n", number, run.m->control_names[run.m->control(world)],
           run.m->event_name(step & 0xffff), step >> 16 ? ", and the process dies" : "");
    make_step(world, step);
    if (step >> 16)
        note("(at point %u of the step)", step >> 16);
}

static void show_trace(uint32_t id, uint32_t last)
{
    uint32_t steps[DEPTH_MAX];
    unsigned n = 0;
    void *world = calloc(1, run.m->world_bytes);
    uint32_t at = id;

    if (world == NULL)
        return;
    for (; run.nodes[at].parent != NONE; at = run.nodes[at].parent)
        steps[n++] = run.nodes[at].step;
    run.showing = true;
    printf("    from beginning %u:\n", run.nodes[at].step);
    run.m->root(world, run.nodes[at].step);
    for (unsigned i = 0; i < n; i++)
        show_step(world, steps[n - 1 - i], i + 1);
    if (last != NONE)
        show_step(world, last, n + 1);
    else
        printf("    then timers alone, in %s\n", run.m->control_names[run.m->control(world)]);
    run.showing = false;
    run.m->drop(world);
    free(world);
    fflush(stdout);
}

void must(unsigned i, bool good, const char *what)
{
    if (!run.counting)
        return;
    checks[i]++;
    if (good)
        return;
    fails[i]++;
    run.out->failures++;
    if (fails[i] > SHOWN_EACH)
        return;
    printf("  BROKEN %s: %s\n", run.m->invariants[i], what);
    run.counting = false;
    show_trace(run.at, run.step);
    if (getenv("OCV_MODEL_FIRST") != NULL)
        exit(1);
    run.counting = true;
}

void measure(unsigned what, uint64_t value)
{
    if (run.counting && value > highest[what])
        highest[what] = value;
}

uint64_t measured(unsigned what)
{
    return highest[what];
}

/* ---- The search ---- */

static void edge(uint32_t to)
{
    run.edges = grow(run.edges, &run.cap_edges, run.n_edges + 1, sizeof run.edges[0]);
    run.edges[run.n_edges++] = to;
}

static void tabulate(unsigned from, unsigned event, const void *world)
{
    struct cell *c = &cells[from][event];
    unsigned to = run.m->control(world);

    c->n++;
    c->effects += run.m->effects(world) > 0;
    c->stays += to == from;
    c->to |= 1u << to;
}

/* Two deaths that leave the same are one: what the next instance does was seen. */
static uint32_t die(uint32_t id, unsigned i, const void *w1, void *w2)
{
    struct mark k = run.m->death(w1, i);
    struct death *d;
    uint32_t to;

    deaths_grow();
    d = death_at(&k);
    if (d->node != NONE)
        return d->node;
    run.m->copy(w2, w1);
    run.m->crash(w2, i);
    to = add(w2, id, run.step);
    run.m->drop(w2);
    *d = (struct death){.mark = k, .node = to};
    run.n_deaths++;
    return to;
}

/* All that may happen next. The step's own world is made once more for each death in it. */
static void expand(uint32_t id, void *w1, void *w2)
{
    const struct model *m = run.m;
    const void *here = reach(id);
    unsigned from = run.nodes[id].control, n;

    run.at = id;
    run.first_edge[id] = run.n_edges;
    run.out->expanded++;
    run.counting = true;
    run.step = NONE;
    m->copy(w1, here);
    run.nodes[id].ends = run.nodes[id].over || m->walk(w1);
    m->drop(w1);
    for (unsigned ev = 0; ev < m->n_events; ev++) {
        if (!m->can(here, ev))
            continue;
        run.step = ev;
        m->copy(w1, here);
        m->step(w1, ev);
        run.out->transitions++;
        tabulate(from, ev, w1);
        if (m->followed(ev) && !run.nodes[id].over)
            edge(add(w1, id, ev));
        n = run.nodes[id].over ? 0 : m->crashes(w1);
        for (unsigned i = 0; i < n; i++) {
            run.step = ev | (i + 1) << 16;
            run.out->crash_points++;
            edge(die(id, i, w1, w2));
        }
        m->drop(w1);
    }
    run.counting = false;
}

/*
 * From where no end is reached, by what was explored; what was not expanded counts as open. How far a deadline is
 * off is not in the fingerprint, so timers that come again and again are circles in the graph: there the walk tells.
 */
static void look_back(void)
{
    uint8_t *good = calloc(run.n_nodes, 1);
    bool more = true;

    if (good == NULL)
        return;
    for (uint64_t i = 0; i < run.n_nodes; i++)
        good[i] = run.nodes[i].over || i >= run.out->expanded;
    while (more) {
        more = false;
        for (uint64_t i = run.out->expanded; i-- > 0;) {
            uint64_t end = i + 1 < run.out->expanded ? run.first_edge[i + 1] : run.n_edges;

            for (uint64_t k = run.first_edge[i]; k < end && !good[i]; k++)
                good[i] = good[run.edges[k]];
            more = more || (good[i] == 1 && end > 0);
            if (good[i] == 1)
                good[i] = 2;
        }
    }
    for (uint64_t i = 0; i < run.out->expanded; i++) {
        if (good[i])
            continue;
        if (run.nodes[i].ends) {
            run.out->by_timers++;
            continue;
        }
        if (run.out->stuck++ < SHOWN_EACH) {
            printf("  BROKEN no way out of %s\n", run.m->control_names[run.nodes[i].control]);
            show_trace((uint32_t)i, NONE);
        }
    }
    free(good);
}

static double seconds(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void begin(const struct model *m, struct explored *out)
{
    void *world = calloc(1, m->world_bytes);

    run.m = m;
    run.out = out;
    run.n_nodes = run.n_edges = 0;
    run.cap_table = 0;
    rehash();
    free(run.deaths);
    run.deaths = NULL;
    run.n_deaths = run.cap_deaths = 0;
    for (unsigned i = 0; i < m->n_roots && world != NULL; i++) {
        m->root(world, i);
        (void)add(world, NONE, i);
        m->drop(world);
    }
    free(world);
}

void explore(const struct model *m, const struct explore_limits *limits, struct explored *out)
{
    double began = seconds();
    void *w1 = calloc(1, m->world_bytes), *w2 = calloc(1, m->world_bytes);
    uint64_t at = 0;

    *out = (struct explored){.exhausted = true};
    begin(m, out);
    for (; at < run.n_nodes; at++) {
        if (run.n_nodes >= limits->states || run.nodes[at].depth + 2u >= DEPTH_MAX ||
            (at % 256 == 0 && seconds() - began > limits->seconds)) {
            out->exhausted = false;
            break;
        }
        expand((uint32_t)at, w1, w2);
    }
    out->states = run.n_nodes;
    out->whole_depth = out->exhausted ? out->depth : run.nodes[at].depth > 0 ? run.nodes[at].depth - 1u : 0;
    look_back();
    out->seconds = seconds() - began;
    forget_path();
    free(w1);
    free(w2);
    free(run.table);
    run.table = NULL;
}

/* ---- What came out ---- */

void explore_invariants(const struct model *m)
{
    for (unsigned i = 0; i < m->n_invariants; i++)
        printf("  %12llu checks  %6llu failed  %s\n", (unsigned long long)checks[i], (unsigned long long)fails[i],
               m->invariants[i]);
}

static void write_cell(FILE *f, const struct model *m, unsigned from, unsigned event)
{
    const struct cell *c = &cells[from][event];
    bool first = true;

    if (c->n == 0) {
        fprintf(f, " |");
        return;
    }
    if (c->stays > 0)
        fprintf(f, c->effects > 0 ? " stays" : " -");
    for (unsigned to = 0; to < m->n_controls; to++) {
        if (to == from || (c->to & 1u << to) == 0)
            continue;
        fprintf(f, "%s%s", first && c->stays == 0 ? " " : first ? ", " : ", ", m->control_names[to]);
        first = false;
    }
    fprintf(f, " |");
}

int explore_table(const struct model *m, const char *path)
{
    FILE *f = fopen(path, "w");

    if (f == NULL)
        return -1;
    fprintf(f, "%s: where each event leads from each state, over all that was explored.\n", m->name);
    fprintf(f, "\"-\": nothing ever happens; \"stays\": effects, the same state; empty: never tried.\n\n| event |");
    for (unsigned s = 0; s < m->n_controls; s++)
        fprintf(f, " %s |", m->control_names[s]);
    fprintf(f, "\n|---|");
    for (unsigned s = 0; s < m->n_controls; s++)
        fprintf(f, "---|");
    for (unsigned e = 0; e < m->n_events; e++) {
        fprintf(f, "\n| %s |", m->event_name(e));
        for (unsigned s = 0; s < m->n_controls; s++)
            write_cell(f, m, s, e);
    }
    fprintf(f, "\n");
    return fclose(f);
}

/* ---- All scenarios of a program ---- */

static double number(const char *name, double otherwise)
{
    const char *text = getenv(name);

    return text != NULL && text[0] != '\0' ? strtod(text, NULL) : otherwise;
}

static void add_up(struct explored *sum, const struct explored *one)
{
    sum->states += one->states;
    sum->transitions += one->transitions;
    sum->crash_points += one->crash_points;
    sum->failures += one->failures;
    sum->stuck += one->stuck;
    sum->exhausted = sum->exhausted && one->exhausted;
}

static void report(const struct explored *one, const char *name, const char *what)
{
    printf("%s %s (%s): %llu states, %llu transitions, %llu points of death, depth %u, %s %u, %.1f s\n",
           one->failures + one->stuck > 0 ? "FAIL" : "ok", name, what,
           (unsigned long long)one->states, (unsigned long long)one->transitions, (unsigned long long)one->crash_points,
           one->depth, one->exhausted ? "exhausted at" : "bounded, complete to", one->whole_depth, one->seconds);
    fflush(stdout);
}

int explore_all(struct model *m, unsigned n, const char *(*name)(unsigned i), const char *(*what)(unsigned i),
                void (*choose)(unsigned i, bool is_long))
{
    bool is_long = number("OCV_MODEL_LONG", 0) > 0;
    double all = number("MODEL_SECONDS", is_long ? 600 : 10), used = 0;
    const char *only = getenv("OCV_MODEL_ONLY"), *table = getenv("OCV_MODEL_TABLE");
    struct explored sum = {.exhausted = true}, one;

    for (unsigned i = 0; i < n; i++) {
        struct explore_limits limits = {.states = is_long ? 60000000 : 3000000};

        if (only != NULL && only[0] != '\0' && strcmp(only, name(i)) != 0)
            continue;
        limits.seconds = only != NULL && only[0] != '\0' ? all : (all - used) / (double)(n - i);
        choose(i, is_long);
        explore(m, &limits, &one);
        report(&one, name(i), what(i));
        add_up(&sum, &one);
        used += one.seconds;
    }
    printf("\n%llu states, %llu transitions, %llu points of death, %s; %llu failures, %llu without a way out\n",
           (unsigned long long)sum.states, (unsigned long long)sum.transitions, (unsigned long long)sum.crash_points,
           sum.exhausted ? "all exhausted" : "not all exhausted", (unsigned long long)sum.failures,
           (unsigned long long)sum.stuck);
    explore_invariants(m);
    if (table != NULL && explore_table(m, table) != 0)
        printf("FAIL the table could not be written\n");
    return sum.failures + sum.stuck > 0;
}
