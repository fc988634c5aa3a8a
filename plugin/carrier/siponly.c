/* SPDX-License-Identifier: MIT */
/*
 * Numbers whose trunk points straight at the speech API: there is no carrier to ask, no webhook, no document. What
 * such a call can do is what the speech API offers, through the functions given.
 */
#include "plugin/base/mem.h"
#include "plugin/carrier/carrier.h"

struct sip_only {
    struct carrier base; /* first */
    struct sip_only_config config;
};

static int verify(const struct carrier *c, const struct carrier_hook *hook)
{
    (void)c;
    (void)hook;
    return ERR_DENIED;
}

static int read_hook(const struct carrier *c, const struct carrier_hook *hook, struct carrier_event *out)
{
    (void)c;
    (void)hook;
    *out = (struct carrier_event){0};
    return ERR_NOT_FOUND;
}

static int render(const struct carrier *c, const struct carrier_step *steps, unsigned n, struct buf *out,
                  const char **content_type)
{
    (void)c;
    (void)steps;
    (void)n;
    (void)out;
    *content_type = NULL;
    return ERR_BAD_STATE;
}

static int command(struct carrier *c, const struct carrier_order *order)
{
    const struct sip_only_config *config = &((struct sip_only *)c)->config;

    switch (order->what) {
    case LINE_CMD_REFER:
        if (order->text.n == 0)
            return ERR_INVALID;
        return config->refer(config->arg, order->call, order->text, order->cmd);
    case LINE_CMD_END_ROOM:
        return config->hang_up(config->arg, order->call, order->cmd);
    default:
        return ERR_BAD_STATE;
    }
}

static int fetch(struct carrier *c, struct str sid, const struct carrier_fetch *f)
{
    (void)c;
    (void)sid;
    (void)f;
    return ERR_BAD_STATE;
}

static int erase(struct carrier *c, struct str sid, void (*done)(void *arg, int http_status), void *arg)
{
    (void)c;
    (void)sid;
    (void)done;
    (void)arg;
    return ERR_BAD_STATE;
}

static void close_carrier(struct carrier *c, void (*closed)(void *arg), void *arg)
{
    mem_free(c);
    if (closed != NULL)
        closed(arg);
}

static const struct carrier_ops sip_only_ops = {
    .name = "sip",
    .can = LINE_CAN_REFER | LINE_CAN_HANGUP | LINE_CAN_SAY,
    .verify = verify,
    .read = read_hook,
    .render = render,
    .command = command,
    .fetch = fetch,
    .erase = erase,
    .close = close_carrier,
};

int sip_only_open(struct carrier **out, const struct sip_only_config *config, carrier_answer_fn *fn, void *arg)
{
    struct sip_only *s = MEM_NEW(struct sip_only);

    if (s == NULL)
        return ERR_NOMEM;
    s->base = (struct carrier){&sip_only_ops, fn, arg};
    s->config = *config;
    *out = &s->base;
    return 0;
}
