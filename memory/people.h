/* SPDX-License-Identifier: MIT */
#ifndef MEMORY_PEOPLE_H
#define MEMORY_PEOPLE_H
/*
 * Who called: numbers, persons and the identities that are one person (tables caller, person,
 * identity), and what is kept about them. Every function copies its arguments, queues one store
 * operation and answers on the loop thread (fn may be NULL where it returns nothing). Negative returns
 * mean that nothing was queued. Times are Unix milliseconds.
 *
 * An identity is text "channel:peer" of at most 223 bytes without blanks: "voice:+15551234567" (E.164 or it
 * is none), "telegram:777", "discord:...". Links are kept as pairs with their source, and who is one
 * person follows from them, so that taking back one link leaves what another says. A number
 * belongs to one person; a person may have several identities. A withheld or malformed number makes
 * no row here: such a caller is a person of their own for that call alone and matches nobody.
 */
#include "memory/store.h"

#define PEOPLE_IDENTITIES_MAX 32u
#define PEOPLE_CODE_TRIES 5u       /* wrong ones of one identity within an hour */
#define PEOPLE_CODE_TRIES_ALL 50u  /* wrong ones of all while a code is open, see people_code_use() */
#define PEOPLE_NAME_BYTES 200u     /* name, language; longer: ERR_TOO_BIG */
#define PEOPLE_NOTES_BYTES 8192u   /* longer: ERR_TOO_BIG; lines that are appended push the oldest out */
#define PEOPLE_MESSAGE_BYTES 16384u /* of a chat's message; longer ones are cut */

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
 * person, and returns what was known before. STORE_RETRY. A call is counted once, however often it is
 * asked for; `call` may be empty (counted, tied to nothing). A number that is no E.164: rc 0 and an empty
 * caller. ERR_NOT_FOUND: no row of that call. calls, first_seen and last_seen are of all the person's numbers.
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
 * identities that are one person each; what is no identity is passed over, one that stands in two groups
 * belongs to the first. Links of other sources stay. Who is no longer linked becomes a person of their
 * own again, and a number takes the calls it made along; name and notes stay with the oldest number.
 */
#define PEOPLE_CONFIG_MAX 4096u /* identities in all; more: ERR_TOO_BIG */
struct people_group {
    const struct str *identities;
    unsigned n;
};
int people_set_config_links(struct store *s, const struct people_group *groups, unsigned n, people_fn *fn,
                            void *arg);
/*
 * Makes identity and the person of `id` one (source "code", "api" or "paired"). Persons that were two
 * become one: the older stays, rows of the other move. json: the person as in people_get(), without calls.
 * ERR_NOT_FOUND (id), ERR_FULL (over PEOPLE_IDENTITIES_MAX) by fn; ERR_INVALID (not "channel:peer", source).
 */
int people_link(struct store *s, struct str id, struct str identity, const char *source, uint64_t at,
                people_json_fn *fn, void *arg);
/*
 * Takes the identity away from its person; it becomes a person of its own without history. The others stay
 * linked. json: the person that stays. ERR_NOT_FOUND; ERR_BAD_STATE: it is the person's only one.
 */
int people_unlink(struct store *s, struct str id, struct str identity, people_json_fn *fn, void *arg);

/*
 * Linking codes: 6 digits, stored as SHA-256 of a salt and the code, valid once and until `until`. ERR_INVALID: not 6
 * digits, not an identity; that is no try.
 *
 * people_code_make: code wanted by `identity` (of a caller or a chat); an older code of it dies. ERR_DUPLICATE by
 * fn: another open code has the same digits, make a new one. people_code_use: typed or spoken by `other`; on
 * success both are linked (source "code") and the code is gone.
 *
 * Tries. A wrong code says nothing of whose code was meant, so it counts against whoever tried: after
 * PEOPLE_CODE_TRIES within an hour no code fits that identity (`blocked`), nothing is looked up or used
 * up, and everybody else's codes are untouched. Who could try under many identities (caller ids can be
 * forged) is held by the second count: a code dies after PEOPLE_CODE_TRIES_ALL wrong tries by all together
 * while it is open, which takes ten identities, and which keeps the chance of a hit below 1 in 20,000.
 * One's own code, given back by the same identity, does not fit and is no try.
 */
int people_code_make(struct store *s, struct str identity, struct str call, struct str code,
                     uint64_t until, people_fn *fn, void *arg);
struct people_code_result {
    bool fits, blocked;
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

/*
 * {"identity","session_key"} of the newest message that somebody wrote in that session, or in that chat
 * ("telegram:777"); {} when there is none. ERR_TOO_BIG: an id over 4096 bytes.
 */
int people_chat(struct store *s, struct str id, people_json_fn *fn, void *arg);

/* ---- For the context of a call ---- */

/*
 * {"calls":[{call, at, duration_ms, reason, summary, outcome, direction, number, last_turns:[{who,text}]}],
 * "messages":[{identity, from_them, text, at}], "open":[{text, at}], "caller":{as people_get(), without
 * calls} or null} of one number's person, newest first, last_turns oldest first and at most 6; calls that
 * are over; messages only of its linked identities. open: tool runs of ended calls that are not closed
 * ("request" of their arguments, else the tool's name), outbox rows "late" and "handoff" that are not
 * final ("text" of their payload, else the kind). Empty or unknown number: empty. Limits: at most 1000 each.
 */
int people_history(struct store *s, struct str number, unsigned n_calls, unsigned n_messages,
                   people_json_fn *fn, void *arg);
/*
 * {"calls":[{call, person, at}]}: calls that are over and in which something was said, newest first, those before the
 * id `before` (empty: all); person "" where nobody is known. limit 1..1000.
 */
int people_past(struct store *s, struct str before, unsigned limit, people_json_fn *fn, void *arg);
/* Stores what was made of an ended call; outcome NULL leaves that alone. ERR_NOT_FOUND: forgotten meanwhile. */
int people_set_summary(struct store *s, struct str call, struct str summary, const char *outcome,
                       people_fn *fn, void *arg);

/* ---- API ---- */

/* limit 1..1000 in all lists. {"callers":[{number, person, name, language, notes, first_seen, last_seen, call_count,
 * identities}]}, last seen first. */
int people_list(struct store *s, unsigned limit, people_json_fn *fn, void *arg);
/*
 * {person, name, language, notes, first_seen, last_seen, call_count, "numbers":[...],
 * "identities":[{identity, source or null, at}], "calls":[{call, at, duration_ms, reason, summary, outcome,
 * direction, number, state}]}: the last 100 calls, newest first.
 */
int people_get(struct store *s, struct str id, people_json_fn *fn, void *arg);
/* Every row we hold. ERR_TOO_BIG over 64 MiB. */
int people_export(struct store *s, struct str id, people_json_fn *fn, void *arg);
/*
 * Turns of calls that are over: {"hits":[{call, at, who, text, number}]}, newest first. All words of the query
 * (16 at most), each as the beginning of one; no syntax. ERR_INVALID: no UTF-8.
 */
int people_search(struct store *s, struct str query, unsigned limit, people_json_fn *fn, void *arg);
/*
 * Inbound calls in which nobody was spoken to, newest first: {"missed":[{call, from, from_kind, person, name,
 * reason, detail, kind, sip_status, at, ended_at}]}; kind "refused" | "abandoned" | "failed".
 */
int people_missed(struct store *s, unsigned limit, people_json_fn *fn, void *arg);
/*
 * Erases the person of `id`, or one number of theirs with its calls when only_number (id: the number, or a
 * person with one; else ERR_INVALID): rows of caller, person, identity, link, call, turn, hop, tool_run, handoff,
 * outbox, message, code; all calls by their numbers; claims stay as hashes without our id. What other people's
 * calls say of them stays. ERR_BAD_STATE by fn while a call of theirs is not over: then nothing, or, if it
 * came while many calls were being erased, only the earlier of these are gone. ERR_NOT_FOUND.
 *
 * When fn comes, nothing of it is in the database, its -wal or -shm: FTS5 segments merged, VACUUM (since
 * secure_delete alone leaves copies of cells that moved), checkpoint TRUNCATE. VACUUM holds the store up
 * for about 10 ms a MiB. json: {"person","erased":{table:rows},"calls":[ids],"numbers":[...],"left":[paths]};
 * left: backups and databases that were set aside, and the database itself where one of these steps
 * failed (over 512 MiB VACUUM is not tried; the -wal while another process reads in it for over 8 s).
 */
int people_forget(struct store *s, struct str id, bool only_number, people_json_fn *fn, void *arg);
/*
 * After each people_forget() that returned 0, once fn has come and what stands of them elsewhere is gone (clean) or
 * could not be removed. Until then a crash leaves a mark, and the next start finishes what was begun.
 */
void people_forget_over(struct store *s, bool clean);
/*
 * Finishes what instances that are dead had begun: as people_forget(), of all their persons at once; whoever is gone
 * already leaves their bytes to be cleaned. Reads and writes some small files beside the database at once.
 * ERR_NOT_FOUND: nothing was cut off, fn will not come.
 */
int people_forget_finish(struct store *s, people_json_fn *fn, void *arg);
/*
 * The calls that people_forget() would erase, as {"person", "calls":[ids]}: what stands elsewhere can so be erased
 * first, and a crash leaves nothing there of calls that nobody can name any more. ERR_NOT_FOUND; ERR_BAD_STATE: one
 * is live.
 */
int people_forget_look(struct store *s, struct str id, bool only_number, people_json_fn *fn, void *arg);
/*
 * VACUUM INTO <dir>/backup-<UTC date and time>.db, mode 0600, aside: other operations go on. {"path"}, which appears
 * when it is whole and on the disk. ERR_BAD_STATE at once: one is being made.
 */
int people_backup(struct store *s, people_json_fn *fn, void *arg);
/* Deletes turns of calls that ended before `before`, and messages of chats from before it. In short steps. */
int people_expire_turns(struct store *s, uint64_t before, people_fn *fn, void *arg);

#endif
