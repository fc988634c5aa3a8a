/* SPDX-License-Identifier: MIT */
#ifndef TESTS_MODEL_LINE_WORLD_H
#define TESTS_MODEL_LINE_WORLD_H
/*
 * One line and its carrier, for the search over line_step(): the machine itself, its durable text with the save that is
 * open, and what is true at the carrier, over all instances.
 *
 * What is left out, so that the search ends:
 *   - At most LEGS legs are made at the carrier; then it refuses. Callbacks of each come in any order, late and again.
 *   - At most ACTS actions are asked for. Two saves are open at a time at most.
 *   - A command is answered in the order in which they were sent; creates have an order of their own, look-ups too.
 *   - Time passes from one timer to the next; of times their order counts in the fingerprint, not their distance.
 *   - A death comes before or behind all commands of a step, with the open save durable or not, and creates that are in
 *     flight made or not. A line dies and is read back at most `crashes` times.
 */
#include "plugin/call/line_int.h"
#include "tests/model/explore.h"

#define LEGS 4u
#define ACTS 2u
#define CMDS 10u

enum { J_STATE, J_RING, J_SAVED, J_ONCE, J_OVER, J_LEFT, J_TOLD, J_PHASE, J_LOOK, J_ACTION, J_EXIT, J_OVERFLOW,
       INVARIANTS_LINE };
extern const char *const line_invariants[INVARIANTS_LINE];
enum { M_LINE_MS, M_LINE_STEPS };

enum at { AT_NONE = 0, AT_RINGING, AT_UP, AT_DEAD };
struct carried { /* a leg at the carrier; its sid is "CA" and its place */
    enum at at;
    bool busy;      /* dead: proven busy */
    bool told;      /* we were told of it by an answer or a callback */
    bool end_sent, room;
    char label[LINE_LABEL_BYTES];
};

struct sent { /* a command that is not answered */
    unsigned n;
    enum line_cmd what;
    char label[LINE_LABEL_BYTES], sid[LINE_SID_BYTES], action[ID_BYTES];
};

struct acted {
    bool asked, over, warm, unknown; /* unknown: a command of it may have been done */
    enum line_action_kind kind;
    uint64_t at;
};

struct truth { /* of all instances */
    struct carried legs[LEGS];
    struct acted acts[ACTS];
    unsigned n_legs, n_acts, deaths;
    bool room_ended, apologised;
};

struct lworld {
    struct line l, durable, older, open; /* open: saved and not durable yet; older: the one before it */
    bool has_durable, has_older, has_open;
    struct truth truth, truth0;   /* truth0, sent0: before the last step's commands */
    struct sent sent[CMDS], sent0[CMDS];
    unsigned n_sent, n_sent0;
    struct call_now now;
    bool slot[2], over, told_over, gone; /* slot: the caller's, the model's or another's; gone: freed */
    char slot_label[LINE_LABEL_BYTES];
    unsigned n_effects, last_cmd;
};

struct line_scenario {
    const char *name, *what;
    const unsigned char *events; /* those that are followed, up to 0xff */
    const unsigned char *way;    /* from the beginning to where the search begins; NULL: there */
    bool inbound, notice;
    unsigned crashes, retries;
    enum line_voicemail voicemail;
};
extern const struct line_scenario *ls;

enum line_event_id { /* the alphabet; those of a leg have its place added */
    L_TIMER, L_SAVED, L_OLDER, L_SLOT, L_CR_OK, L_CR_429, L_CR_UNSENT, L_CR_400, L_CR_LOST, L_CR_MADE, L_DO_OK,
    L_DO_404, L_DO_400, L_DO_LOST, L_DO_AGAIN, L_LOOK, L_LOOK_500, L_LIVE, L_GONE, L_LEAVES, L_TURN, L_HEARD, L_SAID,
    L_HUMAN, L_MACHINE, L_REC_ON, L_REC_DONE, L_YES, L_HOLD, L_RESUME, L_HANGUP, L_DTMF, L_BLIND, L_WARM, L_INVITE,
    L_SAY, L_RECORD,
    L_RING, L_UP = L_RING + LEGS, L_DEAD = L_UP + LEGS, L_BUSY = L_DEAD + LEGS, L_JOIN = L_BUSY + LEGS,
    L_EVENTS = L_JOIN + LEGS
};

void line_root(void *world, unsigned i);
bool line_can(const void *world, unsigned event);
void line_one(void *world, unsigned event);
unsigned line_crashes(const void *world);
struct mark line_death(const void *world, unsigned i);
void line_crash(void *world, unsigned i);
bool line_walk(void *world);
/* What is left when it dies at that point. */
void line_left(struct lworld *w, unsigned i);
void line_copy(void *to, const void *from);
void line_drop(void *world);
struct mark line_mark(const void *world);
const char *line_event_name(unsigned event);

/* line_watch.c */
void line_watch(struct lworld *w, const struct line_effects *fx);
void line_seen(struct lworld *w, enum line_phase before);

#endif
