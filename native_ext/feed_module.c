/* feed_module.c: the extension native_ext._feed: decoder, firewall, books and frames. It compiles
 * the ring's algorithms into itself and needs nothing of native_ext._native. */
#include "feed_bindings.h"
#include "frames.h"

struct feed_state {
    PyTypeObject *core_type;
};

static PyObject *feed_histogram_bucket(PyObject *Py_UNUSED(module), PyObject *argument) {
    int64_t number = PyLong_AsLongLong(argument);
    if (number == -1 && PyErr_Occurred())
        return NULL;
    return PyLong_FromLongLong(aegis_histogram_bucket(number));
}

static int feed_exec(PyObject *module) {
    struct feed_state *state = PyModule_GetState(module);
    state->core_type = aegis_add_core_type(module);
    if (state->core_type == NULL || aegis_add_reader_type(module) != 0)
        return -1;
    return PyModule_AddIntConstant(module, "LEVELS_MAX", AEGIS_LEVELS_MAX) != 0 ||
                   PyModule_AddIntConstant(module, "TOP_LEVELS", AEGIS_TOP_LEVELS) != 0 ||
                   PyModule_AddIntConstant(module, "MESSAGE_MAX", AEGIS_MESSAGE_MAX) != 0 ||
                   PyModule_AddIntConstant(module, "RUN_TO_ACCEPT", AEGIS_RUN_TO_ACCEPT) != 0 ||
                   PyModule_AddIntConstant(module, "ANSWER", AEGIS_DECODED_ANSWER) != 0 ||
                   PyModule_AddIntConstant(module, "SHUTDOWN", AEGIS_DECODED_SHUTDOWN) != 0 ||
                   PyModule_AddIntConstant(module, "STALE", AEGIS_DECODED_STALE) != 0 ||
                   PyModule_AddIntConstant(module, "BUILT_FROM", AEGIS_BUILT_FROM) != 0
               ? -1
               : 0;
}

static int feed_traverse(PyObject *module, visitproc visit, void *arg) {
    Py_VISIT(((struct feed_state *)PyModule_GetState(module))->core_type);
    return 0;
}

static int feed_clear(PyObject *module) {
    Py_CLEAR(((struct feed_state *)PyModule_GetState(module))->core_type);
    return 0;
}

static PyMethodDef methods[] = {
    {"histogram_bucket", feed_histogram_bucket, METH_O, "Return the bucket of a duration."},
    {NULL, NULL, 0, NULL}};

static PyModuleDef_Slot slots[] = {{Py_mod_exec, feed_exec}, {0, NULL}};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT,
                                        .m_name = "_feed",
                                        .m_doc = "Venue frames into ring slots, in C.",
                                        .m_size = sizeof(struct feed_state),
                                        .m_methods = methods,
                                        .m_slots = slots,
                                        .m_traverse = feed_traverse,
                                        .m_clear = feed_clear};

PyTypeObject *aegis_core_type_of(PyTypeObject *type) {
    PyObject *module = PyType_GetModuleByDef(type, &definition);
    return module == NULL ? NULL : ((struct feed_state *)PyModule_GetState(module))->core_type;
}

PyMODINIT_FUNC PyInit__feed(void) { return PyModuleDef_Init(&definition); }
