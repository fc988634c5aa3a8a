/* SPDX-License-Identifier: MIT */
/*
 * The index over 10,000 memory files of 4 KB: the first scan, a restart, searches and reads from the
 * question to the answer, how soon a change is found, and what an append to a note of 900 KB costs: CPU, bytes read and
 * bytes written. Prints one line of JSON; times in ms.
 */
#include "memory/index.h"
#include "plugin/base/clock.h"
#include "plugin/base/log.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FILES 10000u
#define QUESTIONS 2000u
#define APPENDS 20u
#define NOTE_BYTES 900000u

struct bench {
    char dir[64], ws[96], state[96];
    struct index *ix;
    int fd;
    bool came, found;
    const char *wanted;
    unsigned bad;
};

static const char *const common[] = {"the", "meeting", "about", "with", "project", "plan", "and", "call", "note",
                                     "garden", "house", "budget", "of", "from", "week", "friend", "train"};

static void on_wake(void *ctx)
{
    uint64_t one = 1;

    (void)!write(((struct bench *)ctx)->fd, &one, sizeof one);
}

static void on_json(void *arg, int rc, struct str json)
{
    struct bench *b = arg;

    b->came = true;
    b->bad += rc != 0;
    b->found = b->wanted != NULL && str_find_str(json, str_of(b->wanted)) < json.n;
}

static double ask(struct bench *b, const char *query, const char *path)
{
    static const struct index_scope scope = {.files = true, .all_calls = true};
    uint64_t begin = clock_mono_us(), count;
    struct pollfd fd = {.fd = b->fd, .events = POLLIN};

    b->came = false;
    if (path != NULL)
        (void)index_get(b->ix, &scope, str_of(path), 1, 50, on_json, b);
    else
        (void)index_search(b->ix, &scope, str_of(query), 5, on_json, b);
    while (!b->came) {
        (void)poll(&fd, 1, 1000);
        (void)!read(b->fd, &count, sizeof count);
        index_poll(b->ix);
    }
    return (double)(clock_mono_us() - begin) / 1000.0;
}

static void write_file(const char *path, const char *text, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    if (fd < 0 || write(fd, text, n) != (ssize_t)n)
        exit(1);
    (void)close(fd);
}

/* Common words, words of a vocabulary of 30,000, and one that stands nowhere else. */
static void make_files(const struct bench *b)
{
    char path[160], text[4400];
    size_t n;

    for (unsigned i = 0; i < FILES; i++) {
        n = (size_t)snprintf(text, sizeof text, "# Note %u\n\nonly%u\n\n", i, i);
        for (unsigned k = 0; n < 4096; k++) {
            if (k % 60 == 59)
                n += (size_t)snprintf(text + n, sizeof text - n, "\n\n## Part %u\n\n", k / 60);
            else if (rand() % 2)
                n += (size_t)snprintf(text + n, sizeof text - n, "%s ", common[(unsigned)rand() % 17]);
            else
                n += (size_t)snprintf(text + n, sizeof text - n, "w%x ", (unsigned)rand() % 30000);
        }
        (void)snprintf(path, sizeof path, "%s/memory/%u", b->ws, i % 20);
        if (i < 20)
            (void)mkdir(path, 0755);
        (void)snprintf(path, sizeof path, "%s/memory/%u/n%u.md", b->ws, i % 20, i);
        write_file(path, text, 4096);
    }
}

/* Of this process, whatever else the machine does. */
static double cpu_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double open_and_scan(struct bench *b, const struct log *log)
{
    struct index_config config = {b->ws, b->state, log, on_wake, b};
    struct index_stats st;
    uint64_t begin = clock_mono_us();

    if (index_open(&b->ix, &config, NULL) != 0)
        exit(1);
    while (index_stats_read(b->ix, &st), !st.scanned)
        (void)usleep(500);
    if (st.files != FILES)
        b->bad++;
    return (double)(clock_mono_us() - begin) / 1000.0;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double quantile(double *t, unsigned n, double q)
{
    qsort(t, n, sizeof *t, by_size);
    return t[(unsigned)((double)(n - 1) * q)];
}

static void make_query(char *out, size_t cap, unsigned kind)
{
    unsigned r = (unsigned)rand();

    switch (kind % 4) {
    case 0: /* as a model asks */
        (void)snprintf(out, cap, "when is the %s with w%x about the %s", common[r % 17], r % 30000,
                       common[r / 17 % 17]);
        break;
    case 1:
        (void)snprintf(out, cap, "only%u", r % FILES);
        break;
    case 2: /* common words alone: the dearest */
        (void)snprintf(out, cap, "%s %s %s of the %s", common[r % 17], common[r / 17 % 17],
                       common[r / 289 % 17], common[r / 5000 % 17]);
        break;
    default:
        (void)snprintf(out, cap, "w%x w%x w%x unheard", r % 30000, r / 7 % 30000, r / 49 % 30000);
    }
}

/* Bytes that this process has read and written by system calls: files and the database. */
static void io_kib(double out[2])
{
    FILE *f = fopen("/proc/self/io", "r");
    unsigned long long read = 0, written = 0;

    if (f == NULL || fscanf(f, "rchar: %llu wchar: %llu", &read, &written) != 2)
        exit(1);
    (void)fclose(f);
    out[0] = (double)read / 1024;
    out[1] = (double)written / 1024;
}

/* A daily note that grows: mean of CPU ms, KiB read and KiB written of an append, until it is found. */
static void append_all(struct bench *b, double cost[3])
{
    char path[160], text[200], word[40];
    double before[3], after[2];
    FILE *f;

    (void)snprintf(path, sizeof path, "%s/memory/2026-02-03.md", b->ws);
    f = fopen(path, "w");
    for (size_t n = 0; f != NULL && n < NOTE_BYTES;)
        n += (size_t)fprintf(f, "%s- the %s of w%x and the %s with w%x\n", rand() % 40 == 0 ? "\n## An hour\n\n" : "",
                             common[rand() % 17], (unsigned)rand() % 30000, common[rand() % 17], (unsigned)rand() % 30000);
    if (f == NULL || fclose(f) != 0)
        exit(1);
    memset(cost, 0, 3 * sizeof *cost);
    for (unsigned i = 0; i <= APPENDS; i++) { /* the first waits for the note itself */
        before[0] = cpu_ms();
        io_kib(before + 1);
        (void)snprintf(word, sizeof word, "appended%u", i);
        (void)snprintf(text, sizeof text, "\n- %s\n", word);
        f = fopen(path, "a");
        if (f == NULL || fputs(text, f) < 0 || fclose(f) != 0)
            exit(1);
        b->wanted = "2026-02-03.md";
        do {
            (void)usleep(20000);
            (void)ask(b, word, NULL);
        } while (!b->found);
        (void)usleep(300000); /* committed */
        io_kib(after);
        if (i > 0) {
            cost[0] += (cpu_ms() - before[0]) / APPENDS;
            cost[1] += (after[0] - before[1]) / APPENDS;
            cost[2] += (after[1] - before[2]) / APPENDS;
        }
    }
}

int main(void)
{
    struct bench b = {.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    struct log log;
    static double search[QUESTIONS], cpu[QUESTIONS], kinds[4][QUESTIONS / 4], get[QUESTIONS], seen[20];
    double first, again, first_cpu, before, search_p50, search_p99, first_sort[4], append[3];
    char text[200], command[160];

    log_init(&log, NULL, NULL, LOG_ERROR);
    (void)snprintf(b.dir, sizeof b.dir, "/tmp/oc-bench-index-XXXXXX");
    if (mkdtemp(b.dir) == NULL)
        return 1;
    (void)snprintf(b.ws, sizeof b.ws, "%s/ws", b.dir);
    (void)snprintf(b.state, sizeof b.state, "%s/state", b.dir);
    (void)mkdir(b.ws, 0755);
    (void)snprintf(text, sizeof text, "%s/memory", b.ws);
    (void)mkdir(text, 0755);
    srand(7);
    make_files(&b);
    before = cpu_ms();
    first = open_and_scan(&b, NULL);
    first_cpu = cpu_ms() - before;
    index_close(b.ix);
    again = open_and_scan(&b, NULL);
    for (unsigned i = 0; i < QUESTIONS / 10; i++) {
        make_query(text, sizeof text, i);
        (void)ask(&b, text, NULL);
    }
    for (unsigned i = 0; i < QUESTIONS; i++) {
        make_query(text, sizeof text, i);
        before = cpu_ms();
        search[i] = kinds[i % 4][i / 4] = ask(&b, text, NULL);
        cpu[i] = cpu_ms() - before;
        (void)snprintf(text, sizeof text, "memory/%u/n%u.md", i % 20, i);
        get[i] = ask(&b, NULL, text);
    }
    for (unsigned i = 0; i < 20; i++) {
        char path[160], word[40];
        uint64_t begin = clock_mono_us();

        (void)snprintf(path, sizeof path, "%s/memory/%u/n%u.md", b.ws, i, i);
        (void)snprintf(word, sizeof word, "changed%u", i);
        (void)snprintf(text, sizeof text, "%s\n", word);
        write_file(path, text, strlen(text));
        b.wanted = path + strlen(b.ws) + 1;
        do {
            (void)usleep(2000);
            (void)ask(&b, word, NULL);
        } while (!b.found && clock_mono_us() - begin < 10000000);
        seen[i] = (double)(clock_mono_us() - begin) / 1000.0;
    }
    append_all(&b, append);
    for (unsigned i = 0; i < 4; i++)
        first_sort[i] = quantile(kinds[i], QUESTIONS / 4, 0.99);
    search_p50 = quantile(search, QUESTIONS, 0.5);
    search_p99 = quantile(search, QUESTIONS, 0.99);
    printf("{\"bench\":\"index\",\"files\":%u,\"file_bytes\":4096,\"questions\":%u,\"failed\":%u,"
           "\"first_scan_ms\":%.0f,\"first_scan_cpu_ms\":%.0f,\"restart_ms\":%.0f,\"search_p50_ms\":%.2f,\"search_p99_ms\":%.2f,"
           "\"search_max_ms\":%.2f,\"search_cpu_p50_ms\":%.2f,\"search_cpu_p99_ms\":%.2f,\"p99_by_kind_ms\":{\"question\":%.2f,\"name\":%.2f,\"common\":%.2f,"
           "\"rare\":%.2f},\"get_p50_ms\":%.2f,\"get_p99_ms\":%.2f,\"change_max_ms\":%.0f,"
           "\"append_cpu_ms\":%.2f,\"append_read_kib\":%.0f,\"append_written_kib\":%.0f}\n",
           FILES, QUESTIONS, b.bad, first, first_cpu, again, search_p50,
           search_p99, search[QUESTIONS - 1], quantile(cpu, QUESTIONS, 0.5), quantile(cpu, QUESTIONS, 0.99), first_sort[0], first_sort[1],
           first_sort[2], first_sort[3], quantile(get, QUESTIONS, 0.5), quantile(get, QUESTIONS, 0.99), quantile(seen, 20, 1.0), append[0],
           append[1], append[2]);
    index_close(b.ix);
    (void)snprintf(command, sizeof command, "rm -rf %s", b.dir);
    (void)!system(command);
    return b.bad > 0;
}
