/* feed_reader_type.c: the Python type FrameReader: a BufferedProtocol's bytes into the core.
 *
 * The event loop asks get_buffer for room, receives into it, and calls buffer_updated: that is all
 * Python does per read. Text frames go to the decoder in place; everything a connection answers to
 * (handshake, pings, close, answers, broken protocol) is a method that the Python subclass has.
 */
#include "feed_bindings.h"

#include <structmember.h>

#include <string.h>

#include "clock.h"
#include "frames.h"

#define PPB INT64_C(1000000000)

typedef struct {
    PyObject_HEAD aegis_core_object *core; /* NULL: messages go to on_message, nothing is decoded */
    struct aegis_frames frames;
    int is_upgraded;
    int is_broken;
    int is_shared; /* another connection delivers the same */
    long long byte_count;
    uint8_t *delivered; /* by instrument: bit c is set when channel c spoke on this connection */
    int64_t read_lag_ns; /* the largest of the read in progress */
    struct aegis_lag lag;
} aegis_reader_object;

static PyObject *reader_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(keywords)) {
    PyTypeObject *core_type = aegis_core_type_of(type);
    if (core_type == NULL)
        return NULL;
    /* A subclass may take more; its own constructor looks at the rest. */
    PyObject *core = PyTuple_GET_SIZE(args) > 0 ? PyTuple_GET_ITEM(args, 0) : NULL;
    if (core == NULL || (core != Py_None && !PyObject_TypeCheck(core, core_type))) {
        PyErr_SetString(PyExc_TypeError, "a FrameReader takes a Core or None");
        return NULL;
    }
    aegis_reader_object *self = (aegis_reader_object *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    if (aegis_frames_open(&self->frames) != 0) {
        Py_DECREF(self); /* not given to anybody yet */
        return PyErr_NoMemory();
    }
    if (core == Py_None)
        return (PyObject *)self;
    self->core = (aegis_core_object *)Py_NewRef(core); /* until we are gone */
    self->delivered = PyMem_Calloc((size_t)self->core->core->capacity, 1);
    if (self->delivered == NULL) {
        Py_DECREF(self); /* not given to anybody yet */
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static int reader_traverse(aegis_reader_object *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->core);
    return 0;
}

static int reader_clear(aegis_reader_object *self) {
    Py_CLEAR(self->core);
    return 0;
}

static void reader_dealloc(aegis_reader_object *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    reader_clear(self);
    aegis_frames_close(&self->frames);
    PyMem_Free(self->delivered);
    type->tp_free(self);
    Py_DECREF(type); /* heap types are counted by their instances */
}

static PyObject *reader_get_buffer(aegis_reader_object *self, PyObject *Py_UNUSED(size_hint)) {
    int64_t length = 0;
    uint8_t *room = aegis_frames_room(&self->frames, &length);
    return PyMemoryView_FromMemory((char *)room, length, PyBUF_WRITE);
}

/* Call a method of the subclass with bytes; -1 when it raised. */
static int call_with_bytes(aegis_reader_object *self, const char *method, const uint8_t *data,
                           int64_t length) {
    PyObject *result =
        PyObject_CallMethod((PyObject *)self, method, "y#", data, (Py_ssize_t)length);
    Py_XDECREF(result); /* its value says nothing */
    return result == NULL ? -1 : 0;
}

static int64_t venue_now_ns(const struct aegis_core *core) {
    int64_t elapsed = core->now_ns - core->clock_anchor_ns;
    return core->clock_venue_ns + elapsed +
           (int64_t)((__int128)elapsed * core->clock_rate_ppb / PPB);
}

/* Note of a decoded frame what this connection delivered, and how late. Event times of refused
 * frames say nothing, but those of frames that came twice do. */
static void note_delivery(aegis_reader_object *self, const struct aegis_core *core,
                          int32_t result) {
    if (core->frame_instrument >= 0)
        self->delivered[core->frame_instrument] |= (uint8_t)(1u << core->frame_channel);
    int is_timed = result == AEGIS_REJECT_NONE || result == AEGIS_REJECT_ID_DUPLICATE ||
                   result == AEGIS_REJECT_ID_OUT_OF_ORDER;
    if (!is_timed || core->frame_event_ms <= 0)
        return;
    int64_t lag_ns = venue_now_ns(core) - core->frame_event_ms * AEGIS_NS_PER_MS;
    if (lag_ns > self->read_lag_ns)
        self->read_lag_ns = lag_ns;
}

static int take_message(aegis_reader_object *self, const struct aegis_message *message) {
    switch (message->opcode) {
    case AEGIS_OPCODE_CLOSE:
        return call_with_bytes(self, "on_close", message->data, message->length);
    case AEGIS_OPCODE_PING:
        return call_with_bytes(self, "on_ping", message->data, message->length);
    case AEGIS_OPCODE_PONG:
        return call_with_bytes(self, "on_pong", message->data, message->length);
    default:
        break;
    }
    if (self->core == NULL)
        return call_with_bytes(self, "on_message", message->data, message->length);
    struct aegis_core *core = self->core->core;
    if (message->opcode != AEGIS_OPCODE_TEXT) {
        aegis_core_reject(core, AEGIS_REJECT_FRAME_KIND, -1, message->data, message->length);
        return 0;
    }
    int32_t result = aegis_core_decode(core, message->data, message->length);
    note_delivery(self, core, result);
    if (result == AEGIS_DECODED_ANSWER)
        return call_with_bytes(self, "on_answer", message->data, message->length);
    if (result == AEGIS_DECODED_SHUTDOWN)
        return call_with_bytes(self, "on_shutdown", message->data, message->length);
    return 0;
}

static int take_messages(aegis_reader_object *self) {
    struct aegis_message message;
    for (;;) {
        int result = aegis_frames_next(&self->frames, &message);
        if (result == AEGIS_FRAMES_NEED)
            return 0;
        if (result < 0) {
            self->is_broken = 1;
            PyObject *answer =
                PyObject_CallMethod((PyObject *)self, "on_protocol_error", "i", result);
            Py_XDECREF(answer); /* its value says nothing */
            return answer == NULL ? -1 : 0;
        }
        if (result == AEGIS_FRAMES_OVERSIZE) {
            if (self->core != NULL)
                aegis_core_reject(self->core->core, AEGIS_REJECT_FRAME_OVERSIZE, -1, message.data,
                                  message.length);
        } else if (take_message(self, &message) != 0) {
            return -1;
        }
    }
}

/* Give the bytes so far to on_handshake, which says how many of them it took. */
static int take_handshake(aegis_reader_object *self) {
    struct aegis_frames *frames = &self->frames;
    PyObject *taken =
        PyObject_CallMethod((PyObject *)self, "on_handshake", "y#", frames->buffer + frames->start,
                            (Py_ssize_t)(frames->end - frames->start));
    if (taken == NULL)
        return -1;
    int64_t count = PyLong_AsLongLong(taken);
    Py_DECREF(taken); /* read */
    if (count < 0 || count > frames->end - frames->start) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "on_handshake took bytes that are not there");
        return -1;
    }
    frames->start += count;
    return 0;
}

static PyObject *reader_buffer_updated(aegis_reader_object *self, PyObject *argument) {
    int64_t count = PyLong_AsLongLong(argument), room = 0;
    if (count == -1 && PyErr_Occurred())
        return NULL;
    int64_t now_ns = aegis_monotonic_ns();
    aegis_frames_room(&self->frames, &room);
    if (count < 0 || count > room) {
        PyErr_SetString(PyExc_ValueError, "more bytes than get_buffer gave room for");
        return NULL;
    }
    self->frames.end += count;
    self->byte_count += count;
    if (self->is_broken) {
        self->frames.start = self->frames.end;
        Py_RETURN_NONE;
    }
    if (!self->is_upgraded && take_handshake(self) != 0)
        return NULL;
    if (!self->is_upgraded)
        Py_RETURN_NONE;
    if (self->core == NULL) {
        if (take_messages(self) != 0)
            return NULL;
        Py_RETURN_NONE;
    }
    struct aegis_core *core = self->core->core;
    aegis_core_set_now(core, now_ns);
    core->counters[AEGIS_FEED_READS]++;
    core->counters[AEGIS_FEED_BYTES] += count;
    core->is_shared = self->is_shared;
    self->read_lag_ns = INT64_MIN;
    int result = take_messages(self);
    core->is_shared = 0;
    if (self->read_lag_ns != INT64_MIN)
        aegis_lag_note(&self->lag, self->read_lag_ns);
    aegis_emit_flush(core);
    aegis_core_note_duration(self->core, aegis_monotonic_ns() - now_ns);
    if (result != 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *reader_upgrade(aegis_reader_object *self, PyObject *Py_UNUSED(unused)) {
    self->is_upgraded = 1;
    Py_RETURN_NONE;
}

static PyObject *reader_delivered(aegis_reader_object *self, PyObject *argument) {
    int64_t index = PyLong_AsLongLong(argument);
    if (index == -1 && PyErr_Occurred())
        return NULL;
    if (self->core == NULL || index < 0 || index >= self->core->core->instrument_count) {
        PyErr_Format(PyExc_IndexError, "no instrument %lld", (long long)index);
        return NULL;
    }
    return PyLong_FromLong(self->delivered[index]);
}

static PyObject *reader_take_lag(aegis_reader_object *self, PyObject *Py_UNUSED(unused)) {
    struct aegis_lag *lag = &self->lag;
    PyObject *taken = Py_BuildValue("(LLL)", (long long)lag->count, (long long)lag->sum_ns,
                                    (long long)(lag->count > 0 ? lag->max_ns : 0));
    lag->count = lag->sum_ns = lag->max_ns = 0;
    return taken;
}

static PyObject *reader_lag_quantiles(aegis_reader_object *self, PyObject *Py_UNUSED(unused)) {
    return Py_BuildValue("(LLL)", (long long)aegis_lag_quantile(&self->lag, 500),
                         (long long)aegis_lag_quantile(&self->lag, 900),
                         (long long)aegis_lag_quantile(&self->lag, 990));
}

static PyMethodDef methods[] = {
    {"delivered", (PyCFunction)reader_delivered, METH_O,
     "Return the channels that spoke, as bits."},
    {"take_lag", (PyCFunction)reader_take_lag, METH_NOARGS, "Return and forget the lag's sums."},
    {"lag_quantiles", (PyCFunction)reader_lag_quantiles, METH_NOARGS, "Return p50, p90, p99."},
    {"get_buffer", (PyCFunction)reader_get_buffer, METH_O, "Return room for the next bytes."},
    {"buffer_updated", (PyCFunction)reader_buffer_updated, METH_O, "Take bytes received."},
    {"upgrade", (PyCFunction)reader_upgrade, METH_NOARGS, "From here on the bytes are frames."},
    {NULL, NULL, 0, NULL}};

static PyMemberDef members[] = {{"is_shared", T_INT, offsetof(aegis_reader_object, is_shared), 0,
                                 "Whether another connection delivers the same."},
                                {"byte_count", T_LONGLONG,
                                 offsetof(aegis_reader_object, byte_count), READONLY,
                                 "Bytes received so far."},
                                {NULL, 0, 0, 0, NULL}};

static PyType_Slot slots[] = {{Py_tp_doc, "One connection's bytes into a Core; see _feed.pyi."},
                              {Py_tp_new, reader_new},
                              {Py_tp_dealloc, reader_dealloc},
                              {Py_tp_traverse, reader_traverse},
                              {Py_tp_clear, reader_clear},
                              {Py_tp_methods, methods},
                              {Py_tp_members, members},
                              {0, NULL}};

static PyType_Spec spec = {.name = "native_ext._feed.FrameReader",
                           .basicsize = sizeof(aegis_reader_object),
                           .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
                           .slots = slots};

int aegis_add_reader_type(PyObject *module) {
    PyObject *type = PyType_FromModuleAndSpec(module, &spec, NULL);
    if (type == NULL)
        return -1;
    int result = PyModule_AddObjectRef(module, "FrameReader", type);
    Py_DECREF(type); /* the module has its own */
    return result;
}
