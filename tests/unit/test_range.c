/* SPDX-License-Identifier: MIT */
#include "plugin/proto/range.h"
#include "tests/unit/t.h"

static void fields(void)
{
    static const struct {
        const char *field;
        uint64_t size;
        enum range_kind kind;
        uint64_t from, n;
    } rows[] = {
        {"bytes=0-499", 10000, RANGE_PART, 0, 500}, /* these six are RFC 9110's own, 14.1.2 */
        {"bytes=500-999", 10000, RANGE_PART, 500, 500},
        {"bytes=-500", 10000, RANGE_PART, 9500, 500},
        {"bytes=9500-", 10000, RANGE_PART, 9500, 500},
        {"bytes=0-0", 10000, RANGE_PART, 0, 1},
        {"bytes=-1", 10000, RANGE_PART, 9999, 1},
        {"bytes=0-", 10000, RANGE_PART, 0, 10000},
        {"bytes=9999-9999", 10000, RANGE_PART, 9999, 1},
        {"bytes=9999-10000", 10000, RANGE_PART, 9999, 1},
        {"bytes=100-99999999999999999999999999", 10000, RANGE_PART, 100, 9900},
        {"bytes=0-18446744073709551615", 10000, RANGE_PART, 0, 10000},
        {"bytes=-10001", 10000, RANGE_PART, 0, 10000},
        {"bytes=-99999999999999999999999999", 10000, RANGE_PART, 0, 10000},
        {"BYTES=1-2", 10000, RANGE_PART, 1, 2}, /* units are case-insensitive */
        {" bytes= 1-2 ", 10000, RANGE_PART, 1, 2},
        {"bytes=10000-", 10000, RANGE_NONE, 0, 10000},
        {"bytes=10000-10001", 10000, RANGE_NONE, 0, 10000},
        {"bytes=99999999999999999999999999-", 10000, RANGE_NONE, 0, 10000},
        {"bytes=-0", 10000, RANGE_NONE, 0, 10000},
        {"bytes=0-", 0, RANGE_NONE, 0, 0},
        {"bytes=-5", 0, RANGE_NONE, 0, 0},
        {"bytes=0-0", 1, RANGE_PART, 0, 1},
        {"", 10000, RANGE_WHOLE, 0, 10000},
        {"bytes", 10000, RANGE_WHOLE, 0, 10000},
        {"bytes=", 10000, RANGE_WHOLE, 0, 10000},
        {"bytes=-", 10000, RANGE_WHOLE, 0, 10000},
        {"bytes=5", 10000, RANGE_WHOLE, 0, 10000},
        {"bytes=2-1", 10000, RANGE_WHOLE, 0, 10000},
        {"bytes=a-b", 10000, RANGE_WHOLE, 0, 10000},
        {"bytes=1-2x", 10000, RANGE_WHOLE, 0, 10000},
        {"bytes=+1-2", 10000, RANGE_WHOLE, 0, 10000},
        {"bytes=--1", 10000, RANGE_WHOLE, 0, 10000},
        {"bytes=1 -2", 10000, RANGE_WHOLE, 0, 10000},
        {"bytes=0-1,5-6", 10000, RANGE_WHOLE, 0, 10000},
        {"bytes=0-1,", 10000, RANGE_WHOLE, 0, 10000},
        {"items=0-1", 10000, RANGE_WHOLE, 0, 10000},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t from = 1, n = 1;
        enum range_kind kind = range_read(str_of(rows[i].field), rows[i].size, &from, &n);

        if (kind != rows[i].kind || from != rows[i].from || n != rows[i].n)
            T_FAIL("\"%s\" of %llu: %d, %llu bytes at %llu", rows[i].field, (unsigned long long)rows[i].size, (int)kind,
                   (unsigned long long)n, (unsigned long long)from);
    }
}

static void conditions(void)
{
    struct str etag = STR("\"abc\"");

    T_TRUE(range_if(STR(" \"abc\" "), etag));
    T_FALSE(range_if(STR("W/\"abc\""), etag));
    T_FALSE(range_if(STR("\"abd\""), etag));
    T_FALSE(range_if(STR("Sat, 29 Oct 1994 19:43:31 GMT"), etag));
    T_FALSE(range_if(STR("*"), etag));
    T_TRUE(range_if_none(STR("*"), etag));
    T_TRUE(range_if_none(STR("\"abc\""), etag));
    T_TRUE(range_if_none(STR("\"x\", W/\"abc\" ,\"y\""), etag));
    T_FALSE(range_if_none(STR("\"x\",\"y\""), etag));
    T_FALSE(range_if_none(STR("abc"), etag));
    T_FALSE(range_if_none(STR(""), etag));
}

int main(void)
{
    T_RUN(fields);
    T_RUN(conditions);
    return T_DONE();
}
