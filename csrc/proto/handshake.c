#include "handshake.h"

#include <openssl/evp.h>

#include "origin.h"

enum { KEY_SIZE = 24, SHA1_SIZE = 20 };

static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/* Fills in a refusal; false, so that a rule can return it. */
static bool
refuse(ws_handshake *out, uint16_t status, const char *reason)
{
    out->kind = WS_HANDSHAKE_REFUSE;
    out->status = status;
    out->reason = reason;
    return false;
}

static bool
is_http_1_0(const ws_http_request *req)
{
    return req->minor_version == 0;
}

static bool
upgrades_to_websocket(const ws_http_request *req)
{
    return ws_http_has_item(req, "Upgrade", "websocket");
}

static bool
wants_websocket(const ws_http_request *req)
{
    return upgrades_to_websocket(req) ||
           ws_http_count(req, "Sec-WebSocket-Key") > 0;
}

/* RFC 9112 3.2: one Host, and a sound one. */
static bool
host_holds(const ws_http_request *req, ws_handshake *out)
{
    size_t count = ws_http_count(req, "Host");
    ws_slice host;

    if (count == 0 && is_http_1_0(req)) {
        return true;
    }
    if (count != 1) {
        return refuse(out, 400, "Host must be given exactly once.");
    }
    (void)ws_http_find(req, "Host", 0, &host);
    if (!ws_origin_host_valid(host) ||
        !ws_origin_host_valid(ws_http_host(req))) {
        return refuse(out, 400, "Host is not a host.");
    }
    return true;
}

static bool
method_holds(const ws_http_request *req, bool upgrade, ws_handshake *out)
{
    ws_slice method = ws_http_method(req);

    out->head_only = ws_slice_equal(method, ws_slice_of("HEAD"));
    if (ws_slice_equal(method, ws_slice_of("GET")) ||
        (out->head_only && !upgrade)) {
        return true;
    }
    out->headers = upgrade ? "Allow: GET\r\n" : "Allow: GET, HEAD\r\n";
    return refuse(out, 405,
                  upgrade ? "A WebSocket is opened by GET."
                          : "Only GET and HEAD are answered here.");
}

static bool
has_no_body(const ws_http_request *req, ws_handshake *out)
{
    ws_slice length = ws_slice_of("0");
    bool announced = ws_http_find(req, "Content-Length", 0, &length);

    if (ws_http_count(req, "Transfer-Encoding") > 0 ||
        ws_http_count(req, "Content-Length") > 1 ||
        (announced && !ws_slice_equal(length, ws_slice_of("0")))) {
        return refuse(out, 400, "The request may not have a body.");
    }
    return true;
}

/* RFC 6455 4.2.1, points 1, 3 and 4: who asks, and for what. */
static bool
upgrade_holds(const ws_http_request *req, ws_handshake *out)
{
    if (is_http_1_0(req)) {
        return refuse(out, 400,
                      "A WebSocket needs HTTP/1.1; a proxy on the way may "
                      "have to be told.");
    }
    if (!upgrades_to_websocket(req)) {
        return refuse(out, 426,
                      "Upgrade does not name websocket; a proxy on the way "
                      "may have to be told to pass it on.");
    }
    if (!ws_http_has_item(req, "Connection", "upgrade")) {
        return refuse(out, 400,
                      "Connection does not name upgrade; a proxy on the way "
                      "may have to be told to pass it on.");
    }
    return true;
}

static bool
version_holds(const ws_http_request *req, ws_handshake *out)
{
    ws_slice version;

    if (!ws_http_find(req, "Sec-WebSocket-Version", 0, &version) ||
        !ws_slice_equal(version, ws_slice_of("13")) ||
        ws_http_count(req, "Sec-WebSocket-Version") > 1) {
        return refuse(out, 426, "Sec-WebSocket-Version must be 13.");
    }
    return true;
}

static bool
is_base64(char c)
{
    return ws_slice_is_alnum(c) || c == '+' || c == '/';
}

/* 16 bytes in canonical base64: 21 digits of 6 bits, one whose last 4 bits
   are 0 for want of bytes, and the padding (RFC 4648 3.5). */
static bool
is_key(ws_slice key)
{
    if (key.size != KEY_SIZE || memcmp(key.data + 22, "==", 2) != 0) {
        return false;
    }
    for (size_t i = 0; i < 21; i++) {
        if (!is_base64(key.data[i])) {
            return false;
        }
    }
    return memchr("AQgw", key.data[21], 4) != NULL;
}

static bool
key_holds(const ws_http_request *req, ws_handshake *out)
{
    if (ws_http_count(req, "Sec-WebSocket-Key") != 1 ||
        !ws_http_find(req, "Sec-WebSocket-Key", 0, &out->key) ||
        !is_key(out->key)) {
        return refuse(out, 400,
                      "Sec-WebSocket-Key must be 16 bytes in base64, once.");
    }
    return true;
}

static bool
subprotocols_hold(const ws_http_request *req, ws_handshake *out)
{
    ws_http_list list = ws_http_list_of(req, "Sec-WebSocket-Protocol");

    for (ws_slice item; ws_http_list_next(&list, &item);) {
        if (!ws_slice_is_token(item)) {
            return refuse(out, 400,
                          "Sec-WebSocket-Protocol is not a list of tokens.");
        }
    }
    return true;
}

static bool
origin_holds(const ws_http_request *req, ws_handshake *out)
{
    if (ws_http_count(req, "Origin") > 1) {
        return refuse(out, 400, "Origin is given more than once.");
    }
    (void)ws_http_find(req, "Origin", 0, &out->origin);
    return true;
}

void
ws_handshake_judge(const ws_http_request *req, ws_handshake *out)
{
    bool upgrade = wants_websocket(req);

    *out = (ws_handshake){.headers = "", .reason = ""};
    if (!method_holds(req, upgrade, out) || !host_holds(req, out) ||
        !has_no_body(req, out)) {
        return;
    }
    out->kind = WS_HANDSHAKE_PLAIN;
    if (!upgrade) {
        return;
    }
    if (upgrade_holds(req, out) && version_holds(req, out) &&
        key_holds(req, out) && subprotocols_hold(req, out) &&
        origin_holds(req, out)) {
        out->kind = WS_HANDSHAKE_UPGRADE;
    }
}

bool
ws_handshake_offers(const ws_http_request *req, ws_slice subprotocol)
{
    ws_http_list list = ws_http_list_of(req, "Sec-WebSocket-Protocol");

    for (ws_slice item; ws_http_list_next(&list, &item);) {
        if (ws_slice_equal(item, subprotocol)) {
            return true;
        }
    }
    return false;
}

const char *
ws_handshake_select(const ws_http_request *req, const char *const *ours,
                    size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (ws_handshake_offers(req, ws_slice_of(ours[i]))) {
            return ours[i];
        }
    }
    return NULL;
}

bool
ws_handshake_accept_key(ws_slice key, char out[WS_HANDSHAKE_ACCEPT_SIZE + 1])
{
    char both[KEY_SIZE + sizeof guid - 1];
    unsigned char digest[EVP_MAX_MD_SIZE];

    out[0] = '\0';
    if (key.size != KEY_SIZE) {
        return false;
    }
    memcpy(both, key.data, KEY_SIZE);
    memcpy(both + KEY_SIZE, guid, sizeof guid - 1);
    if (EVP_Digest(both, sizeof both, digest, NULL, EVP_sha1(), NULL) != 1) {
        return false;
    }
    (void)EVP_EncodeBlock((unsigned char *)out, digest, SHA1_SIZE);
    return true;
}
