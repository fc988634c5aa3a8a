/* SPDX-License-Identifier: MIT */
/* Names, what may be asked for, and the invariants of the line machine. */
#include "plugin/call/line_int.h"

static const char *name_of(const char *const *names, unsigned n, unsigned i)
{
    return i < n ? names[i] : "?";
}

#define NAME(table, i) name_of(table, (unsigned)(sizeof table / sizeof table[0]), (unsigned)(i))

static const char *const can_names[] = {"hold", "mute", "dtmf", "collect", "transfer", "warm_transfer",
                                        "invite", "announce", "record", "refer", "hangup", "say"};
static const char *const phases[] = {"queued", "dialing", "ringing", "answered", "ending", "completed"};
static const char *const outcomes[] = {"", "answered", "voicemail", "transferred", "busy", "no_answer", "rejected",
                                       "invalid", "unreachable", "geo_blocked", "refused", "canceled", "expired",
                                       "interrupted", "unconfirmed", "failed"};
static const char *const kinds[] = {"", "hold", "resume", "mute", "unmute", "dtmf", "collect", "transfer", "invite",
                                    "remove", "say", "announce", "hangup", "record_start", "record_pause",
                                    "record_resume", "record_stop"};
static const char *const states[] = {"asked", "doing", "done", "failed", "uncertain", "handed_over"};
static const char *const leg_states[] = {"none", "wanted", "creating", "lost", "ringing", "up", "gone"};

const char *line_can_name(unsigned bit_index)
{
    return bit_index < sizeof can_names / sizeof can_names[0] ? can_names[bit_index] : NULL;
}

const char *line_phase_name(enum line_phase p)
{
    return NAME(phases, p);
}

const char *line_outcome_name(enum line_outcome o)
{
    return NAME(outcomes, o);
}

enum line_outcome line_outcome_of(struct str name)
{
    for (unsigned i = 1; i < LINE_OUTCOMES; i++) {
        if (str_eqc(name, outcomes[i]))
            return (enum line_outcome)i;
    }
    return LINE_OUTCOME_NONE;
}

const char *line_action_name(enum line_action_kind k)
{
    return NAME(kinds, k);
}

enum line_action_kind line_action_of(struct str name)
{
    for (unsigned i = 1; i < ACT_KINDS; i++) {
        if (str_eqc(name, kinds[i]))
            return (enum line_action_kind)i;
    }
    return ACT_NONE;
}

const char *line_action_state_name(enum line_action_state s)
{
    return NAME(states, s);
}

const char *leg_state_name(enum leg_state s)
{
    return NAME(leg_states, s);
}

const struct leg *line_leg(const struct line *l, struct str label)
{
    return leg_current((struct line *)(uintptr_t)l, label);
}

const struct leg *line_leg_by_sid(const struct line *l, struct str sid)
{
    return leg_of_sid((struct line *)(uintptr_t)l, sid);
}

bool line_digits_good(struct str digits)
{
    for (size_t i = 0; i < digits.n; i++)
        if (str_find(STR("0123456789*#wW"), digits.p[i]) == 14)
            return false;
    return digits.n > 0 && digits.n <= LINE_DIGITS_MAX;
}

static unsigned needs(bool direct, enum line_action_kind kind, bool warm)
{
    switch (kind) {
    case ACT_HOLD:
    case ACT_RESUME: return LINE_CAN_HOLD;
    case ACT_MUTE:
    case ACT_UNMUTE: return LINE_CAN_MUTE;
    case ACT_DTMF: return LINE_CAN_DTMF;
    case ACT_COLLECT: return LINE_CAN_COLLECT;
    case ACT_TRANSFER: return warm ? LINE_CAN_WARM : direct ? LINE_CAN_REFER : LINE_CAN_TRANSFER;
    case ACT_INVITE:
    case ACT_REMOVE: return LINE_CAN_INVITE;
    case ACT_SAY: return LINE_CAN_SAY;
    case ACT_ANNOUNCE: return LINE_CAN_ANNOUNCE;
    case ACT_HANGUP: return LINE_CAN_HANGUP;
    case ACT_RECORD_START:
    case ACT_RECORD_PAUSE:
    case ACT_RECORD_RESUME:
    case ACT_RECORD_STOP: return LINE_CAN_RECORD;
    case ACT_NONE:
    case ACT_KINDS: break;
    }
    return 0;
}

int line_lacks(unsigned can, bool direct, enum line_action_kind kind, bool warm)
{
    return (int)(needs(direct, kind, warm) & ~can);
}

int line_refuses(const struct line *l, enum line_action_kind kind, bool warm)
{
    int bit = line_lacks(l->set.can, l->direct, kind, warm);

    if (bit != 0)
        return bit;
    if (kind == ACT_HANGUP)
        return 0;
    return l->phase == LINE_ANSWERED ? 0 : -1;
}

/* ---- Invariants ---- */

static const char *leg_broken(const struct line *l, unsigned i)
{
    const struct leg *leg = &l->legs[i];
    bool stays = l->leave_legs && leg->role != ROLE_MODEL;

    if (leg->state == LEG_NONE)
        return i == 0 && !l->direct ? "there is no caller" : NULL;
    if ((leg->role == ROLE_CALLER) != (i == 0))
        return "the caller is not the first leg";
    if (leg->label[0] == '\0')
        return "a leg without a label";
    if (leg->role == ROLE_MODEL && leg->ref[0] == '\0')
        return "a model leg without a reference";
    if (leg->state == LEG_UP && leg->sid[0] == '\0')
        return "a leg is up and has no sid";
    if (!leg_exists(leg))
        return NULL;
    if (l->phase == LINE_OVER && !stays)
        return "the line is over and a leg is left";
    if (l->phase == LINE_ENDING && !leg->ended_by_us && !stays && !(l->apologising && i == 0))
        return "the line ends and a leg does not";
    if (l->phase < LINE_ANSWERED && i != 0)
        return "a leg before the answer";
    if (leg->ended_by_us && leg->state == LEG_WANTED)
        return "a leg that is being ended is wanted";
    for (unsigned k = 0; k < i; k++) {
        const struct leg *x = &l->legs[k];

        if (leg_exists(x) && !x->ended_by_us && !leg->ended_by_us && str_eq(leg_label(x), leg_label(leg)))
            return "two legs of one label";
    }
    return NULL;
}

static const char *phase_broken(const struct line *l)
{
    if ((l->phase >= LINE_ENDING) != (l->outcome != LINE_OUTCOME_NONE))
        return "outcome and phase do not agree";
    if ((l->phase >= LINE_ENDING) != (l->ended_wall_ms != 0))
        return "end and phase do not agree";
    if (l->phase < LINE_ANSWERED && l->answered_wall_ms != 0)
        return "answered before it was";
    if (l->phase == LINE_QUEUED && l->legs[0].state != LEG_WANTED)
        return "queued, but not wanted";
    if (l->phase == LINE_ANSWERED && !l->direct && l->legs[0].state != LEG_UP)
        return "answered, and the caller is not up";
    if (l->phase < LINE_OVER && l->timer_wall_ms == 0 && !(l->direct && l->phase == LINE_ANSWERED))
        return "a phase without a deadline";
    if (l->apologising && l->phase != LINE_ENDING)
        return "an apology in a call that goes on";
    if (l->recording == REC_ON && l->recording_sid[0] == '\0')
        return "a recording without a sid";
    if (l->held != l->legs[0].held)
        return "the line and the caller do not agree on hold";
    return NULL;
}

const char *line_broken(const struct line *l)
{
    const char *why = phase_broken(l);

    for (unsigned i = 0; i < LINE_PARTIES && !why; i++)
        why = leg_broken(l, i);
    for (unsigned i = 0; i < LINE_ACTIONS && !why; i++) {
        if (!act_open(&l->actions[i]))
            continue;
        if (l->phase == LINE_OVER)
            why = "the line is over and an action is open";
        else if (l->actions[i].id[0] == '\0' || l->actions[i].deadline_wall_ms == 0)
            why = "an action without id or deadline";
        else if (l->phase < LINE_ANSWERED)
            why = "an action before the answer";
    }
    return why;
}
