#include "timer.h"

#include <assert.h>
#include <limits.h>

#include "core/alloc.h"

/*
 * Five levels of 64 slots; a slot of level n spans 64^n ticks. A timer stands
 * in the lowest level whose span reaches it. When the wheel comes to the
 * start of a slot of a higher level, that slot's timers move down. A bit map
 * for each level finds the next slot in use without looking at empty ones.
 */
enum {
    LEVELS = 5,
    BITS = 6,
    SLOTS = 1 << BITS,
};

#define TICK_NS (UINT64_C(1000000) * WS_TIMER_TICK_MS)

/* Farther than the wheel spans, and still unambiguous modulo 2^32. */
#define MAX_AHEAD (UINT64_C(1) << 31)

/* The end of what the levels span together. */
#define HORIZON (UINT64_C(1) << (LEVELS * BITS))

struct ws_timer_wheel {
    uint64_t base_ns; // the beginning of tick 0
    uint64_t tick;    // all up to and including this one have fired or are
                      // in `firing`
    uint64_t used[LEVELS];
    ws_timer *slots[LEVELS][SLOTS];
    ws_timer *firing; // taken from their slot, not called yet
};

static uint64_t
tick_at(const ws_timer_wheel *wheel, uint64_t now_ns)
{
    return now_ns > wheel->base_ns ? (now_ns - wheel->base_ns) / TICK_NS : 0;
}

/* The first tick that begins at or after `due_ns`. */
static uint64_t
tick_after(const ws_timer_wheel *wheel, uint64_t due_ns)
{
    if (due_ns <= wheel->base_ns) {
        return 0;
    }
    return (due_ns - wheel->base_ns - 1) / TICK_NS + 1;
}

static void
link_at(ws_timer **head, ws_timer *timer)
{
    timer->next = *head;
    timer->link = head;
    if (timer->next != NULL) {
        timer->next->link = &timer->next;
    }
    *head = timer;
}

/* Puts a timer that is due `ahead` ticks from now into its slot. */
static void
place(ws_timer_wheel *wheel, ws_timer *timer, uint64_t ahead)
{
    // Beyond the horizon: into the farthest slot, to be looked at again.
    uint64_t reach = ahead < HORIZON ? ahead : HORIZON - 1;
    unsigned level = 0;

    while (reach >> ((level + 1) * BITS) != 0) {
        level++;
    }
    uint64_t slot = ((wheel->tick + reach) >> (level * BITS)) % SLOTS;
    link_at(&wheel->slots[level][slot], timer);
    wheel->used[level] |= UINT64_C(1) << slot;
}

static void
unlink_timer(ws_timer_wheel *wheel, ws_timer *timer)
{
    ws_timer **link = timer->link;
    ws_timer **first = &wheel->slots[0][0];

    *link = timer->next;
    if (timer->next != NULL) {
        timer->next->link = link;
    }
    timer->next = NULL;
    timer->link = NULL;
    // The last of a slot: `link` is then the slot itself.
    if (*link == NULL && link >= first &&
        link < first + (size_t)LEVELS * SLOTS) {
        size_t slot = (size_t)(link - first);
        wheel->used[slot / SLOTS] &= ~(UINT64_C(1) << (slot % SLOTS));
    }
}

/* The next tick at which a slot of this level fires or moves down. */
static uint64_t
next_of_level(const ws_timer_wheel *wheel, unsigned level)
{
    uint64_t here = wheel->tick >> (level * BITS);
    unsigned turn = (unsigned)((here + 1) % SLOTS);
    uint64_t used = wheel->used[level];

    // Bit n of `ahead` is the slot n + 1 after the one that we stand in.
    uint64_t ahead = used >> turn;
    if (turn != 0) {
        ahead |= used << (SLOTS - turn);
    }
    return (here + 1 + (unsigned)__builtin_ctzll(ahead)) << (level * BITS);
}

/* The next tick with anything to do; UINT64_MAX: none. */
static uint64_t
next_tick(const ws_timer_wheel *wheel)
{
    uint64_t next = UINT64_MAX;

    for (unsigned level = 0; level < LEVELS; level++) {
        if (wheel->used[level] != 0) {
            uint64_t tick = next_of_level(wheel, level);
            next = tick < next ? tick : next;
        }
    }
    return next;
}

/* Empties a slot into `head`, which is empty. */
static void
take_slot(ws_timer_wheel *wheel, unsigned level, uint64_t slot,
          ws_timer **head)
{
    *head = wheel->slots[level][slot];
    if (*head != NULL) {
        (*head)->link = head;
    }
    wheel->slots[level][slot] = NULL;
    wheel->used[level] &= ~(UINT64_C(1) << slot);
}

/* Moves the timers of the higher slots that begin at this tick down. */
static void
cascade(ws_timer_wheel *wheel)
{
    for (unsigned level = 1; level < LEVELS; level++) {
        uint64_t below = (UINT64_C(1) << (level * BITS)) - 1;
        if ((wheel->tick & below) != 0) {
            return;
        }
        ws_timer *head;
        take_slot(wheel, level, (wheel->tick >> (level * BITS)) % SLOTS,
                  &head);
        while (head != NULL) {
            ws_timer *timer = head;
            head = timer->next;
            // Modulo 2^32, and never behind.
            place(wheel, timer, timer->due - (uint32_t)wheel->tick);
        }
    }
}

/* Calls those of this tick, but for at most `most`. */
static size_t
fire(ws_timer_wheel *wheel, size_t most, ws_timer_fn *fn, void *user)
{
    size_t count = 0;

    while (wheel->firing != NULL && count < most) {
        ws_timer *timer = wheel->firing;
        assert(timer->due == (uint32_t)wheel->tick);
        unlink_timer(wheel, timer);
        fn(user, timer);
        count++;
    }
    return count;
}

ws_timer_wheel *
ws_timer_wheel_new(uint64_t now_ns)
{
    ws_timer_wheel *wheel = ws_calloc(1, sizeof *wheel);
    if (wheel != NULL) {
        wheel->base_ns = now_ns;
    }
    return wheel;
}

void
ws_timer_wheel_free(ws_timer_wheel *wheel)
{
    ws_free(wheel);
}

void
ws_timer_set(ws_timer_wheel *wheel, ws_timer *timer, uint64_t due_ns)
{
    uint64_t due = tick_after(wheel, due_ns);
    uint64_t ahead = due > wheel->tick ? due - wheel->tick : 1;

    ws_timer_cancel(wheel, timer);
    ahead = ahead < MAX_AHEAD ? ahead : MAX_AHEAD;
    timer->due = (uint32_t)(wheel->tick + ahead);
    place(wheel, timer, ahead);
}

void
ws_timer_cancel(ws_timer_wheel *wheel, ws_timer *timer)
{
    if (ws_timer_is_set(timer)) {
        unlink_timer(wheel, timer);
    }
}

int
ws_timer_wheel_next(const ws_timer_wheel *wheel, uint64_t now_ns)
{
    uint64_t next = wheel->firing == NULL ? next_tick(wheel) : wheel->tick;
    if (next == UINT64_MAX) {
        return -1;
    }
    uint64_t at_ns = wheel->base_ns + next * TICK_NS;
    if (at_ns <= now_ns) {
        return 0;
    }
    uint64_t ms = (at_ns - now_ns - 1) / 1000000 + 1;
    return ms < INT_MAX ? (int)ms : INT_MAX;
}

size_t
ws_timer_wheel_expire(ws_timer_wheel *wheel, uint64_t now_ns, size_t most,
                      ws_timer_fn *fn, void *user)
{
    uint64_t now = tick_at(wheel, now_ns);
    size_t count = fire(wheel, most, fn, user); // left over

    while (wheel->firing == NULL && next_tick(wheel) <= now) {
        wheel->tick = next_tick(wheel);
        cascade(wheel);
        take_slot(wheel, 0, wheel->tick % SLOTS, &wheel->firing);
        count += fire(wheel, most - count, fn, user);
    }
    if (wheel->firing == NULL && now > wheel->tick) {
        wheel->tick = now;
    }
    return count;
}
