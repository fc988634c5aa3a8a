/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_CONFIG_PARTS_H
#define PLUGIN_CONFIG_PARTS_H
/*
 * What the parts of config_read() share: one reading of a configuration, from its sources to checked
 * values. Lives for the duration of config_read() on its thread; nobody else includes this.
 *
 *   config_tree.c   finds each key's winning text in the gateway's section and the YAML file
 *   config_env.c    environment and .env: defaults, ${NAME}
 *   config_check.c  each value against its type; config_rules.c, config_calling.c, config_costs.c: against
 *                   each other
 *   config_bind.c   values into struct config
 *   config_fault.c  what was wrong, sorted
 */
#include "plugin/base/arena.h"
#include "plugin/config/config.h"
#include "plugin/config/config_keys.h"
#include "plugin/config/yaml.h"

#define CONFIG_CHANNEL "channels.voice"
#define CONFIG_TEXT_BYTES_MAX 65536u /* of one value, where its key sets no lower limit */
#define CONFIG_LIST_MAX 10000u       /* entries, where its key sets no lower limit */
#define CONFIG_ARENA_BYTES_MAX (24u << 20)

enum config_origin { /* in the order in which faults are listed */
    CONFIG_FROM_SECTION,
    CONFIG_FROM_FILE,
    CONFIG_FROM_DOTENV,
    CONFIG_FROM_ENV,
    CONFIG_FROM_DEFAULT,
    CONFIG_FROM_NOWHERE /* not set */
};

struct config_entry {
    struct str name;  /* of a map's entry; "*" where one text stands for every name */
    struct str text;  /* what counts, NUL behind it */
    struct str shown; /* what stands in the source, for messages */
    unsigned line;
    bool quoted;   /* a text, even if it looks like a number */
    bool expanded; /* made from variables */
};

struct config_value { /* of one key */
    enum config_origin origin;
    unsigned line;
    struct config_entry *v; /* one, or a list's or map's */
    unsigned n;
    bool bad; /* a fault was reported: not to be judged again */
};

struct config_line { /* a fault or warning */
    enum config_origin origin;
    unsigned line, seq;
    const char *text;
    struct config_line *next;
};

struct config_lines {
    struct config_line *first;
    unsigned n;
};

struct config_env;

struct config_reader {
    struct arena mem;     /* what the snapshot keeps */
    struct arena scratch; /* what this reading needs; both are wiped when freed */
    struct config_value *values; /* config_keys_n of them */
    struct yaml_node *section, *file_root; /* or NULL */
    const char *section_name;              /* "" without a section */
    const char *file;     /* absolute, "" without one */
    const char *base_dir; /* of relative paths; "" when there is none */
    const char *cwd;      /* of paths in create()'s object */
    const char *home;     /* "" when unknown */
    struct config_env *env;
    size_t expand_left;   /* bytes that variables may still add */
    bool file_cut;        /* the file could not be read to its end: what is missing is not known */
    struct config_lines faults, warnings;
};

/* 0, or why the reading must end: ERR_NOMEM (the arenas remember it). */
int config_reader_rc(const struct config_reader *r);

/* config_fault.c. `key` is a path or a variable's name, or empty. */
void config_fault(struct config_reader *r, enum config_origin origin, unsigned line, struct str key,
                  const char *fmt, ...) __attribute__((format(printf, 5, 6)));
void config_warning(struct config_reader *r, enum config_origin origin, unsigned line,
                    struct str key, const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* Writes the lines sorted by source and line; whole lines only. ERR_NOMEM. */
int config_lines_write(struct config_reader *r, struct config_lines *lines, struct buf *out);
/* The candidate nearest to word, or NULL when none is near. */
const char *config_nearest(struct str word, const char *const *candidates, unsigned n);
/* For "%s": s shortened and made printable, in quotes; lives in scratch. */
const char *config_shown(struct config_reader *r, struct str s);

/* config_tree.c */
/* The gateway's JSON object as a tree like a YAML file's. */
struct yaml_node *config_section_tree(struct config_reader *r, const struct json *section);
/* Sets values[] from the section, then from the file; reports unknown keys and wrong shapes. */
void config_tree_take(struct config_reader *r);
/* Index in config_keys, or config_keys_n. */
unsigned config_key_index(struct str path);
bool config_key_is_list(const struct config_key *key);
bool config_key_is_many(const struct config_key *key); /* a list or a map */
/* The value of a key that must exist, by its path. */
struct config_value *config_value_at(struct config_reader *r, const char *path);
/* Its text, or "" when not set. */
struct str config_text_at(struct config_reader *r, const char *path);
/* Where to report that a key is missing: the line of its nearest section in the file. */
void config_place(const struct config_reader *r, const char *path, enum config_origin *origin,
                  unsigned *line);

/* config_env.c */
/* Reads .env beside the YAML file, if there is one. */
void config_env_open(struct config_reader *r);
/* Sets values[] that no file set from their environment names. */
void config_env_take(struct config_reader *r);
/* Replaces ${NAME}, ${NAME:-default} and $${ in text. false: a fault was reported. */
bool config_env_expand(struct config_reader *r, struct config_entry *entry, struct str key);
/* The path of .env, for messages; "" when none was looked for. */
const char *config_env_file(const struct config_reader *r);

/* config_check.c */
/* Fills in defaults; judges and normalises each value; warns of old ones. */
void config_check_values(struct config_reader *r);
/* Reports a fault at a value; marks it bad. `entry` of it, or NULL. */
void config_value_fault(struct config_reader *r, const struct config_key *key,
                        struct config_value *v, const struct config_entry *entry, const char *fmt,
                        ...) __attribute__((format(printf, 5, 6)));
/* A whole number as a file writes it. */
bool config_int_read(struct str s, long long *out);
bool config_bool_read(struct str s, bool *out);

/* config_rules.c */
void config_check_rules(struct config_reader *r);
const struct config_key *config_key_of(const char *path);
bool config_is_set(struct config_reader *r, const char *path);
/* Set and not already faulty: worth judging. */
bool config_is_good(struct config_reader *r, const char *path);
/* Printable ASCII without blanks: what goes into a header line of HTTP. */
bool config_is_visible(struct str s);
/* Fault at the value of a key that is set. */
#define CONFIG_FAULT(r, path, ...) \
    config_value_fault(r, config_key_of(path), config_value_at(r, path), NULL, __VA_ARGS__)
/* Each entry of the key must be a number in E.164. */
void config_check_numbers(struct config_reader *r, const char *path);

/* config_calling.c: rules of the carrier, of calls that we place, and of recordings */
void config_check_calling(struct config_reader *r);

/* config_costs.c: money */
void config_check_costs(struct config_reader *r);
void config_bind_costs(struct config *c, struct config_reader *r);

/* config_bind.c */
/* Values into c. ERR_NOMEM. */
int config_bind(struct config *c, struct config_reader *r);

/* config_file.c */
/* Reads a regular file of at most max bytes. ERR_NOT_FOUND, ERR_TOO_BIG, ERR_IO (e says why), ERR_NOMEM. */
int config_file_read(struct buf *out, const char *path, size_t max, struct err *e);
/* text with `~` and a relative start resolved; lives in a. NULL and e: `~` without HOME, no base. */
const char *config_path_full(struct arena *a, struct str text, const char *base, const char *home,
                             struct err *e);

#endif
