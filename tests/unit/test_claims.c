/* SPDX-License-Identifier: MIT */
/* Claims when there are many: what the index holds, and what is searched in the table. */
#include "memory/journal.h"
#include "tests/unit/store_kit.h"

#define NEVER 0
#define LONG_AGO 1000
#define NOW 5000000
#define CROWD 100000

struct heard {
    int rc;
    enum journal_claim_result result;
    unsigned n;
};

static void on_claim(void *arg, int rc, enum journal_claim_result result)
{
    *(struct heard *)arg = (struct heard){rc, result, ((struct heard *)arg)->n + 1};
}

/* A webhook of that call, whose event was made at event_at, is received at received_at. */
static enum journal_claim_result claim(struct kit *k, const char *openai, const char *sip, uint64_t event_at,
                                       uint64_t received_at)
{
    static unsigned n;
    struct heard h = {0};
    char id[32];
    struct journal_call row = {
        .openai_call_id = str_of(openai), .sip_call_id = str_of(sip), .direction = STR("inbound"),
        .from_kind = STR("e164"), .level = STR("known"), .state = STR(JOURNAL_CLAIMED), .received_at = received_at,
        .event_at = event_at};

    (void)snprintf(id, sizeof id, "call_%u", n++);
    row.id = str_of(id);
    T_OK(journal_claim(k->s, &row, 0, on_claim, &h));
    T_TRUE(kit_wait(k, &h.n, 1, 20000));
    T_OK(h.rc);
    return h.result;
}

/* So many calls of others, a millisecond apart from `at` on. */
static void crowd(struct kit *k, unsigned n, unsigned at)
{
    char sql[300];

    (void)snprintf(sql, sizeof sql, "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<%u)"
                   " INSERT INTO claim(at, call, openai, sip) SELECT %u+i, 'c', randomblob(16), randomblob(16) FROM c",
                   n, at);
    T_OK(kit_sql(k, sql));
}

/* Those of the last hours are found however many came since; only what cannot be is not looked for. */
static void an_old_repeat_is_found_in_the_table(void)
{
    struct kit k;

    kit_init(&k);
    kit_open(&k, 0);
    T_EQ(claim(&k, "rtc_old", "sip_old", LONG_AGO, LONG_AGO), JOURNAL_NEW);
    crowd(&k, CROWD, LONG_AGO);
    T_EQ(claim(&k, "rtc_new", "sip_new", NOW, NOW), JOURNAL_NEW);
    for (int again = 0; again < 2; again++) {
        kit_close(&k); /* the short memory of repeats goes with it */
        kit_open(&k, 0);
        T_EQ(claim(&k, "rtc_old", "", LONG_AGO, NOW), JOURNAL_DUPLICATE);
        T_EQ(claim(&k, "rtc_other", "sip_old", NEVER, NOW), JOURNAL_DUPLICATE);
        T_EQ(claim(&k, "rtc_new", "", NOW, NOW), JOURNAL_DUPLICATE);
        T_EQ(claim(&k, "rtc_other", "sip_new", NEVER, NOW), JOURNAL_DUPLICATE);
    }
    T_EQ(claim(&k, "rtc_fresh", "sip_fresh", NEVER, NOW), JOURNAL_NEW);
    kit_close(&k);
    kit_open(&k, 0);
    /* Made after the call it repeats was forgotten by the index: no provider does that. */
    T_EQ(claim(&k, "rtc_old", "", NOW, NOW), JOURNAL_NEW);
    kit_done(&k);
}

/* However many they are, the last minute's are in the index: a flood does not search the table for each call. */
static void the_last_minute_is_held(void)
{
    struct kit k;

    kit_init(&k);
    kit_open(&k, 0);
    T_EQ(claim(&k, "rtc_before", "", NOW - 70000, NOW - 70000), JOURNAL_NEW);
    T_EQ(claim(&k, "rtc_first", "", NOW, NOW), JOURNAL_NEW);
    crowd(&k, 50000, NOW);
    kit_close(&k);
    kit_open(&k, 0);
    /* Told by times that only the index does not look at: it holds the first and not the one before. */
    T_EQ(claim(&k, "rtc_first", "", NOW + 50000, NOW + 50000), JOURNAL_DUPLICATE);
    T_EQ(claim(&k, "rtc_before", "", NOW + 50000, NOW + 50000), JOURNAL_NEW);
    kit_done(&k);
}

/* The index forgets while it runs, too, and never one that was claimed just now. */
static void the_index_follows(void)
{
    struct kit k;
    char openai[24];
    unsigned wrong = 0;

    kit_init(&k);
    kit_open(&k, 0);
    for (unsigned round = 0; round < 4; round++) {
        (void)snprintf(openai, sizeof openai, "rtc_%u", round);
        T_EQ(claim(&k, openai, "", NOW, NOW + round * 200000), JOURNAL_NEW);
        crowd(&k, CROWD, NOW + round * 200000);
        T_EQ(claim(&k, "rtc_x", "", NOW, NOW), round == 0 ? JOURNAL_NEW : JOURNAL_DUPLICATE);
        for (unsigned i = 0; i <= round; i++) {
            (void)snprintf(openai, sizeof openai, "rtc_%u", i);
            wrong += claim(&k, openai, "", NEVER, NOW) != JOURNAL_DUPLICATE;
        }
    }
    T_EQ(wrong, 0);
    kit_done(&k);
}

int main(void)
{
    T_RUN(an_old_repeat_is_found_in_the_table);
    T_RUN(the_last_minute_is_held);
    T_RUN(the_index_follows);
    return T_DONE();
}
