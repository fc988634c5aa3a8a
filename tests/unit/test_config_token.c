/* SPDX-License-Identifier: MIT */
#include "plugin/config/config_token.h"

#include "plugin/base/id.h"
#include "tests/unit/t.h"

#define HEX "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" /* SHA-256 of "test" */

static void reading(void)
{
    static const struct {
        const char *text;
        unsigned scopes; /* 0: refused */
    } table[] = {
        {"read " HEX, SCOPE_READ},
        {"  read,steer   " HEX "  ", SCOPE_READ | SCOPE_STEER},
        {"steer sha256:" HEX, SCOPE_STEER},
        {"admin " HEX, SCOPE_ALL},
        {"read,admin " HEX, SCOPE_ALL},
        {HEX, 0},
        {"read", 0},
        {"read ", 0},
        {"write " HEX, 0},
        {"read,,steer " HEX, 0},
        {"read, steer " HEX, 0},
        {"read " HEX "0", 0},
        {"read 9f86", 0},
        {"read g" HEX, 0},
        {"", 0},
    };
    unsigned char hash[CONFIG_TOKEN_HASH_BYTES], want[CONFIG_TOKEN_HASH_BYTES];
    unsigned scopes;

    id_sha256(want, STR("test"));
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        int rc = config_token_read(str_of(table[i].text), &scopes, hash);

        if ((rc == 0) != (table[i].scopes != 0))
            T_FAIL("%s: %d", table[i].text, rc);
        if (rc == 0) {
            T_EQ(scopes, table[i].scopes);
            T_TRUE(memcmp(hash, want, 32) == 0);
        }
    }
    T_OK(config_token_hash(STR("sha256:" HEX), hash));
    T_TRUE(memcmp(hash, want, 32) == 0);
    T_ERR(config_token_hash(STR(HEX), hash));
    T_ERR(config_token_hash(STR("sha256:"), hash));
}

int main(void)
{
    T_RUN(reading);
    return T_DONE();
}
