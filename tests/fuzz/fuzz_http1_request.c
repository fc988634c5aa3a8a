/* SPDX-License-Identifier: MIT */
/* Requests, pipelined, as the server reads them. The first byte is the size of the pieces they come in. */
/* covers: plugin/proto/http1.c plugin/proto/http1_body.c */
#include "plugin/proto/http1.h"
#include "tests/fuzz/http1_kit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz f = {data, size};
    size_t piece = 1 + fuzz_u8(&f) % 64;

    http1_both(fuzz_rest(&f), piece, false, false);
    return 0;
}
