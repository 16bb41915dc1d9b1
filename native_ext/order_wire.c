/* order_wire.c: the Python type OrderWire, which writes the request of a new order in one call.
 *
 *     head | symbol | terms |
 * &quantity=..[&price=..][&goodTillDate=..]&newClientOrderId=..&recvWindow=..&timestamp=.. |
 * &signature=.. | tail
 *
 * The signature covers everything between head and itself. What does not change between two orders
 * is prepared by the caller: head (request line up to the query), what to call an instrument, the
 * terms (side, type, time in force, reduce-only) in the venue's words, and tail (headers). The name
 * is <tag><epoch>-<strategy + 1>-<order>-<cause> in base 36, as engine/domain/client_id.py says.
 *
 * A wire without a secret is for a session that was logged on: it writes a masked WebSocket frame,
 * unsigned, whose JSON text is called like its order:
 *
 *     head | symbol | terms |
 *     ,"quantity":"..",["price":"..",]["goodTillDate":..,]"newClientOrderId":".."
 *     | ,"recvWindow":..,"timestamp":.. | tail | name | "}
 */
#include "commands.h"
#include "sha256.h"

enum {
    NUMBER_CHARACTERS = 48, /* of a decimal: 19 digits, up to 18 zeros, point */
    EXPONENT_MAX = 18,
    NAME_CHARACTERS_MAX = 36, /* what every venue takes */
    TAG_CHARACTERS_MAX = 2,
    NAME_SPACE = TAG_CHARACTERS_MAX + 4 * 13 + 3,
    EPOCH_LOW_MASK = 255,
    KINDS = 6, /* MARKET, GTC, IOC, FOK, GTD, post-only */
    TERMS = 2 * KINDS * 2,
    SIGNATURE_CHARACTERS = 2 * AEGIS_SHA256_BYTES,
    FRAME_TEXT_LAST = 0x81, /* RFC 6455: a whole text */
    FRAME_MASKED = 0x80,
    FRAME_LENGTH_16 = 126, /* two bytes of length follow */
    FRAME_HEAD = 8,        /* with two bytes of length, and the mask */
    MASK_BYTES = 4,
    FRAME_TEXT_MAX = 0xffff
};

/* What stands before each part of an order that changes, and after a text. */
struct words {
    const char *quantity, *price, *good_till, *name, *after_text;
};

static const struct words QUERY_WORDS = {
    "&quantity=", "&price=", "&goodTillDate=", "&newClientOrderId=", ""};
static const struct words FRAME_WORDS = {",\"quantity\":\"", ",\"price\":\"",
                                         ",\"goodTillDate\":", ",\"newClientOrderId\":\"", "\""};

/* engine/domain/codes.py */
enum { LIMIT = 2, GTC = 1, GTD = 4, REDUCE_ONLY = 1, POST_ONLY = 2 };

struct wire_instrument {
    PyObject *symbol; /* "symbol=BTCUSDT" */
    int64_t lot_scaled, qty_exponent;
    int64_t tick_scaled, price_exponent;
};

typedef struct {
    PyObject_HEAD PyObject *head;
    PyObject *tail;
    PyObject *window; /* "&recvWindow=5000&timestamp=" */
    PyObject *tag;
    PyObject *terms; /* TERMS bytes objects; see terms_of */
    int64_t epoch;
    const struct words *words; /* QUERY_WORDS or FRAME_WORDS */
    struct aegis_hmac hmac;    /* of a wire that signs */
    uint64_t mask_seed;        /* of a wire that writes frames */
    struct wire_instrument *instruments;
    Py_ssize_t instrument_count;
    int is_frozen; /* lent to an order line: read without the GIL from now on */
} wire_object;

static int is_bytes_tuple(PyObject *tuple, Py_ssize_t size) {
    int right = PyTuple_GET_SIZE(tuple) == size;
    for (Py_ssize_t i = 0; right && i < size; i++)
        right = PyBytes_Check(PyTuple_GET_ITEM(tuple, i));
    return right;
}

static int refuse_frozen(const wire_object *self) {
    if (!self->is_frozen)
        return 0;
    PyErr_SetString(PyExc_AssertionError, "the wire is lent to an order line");
    return -1;
}

static int wire_init(wire_object *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"head",  "tail",  "window",    "secret", "tag",
                            "epoch", "terms", "mask_seed", NULL};
    PyObject *head, *tail, *window, *tag, *terms;
    long long epoch;
    unsigned long long mask_seed = 0;
    Py_buffer secret;
    if (refuse_frozen(self) != 0 ||
        !PyArg_ParseTupleAndKeywords(args, kwargs, "SSSz*SLO!|K", names, &head, &tail, &window,
                                     &secret, &tag, &epoch, &PyTuple_Type, &terms, &mask_seed))
        return -1;
    int right =
        PyBytes_GET_SIZE(tag) <= TAG_CHARACTERS_MAX && epoch >= 0 && is_bytes_tuple(terms, TERMS);
    if (right) {
        Py_XSETREF(self->head, Py_NewRef(head));
        Py_XSETREF(self->tail, Py_NewRef(tail));
        Py_XSETREF(self->window, Py_NewRef(window));
        Py_XSETREF(self->tag, Py_NewRef(tag));
        Py_XSETREF(self->terms, Py_NewRef(terms));
        self->epoch = epoch;
        self->words = secret.buf != NULL ? &QUERY_WORDS : &FRAME_WORDS;
        self->mask_seed = mask_seed;
        if (secret.buf != NULL)
            aegis_hmac_key(&self->hmac, secret.buf, (size_t)secret.len);
    } else {
        PyErr_Format(PyExc_ValueError, "tag of at most %d letters, epoch >= 0, %d terms",
                     TAG_CHARACTERS_MAX, TERMS);
    }
    PyBuffer_Release(&secret);
    return right ? 0 : -1;
}

static void wire_dealloc(wire_object *self) {
    PyTypeObject *type = Py_TYPE(self);
    Py_CLEAR(self->head);
    Py_CLEAR(self->tail);
    Py_CLEAR(self->window);
    Py_CLEAR(self->tag);
    Py_CLEAR(self->terms);
    for (Py_ssize_t i = 0; i < self->instrument_count; i++)
        Py_CLEAR(self->instruments[i].symbol);
    PyMem_Free(self->instruments);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *wire_add_instrument(wire_object *self, PyObject *args) {
    struct wire_instrument added;
    if (refuse_frozen(self) != 0)
        return NULL;
    if (!PyArg_ParseTuple(args, "SLLLL", &added.symbol, &added.lot_scaled, &added.qty_exponent,
                          &added.tick_scaled, &added.price_exponent))
        return NULL;
    if (added.lot_scaled <= 0 || added.tick_scaled <= 0 || added.qty_exponent < 0 ||
        added.qty_exponent > EXPONENT_MAX || added.price_exponent < 0 ||
        added.price_exponent > EXPONENT_MAX)
        return PyErr_Format(PyExc_ValueError, "%s: tick, lot or exponent out of its range",
                            PyBytes_AS_STRING(added.symbol));
    size_t size = sizeof added * (size_t)(self->instrument_count + 1);
    struct wire_instrument *grown = PyMem_Realloc(self->instruments, size);
    if (grown == NULL)
        return PyErr_NoMemory();
    Py_INCREF(added.symbol);
    self->instruments = grown;
    self->instruments[self->instrument_count++] = added;
    Py_RETURN_NONE;
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

/* The numbers of a command that an order's request has, by their item. */
static const int NUMBERS[] = {
    AEGIS_COMMAND_FLAGS,          AEGIS_COMMAND_INSTRUMENT_INDEX, AEGIS_COMMAND_STRATEGY_INDEX,
    AEGIS_COMMAND_SIDE,           AEGIS_COMMAND_ORDER_TYPE,       AEGIS_COMMAND_TIME_IN_FORCE,
    AEGIS_COMMAND_ORDER_SEQUENCE, AEGIS_COMMAND_CAUSE_SEQUENCE,   AEGIS_COMMAND_PRICE_TICKS,
    AEGIS_COMMAND_QTY_LOTS,       AEGIS_COMMAND_EPOCH_LOW,        AEGIS_COMMAND_GOOD_TILL_MS};

static int read_numbers(PyObject *command, int64_t n[AEGIS_COMMAND_ITEMS]) {
    if (!PyTuple_Check(command) || PyTuple_GET_SIZE(command) != AEGIS_COMMAND_ITEMS) {
        PyErr_SetString(PyExc_TypeError, "the first argument must be a command");
        return -1;
    }
    for (size_t i = 0; i < sizeof NUMBERS / sizeof *NUMBERS; i++)
        if (aegis_int64_arg(PyTuple_GET_ITEM(command, NUMBERS[i]), &n[NUMBERS[i]]) != 0)
            return -1;
    return 0;
}

/* Which of the terms an order has: by side, then kind, then reduce-only; -1 for no such order. */
static int terms_of(const int64_t n[AEGIS_COMMAND_ITEMS]) {
    int64_t kind = 0;
    if (n[AEGIS_COMMAND_ORDER_TYPE] == LIMIT) {
        kind = n[AEGIS_COMMAND_TIME_IN_FORCE];
        if (kind < GTC || kind > GTD)
            return -1;
        if (n[AEGIS_COMMAND_FLAGS] & POST_ONLY)
            kind = KINDS - 1;
    }
    int is_buy = n[AEGIS_COMMAND_SIDE] > 0;
    int is_reduce_only = (n[AEGIS_COMMAND_FLAGS] & REDUCE_ONLY) != 0;
    return (is_buy * KINDS + (int)kind) * 2 + is_reduce_only;
}

/* The epoch of an order, which may rest from an earlier session; below 0 there was none. */
static int64_t epoch_of(const wire_object *self, const int64_t n[AEGIS_COMMAND_ITEMS]) {
    return self->epoch - ((self->epoch - n[AEGIS_COMMAND_EPOCH_LOW]) & EPOCH_LOW_MASK);
}

static char *put_name(char *to, const wire_object *self, const int64_t n[AEGIS_COMMAND_ITEMS]) {
    to = put_number(put_bytes(to, self->tag), (uint64_t)epoch_of(self, n), 36);
    *to++ = '-';
    to = put_number(to, (uint64_t)(n[AEGIS_COMMAND_STRATEGY_INDEX] + 1), 36);
    *to++ = '-';
    to = put_number(to, (uint64_t)n[AEGIS_COMMAND_ORDER_SEQUENCE], 36);
    *to++ = '-';
    return put_number(to, (uint64_t)n[AEGIS_COMMAND_CAUSE_SEQUENCE], 36);
}

/* What the request of one order is made of, once every number is known to be in its range. */
struct parts {
    const struct wire_instrument *instrument;
    PyObject *terms;
    int64_t quantity, price;
    int has_price;
    int64_t good_till_ms; /* 0: good till it is cancelled */
    int64_t venue_ms;
};

static int check_parts(const wire_object *self, const int64_t n[AEGIS_COMMAND_ITEMS],
                       struct parts *parts) {
    int64_t index = n[AEGIS_COMMAND_INSTRUMENT_INDEX];
    int terms = terms_of(n);
    if (index < 0 || index >= self->instrument_count || terms < 0 || parts->venue_ms < 0 ||
        epoch_of(self, n) < 0 || n[AEGIS_COMMAND_QTY_LOTS] < 0 ||
        n[AEGIS_COMMAND_STRATEGY_INDEX] < -1 || n[AEGIS_COMMAND_ORDER_SEQUENCE] < 0 ||
        n[AEGIS_COMMAND_CAUSE_SEQUENCE] < 0)
        return -1;
    parts->instrument = &self->instruments[index];
    parts->terms = PyTuple_GET_ITEM(self->terms, terms);
    parts->has_price = n[AEGIS_COMMAND_ORDER_TYPE] == LIMIT;
    parts->good_till_ms = 0;
    if (__builtin_mul_overflow(n[AEGIS_COMMAND_QTY_LOTS], parts->instrument->lot_scaled,
                               &parts->quantity))
        return -1;
    if (!parts->has_price)
        return 0;
    if (n[AEGIS_COMMAND_PRICE_TICKS] < 0)
        return -1;
    if (n[AEGIS_COMMAND_TIME_IN_FORCE] == GTD) {
        parts->good_till_ms = n[AEGIS_COMMAND_GOOD_TILL_MS];
        if (parts->good_till_ms <= 0 || n[AEGIS_COMMAND_FLAGS] & POST_ONLY)
            return -1;
    }
    return __builtin_mul_overflow(n[AEGIS_COMMAND_PRICE_TICKS], parts->instrument->tick_scaled,
                                  &parts->price)
               ? -1
               : 0;
}

/* Write the order up to its time; the name's length is given back for a check. */
static char *put_query(char *to, const wire_object *self, const struct parts *parts,
                       const int64_t n[AEGIS_COMMAND_ITEMS], Py_ssize_t *name_size) {
    const struct wire_instrument *instrument = parts->instrument;
    const struct words *words = self->words;
    to = put_bytes(put_bytes(to, instrument->symbol), parts->terms);
    to = put_decimal(put_text(to, words->quantity), (uint64_t)parts->quantity,
                     instrument->qty_exponent);
    to = put_text(to, words->after_text);
    if (parts->has_price) {
        to = put_decimal(put_text(to, words->price), (uint64_t)parts->price,
                         instrument->price_exponent);
        to = put_text(to, words->after_text);
    }
    if (parts->good_till_ms > 0)
        to = put_number(put_text(to, words->good_till), (uint64_t)parts->good_till_ms, 10);
    char *name = put_text(to, words->name);
    to = put_name(name, self, n);
    *name_size = to - name;
    to = put_text(to, words->after_text);
    return put_number(put_bytes(to, self->window), (uint64_t)parts->venue_ms, 10);
}

/* No request is longer; `parts` were checked. */
static int64_t request_bound(const wire_object *self, const struct parts *parts) {
    return PyBytes_GET_SIZE(self->head) + PyBytes_GET_SIZE(parts->instrument->symbol) +
           PyBytes_GET_SIZE(parts->terms) + PyBytes_GET_SIZE(self->window) +
           PyBytes_GET_SIZE(self->tail) + SIGNATURE_CHARACTERS + 4 * NUMBER_CHARACTERS +
           2 * NAME_SPACE + FRAME_HEAD + 88;
}

/* A mask that no two orders share; the last step of splitmix64 spreads the bits. */
static uint32_t mask_of(const wire_object *self, const int64_t n[AEGIS_COMMAND_ITEMS]) {
    uint64_t mixed =
        self->mask_seed + (uint64_t)n[AEGIS_COMMAND_ORDER_SEQUENCE] * 0x9e3779b97f4a7c15;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    return (uint32_t)(mixed >> 32);
}

/* Put head and mask of a frame before a text that stands FRAME_HEAD behind `to`. */
static char *put_frame(char *to, size_t size, uint32_t mask) {
    char *text = to + FRAME_HEAD;
    *to++ = (char)FRAME_TEXT_LAST;
    if (size < FRAME_LENGTH_16) {
        *to++ = (char)(FRAME_MASKED | size);
        text = memmove(to + MASK_BYTES, text, size);
    } else {
        *to++ = (char)(FRAME_MASKED | FRAME_LENGTH_16);
        *to++ = (char)(size >> 8);
        *to++ = (char)size;
    }
    char key[MASK_BYTES];
    memcpy(key, &mask, sizeof key);
    memcpy(to, key, sizeof key);
    for (size_t i = 0; i < size; i++)
        text[i] ^= key[i % MASK_BYTES];
    return text + size;
}

/* Write the whole request; the caller checks the name's length before it uses it. */
static char *put_request(char *to, const wire_object *self, const struct parts *parts,
                         const int64_t n[AEGIS_COMMAND_ITEMS], Py_ssize_t *name_size) {
    if (self->words == &FRAME_WORDS) {
        char *text = to + FRAME_HEAD;
        char *end = put_query(put_bytes(text, self->head), self, parts, n, name_size);
        end = put_text(put_name(put_bytes(end, self->tail), self, n), "\"}");
        return put_frame(to, (size_t)(end - text), mask_of(self, n));
    }
    char *query = put_bytes(to, self->head);
    to = put_query(query, self, parts, n, name_size);
    size_t signed_size = (size_t)(to - query);
    to = put_signature(put_text(to, "&signature="), &self->hmac, query, signed_size);
    return put_bytes(to, self->tail);
}

typedef char *put_whole(char *to, const wire_object *self, const struct parts *parts,
                        const int64_t n[AEGIS_COMMAND_ITEMS], Py_ssize_t *name_size);

static PyObject *written(wire_object *self, PyObject *const *args, Py_ssize_t count,
                         put_whole *put) {
    int64_t n[AEGIS_COMMAND_ITEMS];
    struct parts parts;
    if (wire_check(self) != 0 || aegis_arity("order", count, 2, 2) != 0 ||
        read_numbers(args[0], n) != 0 || aegis_int64_arg(args[1], &parts.venue_ms) != 0)
        return NULL;
    if (check_parts(self, n, &parts) != 0 || request_bound(self, &parts) > FRAME_TEXT_MAX)
        return PyErr_Format(PyExc_AssertionError, "an order's number is out of its range");
    PyObject *request = PyBytes_FromStringAndSize(NULL, request_bound(self, &parts));
    if (request == NULL)
        return NULL;
    char *start = PyBytes_AS_STRING(request);
    Py_ssize_t name_size;
    char *end = put(start, self, &parts, n, &name_size);
    if (name_size > NAME_CHARACTERS_MAX) {
        Py_DECREF(request);
        return PyErr_Format(PyExc_AssertionError, "a name of %zd characters", name_size);
    }
    _PyBytes_Resize(&request, end - start);
    return request;
}

static PyObject *wire_order(wire_object *self, PyObject *const *args, Py_ssize_t count) {
    return written(self, args, count, put_request);
}

static PyObject *wire_unsigned(wire_object *self, PyObject *const *args, Py_ssize_t count) {
    return written(self, args, count, put_query);
}

/* WHY: reads bytes objects without the GIL. They never change, the wire holds them, and a frozen
 * wire lets go of none. */
int64_t aegis_wire_build(const void *wire, const char *payload, int64_t venue_ms, char *to,
                         int64_t room) {
    const wire_object *self = wire;
    int64_t n[AEGIS_COMMAND_ITEMS];
    struct parts parts = {.venue_ms = venue_ms};
    aegis_command_numbers(payload, n);
    if (check_parts(self, n, &parts) != 0 || request_bound(self, &parts) > room)
        return -1;
    Py_ssize_t name_size;
    int64_t size = put_request(to, self, &parts, n, &name_size) - to;
    return name_size <= NAME_CHARACTERS_MAX ? size : -1;
}

int aegis_wire_freeze(PyObject *object) {
    wire_object *self = (wire_object *)object;
    if (Py_TYPE(object)->tp_dealloc != (destructor)wire_dealloc) {
        PyErr_SetString(PyExc_TypeError, "the first argument must be an OrderWire");
        return -1;
    }
    if (wire_check(self) != 0)
        return -1;
    self->is_frozen = 1;
    return 0;
}

static PyObject *wire_signature(wire_object *self, PyObject *query) {
    if (wire_check(self) != 0)
        return NULL;
    if (self->words != &QUERY_WORDS)
        return PyErr_Format(PyExc_ValueError, "a wire of frames has no key");
    if (!PyBytes_Check(query))
        return PyErr_Format(PyExc_TypeError, "the query must be bytes");
    char text[SIGNATURE_CHARACTERS];
    put_signature(text, &self->hmac, PyBytes_AS_STRING(query), (size_t)PyBytes_GET_SIZE(query));
    return PyBytes_FromStringAndSize(text, SIGNATURE_CHARACTERS);
}

static PyMethodDef wire_methods[] = {
    {"add_instrument", (PyCFunction)wire_add_instrument, METH_VARARGS,
     "Give the next instrument index its name and scales: add_instrument(symbol, lot_scaled, "
     "qty_exponent, tick_scaled, price_exponent)."},
    {"order", AEGIS_FAST(wire_order), METH_FASTCALL,
     "Return the request of a new order: order(command, venue_ms)."},
    {"unsigned", AEGIS_FAST(wire_unsigned), METH_FASTCALL,
     "Return what a signature of a new order covers: unsigned(command, venue_ms)."},
    {"signature", (PyCFunction)wire_signature, METH_O,
     "Return the HMAC-SHA256 of a query as 64 hexadecimal digits."},
    {NULL, NULL, 0, NULL}};

static PyType_Slot wire_slots[] = {
    {Py_tp_doc, "Requests of one account: OrderWire(head, tail, window, secret, tag, epoch, "
                "terms)."},
    {Py_tp_init, wire_init},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, wire_dealloc},
    {Py_tp_methods, wire_methods},
    {0, NULL}};

static PyType_Spec wire_spec = {"native_ext._native.OrderWire", sizeof(wire_object), 0,
                                Py_TPFLAGS_DEFAULT, wire_slots};

int aegis_add_order_wire_type(PyObject *module) {
    PyObject *type = PyType_FromModuleAndSpec(module, &wire_spec, NULL);
    if (type == NULL)
        return -1;
    int failed = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    return failed;
}
