/* clock_type.c: the Python type Clock over clock.h, and now_ns(). */
#include "bindings.h"
#include "clock.h"

typedef struct {
    PyObject_HEAD Py_buffer shared; /* obj is NULL when the words are our own */
    struct aegis_clock *clock;
    struct aegis_anchor anchor;
    struct aegis_clock own;
} clock_object;

static int clock_init(clock_object *self, PyObject *args, PyObject *kwargs) {
    PyObject *buffer = Py_None;
    static char *names[] = {"buffer", NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O", names, &buffer))
        return -1;
    if (self->clock != NULL) {
        PyErr_SetString(PyExc_ValueError, "the clock is open already");
        return -1;
    }
    if (buffer == Py_None) {
        self->clock = &self->own;
        return 0;
    }
    if (PyObject_GetBuffer(buffer, &self->shared, PyBUF_WRITABLE) != 0)
        return -1;
    if (self->shared.len < (Py_ssize_t)sizeof(struct aegis_clock) ||
        ((uintptr_t)self->shared.buf & 7) != 0) {
        PyBuffer_Release(&self->shared);
        PyErr_SetString(PyExc_ValueError, "a clock needs 64 bytes, 8-byte aligned");
        return -1;
    }
    self->clock = self->shared.buf;
    return 0;
}

static void clock_dealloc(clock_object *self) {
    PyTypeObject *type = Py_TYPE(self);
    if (self->shared.obj != NULL)
        PyBuffer_Release(&self->shared);
    type->tp_free(self);
    Py_DECREF(type);
}

static int clock_check(clock_object *self) {
    if (self->clock != NULL)
        return 0;
    PyErr_SetString(PyExc_ValueError, "the clock is not open");
    return -1;
}

static int clock_getbuffer(clock_object *self, Py_buffer *view, int flags) {
    if (clock_check(self) != 0) {
        view->obj = NULL;
        return -1;
    }
    return PyBuffer_FillInfo(view, (PyObject *)self, self->clock, sizeof *self->clock, 0, flags);
}

static PyObject *clock_now_ns(clock_object *self, PyObject *Py_UNUSED(unused)) {
    if (clock_check(self) != 0)
        return NULL;
    return PyLong_FromLongLong(aegis_clock_now_ns(self->clock));
}

static PyObject *clock_calibrate(clock_object *self, PyObject *const *args, Py_ssize_t count) {
    int64_t duration_ns = 2000000;
    int64_t use_tsc = 1;
    if (clock_check(self) != 0 || aegis_arity("calibrate", count, 0, 2) != 0 ||
        (count > 0 && aegis_int64_arg(args[0], &duration_ns) != 0) ||
        (count > 1 && aegis_int64_arg(args[1], &use_tsc) != 0))
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    aegis_clock_calibrate(self->clock, &self->anchor, duration_ns, use_tsc != 0);
    Py_END_ALLOW_THREADS;
    /* MEMORY: relaxed; we just wrote it: no partner. */
    return PyLong_FromLongLong(atomic_load_explicit(&self->clock->source, memory_order_relaxed));
}

static PyObject *clock_reanchor(clock_object *self, PyObject *Py_UNUSED(unused)) {
    if (clock_check(self) != 0)
        return NULL;
    if (self->anchor.tsc == 0) {
        /* Not the process that calibrated: it has no exact pair to measure the rate from. */
        /* MEMORY: relaxed; one word on its own: no partner. */
        if (atomic_load_explicit(&self->clock->source, memory_order_relaxed) == AEGIS_CLOCK_TSC) {
            PyErr_SetString(PyExc_AssertionError, "only the process that calibrated re-anchors");
            return NULL;
        }
    }
    return PyLong_FromLongLong(aegis_clock_reanchor(self->clock, &self->anchor));
}

static PyMethodDef clock_methods[] = {
    {"now_ns", (PyCFunction)clock_now_ns, METH_NOARGS,
     "Return nanoseconds in the CLOCK_MONOTONIC domain."},
    {"calibrate", AEGIS_FAST(clock_calibrate), METH_FASTCALL,
     "Anchor the clock: calibrate(duration_ns=2_000_000, use_tsc=1) -> its source."},
    {"reanchor", (PyCFunction)clock_reanchor, METH_NOARGS,
     "Correct the rate; return by how many ns the clock was behind."},
    {NULL, NULL, 0, NULL}};

static PyType_Slot clock_slots[] = {{Py_tp_doc, "A clock of eight words: Clock(buffer=None)."},
                                    {Py_tp_init, clock_init},
                                    {Py_tp_new, PyType_GenericNew},
                                    {Py_tp_dealloc, clock_dealloc},
                                    {Py_tp_methods, clock_methods},
                                    {Py_bf_getbuffer, clock_getbuffer},
                                    {0, NULL}};

static PyType_Spec clock_spec = {"native_ext._native.Clock", sizeof(clock_object), 0,
                                 Py_TPFLAGS_DEFAULT, clock_slots};

static PyObject *now_ns(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused)) {
    return PyLong_FromLongLong(aegis_monotonic_ns());
}

static PyObject *tsc_invariant(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused)) {
    return PyBool_FromLong(aegis_tsc_invariant());
}

static PyMethodDef functions[] = {
    {"now_ns", now_ns, METH_NOARGS, "Return CLOCK_MONOTONIC in nanoseconds."},
    {"tsc_invariant", tsc_invariant, METH_NOARGS,
     "Return whether the time-stamp counter may serve as a clock on this machine."},
    {NULL, NULL, 0, NULL}};

int aegis_add_clock_type(PyObject *module) {
    PyObject *type = PyType_FromModuleAndSpec(module, &clock_spec, NULL);
    if (type == NULL)
        return -1;
    int failed = PyModule_AddType(module, (PyTypeObject *)type) != 0 ||
                 PyModule_AddFunctions(module, functions) != 0;
    Py_DECREF(type);
    return failed ? -1 : 0;
}
