/* SPDX-License-Identifier: MIT */
/* Looking around at Twilio: what is asked, and what is told of a room, its legs and its recording. */
#include "plugin/base/clock.h"
#include "plugin/carrier/carrier.h"
#include "tests/unit/twilio_order.h"

#include <time.h>

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

int main(void)
{
    T_RUN(all_that_can_be_seen);
    T_RUN(no_room_but_legs);
    T_RUN(a_room_that_is_over_lists_nobody);
    T_RUN(half_an_answer_is_none);
    T_RUN(pages_have_an_end);
    return T_DONE();
}
