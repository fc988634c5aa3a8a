/* SPDX-License-Identifier: MIT */
/*
 * The carrier's webhooks, POST /twilio/...: verified by their signature, read by the carrier, fed to the line that
 * they are about. What a webhook is answered with is decided from the line as it is then; nothing waits for the host.
 */
#include "memory/lines.h"
#include "plugin/base/clock.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "plugin/calls.h"
#include "plugin/config/config.h"
#include "plugin/costs.h"
#include "plugin/lines_int.h"
#include "plugin/net/httpd.h"
#include "plugin/refusal.h"
#include "plugin/screen.h"

#include <string.h>

#define CLAIM_MS 2000u
#define DOCUMENT_BYTES 16384u

/* ---- Answers ---- */

static void answer(struct lines *ls, struct httpd_exchange *x, const struct carrier_step *steps, unsigned n)
{
    struct buf doc;
    const char *type = "text/xml";

    buf_init(&doc, DOCUMENT_BYTES);
    if (ls->carrier->ops->render(ls->carrier, steps, n, &doc, &type) < 0) {
        log_error(&ls->app->log, "no document could be written for the carrier");
        httpd_reply(x, 500, "text/plain", STR("out of memory\n"));
    } else {
        httpd_reply(x, 200, type, buf_str(&doc));
    }
    buf_free(&doc);
}

static void answer_hang_up(struct lines *ls, struct httpd_exchange *x)
{
    const struct carrier_step step = {.kind = STEP_HANG_UP};

    answer(ls, x, &step, 1);
}

static void answer_join(struct lines *ls, struct httpd_exchange *x, struct str ref, struct str label, uint32_t max_ms)
{
    const struct carrier_step step = {.kind = STEP_JOIN, .ref = ref, .label = label, .seconds = max_ms / 1000u,
                                      .ends_room = true};

    answer(ls, x, &step, 1);
}

/* ---- A call comes in ---- */

struct incoming { /* a decision that is not durable yet */
    struct lines *ls;
    struct httpd_exchange *x;
    struct id id;
    struct phone from;
    struct caller_verdict verdict;
    struct line_settings set;
    char ref[LINE_REF_BYTES], sid[LINE_SID_BYTES];
    uint64_t received_wall_ms;
};

static void begin_incoming(struct incoming *in)
{
    struct app *app = in->ls->app;
    const struct calls_waiting waiting = {
        .id = in->id, .other = in->from, .verdict = in->verdict, .received_wall_ms = in->received_wall_ms,
        .max_duration_ms = in->set.max_ms, .recorded = in->set.record,
        .notice = in->set.record && in->set.consent == CONSENT_NOTICE,
        .ask_consent = in->set.record && in->set.consent == CONSENT_ASK};
    const struct line_start start = {.call = str_of(in->id.text), .set = in->set, .ref = str_of(in->ref),
                                     .caller_sid = str_of(in->sid), .from = str_of(in->from.number)};

    calls_begin_waiting(app->calls, &waiting);
    if (lines_begin(in->ls, &start) < 0)
        log_error(&app->log, "%s: no memory for its line; it begins with the next start", in->id.text);
}

static void on_made(void *arg, int rc, enum line_made made, struct str call)
{
    struct incoming *in = arg;
    struct lines *ls = in->ls;
    struct trunk *t = rc == 0 && made == LINE_MADE_SAME && !ls->leaving ? trunk_find(ls, call) : NULL;
    const struct carrier_step busy = {.kind = STEP_REJECT, .busy = true};

    if (rc < 0) {
        log_error(&ls->app->log, "an incoming call could not be recorded: %s", err_name(rc));
        answer(ls, in->x, &busy, 1);
    } else if (made == LINE_MADE_NEW) {
        answer_join(ls, in->x, str_of(in->ref), STR("caller"), in->set.max_ms);
        if (!ls->leaving)
            begin_incoming(in);
    } else if (t != NULL) { /* the webhook came twice */
        answer_join(ls, in->x, str_of(t->m.ref), STR("caller"), t->m.set.max_ms);
    } else {
        answer_hang_up(ls, in->x);
    }
    mem_free(in);
}

/* From is a number, or one of the carrier's words for none. */
static void read_from(struct incoming *in, struct str from)
{
    char header[120];
    struct buf b;

    buf_init(&b, sizeof header);
    (void)buf_printf(&b, "<sip:%.*s@carrier.invalid>", STR_ARG(str_head(from, 64)));
    (void)str_copy(header, sizeof header, buf_str(&b));
    buf_free(&b);
    (void)phone_from_sip(&in->from, str_of(header));
    in->from.host = STR_NONE;
}

static int put_rows(struct incoming *in)
{
    struct app *app = in->ls->app;
    struct buf spec, idem;
    int rc;
    struct journal_call call;
    struct line_row row = {.call = str_of(in->id.text), .carrier = str_of(lines_carrier(in->ls)),
                           .ref = str_of(in->ref), .phase = STR("answered"), .number = str_of(in->from.number),
                           .own = str_of(in->set.own), .made_at = in->received_wall_ms};

    screen_row(app, &in->id, &in->from, &in->verdict, in->received_wall_ms, &call);
    call.state = STR(JOURNAL_WAITING);
    buf_init(&spec, 256);
    jw_open(&spec, '{');
    jw_kstrc(&spec, "sid", in->sid);
    if (in->set.record)
        jw_kbool(&spec, "record", true);
    jw_close(&spec, '}');
    buf_init(&idem, 128);
    (void)buf_printf(&idem, "leg:%s", in->sid); /* the same webhook twice is one call */
    row.spec = buf_str(&spec);
    row.idem = buf_str(&idem);
    row.idem_hash = STR("leg");
    rc = line_put(app->store, &call, &row, clock_mono_ms() + CLAIM_MS, on_made, in);
    buf_free(&spec);
    buf_free(&idem);
    return rc;
}

static void on_incoming(struct lines *ls, struct httpd_exchange *x, const struct carrier_event *ev)
{
    struct app *app = ls->app;
    struct incoming *in = MEM_NEW(struct incoming);
    const struct carrier_step busy = {.kind = STEP_REJECT, .busy = true};
    const struct carrier_step no = {.kind = STEP_REJECT};
    struct calls_incoming call = {0};

    if (in == NULL || !str_copy(in->sid, sizeof in->sid, ev->sid) || lines_fresh_ref(in->ref) < 0 ||
        id_make(&in->id, "call_", clock_wall_ms()) < 0) {
        mem_free(in);
        answer(ls, x, &busy, 1);
        return;
    }
    in->ls = ls;
    in->x = x;
    in->received_wall_ms = clock_wall_ms();
    read_from(in, ev->from);
    screen_caller(app, str_of(in->from.number), access_attestation_read(ev->attestation), &in->verdict);
    lines_settings(ls, false, str_of(in->from.number), &in->set);
    call = (struct calls_incoming){.id = in->id, .from = in->from, .verdict = in->verdict,
                                   .received_wall_ms = in->received_wall_ms};
    /* While it stops, the calls there are count as too many; a day's costs that are not read yet, too. */
    screen_limit(app, &call, app->phase != APP_RUNNING || !costs_ready(app->costs) ? UINT16_MAX : 0);
    if (!screen_takes(&call)) {
        refusal_note(app, &call);
        answer(ls, x, in->verdict.accept ? &busy : &no, 1);
        mem_free(in);
        return;
    }
    if (put_rows(in) < 0) {
        answer(ls, x, &busy, 1);
        mem_free(in);
    }
}

/* ---- About calls there are ---- */

struct stray { /* a callback for a line that is not in memory */
    struct lines *ls;
    struct leg leg;
};

/* Its call is over: whoever still rings or waits there is hung up. */
static void on_row(void *arg, int rc, const struct line_row *rows, unsigned n)
{
    struct stray *st = arg;
    struct lines *ls = st->ls;
    struct line line = {0};
    const struct carrier_order order = {.what = LINE_CMD_END_LEG, .line = &line, .leg = &st->leg, .call = STR("")};

    if (rc == 0 && n == 1 && str_eqc(rows[0].phase, "completed") && !str_eqc(rows[0].outcome, "transferred") &&
        !ls->leaving) {
        (void)str_copy(line.ref, sizeof line.ref, rows[0].ref);
        log_info(&ls->app->log, "%.*s is over: a leg that was still open is hung up", STR_ARG(rows[0].call));
        if (ls->carrier->ops->command(ls->carrier, &order) < 0)
            log_error(&ls->app->log, "%.*s: the hang-up of its leg could not be sent", STR_ARG(rows[0].call));
    }
    mem_free(st);
}

static void on_stray(struct lines *ls, const struct carrier_event *ev)
{
    struct leg leg;
    struct stray *st;

    if (ls->app->store == NULL || ev->said != SAID_STATUS || ev->ref.n == 0 || !line_stray(&ev->event, &leg) ||
        (st = MEM_NEW(struct stray)) == NULL)
        return;
    *st = (struct stray){ls, leg};
    if (line_row_of(ls->app->store, ev->ref, on_row, st) < 0)
        mem_free(st);
}

static const struct line_action *action_of(const struct trunk *t, struct str id)
{
    for (unsigned i = 0; t != NULL && i < LINE_ACTIONS; i++)
        if (t->m.actions[i].kind != ACT_NONE && str_eqc(id, t->m.actions[i].id))
            return &t->m.actions[i];
    return NULL;
}

/* What the carrier should say or play: words of an action, or the quiet of a hold. */
static void on_words(struct lines *ls, struct httpd_exchange *x, const struct trunk *t, struct str token)
{
    const struct line_action *a = action_of(t, token);
    struct carrier_step step = {.kind = STEP_PAUSE, .seconds = 60};

    if (a != NULL)
        step = (struct carrier_step){.kind = a->kind == ACT_DTMF ? STEP_DIGITS : STEP_SAY, .text = str_of(a->text)};
    answer(ls, x, &step, a != NULL || str_eqc(token, "hold") ? 1 : 0);
}

/* Digits were pressed: the caller goes back into the room; a target who accepts joins it. */
static void on_digits(struct lines *ls, struct httpd_exchange *x, struct trunk *t, const struct carrier_event *ev)
{
    const struct line_action *a = action_of(t, ev->token);
    bool back = t != NULL && t->m.phase == LINE_ANSWERED &&
                (a == NULL || a->kind != ACT_TRANSFER ? str_eqc(ev->label, "caller")
                                                      : line_accepts(&t->m, ev->token, ev->event.u.digits.digits));

    if (back)
        answer_join(ls, x, str_of(t->m.ref), ev->label, t->m.set.max_ms);
    else
        answer_hang_up(ls, x);
    if (t != NULL)
        trunk_feed(t, &ev->event);
}

static void handle(struct lines *ls, struct httpd_exchange *x, const struct carrier_event *ev)
{
    struct trunk *t = trunk_by(ls, ev->ref);

    if (t == NULL && ev->sid.n > 0)
        t = trunk_by(ls, ev->sid);
    switch (ev->said) {
    case SAID_INCOMING: on_incoming(ls, x, ev); return;
    case SAID_NEEDS_WORDS: on_words(ls, x, t, ev->token); return;
    case SAID_DIGITS: on_digits(ls, x, t, ev); return;
    case SAID_DIAL_ENDED: answer_hang_up(ls, x); return;
    default: break;
    }
    answer(ls, x, NULL, 0);
    if (ev->said == SAID_NOTHING)
        return;
    if (t != NULL)
        trunk_feed(t, &ev->event);
    else
        on_stray(ls, ev);
}

void lines_hook(struct lines *ls, struct httpd_exchange *x)
{
    const struct carrier_ops *ops;
    struct carrier_header headers[CARRIER_HEADERS];
    struct carrier_hook hook = {.method = httpd_method(x), .path = httpd_path(x), .query = httpd_query(x),
                                .body = httpd_body(x), .content_type = httpd_header(x, "content-type"),
                                .headers = headers};
    struct carrier_event ev = {0};
    int rc;

    if (ls->carrier == NULL) {
        httpd_reply(x, 404, "application/json",
                    STR("{\"error\":\"no carrier is configured: set channels.voice.twilio.account_sid, auth_token and "
                        "phone_number, and channels.voice.webhook.base_url\"}"));
        return;
    }
    ops = ls->carrier->ops;
    for (unsigned i = 0; i < CARRIER_HEADERS && ops->headers[i] != NULL; i++)
        if (httpd_header(x, ops->headers[i]).p != NULL)
            headers[hook.n_headers++] = (struct carrier_header){str_of(ops->headers[i]),
                                                                httpd_header(x, ops->headers[i])};
    rc = httpd_header_count(x, ops->headers[0]) > 1 ? ERR_DENIED : ops->verify(ls->carrier, &hook);
    if (rc < 0 && rc != ERR_NOMEM && route_failed_often(ls->app, x))
        return;
    if (rc < 0) {
        log_warn(&ls->app->log, "%.*s refused with 401: its signature does not fit %s",
                 STR_ARG(str_head(hook.path, 60)), ops->cure);
        httpd_reply(x, rc == ERR_NOMEM ? 503 : 401, "application/json", STR("{\"error\":\"the signature is wrong\"}"));
        return;
    }
    rc = ops->read(ls->carrier, &hook, &ev);
    if (rc < 0)
        httpd_reply(x, rc == ERR_NOT_FOUND ? 404 : rc == ERR_NOMEM ? 503 : 400, "application/json",
                    STR("{\"error\":\"this is no webhook that is understood here\"}"));
    else
        handle(ls, x, &ev);
    carrier_event_free(&ev);
}
