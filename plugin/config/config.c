/* SPDX-License-Identifier: MIT */
#include "plugin/config/config.h"

#include "plugin/base/mem.h"
#include "plugin/base/secret.h"
#include "plugin/config/config_parts.h"

#include <pwd.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CREATE_BYTES_MAX (1u << 20)
#define EXPAND_BYTES_MAX (1u << 20)
#define PASSWD_BYTES 4096u
#define CWD_BYTES 4096u

/* The snapshot with what only its owners need to know. */
struct snapshot {
    struct config c; /* first: the public pointer is this one */
    struct arena mem;
    atomic_uint refs;
};

static struct snapshot *snapshot_of(struct config *c)
{
    return (struct snapshot *)(void *)c;
}

struct config *config_ref(struct config *c)
{
    atomic_fetch_add_explicit(&snapshot_of(c)->refs, 1, memory_order_relaxed);
    return c;
}

void config_unref(struct config *c)
{
    struct snapshot *s;

    if (c == NULL)
        return;
    s = snapshot_of(c);
    if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    json_free(c->all);
    arena_free(&s->mem);
    mem_free(s);
}

/* ---- create()'s object ---- */

/* Its section may hold secrets, and the JSON reader frees without wiping. */
static void texts_wipe(const struct json *node)
{
    struct str s = json_str(node);

    /* The slice points into a copy that the parser made for us alone. */
    secret_wipe((void *)(uintptr_t)s.p, s.n);
    for (const struct json *c = json_first(node); c; c = json_next(c))
        texts_wipe(c);
}

static int create_parse(struct json **out, struct str text, struct buf *faults)
{
    struct err e = {0};
    const struct json *section;
    struct str host;
    int rc = text.n > CREATE_BYTES_MAX ? err_set(&e, ERR_INVALID, "too long")
                                       : json_parse(out, text, &e);

    if (rc == 0 && !json_is_object(*out))
        rc = err_set(&e, ERR_INVALID, "no object");
    host = rc == 0 ? json_get_str(*out, "host") : STR_NONE;
    section = rc == 0 ? json_get(*out, "section") : NULL;
    if (rc == 0 && !str_eq(host, STR("native")) && !str_eq(host, STR("gateway")))
        rc = err_set(&e, ERR_INVALID, "host must be gateway or native");
    else if (section && !json_is_object(section))
        rc = err_set(&e, ERR_INVALID, "section must be an object");
    if (rc < 0 && rc != ERR_NOMEM)
        (void)buf_printf(faults, "create: %s\n", e.text);
    return rc;
}

/* ---- where things lie ---- */

static void home_find(struct config_reader *r)
{
    char text[PASSWD_BYTES];
    struct passwd pw, *hit = NULL;
    const char *home = getenv("HOME");

    if (home && home[0] == '/')
        r->home = arena_text(&r->scratch, str_of(home));
    else if (getpwuid_r(geteuid(), &pw, text, sizeof text, &hit) == 0 && hit && hit->pw_dir &&
             hit->pw_dir[0] == '/')
        r->home = arena_text(&r->scratch, str_of(hit->pw_dir));
}

static void cwd_find(struct config_reader *r)
{
    char *text = mem_alloc(CWD_BYTES);

    if (text == NULL)
        r->scratch.rc = ERR_NOMEM;
    else if (getcwd(text, CWD_BYTES))
        r->cwd = arena_text(&r->scratch, str_of(text));
    mem_free(text);
}

/* A path that the host named. "" and a fault when it cannot be made absolute. */
static const char *host_path(struct config_reader *r, struct str text, const char *name)
{
    struct err e = {0};
    const char *full;

    if (text.n == 0)
        return "";
    full = config_path_full(&r->scratch, text, r->cwd, r->home, &e);
    if (full)
        return full;
    config_fault(r, CONFIG_FROM_DEFAULT, 0, str_of(name), "%s", e.text);
    return "";
}

static const char *folder_of(struct config_reader *r, const char *path)
{
    const char *slash = strrchr(path, '/');

    if (slash == NULL)
        return "";
    return slash == path ? "/" : arena_text(&r->scratch, str_make(path, (size_t)(slash - path)));
}

/* ---- the YAML file ---- */

static void on_yaml_fault(void *ctx, unsigned line, struct str path, const char *text)
{
    config_fault(ctx, CONFIG_FROM_FILE, line, path, "%s", text);
}

static void file_take(struct config_reader *r)
{
    struct err e = {0};
    struct buf text;
    int rc;

    if (*r->file == '\0')
        return;
    buf_init(&text, YAML_MAX_BYTES + 8192);
    rc = config_file_read(&text, r->file, YAML_MAX_BYTES, &e);
    if (rc == 0)
        rc = yaml_doc_read(&r->file_root, &r->scratch, buf_str(&text), on_yaml_fault, r);
    else if (rc != ERR_NOMEM)
        config_fault(r, CONFIG_FROM_FILE, 0, STR_NONE, "cannot be read: %s", e.text);
    if (rc == ERR_NOMEM)
        r->scratch.rc = rc;
    r->file_cut = rc < 0 && rc != ERR_INVALID;
    secret_wipe(text.p, text.n);
    buf_free(&text);
}

/* ---- what the defaults of the table cannot say ---- */

static void default_set(struct config_reader *r, const char *path, const char *text)
{
    struct config_value *v = config_value_at(r, path);

    if (v->n > 0 || v->bad || *text == '\0')
        return;
    v->v = arena_alloc(&r->scratch, sizeof *v->v);
    if (v->v == NULL)
        return;
    *v->v = (struct config_entry){.text = str_of(text), .shown = str_of(text)};
    v->n = 1;
    v->origin = CONFIG_FROM_DEFAULT;
}

static void home_default(struct config_reader *r, const char *path, const char *from_host,
                         const char *below_home)
{
    struct err e = {0};
    const char *full = from_host;

    if (*full == '\0')
        full = config_path_full(&r->scratch, str_of(below_home), "", r->home, &e);
    default_set(r, path, full ? full : "");
    if (config_value_at(r, path)->n == 0 && !config_value_at(r, path)->bad)
        config_fault(r, CONFIG_FROM_DEFAULT, 0, str_of(path), "missing; %s", e.text);
}

static void defaults_complete(struct config_reader *r, const struct json *create)
{
    struct err e = {0};
    const char *agent;

    home_default(r, CONFIG_CHANNEL ".state_dir",
                 host_path(r, json_get_str(create, "state_dir"), "state_dir"), "~/.openclaw/voice");
    home_default(r, "openclaw.workspace",
                 host_path(r, json_get_str(create, "workspace"), "workspace"),
                 "~/.openclaw/workspace");
    /* Without a YAML file there is no folder beside which it could lie. */
    agent = config_path_full(&r->scratch, STR("agent.json"),
                             config_text_at(r, CONFIG_CHANNEL ".state_dir").p, "", &e);
    default_set(r, CONFIG_CHANNEL ".agent_file", agent ? agent : "");
}

/* ---- the whole ---- */

static int reader_open(struct config_reader *r, const struct json *create)
{
    struct str name = json_get_str(create, "section_name");
    const struct json *section = json_get(create, "section");

    arena_init(&r->mem, CONFIG_ARENA_BYTES_MAX);
    arena_init(&r->scratch, CONFIG_ARENA_BYTES_MAX);
    r->section_name = r->file = r->base_dir = r->home = r->cwd = "";
    r->expand_left = EXPAND_BYTES_MAX;
    /* One more than there are keys, for lookups of a key that the table has lost. */
    r->values = arena_alloc(&r->scratch, (config_keys_n + 1) * sizeof *r->values);
    if (r->values == NULL)
        return ERR_NOMEM;
    for (unsigned i = 0; i <= config_keys_n; i++)
        r->values[i].origin = CONFIG_FROM_NOWHERE;
    home_find(r);
    cwd_find(r);
    r->section_name = arena_text(&r->scratch, name.n > 0 ? name : STR("section"));
    if (section)
        r->section = config_section_tree(r, section);
    r->file = host_path(r, json_get_str(create, "config_file"), "config_file");
    r->base_dir = folder_of(r, r->file);
    return config_reader_rc(r);
}

static int reader_run(struct config_reader *r, const struct json *create)
{
    config_env_open(r);
    file_take(r);
    if (config_reader_rc(r) < 0)
        return ERR_NOMEM;
    config_tree_take(r);
    config_env_take(r);
    config_check_values(r);
    if (config_reader_rc(r) < 0)
        return ERR_NOMEM;
    defaults_complete(r, create);
    config_check_rules(r);
    if (config_reader_rc(r) < 0)
        return ERR_NOMEM;
    return r->faults.n > 0 ? ERR_CONFIG : 0;
}

static int snapshot_make(struct config **out, struct config_reader *r, const struct json *create)
{
    struct snapshot *s = MEM_NEW(struct snapshot);
    int rc;

    if (s == NULL)
        return ERR_NOMEM;
    atomic_init(&s->refs, 1);
    rc = config_bind(&s->c, r);
    s->c.native_host = str_eq(json_get_str(create, "host"), STR("native"));
    s->c.config_file = arena_text(&r->mem, str_of(r->file));
    if (rc == 0)
        rc = config_reader_rc(r);
    /* The texts belong to the snapshot from here on, whatever becomes of it. */
    s->mem = r->mem;
    arena_init(&r->mem, CONFIG_ARENA_BYTES_MAX);
    if (rc == 0)
        *out = &s->c;
    else
        config_unref(&s->c);
    return rc;
}

int config_read(struct config **out, struct str create_json, struct buf *faults,
                struct buf *warnings)
{
    struct config_reader r = {0};
    struct json *create = NULL;
    int rc = create_parse(&create, create_json, faults);

    if (rc < 0)
        goto out;
    rc = reader_open(&r, create);
    if (rc == 0)
        rc = reader_run(&r, create);
    if (rc == 0)
        rc = snapshot_make(out, &r, create);
    if (rc == ERR_CONFIG && config_lines_write(&r, &r.faults, faults) < 0)
        rc = ERR_NOMEM;
    if (rc == 0 && config_lines_write(&r, &r.warnings, warnings) < 0) {
        config_unref(*out);
        *out = NULL;
        rc = ERR_NOMEM;
    }
out:
    if (create)
        texts_wipe(create);
    json_free(create);
    arena_free(&r.mem);
    arena_free(&r.scratch);
    return rc;
}
