/* A kernel: a process that runs one piece of code after another and keeps what they leave behind.
 *
 * On its descriptor 3 it reads, for each job, a line and then as many bytes of code as that says:
 *
 *     __run__ JOB LENGTH
 *
 * On its descriptor 4 it writes the lines of messages.c. Its standard streams are the same pipes for all jobs. Each
 * job has its own standard input nevertheless: the pipe's writing end is closed for the end of input, and opened
 * again for the next job.
 */

#include "pid1.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    CODE = 3, MESSAGES = 4, /* the kernel's descriptors */
    ROUNDS = 17,            /* reads of what a former job has left on its standard input: more than a pipe can hold */
};

static struct kernel kernels[MAX_KERNELS];

/* Another descriptor of the same pipe, or -1: of an end that may have been closed. */
static int open_again(int pipe, int mode)
{
    char path[40];
    if (pipe < 0)
        return -1;
    snprintf(path, sizeof path, "/proc/self/fd/%d", pipe);
    return open(path, mode | O_NONBLOCK | O_CLOEXEC);
}

static int start(const struct job *job, struct kernel *kernel)
{
    int code[2] = {-1, -1}, messages[2] = {-1, -1};
    note_failed_name("pipe");
    int failed = pipe2(code, O_CLOEXEC) < 0 || pipe2(messages, O_CLOEXEC) < 0 ? -1 : 0;
    const struct given given[] = {{code[0], CODE}, {messages[1], MESSAGES}};
    failed = failed ? failed : program_spawn(&kernel->program, job->argv, job->env, job->cwd, given, 2);
    int error = errno;
    close_all((int[]){code[0], messages[1]}, 2);
    kernel->code_pipe = code[1], kernel->message_pipe = messages[0];
    if (failed)
        close_all((int[]){code[1], messages[0]}, 2);
    errno = error;
    return failed;
}

static void set_up(struct kernel *kernel, const char *name)
{
    fcntl(kernel->code_pipe, F_SETFL, O_WRONLY | O_NONBLOCK);
    fcntl(kernel->message_pipe, F_SETFL, O_RDONLY | O_NONBLOCK);
    kernel->outputs[0] = (struct output){.kind = STDOUT, .pipe = kernel->program.out};
    kernel->outputs[1] = (struct output){.kind = STDERR, .pipe = kernel->program.err};
    kernel->stdin_reader = open_again(kernel->program.in, O_RDONLY);
    snprintf(kernel->name, sizeof kernel->name, "%s", name);
}

static struct kernel *find(const char *name)
{
    for (size_t at = 0; at < MAX_KERNELS; at++)
        if (strcmp(kernels[at].name, name) == 0)
            return kernels + at;
    return NULL;
}

struct kernel *kernel_for(const struct job *job, unsigned char *flags, bool *state_lost)
{
    struct kernel *kernel = find(job->kernel);
    *flags = 0;
    *state_lost = false;
    if (kernel && !kernel->ended)
        return kernel;
    if (kernel) {
        *state_lost = true;
        kernel_close(kernel);
    }
    kernel = find("");
    if (!kernel) {
        note_failed_name(job->kernel);
        failed_why = "there are as many kernels as there may be";
        errno = EAGAIN;
        return NULL;
    }
    *kernel = (struct kernel){0};
    if (waiting_begin_kernel(job, &kernel->program, &kernel->code_pipe, &kernel->message_pipe))
        *flags = WARM;
    else if (start(job, kernel) < 0)
        return NULL;
    set_up(kernel, job->kernel);
    return kernel;
}

static void drain(int pipe)
{
    for (int round = 0; round < ROUNDS && read(pipe, buffer, BUFFER_SIZE) > 0; round++)
        continue;
}

int kernel_begin(struct kernel *kernel, unsigned job)
{
    messages_begin(&kernel->messages, job);
    kernel->outputs[0].sent = kernel->outputs[1].sent = 0;
    int in = kernel->program.in;
    kernel->program.in = -1;
    if (in >= 0)
        return in;
    drain(kernel->stdin_reader);
    return open_again(kernel->stdin_reader, O_WRONLY);
}

void kernels_note_ended(pid_t pid, int status)
{
    for (size_t at = 0; at < MAX_KERNELS; at++)
        if (*kernels[at].name && !kernels[at].ended && kernels[at].program.pid == pid)
            kernels[at].ended = true, kernels[at].status = status;
}

/* When it is not to be talked to any more. */
void kernel_close(struct kernel *kernel)
{
    close_all((int[]){kernel->code_pipe, kernel->message_pipe, kernel->stdin_reader, kernel->program.in,
                      kernel->outputs[0].pipe, kernel->outputs[1].pipe}, 6);
    kernel->name[0] = 0;
}
