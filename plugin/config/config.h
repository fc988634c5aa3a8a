/* SPDX-License-Identifier: MIT */
#ifndef PLUGIN_CONFIG_H
#define PLUGIN_CONFIG_H
/*
 * The configuration of an instance: openclaw-voice-config.yaml, the gateway's channels.voice laid over
 * it, the environment behind both; checked as a whole against the key table that the build derives
 * from plugin.toml (plugin/config/config_keys.h). A snapshot is immutable once read and shared by reference
 * count; any thread may read it.
 */
#include "plugin/base/buf.h"
#include "plugin/base/err.h"
#include "plugin/base/json.h"
#include "plugin/base/log.h"
#include "plugin/base/zone.h"
#include "plugin/call/cost.h"

struct config_list {
    const char **v; /* NUL-terminated texts */
    unsigned n;
};

struct config_pair {
    const char *name, *value;
};

struct config_map { /* in the order of the file */
    const struct config_pair *v;
    unsigned n;
};

enum config_voicemail { CONFIG_VOICEMAIL_HANGUP, CONFIG_VOICEMAIL_MESSAGE, CONFIG_VOICEMAIL_CONTINUE };
enum config_consent { CONFIG_CONSENT_NONE, CONFIG_CONSENT_NOTICE, CONFIG_CONSENT_ASK };
enum config_tools { CONFIG_TOOLS_NONE, CONFIG_TOOLS_SAFE, CONFIG_TOOLS_FULL };

struct config { /* every text is NUL-terminated, "" when not set */
    bool native_host;          /* create()'s host field was "native" */
    bool enabled;
    const char *config_file;   /* absolute path of the YAML file, "" without one */
    const char *state_dir, *workspace;
    const char *gateway_url, *gateway_token;
    struct {
        const char *api_key, *project_id, *model, *voice, *base_url, *ca_file;
        const char *transcription_model, *transcription_language;
        const char *turn_detection, *noise_reduction, *reasoning_effort; /* noise "off" is "" here */
    } openai;
    struct {
        bool ready; /* account_sid, auth_token and phone_number are there: it is the carrier */
        const char *account_sid, *base_url, *region, *edge;
        const char *say_voice, *say_language;     /* of words that Twilio speaks; "": its own */
        const char *say_apology, *say_offer;      /* to a caller whom nobody serves; to a target, before the summary */
        const char *api_key_sid, *api_key_secret; /* both or none; for requests, instead of auth_token */
        const char *auth_token, *phone_number;    /* the first of each list, "" without one */
        struct config_list auth_tokens;           /* each may have signed a callback */
        struct config_list phone_numbers;         /* all our own, E.164 */
    } twilio;
    struct {
        uint32_t ring_timeout_s, calls_per_second, retries;
        uint32_t hold_drop_after_s; /* 0: never */
        uint32_t ask_owner_timeout_ms, queue_max_min;
        const char *default_country;    /* "DE", or "" */
        struct zone_hours quiet_hours;  /* of the callee's own time zone */
        enum config_voicemail voicemail;
        const char *voicemail_message;  /* "": the assistant finds its own words */
        const char *owner;              /* "telegram:777", or "" */
    } outbound;
    struct {
        bool dual;
        uint32_t max_mb, retention_days; /* 0: for ever */
        const char *encryption_key;      /* 64 hex digits, or "" */
        struct config_map consent;       /* number prefix or "*" -> word; see config_consent_of() */
    } recording;
    struct {
        const char *bind, *base_url, *tls_cert, *tls_key;
        int port;
        struct config_list secrets;
    } webhook;
    const char *api_token;        /* itself, or "sha256:" and its hash */
    struct config_map api_tokens; /* name -> what config_token_read() takes */
    uint32_t api_requests_per_minute, api_failures_per_minute; /* 0: no limit */
    const char *api_public_url; /* "": no links in messages */
    const char *agent_file;    /* absolute */
    struct {
        bool memory_enabled, cross_channel_enabled, auto_link_sessions, inherit_context;
        bool sync_memory, handoff_enabled;
        uint32_t context_max_tokens;
        struct config_list handoff_channels;
    } integration;
    struct {
        const char *instructions, *greeting;
        bool auto_end_on_silence, interruption_enabled, record_calls;
        uint32_t max_duration_min, silence_timeout_s, max_concurrent, max_per_caller_hour, drain_s;
        uint32_t filler_after_ms, progress_every_ms, tool_timeout_ms;
    } call;
    struct {
        bool include_voice_calls, voice_summary_in_daily, share_across_channels;
        bool check_active_calls, call_health_monitoring;
    } agent;
    struct {
        bool persist_ended_sessions, caller_history_enabled, caller_identity_linking;
        bool auto_link_by_phone;
        uint32_t session_cleanup_h, link_timeout_min, transcript_retention_days;
    } sessions;
    struct {
        const char *call_summaries_file, *caller_history_file; /* relative to workspace */
        bool inject_caller_history, inject_cross_channel_context;
        bool persist_call_summaries, persist_transcripts, persist_caller_updates;
        uint32_t inject_recent_memory_days;
    } memory;
    struct {
        bool verify_signatures, whitelist_enabled, blacklist_enabled;
        bool unknown_allowed;  /* unknown_caller_policy */
        bool cross_channel_context_filtering, memory_access_filtering;
        struct config_list whitelist, blacklist; /* E.164 */
        bool destinations_given; /* allow stands in the file, if only as []; else it is the default */
        struct config_list destinations_allow, destinations_deny; /* "+49", "+15551234567", "*" */
        struct config_map transfer_targets; /* name -> E.164 */
        enum config_tools tools_unknown, tools_known, tools_linked, tools_proven;
        const char *pin_hash;  /* the form in plugin/base/secret.h */
        struct config_list attestation_headers;
        bool attestation_trusted;
        const char *attestation_known, *attestation_linked; /* "none", "A" ... */
    } security;
    struct {
        enum log_level level;
        bool include_transcripts, include_context_injection, call_events;
    } logging;
    struct {
        struct cost_caps caps;
        const char *time_zone;    /* IANA name, or "" */
        struct config_map prices; /* model -> price as cost_price_read() or cost_hearing_read() takes it */
    } costs;
    struct {
        bool collect_call_metrics, track_context_injection_latency;
        bool track_memory_persistence_latency, export_metrics;
    } metrics;
    /*
     * One flat object: every key's full path ("channels.voice.webhook.port") with its effective value,
     * null when not set, secrets masked "***": for display and for parts that read their own keys.
     */
    struct json *all;
};

/*
 * Reads create()'s configuration (see abi/openclaw_voice.h) and the files it names. On ERR_CONFIG
 * `faults` holds all of them, one line each, "file:line: key: what to write"; on success `warnings`
 * holds lines of the same shape. Blocks for file reads. ERR_CONFIG, ERR_NOMEM, ERR_INVALID.
 */
int config_read(struct config **out, struct str create_json, struct buf *faults, struct buf *warnings);
struct config *config_ref(struct config *c);
void config_unref(struct config *c); /* NULL is fine; secrets are wiped */
/* What must precede the recording of a call with this number ("" when withheld): the longest prefix counts. */
enum config_consent config_consent_of(const struct config *c, struct str number);

/*
 * What calls of this speech model cost, with the configured transcription model: out->known is false when one of the
 * prices is not known.
 */
void config_rates_of(const struct config *c, struct str model, struct cost_rates *out);

/* The personality file earlier users have, reread for each call. */
struct agent_tool {
    const char *name, *description, *parameters_json;
};
struct agent {
    const char *name, *instructions, *voice, *model; /* "" when not said */
    const char *greeting;
    struct agent_tool *tools; /* beyond ask_openclaw and end_call, which are built in */
    unsigned n_tools;
};
/* A missing file gives an empty agent and 0. ERR_INVALID with e naming file and fault. */
int agent_read(struct agent **out, const struct config *c, struct err *e);
void agent_free(struct agent *a);

#endif
