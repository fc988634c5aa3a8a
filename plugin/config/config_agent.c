/* SPDX-License-Identifier: MIT */
#include "plugin/base/mem.h"
#include "plugin/config/config_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FILE_BYTES_MAX (512u * 1024)
#define AGENT_BYTES_MAX (2u << 20)
#define NAME_BYTES_MAX 200u
#define INSTRUCTIONS_BYTES_MAX (128u * 1024)
#define GREETING_BYTES_MAX 8192u
#define MODEL_BYTES_MAX 128u
#define TOOLS_MAX 64u
#define TOOL_NAME_BYTES_MAX 64u
#define TOOL_DESCRIPTION_BYTES_MAX 8192u
#define PATH_SHOWN_BYTES 90u

struct personality {
    struct agent agent; /* first: the public pointer is this one */
    struct arena mem;
};

struct reading {
    struct personality *p;
    const char *path;
    struct err *e;
};

__attribute__((format(printf, 2, 3))) static int invalid(const struct reading *r, const char *fmt,
                                                         ...)
{
    size_t n = strlen(r->path);
    const char *shown = n > PATH_SHOWN_BYTES ? r->path + n - PATH_SHOWN_BYTES : r->path;
    char text[140];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return err_set(r->e, ERR_INVALID, "%s%s: %s", shown == r->path ? "" : "...", shown, text);
}

/* A text member, "" when absent; path names it in messages. */
static int text_take(const struct reading *r, const char **out, const struct json *in,
                     const char *key, size_t max)
{
    const struct json *node = json_get(in, key);
    struct str s = json_str(node);

    if (node && !json_is_string(node))
        return invalid(r, "%s must be a text", key);
    if (s.n > max)
        return invalid(r, "%s must be at most %zu bytes long", key, max);
    *out = arena_text(&r->p->mem, s);
    return 0;
}

/* ---- voice and model ---- */

static int voice_take(const struct reading *r, const struct json *root)
{
    unsigned i = config_key_index(STR(CONFIG_CHANNEL ".openai.voice"));
    const struct config_key *key = i < config_keys_n ? &config_keys[i] : NULL;
    int rc = text_take(r, &r->p->agent.voice, root, "voice", NAME_BYTES_MAX);

    if (rc < 0 || key == NULL || r->p->agent.voice[0] == '\0')
        return rc;
    for (const char *const *a = key->aliases; a && *a; a += 2)
        if (strcmp(r->p->agent.voice, a[0]) == 0)
            r->p->agent.voice = a[1];
    for (const char *const *c = key->choices; c && *c; c++)
        if (strcmp(r->p->agent.voice, *c) == 0)
            return 0;
    return invalid(r, "voice %.40s is not known; write %s, or remove it", r->p->agent.voice, key->def);
}

static int model_take(const struct reading *r, const struct json *root)
{
    int rc = text_take(r, &r->p->agent.model, root, "model", MODEL_BYTES_MAX);

    for (const char *c = rc == 0 ? r->p->agent.model : ""; *c; c++)
        if (*c <= ' ' || *c > '~')
            return invalid(r, "model must be a name without blanks");
    return rc;
}

/* ---- tools ---- */

static bool is_built_in(struct str name)
{
    return str_eq(name, STR("ask_openclaw")) || str_eq(name, STR("end_call"));
}

static bool is_tool_name(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_' || c == '-'))
            return false;
    }
    return s.n > 0 && s.n <= TOOL_NAME_BYTES_MAX;
}

static int parameters_take(const struct reading *r, struct agent_tool *tool,
                           const struct json *function, unsigned index)
{
    const struct json *parameters = json_get(function, "parameters");
    struct buf b;
    int rc;

    if (parameters == NULL) {
        tool->parameters_json = "{\"type\":\"object\",\"properties\":{}}";
        return 0;
    }
    /* The API takes an object's schema alone. */
    if (!json_is_object(parameters) || !str_eq(json_get_str(parameters, "type"), STR("object")))
        return invalid(r, "tools[%u].parameters must be a JSON Schema of type object", index);
    buf_init(&b, FILE_BYTES_MAX * 2);
    rc = json_write(parameters, &b);
    tool->parameters_json = arena_text(&r->p->mem, buf_str(&b));
    buf_free(&b);
    return rc == ERR_TOO_BIG ? invalid(r, "tools[%u].parameters are too long", index) : rc;
}

static bool is_taken(const struct agent *a, struct str name)
{
    for (unsigned i = 0; i < a->n_tools; i++)
        if (str_eqc(name, a->tools[i].name))
            return true;
    return false;
}

/* Both shapes: {type, function: {name, ...}} of chat completions and {type, name, ...}. */
static int tool_take(const struct reading *r, const struct json *item, unsigned index)
{
    const struct json *function = json_get(item, "function") ? json_get(item, "function") : item;
    struct agent_tool *tool = &r->p->agent.tools[r->p->agent.n_tools];
    struct str name = json_is_string(item) ? json_str(item) : json_get_str(function, "name");
    struct str type = json_get_str(item, "type");
    struct str about = json_get_str(function, "description");

    if (is_built_in(name))
        return 0;
    if (!json_is_object(item) || !json_is_object(function))
        return invalid(r, "tools[%u] must be an object {type: function, name, description, "
                          "parameters}", index);
    if (json_get(item, "type") && !str_eq(type, STR("function")))
        return invalid(r, "tools[%u].type must be function", index);
    if (!is_tool_name(name))
        return invalid(r, "tools[%u].name must be 1 to 64 letters, digits, _ or -", index);
    if (is_taken(&r->p->agent, name))
        return invalid(r, "tools[%u].name %.*s is given twice", index, STR_ARG(name));
    if ((json_get(function, "description") && about.p == NULL) || about.n > TOOL_DESCRIPTION_BYTES_MAX)
        return invalid(r, "tools[%u].description must be a text of at most %u bytes", index,
                       TOOL_DESCRIPTION_BYTES_MAX);
    tool->name = arena_text(&r->p->mem, name);
    tool->description = arena_text(&r->p->mem, about);
    r->p->agent.n_tools++;
    return parameters_take(r, tool, function, index);
}

static int tools_take(const struct reading *r, const struct json *root)
{
    const struct json *tools = json_get(root, "tools");
    unsigned n = 0, index = 0;

    if (tools == NULL)
        return 0;
    if (!json_is_array(tools))
        return invalid(r, "tools must be a list");
    for (const struct json *t = json_first(tools); t; t = json_next(t))
        n++;
    if (n > TOOLS_MAX)
        return invalid(r, "at most %u tools, not %u", TOOLS_MAX, n);
    r->p->agent.tools = arena_alloc(&r->p->mem, (n + 1) * sizeof *r->p->agent.tools);
    if (r->p->agent.tools == NULL)
        return ERR_NOMEM;
    for (const struct json *t = json_first(tools); t; t = json_next(t)) {
        int rc = tool_take(r, t, index++);

        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- the file ---- */

static int root_take(const struct reading *r, const struct json *root)
{
    struct agent *a = &r->p->agent;
    int rc;

    if (!json_is_object(root))
        return invalid(r, "must be an object {name, instructions, voice, model, tools}");
    rc = text_take(r, &a->name, root, "name", NAME_BYTES_MAX);
    if (rc == 0)
        rc = text_take(r, &a->instructions, root, "instructions", INSTRUCTIONS_BYTES_MAX);
    if (rc == 0)
        rc = text_take(r, &a->greeting, root, "greeting", GREETING_BYTES_MAX);
    if (rc == 0)
        rc = voice_take(r, root);
    if (rc == 0)
        rc = model_take(r, root);
    if (rc == 0)
        rc = tools_take(r, root);
    return rc == 0 && r->p->mem.rc < 0 ? ERR_NOMEM : rc;
}

static int file_take(const struct reading *r)
{
    struct err why = {0};
    struct json *root = NULL;
    struct str text;
    struct buf b;
    int rc;

    buf_init(&b, FILE_BYTES_MAX + 8192);
    rc = config_file_read(&b, r->path, FILE_BYTES_MAX, &why);
    if (rc == ERR_NOT_FOUND) {
        rc = 0;
        goto out;
    }
    if (rc < 0) {
        rc = rc == ERR_NOMEM ? rc : invalid(r, "cannot be read: %s", why.text);
        goto out;
    }
    text = buf_str(&b);
    if (str_starts(text, STR("\xef\xbb\xbf")))
        text = str_skip(text, 3);
    rc = json_parse(&root, text, &why);
    if (rc == 0)
        rc = root_take(r, root);
    else if (rc != ERR_NOMEM)
        rc = invalid(r, "%s", why.text);
out:
    json_free(root);
    buf_free(&b);
    return rc;
}

int agent_read(struct agent **out, const struct config *c, struct err *e)
{
    struct reading r = {.path = c->agent_file, .e = e};
    int rc = 0;

    r.p = MEM_NEW(struct personality);
    if (r.p == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    arena_init(&r.p->mem, AGENT_BYTES_MAX);
    r.p->agent.name = r.p->agent.instructions = r.p->agent.greeting = "";
    r.p->agent.voice = r.p->agent.model = "";
    if (*r.path)
        rc = file_take(&r);
    if (rc == ERR_NOMEM)
        (void)err_set(e, rc, "out of memory");
    if (rc == 0)
        *out = &r.p->agent;
    else
        agent_free(&r.p->agent);
    return rc;
}

void agent_free(struct agent *a)
{
    struct personality *p = (struct personality *)(void *)a;

    if (p == NULL)
        return;
    arena_free(&p->mem);
    mem_free(p);
}
