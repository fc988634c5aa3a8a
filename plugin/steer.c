/* SPDX-License-Identifier: MIT */
#include "plugin/steer.h"

#include "plugin/app.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "plugin/call/call.h"
#include "plugin/destinations.h"
#include "plugin/lines.h"
#include "plugin/net/loop.h"

#include <stdio.h>
#include <string.h>

#define TO "\"to\":{\"type\":\"string\",\"description\":\"A name from the list in your instructions, never a number\"}"
#define OBJECT(properties) "{\"type\":\"object\",\"properties\":{" properties "}}"
#define NEEDS(properties, names) "{\"type\":\"object\",\"properties\":{" properties "},\"required\":[" names "]}"

enum steer_level { FOR_ALL, FOR_TRANSFER, FOR_DIAL };

static const struct steer {
    const char *name;
    unsigned can; /* one of these LINE_CAN_* is needed; 0: none */
    enum steer_level level;
    enum line_action_kind kind; /* ACT_NONE: voice_call */
    const char *done;           /* words for the model when it worked */
    const char *description, *parameters;
} steers[] = {
    {"hold", LINE_CAN_HOLD, FOR_ALL, ACT_HOLD,
     "The caller was on hold and is back now. Go on.",
     "Puts the person on hold: they hear music and do not hear you, until they are taken back by your owner or the "
     "system. Say that you put them on hold before you call it.",
     OBJECT("\"reason\":{\"type\":\"string\"}")},
    {"send_dtmf", LINE_CAN_DTMF, FOR_ALL, ACT_DTMF, "The keys were sent.",
     "Presses keys of the telephone towards the other side, for menus such as: press 1 for English.",
     NEEDS("\"digits\":{\"type\":\"string\",\"description\":\"0-9 * # and w for half a second of waiting\"}",
           "\"digits\"")},
    {"transfer_call", LINE_CAN_TRANSFER | LINE_CAN_REFER, FOR_TRANSFER, ACT_TRANSFER,
     "They are connected now. You leave the call.",
     "Hands the call to somebody of the list in your instructions. warm: they are told what it is about and asked "
     "first, while the caller waits. Say what you do before you call it.",
     NEEDS(TO ",\"warm\":{\"type\":\"boolean\"},\"summary\":{\"type\":\"string\",\"description\":\"What they are "
           "told first: who it is and what it is about\"}", "\"to\"")},
    {"invite", LINE_CAN_INVITE, FOR_DIAL, ACT_INVITE, "They are in the call now.",
     "Asks somebody of the list in your instructions into this call as a third person.", NEEDS(TO, "\"to\"")},
    {"voice_call", 0, FOR_DIAL, ACT_NONE, "",
     "Places another telephone call for the caller, after this one or beside it. Whom it may go to is decided by the "
     "configuration.",
     NEEDS("\"to\":{\"type\":\"string\",\"description\":\"The number with its country code, +49...\"},"
           "\"purpose\":{\"type\":\"string\",\"description\":\"What the call is for, in full\"},"
           "\"message\":{\"type\":\"string\",\"description\":\"Words to be said first, exactly\"},"
           "\"context\":{\"type\":\"string\"}", "\"to\",\"purpose\"")},
    {"pause_recording", LINE_CAN_RECORD, FOR_ALL, ACT_RECORD_PAUSE, "The recording is paused.",
     "Pauses the recording of this call, so that what is said now is not kept.", OBJECT("")},
    {"resume_recording", LINE_CAN_RECORD, FOR_ALL, ACT_RECORD_RESUME, "The recording goes on.",
     "Lets the recording of this call go on.", OBJECT("")},
};

#define STEERS (sizeof steers / sizeof *steers)

static const struct steer *steer_named(struct str name)
{
    for (size_t i = 0; i < STEERS; i++)
        if (str_eqc(name, steers[i].name))
            return &steers[i];
    return NULL;
}

static bool opened(const struct steer *s, const struct access *a)
{
    return s->level == FOR_ALL || (s->level == FOR_TRANSFER ? a->transfer : a->dial);
}

static bool names_target(const struct steer *s)
{
    return s->kind == ACT_TRANSFER || s->kind == ACT_INVITE;
}

static bool records(const struct steer *s)
{
    return s->kind == ACT_RECORD_PAUSE || s->kind == ACT_RECORD_RESUME;
}

void steer_of(struct natives *out, const struct app *app, struct str call, const struct access *access, bool recorded)
{
    unsigned can = app->lines != NULL ? lines_can(app->lines, call) : 0;
    bool may_dial = app->lines != NULL && app->config->twilio.ready;

    for (size_t i = 0; i < STEERS; i++) {
        const struct steer *s = &steers[i];

        if (!opened(s, access) || (s->can != 0 && (can & s->can) == 0) || (s->can == 0 && !may_dial) ||
            (names_target(s) && app->config->security.transfer_targets.n == 0) || (records(s) && !recorded))
            continue;
        natives_add(out, s->name);
    }
    out->refers = (can & (LINE_CAN_TRANSFER | LINE_CAN_REFER)) == LINE_CAN_REFER;
}

/* Where nobody can be asked first. */
static const char refer_words[] =
    "Hands the caller over to somebody of the list in your instructions, at once and for good: that person is not "
    "asked first, and you leave. Tell the caller, and say goodbye, before you call it. If the call is still here "
    "afterwards, it did not work.";

unsigned steer_declare(struct rt_session_tool *out, const struct natives *natives)
{
    unsigned n = 0;

    for (unsigned i = 0; i < natives->n; i++) {
        const struct steer *s = steer_named(str_of(natives->names[i]));

        if (s != NULL && natives->refers && s->kind == ACT_TRANSFER)
            out[n++] = (struct rt_session_tool){str_of(s->name), str_of(refer_words), STR(NEEDS(TO, "\"to\""))};
        else if (s != NULL)
            out[n++] = (struct rt_session_tool){str_of(s->name), str_of(s->description), str_of(s->parameters)};
    }
    return n;
}

/* ---- Answers ---- */

struct steering { /* one action under way; first a message: the machine must not be fed from its own effects */
    struct loop_msg msg;
    struct app *app;
    const struct steer *steer;
    char call[ID_BYTES], tool_call[CALL_TOOL_ID_BYTES], number[PHONE_BYTES];
    char *arguments; /* owned */
};

static void finish(struct steering *st, int rc, struct str text)
{
    natives_answer(st->app, str_of(st->call), str_of(st->tool_call), rc, text);
    mem_free(st->arguments);
    mem_free(st);
}

static void fail(struct steering *st, int rc, struct str why)
{
    char words[400];

    (void)snprintf(words, sizeof words, "It did not work: %.*s Say so honestly.", STR_ARG(str_head(why, 300)));
    finish(st, rc, str_of(words));
}

static void on_over(void *arg, struct str id, enum line_action_state state, struct str error)
{
    struct steering *st = arg;

    (void)id;
    if (state == ACTION_DONE || state == ACTION_HANDED_OVER)
        finish(st, 0, str_of(st->steer->done));
    else if (state == ACTION_UNCERTAIN)
        finish(st, ERR_TIMEOUT, STR("It is not known whether that worked. Do not try it again; say so honestly."));
    else
        fail(st, ERR_INVALID, error.n > 0 ? error : STR("it was refused."));
}

static void on_asked(void *arg, int rc, struct str id, struct str state, struct str text)
{
    struct steering *st = arg;

    if (rc < 0)
        fail(st, rc, rc == ERR_BAD_STATE ? STR("this call cannot do that now.") : text.n > 0 ? text : STR("not now."));
    else if (str_eqc(state, "done")) /* an earlier one under this key */
        on_over(st, id, ACTION_DONE, text);
    else if (str_eqc(state, "failed"))
        on_over(st, id, ACTION_FAILED, text);
    else if (str_eqc(state, "uncertain") || !lines_wait(st->app->lines, id, on_over, st))
        on_over(st, id, ACTION_UNCERTAIN, text);
}

static void on_dialled(void *arg, int status, struct str body)
{
    struct steering *st = arg;
    struct json *doc = NULL;
    struct str why;

    if (status >= 200 && status < 300) {
        finish(st, 0, STR("The call is being placed. Its result goes to the owner's chat."));
        return;
    }
    (void)json_parse(&doc, body, NULL);
    why = json_get_str(doc, "detail");
    if (why.n == 0)
        why = json_get_str(doc, "error");
    fail(st, ERR_DENIED, why.n > 0 ? why : STR("the call was refused."));
    json_free(doc);
}

/* ---- Carrying out ---- */

/* The number behind a name, by the policy; false: answered. */
static bool target(struct steering *st, struct str name, struct destination_verdict *v)
{
    struct destination_policy *policy = NULL;
    struct err e = {0};

    if (destinations_make(&policy, st->app->config, &e) < 0) {
        fail(st, ERR_NOMEM, STR("not now."));
        return false;
    }
    destination_target_decide(policy, name, NULL, 0, v);
    destination_policy_free(policy);
    if (!v->allow)
        fail(st, ERR_DENIED, str_of(v->text));
    return v->allow;
}

/* Only what the tool declares goes on: the request has more fields than a model may fill. */
static void dial(struct steering *st, const struct json *args)
{
    static const char *const fields[] = {"to", "purpose", "message", "context"};
    struct json *body = NULL;
    struct buf b;

    buf_init(&b, 65536);
    jw_open(&b, '{');
    for (unsigned i = 0; i < 4; i++)
        if (json_get_str(args, fields[i]).n > 0)
            jw_kstr(&b, fields[i], json_get_str(args, fields[i]));
    if (st->number[0] != '\0')
        jw_kstrc(&b, "owner", st->number); /* the one who asks for it gets its result */
    jw_close(&b, '}');
    if (b.rc < 0 || json_parse(&body, buf_str(&b), NULL) < 0)
        fail(st, ERR_INVALID, STR("the arguments are too long."));
    else
        dial_ask(st->app, body, str_of(st->tool_call), STR("model"), on_dialled, st);
    json_free(body);
    buf_free(&b);
}

static void act(struct steering *st, const struct json *args)
{
    struct destination_verdict v = {0};
    struct action_ask ask = {.call = str_of(st->call), .kind = st->steer->kind, .idem = str_of(st->tool_call),
                             .by = STR("model")};

    if (names_target(st->steer)) {
        if (!target(st, json_get_str(args, "to"), &v))
            return;
        ask.party = str_of(v.name); /* one label for one target, however it was written */
        ask.to = str_of(v.number);
        ask.warm = json_get_bool(args, "warm", false);
        if (ask.warm && (lines_can(st->app->lines, ask.call) & LINE_CAN_WARM) == 0) {
            fail(st, ERR_INVALID, STR("in this call nobody can be asked first: only without warm."));
            return;
        }
        ask.text = json_get_str(args, "summary");
        ask.text = str_head(ask.text, str_utf8_floor(ask.text, LINE_TEXT_BYTES - 1));
    } else if (st->steer->kind == ACT_DTMF) {
        ask.text = str_trim(json_get_str(args, "digits"));
        if (!line_digits_good(ask.text)) {
            fail(st, ERR_INVALID, STR("digits are 0-9, * and #, 64 at most."));
            return;
        }
    }
    lines_act(st->app->lines, &ask, on_asked, st);
}

static void on_posted(struct loop_msg *m)
{
    struct steering *st = (struct steering *)(void *)m;
    struct json *args = NULL;

    if (st->app->lines == NULL)
        fail(st, ERR_CLOSED, STR("not now."));
    else if (json_parse(&args, str_of(st->arguments), NULL) < 0)
        fail(st, ERR_INVALID, STR("the arguments are no JSON object."));
    else if (st->steer->kind == ACT_NONE)
        dial(st, args);
    else
        act(st, args);
    json_free(args);
}

bool steer_run(struct app *app, const struct native_ask *ask)
{
    const struct steer *s = steer_named(ask->name);
    struct steering *st;

    if (s == NULL)
        return false;
    if (!opened(s, &ask->access)) { /* the level has sunk, or the name was guessed */
        natives_answer(app, ask->call, ask->tool_call, ERR_DENIED,
                       STR("This caller may not do that. Say so politely."));
        return true;
    }
    st = MEM_NEW(struct steering);
    if (st == NULL)
        return true; /* the tool's time limit answers */
    st->msg.run = on_posted;
    st->app = app;
    st->steer = s;
    st->arguments = str_dup(ask->arguments);
    (void)str_copy(st->call, sizeof st->call, ask->call);
    (void)str_copy(st->tool_call, sizeof st->tool_call, ask->tool_call);
    (void)str_copy(st->number, sizeof st->number, ask->number);
    if (st->arguments == NULL || loop_post(app->loop, &st->msg) < 0) {
        mem_free(st->arguments);
        mem_free(st);
    }
    return true;
}

/* ---- The keys of a PIN ---- */

static void on_collecting(void *arg, int rc, struct str id, struct str state, struct str text)
{
    struct steering *st = arg;

    (void)id;
    (void)state;
    (void)text;
    if (rc < 0 && rc != ERR_BAD_STATE)
        log_warn(&st->app->log, "%s: the keys of a PIN cannot be asked for: %s", st->call, err_name(rc));
    mem_free(st);
}

static void on_collect(struct loop_msg *m)
{
    struct steering *st = (struct steering *)(void *)m;
    struct action_ask ask = {.call = str_of(st->call), .kind = ACT_COLLECT, .secret = true,
                             .idem = str_of(st->tool_call), .by = STR("model")};

    if (st->app->lines == NULL || (lines_can(st->app->lines, ask.call) & LINE_CAN_COLLECT) == 0)
        mem_free(st);
    else
        lines_act(st->app->lines, &ask, on_collecting, st);
}

void steer_collect_pin(struct app *app, struct str call, struct str tool_call)
{
    struct steering *st = MEM_NEW(struct steering);

    if (st == NULL)
        return;
    st->msg.run = on_collect;
    st->app = app;
    (void)str_copy(st->call, sizeof st->call, call);
    (void)str_copy(st->tool_call, sizeof st->tool_call, tool_call);
    if (loop_post(app->loop, &st->msg) < 0)
        mem_free(st);
}
