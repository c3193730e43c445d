/* The interpreter that waits to be the program: started before there is a job, with PID 1's own environment.
 *
 * It reads from BEGIN what it is to be: a NUL is the program, a one a session's kernel, in place of which it is
 * then on CODE and MESSAGES; anything else names modules to import, which it answers on ANSWERS with the names
 * that this added, a blank after each, and a newline. See `usercustomize.py` and images/node/preload.cjs.
 */

#include "pid1.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* No interpreter has that many files as it starts, and no table of files is larger for them. */
enum { BEGIN = 62, ANSWERS = 63 };
#define USER_SITE ".local" /* a program's own packages, which Python looks for as it starts */

extern char **environ;

static struct program waiting; /* its pid is 0 where nothing waits */
static char *const *command;
static const char *kernel_folder; /* what the command can be run with to be a kernel, or NULL */
static char home[4096];
static int begin_pipe = -1, answer_pipe = -1;
static bool loading;
static char answer[1 << 16]; /* each name and a blank */
static size_t answer_size;

void waiting_start(const char *kernel, char **argv)
{
    int begin[2], answers[2];
    if (!getcwd(home, sizeof home) || pipe2(begin, O_CLOEXEC) < 0 || pipe2(answers, O_CLOEXEC) < 0)
        return;
    const struct given given[] = {{begin[0], BEGIN}, {answers[1], ANSWERS}};
    int failed = program_spawn(&waiting, argv, environ, home, given, 2);
    close_all((int[]){begin[0], answers[1]}, 2);
    begin_pipe = begin[1], answer_pipe = answers[0];
    if (failed) {
        waiting.pid = 0;
        close_kept(&begin_pipe);
        close_kept(&answer_pipe);
    }
    command = argv;
    kernel_folder = kernel;
}

bool waiting_is_there(void)
{
    return waiting.pid > 0;
}

bool waiting_can_be_kernel(void)
{
    return waiting.pid > 0 && kernel_folder && !loading && !answer_size;
}

int waiting_answers(void)
{
    return waiting.pid > 0 && loading ? answer_pipe : -1;
}

static bool tell(const void *message, size_t size)
{
    return write(begin_pipe, message, size) > 0; /* else it has ended */
}

bool waiting_load(const unsigned char *names, size_t size)
{
    loading = waiting.pid > 0 && tell(names, size);
    return loading;
}

bool waiting_take_answer(void)
{
    size_t room = sizeof answer - 1 - answer_size;
    ssize_t count = read(answer_pipe, answer + answer_size, room);
    if (count <= 0) { /* what it has imported has closed the pipe, or its names are too many */
        waiting_end();
        return true;
    }
    answer_size += (size_t)count;
    loading = answer[answer_size - 1] != '\n';
    return !loading;
}

static bool are_same(char *const *some, char *const *others)
{
    while (*some && *others && strcmp(*some, *others) == 0)
        some++, others++;
    return !*some && !*others;
}

static bool has_place_of(const struct job *job)
{
    return are_same(job->env, environ) && strcmp(job->cwd, home) == 0 && access(USER_SITE, F_OK) < 0;
}

/* False where the name of a file could mean a module that is loaded already. */
static bool is_not_loaded(const char *name, unsigned char type, void *with)
{
    (void)type, (void)with;
    size_t size = strcspn(name, ".");
    if (!size)
        return true;
    for (const char *at = answer; (at = memmem(at, answer_size - (size_t)(at - answer), name, size)); at++)
        if ((at == answer || at[-1] == ' ' || at[-1] == '\n') && at[size] == ' ')
            return false;
    return true;
}

static bool is_shadowed(void)
{
    if (!answer_size)
        return loading;
    int folder = openat(home_folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool shadowed = folder < 0 || !each_entry(folder, is_not_loaded, NULL);
    close_kept(&folder);
    return shadowed || loading;
}

/* It is somebody else's now, or has ended. */
static void let_go(void)
{
    waiting.pid = 0;
    loading = false;
}

bool waiting_begin(const struct job *job, struct program *program)
{
    bool same = waiting.pid > 0 && !job->session && are_same(job->argv, command) && has_place_of(job);
    if (!same || value_is_there() || is_shadowed() || !tell("", 1)) {
        waiting_end();
        return false;
    }
    *program = waiting;
    close_kept(&begin_pipe);
    close_kept(&answer_pipe);
    let_go();
    return true;
}

bool waiting_begin_kernel(const struct job *job, struct program *program, int *code, int *messages)
{
    bool same = waiting_can_be_kernel() && job->argv[1] && !job->argv[2] && has_place_of(job) &&
                strcmp(job->argv[0], command[0]) == 0 && strcmp(job->argv[1], kernel_folder) == 0;
    if (!same || is_dying(waiting.pid) || !tell("\1", 1)) { /* a command of the session may have killed it */
        waiting_end();
        return false;
    }
    *program = waiting;
    *code = begin_pipe, *messages = answer_pipe;
    begin_pipe = answer_pipe = -1;
    let_go();
    return true;
}

static void close_pipes(void)
{
    close_all((int[]){waiting.in, waiting.out, waiting.err}, 3);
    close_kept(&begin_pipe);
    close_kept(&answer_pipe);
}

void waiting_end(void)
{
    if (waiting.pid <= 0)
        return;
    kill(waiting.pid, SIGKILL);
    while (waitpid(waiting.pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    close_pipes();
    let_go();
}

bool waiting_note_ended(pid_t pid)
{
    if (waiting.pid <= 0 || pid != waiting.pid)
        return false;
    bool answers = loading;
    close_pipes();
    let_go();
    return answers;
}
