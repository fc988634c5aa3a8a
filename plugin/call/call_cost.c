/* SPDX-License-Identifier: MIT */
/* What the call costs while it is on, and the end that a limit puts to it. Amounts and limits: cost.c. */
#include "plugin/call/call_int.h"

/*
 * In the step of the response itself, so that nothing is asked for between it and the goodbye. Its tools do not run
 * then: nobody would hear of them.
 */
void cost_charge(struct call *c, const struct call_usage *u, struct str id, struct call_now now,
                 struct call_effects *fx)
{
    uint64_t nano = cost_of(&c->set.rates, u);
    struct call_fx *f;

    if (nano == 0)
        return;
    c->cost_nano += nano;
    if (nano > c->dearest_nano && u->responses > 0)
        c->dearest_nano = nano;
    cost_budget_take(&c->budget, nano);
    f = fx_add(fx, CALL_FX_COST);
    f->u.cost.nano = nano;
    f->u.cost.response = id;
    cost_run(c, now, fx);
}

void cost_run(struct call *c, struct call_now now, struct call_effects *fx)
{
    const struct cost_budget *b = &c->budget;

    if (c->state != CALL_LIVE)
        return;
    if (b->left != COST_NONE && (b->left == 0 || b->left < c->dearest_nano)) {
        call_say_goodbye(c, CALL_REASON_COST_LIMIT,
                         fx_text(fx, "%s%s", cost_cap_words(b->cap),
                                 b->cap == COST_CAP_UNPRICED ? "" : " is reached"), 0, now, fx);
        return;
    }
    if (c->cost_warned || b->warn_left > 0)
        return;
    c->cost_warned = true;
    fx_hop(fx, "cost_warning", fx_text(fx, "80 %% of %s", cost_cap_words(b->warn_cap)));
    floor_want(c, WANT_COST);
}

/* The last response may be told once more, and then counts no more. What is held back is an average one. */
void cost_restore(struct call *c, const struct call_restored *r)
{
    c->usage = r->usage;
    c->cost_nano = r->cost_nano;
    c->dearest_nano = r->usage.responses > 0 ? r->cost_nano / r->usage.responses : 0;
    if (r->last_response.n > 0)
        (void)floor_seen_done(c, r->last_response);
}
