/*
 * tls.h - TLS on a port: the lws vhost whose connections speak it, with the
 * identity that they show; and how one of them is written to and ended.
 *
 * The identity is given to each connection in the middle of its handshake, so
 * that another can take its place at any time and as a whole: a handshake has
 * the one or the other. (Put into the context, a new certificate would stand
 * beside an old one of another key type, and clients would get either.)
 *
 * Threads: the pump. Its SIGPIPE must be blocked: OpenSSL raises it.
 * Owns:    its vhost and identity. References are held by its port and by its
 *          connections, so that the vhost outlives them: destroyed earlier, it
 *          would cut them.
 * Locks:   none.
 */
#ifndef WS_NET_TLS_H
#define WS_NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "identity.h"

struct lws;
struct lws_context;
struct lws_protocols;
struct lws_vhost;

typedef struct ws_tls ws_tls;

/* What a TLS record holds at most. */
#define WS_TLS_RECORD 16384

/* Takes over `identity`, whatever is returned. The callback of the first of
   `protocols` must hand LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS to
   ws_tls_set_up. NULL: out of memory. */
ws_tls *ws_tls_new(struct lws_context *context,
                   const struct lws_protocols *protocols,
                   ws_identity *identity);
ws_tls *ws_tls_ref(ws_tls *tls);

/* The last reference, for which no connection may be left, destroys the vhost.
   NULL does nothing. Not from within lws's callbacks. */
void ws_tls_unref(ws_tls *tls);

struct lws_vhost *ws_tls_vhost(const ws_tls *tls);

/* Takes over `identity`: handshakes show it from here on. */
void ws_tls_set_identity(ws_tls *tls, ws_identity *identity);

/* With the callback's `in` and `user`. 0: go on. */
int ws_tls_set_up(struct lws_vhost *vhost, struct ssl_ctx_st *ctx);

/* Whether the connection speaks TLS and its handshake is not done. */
bool ws_tls_is_shaking(struct lws *wsi);

/* Whether OpenSSL has something of its own to send, for which there is no
   room, and reads nothing before it is gone: in the handshake, or new keys. */
bool ws_tls_is_deaf(struct lws *wsi);

/*
 * Has one record written: bytes taken, which is all (1 to WS_TLS_RECORD); or
 * 0, no room: the next call must bring the same bytes; or -1: it is broken.
 */
ssize_t ws_tls_write(struct lws *wsi, const void *data, size_t size);

/* Says that nothing more will come. False: no room, try again. */
bool ws_tls_finish(struct lws *wsi);

/* It is about to be closed: if the peer has taken its leave, so do we. */
void ws_tls_take_leave(struct lws *wsi);

#endif
