#include "core/fork.h"

#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

/* What the hooks were called for, a letter each: "1p" is hook 1, prepare. */
static char calls[64];

static void
note(const char *who, char what)
{
    size_t used = strlen(calls);
    CHECK(used + 3 <= sizeof calls);
    calls[used] = who[0];
    calls[used + 1] = what;
    calls[used + 2] = '\0';
}

static void
on_prepare(void *arg)
{
    note(arg, 'p');
}

static void
on_parent(void *arg)
{
    note(arg, 'a');
}

static void
on_child(void *arg)
{
    note(arg, 'c');
}

static ws_fork_hook
hook(char *name)
{
    return (ws_fork_hook){NULL, on_prepare, on_parent, on_child, name};
}

/* Forks; the child looks around and leaves with 0 when all was well. */
static void
in_child(void (*look)(void))
{
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        look();
        _exit(0);
    }
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
}

static uint32_t parents_generation;

static void
the_grandchild_is_one_more(void)
{
    CHECK_EQ(ws_fork_generation(), parents_generation + 2);
}

static void
the_child_is_one_more(void)
{
    CHECK_EQ(ws_fork_generation(), parents_generation + 1);
    in_child(the_grandchild_is_one_more);
    CHECK_EQ(ws_fork_generation(), parents_generation + 1);
}

static void
the_generation_counts_the_forks_down_to_here(void)
{
    CHECK_EQ(ws_fork_init(), WS_OK);
    CHECK_EQ(ws_fork_init(), WS_OK); // installed once
    parents_generation = ws_fork_generation();
    in_child(the_child_is_one_more);
    in_child(the_child_is_one_more);
    CHECK_EQ(ws_fork_generation(), parents_generation);
}

static void
the_child_hooks_ran(void)
{
    CHECK_STR_EQ(calls, "2p1p2c1c");
    in_child(the_grandchild_is_one_more); // the hooks were the parent's
    CHECK_STR_EQ(calls, "2p1p2c1c");
}

/* The newest first, each time. */
static void
hooks_run_before_and_after_on_both_sides(void)
{
    CHECK_EQ(ws_fork_init(), WS_OK);
    ws_fork_hook one = hook("1");
    ws_fork_hook two = hook("2");
    ws_fork_add(&one);
    ws_fork_add(&two);
    parents_generation = ws_fork_generation();
    in_child(the_child_hooks_ran);
    CHECK_STR_EQ(calls, "2p1p2a1a");
    ws_fork_remove(&one);
    ws_fork_remove(&two);
}

static void
nothing(void)
{
}

static void
a_removed_hook_is_not_called(void)
{
    CHECK_EQ(ws_fork_init(), WS_OK);
    ws_fork_hook hooks[] = {hook("1"), hook("2"), hook("3")};
    static const char *const want[] = {"3p2p3a2a", "3p1p3a1a", "2p1p2a1a"};
    for (size_t gone = 0; gone < 3; gone++) {
        for (size_t i = 0; i < 3; i++) {
            ws_fork_add(&hooks[i]);
        }
        ws_fork_remove(&hooks[gone]);
        ws_fork_remove(&hooks[gone]); // not there: nothing happens
        calls[0] = '\0';
        in_child(nothing);
        CHECK_STR_EQ(calls, want[gone]);
        for (size_t i = 0; i < 3; i++) {
            ws_fork_remove(&hooks[i]);
        }
    }
    calls[0] = '\0';
    in_child(nothing);
    CHECK_STR_EQ(calls, "");
}

static ws_fork_hook parents_hook;

static void
the_child_keeps_hooks_of_its_own(void)
{
    ws_fork_remove(&parents_hook); // it is not on the child's list
    ws_fork_hook own = hook("2");
    ws_fork_add(&own);
    calls[0] = '\0';
    in_child(nothing);
    CHECK_STR_EQ(calls, "2p2a");
    ws_fork_remove(&own);
}

static void
a_child_starts_without_hooks(void)
{
    CHECK_EQ(ws_fork_init(), WS_OK);
    parents_hook = hook("1");
    ws_fork_add(&parents_hook);
    in_child(the_child_keeps_hooks_of_its_own);
    calls[0] = '\0';
    in_child(nothing);
    CHECK_STR_EQ(calls, "1p1a"); // still on the parent's
    ws_fork_remove(&parents_hook);
}

static const ws_test tests[] = {
    TEST(the_generation_counts_the_forks_down_to_here),
    TEST(hooks_run_before_and_after_on_both_sides),
    TEST(a_removed_hook_is_not_called),
    TEST(a_child_starts_without_hooks),
};

TEST_MAIN(tests)
