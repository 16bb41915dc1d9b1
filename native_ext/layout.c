/* layout.c: the numbers of ring.h and clock.h by name, for the comparison at import. */
#include "bindings.h"
#include "clock.h"

struct number {
    const char *name;
    long long number;
};

#define SEGMENT(field) (long long)offsetof(struct aegis_segment, field)
#define READER(field) (long long)offsetof(struct aegis_reader, field)
#define PRODUCER(field) (long long)offsetof(struct aegis_producer, field)
#define HANDLE(field) (long long)(offsetof(struct aegis_ring, field) / 8)
#define CLOCK(field) (long long)(offsetof(struct aegis_clock, field) / 8)

static const struct number numbers[] = {
    {"MAGIC", (long long)AEGIS_MAGIC},
    {"LAYOUT_VERSION", AEGIS_LAYOUT_VERSION},
    {"KIND_RING", AEGIS_KIND_RING},
    {"PREFIX_BYTES", sizeof(struct aegis_prefix)},
    {"OFFSET_MAGIC", SEGMENT(prefix.magic)},
    {"OFFSET_KIND", SEGMENT(prefix.kind)},
    {"OFFSET_VERSION", SEGMENT(prefix.version)},
    {"OFFSET_SIZE", SEGMENT(prefix.size_bytes)},
    {"OFFSET_GENERATION", SEGMENT(prefix.generation)},
    {"OFFSET_OWNER_PID", SEGMENT(prefix.owner_pid)},
    {"OFFSET_OWNER_START", SEGMENT(prefix.owner_start_ticks)},
    {"OFFSET_CREATED_REALTIME", SEGMENT(prefix.created_realtime_ns)},
    {"OFFSET_CREATED_MONO", SEGMENT(prefix.created_mono_ns)},
    {"OFFSET_CAPACITY", SEGMENT(capacity)},
    {"OFFSET_SLOT_SIZE", SEGMENT(slot_size)},
    {"OFFSET_PUBLISHED", SEGMENT(published)},
    {"OFFSET_PRODUCER", SEGMENT(producer)},
    {"OFFSET_WAIT", SEGMENT(wait)},
    {"OFFSET_READERS", SEGMENT(readers)},
    {"OFFSET_SLOTS", SEGMENT(slots)},
    {"READER_STRIDE", sizeof(struct aegis_reader)},
    {"READER_COUNT", AEGIS_READER_COUNT},
    {"READER_SEQUENCE", READER(sequence)},
    {"READER_MODE", READER(mode)},
    {"READER_PID", READER(pid)},
    {"READER_START", READER(start_ticks)},
    {"READER_HEARTBEAT", READER(heartbeat_ns)},
    {"READER_LAPPED", READER(lapped_count)},
    {"READER_RESYNCS", READER(resync_count)},
    {"READER_LAG_MAX", READER(lag_max)},
    {"PRODUCER_PID", PRODUCER(pid)},
    {"PRODUCER_START", PRODUCER(start_ticks)},
    {"PRODUCER_HEARTBEAT", PRODUCER(heartbeat_ns)},
    {"PRODUCER_REFUSED", PRODUCER(refused_count)},
    {"PRODUCER_CONFLATED", PRODUCER(conflated_count)},
    {"MODE_FREE", AEGIS_MODE_FREE},
    {"MODE_OBSERVER", AEGIS_MODE_OBSERVER},
    {"MODE_GATING", AEGIS_MODE_GATING},
    {"MODE_EVICTED", AEGIS_MODE_EVICTED},
    {"SLOT_ALIGNMENT", AEGIS_SLOT_ALIGNMENT},
    {"SLOT_HEADER_BYTES", AEGIS_SLOT_HEADER_BYTES},
    {"SLOT_BUSY", AEGIS_SLOT_BUSY},
    {"FULL", AEGIS_FULL},
    {"EVICTED", AEGIS_EVICTED},
    {"INVALID", AEGIS_INVALID},
    {"HANDLE_WORDS", sizeof(struct aegis_ring) / 8},
    {"HANDLE_BASE", HANDLE(base)},
    {"HANDLE_PUBLISHED", HANDLE(published)},
    {"HANDLE_WAIT", HANDLE(wait)},
    {"HANDLE_READERS", HANDLE(readers)},
    {"HANDLE_SLOTS", HANDLE(slots)},
    {"HANDLE_MASK", HANDLE(mask)},
    {"HANDLE_SLOT_SIZE", HANDLE(slot_size)},
    {"HANDLE_CAPACITY", HANDLE(capacity)},
    {"HANDLE_PRODUCER", HANDLE(producer)},
    {"HANDLE_NEXT", HANDLE(next)},
    {"HANDLE_DONE", HANDLE(done)},
    {"HANDLE_GATING", HANDLE(gating)},
    {"HANDLE_DOORBELL", HANDLE(doorbell)},
    {"HANDLE_KNOWN", HANDLE(known)},
    {"HANDLE_BEHIND", HANDLE(behind)},
    {"HANDLE_TAKEN", HANDLE(taken)},
    {"CLOCK_WORDS", sizeof(struct aegis_clock) / 8},
    {"CLOCK_VERSION", CLOCK(version)},
    {"CLOCK_SOURCE", CLOCK(source)},
    {"CLOCK_TSC0", CLOCK(tsc0)},
    {"CLOCK_MONO0", CLOCK(mono0)},
    {"CLOCK_MULTIPLIER", CLOCK(multiplier)},
    {"CLOCK_TSC_HZ", CLOCK(tsc_hz)},
    {"CLOCK_REALTIME_OFFSET", CLOCK(realtime_offset)},
    {"CLOCK_SHIFT", AEGIS_CLOCK_SHIFT},
};

PyObject *aegis_layout(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused)) {
    PyObject *table = PyDict_New();
    if (table == NULL)
        return NULL;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        PyObject *number = PyLong_FromLongLong(numbers[i].number);
        if (number == NULL || PyDict_SetItemString(table, numbers[i].name, number) != 0) {
            Py_XDECREF(number);
            Py_DECREF(table);
            return NULL;
        }
        Py_DECREF(number);
    }
    return table;
}
