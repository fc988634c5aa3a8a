/* SPDX-License-Identifier: MIT */
/* What the model is told while it speaks: context, lists, words of others. */
#include "plugin/base/mem.h"
#include "plugin/call/call_int.h"
#include "tests/unit/t.h"

#include "tests/unit/call_kit.h"

static struct kit kit;

/* ---- What the model is told ---- */

static void context(const char *text)
{
    struct call_event ev = {.kind = CALL_EV_CONTEXT, .u.text = str_of(text)};

    kit_step(&kit, &ev);
}

static void tell(const char *id, bool speak)
{
    struct call_event ev = {.kind = CALL_EV_TELL, .u.tell = {STR("id"), STR("They wrote: bring milk."), speak}};

    ev.u.tell.id = str_of(id);
    kit_step(&kit, &ev);
}

/* Where the last step's effects send that; -1 nowhere. */
static int sent_at(enum call_send_kind kind)
{
    for (unsigned i = 0; i < kit.fx.n; i++)
        if (kit.fx.v[i].kind == CALL_FX_SEND && kit.fx.v[i].u.send.kind == kind)
            return (int)i;
    return -1;
}

static void open_waiting(void)
{
    struct call_settings set = kit_settings();

    set.context_late = true;
    kit_open(&kit, set);
    kit_begin(&kit);
    kit_rest(&kit, CALL_EV_ACCEPTED, 200, true);
    kit_session(&kit);
}

static void context_comes_before_the_greeting(void)
{
    open_waiting();
    kit_saved(&kit);
    kit_run(&kit, 120);
    T_EQ(kit.asks, 0);
    context("The dog is called Rex.");
    T_EQ(kit.n_news, 1);
    T_STR_EQ(kit.news.text, "The dog is called Rex.");
    T_EQ(kit.asks, 1);
    T_TRUE(sent_at(CALL_SEND_NEWS) >= 0 && sent_at(CALL_SEND_NEWS) < sent_at(CALL_SEND_RESPONSE));
    kit_speak(&kit, "resp_greeting");
    kit_run(&kit, 5000);
    T_EQ(kit.asks, 1);
    kit_close(&kit);
}

/* What is not durable yet holds the greeting back as without a context. */
static void context_before_the_row_is_saved(void)
{
    open_waiting();
    kit_run(&kit, 50);
    context("Early.");
    T_EQ(kit.n_news, 1);
    T_EQ(kit.asks, 0);
    kit_saved(&kit);
    T_EQ(kit.asks, 1);
    kit_close(&kit);
}

static void greeting_waits_at_most_300_ms(void)
{
    char first[ID_BYTES];

    open_waiting();
    kit_saved(&kit);
    kit_run(&kit, 299);
    T_EQ(kit.asks, 0);
    kit_run(&kit, 1);
    T_EQ(kit.asks, 1);
    kit_speak(&kit, "resp_greeting");
    context("Late, and told all the same.");
    T_EQ(kit.n_news, 1);
    T_STR_EQ(kit.news.text, "Late, and told all the same.");
    kit_copy(first, sizeof first, str_of(kit.news.item_id));
    kit_run(&kit, 5000);
    T_EQ(kit.asks, 1);
    /* A level that rises opens more: another item, which the provider must take. */
    context("More is open now.");
    T_EQ(kit.n_news, 2);
    T_TRUE(strcmp(first, kit.news.item_id) != 0);
    kit_close(&kit);
}

static void no_context_after_all(void)
{
    open_waiting();
    kit_saved(&kit);
    context("");
    T_EQ(kit.n_news, 0);
    T_EQ(kit.asks, 1);
    kit_close(&kit);
    open_waiting(); /* the caller is gone before anything came */
    kit_lost(&kit, 404);
    context("Nobody hears it.");
    T_EQ(kit.n_news, 0);
    T_EQ(kit.asks, 0);
    kit_close(&kit);
}

static void telling(void)
{
    char id[ID_BYTES];

    kit_live(&kit, kit_settings());
    tell("a", false);
    T_EQ(kit.n_news, 1);
    T_STR_EQ(kit.news.text, "They wrote: bring milk.");
    kit_copy(id, sizeof id, str_of(kit.news.item_id));
    kit_run(&kit, 3000);
    T_EQ(kit.asks, 1);
    tell("b", true);
    T_EQ(kit.n_news, 2);
    T_TRUE(strcmp(id, kit.news.item_id) != 0);
    T_EQ(kit.asks, 2);
    kit_speak(&kit, "resp_news");
    kit_copy(id, sizeof id, str_of(kit.news.item_id));
    tell("b", false); /* the same thing again has the same id */
    T_STR_EQ(kit.news.item_id, id);
    /* While somebody speaks it is told at once and said when it is quiet. */
    kit_speech(&kit, true);
    tell("c", true);
    T_EQ(kit.n_news, 4);
    T_EQ(kit.asks, 2);
    kit_close(&kit);
}

static void telling_nobody(void)
{
    kit_open(&kit, kit_settings());
    kit_begin(&kit);
    tell("a", true);
    T_EQ(kit.n_news, 0);
    kit_rest(&kit, CALL_EV_ACCEPTED, 200, true);
    tell("a", true);
    T_EQ(kit.n_news, 0);
    T_EQ(kit.asks, 0);
    kit_close(&kit);
    kit_live(&kit, kit_settings());
    kit_end(&kit, CALL_REASON_OPERATOR);
    tell("a", true);
    T_EQ(kit.n_news, 0);
    kit_close(&kit);
}

int main(void)
{
    T_RUN(context_comes_before_the_greeting);
    T_RUN(context_before_the_row_is_saved);
    T_RUN(greeting_waits_at_most_300_ms);
    T_RUN(no_context_after_all);
    T_RUN(telling);
    T_RUN(telling_nobody);
    return T_DONE();
}
