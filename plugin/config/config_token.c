/* SPDX-License-Identifier: MIT */
#include "plugin/config/config_token.h"

static int nibble(char c)
{
    return c >= '0' && c <= '9' ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool read_hash(struct str hex, unsigned char hash[CONFIG_TOKEN_HASH_BYTES])
{
    if (hex.n != 2 * CONFIG_TOKEN_HASH_BYTES)
        return false;
    for (size_t i = 0; i < CONFIG_TOKEN_HASH_BYTES; i++) {
        int hi = nibble(hex.p[2 * i]), lo = nibble(hex.p[2 * i + 1]);

        if (hi < 0 || lo < 0)
            return false;
        hash[i] = (unsigned char)(hi << 4 | lo);
    }
    return true;
}

int config_token_hash(struct str text, unsigned char hash[CONFIG_TOKEN_HASH_BYTES])
{
    const struct str head = STR("sha256:");

    return str_starts(text, head) && read_hash(str_skip(text, head.n), hash) ? 0 : ERR_INVALID;
}

static bool add_scope(struct str word, unsigned *scopes)
{
    if (str_eqc(word, "read"))
        *scopes |= SCOPE_READ;
    else if (str_eqc(word, "steer"))
        *scopes |= SCOPE_STEER;
    else if (str_eqc(word, "admin"))
        *scopes |= SCOPE_ALL;
    else
        return false;
    return true;
}

int config_token_read(struct str text, unsigned *scopes, unsigned char hash[CONFIG_TOKEN_HASH_BYTES])
{
    struct str words, word;
    size_t blank;

    text = str_trim(text);
    blank = str_find(text, ' ');
    words = str_head(text, blank);
    *scopes = 0;
    while (words.n > 0 && str_split(&words, ',', &word))
        if (!add_scope(word, scopes))
            return ERR_INVALID;
    text = str_trim(str_skip(text, blank));
    if (str_starts(text, STR("sha256:")))
        text = str_skip(text, 7);
    return *scopes != 0 && read_hash(text, hash) ? 0 : ERR_INVALID;
}
