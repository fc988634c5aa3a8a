/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_BASE_JSON_INT_H
#define PLUGIN_BASE_JSON_INT_H
/* What json.c (the strict check) and json_view.c (where it found what) share. Nobody else includes this. */
#include "plugin/base/json.h"

/* json_check(), which tells v (NULL: nobody) of each value. ERR_INVALID, ERR_NOMEM. */
int json_scan(struct str text, struct json_view *v, struct err *e);
/* Notes a value and returns its number; out of memory sticks in v->no_memory. */
uint32_t json_view_put(struct json_view *v, char kind, size_t at, size_t n);
/* A string with escapes that were found good: its content becomes what they mean. */
void json_view_decode(struct json_view *v, uint32_t node);
/* A container ends here. */
void json_view_close(struct json_view *v, uint32_t node);

#endif
