/* SPDX-License-Identifier: MIT */
/*
 * What setting up wants to know of the account: whether each auth token is good, the account in order, and each
 * number ours, able to speak, and led to us. It only ever asks with GET. All questions go out at once; each has a
 * list of its own, so that the answers' order does not show.
 */
#include "plugin/carrier/twilio_int.h"

#include "plugin/base/mem.h"
#include "plugin/base/secret.h"
#include "plugin/proto/form.h"

#include <stdio.h>
#include <string.h>

#define CHECK_MS 15000u
#define NTH_BYTES 64
#define VOICE_PATH "/twilio/voice"
#define PROBE_PATH "/twilio/status"
/* A call that never was. */
#define NO_CALL "CA00000000000000000000000000000000"
#define CONSOLE "https://console.twilio.com"

struct slot {
    struct findings found;
    char *authorization; /* of a token's question */
};

struct twilio_check {
    struct twilio *t;
    struct twilio_check *prev, *next;
    struct carrier_check ask;
    struct slot *slots;  /* tokens, then numbers */
    unsigned n, open;
    bool account_told;   /* by one of the tokens */
};

/* ---- The check as such. ---- */

static unsigned n_slots(const struct carrier_check *ask)
{
    return ask->n_auth_tokens + ask->n_numbers;
}

void twilio_check_free(struct twilio_check *ck)
{
    if (ck == NULL)
        return;
    if (ck->prev != NULL)
        ck->prev->next = ck->next;
    else if (ck->t->checks == ck)
        ck->t->checks = ck->next;
    if (ck->next != NULL)
        ck->next->prev = ck->prev;
    for (unsigned i = 0; i < ck->n; i++) {
        findings_free(&ck->slots[i].found);
        if (ck->slots[i].authorization != NULL)
            secret_wipe(ck->slots[i].authorization, strlen(ck->slots[i].authorization));
        mem_free(ck->slots[i].authorization);
    }
    mem_free(ck->slots);
    mem_free(ck);
}

static void one_done(struct twilio_check *ck)
{
    struct carrier_check ask = ck->ask;

    if (--ck->open > 0)
        return;
    for (unsigned i = 0; i < ck->n; i++)
        findings_join(ask.out, &ck->slots[i].found);
    twilio_check_free(ck);
    ask.done(ask.arg);
}

/* The question of a slot is answered. */
static void job_done(struct twilio_job *j)
{
    struct twilio_check *ck = j->check;

    twilio_job_free(j);
    one_done(ck);
}

/* ---- Answers that say no. ---- */

struct refusal {
    char text[FINDING_TEXT_BYTES];
    const char *cure;
};

static void read_refusal(struct refusal *out, const struct httpc_result *r)
{
    int status = twilio_status(r);
    struct json *doc = NULL;
    struct str message = STR("");

    if (status == 0) {
        (void)snprintf(out->text, sizeof out->text, "Twilio cannot be reached: %.*s",
                       STR_ARG(r->text.n > 0 ? r->text : str_of(err_name(r->err))));
        out->cure = "Look at this machine's network, name server and firewall, and at channels.voice.twilio.base_url, "
                    "region and edge.";
        return;
    }
    if (json_parse(&doc, r->body, NULL) == 0)
        message = json_get_str(doc, "message");
    (void)snprintf(out->text, sizeof out->text, "Twilio answered %d%s%.*s", status, message.n > 0 ? ": " : "",
                   STR_ARG(str_head(message, 300)));
    out->cure = status == 429 ? "Too many requests at once: try again in a minute."
                : status >= 500
                    ? "A fault at Twilio: look at https://status.twilio.com and try again."
                    : "Compare channels.voice.twilio.account_sid, region and base_url with Twilio's console.";
    json_free(doc);
}

/* ---- Tokens and the account. ---- */

static void nth(char out[NTH_BYTES], const struct twilio_job *j)
{
    if (j->check->ask.n_auth_tokens < 2)
        (void)snprintf(out, NTH_BYTES, "the auth token");
    else
        (void)snprintf(out, NTH_BYTES, "auth token %u of %u", j->slot + 1, j->check->ask.n_auth_tokens);
}

static void on_account(const struct twilio_job *j, struct findings *f, const struct json *doc)
{
    struct str status = json_get_str(doc, "status"), type = json_get_str(doc, "type");
    struct str name = json_get_str(doc, "friendly_name");

    if (j->check->account_told)
        return;
    j->check->account_told = true;
    if (!str_eqc(status, "active"))
        finding_add(f, FINDING_FAIL, "twilio.account", "Look at the account's notices at " CONSOLE ".",
                    "the account is %.*s, so it neither places nor takes calls", STR_ARG(str_head(status, 40)));
    else if (str_eqc(type, "Trial"))
        finding_add(f, FINDING_WARN, "twilio.account", "Upgrade the account, or verify the numbers that you call.",
                    "the account is a trial: it calls verified numbers alone and speaks a notice first");
    else
        finding_add(f, FINDING_OK, "twilio.account", NULL, "%.*s is active", STR_ARG(str_head(name, 80)));
}

static void on_token(struct twilio_job *j, const struct httpc_result *r, const struct json *doc)
{
    struct findings *f = &j->check->slots[j->slot].found;
    bool first = j->slot == 0;
    struct refusal no;
    char name[NTH_BYTES];

    nth(name, j);
    if (twilio_status(r) == 200 && doc != NULL) {
        finding_add(f, FINDING_OK, "twilio.auth_token", NULL, "Twilio takes %s", name);
        on_account(j, f, doc);
    } else if (twilio_status(r) == 401) {
        finding_add(f, first ? FINDING_FAIL : FINDING_WARN, "twilio.auth_token",
                    first ? "Copy account SID and primary auth token from the first page of " CONSOLE " into "
                            "channels.voice.twilio (a region has a token of its own)."
                          : "Remove it from channels.voice.twilio.auth_token once the rotation is over.",
                    "Twilio refuses %s (401)%s", name,
                    first ? ": no request is taken, and callbacks signed with the right one are refused" : "");
    } else {
        read_refusal(&no, r);
        finding_add(f, FINDING_FAIL, "twilio.account", no.cure, "%s", no.text);
    }
    job_done(j);
}

/* ---- Numbers. ---- */

static const char *number_of(const struct twilio_job *j)
{
    return j->check->ask.numbers[j->slot - j->check->ask.n_auth_tokens];
}

static int ask_list(struct twilio_job *j, const char *list, twilio_reply_fn *reply)
{
    struct buf path;
    int rc;

    buf_init(&path, TWILIO_PATH_BYTES);
    (void)buf_printf(&path, "/%s.json?", list);
    form_put(&path, "PhoneNumber", str_of(number_of(j)));
    rc = path.rc < 0 ? path.rc : twilio_send(j, "GET", buf_str(&path), STR_NONE, reply);
    buf_free(&path);
    return rc;
}

static void tell_voice_url(const struct twilio_job *j, struct findings *f, const struct json *number)
{
    struct str url = json_get_str(number, "voice_url"), method = json_get_str(number, "voice_method");
    char want[512], cure[FINDING_TEXT_BYTES];

    (void)snprintf(want, sizeof want, "%s" VOICE_PATH, j->t->public_url);
    (void)snprintf(cure, sizeof cure, "At " CONSOLE ", Phone Numbers, %s, \"A call comes in\": Webhook, HTTP POST, %s",
                   number_of(j), want);
    if (url.n == 0)
        finding_add(f, FINDING_FAIL, "twilio.number", cure, "%s has no voice URL: calls to it do not come here",
                    number_of(j));
    else if (!str_eqc(url, want))
        finding_add(f, FINDING_FAIL, "twilio.number", cure, "calls to %s go to %.*s and not here", number_of(j),
                    STR_ARG(str_head(url, 200)));
    else if (method.n > 0 && !str_eqc(method, "POST"))
        finding_add(f, FINDING_FAIL, "twilio.number", cure, "%s asks its voice URL with %.*s instead of POST",
                    number_of(j), STR_ARG(str_head(method, 10)));
    else
        finding_add(f, FINDING_OK, "twilio.number", NULL, "%s is ours, can speak, and calls to it come to %s",
                    number_of(j), want);
}

static void tell_number(const struct twilio_job *j, struct findings *f, const struct json *number)
{
    const char *name = number_of(j);
    struct str trunk = json_get_str(number, "trunk_sid"), app = json_get_str(number, "voice_application_sid");

    if (!json_bool(json_at(number, "capabilities", "voice"), true))
        finding_add(f, FINDING_FAIL, "twilio.number", "Take a number that can do voice.", "%s cannot do voice", name);
    else if (trunk.n > 0)
        finding_add(f, FINDING_WARN, "twilio.number",
                    "Take the number off the trunk and set its voice URL, if calls to it shall be held or recorded.",
                    "calls to %s go over the SIP trunk %.*s straight to OpenAI", name,
                    STR_ARG(str_head(trunk, 40)));
    else if (app.n > 0)
        finding_add(f, FINDING_FAIL, "twilio.number",
                    "Choose \"Webhook\" instead of the TwiML app for calls that come in.",
                    "calls to %s go to the TwiML app %.*s, and its voice URL does not count", name,
                    STR_ARG(str_head(app, 40)));
    else
        tell_voice_url(j, f, number);
}

/* No number of the account: perhaps one whose owner has shown that they may use it. */
static void on_verified(struct twilio_job *j, const struct httpc_result *r, const struct json *doc)
{
    struct findings *f = &j->check->slots[j->slot].found;

    if (twilio_status(r) == 200 && json_first(json_get(doc, "outgoing_caller_ids")) != NULL)
        finding_add(f, FINDING_WARN, "twilio.number", "Buy or port a number, if people shall call it.",
                    "%s is verified but no number of the account: it can be shown, calls to it do not come here",
                    number_of(j));
    else
        finding_add(f, FINDING_FAIL, "twilio.number",
                    "Write a number of this account into channels.voice.twilio.phone_number, or buy one at "
                    CONSOLE ".",
                    "%s is no number of the account: calls that show it are refused (21210)", number_of(j));
    job_done(j);
}

static void on_number(struct twilio_job *j, const struct httpc_result *r, const struct json *doc)
{
    struct findings *f = &j->check->slots[j->slot].found;
    const struct json *number = json_first(json_get(doc, "incoming_phone_numbers"));
    struct refusal no;

    if (twilio_status(r) == 200 && number == NULL && ask_list(j, "OutgoingCallerIds", on_verified) == 0)
        return;
    read_refusal(&no, r);
    if (number != NULL)
        tell_number(j, f, number);
    else if (twilio_status(r) == 401 && j->t->own_key)
        finding_add(f, FINDING_FAIL, "twilio.api_key",
                    "Make a new API key at " CONSOLE " and write its SID and secret.",
                    "Twilio refuses the API key (401)");
    else if (twilio_status(r) == 401)
        finding_add(f, FINDING_SKIP, "twilio.number", NULL, "%s: not asked for while the auth token is refused",
                    number_of(j));
    else
        finding_add(f, FINDING_FAIL, "twilio.number", no.cure, "%s: %s", number_of(j), no.text);
    job_done(j);
}

/* ---- Beginning. ---- */

static int ask_slot(struct twilio_check *ck, unsigned i)
{
    bool token = i < ck->ask.n_auth_tokens;
    struct twilio_job *j = twilio_job_open(ck->t, CHECK_MS);
    int rc;

    if (j == NULL)
        return ERR_NOMEM;
    j->check = ck;
    j->slot = i;
    if (token) {
        ck->slots[i].authorization = twilio_authorization(str_of(ck->t->account), str_of(ck->ask.auth_tokens[i]));
        j->authorization = ck->slots[i].authorization;
        rc = j->authorization == NULL ? ERR_NOMEM : twilio_send(j, "GET", STR(".json"), STR_NONE, on_token);
    } else {
        rc = ask_list(j, "IncomingPhoneNumbers", on_number);
    }
    if (rc < 0)
        twilio_job_free(j);
    return rc;
}

int twilio_check(struct carrier *c, const struct carrier_check *ask)
{
    struct twilio *t = (struct twilio *)c;
    struct twilio_check *ck;

    if (t->closing)
        return ERR_CLOSED;
    ck = MEM_NEW(struct twilio_check);
    if (ck == NULL)
        return ERR_NOMEM;
    ck->t = t;
    ck->ask = *ask;
    ck->slots = mem_zalloc((n_slots(ask) + 1) * sizeof *ck->slots);
    if (ck->slots == NULL) {
        mem_free(ck);
        return ERR_NOMEM;
    }
    ck->n = n_slots(ask);
    ck->next = t->checks;
    if (ck->next != NULL)
        ck->next->prev = ck;
    t->checks = ck;
    for (unsigned i = 0; i < ck->n; i++)
        findings_init(&ck->slots[i].found);
    for (unsigned i = 0; i < ck->n; i++) {
        if (ask_slot(ck, i) == 0)
            ck->open++;
        else
            finding_add(&ck->slots[i].found, FINDING_FAIL, "twilio.account", "Try again later.",
                        "no request could be sent to Twilio");
    }
    if (ck->open > 0)
        return 0;
    twilio_check_free(ck);
    return ERR_FULL;
}

/* ---- A webhook about nothing. ---- */

int twilio_probe(const struct carrier *c, struct carrier_probe *out)
{
    const struct twilio *t = (const struct twilio *)c;
    char signature[SIG_TWILIO_TEXT], url[2048];
    size_t body_n;
    int rc;

    buf_init(&out->text, 4096);
    out->path = PROBE_PATH;
    out->content_type = "application/x-www-form-urlencoded; charset=utf-8";
    out->header = "X-Twilio-Signature";
    form_put(&out->text, "AccountSid", str_of(t->account));
    form_put(&out->text, "CallSid", STR(NO_CALL));
    form_put(&out->text, "CallStatus", STR("completed"));
    /* Blanks, signs and letters that somebody on the way might write otherwise. */
    form_put(&out->text, "Check", STR("a b+c/d=e&f ~'* \xc3\xa4\xe2\x82\xac"));
    form_put(&out->text, "Empty", STR(""));
    body_n = out->text.n;
    (void)snprintf(url, sizeof url, "%s" PROBE_PATH, t->public_url);
    rc = out->text.rc < 0 ? out->text.rc : sig_twilio_sign(t->sig, str_of(url), buf_str(&out->text), signature);
    if (rc == 0)
        rc = buf_puts(&out->text, str_of(signature));
    out->body = str_head(buf_str(&out->text), body_n);
    out->signature = str_skip(buf_str(&out->text), body_n);
    return rc;
}
