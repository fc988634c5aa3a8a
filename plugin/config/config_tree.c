/* SPDX-License-Identifier: MIT */
#include "plugin/config/config_parts.h"

#include <stdio.h>
#include <string.h>

#define PATH_BYTES 256u
#define SECTION_DEPTH_MAX 16u

/* ---- the key table ---- */

unsigned config_key_index(struct str path)
{
    unsigned i = 0;

    while (i < config_keys_n && !str_eqc(path, config_keys[i].path))
        i++;
    return i;
}

struct config_value *config_value_at(struct config_reader *r, const char *path)
{
    unsigned i = config_key_index(str_of(path));

    /* One more than there are keys: a path that the table lost reads as not set. */
    return &r->values[i];
}

struct str config_text_at(struct config_reader *r, const char *path)
{
    const struct config_value *v = config_value_at(r, path);

    return v->n > 0 && !v->bad ? v->v[0].text : STR("");
}

/* Whether keys lie below path; an empty path is the root. */
static bool is_section(const char *key_path, struct str path)
{
    return path.n == 0 || (str_starts(str_of(key_path), path) && key_path[path.n] == '.');
}

static bool has_keys(struct str path)
{
    for (unsigned i = 0; i < config_keys_n; i++)
        if (is_section(config_keys[i].path, path))
            return true;
    return false;
}

static struct str last_part(struct str path)
{
    for (size_t i = path.n; i > 0; i--)
        if (path.p[i - 1] == '.')
            return str_skip(path, i);
    return path;
}

/* The name directly below the section `path` on the way to a key. */
static struct str child_of(const char *key_path, struct str path)
{
    struct str rest = str_skip(str_of(key_path), path.n > 0 ? path.n + 1 : 0);

    return str_head(rest, str_find(rest, '.'));
}

/* Names below a section, each once, up to cap of them. */
static unsigned children(struct config_reader *r, struct str path, const char **out, unsigned cap)
{
    unsigned n = 0;

    for (unsigned i = 0; i < config_keys_n && n < cap; i++) {
        struct str name;

        if (!is_section(config_keys[i].path, path))
            continue;
        name = child_of(config_keys[i].path, path);
        if (n == 0 || !str_eqc(name, out[n - 1]))
            out[n++] = arena_text(&r->scratch, name);
    }
    return n;
}

/* ---- unknown keys ---- */

/* A key elsewhere with the same last part, if there is one alone. A name of the root was meant as that. */
static const char *namesake(struct str path)
{
    const char *hit = NULL;

    if (has_keys(last_part(path)))
        return NULL;
    for (unsigned i = 0; i < config_keys_n; i++) {
        if (!str_eq(last_part(str_of(config_keys[i].path)), last_part(path)))
            continue;
        if (hit)
            return NULL;
        hit = config_keys[i].path;
    }
    return hit;
}

static void unknown(struct config_reader *r, enum config_origin origin, const struct yaml_node *node,
                    struct str parent, struct str path)
{
    const char *names[64], *near, *other = namesake(path);
    unsigned n = children(r, parent, names, 64);

    near = config_nearest(node->key, names, n);
    if (near)
        config_fault(r, origin, node->key_line, path, "no such key; did you mean %s?", near);
    else if (other)
        config_fault(r, origin, node->key_line, path, "no such key; did you mean %s?", other);
    else
        config_fault(r, origin, node->key_line, path, "no such key; remove it");
}

/* ---- values ---- */

static const char *type_words(const struct config_key *key)
{
    switch (key->type) {
    case CONFIG_BOOL: return "true or false";
    case CONFIG_INT: return "a whole number";
    case CONFIG_URL: return "a URL";
    case CONFIG_PATH: return "a path";
    case CONFIG_STRING_LIST:
    case CONFIG_SECRET_LIST: return "a text or a list of texts";
    case CONFIG_STRING_MAP:
        return key->flags & CONFIG_KEY_ONE ? "a text, or names with a text each"
                                           : "a section of names with a text each";
    case CONFIG_STRING:
    case CONFIG_SECRET: break;
    }
    return "a text";
}

bool config_key_is_list(const struct config_key *key)
{
    return key->type == CONFIG_STRING_LIST || key->type == CONFIG_SECRET_LIST;
}

bool config_key_is_many(const struct config_key *key)
{
    return config_key_is_list(key) || key->type == CONFIG_STRING_MAP;
}

/* Whether what stands in the source has a shape that the key can take. */
static bool shape_fits(const struct config_key *key, enum yaml_kind kind)
{
    if (kind == YAML_IS_MAP)
        return key->type == CONFIG_STRING_MAP;
    if (kind == YAML_IS_LIST)
        return config_key_is_list(key);
    return key->type != CONFIG_STRING_MAP || (key->flags & CONFIG_KEY_ONE);
}

static const char *shape_words(enum yaml_kind kind)
{
    return kind == YAML_IS_MAP ? "a section" : kind == YAML_IS_LIST ? "a list" : "a text";
}

static bool wants_words(const struct config_key *key)
{
    return key->type != CONFIG_BOOL && key->type != CONFIG_INT;
}

static bool entry_take(struct config_reader *r, enum config_origin origin,
                       const struct config_key *key, const struct yaml_node *node,
                       struct config_entry *out)
{
    struct str path = str_of(key->path);

    *out = (struct config_entry){.name = node->key, .text = node->text, .shown = node->text,
                                 .line = node->line, .quoted = node->quoted};
    if (node->kind != YAML_IS_TEXT) {
        config_fault(r, origin, node->line, path, "each entry must be a text");
        return false;
    }
    /* In YAML a number is as good a text as any; JSON has types of its own. */
    if (origin == CONFIG_FROM_SECTION && wants_words(key) && !node->quoted) {
        config_fault(r, origin, 0, path, "must be %s, in quotes", type_words(key));
        return false;
    }
    /* The gateway has replaced its variables itself. */
    return origin != CONFIG_FROM_FILE || config_env_expand(r, out, path);
}

static unsigned count(const struct yaml_node *list)
{
    unsigned n = 0;

    for (const struct yaml_node *item = list->first; item; item = item->next)
        n++;
    return n;
}

/* Empty text counts as not given, so that `${NAME:-}` can leave a key alone. */
static void value_take(struct config_reader *r, enum config_origin origin, unsigned index,
                       const struct yaml_node *node)
{
    const struct config_key *key = &config_keys[index];
    struct config_value *v = &r->values[index];
    bool many = node->kind == YAML_IS_LIST || node->kind == YAML_IS_MAP;
    const struct yaml_node *item = many ? node->first : node;
    unsigned n = many ? count(node) : 1;

    if (node->kind == YAML_IS_NULL || v->origin != CONFIG_FROM_NOWHERE)
        return;
    v->line = node->key_line;
    if (!shape_fits(key, node->kind)) {
        config_fault(r, origin, node->key_line, str_of(key->path), "must be %s, not %s",
                     type_words(key), shape_words(node->kind));
        v->bad = true;
        v->origin = origin;
        return;
    }
    v->v = arena_alloc(&r->scratch, (n ? n : 1) * sizeof *v->v);
    if (v->v == NULL)
        return;
    for (; item; item = item->next) {
        if (!entry_take(r, origin, key, item, &v->v[v->n]))
            v->bad = true;
        v->n++;
        if (many)
            continue;
        v->v->name = STR("*");
        break;
    }
    if (v->n == 1 && node->kind != YAML_IS_MAP && !v->bad && v->v[0].text.n == 0)
        v->n = 0;
    else
        v->origin = origin;
}

static void old_take(struct config_reader *r, enum config_origin origin,
                     const struct config_key *key, const struct yaml_node *node)
{
    /* `plugin` once named the program; a path to the library is no mistake. */
    if (str_eqc(str_of(key->path), CONFIG_CHANNEL ".plugin") &&
        (str_find(node->text, '/') < node->text.n || str_ends(node->text, STR(".so"))))
        return;
    config_warning(r, origin, node->key_line, str_of(key->path), "%s", key->warn ? key->warn : "old");
}

/* ---- the walk ---- */

struct walk {
    struct config_reader *r;
    enum config_origin origin;
};

/* path: of the node's own key. Its depth is bounded by the trees'. */
static void node_take(const struct walk *w, const struct yaml_node *node, struct str parent,
                      struct str path)
{
    unsigned index = config_key_index(path);
    char below[PATH_BYTES];

    if (index < config_keys_n) {
        if (config_keys[index].flags & CONFIG_KEY_OLD)
            old_take(w->r, w->origin, &config_keys[index], node);
        else
            value_take(w->r, w->origin, index, node);
        return;
    }
    if (!has_keys(path)) {
        unknown(w->r, w->origin, node, parent, path);
        return;
    }
    if (node->kind == YAML_IS_NULL)
        return;
    if (node->kind != YAML_IS_MAP) {
        config_fault(w->r, w->origin, node->key_line, path, "must be a section with keys below it");
        return;
    }
    for (const struct yaml_node *n = node->first; n; n = n->next) {
        int len = snprintf(below, sizeof below, "%.*s.%.*s", STR_ARG(path), STR_ARG(n->key));

        /* No key is as long: what does not fit is unknown whatever its end. */
        node_take(w, n, path, str_head(str_of(below), (size_t)len));
    }
}

/* Of the gateway's section: keys below channels.voice stand in it directly, others by full path. */
static void section_take(const struct walk *w)
{
    static const char *const host_keys[] = {"dmPolicy", "allowFrom", "configFile"};
    char inside[PATH_BYTES];

    for (const struct yaml_node *n = w->r->section->first; n; n = n->next) {
        struct str path;
        bool host = false;

        for (unsigned i = 0; i < sizeof host_keys / sizeof *host_keys; i++)
            host = host || str_eqc(n->key, host_keys[i]);
        if (host)
            continue;
        (void)snprintf(inside, sizeof inside, CONFIG_CHANNEL ".%.*s", STR_ARG(n->key));
        path = str_of(inside);
        if (config_key_index(path) == config_keys_n && !has_keys(path) && has_keys(n->key) &&
            !str_eqc(n->key, "channels"))
            node_take(w, n, STR(""), n->key);
        else
            node_take(w, n, STR(CONFIG_CHANNEL), path);
    }
}

void config_tree_take(struct config_reader *r)
{
    struct walk section = {r, CONFIG_FROM_SECTION}, file = {r, CONFIG_FROM_FILE};

    if (r->section)
        section_take(&section);
    for (const struct yaml_node *n = r->file_root ? r->file_root->first : NULL; n; n = n->next)
        node_take(&file, n, STR(""), n->key);
}

/* ---- the gateway's section ---- */

static struct str number_text(struct config_reader *r, const struct json *node)
{
    struct buf b;
    struct str text;

    buf_init(&b, 64);
    /* An empty text would read as not given. */
    if (json_write(node, &b) < 0)
        r->scratch.rc = ERR_NOMEM;
    text = (struct str){arena_text(&r->scratch, buf_str(&b)), b.n};
    buf_free(&b);
    return text;
}

static struct yaml_node *json_take(struct config_reader *r, const struct json *json, unsigned depth)
{
    struct yaml_node *node = arena_alloc(&r->scratch, sizeof *node), **end;

    if (node == NULL)
        return NULL;
    node->key = json_key(json);
    node->key = (struct str){arena_text(&r->scratch, node->key), node->key.n};
    if (json_is_string(json)) {
        node->kind = YAML_IS_TEXT;
        node->quoted = true;
        node->text = json_str(json);
        node->text = (struct str){arena_text(&r->scratch, node->text), node->text.n};
    } else if (json_is_number(json) || json_is_bool(json)) {
        node->kind = YAML_IS_TEXT;
        node->text = number_text(r, json);
    } else if (depth < SECTION_DEPTH_MAX && (json_is_object(json) || json_is_array(json))) {
        node->kind = json_is_object(json) ? YAML_IS_MAP : YAML_IS_LIST;
        end = &node->first;
        for (const struct json *c = json_first(json); c; c = json_next(c)) {
            *end = json_take(r, c, depth + 1);
            if (*end == NULL)
                return NULL;
            end = &(*end)->next;
        }
    }
    return node;
}

struct yaml_node *config_section_tree(struct config_reader *r, const struct json *section)
{
    return json_take(r, section, 0);
}

/* ---- where a missing key belongs ---- */

void config_place(const struct config_reader *r, const char *path, enum config_origin *origin,
                  unsigned *line)
{
    const struct yaml_node *node = r->file_root;
    struct str rest = str_of(path), part;

    *line = 0;
    *origin = r->file[0] ? CONFIG_FROM_FILE : r->section ? CONFIG_FROM_SECTION : CONFIG_FROM_DEFAULT;
    while (node && str_split(&rest, '.', &part)) {
        const struct yaml_node *n = node->kind == YAML_IS_MAP ? node->first : NULL;

        while (n && !str_eq(n->key, part))
            n = n->next;
        if (n)
            *line = n->key_line;
        node = n;
    }
}
