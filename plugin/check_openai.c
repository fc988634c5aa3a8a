/* SPDX-License-Identifier: MIT */
/*
 * The key, the project, the models, this machine's clock, and the session as a call would send it: OpenAI is asked
 * to make a client secret for it, which checks every field and begins nothing.
 */
#include "plugin/check_int.h"

#include "plugin/base/clock.h"
#include "plugin/base/json.h"
#include "plugin/prompt.h"
#include "plugin/proto/date.h"
#include "plugin/proto/sig.h"
#include "plugin/realtime/rt_rest.h"

#include <stdio.h>
#include <string.h>

#define SESSION_BYTES (1u << 20)
#define CLOCK_WARN_S 30
#define VOICES "alloy, ash, ballad, coral, echo, sage, shimmer, verse, marin or cedar"

/* ---- Answers ---- */

static struct str error_text(const struct json *doc)
{
    return str_head(json_get_str(json_get(doc, "error"), "message"), 300);
}

/* What is wrong with any question alike. false: the answer is about the question itself. */
static bool tell_trouble(struct findings *f, const char *check, const struct rt_answer *a, const struct json *doc)
{
    struct str code = json_get_str(json_get(doc, "error"), "code");

    if (a->status == 0)
        finding_add(f, FINDING_FAIL, check, "Look at this machine's network, name server and firewall, and at "
                    "channels.voice.openai.base_url and ca_file.", "OpenAI cannot be reached: %.*s", STR_ARG(a->text));
    else if (a->status == 429 && str_eqc(code, "insufficient_quota"))
        finding_add(f, FINDING_FAIL, check, "Look at the project's billing and limits at "
                    "https://platform.openai.com/settings.", "the quota is used up: %.*s", STR_ARG(error_text(doc)));
    else if (a->status == 429)
        finding_add(f, FINDING_WARN, check, "Try again in a minute.", "OpenAI answered 429, too many requests");
    else if (a->status >= 500)
        finding_add(f, FINDING_FAIL, check, "A fault at OpenAI: look at https://status.openai.com and try again.",
                    "OpenAI answered %d", a->status);
    else
        return false;
    return true;
}

/* ---- Clock ---- */

static void tell_clock(struct check_run *r, const struct rt_answer *a)
{
    static const char cure[] = "Let NTP set the clock: `timedatectl set-ntp true`.";
    struct findings *f = &r->part[PART_OPENAI_KEY];
    uint64_t theirs, now_s = clock_wall_ms() / 1000;
    int64_t off;

    if (a->status == 0 || !date_read(a->date, &theirs)) {
        finding_add(f, FINDING_SKIP, "openai.clock", NULL, "OpenAI's answer tells no time");
        return;
    }
    off = (int64_t)now_s - (int64_t)theirs;
    if (off > SIG_TOLERANCE_S || off < -SIG_TOLERANCE_S)
        finding_add(f, FINDING_FAIL, "openai.clock", cure, "this machine's clock is %lld s %s: webhooks are refused "
                    "beyond %d s", (long long)(off < 0 ? -off : off), off < 0 ? "behind" : "ahead", SIG_TOLERANCE_S);
    else if (off > CLOCK_WARN_S || off < -CLOCK_WARN_S)
        finding_add(f, FINDING_WARN, "openai.clock", cure, "this machine's clock is %lld s %s; beyond %d s webhooks "
                    "are refused", (long long)(off < 0 ? -off : off), off < 0 ? "behind" : "ahead", SIG_TOLERANCE_S);
    else
        finding_add(f, FINDING_OK, "openai.clock", NULL, "this machine's clock agrees with OpenAI's");
}

/* ---- The key and the model ---- */

static const char *model_of(const struct check_run *r)
{
    return r->app->config->openai.model;
}

static void tell_model(struct findings *f, const char *check, const char *key, const char *model,
                       const struct json *doc)
{
    struct str gone = json_get_str(doc, "shutdown_date");
    char cure[200];

    (void)snprintf(cure, sizeof cure, "Set %s to its successor.", key);
    if (gone.n > 0)
        finding_add(f, FINDING_WARN, check, cure, "OpenAI shuts %s down on %.*s", model, STR_ARG(str_head(gone, 20)));
    else
        finding_add(f, FINDING_OK, check, NULL, "the project has %s", model);
}

static void tell_no_model(struct findings *f, const char *check, const char *key, const char *model,
                          const char *usual)
{
    char cure[300];

    (void)snprintf(cure, sizeof cure, "Write %s: %s, or let the project's limits allow %s.", key, usual, model);
    finding_add(f, FINDING_FAIL, check, cure, "OpenAI does not know %s, or the project may not use it (404)", model);
}

static void tell_denied(struct findings *f, int status, const struct json *doc)
{
    struct str code = json_get_str(json_get(doc, "error"), "code"), text = error_text(doc);

    if (status == 401 && str_find_str(code, STR("project")) == code.n)
        finding_add(f, FINDING_FAIL, "openai.key", "Make a key at https://platform.openai.com/api-keys and write it "
                    "whole into channels.voice.openai.api_key (or OPENAI_API_KEY); it begins with sk-.",
                    "OpenAI refuses the key (401): %.*s", STR_ARG(text));
    else
        finding_add(f, FINDING_FAIL, "openai.key", "Make the key in the project of channels.voice.openai.project_id, "
                    "and let it use models and Realtime.", "the key may not be used in this project (%d): %.*s", status,
                    STR_ARG(text));
}

static void on_model(void *arg, const struct rt_answer *a)
{
    struct check_run *r = arg;
    struct findings *f = &r->part[PART_OPENAI_KEY];
    struct json *doc = NULL;

    (void)json_parse(&doc, a->body, NULL);
    if (tell_trouble(f, "openai.key", a, doc)) {
        finding_add(f, FINDING_SKIP, "openai.model", NULL, "not told without an answer");
    } else if (a->status == 401 || a->status == 403) {
        tell_denied(f, a->status, doc);
        finding_add(f, FINDING_SKIP, "openai.model", NULL, "not told while the key is refused");
    } else if (a->status == 200 || a->status == 404) {
        finding_add(f, FINDING_OK, "openai.key", NULL, "OpenAI takes the key");
        if (a->status == 200)
            tell_model(f, "openai.model", "channels.voice.openai.model", model_of(r), doc);
        else
            tell_no_model(f, "openai.model", "channels.voice.openai.model", model_of(r), "gpt-realtime-2.1");
    } else {
        finding_add(f, FINDING_FAIL, "openai.key", "Look at channels.voice.openai.base_url: is that OpenAI's API?",
                    "OpenAI answered %d: %.*s", a->status, STR_ARG(error_text(doc)));
    }
    tell_clock(r, a);
    json_free(doc);
    check_release(r);
}

static void on_hearing(void *arg, const struct rt_answer *a)
{
    struct check_run *r = arg;
    struct findings *f = &r->part[PART_OPENAI_HEARING];
    const char *model = r->app->config->openai.transcription_model;
    static const char key[] = "channels.voice.openai.transcription_model";
    struct json *doc = NULL;

    (void)json_parse(&doc, a->body, NULL);
    if (a->status == 200)
        tell_model(f, "openai.transcription", key, model, doc);
    else if (a->status == 404)
        tell_no_model(f, "openai.transcription", key, model, "gpt-transcribe");
    else
        finding_add(f, FINDING_SKIP, "openai.transcription", NULL, "not told: see openai.key");
    json_free(doc);
    check_release(r);
}

/* ---- The session ---- */

static const char *session_cure(struct str param, struct str text)
{
    if (str_find_str(param, STR("voice")) < param.n || str_find_str(text, STR("voice")) < text.n)
        return "Write " VOICES " into channels.voice.openai.voice or the agent file.";
    if (str_find_str(param, STR("transcription")) < param.n)
        return "Correct channels.voice.openai.transcription_model or transcription_language.";
    if (str_find_str(param, STR("model")) < param.n)
        return "Correct channels.voice.openai.model or the agent file's model.";
    if (str_find_str(param, STR("tools")) < param.n)
        return "Correct the tools in the agent file.";
    return "Correct what it names in channels.voice.openai or the agent file; calls would be refused in the same way.";
}

static void on_session(void *arg, const struct rt_answer *a)
{
    struct check_run *r = arg;
    struct findings *f = &r->part[PART_OPENAI_SESSION];
    struct json *doc = NULL;
    struct str param, text;

    (void)json_parse(&doc, a->status >= 300 ? a->body : STR("{}"), NULL);
    param = json_get_str(json_get(doc, "error"), "param");
    text = error_text(doc);
    if (a->status >= 200 && a->status < 300)
        finding_add(f, FINDING_OK, "openai.session", NULL, "OpenAI takes the session as calls send it: model, voice, "
                    "transcription, tools");
    else if (a->status == 400 || a->status == 404 || a->status == 422)
        finding_add(f, FINDING_FAIL, "openai.session", session_cure(param, text), "OpenAI refuses the session (%d): "
                    "%.*s", a->status, STR_ARG(text));
    else if (a->status == 403)
        finding_add(f, FINDING_FAIL, "openai.session", "Give the key the permission for Realtime, or make an "
                    "unrestricted one.", "the key may not begin sessions (403): %.*s", STR_ARG(text));
    else
        finding_add(f, FINDING_SKIP, "openai.session", NULL, "not told: see openai.key");
    json_free(doc);
    check_release(r);
}

/* As a call of somebody who may use everything would send it. */
static int make_session(struct check_run *r, struct buf *out)
{
    const struct config *c = r->app->config;
    struct agent *agent = NULL;
    struct prompt_input in = {.config = c, .level = CALLER_PROVEN, .from = STR(""), .context = STR(""),
                              .ask_available = true, .pin_available = c->security.pin_hash[0] != '\0'};
    struct config nameless = *c;
    int rc = agent_read(&agent, c, NULL);

    if (rc < 0 && rc != ERR_NOMEM) { /* so do calls; see agent.file */
        nameless.agent_file = "";
        rc = agent_read(&agent, &nameless, NULL);
    }
    in.agent = agent;
    if (rc == 0)
        rc = prompt_session(out, &in);
    agent_free(agent);
    return rc;
}

static void ask_session(struct check_run *r)
{
    struct findings *f = &r->part[PART_OPENAI_SESSION];
    struct buf session;
    int rc;

    buf_init(&session, SESSION_BYTES);
    rc = make_session(r, &session);
    if (rc < 0) {
        finding_add(f, FINDING_SKIP, "openai.session", NULL, "no session could be written: %s", err_name(rc));
    } else {
        check_hold(r);
        rc = rt_try_session(r->app->api, buf_str(&session), on_session, r);
        if (rc < 0) {
            finding_add(f, FINDING_FAIL, "openai.session", "Try again.", "OpenAI could not be asked: %s", err_name(rc));
            check_release(r);
        }
    }
    buf_free(&session);
}

/* ---- What the configuration alone tells ---- */

static void tell_project(struct check_run *r)
{
    static const char cure[] = "Copy it from https://platform.openai.com/settings, General: proj_ and letters.";
    struct findings *f = &r->part[PART_OPENAI_KEY];
    const char *id = r->app->config->openai.project_id;

    if (id[0] == '\0')
        finding_add(f, check_has_carrier(r->app) ? FINDING_FAIL : FINDING_WARN, "openai.project", cure,
                    "channels.voice.openai.project_id is not set: %s", check_has_carrier(r->app)
                    ? "the model cannot be called into a conference" : "the SIP address of OpenAI needs it");
    else if (strncmp(id, "proj_", 5) != 0 || id[5] == '\0')
        finding_add(f, FINDING_FAIL, "openai.project", cure, "channels.voice.openai.project_id is %s and no project's "
                    "id: calls to sip:%s@sip.api.openai.com reach nobody", id, id);
    else
        finding_add(f, FINDING_OK, "openai.project", NULL, "%s", id);
}

static void tell_model_name(struct check_run *r)
{
    const char *model = model_of(r);

    if (strstr(model, "realtime") == NULL && strncmp(model, "gpt-audio", 9) != 0)
        finding_add(&r->part[PART_OPENAI_KEY], FINDING_WARN, "openai.model", "Write gpt-realtime-2.1, unless you know "
                    "better.", "%s does not look like a Realtime model", model);
}

static void ask_model(struct check_run *r, enum check_part part, const char *check, const char *model,
                      rt_answer_fn *fn)
{
    int rc;

    check_hold(r);
    rc = rt_model(r->app->api, str_of(model), fn, r);
    if (rc == 0)
        return;
    finding_add(&r->part[part], FINDING_FAIL, check, "Try again.", "OpenAI could not be asked: %s", err_name(rc));
    check_release(r);
}

void check_openai(struct check_run *r)
{
    const struct config *c = r->app->config;

    tell_project(r);
    tell_model_name(r);
    ask_model(r, PART_OPENAI_KEY, "openai.key", model_of(r), on_model);
    ask_session(r);
    if (c->openai.transcription_model[0] != '\0')
        ask_model(r, PART_OPENAI_HEARING, "openai.transcription", c->openai.transcription_model, on_hearing);
}
