/* SPDX-License-Identifier: MIT */
/* Prices, limits, and what is decided of them: by grids over all sides of each limit, and by days of many calls. */
#include "plugin/call/cost.h"

#include "plugin/base/err.h"
#include "plugin/call/event.h"

#include "tests/unit/t.h"

static struct cost_rates rates_of(const char *model)
{
    const struct cost_price *p = cost_price_known(str_of(model));
    struct cost_rates r = {.known = p != NULL, .hearing_minute = cost_hearing_known(STR("gpt-transcribe"))};

    if (p != NULL)
        r.speech = *p;
    return r;
}

static void table(void)
{
    static const struct {
        const char *model, *price;
    } same[] = {{"gpt-realtime-2.1", "4/0.40/24 32/0.40/64 5/0.50"},
                {"gpt-realtime-2", "4/0.40/24 32/0.40/64 5/0.50"},
                {"gpt-realtime-2.1-mini", "0.60/0.06/2.40 10/0.30/20 0.80/0.08"},
                {"gpt-realtime-1.5", "4/0.40/16 32/0.40/64 5/0.50"},
                {"gpt-realtime", "4/0.40/16 32/0.40/64 5/0.50"},
                {"gpt-realtime-2025-08-28", "4/0.40/16 32/0.40/64 5/0.50"}};
    uint64_t nano;

    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        struct cost_price p = {0};

        T_MUST(cost_price_known(str_of(same[i].model)) != NULL);
        T_EQ(cost_price_read(&p, str_of(same[i].price)), 0);
        T_TRUE(memcmp(&p, cost_price_known(str_of(same[i].model)), sizeof p) == 0);
    }
    T_TRUE(cost_price_known(STR("gpt-realtime-2.1-")) == NULL);
    T_TRUE(cost_price_known(STR("")) == NULL);
    T_EQ(cost_hearing_read(&nano, STR("0.0045/min")), 0);
    T_EQ(cost_hearing_known(STR("gpt-transcribe")), nano);
    T_EQ(cost_hearing_known(STR("gpt-live-transcribe")), 17000000);
    T_EQ(cost_hearing_known(STR("whisper-9")), 0);
}

static void reading(void)
{
    static const char *const bad[] = {"", "1", "1/2/3", "1/2 3/4/5", "1/2/3 4/5", "1/2/3/4 5/6/7", "1/2/3 4/5/6 7",
                                      "1/2/3 4/5/6 7/8/9", "1/2/3 4/5/6 7/8 9", "a/2/3 4/5/6", "1/2/3 4/5/-6",
                                      "1/2/3 4/5/0.0001", "1//3 4/5/6", "1/2/3 4/5/1e3", "1/2/3 4/5/100001"};
    static const struct {
        const char *text;
        uint64_t nano;
    } usd[] = {{"0", 0}, {"2", 2000000000u}, {"2.5", 2500000000u}, {"0.000000001", 1}, {"1000000", 1000000000000000u},
               {"0.1", 100000000}};
    static const char *const not_usd[] = {"", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", "$1", "1000000.1", "1000001",
                                          "0.0000000001", "99999999999", "1.2.3", " 1"};
    struct cost_price p;
    char text[32];
    uint64_t nano;

    T_EQ(cost_price_read(&p, STR(" 1/0.5/2   3/0.250/4 ")), 0);
    T_EQ(p.text_in, 1000);
    T_EQ(p.text_cached, 500);
    T_EQ(p.audio_cached, 250);
    T_EQ(p.image_in, 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (cost_price_read(&p, str_of(bad[i])) == 0)
            T_FAIL("taken as a price: %s", bad[i]);
    for (size_t i = 0; i < sizeof usd / sizeof *usd; i++) {
        T_EQ(cost_usd_read(&nano, str_of(usd[i].text)), 0);
        T_EQ(nano, usd[i].nano);
    }
    for (size_t i = 0; i < sizeof not_usd / sizeof *not_usd; i++)
        if (cost_usd_read(&nano, str_of(not_usd[i])) == 0)
            T_FAIL("taken as an amount: %s", not_usd[i]);
    cost_usd_write(text, sizeof text, 1234500000);
    T_STR_EQ(text, "1.2345");
    cost_usd_write(text, sizeof text, 0);
    T_STR_EQ(text, "0.0");
    cost_usd_write(text, sizeof text, 1);
    T_STR_EQ(text, "0.000000001");
    T_EQ(cost_hearing_read(&nano, STR("0/min")), ERR_INVALID);
    T_EQ(cost_hearing_read(&nano, STR("0.1")), ERR_INVALID);
}

static void amounts(void)
{
    const struct cost_rates r = rates_of("gpt-realtime-2.1"), unknown = {0};
    struct call_usage u = {.responses = 1, .input_tokens = 1000, .input_text = 600, .input_audio = 400,
                           .input_cached = 300, .cached_text = 200, .cached_audio = 100,
                           .output_tokens = 150, .output_text = 50, .output_audio = 100};
    /* by hand: 400*4 + 200*.4 + 300*32 + 100*.4 + 50*24 + 100*64, in micro-dollars */
    const uint64_t want = (1600 + 80 + 9600 + 40 + 1200 + 6400) * 1000ull;

    T_EQ(cost_of(&r, &u), want);
    T_EQ(cost_of(&unknown, &u), 0);
    u.input_tokens += 10; /* ten that no detail names: as audio */
    u.output_tokens += 1;
    T_EQ(cost_of(&r, &u), want + 10 * 32000 + 64000);
    u.input_tokens -= 10;
    u.output_tokens -= 1;
    u.cached_text = 5000; /* more cached than there were: all of them, no more */
    T_EQ(cost_of(&r, &u), want - 400 * (4000 - 400));
    u = (struct call_usage){.transcription_ms = 60000};
    T_EQ(cost_of(&r, &u), 4500000);
    u = (struct call_usage){.transcription_tokens = 600};
    T_EQ(cost_of(&r, &u), 4500000);
    memset(&u, 0xff, sizeof u); /* what no provider can mean */
    T_GT(cost_of(&r, &u), 1000000000u);
    T_EQ(cost_of(&r, &(struct call_usage){.responses = 1}), 0);
}

/* ---- Limits ---- */

static const uint64_t points[] = {0, 1, 79, 80, 81, 99, 100, 101, 1000, UINT64_MAX - 1};
#define POINTS (sizeof points / sizeof *points)

static void refusals(void)
{
    static const uint64_t caps[] = {COST_NONE, 100};

    for (unsigned which = 0; which < 4; which++) {
        for (size_t i = 0; i < POINTS * POINTS; i++) {
            const struct cost_caps c = {COST_NONE, caps[which & 1], caps[which >> 1]};
            const struct cost_spent s = {.caller_day = points[i % POINTS], .day = points[i / POINTS]};
            bool day = c.day != COST_NONE && s.day >= 100, caller = c.caller_day != COST_NONE && s.caller_day >= 100;

            T_EQ(cost_refusal(&c, &s), day ? COST_CAP_DAY : caller ? COST_CAP_CALLER_DAY : COST_CAP_NONE);
        }
    }
    T_CASE("what is held back counts as spent");
    T_EQ(cost_refusal(&(struct cost_caps){COST_NONE, 100, COST_NONE},
                      &(struct cost_spent){.caller_day = 60, .caller_held = 40}), COST_CAP_CALLER_DAY);
    T_EQ(cost_refusal(&(struct cost_caps){COST_NONE, COST_NONE, 100}, &(struct cost_spent){.day = 60, .day_held = 39}),
         COST_CAP_NONE);
    T_FALSE(cost_capped(&(struct cost_caps){COST_NONE, COST_NONE, COST_NONE}));
    T_TRUE(cost_capped(&(struct cost_caps){1, COST_NONE, COST_NONE}));
}

static uint64_t left_of(uint64_t cap, uint64_t spent)
{
    return cap > spent ? cap - spent : 0;
}

static void budgets(void)
{
    struct cost_budget b;

    for (size_t i = 0; i < POINTS * POINTS * POINTS; i++) {
        const struct cost_spent s = {.call = points[i % POINTS], .caller_day = points[i / POINTS % POINTS],
                                     .day = points[i / POINTS / POINTS]};

        for (unsigned which = 0; which < 8; which++) {
            const struct cost_caps c = {which & 1 ? 100 : COST_NONE, which & 2 ? 100 : COST_NONE,
                                        which & 4 ? 100 : COST_NONE};
            uint64_t left = COST_NONE, warn = COST_NONE;

            if (which & 1) {
                left = left_of(100, s.call);
                warn = left_of(80, s.call);
            }
            if ((which & 2) && left_of(100, s.caller_day) < left)
                left = left_of(100, s.caller_day);
            if ((which & 2) && left_of(80, s.caller_day) < warn)
                warn = left_of(80, s.caller_day);
            if ((which & 4) && left_of(100, s.day) < left)
                left = left_of(100, s.day);
            if ((which & 4) && left_of(80, s.day) < warn)
                warn = left_of(80, s.day);
            cost_budget_of(&b, &c, &s, true);
            if (b.left != left || b.warn_left != warn || (b.cap == COST_CAP_NONE) != (which == 0))
                T_FAIL("limits %u, spent %zu: %llu and %llu", which, i, (unsigned long long)b.left,
                       (unsigned long long)b.warn_left);
            cost_budget_of(&b, &c, &s, false);
            T_EQ(b.left, which ? 0 : COST_NONE);
        }
    }
    T_CASE("taking from a budget");
    b = (struct cost_budget){.warn_left = 10, .left = 30};
    cost_budget_take(&b, 10);
    T_EQ(b.warn_left, 0);
    cost_budget_take(&b, 25);
    T_EQ(b.left, 0);
    cost_budget_none(&b);
    cost_budget_take(&b, 1u << 30);
    T_EQ(b.left, COST_NONE);
    for (int i = COST_CAP_NONE; i <= COST_CAP_UNPRICED; i++)
        T_GT(strlen(cost_cap_words((enum cost_cap)i)), 3);
}

/* ---- Days: calls whose responses grow as conversations do, each ended when its budget says so ---- */

struct one {
    uint64_t spent, dearest;
    bool over, active;
};

static uint64_t random_of(uint64_t *seed, uint64_t n)
{
    *seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
    return (*seed >> 33) % n;
}

/* Most that one response can cost here, goodbyes too. */
#define DEAREST 1000u

static void one_day(uint64_t seed)
{
    enum { CALLS = 8 };
    const struct cost_caps caps = {COST_NONE, COST_NONE, 20000 + random_of(&seed, 20000)};
    struct one v[CALLS] = {0};
    struct cost_spent s = {0};
    unsigned rounds = 0;

    while (rounds++ < 10000) {
        struct one *c = &v[random_of(&seed, CALLS)];
        uint64_t nano = 1 + random_of(&seed, DEAREST), held = 0;
        struct cost_budget b;

        if (c->over)
            continue;
        for (unsigned i = 0; i < CALLS; i++)
            held += &v[i] != c && !v[i].over ? v[i].dearest : 0;
        s.day += nano;
        c->spent += nano;
        c->dearest = nano > c->dearest ? nano : c->dearest;
        s.call = c->spent;
        s.day_held = held;
        cost_budget_of(&b, &caps, &s, true);
        if (b.left != 0 && b.left >= c->dearest)
            continue;
        for (unsigned i = 0; i < CALLS; i++) { /* all are told: a goodbye each, no dearer than any before */
            s.day += v[i].over ? 0 : v[i].dearest;
            v[i].over = true;
        }
        break;
    }
    T_LT(rounds, 10000);
    if (s.day > caps.day + CALLS * DEAREST)
        T_FAIL("a limit of %llu, spent %llu", (unsigned long long)caps.day, (unsigned long long)s.day);
    T_GT(s.day, caps.day / 2);
    T_EQ(cost_refusal(&caps, &s) == COST_CAP_DAY, s.day >= caps.day);
}

int main(void)
{
    T_RUN(table);
    T_RUN(reading);
    T_RUN(amounts);
    T_RUN(refusals);
    T_RUN(budgets);
    T_CASE("days end at most one response a live call over their limit");
    for (uint64_t seed = 1; seed <= 2000; seed++)
        one_day(seed);
    return T_DONE();
}
