/* SPDX-License-Identifier: MIT */
#include "plugin/natives.h"

#include "memory/index.h"
#include "memory/people.h"
#include "plugin/afters.h"
#include "plugin/app.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "plugin/call/call.h"
#include "plugin/calls.h"
#include "plugin/chats.h"
#include "plugin/net/loop.h"
#include "plugin/questions.h"
#include "plugin/steer.h"

#include <stdio.h>
#include <string.h>

#define SEARCH_LIMIT 6
#define SEARCH_LIMIT_MAX 20
#define GET_LINES 60
#define GET_LINES_MAX 200

static const struct declared {
    const char *name, *description, *parameters;
} declared[] = {
    {"memory_search",
     "Searches the user's memory files and earlier calls. Fast: use it before ask_openclaw when the answer may "
     "have been written down.",
     "{\"type\":\"object\",\"properties\":{\"query\":{\"type\":\"string\",\"description\":\"Words to look "
     "for\"},\"limit\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":20}},\"required\":[\"query\"]}"},
    {"memory_get",
     "Reads lines of a memory file that memory_search named.",
     "{\"type\":\"object\",\"properties\":{\"path\":{\"type\":\"string\"},\"from\":{\"type\":\"integer\","
     "\"minimum\":1},\"lines\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":200}},\"required\":[\"path\"]}"},
    {"link_chat",
     "Links this caller's number with their chat (Telegram, Discord ...), so that it is one conversation. Without a "
     "code it makes one for the caller to type in the chat; with one it takes the code the caller was shown there.",
     "{\"type\":\"object\",\"properties\":{\"code\":{\"type\":\"string\",\"description\":\"Six digits the caller "
     "said\"}}}"},
    {"handoff",
     "Sends what was said in this call to the caller's chat, where the conversation can go on. Use it when the caller "
     "says something like: send me that on Telegram.",
     "{\"type\":\"object\",\"properties\":{\"channel\":{\"type\":\"string\",\"description\":\"telegram, discord "
     "...\"},\"reason\":{\"type\":\"string\",\"description\":\"What they want there, with the content to send, in "
     "full\"}},\"required\":[\"channel\"]}"},
    {"ask_owner",
     "Asks the person you call for, your owner, in their chat, and waits for the answer: for a decision or a fact that "
     "only they can give. Say first that you ask them. The person on the telephone may hear the answer.",
     "{\"type\":\"object\",\"properties\":{\"question\":{\"type\":\"string\",\"description\":\"One question that "
     "can be understood without having heard the call, with the choices there are\"}},\"required\":[\"question\"]}"},
    {"remember_caller",
     "Keeps what the caller says of themselves for later calls: their name, the language they want, a short note. "
     "Only what they said and want kept.",
     "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"language\":{\"type\":\"string\"},"
     "\"note\":{\"type\":\"string\"}}}"},
};

void natives_of(struct natives *out, const struct app *app, const struct access *access, struct str number)
{
    const struct config *c = app->config;
    bool search = c->integration.memory_enabled && app->index != NULL &&
                  (access->private_memory || (access->own_history && number.n > 0));

    *out = (struct natives){.n = 0};
    if (search)
        out->names[out->n++] = "memory_search";
    if (search && access->private_memory)
        out->names[out->n++] = "memory_get";
    if (access->own_history && number.n > 0 && c->sessions.caller_history_enabled)
        out->names[out->n++] = "remember_caller";
    if (access->own_chats && c->integration.handoff_enabled && host_serves(app->host))
        out->names[out->n++] = "handoff";
    else if (access->own_history && number.n > 0 && c->sessions.auto_link_by_phone &&
             c->integration.auto_link_sessions && host_serves(app->host))
        out->names[out->n++] = "link_chat";
}

void natives_add(struct natives *out, const char *name)
{
    if (out->n < NATIVES_MAX)
        out->names[out->n++] = name;
}

unsigned natives_declare(struct rt_session_tool *out, const struct natives *natives)
{
    unsigned n = 0;

    for (unsigned i = 0; i < natives->n; i++)
        for (size_t d = 0; d < sizeof declared / sizeof *declared; d++)
            if (strcmp(natives->names[i], declared[d].name) == 0)
                out[n++] = (struct rt_session_tool){str_of(declared[d].name),
                                                    str_of(declared[d].description),
                                                    str_of(declared[d].parameters)};
    n += steer_declare(out + n, natives);
    return n;
}

/* ---- Answers ---- */

struct native { /* one question under way; first a message, so that a refusal can be posted */
    struct loop_msg msg;
    struct app *app;
    char call[ID_BYTES], tool_call[CALL_TOOL_ID_BYTES];
    int rc;
    char words[480]; /* of an answer that is posted */
};

static void answer(struct native *n, int rc, struct str text)
{
    calls_tool_done(n->app->calls, str_of(n->call), str_of(n->tool_call), rc, text);
    mem_free(n);
}

static void on_posted(struct loop_msg *m)
{
    struct native *n = (struct native *)(void *)m;

    answer(n, n->rc, str_of(n->words));
}

/* The machine must not be fed from inside its own effects. */
static void answer_later(struct native *n, int rc, struct str words)
{
    n->msg.run = on_posted;
    n->rc = rc;
    (void)str_copy(n->words, sizeof n->words, str_head(words, sizeof n->words - 1));
    if (loop_post(n->app->loop, &n->msg) < 0)
        mem_free(n);
}

static struct native *native_new(struct app *app, struct str call, struct str tool_call)
{
    struct native *n = MEM_NEW(struct native);

    if (n == NULL)
        return NULL; /* the tool's time limit answers */
    n->app = app;
    (void)str_copy(n->call, sizeof n->call, call);
    (void)str_copy(n->tool_call, sizeof n->tool_call, tool_call);
    return n;
}

void natives_answer(struct app *app, struct str call, struct str tool_call, int rc, struct str text)
{
    struct native *n = native_new(app, call, tool_call);

    if (n != NULL)
        answer_later(n, rc, text);
}

static void refuse(struct native *n, const char *why)
{
    answer_later(n, ERR_INVALID, str_of(why));
}

static void on_found(void *arg, int rc, struct str json)
{
    if (rc == ERR_NOT_FOUND || rc == ERR_DENIED)
        answer(arg, 0, STR("There is no such memory file."));
    else if (rc < 0)
        answer(arg, rc, STR("The memory does not answer now. Use ask_openclaw, or say so honestly."));
    else
        answer(arg, 0, json);
}

static void on_kept(void *arg, int rc)
{
    answer(arg, rc, rc < 0 ? STR("It could not be kept. Say so honestly.") : STR("Kept."));
}

/* ---- The tools ---- */

static int clamp(int64_t v, int low, int high)
{
    return v < low ? low : v > high ? high : (int)v;
}

static int search(struct native *n, const struct native_ask *ask, const struct json *args)
{
    struct index_scope scope = {.files = ask->access.private_memory, .person = ask->person,
                                .number = ask->number};

    return index_search(n->app->index, &scope, json_get_str(args, "query"),
                        (unsigned)clamp(json_get_int(args, "limit", SEARCH_LIMIT), 1, SEARCH_LIMIT_MAX),
                        on_found, n);
}

static int get(struct native *n, const struct native_ask *ask, const struct json *args)
{
    struct index_scope scope = {.files = ask->access.private_memory, .person = ask->person,
                                .number = ask->number};

    return index_get(n->app->index, &scope, json_get_str(args, "path"),
                     (unsigned)clamp(json_get_int(args, "from", 1), 1, INT32_MAX),
                     (unsigned)clamp(json_get_int(args, "lines", GET_LINES), 1, GET_LINES_MAX), on_found, n);
}

static int remember(struct native *n, const struct native_ask *ask, const struct json *args)
{
    struct people_update u = {.name = str_head(json_get_str(args, "name"), 200),
                              .language = str_head(json_get_str(args, "language"), 40),
                              .note = str_head(json_get_str(args, "note"), 500)};

    return people_update(n->app->store, ask->number, &u, on_kept, n);
}

static void on_handed(void *arg, int rc, struct str id, struct str text)
{
    char words[200];

    (void)id;
    (void)snprintf(words, sizeof words, rc < 0 ? "It was not sent: %.*s. Say so honestly." : "It is on its way (%.*s).",
                   STR_ARG(str_head(text, 120)));
    answer_later(arg, rc, str_of(words)); /* it may be called at once */
}

static bool channel_named(const struct config *c, struct str channel)
{
    for (unsigned i = 0; i < c->integration.handoff_channels.n; i++)
        if (str_eqc(channel, c->integration.handoff_channels.v[i]))
            return true;
    return false;
}

static int hand_over(struct native *n, const struct native_ask *ask, const struct json *args)
{
    struct handoff_ask h = {.call = ask->call, .number = ask->number, .session_key = ask->session_key,
                            .channel = json_get_str(args, "channel"),
                            .reason = str_head(json_get_str(args, "reason"), 2500)};

    if (!channel_named(n->app->config, h.channel))
        return ERR_INVALID;
    afters_handoff(n->app, &h, on_handed, n);
    return 0;
}

static int link(struct native *n, const struct native_ask *ask, const struct json *args)
{
    struct app *app = n->app;

    mem_free(n);
    chats_link_tool(app, ask->call, ask->tool_call, ask->number, str_trim(json_get_str(args, "code")));
    return 0;
}

void natives_run(struct app *app, const struct native_ask *ask)
{
    struct native *n;
    struct json *args = NULL;
    int rc;

    if (steer_run(app, ask))
        return;
    if (str_eqc(ask->name, "ask_owner")) {
        questions_ask(app, ask);
        return;
    }
    n = native_new(app, ask->call, ask->tool_call);
    if (n == NULL)
        return;
    if (json_parse(&args, ask->arguments, NULL) < 0) {
        refuse(n, "The arguments were not understood. Call the tool again with a JSON object.");
        return;
    }
    if (str_eqc(ask->name, "memory_search"))
        rc = search(n, ask, args);
    else if (str_eqc(ask->name, "memory_get"))
        rc = get(n, ask, args);
    else if (str_eqc(ask->name, "handoff"))
        rc = hand_over(n, ask, args);
    else if (str_eqc(ask->name, "link_chat"))
        rc = link(n, ask, args);
    else
        rc = remember(n, ask, args);
    json_free(args);
    if (rc < 0)
        refuse(n, "This cannot be done now. Say so honestly.");
}
