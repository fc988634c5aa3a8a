/* SPDX-License-Identifier: MIT */
#include "plugin/call/cost.h"

#include "plugin/base/err.h"
#include "plugin/call/event.h"

#include <stdio.h>

#define TOKENS_MAX 1000000000u /* more in one response is a lie; keeps products in 64 bits */
#define TOKENS_A_MINUTE 600u   /* of a caller's voice: one for each 100 ms */
#define USD_MAX 1000000u
#define WARN_OF(cap) ((cap) / 5 * 4)

/*
 * Prices as OpenAI published them, read on 2026-11-23 at developers.openai.com/api/docs/models/<model> (USD for a
 * million tokens; here nano-dollars a token, a thousand times as much) and, for transcription, a minute of audio.
 * costs.voice.prices in the configuration comes before this table.
 */
struct listed {
    const char *model;
    struct cost_price price;
};

#define GPT_REALTIME_2 {4000, 400, 24000, 32000, 400, 64000, 5000, 500}
#define GPT_REALTIME_1 {4000, 400, 16000, 32000, 400, 64000, 5000, 500}

static const struct listed speech_prices[] = {
    {"gpt-realtime-2.1", GPT_REALTIME_2},
    {"gpt-realtime-2.1-mini", {600, 60, 2400, 10000, 300, 20000, 800, 80}},
    {"gpt-realtime-2", GPT_REALTIME_2},
    {"gpt-realtime-1.5", GPT_REALTIME_1},
    {"gpt-realtime", GPT_REALTIME_1},
    {"gpt-realtime-2025-08-28", GPT_REALTIME_1},
};

static const struct {
    const char *model;
    uint64_t minute;
} hearing_prices[] = {
    {"gpt-transcribe", 4500000},
    {"gpt-live-transcribe", 17000000},
    {"gpt-realtime-whisper", 17000000},
};

const struct cost_price *cost_price_known(struct str model)
{
    for (size_t i = 0; i < sizeof speech_prices / sizeof *speech_prices; i++)
        if (str_eqc(model, speech_prices[i].model))
            return &speech_prices[i].price;
    return NULL;
}

uint64_t cost_hearing_known(struct str model)
{
    for (size_t i = 0; i < sizeof hearing_prices / sizeof *hearing_prices; i++)
        if (str_eqc(model, hearing_prices[i].model))
            return hearing_prices[i].minute;
    return 0;
}

/* ---- Texts ---- */

/* A plain decimal number times 10^decimals; more decimals than that are refused, not rounded. */
static int read_decimal(uint64_t *out, struct str text, unsigned decimals, uint64_t max)
{
    size_t dot = str_find(text, '.');
    struct str whole = str_head(text, dot), part = str_skip(text, dot + 1);
    uint64_t v = 0, scale = 1, frac = 0;

    for (unsigned i = 0; i < decimals; i++)
        scale *= 10;
    if (whole.n > 9 || !str_u64(whole, &v) || v > max)
        return ERR_INVALID;
    if (dot < text.n && (part.n == 0 || part.n > decimals || !str_u64(part, &frac)))
        return ERR_INVALID;
    for (size_t i = part.n; i < decimals; i++)
        frac *= 10;
    *out = v * scale + frac;
    return *out <= max * scale ? 0 : ERR_INVALID;
}

int cost_usd_read(uint64_t *out, struct str text)
{
    return read_decimal(out, text, 9, USD_MAX);
}

void cost_usd_write(char *out, size_t cap, uint64_t nano)
{
    size_t n;

    (void)snprintf(out, cap, "%llu.%09llu", (unsigned long long)(nano / COST_USD),
                   (unsigned long long)(nano % COST_USD));
    for (n = str_of(out).n; n > 2 && out[n - 1] == '0' && out[n - 2] != '.'; n--)
        out[n - 1] = '\0';
}

/* USD for a million tokens: nano-dollars a token have three decimals less. */
static int read_group(uint32_t *const v[], unsigned n, struct str word)
{
    struct str part;
    unsigned i = 0;

    while (word.n > 0 && str_split(&word, '/', &part)) {
        uint64_t nano;

        if (i == n || read_decimal(&nano, part, 3, 100000) < 0)
            return ERR_INVALID;
        *v[i++] = (uint32_t)nano;
    }
    return i == n ? 0 : ERR_INVALID;
}

int cost_price_read(struct cost_price *out, struct str text)
{
    struct cost_price p = {0};
    uint32_t *const groups[3][3] = {{&p.text_in, &p.text_cached, &p.text_out},
                                    {&p.audio_in, &p.audio_cached, &p.audio_out},
                                    {&p.image_in, &p.image_cached, NULL}};
    struct str word;
    unsigned i = 0;

    text = str_trim(text);
    while (text.n > 0 && str_split(&text, ' ', &word)) {
        if (word.n == 0)
            continue;
        if (i == 3 || read_group(groups[i], i < 2 ? 3 : 2, word) < 0)
            return ERR_INVALID;
        i++;
    }
    if (i < 2)
        return ERR_INVALID;
    *out = p;
    return 0;
}

int cost_hearing_read(uint64_t *out, struct str text)
{
    text = str_trim(text);
    if (!str_ends(text, STR("/min")))
        return ERR_INVALID;
    return read_decimal(out, str_head(text, text.n - 4), 9, 1000) < 0 || *out == 0 ? ERR_INVALID : 0;
}

/* ---- What it costs ---- */

static uint64_t few(uint64_t tokens)
{
    return tokens < TOKENS_MAX ? tokens : TOKENS_MAX;
}

static uint64_t at_most(uint64_t v, uint64_t max)
{
    return v < max ? v : max;
}

static uint64_t input(uint64_t tokens, uint64_t cached, uint32_t price, uint32_t cached_price)
{
    tokens = few(tokens);
    cached = at_most(cached, tokens);
    return (tokens - cached) * price + cached * cached_price;
}

static uint64_t unnamed(uint64_t all, uint64_t named)
{
    return all > named ? few(all - named) : 0;
}

uint64_t cost_of(const struct cost_rates *rates, const struct call_usage *u)
{
    const struct cost_price *p = &rates->speech;
    uint64_t ms = at_most(u->transcription_ms, (uint64_t)TOKENS_MAX * 100);
    uint64_t heard_ms = ms + few(u->transcription_tokens) * (60000 / TOKENS_A_MINUTE);

    if (!rates->known)
        return 0;
    return input(u->input_text, u->cached_text, p->text_in, p->text_cached) +
           input(u->input_audio, u->cached_audio, p->audio_in, p->audio_cached) +
           input(u->input_image, u->cached_image, p->image_in, p->image_cached) +
           unnamed(u->input_tokens, few(u->input_text) + few(u->input_audio) + few(u->input_image)) * p->audio_in +
           few(u->output_text) * p->text_out + few(u->output_audio) * p->audio_out +
           unnamed(u->output_tokens, few(u->output_text) + few(u->output_audio)) * p->audio_out +
           heard_ms / 60000 * rates->hearing_minute + heard_ms % 60000 * rates->hearing_minute / 60000;
}

/* ---- Limits ---- */

bool cost_capped(const struct cost_caps *caps)
{
    return caps->call != COST_NONE || caps->caller_day != COST_NONE || caps->day != COST_NONE;
}

static uint64_t minus(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static uint64_t plus(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

enum cost_cap cost_refusal(const struct cost_caps *caps, const struct cost_spent *spent)
{
    if (caps->day != COST_NONE && plus(spent->day, spent->day_held) >= caps->day)
        return COST_CAP_DAY;
    if (caps->caller_day != COST_NONE && plus(spent->caller_day, spent->caller_held) >= caps->caller_day)
        return COST_CAP_CALLER_DAY;
    return caps->call == 0 ? COST_CAP_CALL : COST_CAP_NONE;
}

void cost_budget_none(struct cost_budget *out)
{
    *out = (struct cost_budget){.warn_left = COST_NONE, .left = COST_NONE};
}

static void tighten(struct cost_budget *b, enum cost_cap which, uint64_t cap, uint64_t spent, uint64_t held)
{
    uint64_t left, warn_left;

    if (cap == COST_NONE)
        return;
    left = minus(cap, plus(spent, held));
    warn_left = minus(WARN_OF(cap), spent);
    if (left < b->left) {
        b->left = left;
        b->cap = which;
    }
    if (warn_left < b->warn_left) {
        b->warn_left = warn_left;
        b->warn_cap = which;
    }
}

void cost_budget_of(struct cost_budget *out, const struct cost_caps *caps, const struct cost_spent *spent, bool known)
{
    cost_budget_none(out);
    if (!known && cost_capped(caps)) {
        *out = (struct cost_budget){.warn_left = COST_NONE, .cap = COST_CAP_UNPRICED};
        return;
    }
    tighten(out, COST_CAP_CALL, caps->call, spent->call, 0);
    tighten(out, COST_CAP_CALLER_DAY, caps->caller_day, spent->caller_day, spent->caller_held);
    tighten(out, COST_CAP_DAY, caps->day, spent->day, spent->day_held);
}

void cost_budget_take(struct cost_budget *b, uint64_t nano)
{
    if (b->warn_left != COST_NONE)
        b->warn_left = minus(b->warn_left, nano);
    if (b->left != COST_NONE)
        b->left = minus(b->left, nano);
}

const char *cost_cap_words(enum cost_cap cap)
{
    switch (cap) {
    case COST_CAP_CALL: return "the limit for one call (costs.voice.per_call_usd)";
    case COST_CAP_CALLER_DAY: return "today's limit for this number (costs.voice.per_caller_day_usd)";
    case COST_CAP_DAY: return "today's limit for all calls (costs.voice.per_day_usd)";
    case COST_CAP_UNPRICED: return "no limit can be kept, since the model's price is not known (costs.voice.prices)";
    case COST_CAP_NONE: break;
    }
    return "no limit";
}
