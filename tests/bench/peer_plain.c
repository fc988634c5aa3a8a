/* SPDX-License-Identifier: MIT */
/*
 * The floor of an HTTP server: libuv and llhttp, which answers every complete request with 200 and does nothing
 * else. No limits, no signature, no claim. Prints {"port"}; ends with its parent's signal.
 */
#include <llhttp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

struct client {
    uv_tcp_t tcp; /* first: the handle is the client */
    llhttp_t parser;
    unsigned complete;
};

static const char answer[] = "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Type: "
                             "application/json\r\nContent-Length: 11\r\n\r\n{\"ok\":true}";
static char read_buf[65536];
static llhttp_settings_t settings;

static int on_complete(llhttp_t *p)
{
    struct client *c = p->data;

    c->complete++;
    return 0;
}

static void on_alloc(uv_handle_t *h, size_t n, uv_buf_t *b)
{
    (void)h;
    (void)n;
    *b = uv_buf_init(read_buf, sizeof read_buf);
}

static void on_closed(uv_handle_t *h)
{
    free(h);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    struct client *c = (struct client *)(void *)s;
    uv_buf_t out = uv_buf_init((char *)(uintptr_t)answer, sizeof answer - 1);

    if (n < 0 || (n > 0 && llhttp_execute(&c->parser, b->base, (size_t)n) != HPE_OK)) {
        if (!uv_is_closing((uv_handle_t *)s))
            uv_close((uv_handle_t *)s, on_closed);
        return;
    }
    for (; c->complete > 0; c->complete--)
        if (uv_try_write(s, &out, 1) != (int)out.len && !uv_is_closing((uv_handle_t *)s))
            uv_close((uv_handle_t *)s, on_closed);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct client *c = status == 0 ? calloc(1, sizeof *c) : NULL;

    if (c == NULL)
        return;
    (void)uv_tcp_init(listener->loop, &c->tcp);
    llhttp_init(&c->parser, HTTP_REQUEST, &settings);
    c->parser.data = c;
    if (uv_accept(listener, (uv_stream_t *)&c->tcp) == 0)
        (void)uv_tcp_nodelay(&c->tcp, 1);
    (void)uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
}

int main(void)
{
    uv_loop_t *loop = uv_default_loop();
    struct sockaddr_in at;
    int n = sizeof at;
    uv_tcp_t listener;

    llhttp_settings_init(&settings);
    settings.on_message_complete = on_complete;
    (void)uv_ip4_addr("127.0.0.1", 0, &at);
    (void)uv_tcp_init(loop, &listener);
    if (uv_tcp_bind(&listener, (struct sockaddr *)&at, 0) != 0 ||
        uv_listen((uv_stream_t *)&listener, 1024, on_connection) != 0 ||
        uv_tcp_getsockname(&listener, (struct sockaddr *)&at, &n) != 0)
        return 1;
    printf("{\"port\":%d}\n", ntohs(at.sin_port));
    (void)fflush(stdout);
    return uv_run(loop, UV_RUN_DEFAULT);
}
