/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_REALTIME_RT_SESSION_H
#define PLUGIN_REALTIME_RT_SESSION_H
/*
 * The session object that an accept carries, as JSON text. No I/O; any thread. Source: the API's
 * RealtimeSessionCreateRequestGA, less what the Calls API refuses on SIP: no audio formats, no
 * server_vad numbers.
 */
#include "plugin/base/buf.h"
#include "plugin/base/str.h"

struct rt_session_tool { /* one function the model may call */
    struct str name, description;
    struct str parameters_json; /* a JSON Schema object */
};

struct rt_session {
    struct str model, voice, instructions;
    struct str transcription_model, transcription_language; /* model empty: no transcription */
    struct str turn_detection;   /* "" (the API's default) | "server_vad" | "semantic_vad" */
    struct str noise_reduction;  /* "" | "near_field" | "far_field" */
    struct str reasoning_effort; /* "" or minimal..xhigh; sent to reasoning models only */
    bool interrupt_response;
    const struct rt_session_tool *tools;
    unsigned n_tools;
};

/*
 * Writes the object into out (cleared first). Empty fields are left out. 0 or out->rc; ERR_INVALID
 * (and an empty out) when a field with fixed values has another one, a tool's name is not of
 * [A-Za-z0-9_-]{1,64}, or its parameters are no JSON object.
 */
int rt_session_write(struct buf *out, const struct rt_session *s);
/* True for models that take reasoning.effort and parallel_tool_calls (gpt-realtime-2 and later). */
bool rt_model_reasons(struct str model);

#endif
