/* SPDX-License-Identifier: MIT */
/* What calls may cost, and what models cost: limits that cannot be kept are faults, not surprises. */
#include "plugin/base/zone.h"
#include "plugin/config/config_parts.h"

#define COSTS "costs.voice."

static const char *const limits[] = {COSTS "per_call_usd", COSTS "per_caller_day_usd", COSTS "per_day_usd"};

#define LIMITS (sizeof limits / sizeof *limits)

/* The price of a model among the configuration's own; false: it has none there. */
static bool own_price(const struct config_value *v, struct str model, struct str *out)
{
    for (unsigned i = 0; i < v->n; i++) {
        if (!str_eq(v->v[i].name, model))
            continue;
        *out = v->v[i].text;
        return true;
    }
    return false;
}

static bool is_speech_price(struct str text)
{
    struct cost_price p;

    return cost_price_read(&p, text) == 0;
}

static bool is_hearing_price(struct str text)
{
    uint64_t nano;

    return cost_hearing_read(&nano, text) == 0;
}

static void check_prices(struct config_reader *r)
{
    static const char path[] = COSTS "prices";
    struct config_value *v = config_value_at(r, path);
    bool good = config_is_good(r, path);

    for (unsigned i = 0; good && i < v->n; i++)
        if (!is_speech_price(v->v[i].text) && !is_hearing_price(v->v[i].text))
            config_value_fault(r, config_key_of(path), v, &v->v[i],
                               "%s must be USD for a million tokens as text in/cached/out and audio in/cached/out, "
                               "such as 4/0.40/24 32/0.40/64, or for a minute of transcription, such as 0.0045/min, "
                               "not %s", config_shown(r, v->v[i].name), config_shown(r, v->v[i].shown));
}

/* first: the limit that is set and needs the price. */
static void check_priced(struct config_reader *r, const char *first)
{
    static const char speech[] = "channels.voice.openai.model";
    static const char hearing[] = "channels.voice.openai.transcription_model";
    const struct config_value *prices = config_value_at(r, COSTS "prices");
    struct str model = config_text_at(r, speech), writer = config_text_at(r, hearing), text;
    bool known;

    if (prices->bad)
        return;
    known = own_price(prices, model, &text) ? is_speech_price(text) : cost_price_known(model) != NULL;
    if (!known && !config_value_at(r, speech)->bad)
        CONFIG_FAULT(r, first, "the price of %s (openai.model) is not known, so no limit can be kept; write it into "
                               "costs.voice.prices, or take gpt-realtime-2.1", config_shown(r, model));
    known = own_price(prices, writer, &text) ? is_hearing_price(text) : cost_hearing_known(writer) > 0;
    known = known || writer.n == 0;
    if (!known && !config_value_at(r, hearing)->bad && !config_value_at(r, first)->bad)
        CONFIG_FAULT(r, first, "the price of %s (openai.transcription_model) is not known, so no limit can be kept; "
                               "write it into costs.voice.prices, such as 0.0045/min, or take gpt-transcribe",
                     config_shown(r, writer));
}

void config_check_costs(struct config_reader *r)
{
    static const char zone[] = COSTS "time_zone";
    const char *first = NULL;
    struct zone *z = NULL;
    struct err e = {0};

    for (unsigned i = 0; i < LIMITS; i++) {
        uint64_t nano = 0;

        if (!config_is_good(r, limits[i]))
            continue;
        if (cost_usd_read(&nano, config_text_at(r, limits[i])) < 0 || nano == 0)
            CONFIG_FAULT(r, limits[i], "must be an amount of USD over 0, such as 2.50, not %s; leave it out for "
                         "no limit", config_shown(r, config_text_at(r, limits[i])));
        else if (first == NULL)
            first = limits[i];
    }
    check_prices(r);
    if (first != NULL)
        check_priced(r, first);
    if (!config_is_good(r, zone))
        return;
    if (zone_open(&z, config_text_at(r, zone).p, &e) < 0)
        CONFIG_FAULT(r, zone, "must be a time zone such as Europe/Berlin: %s", e.text);
    zone_free(z);
}

/* ---- What is kept of it ---- */

static uint64_t limit_at(struct config_reader *r, const char *path)
{
    uint64_t nano;

    return config_is_good(r, path) && cost_usd_read(&nano, config_text_at(r, path)) == 0 ? nano : COST_NONE;
}

void config_bind_costs(struct config *c, struct config_reader *r)
{
    c->costs.caps = (struct cost_caps){limit_at(r, limits[0]), limit_at(r, limits[1]), limit_at(r, limits[2])};
}

void config_rates_of(const struct config *c, struct str model, struct cost_rates *out)
{
    struct str writer = str_of(c->openai.transcription_model);
    const struct cost_price *listed = cost_price_known(model);
    bool speech = listed != NULL, hearing = writer.n == 0;

    *out = (struct cost_rates){0};
    if (speech)
        out->speech = *listed;
    out->hearing_minute = cost_hearing_known(writer);
    for (unsigned i = 0; i < c->costs.prices.n; i++) {
        const struct config_pair *p = &c->costs.prices.v[i];

        if (str_eqc(model, p->name))
            speech = cost_price_read(&out->speech, str_of(p->value)) == 0;
        if (str_eqc(writer, p->name) && cost_hearing_read(&out->hearing_minute, str_of(p->value)) < 0)
            out->hearing_minute = 0;
    }
    out->known = speech && (hearing || out->hearing_minute > 0);
}
