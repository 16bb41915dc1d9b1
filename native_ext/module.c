/* module.c: the extension native_ext._native, collected from the tables of its files. The frame
 * decoder is another extension, native_ext._feed, with a module file of its own. */
#include "bindings.h"

static PyMethodDef methods[] = {
    {"layout", aegis_layout, METH_NOARGS, "Return the C layout table: name to number."},
    {NULL, NULL, 0, NULL}};

static int native_exec(PyObject *module) {
    return PyModule_AddFunctions(module, aegis_process_methods) != 0 ||
                   PyModule_AddFunctions(module, aegis_words_methods) != 0 ||
                   PyModule_AddFunctions(module, aegis_commands_methods) != 0 ||
                   aegis_add_port_types(module) != 0 || aegis_add_clock_type(module) != 0 ||
                   aegis_add_order_wire_type(module) != 0 ||
                   aegis_add_order_line_type(module) != 0 ||
                   PyModule_AddIntConstant(module, "BUILT_FROM", AEGIS_BUILT_FROM) != 0
               ? -1
               : 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, native_exec}, {0, NULL}};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT,
                                        .m_name = "_native",
                                        .m_doc = "Ring algorithms, clocks and process facts in C.",
                                        .m_size = 0,
                                        .m_methods = methods,
                                        .m_slots = slots};

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&definition); }
