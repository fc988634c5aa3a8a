/* SPDX-License-Identifier: MIT */
#include "plugin/questions.h"

#include "abi/openclaw_voice.h"
#include "memory/lines.h"
#include "plugin/app.h"
#include "plugin/base/clock.h"
#include "plugin/base/id.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "plugin/call/call.h"
#include "plugin/calls.h"
#include "plugin/natives.h"
#include "plugin/net/loop.h"
#include "plugin/notice.h"
#include "plugin/owner.h"

#include <stdio.h>
#include <string.h>

#define QUESTION_BYTES 1000u
#define ANSWER_BYTES 4000u
#define PURPOSE_BYTES 300u
#define AGAIN_MS 2000u
#define SEND_TRIES 4u      /* of a message whose fate is unknown */
#define PARKED_MAX 64u     /* messages that came before the questions of earlier runs were read */
#define SKEW_MS 60000u     /* how far a channel's clock may be behind ours */

static const char unreachable[] =
    "Your owner cannot be reached now. Say so honestly; do not guess an answer, and go on without it.";
static const char busy[] =
    "Your owner is being asked something else just now. Ask again in a minute, or go on without the answer.";
static const char one_is_open[] = "A question to your owner is open already. Wait for its answer; ask no second one.";
static const char enough[] = "You have asked your owner as often as one call allows. Go on with what you know.";

enum question_state { Q_SAVING, Q_ASKED, Q_OPEN, Q_ANSWERING, Q_ANSWERED };

struct question {
    struct question *next;
    struct questions *owner;
    enum question_state state;
    char id[ID_BYTES], call[ID_BYTES], tool_call[CALL_TOOL_ID_BYTES]; /* tool_call "": not begun again yet */
    char identity[OWNER_BYTES];
    char *text, *answer; /* owned; answer NULL: none */
    char *message;       /* owned; the words in the chat, NULL: sent, or not made yet */
    uint64_t asked_at, until; /* wall */
    uint64_t token;           /* the host's request, 0 none */
    uint64_t again_ms;        /* when the message is sent again; 0 never */
    unsigned tries;
};

struct parked { /* a message that waits for the rows */
    struct parked *next;
    questions_fn_answer *fn;
    void *arg;
    uint64_t at;
    char identity[OWNER_BYTES];
    char *text;
};

struct questions {
    struct app *app;
    struct question *first;
    struct parked *parked;
    unsigned n_parked;
    bool read; /* the rows of earlier runs */
    struct timer *timer;
};

/* ---- The list ---- */

static struct question *by_id(struct questions *qs, const char *id)
{
    struct question *q = qs->first;

    while (q != NULL && strcmp(q->id, id) != 0)
        q = q->next;
    return q;
}

/* The one of that chat whose answer is awaited, or overdue. */
static struct question *in_chat(struct questions *qs, struct str identity)
{
    struct question *q = qs->first;

    while (q != NULL && (!str_eqc(identity, q->identity) || q->state >= Q_ANSWERING))
        q = q->next;
    return q;
}

static void drop(struct question *q)
{
    struct question **at = &q->owner->first;

    while (*at != NULL && *at != q)
        at = &(*at)->next;
    if (*at == q)
        *at = q->next;
    if (q->token != 0)
        host_forget(q->owner->app->host, q->token);
    mem_free(q->text);
    mem_free(q->answer);
    mem_free(q->message);
    mem_free(q);
}

static void notify(const struct question *q, const char *state)
{
    struct app *app = q->owner->app;
    struct buf b;

    notice_begin(&b, OC_EV_QUESTION, str_of(q->call));
    jw_kstrc(&b, "id", q->id);
    jw_kstrc(&b, "identity", q->identity);
    jw_kstrc(&b, "state", state);
    notice_send(app, &b, OC_EV_QUESTION, str_of(q->call));
}

static int save(const struct question *q, const char *state, journal_fn *fn, void *arg)
{
    const struct question_row row = {
        .id = str_of(q->id), .call = str_of(q->call), .text = str_of(q->text), .identity = str_of(q->identity),
        .answer = str_of(q->answer != NULL ? q->answer : ""), .state = str_of(state), .asked_at = q->asked_at,
        .until = q->until, .answered_at = q->answer != NULL ? clock_wall_ms() : 0};

    return question_put(q->owner->app->store, &row, fn, arg);
}

static void expire(struct question *q)
{
    if (q->state < Q_ANSWERING)
        (void)save(q, "expired", NULL, NULL);
    notify(q, "over");
    drop(q);
}

static struct question *add(struct questions *qs, const struct question_row *row)
{
    struct question *q = MEM_NEW(struct question);

    if (q == NULL)
        return NULL;
    q->owner = qs;
    q->next = qs->first;
    qs->first = q;
    q->text = str_dup(row->text);
    q->answer = row->answer.n > 0 ? str_dup(row->answer) : NULL;
    q->asked_at = row->asked_at;
    q->until = row->until;
    q->state = str_eqc(row->state, "answered") ? Q_ANSWERED : str_eqc(row->state, "open") ? Q_OPEN : Q_ASKED;
    if (q->text == NULL || (row->answer.n > 0 && q->answer == NULL) || !str_copy(q->id, sizeof q->id, row->id) ||
        !str_copy(q->call, sizeof q->call, row->call) ||
        !str_copy(q->identity, sizeof q->identity, row->identity)) {
        drop(q);
        return NULL;
    }
    return q;
}

/* ---- The message ---- */

static void arm(struct questions *qs)
{
    uint64_t at = 0;

    for (const struct question *q = qs->first; q != NULL; q = q->next)
        if (q->again_ms != 0 && (at == 0 || q->again_ms < at))
            at = q->again_ms;
    if (at != 0)
        timer_set(qs->timer, at);
    else
        timer_stop(qs->timer);
}

static void fail(struct question *q)
{
    struct app *app = q->owner->app;
    char call[ID_BYTES], tool_call[CALL_TOOL_ID_BYTES];

    (void)str_copy(call, sizeof call, str_of(q->call));
    (void)str_copy(tool_call, sizeof tool_call, str_of(q->tool_call));
    log_warn(&app->log, "%s: the owner could not be asked: the message was not taken", call);
    expire(q);
    natives_answer(app, str_of(call), str_of(tool_call), ERR_IO, str_of(unreachable));
}

static void on_sent(void *arg, int code, struct str json)
{
    struct question *q = arg;
    bool refused = code == OC_EINVAL || code == OC_ENOTSUP || code == OC_ENOENT;

    (void)json;
    q->token = 0;
    if (q->state >= Q_ANSWERING)
        return; /* it was there before anybody said so */
    if (code == OC_OK || (!refused && code != OC_EBUSY && ++q->tries >= SEND_TRIES)) {
        mem_free(q->message);
        q->message = NULL;
        q->state = Q_OPEN;
        (void)save(q, "open", NULL, NULL);
    } else if (refused || clock_wall_ms() + AGAIN_MS >= q->until) {
        fail(q);
    } else {
        q->again_ms = loop_now_ms(q->owner->app->loop) + AGAIN_MS;
        arm(q->owner);
    }
}

static void send_message(struct question *q)
{
    struct app *app = q->owner->app;
    struct str identity = str_of(q->identity);
    size_t colon = str_find(identity, ':');
    struct buf b;
    int rc;

    q->again_ms = 0;
    buf_init(&b, 16384);
    jw_open(&b, '{');
    jw_kstrc(&b, "id", q->id);
    jw_kstr(&b, "channel", str_head(identity, colon));
    jw_kstr(&b, "to", str_skip(identity, colon + 1));
    jw_kstr(&b, "text", str_of(q->message));
    jw_kstrc(&b, "session_key", ""); /* in no session: its answer is for the call, not for the agent */
    jw_close(&b, '}');
    rc = b.rc < 0 ? b.rc : host_request(app->host, OC_REQ_SEND, str_of(q->call), buf_str(&b), on_sent, NULL, q,
                                        &q->token);
    buf_free(&b);
    if (rc < 0)
        fail(q);
}

static void on_timer(void *arg)
{
    struct questions *qs = arg;
    uint64_t now = loop_now_ms(qs->app->loop);

    for (struct question *q = qs->first, *next; q != NULL; q = next) {
        next = q->next;
        if (q->again_ms != 0 && q->again_ms <= now && q->token == 0)
            send_message(q);
    }
    arm(qs);
}

static char *message_of(const char *number, struct str purpose, const struct question *q)
{
    struct str about = str_head(purpose, str_utf8_floor(purpose, PURPOSE_BYTES));
    char *text = NULL;
    struct buf b;

    buf_init(&b, 4096);
    (void)buf_printf(&b, "A question from your call with %s", number[0] != '\0' ? number : "a withheld number");
    if (about.n > 0)
        (void)buf_printf(&b, " (%.*s%s)", STR_ARG(about), about.n < purpose.n ? " ..." : "");
    (void)buf_printf(&b, ":\n\n%s\n\nYour next message here is the answer, and the person on the telephone may hear "
                         "it. They wait for up to %llu seconds.\n(call %s)", q->text,
                     (unsigned long long)((q->until - q->asked_at + 999) / 1000), q->call);
    if (buf_cstr(&b) != NULL)
        text = buf_steal(&b, NULL);
    buf_free(&b);
    return text;
}

/* ---- Asking ---- */

struct asking { /* while the call's questions are read; the app may close meanwhile */
    struct app *app;
    char call[ID_BYTES], tool_call[CALL_TOOL_ID_BYTES], number[24], identity[OWNER_BYTES];
    struct id id;
    char *text, *purpose;
};

static void asking_free(struct asking *a)
{
    mem_free(a->text);
    mem_free(a->purpose);
    mem_free(a);
}

static void refuse(const struct asking *a, const char *why)
{
    calls_tool_done(a->app->calls, str_of(a->call), str_of(a->tool_call), ERR_INVALID, str_of(why));
}

/* The tool's result. It may end the call, which drops its other questions. */
static void tell(struct app *app, struct str call, struct str tool_call, struct str answer)
{
    struct buf b;

    buf_init(&b, ANSWER_BYTES + 256);
    (void)buf_printf(&b, "Your owner answered:\n<<<\n%.*s\n>>>\nUse it now: tell the person what of it concerns them.",
                     STR_ARG(answer));
    calls_tool_done(app->calls, call, tool_call, 0, buf_str(&b));
    buf_free(&b);
}

/* Answered, and the tool is there to take it. */
static void deliver(struct question *q)
{
    struct app *app = q->owner->app;
    char call[ID_BYTES], tool_call[CALL_TOOL_ID_BYTES];
    char *answer = q->answer;

    (void)str_copy(call, sizeof call, str_of(q->call));
    (void)str_copy(tool_call, sizeof tool_call, str_of(q->tool_call));
    (void)save(q, "told", NULL, NULL); /* with the tool's own row, in one batch */
    q->answer = NULL;
    drop(q);
    tell(app, str_of(call), str_of(tool_call), str_of(answer));
    mem_free(answer);
}

struct ticket { /* names a question, which may be gone when its row is durable */
    struct app *app;
    char id[ID_BYTES];
};

static void on_asked_saved(void *arg, int rc)
{
    struct ticket t = *(struct ticket *)arg;
    struct question *q = t.app->questions != NULL ? by_id(t.app->questions, t.id) : NULL;

    mem_free(arg);
    if (q == NULL || q->state != Q_SAVING)
        return;
    if (rc < 0) {
        fail(q);
        return;
    }
    q->state = Q_ASKED;
    notify(q, "open");
    send_message(q);
}

/* NULL, or why nothing can be asked now. What is overdue gives way. */
static const char *why_not(struct questions *qs, const struct asking *a, unsigned asked)
{
    struct question *q;

    if (asked >= QUESTIONS_A_CALL)
        return enough;
    while ((q = in_chat(qs, str_of(a->identity))) != NULL) {
        if (clock_wall_ms() < q->until)
            return strcmp(q->call, a->call) == 0 ? one_is_open : busy;
        expire(q);
    }
    return NULL;
}

static void begin(struct questions *qs, const struct asking *a)
{
    uint64_t now = clock_wall_ms();
    const struct question_row row = {
        .id = str_of(a->id.text), .call = str_of(a->call), .text = str_of(a->text), .identity = str_of(a->identity),
        .state = STR("asked"), .asked_at = now, .until = now + qs->app->config->outbound.ask_owner_timeout_ms};
    struct question *q = add(qs, &row);
    struct ticket *t = MEM_NEW(struct ticket);

    if (q != NULL) {
        q->state = Q_SAVING;
        (void)str_copy(q->tool_call, sizeof q->tool_call, str_of(a->tool_call));
        q->message = message_of(a->number, str_of(a->purpose), q);
    }
    if (t != NULL) {
        t->app = qs->app;
        (void)str_copy(t->id, sizeof t->id, str_of(a->id.text));
    }
    if (t != NULL && q != NULL && q->message != NULL && save(q, "asked", on_asked_saved, t) == 0)
        return;
    mem_free(t);
    if (q != NULL)
        drop(q);
    refuse(a, unreachable);
}

/* The question stands from before a restart. */
static void resume(struct questions *qs, const struct asking *a, const struct question_row *row)
{
    bool over = str_eqc(row->state, "expired");
    struct question *q = by_id(qs, a->id.text);

    if (q == NULL && !over && !str_eqc(row->state, "told"))
        q = add(qs, row);
    if (q == NULL) {
        if (row->answer.n > 0)
            tell(qs->app, str_of(a->call), str_of(a->tool_call), row->answer);
        else
            refuse(a, unreachable);
        return;
    }
    (void)str_copy(q->tool_call, sizeof q->tool_call, str_of(a->tool_call));
    if (q->state == Q_ANSWERED) {
        deliver(q);
    } else if (q->state == Q_ASKED && q->token == 0) { /* the same words under the same id: the host sends them once */
        mem_free(q->message);
        q->message = message_of(a->number, str_of(a->purpose), q);
        if (q->message != NULL)
            send_message(q);
    }
}

static void on_rows(void *arg, int rc, const struct question_row *rows, unsigned n)
{
    struct asking *a = arg;
    struct questions *qs = a->app->questions;
    const struct question_row *mine = NULL;
    const char *why = NULL;

    for (unsigned i = 0; i < n; i++)
        if (str_eqc(rows[i].id, a->id.text))
            mine = &rows[i];
    if (qs == NULL || !calls_has(a->app->calls, str_of(a->call)))
        ; /* over */
    else if (rc < 0)
        refuse(a, unreachable);
    else if (mine != NULL)
        resume(qs, a, mine);
    else if ((why = why_not(qs, a, n)) != NULL)
        refuse(a, why);
    else
        begin(qs, a);
    asking_free(a);
}

void questions_ask(struct app *app, const struct native_ask *ask)
{
    struct asking *a = MEM_NEW(struct asking);
    struct json *args = NULL;
    struct str text;

    if (a == NULL)
        return; /* the tool's time limit answers */
    a->app = app;
    (void)str_copy(a->call, sizeof a->call, ask->call);
    (void)str_copy(a->tool_call, sizeof a->tool_call, ask->tool_call);
    (void)str_copy(a->number, sizeof a->number, ask->number);
    (void)str_copy(a->identity, sizeof a->identity, ask->owner);
    id_derive(&a->id, "qst_", ask->call, ask->tool_call);
    (void)json_parse(&args, ask->arguments, NULL);
    text = str_trim(json_get_str(args, "question"));
    a->text = str_dup(str_head(text, str_utf8_floor(text, QUESTION_BYTES)));
    a->purpose = str_dup(ask->purpose);
    json_free(args);
    if (a->text != NULL && a->purpose != NULL && owner_reachable(app, str_of(a->identity)) &&
        question_rows(app->store, ask->call, on_rows, a) == 0)
        return;
    natives_answer(app, ask->call, ask->tool_call, ERR_IO, str_of(unreachable));
    asking_free(a);
}

void questions_over(struct questions *qs, struct str call)
{
    for (struct question *q = qs != NULL ? qs->first : NULL, *next; q != NULL; q = next) {
        next = q->next;
        if (str_eqc(call, q->call))
            expire(q);
    }
}

/* ---- Answers ---- */

struct answering { /* while the answer becomes durable; the call may be over by then */
    struct app *app;
    char id[ID_BYTES];
    questions_fn_answer *fn;
    void *arg;
};

static void on_answered(void *arg, int rc)
{
    struct answering a = *(struct answering *)arg;
    struct questions *qs = a.app->questions;
    struct question *q = qs != NULL ? by_id(qs, a.id) : NULL;

    mem_free(arg);
    if (rc < 0 && q != NULL) {
        q->state = Q_OPEN;
        mem_free(q->answer);
        q->answer = NULL;
    }
    a.fn(a.arg, rc, rc < 0 ? STR("") : q != NULL
                        ? STR("Thank you, I pass it on in the call.")
                        : STR("Thank you. The call has just ended; your answer stands with it."));
    if (rc < 0 || q == NULL)
        return;
    q->state = Q_ANSWERED;
    notify(q, "over");
    if (q->tool_call[0] != '\0')
        deliver(q);
}

static bool offer(struct questions *qs, struct str identity, struct str text, uint64_t at, questions_fn_answer *fn,
                  void *arg)
{
    struct question *q = in_chat(qs, identity);
    struct answering *a;

    if (q == NULL || q->state == Q_SAVING || at + SKEW_MS < q->asked_at || (a = MEM_NEW(struct answering)) == NULL)
        return false;
    *a = (struct answering){.app = qs->app, .fn = fn, .arg = arg};
    (void)str_copy(a->id, sizeof a->id, str_of(q->id));
    q->answer = str_dup(str_head(text, str_utf8_floor(text, ANSWER_BYTES)));
    if (q->answer == NULL || save(q, "answered", on_answered, a) < 0) {
        mem_free(q->answer);
        q->answer = NULL;
        mem_free(a);
        return false;
    }
    q->state = Q_ANSWERING;
    q->again_ms = 0;
    return true;
}

static bool park(struct questions *qs, struct str identity, struct str text, uint64_t at, questions_fn_answer *fn,
                 void *arg)
{
    struct parked *p = qs->n_parked < PARKED_MAX ? MEM_NEW(struct parked) : NULL, **last = &qs->parked;

    if (p == NULL)
        return false;
    p->fn = fn;
    p->arg = arg;
    p->at = at;
    p->text = str_dup(text);
    if (p->text == NULL || !str_copy(p->identity, sizeof p->identity, identity)) {
        mem_free(p->text);
        mem_free(p);
        return false;
    }
    while (*last != NULL)
        last = &(*last)->next;
    *last = p;
    qs->n_parked++;
    return true;
}

bool questions_offer(struct questions *qs, struct str identity, struct str text, uint64_t at,
                     questions_fn_answer *fn, void *arg)
{
    if (qs == NULL)
        return false;
    return qs->read ? offer(qs, identity, text, at, fn, arg) : park(qs, identity, text, at, fn, arg);
}

/* ---- Open, adopt, close ---- */

static void unpark(struct questions *qs, bool closing)
{
    while (qs->parked != NULL) {
        struct parked *p = qs->parked;

        qs->parked = p->next;
        qs->n_parked--;
        if (closing || !offer(qs, str_of(p->identity), str_of(p->text), p->at, p->fn, p->arg))
            p->fn(p->arg, closing ? ERR_CLOSED : ERR_NOT_FOUND, STR(""));
        mem_free(p->text);
        mem_free(p);
    }
}

static void on_found(void *arg, int rc, const struct question_row *rows, unsigned n)
{
    struct app *app = arg;
    struct questions *qs = app->questions;

    if (qs == NULL)
        return;
    if (rc < 0)
        log_error(&app->log, "the questions of an earlier run could not be read: %s", err_name(rc));
    for (unsigned i = 0; i < n; i++) {
        char id[ID_BYTES];
        struct question *q;

        if (!str_copy(id, sizeof id, rows[i].id) || by_id(qs, id) != NULL || (q = add(qs, &rows[i])) == NULL)
            continue;
        if (!calls_has(app->calls, rows[i].call))
            expire(q);
        else if (q->state != Q_ANSWERED)
            notify(q, "open");
    }
    qs->read = true;
    unpark(qs, false);
}

void questions_adopt(struct questions *qs, bool any)
{
    if (qs != NULL && (any || !qs->read) && question_rows(qs->app->store, STR(""), on_found, qs->app) < 0)
        on_found(qs->app, ERR_FULL, NULL, 0);
}

int questions_open(struct questions **out, struct app *app)
{
    struct questions *qs = MEM_NEW(struct questions);
    int rc;

    if (qs == NULL)
        return ERR_NOMEM;
    qs->app = app;
    rc = timer_open(&qs->timer, app->loop, on_timer, qs);
    if (rc < 0) {
        mem_free(qs);
        return rc;
    }
    *out = qs;
    return 0;
}

void questions_close(struct questions *qs)
{
    if (qs == NULL)
        return;
    unpark(qs, true);
    while (qs->first != NULL)
        drop(qs->first);
    timer_close(qs->timer);
    mem_free(qs);
}
