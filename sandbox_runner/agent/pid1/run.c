/* A job while it runs: its limits, how it ends, and what is reported of it.
 *
 * What a program's job and a kernel's have in common; program_run.c and kernel_run.c have the rest.
 */

#include "pid1.h"

#include <sched.h>
#include <string.h>

enum { HIGHEST_SIGNAL = 64, EXIT_SIZE = 1 + 4 + 8 + 10 * 8, MOST_CPUS = 1 << 13 };

const double SECONDS_LINGER = 0.5; /* for processes that outlive the main program to finish what they print */
const double SECONDS_NEVER = 1e18;
static const double CPU_LOOK = 0.01; /* seconds between two looks at the CPU time, at least */
static const double SAMPLE = 0.05;   /* and at the memory, where the kernel keeps no peak */
static const double KILL_AGAIN = 0.01;

void run_begin(struct run *run, const struct kind *kind, unsigned number, const struct job *job, double started)
{
    *run = (struct run){
        .kind = kind,
        .number = number,
        .session = job->session,
        .gives_back = *job->patterns || value_is_there(),
        .started = started,
        .deadline = started + job->wall_time,
        .look = started,
        .cpu_limit = job->cpu_time,
        .cause = NO_CAUSE,
        .code_file = -1,
        .mute_end = SECONDS_NEVER,
        .streams = {.job = number, .allowed = job->output},
    };
}

static int cores(void)
{
    static cpu_set_t set[MOST_CPUS / CPU_SETSIZE];
    if (sched_getaffinity(0, sizeof set, set) < 0)
        return 1;
    int count = CPU_COUNT_S(sizeof set, set);
    return count > 0 ? count : 1;
}

enum cause limit_exceeded(struct run *run, double now)
{
    if (now >= run->deadline)
        return TIMED_OUT;
    if (now < run->look)
        return NO_CAUSE;
    double left = run->cpu_limit - (double)cpu_time_used() / 1e9;
    if (left <= 0)
        return CPU_LIMIT;
    left /= cores();
    run->look = now + (left > CPU_LOOK ? left : CPU_LOOK);
    return NO_CAUSE;
}

static double earlier(double one, double other)
{
    return one < other ? one : other;
}

double run_next_look(const struct run *run, double now)
{
    if (run->phase == KILLING)
        return now + KILL_AGAIN;
    if (run->phase == EMPTYING) /* waits for the host alone */
        return SECONDS_NEVER;
    double next = run->kind->next_look(run);
    if (now < run->streams.pause_end)
        next = earlier(next, run->streams.pause_end);
    if (evidence_needs_samples())
        next = earlier(next, now + SAMPLE);
    return next;
}

static void send_signal(const struct run *run, const unsigned char *payload, size_t size)
{
    if (size != 1 || *payload < 1 || *payload > HIGHEST_SIGNAL)
        protocol_is_broken("a SIGNAL that is none");
    if (run->phase == RUNNING)
        signal_group(run->kernel ? &run->kernel->program : &run->program, *payload);
}

void run_handle(struct run *run, int kind, const unsigned char *payload, size_t size)
{
    if (kind == CANCEL)
        run->kind->end(run, CANCELLED);
    else if (kind == STDIN)
        input_take(&run->input, payload, size);
    else if (kind == STDIN_EOF)
        input_end(&run->input);
    else if (kind == SIGNAL)
        send_signal(run, payload, size);
    else
        protocol_is_broken("a frame of another kind while a job runs");
}

static void send_exit(struct run *run)
{
    unsigned char body[EXIT_SIZE] = {(unsigned char)run->cause}, *at = body + 1;
    at = put_u32(at, (uint32_t)run->status);
    at = put_double(at, run->wall_time);
    const uint64_t counts[] = {
        cpu_time_used(), peak_memory(), oom_kills(), pids_refused(), is_full("."), is_full("/tmp"),
        run->streams.outputs[0].sent, run->streams.outputs[1].sent,
        run->gives_back ? giveback_omitted() : 0, run->state_lost,
    };
    for (size_t count = 0; count < sizeof counts / sizeof *counts; count++)
        at = put_u64(at, counts[count]);
    channel_send(EXIT, run->number, body, sizeof body);
    run->phase = OVER;
}

static void send_credit(struct run *run)
{
    unsigned char body[4];
    put_u32(body, run->input.credit);
    channel_send(CREDIT, run->number, body, sizeof body);
    run->input.credit = 0;
}

/* Moves bytes, enforces limits, and sends EXIT once all is over. */
void run_advance(struct run *run, double now)
{
    if (run->input.pipe >= 0 && is_ready(run->input.pipe))
        input_feed(&run->input);
    run->kind->move(run);
    if (run->phase < EMPTYING) {
        streams_pump_ready(&run->streams, now);
        if (evidence_needs_samples())
            evidence_sample();
        run->kind->enforce(run, now);
    }
    if (run->phase == EMPTYING && run->kind->empty(run)) {
        close_kept(&run->input.pipe);
        if (!run->gives_back || giveback_pump(run->number))
            send_exit(run);
    }
    if (run->input.credit && channel_is_clear() && run->phase < OVER)
        send_credit(run);
}
