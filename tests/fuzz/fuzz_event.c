/* SPDX-License-Identifier: MIT */
/*
 * Lines as events of the provider, read, looked at by a second reader, and given to a call that is live: its invariants
 * hold whatever is said.
 */
/* covers: plugin/realtime/rt_event.c */
#include "plugin/base/json.h"
#include "plugin/call/call_int.h"
#include "plugin/realtime/rt_event.h"
#include "tests/fuzz/event_reader.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/t.h"

#include "tests/unit/call_kit.h"

static struct kit kit;

/* What we write is JSON, whatever is said in it. */
static void writes(struct str text)
{
    struct str id = STR("event_1");
    struct buf out;
    int rc[6];

    buf_init(&out, 1u << 20);
    rc[0] = rt_write_response_create(&out, id, text, true);
    FUZZ_MUST(rc[0] < 0 || json_check(buf_str(&out), NULL) == 0);
    rc[1] = rt_write_function_output(&out, id, STR("item_1"), STR("call_1"), text);
    FUZZ_MUST(rc[1] < 0 || json_check(buf_str(&out), NULL) == 0);
    rc[2] = rt_write_message(&out, id, STR("item_1"), "system", text);
    FUZZ_MUST(rc[2] < 0 || json_check(buf_str(&out), NULL) == 0);
    rc[3] = rt_write_item_retrieve(&out, id, STR("item_1"));
    rc[4] = rt_write_response_cancel(&out, id);
    rc[5] = rt_write_output_clear(&out, id);
    for (int i = 0; i < 6; i++)
        FUZZ_MUST(rc[i] == 0 || fuzz_starved);
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz f = {data, size};
    unsigned how = fuzz_u8(&f);
    struct str rest = fuzz_rest(&f), line;
    unsigned before = t_now.bad;

    if (!str_has_nul(rest))
        writes(rest);
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
            FUZZ_MUST(fuzz_starved || !should_be_read(line));
            continue;
        }
        event_right(&ev);
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
