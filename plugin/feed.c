/* SPDX-License-Identifier: MIT */
#include "plugin/feed.h"

#include "plugin/base/clock.h"
#include "plugin/base/id.h"
#include "plugin/base/json.h"
#include "plugin/base/mem.h"
#include "plugin/net/httpd.h"
#include "plugin/net/loop.h"
#include "plugin/proto/url.h"

#include <stdio.h>
#include <string.h>

#define STAMP_BYTES 24
#define ASKED_BYTES 80
#define CALL_BYTES 64
/* So much is handed to a connection at once, and more when it has left. */
#define PIECE_BYTES 32768u
#define PENDING_BYTES_MAX 65536u

struct event {
    struct str call; /* within text's memory */
    struct str text; /* as it is sent */
    char bytes[];
};

struct reader {
    struct feed *feed;
    struct reader *next;
    struct httpd_exchange *x;
    uint64_t at;     /* number of the event to be sent next */
    size_t sent;     /* bytes of it that were sent already */
    uint64_t told;   /* the last number whose id the reader has */
    char call[CALL_BYTES]; /* "": all */
};

struct feed {
    struct loop *loop;
    const struct log *log;
    struct timer *beat;
    struct reader *readers;
    unsigned n_readers;
    uint64_t first, last; /* numbers of the events kept; first is last + 1 when there are none */
    size_t bytes;
    char stamp[STAMP_BYTES];
    struct event *ring[FEED_EVENTS_MAX];
};

static const char bad_query[] = "{\"error\":\"possible are call=ID and last_event_id=ID\"}";

/* ---- the ring ---- */

static struct event **slot(struct feed *f, uint64_t n)
{
    return &f->ring[n % FEED_EVENTS_MAX];
}

static void forget_first(struct feed *f)
{
    struct event **at = slot(f, f->first++);

    f->bytes -= (*at)->text.n;
    mem_free(*at);
    *at = NULL;
}

static void forget_all(struct feed *f)
{
    while (f->first <= f->last)
        forget_first(f);
}

static void make_room(struct feed *f, size_t n)
{
    while (f->first <= f->last &&
           (f->last - f->first + 1 >= FEED_EVENTS_MAX || f->bytes + n > FEED_BYTES_MAX))
        forget_first(f);
}

static struct event *event_make(struct feed *f, uint64_t number, const char *name, struct str call,
                                struct str json)
{
    char head[160];
    int n = snprintf(head, sizeof head, "id: %s-%llu\nevent: %s\ndata: ", f->stamp,
                     (unsigned long long)number, name);
    struct event *ev;
    char *p;

    if (n < 0 || (size_t)n >= sizeof head)
        return NULL;
    ev = mem_alloc(sizeof *ev + (size_t)n + json.n + 2 + call.n);
    if (ev == NULL)
        return NULL;
    p = ev->bytes;
    memcpy(p, head, (size_t)n);
    if (json.n > 0)
        memcpy(p + n, json.p, json.n);
    memcpy(p + n + json.n, "\n\n", 2);
    ev->text = str_make(p, (size_t)n + json.n + 2);
    p += ev->text.n;
    if (call.n > 0)
        memcpy(p, call.p, call.n);
    ev->call = str_make(p, call.n);
    return ev;
}

/* ---- readers ---- */

static void reader_unlink(struct reader *r)
{
    struct reader **at = &r->feed->readers;

    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    r->feed->n_readers--;
}

static void on_gone(void *arg)
{
    struct reader *r = arg;

    reader_unlink(r);
    mem_free(r);
}

static bool wants(const struct reader *r, const struct event *ev)
{
    return r->call[0] == '\0' || str_eqc(ev->call, r->call);
}

static void on_drained(void *arg);

/* Sends on from the reader's place, as far as its connection takes it. */
static void reader_pump(struct reader *r)
{
    struct feed *f = r->feed;

    if (r->at < f->first) {
        log_warn(f->log, "a reader of /events is dropped: it is too slow");
        httpd_stream_drop(r->x);
        r->at = UINT64_MAX; /* nothing more until on_gone() */
        return;
    }
    while (r->at <= f->last) {
        const struct event *ev = *slot(f, r->at);
        struct str piece = str_head(str_skip(ev->text, r->sent), PIECE_BYTES);

        if (!wants(r, ev)) {
            r->at++;
            continue;
        }
        if (httpd_stream_pending(r->x) >= PENDING_BYTES_MAX) {
            httpd_stream_watch(r->x, on_drained);
            return;
        }
        if (httpd_stream_send(r->x, piece) < 0) {
            r->at = UINT64_MAX;
            return;
        }
        r->sent += piece.n;
        if (r->sent < ev->text.n)
            continue;
        r->told = r->at++;
        r->sent = 0;
    }
}

static void on_drained(void *arg)
{
    struct reader *r = arg;

    if (r->at != UINT64_MAX)
        reader_pump(r);
}

/* Shows that the line works; who filters also learns how far it has got, lest its id grows stale. */
static void beat(struct reader *r)
{
    char line[80] = ":\n\n";

    if (r->at == UINT64_MAX || r->sent > 0 || httpd_stream_pending(r->x) > 0)
        return;
    if (r->at > r->told + 1) {
        (void)snprintf(line, sizeof line, ":\nid: %s-%llu\n\n", r->feed->stamp, (unsigned long long)(r->at - 1));
        r->told = r->at - 1;
    }
    (void)httpd_stream_send(r->x, str_of(line));
}

static void on_beat(void *arg)
{
    struct feed *f = arg;

    for (struct reader *r = f->readers; r != NULL; r = r->next)
        beat(r);
    if (f->n_readers > 0)
        timer_set(f->beat, loop_now_ms(f->loop) + FEED_BEAT_MS);
}

void feed_add(struct feed *f, const char *name, struct str call, struct str json)
{
    struct event *ev;

    if (f == NULL)
        return;
    ev = event_make(f, f->last + 1, name, call, json);
    if (ev == NULL || ev->text.n > FEED_BYTES_MAX) {
        /* It is missing: whoever needs it must learn that, and does when nothing before it is left either. */
        log_warn(f->log, "an event %s is missing at /events: %s", name, ev == NULL ? "out of memory" : "too big");
        mem_free(ev);
        forget_all(f);
        f->first = ++f->last + 1;
    } else {
        make_room(f, ev->text.n);
        *slot(f, ++f->last) = ev;
        f->bytes += ev->text.n;
    }
    for (struct reader *r = f->readers; r != NULL; r = r->next)
        if (r->at != UINT64_MAX)
            reader_pump(r);
}

/* ---- the request ---- */

struct wish {
    char call[CALL_BYTES], asked[ASKED_BYTES];
};

static bool take(struct str value, char *out, size_t cap)
{
    struct buf text;
    bool good;

    buf_init(&text, cap);
    good = url_unescape(&text, value, true) == 0 && str_copy(out, cap, buf_str(&text));
    buf_free(&text);
    return good;
}

static bool wish_read(struct wish *w, struct httpd_exchange *x)
{
    struct str rest = httpd_query(x), part, header = httpd_header(x, "last-event-id");

    *w = (struct wish){.call = ""};
    while (rest.n > 0 && str_split(&rest, '&', &part)) {
        size_t eq = str_find(part, '=');
        struct str name = str_head(part, eq), value = str_skip(part, eq + 1);

        if (str_eqc(name, "call") ? !take(value, w->call, sizeof w->call)
                                  : !str_eqc(name, "last_event_id") || !take(value, w->asked, sizeof w->asked))
            return false;
    }
    return header.n == 0 || str_copy(w->asked, sizeof w->asked, header);
}

/* The number that an id of this run names; false: another run's, or none of ours. */
static bool number_of(const struct feed *f, struct str id, uint64_t *n)
{
    size_t stamp = strlen(f->stamp);

    return str_starts(id, str_of(f->stamp)) && id.n > stamp + 1 && id.p[stamp] == '-' &&
           str_u64(str_skip(id, stamp + 1), n) && *n <= f->last;
}

/* Where the reader begins, and what it must be told before: the place as an id, or that there is a gap. */
static void reader_greet(struct reader *r, struct str asked)
{
    struct feed *f = r->feed;
    char id[STAMP_BYTES + 24];
    struct buf b;
    uint64_t n;
    bool gap = false;

    r->at = f->last + 1;
    if (asked.n > 0) {
        gap = !number_of(f, asked, &n) || n + 1 < f->first;
        r->at = gap ? f->first : n + 1;
    }
    r->told = r->at - 1;
    buf_init(&b, 4096);
    (void)buf_printf(&b, "id: %s-%llu\n", f->stamp, (unsigned long long)r->told);
    if (gap) {
        (void)snprintf(id, sizeof id, "%s-%llu", f->stamp, (unsigned long long)r->at);
        (void)buf_puts(&b, STR("event: gap\ndata: "));
        jw_open(&b, '{');
        jw_kstrc(&b, "event", "gap");
        jw_kint(&b, "at", (int64_t)clock_wall_ms());
        jw_kstr(&b, "asked", asked);
        jw_kstrc(&b, "next", id);
        jw_close(&b, '}');
        (void)buf_putc(&b, '\n');
    }
    (void)buf_putc(&b, '\n');
    if (b.rc < 0 || httpd_stream_send(r->x, buf_str(&b)) < 0)
        httpd_stream_drop(r->x);
    buf_free(&b);
}

static void refuse(struct httpd_exchange *x, int status, const char *json)
{
    (void)httpd_reply_header(x, "Cache-Control", STR("no-store"));
    if (status == 503)
        (void)httpd_reply_header(x, "Retry-After", STR("5"));
    httpd_reply(x, status, "application/json", str_of(json));
}

void feed_serve(struct feed *f, struct httpd_exchange *x)
{
    struct reader *r;
    struct wish w;

    if (!wish_read(&w, x)) {
        refuse(x, 400, bad_query);
        return;
    }
    if (str_eq(httpd_method(x), STR("HEAD"))) {
        (void)httpd_reply_header(x, "Cache-Control", STR("no-store"));
        httpd_stream(x, 200, "text/event-stream", NULL, NULL);
        httpd_stream_end(x);
        return;
    }
    r = f->n_readers < FEED_READERS_MAX ? MEM_NEW(struct reader) : NULL;
    if (r == NULL) {
        refuse(x, 503, "{\"error\":\"too many read the events; close some\"}");
        return;
    }
    *r = (struct reader){.feed = f, .next = f->readers, .x = x};
    (void)str_copy(r->call, sizeof r->call, str_of(w.call));
    f->readers = r;
    if (f->n_readers++ == 0)
        timer_set(f->beat, loop_now_ms(f->loop) + FEED_BEAT_MS);
    (void)httpd_reply_header(x, "Cache-Control", STR("no-store"));
    httpd_stream(x, 200, "text/event-stream", on_gone, r);
    reader_greet(r, str_of(w.asked));
    reader_pump(r);
}

unsigned feed_readers(const struct feed *f)
{
    return f->n_readers;
}

/* ---- open and close ---- */

int feed_open(struct feed **out, struct loop *l, const struct log *log)
{
    struct feed *f = MEM_NEW(struct feed);
    unsigned char salt[4];
    int rc;

    if (f == NULL)
        return ERR_NOMEM;
    f->loop = l;
    f->log = log;
    f->first = 1;
    rc = id_random(salt, sizeof salt);
    if (rc == 0)
        rc = timer_open(&f->beat, l, on_beat, f);
    if (rc < 0) {
        mem_free(f);
        return rc;
    }
    /* The time alone would do, but for two instances of one moment. */
    (void)snprintf(f->stamp, sizeof f->stamp, "%llx%02x%02x%02x%02x", (unsigned long long)clock_wall_ms(),
                   salt[0], salt[1], salt[2], salt[3]);
    *out = f;
    return 0;
}

void feed_close(struct feed *f)
{
    struct reader *r;

    if (f == NULL)
        return;
    /* One by one from the front: an end may take other readers of its connection along. */
    while ((r = f->readers) != NULL) {
        struct httpd_exchange *x = r->x;

        f->readers = r->next;
        f->n_readers--;
        mem_free(r);
        httpd_stream_end(x);
    }
    forget_all(f);
    timer_close(f->beat);
    mem_free(f);
}
