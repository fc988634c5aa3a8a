/* SPDX-License-Identifier: MIT */
#include "memory/schema.h"
#include "memory/people.h"
#include "plugin/base/json.h"
#include "tests/unit/people_kit.h"

#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>

#define A "+15557654321"
#define B "+15550000002"

/* How often the bytes stand in a file, read as anybody would; either case of letters. */
static unsigned in_file(const struct kit *k, const char *name, const char *needle)
{
    char path[300];
    size_t n = 0, cap = 1 << 16, len = strlen(needle);
    char *all = malloc(cap);
    unsigned found = 0;
    ssize_t got;
    int fd;

    kit_path(k, name, path, sizeof path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        free(all);
        return 0;
    }
    while ((got = read(fd, all + n, cap - n)) > 0) {
        n += (size_t)got;
        if (n == cap)
            all = realloc(all, cap *= 2);
    }
    (void)close(fd);
    for (size_t i = 0; i + len <= n; i++)
        if ((all[i] | 32) == (needle[0] | 32) && strncasecmp(all + i, needle, len) == 0)
            found++;
    free(all);
    return found;
}

static unsigned in_files(const struct kit *k, const char *needle)
{
    return in_file(k, "voice.db", needle) + in_file(k, "voice.db-wal", needle) +
           in_file(k, "voice.db-shm", needle);
}

static void everything_about(struct kit *k, const char *call, uint64_t at)
{
    struct heard h = {0};
    char text[100], id[60];
    struct outbox_row out = {.id = str_of(id), .call = str_of(call), .kind = STR("late"), .state = STR("due"),
                             .payload = STR("{\"text\":\"Quixotberry\"}")};
    struct handoff_row hand = {.id = str_of(id), .call = str_of(call), .channel = STR("telegram"),
                               .to = STR("777123777"), .state = STR("asked"), .reason = STR("Quixotberry")};
    struct journal_tool tool = {.tool_call = STR("t1"), .name = STR("ask"), .state = STR("closed"),
                                .arguments = STR("{\"request\":\"Quixotberry\"}"), .output = STR("Quixotberry")};

    (void)snprintf(text, sizeof text, "I told you of the Quixotberry in %s", call);
    whole_call(k, call, A, at, text);
    T_OK(journal_hop(k->s, str_of(call), at, STR("note"), STR("Quixotberry")));
    T_EQ(ASK(k, &h, journal_tool(k->s, str_of(call), &tool, on_rc, &h)), 0);
    (void)snprintf(id, sizeof id, "out_%s", call);
    T_EQ(ASK(k, &h, outbox_put(k->s, &out, on_rc, &h)), 0);
    (void)snprintf(id, sizeof id, "hof_%s", call);
    T_EQ(ASK(k, &h, handoff_put(k->s, &hand, on_rc, &h)), 0);
    T_EQ(ASK(k, &h, people_set_summary(k->s, str_of(call), STR("Quixotberry"), "done", on_rc, &h)), 0);
}

/* Person A with all that can hang on one, between calls of others. */
static void fill(struct kit *k, unsigned calls, char *person, size_t cap)
{
    struct people_update u = {.name = STR("Zaphodina"), .notes = STR("likes Quixotberry")};
    struct outbox_row alone = {.id = STR("out_alone"), .kind = STR("missed"), .state = STR("due"),
                               .payload = STR("{\"number\":\"" A "\"}")};
    struct heard h = {0};
    char call[40], number[20];

    for (unsigned i = 0; i < calls; i++) {
        (void)snprintf(call, sizeof call, "call_mine%05u", i);
        everything_about(k, call, 1000 + i);
        (void)snprintf(call, sizeof call, "call_other%05u", i);
        (void)snprintf(number, sizeof number, "+1666%07u", i % 50);
        whole_call(k, call, number, 1000 + i, "nothing of interest, but it shall be found");
    }
    T_EQ(ASK(k, &h, people_update(k->s, STR(A), &u, on_rc, &h)), 0);
    T_EQ(ASK(k, &h, people_link(k->s, STR(A), STR("telegram:777123777"), "code", 5, on_json, &h)), 0);
    T_EQ(ASK(k, &h, people_code_make(k->s, STR("telegram:777123777"), STR("call_mine00000"), STR("123456"),
                                     99, on_rc, &h)), 0);
    T_EQ(ASK(k, &h, outbox_put(k->s, &alone, on_rc, &h)), 0);
    message(k, "telegram:777123777", true, "Quixotberry in chat", 50);
    T_OK(seen(k, &h, "", A, 9000));
    T_TRUE(str_copy(person, cap, str_of(h.person)));
    heard_free(&h);
}

static void nothing_is_left(void)
{
    static const char *const needles[] = {A, "Zaphodina", "Quixotberry", "call_mine", "777123777"};
    struct kit k;
    struct heard h = {0};
    char person[40];
    sqlite3 *db;

    kit_init(&k);
    kit_open(&k, 0);
    fill(&k, 300, person, sizeof person);
    for (int i = 0; i < 5; i++)
        T_GT(in_files(&k, needles[i]), 0);
    T_GT(in_files(&k, person), 0);
    db = kit_beside(&k);
    T_EQ(kit_int(db, "SELECT count(*) FROM claim"), 600);
    (void)sqlite3_close(db);
    T_EQ(ASK(&k, &h, people_backup(k.s, on_json, &h)), 0);
    T_EQ(ASK(&k, &h, people_forget(k.s, STR(A), false, on_json, &h)), 0);
    for (int i = 0; i < 5; i++) {
        if (in_files(&k, needles[i]))
            printf("  %s: db %u wal %u\n", needles[i], in_file(&k, "voice.db", needles[i]),
                   in_file(&k, "voice.db-wal", needles[i]));
        T_EQ(in_files(&k, needles[i]), 0);
    }
    T_EQ(in_files(&k, person), 0);
    text_is(h.doc, "person", person);
    T_EQ(count(json_get(h.doc, "calls")), 300);
    T_EQ(count(json_get(h.doc, "numbers")), 1);
    T_EQ(json_get_int(json_get(h.doc, "erased"), "call", 0), 300);
    T_EQ(json_get_int(json_get(h.doc, "erased"), "turn", 0), 600);
    T_EQ(json_get_int(json_get(h.doc, "erased"), "message", 0), 1);
    T_EQ(json_get_int(json_get(h.doc, "erased"), "outbox", 0), 301);
    T_EQ(json_get_int(json_get(h.doc, "erased"), "person", 0), 1);
    T_EQ(count(json_get(h.doc, "left")), 1);
    T_HAS(h.json, "/backup-");
    db = kit_beside(&k);
    T_EQ(kit_int(db, "SELECT count(*) FROM claim"), 600); /* hashes */
    T_EQ(kit_int(db, "SELECT count(*) FROM call"), 300);
    T_EQ(kit_int(db, "SELECT count(*) FROM caller"), 50);
    T_EQ(sqlite3_exec(db, "INSERT INTO turn_fts(turn_fts, rank) VALUES('integrity-check', 1)", NULL, NULL,
                      NULL), SQLITE_OK);
    (void)sqlite3_close(db);
    T_EQ(ASK(&k, &h, people_search(k.s, STR("interest"), 1000, on_json, &h)), 0);
    T_EQ(count(json_get(h.doc, "hits")), 300);
    T_EQ(ASK(&k, &h, people_forget(k.s, STR(A), false, on_json, &h)), ERR_NOT_FOUND);
    /* The same call again is a duplicate still, here and after a restart. */
    for (int i = 0; i < 2; i++) {
        T_TRUE(i == 1 || journal_known(k.s, STR("rtc_call_mine00007"), STR_NONE));
        kit_close(&k);
        kit_open(&k, 0);
    }
    T_EQ(ASK(&k, &h, journal_query(k.s, JOURNAL_Q_CALL, STR("rtc_call_mine00007"), 1, on_json, &h)),
         ERR_NOT_FOUND);
    heard_free(&h);
    kit_done(&k);
}

static void a_live_call_keeps_its_caller(void)
{
    struct kit k;
    struct heard h = {0};
    sqlite3 *db;

    kit_init(&k);
    kit_open(&k, 0);
    whole_call(&k, "call_1", A, 1000, "one");
    claim_call(&k, "call_2", A, 2000); /* nobody asked who it is, yet */
    T_EQ(ASK(&k, &h, people_forget(k.s, STR(A), false, on_json, &h)), ERR_BAD_STATE);
    T_EQ(ASK(&k, &h, people_forget_look(k.s, STR(A), false, on_json, &h)), ERR_BAD_STATE);
    db = kit_beside(&k);
    T_EQ(kit_int(db, "SELECT count(*) FROM call"), 2);
    T_EQ(kit_int(db, "SELECT count(*) FROM turn"), 2);
    (void)sqlite3_close(db);
    end_call(&k, "call_2", 0, 3000);
    T_EQ(ASK(&k, &h, people_forget_look(k.s, STR(A), false, on_json, &h)), 0);
    T_EQ(count(json_get(h.doc, "calls")), 2);
    T_EQ(ASK(&k, &h, people_forget_look(k.s, STR(B), false, on_json, &h)), ERR_NOT_FOUND);
    T_EQ(ASK(&k, &h, people_forget(k.s, STR(A), false, on_json, &h)), 0);
    T_EQ(count(json_get(h.doc, "calls")), 2);
    T_EQ(in_files(&k, A), 0);
    heard_free(&h);
    kit_done(&k);
}

static void one_number_of_two(void)
{
    struct kit k;
    struct heard h = {0};
    struct people_update u = {.name = STR("Zaphodina")};

    kit_init(&k);
    kit_open(&k, 0);
    whole_call(&k, "call_a", A, 1000, "Quixotberry");
    whole_call(&k, "call_b", B, 2000, "keep this");
    T_EQ(ASK(&k, &h, people_link(k.s, STR(A), STR("telegram:777"), "code", 5, on_json, &h)), 0);
    T_EQ(ASK(&k, &h, people_link(k.s, STR("telegram:777"), STR("voice:" B), "api", 6, on_json, &h)), 0);
    T_EQ(ASK(&k, &h, people_update(k.s, STR(A), &u, on_rc, &h)), 0);
    T_EQ(ASK(&k, &h, people_forget(k.s, STR("telegram:777"), true, on_json, &h)), ERR_INVALID);
    T_EQ(ASK(&k, &h, people_forget_look(k.s, STR(A), true, on_json, &h)), 0);
    T_EQ(count(json_get(h.doc, "calls")), 1);
    T_TRUE(str_eqc(json_str(json_first(json_get(h.doc, "calls"))), "call_a"));
    T_EQ(ASK(&k, &h, people_forget_look(k.s, STR(A), false, on_json, &h)), 0);
    T_EQ(count(json_get(h.doc, "calls")), 2);
    T_EQ(ASK(&k, &h, people_forget(k.s, STR(A), true, on_json, &h)), 0);
    T_EQ(count(json_get(h.doc, "calls")), 1);
    T_EQ(in_files(&k, A), 0);
    T_EQ(in_files(&k, "Quixotberry"), 0);
    T_GT(in_files(&k, "keep this"), 0);
    T_EQ(ASK(&k, &h, people_get(k.s, STR(B), on_json, &h)), 0);
    text_is(h.doc, "name", "Zaphodina");
    T_EQ(count(json_get(h.doc, "identities")), 2);
    T_EQ(count(json_get(h.doc, "calls")), 1);
    /* The last one: the person goes along, but for the chat. */
    T_EQ(ASK(&k, &h, people_forget(k.s, STR(B), true, on_json, &h)), 0);
    T_EQ(ASK(&k, &h, people_get(k.s, STR("telegram:777"), on_json, &h)), 0);
    heard_free(&h);
    kit_done(&k);
}

/* Another process reads in the log: it is said what is left, and gone once that one lets go. */
static void a_reader_in_the_way(void)
{
    struct kit k;
    struct heard h = {0};
    sqlite3 *db;

    kit_init(&k);
    kit_open(&k, 0);
    whole_call(&k, "call_1", A, 1000, "Quixotberry");
    db = kit_beside(&k);
    T_EQ(sqlite3_exec(db, "BEGIN; SELECT count(*) FROM call", NULL, NULL, NULL), SQLITE_OK);
    T_OK(people_forget(k.s, STR(A), false, on_json, &h));
    T_FALSE(kit_wait(&k, &h.n, 1, 700));
    /* Claims go on meanwhile. */
    claim_call(&k, "call_9", B, 2000);
    T_EQ(h.n, 0);
    T_EQ(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    T_TRUE(kit_wait(&k, &h.n, 1, 5000));
    T_OK(h.rc);
    T_EQ(count(json_get(h.doc, "left")), 0);
    T_EQ(in_files(&k, "Quixotberry"), 0);
    (void)sqlite3_close(db);
    heard_free(&h);
    kit_done(&k);
}

/* Forgets, and dies when that many of its operations were answered. */
static void forget_and_die(struct kit *k, unsigned answers)
{
    struct heard h = {0};
    struct pollfd p = {k->fd, POLLIN, 0};
    uint64_t got;

    kit_open(k, 0);
    if (people_forget(k->s, STR(A), false, on_json, &h) < 0)
        _exit(1);
    for (unsigned n = 0; h.n == 0 && n < answers && poll(&p, 1, 10000) == 1; n++) {
        (void)!read(k->fd, &got, sizeof got);
        store_poll(k->s);
    }
    (void)kill(getpid(), SIGKILL);
}

static unsigned marks(const struct kit *k)
{
    unsigned n = 0;
    DIR *d = opendir(k->dir);

    for (struct dirent *e = d != NULL ? readdir(d) : NULL; e != NULL; e = readdir(d))
        n += strstr(e->d_name, ".forget-") != NULL;
    if (d != NULL)
        (void)closedir(d);
    return n;
}

/* The database of a store that is closed, in another folder. */
static void copy(const struct kit *from, const struct kit *to)
{
    char path[300], bytes[65536];
    ssize_t n;
    int in, out;

    kit_path(from, "voice.db", path, sizeof path);
    in = open(path, O_RDONLY | O_CLOEXEC);
    kit_path(to, "voice.db", path, sizeof path);
    out = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    T_MUST(in >= 0 && out >= 0);
    while ((n = read(in, bytes, sizeof bytes)) > 0)
        T_EQ(write(out, bytes, (size_t)n), n);
    (void)close(in);
    (void)close(out);
}

/* Whoever dies in the middle of forgetting: the next start finishes, to the last byte, whatever was left. */
static void cut_off(void)
{
    static const char *const needles[] = {A, "Zaphodina", "Quixotberry", "call_mine", "777123777"};
    struct heard h = {0};
    char person[40];
    struct kit filled, k;

    kit_init(&filled);
    kit_open(&filled, 0);
    fill(&filled, 66, person, sizeof person);
    kit_close(&filled);
    for (unsigned answers = 1; answers < 6; answers++) {
        unsigned left = 0;
        int status = 0;
        pid_t pid;

        kit_init(&k);
        copy(&filled, &k);
        fflush(stdout);
        pid = fork();
        T_MUST(pid >= 0);
        if (pid == 0)
            forget_and_die(&k, answers);
        T_EQ(waitpid(pid, &status, 0), pid);
        T_TRUE(WIFSIGNALED(status));
        T_EQ(marks(&k), 1);
        for (int i = 0; i < 5; i++)
            left += in_files(&k, needles[i]);
        T_TRUE(left > 0 || answers > 2);
        kit_open(&k, 0);
        memset(&h, 0, sizeof h);
        T_EQ(ASK(&k, &h, people_forget_finish(k.s, on_json, &h)), 0);
        T_EQ(count(json_get(h.doc, "left")), 0);
        T_EQ(marks(&k), 1);
        people_forget_over(k.s, true);
        T_EQ(marks(&k), 0);
        for (int i = 0; i < 5; i++)
            T_EQ(in_files(&k, needles[i]), 0);
        T_EQ(ASK(&k, &h, people_get(k.s, STR(A), on_json, &h)), ERR_NOT_FOUND);
        T_EQ(ASK(&k, &h, people_search(k.s, STR("interest"), 1000, on_json, &h)), 0);
        T_EQ(count(json_get(h.doc, "hits")), 66);
        heard_free(&h);
        kit_done(&k);
    }
    kit_open(&filled, 0);
    kit_done(&filled);
}

/* Of two that live, the one that starts leaves alone what the other is at; what could not be cleaned stays marked. */
static void the_marks(void)
{
    struct kit k, other;
    struct heard h = {0};

    kit_init(&k);
    kit_open(&k, 0);
    kit_init_beside(&other, &k);
    whole_call(&k, "call_1", A, 1000, "Quixotberry");
    T_EQ(ASK(&k, &h, people_forget(k.s, STR(A), false, on_json, &h)), 0);
    T_EQ(marks(&k), 1);
    kit_open(&other, 0);
    T_EQ(people_forget_finish(other.s, on_json, &h), ERR_NOT_FOUND);
    kit_close(&other);
    people_forget_over(k.s, false); /* elsewhere something was left */
    T_EQ(marks(&k), 1);
    kit_close(&k);
    kit_open(&other, 0);
    T_EQ(ASK(&other, &h, people_forget_finish(other.s, on_json, &h)), 0);
    people_forget_over(other.s, true);
    T_EQ(marks(&other), 0);
    T_EQ(people_forget_finish(other.s, on_json, &h), ERR_NOT_FOUND);
    heard_free(&h);
    (void)close(k.fd);
    kit_done(&other);
}

static void a_backup_is_whole(void)
{
    struct kit k;
    struct heard h = {0};
    char path[300];
    struct stat st;
    sqlite3 *db = NULL;

    kit_init(&k);
    kit_open(&k, 0);
    whole_call(&k, "call_1", A, 1000, "Quixotberry");
    T_EQ(ASK(&k, &h, people_backup(k.s, on_json, &h)), 0);
    T_TRUE(str_copy(path, sizeof path, json_get_str(h.doc, "path")));
    T_EQ(stat(path, &st), 0);
    T_EQ(st.st_mode & 0777, 0600);
    T_EQ(sqlite3_open(path, &db), SQLITE_OK);
    T_EQ(kit_int(db, "SELECT count(*) FROM turn"), 2);
    T_EQ(kit_int(db, "PRAGMA user_version"), STORE_SCHEMA);
    T_EQ(kit_int(db, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check='ok'"), 1);
    (void)sqlite3_close(db);
    T_EQ(ASK(&k, &h, people_backup(k.s, on_json, &h)), 0); /* within the same second: another name */
    T_FALSE(str_eqc(json_get_str(h.doc, "path"), path));
    heard_free(&h);
    kit_done(&k);
}

/* How many claims were taken, one after another, while the file was copied; a second copy is refused meanwhile. */
static unsigned claims_beside_backup(struct kit *k, struct heard *h)
{
    static unsigned n;
    struct heard second = {0};
    uint64_t begun, most = 0;
    unsigned first = n;
    char id[40];

    heard_free(h);
    T_OK(people_backup(k->s, on_json, h));
    T_EQ(people_backup(k->s, on_json, &second), ERR_BAD_STATE);
    for (begun = clock_mono_ms(); h->n == 0 && clock_mono_ms() - begun < 20000; n++) {
        uint64_t from = clock_mono_ms();

        (void)snprintf(id, sizeof id, "call_%u", n);
        claim_call(k, id, A, 1000);
        if (clock_mono_ms() - from > most)
            most = clock_mono_ms() - from;
    }
    printf("  80 MB copied in %llu ms; %u claims meanwhile, the slowest %llu ms\n",
           (unsigned long long)(clock_mono_ms() - begun), n - first, (unsigned long long)most);
    T_OK(h->rc);
    return n - first;
}

/* While a big file is copied claims go on; a second copy is refused; closing stops it. */
static void backups_stall_nobody(void)
{
    struct kit k;
    struct heard h = {0};
    unsigned claims = 0, parts = 0;
    DIR *d;
    struct dirent *entry;

    kit_init(&k);
    kit_open(&k, 0);
    T_OK(kit_sql(&k, "CREATE TABLE ballast(b BLOB)"));
    T_OK(kit_sql(&k, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<4000)"
                     " INSERT INTO ballast SELECT randomblob(20000) FROM n"));
    /* On the store's thread the first claim would wait for all of it, each time, and no other come. */
    for (unsigned tries = 0; tries < 5 && claims <= 3; tries++)
        claims = claims_beside_backup(&k, &h);
    T_GT(claims, 3);
    heard_free(&h);
    h.n = 0;
    T_OK(people_backup(k.s, on_json, &h));
    kit_close(&k);
    T_EQ(h.n, 1);
    d = opendir(k.dir);
    while (d != NULL && (entry = readdir(d)) != NULL)
        parts += strncmp(entry->d_name, "backup-part-", 12) == 0;
    (void)closedir(d);
    T_EQ(parts, 0);
    heard_free(&h);
    kit_done(&k);
}

int main(void)
{
    T_RUN(nothing_is_left);
    T_RUN(a_live_call_keeps_its_caller);
    T_RUN(one_number_of_two);
    T_RUN(a_reader_in_the_way);
    T_RUN(cut_off);
    T_RUN(the_marks);
    T_RUN(a_backup_is_whole);
    T_RUN(backups_stall_nobody);
    return T_DONE();
}
