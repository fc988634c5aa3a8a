/* SPDX-License-Identifier: MIT */
/* A line's world: the carrier's answers and callbacks, deaths, and what tells two worlds apart. */
#include "tests/model/line_world.h"

#include <stdio.h>

#define BEGAN_MONO 10000000u
#define BEGAN_WALL 1790000000000u
#define AWAY_MS 2000u
#define END_MS 2400000u /* bound: three dials with pauses, the longest duration, a hold of 15 min, ending */
#define WALK_STEPS 3000u

static struct line_effects fx;
static unsigned refs;

static struct line_settings settings(void)
{
    struct line_settings set = {.can = LINE_CAN_SAY * 2 - 1, .outbound = !ls->inbound, .ring_ms = 30000,
                                .queue_ms = 60000, .max_ms = 300000, .hold_drop_ms = 8000, .retries = ls->retries,
                                .voicemail = ls->voicemail, .detect_machine = true, .record = ls->notice,
                                .consent = ls->notice ? CONSENT_NOTICE : CONSENT_NONE};

    (void)snprintf(set.model_uri, sizeof set.model_uri, "sip:x@sip.example");
    (void)snprintf(set.own, sizeof set.own, "+15550009999");
    return set;
}

/* ---- Steps ---- */

static void take(struct lworld *w, const struct line_event *ev)
{
    static const struct line_event timer = {.kind = LINE_EV_TIMER};
    char ref[LINE_REF_BYTES];
    enum line_phase before = w->l.phase;

    for (unsigned turns = 0;; turns++) {
        (void)snprintf(ref, sizeof ref, "%032x", ++refs);
        line_step(&w->l, turns == 0 ? ev : &timer, str_of(ref), w->now, &fx);
        line_watch(w, &fx);
        line_seen(w, before);
        if (w->l.timer_wall_ms == 0 || w->l.timer_wall_ms > w->now.wall_ms || turns == 8)
            break;
    }
}

static void hand_in(struct lworld *w, unsigned i)
{
    static const char *const texts[] = {[ACT_DTMF] = "12", [ACT_SAY] = "hello"};
    struct line_event ev = {.kind = LINE_EV_ACTION};
    enum line_action_kind kind = w->truth.acts[i].kind;

    ev.u.action.kind = kind;
    (void)snprintf(ev.u.action.id, ID_BYTES, "act_%u", i);
    (void)snprintf(ev.u.action.to, PHONE_BYTES, "+15557770000");
    if (kind == ACT_TRANSFER || kind == ACT_INVITE)
        (void)snprintf(ev.u.action.party, LINE_LABEL_BYTES, "sales");
    if ((size_t)kind < sizeof texts / sizeof texts[0] && texts[kind] != NULL)
        (void)snprintf(ev.u.action.text, LINE_TEXT_BYTES, "%s", texts[kind]);
    ev.u.action.warm = w->truth.acts[i].warm;
    take(w, &ev);
}

void line_root(void *world, unsigned i) /* 0, or 1: without a way */
{
    struct lworld *w = world;
    struct line_settings set = settings();

    memset(w, 0, sizeof *w);
    w->now = (struct call_now){.mono_ms = BEGAN_MONO, .wall_ms = BEGAN_WALL};
    if (ls->inbound) {
        w->truth.legs[0] = (struct carried){.at = AT_UP, .told = true, .label = "caller"};
        w->truth.n_legs = 1;
        line_begin_inbound(&w->l, &set, STR("0123456789abcdef0123456789abcdef"), STR("CA0"), STR("+15551230000"),
                           w->now, &fx);
    } else {
        line_begin_dial(&w->l, &set, STR("0123456789abcdef0123456789abcdef"), STR("+15551230000"), 0, w->now, &fx);
    }
    line_watch(w, &fx);
    line_seen(w, w->l.phase);
    for (const unsigned char *e = i == 0 ? ls->way : NULL; e != NULL && *e != 0xff; e++)
        if (line_can(w, *e))
            line_one(w, *e);
}

/* ---- The carrier ---- */

static bool is_create(enum line_cmd what)
{
    return what == LINE_CMD_CREATE || what == LINE_CMD_OFFER;
}

/* Of what is not answered the oldest: a create, a look-up, or another. */
static int oldest(const struct lworld *w, int kind)
{
    for (unsigned i = 0; i < w->n_sent; i++) {
        enum line_cmd what = w->sent[i].what;

        if ((is_create(what) ? 0 : what == LINE_CMD_LOOK_UP ? 1 : 2) == kind)
            return (int)i;
    }
    return -1;
}

static struct sent answered(struct lworld *w, unsigned i)
{
    struct sent s = w->sent[i];

    memmove(w->sent + i, w->sent + i + 1, (w->n_sent - i - 1) * sizeof s);
    w->n_sent--;
    return s;
}

static int carried_of(const struct truth *t, const char *sid)
{
    return strncmp(sid, "CA", 2) == 0 && sid[2] >= '0' && (unsigned)(sid[2] - '0') < t->n_legs ? sid[2] - '0' : -1;
}

static unsigned make_leg(struct truth *t, const char *label, bool told)
{
    t->legs[t->n_legs] = (struct carried){.at = AT_RINGING, .told = told};
    (void)snprintf(t->legs[t->n_legs].label, LINE_LABEL_BYTES, "%s", label);
    return t->n_legs++;
}

static struct acted *acted(struct lworld *w, const char *action)
{
    unsigned i = strncmp(action, "act_", 4) == 0 ? (unsigned)(action[4] - '0') : ACTS;

    return i < ACTS ? &w->truth.acts[i] : NULL;
}

static void create_answered(struct lworld *w, unsigned event)
{
    struct sent s = answered(w, (unsigned)oldest(w, 0));
    struct line_event ev = {.kind = LINE_EV_CREATED};
    struct acted *a = acted(w, s.action);
    char sid[8] = "";

    ev.u.answer.cmd = s.n;
    ev.u.answer.http_status = event == L_CR_OK ? 201 : event == L_CR_429 ? 429 : event == L_CR_400 ? 400 : 0;
    ev.u.answer.maybe_sent = event == L_CR_LOST || event == L_CR_MADE;
    ev.u.answer.code = event == L_CR_400 ? STR("21217") : STR("");
    if (event == L_CR_OK || event == L_CR_MADE)
        (void)snprintf(sid, sizeof sid, "CA%u", make_leg(&w->truth, s.label, event == L_CR_OK));
    if (event == L_CR_OK)
        ev.u.answer.sid = str_of(sid);
    if (a != NULL && (event == L_CR_429 || event == L_CR_UNSENT))
        a->unknown = false;
    take(w, &ev);
}

static void ends_at_carrier(struct lworld *w, const struct sent *s)
{
    int i = carried_of(&w->truth, s->sid);

    if (s->what == LINE_CMD_END_LEG && i >= 0)
        w->truth.legs[i].at = AT_DEAD;
    for (unsigned k = 0; k < w->truth.n_legs && s->what == LINE_CMD_END_ROOM; k++)
        if (w->truth.legs[k].at == AT_UP)
            w->truth.legs[k].at = AT_DEAD;
}

static void done_answered(struct lworld *w, unsigned event)
{
    struct sent s = answered(w, (unsigned)oldest(w, 2));
    struct line_event ev = {.kind = LINE_EV_DONE};

    ev.u.answer.cmd = w->last_cmd = s.n;
    ev.u.answer.http_status = event == L_DO_OK ? 200 : event == L_DO_404 ? 404 : event == L_DO_400 ? 400 : 0;
    ev.u.answer.maybe_sent = true;
    if (s.what == LINE_CMD_RECORD)
        ev.u.answer.sid = STR("RE1");
    if (event == L_DO_OK)
        ends_at_carrier(w, &s);
    take(w, &ev);
}

static void looked_up(struct lworld *w, unsigned event)
{
    static const enum line_leg_status said[] = {LEG_SAYS_QUEUED, LEG_SAYS_RINGING, LEG_SAYS_IN_PROGRESS,
                                                LEG_SAYS_COMPLETED};
    struct sent s = answered(w, (unsigned)oldest(w, 1));
    struct line_event ev = {.kind = LINE_EV_FOUND};
    struct line_seen_leg legs[LEGS];
    char sids[LEGS][8];

    ev.u.found.cmd = s.n;
    ev.u.found.http_status = event == L_LOOK ? 200 : 500;
    ev.u.found.room = STR("CF1");
    ev.u.found.legs = legs;
    for (unsigned i = 0; i < w->truth.n_legs && event == L_LOOK; i++) {
        struct carried *c = &w->truth.legs[i];

        (void)snprintf(sids[i], sizeof sids[i], "CA%u", i);
        legs[i] = (struct line_seen_leg){.label = str_of(c->label), .sid = str_of(sids[i]), .status = said[c->at],
                                         .in_room = c->room, .up_s = -1};
        c->told = true;
        ev.u.found.n_legs++;
    }
    take(w, &ev);
}

static void called_back(struct lworld *w, unsigned event)
{
    unsigned i = (event - L_RING) % LEGS, what = (event - L_RING) / LEGS;
    static const enum line_leg_status said[] = {LEG_SAYS_RINGING, LEG_SAYS_IN_PROGRESS, LEG_SAYS_COMPLETED,
                                                LEG_SAYS_BUSY};
    struct carried *c = &w->truth.legs[i];
    struct line_event ev = {.kind = what == 4 ? LINE_EV_ROOM : LINE_EV_STATUS};
    char sid[8];

    (void)snprintf(sid, sizeof sid, "CA%u", i);
    c->told = true;
    if (what == 4) {
        c->room = c->at == AT_UP;
        ev.u.room.what = ROOM_JOIN;
        ev.u.room.room = STR("CF1");
        ev.u.room.label = str_of(c->label);
        ev.u.room.sid = str_of(sid);
    } else {
        if (c->at != AT_DEAD && what > 0) {
            c->at = what == 1 ? AT_UP : AT_DEAD;
            c->busy = what == 3;
        }
        ev.u.status.status = said[what];
        ev.u.status.label = str_of(c->label);
        ev.u.status.sid = str_of(sid);
        ev.u.status.ref = str_of(w->l.ref);
        ev.u.status.seq = -1;
    }
    take(w, &ev);
}

/* ---- The alphabet ---- */

static const char *const names[] = {
    "the next timer", "the save is durable", "an older save is durable", "slots are given", "create: 201",
    "create: 429", "create: no connection", "create: refused", "create: lost, not made", "create: lost, made",
    "command: 200", "command: 404", "command: 400",
    "command: no answer", "the last answer again", "look-up: what is so", "look-up: 500", "the model speaks",
    "the model is lost", "the model leaves", "a turn of the callee", "the notice was heard", "the message was heard",
    "machine detection: human", "machine detection: its end", "recording: on", "recording: done",
    "the target presses 1", "action: hold", "action: resume", "action: hang up", "action: keys", "action: transfer",
    "action: warm transfer", "action: invite", "action: say", "action: record"};
static const char *const leg_names[] = {"rings", "is up", "ends", "was busy", "joins the room"};

const char *line_event_name(unsigned event)
{
    static char text[LEGS * 5][40];
    unsigned at = event - L_RING;

    if (event < L_RING)
        return names[event];
    (void)snprintf(text[at], sizeof text[at], "leg %u %s", at % LEGS, leg_names[at / LEGS]);
    return text[at];
}

bool line_can(const void *world, unsigned event)
{
    const struct lworld *w = world;
    unsigned i = (event - L_RING) % LEGS;

    if (w->gone)
        return false;
    if (event >= L_RING)
        return i < w->truth.n_legs && (event < L_UP || event >= L_DEAD || w->truth.legs[i].at != AT_DEAD ||
                                       w->truth.legs[i].told);
    switch (event) {
    case L_TIMER: return w->l.timer_wall_ms != 0;
    case L_SAVED: return w->has_open;
    case L_OLDER: return w->has_older;
    case L_SLOT: return w->slot[0] || w->slot[1];
    case L_CR_OK:
    case L_CR_MADE: return oldest(w, 0) >= 0 && w->truth.n_legs < LEGS;
    case L_CR_429:
    case L_CR_UNSENT:
    case L_CR_400:
    case L_CR_LOST: return oldest(w, 0) >= 0;
    case L_DO_OK:
    case L_DO_404:
    case L_DO_400:
    case L_DO_LOST: return oldest(w, 2) >= 0;
    case L_DO_AGAIN: return w->last_cmd != 0;
    case L_LOOK:
    case L_LOOK_500: return oldest(w, 1) >= 0;
    default: return event < L_HOLD || w->truth.n_acts < ACTS;
    }
}

static void slots(struct lworld *w)
{
    struct line_event ev = {.kind = LINE_EV_SLOT};
    char label[LINE_LABEL_BYTES];

    (void)snprintf(label, sizeof label, "%s", w->slot[0] ? "caller" : w->slot_label);
    if (w->slot[0])
        w->slot[0] = false;
    else
        w->slot[1] = false;
    ev.u.label = str_of(label);
    take(w, &ev);
}

static void act(struct lworld *w, unsigned event)
{
    static const enum line_action_kind kinds[] = {ACT_HOLD, ACT_RESUME, ACT_HANGUP, ACT_DTMF, ACT_TRANSFER,
                                                  ACT_TRANSFER, ACT_INVITE, ACT_SAY, ACT_RECORD_START};
    struct acted *a = &w->truth.acts[w->truth.n_acts];

    *a = (struct acted){.asked = true, .kind = kinds[event - L_HOLD], .warm = event == L_WARM, .at = w->now.wall_ms};
    hand_in(w, w->truth.n_acts++);
}

static void said(struct lworld *w, unsigned event)
{
    static const enum line_ev kinds[] = {LINE_EV_MODEL_LIVE, LINE_EV_MODEL_GONE, LINE_EV_MODEL_LEAVES,
                                         LINE_EV_CALLEE_TURN, LINE_EV_NOTICE_HEARD, LINE_EV_VOICEMAIL_SAID,
                                         LINE_EV_MACHINE, LINE_EV_MACHINE,
                                         LINE_EV_RECORDING, LINE_EV_RECORDING, LINE_EV_DIGITS};
    struct line_event ev = {.kind = kinds[event - L_LIVE]};

    if (event == L_GONE || event == L_LEAVES)
        ev.u.text = STR("said the model's side");
    if (event == L_HUMAN || event == L_MACHINE)
        ev.u.machine.by = event == L_HUMAN ? MACHINE_HUMAN : MACHINE_END;
    if (event == L_REC_ON || event == L_REC_DONE) {
        ev.u.recording.sid = STR("RE1");
        ev.u.recording.what = event == L_REC_ON ? RECORDING_ON : RECORDING_DONE;
    }
    if (event == L_YES) {
        ev.u.digits.label = STR("sales");
        ev.u.digits.action = STR("act_0");
        ev.u.digits.digits = STR("1");
    }
    take(w, &ev);
}

void line_one(void *world, unsigned event)
{
    struct lworld *w = world;
    struct line_event ev = {.kind = LINE_EV_TIMER};

    w->truth0 = w->truth;
    memcpy(w->sent0, w->sent, sizeof w->sent);
    w->n_sent0 = w->n_sent;
    w->n_effects = 0;
    if (event >= L_RING) {
        called_back(w, event);
    } else if (event >= L_HOLD) {
        act(w, event);
    } else if (event >= L_LIVE) {
        said(w, event);
    } else if (event == L_LOOK || event == L_LOOK_500) {
        looked_up(w, event);
    } else if (event >= L_DO_OK && event <= L_DO_LOST) {
        done_answered(w, event);
    } else if (event == L_DO_AGAIN) {
        ev = (struct line_event){.kind = LINE_EV_DONE, .u.answer.cmd = w->last_cmd, .u.answer.http_status = 200};
        take(w, &ev);
    } else if (event >= L_CR_OK) {
        create_answered(w, event);
    } else if (event == L_OLDER) {
        ev = (struct line_event){.kind = LINE_EV_SAVED, .u.version = w->older.version};
        w->durable = w->older;
        w->has_durable = true;
        w->has_older = false;
        take(w, &ev);
    } else if (event == L_SLOT) {
        slots(w);
    } else if (event == L_SAVED) {
        ev = (struct line_event){.kind = LINE_EV_SAVED, .u.version = w->open.version};
        w->durable = w->open;
        w->has_durable = true;
        w->has_open = w->has_older = false;
        take(w, &ev);
    } else {
        if (w->l.timer_wall_ms > w->now.wall_ms) {
            w->now.mono_ms += w->l.timer_wall_ms - w->now.wall_ms;
            w->now.wall_ms = w->l.timer_wall_ms;
        }
        take(w, &ev);
    }
}

/* ---- Deaths: bits: the open save is durable, the step's commands went out, creates in flight were made ---- */

unsigned line_crashes(const void *world)
{
    const struct lworld *w = world;

    return w->truth.deaths >= ls->crashes || w->gone || w->n_effects == 0 ? 0 : 8;
}

/* What the step sent did not go out; what it answered is answered. */
static void keep_older(struct lworld *w)
{
    unsigned n = 0;

    for (unsigned i = 0; i < w->n_sent; i++) {
        bool older = false;

        for (unsigned k = 0; k < w->n_sent0; k++)
            older = older || w->sent0[k].n == w->sent[i].n;
        if (older)
            w->sent[n++] = w->sent[i];
    }
    w->n_sent = n;
}

void line_left(struct lworld *w, unsigned i)
{
    if ((i & 2) == 0) {
        bool asked[ACTS];

        for (unsigned k = 0; k < ACTS; k++)
            asked[k] = w->truth.acts[k].asked;
        w->truth.room_ended = w->truth0.room_ended;
        w->truth.apologised = w->truth0.apologised;
        for (unsigned k = 0; k < ACTS; k++) {
            w->truth.acts[k].unknown = w->truth0.acts[k].unknown;
            w->truth.acts[k].asked = asked[k];
        }
        keep_older(w);
    }
    if ((i & 1) && w->has_open) {
        w->durable = w->open;
        w->has_durable = true;
    }
    for (unsigned k = 0; k < w->n_sent && (i & 4) && w->truth.n_legs < LEGS; k++)
        if (is_create(w->sent[k].what))
            (void)make_leg(&w->truth, w->sent[k].label, false);
    for (unsigned k = 0; k < LEGS; k++)
        w->truth.legs[k].end_sent = false;
    w->n_sent = 0;
    w->has_open = w->has_older = false;
}

static void begin_again(struct lworld *w)
{
    struct line_event timer = {.kind = LINE_EV_TIMER};
    struct truth truth = w->truth;
    struct call_now now = w->now;
    bool read = w->has_durable;
    struct buf b;

    now.mono_ms += AWAY_MS;
    now.wall_ms += AWAY_MS;
    truth.deaths++;
    if (!read) { /* its row alone is there: nothing was done yet */
        line_root(w, 1);
        w->truth.deaths = truth.deaths;
        memcpy(w->truth.acts, truth.acts, sizeof truth.acts);
        w->truth.n_acts = truth.n_acts;
    } else {
        buf_init(&b, LINE_DURABLE_BYTES);
        must(J_STATE, line_write(&w->durable, &b) == 0 && line_read(&w->l, buf_str(&b)) == 0, "it cannot be read back");
        buf_free(&b);
        w->truth = truth;
        w->now = now;
        w->slot[0] = w->slot[1] = w->over = w->told_over = false;
        w->last_cmd = 0;
    }
    for (unsigned i = 0; i < w->truth.n_acts; i++) { /* its row may have been ahead of the line's */
        char id[ID_BYTES];
        const struct line_action *a;

        (void)snprintf(id, sizeof id, "act_%u", i);
        a = act_find(&w->l, str_of(id));
        if (a != NULL && act_open(a))
            w->truth.acts[i].over = false;
    }
    if (w->l.over_told) {
        w->gone = w->over = true;
        return;
    }
    for (unsigned i = 0; i < w->truth.n_acts; i++) {
        char id[ID_BYTES];

        (void)snprintf(id, sizeof id, "act_%u", i);
        if (!w->truth.acts[i].over && act_find(&w->l, str_of(id)) == NULL)
            hand_in(w, i);
    }
    take(w, &timer);
}

void line_crash(void *world, unsigned i)
{
    struct lworld *w = world;

    line_left(w, i);
    w->n_effects = 0;
    begin_again(w);
}

/* ---- Timers alone ---- */

bool line_walk(void *world)
{
    struct lworld *w = world;
    struct line_event timer = {.kind = LINE_EV_TIMER};
    uint64_t began = w->now.wall_ms;
    unsigned steps = 0;

    while (!w->over && w->l.timer_wall_ms != 0 && steps++ < WALK_STEPS) {
        if (w->l.timer_wall_ms > w->now.wall_ms) {
            w->now.mono_ms += w->l.timer_wall_ms - w->now.wall_ms;
            w->now.wall_ms = w->l.timer_wall_ms;
        }
        line_step(&w->l, &timer, STR("00000000000000000000000000000001"), w->now, &fx);
        for (unsigned i = 0; i < fx.n; i++)
            w->over = w->over || fx.v[i].kind == LINE_FX_OVER;
    }
    measure(M_LINE_MS, w->now.wall_ms - began);
    measure(M_LINE_STEPS, steps);
    must(J_EXIT, w->over && w->now.wall_ms - began <= END_MS, "timers alone do not end it in time");
    return w->over;
}

void line_copy(void *to, const void *from)
{
    memcpy(to, from, sizeof(struct lworld));
}

void line_drop(void *world)
{
    (void)world;
}
