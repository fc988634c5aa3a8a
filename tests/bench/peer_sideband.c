/* SPDX-License-Identifier: MIT */
/*
 * The floor of a sideband: reads WebSocket events from N connections to load_service and gives each to cJSON. No
 * limits, no checks, no call. Without TLS with "plain".
 *
 *   peer_sideband PORT N tls|plain     prints {"open":N} when all are open; ends with its parent's signal
 */
#include <arpa/inet.h>
#include <cjson/cJSON.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define IN_BYTES 65536u

struct band {
    int fd;
    SSL *ssl;
    size_t n;
    char in[IN_BYTES];
};

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(1);
}

static void put(struct band *b, const void *p, int n)
{
    if ((b->ssl != NULL ? SSL_write(b->ssl, p, n) : (int)write(b->fd, p, (size_t)n)) != n)
        die("write");
}

static int get(struct band *b)
{
    int room = (int)(sizeof b->in - b->n);

    return b->ssl != NULL ? SSL_read(b->ssl, b->in + b->n, room) : (int)read(b->fd, b->in + b->n, (size_t)room);
}

static struct band *open_band(int port, SSL_CTX *tls, int number)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct band *b = calloc(1, sizeof *b);
    char text[256];
    int one = 1, n;

    if (b == NULL || (b->fd = socket(AF_INET, SOCK_STREAM, 0)) < 0 ||
        connect(b->fd, (struct sockaddr *)&to, sizeof to) != 0 ||
        setsockopt(b->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0)
        die("connect");
    if (tls != NULL && ((b->ssl = SSL_new(tls)) == NULL || SSL_set_fd(b->ssl, b->fd) != 1 || SSL_connect(b->ssl) != 1))
        die("TLS");
    n = snprintf(text, sizeof text, "GET /v1/realtime?call_id=rtc_floor_%d HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: "
                 "websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                 "Sec-WebSocket-Version: 13\r\n\r\n", number);
    put(b, text, n);
    while (memmem(b->in, b->n, "\r\n\r\n", 4) == NULL) {
        n = get(b);
        if (n <= 0)
            die("upgrade");
        b->n += (size_t)n;
    }
    n = (int)((char *)memmem(b->in, b->n, "\r\n\r\n", 4) + 4 - b->in);
    b->n -= (size_t)n;
    memmove(b->in, b->in + n, b->n);
    if (fcntl(b->fd, F_SETFL, O_NONBLOCK) != 0)
        die("fcntl");
    return b;
}

static void take(struct band *b, unsigned opcode, const char *p, size_t n)
{
    static const unsigned char pong[] = {0x8a, 0x81, 0, 0, 0, 0, 'p'};

    if (opcode == 9)
        put(b, pong, sizeof pong);
    else if (opcode == 1)
        cJSON_Delete(cJSON_ParseWithLength(p, n));
}

static void on_bytes(struct band *b)
{
    int got;

    while ((got = get(b)) > 0) {
        size_t at = 0;

        b->n += (size_t)got;
        for (;;) {
            const unsigned char *p = (const unsigned char *)b->in + at;
            size_t head = b->n - at >= 2 && p[1] == 126 ? 4 : 2, n;

            if (b->n - at < head)
                break;
            n = head == 4 ? (size_t)p[2] << 8 | p[3] : p[1];
            if (b->n - at < head + n)
                break;
            take(b, p[0] & 0x0f, b->in + at + head, n);
            at += head + n;
        }
        b->n -= at;
        memmove(b->in, b->in + at, b->n);
    }
    if (b->ssl != NULL ? SSL_get_error(b->ssl, got) != SSL_ERROR_WANT_READ : got == 0)
        exit(0);
}

int main(int argc, char **argv)
{
    SSL_CTX *tls = NULL;
    int ep = epoll_create1(0), n;
    struct epoll_event evs[64];

    if (argc != 4)
        return 2;
    if (strcmp(argv[3], "tls") == 0 && (tls = SSL_CTX_new(TLS_client_method())) == NULL)
        die("TLS");
    n = atoi(argv[2]);
    for (int i = 0; i < n; i++) {
        struct band *b = open_band(atoi(argv[1]), tls, i);
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = b};

        if (epoll_ctl(ep, EPOLL_CTL_ADD, b->fd, &ev) != 0)
            die("epoll");
        on_bytes(b);
    }
    printf("{\"open\":%d}\n", n);
    (void)fflush(stdout);
    for (;;) {
        int k = epoll_wait(ep, evs, 64, -1);

        for (int i = 0; i < k; i++)
            on_bytes(evs[i].data.ptr);
    }
}
