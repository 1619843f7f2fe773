/* Offers of permessage-deflate: lines of Sec-WebSocket-Extensions, against a
   parser that cuts them up first; and the answer, which must be one. */
#include <sanitizer/asan_interface.h>

#include "fuzz.h"
#include "proto/deflate_offer.h"
#include "proto/http_request.h"
#include "reference_extensions.h"

#define PREFIX "GET / HTTP/1.1\r\n"

enum { HEAD_MAX = 8192, LINES_MAX = 32 };

/* A header may be called so, or be another. */
static const char *const names[] = {
    "Sec-WebSocket-Extensions: ",
    "sec-websocket-extensions:",
    "SEC-WEBSOCKET-EXTENSIONS:\t",
    "Sec-WebSocket-Protocol: ",
};
enum { NAMES = sizeof names / sizeof names[0], OTHER = NAMES - 1 };

typedef struct {
    char text[HEAD_MAX + 1];
    size_t size;
} head;

static void
put(head *h, const char *text, size_t size)
{
    if (h->size + size <= HEAD_MAX) {
        memcpy(h->text + h->size, text, size);
        h->size += size;
    }
}

/* Each line of the input becomes a header. */
static void
make_head(head *h, fuzz_input in, uint32_t kinds)
{
    const char *at = (const char *)in.data;
    size_t left = in.size;

    put(h, PREFIX, strlen(PREFIX));
    for (size_t i = 0; i < LINES_MAX && left > 0; i++, kinds >>= 2) {
        const char *name = names[kinds % NAMES];
        const char *end = memchr(at, '\n', left);
        size_t size = end == NULL ? left : (size_t)(end - at);
        put(h, name, strlen(name));
        put(h, at, size);
        put(h, "\r\n", 2);
        size += end != NULL;
        at += size;
        left -= size;
    }
    put(h, "\r\n", 2);
}

static reference_agreement
second_opinion(const head *h)
{
    static reference_http ref;
    reference_agreement want = {.bits = 0};

    reference_http_read(&ref, h->text, h->size);
    CHECK(ref.complete);
    for (size_t i = 0; i < ref.count; i++) {
        if (strcasecmp(ref.names[i], "Sec-WebSocket-Extensions") == 0) {
            reference_extensions(ref.values[i], &want);
        }
    }
    return want;
}

static void
check_answer(const ws_deflate_agreement *agreed)
{
    char *answer = malloc(WS_DEFLATE_RESPONSE_MAX);
    reference_agreement again = {.bits = 0};

    CHECK(answer != NULL);
    ws_deflate_response(agreed, answer);
    CHECK(memchr(answer, '\0', WS_DEFLATE_RESPONSE_MAX) != NULL);
    CHECK(ws_http_header_valid(ws_slice_of("Sec-WebSocket-Extensions"),
                               ws_slice_of(answer)));
    reference_extensions(answer, &again);
    CHECK(!again.malformed);
    CHECK_EQ(again.bits, agreed->window_bits);
    CHECK_EQ(again.asked, agreed->bits_asked);
    // What makes each message stand by itself; and nothing that a client must
    // have offered first.
    CHECK(strstr(answer, "; server_no_context_takeover") != NULL);
    CHECK(strstr(answer, "; client_no_context_takeover") != NULL);
    CHECK(strstr(answer, "client_max_window_bits") == NULL);
    free(answer);
}

/* With the bytes behind the last header's value out of reach. */
static void
check_head(const head *h, char *text)
{
    ws_http_request req;
    ws_deflate_agreement agreed;

    ws_http_init(&req);
    if (ws_http_parse(&req, text, h->size) != WS_HTTP_COMPLETE ||
        req.head_size != h->size) {
        return; // no such head
    }
    ASAN_POISON_MEMORY_REGION(text + h->size - 4, 4);
    bool good = ws_deflate_negotiate(&req, &agreed);
    ASAN_UNPOISON_MEMORY_REGION(text + h->size - 4, 4);
    reference_agreement want = second_opinion(h);
    CHECK_EQ(good, !want.malformed);
    CHECK_EQ(agreed.window_bits, want.malformed ? 0 : want.bits);
    if (good && agreed.window_bits > 0) {
        CHECK_EQ(agreed.bits_asked, want.asked);
        check_answer(&agreed);
    }
}

static void
run(fuzz_input in)
{
    uint32_t kinds = (uint32_t)fuzz_take_number(&in, 2);
    head h = {.size = 0};

    make_head(&h, in, kinds);
    char *text = fuzz_copy(h.text, h.size);
    check_head(&h, text);
    free(text);
}

FUZZ_MAIN(run)
