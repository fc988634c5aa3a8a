/* SPDX-License-Identifier: MIT */
#include "plugin/proto/date.h"

#define DATE_BYTES 29u

/* Days from 1970-01-01 in the Gregorian calendar; years begin in March, so that leap days come last. */
static uint64_t days_of(uint64_t year, uint64_t month, uint64_t day)
{
    uint64_t y = month > 2 ? year : year - 1, m = month > 2 ? month - 3 : month + 9;

    return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

/* 1 to 12; 0: no name of a month. */
static uint64_t month_of(struct str name)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

    for (uint64_t i = 0; i < 12; i++)
        if (str_eq(name, str_make(names + 3 * i, 3)))
            return i + 1;
    return 0;
}

bool date_read(struct str s, uint64_t *unix_s)
{
    uint64_t day, year, h, m, sec, month;

    if (s.n != DATE_BYTES || !str_eq(str_skip(s, 25), STR(" GMT")) || s.p[3] != ',' || s.p[19] != ':' ||
        s.p[22] != ':')
        return false;
    month = month_of(str_make(s.p + 8, 3));
    if (!str_u64(str_make(s.p + 5, 2), &day) || !str_u64(str_make(s.p + 12, 4), &year) ||
        !str_u64(str_make(s.p + 17, 2), &h) || !str_u64(str_make(s.p + 20, 2), &m) ||
        !str_u64(str_make(s.p + 23, 2), &sec))
        return false;
    if (month == 0 || day < 1 || day > 31 || year < 1970 || h > 23 || m > 59 || sec > 60)
        return false;
    *unix_s = days_of(year, month, day) * 86400 + h * 3600 + m * 60 + sec;
    return true;
}
