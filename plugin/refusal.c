/* SPDX-License-Identifier: MIT */
#include "plugin/refusal.h"

#include "abi/openclaw_voice.h"
#include "memory/journal.h"
#include "memory/people.h"
#include "plugin/afters.h"
#include "plugin/app.h"
#include "plugin/base/clock.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "plugin/config/config.h"
#include "plugin/notice.h"
#include "plugin/screen.h"

#define CLAIM_MS 2000u

struct refused {
    struct app *app;
    struct calls_incoming in;
    enum call_reason reason;
};

static void notify(const struct refused *r)
{
    struct app *app = r->app;
    struct str call = str_of(r->in.id.text);
    struct buf b;

    screen_notify(app, call, STR(""), str_of(r->in.from.number), r->in.verdict.level);
    notice_begin(&b, OC_EV_ENDED, call);
    jw_kstrc(&b, "openai_call_id", "");
    jw_kstrc(&b, "reason", call_reason_name(r->reason));
    jw_kstrc(&b, "detail", screen_detail(&r->in));
    jw_kint(&b, "duration_ms", 0);
    jw_kint(&b, "turns", 0);
    notice_send(app, &b, OC_EV_ENDED, call);
}

/* Who it was is tied to the row; whose chat is known gets a message. */
static void on_seen(void *arg, int rc, const struct people_caller *c)
{
    struct refused *r = arg;
    const struct after_call after = {.call = str_of(r->in.id.text), .number = str_of(r->in.from.number),
                                     .level = r->in.verdict.level, .reason = r->reason,
                                     .received_wall_ms = r->in.received_wall_ms};

    if (rc == 0 && c->n_identities > 0 && r->app->afters != NULL && r->in.verdict.level >= CALLER_LINKED)
        afters_tell_missed(r->app, &after);
    mem_free(r);
}

static void on_recorded(void *arg, int rc, enum journal_claim_result result)
{
    struct refused *r = arg;
    struct app *app = r->app;

    (void)result;
    if (rc < 0)
        log_warn(&app->log, "a refused call could not be recorded: %s", err_name(rc));
    else
        notify(r);
    if (rc < 0 || app->store == NULL || r->in.from.number[0] == '\0' ||
        people_seen(app->store, str_of(r->in.id.text), str_of(r->in.from.number), r->in.received_wall_ms, on_seen,
                    r) < 0)
        mem_free(r);
}

void refusal_note(struct app *app, const struct calls_incoming *in)
{
    struct refused *r = MEM_NEW(struct refused);
    struct journal_call row;

    if (r == NULL)
        return;
    r->app = app;
    r->in = *in;
    r->in.openai_call_id = r->in.sip_call_id = STR("");
    r->reason = screen_reason(in);
    screen_row(app, &in->id, &in->from, &in->verdict, in->received_wall_ms, &row);
    row.state = STR(JOURNAL_OVER);
    row.detail = str_of(screen_detail(in));
    row.ended_at = clock_wall_ms();
    row.reason = str_of(call_reason_name(r->reason));
    if (app->config->logging.call_events)
        log_info(&app->log, "%s from %s refused: %s", in->id.text, log_number(&app->log, row.from).text,
                 screen_detail(in));
    if (journal_claim(app->store, &row, clock_mono_ms() + CLAIM_MS, on_recorded, r) < 0)
        mem_free(r);
}
