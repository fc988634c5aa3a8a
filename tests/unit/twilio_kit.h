/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_TWILIO_KIT_H
#define TESTS_UNIT_TWILIO_KIT_H
/* The carrier over the pool and the clock of pool_kit.h, and what it told. */
#include "plugin/base/mem.h"
#include "plugin/carrier/carrier.h"
#include "tests/unit/pool_kit.h"

/* ---- Timers ---- */

struct timer {
    timer_fn *fn;
    void *arg;
    uint64_t at; /* 0: not set */
    bool open;
};

static struct timer kit_timers[POOL_CALLS];

int timer_open(struct timer **out, struct loop *l, timer_fn *fn, void *arg)
{
    (void)l;
    for (unsigned i = 0; i < POOL_CALLS; i++) {
        if (kit_timers[i].open)
            continue;
        kit_timers[i] = (struct timer){fn, arg, 0, true};
        *out = &kit_timers[i];
        return 0;
    }
    return ERR_FULL;
}

void timer_set(struct timer *t, uint64_t at_ms)
{
    t->at = at_ms;
}

void timer_stop(struct timer *t)
{
    t->at = 0;
}

void timer_close(struct timer *t)
{
    if (t != NULL)
        *t = (struct timer){0};
}

/* Goes on by so long, and fires what is due. */
static inline void kit_pass(uint64_t ms)
{
    net.now += ms;
    for (unsigned i = 0; i < POOL_CALLS; i++) {
        struct timer *t = &kit_timers[i];

        if (!t->open || t->at == 0 || t->at > net.now)
            continue;
        t->at = 0;
        t->fn(t->arg);
    }
}

#define KIT_PUBLIC "https://voice.example.com/base"
#define KIT_AC "AC00000000000000000000000000000001"
#define KIT_REF "0123456789abcdef0123456789abcdef"
#define KIT_CA1 "CA00000000000000000000000000000001"
#define KIT_CA2 "CA00000000000000000000000000000002"
#define KIT_CA3 "CA00000000000000000000000000000003"
#define KIT_CF1 "CF00000000000000000000000000000001"
#define KIT_CF2 "CF00000000000000000000000000000002"
#define KIT_RE1 "RE00000000000000000000000000000001"

/* ---- the carrier, and what it told ---- */

struct kit_told {
    unsigned times, cmd, n_legs;
    enum line_cmd what;
    int http_status;
    bool maybe_sent, busy, room_live;
    uint32_t retry_after_ms;
    char call[40], sid[50], room[50], code[30], message[100], recording[50];
    struct {
        char sid[50], label[40];
        enum line_leg_status status;
        bool in_room;
        int64_t up_s;
    } legs[16];
};

static struct carrier *kit_carrier;
static struct kit_told kit_told;
static void (*kit_when_told)(void);
static char kit_logged[8000];

static inline void kit_answer_fn(void *arg, struct str call, const struct carrier_answer *a)
{
    struct kit_told *t = arg;

    t->times++;
    t->cmd = a->cmd;
    t->what = a->what;
    t->http_status = a->http_status;
    t->maybe_sent = a->maybe_sent;
    t->busy = a->busy;
    t->room_live = a->room_live;
    t->retry_after_ms = a->retry_after_ms;
    T_TRUE(str_copy(t->call, sizeof t->call, call));
    T_TRUE(str_copy(t->sid, sizeof t->sid, a->sid));
    T_TRUE(str_copy(t->room, sizeof t->room, a->room));
    T_TRUE(str_copy(t->code, sizeof t->code, a->code));
    T_TRUE(str_copy(t->message, sizeof t->message, a->message));
    T_TRUE(str_copy(t->recording, sizeof t->recording, a->recording));
    t->n_legs = a->n_legs;
    for (unsigned i = 0; i < a->n_legs && i < 16; i++) {
        T_TRUE(str_copy(t->legs[i].sid, 50, a->legs[i].sid));
        T_TRUE(str_copy(t->legs[i].label, 40, a->legs[i].label));
        t->legs[i].status = a->legs[i].status;
        t->legs[i].in_room = a->legs[i].in_room;
        t->legs[i].up_s = a->legs[i].up_s;
    }
    if (kit_when_told != NULL)
        kit_when_told();
}

static inline void kit_log_line(void *ctx, enum log_level level, struct str line)
{
    size_t n = strlen(kit_logged);

    (void)ctx;
    (void)level;
    (void)snprintf(kit_logged + n, sizeof kit_logged - n, "%.*s\n", STR_ARG(line));
}

static inline struct twilio_config kit_config(void)
{
    static const char *const tokens[] = {"token-one", "token-two"};

    return (struct twilio_config){
        .account_sid = STR(KIT_AC),
        .auth_tokens = tokens,
        .n_auth_tokens = 2,
        .base_url = STR("http://127.0.0.1:1"),
        .public_url = STR(KIT_PUBLIC),
        .recording_channels = STR("dual"),
    };
}

static inline int kit_open_with(const struct twilio_config *config, struct err *e)
{
    static struct log log;

    memset(&net, 0, sizeof net);
    memset(&kit_told, 0, sizeof kit_told);
    kit_when_told = NULL;
    kit_logged[0] = '\0';
    net.now = 5000;
    log_init(&log, kit_log_line, NULL, LOG_DEBUG);
    return twilio_open(&kit_carrier, NULL, config, kit_answer_fn, &kit_told, &log, e);
}

static inline void kit_open(void)
{
    struct twilio_config config = kit_config();

    T_MUST(kit_open_with(&config, NULL) == 0);
}

static inline void kit_count(void *arg)
{
    ++*(unsigned *)arg;
}

static inline void kit_close(void)
{
    unsigned closed = 0;

    kit_carrier->ops->close(kit_carrier, kit_count, &closed);
    T_MUST(net.pool.closed != NULL);
    net.pool.closed(net.pool.closed_arg);
    T_EQ(closed, 1);
    for (unsigned i = 0; i < net.n_calls; i++)
        T_FALSE(net.calls[i].open);
}

#endif
