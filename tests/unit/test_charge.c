/* SPDX-License-Identifier: MIT */
/* Rows of what calls cost: written over, summed by day and caller, kept when a call or a caller is forgotten. */
#include "memory/charge.h"

#include "memory/journal.h"
#include "memory/people.h"
#include "tests/unit/store_kit.h"

#define DAY 20261123u

struct heard {
    unsigned n, sums;
    int rc;
    uint64_t total, alice, bob;
    struct call_cost cost;
    char response[64];
};

static void on_claim(void *arg, int rc, enum journal_claim_result result)
{
    struct heard *h = arg;

    (void)result;
    h->rc = rc;
    h->n++;
}

static void on_day(void *arg, int rc, uint64_t total, const struct charge_sum *sums, unsigned n)
{
    struct heard *h = arg;

    h->rc = rc;
    h->total = total;
    h->sums = n;
    for (unsigned i = 0; i < n; i++) {
        h->alice += str_eqc(sums[i].number, "+15550001111") ? sums[i].nano : 0;
        h->bob += str_eqc(sums[i].number, "+15550002222") ? sums[i].nano : 0;
    }
    h->n++;
}

static void on_adopt(void *arg, int rc, const struct journal_found *found, unsigned n, unsigned held)
{
    struct heard *h = arg;

    (void)held;
    h->rc = rc;
    if (n == 1) {
        h->cost = found[0].cost;
        (void)str_copy(h->response, sizeof h->response, h->cost.response);
    }
    h->n++;
}

static void on_forgotten(void *arg, int rc, struct str json)
{
    struct heard *h = arg;

    (void)json;
    h->rc = rc;
    h->n++;
}

static void on_seen(void *arg, int rc, const struct people_caller *c)
{
    (void)c;
    on_forgotten(arg, rc, STR(""));
}

static void claim(struct kit *k, const char *id, const char *from)
{
    struct heard h = {0};
    const struct journal_call row = {.id = str_of(id), .openai_call_id = str_of(id), .direction = STR("inbound"),
                                     .from = str_of(from), .from_kind = STR("e164"), .level = STR("known"),
                                     .state = STR(JOURNAL_LIVE), .received_at = 1000};

    T_OK(journal_claim(k->s, &row, 0, on_claim, &h));
    T_TRUE(kit_wait(k, &h.n, 1, 10000));
    T_OK(h.rc);
    h.n = 0;
    T_OK(people_seen(k->s, str_of(id), str_of(from), 1000, on_seen, &h));
    T_TRUE(kit_wait(k, &h.n, 1, 10000));
    T_OK(h.rc);
}

static void put(struct kit *k, const char *call, const char *number, uint32_t day, uint64_t nano, const char *response)
{
    T_OK(charge_put(k->s, &(struct charge){str_of(call), str_of(number), day, nano, str_of(response)}));
}

static struct heard day(struct kit *k, uint32_t which)
{
    struct heard h = {0};

    T_OK(charge_day(k->s, which, on_day, &h));
    T_TRUE(kit_wait(k, &h.n, 1, 10000));
    T_OK(h.rc);
    return h;
}

static void sums(void)
{
    struct kit k;
    struct heard h;

    kit_init(&k);
    kit_open(&k, 0);
    claim(&k, "call_a", "+15550001111");
    claim(&k, "call_b", "+15550002222");
    claim(&k, "call_c", "+15550001111");
    h = day(&k, DAY);
    T_EQ(h.total, 0);
    T_EQ(h.sums, 0);
    put(&k, "call_a", "+15550001111", DAY, 10, "resp_1");
    put(&k, "call_a", "+15550001111", DAY, 30, "resp_2");
    put(&k, "call_a", "+15550001111", DAY, 30, "resp_2"); /* once more changes nothing */
    put(&k, "call_b", "+15550002222", DAY, 5, "resp_9");
    put(&k, "call_c", "+15550001111", DAY, 7, "resp_1");
    put(&k, "call_c", "+15550001111", DAY + 1, 100, "resp_2"); /* past midnight */
    put(&k, "call_nobody", "+15550001111", DAY, 1000, "resp_1"); /* no call of ours */
    h = day(&k, DAY);
    T_EQ(h.total, 42);
    T_EQ(h.alice, 37);
    T_EQ(h.bob, 5);
    T_EQ(day(&k, DAY + 1).total, 100);
    kit_done(&k);
}

static void adopted(void)
{
    struct kit k;
    struct heard h = {0};

    kit_init(&k);
    kit_open(&k, 0);
    claim(&k, "call_a", "+15550001111");
    put(&k, "call_a", "+15550001111", DAY, 10, "resp_1");
    put(&k, "call_a", "+15550001111", DAY + 1, 4, "resp_2");
    kit_close(&k);
    kit_open(&k, 0);
    put(&k, "call_a", "+15550001111", DAY + 1, 999, "resp_3"); /* not ours: nothing is written */
    T_OK(journal_adopt(k.s, on_adopt, &h));
    T_TRUE(kit_wait(&k, &h.n, 1, 10000));
    T_EQ(h.cost.nano, 14);
    T_EQ(h.cost.day, DAY + 1);
    T_EQ(h.cost.day_nano, 4);
    T_STR_EQ(h.response, "resp_2");
    kit_done(&k);
}

static void forgotten(void)
{
    struct kit k;
    struct heard h = {0};
    struct journal_call over = {.id = STR("call_a"), .state = STR(JOURNAL_OVER)};
    sqlite3 *db;

    kit_init(&k);
    kit_open(&k, 0);
    claim(&k, "call_a", "+15550001111");
    put(&k, "call_a", "+15550001111", DAY, 10, "resp_1");
    T_OK(journal_save(k.s, &over, JOURNAL_SET_STATE, NULL, NULL));
    T_OK(people_forget(k.s, STR("+15550001111"), false, on_forgotten, &h));
    T_TRUE(kit_wait(&k, &h.n, 1, 10000));
    T_OK(h.rc);
    h = day(&k, DAY);
    T_EQ(h.total, 10); /* spent is spent */
    T_EQ(h.alice, 0);
    db = kit_beside(&k);
    T_EQ(kit_int(db, "SELECT count(*) FROM charge WHERE number<>''"), 0);
    T_EQ(day(&k, DAY + 2).total, 0);
    T_EQ(kit_int(db, "SELECT count(*) FROM charge"), 0); /* its call is gone, and so is its day */
    (void)sqlite3_close(db);
    kit_done(&k);
}

static void no_memory(void)
{
    struct kit k;
    struct heard h = {0};

    kit_init(&k);
    kit_open(&k, 0);
    (void)mem_fault_after(1);
    T_EQ(charge_day(k.s, DAY, on_day, &h), ERR_NOMEM);
    T_EQ(charge_put(k.s, &(struct charge){.call = STR("call_a"), .day = DAY}), ERR_NOMEM);
    (void)mem_fault_after(0);
    T_EQ(h.n, 0);
    kit_done(&k);
}

int main(void)
{
    T_RUN(sums);
    T_RUN(adopted);
    T_RUN(forgotten);
    T_RUN(no_memory);
    return T_DONE();
}
