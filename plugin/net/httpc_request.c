/* SPDX-License-Identifier: MIT */
#include "plugin/net/httpc_int.h"

static bool is_clean(struct str s, bool blanks)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char ch = (unsigned char)s.p[i];

        if (ch == 0x7f || (ch < ' ' && !(blanks && ch == '\t')) || (!blanks && ch == ' '))
            return false;
    }
    return true;
}

int httpc_write_request(const struct url *url, struct str prefix, const struct httpc_request *req,
                        struct buf *b)
{
    struct str method = str_of(req->method);
    bool has_body = req->body.n > 0 || str_eqc(method, "POST") || str_eqc(method, "PUT") ||
                    str_eqc(method, "PATCH");

    if (method.n == 0 || !is_clean(method, false) || !is_clean(req->path, false))
        return ERR_INVALID;
    (void)buf_printf(b, "%s %.*s%.*s HTTP/1.1\r\nHost: ", req->method, STR_ARG(prefix),
                     STR_ARG(req->path.n + prefix.n > 0 ? req->path : STR("/")));
    (void)buf_printf(b, url->is_ipv6 ? "[%.*s]" : "%.*s", STR_ARG(url->host));
    if (url->has_port)
        (void)buf_printf(b, ":%u", url->port);
    for (unsigned i = 0; i < req->n_headers; i++) {
        const struct httpc_header *h = &req->headers[i];

        if (h->name.n == 0 || !is_clean(h->name, false) || !is_clean(h->value, true))
            return ERR_INVALID;
        (void)buf_printf(b, "\r\n%.*s: %.*s", STR_ARG(h->name), STR_ARG(h->value));
    }
    if (has_body)
        (void)buf_printf(b, "\r\nContent-Length: %zu", req->body.n);
    (void)buf_puts(b, STR("\r\n\r\n"));
    (void)buf_puts(b, req->body);
    return b->rc;
}
