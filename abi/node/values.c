/* SPDX-License-Identifier: MIT */
#include "abi/node/values.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/node/bridge.h"

#define TEXT_MAX BRIDGE_QUEUE_BYTES

const char *js_code_name(int rc)
{
    static const char *const names[] = { "OK",      "EFAIL",  "EINVAL", "ECONFIG",
                                         "ENOMEM",  "ESTATE", "ENOTSUP", "ENOENT",
                                         "EBUSY",   "ECANCELED", "ETIMEDOUT", "EIO" };

    return rc <= 0 && rc >= OC_EIO ? names[-rc] : "EFAIL";
}

napi_value js_text(napi_env env, const char *p, size_t n)
{
    napi_value v = NULL;

    napi_create_string_utf8(env, n > 0 ? p : "", n, &v);
    return v;
}

napi_value js_string(napi_env env, const char *text)
{
    return js_text(env, text, strlen(text));
}

napi_value js_number(napi_env env, double d)
{
    napi_value v = NULL;

    napi_create_double(env, d, &v);
    return v;
}

napi_value js_undefined(napi_env env)
{
    napi_value v = NULL;

    napi_get_undefined(env, &v);
    return v;
}

napi_value js_error(napi_env env, int rc, const char *text, struct oc_str json)
{
    napi_value e = NULL;

    napi_create_error(env, js_string(env, js_code_name(rc)), js_string(env, text), &e);
    if (!e)
        return js_undefined(env);
    napi_set_named_property(env, e, "rc", js_number(env, rc));
    napi_set_named_property(env, e, "json", js_text(env, json.p, json.n));
    return e;
}

napi_value js_throw(napi_env env, int rc, const char *text)
{
    napi_throw(env, js_error(env, rc, text, (struct oc_str){ 0 }));
    return NULL;
}

char *js_text_arg(napi_env env, napi_value v, size_t *n, const char *what)
{
    char text[96];
    napi_valuetype type = napi_undefined;
    size_t size = 0;
    char *copy;

    *n = 0;
    if (v)
        napi_typeof(env, v, &type);
    if (type != napi_undefined && type != napi_null) {
        if (napi_get_value_string_utf8(env, v, NULL, 0, &size) != napi_ok || size > TEXT_MAX) {
            snprintf(text, sizeof(text), "%s must be a string of at most 16 MiB", what);
            js_throw(env, OC_EINVAL, text);
            return NULL;
        }
    }
    copy = malloc(size + 1);
    if (!copy) {
        js_throw(env, OC_ENOMEM, "out of memory");
        return NULL;
    }
    copy[0] = 0;
    if (size > 0)
        napi_get_value_string_utf8(env, v, copy, size + 1, n);
    return copy;
}

bool js_int_arg(napi_env env, napi_value v, int32_t *out, const char *what)
{
    char text[96];
    double d = 0;

    if (v && napi_get_value_double(env, v, &d) == napi_ok && isfinite(d) && d >= INT32_MIN &&
        d <= INT32_MAX) {
        *out = (int32_t)d;
        return true;
    }
    snprintf(text, sizeof(text), "%s must be a number", what);
    js_throw(env, OC_EINVAL, text);
    return false;
}

bool js_token_arg(napi_env env, napi_value v, uint64_t *out)
{
    bool lossless = false;

    if (v && napi_get_value_bigint_uint64(env, v, out, &lossless) == napi_ok && lossless)
        return true;
    js_throw(env, OC_EINVAL, "token must be the bigint that request() was called with");
    return false;
}
