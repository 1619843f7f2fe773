/*
 * admit.h - how one who has asked becomes a client: is counted, gets the 101,
 * joins the hub; or is told why not.
 *
 * Threads: the pump.
 * Owns:    nothing.
 * Locks:   none while calling.
 */
#ifndef WS_NET_ADMIT_H
#define WS_NET_ADMIT_H

#include <stdbool.h>

#include "conn.h"
#include "core/hub.h"
#include "network.h"
#include "proto/deflate_offer.h"
#include "proto/slice.h"

/* What is known of one before there is a client. All of it is borrowed. */
typedef struct ws_applicant {
    ws_slice key;            /* the request's Sec-WebSocket-Key */
    const char *subprotocol; /* to be agreed on; NULL: none */
    const char *headers;     /* more lines for the 101; NULL: none */
    ws_deflate_agreement deflate;
    bool counted;        /* entered the crowd with its request */
    ws_client_info info; /* without an id: it gets one of ours */
} ws_applicant;

/* Counts it against its address, unless conn is counted already. False: it was
   answered. */
bool ws_admit_count(ws_conn *conn, ws_applicant *who, const ws_network *addr);

/* Makes the client and opens the WebSocket, or answers. */
void ws_admit(ws_conn *conn, ws_applicant *who, const ws_join *how);

/* Opens the WebSocket only to close it: there is never a client for it. */
void ws_admit_to_close(ws_conn *conn, const ws_applicant *who, uint16_t code,
                       ws_text reason);

/* Answers, and it is not counted any more where its request was. */
void ws_admit_refuse(ws_conn *conn, bool counted, const char *text);

#endif
