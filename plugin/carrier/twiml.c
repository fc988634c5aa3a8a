/* SPDX-License-Identifier: MIT */
#include "plugin/carrier/twiml.h"

#include "plugin/proto/form.h"

#include <stdio.h>
#include <string.h>

#define DIGITS_MAX 128u
#define LINK_BYTES_MAX 4096u

/* ---- XML ---- */

/* XML 1.0, 2.2: no control characters but tab and line ends, no U+FFFE and U+FFFF; UTF-8 has no surrogates. */
static bool is_xml(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c < ' ' && c != '\t' && c != '\n' && c != '\r')
            return false;
        if (c == 0xef && i + 2 < s.n && (unsigned char)s.p[i + 1] == 0xbf && (unsigned char)s.p[i + 2] >= 0xbe)
            return false;
    }
    return str_utf8_valid(s);
}

static const char *entity_of(char c, bool attribute)
{
    switch (c) {
    case '&': return "&amp;";
    case '<': return "&lt;";
    case '>': return attribute ? NULL : "&gt;";
    case '"': return attribute ? "&quot;" : NULL;
    case '\r': return "&#xD;";
    case '\n': return attribute ? "&#xA;" : NULL;
    case '\t': return attribute ? "&#x9;" : NULL;
    default: return NULL;
    }
}

static void put_xml(struct buf *b, struct str s, bool attribute)
{
    if (!is_xml(s) && b->rc == 0)
        b->rc = ERR_INVALID;
    for (size_t i = 0; i < s.n && b->rc == 0; i++) {
        const char *entity = entity_of(s.p[i], attribute);

        (void)(entity != NULL ? buf_puts(b, str_of(entity)) : buf_putc(b, s.p[i]));
    }
}

static void put_attr(struct buf *b, const char *name, struct str value)
{
    (void)buf_printf(b, " %s=\"", name);
    put_xml(b, value, true);
    (void)buf_putc(b, '"');
}

static void put_number(struct buf *b, const char *name, unsigned value)
{
    (void)buf_printf(b, " %s=\"%u\"", name, value);
}

static void put_say(struct buf *b, const struct carrier_step *s)
{
    (void)buf_puts(b, STR("<Say"));
    if (s->voice.n > 0)
        put_attr(b, "voice", s->voice);
    if (s->language.n > 0)
        put_attr(b, "language", s->language);
    (void)buf_putc(b, '>');
    put_xml(b, s->text, false);
    (void)buf_puts(b, STR("</Say>"));
}

/* ---- links ---- */

void twiml_link_put(struct buf *b, struct str public_url, const struct twiml_link *link)
{
    struct buf query;

    buf_init(&query, LINK_BYTES_MAX);
    (void)buf_putc(&query, '?');
    if (link->ref.n > 0)
        form_put(&query, "ref", link->ref);
    if (link->party.n > 0)
        form_put(&query, "party", link->party);
    if (link->token.n > 0)
        form_put(&query, "token", link->token);
    if (link->nth > 0)
        form_put_int(&query, "n", link->nth);
    (void)buf_puts(b, public_url);
    (void)buf_printf(b, "/twilio/%s", link->what);
    if (query.n > 1)
        (void)buf_puts(b, buf_str(&query));
    if (query.rc < 0 && b->rc == 0)
        b->rc = query.rc;
    buf_free(&query);
}

static void put_link(struct buf *b, const char *name, struct str public_url, const struct twiml_link *link)
{
    struct buf url;

    buf_init(&url, LINK_BYTES_MAX);
    twiml_link_put(&url, public_url, link);
    put_attr(b, name, buf_str(&url));
    if (url.rc < 0 && b->rc == 0)
        b->rc = url.rc;
    buf_free(&url);
}

/* ---- steps ---- */

bool twiml_digits_ok(struct str digits)
{
    for (size_t i = 0; i < digits.n; i++)
        if (digits.p[i] == '\0' || strchr("0123456789*#wW", digits.p[i]) == NULL)
            return false;
    return digits.n > 0 && digits.n <= DIGITS_MAX;
}

/* What is behind the room (its `action`) is asked for when this leg has left it; none of ours rings or plays. */
static void put_join(struct buf *b, struct str public_url, const struct carrier_step *s)
{
    struct twiml_link after = {.what = "after", .ref = s->ref, .party = s->label};
    struct twiml_link room = {.what = "conference", .ref = s->ref};

    if (s->ref.n == 0 && b->rc == 0)
        b->rc = ERR_INVALID;
    (void)buf_puts(b, STR("<Dial"));
    put_link(b, "action", public_url, &after);
    if (s->seconds > 0)
        put_number(b, "timeLimit", s->seconds);
    (void)buf_puts(b, STR("><Conference beep=\"false\" startConferenceOnEnter=\"true\""));
    put_attr(b, "endConferenceOnExit", s->ends_room ? STR("true") : STR("false"));
    put_attr(b, "waitUrl", STR_NONE);
    put_attr(b, "participantLabel", s->label);
    put_link(b, "statusCallback", public_url, &room);
    put_attr(b, "statusCallbackEvent", STR(TWIML_ROOM_EVENTS));
    (void)buf_putc(b, '>');
    put_xml(b, s->ref, false);
    (void)buf_puts(b, STR("</Conference></Dial>"));
}

static void put_gather(struct buf *b, struct str public_url, const struct carrier_step *s)
{
    struct twiml_link gather = {.what = "gather", .ref = s->ref, .party = s->label, .token = s->token};

    (void)buf_puts(b, STR("<Gather input=\"dtmf\""));
    put_link(b, "action", public_url, &gather);
    if (s->seconds > 0)
        put_number(b, "timeout", s->seconds);
    if (s->n > 0)
        put_number(b, "numDigits", s->n);
    else
        put_attr(b, "finishOnKey", STR("#"));
    put_attr(b, "actionOnEmptyResult", STR("true"));
    if (s->text.n == 0) {
        (void)buf_puts(b, STR("/>"));
        return;
    }
    (void)buf_putc(b, '>');
    put_say(b, s);
    (void)buf_puts(b, STR("</Gather>"));
}

static void put_digits(struct buf *b, struct str digits)
{
    if (!twiml_digits_ok(digits) && b->rc == 0)
        b->rc = ERR_INVALID;
    (void)buf_puts(b, STR("<Play"));
    put_attr(b, "digits", digits);
    (void)buf_puts(b, STR("/>"));
}

static void put_pause(struct buf *b, unsigned seconds)
{
    (void)buf_puts(b, STR("<Pause"));
    put_number(b, "length", seconds);
    (void)buf_puts(b, STR("/>"));
}

static void put_reject(struct buf *b, bool busy, bool first)
{
    if (!first && b->rc == 0)
        b->rc = ERR_INVALID;
    (void)buf_puts(b, STR("<Reject"));
    put_attr(b, "reason", busy ? STR("busy") : STR("rejected"));
    (void)buf_puts(b, STR("/>"));
}

static void put_step(struct buf *b, struct str public_url, const struct carrier_step *s, bool first)
{
    switch (s->kind) {
    case STEP_JOIN: put_join(b, public_url, s); break;
    case STEP_SAY: put_say(b, s); break;
    case STEP_PAUSE: put_pause(b, s->seconds); break;
    case STEP_DIGITS: put_digits(b, s->text); break;
    case STEP_GATHER: put_gather(b, public_url, s); break;
    case STEP_REJECT: put_reject(b, s->busy, first); break;
    case STEP_HANG_UP: (void)buf_puts(b, STR("<Hangup/>")); break;
    }
}

int twiml_render(struct str public_url, const struct carrier_step *steps, unsigned n, struct buf *out)
{
    (void)buf_puts(out, STR("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response"));
    (void)buf_puts(out, n > 0 ? STR(">") : STR("/>"));
    for (unsigned i = 0; i < n; i++)
        put_step(out, public_url, &steps[i], i == 0);
    if (n > 0)
        (void)buf_puts(out, STR("</Response>"));
    return out->rc;
}

int twiml_render_inline(struct str public_url, const struct carrier_step *steps, unsigned n, struct buf *out)
{
    size_t from = out->n, chars = 0;
    int rc = twiml_render(public_url, steps, n, out);

    for (size_t i = from; i < out->n; i++)
        chars += ((unsigned char)out->p[i] & 0xc0) != 0x80;
    return rc < 0 || chars <= TWIML_INLINE_CHARS ? rc : ERR_TOO_BIG;
}
