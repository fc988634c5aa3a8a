/* SPDX-License-Identifier: MIT */
/* Lines as events of the provider, read and given to a call that is live: its invariants hold whatever is said. */
/* covers: plugin/realtime/rt_event.c */
#include "plugin/call/call_int.h"
#include "plugin/realtime/rt_event.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/t.h"

#include "tests/unit/call_kit.h"

static struct kit kit;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz f = {data, size};
    unsigned how = fuzz_u8(&f);
    struct str rest = fuzz_rest(&f), line;
    unsigned before = t_now.bad;

    if (how & 1)
        kit_line_live(&kit, kit_line_settings());
    else
        kit_live(&kit, kit_settings());
    while (!kit.over && !kit.left && str_split(&rest, '\n', &line)) {
        struct rt_event ev;
        struct err e = {0};
        struct str type = rt_event_type(line);

        FUZZ_MUST(fuzz_inside(type, line));
        if (rt_event_read(&ev, line, &e) < 0) {
            FUZZ_MUST(e.text[0] != '\0' || fuzz_starved);
            continue;
        }
        if (kit.line == KIT_OPEN)
            kit_step(&kit, &ev.ev);
        rt_event_free(&ev);
        kit_run(&kit, how * 4u);
    }
    kit_run(&kit, how * 1000u);
    kit_close(&kit);
    FUZZ_MUST(t_now.bad == before || fuzz_starved);
    return 0;
}
