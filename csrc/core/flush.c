#include "flush.h"

#include <assert.h>

#include "alloc.h"
#include "lock.h"

typedef struct flush_waiter {
    ws_waiter waiter;
    ws_flush *flush;
    ws_client *client; // a reference
} flush_waiter;

struct ws_flush {
    flush_waiter *waiters;
    size_t count;

    ws_lock lock; // guards all below
    pthread_cond_t cond;
    size_t pending; // waiters that have not fired
    bool lost;
};

static void
settle_locked(ws_flush *flush, ws_err result)
{
    assert(flush->pending > 0);
    flush->pending--;
    flush->lost |= result == WS_ERR_CLOSED;
}

static void
fire_flush(ws_waiter *waiter, ws_err result)
{
    ws_flush *flush = ((flush_waiter *)waiter)->flush;
    ws_lock_acquire(&flush->lock);
    settle_locked(flush, result);
    if (flush->pending == 0) {
        // Under the lock: the sleeper frees us once it sees the zero.
        (void)pthread_cond_broadcast(&flush->cond);
    }
    ws_lock_release(&flush->lock);
}

/* Takes over `clients`: the array's references, not the array. */
static ws_err
flush_new(ws_client **clients, size_t count, ws_flush **out)
{
    ws_flush *flush = ws_calloc(1, sizeof *flush);
    if (flush == NULL) {
        goto no_flush;
    }
    flush->waiters = ws_calloc(count + 1, sizeof(flush_waiter));
    if (flush->waiters == NULL || ws_cond_init(&flush->cond) != WS_OK) {
        goto no_cond;
    }
    if (ws_lock_init(&flush->lock) != WS_OK) {
        goto no_lock;
    }
    flush->count = flush->pending = count;
    for (size_t i = 0; i < count; i++) {
        flush_waiter *one = &flush->waiters[i];
        *one = (flush_waiter){
            .waiter = {.kind = WS_WAIT_FLUSH, .fire = fire_flush},
            .flush = flush,
            .client = clients[i],
        };
        ws_err err = ws_chan_wait(&clients[i]->chan, &one->waiter);
        if (err != WS_ERR_TIMEOUT) {
            fire_flush(&one->waiter, err);
        }
    }
    *out = flush;
    return WS_OK;

no_lock:
    (void)pthread_cond_destroy(&flush->cond);
no_cond:
    ws_free(flush->waiters);
    ws_free(flush);
no_flush:
    for (size_t i = 0; i < count; i++) {
        ws_client_unref(clients[i]);
    }
    return WS_ERR_NOMEM;
}

ws_err
ws_flush_client(ws_client *client, ws_flush **out)
{
    ws_client_ref(client);
    return flush_new(&client, 1, out);
}

ws_err
ws_flush_hub(ws_hub *hub, ws_flush **out)
{
    ws_client **clients = NULL;
    size_t count = 0;
    ws_err err =
        ws_hub_list(hub, (ws_target){.kind = WS_TO_PRESENT}, &clients, &count);
    if (err == WS_OK) {
        err = flush_new(clients, count, out);
        ws_free(clients);
    }
    return err;
}

ws_err
ws_flush_wait(ws_flush *flush, uint64_t until_ns)
{
    bool in_time = true;
    ws_lock_acquire(&flush->lock);
    while (flush->pending > 0 && in_time) {
        in_time = ws_cond_wait_until(&flush->cond, &flush->lock, until_ns);
    }
    ws_err err = flush->pending > 0 ? WS_ERR_TIMEOUT
                 : flush->lost      ? WS_ERR_CLOSED
                                    : WS_OK;
    ws_lock_release(&flush->lock);
    return err;
}

void
ws_flush_free(ws_flush *flush)
{
    if (flush == NULL) {
        return;
    }
    for (size_t i = 0; i < flush->count; i++) {
        flush_waiter *one = &flush->waiters[i];
        if (ws_chan_unwait(&one->client->chan, &one->waiter)) {
            ws_lock_acquire(&flush->lock);
            settle_locked(flush, WS_OK);
            ws_lock_release(&flush->lock);
        }
    }
    // Whatever is left is firing at this moment.
    while (ws_flush_wait(flush, ws_now_ns() + WS_NS_PER_S) == WS_ERR_TIMEOUT) {
    }
    for (size_t i = 0; i < flush->count; i++) {
        ws_client_unref(flush->waiters[i].client);
    }
    ws_lock_destroy(&flush->lock);
    (void)pthread_cond_destroy(&flush->cond);
    ws_free(flush->waiters);
    ws_free(flush);
}
