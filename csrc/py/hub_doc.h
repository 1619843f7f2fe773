/* hub_doc.h - the docstrings of WSHub, for hub.c. */
#ifndef WS_PY_HUB_DOC_H
#define WS_PY_HUB_DOC_H

#include "state.h"

PyDoc_STRVAR(
    hub_doc,
    "WSHub(*, send_queue=256, send_queue_bytes=1048576, send_buffer=65536, "
    "max_message_size=1048576, max_events=1024, max_event_bytes=16777216, "
    "max_clients=None, max_clients_per_ip=None, trusted_proxies=(), "
    "ping_interval=20.0, ping_timeout=20.0, open_timeout=10.0, "
    "close_timeout=10.0, origins=None, subprotocols=(), "
    "compression=None, id_query=None, user_query=None, "
    "release_gil=True, pumps=1, authorize=False, "
    "max_handshakes=1024)\n--\n\n"
    "The clients of a WebSocket server, their topics, and the thread that\n"
    "serves them.\n"
    "\n"
    "The thread (the pump) starts with the first listen() and never needs\n"
    "the GIL. There may be several. A hub is a context manager whose exit "
    "closes it. Any thread\n"
    "may use it; only flush(), close() and the iterator of events() wait for\n"
    "anything, and Ctrl-C interrupts them. Its length is the number of open\n"
    "clients; it is always true.\n"
    "\n"
    "Args:\n"
    "    send_queue: Messages that a client's channel holds, 1 to 1048576.\n"
    "    send_queue_bytes: Payload bytes that a client's channel holds, from\n"
    "        1; so also the largest message that can be sent.\n"
    "    send_buffer: Unsent bytes that the kernel may hold for a client\n"
    "        beside that, 1 to 1073741824; None: as many as it likes\n"
    "        (megabytes). What the kernel holds counts as written.\n"
    "    max_message_size: Payload bytes of an inbound message, from 1,\n"
    "        inflated where it comes compressed; a client that sends more is\n"
    "        closed with 1009.\n"
    "    max_events: Inbound messages that wait to be taken as events, 0 to\n"
    "        16777216. When they are that many, reading pauses. 0: inbound\n"
    "        messages are dropped and counted.\n"
    "    max_event_bytes: Their payload bytes, from 1; at least\n"
    "        max_message_size unless max_events is 0.\n"
    "    max_clients: Clients at once, from 1; more are answered 503.\n"
    "        Sockets that are no clients (not yet, or not any more) may be\n"
    "        as many again, or 128; more are answered at once. None: no\n"
    "        limit.\n"
    "    max_clients_per_ip: Connections of one IPv4 address, or of one IPv6\n"
    "        network of 64 bits, at once, from 1, whether they are clients\n"
    "        or not; more are answered 503 before they have said anything.\n"
    "        Behind a trusted proxy the clients of each address that it\n"
    "        speaks for are counted instead. Unix sockets are not. None: no\n"
    "        limit.\n"
    "    trusted_proxies: Addresses and networks (\"10.0.0.0/8\", \"::1\",\n"
    "        \"unix:\") of proxies that are believed when they say who the\n"
    "        client is.\n"
    "    ping_interval: Seconds between the pong to one ping and the next "
    "ping;\n"
    "        None: never.\n"
    "    ping_timeout: Seconds within which it must show a sign of life "
    "then,\n"
    "        or it is cut; None: it need not.\n"
    "    open_timeout: Seconds from connecting to the end of the handshake;\n"
    "        None: no limit.\n"
    "    close_timeout: Seconds from the beginning of a close to the end of\n"
    "        the connection, which is cut then; None: no limit, but for\n"
    "        a peer that has vanished, which the kernel finds out in some\n"
    "        minutes.\n"
    "    origins: Which web pages may connect: None, all; \"same-host\", the\n"
    "        pages of the host that is connected to; or a list of origins\n"
    "        (\"https://example.com\", \"https://*.example.com\").\n"
    "    subprotocols: Those that can be agreed on, the preferred one first.\n"
    "    compression: \"deflate\": messages of 200 bytes and more are\n"
    "        compressed for the clients that offer permessage-deflate, by "
    "the\n"
    "        thread that sends; and theirs are accepted compressed. None: no\n"
    "        extension is agreed on.\n"
    "    id_query: The query parameter that a client's id is taken from; an\n"
    "        id in use is answered 409. None: ids are generated. Whoever\n"
    "        connects chooses his id freely, so this is for demos and for\n"
    "        networks whose every member is trusted.\n"
    "    user_query: The query parameter that a client's user is taken from.\n"
    "        The same warning holds.\n"
    "    release_gil: Whether send() gives the GIL away meanwhile. False: "
    "only\n"
    "        for payloads over 16 kB, for what may be compressed, and where\n"
    "        another thread has the client's channel; calls that send to "
    "many\n"
    "        always do.\n"
    "    pumps: Threads that serve the clients, 1 to 64. Each new connection\n"
    "        goes to the one that has the fewest, and stays there. All that\n"
    "        is said here holds for any number; several help where one is\n"
    "        busy all the time, and there are cores for them.\n"
    "    authorize: Whether each handshake that keeps the rules above waits\n"
    "        for a decision: it comes as the event Authorize. Undecided\n"
    "        within open_timeout: 503. Not with id_query or user_query.\n"
    "    max_handshakes: Handshakes that wait so at once, 1 to 1048576; more\n"
    "        are answered 503.\n"
    "\n"
    "Times are ints or floats above 0; those over 10000000 count as that.\n"
    "\n"
    "Raises:\n"
    "    TypeError: An option of a wrong type, or unknown.\n"
    "    ValueError: An option out of range.\n"
    "    OSError: No file descriptors are left.\n"
    "\n"
    "A hub that has listened belongs to its process: in a process forked "
    "from\n"
    "it, its calls raise HubClosed, and close() does nothing. One that has\n"
    "not yet, may be used there.\n");

PyDoc_STRVAR(
    hub_listen_doc,
    "listen($self, /, host='127.0.0.1', port=None, *, path=None, unix=None,\n"
    "       unix_mode=0o660, sock=None, fd=None, backlog=1024,\n"
    "       tls_cert=None, tls_key=None, tls_client_ca=None)\n--\n\n"
    "Accept clients at an address, and return its Listener.\n"
    "\n"
    "One of port, unix, sock and fd says where. A hub may listen at several\n"
    "places.\n"
    "\n"
    "Args:\n"
    "    host: An address or a name; \"\": every IPv4 address; \"::\": every\n"
    "        IPv6 address, and no IPv4.\n"
    "    port: 0 to 65535; 0: any free one, which Listener.port tells.\n"
    "    path: Only this URL path, like \"/ws\", becomes a WebSocket; None:\n"
    "        any.\n"
    "    unix: The path of a unix socket. A socket file that nobody listens\n"
    "        on any more is replaced; it is removed in the end.\n"
    "    unix_mode: The permissions of that file, 0o660 by default.\n"
    "    sock: A listening stream socket, or anything with such a fileno().\n"
    "    fd: The descriptor of one. Either is duplicated, and stays the\n"
    "        caller's to close; it becomes non-blocking.\n"
    "    backlog: Connections that the kernel holds before they are "
    "accepted,\n"
    "        1 to 65535.\n"
    "    tls_cert: A PEM file with the certificate and, behind it, those "
    "that\n"
    "        lead up to its root: only TLS (1.2 and newer) is spoken then.\n"
    "    tls_key: A PEM file with its private key, without a passphrase; "
    "None:\n"
    "        it is in the same file.\n"
    "    tls_client_ca: A PEM file with the authorities that clients must "
    "have\n"
    "        a certificate from; None: clients need none.\n"
    "\n"
    "Raises:\n"
    "    OSError: The address cannot be had; it is named, errno tells why. "
    "Or\n"
    "        a TLS file cannot be read; filename names it.\n"
    "    HubClosed: close() was called.\n"
    "    TypeError, ValueError: Wrong arguments; the latter also names what "
    "is\n"
    "        wrong with a TLS file.\n"
    "\n"
    "Reads the files, and may wait for a name server where host is a name,\n"
    "without the GIL.\n");

PyDoc_STRVAR(hub_get_doc,
             "get($self, /, client_id)\n--\n\n"
             "Return the open client of that id, or None.\n"
             "\n"
             "It is the same WSClient each time, as long as it is held "
             "somewhere.\n"
             "Never blocks; any thread may call it.\n");

PyDoc_STRVAR(hub_clients_doc,
             "clients($self, /, user=None)\n--\n\n"
             "Return the open clients, all or one user's, in a new list.\n"
             "\n"
             "Never blocks; any thread may call it.\n");

PyDoc_STRVAR(hub_send_doc,
             "send($self, /, client_id, data, *, text=None)\n--\n\n"
             "Queue a message for the client of that id, and return at once.\n"
             "\n"
             "Args:\n"
             "    client_id: The client's id, a str.\n"
             "    data: As for WSClient.send.\n"
             "    text: As for WSClient.send.\n"
             "\n"
             "Raises:\n"
             "    ClientNotFound: No open client has that id.\n"
             "    HubClosed: close() was called.\n"
             "    And what WSClient.send raises.\n"
             "\n"
             "Never blocks; any thread may call it.\n");

#define MANY_ARGS                                                          \
    "    data: As for WSClient.send.\n"                                    \
    "    exclude: WSClients and ids to leave out, an iterable; ids that\n" \
    "        nobody has and clients of other hubs do no harm.\n"           \
    "    text: As for WSClient.send.\n"                                    \
    "\n"

#define MANY_RAISES                                                           \
    "Raises:\n"                                                               \
    "    MessageTooLarge: It is larger than send_queue_bytes; nobody got\n"   \
    "        it, and each client counts the refusal.\n"                       \
    "    HubClosed: close() was called.\n"                                    \
    "    TypeError, BufferError, UnicodeError, MemoryError: As for\n"         \
    "        WSClient.send.\n"                                                \
    "\n"                                                                      \
    "Never blocks, and never holds the GIL meanwhile; any thread may call\n"  \
    "it. A client that is open throughout is tried exactly once; two calls\n" \
    "at the same time have no common order.\n"

PyDoc_STRVAR(
    hub_send_to_user_doc,
    "send_to_user($self, /, user, data, exclude=(), *, text=None)\n--\n\n"
    "Queue a message for all connections of a user; return a SendReport.\n"
    "\n"
    "Clients that are full or closed raise nothing: the report names them.\n"
    "\n"
    "Args:\n"
    "    user: Whose connections; nobody's is no error.\n" MANY_ARGS
        MANY_RAISES);

PyDoc_STRVAR(
    hub_broadcast_doc,
    "broadcast($self, /, data, exclude=(), *, text=None)\n--\n\n"
    "Queue a message for every open client; return a SendReport.\n"
    "\n"
    "Clients that are full or closed raise nothing: the report names them.\n"
    "\n"
    "Args:\n" MANY_ARGS MANY_RAISES);

PyDoc_STRVAR(
    hub_publish_doc,
    "publish($self, /, topic, data, exclude=(), *, text=None)\n--\n\n"
    "Queue a message for all subscribers of a topic; return a SendReport.\n"
    "\n"
    "Clients that are full or closed raise nothing: the report names them.\n"
    "\n"
    "Args:\n"
    "    topic: What WSClient.subscribe was given; one without subscribers\n"
    "        is no error.\n" MANY_ARGS MANY_RAISES);

PyDoc_STRVAR(hub_stats_doc,
             "stats($self, /)\n--\n\n"
             "Return the counts of the hub and of all clients it ever had, "
             "as HubStats.\n"
             "\n"
             "Never blocks; any thread may call it. It looks at each client,\n"
             "without the GIL.\n");

PyDoc_STRVAR(
    hub_flush_doc,
    "flush($self, /, timeout=None)\n--\n\n"
    "Wait until all that is queued now, for any client, was written.\n"
    "\n"
    "\"Written\" means that the kernel has taken it, not that the clients\n"
    "have it. Messages lost because their connection ended are not waited\n"
    "for; stats() counts them.\n"
    "\n"
    "Args:\n"
    "    timeout: Seconds, at least 0; None: as long as it takes.\n"
    "\n"
    "Raises:\n"
    "    TimeoutError: Not all was written in time; it stays queued.\n"
    "    HubClosed: close() was called.\n"
    "\n"
    "Blocks without the GIL; Ctrl-C interrupts it. Any thread may call it.\n");

PyDoc_STRVAR(
    hub_close_user_doc,
    "close_user($self, /, user, code=4401, reason='')\n--\n\n"
    "Close all connections of a user, and return how many were open.\n"
    "\n"
    "Args:\n"
    "    user: Whose connections.\n"
    "    code: As for WSClient.close.\n"
    "    reason: As for WSClient.close.\n"
    "\n"
    "Raises:\n"
    "    HubClosed: close() was called.\n"
    "\n"
    "Never blocks; any thread may call it.\n");

PyDoc_STRVAR(
    hub_close_doc,
    "close($self, /, code=1001, reason='', timeout=10.0)\n--\n\n"
    "Close the hub: stop listening, write what is queued, close all clients.\n"
    "\n"
    "Connections that have not ended within the timeout are cut; what was\n"
    "still queued for them is lost, and counted. Then the pump is joined.\n"
    "Events that were not taken can still be. Closing again does nothing,\n"
    "but for waiting with whoever is at it.\n"
    "\n"
    "Args:\n"
    "    code: As for WSClient.close.\n"
    "    reason: As for WSClient.close.\n"
    "    timeout: Seconds, at least 0; None: as long as it takes, which\n"
    "        close_timeout bounds.\n"
    "\n"
    "Blocks without the GIL. Ctrl-C interrupts it: then everything is cut at\n"
    "once, and KeyboardInterrupt raised. Any thread may call it.\n");

PyDoc_STRVAR(
    hub_add_page_doc,
    "add_page($self, /, path, content_type, body)\n--\n\n"
    "Answer a GET or HEAD of that path, on any listener, with a page.\n"
    "\n"
    "For a few small pages, a health check or a demo; it is kept in memory.\n"
    "A page that is there is replaced. Where a listener has that path for\n"
    "WebSockets, both work.\n"
    "\n"
    "Args:\n"
    "    path: Like \"/health\", percent-encoded where need be.\n"
    "    content_type: Like \"text/html; charset=utf-8\"; at most 255\n"
    "        characters.\n"
    "    body: bytes-like, or a str that is sent as UTF-8.\n"
    "\n"
    "Raises:\n"
    "    HubClosed: close() was called.\n"
    "    TypeError, ValueError: Wrong arguments.\n"
    "\n"
    "Never blocks; any thread may call it.\n");

PyDoc_STRVAR(
    hub_events_doc,
    "events($self, /, timeout=None)\n--\n\n"
    "Return an iterator over what happens to clients: Connected, Message,\n"
    "Disconnected.\n"
    "\n"
    "The order of each client's events is kept. Until the first use of\n"
    "events() or fileno() nothing is stored and inbound messages are dropped\n"
    "and counted; that use yields Connected for every client that is open.\n"
    "When max_events messages wait, reading from the clients that sent them\n"
    "pauses.\n"
    "\n"
    "The iterator is the hub's one consumer until it ends, is closed or goes\n"
    "away. It ends when the hub has been closed and all events were taken.\n"
    "\n"
    "Args:\n"
    "    timeout: Seconds, at least 0, that each step waits for an event at\n"
    "        most; when none came, the iteration ends. 0 takes what is "
    "there.\n"
    "        None: it waits for as long as it takes.\n"
    "\n"
    "Raises:\n"
    "    RuntimeError: The hub's events are being taken already.\n"
    "    MemoryError: From a step; the event stays, to be taken again.\n"
    "\n"
    "Steps block without the GIL; Ctrl-C interrupts them. Any one thread may\n"
    "take them.\n");

PyDoc_STRVAR(
    hub_fileno_doc,
    "fileno($self, /)\n--\n\n"
    "Return a descriptor that is readable while events wait.\n"
    "\n"
    "For select() and event loops: when it is readable, take what\n"
    "events(timeout=0) yields, which may be nothing. Do not read from it or\n"
    "close it. Its first use has events stored, as that of events().\n");

PyDoc_STRVAR(hub_closed_doc,
             "Whether close() was called; in a process forked from that of a\n"
             "hub that had listened, always True.");

PyDoc_STRVAR(hub_enter_doc, "__enter__($self, /)\n--\n\n"
                            "Return the hub; HubClosed when it is closed.\n");

PyDoc_STRVAR(hub_exit_doc,
             "__exit__($self, kind, error, traceback, /)\n--\n\n"
             "Close the hub, as close() does without arguments.\n");

#endif
