#include "proto/handshake_response.h"

#include "check.h"

#define ACCEPT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
#define SWITCH                             \
    "HTTP/1.1 101 Switching Protocols\r\n" \
    "Upgrade: websocket\r\n"               \
    "Connection: Upgrade\r\n" ACCEPT

static ws_slice
rfc_key(void)
{
    return ws_slice_of("dGhlIHNhbXBsZSBub25jZQ==");
}

/* It is written into a block of exactly its size, and into none smaller. */
static void
check_switch(const char *what, const ws_handshake_upgrade *upgrade,
             const char *want)
{
    size_t need = strlen(want);

    for (size_t room = 0; room <= need; room++) {
        char *buf = malloc(room + 1);
        CHECK(buf != NULL);
        size_t size = ws_handshake_switch(buf, room, upgrade);
        if (room == need && (size != need || memcmp(buf, want, need) != 0)) {
            fprintf(stderr, "case: %s\n", what);
        }
        CHECK_EQ(size, room == need ? need : 0);
        CHECK(size == 0 || memcmp(buf, want, need) == 0);
        free(buf);
    }
}

static void
check_response(const char *what, const ws_handshake_answer *answer,
               const char *want)
{
    size_t need = strlen(want);

    for (size_t room = 0; room <= need; room++) {
        char *buf = malloc(room + 1);
        CHECK(buf != NULL);
        size_t size = ws_handshake_response(buf, room, answer);
        if (room == need && (size != need || memcmp(buf, want, need) != 0)) {
            fprintf(stderr, "case: %s\n got: %.*s\n", what, (int)size, buf);
        }
        CHECK_EQ(size, room == need ? need : 0);
        CHECK(size == 0 || memcmp(buf, want, need) == 0);
        free(buf);
    }
}

static void
a_101_has_what_was_agreed(void)
{
    static const struct {
        const char *what;
        ws_handshake_upgrade upgrade;
        const char *want;
    } cases[] = {
        {"nothing more", {.headers = NULL}, SWITCH "\r\n"},
        {"a subprotocol",
         {.subprotocol = "chat"},
         SWITCH "Sec-WebSocket-Protocol: chat\r\n\r\n"},
        {"an extension",
         {.extensions = "permessage-deflate"},
         SWITCH "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"},
        {"headers of the application",
         {.headers = "Set-Cookie: a=b\r\nX: y\r\n"},
         SWITCH "Set-Cookie: a=b\r\nX: y\r\n\r\n"},
        {"all of them",
         {.subprotocol = "chat", .extensions = "x", .headers = "X: y\r\n"},
         SWITCH "Sec-WebSocket-Protocol: chat\r\n"
                "Sec-WebSocket-Extensions: x\r\nX: y\r\n\r\n"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ws_handshake_upgrade upgrade = cases[i].upgrade;
        upgrade.key = rfc_key();
        check_switch(cases[i].what, &upgrade, cases[i].want);
    }
}

static void
a_101_without_a_key_is_not_written(void)
{
    ws_handshake_upgrade upgrade = {.key = {NULL, 0}};
    char buf[512];

    CHECK_EQ(ws_handshake_switch(buf, sizeof buf, &upgrade), 0);
}

static void
responses_are_complete_and_end_the_connection(void)
{
    static const struct {
        const char *what;
        ws_handshake_answer answer;
        const char *want;
    } cases[] = {
        {"a refusal",
         {.status = 400, .body = {"no\n", 3}},
         "HTTP/1.1 400 Bad Request\r\n"
         "Content-Type: text/plain; charset=utf-8\r\n"
         "Content-Length: 3\r\nConnection: close\r\n\r\nno\n"},
        {"a page",
         {.status = 200, .content_type = "text/html", .body = {"<p>", 3}},
         "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
         "Content-Length: 3\r\nConnection: close\r\n\r\n<p>"},
        {"its head",
         {.status = 200,
          .content_type = "text/html",
          .body = {NULL, 70000},
          .head_only = true},
         "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
         "Content-Length: 70000\r\nConnection: close\r\n\r\n"},
        {"no body",
         {.status = 404, .content_type = "text/html"},
         "HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\n"
         "Content-Length: 0\r\nConnection: close\r\n\r\n"},
        {"headers",
         {.status = 503,
          .content_type = "text/plain",
          .headers = "Retry-After: 5\r\n"},
         "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\n"
         "Content-Length: 0\r\nConnection: close\r\nRetry-After: 5\r\n\r\n"},
        {"an upgrade is required",
         {.status = 426, .content_type = "text/plain"},
         "HTTP/1.1 426 Upgrade Required\r\nContent-Type: text/plain\r\n"
         "Content-Length: 0\r\nConnection: close, Upgrade\r\n"
         "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n"},
        {"a status without a name",
         {.status = 499, .content_type = "text/plain"},
         "HTTP/1.1 499 \r\nContent-Type: text/plain\r\n"
         "Content-Length: 0\r\nConnection: close\r\n\r\n"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check_response(cases[i].what, &cases[i].answer, cases[i].want);
    }
}

static void
every_status_of_ours_has_a_name(void)
{
    static const int ours[] = {400, 403, 404, 405, 408, 409,
                               414, 426, 431, 503, 505};

    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        CHECK(ws_handshake_status_text(ours[i])[0] != '\0');
    }
    CHECK(strcmp(ws_handshake_status_text(426), "Upgrade Required") == 0);
    CHECK(strcmp(ws_handshake_status_text(599), "") == 0);
}

static const ws_test TESTS[] = {
    TEST(a_101_has_what_was_agreed),
    TEST(a_101_without_a_key_is_not_written),
    TEST(responses_are_complete_and_end_the_connection),
    TEST(every_status_of_ours_has_a_name),
};

TEST_MAIN(TESTS)
