/* The files that the host sends ahead of a job, written below the workspace and nowhere else.
 *
 * A former job may have left anything there: no link is followed, nothing that exists is written through.
 */

#include "pid1.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MODE_SIZE = 4, /* bytes of the mode ahead of the path */
    FOLDER = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
    NEW_FILE = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
};

static int file_written = -1;
static char path_written[PATH_MAX + 1];

static int create_file(int folder, const char *name)
{
    int file = openat(folder, name, NEW_FILE, 0600);
    if (file >= 0 || errno != EEXIST || unlinkat(folder, name, 0) < 0)
        return file;
    return openat(folder, name, NEW_FILE, 0600);
}

/* Goes into the folder, which it makes where there is none; the former is closed. */
static int enter(int folder, const char *name)
{
    int inner = -1;
    if (mkdirat(folder, name, 0755) == 0 || errno == EEXIST)
        inner = openat(folder, name, FOLDER);
    int error = errno;
    close(folder);
    errno = error;
    return inner;
}

/* The path is cut at its separators. */
static int create_below(char *path)
{
    int folder = fcntl(home_folder, F_DUPFD_CLOEXEC, 0);
    char *name = path;
    for (char *end; folder >= 0 && (end = strchr(name, '/')); name = end + 1) {
        *end = 0;
        note_failed_name(name);
        folder = enter(folder, name);
    }
    if (folder < 0)
        return -1;
    note_failed_name(name);
    int file = create_file(folder, name);
    int error = errno;
    close(folder);
    errno = error;
    return file;
}

static bool is_plain(const char *path)
{
    for (const char *name = path, *end; name; name = *end ? end + 1 : NULL) {
        end = strchrnul(name, '/');
        size_t size = (size_t)(end - name);
        if (!size || (size == 1 && *name == '.') || (size == 2 && memcmp(name, "..", 2) == 0))
            return false;
    }
    return true;
}

static int begin_file(const unsigned char *payload, size_t size)
{
    if (size <= MODE_SIZE)
        protocol_is_broken("a FILE is too short");
    size_t length = size - MODE_SIZE;
    bool whole = length <= PATH_MAX && !memchr(payload + MODE_SIZE, 0, length);
    length = length < PATH_MAX ? length : PATH_MAX;
    memcpy(path_written, payload + MODE_SIZE, length);
    path_written[length] = 0;
    if (!whole || !is_plain(path_written)) {
        for (size_t at = 0; at < length; at++)
            path_written[at] = path_written[at] ? path_written[at] : '?';
        note_failed_name(path_written);
        errno = EINVAL;
        return -1;
    }
    char path[PATH_MAX + 1];
    memcpy(path, path_written, length + 1);
    file_written = create_below(path);
    if (file_written < 0)
        return -1;
    return fchmod(file_written, get_u32(payload) & 0777);
}

static int write_all(const unsigned char *data, size_t size)
{
    while (size) {
        ssize_t count = write(file_written, data, size);
        if (count < 0 && errno != EINTR) {
            note_failed_name(path_written);
            return -1;
        }
        count = count < 0 ? 0 : count;
        data += count;
        size -= (size_t)count;
    }
    return 0;
}

int workspace_take(int kind, const unsigned char *payload, size_t size)
{
    if (kind == FILE_DATA) {
        if (file_written < 0)
            protocol_is_broken("FILE_DATA without a file");
        return write_all(payload, size);
    }
    workspace_close();
    return kind == FILE_BEGIN ? begin_file(payload, size) : 0;
}

void workspace_close(void)
{
    close_kept(&file_written);
}
