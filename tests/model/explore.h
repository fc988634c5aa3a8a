/* SPDX-License-Identifier: MIT */
#ifndef TESTS_MODEL_EXPLORE_H
#define TESTS_MODEL_EXPLORE_H
/*
 * Explicit-state search, breadth first, over a machine of the plugin that is linked as it is. A model gives the
 * alphabet, one step, the points of it at which the process may die, a copy of its world, and a fingerprint: worlds
 * with the same fingerprint are looked at once, by the first that was met. A state is kept as the path to it (its
 * parent and the step from there) and made again by replay, so that its size in memory is some 30 bytes.
 *
 * What must hold is said by must(); the first failures of each invariant are shown as the trace that leads to them.
 * At the end the graph is walked backwards from the ends: a state from which no end is reached is a failure. One
 * program explores one thing at a time; one thread.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mark { /* of a state */
    uint64_t a, b;
};

#define EXPLORE_CONTROLS 16u
#define EXPLORE_EVENTS 160u

struct model {
    const char *name;
    size_t world_bytes;
    unsigned n_roots, n_events, n_controls, n_invariants;
    const char *const *control_names, *const *invariants;
    void (*root)(void *world, unsigned i);
    bool (*can)(const void *world, unsigned event);     /* there is something that it could be about */
    bool (*followed)(unsigned event);                   /* else it is looked at one step deep */
    void (*step)(void *world, unsigned event);
    unsigned (*crashes)(const void *world);             /* points of the step just made at which the process may die */
    struct mark (*death)(const void *world, unsigned i); /* all that the next instance could know of it */
    void (*crash)(void *world, unsigned i);             /* it dies there, and the next instance begins */
    bool (*walk)(void *world);                          /* timers alone: do they end it? May change the world */
    void (*copy)(void *to, const void *from);
    void (*drop)(void *world);
    struct mark (*mark)(const void *world);
    unsigned (*control)(const void *world);
    bool (*over)(const void *world);                    /* nothing happens from there on */
    unsigned (*effects)(const void *world);             /* of the step just made */
    const char *(*event_name)(unsigned event);
};

struct explored {
    uint64_t states, transitions, crash_points, expanded, failures, stuck, by_timers;
    unsigned depth, whole_depth; /* of the deepest state; all of this depth were expanded */
    bool exhausted;
    double seconds;
};

struct explore_limits {
    double seconds;
    uint64_t states;
};

/* A check of invariant `i`: counted, and shown with its trace when it fails. */
void must(unsigned i, bool good, const char *what);
/* Text of the step that is being shown; nothing unless one is. */
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The highest value of what is measured, of all models of this program. */
void measure(unsigned what, uint64_t value);
uint64_t measured(unsigned what);

void explore(const struct model *m, const struct explore_limits *limits, struct explored *out);
/* How often each invariant was checked, and failed, in all models of this program. */
void explore_invariants(const struct model *m);
/* Which event leads where from each control state, in all models of this program. */
int explore_table(const struct model *m, const char *path);

/*
 * All scenarios of a program, one behind the other, each for its share of MODEL_SECONDS (10; 600 with OCV_MODEL_LONG);
 * OCV_MODEL_ONLY: one of them. Prints a line for each, sums, invariants; writes OCV_MODEL_TABLE. 1: something failed.
 */
int explore_all(struct model *m, unsigned n, const char *(*name)(unsigned i), const char *(*what)(unsigned i),
                void (*choose)(unsigned i, bool is_long));

/* Mixes n bytes into a mark. */
void mark_add(struct mark *m, const void *p, size_t n);
/*
 * Times as what is left of them, so that equal futures look equal: 0 not set, 1 due, else 2 and the place in the order
 * of those that are set. n at most 64.
 */
void mark_times(struct mark *m, const uint64_t *at, unsigned n, uint64_t now);

#endif
