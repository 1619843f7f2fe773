#include <assert.h>
#include <errno.h>
#include <libwebsockets.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "conn.h"
#include "core/alloc.h"
#include "proto/close_code.h"
#include "proto/frame_encode.h"
#include "pump_inside.h"

enum {
    BATCH_BYTES = 128 * 1024, // of messages, or of a page, in one system call
    TURN_BYTES = 256 * 1024,  // written for one client in a turn
    PACK_MAX = 2048,          // larger frames are sent from where they are
    CTL_FIRST = 128,
    CTL_KEEP = 1024, // beyond this, pongs wait and the latest wins
    RETRY_MS = 10,   // between tries while the kernel is out of memory
};

/* One system call's worth. */
typedef struct batch {
    struct iovec iov[WS_CHAN_BATCH + 2];
    size_t iov_count;
    size_t ctl_size;  // bytes of it that are ctl's
    size_t page_size; // ... and the page's
    size_t size;      // bytes in all
    ws_msg *msgs[WS_CHAN_BATCH];
    size_t msg_count;
    size_t offset; // frame bytes of msgs[0] that went before
    bool is_all;   // what comes after it will bring a wake-up of its own
} batch;

/* A TLS record for which there was no room. OpenSSL has made it already, so
   the same bytes must be the next that it is given. */
struct ws_sealed {
    batch batch; // what they are; iov is of no use any more
    uint8_t data[];
};

bool
ws_outbox_put(ws_conn *conn, const void *data, size_t size)
{
    ws_ctl *ctl = &conn->ctl;
    size_t need = ctl->size + size;
    assert(size > 0);
    if (need > ctl->cap) {
        size_t cap = ctl->cap == 0 ? CTL_FIRST : ctl->cap * 2;
        cap = cap < need ? need : cap;
        uint8_t *grown = ws_realloc(ctl->data, cap);
        if (grown == NULL) {
            return false;
        }
        ctl->data = grown;
        ctl->cap = (uint32_t)cap;
    }
    memcpy(ctl->data + ctl->size, data, size);
    ctl->size = (uint32_t)need;
    return true;
}

static bool
put_control(ws_conn *conn, ws_opcode opcode, const uint8_t *payload,
            size_t size)
{
    uint8_t frame[WS_FRAME_CONTROL_MAX];
    size_t frame_size = ws_frame_encode_control(frame, opcode, payload, size);
    return ws_outbox_put(conn, frame, frame_size);
}

void
ws_outbox_pong(ws_conn *conn, const uint8_t *payload, size_t size)
{
    if (conn->close_queued) {
        return;
    }
    if (!conn->pong_due && conn->ctl.size < CTL_KEEP &&
        put_control(conn, WS_OPCODE_PONG, payload, size)) {
        return;
    }
    if (conn->pong == NULL) {
        conn->pong = ws_malloc(WS_FRAME_CONTROL_PAYLOAD_MAX);
    }
    if (conn->pong != NULL) { // else: no memory, this ping goes unanswered
        memcpy(conn->pong, payload, size);
        conn->pong_size = (uint8_t)size;
        conn->pong_due = true;
    }
}

bool
ws_outbox_ping(ws_conn *conn, uint64_t payload)
{
    if (conn->close_queued ||
        !put_control(conn, WS_OPCODE_PING, (const uint8_t *)&payload,
                     sizeof payload)) {
        return false;
    }
    ws_count(&conn->pump->counters->pings, 1);
    return true;
}

/* The Close, once nothing else is to be said. */
static void
put_close(ws_conn *conn)
{
    uint8_t frame[WS_FRAME_CONTROL_MAX];
    const ws_client *client = conn->client;
    size_t size = 0;

    if (!conn->closing || conn->close_queued || conn->mid_message) {
        return;
    }
    if (conn->close_received) {
        size = ws_frame_encode_close(frame, conn->echo_code, NULL, 0);
    } else {
        size = ws_frame_encode_close(frame, client->close_code,
                                     (const uint8_t *)client->close_reason,
                                     client->close_reason_size);
    }
    if (size == 0) { // a code that is not for the wire, 1006 for one
        size = ws_frame_encode_close(frame, WS_CLOSE_NO_STATUS, NULL, 0);
    }
    if (!ws_outbox_put(conn, frame, size)) {
        ws_conn_doom(conn, "out of memory");
        return;
    }
    conn->close_queued = true;
}

/* A pong that had to wait for room. */
static void
put_waiting_pong(ws_conn *conn)
{
    if (conn->pong_due && !conn->close_queued && conn->ctl.size < CTL_KEEP &&
        put_control(conn, WS_OPCODE_PONG, conn->pong, conn->pong_size)) {
        conn->pong_due = false;
        ws_free(conn->pong);
        conn->pong = NULL;
    }
}

static void
add_iov(batch *b, const void *data, size_t size)
{
    b->iov[b->iov_count++] = (struct iovec){(void *)(uintptr_t)data, size};
    b->size += size;
}

static size_t
at_most(size_t size, size_t most)
{
    return size < most ? size : most;
}

/* Gathers frames: small neighbours side by side in the scratch buffer. */
static void
add_frames(ws_pump *pump, batch *b)
{
    size_t used = 0;
    size_t start = 0; // of the run of packed frames that is open

    for (size_t i = 0; i < b->msg_count; i++) {
        size_t skip = i == 0 ? b->offset : 0;
        const uint8_t *data = ws_msg_frame(b->msgs[i]) + skip;
        size_t size = ws_msg_frame_size(b->msgs[i]) - skip;
        size = at_most(size, BATCH_BYTES); // nothing stands behind a larger
        if (b->msg_count > 1 && size <= PACK_MAX &&
            used + size <= WS_PUMP_SCRATCH) {
            memcpy(pump->scratch + used, data, size);
            used += size;
            continue;
        }
        if (used > start) {
            add_iov(b, pump->scratch + start, used - start);
            start = used;
        }
        add_iov(b, data, size);
    }
    if (used > start) {
        add_iov(b, pump->scratch + start, used - start);
    }
}

/* But for the arrays, which are larger than all that is done here. */
static void
clear(batch *b)
{
    b->iov_count = 0;
    b->ctl_size = 0;
    b->page_size = 0;
    b->size = 0;
    b->msg_count = 0;
    b->offset = 0;
    b->is_all = false;
}

/* What comes next, in order: the rest of a message that was begun, ctl, whole
   messages, and at the very end the Close. */
static void
gather(ws_conn *conn, batch *b)
{
    clear(b);
    if (!conn->mid_message) {
        put_waiting_pong(conn);
    }
    // A message that was begun goes alone while something waits to follow it.
    size_t most = conn->tls == NULL ? BATCH_BYTES : WS_TLS_RECORD;
    bool ctl_waits = conn->ctl.size > conn->ctl.offset || conn->pong_due;
    bool alone = conn->mid_message && (ctl_waits || conn->rest_lost);
    if (conn->phase == WS_CONN_FRAMES && !conn->close_queued &&
        (conn->mid_message || !conn->rest_lost)) {
        b->msg_count = ws_chan_peek(&conn->client->chan, b->msgs,
                                    alone ? 1 : most, &b->offset);
    }
    if (b->msg_count == 0) {
        put_close(conn);
    }
    if (!conn->mid_message && conn->ctl.size > conn->ctl.offset) {
        b->ctl_size = conn->ctl.size - conn->ctl.offset;
        add_iov(b, conn->ctl.data + conn->ctl.offset, b->ctl_size);
    }
    if (conn->page != NULL && conn->page_offset < conn->page->body_size) {
        b->page_size =
            at_most(conn->page->body_size - conn->page_offset, BATCH_BYTES);
        add_iov(b, conn->page->body + conn->page_offset, b->page_size);
    }
    add_frames(conn->pump, b);
    // Who pushes behind what was peeked marks the client again.
    b->is_all = conn->phase == WS_CONN_FRAMES && !alone && !conn->pong_due &&
                b->msg_count < WS_CHAN_BATCH && b->size + b->offset < most;
}

static void
ctl_written(ws_conn *conn, size_t size)
{
    ws_ctl *ctl = &conn->ctl;
    ctl->offset += (uint32_t)size;
    if (ctl->offset < ctl->size || size == 0) {
        return;
    }
    ws_free(ctl->data);
    *ctl = (ws_ctl){0};
    conn->ping_unsent = false;
    if (conn->close_queued) {
        conn->close_sent = true;
    }
}

/* Books what the kernel took. */
static void
account(ws_conn *conn, batch *b, size_t taken)
{
    ws_count(&conn->pump->counters->wire_bytes, taken);
    size_t ctl = at_most(taken, b->ctl_size);
    ctl_written(conn, ctl);
    taken -= ctl;

    if (b->page_size > 0) { // else its place is not worth fetching
        size_t page = at_most(taken, b->page_size);
        conn->page_offset += page;
        taken -= page;
    }

    if (b->msg_count == 0) {
        return;
    }
    size_t done = ws_chan_commit(&conn->client->chan, taken);
    size_t rest = taken + b->offset;
    for (size_t i = 0; i < done; i++) {
        rest -= ws_msg_frame_size(b->msgs[i]);
        ws_msg_unref(b->msgs[i]);
    }
    conn->mid_message = rest > 0;
}

/* The first record's worth, in one piece: where it is, or put together. */
static const uint8_t *
cut_record(ws_pump *pump, batch *b)
{
    b->size = at_most(b->size, WS_TLS_RECORD);
    if (b->iov[0].iov_len >= b->size) {
        return b->iov[0].iov_base;
    }
    size_t used = 0;
    for (size_t i = 0; used < b->size; i++) {
        assert(i < b->iov_count);
        const struct iovec *piece = &b->iov[i];
        // NOLINTNEXTLINE(clang-analyzer-core.*): of those there are it is set
        size_t size = at_most(piece->iov_len, b->size - used);
        memcpy(pump->record + used, piece->iov_base, size);
        used += size;
    }
    return pump->record;
}

/* Keeps what must come again; false: no memory. */
static bool
seal(ws_conn *conn, const batch *b, const uint8_t *data)
{
    conn->sealed = ws_malloc(sizeof *conn->sealed + b->size);
    if (conn->sealed == NULL) {
        return false;
    }
    conn->sealed->batch = *b;
    conn->sealed->batch.is_all = false; // by then there may be more
    memcpy(conn->sealed->data, data, b->size);
    return true;
}

static void
unseal(ws_conn *conn)
{
    ws_free(conn->sealed);
    conn->sealed = NULL;
}

/* As send_batch, under TLS: all of the batch, which becomes shorter, or
   nothing of it. */
static ssize_t
send_record(ws_conn *conn, batch *b)
{
    const uint8_t *data =
        conn->sealed != NULL ? conn->sealed->data : cut_record(conn->pump, b);
    ssize_t taken = ws_tls_write(conn->wsi, data, b->size);
    ws_count(&conn->pump->counters->writes, 1);
    if (taken > 0) {
        unseal(conn);
    } else if (taken == 0 && conn->sealed == NULL && !seal(conn, b, data)) {
        return -1;
    }
    return taken;
}

/* One piece goes without the kernel's looking at a list of them. */
static ssize_t
send_pieces(int fd, const batch *b)
{
    const int flags = MSG_NOSIGNAL | MSG_DONTWAIT;
    if (b->iov_count == 1) {
        return send(fd, b->iov[0].iov_base, b->iov[0].iov_len, flags);
    }
    const struct msghdr msg = {
        .msg_iov = (struct iovec *)(uintptr_t)b->iov,
        .msg_iovlen = b->iov_count,
    };
    return sendmsg(fd, &msg, flags);
}

/* Bytes taken; -1: the connection is broken. A socket that takes none for now
   takes 0; *no_memory tells that it is the kernel's fault. */
static ssize_t
send_batch(ws_conn *conn, batch *b, bool *no_memory)
{
    if (conn->tls != NULL) {
        return send_record(conn, b);
    }
    ssize_t sent = 0;
    do {
        sent = send_pieces(conn->fd, b);
    } while (sent < 0 && errno == EINTR);
    ws_count(&conn->pump->counters->writes, 1);
    if (sent >= 0) {
        return sent;
    }
    *no_memory = errno == ENOBUFS || errno == ENOMEM;
    return errno == EAGAIN || *no_memory ? 0 : -1;
}

static void
stop_writing(ws_conn *conn)
{
    conn->blocked = true;
    if (conn->phase == WS_CONN_ANSWERING) {
        // At a FIN lws would close; it stays unread until all is written.
        (void)lws_rx_flow_control(conn->wsi, 0);
    }
}

/* Waits for the kernel to have memory: the socket, which may have room, would
   be reported as writable without end. */
static void
starve(ws_conn *conn)
{
    ws_pump *pump = conn->pump;
    stop_writing(conn);
    if (!ws_timer_is_set(&pump->retry)) {
        ws_timer_set(pump->wheel, &pump->retry,
                     ws_pump_now(pump) + RETRY_MS * WS_NS_PER_MS);
    }
    if (conn->starved) {
        return;
    }
    conn->starved = true;
    conn->starved_prev = NULL;
    conn->starved_next = pump->starved;
    if (pump->starved != NULL) {
        pump->starved->starved_prev = conn;
    }
    pump->starved = conn;
}

static void
unlink_starved(ws_conn *conn)
{
    if (!conn->starved) {
        return;
    }
    conn->starved = false;
    if (conn->starved_prev == NULL) {
        conn->pump->starved = conn->starved_next;
    } else {
        conn->starved_prev->starved_next = conn->starved_next;
    }
    if (conn->starved_next != NULL) {
        conn->starved_next->starved_prev = conn->starved_prev;
    }
}

/* Waits for the socket to take more. */
static void
block(ws_conn *conn)
{
    stop_writing(conn);
    if (lws_callback_on_writable(conn->wsi) < 0) {
        ws_conn_doom(conn, "out of memory");
    }
}

/* After a write that did not take all. */
static void
wait_for_room(ws_conn *conn, bool no_memory)
{
    ws_count(&conn->pump->counters->short_writes, 1);
    if (no_memory) {
        starve(conn);
    } else {
        block(conn);
    }
}

/* Goes on in the next turn: others first. */
static void
yield(ws_conn *conn)
{
    if (conn->client != NULL) {
        ws_client_kick(conn->client);
    } else {
        block(conn);
    }
}

/* Whether everything there was to say has been said. */
static bool
is_over(const ws_conn *conn)
{
    if (conn->phase == WS_CONN_ANSWERING) {
        return conn->ctl.size == 0 &&
               (conn->page == NULL ||
                conn->page_offset == conn->page->body_size);
    }
    return conn->phase == WS_CONN_FRAMES && conn->close_sent &&
           (conn->close_received || conn->failed);
}

/* What the bytes that went out, or the client, have changed. */
static void
settle(ws_conn *conn)
{
    if (conn->close_sent) {
        ws_chan_end(&conn->client->chan); // the rest will never go
    }
    if (is_over(conn)) {
        ws_conn_linger(conn);
    }
}

void
ws_outbox_write(ws_conn *conn)
{
    size_t written = 0;
    batch b;

    while (!conn->blocked && conn->doom == NULL && conn->wsi != NULL &&
           conn->phase != WS_CONN_LINGERING) {
        if (written >= TURN_BYTES) {
            yield(conn);
            break;
        }
        if (conn->sealed != NULL) {
            b = conn->sealed->batch;
        } else {
            gather(conn, &b);
        }
        if (b.size == 0) {
            settle(conn);
            break;
        }
        bool no_memory = false;
        ssize_t taken = send_batch(conn, &b, &no_memory);
        if (taken < 0) {
            ws_conn_doom(conn, "the connection broke");
            break;
        }
        if (conn->sealed == NULL) { // else what was peeked stays so
            account(conn, &b, (size_t)taken);
        }
        written += (size_t)taken;
        if ((size_t)taken < b.size) {
            wait_for_room(conn, no_memory);
        }
        settle(conn);
        if (b.is_all && !conn->closing) {
            break;
        }
    }
    if (written > 0 &&
        (conn->ping_unsent || conn->phase == WS_CONN_ANSWERING)) {
        conn->alive_ns = ws_pump_now(conn->pump);
    }
}

void
ws_outbox_retry(ws_pump *pump)
{
    // Those that must go on waiting stand in front of the rest.
    ws_conn *conn = pump->starved;
    while (conn != NULL) {
        ws_conn *next = conn->starved_next;
        unlink_starved(conn);
        conn->blocked = false;
        ws_outbox_write(conn);
        ws_conn_reap(conn);
        conn = next;
    }
}

void
ws_outbox_free(ws_conn *conn)
{
    unseal(conn);
    unlink_starved(conn);
    ws_free(conn->ctl.data);
    conn->ctl = (ws_ctl){0};
    ws_free(conn->pong);
    conn->pong = NULL;
    ws_page_unref(conn->page);
    conn->page = NULL;
}
