/* commands.c: reads a command out of the payload of its slot; see commands.h. */
#include "commands.h"

enum { PAYLOAD_BYTES = 248, TEXT_BYTES = 40 };

/* Where an item lies in the payload, and as what, in the letters of Python's struct. */
static const struct {
    uint8_t offset;
    char type;
} ITEMS[AEGIS_COMMAND_ITEMS] = {
    {8, 'q'},   {16, 'H'},  {18, 'B'},  {19, 'B'},  {20, 'i'},  {24, 'i'},  {28, 'b'},  {29, 'B'},
    {30, 'B'},  {31, 'B'},  {32, 'q'},  {40, 'q'},  {48, 'q'},  {56, 'q'},  {88, 'q'},  {96, 'q'},
    {120, 'i'}, {127, 'B'}, {160, 'q'}, {168, 'q'}, {176, 'q'}, {200, 's'}, {240, 'q'}, {184, 'q'}};

static int64_t read_number(const char *at, char type) {
    int64_t wide;
    int32_t narrow;
    uint16_t half;
    switch (type) {
    case 'q':
        memcpy(&wide, at, sizeof wide);
        return wide;
    case 'i':
        memcpy(&narrow, at, sizeof narrow);
        return narrow;
    case 'H':
        memcpy(&half, at, sizeof half);
        return half;
    case 'b':
        return *(const int8_t *)at;
    default:
        return *(const uint8_t *)at;
    }
}

void aegis_command_numbers(const char *payload, int64_t numbers[AEGIS_COMMAND_ITEMS]) {
    for (int i = 0; i < AEGIS_COMMAND_ITEMS; i++)
        if (ITEMS[i].type != 's')
            numbers[i] = read_number(payload + ITEMS[i].offset, ITEMS[i].type);
}

static PyObject *read_item(const char *at, char type) {
    if (type == 's')
        return PyUnicode_DecodeASCII(at, (Py_ssize_t)strnlen(at, TEXT_BYTES), "replace");
    return PyLong_FromLongLong(read_number(at, type));
}

static PyObject *read_command(PyObject *Py_UNUSED(module), PyObject *const *args,
                              Py_ssize_t count) {
    if (aegis_arity("read_command", count, 2, 2) != 0)
        return NULL;
    if (!PyType_Check(args[0]) || !PyType_IsSubtype((PyTypeObject *)args[0], &PyTuple_Type))
        return PyErr_Format(PyExc_TypeError, "the first argument must be a tuple type");
    PyTypeObject *type = (PyTypeObject *)args[0];
    Py_buffer payload;
    if (PyObject_GetBuffer(args[1], &payload, PyBUF_SIMPLE) != 0)
        return NULL;
    PyObject *command = NULL;
    if (payload.len == PAYLOAD_BYTES)
        command = type->tp_alloc(type, AEGIS_COMMAND_ITEMS);
    else
        PyErr_Format(PyExc_ValueError, "a command has %d bytes, not %zd", PAYLOAD_BYTES,
                     payload.len);
    for (int i = 0; command != NULL && i < AEGIS_COMMAND_ITEMS; i++) {
        PyObject *item = read_item((const char *)payload.buf + ITEMS[i].offset, ITEMS[i].type);
        if (item == NULL)
            Py_CLEAR(command);
        else
            PyTuple_SET_ITEM(command, i, item);
    }
    PyBuffer_Release(&payload);
    return command;
}

PyMethodDef aegis_commands_methods[] = {
    {"read_command", AEGIS_FAST(read_command), METH_FASTCALL,
     "Return the command in a slot's payload of 248 bytes as the given tuple type: "
     "read_command(type, payload)."},
    {NULL, NULL, 0, NULL}};
