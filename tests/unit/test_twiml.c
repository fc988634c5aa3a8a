/* SPDX-License-Identifier: MIT */
#include "plugin/carrier/twiml.h"

#include "plugin/base/mem.h"
#include "tests/unit/t.h"

#define PUBLIC "https://voice.example.com/base"
#define REF "0123456789abcdef0123456789abcdef"
#define HEAD "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"

static int render(const struct carrier_step *steps, unsigned n, char *out, size_t cap)
{
    struct buf b;
    int rc;

    buf_init(&b, TWIML_BYTES_MAX);
    rc = twiml_render(STR(PUBLIC), steps, n, &b);
    T_TRUE(str_copy(out, cap, buf_str(&b)));
    buf_free(&b);
    return rc;
}

static void is_document(const struct carrier_step *steps, unsigned n, const char *want)
{
    char got[4096];

    T_OK(render(steps, n, got, sizeof got));
    T_STR_EQ(got, want);
}

static void nothing_to_do_is_a_document(void)
{
    is_document(NULL, 0, HEAD "<Response/>");
}

static void each_step_by_itself(void)
{
    const struct carrier_step say = {.kind = STEP_SAY, .text = STR("Hello")}, pause = {.kind = STEP_PAUSE, .seconds = 3},
                              digits = {.kind = STEP_DIGITS, .text = STR("12w34#*W")}, up = {.kind = STEP_HANG_UP},
                              busy = {.kind = STEP_REJECT, .busy = true}, reject = {.kind = STEP_REJECT};

    is_document(&say, 1, HEAD "<Response><Say>Hello</Say></Response>");
    is_document(&pause, 1, HEAD "<Response><Pause length=\"3\"/></Response>");
    is_document(&digits, 1, HEAD "<Response><Play digits=\"12w34#*W\"/></Response>");
    is_document(&up, 1, HEAD "<Response><Hangup/></Response>");
    is_document(&busy, 1, HEAD "<Response><Reject reason=\"busy\"/></Response>");
    is_document(&reject, 1, HEAD "<Response><Reject reason=\"rejected\"/></Response>");
}

static void joining_is_silent_and_tells_us(void)
{
    const struct carrier_step join = {.kind = STEP_JOIN, .ref = STR(REF), .label = STR("caller"), .ends_room = true,
                                      .seconds = 1800};
    const struct carrier_step other = {.kind = STEP_JOIN, .ref = STR(REF), .label = STR("sales & more")};

    is_document(&join, 1, HEAD "<Response><Dial action=\"" PUBLIC "/twilio/after?ref=" REF "&amp;party=caller\" "
                "timeLimit=\"1800\"><Conference beep=\"false\" startConferenceOnEnter=\"true\" "
                "endConferenceOnExit=\"true\" waitUrl=\"\" participantLabel=\"caller\" statusCallback=\"" PUBLIC
                "/twilio/conference?ref=" REF "\" statusCallbackEvent=\"start end join leave mute hold announcement\">"
                REF "</Conference></Dial></Response>");
    is_document(&other, 1, HEAD "<Response><Dial action=\"" PUBLIC "/twilio/after?ref=" REF "&amp;party="
                "sales%20%26%20more\"><Conference beep=\"false\" startConferenceOnEnter=\"true\" "
                "endConferenceOnExit=\"false\" waitUrl=\"\" participantLabel=\"sales &amp; more\" statusCallback=\""
                PUBLIC "/twilio/conference?ref=" REF "\" statusCallbackEvent=\"start end join leave mute hold "
                "announcement\">" REF "</Conference></Dial></Response>");
}

static void gathering_answers_also_without_digits(void)
{
    const struct carrier_step one[] = {
        {.kind = STEP_GATHER, .text = STR("Press 1 <now>"), .ref = STR(REF), .label = STR("boss"),
         .token = STR("act_1"), .n = 1, .seconds = 20},
        {.kind = STEP_HANG_UP},
    };
    const struct carrier_step any = {.kind = STEP_GATHER, .token = STR("t")};

    is_document(one, 2, HEAD "<Response><Gather input=\"dtmf\" action=\"" PUBLIC "/twilio/gather?ref=" REF
                "&amp;party=boss&amp;token=act_1\" timeout=\"20\" numDigits=\"1\" actionOnEmptyResult=\"true\">"
                "<Say>Press 1 &lt;now&gt;</Say></Gather><Hangup/></Response>");
    is_document(&any, 1, HEAD "<Response><Gather input=\"dtmf\" action=\"" PUBLIC "/twilio/gather?token=t\" "
                "finishOnKey=\"#\" actionOnEmptyResult=\"true\"/></Response>");
}

static void text_cannot_become_markup(void)
{
    const struct carrier_step say = {.kind = STEP_SAY,
        .text = STR("</Say><Dial>+15551234567</Dial> & \"'\r\n\t ]]> \xc3\xa4\xf0\x9f\x98\x80")};
    const struct carrier_step join = {.kind = STEP_JOIN, .ref = STR("a"), .label = STR("\"><Dial>\t\n\r&<'")};
    char got[4096];

    is_document(&say, 1, HEAD "<Response><Say>&lt;/Say&gt;&lt;Dial&gt;+15551234567&lt;/Dial&gt; &amp; \"'&#xD;\n\t "
                "]]&gt; \xc3\xa4\xf0\x9f\x98\x80</Say></Response>");
    T_OK(render(&join, 1, got, sizeof got));
    T_HAS(got, "participantLabel=\"&quot;>&lt;Dial>&#x9;&#xA;&#xD;&amp;&lt;'\"");
}

static void what_xml_cannot_hold_is_refused(void)
{
    static const struct str bad[] = {{"a\0b", 3}, {"\x01", 1}, {"\x1b[0m", 4}, {"\x0b", 1}, {"\xff", 1}, {"\xc3", 1},
                                     {"\xed\xa0\x80", 3}, {"\xef\xbf\xbf", 3}, {"\xef\xbf\xbe", 3}, {"\xc0\x80", 2}};
    char got[4096];

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const struct carrier_step say = {.kind = STEP_SAY, .text = bad[i]};
        const struct carrier_step join = {.kind = STEP_JOIN, .ref = STR("r"), .label = bad[i]};

        T_EQ(render(&say, 1, got, sizeof got), ERR_INVALID);
        T_EQ(render(&join, 1, got, sizeof got), ERR_INVALID);
    }
}

static void steps_that_cannot_be_are_refused(void)
{
    static const char *const digits[] = {"", "1+2", "12a", "1 2", "<1"};
    const struct carrier_step late[] = {{.kind = STEP_SAY, .text = STR("x")}, {.kind = STEP_REJECT}};
    const struct carrier_step nowhere = {.kind = STEP_JOIN, .label = STR("caller")};
    char got[4096], many[130];

    for (size_t i = 0; i < sizeof digits / sizeof *digits; i++) {
        const struct carrier_step play = {.kind = STEP_DIGITS, .text = str_of(digits[i])};

        T_EQ(render(&play, 1, got, sizeof got), ERR_INVALID);
    }
    memset(many, '1', sizeof many);
    T_TRUE(twiml_digits_ok(str_make(many, 128)));
    T_FALSE(twiml_digits_ok(str_make(many, 129)));
    T_EQ(render(late, 2, got, sizeof got), ERR_INVALID);
    T_EQ(render(&nowhere, 1, got, sizeof got), ERR_INVALID);
}

static void an_inline_document_has_4000_characters(void)
{
    size_t frame = strlen(HEAD "<Response><Say></Say></Response>"), chars = 4000 - frame;
    static char text[9000];
    struct carrier_step say = {.kind = STEP_SAY};
    struct buf b;

    for (size_t i = 0; i < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xa4", 2);
    buf_init(&b, TWIML_BYTES_MAX);
    say.text = str_make(text, 2 * chars);
    T_OK(twiml_render_inline(STR(PUBLIC), &say, 1, &b));
    buf_clear(&b);
    say.text = str_make(text, 2 * chars + 2);
    T_EQ(twiml_render_inline(STR(PUBLIC), &say, 1, &b), ERR_TOO_BIG);
    buf_clear(&b);
    T_OK(twiml_render(STR(PUBLIC), &say, 1, &b));
    buf_free(&b);
}

static void links_name_what_there_is(void)
{
    const struct twiml_link all = {.what = "status", .ref = STR("r"), .party = STR("a b"), .token = STR("t&"), .nth = 2};
    const struct twiml_link none = {.what = "voice"};
    struct buf b;

    buf_init(&b, 1000);
    twiml_link_put(&b, STR(PUBLIC), &all);
    T_STR_EQ(buf_cstr(&b), PUBLIC "/twilio/status?ref=r&party=a%20b&token=t%26&n=2");
    buf_clear(&b);
    twiml_link_put(&b, STR(PUBLIC), &none);
    T_STR_EQ(buf_cstr(&b), PUBLIC "/twilio/voice");
    buf_free(&b);
}

static void memory_that_is_out_is_an_error(void)
{
    const struct carrier_step steps[] = {
        {.kind = STEP_GATHER, .text = STR("x"), .ref = STR(REF), .label = STR("a"), .token = STR("t"), .n = 1},
        {.kind = STEP_JOIN, .ref = STR(REF), .label = STR("a")},
    };
    char got[4096];
    int rc = ERR_NOMEM;

    for (unsigned long n = 1; n < 100 && rc != 0; n++) {
        (void)mem_fault_after(n);
        rc = render(steps, 2, got, sizeof got);
        (void)mem_fault_after(0);
        T_TRUE(rc == 0 || rc == ERR_NOMEM);
    }
    T_OK(rc);
}

int main(void)
{
    T_RUN(nothing_to_do_is_a_document);
    T_RUN(each_step_by_itself);
    T_RUN(joining_is_silent_and_tells_us);
    T_RUN(gathering_answers_also_without_digits);
    T_RUN(text_cannot_become_markup);
    T_RUN(what_xml_cannot_hold_is_refused);
    T_RUN(steps_that_cannot_be_are_refused);
    T_RUN(an_inline_document_has_4000_characters);
    T_RUN(links_name_what_there_is);
    T_RUN(memory_that_is_out_is_an_error);
    return T_DONE();
}
