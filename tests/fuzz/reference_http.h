/*
 * reference_http.h - a second opinion on the head of a request.
 *
 * It has the whole head before it and cuts it up in place, as C strings, with
 * what <string.h> offers: nothing is incremental, nothing is an offset.
 *
 * Threads: any; pure.
 * Owns:    a reference_http is a copy; nothing is to be freed.
 */
#ifndef WS_TESTS_REFERENCE_HTTP_H
#define WS_TESTS_REFERENCE_HTTP_H

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

enum { REFERENCE_HEAD_MAX = 8192, REFERENCE_HEADERS_MAX = 64 };

typedef struct reference_http {
    bool complete;
    size_t head_size;
    char text[REFERENCE_HEAD_MAX + 1]; /* what the rest points into */
    const char *method, *target, *version;
    const char *authority, *path, *query; /* of the target; NULL: no such */
    size_t count;
    const char *names[REFERENCE_HEADERS_MAX];
    const char *values[REFERENCE_HEADERS_MAX]; /* trimmed */
} reference_http;

#define REFERENCE_TOKEN_CHARS                                             \
    "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnop" \
    "qrstuvwxyz"

static inline bool
reference_http_is_token(const char *text)
{
    return *text != '\0' && text[strspn(text, REFERENCE_TOKEN_CHARS)] == '\0';
}

/* Cuts at the first `mark`; returns what is behind it, or NULL. */
static inline char *
reference_http_cut(char *text, const char *mark)
{
    char *at = strstr(text, mark);

    if (at == NULL) {
        return NULL;
    }
    *at = '\0';
    return at + strlen(mark);
}

static inline char *
reference_http_trim(char *text)
{
    text += strspn(text, " \t");
    size_t size = strlen(text);
    while (size > 0 && strchr(" \t", text[size - 1]) != NULL) {
        text[--size] = '\0';
    }
    return text;
}

static inline bool
reference_http_target(reference_http *ref, char *target)
{
    for (const char *c = target; *c != '\0'; c++) {
        if (!isgraph((unsigned char)*c) || *c == '#') {
            return false;
        }
    }
    ref->query = reference_http_cut(target, "?");
    if (target[0] == '/') {
        ref->path = target;
        return true;
    }
    char *rest = reference_http_cut(target, "://");
    if (rest == NULL || (strcasecmp(target, "http") != 0 &&
                         strcasecmp(target, "https") != 0)) {
        return false;
    }
    size_t host = strcspn(rest, "/");
    if (host == 0 || memchr(rest, '@', host) != NULL) {
        return false;
    }
    // Moved down by one, which makes room for the end of the authority.
    memmove(rest - 1, rest, host);
    rest[host - 1] = '\0';
    ref->authority = rest - 1;
    ref->path = rest[host] == '\0' ? "/" : rest + host;
    return true;
}

static inline bool
reference_http_first_line(reference_http *ref, char *line)
{
    char *target = reference_http_cut(line, " ");
    char *version = target == NULL ? NULL : reference_http_cut(target, " ");

    if (version == NULL || !reference_http_is_token(line) ||
        (strcmp(version, "HTTP/1.1") != 0 &&
         strcmp(version, "HTTP/1.0") != 0)) {
        return false;
    }
    ref->method = line;
    ref->version = version;
    return reference_http_target(ref, target);
}

static inline bool
reference_http_header(reference_http *ref, char *line)
{
    char *value = reference_http_cut(line, ":");

    if (value == NULL || !reference_http_is_token(line) ||
        ref->count == REFERENCE_HEADERS_MAX) {
        return false;
    }
    ref->names[ref->count] = line;
    ref->values[ref->count++] = reference_http_trim(value);
    return true;
}

/* No control characters but tabs and whole line ends. */
static inline bool
reference_http_clean(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\r' && text[i + 1] == '\n') {
            i++;
        } else if (iscntrl((unsigned char)text[i]) && text[i] != '\t') {
            return false;
        }
    }
    return true;
}

static inline void
reference_http_read(reference_http *ref, const void *data, size_t size)
{
    *ref = (reference_http){.complete = false};
    size = size < REFERENCE_HEAD_MAX ? size : REFERENCE_HEAD_MAX;
    if (size > 0) {
        memcpy(ref->text, data, size);
    }
    char *end = memmem(ref->text, size, "\r\n\r\n", 4);
    if (end == NULL) {
        return;
    }
    ref->head_size = (size_t)(end - ref->text) + 4;
    if (!reference_http_clean(ref->text, ref->head_size)) {
        return;
    }
    end[2] = '\0';
    char *line = ref->text;
    for (char *next; (next = reference_http_cut(line, "\r\n")) != NULL;) {
        bool good = line == ref->text ? reference_http_first_line(ref, line)
                                      : reference_http_header(ref, line);
        if (!good) {
            return;
        }
        line = next;
    }
    ref->complete = true;
}

/* How many headers have the name; *value is the first one's, or "". */
static inline size_t
reference_http_find(const reference_http *ref, const char *name,
                    const char **value)
{
    size_t count = 0;

    *value = "";
    for (size_t i = ref->count; i-- > 0;) {
        if (strcasecmp(ref->names[i], name) == 0) {
            *value = ref->values[i];
            count++;
        }
    }
    return count;
}

/* Calls `each` with every item of a comma-separated header. False as soon as
   it returns false. */
static inline bool
reference_http_items(const reference_http *ref, const char *name,
                     bool (*each)(void *with, const char *item), void *with)
{
    char copy[REFERENCE_HEAD_MAX];

    for (size_t i = 0; i < ref->count; i++) {
        if (strcasecmp(ref->names[i], name) != 0) {
            continue;
        }
        strcpy(copy, ref->values[i]);
        char *rest = copy;
        for (char *item; (item = strsep(&rest, ",")) != NULL;) {
            item = reference_http_trim(item);
            if (*item != '\0' && !each(with, item)) {
                return false;
            }
        }
    }
    return true;
}

#endif
