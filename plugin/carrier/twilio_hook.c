/* SPDX-License-Identifier: MIT */
/*
 * Twilio's webhooks. What is ours (ref, party, token) is taken from the query of our own callback URL alone; what is
 * Twilio's from the form that is posted, or from the query of a GET. New parameters come at any time and are passed
 * over; texts longer than what they stand for are faults.
 */
#include "plugin/carrier/twilio_int.h"

#include "plugin/proto/form.h"

#include <limits.h>
#include <string.h>

#define TOKEN_BYTES_MAX 64u
#define ADDRESS_BYTES_MAX 256u
#define DIGITS_BYTES_MAX 128u
#define ATTESTATION_BYTES_MAX 64u
#define LABEL_MARK_BYTES 9u  /* '~' and 8 digits */
#define TEXT_BYTES_MAX 4096u /* all that one event keeps */

/* ---- the signature ---- */

static struct str header_of(const struct carrier_hook *hook, const char *name)
{
    for (unsigned i = 0; i < hook->n_headers; i++)
        if (str_ieq(hook->headers[i].name, str_of(name)))
            return str_trim(hook->headers[i].value);
    return STR_NONE;
}

int twilio_verify(const struct carrier *c, const struct carrier_hook *hook)
{
    const struct twilio *t = (const struct twilio *)c;
    struct sig_twilio_request request = {
        .content_type = hook->content_type,
        .body = hook->body,
        .signature = header_of(hook, "x-twilio-signature"),
    };
    struct buf url;
    int rc;

    buf_init(&url, 65536);
    (void)buf_puts(&url, str_of(t->public_url));
    (void)buf_puts(&url, hook->path);
    if (hook->query.n > 0) {
        (void)buf_putc(&url, '?');
        (void)buf_puts(&url, hook->query);
    }
    request.url = buf_str(&url);
    rc = url.rc == 0 ? sig_twilio_verify(t->sig, &request) : url.rc == ERR_NOMEM ? ERR_NOMEM : ERR_DENIED;
    buf_free(&url);
    return rc;
}

/* ---- reading ---- */

struct reader {
    const struct twilio *t;
    struct form ours, theirs;
    struct carrier_event *out;
    const char *fault; /* the parameter that is missing or cannot be one */
};

/* A copy that lives with the event. */
static struct str keep(struct reader *r, struct str s)
{
    struct buf *b = &r->out->text;
    size_t from = b->n;

    if (b->cap == 0)
        (void)buf_reserve(b, TEXT_BYTES_MAX);
    if (s.n == 0 || b->rc < 0 || buf_puts(b, s) < 0)
        return STR_NONE;
    return str_make(b->p + from, s.n);
}

static void fault(struct reader *r, const char *name)
{
    if (r->fault == NULL)
        r->fault = name;
}

static struct str bounded(struct reader *r, const struct form *from, const char *name, size_t max)
{
    struct str s = form_get(from, name);

    if (s.n <= max)
        return keep(r, s);
    fault(r, name);
    return STR_NONE;
}

static struct str theirs(struct reader *r, const char *name, size_t max)
{
    return bounded(r, &r->theirs, name, max);
}

static struct str needed(struct reader *r, const char *name, size_t max)
{
    struct str s = theirs(r, name, max);

    if (s.n == 0)
        fault(r, name);
    return s;
}

/* Two capital letters and 32 hexadecimal digits. */
static bool is_sid(struct str s, const char *kind)
{
    for (size_t i = 2; i < s.n; i++)
        if (strchr("0123456789abcdefABCDEF", s.p[i]) == NULL || s.p[i] == '\0')
            return false;
    return s.n == 34 && str_starts(s, str_of(kind));
}

static struct str sid(struct reader *r, const char *name, const char *kind)
{
    struct str s = needed(r, name, LINE_SID_BYTES - 1);

    if (!is_sid(s, kind))
        fault(r, name);
    return s;
}

/* Events of the room that are of no leg have none. */
static struct str sid_if_any(struct reader *r, const char *name, const char *kind)
{
    return form_get(&r->theirs, name).n > 0 ? sid(r, name, kind) : STR_NONE;
}

static int64_t number(const struct reader *r, const char *name, int64_t none)
{
    uint64_t v;

    return str_u64(form_get(&r->theirs, name), &v) && v <= INT32_MAX ? (int64_t)v : none;
}

/* ---- words ---- */

bool twilio_leg_status(struct str word, enum line_leg_status *out)
{
    static const struct {
        const char *word;
        enum line_leg_status status;
    } words[] = {
        {"queued", LEG_SAYS_QUEUED}, {"initiated", LEG_SAYS_QUEUED}, {"ringing", LEG_SAYS_RINGING},
        {"in-progress", LEG_SAYS_IN_PROGRESS}, {"answered", LEG_SAYS_IN_PROGRESS},
        {"completed", LEG_SAYS_COMPLETED}, {"busy", LEG_SAYS_BUSY}, {"no-answer", LEG_SAYS_NO_ANSWER},
        {"canceled", LEG_SAYS_CANCELED}, {"failed", LEG_SAYS_FAILED},
    };

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!str_eqc(word, words[i].word))
            continue;
        *out = words[i].status;
        return true;
    }
    return false;
}

struct str twilio_label(struct str label)
{
    struct str plain = str_head(label, label.n > LABEL_MARK_BYTES ? label.n - LABEL_MARK_BYTES : label.n);

    return plain.n < label.n && label.p[plain.n] == '~' ? plain : label;
}

/* ---- one reader a path ---- */

static void read_voice(struct reader *r)
{
    struct carrier_event *e = r->out;

    e->said = SAID_INCOMING;
    e->sid = sid(r, "CallSid", "CA");
    e->from = needed(r, "From", ADDRESS_BYTES_MAX);
    e->to = needed(r, "To", ADDRESS_BYTES_MAX);
    e->attestation = theirs(r, "StirVerstat", ATTESTATION_BYTES_MAX);
}

static void read_status(struct reader *r)
{
    struct line_event *ev = &r->out->event;
    int64_t code = number(r, "SipResponseCode", 0), seconds = number(r, "CallDuration", 0);

    ev->kind = LINE_EV_STATUS;
    ev->u.status.sid = sid(r, "CallSid", "CA");
    ev->u.status.label = r->out->label;
    ev->u.status.ref = r->out->ref;
    ev->u.status.seq = number(r, "SequenceNumber", -1);
    ev->u.status.sip_code = code >= 100 && code < 700 ? (int)code : 0;
    ev->u.status.duration_s = (uint64_t)seconds; /* `Duration` is in minutes, begun ones included */
    if (twilio_leg_status(needed(r, "CallStatus", 32), &ev->u.status.status))
        r->out->said = SAID_STATUS;
}

static void read_room(struct reader *r)
{
    static const char *const words[] = {
        [ROOM_START] = "conference-start", [ROOM_END] = "conference-end", [ROOM_JOIN] = "participant-join",
        [ROOM_LEAVE] = "participant-leave", [ROOM_HOLD] = "participant-hold",
        [ROOM_UNHOLD] = "participant-unhold", [ROOM_ANNOUNCED] = "announcement-end",
        [ROOM_ANNOUNCE_FAILED] = "announcement-fail",
    };
    struct line_event *ev = &r->out->event;
    struct str word = needed(r, "StatusCallbackEvent", 64);

    r->out->said = SAID_ROOM;
    ev->kind = LINE_EV_ROOM;
    ev->u.room.what = ROOM_OTHER;
    for (int i = 0; i < (int)(sizeof words / sizeof *words); i++)
        if (words[i] != NULL && str_eqc(word, words[i]))
            ev->u.room.what = i;
    ev->u.room.room = sid(r, "ConferenceSid", "CF");
    ev->u.room.label = twilio_label(theirs(r, "ParticipantLabel", LINE_LABEL_BYTES + LABEL_MARK_BYTES - 1));
    if (ev->u.room.label.n >= LINE_LABEL_BYTES)
        fault(r, "ParticipantLabel");
    ev->u.room.sid = sid_if_any(r, "CallSid", "CA");
    ev->u.room.seq = number(r, "SequenceNumber", -1);
}

static void read_machine(struct reader *r)
{
    struct line_event *ev = &r->out->event;
    struct str by = needed(r, "AnsweredBy", 64);

    r->out->said = SAID_MACHINE;
    ev->kind = LINE_EV_MACHINE;
    ev->u.machine.sid = sid(r, "CallSid", "CA");
    ev->u.machine.by = str_eqc(by, "human") ? MACHINE_HUMAN
                       : str_eqc(by, "machine_start") ? MACHINE_START
                       : str_starts(by, STR("machine_end_")) ? MACHINE_END
                       : str_eqc(by, "fax") ? MACHINE_FAX : MACHINE_UNKNOWN;
}

static void read_digits(struct reader *r)
{
    struct line_event *ev = &r->out->event;

    r->out->said = SAID_DIGITS;
    r->out->sid = sid(r, "CallSid", "CA");
    ev->kind = LINE_EV_DIGITS;
    ev->u.digits.digits = theirs(r, "Digits", DIGITS_BYTES_MAX);
    ev->u.digits.label = r->out->label;
    ev->u.digits.action = r->out->token;
    if (ev->u.digits.digits.n > 0 && !twiml_digits_ok(ev->u.digits.digits))
        fault(r, "Digits");
    if (r->out->token.n == 0)
        fault(r, "token");
}

static void read_recording(struct reader *r)
{
    struct line_event *ev = &r->out->event;
    struct str status = needed(r, "RecordingStatus", 32);

    ev->kind = LINE_EV_RECORDING;
    ev->u.recording.sid = sid(r, "RecordingSid", "RE");
    ev->u.recording.leg_sid = sid_if_any(r, "CallSid", "CA");
    r->out->said = SAID_RECORDING;
    if (str_eqc(status, "in-progress"))
        ev->u.recording.what = RECORDING_ON;
    else if (str_eqc(status, "completed"))
        ev->u.recording.what = RECORDING_DONE;
    else if (str_eqc(status, "absent"))
        ev->u.recording.what = RECORDING_ABSENT;
    else if (str_eqc(status, "failed"))
        ev->u.recording.what = RECORDING_FAILED;
    else
        r->out->said = SAID_NOTHING;
}

static void read_announce(struct reader *r)
{
    r->out->said = SAID_NEEDS_WORDS;
    r->out->sid = sid_if_any(r, "CallSid", "CA"); /* words for the whole room have none */
    if (r->out->token.n == 0)
        fault(r, "token");
}

static void read_after(struct reader *r)
{
    r->out->said = SAID_DIAL_ENDED;
    r->out->sid = sid(r, "CallSid", "CA");
}

/* ---- a request ---- */

typedef void read_fn(struct reader *r);

static read_fn *reader_of(struct str path)
{
    static const struct {
        const char *path;
        read_fn *fn;
    } paths[] = {
        {"/twilio/voice", read_voice}, {"/twilio/status", read_status}, {"/twilio/conference", read_room},
        {"/twilio/amd", read_machine}, {"/twilio/gather", read_digits}, {"/twilio/recording", read_recording},
        {"/twilio/announce", read_announce}, {"/twilio/after", read_after},
    };

    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (str_eqc(path, paths[i].path))
            return paths[i].fn;
    return NULL;
}

/* References are hexadecimal; anything else was not written by us. */
static bool is_ref(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '\0' || strchr("0123456789abcdef", s.p[i]) == NULL)
            return false;
    return true;
}

static int read_forms(struct reader *r, const struct carrier_hook *hook)
{
    int rc = form_read(&r->ours, hook->query);

    if (rc == 0)
        rc = form_read(&r->theirs, str_eqc(hook->method, "GET") ? hook->query : hook->body);
    return rc == ERR_NOMEM ? rc : rc < 0 ? ERR_INVALID : 0;
}

static void read_ours(struct reader *r)
{
    r->out->ref = bounded(r, &r->ours, "ref", LINE_REF_BYTES - 1);
    r->out->label = bounded(r, &r->ours, "party", LINE_LABEL_BYTES - 1);
    r->out->token = bounded(r, &r->ours, "token", TOKEN_BYTES_MAX);
    if (!is_ref(r->out->ref))
        fault(r, "ref");
}

int twilio_read(const struct carrier *c, const struct carrier_hook *hook, struct carrier_event *out)
{
    struct reader r = {.t = (const struct twilio *)c, .out = out};
    read_fn *fn = reader_of(hook->path);
    int rc;

    memset(out, 0, sizeof *out);
    buf_init(&out->text, TEXT_BYTES_MAX);
    if (fn == NULL)
        return ERR_NOT_FOUND;
    rc = read_forms(&r, hook);
    if (rc == 0) {
        read_ours(&r);
        fn(&r);
        rc = out->text.rc;
    }
    if (rc == 0 && r.fault != NULL) {
        log_warn(r.t->log, "twilio: %.*s: %s is missing or malformed", STR_ARG(hook->path), r.fault);
        rc = ERR_INVALID;
    }
    if (rc < 0)
        out->said = SAID_NOTHING;
    form_free(&r.ours);
    form_free(&r.theirs);
    return rc;
}
