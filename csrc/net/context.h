/*
 * context.h - how libwebsockets is started. Its memory comes from
 * core/alloc.h, as ours does.
 *
 * Threads: any.
 * Owns:    nothing.
 * Locks:   none.
 */
#ifndef WS_NET_CONTEXT_H
#define WS_NET_CONTEXT_H

#include <libwebsockets.h>

/* How many descriptors a context made now can deal with: those with a number
   below this. Never more than a million, whatever the process may open. */
int ws_context_fd_limit(void);

/* A context without a vhost, driven by `evlib`, whose init_pt gets `loop`.
   `log` is scratch that must live as long as the context. The caller's to
   destroy; NULL: out of memory or descriptors. */
struct lws_context *ws_context_new(const lws_plugin_evlib_t *evlib, void *loop,
                                   lws_log_cx_t *log);

/* lws_create_vhost, which itself does not notice all that it did not get. The
   context's; NULL: out of memory, or `info` was no good. */
struct lws_vhost *
ws_context_new_vhost(struct lws_context *context,
                     const struct lws_context_creation_info *info);

#endif
