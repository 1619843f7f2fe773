#include "client.h"

#include <string.h>

#include "alloc.h"
#include "hub.h"

static ws_text
copy_text(char **at, ws_text text)
{
    if (text.data == NULL) {
        return (ws_text){NULL, 0};
    }
    ws_text copy = {*at, text.size};
    memcpy(*at, text.data, text.size);
    (*at)[text.size] = '\0';
    *at += text.size + 1;
    return copy;
}

ws_client *
ws_client_new(ws_hub *hub, ws_wake *wake, const ws_client_info *info)
{
    const ws_text texts[] = {info->id,   info->user,        info->remote,
                             info->peer, info->subprotocol, info->request};
    size_t size = sizeof texts / sizeof texts[0];
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        size += texts[i].size;
    }
    ws_client *client = ws_calloc(1, sizeof *client + size);
    if (client == NULL) {
        return NULL;
    }
    if (ws_chan_init(&client->chan, ws_hub_send_limits(hub)) != WS_OK) {
        ws_free(client);
        return NULL;
    }
    char *at = client->text;
    client->info = (ws_client_info){
        .id = copy_text(&at, info->id),
        .user = copy_text(&at, info->user),
        .remote = copy_text(&at, info->remote),
        .peer = copy_text(&at, info->peer),
        .subprotocol = copy_text(&at, info->subprotocol),
        .request = copy_text(&at, info->request),
    };
    atomic_init(&client->refs, 1);
    client->by_id.key = client->info.id.data;
    client->by_id.key_size = client->info.id.size;
    client->wake = ws_wake_ref(wake);
    client->pump = (uint8_t)ws_wake_number(wake);
    client->hub = ws_hub_ref(hub);
    client->since_ns = ws_now_ns();
    return client;
}

ws_client *
ws_client_ref(ws_client *client)
{
    // Relaxed: whoever adds a reference already holds one.
    (void)atomic_fetch_add_explicit(&client->refs, 1, memory_order_relaxed);
    return client;
}

void
ws_client_unref(ws_client *client)
{
    if (client == NULL) {
        return;
    }
    // Acquire and release: the thread that frees comes after all others.
    if (atomic_fetch_sub_explicit(&client->refs, 1, memory_order_acq_rel) >
        1) {
        return;
    }
    ws_chan_destroy(&client->chan);
    if (client->encoder != NULL) {
        client->encoder->unref(client->encoder);
    }
    ws_wake_unref(client->wake);
    ws_hub_unref(client->hub);
    ws_free(client->close_reason);
    ws_free(client);
}

ws_err
ws_client_dismiss(ws_client *client, uint16_t code, ws_text reason)
{
    if (reason.size > 0) {
        client->close_reason = ws_strndup(reason.data, reason.size);
        if (client->close_reason == NULL) {
            return WS_ERR_NOMEM;
        }
        client->close_reason_size = (uint16_t)reason.size;
    }
    client->close_code = code;
    ws_chan_close(&client->chan);
    atomic_store(&client->state, WS_CLIENT_CLOSING);
    return WS_OK;
}

static unsigned
form_key(const ws_client *client, size_t size)
{
    const ws_encoder *encoder = client->encoder;
    return encoder == NULL ? 0 : encoder->key(encoder, size);
}

bool
ws_client_encodes(const ws_client *client, size_t size)
{
    return form_key(client, size) != 0;
}

/* Makes the form and keeps it with the message, which lends it. NULL: no
   memory. */
static ws_msg *
make_form(ws_client *client, ws_msg *msg, unsigned key)
{
    ws_msg *made = client->encoder->encode(client->encoder, msg, key);
    if (made == NULL) {
        return NULL;
    }
    if (made != msg) {
        ws_count(&ws_hub_counters(client->hub)->compressed, 1);
    }
    return ws_msg_keep_form(msg, key, made);
}

/* The message as the client wants it; lent by `msg`. */
static ws_msg *
form_for(ws_client *client, ws_msg *msg)
{
    size_t size = ws_msg_size(msg);
    unsigned key = form_key(client, size);
    if (key == 0) {
        return msg;
    }
    ws_msg *form = ws_msg_get_form(msg, key);
    if (form == NULL && ws_chan_would_take(&client->chan, size)) {
        form = make_form(client, msg, key);
    }
    return form == NULL ? msg : form;
}

ws_err
ws_client_send_chained(ws_client *client, ws_msg *msg, ws_wake_chain *chain)
{
    ws_err err = ws_chan_push(&client->chan, form_for(client, msg));
    if (err == WS_OK && ws_wake_mark(&client->link)) {
        ws_wake_chain_add(chain, &ws_client_ref(client)->link);
    }
    return err;
}

ws_err
ws_client_send(ws_client *client, ws_msg *msg)
{
    ws_wake_chain chain = {NULL, NULL};
    ws_err err = ws_client_send_chained(client, msg, &chain);
    ws_client_wake_chain(client->wake, &chain);
    return err;
}

void
ws_client_wake_chain(ws_wake *wake, ws_wake_chain *chain)
{
    if (ws_wake_add(wake, chain)) {
        return;
    }
    ws_wake_link *link = chain->head;
    *chain = (ws_wake_chain){NULL, NULL};
    while (link != NULL) {
        ws_wake_link *next = link->next;
        ws_client_unref(ws_client_of_link(link));
        link = next;
    }
}

void
ws_client_kick(ws_client *client)
{
    if (ws_wake_mark(&client->link)) {
        ws_wake_chain chain = {NULL, NULL};
        ws_wake_chain_add(&chain, &ws_client_ref(client)->link);
        ws_client_wake_chain(client->wake, &chain);
    }
}

ws_client *
ws_client_of_link(ws_wake_link *link)
{
    return (ws_client *)(void *)((char *)link - offsetof(ws_client, link));
}

ws_client_state
ws_client_get_state(ws_client *client)
{
    return (ws_client_state)atomic_load(&client->state);
}
