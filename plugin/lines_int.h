/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_LINES_INT_H
#define PLUGIN_LINES_INT_H
/*
 * What lines.c (the table, events in), lines_fx.c (effects out), lines_back.c (lines of an earlier instance),
 * lines_direct.c (of calls without a carrier), lines_hook.c (webhooks) and line_ask.c share.
 */
#include "plugin/app.h"
#include "plugin/carrier/carrier.h"
#include "plugin/lines.h"
#include "plugin/net/loop.h"
#include "plugin/pacer.h"
#include "sessions/destination.h"

struct trunk { /* one line; owner: the table */
    struct trunk *next;                  /* in its bucket, by the call's id */
    struct lines *owner;
    char call[ID_BYTES];
    char other[PHONE_BYTES];             /* the number at the other end, or "" */
    struct line m;
    struct timer *timer;
    uint64_t timer_at_wall_ms;
    uint64_t command_n;                  /* the last number given out */
    char noted[LINE_PARTIES][LINE_SID_BYTES]; /* legs whose sid is a row */
    char noted_ref[LINE_PARTIES][LINE_REF_BYTES];
    bool unrecorded;                     /* the model's side was told so */
    bool queued;                         /* counted in n_queued */
    bool over;                           /* to be freed when its effects are carried out */
    bool back;                           /* an earlier instance's, and what was asked of it is not handed in yet */
    char knew[LINE_ACTIONS][ID_BYTES];   /* actions that it had when it was read back */
    unsigned hang_up_cmd;                /* of a direct one: to be answered when its call is over; 0 none */
};

struct wait { /* somebody wants to hear what became of an action */
    struct wait *next;
    char action[ID_BYTES];
    action_over_fn *fn;
    void *arg;
};

#define LINES_BUCKETS 1024u
#define LINES_QUEUED_MAX 1000u /* calls that wait to be placed; 34 KB each */

struct lines {
    struct app *app;
    struct carrier *carrier;             /* NULL: none is configured */
    struct carrier *direct;              /* of calls that came straight to the speech API */
    struct refer *refers;                /* under way */
    struct destination_policy *destinations;
    struct pacer *pacer;
    struct trunk **buckets;              /* LINES_BUCKETS */
    unsigned n, n_queued;
    unsigned dialing;                    /* asked for and not durable yet */
    struct wait *waits;
    bool leaving;
    unsigned closing;
    void (*closed)(void *arg);
    void *closed_arg;
    struct line_effects fx;
};

/* ---- lines.c ---- */
struct trunk *trunk_find(struct lines *ls, struct str call);
/* By the room's reference, or a leg's sid. */
struct trunk *trunk_by(struct lines *ls, struct str ref_or_sid);
struct trunk *trunk_new(struct lines *ls, struct str call);
/* Steps the machine and carries the effects out; the line may be gone afterwards. Not from inside another's effects. */
void trunk_feed(struct trunk *t, const struct line_event *ev);
/* Carries out what a line_begin_*() left in ls->fx. */
void trunk_settle(struct trunk *t);
void trunk_look(struct trunk *t); /* the same as trunk_feed(), with the time alone */
void trunk_free(struct trunk *t);
static inline struct carrier *trunk_carrier(const struct trunk *t)
{
    return t->m.direct ? t->owner->direct : t->owner->carrier;
}

/* ---- lines_back.c ---- */
/* Reads its machine back; the line is freed when that fails (logged). */
int trunk_read(struct trunk *t, struct str machine);

/* ---- lines_direct.c ---- */
int lines_direct_open(struct lines *ls);
void lines_direct_leave(struct lines *ls); /* cancels what is under way */
unsigned lines_direct_can(const struct lines *ls);
/* The line of a call that came straight to the speech API and is not over; NULL: it is none, or no memory. */
struct trunk *lines_direct_begin(struct lines *ls, struct str id);

/* Whether it is recorded, as far as the carrier can. */
void line_set_record(const struct lines *ls, struct line_settings *set, bool record);

/* ---- dial.c ---- */
/* The settings of a call as POST /call asks for it. */
void dial_settings(const struct lines *ls, struct str to, const struct json *spec, struct line_settings *out);
/* Whom a number or a transfer target's name leads to, and whether it may be called. */
void lines_decide(const struct lines *ls, struct str to, struct destination_verdict *out);

/* ---- lines_fx.c ---- */
void trunk_effects(struct trunk *t);
const char *recording_name(enum line_recording_state r); /* as in the event call.recording */
/* An answer of the carrier; arg is the struct lines. */
void trunk_answered(void *arg, struct str call, const struct carrier_answer *a);
/* An action changed its state: its row, the host's event, and whoever waits for its end. */
void action_tell(struct lines *ls, struct str call, const struct line_action *a);
/* The same for one whose call has no line any more: what became of it. */
void action_close(struct lines *ls, struct str call, struct line_action *a, const char *why);

#endif
