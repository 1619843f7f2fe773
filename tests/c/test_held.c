#include "core/held.h"

#include "core_kit.h"

/* What a pump would do with a decision: note it. */
static ws_decision *brought;
static int runs;

static void
note(ws_task *task, void *pump)
{
    (void)pump;
    ws_held *held = (ws_held *)task;
    brought = held->decision;
    held->decision = NULL;
    runs++;
    ws_held_unref(held);
}

static const ws_held_info INFO = {
    .remote = {"10.0.0.1", 8},
    .peer = {"127.0.0.1", 9},
    .request = {"GET / HTTP/1.1\r\n\r\n", 18},
    .subprotocols = {"one\0two", 8},
};

static ws_wake *
new_wake(void)
{
    ws_wake *wake = NULL;
    CHECK_EQ(ws_wake_new(&wake), WS_OK);
    return wake;
}

static ws_held *
new_held(ws_wake *wake)
{
    ws_held *held = ws_held_new(wake, &INFO, note);
    CHECK(held != NULL);
    brought = NULL;
    runs = 0;
    return held;
}

/* The pump's turn. */
static void
turn(ws_wake *wake)
{
    ws_wake_chain chain;
    ws_task *task = NULL;
    ws_wake_take(wake, &chain, &task);
    while (task != NULL) {
        ws_task *next = task->next;
        task->run(task, NULL);
        task = next;
    }
}

static void
end_wake(ws_wake *wake)
{
    ws_wake_chain chain;
    ws_task *task = NULL;
    ws_wake_end(wake, &chain, &task);
    CHECK(task == NULL);
    ws_wake_unref(wake);
    CHECK_EQ(ws_alloc_live(), 0);
}

static ws_decision *
new_decision(bool accept)
{
    ws_decision *decision =
        ws_decision_new(&(ws_decision){.accept = accept, .status = 403});
    CHECK(decision != NULL);
    return decision;
}

static void
it_keeps_what_it_was_told(void)
{
    ws_wake *wake = new_wake();
    ws_held *held = new_held(wake);
    CHECK_STR_EQ(held->info.remote.data, "10.0.0.1");
    CHECK_STR_EQ(held->info.peer.data, "127.0.0.1");
    CHECK_STR_EQ(held->info.request.data, "GET / HTTP/1.1\r\n\r\n");
    CHECK_MEM_EQ(held->info.subprotocols.data, "one\0two", 8);
    CHECK_EQ(held->info.subprotocols.size, 8);
    CHECK_EQ(ws_held_get_state(held), WS_HELD_PENDING);
    ws_held_unref(held);
    end_wake(wake);
}

static void
a_decision_is_one_block_with_all_its_texts(void)
{
    char headers[] = "A: b\r\n";
    long before = ws_alloc_live();
    ws_decision *decision = ws_decision_new(&(ws_decision){
        .headers = {headers, strlen(headers)},
        .id = kit_text("id"),
        .user = kit_text("user"),
        .subprotocol = kit_text("sub"),
        .topics = {"a\0b", 4},
        .content_type = kit_text("type"),
        .body = kit_text(""),
        .status = 404,
        .close_code = 4000,
        .replace = true,
    });
    memset(headers, 'x', sizeof headers);
    CHECK_EQ(ws_alloc_live(), before + 1);
    CHECK_STR_EQ(decision->headers.data, "A: b\r\n");
    CHECK_STR_EQ(decision->id.data, "id");
    CHECK_STR_EQ(decision->user.data, "user");
    CHECK_STR_EQ(decision->subprotocol.data, "sub");
    CHECK_MEM_EQ(decision->topics.data, "a\0b", 4);
    CHECK_EQ(decision->topics.size, 4);
    CHECK_STR_EQ(decision->content_type.data, "type");
    CHECK_STR_EQ(decision->body.data, "");
    CHECK_EQ(decision->status, 404);
    CHECK_EQ(decision->close_code, 4000);
    CHECK(decision->replace);
    ws_decision_free(decision);

    decision = new_decision(true);
    CHECK(decision->id.data == NULL && decision->headers.data == NULL);
    ws_decision_free(decision);
    ws_decision_free(NULL);
}

static void
the_first_decision_is_brought_to_the_pump(void)
{
    for (int accept = 0; accept < 2; accept++) {
        ws_wake *wake = new_wake();
        ws_held *held = new_held(wake);
        ws_decision *first = new_decision(accept == 1);
        ws_decision *second = new_decision(accept == 0);
        ws_held_state now = accept == 1 ? WS_HELD_ACCEPTED : WS_HELD_REJECTED;
        CHECK_EQ(ws_held_decide(held, first), WS_HELD_PENDING);
        CHECK(kit_readable(ws_wake_fd(wake), 0));
        CHECK_EQ(ws_held_decide(held, second), now);
        ws_held_drop(held);
        CHECK(!ws_held_end(held, WS_HELD_EXPIRED));
        CHECK_EQ(ws_held_get_state(held), now);
        turn(wake);
        CHECK_EQ(runs, 1);
        CHECK(brought == first);
        ws_decision_free(first);
        ws_decision_free(second);
        ws_held_unref(held);
        end_wake(wake);
    }
}

static void
what_the_pump_ends_cannot_be_decided(void)
{
    static const ws_held_state ends[] = {WS_HELD_EXPIRED, WS_HELD_GONE};
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        ws_wake *wake = new_wake();
        ws_held *held = new_held(wake);
        ws_decision *decision = new_decision(true);
        CHECK(ws_held_end(held, ends[i]));
        CHECK(ws_held_end(held, ends[i])); // twice is once
        CHECK_EQ(ws_held_decide(held, decision), ends[i]);
        ws_held_drop(held);
        turn(wake);
        CHECK_EQ(runs, 0);
        ws_decision_free(decision);
        ws_held_unref(held);
        end_wake(wake);
    }
}

static void
a_dropped_one_needs_no_memory(void)
{
    ws_wake *wake = new_wake();
    ws_held *held = new_held(wake);
    ws_alloc_fail_every(1);
    ws_held_drop(held);
    ws_held_drop(held);
    ws_alloc_fail_every(0);
    CHECK_EQ(ws_held_get_state(held), WS_HELD_REJECTED);
    ws_held_unref(held); // the pump's reference is left
    turn(wake);
    CHECK_EQ(runs, 1);
    CHECK(brought == NULL);
    end_wake(wake);
}

/* Nobody brings it: it is freed with the rest. */
static void
a_decision_that_nobody_took_is_freed(void)
{
    ws_wake *wake = new_wake();
    ws_held *held = new_held(wake);
    CHECK_EQ(ws_held_decide(held, new_decision(true)), WS_HELD_PENDING);
    ws_wake_chain chain;
    ws_task *task = NULL;
    ws_wake_end(wake, &chain, &task);
    CHECK(task == &held->task);
    ws_held_unref(held); // the pump's
    ws_held_unref(held);
    ws_wake_unref(wake);
    CHECK_EQ(ws_alloc_live(), 0);
}

static void
once_the_pump_has_ended_it_is_too_late(void)
{
    ws_wake *wake = new_wake();
    ws_held *held = new_held(wake);
    ws_held *other = new_held(wake);
    ws_decision *decision = new_decision(true);
    ws_wake_chain chain;
    ws_task *task = NULL;
    ws_wake_end(wake, &chain, &task);
    ws_wake_unref(wake);
    CHECK_EQ(ws_held_decide(held, decision), WS_HELD_GONE);
    CHECK_EQ(ws_held_get_state(held), WS_HELD_GONE);
    ws_held_drop(other);
    CHECK_EQ(ws_held_get_state(other), WS_HELD_GONE);
    ws_decision_free(decision);
    ws_held_unref(held);
    ws_held_unref(other);
    CHECK_EQ(ws_alloc_live(), 0);
}

/* Threads that decide, and a pump for which it is late. */
enum { DECIDERS = 3, ROUNDS = 300 };

typedef struct contest {
    ws_held *held;
    pthread_barrier_t start;
    atomic_int won;
} contest;

static void *
decide_once(void *arg)
{
    contest *c = arg;
    ws_decision *decision = new_decision(true);
    (void)pthread_barrier_wait(&c->start);
    if (ws_held_decide(c->held, decision) == WS_HELD_PENDING) {
        (void)atomic_fetch_add(&c->won, 1);
    } else {
        ws_decision_free(decision);
    }
    return NULL;
}

static void
of_many_that_decide_one_does(void)
{
    ws_wake *wake = new_wake();
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t threads[DECIDERS];
        contest c = {.held = new_held(wake)};
        CHECK_EQ(pthread_barrier_init(&c.start, NULL, DECIDERS + 1), 0);
        for (int i = 0; i < DECIDERS; i++) {
            threads[i] = kit_spawn(decide_once, &c);
        }
        (void)pthread_barrier_wait(&c.start);
        bool ended = ws_held_end(c.held, WS_HELD_EXPIRED);
        for (int i = 0; i < DECIDERS; i++) {
            kit_join(threads[i]);
        }
        turn(wake);
        CHECK_EQ(atomic_load(&c.won) + ended, 1);
        CHECK_EQ(runs, !ended);
        ws_decision_free(brought);
        ws_held_unref(c.held);
        CHECK_EQ(pthread_barrier_destroy(&c.start), 0);
    }
    end_wake(wake);
}

static void
without_memory_there_is_none(void)
{
    ws_wake *wake = new_wake();
    ws_alloc_fail_every(1);
    CHECK(ws_held_new(wake, &INFO, note) == NULL);
    CHECK(ws_decision_new(&(ws_decision){.accept = true}) == NULL);
    ws_alloc_fail_every(0);
    end_wake(wake);
}

static const ws_test tests[] = {
    TEST(it_keeps_what_it_was_told),
    TEST(a_decision_is_one_block_with_all_its_texts),
    TEST(the_first_decision_is_brought_to_the_pump),
    TEST(what_the_pump_ends_cannot_be_decided),
    TEST(a_dropped_one_needs_no_memory),
    TEST(a_decision_that_nobody_took_is_freed),
    TEST(once_the_pump_has_ended_it_is_too_late),
    TEST(of_many_that_decide_one_does),
    TEST(without_memory_there_is_none),
};

TEST_MAIN(tests)
