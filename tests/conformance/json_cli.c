/* SPDX-License-Identifier: MIT */
/*
 * The JSON reader, for tests in other languages. Each line of standard input is a text in hexadecimal digits; each
 * answer is {"check":rc,"parse":rc,"out":"the text as it is written again, in hexadecimal digits"}.
 */
#include "plugin/base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_MAX (16u << 20)

static size_t from_hex(char *text, const char *hex)
{
    size_t n = 0;
    unsigned v;

    for (; sscanf(hex, "%2x", &v) == 1; hex += 2)
        text[n++] = (char)v;
    return n;
}

int main(void)
{
    static char line[INPUT_MAX], text[INPUT_MAX / 2];

    while (fgets(line, sizeof line, stdin) != NULL) {
        size_t n = from_hex(text, line);
        char *exact = malloc(n ? n : 1); /* a sanitizer sees who reads beyond it */
        struct json *doc = NULL;
        struct buf out;
        int check, parse;

        if (exact == NULL)
            return 2;
        memcpy(exact, text, n);
        buf_init(&out, INPUT_MAX);
        check = json_check(str_make(exact, n), NULL);
        parse = json_parse(&doc, str_make(exact, n), NULL);
        if (parse == 0 && json_write(doc, &out) < 0)
            return 2;
        printf("{\"check\":%d,\"parse\":%d,\"out\":\"", check, parse);
        for (size_t i = 0; i < out.n; i++)
            printf("%02x", (unsigned char)out.p[i]);
        printf("\"}\n");
        json_free(doc);
        buf_free(&out);
        free(exact);
    }
    return 0;
}
