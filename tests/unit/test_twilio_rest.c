/* SPDX-License-Identifier: MIT */
/* What commands ask of Twilio, in how many steps, and what is told of the answers. */
#include "plugin/base/clock.h"
#include "plugin/carrier/carrier.h"
#include "plugin/proto/form.h"
#include "tests/unit/twilio_kit.h"

#include <time.h>

#define AT "/2010-04-01/Accounts/" KIT_AC
#define BASIC_TOKEN "Basic QUMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMTp0b2tlbi1vbmU="
#define MODEL_REF "fedcba9876543210fedcba9876543210"

static struct line line;

static void set_leg(unsigned i, enum leg_role role, enum leg_state state, const char *label, const char *sid,
                    const char *to, const char *ref)
{
    struct leg *leg = &line.legs[i];

    leg->role = role;
    leg->state = state;
    leg->tries = 1;
    T_TRUE(str_copy(leg->label, sizeof leg->label, str_of(label)));
    T_TRUE(str_copy(leg->sid, sizeof leg->sid, str_of(sid)));
    T_TRUE(str_copy(leg->to, sizeof leg->to, str_of(to)));
    T_TRUE(str_copy(leg->ref, sizeof leg->ref, str_of(ref)));
}

static void set_line(const char *room)
{
    memset(&line, 0, sizeof line);
    T_TRUE(str_copy(line.ref, sizeof line.ref, STR(KIT_REF)));
    T_TRUE(str_copy(line.room, sizeof line.room, str_of(room)));
    line.set.outbound = true;
    line.set.detect_machine = true;
    line.set.ring_ms = 30000;
    line.set.max_ms = 1800000;
    T_TRUE(str_copy(line.set.own, sizeof line.set.own, STR("+15550001000")));
    T_TRUE(str_copy(line.set.model_uri, sizeof line.set.model_uri, STR("sip:p@sip.api.openai.com;transport=tls")));
    set_leg(0, ROLE_CALLER, LEG_UP, "caller", KIT_CA1, "+15551234567", "");
    set_leg(1, ROLE_MODEL, LEG_UP, "model", KIT_CA2, "", MODEL_REF);
    set_leg(2, ROLE_OTHER, LEG_WANTED, "boss", "", "+15557654321", "");
}

static int order(enum line_cmd what, int leg, const char *text, const char *token)
{
    struct carrier_order o = {.cmd = 7, .what = what, .call = STR("call_1"), .line = &line,
                              .leg = leg < 0 ? NULL : &line.legs[leg], .text = str_of(text), .token = str_of(token)};

    memset(&kit_told, 0, sizeof kit_told);
    return kit_carrier->ops->command(kit_carrier, &o);
}

static const struct httpc_call *last(void)
{
    T_MUST(net.n_calls > 0);
    return &net.calls[net.n_calls - 1];
}

static void give(const struct httpc_result *r)
{
    struct httpc_call *call = &net.calls[net.n_calls - 1];

    T_MUST(call->open);
    call->open = false;
    call->req.on_done(call->req.arg, r);
}

static void answer(int status, const char *body)
{
    struct httpc_result r = {.status = status, .maybe_sent = true, .body = str_of(body)};

    give(&r);
}

static void fail(int err, bool maybe_sent)
{
    struct httpc_result r = {.err = err, .maybe_sent = maybe_sent, .text = STR("connection reset")};

    give(&r);
}

/* The fields of the last body as one text, decoded: "A=1|B=2". */
static const char *fields(void)
{
    static char out[9000];
    struct form f;
    size_t n = 0;

    T_MUST(form_read(&f, str_of(last()->body)) == 0);
    out[0] = '\0';
    for (unsigned i = 0; i < f.n; i++)
        n += (size_t)snprintf(out + n, sizeof out - n, "%s%.*s=%.*s", i > 0 ? "|" : "", STR_ARG(f.fields[i].name),
                              STR_ARG(f.fields[i].value));
    form_free(&f);
    return out;
}

static void asks(const char *method, const char *path, const char *want)
{
    T_STR_EQ(last()->method, method);
    T_STR_EQ(last()->path, path);
    T_STR_EQ(want[0] != '\0' ? fields() : last()->body, want);
}

/* ---- opening ---- */

static void where_it_is_and_who_we_are(void)
{
    static const struct {
        const char *base, *region, *edge, *want;
    } places[] = {
        {"", "", "", "https://api.twilio.com"},
        {"https://api.twilio.com", "", "", "https://api.twilio.com"},
        {"https://api.twilio.com", "ie1", "dublin", "https://api.dublin.ie1.twilio.com"},
        {"", "au1", "", "https://api.au1.twilio.com"},
        {"", "", "ashburn", "https://api.ashburn.us1.twilio.com"},
        {"http://127.0.0.1:9", "ie1", "dublin", "http://127.0.0.1:9"},
    };

    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        struct twilio_config config = kit_config();

        config.base_url = str_of(places[i].base);
        config.region = str_of(places[i].region);
        config.edge = str_of(places[i].edge);
        T_MUST(kit_open_with(&config, NULL) == 0);
        T_STR_EQ(net.base_url, places[i].want);
        T_GT(net.warm_conns, 0);
        kit_close();
    }
}

static void a_key_is_used_instead_of_the_token(void)
{
    struct twilio_config config = kit_config();

    set_line(KIT_CF1);
    kit_open();
    T_OK(order(LINE_CMD_END_LEG, 0, "", ""));
    T_STR_EQ(last()->auth, BASIC_TOKEN);
    T_STR_EQ(last()->type, "application/x-www-form-urlencoded");
    kit_close();
    config.api_key_sid = STR("SK1");
    config.api_key_secret = STR("s3");
    T_MUST(kit_open_with(&config, NULL) == 0);
    T_OK(order(LINE_CMD_END_LEG, 0, "", ""));
    T_STR_EQ(last()->auth, "Basic U0sxOnMz");
    kit_close();
}

static void bad_settings_are_named(void)
{
    struct twilio_config good = kit_config(), c;
    struct err e = {0};

    c = good, c.public_url = STR("https://h/");
    T_EQ(kit_open_with(&c, &e), ERR_INVALID);
    T_HAS(e.text, "webhook.base_url");
    c = good, c.n_auth_tokens = 0;
    T_EQ(kit_open_with(&c, &e), ERR_INVALID);
    T_HAS(e.text, "twilio.auth_token");
    c = good, c.api_key_sid = STR("SK1");
    T_EQ(kit_open_with(&c, &e), ERR_INVALID);
    T_HAS(e.text, "api_key_secret");
    c = good, c.base_url = STR("ftp://x");
    T_EQ(kit_open_with(&c, &e), ERR_INVALID);
    c = good, c.base_url = STR("https://h"), c.ca_file = STR("/nonexistent.pem");
    T_EQ(kit_open_with(&c, &e), ERR_TLS);
}

static void memory_that_is_out_opens_nothing(void)
{
    struct twilio_config config = kit_config();
    int rc = ERR_NOMEM;

    for (unsigned long n = 1; n < 50 && rc != 0; n++) {
        (void)mem_fault_after(n);
        rc = kit_open_with(&config, NULL);
        (void)mem_fault_after(0);
    }
    T_MUST(rc == 0);
    kit_close();
}

/* ---- legs ---- */

#define STATUS_OF(party) "|StatusCallback=" KIT_PUBLIC "/twilio/status?ref=" KIT_REF "&party=" party "&n=1"
#define ROOM_TOLD "|StatusCallbackEvent=initiated ringing answered completed|ConferenceStatusCallback=" KIT_PUBLIC \
    "/twilio/conference?ref=" KIT_REF "|ConferenceStatusCallbackEvent=start end join leave mute hold announcement"

static void a_caller_is_dialled_into_the_room(void)
{
    set_line("");
    set_leg(0, ROLE_CALLER, LEG_CREATING, "caller", "", "+15551234567", "");
    kit_open();
    T_OK(order(LINE_CMD_CREATE, 0, "", ""));
    asks("POST", AT "/Conferences/" KIT_REF "/Participants.json",
         "From=+15550001000|To=+15551234567|Label=caller|Beep=false|EarlyMedia=false|StartConferenceOnEnter=true|"
         "EndConferenceOnExit=true|WaitUrl=|Timeout=30|TimeLimit=1800" STATUS_OF("caller") ROOM_TOLD
         "|MachineDetection=Enable|AmdStatusCallback=" KIT_PUBLIC "/twilio/amd?ref=" KIT_REF "&party=caller");
    T_EQ(last()->req.timeout_ms, 10000);
    answer(201, "{\"call_sid\":\"" KIT_CA3 "\",\"conference_sid\":\"" KIT_CF1 "\",\"status\":\"queued\"}");
    T_EQ(kit_told.times, 1);
    T_EQ(kit_told.http_status, 201);
    T_EQ(kit_told.cmd, 7);
    T_EQ(kit_told.what, LINE_CMD_CREATE);
    T_STR_EQ(kit_told.call, "call_1");
    T_STR_EQ(kit_told.sid, KIT_CA3);
    T_STR_EQ(kit_told.room, KIT_CF1);
    line.set.voicemail = VOICEMAIL_MESSAGE;
    T_OK(order(LINE_CMD_CREATE, 0, "", ""));
    T_HAS(fields(), "|MachineDetection=DetectMessageEnd|");
    line.set.detect_machine = false;
    T_OK(order(LINE_CMD_CREATE, 0, "", ""));
    T_NULL(strstr(fields(), "MachineDetection"));
    kit_close();
}

static void the_model_is_dialled_with_its_reference(void)
{
    set_line(KIT_CF1);
    set_leg(1, ROLE_MODEL, LEG_CREATING, "model", "", "", MODEL_REF);
    kit_open();
    T_OK(order(LINE_CMD_CREATE, 1, "", ""));
    asks("POST", AT "/Conferences/" KIT_REF "/Participants.json",
         "From=+15550001000|To=sip:p@sip.api.openai.com;transport=tls?X-Call-Ref=" MODEL_REF "|Label=model|Beep=false|"
         "EarlyMedia=false|StartConferenceOnEnter=true|EndConferenceOnExit=false|WaitUrl=|Timeout=5|TimeLimit=1800"
         STATUS_OF("model") ROOM_TOLD);
    /* Another model's leg that is not gone yet has the label. */
    set_leg(3, ROLE_MODEL, LEG_UP, "model", KIT_CA3, "", "00000000000000000000000000000000");
    T_OK(order(LINE_CMD_CREATE, 1, "", ""));
    T_HAS(fields(), "|Label=model~fedcba98|");
    line.legs[3].state = LEG_GONE;
    T_TRUE(str_copy(line.set.model_uri, sizeof line.set.model_uri, STR("sip:p@h?X-A=b")));
    T_OK(order(LINE_CMD_CREATE, 1, "", ""));
    T_HAS(fields(), "|To=sip:p@h?X-A=b&X-Call-Ref=" MODEL_REF "|Label=model|");
    line.legs[1].ref[0] = '\0';
    T_EQ(order(LINE_CMD_CREATE, 1, "", ""), ERR_INVALID);
    kit_close();
}

static void times_stay_within_twilios_limits(void)
{
    set_line(KIT_CF1);
    kit_open();
    line.set.ring_ms = 1000;
    line.set.max_ms = 1;
    T_OK(order(LINE_CMD_CREATE, 2, "", ""));
    T_HAS(fields(), "|EndConferenceOnExit=false|");
    T_HAS(fields(), "|Timeout=5|TimeLimit=1|");
    line.set.ring_ms = 3600000;
    T_OK(order(LINE_CMD_CREATE, 2, "", ""));
    T_HAS(fields(), "|Timeout=600|");
    kit_close();
}

static void an_offer_is_a_call_of_its_own(void)
{
    set_line(KIT_CF1);
    kit_open();
    T_OK(order(LINE_CMD_OFFER, 2, "Ann & Bob <call>. Press 1.", "act_1"));
    asks("POST", AT "/Calls.json",
         "From=+15550001000|To=+15557654321|Twiml=<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Gather "
         "input=\"dtmf\" action=\"" KIT_PUBLIC "/twilio/gather?ref=" KIT_REF "&amp;party=boss&amp;token=act_1\" "
         "timeout=\"20\" numDigits=\"1\" actionOnEmptyResult=\"true\"><Say>Ann &amp; Bob &lt;call&gt;. Press 1.</Say>"
         "</Gather><Hangup/></Response>|Timeout=30|TimeLimit=1800" STATUS_OF("boss") "|StatusCallbackEvent=initiated|"
         "StatusCallbackEvent=ringing|StatusCallbackEvent=answered|StatusCallbackEvent=completed");
    answer(201, "{\"sid\":\"" KIT_CA3 "\",\"status\":\"queued\"}");
    T_STR_EQ(kit_told.sid, KIT_CA3);
    T_STR_EQ(kit_told.room, KIT_CF1);
    T_EQ(order(LINE_CMD_OFFER, 2, "\x01", "act_1"), ERR_INVALID);
    kit_close();
}

static void too_long_for_a_request(void)
{
    static char text[5000];

    memset(text, 'x', sizeof text - 1);
    set_line(KIT_CF1);
    kit_open();
    T_EQ(order(LINE_CMD_APOLOGISE, 0, text, ""), ERR_TOO_BIG);
    T_EQ(net.n_calls, 0);
    kit_close();
}

/* ---- commands of one request each ---- */

#define PARTY1 AT "/Conferences/" KIT_CF1 "/Participants/" KIT_CA1 ".json"
#define CALL1 AT "/Calls/" KIT_CA1
#define LINK "/twilio/announce?ref=" KIT_REF "&party="

static const struct {
    enum line_cmd what;
    int leg;
    const char *text, *token, *path, *fields;
} commands[] = {
    {LINE_CMD_END_ROOM, -1, "", "", AT "/Conferences/" KIT_CF1 ".json", "Status=completed"},
    {LINE_CMD_END_LEG, 0, "", "", CALL1 ".json", "Status=completed"},
    {LINE_CMD_HOLD, 0, "", "", PARTY1, "Hold=true"},
    {LINE_CMD_HOLD, 1, "", "", AT "/Conferences/" KIT_CF1 "/Participants/" KIT_CA2 ".json",
     "Hold=true|HoldUrl=" KIT_PUBLIC LINK "model&token=silence"},
    {LINE_CMD_UNHOLD, 0, "", "", PARTY1, "Hold=false"},
    {LINE_CMD_MUTE, 0, "", "", PARTY1, "Muted=true"},
    {LINE_CMD_UNMUTE, 0, "", "", PARTY1, "Muted=false"},
    {LINE_CMD_STAY, 0, "", "", PARTY1, "EndConferenceOnExit=false"},
    {LINE_CMD_STAY, 0, "end", "", PARTY1, "EndConferenceOnExit=true"},
    {LINE_CMD_PLAY_DIGITS, 0, "12w#", "act_1", PARTY1, "AnnounceUrl=" KIT_PUBLIC LINK "caller&token=act_1"},
    {LINE_CMD_ANNOUNCE, 0, "secret words", "act_1", PARTY1, "AnnounceUrl=" KIT_PUBLIC LINK "caller&token=act_1"},
    {LINE_CMD_ANNOUNCE, -1, "words", "act_1", AT "/Conferences/" KIT_CF1 ".json",
     "AnnounceUrl=" KIT_PUBLIC "/twilio/announce?ref=" KIT_REF "&token=act_1"},
    {LINE_CMD_ANNOUNCE, 2, "words", "act_1", AT "/Conferences/" KIT_CF1 "/Participants/boss.json",
     "AnnounceUrl=" KIT_PUBLIC LINK "boss&token=act_1"},
    {LINE_CMD_APOLOGISE, 0, "Sorry.", "", CALL1 ".json", "Twiml=<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response>"
     "<Say>Sorry.</Say><Hangup/></Response>"},
    {LINE_CMD_RECORD, 0, "", "", CALL1 "/Recordings.json", "RecordingChannels=dual|Trim=do-not-trim|"
     "RecordingStatusCallback=" KIT_PUBLIC "/twilio/recording?ref=" KIT_REF "&party=caller|"
     "RecordingStatusCallbackEvent=in-progress completed absent"},
    {LINE_CMD_RECORD_PAUSE, -1, "", "", CALL1 "/Recordings/Twilio.CURRENT.json", "Status=paused|PauseBehavior=silence"},
    {LINE_CMD_RECORD_RESUME, 0, "", "", CALL1 "/Recordings/Twilio.CURRENT.json", "Status=in-progress"},
    {LINE_CMD_RECORD_STOP, 0, "", "", CALL1 "/Recordings/Twilio.CURRENT.json", "Status=stopped"},
};

static void each_command_asks_for_one_thing(void)
{
    set_line(KIT_CF1);
    kit_open();
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        unsigned before = net.n_calls;

        T_OK(order(commands[i].what, commands[i].leg, commands[i].text, commands[i].token));
        T_EQ(net.n_calls, before + 1);
        asks("POST", commands[i].path, commands[i].fields);
        answer(200, "{\"sid\":\"" KIT_RE1 "\"}");
        T_EQ(kit_told.times, 1);
        T_EQ(kit_told.http_status, 200);
        T_EQ(kit_told.what, commands[i].what);
    }
    T_TRUE(str_copy(line.recording_sid, sizeof line.recording_sid, STR(KIT_RE1)));
    T_OK(order(LINE_CMD_RECORD_STOP, 0, "", ""));
    T_STR_EQ(last()->path, CALL1 "/Recordings/" KIT_RE1 ".json");
    T_NULL(strstr(kit_logged, "secret"));
    kit_close();
}

static void collecting_brings_the_leg_back_even_without_us(void)
{
    set_line(KIT_CF1);
    kit_open();
    T_OK(order(LINE_CMD_COLLECT, 0, "Your PIN?", "act_2"));
    T_STR_EQ(last()->path, CALL1 ".json");
    T_HAS(fields(), "action=\"" KIT_PUBLIC "/twilio/gather?ref=" KIT_REF "&amp;party=caller&amp;token=act_2\" "
                    "timeout=\"10\" finishOnKey=\"#\" actionOnEmptyResult=\"true\"><Say>Your PIN?</Say></Gather><Dial ");
    T_HAS(fields(), "endConferenceOnExit=\"true\"");
    T_HAS(fields(), ">" KIT_REF "</Conference></Dial></Response>");
    kit_close();
}

static void what_cannot_be_is_refused_at_once(void)
{
    set_line(KIT_CF1);
    kit_open();
    T_EQ(order(LINE_CMD_REFER, 0, "+15551234567", ""), ERR_BAD_STATE);
    T_EQ(order(LINE_CMD_HOLD, -1, "", ""), ERR_INVALID);
    T_EQ(order(LINE_CMD_CREATE, -1, "", ""), ERR_INVALID);
    T_EQ(order(LINE_CMD_ANNOUNCE, 0, "words", ""), ERR_INVALID);
    T_EQ(order(LINE_CMD_PLAY_DIGITS, 0, "12a", "t"), ERR_INVALID);
    line.ref[0] = '\0';
    T_EQ(order(LINE_CMD_END_ROOM, -1, "", ""), ERR_INVALID);
    set_line(KIT_CF1);
    net.send_rc = ERR_FULL;
    T_EQ(order(LINE_CMD_END_ROOM, -1, "", ""), ERR_FULL);
    T_EQ(net.n_calls, 0);
    T_EQ(kit_told.times, 0);
    kit_close();
}

/* ---- what must be found first ---- */

#define ROOMS AT "/Conferences.json?FriendlyName=" KIT_REF "&PageSize=20"
#define ROOM(sid, status) "{\"sid\":\"" sid "\",\"friendly_name\":\"" KIT_REF "\",\"status\":\"" status "\"}"

static void a_room_is_found_by_its_name(void)
{
    set_line("");
    kit_open();
    T_OK(order(LINE_CMD_MUTE, 0, "", ""));
    asks("GET", ROOMS, "");
    answer(200, "{\"conferences\":[" ROOM(KIT_CF2, "completed") "," ROOM(KIT_CF1, "in-progress") "]}");
    asks("POST", PARTY1, "Muted=true");
    answer(200, "{}");
    T_EQ(kit_told.http_status, 200);
    T_STR_EQ(kit_told.room, KIT_CF1);
    kit_close();
}

static void there_is_no_such_room(void)
{
    static const char *const bodies[] = {
        "{\"conferences\":[]}", "{\"conferences\":[" ROOM(KIT_CF2, "completed") "]}",
        "{\"conferences\":[{\"sid\":\"" KIT_CF2 "\",\"friendly_name\":\"another\",\"status\":\"in-progress\"}]}",
    };

    set_line("");
    kit_open();
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        T_OK(order(LINE_CMD_END_ROOM, -1, "", ""));
        answer(200, bodies[i]);
        T_EQ(kit_told.times, 1);
        T_EQ(kit_told.http_status, 404);
        T_FALSE(kit_told.maybe_sent);
    }
    kit_close();
}

static void a_leg_is_found_by_its_label(void)
{
    set_line(KIT_CF1);
    kit_open();
    T_OK(order(LINE_CMD_END_LEG, 2, "", ""));
    asks("GET", AT "/Conferences/" KIT_CF1 "/Participants/boss.json", "");
    answer(200, "{\"call_sid\":\"" KIT_CA3 "\"}");
    asks("POST", AT "/Calls/" KIT_CA3 ".json", "Status=completed");
    answer(200, "{\"sid\":\"" KIT_CA3 "\"}");
    T_EQ(kit_told.http_status, 200);
    T_OK(order(LINE_CMD_END_LEG, 2, "", ""));
    answer(404, "{\"code\":20404,\"message\":\"not found\"}");
    T_EQ(kit_told.http_status, 404);
    T_STR_EQ(kit_told.code, "20404");
    kit_close();
}

/* What finds something out is no doing: an answer lost there leaves nothing in doubt. */
static void a_question_that_fails_did_nothing(void)
{
    set_line("");
    kit_open();
    T_OK(order(LINE_CMD_END_ROOM, -1, "", ""));
    fail(ERR_TIMEOUT, true);
    T_EQ(kit_told.times, 1);
    T_EQ(kit_told.http_status, 0);
    T_FALSE(kit_told.maybe_sent);
    T_OK(order(LINE_CMD_END_ROOM, -1, "", ""));
    answer(503, "");
    T_EQ(kit_told.http_status, 503);
    T_OK(order(LINE_CMD_END_ROOM, -1, "", ""));
    answer(200, "no json");
    T_EQ(kit_told.times, 1);
    T_EQ(kit_told.http_status, 0);
    kit_close();
}

/* ---- answers ---- */

static void what_is_over_is_told_as_gone(void)
{
    set_line(KIT_CF1);
    kit_open();
    T_OK(order(LINE_CMD_END_LEG, 0, "", ""));
    answer(400, "{\"code\":21220,\"message\":\"Call is not in-progress.\",\"status\":400}");
    T_EQ(kit_told.http_status, 404);
    T_STR_EQ(kit_told.code, "21220");
    T_OK(order(LINE_CMD_END_ROOM, -1, "", ""));
    answer(404, "{\"code\":20404}");
    T_EQ(kit_told.http_status, 404);
    T_OK(order(LINE_CMD_APOLOGISE, 0, "Sorry", ""));
    answer(400, "{\"code\":21220}");
    T_EQ(kit_told.http_status, 400);
    kit_close();
}

static void a_refusal_has_its_code(void)
{
    set_line(KIT_CF1);
    kit_open();
    T_OK(order(LINE_CMD_CREATE, 2, "", ""));
    answer(400, "{\"code\":21217,\"message\":\"The number +15557654321 is not valid\",\"status\":400}");
    T_EQ(kit_told.http_status, 400);
    T_STR_EQ(kit_told.code, "21217");
    T_HAS(kit_told.message, "not valid");
    T_FALSE(kit_told.maybe_sent);
    T_FALSE(kit_told.busy);
    T_HAS(kit_logged, "21217");
    T_NULL(strstr(kit_logged, "5557654321"));
    T_NULL(strstr(kit_logged, "token-one"));
    kit_close();
}

static void too_many_requests_did_nothing(void)
{
    struct httpc_result r = {.status = 429, .maybe_sent = true, .body = STR("{\"code\":20429}"), .retry_after = STR(" 3 ")};

    set_line(KIT_CF1);
    kit_open();
    T_OK(order(LINE_CMD_CREATE, 2, "", ""));
    give(&r);
    T_TRUE(kit_told.busy);
    T_EQ(kit_told.retry_after_ms, 3000);
    T_FALSE(kit_told.maybe_sent);
    T_OK(order(LINE_CMD_CREATE, 2, "", ""));
    r.retry_after = STR("Wed, 21 Oct 2026 07:28:00 GMT");
    give(&r);
    T_EQ(kit_told.retry_after_ms, 1000);
    T_OK(order(LINE_CMD_CREATE, 2, "", ""));
    r.retry_after = STR("99999999");
    give(&r);
    T_EQ(kit_told.retry_after_ms, 60000);
    kit_close();
}

static void an_answer_that_was_lost_is_in_doubt(void)
{
    static const struct {
        int err, status;
        bool sent, want;
    } cases[] = {{ERR_TIMEOUT, 0, true, true}, {ERR_IO, 0, false, false}, {0, 500, true, true}, {0, 503, true, true},
                 {0, 400, true, false}, {0, 302, true, false}};

    set_line(KIT_CF1);
    kit_open();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct httpc_result r = {.err = cases[i].err, .status = cases[i].status, .maybe_sent = cases[i].sent};

        T_OK(order(LINE_CMD_CREATE, 2, "", ""));
        give(&r);
        T_EQ(kit_told.times, 1);
        T_EQ(kit_told.http_status, cases[i].status);
        T_EQ(kit_told.maybe_sent, cases[i].want);
        T_STR_EQ(kit_told.sid, "");
    }
    T_EQ(net.n_calls, sizeof cases / sizeof *cases); /* and none was sent twice */
    kit_close();
}

static void good_answers_that_cannot_be_read_are_good(void)
{
    static const char *const bodies[] = {"", "x", "[]", "{\"sid\":5}"};

    set_line(KIT_CF1);
    kit_open();
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        T_OK(order(LINE_CMD_CREATE, 2, "", ""));
        answer(201, bodies[i]);
        T_EQ(kit_told.http_status, 201);
        T_STR_EQ(kit_told.sid, "");
    }
    kit_close();
}

/* ---- looking around ---- */

#define PARTIES AT "/Conferences/" KIT_CF1 "/Participants.json"
#define LEG(sid, status, more) "{\"sid\":\"" sid "\",\"status\":\"" status "\"" more "}"
#define PARTY(sid, label, status) "{\"call_sid\":\"" sid "\",\"label\":\"" label "\",\"status\":\"" status "\"}"

static void started(char *out, size_t cap, unsigned seconds_ago)
{
    time_t then = (time_t)(clock_wall_ms() / 1000) - (time_t)seconds_ago;
    struct tm tm;

    (void)gmtime_r(&then, &tm);
    T_GT(strftime(out, cap, "{\"status\":\"in-progress\",\"start_time\":\"%a, %d %b %Y %H:%M:%S +0000\"}", &tm), 0);
}

static void all_that_can_be_seen(void)
{
    char leg[200];

    set_line("");
    line.set.record = true;
    kit_open();
    T_OK(order(LINE_CMD_LOOK_UP, -1, "", ""));
    asks("GET", ROOMS, "");
    answer(200, "{\"conferences\":[" ROOM(KIT_CF2, "completed") "," ROOM(KIT_CF1, "in-progress") "]}");
    asks("GET", PARTIES, "");
    answer(200, "{\"participants\":[" PARTY(KIT_CA1, "caller", "connected") "],\"next_page_uri\":\"" PARTIES
                "?Page=1&PageToken=x\"}");
    asks("GET", PARTIES "?Page=1&PageToken=x", "");
    answer(200, "{\"participants\":[" PARTY(KIT_CA3, "boss~01234567", "ringing") "],\"next_page_uri\":null}");
    asks("GET", CALL1 ".json", "");
    started(leg, sizeof leg, 40);
    answer(200, leg);
    asks("GET", AT "/Calls/" KIT_CA2 ".json", "");
    answer(404, "{}");
    asks("GET", AT "/Calls/" KIT_CA3 ".json", "");
    answer(200, LEG(KIT_CA3, "ringing", ",\"start_time\":null"));
    asks("GET", CALL1 "/Recordings.json", "");
    answer(200, "{\"recordings\":[{\"sid\":\"RE9\",\"status\":\"deleted\"},{\"sid\":\"" KIT_RE1 "\",\"status\":"
                "\"in-progress\"}]}");
    T_EQ(kit_told.times, 1);
    T_EQ(kit_told.http_status, 200);
    T_STR_EQ(kit_told.room, KIT_CF1);
    T_TRUE(kit_told.room_live);
    T_STR_EQ(kit_told.recording, KIT_RE1);
    T_EQ(kit_told.n_legs, 2);
    T_STR_EQ(kit_told.legs[0].sid, KIT_CA1);
    T_STR_EQ(kit_told.legs[0].label, "caller");
    T_EQ(kit_told.legs[0].status, LEG_SAYS_IN_PROGRESS);
    T_TRUE(kit_told.legs[0].in_room);
    T_GE(kit_told.legs[0].up_s, 40);
    T_LT(kit_told.legs[0].up_s, 60);
    T_STR_EQ(kit_told.legs[1].label, "boss");
    T_EQ(kit_told.legs[1].status, LEG_SAYS_RINGING);
    T_FALSE(kit_told.legs[1].in_room);
    T_EQ(kit_told.legs[1].up_s, -1);
    kit_close();
}

static void no_room_but_legs(void)
{
    set_line(KIT_CF2);
    line.legs[1].sid[0] = '\0';
    kit_open();
    T_OK(order(LINE_CMD_LOOK_UP, -1, "", ""));
    answer(200, "{\"conferences\":[]}");
    asks("GET", CALL1 ".json", "");
    answer(200, LEG(KIT_CA1, "no-answer", ""));
    T_EQ(kit_told.http_status, 200);
    T_STR_EQ(kit_told.room, "");
    T_FALSE(kit_told.room_live);
    T_EQ(kit_told.n_legs, 1);
    T_EQ(kit_told.legs[0].status, LEG_SAYS_NO_ANSWER);
    kit_close();
}

static void a_room_that_is_over_lists_nobody(void)
{
    set_line("");
    memset(line.legs, 0, sizeof line.legs);
    kit_open();
    T_OK(order(LINE_CMD_LOOK_UP, -1, "", ""));
    answer(200, "{\"conferences\":[" ROOM(KIT_CF1, "completed") "," ROOM(KIT_CF2, "completed") "]}");
    asks("GET", PARTIES, "");
    answer(404, "{}");
    T_EQ(kit_told.http_status, 200);
    T_STR_EQ(kit_told.room, KIT_CF1);
    T_FALSE(kit_told.room_live);
    T_EQ(kit_told.n_legs, 0);
    kit_close();
}

/* Half of what is so would make legs look gone. */
static void half_an_answer_is_none(void)
{
    for (int broken = 0; broken < 3; broken++)
        for (int how = 0; how < 4; how++) {
            set_line("");
            kit_open();
            T_OK(order(LINE_CMD_LOOK_UP, -1, "", ""));
            if (broken > 0)
                answer(200, "{\"conferences\":[" ROOM(KIT_CF1, "init") "]}");
            if (broken > 1)
                answer(200, "{\"participants\":[]}");
            if (how == 0)
                answer(500, "");
            else if (how == 1)
                answer(429, "{\"code\":20429}");
            else if (how == 2)
                answer(200, "{\"conferences\":");
            else
                fail(ERR_TIMEOUT, true);
            T_EQ(kit_told.times, 1);
            T_EQ(kit_told.http_status, how == 0 ? 500 : how == 1 ? 429 : 0);
            T_EQ(kit_told.busy, how == 1);
            T_EQ(kit_told.n_legs, 0);
            kit_close();
        }
}

static void pages_have_an_end(void)
{
    set_line("");
    memset(line.legs, 0, sizeof line.legs);
    kit_open();
    T_OK(order(LINE_CMD_LOOK_UP, -1, "", ""));
    answer(200, "{\"conferences\":[" ROOM(KIT_CF1, "init") "]}");
    for (unsigned i = 0; i < 30 && kit_told.times == 0; i++)
        answer(200, "{\"participants\":[],\"next_page_uri\":\"" PARTIES "?Page=1\"}");
    T_EQ(kit_told.times, 1);
    T_LT(net.n_calls, 12);
    kit_close();
}

/* ---- time, and closing ---- */

static void the_whole_has_a_deadline(void)
{
    set_line("");
    kit_open();
    T_OK(order(LINE_CMD_MUTE, 2, "", ""));
    T_EQ(last()->req.timeout_ms, 10000);
    net.now += 9000;
    answer(200, "{\"conferences\":[" ROOM(KIT_CF1, "init") "]}");
    T_EQ(last()->req.timeout_ms, 10000);
    answer(200, "{}");
    T_EQ(kit_told.http_status, 200);
    T_OK(order(LINE_CMD_MUTE, 2, "", ""));
    net.now += 15000;
    answer(200, "{\"conferences\":[" ROOM(KIT_CF1, "init") "]}");
    T_EQ(last()->req.timeout_ms, 5000);
    T_OK(order(LINE_CMD_MUTE, 2, "", ""));
    net.now += 20001;
    answer(200, "{\"conferences\":[" ROOM(KIT_CF1, "init") "]}");
    T_EQ(kit_told.times, 1);
    T_EQ(kit_told.http_status, 0);
    T_FALSE(kit_told.maybe_sent);
    kit_close();
}

static unsigned closed_within;

static void close_within(void)
{
    kit_carrier->ops->close(kit_carrier, kit_count, &closed_within);
}

static void closing_tells_nothing_more(void)
{
    set_line(KIT_CF1);
    kit_open();
    T_OK(order(LINE_CMD_MUTE, 0, "", ""));
    T_OK(order(LINE_CMD_LOOK_UP, -1, "", ""));
    kit_close();
    T_EQ(kit_told.times, 0);
    T_TRUE(net.calls[0].canceled && net.calls[1].canceled);
    /* From inside of an answer, too. */
    kit_open();
    T_OK(order(LINE_CMD_MUTE, 0, "", ""));
    T_OK(order(LINE_CMD_UNMUTE, 0, "", ""));
    kit_when_told = close_within;
    answer(200, "{}");
    T_TRUE(net.calls[0].canceled);
    T_EQ(order(LINE_CMD_MUTE, 0, "", ""), ERR_CLOSED);
    net.pool.closed(net.pool.closed_arg);
    T_EQ(closed_within, 1);
}

static void memory_that_is_out_is_told(void)
{
    set_line("");
    kit_open();
    for (unsigned long n = 1; n < 60; n++) {
        int rc;

        net.n_calls = 0;
        (void)mem_fault_after(n);
        rc = order(LINE_CMD_OFFER, 2, "Press 1", "t");
        (void)mem_fault_after(0);
        if (rc == 0) {
            T_GT(n, 4);
            answer(201, "{}");
            break;
        }
        T_EQ(rc, ERR_NOMEM);
        T_EQ(net.n_calls, 0);
    }
    T_EQ(kit_told.times, 1);
    kit_close();
}

/* ---- recordings ---- */

static struct {
    size_t bytes;
    unsigned done;
    int status;
    char text[80];
} got;

static void on_bytes(void *arg, struct str data)
{
    (void)arg;
    got.bytes += data.n;
}

static void on_whole(void *arg, int status, struct str text)
{
    (void)arg;
    got.done++;
    got.status = status;
    T_TRUE(str_copy(got.text, sizeof got.text, text));
}

static int fetch(unsigned channels, uint64_t max)
{
    struct carrier_fetch f = {.on_data = on_bytes, .on_done = on_whole, .channels = channels, .max_bytes = max};

    memset(&got, 0, sizeof got);
    return kit_carrier->ops->fetch(kit_carrier, STR(KIT_RE1), &f);
}

static void a_recording_is_fetched_by_its_sid(void)
{
    kit_open();
    T_OK(fetch(2, 0));
    asks("GET", AT "/Recordings/" KIT_RE1 ".wav?RequestedChannels=2", "");
    T_STR_EQ(last()->auth, BASIC_TOKEN);
    T_GT(last()->req.timeout_ms, 60000);
    last()->req.on_data(last()->req.arg, STR("RIFF"));
    last()->req.on_data(last()->req.arg, STR("more"));
    answer(200, "");
    T_EQ(got.done, 1);
    T_EQ(got.status, 200);
    T_EQ(got.bytes, 8);
    T_OK(fetch(1, 0));
    T_STR_EQ(last()->path, AT "/Recordings/" KIT_RE1 ".wav?RequestedChannels=1");
    answer(404, "{}");
    T_EQ(got.status, 404);
    kit_close();
}

static size_t waiting(void *arg)
{
    return *(const size_t *)arg;
}

/* Who takes it is slower than the network: no more is read until it has caught up. */
static void a_transfer_waits_for_its_taker(void)
{
    size_t left = 0;
    struct carrier_fetch f = {.on_data = on_bytes, .on_done = on_whole, .pending = waiting, .arg = &left, .channels = 1};

    kit_open();
    memset(&got, 0, sizeof got);
    T_OK(kit_carrier->ops->fetch(kit_carrier, STR(KIT_RE1), &f));
    last()->req.on_data(last()->req.arg, STR("RIFF"));
    T_FALSE(last()->paused);
    left = (1u << 20) + 1;
    last()->req.on_data(last()->req.arg, STR("more"));
    T_TRUE(last()->paused);
    kit_pass(1000);
    T_TRUE(last()->paused);
    left = 1u << 20;
    kit_pass(1000);
    T_FALSE(last()->paused);
    answer(200, "");
    T_EQ(got.status, 200);
    T_EQ(got.bytes, 8);
    kit_close();
    for (unsigned i = 0; i < POOL_CALLS; i++)
        T_FALSE(kit_timers[i].open);
}

static void a_transfer_that_is_not_whole(void)
{
    kit_open();
    T_OK(fetch(2, 0));
    last()->req.on_data(last()->req.arg, STR("RIFF"));
    fail(ERR_CLOSED, true);
    T_EQ(got.status, 0);
    T_STR_EQ(got.text, "connection reset");
    T_OK(fetch(2, 0));
    answer(302, "");
    T_EQ(got.status, 302);
    T_EQ(got.done, 1);
    T_OK(fetch(2, 0));
    answer(206, "");
    T_EQ(got.status, 0);
    T_OK(fetch(2, 6));
    last()->req.on_data(last()->req.arg, STR("RIFF"));
    T_EQ(got.done, 0);
    last()->req.on_data(last()->req.arg, STR("RIFF"));
    T_EQ(got.done, 1);
    T_EQ(got.status, 0);
    T_EQ(got.bytes, 4);
    T_HAS(got.text, "limit");
    T_TRUE(last()->canceled);
    T_OK(fetch(2, 0));
    kit_close();
    T_EQ(got.done, 0);
}

static void on_erased(void *arg, int status)
{
    *(int *)arg = status;
}

static void a_recording_is_erased(void)
{
    int status = -1;

    kit_open();
    T_OK(kit_carrier->ops->erase(kit_carrier, STR(KIT_RE1), on_erased, &status));
    asks("DELETE", AT "/Recordings/" KIT_RE1 ".json", "");
    answer(204, "");
    T_EQ(status, 204);
    T_OK(kit_carrier->ops->erase(kit_carrier, STR(KIT_RE1), on_erased, &status));
    fail(ERR_TIMEOUT, true);
    T_EQ(status, 0);
    T_EQ(kit_carrier->ops->erase(kit_carrier, STR(""), on_erased, &status), ERR_INVALID);
    kit_close();
}

/* ---- no carrier at all ---- */

static char asked[80];

static int refer(void *arg, struct str call, struct str number, unsigned cmd)
{
    (void)arg;
    (void)snprintf(asked, sizeof asked, "refer %.*s %.*s %u", STR_ARG(call), STR_ARG(number), cmd);
    return 0;
}

static int hang_up(void *arg, struct str call, unsigned cmd)
{
    (void)arg;
    (void)snprintf(asked, sizeof asked, "hang up %.*s %u", STR_ARG(call), cmd);
    return ERR_FULL;
}

static void a_trunk_without_a_carrier(void)
{
    struct sip_only_config config = {refer, hang_up, NULL};
    struct carrier_hook hook = {.path = STR("/twilio/voice")};
    struct carrier_event ev;
    const char *type = "x";
    unsigned closed = 0;

    set_line("");
    T_MUST(sip_only_open(&kit_carrier, &config, kit_answer_fn, &kit_told) == 0);
    T_EQ(kit_carrier->ops->can, LINE_CAN_REFER | LINE_CAN_HANGUP | LINE_CAN_SAY);
    T_OK(order(LINE_CMD_REFER, -1, "+15551234567", ""));
    T_STR_EQ(asked, "refer call_1 +15551234567 7");
    T_EQ(order(LINE_CMD_END_ROOM, -1, "", ""), ERR_FULL);
    T_STR_EQ(asked, "hang up call_1 7");
    T_EQ(order(LINE_CMD_REFER, -1, "", ""), ERR_INVALID);
    T_EQ(order(LINE_CMD_CREATE, 0, "", ""), ERR_BAD_STATE);
    T_EQ(kit_carrier->ops->verify(kit_carrier, &hook), ERR_DENIED);
    T_EQ(kit_carrier->ops->read(kit_carrier, &hook, &ev), ERR_NOT_FOUND);
    T_EQ(ev.said, SAID_NOTHING);
    T_EQ(kit_carrier->ops->render(kit_carrier, NULL, 0, NULL, &type), ERR_BAD_STATE);
    T_EQ(fetch(1, 0), ERR_BAD_STATE);
    T_EQ(kit_carrier->ops->erase(kit_carrier, STR("x"), on_erased, NULL), ERR_BAD_STATE);
    kit_carrier->ops->close(kit_carrier, kit_count, &closed);
    T_EQ(closed, 1);
}

int main(void)
{
    T_RUN(where_it_is_and_who_we_are);
    T_RUN(a_key_is_used_instead_of_the_token);
    T_RUN(bad_settings_are_named);
    T_RUN(memory_that_is_out_opens_nothing);
    T_RUN(a_caller_is_dialled_into_the_room);
    T_RUN(the_model_is_dialled_with_its_reference);
    T_RUN(times_stay_within_twilios_limits);
    T_RUN(an_offer_is_a_call_of_its_own);
    T_RUN(too_long_for_a_request);
    T_RUN(each_command_asks_for_one_thing);
    T_RUN(collecting_brings_the_leg_back_even_without_us);
    T_RUN(what_cannot_be_is_refused_at_once);
    T_RUN(a_room_is_found_by_its_name);
    T_RUN(there_is_no_such_room);
    T_RUN(a_leg_is_found_by_its_label);
    T_RUN(a_question_that_fails_did_nothing);
    T_RUN(what_is_over_is_told_as_gone);
    T_RUN(a_refusal_has_its_code);
    T_RUN(too_many_requests_did_nothing);
    T_RUN(an_answer_that_was_lost_is_in_doubt);
    T_RUN(good_answers_that_cannot_be_read_are_good);
    T_RUN(all_that_can_be_seen);
    T_RUN(no_room_but_legs);
    T_RUN(a_room_that_is_over_lists_nobody);
    T_RUN(half_an_answer_is_none);
    T_RUN(pages_have_an_end);
    T_RUN(the_whole_has_a_deadline);
    T_RUN(closing_tells_nothing_more);
    T_RUN(memory_that_is_out_is_told);
    T_RUN(a_recording_is_fetched_by_its_sid);
    T_RUN(a_transfer_waits_for_its_taker);
    T_RUN(a_transfer_that_is_not_whole);
    T_RUN(a_recording_is_erased);
    T_RUN(a_trunk_without_a_carrier);
    return T_DONE();
}
