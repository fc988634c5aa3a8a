/* SPDX-License-Identifier: MIT */
#ifndef ABI_HOST_TEXT_H
#define ABI_HOST_TEXT_H
/* JSON text in a buffer of a fixed size. Pure; any thread. */
#include <stdbool.h>
#include <stddef.h>

/* Appends text, which ends with a NUL, as a JSON string at out[*at]; false when it does not fit. */
bool text_json_string(char *out, size_t cap, size_t *at, const char *text);

#endif
