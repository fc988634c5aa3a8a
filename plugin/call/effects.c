/* SPDX-License-Identifier: MIT */
#include "plugin/call/call_int.h"

#include <stdarg.h>
#include <stdio.h>

struct call_fx *fx_add(struct call_effects *fx, enum call_fx_kind kind)
{
    struct call_fx *f;

    /* The last place is kept for CALL_FX_OVER, which must never be lost. */
    if (fx->n >= CALL_FX_MAX - (kind == CALL_FX_OVER ? 0u : 1u)) {
        fx->overflow = true;
        fx->n = CALL_FX_MAX - 2;
    }
    f = &fx->v[fx->n++];
    *f = (struct call_fx){.kind = kind};
    return f;
}

struct str fx_text(struct call_effects *fx, const char *fmt, ...)
{
    const unsigned slots = sizeof fx->scratch / sizeof fx->scratch[0];
    char *text = fx->scratch[fx->n_scratch < slots ? fx->n_scratch++ : slots - 1];
    va_list ap;
    int len;

    va_start(ap, fmt);
    len = vsnprintf(text, sizeof fx->scratch[0], fmt, ap);
    va_end(ap);
    if (len < 0)
        return STR("");
    return str_make(text, str_utf8_floor(str_of(text), sizeof fx->scratch[0]));
}

void fx_hop(struct call_effects *fx, const char *name, struct str detail)
{
    struct call_fx *f = fx_add(fx, CALL_FX_HOP);

    f->u.hop.name = name;
    f->u.hop.detail = detail;
}

void fx_save(struct call_effects *fx, unsigned columns, const char *state, uint32_t ticket)
{
    struct call_fx *f = fx_add(fx, CALL_FX_SAVE);

    f->u.save.columns = columns | (state ? CALL_SAVE_STATE : 0u);
    f->u.save.state = state;
    f->u.save.ticket = ticket;
}

void fx_save_tool(struct call_effects *fx, const struct tool *t, const char *state, struct str output)
{
    struct call_fx *f = fx_add(fx, CALL_FX_SAVE_TOOL);

    f->u.tool_row.tool = t;
    f->u.tool_row.state = state;
    f->u.tool_row.output = output;
}

struct call_fx *fx_notify(struct call_effects *fx, enum call_notice what)
{
    struct call_fx *f = fx_add(fx, CALL_FX_NOTIFY);

    f->u.notify.what = what;
    return f;
}

void fx_notify_tool(struct call_effects *fx, const struct tool *t, const char *phase,
                    struct str text, uint64_t ms)
{
    struct call_fx *f = fx_notify(fx, CALL_NOTICE_TOOL);

    f->u.notify.tool = t;
    f->u.notify.phase = phase;
    f->u.notify.text = text;
    f->u.notify.ms = ms;
}

struct call_fx *fx_send(struct call_effects *fx, enum call_send_kind kind)
{
    struct call_fx *f = fx_add(fx, CALL_FX_SEND);

    f->u.send.kind = kind;
    return f;
}
