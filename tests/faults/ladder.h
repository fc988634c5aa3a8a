/* SPDX-License-Identifier: MIT */
#ifndef TESTS_FAULTS_LADDER_H
#define TESTS_FAULTS_LADDER_H
/*
 * What the two halves of a fault ladder share: ladder.c starts a unit test program again and again, each time in a child
 * of its own in which one call fails; ladder_calls.c stands between the program and malloc, files and sockets. A place is
 * the n-th such call of the i-th thread of a case, so it is met again in the next child.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ladder_kind { LADDER_ALLOC, LADDER_IO, LADDER_KINDS };

/* Whose call it is. */
enum ladder_who { WHO_OURS, WHO_OPENSSL, WHO_SQLITE, WHO_CJSON, WHO_UV, WHO_WSLAY, WHO_YAML, WHO_N, WHO_NOBODY };

#define LADDER_CASES 512u
#define LADDER_PLACES (2u << 20)
#define LADDER_DIRS ".dirs" /* in a child's TMPDIR: the directories that its test made, a line each */
#define LADDER_SHORT (-1) /* instead of an errno: less is read or written than was asked for */

struct ladder_place {
    uint64_t path; /* hash of who called whom */
    uint32_t n;    /* from 1 */
    uint16_t in;   /* the case */
    uint8_t thread, kind, call, who;
};

/* Shared with the child that counts. */
struct ladder_map {
    atomic_uint n, cases;
    atomic_bool full;
    enum ladder_kind kind; /* the one that is counted */
    char name[LADDER_CASES][120];
    struct ladder_place place[LADDER_PLACES];
};

enum ladder_mode { MODE_OFF, MODE_COUNT, MODE_FAIL };

/* The place where this process fails; err: errno or LADDER_SHORT; on: all later calls of that thread fail, too. */
struct ladder_aim {
    const char *in;
    uint32_t n;
    uint8_t thread, kind;
    int err;
    bool on, trace;
    atomic_bool *fired;
};

/* Sets what this process does from here on; map is used by MODE_COUNT, aim by MODE_FAIL. One thread. */
void ladder_start(enum ladder_mode mode, struct ladder_map *map, const struct ladder_aim *aim);
/* Where this process stops, when a check of the test does not hold after the fault. */
void ladder_bad(void);

/* The i-th fault that a call can meet, 0 when there are no more. */
int ladder_fault(unsigned call, unsigned i);
const char *ladder_call_name(unsigned call);
const char *ladder_who_name(unsigned who);

#endif
