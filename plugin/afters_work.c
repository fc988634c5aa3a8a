/* SPDX-License-Identifier: MIT */
#include "plugin/afters_work.h"

#include "plugin/base/id.h"

#include <stddef.h>

static struct work **bucket(struct works *ws, struct str id)
{
    return &ws->buckets[id_hash(id, 0) & (WORKS_BUCKETS - 1)];
}

struct work *works_find(const struct works *ws, struct str id)
{
    struct work *w = ws->buckets[id_hash(id, 0) & (WORKS_BUCKETS - 1)];

    while (w != NULL && !str_eqc(id, w->id))
        w = w->same;
    return w;
}

bool works_full(const struct works *ws)
{
    return ws->all >= ws->max || ws->bytes >= WORKS_BYTES_MAX;
}

bool works_low(const struct works *ws)
{
    return ws->all <= ws->max / 2 && ws->bytes <= WORKS_BYTES_MAX / 2;
}

static void put(struct works *ws, struct work *w, enum work_place place)
{
    w->place = place;
    w->next = NULL;
    w->before = ws->last[place];
    if (w->before != NULL)
        w->before->next = w;
    else
        ws->first[place] = w;
    ws->last[place] = w;
    ws->n[place]++;
    if (place == WORK_PAUSED && (ws->wake_ms == 0 || w->due_ms < ws->wake_ms))
        ws->wake_ms = w->due_ms;
}

static void unput(struct works *ws, struct work *w)
{
    if (w->before != NULL)
        w->before->next = w->next;
    else
        ws->first[w->place] = w->next;
    if (w->next != NULL)
        w->next->before = w->before;
    else
        ws->last[w->place] = w->before;
    if (--ws->n[w->place] == 0 && w->place == WORK_PAUSED)
        ws->wake_ms = 0;
}

void works_add(struct works *ws, struct work *w)
{
    struct work **at = bucket(ws, str_of(w->id));

    w->same = *at;
    *at = w;
    ws->all++;
    ws->bytes += w->bytes;
    put(ws, w, WORK_READY);
}

void works_move(struct works *ws, struct work *w, enum work_place place)
{
    unput(ws, w);
    put(ws, w, place);
}

void works_take(struct works *ws, struct work *w)
{
    struct work **at = bucket(ws, str_of(w->id));

    while (*at != w)
        at = &(*at)->same;
    *at = w->same;
    ws->all--;
    ws->bytes -= w->bytes;
    unput(ws, w);
}

struct work *works_next(struct works *ws, uint64_t now_ms)
{
    uint64_t wake = 0;

    if (ws->wake_ms != 0 && ws->wake_ms <= now_ms) {
        for (struct work *w = ws->first[WORK_PAUSED], *next; w != NULL; w = next) {
            next = w->next;
            if (w->due_ms <= now_ms)
                works_move(ws, w, WORK_READY);
            else if (wake == 0 || w->due_ms < wake)
                wake = w->due_ms;
        }
        ws->wake_ms = wake;
    }
    return ws->first[WORK_READY];
}

uint64_t works_due(const struct works *ws)
{
    uint64_t due = ws->wake_ms;

    for (const struct work *w = ws->first[WORK_RUNNING]; w != NULL; w = w->next)
        if (due == 0 || w->step_by_ms < due)
            due = w->step_by_ms;
    return due;
}
