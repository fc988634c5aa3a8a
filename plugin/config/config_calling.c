/* SPDX-License-Identifier: MIT */
#include "plugin/base/phone.h"
#include "plugin/config/config_parts.h"
#include "sessions/number.h"

#include <string.h>

#define VOICE "channels.voice."
#define TWILIO VOICE "twilio."
#define SID_BYTES 34u
#define KEY_HEX_BYTES 64u
#define NAME_BYTES_MAX 31u /* it is the party's label */

/* ---- words for what stands in a file ---- */

static bool only(struct str s, const char *set)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '\0' || strchr(set, s.p[i]) == NULL)
            return false;
    return true;
}

static bool is_sid(struct str s, const char *kind)
{
    return s.n == SID_BYTES && str_starts(s, str_of(kind)) &&
           only(str_skip(s, 2), "0123456789abcdefABCDEF");
}

/* '+' and 1 to 15 digits, the first not 0: a beginning of E.164 numbers. */
static bool is_prefix(struct str s)
{
    return s.n >= 2 && s.n <= PHONE_BYTES - 1 && s.p[0] == '+' && s.p[1] != '0' &&
           only(str_skip(s, 1), "0123456789");
}

static bool is_region(struct str s)
{
    return only(s, "abcdefghijklmnopqrstuvwxyz0123456789-") && s.n > 0 && s.p[0] != '-' &&
           s.p[s.n - 1] != '-';
}

/*
 * What earlier users keep in their environment was not written for this product alone and is often a
 * sample's placeholder: there it is passed over with a warning. In a file it is a fault.
 */
static void twilio_bad(struct config_reader *r, const char *path, struct config_entry *entry,
                       const char *what)
{
    struct config_value *v = config_value_at(r, path);

    if (v->origin != CONFIG_FROM_ENV && v->origin != CONFIG_FROM_DOTENV) {
        config_value_fault(r, config_key_of(path), v, entry, "%s", what);
        return;
    }
    config_warning(r, v->origin, v->line, str_of(config_key_of(path)->env), "not used: %s", what);
    v->n = 0;
}

/* ---- Twilio ---- */

static void check_twilio_texts(struct config_reader *r)
{
    static const struct {
        const char *path, *kind, *what;
    } sids[] = {
        {TWILIO "account_sid", "AC",
         "must be an account SID: AC and 32 hex digits, from the first page of Twilio's console"},
        {TWILIO "api_key_sid", "SK", "must be an API key's SID: SK and 32 hex digits"},
    };
    static const char *const places[] = {TWILIO "region", TWILIO "edge"};
    struct config_value *tokens = config_value_at(r, TWILIO "auth_token");

    for (size_t i = 0; i < sizeof sids / sizeof *sids; i++)
        if (config_is_good(r, sids[i].path) && !is_sid(config_text_at(r, sids[i].path), sids[i].kind))
            twilio_bad(r, sids[i].path, NULL, sids[i].what);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (config_is_good(r, places[i]) && !is_region(config_text_at(r, places[i])))
            CONFIG_FAULT(r, places[i], "must be a name such as ie1 or dublin (a-z, 0-9, -), since it "
                                       "becomes part of a host name");
    for (unsigned i = 0; i < tokens->n && !tokens->bad; i++)
        if (!config_is_visible(tokens->v[i].text))
            twilio_bad(r, TWILIO "auth_token", &tokens->v[i],
                       "must be printable ASCII without blanks; copy it again");
    if (config_is_good(r, TWILIO "api_key_secret") &&
        !config_is_visible(config_text_at(r, TWILIO "api_key_secret")))
        CONFIG_FAULT(r, TWILIO "api_key_secret", "must be printable ASCII without blanks; copy it again");
}

static void check_own_numbers(struct config_reader *r)
{
    static const char path[] = TWILIO "phone_number";
    struct config_value *v = config_value_at(r, path);

    if (v->origin != CONFIG_FROM_ENV && v->origin != CONFIG_FROM_DOTENV)
        config_check_numbers(r, path);
    else if (config_is_good(r, path) && !phone_is_e164(v->v->text))
        twilio_bad(r, path, v->v, "must be a number in E.164 such as +15551234567");
}

/* `path` is set; what goes with it is not, and was not faulty either. */
static bool lacks(struct config_reader *r, const char *path, const char *other)
{
    return config_is_good(r, path) && !config_is_set(r, other) && !config_value_at(r, other)->bad;
}

static void check_twilio(struct config_reader *r)
{
    static const char account[] = TWILIO "account_sid";
    struct config_value *v = config_value_at(r, account);

    check_twilio_texts(r);
    check_own_numbers(r);
    if (lacks(r, account, TWILIO "auth_token"))
        twilio_bad(r, account, NULL, "needs twilio.auth_token beside it: Twilio's callbacks are signed "
                                     "with it");
    if (lacks(r, account, TWILIO "phone_number"))
        twilio_bad(r, account, NULL, "needs twilio.phone_number beside it, the number that calls show");
    if (lacks(r, TWILIO "api_key_sid", TWILIO "api_key_secret"))
        CONFIG_FAULT(r, TWILIO "api_key_sid", "needs twilio.api_key_secret beside it");
    if (lacks(r, TWILIO "api_key_secret", TWILIO "api_key_sid"))
        CONFIG_FAULT(r, TWILIO "api_key_secret", "needs twilio.api_key_sid beside it");
    if (lacks(r, account, VOICE "webhook.base_url"))
        config_warning(r, v->origin, v->line, STR(TWILIO "account_sid"),
                       "without webhook.base_url, the public https URL of this server, Twilio's "
                       "callbacks do not arrive and no call can be placed");
}

/* ---- calls that we place ---- */

static void check_owner(struct config_reader *r)
{
    static const char path[] = VOICE "outbound.owner";
    struct str owner = config_text_at(r, path);
    size_t colon = str_find(owner, ':');

    if (config_is_good(r, path) && (colon == 0 || colon + 1 >= owner.n || !config_is_visible(owner)))
        CONFIG_FAULT(r, path, "must be a channel and who is written to there, such as telegram:777");
}

static void check_outbound(struct config_reader *r)
{
    static const char country[] = VOICE "outbound.default_country";
    static const char quiet[] = VOICE "outbound.quiet_hours";
    struct zone_hours hours;

    if (config_is_good(r, country) && !number_country_known(config_text_at(r, country)))
        CONFIG_FAULT(r, country, "must be the two capital letters of a country (ISO 3166), such as DE "
                                 "or US, not %s", config_shown(r, config_text_at(r, country)));
    if (config_is_good(r, quiet) && zone_hours_read(&hours, config_text_at(r, quiet)) < 0)
        CONFIG_FAULT(r, quiet, "must be from and to in 24 hours, such as 22:00-08:00, and not the same, "
                               "not %s", config_shown(r, config_text_at(r, quiet)));
}

static void check_destinations(struct config_reader *r, const char *path)
{
    struct config_value *v = config_value_at(r, path);

    for (unsigned i = 0; config_is_good(r, path) && i < v->n; i++)
        if (!str_eq(v->v[i].text, STR("*")) && !is_prefix(v->v[i].text))
            config_value_fault(r, config_key_of(path), v, &v->v[i],
                               "must be a prefix of E.164 numbers such as +49, a whole number such as "
                               "+15551234567, or \"*\", not %s", config_shown(r, v->v[i].shown));
}

static bool is_name(struct str s)
{
    static const char *const taken[] = {"caller", "model", "guest"}; /* labels of parties without a name */

    if (s.n == 0 || s.n > NAME_BYTES_MAX || str_trim(s).n != s.n || !str_utf8_valid(s))
        return false;
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f || strchr("\"/~", s.p[i]) != NULL)
            return false;
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        if (str_ieq(s, str_of(taken[i])))
            return false;
    return s.p[0] != '+' && !str_eq(s, STR("*"));
}

static bool is_allowed_by_name(struct config_reader *r, struct str number)
{
    const struct config_value *v = config_value_at(r, "security.voice.destinations.allow");

    for (unsigned i = 0; i < v->n; i++)
        if (str_eq(v->v[i].text, number))
            return true;
    return false;
}

/* What would be refused each time it is asked for is told now. */
static const char *never_called(struct config_reader *r, struct str number)
{
    static const char *const words[] = {
        [NUMBER_PLAIN] = NULL,
        [NUMBER_UNASSIGNED] = "has a code that no country has",
        [NUMBER_PREMIUM] = "is a premium-rate number",
        [NUMBER_EMERGENCY] = "is an emergency number",
        [NUMBER_SHORT] = "is a short number of its country",
        [NUMBER_SPECIAL] = "belongs to a satellite or international network",
    };

    return is_allowed_by_name(r, number) ? NULL : words[number_kind_of(number)];
}

static void check_targets(struct config_reader *r)
{
    static const char path[] = "security.voice.transfer_targets";
    struct config_value *v = config_value_at(r, path);
    const struct config_key *key = config_key_of(path);

    for (unsigned i = 0; config_is_good(r, path) && i < v->n; i++) {
        const struct config_entry *entry = &v->v[i];

        if (!is_name(entry->name))
            config_value_fault(r, key, v, entry,
                               "%s is no name; write 1 to %u bytes that can be spoken, without quotes, / "
                               "and ~, no number, nor caller, model or guest",
                               config_shown(r, entry->name), NAME_BYTES_MAX);
        else if (!phone_is_e164(entry->text))
            config_value_fault(r, key, v, entry,
                               "%s must be a number in E.164 such as +15551234567, not %s",
                               config_shown(r, entry->name), config_shown(r, entry->shown));
        else if (never_called(r, entry->text))
            config_value_fault(r, key, v, entry,
                               "the number of %s %s, which is never called; correct it, or name exactly "
                               "that number in security.voice.destinations.allow, too",
                               config_shown(r, entry->name), never_called(r, entry->text));
        for (unsigned j = 0; j < i; j++)
            if (str_ieq(v->v[j].name, entry->name))
                config_value_fault(r, key, v, entry,
                                   "%s stands there twice (capitals are not told apart); rename one",
                                   config_shown(r, entry->name));
    }
}

/* ---- recordings ---- */

static void check_recording(struct config_reader *r)
{
    static const char key[] = VOICE "recording.encryption_key", consent[] = VOICE "recording.consent";
    struct config_value *v = config_value_at(r, consent);
    struct str hex = config_text_at(r, key);

    if (config_is_good(r, key) &&
        (hex.n != KEY_HEX_BYTES || !only(hex, "0123456789abcdefABCDEF")))
        CONFIG_FAULT(r, key, "must be 64 hex digits; `openssl rand -hex 32` makes one");
    for (unsigned i = 0; config_is_good(r, consent) && i < v->n; i++)
        if (!str_eq(v->v[i].name, STR("*")) && !is_prefix(v->v[i].name))
            config_value_fault(r, config_key_of(consent), v, &v->v[i],
                               "%s must be a prefix of E.164 numbers such as +49, in quotes, or \"*\"",
                               config_shown(r, v->v[i].name));
}

void config_check_calling(struct config_reader *r)
{
    check_twilio(r);
    check_outbound(r);
    check_owner(r);
    check_destinations(r, "security.voice.destinations.allow");
    check_destinations(r, "security.voice.destinations.deny");
    check_targets(r);
    check_recording(r);
}
