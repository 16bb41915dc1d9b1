/* feed_core_type.c: the Python type Core. What its methods mean is in _feed.pyi. */
#include "feed_bindings.h"

#include <string.h>

static int check_place(const aegis_core_object *self, int64_t index, int64_t channel) {
    if (index >= 0 && index < self->core->instrument_count && channel >= 0 &&
        channel < AEGIS_CHANNEL_COUNT)
        return 0;
    PyErr_Format(PyExc_IndexError, "no instrument %lld with channel %lld", (long long)index,
                 (long long)channel);
    return -1;
}

static int read_words(PyObject *tuple, int64_t *target, Py_ssize_t count) {
    if (!PyTuple_Check(tuple) || PyTuple_GET_SIZE(tuple) != count) {
        PyErr_Format(PyExc_ValueError, "expected a tuple of %zd integers", count);
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        target[i] = PyLong_AsLongLong(PyTuple_GET_ITEM(tuple, i));
        if (target[i] == -1 && PyErr_Occurred())
            return -1;
    }
    return 0;
}

static PyObject *words_tuple(const int64_t *words, Py_ssize_t count) {
    PyObject *tuple = PyTuple_New(count);
    for (Py_ssize_t i = 0; tuple != NULL && i < count; i++) {
        PyObject *number = PyLong_FromLongLong(words[i]);
        if (number == NULL)
            Py_CLEAR(tuple);
        else
            PyTuple_SET_ITEM(tuple, i, number); /* steals */
    }
    return tuple;
}

static int open_core(aegis_core_object *self, const Py_buffer *rows, PyObject *laws,
                     PyObject *cadence, int64_t capacity) {
    struct aegis_core *core = PyMem_Calloc(1, sizeof *core);
    if (core == NULL)
        return PyErr_NoMemory() != NULL;
    self->core = core;
    Py_ssize_t count = rows->len / (Py_ssize_t)sizeof(union aegis_instrument_row);
    if (count < 1 || count > UINT16_MAX ||
        rows->len % (Py_ssize_t)sizeof(union aegis_instrument_row) != 0) {
        PyErr_SetString(PyExc_ValueError, "rows must hold 1 to 65535 instrument rows");
        return -1;
    }
    if (capacity > UINT16_MAX) {
        PyErr_SetString(PyExc_ValueError, "there is room for 65535 instruments at most");
        return -1;
    }
    if (aegis_core_open(core, rows->buf, count, capacity > count ? capacity : count) != 0) {
        PyErr_NoMemory();
        return -1;
    }
    if (read_words(laws, (int64_t *)&core->laws, sizeof core->laws / 8) != 0)
        return -1;
    return read_words(cadence, (int64_t *)core->cadence, sizeof core->cadence / 8);
}

static PyObject *core_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    static char *names[] = {"rows", "laws", "cadence", "capacity", NULL};
    Py_buffer rows;
    PyObject *laws, *cadence;
    long long capacity = 0;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "y*OO|L", names, &rows, &laws, &cadence,
                                     &capacity))
        return NULL;
    aegis_core_object *self = (aegis_core_object *)type->tp_alloc(type, 0);
    if (self != NULL && open_core(self, &rows, laws, cadence, capacity) != 0)
        Py_CLEAR(self);
    PyBuffer_Release(&rows);
    return (PyObject *)self;
}

static PyObject *core_detach(aegis_core_object *self, PyObject *Py_UNUSED(unused)) {
    self->core->has_ring = 0;
    if (self->segment.obj != NULL)
        PyBuffer_Release(&self->segment);
    if (self->histogram.obj != NULL)
        PyBuffer_Release(&self->histogram);
    Py_RETURN_NONE;
}

static void core_dealloc(aegis_core_object *self) {
    PyTypeObject *type = Py_TYPE(self);
    if (self->core != NULL) {
        Py_XDECREF(core_detach(self, NULL));
        aegis_core_close(self->core);
        PyMem_Free(self->core);
    }
    type->tp_free(self);
    Py_DECREF(type); /* heap types are counted by their instances */
}

static PyObject *core_attach(aegis_core_object *self, PyObject *args) {
    Py_buffer segment;
    long long pid, start_ticks;
    if (!PyArg_ParseTuple(args, "w*LL", &segment, &pid, &start_ticks))
        return NULL;
    int64_t next = self->segment.obj != NULL
                       ? AEGIS_INVALID
                       : aegis_core_attach(self->core, segment.buf, segment.len, pid, start_ticks);
    if (next < 0) {
        PyBuffer_Release(&segment);
        PyErr_SetString(PyExc_ValueError, "not a ring of 64-byte slots, or attached already");
        return NULL;
    }
    self->segment = segment;
    return PyLong_FromLongLong(next);
}

static PyObject *core_set_histogram(aegis_core_object *self, PyObject *buffer) {
    Py_buffer words;
    if (PyObject_GetBuffer(buffer, &words, PyBUF_WRITABLE) != 0)
        return NULL;
    if (self->histogram.obj != NULL || words.len != AEGIS_HISTOGRAM_WORDS * 8) {
        PyBuffer_Release(&words);
        PyErr_SetString(PyExc_ValueError, "not the words of one histogram, or set already");
        return NULL;
    }
    self->histogram = words;
    Py_RETURN_NONE;
}

static PyObject *core_set_clock(aegis_core_object *self, PyObject *args) {
    long long anchor, venue, rate_ppb, error;
    if (!PyArg_ParseTuple(args, "LLLL", &anchor, &venue, &rate_ppb, &error))
        return NULL;
    self->core->clock_anchor_ns = anchor;
    self->core->clock_venue_ns = venue;
    self->core->clock_rate_ppb = rate_ppb;
    self->core->clock_error_ns = error;
    Py_RETURN_NONE;
}

static PyObject *core_decode(aegis_core_object *self, PyObject *args) {
    Py_buffer frame;
    long long now_ns;
    if (!PyArg_ParseTuple(args, "y*L", &frame, &now_ns))
        return NULL;
    aegis_core_set_now(self->core, now_ns);
    int32_t result = aegis_core_decode(self->core, frame.buf, frame.len);
    aegis_emit_flush(self->core);
    PyBuffer_Release(&frame);
    return PyLong_FromLong(result);
}

static PyObject *core_load_snapshot(aegis_core_object *self, PyObject *args) {
    Py_buffer body;
    long long index, limit, now_ns;
    if (!PyArg_ParseTuple(args, "Ly*LL", &index, &body, &limit, &now_ns))
        return NULL;
    if (check_place(self, index, 0) != 0) {
        PyBuffer_Release(&body);
        return NULL;
    }
    aegis_core_set_now(self->core, now_ns);
    int32_t result =
        aegis_core_load_snapshot(self->core, (int32_t)index, body.buf, body.len, limit);
    if (result > AEGIS_REJECT_NONE)
        aegis_core_reject(self->core, result, (int32_t)index, body.buf, body.len);
    aegis_emit_flush(self->core);
    PyBuffer_Release(&body);
    return PyLong_FromLong(result);
}

static PyObject *core_reject(aegis_core_object *self, PyObject *args) {
    Py_buffer frame;
    int reason;
    if (!PyArg_ParseTuple(args, "iy*", &reason, &frame))
        return NULL;
    if (reason > AEGIS_REJECT_NONE && reason < AEGIS_REJECT_COUNT)
        aegis_core_reject(self->core, reason, -1, frame.buf, frame.len);
    PyBuffer_Release(&frame);
    Py_RETURN_NONE;
}

static PyObject *core_flush(aegis_core_object *self, PyObject *argument) {
    int64_t now_ns = PyLong_AsLongLong(argument);
    if (now_ns == -1 && PyErr_Occurred())
        return NULL;
    aegis_core_set_now(self->core, now_ns);
    aegis_emit_flush(self->core);
    return PyLong_FromLongLong(self->core->dirty_count);
}

/* The step that enable, subscribed, disconnected and set_liveness have in common. */
static struct aegis_instrument *channel_step(aegis_core_object *self, PyObject *args,
                                             int64_t *channel, int64_t *liveness) {
    long long index, number, now_ns, state = 0;
    if (!PyArg_ParseTuple(args, "LLL|L", &index, &number, &now_ns, &state) ||
        check_place(self, index, number) != 0)
        return NULL;
    aegis_core_set_now(self->core, now_ns);
    *channel = number;
    *liveness = state;
    return &self->core->instruments[index];
}

static PyObject *core_enable(aegis_core_object *self, PyObject *args) {
    int64_t channel, liveness;
    struct aegis_instrument *instrument = channel_step(self, args, &channel, &liveness);
    if (instrument == NULL)
        return NULL;
    aegis_channel_enabled(self->core, instrument, (int32_t)channel);
    Py_RETURN_NONE;
}

static PyObject *core_disable(aegis_core_object *self, PyObject *args) {
    int64_t channel, liveness;
    struct aegis_instrument *instrument = channel_step(self, args, &channel, &liveness);
    if (instrument == NULL)
        return NULL;
    aegis_channel_disabled(self->core, instrument, (int32_t)channel);
    return PyBool_FromLong(!instrument->channels[channel].is_enabled);
}

static PyObject *core_add(aegis_core_object *self, PyObject *buffer) {
    Py_buffer row;
    if (PyObject_GetBuffer(buffer, &row, PyBUF_SIMPLE) != 0)
        return NULL;
    int32_t index = row.len == (Py_ssize_t)sizeof(union aegis_instrument_row)
                        ? aegis_core_add(self->core, row.buf)
                        : -1;
    PyBuffer_Release(&row);
    if (index < 0) {
        PyErr_SetString(PyExc_ValueError, "no row, no room, or its symbol is taken");
        return NULL;
    }
    return PyLong_FromLong(index);
}

static PyObject *core_emit_filter(aegis_core_object *self, PyObject *args) {
    long long index, offset, number, now_ns;
    if (!PyArg_ParseTuple(args, "LLLL", &index, &offset, &number, &now_ns) ||
        check_place(self, index, 0) != 0)
        return NULL;
    aegis_core_set_now(self->core, now_ns);
    return PyBool_FromLong(
        aegis_emit_filter(self->core, &self->core->instruments[index], (int32_t)offset, number));
}

static PyObject *core_subscribed(aegis_core_object *self, PyObject *args) {
    int64_t channel, liveness;
    struct aegis_instrument *instrument = channel_step(self, args, &channel, &liveness);
    if (instrument == NULL)
        return NULL;
    aegis_channel_subscribed(self->core, instrument, (int32_t)channel);
    Py_RETURN_NONE;
}

static PyObject *core_disconnected(aegis_core_object *self, PyObject *args) {
    int64_t channel, liveness;
    struct aegis_instrument *instrument = channel_step(self, args, &channel, &liveness);
    if (instrument == NULL)
        return NULL;
    aegis_channel_disconnected(self->core, instrument, (int32_t)channel);
    Py_RETURN_NONE;
}

static PyObject *core_set_liveness(aegis_core_object *self, PyObject *args) {
    int64_t channel, liveness;
    struct aegis_instrument *instrument = channel_step(self, args, &channel, &liveness);
    if (instrument == NULL)
        return NULL;
    aegis_set_liveness(self->core, instrument, (int32_t)channel, (int32_t)liveness);
    Py_RETURN_NONE;
}

static PyObject *core_hold(aegis_core_object *self, PyObject *args) {
    int64_t channel, is_held;
    struct aegis_instrument *instrument = channel_step(self, args, &channel, &is_held);
    if (instrument == NULL)
        return NULL;
    aegis_hold_channel(self->core, instrument, (int32_t)channel, is_held != 0);
    Py_RETURN_NONE;
}

static PyObject *core_channel(aegis_core_object *self, PyObject *args) {
    long long index, channel;
    if (!PyArg_ParseTuple(args, "LL", &index, &channel) || check_place(self, index, channel) != 0)
        return NULL;
    const struct aegis_channel_state *state = &self->core->instruments[index].channels[channel];
    return Py_BuildValue("(iLLL)", state->liveness, (long long)state->since_ns,
                         (long long)state->last_receive_ns, (long long)state->interval_ns);
}

static PyObject *core_check_liveness(aegis_core_object *self, PyObject *argument) {
    int64_t now_ns = PyLong_AsLongLong(argument);
    if (now_ns == -1 && PyErr_Occurred())
        return NULL;
    return PyLong_FromLongLong(aegis_check_liveness(self->core, now_ns));
}

static PyObject *core_set_healing(aegis_core_object *self, PyObject *argument) {
    int64_t deadline_ns = PyLong_AsLongLong(argument);
    if (deadline_ns == -1 && PyErr_Occurred())
        return NULL;
    self->core->heal_deadline_ns = deadline_ns > 0 ? deadline_ns : 0;
    Py_RETURN_NONE;
}

static PyObject *core_expect_duplicates(aegis_core_object *self, PyObject *argument) {
    int is_expected = PyObject_IsTrue(argument);
    if (is_expected < 0)
        return NULL;
    self->core->is_shared = is_expected;
    Py_RETURN_NONE;
}

static PyObject *core_holes(aegis_core_object *self, PyObject *Py_UNUSED(unused)) {
    PyObject *list = PyList_New(0);
    for (int64_t i = 0; list != NULL && i < self->core->instrument_count; i++) {
        const struct aegis_heal *heal = &self->core->instruments[i].heal;
        if (!heal->is_open || heal->count == 0)
            continue;
        PyObject *hole = Py_BuildValue("(LLLL)", (long long)i, (long long)heal->next_id,
                                       (long long)heal->held[heal->count - 1].trade_id - 1,
                                       (long long)heal->since_ns);
        if (hole == NULL || PyList_Append(list, hole) != 0)
            Py_CLEAR(list);
        Py_XDECREF(hole); /* the list has its own */
    }
    return list;
}

static PyObject *core_last_trade(aegis_core_object *self, PyObject *argument) {
    long long index = PyLong_AsLongLong(argument);
    if ((index == -1 && PyErr_Occurred()) || check_place(self, index, 0) != 0)
        return NULL;
    const struct aegis_instrument *instrument = &self->core->instruments[index];
    return PyLong_FromLongLong(instrument->lanes[AEGIS_STREAM_AGG_TRADE].last_id);
}

static PyObject *core_give_up(aegis_core_object *self, PyObject *args) {
    long long index, now_ns;
    if (!PyArg_ParseTuple(args, "LL", &index, &now_ns) || check_place(self, index, 0) != 0)
        return NULL;
    aegis_core_set_now(self->core, now_ns);
    aegis_heal_give_up(self->core, &self->core->instruments[index]);
    aegis_emit_flush(self->core);
    Py_RETURN_NONE;
}

static PyObject *core_repeat_book(aegis_core_object *self, PyObject *args) {
    long long index, now_ns;
    if (!PyArg_ParseTuple(args, "LL", &index, &now_ns) || check_place(self, index, 0) != 0)
        return NULL;
    aegis_core_set_now(self->core, now_ns);
    return PyBool_FromLong(aegis_emit_book_again(self->core, &self->core->instruments[index]));
}

static PyObject *core_books_wanting(aegis_core_object *self, PyObject *Py_UNUSED(unused)) {
    PyObject *list = PyList_New(0);
    for (int64_t i = 0; list != NULL && i < self->core->instrument_count; i++) {
        const struct aegis_book *book = &self->core->instruments[i].book;
        if (book->state == AEGIS_BOOK_IDLE || !book->wants_snapshot || book->chain_id < 0)
            continue;
        PyObject *index = PyLong_FromLongLong(i);
        if (index == NULL || PyList_Append(list, index) != 0)
            Py_CLEAR(list);
        Py_XDECREF(index); /* the list has its own */
    }
    return list;
}

static PyObject *side_levels(const struct aegis_book_side *side, int is_bid) {
    PyObject *list = PyList_New(0);
    for (int32_t i = side->count - 1; list != NULL && i >= 0; i--) {
        const struct aegis_book_level *level = &side->levels[i];
        if (level->qty_lots == 0)
            continue;
        PyObject *pair = Py_BuildValue("(LL)", (long long)(is_bid ? level->key : -level->key),
                                       (long long)level->qty_lots);
        if (pair == NULL || PyList_Append(list, pair) != 0)
            Py_CLEAR(list);
        Py_XDECREF(pair); /* the list has its own */
    }
    return list;
}

static PyObject *core_book(aegis_core_object *self, PyObject *argument) {
    int64_t index = PyLong_AsLongLong(argument);
    if ((index == -1 && PyErr_Occurred()) || check_place(self, index, 0) != 0)
        return NULL;
    const struct aegis_book *book = &self->core->instruments[index].book;
    PyObject *asks = side_levels(&book->sides[0], 0);
    PyObject *bids = asks == NULL ? NULL : side_levels(&book->sides[1], 1);
    if (bids == NULL) {
        Py_XDECREF(asks); /* nobody took it */
        return NULL;
    }
    return Py_BuildValue("(iLNN)", book->state, (long long)book->chain_id, bids, asks);
}

/* The layout is that of engine/processes/depth_page.py: five words, a gap of two, the levels. */
static PyObject *core_copy_book(aegis_core_object *self, PyObject *args) {
    enum { WORDS_BEFORE = 7 };
    Py_buffer page;
    long long index;
    if (!PyArg_ParseTuple(args, "Lw*", &index, &page))
        return NULL;
    int is_wrong = page.len < (WORDS_BEFORE + 4 * AEGIS_LEVELS_MAX) * 8 ||
                   (uintptr_t)page.buf % sizeof(int64_t) != 0;
    if (is_wrong)
        PyErr_SetString(PyExc_ValueError, "no room for a whole book");
    if (is_wrong || check_place(self, index, 0) != 0) {
        PyBuffer_Release(&page);
        return NULL;
    }
    const struct aegis_book *book = &self->core->instruments[index].book;
    int64_t *words = page.buf, *at = words + WORDS_BEFORE;
    words[0] = book->state;
    words[1] = book->chain_id;
    words[2] = book->venue_time_ns;
    for (int is_bid = 1; is_bid >= 0; is_bid--) {
        const struct aegis_book_side *side = &book->sides[is_bid];
        int64_t *first = at;
        for (int32_t i = side->count - 1; i >= 0; i--) {
            if (side->levels[i].qty_lots == 0)
                continue;
            *at++ = is_bid ? side->levels[i].key : -side->levels[i].key;
            *at++ = side->levels[i].qty_lots;
        }
        words[is_bid ? 3 : 4] = (at - first) / 2;
    }
    PyBuffer_Release(&page);
    Py_RETURN_NONE;
}

static PyObject *core_counters(aegis_core_object *self, PyObject *Py_UNUSED(unused)) {
    return words_tuple(self->core->counters, AEGIS_FEED_COUNTER_COUNT);
}

static PyObject *core_first_record_ns(aegis_core_object *self, PyObject *Py_UNUSED(unused)) {
    return PyLong_FromLongLong(self->core->first_record_ns);
}

static PyObject *core_rejects(aegis_core_object *self, PyObject *Py_UNUSED(unused)) {
    return words_tuple(self->core->reject_counts, AEGIS_REJECT_COUNT);
}

static PyObject *core_instrument_rejects(aegis_core_object *self, PyObject *argument) {
    int64_t index = PyLong_AsLongLong(argument);
    if ((index == -1 && PyErr_Occurred()) || check_place(self, index, 0) != 0)
        return NULL;
    return words_tuple(self->core->instruments[index].reject_counts, AEGIS_REJECT_COUNT);
}

static PyObject *core_kept(aegis_core_object *self, PyObject *argument) {
    int64_t reason = PyLong_AsLongLong(argument);
    if (reason == -1 && PyErr_Occurred())
        return NULL;
    if (reason < 0 || reason >= AEGIS_REJECT_COUNT || self->core->reject_counts[reason] == 0)
        Py_RETURN_NONE;
    const struct aegis_kept_frame *kept = &self->core->kept[reason];
    Py_ssize_t length = kept->length < AEGIS_KEPT_BYTES ? kept->length : AEGIS_KEPT_BYTES;
    return Py_BuildValue("(Liiy#)", (long long)kept->receive_time_ns, kept->instrument_index,
                         kept->length, kept->bytes, length);
}

void aegis_core_note_duration(aegis_core_object *self, int64_t duration_ns) {
    if (self->histogram.obj == NULL)
        return;
    int64_t *words = self->histogram.buf;
    words[AEGIS_HISTOGRAM_COUNT]++;
    words[AEGIS_HISTOGRAM_SUM] += duration_ns;
    if (duration_ns > words[AEGIS_HISTOGRAM_MAX])
        words[AEGIS_HISTOGRAM_MAX] = duration_ns;
    words[AEGIS_HISTOGRAM_BUCKETS + aegis_histogram_bucket(duration_ns)]++;
}

#define METHOD(name, flags, text) {#name, (PyCFunction)core_##name, flags, text}
static PyMethodDef methods[] = {
    METHOD(attach, METH_VARARGS, "Publish into a ring from now on; return its next sequence."),
    METHOD(detach, METH_NOARGS, "Let go of the ring and the histogram."),
    METHOD(set_histogram, METH_O, "Count read durations into a histogram's words."),
    METHOD(set_clock, METH_VARARGS, "Set the venue's clock."),
    METHOD(decode, METH_VARARGS, "Decode one text frame; return a reason."),
    METHOD(load_snapshot, METH_VARARGS, "Take an answer of the depth endpoint."),
    METHOD(reject, METH_VARARGS, "Count a refusal that was found outside."),
    METHOD(flush, METH_O, "Publish what is claimed or waits; return the instruments that wait."),
    METHOD(enable, METH_VARARGS, "Begin to keep a channel's liveness."),
    METHOD(disable, METH_VARARGS, "Keep a channel's liveness no longer; False: not yet told."),
    METHOD(add, METH_O, "Take one more instrument; return its index."),
    METHOD(emit_filter, METH_VARARGS, "Publish a new bound; False: the ring is full."),
    METHOD(subscribed, METH_VARARGS, "A channel may speak from now on."),
    METHOD(disconnected, METH_VARARGS, "A channel's connection is gone."),
    METHOD(hold, METH_VARARGS, "Hold a channel invalid, or let it go."),
    METHOD(set_liveness, METH_VARARGS, "Move a channel to a state."),
    METHOD(channel, METH_VARARGS, "Return a channel's state."),
    METHOD(check_liveness, METH_O, "Compare every channel with its deadline."),
    METHOD(set_healing, METH_O, "Say how long a hole in trade ids is waited for."),
    METHOD(expect_duplicates, METH_O, "Say whether what is decoded may have come before."),
    METHOD(holes, METH_NOARGS, "Return the holes in trade ids."),
    METHOD(last_trade, METH_O, "Return the newest id of an instrument's aggregated trades."),
    METHOD(give_up, METH_VARARGS, "Wait no longer for an instrument's hole."),
    METHOD(repeat_book, METH_VARARGS, "Publish a live book's top again; False: not whole."),
    METHOD(books_wanting, METH_NOARGS, "Return the instruments whose book wants a snapshot."),
    METHOD(book, METH_O, "Return a copy of a book."),
    METHOD(copy_book, METH_VARARGS, "Copy a whole book into a page."),
    METHOD(counters, METH_NOARGS, "Return the counters."),
    METHOD(first_record_ns, METH_NOARGS, "Return when the first record arrived; 0: not yet."),
    METHOD(rejects, METH_NOARGS, "Return the refusals by reason."),
    METHOD(instrument_rejects, METH_O, "Return an instrument's refusals by reason."),
    METHOD(kept, METH_O, "Return the last frame refused for a reason."),
    {NULL, NULL, 0, NULL}};

static PyType_Slot slots[] = {{Py_tp_doc, "What the feed knows; see _feed.pyi."},
                              {Py_tp_new, core_new},
                              {Py_tp_dealloc, core_dealloc},
                              {Py_tp_methods, methods},
                              {0, NULL}};

static PyType_Spec spec = {.name = "native_ext._feed.Core",
                           .basicsize = sizeof(aegis_core_object),
                           .flags = Py_TPFLAGS_DEFAULT,
                           .slots = slots};

PyTypeObject *aegis_add_core_type(PyObject *module) {
    PyObject *type = PyType_FromModuleAndSpec(module, &spec, NULL);
    if (type == NULL || PyModule_AddObjectRef(module, "Core", type) != 0)
        Py_CLEAR(type);
    return (PyTypeObject *)type;
}
