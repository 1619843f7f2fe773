/*
 * wake.h - the pump's doorbell: who has work, and an eventfd that says so.
 *
 * Senders link what has become dirty and ring; the pump takes the whole list
 * at once. The doorbell outlives the pump and refuses once it has ended.
 *
 * The order is what makes no wake get lost:
 *     sender: push; ws_wake_mark; ws_wake_add: link, then
 *             if (!exchange(armed, 1)) write(eventfd)
 *     pump:   ws_wake_take: read(eventfd), *then* exchange(armed, 0), then
 *             splice; for each link ws_wake_clear, *then* look at its work.
 *
 * One without a pump has the links served by whoever adds them, before the add
 * returns; it has no descriptor and runs no tasks. See memory_end.h.
 *
 * Threads: new, ref, unref, number, mark, add, post and ring: any. take, clear
 *          and end: the pump. set_number: whoever made it.
 * Owns:    its descriptor. The links and tasks are the callers'; what a
 *          linked thing needs to stay alive, the caller gives it before.
 * Locks:   its own, a leaf; the write to the eventfd is made outside it.
 */
#ifndef WS_CORE_WAKE_H
#define WS_CORE_WAKE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "err.h"

/* Embedded in what can be dirty. */
typedef struct ws_wake_link ws_wake_link;
struct ws_wake_link {
    ws_wake_link *next;
    atomic_bool dirty; /* on the list, or about to be put there */
};

/* Links in the order in which they were added. */
typedef struct ws_wake_chain {
    ws_wake_link *head, *tail;
} ws_wake_chain;

/* Something for the pump to do once, on its own thread. */
typedef struct ws_task ws_task;
struct ws_task {
    ws_task *next;
    void (*run)(ws_task *task, void *pump); /* may free the task */
};

typedef struct ws_wake ws_wake;

/* One reference, the caller's. SYSTEM: no descriptor, errno tells. */
WS_MUST_CHECK ws_err ws_wake_new(ws_wake **out);

/* One without a pump: `serve` is called for each link that is added, with no
   lock held, and clears it. NULL: no memory. */
ws_wake *ws_wake_new_direct(void (*serve)(ws_wake_link *link));
ws_wake *ws_wake_ref(ws_wake *wake);
void ws_wake_unref(ws_wake *wake); /* NULL does nothing */

/* Which of a hub's pumps it is for, so that a sender can sort clients by their
   pumps: 0 unless set, before anybody else knows it. */
enum { WS_WAKE_NUMBERS = 64 };
void ws_wake_set_number(ws_wake *wake, unsigned number);
unsigned ws_wake_number(const ws_wake *wake);

/* Readable while the pump has something to take; -1: there is no pump. */
int ws_wake_fd(const ws_wake *wake);

/* True when the caller must add the link (holding a reference for the list);
   false when it is on its way already. */
bool ws_wake_mark(ws_wake_link *link);

/* The pump, for each link it took, before it looks at the work. */
void ws_wake_clear(ws_wake_link *link);

/* Appends one marked link to a chain of the caller's own. */
void ws_wake_chain_add(ws_wake_chain *chain, ws_wake_link *link);

/* Puts the chain on the list, rings, and empties the chain. False when the
   pump has ended: the chain is still the caller's. An empty chain is true and
   rings nobody. */
WS_MUST_CHECK bool ws_wake_add(ws_wake *wake, ws_wake_chain *chain);

/* Hands a task to the pump. False when the pump has ended, or there is none:
   it will not run. */
WS_MUST_CHECK bool ws_wake_post(ws_wake *wake, ws_task *task);

/* Wakes the pump without any work of our own. */
void ws_wake_ring(ws_wake *wake);

/* Everything that was added since the last take. */
void ws_wake_take(ws_wake *wake, ws_wake_chain *chain, ws_task **tasks);

/* Like take, and from now on add and post refuse. */
void ws_wake_end(ws_wake *wake, ws_wake_chain *chain, ws_task **tasks);

/* In a forked child, where the doorbell is the parent's: closes this
   process's copy of the descriptor. Async-signal-safe. */
void ws_wake_close_after_fork(ws_wake *wake);

#endif
