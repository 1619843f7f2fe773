/* What the load client and the floor share: time, errors, lines on stdin.
 *
 * Threads: one. Owns: nothing. Locks: none.
 *
 * Both programs are steered by lines on stdin, each answered by a line on
 * stdout, and end at its end. Whatever goes wrong beyond a connection's end
 * ends the program, with a line that says what.
 */
#ifndef BENCH_KIT_H
#define BENCH_KIT_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Payload of every message: round number and time stamp, then filler. */
enum { STAMP = 16 };

static inline _Noreturn void
die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static inline int64_t
now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline uint64_t
get_le64(const uint8_t *from)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--) {
        value = value << 8 | from[i];
    }
    return value;
}

static inline void
put_le64(uint8_t *to, uint64_t value)
{
    for (int i = 0; i < 8; i++) {
        to[i] = (uint8_t)(value >> (8 * i));
    }
}

/* As many descriptors as may be. */
static inline void
raise_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

struct lines {
    char text[4096];
    size_t have;
};

/* Reads what is there on stdin; false at its end. */
static inline bool
lines_read(struct lines *lines)
{
    if (lines->have == sizeof(lines->text)) {
        errno = EMSGSIZE;
        die("stdin");
    }
    ssize_t got = read(STDIN_FILENO, lines->text + lines->have,
                       sizeof(lines->text) - lines->have);
    if (got > 0) {
        lines->have += (size_t)got;
    }
    return got > 0 || (got < 0 && (errno == EINTR || errno == EAGAIN));
}

/* Takes the next whole line, if there is one, into a buffer as long as text.
 */
static inline bool
lines_take(struct lines *lines, char *line)
{
    char *end = memchr(lines->text, '\n', lines->have);
    if (end == NULL) {
        return false;
    }
    size_t size = (size_t)(end - lines->text);
    memcpy(line, lines->text, size);
    line[size] = '\0';
    lines->have -= size + 1;
    memmove(lines->text, end + 1, lines->have);
    return true;
}

/* Reads so many numbers that follow the name in a line and fill it. */
static inline bool
line_has(const char *line, const char *name, int count, uint64_t *numbers)
{
    size_t length = strlen(name);
    if (strncmp(line, name, length) != 0) {
        return false;
    }
    const char *at = line + length;
    for (int i = 0; i < count; i++) {
        char *end;
        numbers[i] = strtoull(at, &end, 10);
        if (*at != ' ' || end == at) {
            return false;
        }
        at = end;
    }
    return *at == '\0';
}

#endif
