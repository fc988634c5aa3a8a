/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_BEARER_H
#define PLUGIN_BEARER_H
/*
 * Bearer tokens of the API (RFC 6750): who may ask what. Only SHA-256 of each is kept, which is enough for tokens
 * that nobody can guess. Owner: the app; immutable once made, any thread.
 */
#include "plugin/config/config_token.h"

#define BEARER_TOKENS_MAX 64u

struct config;
struct bearers;

/* first: the token of <state_dir>/api-token, or "" without one; it may do everything, as may api.token. ERR_NOMEM. */
int bearers_open(struct bearers **out, const struct config *c, struct str first);
void bearers_close(struct bearers *b); /* NULL is fine */
/* The token's name and scopes; NULL: it is none of ours. Takes as long for a wrong one as for a right one. */
const char *bearers_find(const struct bearers *b, struct str token, unsigned *scopes);

/* What a request needs, one of enum bearer_scope; what is not known needs SCOPE_ADMIN, or SCOPE_READ to look at. */
enum bearer_scope bearer_needs(struct str method, struct str path);
const char *bearer_scope_name(enum bearer_scope s);

#endif
