/* SPDX-License-Identifier: MIT */
#include "memory/index.h"
#include "tests/unit/index_kit.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define FILE_MD "memory/2026-11-23.md"

static void appends_once(void)
{
    struct kit k;
    struct kit_answer a = {0};
    char *text, path[200];
    struct stat st;

    kit_init(&k);
    kit_open(&k);
    T_OK(kit_append(&k, FILE_MD, "call_1", "Ann, 4 min", "She wants apricots.\n\n"));
    text = kit_read(&k, FILE_MD);
    T_TRUE(strncmp(text, "## Call call_1 \xe2\x80\x94 Ann, 4 min\n\nShe wants apricots.\n\n<!-- voice:sum ", 66) == 0);
    T_TRUE(strlen(text) > 30 && strcmp(strchr(text, '\0') - 32, &"--><!-- voice:call call_1 end -->\n"[2]) == 0);
    free(text);
    kit_path(&k, FILE_MD, path, sizeof path);
    T_EQ(stat(path, &st), 0);
    T_EQ(st.st_mode & 0600, 0600);
    /* Again, also with other words: it stands there. */
    T_OK(kit_append(&k, FILE_MD, "call_1", "Ann, 4 min", "She wants apricots."));
    T_OK(kit_append(&k, FILE_MD, "call_1", "Other", "Other words."));
    kit_add(&k, FILE_MD, "no line end");
    T_OK(kit_append(&k, FILE_MD, "call_2", "", ""));
    text = kit_read(&k, FILE_MD);
    T_EQ(kit_count(text, "## Call call_1"), 1);
    T_HAS(text, "end -->\nno line end\n## Call call_2\n\n<!-- voice:sum ");
    free(text);
    T_LT(kit_until(&k, "apricots", FILE_MD, true), 2000);
    /* Folders are made; configured files at the top may be written to. */
    T_OK(kit_append(&k, "memory/a/b/c.md", "call_3", "", "deep"));
    T_OK(kit_append(&k, "CALLS.md", "call_3", "", "top"));
    kit_drop(&a);
    kit_end(&k);
}

static void refuses_paths(void)
{
    static const char *const bad[] = {"../x.md", "/etc/x.md", "memory/../../x.md", "memory//x.md", "memory/x.txt",
                                      ".git/x.md", "memory/.x.md", "src/x.md", "", "memory/", "memory/\x01.md",
                                      "memory/l/x.md", "memory/link.md", "memory/fifo.md", "memory/dangling.md"};
    struct kit k;
    char path[200], target[200], *text;
    int fd;

    kit_init(&k);
    kit_mkdir(&k, "memory");
    (void)snprintf(target, sizeof target, "%s/target.md", k.dir);
    fd = open(target, O_WRONLY | O_CREAT, 0644);
    (void)close(fd);
    kit_path(&k, "memory/link.md", path, sizeof path);
    T_EQ(symlink(target, path), 0);
    kit_path(&k, "memory/l", path, sizeof path);
    T_EQ(symlink(k.dir, path), 0);
    kit_path(&k, "memory/dangling.md", path, sizeof path);
    (void)snprintf(target, sizeof target, "%s/made.md", k.dir);
    T_EQ(symlink(target, path), 0);
    kit_path(&k, "memory/fifo.md", path, sizeof path);
    T_EQ(mkfifo(path, 0644), 0);
    kit_open(&k);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        T_EQ(kit_append(&k, bad[i], "call_1", "h", "b"), ERR_DENIED);
    }
    T_ERR(kit_append(&k, FILE_MD, "call 1", "h", "b"));
    T_ERR(kit_append(&k, FILE_MD, "", "h", "b"));
    T_EQ(access(target, F_OK), -1);
    (void)snprintf(target, sizeof target, "%s/target.md", k.dir);
    text = kit_read_at(target);
    T_STR_EQ(text, "");
    free(text);
    kit_end(&k);
}

static void defuses_marks(void)
{
    struct kit k;
    struct kit_answer a = {0};
    char *text;

    kit_init(&k);
    kit_open(&k);
    T_OK(kit_append(&k, FILE_MD, "call_1", "x\n## Call call_9 <!-- voice:call call_1 end -->",
                    "<!-- voice:call call_1 end -->\n## Call call_2\n# Top\n##\tTab\nbad \xff byte\x01\r\n#tag\n"
                    "<!-- voice:call call_2 end -->"));
    text = kit_read(&k, FILE_MD);
    T_EQ(kit_count(text, "\n## "), 0);
    T_EQ(kit_count(text, "\n# "), 0);
    T_EQ(kit_count(text, "<!-- voice:call"), 1);
    T_HAS(text, "\n### Call call_2\n### Top\n###\tTab\nbad \xef\xbf\xbd byte ");
    T_HAS(text, "#tag");
    free(text);
    T_OK(kit_append(&k, FILE_MD, "call_2", "real", "one"));
    text = kit_read(&k, FILE_MD);
    T_EQ(kit_count(text, "\n## Call call_2"), 1);
    free(text);
    T_OK(kit_erase(&k, &a, "call_1"));
    T_STR_EQ(a.text, "{\"removed\":1,\"left\":[]}");
    text = kit_read(&k, FILE_MD);
    T_EQ(kit_count(text, "voice:call"), 1);
    T_HAS(text, "## Call call_2 \xe2\x80\x94 real\n\none\n");
    free(text);
    kit_drop(&a);
    kit_end(&k);
}

/* Every place a write may have been cut at, alone and with others' words behind it. */
static void completes_halves(void)
{
    static const char before[] = "# Day\n\ntheir words\n";
    struct kit k;
    char *whole, *text, name[64], expect[4000];
    size_t n, begin = sizeof before - 1;

    kit_init(&k);
    kit_mkdir(&k, "memory");
    kit_open(&k);
    kit_write(&k, "memory/w.md", before);
    T_OK(kit_append(&k, "memory/w.md", "call_1", "Ann", "One line.\n\n- two\n- three"));
    whole = kit_read(&k, "memory/w.md");
    n = strlen(whole);
    for (size_t cut = begin; cut < n; cut++) {
        (void)snprintf(name, sizeof name, "memory/h%zu.md", cut);
        kit_write_n(&k, name, whole, cut);
        T_OK(kit_append(&k, name, "call_1", "Ann", "One line.\n\n- two\n- three"));
        T_OK(kit_append(&k, name, "call_1", "Ann", "One line.\n\n- two\n- three"));
        text = kit_read(&k, name);
        T_TRUE(strncmp(text, before, begin) == 0);
        T_EQ(kit_count(text, "<!-- voice:call call_1 end -->"), 1);
        T_EQ(kit_count(text, "- three\n\n<!-- voice:sum"), 1);
        /* From "## Call " on the rest is written and nothing else. */
        if (cut >= begin + 9)
            T_MEM_EQ(text, strlen(text), whole, cut < n - 1 ? n : n - 1);
        free(text);
        (void)snprintf(name, sizeof name, "memory/o%zu.md", cut);
        kit_write_n(&k, name, whole, cut);
        kit_add(&k, name, "\n\nothers wrote on\n");
        T_OK(kit_append(&k, name, "call_1", "Ann", "One line.\n\n- two\n- three"));
        T_OK(kit_append(&k, name, "call_1", "Ann", "One line.\n\n- two\n- three"));
        text = kit_read(&k, name);
        (void)snprintf(expect, sizeof expect, "%.*s\n\nothers wrote on\n", (int)cut, whole);
        T_TRUE(strncmp(text, expect, strlen(expect)) == 0);
        T_EQ(kit_count(text, "<!-- voice:call call_1 end -->"), 1);
        free(text);
    }
    /* A half that goes on is cut too. */
    kit_write(&k, "memory/c.md", "## Call call_1 \xe2\x80\x94 Ann\n\nOne li\nothers\n");
    T_OK(kit_append(&k, "memory/c.md", "call_1", "Ann", "One line."));
    text = kit_read(&k, "memory/c.md");
    T_HAS(text, "others\n\n## Call call_1 \xe2\x80\x94 Ann (continued)\n\nOne line.\n\n<!--");
    for (size_t cut = strlen(text) - 40; cut < strlen(text) - 1; cut++) {
        char *again;

        kit_write_n(&k, "memory/d.md", text, cut);
        T_OK(kit_append(&k, "memory/d.md", "call_1", "Ann", "One line."));
        again = kit_read(&k, "memory/d.md");
        T_STR_EQ(again, text);
        free(again);
    }
    free(text);
    free(whole);
    kit_end(&k);
}

/* A full disk, as far as a limit on the file's size can play it: the write is cut, the next goes on. */
static void goes_on_after_a_full_disk(void)
{
    struct kit k;
    struct rlimit before, low;
    char *text, body[3000];

    kit_init(&k);
    kit_mkdir(&k, "memory");
    kit_open(&k);
    kit_scanned(&k);
    (void)signal(SIGXFSZ, SIG_IGN);
    memset(body, 'b', sizeof body - 1);
    body[sizeof body - 1] = '\0';
    kit_write(&k, "memory/full.md", "their words\n");
    T_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
    low = before;
    low.rlim_cur = 1000;
    T_EQ(setrlimit(RLIMIT_FSIZE, &low), 0);
    T_ERR(kit_append(&k, "memory/full.md", "call_1", "h", body));
    T_ERR(kit_append(&k, "memory/full.md", "call_1", "h", body));
    T_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
    text = kit_read(&k, "memory/full.md");
    T_EQ(strlen(text), 1000);
    free(text);
    T_OK(kit_append(&k, "memory/full.md", "call_1", "h", body));
    text = kit_read(&k, "memory/full.md");
    T_TRUE(strncmp(text, "their words\n", 12) == 0);
    T_EQ(kit_count(text, "## Call call_1"), 1);
    T_EQ(kit_count(text, "bbbb\n\n<!-- voice:sum"), 1);
    T_EQ(kit_count(text, "end -->"), 1);
    free(text);
    kit_end(&k);
}

static void storm_child(struct kit *k, unsigned round)
{
    char call[40], body[9000];

    memset(body, 'a', sizeof body - 1);
    body[sizeof body - 1] = '\0';
    kit_open(k);
    for (unsigned i = 0; i < 1000; i++) {
        (void)snprintf(call, sizeof call, "call_%u", i % 7 + round % 3 * 7);
        body[8000 + i % 7] = '\n';
        (void)kit_append(k, FILE_MD, call, "storm", "short");
        (void)kit_append(k, "memory/long.md", call, "storm", body + (i % 7) * 100);
        if (i % 7 == 6)
            (void)kit_append(k, "memory/many.md", call, "storm", body + 4000);
    }
    _exit(0);
}

static void survives_kills(void)
{
    struct kit k;
    char call[40], begin[60], mark[80], *text[2], body[9000];
    static const char *const names[] = {FILE_MD, "memory/long.md"};
    int status;
    unsigned rounds = 0;
    uint64_t until = clock_mono_ms() + 9000;

    kit_init(&k);
    kit_mkdir(&k, "memory");
    srand(11);
    for (; rounds < 200 && clock_mono_ms() < until; rounds++) {
        char path[200];
        pid_t child;

        if (rounds % 10 == 0)
            for (int f = 0; f < 2; f++) {
                kit_path(&k, names[f], path, sizeof path);
                (void)unlink(path);
            }
        child = fork();
        if (child == 0)
            storm_child(&k, rounds / 10);
        (void)usleep((useconds_t)(1000 + rand() % 15000));
        T_EQ(kill(child, SIGKILL), 0);
        T_EQ(waitpid(child, &status, 0), child);
        for (int f = 0; f < 2; f++) {
            text[f] = kit_read(&k, names[f]);
            for (unsigned c = 0; c < 21; c++) {
                (void)snprintf(mark, sizeof mark, "<!-- voice:call call_%u end -->", c);
                T_LE(kit_count(text[f], mark), 1);
            }
            free(text[f]);
        }
    }
    printf("  %u rounds\n", rounds);
    T_GE(rounds, 50);
    /* The next start completes what was cut. */
    memset(body, 'a', sizeof body - 1);
    body[sizeof body - 1] = '\0';
    kit_open(&k);
    for (unsigned c = 0; c < 21; c++) {
        (void)snprintf(call, sizeof call, "call_%u", c);
        T_OK(kit_append(&k, FILE_MD, call, "storm", "short"));
        T_OK(kit_append(&k, "memory/long.md", call, "storm", body));
    }
    for (int f = 0; f < 2; f++) {
        text[f] = kit_read(&k, names[f]);
        for (unsigned c = 0; c < 21; c++) {
            (void)snprintf(mark, sizeof mark, "<!-- voice:call call_%u end -->", c);
            T_EQ(kit_count(text[f], mark), 1);
            (void)snprintf(begin, sizeof begin, "## Call call_%u \xe2\x80\x94 storm\n", c);
            T_EQ(kit_count(text[f], begin), 1);
        }
        free(text[f]);
    }
    kit_end(&k);
}

/* Gives up when the file changed in every round of it; whoever asks tries again, as we do. */
static int append_again(struct kit *k, const char *path, const char *call)
{
    int rc = ERR_IO;

    for (int i = 0; i < 20 && rc == ERR_IO; i++)
        rc = kit_append(k, path, call, "race", "body");
    return rc;
}

/* An editor that appends, and one that puts its copy in the file's place; neither knows a lock of ours. */
static void races_with_editors(void)
{
    struct kit k;
    char call[40], mark[80], line[60], *text;
    pid_t appender, renamer;
    int status;

    kit_init(&k);
    kit_mkdir(&k, "memory");
    kit_write(&k, "memory/e.md", "start\n");
    kit_write(&k, "memory/r.md", "start\n");
    appender = fork();
    if (appender == 0) {
        for (int i = 0; i < 300; i++) {
            (void)snprintf(line, sizeof line, "editor line %d.\n", i);
            kit_add(&k, "memory/e.md", line);
            (void)usleep(300);
        }
        _exit(0);
    }
    renamer = fork();
    if (renamer == 0) {
        char from[200], to[200];

        kit_path(&k, "memory/r.tmp", from, sizeof from);
        kit_path(&k, "memory/r.md", to, sizeof to);
        for (int i = 0; i < 100; i++) {
            char *now = kit_read(&k, "memory/r.md");
            size_t n = strlen(now);

            n += (size_t)snprintf(now + n, 60, "\nrenamed line %d.\n", i);
            kit_write_n(&k, "memory/r.tmp", now, n);
            if (rename(from, to) != 0)
                _exit(1);
            free(now);
            (void)usleep(2000);
        }
        _exit(0);
    }
    kit_open(&k);
    for (int i = 0; i < 60; i++) {
        (void)snprintf(call, sizeof call, "call_%d", i);
        T_OK(append_again(&k, "memory/e.md", call));
        (void)kit_append(&k, "memory/r.md", call, "race", "body");
    }
    T_EQ(waitpid(appender, &status, 0), appender);
    T_EQ(status, 0);
    T_EQ(waitpid(renamer, &status, 0), renamer);
    T_EQ(status, 0);
    for (int i = 0; i < 60; i++) {
        (void)snprintf(call, sizeof call, "call_%d", i);
        T_OK(kit_append(&k, "memory/r.md", call, "race", "body"));
    }
    text = kit_read(&k, "memory/e.md");
    for (int i = 0; i < 300; i++) {
        (void)snprintf(line, sizeof line, "editor line %d.\n", i);
        T_EQ(kit_count(text, line), 1);
    }
    for (int i = 0; i < 60; i++) {
        (void)snprintf(mark, sizeof mark, "<!-- voice:call call_%d end -->", i);
        T_EQ(kit_count(text, mark), 1);
    }
    free(text);
    text = kit_read(&k, "memory/r.md");
    for (int i = 0; i < 100; i++) {
        (void)snprintf(line, sizeof line, "renamed line %d.\n", i);
        T_EQ(kit_count(text, line), 1);
    }
    for (int i = 0; i < 60; i++) {
        (void)snprintf(mark, sizeof mark, "<!-- voice:call call_%d end -->", i);
        T_EQ(kit_count(text, mark), 1);
    }
    free(text);
    kit_end(&k);
}

static void erases_unchanged(void)
{
    struct kit k;
    struct kit_answer a = {0};
    char *text, *at;

    kit_init(&k);
    kit_mkdir(&k, "memory");
    kit_write(&k, "memory/x.md", "mine above\n");
    kit_open(&k);
    kit_scanned(&k);
    T_OK(kit_append(&k, "memory/x.md", "call_1", "h", "apricots one"));
    kit_add(&k, "memory/x.md", "\nmine between\n");
    T_OK(kit_append(&k, "memory/x.md", "call_2", "h", "bananas two"));
    kit_add(&k, "memory/x.md", "mine below, without an end");
    T_OK(kit_append(&k, "CALLS.md", "call_1", "h", "apricots at the top"));
    T_OK(kit_append(&k, "memory/y.md", "call_1", "h", "apricots edited"));
    text = kit_read(&k, "memory/y.md");
    at = strstr(text, "edited");
    memcpy(at, "EDITED", 6);
    kit_write(&k, "memory/y.md", text);
    free(text);
    kit_write(&k, "memory/z.md", "## Call call_1\n\nwritten by hand\n\n<!-- voice:call call_1 end -->\n");
    kit_write(&k, "memory/half.md", "## Call call_1\n\nhalf of it");
    T_LT(kit_until(&k, "apricots", "memory/x.md", true), 2000);
    T_LT(kit_until(&k, "hand half", "memory/half.md", true), 2000);
    T_OK(kit_erase(&k, &a, "call_1"));
    T_HAS(a.text, "{\"removed\":2,\"left\":[");
    T_HAS(a.text, "\"memory/y.md\"");
    T_HAS(a.text, "\"memory/z.md\"");
    T_HAS(a.text, "\"memory/half.md\"");
    T_NULL(strstr(a.text, "memory/x.md"));
    text = kit_read(&k, "memory/x.md");
    T_TRUE(strncmp(text, "mine above\n\nmine between\n\n## Call call_2", 40) == 0);
    T_HAS(text, "end -->\nmine below, without an end");
    T_NULL(strstr(text, "apricots"));
    free(text);
    text = kit_read(&k, "CALLS.md");
    T_STR_EQ(text, "");
    free(text);
    text = kit_read(&k, "memory/y.md");
    T_HAS(text, "apricots EDITED");
    free(text);
    T_LT(kit_until(&k, "apricots", "memory/x.md", false), 100);
    T_OK(kit_erase(&k, &a, "call_none"));
    T_STR_EQ(a.text, "{\"removed\":0,\"left\":[]}");
    kit_drop(&a);
    kit_end(&k);
}

/* Others append while sections are erased: none of their lines is lost. */
static void erases_beside_writers(void)
{
    struct kit k;
    struct kit_answer a = {0};
    char call[40], line[60], *text;
    pid_t child;
    int status;

    kit_init(&k);
    kit_mkdir(&k, "memory");
    kit_open(&k);
    kit_scanned(&k);
    for (int i = 0; i < 30; i++) {
        (void)snprintf(call, sizeof call, "call_%d", i);
        T_OK(kit_append(&k, "memory/e.md", call, "h", "some words to be erased"));
    }
    child = fork();
    if (child == 0) {
        for (int i = 0; i < 200; i++) {
            (void)snprintf(line, sizeof line, "their line %d.\n", i);
            kit_add(&k, "memory/e.md", line);
            (void)usleep(500);
        }
        _exit(0);
    }
    for (int i = 0; i < 30; i++) {
        (void)snprintf(call, sizeof call, "call_%d", i);
        T_OK(kit_erase(&k, &a, call));
    }
    T_EQ(waitpid(child, &status, 0), child);
    for (int i = 0; i < 30; i++) {
        (void)snprintf(call, sizeof call, "call_%d", i);
        T_OK(kit_erase(&k, &a, call));
    }
    text = kit_read(&k, "memory/e.md");
    T_EQ(kit_count(text, "## Call"), 0);
    T_EQ(kit_count(text, "erased"), 0);
    for (int i = 0; i < 200; i++) {
        (void)snprintf(line, sizeof line, "their line %d.\n", i);
        T_EQ(kit_count(text, line), 1);
    }
    free(text);
    kit_drop(&a);
    kit_end(&k);
}

int main(void)
{
    T_RUN(appends_once);
    T_RUN(refuses_paths);
    T_RUN(defuses_marks);
    T_RUN(completes_halves);
    T_RUN(goes_on_after_a_full_disk);
    T_RUN(survives_kills);
    T_RUN(races_with_editors);
    T_RUN(erases_unchanged);
    T_RUN(erases_beside_writers);
    return T_DONE();
}
