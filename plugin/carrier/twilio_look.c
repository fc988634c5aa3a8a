/* SPDX-License-Identifier: MIT */
/*
 * Looking around at Twilio: the room by its name, who is in it, how each leg stands by its own resource (a party
 * "in the room" proves no answer, and a room that has ended lists nobody), and the caller's recording. Any of these
 * that cannot be read ends the look: half an answer would make legs look gone.
 */
#include "plugin/carrier/twilio_int.h"

#include "plugin/base/clock.h"
#include "plugin/base/mem.h"
#include "plugin/proto/form.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static int go_on(struct twilio_job *j);

static void take(char *dst, size_t cap, struct str s)
{
    (void)str_copy(dst, cap, s);
}

static bool is_good(const struct httpc_result *r, const struct json *doc)
{
    return twilio_status(r) / 100 == 2 && doc != NULL;
}

static void go_on_or_finish(struct twilio_job *j, int rc)
{
    if (rc < 0)
        twilio_finish_early(j, NULL, rc);
}

/* ---- the room ---- */

/* The live one of that name; else the newest that ended (they come newest first). */
static void choose_room(struct twilio_job *j, const struct json *doc, bool *live)
{
    *live = false;
    for (const struct json *c = json_first(json_get(doc, "conferences")); c != NULL && !*live; c = json_next(c)) {
        if (!str_eqc(json_get_str(c, "friendly_name"), j->ref))
            continue;
        *live = !str_eqc(json_get_str(c, "status"), "completed");
        if (*live || j->room[0] == '\0')
            take(j->room, sizeof j->room, json_get_str(c, "sid"));
    }
}

static void on_rooms(struct twilio_job *j, const struct httpc_result *r, const struct json *doc)
{
    bool live;

    if (!is_good(r, doc)) {
        twilio_finish_early(j, r, 0);
        return;
    }
    choose_room(j, doc, &live);
    if (j->target == TARGET_LOOK) {
        j->look->room_live = live;
        go_on_or_finish(j, go_on(j));
    } else {
        go_on_or_finish(j, live ? twilio_go(j) : ERR_NOT_FOUND);
    }
}

int twilio_find_room(struct twilio_job *j)
{
    struct buf path;
    int rc;

    if (j->target == TARGET_LOOK)
        j->room[0] = '\0'; /* a room of that name may have come after the one we knew */
    buf_init(&path, TWILIO_PATH_BYTES);
    (void)buf_puts(&path, STR("/Conferences.json?"));
    form_put(&path, "FriendlyName", str_of(j->ref));
    form_put_int(&path, "PageSize", 20);
    rc = path.rc < 0 ? path.rc : twilio_send(j, "GET", buf_str(&path), STR_NONE, on_rooms);
    buf_free(&path);
    return rc;
}

/* ---- one leg by its label ---- */

static void on_participant(struct twilio_job *j, const struct httpc_result *r, const struct json *doc)
{
    if (!is_good(r, doc)) {
        twilio_finish_early(j, r, 0);
        return;
    }
    take(j->leg, sizeof j->leg, json_get_str(doc, "call_sid"));
    go_on_or_finish(j, j->leg[0] != '\0' ? twilio_go(j) : ERR_NOT_FOUND);
}

/* GET /a/a_name[/b[/b_name]].json, the names escaped. */
static int get(struct twilio_job *j, const char *a, const char *a_name, const char *b, const char *b_name,
               twilio_reply_fn *reply)
{
    struct buf path;
    int rc;

    buf_init(&path, TWILIO_PATH_BYTES);
    (void)buf_printf(&path, "/%s/", a);
    (void)url_escape(&path, str_of(a_name));
    if (b != NULL)
        (void)buf_printf(&path, "/%s", b);
    if (b_name != NULL) {
        (void)buf_putc(&path, '/');
        (void)url_escape(&path, str_of(b_name));
    }
    (void)buf_puts(&path, STR(".json"));
    rc = path.rc < 0 ? path.rc : twilio_send(j, "GET", buf_str(&path), STR_NONE, reply);
    buf_free(&path);
    return rc;
}

int twilio_find_leg(struct twilio_job *j)
{
    return get(j, "Conferences", j->room, "Participants", j->label, on_participant);
}

/* ---- the parties of the room ---- */

static struct twilio_seen *seen_by_sid(struct twilio_look *look, struct str sid)
{
    for (unsigned i = 0; i < look->n; i++)
        if (str_eqc(sid, look->legs[i].sid))
            return &look->legs[i];
    if (look->n == TWILIO_LOOK_LEGS || sid.n == 0 || sid.n >= LINE_SID_BYTES)
        return NULL;
    take(look->legs[look->n].sid, LINE_SID_BYTES, sid);
    return &look->legs[look->n++];
}

static bool is_in(struct str status)
{
    return str_eqc(status, "connected") || str_eqc(status, "in-progress");
}

static void on_parties(struct twilio_job *j, const struct httpc_result *r, const struct json *doc)
{
    struct twilio_look *look = j->look;
    struct str more = json_get_str(doc, "next_page_uri");
    int rc;

    if (twilio_status(r) != 404 && !is_good(r, doc)) {
        twilio_finish_early(j, r, 0);
        return;
    }
    for (const struct json *p = json_first(json_get(doc, "participants")); p != NULL; p = json_next(p)) {
        struct twilio_seen *seen = seen_by_sid(look, json_get_str(p, "call_sid"));
        struct str label = twilio_label(json_get_str(p, "label"));

        if (seen == NULL)
            continue;
        if (label.n > 0)
            take(seen->label, sizeof seen->label, label);
        seen->in_room = is_in(json_get_str(p, "status"));
    }
    if (more.n > 0 && ++look->pages < TWILIO_LOOK_PAGES) {
        rc = twilio_send(j, "GET", more, STR_NONE, on_parties);
    } else {
        look->pages = TWILIO_LOOK_PAGES;
        rc = go_on(j);
    }
    go_on_or_finish(j, rc);
}

/* ---- each leg ---- */

/* "Tue, 31 Aug 2010 20:36:29 +0000" (RFC 2822, always UTC here) as Unix time; -1: it is none. */
static int64_t read_date(struct str s)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    char text[40], month[4] = "";
    const char *at;
    struct tm tm = {0};

    if (!str_copy(text, sizeof text, s) ||
        sscanf(text, "%*3s, %2d %3s %4d %2d:%2d:%2d +0000", &tm.tm_mday, month, &tm.tm_year, &tm.tm_hour,
               &tm.tm_min, &tm.tm_sec) != 6)
        return -1;
    at = strstr(months, month);
    if (strlen(month) != 3 || at == NULL || (at - months) % 3 != 0)
        return -1;
    tm.tm_mon = (int)(at - months) / 3;
    tm.tm_year -= 1900;
    return (int64_t)timegm(&tm);
}

static int64_t seconds_since(struct str date)
{
    int64_t then = read_date(date), now = (int64_t)(clock_wall_ms() / 1000u);

    if (then < 0)
        return -1;
    return now > then ? now - then : 0;
}

static void on_leg(struct twilio_job *j, const struct httpc_result *r, const struct json *doc)
{
    struct twilio_seen *seen = &j->look->legs[j->look->at];

    if (twilio_status(r) != 404 && !is_good(r, doc)) {
        twilio_finish_early(j, r, 0);
        return;
    }
    seen->known = doc != NULL;
    (void)twilio_leg_status(json_get_str(doc, "status"), &seen->status); /* a new word: neither up nor over */
    seen->up_s = seen->known && seen->status == LEG_SAYS_IN_PROGRESS
                     ? seconds_since(json_get_str(doc, "start_time")) : -1;
    j->look->at++;
    go_on_or_finish(j, go_on(j));
}

/* ---- the recording ---- */

static void on_recordings(struct twilio_job *j, const struct httpc_result *r, const struct json *doc)
{
    struct twilio_look *look = j->look;

    if (twilio_status(r) != 404 && !is_good(r, doc)) {
        twilio_finish_early(j, r, 0);
        return;
    }
    for (const struct json *one = json_first(json_get(doc, "recordings")); one != NULL; one = json_next(one))
        if (look->recording[0] == '\0' && !str_eqc(json_get_str(one, "status"), "deleted"))
            take(look->recording, sizeof look->recording, json_get_str(one, "sid"));
    look->want_recording = false;
    go_on_or_finish(j, go_on(j));
}

/* ---- the whole ---- */

static void finish_look(struct twilio_job *j)
{
    struct line_seen_leg legs[TWILIO_LOOK_LEGS];
    struct twilio_look *look = j->look;
    struct carrier_answer a = {.http_status = 200, .room_live = look->room_live, .legs = legs,
                               .recording = str_of(look->recording)};

    for (unsigned i = 0; i < look->n; i++) {
        const struct twilio_seen *seen = &look->legs[i];

        if (seen->known)
            legs[a.n_legs++] = (struct line_seen_leg){.label = str_of(seen->label), .sid = str_of(seen->sid),
                                                      .status = seen->status, .in_room = seen->in_room,
                                                      .up_s = seen->up_s};
    }
    twilio_finish(j, &a);
}

/* The next thing to ask; all asked: the answer. */
static int go_on(struct twilio_job *j)
{
    struct twilio_look *look = j->look;

    if (j->room[0] != '\0' && look->pages == 0)
        return get(j, "Conferences", j->room, "Participants", NULL, on_parties);
    if (look->at < look->n)
        return get(j, "Calls", look->legs[look->at].sid, NULL, NULL, on_leg);
    if (look->want_recording)
        return get(j, "Calls", look->caller, "Recordings", NULL, on_recordings);
    finish_look(j);
    return 0;
}

int twilio_look_begin(struct twilio_job *j, const struct carrier_order *o)
{
    j->target = TARGET_LOOK;
    j->look = MEM_NEW(struct twilio_look);
    if (j->look == NULL)
        return ERR_NOMEM;
    for (unsigned i = 0; i < LINE_PARTIES; i++) {
        const struct leg *leg = &o->line->legs[i];
        struct twilio_seen *seen = seen_by_sid(j->look, str_of(leg->sid));

        if (seen != NULL)
            memcpy(seen->label, leg->label, sizeof seen->label);
    }
    memcpy(j->look->caller, o->line->legs[0].sid, sizeof j->look->caller);
    j->look->want_recording = o->line->set.record && j->look->caller[0] != '\0';
    j->room[0] = '\0';
    return 0;
}
