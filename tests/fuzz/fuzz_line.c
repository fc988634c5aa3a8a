/* SPDX-License-Identifier: MIT */
/*
 * Sequences of events into the line's machine, drawn from the bytes, with kills and clocks that jump; invariants and
 * the durable text are looked at after each, and what the carrier heard (line_book.h). A first byte of 255: the rest is
 * read as a durable text. One of 242 to 251: the line may be direct, or people talk on it already, and the carrier
 * mostly does what it is asked to.
 */
/* covers: plugin/call/line.c plugin/call/line_act.c plugin/call/line_leg.c plugin/call/line_model.c
           plugin/call/line_move.c plugin/call/line_rec.c plugin/call/line_seen.c plugin/call/line_text.c */
#include "plugin/base/buf.h"
#include "plugin/call/line_int.h"
#include "tests/fuzz/line_book.h"

#define RESTARTS 3u /* reading a text takes as long as a hundred events */

static const char *any_label(struct fuzz *f)
{
    static const char *const labels[] = {"caller", "model", "sales", "front", "boss", "nobody"};

    return labels[fuzz_below(f, 6)];
}

/* Of a leg that is there; or of none. */
static const char *any_sid(struct fuzz *f)
{
    static char made[8];
    unsigned n = fuzz_below(f, 12);

    if (n < LINE_PARTIES && kit.l.legs[n].sid[0])
        return kit.l.legs[n].sid;
    (void)snprintf(made, sizeof made, "CA%u", n);
    return made;
}

/* One of the last that this instance sent, and that was not answered. */
static bool open_command(struct fuzz *f, unsigned *at)
{
    unsigned found[8], n = 0;

    for (unsigned i = kit.n_cmds; i > book.alive && n < 8; i--) {
        if (!book.answered[i - 1])
            found[n++] = i - 1;
    }
    if (n == 0)
        return false;
    *at = found[fuzz_below(f, n)];
    return true;
}

static void answer(struct fuzz *f)
{
    static const int statuses[] = {200, 201, 204, 404, 400, 429, 500, 0, 401, 409};
    static const char *const codes[] = {"", "21220", "20404", "21217", "13224", "20429"};
    unsigned how = fuzz_u8(f);
    int status = statuses[how % 10];
    unsigned at;
    struct lk_cmd one;

    if (!open_command(f, &at))
        return;
    one = kit.cmds[at];
    book.answered[at] = true;
    book.nothing[at] = status == 429 || (status == 0 && (how & 128) == 0);
    if (one.what == LINE_CMD_LOOK_UP) {
        struct line_seen_leg legs[4];
        struct line_event ev = {.kind = LINE_EV_FOUND};
        char sids[4][LINE_SID_BYTES];

        for (unsigned i = 0; i < 4; i++) {
            memset(&legs[i], 0, sizeof legs[i]);
            lk_text(sids[i], sizeof sids[i], str_of(any_sid(f)));
            legs[i].sid = str_of(sids[i]);
            legs[i].label = str_of(any_label(f));
            legs[i].status = (enum line_leg_status)fuzz_below(f, 8);
            book.ended = book.ended || legs[i].status >= LEG_SAYS_COMPLETED;
            legs[i].in_room = how & 1;
            legs[i].up_s = (int)fuzz_u8(f) - 1;
        }
        ev.u.found.cmd = one.n;
        ev.u.found.http_status = status;
        ev.u.found.room = how & 2 ? STR("CF1") : STR_NONE;
        ev.u.found.room_live = how & 4;
        ev.u.found.legs = legs;
        ev.u.found.n_legs = how % 5;
        ev.u.found.recording = how & 8 ? STR("RE1") : STR_NONE;
        lk_step(&kit, &ev);
        return;
    }
    lk_answer_full(&kit, &one, status, how & 128, any_sid(f), codes[how / 10 % 6]);
}

/* Arguments are evaluated in any order, but bytes are drawn in one. */
static void status(struct fuzz *f)
{
    const char *label = any_label(f), *sid = any_sid(f);
    enum line_leg_status said = (enum line_leg_status)fuzz_below(f, 8);
    int seq = (int)fuzz_u8(f) - 1, sip = fuzz_u8(f) & 1 ? 486 : 0;

    book.ended = book.ended || said >= LEG_SAYS_COMPLETED;
    lk_status_sip(&kit, label, sid, said, seq, sip);
}

static void act(struct fuzz *f)
{
    static const char *const texts[] = {"12#", "hello", "warm", "secret", ""};
    enum line_action_kind kind = (enum line_action_kind)(1 + fuzz_below(f, ACT_KINDS - 1));
    const char *label = any_label(f);
    struct asked a = {.kind = kind, .reachable = true};

    (void)snprintf(a.id, sizeof a.id, "act_%u", fuzz_below(f, 24));
    lk_text(a.party, sizeof a.party, str_of(label));
    a.text = texts[fuzz_below(f, 5)];
    a.warm = kind == ACT_TRANSFER && strcmp(a.text, "warm") == 0;
    book_new(&a);
}

static void press(const char *label, struct asked *a, const char *keys)
{
    if (a == NULL)
        return;
    a->accepted = a->accepted || strcmp(keys, "1") == 0;
    lk_digits(&kit, label, a->id, keys);
}

static void others(struct fuzz *f)
{
    struct line_event ev = {.kind = LINE_EV_RECORDING};

    switch (fuzz_below(f, 10)) {
    case 0: {
        unsigned what = fuzz_below(f, ROOM_OTHER + 1u);
        const char *label = any_label(f);

        lk_room(&kit, what, label, any_sid(f));
        return;
    }
    case 1: press(any_label(f), book_action("act_1"), "1"); return;
    case 2:
        ev.u.recording.sid = STR("RE1");
        ev.u.recording.leg_sid = str_of(any_sid(f));
        ev.u.recording.what = fuzz_below(f, 4);
        break;
    case 3:
        ev.kind = LINE_EV_MACHINE;
        ev.u.machine.sid = str_of(any_sid(f));
        ev.u.machine.by = fuzz_below(f, 5);
        break;
    case 4: ev = (struct line_event){.kind = LINE_EV_MODEL_GONE, .u.text = STR("lost")}; break;
    case 5:
        if (fuzz_below(f, 6) == 0)
            ev = (struct line_event){.kind = LINE_EV_MODEL_LEAVES, .u.text = STR("goodbye")};
        break;
    case 6:
        ev = (struct line_event){.kind = LINE_EV_NOTICE_HEARD};
        book.heard = true;
        break;
    case 7: ev = (struct line_event){.kind = LINE_EV_CALLEE_TURN}; break;
    case 8: ev = (struct line_event){.kind = LINE_EV_VOICEMAIL_SAID}; break;
    default: ev = (struct line_event){.kind = LINE_EV_MODEL_LIVE}; break;
    }
    lk_step(&kit, &ev);
}

static void fresh(const struct line_settings *set)
{
    memset(&kit, 0, sizeof kit);
    kit.text_every = 120; /* it takes longer than all the rest */
    book_begin(set);
}

static void begin(struct fuzz *f)
{
    struct line_settings set = lk_settings();
    unsigned how = fuzz_u8(f);

    set.outbound = how & 1;
    set.record = how & 2;
    set.detect_machine = how & 4;
    set.consent = (enum line_consent)(how / 8 % 3);
    set.voicemail = (enum line_voicemail)(how / 32 % 3);
    set.retries = how / 128;
    set.hold_drop_ms = how & 16 ? 8000 : 0;
    set.max_ms = how & 64 ? 150000 : 1800000;
    fresh(&set);
    if (set.outbound)
        line_begin_dial(&kit.l, &set, STR("0123456789abcdef0123456789abcdef"), STR("+15551230000"),
                        how & 8 ? LK_WALL + 30000 : 0, lk_now(&kit), &kit.fx);
    else
        line_begin_inbound(&kit.l, &set, STR("0123456789abcdef0123456789abcdef"), STR("CA1"), STR("+15551230000"),
                           lk_now(&kit), &kit.fx);
    lk_after(&kit);
    book_look();
}

/* ---- The wide form: a carrier that mostly does what it is asked to ---- */

/* The room as the line takes it to be, and what it lost. */
static void found_all(const struct lk_cmd *c)
{
    struct line_seen_leg legs[LINE_PARTIES];
    struct line_event ev = {.kind = LINE_EV_FOUND};
    char sids[LINE_PARTIES][LINE_SID_BYTES], labels[LINE_PARTIES][LINE_LABEL_BYTES];

    for (unsigned i = 0; i < LINE_PARTIES; i++) {
        const struct leg *leg = &kit.l.legs[i];
        struct line_seen_leg *seen = &legs[ev.u.found.n_legs];

        if (leg->state != LEG_LOST && leg->state != LEG_RINGING && leg->state != LEG_UP)
            continue;
        lk_text(labels[i], LINE_LABEL_BYTES, str_of(leg->label));
        lk_text(sids[i], LINE_SID_BYTES, str_of(leg->sid));
        if (leg->sid[0] == '\0')
            (void)snprintf(sids[i], LINE_SID_BYTES, "CL%u%u", c->n, i);
        *seen = (struct line_seen_leg){.label = str_of(labels[i]), .sid = str_of(sids[i]), .in_room = leg->in_room};
        seen->status = leg->state == LEG_UP ? LEG_SAYS_IN_PROGRESS : LEG_SAYS_RINGING;
        ev.u.found.n_legs++;
    }
    ev.u.found.cmd = c->n;
    ev.u.found.http_status = 200;
    ev.u.found.room = STR("CF1");
    ev.u.found.room_live = true;
    ev.u.found.legs = legs;
    lk_step(&kit, &ev);
}

static void oblige(void)
{
    unsigned at = book.alive;
    struct lk_cmd c;
    char sid[16] = "";

    while (at < kit.n_cmds && book.answered[at])
        at++;
    if (at == kit.n_cmds)
        return;
    c = kit.cmds[at];
    book.answered[at] = true;
    if (c.what == LINE_CMD_LOOK_UP) {
        found_all(&c);
        return;
    }
    if (c.what == LINE_CMD_CREATE || c.what == LINE_CMD_OFFER || c.what == LINE_CMD_RECORD)
        (void)snprintf(sid, sizeof sid, "%s%u", c.what == LINE_CMD_RECORD ? "RE" : "CB", at);
    lk_answer_full(&kit, &c, 200, false, sid, "");
}

/* A leg that is there takes its next step. */
static void leg_moves(struct fuzz *f)
{
    static const enum line_leg_status said[] = {LEG_SAYS_IN_PROGRESS, LEG_SAYS_IN_PROGRESS, LEG_SAYS_IN_PROGRESS,
                                                LEG_SAYS_RINGING, LEG_SAYS_COMPLETED, LEG_SAYS_BUSY,
                                                LEG_SAYS_NO_ANSWER};
    unsigned n = fuzz_below(f, LINE_PARTIES), how = fuzz_below(f, 9);
    struct leg leg = kit.l.legs[n];

    if (leg.state == LEG_NONE)
        return;
    if (leg.sid[0] == '\0')
        (void)snprintf(leg.sid, sizeof leg.sid, "CM%u%u", kit.n_cmds, n);
    if (how >= 7) {
        lk_room(&kit, how == 7 ? ROOM_LEAVE : ROOM_JOIN, leg.label, leg.sid);
        return;
    }
    book.ended = book.ended || said[how] >= LEG_SAYS_COMPLETED;
    lk_status(&kit, leg.label, leg.sid, said[how], leg.last_seq + 1);
    if (said[how] == LEG_SAYS_IN_PROGRESS && !leg.offered)
        lk_room(&kit, ROOM_JOIN, leg.label, leg.sid);
}

static void wide_act(struct fuzz *f)
{
    static const enum line_action_kind kinds[] = {ACT_TRANSFER, ACT_TRANSFER, ACT_TRANSFER, ACT_INVITE, ACT_INVITE,
                                                  ACT_REMOVE, ACT_REMOVE, ACT_HOLD, ACT_RESUME, ACT_COLLECT};
    static const char *const texts[] = {"12#", "hello", "secret", ""};
    struct asked a = {.kind = ACT_NONE};
    unsigned what = fuzz_below(f, 32), more = fuzz_u8(f);

    a.kind = what < 10 ? kinds[what] : (enum line_action_kind)(1 + what % (ACT_KINDS - 1));
    a.warm = a.kind == ACT_TRANSFER && more & 1;
    a.reachable = more & 14;
    a.text = texts[more / 16 % 4];
    lk_text(a.party, sizeof a.party, more & 128 ? STR("") : str_of(any_label(f)));
    (void)snprintf(a.id, sizeof a.id, "act_%u", book.n_asked);
    book_new(&a);
}

static void wide_press(struct fuzz *f)
{
    static const char *const keys[] = {"1", "1", "1", "2", ""};
    unsigned n = fuzz_below(f, 5), back = fuzz_below(f, 4);

    for (unsigned i = book.n_asked; i > 0; i--) {
        struct asked *a = &book.asked[i - 1];

        if (a->state >= ACTION_DONE || (a->kind != ACT_TRANSFER && a->kind != ACT_COLLECT) || back-- > 0)
            continue;
        press(a->party, a, keys[n]);
        return;
    }
    lk_digits(&kit, "caller", "", keys[n]);
}

static void wide_model(struct fuzz *f)
{
    static const enum line_ev said[] = {LINE_EV_MODEL_LIVE, LINE_EV_MODEL_LIVE, LINE_EV_MODEL_GONE, LINE_EV_MODEL_AWAY,
                                        LINE_EV_NOTICE_HEARD, LINE_EV_CONSENT_GONE, LINE_EV_CALLEE_TURN,
                                        LINE_EV_VOICEMAIL_SAID};
    unsigned n = fuzz_below(f, 8);

    book.heard = book.heard || said[n] == LINE_EV_NOTICE_HEARD;
    lk_said_model(&kit, said[n]);
}

static void talk_inbound(const struct line_settings *set)
{
    line_begin_inbound(&kit.l, set, STR("0123456789abcdef0123456789abcdef"), STR("CA1"), STR("+15551230000"),
                       lk_now(&kit), &kit.fx);
    lk_after(&kit);
    lk_room(&kit, ROOM_JOIN, "caller", "CA1");
    lk_wait(&kit, 0);
    oblige();
    lk_status(&kit, "model", kit.l.legs[1].sid, LEG_SAYS_IN_PROGRESS, 1);
    lk_said_model(&kit, LINE_EV_MODEL_LIVE);
    lk_room(&kit, ROOM_JOIN, "model", kit.l.legs[1].sid);
}

static void wide_begin(struct fuzz *f)
{
    struct line_settings set = lk_settings();
    unsigned how = fuzz_u8(f), more = fuzz_u8(f);

    set.consent = (enum line_consent)(how % 3);
    set.voicemail = (enum line_voicemail)(how / 3 % 3);
    set.record = more & 1;
    set.hold_drop_ms = more & 2 ? 8000 : 0;
    set.retries = more & 4 ? 1 : 0;
    set.detect_machine = more & 8;
    set.max_ms = more & 64 ? 150000 : 1800000;
    set.can &= more & 128 ? ~(unsigned)(LINE_CAN_WARM | LINE_CAN_INVITE) : ~0u;
    set.outbound = more & 16;
    fresh(&set);
    if ((more & 48) == 32) {
        set.can = LINE_CAN_REFER | LINE_CAN_HANGUP | LINE_CAN_SAY;
        line_begin_direct(&kit.l, &set, lk_now(&kit));
        lk_wait(&kit, 1);
    } else if (set.outbound) {
        line_begin_dial(&kit.l, &set, STR("0123456789abcdef0123456789abcdef"), STR("+15551230000"), 0, lk_now(&kit),
                        &kit.fx);
        lk_after(&kit);
        if (more & 32) {
            oblige();
            lk_status(&kit, "caller", kit.l.legs[0].sid, LEG_SAYS_IN_PROGRESS, 1);
        }
    } else {
        talk_inbound(&set);
    }
    book_look();
}

static void wide(struct fuzz *f)
{
    unsigned restarts = 0;

    wide_begin(f);
    for (unsigned i = 0; f->n > 0 && kit.overs == 0 && i < 100; i++) {
        switch (fuzz_below(f, 16)) {
        case 0: case 1: case 2: case 3: oblige(); break;
        case 4: case 5: leg_moves(f); break;
        case 6: case 7: wide_act(f); break;
        case 8: wide_press(f); break;
        case 9: wide_model(f); break;
        case 10: others(f); break;
        case 11: lk_wait(&kit, fuzz_u8(f) * 250u); break;
        case 12:
            if (fuzz_below(f, 2) == 0 && restarts++ < RESTARTS)
                book_restart(fuzz_u8(f) * 100u);
            break;
        case 13: answer(f); break;
        case 14: status(f); break;
        default:
            book_hold(fuzz_u8(f) & 1);
            kit.hold_slots = fuzz_below(f, 4) == 3;
            break;
        }
        book_look();
    }
}

/* A text of nobody's: read or refused; what is read can be written and stepped on. */
static void durable(struct str text)
{
    static struct line l;
    static struct line_effects fx;
    static const struct line_event timer = {.kind = LINE_EV_TIMER};
    struct call_now now = {.mono_ms = 1000, .wall_ms = LK_WALL};
    struct buf out;

    if (line_read(&l, text) < 0)
        return;
    buf_init(&out, 4 * LINE_DURABLE_BYTES);
    (void)line_write(&l, &out);
    for (unsigned i = 0; i < 20; i++) {
        line_step(&l, &timer, STR("00000000000000000000000000000001"), now, &fx);
        now.mono_ms += 5000;
        now.wall_ms += 5000;
    }
    buf_free(&out);
}

static void narrow(struct fuzz *f)
{
    unsigned restarts = 0;

    begin(f);
    for (unsigned i = 0; f->n > 0 && kit.overs == 0 && i < 100; i++) {
        switch (fuzz_below(f, 9)) {
        case 0: case 1: answer(f); break;
        case 2: status(f); break;
        case 3: act(f); break;
        case 4: others(f); break;
        case 5: lk_wait(&kit, fuzz_u8(f) * 20u); break;
        case 6: lk_wait(&kit, fuzz_u8(f) * 500u); break;
        case 7:
            if (fuzz_below(f, 4) == 0 && restarts++ < RESTARTS)
                book_restart(fuzz_u8(f) * 100u);
            break;
        default:
            book_hold(fuzz_u8(f) & 1);
            if (fuzz_below(f, 8) == 0)
                kit.jump = ((int64_t)fuzz_u8(f) - 128) * 60000;
            break;
        }
        book_look();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz f = {data, size};
    unsigned before = t_now.bad;

    if (size > 0 && data[0] == 255) {
        durable(str_make((const char *)data + 1, size - 1));
        return 0;
    }
    if (size > 0 && data[0] >= 242 && data[0] <= 251) {
        (void)fuzz_u8(&f);
        wide(&f);
    } else {
        narrow(&f);
    }
    book_end();
    FUZZ_MUST(t_now.bad == before || fuzz_starved);
    t_now.bad = before;
    return 0;
}
