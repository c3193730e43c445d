/* The value channel: what a function is called with, and what it returns. Two files in memory.
 *
 * Files and not pipes: nobody has to pump them, and what was written is there when all processes are gone.
 */

#include "pid1.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U /* which a host can demand (vm.memfd_noexec) */
#endif

enum { GIVEN = 3, RETURNS = 4 }; /* the program's descriptors */

static int given_file = -1, returned_file = -1;
static size_t taken;

static int new_file(void)
{
    int file = memfd_create("value", MFD_CLOEXEC | MFD_NOEXEC_SEAL);
    return file >= 0 ? file : memfd_create("value", MFD_CLOEXEC); /* Linux before 6.3 does not know it */
}

int value_take(const unsigned char *data, size_t size)
{
    if (taken + size > MAX_VALUE)
        protocol_is_broken("a value that is too long");
    if (given_file < 0) {
        given_file = new_file();
        returned_file = new_file();
    }
    while (size) {
        ssize_t count = pwrite(given_file, data, size, (off_t)taken); /* the program's reading starts at the front */
        if (count < 0)
            return -1;
        taken += (size_t)count;
        data += count;
        size -= (size_t)count;
    }
    return given_file < 0 || returned_file < 0 ? -1 : 0;
}

size_t value_given(struct given *given)
{
    if (given_file < 0)
        return 0;
    given[0] = (struct given){given_file, GIVEN};
    given[1] = (struct given){returned_file, RETURNS};
    return 2;
}

bool value_is_there(void)
{
    return given_file >= 0;
}

int value_take_out(size_t *size)
{
    int file = given_file;
    *size = taken;
    given_file = -1;
    value_close();
    return file;
}

/* Of what is more than may come back, nothing does. */
int value_returned(size_t *size)
{
    struct stat state;
    int file = returned_file;
    *size = file >= 0 && fstat(file, &state) == 0 && state.st_size <= MAX_RETURNED ? (size_t)state.st_size : 0;
    returned_file = -1;
    value_close();
    return file;
}

void value_close(void)
{
    close_kept(&given_file);
    close_kept(&returned_file);
    taken = 0;
}
