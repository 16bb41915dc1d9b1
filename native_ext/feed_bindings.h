/* feed_bindings.h: what feed_module.c collects; one type per file. */
#ifndef AEGIS_FEED_BINDINGS_H
#define AEGIS_FEED_BINDINGS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "feed.h"

/* The Python type Core. It owns the C core and borrows the ring's segment. */
typedef struct {
    PyObject_HEAD struct aegis_core *core;
    Py_buffer segment;   /* the market ring, held while attached */
    Py_buffer histogram; /* int64 words of a latency histogram, held while set */
} aegis_core_object;

/* Count how long a read took, from its receive time to the end of its publishing. */
void aegis_core_note_duration(aegis_core_object *self, int64_t duration_ns);

PyTypeObject *aegis_add_core_type(PyObject *module); /* feed_core_type.c */
int aegis_add_reader_type(PyObject *module);         /* feed_reader_type.c */

/* The type Core of the module that `type`, or one of its bases, belongs to; borrowed. */
PyTypeObject *aegis_core_type_of(PyTypeObject *type); /* feed_module.c */

#endif
