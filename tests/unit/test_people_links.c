/* SPDX-License-Identifier: MIT */
/* One person of several identities: links by hand, by configuration, by a code that is said in a call. */
#include "memory/people.h"
#include "tests/unit/people_kit.h"

#define A "+15550000001"
#define B "+15550000002"
#define C "+15550000003"

/* ---- Links. ---- */

static void two_become_one(void)
{
    struct kit k;
    struct heard h = {0}, a = {0}, b = {0};
    struct people_update u = {.name = STR("Bob"), .note = STR("of b")};

    kit_init(&k);
    kit_open(&k, 0);
    whole_call(&k, "call_a", A, 1000, "first of a");
    whole_call(&k, "call_b", B, 2000, "first of b");
    T_OK(seen(&k, &a, "call_a", A, 1000));
    T_OK(seen(&k, &b, "call_b", B, 2000));
    T_STR_NE(a.person, b.person);
    T_EQ(ASK(&k, &h, people_update(k.s, STR(B), &u, on_rc, &h)), 0);
    T_EQ(ASK(&k, &h, people_link(k.s, STR(A), STR("telegram:777"), "code", 3000, on_json, &h)), 0);
    text_is(h.doc, "person", a.person);
    T_EQ(ASK(&k, &h, people_link(k.s, STR(B), STR("telegram:777"), "api", 3001, on_json, &h)), 0);
    text_is(h.doc, "person", a.person); /* the older one */
    text_is(h.doc, "name", "Bob");
    T_EQ(count(json_get(h.doc, "numbers")), 2);
    T_OK(seen(&k, &h, "", B, 4000));
    T_STR_EQ(h.person, a.person);
    T_STR_EQ(h.ids, "voice:" A " telegram:777 ");
    T_STR_EQ(h.sources, "code code ");
    T_EQ(h.calls, 2);
    T_EQ(h.first, 1000);
    T_EQ(ASK(&k, &h, people_get(k.s, str_of(b.person), on_json, &h)), ERR_NOT_FOUND);
    T_EQ(ASK(&k, &h, people_get(k.s, STR("telegram:777"), on_json, &h)), 0);
    T_EQ(count(json_get(h.doc, "calls")), 2);
    /* The one in the middle goes: the others stay one, and history stays with them. */
    T_EQ(ASK(&k, &h, people_unlink(k.s, STR(A), STR("telegram:777"), on_json, &h)), 0);
    T_EQ(count(json_get(h.doc, "identities")), 2);
    T_OK(seen(&k, &h, "", A, 5000));
    T_STR_EQ(h.ids, "voice:" B " ");
    T_EQ(ASK(&k, &h, people_unlink(k.s, STR(A), STR("telegram:777"), on_json, &h)), ERR_NOT_FOUND);
    T_EQ(ASK(&k, &h, people_unlink(k.s, STR(A), STR("voice:" B), on_json, &h)), 0);
    T_EQ(ASK(&k, &h, people_get(k.s, STR(B), on_json, &h)), 0);
    T_EQ(count(json_get(h.doc, "calls")), 0);
    T_EQ(ASK(&k, &h, people_get(k.s, STR(A), on_json, &h)), 0);
    T_EQ(count(json_get(h.doc, "calls")), 2);
    T_EQ(ASK(&k, &h, people_unlink(k.s, STR(A), STR("voice:" A), on_json, &h)), ERR_BAD_STATE);
    /* What is no identity, no source, nobody. */
    T_EQ(people_link(k.s, STR(A), STR("777"), "api", 1, on_json, &h), ERR_INVALID);
    T_EQ(people_link(k.s, STR(A), STR("voice:12"), "api", 1, on_json, &h), ERR_INVALID);
    T_EQ(people_link(k.s, STR(A), STR("voice:anonymous"), "api", 1, on_json, &h), ERR_INVALID);
    T_EQ(people_link(k.s, STR(A), STR("a b:1"), "api", 1, on_json, &h), ERR_INVALID);
    T_EQ(people_link(k.s, STR(A), STR("telegram:1"), "magic", 1, on_json, &h), ERR_INVALID);
    T_EQ(ASK(&k, &h, people_link(k.s, STR(C), STR("telegram:1"), "api", 1, on_json, &h)), ERR_NOT_FOUND);
    heard_free(&h);
    kit_done(&k);
}

static void links_have_a_limit(void)
{
    struct kit k;
    struct heard h = {0};
    char id[40];

    kit_init(&k);
    kit_open(&k, 0);
    T_OK(seen(&k, &h, "", A, 1000));
    for (unsigned i = 1; i < PEOPLE_IDENTITIES_MAX; i++) {
        (void)snprintf(id, sizeof id, "telegram:%u", i);
        T_EQ(ASK(&k, &h, people_link(k.s, STR(A), str_of(id), "api", i, on_json, &h)), 0);
    }
    T_EQ(ASK(&k, &h, people_link(k.s, STR(A), STR("telegram:x"), "api", 99, on_json, &h)), ERR_FULL);
    heard_free(&h);
    kit_done(&k);
}

static int set_groups(struct kit *k, const struct people_group *g, unsigned n)
{
    struct heard h = {0};

    T_OK(people_set_config_links(k->s, g, n, on_rc, &h));
    WAIT(k, &h);
    return h.rc;
}

static void config_links_are_a_set(void)
{
    struct str ann[] = {STR("voice:" A), STR("telegram:1"), STR("nonsense"), STR("voice:" B)};
    struct str bob[] = {STR("telegram:2"), STR("voice:" C), STR("telegram:1")};
    struct people_group both[] = {{ann, 4}, {bob, 3}}, moved[] = {{ann, 2}, {bob, 2}};
    struct str ring[] = {STR("telegram:1"), STR("voice:" A)};
    struct people_group turned[] = {{ring, 2}, {bob, 2}};
    struct kit k;
    struct heard h = {0}, a = {0}, b = {0};

    kit_init(&k);
    kit_open(&k, 0);
    whole_call(&k, "call_a", A, 1000, "by a");
    whole_call(&k, "call_b", B, 2000, "by b");
    T_OK(set_groups(&k, both, 2));
    T_OK(seen(&k, &a, "", A, 3000));
    T_STR_EQ(a.ids, "voice:" B " telegram:1 ");
    T_STR_EQ(a.sources, "config config ");
    T_OK(seen(&k, &h, "", C, 3000));
    T_STR_EQ(h.ids, "telegram:2 ");
    T_EQ(ASK(&k, &h, people_link(k.s, STR(A), STR("discord:9"), "code", 3100, on_json, &h)), 0);
    /* Said again: the same persons. */
    T_OK(set_groups(&k, both, 2));
    T_OK(seen(&k, &h, "", B, 4000));
    T_STR_EQ(h.person, a.person);
    /* B is no longer said to be A: its calls go with it; A's code stays. */
    T_OK(set_groups(&k, moved, 2));
    T_OK(seen(&k, &b, "", B, 5000));
    T_STR_NE(b.person, a.person);
    T_STR_EQ(b.ids, "");
    T_EQ(ASK(&k, &h, people_get(k.s, STR(B), on_json, &h)), 0);
    T_EQ(count(json_get(h.doc, "calls")), 1);
    text_is(json_first(json_get(h.doc, "calls")), "call", "call_b");
    T_OK(seen(&k, &h, "", A, 5000));
    T_STR_EQ(h.person, a.person);
    T_STR_EQ(h.ids, "discord:9 telegram:1 "); /* by age */
    T_STR_EQ(h.sources, "code config ");
    /* Another order is no change. */
    T_OK(set_groups(&k, turned, 2));
    T_OK(seen(&k, &h, "", A, 5000));
    T_STR_EQ(h.person, a.person);
    /* None at all: what others said stays. */
    T_OK(set_groups(&k, NULL, 0));
    T_OK(seen(&k, &h, "", A, 6000));
    T_STR_EQ(h.person, a.person);
    T_STR_EQ(h.ids, "discord:9 ");
    T_OK(seen(&k, &h, "", C, 6000));
    T_STR_EQ(h.ids, "");
    heard_free(&h);
    kit_done(&k);
}

/* ---- Codes. ---- */

static int make_code(struct kit *k, const char *identity, const char *code, uint64_t until)
{
    struct heard h = {0};

    T_OK(people_code_make(k->s, str_of(identity), STR("call_c"), str_of(code), until, on_rc, &h));
    WAIT(k, &h);
    return h.rc;
}

static int use_code(struct kit *k, struct heard *h, const char *other, const char *code, uint64_t now)
{
    h->n = 0;
    T_OK(people_code_use(k->s, str_of(other), str_of(code), now, on_code, h));
    WAIT(k, h);
    return h->rc;
}

static void codes_link_once(void)
{
    struct kit k;
    struct heard h = {0};
    sqlite3 *db;

    kit_init(&k);
    kit_open(&k, 0);
    T_OK(make_code(&k, "voice:" A, "000001", 9000));
    T_OK(make_code(&k, "voice:" A, "123456", 9000)); /* the older one dies */
    T_EQ(make_code(&k, "voice:" B, "123456", 9000), ERR_DUPLICATE);
    T_EQ(people_code_make(k.s, STR("voice:" A), STR_NONE, STR("12345"), 1, on_rc, &h), ERR_INVALID);
    T_EQ(people_code_make(k.s, STR("nobody"), STR_NONE, STR("123456"), 1, on_rc, &h), ERR_INVALID);
    T_EQ(people_code_use(k.s, STR("telegram:7"), STR("12345x"), 1, on_code, &h), ERR_INVALID);
    db = kit_beside(&k);
    T_EQ(kit_int(db, "SELECT count(*) FROM link_code WHERE length(hash)=32 AND length(salt)=16"), 1);
    (void)sqlite3_close(db);
    T_OK(use_code(&k, &h, "telegram:7", "000001", 1000));
    T_FALSE(h.fits);
    T_OK(use_code(&k, &h, "voice:" A, "123456", 1000)); /* one's own */
    T_FALSE(h.fits);
    T_OK(use_code(&k, &h, "telegram:7", "123456", 1000));
    T_TRUE(h.fits);
    T_STR_EQ(h.whose, "voice:" A);
    T_STR_EQ(h.call, "call_c");
    T_OK(use_code(&k, &h, "telegram:8", "123456", 1000));
    T_FALSE(h.fits);
    T_OK(seen(&k, &h, "", A, 2000));
    T_STR_EQ(h.ids, "telegram:7 ");
    T_STR_EQ(h.sources, "code ");
    /* Too late. */
    T_OK(make_code(&k, "voice:" A, "222222", 9000));
    T_OK(use_code(&k, &h, "telegram:9", "222222", 9001));
    T_FALSE(h.fits);
    kit_done(&k);
}

static void guessers_hurt_themselves_alone(void)
{
    uint64_t hour = 3600000, now = 10 * hour;
    struct kit k;
    struct heard h = {0};
    char code[8], who[32];

    kit_init(&k);
    kit_open(&k, 0);
    T_OK(make_code(&k, "voice:" A, "123456", now + 10 * hour));
    for (unsigned i = 0; i < 20; i++) {
        (void)snprintf(code, sizeof code, "%06u", i);
        T_OK(use_code(&k, &h, "telegram:666", code, now));
        T_FALSE(h.fits);
        T_EQ(h.blocked, i >= PEOPLE_CODE_TRIES);
    }
    /* Not even the right one; but for others it still fits; and for the guesser in an hour. */
    T_OK(use_code(&k, &h, "telegram:666", "123456", now + 1));
    T_TRUE(h.blocked);
    T_FALSE(h.fits);
    T_OK(use_code(&k, &h, "telegram:7", "123456", now + 2));
    T_TRUE(h.fits);
    T_OK(make_code(&k, "voice:" A, "654321", now + 10 * hour));
    T_OK(use_code(&k, &h, "telegram:666", "654321", now + hour));
    T_TRUE(h.fits);
    /* Many identities: the code dies. */
    T_OK(make_code(&k, "voice:" B, "777777", now + 10 * hour));
    for (unsigned i = 0; i < PEOPLE_CODE_TRIES_ALL; i++) {
        (void)snprintf(who, sizeof who, "voice:+1666000%04u", i);
        T_OK(use_code(&k, &h, who, "000000", now));
    }
    T_OK(use_code(&k, &h, "telegram:5", "777777", now));
    T_FALSE(h.fits);
    kit_done(&k);
}

int main(void)
{
    T_RUN(two_become_one);
    T_RUN(links_have_a_limit);
    T_RUN(config_links_are_a_set);
    T_RUN(codes_link_once);
    T_RUN(guessers_hurt_themselves_alone);
    return T_DONE();
}
