/* SPDX-License-Identifier: MIT */
#ifndef SESSIONS_CALLER_H
#define SESSIONS_CALLER_H
/*
 * Who calls, as far as a caller's number can tell, and whether the call is taken. Caller ID is a hint,
 * not proof. Pure: decided natively from a mirror of the gateway's policy, so that a blocked gateway
 * changes nothing. A policy is immutable once made; any thread.
 */
#include "plugin/base/err.h"
#include "plugin/base/str.h"

struct json;

enum caller_level { /* rising; what each opens is in docs of SKILL.md and README */
    CALLER_UNKNOWN = 0,
    CALLER_KNOWN,  /* in whitelist or allowFrom */
    CALLER_LINKED, /* in session.identityLinks, paired, or linked to a chat by a code */
    CALLER_PROVEN  /* gave the PIN in this call */
};

/*
 * dmPolicy as OpenClaw 2026.9.6 carries it out on Telegram (docs/channels/telegram/access-control.md,
 * docs/channels/pairing.md, docs/gateway/security/access-control.md; where the pages differ, its
 * message-access code decides, which reads the pairing store under `pairing` alone):
 *   pairing    allow_from and paired numbers pass; others are refused and may ask to be paired
 *   allowlist  allow_from alone passes; approvals of the pairing store do not count
 *   open       everybody, but only with "*" in allow_from; without it allow_from alone, and approvals
 *              of the pairing store do not widen it
 *   disabled   nobody
 * "*" in allow_from lets every number pass under pairing and allowlist too. It lists nobody: who passes
 * by it alone is unknown. Neither the file's whitelist nor a link admits a number where a dmPolicy is
 * set; both still make it known.
 */
enum caller_dm_policy {
    CALLER_DM_UNSET = 0,
    CALLER_DM_PAIRING,
    CALLER_DM_ALLOWLIST,
    CALLER_DM_OPEN,
    CALLER_DM_DISABLED
};

struct caller_policy; /* lists as sorted sets; lookups are exact */

struct caller_rules { /* what the configuration file says */
    bool whitelist_enabled, blacklist_enabled, unknown_allowed;
    const char *const *whitelist; unsigned n_whitelist;
    const char *const *blacklist; unsigned n_blacklist;
};

/*
 * From the file's rules and the gateway's policy (payload of OC_CMD_POLICY_SET; NULL: none).
 * Entries that are no exact E.164 number (nor "*" in allow_from) are ignored and counted in *ignored
 * (NULL allowed). ERR_INVALID: a dm_policy that is none of the four, or a list that is no list: whoever
 * has an older policy keeps it. ERR_NOMEM.
 */
int caller_policy_make(struct caller_policy **out, const struct caller_rules *rules,
                       const struct json *gateway, unsigned *ignored, struct err *e);
void caller_policy_free(struct caller_policy *p);

struct caller_verdict {
    bool accept;
    bool may_pair;      /* refused only for want of pairing: a pairing request may be made */
    enum caller_level level;
    int sip_status;     /* of the refusal */
    const char *reason; /* static, for the flight record: "blacklisted", "not in whitelist", ... */
};

/*
 * number: exact E.164, or empty for a withheld or malformed one, which matches no list and passes only
 * under dmPolicy open (with its "*") or, without a dmPolicy, unknown_caller_policy allow, as unknown.
 * Order: blacklist (603); dmPolicy disabled (603); whitelist_enabled and not whitelisted (603); dmPolicy
 * when set, else unknown_caller_policy, which lets known numbers pass in any case. Every refusal is 603
 * (Decline, RFC 3261 §21.6.2): the caller's network shall not try elsewhere.
 */
void caller_decide(const struct caller_policy *p, struct str number, struct caller_verdict *out);
const char *caller_level_name(enum caller_level level); /* "unknown" ... */

#endif
