/* SPDX-License-Identifier: MIT */
#include "plugin/config/config.h"
#include "plugin/destinations.h"
#include "tests/unit/config_kit.h"

/* ---- the carrier, calls that we place, recordings ---- */

#define SID "AC0123456789abcdef0123456789abcdef"

static void calling_defaults(void)
{
    struct seen s;

    take(&s, BASE, "");
    T_OK(s.rc);
    T_MUST(s.c);
    T_FALSE(s.c->twilio.ready);
    T_STR_EQ(s.c->twilio.phone_number, "");
    T_EQ(s.c->outbound.ring_timeout_s, 30);
    T_EQ(s.c->outbound.calls_per_second, 1);
    T_EQ(s.c->outbound.retries, 0);
    T_EQ(s.c->outbound.ask_owner_timeout_ms, 120000);
    T_FALSE(s.c->outbound.quiet_hours.set);
    T_EQ(s.c->outbound.voicemail, CONFIG_VOICEMAIL_MESSAGE);
    T_TRUE(s.c->recording.dual);
    T_EQ(s.c->recording.consent.n, 1);
    T_STR_EQ(s.c->recording.consent.v[0].name, "*");
    T_EQ(config_consent_of(s.c, STR("+4989123456")), CONFIG_CONSENT_NOTICE);
    T_FALSE(s.c->security.destinations_given);
    T_EQ(s.c->security.transfer_targets.n, 0);
    drop(&s);
    /* An empty list is not the default: nobody may be called. */
    take(&s, BASE "    recording: {consent: ask}\nsecurity: {voice: {destinations: {allow: []}}}\n", "");
    T_MUST(s.c);
    T_TRUE(s.c->security.destinations_given);
    T_EQ(s.c->security.destinations_allow.n, 0);
    T_EQ(config_consent_of(s.c, STR("+4989123456")), CONFIG_CONSENT_ASK);
    drop(&s);
    take(&s, BASE "    recording: {consent: {+49: ask}}\n", "");
    T_MUST(s.c);
    T_EQ(config_consent_of(s.c, STR("+15551234567")), CONFIG_CONSENT_NOTICE);
    drop(&s);
    take(&s, BASE "security: {voice: {destinations: {allow: +499001234567}, "
                  "transfer_targets: {fun: +499001234567}}}\n", "");
    T_OK(s.rc);
    drop(&s);
    /* The gateway's section has maps, too; its answer is shown whole. */
    take(&s, BASE, ",\"section\":{\"security\":{\"voice\":{\"transfer_targets\":"
                   "{\"Desk\":\"+15551234567\"}}}}");
    T_OK(s.rc);
    T_MUST(s.c);
    T_STR_EQ(s.c->security.transfer_targets.v[0].name, "Desk");
    T_STR_EQ(json_get_str(json_get(s.c->all, "security.voice.transfer_targets"), "Desk").p, "+15551234567");
    drop(&s);
}

static void calling_faults(void)
{
    static const struct {
        const char *yaml, *fault;
    } bad[] = {
        {"    twilio: {account_sid: AC123, auth_token: x, phone_number: +15551234567}\n",
         "7: channels.voice.twilio.account_sid: must be an account SID"},
        {"    twilio: {account_sid: " SID ", phone_number: +15551234567}\n",
         "7: channels.voice.twilio.account_sid: needs twilio.auth_token"},
        {"    twilio: {account_sid: " SID ", auth_token: x}\n",
         "7: channels.voice.twilio.account_sid: needs twilio.phone_number"},
        {"    twilio: {auth_token: [x, 'y z']}\n", "7: channels.voice.twilio.auth_token: must be printable"},
        {"    twilio: {phone_number: [+15551234567, 5551234567]}\n",
         "7: channels.voice.twilio.phone_number: must be a number in E.164"},
        {"    twilio: {api_key_sid: SK0123456789abcdef0123456789abcdef}\n",
         "7: channels.voice.twilio.api_key_sid: needs twilio.api_key_secret"},
        {"    twilio: {api_key_secret: x}\n", "7: channels.voice.twilio.api_key_secret: needs"},
        {"    twilio: {edge: 'a.b/'}\n", "7: channels.voice.twilio.edge: must be a name such as"},
        {"    outbound: {quiet_hours: 22-8}\n", "7: channels.voice.outbound.quiet_hours: must be from and to"},
        {"    outbound: {quiet_hours: '22:00-22:00'}\n", "quiet_hours: must be"},
        {"    outbound: {quiet_hours: '24:00-08:00'}\n", "quiet_hours: must be"},
        {"    outbound: {quiet_hours: '22:60-08:00'}\n", "quiet_hours: must be"},
        {"    outbound: {default_country: de}\n", "default_country: must be the two capital letters"},
        {"    outbound: {default_country: EU}\n", "default_country: must be the two capital letters"},
        {"    outbound: {owner: ada}\n", "outbound.owner: must be a channel and who is written to there"},
        {"    outbound: {owner: 'telegram:'}\n", "outbound.owner: must be a channel"},
        {"    outbound: {voicemail: beep}\n", "voicemail: must be hangup, message or continue"},
        {"    recording: {encryption_key: " HEX64 "}\n    x: 1\n", "8: channels.voice.x: no such key"},
        {"    recording: {encryption_key: 0011}\n", "encryption_key: must be 64 hex digits"},
        {"    recording: {consent: maybe}\n", "consent: must be none, notice or ask, not \"maybe\""},
        {"    recording:\n      consent:\n        +49: ask\n        +1: maybe\n",
         "10: channels.voice.recording.consent: must be none, notice or ask, not \"maybe\""},
        {"    recording: {consent: {DE: ask}}\n", "consent: \"DE\" must be a prefix"},
        {"    recording: {consent: [ask]}\n", "consent: must be a text, or names with a text each, not a list"},
        {"security: {voice: {destinations: {allow: ['49']}}}\n", "destinations.allow: must be a prefix"},
        {"security: {voice: {destinations: {deny: [+0]}}}\n", "destinations.deny: must be a prefix"},
        {"security: {voice: {destinations: {deny: ['+49*']}}}\n", "destinations.deny: must be a prefix"},
        {"security: {voice: {transfer_targets: +15551234567}}\n",
         "transfer_targets: must be a section of names with a text each, not a text"},
        {"security: {voice: {transfer_targets: {desk: 'sip:a@b'}}}\n", "\"desk\" must be a number in E.164"},
        {"security: {voice: {transfer_targets: {desk: {a: b}}}}\n", "each entry must be a text"},
        {"security: {voice: {transfer_targets: {+155: +15551234567}}}\n", "\"+155\" is no name"},
        {"security: {voice: {transfer_targets: {Caller: +15551234567}}}\n", "\"Caller\" is no name"},
        {"security: {voice: {transfer_targets: {a/b: +15551234567}}}\n", "\"a/b\" is no name"},
        {"security: {voice: {transfer_targets: {thirty-two bytes are one too many: +15551234567}}}\n", "is no name"},
        {"security: {voice: {transfer_targets: {Desk: +15551234567, desk: +15551234568}}}\n",
         "\"desk\" stands there twice"},
        {"security: {voice: {destinations: {allow: +4990}, transfer_targets: {fun: +499001234567}}}\n",
         "the number of \"fun\" is a premium-rate number, which is never called"},
        {"security: {voice: {transfer_targets: {sos: +491120000}}}\n", "is an emergency number"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char yaml[1024];
        struct seen s;

        (void)snprintf(yaml, sizeof yaml, BASE "%s", bad[i].yaml);
        take(&s, yaml, "");
        T_EQ(s.rc, ERR_CONFIG);
        T_HAS(buf_cstr(&s.faults), bad[i].fault);
        T_EQ(str_find(buf_str(&s.faults), '\n'), s.faults.n - 1); /* that fault alone */
        drop(&s);
    }
}

/* From the file to the decision. */
static void calling_policy(void)
{
    static const struct {
        const char *number, *reason;
    } rows[] = {
        {"+4930123456", "allowed"}, {"+4916012345678", "denied"}, {"+33153456789", "not_allowed"},
        {"+499001234567", "premium"}, {"+4930999999", "own_number"}, {"+15551234567", "allowed"},
    };
    struct destination_policy *p = NULL;
    struct destination_verdict v;
    struct err e = {0};
    struct seen s;

    take(&s, BASE "    twilio: {phone_number: +4930999999}\n"
                  "security: {voice: {destinations: {allow: +49, deny: +4916}, "
                  "transfer_targets: {desk: +15551234567}}}\n", "");
    T_OK(s.rc);
    T_MUST(s.c);
    T_OK(destinations_make(&p, s.c, &e));
    T_MUST(p);
    drop(&s); /* the policy keeps nothing of it */
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        destination_decide(p, str_of(rows[i].number), NULL, 0, &v);
        T_STR_EQ(v.reason, rows[i].reason);
    }
    destination_target_decide(p, STR("DESK"), NULL, 0, &v);
    T_STR_EQ(v.number, "+15551234567");
    destination_policy_free(p);
}

/* A placeholder in the environment of earlier users does not keep the channel from starting. */
static void calling_environment(void)
{
    struct seen s;

    put(".env", "TWILIO_ACCOUNT_SID=ACxxxx\nTWILIO_AUTH_TOKEN=your token\nTWILIO_PHONE_NUMBER=+1XXX\n");
    take(&s, BASE, "");
    T_OK(s.rc);
    T_MUST(s.c);
    T_FALSE(s.c->twilio.ready);
    T_STR_EQ(s.c->twilio.account_sid, "");
    T_EQ(s.c->twilio.phone_numbers.n, 0);
    T_HAS(buf_cstr(&s.warnings), "F/.env:1: TWILIO_ACCOUNT_SID: not used: must be an account SID");
    T_HAS(buf_cstr(&s.warnings), "F/.env:2: TWILIO_AUTH_TOKEN: not used: ");
    T_HAS(buf_cstr(&s.warnings), "F/.env:3: TWILIO_PHONE_NUMBER: not used: must be a number in E.164");
    T_TRUE(lacks(&s.warnings, "your token"));
    drop(&s);
    put(".env", "TWILIO_ACCOUNT_SID=" SID "\n");
    take(&s, BASE, "");
    T_OK(s.rc);
    T_HAS(buf_cstr(&s.warnings), "not used: needs twilio.auth_token");
    drop(&s);
    put(".env", "TWILIO_ACCOUNT_SID=" SID "\nTWILIO_AUTH_TOKEN=t\nTWILIO_PHONE_NUMBER=+15551234567\n");
    take(&s, BASE, "");
    T_OK(s.rc);
    T_TRUE(s.c && s.c->twilio.ready);
    T_HAS(buf_cstr(&s.warnings), "without webhook.base_url");
    drop(&s);
    (void)unlink(in_dir(".env"));
}

int main(void)
{
    if (begin() != 0)
        return 1;
    T_RUN(calling_defaults);
    T_RUN(calling_faults);
    T_RUN(calling_policy);
    T_RUN(calling_environment);
    return end();
}
