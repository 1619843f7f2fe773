#include "handshake_response.h"

#include <assert.h>
#include <stdio.h>

#include "handshake.h"

/* A buffer that notes when something did not fit. */
typedef struct {
    char *buf;
    size_t size; // of buf
    size_t used;
    bool overflow;
} writer;

static void
put(writer *out, ws_slice text)
{
    if (text.size > out->size - out->used) {
        out->overflow = true;
    } else if (text.size > 0) {
        memcpy(out->buf + out->used, text.data, text.size);
        out->used += text.size;
    }
}

static void
put_text(writer *out, const char *text)
{
    put(out, ws_slice_of(text));
}

/* A header line; NULL: none. */
static void
put_header(writer *out, const char *name, const char *value)
{
    if (value != NULL) {
        put_text(out, name);
        put_text(out, ": ");
        put_text(out, value);
        put_text(out, "\r\n");
    }
}

static size_t
finish(const writer *out)
{
    return out->overflow ? 0 : out->used;
}

size_t
ws_handshake_switch(char *buf, size_t size,
                    const ws_handshake_upgrade *upgrade)
{
    writer out = {.buf = buf, .size = size};
    char accept[WS_HANDSHAKE_ACCEPT_SIZE + 1];

    if (!ws_handshake_accept_key(upgrade->key, accept)) {
        return 0;
    }
    put_text(&out, "HTTP/1.1 101 Switching Protocols\r\n"
                   "Upgrade: websocket\r\n"
                   "Connection: Upgrade\r\n");
    put_header(&out, "Sec-WebSocket-Accept", accept);
    put_header(&out, "Sec-WebSocket-Protocol", upgrade->subprotocol);
    put_header(&out, "Sec-WebSocket-Extensions", upgrade->extensions);
    put_text(&out, upgrade->headers != NULL ? upgrade->headers : "");
    put_text(&out, "\r\n");
    return finish(&out);
}

/* The headers that say what becomes of the connection. */
static void
put_connection(writer *out, int status)
{
    if (status != 426) {
        put_header(out, "Connection", "close");
        return;
    }
    put_header(out, "Connection", "close, Upgrade");
    put_header(out, "Upgrade", "websocket");
    put_header(out, "Sec-WebSocket-Version", "13");
}

size_t
ws_handshake_response(char *buf, size_t size,
                      const ws_handshake_answer *answer)
{
    writer out = {.buf = buf, .size = size};
    char number[32];

    assert(answer->status >= 200 && answer->status <= 599);
    assert(answer->status != 204 && answer->status != 304);
    (void)snprintf(number, sizeof number, "HTTP/1.1 %d ", answer->status);
    put_text(&out, number);
    put_text(&out, ws_handshake_status_text(answer->status));
    put_text(&out, "\r\n");
    put_header(&out, "Content-Type",
               answer->content_type != NULL ? answer->content_type
                                            : "text/plain; charset=utf-8");
    (void)snprintf(number, sizeof number, "%zu", answer->body.size);
    put_header(&out, "Content-Length", number);
    put_connection(&out, answer->status);
    put_text(&out, answer->headers != NULL ? answer->headers : "");
    put_text(&out, "\r\n");
    if (!answer->head_only) {
        put(&out, answer->body);
    }
    return finish(&out);
}

const char *
ws_handshake_status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } names[] = {
        {200, "OK"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {402, "Payment Required"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {423, "Locked"},
        {425, "Too Early"},
        {426, "Upgrade Required"},
        {428, "Precondition Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {451, "Unavailable For Legal Reasons"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {511, "Network Authentication Required"},
    };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i].status == status) {
            return names[i].text;
        }
    }
    return "";
}
