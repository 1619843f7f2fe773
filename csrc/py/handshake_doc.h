/* handshake_doc.h - the docstrings of Handshake, for handshake.c. */
#ifndef WS_PY_HANDSHAKE_DOC_H
#define WS_PY_HANDSHAKE_DOC_H

#include "state.h"

PyDoc_STRVAR(
    handshake_doc,
    "A client that has asked for a WebSocket and waits for the answer.\n"
    "\n"
    "It comes as the event Authorize of a hub with authorize=True, is "
    "decided\n"
    "on once, by any thread, and has open_timeout for it from the moment of\n"
    "connecting. Then the client is answered 503; also when this object goes\n"
    "away undecided, and when the hub closes. In a process forked from the\n"
    "hub's it cannot be decided on.\n");

PyDoc_STRVAR(
    handshake_accept_doc,
    "accept($self, /, *, user=None, id=None, topics=(), subprotocol=None,\n"
    "       headers=(), replace=False)\n--\n\n"
    "Let the client in.\n"
    "\n"
    "Args:\n"
    "    user: Whose connection it is, 1 to 255 bytes of UTF-8; None: "
    "nobody's.\n"
    "    id: Names the connection, likewise; None: one is generated. Where "
    "an\n"
    "        open client has it, this one is answered 409.\n"
    "    topics: Subscribed to before the event Connected and before anybody\n"
    "        can publish to it; an iterable of str, 256 at most.\n"
    "    subprotocol: One of those that the client offers; None: as the "
    "hub's\n"
    "        subprotocols option has it, if there is one in common.\n"
    "    headers: More header lines for the 101: a mapping, or pairs of name\n"
    "        and value, ASCII, at most 8192 bytes. None that says what\n"
    "        becomes of the connection, and no Sec-WebSocket-*.\n"
    "    replace: Close an open client that has the id, with 4409, instead "
    "of\n"
    "        refusing this one. Its Disconnected comes before the new\n"
    "        Connected; its connection may take a little longer to end, and\n"
    "        until then counts towards max_clients.\n"
    "\n"
    "Returns:\n"
    "    Whether the decision is on its way. False: too late, the client has\n"
    "    gone or was answered already; nothing was done. True does not mean\n"
    "    that it is connected: only Connected does. It may be refused yet "
    "(the\n"
    "    id, max_clients), or go.\n"
    "\n"
    "Raises:\n"
    "    TypeError: An argument of a wrong type.\n"
    "    ValueError: One that cannot be used, which is named; nothing is\n"
    "        decided.\n"
    "    RuntimeError: It was accepted or rejected already.\n"
    "    HubClosed: In a forked process.\n"
    "\n"
    "Never blocks; any thread may call it.\n");

PyDoc_STRVAR(
    handshake_reject_doc,
    "reject($self, /, status=403, body='', headers=(), *, close_code=None)\n"
    "--\n\n"
    "Turn the client away, with an HTTP status or with a close code.\n"
    "\n"
    "Args:\n"
    "    status: 400 to 599; or 300 to 399, but 304, with a Location among\n"
    "        the headers. Pages in browsers do not see it.\n"
    "    body: Of the answer, at most 4096 bytes of UTF-8.\n"
    "    headers: More header lines: a mapping, or pairs of name and value,\n"
    "        ASCII, at most 8192 bytes. Content-Type takes the place of\n"
    "        text/plain.\n"
    "    close_code: The WebSocket opens and is closed with that code (see\n"
    "        WSClient.close; 4000 to 4999 are the application's) and body as\n"
    "        the reason, at most 123 bytes: so that a page can read them.\n"
    "        There is no client and no event for it. If the hub selects no\n"
    "        subprotocol, the first that is offered is agreed on.\n"
    "\n"
    "Returns:\n"
    "    Whether the decision is on its way; see accept.\n"
    "\n"
    "Raises as accept does, never blocks; any thread may call it.\n");

PyDoc_STRVAR(handshake_decide_doc, "decide($self, decision, /)\n--\n\n"
                                   "Do what an Accept or a Reject says; "
                                   "returns and raises as those calls.\n");

#endif
