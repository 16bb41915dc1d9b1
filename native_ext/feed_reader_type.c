/* feed_reader_type.c: the Python type FrameReader: a BufferedProtocol's bytes into the core.
 *
 * The event loop asks get_buffer for room, receives into it, and calls buffer_updated: that is all
 * Python does per read. Text frames go to the decoder in place; everything a connection answers to
 * (handshake, pings, close, answers, broken protocol) is a method that the Python subclass has.
 */
#include "feed_bindings.h"

#include <structmember.h>

#include "clock.h"
#include "frames.h"

typedef struct {
    PyObject_HEAD aegis_core_object *core; /* NULL: messages go to on_message, nothing is decoded */
    struct aegis_frames frames;
    int is_upgraded;
    int is_broken;
    long long byte_count;
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
    if (core != Py_None)
        self->core = (aegis_core_object *)Py_NewRef(core); /* until we are gone */
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
    int result = take_messages(self);
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

static PyMethodDef methods[] = {
    {"get_buffer", (PyCFunction)reader_get_buffer, METH_O, "Return room for the next bytes."},
    {"buffer_updated", (PyCFunction)reader_buffer_updated, METH_O, "Take bytes received."},
    {"upgrade", (PyCFunction)reader_upgrade, METH_NOARGS, "From here on the bytes are frames."},
    {NULL, NULL, 0, NULL}};

static PyMemberDef members[] = {{"byte_count", T_LONGLONG,
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
