/* What the kernel counted for this container. All is opened before any job and only read after.
 *
 * Control groups version 1 and 2; where they are not visible (gVisor), CPU time comes from /proc
 * and what cannot be known is UNKNOWN. https://docs.kernel.org/admin-guide/cgroup-v2.html
 */

#include "pid1.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/times.h>
#include <time.h>
#include <unistd.h>

#ifndef ROOT
#define ROOT "/sys/fs/cgroup/"
#endif

/* A number in an open file: all of it, or the word after ``key``, times ``factor``. */
struct counter {
    int file;
    const char *key;
    unsigned factor;
};

struct place {
    const char *path, *key;
    unsigned factor;
};

static struct counter cpu, peak, current, oom, pids;
static int64_t cpu_before;
static uint64_t oom_before, pids_before, sampled;

static struct counter open_first(const struct place *places, size_t count)
{
    for (size_t at = 0; at < count; at++) {
        int file = open(places[at].path, O_RDONLY | O_CLOEXEC);
        if (file >= 0)
            return (struct counter){file, places[at].key, places[at].factor};
    }
    return (struct counter){-1, NULL, 0};
}

#define OPEN_FIRST(...) \
    open_first((struct place[]){__VA_ARGS__}, sizeof(struct place[]){__VA_ARGS__} / sizeof(struct place))

void evidence_open(void)
{
    cpu = OPEN_FIRST({ROOT "cpuacct/cpuacct.usage", NULL, 1}, {ROOT "cpu.stat", "usage_usec", 1000});
    peak = OPEN_FIRST({ROOT "memory/memory.max_usage_in_bytes", NULL, 1}, {ROOT "memory.peak", NULL, 1});
    current = OPEN_FIRST({ROOT "memory.current", NULL, 1});
    oom = OPEN_FIRST({ROOT "memory/memory.oom_control", "oom_kill", 1}, {ROOT "memory.events", "oom_kill", 1});
    pids = OPEN_FIRST({ROOT "pids/pids.events", "max", 1}, {ROOT "pids.events", "max", 1});
}

static uint64_t read_counter(const struct counter *counter)
{
    char text[4096], *rest = text, *word;
    ssize_t size = counter->file < 0 ? -1 : pread(counter->file, text, sizeof text - 1, 0);
    if (size <= 0)
        return UNKNOWN;
    text[size] = 0;
    bool here = !counter->key;
    while ((word = strsep(&rest, " \t\n"))) {
        if (here) {
            char *end;
            uint64_t number = strtoull(word, &end, 10);
            return end == word || *end ? UNKNOWN : number * counter->factor;
        }
        here = *word && strcmp(word, counter->key) == 0;
    }
    return UNKNOWN;
}

/* utime, stime, and both of reaped children are the 12th to the 15th field after the name. */
static void add_ticks(pid_t pid, char *fields, void *sum)
{
    (void)pid;
    char *word;
    for (int at = 0; (word = strsep(&fields, " ")); at += *word != 0)
        if (*word && at >= 11 && at < 15)
            *(uint64_t *)sum += strtoull(word, NULL, 10);
}

static int64_t cpu_time_by_process(void)
{
    struct tms reaped;
    times(&reaped);
    uint64_t ticks = (uint64_t)(reaped.tms_cutime + reaped.tms_cstime);
    each_process(add_ticks, &ticks);
    return (int64_t)(ticks * (1000000000 / (uint64_t)sysconf(_SC_CLK_TCK)));
}

static int64_t cpu_time(void)
{
    struct timespec own;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own); /* first: it brings the group's count up to date */
    uint64_t used = read_counter(&cpu);
    if (used == UNKNOWN)
        return cpu_time_by_process();
    return (int64_t)used - (own.tv_sec * 1000000000LL + own.tv_nsec);
}

static uint64_t increase(const struct counter *counter, uint64_t before)
{
    uint64_t count = read_counter(counter);
    return count == UNKNOWN || before == UNKNOWN ? UNKNOWN : count - before;
}

void evidence_begin(void)
{
    cpu_before = cpu_time();
    oom_before = read_counter(&oom);
    pids_before = read_counter(&pids);
    sampled = 0;
}

/* Whether the kernel keeps no peak of memory, so that it has to be looked at now and then. */
bool evidence_needs_samples(void)
{
    return peak.file < 0 && current.file >= 0;
}

void evidence_sample(void)
{
    uint64_t used = read_counter(&current);
    if (used != UNKNOWN && used > sampled)
        sampled = used;
}

uint64_t cpu_time_used(void)
{
    int64_t used = cpu_time() - cpu_before;
    return used > 0 ? (uint64_t)used : 0;
}

/* Where the kernel keeps a peak, it is that of the container's life. */
uint64_t peak_memory(void)
{
    uint64_t most = read_counter(&peak);
    if (most && most != UNKNOWN)
        return most;
    return sampled ? sampled : UNKNOWN;
}

uint64_t oom_kills(void)
{
    return increase(&oom, oom_before);
}

uint64_t pids_refused(void)
{
    return increase(&pids, pids_before);
}

uint64_t is_full(const char *path)
{
    struct statvfs state;
    if (statvfs(path, &state) < 0)
        return UNKNOWN;
    return !state.f_bavail || (state.f_files && !state.f_favail);
}
