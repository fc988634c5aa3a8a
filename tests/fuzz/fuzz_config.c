/* SPDX-License-Identifier: MIT */
/*
 * A configuration file: read as YAML, then as a configuration; or, for an input that begins with '{', a host's section
 * as JSON, and all that the host says. Faults are told, and nothing else happens.
 */
/* covers: plugin/config/yaml.c plugin/config/config.c plugin/config/config_tree.c plugin/config/config_check.c plugin/config/config_rules.c
           plugin/config/config_bind.c */
#include "plugin/base/arena.h"
#include "plugin/base/json.h"
#include "plugin/config/config.h"
#include "plugin/config/yaml.h"
#include "tests/fuzz/fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

static unsigned nodes(const struct yaml_node *node, unsigned depth)
{
    unsigned n = 1;

    FUZZ_MUST(depth <= YAML_MAX_DEPTH + 1);
    for (const struct yaml_node *i = node->first; i != NULL; i = i->next)
        n += nodes(i, depth + 1);
    return n;
}

static void on_fault(void *ctx, unsigned line, struct str path, const char *text)
{
    (void)line;
    (void)path;
    FUZZ_MUST(text != NULL && text[0] != '\0');
    ++*(unsigned *)ctx;
}

static void yaml(struct str in)
{
    struct yaml_node *root = NULL;
    struct arena mem;
    unsigned faults = 0;
    int rc;

    arena_init(&mem, 16u << 20);
    rc = yaml_doc_read(&root, &mem, in, on_fault, &faults);
    FUZZ_MUST((rc == 0) == (faults == 0) || fuzz_starved || rc == ERR_NOMEM);
    if (root != NULL)
        FUZZ_MUST(nodes(root, 0) <= YAML_MAX_NODES + 1);
    arena_free(&mem);
}

static void config(struct str create)
{
    struct config *c = NULL;
    struct buf faults, warnings;
    int rc;

    buf_init(&faults, 1u << 20);
    buf_init(&warnings, 1u << 20);
    rc = config_read(&c, create, &faults, &warnings);
    FUZZ_MUST((rc == 0) == (c != NULL));
    FUZZ_MUST(rc != ERR_CONFIG || faults.n > 0 || fuzz_starved);
    FUZZ_MUST(str_utf8_valid(buf_str(&faults)) && str_utf8_valid(buf_str(&warnings)));
    if (c != NULL) {
        struct config *more = config_ref(c);

        FUZZ_MUST(more == c && faults.n == 0);
        config_unref(more);
        FUZZ_MUST(json_write(c->all, &faults) == 0 || fuzz_starved);
        FUZZ_MUST(json_check(buf_str(&faults), NULL) == 0 || fuzz_starved);
        (void)config_consent_of(c, STR("+15551234567"));
    }
    config_unref(c);
    buf_free(&faults);
    buf_free(&warnings);
}

static void file(struct str in)
{
    char create[160];
    int fd = memfd_create("config", MFD_CLOEXEC);

    if (fd < 0)
        return;
    if (write(fd, in.p, in.n) == (ssize_t)in.n) {
        (void)snprintf(create, sizeof create, "{\"host\":\"native\",\"config_file\":\"/proc/self/fd/%d\","
                                              "\"home\":\"/nonexistent\"}", fd);
        config(str_of(create));
    }
    (void)close(fd);
}

static void section(struct str in)
{
    struct buf create;

    buf_init(&create, 1u << 20);
    (void)buf_puts(&create, STR("{\"host\":\"gateway\",\"home\":\"/nonexistent\",\"section\":"));
    (void)buf_puts(&create, in);
    (void)buf_putc(&create, '}');
    if (create.rc == 0)
        config(buf_str(&create));
    buf_free(&create);
    if (str_find(in, '/') == in.n && str_find(in, '\\') == in.n) /* it names no file */
        config(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = str_make((const char *)data, size);

    yaml(in);
    if (str_starts(in, STR("{")))
        section(in);
    else
        file(in);
    return 0;
}
