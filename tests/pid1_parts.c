/* Parts of PID 1, called one by one, with every wrong access to memory found out (-fsanitize).
 *
 * Reads requests (u32 length, a letter, what it is about) and answers each (u32 length, text) by a process of its
 * own, so that none knows of another.
 */

#include "pid1.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ANSWERS = 1, MOST = 1 << 24 };

static unsigned char request[MOST + 1];
static unsigned char answer[MOST];
static size_t answer_size;

static void add(const void *data, size_t size)
{
    if (size > sizeof answer - answer_size)
        abort();
    memcpy(answer + answer_size, data, size);
    answer_size += size;
}

static void say(const char *format, ...)
{
    char text[1 << 12];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    add(text, strlen(text));
}

static void write_all(int file, const void *data, size_t size)
{
    for (ssize_t count; size; size -= (size_t)count, data = (const char *)data + count)
        if ((count = write(file, data, size)) <= 0)
            exit(1);
}

static void send_answer(void)
{
    unsigned char size[4];
    put_u32(size, (uint32_t)answer_size);
    write_all(ANSWERS, size, 4);
    write_all(ANSWERS, answer, answer_size);
}

/* What the parts call of those that are left out. */
unsigned job_at_hand = 1;

_Noreturn void protocol_is_broken(const char *why)
{
    answer_size = 0;
    say("broken: %s", why);
    send_answer();
    exit(0);
}

_Noreturn void host_is_gone(void)
{
    abort();
}

bool is_ready(int descriptor)
{
    return descriptor >= 0;
}

static void add_texts(char **texts)
{
    size_t count = 0;
    while (texts[count])
        count++;
    say("%zu", count);
    add("", 1);
    for (; *texts; texts++)
        add(*texts, strlen(*texts) + 1);
}

static void job(unsigned char *payload, size_t size)
{
    struct job job;
    job_read(&job, payload, size);
    say("%a %a %lu %u %lu %lu %d\n", job.wall_time, job.cpu_time, (unsigned long)job.output, job.artifact_count,
        (unsigned long)job.artifact_size, (unsigned long)job.artifact_bytes, job.session);
    add_texts((char *[]){job.cwd, job.kernel, NULL});
    add_texts(job.argv);
    add_texts(job.env);
    add_texts(job.patterns);
}

static void add_frame(int kind, unsigned number, unsigned char *payload, size_t size)
{
    say("%d %u %zu\n", kind, number, size);
    add(payload, size);
}

/* The stream comes on descriptor 0, in pieces of the size that the first four bytes say. */
static void frames(unsigned char *data, size_t size)
{
    size_t step = get_u32(data);
    for (size_t at = 4; at < size; at += step) {
        int ends[2];
        if (pipe(ends) < 0)
            abort();
        size_t piece = size - at < step ? size - at : step;
        write_all(ends[1], data + at, piece);
        dup2(ends[0], 0);
        close(ends[0]);
        close(ends[1]);
        channel_receive(add_frame);
    }
}

static void add_piece(const unsigned char *piece, size_t size, void *with)
{
    (void)with;
    add(piece, size);
}

/* The job's number, the size of the pieces, and what a kernel writes; the answer ends with the code. */
static void messages(unsigned char *data, size_t size)
{
    struct messages messages = {0};
    size_t step = get_u32(data + 4);
    messages_begin(&messages, get_u32(data));
    for (size_t at = 8; at < size; at += step)
        if (!messages_feed(&messages, data + at, size - at < step ? size - at : step, add_piece, NULL))
            protocol_is_broken("a message");
    say("\n%d", messages.code);
}

/* A path and a pattern, a NUL after each. */
static void patterns(unsigned char *data, size_t size)
{
    (void)size;
    const char *path = (char *)data, *pattern = path + strlen(path) + 1;
    say("%d %d %d %zu", path_fits(path, pattern), path_leads_to(path, pattern), plain_path(path), characters(path));
}

static void add_entry(const char *path, bool regular)
{
    say("%d", regular);
    add(path, strlen(path) + 1);
}

/* Patterns, a NUL after each. Looks at the working folder, waits for it to change, and tells how it has. */
static void tree(unsigned char *data, size_t size)
{
    char line, *wanted[MAX_PATTERNS + 1] = {NULL};
    for (size_t at = 0, count = 0; at < size && count < MAX_PATTERNS; at += strlen((char *)data + at) + 1)
        wanted[count++] = (char *)data + at;
    open_places();
    tree_note(wanted);
    send_answer();
    if (read(0, &line, 1) != 1)
        exit(1);
    tree_changed(add_entry);
}

/* Counts, waits for the files to change, and counts again. The folder is the working one. */
static void evidence(unsigned char *data, size_t size)
{
    char line[8];
    (void)data, (void)size;
    evidence_open();
    evidence_begin();
    do {
        if (evidence_needs_samples())
            evidence_sample();
        answer_size = 0;
        say("%ld %ld %ld %ld %d", (long)cpu_time_used(), (long)peak_memory(), (long)oom_kills(), (long)pids_refused(),
            evidence_needs_samples());
        send_answer();
    } while (read(0, line, 1) == 1 && *line == 'c');
    exit(0);
}

static bool read_all(unsigned char *data, size_t size)
{
    for (ssize_t count; size; size -= (size_t)count, data += count)
        if ((count = read(0, data, size)) <= 0)
            return false;
    return true;
}

int main(void)
{
    static void (*const parts[128])(unsigned char *, size_t) = {
        ['j'] = job, ['f'] = frames, ['m'] = messages, ['p'] = patterns, ['e'] = evidence, ['t'] = tree,
    };
    unsigned char head[4];
    while (read_all(head, 4)) {
        size_t size = get_u32(head);
        if (size > MOST || !read_all(request, size))
            return 1;
        pid_t child = fork();
        if (child == 0) {
            parts[request[0]](request + 1, size - 1);
            send_answer();
            exit(0);
        }
        int status;
        if (waitpid(child, &status, 0) < 0)
            return 1;
        if (status) {
            say("crashed: %d", status);
            send_answer();
            answer_size = 0;
        }
    }
    return 0;
}
