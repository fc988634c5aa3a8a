/* SPDX-License-Identifier: MIT */
/* What calls cost: their rows, and limits that one call brings nearer for others. */
#include "memory/charge.h"
#include "memory/journal.h"
#include "plugin/base/json.h"
#include "plugin/calls_int.h"

#include <stddef.h>
#include <string.h>

/* ---- Token counts, as the call's row keeps them ---- */

static const struct {
    const char *name;
    size_t at;
} counts[] = {
    {"input_tokens", offsetof(struct call_usage, input_tokens)},
    {"output_tokens", offsetof(struct call_usage, output_tokens)},
    {"input_text_tokens", offsetof(struct call_usage, input_text)},
    {"input_audio_tokens", offsetof(struct call_usage, input_audio)},
    {"input_image_tokens", offsetof(struct call_usage, input_image)},
    {"cached_tokens", offsetof(struct call_usage, input_cached)},
    {"cached_text_tokens", offsetof(struct call_usage, cached_text)},
    {"cached_audio_tokens", offsetof(struct call_usage, cached_audio)},
    {"cached_image_tokens", offsetof(struct call_usage, cached_image)},
    {"output_text_tokens", offsetof(struct call_usage, output_text)},
    {"output_audio_tokens", offsetof(struct call_usage, output_audio)},
    {"transcription_tokens", offsetof(struct call_usage, transcription_tokens)},
    {"transcription_ms", offsetof(struct call_usage, transcription_ms)},
};

void live_write_usage(struct buf *b, const struct call_usage *u)
{
    jw_open(b, '{');
    jw_kint(b, "responses", u->responses);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        uint64_t v;

        memcpy(&v, (const char *)u + counts[i].at, sizeof v);
        jw_kint(b, counts[i].name, (int64_t)v);
    }
    jw_close(b, '}');
}

static void read_usage(struct call_usage *u, struct str text)
{
    struct json *doc = NULL;

    if (text.n == 0 || json_parse(&doc, text, NULL) < 0)
        return;
    u->responses = (uint32_t)json_get_int(doc, "responses", 0);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        uint64_t v = (uint64_t)json_get_int(doc, counts[i].name, 0);

        memcpy((char *)u + counts[i].at, &v, sizeof v);
    }
    json_free(doc);
}

/* ---- Charges ---- */

void live_restore_cost(struct live *lc, const struct journal_found *f, struct call_restored *r)
{
    read_usage(&r->usage, f->row.usage_json);
    r->cost_nano = f->cost.nano;
    r->last_response = f->cost.response;
    lc->charge.day = f->cost.day;
    lc->charge.day_nano = f->cost.day_nano;
}

void live_set_budget(struct live *lc)
{
    struct app *app = lc->owner->app;

    costs_budget(app->costs, &lc->charge, str_of(lc->from), lc->call.cost_nano, lc->call.set.rates.known,
                 &lc->call.budget);
}

/* The others are told from the loop: this one's effects are being carried out. */
void live_charge(struct live *lc, const struct call_fx *fx)
{
    struct calls *cs = lc->owner;
    struct app *app = cs->app;
    bool nearer = costs_add(app->costs, &lc->charge, str_of(lc->from), fx->u.cost.nano, lc->call.dearest_nano);
    const struct charge row = {.call = str_of(lc->id), .number = str_of(lc->from), .day = lc->charge.day,
                               .nano = lc->charge.day_nano, .response = fx->u.cost.response};

    if (charge_put(app->store, &row) < 0)
        log_error(&app->log, "%s: what it cost could not be queued for the database", lc->id);
    if (nearer)
        timer_set(cs->costs_timer, loop_now_ms(app->loop));
}

void live_hold(struct live *lc, uint64_t nano)
{
    costs_hold(lc->owner->app->costs, &lc->charge, str_of(lc->from), nano);
}

static void tell(struct live *lc)
{
    struct app *app = lc->owner->app;
    struct call_event ev = {.kind = CALL_EV_BUDGET};

    costs_budget(app->costs, &lc->charge, str_of(lc->from), lc->call.cost_nano, lc->call.set.rates.known,
                 &ev.u.budget);
    live_feed(lc, &ev);
}

void live_tell_budgets(void *arg)
{
    struct calls *cs = arg;

    for (unsigned i = 0; i < cs->n_buckets; i++) {
        for (struct live *lc = cs->buckets[i], *next; lc != NULL; lc = next) {
            next = lc->next; /* feeding frees at most the call that is fed */
            if (lc->call.state == CALL_LIVE)
                tell(lc);
        }
    }
}
