/* SPDX-License-Identifier: MIT */
/*
 * States, events and points of death of a line, by search over line_step() itself (explore.h; what is left out:
 * line_world.h), as model_call.c does it for a call. The same environment.
 */
#include "tests/model/line_world.h"

#include <stdio.h>
#include <stdlib.h>

#define END 0xff
#define SCENARIOS (sizeof scenarios / sizeof scenarios[0])
#define OF_LEG(what, i) ((what) + (i))

const struct line_scenario *ls;

static const unsigned char dials[] = {
    L_TIMER, L_SAVED, L_OLDER, L_SLOT, L_CR_OK, L_CR_429, L_CR_UNSENT, L_CR_400, L_CR_LOST, L_CR_MADE, L_LOOK,
    L_DO_OK, L_HANGUP,
    OF_LEG(L_RING, 0), OF_LEG(L_UP, 0), OF_LEG(L_DEAD, 0), OF_LEG(L_BUSY, 0), OF_LEG(L_DEAD, 1), END};
static const unsigned char models[] = {
    L_TIMER, L_SAVED, L_SLOT, L_CR_OK, L_CR_MADE, L_CR_LOST, L_LOOK, L_DO_OK, L_LIVE, L_GONE, L_LEAVES, OF_LEG(L_UP, 1),
    OF_LEG(L_DEAD, 0), OF_LEG(L_DEAD, 1), OF_LEG(L_UP, 2), END};
static const unsigned char holds[] = {
    L_TIMER, L_SAVED, L_SLOT, L_CR_OK, L_DO_OK, L_DO_400, L_DO_LOST, L_LOOK, L_LIVE, L_HOLD, L_RESUME, OF_LEG(L_UP, 1),
    OF_LEG(L_DEAD, 0), END};
static const unsigned char transfers[] = {
    L_TIMER, L_SAVED, L_SLOT, L_CR_OK, L_CR_MADE, L_DO_OK, L_LOOK, L_LIVE, L_BLIND, OF_LEG(L_UP, 1), OF_LEG(L_UP, 2),
    OF_LEG(L_DEAD, 0), OF_LEG(L_DEAD, 2), END};
static const unsigned char warms[] = {
    L_TIMER, L_SAVED, L_SLOT, L_CR_OK, L_DO_OK, L_LOOK, L_LIVE, L_WARM, L_YES, OF_LEG(L_UP, 1), OF_LEG(L_UP, 2),
    OF_LEG(L_JOIN, 2), OF_LEG(L_DEAD, 2), END};
static const unsigned char keys[] = {
    L_TIMER, L_SAVED, L_SLOT, L_CR_OK, L_DO_OK, L_DO_400, L_DO_LOST, L_LOOK, L_LIVE, L_DTMF, L_SAY, OF_LEG(L_UP, 1),
    OF_LEG(L_DEAD, 0), END};
static const unsigned char records[] = {
    L_TIMER, L_SAVED, L_SLOT, L_CR_OK, L_DO_OK, L_DO_LOST, L_LIVE, L_HEARD, L_REC_ON, L_REC_DONE, OF_LEG(L_UP, 1),
    OF_LEG(L_DEAD, 0), END};
static const unsigned char machines[] = {
    L_TIMER, L_SAVED, L_SLOT, L_CR_OK, L_DO_OK, L_LOOK, L_LIVE, L_MACHINE, L_HUMAN, L_TURN, L_SAID, OF_LEG(L_UP, 0),
    OF_LEG(L_UP, 1), OF_LEG(L_DEAD, 0), END};

static const unsigned char talking[] = {L_TIMER, L_SLOT, L_SAVED, L_CR_OK, L_SAVED, OF_LEG(L_UP, 1), L_LIVE, L_SAVED,
                                        END};
static const unsigned char met[] = {L_SLOT, L_SAVED, L_CR_OK, L_SAVED, OF_LEG(L_UP, 0), L_TIMER, L_SLOT, L_SAVED,
                                    L_CR_OK, OF_LEG(L_UP, 1), L_SAVED, END};

static const struct line_scenario scenarios[] = {
    {"dial", "one ring, whatever becomes of the answers", dials, .crashes = 1, .retries = 1},
    {"no retry", "the same, and a busy line is not dialled again", dials, .crashes = 1},
    {"model", "the model's leg comes, goes and comes back", models, .inbound = true, .crashes = 1},
    {"hold", "hold and resume", holds, talking, .inbound = true, .crashes = 1},
    {"blind", "transfer at once", transfers, talking, .inbound = true, .crashes = 1},
    {"warm", "transfer to who is asked first", warms, talking, .inbound = true, .crashes = 1},
    {"keys out", "digits and words, sent once", keys, talking, .inbound = true, .crashes = 1},
    {"record", "recording after the notice", records, talking, .inbound = true, .notice = true, .crashes = 1},
    {"machine", "an answering machine, and a message", machines, met, .voicemail = VOICEMAIL_MESSAGE, .crashes = 1},
};

static bool followed(unsigned event)
{
    for (unsigned i = 0; ls->events[i] != END; i++)
        if (ls->events[i] == event)
            return true;
    return false;
}

static unsigned control(const void *world)
{
    const struct lworld *w = world;

    return w->gone || w->over ? (unsigned)LINE_PHASES : (unsigned)w->l.phase;
}

static bool over(const void *world)
{
    const struct lworld *w = world;

    return w->gone || (w->over && w->truth.deaths >= ls->crashes && w->l.stray.state == LEG_NONE);
}

static unsigned effects(const void *world)
{
    return ((const struct lworld *)world)->n_effects;
}

static const char *const controls[] = {"queued", "dialing", "ringing", "answered", "ending", "over, owing", "over"};

static struct model model = {
    .name = "line", .world_bytes = sizeof(struct lworld), .n_roots = 1, .n_events = L_EVENTS,
    .n_controls = LINE_PHASES + 1, .n_invariants = INVARIANTS_LINE, .control_names = controls,
    .invariants = line_invariants, .root = line_root, .can = line_can, .followed = followed, .step = line_one,
    .crashes = line_crashes, .death = line_death, .crash = line_crash, .walk = line_walk, .copy = line_copy,
    .drop = line_drop, .mark = line_mark, .control = control, .over = over, .effects = effects,
    .event_name = line_event_name};

static const char *name_of(unsigned i)
{
    ls = &scenarios[i];
    return ls->name;
}

static const char *what_of(unsigned i)
{
    return scenarios[i].what;
}

static void choose(unsigned i, bool is_long)
{
    (void)is_long;
    ls = &scenarios[i];
}

int main(void)
{
    int bad = explore_all(&model, SCENARIOS, name_of, what_of, choose);

    printf("timers alone end it in %llu s, after %llu of them at most\n",
           (unsigned long long)measured(M_LINE_MS) / 1000, (unsigned long long)measured(M_LINE_STEPS));
    return bad;
}
