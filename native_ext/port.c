/* port.c: the Python types Port (a ring handle) and Producer. Algorithms are in ring.h, ring.c. */
#include "bindings.h"

#include <string.h>

int aegis_port_check(aegis_port *port) {
    if (port->open)
        return 0;
    PyErr_SetString(PyExc_ValueError, "the ring handle is closed");
    return -1;
}

int aegis_int64_arg(PyObject *argument, int64_t *target) {
    long long number = PyLong_AsLongLong(argument);
    if (number == -1 && PyErr_Occurred())
        return -1;
    *target = number;
    return 0;
}

int aegis_arity(const char *name, Py_ssize_t given, Py_ssize_t min, Py_ssize_t max) {
    if (given >= min && given <= max)
        return 0;
    PyErr_Format(PyExc_TypeError, "%s takes %zd to %zd arguments, got %zd", name, min, max, given);
    return -1;
}

int aegis_port_open(aegis_port *port, PyObject *buffer) {
    if (port->open) {
        PyErr_SetString(PyExc_ValueError, "the ring handle is open already");
        return -1;
    }
    if (PyObject_GetBuffer(buffer, &port->segment, PyBUF_WRITABLE) != 0)
        return -1;
    if (aegis_ring_attach(&port->ring, port->segment.buf, port->segment.len) != 0) {
        PyBuffer_Release(&port->segment);
        PyErr_SetString(PyExc_ValueError, "the memory holds no ring of this layout");
        return -1;
    }
    port->k = -1;
    port->next_sequence = 0;
    port->open = 1;
    return 0;
}

static int port_init(aegis_port *self, PyObject *args, PyObject *kwargs) {
    PyObject *buffer;
    static char *names[] = {"buffer", NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O", names, &buffer))
        return -1;
    return aegis_port_open(self, buffer);
}

/* The buffer protocol hands out the handle words, not the segment: int64[16] for Numba kernels. */
static int port_getbuffer(aegis_port *self, Py_buffer *view, int flags) {
    if (aegis_port_check(self) != 0) {
        view->obj = NULL;
        return -1;
    }
    if (PyBuffer_FillInfo(view, (PyObject *)self, &self->ring, sizeof self->ring, 0, flags) != 0)
        return -1;
    self->export_count++;
    return 0;
}

static void port_releasebuffer(aegis_port *self, Py_buffer *Py_UNUSED(view)) {
    self->export_count--;
}

static PyObject *port_close(aegis_port *self, PyObject *Py_UNUSED(unused)) {
    if (self->export_count > 0) {
        PyErr_SetString(PyExc_BufferError, "a kernel handle of this port is still alive");
        return NULL;
    }
    if (self->open) {
        self->open = 0;
        PyBuffer_Release(&self->segment);
    }
    Py_RETURN_NONE;
}

static void port_dealloc(aegis_port *self) {
    PyTypeObject *type = Py_TYPE(self);
    if (self->open) {
        self->open = 0;
        PyBuffer_Release(&self->segment);
    }
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *port_published(aegis_port *self, PyObject *Py_UNUSED(unused)) {
    if (aegis_port_check(self) != 0)
        return NULL;
    return PyLong_FromLongLong(aegis_ring_published(&self->ring));
}

static PyObject *port_gating(aegis_port *self, PyObject *Py_UNUSED(unused)) {
    if (aegis_port_check(self) != 0)
        return NULL;
    struct aegis_ring copy = self->ring;
    copy.done = aegis_ring_published(&copy);
    return PyLong_FromLongLong(aegis_ring_gating(&copy));
}

static PyObject *port_evict(aegis_port *self, PyObject *argument) {
    int64_t k;
    if (aegis_port_check(self) != 0 || aegis_int64_arg(argument, &k) != 0)
        return NULL;
    if (k < 0 || k >= AEGIS_READER_COUNT) {
        PyErr_Format(PyExc_ValueError, "reader_index must be in [0, %d)", AEGIS_READER_COUNT);
        return NULL;
    }
    aegis_ring_evict(&self->ring, k);
    Py_RETURN_NONE;
}

static PyObject *port_wake(aegis_port *self, PyObject *Py_UNUSED(unused)) {
    if (aegis_port_check(self) != 0)
        return NULL;
    aegis_ring_wake(&self->ring);
    Py_RETURN_NONE;
}

static PyMethodDef port_methods[] = {
    {"close", (PyCFunction)port_close, METH_NOARGS, "Let go of the segment's memory."},
    {"published", (PyCFunction)port_published, METH_NOARGS, "Return the published count."},
    {"gating_sequence", (PyCFunction)port_gating, METH_NOARGS,
     "Return the lowest sequence of all gating readers, or the published count without one."},
    {"evict", (PyCFunction)port_evict, METH_O,
     "Take a gating reader out so that the producer moves again; main only."},
    {"wake", (PyCFunction)port_wake, METH_NOARGS, "Wake sleeping readers, if there are any."},
    {NULL, NULL, 0, NULL}};

static PyType_Slot port_slots[] = {{Py_tp_doc, "A handle on a ring: Port(buffer)."},
                                   {Py_tp_init, port_init},
                                   {Py_tp_new, PyType_GenericNew},
                                   {Py_tp_dealloc, port_dealloc},
                                   {Py_tp_methods, port_methods},
                                   {Py_bf_getbuffer, port_getbuffer},
                                   {Py_bf_releasebuffer, port_releasebuffer},
                                   {0, NULL}};

static PyType_Spec port_spec = {"native_ext._native.Port", sizeof(aegis_port), 0,
                                Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, port_slots};

/* ---- Producer ---- */

static PyObject *producer_recover(aegis_port *self, PyObject *const *args, Py_ssize_t count) {
    int64_t pid;
    int64_t start_ticks;
    if (aegis_port_check(self) != 0 || aegis_arity("recover", count, 2, 2) != 0 ||
        aegis_int64_arg(args[0], &pid) != 0 || aegis_int64_arg(args[1], &start_ticks) != 0)
        return NULL;
    return PyLong_FromLongLong(aegis_ring_recover(&self->ring, pid, start_ticks));
}

/* Fill a claimed slot with `length` payload bytes and zeros behind them, so that the bytes of a
 * record never depend on what the slot held before. */
static void write_payload(const struct aegis_ring *ring, int64_t sequence, const char *bytes,
                          int64_t length) {
    int64_t *payload = aegis_ring_begin(ring, sequence);
    int64_t whole_words = length / 8;
    int64_t word_count = ring->slot_size / 8 - 1;
    for (int64_t i = 0; i < word_count; i++) {
        int64_t word = 0;
        if (i < whole_words)
            memcpy(&word, bytes + i * 8, 8);
        else if (i == whole_words && length % 8 != 0)
            memcpy(&word, bytes + i * 8, (size_t)(length % 8));
        aegis_copy_in(payload + i, &word, 1);
    }
    aegis_ring_commit(ring, sequence);
}

static PyObject *producer_try_publish(aegis_port *self, PyObject *argument) {
    if (aegis_port_check(self) != 0)
        return NULL;
    Py_buffer payload;
    if (PyObject_GetBuffer(argument, &payload, PyBUF_SIMPLE) != 0)
        return NULL;
    PyObject *result = NULL;
    if (payload.len > self->ring.slot_size - AEGIS_SLOT_HEADER_BYTES) {
        PyErr_Format(PyExc_ValueError, "a payload of %zd bytes does not fit a slot of %lld",
                     payload.len, (long long)self->ring.slot_size);
    } else if (self->ring.next != self->ring.done) {
        PyErr_SetString(PyExc_AssertionError, "try_publish with claimed, unpublished slots");
    } else {
        int64_t sequence = aegis_ring_claim(&self->ring, 1);
        if (sequence >= 0) {
            write_payload(&self->ring, sequence, payload.buf, payload.len);
            aegis_ring_publish(&self->ring);
        }
        result = PyLong_FromLongLong(sequence);
    }
    PyBuffer_Release(&payload);
    return result;
}

static PyObject *producer_try_publish_many(aegis_port *self, PyObject *argument) {
    if (aegis_port_check(self) != 0)
        return NULL;
    Py_buffer block;
    if (PyObject_GetBuffer(argument, &block, PyBUF_C_CONTIGUOUS) != 0)
        return NULL;
    struct aegis_ring *ring = &self->ring;
    PyObject *result = NULL;
    int64_t n = block.len / ring->slot_size;
    if (block.len % ring->slot_size != 0 || n < 1 || n > ring->capacity) {
        PyErr_Format(PyExc_ValueError, "the block must be 1 to %lld whole slots of %lld bytes",
                     (long long)ring->capacity, (long long)ring->slot_size);
    } else if (ring->next != ring->done) {
        PyErr_SetString(PyExc_AssertionError, "try_publish_many with claimed, unpublished slots");
    } else {
        int64_t first = aegis_ring_claim(ring, n);
        for (int64_t i = 0; first >= 0 && i < n; i++)
            write_payload(ring, first + i,
                          (const char *)block.buf + i * ring->slot_size + AEGIS_SLOT_HEADER_BYTES,
                          ring->slot_size - AEGIS_SLOT_HEADER_BYTES);
        if (first >= 0)
            aegis_ring_publish(ring);
        result = PyLong_FromLongLong(first);
    }
    PyBuffer_Release(&block);
    return result;
}

static PyObject *producer_try_claim(aegis_port *self, PyObject *argument) {
    int64_t n;
    if (aegis_port_check(self) != 0 || aegis_int64_arg(argument, &n) != 0)
        return NULL;
    int64_t sequence = aegis_ring_claim(&self->ring, n);
    if (sequence == AEGIS_INVALID) {
        PyErr_Format(PyExc_AssertionError, "cannot claim %lld of %lld slots", (long long)n,
                     (long long)self->ring.capacity);
        return NULL;
    }
    /* Python writes in place as it likes: the slots are begun for it. */
    for (int64_t i = 0; sequence >= 0 && i < n; i++)
        aegis_ring_begin(&self->ring, sequence + i);
    return PyLong_FromLongLong(sequence);
}

static PyObject *producer_publish(aegis_port *self, PyObject *Py_UNUSED(unused)) {
    if (aegis_port_check(self) != 0)
        return NULL;
    struct aegis_ring *ring = &self->ring;
    for (int64_t sequence = ring->done; sequence < ring->next; sequence++)
        aegis_ring_commit(ring, sequence);
    int64_t published = aegis_ring_publish(ring);
    if (published == AEGIS_INVALID) {
        PyErr_SetString(PyExc_AssertionError, "publish with nothing claimed");
        return NULL;
    }
    return PyLong_FromLongLong(published);
}

static PyObject *producer_abort(aegis_port *self, PyObject *Py_UNUSED(unused)) {
    if (aegis_port_check(self) != 0)
        return NULL;
    aegis_ring_abort(&self->ring);
    Py_RETURN_NONE;
}

static PyObject *producer_beat(aegis_port *self, PyObject *argument) {
    int64_t now_ns;
    if (aegis_port_check(self) != 0 || aegis_int64_arg(argument, &now_ns) != 0)
        return NULL;
    /* MEMORY: relaxed; one whole word, watched for change only: no partner. */
    atomic_store_explicit(&self->ring.producer->heartbeat_ns, now_ns, memory_order_relaxed);
    Py_RETURN_NONE;
}

static PyObject *producer_count_conflated(aegis_port *self, PyObject *argument) {
    int64_t n;
    if (aegis_port_check(self) != 0 || aegis_int64_arg(argument, &n) != 0)
        return NULL;
    aegis_count(&self->ring.producer->conflated_count, n);
    Py_RETURN_NONE;
}

static PyObject *producer_set_doorbell(aegis_port *self, PyObject *argument) {
    int64_t descriptor;
    if (aegis_port_check(self) != 0 || aegis_int64_arg(argument, &descriptor) != 0)
        return NULL;
    self->ring.doorbell = descriptor;
    Py_RETURN_NONE;
}

static PyMethodDef producer_methods[] = {
    {"recover", AEGIS_FAST(producer_recover), METH_FASTCALL,
     "Take over production: recover(pid, start_ticks) -> next sequence."},
    {"try_publish", (PyCFunction)producer_try_publish, METH_O,
     "Publish one payload; return its sequence, or FULL (-1)."},
    {"try_publish_many", (PyCFunction)producer_try_publish_many, METH_O,
     "Publish a block of whole slots, all or none; return the first sequence, or FULL (-1)."},
    {"try_claim", (PyCFunction)producer_try_claim, METH_O,
     "Reserve the next n slots; return the first sequence, or FULL (-1)."},
    {"publish", (PyCFunction)producer_publish, METH_NOARGS,
     "Make all claimed slots visible at once; return the published count."},
    {"abort", (PyCFunction)producer_abort, METH_NOARGS, "Give up what is claimed."},
    {"beat", (PyCFunction)producer_beat, METH_O, "Store the producer's heartbeat in ns."},
    {"count_conflated", (PyCFunction)producer_count_conflated, METH_O,
     "Add n to the conflated count."},
    {"set_doorbell", (PyCFunction)producer_set_doorbell, METH_O,
     "Let wake() also write this eventfd; -1 for the futex alone."},
    {NULL, NULL, 0, NULL}};

static PyType_Slot producer_slots[] = {{Py_tp_doc, "The one producer of a ring: Producer(buffer)."},
                                       {Py_tp_methods, producer_methods},
                                       {0, NULL}};

static PyType_Spec producer_spec = {"native_ext._native.Producer", sizeof(aegis_port), 0,
                                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, producer_slots};

int aegis_add_port_types(PyObject *module) {
    PyObject *port = PyType_FromModuleAndSpec(module, &port_spec, NULL);
    if (port == NULL)
        return -1;
    PyObject *producer = PyType_FromModuleAndSpec(module, &producer_spec, port);
    int failed = producer == NULL || PyModule_AddType(module, (PyTypeObject *)port) != 0 ||
                 PyModule_AddType(module, (PyTypeObject *)producer) != 0 ||
                 aegis_add_reader_types(module, port) != 0;
    Py_XDECREF(producer);
    Py_DECREF(port);
    return failed ? -1 : 0;
}
