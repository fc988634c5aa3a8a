/* SPDX-License-Identifier: MIT */
#include "plugin/notice.h"

#include "abi/openclaw_voice.h"
#include "plugin/app.h"
#include "plugin/base/clock.h"
#include "plugin/base/json.h"
#include "plugin/feed.h"

#define NOTICE_BYTES (256u * 1024u)

void notice_begin(struct buf *b, const char *name, struct str call)
{
    buf_init(b, NOTICE_BYTES);
    jw_open(b, '{');
    jw_kstrc(b, "event", name);
    if (call.n > 0)
        jw_kstr(b, "call", call);
    jw_kint(b, "at", (int64_t)clock_wall_ms());
}

void notice_send(struct app *app, struct buf *b, const char *name, struct str call)
{
    jw_close(b, '}');
    if (b->rc < 0) {
        log_warn(&app->log, "an event %s is too big or memory is out", name);
    } else {
        host_event(app->host, name, call, buf_str(b));
        feed_add(app->feed, name, call, buf_str(b));
    }
    buf_free(b);
}

void notice_warning(struct app *app, const char *text)
{
    struct buf b;

    log_warn(&app->log, "%s", text);
    notice_begin(&b, OC_EV_WARNING, STR(""));
    jw_kstrc(&b, "text", text);
    notice_send(app, &b, OC_EV_WARNING, STR(""));
}
