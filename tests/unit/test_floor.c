/* SPDX-License-Identifier: MIT */
/*
 * Who speaks: never two responses at once, nothing wanted is forgotten or said twice, no dead air. The
 * model check at the end plays a provider with delays of its own against the call.
 */
#include "plugin/base/mem.h"
#include "plugin/call/call_int.h"
#include "tests/unit/t.h"

#include "tests/unit/call_kit.h"

static struct kit kit;

static void live_with(uint64_t silence_ms)
{
    struct call_settings set = kit_settings();

    set.silence_ms = silence_ms;
    kit_live(&kit, set);
}

static void waits_for_the_active_response(void)
{
    live_with(0);
    kit_ask_one(&kit, "call_1");
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_auto");
    kit_result(&kit, "call_1", 0, "Sunny.");
    T_EQ(kit.asks, 1);
    kit_run(&kit, 2000);
    T_EQ(kit.asks, 1);
    kit_done(&kit, "resp_auto", CALL_RESPONSE_COMPLETED, NULL, 0);
    T_EQ(kit.asks, 2);
    kit_close(&kit);
}

static void waits_for_the_caller(void)
{
    uint64_t at;

    live_with(0);
    kit_ask_one(&kit, "call_1");
    kit_speech(&kit, true);
    kit_result(&kit, "call_1", 0, "Sunny.");
    kit_run(&kit, 2000);
    T_EQ(kit.asks, 1);
    kit_speech(&kit, false);
    at = kit.now.mono_ms;
    kit_run(&kit, 2499);
    T_EQ(kit.asks, 1);
    kit_run(&kit, 100);
    T_EQ(kit.asks, 2);
    T_EQ(kit.asked_at - at, 2500);
    kit_close(&kit);

    T_CASE("the provider starts one by itself after the caller's words: ours comes behind it");
    live_with(0);
    kit_ask_one(&kit, "call_1");
    kit_speech(&kit, true);
    kit_result(&kit, "call_1", 0, "Sunny.");
    kit_speech(&kit, false);
    kit_run(&kit, 800);
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_auto");
    kit_run(&kit, 3000);
    T_EQ(kit.asks, 1);
    kit_done(&kit, "resp_auto", CALL_RESPONSE_COMPLETED, NULL, 0);
    T_EQ(kit.asks, 2);
    kit_close(&kit);
}

static void already_active(void)
{
    static const char *const with_id[] = {"its own", ""};

    for (size_t i = 0; i < 2; i++) {
        live_with(0);
        kit_ask_one(&kit, "call_1");
        kit_result(&kit, "call_1", 0, "Sunny.");
        T_EQ(kit.asks, 2);
        kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_auto");
        kit_error(&kit, "conversation_already_has_active_response",
                  with_id[i][0] ? kit.ask.event_id : "");
        kit_error(&kit, "conversation_already_has_active_response",
                  with_id[i][0] ? kit.ask.event_id : "");
        kit_run(&kit, 4000);
        T_EQ(kit.asks, 2);
        kit_done(&kit, "resp_auto", CALL_RESPONSE_COMPLETED, NULL, 0);
        T_EQ(kit.asks, 3);
        kit_speak(&kit, "resp_a");
        kit_run(&kit, 60000);
        T_EQ(kit.asks, 3);
        T_EQ(kit_hops(&kit, "error_event"), 0);
        kit_close(&kit);
    }

    T_CASE("active by the provider's word alone, and its end was missed: asked again after 8 s");
    live_with(0);
    kit_ask_one(&kit, "call_1");
    kit_result(&kit, "call_1", 0, "Sunny.");
    kit_error(&kit, "conversation_already_has_active_response", kit.ask.event_id);
    kit_run(&kit, 7999);
    T_EQ(kit.asks, 2);
    kit_run(&kit, 1);
    T_EQ(kit.asks, 3);
    kit_close(&kit);

    T_CASE("an error for another event of ours, or of nobody, asks nothing");
    live_with(0);
    kit_error(&kit, "invalid_value", "rc_77");
    kit_error(&kit, "response_cancel_not_active", "");
    kit_error(&kit, "conversation_already_has_active_response", "");
    kit_error(&kit, "whatever", "");
    kit_run(&kit, 30000);
    T_EQ(kit.asks, 1);
    T_EQ(kit.c.state, CALL_LIVE);
    kit_close(&kit);
}

static void fillers(void)
{
    uint64_t asked, first;

    live_with(0);
    kit_ask_one(&kit, "call_1");
    asked = kit.now.mono_ms;
    kit_run(&kit, 2999);
    T_EQ(kit.asks, 1);
    kit_run(&kit, 1);
    T_EQ(kit.asks, 2);
    T_EQ(kit.asked_at - asked, 3000);
    T_HAS(kit.ask.text, "still working");
    T_FALSE(kit.ask_tools);
    first = kit.asked_at;
    kit_speak(&kit, "resp_f1");
    kit_run(&kit, 11400);
    T_EQ(kit.asks, 2);
    kit_run(&kit, 200);
    T_EQ(kit.asks, 3);
    T_EQ(kit.asked_at - first, 12000);
    kit_speak(&kit, "resp_f2");
    kit_run(&kit, 12000);
    T_EQ(kit.asks, 4);
    kit_speak(&kit, "resp_f3");
    kit_result(&kit, "call_1", 0, "Sunny.");
    T_EQ(kit.asks, 5);
    T_STR_EQ(kit.ask.text, "");
    kit_speak(&kit, "resp_a");
    kit_run(&kit, 60000);
    T_EQ(kit.asks, 5);
    kit_close(&kit);

    T_CASE("no filler while the caller speaks, nor right after");
    live_with(0);
    kit_ask_one(&kit, "call_1");
    kit_run(&kit, 1000);
    kit_speech(&kit, true);
    kit_run(&kit, 10000);
    T_EQ(kit.asks, 1);
    kit_speech(&kit, false);
    kit_run(&kit, 2999);
    T_EQ(kit.asks, 1);
    kit_run(&kit, 1);
    T_EQ(kit.asks, 2);
    kit_close(&kit);

    T_CASE("no filler while the assistant speaks");
    live_with(0);
    kit_ask_one(&kit, "call_1");
    kit_response(&kit, CALL_EV_AUDIO_STARTED, "resp_call_1");
    kit_run(&kit, 20000);
    T_EQ(kit.asks, 1);
    kit_response(&kit, CALL_EV_AUDIO_STOPPED, "resp_call_1");
    kit_run(&kit, 2999);
    T_EQ(kit.asks, 1);
    kit_run(&kit, 1);
    T_EQ(kit.asks, 2);
    kit_close(&kit);

    T_CASE("a filler that fails is asked for again as a filler");
    live_with(0);
    kit_ask_one(&kit, "call_1");
    kit_run(&kit, 3000);
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_f");
    kit_done(&kit, "resp_f", CALL_RESPONSE_FAILED, NULL, 0);
    kit_run(&kit, 400);
    T_EQ(kit.asks, 3);
    T_HAS(kit.ask.text, "still working");
    T_FALSE(kit.ask_tools);
    kit_close(&kit);

    T_CASE("a result during the filler: the answer comes behind it");
    live_with(0);
    kit_ask_one(&kit, "call_1");
    kit_run(&kit, 3000);
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_f");
    kit_result(&kit, "call_1", 0, "Sunny.");
    T_EQ(kit.asks, 2);
    kit_done(&kit, "resp_f", CALL_RESPONSE_COMPLETED, NULL, 0);
    T_EQ(kit.asks, 3);
    T_STR_EQ(kit.ask.text, "");
    kit_close(&kit);
}

static void silence(void)
{
    live_with(10000);
    kit_run(&kit, 9999);
    T_EQ(kit.c.state, CALL_LIVE);
    kit_run(&kit, 1);
    T_EQ(kit.c.state, CALL_GOODBYE);
    T_EQ(kit.c.reason, CALL_REASON_SILENCE);
    T_HAS(kit.ask.text, "hear nobody");
    T_HAS(kit.c.detail, "10 s");
    kit_close(&kit);

    T_CASE("silence is not counted while somebody speaks");
    live_with(10000);
    kit_run(&kit, 9000);
    kit_speech(&kit, true);
    kit_run(&kit, 29000);
    T_EQ(kit.c.state, CALL_LIVE);
    kit_speech(&kit, false);
    kit_run(&kit, 9999);
    T_EQ(kit.c.state, CALL_LIVE);
    kit_run(&kit, 1);
    T_EQ(kit.c.state, CALL_GOODBYE);
    kit_close(&kit);

    T_CASE("a caller who speaks for longer than we believe is not cut off at once");
    live_with(5000);
    kit_speech(&kit, true);
    kit_run(&kit, 34999);
    T_EQ(kit.c.state, CALL_LIVE);
    kit_run(&kit, 1);
    T_EQ(kit.c.state, CALL_GOODBYE);
    kit_close(&kit);

    T_CASE("silence is not counted while tools run, also late ones");
    live_with(5000);
    kit_ask_one(&kit, "call_1");
    kit_talk(&kit, 120000);
    T_EQ(kit.c.state, CALL_LIVE);
    kit_result(&kit, "call_1", 0, "Sunny.");
    kit_item(&kit, CALL_EV_ITEM_ADDED, kit.news.item_id);
    kit_talk(&kit, 3000);
    T_EQ(kit.c.state, CALL_LIVE);
    kit_run(&kit, 5000);
    T_EQ(kit.c.reason, CALL_REASON_SILENCE);
    kit_close(&kit);

    T_CASE("a result that never comes excuses silence for ten minutes");
    live_with(5000);
    kit_ask_one(&kit, "call_1");
    kit_talk(&kit, 590000);
    T_EQ(kit.c.state, CALL_LIVE);
    kit_run(&kit, 20000);
    T_EQ(kit.c.reason, CALL_REASON_SILENCE);
    kit_close(&kit);

    T_CASE("one second of silence is long enough to greet");
    live_with(1000);
    T_EQ(kit.c.state, CALL_LIVE);
    kit_run(&kit, 1000);
    T_EQ(kit.c.state, CALL_GOODBYE);
    kit_close(&kit);
}

static void failing_model(void)
{
    live_with(0);
    kit_ask_one(&kit, "call_1");
    kit_result(&kit, "call_1", 0, "Sunny.");
    for (unsigned i = 1; i <= 3; i++) {
        char id[16];

        T_EQ(kit.asks, 1 + i);
        T_STR_EQ(kit.ask.text, "");
        (void)snprintf(id, sizeof id, "resp_f%u", i);
        kit_response(&kit, CALL_EV_RESPONSE_STARTED, id);
        kit_done(&kit, id, CALL_RESPONSE_FAILED, NULL, 0);
        T_EQ(kit.asks, 1 + i);
        kit_run(&kit, 399 * i);
        T_EQ(kit.asks, 1 + i);
        kit_run(&kit, 10);
    }
    T_EQ(kit.c.state, CALL_HANGING_UP);
    T_EQ(kit.c.reason, CALL_REASON_MODEL_FAILED);
    T_EQ(kit_hops(&kit, "response_failed"), 3);
    kit_close(&kit);

    T_CASE("a success in between forgives");
    live_with(0);
    for (unsigned i = 1; i <= 6; i++) {
        char id[16];

        (void)snprintf(id, sizeof id, "resp_f%u", i);
        kit_response(&kit, CALL_EV_RESPONSE_STARTED, id);
        kit_done(&kit, id, i % 2 ? CALL_RESPONSE_FAILED : CALL_RESPONSE_COMPLETED, NULL, 0);
        kit_run(&kit, 1000);
    }
    T_EQ(kit.c.state, CALL_LIVE);
    kit_close(&kit);

    T_CASE("response.create is refused three times");
    live_with(0);
    kit_ask_one(&kit, "call_1");
    kit_result(&kit, "call_1", 0, "Sunny.");
    for (unsigned i = 0; i < 3; i++) {
        kit_error(&kit, "server_error", kit.ask.event_id);
        kit_run(&kit, 1000);
    }
    T_EQ(kit.c.reason, CALL_REASON_MODEL_FAILED);
    kit_close(&kit);

    T_CASE("response.create is never answered: not for ever");
    live_with(0);
    kit_ask_one(&kit, "call_1");
    kit_result(&kit, "call_1", 0, "Sunny.");
    kit_run(&kit, 20000);
    T_EQ(kit.asks, 4);
    T_EQ(kit.c.reason, CALL_REASON_MODEL_FAILED);
    kit_close(&kit);

    T_CASE("a response that ends for want of tokens with nothing said is asked for again");
    live_with(0);
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_i");
    kit_done(&kit, "resp_i", CALL_RESPONSE_INCOMPLETE, NULL, 0);
    kit_run(&kit, 500);
    T_EQ(kit.asks, 2);
    kit_close(&kit);

    T_CASE("a response that never ends");
    live_with(0);
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_x");
    kit_run(&kit, 61000);
    T_EQ(kit.asks, 2);
    T_EQ(kit.c.state, CALL_LIVE);
    kit_close(&kit);
    live_with(0);
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_x");
    kit_response(&kit, CALL_EV_AUDIO_STARTED, "resp_x");
    kit_run(&kit, 20000);
    kit_response(&kit, CALL_EV_AUDIO_STOPPED, "resp_x");
    kit_run(&kit, 60000);
    T_EQ(kit.asks, 1); /* it was heard */
    kit_close(&kit);
}

static void audio_that_never_stops(void)
{
    struct call_event ev = {.kind = CALL_EV_RESPONSE_DONE};

    live_with(5000);
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_x");
    kit_response(&kit, CALL_EV_AUDIO_STARTED, "resp_x");
    ev.u.response.id = STR("resp_x");
    ev.u.response.audio_tokens = 100; /* 5 s */
    kit_step(&kit, &ev);
    kit_run(&kit, 12999);
    T_EQ(kit.c.state, CALL_LIVE);
    kit_run(&kit, 1);
    T_EQ(kit.c.reason, CALL_REASON_SILENCE);
    kit_close(&kit);

    T_CASE("words behind words: nobody counts silence while the first are heard");
    live_with(5000);
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_long");
    kit_response(&kit, CALL_EV_AUDIO_STARTED, "resp_long");
    ev.u.response.id = STR("resp_long");
    ev.u.response.audio_tokens = 400; /* 20 s */
    kit_step(&kit, &ev);
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_short");
    ev.u.response.id = STR("resp_short");
    ev.u.response.audio_tokens = 20;
    kit_step(&kit, &ev);
    kit_run(&kit, 20000);
    T_EQ(kit.c.state, CALL_LIVE);
    kit_close(&kit);

    T_CASE("words behind words: the second's length says nothing of the first's");
    live_with(0);
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_long");
    kit_response(&kit, CALL_EV_AUDIO_STARTED, "resp_long");
    ev.u.response.id = STR("resp_long");
    ev.u.response.audio_tokens = 160; /* 8 s */
    kit_step(&kit, &ev);
    kit_end(&kit, CALL_REASON_SHUTDOWN);
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_bye");
    ev.u.response.id = STR("resp_bye");
    ev.u.response.audio_tokens = 20; /* 1 s */
    ev.u.response.outputs = &(struct call_output){.item_id = STR("i"), .text = STR("Bye.")};
    ev.u.response.n_outputs = 1;
    kit_step(&kit, &ev);
    kit_run(&kit, 7500);
    T_EQ(kit.c.state, CALL_GOODBYE);
    kit_response(&kit, CALL_EV_AUDIO_STOPPED, "resp_long");
    kit_response(&kit, CALL_EV_AUDIO_STARTED, "resp_bye");
    kit_run(&kit, 1000);
    T_EQ(kit.c.state, CALL_GOODBYE);
    kit_response(&kit, CALL_EV_AUDIO_STOPPED, "resp_bye");
    T_EQ(kit.c.state, CALL_HANGING_UP);
    kit_close(&kit);
}

/* ---- Model check ---- */

/*
 * A provider with a queue in each direction: what we send arrives there some ms later, and so do its
 * events here. It starts a response by itself after the caller's words, answers response.create with
 * response.created or with the error, now and then fails or is interrupted.
 */
struct wire {
    uint64_t at;
    enum { W_ASK, W_CREATED, W_DONE, W_FAILED, W_CANCELLED, W_BUSY, W_SPEECH, W_QUIET, W_AUDIO, W_STOPPED } what;
    unsigned n; /* of the response, or the ask */
};

struct provider {
    struct wire up[64], down[64];
    unsigned n_up, n_down, n_responses, active, active_ask; /* active: number of it, 0 none */
    uint64_t active_until, auto_at, speech_until, next_speech, last_up, last_down;
    bool speaking;
};

struct seen { /* what the call was told, for judging what it sends */
    unsigned active;
    uint64_t quiet_at;
    bool speaking, auto_due;
};

#define RING 4096u

/* Outputs without words about them: how many, since when, and how many of them an ask under way serves. */
static struct {
    unsigned owed, under_way, served, busy, failed, raced;
    uint64_t since;
    unsigned under_way_ask, ask_of[RING]; /* by response */
} book;
static struct provider prov;
static struct seen seen;
static uint64_t dice_state;

static unsigned dice(unsigned sides)
{
    dice_state ^= dice_state << 13;
    dice_state ^= dice_state >> 7;
    dice_state ^= dice_state << 17;
    return (unsigned)((dice_state >> 11) % sides);
}

static void put(struct wire *q, unsigned *n, uint64_t *last, struct wire w)
{
    w.at = kit.now.mono_ms + 5 + dice(60);
    if (w.at < *last)
        w.at = *last; /* in order */
    *last = w.at;
    T_MUST(*n < 64);
    q[(*n)++] = w;
}

static bool take(struct wire *q, unsigned *n, struct wire *out)
{
    if (*n == 0 || q[0].at > kit.now.mono_ms)
        return false;
    *out = q[0];
    memmove(q, q + 1, (size_t)--*n * sizeof *q);
    return true;
}

static void tell(int what, unsigned n)
{
    struct wire w = {.n = n};

    w.what = what;
    put(prov.down, &prov.n_down, &prov.last_down, w);
}

static void start_response(unsigned ask)
{
    prov.active = ++prov.n_responses;
    prov.active_ask = ask;
    book.ask_of[prov.n_responses % RING] = ask;
    prov.active_until = kit.now.mono_ms + 50 + dice(2500);
    tell(W_CREATED, prov.active);
    if (dice(3))
        tell(W_AUDIO, prov.active);
}

static void end_response(int how)
{
    tell(how, prov.active);
    tell(W_STOPPED, prov.active);
    prov.active = prov.active_ask = 0;
}

static void provider_turn(void)
{
    struct wire w;
    uint64_t now = kit.now.mono_ms;

    if (!prov.speaking && now >= prov.next_speech) {
        prov.speaking = true;
        prov.speech_until = now + 100 + dice(3000);
        prov.auto_at = 0;
        tell(W_SPEECH, 0);
        if (prov.active)
            end_response(W_CANCELLED);
    }
    if (prov.speaking && now >= prov.speech_until) {
        prov.speaking = false;
        prov.next_speech = now + 500 + dice(15000);
        prov.auto_at = now + (dice(3) ? 50 + dice(2000) : 2420 + dice(200)); /* the call waits 2500 */
        tell(W_QUIET, 0);
    }
    if (prov.active && now >= prov.active_until)
        end_response(dice(20) ? W_DONE : W_FAILED);
    if (prov.auto_at && now >= prov.auto_at) {
        prov.auto_at = 0;
        if (!prov.active)
            start_response(0);
    }
    while (take(prov.up, &prov.n_up, &w)) {
        if (prov.active)
            tell(W_BUSY, w.n);
        else
            start_response(w.n);
    }
}

static unsigned busy_open, calls_made, calls_done;

static void judge_ask(void)
{
    struct wire w = {.what = W_ASK, .n = kit.asks};

    if (kit.c.floor.asked_for & (WANT_TOOL | WANT_RESUME)) {
        if ((kit.c.floor.asked_for & WANT_TOOL) && book.owed == 0)
            kit_fault(&kit, "a response for outputs that had theirs");
        book.under_way = book.owed;
        book.under_way_ask = kit.asks;
    }

    if (seen.active)
        kit_fault(&kit, "response.create while a response is active");
    if (seen.speaking)
        kit_fault(&kit, "response.create while the caller speaks");
    if (seen.auto_due && kit.now.mono_ms < seen.quiet_at + 2500)
        kit_fault(&kit, "response.create while one is about to start");
    put(prov.up, &prov.n_up, &prov.last_up, w);
}

static void deliver(const struct wire *w)
{
    struct call_output words = kit_words("Yes.");
    unsigned asks = kit.asks;
    char id[24];

    (void)snprintf(id, sizeof id, "resp_%u", w->n);
    switch (w->what) {
    case W_CREATED:
        book.raced += kit.c.floor.response_asked && book.ask_of[w->n % RING] == 0;
        seen.active = w->n;
        seen.auto_due = false;
        kit_response(&kit, CALL_EV_RESPONSE_STARTED, id);
        break;
    case W_DONE:
    case W_FAILED:
    case W_CANCELLED:
        seen.active = 0;
        if (book.under_way > 0 && book.ask_of[w->n % RING] == book.under_way_ask) {
            if (w->what != W_FAILED) {
                book.owed -= book.under_way;
                book.served += book.under_way;
                book.since = kit.now.mono_ms;
            } else {
                book.failed++;
            }
            book.under_way = 0;
        }
        kit_done(&kit, id,
                 w->what == W_DONE     ? CALL_RESPONSE_COMPLETED
                 : w->what == W_FAILED ? CALL_RESPONSE_FAILED : CALL_RESPONSE_CANCELLED,
                 &words, w->what == W_FAILED ? 0 : 1);
        if (busy_open) {
            /* Exactly one ask once nobody is in the way; the judge sees to the rest. */
            busy_open = 0;
            if (!seen.speaking && !seen.auto_due && kit.c.floor.retry_at == 0)
                T_EQ(kit.asks, asks + 1);
        }
        break;
    case W_BUSY:
        book.busy++;
        if (w->n == book.under_way_ask)
            book.under_way = 0;
        (void)snprintf(id, sizeof id, "rc_%u", w->n);
        kit_error(&kit, "conversation_already_has_active_response", dice(4) ? id : "");
        T_EQ(kit.asks, asks);
        busy_open = 1;
        break;
    case W_SPEECH:
        seen.speaking = true;
        kit_speech(&kit, true);
        break;
    case W_QUIET:
        seen.speaking = false;
        seen.auto_due = true;
        seen.quiet_at = kit.now.mono_ms;
        kit_speech(&kit, false);
        break;
    case W_AUDIO: kit_response(&kit, CALL_EV_AUDIO_STARTED, id); break;
    case W_STOPPED: kit_response(&kit, CALL_EV_AUDIO_STOPPED, id); break;
    case W_ASK:
    default: break;
    }
}

/* The model calls a function in a response of its own that nobody hears; its result comes at once or late. */
static void function_call(void)
{
    struct call_output q;
    char id[24], response[32];

    if (calls_made > calls_done) {
        (void)snprintf(id, sizeof id, "call_%u", ++calls_done);
        kit_result(&kit, id, 0, "Sunny.");
        kit_item(&kit, CALL_EV_ITEM_ADDED, kit.output[(kit.n_outputs - 1) % KIT_LIST].item_id);
        if (book.owed++ == 0)
            book.since = kit.now.mono_ms;
        return;
    }
    /* Where the provider has a response of its own just now, it would be that one. */
    if (seen.active || prov.active || prov.n_down || kit.c.floor.response_asked)
        return;
    (void)snprintf(id, sizeof id, "call_%u", ++calls_made);
    (void)snprintf(response, sizeof response, "resp_of_%s", id);
    q = kit_question(id);
    kit_done(&kit, response, CALL_RESPONSE_COMPLETED, &q, 1);
}

static void new_call(struct call_settings set)
{
    memset(&prov, 0, sizeof prov);
    memset(&seen, 0, sizeof seen);
    busy_open = calls_made = calls_done = 0;
    book.owed = book.under_way = book.under_way_ask = 0;
    kit_live(&kit, set);
    prov.next_speech = kit.now.mono_ms + 1000;
}

static void model_step(bool more)
{
    unsigned asks = kit.asks;
    struct wire w;

    kit_run(&kit, 1 + dice(40));
    provider_turn();
    if (kit.asks == asks) {
        if (take(prov.down, &prov.n_down, &w))
            deliver(&w);
        else if (more && dice(10) == 0)
            function_call();
    }
    T_LE(kit.asks, asks + 1);
    if (kit.asks != asks)
        judge_ask();
    if (book.owed > 0 && kit.now.mono_ms > book.since + 90000)
        kit_fault(&kit, "an output without words about it");
}

static void model_check(void)
{
    struct call_settings set = kit_settings();
    unsigned ended = 0;

    set.max_duration_ms = 0;
    dice_state = 0x9e3779b97f4a7c15u;
    new_call(set);
    for (unsigned step = 0; step < 200000 && t_now.bad == 0; step++) {
        model_step(true);
        if (kit.c.state == CALL_LIVE)
            continue;
        /* Three failures in a row end a call: begin another. */
        T_EQ(kit.c.reason, CALL_REASON_MODEL_FAILED);
        kit_close(&kit);
        new_call(set);
        ended++;
    }
    /* The caller falls silent: everything owed is said. */
    prov.next_speech = UINT64_MAX;
    for (unsigned step = 0; step < 3000 && t_now.bad == 0; step++)
        model_step(false);
    if (calls_done == calls_made)
        T_EQ(book.owed, 0);
    T_EQ(kit.c.floor.want, 0);
    /* The run was worth something. */
    printf("  %u outputs spoken of, %u asks met the error, %u failed, %u races, %u calls ended\n",
           book.served, book.busy, book.failed, book.raced, ended);
    T_GT(book.served, 500);
    T_GT(book.busy, 50);
    T_GT(book.failed, 20);
    T_GT(book.raced, 20);
    kit_close(&kit);
}

int main(void)
{
    T_RUN(waits_for_the_active_response);
    T_RUN(waits_for_the_caller);
    T_RUN(already_active);
    T_RUN(fillers);
    T_RUN(silence);
    T_RUN(failing_model);
    T_RUN(audio_that_never_stops);
    T_RUN(model_check);
    return T_DONE();
}
