/* The frames from and to the host. Never blocks: what the host does not take yet is kept. */

#include "pid1.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/select.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    CHUNK = 1 << 16,
    MOST_UNSENT = 1 << 19, /* much is sent to a clear channel only, so that far less is ever kept */
    LAST_WORDS = 1,        /* seconds for a host that reads no more */
};

static unsigned char received[HEADER_SIZE + MAX_PAYLOAD + CHUNK];
static size_t received_size;
static unsigned char unsent[MOST_UNSENT];
static size_t unsent_begin, unsent_end;

static void unblock(int descriptor)
{
    fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK);
}

void channel_open(void)
{
    unblock(0);
    unblock(1);
}

bool channel_is_clear(void)
{
    return unsent_begin == unsent_end;
}

static bool take_frame(size_t *position, frame_handler *handle)
{
    if (received_size - *position < HEADER_SIZE)
        return false;
    unsigned char *header = received + *position;
    size_t size = get_u32(header + 4);
    if (header[1] || size > MAX_PAYLOAD)
        protocol_is_broken("bad frame header");
    if (received_size - *position < HEADER_SIZE + size)
        return false;
    *position += HEADER_SIZE + size;
    handle(header[0], (unsigned)header[2] << 8 | header[3], header + HEADER_SIZE, size);
    return true;
}

void channel_receive(frame_handler *handle)
{
    size_t room = sizeof received - received_size;
    ssize_t count = read(0, received + received_size, room < CHUNK ? room : CHUNK);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count <= 0)
        host_is_gone();
    received_size += (size_t)count;
    size_t position = 0;
    while (take_frame(&position, handle))
        continue;
    received_size -= position;
    if (position && received_size)
        memmove(received, received + position, received_size);
}

static size_t attempt(const struct iovec *pieces, int count)
{
    ssize_t sent = writev(1, pieces, count);
    if (sent >= 0)
        return (size_t)sent;
    if (errno != EAGAIN && errno != EINTR)
        host_is_gone();
    return 0;
}

static void keep(const void *data, size_t size)
{
    if (size > sizeof unsent - unsent_end)
        host_is_gone(); /* cannot be, but nothing is written behind the end either */
    memcpy(unsent + unsent_end, data, size);
    unsent_end += size;
}

static void put_header(unsigned char *header, int kind, unsigned job, size_t size)
{
    header[0] = (unsigned char)kind;
    header[1] = 0;
    header[2] = (unsigned char)(job >> 8);
    header[3] = (unsigned char)job;
    put_u32(header + 4, (uint32_t)size);
}

void channel_send(int kind, unsigned job, const void *payload, size_t size)
{
    unsigned char header[HEADER_SIZE];
    put_header(header, kind, job, size);
    struct iovec pieces[] = {{header, sizeof header}, {(void *)payload, size}};
    size_t sent = channel_is_clear() ? attempt(pieces, 2) : 0;
    if (sent < sizeof header) {
        keep(header + sent, sizeof header - sent);
        sent = sizeof header;
    }
    sent -= sizeof header;
    keep((const unsigned char *)payload + sent, size - sent);
}

void channel_send_in_place(int kind, unsigned job, unsigned char *payload, size_t size)
{
    unsigned char *frame = payload - HEADER_SIZE;
    put_header(frame, kind, job, size);
    struct iovec piece = {frame, HEADER_SIZE + size};
    size_t sent = channel_is_clear() ? attempt(&piece, 1) : 0;
    keep(frame + sent, HEADER_SIZE + size - sent);
}

void channel_flush(void)
{
    struct iovec piece = {unsent + unsent_begin, unsent_end - unsent_begin};
    unsent_begin += attempt(&piece, 1);
    if (channel_is_clear())
        unsent_begin = unsent_end = 0;
}

void channel_finish(void)
{
    while (!channel_is_clear()) {
        fd_set writers;
        FD_ZERO(&writers);
        FD_SET(1, &writers);
        struct timeval patience = {.tv_sec = LAST_WORDS};
        if (select(2, NULL, &writers, NULL, &patience) <= 0)
            return;
        channel_flush();
    }
}
