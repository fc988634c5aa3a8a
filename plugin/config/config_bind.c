/* SPDX-License-Identifier: MIT */
#include "plugin/base/mem.h"
#include "plugin/config/config_parts.h"

#include <stddef.h>
#include <string.h>

#define ALL_BYTES_MAX (4u << 20)

enum member_type { MEMBER_TEXT, MEMBER_BOOL, MEMBER_U32, MEMBER_INT, MEMBER_LIST, MEMBER_MAP };

struct member {
    const char *path;
    size_t at;
    enum member_type type;
};

#define TEXT(path, field) {path, offsetof(struct config, field), MEMBER_TEXT}
#define BOOL(path, field) {path, offsetof(struct config, field), MEMBER_BOOL}
#define U32(path, field) {path, offsetof(struct config, field), MEMBER_U32}
#define INT(path, field) {path, offsetof(struct config, field), MEMBER_INT}
#define LIST(path, field) {path, offsetof(struct config, field), MEMBER_LIST}
#define MAP(path, field) {path, offsetof(struct config, field), MEMBER_MAP}
#define VOICE "channels.voice."

/* Where each key lies. Those that are words for something else are set in bind_words(). */
static const struct member members[] = {
    TEXT("openclaw.workspace", workspace),
    TEXT("openclaw.gateway_url", gateway_url),
    TEXT("openclaw.gateway_token", gateway_token),
    BOOL(VOICE "enabled", enabled),
    TEXT(VOICE "state_dir", state_dir),
    TEXT(VOICE "agent_file", agent_file),
    TEXT(VOICE "openai.api_key", openai.api_key),
    TEXT(VOICE "openai.project_id", openai.project_id),
    TEXT(VOICE "openai.model", openai.model),
    TEXT(VOICE "openai.voice", openai.voice),
    TEXT(VOICE "openai.base_url", openai.base_url),
    TEXT(VOICE "openai.ca_file", openai.ca_file),
    TEXT(VOICE "openai.transcription_model", openai.transcription_model),
    TEXT(VOICE "openai.transcription_language", openai.transcription_language),
    TEXT(VOICE "openai.turn_detection", openai.turn_detection),
    TEXT(VOICE "openai.noise_reduction", openai.noise_reduction),
    TEXT(VOICE "openai.reasoning_effort", openai.reasoning_effort),
    TEXT(VOICE "twilio.account_sid", twilio.account_sid),
    LIST(VOICE "twilio.auth_token", twilio.auth_tokens),
    LIST(VOICE "twilio.phone_number", twilio.phone_numbers),
    TEXT(VOICE "twilio.base_url", twilio.base_url),
    TEXT(VOICE "twilio.region", twilio.region),
    TEXT(VOICE "twilio.edge", twilio.edge),
    TEXT(VOICE "twilio.say_voice", twilio.say_voice),
    TEXT(VOICE "twilio.say_language", twilio.say_language),
    TEXT(VOICE "twilio.say_apology", twilio.say_apology),
    TEXT(VOICE "twilio.say_offer", twilio.say_offer),
    TEXT(VOICE "twilio.api_key_sid", twilio.api_key_sid),
    TEXT(VOICE "twilio.api_key_secret", twilio.api_key_secret),
    U32(VOICE "outbound.ring_timeout_seconds", outbound.ring_timeout_s),
    TEXT(VOICE "outbound.default_country", outbound.default_country),
    U32(VOICE "outbound.calls_per_second", outbound.calls_per_second),
    U32(VOICE "outbound.retries", outbound.retries),
    TEXT(VOICE "outbound.voicemail_message", outbound.voicemail_message),
    U32(VOICE "outbound.hold_drop_after_seconds", outbound.hold_drop_after_s),
    TEXT(VOICE "outbound.owner", outbound.owner),
    U32(VOICE "outbound.ask_owner_timeout_ms", outbound.ask_owner_timeout_ms),
    U32(VOICE "outbound.queue_max_minutes", outbound.queue_max_min),
    U32(VOICE "recording.max_mb", recording.max_mb),
    U32(VOICE "recording.retention_days", recording.retention_days),
    TEXT(VOICE "recording.encryption_key", recording.encryption_key),
    MAP(VOICE "recording.consent", recording.consent),
    INT(VOICE "webhook.port", webhook.port),
    TEXT(VOICE "webhook.base_url", webhook.base_url),
    LIST(VOICE "webhook.secret", webhook.secrets),
    TEXT(VOICE "webhook.bind", webhook.bind),
    TEXT(VOICE "webhook.tls_cert", webhook.tls_cert),
    TEXT(VOICE "webhook.tls_key", webhook.tls_key),
    TEXT(VOICE "api.token", api_token),
    MAP(VOICE "api.tokens", api_tokens),
    TEXT(VOICE "api.public_url", api_public_url),
    U32(VOICE "api.requests_per_minute", api_requests_per_minute),
    U32(VOICE "api.failures_per_minute", api_failures_per_minute),
    BOOL(VOICE "integration.memory_enabled", integration.memory_enabled),
    U32(VOICE "integration.context_max_tokens", integration.context_max_tokens),
    BOOL(VOICE "integration.cross_channel_enabled", integration.cross_channel_enabled),
    BOOL(VOICE "integration.auto_link_sessions", integration.auto_link_sessions),
    BOOL(VOICE "integration.inherit_context", integration.inherit_context),
    BOOL(VOICE "integration.sync_memory", integration.sync_memory),
    BOOL(VOICE "integration.handoff_enabled", integration.handoff_enabled),
    LIST(VOICE "integration.handoff_channels", integration.handoff_channels),
    TEXT(VOICE "call.default_instructions", call.instructions),
    TEXT(VOICE "call.greeting", call.greeting),
    BOOL(VOICE "call.record_calls", call.record_calls),
    U32(VOICE "call.max_call_duration_minutes", call.max_duration_min),
    BOOL(VOICE "call.auto_end_on_silence", call.auto_end_on_silence),
    U32(VOICE "call.silence_timeout_seconds", call.silence_timeout_s),
    BOOL(VOICE "call.interruption_enabled", call.interruption_enabled),
    U32(VOICE "call.max_concurrent", call.max_concurrent),
    U32(VOICE "call.max_per_caller_hour", call.max_per_caller_hour),
    U32(VOICE "call.drain_seconds", call.drain_s),
    U32(VOICE "call.filler_after_ms", call.filler_after_ms),
    U32(VOICE "call.progress_every_ms", call.progress_every_ms),
    U32(VOICE "call.tool_timeout_ms", call.tool_timeout_ms),
    BOOL("agent.main_session.memory.include_voice_calls", agent.include_voice_calls),
    BOOL("agent.main_session.memory.voice_summary_in_daily", agent.voice_summary_in_daily),
    BOOL("agent.main_session.memory.share_across_channels", agent.share_across_channels),
    BOOL("agent.heartbeat.check_active_calls", agent.check_active_calls),
    BOOL("agent.heartbeat.call_health_monitoring", agent.call_health_monitoring),
    BOOL("sessions.voice.persist_ended_sessions", sessions.persist_ended_sessions),
    U32("sessions.voice.session_cleanup_hours", sessions.session_cleanup_h),
    U32("sessions.voice.transcript_retention_days", sessions.transcript_retention_days),
    BOOL("sessions.voice.caller_history_enabled", sessions.caller_history_enabled),
    BOOL("sessions.voice.caller_identity_linking", sessions.caller_identity_linking),
    BOOL("sessions.voice.auto_link_by_phone", sessions.auto_link_by_phone),
    U32("sessions.voice.link_timeout_minutes", sessions.link_timeout_min),
    TEXT("memory.voice.call_summaries_file", memory.call_summaries_file),
    TEXT("memory.voice.caller_history_file", memory.caller_history_file),
    U32("memory.voice.inject_recent_memory_days", memory.inject_recent_memory_days),
    BOOL("memory.voice.inject_caller_history", memory.inject_caller_history),
    BOOL("memory.voice.inject_cross_channel_context", memory.inject_cross_channel_context),
    BOOL("memory.voice.persist_call_summaries", memory.persist_call_summaries),
    BOOL("memory.voice.persist_transcripts", memory.persist_transcripts),
    BOOL("memory.voice.persist_caller_updates", memory.persist_caller_updates),
    BOOL("logging.voice.include_transcripts", logging.include_transcripts),
    BOOL("logging.voice.include_context_injection", logging.include_context_injection),
    BOOL("logging.voice.call_events", logging.call_events),
    BOOL("security.voice.verify_webhook_signatures", security.verify_signatures),
    BOOL("security.voice.whitelist_enabled", security.whitelist_enabled),
    LIST("security.voice.whitelist", security.whitelist),
    BOOL("security.voice.blacklist_enabled", security.blacklist_enabled),
    LIST("security.voice.blacklist", security.blacklist),
    LIST("security.voice.destinations.allow", security.destinations_allow),
    LIST("security.voice.destinations.deny", security.destinations_deny),
    MAP("security.voice.transfer_targets", security.transfer_targets),
    BOOL("security.voice.cross_channel_context_filtering",
         security.cross_channel_context_filtering),
    BOOL("security.voice.memory_access_filtering", security.memory_access_filtering),
    LIST("security.voice.attestation.headers", security.attestation_headers),
    BOOL("security.voice.attestation.trusted_trunk", security.attestation_trusted),
    TEXT("security.voice.attestation.known", security.attestation_known),
    TEXT("security.voice.attestation.linked", security.attestation_linked),
    TEXT("security.voice.tools.pin_hash", security.pin_hash),
    TEXT("costs.voice.time_zone", costs.time_zone),
    MAP("costs.voice.prices", costs.prices),
    BOOL("metrics.voice.collect_call_metrics", metrics.collect_call_metrics),
    BOOL("metrics.voice.track_context_injection_latency", metrics.track_context_injection_latency),
    BOOL("metrics.voice.track_memory_persistence_latency",
         metrics.track_memory_persistence_latency),
    BOOL("metrics.voice.export_metrics", metrics.export_metrics),
};

static void list_bind(struct config_list *list, struct config_reader *r, const struct config_value *v)
{
    const char **texts;

    list->v = NULL;
    list->n = 0;
    if (v->n == 0)
        return;
    texts = arena_alloc(&r->mem, v->n * sizeof *texts);
    if (texts == NULL)
        return;
    for (unsigned i = 0; i < v->n; i++)
        texts[i] = arena_text(&r->mem, v->v[i].text);
    list->v = texts;
    list->n = v->n;
}

static void map_bind(struct config_map *map, struct config_reader *r, const struct config_value *v)
{
    struct config_pair *pairs = v->n > 0 ? arena_alloc(&r->mem, v->n * sizeof *pairs) : NULL;

    map->v = pairs;
    map->n = pairs ? v->n : 0;
    for (unsigned i = 0; i < map->n; i++)
        pairs[i] = (struct config_pair){arena_text(&r->mem, v->v[i].name),
                                        arena_text(&r->mem, v->v[i].text)};
}

static long long number(const struct config_value *v)
{
    long long n = 0;

    if (v->n > 0)
        (void)config_int_read(v->v[0].text, &n);
    return n;
}

static void member_bind(struct config *c, struct config_reader *r, const struct member *m)
{
    const struct config_value *v = config_value_at(r, m->path);
    char *at = (char *)c + m->at;
    const char *text;
    uint32_t u;
    bool b;
    int i;

    /* memcpy: the member's type is known by the table alone. */
    switch (m->type) {
    case MEMBER_TEXT:
        text = v->n > 0 ? arena_text(&r->mem, v->v[0].text) : "";
        memcpy(at, &text, sizeof text);
        break;
    case MEMBER_BOOL:
        b = v->n > 0 && str_eq(v->v[0].text, STR("true"));
        memcpy(at, &b, sizeof b);
        break;
    case MEMBER_U32:
        u = (uint32_t)number(v);
        memcpy(at, &u, sizeof u);
        break;
    case MEMBER_INT:
        i = (int)number(v);
        memcpy(at, &i, sizeof i);
        break;
    case MEMBER_LIST: list_bind((struct config_list *)(void *)at, r, v); break;
    case MEMBER_MAP: map_bind((struct config_map *)(void *)at, r, v); break;
    }
}

static enum config_tools tools_at(struct config_reader *r, const char *path)
{
    struct str s = config_text_at(r, path);

    return str_eq(s, STR("full"))   ? CONFIG_TOOLS_FULL
           : str_eq(s, STR("safe")) ? CONFIG_TOOLS_SAFE
                                    : CONFIG_TOOLS_NONE;
}

static const char *first_of(const struct config_list *list)
{
    return list->n > 0 ? list->v[0] : "";
}

/* What concerns the carrier, calls that we place, and recordings. */
static void bind_calling(struct config *c, struct config_reader *r)
{
    struct str voicemail = config_text_at(r, VOICE "outbound.voicemail");

    c->twilio.auth_token = first_of(&c->twilio.auth_tokens);
    c->twilio.phone_number = first_of(&c->twilio.phone_numbers);
    c->twilio.ready = *c->twilio.account_sid && *c->twilio.auth_token && *c->twilio.phone_number;
    c->outbound.voicemail = str_eq(voicemail, STR("hangup"))     ? CONFIG_VOICEMAIL_HANGUP
                            : str_eq(voicemail, STR("continue")) ? CONFIG_VOICEMAIL_CONTINUE
                                                                 : CONFIG_VOICEMAIL_MESSAGE;
    (void)zone_hours_read(&c->outbound.quiet_hours, config_text_at(r, VOICE "outbound.quiet_hours"));
    c->recording.dual = str_eq(config_text_at(r, VOICE "recording.channels"), STR("dual"));
    c->security.destinations_given =
        config_value_at(r, "security.voice.destinations.allow")->origin < CONFIG_FROM_DEFAULT;
}

enum config_consent config_consent_of(const struct config *c, struct str number)
{
    const char *word = "notice";
    size_t best = 0;

    for (unsigned i = 0; i < c->recording.consent.n; i++) {
        const struct config_pair *p = &c->recording.consent.v[i];
        bool all = strcmp(p->name, "*") == 0;
        size_t n = all ? 1 : strlen(p->name); /* a prefix has two bytes at least */

        if (n > best && (all || str_starts(number, str_of(p->name)))) {
            best = n;
            word = p->value;
        }
    }
    return strcmp(word, "none") == 0  ? CONFIG_CONSENT_NONE
           : strcmp(word, "ask") == 0 ? CONFIG_CONSENT_ASK
                                      : CONFIG_CONSENT_NOTICE;
}

static void bind_words(struct config *c, struct config_reader *r)
{
    struct str level = config_text_at(r, "logging.voice.level");

    c->logging.level = str_eq(level, STR("error"))   ? LOG_ERROR
                       : str_eq(level, STR("warn"))  ? LOG_WARN
                       : str_eq(level, STR("debug")) ? LOG_DEBUG
                                                     : LOG_INFO;
    c->security.unknown_allowed =
        str_eq(config_text_at(r, "security.voice.unknown_caller_policy"), STR("allow"));
    c->security.tools_unknown = tools_at(r, "security.voice.tools.unknown");
    c->security.tools_known = tools_at(r, "security.voice.tools.known");
    c->security.tools_linked = tools_at(r, "security.voice.tools.linked");
    c->security.tools_proven = tools_at(r, "security.voice.tools.proven");
    bind_calling(c, r);
    config_bind_costs(c, r);
    if (strcmp(c->openai.noise_reduction, "off") == 0)
        c->openai.noise_reduction = "";
}

/* ---- `all` ---- */

static void text_write(struct buf *b, const struct config_key *key, struct str text)
{
    jw_str(b, (key->flags & CONFIG_KEY_SECRET) ? STR("***") : text);
}

static void value_write(struct config_reader *r, struct buf *b, const struct config_key *key,
                        const struct config_value *v)
{
    if (config_key_is_list(key)) {
        jw_open(b, '[');
        for (unsigned i = 0; i < v->n; i++)
            text_write(b, key, v->v[i].text);
        jw_close(b, ']');
    } else if (key->type == CONFIG_STRING_MAP) {
        jw_open(b, '{');
        for (unsigned i = 0; i < v->n; i++) {
            jw_key(b, arena_text(&r->scratch, v->v[i].name));
            text_write(b, key, v->v[i].text);
        }
        jw_close(b, '}');
    } else if (v->n == 0) {
        jw_null(b);
    } else if (key->type == CONFIG_BOOL) {
        jw_bool(b, str_eq(v->v[0].text, STR("true")));
    } else if (key->type == CONFIG_INT) {
        jw_int(b, number(v));
    } else {
        text_write(b, key, v->v[0].text);
    }
}

static int all_make(struct config *c, struct config_reader *r)
{
    struct buf b;
    int rc;

    buf_init(&b, ALL_BYTES_MAX);
    jw_open(&b, '{');
    for (unsigned i = 0; i < config_keys_n; i++) {
        if (config_keys[i].flags & CONFIG_KEY_OLD)
            continue;
        jw_key(&b, config_keys[i].path);
        value_write(r, &b, &config_keys[i], &r->values[i]);
    }
    jw_close(&b, '}');
    rc = b.rc;
    if (rc == 0)
        rc = json_parse(&c->all, buf_str(&b), NULL);
    buf_free(&b);
    return rc < 0 ? ERR_NOMEM : 0;
}

int config_bind(struct config *c, struct config_reader *r)
{
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        member_bind(c, r, &members[i]);
    bind_words(c, r);
    return config_reader_rc(r) < 0 ? ERR_NOMEM : all_make(c, r);
}
