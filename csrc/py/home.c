#include "home.h"

#include <unistd.h>

py_home *
py_home_new(py_hub *hub, bool release_gil)
{
    py_home *home = PyMem_Malloc(sizeof *home);
    if (home != NULL) {
        *home = (py_home){
            .refs = 1,
            .hub = hub,
            .generation = ws_fork_generation(),
            .pid = getpid(),
            .release_gil = release_gil,
        };
    }
    return home;
}

py_home *
py_home_ref(py_home *home)
{
    home->refs++;
    return home;
}

void
py_home_unref(py_home *home)
{
    if (home != NULL && --home->refs == 0) {
        PyMem_Free(home);
    }
}
