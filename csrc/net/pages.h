/*
 * pages.h - the few documents that a port serves by plain HTTP.
 *
 * Threads: any.
 * Owns:    its pages, each a complete response with reference count.
 * Locks:   its own, a leaf.
 */
#ifndef WS_NET_PAGES_H
#define WS_NET_PAGES_H

#include <stddef.h>
#include <stdint.h>

#include "core/client.h"
#include "core/err.h"

typedef struct ws_pages ws_pages;

ws_pages *ws_pages_new(void); /* one reference; NULL: no memory */
ws_pages *ws_pages_ref(ws_pages *pages);
void ws_pages_unref(ws_pages *pages); /* NULL does nothing */

/* Serves `body` at `path` from now on, in place of what was there. `type` is
   a valid header value. NOMEM: nothing has changed. */
WS_MUST_CHECK ws_err ws_pages_put(ws_pages *pages, ws_text path, ws_text type,
                                  const void *body, size_t size);

/* A page as it is served: head and body. */
typedef struct ws_page {
    const char *type; /* NUL-terminated */
    const uint8_t *body;
    size_t body_size;
} ws_page;

/* The page at `path`, with a reference to be given back; NULL: none. */
const ws_page *ws_pages_get(ws_pages *pages, const char *path,
                            size_t path_size);
void ws_page_unref(const ws_page *page);

#endif
