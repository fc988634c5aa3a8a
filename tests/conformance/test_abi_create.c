/* SPDX-License-Identifier: MIT */
/*
 * The contract before anything runs: versions, tables and structs of hosts that are older or newer than the
 * plugin, configurations that are none, and how faults are told. t-limit: 60
 */
#include "tests/conformance/abi_kit.h"

static void versions(void)
{
    openclaw_plugin_entry_fn *entry = kit_entry();
    const struct oc_plugin *p = entry(OC_ABI);

    T_MUST(p != NULL);
    T_GE(p->size, sizeof(struct oc_plugin));
    T_EQ(OC_ABI_MAJOR_OF(p->abi), OC_ABI_MAJOR);
    T_TRUE(p->name != NULL && p->name[0] != '\0');
    T_TRUE(p->version != NULL && p->version[0] != '\0');
    T_TRUE(OC_HAS(p, create) && OC_HAS(p, start) && OC_HAS(p, command) && OC_HAS(p, reply));
    T_TRUE(OC_HAS(p, progress) && OC_HAS(p, stop) && OC_HAS(p, destroy));
    /* Minors of one major understand each other, whichever is older. */
    T_PTR_EQ(entry(OC_ABI_MAJOR << 16), p);
    T_PTR_EQ(entry(OC_ABI + 1), p);
    T_PTR_EQ(entry((OC_ABI_MAJOR << 16) | 0xffffu), p);
    T_NULL(entry(0));
    T_NULL(entry((OC_ABI_MAJOR - 1) << 16));
    T_NULL(entry((OC_ABI_MAJOR + 1) << 16));
    T_NULL(entry(((OC_ABI_MAJOR + 1) << 16) | OC_ABI_MINOR));
    T_NULL(entry(UINT32_MAX));
}

/* Creates with a table of `size` bytes on a heap block of exactly that size, so that ASan sees every byte
 * too far; runs, and ends. */
static void live_with(const struct oc_plugin *p, const struct oc_host *full, uint32_t size, bool takes)
{
    struct oc_host *table = malloc(size > sizeof *table ? size : size > 8 ? size : 8);
    struct oc_instance *inst = NULL;
    struct kit_done started = {0}, stopped = {0};
    char config[2048], state[40];
    int rc;

    T_MUST(table != NULL);
    memset(table, 0xa5, size > 8 ? size : 8);
    memcpy(table, full, size < sizeof *full ? (size > 8 ? size : 8) : sizeof *full);
    table->size = size;
    (void)snprintf(state, sizeof state, "size-%u", size);
    rc = p->create(table, kit_config(config, sizeof config, state, 0, ""), &inst, NULL);
    if (!takes) {
        T_EQ(rc, OC_EINVAL);
        T_NULL(inst);
        free(table);
        return;
    }
    T_EQ(rc, OC_OK);
    T_MUST(inst != NULL);
    T_EQ(p->start(inst, kit_on_done, &started), OC_OK);
    T_MUST(kit_wait(&started.n, 1));
    T_EQ(started.code, OC_OK);
    T_EQ(p->stop(inst, OC_STOP_LEAVE_CALLS, 1000, kit_on_done, &stopped), OC_OK);
    T_MUST(kit_wait(&stopped.n, 1));
    p->destroy(inst);
    free(table);
}

static void hosts_of_every_size(void)
{
    const struct oc_plugin *p = kit_plugin();
    struct kit_host h;

    kit_host_init(&h);
    live_with(p, &h.table, 0, false);
    live_with(p, &h.table, offsetof(struct oc_host, abi), false);
    live_with(p, &h.table, offsetof(struct oc_host, ctx), false);
    T_EQ(atomic_load(&h.logs), 0);
    live_with(p, &h.table, offsetof(struct oc_host, log), true);
    T_EQ(atomic_load(&h.logs) + atomic_load(&h.events), 0);
    live_with(p, &h.table, offsetof(struct oc_host, event), true);
    T_EQ(atomic_load(&h.events), 0);
    live_with(p, &h.table, offsetof(struct oc_host, request), true);
    T_EQ(atomic_load(&h.ready), 1);
    live_with(p, &h.table, offsetof(struct oc_host, cancel), true);
    live_with(p, &h.table, sizeof(struct oc_host), true);
    /* One member cut in the middle does not count. */
    live_with(p, &h.table, offsetof(struct oc_host, log) + 3, true);
    /* A newer host has members behind those that we know. */
    live_with(p, &h.table, sizeof(struct oc_host) + 64, true);
    T_EQ(atomic_load(&h.ready), 4);
}

static void hosts_without_services(void)
{
    struct kit_host h;
    const struct oc_plugin *p = kit_plugin();

    kit_host_init(&h);
    h.table.ctx = NULL;
    h.table.log = NULL;
    h.table.event = NULL;
    h.table.request = NULL;
    h.table.cancel = NULL;
    live_with(p, &h.table, sizeof h.table, true);
    h.table.abi = OC_ABI + 7; /* a newer minor */
    live_with(p, &h.table, sizeof h.table, true);
    h.table.abi = (OC_ABI_MAJOR + 1) << 16;
    live_with(p, &h.table, sizeof h.table, false);
}

static int create(const struct kit_host *h, struct oc_str config, struct oc_error *err)
{
    struct oc_instance *inst = (struct oc_instance *)(uintptr_t)0x5a5a;
    int rc = kit_plugin()->create(&h->table, config, &inst, err);

    if (rc != OC_OK)
        T_NULL(inst);
    else
        kit_plugin()->destroy(inst);
    return rc;
}

static void what_is_no_configuration(void)
{
    static const char *const bad[] = {"", "{", "null", "[]", "7", "\"x\"", "{\"host\":", "{\"host\":1}",
                                      "{\"section\":[]}", "{\"host\":\"elsewhere\"}", "{}x", "\xff\xfe"};
    struct kit_host h;
    struct oc_instance *inst = NULL;
    char text[1024];
    struct oc_error err = {.size = sizeof err, .text = text, .cap = sizeof text};

    kit_host_init(&h);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        memset(text, 'x', sizeof text);
        err.code = 77;
        T_ERR(create(&h, kit_str(bad[i]), &err));
        T_TRUE(err.code == OC_EINVAL || err.code == OC_ECONFIG);
        T_TRUE(memchr(text, '\0', sizeof text) != NULL && text[0] != '\0');
    }
    T_ERR(create(&h, (struct oc_str){NULL, 0}, &err));
    T_EQ(create(&h, (struct oc_str){NULL, 9}, &err), OC_EINVAL);
    T_EQ(kit_plugin()->create(NULL, kit_str("{}"), &inst, &err), OC_EINVAL);
    T_EQ(kit_plugin()->create(&h.table, kit_str("{}"), NULL, &err), OC_EINVAL);
}

static struct oc_str faulty(char *to, size_t cap)
{
    return kit_config(to, cap, "faulty", 70000,
                      ",\"call\":{\"max_concurrent\":-4,\"silence_timeout_seconds\":\"soon\"},"
                      "\"api\":{\"token\":7},\"nonsense\":{\"really\":true}");
}

static unsigned lines(const char *text)
{
    unsigned n = text[0] != '\0';

    for (; *text != '\0'; text++)
        n += *text == '\n' && text[1] != '\0';
    return n;
}

static void all_faults_are_told(void)
{
    struct kit_host h;
    char config[2048], text[8192] = "";
    struct oc_error err = {.size = sizeof err, .text = text, .cap = sizeof text};

    kit_host_init(&h);
    T_EQ(create(&h, faulty(config, sizeof config), &err), OC_ECONFIG);
    T_EQ(err.code, OC_ECONFIG);
    T_GE(lines(text), 4);
    T_HAS(text, "webhook.port");
    T_HAS(text, "max_concurrent");
    T_HAS(text, "silence_timeout_seconds");
    T_HAS(text, "nonsense");
}

static void faults_in_little_room(void)
{
    struct kit_host h;
    char config[2048], text[64];
    struct oc_error err = {.size = sizeof err, .text = text};
    struct oc_str c = faulty(config, sizeof config);

    kit_host_init(&h);
    T_EQ(create(&h, c, NULL), OC_ECONFIG);
    for (size_t cap = 0; cap < sizeof text; cap++) {
        char *room = malloc(cap > 0 ? cap : 1); /* exactly that much, for ASan */

        T_MUST(room != NULL);
        memset(room, 'x', cap);
        err.text = room;
        err.cap = cap;
        err.code = 0;
        T_EQ(create(&h, c, &err), OC_ECONFIG);
        T_EQ(err.code, OC_ECONFIG);
        if (cap > 0) {
            T_EQ(strnlen(room, cap), cap - 1);
        }
        free(room);
    }
    err.text = NULL;
    err.cap = 50;
    T_EQ(create(&h, c, &err), OC_ECONFIG);
    T_EQ(err.code, OC_ECONFIG);
}

/* An oc_error of another time: only what it reaches is written. */
static void errors_of_every_size(void)
{
    struct kit_host h;
    char config[2048], text[64];
    struct oc_str c = faulty(config, sizeof config);

    kit_host_init(&h);
    for (uint32_t size = 4; size <= sizeof(struct oc_error); size += 4) {
        struct oc_error full = {.size = size, .text = text, .cap = sizeof text};
        struct oc_error *err = malloc(size);

        T_MUST(err != NULL);
        memcpy(err, &full, size);
        memset(text, 'x', sizeof text);
        T_EQ(create(&h, c, err), OC_ECONFIG);
        if (size >= offsetof(struct oc_error, text)) {
            memcpy(&full, err, size);
            T_EQ(full.code, OC_ECONFIG);
        }
        T_EQ(text[0] == 'x', size < sizeof(struct oc_error));
        free(err);
    }
}

static void good_configurations_leave_no_error(void)
{
    struct kit_host h;
    char config[2048], text[64] = "left from before";
    struct oc_error err = {.size = sizeof err, .code = 5, .text = text, .cap = sizeof text};
    unsigned threads = kit_threads(), fds = kit_fds();

    kit_host_init(&h);
    T_EQ(create(&h, kit_config(config, sizeof config, "unborn", 0, ""), &err), OC_OK);
    T_EQ(err.code, OC_OK);
    T_STR_EQ(text, "");
    T_TRUE(kit_threads_become(threads));
    T_EQ(kit_fds(), fds);
}

int main(void)
{
    T_RUN(versions);
    T_RUN(hosts_of_every_size);
    T_RUN(hosts_without_services);
    T_RUN(what_is_no_configuration);
    T_RUN(all_faults_are_told);
    T_RUN(faults_in_little_room);
    T_RUN(errors_of_every_size);
    T_RUN(good_configurations_leave_no_error);
    return T_DONE();
}
