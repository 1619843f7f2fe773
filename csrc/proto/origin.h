/*
 * origin.h - which web pages may connect: RFC 6455 10.2, RFC 6454.
 *
 * A browser lets any page open a WebSocket anywhere and sends the user's
 * cookies along; its Origin header is what tells the pages apart.
 *
 * Threads: any; pure.
 * Owns:    nothing.
 */
#ifndef WS_PROTO_ORIGIN_H
#define WS_PROTO_ORIGIN_H

#include <stdbool.h>
#include <stddef.h>

#include "slice.h"

// A rule is one of
//   "https://example.com[:port]"    this origin; scheme and host in any case,
//                                   a missing port is the scheme's own
//   "https://*.example.com[:port]"  every host below it, at any depth, but
//                                   not the bare domain
//   "same-host"                     host and port are those of the Host
//                                   header; http and https alike, so that it
//                                   holds behind a proxy that ends TLS
//   "null"                          the opaque origin: sandboxed frames,
//                                   files; every site can produce it
//   ""                              no Origin header at all
bool ws_origin_rule_valid(const char *rule);

/*
 * Whether one of the rules lets this origin in. `origin` is the header's
 * value, data NULL when there is none; `host` is ws_http_host.
 *
 * Without an Origin only the rule "" lets in. All browsers send one, so this
 * keeps out programs only, which could as well make one up; but who lists
 * the welcome origins gets those and no others.
 */
bool ws_origin_allowed(ws_slice origin, ws_slice host,
                       const char *const *rules, size_t count);

/* Whether the text is a host[:port] as a Host header may have it: a name, an
   IPv4 address or an IPv6 one in brackets; a port of 0 to 65535 or none. */
bool ws_origin_host_valid(ws_slice host);

#endif
