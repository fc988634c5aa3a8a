/* SPDX-License-Identifier: MIT */
#ifndef TESTS_FUZZ_LINE_BOOK_H
#define TESTS_FUZZ_LINE_BOOK_H
/*
 * What the carrier of the line's target remembers, and what must hold whatever happens: nothing that may not be done
 * twice is sent before it is durable, or a second time unless nothing came of the first; nobody is recorded before
 * they know; each action that was asked for is told to have come to one end.
 */
#include "tests/fuzz/fuzz.h"
#include "tests/unit/t.h"

#include "tests/unit/line_kit.h"

#define BOOK_ACTIONS 60u

struct asked {
    char id[ID_BYTES], party[LINE_LABEL_BYTES];
    enum line_action_kind kind;
    enum line_action_state state; /* told last */
    const char *text;
    bool warm, reachable, accepted; /* reachable: a number was given; accepted: 1 was pressed */
    bool known;                     /* by the durable text that was read last */
};

static struct lk kit;

static struct {
    bool answered[LK_CMDS], nothing[LK_CMDS]; /* commands: answered; and so that nothing was done */
    unsigned alive, judged;                   /* the first of this instance; the first that was not looked at */
    struct asked asked[BOOK_ACTIONS];
    unsigned n_asked, rings;
    bool consent, heard, ended, lost; /* ended: the carrier said so of the caller's last leg; lost: a save was */
    struct buf saved;                 /* what is durable while saves do not come through */
} book;

static inline bool book_once(enum line_cmd what)
{
    return what == LINE_CMD_CREATE || what == LINE_CMD_OFFER || what == LINE_CMD_RECORD || what == LINE_CMD_REFER ||
           what == LINE_CMD_PLAY_DIGITS || what == LINE_CMD_ANNOUNCE || what == LINE_CMD_COLLECT;
}

static inline struct asked *book_action(const char *id)
{
    for (unsigned i = 0; i < book.n_asked; i++) {
        if (strcmp(book.asked[i].id, id) == 0)
            return &book.asked[i];
    }
    return NULL;
}

static inline void book_begin(const struct line_settings *set)
{
    buf_free(&book.saved);
    memset(&book, 0, sizeof book);
    buf_init(&book.saved, LINE_DURABLE_BYTES);
    book.consent = set->consent != CONSENT_NONE;
}

/* A dial of the caller after another one. */
static inline void book_ring(unsigned at)
{
    bool undone = false;

    for (unsigned i = at; i > 0 && !undone; i--) {
        if (kit.cmds[i - 1].what == LINE_CMD_CREATE && strcmp(kit.cmds[i - 1].label, "caller") == 0) {
            undone = book.nothing[i - 1];
            break;
        }
    }
    book.rings += !undone;
    FUZZ_MUST(book.rings <= 1 || undone || (book.ended && book.rings <= 1 + kit.l.set.retries));
    book.ended = false;
}

static inline void book_command(unsigned at)
{
    const struct lk_cmd *c = &kit.cmds[at];

    if (!book_once(c->what))
        return;
    FUZZ_MUST(!kit.hold_saves);
    FUZZ_MUST(c->what != LINE_CMD_RECORD || !book.consent || book.heard);
    if (c->what == LINE_CMD_CREATE && strcmp(c->label, "caller") == 0)
        book_ring(at);
    for (unsigned i = 0; i < at; i++) {
        const struct lk_cmd *before = &kit.cmds[i];

        if (before->what == c->what && !book.nothing[i])
            FUZZ_MUST(c->what != LINE_CMD_RECORD && (c->action[0] == '\0' || strcmp(before->action, c->action) != 0));
    }
}

static inline void book_said(unsigned at)
{
    struct asked *a = book_action(kit.said[at].id);

    if (a == NULL)
        return;
    a->state = kit.said[at].state;
    if (a->kind == ACT_TRANSFER && a->warm && a->state == ACTION_DONE)
        FUZZ_MUST(a->accepted || book.lost);
}

/* After each event. */
static inline void book_look(void)
{
    for (; !fuzz_starved && book.judged < kit.n_cmds && kit.n_cmds < LK_CMDS - 1; book.judged++)
        book_command(book.judged);
    for (unsigned i = 0; i < kit.n_said; i++)
        book_said(i);
    kit.n_said = 0;
    FUZZ_MUST(kit.overs <= 1);
}

static inline void book_ask(const struct asked *a)
{
    struct line_event ev = {.kind = LINE_EV_ACTION};

    ev.u.action.kind = a->kind;
    lk_text(ev.u.action.id, ID_BYTES, str_of(a->id));
    lk_text(ev.u.action.party, LINE_LABEL_BYTES, str_of(a->party));
    lk_text(ev.u.action.to, PHONE_BYTES, a->reachable ? STR("+15557770000") : STR(""));
    lk_text(ev.u.action.text, LINE_TEXT_BYTES, str_of(a->text));
    ev.u.action.warm = a->warm;
    ev.u.action.secret = strcmp(a->text, "secret") == 0;
    lk_step(&kit, &ev);
}

/* Kept as a row is: an id whose action came to its end is not handed in again. */
static inline void book_new(const struct asked *asked)
{
    struct asked *a = book_action(asked->id);

    if (a == NULL && book.n_asked < BOOK_ACTIONS) {
        a = &book.asked[book.n_asked++];
        *a = *asked;
    }
    if (a != NULL && a->state < ACTION_DONE)
        book_ask(a);
}

static inline void book_hold(bool on)
{
    if (on && !kit.hold_saves) {
        buf_clear(&book.saved);
        if (line_write(&kit.l, &book.saved) < 0)
            return;
    }
    kit.hold_saves = on;
}

/* Killed: what was not saved is lost, and actions that nobody knows any more are handed in again. */
static inline void book_restart(uint64_t ms)
{
    book.alive = kit.n_cmds;
    if (!kit.hold_saves) {
        lk_restart(&kit, ms);
        return;
    }
    kit.hold_saves = false;
    book.lost = true;
    if (line_read(&kit.l, buf_str(&book.saved)) < 0) {
        FUZZ_MUST(fuzz_starved);
        return;
    }
    kit.t += ms;
    for (unsigned i = 0; i < book.n_asked; i++)
        book.asked[i].known = act_find(&kit.l, str_of(book.asked[i].id)) != NULL;
    for (unsigned i = 0; i < book.n_asked; i++) {
        if (book.asked[i].state < ACTION_DONE && !book.asked[i].known)
            book_ask(&book.asked[i]);
    }
    lk_said_model(&kit, LINE_EV_TIMER);
}

/* Whatever happened, the line ends when it is asked to, although nobody answers. */
static inline void book_end(void)
{
    kit.hold_saves = kit.hold_slots = false;
    if (kit.overs == 0)
        lk_said_model(&kit, LINE_EV_MODEL_LEAVES);
    if (kit.overs == 0)
        lk_wait(&kit, 200000);
    book_look();
    FUZZ_MUST(kit.overs == 1 || fuzz_starved);
    for (unsigned i = 0; i < book.n_asked; i++)
        FUZZ_MUST(book.asked[i].state >= ACTION_DONE || fuzz_starved);
}

#endif
