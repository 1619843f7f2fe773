#include "conn.h"

#include <assert.h>
#include <libwebsockets.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/alloc.h"
#include "hold.h"
#include "proto/close_code.h"
#include "pump_inside.h"

/* How long a client may leave an answer unread; and how long to wait for its
   FIN where nothing else says so. */
#define LINGER_NS (10 * WS_NS_PER_S)

static void
set_deadline(ws_conn *conn, uint64_t after_ns)
{
    ws_timer_set(conn->pump->wheel, &conn->timer,
                 ws_pump_now(conn->pump) + after_ns);
}

static void
link_conn(ws_conn *conn)
{
    ws_pump *pump = conn->pump;
    conn->prev = NULL;
    conn->next = pump->conns;
    if (pump->conns != NULL) {
        pump->conns->prev = conn;
    }
    pump->conns = conn;
    pump->conn_count++;
}

static void
unlink_conn(ws_conn *conn)
{
    ws_pump *pump = conn->pump;
    if (conn->prev == NULL) {
        pump->conns = conn->next;
    } else {
        conn->prev->next = conn->next;
    }
    if (conn->next != NULL) {
        conn->next->prev = conn->prev;
    }
    pump->conn_count--;
}

/* Its client, if it has one, learns how it ended. */
static void
end_client(ws_conn *conn)
{
    ws_client *client = conn->client;
    if (client == NULL) {
        return;
    }
    const char *why = conn->doom == NULL ? "" : conn->doom;
    client->conn = NULL;
    if (conn->stranger) {
        ws_chan_end(&client->chan);
    } else {
        ws_hub_end_client(client, WS_CLOSE_ABNORMAL,
                          (ws_text){why, strlen(why)},
                          conn->close_sent && conn->close_received);
    }
    conn->client = NULL;
    ws_client_unref(client);
}

/* lws has let go of it, or never had it. */
static void
end(ws_conn *conn)
{
    if (conn->phase == WS_CONN_ENDED) {
        return;
    }
    ws_pump *pump = conn->pump;
    if (conn->phase == WS_CONN_OPENING || conn->phase == WS_CONN_HELD) {
        ws_count(&pump->counters->failed_handshakes, 1);
    }
    ws_hold_cut(conn);
    ws_timer_cancel(pump->wheel, &conn->timer);
    ws_inbox_free(conn);
    ws_outbox_free(conn);
    end_client(conn);
    ws_crowd_leave(pump->crowd, conn->crowd);
    conn->crowd = NULL;
    conn->phase = WS_CONN_ENDED;
    conn->wsi = NULL;
    unlink_conn(conn);
    ws_uncount(&pump->counters->connections, 1);
    conn->next = pump->ended;
    pump->ended = conn;
}

void
ws_conn_free(ws_conn *conn)
{
    assert(conn->phase == WS_CONN_ENDED);
    ws_tls_unref(conn->tls);
    ws_port_unref(conn->port);
    ws_free(conn->opening);
    ws_free(conn->peer);
    ws_free(conn);
}

void
ws_conn_doom(ws_conn *conn, const char *why)
{
    if (conn->doom == NULL) {
        conn->doom = why;
    }
}

void
ws_conn_reap(ws_conn *conn)
{
    if (conn->doom != NULL && conn->wsi != NULL) {
        // Calls back with RAW_CLOSE, which ends it.
        lws_wsi_close(conn->wsi, LWS_TO_KILL_SYNC);
    }
}

/* Options that need the socket, where they apply; none is vital. */
static void
tune(const ws_conn *conn)
{
    const ws_pump_config *config = &conn->pump->settings->config;
    if (conn->is_unix || config->ping_interval_ns == 0 ||
        config->ping_timeout_ns == 0) {
        return;
    }
    // While we pause a client its pongs go unread, so that only the kernel
    // can tell that it has vanished.
    uint64_t ms =
        (config->ping_interval_ns + config->ping_timeout_ns) / WS_NS_PER_MS;
    unsigned timeout = ms > INT32_MAX ? INT32_MAX : (unsigned)ms;
    (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout,
                     sizeof timeout);
}

ws_conn *
ws_conn_new(ws_pump *pump, ws_port *port, int fd, const ws_addr *peer,
            ws_crowd_entry *crowd)
{
    ws_conn *conn = ws_calloc(1, sizeof *conn);
    char *text = ws_strndup(peer->text, strlen(peer->text));
    if (conn == NULL || text == NULL) {
        ws_crowd_leave(pump->crowd, crowd);
        ws_free(conn);
        ws_free(text);
        (void)close(fd);
        return NULL;
    }
    conn->pump = pump;
    conn->fd = fd;
    conn->peer = text;
    conn->crowd = crowd;
    conn->is_unix = peer->family == AF_UNIX;
    conn->timer.kind = WS_TIMER_CONN;
    (void)atomic_fetch_add(&port->refs, 1);
    conn->port = port;
    ws_count(&pump->counters->connections, 1);
    ws_count(&pump->counters->accepted_connections, 1);
    return conn;
}

void
ws_conn_turn_back(ws_conn *conn)
{
    ws_count(&conn->pump->counters->failed_handshakes, 1);
    ws_uncount(&conn->pump->counters->connections, 1);
    ws_crowd_leave(conn->pump->crowd, conn->crowd);
    (void)close(conn->fd);
    conn->phase = WS_CONN_ENDED;
    ws_conn_free(conn);
}

void
ws_conn_start(ws_conn *conn)
{
    ws_pump *pump = conn->pump;
    ws_tls *tls = conn->port->stands[pump->number].tls;
    const ws_pump_config *config = &pump->settings->config;
    assert(conn->port->is_tls == (tls != NULL));
    conn->tls = tls == NULL ? NULL : ws_tls_ref(tls);
    link_conn(conn);
    tune(conn);
    if (config->open_timeout_ns > 0) {
        set_deadline(conn, config->open_timeout_ns);
    }
    struct lws_vhost *vhost =
        conn->tls == NULL ? pump->vhost : ws_tls_vhost(conn->tls);
    struct lws *wsi =
        ws_loop_adopt(pump->loop, vhost, "wssend", conn->fd, conn);
    if (wsi == NULL) {
        end(conn); // unless RAW_CLOSE has come already
    } else {
        conn->wsi = wsi;
    }
}

void
ws_conn_begin_answer(ws_conn *conn)
{
    conn->phase = WS_CONN_ANSWERING;
    conn->alive_ns = ws_pump_now(conn->pump);
    set_deadline(conn, LINGER_NS);
}

void
ws_conn_opened(ws_conn *conn)
{
    const ws_pump_config *config = &conn->pump->settings->config;
    ws_timer_cancel(conn->pump->wheel, &conn->timer);
    if (config->ping_interval_ns > 0) {
        set_deadline(conn, config->ping_interval_ns);
    }
}

void
ws_conn_close_client(ws_client *client, uint16_t code, ws_text reason)
{
    ws_err err = ws_hub_close_client(client, code, reason);
    if (err == WS_ERR_NOMEM) {
        err = ws_hub_close_client(client, code, (ws_text){NULL, 0});
    }
    (void)err; // closing already
}

/* Has the kernel ask, for two minutes from when the peer fell silent, whether
   it is there at all: no deadline of ours ends the wait for its Close. */
static void
probe(const ws_conn *conn)
{
    static const struct {
        int level, name, value;
    } options[] = {
        {IPPROTO_TCP, TCP_KEEPIDLE, 60},
        {IPPROTO_TCP, TCP_KEEPINTVL, 15},
        {IPPROTO_TCP, TCP_KEEPCNT, 4},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
    };
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        (void)setsockopt(conn->fd, options[i].level, options[i].name,
                         &options[i].value, sizeof options[i].value);
    }
}

void
ws_conn_begin_closing(ws_conn *conn)
{
    const ws_pump_config *config = &conn->pump->settings->config;
    if (conn->closing) {
        return;
    }
    conn->closing = true;
    ws_timer_cancel(conn->pump->wheel, &conn->timer);
    if (config->close_timeout_ns > 0) {
        set_deadline(conn, config->close_timeout_ns);
    } else if (!conn->is_unix) {
        probe(conn);
    }
    if (conn->paused) {
        (void)ws_inbox_resume(conn); // to see the client's Close
    }
}

/* Our FIN; under TLS its close_notify goes before, if need be once there is
   room for it. */
static void
send_fin(ws_conn *conn)
{
    if (conn->tls == NULL || ws_tls_finish(conn->wsi)) {
        if (shutdown(conn->fd, SHUT_WR) != 0) {
            ws_conn_doom(conn, "the connection broke"); // no FIN would answer
        }
    } else if (lws_callback_on_writable(conn->wsi) < 0) {
        ws_conn_doom(conn, "out of memory");
    }
}

void
ws_conn_linger(ws_conn *conn)
{
    const ws_pump_config *config = &conn->pump->settings->config;
    if (conn->phase == WS_CONN_ANSWERING) {
        (void)lws_rx_flow_control(conn->wsi, 1);
    }
    conn->phase = WS_CONN_LINGERING;
    send_fin(conn);
    if (!conn->closing || config->close_timeout_ns == 0) {
        set_deadline(conn, config->close_timeout_ns > 0
                               ? config->close_timeout_ns
                               : LINGER_NS);
    }
}

void
ws_conn_serve(ws_conn *conn)
{
    if (conn->phase != WS_CONN_FRAMES) {
        return;
    }
    if (ws_client_get_state(conn->client) != WS_CLIENT_OPEN) {
        ws_conn_begin_closing(conn);
    }
    ws_outbox_write(conn);
}

/* Whether the client has given no sign for so long; if not, the timer is set
   for when that will be. */
static bool
is_silent(ws_conn *conn, uint64_t patience_ns)
{
    if (ws_pump_now(conn->pump) - conn->alive_ns >= patience_ns) {
        return true;
    }
    ws_timer_set(conn->pump->wheel, &conn->timer,
                 conn->alive_ns + patience_ns);
    return false;
}

/* Sends a ping, unless the last one is still here. */
static void
send_ping(ws_conn *conn)
{
    if (!conn->ping_unsent) {
        conn->ping_ns = ws_now_ns();
        conn->ping_unsent = ws_outbox_ping(conn, conn->ping_ns);
    }
    conn->alive_ns = ws_pump_now(conn->pump);
    conn->ping_waits =
        conn->ping_unsent && conn->pump->settings->config.ping_timeout_ns > 0;
    ws_outbox_write(conn);
}

/* Sends a ping, or looks for the pong of the last one. */
static void
keep_alive(ws_conn *conn)
{
    const ws_pump_config *config = &conn->pump->settings->config;

    if (!conn->ping_waits || conn->paused) {
        // While we do not listen we go on asking: what the kernel has to
        // deliver tells it whether the client is still there.
        send_ping(conn);
        set_deadline(conn, conn->ping_waits ? config->ping_timeout_ns
                                            : config->ping_interval_ns);
    } else if (is_silent(conn, config->ping_timeout_ns)) {
        ws_count(&conn->pump->counters->timeouts, 1);
        ws_conn_doom(conn, "keepalive: no pong in time");
    }
}

void
ws_conn_expired(ws_conn *conn)
{
    switch (conn->phase) {
    case WS_CONN_OPENING:
        ws_count(&conn->pump->counters->timeouts, 1);
        ws_opening_refuse(conn, 408, "The request took too long.\n", NULL);
        break;
    case WS_CONN_HELD:
        // False: what was decided comes in a moment, and needs no deadline.
        (void)ws_hold_refuse(conn, WS_HELD_EXPIRED,
                             "The server did not decide in time.\n");
        break;
    case WS_CONN_FRAMES:
        if (!conn->closing) {
            keep_alive(conn);
            break;
        }
        ws_count(&conn->pump->counters->timeouts, 1);
        ws_conn_doom(conn, "the closing took too long");
        break;
    case WS_CONN_ANSWERING:
        if (conn->closing || is_silent(conn, LINGER_NS)) {
            ws_conn_doom(conn, "the answer was not read");
        }
        break;
    case WS_CONN_LINGERING:
        ws_conn_doom(conn, "the closing took too long");
        break;
    case WS_CONN_ENDED:
        break;
    }
    ws_conn_reap(conn);
}

void
ws_conn_hung_up(ws_conn *conn, bool dead)
{
    // A FIN may stand behind data for which there is no room yet: it is seen
    // when reading goes on. So it is with a unix socket, whose data outlive
    // the peer's end.
    if (conn->phase == WS_CONN_HELD) {
        ws_conn_doom(conn, "it did not wait"); // nobody can be asked about it
    } else if (dead && !conn->is_unix) {
        ws_conn_doom(conn, "the connection broke");
    }
    ws_conn_reap(conn);
}

void
ws_conn_drain(ws_conn *conn)
{
    const ws_pump_config *config = &conn->pump->settings->config;
    if (conn->phase == WS_CONN_HELD &&
        !ws_hold_refuse(conn, WS_HELD_GONE, "The server is going away.\n")) {
        return; // what was decided comes before the end of the doorbell
    }
    if (conn->phase == WS_CONN_OPENING) {
        ws_conn_doom(conn, "the server is going away");
    } else if (conn->phase == WS_CONN_ANSWERING &&
               config->close_timeout_ns > 0) {
        ws_conn_begin_closing(conn);
    }
    ws_conn_reap(conn);
}

/* What comes behind a request that waits. */
static void
keep_bytes(ws_conn *conn, const uint8_t *data, size_t size)
{
    if (!ws_inbox_keep(conn, data, size) &&
        !ws_hold_refuse(conn, WS_HELD_GONE, "Out of memory.\n")) {
        ws_conn_doom(conn, "out of memory");
    }
}

static void
take_bytes(ws_conn *conn, uint8_t *data, size_t size)
{
    if (conn->phase == WS_CONN_OPENING) {
        size_t taken = ws_opening_feed(conn, data, size);
        data += taken;
        size -= taken;
    }
    if (conn->phase == WS_CONN_HELD) {
        keep_bytes(conn, data, size);
    } else if (conn->phase == WS_CONN_FRAMES && size > 0) {
        ws_inbox_feed(conn, data, size);
    }
}

static void
on_writable(ws_conn *conn)
{
    conn->blocked = false;
    if (conn->phase == WS_CONN_LINGERING) {
        send_fin(conn);
    } else {
        ws_outbox_write(conn);
    }
}

static int
callback(struct lws *wsi, enum lws_callback_reasons reason, void *user,
         void *in, size_t len)
{
    if (reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS) {
        return ws_tls_set_up(in, user);
    }
    ws_conn *conn = lws_get_opaque_user_data(wsi);
    if (conn == NULL || conn->phase == WS_CONN_ENDED) {
        return 0;
    }
    conn->wsi = wsi;
    switch ((int)reason) {
    case LWS_CALLBACK_RAW_ADOPT:
        // lws's own deadlines are whole seconds in a sorted list.
        lws_set_timeout(wsi, NO_PENDING_TIMEOUT, 0);
        break;
    case LWS_CALLBACK_RAW_RX:
        take_bytes(conn, in, len);
        break;
    case LWS_CALLBACK_RAW_WRITEABLE:
        on_writable(conn);
        break;
    case LWS_CALLBACK_RAW_CLOSE:
        if (conn->tls != NULL) {
            ws_tls_take_leave(wsi);
        }
        end(conn);
        return 0;
    default:
        return 0;
    }
    return conn->doom == NULL ? 0 : -1;
}

const struct lws_protocols *
ws_conn_protocols(void)
{
    // tx_packet_size: lws buffers what exceeds it; rx_buffer_size 0: the
    // thread's own buffer, whatever its size.
    static const struct lws_protocols protocols[] = {
        {.name = "wssend", .callback = callback, .tx_packet_size = 1 << 17},
        {.name = NULL},
    };
    return protocols;
}
