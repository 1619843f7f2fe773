#include "outgoing.h"

/* A message with a reference of the caller's. TOO_BIG, NOMEM: none. When it is
   invalid, WS_OK and none. */
static ws_err
make(ws_outgoing *out, const ws_chan_limits *limits, ws_msg **msg)
{
    *msg = NULL;
    out->invalid.start = SIZE_MAX;
    if (out->size > limits->max_bytes) {
        return WS_ERR_TOO_BIG;
    }
    if (out->prepared != NULL) {
        *msg = ws_msg_ref(out->prepared);
        return WS_OK;
    }
    *msg = ws_message_new(out->kind, out->data, out->size, &out->invalid);
    return *msg == NULL && !ws_outgoing_is_invalid(out) ? WS_ERR_NOMEM : WS_OK;
}

ws_err
ws_outgoing_send(ws_outgoing *out, ws_client *client)
{
    ws_msg *msg = NULL;
    ws_err err = make(out, ws_hub_send_limits(client->hub), &msg);
    if (err != WS_OK) {
        return ws_chan_refuse(&client->chan, err);
    }
    if (msg != NULL) {
        err = ws_client_send(client, msg);
        ws_msg_unref(msg);
    }
    return err;
}

ws_err
ws_outgoing_send_to(ws_outgoing *out, ws_hub *hub, ws_text id,
                    ws_client **client)
{
    *client = ws_hub_get(hub, id);
    if (*client == NULL) {
        out->invalid.start = SIZE_MAX;
        return WS_ERR_NOT_FOUND;
    }
    return ws_outgoing_send(out, *client);
}

ws_err
ws_outgoing_fan_out(ws_outgoing *out, ws_hub *hub, ws_target target,
                    ws_exclude *exclude, ws_report *report)
{
    ws_msg *msg = NULL;
    ws_err err = make(out, ws_hub_send_limits(hub), &msg);
    ws_exclude_sort(exclude);
    if (err != WS_OK) {
        ws_fan_out_refused(hub, target, err, exclude, report);
        ws_report_release(report);
    } else if (msg != NULL) {
        ws_fan_out(hub, target, msg, exclude, report);
        ws_msg_unref(msg);
    }
    return err;
}
