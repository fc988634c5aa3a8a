/* SPDX-License-Identifier: MIT */
#ifndef TESTS_MODEL_CALL_WORLD_H
#define TESTS_MODEL_CALL_WORLD_H
/*
 * One call in its world, for the search over call_step(): the machine itself, its row in the journal with the writes
 * that are not durable yet, and what provider and agent have seen of it over all instances.
 *
 * What is left out, so that the search ends:
 *   - At most two function calls in a call (TOOLS), each with one id; a response that the model begins has one id of
 *     its own, and of those the last two are told apart.
 *   - Time passes from one deadline to the next (also late, by a minute); of deadlines their order counts in the
 *     fingerprint, not their distance.
 *   - The transcript, usage and texts are not in the fingerprint: no transition depends on them. Items whose words are
 *     not known yet count as none or some.
 *   - In a call that is being refused or hung up, who speaks is not in the fingerprint: nothing is said any more.
 *   - Two deaths that leave the same rows and the same past are looked at once; of the time since the first words
 *     whole minutes count.
 *   - Writes are durable in their order: in scenarios with `lag` up to LAG of them may be open at any time, in the
 *     others those of the last step, and up to LAG behind a ticket that was not told.
 *   - A call dies and is continued at most `crashes` times.
 */
#include "plugin/call/call_int.h"
#include "tests/model/explore.h"

#define TOOLS 2u
#define LOG 96u
#define SAVES 24u
#define LAG 6u

enum { /* invariants */
    I_STATE, I_ACCEPT, I_REJECT, I_HANGUP, I_ATTACH, I_SEND, I_ONE, I_HELD, I_GREET, I_MACHINE, I_RUN, I_ACTED,
    I_OUTPUT, I_SEEN, I_CLOSED, I_ROWS, I_ROW, I_CANCEL, I_OVER, I_REASON, I_DEADLINE, I_SPIN, I_EXIT, I_SILENT, I_OWED,
    I_COST,
    I_ANSWER, I_READY, I_LINE, I_OVERFLOW, INVARIANTS_CALL
};
extern const char *const call_invariants[INVARIANTS_CALL];

enum { M_END_MS, M_END_LINE_MS, M_SILENT_MS, M_STEPS }; /* measures */

enum row_state { /* of the journal */
    ROW_CLAIMED, ROW_ACCEPTED, ROW_LIVE, ROW_WAITING, ROW_LEAVING, ROW_REFUSING, ROW_OVER, ROW_STATES
};
enum tool_row { T_NONE, T_CLOSED, T_ASKED, T_ACTING, T_ANSWERED, T_LATE, T_LATE_ACTING, T_MOVED, T_MOVED_ACTING,
                T_STATES };
extern const char *const row_names[ROW_STATES], *const tool_row_names[T_STATES];

struct row {
    uint8_t state, reason, tool[TOOLS];
    bool live, spoke, output[TOOLS], charged;
    uint8_t last_response; /* number of the one that was charged last */
};

struct save { /* one write, in order */
    uint8_t state, reason, tool_state, tool, last_response; /* ROW_STATES, 0xff: nothing of it */
    bool has_reason, live, spoke, output, charge;
    uint8_t ticket;
};

enum log_kind { L_SAVE, L_ACCEPT, L_ASK, L_GREET, L_MACHINE, L_OUTPUT, L_RUN, L_OTHER };
struct entry {
    enum log_kind kind;
    struct save save;
    uint8_t tool;
};

struct past { /* what the world has seen, over all instances */
    uint8_t runs[TOOLS];      /* up to 3 */
    bool acted[TOOLS];        /* told to go on, since its row says so */
    bool sent[TOOLS], seen[TOOLS], probed[TOOLS], news[TOOLS];
    bool old[TOOLS];          /* asked in a conversation that is gone */
    bool asked_machine;
};

struct world {
    struct call c;
    struct call_now now;
    struct past past, past0;  /* past0, row0, saves0: before the last step */
    struct row row, row0;
    struct save saves[SAVES], saves0[SAVES];
    unsigned n_saves, n_saves0;
    struct entry log[LOG];
    unsigned n_log, n_effects, steps_in;
    unsigned n_tools, n_responses;
    uint8_t kind[TOOLS];      /* which function was called */
    struct row began;         /* the row that this instance was made from */
    /* of this instance */
    unsigned deaths;
    bool dead;                /* a row that says over: nobody continues it */
    bool opening, open, over, awaits_accept, leg_new, told_said, line_ends, machine_before;
    uint8_t accepts, rejects, hangups, machine_asks, machine_failures;
    bool ran[TOOLS], running[TOOLS], keyed[TOOLS], saw[TOOLS];
    bool greeted;             /* the greeting was spoken, as far as told */
    bool greeting;            /* the response that is on is it */
    bool asked, active, speaking, asked_greeting;
    bool asked_here;          /* the first function call, in response asked_in */
    unsigned last_done, asked_in;
    uint64_t asked_at, active_until, speaking_until, auto_until, live_at, began_at;
};

struct scenario {
    const char *name, *what;
    const unsigned char *events;   /* those that are followed, up to 0xff */
    bool line, live, lag, priced, notice; /* live: begins when the session speaks and the greeting is due */
    unsigned crashes;
    const unsigned char *kinds;    /* of function calls, up to 0xff */
};
extern const struct scenario *scenario;

enum event { /* the alphabet; names: call_event_name() */
#define EVENT(id, name) id,
#include "tests/model/call_events.h"
#undef EVENT
    N_EVENTS
};
enum function { F_ASK, F_MEMORY, F_OWNER, F_PIN, F_KEYPAD, F_CONSENT, F_UNKNOWN, FUNCTIONS };

/* call_alphabet.c */
const char *call_event_name(unsigned event);
bool call_can(const void *world, unsigned event);
void call_make(struct world *w, unsigned event, struct call_event *ev, struct call_output *outputs);
struct str function_name(unsigned kind);
struct str function_arguments(unsigned kind);
struct str tool_id(unsigned i);
unsigned tool_of(const char *id); /* TOOLS: none */

/* call_watch.c */
void watch_before(struct world *w, unsigned event);
void watch_effects(struct world *w, const struct call_effects *fx);
void watch_after(struct world *w);
void watch_answer(const struct world *w, unsigned event, enum call_state before);

/* call_world.c */
void world_root(void *world, unsigned i);
void world_step(void *world, unsigned event);
unsigned world_crashes(const void *world);
struct mark world_death(const void *world, unsigned i);
void world_crash(void *world, unsigned i);
bool world_walk(void *world);
void world_copy(void *to, const void *from);
void world_drop(void *world);
struct mark world_mark(const void *world);
void save_apply(struct world *w, const struct save *s);
unsigned world_roots(void);

#endif
