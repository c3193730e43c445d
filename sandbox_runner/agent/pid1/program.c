/* The program of a job: started, reaped, killed.
 *
 * posix_spawn and not a fork: it says by itself whether the exec succeeded, and copies no page tables. The exec
 * makes the program dumpable again.
 */

#include "pid1.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"
enum { EXITING = 4 };
#define TAKE_ME_FIRST "1000" /* of oom_score_adj: the kernel is to take the program before PID 1 */

int home_folder = -1, oom_score = -1;
char failed_name[PATH_MAX + 1];
const char *failed_why;

void note_failed_name(const char *name)
{
    snprintf(failed_name, sizeof failed_name, "%s", name);
    failed_why = NULL;
}

/* Opened while PID 1 is dumpable. They stay for ever, so that no pipe of ours has the number of a descriptor that a
 * program finds its value on. */
void open_places(void)
{
    home_folder = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    oom_score = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
    if (oom_score < 0)
        fcntl(home_folder, F_DUPFD_CLOEXEC, 0);
}

void close_kept(int *descriptor)
{
    if (*descriptor >= 0)
        close(*descriptor);
    *descriptor = -1;
}

void close_all(const int *descriptors, size_t count)
{
    for (size_t at = 0; at < count; at++)
        if (descriptors[at] >= 0)
            close(descriptors[at]);
}

static const char *find_program(const char *name, char *const env[])
{
    static char candidate[PATH_MAX + 1];
    if (strchr(name, '/'))
        return name;
    const char *path = DEFAULT_PATH;
    for (char *const *each = env; *each; each++)
        if (strncmp(*each, "PATH=", 5) == 0)
            path = *each + 5;
    for (const char *end; path; path = *end ? end + 1 : NULL) {
        end = strchrnul(path, ':');
        const char *folder = end == path ? "." : path;
        int size = end == path ? 1 : (int)(end - path);
        int written = snprintf(candidate, sizeof candidate, "%.*s/%s", size, folder, name);
        struct stat state;
        if (written < (int)sizeof candidate && access(candidate, X_OK) == 0 && stat(candidate, &state) == 0 &&
            S_ISREG(state.st_mode))
            return candidate;
    }
    return NULL;
}

/* Where one is left out for want of memory the program must not start: it would have the channel's descriptors. */
static int add_given(posix_spawn_file_actions_t *actions, const struct given *given, size_t count)
{
    int error = 0;
    for (size_t at = 0; at < count && !error; at++)
        error = posix_spawn_file_actions_adddup2(actions, given[at].ours, given[at].theirs);
    return error;
}

static int set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    int error = posix_spawnattr_setflags(attributes,
                                         POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    error = error ? error : posix_spawnattr_setsigmask(attributes, &none);
    return error ? error : posix_spawnattr_setsigdefault(attributes, &all);
}

static int spawn_with(pid_t *pid, char *const argv[], char *const env[], const struct given *given, size_t count)
{
    const char *file = find_program(argv[0], env);
    note_failed_name(file ? file : argv[0]);
    if (!file) {
        failed_why = "not found on PATH";
        return ENOENT;
    }
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    int error = add_given(&actions, given, count);
    error = error ? error : set_attributes(&attributes);
    error = error ? error : posix_spawn(pid, file, &actions, &attributes, argv, env);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return error;
}

/* The child inherits oom_score_adj. Where there is none, or on gVisor, nothing happens. */
static int spawn_as_victim(pid_t *pid, char *const argv[], char *const env[], const struct given *given, size_t count)
{
    char own[16];
    ssize_t size = pread(oom_score, own, sizeof own, 0);
    if (size > 0 && pwrite(oom_score, TAKE_ME_FIRST, strlen(TAKE_ME_FIRST), 0) < 0)
        size = 0;
    int error = spawn_with(pid, argv, env, given, count);
    if (size > 0 && pwrite(oom_score, own, (size_t)size, 0) < 0)
        size = 0;
    return error;
}

static int open_pipes(int *pipes)
{
    for (int at = 0; at < 3; at++)
        if (pipe2(pipes + 2 * at, O_CLOEXEC) < 0) {
            note_failed_name("pipe");
            return -1;
        }
    return 0;
}

static void unblock_ours(struct program *program, const int *pipes)
{
    program->in = pipes[1], program->out = pipes[2], program->err = pipes[4];
    fcntl(program->in, F_SETFL, O_WRONLY | O_NONBLOCK);
    fcntl(program->out, F_SETFL, O_RDONLY | O_NONBLOCK);
    fcntl(program->err, F_SETFL, O_RDONLY | O_NONBLOCK);
}

enum { MOST_GIVEN = 5 };

int program_spawn(struct program *program, char *const argv[], char *const env[], const char *cwd,
                  const struct given *given, size_t count)
{
    int pipes[6] = {-1, -1, -1, -1, -1, -1};
    if (chdir(cwd) < 0) {
        note_failed_name(cwd);
        return -1;
    }
    int error = open_pipes(pipes) < 0 ? errno : 0;
    if (!error) {
        struct given all[MOST_GIVEN] = {{pipes[0], 0}, {pipes[3], 1}, {pipes[5], 2}};
        memcpy(all + 3, given, count * sizeof *given);
        error = spawn_as_victim(&program->pid, argv, env, all, 3 + count);
    }
    if (fchdir(home_folder) < 0 && !error)
        error = errno;
    if (error) {
        close_all(pipes, 6);
        errno = error;
        return -1;
    }
    close_all((int[]){pipes[0], pipes[3], pipes[5]}, 3);
    unblock_ours(program, pipes);
    return 0;
}

pid_t reap(int *status, bool *left)
{
    for (;;) {
        pid_t pid = waitpid(-1, status, WNOHANG | __WALL); /* also who announces its end by another signal */
        if (pid < 0 && errno == EINTR)
            continue;
        *left = pid >= 0;
        if (pid <= 0)
            return 0;
        if (!WIFSTOPPED(*status)) /* which is told of a child that made us its tracer */
            return pid;
    }
}

/* In one step that no fork outruns. */
void kill_everything(void)
{
    kill(-1, SIGKILL);
}

void signal_group(const struct program *program, int number)
{
    killpg(program->pid, number);
}

bool group_is_left(const struct program *program)
{
    return killpg(program->pid, 0) == 0;
}

/* Of /proc/PID/stat what follows the name, which can hold anything. */
static char *stat_of(const char *process)
{
    static char text[4096];
    char path[64];
    snprintf(path, sizeof path, "/proc/%.20s/stat", process);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = file < 0 ? -1 : read(file, text, sizeof text - 1);
    close_kept(&file);
    if (size < 0)
        return NULL;
    text[size] = 0;
    char *name_end = strrchr(text, ')');
    return name_end ? name_end + 1 : NULL;
}

/* Whether it ends, or has been killed and is yet to: proc(5), state, flags (PF_EXITING) and pending signals. */
bool is_dying(pid_t pid)
{
    char process[16], state;
    unsigned flags;
    unsigned long pending = 0;
    snprintf(process, sizeof process, "%d", pid);
    const char *fields = stat_of(process);
    if (!fields || sscanf(fields, " %c %*d %*d %*d %*d %*d %u", &state, &flags) != 2)
        return true;
    for (int field = 0; fields && field < 28; field++)
        fields = strchr(fields + 1, ' ');
    if (fields)
        sscanf(fields + 1, "%lu", &pending);
    return state == 'Z' || state == 'X' || flags & EXITING || pending & 1UL << (SIGKILL - 1);
}

struct look {
    void (*at)(pid_t pid, char *fields, void *with);
    void *with;
};

static bool look_at(const char *name, unsigned char type, void *look)
{
    (void)type;
    char *end;
    long pid = strtol(name, &end, 10);
    char *fields = *end || pid <= 1 ? NULL : stat_of(name);
    if (fields)
        ((struct look *)look)->at((pid_t)pid, fields, ((struct look *)look)->with);
    return true;
}

void each_process(void (*look)(pid_t pid, char *fields, void *with), void *with)
{
    int folder = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return; /* the program can lower our limit of open files */
    each_entry(folder, look_at, &(struct look){look, with});
    close(folder);
}

/* Field 6 of /proc/PID/stat is the session: the fourth after the name. */
static void kill_of_session(pid_t pid, char *fields, void *session)
{
    int found;
    if (sscanf(fields, " %*c %*d %*d %d", &found) == 1 && found == *(pid_t *)session)
        kill(pid, SIGKILL);
}

void kill_session(const struct program *program)
{
    pid_t session = program->pid;
    signal_group(program, SIGKILL);
    each_process(kill_of_session, &session);
}
