/* client_doc.h - the docstrings of WSClient, for client.c. */
#ifndef WS_PY_CLIENT_DOC_H
#define WS_PY_CLIENT_DOC_H

#include "state.h"

PyDoc_STRVAR(
    client_doc,
    "One connection, as the application sees it.\n"
    "\n"
    "Got from a hub: by id, in events, in a report. There is one object for\n"
    "each connection, so clients are compared and hashed by identity. All of\n"
    "it may be used from any thread, and nothing of it but flush() waits.\n"
    "\n"
    "The object may outlive its connection; it is closed then. In a process\n"
    "forked from the hub's, what talks to the connection raises HubClosed.\n");

PyDoc_STRVAR(
    send_doc,
    "send($self, /, data, *, text=None)\n--\n\n"
    "Queue a message for the client, and return at once.\n"
    "\n"
    "The data is copied (a PreparedMessage is not), so it may be changed\n"
    "afterwards. Messages reach the client in the order of the calls.\n"
    "\n"
    "Args:\n"
    "    data: A str is sent as a text message, anything bytes-like that is\n"
    "        C-contiguous as a binary one; or a PreparedMessage.\n"
    "    text: True sends bytes, which must be UTF-8, as a text message;\n"
    "        False sends a str as a binary message. Not with a\n"
    "        PreparedMessage.\n"
    "\n"
    "Raises:\n"
    "    ChannelFull: The client's channel has no room now.\n"
    "    ChannelClosed: The connection is closing or closed. This wins over\n"
    "        the other refusals.\n"
    "    MessageTooLarge: It is larger than send_queue_bytes.\n"
    "    TypeError: A wrong type of data or text.\n"
    "    BufferError: data is not C-contiguous.\n"
    "    UnicodeError: A text message that is not valid Unicode.\n"
    "    MemoryError: No memory for the copy.\n"
    "\n"
    "Nothing is queued when it raises. Never blocks; any thread may call it.\n"
    "With compression agreed on it takes the time to compress the message.\n"
    "The GIL is released meanwhile, unless the hub has release_gil=False, "
    "the\n"
    "payload is at most 16 kB and not to be compressed, and no other thread\n"
    "has the channel just now.\n");

PyDoc_STRVAR(
    flush_doc,
    "flush($self, /, timeout=None)\n--\n\n"
    "Wait until all that is queued now was written.\n"
    "\n"
    "\"Written\" means that the kernel has taken it, not that the client has\n"
    "it. What is queued during the wait is not waited for.\n"
    "\n"
    "Args:\n"
    "    timeout: Seconds, at least 0; None: as long as it takes.\n"
    "\n"
    "Raises:\n"
    "    TimeoutError: It was not written in time; it stays queued.\n"
    "    ChannelClosed: The connection ended first, messages were lost.\n"
    "\n"
    "Blocks without the GIL; Ctrl-C interrupts it. Any thread may call it.\n");

PyDoc_STRVAR(
    close_doc,
    "close($self, /, code=1000, reason='')\n--\n\n"
    "Begin to close the connection, and return at once.\n"
    "\n"
    "The client is closed from now on: it refuses messages, and its hub no\n"
    "longer finds it. What is queued goes out first, then the Close frame.\n"
    "The connection is cut when that and the client's answer have not\n"
    "happened within the hub's close_timeout. Closing again does nothing.\n"
    "\n"
    "Args:\n"
    "    code: 1000 to 1003, 1007 to 1014, or 3000 to 4999 (RFC 6455 7.4).\n"
    "    reason: At most 123 bytes of UTF-8.\n"
    "\n"
    "Never blocks; any thread may call it.\n");

PyDoc_STRVAR(
    subscribe_doc,
    "subscribe($self, topic, /)\n--\n\n"
    "Have the client receive what is published to a topic.\n"
    "\n"
    "Subscribing twice is once. Topics come into being with their first\n"
    "subscriber and go with the last; a client's end unsubscribes it.\n"
    "\n"
    "Args:\n"
    "    topic: Any str that is not empty and has no NUL.\n"
    "\n"
    "Raises:\n"
    "    ChannelClosed: The connection is closing or closed.\n"
    "\n"
    "Never blocks; any thread may call it.\n");

PyDoc_STRVAR(unsubscribe_doc,
             "unsubscribe($self, topic, /)\n--\n\n"
             "Take the client from a topic; False when it was not in it.\n"
             "\n"
             "Never blocks; any thread may call it.\n");

PyDoc_STRVAR(stats_doc, "stats($self, /)\n--\n\n"
                        "Return the client's counts now, as ClientStats.\n"
                        "\n"
                        "Never blocks; any thread may call it.\n");

#endif
