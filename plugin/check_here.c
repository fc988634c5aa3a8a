/* SPDX-License-Identifier: MIT */
/* What this machine tells by itself: configuration, files, the database, numbers and who may be called. */
#include "plugin/check_int.h"

#include "memory/store.h"
#include "plugin/base/clock.h"
#include "plugin/base/seal.h"
#include "plugin/base/secret.h"
#include "plugin/lines_int.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define MB (1024u * 1024u)
#define SPACE_LOW_MB 200u
#define SPACE_NONE_MB 20u
#define LIST_BYTES 300u
#define PATH_BYTES 4200

/* ---- Configuration ---- */

static void tell_config(struct check_run *r)
{
    struct findings *f = &r->part[PART_HERE];
    struct str lines = buf_str(&r->app->warnings), line;
    bool any = false;

    while (lines.n > 0 && str_split(&lines, '\n', &line)) {
        if (line.n == 0)
            continue;
        any = true;
        finding_add(f, FINDING_WARN, "config", NULL, "%.*s", STR_ARG(line));
    }
    if (!r->app->config->enabled)
        finding_add(f, FINDING_WARN, "config", "Write channels.voice.enabled: true.", "the channel is switched off");
    else if (!any)
        finding_add(f, FINDING_OK, "config", NULL, "without faults%s%s",
                    r->app->config->config_file[0] ? ": " : "", r->app->config->config_file);
}

/* ---- The folder of state ---- */

/* The nearest folder above a path that is not there yet. */
static void parent_of(char *path)
{
    char *slash = strrchr(path, '/');

    if (slash == NULL || slash == path)
        (void)str_copy(path, 2, STR("/"));
    else
        *slash = '\0';
}

static void tell_space(struct findings *f, const char *dir)
{
    struct statvfs v;
    uint64_t mb;

    if (statvfs(dir, &v) != 0)
        return;
    mb = (uint64_t)v.f_bavail * v.f_frsize / MB;
    if (mb < SPACE_LOW_MB)
        finding_add(f, mb < SPACE_NONE_MB ? FINDING_FAIL : FINDING_WARN, "state.space",
                    "Make room, or set channels.voice.state_dir to another disk.",
                    "%llu MB are left on the disk of %s", (unsigned long long)mb, dir);
}

static void tell_new_folder(struct findings *f, const char *dir)
{
    char above[PATH_BYTES], cure[PATH_BYTES + 80];

    (void)str_copy(above, sizeof above, str_of(dir));
    do
        parent_of(above);
    while (above[1] != '\0' && access(above, F_OK) != 0);
    (void)snprintf(cure, sizeof cure, "Make %s writable for the gateway's user, or set channels.voice.state_dir.",
                   above);
    if (access(above, W_OK | X_OK) != 0)
        finding_add(f, FINDING_FAIL, "state.dir", cure, "%s is not there and cannot be made", dir);
    else
        finding_add(f, FINDING_OK, "state.dir", NULL, "%s will be made", dir);
    tell_space(f, above);
}

static void tell_token(struct findings *f, const struct config *c)
{
    char path[PATH_BYTES], cure[PATH_BYTES + 40];
    struct stat st;

    (void)snprintf(path, sizeof path, "%.4096s/api-token", c->state_dir);
    (void)snprintf(cure, sizeof cure, "chmod 600 %s", path);
    if (c->api_token[0] != '\0' || stat(path, &st) != 0)
        return;
    if ((st.st_mode & 077) != 0)
        finding_add(f, FINDING_FAIL, "state.token", cure, "%s can be read by others, and is not used so", path);
    else if (access(path, R_OK) != 0)
        finding_add(f, FINDING_FAIL, "state.token", "Give it to the gateway's user, or remove it for a new one.",
                    "%s cannot be read", path);
}

static void tell_state(struct check_run *r)
{
    const struct config *c = r->app->config;
    struct findings *f = &r->part[PART_HERE];
    char cure[PATH_BYTES + 40];
    struct stat st;

    if (stat(c->state_dir, &st) != 0 && errno == ENOENT) {
        tell_new_folder(f, c->state_dir);
        return;
    }
    (void)snprintf(cure, sizeof cure, "chown and chmod 700 %.4096s for the gateway's user.", c->state_dir);
    if (stat(c->state_dir, &st) != 0)
        finding_add(f, FINDING_FAIL, "state.dir", cure, "%s cannot be looked into: %s", c->state_dir,
                    strerrordesc_np(errno));
    else if (!S_ISDIR(st.st_mode))
        finding_add(f, FINDING_FAIL, "state.dir", "Remove it, or set channels.voice.state_dir.", "%s is no folder",
                    c->state_dir);
    else if (access(c->state_dir, R_OK | W_OK | X_OK) != 0)
        finding_add(f, FINDING_FAIL, "state.dir", cure, "%s cannot be written: calls could not be recorded, and are "
                    "not taken", c->state_dir);
    else if ((st.st_mode & 077) != 0)
        finding_add(f, FINDING_WARN, "state.dir", cure, "%s is open to other users of this machine (mode %03o)",
                    c->state_dir, (unsigned)st.st_mode & 0777u);
    else
        finding_add(f, FINDING_OK, "state.dir", NULL, "%s is writable and closed to others", c->state_dir);
    tell_token(f, c);
    tell_space(f, c->state_dir);
}

static void tell_database(struct check_run *r)
{
    struct findings *f = &r->part[PART_HERE];
    struct store_health h = {0};

    if (r->app->store == NULL)
        return;
    store_health_read(r->app->store, &h);
    if (h.failing)
        finding_add(f, FINDING_FAIL, "state.database", "Look at the disk and at the log; calls are answered 503 until "
                    "it writes again.", "the database does not take writes: %s", h.text);
    else if (h.set_aside)
        finding_add(f, FINDING_WARN, "state.database", "Keep that file, or remove it once nothing of it is missed.",
                    "a damaged database was set aside as %s", h.aside_path);
    else
        finding_add(f, FINDING_OK, "state.database", NULL, "it takes writes");
}

/* ---- The assistant ---- */

static void tell_assistant(struct check_run *r)
{
    const struct config *c = r->app->config;
    struct findings *f = &r->part[PART_HERE];
    struct agent *agent = NULL;
    struct err e = {0};

    if (agent_read(&agent, c, &e) < 0)
        finding_add(f, FINDING_FAIL, "agent.file", "Correct the file; until then calls use "
                    "call.default_instructions.", "%s", e.text);
    else if (agent->instructions[0] != '\0')
        finding_add(f, FINDING_OK, "agent.file", NULL, "%s is read", c->agent_file);
    agent_free(agent);
    if (c->integration.memory_enabled && access(c->workspace, R_OK | W_OK | X_OK) != 0)
        finding_add(f, FINDING_WARN, "workspace", "Set openclaw.workspace, or make the folder writable.",
                    "%s cannot be read and written (%s): calls know no memory and leave none", c->workspace,
                    strerrordesc_np(errno));
    if (c->native_host && c->gateway_url[0] == '\0')
        finding_add(f, FINDING_WARN, "agent", "Set openclaw.gateway_url and gateway_token.",
                    "no agent is configured: the model talks, but asks nobody");
}

static void tell_recording(struct check_run *r)
{
    const struct config *c = r->app->config;
    struct findings *f = &r->part[PART_HERE];
    struct seal_key key;
    struct err e = {0};

    if (c->recording.encryption_key[0] == '\0') {
        if (c->call.record_calls)
            finding_add(f, FINDING_WARN, "recording.key", "`openssl rand -hex 32` makes a key for "
                        "channels.voice.recording.encryption_key.", "recordings are stored as they come");
        return;
    }
    if (seal_key_read(&key, str_of(c->recording.encryption_key), &e) < 0)
        finding_add(f, FINDING_FAIL, "recording.key", "`openssl rand -hex 32` makes one.", "%s", e.text);
    else
        finding_add(f, FINDING_OK, "recording.key", NULL, "recordings are encrypted at rest");
    secret_wipe(&key, sizeof key);
}

void check_here(struct check_run *r)
{
    tell_config(r);
    tell_state(r);
    tell_database(r);
    tell_assistant(r);
    tell_recording(r);
}

/* ---- Numbers ---- */

static void put_list(struct buf *b, const struct config_list *list)
{
    for (unsigned i = 0; i < list->n && b->n < LIST_BYTES; i++)
        (void)buf_printf(b, "%s%s", i > 0 ? ", " : "", list->v[i]);
    if (b->n >= LIST_BYTES)
        (void)buf_puts(b, STR(", ..."));
}

static void tell_destinations(struct check_run *r)
{
    const struct config *c = r->app->config;
    struct findings *f = &r->part[PART_NUMBERS];
    struct buf allow, deny;
    bool all = false;

    buf_init(&allow, 2 * LIST_BYTES);
    buf_init(&deny, 2 * LIST_BYTES);
    put_list(&allow, &c->security.destinations_allow);
    put_list(&deny, &c->security.destinations_deny);
    for (unsigned i = 0; i < c->security.destinations_allow.n; i++)
        all |= strcmp(c->security.destinations_allow.v[i], "*") == 0;
    if (!c->security.destinations_given)
        finding_add(f, FINDING_OK, "numbers.destinations", NULL,
                    "numbers linked to a chat may be called, and no others");
    else if (all)
        finding_add(f, FINDING_WARN, "numbers.destinations", "Name countries or numbers in "
                    "security.voice.destinations.allow instead of \"*\".", "every number may be called but emergency, "
                    "premium-rate and own ones%s%.*s", deny.n > 0 ? ", and not " : "", STR_ARG(buf_str(&deny)));
    else
        finding_add(f, FINDING_OK, "numbers.destinations", NULL, "may be called: %.*s%s%.*s; never emergency, "
                    "premium-rate and own numbers that are not named whole", STR_ARG(buf_str(&allow)),
                    deny.n > 0 ? "; not: " : "", STR_ARG(buf_str(&deny)));
    buf_free(&allow);
    buf_free(&deny);
}

static void tell_targets(struct check_run *r)
{
    const struct config_map *names = &r->app->config->security.transfer_targets;
    struct findings *f = &r->part[PART_NUMBERS];
    unsigned good = 0;

    for (unsigned i = 0; i < names->n; i++) {
        struct destination_verdict v;

        destination_target_decide(r->app->lines->destinations, str_of(names->v[i].name), NULL, 0, &v);
        good += v.allow ? 1 : 0;
        if (!v.allow)
            finding_add(f, FINDING_FAIL, "numbers.targets", "Correct the number in security.voice.transfer_targets, or "
                        "what security.voice.destinations says of it.", "\"%s\" can never be called: %s",
                        names->v[i].name, v.text);
    }
    if (names->n > 0 && good == names->n)
        finding_add(f, FINDING_OK, "numbers.targets", NULL, "all %u transfer targets may be called", good);
}

/* Of a number whose zone is not known nothing can be told, and nothing is quiet. */
static void tell_quiet(struct check_run *r)
{
    const struct config *c = r->app->config;
    struct findings *f = &r->part[PART_NUMBERS];
    struct destination_quiet q = {0};
    struct err e = {0};

    if (!c->outbound.quiet_hours.set)
        return;
    if (destination_quiet_ask(&q, str_of(c->twilio.phone_number), clock_wall_ms(), &c->outbound.quiet_hours, &e) < 0)
        finding_add(f, FINDING_FAIL, "numbers.quiet_hours", "Install the package tzdata.",
                    "calls are refused, since quiet hours cannot be told: %s", e.text);
    else
        finding_add(f, FINDING_OK, "numbers.quiet_hours", NULL, "time zones are known; at %s it is %s now",
                    c->twilio.phone_number, q.quiet ? "quiet" : "not quiet");
}

void check_numbers(struct check_run *r)
{
    if (!check_has_carrier(r->app))
        return;
    tell_destinations(r);
    tell_targets(r);
    tell_quiet(r);
}
