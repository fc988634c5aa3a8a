/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_CHECK_INT_H
#define PLUGIN_CHECK_INT_H
/* What check*.c share. */
#include "plugin/app.h"
#include "plugin/base/finding.h"
#include "plugin/check.h"

#define CHECK_NONCE_BYTES 33u /* 32 hex digits and a NUL */

enum check_part { /* in the order of the report */
    PART_HERE,
    PART_OPENAI_KEY, PART_OPENAI_SESSION, PART_OPENAI_HEARING,
    PART_REACH, PART_SIGNED, PART_CARRIER_HOOK,
    PART_CARRIER,
    PART_NUMBERS,
    CHECK_PARTS
};

struct check_run {
    struct check_run *next;
    struct checks *owner;
    struct app *app;
    struct findings part[CHECK_PARTS];
    unsigned open; /* questions under way, and one while they are being begun */
    uint64_t began_ms, asked_ms;
    char nonce[CHECK_NONCE_BYTES];
    routes_fn *fn;
    void *arg;
};

struct httpc;
struct checks {
    struct app *app;
    struct check_run *runs;
    unsigned n;
    struct httpc *pool;    /* to the public address; NULL: not yet */
    struct tls_ctx *tls;
    void (*closed)(void *arg);
    void *closed_arg;
};

/* A question was sent, or was answered: the last answer ends the run. */
void check_hold(struct check_run *r);
void check_release(struct check_run *r);

void check_here(struct check_run *r);
void check_numbers(struct check_run *r);
void check_openai(struct check_run *r);
void check_reach(struct check_run *r);

/* Whether calls go over a carrier that is configured. */
bool check_has_carrier(const struct app *app);

#endif
