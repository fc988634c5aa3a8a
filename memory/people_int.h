/* SPDX-License-Identifier: MIT */
#ifndef MEMORY_PEOPLE_INT_H
#define MEMORY_PEOPLE_INT_H
/*
 * What people*.c and outbox.c share. memory/ only; everything here runs on the store thread, inside a
 * transaction. identity.person is what table link says: the persons are the connected pieces of it.
 */
#include "memory/journal_int.h"
#include "memory/op.h"
#include "memory/people.h"
#include "plugin/base/id.h"

#define PEOPLE_VOICE "voice:"
#define PEOPLE_IDENTITY_BYTES 224 /* room for an identity with its NUL */
#define PEOPLE_OPEN_STATE "NOT IN ('done','failed','uncertain')" /* of outbox rows */

struct people_identity {
    char text[PEOPLE_IDENTITY_BYTES];
};

/* Steps a statement without rows; binds as many of a, b and n as it has parameters, in this order. */
int people_exec(struct store *s, const char *sql, struct str a, struct str b, uint64_t n);
/* First column of the first row, 0 when there is none; binds as above. */
int people_int(struct store *s, const char *sql, struct str a, struct str b, uint64_t n, int64_t *out);
/* "channel:peer", and an E.164 number where the channel is voice. Any thread. */
bool people_is_identity(struct str s);
/* The identity of an API's id: an E.164 number's, or the identity it is; false for others. Any thread. */
bool people_identity_of(struct str id, struct people_identity *out);
/* The person of an identity. ERR_NOT_FOUND. */
int people_find(struct store *s, struct str identity, struct id *person);
/* The person of a number, a person id or an identity. ERR_NOT_FOUND. */
int people_resolve(struct store *s, struct str id, struct id *person);
/* A new person. */
int people_new(struct store *s, uint64_t at, struct id *person);
/* The person of an identity, made if need be. */
int people_need(struct store *s, struct str identity, uint64_t at, struct id *person);
/* Says that a and b are one person: the link's row, and their persons become one. */
int people_join(struct store *s, struct str a, struct str b, const char *source, uint64_t at);
/*
 * After links of the person were deleted: what no longer hangs together becomes persons of their own, and their
 * numbers take their calls along. The oldest identity stays the person.
 */
int people_part(struct store *s, struct str person, uint64_t at);
/* Makes the identity a person of its own; whoever hung together through it goes on to do so without it. */
int people_take_out(struct store *s, struct str identity, struct id *alone);
/* The oldest identity of a person: numbers that called come first. ERR_NOT_FOUND. */
int people_first(struct store *s, struct str person, struct people_identity *out);
/* {"person","name",...,"numbers":[],"identities":[]} */
int people_put(struct store *s, struct str person, struct buf *out);

#endif
