/* SPDX-License-Identifier: MIT */
/*
 * Questions to the owner in mid-call. The test stands in for the table of calls and for the tools' answers, and for the host
 * that sends messages; the rows are real.
 */
#include "plugin/questions.h"
#include "memory/lines.h"
#include "plugin/calls.h"
#include "plugin/natives.h"
#include "tests/unit/owner_kit.h"

#define OWNER "telegram:777"

struct told { /* to a tool */
    char call[32], tool_call[64], text[6000];
    int rc;
};

struct scene {
    struct desk d;
    const char *live; /* calls that are not over, a word each */
    struct told told[8];
    unsigned n_told;
    unsigned answered; /* results of offers */
    int answer_rc;
    char reply[200];
    /* arguments of what runs on the loop's thread */
    const char *call, *tool_call, *arguments, *text, *identity;
    uint64_t at;
    unsigned which;
    int code;
    bool flag, taken;
    /* rows as they were read */
    unsigned n_rows;
    char rows[1000];
};

bool calls_has(struct calls *cs, struct str call)
{
    const struct scene *s = (const struct scene *)(const void *)cs;
    size_t at = 0;

    for (struct str rest = str_of(s->live); rest.n > 0; rest = str_skip(rest, at + 1)) {
        at = str_find(rest, ' ');
        if (str_eq(str_head(rest, at), call))
            return true;
        if (at >= rest.n)
            return false;
    }
    return false;
}

void calls_tool_done(struct calls *cs, struct str call, struct str tool_call, int rc, struct str text)
{
    struct scene *s = (struct scene *)(void *)cs;
    struct told *t = &s->told[s->n_told % 8];

    t->rc = rc;
    (void)str_copy(t->call, sizeof t->call, call);
    (void)str_copy(t->tool_call, sizeof t->tool_call, tool_call);
    (void)str_copy(t->text, sizeof t->text, text);
    s->n_told++;
}

void natives_answer(struct app *app, struct str call, struct str tool_call, int rc, struct str text)
{
    calls_tool_done(app->calls, call, tool_call, rc, text);
}

/* ---- What is done on the loop's thread ---- */

static void open_fn(void *arg)
{
    struct desk *d = arg;

    d->rc = questions_open(&d->app.questions, &d->app);
}

static void close_fn(void *arg)
{
    struct desk *d = arg;
    struct questions *qs = d->app.questions;

    d->app.questions = NULL;
    questions_close(qs);
}

static void adopt_fn(void *arg)
{
    struct desk *d = arg;

    questions_adopt(d->app.questions, ((struct scene *)arg)->flag);
}

static void on_claimed(void *arg, int rc, enum journal_claim_result result)
{
    (void)result;
    desk_rc(arg, rc);
}

static void claim_fn(void *arg)
{
    struct scene *s = arg;
    struct journal_call row = {.id = str_of(s->call), .direction = STR("outbound"), .from = STR("+15550001111"),
                               .from_kind = STR("e164"), .level = STR("known"), .state = STR(JOURNAL_WAITING),
                               .received_at = 1000};

    s->d.rc = journal_claim(s->d.app.store, &row, 0, on_claimed, &s->d);
}

static void ask_fn(void *arg)
{
    struct scene *s = arg;
    const struct native_ask ask = {.call = str_of(s->call), .tool_call = str_of(s->tool_call), .name = STR("ask_owner"),
                                   .arguments = str_of(s->arguments), .number = STR("+15550001111"),
                                   .owner = str_of(s->identity), .purpose = STR("Book a table")};

    questions_ask(&s->d.app, &ask);
}

static void reply_fn(void *arg)
{
    struct scene *s = arg;

    s->taken = host_on_reply(s->d.app.host, s->d.sent[s->which].token, s->code, STR("{}"));
}

static void on_offered(void *arg, int rc, struct str reply)
{
    struct scene *s = arg;

    s->answer_rc = rc;
    (void)str_copy(s->reply, sizeof s->reply, reply);
    s->answered++;
}

static void offer_fn(void *arg)
{
    struct scene *s = arg;

    s->taken = questions_offer(s->d.app.questions, str_of(s->identity), str_of(s->text), s->at, on_offered, s);
}

static void over_fn(void *arg)
{
    struct scene *s = arg;

    questions_over(s->d.app.questions, str_of(s->call));
}

static void on_rows(void *arg, int rc, const struct question_row *rows, unsigned n)
{
    struct scene *s = arg;
    size_t at = 0;

    s->rows[0] = '\0';
    for (unsigned i = 0; rc == 0 && i < n && at < sizeof s->rows; i++)
        at += (size_t)snprintf(s->rows + at, sizeof s->rows - at, "%.*s:%.*s ", STR_ARG(rows[i].state),
                               STR_ARG(rows[i].answer));
    s->n_rows++;
}

static void rows_fn(void *arg)
{
    struct scene *s = arg;

    s->d.rc = question_rows(s->d.app.store, str_of(s->call), on_rows, s);
}

/* ---- Scenes ---- */

static void begin(struct scene *s)
{
    memset(s, 0, sizeof *s);
    desk_open(&s->d);
    s->live = "call_1 call_2";
    s->d.app.calls = (struct calls *)(void *)s;
    desk_do(&s->d, open_fn);
    T_MUST(s->d.rc == 0);
    s->call = "call_1";
    desk_do(&s->d, claim_fn);
    s->call = "call_2";
    desk_do(&s->d, claim_fn);
    T_MUST(desk_wait(&s->d, &s->d.done, 2) && s->d.rc == 0);
    desk_do(&s->d, adopt_fn);
    desk_settle(&s->d);
}

static void end(struct scene *s)
{
    desk_do(&s->d, close_fn);
    desk_close(&s->d);
}

/* Another instance begins where the last one stopped, which says nothing of what it had open. */
static void again(struct scene *s, bool any)
{
    desk_do(&s->d, close_fn);
    desk_settle(&s->d);
    s->d.n_sent = 0;
    s->d.events[0] = '\0';
    desk_do(&s->d, open_fn);
    T_MUST(s->d.rc == 0);
    s->flag = any;
    desk_do(&s->d, adopt_fn);
    desk_settle(&s->d);
}

static void ask(struct scene *s, const char *call, const char *tool_call, const char *question)
{
    static char arguments[3000];

    (void)snprintf(arguments, sizeof arguments, "{\"question\":\"%s\"}", question);
    s->call = call;
    s->tool_call = tool_call;
    s->arguments = arguments;
    s->identity = OWNER;
    desk_do(&s->d, ask_fn);
    desk_settle(&s->d);
    desk_settle(&s->d); /* its rows are read, then its own is written */
}

static void reply(struct scene *s, unsigned which, int code)
{
    s->which = which;
    s->code = code;
    desk_do(&s->d, reply_fn);
    T_TRUE(s->taken);
    desk_settle(&s->d);
}

static bool offer(struct scene *s, const char *identity, const char *text)
{
    s->identity = identity;
    s->text = text;
    s->at = clock_wall_ms();
    desk_do(&s->d, offer_fn);
    desk_settle(&s->d);
    return s->taken;
}

static void over(struct scene *s, const char *call)
{
    s->call = call;
    desk_do(&s->d, over_fn);
    desk_settle(&s->d);
}

/* "state:answer " of each question of the call. */
static const char *rows(struct scene *s, const char *call)
{
    unsigned want = s->n_rows + 1;

    s->call = call;
    desk_do(&s->d, rows_fn);
    T_MUST(s->d.rc == 0 && desk_wait(&s->d, &s->n_rows, want));
    return s->rows;
}

static void a_question_and_its_answer(void)
{
    struct scene s;

    begin(&s);
    ask(&s, "call_1", "tool_1", "At eight or at nine?");
    T_EQ(s.d.n_sent, 1);
    T_STR_EQ(s.d.sent[0].name, OC_REQ_SEND);
    T_HAS(s.d.sent[0].json, "\"channel\":\"telegram\"");
    T_HAS(s.d.sent[0].json, "\"to\":\"777\"");
    T_HAS(s.d.sent[0].json, "\"session_key\":\"\"");
    T_HAS(s.d.sent[0].json, "At eight or at nine?");
    T_HAS(s.d.sent[0].json, "+15550001111 (Book a table)");
    T_HAS(s.d.sent[0].json, "60 seconds");
    T_HAS(s.d.sent[0].json, "(call call_1)");
    T_STR_EQ(rows(&s, "call_1"), "asked: ");
    reply(&s, 0, OC_OK);
    T_STR_EQ(rows(&s, "call_1"), "open: ");
    T_EQ(s.n_told, 0);
    T_TRUE(offer(&s, OWNER, "At nine, please."));
    T_EQ(s.answered, 1);
    T_OK(s.answer_rc);
    T_HAS(s.reply, "pass it on");
    T_EQ(s.n_told, 1);
    T_OK(s.told[0].rc);
    T_STR_EQ(s.told[0].call, "call_1");
    T_STR_EQ(s.told[0].tool_call, "tool_1");
    T_HAS(s.told[0].text, "<<<\nAt nine, please.\n>>>");
    desk_settle(&s.d);
    T_STR_EQ(rows(&s, "call_1"), "told:At nine, please. ");
    T_STR_EQ(s.d.events, "open over ");
    T_FALSE(offer(&s, OWNER, "And the weather?")); /* is a message like any other */
    end(&s);
}

/* The answer may come before the host says that the message was sent. */
static void an_answer_before_the_receipt(void)
{
    struct scene s;

    begin(&s);
    ask(&s, "call_1", "tool_1", "Which one?");
    T_TRUE(offer(&s, OWNER, "The red one"));
    T_EQ(s.n_told, 1);
    s.which = 0;
    desk_do(&s.d, reply_fn); /* its request was forgotten with it */
    T_FALSE(s.taken);
    desk_settle(&s.d);
    T_STR_EQ(rows(&s, "call_1"), "told:The red one ");
    end(&s);
}

static void who_else_writes_is_no_owner(void)
{
    struct scene s;

    begin(&s);
    ask(&s, "call_1", "tool_1", "Which one?");
    reply(&s, 0, OC_OK);
    T_FALSE(offer(&s, "telegram:778", "mine"));
    T_FALSE(offer(&s, "signal:777", "mine"));
    s.identity = OWNER;
    s.text = "from long before";
    s.at = clock_wall_ms() - 120000;
    desk_do(&s.d, offer_fn);
    T_FALSE(s.taken);
    T_STR_EQ(rows(&s, "call_1"), "open: ");
    T_EQ(s.n_told, 0);
    end(&s);
}

static void one_at_a_time(void)
{
    struct scene s;

    begin(&s);
    ask(&s, "call_1", "tool_1", "First?");
    ask(&s, "call_1", "tool_2", "Second?");
    T_EQ(s.n_told, 1);
    T_ERR(s.told[0].rc);
    T_STR_EQ(s.told[0].tool_call, "tool_2");
    T_HAS(s.told[0].text, "open already");
    ask(&s, "call_2", "tool_3", "Of another call?");
    T_EQ(s.n_told, 2);
    T_HAS(s.told[1].text, "asked something else");
    T_EQ(s.d.n_sent, 1);
    end(&s);
}

static void what_is_overdue_gives_way(void)
{
    struct scene s;

    begin(&s);
    s.d.config.outbound.ask_owner_timeout_ms = 1;
    ask(&s, "call_1", "tool_1", "First?");
    reply(&s, 0, OC_OK);
    s.d.config.outbound.ask_owner_timeout_ms = 60000;
    ask(&s, "call_2", "tool_2", "Second?");
    T_EQ(s.d.n_sent, 2);
    T_EQ(s.n_told, 0);
    T_STR_EQ(rows(&s, "call_1"), "expired: ");
    T_TRUE(offer(&s, OWNER, "yes"));
    T_STR_EQ(s.told[0].tool_call, "tool_2");
    end(&s);
}

static void five_a_call(void)
{
    struct scene s;
    char tool[16];

    begin(&s);
    for (unsigned i = 0; i < QUESTIONS_A_CALL; i++) {
        (void)snprintf(tool, sizeof tool, "tool_%u", i);
        ask(&s, "call_1", tool, "And?");
        T_EQ(s.d.n_sent, i + 1);
        T_TRUE(offer(&s, OWNER, "yes"));
        T_EQ(s.n_told, i + 1);
    }
    ask(&s, "call_1", "tool_9", "And?");
    T_EQ(s.d.n_sent, QUESTIONS_A_CALL);
    T_HAS(s.told[QUESTIONS_A_CALL].text, "as often as one call allows");
    end(&s);
}

static void a_message_that_is_not_taken(void)
{
    static const int refusals[] = {OC_EINVAL, OC_ENOTSUP, OC_ENOENT};

    for (unsigned i = 0; i < 3; i++) {
        struct scene s;

        begin(&s);
        ask(&s, "call_1", "tool_1", "And?");
        reply(&s, 0, refusals[i]);
        T_EQ(s.n_told, 1);
        T_ERR(s.told[0].rc);
        T_HAS(s.told[0].text, "cannot be reached");
        T_STR_EQ(rows(&s, "call_1"), "expired: ");
        T_FALSE(offer(&s, OWNER, "late"));
        end(&s);
    }
}

static void a_host_that_takes_nothing(void)
{
    struct scene s;

    begin(&s);
    s.d.refuses = true;
    ask(&s, "call_1", "tool_1", "And?");
    T_EQ(s.n_told, 1);
    T_HAS(s.told[0].text, "cannot be reached");
    T_STR_EQ(rows(&s, "call_1"), "expired: ");
    s.d.refuses = false;
    s.d.config.integration.handoff_enabled = false; /* nobody can be written to: nothing is asked at all */
    ask(&s, "call_2", "tool_2", "And?");
    T_EQ(s.n_told, 2);
    T_STR_EQ(rows(&s, "call_2"), "");
    end(&s);
}

/* A message whose fate is unknown is sent again, the same under the same id, and in the end taken for sent. */
static void a_fate_that_is_unknown(void)
{
    struct scene s;

    begin(&s);
    ask(&s, "call_1", "tool_1", "And?");
    for (unsigned i = 0; i < 3; i++) {
        reply(&s, i, i == 1 ? OC_EIO : OC_ETIMEDOUT);
        T_STR_EQ(rows(&s, "call_1"), "asked: ");
        T_MUST(desk_wait(&s.d, &s.d.n_sent, i + 2));
        T_STR_EQ(s.d.sent[i + 1].json, s.d.sent[0].json);
    }
    reply(&s, 3, OC_ETIMEDOUT);
    T_STR_EQ(rows(&s, "call_1"), "open: ");
    T_TRUE(offer(&s, OWNER, "yes"));
    T_EQ(s.n_told, 1);
    end(&s);
}

static void no_time_to_send_again(void)
{
    struct scene s;

    begin(&s);
    s.d.config.outbound.ask_owner_timeout_ms = 1000;
    ask(&s, "call_1", "tool_1", "And?");
    reply(&s, 0, OC_EBUSY);
    T_EQ(s.n_told, 1);
    T_HAS(s.told[0].text, "cannot be reached");
    T_STR_EQ(rows(&s, "call_1"), "expired: ");
    end(&s);
}

static void the_end_of_a_call(void)
{
    struct scene s;

    begin(&s);
    ask(&s, "call_1", "tool_1", "And?");
    reply(&s, 0, OC_OK);
    over(&s, "call_2");
    T_STR_EQ(rows(&s, "call_1"), "open: ");
    over(&s, "call_1");
    T_STR_EQ(rows(&s, "call_1"), "expired: ");
    T_STR_EQ(s.d.events, "open over ");
    T_FALSE(offer(&s, OWNER, "late"));
    T_EQ(s.n_told, 0);
    s.live = "call_2"; /* what is asked for a call that is over is asked nobody */
    ask(&s, "call_1", "tool_2", "And?");
    T_EQ(s.d.n_sent, 1);
    T_EQ(s.n_told, 0);
    end(&s);
}

/* The call ends while the answer is on its way to the disk. */
static void an_answer_at_the_end_of_a_call(void)
{
    struct scene s;

    begin(&s);
    ask(&s, "call_1", "tool_1", "And?");
    reply(&s, 0, OC_OK);
    s.identity = OWNER;
    s.text = "yes";
    s.at = clock_wall_ms();
    desk_do(&s.d, offer_fn);
    T_TRUE(s.taken);
    over(&s, "call_1");
    T_MUST(desk_wait(&s.d, &s.answered, 1));
    T_OK(s.answer_rc);
    T_HAS(s.reply, "has just ended");
    T_EQ(s.n_told, 0);
    T_STR_EQ(rows(&s, "call_1"), "answered:yes ");
    end(&s);
}

static void a_restart_with_an_open_question(void)
{
    struct scene s;

    begin(&s);
    ask(&s, "call_1", "tool_1", "And?");
    reply(&s, 0, OC_OK);
    again(&s, true);
    T_STR_EQ(s.d.events, "open ");
    ask(&s, "call_1", "tool_1", "And?"); /* the tool, begun again */
    T_EQ(s.d.n_sent, 0);                 /* never asked twice */
    T_TRUE(offer(&s, OWNER, "yes"));
    T_EQ(s.n_told, 1);
    T_HAS(s.told[0].text, "yes");
    again(&s, true);
    ask(&s, "call_1", "tool_1", "And?"); /* once more: it was told, and is told again */
    T_EQ(s.n_told, 2);
    T_HAS(s.told[1].text, "yes");
    T_EQ(s.d.n_sent, 0);
    end(&s);
}

/* It was asked, but nobody knows whether the message left: the same words under the same id. */
static void a_restart_before_the_receipt(void)
{
    struct scene s;
    char first[6000];

    begin(&s);
    ask(&s, "call_1", "tool_1", "And?");
    (void)snprintf(first, sizeof first, "%s", s.d.sent[0].json);
    again(&s, true);
    ask(&s, "call_1", "tool_1", "And?");
    T_EQ(s.d.n_sent, 1);
    T_STR_EQ(s.d.sent[0].json, first);
    end(&s);
}

/* The owner answers before the tool has begun again, or even before the rows are read. */
static void a_restart_and_an_early_answer(void)
{
    struct scene s;

    begin(&s);
    ask(&s, "call_1", "tool_1", "And?");
    reply(&s, 0, OC_OK);
    desk_do(&s.d, close_fn);
    desk_do(&s.d, open_fn);
    T_TRUE(offer(&s, OWNER, "early"));
    T_TRUE(offer(&s, "telegram:5", "somebody else"));
    T_EQ(s.answered, 0);
    s.flag = true;
    desk_do(&s.d, adopt_fn);
    T_MUST(desk_wait(&s.d, &s.answered, 2));
    T_STR_EQ(rows(&s, "call_1"), "answered:early ");
    T_EQ(s.n_told, 0);
    ask(&s, "call_1", "tool_1", "And?");
    T_EQ(s.n_told, 1);
    T_HAS(s.told[0].text, "early");
    T_EQ(s.d.n_sent, 1);
    end(&s);
}

static void a_restart_after_the_call(void)
{
    struct scene s;

    begin(&s);
    ask(&s, "call_1", "tool_1", "And?");
    reply(&s, 0, OC_OK);
    s.live = "call_2";
    again(&s, true);
    T_STR_EQ(rows(&s, "call_1"), "expired: ");
    T_FALSE(offer(&s, OWNER, "late"));
    end(&s);
}

/* The tool of a question that expired under another instance. */
static void what_expired_stays_so(void)
{
    struct scene s;

    begin(&s);
    ask(&s, "call_1", "tool_1", "And?");
    over(&s, "call_1");
    again(&s, true);
    ask(&s, "call_1", "tool_1", "And?");
    T_EQ(s.n_told, 1);
    T_ERR(s.told[0].rc);
    T_HAS(s.told[0].text, "cannot be reached");
    T_EQ(s.d.n_sent, 0);
    end(&s);
}

/* Who waits for the rows is told that the instance stops; what is too much is a message like any other. */
static void a_stop_while_messages_wait(void)
{
    struct scene s;

    begin(&s);
    desk_do(&s.d, close_fn);
    T_FALSE(offer(&s, OWNER, "no instance"));
    desk_do(&s.d, open_fn);
    for (unsigned i = 0; i < 64; i++)
        T_TRUE(offer(&s, OWNER, "early"));
    T_FALSE(offer(&s, OWNER, "one too many"));
    T_EQ(s.answered, 0);
    desk_do(&s.d, close_fn);
    T_EQ(s.answered, 64);
    T_EQ(s.answer_rc, ERR_CLOSED);
    desk_do(&s.d, open_fn);
    end(&s);
}

/* Long texts are cut at whole characters, and fit in what is sent. */
static void long_texts(void)
{
    struct scene s;
    char text[2000];

    begin(&s);
    memset(text, 'x', sizeof text);
    for (unsigned i = 0; i + 2 < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xa4", 2);
    text[1999] = '\0';
    text[1998] = '\0';
    ask(&s, "call_1", "tool_1", text);
    T_EQ(s.d.n_sent, 1);
    T_LT(strlen(s.d.sent[0].json), 2000);
    T_TRUE(offer(&s, OWNER, text));
    T_EQ(s.n_told, 1);
    T_HAS(s.told[0].text, "\xc3\xa4\n>>>");
    end(&s);
}

int main(void)
{
    T_RUN(a_question_and_its_answer);
    T_RUN(an_answer_before_the_receipt);
    T_RUN(who_else_writes_is_no_owner);
    T_RUN(one_at_a_time);
    T_RUN(what_is_overdue_gives_way);
    T_RUN(five_a_call);
    T_RUN(a_message_that_is_not_taken);
    T_RUN(a_host_that_takes_nothing);
    T_RUN(a_fate_that_is_unknown);
    T_RUN(no_time_to_send_again);
    T_RUN(the_end_of_a_call);
    T_RUN(an_answer_at_the_end_of_a_call);
    T_RUN(a_restart_with_an_open_question);
    T_RUN(a_restart_before_the_receipt);
    T_RUN(a_restart_and_an_early_answer);
    T_RUN(a_restart_after_the_call);
    T_RUN(what_expired_stays_so);
    T_RUN(a_stop_while_messages_wait);
    T_RUN(long_texts);
    return T_DONE();
}
