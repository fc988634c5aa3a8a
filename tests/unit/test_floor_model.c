/* SPDX-License-Identifier: MIT */
/*
 * Who speaks, in many calls against a provider with delays of its own: never two responses at once, no output without words
 * about it, none spoken of twice. test_floor.c has the rules one by one.
 */
#include "plugin/call/call_int.h"
#include "tests/unit/t.h"

#include "tests/unit/call_kit.h"

static struct kit kit;

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
    T_RUN(model_check);
    return T_DONE();
}
