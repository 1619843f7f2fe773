#include "keep.h"

enum { SWEEP_FIRST = 64 };

static void
unlink_kept(py_kept *kept, py_client *client)
{
    *client->kept_link = client->kept_next;
    if (client->kept_next != NULL) {
        client->kept_next->kept_link = client->kept_link;
    }
    client->kept_next = NULL;
    client->kept_link = NULL;
    kept->count--;
}

/* Nothing but its WSClient knows it any more: no event names it. */
static bool
is_over(const py_client *client)
{
    return ws_client_get_state(client->client) == WS_CLIENT_CLOSED &&
           atomic_load(&client->client->refs) == 1;
}

/* Lets go of them only once all are off the list, for that may run anything.
   Without memory for their number it is put off. */
static void
let_go_of_those_over(py_kept *kept)
{
    size_t count = 0;
    py_client *next = NULL;
    py_client **over = PyMem_Calloc(kept->count, sizeof *over);
    for (py_client *one = kept->first; over != NULL && one != NULL;
         one = next) {
        next = one->kept_next;
        if (is_over(one)) {
            unlink_kept(kept, one);
            over[count++] = one;
        }
    }
    kept->sweep_at = kept->count * 2 + SWEEP_FIRST;
    for (size_t i = 0; i < count; i++) {
        Py_DECREF(over[i]);
    }
    PyMem_Free(over);
}

void
py_keep(py_kept *kept, py_client *client)
{
    if (client->kept_link != NULL || is_over(client)) {
        return;
    }
    Py_INCREF(client);
    client->kept_link = &kept->first;
    client->kept_next = kept->first;
    if (kept->first != NULL) {
        kept->first->kept_link = &client->kept_next;
    }
    kept->first = client;
    kept->count++;
    if (kept->count > kept->sweep_at) {
        let_go_of_those_over(kept);
    }
}

void
py_let_go(py_kept *kept, py_client *client)
{
    if (client->kept_link != NULL) {
        unlink_kept(kept, client);
        Py_DECREF(client);
    }
}

void
py_let_all_go(py_kept *kept)
{
    while (kept->first != NULL) {
        py_let_go(kept, kept->first);
    }
}

int
py_visit_kept(const py_kept *kept, visitproc visit, void *arg)
{
    for (py_client *one = kept->first; one != NULL; one = one->kept_next) {
        Py_VISIT(one);
    }
    return 0;
}
