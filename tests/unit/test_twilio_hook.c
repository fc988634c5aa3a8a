/* SPDX-License-Identifier: MIT */
#include "plugin/carrier/carrier.h"
#include "plugin/proto/sig_twilio.h"
#include "tests/unit/twilio_kit.h"

#define FORM "application/x-www-form-urlencoded"
#define OURS "ref=" KIT_REF "&party=caller&n=1"

static struct carrier_event ev;

static int read_as(const char *method, const char *path, const char *query, const char *body)
{
    struct carrier_hook hook = {.method = str_of(method), .path = str_of(path), .query = str_of(query),
                                .body = str_of(body), .content_type = STR(FORM)};

    carrier_event_free(&ev);
    return kit_carrier->ops->read(kit_carrier, &hook, &ev);
}

static int read_hook(const char *path, const char *query, const char *body)
{
    return read_as("POST", path, query, body);
}

/* ---- what each says ---- */

static void an_incoming_call(void)
{
    kit_open();
    T_OK(read_hook("/twilio/voice", "", "CallSid=" KIT_CA1 "&From=%2B15551234567&To=%2B15550001000&StirVerstat="
                   "TN-Validation-Passed-A&CallStatus=ringing&SomethingNew=1"));
    T_EQ(ev.said, SAID_INCOMING);
    T_TRUE(str_eqc(ev.sid, KIT_CA1) && str_eqc(ev.from, "+15551234567") && str_eqc(ev.to, "+15550001000"));
    T_TRUE(str_eqc(ev.attestation, "TN-Validation-Passed-A"));
    T_EQ(ev.ref.n, 0);
    T_OK(read_as("GET", "/twilio/voice", "CallSid=" KIT_CA1 "&From=sip%3Aa%40b&To=%2B15550001000", ""));
    T_TRUE(str_eqc(ev.from, "sip:a@b"));
    T_EQ(ev.attestation.n, 0);
    kit_close();
}

static const struct {
    const char *word;
    int want; /* enum line_leg_status */
} statuses[] = {
    {"queued", LEG_SAYS_QUEUED}, {"initiated", LEG_SAYS_QUEUED}, {"ringing", LEG_SAYS_RINGING},
    {"in-progress", LEG_SAYS_IN_PROGRESS}, {"completed", LEG_SAYS_COMPLETED}, {"busy", LEG_SAYS_BUSY},
    {"no-answer", LEG_SAYS_NO_ANSWER}, {"canceled", LEG_SAYS_CANCELED}, {"failed", LEG_SAYS_FAILED},
};

static void a_status_of_a_leg(void)
{
    char body[300];

    kit_open();
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        (void)snprintf(body, sizeof body, "CallSid=" KIT_CA1 "&CallStatus=%s&SequenceNumber=%zu", statuses[i].word, i);
        T_OK(read_hook("/twilio/status", OURS, body));
        T_EQ(ev.said, SAID_STATUS);
        T_EQ(ev.event.kind, LINE_EV_STATUS);
        T_EQ(ev.event.u.status.status, statuses[i].want);
        T_EQ(ev.event.u.status.seq, i);
    }
    T_TRUE(str_eqc(ev.event.u.status.sid, KIT_CA1) && str_eqc(ev.event.u.status.label, "caller") &&
           str_eqc(ev.event.u.status.ref, KIT_REF) && str_eqc(ev.ref, KIT_REF));
    T_EQ(ev.event.u.status.sip_code, 0);
    T_OK(read_hook("/twilio/status", OURS, "CallSid=" KIT_CA1 "&CallStatus=a-new-one"));
    T_EQ(ev.said, SAID_NOTHING);
    kit_close();
}

/* Duration is in minutes; sequence and SIP code may be missing or no numbers. */
static void numbers_of_a_status(void)
{
    kit_open();
    T_OK(read_hook("/twilio/status", OURS, "CallSid=" KIT_CA1 "&CallStatus=completed&Duration=3&CallDuration=137"
                   "&SipResponseCode=486&SequenceNumber=3"));
    T_EQ(ev.event.u.status.duration_s, 137);
    T_EQ(ev.event.u.status.sip_code, 486);
    T_OK(read_hook("/twilio/status", OURS, "CallSid=" KIT_CA1 "&CallStatus=completed&Duration=3&SipResponseCode=20000"
                   "&SequenceNumber=-4"));
    T_EQ(ev.event.u.status.duration_s, 0);
    T_EQ(ev.event.u.status.sip_code, 0);
    T_EQ(ev.event.u.status.seq, -1);
    T_OK(read_hook("/twilio/status", OURS, "CallSid=" KIT_CA1 "&CallStatus=busy&CallDuration=99999999999999999999"));
    T_EQ(ev.event.u.status.duration_s, 0);
    T_EQ(ev.event.u.status.seq, -1);
    kit_close();
}

static const struct {
    const char *word;
    int want;
} rooms[] = {
    {"conference-start", ROOM_START}, {"conference-end", ROOM_END}, {"participant-join", ROOM_JOIN},
    {"participant-leave", ROOM_LEAVE}, {"participant-hold", ROOM_HOLD}, {"participant-unhold", ROOM_UNHOLD},
    {"announcement-end", ROOM_ANNOUNCED}, {"announcement-fail", ROOM_ANNOUNCE_FAILED},
    {"participant-mute", ROOM_OTHER}, {"participant-speech-start", ROOM_OTHER}, {"a-new-one", ROOM_OTHER},
};

static void what_happens_in_a_room(void)
{
    char body[300];

    kit_open();
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++) {
        (void)snprintf(body, sizeof body, "ConferenceSid=" KIT_CF1 "&FriendlyName=x&StatusCallbackEvent=%s"
                       "&SequenceNumber=7", rooms[i].word);
        T_OK(read_hook("/twilio/conference", "ref=" KIT_REF, body));
        T_EQ(ev.said, SAID_ROOM);
        T_EQ(ev.event.u.room.what, rooms[i].want);
        T_TRUE(str_eqc(ev.event.u.room.room, KIT_CF1));
        T_EQ(ev.event.u.room.sid.n, 0);
        T_EQ(ev.event.u.room.seq, 7);
    }
    T_OK(read_hook("/twilio/conference", "ref=" KIT_REF, "ConferenceSid=" KIT_CF1 "&StatusCallbackEvent="
                   "participant-leave&CallSid=" KIT_CA2 "&ParticipantLabel=model~0123abcd"));
    T_TRUE(str_eqc(ev.event.u.room.label, "model") && str_eqc(ev.event.u.room.sid, KIT_CA2));
    kit_close();
}

static const struct {
    const char *word;
    int want;
} machines[] = {
    {"human", MACHINE_HUMAN}, {"machine_start", MACHINE_START}, {"machine_end_beep", MACHINE_END},
    {"machine_end_silence", MACHINE_END}, {"machine_end_other", MACHINE_END}, {"fax", MACHINE_FAX},
    {"unknown", MACHINE_UNKNOWN}, {"a_new_one", MACHINE_UNKNOWN},
};

static void who_answered(void)
{
    char body[300];

    kit_open();
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++) {
        (void)snprintf(body, sizeof body, "CallSid=" KIT_CA1 "&AnsweredBy=%s&MachineDetectionDuration=2000",
                       machines[i].word);
        T_OK(read_hook("/twilio/amd", OURS, body));
        T_EQ(ev.said, SAID_MACHINE);
        T_EQ(ev.event.u.machine.by, machines[i].want);
        T_TRUE(str_eqc(ev.event.u.machine.sid, KIT_CA1));
    }
    kit_close();
}

static void digits_and_none(void)
{
    kit_open();
    T_OK(read_hook("/twilio/gather", OURS "&token=act_1", "CallSid=" KIT_CA1 "&Digits=12%23*&FinishedOnKey=%23"));
    T_EQ(ev.said, SAID_DIGITS);
    T_EQ(ev.event.kind, LINE_EV_DIGITS);
    T_TRUE(str_eqc(ev.event.u.digits.digits, "12#*") && str_eqc(ev.event.u.digits.action, "act_1") &&
           str_eqc(ev.event.u.digits.label, "caller") && str_eqc(ev.token, "act_1") && str_eqc(ev.sid, KIT_CA1));
    T_OK(read_hook("/twilio/gather", OURS "&token=act_1", "CallSid=" KIT_CA1 "&Digits="));
    T_EQ(ev.event.u.digits.digits.n, 0);
    T_OK(read_hook("/twilio/gather", OURS "&token=act_1", "CallSid=" KIT_CA1));
    kit_close();
}

static void recordings(void)
{
    static const struct {
        const char *word;
        int said, want;
    } words[] = {{"in-progress", SAID_RECORDING, RECORDING_ON}, {"completed", SAID_RECORDING, RECORDING_DONE},
                 {"absent", SAID_RECORDING, RECORDING_ABSENT}, {"failed", SAID_RECORDING, RECORDING_FAILED},
                 {"paused", SAID_NOTHING, RECORDING_ON}};
    char body[300];

    kit_open();
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        (void)snprintf(body, sizeof body, "CallSid=" KIT_CA1 "&RecordingSid=" KIT_RE1 "&RecordingStatus=%s"
                       "&RecordingUrl=https%%3A%%2F%%2Fevil.example%%2Fx", words[i].word);
        T_OK(read_hook("/twilio/recording", OURS, body));
        T_EQ(ev.said, words[i].said);
        if (ev.said == SAID_RECORDING)
            T_EQ(ev.event.u.recording.what, words[i].want);
        T_TRUE(str_eqc(ev.event.u.recording.sid, KIT_RE1) && str_eqc(ev.event.u.recording.leg_sid, KIT_CA1));
    }
    kit_close();
}

static void documents_that_are_due(void)
{
    kit_open();
    T_OK(read_hook("/twilio/announce", "ref=" KIT_REF "&token=act_9", "ConferenceSid=" KIT_CF1));
    T_EQ(ev.said, SAID_NEEDS_WORDS);
    T_TRUE(str_eqc(ev.token, "act_9") && str_eqc(ev.ref, KIT_REF));
    T_OK(read_hook("/twilio/after", OURS, "CallSid=" KIT_CA1 "&DialCallStatus=completed&DialCallDuration=7"));
    T_EQ(ev.said, SAID_DIAL_ENDED);
    T_TRUE(str_eqc(ev.sid, KIT_CA1) && str_eqc(ev.label, "caller"));
    kit_close();
}

/* ---- what is no such callback ---- */

static const struct {
    const char *path, *query, *body, *name;
} broken[] = {
    {"/twilio/voice", "", "From=a&To=b", "CallSid"},
    {"/twilio/voice", "", "CallSid=" KIT_CA1 "&To=b", "From"},
    {"/twilio/voice", "", "CallSid=" KIT_CA1 "&From=a", "To"},
    {"/twilio/voice", "", "CallSid=CA1&From=a&To=b", "CallSid"},
    {"/twilio/voice", "", "CallSid=" KIT_CF1 "&From=a&To=b", "CallSid"},
    {"/twilio/voice", "", "CallSid=CA0000000000000000000000000000000g&From=a&To=b", "CallSid"},
    {"/twilio/voice", "CallSid=" KIT_CA1, "From=a&To=b", "CallSid"},
    {"/twilio/status", OURS, "CallSid=" KIT_CA1, "CallStatus"},
    {"/twilio/status", OURS, "CallStatus=busy", "CallSid"},
    {"/twilio/status", "ref=0123456789abcdef0123456789abcdef0&party=a", "CallSid=" KIT_CA1 "&CallStatus=busy", "ref"},
    {"/twilio/status", "ref=XYZ&party=a", "CallSid=" KIT_CA1 "&CallStatus=busy", "ref"},
    {"/twilio/status", "party=0123456789abcdef0123456789abcdef", "CallSid=" KIT_CA1 "&CallStatus=busy", "party"},
    {"/twilio/conference", "", "StatusCallbackEvent=conference-end", "ConferenceSid"},
    {"/twilio/conference", "", "ConferenceSid=" KIT_CF1, "StatusCallbackEvent"},
    {"/twilio/conference", "", "ConferenceSid=" KIT_CF1 "&StatusCallbackEvent=participant-join&CallSid=x", "CallSid"},
    {"/twilio/conference", "", "ConferenceSid=" KIT_CF1 "&StatusCallbackEvent=participant-join&ParticipantLabel="
     "0123456789012345678901234567890123456789", "ParticipantLabel"},
    {"/twilio/amd", OURS, "CallSid=" KIT_CA1, "AnsweredBy"},
    {"/twilio/gather", OURS, "CallSid=" KIT_CA1 "&Digits=1", "token"},
    {"/twilio/gather", OURS "&token=t", "CallSid=" KIT_CA1 "&Digits=1a", "Digits"},
    {"/twilio/gather", OURS "&token=t", "Digits=1", "CallSid"},
    {"/twilio/recording", OURS, "RecordingSid=RE1&RecordingStatus=completed", "RecordingSid"},
    {"/twilio/recording", OURS, "RecordingSid=" KIT_RE1, "RecordingStatus"},
    {"/twilio/announce", "ref=" KIT_REF, "", "token"},
    {"/twilio/after", OURS, "", "CallSid"},
};

static void what_is_missing_is_named(void)
{
    kit_open();
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        char want[80];

        kit_logged[0] = '\0';
        T_EQ(read_hook(broken[i].path, broken[i].query, broken[i].body), ERR_INVALID);
        T_EQ(ev.said, SAID_NOTHING);
        (void)snprintf(want, sizeof want, "%s: %s is missing", broken[i].path, broken[i].name);
        T_HAS(kit_logged, want);
    }
    T_EQ(read_hook("/twilio/other", "", ""), ERR_NOT_FOUND);
    T_EQ(read_hook("/twilio/voice/", "", ""), ERR_NOT_FOUND);
    T_EQ(read_hook("/twilio/status", OURS, "a=%"), ERR_INVALID);
    T_EQ(read_hook("/twilio/status", "ref=%", "CallSid=" KIT_CA1 "&CallStatus=busy"), ERR_INVALID);
    kit_close();
}

static void texts_have_bounds_and_stay_out_of_the_log(void)
{
    static char body[2000] = "CallSid=" KIT_CA1 "&To=%2B15550001000&From=%2B1555";

    kit_open();
    memset(body + strlen(body), '7', 300);
    T_EQ(read_hook("/twilio/voice", "", body), ERR_INVALID);
    T_HAS(kit_logged, "From");
    T_NULL(strstr(kit_logged, "777"));
    kit_close();
}

static void memory_that_is_out_is_an_error(void)
{
    int rc = ERR_NOMEM;

    kit_open();
    for (unsigned long n = 1; n < 50 && rc != 0; n++) {
        carrier_event_free(&ev);
        (void)mem_fault_after(n);
        rc = read_hook("/twilio/status", OURS, "CallSid=" KIT_CA1 "&CallStatus=busy&SequenceNumber=3");
        (void)mem_fault_after(0);
        T_TRUE(rc == 0 || rc == ERR_NOMEM);
    }
    T_OK(rc);
    kit_close();
}

/* Whatever comes: it is read, refused, or of no concern, and nothing of it is read twice or too far. */
static void anything_may_come(void)
{
    static const char *const paths[] = {"/twilio/voice", "/twilio/status", "/twilio/conference", "/twilio/amd",
                                        "/twilio/gather", "/twilio/recording", "/twilio/announce", "/twilio/after"};
    static const char good[] = "CallSid=" KIT_CA1 "&ConferenceSid=" KIT_CF1 "&RecordingSid=" KIT_RE1 "&From=a&To=b"
        "&CallStatus=busy&AnsweredBy=human&StatusCallbackEvent=conference-end&RecordingStatus=completed&Digits=1"
        "&ParticipantLabel=model~01234567&SequenceNumber=3";
    static const char bytes[] = "&=%+~0aF\xff\n";
    unsigned seed = 7, read = 0, refused = 0;
    char query[200], body[600];

    kit_open();
    for (unsigned round = 0; round < 4000; round++) {
        char *where[2] = {query, body};
        int rc;

        (void)snprintf(query, sizeof query, "%s", OURS "&token=act_1");
        (void)snprintf(body, sizeof body, "%s", good);
        for (unsigned i = 0; i < round % 4; i++) {
            seed = seed * 1103515245u + 12345u;
            where[i & 1][(seed >> 8) % strlen(where[i & 1])] = bytes[(seed >> 4) % (sizeof bytes - 1)];
        }
        rc = read_hook(paths[round / 4 % 8], query, body);
        T_TRUE(rc == 0 || rc == ERR_INVALID);
        read += rc == 0;
        refused += rc != 0;
        kit_logged[0] = '\0';
    }
    T_GT(read, 1000);
    T_GT(refused, 200);
    kit_close();
}

/* ---- signatures ---- */

static int verify(const char *path, const char *query, const char *body, const char *name, const char *signature)
{
    struct carrier_header headers[] = {{STR("host"), STR("evil.example")}, {str_of(name), str_of(signature)}};
    struct carrier_hook hook = {.method = STR("POST"), .path = str_of(path), .query = str_of(query),
                                .body = str_of(body), .content_type = STR(FORM), .headers = headers, .n_headers = 2};

    return kit_carrier->ops->verify(kit_carrier, &hook);
}

static void sign(const char *token, const char *url, const char *form, char out[SIG_TWILIO_TEXT])
{
    struct str t = str_of(token);
    struct sig_twilio *s = NULL;

    T_MUST(sig_twilio_open(&s, &t, 1, NULL) == 0);
    T_OK(sig_twilio_sign(s, str_of(url), str_of(form), out));
    sig_twilio_free(s);
}

static void the_public_url_is_what_is_signed(void)
{
    const char *body = "CallSid=" KIT_CA1 "&CallStatus=busy";
    char good[SIG_TWILIO_TEXT], second[SIG_TWILIO_TEXT], other[SIG_TWILIO_TEXT], bare[SIG_TWILIO_TEXT];

    sign("token-one", KIT_PUBLIC "/twilio/status?" OURS, body, good);
    sign("token-two", KIT_PUBLIC "/twilio/status?" OURS, body, second);
    sign("token-ten", KIT_PUBLIC "/twilio/status?" OURS, body, other);
    sign("token-one", KIT_PUBLIC "/twilio/status", body, bare);
    kit_open();
    T_OK(verify("/twilio/status", OURS, body, "X-Twilio-Signature", good));
    T_OK(verify("/twilio/status", OURS, body, "x-twilio-signature", second));
    T_OK(verify("/twilio/status", "", body, "x-twilio-signature", bare));
    T_EQ(verify("/twilio/status", OURS, body, "X-Twilio-Signature", other), ERR_DENIED);
    T_EQ(verify("/twilio/status", OURS, body, "X-Twilio-Signature", bare), ERR_DENIED);
    T_EQ(verify("/twilio/status", OURS, body, "X-Other", good), ERR_DENIED);
    T_EQ(verify("/twilio/amd", OURS, body, "X-Twilio-Signature", good), ERR_DENIED);
    T_EQ(verify("/twilio/status", OURS, "CallSid=" KIT_CA2 "&CallStatus=busy", "X-Twilio-Signature", good), ERR_DENIED);
    kit_close();
}

int main(void)
{
    T_RUN(an_incoming_call);
    T_RUN(a_status_of_a_leg);
    T_RUN(numbers_of_a_status);
    T_RUN(what_happens_in_a_room);
    T_RUN(who_answered);
    T_RUN(digits_and_none);
    T_RUN(recordings);
    T_RUN(documents_that_are_due);
    T_RUN(what_is_missing_is_named);
    T_RUN(texts_have_bounds_and_stay_out_of_the_log);
    T_RUN(memory_that_is_out_is_an_error);
    T_RUN(anything_may_come);
    T_RUN(the_public_url_is_what_is_signed);
    carrier_event_free(&ev);
    return T_DONE();
}
