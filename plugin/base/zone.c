/* SPDX-License-Identifier: MIT */
#include "plugin/base/zone.h"

#include "plugin/base/buf.h"
#include "plugin/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DAY_MIN (24 * 60)
#define DAY_S 86400
#define FILE_BYTES_MAX (256u << 10)
#define NAME_BYTES_MAX 96u
#define HEADER_BYTES 44u
#define TYPE_BYTES 6u
#define OFFSET_S_MAX (26 * 3600) /* RFC 8536 section 3.2: at most 26 h */

struct rule_day { /* when a rule's clock changes, in local time of before */
    enum { DAY_NONE, DAY_JULIAN, DAY_ZERO, DAY_WEEK } form; /* Jn, n, Mm.w.d */
    int month, week, day;
    int time_s;
};

struct zone {
    unsigned char *bytes; /* the file's second block: what follows points into it */
    const unsigned char *times, *indices, *types;
    unsigned n_times, n_types;
    bool has_rule, has_dst;
    int std_s, dst_s; /* of the rule */
    struct rule_day dst_begin, dst_end;
};

/* ---- big-endian numbers ---- */

static uint32_t read_u32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int64_t read_i64(const unsigned char *p)
{
    return (int64_t)((uint64_t)read_u32(p) << 32 | read_u32(p + 4));
}

/* ---- the rule behind the list: a POSIX TZ string ---- */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Letters, or anything in <>; what a zone is called does not matter here. */
static bool skip_name(struct str *s)
{
    size_t n = 0;

    if (s->n > 0 && s->p[0] == '<') {
        n = str_find(*s, '>');
        if (n == s->n)
            return false;
        *s = str_skip(*s, n + 1);
        return true;
    }
    while (n < s->n && is_letter(s->p[n]))
        n++;
    *s = str_skip(*s, n);
    return n >= 3;
}

static bool take_number(struct str *s, int max, int *out)
{
    size_t n = 0;
    uint64_t v;

    while (n < s->n && n < 3 && s->p[n] >= '0' && s->p[n] <= '9')
        n++;
    if (n == 0 || !str_u64(str_head(*s, n), &v) || v > (uint64_t)max)
        return false;
    *s = str_skip(*s, n);
    *out = (int)v;
    return true;
}

static bool take_char(struct str *s, char c)
{
    if (s->n == 0 || s->p[0] != c)
        return false;
    *s = str_skip(*s, 1);
    return true;
}

/* [+-]h[h[h]][:mm[:ss]]; hours to 167, which version 3 of the format allows in rules. */
static bool take_time(struct str *s, int *out)
{
    int h = 0, m = 0, sec = 0;
    bool minus = take_char(s, '-');

    if (!minus)
        (void)take_char(s, '+');
    if (!take_number(s, 167, &h) || (take_char(s, ':') && !take_number(s, 59, &m)) ||
        (take_char(s, ':') && !take_number(s, 59, &sec)))
        return false;
    *out = (h * 60 + m) * 60 + sec;
    *out = minus ? -*out : *out;
    return true;
}

static bool take_day(struct str *s, struct rule_day *out)
{
    *out = (struct rule_day){.time_s = 2 * 3600};
    if (take_char(s, 'M')) {
        out->form = DAY_WEEK;
        if (!take_number(s, 12, &out->month) || out->month == 0 || !take_char(s, '.') ||
            !take_number(s, 5, &out->week) || out->week == 0 || !take_char(s, '.') ||
            !take_number(s, 6, &out->day))
            return false;
    } else if (take_char(s, 'J')) {
        out->form = DAY_JULIAN;
        if (!take_number(s, 365, &out->day) || out->day == 0)
            return false;
    } else {
        out->form = DAY_ZERO;
        if (!take_number(s, 365, &out->day))
            return false;
    }
    return !take_char(s, '/') || take_time(s, &out->time_s);
}

/* std offset [dst [offset] , begin , end]; offsets count westward. An empty string is no rule. */
static bool rule_read(struct zone *z, struct str s)
{
    if (s.n == 0)
        return true;
    z->has_rule = true;
    if (!skip_name(&s) || !take_time(&s, &z->std_s))
        return false;
    z->std_s = -z->std_s;
    if (s.n == 0)
        return true;
    z->has_dst = true;
    z->dst_s = z->std_s + 3600;
    if (!skip_name(&s))
        return false;
    if (s.n > 0 && s.p[0] != ',') {
        if (!take_time(&s, &z->dst_s))
            return false;
        z->dst_s = -z->dst_s;
    }
    return take_char(&s, ',') && take_day(&s, &z->dst_begin) && take_char(&s, ',') &&
           take_day(&s, &z->dst_end) && s.n == 0;
}

/* ---- the calendar (proleptic Gregorian) ---- */

static bool is_leap(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Days from 1970-01-01 to the first of January. */
static int64_t year_day(int64_t year)
{
    int64_t y = year - 1;

    return y * 365 + (y / 4 - y / 100 + y / 400) - 719162;
}

static int64_t year_of(int64_t unix_s)
{
    int64_t days = unix_s / DAY_S, year = 1970 + (days < 0 ? days / 365 - 1 : days / 366);

    while (year_day(year + 1) <= days)
        year++;
    return year;
}

/* Days from the first of January to the rule's day. */
static int rule_day_of(const struct rule_day *r, int64_t year)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};
    int leap = is_leap(year) ? 1 : 0, first, last, day;

    if (r->form == DAY_ZERO)
        return r->day;
    if (r->form == DAY_JULIAN) /* which does not count the 29th of February */
        return r->day - 1 + (leap && r->day >= 60 ? 1 : 0);
    first = before[r->month - 1] + (r->month > 2 ? leap : 0);
    last = before[r->month] + (r->month > 1 ? leap : 0);
    /* 1970-01-01 was a Thursday. */
    day = (int)(((year_day(year) + first + 4) % 7 + 7) % 7);
    day = first + (r->day - day + 7) % 7 + (r->week - 1) * 7;
    return day >= last ? day - 7 : day;
}

static int rule_offset(const struct zone *z, int64_t unix_s)
{
    int64_t year, begin, end;

    if (!z->has_dst)
        return z->std_s;
    year = year_of(unix_s + z->std_s);
    begin = (year_day(year) + rule_day_of(&z->dst_begin, year)) * DAY_S + z->dst_begin.time_s - z->std_s;
    end = (year_day(year) + rule_day_of(&z->dst_end, year)) * DAY_S + z->dst_end.time_s - z->dst_s;
    /* South of the equator the summer holds the turn of the year. */
    if (begin < end)
        return unix_s >= begin && unix_s < end ? z->dst_s : z->std_s;
    return unix_s >= end && unix_s < begin ? z->std_s : z->dst_s;
}

/* ---- the file ---- */

/* A block's header: counts of isut, isstd, leap, time, type, char. false: not one. */
static bool header_read(struct str s, uint32_t counts[6])
{
    if (s.n < HEADER_BYTES || !str_starts(s, STR("TZif")) || s.p[4] < '2')
        return false;
    for (unsigned i = 0; i < 6; i++) {
        counts[i] = read_u32((const unsigned char *)s.p + 20 + i * 4u);
        if (counts[i] > FILE_BYTES_MAX)
            return false;
    }
    return counts[4] > 0;
}

static size_t block_bytes(const uint32_t c[6], size_t time_bytes)
{
    return c[3] * time_bytes + c[3] + c[4] * TYPE_BYTES + c[5] + c[2] * (time_bytes + 4) + c[1] + c[0];
}

static bool lists_sound(const struct zone *z)
{
    for (unsigned i = 0; i < z->n_times; i++)
        if (z->indices[i] >= z->n_types ||
            (i > 0 && read_i64(z->times + 8u * i) <= read_i64(z->times + 8u * (i - 1))))
            return false;
    for (unsigned i = 0; i < z->n_types; i++) {
        int32_t offset = (int32_t)read_u32(z->types + i * TYPE_BYTES);

        if (offset > OFFSET_S_MAX || offset < -OFFSET_S_MAX)
            return false;
    }
    return true;
}

/* The first block has 32-bit times and is passed over (RFC 8536 section 3). */
static bool file_read(struct zone *z, struct str s)
{
    uint32_t c[6];
    size_t n;

    if (!header_read(s, c))
        return false;
    s = str_skip(s, HEADER_BYTES + block_bytes(c, 4));
    if (!header_read(s, c))
        return false;
    s = str_skip(s, HEADER_BYTES);
    n = block_bytes(c, 8);
    if (s.n < n + 2)
        return false;
    z->n_times = c[3];
    z->n_types = c[4];
    z->times = (const unsigned char *)s.p;
    z->indices = z->times + 8u * z->n_times;
    z->types = z->indices + z->n_times;
    s = str_skip(s, n);
    return lists_sound(z) && take_char(&s, '\n') && str_find(s, '\n') < s.n &&
           rule_read(z, str_head(s, str_find(s, '\n')));
}

static int bytes_read(struct buf *out, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), rc = 0;
    ssize_t n = 1;

    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND : ERR_IO;
    while (rc == 0 && n != 0) {
        rc = buf_reserve(out, 4096);
        n = rc == 0 ? read(fd, out->p + out->n, 4096) : 0;
        if (n > 0)
            out->n += (size_t)n;
        else if (n < 0 && errno != EINTR)
            rc = ERR_IO;
    }
    (void)close(fd);
    return rc;
}

/* Letters, digits and a few signs in parts that do not begin with a dot: it stays below the folder. */
static bool is_name(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (!is_letter(c) && !(c >= '0' && c <= '9') && c != '_' && c != '-' && c != '+' && c != '/')
            return false;
    }
    return s.n > 0 && s.n <= NAME_BYTES_MAX && s.p[0] != '/';
}

static int zone_read(struct zone *z, struct buf *file, const char *name)
{
    char path[sizeof ZONE_FOLDER + NAME_BYTES_MAX + 2];
    size_t n;
    int rc;

    if (!is_name(str_of(name)))
        return ERR_INVALID;
    (void)snprintf(path, sizeof path, ZONE_FOLDER "/%s", name);
    rc = bytes_read(file, path);
    if (rc < 0)
        return rc;
    if (!file_read(z, buf_str(file)))
        return ERR_CORRUPT;
    z->bytes = (unsigned char *)buf_steal(file, &n);
    return 0;
}

int zone_open(struct zone **out, const char *name, struct err *e)
{
    struct zone *z = MEM_NEW(struct zone);
    struct buf file;
    int rc;

    if (z == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    buf_init(&file, FILE_BYTES_MAX);
    rc = zone_read(z, &file, name);
    buf_free(&file);
    if (rc == 0) {
        *out = z;
        return 0;
    }
    zone_free(z);
    return rc == ERR_NOMEM ? err_set(e, rc, "out of memory")
                           : err_set(e, rc, "the time zone %.96s is not in " ZONE_FOLDER " or cannot be read (%s); "
                                            "install the package tzdata", name, err_name(rc));
}

void zone_free(struct zone *z)
{
    if (z == NULL)
        return;
    mem_free(z->bytes);
    mem_free(z);
}

int zone_offset_s(const struct zone *z, int64_t unix_s)
{
    unsigned low = 0, high = z->n_times, type = 0;

    while (low < high) { /* the first change behind unix_s */
        unsigned mid = low + (high - low) / 2;

        if (read_i64(z->times + 8u * mid) <= unix_s)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == z->n_times && z->has_rule)
        return rule_offset(z, unix_s);
    if (low > 0)
        type = z->indices[low - 1];
    return (int)(int32_t)read_u32(z->types + type * TYPE_BYTES);
}

int zone_local_minutes(int *out, const char *name, uint64_t wall_ms, struct err *e)
{
    struct zone *z = NULL;
    int64_t s = (int64_t)(wall_ms / 1000);
    int rc = zone_open(&z, name, e);

    if (rc < 0)
        return rc;
    s = ((s + zone_offset_s(z, s)) % DAY_S + DAY_S) % DAY_S;
    *out = (int)(s / 60);
    zone_free(z);
    return 0;
}

/* ---- hours of the day ---- */

/* "HH:MM"; -1 for anything else. */
static int clock_read(struct str s)
{
    uint64_t h, m;

    if (s.n != 5 || s.p[2] != ':' || !str_u64(str_head(s, 2), &h) || !str_u64(str_skip(s, 3), &m) ||
        h > 23 || m > 59)
        return -1;
    return (int)(h * 60 + m);
}

int zone_hours_read(struct zone_hours *out, struct str text)
{
    struct zone_hours h = {.set = true};

    *out = (struct zone_hours){0};
    if (text.n == 0)
        return 0;
    if (text.n != 11 || text.p[5] != '-')
        return ERR_INVALID;
    h.from_min = clock_read(str_head(text, 5));
    h.to_min = clock_read(str_skip(text, 6));
    /* From noon to noon could be all day or never: neither is guessed. */
    if (h.from_min < 0 || h.to_min < 0 || h.from_min == h.to_min)
        return ERR_INVALID;
    *out = h;
    return 0;
}

bool zone_hours_has(const struct zone_hours *h, int minute)
{
    int since = (minute - h->from_min + DAY_MIN) % DAY_MIN;

    return h->set && since < (h->to_min - h->from_min + DAY_MIN) % DAY_MIN;
}
