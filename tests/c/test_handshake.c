#include "proto/handshake.h"

#include "check.h"

#define GET "GET /chat HTTP/1.1\r\n"
#define HOST "Host: server.example.com\r\n"
#define UPGRADE "Upgrade: websocket\r\n"
#define CONNECTION "Connection: Upgrade\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define RFC_KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define KEY "Sec-WebSocket-Key: " RFC_KEY "\r\n"
#define ALL GET HOST UPGRADE CONNECTION VERSION KEY

static bool
is(ws_slice s, const char *text)
{
    return ws_slice_equal(s, ws_slice_of(text));
}

/* Parses the lines, to which the empty one is added; they stay the caller's
   to free. */
static char *
parse(ws_http_request *req, const char *lines)
{
    size_t size = strlen(lines);
    char *text = malloc(size + 2);

    CHECK(text != NULL);
    memcpy(text, lines, size);
    memcpy(text + size, "\r\n", 2);
    ws_http_init(req);
    CHECK_EQ(ws_http_parse(req, text, size + 2), WS_HTTP_COMPLETE);
    return text;
}

typedef struct {
    const char *what;
    const char *lines;
    ws_handshake_kind kind;
    unsigned status;
} judge_case;

static void
check_cases(const judge_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ws_http_request req;
        ws_handshake out;
        char *text = parse(&req, cases[i].lines);
        ws_handshake_judge(&req, &out);
        if (out.kind != cases[i].kind || out.status != cases[i].status) {
            fprintf(stderr, "case: %s (%s)\n", cases[i].what, out.reason);
        }
        CHECK_EQ(out.kind, cases[i].kind);
        CHECK_EQ(out.status, cases[i].status);
        CHECK_EQ(out.reason[0] != '\0', out.kind == WS_HANDSHAKE_REFUSE);
        CHECK_EQ(out.headers[0] != '\0', out.status == 405);
        free(text);
    }
}

#define CHECK_CASES(cases) \
    check_cases(cases, sizeof(cases) / sizeof((cases)[0]))

static void
a_correct_handshake_is_told_from_all_others(void)
{
    static const judge_case cases[] = {
        {"all there is to it", ALL, WS_HANDSHAKE_UPGRADE, 0},
        {"any case",
         GET "HOST: a\r\nUPGRADE: WebSocket\r\nCONNECTION: upgrade\r\n"
             "sec-websocket-version: 13\r\nSEC-WEBSOCKET-KEY: " RFC_KEY "\r\n",
         WS_HANDSHAKE_UPGRADE, 0},
        {"lists",
         GET HOST VERSION KEY "Upgrade: h2c, websocket\r\n"
                              "Connection: keep-alive, Upgrade\r\n",
         WS_HANDSHAKE_UPGRADE, 0},
        {"lists over lines",
         GET HOST VERSION KEY
         "Upgrade: h2c\r\nUpgrade: websocket\r\n"
         "Connection: keep-alive\r\nConnection: Upgrade\r\n",
         WS_HANDSHAKE_UPGRADE, 0},
        {"a body of nothing", ALL "Content-Length: 0\r\n",
         WS_HANDSHAKE_UPGRADE, 0},
        {"a host of its own in the target",
         "GET http://a/ HTTP/1.1\r\n" HOST UPGRADE CONNECTION VERSION KEY,
         WS_HANDSHAKE_UPGRADE, 0},
        {"subprotocols", ALL "Sec-WebSocket-Protocol: a, b\r\n",
         WS_HANDSHAKE_UPGRADE, 0},
        {"no subprotocol in the list", ALL "Sec-WebSocket-Protocol:\r\n",
         WS_HANDSHAKE_UPGRADE, 0},
        {"an extension we do not know", ALL "Sec-WebSocket-Extensions: x\r\n",
         WS_HANDSHAKE_UPGRADE, 0},
        {"HTTP/1.0", "GET / HTTP/1.0\r\n" HOST UPGRADE CONNECTION VERSION KEY,
         WS_HANDSHAKE_REFUSE, 400},
        {"POST", "POST / HTTP/1.1\r\n" HOST UPGRADE CONNECTION VERSION KEY,
         WS_HANDSHAKE_REFUSE, 405},
        {"HEAD", "HEAD / HTTP/1.1\r\n" HOST UPGRADE CONNECTION VERSION KEY,
         WS_HANDSHAKE_REFUSE, 405},
        {"a method in small letters",
         "get / HTTP/1.1\r\n" HOST UPGRADE CONNECTION VERSION KEY,
         WS_HANDSHAKE_REFUSE, 405},
        {"no Upgrade", GET HOST CONNECTION VERSION KEY, WS_HANDSHAKE_REFUSE,
         426},
        {"another Upgrade",
         GET HOST "Upgrade: websocket/13\r\n" CONNECTION VERSION KEY,
         WS_HANDSHAKE_REFUSE, 426},
        {"no Connection", GET HOST UPGRADE VERSION KEY, WS_HANDSHAKE_REFUSE,
         400},
        {"another Connection",
         GET HOST UPGRADE "Connection: keep-alive\r\n" VERSION KEY,
         WS_HANDSHAKE_REFUSE, 400},
        {"no version", GET HOST UPGRADE CONNECTION KEY, WS_HANDSHAKE_REFUSE,
         426},
        {"version 8",
         GET HOST UPGRADE CONNECTION KEY "Sec-WebSocket-Version: 8\r\n",
         WS_HANDSHAKE_REFUSE, 426},
        {"version 013",
         GET HOST UPGRADE CONNECTION KEY "Sec-WebSocket-Version: 013\r\n",
         WS_HANDSHAKE_REFUSE, 426},
        {"a list of versions",
         GET HOST UPGRADE CONNECTION KEY "Sec-WebSocket-Version: 13, 8\r\n",
         WS_HANDSHAKE_REFUSE, 426},
        {"the version twice", ALL VERSION, WS_HANDSHAKE_REFUSE, 426},
        {"no key", GET HOST UPGRADE CONNECTION VERSION, WS_HANDSHAKE_REFUSE,
         400},
        {"the key twice", ALL KEY, WS_HANDSHAKE_REFUSE, 400},
        {"a body", ALL "Content-Length: 1\r\n", WS_HANDSHAKE_REFUSE, 400},
        {"a length that is none", ALL "Content-Length: +0\r\n",
         WS_HANDSHAKE_REFUSE, 400},
        {"an empty length", ALL "Content-Length:\r\n", WS_HANDSHAKE_REFUSE,
         400},
        {"two lengths", ALL "Content-Length: 0\r\nContent-Length: 0\r\n",
         WS_HANDSHAKE_REFUSE, 400},
        {"chunks", ALL "Transfer-Encoding: chunked\r\n", WS_HANDSHAKE_REFUSE,
         400},
        {"any other transfer encoding", ALL "Transfer-Encoding:\r\n",
         WS_HANDSHAKE_REFUSE, 400},
        {"a subprotocol with a blank", ALL "Sec-WebSocket-Protocol: a b\r\n",
         WS_HANDSHAKE_REFUSE, 400},
        {"a quoted subprotocol", ALL "Sec-WebSocket-Protocol: \"a\"\r\n",
         WS_HANDSHAKE_REFUSE, 400},
        {"two Origins", ALL "Origin: http://a\r\nOrigin: http://a\r\n",
         WS_HANDSHAKE_REFUSE, 400},
    };

    CHECK_CASES(cases);
}

static void
one_sound_host_is_needed(void)
{
    static const judge_case cases[] = {
        {"none", GET UPGRADE CONNECTION VERSION KEY, WS_HANDSHAKE_REFUSE, 400},
        {"none, plain", GET, WS_HANDSHAKE_REFUSE, 400},
        {"none by HTTP/1.0", "GET / HTTP/1.0\r\n", WS_HANDSHAKE_PLAIN, 0},
        {"two", ALL HOST, WS_HANDSHAKE_REFUSE, 400},
        {"two, plain", GET HOST HOST, WS_HANDSHAKE_REFUSE, 400},
        {"two by HTTP/1.0", "GET / HTTP/1.0\r\n" HOST HOST,
         WS_HANDSHAKE_REFUSE, 400},
        {"empty", GET "Host:\r\n", WS_HANDSHAKE_REFUSE, 400},
        {"two in one", GET "Host: a, b\r\n", WS_HANDSHAKE_REFUSE, 400},
        {"a path behind it", GET "Host: a/b\r\n", WS_HANDSHAKE_REFUSE, 400},
        {"a user before it", GET "Host: u@a\r\n", WS_HANDSHAKE_REFUSE, 400},
        {"a port", GET "Host: a:8765\r\n", WS_HANDSHAKE_PLAIN, 0},
        {"an address with a port", GET "Host: [::1]:8765\r\n",
         WS_HANDSHAKE_PLAIN, 0},
        {"a bad one in the target", "GET http://a,b/ HTTP/1.1\r\n" HOST,
         WS_HANDSHAKE_REFUSE, 400},
    };

    CHECK_CASES(cases);
}

static void
plain_requests_are_left_to_others(void)
{
    static const judge_case cases[] = {
        {"GET", GET HOST, WS_HANDSHAKE_PLAIN, 0},
        {"HEAD", "HEAD / HTTP/1.1\r\n" HOST, WS_HANDSHAKE_PLAIN, 0},
        {"a health check", "GET / HTTP/1.0\r\n\r\n", WS_HANDSHAKE_PLAIN, 0},
        {"an upgrade to HTTP/2",
         GET HOST "Upgrade: h2c\r\nConnection: Upgrade\r\n",
         WS_HANDSHAKE_PLAIN, 0},
        {"only Connection: upgrade", GET HOST CONNECTION, WS_HANDSHAKE_PLAIN,
         0},
        {"POST", "POST / HTTP/1.1\r\n" HOST, WS_HANDSHAKE_REFUSE, 405},
        {"OPTIONS", "OPTIONS / HTTP/1.1\r\n" HOST, WS_HANDSHAKE_REFUSE, 405},
        {"a body", GET HOST "Content-Length: 4\r\n", WS_HANDSHAKE_REFUSE, 400},
        {"POST with a body",
         "POST / HTTP/1.1\r\n" HOST "Content-Length: 4\r\n",
         WS_HANDSHAKE_REFUSE, 405},
    };

    CHECK_CASES(cases);
}

/* RFC 9110 15.5.6: a 405 names what is allowed. */
static void
a_wrong_method_is_told_the_right_ones(void)
{
    ws_http_request req;
    ws_handshake out;
    char *text = parse(&req, "POST / HTTP/1.1\r\n" HOST);

    ws_handshake_judge(&req, &out);
    CHECK(strcmp(out.headers, "Allow: GET, HEAD\r\n") == 0);
    CHECK(!out.head_only);
    free(text);
    text = parse(&req, "HEAD / HTTP/1.1\r\n" HOST UPGRADE);
    ws_handshake_judge(&req, &out);
    CHECK(strcmp(out.headers, "Allow: GET\r\n") == 0);
    CHECK(out.head_only);
    free(text);
}

static void
a_key_is_sixteen_bytes_in_canonical_base64(void)
{
    static const struct {
        const char *what;
        const char *key;
        bool good;
    } cases[] = {
        {"the RFC's", RFC_KEY, true},
        {"all zeros", "AAAAAAAAAAAAAAAAAAAAAA==", true},
        {"all ones", "/////////////////////w==", true},
        {"plus and slash", "+/+/+/+/+/+/+/+/+/+/+A==", true},
        {"empty", "", false},
        {"15 bytes", "AAAAAAAAAAAAAAAAAAAA", false},
        {"17 bytes", "AAAAAAAAAAAAAAAAAAAAAAA=", false},
        {"18 bytes", "AAAAAAAAAAAAAAAAAAAAAAAA", false},
        {"19 bytes", "AAAAAAAAAAAAAAAAAAAAAAAAAA==", false},
        {"without padding", "AAAAAAAAAAAAAAAAAAAAAA", false},
        {"half the padding", "AAAAAAAAAAAAAAAAAAAAAA=", false},
        {"bits left over", "AAAAAAAAAAAAAAAAAAAAAB==", false},
        {"more bits left over", "AAAAAAAAAAAAAAAAAAAAA/==", false},
        {"URL-safe letters", "-_AAAAAAAAAAAAAAAAAAAA==", false},
        {"a bad first letter", "*AAAAAAAAAAAAAAAAAAAAA==", false},
        {"a blank inside", "AAAAAAAAAAA AAAAAAAAAA==", false},
        {"padding inside", "AAAAAAAAAAAAAAAAAAAA====", false},
        {"something behind it", RFC_KEY "x", false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char lines[400];
        ws_http_request req;
        ws_handshake out;
        (void)snprintf(lines, sizeof lines,
                       GET HOST UPGRADE CONNECTION VERSION
                       "Sec-WebSocket-Key: %s\r\n",
                       cases[i].key);
        char *text = parse(&req, lines);
        ws_handshake_judge(&req, &out);
        bool good = out.kind == WS_HANDSHAKE_UPGRADE;
        if (good != cases[i].good) {
            fprintf(stderr, "case: %s\n", cases[i].what);
        }
        CHECK_EQ(good, cases[i].good);
        CHECK(good ? is(out.key, cases[i].key) : out.status == 400);
        free(text);
    }
}

static void
an_origin_is_handed_on_even_if_empty(void)
{
    ws_http_request req;
    ws_handshake out;
    char *text = parse(&req, ALL "Origin: https://a.example\r\n");

    ws_handshake_judge(&req, &out);
    CHECK(is(out.origin, "https://a.example"));
    free(text);
    text = parse(&req, ALL "Origin:\r\n");
    ws_handshake_judge(&req, &out);
    CHECK(out.origin.data != NULL && out.origin.size == 0);
    free(text);
    text = parse(&req, ALL);
    ws_handshake_judge(&req, &out);
    CHECK(out.origin.data == NULL);
    free(text);
}

static void
our_first_subprotocol_that_is_offered_wins(void)
{
    static const char *const ours[] = {"v2.app", "v1.app"};
    static const struct {
        const char *what;
        const char *lines;
        const char *want; // NULL: none
    } cases[] = {
        {"none offered", "", NULL},
        {"an empty offer", "Sec-WebSocket-Protocol:\r\n", NULL},
        {"one of ours", "Sec-WebSocket-Protocol: v1.app\r\n", "v1.app"},
        {"ours come first", "Sec-WebSocket-Protocol: v1.app, v2.app\r\n",
         "v2.app"},
        {"over lines",
         "Sec-WebSocket-Protocol: x, v1.app\r\n"
         "Sec-WebSocket-Protocol: v2.app\r\n",
         "v2.app"},
        {"none of ours", "Sec-WebSocket-Protocol: v3.app, v2.ap\r\n", NULL},
        {"another case", "Sec-WebSocket-Protocol: V1.APP\r\n", NULL},
        {"the same twice", "Sec-WebSocket-Protocol: v1.app, v1.app\r\n",
         "v1.app"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char lines[400];
        ws_http_request req;
        (void)snprintf(lines, sizeof lines, ALL "%s", cases[i].lines);
        char *text = parse(&req, lines);
        const char *got = ws_handshake_select(&req, ours, 2);
        if ((got == NULL) != (cases[i].want == NULL)) {
            fprintf(stderr, "case: %s\n", cases[i].what);
        }
        CHECK(got == cases[i].want || strcmp(got, cases[i].want) == 0);
        CHECK(got == NULL || ws_handshake_offers(&req, ws_slice_of(got)));
        CHECK(!ws_handshake_offers(&req, ws_slice_of("other")));
        CHECK(ws_handshake_select(&req, NULL, 0) == NULL);
        free(text);
    }
}

/* RFC 6455 1.3. */
static void
the_accept_key_is_that_of_the_rfc(void)
{
    char accept[WS_HANDSHAKE_ACCEPT_SIZE + 1];

    CHECK(ws_handshake_accept_key(ws_slice_of(RFC_KEY), accept));
    CHECK(strcmp(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") == 0);
    CHECK(!ws_handshake_accept_key(ws_slice_of("short"), accept));
    CHECK(accept[0] == '\0');
}

static uint32_t
dice(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

/* Whatever a request says, the answer is one of the three, and an upgrade has
   a key that can be accepted. */
static void
random_requests_get_an_answer(void)
{
    static const char *const lines[] = {
        HOST,
        UPGRADE,
        CONNECTION,
        VERSION,
        KEY,
        "Upgrade: , ,websocket,\r\n",
        "Origin: null\r\n",
        "Content-Length: 0\r\n",
        "Content-Length: 00000000000000000000\r\n",
        "Transfer-Encoding:\r\n",
        "Sec-WebSocket-Key: ====\r\n",
        "Sec-WebSocket-Protocol: ,,,\r\n",
        "Sec-WebSocket-Protocol: a,\xC3\xA4\r\n",
        "Host: [\r\n",
    };
    uint32_t seed = 5;
    int upgrades = 0;

    for (int round = 0; round < 20000; round++) {
        char all[1200] = "GET / HTTP/1.1\r\n";
        for (uint32_t i = 0; i < 5; i++) { // mostly the right ones
            strcat(all, lines[dice(&seed) % 8 > 0 ? i : dice(&seed) % 14]);
        }
        if (dice(&seed) % 2 == 0) {
            strcat(all, lines[dice(&seed) % 14]);
        }
        ws_http_request req;
        ws_handshake out;
        char accept[WS_HANDSHAKE_ACCEPT_SIZE + 1];
        char *text = parse(&req, all);
        ws_handshake_judge(&req, &out);
        if (out.kind == WS_HANDSHAKE_UPGRADE) {
            CHECK(ws_handshake_accept_key(out.key, accept));
            upgrades++;
        } else if (out.kind == WS_HANDSHAKE_REFUSE) {
            CHECK(out.status == 400 || out.status == 405 || out.status == 426);
        }
        free(text);
    }
    CHECK(upgrades > 1000 && upgrades < 19000);
}

static const ws_test TESTS[] = {
    TEST(a_correct_handshake_is_told_from_all_others),
    TEST(one_sound_host_is_needed),
    TEST(plain_requests_are_left_to_others),
    TEST(a_wrong_method_is_told_the_right_ones),
    TEST(a_key_is_sixteen_bytes_in_canonical_base64),
    TEST(an_origin_is_handed_on_even_if_empty),
    TEST(our_first_subprotocol_that_is_offered_wins),
    TEST(the_accept_key_is_that_of_the_rfc),
    TEST(random_requests_get_an_answer),
};

TEST_MAIN(TESTS)
