/* SPDX-License-Identifier: MIT */
#ifndef MEMORY_PEOPLE_H
#define MEMORY_PEOPLE_H
/*
 * Who called: numbers, persons and the identities that are one person (tables caller, person,
 * identity), and what is kept about them. Every function copies its arguments, queues one store
 * operation and answers on the loop thread (fn may be NULL where it returns nothing). Negative returns
 * mean that nothing was queued. Times are Unix milliseconds.
 *
 * An identity is text "channel:peer": "voice:+15551234567", "telegram:777", "discord:...". A number
 * belongs to one person; a person may have several identities. A withheld or malformed number makes
 * no row here: such a caller is a person of their own for that call alone and matches nobody.
 */
#include "memory/store.h"

#define PEOPLE_IDENTITIES_MAX 32u
#define PEOPLE_CODE_TRIES 5u

typedef void people_fn(void *arg, int rc);
typedef void people_json_fn(void *arg, int rc, struct str json); /* json is borrowed */

/* What is known of a caller when the phone rings. Borrowed for the callback. */
struct people_caller {
    struct str person;             /* "per_..." */
    struct str name, language, notes; /* "" unknown */
    uint64_t first_seen, last_seen;
    unsigned calls;                /* before this one */
    unsigned n_identities;
    struct str identities[PEOPLE_IDENTITIES_MAX]; /* of the person, without this number's own */
    struct str sources[PEOPLE_IDENTITIES_MAX];    /* "config" | "code" | "api" | "paired" */
};
typedef void people_caller_fn(void *arg, int rc, const struct people_caller *c);
/*
 * A number calls: makes or updates its caller and person rows, counts the call, ties `call` to the
 * person, and returns what was known before. STORE_RETRY.
 */
int people_seen(struct store *s, struct str call, struct str number, uint64_t at, people_caller_fn *fn,
                void *arg);

/* What a caller says of themselves, or the API sets; an empty str with p == NULL leaves the field alone. */
struct people_update {
    struct str name, language, notes; /* notes replace */
    struct str note;                  /* one line appended to notes */
};
/* id: an E.164 number, a person id, or an identity. ERR_NOT_FOUND by fn. */
int people_update(struct store *s, struct str id, const struct people_update *u, people_fn *fn, void *arg);

/* ---- Identities ---- */

/*
 * Replaces all links whose source is "config" by those of the gateway's session.identityLinks: groups of
 * identities that are one person each. Links of other sources stay.
 */
struct people_group {
    const struct str *identities;
    unsigned n;
};
int people_set_config_links(struct store *s, const struct people_group *groups, unsigned n, people_fn *fn,
                            void *arg);
/*
 * Makes identity and the person of `id` one (source "code", "api" or "paired"). Persons that were two
 * become one: the older stays, rows of the other move. ERR_NOT_FOUND; ERR_INVALID (not "channel:peer").
 */
int people_link(struct store *s, struct str id, struct str identity, const char *source, uint64_t at,
                people_json_fn *fn, void *arg);
/* Takes the identity away from its person; it becomes a person of its own without history. */
int people_unlink(struct store *s, struct str id, struct str identity, people_json_fn *fn, void *arg);

/*
 * Linking codes (6 digits): stored as SHA-256 of salt and code, valid once, until `until`, 5 tries in all for
 * the wanting side. people_code_make: code wanted by `identity` (of a caller or a chat); an older code of it
 * dies. people_code_use: typed or spoken by `other`; on success both are linked (source "code").
 */
int people_code_make(struct store *s, struct str identity, struct str call, struct str code,
                     uint64_t until, people_fn *fn, void *arg);
struct people_code_result {
    bool fits;
    struct str identity; /* whose code it was */
    struct str call;     /* of the call it was spoken in, or "" */
};
typedef void people_code_fn(void *arg, int rc, const struct people_code_result *r);
int people_code_use(struct store *s, struct str other, struct str code, uint64_t now, people_code_fn *fn,
                    void *arg);

/* ---- Chats: what was last said in text channels, told by the host ---- */

struct people_message {
    struct str identity;    /* "telegram:777": the other side of the chat */
    struct str session_key; /* may be empty */
    bool from_them;         /* else the assistant wrote it */
    struct str text;
    uint64_t at;
};
/* Keeps the last 200 of each identity. */
int people_message(struct store *s, const struct people_message *m, people_fn *fn, void *arg);

/* ---- For the context of a call ---- */

/*
 * {"calls":[{call, at, duration_ms, reason, summary, last_turns:[{who,text}]}], "messages":[{identity, from_them,
 * text, at}], "open":[{text, at}], "caller":{...}} of one number's person, newest first; messages only of
 * its linked identities. `number` empty: nothing. limits: at most n_calls, n_messages.
 */
int people_history(struct store *s, struct str number, unsigned n_calls, unsigned n_messages,
                   people_json_fn *fn, void *arg);
/* {"call":{...},"turns":[...]} of an ended call for its summary, and {"summary"} once made. */
int people_set_summary(struct store *s, struct str call, struct str summary, const char *outcome,
                       people_fn *fn, void *arg);

/* ---- API ---- */

int people_list(struct store *s, unsigned limit, people_json_fn *fn, void *arg);           /* {"callers":[...]} */
int people_get(struct store *s, struct str id, people_json_fn *fn,
               void *arg); /* one, with identities and calls */
int people_export(struct store *s, struct str id, people_json_fn *fn, void *arg);          /* everything we hold */
/* Turns: {"hits":[{call, at, who, text, number}]}. */
int people_search(struct store *s, struct str query, unsigned limit, people_json_fn *fn, void *arg);
int people_missed(struct store *s, unsigned limit, people_json_fn *fn, void *arg);         /* {"missed":[...]} */
/*
 * Erases the person of `id` (or one number of theirs when only_number): rows of caller, person, identity,
 * call, turn, hop, tool_run, handoff, outbox, messages; claims stay as hashes. Afterwards nothing of it is in the
 * database, its -wal or -shm (secure_delete, FTS optimize, checkpoint TRUNCATE). ERR_BAD_STATE by fn while a
 * call of theirs is live. json: {"person","erased":{table:rows},"calls":[ids],"numbers":[...]}.
 */
int people_forget(struct store *s, struct str id, bool only_number, people_json_fn *fn, void *arg);
/* VACUUM INTO <dir>/backup-<UTC date>.db, mode 0600. {"path"}. */
int people_backup(struct store *s, people_json_fn *fn, void *arg);
/* Deletes turns of calls that ended before `before` and whose retention is over. */
int people_expire_turns(struct store *s, uint64_t before, people_fn *fn, void *arg);

#endif
