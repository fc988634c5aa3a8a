/* SPDX-License-Identifier: MIT */
#include "memory/claims.h"

#include "plugin/base/mem.h"

#include <stdint.h>
#include <string.h>

/*
 * Sets of WAYS keys, each kept as 16 bytes of its SHA-256: enough that no two ids ever meet. Within a set the
 * oldest goes first. 64 KiB in all.
 */
#define SETS 1024u
#define WAYS 4u
#define KEY_BYTES 16u

struct claims {
    unsigned char key[SETS][WAYS][KEY_BYTES];
    uint8_t next[SETS]; /* the way that is written next */
};

static unsigned set_of(const unsigned char key[32])
{
    return ((unsigned)key[16] | (unsigned)key[17] << 8) & (SETS - 1);
}

struct claims *claims_new(void)
{
    return MEM_NEW(struct claims);
}

void claims_free(struct claims *c)
{
    mem_free(c);
}

void claims_add(struct claims *c, const unsigned char key[32])
{
    unsigned set = set_of(key);

    if (claims_has(c, key))
        return;
    memcpy(c->key[set][c->next[set]], key, KEY_BYTES);
    c->next[set] = (uint8_t)((c->next[set] + 1u) % WAYS);
}

bool claims_has(const struct claims *c, const unsigned char key[32])
{
    unsigned set = set_of(key);

    for (unsigned i = 0; i < WAYS; i++)
        if (memcmp(c->key[set][i], key, KEY_BYTES) == 0)
            return true;
    return false;
}

void claims_clear(struct claims *c)
{
    memset(c, 0, sizeof *c);
}
