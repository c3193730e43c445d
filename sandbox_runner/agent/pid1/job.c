/* The payload of JOB, taken apart where it lies. */

#include "pid1.h"

#include <string.h>

enum { LIMITS_SIZE = 1 + 8 + 8 + 8 + 4 + 8 + 8 };

/* Of all texts of a job, with a NULL after each of four lists: each text takes four bytes at least. */
static char *texts[MAX_PAYLOAD / 4 + 4];

struct reader {
    unsigned char *data;
    size_t size, position, used;
};

static uint32_t read_number(struct reader *reader)
{
    if (reader->size - reader->position < 4)
        protocol_is_broken("a frame ends within a number");
    uint32_t number = get_u32(reader->data + reader->position);
    reader->position += 4;
    return number;
}

/* Moves the text over the length before it, which leaves room for the NUL behind it. */
static char *read_text(struct reader *reader)
{
    size_t size = read_number(reader);
    if (reader->size - reader->position < size)
        protocol_is_broken("a string reaches past its frame");
    unsigned char *text = reader->data + reader->position;
    if (memchr(text, 0, size))
        protocol_is_broken("a JOB with a NUL byte in a string");
    char *moved = (char *)text - 4;
    memmove(moved, text, size);
    moved[size] = 0;
    reader->position += size;
    return moved;
}

static char **read_texts(struct reader *reader, uint32_t *count)
{
    *count = read_number(reader);
    char **first = texts + reader->used;
    for (uint32_t at = 0; at < *count; at++)
        texts[reader->used++] = read_text(reader);
    texts[reader->used++] = NULL;
    return first;
}

static bool is_utf8(const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at;) {
        size_t size = character_size((const char *)at);
        if (size == 1 && *at >= 0x80)
            return false;
        at += size;
    }
    return true;
}

static void check(const struct job *job)
{
    for (int at = 0; at < 2; at++) {
        double seconds = at ? job->cpu_time : job->wall_time;
        if (!(seconds > 0 && seconds <= MAX_SECONDS)) /* nor is it, where it is not a number */
            protocol_is_broken("a JOB with a limit of seconds that is none");
    }
    if (*job->kernel && !job->session)
        protocol_is_broken("a JOB with a kernel outside a session");
    if (strlen(job->kernel) > MAX_KERNEL_NAME)
        protocol_is_broken("a JOB with a kernel whose name is too long");
    for (char **each = job->env; *each; each++)
        if (!strchr(*each, '=') || **each == '=')
            protocol_is_broken("a JOB with an environment string that is not NAME=VALUE");
    for (char **each = job->patterns; *each; each++)
        if (!is_utf8(*each))
            protocol_is_broken("a JOB with a pattern that is not UTF-8");
}

void job_read(struct job *job, unsigned char *payload, size_t size)
{
    if (size < LIMITS_SIZE)
        protocol_is_broken("a JOB is too short");
    unsigned flags = payload[0];
    job->wall_time = get_double(payload + 1);
    job->cpu_time = get_double(payload + 9);
    job->output = get_u64(payload + 17);
    job->artifact_count = get_u32(payload + 25);
    job->artifact_size = get_u64(payload + 29);
    job->artifact_bytes = get_u64(payload + 37);
    struct reader reader = {payload, size, LIMITS_SIZE, 0};
    uint32_t folders, words, variables, patterns;
    char **places = read_texts(&reader, &folders);
    job->argv = read_texts(&reader, &words);
    job->env = read_texts(&reader, &variables);
    job->patterns = read_texts(&reader, &patterns);
    if (reader.position != size || folders != 2 || !words || flags & ~(unsigned)SESSION || patterns > MAX_PATTERNS)
        protocol_is_broken("a JOB is malformed");
    job->cwd = places[0];
    job->kernel = places[1];
    job->session = flags & SESSION;
    check(job);
}
