/* SPDX-License-Identifier: MIT */
#include "plugin/base/mem.h"
#include "plugin/base/secret.h"
#include "plugin/config/config_parts.h"

#include <stdlib.h>
#include <string.h>

#define ENV_FILE_BYTES_MAX (64u * 1024)
#define NAME_BYTES_MAX 128u

struct variable { /* of .env */
    struct str name, value;
    unsigned line;
    struct variable *next; /* the later line first, so that it wins */
};

struct config_env {
    const char *file;
    struct variable *first;
};

static bool is_name_byte(char c, bool first)
{
    return c == '_' || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (!first && c >= '0' && c <= '9');
}

static size_t name_length(struct str s)
{
    size_t n = 0;

    while (n < s.n && is_name_byte(s.p[n], n == 0))
        n++;
    return n;
}

/* ---- .env ---- */

/* What stands between double quotes, with its few escapes. */
static struct str unescaped(struct config_reader *r, struct str s)
{
    char *out = arena_alloc(&r->scratch, s.n + 1);
    size_t n = 0;

    if (out == NULL)
        return STR("");
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (c == '\\' && i + 1 < s.n) {
            c = s.p[++i];
            c = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c;
        }
        out[n++] = c;
    }
    return (struct str){out, n};
}

/* Index of the quote that ends the text behind s.p[0], or s.n. */
static size_t closing(struct str s)
{
    size_t i = 1;

    while (i < s.n && s.p[i] != s.p[0])
        i += s.p[0] == '"' && s.p[i] == '\\' ? 2 : 1;
    return i < s.n ? i : s.n;
}

static bool is_rest(struct str s)
{
    s = str_trim(s);
    return s.n == 0 || s.p[0] == '#';
}

static bool value_read(struct config_reader *r, struct str s, struct str *value)
{
    size_t end;

    s = str_trim(s);
    if (s.n > 0 && (s.p[0] == '"' || s.p[0] == '\'')) {
        end = closing(s);
        if (end == s.n || !is_rest(str_skip(s, end + 1)))
            return false;
        *value = str_make(s.p + 1, end - 1);
        if (s.p[0] == '"')
            *value = unescaped(r, *value);
        return true;
    }
    if (s.n > 0 && s.p[0] == '#')
        s.n = 0;
    end = str_find_str(s, STR(" #"));
    if (str_find_str(s, STR("\t#")) < end)
        end = str_find_str(s, STR("\t#"));
    *value = str_trim(str_head(s, end));
    return true;
}

static void line_read(struct config_reader *r, struct str line, unsigned number)
{
    struct variable *v;
    struct str value = STR_NONE;
    size_t n;

    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    line = str_trim(line);
    if (line.n == 0 || line.p[0] == '#')
        return;
    if (str_starts(line, STR("export ")) || str_starts(line, STR("export\t")))
        line = str_trim(str_skip(line, 7));
    n = name_length(line);
    if (n == 0 || n > NAME_BYTES_MAX || !str_starts(str_trim(str_skip(line, n)), STR("=")) ||
        str_has_nul(line) || !value_read(r, str_skip(line, str_find(line, '=') + 1), &value)) {
        config_warning(r, CONFIG_FROM_DOTENV, number, STR_NONE,
                       "not read: a line is NAME=value, in quotes if it holds blanks or #");
        return;
    }
    v = arena_alloc(&r->scratch, sizeof *v);
    if (v == NULL)
        return;
    v->name = (struct str){arena_text(&r->scratch, str_head(line, n)), n};
    v->value = (struct str){arena_text(&r->scratch, value), value.n};
    v->line = number;
    v->next = r->env->first;
    r->env->first = v;
}

void config_env_open(struct config_reader *r)
{
    struct err e = {0};
    struct buf text;
    struct str rest, line;
    unsigned number = 0;
    int rc;

    r->env = arena_alloc(&r->scratch, sizeof *r->env);
    if (r->env == NULL || *r->file == '\0')
        return;
    r->env->file = config_path_full(&r->scratch, STR(".env"), r->base_dir, "", &e);
    buf_init(&text, ENV_FILE_BYTES_MAX + 4096);
    rc = r->env->file ? config_file_read(&text, r->env->file, ENV_FILE_BYTES_MAX, &e) : 0;
    if (rc == ERR_NOMEM)
        r->scratch.rc = rc;
    else if (rc < 0 && rc != ERR_NOT_FOUND)
        config_fault(r, CONFIG_FROM_DOTENV, 0, STR_NONE, "cannot be read: %s", e.text);
    rest = rc == 0 ? buf_str(&text) : STR_NONE;
    if (str_starts(rest, STR("\xef\xbb\xbf")))
        rest = str_skip(rest, 3);
    while (str_split(&rest, '\n', &line))
        line_read(r, line, ++number);
    secret_wipe(text.p, text.n);
    buf_free(&text);
}

const char *config_env_file(const struct config_reader *r)
{
    return r->env && r->env->file ? r->env->file : ".env";
}

/* ---- names ---- */

/* The process's own environment wins over the file. */
static bool lookup(const struct config_reader *r, struct str name, struct config_entry *out,
                   enum config_origin *origin)
{
    char text[NAME_BYTES_MAX + 1];
    const char *value;

    if (!str_copy(text, sizeof text, name))
        return false;
    value = getenv(text);
    if (value) {
        *origin = CONFIG_FROM_ENV;
        *out = (struct config_entry){.text = str_of(value)};
        return true;
    }
    for (const struct variable *v = r->env ? r->env->first : NULL; v; v = v->next) {
        if (!str_eq(v->name, name))
            continue;
        *origin = CONFIG_FROM_DOTENV;
        *out = (struct config_entry){.text = v->value, .line = v->line};
        return true;
    }
    return false;
}

void config_env_take(struct config_reader *r)
{
    for (unsigned i = 0; i < config_keys_n; i++) {
        struct config_value *v = &r->values[i];
        struct config_entry found;
        enum config_origin origin;

        if (v->origin != CONFIG_FROM_NOWHERE || config_keys[i].env == NULL ||
            !lookup(r, str_of(config_keys[i].env), &found, &origin))
            continue;
        found.text = str_trim(found.text);
        if (found.text.n == 0)
            continue;
        found.text.p = arena_text(&r->scratch, found.text);
        found.shown = found.text;
        found.expanded = true; /* text: whether it may be a number is the key's business */
        v->v = arena_alloc(&r->scratch, sizeof *v->v);
        if (v->v == NULL)
            return;
        *v->v = found;
        v->n = 1;
        v->line = found.line;
        v->origin = origin;
    }
}

/* ---- ${NAME} ---- */

struct expansion {
    struct config_reader *r;
    const struct config_entry *entry;
    struct str key;
    struct buf out;
};

static bool missing(struct expansion *x, struct str name)
{
    config_fault(x->r, CONFIG_FROM_FILE, x->entry->line, x->key,
                 "%.*s is not set, neither in the environment nor in %s; set it, or write "
                 "${%.*s:-default}",
                 STR_ARG(name), config_env_file(x->r), STR_ARG(name));
    return false;
}

/* One `${...}` at the start of *rest; moves *rest behind it. */
static bool expand_one(struct expansion *x, struct str *rest)
{
    struct str inside = str_skip(*rest, 2);
    size_t end = str_find(inside, '}'), n = name_length(inside);
    struct str name = str_head(inside, n), other = STR_NONE;
    struct config_entry found = {0};
    enum config_origin origin;
    bool known;

    if (end == inside.n || n == 0 || n > NAME_BYTES_MAX ||
        (n != end && !str_starts(str_skip(inside, n), STR(":-")))) {
        config_fault(x->r, CONFIG_FROM_FILE, x->entry->line, x->key,
                     "write ${NAME} or ${NAME:-default}; a literal ${ is written $${");
        return false;
    }
    if (n != end)
        other = str_make(inside.p + n + 2, end - n - 2);
    known = lookup(x->r, name, &found, &origin);
    if (other.p && found.text.n == 0)
        found.text = other;
    else if (!known)
        return missing(x, name);
    *rest = str_skip(inside, end + 1);
    if (found.text.n > x->r->expand_left || buf_puts(&x->out, found.text) == ERR_TOO_BIG) {
        config_fault(x->r, CONFIG_FROM_FILE, x->entry->line, x->key,
                     "what its variables hold is too long");
        return false;
    }
    x->r->expand_left -= found.text.n;
    return true;
}

bool config_env_expand(struct config_reader *r, struct config_entry *entry, struct str key)
{
    struct expansion x = {.r = r, .entry = entry, .key = key};
    struct str rest = entry->text;
    bool good = true;

    if (str_find_str(rest, STR("${")) == rest.n)
        return true;
    buf_init(&x.out, CONFIG_TEXT_BYTES_MAX + YAML_MAX_BYTES);
    while (good && rest.n > 0) {
        size_t at = str_find_str(rest, STR("${"));

        if (at > 0 && at < rest.n && rest.p[at - 1] == '$') {
            (void)buf_put(&x.out, rest.p, at - 1);
            (void)buf_puts(&x.out, STR("${"));
            rest = str_skip(rest, at + 2);
            continue;
        }
        (void)buf_put(&x.out, rest.p, at);
        rest = str_skip(rest, at);
        if (rest.n > 0) {
            entry->expanded = true;
            good = expand_one(&x, &rest);
        }
    }
    if (x.out.rc == ERR_NOMEM)
        r->scratch.rc = ERR_NOMEM;
    entry->text = (struct str){arena_text(&r->scratch, buf_str(&x.out)), x.out.n};
    secret_wipe(x.out.p, x.out.n);
    buf_free(&x.out);
    return good;
}
