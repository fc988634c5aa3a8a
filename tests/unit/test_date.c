/* SPDX-License-Identifier: MIT */
#include "plugin/proto/date.h"
#include "tests/unit/t.h"

static void dates(void)
{
    static const struct {
        const char *text;
        uint64_t want; /* `date -u -d TEXT +%s` */
    } rows[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777}, /* RFC 9110's own */
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"Tue, 29 Feb 2000 23:59:59 GMT", 951868799},
        {"Sat, 31 Dec 2016 23:59:60 GMT", 1483228800},
        {"Mon, 23 Nov 2026 13:00:00 GMT", 1795438800},
        {"Sun, 28 Feb 2100 12:00:00 GMT", 4107499200},
        {"Mon, 01 Mar 2100 12:00:00 GMT", 4107585600},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t got = 1;

        T_TRUE(date_read(str_of(rows[i].text), &got));
        T_EQ(got, rows[i].want);
    }
}

static void others(void)
{
    static const char *const rows[] = {
        "", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 GMT ", "Sun, 06 Nov 1994 24:49:37 GMT", "Sun, 32 Nov 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT", "Sun, 06 nov 1994 08:49:37 GMT", "Sun, 06 Nov 1969 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT", "Sun, +6 Nov 1994 08:49:37 GMT", "Sun; 06 Nov 1994 08:49:37 GMT",
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t got = 7;

        T_TRUE(!date_read(str_of(rows[i]), &got));
        T_EQ(got, 7);
    }
}

int main(void)
{
    T_RUN(dates);
    T_RUN(others);
    return T_DONE();
}
