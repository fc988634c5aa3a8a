/* SPDX-License-Identifier: MIT */
#ifndef MEMORY_OUTBOX_H
#define MEMORY_OUTBOX_H
/*
 * What is owed beyond a call (tables outbox and handoff): rows first, actions after. sessions/outbox
 * decides; here they are stored and found again. As in journal.h: copies, one store operation, answer on the
 * loop thread.
 */
#include "memory/store.h"

struct outbox_row { /* borrowed where returned */
    struct str id;      /* "out_...", or "hof_..." of a handoff */
    struct str call;    /* may be "" */
    struct str kind;    /* "summary" | "transcript" | "files" | "wake" | "handoff" | "missed" | "late" | "report" */
    struct str state;   /* kind's own word; "done" and "failed" and "uncertain" are final */
    struct str payload; /* JSON object */
    struct str error;
    unsigned attempts;
    uint64_t made_at, due_at;
};
typedef void outbox_fn(void *arg, int rc);
/* more: there may be others behind these. */
typedef void outbox_rows_fn(void *arg, int rc, const struct outbox_row *rows, unsigned n, bool more);

/*
 * Inserts; a row of that id that stands already is left alone (rc 0 all the same). The row is this instance's.
 * ERR_NOT_FOUND by fn: its call is gone (forgotten), nothing is owed. put and save: STORE_RETRY.
 */
int outbox_put(struct store *s, const struct outbox_row *row, outbox_fn *fn, void *arg);
/* Replaces state, payload (unless empty), error, attempts, due_at of row->id. ERR_NOT_FOUND. */
int outbox_save(struct store *s, const struct outbox_row *row, outbox_fn *fn, void *arg);
/*
 * Rows that are not final and are this instance's. dead_too: and those of dead ones, which become this instance's, so
 * that of two living instances one alone delivers; that looks at all rows that are not final. Oldest due first; limit
 * 1..1000, and 16 MB of texts; ask again for the rest. Not retried.
 */
int outbox_open_rows(struct store *s, unsigned limit, bool dead_too, outbox_rows_fn *fn, void *arg);

/* A handoff as the API shows it: its outbox row joined. */
struct handoff_row {
    struct str id, call, channel, to, reason, state, error;
    uint64_t at, sent_at;
};
/* As outbox_put(). */
int handoff_put(struct store *s, const struct handoff_row *row, outbox_fn *fn, void *arg);
/* sent_at 0 leaves it alone. ERR_NOT_FOUND. */
int handoff_save(struct store *s, struct str id, struct str state, struct str error, uint64_t sent_at,
                 outbox_fn *fn, void *arg);
typedef void outbox_json_fn(void *arg, int rc, struct str json);
/* {"handoffs":[{id, call, channel, to, reason, state, error, at, sent_at or null, attempts}]}, newest first. */
int handoff_list(struct store *s, unsigned limit, outbox_json_fn *fn, void *arg);

#endif
