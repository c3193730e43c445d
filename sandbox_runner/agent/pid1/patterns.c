/* Which files may be given back: those whose path is plain and fits a pattern. See `patterns.py`, with which it
 * agrees on every path: the host takes nothing that does not fit. */

#include "pid1.h"

#include <string.h>

/* Bytes of the character that begins here, by RFC 3629: no other spelling of it, no surrogate, none beyond
 * U+10FFFF. One where there is none, as Python reads a name. */
size_t character_size(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    static const struct { unsigned char from, to, least, most; size_t size; } LEADS[] = {
        {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3}, {0xE1, 0xEC, 0x80, 0xBF, 3},
        {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3}, {0xF0, 0xF0, 0x90, 0xBF, 4},
        {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
    };
    for (size_t lead = 0; lead < sizeof LEADS / sizeof *LEADS; lead++) {
        if (at[0] < LEADS[lead].from || at[0] > LEADS[lead].to)
            continue;
        if (at[1] < LEADS[lead].least || at[1] > LEADS[lead].most)
            return 1;
        for (size_t next = 2; next < LEADS[lead].size; next++)
            if ((at[next] & 0xC0) != 0x80)
                return 1;
        return LEADS[lead].size;
    }
    return 1;
}

size_t characters(const char *text)
{
    size_t count = 0;
    for (; *text; text += character_size(text))
        count++;
    return count;
}

static uint32_t code_point(const unsigned char *at, size_t size)
{
    static const unsigned char MASKS[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    uint32_t point = at[0] & MASKS[size];
    for (size_t next = 1; next < size; next++)
        point = point << 6 | (at[next] & 0x3F);
    return point;
}

/* Separators of lines and paragraphs, and what changes the direction of the text after it. */
static bool is_misleading(uint32_t point)
{
    return point == 0x7F || point == 0x061C || point == 0x200E || point == 0x200F ||
           (point >= 0x2028 && point <= 0x202E) || (point >= 0x2066 && point <= 0x2069);
}

/* Whether the name can only mean a file in the folder it is used in, and shows as it is. */
static bool plain(const char *name, size_t size)
{
    if (!size || size > MAX_NAME || (size <= 2 && memcmp(name, "..", size) == 0))
        return false;
    for (size_t at = 0, step; at < size; at += step) {
        const unsigned char *here = (const unsigned char *)name + at;
        step = character_size((const char *)here);
        if (step == 1 && *here >= 0x80)
            return false;
        uint32_t point = code_point(here, step);
        if (point < 0x20 || (point >= 0x80 && point < 0xA0) || is_misleading(point))
            return false;
    }
    return true;
}

bool plain_path(const char *path)
{
    int parts = 0;
    if (strlen(path) > MAX_PATH)
        return false;
    for (const char *name = path, *end; name; name = *end ? end + 1 : NULL) {
        end = strchr(name, '/') ? strchr(name, '/') : name + strlen(name);
        if (++parts > MAX_DEPTH || !plain(name, (size_t)(end - name)))
            return false;
    }
    return true;
}

struct part {
    const char *at;
    size_t size;
    bool last;
};

static struct part part_at(const char *at)
{
    size_t size = strcspn(at, "/");
    return (struct part){at, size, !at[size]};
}

static bool is_any_depth(struct part part)
{
    return part.size == 2 && memcmp(part.at, "**", 2) == 0;
}

/* Whether all of the name fits: `*` is any text, `?` any character, the rest itself. */
static bool matches(struct part name, struct part pattern)
{
    const char *at = name.at, *end = name.at + name.size, *want = pattern.at, *want_end = pattern.at + pattern.size;
    const char *retry = NULL, *skipped = NULL;
    while (at < end) {
        if (want < want_end && *want == '*') {
            retry = ++want, skipped = at;
        } else if (want < want_end && *want == '?') {
            at += character_size(at), want++;
        } else if (want < want_end && *want == *at) {
            at++, want++;
        } else if (retry) {
            at = skipped += character_size(skipped);
            want = retry;
        } else {
            return false;
        }
    }
    while (want < want_end && *want == '*')
        want++;
    return want == want_end;
}

/* The part after this one; an empty one with ``at`` NULL after the last. */
static struct part after(struct part part)
{
    return part.last ? (struct part){NULL, 0, true} : part_at(part.at + part.size + 1);
}

bool path_fits(const char *path, const char *pattern)
{
    struct part name = part_at(path), part = part_at(pattern), retry = {NULL, 0, true}, skipped = {NULL, 0, true};
    while (name.at) {
        if (part.at && is_any_depth(part)) {
            part = after(part);
            retry = part, skipped = name;
        } else if (part.at && matches(name, part)) {
            name = after(name), part = after(part);
        } else if (skipped.at) {
            name = skipped = after(skipped);
            part = retry;
        } else {
            return false;
        }
    }
    return !part.at;
}

/* Whether something below the folder can fit. */
bool path_leads_to(const char *folder, const char *pattern)
{
    struct part name = part_at(folder), part = part_at(pattern);
    for (; name.at; name = after(name), part = after(part)) {
        if (is_any_depth(part))
            return true;
        if (part.last || !matches(name, part))
            return false;
    }
    return true;
}
