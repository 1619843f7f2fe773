/* TLS as its ports speak it; test_outbox and its like run over TLS besides. */
#include "net/tls.h"

#include <libwebsockets.h>

#include "net/crew.h"
#include "wire.h"

static ws_identity *
load(const char *cert, const char *key, const char *ca)
{
    ws_identity_error error;
    ws_identity_files files = {cert, key, ca};
    ws_identity *identity = ws_identity_load(&files, &error);
    CHECK(identity != NULL);
    return identity;
}

/* Self-signed, in the name of `name`. Takes over `key`. */
static ws_identity *
identity_with(EVP_PKEY *key, const char *name)
{
    pem_pair pair = pem_make_with(key, name, NULL, false);
    ws_identity *identity = load(pem_write_pair("pair", &pair), NULL, NULL);
    pem_free(&pair);
    return identity;
}

static ws_identity *
identity_of(const char *name)
{
    return identity_with(pem_ec_key(), name);
}

/* Everything speaks TLS from here on. */
static wire
open_with(const wire_setup *setup)
{
    CHECK_EQ(setenv("WSSEND_WIRE", "tls1.3", 1), 0);
    return wire_open(setup);
}

static wire
open_default(void)
{
    wire_setup setup = wire_defaults();
    return open_with(&setup);
}

static ws_port *
add_port(const wire *w, ws_identity *identity)
{
    ws_port *port = NULL;
    ws_listener *listener = wire_listener(false);
    CHECK_EQ(ws_crew_listen_tls(w->crew, listener, NULL, identity, &port),
             WS_OK);
    return port;
}

static SSL_CTX *
client_ctx(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    CHECK(ctx != NULL);
    return ctx;
}

/* Connected, without TLS, with `buffer` as in peer_dial_port. */
static peer
dial_small(const ws_port *port, int buffer)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(ws_port_addr(port)->port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    return peer_connect_bare((struct sockaddr *)&address, sizeof address,
                             buffer);
}

static peer
dial_bare(const ws_port *port)
{
    return dial_small(port, 0);
}

/* Connected, with TLS of the test's own. */
static peer
dial_with(const ws_port *port, SSL_CTX *ctx)
{
    peer p = dial_bare(port);
    peer_tls_begin(&p, ctx);
    return p;
}

static void
open_session(peer *p, const char *target)
{
    peer_say(p, peer_request(target, ""));
    (void)peer_expect_switch(p);
}

static bool
shows(const peer *p, const char *name)
{
    char got[64] = "";
    X509 *cert = SSL_get1_peer_certificate(p->ssl);
    CHECK(cert != NULL);
    (void)X509_NAME_get_text_by_NID(X509_get_subject_name(cert),
                                    NID_commonName, got, sizeof got);
    X509_free(cert);
    return strcmp(got, name) == 0;
}

/* A new handshake at the port is shown a certificate in that name. */
static void
expect_shown(const ws_port *port, const char *name)
{
    SSL_CTX *ctx = client_ctx();
    peer p = dial_with(port, ctx);
    CHECK(peer_tls_shake(&p));
    CHECK(shows(&p, name));
    peer_close(&p);
    SSL_CTX_free(ctx);
}

/* ---- versions */

static void
a_session_in(int version)
{
    static uint8_t big[300000];
    wire w = open_default();
    SSL_CTX *ctx = client_ctx();
    CHECK_EQ(SSL_CTX_set_max_proto_version(ctx, version), 1);
    peer p = dial_with(w.port, ctx);
    open_session(&p, "/?id=a");
    CHECK_EQ(SSL_version(p.ssl), version);
    ws_client *client = wire_client(&w, "a");
    CHECK_EQ(wire_send_text(client, "hello"), WS_OK);
    peer_expect_text(&p, "hello");
    CHECK_EQ(wire_send(client, WS_MESSAGE_BINARY, big, sizeof big), WS_OK);
    peer_expect(&p, PEER_BINARY, big, sizeof big);
    peer_frame_out(&p, PEER_PING, "you?", 4);
    peer_expect(&p, PEER_PONG, "you?", 4);
    ws_client_unref(client);
    peer_leave(&p);
    SSL_CTX_free(ctx);
    (void)wire_close(&w);
}

static void
tls_1_3_works(void)
{
    a_session_in(TLS1_3_VERSION);
}

static void
tls_1_2_works(void)
{
    a_session_in(TLS1_2_VERSION);
}

static void
older_versions_are_refused(void)
{
    wire w = open_default();
    SSL_CTX *ctx = client_ctx();
    SSL_CTX_set_security_level(ctx, 0);
    CHECK_EQ(SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION), 1);
    CHECK_EQ(SSL_CTX_set_max_proto_version(ctx, TLS1_1_VERSION), 1);
    peer p = dial_with(w.port, ctx);
    CHECK(!peer_tls_shake(&p));
    peer_close(&p);
    SSL_CTX_free(ctx);
    WITHIN(WIRE_COUNTED(&w, failed_handshakes) == 1, 10);
    (void)wire_close(&w);
}

static void
http_1_1_is_chosen_and_nothing_else(void)
{
    wire w = open_default();
    const unsigned char *chosen = NULL;
    unsigned size = 0;
    SSL_CTX *ctx = client_ctx();
    peer p = dial_with(w.port, ctx); // offers h2, too
    CHECK(peer_tls_shake(&p));
    SSL_get0_alpn_selected(p.ssl, &chosen, &size);
    CHECK_EQ(size, 8);
    CHECK_MEM_EQ(chosen, "http/1.1", 8);
    open_session(&p, "/");
    peer_leave(&p);

    p = dial_with(w.port, ctx);
    CHECK_EQ(SSL_set_alpn_protos(p.ssl, (const uint8_t *)"\x02h2", 3), 0);
    open_session(&p, "/");
    SSL_get0_alpn_selected(p.ssl, &chosen, &size);
    CHECK_EQ(size, 0);
    peer_leave(&p);
    SSL_CTX_free(ctx);
    (void)wire_close(&w);
}

static void
nothing_can_be_resumed(void)
{
    wire w = open_default();
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < WIRE_COUNT_OF(versions); i++) {
        SSL_CTX *ctx = client_ctx();
        CHECK_EQ(SSL_CTX_set_max_proto_version(ctx, versions[i]), 1);
        peer p = dial_with(w.port, ctx);
        open_session(&p, "/");
        SSL_SESSION *session = SSL_get1_session(p.ssl);
        CHECK_EQ(SSL_SESSION_has_ticket(session), 0);
        peer_leave(&p);
        p = dial_with(w.port, ctx);
        CHECK_EQ(SSL_set_session(p.ssl, session), 1);
        open_session(&p, "/");
        CHECK_EQ(SSL_session_reused(p.ssl), 0);
        peer_leave(&p);
        SSL_SESSION_free(session);
        SSL_CTX_free(ctx);
    }
    (void)wire_close(&w);
}

static void
a_client_cannot_renegotiate(void)
{
    wire w = open_default();
    SSL_CTX *ctx = client_ctx();
    CHECK_EQ(SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION), 1);
    peer p = dial_with(w.port, ctx);
    open_session(&p, "/");
    CHECK_EQ(SSL_renegotiate(p.ssl), 1);
    int done = 0;
    do {
        done = SSL_do_handshake(p.ssl);
    } while (done != 1 && peer_tls_wait(&p, done));
    CHECK(done != 1);
    peer_close(&p);
    SSL_CTX_free(ctx);
    (void)wire_close(&w);
}

/* ---- identities */

/* Root, what it has signed, and what that has signed: a client knows only the
   first. */
static void
the_whole_chain_is_served(void)
{
    pem_pair root = pem_make("root", NULL, true);
    pem_pair middle = pem_make("middle", &root, true);
    pem_pair leaf = pem_make("leaf", &middle, false);
    (void)pem_write_cert("chain", "w", leaf.cert);
    const char *chain = pem_write_cert("chain", "a", middle.cert);
    const char *key = pem_write_key("key", "w", leaf.key, NULL);
    wire w = open_default();
    ws_port *port = add_port(&w, load(chain, key, NULL));

    SSL_CTX *ctx = client_ctx();
    CHECK_EQ(X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), root.cert), 1);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    peer p = dial_with(port, ctx);
    open_session(&p, "/");
    CHECK_EQ(sk_X509_num(SSL_get_peer_cert_chain(p.ssl)), 2);
    peer_leave(&p);
    SSL_CTX_free(ctx);
    pem_free(&root);
    pem_free(&middle);
    pem_free(&leaf);
    ws_port_unref(port);
    (void)wire_close(&w);
}

static void
each_port_has_its_own_certificate(void)
{
    wire w = open_default();
    ws_port *one = add_port(&w, identity_of("one"));
    ws_port *two = add_port(&w, identity_of("two"));
    expect_shown(one, "one");
    expect_shown(two, "two");
    expect_shown(w.port, "localhost");
    ws_port_close(one);
    expect_shown(two, "two");
    ws_port_unref(one);
    ws_port_unref(two);
    (void)wire_close(&w);
}

static void
a_new_identity_is_for_new_handshakes(void)
{
    wire w = open_default();
    peer before = peer_open(&w, "/?id=a");
    ws_client *client = wire_client(&w, "a");
    SSL_CTX *ctx = client_ctx();
    peer waiting = dial_with(w.port, ctx);
    CHECK_EQ(ws_port_set_identity(w.port, identity_of("new")), WS_OK);
    expect_shown(w.port, "new");
    open_session(&waiting, "/");
    CHECK(shows(&waiting, "new"));
    CHECK_EQ(wire_send_text(client, "still here"), WS_OK);
    peer_expect_text(&before, "still here");
    CHECK(shows(&before, "localhost"));
    ws_client_unref(client);
    peer_leave(&before);
    peer_leave(&waiting);
    SSL_CTX_free(ctx);
    (void)wire_close(&w);
}

/* OpenSSL keeps a certificate of each type of key in a context, and shows the
   one that the client likes best. */
static void
a_new_identity_may_have_another_type_of_key(void)
{
    wire w = open_default();
    CHECK_EQ(
        ws_port_set_identity(w.port, identity_with(EVP_RSA_gen(2048), "rsa")),
        WS_OK);
    expect_shown(w.port, "rsa");
    CHECK_EQ(ws_port_set_identity(w.port, identity_of("ec")), WS_OK);
    expect_shown(w.port, "ec");
    CHECK_EQ(ws_port_set_identity(
                 w.port, identity_with(EVP_RSA_gen(2048), "rsa again")),
             WS_OK);
    expect_shown(w.port, "rsa again");
    (void)wire_close(&w);
}

/* Moves what `from` has for the server, or the other way round. */
static void
carry(const peer *p, BIO *bio, bool out)
{
    char bytes[8192];
    if (out) {
        int size = BIO_read(bio, bytes, sizeof bytes);
        CHECK(size > 0);
        peer_send(&(peer){.fd = p->fd}, bytes, (size_t)size);
    } else {
        peer_wait(p, POLLIN);
        ssize_t size = recv(p->fd, bytes, sizeof bytes, 0);
        CHECK(size > 0);
        CHECK_EQ(BIO_write(bio, bytes, (int)size), size);
    }
}

/* The server has shown its certificate, and the client's answer is to come. */
static void
a_handshake_survives_a_change_in_its_middle(void)
{
    wire w = open_default();
    SSL_CTX *ctx = client_ctx();
    peer p = dial_with(w.port, ctx);
    BIO *in = BIO_new(BIO_s_mem());
    BIO *out = BIO_new(BIO_s_mem());
    SSL_set_bio(p.ssl, in, out);
    CHECK(SSL_do_handshake(p.ssl) != 1);
    carry(&p, out, true); // the hello
    peer_wait(&p, POLLIN);
    CHECK_EQ(ws_port_set_identity(w.port, identity_of("new")), WS_OK);
    while (SSL_do_handshake(p.ssl) != 1) {
        carry(&p, in, false);
    }
    CHECK(shows(&p, "localhost"));
    carry(&p, out, true);
    const char *request = peer_request("/?id=a", "");
    CHECK(SSL_write(p.ssl, request, (int)strlen(request)) > 0);
    carry(&p, out, true);
    ws_client_unref(wire_client(&w, "a"));
    peer_close(&p);
    SSL_CTX_free(ctx);
    (void)wire_close(&w);
}

/* Two threads give it an identity at the same time. */
typedef struct giver {
    ws_port *port;
    ws_identity *identity;
    pthread_barrier_t *both;
} giver;

static void *
give_identity(void *arg)
{
    const giver *g = arg;
    (void)pthread_barrier_wait(g->both);
    CHECK_EQ(ws_port_set_identity(g->port, g->identity), WS_OK);
    return NULL;
}

static void
give_both(ws_port *port, const ws_identity *one, const ws_identity *two)
{
    pthread_barrier_t both;
    pthread_t thread;
    CHECK_EQ(pthread_barrier_init(&both, NULL, 2), 0);
    giver first = {port, ws_identity_twin(one), &both};
    giver second = {port, ws_identity_twin(two), &both};
    CHECK_EQ(pthread_create(&thread, NULL, give_identity, &first), 0);
    (void)give_identity(&second);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(pthread_barrier_destroy(&both), 0);
}

/* How many of new handshakes, one on each pump, are shown that name. */
static size_t
count_shown(const ws_port *port, const char *name)
{
    enum { PUMPS = 3 };
    SSL_CTX *ctx = client_ctx();
    peer peers[PUMPS];
    size_t shown = 0;
    for (size_t i = 0; i < PUMPS; i++) {
        peers[i] = dial_with(port, ctx);
        CHECK(peer_tls_shake(&peers[i]));
        shown += shows(&peers[i], name);
    }
    for (size_t i = 0; i < PUMPS; i++) {
        peer_close(&peers[i]);
    }
    SSL_CTX_free(ctx);
    return shown;
}

static void
of_two_identities_given_at_once_all_pumps_show_the_same(void)
{
    wire_setup setup = wire_defaults();
    setup.config.pumps = 3;
    wire w = open_with(&setup);
    ws_identity *one = identity_of("one");
    ws_identity *two = identity_of("two");
    for (int times = 0; times < 30; times++) {
        give_both(w.port, one, two);
        size_t shown = count_shown(w.port, "one");
        CHECK(shown == 0 || shown == 3);
        WITHIN(WIRE_COUNTED(&w, connections) == 0, 10);
    }
    ws_identity_free(one);
    ws_identity_free(two);
    (void)wire_close(&w);
}

static void
a_closed_port_takes_no_identity(void)
{
    wire w = open_default();
    ws_port *port = add_port(&w, identity_of("one"));
    ws_port_close(port);
    CHECK_EQ(ws_port_set_identity(port, identity_of("two")), WS_ERR_NOT_FOUND);
    ws_crew_kill(w.crew);
    CHECK_EQ(ws_crew_wait(w.crew, wire_deadline()), WS_OK);
    CHECK_EQ(ws_port_set_identity(w.port, identity_of("two")),
             WS_ERR_HUB_CLOSED);
    ws_port_unref(port);
    (void)wire_close(&w);
}

/* ---- certificates of clients */

/* Whether a client is let in that shows `pair`, which may be NULL. */
static bool
lets_in(const ws_port *port, int version, const pem_pair *pair)
{
    SSL_CTX *ctx = client_ctx();
    CHECK_EQ(SSL_CTX_set_max_proto_version(ctx, version), 1);
    if (pair != NULL) {
        CHECK_EQ(SSL_CTX_use_certificate(ctx, pair->cert), 1);
        CHECK_EQ(SSL_CTX_use_PrivateKey(ctx, pair->key), 1);
    }
    peer p = dial_with(port, ctx);
    const char *request = peer_request("/", "");
    // In TLS 1.3 the client learns it after its handshake.
    bool in = peer_tls_try_send(&p, request, strlen(request)) > 0 &&
              peer_receive(&p) > 0;
    peer_close(&p);
    SSL_CTX_free(ctx);
    return in;
}

static void
a_client_needs_a_certificate_where_that_is_asked_for(void)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    pem_pair root = pem_make("root", NULL, true);
    pem_pair good = pem_make("good", &root, false);
    pem_pair stranger = pem_make("stranger", NULL, false);
    const char *own = pem_write_pair("own", &stranger);
    const char *ca = pem_write_cert("ca", "w", root.cert);
    wire w = open_default();
    ws_port *port = add_port(&w, load(own, NULL, ca));
    for (size_t i = 0; i < WIRE_COUNT_OF(versions); i++) {
        CHECK(lets_in(port, versions[i], &good));
        CHECK(!lets_in(port, versions[i], NULL));
        CHECK(!lets_in(port, versions[i], &stranger));
        CHECK(lets_in(w.port, versions[i], NULL));
    }
    WITHIN(WIRE_COUNTED(&w, failed_handshakes) == 4, 10);

    // Others may vouch after a change.
    ca = pem_write_cert("ca", "w", stranger.cert);
    CHECK_EQ(ws_port_set_identity(port, load(own, NULL, ca)), WS_OK);
    CHECK(!lets_in(port, TLS1_3_VERSION, &good));
    CHECK(lets_in(port, TLS1_3_VERSION, &stranger));
    pem_free(&root);
    pem_free(&good);
    pem_free(&stranger);
    ws_port_unref(port);
    (void)wire_close(&w);
}

/* ---- what is no TLS, or only begins to be */

/* What comes back is an alert at most, and then the end. */
static void
expect_no_words(peer *p)
{
    while (peer_receive(p) > 0) {
    }
    CHECK(p->end == p->at || p->in[p->at] == 0x15);
    peer_close(p);
}

static void
whatever_is_no_tls_is_cut(void)
{
    static const struct {
        const char *what;
        const char *bytes;
        size_t size;
    } all[] = {
        {"plain HTTP", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 36},
        {"zeros", "\0\0\0\0\0\0\0\0\0\0\0\0", 12},
        {"a record of another kind", "\x17\x03\x03\x00\x05hello", 10},
        {"a hello of nonsense", "\x16\x03\x01\x00\x05\x01\xff\xff\xff\xff",
         10},
    };
    wire w = open_default();
    for (size_t i = 0; i < WIRE_COUNT_OF(all); i++) {
        fprintf(stderr, "%s\n", all[i].what);
        peer p = dial_bare(w.port);
        peer_send(&p, all[i].bytes, all[i].size);
        expect_no_words(&p);
    }
    WITHIN(WIRE_COUNTED(&w, failed_handshakes) == WIRE_COUNT_OF(all), 10);
    peer p = peer_open(&w, "/");
    peer_leave(&p);
    (void)wire_close(&w);
}

/* The client's first flight as bytes. */
static int
take_hello(SSL_CTX *ctx, uint8_t *into, int size)
{
    SSL *ssl = SSL_new(ctx);
    BIO *out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
    SSL_set_connect_state(ssl);
    CHECK(SSL_do_handshake(ssl) != 1);
    int got = BIO_read(out, into, size);
    CHECK(got > 100);
    SSL_free(ssl);
    return got;
}

/* However far a handshake has come. */
static void
a_handshake_that_is_left_is_cut_without_a_word(void)
{
    uint8_t hello[1024];
    SSL_CTX *ctx = client_ctx();
    size_t size = (size_t)take_hello(ctx, hello, sizeof hello);
    wire_setup setup = wire_defaults();
    setup.config.open_timeout_ns = 200 * WS_NS_PER_MS;
    wire w = open_with(&setup);
    peer silent = dial_bare(w.port);
    peer half = dial_bare(w.port);
    peer_send(&half, hello, size / 2);
    peer whole = dial_bare(w.port);
    peer_send(&whole, hello, size);
    CHECK_EQ(peer_receive(&silent), 0);
    CHECK_EQ(peer_receive(&half), 0);
    while (peer_receive(&whole) > 0) { // the server's part of the handshake
    }
    CHECK_EQ(whole.in[0], 0x16);
    CHECK_EQ(WIRE_COUNTED(&w, timeouts), 3);
    CHECK_EQ(WIRE_COUNTED(&w, failed_handshakes), 3);
    CHECK_EQ(WIRE_COUNTED(&w, refused_handshakes), 0);

    // With the handshake done there is something to answer in.
    peer shaken = dial_with(w.port, ctx);
    CHECK(peer_tls_shake(&shaken));
    CHECK_EQ(peer_answer(&shaken, false, NULL, NULL), 408);
    peer_close(&shaken);
    peer_close(&silent);
    peer_close(&half);
    peer_close(&whole);
    SSL_CTX_free(ctx);
    (void)wire_close(&w);
}

static void
a_client_may_go_in_mid_handshake(void)
{
    uint8_t hello[1024];
    SSL_CTX *ctx = client_ctx();
    size_t size = (size_t)take_hello(ctx, hello, sizeof hello);
    wire w = open_default();
    for (int i = 0; i < 4; i++) {
        peer p = dial_bare(w.port);
        peer_send(&p, hello, i < 2 ? size / 2 : size);
        if (i % 2 == 0) {
            peer_shut(&p);
            peer_expect_end(&p);
            peer_close(&p);
        } else {
            peer_reset(&p);
        }
    }
    WITHIN(WIRE_COUNTED(&w, failed_handshakes) == 4, 10);
    SSL_CTX_free(ctx);
    (void)wire_close(&w);
}

/* What the server has to say does not fit, and there is more to read than it
   can take before that is gone. */
static void
a_handshake_that_nobody_reads_lets_the_pump_sleep(void)
{
    enum { LINKS = 100, MOST = 100 };
    uint8_t hello[1024];
    SSL_CTX *ctx = client_ctx();
    size_t size = (size_t)take_hello(ctx, hello, sizeof hello);
    pem_pair leaf = pem_make("leaf", NULL, false);
    const char *both = pem_write_pair("both", &leaf);
    for (int i = 0; i < LINKS; i++) {
        (void)pem_write_cert("both", "a", leaf.cert);
    }
    wire_setup setup = wire_defaults();
    setup.config.send_buffer = 4096;
    wire w = open_with(&setup);
    ws_port *port = add_port(&w, load(both, NULL, NULL));
    peer p = dial_small(port, 4096);
    peer_send(&p, hello, size);
    peer_wait(&p, POLLIN);
    peer_send(&p, "more", 4);
    uint64_t turns = WIRE_COUNTED(&w, turns);
    (void)usleep(100000);
    CHECK(WIRE_COUNTED(&w, turns) - turns < MOST);
    peer_expect_end(&p); // for "more" is no record
    peer_close(&p);
    ws_port_unref(port);
    pem_free(&leaf);
    SSL_CTX_free(ctx);
    (void)wire_close(&w);
}

static void
closing_the_pump_waits_for_no_handshake(void)
{
    wire w = open_default();
    peer p = dial_bare(w.port);
    WITHIN(WIRE_COUNTED(&w, accepted_connections) == 1, 10);
    ws_crew_close(w.crew, 1001, wire_text(""));
    CHECK_EQ(peer_receive(&p), 0);
    CHECK_EQ(ws_crew_wait(w.crew, wire_deadline()), WS_OK);
    peer_close(&p);
    (void)wire_close(&w);
}

/* ---- a client that does not read */

enum { SIZE = 5000 };

/* Sends until neither the socket nor OpenSSL takes any more. */
static size_t
fill(const wire *w, ws_client *client)
{
    static uint8_t data[SIZE];
    size_t count = 0;
    while (WIRE_COUNTED(w, short_writes) == 0) {
        memset(data, (int)count, sizeof data);
        CHECK_EQ(wire_send(client, WS_MESSAGE_BINARY, data, sizeof data),
                 WS_OK);
        count++;
        (void)usleep(100);
    }
    return count;
}

/* What it was filled with, and a pong, which may stand between any two. */
static void
expect_filled_and_pong(peer *p, size_t count)
{
    size_t seen = 0;
    size_t pongs = 0;
    while (seen < count || pongs == 0) {
        peer_frame frame = peer_read(p);
        if (frame.first == PEER_PONG) {
            CHECK_EQ(frame.size, 2);
            pongs++;
            continue;
        }
        CHECK_EQ(frame.first, PEER_BINARY);
        CHECK_EQ(frame.size, SIZE);
        CHECK_EQ(frame.data[0], (uint8_t)seen);
        CHECK_EQ(frame.data[SIZE - 1], (uint8_t)seen);
        seen++;
    }
    CHECK_EQ(seen, count);
    CHECK_EQ(pongs, 1);
}

/* The record that was refused comes first, and whole messages stay so. */
static void
a_refused_record_comes_again_before_all_else(void)
{
    wire w = open_default();
    peer p = peer_open_small(&w, "/?id=a", 4096);
    ws_client *client = wire_client(&w, "a");
    size_t count = fill(&w, client);
    peer_frame_out(&p, PEER_PING, "me", 2);
    CHECK_EQ(ws_hub_close_client(client, 1000, wire_text("")), WS_OK);
    expect_filled_and_pong(&p, count);
    peer_expect_close(&p, 1000, "");
    peer_close_frame(&p, 1000, "");
    peer_expect_eof(&p);
    peer_close(&p);
    wire_expect_ended(client, 1000, true);
    ws_hub_stats stats = wire_close(&w);
    CHECK_EQ(stats.counts.written, count);
}

/* New keys are agreed on while a record waits. */
static void
a_client_may_ask_for_new_keys_at_any_time(void)
{
    wire w = open_default();
    peer p = peer_open_small(&w, "/?id=a", 4096);
    ws_client *client = wire_client(&w, "a");
    size_t count = fill(&w, client);
    CHECK_EQ(SSL_key_update(p.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
    peer_frame_out(&p, PEER_PING, "me", 2); // sends it, too
    expect_filled_and_pong(&p, count);
    CHECK_EQ(wire_send_text(client, "with new keys"), WS_OK);
    peer_expect_text(&p, "with new keys");
    ws_client_unref(client);
    peer_leave(&p);
    (void)wire_close(&w);
}

static void
a_client_that_reads_nothing_is_cut_in_time(void)
{
    wire_setup setup = wire_defaults();
    setup.config.close_timeout_ns = 100 * WS_NS_PER_MS;
    wire w = open_with(&setup);
    peer p = peer_open_small(&w, "/?id=a", 4096);
    ws_client *client = wire_client(&w, "a");
    size_t count = fill(&w, client);
    CHECK_EQ(ws_hub_close_client(client, 1000, wire_text("")), WS_OK);
    wire_expect_ended(client, 1000, false);
    peer_close(&p);
    ws_hub_stats stats = wire_close(&w);
    CHECK_EQ(stats.counts.written + stats.counts.lost, count);
    CHECK(stats.counts.lost > 0);
}

static void
no_memory_for_the_refused_record_ends_the_client_alone(void)
{
    enum { ALLOCATIONS = 6 };
    wire w = open_default();
    for (long n = 0; n < ALLOCATIONS; n++) {
        char target[32];
        (void)snprintf(target, sizeof target, "/?id=%ld", n);
        peer p = peer_open_small(&w, target, 4096);
        ws_client *client = wire_client(&w, target + 5);
        uint64_t before = WIRE_COUNTED(&w, short_writes);
        static uint8_t data[SIZE];
        ws_alloc_fail_at(n);
        for (int i = 0; i < 2000; i++) {
            (void)wire_send(client, WS_MESSAGE_BINARY, data, sizeof data);
            if (WIRE_COUNTED(&w, short_writes) > before ||
                wire_is_closed(client)) {
                break;
            }
        }
        ws_alloc_fail_at(-1);
        ws_client_unref(client);
        peer_close(&p);
        WITHIN(ws_hub_present(w.hub) == 0, 10);
        (void)wire_check_law(&w);
    }
    (void)wire_close(&w);
}

/* ---- what a client may do with the keys */

/* What the client writes from here on goes into memory. */
static void
hold_back(const peer *p)
{
    BIO *held = BIO_new(BIO_s_mem());
    CHECK(held != NULL);
    SSL_set0_wbio(p->ssl, held);
}

/* What was held back, as it would have gone over the wire; to be freed. */
static uint8_t *
let_go(const peer *p, size_t *size)
{
    char *held = NULL;
    *size = (size_t)BIO_get_mem_data(SSL_get_wbio(p->ssl), &held);
    uint8_t *copy = malloc(*size);
    CHECK(copy != NULL);
    memcpy(copy, held, *size);
    SSL_set0_wbio(p->ssl, BIO_new_socket(p->fd, BIO_NOCLOSE));
    return copy;
}

static void
update_keys(const peer *p, int type)
{
    CHECK_EQ(SSL_key_update(p->ssl, type), 1);
    CHECK_EQ(SSL_do_handshake(p->ssl), 1);
}

typedef struct flood {
    peer bare; // without TLS: the bytes are ready
    uint8_t *data;
    size_t size;
} flood;

static void *
pour(void *arg)
{
    const flood *f = arg;
    peer_send(&f->bare, f->data, f->size);
    return NULL;
}

/* New keys without end, each of which must be derived: others have their
   turns in between. */
static void
a_flood_of_new_keys_holds_nobody_up(void)
{
    enum { KEYS = 50000, TURNS = 100 };
    wire w = open_default();
    peer p = peer_open(&w, "/?id=flood");
    peer other = peer_open(&w, "/?id=other");
    hold_back(&p);
    for (int i = 0; i < KEYS; i++) {
        update_keys(&p, SSL_KEY_UPDATE_NOT_REQUESTED);
    }
    peer_frame_out(&p, PEER_PING, "over", 4);
    flood f = {.bare = {.fd = p.fd}};
    f.data = let_go(&p, &f.size);

    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, pour, &f), 0);
    int served = 0;
    while (!peer_hears(&p, 0)) { // the pong behind the flood
        peer_frame_out(&other, PEER_PING, "you?", 4);
        peer_expect(&other, PEER_PONG, "you?", 4);
        served++;
    }
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK(served > TURNS);
    peer_expect(&p, PEER_PONG, "over", 4);
    free(f.data);
    peer_leave(&p);
    peer_leave(&other);
    (void)wire_close(&w);
}

/* Until the server has no room for a pong, or for new keys of its own that go
   before it. */
static void
ask_until_full(const wire *w, const peer *p)
{
    uint64_t before = WIRE_COUNTED(w, short_writes);
    while (WIRE_COUNTED(w, short_writes) == before) {
        uint64_t writes = WIRE_COUNTED(w, writes);
        update_keys(p, SSL_KEY_UPDATE_REQUESTED);
        peer_frame_out(p, PEER_PING, "you?", 4);
        // OpenSSL breaks at the second such wish during a refused write.
        WITHIN(WIRE_COUNTED(w, writes) > writes, 10);
    }
}

/* Until its keys are gone OpenSSL reads nothing, and what is there to read
   would be reported again and again. */
static void
keys_that_nobody_reads_let_the_pump_sleep(void)
{
    enum { TRIES = 12, MOST = 100 };
    wire w = open_default();
    for (int i = 0; i < TRIES; i++) { // in some it is the keys
        peer p = peer_open_small(&w, "/", 4096);
        ask_until_full(&w, &p);
        peer_frame_out(&p, PEER_PING, "me", 2);
        uint64_t turns = WIRE_COUNTED(&w, turns);
        (void)usleep(50000);
        CHECK(WIRE_COUNTED(&w, turns) - turns < MOST);
        peer_frame frame = peer_read(&p);
        while (frame.size == 4) {
            CHECK_EQ(frame.first, PEER_PONG);
            frame = peer_read(&p);
        }
        CHECK_EQ(frame.size, 2);
        CHECK_MEM_EQ(frame.data, "me", 2);
        peer_leave(&p);
    }
    (void)wire_close(&w);
}

/* ---- time */

static atomic_ullong ahead_s; // of the clock

#define WRAP(type, name, parameters) \
    type __real_##name parameters;   \
    type __wrap_##name parameters;   \
    type __wrap_##name parameters

WRAP(int, clock_gettime, (clockid_t clock, struct timespec *now));

int
__wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    int done = __real_clock_gettime(clock, now);
    now->tv_sec += (time_t)atomic_load(&ahead_s);
    return done;
}

/* lws has deadlines of its own for TLS. */
static void
a_session_may_last_for_days(void)
{
    wire w = open_default();
    peer p = peer_open(&w, "/");
    for (int day = 0; day < 3; day++) {
        for (int i = 0; i < 3; i++) { // so many turns at least
            peer_frame_out(&p, PEER_PING, "you?", 4);
            peer_expect(&p, PEER_PONG, "you?", 4);
        }
        (void)atomic_fetch_add(&ahead_s, 25 * 60 * 60);
    }
    peer_leave(&p);
    (void)wire_close(&w);
}

/* ---- the life of a port */

static void
a_closed_port_lives_on_in_its_connections_and_no_longer(void)
{
    enum { ROUNDS = 20 };
    wire w = open_default();
    long before = ws_alloc_live();
    for (int i = 0; i < ROUNDS; i++) {
        ws_port *port = add_port(&w, identity_of("one"));
        SSL_CTX *ctx = client_ctx();
        peer p = dial_with(port, ctx);
        open_session(&p, "/?id=a");
        ws_port_close(port);
        ws_port_unref(port);
        ws_client *client = wire_client(&w, "a");
        CHECK_EQ(wire_send_text(client, "still here"), WS_OK);
        peer_expect_text(&p, "still here");
        ws_client_unref(client);
        peer_leave(&p);
        WITHIN(ws_alloc_live() == before, 10);
        SSL_CTX_free(ctx);
    }
    (void)wire_close(&w);
    CHECK_EQ(ws_alloc_live(), 0);
}

static void
without_memory_there_is_no_port_and_no_leak(void)
{
    wire w = open_default();
    ws_err err = WS_ERR_NOMEM;
    long live = ws_alloc_live();
    for (long n = 0; err != WS_OK; n++) {
        ws_port *port = NULL;
        ws_listener *listener = wire_listener(false);
        ws_identity *identity = identity_of("one");
        ws_alloc_fail_at(n);
        err = ws_crew_listen_tls(w.crew, listener, NULL, identity, &port);
        ws_alloc_fail_at(-1);
        CHECK(err == WS_OK || err == WS_ERR_NOMEM);
        if (err == WS_OK) {
            expect_shown(port, "one");
            ws_port_close(port);
            ws_port_unref(port);
        }
        WITHIN(ws_alloc_live() == live, 10);
    }
    (void)wire_close(&w);
}

/* A word of HTTP would be garbage to it, and a handshake is more than it shall
   cost. */
static void
one_too_many_of_an_address_is_closed_without_a_handshake(void)
{
    wire_setup setup = wire_defaults();
    setup.config.max_clients_per_ip = 1;
    wire w = open_with(&setup);
    peer first = dial_bare(w.port); // it counts, silent as it is
    WITHIN(WIRE_COUNTED(&w, accepted_connections) == 1, 10);
    uint64_t turns = WIRE_COUNTED(&w, turns);
    ws_wake_ring(ws_hub_wake(w.hub));
    WITHIN(WIRE_COUNTED(&w, turns) > turns, 10); // it has all that it needs
    long before = ws_alloc_live();
    peer second = dial_bare(w.port);
    CHECK(peer_receive(&second) <= 0);
    CHECK_EQ(ws_alloc_live(), before);
    CHECK_EQ(WIRE_COUNTED(&w, refused_handshakes), 1);
    peer_close(&second);
    peer_close(&first);
    (void)wire_close(&w);
}

static void
a_unix_socket_can_have_tls(void)
{
    wire_setup setup = wire_defaults();
    setup.unix_socket = true;
    wire w = open_with(&setup);
    CHECK(ws_port_is_tls(w.port));
    peer p = peer_open(&w, "/");
    CHECK(p.ssl != NULL);
    peer_leave(&p);
    (void)wire_close(&w);
}

static const ws_test tests[] = {
    TEST(tls_1_3_works),
    TEST(tls_1_2_works),
    TEST(older_versions_are_refused),
    TEST(http_1_1_is_chosen_and_nothing_else),
    TEST(nothing_can_be_resumed),
    TEST(a_client_cannot_renegotiate),
    TEST(the_whole_chain_is_served),
    TEST(each_port_has_its_own_certificate),
    TEST(a_new_identity_is_for_new_handshakes),
    TEST(a_new_identity_may_have_another_type_of_key),
    TEST(a_handshake_survives_a_change_in_its_middle),
    TEST(of_two_identities_given_at_once_all_pumps_show_the_same),
    TEST(a_closed_port_takes_no_identity),
    TEST(a_client_needs_a_certificate_where_that_is_asked_for),
    TEST(whatever_is_no_tls_is_cut),
    TEST(a_handshake_that_is_left_is_cut_without_a_word),
    TEST(a_client_may_go_in_mid_handshake),
    TEST(a_handshake_that_nobody_reads_lets_the_pump_sleep),
    TEST(closing_the_pump_waits_for_no_handshake),
    TEST(a_refused_record_comes_again_before_all_else),
    TEST(a_client_may_ask_for_new_keys_at_any_time),
    TEST(a_client_that_reads_nothing_is_cut_in_time),
    TEST(no_memory_for_the_refused_record_ends_the_client_alone),
    TEST(a_flood_of_new_keys_holds_nobody_up),
    TEST(keys_that_nobody_reads_let_the_pump_sleep),
    TEST(a_session_may_last_for_days),
    TEST(a_closed_port_lives_on_in_its_connections_and_no_longer),
    TEST(without_memory_there_is_no_port_and_no_leak),
    TEST(one_too_many_of_an_address_is_closed_without_a_handshake),
    TEST(a_unix_socket_can_have_tls),
};

TEST_MAIN(tests)
