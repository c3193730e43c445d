/* What lies below the workspace, as hostile as those who put it there.
 *
 * No link is followed, and fewer entries are looked at than MAX_ENTRIES, no deeper than MAX_DEPTH: a folder
 * below, or one that is barred, is an entry itself, and so is all the rest. What was there before a program is
 * known by its inode, size and times.
 */

#include "pid1.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    FOLDER = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
    READ = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
    FRESH = 50000000, /* nanoseconds: within so many after a change the next one may have the same time */
    LONGEST_PATH = (MAX_NAME + 1) * MAX_DEPTH,
    ROOM_FOR_FOLDERS = MAX_ENTRIES * (MAX_NAME + 1),
};

typedef void visitor(const char *path, const char *name, int folder);

static char *const *wanted;
static uint64_t known[MAX_ENTRIES];
static size_t known_count, left;
static bool cut;
static char path[LONGEST_PATH + MAX_NAME + 2];
static char folders[ROOM_FOR_FOLDERS]; /* names of those still to be looked into, of all depths */
static size_t folders_end;
static change_handler *tell;

static bool is_wanted(bool (*fitting)(const char *, const char *))
{
    for (char *const *pattern = wanted; *pattern; pattern++)
        if (fitting(path, *pattern))
            return true;
    return false;
}

/* One folder that is looked at; what leads to it is in the first bytes of the path. */
struct place {
    int folder;
    size_t prefix;
    visitor *visit;
};

static bool is_folder(const char *name, unsigned char type, int folder)
{
    struct stat state;
    if (type != DT_UNKNOWN)
        return type == DT_DIR;
    return fstatat(folder, name, &state, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(state.st_mode);
}

/* False where there are too many. */
static bool take_entry(const char *name, unsigned char type, void *with)
{
    const struct place *place = with;
    size_t size = strlen(name) + 1;
    if (!left) {
        cut = true;
        return false;
    }
    left--;
    memcpy(path + place->prefix, name, size);
    if (!is_folder(name, type, place->folder)) {
        if (is_wanted(path_fits))
            place->visit(path, path + place->prefix, place->folder);
    } else if (is_wanted(path_leads_to)) {
        memcpy(folders + folders_end, name, size);
        folders_end += size;
    }
    return true;
}

/* The program can bar us from its folders, and lower our limit of open files. */
static void look_below(int folder, size_t prefix, int depth, visitor *visit)
{
    size_t begin = folders_end;
    bool whole = each_entry(folder, take_entry, &(struct place){folder, prefix, visit});
    size_t end = folders_end;
    for (size_t at = begin; whole && at < end; at += strlen(folders + at) + 1) {
        size_t size = strlen(folders + at);
        memcpy(path + prefix, folders + at, size + 1);
        int inner = depth > 1 ? openat(folder, folders + at, FOLDER) : -1;
        if (inner < 0) {
            visit(path, path + prefix, folder);
            continue;
        }
        path[prefix + size] = '/';
        look_below(inner, prefix + size + 1, depth - 1, visit);
        close(inner);
    }
    folders_end = begin;
}

static void look_at_all(visitor *visit)
{
    left = MAX_ENTRIES - 1;
    cut = false;
    folders_end = 0;
    int folder = *wanted ? openat(home_folder, ".", FOLDER) : -1;
    if (folder < 0)
        return;
    look_below(folder, 0, MAX_DEPTH, visit);
    close(folder);
}

static uint64_t mix(uint64_t mark, uint64_t value)
{
    mark = (mark ^ value) * 0x9E3779B97F4A7C15u; /* of splitmix64 */
    return mark ^ mark >> 29;
}

/* A number that stands for all of it: thousands of paths would take memory that is the program's. */
static uint64_t mark_of(const char *at, const struct stat *state)
{
    uint64_t mark = 0;
    for (; *at; at++)
        mark = mix(mark, (unsigned char)*at);
    const uint64_t values[] = {
        state->st_ino, state->st_mode, (uint64_t)state->st_size,
        (uint64_t)state->st_mtim.tv_sec, (uint64_t)state->st_mtim.tv_nsec,
        (uint64_t)state->st_ctim.tv_sec, (uint64_t)state->st_ctim.tv_nsec,
    };
    for (size_t value = 0; value < sizeof values / sizeof *values; value++)
        mark = mix(mark, values[value]);
    return mark;
}

static int64_t nanoseconds(struct timespec time)
{
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

/* Gives it a time of change that no later change can have: one nanosecond before. The kernel's clock moves in steps
 * of milliseconds, and a program that is up already is faster. */
static int age(const char *name, int folder, struct stat *state)
{
    struct timespec times[] = {state->st_atim, state->st_mtim};
    int64_t before = nanoseconds(state->st_mtim) - 1;
    times[1] = (struct timespec){before / 1000000000, before % 1000000000};
    if (utimensat(folder, name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return -1;
    return fstatat(folder, name, state, AT_SYMLINK_NOFOLLOW);
}

static void note(const char *at, const char *name, int folder)
{
    struct timespec now;
    struct stat state;
    clock_gettime(CLOCK_REALTIME, &now);
    if (fstatat(folder, name, &state, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    if (nanoseconds(state.st_mtim) > nanoseconds(now) - FRESH && age(name, folder, &state) < 0)
        return;
    known[known_count++] = mark_of(at, &state);
}

static bool is_known(uint64_t mark)
{
    size_t low = 0, high = known_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (known[middle] < mark)
            low = middle + 1;
        else
            high = middle;
    }
    return low < known_count && known[low] == mark;
}

/* Shell sort: no memory and no stack of its own, and no order that makes it slow. */
static void sort_known(void)
{
    for (size_t gap = known_count / 2; gap; gap /= 2)
        for (size_t at = gap; at < known_count; at++) {
            uint64_t mark = known[at];
            size_t to = at;
            for (; to >= gap && known[to - gap] > mark; to -= gap)
                known[to] = known[to - gap];
            known[to] = mark;
        }
}

void tree_note(char *const *patterns)
{
    wanted = patterns;
    known_count = 0;
    look_at_all(note);
    sort_known();
}

static void compare(const char *at, const char *name, int folder)
{
    struct stat state;
    if (fstatat(folder, name, &state, AT_SYMLINK_NOFOLLOW) == 0) {
        if (!is_known(mark_of(at, &state)))
            tell(at, S_ISREG(state.st_mode));
    } else if (errno != ENOENT) { /* the program has barred its folder; else one of a session has removed it */
        tell(at, false);
    }
}

/* Where there are more entries than are looked at, one without a path stands for the rest. */
void tree_changed(change_handler *changed)
{
    tell = changed;
    look_at_all(compare);
    if (cut)
        tell("", false);
}

/* A descriptor of the regular file below the workspace, or -1. */
int tree_open(const char *at, uint64_t *size, bool *executable)
{
    char name[MAX_NAME + 1];
    struct stat state;
    int folder = fcntl(home_folder, F_DUPFD_CLOEXEC, 0);
    for (const char *end; folder >= 0 && (end = strchr(at, '/')); at = end + 1) {
        snprintf(name, sizeof name, "%.*s", (int)(end - at), at);
        int inner = openat(folder, name, FOLDER);
        close(folder);
        folder = inner;
    }
    int file = folder < 0 ? -1 : openat(folder, at, READ);
    close_kept(&folder);
    if (file >= 0 && (fstat(file, &state) < 0 || !S_ISREG(state.st_mode)))
        close_kept(&file);
    if (file < 0)
        return -1;
    *size = (uint64_t)state.st_size;
    *executable = state.st_mode & S_IXUSR;
    return file;
}
