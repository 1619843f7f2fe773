#include "hold.h"

#include <libwebsockets.h>
#include <string.h>

#include "core/alloc.h"
#include "proto/handshake.h"
#include "proto/handshake_response.h"
#include "pump_inside.h"

enum {
    KEY_SIZE = 24,
    CLOSE_REPLACED = 4409, // ours, as 409 is HTTP's
    TURN_NS = 1000 * 1000, // for what was decided, of a turn
};

struct ws_hold {
    ws_held *held;           // a reference
    const char *subprotocol; // of the settings, as it would be selected
    ws_deflate_agreement deflate;
    bool counted; // see ws_applicant
    char key[KEY_SIZE];
};

/* Those that the client offers, each with its NUL, in the scratch buffer: they
   are shorter than the head that they stand in. */
static ws_text
list_offers(ws_conn *conn)
{
    char *out = (char *)conn->pump->scratch;
    size_t size = 0;
    ws_slice item;
    ws_http_list list =
        ws_http_list_of(&conn->opening->request, "Sec-WebSocket-Protocol");
    while (ws_http_list_next(&list, &item)) {
        memcpy(out + size, item.data, item.size);
        out[size + item.size] = '\0';
        size += item.size + 1;
    }
    return size == 0 ? (ws_text){NULL, 0} : (ws_text){out, size};
}

/* ---- the decision */

static void
accept_it(ws_conn *conn, const ws_decision *decision, ws_applicant *who)
{
    static const char reason[] = "replaced by another connection";
    const ws_join how = {
        .topics = decision->topics,
        .replace = decision->replace,
        .close_code = CLOSE_REPLACED,
        .close_reason = {reason, sizeof reason - 1},
    };
    who->info.id = decision->id;
    who->info.user = decision->user;
    if (decision->subprotocol.data != NULL) {
        who->subprotocol = decision->subprotocol.data;
    }
    if (who->subprotocol != NULL) {
        who->info.subprotocol =
            (ws_text){who->subprotocol, strlen(who->subprotocol)};
    }
    ws_admit(conn, who, &how);
}

static void
answer_it(ws_conn *conn, const ws_decision *decision)
{
    ws_count(&conn->pump->counters->refused_handshakes, 1);
    ws_opening_answer(conn,
                      &(ws_handshake_answer){
                          .status = decision->status,
                          .content_type = decision->content_type.data,
                          .headers = decision->headers.data,
                          .body = {decision->body.data, decision->body.size},
                      });
}

static void
reject_it(ws_conn *conn, const ws_hold *hold, ws_applicant *who)
{
    const ws_decision *decision = hold->held->decision;
    if (decision->close_code == 0) {
        answer_it(conn, decision);
        return;
    }
    if (who->subprotocol == NULL) {
        // The first that is offered: a browser that has offered some and gets
        // none would not look at the Close.
        who->subprotocol = hold->held->info.subprotocols.data;
    }
    ws_admit_to_close(conn, who, decision->close_code, decision->body);
}

static void
carry_out(ws_conn *conn, const ws_hold *hold)
{
    const ws_held_info *info = &hold->held->info;
    const ws_decision *decision = hold->held->decision;
    ws_applicant who = {
        .key = {hold->key, KEY_SIZE},
        .subprotocol = hold->subprotocol,
        .deflate = hold->deflate,
        .counted = hold->counted,
        .info = {.remote = info->remote,
                 .peer = info->peer,
                 .request = info->request},
    };
    if (decision == NULL) {
        ws_admit_refuse(conn, hold->counted, "The server did not decide.\n");
        return;
    }
    who.headers = decision->headers.data;
    if (decision->accept) {
        accept_it(conn, decision, &who);
    } else {
        reject_it(conn, hold, &who);
    }
}

/* ---- the waiting */

/* It waits no longer; what was kept of it is the caller's. */
static ws_hold *
detach(ws_conn *conn)
{
    ws_hold *hold = conn->hold;
    conn->hold = NULL;
    hold->held->conn = NULL;
    ws_evq_withdraw(ws_hub_events(conn->pump->hub), hold->held);
    ws_hub_let_go(conn->pump->hub);
    return hold;
}

static void
free_hold(ws_hold *hold)
{
    ws_held_unref(hold->held);
    ws_free(hold);
}

static void
listen_to(ws_conn *conn, bool on)
{
    ws_loop_watch_hangup(conn->pump->loop, conn->wsi, !on);
    (void)lws_rx_flow_control(conn->wsi, on);
}

/* A ws_task: somebody has decided. A thousand may have at once, and others are
   to be served meanwhile. */
static void
run(ws_task *task, void *arg)
{
    ws_pump *pump = arg;
    task->next = NULL;
    if (pump->decided.head == NULL) {
        pump->decided.head = task;
    } else {
        pump->decided.tail->next = task;
    }
    pump->decided.tail = task;
}

static void
serve_one(ws_held *held)
{
    ws_conn *conn = held->conn;
    if (conn != NULL) { // else it has gone meanwhile
        ws_hold *hold = detach(conn);
        listen_to(conn, true);
        carry_out(conn, hold);
        ws_inbox_feed_carry(conn);
        free_hold(hold);
        ws_conn_reap(conn);
    }
    ws_held_unref(held);
}

void
ws_hold_serve(ws_pump *pump)
{
    uint64_t until = pump->decided.head == NULL ? 0 : ws_now_ns() + TURN_NS;
    for (bool more = true; more && pump->decided.head != NULL;) {
        ws_task *task = pump->decided.head;
        pump->decided.head = task->next;
        serve_one((ws_held *)task); // the task is its first field
        more = ws_now_ns() < until;
    }
}

static ws_hold *
make_hold(ws_conn *conn, const ws_applicant *who)
{
    const ws_held_info info = {
        .remote = who->info.remote,
        .peer = who->info.peer,
        .request = who->info.request,
        .subprotocols = list_offers(conn),
    };
    ws_hold *hold = ws_calloc(1, sizeof *hold);
    ws_held *held =
        hold == NULL ? NULL : ws_held_new(conn->pump->wake, &info, run);
    if (held == NULL) {
        ws_free(hold);
        return NULL;
    }
    held->conn = conn;
    hold->held = held;
    hold->subprotocol = who->subprotocol;
    hold->deflate = who->deflate;
    hold->counted = who->counted;
    memcpy(hold->key, who->key.data, KEY_SIZE);
    return hold;
}

void
ws_hold_begin(ws_conn *conn, const ws_applicant *who)
{
    ws_hub *hub = conn->pump->hub;
    if (!ws_hub_hold(hub)) {
        ws_admit_refuse(conn, who->counted, "Too many wait for a decision.\n");
        return;
    }
    ws_hold *hold = make_hold(conn, who);
    if (hold == NULL) {
        ws_hub_let_go(hub);
        ws_admit_refuse(conn, who->counted,
                        "The server cannot take clients now.\n");
        return;
    }
    ws_free(conn->opening);
    conn->hold = hold;
    conn->phase = WS_CONN_HELD;
    ws_free(conn->peer);
    conn->peer = NULL;
    listen_to(conn, false);
    ws_evq_authorize(ws_hub_events(hub), hold->held);
}

bool
ws_hold_refuse(ws_conn *conn, ws_held_state why, const char *text)
{
    if (!ws_held_end(conn->hold->held, why)) {
        return false;
    }
    if (why == WS_HELD_EXPIRED) {
        ws_count(&conn->pump->counters->timeouts, 1);
    }
    ws_hold *hold = detach(conn);
    listen_to(conn, true);
    ws_admit_refuse(conn, hold->counted, text);
    free_hold(hold);
    return true;
}

void
ws_hold_cut(ws_conn *conn)
{
    if (conn->phase == WS_CONN_HELD && conn->hold != NULL) {
        bool undecided = ws_held_end(conn->hold->held, WS_HELD_GONE);
        (void)undecided;
        free_hold(detach(conn));
    }
}
