/* bindings.h: what module.c collects. One table of functions or one type set-up per file. */
#ifndef AEGIS_BINDINGS_H
#define AEGIS_BINDINGS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "ring.h"

extern PyMethodDef aegis_process_methods[]; /* process.c */
extern PyMethodDef aegis_words_methods[];   /* words.c */
extern PyMethodDef aegis_commands_methods[]; /* commands.c */

int aegis_add_port_types(PyObject *module);  /* port.c: Port, Producer */
int aegis_add_reader_types(PyObject *module, PyObject *port_type); /* reader_port.c */
int aegis_add_clock_type(PyObject *module);  /* clock_type.c */
int aegis_add_order_wire_type(PyObject *module); /* order_wire.c */
int aegis_add_order_line_type(PyObject *module); /* order_line_type.c */
PyObject *aegis_layout(PyObject *module, PyObject *unused); /* layout.c */

/* A handle on a ring: the base of the Producer, Consumer and Observer types. `next_sequence` is an
 * observer's own; `k` is the reader block, or -1. */
typedef struct {
    PyObject_HEAD Py_buffer segment;
    int open;
    Py_ssize_t export_count;
    int64_t k;
    int64_t next_sequence;
    struct aegis_ring ring;
} aegis_port;

int aegis_port_open(aegis_port *port, PyObject *buffer);
int aegis_port_check(aegis_port *port);
int aegis_int64_arg(PyObject *argument, int64_t *target);
int aegis_arity(const char *name, Py_ssize_t given, Py_ssize_t min, Py_ssize_t max);

/* Cast a METH_FASTCALL function to the type of PyMethodDef.ml_meth. */
#define AEGIS_FAST(function) ((PyCFunction)(void (*)(void))(function))

#endif
