#include "admit.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "core/alloc.h"
#include "proto/handshake_response.h"
#include "pump_inside.h"

enum {
    ID_BYTES = 16, // of randomness in an id of ours
};

static const char CANNOT[] = "The server cannot take clients now.\n";

void
ws_admit_refuse(ws_conn *conn, bool counted, const char *text)
{
    if (counted) {
        ws_crowd_leave(conn->pump->crowd, conn->crowd);
        conn->crowd = NULL;
    }
    ws_opening_refuse(conn, 503, text, "Retry-After: 10\r\n");
}

bool
ws_admit_count(ws_conn *conn, ws_applicant *who, const ws_network *addr)
{
    const ws_pump *pump = conn->pump;
    ws_err err = ws_crowd_enter(pump->crowd, addr,
                                pump->settings->config.max_clients_per_ip,
                                &conn->crowd);
    if (err == WS_OK) {
        who->counted = true;
    } else if (err == WS_ERR_TOO_MANY) {
        ws_admit_refuse(conn, false, "Too many clients of this address.\n");
    } else {
        ws_admit_refuse(conn, false, CANNOT);
    }
    return err == WS_OK;
}

/* Takes back what was done for the client, and tells it why. */
static void
refuse_join(ws_conn *conn, const ws_applicant *who, ws_client *client,
            ws_err err)
{
    ws_client_unref(client);
    ws_outbox_free(conn); // the 101
    if (err == WS_ERR_TOO_MANY) {
        ws_admit_refuse(conn, who->counted, "Too many clients.\n");
    } else if (err == WS_ERR_IN_USE) {
        if (who->counted) {
            ws_crowd_leave(conn->pump->crowd, conn->crowd);
            conn->crowd = NULL;
        }
        ws_opening_refuse(conn, 409, "The client id is in use.\n", NULL);
    } else {
        ws_admit_refuse(conn, who->counted, CANNOT);
    }
}

/* Puts the 101 in front of everything that will ever be sent. */
static bool
put_switch(ws_conn *conn, const ws_applicant *who)
{
    char *buf = (char *)conn->pump->scratch;
    char extensions[WS_DEFLATE_RESPONSE_MAX];
    ws_handshake_upgrade upgrade = {
        .key = who->key,
        .subprotocol = who->subprotocol,
        .headers = who->headers,
    };
    if (who->deflate.window_bits > 0) {
        ws_deflate_response(&who->deflate, extensions);
        upgrade.extensions = extensions;
    }
    size_t size =
        ws_handshake_switch(buf, sizeof conn->pump->scratch, &upgrade);
    return size > 0 && ws_outbox_put(conn, buf, size);
}

/* Compression as it was agreed on, if it was. */
static void
apply_deflate(ws_conn *conn, ws_client *client, const ws_applicant *who)
{
    const ws_pump *pump = conn->pump;
    int bits = who->deflate.window_bits;
    ws_frame_decoder_init(&conn->decoder,
                          bits > 0 ? &pump->settings->decode_compressed
                                   : &pump->settings->decode);
    if (bits > 0) {
        conn->compression = true;
        client->encoder = ws_compress_encoder(pump->compress, bits);
    }
}

/* The client with its 101, not yet in the hub; NULL: answered. */
static ws_client *
prepare(ws_conn *conn, const ws_applicant *who)
{
    ws_pump *pump = conn->pump;
    ws_client *client = ws_client_new(pump->hub, pump->wake, &who->info);
    if (client == NULL || !put_switch(conn, who)) {
        refuse_join(conn, who, client, WS_ERR_NOMEM);
        return NULL;
    }
    client->conn = conn;
    apply_deflate(conn, client, who);
    return client;
}

/* It is a WebSocket from here on. */
static void
open_frames(ws_conn *conn, ws_client *client)
{
    conn->client = client;
    conn->phase = WS_CONN_FRAMES;
    ws_free(conn->opening);
    conn->opening = NULL;
    ws_free(conn->peer);
    conn->peer = NULL;
    ws_conn_opened(conn);
}

/* An id that nobody can guess or has had before; false: no randomness. */
static bool
generate_id(char *id)
{
    uint8_t random[ID_BYTES];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
        return false;
    }
    for (size_t i = 0; i < sizeof random; i++) {
        (void)snprintf(id + 2 * i, 3, "%02x", random[i]);
    }
    return true;
}

void
ws_admit(ws_conn *conn, ws_applicant *who, const ws_join *how)
{
    char id[2 * ID_BYTES + 1];
    if (who->info.id.data == NULL) {
        if (!generate_id(id)) {
            ws_admit_refuse(conn, who->counted, "There is no randomness.\n");
            return;
        }
        who->info.id = (ws_text){id, sizeof id - 1};
    }
    ws_client *client = prepare(conn, who);
    if (client == NULL) {
        return;
    }
    ws_err err = ws_hub_join_as(conn->pump->hub, client, how);
    if (err != WS_OK) {
        refuse_join(conn, who, client, err);
        return;
    }
    open_frames(conn, client);
    ws_outbox_write(conn);
}

void
ws_admit_to_close(ws_conn *conn, const ws_applicant *who, uint16_t code,
                  ws_text reason)
{
    ws_client *client = prepare(conn, who);
    if (client == NULL) {
        return;
    }
    if (ws_client_dismiss(client, code, reason) != WS_OK) {
        refuse_join(conn, who, client, WS_ERR_NOMEM);
        return;
    }
    ws_count(&conn->pump->counters->refused_handshakes, 1);
    conn->stranger = true;
    open_frames(conn, client);
    ws_conn_begin_closing(conn);
    ws_outbox_write(conn);
}
