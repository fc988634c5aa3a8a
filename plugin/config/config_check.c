/* SPDX-License-Identifier: MIT */
#include "plugin/config/config_parts.h"
#include "plugin/proto/url.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/*
 * Keys that are taken and checked but whose part of the product is not in this version. Whoever sets
 * one away from its default is told so, instead of waiting for an effect.
 */
static const char *const without_effect[] = {
    "agent.heartbeat.",
    "metrics.voice.",
};

static bool is_secret(const struct config_key *key)
{
    return (key->flags & CONFIG_KEY_SECRET) != 0;
}

void config_value_fault(struct config_reader *r, const struct config_key *key,
                        struct config_value *v, const struct config_entry *entry, const char *fmt,
                        ...)
{
    char text[700], name[160];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    v->bad = true;
    /* A variable is named by its own name, so that it can be found. */
    if (v->origin == CONFIG_FROM_ENV || v->origin == CONFIG_FROM_DOTENV)
        (void)snprintf(name, sizeof name, "%s (%s)", key->env, key->path);
    else
        (void)snprintf(name, sizeof name, "%s", key->path);
    config_fault(r, v->origin, entry && entry->line ? entry->line : v->line, str_of(name), "%s", text);
}

/* `, not "..."`, or nothing for what must not be shown. */
static const char *but_is(struct config_reader *r, const struct config_key *key,
                          const struct config_entry *entry)
{
    char text[96];

    if (is_secret(key))
        return "";
    (void)snprintf(text, sizeof text, ", not %s", config_shown(r, entry->shown));
    return arena_text(&r->scratch, str_of(text));
}

bool config_int_read(struct str s, long long *out)
{
    bool minus = s.n > 0 && s.p[0] == '-';
    uint64_t v;

    s = str_skip(s, minus ? 1 : 0);
    /* A leading zero means octal to YAML 1.1 and decimal to people: neither is guessed. */
    if (s.n > 18 || (s.n > 1 && s.p[0] == '0') || !str_u64(s, &v))
        return false;
    *out = minus ? -(long long)v : (long long)v;
    return true;
}

bool config_bool_read(struct str s, bool *out)
{
    static const char *const words[] = {"true", "false", "yes", "no", "on", "off"};

    for (unsigned i = 0; i < 6; i++) {
        struct str word = str_of(words[i]);

        if (!str_ieq(s, word))
            continue;
        *out = i % 2 == 0;
        return true;
    }
    return false;
}

static void set_text(struct config_reader *r, struct config_entry *entry, const char *text)
{
    entry->text = (struct str){arena_text(&r->scratch, str_of(text)), strlen(text)};
}

/* ---- types ---- */

static void check_bool(struct config_reader *r, const struct config_key *key, struct config_value *v)
{
    struct config_entry *entry = v->v;
    bool value;

    if (!config_bool_read(entry->text, &value))
        config_value_fault(r, key, v, entry, "must be true or false%s", but_is(r, key, entry));
    else if (entry->quoted && !entry->expanded)
        config_value_fault(r, key, v, entry, "must be true or false, without quotes");
    else
        set_text(r, entry, value ? "true" : "false");
}

static void check_int(struct config_reader *r, const struct config_key *key, struct config_value *v)
{
    struct config_entry *entry = v->v;
    long long value;

    if (!config_int_read(entry->text, &value) || value < key->min || value > key->max)
        config_value_fault(r, key, v, entry, "must be a whole number from %lld to %lld%s", key->min,
                           key->max, but_is(r, key, entry));
    else if (entry->quoted && !entry->expanded)
        config_value_fault(r, key, v, entry, "must be a number, without quotes");
}

static size_t max_bytes(const struct config_key *key)
{
    return !config_key_is_many(key) && key->max > 0 ? (size_t)key->max : CONFIG_TEXT_BYTES_MAX;
}

static bool fits(struct config_reader *r, const struct config_key *key, struct config_value *v,
                 const struct config_entry *entry)
{
    if (entry->text.n > max_bytes(key)) {
        config_value_fault(r, key, v, entry, "must be at most %zu bytes long", max_bytes(key));
        return false;
    }
    if (str_has_nul(entry->text) || !str_utf8_valid(entry->text)) {
        config_value_fault(r, key, v, entry, "must be UTF-8 text without NUL");
        return false;
    }
    return true;
}

static void url_fault(struct config_reader *r, const struct config_key *key, struct config_value *v,
                      const char *why)
{
    /* What stands before an @ may be a password. */
    bool hide = str_find(v->v->text, '@') < v->v->text.n;

    config_value_fault(r, key, v, v->v, "must be a URL such as https://voice.example.com%s: %s",
                       hide ? "" : but_is(r, key, v->v), why);
}

static void check_url(struct config_reader *r, const struct config_key *key, struct config_value *v)
{
    struct err e = {0};
    struct url url;
    struct str text = v->v->text;

    if (str_find(text, '@') < text.n)
        url_fault(r, key, v, "it must not hold a user or password");
    else if (!str_starts(text, STR("https://")) && !str_starts(text, STR("http://")))
        url_fault(r, key, v, "it begins with https:// or http://");
    else if (url_read(&url, text, &e) < 0)
        url_fault(r, key, v, e.text);
    else if (url.query.n > 0)
        url_fault(r, key, v, "it must end before the ?");
    /* Paths are appended to it. */
    while (!v->bad && text.n > 0 && text.p[text.n - 1] == '/')
        text.n--;
    v->v->text = (struct str){arena_text(&r->scratch, text), text.n};
}

static void check_path(struct config_reader *r, const struct config_key *key, struct config_value *v)
{
    struct err e = {0};
    const char *full = config_path_full(&r->scratch, v->v->text, r->base_dir, r->home, &e);

    if (full == NULL)
        config_value_fault(r, key, v, v->v, "%s", e.text);
    else
        v->v->text = str_of(full);
}

/* ---- choices ---- */

static const char *alias_of(const struct config_key *key, struct str text)
{
    for (const char *const *a = key->aliases; a && *a; a += 2)
        if (str_eqc(text, a[0]))
            return a[1];
    return NULL;
}

static const char *choice_words(struct config_reader *r, const struct config_key *key)
{
    struct buf b;
    const char *words;

    buf_init(&b, 512);
    for (const char *const *c = key->choices; *c; c++)
        (void)buf_printf(&b, "%s%s", c == key->choices ? "" : c[1] ? ", " : " or ", *c);
    if (b.rc == ERR_NOMEM)
        r->scratch.rc = b.rc;
    words = arena_text(&r->scratch, buf_str(&b));
    buf_free(&b);
    return words;
}

static void check_choice(struct config_reader *r, const struct config_key *key,
                         struct config_value *v, const struct config_entry *entry)
{
    const char *near;
    unsigned n = 0;

    for (; key->choices[n]; n++)
        if (str_eqc(entry->text, key->choices[n]))
            return;
    near = config_nearest(entry->text, key->choices, n);
    config_value_fault(r, key, v, entry, "must be %s%s%s%s%s", choice_words(r, key),
                       but_is(r, key, entry), near ? "; did you mean " : "", near ? near : "",
                       near ? "?" : "");
}

/* Replaces an old value. false: the entry is to be dropped. */
static bool alias_take(struct config_reader *r, const struct config_key *key,
                       const struct config_value *v, struct config_entry *entry)
{
    const char *now = alias_of(key, entry->text);

    if (now == NULL)
        return true;
    if (*now)
        config_warning(r, v->origin, entry->line, str_of(key->path),
                       "%s is an old value; %s is used, write that", config_shown(r, entry->text), now);
    else
        config_warning(r, v->origin, entry->line, str_of(key->path),
                       "%s is an old value without effect; remove it", config_shown(r, entry->text));
    set_text(r, entry, now);
    return *now != '\0';
}

/* ---- one key ---- */

static void check_texts(struct config_reader *r, const struct config_key *key, struct config_value *v)
{
    size_t most = config_key_is_many(key) ? (key->max > 0 ? (size_t)key->max : CONFIG_LIST_MAX) : 1;
    unsigned kept = 0;

    if (v->n > most) {
        config_value_fault(r, key, v, NULL, "at most %zu entries, not %u", most, v->n);
        return;
    }
    for (unsigned i = 0; i < v->n; i++) {
        struct config_entry *entry = &v->v[i];

        if (entry->text.n == 0) {
            config_value_fault(r, key, v, entry, "an entry is empty; remove it");
            continue;
        }
        if (!fits(r, key, v, entry) || !alias_take(r, key, v, entry))
            continue;
        if (key->choices)
            check_choice(r, key, v, entry);
        v->v[kept++] = *entry;
    }
    v->n = kept;
}

static void check_one(struct config_reader *r, const struct config_key *key, struct config_value *v)
{
    switch (key->type) {
    case CONFIG_BOOL: check_bool(r, key, v); return;
    case CONFIG_INT: check_int(r, key, v); return;
    case CONFIG_URL:
        if (fits(r, key, v, v->v))
            check_url(r, key, v);
        return;
    case CONFIG_PATH:
        if (fits(r, key, v, v->v))
            check_path(r, key, v);
        return;
    case CONFIG_STRING:
    case CONFIG_SECRET:
    case CONFIG_STRING_LIST:
    case CONFIG_SECRET_LIST:
    case CONFIG_STRING_MAP: check_texts(r, key, v); return;
    }
}

/* ---- defaults ---- */

static struct config_entry *entries_of(struct config_reader *r, const struct config_key *key,
                                       unsigned *n)
{
    struct str rest = str_of(key->def), part;
    struct config_entry *v = arena_alloc(&r->scratch, (str_of(key->def).n + 1) * sizeof *v);

    *n = 0;
    if (v == NULL || rest.n == 0)
        return v;
    if (!config_key_is_list(key)) {
        v[(*n)++] = (struct config_entry){.name = STR("*"), .text = rest, .shown = rest};
        return v;
    }
    while (str_split(&rest, ',', &part))
        v[(*n)++] = (struct config_entry){
            .text = {arena_text(&r->scratch, part), part.n}, .shown = part};
    return v;
}

/* A default path has no meaning where there is no folder; the caller knows what to do then. */
static void default_take(struct config_reader *r, const struct config_key *key,
                         struct config_value *v)
{
    struct err e = {0};

    if (key->def == NULL)
        return;
    v->v = entries_of(r, key, &v->n);
    if (v->v == NULL)
        return;
    v->origin = CONFIG_FROM_DEFAULT;
    if (key->type == CONFIG_PATH && v->n == 1) {
        const char *full = config_path_full(&r->scratch, v->v->text, r->base_dir, r->home, &e);

        v->v->text = str_of(full ? full : "");
        v->n = full ? 1 : 0;
    }
}

static bool same_as_default(struct config_reader *r, const struct config_key *key,
                            const struct config_value *v)
{
    unsigned n = 0;
    const struct config_entry *def = key->def ? entries_of(r, key, &n) : NULL;

    if (n != v->n)
        return false;
    for (unsigned i = 0; i < n; i++)
        if (def == NULL || !str_eq(def[i].text, v->v[i].text))
            return false;
    return true;
}

static void warn_without_effect(struct config_reader *r, const struct config_key *key,
                                const struct config_value *v)
{
    struct str path = str_of(key->path);

    /* What earlier users have in their environment was not written for this product alone. */
    if (v->origin > CONFIG_FROM_FILE || v->bad || same_as_default(r, key, v))
        return;
    for (size_t i = 0; i < sizeof without_effect / sizeof *without_effect; i++)
        if (str_starts(path, str_of(without_effect[i])))
            config_warning(r, v->origin, v->line, path, "has no effect in this version");
}

void config_check_values(struct config_reader *r)
{
    for (unsigned i = 0; i < config_keys_n && config_reader_rc(r) == 0; i++) {
        const struct config_key *key = &config_keys[i];
        struct config_value *v = &r->values[i];

        if (v->origin == CONFIG_FROM_NOWHERE) {
            default_take(r, key, v);
        } else if (!v->bad && v->n > 0) {
            check_one(r, key, v);
            warn_without_effect(r, key, v);
        }
    }
}
