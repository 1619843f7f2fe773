#include "proto/http_request.h"

#include "check.h"

#define BYTES(literal) literal, sizeof(literal) - 1
#define GET "GET / HTTP/1.1\r\n"

static bool
is(ws_slice s, const char *text)
{
    return ws_slice_equal(s, ws_slice_of(text));
}

/* A block of exactly that size, so that the sanitizer sees any byte beyond. */
static char *
copy_of(const char *data, size_t size)
{
    char *copy = malloc(size > 0 ? size : 1);
    CHECK(copy != NULL);
    memcpy(copy, data, size);
    return copy;
}

/* Parses what is there at first, then all of it, each from a new place. */
static ws_http_result
parse_cut(ws_http_request *req, const char *data, size_t size, size_t cut)
{
    char *early = copy_of(data, cut), *late = copy_of(data, size);

    ws_http_init(req);
    (void)ws_http_parse(req, early, cut);
    free(early);
    ws_http_result result = ws_http_parse(req, late, size);
    free(late);
    ws_http_moved(req, data);
    return result;
}

static ws_http_result
parse_bytewise(ws_http_request *req, const char *data, size_t size)
{
    ws_http_result result = WS_HTTP_INCOMPLETE;

    ws_http_init(req);
    for (size_t i = 1; i <= size; i++) {
        char *bytes = copy_of(data, i);
        ws_http_result before = result;
        result = ws_http_parse(req, bytes, i);
        free(bytes);
        CHECK(before == WS_HTTP_INCOMPLETE || result == before);
    }
    ws_http_moved(req, data);
    return result;
}

static void
check_same(const ws_http_request *a, const ws_http_request *b)
{
    CHECK_EQ(a->status, b->status);
    CHECK(a->error == b->error);
    CHECK_EQ(a->head_size, b->head_size);
    CHECK_EQ(a->scanned, b->scanned);
    CHECK_EQ(a->header_count, b->header_count);
    CHECK(memcmp(a->headers, b->headers, sizeof a->headers) == 0);
    CHECK(ws_slice_equal(ws_http_path(a), ws_http_path(b)));
    CHECK(ws_slice_equal(ws_http_query(a), ws_http_query(b)));
}

/* In any two parts and byte by byte it is the same request. */
static void
check_all_cuts(const char *data, size_t size, const ws_http_request *want)
{
    ws_http_request req;

    for (size_t cut = 0; cut <= size; cut++) {
        (void)parse_cut(&req, data, size, cut);
        check_same(&req, want);
    }
    (void)parse_bytewise(&req, data, size);
    check_same(&req, want);
}

/* Status 0: complete; 1: needs more. */
typedef struct {
    const char *what;
    const char *text;
    size_t size;
    unsigned status;
} request_case;

static void
check_cases(const request_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ws_http_request req;
        ws_http_result result =
            parse_cut(&req, cases[i].text, cases[i].size, 0);
        unsigned status = result == WS_HTTP_INCOMPLETE ? 1 : req.status;
        if (status != cases[i].status) {
            fprintf(stderr, "case: %s (%s)\n", cases[i].what,
                    req.error != NULL ? req.error : "no error");
        }
        CHECK_EQ(status, cases[i].status);
        CHECK_EQ(req.error != NULL, status > 1);
        CHECK_EQ(req.head_size > 0, status == 0);
        check_all_cuts(cases[i].text, cases[i].size, &req);
    }
}

#define CHECK_CASES(cases) \
    check_cases(cases, sizeof(cases) / sizeof((cases)[0]))

static void
request_lines_are_strict(void)
{
    static const request_case cases[] = {
        {"the shortest", BYTES(GET "\r\n"), 0},
        {"HTTP/1.0", BYTES("GET / HTTP/1.0\r\n\r\n"), 0},
        {"any method that is a token", BYTES("BREW-1 / HTTP/1.1\r\n\r\n"), 0},
        {"a query", BYTES("GET /a?b=c?d/e HTTP/1.1\r\n\r\n"), 0},
        {"characters that browsers leave alone",
         BYTES("GET /a|b[]^?`{}'()~\"<>\\ HTTP/1.1\r\n\r\n"), 0},
        {"a URL", BYTES("GET http://host:80/x HTTP/1.1\r\n\r\n"), 0},
        {"a URL, secure, in capitals", BYTES("GET HTTPS://h HTTP/1.1\r\n\r\n"),
         0},
        {"an empty line first", BYTES("\r\n" GET "\r\n"), 400},
        {"a blank first", BYTES(" " GET "\r\n"), 400},
        {"no method", BYTES(" / HTTP/1.1\r\n\r\n"), 400},
        {"a method with a colon", BYTES("G:T / HTTP/1.1\r\n\r\n"), 400},
        {"a method with a tab", BYTES("GET\t/ HTTP/1.1\r\n\r\n"), 400},
        {"two blanks", BYTES("GET  / HTTP/1.1\r\n\r\n"), 400},
        {"two blanks before the version", BYTES("GET /  HTTP/1.1\r\n\r\n"),
         400},
        {"a blank at the end", BYTES("GET / HTTP/1.1 \r\n\r\n"), 400},
        {"a tab in the target", BYTES("GET /a\tb HTTP/1.1\r\n\r\n"), 400},
        {"no target", BYTES("GET HTTP/1.1\r\n\r\n"), 400},
        {"an empty target", BYTES("GET  HTTP/1.1\r\n\r\n"), 400},
        {"no version", BYTES("GET /\r\n\r\n"), 400},
        {"only a method", BYTES("GET\r\n\r\n"), 400},
        {"a target without a slash", BYTES("GET a HTTP/1.1\r\n\r\n"), 400},
        {"only a query", BYTES("GET ?a HTTP/1.1\r\n\r\n"), 400},
        {"a star", BYTES("OPTIONS * HTTP/1.1\r\n\r\n"), 400},
        {"a host and port", BYTES("CONNECT a:443 HTTP/1.1\r\n\r\n"), 400},
        {"a URL of another scheme", BYTES("GET ws://h/ HTTP/1.1\r\n\r\n"),
         400},
        {"a URL without a host", BYTES("GET http:///x HTTP/1.1\r\n\r\n"), 400},
        {"a URL with only a query", BYTES("GET http://?x HTTP/1.1\r\n\r\n"),
         400},
        {"a URL with a user", BYTES("GET http://u@h/ HTTP/1.1\r\n\r\n"), 400},
        {"a URL with another slash", BYTES("GET http:x/hh/ HTTP/1.1\r\n\r\n"),
         400},
        {"a URL without slashes", BYTES("GET http: HTTP/1.1\r\n\r\n"), 400},
        {"a URL with one slash", BYTES("GET http:/hh/ HTTP/1.1\r\n\r\n"), 400},
        {"a fragment", BYTES("GET /a#b HTTP/1.1\r\n\r\n"), 400},
        {"a fragment in the query", BYTES("GET /?a#b HTTP/1.1\r\n\r\n"), 400},
        {"a byte above ASCII", BYTES("GET /\xC3\xA4 HTTP/1.1\r\n\r\n"), 400},
        {"a NUL", BYTES("GET /\0 HTTP/1.1\r\n\r\n"), 400},
        {"DEL", BYTES("GET /\x7F HTTP/1.1\r\n\r\n"), 400},
        {"HTTP/1.2", BYTES("GET / HTTP/1.2\r\n\r\n"), 505},
        {"HTTP/2.0", BYTES("PRI * HTTP/2.0\r\n\r\n"), 505},
        {"HTTP/0.9", BYTES("GET / HTTP/0.9\r\n\r\n"), 505},
        {"HTTP/1.10", BYTES("GET / HTTP/1.10\r\n\r\n"), 400},
        {"HTTP/1", BYTES("GET / HTTP/1\r\n\r\n"), 400},
        {"HTTP/1,1", BYTES("GET / HTTP/1,1\r\n\r\n"), 400},
        {"small letters", BYTES("GET / http/1.1\r\n\r\n"), 400},
        {"another protocol", BYTES("GET / ICAP/1.1\r\n\r\n"), 400},
        {"TLS", BYTES("\x16\x03\x01"), 400},
        {"nothing yet", BYTES(""), 1},
        {"half a line", BYTES("GET / HT"), 1},
        {"a line without its LF", BYTES("GET / HTTP/1.1\r"), 1},
        {"a whole line", BYTES(GET), 1},
        {"all but the last byte", BYTES(GET "a: b\r\n\r"), 1},
    };

    CHECK_CASES(cases);
}

static void
header_lines_are_strict(void)
{
    static const request_case cases[] = {
        {"several", BYTES(GET "Host: a\r\nX: y\r\n\r\n"), 0},
        {"an empty value", BYTES(GET "A:\r\n\r\n"), 0},
        {"colons in the value", BYTES(GET "A: b:c::\r\n\r\n"), 0},
        {"a tab in the value", BYTES(GET "A: b\tc\r\n\r\n"), 0},
        {"bytes above ASCII in the value",
         BYTES(GET "A: \xC3\xA4\xFF\r\n\r\n"), 0},
        {"a name of odd token characters",
         BYTES(GET "!#$%&'*+-.^_`|~09: b\r\n\r\n"), 0},
        {"a folded line", BYTES(GET "A: b\r\n c\r\n\r\n"), 400},
        {"a line folded by a tab", BYTES(GET "A: b\r\n\tc\r\n\r\n"), 400},
        {"a blank before the first name", BYTES(GET " A: b\r\n\r\n"), 400},
        {"a line of one blank", BYTES(GET " \r\n\r\n"), 400},
        {"no colon", BYTES(GET "A\r\n\r\n"), 400},
        {"a blank before the colon", BYTES(GET "A : b\r\n\r\n"), 400},
        {"a tab before the colon", BYTES(GET "A\t: b\r\n\r\n"), 400},
        {"a blank in the name", BYTES(GET "A B: c\r\n\r\n"), 400},
        {"no name", BYTES(GET ": b\r\n\r\n"), 400},
        {"a name in quotes", BYTES(GET "\"A\": b\r\n\r\n"), 400},
        {"a name above ASCII", BYTES(GET "\xC3\xA4: b\r\n\r\n"), 400},
        {"a NUL in the name", BYTES(GET "A\0: b\r\n\r\n"), 400},
        {"a NUL in the value", BYTES(GET "A: b\0c\r\n\r\n"), 400},
        {"BEL in the value", BYTES(GET "A: \a\r\n\r\n"), 400},
        {"ESC in the value", BYTES(GET "A: \x1B[0m\r\n\r\n"), 400},
        {"DEL in the value", BYTES(GET "A: \x7F\r\n\r\n"), 400},
        {"LF alone", BYTES(GET "A: b\n\r\n"), 400},
        {"LF alone after the request line", BYTES("GET / HTTP/1.1\nA: b\r\n"),
         400},
        {"LF alone as the end", BYTES(GET "A: b\r\n\n"), 400},
        {"CR alone in the value", BYTES(GET "A: b\rc\r\n\r\n"), 400},
        {"CR alone at a line's begin", BYTES(GET "\rA: b\r\n\r\n"), 400},
        {"CR CR LF", BYTES(GET "A: b\r\r\n\r\n"), 400},
    };

    CHECK_CASES(cases);
}

static void
a_request_is_taken_apart(void)
{
    static const char text[] = "GET /chat/a%20b?id=1&x=?y HTTP/1.1\r\n"
                               "Host:example.com\r\n"
                               "X-Blanks: \t  in the middle \t \r\n"
                               "Empty:   \r\n"
                               "x-blanks: second\r\n"
                               "\r\n"
                               "\x81\x80what follows";
    ws_http_request req;
    ws_slice value;

    ws_http_init(&req);
    CHECK_EQ(ws_http_parse(&req, text, sizeof text - 1), WS_HTTP_COMPLETE);
    CHECK(is(ws_http_method(&req), "GET"));
    CHECK(is(ws_http_path(&req), "/chat/a%20b"));
    CHECK(req.has_query);
    CHECK(is(ws_http_query(&req), "id=1&x=?y"));
    CHECK(is(ws_http_host(&req), "example.com"));
    CHECK_EQ(req.minor_version, 1);
    CHECK_EQ(req.header_count, 4);
    CHECK(is(ws_http_name_at(&req, 1), "X-Blanks"));
    CHECK(is(ws_http_value_at(&req, 1), "in the middle"));
    CHECK(memcmp(text + req.head_size, "\x81\x80what", 6) == 0);

    CHECK(ws_http_find(&req, "X-BLANKS", 0, &value));
    CHECK(is(value, "in the middle"));
    CHECK(ws_http_find(&req, "X-BLANKS", 1, &value));
    CHECK(is(value, "second"));
    CHECK(!ws_http_find(&req, "X-BLANKS", 2, &value));
    CHECK(value.data == NULL && value.size == 0);
    CHECK(ws_http_find(&req, "empty", 0, &value));
    CHECK(value.data != NULL && value.size == 0);
    CHECK(!ws_http_find(&req, "X-Blank", 0, NULL));
    CHECK(!ws_http_find(&req, "X-Blanks2", 0, NULL));
    CHECK_EQ(ws_http_count(&req, "x-Blanks"), 2);
    CHECK_EQ(ws_http_count(&req, "absent"), 0);
}

static void
a_target_gives_path_query_and_host(void)
{
    static const struct {
        const char *what;
        const char *target;
        const char *path;
        bool has_query;
        const char *query;
        const char *host;
    } cases[] = {
        {"a path", "/a", "/a", false, "", "header"},
        {"a query", "/a?b", "/a", true, "b", "header"},
        {"an empty query", "/a?", "/a", true, "", "header"},
        {"two slashes are a path", "//a/b", "//a/b", false, "", "header"},
        {"a URL in a path", "/http://x/", "/http://x/", false, "", "header"},
        {"a URL", "http://h:81/a?b", "/a", true, "b", "h:81"},
        {"a URL without a path", "http://h", "/", false, "", "h"},
        {"a URL with a query alone", "https://h?b/c", "/", true, "b/c", "h"},
        {"a URL with an address", "http://[::1]:8/", "/", false, "",
         "[::1]:8"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[120];
        ws_http_request req;
        int size = snprintf(text, sizeof text,
                            "GET %s HTTP/1.1\r\nHost: header\r\n\r\n",
                            cases[i].target);
        ws_http_init(&req);
        if (ws_http_parse(&req, text, (size_t)size) != WS_HTTP_COMPLETE ||
            !is(ws_http_path(&req), cases[i].path)) {
            fprintf(stderr, "case: %s\n", cases[i].what);
        }
        CHECK(is(ws_http_path(&req), cases[i].path));
        CHECK_EQ(req.has_query, cases[i].has_query);
        CHECK(is(ws_http_query(&req), cases[i].query));
        CHECK(is(ws_http_host(&req), cases[i].host));
    }
}

static void
lists_go_over_all_lines_in_any_case(void)
{
    static const char text[] = GET "Connection: keep-alive\r\n"
                                   "X: upgrade\r\n"
                                   "CONNECTION: ,, Foo\t,x,\tUPGRADE ,\r\n"
                                   "connection:\r\n"
                                   "Connection: close\r\n"
                                   "Upgrade: websocketx, x-websocket/13\r\n"
                                   "\r\n";
    static const char *const items[] = {"keep-alive", "Foo", "x", "UPGRADE",
                                        "close"};
    ws_http_request req;
    ws_slice item;

    ws_http_init(&req);
    CHECK_EQ(ws_http_parse(&req, text, sizeof text - 1), WS_HTTP_COMPLETE);
    ws_http_list list = ws_http_list_of(&req, "Connection");
    for (size_t i = 0; i < sizeof items / sizeof items[0]; i++) {
        CHECK(ws_http_list_next(&list, &item));
        CHECK(is(item, items[i]));
    }
    CHECK(!ws_http_list_next(&list, &item));
    CHECK(!ws_http_list_next(&list, &item));

    CHECK(ws_http_has_item(&req, "connection", "Upgrade"));
    CHECK(ws_http_has_item(&req, "connection", "KEEP-ALIVE"));
    CHECK(!ws_http_has_item(&req, "connection", "keep"));
    CHECK(!ws_http_has_item(&req, "Upgrade", "websocket"));
    CHECK(!ws_http_has_item(&req, "Absent", "websocket"));
}

/* A head of exactly `size` bytes, its one long header made of `fill`. */
static char *
head_of_size(size_t size, const char *start, char fill)
{
    char *text = malloc(size);
    CHECK(text != NULL && size > strlen(start) + 4);
    memset(text, fill, size);
    memcpy(text, start, strlen(start));
    memcpy(text + size - 4, "\r\n\r\n", 4);
    return text;
}

static void
a_head_may_have_8192_bytes_and_not_one_more(void)
{
    static const struct {
        const char *what;
        const char *start;
        size_t size;
        ws_http_result result;
        unsigned status;
    } cases[] = {
        {"the largest", GET "A: ", 8192, WS_HTTP_COMPLETE, 0},
        {"a byte more", GET "A: ", 8193, WS_HTTP_ERROR, 431},
        {"far more", GET "A: ", 70000, WS_HTTP_ERROR, 431},
        {"in the request line", "GET /", 8193 + 20, WS_HTTP_ERROR, 414},
        {"a method without end", "G", 9000, WS_HTTP_ERROR, 414},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *text = head_of_size(cases[i].size, cases[i].start, 'a');
        ws_http_request req, bytewise;
        ws_http_init(&req);
        ws_http_init(&bytewise);
        ws_http_result result = ws_http_parse(&req, text, cases[i].size);
        for (size_t k = 1; k <= cases[i].size; k++) {
            (void)ws_http_parse(&bytewise, text, k);
        }
        if (result != cases[i].result) {
            fprintf(stderr, "case: %s\n", cases[i].what);
        }
        CHECK_EQ(result, cases[i].result);
        CHECK_EQ(req.status, cases[i].status);
        check_same(&bytewise, &req);
        free(text);
    }
}

/* Refused when the limit is reached, not when the line ends at last. */
static void
a_head_without_end_is_refused_at_the_limit(void)
{
    char text[WS_HTTP_HEAD_MAX + 1];
    ws_http_request req;

    memset(text, 'a', sizeof text);
    memcpy(text, GET, sizeof GET - 1);
    ws_http_init(&req);
    CHECK_EQ(ws_http_parse(&req, text, WS_HTTP_HEAD_MAX - 1),
             WS_HTTP_INCOMPLETE);
    CHECK_EQ(ws_http_parse(&req, text, WS_HTTP_HEAD_MAX), WS_HTTP_ERROR);
    CHECK_EQ(req.status, 431);
}

static void
sixty_four_headers_fit(void)
{
    char text[1000] = GET;
    size_t size = sizeof GET - 1;
    ws_http_request req;

    for (int i = 0; i < WS_HTTP_HEADERS_MAX; i++) {
        size += (size_t)snprintf(text + size, sizeof text - size,
                                 "H%d: %d\r\n", i, i);
    }
    memcpy(text + size, "\r\n", 2);
    ws_http_init(&req);
    CHECK_EQ(ws_http_parse(&req, text, size + 2), WS_HTTP_COMPLETE);
    CHECK_EQ(req.header_count, WS_HTTP_HEADERS_MAX);
    CHECK(is(ws_http_value_at(&req, 63), "63"));

    memcpy(text + size, "X: y\r\n\r\n", 8);
    ws_http_init(&req);
    CHECK_EQ(ws_http_parse(&req, text, size + 8), WS_HTTP_ERROR);
    CHECK_EQ(req.status, 431);
}

/* Bytes of finished lines are never read again: they may even be gone. */
static void
each_byte_is_looked_at_once(void)
{
    static const char text[] = GET "A: b\r\nC: d\r\n\r\n";
    char block[sizeof text];
    ws_http_request req;

    ws_http_init(&req);
    memcpy(block, text, sizeof text);
    for (size_t i = 1; i < sizeof text; i++) {
        (void)ws_http_parse(&req, block, i);
        CHECK_EQ(req.scanned, i);
        memset(block, '\n', req.line_at);
    }
    ws_http_moved(&req, text);
    CHECK_EQ(req.head_size, sizeof text - 1);
    CHECK(is(ws_http_value_at(&req, 1), "d"));
}

static void
nothing_changes_once_it_is_decided(void)
{
    static const char good[] = GET "\r\nmore\r\n", bad[] = "\n" GET "\r\n";
    ws_http_request req;

    ws_http_init(&req);
    for (size_t size = sizeof GET + 1; size < sizeof good; size++) {
        CHECK_EQ(ws_http_parse(&req, good, size), WS_HTTP_COMPLETE);
        CHECK_EQ(req.head_size, sizeof GET + 1);
    }
    ws_http_init(&req);
    for (size_t size = 1; size < sizeof bad; size++) {
        CHECK_EQ(ws_http_parse(&req, bad, size), WS_HTTP_ERROR);
        CHECK_EQ(req.status, 400);
    }
}

static void
headers_of_an_application_are_checked(void)
{
    static const struct {
        const char *what;
        const char *name;
        const char *value;
        size_t value_size;
        bool valid;
    } cases[] = {
        {"a plain one", "Retry-After", BYTES("30"), true},
        {"an empty value", "X", BYTES(""), true},
        {"a blank inside", "X", BYTES("a b"), true},
        {"a tab inside", "X", BYTES("a\tb"), true},
        {"UTF-8", "X", BYTES("\xC3\xA4"), true},
        {"no name", "", BYTES("a"), false},
        {"a colon in the name", "X:", BYTES("a"), false},
        {"a new line in the name", "X\r\nY", BYTES("a"), false},
        {"a new line in the value", "X", BYTES("a\r\nY: b"), false},
        {"LF in the value", "X", BYTES("a\nb"), false},
        {"CR in the value", "X", BYTES("a\rb"), false},
        {"NUL in the value", "X", BYTES("a\0b"), false},
        {"DEL in the value", "X", BYTES("\x7F"), false},
        {"a blank before", "X", BYTES(" a"), false},
        {"a tab behind", "X", BYTES("a\t"), false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ws_slice value = {cases[i].value, cases[i].value_size};
        bool valid = ws_http_header_valid(ws_slice_of(cases[i].name), value);
        if (valid != cases[i].valid) {
            fprintf(stderr, "case: %s\n", cases[i].what);
        }
        CHECK_EQ(valid, cases[i].valid);
    }
}

static uint32_t
dice(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

/* Good requests with some bytes replaced, swapped in from what matters to
   the grammar: in any cut they are the same, and never read beyond. */
static void
random_requests_end_alike_in_any_cut(void)
{
    static const char good[] =
        "GET http://host/path?query HTTP/1.1\r\nHost: host\r\n"
        "Connection: a, b\r\nEmpty:\r\n\r\n\x81\x80";
    static const char odd[] = "\r\n\r\n :\t,/?#@\0\x7F\x80"
                              "AHTTP1.";
    uint32_t seed = 99;

    for (int round = 0; round < 3000; round++) {
        char text[sizeof good];
        size_t size = sizeof good - 1;
        memcpy(text, good, sizeof good);
        for (uint32_t i = dice(&seed) % 4; i > 0; i--) {
            size_t at = dice(&seed) % size;
            text[at] = dice(&seed) % 4 == 0
                           ? (char)dice(&seed)
                           : odd[dice(&seed) % (sizeof odd - 1)];
        }
        ws_http_request req, again;
        (void)parse_cut(&req, text, size, 0);
        (void)parse_cut(&again, text, size, dice(&seed) % (size + 1));
        check_same(&again, &req);
        (void)parse_bytewise(&again, text, size);
        check_same(&again, &req);
    }
}

static const ws_test TESTS[] = {
    TEST(request_lines_are_strict),
    TEST(header_lines_are_strict),
    TEST(a_request_is_taken_apart),
    TEST(a_target_gives_path_query_and_host),
    TEST(lists_go_over_all_lines_in_any_case),
    TEST(a_head_may_have_8192_bytes_and_not_one_more),
    TEST(a_head_without_end_is_refused_at_the_limit),
    TEST(sixty_four_headers_fit),
    TEST(each_byte_is_looked_at_once),
    TEST(nothing_changes_once_it_is_decided),
    TEST(headers_of_an_application_are_checked),
    TEST(random_requests_end_alike_in_any_cut),
};

TEST_MAIN(TESTS)
