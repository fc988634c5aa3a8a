/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_NET_LOOP_UV_H
#define PLUGIN_NET_LOOP_UV_H
/*
 * What the files of plugin/net share of a loop, libuv's types included. Nobody else includes this.
 * Owner: loop.c. Loop thread but for the members under `lock`.
 */
#include "plugin/base/buf.h"
#include "plugin/net/loop.h"
#include "plugin/proto/ws.h"

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#define LOOP_READ_BYTES 65536u
#define LOOP_SPARE_BYTES 65536u

struct resolver;
struct stream;

struct loop {
    uv_loop_t uv;
    uv_async_t wake;
    /* Both flush what was written in this turn: before the loop sleeps and after events were handled. */
    uv_prepare_t before_sleep;
    uv_check_t after_events;
    uv_idle_t restless; /* keeps the loop from sleeping while a lull is waited for */
    const struct log *log;

    pthread_mutex_t lock;
    struct fifo posted; /* under lock */
    bool closed;        /* under lock: takes no messages */

    pthread_t thread;    /* set by the thread itself, then `running` */
    atomic_bool running;
    pthread_t join;      /* the same, for whoever started it */
    bool started, stopping;
    void (*on_exit)(void *arg);
    void *exit_arg;

    struct fifo lull;   /* run at the next one */
    uint64_t lull_by_ns;
    unsigned arrivals;  /* bytes and messages: moves on while there is no lull */

    struct resolver *resolver; /* made by the first lookup */
    char *read_buf;            /* LOOP_READ_BYTES; every stream of the loop reads into it */
    struct buf wire;           /* scratch for encrypted bytes on their way to the kernel */
    struct buf spare;          /* a buffer for whoever writes next; p may be NULL */
    struct stream *dirty;      /* streams with something to flush */
    struct ws_random random;   /* masks of all WebSockets of the loop */
};

/* The resolver of the loop, made when first asked for; NULL when that failed or the loop stops. */
struct resolver *loop_resolver(struct loop *l);

#endif
