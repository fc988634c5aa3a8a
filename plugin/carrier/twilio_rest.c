/* SPDX-License-Identifier: MIT */
/*
 * What each command asks of Twilio (REST 2010-04-01). Lists of events are one text with blanks for conferences,
 * participants and recordings, and repeated fields for calls.
 */
#include "plugin/carrier/twilio_int.h"

#include "plugin/proto/form.h"

#include <string.h>

#define RING_S_MIN 5u /* Twilio's own limits; it adds some 5 s */
#define RING_S_MAX 600u
#define MODEL_RING_S 5u
#define OFFER_S 20u
#define COLLECT_S 10u

/* ---- paths ---- */

/* "/name/part", the part escaped. */
static void put_part(struct buf *b, const char *name, const char *part)
{
    (void)buf_printf(b, "/%s/", name);
    (void)url_escape(b, str_of(part));
}

int twilio_path(const struct twilio_job *j, struct buf *b)
{
    bool has_room = j->room[0] != '\0', has_leg = j->leg[0] != '\0';

    switch (j->target) {
    case TARGET_CALLS:
        (void)buf_puts(b, STR("/Calls"));
        break;
    case TARGET_CALL:
    case TARGET_RECORDINGS:
    case TARGET_RECORDING:
        if (!has_leg)
            return ERR_NOT_FOUND;
        put_part(b, "Calls", j->leg);
        if (j->target == TARGET_RECORDINGS)
            (void)buf_puts(b, STR("/Recordings"));
        if (j->target == TARGET_RECORDING)
            put_part(b, "Recordings", j->recording[0] != '\0' ? j->recording : "Twilio.CURRENT");
        break;
    case TARGET_PARTICIPANTS: /* by its name, which makes the room if there is none */
        put_part(b, "Conferences", j->ref);
        (void)buf_puts(b, STR("/Participants"));
        break;
    case TARGET_PARTICIPANT:
    case TARGET_ROOM:
        if (!has_room)
            return ERR_NOT_FOUND;
        put_part(b, "Conferences", j->room);
        if (j->target == TARGET_PARTICIPANT)
            put_part(b, "Participants", has_leg ? j->leg : j->label);
        break;
    case TARGET_LOOK:
        return ERR_NOT_FOUND;
    }
    (void)buf_puts(b, STR(".json"));
    return b->rc;
}

/* ---- fields ---- */

static struct str public_url(const struct twilio_job *j)
{
    return str_of(j->t->public_url);
}

static void put_link(struct twilio_job *j, const char *name, const struct twiml_link *link)
{
    struct buf url;

    buf_init(&url, 8192);
    twiml_link_put(&url, public_url(j), link);
    form_put(&j->body, name, buf_str(&url));
    if (url.rc < 0 && j->body.rc == 0)
        j->body.rc = url.rc;
    buf_free(&url);
}

/* A document inside of the request: it does not depend on us being there when it is due. */
static int put_twiml(struct twilio_job *j, const struct carrier_step *steps, unsigned n)
{
    struct carrier_step spoken[TWILIO_STEPS_MAX];
    struct buf text;
    int rc;

    buf_init(&text, TWIML_BYTES_MAX);
    rc = twiml_render_inline(public_url(j), spoken, twilio_voiced(j->t, steps, n, spoken), &text);
    if (rc == 0)
        form_put(&j->body, "Twiml", buf_str(&text));
    buf_free(&text);
    return rc < 0 ? rc : j->body.rc;
}

static uint64_t whole_seconds(uint32_t ms)
{
    return ((uint64_t)ms + 999u) / 1000u;
}

static void put_times(struct twilio_job *j, const struct line_settings *set, bool model)
{
    uint64_t ring_s = model ? MODEL_RING_S : whole_seconds(set->ring_ms);

    ring_s = ring_s < RING_S_MIN ? RING_S_MIN : ring_s;
    form_put_int(&j->body, "Timeout", ring_s < RING_S_MAX ? ring_s : RING_S_MAX);
    if (set->max_ms > 0)
        form_put_int(&j->body, "TimeLimit", whole_seconds(set->max_ms));
}

static struct twiml_link link_of(const struct twilio_job *j, const char *what)
{
    return (struct twiml_link){.what = what, .ref = str_of(j->ref), .party = str_of(j->label)};
}

/* ---- legs ---- */

static void put_model_address(struct twilio_job *j, const struct line_settings *set, const struct leg *leg)
{
    struct str uri = str_of(set->model_uri);
    struct buf to;

    buf_init(&to, 1024);
    (void)buf_puts(&to, uri);
    (void)buf_puts(&to, str_find(uri, '?') < uri.n ? STR("&") : STR("?"));
    (void)buf_printf(&to, "X-Call-Ref=%s", leg->ref);
    form_put(&j->body, "To", buf_str(&to));
    if (to.rc < 0 && j->body.rc == 0)
        j->body.rc = to.rc;
    buf_free(&to);
}

/*
 * Twilio refuses a label that somebody in the room has (16026). A model's leg that takes the place of one which is
 * still being ended gets a mark behind its label; twilio_label() takes it off again.
 */
static void put_label(struct twilio_job *j, const struct carrier_order *o)
{
    struct buf label;
    bool taken = false;

    for (unsigned i = 0; i < LINE_PARTIES; i++) {
        const struct leg *other = &o->line->legs[i];

        taken |= other->role == o->leg->role && other->state != LEG_NONE && other->state != LEG_GONE &&
                 other->ref[0] != '\0' && strcmp(other->ref, o->leg->ref) != 0;
    }
    buf_init(&label, 2 * LINE_LABEL_BYTES);
    (void)buf_puts(&label, str_of(j->label));
    if (taken && o->leg->role == ROLE_MODEL)
        (void)buf_printf(&label, "~%.8s", o->leg->ref);
    form_put(&j->body, "Label", buf_str(&label));
    if (label.rc < 0 && j->body.rc == 0)
        j->body.rc = label.rc;
    buf_free(&label);
}

static void put_machine_detection(struct twilio_job *j, const struct line_settings *set)
{
    struct twiml_link amd = link_of(j, "amd");

    form_put(&j->body, "MachineDetection",
             set->voicemail == VOICEMAIL_MESSAGE ? STR("DetectMessageEnd") : STR("Enable"));
    put_link(j, "AmdStatusCallback", &amd);
}

static int compose_create(struct twilio_job *j, const struct carrier_order *o)
{
    const struct line_settings *set = &o->line->set;
    bool model = o->leg->role == ROLE_MODEL, caller = o->leg->role == ROLE_CALLER;
    struct twiml_link status = link_of(j, "status"), room = {.what = "conference", .ref = str_of(j->ref)};
    struct buf *b = &j->body;

    if (model && (o->leg->ref[0] == '\0' || set->model_uri[0] == '\0'))
        return ERR_INVALID;
    j->target = TARGET_PARTICIPANTS;
    status.nth = o->leg->tries;
    form_put(b, "From", str_of(set->own));
    if (model)
        put_model_address(j, set, o->leg);
    else
        form_put(b, "To", str_of(o->leg->to));
    put_label(j, o);
    form_put_bool(b, "Beep", false);
    form_put_bool(b, "EarlyMedia", false);
    form_put_bool(b, "StartConferenceOnEnter", true);
    form_put_bool(b, "EndConferenceOnExit", caller);
    form_put(b, "WaitUrl", STR_NONE); /* silence: who waits alone does so for a second */
    put_times(j, set, model);
    put_link(j, "StatusCallback", &status);
    form_put(b, "StatusCallbackEvent", STR("initiated ringing answered completed"));
    put_link(j, "ConferenceStatusCallback", &room);
    form_put(b, "ConferenceStatusCallbackEvent", STR(TWIML_ROOM_EVENTS));
    if (caller && set->outbound && set->detect_machine)
        put_machine_detection(j, set);
    return b->rc;
}

/* A call of its own, outside of the room until whoever is there has accepted. */
static int compose_offer(struct twilio_job *j, const struct carrier_order *o)
{
    static const char *const events[] = {"initiated", "ringing", "answered", "completed"};
    const struct carrier_step steps[] = {
        {.kind = STEP_GATHER, .text = o->text, .ref = str_of(j->ref), .label = str_of(j->label), .token = o->token,
         .n = 1, .seconds = OFFER_S},
        {.kind = STEP_HANG_UP},
    };
    struct twiml_link status = link_of(j, "status");
    int rc;

    j->target = TARGET_CALLS;
    status.nth = o->leg->tries;
    form_put(&j->body, "From", str_of(o->line->set.own));
    form_put(&j->body, "To", str_of(o->leg->to));
    rc = put_twiml(j, steps, 2);
    put_times(j, &o->line->set, false);
    put_link(j, "StatusCallback", &status);
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        form_put(&j->body, "StatusCallbackEvent", str_of(events[i]));
    return rc < 0 ? rc : j->body.rc;
}

static int compose_collect(struct twilio_job *j, const struct carrier_order *o)
{
    const struct carrier_step steps[] = {
        {.kind = STEP_GATHER, .text = o->text, .ref = str_of(j->ref), .label = str_of(j->label), .token = o->token,
         .seconds = COLLECT_S},
        {.kind = STEP_JOIN, .ref = str_of(j->ref), .label = str_of(j->label),
         .ends_room = o->leg->role == ROLE_CALLER},
    };

    j->target = TARGET_CALL;
    return put_twiml(j, steps, 2);
}

static int compose_apology(struct twilio_job *j, const struct carrier_order *o)
{
    const struct carrier_step steps[] = {{.kind = STEP_SAY, .text = o->text}, {.kind = STEP_HANG_UP}};

    j->target = TARGET_CALL;
    return put_twiml(j, steps, 2);
}

static int compose_end(struct twilio_job *j, enum twilio_target target)
{
    j->target = target;
    form_put(&j->body, "Status", STR("completed"));
    return j->body.rc;
}

/* ---- what happens to a party in the room ---- */

static int compose_flag(struct twilio_job *j, const char *name, bool value)
{
    j->target = TARGET_PARTICIPANT;
    form_put_bool(&j->body, name, value);
    return j->body.rc;
}

/* A human hears Twilio's own music. The model would take it for speech: it hears an announcement without words. */
static int compose_hold(struct twilio_job *j, const struct carrier_order *o)
{
    struct twiml_link silence = link_of(j, "announce");

    (void)compose_flag(j, "Hold", true);
    silence.token = STR("silence");
    if (o->leg->role == ROLE_MODEL)
        put_link(j, "HoldUrl", &silence);
    return j->body.rc;
}

/* Words and digits are fetched from us by `token` when they are due. */
static int compose_announce(struct twilio_job *j, const struct carrier_order *o)
{
    struct twiml_link words = link_of(j, "announce");

    if (o->token.n == 0 || (o->what == LINE_CMD_PLAY_DIGITS && !twiml_digits_ok(o->text)))
        return ERR_INVALID;
    words.token = o->token;
    j->target = o->leg != NULL ? TARGET_PARTICIPANT : TARGET_ROOM;
    put_link(j, "AnnounceUrl", &words);
    return j->body.rc;
}

/* ---- recordings ---- */

static int compose_record(struct twilio_job *j)
{
    struct twiml_link recording = link_of(j, "recording");

    j->target = TARGET_RECORDINGS;
    form_put(&j->body, "RecordingChannels", j->t->mono ? STR("mono") : STR("dual"));
    form_put(&j->body, "Trim", STR("do-not-trim")); /* else its times are not those of the transcript */
    put_link(j, "RecordingStatusCallback", &recording);
    form_put(&j->body, "RecordingStatusCallbackEvent", STR("in-progress completed absent"));
    return j->body.rc;
}

static int compose_record_update(struct twilio_job *j, const char *status)
{
    j->target = TARGET_RECORDING;
    form_put(&j->body, "Status", str_of(status));
    if (str_eqc(str_of(status), "paused"))
        form_put(&j->body, "PauseBehavior", STR("silence"));
    return j->body.rc;
}

/* ---- commands ---- */

static int compose_leg(struct twilio_job *j, const struct carrier_order *o)
{
    switch (o->what) {
    case LINE_CMD_CREATE: return compose_create(j, o);
    case LINE_CMD_OFFER: return compose_offer(j, o);
    case LINE_CMD_END_LEG: return compose_end(j, TARGET_CALL);
    case LINE_CMD_HOLD: return compose_hold(j, o);
    case LINE_CMD_UNHOLD: return compose_flag(j, "Hold", false);
    case LINE_CMD_MUTE: return compose_flag(j, "Muted", true);
    case LINE_CMD_UNMUTE: return compose_flag(j, "Muted", false);
    case LINE_CMD_STAY: return compose_flag(j, "EndConferenceOnExit", str_eqc(o->text, "end"));
    case LINE_CMD_PLAY_DIGITS: return compose_announce(j, o);
    case LINE_CMD_COLLECT: return compose_collect(j, o);
    case LINE_CMD_APOLOGISE: return compose_apology(j, o);
    case LINE_CMD_RECORD: return compose_record(j);
    case LINE_CMD_RECORD_PAUSE: return compose_record_update(j, "paused");
    case LINE_CMD_RECORD_RESUME: return compose_record_update(j, "in-progress");
    case LINE_CMD_RECORD_STOP: return compose_record_update(j, "stopped");
    default: return ERR_BAD_STATE;
    }
}

/* Recording is of the caller's leg, whichever the order names. */
static const struct leg *leg_of(const struct carrier_order *o)
{
    bool recording = o->what >= LINE_CMD_RECORD && o->what <= LINE_CMD_RECORD_STOP;

    return o->leg == NULL && recording ? &o->line->legs[0] : o->leg;
}

int twilio_compose(struct twilio_job *j, const struct carrier_order *o)
{
    const struct leg *leg = leg_of(o);

    j->cmd = o->cmd;
    j->what = o->what;
    memcpy(j->ref, o->line->ref, sizeof j->ref);
    memcpy(j->room, o->line->room, sizeof j->room);
    memcpy(j->recording, o->line->recording_sid, sizeof j->recording);
    if (leg != NULL) {
        memcpy(j->leg, leg->sid, sizeof j->leg);
        memcpy(j->label, leg->label, sizeof j->label);
    }
    if (j->ref[0] == '\0' || (leg != NULL && j->label[0] == '\0' && j->leg[0] == '\0'))
        return ERR_INVALID;
    switch (o->what) {
    case LINE_CMD_LOOK_UP: return twilio_look_begin(j, o);
    case LINE_CMD_END_ROOM: return compose_end(j, TARGET_ROOM);
    case LINE_CMD_ANNOUNCE: return compose_announce(j, o);
    default: return leg != NULL ? compose_leg(j, o) : ERR_INVALID;
    }
}
