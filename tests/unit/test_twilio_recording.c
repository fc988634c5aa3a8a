/* SPDX-License-Identifier: MIT */
/* A recording is fetched from Twilio, in a stream that its taker slows down, and erased there. */
#include "plugin/carrier/carrier.h"
#include "tests/unit/twilio_order.h"

static struct {
    size_t bytes;
    unsigned done;
    int status;
    char text[80];
} got;

static void on_bytes(void *arg, struct str data)
{
    (void)arg;
    got.bytes += data.n;
}

static void on_whole(void *arg, int status, struct str text)
{
    (void)arg;
    got.done++;
    got.status = status;
    T_TRUE(str_copy(got.text, sizeof got.text, text));
}

static int fetch(unsigned channels, uint64_t max)
{
    struct carrier_fetch f = {.on_data = on_bytes, .on_done = on_whole, .channels = channels, .max_bytes = max};

    memset(&got, 0, sizeof got);
    return kit_carrier->ops->fetch(kit_carrier, STR(KIT_RE1), &f);
}

static void a_recording_is_fetched_by_its_sid(void)
{
    kit_open();
    T_OK(fetch(2, 0));
    asks("GET", AT "/Recordings/" KIT_RE1 ".wav?RequestedChannels=2", "");
    T_STR_EQ(last()->auth, BASIC_TOKEN);
    T_GT(last()->req.timeout_ms, 60000);
    last()->req.on_data(last()->req.arg, STR("RIFF"));
    last()->req.on_data(last()->req.arg, STR("more"));
    answer(200, "");
    T_EQ(got.done, 1);
    T_EQ(got.status, 200);
    T_EQ(got.bytes, 8);
    T_OK(fetch(1, 0));
    T_STR_EQ(last()->path, AT "/Recordings/" KIT_RE1 ".wav?RequestedChannels=1");
    answer(404, "{}");
    T_EQ(got.status, 404);
    kit_close();
}

static size_t waiting(void *arg)
{
    return *(const size_t *)arg;
}

/* Who takes it is slower than the network: no more is read until it has caught up. */
static void a_transfer_waits_for_its_taker(void)
{
    size_t left = 0;
    struct carrier_fetch f = {.on_data = on_bytes, .on_done = on_whole, .pending = waiting, .arg = &left, .channels = 1};

    kit_open();
    memset(&got, 0, sizeof got);
    T_OK(kit_carrier->ops->fetch(kit_carrier, STR(KIT_RE1), &f));
    last()->req.on_data(last()->req.arg, STR("RIFF"));
    T_FALSE(last()->paused);
    left = (1u << 20) + 1;
    last()->req.on_data(last()->req.arg, STR("more"));
    T_TRUE(last()->paused);
    kit_pass(1000);
    T_TRUE(last()->paused);
    left = 1u << 20;
    kit_pass(1000);
    T_FALSE(last()->paused);
    answer(200, "");
    T_EQ(got.status, 200);
    T_EQ(got.bytes, 8);
    kit_close();
    for (unsigned i = 0; i < POOL_CALLS; i++)
        T_FALSE(kit_timers[i].open);
}

static void a_transfer_that_is_not_whole(void)
{
    kit_open();
    T_OK(fetch(2, 0));
    last()->req.on_data(last()->req.arg, STR("RIFF"));
    fail(ERR_CLOSED, true);
    T_EQ(got.status, 0);
    T_STR_EQ(got.text, "connection reset");
    T_OK(fetch(2, 0));
    answer(302, "");
    T_EQ(got.status, 302);
    T_EQ(got.done, 1);
    T_OK(fetch(2, 0));
    answer(206, "");
    T_EQ(got.status, 0);
    T_OK(fetch(2, 6));
    last()->req.on_data(last()->req.arg, STR("RIFF"));
    T_EQ(got.done, 0);
    last()->req.on_data(last()->req.arg, STR("RIFF"));
    T_EQ(got.done, 1);
    T_EQ(got.status, 0);
    T_EQ(got.bytes, 4);
    T_HAS(got.text, "limit");
    T_TRUE(last()->canceled);
    T_OK(fetch(2, 0));
    kit_close();
    T_EQ(got.done, 0);
}

static void on_erased(void *arg, int status)
{
    *(int *)arg = status;
}

static void a_recording_is_erased(void)
{
    int status = -1;

    kit_open();
    T_OK(kit_carrier->ops->erase(kit_carrier, STR(KIT_RE1), on_erased, &status));
    asks("DELETE", AT "/Recordings/" KIT_RE1 ".json", "");
    answer(204, "");
    T_EQ(status, 204);
    T_OK(kit_carrier->ops->erase(kit_carrier, STR(KIT_RE1), on_erased, &status));
    fail(ERR_TIMEOUT, true);
    T_EQ(status, 0);
    T_EQ(kit_carrier->ops->erase(kit_carrier, STR(""), on_erased, &status), ERR_INVALID);
    kit_close();
}

int main(void)
{
    T_RUN(a_recording_is_fetched_by_its_sid);
    T_RUN(a_transfer_waits_for_its_taker);
    T_RUN(a_transfer_that_is_not_whole);
    T_RUN(a_recording_is_erased);
    return T_DONE();
}
