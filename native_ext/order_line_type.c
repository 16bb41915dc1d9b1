/* order_line_type.c: the Python type OrderLine, the executor's end of an order line. The kernel
 * thread's end are two functions by address, of order_line.c. */
#include "bindings.h"
#include "clock.h"
#include "commands.h"
#include "order_line.h"

#include <sched.h>

#define TAKEN_NS_MAX                                                                               \
    INT64_C(5000000000) /* it takes microseconds; longer, and the loop is broken                   \
                         */

typedef struct {
    PyObject_HEAD PyObject *wire; /* what `line.wire` borrows from */
    struct aegis_order_line line;
    int64_t written_count; /* orders collected of which bytes had left */
} line_object;

static PyObject *line_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "", names))
        return NULL;
    line_object *self = (line_object *)type->tp_alloc(type, 0);
    if (self != NULL)
        self->line.descriptor = -1;
    return (PyObject *)self;
}

static void line_dealloc(line_object *self) {
    PyTypeObject *type = Py_TYPE(self);
    aegis_line_clear(&self->line);
    Py_CLEAR(self->wire);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *line_arm(line_object *self, PyObject *const *args, Py_ssize_t count) {
    int64_t numbers[5];
    if (aegis_arity("arm", count, 6, 6) != 0)
        return NULL;
    for (int i = 0; i < 5; i++)
        if (aegis_int64_arg(args[i + 1], &numbers[i]) != 0)
            return NULL;
    if (aegis_wire_freeze(args[0]) != 0)
        return NULL;
    const struct aegis_venue_clock clock = {numbers[1], numbers[2], numbers[3], numbers[4]};
    PyObject *wire = Py_NewRef(args[0]);
    if (aegis_line_arm(&self->line, (int)numbers[0], aegis_wire_build, wire, &clock) != 0) {
        Py_DECREF(wire);
        Py_RETURN_FALSE;
    }
    Py_XSETREF(self->wire, wire); /* the one before was lent to a line that is over */
    Py_RETURN_TRUE;
}

/* Wait for the end of TAKEN without the GIL; -1 and an exception when it does not come. */
static int await_settled(line_object *self) {
    int settled;
    Py_BEGIN_ALLOW_THREADS;
    int64_t deadline_ns = aegis_monotonic_ns() + TAKEN_NS_MAX;
    while (!(settled = aegis_line_settled(&self->line)) && aegis_monotonic_ns() < deadline_ns)
        sched_yield(); /* the kernel thread may share our core */
    Py_END_ALLOW_THREADS;
    if (settled)
        return 0;
    PyErr_SetString(PyExc_AssertionError, "the kernel thread does not settle its order");
    return -1;
}

static int64_t line_state(line_object *self) {
    /* MEMORY: relaxed; told from TAKEN or not, nothing is read by it: no partner. */
    return atomic_load_explicit(&self->line.state, memory_order_relaxed);
}

static PyObject *line_disarm(line_object *self, PyObject *Py_UNUSED(unused)) {
    if (aegis_line_disarm(&self->line))
        Py_RETURN_TRUE;
    if (await_settled(self) != 0)
        return NULL;
    Py_RETURN_FALSE;
}

static PyObject *line_collect(line_object *self, PyObject *Py_UNUSED(unused)) {
    if (line_state(self) < AEGIS_LINE_TAKEN)
        return PyErr_Format(PyExc_AssertionError, "nobody took the order line");
    if (await_settled(self) != 0)
        return NULL;
    const struct aegis_order_line *line = &self->line;
    int64_t sent = line->sent > 0 ? line->sent : 0;
    Py_ssize_t rest = sent > 0 ? (Py_ssize_t)(line->size - sent) : 0;
    PyObject *found = Py_BuildValue("(LLLy#)", (long long)line->sent, (long long)line->write_ns,
                                    (long long)line->venue_ms, line->request + sent, rest);
    if (found == NULL)
        return NULL;
    self->written_count += sent > 0;
    aegis_line_clear(&self->line);
    return found;
}

static PyObject *line_get_state(line_object *self, void *Py_UNUSED(closure)) {
    return PyLong_FromLongLong(line_state(self));
}

static PyObject *line_get_written(line_object *self, void *Py_UNUSED(closure)) {
    return PyLong_FromLongLong(self->written_count);
}

static PyObject *line_get_addresses(line_object *self, void *Py_UNUSED(closure)) {
    return Py_BuildValue("(LLL)", (long long)(intptr_t)&self->line,
                         (long long)(intptr_t)aegis_line_take,
                         (long long)(intptr_t)aegis_line_write);
}

static PyMethodDef line_methods[] = {
    {"arm", AEGIS_FAST(line_arm), METH_FASTCALL,
     "Lend a socket: arm(wire, descriptor, anchor_ns, venue_ns, rate_ppb, last_ms) -> whether."},
    {"disarm", (PyCFunction)line_disarm, METH_NOARGS,
     "Take the socket back; False when the kernel thread wrote on it, or tried to."},
    {"collect", (PyCFunction)line_collect, METH_NOARGS,
     "Return what became of a taken line and empty it: (bytes sent, -1 where the command made no "
     "request; write_ns; venue_ms; rest of a request that was begun)."},
    {NULL, NULL, 0, NULL}};

static PyGetSetDef line_getters[] = {
    {"state", (getter)line_get_state, NULL, "State of the line; for display.", NULL},
    {"written_count", (getter)line_get_written, NULL,
     "How many orders were written on the line and collected.", NULL},
    {"addresses", (getter)line_get_addresses, NULL,
     "Addresses of the line, of the function that takes it, and of the one that writes.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot line_slots[] = {
    {Py_tp_doc, "A socket that the kernel thread may write one new order to: OrderLine()."},
    {Py_tp_new, line_new},
    {Py_tp_dealloc, line_dealloc},
    {Py_tp_methods, line_methods},
    {Py_tp_getset, line_getters},
    {0, NULL}};

static PyType_Spec line_spec = {"native_ext._native.OrderLine", sizeof(line_object), 0,
                                Py_TPFLAGS_DEFAULT, line_slots};

int aegis_add_order_line_type(PyObject *module) {
    PyObject *type = PyType_FromModuleAndSpec(module, &line_spec, NULL);
    if (type == NULL)
        return -1;
    int failed = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    return failed;
}
