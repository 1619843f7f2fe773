#include "args.h"

static int
count_names(const py_signature *signature)
{
    int count = 0;
    while (signature->names[count] != NULL) {
        count++;
    }
    return count;
}

static int
find_name(const py_signature *signature, PyObject *name)
{
    int i = 0;
    while (signature->names[i] != NULL &&
           PyUnicode_CompareWithASCIIString(name, signature->names[i]) != 0) {
        i++;
    }
    return i;
}

static bool
take_keyword(const py_signature *signature, PyObject *name, PyObject *value,
             PyObject **out)
{
    int i = find_name(signature, name);
    if (signature->names[i] == NULL) {
        PyErr_Format(PyExc_TypeError,
                     "%s() got an unexpected keyword argument '%U'",
                     signature->function, name);
        return false;
    }
    if (out[i] != NULL) {
        PyErr_Format(PyExc_TypeError,
                     "%s() got multiple values for argument '%U'",
                     signature->function, name);
        return false;
    }
    out[i] = value;
    return true;
}

bool
py_args(const py_signature *signature, PyObject *const *args, Py_ssize_t nargs,
        PyObject *kwnames, PyObject **out)
{
    int count = count_names(signature);

    if (nargs > signature->positional) {
        PyErr_Format(PyExc_TypeError,
                     "%s() takes at most %d positional argument%s "
                     "(%zd given)",
                     signature->function, signature->positional,
                     signature->positional == 1 ? "" : "s", nargs);
        return false;
    }
    for (int i = 0; i < count; i++) {
        out[i] = i < nargs ? args[i] : NULL;
    }
    Py_ssize_t named = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    for (Py_ssize_t i = 0; i < named; i++) {
        if (!take_keyword(signature, PyTuple_GET_ITEM(kwnames, i),
                          args[nargs + i], out)) {
            return false;
        }
    }
    for (int i = 0; i < signature->required; i++) {
        if (out[i] == NULL) {
            PyErr_Format(PyExc_TypeError,
                         "%s() missing required argument '%s'",
                         signature->function, signature->names[i]);
            return false;
        }
    }
    return true;
}
