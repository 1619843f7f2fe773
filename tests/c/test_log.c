#include "net/log.h"

#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>

#include "check.h"
#include "core/lock.h"

static unsigned lines, held_back;
static char last[512];

static void
keep(ws_log_level level, const char *line)
{
    (void)level;
    lines++;
    (void)snprintf(last, sizeof last, "%s", line);
    if (strstr(line, "held back") != NULL) {
        held_back++;
    }
}

/* Waits for a second in which nothing was logged yet. */
static void
next_second(void)
{
    uint64_t now = ws_now_coarse_ns() / WS_NS_PER_S;

    while (ws_now_coarse_ns() / WS_NS_PER_S == now) {
        (void)usleep(10000);
    }
}

static void
a_line_is_escaped(void)
{
    static const struct {
        const char *what, *text, *line;
    } cases[] = {
        {"plain", "hello, world", "hello, world"},
        {"a terminal's escape", "a\033[31mb", "a\\x1b[31mb"},
        {"line ends", "a\r\nb", "a\\x0d\\x0ab"},
        {"the escape itself", "a\\x1b", "a\\x5cx1b"},
        {"not ASCII", "\xc3\xa9", "\\xc3\\xa9"},
    };

    next_second();
    ws_log_set_sink(keep);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ws_log(WS_LOG_WARNING, "%s", cases[i].text);
        if (strcmp(last, cases[i].line) != 0) {
            fprintf(stderr, "case: %s: got %s\n", cases[i].what, last);
        }
        CHECK_STR_EQ(last, cases[i].line);
    }
    ws_log_set_sink(NULL);
}

static void
a_flood_is_held_back_and_counted(void)
{
    next_second();
    lines = held_back = 0;
    ws_log_set_sink(keep);
    for (int i = 0; i < 1000; i++) {
        ws_log(WS_LOG_ERROR, "line %d", i);
    }
    CHECK(lines >= WS_LOG_PER_SECOND);
    CHECK(lines <= 3 * WS_LOG_PER_SECOND);
    next_second();
    ws_log(WS_LOG_ERROR, "after");
    CHECK(held_back >= 1);
    CHECK_STR_EQ(last, "after");
    ws_log_set_sink(NULL);
}

static void
a_long_line_is_cut(void)
{
    char text[2000];

    next_second();
    ws_log_set_sink(keep);
    memset(text, '\n', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    ws_log(WS_LOG_ERROR, "%s", text);
    CHECK(strlen(last) > 100);
    CHECK(strlen(last) < sizeof last);
    ws_log_set_sink(NULL);
}

/* Nobody reads stderr and it is full: the line is lost, not the time. */
static void
a_stderr_that_blocks_is_not_waited_for(void)
{
    char block[4096] = {0};
    int ends[2];
    int saved = dup(STDERR_FILENO);

    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    while (write(ends[1], block, sizeof block) > 0) {
    }
    CHECK_EQ(fcntl(ends[1], F_SETFL, 0), 0);
    CHECK_EQ(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    next_second();
    ws_log(WS_LOG_ERROR, "lost");
    CHECK_EQ(dup2(saved, STDERR_FILENO), STDERR_FILENO);
    CHECK_EQ(close(saved), 0);
    CHECK_EQ(close(ends[0]), 0);
    CHECK_EQ(close(ends[1]), 0);
}

static const ws_test tests[] = {
    TEST(a_line_is_escaped),
    TEST(a_flood_is_held_back_and_counted),
    TEST(a_long_line_is_cut),
    TEST(a_stderr_that_blocks_is_not_waited_for),
};

TEST_MAIN(tests)
