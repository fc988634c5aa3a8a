/* SPDX-License-Identifier: MIT */
#include "plugin/config/yaml.h"

#include "plugin/base/buf.h"
#include "plugin/base/err.h"
#include "plugin/base/secret.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#define PATH_BYTES_MAX 512u
#define FAULT_BYTES 240u

struct reader {
    yaml_parser_t parser;
    yaml_event_t event;
    bool has_event;
    struct arena *mem;
    struct str text;
    struct buf path; /* keys down to here, joined by dots */
    yaml_fault_fn *fault;
    void *ctx;
    unsigned nodes;
    int rc; /* 0, or ERR_INVALID after a fault; ERR_NOMEM */
    bool stopped; /* a fault behind which nothing can be read */
};

__attribute__((format(printf, 3, 4))) static void fault(struct reader *r, unsigned line,
                                                        const char *fmt, ...)
{
    char text[FAULT_BYTES];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    r->fault(r->ctx, line, buf_str(&r->path), text);
    if (r->rc == 0)
        r->rc = ERR_INVALID;
}

static void out_of_memory(struct reader *r)
{
    r->rc = ERR_NOMEM;
    r->stopped = true;
}

static unsigned line_of(const yaml_mark_t *mark)
{
    return (unsigned)mark->line + 1;
}

static struct str line_text(struct str text, unsigned line)
{
    struct str part = STR_NONE;

    while (line-- > 0 && str_split(&text, '\n', &part))
        ;
    return part;
}

static bool tab_indents(struct str line)
{
    size_t i = 0;

    while (i < line.n && line.p[i] == ' ')
        i++;
    return i < line.n && line.p[i] == '\t';
}

/* What people most often did on a line that libyaml cannot read. */
static const char *hint(struct str line)
{
    bool flow = str_find(line, '[') < line.n || str_find_str(line, STR(": {")) < line.n;

    if (tab_indents(line))
        return "; indent with spaces, not with tabs";
    if (flow && str_find_str(line, STR("${")) < line.n)
        return "; between { } or [ ] write \"${NAME}\" in quotes";
    return "";
}

static unsigned line_at(struct str text, size_t offset)
{
    unsigned line = 1;

    for (size_t i = 0; i < offset && i < text.n; i++)
        line += text.p[i] == '\n';
    return line;
}

/* libyaml's own words, with the line it means. */
static void syntax_fault(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;
    const char *what = p->problem ? p->problem : "unreadable";
    unsigned line = line_of(&p->problem_mark);

    r->stopped = true;
    buf_clear(&r->path);
    if (p->error == YAML_MEMORY_ERROR) {
        out_of_memory(r);
    } else if (p->error == YAML_READER_ERROR) {
        fault(r, line_at(r->text, p->problem_offset),
              "not YAML: %s; the file must be UTF-8 without control characters", what);
    } else {
        fault(r, line, "not YAML: %s%s%s%s", p->context ? p->context : "", p->context ? ": " : "",
              what, hint(line_text(r->text, line)));
    }
}

static void event_drop(struct reader *r)
{
    if (!r->has_event)
        return;
    /* A scalar may be a secret, and libyaml frees without wiping. */
    if (r->event.type == YAML_SCALAR_EVENT)
        secret_wipe(r->event.data.scalar.value, r->event.data.scalar.length);
    yaml_event_delete(&r->event);
    r->has_event = false;
}

static bool event_next(struct reader *r)
{
    event_drop(r);
    if (r->stopped)
        return false;
    if (!yaml_parser_parse(&r->parser, &r->event)) {
        syntax_fault(r);
        return false;
    }
    r->has_event = true;
    return true;
}

/* Anchors could multiply the document, tags could retype it; neither has a use here. */
static void check_properties(struct reader *r)
{
    const yaml_event_t *e = &r->event;
    const yaml_char_t *anchor = NULL, *tag = NULL;

    if (e->type == YAML_SCALAR_EVENT) {
        anchor = e->data.scalar.anchor;
        tag = e->data.scalar.tag;
    } else if (e->type == YAML_SEQUENCE_START_EVENT) {
        anchor = e->data.sequence_start.anchor;
        tag = e->data.sequence_start.tag;
    } else if (e->type == YAML_MAPPING_START_EVENT) {
        anchor = e->data.mapping_start.anchor;
        tag = e->data.mapping_start.tag;
    }
    if (anchor)
        fault(r, line_of(&e->start_mark), "anchors (&name) are not read here; write the value out");
    if (tag)
        fault(r, line_of(&e->start_mark), "tags (!name) are not read here; write the value alone");
}

static bool is_null_word(struct str s)
{
    return s.n == 0 || str_eqc(s, "~") || str_eqc(s, "null") || str_eqc(s, "Null") ||
           str_eqc(s, "NULL");
}

static void scalar_take(struct reader *r, struct yaml_node *node)
{
    struct str s = {(const char *)r->event.data.scalar.value, r->event.data.scalar.length};

    node->quoted = r->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    if (!node->quoted && is_null_word(s))
        return;
    if (str_has_nul(s)) {
        fault(r, node->line, "a NUL character in the text; remove it");
        return;
    }
    node->kind = YAML_IS_TEXT;
    node->text = (struct str){arena_text(r->mem, s), s.n};
}

static struct yaml_node *value_take(struct reader *r, unsigned depth);

/* Appends to a list of children and gives the new end. */
static struct yaml_node **append(struct yaml_node **end, struct yaml_node *child)
{
    *end = child;
    return &child->next;
}

static void list_take(struct reader *r, struct yaml_node *list, unsigned depth)
{
    struct yaml_node **end = &list->first;

    while (event_next(r) && r->event.type != YAML_SEQUENCE_END_EVENT) {
        struct yaml_node *item = value_take(r, depth);

        if (item)
            end = append(end, item);
    }
}

static const struct yaml_node *member(const struct yaml_node *map, struct str key)
{
    const struct yaml_node *n = map->first;

    while (n && !str_eq(n->key, key))
        n = n->next;
    return n;
}

/* The key that the current event holds; false when it is none. */
static bool key_take(struct reader *r, struct str *key)
{
    const yaml_event_t *e = &r->event;

    if (e->type != YAML_SCALAR_EVENT) {
        fault(r, line_of(&e->start_mark), "a key must be a plain word");
        r->stopped = true;
        return false;
    }
    check_properties(r);
    key->p = arena_text(r->mem, (struct str){(const char *)e->data.scalar.value,
                                             e->data.scalar.length});
    key->n = strlen(key->p);
    return true;
}

static void path_push(struct reader *r, struct str key)
{
    /* A path too long to show is shown without its end. */
    if (r->path.n + key.n + 1 > PATH_BYTES_MAX)
        return;
    if (r->path.n > 0)
        (void)buf_putc(&r->path, '.');
    if (buf_puts(&r->path, key) == ERR_NOMEM)
        out_of_memory(r);
}

static void map_take(struct reader *r, struct yaml_node *map, unsigned depth)
{
    struct yaml_node **end = &map->first;
    size_t path_n = r->path.n;
    unsigned keys = 0;

    while (event_next(r) && r->event.type != YAML_MAPPING_END_EVENT) {
        unsigned line = line_of(&r->event.start_mark);
        const struct yaml_node *before;
        struct yaml_node *child;
        struct str key;

        if (!key_take(r, &key))
            return;
        if (++keys > YAML_MAX_KEYS) {
            fault(r, line, "more than %u keys in one section", YAML_MAX_KEYS);
            r->stopped = true;
            return;
        }
        path_push(r, key);
        before = member(map, key);
        if (before)
            fault(r, line, "given twice (first on line %u); keep one", before->key_line);
        child = event_next(r) ? value_take(r, depth) : NULL;
        r->path.n = path_n;
        if (child == NULL)
            return;
        child->key = key;
        child->key_line = line;
        if (!before)
            end = append(end, child);
    }
}

/* Makes a node of the current event and all that belongs to it. NULL: stopped. */
static struct yaml_node *value_take(struct reader *r, unsigned depth)
{
    yaml_event_type_t type = r->event.type;
    unsigned line = line_of(&r->event.start_mark);
    struct yaml_node *node = arena_alloc(r->mem, sizeof *node);

    if (node == NULL || r->mem->rc < 0) {
        out_of_memory(r);
        return NULL;
    }
    node->line = line;
    if (++r->nodes > YAML_MAX_NODES) {
        fault(r, line, "more than %u values in one file", YAML_MAX_NODES);
        r->stopped = true;
        return NULL;
    }
    check_properties(r);
    if (type == YAML_ALIAS_EVENT) {
        fault(r, line, "aliases (*name) are not read here; write the value out");
    } else if (type == YAML_SCALAR_EVENT) {
        scalar_take(r, node);
    } else if (depth >= YAML_MAX_DEPTH) {
        fault(r, line, "nested deeper than %u levels", YAML_MAX_DEPTH);
        r->stopped = true;
        return NULL;
    } else if (type == YAML_SEQUENCE_START_EVENT) {
        node->kind = YAML_IS_LIST;
        list_take(r, node, depth + 1);
    } else {
        node->kind = YAML_IS_MAP;
        map_take(r, node, depth + 1);
    }
    return node;
}

/* stream-start, then nothing, or one document, then the stream's end. */
static struct yaml_node *document_take(struct reader *r)
{
    struct yaml_node *root;

    if (!event_next(r) || !event_next(r) || r->event.type == YAML_STREAM_END_EVENT)
        return NULL;
    if (!event_next(r))
        return NULL;
    root = value_take(r, 0);
    if (r->stopped || !event_next(r) || !event_next(r))
        return root;
    if (r->event.type != YAML_STREAM_END_EVENT)
        fault(r, line_of(&r->event.start_mark), "a second document (---); only one is read");
    return root;
}

/* libyaml's buffers hold the file's text, secrets and all. */
static void buffers_wipe(yaml_parser_t *p)
{
    secret_wipe(p->raw_buffer.start, (size_t)(p->raw_buffer.end - p->raw_buffer.start));
    secret_wipe(p->buffer.start, (size_t)(p->buffer.end - p->buffer.start));
}

int yaml_doc_read(struct yaml_node **out, struct arena *mem, struct str text, yaml_fault_fn *fault_fn,
                  void *ctx)
{
    struct reader r = {.mem = mem, .text = text, .fault = fault_fn, .ctx = ctx};
    struct yaml_node *root = NULL;

    *out = NULL;
    buf_init(&r.path, PATH_BYTES_MAX + 1);
    if (text.n > YAML_MAX_BYTES) {
        fault(&r, 1, "the file is larger than %u KiB", YAML_MAX_BYTES / 1024);
        return ERR_CORRUPT;
    }
    if (!yaml_parser_initialize(&r.parser))
        return ERR_NOMEM;
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)(text.p ? text.p : ""), text.n);
    root = document_take(&r);
    event_drop(&r);
    if (root && root->kind != YAML_IS_MAP) {
        if (root->kind != YAML_IS_NULL)
            fault(&r, root->line, "the file must hold keys (`channels:` and so on)");
        root = NULL;
    }
    buffers_wipe(&r.parser);
    yaml_parser_delete(&r.parser);
    buf_free(&r.path);
    if (r.rc == ERR_NOMEM)
        return r.rc;
    *out = root;
    return r.stopped ? ERR_CORRUPT : r.rc;
}
