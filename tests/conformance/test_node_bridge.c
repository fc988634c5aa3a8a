/* SPDX-License-Identifier: MIT */
/*
 * The bridge of the gateway's binding against the mock plugin, without Node: the one way to see its
 * threads with ThreadSanitizer. The owner here is this program's main thread.
 */
#include "abi/node/bridge.c"
#include "tests/unit/t.h"

#include <dirent.h>
#include <dlfcn.h>
#include <stdatomic.h>
#include <unistd.h>

#define WAIT_MS 20000u

struct seen {
    unsigned logs, events, requests, cancels, done, gone;
    uint64_t token;
    int code;
    void *cookie;
    char json[256], line[256];
};

static atomic_uint wakes;

static void on_wake(void *arg)
{
    (void)arg;
    atomic_fetch_add(&wakes, 1);
}

static struct oc_str text(const char *s)
{
    return (struct oc_str){ s, strlen(s) };
}

static void nap(void)
{
    struct timespec ts = { 0, 1000000 };

    nanosleep(&ts, NULL);
}

static const struct oc_plugin *mock(void)
{
    const char *dir = getenv("OCV_BUILDDIR");
    openclaw_plugin_entry_fn *entry = NULL;
    char path[1024];
    void *so;

    snprintf(path, sizeof(path), "%s/tests/conformance/so_mock_plugin.so", dir ? dir : "build");
    so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    T_MUST(so != NULL);
    *(void **)&entry = dlsym(so, OC_PLUGIN_ENTRY_NAME);
    T_MUST(entry != NULL);
    return entry(OC_ABI);
}

static struct bridge *opened(const struct oc_plugin *plugin, const char *config)
{
    unsigned wants = BRIDGE_WANTS_LOG | BRIDGE_WANTS_EVENT | BRIDGE_WANTS_REQUEST;
    struct bridge *b = NULL;

    T_MUST(bridge_open(&b, plugin, text(config), wants, on_wake, NULL, NULL) == OC_OK);
    return b;
}

static void look(struct seen *s, struct bridge_msg *m)
{
    size_t n = m->json.n < 255 ? m->json.n : 255;

    switch (m->kind) {
    case BRIDGE_LOG:
        s->logs++;
        memcpy(s->line, m->json.p, n);
        s->line[n] = 0;
        break;
    case BRIDGE_EVENT:
        s->events++;
        break;
    case BRIDGE_REQUEST:
        s->requests++;
        s->token = m->token;
        break;
    case BRIDGE_CANCEL:
        s->cancels++;
        break;
    case BRIDGE_DONE:
        s->done++;
        s->code = m->code;
        s->cookie = m->cookie;
        memcpy(s->json, m->json.p ? m->json.p : "", m->json.p ? n : 0);
        s->json[m->json.p ? n : 0] = 0;
        break;
    case BRIDGE_GONE:
        s->gone++;
        break;
    }
}

/* Takes messages until *count reaches n. */
static bool until(struct bridge *b, struct seen *s, const unsigned *count, unsigned n)
{
    uint64_t end = bridge_now_ms() + WAIT_MS;
    struct bridge_msg *m;

    while (*count < n && bridge_now_ms() < end) {
        m = bridge_take(b);
        if (!m) {
            nap();
            continue;
        }
        look(s, m);
        bridge_msg_free(m);
    }
    return *count >= n;
}

static void finish(struct bridge *b, struct seen *s)
{
    bridge_destroy(b);
    bridge_destroy(b);
    T_TRUE(until(b, s, &s->gone, 1));
    T_TRUE(bridge_take(b) == NULL);
    bridge_close(b);
}

static unsigned threads(void)
{
    DIR *dir = opendir("/proc/self/task");
    unsigned n = 0;

    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n;
}

static void test_life(const struct oc_plugin *plugin)
{
    struct bridge *b = opened(plugin, "{}");
    struct seen s = { 0 };
    int cookie;

    T_EQ(bridge_command(b, text("status"), text(""), text(""), &cookie), OC_ESTATE);
    T_EQ(bridge_start(b, &cookie), OC_OK);
    T_TRUE(until(b, &s, &s.done, 1));
    T_EQ(s.code, OC_OK);
    T_TRUE(s.cookie == &cookie);
    T_TRUE(strstr(s.json, "\"port\":") != NULL);
    T_EQ(bridge_start(b, &cookie), OC_ESTATE);
    T_EQ(bridge_command(b, text("mock.echo"), text(""), text("{\"a\":1}"), NULL), OC_OK);
    T_TRUE(until(b, &s, &s.done, 2));
    T_TRUE(strcmp(s.json, "{\"a\":1}") == 0);
    T_EQ(bridge_command(b, text("mock.request.x"), text(""), text("{}"), NULL), OC_OK);
    T_TRUE(until(b, &s, &s.requests, 1));
    T_EQ(bridge_progress(b, s.token, text("{\"n\":1}")), OC_OK);
    T_EQ(bridge_reply(b, s.token, OC_OK, text("{\"n\":2}")), OC_OK);
    T_TRUE(until(b, &s, &s.done, 3));
    T_TRUE(strcmp(s.json, "{\"code\":0,\"reply\":{\"n\":2},\"progress\":[{\"n\":1}]}") == 0);
    T_EQ(bridge_command(b, text("mock.never"), text(""), text(""), NULL), OC_OK);
    T_EQ(bridge_stop(b, OC_STOP_LEAVE_CALLS, 1000, NULL), OC_OK);
    T_TRUE(until(b, &s, &s.done, 5));
    T_EQ(bridge_stop(b, OC_STOP_LEAVE_CALLS, 1000, NULL), OC_ESTATE);
    finish(b, &s);
    T_TRUE(atomic_load(&wakes) > 0);
}

static void test_states(const struct oc_plugin *plugin)
{
    static const char *const configs[] = { "{}", "{\"start_ms\":50}", "{\"start_fails\":1}",
                                           "{\"destroy_ms\":50}" };
    struct seen s;
    size_t i, how;

    for (i = 0; i < 4; i++) {
        for (how = 0; how < 3; how++) {
            struct bridge *b = opened(plugin, configs[i]);

            memset(&s, 0, sizeof(s));
            if (how > 0)
                T_EQ(bridge_start(b, NULL), OC_OK);
            if (how > 1)
                T_TRUE(until(b, &s, &s.done, 1));
            finish(b, &s);
            T_EQ(s.done, how > 0 ? 1u : 0u);
        }
    }
}

static void test_refused(const struct oc_plugin *plugin)
{
    char lines[512] = "";
    struct oc_error err = { .size = sizeof(err), .text = lines, .cap = sizeof(lines) };
    struct bridge *b = NULL;

    T_EQ(bridge_open(&b, plugin, text("{\"fault\":2}"), 0, on_wake, NULL, &err), OC_ECONFIG);
    T_TRUE(b == NULL);
    T_TRUE(strstr(lines, "key0") && strstr(lines, "\n") && strstr(lines, "key1"));
}

static void test_flood(const struct oc_plugin *plugin)
{
    static const char most[] = "{\"events\":20000,\"logs\":20000,\"bytes\":2000}";
    struct bridge *b = opened(plugin, "{}");
    struct bridge_stats stats;
    struct seen s = { 0 };

    T_EQ(bridge_start(b, NULL), OC_OK);
    T_TRUE(until(b, &s, &s.events, 1));
    T_EQ(bridge_command(b, text("mock.flood"), text(""), text("{\"events\":5000,\"bytes\":50}"), NULL),
         OC_OK);
    T_TRUE(until(b, &s, &s.events, 5001));
    T_EQ(bridge_command(b, text("mock.flood"), text(""), text(most), NULL), OC_OK);
    do {
        nap();
        bridge_stats(b, &stats);
    } while (stats.dropped_logs < 20000);
    T_TRUE(stats.queued_bytes <= BRIDGE_QUEUE_BYTES + 4096);
    T_TRUE(stats.dropped_events > 0);
    T_TRUE(until(b, &s, &s.logs, 1));
    while (!strstr(s.line, "were dropped") && until(b, &s, &s.logs, s.logs + 1))
        ;
    T_TRUE(strstr(s.line, "20000 log lines") != NULL);
    T_EQ(s.events + stats.dropped_events, 25001u);
    finish(b, &s);
}

static void test_mute(const struct oc_plugin *plugin)
{
    struct bridge *b = opened(plugin, "{\"destroy_ms\":100}");
    struct seen s = { 0 };
    unsigned before;

    T_EQ(bridge_start(b, NULL), OC_OK);
    T_TRUE(until(b, &s, &s.done, 1));
    T_EQ(bridge_command(b, text("mock.flood"), text(""), text("{\"events\":2000,\"logs\":2000}"), NULL),
         OC_OK);
    bridge_mute(b);
    before = atomic_load(&wakes);
    bridge_destroy(b);
    T_TRUE(!bridge_wait(b, bridge_now_ms() + 20));
    T_TRUE(bridge_wait(b, bridge_now_ms() + WAIT_MS));
    T_TRUE(bridge_take(b) == NULL);
    T_EQ(atomic_load(&wakes), before);
    bridge_close(b);
}

static void test_cycles(const struct oc_plugin *plugin)
{
    unsigned before = threads();
    uint64_t end;
    int i;

    for (i = 0; i < 50; i++) {
        struct bridge *one = opened(plugin, "{}"), *two = opened(plugin, "{}");
        struct seen s = { 0 }, t = { 0 };

        T_EQ(bridge_start(one, NULL), OC_OK);
        T_EQ(bridge_start(two, NULL), OC_OK);
        T_TRUE(until(two, &t, &t.done, 1));
        if (i % 2)
            T_EQ(bridge_stop(two, OC_STOP_END_CALLS, 10, NULL), OC_OK);
        finish(two, &t);
        finish(one, &s);
    }
    for (end = bridge_now_ms() + WAIT_MS; threads() > before && bridge_now_ms() < end;)
        nap();
    T_TRUE(threads() <= before);
}

int main(void)
{
    const struct oc_plugin *plugin;

    T_CASE("an instance lives from open to gone, and every operation is answered once");
    plugin = mock();
    T_MUST(plugin != NULL);
    test_life(plugin);
    T_CASE("destroy in every state answers what is open and comes last");
    test_states(plugin);
    T_CASE("a refused configuration leaves nothing behind");
    test_refused(plugin);
    T_CASE("a flood is bounded: logs go first, then events, and it is told");
    test_flood(plugin);
    T_CASE("a mute bridge wakes nobody and can be waited for");
    test_mute(plugin);
    T_CASE("50 cycles of two instances leave no thread");
    test_cycles(plugin);
    return T_DONE();
}
