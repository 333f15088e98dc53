// Device code on a CPU: every thread of a block is a fiber, and a barrier is a switch to the next one.
//
// For tests of the kernels' logic where no GPU is: results are bit-exact, speed means nothing. The warp matrix product
// follows the fragment layouts that the PTX manual gives for mma.m16n8k32 and, built with OGV_EMULATED_NARROW, for the
// mma.m8n8k16 of sm_75. A barrier that not all threads of a block
// reach at the same place ends the program: on a GPU it would hang or be undefined.
#pragma once

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>

#include <vector>

#define OGV_KERNEL static void
#define OGV_DEVICE static inline
#define OGV_DEVICE_CALL static
#define OGV_SHARED static
#define OGV_CONSTANT static const
#define OGV_UNROLL
#define OGV_LAUNCH(kernel, blocks, threads, ...) emulation::launch(blocks, threads, [&] { kernel(__VA_ARGS__); })

namespace emulation {

constexpr size_t STACK_BYTES = 128 << 10;
constexpr unsigned WARP = 32;

struct Fragments {
    uint32_t left[4];
    uint32_t right[2];
};

// Begun by a context, switched by jumps, which cost no system call.
struct Fiber {
    ucontext_t context;
    jmp_buf resumed;
    bool begun = false;
    std::vector<char> stack;
    bool ended = false;
    int place = 0;
};

inline unsigned thread = 0, block = 0, threads = 0, blocks = 0;
inline ucontext_t scheduler;
inline jmp_buf passed_on;
inline std::vector<Fiber> fibers;
inline std::vector<uint64_t> words;
inline std::vector<Fragments> fragments;
inline void (*entry)(const void*) = nullptr;
inline const void* entry_data = nullptr;

inline void run_fiber() {
    entry(entry_data);
    fibers[thread].ended = true;
    _longjmp(passed_on, 1);
}

inline void wait_at(int place) {
    fibers[thread].place = place;
    if (_setjmp(fibers[thread].resumed) == 0) {
        _longjmp(passed_on, 1);
    }
}

inline void resume() {
    if (_setjmp(passed_on) != 0) {
        return;
    }
    if (fibers[thread].begun) {
        _longjmp(fibers[thread].resumed, 1);
    }
    fibers[thread].begun = true;
    swapcontext(&scheduler, &fibers[thread].context);
}

inline void check_places() {
    for (unsigned other = 1; other < threads; other++) {
        if (fibers[other].ended != fibers[0].ended || (!fibers[0].ended && fibers[other].place != fibers[0].place)) {
            fprintf(stderr, "emulation: threads 0 and %u of block %u do not meet at one barrier\n", other, block);
            abort();
        }
    }
}

inline void run_block() {
    for (thread = 0; thread < threads; thread++) {
        Fiber& fiber = fibers[thread];
        fiber.ended = fiber.begun = false;
        fiber.place = 0;
        fiber.stack.resize(STACK_BYTES);
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.data();
        fiber.context.uc_stack.ss_size = STACK_BYTES;
        fiber.context.uc_link = nullptr;
        makecontext(&fiber.context, run_fiber, 0);
    }
    do {
        for (thread = 0; thread < threads; thread++) {
            resume();
        }
        check_places();
    } while (!fibers[0].ended);
}

template <typename Body>
void launch(uint64_t block_count, unsigned thread_count, const Body& body) {
    blocks = unsigned(block_count);
    threads = thread_count;
    fibers.resize(thread_count > fibers.size() ? thread_count : fibers.size());
    words.assign(thread_count, 0);
    fragments.assign(thread_count, Fragments{});
    entry = [](const void* data) { (*static_cast<const Body*>(data))(); };
    entry_data = &body;
    for (block = 0; block < blocks; block++) {
        run_block();
    }
    entry_data = nullptr;
}

inline uint64_t exchange(uint64_t value, unsigned mask, int place) {
    words[thread] = value;
    wait_at(place);
    uint64_t other = words[thread ^ mask];
    wait_at(-place);
    return other;
}

inline int8_t byte_of(uint32_t word, unsigned index) { return int8_t(word >> (8 * index)); }

// Element (row, k) of the left operand: register k/16*2 + row/8 of lane row%8*4 + k%16/4, byte k%4.
inline int8_t left_element(unsigned first, unsigned row, unsigned k) {
    const Fragments& held = fragments[first + row % 8 * 4 + k % 16 / 4];
    return byte_of(held.left[k / 16 * 2 + row / 8], k % 4);
}

// Element (k, column) of the right operand: register k/16 of lane column*4 + k%16/4, byte k%4.
inline int8_t right_element(unsigned first, unsigned k, unsigned column) {
    return byte_of(fragments[first + column * 4 + k % 16 / 4].right[k / 16], k % 4);
}

inline void multiply_wide(int32_t* sums, const uint32_t* left, const uint32_t* right) {
    memcpy(fragments[thread].left, left, sizeof fragments[thread].left);
    memcpy(fragments[thread].right, right, sizeof fragments[thread].right);
    wait_at(1001);
    const unsigned first = thread / WARP * WARP, lane = thread % WARP;
    for (unsigned index = 0; index < 4; index++) {
        const unsigned row = lane / 4 + index / 2 * 8, column = lane % 4 * 2 + index % 2;
        for (unsigned k = 0; k < 32; k++) {
            sums[index] += int32_t(left_element(first, row, k)) * right_element(first, k, column);
        }
    }
    wait_at(1002);
}

// Element (row, k) of the left operand is byte k%4 of lane row*4 + k/4, and so is (k, column) of the right one.
inline void multiply_narrow(int32_t* sums, uint32_t left, uint32_t right) {
    fragments[thread].left[0] = left;
    fragments[thread].right[0] = right;
    wait_at(1003);
    const unsigned first = thread / WARP * WARP, lane = thread % WARP;
    for (unsigned index = 0; index < 2; index++) {
        const unsigned row = lane / 4, column = lane % 4 * 2 + index;
        for (unsigned k = 0; k < 16; k++) {
            const int32_t entry = byte_of(fragments[first + row * 4 + k / 4].left[0], k % 4);
            sums[index] += entry * byte_of(fragments[first + column * 4 + k / 4].right[0], k % 4);
        }
    }
    wait_at(1004);
}

inline double now_seconds() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

} // namespace emulation

namespace platform {

struct alignas(16) Quad {
    uint32_t x, y, z, w;
};

OGV_DEVICE unsigned thread_index() { return emulation::thread; }
OGV_DEVICE unsigned block_index() { return emulation::block; }
OGV_DEVICE unsigned block_size() { return emulation::threads; }
OGV_DEVICE void synchronize_block() { emulation::wait_at(1); }
OGV_DEVICE uint64_t shuffle_xor(uint64_t value, unsigned mask) { return emulation::exchange(value, mask, int(mask) + 1); }
OGV_DEVICE uint64_t multiply_high(uint64_t left, uint64_t right) {
    return uint64_t((unsigned __int128)left * right >> 64);
}
#ifdef OGV_EMULATED_NARROW
OGV_DEVICE void multiply_narrow(int32_t* sums, uint32_t left, uint32_t right) {
    emulation::multiply_narrow(sums, left, right);
}
#else
#define OGV_WIDE_PRODUCTS
OGV_DEVICE void multiply_wide(int32_t* sums, const uint32_t* left, const uint32_t* right) {
    emulation::multiply_wide(sums, left, right);
}
#endif
OGV_DEVICE void copy_async(void* shared, const void* global, bool is_there) {
    is_there ? memcpy(shared, global, sizeof(Quad)) : memset(shared, 0, sizeof(Quad));
}
OGV_DEVICE void commit_copies() {}
OGV_DEVICE void wait_for_copies() {}

} // namespace platform
