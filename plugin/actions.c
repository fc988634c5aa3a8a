/* SPDX-License-Identifier: MIT */
/*
 * POST /calls/{id}/hold, /transfer, ...: what can be done to a live call. 202 {id,state} once the action is durable;
 * its outcome is in GET /calls/{id}/actions, in the event call.action, and in the flight record.
 */
#include "memory/lines.h"
#include "plugin/app.h"
#include "plugin/base/mem.h"
#include "plugin/lines_int.h"
#include "plugin/net/httpd.h"
#include "plugin/proto/url.h"

#include <string.h>

static const struct {
    const char *path; /* behind /calls/{id}/ */
    enum line_action_kind kind;
    const char *fields; /* what its body may hold */
} verbs[] = {
    {"hold", ACT_HOLD, ""}, {"resume", ACT_RESUME, ""},
    {"mute", ACT_MUTE, "party"}, {"unmute", ACT_UNMUTE, "party"},
    {"dtmf", ACT_DTMF, "digits party"}, {"collect", ACT_COLLECT, "text"},
    {"transfer", ACT_TRANSFER, "to mode summary"}, {"invite", ACT_INVITE, "to"},
    {"say", ACT_SAY, "text"}, {"announce", ACT_ANNOUNCE, "text party"}, {"hangup", ACT_HANGUP, ""},
    {"recording/pause", ACT_RECORD_PAUSE, ""}, {"recording/resume", ACT_RECORD_RESUME, ""},
};
#define VERBS (sizeof verbs / sizeof *verbs)

struct request { /* an action whose row is being written */
    routes_fn *fn;
    void *arg;
};

static void on_asked(void *arg, int rc, struct str id, struct str state, struct str text)
{
    struct request *r = arg;
    struct buf b;

    if (rc == 0) {
        buf_init(&b, 256);
        jw_open(&b, '{');
        jw_kstr(&b, "id", id);
        jw_kstr(&b, "state", state);
        jw_close(&b, '}');
        r->fn(r->arg, 202, b.rc < 0 ? STR("{}") : buf_str(&b));
        buf_free(&b);
    } else if (rc == ERR_BAD_STATE) {
        route_refuse(r->fn, r->arg, 409, "unsupported", "capability", text);
    } else {
        route_refuse(r->fn, r->arg, rc == ERR_NOT_FOUND ? 404 : rc == ERR_TOO_BIG ? 413
                                    : rc == ERR_DUPLICATE || rc == ERR_CLOSED ? 409 : 503,
                    rc == ERR_NOT_FOUND ? "no such live call" : rc == ERR_DUPLICATE ? "idempotency"
                    : rc == ERR_CLOSED ? "not now" : "the action is not taken", "detail", text);
    }
    mem_free(r);
}

/* Is `name` one of the words in `list`? */
static bool listed(const char *list, struct str name)
{
    struct str rest = str_of(list), word;

    while (rest.n > 0 && str_split(&rest, ' ', &word))
        if (str_eq(word, name))
            return true;
    return false;
}

/* Fills ask from the body; a sentence when it cannot. */
static const char *read_body(struct lines *ls, const struct json *body, const char *fields, struct action_ask *ask,
                             struct destination_verdict *to)
{
    struct str mode = json_get_str(body, "mode");

    for (const struct json *m = json_first(body); m != NULL; m = json_next(m))
        if ((!listed(fields, json_key(m)) && !str_eqc(json_key(m), "idempotency_key")) || json_str(m).p == NULL)
            return "the body holds something that this action does not take";
    ask->party = json_get_str(body, "party");
    ask->text = json_get_str(body, ask->kind == ACT_DTMF       ? "digits"
                                   : ask->kind == ACT_TRANSFER ? "summary" : "text");
    if (ask->idem.n == 0)
        ask->idem = json_get_str(body, "idempotency_key");
    ask->warm = str_eqc(mode, "warm");
    if (mode.n > 0 && !ask->warm && !str_eqc(mode, "blind"))
        return "mode is blind or warm";
    if (ask->kind == ACT_DTMF && !line_digits_good(ask->text))
        return "digits are up to 64 of 0-9 * #, and w for half a second's pause";
    if ((ask->kind == ACT_SAY || ask->kind == ACT_ANNOUNCE) && ask->text.n == 0)
        return "text is missing";
    if (ask->kind != ACT_TRANSFER && ask->kind != ACT_INVITE)
        return NULL;
    lines_decide(ls, json_get_str(body, "to"), to);
    if (!to->allow)
        return to->text;
    ask->to = str_of(to->number);
    ask->party = to->name[0] != '\0' ? str_of(to->name) : STR("guest");
    return NULL;
}

static void act(const struct route_ask *ask, struct action_ask *action, const char *fields)
{
    struct lines *ls = ask->app->lines;
    struct destination_verdict to = {.allow = true};
    struct json *body = NULL;
    struct request *r = MEM_NEW(struct request);
    const char *fault = NULL;

    if (ask->body.n > 0 && (json_parse(&body, ask->body, NULL) < 0 || !json_is_object(body)))
        fault = "the body is no JSON object";
    if (fault == NULL)
        fault = read_body(ls, body, fields, action, &to);
    if (fault != NULL && !to.allow) {
        route_refuse(ask->fn, ask->arg, 403, to.reason, "detail", str_of(to.text));
    } else if (fault != NULL || r == NULL) {
        route_error(ask, r == NULL ? 503 : 400, fault != NULL ? fault : "out of memory");
    } else {
        *r = (struct request){ask->fn, ask->arg};
        lines_act(ls, action, on_asked, r);
        r = NULL;
    }
    mem_free(r);
    json_free(body);
}

static void on_listed(void *arg, int rc, struct str json)
{
    struct request *r = arg;

    r->fn(r->arg, rc < 0 ? 503 : 200, rc < 0 ? STR("{\"error\":\"the database does not answer\"}") : json);
    mem_free(r);
}

static void list(const struct route_ask *ask, struct str call)
{
    struct request *r = MEM_NEW(struct request);

    if (r != NULL) {
        *r = (struct request){ask->fn, ask->arg};
        if (action_list(ask->app->store, call, on_listed, r) == 0)
            return;
    }
    mem_free(r);
    route_error(ask, 503, "overloaded; try again");
}

/* DELETE /calls/{id}/parties/{party}: no name is nobody, not the caller. */
static void take_out(const struct route_ask *ask, struct action_ask *action, struct str party)
{
    struct request *r = MEM_NEW(struct request);
    struct buf name;

    buf_init(&name, 3 * LINE_LABEL_BYTES);
    if (party.n == 0 || url_unescape(&name, party, false) < 0) {
        route_error(ask, 404, "no such party");
    } else if (r == NULL) {
        route_error(ask, 503, "out of memory");
    } else {
        *r = (struct request){ask->fn, ask->arg};
        action->kind = ACT_REMOVE;
        action->party = buf_str(&name);
        lines_act(ask->app->lines, action, on_asked, r);
        r = NULL;
    }
    mem_free(r);
    buf_free(&name);
}

bool action_route(const struct route_ask *ask)
{
    struct action_ask action = {.idem = ask->idem, .by = STR("api")};
    struct str call = str_skip(ask->path, 7), tail;

    if (!str_starts(ask->path, STR("/calls/")))
        return false;
    tail = str_skip(call, str_find(call, '/') + 1);
    action.call = call = str_head(call, str_find(call, '/'));
    if (str_eqc(tail, "actions") && str_eqc(ask->method, "GET")) {
        list(ask, call);
        return true;
    }
    if (str_eqc(ask->method, "DELETE") && str_starts(tail, STR("parties/"))) {
        take_out(ask, &action, str_skip(tail, 8));
        return true;
    }
    for (unsigned i = 0; i < VERBS; i++) {
        if (!str_eqc(tail, verbs[i].path))
            continue;
        action.kind = verbs[i].kind;
        if (str_eqc(ask->method, "POST"))
            act(ask, &action, verbs[i].fields);
        else
            route_error(ask, 405, "POST does this to the call");
        return true;
    }
    return false;
}
