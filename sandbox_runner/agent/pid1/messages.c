/* Cuts what a kernel writes into displays and the ends of jobs. Holds less than one line.
 *
 *     show JOB LENGTH        a display: one line of JSON, in so many bytes
 *     done JOB CODE          the end of the job, with its exit code; all that it printed is in the pipes
 *
 * It may come from the program that the kernel runs: nothing but these two lines is taken, of the running job
 * alone.
 */

#include "pid1.h"

#include <string.h>

enum { MOST_DIGITS = 10, CODES = 256 };

/* From here on this job is the one. What is left of a former one's display is dropped. */
void messages_begin(struct messages *messages, unsigned job)
{
    messages->code = -1;
    messages->job = job;
    messages->dropped = true;
    messages->room = MAX_RETURNED;
}

static bool read_number(const char **at, char end, uint64_t *number)
{
    const char *from = *at;
    for (*number = 0; **at >= '0' && **at <= '9'; ++*at)
        *number = *number * 10 + (uint64_t)(**at - '0');
    return *at > from && *at - from <= MOST_DIGITS && *(*at)++ == end;
}

static bool read_line(struct messages *messages)
{
    const char *line = messages->line, *at = line + 5;
    uint64_t job, number;
    bool shows = strncmp(line, "show ", 5) == 0;
    if (messages->code >= 0 || (!shows && strncmp(line, "done ", 5) != 0) || !read_number(&at, ' ', &job) ||
        !read_number(&at, '\0', &number))
        return false;
    if (!shows) {
        messages->code = (int)number;
        return job == messages->job && number < CODES;
    }
    if (job > messages->job || number > MAX_RETURNED)
        return false;
    messages->left = number;
    messages->dropped = job != messages->job || number >= messages->room;
    messages->room -= messages->dropped ? 0 : number + 1;
    return true;
}

/* How much of the data belongs to the line, or 0 where that is none. */
static size_t take_line(struct messages *messages, const unsigned char *data, size_t size)
{
    const unsigned char *newline = memchr(data, '\n', size);
    size_t length = newline ? (size_t)(newline - data) : size;
    if (length > LONGEST_LINE - messages->held || memchr(data, 0, length))
        return 0;
    memcpy(messages->line + messages->held, data, length);
    messages->held += length;
    if (!newline)
        return length;
    messages->line[messages->held] = 0;
    messages->held = 0;
    return read_line(messages) ? length + 1 : 0;
}

bool messages_feed(struct messages *messages, const unsigned char *data, size_t size, show_handler *show, void *with)
{
    for (size_t at = 0, taken; at < size; at += taken) {
        if (!messages->left) {
            taken = take_line(messages, data + at, size - at);
            if (!taken)
                return false;
            continue;
        }
        taken = size - at < messages->left ? size - at : messages->left;
        messages->left -= taken;
        if (messages->dropped)
            continue;
        show(data + at, taken, with);
        if (!messages->left)
            show((const unsigned char *)"\n", 1, with);
    }
    return true;
}
