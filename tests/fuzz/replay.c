/* SPDX-License-Identifier: MIT */
/*
 * Runs one fuzz target over files, or over all files of folders: as they are, and then with memory that runs out at
 * the n-th allocation, for n = 1, 2, ... until none fails; and with the n-th alone failing.
 *
 *   replay_NAME PATH...
 */
#include "plugin/base/clock.h"
#include "plugin/base/mem.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/t.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define INPUT_BYTES 65536u
#define RUNGS 400u /* of a ladder; a longer one is climbed with gaps */
#define LADDERS_MS 1500u /* in the short form: the later files are only run as they are */

static unsigned files;
static unsigned long rungs;
static uint64_t begun_ms;

static unsigned long allocations(const uint8_t *data, size_t n)
{
    (void)mem_fault_after(0);
    (void)LLVMFuzzerTestOneInput(data, n);
    return mem_fault_after(0);
}

/* Kits print what does not hold, and without memory much does not. */
static int mute(int out)
{
    int kept = dup(STDOUT_FILENO);

    fflush(stdout);
    T_MUST(kept >= 0 && dup2(out, STDOUT_FILENO) >= 0);
    (void)close(out);
    return kept;
}

static void starve(const uint8_t *data, size_t n)
{
    unsigned long all = allocations(data, n), step = all / RUNGS + 1;
    int kept = mute(open("/dev/null", O_WRONLY | O_CLOEXEC));

    fuzz_starved = true;
    for (unsigned long i = 1; i <= all; i += step) {
        (void)mem_fault_after(i);
        (void)LLVMFuzzerTestOneInput(data, n);
        (void)mem_fault_once(i);
        (void)LLVMFuzzerTestOneInput(data, n);
        rungs += 2;
    }
    (void)mem_fault_after(0);
    fuzz_starved = false;
    (void)mute(kept);
}

static void one(const char *path)
{
    static uint8_t data[INPUT_BYTES];
    FILE *f = fopen(path, "re");
    uint8_t *exact;
    size_t n;

    T_MUST(f != NULL);
    n = fread(data, 1, sizeof data, f);
    (void)fclose(f);
    /* A block of its own size, so that a sanitizer sees who reads beyond it. */
    exact = malloc(n ? n : 1);
    T_MUST(exact != NULL);
    if (n > 0)
        memcpy(exact, data, n);
    if (n == 0)
        (void)LLVMFuzzerTestOneInput(NULL, 0);
    (void)LLVMFuzzerTestOneInput(exact, n);
    if (getenv("OCV_FAULTS_LONG") != NULL || clock_mono_ms() - begun_ms < LADDERS_MS)
        starve(exact, n);
    free(exact);
    files++;
}

static void all(const char *path)
{
    struct stat st;
    struct dirent *e;
    char below[512];
    DIR *d;

    T_MUST(stat(path, &st) == 0);
    if (!S_ISDIR(st.st_mode)) {
        one(path);
        return;
    }
    d = opendir(path);
    T_MUST(d != NULL);
    while ((e = readdir(d)) != NULL) {
        if (e->d_name[0] == '.')
            continue;
        (void)snprintf(below, sizeof below, "%.250s/%.250s", path, e->d_name);
        one(below);
    }
    (void)closedir(d);
}

int main(int argc, char **argv)
{
    const char *name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];

    begun_ms = clock_mono_ms();
    T_CASE(name);
    for (int i = 1; i < argc; i++)
        all(argv[i]);
    printf("  %u inputs, %lu more without memory, %llu ms\n", files, rungs,
           (unsigned long long)(clock_mono_ms() - begun_ms));
    T_GT(files, 0);
    return T_DONE();
}
