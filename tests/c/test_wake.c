#include "core/wake.h"

#include <sched.h>

#include "check.h"
#include "core_kit.h"

/* Something that can be dirty, with work that is counted. */
typedef struct item {
    ws_wake_link link; /* first: a link is its item */
    atomic_int work;
    atomic_int refs;
} item;

static ws_wake *
make(void)
{
    ws_wake *wake = NULL;
    CHECK_EQ(ws_wake_new(&wake), WS_OK);
    return wake;
}

static void
it_has_the_number_it_was_given(void)
{
    ws_wake *wake = make();
    CHECK_EQ(ws_wake_number(wake), 0);
    ws_wake_set_number(wake, WS_WAKE_NUMBERS - 1);
    CHECK_EQ(ws_wake_number(wake), WS_WAKE_NUMBERS - 1);
    ws_wake_unref(wake);
}

static bool
rings(ws_wake *wake)
{
    return kit_readable(ws_wake_fd(wake), 0);
}

/* Marks and adds one item, as a sender does; false: refused. */
static bool
add_one(ws_wake *wake, item *one)
{
    ws_wake_chain chain = {NULL, NULL};
    if (!ws_wake_mark(&one->link)) {
        return true; // on its way already
    }
    ws_wake_chain_add(&chain, &one->link);
    return ws_wake_add(wake, &chain);
}

static void
a_link_is_marked_once_until_it_is_cleared(void)
{
    item one = {0};
    CHECK(ws_wake_mark(&one.link));
    CHECK(!ws_wake_mark(&one.link));
    ws_wake_clear(&one.link);
    CHECK(ws_wake_mark(&one.link));
}

static void
links_come_in_the_order_of_the_chains(void)
{
    ws_wake *wake = make();
    item items[5] = {0};
    static const size_t chains[] = {2, 1, 2};
    size_t at = 0;

    for (size_t c = 0; c < COUNT_OF(chains); c++) {
        ws_wake_chain chain = {NULL, NULL};
        for (size_t i = 0; i < chains[c]; i++) {
            ws_wake_chain_add(&chain, &items[at++].link);
        }
        CHECK(ws_wake_add(wake, &chain));
        CHECK(chain.head == NULL && chain.tail == NULL);
    }
    ws_wake_chain taken;
    ws_task *tasks;
    ws_wake_take(wake, &taken, &tasks);
    at = 0;
    for (ws_wake_link *link = taken.head; link != NULL; link = link->next) {
        CHECK(link == &items[at++].link);
    }
    CHECK_EQ(at, 5);
    CHECK(taken.tail == &items[4].link);
    CHECK(tasks == NULL);
    ws_wake_take(wake, &taken, &tasks);
    CHECK(taken.head == NULL && taken.tail == NULL);
    ws_wake_unref(wake);
    CHECK_EQ(ws_alloc_live(), 0);
}

static void
the_doorbell_is_readable_while_something_waits(void)
{
    ws_wake *wake = make();
    ws_wake_chain chain = {NULL, NULL};
    ws_task *tasks;
    ws_task task = {0};
    item one = {0};

    CHECK(!rings(wake));
    CHECK(ws_wake_add(wake, &chain)); // empty: nobody is rung
    CHECK(!rings(wake));
    CHECK(add_one(wake, &one));
    CHECK(rings(wake));
    ws_wake_take(wake, &chain, &tasks);
    CHECK(!rings(wake));
    CHECK(ws_wake_post(wake, &task));
    CHECK(rings(wake));
    ws_wake_take(wake, &chain, &tasks);
    CHECK(tasks == &task);
    CHECK(!rings(wake));
    for (int i = 0; i < 3; i++) {
        ws_wake_ring(wake);
        CHECK(rings(wake));
    }
    ws_wake_take(wake, &chain, &tasks);
    CHECK(chain.head == NULL && tasks == NULL);
    CHECK(!rings(wake));
    ws_wake_unref(wake);
}

static void
tasks_come_in_order(void)
{
    ws_wake *wake = make();
    ws_wake_chain chain;
    ws_task tasks[4] = {0};
    ws_task *taken;
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < COUNT_OF(tasks); i++) {
            CHECK(ws_wake_post(wake, &tasks[i]));
        }
        ws_wake_take(wake, &chain, &taken);
        for (size_t i = 0; i < COUNT_OF(tasks); i++) {
            CHECK(taken == &tasks[i]);
            taken = taken->next;
        }
        CHECK(taken == NULL);
    }
    ws_wake_unref(wake);
}

static void
an_ended_doorbell_refuses_and_leaves_the_chain_to_its_caller(void)
{
    ws_wake *wake = make();
    item before = {0};
    item after[2] = {0};
    ws_task tasks[2] = {0};
    ws_wake_chain chain;
    ws_task *taken;

    CHECK(add_one(wake, &before));
    CHECK(ws_wake_post(wake, &tasks[0]));
    ws_wake_end(wake, &chain, &taken);
    CHECK(chain.head == &before.link); // what had come is handed out
    CHECK(taken == &tasks[0]);

    ws_wake_chain late = {NULL, NULL};
    CHECK(ws_wake_add(wake, &late)); // nothing to refuse
    ws_wake_chain_add(&late, &after[0].link);
    ws_wake_chain_add(&late, &after[1].link);
    CHECK(!ws_wake_add(wake, &late));
    CHECK(late.head == &after[0].link && late.tail == &after[1].link);
    CHECK(!ws_wake_post(wake, &tasks[1]));
    ws_wake_ring(wake); // harmless
    ws_wake_end(wake, &chain, &taken);
    CHECK(chain.head == NULL && taken == NULL);
    ws_wake_unref(wake);
    CHECK_EQ(ws_alloc_live(), 0);
}

static void
it_lives_as_long_as_its_last_reference(void)
{
    ws_wake *wake = make();
    CHECK(ws_wake_ref(wake) == wake);
    ws_wake_unref(wake);
    CHECK_EQ(ws_alloc_live(), 1);
    ws_wake_unref(wake);
    ws_wake_unref(NULL);
    CHECK_EQ(ws_alloc_live(), 0);
    ws_alloc_fail_at(0);
    CHECK_EQ(ws_wake_new(&wake), WS_ERR_NOMEM);
}

static void
after_a_fork_only_the_copy_of_the_descriptor_goes(void)
{
    ws_wake *wake = make();
    ws_wake_close_after_fork(wake);
    CHECK_EQ(ws_wake_fd(wake), -1);
    ws_wake_ring(wake); // nobody is there: nothing happens
    ws_wake_unref(wake);
    CHECK_EQ(ws_alloc_live(), 0);
}

/* ---- races */

enum {
    SENDERS = 4,
    ITEMS = 8,
    PER_SENDER = 20000,
    SINGLE = 8000,
    TASKS = 500
};

typedef struct race {
    ws_wake *wake;
    item items[ITEMS];
    atomic_int tasks_run; // or senders started
    atomic_int refused;   // by an ended doorbell
    atomic_bool done;
} race;

/* Brings work for one item after the other, and rings as seldom as can be. */
static void *
bring_work(void *arg)
{
    race *r = arg;
    for (int i = 0; i < PER_SENDER; i++) {
        item *one = &r->items[i % ITEMS];
        // Relaxed: that the pump sees it is what the doorbell is for.
        (void)atomic_fetch_add_explicit(&one->work, 1, memory_order_relaxed);
        CHECK(add_one(r->wake, one));
    }
    return NULL;
}

static int
do_work(ws_wake_chain *chain)
{
    int done = 0;
    for (ws_wake_link *link = chain->head; link != NULL;) {
        ws_wake_link *next = link->next;
        ws_wake_clear(link);
        done += atomic_exchange_explicit(&((item *)link)->work, 0,
                                         memory_order_relaxed);
        link = next;
    }
    return done;
}

/* The pump sleeps without a time-out of its own: a lost wake-up would leave
   it in poll() until the test's patience ends. */
static void
no_wake_up_gets_lost(void)
{
    static race r;
    pthread_t threads[SENDERS];
    int left = SENDERS * PER_SENDER;

    r.wake = make();
    for (int i = 0; i < SENDERS; i++) {
        threads[i] = kit_spawn(bring_work, &r);
    }
    while (left > 0) {
        ws_wake_chain chain;
        ws_task *tasks;
        CHECK(kit_readable(ws_wake_fd(r.wake), WS_KIT_PATIENCE_MS));
        ws_wake_take(r.wake, &chain, &tasks);
        left -= do_work(&chain);
    }
    CHECK_EQ(left, 0);
    for (int i = 0; i < SENDERS; i++) {
        kit_join(threads[i]);
    }
    ws_wake_chain chain;
    ws_task *tasks;
    ws_wake_end(r.wake, &chain, &tasks);
    CHECK_EQ(do_work(&chain), 0);
    ws_wake_unref(r.wake);
    CHECK_EQ(ws_alloc_live(), 0);
}

/* Each sender brings one piece of work at a time, and the next as soon as that
   was seen: the pump falls asleep all the time, and is rung at any point. */
static void *
bring_work_and_wait(void *arg)
{
    race *r = arg;
    item *mine = &r->items[atomic_fetch_add(&r->tasks_run, 1)];
    for (int i = 0; i < SINGLE; i++) {
        atomic_store(&mine->work, 1);
        CHECK(add_one(r->wake, mine));
        uint64_t until = kit_deadline();
        while (atomic_load(&mine->work) != 0) {
            CHECK(ws_now_ns() < until);
            sched_yield();
        }
    }
    return NULL;
}

/* Rings for nothing. Once a wake-up got lost, this rings nobody either. */
static void *
ring_on(void *arg)
{
    race *r = arg;
    while (!atomic_load(&r->done)) {
        ws_wake_ring(r->wake);
    }
    return NULL;
}

static void
a_pump_that_is_falling_asleep_is_woken(void)
{
    static race r;
    pthread_t threads[2];
    int left = 2 * SINGLE;
    r.wake = make();
    pthread_t ringer = kit_spawn(ring_on, &r);
    for (int i = 0; i < 2; i++) {
        threads[i] = kit_spawn(bring_work_and_wait, &r);
    }
    while (left > 0) {
        ws_wake_chain chain;
        ws_task *tasks;
        CHECK(kit_readable(ws_wake_fd(r.wake), WS_KIT_PATIENCE_MS));
        ws_wake_take(r.wake, &chain, &tasks);
        left -= do_work(&chain);
    }
    for (int i = 0; i < 2; i++) {
        kit_join(threads[i]);
    }
    atomic_store(&r.done, true);
    kit_join(ringer);
    ws_wake_unref(r.wake);
    CHECK_EQ(ws_alloc_live(), 0);
}

typedef struct counting_task {
    ws_task task;
    race *race;
} counting_task;

static void
run_task(ws_task *task, void *pump)
{
    CHECK(pump == NULL);
    atomic_fetch_add(&((counting_task *)task)->race->tasks_run, 1);
    ws_free(task);
}

static void *
post_tasks(void *arg)
{
    race *r = arg;
    for (int i = 0; i < TASKS; i++) {
        counting_task *one = ws_calloc(1, sizeof *one);
        CHECK(one != NULL);
        *one = (counting_task){{NULL, run_task}, r};
        if (!ws_wake_post(r->wake, &one->task)) {
            atomic_fetch_add(&r->refused, 1);
            ws_free(one);
        }
    }
    return NULL;
}

static void
run_tasks(ws_task *task)
{
    while (task != NULL) {
        ws_task *next = task->next; // running it may free it
        task->run(task, NULL);
        task = next;
    }
}

static void
every_task_is_run_or_refused(void)
{
    for (int end_at = 0; end_at <= SENDERS * TASKS; end_at += TASKS) {
        static race r;
        pthread_t threads[SENDERS];
        ws_wake_chain chain;
        ws_task *tasks;

        r = (race){.wake = make()};
        for (int i = 0; i < SENDERS; i++) {
            threads[i] = kit_spawn(post_tasks, &r);
        }
        while (atomic_load(&r.tasks_run) < end_at) {
            CHECK(kit_readable(ws_wake_fd(r.wake), WS_KIT_PATIENCE_MS));
            ws_wake_take(r.wake, &chain, &tasks);
            run_tasks(tasks);
        }
        ws_wake_end(r.wake, &chain, &tasks);
        run_tasks(tasks);
        for (int i = 0; i < SENDERS; i++) {
            kit_join(threads[i]);
        }
        CHECK_EQ(r.tasks_run + r.refused, SENDERS * TASKS);
        ws_wake_unref(r.wake);
        CHECK_EQ(ws_alloc_live(), 0);
    }
}

/* Each link on the list carries a reference; all of them come back. */
static void *
add_references(void *arg)
{
    race *r = arg;
    for (int i = 0; i < PER_SENDER / 10; i++) {
        item *one = &r->items[i % ITEMS];
        ws_wake_chain chain = {NULL, NULL};
        if (!ws_wake_mark(&one->link)) {
            continue;
        }
        atomic_fetch_add(&one->refs, 1);
        ws_wake_chain_add(&chain, &one->link);
        if (!ws_wake_add(r->wake, &chain)) {
            CHECK(chain.head == &one->link);
            atomic_fetch_sub(&one->refs, 1);
            atomic_fetch_add(&r->refused, 1);
        }
    }
    return NULL;
}

static void
drop_references(ws_wake_chain *chain)
{
    for (ws_wake_link *link = chain->head; link != NULL;) {
        ws_wake_link *next = link->next;
        atomic_fetch_sub(&((item *)link)->refs, 1);
        ws_wake_clear(link);
        link = next;
    }
}

static void
an_end_amid_adding_keeps_every_reference_accounted(void)
{
    for (int turns = 0; turns < 40; turns += 4) {
        static race r;
        pthread_t threads[SENDERS];
        ws_wake_chain chain;
        ws_task *tasks;

        r = (race){.wake = make()};
        for (int i = 0; i < SENDERS; i++) {
            threads[i] = kit_spawn(add_references, &r);
        }
        for (int i = 0; i < turns; i++) {
            ws_wake_take(r.wake, &chain, &tasks);
            drop_references(&chain);
            sched_yield();
        }
        ws_wake_end(r.wake, &chain, &tasks);
        drop_references(&chain);
        for (int i = 0; i < SENDERS; i++) {
            kit_join(threads[i]);
        }
        for (int i = 0; i < ITEMS; i++) {
            CHECK_EQ(r.items[i].refs, 0);
        }
        ws_wake_unref(r.wake);
        CHECK_EQ(ws_alloc_live(), 0);
    }
}

static atomic_int served;

static void
serve_item(ws_wake_link *link)
{
    ws_wake_clear(link);
    atomic_fetch_add(&served, 1);
}

static void
without_a_pump_whoever_adds_serves(void)
{
    item items[3] = {0};
    ws_wake_chain chain = {NULL, NULL};
    ws_task task = {.run = NULL};
    ws_wake *wake = ws_wake_new_direct(serve_item);
    CHECK(wake != NULL);
    CHECK_EQ(ws_wake_fd(wake), -1);
    for (int i = 0; i < 3; i++) {
        CHECK(ws_wake_mark(&items[i].link));
        ws_wake_chain_add(&chain, &items[i].link);
    }
    CHECK(ws_wake_add(wake, &chain));
    CHECK_EQ(served, 3);
    CHECK(chain.head == NULL && chain.tail == NULL);
    CHECK(ws_wake_mark(&items[0].link));
    CHECK(!ws_wake_post(wake, &task));
    ws_wake_ring(wake); // does nothing
    ws_wake_unref(wake);
    ws_alloc_fail_at(0);
    CHECK(ws_wake_new_direct(serve_item) == NULL);
    ws_alloc_fail_at(-1);
    CHECK_EQ(ws_alloc_live(), 0);
}

static const ws_test tests[] = {
    TEST(it_has_the_number_it_was_given),
    TEST(a_link_is_marked_once_until_it_is_cleared),
    TEST(links_come_in_the_order_of_the_chains),
    TEST(the_doorbell_is_readable_while_something_waits),
    TEST(tasks_come_in_order),
    TEST(an_ended_doorbell_refuses_and_leaves_the_chain_to_its_caller),
    TEST(it_lives_as_long_as_its_last_reference),
    TEST(after_a_fork_only_the_copy_of_the_descriptor_goes),
    TEST(no_wake_up_gets_lost),
    TEST(a_pump_that_is_falling_asleep_is_woken),
    TEST(every_task_is_run_or_refused),
    TEST(an_end_amid_adding_keeps_every_reference_accounted),
    TEST(without_a_pump_whoever_adds_serves),
};

TEST_MAIN(tests)
