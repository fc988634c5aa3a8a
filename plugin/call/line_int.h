/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_CALL_LINE_INT_H
#define PLUGIN_CALL_LINE_INT_H
/*
 * What the files of the line machine share and nobody else includes. line.c: beginning, ending, time, the order of a
 * step; line_leg.c: creating, ending and commanding legs; line_seen.c: what the carrier says of them; line_model.c:
 * the model's leg, apology, voicemail; line_act.c: actions; line_move.c: transfer, invite, remove; line_rec.c: the
 * recording; line_text.c: the durable text; line_name.c: names, what may be asked for, invariants.
 *
 * A step takes its event in, then runs everything (line_run) until nothing changes. Whatever waits for a time asks
 * due(), which also collects the next timer: a deadline that is looked at cannot be forgotten.
 */
#include "plugin/call/line.h"

#include <string.h>

#define ANSWER_MS 20000u       /* a command without an answer counts as lost */
#define AGAIN_MS 8000u         /* the same for what may be sent twice */
#define LOST_MS 60000u         /* after that a leg that was never found is given up */
#define MODEL_MS 8000u         /* from the answer to a model that speaks */
#define VOICEMAIL_MS 45000u
#define FRESH_MS 15000u        /* an answer that is younger is worth a model after a restart */
#define RING_MORE_MS 65000u    /* beyond ring_ms: the carrier's own buffer, and time to look */
#define ENDING_MS 15000u
#define ENDING_ALL_MS 75000u
#define RECORDING_MS 30000u

enum { LEG_UNSURE_HOLD = 1, LEG_UNSURE_MUTE = 2, LEG_UNSURE_STAY = 4 };

struct step {
    struct line *l;
    struct line_effects *fx;
    struct str ref;         /* fresh; used up by the first model leg */
    struct call_now now;
    uint64_t t, next;       /* now and the next timer, in the line's time (see base_ms) */
    bool again;             /* something changed: run once more */
    bool soon;              /* a timer at once: something needs the next step's reference */
    bool fetch;
};

/* ---- line.c ---- */
bool due(struct step *s, uint64_t at); /* 0: never */
void time_not_after(uint64_t *at, uint64_t last);
void line_changed(struct step *s);     /* something durable changed */
void line_finish(struct step *s, enum line_outcome outcome, struct str detail);
void line_hop(struct step *s, const char *name, struct str detail);
void line_notify(struct step *s, const char *name);
void line_tell(struct step *s, enum line_tell what, struct str text);
struct str line_say(struct step *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The carrier's words, at most `max` bytes of them; of numbers the two ends alone, as it goes to logs. */
struct str line_quote(struct step *s, struct str message, size_t max);
struct line_fx *line_fx(struct step *s, enum line_fx_kind kind);
/* Sends a command and makes `job` wait for its answer. */
struct line_fx *line_command(struct step *s, struct line_job *job, enum line_cmd what, const struct leg *leg);
void job_failed(struct step *s, struct line_job *job);
/* The command in flight was not answered in time. */
bool job_late(struct step *s, struct line_job *job);
bool job_free(struct step *s, const struct line_job *job);
bool answered_well(int http_status);
/* Nothing was done at the carrier: a refused connection, or 429. */
bool answered_nothing(const struct line_event *ev);
/* It may have been done. */
bool answered_unknown(const struct line_event *ev);
void text_copy(char *to, size_t cap, struct str from); /* cut at a character, never too long */

/* ---- line_leg.c ---- */
struct leg *leg_current(struct line *l, struct str label); /* the newest that is not being ended; NULL */
struct leg *leg_of_sid(struct line *l, struct str sid);
struct leg *leg_new(struct step *s, enum leg_role role, struct str label, struct str to); /* NULL: no place */
bool leg_exists(const struct leg *leg);  /* somebody may ring or talk on it, or will */
bool leg_unsent(const struct leg *leg);  /* WANTED, or CREATING and not handed to the carrier */
void leg_enter(struct step *s, struct leg *leg, enum leg_state next);
void leg_end(struct step *s, struct leg *leg);
void leg_stray(struct step *s, struct str sid, struct str label);
void leg_forget(struct line *l, const struct leg *leg); /* its sid is remembered as one of the past */
void legs_run(struct step *s);
void legs_saved(struct step *s, uint64_t version);
void legs_slot(struct step *s, struct str label);
void legs_created(struct step *s, const struct line_event *ev);
bool legs_done(struct step *s, const struct line_event *ev);
void legs_refusal(const struct line_event *ev, enum line_outcome *outcome, const char **why);

bool leg_is_past(const struct line *l, struct str sid);

/* ---- line_seen.c ---- */
void seen_status(struct step *s, const struct line_event *ev);
void seen_room(struct step *s, const struct line_event *ev);
void seen_found(struct step *s, const struct line_event *ev);
void seen_gone(struct step *s, struct leg *leg, enum line_leg_status status, int sip_code, struct str why);
void seen_run(struct step *s); /* looks up what is due */

/* ---- line_model.c ---- */
struct leg *model_leg(struct line *l);
void model_run(struct step *s);
void model_answered(struct step *s);
void model_leg_gone(struct step *s, struct str why);
void model_said(struct step *s, const struct line_event *ev);
void model_drop(struct step *s);
void model_back(struct step *s); /* brings what was dropped */
void model_recover(struct step *s); /* after a restart, when it is known who is there */
void model_apologise(struct step *s, enum line_outcome outcome, struct str detail);
bool model_apology_done(struct step *s, const struct line_event *ev);
void model_machine(struct step *s, const struct line_event *ev);
void hold_resume(struct step *s);
void hold_run(struct step *s);
/* Holding or not was acknowledged. */
void hold_done(struct step *s, bool held);

/* ---- line_act.c ---- */
void acts_begin(struct step *s, const struct line_action *asked);
void acts_run(struct step *s);
void acts_saved(struct step *s, uint64_t version);
bool acts_done(struct step *s, const struct line_event *ev);
void acts_digits(struct step *s, const struct line_event *ev);
void acts_announced(struct step *s, bool well);
void acts_restored(struct step *s);
void acts_end(struct step *s);  /* the line ends */
void acts_over(struct step *s);
void acts_emit(struct step *s);
void acts_reap(struct line *l);
void act_over(struct step *s, struct line_action *a, enum line_action_state state, const char *error);
bool act_open(const struct line_action *a);
struct line_action *act_find(struct line *l, struct str id);
/* Durable first, then sent. */
void act_send(struct step *s, struct line_action *a);

/* ---- line_move.c ---- */
void move_run(struct step *s, struct line_action *a);
void move_digits(struct step *s, struct line_action *a, struct str digits);
void move_abort(struct step *s, struct line_action *a, const char *why);
void move_leg_gone(struct step *s, struct leg *leg, struct str why);
bool move_refer_gone(struct step *s); /* the model's side left: was that what a refer asked for? */
void move_left_alone(struct step *s); /* handed over, and then one of the two left */
struct line_action *move_of(struct line *l, struct str label);

/* ---- line_rec.c ---- */
void rec_run(struct step *s);
void rec_saved(struct step *s, uint64_t version);
bool rec_done(struct step *s, const struct line_event *ev);
void rec_said(struct step *s, const struct line_event *ev);
void rec_found(struct step *s, struct str sid);
bool rec_settled(struct step *s);
void rec_newcomer(struct step *s, struct str label);

static inline struct str leg_label(const struct leg *leg)
{
    return str_of(leg->label);
}

#endif
