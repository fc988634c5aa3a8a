/* SPDX-License-Identifier: MIT */
#ifndef MEMORY_LINES_H
#define MEMORY_LINES_H
/*
 * Rows of the telephone's side of calls: lines (one a call, the machine of plugin/call/line.h as text), the
 * references of model legs, actions asked for, recordings, questions to the owner. As in journal.h: copies, one
 * store operation, answer on the loop thread after the commit; all writes STORE_RETRY unless said.
 *
 * Tables (schema 5): line(call, carrier, ref, phase, outcome, code, detail, number, own, machine, spec, idem, ...)
 * leg_ref(ref, call, used)  leg_sid(sid, call)  action(id, call, kind, state, ...)  recording(call, sid, ...)
 * recording_owed(n, sid, path, ...)  question(id, call, text, state, ...). Whose a line is, is said by its call's row.
 */
#include "memory/journal.h"

struct line_row { /* borrowed */
    struct str call, carrier, ref, phase, outcome, code, detail;
    struct str number, own;      /* the other end, and ours */
    struct str machine;          /* line_write(); empty once over */
    struct str spec;             /* what was asked for: purpose, context, message, session ... a JSON object */
    struct str idem, idem_hash;  /* idempotency key and hash of the request; may be empty */
    unsigned attempts;
    uint64_t made_at, due_at, answered_at, ended_at;
};

/* NEW, SAME (the key stands with the same body: call says which), OTHER (with another body). */
enum line_made { LINE_MADE_NEW, LINE_MADE_SAME, LINE_MADE_OTHER };
typedef void line_made_fn(void *arg, int rc, enum line_made made, struct str call);
/*
 * Inserts the call's row (state JOURNAL_WAITING, owned by this instance) and the line's, all or nothing. Not
 * begun by deadline_ms: ERR_TIMEOUT. Not retried.
 */
int line_put(struct store *s, const struct journal_call *call, const struct line_row *row, uint64_t deadline_ms,
             line_made_fn *fn, void *arg);
/* The line of a call that stands, where it has none yet. */
int line_add(struct store *s, const struct line_row *row, journal_fn *fn, void *arg);
/*
 * phase, outcome, code, detail, machine, answered_at, ended_at, due_at. ERR_NOT_FOUND: not this instance's any more.
 * The phase is "completed" when nothing is owed any more: a line that waits for its recording is "ending".
 */
int line_save(struct store *s, const struct line_row *row, journal_fn *fn, void *arg);
/* A leg known by its sid at the carrier belongs to the call. Repeats are fine. */
int line_note_leg(struct store *s, struct str sid, struct str call, journal_fn *fn, void *arg);
/*
 * The model's leg of reference `ref` came in as openai_call_id: claims both ids as journal_claim() does, ties
 * them to the line's call, marks the reference as used; the call's row gets the ids and state "claimed". event_at: as
 * in struct journal_call.
 */
enum line_leg_result {
    LINE_LEG_NEW,
    LINE_LEG_DUPLICATE, /* these ids are claimed already */
    LINE_LEG_UNKNOWN,   /* no such reference, or it was used */
    LINE_LEG_OVER       /* its call is over, or another instance's */
};
typedef void line_leg_fn(void *arg, int rc, enum line_leg_result result, struct str call);
int line_claim_leg(struct store *s, struct str ref, struct str openai_call_id, struct str sip_call_id,
                   uint64_t event_at, uint64_t now_ms, uint64_t deadline_ms, line_leg_fn *fn, void *arg);
/* A reference is given out (before the leg is created), in the same commit as a line_save() queued with it. */
int line_note_ref(struct store *s, struct str ref, struct str call, journal_fn *fn, void *arg);

/* Lines that calls left which are over: so are they, but for those that end or wait for their recording. */
int line_end_over(struct store *s, journal_fn *fn, void *arg);
/* Lines of this instance (after journal_adopt) which are not completed; their calls may be over. */
typedef void lines_found_fn(void *arg, int rc, const struct line_row *rows, unsigned n);
int lines_open_rows(struct store *s, lines_found_fn *fn, void *arg);
/* The line of a call's id, a room's reference or a leg's sid, live or over: one row or none. */
int line_row_of(struct store *s, struct str id, lines_found_fn *fn, void *arg);

/* ---- Actions ---- */
struct action_row {
    struct str id, call, kind, state, error, idem, idem_hash, body;
    uint64_t at, done_at;
};
/* made as for line_put(): SAME gives the id of the action that stands. `call` of the callback is the action's id. */
int action_put(struct store *s, const struct action_row *row, line_made_fn *fn, void *arg);
/* An action that is over (done_at) stays as it is. */
int action_save(struct store *s, struct str id, struct str state, struct str error, uint64_t done_at,
                journal_fn *fn, void *arg);
/* That action; id empty: all of calls that this instance drives which are not over, oldest first. */
typedef void actions_fn(void *arg, int rc, const struct action_row *rows, unsigned n);
int action_rows(struct store *s, struct str id, actions_fn *fn, void *arg);
/* What calls that are over left open: a hang-up is done, what was begun uncertain, all else failed; with that error. */
int action_end_over(struct store *s, struct str error, uint64_t now_ms, journal_fn *fn, void *arg);
/* {"actions":[...]} of a call, oldest first. */
int action_list(struct store *s, struct str call, journal_query_fn *fn, void *arg);

/* ---- Recordings ---- */
struct recording_row {
    struct str call, sid, path, sha256, type, error;
    struct str state; /* fetching stored absent failed deleted */
    uint64_t bytes, at, due_at;
    unsigned channels, attempts;
    bool sealed;
};
/*
 * Inserts; a row of that call that stands already is left alone. Of a call that is gone (forgotten) the recording
 * is owed to be deleted instead, see recording_owed.
 */
int recording_add(struct store *s, const struct recording_row *row, journal_fn *fn, void *arg);
/* All but sid and at, of one that is being fetched. ERR_NOT_FOUND: it is not, any more. */
int recording_save(struct store *s, const struct recording_row *row, journal_fn *fn, void *arg);
typedef void recordings_fn(void *arg, int rc, const struct recording_row *rows, unsigned n);
/* call empty: all that this instance has to fetch. ERR_NOT_FOUND never: n is 0. */
int recording_rows(struct store *s, struct str call, recordings_fn *fn, void *arg);
/* Its state is "deleted" from now on, and the rest is owed. ERR_NOT_FOUND: it was, or there is none. */
int recording_drop(struct store *s, struct str call, journal_fn *fn, void *arg);
/* The same for all that were fetched, or could not be, before that time. */
int recording_expire(struct store *s, uint64_t before, journal_fn *fn, void *arg);

struct recording_owed { /* a deletion, of the file and at the carrier */
    uint64_t n;           /* names it */
    struct str sid, path; /* may be empty: nothing there */
    uint64_t made_at, due_at;
    unsigned attempts;
};
typedef void recordings_owed_fn(void *arg, int rc, const struct recording_owed *owed, unsigned n);
/* The 1,000 that are due first, whoever's they were. */
int recordings_owed(struct store *s, recordings_owed_fn *fn, void *arg);
int recording_owed_again(struct store *s, uint64_t n, unsigned attempts, uint64_t due_at, journal_fn *fn, void *arg);
int recording_owed_done(struct store *s, uint64_t n, journal_fn *fn, void *arg);

/* ---- Questions to the owner ---- */
struct question_row {
    struct str id, call, text, answer, identity;
    struct str state; /* asked open answered told expired; the last two are final */
    uint64_t asked_at, until, answered_at;
};
int question_put(struct store *s, const struct question_row *row, journal_fn *fn, void *arg); /* or replaces */
typedef void questions_fn(void *arg, int rc, const struct question_row *rows, unsigned n);
/* Of one call all, in whatever state; call empty: those that are not final and whose calls this instance drives. */
int question_rows(struct store *s, struct str call, questions_fn *fn, void *arg);

#endif
