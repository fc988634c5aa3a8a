/* SPDX-License-Identifier: MIT */
/* Sequences of events into the call's machine, drawn from the bytes. */
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

    source = (struct fuzz){data, size};
    new_walk();
    limited = kit.c.set.max_duration_ms > 0; /* else silence ends it, which there is none of on hold */
    for (unsigned i = 0; source.n > 0 && !kit.over && !kit.left && i < 2000; i++) {
        if (dice(3))
            kit_run(&kit, dice(4) ? dice(60) : dice(6000));
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
