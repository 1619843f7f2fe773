#include "net/timer.h"

#include "check.h"
#include "core/alloc.h"

#define MS UINT64_C(1000000)
#define TICK (MS * WS_TIMER_TICK_MS)
#define DAY (UINT64_C(86400000) * MS)

static const uint64_t BIRTH = UINT64_C(987654321012345);

/* Notes what fired, and when. */
typedef struct log {
    uint64_t now;
    size_t count;
    const ws_timer *last;
} log;

static void
note(void *user, ws_timer *timer)
{
    log *seen = user;

    CHECK(!ws_timer_is_set(timer));
    seen->count++;
    seen->last = timer;
}

/* Sleeps as the pump would, until `timer` fires; returns the moment. */
static uint64_t
sleep_until_fired(ws_timer_wheel *wheel, uint64_t now, const ws_timer *timer,
                  unsigned *wakes)
{
    log seen = {0};

    *wakes = 0;
    while (ws_timer_is_set(timer)) {
        int wait = ws_timer_wheel_next(wheel, now);
        CHECK(wait > 0);
        now += (uint64_t)wait * MS;
        seen.now = now;
        (void)ws_timer_wheel_expire(wheel, now, SIZE_MAX, note, &seen);
        CHECK(++*wakes < 20);
    }
    CHECK_EQ(seen.count, 1);
    CHECK(seen.last == timer);
    return now;
}

/* Each delay fires once, not early, at most a tick late, in few wakes. */
static void
any_delay_fires_in_time(void)
{
    static const struct {
        const char *what;
        uint64_t delay_ns;
    } cases[] = {
        {"a nanosecond", 1},
        {"just under a tick", TICK - 1},
        {"a tick", TICK},
        {"just over a tick", TICK + 1},
        {"the end of level 0", 63 * TICK},
        {"the start of level 1", 64 * TICK},
        {"a second", 1000 * MS},
        {"the end of level 1", 4095 * TICK},
        {"the start of level 2", 4096 * TICK},
        {"ten minutes", 600000 * MS},
        {"level 3", 262144 * TICK},
        {"a day", DAY},
        {"level 4", 16777216 * TICK},
        {"a hundred days", 100 * DAY},
        {"the horizon", ((UINT64_C(1) << 30) - 1) * TICK},
        {"beyond the horizon", (UINT64_C(1) << 30) * TICK},
        {"two hundred days", 200 * DAY},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (uint64_t age = 0; age < 70 * TICK; age += 7 * TICK / 3) {
            uint64_t now = BIRTH + age;
            uint64_t due = now + cases[i].delay_ns;
            ws_timer_wheel *wheel = ws_timer_wheel_new(BIRTH);
            ws_timer timer = {0};
            unsigned wakes;

            (void)ws_timer_wheel_expire(wheel, now, SIZE_MAX, note, &(log){0});
            ws_timer_set(wheel, &timer, due);
            uint64_t fired = sleep_until_fired(wheel, now, &timer, &wakes);
            if (fired < due || fired > due + 2 * TICK || wakes > 12) {
                fprintf(stderr, "case: %s\n", cases[i].what);
            }
            CHECK(fired >= due);
            CHECK(fired <= due + 2 * TICK);
            CHECK(wakes <= 12);
            CHECK_EQ(ws_timer_wheel_next(wheel, fired), -1);
            ws_timer_wheel_free(wheel);
        }
    }
}

static void
what_is_past_fires_at_the_next_tick(void)
{
    ws_timer_wheel *wheel = ws_timer_wheel_new(BIRTH);
    ws_timer timer = {0};
    log seen = {0};

    (void)ws_timer_wheel_expire(wheel, BIRTH + 1000 * TICK, SIZE_MAX, note,
                                &seen);
    ws_timer_set(wheel, &timer, 0);
    CHECK_EQ(ws_timer_wheel_next(wheel, BIRTH + 1000 * TICK), 10);
    CHECK_EQ(ws_timer_wheel_expire(wheel, BIRTH + 1001 * TICK, SIZE_MAX, note,
                                   &seen),
             1);
    CHECK(seen.last == &timer);
    ws_timer_wheel_free(wheel);
}

static void
more_than_the_range_is_clamped(void)
{
    ws_timer_wheel *wheel = ws_timer_wheel_new(BIRTH);
    ws_timer timer = {0};
    log seen = {0};

    ws_timer_set(wheel, &timer, UINT64_MAX);
    (void)ws_timer_wheel_expire(wheel, BIRTH + 240 * DAY, SIZE_MAX, note,
                                &seen);
    CHECK_EQ(seen.count, 0);
    CHECK(ws_timer_is_set(&timer));
    (void)ws_timer_wheel_expire(wheel, BIRTH + 250 * DAY, SIZE_MAX, note,
                                &seen);
    CHECK_EQ(seen.count, 1);
    ws_timer_wheel_free(wheel);
}

/* The tick of a timer is kept modulo 2^32: more than a year of running. */
static void
ticks_wrap(void)
{
    uint64_t now = BIRTH + ((UINT64_C(1) << 32) - 100) * TICK;
    ws_timer_wheel *wheel = ws_timer_wheel_new(BIRTH);
    ws_timer timer = {0};
    unsigned wakes;

    (void)ws_timer_wheel_expire(wheel, now, SIZE_MAX, note, &(log){0});
    ws_timer_set(wheel, &timer, now + 5000 * TICK);
    uint64_t fired = sleep_until_fired(wheel, now, &timer, &wakes);
    CHECK(fired >= now + 5000 * TICK);
    CHECK(fired <= now + 5002 * TICK);
    ws_timer_wheel_free(wheel);
}

static void
setting_again_moves_and_cancel_forgets(void)
{
    ws_timer_wheel *wheel = ws_timer_wheel_new(BIRTH);
    ws_timer timer = {.kind = 3};
    log seen = {0};

    ws_timer_cancel(wheel, &timer);
    ws_timer_set(wheel, &timer, BIRTH + 10 * TICK);
    ws_timer_set(wheel, &timer, BIRTH + 9000 * TICK);
    (void)ws_timer_wheel_expire(wheel, BIRTH + 8999 * TICK, SIZE_MAX, note,
                                &seen);
    CHECK_EQ(seen.count, 0);
    (void)ws_timer_wheel_expire(wheel, BIRTH + 9000 * TICK, SIZE_MAX, note,
                                &seen);
    CHECK_EQ(seen.count, 1);
    CHECK_EQ(timer.kind, 3);

    ws_timer_set(wheel, &timer, BIRTH + 9100 * TICK);
    ws_timer_cancel(wheel, &timer);
    ws_timer_cancel(wheel, &timer);
    CHECK_EQ(ws_timer_wheel_next(wheel, BIRTH + 9000 * TICK), -1);
    (void)ws_timer_wheel_expire(wheel, BIRTH + 9999 * TICK, SIZE_MAX, note,
                                &seen);
    CHECK_EQ(seen.count, 1);
    ws_timer_wheel_free(wheel);
}

enum { CROWD = 64 };

typedef struct crowd {
    ws_timer_wheel *wheel;
    ws_timer *timers[CROWD];
    size_t fired;
} crowd;

/* The first to fire frees itself, cancels half of the others that are due at
   the same moment (freeing them) and puts one off. */
static void
meddle(void *user, ws_timer *timer)
{
    crowd *all = user;
    size_t put_off = CROWD;

    all->fired++;
    for (size_t i = 0; i < CROWD; i++) {
        ws_timer *other = all->timers[i];
        if (other == timer || (all->fired == 1 && i % 2 == 0)) {
            if (other != NULL) {
                ws_timer_cancel(all->wheel, other);
                ws_free(other);
                all->timers[i] = NULL;
            }
        } else if (all->fired == 1) {
            put_off = i;
        }
    }
    if (put_off < CROWD) {
        ws_timer_set(all->wheel, all->timers[put_off], BIRTH + 90 * TICK);
    }
}

static void
a_callback_may_do_anything_to_any_timer(void)
{
    crowd all = {.wheel = ws_timer_wheel_new(BIRTH)};
    size_t left = 0;

    for (size_t i = 0; i < CROWD; i++) {
        all.timers[i] = ws_calloc(1, sizeof(ws_timer));
        ws_timer_set(all.wheel, all.timers[i], BIRTH + 5 * TICK);
    }
    (void)ws_timer_wheel_expire(all.wheel, BIRTH + 6 * TICK, SIZE_MAX, meddle,
                                &all);
    for (size_t i = 0; i < CROWD; i++) {
        left += all.timers[i] != NULL;
    }
    CHECK_EQ(left, 1);
    CHECK(all.fired == CROWD / 2 || all.fired == CROWD / 2 - 1);
    (void)ws_timer_wheel_expire(all.wheel, BIRTH + 90 * TICK, SIZE_MAX, meddle,
                                &all);
    CHECK_EQ(ws_timer_wheel_next(all.wheel, BIRTH + 90 * TICK), -1);
    ws_timer_wheel_free(all.wheel);
    CHECK_EQ(ws_alloc_live(), 0);
}

/* So a turn of the pump may stop in the middle of a tick. */
static void
what_is_left_over_is_due_at_once_and_before_what_came_later(void)
{
    enum { MANY = 10 };
    ws_timer_wheel *wheel = ws_timer_wheel_new(BIRTH);
    ws_timer timers[MANY] = {0};
    ws_timer later = {0};
    ws_timer fresh = {0};
    uint64_t now = BIRTH + 6 * TICK;
    log seen = {0};

    for (size_t i = 0; i < MANY; i++) {
        ws_timer_set(wheel, &timers[i], BIRTH + 5 * TICK);
    }
    ws_timer_set(wheel, &later, BIRTH + 6 * TICK);
    CHECK_EQ(ws_timer_wheel_expire(wheel, now, 3, note, &seen), 3);
    CHECK_EQ(ws_timer_wheel_next(wheel, now), 0);

    size_t left = 0;
    for (size_t i = 0; i < MANY; i++) {
        if (ws_timer_is_set(&timers[i]) && ++left == 1) {
            ws_timer_cancel(wheel, &timers[i]);
        }
    }
    CHECK_EQ(left, MANY - 3);
    ws_timer_set(wheel, &fresh, BIRTH);
    CHECK_EQ(ws_timer_wheel_expire(wheel, now, left - 1, note, &seen),
             left - 1);
    CHECK(ws_timer_is_set(&later) && ws_timer_is_set(&fresh));
    CHECK_EQ(ws_timer_wheel_next(wheel, now), 0);
    CHECK_EQ(ws_timer_wheel_expire(wheel, now, 5, note, &seen), 2);
    CHECK_EQ(ws_timer_wheel_next(wheel, now), -1);
    CHECK_EQ(seen.count, MANY + 1);
    ws_timer_wheel_free(wheel);
}

typedef struct repeater {
    ws_timer timer;
    ws_timer_wheel *wheel;
    size_t count;
} repeater;

static void
repeat_at_once(void *user, ws_timer *timer)
{
    repeater *self = user;

    self->count++;
    ws_timer_set(self->wheel, timer, 0);
}

static void
a_timer_that_sets_itself_again_does_not_loop(void)
{
    repeater self = {.wheel = ws_timer_wheel_new(BIRTH)};

    ws_timer_set(self.wheel, &self.timer, BIRTH);
    CHECK_EQ(ws_timer_wheel_expire(self.wheel, BIRTH + 3 * TICK, SIZE_MAX,
                                   repeat_at_once, &self),
             3);
    CHECK(ws_timer_is_set(&self.timer));
    ws_timer_wheel_free(self.wheel);
}

/* The model: every timer's due moment in an array, looked through in full. */
enum { MODEL = 3000, STEPS = 20000 };

typedef struct model {
    ws_timer_wheel *wheel;
    ws_timer timers[MODEL];
    uint64_t due[MODEL]; /* 0: not set */
    uint64_t now, before;
    uint64_t random;
    size_t fired;
} model;

static uint64_t
next_random(model *m)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return m->random;
}

static uint64_t
random_delay(model *m)
{
    // All magnitudes alike, from nothing to some days.
    return next_random(m) >> (16 + next_random(m) % 40);
}

static void
set_random(model *m, size_t i)
{
    m->due[i] = m->now + random_delay(m);
    ws_timer_set(m->wheel, &m->timers[i], m->due[i]);
}

static void
model_fires(void *user, ws_timer *timer)
{
    model *m = user;
    size_t i = (size_t)(timer - m->timers);

    CHECK(m->due[i] != 0);
    CHECK(m->due[i] <= m->now);
    m->due[i] = 0;
    m->fired++;
    if (next_random(m) % 4 == 0) {
        set_random(m, i);
    }
    if (next_random(m) % 8 == 0) {
        size_t k = next_random(m) % MODEL;
        ws_timer_cancel(m->wheel, &m->timers[k]);
        m->due[k] = 0;
    }
}

/* What is still set must not have been due for two ticks, and the time that
   the wheel says may be slept must not pass the first that is. */
static void
compare(const model *m)
{
    uint64_t first = UINT64_MAX;

    for (size_t i = 0; i < MODEL; i++) {
        CHECK(ws_timer_is_set(&m->timers[i]) == (m->due[i] != 0));
        if (m->due[i] != 0) {
            CHECK(m->due[i] + 2 * TICK > m->now);
            first = m->due[i] < first ? m->due[i] : first;
        }
    }
    int wait = ws_timer_wheel_next(m->wheel, m->now);
    CHECK((wait < 0) == (first == UINT64_MAX));
    if (wait >= 0) {
        CHECK(m->now + (uint64_t)wait * MS <= first + 3 * TICK);
    }
}

static void
run_model(uint64_t seed)
{
    model *m = ws_calloc(1, sizeof *m);

    m->random = seed;
    m->now = BIRTH;
    m->wheel = ws_timer_wheel_new(m->now);
    for (size_t step = 0; step < STEPS; step++) {
        size_t i = next_random(m) % MODEL;
        if (next_random(m) % 3 == 0) {
            ws_timer_cancel(m->wheel, &m->timers[i]);
            m->due[i] = 0;
        } else {
            set_random(m, i);
        }
        if (next_random(m) % 4 == 0) {
            m->now += random_delay(m) / 16;
            (void)ws_timer_wheel_expire(m->wheel, m->now, SIZE_MAX,
                                        model_fires, m);
        }
        if (step % 50 == 0) {
            (void)ws_timer_wheel_expire(m->wheel, m->now, SIZE_MAX,
                                        model_fires, m);
            compare(m);
        }
    }
    CHECK(m->fired > STEPS / 20);
    ws_timer_wheel_free(m->wheel);
    ws_free(m);
}

static void
the_wheel_agrees_with_a_simple_model(void)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        run_model(seed * UINT64_C(0x9e3779b97f4a7c15));
    }
    CHECK_EQ(ws_alloc_live(), 0);
}

enum { MANY = 100000 };

static void
a_hundred_thousand_timers_all_fire(void)
{
    ws_timer_wheel *wheel = ws_timer_wheel_new(BIRTH);
    ws_timer *timers = ws_calloc(MANY, sizeof *timers);
    uint64_t now = BIRTH;
    log seen = {0};

    for (uint64_t i = 0; i < MANY; i++) {
        ws_timer_set(wheel, &timers[i], BIRTH + (i * 7919 % MANY) * MS);
    }
    for (int wait; (wait = ws_timer_wheel_next(wheel, now)) >= 0;) {
        now += (uint64_t)wait * MS;
        (void)ws_timer_wheel_expire(wheel, now, SIZE_MAX, note, &seen);
    }
    CHECK_EQ(seen.count, MANY);
    CHECK(now <= BIRTH + (MANY + 2 * WS_TIMER_TICK_MS) * MS);
    ws_free(timers);
    ws_timer_wheel_free(wheel);
}

static void
a_wheel_that_cannot_be_allocated_is_null(void)
{
    ws_alloc_fail_at(0);
    CHECK(ws_timer_wheel_new(BIRTH) == NULL);
    ws_alloc_fail_at(-1);
    ws_timer_wheel_free(NULL);
}

static const ws_test tests[] = {
    TEST(any_delay_fires_in_time),
    TEST(what_is_past_fires_at_the_next_tick),
    TEST(more_than_the_range_is_clamped),
    TEST(ticks_wrap),
    TEST(setting_again_moves_and_cancel_forgets),
    TEST(a_callback_may_do_anything_to_any_timer),
    TEST(what_is_left_over_is_due_at_once_and_before_what_came_later),
    TEST(a_timer_that_sets_itself_again_does_not_loop),
    TEST(the_wheel_agrees_with_a_simple_model),
    TEST(a_hundred_thousand_timers_all_fire),
    TEST(a_wheel_that_cannot_be_allocated_is_null),
};

TEST_MAIN(tests)
