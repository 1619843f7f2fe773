/*
 * wait.h - waiting without the GIL, in slices, so that Ctrl-C works.
 */
#ifndef WS_PY_WAIT_H
#define WS_PY_WAIT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "core/flush.h"
#include "core/lock.h"

#define PY_SLICE_NS (100 * WS_NS_PER_MS)

/* The end of the slice that begins now, of a wait that ends at `until_ns`. */
uint64_t py_slice_end(uint64_t until_ns);

/* Waits for a flush, and frees it. *result: WS_OK, TIMEOUT or CLOSED.
   False: a signal handler has raised; or has forked, then without an
   exception in the child, where the flush is leaked. */
bool py_wait_flush(ws_flush *flush, uint64_t until_ns, ws_err *result);

#endif
