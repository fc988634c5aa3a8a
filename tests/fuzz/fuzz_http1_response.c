/* SPDX-License-Identifier: MIT */
/* Responses as the client reads them. The first byte: the pieces they come in, and whether HEAD was asked. */
/* covers: plugin/proto/http1.c plugin/proto/http1_body.c */
#include "plugin/proto/http1.h"
#include "tests/fuzz/http1_kit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz f = {data, size};
    unsigned how = fuzz_u8(&f);

    http1_both(fuzz_rest(&f), 1 + how % 64, true, how >= 192);
    return 0;
}
