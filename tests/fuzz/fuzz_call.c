/* SPDX-License-Identifier: MIT */
/*
 * Sequences of events into the call's machine, drawn from the bytes. A first byte of 240 and more begins a call with
 * every kind of tool and with what an earlier instance left; its events are chosen more freely.
 */
/* covers: plugin/call/call.c plugin/call/call_line.c plugin/call/call_speech.c plugin/call/floor.c
           plugin/call/tool.c plugin/call/owed.c plugin/call/transcript.c */
#include "plugin/call/call_int.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/call_events.h"
#include "tests/unit/t.h"

static struct fuzz source;

static unsigned dice(unsigned sides)
{
    return fuzz_below(&source, sides);
}

/* ---- the wide form ---- */

static const char *const native[] = {"memory_search", "send_message", "ask_owner"}, *const custom[] = {"order_pizza"};
static const char *const names[] = {"ask_openclaw", "end_call", "verify_identity", "record_consent", "memory_search",
                                    "send_message", "ask_owner", "order_pizza", "no_such_tool"};

static const char *any_arguments(void)
{
    static const char *const texts[] = {"{\"request\":\"What is the weather?\"}", "{\"question\":\"May I?\"}",
                                        "{\"pin\":\"1234\"}", "{\"granted\":true}", "{\"granted\":false}",
                                        "{\"by_keypad\":true}", "{}", "no JSON"};

    return texts[dice(8)];
}

static const char *any_item(void)
{
    static const char *const items[] = {"", "item_1", "item_2", "item_3", "item_4", "item_words", "item_5", "item_6"};

    return items[dice(8)];
}

/* Items that an earlier instance stored; some close to each other. */
static void earlier_words(void)
{
    struct str ids[4];
    int64_t pos[4];
    unsigned n = dice(5);

    for (unsigned i = 0; i < n; i++) {
        ids[i] = str_of(any_item());
        pos[i] = (int64_t)dice(8) - 1;
    }
    transcript_restore(&kit.c.transcript, dice(8), ids, pos, n);
}

static void wide_restore(void)
{
    static const char *const states[] = {"claimed", "accepted", "live", "leaving", "refusing", "waiting", "nonsense"};
    static const char *const reasons[] = {"", "refused_policy", "silence", "nonsense"};
    static const char *const marks[] = {"asked", "acting", "answered", "late", "late_acting", ""};
    static const char *const ids[] = {"call_1", "call_2", "call_3", "call_4"};
    struct call_restore_tool tools[4];
    struct call_restored r = {.tools = tools, .n_tools = dice(5)};

    earlier_words();
    for (unsigned i = 0; i < r.n_tools; i++) {
        tools[i] = (struct call_restore_tool){.id = str_of(ids[i]), .name = str_of(names[dice(9)])};
        tools[i].arguments = str_of(any_arguments());
        tools[i].state = str_of(marks[dice(6)]);
        tools[i].output = dice(3) ? STR_NONE : STR("Sunny.");
        tools[i].age_ms = dice(256) * 1000u;
        /* What had begun to change something, or was done, is not to be run by this instance. */
        book.runs[number_of(ids[i])] = str_ends(tools[i].state, STR("acting")) || str_eqc(tools[i].state, "answered");
    }
    r.state = str_of(states[dice(7)]);
    r.reason = str_of(reasons[dice(4)]);
    r.age_ms = dice(256) * 8000u;
    r.live_age_ms = dice(256) * 8000u;
    r.spoke = dice(2);
    r.sip_status = dice(2) ? 486 : 0;
    kit_restore(&kit, &r);
}

static void wide_begin(void)
{
    struct call_settings set = settings();
    unsigned how = dice(256), more = dice(256);

    memset(&book, 0, sizeof book);
    book.next_call = 10;
    set.tools = (enum call_tools)(how & 7 ? CALL_TOOLS_FULL : CALL_TOOLS_NONE);
    set.verify_available = how & 8;
    set.chat_available = how & 16;
    set.line = how & 32;
    set.ask_consent = how & 64;
    set.context_late = how & 128;
    set.native_tools = native;
    set.n_native_tools = more & 1 ? 3 : 0;
    set.custom_tools = custom;
    set.n_custom_tools = more & 2 ? 1 : 0;
    set.owner_timeout_ms = more & 4 ? 600000 : 20000;
    set.notice = more & 8 ? STR("Say that this call is recorded.") : STR("");
    set.notice_first = more & 16;
    kit_open(&kit, set);
    if (more & 32) {
        wide_restore();
    } else if (set.line) {
        kit_begin_waiting(&kit);
    } else if (more & 64) {
        call_begin_refusal(&kit.c, CALL_REASON_REFUSED_POLICY, 486, STR("nobody is in"), kit.now, &kit.fx);
        kit_check_step(&kit);
    } else {
        kit_begin(&kit);
    }
}

/* A response with calls of any tools. */
static void wide_done(struct made *m)
{
    unsigned n = dice(4);

    make(m, CALL_EV_RESPONSE_DONE, dice(2) ? 0 : dice(4));
    book.next_call += 3;
    for (unsigned i = 0; i < n && i < 3; i++) {
        (void)snprintf(m->call_ids[i], sizeof m->call_ids[i], "call_%u", book.next_call + i);
        m->outputs[i + 1] = kit_call(m->call_ids[i], names[dice(9)], any_arguments());
    }
    m->outputs[0].item_id = str_of(any_item());
    m->ev.u.response.n_outputs = 1 + (n < 3 ? n : 3);
}

static void wide_event(struct made *m)
{
    static const enum call_ev items[] = {CALL_EV_COMMITTED, CALL_EV_ITEM_ADDED, CALL_EV_CALLER_TEXT,
                                         CALL_EV_CALLER_TEXT_FAILED, CALL_EV_TRUNCATED, CALL_EV_SPEECH_STARTED};
    static const char keys[] = "0123456789*#";
    unsigned what = dice(8), key;

    random_ids(m);
    switch (what) {
    case 0:
    case 1: wide_done(m); return;
    case 2:
        make(m, items[dice(6)], 1);
        m->ev.u.item.id = str_of(any_item());
        m->ev.u.item.prev = str_of(any_item());
        m->ev.u.item.who = (enum call_who)dice(3);
        return;
    case 3:
        make(m, CALL_EV_DTMF, 0);
        key = dice(12);
        m->ev.u.text = str_make(keys + key, 1);
        return;
    case 4:
        make(m, dice(6) ? CALL_EV_SESSION : CALL_EV_REFERRED, dice(VARIANTS));
        if (m->ev.kind == CALL_EV_REFERRED)
            m->ev.u.flag = dice(4);
        return;
    case 5: make(m, CALL_EV_ITEM_FOUND, 1); return;
    default: random_event(m);
    }
}

/* Nobody answers any more. */
static void end(void)
{
    for (unsigned steps = 0; !kit.over && !kit.left && kit.c.state != CALL_NEW; steps++) {
        uint64_t at = call_deadline_ms(&kit.c);

        FUZZ_MUST(at != 0 && steps < 900);
        if (at > kit.now.mono_ms)
            kit_pass(&kit, at - kit.now.mono_ms);
        kit_plain(&kit, CALL_EV_TIMER);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct made m;
    unsigned before = t_now.bad, limited;
    bool wide = size > 0 && data[0] >= 240;

    source = (struct fuzz){data + wide, size - wide};
    if (wide)
        wide_begin();
    else
        new_walk();
    limited = kit.c.set.max_duration_ms > 0; /* else silence ends it, which there is none of on hold */
    for (unsigned i = 0; source.n > 0 && !kit.over && !kit.left && i < 2000; i++) {
        if (dice(3))
            kit_run(&kit, dice(4) ? dice(60) : dice(6000));
        if (wide)
            wide_event(&m);
        else
            random_event(&m);
        kit_step(&kit, &m.ev);
        memset(&m, 'x', sizeof m); /* nothing may be kept of it */
        keep_book();
    }
    if (limited)
        end();
    kit_close(&kit);
    FUZZ_MUST(t_now.bad == before);
    return 0;
}
