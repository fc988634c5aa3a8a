/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_CONFIG_KEYS_H
#define PLUGIN_CONFIG_KEYS_H
/*
 * The table of configuration keys, generated from plugin.toml. Constant and static: any thread, as
 * long as the shared object is mapped. config.c reads files against it and holds the values.
 */

enum config_type {
    CONFIG_STRING,
    CONFIG_BOOL,
    CONFIG_INT,
    CONFIG_PATH, /* relative to the file that names it; `~/` is the home folder */
    CONFIG_URL,
    CONFIG_SECRET, /* text that is never printed */
    CONFIG_STRING_LIST, /* a list, or one text alone */
    CONFIG_SECRET_LIST,
    CONFIG_STRING_MAP /* names of the user's own, each with a text */
};

/* Bits of config_key.flags. */
enum config_key_flag {
    CONFIG_KEY_SECRET = 1u << 0,  /* prints as *** */
    CONFIG_KEY_OLD = 1u << 1,     /* has no effect: accepted with `warn` as one warning line */
    CONFIG_KEY_RESTART = 1u << 2, /* a change takes effect at the next start of the channel */
    CONFIG_KEY_ONE = 1u << 3,     /* of a map: a text alone stands for every name, "*" */
};

struct config_key {
    const char *path; /* full path in the YAML file, such as channels.voice.webhook.port */
    enum config_type type;
    const char *def; /* as it would be written in YAML, list entries joined by commas; NULL: none */
    long long min, max; /* int: the range; text: max bytes; list: max entries (0: the reader's own) */
    const char *const *choices; /* what a text or list entry may be, ends in NULL; NULL: anything */
    const char *const *aliases; /* pairs old value, new value ("" drops it), ends in NULL; or NULL */
    unsigned flags;             /* enum config_key_flag */
    const char *env;            /* environment name that gives the default, or NULL */
    const char *warn;           /* of an old key: what the warning says after the key's name */
    const char *help;           /* one line */
};

extern const struct config_key config_keys[];
extern const unsigned config_keys_n;

#endif
