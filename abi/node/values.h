/* SPDX-License-Identifier: MIT */
#ifndef OPENCLAW_NODE_VALUES_H
#define OPENCLAW_NODE_VALUES_H
/*
 * JavaScript values for C and the other way round. All on the thread of `env`; a value that cannot
 * be made is NULL, which Node-API then refuses where it is used.
 */
#include <stdbool.h>

#include "node_api.h"

#include "abi/openclaw_plugin.h"

/* The name of an enum oc_result: "ENOENT". Static. */
const char *js_code_name(int rc);
napi_value js_text(napi_env env, const char *p, size_t n);
napi_value js_string(napi_env env, const char *text);
napi_value js_number(napi_env env, double d);
napi_value js_undefined(napi_env env);
/* An Error with .code, .rc and .json. */
napi_value js_error(napi_env env, int rc, const char *text, struct oc_str json);
/* Throws such an Error; NULL, to be returned. */
napi_value js_throw(napi_env env, int rc, const char *text);
/*
 * Arguments; NULL or false with an exception pending when they are something else. The text is a
 * copy that the caller frees, of at most 16 MiB; undefined and null are "".
 */
char *js_text_arg(napi_env env, napi_value v, size_t *n, const char *what);
bool js_int_arg(napi_env env, napi_value v, int32_t *out, const char *what);
bool js_token_arg(napi_env env, napi_value v, uint64_t *out);

#endif
