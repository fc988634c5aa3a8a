/* SPDX-License-Identifier: MIT */
#include "plugin/route_recording.h"

#include "plugin/base/mem.h"
#include "plugin/net/httpd.h"
#include "plugin/proto/range.h"

#include <stdio.h>

#define PIECE_BYTES 65536u
#define PENDING_BYTES_MAX 131072u /* and then waits until all has left */
#define TYPE_BYTES 64

struct serving {
    struct httpd_exchange *x;
    struct recording_source *source;
    const struct log *log;
    uint64_t size, at, left;
    enum range_kind range;
    bool head, failed;
    char etag[80], type[TYPE_BYTES], name[RECORDING_NAME_BYTES];
};

static void serving_free(struct serving *s)
{
    recording_source_close(s->source);
    mem_free(s);
}

static void refuse(struct httpd_exchange *x, int status, const char *json)
{
    (void)httpd_reply_header(x, "Cache-Control", STR("no-store"));
    if (status == 503)
        (void)httpd_reply_header(x, "Retry-After", STR("5"));
    httpd_reply(x, status, "application/json", str_of(json));
}

static void refuse_for(struct serving *s, int rc)
{
    if (rc == ERR_NOT_FOUND)
        refuse(s->x, 404, "{\"error\":\"the file of this recording is gone\"}");
    else if (rc == ERR_DENIED)
        refuse(s->x, 500, "{\"error\":\"it is encrypted: set channels.voice.recording.encryption_key to its key\"}");
    else if (rc == ERR_CLOSED || rc == ERR_CANCELED || rc == ERR_FULL || rc == ERR_NOMEM)
        refuse(s->x, 503, "{\"error\":\"too much to do, or shutting down; try again\"}");
    else
        refuse(s->x, 500, "{\"error\":\"the file of this recording is damaged\"}");
    serving_free(s);
}

/* ---- the body ---- */

static void pump(struct serving *s);

static void on_gone(void *arg)
{
    serving_free(arg);
}

static void on_drained(void *arg)
{
    pump(arg);
}

/* What was sent cannot be taken back: the connection is cut, so that nobody takes it for the whole. */
static void break_off(struct serving *s, int rc)
{
    if (rc != ERR_CLOSED && !s->failed)
        log_error(s->log, "the recording %s breaks off: %s", s->name, err_name(rc));
    s->failed = true;
    httpd_stream_drop(s->x);
}

static void on_bytes(void *arg, int rc, struct str bytes)
{
    struct serving *s = arg;

    if (rc == 0)
        rc = httpd_stream_send(s->x, bytes);
    if (rc < 0) {
        break_off(s, rc);
        return;
    }
    s->at += bytes.n;
    s->left -= bytes.n;
    pump(s);
}

static void pump(struct serving *s)
{
    size_t n = s->left < PIECE_BYTES ? (size_t)s->left : PIECE_BYTES;
    struct httpd_exchange *x = s->x;
    int rc;

    if (s->failed)
        return;
    if (s->left == 0 || s->head) {
        serving_free(s);
        httpd_stream_end(x);
        return;
    }
    if (httpd_stream_pending(x) >= PENDING_BYTES_MAX) {
        httpd_stream_watch(x, on_drained);
        return;
    }
    rc = recording_source_read(s->source, s->at, n, on_bytes, s);
    if (rc < 0)
        break_off(s, rc);
}

/* ---- the head ---- */

static void put_headers(struct serving *s)
{
    char text[RECORDING_NAME_BYTES + 80];

    (void)httpd_reply_header(s->x, "ETag", str_of(s->etag));
    (void)httpd_reply_header(s->x, "Accept-Ranges", STR("bytes"));
    (void)httpd_reply_header(s->x, "Cache-Control", STR("private, no-cache"));
    (void)httpd_reply_header(s->x, "X-Content-Type-Options", STR("nosniff"));
    (void)snprintf(text, sizeof text, "attachment; filename=\"%s\"", s->name);
    (void)httpd_reply_header(s->x, "Content-Disposition", str_of(text));
    if (s->range == RANGE_NONE)
        (void)snprintf(text, sizeof text, "bytes */%llu", (unsigned long long)s->size);
    else
        (void)snprintf(text, sizeof text, "bytes %llu-%llu/%llu", (unsigned long long)s->at,
                       (unsigned long long)(s->at + s->left - 1), (unsigned long long)s->size);
    if (s->range != RANGE_WHOLE)
        (void)httpd_reply_header(s->x, "Content-Range", str_of(text));
}

static void on_opened(void *arg, int rc, uint64_t bytes)
{
    struct serving *s = arg;

    if (rc == 0 && bytes != s->size) {
        log_error(s->log, "the recording %s has %llu bytes and not %llu", s->name, (unsigned long long)bytes,
                  (unsigned long long)s->size);
        rc = ERR_CORRUPT;
    }
    if (rc < 0) {
        refuse_for(s, rc);
        return;
    }
    put_headers(s);
    if (s->range == RANGE_NONE) {
        httpd_reply(s->x, 416, "application/json", STR("{\"error\":\"nothing of that range is there\"}"));
        serving_free(s);
        return;
    }
    httpd_stream_sized(s->x, s->range == RANGE_PART ? 206 : 200, s->type, s->left, on_gone, s);
    pump(s);
}

/* ---- the request ---- */

/* A range is for GET alone (14.2), and only of what the client has already (13.1.5). */
static void read_range(struct serving *s)
{
    struct str range = httpd_header(s->x, "range"), guard = httpd_header(s->x, "if-range");

    s->range = range_read(range, s->size, &s->at, &s->left);
    if (s->range != RANGE_WHOLE && (s->head || httpd_header_count(s->x, "range") != 1 ||
                                    (guard.p != NULL && !range_if(guard, str_of(s->etag)))))
        s->range = range_read(STR_NONE, s->size, &s->at, &s->left);
}

static bool unchanged(struct serving *s)
{
    struct str known = httpd_header(s->x, "if-none-match");

    return known.p != NULL && range_if_none(known, str_of(s->etag));
}

void recording_serve(struct recordings *r, struct httpd_exchange *x, const struct recording_at *at,
                     const struct log *log)
{
    struct serving *s = MEM_NEW(struct serving);
    int rc;

    if (s == NULL) {
        refuse(x, 503, "{\"error\":\"out of memory; try again\"}");
        return;
    }
    s->x = x;
    s->log = log;
    s->size = at->bytes;
    s->head = str_eq(httpd_method(x), STR("HEAD"));
    (void)snprintf(s->etag, sizeof s->etag, "\"%.*s\"", STR_ARG(str_head(at->sha256, 64)));
    (void)str_copy(s->name, sizeof s->name, at->name);
    if (!str_copy(s->type, sizeof s->type, at->type) || at->type.n == 0)
        (void)str_copy(s->type, sizeof s->type, STR("application/octet-stream"));
    if (unchanged(s)) {
        s->range = RANGE_WHOLE;
        put_headers(s);
        httpd_reply(x, 304, NULL, STR_NONE);
        serving_free(s);
        return;
    }
    read_range(s);
    rc = recording_source_open(&s->source, r, at->name, at->sealed, on_opened, s);
    if (rc < 0)
        refuse_for(s, rc);
}
