/* SPDX-License-Identifier: MIT */
#include "plugin/base/rate.h"

#include "plugin/base/err.h"
#include "plugin/base/id.h"
#include "plugin/base/mem.h"

#define WAYS 8u

struct slot {
    uint64_t key;     /* hash with a seed of this table */
    uint64_t free_us; /* when its bucket will be empty; what is past is free */
};

struct rate {
    uint64_t seed;
    uint64_t each_us, per_us; /* what one event adds; what may be in the bucket */
    unsigned sets;
    struct slot v[];
};

int rate_open(struct rate **out, unsigned slots, uint32_t burst, uint32_t per_ms)
{
    unsigned sets = 1;
    struct rate *r;
    int rc;

    while (sets * WAYS < slots)
        sets *= 2;
    r = mem_zalloc(sizeof *r + (size_t)sets * WAYS * sizeof r->v[0]);
    if (r == NULL)
        return ERR_NOMEM;
    rc = id_random(&r->seed, sizeof r->seed);
    if (rc < 0) {
        mem_free(r);
        return rc;
    }
    r->sets = sets;
    r->per_us = (uint64_t)per_ms * 1000;
    r->each_us = r->per_us / (burst > 0 ? burst : 1);
    *out = r;
    return 0;
}

void rate_close(struct rate *r)
{
    mem_free(r);
}

/* The key's place; NULL if it has none. victim: the place in its set that may be taken. */
static struct slot *find(const struct rate *r, uint64_t key, struct slot **victim)
{
    struct slot *set = (struct slot *)&r->v[(key & (r->sets - 1)) * WAYS];
    struct slot *least = &set[0];

    for (unsigned i = 0; i < WAYS; i++) {
        if (set[i].key == key)
            return &set[i];
        if (set[i].free_us < least->free_us)
            least = &set[i];
    }
    if (victim != NULL)
        *victim = least;
    return NULL;
}

static uint64_t key_of(const struct rate *r, struct str key)
{
    uint64_t h = id_hash(key, r->seed);

    return h ? h : 1;
}

static uint32_t wait_of(const struct rate *r, uint64_t free_us, uint64_t now_us)
{
    uint64_t full = free_us > now_us ? free_us - now_us : 0;

    return full + r->each_us <= r->per_us ? 0 : (uint32_t)((full + r->each_us - r->per_us + 999) / 1000);
}

uint32_t rate_take(struct rate *r, struct str key, uint64_t now_ms)
{
    uint64_t h = key_of(r, key), now_us = now_ms * 1000;
    struct slot *victim = NULL, *s = find(r, h, &victim);
    uint32_t wait;

    if (s == NULL) {
        s = victim;
        *s = (struct slot){.key = h, .free_us = now_us};
    }
    wait = wait_of(r, s->free_us, now_us);
    if (wait == 0)
        s->free_us = (s->free_us > now_us ? s->free_us : now_us) + r->each_us;
    return wait;
}
