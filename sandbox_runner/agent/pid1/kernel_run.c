/* A job that a kernel runs: what it is sent, what it shows, and how it ends without the kernel's end.
 *
 * RUNNING -- done ------------------------------------------------------> EMPTYING --> OVER
 *    │  └─── a limit, or CANCEL --> INTERRUPTED -- done ----------------->    ▲
 *    │                                   └── the grace passes, or CANCEL ─┐   │
 *    ├─────────── it breaks the rules of kernel.c ────────────────────────┴> KILLING
 *    └─────────── the kernel ends --------------------------------------->    ┘
 */

#include "pid1.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 17 }; /* reads of both outputs after the end: as much as a pipe can hold; others may still write */

static bool has_code(const struct run *run)
{
    return run->code_line_begin < run->code_line_end || run->code_begin < run->code_end;
}

static void drop_code(struct run *run)
{
    run->code_line_begin = run->code_line_end = run->code_begin = run->code_end = 0;
}

/* It has closed a descriptor, so that it will never be done; most likely it is about to end. */
static void mute(struct run *run)
{
    double end = now_in_seconds() + SECONDS_LINGER;
    drop_code(run);
    run->mute_end = end < run->mute_end ? end : run->mute_end;
}

static ssize_t write_code(struct run *run)
{
    int pipe = run->kernel->code_pipe;
    if (run->code_line_begin < run->code_line_end) {
        ssize_t count = write(pipe, run->code_line + run->code_line_begin, run->code_line_end - run->code_line_begin);
        run->code_line_begin += count > 0 ? (size_t)count : 0;
        return count;
    }
    size_t left = run->code_end - run->code_begin;
    ssize_t size = pread(run->code_file, buffer, left < BUFFER_SIZE ? left : BUFFER_SIZE, (off_t)run->code_begin);
    ssize_t count = size > 0 ? write(pipe, buffer, (size_t)size) : -1;
    run->code_begin += count > 0 ? (size_t)count : 0;
    return count;
}

static void feed(struct run *run)
{
    while (has_code(run))
        if (write_code(run) < 0) {
            if (errno != EAGAIN && errno != EINTR)
                mute(run);
            break;
        }
    if (!has_code(run))
        close_kept(&run->code_file);
}

void kernel_run_start(struct run *run, struct kernel *kernel, int code_file, size_t size, bool state_lost)
{
    run->kernel = kernel;
    run->input.pipe = kernel_begin(kernel, run->number);
    run->streams.outputs = kernel->outputs;
    run->code_file = code_file;
    run->code_end = size;
    run->code_line_end =
        (size_t)snprintf(run->code_line, sizeof run->code_line, "__run__ %u %zu\n", run->number, size);
    run->rounds[0] = ROUNDS;
    run->state_lost = state_lost;
    feed(run);
}

static void kill_kernel(struct run *run)
{
    run->phase = KILLING;
    run->state_lost = true;
    kill_session(&run->kernel->program);
}

/* It does what no kernel does, so nothing that it says counts any more. */
static void break_off(struct run *run)
{
    drop_code(run);
    if (run->phase == RUNNING)
        run->cause = SIGNALED, run->status = SIGKILL;
    kill_kernel(run);
}

static void finish(struct run *run)
{
    run->wall_time = now_in_seconds() - run->started;
    run->phase = EMPTYING;
}

void kernel_run_note_ended(struct run *run, pid_t pid)
{
    if (pid != run->kernel->program.pid || run->phase >= EMPTYING)
        return;
    int status = run->kernel->status;
    if (run->phase == RUNNING) {
        run->cause = WIFEXITED(status) ? EXITED : SIGNALED;
        run->status = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
    }
    run->state_lost = true;
    kill_session(&run->kernel->program); /* what it leaves could still hold its descriptors */
    finish(run);
}

/* Interrupts what runs; the second time there is no patience any more. */
static void end(struct run *run, enum cause cause)
{
    if (run->phase == INTERRUPTED)
        kill_kernel(run);
    if (run->phase != RUNNING)
        return;
    double now = now_in_seconds();
    run->cause = cause;
    run->phase = INTERRUPTED;
    run->again = now + GRACE / 2.0, run->grace_end = now + GRACE;
    signal_group(&run->kernel->program, SIGINT);
}

static void enforce_interrupted(struct run *run, double now)
{
    if (now >= run->grace_end) {
        kill_kernel(run);
    } else if (now >= run->again) { /* a shell that was just about to start a program misses the first */
        run->again = run->grace_end;
        signal_group(&run->kernel->program, SIGINT);
    }
}

static void enforce(struct run *run, double now)
{
    if (run->phase < KILLING && now >= run->mute_end) {
        break_off(run);
    } else if (run->phase == RUNNING) {
        enum cause cause = run->streams.overflowed ? OUTPUT_LIMIT : limit_exceeded(run, now);
        if (cause != NO_CAUSE)
            end(run, cause);
    } else if (run->phase == INTERRUPTED) {
        enforce_interrupted(run, now);
    } else if (run->phase == KILLING) {
        kill_session(&run->kernel->program);
    }
}

static void show(const unsigned char *piece, size_t size, void *run)
{
    channel_send(RETURNED, ((struct run *)run)->number, piece, size);
}

static int listen_to(const struct run *run)
{
    bool listens = channel_is_clear() && run->phase < KILLING && run->mute_end == SECONDS_NEVER;
    return listens ? run->kernel->message_pipe : -1;
}

static void hear(struct run *run)
{
    struct messages *messages = &run->kernel->messages;
    ssize_t count = read(run->kernel->message_pipe, buffer, BUFFER_SIZE);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count <= 0) {
        mute(run);
    } else if (!messages_feed(messages, buffer, (size_t)count, show, run)) {
        break_off(run);
    } else if (messages->code >= 0) {
        if (has_code(run)) { /* it has not even read its code */
            break_off(run);
            return;
        }
        if (run->phase == RUNNING)
            run->cause = EXITED, run->status = messages->code;
        finish(run);
    }
}

static int write_to(const struct run *run)
{
    return has_code(run) ? run->kernel->code_pipe : -1;
}

static void move(struct run *run)
{
    if (run->phase >= EMPTYING)
        return;
    if (write_to(run) >= 0 && is_ready(write_to(run)))
        feed(run);
    if (listen_to(run) >= 0 && is_ready(listen_to(run)))
        hear(run);
}

/* All that the job itself has printed is in the pipes; what others go on to print can wait. */
static bool empty(struct run *run)
{
    for (; run->rounds[0]; run->rounds[0]--) {
        if (!channel_is_clear())
            return false;
        bool more = false;
        for (int at = 0; at < 2; at++)
            if (run->kernel->outputs[at].pipe >= 0)
                more |= streams_pump(&run->streams, run->kernel->outputs + at) > 0;
        if (!more)
            run->rounds[0] = 1;
    }
    if (run->streams.overflowed && (run->cause == EXITED || run->cause == SIGNALED))
        run->cause = OUTPUT_LIMIT, run->status = 0;
    close_kept(&run->code_file);
    return true;
}

static double next_look(const struct run *run)
{
    double first = run->phase == RUNNING ? run->deadline : run->again;
    double second = run->phase == RUNNING ? run->look : run->grace_end;
    first = first < second ? first : second;
    return first < run->mute_end ? first : run->mute_end;
}

const struct kind kernel_kind = {
    .end = end, .enforce = enforce, .move = move, .empty = empty, .next_look = next_look,
    .listen = listen_to, .write_to = write_to,
};
