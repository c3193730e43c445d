/* Numbers as frames have them, in network byte order, and the clock that all limits go by. */

#include "pid1.h"

#include <string.h>
#include <time.h>

uint32_t get_u32(const unsigned char *from)
{
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

uint64_t get_u64(const unsigned char *from)
{
    return (uint64_t)get_u32(from) << 32 | get_u32(from + 4);
}

double get_double(const unsigned char *from)
{
    uint64_t bits = get_u64(from);
    double number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

unsigned char *put_u32(unsigned char *to, uint32_t number)
{
    for (int at = 0; at < 4; at++)
        to[at] = (unsigned char)(number >> (24 - 8 * at));
    return to + 4;
}

unsigned char *put_u64(unsigned char *to, uint64_t number)
{
    return put_u32(put_u32(to, (uint32_t)(number >> 32)), (uint32_t)number);
}

unsigned char *put_double(unsigned char *to, double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    return put_u64(to, bits);
}

double now_in_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}
