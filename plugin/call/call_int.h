/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_CALL_CALL_INT_H
#define PLUGIN_CALL_CALL_INT_H
/*
 * What the files of plugin/call share and nobody else includes: making effects, and the seams between
 * life cycle (call.c), the telephone's side (call_line.c), what was said (call_speech.c), what it costs
 * (call_cost.c), speaking (floor.c),
 * function calls (tool.c) and results that may be lost (owed.c).
 */
#include "plugin/call/call.h"

/* ---- effects.c ---- */
struct call_fx *fx_add(struct call_effects *fx, enum call_fx_kind kind);
/* A formatted text that lives as long as the effects; cut to 199 bytes. */
struct str fx_text(struct call_effects *fx, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void fx_hop(struct call_effects *fx, const char *name, struct str detail);
void fx_save(struct call_effects *fx, unsigned columns, const char *state, uint32_t ticket);
void fx_save_tool(struct call_effects *fx, const struct tool *t, const char *state, struct str output);
struct call_fx *fx_notify(struct call_effects *fx, enum call_notice what);
void fx_notify_tool(struct call_effects *fx, const struct tool *t, const char *phase,
                    struct str text, uint64_t ms);
struct call_fx *fx_send(struct call_effects *fx, enum call_send_kind kind);

/* ---- call.c ---- */
#define CALL_TICKET_GREET 1u
#define CALL_TICKET_VOICEMAIL 2u
void call_enter(struct call *c, enum call_state next, uint64_t deadline_ms); /* the one writer of the state */
void call_set_reason(struct call *c, enum call_reason reason, struct str detail); /* the first one counts */
void call_over(struct call *c, enum call_reason reason, struct str detail, struct call_now now,
               struct call_effects *fx);
void call_begin_step(struct call *c, struct call_effects *fx);
void call_accept(struct call *c, struct str how, struct call_now now, struct call_effects *fx);
/* A system item, under an id that the same id and part give again. */
void call_tell(struct call *c, struct str id, struct str part, struct str text, struct call_effects *fx);
/* Leaves LIVE with words: spoken_id is the hash of a response that says them already, 0 to ask for one. */
void call_say_goodbye(struct call *c, enum call_reason reason, struct str detail, uint64_t spoken_id,
                      struct call_now now, struct call_effects *fx);
void call_hang_up(struct call *c, enum call_reason reason, struct str detail, struct call_now now,
                  struct call_effects *fx);
/* The goodbye was heard, as far as can be told. */
void call_drained(struct call *c, struct call_now now, struct call_effects *fx);

/* ---- call_line.c: only for calls with a line ---- */
void call_on_line(struct call *c, const struct call_event *ev, struct call_now now, struct call_effects *fx);
void call_wait(struct call *c, struct call_now now); /* enters WAITING */
void call_waited_long(struct call *c, struct call_now now, struct call_effects *fx);
/* The model's leg is lost for good: the line brings one back, or ends. */
void call_lose_leg(struct call *c, struct str detail, struct call_now now, struct call_effects *fx);
/* Has the line end both legs; asked for again until it is over. */
void call_end_line(struct call *c, struct call_now now, struct call_effects *fx);
void call_line_live(struct call *c, struct call_now now, struct call_effects *fx); /* the session speaks */
void call_restore_line(struct call *c, const struct call_restored *r);
void fx_line(struct call_effects *fx, enum call_line what, struct str text);
void call_voicemail_saved(struct call *c);
/* Instructions of the response to the machine; empty: the conversation was told what to say. */
struct str call_voicemail_words(struct call *c, struct call_effects *fx);
/* The words for the machine were heard, or it is not to be known whether they were. */
void call_voicemail_said(struct call *c, struct call_effects *fx);
/* The words about recording were heard to their end; or cut off, and are said once more. */
void call_notice_ended(struct call *c, bool heard, struct call_effects *fx);
bool call_notice_owed(const struct call *c);

/* ---- call_speech.c ---- */
/* Events of the speech API; all but the session's first word need an open sideband. */
void speech_event(struct call *c, const struct call_event *ev, struct call_now now, struct call_effects *fx);
/* Words that were said while there was no sideband are asked for by their items. */
void speech_ask_missing(struct call *c, struct call_effects *fx);
void speech_forget(struct call *c); /* the conversation is another one */
void keys_run(struct call *c, struct call_now now, struct call_effects *fx);
uint64_t keys_deadline(const struct call *c);
void keys_spent(struct call *c); /* wipes what the effects of the last step named */
void keys_wipe(struct call *c);

/* ---- call_cost.c ---- */
/* Counts what a response or a transcription cost; id: of that. */
void cost_charge(struct call *c, const struct call_usage *u, struct str id, struct call_now now,
                 struct call_effects *fx);
/* Warns, or says goodbye, if the budget wants it. */
void cost_run(struct call *c, struct call_now now, struct call_effects *fx);
void cost_restore(struct call *c, const struct call_restored *r);

/* ---- floor.c ---- */
enum floor_want {
    WANT_GREETING = 1 << 0,
    WANT_TOOL = 1 << 1,    /* outputs of a batch are in */
    WANT_NEWS = 1 << 2,    /* a late result is in */
    WANT_RESUME = 1 << 3,  /* something should be said, we do not know what is missing */
    WANT_WARNING = 1 << 4, /* the time is nearly up */
    WANT_FILLER = 1 << 5,
    WANT_GOODBYE = 1 << 6,
    WANT_NOTICE = 1 << 7,   /* the words about recording */
    WANT_VOICEMAIL = 1 << 8, /* the words for an answering machine */
    WANT_COST = 1 << 9      /* the money is nearly used up */
};
void floor_want(struct call *c, unsigned want);
/* The sideband speaks (again): nothing is known of responses under way. */
void floor_open(struct call *c, struct call_now now);
void floor_event(struct call *c, const struct call_event *ev, struct call_now now,
                 struct call_effects *fx);
/* Does what is due and asks for a response if one is wanted and possible. At the end of each step. */
void floor_run(struct call *c, struct call_now now, struct call_effects *fx);
/* There is no conversation any more. */
void floor_close(struct call *c);
/* Stops what is being said, and what was wanted beside it. */
void floor_cut(struct call *c, struct call_effects *fx);
uint64_t floor_deadline(const struct call *c);
/* True the second time a response's end is told. Remembers it. */
bool floor_seen_done(struct call *c, struct str response_id);
uint64_t floor_hash(struct str response_id);

/* ---- tool.c and owed.c ---- */
bool tools_running(const struct call *c);
bool tools_probing(const struct call *c);
/* The one that keeps the caller waiting longest; NULL if none runs. */
const struct tool *tools_oldest_running(const struct call *c);
/* Until when a caller who says nothing may be waiting for a result: 0 none, UINT64_MAX no end yet. */
uint64_t tools_owed_until(const struct call *c);
void tools_on_response(struct call *c, const struct call_event *ev, struct call_now now,
                       struct call_effects *fx);
void tools_on_result(struct call *c, const struct call_tool_result *r, struct call_now now,
                     struct call_effects *fx);
void tools_on_acting(struct call *c, struct str call_id, struct call_now now, struct call_effects *fx);
/* The function call that waits for pressed keys; NULL: none. */
struct tool *tools_keypad(struct call *c);
/* An item of ours was seen, by our own asking or not; false if it is none of ours. */
bool tools_on_item(struct call *c, struct str item_id, struct call_now now, struct call_effects *fx);
/* An error answers one of our events; false if it is none of the tools'. */
bool tools_on_error(struct call *c, struct str event_id, struct str message, struct call_now now,
                    struct call_effects *fx);
/* The sideband speaks: outputs that may be lost are asked for, ready ones sent. */
void tools_open(struct call *c, struct call_now now, struct call_effects *fx);
/* A conversation without our function calls: what is owed for them is told as news. */
void tools_new_leg(struct call *c, struct call_now now, struct call_effects *fx);
/* The caller is back: what waited is sent. */
void tools_resume(struct call *c, struct call_now now, struct call_effects *fx);
void tools_run(struct call *c, struct call_now now, struct call_effects *fx); /* what is due */
void tools_cancel(struct call *c, struct call_now now, struct call_effects *fx);
void tools_restore(struct call *c, const struct call_restored *r, struct call_now now);
uint64_t tools_deadline(const struct call *c);
void tools_reap(struct call *c); /* frees what the effects of the last step named */
void tools_free(struct call *c);

/* ---- tool.c, for owed.c ---- */
extern const char tool_lost_words[], tool_not_allowed_words[], tool_unknown_words[];
/* NULL: no place, no memory, or an id that is too long. */
struct tool *tool_new(struct call *c, struct str id, struct str name, struct str arguments);
enum tool_kind tool_kind_of(const struct call *c, const struct tool *t);
void tool_close(struct call *c, struct tool *t, struct call_effects *fx);
void tool_start(struct call *c, struct tool *t, bool resumed, struct call_now now,
                struct call_effects *fx);
void tool_refuse(struct call *c, struct tool *t, const char *why, struct call_now now,
                 struct call_effects *fx);
/* It has its output: kept, and sent if the sideband is open. */
void tool_ready(struct call *c, struct tool *t, struct str text, struct call_now now,
                struct call_effects *fx);
void tool_send(struct call *c, struct tool *t, struct call_now now, struct call_effects *fx);
char *tool_output_dup(struct str text); /* cut to the ceiling; NULL when out of memory */
/* One response is wanted once the last output of the batch is out. */
void tools_check_batch(struct call *c, uint32_t batch);
bool tools_response_owed(const struct call *c, unsigned want);

/* ---- owed.c, for tool.c ---- */
/* An output is not in the conversation, or nobody says that it is: it is owed. */
void tool_not_there(struct call *c, struct tool *t, struct call_now now, struct call_effects *fx);
/* The result of a run that the caller was told not to wait for. */
void tool_news(struct call *c, struct tool *t, struct str text, struct call_now now,
               struct call_effects *fx);
void tool_news_run(struct call *c, struct tool *t, struct call_now now, struct call_effects *fx);

/* Items may be added to the conversation. */
static inline bool can_send(const struct call *c)
{
    return c->sideband_open && !c->held;
}

static inline uint64_t sooner(uint64_t a, uint64_t b) /* of two deadlines, 0 = never */
{
    return a == 0 ? b : b == 0 || a < b ? a : b;
}

/* Not before `until`; 0 stays 0. */
static inline uint64_t later(uint64_t at, uint64_t until)
{
    return at == 0 || at > until ? at : until;
}

static inline bool due(uint64_t at, struct call_now now)
{
    return at != 0 && now.mono_ms >= at;
}

#endif
