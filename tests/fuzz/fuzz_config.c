/* SPDX-License-Identifier: MIT */
/* A configuration file: read as YAML, then as a configuration. Faults are told, and nothing else happens. */
/* covers: plugin/yaml.c plugin/config.c plugin/config_tree.c plugin/config_check.c plugin/config_rules.c
           plugin/config_bind.c */
#include "plugin/base/arena.h"
#include "plugin/base/json.h"
#include "plugin/config.h"
#include "plugin/yaml.h"
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

static void config(struct str in)
{
    struct config *c = NULL;
    struct buf faults, warnings;
    char json[160];
    int fd = memfd_create("config", MFD_CLOEXEC);
    int rc;

    if (fd < 0)
        return;
    if (write(fd, in.p, in.n) == (ssize_t)in.n) {
        buf_init(&faults, 1u << 20);
        buf_init(&warnings, 1u << 20);
        (void)snprintf(json, sizeof json, "{\"host\":\"native\",\"config_file\":\"/proc/self/fd/%d\","
                                          "\"home\":\"/nonexistent\"}", fd);
        rc = config_read(&c, str_of(json), &faults, &warnings);
        FUZZ_MUST((rc == 0) == (c != NULL));
        FUZZ_MUST(rc != ERR_CONFIG || faults.n > 0 || fuzz_starved);
        if (c != NULL) {
            buf_clear(&faults);
            FUZZ_MUST(json_write(c->all, &faults) == 0 || fuzz_starved);
            (void)config_consent_of(c, STR("+15551234567"));
        }
        config_unref(c);
        buf_free(&faults);
        buf_free(&warnings);
    }
    (void)close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    yaml(str_make((const char *)data, size));
    config(str_make((const char *)data, size));
    return 0;
}
