/* The load client: thousands of WebSocket connections on one thread.
 *
 *     load --port P --conns N [--stall K] [--ack]
 *
 * Connects to 127.0.0.1, prints `ready`, then obeys lines on stdin, see
 * bench/README.md. It checks of each message that its length is the first
 * one's, and that its round number is the one that is due. The last K
 * connections read nothing after their handshake.
 *
 * A connection's parser keeps no more than a header, a stamp and a control
 * frame: payloads of any size are looked at where recv() has put them.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "../kit.h"
#include "histogram.h"

enum {
    PARALLEL = 64,      /* handshakes in the air at once */
    BUFFER = 256 << 10, /* bytes for one recv() */
    EVENTS = 512,
    ROUNDS = 1 << 16, /* rounds that can be incomplete at once, for acks */
    CONTROL = 125,    /* the longest control frame's payload */
    RESPONSE = 1024,  /* the longest answer to a handshake */
    STALLED_BUFFER = 4096,
};

enum { TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

static const char REQUEST[] =
    "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
/* What RFC 6455 makes of that key. */
static const char ACCEPT[] = "ICX+Yqv66kxgM0FcWaLWlFLwTAI=";

enum phase { CONNECTING, SHAKING, OPEN, STALLED, GONE };

struct conn {
    int fd;
    enum phase phase;
    /* The frame that is being read. */
    uint8_t head[10];
    uint8_t head_have; /* bytes of it that are here */
    uint8_t kept_have;
    uint8_t kept[CONTROL]; /* the payload's beginning */
    uint64_t size;         /* of the payload */
    uint64_t left;         /* of the payload, still to come */
    uint64_t round;        /* of the last message */
};

static struct {
    int epoll;
    uint16_t port;
    bool acks;
    size_t count, reading, begun, shaken;
    struct conn *conns;
    uint8_t buffer[BUFFER];
    char response[RESPONSE];

    uint64_t frames, bytes, order_errors, length_errors, missed, closed;
    uint64_t size;     /* that each message must have; 0: the first one's */
    uint64_t complete; /* all rounds up to this one have come everywhere */
    uint32_t have[ROUNDS]; /* connections that have got a round */
    struct histogram latency;

    bool waiting;
    uint64_t wait_frames;
    int64_t wait_until;
} load;

static void
answer(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
    (void)fflush(stdout);
}

static _Noreturn void
refuse(const char *what)
{
    fprintf(stderr, "load: %s\n", what);
    exit(1);
}

static void
lose(struct conn *conn)
{
    (void)close(conn->fd);
    conn->phase = GONE;
    load.closed++;
}

/* Sends a small frame, masked with zeros. */
static void
send_frame(struct conn *conn, uint8_t opcode, const uint8_t *data, size_t size)
{
    uint8_t frame[6 + CONTROL] = {(uint8_t)(0x80 | opcode),
                                  (uint8_t)(0x80 | size)};
    memcpy(frame + 6, data, size);
    ssize_t sent = send(conn->fd, frame, size + 6, MSG_NOSIGNAL);
    if (sent >= 0 && (size_t)sent != size + 6) {
        refuse("a server that does not read its acks");
    }
}

static void
note_round(uint64_t round)
{
    if (round <= load.complete || round - load.complete >= ROUNDS) {
        return;
    }
    load.have[round % ROUNDS]++;
    uint64_t before = load.complete;
    while (load.have[(load.complete + 1) % ROUNDS] == load.reading) {
        load.complete++;
        load.have[load.complete % ROUNDS] = 0;
    }
    if (load.acks && load.complete != before) {
        uint8_t ack[8];
        put_le64(ack, load.complete);
        send_frame(&load.conns[0], BINARY, ack, sizeof(ack));
    }
}

static void
note_message(struct conn *conn, int64_t now)
{
    load.frames++;
    load.bytes += conn->size;
    if (load.size == 0) {
        load.size = conn->size;
    }
    if (conn->size != load.size || conn->size < STAMP) {
        load.length_errors++;
        return;
    }
    uint64_t round = get_le64(conn->kept);
    if (round <= conn->round) {
        load.order_errors++;
        return;
    }
    load.missed += round - conn->round - 1;
    conn->round = round;
    int64_t latency = now - (int64_t)get_le64(conn->kept + 8);
    histogram_add(&load.latency, latency > 0 ? (uint64_t)latency : 0);
    note_round(round);
}

static void
finish_frame(struct conn *conn, int64_t now)
{
    switch (conn->head[0]) {
    case 0x80 | TEXT:
    case 0x80 | BINARY:
        note_message(conn, now);
        break;
    case 0x80 | PING:
        send_frame(conn, PONG, conn->kept, conn->kept_have);
        break;
    case 0x80 | CLOSE:
        send_frame(conn, CLOSE, conn->kept, conn->kept_have);
        lose(conn);
        break;
    case 0x80 | PONG:
        break;
    default:
        refuse("a frame that is not a whole message");
    }
    conn->head_have = conn->kept_have = 0;
}

/* Bytes of a header of which the second byte is known. */
static uint8_t
size_of_head(uint8_t second)
{
    if (second & 0x80) {
        refuse("a masked frame");
    }
    return second == 127 ? 10 : second == 126 ? 4 : 2;
}

static void
begin_payload(struct conn *conn)
{
    uint64_t size = conn->head[1];
    if (conn->head_have > 2) {
        size = 0;
        for (int i = 2; i < conn->head_have; i++) {
            size = size << 8 | conn->head[i];
        }
    }
    if ((conn->head[0] & 8) && size > CONTROL) {
        refuse("a control frame that is too long");
    }
    conn->size = conn->left = size;
}

static bool
head_is_here(const struct conn *conn)
{
    return conn->head_have >= 2 &&
           conn->head_have == size_of_head(conn->head[1]);
}

/* Takes of the bytes what belongs to the header; how many those are. */
static size_t
feed_head(struct conn *conn, const uint8_t *data, size_t size)
{
    size_t used = 0;
    while (used < size && !head_is_here(conn)) {
        conn->head[conn->head_have++] = data[used++];
    }
    if (head_is_here(conn)) {
        begin_payload(conn);
    }
    return used;
}

static size_t
feed_payload(struct conn *conn, const uint8_t *data, size_t size)
{
    size_t used = conn->left < size ? (size_t)conn->left : size;
    size_t wanted = conn->head[0] & 8 ? CONTROL : STAMP;
    size_t keep = wanted - conn->kept_have;
    keep = used < keep ? used : keep;
    memcpy(conn->kept + conn->kept_have, data, keep);
    conn->kept_have = (uint8_t)(conn->kept_have + keep);
    conn->left -= used;
    return used;
}

/* Takes bytes of one frame; how many. */
static size_t
feed_frame(struct conn *conn, const uint8_t *data, size_t size, int64_t now)
{
    size_t used = 0;
    if (!head_is_here(conn)) {
        used = feed_head(conn, data, size);
    }
    if (!head_is_here(conn)) {
        return used;
    }
    used += feed_payload(conn, data + used, size - used);
    if (conn->left == 0) {
        finish_frame(conn, now);
    }
    return used;
}

static void
feed(struct conn *conn, const uint8_t *data, size_t size, int64_t now)
{
    while (size > 0 && conn->phase == OPEN) {
        size_t used = feed_frame(conn, data, size, now);
        data += used;
        size -= used;
    }
}

static void
watch(const struct conn *conn, int operation, uint32_t events)
{
    struct epoll_event event = {
        .events = events,
        .data.u64 = (uint64_t)(conn - load.conns),
    };
    if (epoll_ctl(load.epoll, operation, conn->fd, &event) != 0) {
        die("epoll_ctl");
    }
}

/* Begins the next connection. */
static void
begin(void)
{
    struct conn *conn = &load.conns[load.begun++];
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(load.port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0) {
        die("socket");
    }
    int on = 1, small = STALLED_BUFFER;
    (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (load.begun > load.reading) {
        (void)setsockopt(conn->fd, SOL_SOCKET, SO_RCVBUF, &small,
                         sizeof(small));
    }
    if (connect(conn->fd, (struct sockaddr *)&address, sizeof(address)) != 0 &&
        errno != EINPROGRESS) {
        die("connect");
    }
    watch(conn, EPOLL_CTL_ADD, EPOLLOUT);
}

static void
send_request(struct conn *conn)
{
    int error = 0;
    socklen_t size = sizeof(error);
    (void)getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    errno = error;
    if (error != 0 || send(conn->fd, REQUEST, sizeof(REQUEST) - 1,
                           MSG_NOSIGNAL) != sizeof(REQUEST) - 1) {
        die("connect");
    }
    conn->phase = SHAKING;
    watch(conn, EPOLL_CTL_MOD, EPOLLIN);
}

/* Reads the answer to the handshake, if it is here whole, and nothing else:
 * what comes behind it is left to the socket. */
static void
read_response(struct conn *conn)
{
    ssize_t got = recv(conn->fd, load.response, RESPONSE - 1, MSG_PEEK);
    if (got <= 0) {
        refuse("a handshake was not answered");
    }
    load.response[got] = '\0';
    const char *end = strstr(load.response, "\r\n\r\n");
    if (end == NULL) {
        if (got == RESPONSE - 1) {
            refuse("the answer to a handshake is too long");
        }
        return;
    }
    if (strncmp(load.response, "HTTP/1.1 101 ", 13) != 0 ||
        strstr(load.response, ACCEPT) == NULL) {
        refuse("a handshake was refused");
    }
    (void)recv(conn->fd, load.response, (size_t)(end + 4 - load.response), 0);
    load.shaken++;
    conn->phase = OPEN;
    if ((size_t)(conn - load.conns) >= load.reading) {
        conn->phase = STALLED;
        (void)epoll_ctl(load.epoll, EPOLL_CTL_DEL, conn->fd, NULL);
    }
}

static void
read_messages(struct conn *conn)
{
    ssize_t got = recv(conn->fd, load.buffer, BUFFER, 0);
    if (got > 0) {
        feed(conn, load.buffer, (size_t)got, now_ns());
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        lose(conn);
    }
}

static void
serve(struct conn *conn)
{
    switch (conn->phase) {
    case CONNECTING:
        send_request(conn);
        break;
    case SHAKING:
        read_response(conn);
        break;
    case OPEN:
        read_messages(conn);
        break;
    case STALLED:
    case GONE:
        break;
    }
}

static void
reset(void)
{
    load.frames = load.bytes = load.missed = load.size = load.complete = 0;
    load.order_errors = load.length_errors = 0;
    memset(load.have, 0, sizeof(load.have));
    memset(&load.latency, 0, sizeof(load.latency));
    for (size_t i = 0; i < load.count; i++) {
        load.conns[i].round = 0;
    }
}

static void
report(void)
{
    const struct histogram *latency = &load.latency;
    uint64_t mean = latency->total > 0 ? latency->sum / latency->total : 0;
    answer("{\"frames\": %" PRIu64 ", \"bytes\": %" PRIu64
           ", \"order_errors\": %" PRIu64 ", \"length_errors\": %" PRIu64
           ", \"missed\": %" PRIu64 ", \"closed\": %" PRIu64
           ", \"latency_ns\": {\"p50\": %" PRIu64 ", \"p99\": %" PRIu64
           ", \"p999\": %" PRIu64 ", \"max\": %" PRIu64 ", \"mean\": %" PRIu64
           "}}\n",
           load.frames, load.bytes, load.order_errors, load.length_errors,
           load.missed, load.closed, histogram_quantile(latency, 0.5),
           histogram_quantile(latency, 0.99),
           histogram_quantile(latency, 0.999), latency->max, mean);
}

static void
begin_wait(uint64_t frames, uint64_t milliseconds)
{
    load.wait_frames = frames;
    load.wait_until = now_ns() + (int64_t)milliseconds * 1000000;
    load.waiting = true;
}

static void
obey(const char *line)
{
    uint64_t n[2];
    if (line_has(line, "reset", 0, n)) {
        reset();
        answer("{}\n");
    } else if (line_has(line, "acks", 1, n)) {
        load.acks = n[0] > 0;
        answer("{}\n");
    } else if (line_has(line, "wait", 2, n)) {
        begin_wait(n[0], n[1]);
    } else if (line_has(line, "report", 0, n)) {
        report();
    } else if (line_has(line, "quit", 0, n)) {
        exit(0);
    } else {
        answer("{\"error\": \"unknown command\"}\n");
    }
}

static void
end_wait(void)
{
    if (load.waiting &&
        (load.frames >= load.wait_frames || now_ns() >= load.wait_until)) {
        load.waiting = false;
        report();
    }
}

static int
timeout_ms(void)
{
    if (!load.waiting) {
        return -1;
    }
    int64_t left = load.wait_until - now_ns();
    return left > 0 ? (int)(left / 1000000) + 1 : 0;
}

/* Serves whatever is ready; true when stdin is. */
static bool
turn(int timeout)
{
    static struct epoll_event events[EVENTS];
    bool input = false;
    int ready = epoll_wait(load.epoll, events, EVENTS, timeout);
    if (ready < 0 && errno != EINTR) {
        die("epoll_wait");
    }
    for (int i = 0; i < ready; i++) {
        if (events[i].data.u64 == UINT64_MAX) {
            input = true;
        } else {
            serve(&load.conns[events[i].data.u64]);
        }
    }
    return input;
}

static void
connect_all(void)
{
    while (load.shaken < load.count) {
        while (load.begun < load.count &&
               load.begun - load.shaken < PARALLEL) {
            begin();
        }
        (void)turn(-1);
    }
}

static void
run(void)
{
    static struct lines lines;
    static char line[sizeof(lines.text)];
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = UINT64_MAX};
    if (epoll_ctl(load.epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event) != 0) {
        die("stdin");
    }
    for (;;) {
        if (turn(timeout_ms()) && !lines_read(&lines)) {
            exit(0);
        }
        end_wait();
        while (!load.waiting && lines_take(&lines, line)) {
            obey(line);
            end_wait();
        }
    }
}

static void
read_arguments(int argc, char **argv)
{
    size_t stall = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--ack") == 0) {
            load.acks = true;
            continue;
        }
        unsigned long value =
            i + 1 < argc ? strtoul(argv[i + 1], NULL, 10) : 0;
        if (strcmp(argv[i], "--port") == 0) {
            load.port = (uint16_t)value;
        } else if (strcmp(argv[i], "--conns") == 0) {
            load.count = value;
        } else if (strcmp(argv[i], "--stall") == 0) {
            stall = value;
        } else {
            refuse("usage: load --port P --conns N [--stall K] [--ack]");
        }
        i++;
    }
    if (load.port == 0 || load.count == 0 || stall >= load.count) {
        refuse("it needs a port and connections, some of which read");
    }
    load.reading = load.count - stall;
}

int
main(int argc, char **argv)
{
    read_arguments(argc, argv);
    raise_limit();
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    load.conns = calloc(load.count, sizeof(*load.conns));
    if (load.epoll < 0 || load.conns == NULL) {
        die("load");
    }
    connect_all();
    answer("ready\n");
    run();
}
