/* SPDX-License-Identifier: MIT */
#ifndef TESTS_FAULTS_LONG_H
#define TESTS_FAULTS_LONG_H
/*
 * Rounds of a test that has a short form (in the default suite) and a long one (make faults): how many, from which
 * seed, and where an interrupted long run goes on. FAULT_ROUNDS and FAULT_SEED choose them; with FAULT_STATE, a
 * folder, the number of the next round is kept there, so that the same command continues; a run that is through
 * begins anew.
 */
#include "plugin/base/clock.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct rounds {
    const char *name;
    uint64_t seed, n, next;
    uint64_t begun_ms, told_ms;
    char path[400];
};

static inline uint64_t rounds_env(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text != NULL && *text ? strtoull(text, NULL, 10) : otherwise;
}

static inline bool rounds_long(void)
{
    return rounds_env("OCV_FAULTS_LONG", 0) != 0;
}

static inline void rounds_begin(struct rounds *r, const char *name, uint64_t in_short, uint64_t in_long)
{
    const char *dir = getenv("FAULT_STATE");
    uint64_t seed, next;
    FILE *f;

    *r = (struct rounds){.name = name};
    r->seed = rounds_env("FAULT_SEED", 1);
    r->n = rounds_env("FAULT_ROUNDS", rounds_long() ? in_long : in_short);
    r->begun_ms = r->told_ms = clock_mono_ms();
    if (dir == NULL)
        return;
    (void)snprintf(r->path, sizeof r->path, "%.300s/%.60s.next", dir, name);
    f = fopen(r->path, "re");
    if (f == NULL)
        return;
    if (fscanf(f, "%" SCNu64 " %" SCNu64, &seed, &next) == 2 && seed == r->seed && next < r->n) {
        r->next = next;
        printf("  %s: goes on at round %" PRIu64 " of %" PRIu64 "\n", name, next, r->n);
    }
    (void)fclose(f);
}

/* Is there another round? Its number is r->next - 1 then. */
static inline bool rounds_go(struct rounds *r)
{
    uint64_t now = clock_mono_ms();
    bool tell = now - r->told_ms >= 10000 || r->next == r->n;

    if (tell && r->path[0]) {
        FILE *f = fopen(r->path, "we");

        if (f != NULL) {
            (void)fprintf(f, "%" PRIu64 " %" PRIu64 "\n", r->seed, r->next);
            (void)fclose(f);
        }
    }
    if (tell && rounds_long()) {
        printf("  %s: round %" PRIu64 " of %" PRIu64 ", %" PRIu64 " s\n", r->name, r->next, r->n,
               (now - r->begun_ms) / 1000);
        fflush(stdout);
    }
    if (tell)
        r->told_ms = now;
    return r->next++ < r->n;
}

#endif
