/* SPDX-License-Identifier: MIT */
/*
 * openclaw-voice-host: runs one instance of the voice plugin without a gateway. Events go to stdout as
 * JSON lines, log lines to stderr. It offers no services of its own: the plugin reaches an agent over
 * the gateway's HTTP endpoint that the configuration names.
 *
 * The main thread does nothing but wait for signals and for what the plugin's threads report by
 * struct report; signals are blocked before the first thread exists, so no thread of the plugin sees one.
 */
#include "abi/host/check.h"
#include "abi/host/library.h"
#include "abi/host/outlet.h"
#include "abi/host/text.h"
#include "abi/openclaw_voice.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define PATH_BYTES 4096
#define FAULTS_BYTES (64u * 1024)
#define STDOUT_BYTES (16u * 1024 * 1024)
#define STDERR_BYTES (4u * 1024 * 1024)
#define STOP_GRACE_MS 7000 /* what the plugin is given to stop in order */
#define STOP_LIMIT_MS 9000 /* after it the process ends as it is */
#define FLUSH_MS 500

enum exit_code { EXIT_OK = 0, EXIT_FAULT = 1, EXIT_CONFIG = 2, EXIT_FORCED = 3 };

struct options {
    const char *config, *plugin;
    bool version, check, json;
};

/* What the plugin's threads tell the main thread; each is set once and counted up in `bell`. */
struct report {
    pthread_mutex_t lock;
    int bell; /* eventfd */
    bool failed, checked, drained, stopped, freed;
};

struct host {
    const struct oc_plugin *plugin;
    struct oc_instance *instance;
    struct oc_host services;
    struct outlet *events, *log;
    struct report report;
    int signals; /* signalfd */
    pthread_t freer; /* while freeing */
    bool draining, stopping, freeing;
    bool check, json; /* only look whether all is set up */
    bool check_good;
    int code;
};

static const char usage[] =
    "Usage: openclaw-voice-host --config FILE [--plugin SO] [--check [--json]]\n"
    "Runs the voice channel without the OpenClaw gateway.\n"
    "\n"
    "  --config FILE  openclaw-voice-config.yaml\n"
    "  --plugin SO    the plugin; openclaw_voice.so beside this program unless given\n"
    "  --check        looks at keys, webhook, carrier and numbers, says what to fix, and ends: 0, or 1\n"
    "                 when something must be fixed. Places no call and takes none; may run beside a host\n"
    "  --json         the check's report as one line of JSON\n"
    "  --version      name, version and ABI of the plugin\n"
    "  --help         this text\n"
    "\n"
    "Events are JSON lines on stdout, the first is {\"event\":\"ready\",\"url\":...}; log lines go to\n"
    "stderr. SIGTERM or SIGINT stops in order. With call.drain_seconds new calls are refused and live ones\n"
    "may finish before; a second signal stops without waiting for them. Calls that are live then go on at\n"
    "OpenAI, and the next start takes them up again. A signal while it stops ends the program at once.\n"
    "Exit code: 0 stopped in order, 1 could not start or the check failed, 2 the configuration has\n"
    "faults.\n";

/* ---- the services ---- */

static const char *level_mark(int level)
{
    switch (level) {
    case OC_LOG_ERROR:
        return "error: ";
    case OC_LOG_WARN:
        return "warning: ";
    case OC_LOG_DEBUG:
        return "debug: ";
    default:
        return "";
    }
}

static void on_log(void *ctx, int level, struct oc_str line)
{
    struct host *h = ctx;
    char head[48];
    struct timespec now;
    struct tm tm;
    size_t n;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    n = strftime(head, sizeof(head), "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(head + n, sizeof(head) - n, ".%03ldZ %s", now.tv_nsec / 1000000,
                   level_mark(level));
    outlet_put(h->log, head, line.p, line.n);
}

static void on_event(void *ctx, const struct oc_event *event)
{
    struct host *h = ctx;

    outlet_put(h->events, "", event->json.p, event->json.n);
}

static void lost_events(char *text, size_t cap, unsigned long lost)
{
    (void)snprintf(text, cap, "{\"event\":\"warning\",\"text\":\"%lu events were not read in time "
                   "and are lost here; the API has them\"}", lost);
}

static void lost_lines(char *text, size_t cap, unsigned long lost)
{
    (void)snprintf(text, cap, "%lu log lines were not read in time and are lost", lost);
}

static void say(struct host *h, int level, const char *text)
{
    on_log(h, level, (struct oc_str){text, strlen(text)});
}

/* ---- reports to the main thread ---- */

static void ring(struct report *r, bool *what)
{
    uint64_t one = 1;

    pthread_mutex_lock(&r->lock);
    *what = true;
    pthread_mutex_unlock(&r->lock);
    (void)!write(r->bell, &one, sizeof(one));
}

static bool is_set(struct report *r, const bool *what)
{
    bool set;

    pthread_mutex_lock(&r->lock);
    set = *what;
    pthread_mutex_unlock(&r->lock);
    return set;
}

static void on_checked(void *arg, int code, struct oc_str json)
{
    struct host *h = arg;

    h->check_good = code == OC_OK;
    check_print(h->events, json, h->json);
    ring(&h->report, &h->report.checked);
}

/* The plugin answers in any case, if only that it stops. */
static bool ask_check(struct host *h)
{
    const struct oc_request req = {.size = sizeof(req), .name = {OC_CMD_CHECK, strlen(OC_CMD_CHECK)},
                                   .json = check_request(h->json)};

    return h->plugin->command(h->instance, &req, on_checked, h) == OC_OK;
}

static void on_started(void *arg, int code, struct oc_str json)
{
    struct host *h = arg;

    if (code == OC_OK && (!h->check || ask_check(h)))
        return;
    on_log(h, OC_LOG_ERROR, json.n > 0 ? json : (struct oc_str){"the plugin did not start", 24});
    ring(&h->report, &h->report.failed);
}

/* Whatever came of it: the time of waiting is over. */
static void on_drained(void *arg, int code, struct oc_str json)
{
    struct host *h = arg;

    (void)code;
    (void)json;
    ring(&h->report, &h->report.drained);
}

static void on_stopped(void *arg, int code, struct oc_str json)
{
    struct host *h = arg;

    (void)json;
    if (code != OC_OK)
        say(h, OC_LOG_WARN, "the plugin did not stop in order");
    ring(&h->report, &h->report.stopped);
}

/* destroy() waits for the plugin's threads, so it has a thread of its own; the main one keeps time. */
static void *free_instance(void *arg)
{
    struct host *h = arg;

    h->plugin->destroy(h->instance);
    ring(&h->report, &h->report.freed);
    return NULL;
}

/* ---- start and stop ---- */

static uint64_t now_ms(void)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000 + (uint64_t)at.tv_nsec / 1000000;
}

static bool free_begin(struct host *h)
{
    if (pthread_create(&h->freer, NULL, free_instance, h) != 0)
        return false;
    h->freeing = true;
    return true;
}

static bool stop_begin(struct host *h, int code)
{
    h->stopping = true;
    h->code = code;
    if (h->plugin->stop(h->instance, OC_STOP_LEAVE_CALLS, STOP_GRACE_MS, on_stopped, h) == OC_OK)
        return true;
    /* Refused when its start has failed: there is nothing to wait for. */
    return free_begin(h);
}

static bool leave_calls(struct host *h)
{
    say(h, OC_LOG_INFO, "stopping; live calls go on at OpenAI");
    return stop_begin(h, EXIT_OK);
}

/* Live calls may finish first, as the configuration says; a plugin that knows nothing of it is stopped. */
static bool drain_begin(struct host *h)
{
    const struct oc_request req = {.size = sizeof(req), .name = {OC_CMD_DRAIN, strlen(OC_CMD_DRAIN)}};

    h->draining = true;
    if (OC_HAS(h->plugin, command) && h->plugin->command(h->instance, &req, on_drained, h) == OC_OK)
        return true;
    return leave_calls(h);
}

/* What the plugin's threads have reported since; false when the program must end at once. */
static bool on_report(struct host *h)
{
    uint64_t rings;

    (void)!read(h->report.bell, &rings, sizeof(rings));
    if (is_set(&h->report, &h->report.failed) && !h->stopping)
        return stop_begin(h, EXIT_FAULT);
    if (is_set(&h->report, &h->report.checked) && !h->stopping)
        return stop_begin(h, h->check_good ? EXIT_OK : EXIT_FAULT);
    if (is_set(&h->report, &h->report.drained) && !h->stopping)
        return leave_calls(h);
    if (is_set(&h->report, &h->report.stopped) && !h->freeing)
        return free_begin(h);
    return true;
}

/* Takes one signal; false when the program must end at once. */
static bool on_signal(struct host *h)
{
    struct signalfd_siginfo info;

    if (read(h->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return true;
    if (h->stopping)
        return false;
    if (h->check)
        return stop_begin(h, EXIT_FAULT);
    return h->draining ? leave_calls(h) : drain_begin(h);
}

/* Waits for signals and reports until the instance is gone; the program's exit code. */
static int serve(struct host *h)
{
    struct pollfd fds[] = {{.fd = h->signals, .events = POLLIN},
                           {.fd = h->report.bell, .events = POLLIN}};
    uint64_t limit = 0;

    while (!is_set(&h->report, &h->report.freed)) {
        uint64_t now = now_ms();

        if (h->stopping && limit == 0)
            limit = now + STOP_LIMIT_MS;
        if (limit > 0 && now >= limit) {
            say(h, OC_LOG_ERROR, "the plugin did not stop in time");
            return EXIT_FORCED;
        }
        if (poll(fds, 2, limit > 0 ? (int)(limit - now) : -1) < 0) {
            if (errno == EINTR)
                continue;
            return EXIT_FORCED;
        }
        if ((fds[0].revents & POLLIN) && !on_signal(h))
            return EXIT_FORCED;
        if ((fds[1].revents & POLLIN) && !on_report(h))
            return EXIT_FORCED;
    }
    /* It must be gone before exit() cleans up what libraries keep for each thread. */
    (void)pthread_join(h->freer, NULL);
    return h->code;
}

/* ---- the configuration object ---- */

static bool put_member(char *out, size_t cap, size_t *at, const char *name, const char *value)
{
    int n = snprintf(out + *at, cap - *at, "%s\"%s\":", *at > 1 ? "," : "", name);

    if (n < 0 || (size_t)n >= cap - *at)
        return false;
    *at += (size_t)n;
    return text_json_string(out, cap, at, value);
}

/* OpenClaw's state folder, whose `voice` and `workspace` are the defaults; false without a home. */
static bool state_folder(char *path, size_t cap)
{
    const char *dir = getenv("OPENCLAW_STATE_DIR");
    const char *home = getenv("HOME");
    int n;

    if (dir && *dir)
        n = snprintf(path, cap, "%s", dir);
    else if (home && *home)
        n = snprintf(path, cap, "%s/.openclaw", home);
    else
        return false;
    return n > 0 && (size_t)n < cap;
}

static bool make_config(char *out, size_t cap, const char *config_file, bool check)
{
    static const char only_check[] = ",\"check\":true";
    char state[PATH_BYTES], path[PATH_BYTES + 16];
    size_t at = 1;

    out[0] = '{';
    if (!put_member(out, cap, &at, "host", "native") ||
        !put_member(out, cap, &at, "config_file", config_file))
        return false;
    if (state_folder(state, sizeof(state))) {
        (void)snprintf(path, sizeof(path), "%s/voice", state);
        if (!put_member(out, cap, &at, "state_dir", path))
            return false;
        (void)snprintf(path, sizeof(path), "%s/workspace", state);
        if (!put_member(out, cap, &at, "workspace", path))
            return false;
    }
    if (at + sizeof(only_check) + 2 > cap)
        return false;
    if (check) {
        memcpy(out + at, only_check, sizeof(only_check) - 1);
        at += sizeof(only_check) - 1;
    }
    out[at++] = '}';
    out[at] = '\0';
    return true;
}

/* ---- main ---- */

/* -1: go on; else the exit code. */
static int read_options(struct options *o, int argc, char **argv)
{
    static const struct option names[] = {{"config", required_argument, NULL, 'c'},
                                          {"plugin", required_argument, NULL, 'p'},
                                          {"check", no_argument, NULL, 'k'},
                                          {"json", no_argument, NULL, 'j'},
                                          {"version", no_argument, NULL, 'v'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    int c;

    while ((c = getopt_long(argc, argv, "c:p:kjvh", names, NULL)) != -1) {
        if (c == 'h') {
            (void)fputs(usage, stdout);
            return EXIT_OK;
        }
        if (c == 'c')
            o->config = optarg;
        else if (c == 'p')
            o->plugin = optarg;
        else if (c == 'k')
            o->check = true;
        else if (c == 'j')
            o->json = true;
        else if (c == 'v')
            o->version = true;
        else
            return EXIT_CONFIG;
    }
    if (optind < argc || (!o->config && !o->version) || (o->json && !o->check)) {
        (void)fputs(usage, stderr);
        return EXIT_CONFIG;
    }
    return -1;
}

/* Blocks what the main thread takes by signalfd, for it and every thread to come. */
static int take_signals(struct host *h)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    (void)signal(SIGPIPE, SIG_IGN);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
        return -1;
    h->signals = signalfd(-1, &set, SFD_CLOEXEC);
    h->report.bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return h->signals < 0 || h->report.bell < 0 ? -1 : 0;
}

/* Makes the instance. All faults of the configuration reach stderr before anything reaches stdout. */
static int create(struct host *h, const char *config_file)
{
    static char json[4 * PATH_BYTES], faults[FAULTS_BYTES];
    struct oc_error err = {.size = sizeof(err), .text = faults, .cap = sizeof(faults)};
    int rc;

    if (!make_config(json, sizeof(json), config_file, h->check)) {
        (void)fprintf(stderr, "openclaw-voice-host: the path %.80s... is too long\n", config_file);
        return EXIT_CONFIG;
    }
    h->services = (struct oc_host){.size = sizeof(h->services), .abi = OC_ABI, .ctx = h,
                                   .log = on_log, .event = on_event};
    rc = h->plugin->create(&h->services, (struct oc_str){json, strlen(json)}, &h->instance, &err);
    if (rc == OC_OK)
        return EXIT_OK;
    faults[sizeof(faults) - 1] = '\0';
    if (h->check && rc == OC_ECONFIG) {
        check_print_faults(h->events, faults, h->json);
        return EXIT_FAULT;
    }
    (void)fprintf(stderr, "%s\n", faults[0] ? faults : "the plugin refused the configuration");
    return rc == OC_ECONFIG || rc == OC_EINVAL ? EXIT_CONFIG : EXIT_FAULT;
}

static int run(struct host *h, const struct options *o)
{
    int code;

    if (outlet_open(&h->log, STDERR_FILENO, STDERR_BYTES) < 0 ||
        outlet_open(&h->events, STDOUT_FILENO, STDOUT_BYTES) < 0) {
        (void)fputs("openclaw-voice-host: no memory or no thread\n", stderr);
        return EXIT_FAULT;
    }
    outlet_on_lost(h->log, lost_lines);
    outlet_on_lost(h->events, lost_events);
    h->check = o->check;
    h->json = o->json;
    code = create(h, o->config);
    if (code != EXIT_OK)
        return code;
    if (h->plugin->start(h->instance, on_started, h) != OC_OK) {
        say(h, OC_LOG_ERROR, "the plugin refused to start");
        h->plugin->destroy(h->instance);
        return EXIT_FAULT;
    }
    return serve(h);
}

int main(int argc, char **argv)
{
    static struct host host = {.report.lock = PTHREAD_MUTEX_INITIALIZER, .signals = -1};
    struct options options = {0};
    char path[PATH_BYTES], why[PATH_BYTES + 256];
    int code = read_options(&options, argc, argv);

    if (code >= 0)
        return code;
    if (!options.plugin && library_default(path, sizeof(path)) == 0)
        options.plugin = path;
    if (take_signals(&host) < 0) {
        (void)fprintf(stderr, "openclaw-voice-host: signals: %s\n", strerror(errno));
        return EXIT_FAULT;
    }
    host.plugin = library_load(options.plugin ? options.plugin : "openclaw_voice.so", why,
                               sizeof(why));
    if (!host.plugin) {
        (void)fprintf(stderr, "openclaw-voice-host: %s\n", why);
        return EXIT_FAULT;
    }
    if (options.version) {
        printf("%s %s, ABI %u.%u\n", host.plugin->name, host.plugin->version,
               OC_ABI_MAJOR_OF(host.plugin->abi), host.plugin->abi & 0xffff);
        return EXIT_OK;
    }
    code = run(&host, &options);
    if (code == EXIT_FORCED)
        _exit(EXIT_FAULT);
    (void)outlet_close(host.events, FLUSH_MS);
    (void)outlet_close(host.log, FLUSH_MS);
    return code;
}
