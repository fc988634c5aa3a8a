/* SPDX-License-Identifier: MIT */
#include "plugin/destinations.h"

#include "plugin/base/mem.h"

int destinations_make(struct destination_policy **out, const struct config *c, struct err *e)
{
    const struct config_map *names = &c->security.transfer_targets;
    struct destination_target *targets = mem_alloc((names->n + 1) * sizeof *targets);
    struct destination_rules rules = {
        .given = c->security.destinations_given,
        .allow = c->security.destinations_allow.v,
        .n_allow = c->security.destinations_allow.n,
        .deny = c->security.destinations_deny.v,
        .n_deny = c->security.destinations_deny.n,
        .own = c->twilio.phone_numbers.v,
        .n_own = c->twilio.phone_numbers.n,
        .targets = targets,
        .n_targets = names->n,
    };
    int rc;

    if (targets == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (unsigned i = 0; i < names->n; i++)
        targets[i] = (struct destination_target){names->v[i].name, names->v[i].value};
    rc = destination_policy_make(out, &rules, e);
    mem_free(targets);
    return rc;
}
