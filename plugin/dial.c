/* SPDX-License-Identifier: MIT */
/*
 * POST /call and DELETE /call/{id}: who asks for a call, with what words, to whom. Everything is decided here, from
 * configuration and mirrored lists, so a blocked gateway changes nothing. The answer leaves when the call is a row.
 */
#include "abi/openclaw_voice.h"
#include "memory/lines.h"
#include "plugin/base/clock.h"
#include "plugin/base/mem.h"
#include "plugin/calls.h"
#include "plugin/config/config.h"
#include "plugin/costs.h"
#include "plugin/drain.h"
#include "plugin/lines_int.h"
#include "plugin/notice.h"
#include "plugin/owner.h"

#include <stdio.h>
#include <string.h>

#define CLAIM_MS 2000u
#define MESSAGE_BYTES 2000u
#define PURPOSE_BYTES 4000u
#define CONTEXT_BYTES 16000u
#define SESSION_BYTES 256u
#define KEY_BYTES 128u
#define SPEC_BYTES 65536u

struct dial { /* a request that is not durable yet */
    struct lines *ls;
    routes_fn *fn;
    void *arg;
    struct id id;
    struct phone to;
    struct caller_verdict verdict;
    struct line_settings set;
    char ref[LINE_REF_BYTES];
    uint64_t at_wall_ms, due_wall_ms;
    char idem[KEY_BYTES + 1];
    struct buf spec; /* not closed until it is known whose the call is */
};

static void dial_free(struct dial *d)
{
    if (d == NULL)
        return;
    d->ls->dialing--;
    buf_free(&d->spec);
    mem_free(d);
}

/* ---- Answers ---- */

static void refuse(routes_fn *fn, void *arg, int status, const char *error, const char *text)
{
    route_refuse(fn, arg, status, error, text != NULL ? "detail" : NULL, str_of(text));
}

static void accept_call(routes_fn *fn, void *arg, struct str call, uint64_t due_wall_ms)
{
    struct buf b;

    buf_init(&b, 512);
    jw_open(&b, '{');
    jw_kstrc(&b, "status", "initiated");
    jw_kstr(&b, "call_id", call);
    if (due_wall_ms > 0)
        jw_kint(&b, "due_at", (int64_t)due_wall_ms);
    jw_close(&b, '}');
    fn(arg, 200, b.rc < 0 ? STR("{}") : buf_str(&b));
    buf_free(&b);
}

/* ---- What is asked ---- */

static const struct {
    const char *name;
    size_t max; /* bytes of a text; 0: no text */
} members[] = {{"to", PHONE_BYTES - 1},    {"message", MESSAGE_BYTES}, {"caller_id", PHONE_BYTES - 1},
               {"purpose", PURPOSE_BYTES}, {"context", CONTEXT_BYTES}, {"session", SESSION_BYTES},
               {"owner", OWNER_BYTES - 1}, {"idempotency_key", KEY_BYTES}, {"record", 0}, {"max_minutes", 0},
               {"report", 0}};

static const char *report_fault(const struct json *report)
{
    static const char *const names[] = {"session", "channel", "to", "account"};

    if (report != NULL && !json_is_object(report))
        return "report is {session?, channel?, to?, account?}: where it is told how the call ended";
    for (const struct json *m = json_first(report); m != NULL; m = json_next(m)) {
        bool known = false;

        for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
            known = known || str_eqc(json_key(m), names[i]);
        if (!known || json_str(m).n == 0 || json_str(m).n > SESSION_BYTES)
            return "report holds texts of at most 256 bytes: session, channel, to, account";
    }
    return (json_get(report, "channel") == NULL) == (json_get(report, "to") == NULL)
               ? NULL : "report names a chat by channel and to, or a session alone";
}

/* NULL, or what is wrong with the body. */
static const char *fault_of(const struct config *c, const struct json *body, char *text, size_t cap)
{
    int64_t minutes = json_get_int(body, "max_minutes", 1);

    for (const struct json *m = json_first(body); m != NULL; m = json_next(m)) {
        bool known = false;

        for (unsigned i = 0; i < sizeof members / sizeof *members; i++) {
            if (!str_eqc(json_key(m), members[i].name))
                continue;
            known = true;
            if (members[i].max > 0 && (json_str(m).p == NULL || json_str(m).n > members[i].max)) {
                (void)snprintf(text, cap, "%s is a text of at most %zu bytes", members[i].name, members[i].max);
                return text;
            }
        }
        if (!known) {
            (void)snprintf(text, cap, "%.*s is not known; possible are to, message, caller_id, purpose, context, "
                           "session, owner, record, max_minutes, report and idempotency_key",
                           STR_ARG(str_head(json_key(m), 40)));
            return text;
        }
    }
    if (json_get_str(body, "to").n == 0)
        return "to is missing: the number to call, such as +15551234567";
    if (json_get(body, "record") != NULL && !json_is_bool(json_get(body, "record")))
        return "record is true or false";
    if (minutes < 1 || minutes > (int64_t)c->call.max_duration_min) {
        (void)snprintf(text, cap, "max_minutes is 1 to %u (channels.voice.call.max_call_duration_minutes)",
                       c->call.max_duration_min);
        return text;
    }
    return report_fault(json_get(body, "report"));
}

static bool own_number(const struct config *c, struct str number)
{
    for (unsigned i = 0; i < c->twilio.phone_numbers.n; i++)
        if (str_eqc(number, c->twilio.phone_numbers.v[i]))
            return true;
    return false;
}

void dial_settings(const struct lines *ls, struct str to, const struct json *spec, struct line_settings *out)
{
    struct str from = json_get_str(spec, "caller_id");
    int64_t minutes = json_get_int(spec, "max_minutes", 0);

    lines_settings(ls, true, to, out);
    if (minutes > 0)
        out->max_ms = (uint32_t)minutes * 60000u;
    if (from.n > 0)
        (void)str_copy(out->own, sizeof out->own, from);
    if (json_get(spec, "record") != NULL)
        line_set_record(ls, out, json_get_bool(spec, "record", false));
}

static int write_spec(struct dial *d, const struct json *body, struct str by)
{
    static const char *const texts[] = {"message", "purpose", "context", "session", "caller_id"};
    struct str owner = json_get_str(body, "owner");

    buf_init(&d->spec, SPEC_BYTES);
    jw_open(&d->spec, '{');
    jw_kstr(&d->spec, "by", by);
    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++)
        if (json_get_str(body, texts[i]).n > 0)
            jw_kstr(&d->spec, texts[i], json_get_str(body, texts[i]));
    if (owner.n > 0)
        jw_kstr(&d->spec, "for", owner);
    if (json_get(body, "max_minutes") != NULL)
        jw_kint(&d->spec, "max_minutes", json_get_int(body, "max_minutes", 0));
    if (d->set.record || json_get(body, "record") != NULL)
        jw_kbool(&d->spec, "record", d->set.record);
    if (json_get(body, "report") != NULL) {
        jw_key(&d->spec, "report");
        jw_node(&d->spec, json_get(body, "report"));
    }
    if (d->ls->app->config->outbound.voicemail_message[0] != '\0')
        jw_kstrc(&d->spec, "voicemail_message", d->ls->app->config->outbound.voicemail_message);
    return d->spec.rc;
}

/* ---- Beginning ---- */

static void notify_initiated(struct dial *d)
{
    struct app *app = d->ls->app;
    struct buf b;

    notice_begin(&b, OC_EV_INITIATED, str_of(d->id.text));
    jw_kstrc(&b, "direction", "outbound");
    jw_kstrc(&b, "to", d->to.number);
    jw_kstrc(&b, "status", "initiated");
    if (d->due_wall_ms > 0)
        jw_kint(&b, "due_at", (int64_t)d->due_wall_ms);
    notice_send(app, &b, OC_EV_INITIATED, str_of(d->id.text));
    if (app->config->logging.call_events)
        log_info(&app->log, "%s: a call to %s is asked for", d->id.text,
                 log_number(&app->log, str_of(d->to.number)).text);
}

static void begin(struct dial *d)
{
    struct app *app = d->ls->app;
    const struct calls_waiting waiting = {
        .id = d->id, .outbound = true, .other = d->to, .verdict = d->verdict, .spec = buf_str(&d->spec),
        .received_wall_ms = d->at_wall_ms, .max_duration_ms = d->set.max_ms,
        .recorded = d->set.record, .notice = d->set.record && d->set.consent == CONSENT_NOTICE,
        .ask_consent = d->set.record && d->set.consent == CONSENT_ASK};
    const struct line_start start = {.call = str_of(d->id.text), .set = d->set, .ref = str_of(d->ref),
                                     .to = str_of(d->to.number), .due_wall_ms = d->due_wall_ms};

    notify_initiated(d);
    (void)journal_hop(app->store, str_of(d->id.text), d->at_wall_ms, STR("asked"),
                      d->due_wall_ms > 0 ? STR("the call waits for the end of the quiet hours") : STR(""));
    calls_begin_waiting(app->calls, &waiting);
    if (lines_begin(d->ls, &start) < 0)
        log_error(&app->log, "%s: no memory for its line; it begins with the next start", d->id.text);
}

static void on_made(void *arg, int rc, enum line_made made, struct str call)
{
    struct dial *d = arg;

    if (rc < 0)
        refuse(d->fn, d->arg, 503, "the call could not be recorded; try again", NULL);
    else if (made == LINE_MADE_OTHER)
        refuse(d->fn, d->arg, 409, "this idempotency_key stands with another body", NULL);
    else
        accept_call(d->fn, d->arg, call, made == LINE_MADE_NEW ? d->due_wall_ms : 0);
    if (rc == 0 && made == LINE_MADE_NEW && !d->ls->leaving)
        begin(d);
    dial_free(d);
}

/* Of what was asked for, not of whose it turned out to be. */
static int hash_spec(struct dial *d, char hex[65])
{
    unsigned char hash[32];
    struct buf key;
    int rc;

    buf_init(&key, SPEC_BYTES + 64);
    (void)buf_printf(&key, "%s %.*s}", d->to.number, STR_ARG(buf_str(&d->spec)));
    id_sha256(hash, buf_str(&key));
    id_hex(hex, hash, sizeof hash);
    rc = key.rc;
    buf_free(&key);
    return rc;
}

static void close_spec(struct dial *d, struct str owner, struct str session)
{
    if (owner.n > 0) {
        jw_kstr(&d->spec, "owner", owner);
        jw_kstr(&d->spec, "owner_session", session);
    }
    jw_close(&d->spec, '}');
}

static int put_rows(struct dial *d, struct str owner, struct str session)
{
    const struct config *c = d->ls->app->config;
    char hex[65], key[KEY_BYTES + 8];
    int rc = hash_spec(d, hex);
    struct journal_call call = {
        .id = str_of(d->id.text), .direction = STR("outbound"), .from = str_of(d->to.number), .from_kind = STR("e164"),
        .level = str_of(caller_level_name(d->verdict.level)), .state = STR(JOURNAL_WAITING),
        .received_at = d->at_wall_ms, .model = str_of(c->openai.model), .voice = str_of(c->openai.voice)};
    struct line_row row = {.call = call.id, .carrier = str_of(lines_carrier(d->ls)), .ref = str_of(d->ref),
                           .phase = STR("queued"), .number = call.from, .own = str_of(d->set.own),
                           .made_at = d->at_wall_ms, .due_at = d->due_wall_ms};

    close_spec(d, owner, session);
    row.spec = buf_str(&d->spec);
    if (d->idem[0] != '\0') { /* askers' keys never meet the ones we make for incoming legs */
        (void)snprintf(key, sizeof key, "key:%s", d->idem);
        row.idem = str_of(key);
        row.idem_hash = str_of(hex);
    }
    if (rc == 0)
        rc = d->spec.rc;
    return rc < 0 ? rc : line_put(d->ls->app->store, &call, &row, clock_mono_ms() + CLAIM_MS, on_made, d);
}

static void on_owner(void *arg, struct str owner, struct str session)
{
    struct dial *d = arg;

    if (d->ls->leaving) {
        refuse(d->fn, d->arg, 503, "shutting down; try again", NULL);
        dial_free(d);
    } else if (put_rows(d, owner, session) < 0) {
        refuse(d->fn, d->arg, 503, "the call could not be recorded; try again", NULL);
        dial_free(d);
    }
}

static void put_when_owner_is_known(struct dial *d, const struct json *body)
{
    const struct json *report = json_get(body, "report");
    struct owner_ask ask = {json_get_str(body, "owner"), json_get_str(body, "session")};
    struct str channel = json_get_str(report, "channel"), to = json_get_str(report, "to");
    char chat[OWNER_BYTES];

    /* Who has it told to a chat owns it, unless that is a room: an answer is taken from one person alone. */
    if (ask.named.n == 0 && to.n > 0 && to.p[0] != '-' && str_find(to, ':') == to.n &&
        snprintf(chat, sizeof chat, "%.*s:%.*s", STR_ARG(channel), STR_ARG(to)) < (int)sizeof chat)
        ask.named = str_of(chat);
    if (ask.session.n == 0)
        ask.session = json_get_str(report, "session");
    owner_find(d->ls->app, &ask, on_owner, d);
}

/* A linked number of the owner's is what may be called where nothing is configured. */
void lines_decide(const struct lines *ls, struct str to, struct destination_verdict *out)
{
    struct caller_verdict v;
    char number[PHONE_BYTES] = "";
    const char *linked[1] = {number};

    if (!phone_is_e164(to)) {
        destination_target_decide(ls->destinations, to, NULL, 0, out);
        return;
    }
    (void)str_copy(number, sizeof number, to);
    caller_decide(ls->app->policy, to, &v);
    destination_decide(ls->destinations, to, linked, v.level >= CALLER_LINKED ? 1 : 0, out);
}

static const char *quiet_until(struct dial *d)
{
    const struct config *c = d->ls->app->config;
    struct destination_quiet q = {0};
    struct err e = {0};

    if (destination_quiet_ask(&q, str_of(d->to.number), d->at_wall_ms, &c->outbound.quiet_hours, &e) < 0) {
        log_warn(&d->ls->app->log, "quiet hours: %s", e.text);
        return "the quiet hours of this number cannot be told; see the log";
    }
    if (q.quiet && q.until_ms == 0)
        return "it is quiet at this number all day";
    d->due_wall_ms = q.quiet ? q.until_ms : 0;
    return NULL;
}

void dial_ask(struct app *app, const struct json *body, struct str idem, struct str by, routes_fn *fn, void *arg)
{
    struct lines *ls = app->lines;
    struct destination_verdict to;
    enum cost_cap cap;
    char text[240];
    struct dial *d;
    const char *fault = fault_of(app->config, body, text, sizeof text);

    if (ls == NULL || ls->carrier == NULL) {
        refuse(fn, arg, 409, "unsupported", "no carrier is configured: set channels.voice.twilio.account_sid, "
               "auth_token and phone_number, and channels.voice.webhook.base_url");
        return;
    }
    if (fault == NULL && json_get_str(body, "caller_id").n > 0 &&
        !own_number(app->config, json_get_str(body, "caller_id")))
        fault = "caller_id is none of channels.voice.twilio.phone_number";
    if (fault != NULL) {
        refuse(fn, arg, 400, fault, NULL);
        return;
    }
    if (json_get_bool(body, "record", false) && (ls->carrier->ops->can & LINE_CAN_RECORD) == 0) {
        route_refuse(fn, arg, 409, "unsupported", "capability", STR("record"));
        return;
    }
    lines_decide(ls, json_get_str(body, "to"), &to);
    if (!to.allow) {
        log_info(&app->log, "a call that %.*s asked for is refused: %s", STR_ARG(by), to.reason);
        refuse(fn, arg, strcmp(to.reason, "not_e164") == 0 ? 400 : 403, to.reason, to.text);
        return;
    }
    if (drain_active(app->drain)) {
        refuse(fn, arg, 503, "draining", "the channel is about to stop and places no new calls; try again later");
        return;
    }
    if (ls->n_queued + ls->dialing >= LINES_QUEUED_MAX) {
        refuse(fn, arg, 503, "queue_full", "too many calls wait to be placed already; try again later");
        return;
    }
    cap = costs_refusal(app->costs, str_of(to.number));
    if (cap != COST_CAP_NONE) {
        refuse(fn, arg, 409, "cost_limit", cost_cap_words(cap));
        return;
    }
    if (ls->leaving || app->phase != APP_RUNNING || !costs_ready(app->costs) || (d = MEM_NEW(struct dial)) == NULL) {
        refuse(fn, arg, 503, "shutting down; try again", NULL);
        return;
    }
    d->ls = ls;
    ls->dialing++;
    d->fn = fn;
    d->arg = arg;
    d->at_wall_ms = clock_wall_ms();
    d->to.kind = PHONE_E164;
    (void)str_copy(d->to.number, sizeof d->to.number, str_of(to.number));
    caller_decide(app->policy, str_of(d->to.number), &d->verdict);
    dial_settings(ls, str_of(d->to.number), body, &d->set);
    fault = quiet_until(d);
    if (fault != NULL) {
        refuse(fn, arg, 409, "quiet_hours", fault);
        dial_free(d);
        return;
    }
    if (idem.n == 0)
        idem = json_get_str(body, "idempotency_key");
    (void)str_copy(d->idem, sizeof d->idem, str_head(idem, KEY_BYTES));
    if (write_spec(d, body, by) < 0 || lines_fresh_ref(d->ref) < 0 || id_make(&d->id, "call_", d->at_wall_ms) < 0) {
        refuse(fn, arg, 503, "the call could not be recorded; try again", NULL);
        dial_free(d);
    } else {
        put_when_owner_is_known(d, body);
    }
}

/* ---- Routes ---- */

static void post_call(const struct route_ask *ask)
{
    struct json *body = NULL;

    if (json_parse(&body, ask->body, NULL) < 0 || !json_is_object(body))
        route_error(ask, 400, "the body is no JSON object such as {\"to\":\"+15551234567\",\"purpose\":\"...\"}");
    else
        dial_ask(ask->app, body, ask->idem, STR("api"), ask->fn, ask->arg);
    json_free(body);
}

struct ending {
    routes_fn *fn;
    void *arg;
    char call[ID_BYTES]; /* our id of it */
};

static void end_answer(struct ending *e, const char *status)
{
    struct buf b;

    buf_init(&b, 256);
    jw_open(&b, '{');
    jw_kstrc(&b, "status", status);
    jw_kstrc(&b, "call_id", e->call);
    jw_close(&b, '}');
    e->fn(e->arg, 200, b.rc < 0 ? STR("{}") : buf_str(&b));
    buf_free(&b);
    mem_free(e);
}

static void on_end_asked(void *arg, int rc, struct str id, struct str state, struct str text)
{
    struct ending *e = arg;

    (void)id;
    (void)state;
    if (rc < 0 && rc != ERR_CLOSED) {
        refuse(e->fn, e->arg, rc == ERR_BAD_STATE ? 409 : 503, "the call could not be ended", text.p);
        mem_free(e);
        return;
    }
    end_answer(e, "ending");
}

static void on_known(void *arg, int rc, struct str json)
{
    struct ending *e = arg;
    struct json *row = NULL;
    bool over = rc == 0 && json_parse(&row, json, NULL) == 0 && str_eqc(json_get_str(row, "state"), JOURNAL_OVER);

    (void)str_copy(e->call, sizeof e->call, json_get_str(row, "call"));
    json_free(row);
    if (over) {
        end_answer(e, "completed");
        return;
    }
    refuse(e->fn, e->arg, rc == ERR_NOT_FOUND ? 404 : 503, rc == ERR_NOT_FOUND ? "no such call" : "try again", NULL);
    mem_free(e);
}

/* 200 in every state: one that is over stays so, one that waits never rings. */
static void delete_call(const struct route_ask *ask, struct str call)
{
    struct lines *ls = ask->app->lines;
    const struct trunk *t = ls != NULL ? trunk_by(ls, call) : NULL;
    struct str ours = t != NULL ? str_of(t->call) : calls_ours(ask->app->calls, call);
    const struct action_ask hang_up = {.call = ours, .kind = ACT_HANGUP, .by = STR("api")};
    struct ending *e = MEM_NEW(struct ending);

    if (e == NULL) {
        route_error(ask, 503, "out of memory");
        return;
    }
    e->fn = ask->fn;
    e->arg = ask->arg;
    (void)str_copy(e->call, sizeof e->call, ours); /* a name of others that does not fit is looked up below */
    if (lines_has(ls, ours) || calls_line_away(ask->app->calls, ours)) {
        lines_act(ls, &hang_up, on_end_asked, e);
    } else if (calls_end(ask->app->calls, ours, CALL_REASON_OPERATOR, STR("by the API")) == 0) {
        end_answer(e, "ending");
    } else if (journal_query(ask->app->store, JOURNAL_Q_CALL, call, 1, on_known, e) < 0) {
        mem_free(e);
        route_error(ask, 503, "overloaded; try again");
    }
}

bool dial_route(const struct route_ask *ask)
{
    bool one = str_starts(ask->path, STR("/call/"));

    if (!one && !str_eqc(ask->path, "/call"))
        return false;
    if (!one && str_eqc(ask->method, "POST"))
        post_call(ask);
    else if (one && str_eqc(ask->method, "DELETE"))
        delete_call(ask, str_skip(ask->path, 6));
    else
        route_error(ask, 405, one ? "DELETE ends this call" : "POST makes a call");
    return true;
}
