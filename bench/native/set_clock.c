/* set_clock.c: this machine's clock as it would read had somebody set it, for one process.
 *
 *     LD_PRELOAD=set_clock.so SET_CLOCK=FILE program
 *
 * FILE holds an int64 of ns that is added to every reading of CLOCK_REALTIME; it may change while
 * the program runs. What counts from the start of the machine is left alone, and so is the time
 * that the kernel writes into files.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { NS_PER_S = 1000000000 };

static int (*real_clock)(clockid_t, struct timespec *);
static const _Atomic int64_t *offset_ns;

__attribute__((constructor)) static void begin(void) {
    real_clock = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    const char *path = getenv("SET_CLOCK");
    int file = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return;
    void *mapped = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    offset_ns = mapped == MAP_FAILED ? NULL : mapped;
}

int clock_gettime(clockid_t id, struct timespec *when) {
    int answer = real_clock(id, when);
    if (answer != 0 || offset_ns == NULL || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE))
        return answer;
    /* MEMORY: relaxed; one word that says nothing of others: no partner. */
    int64_t set = atomic_load_explicit(offset_ns, memory_order_relaxed);
    int64_t now = (int64_t)when->tv_sec * NS_PER_S + when->tv_nsec + set;
    when->tv_sec = (time_t)(now / NS_PER_S);
    when->tv_nsec = (long)(now % NS_PER_S);
    return 0;
}

time_t time(time_t *where) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (where != NULL)
        *where = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *restrict when, void *restrict zone) {
    (void)zone;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    when->tv_sec = now.tv_sec;
    when->tv_usec = now.tv_nsec / 1000;
    return 0;
}
