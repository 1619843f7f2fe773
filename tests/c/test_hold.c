#include "wire.h"

#include <pthread.h>

#include "core/held.h"

static wire_setup
asking(void)
{
    wire_setup setup = wire_defaults();
    setup.config.authorize = true;
    setup.config.id_query = setup.config.user_query = NULL;
    setup.limits.max_handshakes = 10000;
    setup.events = true;
    return setup;
}

static wire
open_asking(void)
{
    wire_setup setup = asking();
    return wire_open(&setup);
}

static peer
ask_with(const wire *w, const char *target, const char *headers)
{
    peer p = peer_dial(w);
    peer_say(&p, peer_request(target, headers));
    return p;
}

static peer
ask(const wire *w)
{
    return ask_with(w, "/", "");
}

/* The next handshake; a reference. */
static ws_held *
asked(const wire *w)
{
    ws_event event = wire_event(w, WS_EVENT_AUTHORIZE);
    CHECK(event.client == NULL);
    CHECK_EQ(ws_held_get_state(event.held), WS_HELD_PENDING);
    return event.held;
}

static bool
has_event(const wire *w)
{
    ws_event event;
    bool has = ws_hub_take_event(w->hub, &event);
    if (has) {
        ws_event_release(&event);
    }
    return has;
}

static ws_held_state
decide(ws_held *held, const ws_decision *what)
{
    ws_decision *decision = ws_decision_new(what);
    CHECK(decision != NULL);
    ws_held_state state = ws_held_decide(held, decision);
    if (state != WS_HELD_PENDING) {
        ws_decision_free(decision);
    }
    return state;
}

/* Decides in time, and gives the handshake back. */
static void
settle(ws_held *held, const ws_decision *what)
{
    CHECK_EQ(decide(held, what), WS_HELD_PENDING);
    ws_held_unref(held);
}

static void
let_in(ws_held *held, const char *id)
{
    settle(held, &(ws_decision){.accept = true, .id = wire_text(id)});
}

static void
turn_away(ws_held *held)
{
    settle(held, &(ws_decision){.status = 403, .body = wire_text("no\n")});
}

static uint64_t
waiting(const wire *w)
{
    return ws_hub_get_stats(w->hub).handshakes;
}

/* ---- accepting */

static void
an_accepted_client_has_all_that_was_decided(void)
{
    static const char topics[] = "news\0sport";
    wire w = open_asking();
    peer p = ask_with(&w, "/path?x=1",
                      "Sec-WebSocket-Protocol: one, two\r\nX-A: b\r\n");
    ws_held *held = asked(&w);
    CHECK_EQ(waiting(&w), 1);
    CHECK_STR_EQ(held->info.remote.data, "127.0.0.1");
    CHECK_STR_EQ(held->info.peer.data, "127.0.0.1");
    CHECK(strncmp(held->info.request.data, "GET /path?x=1 HTTP/1.1\r\n", 24) ==
          0);
    CHECK_EQ(held->info.subprotocols.size, 8);
    CHECK_MEM_EQ(held->info.subprotocols.data, "one\0two", 8);
    CHECK(!peer_hears(&p, 0));
    settle(held, &(ws_decision){
                     .accept = true,
                     .id = wire_text("a"),
                     .user = wire_text("u"),
                     .topics = {topics, sizeof topics},
                     .subprotocol = wire_text("two"),
                     .headers = wire_text("X-One: 1\r\nX-Two: 2\r\n"),
                 });
    const char *head = peer_expect_switch(&p);
    CHECK(strstr(head, "\r\nSec-WebSocket-Protocol: two\r\n") != NULL);
    CHECK(strstr(head, "\r\nX-One: 1\r\nX-Two: 2\r\n\r\n") != NULL);

    ws_event event = wire_event(&w, WS_EVENT_CONNECTED);
    const ws_client_info *info = &event.client->info;
    CHECK_STR_EQ(info->id.data, "a");
    CHECK_STR_EQ(info->user.data, "u");
    CHECK_STR_EQ(info->subprotocol.data, "two");
    CHECK_STR_EQ(info->remote.data, "127.0.0.1");
    CHECK(strstr(info->request.data, "\r\nX-A: b\r\n") != NULL);
    char *names = NULL;
    size_t size = 0;
    CHECK_EQ(ws_hub_topics(event.client, &names, &size), WS_OK);
    CHECK_EQ(size, sizeof topics);
    ws_free(names);
    CHECK_EQ(waiting(&w), 0);
    CHECK_EQ(wire_send_text(event.client, "hello"), WS_OK);
    peer_expect_text(&p, "hello");
    peer_text(&p, "you");
    wire_expect_message(&w, "you", 3, true);
    ws_event_release(&event);
    peer_leave(&p);
    wire_expect_event(&w, WS_EVENT_DISCONNECTED);
    CHECK_EQ(WIRE_COUNTED(&w, refused_handshakes), 0);
    (void)wire_close(&w);
}

static void
without_a_word_the_id_is_ours_and_the_subprotocol_the_servers(void)
{
    static const char *const ours[] = {"chat"};
    wire_setup setup = asking();
    setup.config.subprotocols = ours;
    setup.config.subprotocol_count = 1;
    wire w = wire_open(&setup);
    peer p = ask_with(&w, "/", "Sec-WebSocket-Protocol: a, chat\r\n");
    settle(asked(&w), &(ws_decision){.accept = true});
    CHECK(strstr(peer_expect_switch(&p),
                 "\r\nSec-WebSocket-Protocol: chat\r\n") != NULL);
    ws_event event = wire_event(&w, WS_EVENT_CONNECTED);
    CHECK_EQ(event.client->info.id.size, 32);
    CHECK(event.client->info.user.data == NULL);
    CHECK_STR_EQ(event.client->info.subprotocol.data, "chat");
    ws_event_release(&event);
    peer_leave(&p);
    (void)wire_close(&w);
}

/* In one segment with the request, or while it waits. */
static void
frames_that_come_too_early_are_read_once_it_is_accepted(void)
{
    wire w = open_asking();
    peer p = peer_dial(&w);
    uint8_t all[4096];
    const char *request = peer_request("/", "");
    size_t size = strlen(request);
    memcpy(all, request, size);
    size += peer_make(all + size, PEER_TEXT, "one", 3);
    size_t half = size + peer_make(all + size, PEER_TEXT, "two", 3) - 2;
    peer_send(&p, all, half);
    ws_held *held = asked(&w);
    peer_send(&p, all + half, 2);
    peer_text(&p, "three");
    CHECK(!has_event(&w));
    let_in(held, "a");
    (void)peer_expect_switch(&p);
    wire_expect_event(&w, WS_EVENT_CONNECTED);
    wire_expect_message(&w, "one", 3, true);
    wire_expect_message(&w, "two", 3, true);
    wire_expect_message(&w, "three", 5, true);
    peer_leave(&p);
    (void)wire_close(&w);
}

static void
a_close_that_comes_too_early_ends_what_was_accepted(void)
{
    wire w = open_asking();
    peer p = peer_dial(&w);
    uint8_t all[4096];
    const char *request = peer_request("/", "");
    size_t size = strlen(request);
    memcpy(all, request, size);
    size += peer_make(all + size, PEER_CLOSE, "\x03\xe8", 2);
    peer_send(&p, all, size);
    let_in(asked(&w), "a");
    (void)peer_expect_switch(&p);
    peer_expect_close(&p, 1000, "");
    peer_expect_eof(&p);
    peer_close(&p);
    (void)wire_close(&w);
}

static void
compression_is_agreed_on_as_ever(void)
{
    wire_setup setup = asking();
    setup.config.compression = true;
    wire w = wire_open(&setup);
    peer p =
        ask_with(&w, "/", "Sec-WebSocket-Extensions: permessage-deflate\r\n");
    let_in(asked(&w), "a");
    CHECK(strstr(peer_expect_switch(&p),
                 "\r\nSec-WebSocket-Extensions: permessage-deflate") != NULL);
    peer_leave(&p);
    (void)wire_close(&w);
}

static void
an_id_in_use_is_409(void)
{
    wire w = open_asking();
    peer first = ask(&w);
    let_in(asked(&w), "a");
    (void)peer_expect_switch(&first);
    wire_expect_event(&w, WS_EVENT_CONNECTED);

    peer second = ask(&w);
    let_in(asked(&w), "a");
    CHECK_EQ(peer_answer(&second, false, NULL, NULL), 409);
    CHECK_EQ(WIRE_COUNTED(&w, refused_handshakes), 1);
    CHECK(!has_event(&w));
    peer_close(&second);
    peer_leave(&first);
    CHECK_EQ(wire_close(&w).joined, 1);
}

static void
who_replaces_another_is_told_of_behind_its_end(void)
{
    wire w = open_asking();
    peer first = ask(&w);
    let_in(asked(&w), "a");
    (void)peer_expect_switch(&first);
    wire_expect_event(&w, WS_EVENT_CONNECTED);
    ws_client *old = wire_client(&w, "a");
    CHECK_EQ(wire_send_text(old, "before"), WS_OK);

    peer second = ask(&w);
    settle(
        asked(&w),
        &(ws_decision){.accept = true, .id = wire_text("a"), .replace = true});
    (void)peer_expect_switch(&second);
    ws_event event = wire_event(&w, WS_EVENT_DISCONNECTED);
    CHECK(event.client == old);
    CHECK_EQ(old->close_code, 4409);
    ws_event_release(&event);
    event = wire_event(&w, WS_EVENT_CONNECTED);
    ws_client *now = wire_client(&w, "a");
    CHECK(event.client == now && now != old);
    ws_event_release(&event);

    // What it says from here on is for nobody.
    peer_text(&first, "late");
    peer_expect_text(&first, "before");
    peer_expect_close(&first, 4409, "replaced by another connection");
    peer_close_frame(&first, 4409, "");
    peer_expect_eof(&first);
    peer_close(&first);
    wire_expect_ended(old, 4409, true);
    CHECK(!has_event(&w));

    CHECK_EQ(wire_send_text(now, "hello"), WS_OK);
    peer_expect_text(&second, "hello");
    ws_client_unref(now);
    peer_leave(&second);
    wire_expect_event(&w, WS_EVENT_DISCONNECTED);
    CHECK_EQ(wire_close(&w).joined, 2);
}

static void
nobody_is_replaced_where_there_is_no_room(void)
{
    wire_setup setup = asking();
    setup.limits.max_clients = 1;
    wire w = wire_open(&setup);
    peer first = ask(&w);
    let_in(asked(&w), "a");
    (void)peer_expect_switch(&first);
    peer second = ask(&w);
    wire_expect_event(&w, WS_EVENT_CONNECTED);
    settle(
        asked(&w),
        &(ws_decision){.accept = true, .id = wire_text("a"), .replace = true});
    CHECK_EQ(peer_answer(&second, false, NULL, NULL), 503);
    peer_close(&second);
    CHECK_EQ(ws_hub_size(w.hub), 1);
    peer_leave(&first);
    (void)wire_close(&w);
}

/* ---- rejecting */

static void
a_rejected_client_gets_the_whole_answer(void)
{
    wire w = open_asking();
    peer p = ask(&w);
    settle(asked(&w), &(ws_decision){
                          .status = 401,
                          .headers = wire_text("WWW-Authenticate: Bearer\r\n"),
                          .content_type = wire_text("application/json"),
                          .body = wire_text("{}"),
                      });
    const char *head = NULL;
    const char *body = NULL;
    CHECK_EQ(peer_answer(&p, false, &head, &body), 401);
    CHECK(strstr(head, "\r\nContent-Type: application/json\r\n") != NULL);
    CHECK(strstr(head, "\r\nWWW-Authenticate: Bearer\r\n") != NULL);
    CHECK_STR_EQ(body, "{}");
    peer_close(&p);
    CHECK_EQ(WIRE_COUNTED(&w, refused_handshakes), 1);
    CHECK_EQ(WIRE_COUNTED(&w, failed_handshakes), 0);
    CHECK(!has_event(&w));
    CHECK_EQ(wire_close(&w).joined, 0);
}

static void
as_much_as_may_be_said_fits(void)
{
    static char headers[WS_MESSAGE_HEADERS_MAX + 1];
    static char body[WS_MESSAGE_BODY_MAX + 1];
    memset(headers, 'x', sizeof headers - 1);
    memset(body, 'y', sizeof body - 1);
    memcpy(headers, "X: ", 3);
    memcpy(headers + sizeof headers - 3, "\r\n", 2);
    wire w = open_asking();
    ws_decision most = {
        .status = 511,
        .headers = wire_text(headers),
        .body = wire_text(body),
    };
    peer p = ask(&w);
    settle(asked(&w), &most);
    while (peer_receive(&p) > 0) {
    }
    CHECK(p.end > strlen(headers) + strlen(body));
    CHECK_MEM_EQ(p.in + p.end - strlen(body), body, strlen(body));
    peer_close(&p);

    p = ask(&w);
    most.accept = true;
    settle(asked(&w), &most);
    const uint8_t *in = peer_need(&p, strlen(headers) + 100);
    CHECK_MEM_EQ(in, "HTTP/1.1 101 ", 13);
    peer_close(&p);
    (void)wire_close(&w);
}

static void
a_close_code_opens_and_closes_and_there_never_was_a_client(void)
{
    wire w = open_asking();
    peer p = ask(&w);
    settle(asked(&w), &(ws_decision){.status = 403,
                                     .close_code = 4403,
                                     .body = wire_text("not for you")});
    (void)peer_expect_switch(&p);
    peer_expect_close(&p, 4403, "not for you");
    CHECK_EQ(ws_hub_present(w.hub), 0);
    peer_text(&p, "is read and thrown away");
    peer_close_frame(&p, 4403, "");
    peer_expect_eof(&p);
    peer_close(&p);
    CHECK_EQ(WIRE_COUNTED(&w, refused_handshakes), 1);
    CHECK(!has_event(&w));
    CHECK_EQ(wire_close(&w).joined, 0);
}

static void
who_is_closed_at_once_may_go_without_a_close(void)
{
    wire w = open_asking();
    peer p = ask(&w);
    settle(asked(&w), &(ws_decision){.status = 403, .close_code = 4403});
    (void)peer_expect_switch(&p);
    peer_expect_close(&p, 4403, "");
    peer_reset(&p);
    WITHIN(WIRE_COUNTED(&w, connections) == 0, 10);
    (void)wire_close(&w);
}

static void
with_a_close_code_the_first_offer_is_agreed_on(void)
{
    wire w = open_asking();
    peer p = ask_with(&w, "/", "Sec-WebSocket-Protocol: bearer, t0ken\r\n");
    settle(asked(&w), &(ws_decision){.status = 403, .close_code = 4403});
    CHECK(strstr(peer_expect_switch(&p),
                 "\r\nSec-WebSocket-Protocol: bearer\r\n") != NULL);
    peer_expect_close(&p, 4403, "");
    peer_close(&p);
    (void)wire_close(&w);
}

static void
one_that_nobody_wants_to_decide_on_is_503(void)
{
    wire w = open_asking();
    peer p = ask(&w);
    ws_held *held = asked(&w);
    ws_held_drop(held);
    CHECK_EQ(ws_held_get_state(held), WS_HELD_REJECTED);
    ws_held_drop(held); // twice is once
    const char *head = NULL;
    CHECK_EQ(peer_answer(&p, false, &head, NULL), 503);
    CHECK(strstr(head, "\r\nRetry-After: 10\r\n") != NULL);
    CHECK_EQ(decide(held, &(ws_decision){.accept = true}), WS_HELD_REJECTED);
    ws_held_unref(held);
    peer_close(&p);
    (void)wire_close(&w);
}

/* ---- not in time */

/* Lets the time of one run out. Where the machine was so slow that its request
   had none left (408), or that it could not be taken, another comes. */
static ws_held *
let_expire(const wire *w, bool take)
{
    for (;;) {
        peer p = ask(w);
        ws_event event = {.held = NULL};
        while (take && event.held == NULL && !peer_hears(&p, 1)) {
            (void)ws_hub_take_event(w->hub, &event);
        }
        int status = peer_answer(&p, false, NULL, NULL);
        peer_close(&p);
        if (status == 503 && (event.held != NULL) == take) {
            return event.held;
        }
        CHECK(status == 408 || take);
        ws_event_release(&event);
    }
}

static void
undecided_it_is_503_in_the_end(void)
{
    wire_setup setup = asking();
    setup.config.open_timeout_ns = WS_NS_PER_S;
    wire w = wire_open(&setup);
    ws_held *held = let_expire(&w, true);
    CHECK_EQ(ws_held_get_state(held), WS_HELD_EXPIRED);
    CHECK_EQ(decide(held, &(ws_decision){.accept = true}), WS_HELD_EXPIRED);
    ws_held_drop(held);
    ws_held_unref(held);
    (void)let_expire(&w, false);
    CHECK(!has_event(&w)); // it has vanished
    CHECK_EQ(waiting(&w), 0);
    CHECK(WIRE_COUNTED(&w, timeouts) >= 2);
    CHECK_EQ(WIRE_COUNTED(&w, refused_handshakes), WIRE_COUNTED(&w, timeouts));
    (void)wire_close(&w);
}

static void
who_leaves_before_it_was_asked_about_is_never_asked_about(void)
{
    wire w = open_asking();
    peer p = ask(&w);
    WITHIN(waiting(&w) == 1, 10);
    peer_close(&p);
    WITHIN(waiting(&w) == 0, 10);
    CHECK(!has_event(&w));
    CHECK_EQ(WIRE_COUNTED(&w, failed_handshakes), 1);
    CHECK_EQ(WIRE_COUNTED(&w, refused_handshakes), 0);
    (void)wire_close(&w);
}

static void
check_leaving(bool unix_socket, void (*leave)(peer *p))
{
    wire_setup setup = asking();
    setup.unix_socket = unix_socket;
    wire w = wire_open(&setup);
    peer p = ask(&w);
    ws_held *held = asked(&w);
    leave(&p);
    WITHIN(ws_held_get_state(held) == WS_HELD_GONE, 10);
    CHECK_EQ(decide(held, &(ws_decision){.accept = true}), WS_HELD_GONE);
    ws_held_unref(held);
    WITHIN(WIRE_COUNTED(&w, connections) == 0, 10);
    CHECK_EQ(WIRE_COUNTED(&w, failed_handshakes), 1);
    CHECK(!has_event(&w));
    (void)wire_close(&w);
}

static void
shut_and_close(peer *p)
{
    peer_shut(p);
    peer_expect_end(p);
    peer_close(p);
}

static void
speak_and_close(peer *p)
{
    peer_text(p, "unread");
    peer_close(p);
}

static void
who_leaves_while_it_is_asked_about_is_noticed(void)
{
    check_leaving(false, peer_close);
    check_leaving(false, peer_reset);
    check_leaving(false, shut_and_close);
    check_leaving(false, speak_and_close);
    check_leaving(true, peer_close);
    check_leaving(true, shut_and_close);
}

static void
who_leaves_at_once_is_noticed(void)
{
    enum { TIMES = 50 };
    wire w = open_asking();
    for (int i = 0; i < TIMES; i++) {
        peer p = ask(&w);
        peer_close(&p);
    }
    WITHIN(WIRE_COUNTED(&w, accepted_connections) == TIMES &&
               WIRE_COUNTED(&w, connections) == 0,
           10);
    CHECK(!has_event(&w));
    CHECK_EQ(waiting(&w), 0);
    (void)wire_close(&w);
}

/* ---- how many */

static void
so_many_may_wait_and_no_more(void)
{
    enum { MOST = 3 };
    wire_setup setup = asking();
    setup.limits.max_handshakes = MOST;
    wire w = wire_open(&setup);
    peer peers[MOST];
    for (int i = 0; i < MOST; i++) {
        peers[i] = ask(&w);
    }
    WITHIN(waiting(&w) == MOST, 10);
    peer late = ask(&w);
    CHECK_EQ(peer_answer(&late, false, NULL, NULL), 503);
    peer_close(&late);
    CHECK_EQ(waiting(&w), MOST);

    for (int i = 0; i < MOST; i++) {
        turn_away(asked(&w));
    }
    for (int i = 0; i < MOST; i++) {
        CHECK_EQ(peer_answer(&peers[i], false, NULL, NULL), 403);
        peer_close(&peers[i]);
    }
    late = ask(&w); // there is room again
    let_in(asked(&w), "a");
    (void)peer_expect_switch(&late);
    peer_leave(&late);
    (void)wire_close(&w);
}

/* By any thread, while a third of the clients leaves and a third has to wait
   for room. */
enum { CROWD = 300 };

static void *
decide_all(void *arg)
{
    const wire *w = arg;
    size_t decided = 0;
    ws_event event;
    while (ws_hub_present(w->hub) > 0 ||
           !ws_evq_takes(ws_hub_events(w->hub)) ||
           WIRE_COUNTED(w, accepted_connections) < CROWD ||
           WIRE_COUNTED(w, connections) > 0) {
        if (!ws_hub_take_event(w->hub, &event)) {
            (void)usleep(100);
            continue;
        }
        if (event.kind == WS_EVENT_AUTHORIZE) {
            ws_decision what = {.accept = decided % 2 == 0, .status = 403};
            (void)decide(event.held, &what);
            decided++;
        } else if (event.kind == WS_EVENT_CONNECTED) {
            ws_err err =
                ws_hub_close_client(event.client, 1000, wire_text(""));
            CHECK(err == WS_OK || err == WS_ERR_CLOSED);
        }
        ws_event_release(&event);
    }
    return NULL;
}

static void
decisions_and_departures_may_come_at_the_same_time(void)
{
    wire_setup setup = asking();
    setup.limits.max_handshakes = CROWD / 3;
    wire w = wire_open(&setup);
    pthread_t threads[2];
    for (size_t i = 0; i < WIRE_COUNT_OF(threads); i++) {
        CHECK_EQ(pthread_create(&threads[i], NULL, decide_all, &w), 0);
    }
    static peer peers[CROWD];
    for (int i = 0; i < CROWD; i++) {
        peers[i] = ask(&w);
        if (i >= 20 && i % 3 == 0) {
            peer_close(&peers[i - 20]);
        }
    }
    for (int i = 0; i < CROWD; i++) {
        if (peers[i].fd >= 0) {
            peer_close(&peers[i]);
        }
    }
    for (size_t i = 0; i < WIRE_COUNT_OF(threads); i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
    CHECK_EQ(waiting(&w), 0);
    (void)wire_close(&w);
}

static void
who_waits_is_counted_against_its_address(void)
{
    static const char *const proxies[] = {"127.0.0.1"};
    static const char from[] = "X-Forwarded-For: 10.0.0.1\r\n";
    wire_setup setup = asking();
    setup.config.trusted_proxies = proxies;
    setup.config.trusted_proxy_count = 1;
    setup.config.max_clients_per_ip = 1;
    wire w = wire_open(&setup);
    peer first = ask_with(&w, "/", from);
    ws_held *held = asked(&w);
    CHECK_STR_EQ(held->info.remote.data, "10.0.0.1");
    peer second = ask_with(&w, "/", from);
    CHECK_EQ(peer_answer(&second, false, NULL, NULL), 503);
    peer_close(&second);
    turn_away(held);
    CHECK_EQ(peer_answer(&first, false, NULL, NULL), 403);
    peer_close(&first);

    peer third = ask_with(&w, "/", from);
    let_in(asked(&w), "a");
    (void)peer_expect_switch(&third);
    peer_leave(&third);
    (void)wire_close(&w);
}

static void
more_than_max_clients_is_503_once_it_is_accepted(void)
{
    wire_setup setup = asking();
    setup.limits.max_clients = 1;
    wire w = wire_open(&setup);
    peer first = ask(&w);
    let_in(asked(&w), "a");
    (void)peer_expect_switch(&first);
    wire_expect_event(&w, WS_EVENT_CONNECTED);
    peer second = ask(&w);
    let_in(asked(&w), "b");
    CHECK_EQ(peer_answer(&second, false, NULL, NULL), 503);
    peer_close(&second);
    peer_leave(&first);
    (void)wire_close(&w);
}

/* ---- around it */

static void
nobody_is_asked_about_who_breaks_the_rules(void)
{
    wire_setup setup = asking();
    static const char *const origins[] = {"https://example.com"};
    setup.config.origins = origins;
    setup.config.origin_count = 1;
    setup.path = "/ws";
    wire w = wire_open(&setup);
    static const struct {
        const char *target, *headers;
        int status;
    } cases[] = {
        {"/", "Origin: https://example.com\r\n", 404},
        {"/ws", "Origin: https://evil.example\r\n", 403},
        {"/ws", "Content-Length: 1\r\n", 400},
    };
    for (size_t i = 0; i < WIRE_COUNT_OF(cases); i++) {
        peer p = ask_with(&w, cases[i].target, cases[i].headers);
        CHECK_EQ(peer_answer(&p, false, NULL, NULL), cases[i].status);
        peer_close(&p);
    }
    CHECK(!has_event(&w));
    (void)wire_close(&w);
}

static void
they_wait_for_the_first_that_takes_events(void)
{
    wire_setup setup = asking();
    setup.events = false;
    wire w = wire_open(&setup);
    peer p = ask(&w);
    WITHIN(waiting(&w) == 1, 10);
    ws_hub_start_events(w.hub);
    let_in(asked(&w), "a");
    (void)peer_expect_switch(&p);
    peer_leave(&p);
    (void)wire_close(&w);
}

static void
the_end_of_the_server_is_503(void)
{
    wire w = open_asking();
    peer taken = ask(&w);
    ws_held *held = asked(&w);
    peer untaken = ask(&w);
    WITHIN(waiting(&w) == 2, 10);
    ws_crew_close(w.crew, 1001, wire_text("bye"));
    CHECK_EQ(peer_answer(&taken, false, NULL, NULL), 503);
    CHECK_EQ(peer_answer(&untaken, false, NULL, NULL), 503);
    CHECK_EQ(decide(held, &(ws_decision){.accept = true}), WS_HELD_GONE);
    peer_close(&taken);
    peer_close(&untaken);
    CHECK_EQ(ws_crew_wait(w.crew, wire_deadline()), WS_OK);
    CHECK_EQ(decide(held, &(ws_decision){.accept = true}), WS_HELD_GONE);
    ws_held_unref(held);
    CHECK(!has_event(&w));
    (void)wire_close(&w);
}

static void
a_server_that_is_killed_forgets_them(void)
{
    wire w = open_asking();
    peer p = ask(&w);
    ws_held *held = asked(&w);
    peer other = ask(&w);
    WITHIN(waiting(&w) == 2, 10);
    ws_crew_kill(w.crew);
    CHECK_EQ(ws_crew_wait(w.crew, wire_deadline()), WS_OK);
    CHECK_EQ(ws_held_get_state(held), WS_HELD_GONE);
    ws_held_drop(held);
    ws_held_unref(held);
    peer_expect_end(&p);
    peer_close(&p);
    peer_close(&other);
    CHECK_EQ(waiting(&w), 0);
    (void)wire_close(&w);
}

/* Whichever comes first, both come to their end. */
static void
a_decision_may_come_with_the_end_of_the_server(void)
{
    enum { TIMES = 20 };
    for (int i = 0; i < TIMES; i++) {
        wire w = open_asking();
        peer p = ask(&w);
        ws_held *held = asked(&w);
        ws_decision what = {.accept = i % 2 == 0, .status = 403};
        (void)decide(held, &what);
        ws_crew_close(w.crew, 1001, wire_text("bye"));
        ws_held_unref(held);
        CHECK(peer_receive(&p) > 0); // it is answered in any case
        peer_close(&p);
        CHECK_EQ(ws_crew_wait(w.crew, wire_deadline()), WS_OK);
        (void)wire_close(&w);
    }
}

static void
a_fork_leaves_them_alone(void)
{
    wire w = open_asking();
    peer p = ask(&w);
    ws_held *held = asked(&w);
    wire_fork(0);
    let_in(held, "a");
    (void)peer_expect_switch(&p);
    peer_leave(&p);
    (void)wire_close(&w);
}

static const ws_test tests[] = {
    TEST(an_accepted_client_has_all_that_was_decided),
    TEST(without_a_word_the_id_is_ours_and_the_subprotocol_the_servers),
    TEST(frames_that_come_too_early_are_read_once_it_is_accepted),
    TEST(a_close_that_comes_too_early_ends_what_was_accepted),
    TEST(compression_is_agreed_on_as_ever),
    TEST(an_id_in_use_is_409),
    TEST(who_replaces_another_is_told_of_behind_its_end),
    TEST(nobody_is_replaced_where_there_is_no_room),
    TEST(a_rejected_client_gets_the_whole_answer),
    TEST(as_much_as_may_be_said_fits),
    TEST(a_close_code_opens_and_closes_and_there_never_was_a_client),
    TEST(who_is_closed_at_once_may_go_without_a_close),
    TEST(with_a_close_code_the_first_offer_is_agreed_on),
    TEST(one_that_nobody_wants_to_decide_on_is_503),
    TEST(undecided_it_is_503_in_the_end),
    TEST(who_leaves_before_it_was_asked_about_is_never_asked_about),
    TEST(who_leaves_while_it_is_asked_about_is_noticed),
    TEST(who_leaves_at_once_is_noticed),
    TEST(so_many_may_wait_and_no_more),
    TEST(decisions_and_departures_may_come_at_the_same_time),
    TEST(who_waits_is_counted_against_its_address),
    TEST(more_than_max_clients_is_503_once_it_is_accepted),
    TEST(nobody_is_asked_about_who_breaks_the_rules),
    TEST(they_wait_for_the_first_that_takes_events),
    TEST(the_end_of_the_server_is_503),
    TEST(a_server_that_is_killed_forgets_them),
    TEST(a_decision_may_come_with_the_end_of_the_server),
    TEST(a_fork_leaves_them_alone),
};

TEST_MAIN(tests)
