/* SPDX-License-Identifier: MIT */
#include "plugin/chats.h"

#include "memory/people.h"
#include "plugin/app.h"
#include "plugin/base/clock.h"
#include "plugin/base/id.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "plugin/call/call.h"
#include "plugin/calls.h"
#include "plugin/owner.h"
#include "plugin/questions.h"
#include "plugin/verify.h"

#include <stdio.h>
#include <string.h>

#define TEXT_MAX 8192u
#define GROUPS_MAX 512u
#define CODE_DIGITS 6u
#define CODE_TEXT_MAX 80u

/* A message on its way through the database. */
struct message {
    struct app *app;
    chats_fn *fn;
    void *arg;
    char identity[256];
    char text[TEXT_MAX];
    char *session_key; /* NULL: out of memory, or none */
    uint64_t at;
    bool from_them;
};

static void message_over(struct message *m, int rc, struct str json)
{
    m->fn(m->arg, rc, json);
    mem_free(m->session_key);
    mem_free(m);
}

static bool is_digit(struct str s, size_t at)
{
    return at < s.n && s.p[at] >= '0' && s.p[at] <= '9';
}

/* One group of six digits in a short message, as people write it: "123456", "my code is 123 456". */
static bool is_code(struct str text, char code[CODE_DIGITS + 1])
{
    unsigned groups = 0;

    for (size_t i = 0; i < text.n && text.n <= CODE_TEXT_MAX; i++) {
        unsigned n = 0;
        size_t at = i;

        if (!is_digit(text, i) || (i > 0 && is_digit(text, i - 1)))
            continue;
        while (n < CODE_DIGITS && is_digit(text, at)) {
            code[n++] = text.p[at++];
            if (n == CODE_DIGITS / 2 && at < text.n && (text.p[at] == ' ' || text.p[at] == '-'))
                at++;
        }
        code[n] = '\0';
        if (n != CODE_DIGITS || is_digit(text, at))
            return false; /* other numbers stand there: it is no message about a code */
        groups++;
        i = at;
    }
    return groups == 1;
}

/* ---- A message meets a live call ---- */

static void on_person(void *arg, int rc, struct str json)
{
    struct message *m = arg;
    struct json *doc = NULL;

    if (rc == 0 && json_parse(&doc, json, NULL) == 0)
        calls_tell_person(m->app->calls, json_get_str(doc, "person"), str_of(m->identity), str_of(m->text));
    json_free(doc);
    message_over(m, 0, STR("{}"));
}

static void look_for_call(struct message *m)
{
    if (!m->from_them || calls_live(m->app->calls) == 0 ||
        people_get(m->app->store, str_of(m->identity), on_person, m) < 0)
        message_over(m, 0, STR("{}"));
}

/* ---- A message that is a code ---- */

static void on_code_typed(void *arg, int rc, const struct people_code_result *r)
{
    struct message *m = arg;

    if (rc < 0 || !r->fits) {
        look_for_call(m); /* six digits may mean anything: nothing is said of a code that is none */
        return;
    }
    log_info(&m->app->log, "a chat and a caller's number were linked by code");
    app_persons_changed(m->app);
    calls_linked(m->app->calls, r->call, str_of(m->identity));
    message_over(m, 0, STR("{\"reply\":\"Done: this chat and your telephone number now belong together. On the phone I "
                           "know what we wrote here.\"}"));
}

/* ---- A message that asks for a code ---- */

static bool asks_for_code(struct str text)
{
    static const char *const phrases[] = {"link phone", "link my phone", "link my number", "link telephone"};

    for (size_t i = 0; i < sizeof phrases / sizeof *phrases; i++)
        if (str_ieq(text, str_of(phrases[i])))
            return true;
    return false;
}

static void on_chat_code(void *arg, int rc)
{
    struct message *m = arg;
    char reply[200];

    (void)snprintf(reply, sizeof reply, rc < 0 ? "{\"reply\":\"No code could be made now; try again in a moment.\"}"
                                               : "{\"reply\":\"Call me and say: link this chat, the code is %.3s %.3s. "
                                                 "It is good for %u minutes.\"}",
                   m->text, m->text + 3, m->app->config->sessions.link_timeout_min);
    message_over(m, 0, str_of(reply));
}

/* The code takes the place of the message's text, which is done with. */
static void make_chat_code(struct message *m)
{
    uint64_t until = clock_wall_ms() + (uint64_t)m->app->config->sessions.link_timeout_min * 60000u;
    uint32_t raw;

    if (id_random(&raw, sizeof raw) < 0) {
        message_over(m, ERR_IO, STR("{}"));
        return;
    }
    (void)snprintf(m->text, sizeof m->text, "%06u", raw % 1000000u);
    if (people_code_make(m->app->store, str_of(m->identity), STR(""), str_of(m->text), until, on_chat_code, m) < 0)
        message_over(m, ERR_FULL, STR("{}"));
}

static void answered(struct message *m, struct str reply)
{
    struct buf b;

    buf_init(&b, 1024);
    jw_open(&b, '{');
    if (reply.n > 0)
        jw_kstr(&b, "reply", reply);
    jw_close(&b, '}');
    message_over(m, b.rc, buf_str(&b));
    buf_free(&b);
}

/* It is no answer to anything: a code, a wish for one, or a part of the conversation. */
static void take(struct message *m)
{
    struct app *app = m->app;
    struct people_message row = {.identity = str_of(m->identity), .session_key = str_of(m->session_key),
                                 .from_them = m->from_them, .text = str_of(m->text), .at = m->at};
    bool links = m->from_them && app->config->sessions.auto_link_by_phone;
    char code[CODE_DIGITS + 1];

    if (links && is_code(str_of(m->text), code)) {
        /* A code is no part of a conversation: it is not kept. */
        if (people_code_use(app->store, str_of(m->identity), str_of(code), clock_wall_ms(), on_code_typed, m) < 0)
            message_over(m, ERR_FULL, STR("{}"));
        return;
    }
    if (links && asks_for_code(str_of(m->text))) {
        make_chat_code(m);
        return;
    }
    (void)people_message(app->store, &row, NULL, NULL);
    look_for_call(m);
}

/* What answers a question of a call is for that call alone, and not kept as a part of the conversation. */
static void on_offered(void *arg, int rc, struct str reply)
{
    struct message *m = arg;

    if (rc == 0)
        answered(m, reply);
    else if (rc == ERR_CLOSED)
        message_over(m, rc, STR("{}"));
    else
        take(m);
}

void chats_message(struct app *app, const struct json *message, chats_fn *fn, void *arg)
{
    struct str channel = json_get_str(message, "channel"), peer = json_get_str(message, "peer");
    struct str text = str_trim(json_get_str(message, "text"));
    struct str said = STR_NONE;
    struct message *m;

    if (channel.n == 0 || peer.n == 0 || channel.n + peer.n > 200 || text.n == 0) {
        fn(arg, ERR_INVALID, STR("{\"error\":\"channel, peer and text are needed\"}"));
        return;
    }
    m = MEM_NEW(struct message);
    if (m == NULL) {
        fn(arg, ERR_NOMEM, STR("{}"));
        return;
    }
    m->app = app;
    m->fn = fn;
    m->arg = arg;
    m->from_them = !str_eqc(json_get_str(message, "who"), "assistant");
    m->at = (uint64_t)json_get_int(message, "at", (int64_t)clock_wall_ms());
    (void)snprintf(m->identity, sizeof m->identity, "%.*s:%.*s", STR_ARG(channel), STR_ARG(peer));
    if (m->from_them ? verify_answered(app, str_of(m->identity), text, &said)
                     : verify_holds_code(app, str_of(m->identity), text)) {
        answered(m, said); /* it is no part of a conversation and not kept */
        return;
    }
    text = str_head(text, str_utf8_floor(text, TEXT_MAX - 1));
    (void)str_copy(m->text, sizeof m->text, text);
    m->session_key = str_dup(json_get_str(message, "session_key"));
    if (!m->from_them || !questions_offer(app->questions, str_of(m->identity), text, m->at, on_offered, m))
        take(m);
}

/* ---- Links of the gateway's configuration ---- */

struct links_wait {
    struct app *app;
    chats_fn *fn;
    void *arg;
};

static void on_links(void *arg, int rc)
{
    struct links_wait w = *(struct links_wait *)arg;

    mem_free(arg);
    if (rc == 0)
        app_persons_changed(w.app);
    w.fn(w.arg, rc, STR("{}"));
}

void chats_set_links(struct app *app, const struct json *links, chats_fn *fn, void *arg)
{
    const struct json *groups = json_get(links, "groups");
    struct people_group *list = mem_zalloc(GROUPS_MAX * sizeof *list);
    struct str *identities = mem_zalloc(GROUPS_MAX * PEOPLE_IDENTITIES_MAX * sizeof *identities);
    struct links_wait *w = MEM_NEW(struct links_wait);
    unsigned n = 0;
    int rc = ERR_NOMEM;

    for (const struct json *g = json_first(groups); list && identities && g != NULL && n < GROUPS_MAX;
         g = json_next(g)) {
        struct str *at = identities + n * PEOPLE_IDENTITIES_MAX;
        unsigned k = 0;

        for (const struct json *i = json_first(g); i != NULL && k < PEOPLE_IDENTITIES_MAX; i = json_next(i))
            if (json_str(i).n > 0)
                at[k++] = json_str(i);
        if (k > 0)
            list[n++] = (struct people_group){at, k};
    }
    if (list != NULL && identities != NULL && w != NULL) {
        *w = (struct links_wait){app, fn, arg};
        rc = people_set_config_links(app->store, list, n, on_links, w);
    }
    if (rc < 0) {
        mem_free(w);
        fn(arg, rc, STR("{}"));
    }
    if (app->owners != NULL)
        owners_set(app->owners, json_get(links, "owners"));
    mem_free(list);
    mem_free(identities);
}

/* ---- Codes on the phone ---- */

struct linking {
    struct app *app;
    char call[ID_BYTES], tool_call[CALL_TOOL_ID_BYTES];
    char number[24], code[CODE_DIGITS + 1];
    unsigned tries;
};

static void linking_over(struct linking *l, int rc, const char *text)
{
    calls_tool_done(l->app->calls, str_of(l->call), str_of(l->tool_call), rc, str_of(text));
    mem_free(l);
}

static int make_code(struct linking *l);

static void on_code_made(void *arg, int rc)
{
    struct linking *l = arg;
    char text[240];

    if (rc == ERR_DUPLICATE && l->tries++ < 5 && make_code(l) == 0)
        return; /* somebody else's open code has the same digits */
    if (rc < 0) {
        linking_over(l, rc, "No code could be made. Say so honestly.");
        return;
    }
    (void)snprintf(text, sizeof text, "The code is %c %c %c, %c %c %c. Say it slowly, digit by digit, and ask the "
                   "caller to send it as a message in their chat with the assistant within %u minutes.", l->code[0],
                   l->code[1], l->code[2], l->code[3], l->code[4], l->code[5],
                   l->app->config->sessions.link_timeout_min);
    linking_over(l, 0, text);
}

static void on_code_said(void *arg, int rc, const struct people_code_result *r)
{
    struct linking *l = arg;

    if (rc < 0 || !r->fits) {
        linking_over(l, 0, "The code is wrong or too old. Say so politely.");
        return;
    }
    app_persons_changed(l->app);
    linking_over(l, 0, "Linked: this number and that chat belong together from now on. Say so.");
}

static void voice_identity(char *out, size_t cap, const struct linking *l)
{
    (void)snprintf(out, cap, "voice:%s", l->number);
}

static int make_code(struct linking *l)
{
    uint64_t minutes = l->app->config->sessions.link_timeout_min;
    char identity[40];
    uint32_t raw;
    int rc = id_random(&raw, sizeof raw);

    voice_identity(identity, sizeof identity, l);
    (void)snprintf(l->code, sizeof l->code, "%06u", raw % 1000000u);
    if (rc == 0)
        rc = people_code_make(l->app->store, str_of(identity), str_of(l->call), str_of(l->code),
                              clock_wall_ms() + minutes * 60000u, on_code_made, l);
    return rc;
}

void chats_link_tool(struct app *app, struct str call, struct str tool_call, struct str number, struct str code)
{
    struct linking *l = MEM_NEW(struct linking);
    char identity[40];
    int rc;

    if (l == NULL)
        return; /* the tool's time limit answers */
    l->app = app;
    (void)str_copy(l->call, sizeof l->call, call);
    (void)str_copy(l->tool_call, sizeof l->tool_call, tool_call);
    (void)str_copy(l->number, sizeof l->number, number);
    voice_identity(identity, sizeof identity, l);
    rc = code.n > 0 ? people_code_use(app->store, str_of(identity), code, clock_wall_ms(), on_code_said, l)
                    : make_code(l);
    if (rc < 0)
        mem_free(l); /* the tool's time limit answers */
}
