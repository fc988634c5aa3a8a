/* SPDX-License-Identifier: MIT */
#include "abi/host/text.h"

#include <stdio.h>
#include <string.h>

bool text_json_string(char *out, size_t cap, size_t *at, const char *text)
{
    size_t n = *at;

    if (n + 1 >= cap)
        return false;
    out[n++] = '"';
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        char piece[8];
        int len;

        if (c == '"' || c == '\\')
            len = snprintf(piece, sizeof(piece), "\\%c", c);
        else if (c < 0x20)
            len = snprintf(piece, sizeof(piece), "\\u%04x", c);
        else
            len = snprintf(piece, sizeof(piece), "%c", c);
        if (n + (size_t)len + 2 >= cap)
            return false;
        memcpy(out + n, piece, (size_t)len);
        n += (size_t)len;
    }
    out[n++] = '"';
    out[n] = '\0';
    *at = n;
    return true;
}
