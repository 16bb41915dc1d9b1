// spsc_baseline.cpp: the published single-producer single-consumer ring, as the yardstick.
//
// The classic bounded queue: a write index and a read index, each alone on its cache lines, each
// owned by one side, and beside each the owner's cached copy of the other index, refreshed only
// when it says full or empty (Lamport 1983; cached indices as in the LMAX and later papers). It
// lives in memory shared by two forked processes. Elements are 64 bytes, like a market slot.
//
//     spsc_baseline latency    COUNT GAP_CYCLES PRODUCER_CORE CONSUMER_CORE   > int64 pairs
//     spsc_baseline throughput COUNT BATCH      PRODUCER_CORE CONSUMER_CORE   prints ns
//     spsc_baseline hop        COUNT GAP_CYCLES PRODUCER_CORE RELAY_CORE      > int64 triples
//
// The latency mode writes, per element, cycles since its actual and since its due time. The hop
// mode is twin to bench/sides/hop_kernels.py: one thread sends ticks and reads orders, the other
// process decides; per order, cycles since its tick was sent, was due, and from sent to written.

#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

#if defined(__x86_64__)
#include <x86intrin.h>
static inline int64_t stamp() { return static_cast<int64_t>(__rdtsc()); }
static inline void relax() { _mm_pause(); }
#else
static inline int64_t stamp() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}
static inline void relax() {}
#endif

namespace {

constexpr int64_t kCapacity = 4096;
constexpr int64_t kMask = kCapacity - 1;
constexpr int kWords = 8;

struct Element {
    int64_t words[kWords];
};

struct Ring {
    alignas(128) std::atomic<int64_t> write_index{0};
    alignas(128) int64_t read_index_cached = 0;   // producer's
    alignas(128) std::atomic<int64_t> read_index{0};
    alignas(128) int64_t write_index_cached = 0;  // consumer's
    alignas(128) std::atomic<int64_t> ready{0};
    alignas(128) std::atomic<int64_t> start_ns{0};
    alignas(128) Element elements[kCapacity];
};

int64_t mono_ns() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

void pin(int core) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    sched_setaffinity(0, sizeof set, &set);
}

// Room for n elements at `index`, waiting for the consumer.
void wait_room(Ring &ring, int64_t index, int64_t n) {
    while (index + n - ring.read_index_cached > kCapacity) {
        ring.read_index_cached = ring.read_index.load(std::memory_order_acquire);
        if (index + n - ring.read_index_cached > kCapacity)
            relax();
    }
}

// At least one element behind `index`, waiting for the producer; how many there are.
int64_t wait_elements(Ring &ring, int64_t index) {
    while (ring.write_index_cached == index) {
        ring.write_index_cached = ring.write_index.load(std::memory_order_acquire);
        if (ring.write_index_cached == index)
            relax();
    }
    return ring.write_index_cached - index;
}

void produce_paced(Ring &ring, int64_t count, int64_t gap) {
    int64_t due = stamp() + gap;
    for (int64_t index = 0; index < count; index++, due += gap) {
        while (stamp() < due)
            relax();
        wait_room(ring, index, 1);
        Element &element = ring.elements[index & kMask];
        for (int word = 2; word < kWords; word++)
            element.words[word] = index + word;
        element.words[1] = due;
        element.words[0] = stamp();
        ring.write_index.store(index + 1, std::memory_order_release);
    }
}

int64_t consume_paced(Ring &ring, int64_t count, std::vector<int64_t> &pairs) {
    int64_t sum = 0;
    for (int64_t index = 0; index < count; index++) {
        wait_elements(ring, index);
        const Element &element = ring.elements[index & kMask];
        int64_t sent = element.words[0];
        int64_t due = element.words[1];
        int64_t now = stamp();
        for (int word = 2; word < kWords; word++)
            sum += element.words[word];
        ring.read_index.store(index + 1, std::memory_order_release);
        pairs[static_cast<size_t>(2 * index)] = now - sent;
        pairs[static_cast<size_t>(2 * index + 1)] = now - due;
    }
    return sum;
}

void produce_batches(Ring &ring, int64_t count, int64_t batch) {
    for (int64_t index = 0; index < count;) {
        int64_t n = batch < count - index ? batch : count - index;
        wait_room(ring, index, n);
        for (int64_t i = index; i < index + n; i++)
            for (int word = 0; word < kWords; word++)
                ring.elements[i & kMask].words[word] = i + word;
        index += n;
        ring.write_index.store(index, std::memory_order_release);
    }
}

int64_t consume_batches(Ring &ring, int64_t count, int64_t batch) {
    int64_t sum = 0;
    for (int64_t index = 0; index < count;) {
        int64_t n = wait_elements(ring, index);
        if (n > batch)
            n = batch;
        for (int64_t i = index; i < index + n; i++) {
            int64_t element = 0; // each by itself: none waits for the one before
            for (int word = 1; word < kWords; word++)
                element += ring.elements[i & kMask].words[word];
            sum += element;
        }
        index += n;
        ring.read_index.store(index, std::memory_order_release);
    }
    return sum;
}

// One thread at both ends: sends a tick when it is due, and takes every order as it comes. Returns
// how many orders are not what the relay must have decided.
int64_t run_edge(Ring &ticks, Ring &orders, int64_t count, int64_t gap, std::vector<int64_t> &out) {
    int64_t due = stamp() + gap, sent = 0, taken = 0, wrong = 0;
    while (taken < count) {
        if (sent < count && stamp() >= due &&
            (sent - ticks.read_index_cached < kCapacity ||
             sent - (ticks.read_index_cached = ticks.read_index.load(std::memory_order_acquire)) <
                 kCapacity)) {
            Element &tick = ticks.elements[sent & kMask];
            for (int word = 2; word < kWords; word++)
                tick.words[word] = sent * word;
            tick.words[1] = due;
            tick.words[0] = stamp();
            ticks.write_index.store(++sent, std::memory_order_release);
            due += gap;
        }
        if (orders.write_index_cached == taken)
            orders.write_index_cached = orders.write_index.load(std::memory_order_acquire);
        if (orders.write_index_cached == taken) {
            relax();
            continue;
        }
        const int64_t now = stamp();
        const Element &order = orders.elements[taken & kMask];
        const int64_t side = taken & 1 ? 1 : -1;
        wrong +=
            order.words[2] != taken || order.words[3] != side || order.words[4] != taken * 4 + side;
        int64_t *triple = &out[static_cast<size_t>(3 * taken)];
        triple[0] = now - order.words[0];
        triple[1] = now - order.words[1];
        triple[2] = order.words[5] - order.words[0];
        orders.read_index.store(++taken, std::memory_order_release);
    }
    return wrong;
}

// The process in the middle: one tick in, one order out.
void run_relay(Ring &ticks, Ring &orders, int64_t count) {
    for (int64_t index = 0; index < count; index++) {
        wait_elements(ticks, index);
        const Element &tick = ticks.elements[index & kMask];
        const int64_t number = tick.words[2] / 2;
        const int64_t side = number & 1 ? 1 : -1;
        wait_room(orders, index, 1);
        Element &order = orders.elements[index & kMask];
        order.words[0] = tick.words[0];
        order.words[1] = tick.words[1];
        order.words[2] = number;
        order.words[3] = side;
        order.words[4] = tick.words[4] + side;
        order.words[5] = stamp();
        orders.write_index.store(index + 1, std::memory_order_release);
        ticks.read_index.store(index + 1, std::memory_order_release);
    }
}

int hop(Ring *rings, int64_t count, int64_t gap, int edge_core, int relay_core) {
    const pid_t relay = fork();
    if (relay == 0) {
        pin(relay_core);
        rings[0].ready.store(1, std::memory_order_release);
        run_relay(rings[0], rings[1], count);
        _exit(0);
    }
    pin(edge_core);
    std::vector<int64_t> triples(static_cast<size_t>(3 * count), 1);
    while (rings[0].ready.load(std::memory_order_acquire) == 0)
        relax();
    const int64_t wrong = run_edge(rings[0], rings[1], count, gap, triples);
    waitpid(relay, nullptr, 0);
    fwrite(triples.data(), sizeof(int64_t), triples.size(), stdout);
    return wrong == 0 ? 0 : 4;
}

// What the consumer must have added up, so that no pass is believed unread.
int64_t expected_sum(int64_t count, int first_word) {
    int64_t words = 0;
    for (int word = first_word; word < kWords; word++)
        words += word;
    return (count * (count - 1) / 2) * (kWords - first_word) + words * count;
}

}  // namespace

int main(int argument_count, char **arguments) {
    if (argument_count != 6)
        return 2;
    const bool latency = std::strcmp(arguments[1], "latency") == 0;
    const int64_t count = std::atoll(arguments[2]);
    const int64_t step = std::atoll(arguments[3]);
    const int producer_core = std::atoi(arguments[4]);
    const int consumer_core = std::atoi(arguments[5]);
    void *memory = mmap(nullptr, 2 * sizeof(Ring), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED)
        return 3;
    Ring *rings = new (memory) Ring[2];
    Ring &ring = rings[0];
    if (std::strcmp(arguments[1], "hop") == 0)
        return hop(rings, count, step, producer_core, consumer_core);
    const pid_t producer = fork();
    if (producer == 0) {
        pin(producer_core);
        while (ring.ready.load(std::memory_order_acquire) == 0)
            relax();
        ring.start_ns.store(mono_ns(), std::memory_order_relaxed);
        if (latency)
            produce_paced(ring, count, step);
        else
            produce_batches(ring, count, step);
        _exit(0);
    }
    pin(consumer_core);
    std::vector<int64_t> pairs(latency ? static_cast<size_t>(2 * count) : 0, 1);
    ring.ready.store(1, std::memory_order_release);
    const int64_t sum =
        latency ? consume_paced(ring, count, pairs) : consume_batches(ring, count, step);
    const int64_t end_ns = mono_ns();
    waitpid(producer, nullptr, 0);
    if (sum != expected_sum(count, latency ? 2 : 1))
        return 4;
    if (latency)
        fwrite(pairs.data(), sizeof(int64_t), pairs.size(), stdout);
    else
        std::printf("%lld\n",
                    static_cast<long long>(end_ns - ring.start_ns.load(std::memory_order_relaxed)));
    return 0;
}
