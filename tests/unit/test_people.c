/* SPDX-License-Identifier: MIT */
/* Persons: who rings, what they say of themselves, their history, lists and end; several processes, bad times. */
#include "memory/people.h"
#include "plugin/base/json.h"
#include "tests/unit/people_kit.h"

#define A "+15550000001"
#define B "+15550000002"
#define C "+15550000003"

/* ---- A call rings. ---- */

static void callers_are_known_again(void)
{
    struct kit k;
    struct heard h = {0}, first = {0};

    kit_init(&k);
    kit_open(&k, 0);
    claim_call(&k, "call_1", A, 1000);
    T_OK(seen(&k, &first, "call_1", A, 1000));
    T_EQ(first.calls, 0);
    T_EQ(first.first, 0);
    T_STR_EQ(first.ids, "");
    T_EQ(strncmp(first.person, "per_", 4), 0);
    /* Asked again for the same call, it is counted once, also after a restart. */
    T_OK(seen(&k, &h, "call_1", A, 1000));
    T_EQ(h.calls, 0);
    kit_close(&k);
    kit_open(&k, 0);
    T_OK(seen(&k, &h, "call_1", A, 1100));
    T_EQ(h.calls, 0);
    T_STR_EQ(h.person, first.person);
    claim_call(&k, "call_2", A, 2000);
    T_OK(seen(&k, &h, "call_2", A, 2000));
    T_EQ(h.calls, 1);
    T_EQ(h.first, 1000);
    T_EQ(h.last, 1000);
    T_OK(seen(&k, &h, "", A, 3000));
    T_EQ(h.calls, 2);
    T_EQ(h.last, 2000);
    /* A row that is not there, a number that is none. */
    T_EQ(seen(&k, &h, "call_x", B, 3000), ERR_NOT_FOUND);
    T_OK(seen(&k, &h, "call_2", "", 3000));
    T_STR_EQ(h.person, "");
    T_OK(seen(&k, &h, "call_2", "anonymous", 3000));
    T_STR_EQ(h.person, "");
    T_EQ(ASK(&k, &h, people_list(k.s, 10, on_json, &h)), 0);
    T_EQ(count(json_get(h.doc, "callers")), 1);
    T_EQ(json_get_int(json_first(json_get(h.doc, "callers")), "call_count", 0), 3);
    heard_free(&h);
    kit_done(&k);
}

static void what_they_say_of_themselves(void)
{
    struct kit k;
    struct heard h = {0};
    struct people_update u = {.name = STR("Ann \"A\""), .language = STR("de")};
    char big[PEOPLE_NOTES_BYTES + 2], line[200];

    kit_init(&k);
    kit_open(&k, 0);
    T_EQ(ASK(&k, &h, people_update(k.s, STR(A), &u, on_rc, &h)), ERR_NOT_FOUND);
    T_OK(seen(&k, &h, "", A, 1000));
    T_EQ(ASK(&k, &h, people_update(k.s, STR(A), &u, on_rc, &h)), 0);
    u = (struct people_update){.note = STR("likes\ntea")};
    T_EQ(ASK(&k, &h, people_update(k.s, str_of(h.person), &u, on_rc, &h)), 0);
    u = (struct people_update){.note = STR("and cake"), .language = STR("")};
    T_EQ(ASK(&k, &h, people_update(k.s, STR("voice:" A), &u, on_rc, &h)), 0);
    T_EQ(ASK(&k, &h, people_get(k.s, STR(A), on_json, &h)), 0);
    text_is(h.doc, "name", "Ann \"A\"");
    text_is(h.doc, "language", "");
    text_is(h.doc, "notes", "likes tea\nand cake");
    /* Never longer than the limit: the oldest lines go. */
    memset(big, 'x', sizeof big);
    u = (struct people_update){.notes = str_make(big, PEOPLE_NOTES_BYTES + 1)};
    T_EQ(people_update(k.s, STR(A), &u, on_rc, &h), ERR_TOO_BIG);
    u = (struct people_update){.notes = STR("oldest")};
    T_EQ(ASK(&k, &h, people_update(k.s, STR(A), &u, on_rc, &h)), 0);
    for (int i = 0; i < 60; i++) {
        (void)snprintf(line, sizeof line, "%0180d", i);
        u = (struct people_update){.note = str_of(line)};
        T_EQ(ASK(&k, &h, people_update(k.s, STR(A), &u, on_rc, &h)), 0);
    }
    T_EQ(ASK(&k, &h, people_get(k.s, STR(A), on_json, &h)), 0);
    T_LE(json_get_str(h.doc, "notes").n, PEOPLE_NOTES_BYTES);
    T_GT(json_get_str(h.doc, "notes").n, PEOPLE_NOTES_BYTES - 200);
    T_NULL(strstr(h.json, "oldest"));
    T_HAS(h.json, line);
    heard_free(&h);
    kit_done(&k);
}

/* ---- History, lists, search. ---- */

static void history_of_a_person(void)
{
    struct kit k;
    struct heard h = {0};
    struct outbox_row row = {.id = STR("out_1"), .call = STR("call_1"), .kind = STR("late"),
                             .state = STR("due"), .payload = STR("{\"text\":\"the answer\"}"), .made_at = 9};
    struct journal_tool tool = {.tool_call = STR("t"), .name = STR("ask"), .state = STR("running"),
                                .arguments = STR("{\"request\":\"find it\"}"), .at = 8};
    const struct json *c;
    char text[40];

    kit_init(&k);
    kit_open(&k, 0);
    T_EQ(ASK(&k, &h, people_history(k.s, STR(""), 5, 5, on_json, &h)), 0);
    T_STR_EQ(h.json, "{\"calls\":[],\"messages\":[],\"open\":[],\"caller\":null}");
    whole_call(&k, "call_1", A, 1000, "hello one");
    whole_call(&k, "call_2", A, 2000, "hello two");
    whole_call(&k, "call_3", B, 3000, "somebody else");
    claim_call(&k, "call_4", A, 4000);
    T_OK(seen(&k, &h, "call_4", A, 4000));
    T_EQ(ASK(&k, &h, people_set_summary(k.s, STR("call_2"), STR("All about two."), "answered", on_rc, &h)), 0);
    T_EQ(ASK(&k, &h, people_set_summary(k.s, STR("call_x"), STR("?"), NULL, on_rc, &h)), ERR_NOT_FOUND);
    T_EQ(ASK(&k, &h, outbox_put(k.s, &row, on_rc, &h)), 0);
    T_EQ(ASK(&k, &h, journal_tool(k.s, STR("call_1"), &tool, on_rc, &h)), 0);
    message(&k, "telegram:1", true, "not linked", 100);
    T_EQ(ASK(&k, &h, people_link(k.s, STR(A), STR("telegram:2"), "paired", 1, on_json, &h)), 0);
    for (int i = 0; i < 210; i++) {
        (void)snprintf(text, sizeof text, "message %d", i);
        message(&k, "telegram:2", i % 2, text, (uint64_t)(200 + i));
    }
    T_EQ(ASK(&k, &h, people_history(k.s, STR(A), 5, 3, on_json, &h)), 0);
    T_EQ(count(json_get(h.doc, "calls")), 2); /* not the one that rings */
    c = json_first(json_get(h.doc, "calls"));
    text_is(c, "call", "call_2");
    text_is(c, "summary", "All about two.");
    text_is(c, "outcome", "answered");
    T_EQ(json_get_int(c, "duration_ms", 0), 8000);
    text_is(json_first(json_get(c, "last_turns")), "text", "hello two");
    T_EQ(count(json_get(h.doc, "messages")), 3);
    text_is(json_first(json_get(h.doc, "messages")), "text", "message 209");
    T_NULL(strstr(h.json, "not linked"));
    T_EQ(count(json_get(h.doc, "open")), 2);
    T_HAS(h.json, "the answer");
    T_HAS(h.json, "find it");
    T_EQ(ASK(&k, &h, people_history(k.s, STR(A), 5, 1000, on_json, &h)), 0);
    T_EQ(count(json_get(h.doc, "messages")), 200);
    T_EQ(ASK(&k, &h, people_export(k.s, STR(A), on_json, &h)), 0);
    T_EQ(count(json_get(h.doc, "calls")), 3);
    T_EQ(count(json_get(h.doc, "messages")), 200);
    T_HAS(h.json, "hello one");
    T_HAS(h.json, "find it");
    T_HAS(h.json, "the answer");
    T_NULL(strstr(h.json, "somebody else"));
    heard_free(&h);
    kit_done(&k);
}

static void words_are_found(void)
{
    struct kit k;
    struct heard h = {0};
    sqlite3 *db;

    kit_init(&k);
    kit_open(&k, 0);
    whole_call(&k, "call_1", A, 1000, "The caf\xc3\xa9 has a \"blue\" door");
    claim_call(&k, "call_2", B, 2000);
    say(&k, "call_2", "x", 1, "caller", "blue sky");
    T_EQ(ASK(&k, &h, people_search(k.s, STR("blue"), 10, on_json, &h)), 0);
    T_EQ(count(json_get(h.doc, "hits")), 1); /* the other call is not over */
    end_call(&k, "call_2", 2500, 3000);
    say(&k, "call_2", "late", 2, "assistant", "blue and late");
    T_EQ(ASK(&k, &h, people_search(k.s, STR("BLU"), 10, on_json, &h)), 0);
    T_EQ(count(json_get(h.doc, "hits")), 3);
    text_is(json_first(json_get(h.doc, "hits")), "text", "blue and late");
    text_is(json_first(json_get(h.doc, "hits")), "number", B);
    say(&k, "call_2", "late", 2, "assistant", "green at last");
    T_EQ(ASK(&k, &h, people_search(k.s, STR("late"), 10, on_json, &h)), 0);
    T_EQ(count(json_get(h.doc, "hits")), 0);
    T_EQ(ASK(&k, &h, people_search(k.s, STR("cafe door"), 10, on_json, &h)), 0);
    T_EQ(count(json_get(h.doc, "hits")), 1);
    /* No syntax. */
    T_EQ(ASK(&k, &h, people_search(k.s, STR("\"blue\" - * OR ( NEAR"), 10, on_json, &h)), 0);
    T_EQ(count(json_get(h.doc, "hits")), 0);
    T_EQ(ASK(&k, &h, people_search(k.s, STR("\"blue\" - *"), 10, on_json, &h)), 0);
    T_EQ(count(json_get(h.doc, "hits")), 2);
    T_EQ(ASK(&k, &h, people_search(k.s, STR(" ** "), 10, on_json, &h)), 0);
    T_EQ(count(json_get(h.doc, "hits")), 0);
    T_EQ(people_search(k.s, STR("\xff"), 10, on_json, &h), ERR_INVALID);
    /* Retention takes turns and words, and leaves the calls. */
    T_EQ(ASK(&k, &h, people_expire_turns(k.s, 10500, on_rc, &h)), 0);
    T_EQ(ASK(&k, &h, people_search(k.s, STR("blue"), 10, on_json, &h)), 0);
    T_EQ(count(json_get(h.doc, "hits")), 0);
    db = kit_beside(&k);
    T_EQ(kit_int(db, "SELECT count(*) FROM turn"), 0);
    T_EQ(kit_int(db, "SELECT count(*) FROM call"), 2);
    T_EQ(sqlite3_exec(db, "INSERT INTO turn_fts(turn_fts, rank) VALUES('integrity-check', 1)", NULL, NULL,
                      NULL), SQLITE_OK);
    (void)sqlite3_close(db);
    heard_free(&h);
    kit_done(&k);
}

/* What the index of past calls is told: all that are over and hold words, with whose they are now. */
static void past_calls_by_pages(void)
{
    struct kit k;
    struct heard h = {0}, a = {0};
    const struct json *c;

    kit_init(&k);
    kit_open(&k, 0);
    T_EQ(ASK(&k, &h, people_past(k.s, STR(""), 10, on_json, &h)), 0);
    T_EQ(count(json_get(h.doc, "calls")), 0);
    whole_call(&k, "call_1", A, 1000, "one");
    whole_call(&k, "call_2", B, 2000, "two");
    whole_call(&k, "call_3", "", 3000, "three");
    claim_call(&k, "call_4", A, 4000); /* nothing was said */
    end_call(&k, "call_4", 0, 4500);
    claim_call(&k, "call_5", A, 5000); /* goes on */
    say(&k, "call_5", "i1", 1, "caller", "five");
    T_OK(seen(&k, &a, "call_1", A, 1000));
    T_EQ(ASK(&k, &h, people_past(k.s, STR(""), 2, on_json, &h)), 0);
    T_EQ(count(json_get(h.doc, "calls")), 2);
    c = json_first(json_get(h.doc, "calls"));
    text_is(c, "call", "call_3");
    text_is(c, "person", "");
    text_is(json_next(c), "call", "call_2");
    T_EQ(json_get_int(json_next(c), "at", 0), 2000);
    T_EQ(ASK(&k, &h, people_past(k.s, STR("call_2"), 2, on_json, &h)), 0);
    T_EQ(count(json_get(h.doc, "calls")), 1);
    text_is(json_first(json_get(h.doc, "calls")), "call", "call_1");
    T_EQ(ASK(&k, &h, people_past(k.s, STR("call_1"), 2, on_json, &h)), 0);
    T_EQ(count(json_get(h.doc, "calls")), 0);
    T_EQ(ASK(&k, &h, people_link(k.s, STR(A), STR("voice:" B), "api", 3001, on_json, &h)), 0);
    T_EQ(ASK(&k, &h, people_past(k.s, STR("call_3"), 2, on_json, &h)), 0);
    text_is(json_first(json_get(h.doc, "calls")), "person", a.person);
    heard_free(&h);
    kit_done(&k);
}

static void missed_calls(void)
{
    struct kit k;
    struct heard h = {0};
    struct journal_call refused = {.id = STR("call_3"), .state = STR(JOURNAL_OVER), .sip_status = 603,
                                   .reason = STR("refused_policy"), .detail = STR("blacklisted"),
                                   .ended_at = 5};

    kit_init(&k);
    kit_open(&k, 0);
    whole_call(&k, "call_1", A, 1000, "spoken to");
    claim_call(&k, "call_2", "", 2000);
    end_call(&k, "call_2", 0, 2500);
    claim_call(&k, "call_3", A, 3000);
    T_OK(seen(&k, &h, "call_3", A, 3000));
    T_EQ(ASK(&k, &h, journal_save(k.s, &refused, JOURNAL_SET_STATE | JOURNAL_SET_REASON |
                                                     JOURNAL_SET_SIP_STATUS, on_rc, &h)), 0);
    claim_call(&k, "call_4", B, 4000);
    T_EQ(ASK(&k, &h, people_missed(k.s, 10, on_json, &h)), 0);
    T_EQ(count(json_get(h.doc, "missed")), 2);
    text_is(json_first(json_get(h.doc, "missed")), "call", "call_3");
    text_is(json_first(json_get(h.doc, "missed")), "kind", "refused");
    text_is(json_first(json_get(h.doc, "missed")), "detail", "blacklisted");
    text_is(json_next(json_first(json_get(h.doc, "missed"))), "kind", "abandoned");
    text_is(json_next(json_first(json_get(h.doc, "missed"))), "from_kind", "anonymous");
    heard_free(&h);
    kit_done(&k);
}

/* Callers outlive their calls; those of whom only the number is known do not outlive 90 days. */
static void retention_of_persons(void)
{
    uint64_t day = 86400000, now = 400 * day;
    struct people_update u = {.name = STR("Ann")};
    struct kit k;
    struct heard h = {0};

    kit_init(&k);
    kit_open(&k, 0);
    whole_call(&k, "call_1", A, now - 100 * day, "x");
    whole_call(&k, "call_2", B, now - 100 * day, "x");
    whole_call(&k, "call_3", C, now - 80 * day, "x");
    whole_call(&k, "call_4", "+15550000004", now - 100 * day, "x");
    T_EQ(ASK(&k, &h, people_update(k.s, STR(A), &u, on_rc, &h)), 0);
    T_EQ(ASK(&k, &h, people_link(k.s, STR("+15550000004"), STR("telegram:4"), "api", 1, on_json, &h)), 0);
    T_EQ(ASK(&k, &h, journal_expire(k.s, now, day, on_rc, &h)), 0);
    T_EQ(ASK(&k, &h, people_get(k.s, STR(A), on_json, &h)), 0);
    T_EQ(count(json_get(h.doc, "calls")), 0);
    T_EQ(ASK(&k, &h, people_get(k.s, STR(B), on_json, &h)), ERR_NOT_FOUND);
    T_EQ(ASK(&k, &h, people_get(k.s, STR(C), on_json, &h)), 0);
    T_EQ(ASK(&k, &h, people_get(k.s, STR("telegram:4"), on_json, &h)), 0);
    heard_free(&h);
    kit_done(&k);
}

/* ---- Several processes, bad times. ---- */

static void two_processes(void)
{
    struct kit k, other;
    struct heard h = {0};
    int status = 0;
    pid_t pid;

    kit_init(&k);
    fflush(stdout);
    pid = fork();
    T_MUST(pid >= 0);
    if (pid == 0) {
        other = k;
        kit_open(&other, 10000);
        for (int i = 0; i < 200; i++)
            (void)seen(&other, &h, "", A, 1000);
        kit_close(&other);
        _exit(t_now.bad ? 1 : 0);
    }
    kit_open(&k, 10000);
    for (int i = 0; i < 200; i++)
        T_OK(seen(&k, &h, "", A, 1000));
    T_EQ(waitpid(pid, &status, 0), pid);
    T_EQ(status, 0);
    T_OK(seen(&k, &h, "", A, 2000));
    T_EQ(h.calls, 400);
    T_EQ(ASK(&k, &h, people_list(k.s, 10, on_json, &h)), 0);
    T_EQ(count(json_get(h.doc, "callers")), 1);
    heard_free(&h);
    kit_done(&k);
}

static int fill_disk(struct kit_op *o, sqlite3 *db)
{
    char sql[64];

    (void)snprintf(sql, sizeof sql, "PRAGMA max_page_count=%lld",
                   o->n ? 1000000000 : kit_int(db, "PRAGMA page_count"));
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : ERR_IO;
}

/* Rows that are retried wait for room, those that answer a person fail, and nothing is written in half. */
static void disk_full(void)
{
    static char big[60000];
    struct people_update u = {.note = str_make(big, 8000)};
    struct kit k;
    struct heard h = {0}, wait = {0}, code = {0};
    struct kit_op full = {.fn = fill_disk}, room = {.fn = fill_disk, .n = 1};
    unsigned done = 0;

    memset(big, 'y', sizeof big);
    kit_init(&k);
    kit_open(&k, 0);
    T_OK(seen(&k, &h, "", A, 1000));
    T_OK(kit_push(&k, &full, STORE_READ, &done, NULL));
    T_TRUE(kit_wait(&k, &done, 1, 5000));
    T_OK(people_update(k.s, STR(A), &u, on_rc, &wait));
    T_FALSE(kit_wait(&k, &wait.n, 1, 300));
    for (int i = 0; i < 40 && code.rc == 0; i++) {
        char digits[8], who[220];

        (void)snprintf(digits, sizeof digits, "%06d", i);
        (void)snprintf(who, sizeof who, "telegram:%0180d", i);
        code.n = 0;
        T_OK(people_code_make(k.s, str_of(who), STR(""), str_of(digits), 1, on_rc, &code));
        T_TRUE(kit_wait(&k, &code.n, 1, 5000));
    }
    T_EQ(code.rc, ERR_SQLITE - SQLITE_FULL);
    T_EQ(wait.n, 0);
    T_OK(kit_push(&k, &room, STORE_READ, &done, NULL));
    T_TRUE(kit_wait(&k, &wait.n, 1, 10000));
    T_OK(wait.rc);
    T_EQ(ASK(&k, &h, people_get(k.s, STR(A), on_json, &h)), 0);
    T_EQ(json_get_str(h.doc, "notes").n, 8000);
    heard_free(&h);
    kit_done(&k);
}

static int try_all(struct kit *k, struct heard *h, int what)
{
    struct people_update u = {.name = STR("N"), .note = STR("n")};
    struct people_message m = {STR("telegram:1"), STR("s"), true, STR("t"), 5};
    struct str ids[] = {STR("voice:" A), STR("telegram:1")};
    struct people_group g = {ids, 2};

    switch (what) {
    case 0: return people_seen(k->s, STR_NONE, STR(A), 9, on_seen, h);
    case 1: return people_update(k->s, STR(A), &u, on_rc, h);
    case 2: return people_set_config_links(k->s, &g, 1, on_rc, h);
    case 3: return people_link(k->s, STR(A), STR("telegram:2"), "api", 5, on_json, h);
    case 4: return people_unlink(k->s, STR(A), STR("telegram:2"), on_json, h);
    case 5: return people_code_make(k->s, STR("telegram:2"), STR(""), STR("123456"), 99, on_rc, h);
    case 6: return people_code_use(k->s, STR("telegram:3"), STR("123456"), 5, on_code, h);
    case 7: return people_message(k->s, &m, on_rc, h);
    case 8: return people_history(k->s, STR(A), 5, 5, on_json, h);
    case 9: return people_list(k->s, 5, on_json, h);
    case 10: return people_get(k->s, STR(A), on_json, h);
    case 11: return people_export(k->s, STR(A), on_json, h);
    case 12: return people_search(k->s, STR("x"), 5, on_json, h);
    case 13: return people_missed(k->s, 5, on_json, h);
    case 14: return people_expire_turns(k->s, 5, on_rc, h);
    case 15: return people_backup(k->s, on_json, h);
    case 16: return people_seen(k->s, STR_NONE, STR("anonymous"), 9, on_seen, h);
    default: return people_forget(k->s, STR(A), false, on_json, h);
    }
}

/* Every allocation of the loop thread fails once: nothing is queued then, nothing leaks, and it works after. */
static void out_of_memory(void)
{
    struct kit k;

    kit_init(&k);
    kit_open(&k, 0);
    for (int what = 0; what <= 17; what++) {
        for (unsigned long n = 1; n < 50; n++) {
            struct heard h = {0};
            int rc;

            if (what == 17) /* who was forgotten is there again */
                T_OK(seen(&k, &h, "", A, 9));
            h.n = 0;
            (void)mem_fault_after(n);
            rc = try_all(&k, &h, what);
            if (rc == 0 && what < 17)
                (void)mem_fault_after(0);
            if (rc == 0) {
                /* The chain of a forgetting goes on in callbacks of this thread. */
                WAIT(&k, &h);
                (void)mem_fault_after(0);
                rc = h.rc;
            }
            (void)mem_fault_after(0);
            T_TRUE(rc == 0 || rc == ERR_NOMEM);
            heard_free(&h);
            if (rc == 0)
                break;
        }
    }
    kit_done(&k);
}

static void nobody_listens(void)
{
    struct kit k;
    struct heard h = {0};

    kit_init(&k);
    kit_open(&k, 0);
    T_OK(people_seen(k.s, STR_NONE, STR(A), 9, NULL, NULL));
    T_OK(people_link(k.s, STR(A), STR("telegram:1"), "api", 1, NULL, NULL));
    T_OK(people_code_use(k.s, STR("telegram:1"), STR("123456"), 1, NULL, NULL));
    T_OK(people_expire_turns(k.s, 5, NULL, NULL));
    T_OK(people_forget(k.s, STR(A), false, NULL, NULL));
    T_OK(people_list(k.s, 5, on_json, &h));
    WAIT(&k, &h);
    heard_free(&h);
    kit_close(&k);
    kit_done(&k);
}

/* Who wrote last in a session, and where somebody wrote last. */
static void chats_by_session_and_identity(void)
{
    struct kit k;
    struct heard h = {0};
    struct people_message m = {STR("telegram:1"), STR("agent:a"), true, STR("t"), 5};

    kit_init(&k);
    kit_open(&k, 0);
    T_EQ(ASK(&k, &h, people_message(k.s, &m, on_rc, &h)), 0);
    m.identity = STR("telegram:2");
    T_EQ(ASK(&k, &h, people_message(k.s, &m, on_rc, &h)), 0);
    m.identity = STR("telegram:1");
    m.session_key = STR("agent:b");
    T_EQ(ASK(&k, &h, people_message(k.s, &m, on_rc, &h)), 0);
    m.identity = STR("telegram:3");
    m.from_them = false;
    T_EQ(ASK(&k, &h, people_message(k.s, &m, on_rc, &h)), 0);
    T_EQ(ASK(&k, &h, people_chat(k.s, STR("agent:a"), on_json, &h)), 0);
    T_STR_EQ(h.json, "{\"identity\":\"telegram:2\",\"session_key\":\"agent:a\"}");
    T_EQ(ASK(&k, &h, people_chat(k.s, STR("telegram:1"), on_json, &h)), 0);
    T_STR_EQ(h.json, "{\"identity\":\"telegram:1\",\"session_key\":\"agent:b\"}");
    T_EQ(ASK(&k, &h, people_chat(k.s, STR("telegram:3"), on_json, &h)), 0);
    T_STR_EQ(h.json, "{}");
    T_EQ(ASK(&k, &h, people_chat(k.s, STR(""), on_json, &h)), 0);
    T_STR_EQ(h.json, "{}");
    heard_free(&h);
    kit_done(&k);
}

int main(void)
{
    T_RUN(chats_by_session_and_identity);
    T_RUN(callers_are_known_again);
    T_RUN(what_they_say_of_themselves);
    T_RUN(history_of_a_person);
    T_RUN(words_are_found);
    T_RUN(past_calls_by_pages);
    T_RUN(missed_calls);
    T_RUN(retention_of_persons);
    T_RUN(two_processes);
    T_RUN(disk_full);
    T_RUN(out_of_memory);
    T_RUN(nobody_listens);
    return T_DONE();
}
