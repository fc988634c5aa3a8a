/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_CONFIG_YAML_H
#define PLUGIN_CONFIG_YAML_H
/*
 * A YAML 1.1 document as a tree with line numbers: the part of YAML that a configuration file needs.
 * One block document of maps, lists and scalars; no anchors, aliases or tags, no key twice, bounded in
 * size, depth and keys of a map, so that no input costs more than its length. Scalars stay text: what
 * a plain `yes` or `010` means is the reader's business, who knows the type. Nodes live in the arena
 * given. Pure but for memory; any thread.
 */
#include "plugin/base/arena.h"

#define YAML_MAX_BYTES (256u * 1024)
#define YAML_MAX_DEPTH 16u
#define YAML_MAX_KEYS 256u /* of one map */
#define YAML_MAX_NODES 32768u

enum yaml_kind { YAML_IS_NULL, YAML_IS_TEXT, YAML_IS_LIST, YAML_IS_MAP };

struct yaml_node {
    enum yaml_kind kind;
    bool quoted;         /* a text in quotes or a block (| >): never a number or boolean */
    unsigned line;       /* of the value, from 1 */
    struct str key;      /* of a map's member */
    unsigned key_line;   /* where that key stands */
    struct str text;     /* of a text, NUL behind it */
    struct yaml_node *first, *next; /* children of a list or map, in order */
};

/* One fault; path is the dotted path of keys down to it, or empty. Both borrowed for the call. */
typedef void yaml_fault_fn(void *ctx, unsigned line, struct str path, const char *text);

/*
 * Reads the document. Every fault found goes to `fault`. *out is NULL for an empty document, else a
 * map. 0; ERR_INVALID after faults that left the tree whole but for them; ERR_CORRUPT after one that
 * ended the reading (*out then holds what came before it, or NULL); ERR_NOMEM.
 */
int yaml_doc_read(struct yaml_node **out, struct arena *mem, struct str text, yaml_fault_fn *fault,
                  void *ctx);

#endif
