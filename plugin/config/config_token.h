/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_CONFIG_TOKEN_H
#define PLUGIN_CONFIG_TOKEN_H
/*
 * How bearer tokens of the API (RFC 6750) are written in a configuration: what each may do, and SHA-256 of it in
 * place of the token. Pure; any thread.
 */
#include "plugin/base/err.h"
#include "plugin/base/str.h"

enum bearer_scope {
    SCOPE_READ = 1 << 0,  /* look at everything but exports */
    SCOPE_STEER = 1 << 1, /* place calls, do things to them */
    SCOPE_ADMIN = 1 << 2  /* all of it: forget, export, link, back up, check */
};

#define SCOPE_ALL ((unsigned)(SCOPE_READ | SCOPE_STEER | SCOPE_ADMIN))
#define CONFIG_TOKEN_HASH_BYTES 32u

/*
 * What stands in channels.voice.api.tokens: "read,steer 64-hex-digits", perhaps with "sha256:" before the digits.
 * *scopes: of enum bearer_scope. ERR_INVALID.
 */
int config_token_read(struct str text, unsigned *scopes, unsigned char hash[CONFIG_TOKEN_HASH_BYTES]);
/* "sha256:" and 64 hex digits, as api.token may be written. ERR_INVALID. */
int config_token_hash(struct str text, unsigned char hash[CONFIG_TOKEN_HASH_BYTES]);

#endif
