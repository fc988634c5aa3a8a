/* SPDX-License-Identifier: MIT */
/* What commands ask of Twilio, in how many steps, and what is told of the answers. */
#include "plugin/carrier/carrier.h"
#include "tests/unit/twilio_order.h"

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
    T_RUN(the_whole_has_a_deadline);
    T_RUN(closing_tells_nothing_more);
    T_RUN(memory_that_is_out_is_told);
    return T_DONE();
}
