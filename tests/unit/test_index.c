/* SPDX-License-Identifier: MIT */
#include "memory/index.h"
#include "tests/unit/index_kit.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#define SOON_MS 2000 /* what is promised for a change */

static void day_name(int ago, char *out, size_t cap)
{
    time_t t = time(NULL) - (time_t)ago * 86400;
    struct tm tm;
    char day[20];

    (void)localtime_r(&t, &tm);
    (void)strftime(day, sizeof day, "%Y-%m-%d", &tm);
    (void)snprintf(out, cap, "memory/%s.md", day);
}

static void mirrors_and_finds(void)
{
    struct kit k;
    struct kit_answer a = {0};
    struct index_stats st;
    char today[64], old[64];
    struct stat s;
    char path[200];

    kit_init(&k);
    day_name(0, today, sizeof today);
    day_name(5, old, sizeof old);
    kit_mkdir(&k, "memory");
    kit_mkdir(&k, "memory/projects");
    kit_write(&k, "MEMORY.md", "# Facts\n\n## Family\n\nThe sister is called Ottilie.\n\n- likes plums\n");
    kit_write(&k, "USER.md", "# User\nJan prefers mornings.\n");
    kit_write(&k, "IDENTITY.md", "I am the assistant Quill.\n");
    kit_write(&k, "SOUL.md", "Be kind.\n");
    kit_write(&k, "AGENTS.md", "secretrule never shown\n");
    kit_write(&k, today, "# Today\n\nThe plumber came.\n");
    kit_write(&k, old, "# Then\n\nThe roofer came.\n");
    kit_write(&k, "memory/projects/boat.md", "# Boat\n\nThe mast is of spruce.\n");
    kit_open(&k);
    kit_scanned(&k);
    T_OK(kit_pieces(&k, &a, 2, clock_wall_ms()));
    T_HAS(a.text, "MEMORY.md: Facts > Family|The sister is called Ottilie.");
    T_EQ(a.kinds[CONTEXT_IDENTITY], 2);
    T_EQ(a.kinds[CONTEXT_USER], 1);
    T_EQ(a.kinds[CONTEXT_DAILY], 1);
    T_EQ(a.kinds[CONTEXT_MEMORY], 1);
    T_HAS(a.text, "plumber");
    T_NULL(strstr(a.text, "roofer"));
    T_NULL(strstr(a.text, "spruce"));
    T_OK(kit_pieces(&k, &a, 6, clock_wall_ms()));
    T_HAS(a.text, "roofer");
    T_OK(kit_pieces(&k, &a, 0, clock_wall_ms()));
    T_EQ(a.kinds[CONTEXT_DAILY], 0);
    T_OK(kit_search(&k, &a, &kit_files, "what wood is the mast made of?"));
    T_HAS(a.text, "\"path\":\"memory/projects/boat.md\",\"from\":1,\"lines\":3");
    T_OK(kit_search(&k, &a, &kit_files, "secretrule"));
    T_STR_EQ(a.text, "{\"hits\":[]}");
    index_stats_read(k.ix, &st);
    T_EQ(st.files, 7);
    T_EQ(st.skipped, 0);
    T_TRUE(st.begun > 0);
    (void)snprintf(path, sizeof path, "%s/index.db", k.state);
    T_EQ(stat(path, &s), 0);
    T_EQ(s.st_mode & 0777, 0600);
    kit_drop(&a);
    kit_end(&k);
}

static void sees_changes(void)
{
    struct kit k;
    char from[200], to[200];

    kit_init(&k);
    kit_open(&k);
    kit_scanned(&k);
    /* A folder that appears later, with what is in it; one below it. */
    kit_mkdir(&k, "memory");
    kit_write(&k, "memory/a.md", "alphaword one\n");
    T_LT(kit_until(&k, "alphaword", "memory/a.md", true), SOON_MS);
    kit_mkdir(&k, "memory/deep");
    kit_mkdir(&k, "memory/deep/er");
    kit_write(&k, "memory/deep/er/b.md", "betaword\n");
    T_LT(kit_until(&k, "betaword", "memory/deep/er/b.md", true), SOON_MS);
    /* Truncated and written; appended; renamed over. */
    kit_write(&k, "memory/a.md", "gammaword two\n");
    T_LT(kit_until(&k, "gammaword", "memory/a.md", true), SOON_MS);
    T_LT(kit_until(&k, "alphaword", "memory/a.md", false), SOON_MS);
    kit_add(&k, "memory/a.md", "deltaword\n");
    T_LT(kit_until(&k, "deltaword", "memory/a.md", true), SOON_MS);
    kit_write(&k, "memory/a.md.tmp", "epsilonword\n");
    kit_path(&k, "memory/a.md.tmp", from, sizeof from);
    kit_path(&k, "memory/a.md", to, sizeof to);
    T_EQ(rename(from, to), 0);
    T_LT(kit_until(&k, "epsilonword", "memory/a.md", true), SOON_MS);
    T_LT(kit_until(&k, "deltaword", "memory/a.md", false), SOON_MS);
    /* Moved, with its folder; deleted. */
    kit_path(&k, "memory/deep", from, sizeof from);
    kit_path(&k, "memory/moved", to, sizeof to);
    T_EQ(rename(from, to), 0);
    T_LT(kit_until(&k, "betaword", "memory/moved/er/b.md", true), SOON_MS);
    T_LT(kit_until(&k, "betaword", "memory/deep", false), SOON_MS);
    kit_write(&k, "memory/moved/er/b.md", "zetaword\n");
    T_LT(kit_until(&k, "zetaword", "memory/moved/er/b.md", true), SOON_MS);
    kit_path(&k, "memory/a.md", to, sizeof to);
    T_EQ(unlink(to), 0);
    T_LT(kit_until(&k, "epsilonword", "memory/a.md", false), SOON_MS);
    /* Moved out of the workspace altogether. */
    kit_path(&k, "memory/moved", from, sizeof from);
    (void)snprintf(to, sizeof to, "%s/out", k.dir);
    T_EQ(rename(from, to), 0);
    T_LT(kit_until(&k, "zetaword", "moved", false), SOON_MS);
    kit_end(&k);
}

static void waits_for_the_workspace(void)
{
    struct kit k;
    struct index_stats st;
    char away[200];

    kit_init(&k);
    T_EQ(rmdir(k.ws), 0);
    kit_open(&k);
    kit_scanned(&k);
    T_EQ(mkdir(k.ws, 0755), 0);
    kit_write(&k, "MEMORY.md", "laterword\n");
    T_LT(kit_until(&k, "laterword", "MEMORY.md", true), 7000);
    /* Taken away and put back. */
    (void)snprintf(away, sizeof away, "%s/away", k.dir);
    T_EQ(rename(k.ws, away), 0);
    T_LT(kit_until(&k, "laterword", "MEMORY.md", false), SOON_MS);
    index_stats_read(k.ix, &st);
    T_EQ(st.files, 0);
    T_EQ(rename(away, k.ws), 0);
    T_LT(kit_until(&k, "laterword", "MEMORY.md", true), 7000);
    kit_write(&k, "MEMORY.md", "newerword\n");
    T_LT(kit_until(&k, "newerword", "MEMORY.md", true), SOON_MS);
    kit_end(&k);
}

/* CPU time and switches of a quiet index. */
static void is_quiet(void)
{
    struct kit k;
    char path[80], line[200];
    unsigned long before = 0, after = 0;

    kit_init(&k);
    kit_mkdir(&k, "memory");
    kit_write(&k, "memory/a.md", "quiet\n");
    kit_open(&k);
    kit_scanned(&k);
    (void)usleep(300000);
    for (int turn = 0; turn < 2; turn++) {
        unsigned long sum = 0, n;
        FILE *f;

        for (int tid = getpid(); tid < getpid() + 2000; tid++) {
            (void)snprintf(path, sizeof path, "/proc/self/task/%d/comm", tid);
            f = fopen(path, "r");
            if (f == NULL)
                continue;
            if (fgets(line, sizeof line, f) == NULL || strcmp(line, "oc-index\n") != 0) {
                fclose(f);
                continue;
            }
            fclose(f);
            (void)snprintf(path, sizeof path, "/proc/self/task/%d/status", tid);
            f = fopen(path, "r");
            while (f != NULL && fgets(line, sizeof line, f) != NULL)
                if (sscanf(line, "voluntary_ctxt_switches: %lu", &n) == 1)
                    sum += n;
            if (f != NULL)
                fclose(f);
        }
        *(turn == 0 ? &before : &after) = sum;
        if (turn == 0)
            (void)usleep(1500000);
    }
    T_GT(before, 0);
    T_EQ(after, before);
    kit_end(&k);
}

static void refuses_bad_files(void)
{
    struct kit k;
    struct kit_answer a = {0};
    struct index_stats st;
    char path[200], target[200], *big = malloc(2 << 20);
    bool root = geteuid() == 0;

    kit_init(&k);
    kit_mkdir(&k, "memory");
    (void)snprintf(target, sizeof target, "%s/outside.md", k.dir);
    {
        int fd = open(target, O_WRONLY | O_CREAT, 0644);

        T_EQ(write(fd, "outsideword\n", 12), 12);
        (void)close(fd);
    }
    memset(big, 'x', 2 << 20);
    kit_write_n(&k, "memory/big.md", big, (1 << 20) + 1);
    kit_write_n(&k, "memory/nul.md", "a\0b nulword\n", 12);
    kit_write(&k, "memory/latin.md", "caf\xe9 latinword\n");
    kit_path(&k, "memory/link.md", path, sizeof path);
    T_EQ(symlink(target, path), 0);
    kit_path(&k, "memory/linkdir", path, sizeof path);
    T_EQ(symlink(k.dir, path), 0);
    kit_path(&k, "memory/fifo.md", path, sizeof path);
    T_EQ(mkfifo(path, 0644), 0);
    kit_path(&k, "memory/dev.md", path, sizeof path);
    T_EQ(symlink("/dev/zero", path), 0);
    kit_write(&k, "memory/secret.md", "lockedword\n");
    kit_path(&k, "memory/secret.md", path, sizeof path);
    T_EQ(chmod(path, 0), 0);
    kit_path(&k, "memory/folder.md", path, sizeof path);
    T_EQ(mkdir(path, 0755), 0);
    kit_write(&k, "memory/good.md", "goodword\n");
    kit_write(&k, "memory/.hidden.md", "hiddenword\n");
    kit_open(&k);
    kit_scanned(&k);
    T_LT(kit_until(&k, "goodword", "good.md", true), SOON_MS);
    index_stats_read(k.ix, &st);
    T_EQ(st.files, root ? 2 : 1);
    T_EQ(st.skipped, root ? 6 : 7);
    T_EQ(kit_warnings(&k), st.skipped);
    T_OK(kit_search(&k, &a, &kit_owner, "outsideword latinword nulword hiddenword"));
    T_STR_EQ(a.text, "{\"hits\":[]}");
    /* Reading them directly is no way around. */
    T_EQ(kit_get(&k, &a, &kit_owner, "memory/link.md", 1, 10), ERR_DENIED);
    T_EQ(kit_get(&k, &a, &kit_owner, "memory/linkdir/outside.md", 1, 10), ERR_DENIED);
    T_EQ(kit_get(&k, &a, &kit_owner, "memory/fifo.md", 1, 10), ERR_DENIED);
    T_EQ(kit_get(&k, &a, &kit_owner, "memory/dev.md", 1, 10), ERR_DENIED);
    T_EQ(kit_get(&k, &a, &kit_owner, "../outside.md", 1, 10), ERR_DENIED);
    T_EQ(kit_get(&k, &a, &kit_owner, "memory/../../outside.md", 1, 10), ERR_DENIED);
    T_EQ(kit_get(&k, &a, &kit_owner, target, 1, 10), ERR_DENIED);
    T_EQ(kit_get(&k, &a, &kit_owner, "AGENTS.md", 1, 10), ERR_DENIED);
    T_EQ(kit_get(&k, &a, &kit_owner, "memory/.hidden.md", 1, 10), ERR_DENIED);
    T_EQ(kit_get(&k, &a, &kit_owner, "", 1, 10), ERR_DENIED);
    T_EQ(kit_get(&k, &a, &kit_owner, "memory/none.md", 1, 10), ERR_NOT_FOUND);
    T_EQ(kit_get(&k, &a, &kit_owner, "memory/folder.md", 1, 10), ERR_NOT_FOUND);
    T_EQ(kit_get(&k, &a, &kit_owner, "memory/big.md", 1, 10), ERR_TOO_BIG);
    /* A bad file that becomes a good one. */
    kit_write(&k, "memory/latin.md", "mendedword\n");
    T_LT(kit_until(&k, "mendedword", "latin.md", true), SOON_MS);
    /* memory/ itself as a link. */
    kit_path(&k, "memory", path, sizeof path);
    (void)snprintf(target, sizeof target, "%s/elsewhere", k.dir);
    T_EQ(rename(path, target), 0);
    T_EQ(symlink(target, path), 0);
    T_LT(kit_until(&k, "goodword", "good.md", false), SOON_MS);
    T_EQ(kit_get(&k, &a, &kit_owner, "memory/good.md", 1, 10), ERR_DENIED);
    kit_drop(&a);
    free(big);
    kit_end(&k);
}

static void reads_lines(void)
{
    struct kit k;
    struct kit_answer a = {0};
    char text[40000];
    size_t n = 0;

    kit_init(&k);
    kit_mkdir(&k, "memory");
    for (int i = 1; i <= 300; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "line %d\n", i);
    kit_write(&k, "memory/l.md", text);
    memset(text, 'y', 30000);
    text[30000] = '\0';
    kit_write(&k, "memory/w.md", text);
    kit_open(&k);
    T_OK(kit_get(&k, &a, &kit_files, "memory/l.md", 3, 2));
    T_STR_EQ(a.text, "{\"path\":\"memory/l.md\",\"from\":3,\"lines\":2,\"total_lines\":300,"
                     "\"text\":\"line 3\\nline 4\\n\"}");
    T_OK(kit_get(&k, &a, &kit_files, "memory/l.md", 0, 0));
    T_HAS(a.text, "\"lines\":200,\"total_lines\":300");
    T_OK(kit_get(&k, &a, &kit_files, "memory/l.md", 299, 1000));
    T_HAS(a.text, "\"lines\":2,");
    T_OK(kit_get(&k, &a, &kit_files, "memory/l.md", 301, 5));
    T_HAS(a.text, "\"lines\":0,\"total_lines\":300,\"text\":\"\"");
    T_OK(kit_get(&k, &a, &kit_files, "memory/w.md", 1, 1));
    T_LT(strlen(a.text), (16 << 10) + 100);
    T_GT(strlen(a.text), 16 << 10);
    T_EQ(kit_get(&k, &a, &(struct index_scope){.files = false, .all_calls = true}, "memory/l.md", 1, 1),
         ERR_DENIED);
    kit_drop(&a);
    kit_end(&k);
}

static void survives_restarts(void)
{
    struct kit k;
    struct kit_answer a = {0};
    struct index_stats st;
    char path[200];
    int fd;

    kit_init(&k);
    kit_mkdir(&k, "memory");
    for (int i = 0; i < 50; i++) {
        char name[64], text[64];

        (void)snprintf(name, sizeof name, "memory/f%d.md", i);
        (void)snprintf(text, sizeof text, "common restart%d\n", i);
        kit_write(&k, name, text);
    }
    kit_open(&k);
    kit_scanned(&k);
    T_OK(index_put_call(k.ix, STR("call_1"), STR("per_1"), 1000, STR("we spoke of marmalade")));
    T_LT(kit_until(&k, "marmalade", "call_1", true), SOON_MS);
    kit_close(&k);
    /* What changed while nobody looked. */
    kit_write(&k, "memory/f1.md", "changed restartnew\n");
    kit_path(&k, "memory/f2.md", path, sizeof path);
    T_EQ(unlink(path), 0);
    kit_open(&k);
    kit_scanned(&k);
    index_stats_read(k.ix, &st);
    T_EQ(st.files, 49);
    T_EQ(st.begun, 0);
    T_OK(kit_search(&k, &a, &kit_owner, "restartnew restart2 marmalade"));
    T_HAS(a.text, "memory/f1.md");
    T_HAS(a.text, "call_1");
    T_NULL(strstr(a.text, "memory/f2.md"));
    kit_close(&k);
    /* Garbage in the file's place, a cut file, another version, another workspace: made anew. */
    for (int how = 0; how < 3; how++) {
        (void)snprintf(path, sizeof path, "%s/index.db", k.state);
        fd = open(path, O_RDWR | O_CLOEXEC);
        T_MUST(fd >= 0);
        if (how == 0)
            T_EQ(pwrite(fd, "no database at all, just some words", 35, 0), 35);
        else if (how == 1)
            T_EQ(ftruncate(fd, 5000), 0);
        else
            T_EQ(pwrite(fd, "\0\0\0\x63", 4, 60), 4);
        (void)close(fd);
        kit_open(&k);
        kit_scanned(&k);
        T_LT(kit_until(&k, "restart7", "memory/f7.md", true), SOON_MS);
        index_stats_read(k.ix, &st);
        T_EQ(st.files, 49);
        T_TRUE(st.begun > 0);
        kit_close(&k);
    }
    /* Damaged while it is open. */
    kit_open(&k);
    kit_scanned(&k);
    fd = open(path, O_RDWR | O_CLOEXEC);
    T_MUST(fd >= 0);
    for (off_t at = 0; at < 400000; at += 4096)
        (void)!pwrite(fd, "################################", 32, at);
    (void)close(fd);
    for (int i = 0; i < 50; i++) {
        char name[64];

        (void)snprintf(name, sizeof name, "memory/g%d.md", i);
        kit_write(&k, name, "after the damage\n");
    }
    for (int i = 0; i < 400 && kit_search(&k, &a, &kit_files, "damage") != 0; i++)
        (void)usleep(10000);
    T_LT(kit_until(&k, "restart7", "memory/f7.md", true), 15000);
    index_stats_read(k.ix, &st);
    T_EQ(st.begun, 1);
    kit_drop(&a);
    kit_end(&k);
}

static void two_in_one_place(void)
{
    struct kit k, other;

    kit_init(&k);
    kit_mkdir(&k, "memory");
    kit_write(&k, "memory/a.md", "sharedword\n");
    kit_open(&k);
    kit_scanned(&k);
    kit_init(&other);
    memcpy(other.ws, k.ws, sizeof k.ws);
    memcpy(other.state, k.state, sizeof k.state);
    kit_open(&other);
    kit_scanned(&other);
    T_LT(kit_until(&other, "sharedword", "memory/a.md", true), SOON_MS);
    T_LT(kit_until(&k, "sharedword", "memory/a.md", true), SOON_MS);
    kit_write(&k, "memory/a.md", "bothword\n");
    T_LT(kit_until(&other, "bothword", "memory/a.md", true), SOON_MS);
    T_LT(kit_until(&k, "bothword", "memory/a.md", true), SOON_MS);
    kit_end(&other);
    kit_end(&k);
}

static void no_database(void)
{
    struct kit k;
    struct kit_answer a = {0};
    char path[200];

    kit_init(&k);
    kit_write(&k, "MEMORY.md", "stillhere\n");
    (void)snprintf(path, sizeof path, "%s/index.db", k.state);
    T_EQ(mkdir(path, 0700), 0); /* nothing can be opened there */
    kit_open(&k);
    kit_scanned(&k);
    T_ERR(kit_search(&k, &a, &kit_owner, "stillhere"));
    T_OK(kit_pieces(&k, &a, 1, clock_wall_ms()));
    T_HAS(a.text, "stillhere");
    T_OK(kit_append(&k, "memory/x.md", "call_a", "", "text"));
    T_GT(kit_warnings(&k), 0);
    kit_drop(&a);
    kit_end(&k);
}

static void a_thousand_at_once(void)
{
    struct kit k;
    struct index_stats st;
    char name[64];
    uint64_t begin;

    kit_init(&k);
    kit_mkdir(&k, "memory");
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(name, sizeof name, "memory/t%d.md", i);
        kit_write(&k, name, "before\n");
    }
    kit_open(&k);
    kit_scanned(&k);
    begin = clock_mono_ms();
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(name, sizeof name, "memory/t%d.md", i);
        kit_write(&k, name, i == 999 ? "lastword\n" : "afterword\n");
    }
    (void)kit_until(&k, "before", "memory", false);
    (void)kit_until(&k, "lastword", "t999.md", true);
    printf("  1,000 changes are found after %llu ms\n", (unsigned long long)(clock_mono_ms() - begin));
    T_LT(clock_mono_ms() - begin, 10000);
    index_stats_read(k.ix, &st);
    T_EQ(st.files, 1000);
    kit_end(&k);
}

static void on_closed(void *arg, int rc, struct str json)
{
    (void)json;
    T_TRUE(rc == 0 || rc == ERR_CLOSED);
    ++*(unsigned *)arg;
}

static void closes_with_questions(void)
{
    struct kit k;
    unsigned answers = 0, asked = 0;

    kit_init(&k);
    kit_open(&k);
    for (int i = 0; i < 2000; i++) {
        int rc = index_search(k.ix, &kit_owner, STR("any words"), 5, on_closed, &answers);

        if (rc == 0)
            asked++;
        else
            T_EQ(rc, ERR_FULL);
    }
    T_GE(asked, 1000);
    kit_close(&k);
    T_EQ(answers, asked);
    kit_end(&k);
}

static void out_of_memory(void)
{
    struct kit k;
    struct kit_answer a = {0};
    struct index_section s = {STR("memory/m.md"), STR("call_m"), STR("h"), STR("b")};
    struct str calls[] = {STR("call_x"), STR("call_y")};
    struct index_config config;
    struct index *ix = NULL;
    int rc;

    kit_init(&k);
    kit_write(&k, "MEMORY.md", "# A\n\ntext\n");
    kit_open(&k);
    kit_scanned(&k);
    for (int what = 0; what < 7; what++) {
        for (unsigned long n = 1; n < 100; n++) {
            kit_begin(&a);
            (void)mem_fault_after(n);
            switch (what) {
            case 0: rc = index_pieces(k.ix, 3, clock_wall_ms(), kit_on_pieces, &a); break;
            case 1: rc = index_search(k.ix, &kit_owner, STR("text"), 5, kit_on_json, &a); break;
            case 2: rc = index_get(k.ix, &kit_owner, STR("MEMORY.md"), 1, 1, kit_on_json, &a); break;
            case 3: rc = index_put_call(k.ix, STR("call_q"), STR("per_q"), 1, STR("t")); break;
            case 4: rc = index_forget(k.ix, STR("per_q"), kit_on_done, &a); break;
            case 5: rc = index_append(k.ix, &s, kit_on_done, &a); break;
            default: rc = index_erase_sections(k.ix, calls, 2, kit_on_json, &a); break;
            }
            (void)mem_fault_after(0);
            if (rc == 0)
                break;
            T_EQ(rc, ERR_NOMEM);
        }
        T_OK(rc);
        if (what != 3) {
            kit_wait(&k, &a.came);
            T_OK(a.rc);
        }
    }
    config = (struct index_config){k.ws, k.state, &k.log, kit_wake, &k};
    (void)mem_fault_after(1);
    rc = index_open(&ix, &config, NULL);
    (void)mem_fault_after(0);
    T_EQ(rc, ERR_NOMEM);
    kit_drop(&a);
    kit_end(&k);
}

/* Files that change while they are read: what is found in the end is what stands there. */
static void races_with_writers(void)
{
    struct kit k;
    struct kit_answer a = {0};
    pid_t child;
    int status;

    kit_init(&k);
    kit_mkdir(&k, "memory");
    kit_write(&k, "memory/r.md", "start\n");
    kit_open(&k);
    kit_scanned(&k);
    child = fork();
    if (child == 0) {
        char from[200], to[200], text[80];

        kit_path(&k, "memory/r.md.new", from, sizeof from);
        kit_path(&k, "memory/r.md", to, sizeof to);
        for (int i = 0; i < 400; i++) {
            (void)snprintf(text, sizeof text, "version%d\n", i);
            if (i % 3 == 0) {
                kit_write(&k, "memory/r.md.new", text);
                if (rename(from, to) != 0)
                    _exit(1);
            } else if (i % 3 == 1) {
                kit_write(&k, "memory/r.md", text);
            } else {
                kit_add(&k, "memory/r.md", text);
            }
            (void)usleep(1000);
        }
        _exit(0);
    }
    for (int i = 0; i < 200; i++)
        T_OK(kit_search(&k, &a, &kit_owner, "version"));
    T_EQ(waitpid(child, &status, 0), child);
    T_EQ(status, 0);
    T_LT(kit_until(&k, "version399", "version399", true), SOON_MS);
    kit_drop(&a);
    kit_end(&k);
}

int main(void)
{
    T_RUN(mirrors_and_finds);
    T_RUN(sees_changes);
    T_RUN(waits_for_the_workspace);
    T_RUN(is_quiet);
    T_RUN(refuses_bad_files);
    T_RUN(reads_lines);
    T_RUN(survives_restarts);
    T_RUN(two_in_one_place);
    T_RUN(no_database);
    T_RUN(a_thousand_at_once);
    T_RUN(closes_with_questions);
    T_RUN(out_of_memory);
    T_RUN(races_with_writers);
    return T_DONE();
}
