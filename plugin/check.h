/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_CHECK_H
#define PLUGIN_CHECK_H
/*
 * The dry run: whether keys, model, voice, the webhook's way through the public address, the carrier's account and
 * numbers are as calls need them, and what to do where they are not. It never places a call and never asks a carrier
 * or OpenAI for one. The parts run at once, each within a time of its own; all of it ends within 40 s. One
 * `struct checks` an app; loop thread.
 *
 * check.c the run and its report; check_here.c what this machine tells; check_openai.c; check_reach.c the public
 * address; the carrier's part is its own (carrier_ops.check).
 *
 * An instance that was created with `check` does nothing else: no database, no calls taken up, no host asked. It
 * listens where the channel would, if nobody does, for the length of the check.
 */
#include "plugin/base/buf.h"
#include "plugin/routes.h"

struct app;
struct checks;
struct httpd_exchange;

int checks_open(struct checks **out, struct app *app);
/* Answers what is under way with 503; `closed` once on the loop, maybe from inside. */
void checks_close(struct checks *c, void (*closed)(void *arg), void *arg);
/* fn: 200 and the report (see check_text() for its members), or 503. Once, maybe at once. */
void checks_run(struct checks *c, routes_fn *fn, void *arg);

/* The report as aligned lines for people. ERR_INVALID, or out->rc. */
int check_text(struct buf *out, struct str report);

/* GET /health?probe=NONCE, 32 hex digits: tells the nonce and which instance answers. false: no such query. */
bool check_health(struct app *app, struct str query, struct buf *out);
/* Whether a verified webhook is a probe of ours; writes the answer to it. */
bool check_is_probe(struct str body, struct buf *answer);
/* httpd's handler of an instance that only checks; arg is the struct app. */
void check_serve(void *arg, struct httpd_exchange *x);

#endif
