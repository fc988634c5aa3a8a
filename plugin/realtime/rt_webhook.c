/* SPDX-License-Identifier: MIT */
#include "plugin/realtime/rt_webhook.h"

#define CALL_ID_MAX 256u
#define INCOMING "realtime.call.incoming"

/* The id goes into a URL and a log line; what is not in this set is no id of a call. */
static bool call_id_ok(struct str id)
{
    if (id.n == 0 || id.n > CALL_ID_MAX)
        return false;
    for (size_t i = 0; i < id.n; i++) {
        char c = id.p[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            c != '_' && c != '.' && c != '-')
            return false;
    }
    /* "." and ".." would be folded away in a path. */
    return !str_eq(id, STR(".")) && !str_eq(id, STR(".."));
}

static int read_incoming(struct rt_webhook *w, struct err *e)
{
    uint32_t data = json_view_get(&w->view, 0, "data");
    int64_t at;

    w->call_id = json_view_str(&w->view, json_view_get(&w->view, data, "call_id"));
    w->headers = json_view_get(&w->view, data, "sip_headers");
    if (w->call_id.p == NULL)
        return err_set(e, ERR_INVALID, "an incoming call without a call_id");
    if (!call_id_ok(w->call_id))
        return err_set(e, ERR_INVALID, "a call_id of %zu bytes that cannot be one", w->call_id.n);
    at = json_view_int(&w->view, json_view_get(&w->view, 0, "created_at"), 0);
    w->created_at = at > 0 ? (uint64_t)at : 0;
    w->sip_call_id = str_trim(rt_webhook_header(w, "Call-ID", 0));
    if (w->sip_call_id.n == 0)
        w->sip_call_id = STR_NONE;
    return 0;
}

struct str rt_webhook_peek_call(struct str body)
{
    return json_peek_str_in(body, "data", "call_id");
}

static void reset(struct rt_webhook *w)
{
    w->kind = RT_WEBHOOK_OTHER;
    w->type = w->call_id = w->sip_call_id = STR_NONE;
    w->created_at = 0;
    w->headers = JSON_NO_NODE;
}

int rt_webhook_read(struct rt_webhook *out, struct str body, struct err *e)
{
    int rc;

    reset(out);
    rc = json_view_read(&out->view, body, e);
    if (rc < 0)
        return rc;
    if (!json_view_is_object(&out->view, 0)) {
        rc = err_set(e, ERR_INVALID, "the body is no JSON object");
        goto out;
    }
    out->type = json_view_str(&out->view, json_view_get(&out->view, 0, "type"));
    if (out->type.n == 0) {
        rc = err_set(e, ERR_INVALID, "the event has no type");
        goto out;
    }
    if (str_eqc(out->type, INCOMING)) {
        out->kind = RT_WEBHOOK_INCOMING;
        rc = read_incoming(out, e);
    }
out:
    if (rc < 0)
        rt_webhook_free(out);
    return rc;
}

void rt_webhook_free(struct rt_webhook *w)
{
    json_view_free(&w->view);
    reset(w);
}

/* The long form of the compact names of RFC 3261 §7.3.3 that are of use here. */
static struct str long_name(struct str name)
{
    if (name.n != 1)
        return name;
    switch (name.p[0] | 0x20) {
    case 'f': return STR("From");
    case 'i': return STR("Call-ID");
    case 't': return STR("To");
    case 'm': return STR("Contact");
    default: return name;
    }
}

struct str rt_webhook_header(const struct rt_webhook *w, const char *name, unsigned n)
{
    struct str want = long_name(str_of(name));
    const struct json_view *v = &w->view;
    uint32_t at = JSON_NO_NODE;

    while (want.n > 0 && (at = json_view_item(v, w->headers, at)) != JSON_NO_NODE) {
        struct str value = json_view_str(v, json_view_get(v, at, "value"));

        if (value.p == NULL || !str_ieq(long_name(json_view_str(v, json_view_get(v, at, "name"))), want))
            continue;
        if (n-- == 0)
            return value;
    }
    return STR_NONE;
}
