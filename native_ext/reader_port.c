/* reader_port.c: the Python types Consumer (gating) and Observer. Algorithms: ring.h, ring.c. */
#include "bindings.h"

static int port_join(aegis_port *self, int64_t mode, PyObject *const *args) {
    int64_t k;
    int64_t resume;
    int64_t pid;
    int64_t start_ticks;
    if (aegis_int64_arg(args[0], &k) != 0 || aegis_int64_arg(args[1], &resume) != 0 ||
        aegis_int64_arg(args[2], &pid) != 0 || aegis_int64_arg(args[3], &start_ticks) != 0)
        return -1;
    int64_t sequence = aegis_ring_join(&self->ring, k, mode, resume, pid, start_ticks);
    if (sequence == AEGIS_INVALID) {
        PyErr_Format(PyExc_ValueError, "reader_index must be in [0, %d)", AEGIS_READER_COUNT);
        return -1;
    }
    self->k = k;
    self->next_sequence = sequence;
    return 0;
}

/* Open handle and, for Consumer, a joined reader block. */
static int reader_check(aegis_port *self) {
    if (aegis_port_check(self) != 0)
        return -1;
    if (self->k >= 0)
        return 0;
    PyErr_SetString(PyExc_ValueError, "the reader has not joined");
    return -1;
}

static PyObject *reader_leave(aegis_port *self, PyObject *Py_UNUSED(unused)) {
    if (aegis_port_check(self) != 0)
        return NULL;
    if (self->k >= 0)
        aegis_ring_leave(&self->ring, self->k);
    self->k = -1;
    Py_RETURN_NONE;
}

static void store_lag_max(struct aegis_reader *reader, int64_t lag) {
    /* MEMORY: relaxed; we are its one writer, others display it: no partner. */
    if (lag > atomic_load_explicit(&reader->lag_max, memory_order_relaxed))
        /* MEMORY: relaxed, as above: no partner. */
        atomic_store_explicit(&reader->lag_max, lag, memory_order_relaxed);
}

static PyObject *reader_beat(aegis_port *self, PyObject *argument) {
    int64_t now_ns;
    if (reader_check(self) != 0 || aegis_int64_arg(argument, &now_ns) != 0)
        return NULL;
    struct aegis_reader *reader = &self->ring.readers[self->k];
    /* MEMORY: relaxed; one whole word, watched for change only: no partner. */
    atomic_store_explicit(&reader->heartbeat_ns, now_ns, memory_order_relaxed);
    store_lag_max(reader,
                  aegis_ring_published(&self->ring) - aegis_reader_sequence(&self->ring, self->k));
    Py_RETURN_NONE;
}

/* ---- Consumer ---- */

static PyObject *consumer_join(aegis_port *self, PyObject *const *args, Py_ssize_t count) {
    if (aegis_port_check(self) != 0 || aegis_arity("join", count, 4, 4) != 0 ||
        port_join(self, AEGIS_MODE_GATING, args) != 0)
        return NULL;
    return PyLong_FromLongLong(self->next_sequence);
}

static PyObject *pair(int64_t first, int64_t count) {
    return Py_BuildValue("(LL)", (long long)first, (long long)count);
}

static PyObject *consumer_poll(aegis_port *self, PyObject *argument) {
    int64_t limit;
    if (reader_check(self) != 0 || aegis_int64_arg(argument, &limit) != 0)
        return NULL;
    int64_t first = aegis_reader_sequence(&self->ring, self->k);
    return pair(first, aegis_ring_poll(&self->ring, self->k, limit));
}

static PyObject *consumer_read(aegis_port *self, PyObject *argument) {
    int64_t sequence;
    if (reader_check(self) != 0 || aegis_int64_arg(argument, &sequence) != 0)
        return NULL;
    struct aegis_slot *slot = aegis_ring_slot(&self->ring, sequence);
    int64_t payload_words = self->ring.slot_size / 8 - 1;
    if (sequence < aegis_reader_sequence(&self->ring, self->k) ||
        !aegis_ring_taken(&self->ring, sequence + 1)) {
        PyErr_Format(PyExc_AssertionError, "record %lld is not between next_sequence and published",
                     (long long)sequence);
        return NULL;
    }
    PyObject *payload = PyBytes_FromStringAndSize(NULL, payload_words * 8);
    if (payload != NULL) {
        /* Taken and not given back: nobody writes it. */
        memcpy(PyBytes_AS_STRING(payload), slot->payload, (size_t)payload_words * 8);
    }
    return payload;
}

/* Borrow a writable, word-aligned target for whole slots; returns how many fit, -1 on error. */
static int64_t target_slots(aegis_port *self, PyObject *object, Py_buffer *target) {
    if (PyObject_GetBuffer(object, target, PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS) != 0)
        return -1;
    if (((uintptr_t)target->buf & 7) == 0 && target->len >= self->ring.slot_size)
        return target->len / self->ring.slot_size;
    PyErr_Format(PyExc_ValueError, "the target must be 8-byte aligned and hold a slot of %lld",
                 (long long)self->ring.slot_size);
    PyBuffer_Release(target);
    return -1;
}

static PyObject *consumer_read_into(aegis_port *self, PyObject *argument) {
    if (reader_check(self) != 0)
        return NULL;
    Py_buffer target;
    int64_t limit = target_slots(self, argument, &target);
    if (limit < 0)
        return NULL;
    struct aegis_ring *ring = &self->ring;
    int64_t first = aegis_reader_sequence(ring, self->k);
    int64_t count = aegis_ring_poll(ring, self->k, limit);
    int64_t words = ring->slot_size / 8;
    int64_t *rows = target.buf;
    for (int64_t i = 0; i < count; i++) {
        rows[i * words] = first + i + 1;
        memcpy(rows + i * words + 1, aegis_ring_slot(ring, first + i)->payload,
               (size_t)(words - 1) * 8);
    }
    PyBuffer_Release(&target);
    return pair(first, count);
}

static PyObject *consumer_advance(aegis_port *self, PyObject *argument) {
    int64_t sequence;
    if (reader_check(self) != 0 || aegis_int64_arg(argument, &sequence) != 0)
        return NULL;
    int64_t result = aegis_ring_advance(&self->ring, self->k, sequence);
    if (result == AEGIS_INVALID) {
        PyErr_Format(PyExc_AssertionError, "advance to %lld from %lld passes what was published",
                     (long long)sequence, (long long)aegis_reader_sequence(&self->ring, self->k));
        return NULL;
    }
    return PyLong_FromLongLong(result);
}

static PyObject *consumer_next_sequence(aegis_port *self, PyObject *Py_UNUSED(unused)) {
    if (reader_check(self) != 0)
        return NULL;
    return PyLong_FromLongLong(aegis_reader_sequence(&self->ring, self->k));
}

static PyObject *consumer_lag(aegis_port *self, PyObject *Py_UNUSED(unused)) {
    if (reader_check(self) != 0)
        return NULL;
    int64_t lag = aegis_ring_published(&self->ring) - aegis_reader_sequence(&self->ring, self->k);
    store_lag_max(&self->ring.readers[self->k], lag);
    return PyLong_FromLongLong(lag);
}

static PyObject *wait_for(aegis_port *self, int64_t sequence, PyObject *const *args,
                          Py_ssize_t count) {
    int64_t spin_ns;
    int64_t timeout_ns;
    if (aegis_arity("wait", count, 2, 2) != 0 || aegis_int64_arg(args[0], &spin_ns) != 0 ||
        aegis_int64_arg(args[1], &timeout_ns) != 0)
        return NULL;
    int64_t ready = aegis_ring_ready(&self->ring, sequence);
    if (!ready) {
        /* WHY: an export keeps another thread from closing the mapping under the wait. */
        self->export_count++;
        Py_BEGIN_ALLOW_THREADS;
        ready = aegis_ring_wait(&self->ring, sequence, spin_ns, timeout_ns);
        Py_END_ALLOW_THREADS;
        self->export_count--;
        if (PyErr_CheckSignals() != 0)
            return NULL;
    }
    return PyBool_FromLong(ready != 0);
}

static PyObject *consumer_wait(aegis_port *self, PyObject *const *args, Py_ssize_t count) {
    if (reader_check(self) != 0)
        return NULL;
    return wait_for(self, aegis_reader_sequence(&self->ring, self->k), args, count);
}

static PyObject *consumer_arm(aegis_port *self, PyObject *Py_UNUSED(unused)) {
    if (reader_check(self) != 0)
        return NULL;
    return PyBool_FromLong(
        aegis_ring_arm(&self->ring, aegis_reader_sequence(&self->ring, self->k)) != 0);
}

static PyMethodDef consumer_methods[] = {
    {"join", AEGIS_FAST(consumer_join), METH_FASTCALL,
     "Register as gating: join(reader_index, resume, pid, start_ticks) -> first sequence."},
    {"leave", (PyCFunction)reader_leave, METH_NOARGS, "Give the reader block back."},
    {"poll", (PyCFunction)consumer_poll, METH_O,
     "Return (first sequence, count) of contiguous ready records; count may be EVICTED (-2)."},
    {"read", (PyCFunction)consumer_read, METH_O, "Return a copy of one record's payload."},
    {"read_into", (PyCFunction)consumer_read_into, METH_O,
     "Copy ready records as whole slots; return (first sequence, count) as poll does."},
    {"advance", (PyCFunction)consumer_advance, METH_O,
     "Give every record below sequence back; return 0, or EVICTED (-2)."},
    {"next_sequence", (PyCFunction)consumer_next_sequence, METH_NOARGS,
     "Return the next sequence to take."},
    {"lag", (PyCFunction)consumer_lag, METH_NOARGS, "Return published count minus next sequence."},
    {"wait", AEGIS_FAST(consumer_wait), METH_FASTCALL,
     "Wait for the next record: wait(spin_ns, timeout_ns) -> bool, without the GIL."},
    {"arm", (PyCFunction)consumer_arm, METH_NOARGS,
     "Ask for a wake; True when nothing is ready and the caller may sleep."},
    {"beat", (PyCFunction)reader_beat, METH_O, "Store heartbeat (ns) and the largest lag."},
    {NULL, NULL, 0, NULL}};

static PyType_Slot consumer_slots[] = {{Py_tp_doc, "A gating reader of a ring: Consumer(buffer)."},
                                       {Py_tp_methods, consumer_methods},
                                       {0, NULL}};

static PyType_Spec consumer_spec = {"native_ext._native.Consumer", sizeof(aegis_port), 0,
                                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, consumer_slots};

/* ---- Observer ---- */

static PyObject *observer_join(aegis_port *self, PyObject *const *args, Py_ssize_t count) {
    if (aegis_port_check(self) != 0 || aegis_arity("join", count, 4, 4) != 0 ||
        port_join(self, AEGIS_MODE_OBSERVER, args) != 0)
        return NULL;
    return PyLong_FromLongLong(self->next_sequence);
}

static PyObject *observer_seek(aegis_port *self, PyObject *argument) {
    int64_t sequence;
    if (aegis_port_check(self) != 0 || aegis_int64_arg(argument, &sequence) != 0)
        return NULL;
    if (sequence < 0) {
        PyErr_SetString(PyExc_ValueError, "a sequence is not negative");
        return NULL;
    }
    self->next_sequence = sequence;
    Py_RETURN_NONE;
}

static void store_progress(aegis_port *self, int64_t lost) {
    struct aegis_reader *reader = &self->ring.readers[self->k];
    /* MEMORY: relaxed; an observer holds nobody back, its sequence is displayed: no partner. */
    atomic_store_explicit(&reader->sequence, self->next_sequence, memory_order_relaxed);
    if (lost > 0) {
        aegis_count(&reader->lapped_count, lost);
        aegis_count(&reader->resync_count, 1);
    }
}

static PyObject *observer_poll_into(aegis_port *self, PyObject *const *args, Py_ssize_t count) {
    if (aegis_port_check(self) != 0 || aegis_arity("poll_into", count, 1, 2) != 0)
        return NULL;
    Py_buffer target;
    int64_t limit = target_slots(self, args[0], &target);
    if (limit < 0)
        return NULL;
    int64_t asked = limit;
    if (count == 2 && aegis_int64_arg(args[1], &asked) != 0) {
        PyBuffer_Release(&target);
        return NULL;
    }
    int64_t lost;
    int64_t taken = aegis_ring_observe(&self->ring, &self->next_sequence, target.buf,
                                       asked < limit ? asked : limit, &lost);
    PyBuffer_Release(&target);
    if (self->k >= 0)
        store_progress(self, lost);
    return Py_BuildValue("(LLL)", (long long)(self->next_sequence - taken), (long long)taken,
                         (long long)lost);
}

static PyObject *observer_next_sequence(aegis_port *self, PyObject *Py_UNUSED(unused)) {
    return PyLong_FromLongLong(self->next_sequence);
}

static PyObject *observer_lag(aegis_port *self, PyObject *Py_UNUSED(unused)) {
    if (aegis_port_check(self) != 0)
        return NULL;
    return PyLong_FromLongLong(aegis_ring_published(&self->ring) - self->next_sequence);
}

static PyObject *observer_wait(aegis_port *self, PyObject *const *args, Py_ssize_t count) {
    if (aegis_port_check(self) != 0)
        return NULL;
    return wait_for(self, self->next_sequence, args, count);
}

static PyMethodDef observer_methods[] = {
    {"join", AEGIS_FAST(observer_join), METH_FASTCALL,
     "Register for display: join(reader_index, resume, pid, start_ticks) -> first sequence."},
    {"leave", (PyCFunction)reader_leave, METH_NOARGS, "Give the reader block back."},
    {"seek", (PyCFunction)observer_seek, METH_O, "Go on from this sequence."},
    {"poll_into", AEGIS_FAST(observer_poll_into), METH_FASTCALL,
     "Copy valid records: poll_into(target[, max]) -> (first sequence, count, lost before it)."},
    {"next_sequence", (PyCFunction)observer_next_sequence, METH_NOARGS,
     "Return the next sequence."},
    {"lag", (PyCFunction)observer_lag, METH_NOARGS, "Return published count minus next sequence."},
    {"wait", AEGIS_FAST(observer_wait), METH_FASTCALL,
     "Wait for the next record: wait(spin_ns, timeout_ns) -> bool, without the GIL."},
    {"beat", (PyCFunction)reader_beat, METH_O, "Store heartbeat (ns) and the largest lag."},
    {NULL, NULL, 0, NULL}};

static PyType_Slot observer_slots[] = {
    {Py_tp_doc, "A reader that may be lapped: Observer(buffer)."},
    {Py_tp_methods, observer_methods},
    {0, NULL}};

static PyType_Spec observer_spec = {"native_ext._native.Observer", sizeof(aegis_port), 0,
                                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, observer_slots};

int aegis_add_reader_types(PyObject *module, PyObject *port_type) {
    PyObject *consumer = PyType_FromModuleAndSpec(module, &consumer_spec, port_type);
    PyObject *observer = PyType_FromModuleAndSpec(module, &observer_spec, port_type);
    int failed = consumer == NULL || observer == NULL ||
                 PyModule_AddType(module, (PyTypeObject *)consumer) != 0 ||
                 PyModule_AddType(module, (PyTypeObject *)observer) != 0;
    Py_XDECREF(consumer);
    Py_XDECREF(observer);
    return failed ? -1 : 0;
}
