#include "evq.h"

#include <assert.h>
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "alloc.h"
#include "client.h"
#include "held.h"
#include "lock.h"
#include "stats.h"

struct ws_inbound {
    ws_event_node node;
    ws_client *client;
    size_t size;
    bool text;
    uint8_t data[];
};

struct ws_notice {
    ws_event_node node;
    ws_client *client;
    uint64_t token;
    ws_err result;
};

struct ws_evq {
    ws_evq_limits limits;
    int fd;

    ws_lock lock;       // guards all below
    ws_event_node list; // head of a ring: next is the oldest
    bool started;
    bool signalled; // fd was written since a take last found nothing
    bool starved;   // a message was refused
    uint32_t starved_messages; // what was queued then
    size_t starved_bytes;
    ws_evq_stats stats;
};

static void
link_before(ws_event_node *at, ws_event_node *node)
{
    node->prev = at->prev;
    node->next = at;
    at->prev->next = node;
    at->prev = node;
}

static void
unlink_node(ws_event_node *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->prev = node->next = NULL;
}

/* Appends; true when the descriptor must be written once the lock is gone. */
static bool
append_locked(ws_evq *evq, ws_event_node *node, ws_event_kind kind)
{
    node->kind = kind;
    link_before(&evq->list, node);
    bool signal = !evq->signalled;
    evq->signalled = true;
    return signal;
}

static void
signal_drainer(const ws_evq *evq)
{
    uint64_t one = 1;
    ssize_t written = 0;
    do {
        written = write(evq->fd, &one, sizeof one);
    } while (written < 0 && errno == EINTR);
    // What else fails does not matter: a full counter is readable.
}

ws_err
ws_evq_new(ws_evq_limits limits, ws_evq **out)
{
    ws_evq *evq = ws_calloc(1, sizeof *evq);
    if (evq == NULL) {
        return WS_ERR_NOMEM;
    }
    if (ws_lock_init(&evq->lock) != WS_OK) {
        ws_free(evq);
        return WS_ERR_NOMEM;
    }
    evq->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (evq->fd < 0) {
        ws_lock_destroy(&evq->lock);
        ws_free(evq);
        return WS_ERR_SYSTEM;
    }
    evq->limits = limits;
    evq->list.prev = evq->list.next = &evq->list;
    *out = evq;
    return WS_OK;
}

int
ws_evq_fd(const ws_evq *evq)
{
    return evq->fd;
}

bool
ws_evq_start(ws_evq *evq)
{
    ws_lock_acquire(&evq->lock);
    bool first = !evq->started;
    evq->started = true;
    ws_lock_release(&evq->lock);
    return first;
}

bool
ws_evq_takes(ws_evq *evq)
{
    ws_lock_acquire(&evq->lock);
    bool takes = evq->started && evq->limits.max_messages > 0;
    ws_lock_release(&evq->lock);
    return takes;
}

void
ws_evq_count_dropped(ws_evq *evq)
{
    ws_lock_acquire(&evq->lock);
    evq->stats.dropped++;
    ws_lock_release(&evq->lock);
}

static bool
announce_locked(ws_evq *evq, ws_client *client)
{
    if (!evq->started || client->events.phase != WS_UNANNOUNCED) {
        return false;
    }
    client->events.phase = WS_ANNOUNCED;
    ws_client_ref(client);
    return append_locked(evq, &client->events.connected, WS_EVENT_CONNECTED);
}

void
ws_evq_announce(ws_evq *evq, ws_client *client)
{
    ws_lock_acquire(&evq->lock);
    bool signal = announce_locked(evq, client);
    ws_lock_release(&evq->lock);
    if (signal) {
        signal_drainer(evq);
    }
}

void
ws_evq_authorize(ws_evq *evq, ws_held *held)
{
    ws_lock_acquire(&evq->lock);
    held->queued = true;
    ws_held_ref(held);
    bool signal = append_locked(evq, &held->node, WS_EVENT_AUTHORIZE);
    ws_lock_release(&evq->lock);
    if (signal) {
        signal_drainer(evq);
    }
}

void
ws_evq_withdraw(ws_evq *evq, ws_held *held)
{
    assert(ws_held_get_state(held) != WS_HELD_PENDING);
    ws_lock_acquire(&evq->lock);
    bool queued = held->queued;
    if (queued) {
        held->queued = false;
        unlink_node(&held->node);
    }
    ws_lock_release(&evq->lock);
    if (queued) {
        ws_held_unref(held); // the queue's; the caller has one
    }
}

/* A client may hold as much as is still free, and at least one message. One
   that finds no other is taken at any size, or it would wait for ever. */
static bool
has_room_locked(const ws_evq *evq, const ws_client *client, size_t size)
{
    const ws_event_slots *own = &client->events;
    const ws_evq_limits *max = &evq->limits;
    const ws_evq_stats *now = &evq->stats;
    if (now->messages == 0) {
        return true;
    }
    // What was put back may stand above the limits.
    if (now->messages >= max->max_messages || now->bytes > max->max_bytes ||
        size > max->max_bytes - now->bytes) {
        return false;
    }
    return own->messages == 0 ||
           (own->messages < max->max_messages - now->messages &&
            own->bytes + size <= max->max_bytes - now->bytes);
}

static void
starve_locked(ws_evq *evq)
{
    evq->starved = true;
    evq->starved_messages = evq->stats.messages;
    evq->starved_bytes = evq->stats.bytes;
}

ws_err
ws_evq_message(ws_evq *evq, ws_client *client, ws_inbound *in, size_t size,
               bool text)
{
    bool signal = false;
    ws_err err = WS_OK;

    ws_lock_acquire(&evq->lock);
    bool late = client->events.phase >= WS_LEAVING;
    bool drop = late || !evq->started || evq->limits.max_messages == 0;
    if (late) {
        ws_count(&client->received_dropped, 1);
    } else if (drop) {
        evq->stats.dropped++;
    } else if (!has_room_locked(evq, client, size)) {
        starve_locked(evq);
        err = WS_ERR_FULL;
    } else {
        // A client that opened before events were started may speak before
        // its turn to be announced has come.
        signal = announce_locked(evq, client);
        in->client = ws_client_ref(client);
        in->size = size;
        in->text = text;
        signal |= append_locked(evq, &in->node, WS_EVENT_MESSAGE);
        evq->stats.messages++;
        evq->stats.bytes += size;
        evq->stats.queued++;
        client->events.messages++;
        client->events.bytes += size;
    }
    ws_lock_release(&evq->lock);

    if (drop) {
        ws_inbound_free(in);
    }
    if (signal) {
        signal_drainer(evq);
    }
    return err;
}

/* What a client's end makes of its slots; true: Disconnected is to be queued,
 *vanish: Connected is not to be taken any more. */
static bool
leave_locked(ws_event_slots *own, bool *vanish)
{
    switch (own->phase) {
    case WS_ANNOUNCED:
        *vanish = own->messages == 0;
        own->phase = *vanish ? WS_GONE : WS_LEAVING;
        return !*vanish;
    case WS_KNOWN:
        own->phase = WS_GONE;
        return true;
    case WS_UNANNOUNCED:
        own->phase = WS_GONE;
        return false;
    case WS_LEAVING:
    case WS_GONE:
        break;
    }
    return false; // it was told before
}

void
ws_evq_disconnected(ws_evq *evq, ws_client *client)
{
    bool signal = false;
    bool vanish = false;

    ws_lock_acquire(&evq->lock);
    ws_event_slots *own = &client->events;
    if (leave_locked(own, &vanish)) {
        ws_client_ref(client);
        signal = append_locked(evq, &own->disconnected, WS_EVENT_DISCONNECTED);
    }
    if (vanish) {
        unlink_node(&own->connected);
    }
    ws_lock_release(&evq->lock);

    if (vanish) {
        ws_client_unref(client); // the Connected slot's; the caller has one
    }
    if (signal) {
        signal_drainer(evq);
    }
}

ws_notice *
ws_notice_new(ws_client *client, uint64_t token)
{
    ws_notice *notice = ws_calloc(1, sizeof *notice);
    if (notice != NULL) {
        notice->client = ws_client_ref(client);
        notice->token = token;
    }
    return notice;
}

void
ws_notice_free(ws_notice *notice)
{
    ws_client_unref(notice->client);
    ws_free(notice);
}

void
ws_evq_notice(ws_evq *evq, ws_notice *notice, ws_err result)
{
    notice->result = result;
    ws_lock_acquire(&evq->lock);
    bool signal = append_locked(evq, &notice->node, WS_EVENT_NOTICE);
    ws_lock_release(&evq->lock);
    if (signal) {
        signal_drainer(evq);
    }
}

static ws_event
open_message_locked(ws_evq *evq, ws_inbound *in)
{
    evq->stats.messages--;
    evq->stats.bytes -= in->size;
    in->client->events.messages--;
    in->client->events.bytes -= in->size;
    return (ws_event){
        .kind = WS_EVENT_MESSAGE,
        .client = in->client,
        .message = in,
        .size = in->size,
        .text = in->text,
    };
}

static ws_client *
client_of_slot(ws_event_node *node, size_t offset)
{
    return (ws_client *)(void *)((char *)node - offset);
}

/* Unlinks the oldest event and makes it the drainer's. A notice's block is
   left in *block, to be freed without the lock. */
static ws_event
pop_locked(ws_evq *evq, ws_notice **block)
{
    ws_event_node *node = evq->list.next;
    ws_event event = {.kind = node->kind};

    unlink_node(node);
    switch (node->kind) {
    case WS_EVENT_CONNECTED:
        event.client =
            client_of_slot(node, offsetof(ws_client, events.connected));
        event.client->events.phase =
            event.client->events.phase == WS_LEAVING ? WS_GONE : WS_KNOWN;
        break;
    case WS_EVENT_DISCONNECTED:
        event.client =
            client_of_slot(node, offsetof(ws_client, events.disconnected));
        event.client->events.phase = WS_GONE;
        break;
    case WS_EVENT_MESSAGE:
        event = open_message_locked(evq, (ws_inbound *)node);
        break;
    case WS_EVENT_NOTICE:
        *block = (ws_notice *)node;
        event.client = (*block)->client;
        event.token = (*block)->token;
        event.result = (*block)->result;
        break;
    case WS_EVENT_AUTHORIZE:
        event.held =
            (ws_held *)(void *)((char *)node - offsetof(ws_held, node));
        event.held->queued = false;
        break;
    }
    return event;
}

/* Asks the starved again once half of what stood in their way is gone. */
static bool
feeds_starved_locked(ws_evq *evq)
{
    if (!evq->starved || evq->stats.messages > evq->starved_messages / 2 ||
        evq->stats.bytes > evq->starved_bytes / 2) {
        return false;
    }
    evq->starved = false;
    return true;
}

static bool
take_locked(ws_evq *evq, ws_event *out, bool *room, ws_notice **block)
{
    if (evq->list.next == &evq->list) {
        return false;
    }
    *out = pop_locked(evq, block);
    *room = feeds_starved_locked(evq);
    return true;
}

bool
ws_evq_take(ws_evq *evq, ws_event *out, bool *room)
{
    ws_notice *block = NULL;
    *room = false;

    ws_lock_acquire(&evq->lock);
    bool found = take_locked(evq, out, room, &block);
    ws_lock_release(&evq->lock);
    if (!found) {
        // Clear the descriptor, and only then look once more: whoever queues
        // from here on writes to it again.
        uint64_t count;
        ssize_t got = read(evq->fd, &count, sizeof count);
        (void)got;
        ws_lock_acquire(&evq->lock);
        evq->signalled = false;
        found = take_locked(evq, out, room, &block);
        if (found) {
            evq->signalled = evq->list.next != &evq->list;
        }
        bool again = evq->signalled;
        ws_lock_release(&evq->lock);
        if (again) {
            signal_drainer(evq);
        }
    }
    ws_free(block);
    return found;
}

bool
ws_evq_put_back(ws_evq *evq, ws_event *event)
{
    ws_event_node *node = NULL;
    ws_client *client = event->client;

    if (event->kind == WS_EVENT_NOTICE) {
        ws_notice *notice = ws_calloc(1, sizeof *notice);
        if (notice == NULL) {
            return false;
        }
        *notice = (ws_notice){{NULL, NULL, WS_EVENT_NOTICE},
                              client,
                              event->token,
                              event->result};
        node = &notice->node;
    }
    ws_lock_acquire(&evq->lock);
    switch (event->kind) {
    case WS_EVENT_CONNECTED:
        node = &client->events.connected;
        if (client->events.phase == WS_KNOWN) {
            client->events.phase = WS_ANNOUNCED;
        }
        break;
    case WS_EVENT_DISCONNECTED:
        node = &client->events.disconnected;
        break;
    case WS_EVENT_MESSAGE:
        node = &event->message->node;
        evq->stats.messages++;
        evq->stats.bytes += event->size;
        client->events.messages++;
        client->events.bytes += event->size;
        break;
    case WS_EVENT_NOTICE:
        break;
    case WS_EVENT_AUTHORIZE:
        // Who has been decided on since was withdrawn already.
        if (ws_held_get_state(event->held) == WS_HELD_PENDING) {
            node = &event->held->node;
            event->held->queued = true;
        }
        break;
    }
    bool signal = node != NULL && !evq->signalled;
    if (node != NULL) {
        link_before(evq->list.next, node);
        evq->signalled = true;
    }
    ws_lock_release(&evq->lock);
    if (node == NULL) {
        ws_held_unref(event->held);
    }
    if (signal) {
        signal_drainer(evq);
    }
    *event = (ws_event){.kind = event->kind};
    return true;
}

void
ws_event_release(ws_event *event)
{
    ws_inbound_free(event->message);
    event->message = NULL;
    ws_client_unref(event->client);
    event->client = NULL;
    ws_held_unref(event->held);
    event->held = NULL;
}

ws_evq_stats
ws_evq_get_stats(ws_evq *evq)
{
    ws_lock_acquire(&evq->lock);
    ws_evq_stats stats = evq->stats;
    ws_lock_release(&evq->lock);
    return stats;
}

void
ws_evq_free(ws_evq *evq)
{
    if (evq == NULL) {
        return;
    }
    ws_event event;
    bool room;
    while (ws_evq_take(evq, &event, &room)) {
        ws_event_release(&event);
    }
    if (evq->fd >= 0) {
        (void)close(evq->fd);
    }
    ws_lock_destroy(&evq->lock);
    ws_free(evq);
}

void
ws_evq_close_after_fork(ws_evq *evq)
{
    (void)close(evq->fd);
    evq->fd = -1;
}

ws_inbound *
ws_inbound_new(size_t cap)
{
    ws_inbound *in = ws_malloc(sizeof *in + cap);
    if (in != NULL) {
        *in = (ws_inbound){.size = 0};
    }
    return in;
}

ws_inbound *
ws_inbound_grow(ws_inbound *in, size_t cap)
{
    return ws_realloc(in, sizeof *in + cap);
}

void
ws_inbound_free(ws_inbound *in)
{
    ws_free(in);
}

uint8_t *
ws_inbound_data(ws_inbound *in)
{
    return in->data;
}
