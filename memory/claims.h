/* SPDX-License-Identifier: MIT */
#ifndef MEMORY_CLAIMS_H
#define MEMORY_CLAIMS_H
/*
 * A fixed-size memory of claims that are known to be durable, so that a duplicate is told without asking
 * the database. It forgets, and it never errs: what it holds was read from or committed to the
 * database by this process. Owner: the store. Loop thread.
 */
#include <stdbool.h>

struct claims;

struct claims *claims_new(void); /* NULL: out of memory */
void claims_free(struct claims *c);
void claims_add(struct claims *c, const unsigned char key[32]);
bool claims_has(const struct claims *c, const unsigned char key[32]);
void claims_clear(struct claims *c); /* after rows were deleted */

#endif
