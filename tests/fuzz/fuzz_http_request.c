/* The opening request: in any pieces, by a second opinion, and what is made of
   it: the judgement, the lists, the host, the answers. */
#include <openssl/evp.h>
#include <sanitizer/asan_interface.h>

#include "fuzz.h"
#include "proto/handshake.h"
#include "proto/handshake_response.h"
#include "proto/http_request.h"
#include "proto/origin.h"
#include "reference_http.h"

static const char *const ours[] = {"chat", "graphql-ws", "v1.json"};
enum { OURS_COUNT = sizeof ours / sizeof ours[0] };

/* ---- reading */

typedef struct {
    ws_http_request *req; // in a block of its own, as large as it is
    ws_http_result result;
    char *bytes;
} reading;

static reading
begin(void)
{
    reading r = {.req = malloc(sizeof *r.req), .result = WS_HTTP_INCOMPLETE};

    CHECK(r.req != NULL);
    ws_http_init(r.req);
    return r;
}

static void
end(reading *r)
{
    free(r->req);
    free(r->bytes);
}

/* One more call; what was said once stays. */
static void
read_more(reading *r, const char *data, size_t size)
{
    uint16_t status = r->req->status;
    uint16_t head_size = r->req->head_size;
    ws_http_result before = r->result;

    r->result = ws_http_parse(r->req, data, size);
    if (before != WS_HTTP_INCOMPLETE) {
        CHECK_EQ(r->result, before);
        CHECK_EQ(r->req->status, status);
        CHECK_EQ(r->req->head_size, head_size);
    }
}

/* In pieces, and with each the bytes move to a new block. */
static reading
read_in_pieces(fuzz_input in, fuzz_cuts cuts)
{
    reading r = begin();
    size_t size = 0;

    do {
        char *old = r.bytes;
        size += fuzz_next_piece(&cuts, in.size - size);
        r.bytes = fuzz_copy(in.data, size);
        free(old);
        read_more(&r, r.bytes, size);
    } while (size < in.size);
    return r;
}

/* Byte by byte, where it stands; the bytes to come cannot be looked at. */
static reading
read_bytewise(fuzz_input in)
{
    reading r = begin();

    r.bytes = fuzz_copy(in.data, in.size);
    ASAN_POISON_MEMORY_REGION(r.bytes, in.size);
    for (size_t size = 0; size <= in.size; size++) {
        ASAN_UNPOISON_MEMORY_REGION(r.bytes, size);
        read_more(&r, r.bytes, size);
    }
    return r;
}

static void
check_same_slice(const ws_http_request *a, ws_slice in_a,
                 const ws_http_request *b, ws_slice in_b)
{
    CHECK_EQ(in_a.size, in_b.size);
    CHECK((in_a.data == NULL) == (in_b.data == NULL));
    if (in_a.data >= a->base && in_a.data <= a->base + a->head_size) {
        CHECK_EQ(in_a.data - a->base, in_b.data - b->base);
    } else { // "/" for an empty path, or an empty text
        CHECK_MEM_EQ(in_a.data, in_b.data, in_a.size);
    }
}

static void
check_same_judgement(const ws_http_request *a, const ws_http_request *b)
{
    ws_handshake of_a;
    ws_handshake of_b;

    ws_handshake_judge(a, &of_a);
    ws_handshake_judge(b, &of_b);
    CHECK_EQ(of_a.kind, of_b.kind);
    CHECK_EQ(of_a.head_only, of_b.head_only);
    CHECK_EQ(of_a.status, of_b.status);
    CHECK_STR_EQ(of_a.reason, of_b.reason);
    CHECK_STR_EQ(of_a.headers, of_b.headers);
    check_same_slice(a, of_a.key, b, of_b.key);
    check_same_slice(a, of_a.origin, b, of_b.origin);
}

static void
check_same(const reading *a, const reading *b)
{
    const ws_http_request *in_a = a->req;
    const ws_http_request *in_b = b->req;

    CHECK_EQ(a->result, b->result);
    CHECK_EQ(in_a->status, in_b->status);
    CHECK_STR_EQ(in_a->error, in_b->error);
    CHECK_EQ(in_a->head_size, in_b->head_size);
    if (a->result != WS_HTTP_COMPLETE) {
        return;
    }
    CHECK_EQ(in_a->minor_version, in_b->minor_version);
    CHECK_EQ(in_a->has_query, in_b->has_query);
    CHECK_EQ(in_a->header_count, in_b->header_count);
    check_same_slice(in_a, ws_http_method(in_a), in_b, ws_http_method(in_b));
    check_same_slice(in_a, ws_http_path(in_a), in_b, ws_http_path(in_b));
    check_same_slice(in_a, ws_http_query(in_a), in_b, ws_http_query(in_b));
    check_same_slice(in_a, ws_http_host(in_a), in_b, ws_http_host(in_b));
    for (size_t i = 0; i < in_a->header_count; i++) {
        check_same_slice(in_a, ws_http_name_at(in_a, i), in_b,
                         ws_http_name_at(in_b, i));
        check_same_slice(in_a, ws_http_value_at(in_a, i), in_b,
                         ws_http_value_at(in_b, i));
    }
    check_same_judgement(in_a, in_b);
}

/* ---- the second opinion */

static void
check_text(ws_slice got, const char *want)
{
    CHECK_EQ(got.size, strlen(want));
    CHECK_MEM_EQ(got.data, want, got.size);
}

static void
check_parts(const ws_http_request *req, const reference_http *ref)
{
    const char *host;

    CHECK_EQ(req->head_size, ref->head_size);
    CHECK_EQ(req->minor_version, ref->version[7] - '0');
    check_text(ws_http_method(req), ref->method);
    check_text(ws_http_path(req), ref->path);
    CHECK_EQ(req->has_query, ref->query != NULL);
    check_text(ws_http_query(req), ref->query != NULL ? ref->query : "");
    (void)reference_http_find(ref, "Host", &host);
    check_text(ws_http_host(req),
               ref->authority != NULL ? ref->authority : host);
    CHECK_EQ(req->header_count, ref->count);
    for (size_t i = 0; i < ref->count; i++) {
        const char *value;
        ws_slice found;
        check_text(ws_http_name_at(req, i), ref->names[i]);
        check_text(ws_http_value_at(req, i), ref->values[i]);
        CHECK(ws_http_header_valid(ws_http_name_at(req, i),
                                   ws_http_value_at(req, i)));
        size_t count = reference_http_find(ref, ref->names[i], &value);
        CHECK_EQ(ws_http_count(req, ref->names[i]), count);
        CHECK(ws_http_find(req, ref->names[i], 0, &found));
        check_text(found, value);
    }
}

/* ---- lists */

static bool
is_next_item(void *list, const char *item)
{
    ws_slice next;

    CHECK(ws_http_list_next(list, &next));
    check_text(next, item);
    return true;
}

static void
check_list(const ws_http_request *req, const reference_http *ref,
           const char *name)
{
    ws_http_list list = ws_http_list_of(req, name);
    ws_slice item;

    (void)reference_http_items(ref, name, is_next_item, &list);
    CHECK(!ws_http_list_next(&list, &item));
}

static bool
is_not(void *with, const char *item)
{
    return strcmp(with, item) != 0;
}

static bool
is_not_nocase(void *with, const char *item)
{
    return strcasecmp(with, item) != 0;
}

static bool
has_item(const reference_http *ref, const char *name, char *item)
{
    return !reference_http_items(ref, name, is_not_nocase, item);
}

static void
check_select(const ws_http_request *req, const reference_http *ref)
{
    const char *want = NULL;

    for (size_t i = 0; i < OURS_COUNT && want == NULL; i++) {
        char item[16];
        strcpy(item, ours[i]);
        if (!reference_http_items(ref, "Sec-WebSocket-Protocol", is_not,
                                  item)) {
            want = ours[i];
        }
    }
    CHECK_STR_EQ(ws_handshake_select(req, ours, OURS_COUNT), want);
}

/* ---- the judgement */

static bool
is_token(void *with, const char *item)
{
    (void)with;
    return reference_http_is_token(item);
}

/* 16 bytes, and written in the one way there is to write them. */
static bool
is_key(const char *key)
{
    unsigned char bytes[24];
    unsigned char again[25];

    if (strlen(key) != 24 || strchr(key, '=') != key + 22 ||
        EVP_DecodeBlock(bytes, (const unsigned char *)key, 24) != 18) {
        return false;
    }
    (void)EVP_EncodeBlock(again, bytes, 16);
    return memcmp(key, again, 24) == 0;
}

static bool
has_body(const reference_http *ref)
{
    const char *value;
    size_t lengths = reference_http_find(ref, "Content-Length", &value);

    return lengths > 1 || (lengths == 1 && strcmp(value, "0") != 0) ||
           reference_http_find(ref, "Transfer-Encoding", &value) > 0;
}

static bool
has_host(const reference_http *ref)
{
    const char *host;
    size_t hosts = reference_http_find(ref, "Host", &host);

    return hosts == 1 && ws_origin_host_valid(ws_slice_of(host)) &&
           (ref->authority == NULL ||
            ws_origin_host_valid(ws_slice_of(ref->authority)));
}

static bool
wants_websocket(const reference_http *ref)
{
    const char *key;

    return has_item(ref, "Upgrade", (char[]){"websocket"}) ||
           reference_http_find(ref, "Sec-WebSocket-Key", &key) > 0;
}

static bool
is_upgrade(const reference_http *ref)
{
    const char *value;

    return strcmp(ref->method, "GET") == 0 &&
           strcmp(ref->version, "HTTP/1.1") == 0 && has_host(ref) &&
           !has_body(ref) && has_item(ref, "Upgrade", (char[]){"websocket"}) &&
           has_item(ref, "Connection", (char[]){"upgrade"}) &&
           reference_http_find(ref, "Sec-WebSocket-Version", &value) == 1 &&
           strcmp(value, "13") == 0 &&
           reference_http_find(ref, "Sec-WebSocket-Key", &value) == 1 &&
           is_key(value) &&
           reference_http_items(ref, "Sec-WebSocket-Protocol", is_token,
                                NULL) &&
           reference_http_find(ref, "Origin", &value) <= 1;
}

static bool
is_plain(const reference_http *ref)
{
    const char *host;
    bool needs_none = strcmp(ref->version, "HTTP/1.0") == 0 &&
                      reference_http_find(ref, "Host", &host) == 0;

    return (strcmp(ref->method, "GET") == 0 ||
            strcmp(ref->method, "HEAD") == 0) &&
           !wants_websocket(ref) && !has_body(ref) &&
           (needs_none || has_host(ref));
}

static void
check_judgement(const ws_handshake *judged, const reference_http *ref)
{
    const char *origin;

    CHECK_EQ(judged->kind == WS_HANDSHAKE_UPGRADE, is_upgrade(ref));
    CHECK_EQ(judged->kind == WS_HANDSHAKE_PLAIN, is_plain(ref));
    CHECK_EQ(judged->head_only, strcmp(ref->method, "HEAD") == 0);
    if (judged->kind == WS_HANDSHAKE_UPGRADE) {
        size_t origins = reference_http_find(ref, "Origin", &origin);
        CHECK_EQ(judged->origin.data != NULL, origins > 0);
        check_text(judged->origin, origin);
    }
    if (judged->kind == WS_HANDSHAKE_REFUSE) {
        CHECK(judged->status >= 400 && judged->status < 500);
        CHECK(judged->reason[0] != '\0');
    }
}

/* ---- the answers */

typedef size_t writer(char *buf, size_t size, const void *what);

static size_t
write_switch(char *buf, size_t size, const void *what)
{
    return ws_handshake_switch(buf, size, what);
}

static size_t
write_response(char *buf, size_t size, const void *what)
{
    return ws_handshake_response(buf, size, what);
}

/* Into a block of any size: whole, or nothing. */
static void
check_writer(writer *write, const void *what, size_t room, size_t most)
{
    char *all = malloc(most);
    char *some = malloc(room);

    CHECK(all != NULL && some != NULL);
    size_t size = write(all, most, what);
    CHECK(size > 0 && size <= most);
    CHECK_MEM_EQ(all, "HTTP/1.1 ", 9);
    CHECK_EQ(write(some, room, what), room < size ? 0 : size);
    if (room >= size) {
        CHECK_MEM_EQ(some, all, size);
    }
    free(all);
    free(some);
}

static void
check_answers(const ws_http_request *req, const ws_handshake *judged,
              fuzz_input choices)
{
    size_t room = fuzz_take_number(&choices, 2) % 1024;
    ws_handshake_answer answer = {
        .status = 200 + (int)(fuzz_take_number(&choices, 2) % 400),
        .body = ws_http_path(req),
        .headers = judged->headers,
        .head_only = judged->head_only,
    };

    if (judged->kind == WS_HANDSHAKE_UPGRADE) {
        ws_handshake_upgrade upgrade = {
            .key = judged->key,
            .subprotocol = ws_handshake_select(req, ours, OURS_COUNT),
        };
        check_writer(write_switch, &upgrade, room, 256 + 16);
    }
    if (answer.status != 204 && answer.status != 304) {
        check_writer(write_response, &answer, room, 512 + answer.body.size);
    }
}

/* ---- together */

static void
check_complete(const ws_http_request *req, const reference_http *ref,
               fuzz_input choices)
{
    ws_handshake judged;

    check_parts(req, ref);
    check_list(req, ref, "Connection");
    check_list(req, ref, "Sec-WebSocket-Protocol");
    check_select(req, ref);
    ws_handshake_judge(req, &judged);
    check_judgement(&judged, ref);
    check_answers(req, &judged, choices);
}

static void
run(fuzz_input in)
{
    static reference_http ref;
    fuzz_input choices = in;
    fuzz_cuts cuts = fuzz_take_cuts(&in);
    reading whole = read_in_pieces(in, (fuzz_cuts){.count = 0});
    reading pieces = read_in_pieces(in, cuts);
    reading bytes = read_bytewise(in);

    check_same(&whole, &pieces);
    check_same(&whole, &bytes);
    reference_http_read(&ref, in.data, in.size);
    CHECK_EQ(whole.result == WS_HTTP_COMPLETE, ref.complete);
    if (whole.result == WS_HTTP_COMPLETE) {
        check_complete(whole.req, &ref, choices);
    } else if (in.size >= WS_HTTP_HEAD_MAX || ref.head_size > 0) {
        CHECK_EQ(whole.result, WS_HTTP_ERROR);
    }
    end(&whole);
    end(&pieces);
    end(&bytes);
}

FUZZ_MAIN(run)
