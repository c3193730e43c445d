/* Makes PID 1 untouchable for the program, which runs under the same user id. */

#include "pid1.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { HIGHEST_DESCRIPTOR = 1 << 16 };

int child_ends = -1;

/* Bars other processes of this user from tracing this one, its memory and its descriptors.
 * prctl(2), PR_SET_DUMPABLE; ptrace(2), "Ptrace access mode checking". Whether it took effect. */
bool make_undumpable(void)
{
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0;
}

/* What the container's runtime may have left open beyond the standard streams. */
void close_inherited(void)
{
    if (syscall(SYS_close_range, 3, HIGHEST_DESCRIPTOR, 0) == 0)
        return;
    for (int each = 3; each <= HIGHEST_DESCRIPTOR; each++)
        close(each);
}

/* Ignores every signal that can be. Those that a process of the container sends without a handler here are not
 * delivered to PID 1 anyway; the kernel's own (SIGXCPU, SIGIO of a descriptor whose owner the program set) are. */
void ignore_signals(void)
{
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    for (int number = 1; number <= SIGRTMAX; number++)
        if (number != SIGCHLD)
            signal(number, SIG_IGN); /* refused for SIGKILL, SIGSTOP, and two of the C library's own */
    sigprocmask(SIG_SETMASK, &child, NULL);
    child_ends = signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC);
    if (child_ends < 0)
        _exit(1); /* nothing would ever be seen to end */
}

bool a_child_has_ended(void)
{
    struct signalfd_siginfo told; /* one for however many, so it is read before they are waited for */
    return is_ready(child_ends) && read(child_ends, &told, sizeof told) > 0;
}
