/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_CALL_TRANSCRIPT_H
#define PLUGIN_CALL_TRANSCRIPT_H
/*
 * What both sides of one call said, in conversation order, whatever order the events come in. A
 * pure core: events of one call go in, rows for the store come out. Owner: the call. One thread at
 * a time.
 *
 * Order. Every item of the conversation (also those that are no turns: function calls, results, our
 * own messages) gets a position; positions have gaps, so that an item can be put between two others
 * by its previous item. A position never changes, but for an item whose text was known before its
 * place. The last TRANSCRIPT_ITEMS items are remembered by the hash of their id; an older one is a
 * new item.
 *
 * Turns. The caller's: a row when the transcription comes; one that is empty makes no row, one that
 * failed makes a row with text "" (something was said that nobody could write down), which a text
 * that comes later replaces. The assistant's: a row at the end of the response; without text none.
 * What the provider truncated is cut to what was heard, interrupted = true, and the same rows come
 * out whether the truncation is told before or after the response's end, once or twice. A message
 * of which nothing was heard is a row with text "". In a cancelled response the last message counts
 * as interrupted also when no truncation is told (its text is what was generated).
 *
 * Memory: sizeof(struct transcript) (below 2 KiB), and the text of the last TRANSCRIPT_KEPT
 * messages of the assistant, since they may still be cut, at most TRANSCRIPT_KEPT_BYTES each.
 */
#include "plugin/call/event.h"

#define TRANSCRIPT_ITEMS 64
#define TRANSCRIPT_KEPT 4
#define TRANSCRIPT_KEPT_BYTES 8192u

/*
 * One row for the store: insert it, or replace the row of the same call and item_id. One exception:
 * text.p == NULL means that only interrupted and heard_ms of the stored row change. It happens when
 * a message is truncated whose text is not kept here: it was stored before a restart, or is too
 * long.
 */
struct transcript_row {
    struct str item_id;
    int64_t pos;         /* order by this */
    enum call_who who;   /* CALLER or ASSISTANT */
    struct str text;
    uint64_t audio_ms;   /* estimated length of what was generated; 0 for the caller */
    uint64_t heard_ms;   /* where it was cut off; 0 unless that was told */
    bool interrupted;
    uint64_t at_wall_ms; /* when the item began, as far as we saw it */
};

struct transcript_rows { /* filled by each transcript_on_*: in conversation order */
    unsigned n;
    struct transcript_row v[CALL_OUTPUTS_MAX];
};

struct transcript_item { /* private */
    uint64_t hash;
    int64_t pos;
    uint32_t at_ms;    /* behind base_wall_ms */
    uint32_t heard_ms; /* while ITEM_CUT */
};

struct transcript_kept { /* private: a text whose row may still change */
    char *text;
    uint32_t n, audio_ms;
    uint64_t hash;
};

struct transcript { /* private; embed it */
    uint64_t base_wall_ms;
    int64_t last_pos;
    unsigned n, next, next_kept;
    struct transcript_item items[TRANSCRIPT_ITEMS];
    uint8_t flags[TRANSCRIPT_ITEMS];
    struct transcript_kept kept[TRANSCRIPT_KEPT];
};

void transcript_init(struct transcript *t);
void transcript_free(struct transcript *t); /* frees the kept texts; t is as after init */
/*
 * After a restart: the greatest pos that is stored (0: none) and the items that are still known,
 * oldest first, with their positions. New items are put behind last_pos.
 */
void transcript_restore(struct transcript *t, int64_t last_pos, const struct str *ids,
                        const int64_t *pos, unsigned n);

/*
 * All of these: ids, texts and rows are borrowed; the rows live until the next call for t, or as
 * long as the argument whose text they are, whichever ends first. now is the wall clock. rows->n is
 * set.
 */

/* It was heard of, in whatever way. */
bool transcript_knows(const struct transcript *t, struct str id);
/*
 * SPEECH_STARTED (prev none), COMMITTED and ITEM_ADDED: the item's place. prev.p NULL: not said,
 * behind all others until told. Idempotent. Rows: one when a turn moves whose row was made before,
 * else none.
 */
void transcript_on_item(struct transcript *t, struct str id, struct str prev, enum call_who who,
                        uint64_t now_wall_ms, struct transcript_rows *rows);
/* CALLER_TEXT: at most one row. */
void transcript_on_text(struct transcript *t, struct str id, struct str text, uint64_t now_wall_ms,
                        struct transcript_rows *rows);
/* CALLER_TEXT_FAILED: one row with text "" unless the turn has a text already. */
void transcript_on_text_failed(struct transcript *t, struct str id, uint64_t now_wall_ms,
                               struct transcript_rows *rows);
/* RESPONSE_DONE (u.response as it is): a row for every message in it that has text. */
void transcript_on_response(struct transcript *t, const struct call_event *ev, uint64_t now_wall_ms,
                            struct transcript_rows *rows);
/*
 * TRUNCATED: one row when the message's row was made already, with its cut text (or text.p NULL,
 * see transcript_row); else none, and it is remembered for the response's end.
 */
void transcript_on_truncated(struct transcript *t, struct str id, uint64_t heard_ms,
                             uint64_t now_wall_ms, struct transcript_rows *rows);


#endif
