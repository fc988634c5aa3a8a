/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_APP_H
#define PLUGIN_APP_H
/*
 * One instance of the plugin: its parts and the order in which they start and stop. Made by entry.c.
 * The parts belong to the loop thread from app_start() on; `config` and `log` are immutable.
 */
#include "plugin/base/buf.h"
#include "plugin/base/err.h"
#include "plugin/base/log.h"
#include "plugin/config/config.h"
#include "plugin/host.h"
#include "sessions/caller.h"

struct runs;
struct afters;
struct bearers;
struct calls;
struct checks;
struct costs;
struct drain;
struct feed;
struct fetches;
struct guard;
struct httpd;
struct index;
struct pins;
struct questions;
struct lines;
struct loop;
struct owners;
struct past;
struct recordings;
struct routes;
struct rt_api;
struct sig_keys;
struct store;
struct timer;
struct tokens;
struct verifies;
struct wake;

enum app_phase { APP_CREATED, APP_STARTING, APP_RUNNING, APP_STOPPING, APP_STOPPED };

struct app {
    struct host *host;
    struct log log;
    struct config *config;
    struct caller_policy *policy; /* replaced whole by app_set_policy() */
    struct sig_keys *keys;        /* NULL when signatures are not verified */
    struct bearers *bearers;      /* tokens of the API */
    char instance[33];            /* random, new for each instance: names it in GET /health?probe= */
    bool check_only;              /* create() said so: see plugin/check.h */
    struct buf warnings;          /* the configuration's, a line each */
    enum app_phase phase;         /* loop thread; entry.c keeps a copy of its own for other threads */
    uint64_t started_wall_ms;

    struct loop *loop;
    struct feed *feed; /* events for /events */
    struct store *store;
    struct rt_api *api;
    struct index *index;   /* NULL: memory is off */
    struct tokens *tokens; /* NULL: the table is missing; budgets are then counted in bytes */
    struct httpd *httpd;
    struct routes *routes;
    struct checks *checks;
    struct runs *runs;
    struct costs *costs;
    struct guard *guard;
    struct drain *drain;
    struct calls *calls;
    struct lines *lines;
    struct recordings *recordings; /* files */
    struct fetches *fetches;       /* and their way here and out */
    struct afters *afters;
    struct pins *pins;
    struct verifies *verifies;
    struct owners *owners;
    struct questions *questions; /* that the model asked the owner */
    struct past *past;    /* keeps the index of past calls true */
    struct timer *keeper; /* expiry, and adoption of what another instance leaves behind */
    uint64_t expire_wall_ms;
    bool company;         /* another instance was seen at the last look */
    struct wake *wake, *index_wake; /* from the threads of store and index to the loop */
    bool degraded;        /* the database was set aside */

    /* stopping */
    unsigned closing;     /* parts whose close callback is awaited */
    struct timer *grace;
    uint64_t stop_by_ms;
};

/* Checks config and policy. faults gets the lines of ERR_CONFIG. Any thread; starts nothing. */
int app_open(struct app **out, const struct oc_host *host, struct str create_json, struct buf *faults,
             struct err *e);
/*
 * Starts all parts, on the loop thread. On failure everything that was started is closed again (the loop
 * ends by itself). On success writes the `ready` object into ready.
 */
int app_start(struct app *app, struct buf *ready, struct err *e);
/* Begins to stop, as enum oc_stop_how says; the loop ends by itself when all is closed. Loop thread. */
void app_stop(struct app *app, int how, uint32_t grace_ms);
/* Frees what app_open() made; the loop is over and joined. */
void app_close(struct app *app);
/* Persons became one or several: live calls and the index learn it. */
void app_persons_changed(struct app *app);
/* OC_CMD_POLICY_SET. ERR_INVALID. */
int app_set_policy(struct app *app, struct str json, struct err *e);
/* Writes the fields of the `ready` object into the open object. */
void app_write_ready(struct app *app, struct buf *b);

/* ---- status.c ---- */
/* Writes the status object. `open`: what a stranger may see. */
void app_status(struct app *app, bool open, struct buf *out);
const char *app_status_word(struct app *app); /* "ok", "degraded", "draining", "stopping" */
/* New calls are taken now. */
bool app_takes_calls(struct app *app);

#endif
