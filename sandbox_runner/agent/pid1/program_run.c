/* A job that is a program of its own.
 *
 *     RUNNING -- main program ends --> LINGERING -- pipes end, or 0.5 s --> KILLING --> EMPTYING --> OVER
 *        └───────────── a limit, or CANCEL ────────────────────────────────────┘
 *
 * From LINGERING on the cause is known; only too much output found in the pipes changes it. EMPTYING ends with
 * what is given back. Where the job is one of a session KILLING ends the program's process group, else all that
 * runs.
 */

#include "pid1.h"

#include <signal.h>
#include <sys/wait.h>

enum { ROUNDS = 17 }; /* reads of what is left in a pipe that others still hold: as much as a pipe can hold */
static const double NEVER_REAPED = 1; /* seconds for the rest of a group to be reaped, by whoever is its parent */

void program_run_start(struct run *run, const struct program *program)
{
    run->program = *program;
    run->input.pipe = program->in;
    run->outputs[0] = (struct output){.kind = STDOUT, .pipe = program->out};
    run->outputs[1] = (struct output){.kind = STDERR, .pipe = program->err};
    run->streams.outputs = run->outputs;
    run->rounds[0] = run->rounds[1] = ROUNDS;
}

static void kill_all(const struct run *run)
{
    if (run->session)
        signal_group(&run->program, SIGKILL);
    else
        kill_everything();
}

static void end(struct run *run, enum cause cause)
{
    if (run->phase == RUNNING)
        run->cause = cause;
    if (run->phase < KILLING) {
        run->phase = KILLING;
        run->killed = now_in_seconds();
        kill_all(run);
    }
}

void program_run_note_ended(struct run *run, pid_t pid, int status)
{
    if (pid != run->program.pid || run->reaped)
        return;
    run->reaped = true;
    run->wall_time = now_in_seconds() - run->started;
    if (run->phase != RUNNING)
        return;
    run->phase = LINGERING;
    run->linger_end = run->started + run->wall_time + SECONDS_LINGER;
    run->cause = WIFEXITED(status) ? EXITED : SIGNALED;
    run->status = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
}

void run_note_none_left(struct run *run)
{
    if (!run->kernel && run->phase < EMPTYING)
        run->phase = EMPTYING;
}

static bool are_silent(const struct run *run)
{
    return run->outputs[0].pipe < 0 && run->outputs[1].pipe < 0;
}

/* More was printed than is allowed, be it while the main program ran or found in the pipes after. */
static void overflow(struct run *run)
{
    close_kept(&run->outputs[0].pipe);
    close_kept(&run->outputs[1].pipe);
    if (run->cause == EXITED || run->cause == SIGNALED)
        run->cause = OUTPUT_LIMIT, run->status = 0;
    end(run, OUTPUT_LIMIT);
}

static void kill_again(struct run *run, double now)
{
    kill_all(run);
    bool gone = !group_is_left(&run->program) || now - run->killed > NEVER_REAPED;
    if (run->session && run->reaped && gone)
        run->phase = EMPTYING;
}

static void enforce(struct run *run, double now)
{
    if (run->streams.overflowed)
        overflow(run);
    if (run->phase == RUNNING) {
        enum cause cause = limit_exceeded(run, now);
        if (cause != NO_CAUSE)
            end(run, cause);
    } else if (run->phase == LINGERING) {
        if (are_silent(run) || now >= run->linger_end || now >= run->deadline)
            end(run, NO_CAUSE);
    }
    if (run->phase == KILLING)
        kill_again(run, now);
}

/* No process is left, so that a pipe that is empty stays so; in a session others may still write. */
static bool empty(struct run *run)
{
    for (int at = 0; at < 2; at++) {
        struct output *output = run->outputs + at;
        while (output->pipe >= 0 && channel_is_clear()) {
            bool more = streams_pump(&run->streams, output) > 0;
            if (!more || (run->session && !--run->rounds[at]))
                close_kept(&output->pipe);
        }
    }
    if (run->streams.overflowed)
        overflow(run);
    return are_silent(run);
}

static double next_look(const struct run *run)
{
    double next = run->phase == RUNNING ? run->look : run->linger_end;
    return next < run->deadline ? next : run->deadline;
}

static void move(struct run *run)
{
    (void)run;
}

static int nothing(const struct run *run)
{
    (void)run;
    return -1;
}

const struct kind program_kind = {
    .end = end, .enforce = enforce, .move = move, .empty = empty, .next_look = next_look,
    .listen = nothing, .write_to = nothing,
};
