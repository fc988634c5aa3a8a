/* SPDX-License-Identifier: MIT */
/* A trunk that points straight at the speech service: no carrier to ask, and what can be done all the same. */
#include "plugin/carrier/carrier.h"
#include "tests/unit/twilio_order.h"

static char asked[80];

static int refer(void *arg, struct str call, struct str number, unsigned cmd)
{
    (void)arg;
    (void)snprintf(asked, sizeof asked, "refer %.*s %.*s %u", STR_ARG(call), STR_ARG(number), cmd);
    return 0;
}

static int hang_up(void *arg, struct str call, unsigned cmd)
{
    (void)arg;
    (void)snprintf(asked, sizeof asked, "hang up %.*s %u", STR_ARG(call), cmd);
    return ERR_FULL;
}

static void never_bytes(void *arg, struct str data)
{
    (void)arg;
    T_FAIL("%zu bytes of a recording", data.n);
}

static void never_whole(void *arg, int status, struct str text)
{
    (void)arg;
    T_FAIL("a recording has come: %d %.*s", status, STR_ARG(text));
}

static void never_erased(void *arg, int status)
{
    (void)arg;
    T_FAIL("a recording is erased: %d", status);
}

static void a_trunk_without_a_carrier(void)
{
    struct sip_only_config config = {refer, hang_up, NULL};
    struct carrier_hook hook = {.path = STR("/twilio/voice")};
    struct carrier_fetch f = {.on_data = never_bytes, .on_done = never_whole, .channels = 1};
    struct carrier_event ev;
    const char *type = "x";
    unsigned closed = 0;

    set_line("");
    T_MUST(sip_only_open(&kit_carrier, &config, kit_answer_fn, &kit_told) == 0);
    T_EQ(kit_carrier->ops->can, LINE_CAN_REFER | LINE_CAN_HANGUP | LINE_CAN_SAY);
    T_OK(order(LINE_CMD_REFER, -1, "+15551234567", ""));
    T_STR_EQ(asked, "refer call_1 +15551234567 7");
    T_EQ(order(LINE_CMD_END_ROOM, -1, "", ""), ERR_FULL);
    T_STR_EQ(asked, "hang up call_1 7");
    T_EQ(order(LINE_CMD_REFER, -1, "", ""), ERR_INVALID);
    T_EQ(order(LINE_CMD_CREATE, 0, "", ""), ERR_BAD_STATE);
    T_EQ(kit_carrier->ops->verify(kit_carrier, &hook), ERR_DENIED);
    T_EQ(kit_carrier->ops->read(kit_carrier, &hook, &ev), ERR_NOT_FOUND);
    T_EQ(ev.said, SAID_NOTHING);
    T_EQ(kit_carrier->ops->render(kit_carrier, NULL, 0, NULL, &type), ERR_BAD_STATE);
    T_EQ(kit_carrier->ops->fetch(kit_carrier, STR(KIT_RE1), &f), ERR_BAD_STATE);
    T_EQ(kit_carrier->ops->erase(kit_carrier, STR("x"), never_erased, NULL), ERR_BAD_STATE);
    kit_carrier->ops->close(kit_carrier, kit_count, &closed);
    T_EQ(closed, 1);
}

int main(void)
{
    T_RUN(a_trunk_without_a_carrier);
    return T_DONE();
}
