#include <string.h>

#include "admit.h"
#include "conn.h"
#include "core/alloc.h"
#include "door.h"
#include "hold.h"
#include "proto/deflate_offer.h"
#include "proto/handshake.h"
#include "proto/handshake_response.h"
#include "proto/origin.h"
#include "proto/query.h"
#include "pump_inside.h"

enum {
    HEAD_FIRST = 1024, // bytes of a request that there is room for at once
};

/* What is found out about it; `known` points into the rest, and into the
   request. */
typedef struct applicant {
    ws_applicant known;
    ws_handshake judged;
    char id[WS_CLIENT_ID_MAX + 1];
    char user[WS_CLIENT_ID_MAX + 1];
    char remote[64];
    ws_network addr; // its address; unless `uncounted`, of the crowd
    bool uncounted;  // it is counted already, or is not to be
} applicant;

static void
free_opening(ws_conn *conn)
{
    ws_free(conn->opening);
    conn->opening = NULL;
}

void
ws_opening_answer(ws_conn *conn, const ws_handshake_answer *what)
{
    char *buf = (char *)conn->pump->scratch;
    size_t size = ws_handshake_response(buf, sizeof conn->pump->scratch, what);
    ws_conn_begin_answer(conn);
    free_opening(conn);
    if (size == 0 || !ws_outbox_put(conn, buf, size)) {
        ws_conn_doom(conn, "out of memory");
        return;
    }
    ws_outbox_write(conn);
}

void
ws_opening_refuse(ws_conn *conn, int status, const char *text,
                  const char *headers)
{
    if (conn->tls != NULL && ws_tls_is_shaking(conn->wsi)) {
        ws_conn_doom(conn, "the TLS handshake took too long");
        return; // there is nothing to answer in yet
    }
    bool head_only = false;
    if (conn->opening != NULL && conn->opening->request.status == 0 &&
        conn->opening->request.head_size > 0) {
        head_only = ws_slice_equal(ws_http_method(&conn->opening->request),
                                   ws_slice_of("HEAD"));
    }
    ws_count(&conn->pump->counters->refused_handshakes, 1);
    ws_opening_answer(conn, &(ws_handshake_answer){
                                .status = status,
                                .body = ws_slice_of(text),
                                .headers = headers,
                                .head_only = head_only,
                            });
}

/* A GET or HEAD that asks for no WebSocket. */
static void
serve_plain(ws_conn *conn, const ws_handshake *judged)
{
    ws_pump *pump = conn->pump;
    ws_slice path = ws_http_path(&conn->opening->request);
    const ws_page *page = ws_pages_get(pump->pages, path.data, path.size);

    if (page != NULL) {
        ws_count(&pump->counters->served_pages, 1);
        conn->page = page;
        conn->page_offset = judged->head_only ? page->body_size : 0;
        ws_opening_answer(
            conn, &(ws_handshake_answer){
                      .status = 200,
                      .content_type = page->type,
                      .body = {NULL, page->body_size},
                      .head_only = true, // the body is sent from the page
                  });
    } else if (conn->port->path == NULL ||
               ws_slice_equal(path, ws_slice_of(conn->port->path))) {
        ws_opening_refuse(conn, 426, "A WebSocket is served here.\n", NULL);
    } else {
        ws_opening_refuse(conn, 404, "There is nothing here.\n", NULL);
    }
}

/* The client's address: the peer's, or behind proxies that are trusted the
   rightmost address that no such proxy has vouched itself for. */
static void
find_remote(const ws_conn *conn, applicant *who)
{
    const ws_settings *settings = conn->pump->settings;
    size_t count = settings->config.trusted_proxy_count;
    ws_network addr;

    who->known.info.peer = (ws_text){conn->peer, strlen(conn->peer)};
    who->known.info.remote = who->known.info.peer;
    who->uncounted = !ws_door_trusts(conn->pump, conn->peer, &who->addr);
    if (who->uncounted) {
        return;
    }
    ws_network proxy = who->addr;
    bool found = false;
    ws_slice item;
    ws_http_list list =
        ws_http_list_of(&conn->opening->request, "X-Forwarded-For");
    while (ws_http_list_next(&list, &item)) {
        if (!ws_network_parse_addr(item, &addr) || addr.is_unix) {
            found = false; // no address: trust nothing to the left of it
            who->addr = proxy;
        } else if (!found ||
                   !ws_network_contains(settings->proxies, count, &addr)) {
            who->addr = addr;
            found = true;
        }
    }
    if (found) {
        ws_network_format(&who->addr, who->remote);
        who->known.info.remote = (ws_text){who->remote, strlen(who->remote)};
    }
    who->uncounted =
        settings->config.max_clients_per_ip == 0 || who->addr.is_unix;
}

/* Takes `name` from the query into out[WS_CLIENT_ID_MAX]; false: answered.
   A parameter that is not there leaves *text as it is. */
static bool
take_parameter(ws_conn *conn, const char *name, char *out, ws_text *text)
{
    size_t size = 0;
    ws_slice query = ws_http_query(&conn->opening->request);
    ws_query_result result =
        name == NULL ? WS_QUERY_MISSING
                     : ws_query_get(query, name, out, WS_CLIENT_ID_MAX, &size);
    if (result == WS_QUERY_MISSING) {
        return true;
    }
    if (result != WS_QUERY_FOUND || size == 0) {
        ws_opening_refuse(conn, 400,
                          "The id or user in the query must be given once, "
                          "as 1 to 255 bytes of UTF-8.\n",
                          NULL);
        return false;
    }
    *text = (ws_text){out, size};
    return true;
}

static bool
identify(ws_conn *conn, applicant *who)
{
    const ws_pump_config *config = &conn->pump->settings->config;
    return take_parameter(conn, config->id_query, who->id,
                          &who->known.info.id) &&
           take_parameter(conn, config->user_query, who->user,
                          &who->known.info.user);
}

/* The rules that the request alone cannot decide; false: answered. */
static bool
is_welcome(ws_conn *conn, const applicant *who)
{
    const ws_pump *pump = conn->pump;
    const ws_pump_config *config = &pump->settings->config;
    const ws_http_request *request = &conn->opening->request;
    const char *path = conn->port->path;

    if (path != NULL &&
        !ws_slice_equal(ws_http_path(request), ws_slice_of(path))) {
        ws_opening_refuse(conn, 404, "There is nothing here.\n", NULL);
        return false;
    }
    if (config->origin_count > 0 &&
        !ws_origin_allowed(who->judged.origin, ws_http_host(request),
                           config->origins, config->origin_count)) {
        ws_opening_refuse(conn, 403, "This origin is not allowed.\n", NULL);
        return false;
    }
    return true;
}

/* It has kept all rules. */
static void
let_in(ws_conn *conn, applicant *who)
{
    const ws_pump_config *config = &conn->pump->settings->config;
    const ws_opening *opening = conn->opening;
    const char *subprotocol = ws_handshake_select(
        &opening->request, config->subprotocols, config->subprotocol_count);

    who->known.key = who->judged.key;
    who->known.subprotocol = subprotocol;
    if (subprotocol != NULL) {
        who->known.info.subprotocol =
            (ws_text){subprotocol, strlen(subprotocol)};
    }
    who->known.info.request =
        (ws_text){opening->head, opening->request.head_size};
    if (!identify(conn, who) ||
        (!who->uncounted && !ws_admit_count(conn, &who->known, &who->addr))) {
        return;
    }
    if (config->authorize) {
        ws_hold_begin(conn, &who->known);
    } else {
        ws_admit(conn, &who->known, &(ws_join){.replace = false});
    }
}

static void
decide(ws_conn *conn)
{
    const ws_pump_config *config = &conn->pump->settings->config;
    ws_opening *opening = conn->opening;
    applicant who = {.uncounted = false};

    ws_handshake_judge(&opening->request, &who.judged);
    if (who.judged.kind == WS_HANDSHAKE_PLAIN) {
        serve_plain(conn, &who.judged);
        return;
    }
    if (who.judged.kind == WS_HANDSHAKE_REFUSE) {
        ws_opening_refuse(conn, who.judged.status, who.judged.reason,
                          who.judged.headers);
        return;
    }
    if (config->compression &&
        !ws_deflate_negotiate(&opening->request, &who.known.deflate)) {
        ws_opening_refuse(conn, 400,
                          "Sec-WebSocket-Extensions is not a list of "
                          "extensions.\n",
                          NULL);
        return;
    }
    find_remote(conn, &who);
    if (is_welcome(conn, &who)) {
        let_in(conn, &who);
    }
}

/* Makes room for so many bytes more, as far as a head may grow: who says
   little is lent little. False: no memory. */
static bool
reserve_head(ws_conn *conn, size_t size)
{
    ws_opening *opening = conn->opening;
    size_t before = opening == NULL ? 0 : opening->size;
    size_t cap = opening == NULL ? HEAD_FIRST : opening->cap;
    while (cap < WS_HTTP_HEAD_MAX && cap - before < size) {
        cap *= 2;
    }
    if (opening != NULL && cap == opening->cap) {
        return true;
    }
    ws_opening *grown = ws_realloc(opening, sizeof *grown + cap);
    if (grown == NULL) {
        return false;
    }
    if (opening == NULL) {
        ws_http_init(&grown->request);
        grown->size = 0;
    }
    grown->cap = (uint16_t)cap;
    conn->opening = grown;
    return true;
}

size_t
ws_opening_feed(ws_conn *conn, const uint8_t *data, size_t size)
{
    if (!reserve_head(conn, size)) {
        ws_opening_refuse(conn, 503, "Out of memory.\n", NULL);
        return size;
    }
    ws_opening *opening = conn->opening;
    size_t before = opening->size;
    size_t room = opening->cap - before;
    size_t taken = size < room ? size : room;
    memcpy(opening->head + before, data, taken);
    opening->size = (uint16_t)(before + taken);

    switch (ws_http_parse(&opening->request, opening->head, opening->size)) {
    case WS_HTTP_INCOMPLETE:
        return size; // a full head is never incomplete, so all was taken
    case WS_HTTP_ERROR:
        ws_opening_refuse(conn, opening->request.status,
                          opening->request.error, NULL);
        return size;
    case WS_HTTP_COMPLETE:
        taken = opening->request.head_size - before;
        decide(conn);
        return taken;
    }
    return size;
}
