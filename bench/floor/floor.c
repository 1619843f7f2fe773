/* The floor: what the machine takes for a message, whoever sends it.
 *
 *     bench_floor --port 0 --queue N
 *
 * A WebSocket server on one thread that does one send() of a ready frame for
 * each client and message, and nothing that could be left out: no queue (the
 * kernel's buffer is the bound, and N is ignored), no coalescing, no look at
 * who is ready. It obeys lines on stdin, see bench/README.md.
 */
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "../kit.h"

enum {
    EVENTS = 512,
    INBOUND = 512,       /* the longest request, or frame */
    ACK_TIMEOUT = 30,    /* seconds */
    MAX_SIZE = 16 << 20, /* of a message */
    HEAD = 10,           /* the longest header of a server's frame */
    CLOSE = 8,
};

struct client {
    int fd;
    bool open; /* the handshake is done */
    size_t have;
    uint8_t in[INBOUND];
    uint8_t *rest; /* of a frame of which the kernel took a part */
    size_t rest_size, rest_sent;
};

static struct {
    int epoll, listener, timer;
    struct client **clients; /* in order of connecting */
    size_t count, room;
    uint64_t sent, refused;
    uint64_t round, acked;
    bool ticked;
    uint8_t *frame; /* header, stamp, filler */
    size_t head, size;
} server;

/* -- clients ------------------------------------------------------------- */

static void
watch(int fd, int operation, uint32_t events, void *tag)
{
    struct epoll_event event = {.events = events, .data.ptr = tag};
    if (epoll_ctl(server.epoll, operation, fd, &event) != 0) {
        die("epoll_ctl");
    }
}

static void
accept_client(void)
{
    int fd =
        accept4(server.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        return;
    }
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (server.count == server.room) {
        server.room = server.room > 0 ? 2 * server.room : 1024;
        server.clients =
            realloc(server.clients, server.room * sizeof(*server.clients));
    }
    struct client *client = calloc(1, sizeof(*client));
    if (server.clients == NULL || client == NULL) {
        die("accept");
    }
    client->fd = fd;
    server.clients[server.count++] = client;
    watch(fd, EPOLL_CTL_ADD, EPOLLIN, client);
}

static void
drop_client(struct client *client)
{
    size_t i = 0;
    while (server.clients[i] != client) {
        i++;
    }
    server.count--;
    memmove(server.clients + i, server.clients + i + 1,
            (server.count - i) * sizeof(*server.clients));
    (void)close(client->fd);
    free(client->rest);
    free(client);
}

static size_t
open_clients(void)
{
    size_t open = 0;
    for (size_t i = 0; i < server.count; i++) {
        open += server.clients[i]->open;
    }
    return open;
}

/* -- inbound ------------------------------------------------------------- */

/* Answers a request that is here whole; false when it is none. */
static bool
shake_hands(struct client *client)
{
    static const char name[] = "Sec-WebSocket-Key: ";
    static const char magic[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char text[24 + sizeof(magic)];
    const char *key = strstr((const char *)client->in, name);
    if (key == NULL || strlen(key + strlen(name)) < 24) {
        return false;
    }
    memcpy(text, key + strlen(name), 24);
    memcpy(text + 24, magic, sizeof(magic));
    uint8_t digest[EVP_MAX_MD_SIZE], accept[64];
    unsigned size = 0;
    (void)EVP_Digest(text, strlen(text), digest, &size, EVP_sha1(), NULL);
    (void)EVP_EncodeBlock(accept, digest, (int)size);
    char response[256];
    int length =
        snprintf(response, sizeof(response),
                 "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                 "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                 (const char *)accept);
    client->open = true;
    client->have = 0;
    return send(client->fd, response, (size_t)length, MSG_NOSIGNAL) == length;
}

/* Takes one frame from what has come: how many bytes it has, 0 when it is not
 * here whole; the client's last one sets *last. */
static size_t
take_frame(struct client *client, uint8_t *data, size_t have, bool *last)
{
    size_t size = have > 1 ? data[1] & 0x7f : 0;
    if (have < 6 || have < 6 + size) {
        return 0;
    }
    for (size_t i = 0; i < size; i++) {
        data[6 + i] ^= data[2 + i % 4];
    }
    if ((data[0] & 15) == CLOSE) {
        uint8_t echo[2 + 125] = {0x80 | CLOSE, (uint8_t)size};
        memcpy(echo + 2, data + 6, size <= 125 ? size : 0);
        (void)send(client->fd, echo, 2 + size, MSG_NOSIGNAL);
        *last = true;
    } else if (size == 8) {
        uint64_t ack = get_le64(data + 6);
        server.acked =
            ack > server.acked && ack <= server.round ? ack : server.acked;
    }
    return 6 + size;
}

/* False when the client is to be dropped. */
static bool
read_client(struct client *client)
{
    ssize_t got = recv(client->fd, client->in + client->have,
                       INBOUND - 1 - client->have, 0);
    if (got <= 0) {
        return got < 0 && errno == EAGAIN;
    }
    client->have += (size_t)got;
    client->in[client->have] = 0;
    if (!client->open) {
        return strstr((const char *)client->in, "\r\n\r\n") == NULL ||
               shake_hands(client);
    }
    size_t used = 0, size = 0;
    bool last = false;
    do {
        size =
            take_frame(client, client->in + used, client->have - used, &last);
        used += size;
    } while (size > 0 && !last);
    client->have -= used;
    memmove(client->in, client->in + used, client->have);
    return !last && client->have < INBOUND - 1;
}

/* -- outbound ------------------------------------------------------------ */

/* The kernel took a part: the rest has to follow before anything else. */
static void
keep_rest(struct client *client, size_t sent)
{
    client->rest_size = server.head + server.size - sent;
    client->rest_sent = 0;
    client->rest = malloc(client->rest_size);
    if (client->rest == NULL) {
        die("send");
    }
    memcpy(client->rest, server.frame + sent, client->rest_size);
    watch(client->fd, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT, client);
}

static void
send_rest(struct client *client)
{
    ssize_t sent = send(client->fd, client->rest + client->rest_sent,
                        client->rest_size - client->rest_sent, MSG_NOSIGNAL);
    client->rest_sent += sent > 0 ? (size_t)sent : 0;
    if (client->rest_sent == client->rest_size) {
        free(client->rest);
        client->rest = NULL;
        watch(client->fd, EPOLL_CTL_MOD, EPOLLIN, client);
    }
}

static void
send_message(struct client *client)
{
    if (!client->open) {
        return;
    }
    ssize_t sent = -1;
    if (client->rest == NULL) {
        sent = send(client->fd, server.frame, server.head + server.size,
                    MSG_NOSIGNAL);
    }
    if (sent < 0) {
        server.refused++;
        return;
    }
    server.sent++;
    if ((size_t)sent < server.head + server.size) {
        keep_rest(client, (size_t)sent);
    }
}

static void
make_frame(size_t size)
{
    free(server.frame);
    server.frame = malloc(HEAD + size);
    if (server.frame == NULL) {
        die("frame");
    }
    uint8_t *to = server.frame;
    *to++ = 0x82;
    unsigned more = size < 126 ? 0 : size < 65536 ? 2 : 8;
    *to++ = (uint8_t)(more == 0 ? size : more == 2 ? 126 : 127);
    for (unsigned i = more; i-- > 0;) {
        *to++ = (uint8_t)((uint64_t)size >> (8 * i));
    }
    server.head = (size_t)(to - server.frame);
    server.size = size;
    memset(to, 'x', size);
}

static void
stamp(void)
{
    put_le64(server.frame + server.head, server.round);
    put_le64(server.frame + server.head + 8, (uint64_t)now_ns());
}

/* -- the loop ------------------------------------------------------------ */

static void
serve_client(struct client *client, uint32_t events)
{
    if (events & EPOLLOUT && client->rest != NULL) {
        send_rest(client);
    }
    if (events & ~(uint32_t)EPOLLOUT && !read_client(client)) {
        drop_client(client);
    }
}

/* Serves what is ready; true when stdin is. */
static bool
turn(void)
{
    static struct epoll_event events[EVENTS];
    bool input = false;
    int ready = epoll_wait(server.epoll, events, EVENTS, -1);
    for (int i = 0; i < ready; i++) {
        void *tag = events[i].data.ptr;
        uint64_t times;
        if (tag == &server.listener) {
            accept_client();
        } else if (tag == &server.timer) {
            server.ticked = read(server.timer, &times, sizeof(times)) > 0;
        } else if (tag == NULL) {
            input = true;
        } else {
            serve_client(tag, events[i].events);
        }
    }
    return input;
}

/* Stdin is looked at between jobs only; it stays readable meanwhile. */
static void
watch_stdin(bool on)
{
    watch(STDIN_FILENO, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, EPOLLIN, NULL);
}

static void
arm(int64_t when)
{
    struct itimerspec at = {
        .it_value = {.tv_sec = when / 1000000000,
                     .tv_nsec = when % 1000000000},
    };
    server.ticked = false;
    if (timerfd_settime(server.timer, TFD_TIMER_ABSTIME, &at, NULL) != 0) {
        die("timerfd_settime");
    }
}

static void
serve_until(int64_t when)
{
    arm(when);
    while (!server.ticked) {
        (void)turn();
    }
}

/* Waits for a round's ack; false when it does not come. */
static bool
await(uint64_t round)
{
    arm(now_ns() + (int64_t)ACK_TIMEOUT * 1000000000);
    while (server.acked < round) {
        (void)turn();
        if (server.ticked) {
            return false;
        }
    }
    return true;
}

/* -- jobs ---------------------------------------------------------------- */

struct job {
    size_t first; /* so many clients; SIZE_MAX: all */
    uint64_t rounds;
    int64_t interval; /* ns; 0: paced by acks */
    uint64_t window;
    bool each; /* a stamp for each message, not for each round */
};

static void
do_round(const struct job *job)
{
    server.round++;
    stamp();
    for (size_t i = 0; i < server.count && i < job->first; i++) {
        if (job->each) {
            stamp();
        }
        send_message(server.clients[i]);
    }
}

static void
do_job(const struct job *job)
{
    server.sent = server.refused = server.round = server.acked = 0;
    int64_t begin = now_ns();
    while (server.round < job->rounds) {
        if (job->interval > 0) {
            serve_until(begin + (int64_t)server.round * job->interval + 1);
        } else if (server.round >= job->window &&
                   !await(server.round + 1 - job->window)) {
            printf("{\"error\": \"no ack\"}\n");
            return;
        }
        do_round(job);
    }
    printf("{\"rounds\": %" PRIu64 ", \"sent\": %" PRIu64
           ", \"refused\": %" PRIu64 ", \"wall_ns\": %" PRId64 "}\n",
           server.round, server.sent, server.refused, now_ns() - begin);
}

/* Reads a job from a line; false when it is none. */
static bool
read_job(const char *line, struct job *job, size_t *size)
{
    uint64_t n[4];
    *job = (struct job){.first = SIZE_MAX};
    if (line_has(line, "some", 4, n)) {
        *job = (struct job){.first = n[0], .rounds = n[1], .each = true};
        job->interval = (int64_t)n[2] * 1000;
        *size = n[3];
        return n[2] > 0;
    }
    job->each = line_has(line, "unicast", 3, n);
    bool acked = job->each || line_has(line, "closed", 3, n);
    if (!acked && !line_has(line, "broadcast", 3, n)) {
        return false;
    }
    job->rounds = n[0];
    job->window = acked ? n[1] : 0;
    job->interval = acked ? 0 : (int64_t)n[1] * 1000;
    *size = n[2];
    return n[1] > 0;
}

static void
obey(const char *line)
{
    struct job job;
    size_t size = 0;
    uint64_t ignored[2];
    if (line_has(line, "quit", 0, NULL)) {
        exit(0);
    }
    if (line_has(line, "count", 0, NULL)) {
        printf("{\"clients\": %zu}\n", open_clients());
    } else if (line_has(line, "sendcost", 2, ignored)) {
        printf("{\"ns\": null}\n"); /* there is no queue to put it in */
    } else if (read_job(line, &job, &size) && size >= STAMP &&
               size <= MAX_SIZE) {
        make_frame(size);
        do_job(&job);
    } else {
        printf("{\"error\": \"unknown command, or a number out of range\"}\n");
    }
    (void)fflush(stdout);
}

static void
listen_on(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    socklen_t size = sizeof(address);
    server.listener =
        socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(server.listener, (struct sockaddr *)&address, size) != 0 ||
        listen(server.listener, 1024) != 0 ||
        getsockname(server.listener, (struct sockaddr *)&address, &size) !=
            0) {
        die("listen");
    }
    watch(server.listener, EPOLL_CTL_ADD, EPOLLIN, &server.listener);
    printf("ready %u\n", ntohs(address.sin_port));
    (void)fflush(stdout);
}

int
main(int argc, char **argv)
{
    static struct lines lines;
    static char line[sizeof(lines.text)];
    raise_limit();
    server.epoll = epoll_create1(EPOLL_CLOEXEC);
    server.timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (server.epoll < 0 || server.timer < 0) {
        die("floor");
    }
    watch(server.timer, EPOLL_CTL_ADD, EPOLLIN, &server.timer);
    bool given = argc > 2 && strcmp(argv[1], "--port") == 0;
    listen_on(given ? (uint16_t)strtoul(argv[2], NULL, 10) : 0);
    watch_stdin(true);
    for (;;) {
        if (!turn()) {
            continue;
        }
        if (!lines_read(&lines)) {
            exit(0);
        }
        watch_stdin(false);
        while (lines_take(&lines, line)) {
            obey(line);
        }
        watch_stdin(true);
    }
}
