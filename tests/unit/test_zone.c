/* SPDX-License-Identifier: MIT */
/* Local times of zones, against libc's own reading of the same files. */
#include "plugin/base/zone.h"
#include "plugin/base/mem.h"
#include "tests/unit/t.h"

#include <time.h>

#define DAY_S 86400
#define YEAR_S (365 * DAY_S)

static const char *const zones[] = {
    "UTC", "Europe/Berlin", "Europe/Dublin", "America/New_York", "America/Sao_Paulo", "America/Santiago", "America/Nuuk",
    "America/Havana", "Asia/Kolkata", "Asia/Tehran", "Asia/Gaza", "Asia/Jerusalem", "Australia/Sydney",
    "Australia/Lord_Howe", "Africa/Casablanca", "Africa/Cairo", "Antarctica/Troll", "Pacific/Chatham", "Pacific/Apia",
    "Pacific/Easter", "Etc/GMT+12", "EST5EDT"};

static int libc_offset_s(time_t at)
{
    struct tm tm;

    return localtime_r(&at, &tm) != NULL ? (int)tm.tm_gmtoff : -1;
}

/* From 1970 far beyond the end of the lists of changes, where the rule alone decides; around changes to the second. */
static void as_libc_reads_them(void)
{
    for (size_t i = 0; i < sizeof zones / sizeof zones[0]; i++) {
        struct zone *z = NULL;
        struct err e = {0};
        unsigned wrong = 0;

        if (zone_open(&z, zones[i], &e) < 0) {
            T_FAIL("%s: %s", zones[i], e.text);
            continue;
        }
        T_MUST(setenv("TZ", zones[i], 1) == 0);
        tzset();
        for (int64_t at = 0; at < (int64_t)330 * YEAR_S && wrong == 0; at += 11 * DAY_S + 4321) {
            int here = zone_offset_s(z, at), next = zone_offset_s(z, at + 11 * DAY_S + 4321);
            int64_t low = at, high = at + 11 * DAY_S + 4321;

            wrong += here != libc_offset_s(at);
            while (here != next && low + 1 < high) { /* the second at which it changes */
                int64_t mid = low + (high - low) / 2;

                if (zone_offset_s(z, mid) == here)
                    low = mid;
                else
                    high = mid;
            }
            wrong += here != next && (libc_offset_s(low) != here || libc_offset_s(high) != zone_offset_s(z, high));
            if (wrong > 0)
                T_FAIL("%s at %lld: %d, libc %d", zones[i], (long long)at, here, libc_offset_s(at));
        }
        zone_free(z);
    }
    (void)unsetenv("TZ");
    tzset();
}

/* Rules turn with leap years, and south of the equator summer holds the turn of the year. */
static void far_ahead(void)
{
    struct zone *z = NULL;
    struct err e = {0};

    T_MUST(zone_open(&z, "Europe/Berlin", &e) == 0);
    T_EQ(zone_offset_s(z, 4107542399), 3600); /* 2100-02-28 23:59:59: no leap year */
    T_EQ(zone_offset_s(z, 4123177200), 7200); /* 2100-08-28 */
    T_EQ(zone_offset_s(z, 13574300400), 3600); /* 2400-02-27, a leap year */
    zone_free(z);
    T_MUST(zone_open(&z, "Australia/Sydney", &e) == 0);
    T_EQ(zone_offset_s(z, 4102444800), 11 * 3600); /* 2100-01-01 */
    T_EQ(zone_offset_s(z, 4118083200), 10 * 3600); /* 2100-07-01 */
    zone_free(z);
}

static void minutes_of_the_day(void)
{
    struct err e = {0};
    int minute = -1;

    T_OK(zone_local_minutes(&minute, "Europe/Berlin", 1764000000000, &e)); /* 2025-11-24T16:00Z */
    T_EQ(minute, 17 * 60);
    T_OK(zone_local_minutes(&minute, "Asia/Kolkata", 1764000000000, &e));
    T_EQ(minute, 21 * 60 + 30);
    T_OK(zone_local_minutes(&minute, "America/Los_Angeles", 1764000000000, &e));
    T_EQ(minute, 8 * 60);
    T_OK(zone_local_minutes(&minute, "America/New_York", 3600000, &e)); /* before midnight, on New Year's Eve of 1969 */
    T_EQ(minute, 20 * 60);
    T_EQ(zone_local_minutes(&minute, "Nowhere/City", 0, &e), ERR_NOT_FOUND);
    T_HAS(e.text, "Nowhere/City");
    T_HAS(e.text, "tzdata");
}

static void what_is_no_zone(void)
{
    static const struct {
        const char *name;
        int rc;
    } rows[] = {
        {"", ERR_INVALID}, {"../../etc/passwd", ERR_INVALID}, {"/etc/passwd", ERR_INVALID}, {"Europe/Ber lin", ERR_INVALID},
        {"Europe/Berlin;", ERR_INVALID}, {"Nowhere/City", ERR_NOT_FOUND}, {"Europe/Berlin/Mitte", ERR_NOT_FOUND},
        {"leapseconds", ERR_CORRUPT}, {"Europe", ERR_IO},
    };
    char huge[2000];

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct zone *z = NULL;
        struct err e = {0};

        if (zone_open(&z, rows[i].name, &e) != rows[i].rc)
            T_FAIL("%s: %d %s", rows[i].name, e.code, e.text);
        T_NULL(z);
    }
    memset(huge, 'a', sizeof huge - 1);
    huge[sizeof huge - 1] = '\0';
    T_EQ(zone_local_minutes(&(int){0}, huge, 0, NULL), ERR_INVALID);
    zone_free(NULL);
}

static void no_memory(void)
{
    struct zone *z = NULL;
    struct err e;
    unsigned told = 0;

    for (unsigned long n = 1; n < 100 && z == NULL; n++) {
        e.text[0] = '\0';
        (void)mem_fault_after(n);
        if (zone_open(&z, "Europe/Berlin", &e) == ERR_NOMEM) {
            told++;
            T_HAS(e.text, "out of memory");
        }
        (void)mem_fault_after(0);
    }
    T_GT(told, 0);
    T_MUST(z != NULL);
    zone_free(z);
}

static void hours(void)
{
    static const char *const bad[] = {"22:00", "22:00-", "22:00-24:00", "2200-0800", "22:60-08:00", "aa:bb-cc:dd",
                                      "22:00-08:00x", "8:00-9:00", "08:00-08:00", "22:00 - 08:00"};
    struct zone_hours h;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (zone_hours_read(&h, str_of(bad[i])) != ERR_INVALID || h.set)
            T_FAIL("%s was taken", bad[i]);
    }
    T_OK(zone_hours_read(&h, STR("00:00-23:59")));
    T_TRUE(zone_hours_has(&h, 0));
    T_TRUE(zone_hours_has(&h, 23 * 60 + 58));
    T_FALSE(zone_hours_has(&h, 23 * 60 + 59));
}

int main(void)
{
    T_RUN(as_libc_reads_them);
    T_RUN(far_ahead);
    T_RUN(minutes_of_the_day);
    T_RUN(what_is_no_zone);
    T_RUN(no_memory);
    T_RUN(hours);
    return T_DONE();
}
