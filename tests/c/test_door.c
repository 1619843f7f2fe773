#include "net/door.h"

#include "wire.h"

static wire
open_for_two(void)
{
    wire_setup setup = wire_defaults();
    setup.config.max_clients_per_ip = 2;
    return wire_open(&setup);
}

/* From an address of its own, 127.0.0.`host`. */
static peer
dial_from(const wire *w, unsigned host)
{
    struct sockaddr_in from = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl((127U << 24) | host),
    };
    struct sockaddr_in to = {
        .sin_family = AF_INET,
        .sin_port = htons(ws_port_addr(w->port)->port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    peer p = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    CHECK(p.fd >= 0);
    CHECK_EQ(bind(p.fd, (struct sockaddr *)&from, sizeof from), 0);
    CHECK_EQ(connect(p.fd, (struct sockaddr *)&to, sizeof to), 0);
    CHECK_EQ(fcntl(p.fd, F_SETFL, O_NONBLOCK), 0);
    return p;
}

/* The answer comes whole, without a word having been said. */
static void
expect_turned_away(peer p)
{
    const char *head;
    CHECK_EQ(peer_answer(&p, false, &head, NULL), 503);
    CHECK(strstr(head, "Retry-After: 10\r\n") != NULL);
    CHECK(strstr(head, "Connection: close\r\n") != NULL);
    peer_close(&p);
}

static void
wait_accepted(const wire *w, uint64_t count)
{
    WITHIN(WIRE_COUNTED(w, accepted_connections) >= count, 10);
}

static void
silent_sockets_are_counted_against_their_address(void)
{
    wire w = open_for_two();
    peer p = peer_dial(&w);
    peer q = peer_dial(&w);
    wait_accepted(&w, 2);
    long before = ws_alloc_live();
    for (int i = 0; i < 100; i++) {
        expect_turned_away(peer_dial(&w));
    }
    CHECK_EQ(WIRE_COUNTED(&w, accepted_connections), 102);
    CHECK_EQ(WIRE_COUNTED(&w, refused_handshakes), 100);
    CHECK_EQ(ws_alloc_live(), before);

    peer other = dial_from(&w, 2);
    peer_say(&other, peer_request("/", ""));
    (void)peer_expect_switch(&other);
    peer_leave(&other);
    peer_close(&p);
    peer_close(&q);
    (void)wire_close(&w);
}

static void
an_address_has_room_again_when_one_of_its_sockets_ends(void)
{
    wire w = open_for_two();
    for (int i = 0; i < 20; i++) {
        peer silent = peer_dial(&w);
        peer client = peer_open(&w, "/");
        expect_turned_away(peer_dial(&w));
        peer_leave(&client);
        peer_close(&silent);
        WITHIN(WIRE_COUNTED(&w, failed_handshakes) == (uint64_t)i + 1, 10);
        WITHIN(ws_hub_present(w.hub) == 0, 10);
    }
    (void)wire_close(&w);
}

/* What it is answered does not matter, as long as it keeps its socket. */
static void
who_is_refused_later_is_counted_until_the_end(void)
{
    wire w = open_for_two();
    peer p = peer_dial(&w);
    peer_say(&p, "GET /none HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK_EQ(peer_answer(&p, false, NULL, NULL), 426);
    peer q = peer_open(&w, "/?id=a");
    expect_turned_away(peer_dial(&w));
    peer_close(&p);
    peer_leave(&q);
    (void)wire_close(&w);
}

static void
a_trusted_proxy_is_not_counted_but_whom_it_speaks_for(void)
{
    const char *const proxies[] = {"127.0.0.0/8"};
    wire_setup setup = wire_defaults();
    setup.config.max_clients_per_ip = 1;
    setup.config.trusted_proxies = proxies;
    setup.config.trusted_proxy_count = 1;
    wire w = wire_open(&setup);
    peer silent[5];
    for (size_t i = 0; i < WIRE_COUNT_OF(silent); i++) {
        silent[i] = peer_dial(&w);
    }
    const char *from = "X-Forwarded-For: 2001:db8::1\r\n";
    peer p = peer_dial(&w);
    peer_say(&p, peer_request("/", from));
    (void)peer_expect_switch(&p);
    peer neighbour = peer_dial(&w);
    peer_say(&neighbour,
             peer_request("/", "X-Forwarded-For: 2001:db8::2\r\n"));
    expect_turned_away(neighbour);

    peer_leave(&p);
    WITHIN(ws_hub_present(w.hub) == 0, 10);
    p = peer_dial(&w);
    peer_say(&p, peer_request("/", from));
    (void)peer_expect_switch(&p);
    peer_leave(&p);
    for (size_t i = 0; i < WIRE_COUNT_OF(silent); i++) {
        peer_close(&silent[i]);
    }
    (void)wire_close(&w);
}

static void
peers_of_a_unix_socket_are_not_counted(void)
{
    wire_setup setup = wire_defaults();
    setup.unix_socket = true;
    setup.config.max_clients_per_ip = 1;
    wire w = wire_open(&setup);
    peer p = peer_open(&w, "/");
    peer q = peer_open(&w, "/");
    peer_leave(&p);
    peer_leave(&q);
    (void)wire_close(&w);
}

static void
more_than_max_connections_are_turned_away(void)
{
    wire_setup setup = wire_defaults();
    setup.config.max_connections = 3;
    wire w = wire_open(&setup);
    peer client = peer_open(&w, "/");
    peer p = peer_dial(&w);
    peer q = peer_dial(&w);
    wait_accepted(&w, 3);
    expect_turned_away(peer_dial(&w));
    peer_close(&p);
    WITHIN(WIRE_COUNTED(&w, failed_handshakes) == 1, 10);
    p = peer_open(&w, "/");
    expect_turned_away(peer_dial(&w));
    peer_leave(&p);
    peer_leave(&client);
    peer_close(&q);
    (void)wire_close(&w);
}

/* One that speaks TLS would take HTTP for garbage. */
static void
where_http_is_not_spoken_nothing_is_said(void)
{
    for (int plain = 0; plain <= 1; plain++) {
        int ends[2];
        char byte;
        CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        CHECK_EQ(send(ends[1], "hello", 5, 0), 5);
        ws_door_refuse(ends[0], plain != 0, "No.\n");
        ssize_t got = recv(ends[1], &byte, 1, 0);
        CHECK(plain != 0 ? got == 1 && byte == 'H' : got <= 0);
        CHECK_EQ(close(ends[1]), 0);
    }
}

static const ws_test tests[] = {
    TEST(silent_sockets_are_counted_against_their_address),
    TEST(an_address_has_room_again_when_one_of_its_sockets_ends),
    TEST(who_is_refused_later_is_counted_until_the_end),
    TEST(a_trusted_proxy_is_not_counted_but_whom_it_speaks_for),
    TEST(peers_of_a_unix_socket_are_not_counted),
    TEST(more_than_max_connections_are_turned_away),
    TEST(where_http_is_not_spoken_nothing_is_said),
};

TEST_MAIN(tests)
