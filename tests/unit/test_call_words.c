/* SPDX-License-Identifier: MIT */
/* Words that are written down: those that were missed while there was no sideband, and those that must not be. */
#include "plugin/call/call_int.h"
#include "tests/unit/t.h"

#include "tests/unit/call_kit.h"

static struct kit kit;

static void added(const char *id, enum call_who who)
{
    struct call_event ev = {.kind = CALL_EV_ITEM_ADDED};

    ev.u.item.id = str_of(id);
    ev.u.item.who = who;
    kit_step(&kit, &ev);
}

static void found(const char *id, enum call_who who, const char *text)
{
    struct call_event ev = {.kind = CALL_EV_ITEM_FOUND};

    ev.u.item.id = str_of(id);
    ev.u.item.who = who;
    ev.u.item.text = str_of(text);
    kit_step(&kit, &ev);
}

static void missed_words(void)
{
    struct call_output words = {.item_id = STR("item_known"), .text = STR("I said this.")};
    unsigned turns;

    kit_live(&kit, kit_settings()); /* with a line or without */
    added("item_known", CALL_WHO_ASSISTANT);
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_1");
    kit_done(&kit, "resp_1", CALL_RESPONSE_COMPLETED, &words, 1);
    kit_item(&kit, CALL_EV_COMMITTED, "item_caller");
    kit_response(&kit, CALL_EV_RESPONSE_STARTED, "resp_2");
    added("item_missed", CALL_WHO_ASSISTANT);
    added("item_ours", CALL_WHO_OTHER);
    kit_run(&kit, 6000);
    kit_lost(&kit, 0);
    kit_session(&kit);
    T_EQ(kit.n_retrieves, 2);
    T_STR_EQ(kit.retrieve[0].text, "item_caller");
    T_STR_EQ(kit.retrieve[1].text, "item_missed");
    turns = kit.c.turns;
    found("item_missed", CALL_WHO_ASSISTANT, "This was said while nobody listened.");
    T_EQ(kit.c.turns, turns + 1);
    T_EQ(kit.notices[CALL_NOTICE_TURN], kit.c.turns);
    found("item_missed", CALL_WHO_ASSISTANT, "This was said while nobody listened.");
    found("item_strange", CALL_WHO_ASSISTANT, "Nobody asked.");
    T_EQ(kit.c.turns, turns + 1);
    kit_error(&kit, "item_not_found", kit.retrieve[0].event_id);
    T_EQ(kit_hops(&kit, "error_event"), 0);
    kit_close(&kit);
}

/* Behind a gap the first item names one that was added in it; its own answer says who spoke. */
static void unheard_words(void)
{
    struct call_event ev = {.kind = CALL_EV_ITEM_ADDED};
    unsigned turns;

    kit_live(&kit, kit_settings());
    added("item_known", CALL_WHO_ASSISTANT);
    ev.u.item.id = STR("item_before");
    ev.u.item.prev = STR("item_strange");
    kit_step(&kit, &ev);
    T_EQ(kit.n_retrieves, 0); /* there was no gap */
    kit_run(&kit, 6000);
    kit_lost(&kit, 0);
    kit_session(&kit);
    T_EQ(kit.n_retrieves, 1);
    ev.u.item.id = STR("item_behind");
    ev.u.item.prev = STR("item_unheard");
    kit_step(&kit, &ev);
    T_EQ(kit.n_retrieves, 2);
    T_STR_EQ(kit.retrieve[1].text, "item_unheard");
    ev.u.item.id = STR("item_later");
    ev.u.item.prev = STR("item_also_strange");
    kit_step(&kit, &ev);
    T_EQ(kit.n_retrieves, 2); /* the gap is behind us */
    turns = kit.c.turns;
    found("item_unheard", CALL_WHO_OTHER, "");
    T_EQ(kit.c.turns, turns);
    found("item_unheard", CALL_WHO_CALLER, "Said while nobody listened.");
    T_EQ(kit.c.turns, turns + 1);
    found("item_unheard", CALL_WHO_CALLER, "Said while nobody listened.");
    T_EQ(kit.c.turns, turns + 1);
    kit_close(&kit);
}

static void said(const char *item, const char *text)
{
    struct call_event ev = {.kind = CALL_EV_CALLER_TEXT};

    ev.u.item.id = str_of(item);
    ev.u.item.text = str_of(text);
    kit_step(&kit, &ev);
}

static void unrecorded(void)
{
    struct call_event ev = {.kind = CALL_EV_UNRECORDED, .u.flag = true};
    struct call_output words = {.item_id = STR("item_echo"), .text = STR("4111 1111, right?")};

    kit_line_live(&kit, kit_line_settings());
    kit_item(&kit, CALL_EV_COMMITTED, "item_before");
    kit_step(&kit, &ev);
    said("item_before", "My card is the following."); /* said before, written down later */
    T_STR_EQ(kit.turn, "My card is the following.");
    kit_item(&kit, CALL_EV_COMMITTED, "item_card");
    kit_done(&kit, "resp_1", CALL_RESPONSE_COMPLETED, &words, 1);
    T_STR_EQ(kit.turn, "[not recorded]");
    ev.u.flag = false;
    kit_step(&kit, &ev);
    said("item_card", "4111 1111"); /* the words come when it goes on again */
    T_STR_EQ(kit.turn, "[not recorded]");
    kit_item(&kit, CALL_EV_COMMITTED, "item_after");
    said("item_after", "Thanks.");
    T_STR_EQ(kit.turn, "Thanks.");
    kit_close(&kit);
}

int main(void)
{
    T_RUN(missed_words);
    T_RUN(unheard_words);
    T_RUN(unrecorded);
    return T_DONE();
}
