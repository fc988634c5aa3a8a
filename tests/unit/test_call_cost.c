/* SPDX-License-Identifier: MIT */
/* What a limit on money does to a live call: a warning, then one goodbye and nothing after it. */
#include "plugin/base/mem.h"
#include "plugin/call/call_int.h"
#include "tests/unit/t.h"

#include "tests/unit/call_kit.h"

static struct kit kit;
static unsigned next;

#define OUT_NANO 64000u /* of a spoken token below */

static struct call_settings priced(void)
{
    struct call_settings set = kit_settings();

    set.rates.known = true;
    set.rates.speech.audio_out = OUT_NANO;
    return set;
}

static void budget(uint64_t warn, uint64_t left)
{
    struct call_event ev = {.kind = CALL_EV_BUDGET,
                            .u.budget = {.warn_left = warn, .left = left, .warn_cap = COST_CAP_DAY, .cap = COST_CAP_CALL}};

    kit_step(&kit, &ev);
}

/* A response that costs `tokens`, to its end; `outputs` NULL: it speaks. */
static void speak(const char *id, uint64_t tokens, const struct call_output *outputs, unsigned n)
{
    struct call_output words = kit_words("Well then.");
    struct call_event ev = {.kind = CALL_EV_RESPONSE_DONE};

    kit_response(&kit, CALL_EV_RESPONSE_STARTED, id);
    ev.u.response.id = str_of(id);
    ev.u.response.outputs = outputs ? outputs : &words;
    ev.u.response.n_outputs = outputs ? n : 1;
    ev.u.response.usage = (struct call_usage){.responses = 1, .output_tokens = tokens, .output_audio = tokens};
    kit_step(&kit, &ev);
}

static const char *fresh_id(void)
{
    static char id[24];

    (void)snprintf(id, sizeof id, "resp_%u", ++next);
    return id;
}

static uint64_t charged(void)
{
    uint64_t nano = 0;

    for (unsigned i = 0; i < kit.fx.n; i++)
        nano += kit.fx.v[i].kind == CALL_FX_COST ? kit.fx.v[i].u.cost.nano : 0;
    return nano;
}

static void counts_each_response_once(void)
{
    kit_live(&kit, priced());
    speak("resp_a", 10, NULL, 0);
    T_EQ(kit.c.cost_nano, 10 * OUT_NANO);
    speak("resp_a", 10, NULL, 0); /* told twice */
    T_EQ(kit.c.cost_nano, 10 * OUT_NANO);
    T_EQ(charged(), 0);
    speak("resp_b", 30, NULL, 0);
    T_EQ(charged(), 30 * OUT_NANO);
    T_EQ(kit.c.cost_nano, 40 * OUT_NANO);
    T_EQ(kit.c.dearest_nano, 30 * OUT_NANO);
    T_STR_EQ(call_state_name(kit.c.state), "live");
    kit_close(&kit);
}

static void unpriced_counts_nothing(void)
{
    kit_live(&kit, kit_settings());
    speak(fresh_id(), 1000, NULL, 0);
    T_EQ(kit.c.cost_nano, 0);
    T_EQ(charged(), 0);
    T_STR_EQ(call_state_name(kit.c.state), "live");
    kit_close(&kit);
}

static void warns_once(void)
{
    unsigned asks;

    kit_live(&kit, priced());
    asks = kit.asks;
    budget(5 * OUT_NANO, 100 * OUT_NANO);
    speak(fresh_id(), 4, NULL, 0);
    T_EQ(kit_hops(&kit, "cost_warning"), 0);
    speak(fresh_id(), 1, NULL, 0);
    T_EQ(kit_hops(&kit, "cost_warning"), 1);
    T_EQ(kit.asks, asks + 1);
    T_TRUE(strstr(kit.ask.text, "nearly used up") != NULL);
    T_FALSE(kit.ask_tools);
    speak(fresh_id(), 1, NULL, 0);
    budget(0, 50 * OUT_NANO);
    T_EQ(kit_hops(&kit, "cost_warning"), 1);
    T_EQ(kit.asks, asks + 1);
    T_STR_EQ(call_state_name(kit.c.state), "live");
    kit_close(&kit);
}

static void ends_with_one_goodbye(void)
{
    unsigned asks;

    kit_live(&kit, priced());
    asks = kit.asks;
    budget(COST_NONE, 25 * OUT_NANO);
    speak(fresh_id(), 10, NULL, 0);
    T_STR_EQ(call_state_name(kit.c.state), "live"); /* 15 left, the dearest was 10 */
    speak(fresh_id(), 6, NULL, 0);
    T_STR_EQ(call_state_name(kit.c.state), "goodbye"); /* 9 left: held back for the goodbye */
    T_STR_EQ(call_reason_name(kit.c.reason), "cost_limit");
    T_TRUE(strstr(kit.c.detail, "costs.voice.per_call_usd") != NULL);
    T_EQ(kit.asks, asks + 1);
    T_TRUE(strstr(kit.ask.text, "used up") != NULL);
    T_STR_EQ(kit.saved, "leaving");
    kit_speak(&kit, "resp_bye");
    T_STR_EQ(call_state_name(kit.c.state), "hanging_up");
    T_EQ(kit.asks, asks + 1);
    T_EQ(kit_hops(&kit, "goodbye_heard"), 1);
    kit_rest(&kit, CALL_EV_HUNG_UP, 200, true);
    T_TRUE(kit.over);
    kit_close(&kit);
}

static void the_providers_own_response_is_stopped(void)
{
    kit_live(&kit, priced());
    kit_speech(&kit, true);
    kit_speech(&kit, false); /* a response of the provider's own is expected */
    budget(COST_NONE, 0);
    T_STR_EQ(call_state_name(kit.c.state), "goodbye");
    T_EQ(kit.cancelled, 0);
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_own");
    T_EQ(kit.cancelled, 1);
    kit_done(&kit, "resp_own", CALL_RESPONSE_CANCELLED, NULL, 0);
    T_TRUE(strstr(kit.ask.text, "used up") != NULL);
    kit_speak(&kit, "resp_bye");
    T_EQ(kit.cancelled, 1); /* but not the goodbye */
    T_STR_EQ(call_state_name(kit.c.state), "hanging_up");
    kit_close(&kit);
}

static void one_under_way_is_heard_to_its_end(void)
{
    kit_live(&kit, priced());
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_on");
    budget(COST_NONE, 0); /* another call used the day's money up */
    T_STR_EQ(call_state_name(kit.c.state), "goodbye");
    T_EQ(kit.cancelled, 0);
    T_TRUE(strstr(kit.ask.text, "used up") == NULL);
    kit_done(&kit, "resp_on", CALL_RESPONSE_COMPLETED, NULL, 0);
    T_TRUE(strstr(kit.ask.text, "used up") != NULL);
    kit_close(&kit);
}

static void its_tools_do_not_run(void)
{
    struct call_output ask = kit_question("call_1");

    kit_live(&kit, priced());
    budget(COST_NONE, 5 * OUT_NANO);
    speak(fresh_id(), 5, &ask, 1);
    T_STR_EQ(call_state_name(kit.c.state), "goodbye");
    T_EQ(kit.runs, 0);
    kit_close(&kit);
    T_CASE("with money left they do");
    kit_live(&kit, priced());
    budget(COST_NONE, 500 * OUT_NANO);
    speak(fresh_id(), 5, &ask, 1);
    T_EQ(kit.runs, 1);
    kit_close(&kit);
}

static void on_hold_it_ends_without_words(void)
{
    struct call_settings set = priced();
    unsigned asks;

    set.line = true;
    kit_line_live(&kit, set);
    kit_plain(&kit, CALL_EV_HOLD);
    asks = kit.asks;
    budget(0, 0);
    T_STR_EQ(call_state_name(kit.c.state), "hanging_up");
    T_STR_EQ(call_reason_name(kit.c.reason), "cost_limit");
    T_EQ(kit.asks, asks);
    kit_close(&kit);
}

static void waits_until_it_is_live(void)
{
    kit_open(&kit, priced());
    kit_begin(&kit);
    budget(0, 0);
    T_STR_EQ(call_state_name(kit.c.state), "accepting");
    kit_rest(&kit, CALL_EV_ACCEPTED, 200, true);
    T_STR_EQ(call_state_name(kit.c.state), "attaching");
    kit_session(&kit);
    T_STR_EQ(call_state_name(kit.c.state), "goodbye");
    kit_close(&kit);
}

static void goes_on_after_a_restart(void)
{
    struct call_restored r = {.state = STR("live"), .spoke = true, .age_ms = 5000, .live_age_ms = 4000,
                              .usage = {.responses = 4, .output_tokens = 40}, .cost_nano = 40 * OUT_NANO,
                              .last_response = STR("resp_before")};

    kit_open(&kit, priced());
    kit_restore(&kit, &r);
    kit_session(&kit);
    T_EQ(kit.c.cost_nano, 40 * OUT_NANO);
    T_EQ(kit.c.dearest_nano, 10 * OUT_NANO);
    speak("resp_before", 10, NULL, 0); /* told again to the new instance */
    T_EQ(kit.c.cost_nano, 40 * OUT_NANO);
    T_EQ(kit.c.usage.responses, 4);
    speak("resp_after", 1, NULL, 0);
    T_EQ(kit.c.cost_nano, 41 * OUT_NANO);
    T_EQ(kit.c.usage.responses, 5);
    budget(COST_NONE, 9 * OUT_NANO);
    T_STR_EQ(call_state_name(kit.c.state), "goodbye");
    kit_close(&kit);
}

int main(void)
{
    T_RUN(counts_each_response_once);
    T_RUN(unpriced_counts_nothing);
    T_RUN(warns_once);
    T_RUN(ends_with_one_goodbye);
    T_RUN(the_providers_own_response_is_stopped);
    T_RUN(one_under_way_is_heard_to_its_end);
    T_RUN(its_tools_do_not_run);
    T_RUN(on_hold_it_ends_without_words);
    T_RUN(waits_until_it_is_live);
    T_RUN(goes_on_after_a_restart);
    return T_DONE();
}
