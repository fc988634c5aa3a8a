/* SPDX-License-Identifier: MIT */
/*
 * A fault ladder over one unit test program: it is run once and every allocation (or call for files, sockets, threads)
 * is counted; then it is run again and again, each time with one of them failing. The test's checks may fail then, and
 * the first that does ends the run there; what must not happen is a crash, a leak, a report of the sanitizer or no end.
 *
 *   ladder_NAME alloc|io                         the ladder
 *   ladder_NAME alloc|io CASE THREAD N ERR [on]  one rung of it, as it is told when it broke
 *
 * Rungs that differ in who called whom come first, the product's own before those of libraries, all others behind them. LADDER_MS: time for the ladder (the short form:
 * rungs are chosen by FAULT_SEED); OCV_FAULTS_LONG: all that LADDER_RUNGS (3,000) has room for, 0: all. With FAULT_STATE, a folder,
 * a ladder that was interrupted goes on.
 */
#include "plugin/base/clock.h"
#include "tests/faults/ladder.h"
#include "tests/faults/long.h"

#include <fcntl.h>
#include <ftw.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LANES_MAX 8u
#define EXIT_TOLD 42  /* a check of the test did not hold, and nothing is leaked */
#define EXIT_LEAK 43
#define RUNG_MS 120000u /* no end within that is a fault */
#define BROKEN_SHOWN 40u

/* The test program's main. */
int ladder_test_main(int argc, char **argv);
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));
int __llvm_profile_write_file(void) __attribute__((weak));
const char *__asan_default_options(void);
const char *__lsan_default_suppressions(void);

/* What the sanitizer's exit code must be to be told from a test's; the rest as tests/run has it. */
__attribute__((visibility("default"))) const char *__asan_default_options(void)
{
    return "abort_on_error=0:exitcode=99:intercept_tls_get_addr=0:print_suppressions=0";
}

/* What the dynamic loader keeps, which the sanitizer knows no more since our malloc() is between them. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void)
{
    return "leak:_dl_map_object_deps\nleak:_dl_open\nleak:dl_open_worker\n";
}

struct rung {
    uint32_t place;
    uint8_t fault; /* which of those that the call can meet */
    bool on;
};

struct lane {
    pid_t pid; /* 0: free */
    struct rung rung;
    uint64_t begun_ms;
    bool whole; /* all cases run, not the one alone */
    char dir[64];
};

struct ladder {
    const char *name, *word;
    enum ladder_kind kind;
    struct ladder_map *map;
    atomic_bool *fired; /* one a lane */
    struct rung *rung;
    uint32_t rungs, ours, first, next, distinct;
    struct lane lane[LANES_MAX];
    unsigned lanes;
    bool whole[LADDER_CASES];
    uint64_t begun_ms, told_ms, end_ms;
    uint32_t failed, told, borne, missed, broken, cut;
    char state[400];
};

/*
 * What libraries do once in a process is done before: else it belonged to whichever case is the first. (OpenSSL itself does
 * not bear it either: where memory is out in the making of its default context, the next fetch dereferences NULL, and
 * where it is out in the first fetch of a kind, the name of an algorithm leaks.)
 */
static void warm(void)
{
    unsigned char byte;
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MD *md = EVP_MD_fetch(NULL, "SHA1", NULL);
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    (void)RAND_bytes(&byte, 1);
    (void)HMAC(EVP_sha1(), &byte, 1, &byte, 1, hash, &n);
    EVP_MAC_free(mac);
    EVP_MD_free(md);
    EVP_CIPHER_free(cipher);
    EVP_KDF_free(kdf);
    SSL_CTX_free(ctx);
    (void)sqlite3_initialize();
}

static void *shared(size_t n)
{
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED) {
        printf("FAIL no memory for the ladder itself\n");
        exit(1);
    }
    return p;
}

/* ---- In the child. ---- */

void ladder_bad(void)
{
    int leaks;

    ladder_start(MODE_OFF, NULL, NULL);
    if (__llvm_profile_write_file != NULL)
        (void)__llvm_profile_write_file();
    leaks = __lsan_do_recoverable_leak_check != NULL && __lsan_do_recoverable_leak_check() != 0;
    fflush(stdout);
    _exit(leaks ? EXIT_LEAK : EXIT_TOLD);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

/* A child's directory, and those that its test made. */
static void remove_all(const char *dir)
{
    char path[300];
    FILE *f;

    (void)snprintf(path, sizeof path, "%s/" LADDER_DIRS, dir);
    f = fopen(path, "re");
    while (f != NULL && fgets(path, sizeof path, f) != NULL) {
        path[strcspn(path, "\n")] = '\0';
        if (strncmp(path, "/tmp/", 5) == 0)
            (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    }
    if (f != NULL)
        (void)fclose(f);
    (void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void child_setup(const char *dir)
{
    char path[128];
    int fd;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)setpgid(0, 0);
    (void)setenv("TMPDIR", dir, 1);
    (void)snprintf(path, sizeof path, "%s/.out", dir);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)
        _exit(1);
}

static void child_run(struct ladder *l, const struct lane *lane, atomic_bool *fired)
{
    const struct ladder_place *p = &l->map->place[lane->rung.place];
    struct ladder_aim aim = {.in = l->map->name[p->in], .n = p->n, .thread = p->thread, .kind = p->kind,
                             .err = ladder_fault(p->call, lane->rung.fault), .on = lane->rung.on, .fired = fired};
    char *argv[] = {(char *)l->name, NULL};

    child_setup(lane->dir);
    if (lane->whole)
        (void)unsetenv("T");
    else
        (void)setenv("T", aim.in[0] ? aim.in : "\x01", 1);
    ladder_start(MODE_FAIL, NULL, &aim);
    exit(ladder_test_main(1, argv));
}

/* ---- What became of it. ---- */

static bool said_sanitizer(const char *dir)
{
    char path[128], line[1024];
    bool found = false;
    FILE *f;

    (void)snprintf(path, sizeof path, "%s/.out", dir);
    f = fopen(path, "re");
    while (f != NULL && !found && fgets(line, sizeof line, f) != NULL)
        found = strstr(line, "Sanitizer") != NULL || strstr(line, "runtime error:") != NULL;
    if (f != NULL)
        (void)fclose(f);
    return found;
}

static void show_output(const char *dir)
{
    char path[128], line[400];
    unsigned shown = 0;
    FILE *f;

    (void)snprintf(path, sizeof path, "%s/.out", dir);
    f = fopen(path, "re");
    while (f != NULL && shown < 60 && fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, "ok ", 3) == 0)
            continue;
        printf("    | %s%s", line, strchr(line, '\n') ? "" : "\n");
        shown++;
    }
    if (f != NULL)
        (void)fclose(f);
}

static void show_broken(struct ladder *l, const struct lane *lane, const char *how)
{
    const struct ladder_place *p = &l->map->place[lane->rung.place];

    if (l->broken++ >= BROKEN_SHOWN)
        return;
    printf("  BROKEN %s: %s (%s) in \"%s\"\n    again: ladder_%s %s '%s' %u %u %d%s\n", how, ladder_call_name(p->call),
           ladder_who_name(p->who), l->map->name[p->in], l->name, l->word, l->map->name[p->in], p->thread, p->n,
           ladder_fault(p->call, lane->rung.fault), lane->rung.on ? " on" : "");
    show_output(lane->dir);
    fflush(stdout);
}

/* True: the rung must be tried once more, with all cases. */
static bool judge(struct ladder *l, struct lane *lane, int status, bool fired, bool late)
{
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    uint16_t in = l->map->place[lane->rung.place].in;
    char how[64];

    if (!fired && !lane->whole && !l->whole[in]) {
        l->whole[in] = true;
        return true;
    }
    if (!fired) {
        l->missed++;
        return false;
    }
    l->failed++;
    if (late)
        (void)snprintf(how, sizeof how, "no end");
    else if (code < 0)
        (void)snprintf(how, sizeof how, "signal %d", WTERMSIG(status));
    else if (code == EXIT_LEAK)
        (void)snprintf(how, sizeof how, "leak");
    else if (code == 99 || said_sanitizer(lane->dir))
        (void)snprintf(how, sizeof how, "sanitizer");
    else {
        if (code == 0)
            l->borne++;
        else
            l->told++;
        return false;
    }
    show_broken(l, lane, how);
    return false;
}

/* ---- Lanes. ---- */

static void lane_begin(struct ladder *l, struct lane *lane, struct rung r, bool whole)
{
    atomic_bool *fired = &l->fired[lane - l->lane];

    lane->rung = r;
    lane->whole = whole;
    lane->begun_ms = clock_mono_ms();
    (void)snprintf(lane->dir, sizeof lane->dir, "/tmp/ladder.XXXXXX");
    if (mkdtemp(lane->dir) == NULL) {
        printf("FAIL no directory for the ladder itself\n");
        exit(1);
    }
    atomic_store(fired, false);
    fflush(stdout);
    lane->pid = fork();
    if (lane->pid == 0)
        child_run(l, lane, fired);
}

static void lane_end(struct lane *lane)
{
    (void)kill(-lane->pid, SIGKILL);
    remove_all(lane->dir);
    lane->pid = 0;
}

/* True: this lane is free. */
static bool lane_look(struct ladder *l, struct lane *lane)
{
    int status = 0;
    bool late = false, again, cut = false;
    pid_t got;

    if (lane->pid == 0)
        return true;
    got = waitpid(lane->pid, &status, WNOHANG);
    if (got == 0) {
        cut = l->end_ms != 0 && clock_mono_ms() > l->end_ms;
        late = clock_mono_ms() - lane->begun_ms > RUNG_MS;
        if (!cut && !late)
            return false;
        (void)kill(lane->pid, SIGKILL);
        (void)waitpid(lane->pid, &status, 0);
    }
    if (cut)
        l->cut++;
    again = !cut && judge(l, lane, status, atomic_load(&l->fired[lane - l->lane]), late);
    lane_end(lane);
    if (again)
        lane_begin(l, lane, lane->rung, true);
    return !again;
}

static void nap(void)
{
    (void)nanosleep(&(struct timespec){0, 1000000}, NULL);
}

/* A free lane, or NULL: time is up. */
static struct lane *lane_free(struct ladder *l)
{
    for (;;) {
        for (unsigned i = 0; i < l->lanes; i++)
            if (lane_look(l, &l->lane[i]))
                return l->end_ms != 0 && clock_mono_ms() > l->end_ms ? NULL : &l->lane[i];
        nap();
    }
}

/* ---- Counting, and the order of rungs. ---- */

static bool count(struct ladder *l)
{
    char dir[] = "/tmp/ladder.XXXXXX", *argv[] = {(char *)l->name, NULL};
    int status = 0;
    pid_t pid;

    if (mkdtemp(dir) == NULL)
        return false;
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        child_setup(dir);
        (void)unsetenv("T");
        ladder_start(MODE_COUNT, l->map, NULL);
        exit(ladder_test_main(1, argv));
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) > 1) {
        printf("  the program breaks by itself\n");
        show_output(dir);
        remove_all(dir);
        return false;
    }
    if (status != 0) /* counting takes time, which a test may measure */
        printf("  a check of the program does not hold while its calls are counted\n");
    remove_all(dir);
    if (atomic_load(&l->map->full))
        printf("  more than %u places: the later ones are left out\n", LADDER_PLACES);
    return true;
}

static uint64_t dice_state;

static uint32_t dice(uint32_t n)
{
    dice_state = dice_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((dice_state >> 33) % n);
}

static void shuffle(struct rung *r, uint32_t n)
{
    for (uint32_t i = n; i > 1; i--) {
        uint32_t j = dice(i);
        struct rung x = r[i - 1];

        r[i - 1] = r[j];
        r[j] = x;
    }
}

/* Is it the first with that path? */
static bool is_new(uint64_t *set, uint32_t mask, uint64_t path)
{
    uint32_t i = (uint32_t)(path >> 20) & mask;

    path |= 1;
    while (set[i] != 0 && set[i] != path)
        i = (i + 1) & mask;
    if (set[i] == path)
        return false;
    set[i] = path;
    return true;
}

static void add_rungs(struct ladder *l, uint32_t place)
{
    const struct ladder_place *p = &l->map->place[place];

    for (uint8_t i = 0; ladder_fault(p->call, i) != 0; i++)
        l->rung[l->rungs++] = (struct rung){place, i, false};
}

static void order_rungs(struct ladder *l)
{
    uint32_t n = atomic_load(&l->map->n), mask = 1;
    uint64_t *set;
    bool *first;

    if (n > LADDER_PLACES)
        n = LADDER_PLACES;
    while (mask < n * 2)
        mask *= 2;
    set = calloc(mask, sizeof *set);
    first = calloc(n + 1, sizeof *first);
    l->rung = calloc((size_t)n * 5 + 1, sizeof *l->rung);
    if (set == NULL || first == NULL || l->rung == NULL) {
        printf("FAIL no memory for the ladder itself\n");
        exit(1);
    }
    for (uint32_t i = 0; i < n; i++)
        if (l->map->place[i].kind == l->kind && is_new(set, mask - 1, l->map->place[i].path)) {
            first[i] = true;
            l->distinct++;
        }
    for (uint32_t i = 0; i < n; i++)
        if (first[i] && l->map->place[i].who == WHO_OURS)
            add_rungs(l, i);
    l->ours = l->rungs;
    for (uint32_t i = 0; i < n; i++)
        if (first[i] && l->map->place[i].who != WHO_OURS)
            add_rungs(l, i);
    l->first = l->rungs;
    /* From there on none is left: a second form of the first occurrences of allocations. */
    for (uint32_t i = 0; l->kind == LADDER_ALLOC && i < l->first; i++) {
        l->rung[l->rungs] = l->rung[i];
        l->rung[l->rungs++].on = true;
    }
    for (uint32_t i = 0; i < n; i++)
        if (l->map->place[i].kind == l->kind && !first[i])
            add_rungs(l, i);
    shuffle(l->rung, l->ours);
    shuffle(l->rung + l->ours, l->first - l->ours);
    shuffle(l->rung + l->first, l->rungs - l->first);
    free(set);
    free(first);
}

static uint32_t places(const struct ladder *l, int who)
{
    uint32_t n = atomic_load(&l->map->n), found = 0;

    for (uint32_t i = 0; i < n && i < LADDER_PLACES; i++)
        found += l->map->place[i].kind == l->kind && (who < 0 || l->map->place[i].who == who);
    return found;
}

/* ---- State. ---- */

static void load_state(struct ladder *l)
{
    const char *dir = getenv("FAULT_STATE");
    uint64_t seed;
    uint32_t at, v[5];
    FILE *f;

    if (dir == NULL || !rounds_long())
        return;
    (void)snprintf(l->state, sizeof l->state, "%.300s/ladder_%.60s-%s.next", dir, l->name, l->word);
    f = fopen(l->state, "re");
    if (f == NULL)
        return;
    if (fscanf(f, "%" SCNu64 " %u %u %u %u %u %u", &seed, &at, &v[0], &v[1], &v[2], &v[3], &v[4]) == 7 &&
        seed == rounds_env("FAULT_SEED", 1) && at < l->rungs && v[4] == 0) {
        l->next = at;
        l->failed = v[0];
        l->told = v[1];
        l->borne = v[2];
        l->missed = v[3];
        printf("  %s %s: goes on at rung %u of %u\n", l->name, l->word, at, l->rungs);
    }
    (void)fclose(f);
}

static void save_state(const struct ladder *l, uint32_t at)
{
    FILE *f = l->state[0] ? fopen(l->state, "we") : NULL;

    if (f == NULL)
        return;
    (void)fprintf(f, "%" PRIu64 " %u %u %u %u %u %u\n", rounds_env("FAULT_SEED", 1), at, l->failed, l->told, l->borne,
                  l->missed, l->broken);
    (void)fclose(f);
}

static void tell(struct ladder *l)
{
    if (!rounds_long() || clock_mono_ms() - l->told_ms < 10000)
        return;
    l->told_ms = clock_mono_ms();
    save_state(l, l->next > l->lanes ? l->next - l->lanes : 0);
    printf("  %s %s: rung %u of %u, %u broken\n", l->name, l->word, l->next, l->rungs, l->broken);
    fflush(stdout);
}

static void climb(struct ladder *l)
{
    uint32_t room = (uint32_t)rounds_env("LADDER_RUNGS", 3000);
    struct lane *lane;

    if (room != 0 && l->rungs > room)
        l->rungs = l->first > room ? l->first : room;
    load_state(l);
    while (l->next < l->rungs && (lane = lane_free(l)) != NULL) {
        uint16_t in = l->map->place[l->rung[l->next].place].in;

        lane_begin(l, lane, l->rung[l->next++], l->whole[in]);
        tell(l);
    }
    for (unsigned i = 0; i < l->lanes; i++)
        while (!lane_look(l, &l->lane[i]))
            nap();
    if (l->next < l->rungs)
        save_state(l, l->next);
    else if (l->state[0])
        (void)unlink(l->state); /* through: the next run begins anew */
}

static int ladder(struct ladder *l)
{
    uint64_t ms = rounds_env("LADDER_MS", rounds_long() ? 0 : 2000);
    bool good;

    l->map = shared(sizeof *l->map);
    l->map->kind = l->kind;
    l->fired = shared(sizeof *l->fired * LANES_MAX);
    l->lanes = (unsigned)rounds_env("LADDER_LANES", 3);
    if (l->lanes < 1 || l->lanes > LANES_MAX)
        l->lanes = LANES_MAX;
    dice_state = rounds_env("FAULT_SEED", 1);
    l->told_ms = clock_mono_ms();
    good = count(l);
    l->begun_ms = clock_mono_ms();
    l->end_ms = ms != 0 ? l->begun_ms + ms : 0;
    if (good) {
        order_rungs(l);
        climb(l);
    }
    good = good && l->broken == 0;
    printf("  %s %s: %u calls (ours %u, OpenSSL %u, SQLite %u, cJSON %u, libuv %u, wslay %u, libyaml %u), %u by who called "
           "whom; %u failed: %u told, %u borne; %u not met, %u cut short; %u broken; %llu ms\n",
           l->name, l->word, places(l, -1), places(l, WHO_OURS), places(l, WHO_OPENSSL), places(l, WHO_SQLITE),
           places(l, WHO_CJSON), places(l, WHO_UV), places(l, WHO_WSLAY), places(l, WHO_YAML), l->distinct, l->failed,
           l->told, l->borne, l->missed, l->cut, l->broken, (unsigned long long)(clock_mono_ms() - l->begun_ms));
    printf("%s %s %s\n", good ? "ok" : "FAIL", l->name, l->word);
    return good ? 0 : 1;
}

/* In this process, with all that it says. */
static int one(const struct ladder *l, char **argv, bool on)
{
    static atomic_bool fired;
    struct ladder_aim aim = {.in = argv[2], .thread = (uint8_t)strtoul(argv[3], NULL, 10),
                             .n = (uint32_t)strtoul(argv[4], NULL, 10), .kind = (uint8_t)l->kind,
                             .err = (int)strtol(argv[5], NULL, 10), .on = on, .trace = true, .fired = &fired};
    char *own[] = {(char *)l->name, NULL};

    if (getenv("T") == NULL)
        (void)setenv("T", aim.in[0] ? aim.in : "\x01", 1);
    ladder_start(MODE_FAIL, NULL, &aim);
    exit(ladder_test_main(1, own));
}

int main(int argc, char **argv)
{
    static struct ladder l;
    const char *own = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];

    l.name = strncmp(own, "ladder_", 7) == 0 ? own + 7 : own;
    l.word = argc > 1 ? argv[1] : "alloc";
    l.kind = strcmp(l.word, "io") == 0 ? LADDER_IO : LADDER_ALLOC;
    warm();
    if (argc > 5)
        return one(&l, argv, argc > 6);
    return ladder(&l);
}
