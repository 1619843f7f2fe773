#include "wake.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "alloc.h"
#include "lock.h"

struct ws_wake {
    atomic_uint refs;
    unsigned number;
    int fd;
    void (*serve)(ws_wake_link *link); // NULL: a pump does
    atomic_bool armed;                 // rung, and not yet heard

    ws_lock lock; // guards all below
    bool ended;
    ws_wake_chain dirty;
    ws_task *tasks, **tasks_end;
};

/* Without a descriptor. NULL: no memory. */
static ws_wake *
allocate(void)
{
    ws_wake *wake = ws_calloc(1, sizeof *wake);
    if (wake == NULL) {
        return NULL;
    }
    if (ws_lock_init(&wake->lock) != WS_OK) {
        ws_free(wake);
        return NULL;
    }
    atomic_init(&wake->refs, 1);
    wake->fd = -1;
    wake->tasks_end = &wake->tasks;
    return wake;
}

ws_err
ws_wake_new(ws_wake **out)
{
    ws_wake *wake = allocate();
    if (wake == NULL) {
        return WS_ERR_NOMEM;
    }
    wake->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (wake->fd < 0) {
        ws_lock_destroy(&wake->lock);
        ws_free(wake);
        return WS_ERR_SYSTEM;
    }
    *out = wake;
    return WS_OK;
}

ws_wake *
ws_wake_new_direct(void (*serve)(ws_wake_link *link))
{
    ws_wake *wake = allocate();
    if (wake != NULL) {
        wake->serve = serve;
    }
    return wake;
}

ws_wake *
ws_wake_ref(ws_wake *wake)
{
    // Relaxed: whoever adds a reference already holds one.
    (void)atomic_fetch_add_explicit(&wake->refs, 1, memory_order_relaxed);
    return wake;
}

void
ws_wake_unref(ws_wake *wake)
{
    if (wake == NULL) {
        return;
    }
    // Acquire and release: the thread that frees comes after all others.
    if (atomic_fetch_sub_explicit(&wake->refs, 1, memory_order_acq_rel) > 1) {
        return;
    }
    assert(wake->dirty.head == NULL && wake->tasks == NULL);
    if (wake->fd >= 0) {
        (void)close(wake->fd);
    }
    ws_lock_destroy(&wake->lock);
    ws_free(wake);
}

void
ws_wake_set_number(ws_wake *wake, unsigned number)
{
    assert(number < WS_WAKE_NUMBERS);
    wake->number = number;
}

unsigned
ws_wake_number(const ws_wake *wake)
{
    return wake->number;
}

int
ws_wake_fd(const ws_wake *wake)
{
    return wake->fd;
}

bool
ws_wake_mark(ws_wake_link *link)
{
    return !atomic_exchange(&link->dirty, true);
}

void
ws_wake_clear(ws_wake_link *link)
{
    // An exchange, not a store: it reads what the last ws_wake_mark wrote,
    // so that the work done before that mark is seen after this.
    (void)atomic_exchange(&link->dirty, false);
}

void
ws_wake_chain_add(ws_wake_chain *chain, ws_wake_link *link)
{
    link->next = NULL;
    if (chain->tail == NULL) {
        chain->head = link;
    } else {
        chain->tail->next = link;
    }
    chain->tail = link;
}

static void
append_locked(ws_wake *wake, ws_wake_chain *chain)
{
    if (wake->dirty.tail == NULL) {
        wake->dirty = *chain;
    } else {
        wake->dirty.tail->next = chain->head;
        wake->dirty.tail = chain->tail;
    }
    *chain = (ws_wake_chain){NULL, NULL};
}

/* In the thread of whoever adds them. */
static void
serve_all(const ws_wake *wake, ws_wake_chain *chain)
{
    ws_wake_link *link = chain->head;
    *chain = (ws_wake_chain){NULL, NULL};
    while (link != NULL) {
        ws_wake_link *next = link->next; // clearing lets others link it again
        wake->serve(link);
        link = next;
    }
}

bool
ws_wake_add(ws_wake *wake, ws_wake_chain *chain)
{
    if (chain->head == NULL) {
        return true;
    }
    if (wake->serve != NULL) {
        serve_all(wake, chain);
        return true;
    }
    ws_lock_acquire(&wake->lock);
    bool ended = wake->ended;
    if (!ended) {
        append_locked(wake, chain);
    }
    ws_lock_release(&wake->lock);
    if (!ended) {
        ws_wake_ring(wake);
    }
    return !ended;
}

bool
ws_wake_post(ws_wake *wake, ws_task *task)
{
    task->next = NULL;
    ws_lock_acquire(&wake->lock);
    bool ended = wake->ended || wake->serve != NULL;
    if (!ended) {
        *wake->tasks_end = task;
        wake->tasks_end = &task->next;
    }
    ws_lock_release(&wake->lock);
    if (!ended) {
        ws_wake_ring(wake);
    }
    return !ended;
}

void
ws_wake_ring(ws_wake *wake)
{
    if (wake->serve == NULL && !atomic_exchange(&wake->armed, true)) {
        uint64_t one = 1;
        ssize_t written = 0;
        do {
            written = write(wake->fd, &one, sizeof one);
        } while (written < 0 && errno == EINTR);
        // What else fails does not matter: a full counter is readable.
    }
}

static void
splice_locked(ws_wake *wake, ws_wake_chain *chain, ws_task **tasks)
{
    *chain = wake->dirty;
    *tasks = wake->tasks;
    wake->dirty = (ws_wake_chain){NULL, NULL};
    wake->tasks = NULL;
    wake->tasks_end = &wake->tasks;
}

void
ws_wake_take(ws_wake *wake, ws_wake_chain *chain, ws_task **tasks)
{
    uint64_t rung;
    ssize_t got = read(wake->fd, &rung, sizeof rung);
    (void)got; // EAGAIN: somebody is between his exchange and his write
    (void)atomic_exchange(&wake->armed, false);

    ws_lock_acquire(&wake->lock);
    splice_locked(wake, chain, tasks);
    ws_lock_release(&wake->lock);
}

void
ws_wake_end(ws_wake *wake, ws_wake_chain *chain, ws_task **tasks)
{
    ws_lock_acquire(&wake->lock);
    wake->ended = true;
    splice_locked(wake, chain, tasks);
    ws_lock_release(&wake->lock);
}

void
ws_wake_close_after_fork(ws_wake *wake)
{
    (void)close(wake->fd);
    wake->fd = -1;
}
