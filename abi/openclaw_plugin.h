/* SPDX-License-Identifier: MIT */
#ifndef OPENCLAW_PLUGIN_H
#define OPENCLAW_PLUGIN_H
/*
 * The C contract between a host (the OpenClaw gateway's binding, the native host) and a channel
 * plugin in a shared object. One symbol, openclaw_plugin_entry(), returns the plugin's table; the
 * host hands its own table to create(). Needs nothing but libc; C11 and C++11.
 *
 * Versions. The host calls the entry with the ABI it was built for; the plugin returns NULL when the
 * majors differ, before either side reads a struct of the other. Minors only append members. Each
 * side asks OC_HAS() before it uses a member that is younger than major.0 or documented as optional.
 * Nothing is ever reordered, retyped or reused; enums only grow and unknown values are ignored. Every
 * struct passed by pointer begins with `size`, the sizeof its author compiled.
 *
 * Memory. All that is passed is borrowed for the duration of that call, in both directions; who wants
 * to keep it copies it. Nothing allocated on one side is freed on the other. Text is UTF-8 and need
 * not end in NUL.
 *
 * Results. OC_OK = taken: the answer (done or reply) comes exactly once, also on failure and on stop.
 * Negative = refused: it does not come.
 *
 * Threads. A plugin has threads of its own; "loop thread" is the one that runs an instance. Host
 * functions must not block and must not call back into the plugin, but for command(), reply() and
 * progress(), which only queue.
 */
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define OC_ABI_MAJOR 1u
#define OC_ABI_MINOR 0u
#define OC_ABI ((OC_ABI_MAJOR << 16) | OC_ABI_MINOR)
#define OC_ABI_MAJOR_OF(abi) ((uint32_t)(abi) >> 16)

/* True if the struct at p, as its author compiled it, reaches `member` and fills it. */
#define OC_HAS(p, member) \
    ((size_t)((const char *)(&(p)->member + 1) - (const char *)(p)) <= (size_t)(p)->size && \
     (p)->member != 0)

/* Results. Values are fixed; a reader treats an unknown negative value as OC_EFAIL. */
enum oc_result {
    OC_OK = 0,
    OC_EFAIL = -1,      /* anything that has no code of its own; the text says what */
    OC_EINVAL = -2,     /* malformed argument or payload */
    OC_ECONFIG = -3,    /* the configuration has faults; the text lists all, a line each */
    OC_ENOMEM = -4,
    OC_ESTATE = -5,     /* not possible now: not started, already stopping, already stopped */
    OC_ENOTSUP = -6,    /* unknown command, or this host or call cannot do it */
    OC_ENOENT = -7,     /* no such call, run or number */
    OC_EBUSY = -8,      /* a queue or a limit is full; try again */
    OC_ECANCELED = -9,  /* the asker no longer wants it */
    OC_ETIMEDOUT = -10,
    OC_EIO = -11        /* disk or network failed */
};

enum oc_log_level { OC_LOG_ERROR = 0, OC_LOG_WARN = 1, OC_LOG_INFO = 2, OC_LOG_DEBUG = 3 };

/* What a plugin can do; bits of oc_plugin.caps. */
#define OC_CAP_INBOUND (1ull << 0)
#define OC_CAP_TRANSCRIPT (1ull << 1)
#define OC_CAP_REATTACH (1ull << 2)

/* What becomes of live calls when an instance stops. */
enum oc_stop_how {
    OC_STOP_LEAVE_CALLS = 0, /* calls live on at the provider, the next instance re-attaches them */
    OC_STOP_END_CALLS = 1    /* say goodbye and hang up within the grace time */
};

struct oc_str {
    const char *p;
    size_t n;
};

/* Filled by the callee. The caller sets size, text and cap (text may be NULL). */
struct oc_error {
    uint32_t size;
    int32_t code; /* enum oc_result */
    char *text;   /* cap bytes; always ends in NUL when cap > 0; several faults = several lines */
    size_t cap;
};

struct oc_instance; /* the plugin's; opaque to the host */

/* Something that happened. */
struct oc_event {
    uint32_t size;
    struct oc_str name; /* see openclaw_voice.h */
    struct oc_str call; /* our id of the call, or empty */
    struct oc_str json; /* one object on one line, with "event" and (if any) "call" among its fields */
};

/* Something one side wants from the other. */
struct oc_request {
    uint32_t size;
    struct oc_str name; /* see openclaw_voice.h */
    struct oc_str call; /* our id of the call, or empty */
    struct oc_str json; /* one object; empty means {} */
};

/* The answer to start, stop or a command. Loop thread; must not block. */
typedef void oc_done_fn(void *arg, int code, struct oc_str json);

/* The host's services. Lives at least as long as the instances created with it. */
struct oc_host {
    uint32_t size;
    uint32_t abi; /* OC_ABI of the host */
    void *ctx;    /* passed back as the first argument */
    /* One log line, without line end. Any plugin thread. Optional. */
    void (*log)(void *ctx, int level, struct oc_str line);
    /* An event; copy before returning. Loop thread. Optional. */
    void (*event)(void *ctx, const struct oc_event *ev);
    /*
     * Asks the host for work; `token` names it until its reply. The host answers by
     * oc_plugin.reply() from any thread, any number of oc_plugin.progress() before it. Loop thread.
     * Optional: a host without it has no services.
     */
    int (*request)(void *ctx, uint64_t token, const struct oc_request *req);
    /*
     * The plugin no longer needs the answer to `token`; the host stops the work where it can. The
     * reply still comes, once. Unknown tokens are ignored. Loop thread. Optional.
     */
    void (*cancel)(void *ctx, uint64_t token);
};

/* The plugin's services. Static: lives as long as the shared object is mapped. */
struct oc_plugin {
    uint32_t size;
    uint32_t abi; /* OC_ABI of the plugin */
    const char *name;
    const char *version;
    uint64_t caps;
    /*
     * Makes an instance from a configuration (an object, see openclaw_voice.h); reads files, starts
     * no thread, opens no socket. Any thread. err may be NULL. OC_ECONFIG, OC_EINVAL, OC_ENOMEM.
     */
    int (*create)(const struct oc_host *host, struct oc_str config_json, struct oc_instance **out,
                  struct oc_error *err);
    /*
     * Starts threads, opens the database, listens, re-attaches calls. done: {"url","port",...} once
     * it listens, or what failed ({"error"}). Any thread; once an instance.
     */
    int (*start)(struct oc_instance *inst, oc_done_fn *done, void *arg);
    /* A request to the plugin. Queues; never waits. Any thread. */
    int (*command)(struct oc_instance *inst, const struct oc_request *req, oc_done_fn *done,
                   void *arg);
    /*
     * The answer to oc_host.request(). Queues; an unknown or answered token is harmless: OC_OK, or OC_ENOENT
     * where it is known at once. OC_EBUSY: not taken, try again. Any thread.
     */
    int (*reply)(struct oc_instance *inst, uint64_t token, int code, struct oc_str json);
    /* News of a request in work, before its reply. Any thread. */
    int (*progress)(struct oc_instance *inst, uint64_t token, struct oc_str json);
    /*
     * Ends the instance in order, `how` is an enum oc_stop_how, within about grace_ms. done fires on
     * the loop thread as its last act; afterwards no host function is called. Any thread. OC_ESTATE
     * when it was not started or is stopping already.
     */
    int (*stop)(struct oc_instance *inst, int how, uint32_t grace_ms, oc_done_fn *done, void *arg);
    /*
     * Frees the instance and joins its threads, in every state: one that still runs is stopped first
     * as by stop(OC_STOP_LEAVE_CALLS). The one function that may wait. Not from the loop thread.
     */
    void (*destroy)(struct oc_instance *inst);
};

/* NULL when host_abi has another major than the plugin. */
#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
const struct oc_plugin *openclaw_plugin_entry(uint32_t host_abi);
typedef const struct oc_plugin *openclaw_plugin_entry_fn(uint32_t host_abi);
#define OC_PLUGIN_ENTRY_NAME "openclaw_plugin_entry"

#ifdef __cplusplus
}
#endif
#endif
