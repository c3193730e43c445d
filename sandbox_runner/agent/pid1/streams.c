/* What the program prints and reads: bytes between its pipes and the channel. */

#include "pid1.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum {
    SMALL_READ = 4096, /* bytes: who prints less at a time, again and again, … */
    AHEAD = 1 << 18,   /* bytes that a program which fills its pipe may be ahead of us */
};
static const double PAUSE = 0.001; /* … is read once in so many seconds, or most of the CPU time would be ours */

static unsigned char framed[HEADER_SIZE + BUFFER_SIZE]; /* fits a daemon's pipe of 64 KiB: one write */
unsigned char *const buffer = framed + HEADER_SIZE;

static unsigned char waiting_input[STDIN_WINDOW];

/* Lets the program write while we do: on gVisor each change between the two costs much. */
static void widen(struct output *output)
{
    output->widened = true;
    if (fcntl(output->pipe, F_GETPIPE_SZ) < AHEAD)
        fcntl(output->pipe, F_SETPIPE_SZ, AHEAD);
}

/* Sends what one read yields, as far as it is allowed. The bytes read; 0 at the end of the pipe, which is then
 * closed; -1 where nothing is there now. */
ssize_t streams_pump(struct streams *streams, struct output *output)
{
    ssize_t count = read(output->pipe, buffer, BUFFER_SIZE);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return -1;
    if (count <= 0) {
        close_kept(&output->pipe);
        return 0;
    }
    size_t kept = (uint64_t)count < streams->allowed ? (size_t)count : (size_t)streams->allowed;
    if (kept)
        channel_send_in_place(output->kind, streams->job, buffer, kept);
    output->sent += kept;
    streams->allowed -= kept;
    streams->overflowed |= kept < (size_t)count;
    if (count == BUFFER_SIZE && !output->widened)
        widen(output);
    return count;
}

void streams_pump_ready(struct streams *streams, double now)
{
    size_t count = 0;
    for (int at = 0; at < 2; at++) {
        struct output *output = streams->outputs + at;
        if (output->pipe >= 0 && is_ready(output->pipe) && channel_is_clear()) {
            ssize_t read_now = streams_pump(streams, output);
            count += read_now > 0 ? (size_t)read_now : 0;
        }
    }
    if (!count)
        return;
    bool before = streams->small;
    streams->small = count < SMALL_READ;
    if (before && streams->small && now - streams->pumped < PAUSE)
        streams->pause_end = now + PAUSE;
    streams->pumped = now;
}

bool streams_want_more(const struct streams *streams, double now)
{
    return channel_is_clear() && now >= streams->pause_end;
}

static void write_input(struct input *input)
{
    ssize_t count = write(input->pipe, waiting_input + input->begin, input->end - input->begin);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count < 0) { /* nobody can read it any more */
        close_kept(&input->pipe);
        return;
    }
    input->begin += (size_t)count;
    input->credit += (uint32_t)count;
}

/* What the program will never read is dropped, and credited like what it took. */
void input_feed(struct input *input)
{
    if (input->begin < input->end && input->pipe >= 0)
        write_input(input);
    if (input->pipe < 0) {
        input->credit += (uint32_t)(input->end - input->begin);
        input->begin = input->end;
    } else if (input->ended && input->begin == input->end) {
        close_kept(&input->pipe);
    }
}

void input_take(struct input *input, const unsigned char *data, size_t size)
{
    size_t waiting = input->end - input->begin;
    if (input->ended || waiting + input->credit + size > STDIN_WINDOW)
        protocol_is_broken("STDIN beyond its credit or its end");
    memmove(waiting_input, waiting_input + input->begin, waiting);
    memcpy(waiting_input + waiting, data, size);
    input->begin = 0;
    input->end = waiting + size;
    input_feed(input);
}

void input_end(struct input *input)
{
    input->ended = true;
    input_feed(input);
}
