/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_ROUTES_H
#define PLUGIN_ROUTES_H
/*
 * The HTTP paths: POST /webhook (route_webhook.c), GET /health, and behind the bearer token the API of
 * calls. The same queries serve OC_CMD_HTTP. Owner: the app. Loop thread.
 */
#include "plugin/base/err.h"
#include "plugin/base/str.h"

struct app;
struct httpd_exchange;
struct routes;

int routes_open(struct routes **out, struct app *app);
/* No exchange may be open any more, or httpd takes their answers into the void. */
void routes_close(struct routes *r);
/* httpd's handler; arg is the struct routes. */
void routes_handle(void *arg, struct httpd_exchange *x);
/* Refuse new calls from now on with 503, so that they are retried at the next instance. */
void routes_drain(struct routes *r);

typedef void routes_fn(void *arg, int status, struct str body);
/* A request of the API by an already trusted asker; path with its query. fn fires once, maybe at once. */
void routes_query(struct routes *r, struct str method, struct str path, struct str body, routes_fn *fn,
                  void *arg);

struct route_ask { /* one request, split; borrowed until its handler returns */
    struct app *app;
    struct str method;
    struct str path, query;
    struct str body;
    struct str idem; /* Idempotency-Key, or empty */
    routes_fn *fn;
    void *arg;
};
/* {"error": error, key: value}; key NULL: the error alone. */
void route_refuse(routes_fn *fn, void *arg, int status, const char *error, const char *key, struct str value);
/*
 * A peer whose authentication failed too often is answered 429 here, for this request that failed, too: true. Else the
 * caller answers it and logs it.
 */
bool route_failed_often(struct app *app, struct httpd_exchange *x);
void route_error(const struct route_ask *ask, int status, const char *text);
/* Value of a query parameter, percent-decoded into out[cap]; false when absent or too long. */
bool route_parameter(const struct route_ask *ask, const char *name, char *out, size_t cap);

/* ---- route_people.c: /callers, /search, /missed-calls, /handoffs, /backup, /calls/{id}/handoff ---- */
/* false: the path is none of these. */
bool people_route(const struct route_ask *ask);

/* ---- route_recorded.c: GET, HEAD and DELETE of /calls/{id}/recording ---- */
/* false: the path is another. x: the exchange, which is answered with the file itself; NULL: fn gets what is known. */
bool recorded_route(const struct route_ask *ask, struct httpd_exchange *x);

/* ---- route_webhook.c ---- */
struct webhooks;
int webhooks_open(struct webhooks **out, struct app *app);
void webhooks_close(struct webhooks *w);
void webhooks_drain(struct webhooks *w);
void webhooks_handle(struct webhooks *w, struct httpd_exchange *x);
/* Whether its signature is good, or none is asked for; else it is answered. */
bool webhook_verified(struct app *app, struct httpd_exchange *x);

#endif
