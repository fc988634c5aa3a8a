/* SPDX-License-Identifier: MIT */
#include "plugin/realtime/rt_webhook.h"

#include "plugin/base/json.h"

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
    int64_t at;

    w->call_id = json_get_str(json_get(w->doc, "data"), "call_id");
    if (w->call_id.p == NULL)
        return err_set(e, ERR_INVALID, "an incoming call without a call_id");
    if (!call_id_ok(w->call_id))
        return err_set(e, ERR_INVALID, "a call_id of %zu bytes that cannot be one", w->call_id.n);
    at = json_get_int(w->doc, "created_at", 0);
    w->created_at = at > 0 ? (uint64_t)at : 0;
    w->sip_call_id = str_trim(rt_webhook_header(w, "Call-ID", 0));
    if (w->sip_call_id.n == 0)
        w->sip_call_id = STR_NONE;
    return 0;
}

struct str rt_webhook_peek_call(struct str body)
{
    return json_peek_str(json_peek(body, "data"), "call_id");
}

int rt_webhook_read(struct rt_webhook *out, struct str body, struct err *e)
{
    int rc;

    *out = (struct rt_webhook){.kind = RT_WEBHOOK_OTHER, .type = json_peek_str(body, "type")};
    if (out->type.n > 0 && !str_eqc(out->type, INCOMING)) /* nothing else of it is wanted */
        return json_check(body, e);
    rc = json_parse(&out->doc, body, e);
    if (rc < 0)
        return rc;
    if (!json_is_object(out->doc)) {
        rc = err_set(e, ERR_INVALID, "the body is no JSON object");
        goto out;
    }
    out->type = json_get_str(out->doc, "type");
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
    json_free(w->doc);
    *w = (struct rt_webhook){.kind = RT_WEBHOOK_OTHER};
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
    const struct json *header = json_first(json_get(json_get(w->doc, "data"), "sip_headers"));

    for (; header != NULL && want.n > 0; header = json_next(header)) {
        struct str value = json_get_str(header, "value");

        if (value.p == NULL || !str_ieq(long_name(json_get_str(header, "name")), want))
            continue;
        if (n-- == 0)
            return value;
    }
    return STR_NONE;
}
