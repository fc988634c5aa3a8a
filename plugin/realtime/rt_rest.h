/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_REALTIME_RT_REST_H
#define PLUGIN_REALTIME_RT_REST_H
/*
 * OpenAI's REST calls for a telephone call, over one warm connection pool: accept, reject, hangup, refer,
 * and the list of models. Loop thread. One `struct rt_api` an instance; the requests it made are
 * answered or silently dropped (after rt_api_close) exactly once.
 */
#include "plugin/call/event.h"
#include "plugin/net/httpc.h"

struct rt_api;
struct rt_rest; /* a request under way */

struct rt_api_config {
    struct str base_url;  /* "https://api.openai.com/v1", no slash at the end */
    struct str api_key;
    struct str project;   /* "proj_...", in the header OpenAI-Project; empty: that of the key */
    struct str ca_file;   /* empty: the system's */
    unsigned max_conns, warm_conns;
};

/*
 * The answer to a request; r is borrowed for the call. r->maybe_sent means that the server may have
 * done it: the status is good, or this or an earlier try got a 5xx or, after it was sent, no
 * answer. After an accept that failed so: try the sideband.
 */
typedef void rt_rest_fn(void *arg, const struct call_rest_result *r);
typedef void rt_models_fn(void *arg, int status, struct str body);

struct rt_answer { /* to a question that belongs to no call; borrowed */
    int status;    /* 0: none came */
    int err;       /* then, why */
    struct str body, text, date; /* text: why, for people; date: the header */
};
typedef void rt_answer_fn(void *arg, const struct rt_answer *a);

/* Copies the config. ERR_INVALID (URL, characters in key or project), ERR_TLS (ca_file), ERR_NOMEM. */
int rt_api_open(struct rt_api **out, struct loop *loop, const struct rt_api_config *config,
                const struct log *log, struct err *e);
/* Cancels what is under way without callbacks, then `closed` on the loop. */
void rt_api_close(struct rt_api *api, void (*closed)(void *arg), void *arg);
/*
 * POST /realtime/calls/{id}/accept. One bounded retry (about 250 ms, Retry-After up to 1 s) after
 * 429, 5xx or a network error, one after 404, none after 401 and other 4xx. fn fires once, with
 * what the last try said, not from inside this; total time is bounded by timeout_ms. The token
 * cancels by rt_rest_cancel(). One retry in all, whatever the reasons. The same codes for all
 * requests: ERR_INVALID (call_id empty or over 256 bytes), ERR_CLOSED, ERR_FULL, ERR_NOMEM: fn will
 * not fire.
 */
int rt_accept(struct rt_api *api, struct str call_id, struct str session_json, uint32_t timeout_ms,
              rt_rest_fn *fn, void *arg, struct rt_rest **out);
/* POST .../reject with a SIP status (400..699). Retried once like accept. */
int rt_reject(struct rt_api *api, struct str call_id, int sip_status, rt_rest_fn *fn, void *arg,
              struct rt_rest **out);
/* POST .../hangup; 404 means it is over already. Retried up to twice. */
int rt_hangup(struct rt_api *api, struct str call_id, rt_rest_fn *fn, void *arg,
              struct rt_rest **out);
/*
 * POST .../refer: asks the provider to send the caller elsewhere, "tel:+15551234567" or "sip:...". Sent once: 200 says
 * that it was passed on, not that anybody took the call. ERR_INVALID also for another target_uri.
 */
int rt_refer(struct rt_api *api, struct str call_id, struct str target_uri, rt_rest_fn *fn, void *arg,
             struct rt_rest **out);
int rt_models(struct rt_api *api, rt_models_fn *fn, void *arg);
/* GET /models/{model}: whether the key is good and the project has that model. ERR_INVALID: an empty name. */
int rt_model(struct rt_api *api, struct str model, rt_answer_fn *fn, void *arg);
/*
 * POST /realtime/client_secrets with that session: OpenAI checks it as it would in an accept, and no call is
 * needed. The secret that is made lives for the shortest time there is (10 s); nobody may log the body.
 */
int rt_try_session(struct rt_api *api, struct str session_json, rt_answer_fn *fn, void *arg);
/*
 * fn will not fire any more. NULL is fine. The handle is invalid once fn has returned; inside fn
 * this does nothing.
 */
void rt_rest_cancel(struct rt_rest *r);
/* What the sideband needs, see rt_sideband.h; all borrowed while the api is open. */
const struct rt_api_config *rt_api_settings(const struct rt_api *api);
struct tls_ctx *rt_api_tls(const struct rt_api *api); /* NULL for http:// */
struct loop *rt_api_loop(const struct rt_api *api);
const struct log *rt_api_log(const struct rt_api *api);

#endif
