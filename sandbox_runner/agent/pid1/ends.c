/* How PID 1 itself ends. With it all processes of the container do; they are killed first all the same. */

#include "pid1.h"

#include <string.h>
#include <unistd.h>

unsigned job_at_hand = 1;

_Noreturn void host_is_gone(void)
{
    kill_everything();
    _exit(0);
}

_Noreturn void protocol_is_broken(const char *why)
{
    kill_everything();
    unsigned char body[256] = {STAGE_PROTOCOL};
    size_t size = strlen(why);
    size = size < sizeof body - 5 ? size : sizeof body - 5;
    memcpy(body + 5, why, size);
    channel_send(FAILED, job_at_hand, body, 5 + size);
    channel_finish();
    _exit(1);
}
