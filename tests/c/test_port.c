#include "wire.h"

static ws_port *
add_port(const wire *w, bool unix_socket, const char *path)
{
    ws_port *port = NULL;
    ws_listener *listener = wire_listener(unix_socket);
    CHECK(listener != NULL);
    CHECK_EQ(
        ws_crew_listen_tls(w->crew, listener, path, wire_identity(), &port),
        WS_OK);
    return port;
}

static peer
open_at(ws_port *port, const char *target)
{
    peer p = peer_dial_port(port, 0);
    peer_say(&p, peer_request(target, ""));
    (void)peer_expect_switch(&p);
    return p;
}

static bool
refuses(ws_port *port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(ws_port_addr(port)->port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = connect(fd, (struct sockaddr *)&address, sizeof address);
    bool refused = rc != 0 && errno == ECONNREFUSED;
    CHECK_EQ(close(fd), 0);
    return refused;
}

static void
several_ports_lead_to_one_hub(void)
{
    wire w = wire_open_default();
    ws_port *second = add_port(&w, false, NULL);
    ws_port *third = add_port(&w, true, NULL);
    CHECK(ws_port_addr(w.port)->port != ws_port_addr(second)->port);
    CHECK_EQ(ws_port_addr(third)->family, AF_UNIX);
    peer peers[3] = {peer_open(&w, "/?id=1"), open_at(second, "/?id=2"),
                     open_at(third, "/?id=3")};
    WITHIN(ws_hub_size(w.hub) == 3, 10);
    ws_msg *msg = ws_message_new(WS_MESSAGE_TEXT, "all", 3, NULL);
    ws_report report = {0};
    ws_fan_out(w.hub, (ws_target){.kind = WS_TO_ALL}, msg,
               &(ws_exclude){NULL, 0}, &report);
    CHECK_EQ(report.queued, 3);
    ws_report_release(&report);
    ws_msg_unref(msg);
    for (int i = 0; i < 3; i++) {
        peer_expect_text(&peers[i], "all");
        peer_leave(&peers[i]);
    }
    ws_port_unref(second);
    ws_port_unref(third);
    (void)wire_close(&w);
}

static void
each_port_has_its_own_path(void)
{
    wire w = wire_open_default();
    ws_port *chat = add_port(&w, false, "/chat");
    peer p = open_at(chat, "/chat?id=a");
    peer_leave(&p);
    p = peer_dial_port(chat, 0);
    peer_say(&p, peer_request("/other", ""));
    CHECK_EQ(peer_answer(&p, false, NULL, NULL), 404);
    peer_close(&p);
    p = peer_open(&w, "/other");
    peer_leave(&p);
    ws_port_unref(chat);
    (void)wire_close(&w);
}

static void
closing_a_port_keeps_its_connections(void)
{
    wire w = wire_open_default();
    ws_port *second = add_port(&w, false, "/chat");
    peer p = open_at(second, "/chat?id=a");
    peer half = peer_dial_port(second, 0);
    peer_say(&half, "GET /chat?id=b HTTP/1.1\r\n");
    WITHIN(WIRE_COUNTED(&w, accepted_connections) == 2, 10);
    ws_port_close(second);
    ws_port_close(second);
    CHECK(refuses(second));
    ws_client *client = wire_client(&w, "a");
    CHECK_EQ(wire_send_text(client, "still here"), WS_OK);
    peer_expect_text(&p, "still here");
    ws_client_unref(client);
    ws_port_unref(second); // its connections still need the path
    peer_say(&half, strchr(peer_request("", ""), '\n') + 1);
    (void)peer_expect_switch(&half);
    peer_leave(&half);
    peer_leave(&p);
    p = peer_open(&w, "/?id=a");
    peer_leave(&p);
    (void)wire_close(&w);
}

static void
a_unix_file_goes_with_its_port(void)
{
    wire w = wire_open_default();
    ws_port *port = add_port(&w, true, NULL);
    const char *path = ws_port_addr(port)->text + strlen("unix:");
    CHECK_EQ(access(path, F_OK), 0);
    ws_port_close(port);
    CHECK_EQ(access(path, F_OK), -1);
    ws_port_unref(port);
    port = add_port(&w, true, NULL);
    ws_port_unref(port);
    (void)wire_close(&w);
    char again[64];
    (void)snprintf(again, sizeof again, "/tmp/wssend-wire-%d", (int)getpid());
    CHECK_EQ(access(again, F_OK), -1); // with the pump, at the latest
}

/* Whatever the pump has come to, a listener that it was given is its own. */
static void
listening_and_closing_after_the_end_do_no_harm(void)
{
    wire w = wire_open_default();
    ws_port *port = NULL;
    ws_port *early = add_port(&w, false, NULL);
    ws_crew_kill(w.crew);
    CHECK_EQ(ws_crew_wait(w.crew, wire_deadline()), WS_OK);
    CHECK_EQ(ws_crew_listen(w.crew, wire_listener(false), "/x", &port),
             WS_ERR_HUB_CLOSED);
    CHECK(port == NULL);
    CHECK(refuses(early));
    ws_port_close(early);
    ws_port_unref(early);
    ws_port_unref(NULL);
    (void)wire_close(&w);
}

static void
listening_while_draining_is_refused(void)
{
    wire w = wire_open_default();
    ws_port *port = NULL;
    peer p = peer_open(&w, "/?id=a");
    ws_crew_close(w.crew, 1001, wire_text(""));
    peer_expect_close(&p, 1001, "");
    CHECK_EQ(ws_crew_listen(w.crew, wire_listener(false), NULL, &port),
             WS_ERR_HUB_CLOSED);
    CHECK(refuses(w.port));
    peer_close_frame(&p, 1001, "");
    peer_expect_eof(&p);
    peer_close(&p);
    (void)wire_close(&w);
}

static void
no_memory_for_a_port_closes_the_listener(void)
{
    wire w = wire_open_default();
    for (long n = 0; n < 2; n++) {
        ws_port *port = NULL;
        ws_listener *listener = wire_listener(false);
        int fd = ws_listener_fd(listener);
        ws_alloc_fail_at(n);
        CHECK_EQ(ws_crew_listen(w.crew, listener, "/x", &port), WS_ERR_NOMEM);
        ws_alloc_fail_at(-1);
        CHECK_EQ(fcntl(fd, F_GETFD), -1);
    }
    (void)wire_close(&w);
}

typedef struct opener {
    const wire *w;
    pthread_t thread;
} opener;

static void *
open_and_close(void *arg)
{
    const opener *o = arg;
    for (int i = 0; i < 50; i++) {
        ws_port *port = add_port(o->w, false, "/");
        peer p = peer_dial_port(port, 0);
        ws_port_close(port);
        ws_port_unref(port);
        peer_close(&p);
    }
    return NULL;
}

static void
ports_come_and_go_from_many_threads(void)
{
    enum { THREADS = 4 };
    wire w = wire_open_default();
    opener openers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        openers[i].w = &w;
        CHECK_EQ(pthread_create(&openers[i].thread, NULL, open_and_close,
                                &openers[i]),
                 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK_EQ(pthread_join(openers[i].thread, NULL), 0);
    }
    (void)wire_close(&w);
}

static const ws_test tests[] = {
    TEST(several_ports_lead_to_one_hub),
    TEST(each_port_has_its_own_path),
    TEST(closing_a_port_keeps_its_connections),
    TEST(a_unix_file_goes_with_its_port),
    TEST(listening_and_closing_after_the_end_do_no_harm),
    TEST(listening_while_draining_is_refused),
    TEST(no_memory_for_a_port_closes_the_listener),
    TEST(ports_come_and_go_from_many_threads),
};

TEST_MAIN(tests)
