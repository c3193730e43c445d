/* What goes back when no process is left: the value, then files of the workspace that the program changed.
 *
 * A program may have put anything there: no link is followed, nothing but a regular file is read,
 * and neither the number of entries nor their sizes decide how long it takes.
 */

#include "pid1.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum {
    MAX_LISTED = 1 << 20, /* bytes of the paths of all files that go back: the memory is the program's */
    ARTIFACT_BODY = 9,
};

enum step { VALUE_STEP, LOOK_STEP, FILES_STEP, DONE_STEP };

/* Patterns of the job, which outlives its frame; and the paths found, each with its NUL. */
static char patterns_text[MAX_PAYLOAD];
static char *patterns[MAX_PATTERNS + 1];
static char paths_text[MAX_LISTED + MAX_ENTRIES];
static size_t paths_end, paths_left;
static char *paths[MAX_ENTRIES];
static size_t path_count, path_at;

static enum step step;
static uint32_t omitted, room;
static uint64_t bytes_left, most_of_one;
static int file_sent = -1; /* the file that is being sent, the kind of its frames, and how far it is */
static int kind_sent;
static size_t position, size_sent;

void giveback_begin(const struct job *job)
{
    size_t used = 0, count = 0;
    for (; job->patterns[count]; count++) {
        patterns[count] = patterns_text + used;
        used += strlen(strcpy(patterns[count], job->patterns[count])) + 1;
    }
    patterns[count] = NULL;
    step = VALUE_STEP;
    omitted = 0;
    room = job->artifact_count;
    bytes_left = job->artifact_bytes;
    most_of_one = job->artifact_size;
    tree_note(patterns);
}

uint32_t giveback_omitted(void)
{
    return omitted;
}

static void begin_file(int file, int kind, size_t size)
{
    file_sent = file, kind_sent = kind;
    position = 0, size_sent = size;
}

/* In a session somebody may have shortened it, but its size is told already. */
static void send_piece(unsigned job)
{
    size_t size = size_sent - position < BUFFER_SIZE ? size_sent - position : BUFFER_SIZE;
    ssize_t count = pread(file_sent, buffer, size, (off_t)position);
    if (count < 0 && errno == EINTR)
        return;
    if (count <= 0) {
        memset(buffer, 0, size);
        count = (ssize_t)size;
    }
    position += (size_t)count;
    channel_send_in_place(kind_sent, job, buffer, (size_t)count);
}

static void take_path(const char *path, bool regular)
{
    size_t size = characters(path);
    bool fits = size <= paths_left;
    paths_left -= fits ? size : paths_left;
    if (!regular || !fits || !plain_path(path) || strlen(path) >= sizeof paths_text - paths_end) {
        omitted++;
        return;
    }
    paths[path_count++] = strcpy(paths_text + paths_end, path);
    paths_end += strlen(path) + 1;
}

/* The shorter ones first: figure-9 before figure-10. */
static bool comes_before(const char *one, const char *other)
{
    size_t size = characters(one), other_size = characters(other);
    return size != other_size ? size < other_size : strcmp(one, other) < 0;
}

static void sort_paths(void)
{
    for (size_t gap = path_count / 2; gap; gap /= 2)
        for (size_t at = gap; at < path_count; at++) {
            char *path = paths[at];
            size_t to = at;
            for (; to >= gap && comes_before(path, paths[to - gap]); to -= gap)
                paths[to] = paths[to - gap];
            paths[to] = path;
        }
}

static void look(void)
{
    paths_end = path_count = path_at = 0;
    paths_left = MAX_LISTED;
    tree_changed(take_path);
    sort_paths();
}

static void send_file(const char *path, unsigned job)
{
    uint64_t size = 0;
    bool executable = false;
    int file = room ? tree_open(path, &size, &executable) : -1;
    if (file < 0 || size > most_of_one || size > bytes_left) {
        close_kept(&file);
        omitted++;
        return;
    }
    room--;
    bytes_left -= size;
    unsigned char body[ARTIFACT_BODY + MAX_PATH];
    *put_u64(body, size) = executable ? EXECUTABLE : 0;
    size_t length = strlen(path);
    memcpy(body + ARTIFACT_BODY, path, length);
    channel_send(ARTIFACT, job, body, ARTIFACT_BODY + length);
    begin_file(file, ARTIFACT_DATA, size);
}

static void take_step(unsigned job)
{
    size_t size;
    switch (step) {
    case VALUE_STEP:
        step = LOOK_STEP;
        int file = value_returned(&size);
        begin_file(file, RETURNED, size);
        return;
    case LOOK_STEP:
        step = FILES_STEP;
        look();
        return;
    case FILES_STEP:
        if (path_at < path_count)
            send_file(paths[path_at++], job);
        else
            step = DONE_STEP;
        return;
    case DONE_STEP:
        return;
    }
}

bool giveback_pump(unsigned job)
{
    while (channel_is_clear()) {
        if (file_sent >= 0 && position < size_sent)
            send_piece(job);
        else if (file_sent >= 0)
            close_kept(&file_sent);
        else if (step != DONE_STEP)
            take_step(job);
        else
            return true;
    }
    return false;
}
