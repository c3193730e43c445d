/* PID 1: seals itself, greets the host, and runs one job after another until the host is gone.
 *
 *     pid1 [-k KERNEL] [COMMAND…]
 *
 * COMMAND is an interpreter that waits to be the first job's program, or, run with KERNEL instead of its arguments,
 * the kernel of a session; see waiting.c.
 */

#include "pid1.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LONGEST_WAIT = 3600,
    BLANK = 32, /* below it are no characters of a name, but what is told else */
    LONGEST_FAILURE = 5 + PATH_MAX + 256,
};

static struct run run; /* of the job that runs, if one does */
static bool runs;
static fd_set ready_readers, ready_writers;

bool is_ready(int descriptor)
{
    return FD_ISSET(descriptor, &ready_readers) || FD_ISSET(descriptor, &ready_writers);
}

/* The job is over; what else arrives for it is dropped. */
static void close_job(void)
{
    job_at_hand++;
    value_close();
}

/* The job is not run. */
static void fail(enum stage stage, int error)
{
    unsigned char body[LONGEST_FAILURE] = {(unsigned char)stage};
    put_u32(body + 1, (uint32_t)error);
    int size = snprintf((char *)body + 5, sizeof body - 5, "%s: %s", failed_name,
                        failed_why ? failed_why : strerror(error));
    size_t length = size < (int)sizeof body - 5 ? (size_t)size : sizeof body - 6;
    channel_send(FAILED, job_at_hand, body, 5 + length);
    close_job();
}

static void tell_preloaded(unsigned char flags)
{
    channel_send(PRELOADED, job_at_hand, &flags, 1);
}

static void preload(const unsigned char *names, size_t size)
{
    bool named = size > 0 && size <= MAX_PRELOAD;
    for (size_t at = 0; at < size; at++)
        named &= names[at] >= BLANK;
    if (!named)
        protocol_is_broken("a PRELOAD that is too long, or none");
    if (!waiting_load(names, size))
        tell_preloaded(0);
}

static int start_program(const struct job *job, double started)
{
    struct program program;
    unsigned char flags = 0;
    run_begin(&run, &program_kind, job_at_hand, job, started);
    if (run.gives_back)
        giveback_begin(job);
    /* In a session the kernel may still be to come. */
    if (!(job->session && waiting_can_be_kernel()) && waiting_begin(job, &program)) {
        flags = WARM;
    } else {
        struct given given[2];
        if (program_spawn(&program, job->argv, job->env, job->cwd, given, value_given(given)) < 0)
            return -1;
    }
    channel_send(STARTED, job_at_hand, &flags, 1);
    program_run_start(&run, &program);
    return 0;
}

static int start_in_kernel(const struct job *job, double started)
{
    unsigned char flags;
    bool state_lost;
    size_t size;
    struct kernel *kernel = kernel_for(job, &flags, &state_lost);
    if (!kernel)
        return -1;
    channel_send(STARTED, job_at_hand, &flags, 1);
    int code = value_take_out(&size);
    run_begin(&run, &kernel_kind, job_at_hand, job, started);
    if (run.gives_back)
        giveback_begin(job);
    kernel_run_start(&run, kernel, code, size, state_lost);
    return 0;
}

static void start(unsigned char *payload, size_t size)
{
    struct job job;
    workspace_close();
    double started = now_in_seconds();
    job_read(&job, payload, size);
    evidence_begin();
    runs = (*job.kernel ? start_in_kernel(&job, started) : start_program(&job, started)) == 0;
    if (!runs)
        fail(STAGE_EXEC, errno);
}

static void take_in(int kind, const unsigned char *payload, size_t size)
{
    note_failed_name("value");
    int failed = kind == VALUE ? value_take(payload, size) : workspace_take(kind, payload, size);
    if (failed) {
        int error = errno;
        workspace_close();
        fail(STAGE_FILE, error);
    }
}

static void handle(int kind, unsigned job, unsigned char *payload, size_t size)
{
    if (job > 0 && job < job_at_hand)
        return; /* sent before the host knew that the job was over */
    if (job != job_at_hand)
        protocol_is_broken("a frame of a job after the next");
    if (runs)
        run_handle(&run, kind, payload, size);
    else if (kind == FILE_BEGIN || kind == FILE_DATA || kind == FILE_END || kind == VALUE)
        take_in(kind, payload, size);
    else if (kind == JOB)
        start(payload, size);
    else if (kind == PRELOAD)
        preload(payload, size);
    else
        protocol_is_broken("a frame of another kind while no job runs");
}

static void reap_all(void)
{
    int status;
    bool left;
    for (pid_t pid; (pid = reap(&status, &left));) {
        if (waiting_note_ended(pid))
            tell_preloaded(0);
        kernels_note_ended(pid, status);
        if (runs && run.kernel)
            kernel_run_note_ended(&run, pid);
        else if (runs)
            program_run_note_ended(&run, pid, status);
    }
    if (runs && !left)
        run_note_none_left(&run);
}

static void watch(int descriptor, fd_set *set, int *highest)
{
    if (descriptor < 0)
        return;
    FD_SET(descriptor, set);
    *highest = descriptor > *highest ? descriptor : *highest;
}

static void watch_run(int *highest, double now)
{
    for (int at = 0; at < 2; at++)
        if (streams_want_more(&run.streams, now))
            watch(run.streams.outputs[at].pipe, &ready_readers, highest);
    if (run.input.begin < run.input.end)
        watch(run.input.pipe, &ready_writers, highest);
    watch(run.kind->listen(&run), &ready_readers, highest);
    watch(run.kind->write_to(&run), &ready_writers, highest);
}

/* By select: poll fails where the program lowered our limit of files. */
static void wait_for_something(void)
{
    int highest = 1;
    double now = now_in_seconds(), wait = LONGEST_WAIT;
    FD_ZERO(&ready_readers);
    FD_ZERO(&ready_writers);
    watch(0, &ready_readers, &highest);
    watch(child_ends, &ready_readers, &highest);
    watch(channel_is_clear() ? -1 : 1, &ready_writers, &highest);
    watch(waiting_answers(), &ready_readers, &highest);
    if (runs) {
        watch_run(&highest, now);
        double left = run_next_look(&run, now) - now;
        wait = left < 0 ? 0 : left < wait ? left : wait;
    }
    struct timespec timeout = {(time_t)wait, (long)((wait - (double)(time_t)wait) * 1e9)};
    if (pselect(highest + 1, &ready_readers, &ready_writers, NULL, &timeout, NULL) < 0) {
        FD_ZERO(&ready_readers); /* no signal interrupts it, but who has stopped PID 1 and let it go on */
        FD_ZERO(&ready_writers);
    }
}

static void step(void)
{
    wait_for_something();
    if (FD_ISSET(1, &ready_writers))
        channel_flush();
    if (FD_ISSET(0, &ready_readers))
        channel_receive(handle);
    int answers = waiting_answers();
    if (answers >= 0 && is_ready(answers) && waiting_take_answer())
        tell_preloaded(waiting_is_there() ? WARM : 0);
    if (a_child_has_ended() || (runs && run.phase == KILLING))
        reap_all();
    if (!runs)
        return;
    run_advance(&run, now_in_seconds());
    if (run.phase == OVER) {
        if (run.kernel && run.kernel->ended)
            kernel_close(run.kernel); /* as the host is told */
        runs = false;
        close_job();
    }
}

int main(int argc, char **argv)
{
    if (getpid() != 1) {
        fputs("This is PID 1 of a container; elsewhere it would kill all processes of its user.\n", stderr);
        return 1;
    }
    const char *kernel = argc > 2 && strcmp(argv[1], "-k") == 0 ? argv[2] : NULL;
    char **command = argv + (kernel ? 3 : 1);
    close_inherited();
    umask(022);
    open_places();
    unsigned char hello[] = {0, VERSION, make_undumpable() ? UNDUMPABLE : 0};
    ignore_signals();
    channel_open();
    evidence_open();
    if (*command)
        waiting_start(kernel, command);
    hello[2] |= waiting_is_there() ? WARM : 0;
    channel_send(HELLO, 0, hello, sizeof hello);
    for (;;)
        step();
}
