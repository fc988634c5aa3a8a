/* SPDX-License-Identifier: MIT */
#include "plugin/verify.h"

#include "abi/openclaw_voice.h"
#include "memory/people.h"
#include "plugin/afters.h"
#include "plugin/app.h"
#include "plugin/base/clock.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "plugin/base/secret.h"
#include "plugin/calls.h"
#include "plugin/natives.h"
#include "plugin/net/loop.h"
#include "plugin/pin.h"

#include <stdio.h>
#include <string.h>

#define CODE_DIGITS 6u
#define MESSAGES_MAX 2u       /* a call */
#define MESSAGES_HOUR_MAX 5u  /* to one chat */
#define SENT_KEPT 256u        /* of all chats; a full hour of them sends no more */
#define HOUR_MS 3600000u
#define SEND_MS 30000u        /* the host's answer; the tool's own time limit may be shorter */
#define IDENTITY_BYTES 256u

static const char verified[] = "Verified: the caller is who they say they are. Go on with what they want.";
static const char cannot[] = "A message to the caller's chat cannot be sent now. Say so honestly.";
static const char refused[] = "The owner answered in the chat that it is not they who call. Nothing proves this "
                              "caller's identity any more: say politely that it could not be verified, and tell and "
                              "do nothing private.";

struct proof { /* of one call, from its first message on */
    struct proof *next;
    struct verifies *owner;
    char call[ID_BYTES], tool_call[CALL_TOOL_ID_BYTES];
    char identity[IDENTITY_BYTES];
    char code[CODE_DIGITS + 1]; /* "" none is open */
    uint64_t until_ms;          /* monotonic */
    unsigned messages;
    bool denied;
    uint64_t token;             /* the host's request, 0 none */
    uint64_t sent_ms;
};

struct sent { /* a message to a chat */
    char identity[IDENTITY_BYTES];
    uint64_t at_ms;
};

struct verifies {
    struct app *app;
    struct proof *first;
    struct sent sent[SENT_KEPT];
    unsigned n_sent; /* ever; the newest is at n_sent - 1, round the ring */
};

static void answer(struct app *app, struct str call, struct str tool_call, int rc, const char *text)
{
    natives_answer(app, call, tool_call, rc, str_of(text));
}

/* ---- The list ---- */

static void proof_free(struct proof *p)
{
    if (p->token != 0)
        host_forget(p->owner->app->host, p->token);
    secret_wipe(p->code, sizeof p->code);
    mem_free(p);
}

/* What is too old is wiped, and of calls that are gone nothing stays. */
static void tidy(struct verifies *v)
{
    uint64_t now = loop_now_ms(v->app->loop);
    struct proof **at = &v->first;

    while (*at != NULL) {
        struct proof *p = *at;

        if (!calls_has(v->app->calls, str_of(p->call))) {
            *at = p->next;
            proof_free(p);
            continue;
        }
        if (now >= p->until_ms)
            secret_wipe(p->code, sizeof p->code);
        at = &p->next;
    }
}

static struct proof *proof_of(struct verifies *v, struct str call)
{
    struct proof *p = v->first;

    while (p != NULL && !str_eqc(call, p->call))
        p = p->next;
    return p;
}

static struct proof *proof_new(struct verifies *v, struct str call)
{
    struct proof *p = MEM_NEW(struct proof);

    if (p == NULL)
        return NULL;
    p->owner = v;
    (void)str_copy(p->call, sizeof p->call, call);
    p->next = v->first;
    v->first = p;
    return p;
}

int verifies_open(struct verifies **out, struct app *app)
{
    struct verifies *v = MEM_NEW(struct verifies);

    if (v == NULL)
        return ERR_NOMEM;
    v->app = app;
    *out = v;
    return 0;
}

void verifies_close(struct verifies *v)
{
    while (v != NULL && v->first != NULL) {
        struct proof *p = v->first;

        v->first = p->next;
        proof_free(p);
    }
    mem_free(v);
}

/* ---- Messages to the chat ---- */

static bool may_send(struct verifies *v, const char *identity)
{
    uint64_t now = loop_now_ms(v->app->loop);
    unsigned all = 0, here = 0;

    for (unsigned i = 0; i < SENT_KEPT && i < v->n_sent; i++) {
        const struct sent *s = &v->sent[i];

        if (now - s->at_ms >= HOUR_MS)
            continue;
        all++;
        here += strcmp(s->identity, identity) == 0;
    }
    return all < SENT_KEPT && here < MESSAGES_HOUR_MAX;
}

static void on_sent(void *arg, int code, struct str json)
{
    struct proof *p = arg;
    struct app *app = p->owner->app;
    bool never = code == OC_EINVAL || code == OC_ENOTSUP || code == OC_ENOENT || code == OC_EBUSY;
    char text[480];

    (void)json;
    p->token = 0;
    if (never)
        secret_wipe(p->code, sizeof p->code);
    (void)snprintf(text, sizeof text,
                   "%s their chat (%.*s). It holds a code of six digits and asks them to answer YES there. Ask the "
                   "caller to do that, or to say the code; then call verify_identity with it. You are told when they "
                   "answered.", code == OC_OK ? "A message was sent to" : "It is not known whether a message reached",
                   (int)str_find(str_of(p->identity), ':'), p->identity);
    answer(app, str_of(p->call), str_of(p->tool_call), never ? ERR_IO : 0, never ? cannot : text);
}

static int send_message(struct proof *p, struct str number)
{
    struct app *app = p->owner->app;
    struct str identity = str_of(p->identity);
    size_t colon = str_find(identity, ':');
    struct id id;
    struct buf b, text;
    int rc = id_make(&id, "ver_", clock_wall_ms());

    buf_init(&text, 1024);
    (void)buf_printf(&text, "Somebody on the telephone from %.*s says that they are you. If it is you, answer YES "
                     "here, or say this code on the phone: %.3s %.3s. It is good for %u minutes. If it is not you, "
                     "answer NO, and give the code to nobody.", STR_ARG(number), p->code, p->code + 3,
                     app->config->sessions.link_timeout_min);
    buf_init(&b, 4096);
    jw_open(&b, '{');
    jw_kstrc(&b, "id", id.text);
    jw_kstr(&b, "channel", str_head(identity, colon));
    jw_kstr(&b, "to", str_skip(identity, colon + 1));
    jw_kstr(&b, "text", buf_str(&text));
    jw_kstrc(&b, "session_key", ""); /* in no session: the agent, whom the caller can ask, must not know the code */
    jw_close(&b, '}');
    if (rc == 0)
        rc = text.rc < 0 ? text.rc : b.rc;
    if (rc == 0)
        rc = host_request(app->host, OC_REQ_SEND, str_of(p->call), buf_str(&b), on_sent, NULL, p, &p->token);
    secret_wipe(text.p, text.n);
    secret_wipe(b.p, b.n);
    buf_free(&text);
    buf_free(&b);
    return rc;
}

static int new_code(struct proof *p)
{
    struct verifies *v = p->owner;
    uint32_t raw;
    int rc = id_random(&raw, sizeof raw);

    if (rc < 0)
        return rc;
    (void)snprintf(p->code, sizeof p->code, "%06u", raw % 1000000u);
    p->sent_ms = loop_now_ms(v->app->loop);
    p->until_ms = p->sent_ms + (uint64_t)v->app->config->sessions.link_timeout_min * 60000u;
    p->messages++;
    {
        struct sent *s = &v->sent[v->n_sent++ % SENT_KEPT];

        (void)str_copy(s->identity, sizeof s->identity, str_of(p->identity));
        s->at_ms = p->sent_ms;
    }
    return 0;
}

struct asking { /* for the caller's chats; the app may close meanwhile */
    struct app *app;
    char call[ID_BYTES], tool_call[CALL_TOOL_ID_BYTES], number[24];
};

static const char *ask_chat(struct verifies *v, const struct asking *a, const struct json *person)
{
    struct proof *p = proof_of(v, str_of(a->call));
    struct str channel, to;
    char identity[IDENTITY_BYTES];

    if (!afters_address(v->app->config, person, &channel, &to) ||
        snprintf(identity, sizeof identity, "%.*s:%.*s", STR_ARG(channel), STR_ARG(to)) >= (int)sizeof identity)
        return "This caller is linked to no chat that can be written to. Say so honestly.";
    if (!may_send(v, identity))
        return "Too many such messages were sent to that chat lately. Say that it cannot be verified now.";
    if (p == NULL)
        p = proof_new(v, str_of(a->call));
    if (p == NULL)
        return cannot;
    if (p->token != 0)
        host_forget(v->app->host, p->token);
    p->token = 0;
    (void)str_copy(p->identity, sizeof p->identity, str_of(identity));
    (void)str_copy(p->tool_call, sizeof p->tool_call, str_of(a->tool_call));
    if (new_code(p) < 0 || send_message(p, str_of(a->number)) < 0) {
        secret_wipe(p->code, sizeof p->code);
        return cannot;
    }
    return NULL;
}

static void on_person(void *arg, int rc, struct str json)
{
    struct asking a = *(struct asking *)arg;
    struct json *doc = NULL;
    const char *why = cannot;

    mem_free(arg);
    if (a.app->verifies == NULL)
        return;
    if (rc == 0 && json_parse(&doc, json, NULL) == 0)
        why = ask_chat(a.app->verifies, &a, doc);
    json_free(doc);
    if (why != NULL)
        answer(a.app, str_of(a.call), str_of(a.tool_call), ERR_INVALID, why);
}

static void ask_for_code(struct verifies *v, const struct verify_ask *ask)
{
    const struct proof *p = proof_of(v, ask->call);
    struct asking *a;

    if (p != NULL && (p->messages >= MESSAGES_MAX ||
                      (p->token != 0 && loop_now_ms(v->app->loop) < p->sent_ms + SEND_MS))) {
        answer(v->app, ask->call, ask->tool_call, ERR_INVALID,
               "A message was sent already. Ask the caller to look for it in their chat.");
        return;
    }
    a = MEM_NEW(struct asking);
    if (a == NULL)
        return; /* the tool's time limit answers */
    a->app = v->app;
    (void)str_copy(a->call, sizeof a->call, ask->call);
    (void)str_copy(a->tool_call, sizeof a->tool_call, ask->tool_call);
    (void)str_copy(a->number, sizeof a->number, ask->number);
    if (people_get(v->app->store, ask->number, on_person, a) < 0) {
        mem_free(a);
        answer(v->app, ask->call, ask->tool_call, ERR_FULL, cannot);
    }
}

/* ---- What proves ---- */

/* Digits as people and models write them: "123 456", "123-456", "1 2 3 4 5 6". */
static bool code_of(char out[CODE_DIGITS + 1], struct str text)
{
    unsigned n = 0;

    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == ' ' || text.p[i] == '-')
            continue;
        if (text.p[i] < '0' || text.p[i] > '9' || n == CODE_DIGITS)
            return false;
        out[n++] = text.p[i];
    }
    out[n] = '\0';
    return n == CODE_DIGITS;
}

static bool fits(const struct proof *p, struct str text)
{
    char code[CODE_DIGITS + 1];
    bool same = p->code[0] != '\0' && code_of(code, text) && id_equal_ct(str_of(code), str_of(p->code));

    secret_wipe(code, sizeof code);
    return same;
}

struct saying { /* the machine must not be fed from inside its own effects */
    struct loop_msg msg;
    struct app *app;
    char call[ID_BYTES], tool_call[CALL_TOOL_ID_BYTES];
};

static void on_said(struct loop_msg *m)
{
    struct saying s = *(struct saying *)(void *)m;

    mem_free(m);
    calls_proven(s.app->calls, str_of(s.call), "by a code from the chat");
    calls_tool_done(s.app->calls, str_of(s.call), str_of(s.tool_call), 0, str_of(verified));
}

static void check_code(struct verifies *v, const struct verify_ask *ask)
{
    struct proof *p = proof_of(v, ask->call);
    struct saying *s;

    if (p == NULL || p->code[0] == '\0') {
        answer(v->app, ask->call, ask->tool_call, ERR_INVALID,
               "No code is open. Call verify_identity without arguments first: that sends one to the caller's chat.");
        return;
    }
    if (!fits(p, ask->code)) {
        answer(v->app, ask->call, ask->tool_call, 0, "The code is wrong. Say so politely; the caller may try again.");
        return;
    }
    s = MEM_NEW(struct saying);
    if (s == NULL)
        return; /* the tool's time limit answers */
    secret_wipe(p->code, sizeof p->code);
    s->msg.run = on_said;
    s->app = v->app;
    (void)str_copy(s->call, sizeof s->call, ask->call);
    (void)str_copy(s->tool_call, sizeof s->tool_call, ask->tool_call);
    if (loop_post(v->app->loop, &s->msg) < 0)
        mem_free(s);
}

void verify_run(struct app *app, const struct verify_ask *ask)
{
    struct verifies *v = app->verifies;
    const struct proof *p;

    if (ask->pin.n > 0 && app->config->security.pin_hash[0] != '\0') {
        pins_check(app->pins, ask->call, ask->tool_call, ask->pin);
        return;
    }
    tidy(v);
    p = proof_of(v, ask->call);
    if (ask->pin.n > 0)
        answer(app, ask->call, ask->tool_call, ERR_INVALID,
               "There is no PIN here. A code from the chat goes in as code.");
    else if (p != NULL && p->denied)
        answer(app, ask->call, ask->tool_call, ERR_DENIED, refused);
    else if (!ask->by_chat)
        answer(app, ask->call, ask->tool_call, ERR_INVALID, "Only the PIN verifies this caller.");
    else if (ask->code.n > 0)
        check_code(v, ask);
    else
        ask_for_code(v, ask);
}

/* ---- Answers in the chat ---- */

static bool is_word(struct str text, const char *const *words)
{
    text = str_trim(text);
    while (text.n > 0 && strchr(".!,", text.p[text.n - 1]) != NULL)
        text.n--;
    for (; *words != NULL; words++)
        if (str_ieq(text, str_of(*words)))
            return true;
    return false;
}

/* A question of ours that is open in that chat; *more: it is not the only one. */
static struct proof *open_in(struct verifies *v, struct str identity, bool *more)
{
    struct proof *found = NULL;

    *more = false;
    for (struct proof *p = v->first; p != NULL; p = p->next) {
        if (p->code[0] == '\0' || !str_eqc(identity, p->identity))
            continue;
        *more = found != NULL;
        found = p;
    }
    return found;
}

/* Whoever calls: of all calls that ask. Telling a call may change the list, so each is looked for anew. */
static void deny(struct verifies *v, struct str identity)
{
    bool more;

    for (struct proof *p; (p = open_in(v, identity, &more)) != NULL;) {
        char call[ID_BYTES];

        p->denied = true;
        secret_wipe(p->code, sizeof p->code);
        (void)str_copy(call, sizeof call, str_of(p->call));
        calls_tell(v->app->calls, str_of(call), STR("proof denied"), str_of(refused));
    }
}

static void approve(struct proof *p)
{
    struct calls *calls = p->owner->app->calls;
    char call[ID_BYTES];

    (void)str_copy(call, sizeof call, str_of(p->call));
    secret_wipe(p->code, sizeof p->code);
    calls_proven(calls, str_of(call), "by an answer in the chat");
    calls_tell(calls, str_of(call), STR("proof approved"),
               STR("The caller approved in their own chat. Verified: they are who they say they are. Go on with what "
                   "they want."));
}

bool verify_answered(struct app *app, struct str identity, struct str text, struct str *reply)
{
    static const char *const yes[] = {"yes", "y", "approve", "approved", "ok", NULL};
    static const char *const no[] = {"no", "n", "deny", "refuse", NULL};
    struct verifies *v = app->verifies;
    struct proof *open;
    bool more;

    if (v == NULL || v->first == NULL)
        return false;
    tidy(v);
    open = open_in(v, identity, &more);
    if (open != NULL && is_word(text, no)) {
        deny(v, identity);
        *reply = STR("Thank you. Nothing private is told or done in that call.");
        return true;
    }
    for (struct proof *p = open ? v->first : NULL; p != NULL; p = p->next) {
        if (str_eqc(identity, p->identity) && fits(p, text)) { /* typed instead of spoken, by the same hands */
            open = p;
            more = false;
            text = STR("yes");
        }
    }
    if (open == NULL || !is_word(text, yes))
        return false;
    if (more) {
        *reply = STR("More than one call asks for this now. Say the code of yours on the phone instead.");
        return true;
    }
    approve(open);
    *reply = STR("Thank you, you are verified for this call.");
    return true;
}

bool verify_holds_code(const struct app *app, struct str identity, struct str text)
{
    char words[CODE_DIGITS + 2];

    for (const struct proof *p = app->verifies ? app->verifies->first : NULL; p != NULL; p = p->next) {
        (void)snprintf(words, sizeof words, "%.3s %.3s", p->code, p->code + 3);
        if (p->code[0] != '\0' && str_eqc(identity, p->identity) && str_find_str(text, str_of(words)) < text.n)
            return true;
    }
    return false;
}

bool verify_by_chat(const struct app *app, const struct people_caller *p)
{
    const struct config *c = app->config;
    struct str to;

    if (!c->integration.handoff_enabled || !host_serves(app->host))
        return false;
    for (unsigned i = 0; i < p->n_identities; i++)
        for (unsigned k = 0; k < c->integration.handoff_channels.n; k++)
            if (afters_is_on(p->identities[i], str_of(c->integration.handoff_channels.v[k]), &to))
                return true;
    return false;
}
