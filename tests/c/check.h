/*
 * check.h - the whole C test harness.
 *
 * A test is a function in a table. The program runs all of them, or the one
 * named by argv[1]; --list prints the names, which is how pytest finds them.
 * A failed check prints both sides and aborts: one process, one verdict.
 */
#ifndef WS_TESTS_CHECK_H
#define WS_TESTS_CHECK_H

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct ws_test {
    const char *name;
    void (*run)(void);
} ws_test;

/* clang-format off */
#define TEST(name) {#name, name}
/* clang-format on */

/* Checks stay on in release builds: assert() is not a test. */
#define CHECK(cond)                                  \
    do {                                             \
        if (!(cond)) {                               \
            check_failed(__FILE__, __LINE__, #cond); \
        }                                            \
    } while (0)

#define CHECK_EQ(got, want)                                           \
    do {                                                              \
        long long got_ = (long long)(got), want_ = (long long)(want); \
        if (got_ != want_) {                                          \
            fprintf(stderr, "got %lld, want %lld\n", got_, want_);    \
            check_failed(__FILE__, __LINE__, #got " == " #want);      \
        }                                                             \
    } while (0)

/* Both texts end with a NUL; NULL equals only NULL. */
#define CHECK_STR_EQ(got, want) \
    check_str_eq(__FILE__, __LINE__, #got " == " #want, (got), (want))

/* The first `size` bytes are the same. */
#define CHECK_MEM_EQ(got, want, size) \
    check_mem_eq(__FILE__, __LINE__, #got " == " #want, (got), (want), (size))

/*
 * Waits for `cond`, which another thread or the kernel makes true, and fails
 * when it is still false after `seconds`. Be generous: only a failure is slow,
 * and sanitizers are slower still.
 */
#define WITHIN(cond, seconds)                                           \
    do {                                                                \
        uint64_t give_up_ = check_now_ns() + (uint64_t)((seconds)*1e9); \
        while (!(cond)) {                                               \
            if (check_now_ns() > give_up_) {                            \
                check_failed(__FILE__, __LINE__,                        \
                             #cond " within " #seconds " s");           \
            }                                                           \
            nanosleep(&(struct timespec){.tv_nsec = 500 * 1000}, NULL); \
        }                                                               \
    } while (0)

_Noreturn static inline void
check_failed(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: check failed: %s\n", file, line, what);
    abort();
}

static inline void
check_str_eq(const char *file, int line, const char *what, const char *got,
             const char *want)
{
    if (got == want || (got != NULL && want != NULL && !strcmp(got, want))) {
        return;
    }
    fprintf(stderr, "got  \"%s\"\nwant \"%s\"\n", got ? got : "(NULL)",
            want ? want : "(NULL)");
    check_failed(file, line, what);
}

static inline void
check_mem_eq(const char *file, int line, const char *what, const void *got,
             const void *want, size_t size)
{
    const uint8_t *g = got, *w = want;

    for (size_t i = 0; i < size; i++) {
        if (g[i] != w[i]) {
            fprintf(stderr, "byte %zu of %zu: got %02x, want %02x\n", i, size,
                    g[i], w[i]);
            check_failed(file, line, what);
        }
    }
}

/* Those of this process; and what it takes to count them, always the same. */
static inline int
check_open_descriptors(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    CHECK(dir != NULL);
    while (readdir(dir) != NULL) {
        count++;
    }
    CHECK_EQ(closedir(dir), 0);
    return count;
}

/* Never goes back, whatever happens to the wall clock. */
static inline uint64_t
check_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline int
run_tests(const ws_test *tests, size_t count, int argc, char **argv)
{
    size_t matched = 0;

    for (size_t i = 0; i < count; i++) {
        if (argc > 1 && strcmp(argv[1], "--list") == 0) {
            puts(tests[i].name);
        } else if (argc > 1 && strcmp(argv[1], tests[i].name) != 0) {
            continue;
        } else {
            tests[i].run();
        }
        matched++;
    }
    return matched > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#define TEST_MAIN(tests)                                                  \
    int main(int argc, char **argv)                                       \
    {                                                                     \
        return run_tests(tests, sizeof(tests) / sizeof((tests)[0]), argc, \
                         argv);                                           \
    }

#endif
