/* order_wire.c: the Python type OrderWire, which writes the request of a new order in one call.
 *
 *     head | fixed | &quantity=..[&price=..]&newClientOrderId=..&recvWindow=..&timestamp=..
 *          | &signature=.. | tail
 *
 * The signature covers everything between head and itself. What does not change between two orders
 * is prepared by the caller: head (request line up to the query), fixed (symbol, side, type), the
 * prefix of the order's name, and tail (headers). Nothing here knows more of a venue than that.
 */
#include "bindings.h"
#include "sha256.h"

enum {
    NUMBER_CHARACTERS = 48, /* of a decimal: 19 digits, up to 18 zeros, point */
    EXPONENT_MAX = 18,
    NAME_CHARACTERS = 28, /* of two numbers in base 36 and the dash between them */
    SIGNATURE_CHARACTERS = 2 * AEGIS_SHA256_BYTES
};

typedef struct {
    PyObject_HEAD PyObject *head;
    PyObject *tail;
    PyObject *window; /* "&recvWindow=5000&timestamp=" */
    struct aegis_hmac hmac;
} wire_object;

static int wire_init(wire_object *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"head", "tail", "window", "secret", NULL};
    PyObject *head, *tail, *window;
    Py_buffer secret;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "SSSy*", names, &head, &tail, &window, &secret))
        return -1;
    Py_XSETREF(self->head, Py_NewRef(head));
    Py_XSETREF(self->tail, Py_NewRef(tail));
    Py_XSETREF(self->window, Py_NewRef(window));
    aegis_hmac_key(&self->hmac, secret.buf, (size_t)secret.len);
    PyBuffer_Release(&secret);
    return 0;
}

static void wire_dealloc(wire_object *self) {
    PyTypeObject *type = Py_TYPE(self);
    Py_CLEAR(self->head);
    Py_CLEAR(self->tail);
    Py_CLEAR(self->window);
    type->tp_free(self);
    Py_DECREF(type);
}

/* Each writer below returns the end of what it wrote. */

static char *put_bytes(char *to, PyObject *bytes) {
    size_t size = (size_t)PyBytes_GET_SIZE(bytes);
    memcpy(to, PyBytes_AS_STRING(bytes), size);
    return to + size;
}

static char *put_text(char *to, const char *text) {
    size_t size = strlen(text);
    memcpy(to, text, size);
    return to + size;
}

static char *put_number(char *to, uint64_t number, uint64_t base) {
    char reversed[20];
    int count = 0;
    do {
        reversed[count++] = "0123456789abcdefghijklmnopqrstuvwxyz"[number % base];
        number /= base;
    } while (number > 0);
    while (count > 0)
        *to++ = reversed[--count];
    return to;
}

/* scaled / 10^exponent with exactly `exponent` places behind the point. */
static char *put_decimal(char *to, uint64_t scaled, int64_t exponent) {
    uint64_t power = 1;
    for (int64_t i = 0; i < exponent; i++)
        power *= 10;
    to = put_number(to, scaled / power, 10);
    if (exponent == 0)
        return to;
    *to++ = '.';
    uint64_t places = scaled % power;
    for (power /= 10; power > 0; power /= 10) {
        *to++ = (char)('0' + places / power);
        places %= power;
    }
    return to;
}

static char *put_signature(char *to, const struct aegis_hmac *hmac, const char *query,
                           size_t size) {
    uint8_t code[AEGIS_SHA256_BYTES];
    aegis_hmac_sign(hmac, (const uint8_t *)query, size, code);
    for (int i = 0; i < AEGIS_SHA256_BYTES; i++) {
        *to++ = "0123456789abcdef"[code[i] >> 4];
        *to++ = "0123456789abcdef"[code[i] & 15];
    }
    return to;
}

static int wire_check(const wire_object *self) {
    if (self->head != NULL)
        return 0;
    PyErr_SetString(PyExc_ValueError, "the wire has no key");
    return -1;
}

enum { FIXED, QUANTITY, QUANTITY_EXPONENT, PRICE, PRICE_EXPONENT, PREFIX, ORDER, CAUSE, MS, COUNT };

static PyObject *wire_order(wire_object *self, PyObject *const *args, Py_ssize_t count) {
    int64_t n[COUNT] = {0};
    if (wire_check(self) != 0 || aegis_arity("order", count, COUNT, COUNT) != 0)
        return NULL;
    for (int i = 0; i < COUNT; i++) {
        if (i == FIXED || i == PREFIX) {
            if (!PyBytes_Check(args[i]))
                return PyErr_Format(PyExc_TypeError, "argument %d must be bytes", i);
        } else if (aegis_int64_arg(args[i], &n[i]) != 0) {
            return NULL;
        }
    }
    int has_price = n[PRICE] != INT64_MIN;
    int64_t lowest = has_price ? n[PRICE] : 0; /* of the numbers, none of which may be negative */
    for (int i = 0; i < COUNT; i++)
        if (i != PRICE && n[i] < lowest)
            lowest = n[i];
    if (lowest < 0 || n[QUANTITY_EXPONENT] > EXPONENT_MAX || n[PRICE_EXPONENT] > EXPONENT_MAX)
        return PyErr_Format(PyExc_AssertionError, "an order's number is out of its range");
    Py_ssize_t size = PyBytes_GET_SIZE(self->head) + PyBytes_GET_SIZE(args[FIXED]) +
                      PyBytes_GET_SIZE(args[PREFIX]) + PyBytes_GET_SIZE(self->window) +
                      PyBytes_GET_SIZE(self->tail) + SIGNATURE_CHARACTERS + 3 * NUMBER_CHARACTERS +
                      NAME_CHARACTERS + 64;
    PyObject *request = PyBytes_FromStringAndSize(NULL, size);
    if (request == NULL)
        return NULL;
    char *start = PyBytes_AS_STRING(request);
    char *query = put_bytes(start, self->head);
    char *to = put_text(put_bytes(query, args[FIXED]), "&quantity=");
    to = put_decimal(to, (uint64_t)n[QUANTITY], n[QUANTITY_EXPONENT]);
    if (has_price)
        to = put_decimal(put_text(to, "&price="), (uint64_t)n[PRICE], n[PRICE_EXPONENT]);
    to = put_bytes(put_text(to, "&newClientOrderId="), args[PREFIX]);
    to = put_number(to, (uint64_t)n[ORDER], 36);
    *to++ = '-';
    to = put_number(to, (uint64_t)n[CAUSE], 36);
    to = put_number(put_bytes(to, self->window), (uint64_t)n[MS], 10);
    size_t signed_size = (size_t)(to - query);
    to = put_signature(put_text(to, "&signature="), &self->hmac, query, signed_size);
    to = put_bytes(to, self->tail);
    _PyBytes_Resize(&request, to - start);
    return request;
}

static PyObject *wire_signature(wire_object *self, PyObject *query) {
    if (wire_check(self) != 0)
        return NULL;
    if (!PyBytes_Check(query))
        return PyErr_Format(PyExc_TypeError, "the query must be bytes");
    char text[SIGNATURE_CHARACTERS];
    put_signature(text, &self->hmac, PyBytes_AS_STRING(query), (size_t)PyBytes_GET_SIZE(query));
    return PyBytes_FromStringAndSize(text, SIGNATURE_CHARACTERS);
}

static PyMethodDef wire_methods[] = {
    {"order", AEGIS_FAST(wire_order), METH_FASTCALL,
     "Return the request of a new order: order(fixed, quantity_scaled, quantity_exponent, "
     "price_scaled, price_exponent, name_prefix, order_sequence, cause_sequence, venue_ms); "
     "price_scaled NO_PRICE: none."},
    {"signature", (PyCFunction)wire_signature, METH_O,
     "Return the HMAC-SHA256 of a query as 64 hexadecimal digits."},
    {NULL, NULL, 0, NULL}};

static PyType_Slot wire_slots[] = {
    {Py_tp_doc, "Requests of one account: OrderWire(head, tail, window, secret)."},
    {Py_tp_init, wire_init},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, wire_dealloc},
    {Py_tp_methods, wire_methods},
    {0, NULL}};

static PyType_Spec wire_spec = {"native_ext._native.OrderWire", sizeof(wire_object), 0,
                                Py_TPFLAGS_DEFAULT, wire_slots};

int aegis_add_order_wire_type(PyObject *module) {
    PyObject *type = PyType_FromModuleAndSpec(module, &wire_spec, NULL);
    PyObject *no_price = PyLong_FromLongLong(INT64_MIN);
    if (type == NULL || no_price == NULL) {
        Py_XDECREF(type);
        Py_XDECREF(no_price);
        return -1;
    }
    int failed = PyModule_AddType(module, (PyTypeObject *)type) != 0 ||
                 PyModule_AddObjectRef(module, "NO_PRICE", no_price) != 0;
    Py_DECREF(no_price);
    Py_DECREF(type);
    return failed ? -1 : 0;
}
