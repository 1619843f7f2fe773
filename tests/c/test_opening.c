#include "wire.h"

#include <strings.h>

/* ---- the upgrade */

static void
expect_echo_of_sending(const wire *w, peer *p, const char *id)
{
    ws_client *client = wire_client(w, id);
    CHECK_EQ(wire_send_text(client, "hello"), WS_OK);
    peer_expect_text(p, "hello");
    ws_client_unref(client);
}

static void
a_request_in_one_piece_opens(void)
{
    wire w = wire_open_default();
    peer p = peer_open(&w, "/?id=a");
    expect_echo_of_sending(&w, &p, "a");
    CHECK_EQ(WIRE_COUNTED(&w, accepted_connections), 1);
    CHECK_EQ(WIRE_COUNTED(&w, refused_handshakes), 0);
    peer_leave(&p);
    (void)wire_close(&w);
}

static void
a_request_byte_by_byte_opens(void)
{
    wire w = wire_open_default();
    peer p = peer_dial(&w);
    const char *request = peer_request("/?id=a", "");
    peer_dribble(&p, request, strlen(request));
    (void)peer_expect_switch(&p);
    expect_echo_of_sending(&w, &p, "a");
    peer_leave(&p);
    (void)wire_close(&w);
}

/* The 101 is first on the wire, whatever is sent meanwhile. */
static void
frames_behind_the_request_in_one_segment_are_read(void)
{
    wire_setup setup = wire_defaults();
    setup.events = true;
    wire w = wire_open(&setup);
    peer p = peer_dial(&w);
    uint8_t all[4096];
    const char *request = peer_request("/", "");
    size_t size = strlen(request);
    memcpy(all, request, size);
    size += peer_make(all + size, PEER_TEXT, "one", 3);
    size += peer_make(all + size, PEER_PING, "p", 1);
    size += peer_make(all + size, PEER_BINARY, "two", 3);
    peer_send(&p, all, size);

    (void)peer_expect_switch(&p);
    peer_expect(&p, PEER_PONG, "p", 1);
    wire_expect_event(&w, WS_EVENT_CONNECTED);
    wire_expect_message(&w, "one", 3, true);
    wire_expect_message(&w, "two", 3, false);
    peer_leave(&p);
    (void)wire_close(&w);
}

static void
a_frame_behind_the_request_may_be_cut_anywhere(void)
{
    wire_setup setup = wire_defaults();
    setup.events = true;
    wire w = wire_open(&setup);
    uint8_t all[4096];
    const char *request = peer_request("/", "");
    size_t head = strlen(request);
    memcpy(all, request, head);
    size_t size = head + peer_make(all + head, PEER_TEXT, "one", 3);

    for (size_t cut = head - 2; cut < size; cut++) {
        peer p = peer_dial(&w);
        peer_send(&p, all, cut);
        if (cut >= head) {
            (void)peer_expect_switch(&p);
        }
        peer_send(&p, all + cut, size - cut);
        if (cut < head) {
            (void)peer_expect_switch(&p);
        }
        wire_expect_event(&w, WS_EVENT_CONNECTED);
        wire_expect_message(&w, "one", 3, true);
        peer_leave(&p);
        wire_expect_event(&w, WS_EVENT_DISCONNECTED);
    }
    (void)wire_close(&w);
}

/* ---- refusals */

#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define SOUND \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " PEER_KEY "\r\n"
#define HOST "Host: localhost\r\n"

static const struct {
    const char *what;
    const char *request;
    int status;
    const char *header; /* the answer has it; NULL: nothing special */
} refusals[] = {
    {"another path", "GET /x HTTP/1.1\r\n" HOST UPGRADE SOUND "\r\n", 404,
     NULL},
    {"another path, plain", "GET /x HTTP/1.1\r\n" HOST "\r\n", 404, NULL},
    {"plain", "GET /ws HTTP/1.1\r\n" HOST "\r\n", 426,
     "Sec-WebSocket-Version: 13\r\n"},
    {"a bad origin",
     "GET /ws HTTP/1.1\r\n" HOST UPGRADE SOUND
     "Origin: https://evil.example\r\n\r\n",
     403, NULL},
    {"no origin", "GET /ws HTTP/1.1\r\n" HOST UPGRADE SOUND "\r\n", 403, NULL},
    {"POST", "POST /ws HTTP/1.1\r\n" HOST UPGRADE SOUND "\r\n", 405,
     "Allow: GET\r\n"},
    {"HTTP/1.0", "GET /ws HTTP/1.0\r\n" HOST UPGRADE SOUND "\r\n", 400, NULL},
    {"version 12",
     "GET /ws HTTP/1.1\r\n" HOST UPGRADE
     "Sec-WebSocket-Version: 12\r\nSec-WebSocket-Key: " PEER_KEY "\r\n\r\n",
     426, "Sec-WebSocket-Version: 13\r\n"},
    {"no key",
     "GET /ws HTTP/1.1\r\n" HOST UPGRADE "Sec-WebSocket-Version: 13\r\n\r\n",
     400, NULL},
    {"two hosts", "GET /ws HTTP/1.1\r\n" HOST HOST UPGRADE SOUND "\r\n", 400,
     NULL},
    {"a body",
     "GET /ws HTTP/1.1\r\n" HOST UPGRADE SOUND "Content-Length: 1\r\n\r\nx",
     400, NULL},
    {"a folded line",
     "GET /ws HTTP/1.1\r\n" HOST UPGRADE SOUND "X: a\r\n b\r\n\r\n", 400,
     NULL},
    {"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, NULL},
    {"no HTTP", "hello\r\n", 400, NULL},
    {"HTTP/2.0", "GET /ws HTTP/2.0\r\n" HOST "\r\n", 505, NULL},
};

static wire
open_strict(void)
{
    static const char *const origins[] = {"https://good.example"};
    wire_setup setup = wire_defaults();
    setup.path = "/ws";
    setup.config.origins = origins;
    setup.config.origin_count = 1;
    return wire_open(&setup);
}

static void
check_refusal(size_t i, peer *p)
{
    const char *head;
    int status = peer_answer(p, false, &head, NULL);
    if (status != refusals[i].status) {
        fprintf(stderr, "case: %s\n", refusals[i].what);
    }
    CHECK_EQ(status, refusals[i].status);
    CHECK(strstr(head, "Connection: close") != NULL);
    CHECK(refusals[i].header == NULL ||
          strstr(head, refusals[i].header) != NULL);
}

static void
refusals_are_complete_answers_before_the_end(void)
{
    wire w = open_strict();
    for (size_t i = 0; i < WIRE_COUNT_OF(refusals); i++) {
        peer p = peer_dial(&w);
        peer_say(&p, refusals[i].request);
        check_refusal(i, &p);
        peer_close(&p);
    }
    CHECK_EQ(WIRE_COUNTED(&w, refused_handshakes), WIRE_COUNT_OF(refusals));
    CHECK_EQ(ws_hub_get_stats(w.hub).joined, 0);
    (void)wire_close(&w);
}

/* Unread bytes at a close would make it a reset, which takes the answer away
   from the client. */
static void
refusals_are_read_whole_by_clients_that_say_more(void)
{
    static const char more[256 * 1024];
    wire w = open_strict();
    for (size_t i = 0; i < WIRE_COUNT_OF(refusals); i++) {
        peer p = peer_dial(&w);
        peer_say(&p, refusals[i].request);
        peer_send(&p, more, sizeof more);
        check_refusal(i, &p);
        (void)peer_try_send(&p, more, sizeof more);
        peer_close(&p);
    }
    (void)wire_close(&w);
}

static void
a_head_that_is_too_long_is_431_or_414(void)
{
    wire w = wire_open_default();
    char line[9000];
    memset(line, 'a', sizeof line);

    peer p = peer_dial(&w);
    peer_say(&p, "GET / HTTP/1.1\r\nX: ");
    peer_send(&p, line, sizeof line);
    CHECK_EQ(peer_answer(&p, false, NULL, NULL), 431);
    peer_close(&p);
    p = peer_dial(&w);
    peer_say(&p, "GET /");
    peer_send(&p, line, sizeof line);
    CHECK_EQ(peer_answer(&p, false, NULL, NULL), 414);
    peer_close(&p);
    (void)wire_close(&w);
}

/* ---- deadlines */

static void
a_request_that_takes_too_long_is_408(void)
{
    wire_setup setup = wire_defaults();
    setup.config.open_timeout_ns = 150 * WS_NS_PER_MS;
    wire w = wire_open(&setup);
    peer silent = peer_dial(&w);
    peer slow = peer_dial(&w);
    const char *request = peer_request("/", "");
    uint64_t begin = ws_now_ns();

    for (size_t i = 0; !peer_hears(&slow, 2); i++) {
        peer_send(&slow, request + i % 10, 1);
    }
    CHECK(ws_now_ns() - begin >= 100 * WS_NS_PER_MS);
    CHECK_EQ(peer_answer(&silent, false, NULL, NULL), 408);
    CHECK_EQ(peer_answer(&slow, false, NULL, NULL), 408);
    CHECK_EQ(WIRE_COUNTED(&w, timeouts), 2);
    CHECK_EQ(WIRE_COUNTED(&w, refused_handshakes), 2);
    peer_close(&silent);
    peer_close(&slow);
    (void)wire_close(&w);
}

/* The pump's clock is not that of its falling asleep. */
static void
the_deadline_counts_from_the_accept_however_long_the_pump_slept(void)
{
    wire_setup setup = wire_defaults();
    setup.config.open_timeout_ns = 300 * WS_NS_PER_MS;
    wire w = wire_open(&setup);
    (void)usleep(400 * 1000);
    peer p = peer_dial(&w);
    CHECK(!peer_hears(&p, 100));
    peer_say(&p, peer_request("/", ""));
    (void)peer_expect_switch(&p);
    peer_leave(&p);
    (void)wire_close(&w);
}

static void
a_client_that_leaves_before_an_answer_is_counted_as_failed(void)
{
    wire w = wire_open_default();
    peer p = peer_dial(&w);
    peer_say(&p, "GET / HT");
    peer_close(&p);
    p = peer_dial(&w);
    peer_reset(&p);
    WITHIN(WIRE_COUNTED(&w, failed_handshakes) == 2, 10);
    (void)wire_close(&w);
}

/* ---- plain HTTP */

static void
put_page(const wire *w, const char *path, const void *body, size_t size)
{
    CHECK_EQ(ws_pages_put(w->pages, (ws_text){path, strlen(path)},
                          (ws_text){"text/html", 9}, body, size),
             WS_OK);
}

static void
pages_are_served_by_get_and_head(void)
{
    static const struct {
        const char *request;
        bool head_only;
        int status;
    } cases[] = {
        {"GET /page HTTP/1.1\r\n" HOST "\r\n", false, 200},
        {"GET /page?x=1 HTTP/1.1\r\n" HOST "\r\n", false, 200},
        {"GET /page HTTP/1.0\r\n\r\n", false, 200},
        {"HEAD /page HTTP/1.1\r\n" HOST "\r\n", true, 200},
        {"HEAD /page HTTP/1.0\r\n\r\n", true, 200},
        {"GET /other HTTP/1.0\r\n\r\n", false, 426},
        {"HEAD /other HTTP/1.1\r\n" HOST "\r\n", true, 426},
        {"POST /page HTTP/1.1\r\n" HOST "\r\n", false, 405},
    };
    wire w = wire_open_default();
    put_page(&w, "/page", "<p>hi", 5);
    for (size_t i = 0; i < WIRE_COUNT_OF(cases); i++) {
        const char *head;
        const char *body;
        peer p = peer_dial(&w);
        peer_say(&p, cases[i].request);
        int status = peer_answer(&p, cases[i].head_only, &head, &body);
        CHECK_EQ(status, cases[i].status);
        if (status == 200) {
            CHECK(strstr(head, "Content-Type: text/html\r\n") != NULL);
            CHECK(strstr(head, "Content-Length: 5\r\n") != NULL);
            CHECK_STR_EQ(body, cases[i].head_only ? "" : "<p>hi");
        }
        peer_close(&p);
    }
    CHECK_EQ(WIRE_COUNTED(&w, served_pages), 5);
    (void)wire_close(&w);
}

enum { BIG = 3 << 20 };

static char *
big_body(void)
{
    char *body = malloc(BIG);
    CHECK(body != NULL);
    for (size_t i = 0; i < BIG; i++) {
        body[i] = (char)('a' + i % 23);
    }
    return body;
}

/* A page may take longer than the request may. */
static void
a_big_page_reaches_a_slow_reader(void)
{
    wire_setup setup = wire_defaults();
    setup.config.open_timeout_ns = 200 * WS_NS_PER_MS;
    wire w = wire_open(&setup);
    char *body = big_body();
    const char *got;
    put_page(&w, "/", body, BIG);

    peer p = peer_dial_port(w.port, 4096);
    peer_say(&p, "GET / HTTP/1.1\r\n" HOST "\r\n");
    (void)usleep(400 * 1000);
    CHECK_EQ(peer_answer(&p, false, NULL, &got), 200);
    CHECK_MEM_EQ(got, body, BIG);
    CHECK(WIRE_COUNTED(&w, short_writes) > 0);
    peer_close(&p);
    free(body);
    (void)wire_close(&w);
}

/* HTTP clients may say with a FIN that this was their last request. */
static void
a_big_page_reaches_a_reader_that_has_shut_its_side(void)
{
    wire w = wire_open_default();
    char *body = big_body();
    const char *got;
    put_page(&w, "/", body, BIG);

    peer p = peer_dial_port(w.port, 4096);
    peer_say(&p, "GET / HTTP/1.1\r\n" HOST "\r\n");
    peer_shut(&p);
    WITHIN(WIRE_COUNTED(&w, short_writes) > 0, 10);
    CHECK_EQ(peer_answer(&p, false, NULL, &got), 200);
    CHECK_MEM_EQ(got, body, BIG);
    peer_close(&p);
    free(body);
    (void)wire_close(&w);
}

/* ... and one that has vanished meanwhile is noticed. */
static void
a_reader_of_a_big_page_that_resets_is_noticed(void)
{
    wire w = wire_open_default();
    char *body = big_body();
    put_page(&w, "/", body, BIG);
    long before = ws_alloc_live();
    peer p = peer_dial_port(w.port, 4096);
    peer_say(&p, "GET / HTTP/1.1\r\n" HOST "\r\n");
    WITHIN(WIRE_COUNTED(&w, short_writes) > 0, 10);
    peer_reset(&p);
    WITHIN(ws_alloc_live() == before, 10);
    free(body);
    (void)wire_close(&w);
}

/* ---- who it is */

static void
ids_and_users_come_from_the_query(void)
{
    static const struct {
        const char *target, *id, *user;
    } good[] = {
        {"/?id=a", "a", NULL},
        {"/chat?user=42&id=b%20c", "b c", "42"},
        {"/?id=%C3%BC&user=%C3%9F&x=%zz", "\xc3\xbc", "\xc3\x9f"},
    };
    wire w = wire_open_default();
    for (size_t i = 0; i < WIRE_COUNT_OF(good); i++) {
        peer p = peer_open(&w, good[i].target);
        ws_client *client = wire_client(&w, good[i].id);
        CHECK_STR_EQ(client->info.user.data, good[i].user);
        CHECK(strncmp(client->info.request.data, "GET /", 5) == 0);
        CHECK_STR_EQ(client->info.remote.data, "127.0.0.1");
        CHECK_STR_EQ(client->info.peer.data, "127.0.0.1");
        ws_client_unref(client);
        peer_leave(&p);
    }
    (void)wire_close(&w);
}

static void
bad_ids_and_users_are_400(void)
{
    static const char *const bad[] = {
        "/?id=",    "/?id",         "/?id=a&id=b", "/?id=%ff",
        "/?id=%0a", "/?id=a&user=", "/?user=%zz",
    };
    wire w = wire_open_default();
    char target[400];
    for (size_t i = 0; i < WIRE_COUNT_OF(bad); i++) {
        peer p = peer_dial(&w);
        peer_say(&p, peer_request(bad[i], ""));
        CHECK_EQ(peer_answer(&p, false, NULL, NULL), 400);
        peer_close(&p);
    }
    for (int size = 255; size <= 256; size++) {
        (void)snprintf(target, sizeof target, "/?id=%0*d", size, 7);
        peer p = peer_dial(&w);
        peer_say(&p, peer_request(target, ""));
        if (size <= WS_CLIENT_ID_MAX) {
            (void)peer_expect_switch(&p);
            peer_leave(&p);
        } else {
            CHECK_EQ(peer_answer(&p, false, NULL, NULL), 400);
            peer_close(&p);
        }
    }
    (void)wire_close(&w);
}

static void
an_id_in_use_is_409_until_it_is_free(void)
{
    wire w = wire_open_default();
    peer first = peer_open(&w, "/?id=a");
    peer p = peer_dial(&w);
    peer_say(&p, peer_request("/?id=a", ""));
    CHECK_EQ(peer_answer(&p, false, NULL, NULL), 409);
    peer_close(&p);
    expect_echo_of_sending(&w, &first, "a");
    peer_leave(&first);
    first = peer_open(&w, "/?id=a");
    peer_leave(&first);
    (void)wire_close(&w);
}

static void
clients_without_an_id_get_one_of_their_own(void)
{
    wire_setup setup = wire_defaults();
    setup.events = true;
    wire w = wire_open(&setup);
    peer p = peer_open(&w, "/");
    peer q = peer_open(&w, "/");
    ws_event one = wire_event(&w, WS_EVENT_CONNECTED);
    ws_event two = wire_event(&w, WS_EVENT_CONNECTED);
    CHECK_EQ(one.client->info.id.size, 32);
    CHECK(strcmp(one.client->info.id.data, two.client->info.id.data) != 0);
    CHECK(one.client->info.user.data == NULL);
    ws_event_release(&one);
    ws_event_release(&two);
    peer_leave(&p);
    peer_leave(&q);
    (void)wire_close(&w);
}

static void
the_first_of_our_subprotocols_that_is_offered_is_selected(void)
{
    static const char *const ours[] = {"v2", "v1"};
    static const struct {
        const char *headers, *selected;
    } cases[] = {
        {"Sec-WebSocket-Protocol: v1, v2\r\n", "v2"},
        {"Sec-WebSocket-Protocol: v0\r\nSec-WebSocket-Protocol: v1\r\n", "v1"},
        {"Sec-WebSocket-Protocol: v0\r\n", NULL},
        {"", NULL},
    };
    wire_setup setup = wire_defaults();
    setup.config.subprotocols = ours;
    setup.config.subprotocol_count = 2;
    wire w = wire_open(&setup);
    for (size_t i = 0; i < WIRE_COUNT_OF(cases); i++) {
        char line[64];
        peer p = peer_dial(&w);
        peer_say(&p, peer_request("/?id=a", cases[i].headers));
        const char *head = peer_expect_switch(&p);
        (void)snprintf(line, sizeof line, "Sec-WebSocket-Protocol: %s\r\n",
                       cases[i].selected);
        CHECK_EQ(strstr(head, "Sec-WebSocket-Protocol") != NULL,
                 cases[i].selected != NULL);
        CHECK(cases[i].selected == NULL || strstr(head, line) != NULL);
        ws_client *client = wire_client(&w, "a");
        CHECK_STR_EQ(client->info.subprotocol.data, cases[i].selected);
        ws_client_unref(client);
        peer_leave(&p);
        WITHIN(ws_hub_present(w.hub) == 0, 10);
    }
    (void)wire_close(&w);
}

/* ---- how many */

static void
expect_too_many(const wire *w, const char *headers)
{
    const char *head;
    peer p = peer_dial(w);
    peer_say(&p, peer_request("/", headers));
    CHECK_EQ(peer_answer(&p, false, &head, NULL), 503);
    CHECK(strstr(head, "Retry-After: ") != NULL);
    peer_close(&p);
}

static void
more_than_max_clients_is_503(void)
{
    wire_setup setup = wire_defaults();
    setup.limits.max_clients = 2;
    wire w = wire_open(&setup);
    peer p = peer_open(&w, "/");
    peer q = peer_open(&w, "/");
    expect_too_many(&w, "");
    peer_leave(&p);
    WITHIN(ws_hub_present(w.hub) == 1, 10);
    p = peer_open(&w, "/");
    expect_too_many(&w, "");
    peer_leave(&p);
    peer_leave(&q);
    (void)wire_close(&w);
}

static wire
open_behind_proxy(bool unix_socket, const char *proxy, size_t most)
{
    const char *const proxies[] = {proxy, "10.0.0.0/8"};
    wire_setup setup = wire_defaults();
    setup.unix_socket = unix_socket;
    setup.config.max_clients_per_ip = most;
    setup.config.trusted_proxies = proxies;
    setup.config.trusted_proxy_count = 2;
    return wire_open(&setup);
}

static peer
open_for(const wire *w, const char *headers)
{
    peer p = peer_dial(w);
    peer_say(&p, peer_request("/?id=a", headers));
    (void)peer_expect_switch(&p);
    return p;
}

static void
more_than_max_clients_per_ip_is_503(void)
{
    wire w = open_behind_proxy(false, "127.0.0.1", 2);
    peer p = peer_open(&w, "/?id=p");
    peer q = peer_open(&w, "/?id=q");
    expect_too_many(&w, "");
    peer other = open_for(&w, "X-Forwarded-For: 1.2.3.4\r\n");
    peer_leave(&other);
    peer_leave(&p);
    WITHIN(ws_hub_present(w.hub) == 1, 10);
    p = peer_open(&w, "/?id=p");
    peer_leave(&p);
    peer_leave(&q);
    (void)wire_close(&w);
}

/* Who was refused counts no more, however long he keeps his socket. */
static void
a_refused_client_is_not_counted_against_its_address(void)
{
    wire w = open_behind_proxy(false, "127.0.0.1", 2);
    peer first = peer_open(&w, "/?id=a");
    peer refused = peer_dial(&w);
    peer_say(&refused, peer_request("/?id=a", ""));
    CHECK_EQ(peer_answer(&refused, false, NULL, NULL), 409);
    peer second = peer_open(&w, "/?id=b");
    peer_close(&refused);
    peer_leave(&first);
    peer_leave(&second);
    (void)wire_close(&w);
}

/* ---- behind proxies */

static void
check_remote(const wire *w, const char *headers, const char *remote)
{
    peer p = open_for(w, headers);
    ws_client *client = wire_client(w, "a");
    if (strcmp(client->info.remote.data, remote) != 0) {
        fprintf(stderr, "case: %s", headers);
    }
    CHECK_STR_EQ(client->info.remote.data, remote);
    CHECK_STR_EQ(client->info.peer.data,
                 ws_port_addr(w->port)->family == AF_UNIX ? "unix:"
                                                          : "127.0.0.1");
    ws_client_unref(client);
    peer_leave(&p);
    WITHIN(ws_hub_present(w->hub) == 0, 10);
}

#define FOR "X-Forwarded-For: "

static void
the_address_is_the_last_that_no_trusted_proxy_has_vouched_for(void)
{
    static const struct {
        const char *headers, *remote;
    } cases[] = {
        {"", "127.0.0.1"},
        {FOR "1.2.3.4\r\n", "1.2.3.4"},
        {FOR "6.6.6.6, 1.2.3.4\r\n", "1.2.3.4"},
        {FOR "1.2.3.4, 10.0.0.1\r\n", "1.2.3.4"},
        {FOR "1.2.3.4, 10.0.0.1, 10.0.0.2\r\n", "1.2.3.4"},
        {FOR "6.6.6.6\r\n" FOR "1.2.3.4\r\n" FOR "10.0.0.1\r\n", "1.2.3.4"},
        {FOR "10.0.0.1\r\n", "10.0.0.1"},
        {FOR "10.0.0.1, 10.0.0.2\r\n", "10.0.0.1"},
        {FOR "6.6.6.6, unknown\r\n", "127.0.0.1"},
        {FOR "unknown, 10.0.0.1\r\n", "10.0.0.1"},
        {FOR "6.6.6.6, unix:\r\n", "127.0.0.1"},
        {FOR "1.2.3.4:5678\r\n", "1.2.3.4"},
        {FOR "[2001:DB8::1]:80\r\n", "2001:db8::1"},
        {FOR ", ,\r\n", "127.0.0.1"},
    };
    wire w = open_behind_proxy(false, "127.0.0.1", 0);
    for (size_t i = 0; i < WIRE_COUNT_OF(cases); i++) {
        check_remote(&w, cases[i].headers, cases[i].remote);
    }
    (void)wire_close(&w);
}

static void
nobody_else_is_believed(void)
{
    wire w = open_behind_proxy(false, "192.168.0.0/16", 0);
    check_remote(&w, FOR "1.2.3.4\r\n", "127.0.0.1");
    (void)wire_close(&w);
}

static void
a_proxy_may_come_through_a_unix_socket(void)
{
    wire w = open_behind_proxy(true, "unix:", 0);
    check_remote(&w, FOR "1.2.3.4\r\n", "1.2.3.4");
    check_remote(&w, "", "unix:");
    (void)wire_close(&w);
}

/* ---- compression */

static wire
open_compressing(bool compression)
{
    wire_setup setup = wire_defaults();
    setup.config.compression = compression;
    return wire_open(&setup);
}

#define EXTENSIONS "Sec-WebSocket-Extensions: "
#define DEFLATE "permessage-deflate"
#define AGREED                                          \
    EXTENSIONS DEFLATE "; server_no_context_takeover; " \
                       "client_no_context_takeover"

static void
compression_is_agreed_on_where_both_want_it(void)
{
    static const struct {
        const char *what;
        const char *headers;
        const char *want; /* NULL: no extension */
        bool on;
    } cases[] = {
        {"not offered", "", NULL, true},
        {"offered", EXTENSIONS DEFLATE "\r\n", AGREED "\r\n", true},
        {"with a smaller window",
         EXTENSIONS DEFLATE "; server_max_window_bits=10\r\n",
         AGREED "; server_max_window_bits=10\r\n", true},
        {"only the second offer is good",
         EXTENSIONS DEFLATE "; server_max_window_bits=8, " DEFLATE "\r\n",
         AGREED "\r\n", true},
        {"no offer is good", EXTENSIONS DEFLATE "; turbo\r\n", NULL, true},
        {"not wanted", EXTENSIONS DEFLATE "\r\n", NULL, false},
        {"not wanted, so nothing is read", EXTENSIONS "=\r\n", NULL, false},
    };
    for (size_t i = 0; i < WIRE_COUNT_OF(cases); i++) {
        wire w = open_compressing(cases[i].on);
        peer p = peer_dial(&w);
        peer_say(&p, peer_request("/?id=a", cases[i].headers));
        const char *head = peer_expect_switch(&p);
        const char *got = strstr(head, EXTENSIONS);
        if ((got == NULL) != (cases[i].want == NULL)) {
            fprintf(stderr, "case: %s\n", cases[i].what);
        }
        CHECK_EQ(got == NULL, cases[i].want == NULL);
        if (got != NULL) {
            CHECK_MEM_EQ(got, cases[i].want, strlen(cases[i].want));
        }
        expect_echo_of_sending(&w, &p, "a");
        peer_leave(&p);
        (void)wire_close(&w);
    }
}

static void
extensions_that_are_no_list_are_refused(void)
{
    wire w = open_compressing(true);
    peer p = peer_dial(&w);
    const char *body = NULL;
    peer_say(&p, peer_request("/", EXTENSIONS DEFLATE ";\r\n"));
    CHECK_EQ(peer_answer(&p, false, NULL, &body), 400);
    CHECK_STR_EQ(body, "Sec-WebSocket-Extensions is not a list of "
                       "extensions.\n");
    CHECK_EQ(WIRE_COUNTED(&w, refused_handshakes), 1);
    peer_close(&p);
    (void)wire_close(&w);
}

static const ws_test tests[] = {
    TEST(compression_is_agreed_on_where_both_want_it),
    TEST(extensions_that_are_no_list_are_refused),
    TEST(a_request_in_one_piece_opens),
    TEST(a_request_byte_by_byte_opens),
    TEST(frames_behind_the_request_in_one_segment_are_read),
    TEST(a_frame_behind_the_request_may_be_cut_anywhere),
    TEST(refusals_are_complete_answers_before_the_end),
    TEST(refusals_are_read_whole_by_clients_that_say_more),
    TEST(a_head_that_is_too_long_is_431_or_414),
    TEST(a_request_that_takes_too_long_is_408),
    TEST(the_deadline_counts_from_the_accept_however_long_the_pump_slept),
    TEST(a_client_that_leaves_before_an_answer_is_counted_as_failed),
    TEST(pages_are_served_by_get_and_head),
    TEST(a_big_page_reaches_a_slow_reader),
    TEST(a_big_page_reaches_a_reader_that_has_shut_its_side),
    TEST(a_reader_of_a_big_page_that_resets_is_noticed),
    TEST(ids_and_users_come_from_the_query),
    TEST(bad_ids_and_users_are_400),
    TEST(an_id_in_use_is_409_until_it_is_free),
    TEST(clients_without_an_id_get_one_of_their_own),
    TEST(the_first_of_our_subprotocols_that_is_offered_is_selected),
    TEST(more_than_max_clients_is_503),
    TEST(more_than_max_clients_per_ip_is_503),
    TEST(a_refused_client_is_not_counted_against_its_address),
    TEST(the_address_is_the_last_that_no_trusted_proxy_has_vouched_for),
    TEST(nobody_else_is_believed),
    TEST(a_proxy_may_come_through_a_unix_socket),
};

TEST_MAIN(tests)
