/* SPDX-License-Identifier: MIT */
/*
 * Sequences of events into the line's machine, drawn from the bytes, with kills and clocks that jump; invariants and
 * the durable text are looked at after each. A first byte of 255: the rest is read as a durable text.
 */
/* covers: plugin/call/line.c plugin/call/line_act.c plugin/call/line_leg.c plugin/call/line_model.c
           plugin/call/line_move.c plugin/call/line_rec.c plugin/call/line_seen.c plugin/call/line_text.c */
#include "plugin/base/buf.h"
#include "plugin/call/line_int.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/t.h"

#include "tests/unit/line_kit.h"

static struct lk kit;

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

static void answer(struct fuzz *f)
{
    static const int statuses[] = {200, 201, 204, 404, 400, 429, 500, 0, 401, 409};
    static const char *const codes[] = {"", "21220", "20404", "21217", "13224", "20429"};
    unsigned how = fuzz_u8(f);
    const struct lk_cmd *c;
    struct lk_cmd one;

    if (kit.n_cmds == 0)
        return;
    c = &kit.cmds[kit.n_cmds - 1 - fuzz_below(f, kit.n_cmds < 8 ? kit.n_cmds : 8)];
    one = *c;
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
            legs[i].in_room = how & 1;
            legs[i].up_s = (int)fuzz_u8(f) - 1;
        }
        ev.u.found.cmd = one.n;
        ev.u.found.http_status = statuses[how % 10];
        ev.u.found.room = how & 2 ? STR("CF1") : STR_NONE;
        ev.u.found.room_live = how & 4;
        ev.u.found.legs = legs;
        ev.u.found.n_legs = how % 5;
        ev.u.found.recording = how & 8 ? STR("RE1") : STR_NONE;
        lk_step(&kit, &ev);
        return;
    }
    lk_answer_full(&kit, &one, statuses[how % 10], how & 128, any_sid(f), codes[how / 10 % 6]);
}

/* Arguments are evaluated in any order, but bytes are drawn in one. */
static void status(struct fuzz *f)
{
    const char *label = any_label(f), *sid = any_sid(f);
    enum line_leg_status said = (enum line_leg_status)fuzz_below(f, 8);
    int seq = (int)fuzz_u8(f) - 1, sip = fuzz_u8(f) & 1 ? 486 : 0;

    lk_status_sip(&kit, label, sid, said, seq, sip);
}

static void act(struct fuzz *f)
{
    static const char *const texts[] = {"12#", "hello", "warm", "secret", ""};
    enum line_action_kind kind = (enum line_action_kind)(1 + fuzz_below(f, ACT_KINDS - 1));
    const char *label = any_label(f);
    char id[ID_BYTES];

    (void)snprintf(id, sizeof id, "act_%u", fuzz_below(f, 24));
    lk_act(&kit, id, kind, label, texts[fuzz_below(f, 5)]);
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
    case 1: lk_digits(&kit, any_label(f), "act_1", "1"); return;
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
    case 6: ev = (struct line_event){.kind = LINE_EV_NOTICE_HEARD}; break;
    case 7: ev = (struct line_event){.kind = LINE_EV_CALLEE_TURN}; break;
    case 8: ev = (struct line_event){.kind = LINE_EV_VOICEMAIL_SAID}; break;
    default: ev = (struct line_event){.kind = LINE_EV_MODEL_LIVE}; break;
    }
    lk_step(&kit, &ev);
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
    memset(&kit, 0, sizeof kit);
    kit.text_every = 24; /* it takes longer than all the rest */
    if (set.outbound)
        line_begin_dial(&kit.l, &set, STR("0123456789abcdef0123456789abcdef"), STR("+15551230000"),
                        how & 8 ? LK_WALL + 30000 : 0, lk_now(&kit), &kit.fx);
    else
        line_begin_inbound(&kit.l, &set, STR("0123456789abcdef0123456789abcdef"), STR("CA1"), STR("+15551230000"),
                           lk_now(&kit), &kit.fx);
    lk_after(&kit);
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz f = {data, size};
    unsigned before = t_now.bad;

    if (size > 0 && data[0] == 255) {
        durable(str_make((const char *)data + 1, size - 1));
        return 0;
    }
    begin(&f);
    for (unsigned i = 0; f.n > 0 && kit.overs == 0 && i < 100; i++) {
        switch (fuzz_below(&f, 9)) {
        case 0: case 1: answer(&f); break;
        case 2: status(&f); break;
        case 3: act(&f); break;
        case 4: others(&f); break;
        case 5: lk_wait(&kit, fuzz_u8(&f) * 20u); break;
        case 6: lk_wait(&kit, fuzz_u8(&f) * 500u); break;
        case 7:
            if (fuzz_below(&f, 4) == 0)
                lk_restart(&kit, fuzz_u8(&f) * 100u);
            break;
        default:
            kit.hold_saves = fuzz_u8(&f) & 1;
            if (fuzz_below(&f, 8) == 0)
                kit.jump = ((int64_t)fuzz_u8(&f) - 128) * 60000;
            break;
        }
    }
    FUZZ_MUST(t_now.bad == before || fuzz_starved);
    t_now.bad = before;
    return 0;
}
