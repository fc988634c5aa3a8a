/* SPDX-License-Identifier: MIT */
#include "memory/owner.h"
#include "tests/unit/store_kit.h"

static struct owner *open_owner(const char *dir)
{
    struct owner *o = NULL;
    struct err e = {0};
    int rc = owner_open(&o, dir, &e);

    if (rc < 0)
        printf("  %s\n", e.text);
    T_MUST(rc == 0);
    return o;
}

static bool there(const char *path)
{
    return access(path, F_OK) == 0;
}

static void lives_while_open(void)
{
    struct kit k;
    struct owner *a, *b;
    struct id of_a;
    char path[300];
    struct stat st;

    kit_init(&k);
    a = open_owner(k.dir);
    b = open_owner(k.dir);
    T_TRUE(str_starts(owner_id(a), STR("own_")));
    T_FALSE(str_eq(owner_id(a), owner_id(b)));
    T_TRUE(owner_alive(a, owner_id(a)));
    T_TRUE(owner_alive(a, owner_id(b)));
    T_TRUE(owner_alive(b, owner_id(a)));
    T_EQ(owner_others(a), 1);
    T_EQ(owner_marks(a), 1);
    owner_sweep(a); /* of the dead alone */
    T_EQ(owner_others(a), 1);
    T_EQ(stat(owner_path(a), &st), 0);
    T_EQ(st.st_mode & 0777, 0600);
    kit_path(&k, "owner", path, sizeof path);
    T_EQ(stat(path, &st), 0);
    T_EQ(st.st_mode & 0777, 0700);

    T_TRUE(str_copy(of_a.text, sizeof of_a.text, owner_id(a)));
    (void)str_copy(path, sizeof path, str_of(owner_path(a)));
    owner_close(a);
    T_FALSE(there(path));
    T_FALSE(owner_alive(b, str_of(of_a.text)));
    T_EQ(owner_others(b), 0);
    owner_close(b);
    owner_close(NULL);
    kit_done(&k);
}

/* The lock must not travel to programs that the host starts. */
static void closed_on_exec(void)
{
    struct kit k;
    struct owner *a;
    char link[64], target[400];
    ssize_t n;
    int found = 0, gate = -1;
    struct err e;

    kit_init(&k);
    a = open_owner(k.dir);
    T_OK(owner_gate_open(&gate, k.dir, 0, &e));
    for (int fd = 0; fd < 256; fd++) {
        (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        n = readlink(link, target, sizeof target - 1);
        if (n <= 0)
            continue;
        target[n] = '\0';
        if (strncmp(target, k.dir, strlen(k.dir)) != 0)
            continue;
        found++;
        T_TRUE(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    }
    T_EQ(found, 2);
    owner_gate_close(gate);
    owner_close(a);
    kit_done(&k);
}

/* A child that opens an owner, tells its id, and waits to be killed. */
static pid_t child_owner(const char *dir, struct id *id)
{
    int fds[2];
    pid_t pid;

    T_MUST(pipe(fds) == 0);
    pid = fork();
    if (pid == 0) {
        struct owner *o = NULL;

        (void)close(fds[0]);
        if (owner_open(&o, dir, NULL) < 0 ||
            write(fds[1], owner_id(o).p, owner_id(o).n) != (ssize_t)owner_id(o).n)
            _exit(1);
        (void)close(fds[1]);
        for (;;)
            kit_nap(1000);
    }
    T_MUST(pid > 0);
    (void)close(fds[1]);
    memset(id, 0, sizeof *id);
    T_TRUE(read(fds[0], id->text, sizeof id->text - 1) > 4);
    (void)close(fds[0]);
    return pid;
}

static void dies_with_its_process(void)
{
    struct kit k;
    struct owner *a, *b;
    struct id child;
    pid_t pid;
    char path[400];

    kit_init(&k);
    a = open_owner(k.dir);
    pid = child_owner(k.dir, &child);
    (void)snprintf(path, sizeof path, "%s/owner/%s.lock", k.dir, child.text);
    T_TRUE(there(path));
    T_TRUE(owner_alive(a, str_of(child.text)));
    owner_bury(a, str_of(child.text));
    T_TRUE(there(path)); /* the living are not buried */
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    T_TRUE(there(path));
    T_FALSE(owner_alive(a, str_of(child.text)));
    T_EQ(owner_others(a), 0);
    T_EQ(owner_marks(a), 1);
    owner_bury(a, str_of(child.text));
    T_EQ(owner_marks(a), 0);
    T_FALSE(there(path));
    T_FALSE(owner_alive(a, str_of(child.text)));

    /* One that nobody adopts from is swept by the next that opens. */
    pid = child_owner(k.dir, &child);
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    (void)snprintf(path, sizeof path, "%s/owner/%s.lock", k.dir, child.text);
    T_TRUE(there(path));
    b = open_owner(k.dir);
    T_FALSE(there(path));
    T_TRUE(owner_alive(b, owner_id(a)));
    owner_close(b);
    owner_close(a);
    kit_done(&k);
}

/* Ids come from a file that others may have written: they must not become paths. */
static void hostile_ids(void)
{
    static const char *const ids[] = {"", "../../etc/passwd", "own_/x", "own_A", "own_.", "own_\n",
                                      "own_0123456789012345678901234567890123456789"};
    struct kit k;
    struct owner *a;
    char path[300];
    int fd;

    kit_init(&k);
    a = open_owner(k.dir);
    kit_path(&k, "x.lock", path, sizeof path);
    fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    T_TRUE(fd >= 0);
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        T_FALSE(owner_alive(a, str_of(ids[i])));
        owner_bury(a, str_of(ids[i]));
    }
    owner_bury(a, STR("../x"));
    T_TRUE(there(path));
    /* A link is nobody's lock. */
    kit_path(&k, "owner/own_link.lock", path, sizeof path);
    T_EQ(symlink("../x.lock", path), 0);
    T_FALSE(owner_alive(a, STR("own_link")));
    (void)close(fd);
    owner_close(a);
    kit_done(&k);
}

/* Many look at the same dead owner at once; none takes another for the dead one. */
static void lookers_do_not_disturb(void)
{
    struct kit k;
    struct owner *a;
    struct id child;
    pid_t pid, lookers[4];
    int status, bad = 0;

    kit_init(&k);
    a = open_owner(k.dir);
    pid = child_owner(k.dir, &child);
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    for (int i = 0; i < 4; i++) {
        lookers[i] = fork();
        if (lookers[i] == 0) {
            for (int n = 0; n < 2000; n++)
                if (owner_alive(a, str_of(child.text)))
                    _exit(1);
            _exit(0);
        }
    }
    for (int i = 0; i < 4; i++) {
        (void)waitpid(lookers[i], &status, 0);
        bad += status != 0;
    }
    T_EQ(bad, 0);
    owner_close(a);
    kit_done(&k);
}

static void gate(void)
{
    struct kit k;
    int a = -1, b = -1;
    struct err e = {0};
    uint64_t t;

    kit_init(&k);
    T_OK(owner_gate_open(&a, k.dir, 0, &e));
    t = clock_mono_ms();
    T_EQ(owner_gate_open(&b, k.dir, 60, &e), ERR_TIMEOUT);
    T_GE(clock_mono_ms() - t, 60);
    T_HAS(e.text, k.dir);
    owner_gate_close(a);
    T_OK(owner_gate_open(&b, k.dir, 0, &e));
    owner_gate_close(b);
    owner_gate_close(-1);
    kit_done(&k);
}

static void faults(void)
{
    struct kit k;
    struct owner *o = NULL;
    struct err e = {0};
    char path[300];
    int fd = -1, rc = -1;

    kit_init(&k);
    kit_path(&k, "owner", path, sizeof path);
    fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600); /* a file where the folder should be */
    T_TRUE(fd >= 0);
    T_EQ(owner_open(&o, k.dir, &e), ERR_IO);
    T_NULL(o);
    T_HAS(e.text, path);
    (void)close(fd);
    (void)unlink(path);
    T_EQ(owner_open(&o, "/proc/nowhere", &e), ERR_IO);
    T_EQ(owner_gate_open(&fd, "/proc/nowhere", 0, &e), ERR_IO);
    for (unsigned long n = 1; rc < 0 && n < 50; n++) {
        (void)mem_fault_after(n);
        rc = owner_open(&o, k.dir, &e);
        (void)mem_fault_after(0);
        if (rc < 0)
            T_EQ(rc, ERR_NOMEM);
    }
    T_OK(rc);
    owner_close(o);
    kit_done(&k);
}

int main(void)
{
    T_RUN(lives_while_open);
    T_RUN(closed_on_exec);
    T_RUN(dies_with_its_process);
    T_RUN(hostile_ids);
    T_RUN(lookers_do_not_disturb);
    T_RUN(gate);
    T_RUN(faults);
    return T_DONE();
}
