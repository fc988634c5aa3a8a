/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_CALLS_INT_H
#define PLUGIN_CALLS_INT_H
/* What calls.c (the table, events in) and calls_fx.c (effects out) share, and nobody else includes. */
#include "plugin/app.h"
#include "plugin/briefing.h"
#include "plugin/calls.h"
#include "plugin/costs.h"
#include "plugin/config/config.h"
#include "plugin/natives.h"
#include "plugin/prompt.h"
#include "plugin/net/loop.h"
#include "plugin/realtime/rt_rest.h"
#include "plugin/realtime/rt_sideband.h"

#define LIVE_PAST_LEGS 8u

struct live { /* one call; owner: the table */
    struct live *next;        /* in its bucket */
    struct calls *owner;
    struct call call;
    char id[ID_BYTES];
    char *openai_call_id;
    char from[PHONE_BYTES];
    enum caller_level base;   /* by number and links */
    enum caller_level level;  /* base, or proven */
    struct access access;     /* what that opens */
    char *person;             /* NULL: not known, or not yet */
    struct costs_call charge; /* its part of today's costs */
    struct natives natives;   /* the tools that are answered here */
    struct briefing *briefing; /* being gathered */
    char *context;            /* gathered; NULL not yet, or nothing */
    bool has_chat;            /* one of the caller's, that may be written to */
    bool was_linked;          /* restored: the row says linked; by whom is being asked */
    bool begun;               /* the machine runs: what is gathered now comes late */
    bool context_late;        /* it came late and waits for the session */
    char *session_key;        /* NULL: the host has not said */
    char date[16];            /* of the call's start where the user lives; "" unknown */
    struct agent *agent;      /* the personality of this call, frozen */
    const char **custom_tools;
    struct rt_rest *rest;     /* accept, reject or hang-up under way */
    struct rt_sideband *side;
    struct live *next_attach; /* in the line of those that wait to attach */
    bool attach_waiting, attaching; /* in line; counted among those that connect */
    struct timer *timer;
    uint64_t timer_at;
    uint64_t received_wall_ms, received_mono_ms;
    bool refused;             /* counted in n_refusing */
    bool incoming_due;        /* live_announce() was not called */
    bool has_failure;         /* `failure` is to be fed when the effects are carried out */
    struct call_event failure;

    /* calls_line.c: of a call with a line */
    bool has_line;
    bool outbound;
    bool to_owner;            /* it is its owner who was called: there is nobody to ask beside them */
    bool recorded;            /* or to be */
    struct json *spec;        /* what was asked for; NULL: nothing */
    char *first;              /* what call.set.first names */
    char *so_far;             /* what was said before the leg came back; NULL: nothing, or it is the first */
    bool leg_asked;           /* its leg is in, and what was said is being read */
    bool line_ending;         /* lines_end() was called */
    bool followed, told_live; /* without has_line: its direct line is told whether it is there */
    enum line_outcome outcome; /* of its line, as far as told */
    uint64_t adopted_at_ms;   /* monotonic; 0: it began here */
    struct legs_past {        /* earlier ids at the provider: each still names this call */
        unsigned n;
        char *id[LIVE_PAST_LEGS];
    } past;
};

#define CALLS_ATTACH_MAX 256u /* handshakes at one time, so that a restart with many calls stays answering */

struct calls {
    struct app *app;
    struct live **buckets;
    unsigned n_buckets, n, n_refusing;
    unsigned attaching;
    struct live *attach_first, *attach_last;
    unsigned held_by_others;
    bool adopting, looked, leaving; /* looked: an adoption went well */
    struct timer *costs_timer; /* live calls are told of their budgets */
    struct call_effects fx;
};

/* ---- calls.c ---- */
struct live *live_find(struct calls *cs, struct str id);
/* Steps the machine and carries the effects out. The call may be gone afterwards. */
void live_feed(struct live *lc, const struct call_event *ev);
void live_free(struct live *lc); /* takes it out of the table */
/* Carries out what a step left in cs->fx; the call may be gone afterwards. */
void live_settle(struct live *lc);
struct call_now live_now(const struct calls *cs);
/* Begins a call that waited for its context; the call may be gone afterwards. */
void live_begin(struct live *lc);
/* call.incoming, if it is due: before anything else is told of the call. */
void live_announce(struct live *lc);

/* ---- calls_known.c ---- */
void live_look_up_access(struct live *lc); /* after base or level changed */
void live_note_caller(struct live *lc);
void live_brief(struct live *lc); /* gathers the context anew */
/* Feeds lc->context; the call may be gone afterwards. */
void live_tell_context(struct live *lc);
/* What the model may use at the call's present level. */
enum call_tools live_tools(const struct live *lc);
/* Whether the configuration gives that level any: the tools that are answered here keep to their reads. */
bool live_any_tools(const struct live *lc);
bool live_ask_available(const struct live *lc);
bool live_pin_available(const struct live *lc);
/* A code or an approval in the caller's linked chat may prove who they are. */
bool live_chat_available(const struct live *lc);
void live_set_proofs(struct live *lc); /* tells the machine of both */

/* What the session's instructions and tools are made of. */
void live_prompt(const struct live *lc, struct prompt_input *in);

/* ---- calls_line.c ---- */
/* Before the machine is made: what its settings hold of a line. ERR_NOMEM. */
int live_line_settings(struct live *lc, struct call_settings *set);
/* A call of an earlier instance that has a line. */
void live_line_adopt(struct live *lc, bool outbound, struct str spec);
/* The calls of lines are there: so may be the lines, and what is to be fetched of calls that are over. */
void live_lines_adopt(struct app *app);
/* The line is told later, from the loop: it must not answer into effects that are being carried out. */
void live_tell_line(struct live *lc, enum call_line what, struct str text);
void live_end_line(struct live *lc);
/* The chat of whoever the call was placed for, if it can be written to now; else "". */
struct str live_owner(const struct live *lc);
bool live_is(const struct live *lc, struct str openai_call_id); /* now or earlier */
void live_line_free(struct live *lc);
/* After a step of a call that is followed; over: it was the last. */
void live_follow(struct live *lc, bool over);

/* ---- calls_cost.c ---- */
struct journal_found;
void live_write_usage(struct buf *b, const struct call_usage *u);
void live_restore_cost(struct live *lc, const struct journal_found *f, struct call_restored *r);
/* What it may still cost, before an event that may cost something. */
void live_set_budget(struct live *lc);
void live_charge(struct live *lc, const struct call_fx *fx); /* CALL_FX_COST */
void live_hold(struct live *lc, uint64_t nano); /* of today's limits, for its goodbye */
void live_tell_budgets(void *calls); /* all live calls */

/* ---- calls.c, for calls_line.c ---- */
struct live *live_new(struct calls *cs, struct str id, struct str openai_call_id);
int live_prepare(struct live *lc); /* reads the personality and makes the machine, not yet the call */

/* ---- calls_fx.c ---- */
/* Carries out cs->fx for lc. true: the call is over and must be freed. */
bool live_effects(struct live *lc);
/* The sideband is open or gone: the next in line may connect. */
void live_attach_done(struct live *lc);
void live_detach(struct live *lc);

#endif
