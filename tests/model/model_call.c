/* SPDX-License-Identifier: MIT */
/*
 * States, events and points of death of a call, by search over call_step() itself (explore.h; what is left out:
 * call_world.h). The alphabet is cut into scenarios whose letters are followed; every other letter is tried in every
 * state, too, and looked at one step deep.
 *
 *   model_call                short: MODEL_SECONDS=10 in all
 *   OCV_MODEL_LONG=1          MODEL_SECONDS=600, more deaths
 *   OCV_MODEL_FIRST=1         ends at the first failure
 *   OCV_MODEL_TABLE=FILE      writes which event leads where from each state
 */
#include "tests/model/call_world.h"

#include <stdio.h>

#define END 0xff
#define SCENARIOS (sizeof scenarios / sizeof scenarios[0])

const struct scenario *scenario;

static const unsigned char life[] = {
    E_TIMER, E_DURABLE, E_ACC_OK, E_ACC_404, E_ACC_401, E_ACC_429, E_ACC_500, E_ACC_LOST, E_ACC_UNSENT, E_REJ_OK,
    E_REJ_LOST, E_HUP_OK, E_HUP_404, E_HUP_LOST, E_CUT, E_CUT_404, E_CUT_401, E_CUT_503, E_SESSION, E_END, E_STOP,
    E_LEAVE, END};
static const unsigned char late[] = {
    E_TIMER, E_LATE, E_CUT, E_CUT_404, E_SESSION_SHORT, E_SESSION, E_END, E_HUP_OK, E_REFER, E_REFER_NO, E_RESP,
    E_RESP_WORDS, E_CONTEXT, END};
static const unsigned char turns[] = {
    E_TIMER, E_CUT, E_SESSION, E_HUP_OK, E_SPEECH, E_QUIET, E_RESP, E_RESP_WORDS, E_AUDIO, E_AUDIO_END, END};
static const unsigned char failures[] = {
    E_TIMER, E_CUT, E_SESSION, E_HUP_OK, E_TELL, E_RESP, E_RESP_WORDS, E_RESP_FAILED, E_RESP_INCOMPLETE, E_ERR_BUSY,
    E_ERR_BUSY_BARE, E_ERR_ASK, END};
static const unsigned char goodbyes[] = {
    E_TIMER, E_CUT, E_HUP_OK, E_HUP_LOST, E_STOP, E_RESP, E_RESP_WORDS, E_RESP_EMPTY, E_RESP_FAILED, E_RESP_END,
    E_RESP_BYE, E_AUDIO, E_AUDIO_END, E_AUDIO_CUT, E_ERR_ASK, END};
static const unsigned char tools[] = {
    E_TIMER, E_CUT, E_SESSION, E_HUP_OK, E_LEAVE, E_RESP, E_RESP_WORDS, E_RESP_CALL_A, E_ACTING_0, E_DONE_0,
    E_OUT_SEEN_0, E_OUT_THERE_0, E_OUT_GONE_0, E_OUT_REFUSED_0, E_NEWS_SEEN_0, E_NEWS_REFUSED_0, END};
static const unsigned char two_tools[] = {
    E_TIMER, E_CUT, E_SESSION, E_RESP_TWO, E_ACTING_0, E_DONE_0, E_DONE_1, E_OUT_SEEN_0, E_OUT_THERE_0, E_OUT_GONE_0,
    E_OUT_THERE_1, E_OUT_GONE_1, END};
static const unsigned char keys[] = {
    E_TIMER, E_CUT, E_SESSION, E_RESP_CALL_A, E_RESP_CALL_B, E_DONE_0, E_FAIL_0, E_DONE_1, E_KEY, E_HASH, END};
static const unsigned char costs[] = {
    E_TIMER, E_CUT, E_SESSION, E_HUP_OK, E_BUDGET_WARN, E_BUDGET_ZERO, E_BUDGET_NONE, E_RESP, E_RESP_WORDS,
    E_RESP_FAILED, E_AUDIO, E_AUDIO_END, END};
static const unsigned char legs[] = {
    E_TIMER, E_DURABLE, E_ACC_OK, E_ACC_404, E_ACC_500, E_CUT, E_CUT_404, E_SESSION, E_HUP_OK, E_HUP_LOST, E_END,
    E_STOP, E_LEAVE, E_LEG, E_PARK, E_LINE_OVER, E_LINE_MOVED, END};
static const unsigned char holds[] = {
    E_TIMER, E_ACC_OK, E_CUT, E_SESSION, E_LEG, E_PARK, E_HOLD, E_RESUME, E_LINE_OVER, E_RESP, E_RESP_WORDS, E_STOP,
    END};
static const unsigned char leg_tools[] = {
    E_TIMER, E_ACC_OK, E_SESSION, E_LEG, E_HOLD, E_RESUME, E_RESP_CALL_A, E_ACTING_0, E_DONE_0, E_OUT_SEEN_0,
    E_OUT_THERE_0, E_OUT_GONE_0, E_NEWS_SEEN_0, END};
static const unsigned char machine[] = {
    E_TIMER, E_DURABLE, E_ACC_OK, E_CUT, E_SESSION, E_LEG, E_LINE_OVER, E_MACHINE, E_RESP, E_RESP_WORDS, E_RESP_EMPTY,
    E_RESP_FAILED, E_AUDIO, E_AUDIO_END, E_ERR_BUSY, END};
static const unsigned char notice[] = {
    E_TIMER, E_ACC_OK, E_CUT, E_SESSION, E_LEG, E_LINE_OVER, E_NOTICE, E_RESP, E_RESP_WORDS, E_RESP_CANCELLED, E_AUDIO,
    E_AUDIO_END, E_AUDIO_CUT, END};
static const unsigned char consent[] = {
    E_TIMER, E_ACC_OK, E_CUT, E_SESSION, E_LEG, E_HOLD, E_RESUME, E_NOTICE, E_RESP_CALL_A, E_OUT_SEEN_0, E_UNREC, E_REC,
    END};

static const unsigned char f_ask[] = {F_ASK, END}, f_memory[] = {F_MEMORY, END}, f_owner[] = {F_OWNER, END},
                           f_pin[] = {F_PIN, END}, f_both[] = {F_ASK, F_MEMORY, END}, f_keys[] = {F_KEYPAD, F_PIN, END},
                           f_consent[] = {F_CONSENT, END}, f_unknown[] = {F_UNKNOWN, END};

static const struct scenario scenarios[] = {
    {"life", "accept, attach, lose, end, refuse", life, .crashes = 2},
    {"slow disk", "the same, six writes open", life, .lag = true, .crashes = 1},
    {"late", "timers a minute late, the session's own end, refer", late, .live = true, .crashes = 1},
    {"turns", "who speaks", turns, .live = true, .crashes = 1},
    {"failures", "responses that fail, errors", failures, .live = true, .crashes = 1},
    {"goodbyes", "the last words", goodbyes, .live = true, .crashes = 1},
    {"tool", "a question to the agent", tools, .kinds = f_ask, .live = true, .crashes = 1},
    {"tool, slow disk", "the same, six writes open", tools, .kinds = f_ask, .live = true, .lag = true, .crashes = 1},
    {"memory", "a look into memory", tools, .kinds = f_memory, .live = true, .crashes = 1},
    {"owner", "a question to the owner", tools, .kinds = f_owner, .live = true, .crashes = 1},
    {"pin", "a check of a PIN", tools, .kinds = f_pin, .live = true, .crashes = 1},
    {"unknown", "a function that is not there", tools, .kinds = f_unknown, .live = true, .crashes = 1},
    {"two tools", "two function calls in one response", two_tools, .kinds = f_both, .live = true, .crashes = 1},
    {"keys", "PIN by keys, and keys", keys, .kinds = f_keys, .live = true, .crashes = 1},
    {"costs", "limits", costs, .priced = true, .live = true, .crashes = 1},
    {"legs", "a line: legs, parking, its end", legs, .line = true, .crashes = 1},
    {"holds", "a line: hold", holds, .line = true, .live = true, .crashes = 1},
    {"tool over legs", "a line: a question while legs come and go", leg_tools, .kinds = f_ask, .line = true,
     .live = true, .crashes = 1},
    {"machine", "a line: words for a machine", machine, .line = true, .live = true, .crashes = 1},
    {"notice", "a line: words about recording", notice, .line = true, .live = true, .notice = true, .crashes = 1},
    {"consent", "a line: consent, what is not recorded", consent, .kinds = f_consent, .line = true, .live = true,
     .notice = true, .crashes = 1},
};

static bool followed(unsigned event)
{
    for (unsigned i = 0; scenario->events[i] != END; i++)
        if (scenario->events[i] == event)
            return true;
    return false;
}

static unsigned control(const void *world)
{
    const struct world *w = world;

    return w->dead ? (unsigned)CALL_OVER : (unsigned)w->c.state;
}

static bool over(const void *world)
{
    const struct world *w = world;

    return w->dead || w->c.state == CALL_OVER;
}

static unsigned effects(const void *world)
{
    return ((const struct world *)world)->n_effects;
}

static const char *const controls[CALL_STATES] = {"new",  "waiting", "accepting",  "refusing", "attaching",
                                                  "live", "goodbye", "hanging_up", "over"};

static struct model model = {
    .name = "call", .world_bytes = sizeof(struct world), .n_events = N_EVENTS, .n_controls = CALL_STATES,
    .n_invariants = INVARIANTS_CALL, .control_names = controls, .invariants = call_invariants, .root = world_root,
    .can = call_can, .followed = followed, .step = world_step, .crashes = world_crashes, .death = world_death,
    .crash = world_crash, .walk = world_walk, .copy = world_copy, .drop = world_drop, .mark = world_mark,
    .control = control, .over = over, .effects = effects, .event_name = call_event_name};

static const char *name_of(unsigned i)
{
    return scenarios[i].name;
}

static const char *what_of(unsigned i)
{
    return scenarios[i].what;
}

static struct scenario chosen;

static void choose(unsigned i, bool is_long)
{
    chosen = scenarios[i];
    if (!is_long && chosen.crashes > 1)
        chosen.crashes = 1;
    scenario = &chosen;
    model.n_roots = world_roots();
}

int main(void)
{
    int bad = explore_all(&model, SCENARIOS, name_of, what_of, choose);

    printf("timers alone end it in %llu s, with a line that waits for its hours in %llu s, after %llu of them at most; "
           "silence while words are owed %llu ms at most\n", (unsigned long long)measured(M_END_MS) / 1000,
           (unsigned long long)measured(M_END_LINE_MS) / 1000, (unsigned long long)measured(M_STEPS),
           (unsigned long long)measured(M_SILENT_MS));
    return bad;
}
