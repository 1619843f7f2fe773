#include "wait.h"

#include "core/fork.h"
#include "state.h"

uint64_t
py_slice_end(uint64_t until_ns)
{
    uint64_t end = ws_now_ns() + PY_SLICE_NS;
    return end < until_ns ? end : until_ns;
}

bool
py_wait_flush(ws_flush *flush, uint64_t until_ns, ws_err *result)
{
    bool quiet = true;
    uint32_t generation = ws_fork_generation();
    *result = WS_ERR_TIMEOUT;
    do {
        uint64_t end = py_slice_end(until_ns);
        Py_BEGIN_ALLOW_THREADS
            *result = ws_flush_wait(flush, end);
        Py_END_ALLOW_THREADS
        quiet = PyErr_CheckSignals() == 0;
        if (generation != ws_fork_generation()) {
            return false;
        }
    } while (quiet && *result == WS_ERR_TIMEOUT && ws_now_ns() < until_ns);
    Py_BEGIN_ALLOW_THREADS
        ws_flush_free(flush);
    Py_END_ALLOW_THREADS
    return quiet;
}
