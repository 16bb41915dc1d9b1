/* words.c: single words by address, for Python code that runs where a Numba kernel would (with the
 * compiler switched off), and for the creator of a segment. An address is taken on trust: callers
 * are ringbuffer/atomics.py and ringbuffer/segment.py, which own the mappings. */
#include "bindings.h"
#include "clock.h"

#include <sched.h>
#include <unistd.h>

static int addresses(PyObject *const *args, Py_ssize_t count, Py_ssize_t wanted, int64_t *numbers) {
    if (aegis_arity("a word function", count, wanted, wanted) != 0)
        return -1;
    for (Py_ssize_t i = 0; i < wanted; i++)
        if (aegis_int64_arg(args[i], &numbers[i]) != 0)
            return -1;
    return 0;
}

static _Atomic int64_t *word_at(int64_t address) { return (_Atomic int64_t *)(intptr_t)address; }

static PyObject *words_load_acquire(PyObject *Py_UNUSED(module), PyObject *argument) {
    int64_t address;
    if (aegis_int64_arg(argument, &address) != 0)
        return NULL;
    /* MEMORY: acquire, for the caller in ringbuffer/kernels.py. Pairs with the release there. */
    return PyLong_FromLongLong(atomic_load_explicit(word_at(address), memory_order_acquire));
}

static PyObject *words_load_relaxed(PyObject *Py_UNUSED(module), PyObject *argument) {
    int64_t address;
    if (aegis_int64_arg(argument, &address) != 0)
        return NULL;
    /* MEMORY: relaxed, for the caller in ringbuffer/kernels.py, who names the partner. */
    return PyLong_FromLongLong(atomic_load_explicit(word_at(address), memory_order_relaxed));
}

static PyObject *words_store_release(PyObject *Py_UNUSED(module), PyObject *const *args,
                                     Py_ssize_t count) {
    int64_t numbers[2];
    if (addresses(args, count, 2, numbers) != 0)
        return NULL;
    /* MEMORY: release, for the caller in ringbuffer/kernels.py, and for the magic word that ends
     * the creation of a segment. Pairs with the acquire there and in aegis_ring_attach. */
    atomic_store_explicit(word_at(numbers[0]), numbers[1], memory_order_release);
    Py_RETURN_NONE;
}

static PyObject *words_store_relaxed(PyObject *Py_UNUSED(module), PyObject *const *args,
                                     Py_ssize_t count) {
    int64_t numbers[2];
    if (addresses(args, count, 2, numbers) != 0)
        return NULL;
    /* MEMORY: relaxed, for the caller in ringbuffer/kernels.py, who names the partner. */
    atomic_store_explicit(word_at(numbers[0]), numbers[1], memory_order_relaxed);
    Py_RETURN_NONE;
}

static PyObject *words_load32(PyObject *Py_UNUSED(module), PyObject *argument) {
    int64_t address;
    if (aegis_int64_arg(argument, &address) != 0)
        return NULL;
    /* MEMORY: relaxed; the wait word, after a seq_cst fence. Pairs with words_store32. */
    return PyLong_FromUnsignedLong(
        atomic_load_explicit((_Atomic uint32_t *)(intptr_t)address, memory_order_relaxed));
}

static PyObject *words_store32(PyObject *Py_UNUSED(module), PyObject *const *args,
                               Py_ssize_t count) {
    int64_t numbers[2];
    if (addresses(args, count, 2, numbers) != 0)
        return NULL;
    /* MEMORY: relaxed; the wait word, before a seq_cst fence. Pairs with words_load32. */
    atomic_store_explicit((_Atomic uint32_t *)(intptr_t)numbers[0], (uint32_t)numbers[1],
                          memory_order_relaxed);
    Py_RETURN_NONE;
}

static PyObject *words_fence(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused)) {
    /* MEMORY: seq_cst fence; serves for each weaker fence that an uncompiled kernel asks for. Pairs
     * with the fences of ring.h and ring.c. */
    atomic_thread_fence(memory_order_seq_cst);
    Py_RETURN_NONE;
}

static PyObject *words_pause(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused)) {
    /* WHY: an uncompiled spin holds the GIL; the thread it waits for may be in this process. */
    Py_BEGIN_ALLOW_THREADS;
    aegis_pause();
    Py_END_ALLOW_THREADS;
    Py_RETURN_NONE;
}

static PyObject *words_prefetch(PyObject *Py_UNUSED(module), PyObject *argument) {
    int64_t address;
    if (aegis_int64_arg(argument, &address) != 0)
        return NULL;
    __builtin_prefetch((const void *)(intptr_t)address, 1);
    Py_RETURN_NONE;
}

static PyObject *words_scale(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count) {
    int64_t numbers[2];
    if (addresses(args, count, 2, numbers) != 0)
        return NULL;
    return PyLong_FromLongLong(aegis_clock_convert(numbers[0], 0, 0, numbers[1]));
}

static PyObject *words_monotonic_ns(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused)) {
    return PyLong_FromLongLong(aegis_monotonic_ns());
}

static PyObject *words_cycles(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused)) {
    return PyLong_FromLongLong(aegis_cycles());
}

static PyObject *words_futex_wait(PyObject *Py_UNUSED(module), PyObject *const *args,
                                  Py_ssize_t count) {
    int64_t numbers[3];
    int64_t result;
    if (addresses(args, count, 3, numbers) != 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    result = aegis_futex_wait((_Atomic uint32_t *)(intptr_t)numbers[0], (uint32_t)numbers[1],
                              numbers[2]);
    Py_END_ALLOW_THREADS;
    return PyLong_FromLongLong(result);
}

static PyObject *words_futex_wake(PyObject *Py_UNUSED(module), PyObject *const *args,
                                  Py_ssize_t count) {
    int64_t numbers[2];
    if (addresses(args, count, 2, numbers) != 0)
        return NULL;
    return PyLong_FromLongLong(
        aegis_futex_wake((_Atomic uint32_t *)(intptr_t)numbers[0], numbers[1]));
}

static PyObject *words_ring_doorbell(PyObject *Py_UNUSED(module), PyObject *argument) {
    int64_t descriptor;
    if (aegis_int64_arg(argument, &descriptor) != 0)
        return NULL;
    uint64_t one = 1;
    return PyLong_FromSsize_t(write((int)descriptor, &one, sizeof one));
}

static PyObject *words_yield_core(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(unused)) {
    int result;
    Py_BEGIN_ALLOW_THREADS;
    result = sched_yield();
    Py_END_ALLOW_THREADS;
    return PyLong_FromLong(result);
}

static PyObject *words_call_at(PyObject *Py_UNUSED(module), PyObject *const *args,
                               Py_ssize_t count) {
    int64_t numbers[3];
    int64_t result;
    if (addresses(args, count, 3, numbers) != 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    result = ((int64_t (*)(int64_t, int64_t))(intptr_t)numbers[0])(numbers[1], numbers[2]);
    Py_END_ALLOW_THREADS;
    return PyLong_FromLongLong(result);
}

static PyObject *words_address_of(PyObject *Py_UNUSED(module), PyObject *argument) {
    Py_buffer view;
    if (PyObject_GetBuffer(argument, &view, PyBUF_SIMPLE) != 0)
        return NULL;
    PyObject *address = PyLong_FromVoidPtr(view.buf);
    PyBuffer_Release(&view);
    return address;
}

PyMethodDef aegis_words_methods[] = {
    {"load_acquire", words_load_acquire, METH_O, "Load the int64 at an address, acquire."},
    {"load_relaxed", words_load_relaxed, METH_O, "Load the int64 at an address, relaxed."},
    {"store_release", AEGIS_FAST(words_store_release), METH_FASTCALL,
     "Store an int64 at an address, release."},
    {"store_relaxed", AEGIS_FAST(words_store_relaxed), METH_FASTCALL,
     "Store an int64 at an address, relaxed."},
    {"load32_relaxed", words_load32, METH_O, "Load the uint32 at an address, relaxed."},
    {"store32_relaxed", AEGIS_FAST(words_store32), METH_FASTCALL,
     "Store a uint32 at an address, relaxed."},
    {"fence_acquire", words_fence, METH_NOARGS, "Keep earlier loads before what is later."},
    {"fence_release", words_fence, METH_NOARGS, "Keep what is earlier before later stores."},
    {"fence_seq_cst", words_fence, METH_NOARGS, "Keep everything earlier before what is later."},
    {"pause", words_pause, METH_NOARGS, "Spin hint; lets another thread have the GIL."},
    {"prefetch", words_prefetch, METH_O, "Ask for the cache line of an address, to be written."},
    {"scale", AEGIS_FAST(words_scale), METH_FASTCALL,
     "Return delta * multiplier >> CLOCK_SHIFT through 128 bits."},
    {"monotonic_ns", words_monotonic_ns, METH_NOARGS, "Read CLOCK_MONOTONIC in nanoseconds."},
    {"cycles", words_cycles, METH_NOARGS, "Read the time-stamp counter; 0 where there is none."},
    {"futex_wait", AEGIS_FAST(words_futex_wait), METH_FASTCALL,
     "Sleep while the uint32 at an address has a value: futex_wait(address, expected, "
     "timeout_ns)."},
    {"futex_wake", AEGIS_FAST(words_futex_wake), METH_FASTCALL,
     "Wake sleepers: futex_wake(address, count) -> woken."},
    {"ring_doorbell", words_ring_doorbell, METH_O, "Add 1 to an eventfd."},
    {"yield_core", words_yield_core, METH_NOARGS, "Let another thread have this core."},
    {"call_at", AEGIS_FAST(words_call_at), METH_FASTCALL,
     "Call a function of two numbers by its address: call_at(function, first, second)."},
    {"address_of", words_address_of, METH_O,
     "Return the address of a buffer; valid while its owner keeps the buffer."},
    {NULL, NULL, 0, NULL}};
