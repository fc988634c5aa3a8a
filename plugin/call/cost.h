/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_CALL_COST_H
#define PLUGIN_CALL_COST_H
/*
 * What a call costs, and when that is too much: prices, token counts and limits in, decisions out. Pure; any thread.
 * Money is whole nano-dollars (1 USD = 10^9), so that sums are exact: a price of 1 USD for a million tokens is 1,000
 * of them a token.
 *
 * A live call is ended when what is left of a limit is less than its dearest response so far: that much is held back
 * for its goodbye, the only response that is asked for after that. So a call goes over a limit by at most one response;
 * by its goodbye, too, if the one that was under way was dearer than any before it, for that is known at its end alone.
 */
#include "plugin/base/str.h"

struct call_usage;

#define COST_USD 1000000000u
#define COST_NONE UINT64_MAX /* no limit; nothing runs out */

struct cost_price { /* nano-dollars for a token of a speech model */
    uint32_t text_in, text_cached, text_out;
    uint32_t audio_in, audio_cached, audio_out;
    uint32_t image_in, image_cached;
};

struct cost_rates { /* of a call: its speech model, and the model that writes down what the caller says */
    bool known;              /* both prices are; else nothing is counted */
    struct cost_price speech;
    uint64_t hearing_minute; /* nano-dollars for a minute of the caller's voice */
};

/*
 * The price that OpenAI has published for the model: NULL when it is not in the table. Dates and source stand in
 * cost.c. cost_hearing_known(): for a minute, of a transcription model; 0 unknown.
 */
const struct cost_price *cost_price_known(struct str model);
uint64_t cost_hearing_known(struct str model);
/*
 * A price as the configuration writes it, USD for a million tokens:
 * "text_in/cached/out audio_in/cached/out image_in/cached", such as "4/0.40/24 32/0.40/64 5/0.50"; without the third
 * word images cost nothing. ERR_INVALID.
 */
int cost_price_read(struct cost_price *out, struct str text);
/* "0.0045/min": USD for a minute of a transcription model, in nano-dollars. ERR_INVALID. */
int cost_hearing_read(uint64_t *out, struct str text);
/* An amount of USD, such as "2" or "0.25", in nano-dollars: at most 1,000,000 and nine decimals. ERR_INVALID. */
int cost_usd_read(uint64_t *out, struct str text);
/* As "0.012345678", at most 9 decimals; cap 32 is enough. */
void cost_usd_write(char *out, size_t cap, uint64_t nano);

/*
 * What a response, or the transcription of a turn, costs. Tokens that no detail accounts for count as audio, and
 * cached ones that none names as not cached: a report that is cut short is never cheaper. Saturates.
 */
uint64_t cost_of(const struct cost_rates *rates, const struct call_usage *u);

enum cost_cap { COST_CAP_NONE, COST_CAP_CALL, COST_CAP_CALLER_DAY, COST_CAP_DAY, COST_CAP_UNPRICED };

struct cost_caps { /* COST_NONE: no limit */
    uint64_t call, caller_day, day;
};
struct cost_spent {
    uint64_t call;                    /* by this call */
    uint64_t caller_day, day;         /* by its caller and by all, today, this call's part among it */
    uint64_t caller_held, day_held;   /* held back for the goodbyes of other live calls */
};
struct cost_budget { /* what a call may still cost until it is warned, and until a limit is reached */
    uint64_t warn_left, left;
    enum cost_cap warn_cap, cap; /* whose limit comes first */
};

bool cost_capped(const struct cost_caps *caps);
/* Before a call is taken: the limit of a day that is used up, or COST_CAP_NONE. */
enum cost_cap cost_refusal(const struct cost_caps *caps, const struct cost_spent *spent);
/* known: the call's prices are; without them, and with any limit, nothing is left. */
void cost_budget_of(struct cost_budget *out, const struct cost_caps *caps, const struct cost_spent *spent, bool known);
void cost_budget_none(struct cost_budget *out);
void cost_budget_take(struct cost_budget *b, uint64_t nano);
/* The configuration's key and what it limits, for people. */
const char *cost_cap_words(enum cost_cap cap);

#endif
