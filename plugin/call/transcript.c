/* SPDX-License-Identifier: MIT */
#include "plugin/call/transcript.h"

#include "plugin/base/heard.h"
#include "plugin/base/id.h"
#include "plugin/base/mem.h"

#define POS_GAP ((int64_t)1 << 32) /* room for 32 items put one by one behind the same item */
#define POS_MAX (INT64_MAX - POS_GAP)
#define AUDIO_TOKEN_MS 50u   /* of the assistant's speech */
#define MS_MAX ((uint64_t)1 << 31)
#define NOT_FOUND TRANSCRIPT_ITEMS

enum item_flag {
    ITEM_CALLER = 1 << 0,
    ITEM_ASSISTANT = 1 << 1,
    ITEM_PLACED = 1 << 2,  /* its place was told; else it stands where it was first heard of */
    ITEM_CUT = 1 << 3,     /* truncated, at heard_ms */
    ITEM_ROW = 1 << 4,     /* its row was made */
    ITEM_TEXT = 1 << 5,    /* ... with words in it */
    ITEM_RESTORED = 1 << 6, /* stored by an earlier run: only marks are made for it */
    ITEM_BROKEN = 1 << 7   /* last message of a cancelled response */
};

/* ---- Text. ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct str trim(struct str s)
{
    while (s.n > 0 && is_blank(s.p[0]))
        s = str_skip(s, 1);
    while (s.n > 0 && is_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

/* ---- Items and their order. ---- */

static uint64_t hash_of(struct str id)
{
    return id_hash(id, 0);
}

static unsigned find(const struct transcript *t, struct str id)
{
    uint64_t hash;

    if (id.n == 0)
        return NOT_FOUND;
    hash = hash_of(id);
    for (unsigned i = 0; i < t->n; i++)
        if (t->items[i].hash == hash)
            return i;
    return NOT_FOUND;
}

bool transcript_knows(const struct transcript *t, struct str id)
{
    return find(t, id) != NOT_FOUND;
}

/* The least position above `pos` of all items but `self`; INT64_MAX if there is none. */
static int64_t next_pos(const struct transcript *t, int64_t pos, unsigned self)
{
    int64_t next = INT64_MAX;

    for (unsigned i = 0; i < t->n; i++)
        if (i != self && t->items[i].pos > pos && t->items[i].pos < next)
            next = t->items[i].pos;
    return next;
}

static int64_t pos_at_end(struct transcript *t)
{
    if (t->last_pos < POS_MAX)
        t->last_pos += POS_GAP;
    return t->last_pos;
}

/* A position behind item `prev`, or the one that `self` has if it stands there already. */
static int64_t pos_behind(struct transcript *t, unsigned prev, unsigned self)
{
    int64_t pos = t->items[prev].pos, next = next_pos(t, pos, self);

    if (self != NOT_FOUND && t->items[self].pos > pos && t->items[self].pos < next)
        return t->items[self].pos;
    if (next == INT64_MAX || next - pos < 2)
        return pos_at_end(t);
    return pos + (next - pos) / 2;
}

/* A position before item `self` and behind all others that are; 0 when there is no room. */
static int64_t pos_before(const struct transcript *t, unsigned self)
{
    int64_t pos = t->items[self].pos, last = 0;

    for (unsigned i = 0; i < t->n; i++)
        if (i != self && t->items[i].pos < pos && t->items[i].pos > last)
            last = t->items[i].pos;
    return pos - last < 2 ? 0 : last + (pos - last) / 2;
}

static uint32_t since_base(struct transcript *t, uint64_t now_wall_ms)
{
    if (t->base_wall_ms == 0)
        t->base_wall_ms = now_wall_ms;
    if (now_wall_ms <= t->base_wall_ms)
        return 0;
    now_wall_ms -= t->base_wall_ms;
    return now_wall_ms < UINT32_MAX ? (uint32_t)now_wall_ms : UINT32_MAX;
}

/* The oldest item gives way. */
static unsigned add(struct transcript *t, struct str id, int64_t pos, uint32_t at_ms)
{
    unsigned i = t->next;

    t->next = (t->next + 1) % TRANSCRIPT_ITEMS;
    if (t->n < TRANSCRIPT_ITEMS)
        t->n++;
    t->items[i] = (struct transcript_item){.hash = hash_of(id), .pos = pos, .at_ms = at_ms};
    t->flags[i] = 0;
    return i;
}

static unsigned find_or_add(struct transcript *t, struct str id, uint64_t now_wall_ms)
{
    unsigned i = find(t, id);

    return i != NOT_FOUND ? i : add(t, id, pos_at_end(t), since_base(t, now_wall_ms));
}

static void set(struct transcript *t, unsigned i, unsigned flags)
{
    t->flags[i] = (uint8_t)(t->flags[i] | flags);
}

/* One that was never heard of stands before item i, which is told of only now. */
static void put_before(struct transcript *t, unsigned i, struct str prev, uint64_t now_wall_ms)
{
    int64_t pos = pos_before(t, i);

    if (pos == 0 || (t->n == TRANSCRIPT_ITEMS && t->next == i)) /* the one that would give way */
        return;
    (void)add(t, prev, pos, since_base(t, now_wall_ms));
    set(t, i, ITEM_PLACED);
}

/* ---- Kept texts. ---- */

static struct transcript_kept *kept_of(struct transcript *t, uint64_t hash)
{
    for (unsigned i = 0; i < TRANSCRIPT_KEPT; i++)
        if (t->kept[i].text != NULL && t->kept[i].hash == hash)
            return &t->kept[i];
    return NULL;
}

/* Without memory the text is just not kept: a later cut is then only marked. */
static void keep(struct transcript *t, uint64_t hash, struct str text, uint64_t audio_ms)
{
    struct transcript_kept *k = kept_of(t, hash);

    if (k == NULL) {
        k = &t->kept[t->next_kept];
        t->next_kept = (t->next_kept + 1) % TRANSCRIPT_KEPT;
    }
    mem_free(k->text);
    *k = (struct transcript_kept){.text = NULL};
    if (text.n > TRANSCRIPT_KEPT_BYTES)
        return;
    k->text = mem_dup(text.p, text.n);
    k->n = (uint32_t)text.n;
    k->audio_ms = (uint32_t)(audio_ms < MS_MAX ? audio_ms : MS_MAX);
    k->hash = hash;
}

/* ---- Rows. ---- */

static struct transcript_row *put_row(struct transcript *t, unsigned i, struct str id,
                                      struct str text, struct transcript_rows *rows)
{
    struct transcript_row *row = &rows->v[rows->n++];

    *row = (struct transcript_row){
        .item_id = id,
        .pos = t->items[i].pos,
        .who = t->flags[i] & ITEM_ASSISTANT ? CALL_WHO_ASSISTANT : CALL_WHO_CALLER,
        .text = text.p != NULL ? text : STR(""),
        .at_wall_ms = t->base_wall_ms + t->items[i].at_ms,
    };
    set(t, i, ITEM_ROW | (text.n > 0 ? ITEM_TEXT : 0));
    return row;
}

static void cut_row(struct transcript_row *row, uint64_t heard_ms, uint64_t audio_ms)
{
    row->text = heard_text(row->text, heard_ms, audio_ms);
    row->audio_ms = audio_ms;
    row->heard_ms = heard_ms;
    row->interrupted = true;
}

/* The row of an item whose text is kept, for its place has changed. */
static void move_row(struct transcript *t, unsigned i, struct str id, struct transcript_rows *rows)
{
    const struct transcript_kept *k = kept_of(t, t->items[i].hash);
    struct transcript_row *row;

    if (k == NULL)
        return;
    row = put_row(t, i, id, str_make(k->text, k->n), rows);
    row->audio_ms = k->audio_ms;
    row->interrupted = (t->flags[i] & ITEM_BROKEN) != 0;
    if (t->flags[i] & ITEM_CUT)
        cut_row(row, t->items[i].heard_ms, k->audio_ms);
}

/* ---- The public part. ---- */

void transcript_init(struct transcript *t)
{
    *t = (struct transcript){.n = 0};
}

void transcript_free(struct transcript *t)
{
    for (unsigned i = 0; i < TRANSCRIPT_KEPT; i++)
        mem_free(t->kept[i].text);
    transcript_init(t);
}

void transcript_restore(struct transcript *t, int64_t last_pos, const struct str *ids,
                        const int64_t *pos, unsigned n)
{
    transcript_free(t);
    t->last_pos = last_pos > 0 ? last_pos : 0;
    for (unsigned i = 0; i < n; i++) {
        int64_t at = pos[i] > 0 ? pos[i] : 0;

        if (ids[i].n == 0 || find(t, ids[i]) != NOT_FOUND)
            continue;
        set(t, add(t, ids[i], at, 0), ITEM_PLACED | ITEM_ROW | ITEM_TEXT | ITEM_RESTORED);
        if (at > t->last_pos)
            t->last_pos = at;
    }
}

void transcript_on_item(struct transcript *t, struct str id, struct str prev, enum call_who who,
                        uint64_t now_wall_ms, struct transcript_rows *rows)
{
    unsigned before = find(t, prev), i = find(t, id);
    int64_t pos;

    rows->n = 0;
    if (id.n == 0)
        return;
    if (i == NOT_FOUND) {
        /* One that was never heard of stands before this one, whenever its text comes. */
        if (before == NOT_FOUND && prev.n > 0 && !str_eq(prev, id))
            before = add(t, prev, pos_at_end(t), since_base(t, now_wall_ms));
        pos = before != NOT_FOUND ? pos_behind(t, before, NOT_FOUND) : pos_at_end(t);
        i = add(t, id, pos, since_base(t, now_wall_ms));
        set(t, i, before != NOT_FOUND ? ITEM_PLACED : 0);
    } else if (!(t->flags[i] & ITEM_PLACED) && before == NOT_FOUND && prev.n > 0) {
        put_before(t, i, prev, now_wall_ms);
    } else if (!(t->flags[i] & ITEM_PLACED) && before != NOT_FOUND && before != i) {
        pos = pos_behind(t, before, i);
        set(t, i, ITEM_PLACED);
        /* A row whose text is gone cannot be written again: it stays where it is. */
        if (pos != t->items[i].pos &&
            (!(t->flags[i] & ITEM_ROW) || kept_of(t, t->items[i].hash) != NULL)) {
            t->items[i].pos = pos;
            if (t->flags[i] & ITEM_ROW)
                move_row(t, i, id, rows);
        }
    }
    if (who != CALL_WHO_OTHER && !(t->flags[i] & (ITEM_CALLER | ITEM_ASSISTANT)))
        set(t, i, who == CALL_WHO_CALLER ? ITEM_CALLER : ITEM_ASSISTANT);
}

/* The item of a transcription, or NOT_FOUND when it is none of the caller's. */
static unsigned caller_item(struct transcript *t, struct str id, uint64_t now_wall_ms)
{
    unsigned i;

    if (id.n == 0)
        return NOT_FOUND;
    i = find_or_add(t, id, now_wall_ms);
    if (t->flags[i] & (ITEM_ASSISTANT | ITEM_RESTORED))
        return NOT_FOUND;
    set(t, i, ITEM_CALLER);
    return i;
}

void transcript_on_text(struct transcript *t, struct str id, struct str text, uint64_t now_wall_ms,
                        struct transcript_rows *rows)
{
    unsigned i = caller_item(t, id, now_wall_ms);

    rows->n = 0;
    text = trim(text);
    if (i == NOT_FOUND || text.n == 0)
        return;
    (void)put_row(t, i, id, text, rows);
    if (!(t->flags[i] & ITEM_PLACED))
        keep(t, t->items[i].hash, text, 0);
}

void transcript_on_text_failed(struct transcript *t, struct str id, uint64_t now_wall_ms,
                               struct transcript_rows *rows)
{
    unsigned i = caller_item(t, id, now_wall_ms);

    rows->n = 0;
    if (i == NOT_FOUND || t->flags[i] & ITEM_TEXT)
        return;
    (void)put_row(t, i, id, STR(""), rows);
    if (!(t->flags[i] & ITEM_PLACED))
        keep(t, t->items[i].hash, STR(""), 0);
}

/* Audio tokens are told for a response as a whole: a message has its share by its length. */
static uint64_t audio_ms_of(const struct call_event *ev, struct str text)
{
    uint64_t tokens = ev->u.response.audio_tokens, chars = 0;

    if (tokens == 0)
        return heard_chars(text) * 1000 / HEARD_CHARS_PER_S;
    if (tokens > MS_MAX / AUDIO_TOKEN_MS)
        tokens = MS_MAX / AUDIO_TOKEN_MS;
    for (unsigned i = 0; i < ev->u.response.n_outputs; i++)
        if (!ev->u.response.outputs[i].is_function)
            chars += heard_chars(trim(ev->u.response.outputs[i].text));
    return chars > 0 ? tokens * AUDIO_TOKEN_MS * heard_chars(text) / chars : 0;
}

/* The last message that says something; n_outputs if none does. */
static unsigned last_message(const struct call_event *ev)
{
    unsigned i = ev->u.response.n_outputs;

    while (i > 0) {
        const struct call_output *o = &ev->u.response.outputs[--i];

        if (!o->is_function && trim(o->text).n > 0)
            return i;
    }
    return ev->u.response.n_outputs;
}

void transcript_on_response(struct transcript *t, const struct call_event *ev, uint64_t now_wall_ms,
                            struct transcript_rows *rows)
{
    bool cancelled = ev->u.response.status == CALL_RESPONSE_CANCELLED;
    unsigned last = last_message(ev);

    rows->n = 0;
    for (unsigned k = 0; k < ev->u.response.n_outputs && k < CALL_OUTPUTS_MAX; k++) {
        const struct call_output *o = &ev->u.response.outputs[k];
        struct str text = o->is_function ? STR_NONE : trim(o->text);
        struct transcript_row *row;
        uint64_t audio_ms;
        unsigned i;

        if (o->item_id.n == 0)
            continue;
        i = find_or_add(t, o->item_id, now_wall_ms);
        if (text.n == 0 || t->flags[i] & (ITEM_CALLER | ITEM_RESTORED))
            continue;
        set(t, i, ITEM_ASSISTANT | (cancelled && k == last ? ITEM_BROKEN : 0));
        audio_ms = audio_ms_of(ev, text);
        row = put_row(t, i, o->item_id, text, rows);
        row->audio_ms = audio_ms;
        row->interrupted = (t->flags[i] & ITEM_BROKEN) != 0;
        keep(t, t->items[i].hash, text, audio_ms);
        if (t->flags[i] & ITEM_CUT)
            cut_row(row, t->items[i].heard_ms, audio_ms);
    }
}

void transcript_on_truncated(struct transcript *t, struct str id, uint64_t heard_ms,
                             uint64_t now_wall_ms, struct transcript_rows *rows)
{
    const struct transcript_kept *k;
    struct transcript_row *row;
    unsigned i;

    rows->n = 0;
    if (id.n == 0)
        return;
    i = find_or_add(t, id, now_wall_ms);
    if (t->flags[i] & (ITEM_CUT | ITEM_CALLER))
        return;
    heard_ms = heard_ms < MS_MAX ? heard_ms : MS_MAX;
    t->items[i].heard_ms = (uint32_t)heard_ms;
    set(t, i, ITEM_CUT | ITEM_ASSISTANT);
    if (!(t->flags[i] & ITEM_ROW))
        return;
    k = kept_of(t, t->items[i].hash);
    row = put_row(t, i, id, k != NULL ? str_make(k->text, k->n) : STR_NONE, rows);
    cut_row(row, heard_ms, k != NULL ? k->audio_ms : 0);
    if (k == NULL)
        row->text = STR_NONE;
}
