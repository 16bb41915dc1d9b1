/* process.c: what a role asks the kernel about processes, and touching memory before use. */
#define _GNU_SOURCE
#include "bindings.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { STAT_START_FIELD = 22, STAT_STATE_FIELD = 3 };

static PyObject *set_parent_death_signal(PyObject *Py_UNUSED(module), PyObject *argument) {
    int64_t number;
    if (aegis_int64_arg(argument, &number) != 0)
        return NULL;
    if (prctl(PR_SET_PDEATHSIG, (unsigned long)number, 0, 0, 0) != 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

/* Of sched_setattr(2), the first version: the C library of many systems has no wrapper of it. */
struct scheduling {
    uint32_t size;
    uint32_t policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns; /* under SCHED_OTHER: the time slice, since Linux 6.12 */
    uint64_t deadline_ns;
    uint64_t period_ns;
};

static int read_scheduling(struct scheduling *found) {
    return (int)syscall(SYS_sched_getattr, 0, found, sizeof *found, 0);
}

static PyObject *set_time_slice(PyObject *Py_UNUSED(module), PyObject *argument) {
    int64_t slice_ns;
    if (aegis_int64_arg(argument, &slice_ns) != 0)
        return NULL;
    if (slice_ns < 0) {
        PyErr_SetString(PyExc_ValueError, "a time slice is not negative");
        return NULL;
    }
    struct scheduling mine = {0};
    /* A thread that the operator gave another policy (chrt) keeps it. */
    if (read_scheduling(&mine) != 0 || mine.policy != SCHED_OTHER)
        return PyLong_FromLong(0);
    mine.size = sizeof mine;
    mine.flags = 0;
    mine.runtime_ns = (uint64_t)slice_ns;
    if (syscall(SYS_sched_setattr, 0, &mine, 0) != 0 || read_scheduling(&mine) != 0)
        return PyLong_FromLong(0);
    return PyLong_FromUnsignedLongLong(mine.runtime_ns);
}

/* The text of one space-separated field of /proc/<pid>/stat after the parenthesised name, counted
 * from 1 as in proc(5). NULL when the process is gone. */
static const char *stat_field(int64_t pid, int wanted, char *text, size_t text_size) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return NULL;
    ssize_t length = read(descriptor, text, text_size - 1);
    close(descriptor);
    if (length <= 0)
        return NULL;
    text[length] = '\0';
    char *rest = strrchr(text, ')'); /* the name may hold spaces and parentheses */
    for (int field = 2; rest != NULL && field < wanted; field++) {
        rest = strchr(rest, ' ');
        if (rest != NULL)
            rest++;
    }
    return rest;
}

static PyObject *process_start_ticks(PyObject *Py_UNUSED(module), PyObject *argument) {
    int64_t pid;
    char text[1024];
    if (aegis_int64_arg(argument, &pid) != 0)
        return NULL;
    const char *state = pid > 0 ? stat_field(pid, STAT_STATE_FIELD, text, sizeof text) : NULL;
    /* A zombie executes nothing any more: it counts as gone. */
    if (state == NULL || *state == 'Z' || *state == 'X')
        return PyLong_FromLong(-1);
    const char *start = stat_field(pid, STAT_START_FIELD, text, sizeof text);
    return PyLong_FromLongLong(start == NULL ? -1 : strtoll(start, NULL, 10));
}

static PyObject *prefault(PyObject *Py_UNUSED(module), PyObject *argument) {
    Py_buffer view;
    if (PyObject_GetBuffer(argument, &view, PyBUF_WRITABLE) != 0)
        return NULL;
    int populated = -1;
#ifdef MADV_POPULATE_WRITE
    if (((uintptr_t)view.buf & (uintptr_t)(sysconf(_SC_PAGESIZE) - 1)) == 0)
        populated = madvise(view.buf, (size_t)view.len, MADV_POPULATE_WRITE);
#endif
    if (populated != 0) {
        /* An older kernel: read each page, which maps it without changing a byte. */
        const _Atomic char *bytes = view.buf;
        for (Py_ssize_t i = 0; i < view.len; i += 4096) {
            /* MEMORY: relaxed; only so that the compiler keeps the read: no partner. */
            (void)atomic_load_explicit(&bytes[i], memory_order_relaxed);
        }
    }
    PyBuffer_Release(&view);
    return PyBool_FromLong(populated == 0);
}

PyMethodDef aegis_process_methods[] = {
    {"set_parent_death_signal", set_parent_death_signal, METH_O,
     "Ask for this signal when the parent dies; 0 to ask for none."},
    {"set_time_slice", set_time_slice, METH_O,
     "Ask for a time slice of this thread, ns; 0: the usual. Return what it has, 0: unknown."},
    {"process_start_ticks", process_start_ticks, METH_O,
     "Return a process's start time in clock ticks since boot, or -1 when it is gone."},
    {"prefault", prefault, METH_O,
     "Map every page of a writable buffer now; True when they were mapped for writing."},
    {NULL, NULL, 0, NULL}};
