// Exact int8 products of a block of rows with a block of columns, in the fragments of the matrix units.
//
// Both operands lie with the inner dimension contiguous. 128 rows for each block of 256 threads; two stages of 64
// inner bytes are in flight. A stride of 80 bytes puts the eight rows that a warp reads at once into different banks.
#pragma once

#include "labels.h"

namespace ogv {

constexpr unsigned PRODUCT_THREADS = 256;
constexpr unsigned WARPS = PRODUCT_THREADS / 32;
constexpr unsigned BLOCK_ROWS = 128;
constexpr unsigned STEP_BYTES = 64;
constexpr unsigned STRIDE_BYTES = 80;
constexpr unsigned STAGES = 2;

// How the warps share a block of so many columns: 16 for sweeps that read, 128 for sweeps that compute.
template <unsigned COLUMNS>
struct Shape {
    static constexpr unsigned WARPS_ACROSS = COLUMNS >= 128 ? 2 : 1;
    static constexpr unsigned ROW_TILES = BLOCK_ROWS / (WARPS / WARPS_ACROSS) / 16;
    static constexpr unsigned COLUMN_TILES = COLUMNS / WARPS_ACROSS / 8;
};

template <unsigned COLUMNS>
struct Stages {
    alignas(16) uint8_t left[STAGES][BLOCK_ROWS * STRIDE_BYTES];
    alignas(16) uint8_t right[STAGES][COLUMNS * STRIDE_BYTES];
};

// Rows of an operand that are there; others read as zero.
struct Operand {
    const uint8_t* start;
    uint64_t rows;
};

OGV_DEVICE void load_step(uint8_t* shared, unsigned shared_rows, const Operand& operand, uint32_t inner, uint32_t at) {
    constexpr unsigned QUADS = STEP_BYTES / 16;
    for (unsigned unit = platform::thread_index(); unit < shared_rows * QUADS; unit += PRODUCT_THREADS) {
        const unsigned row = unit / QUADS, byte = unit % QUADS * 16;
        const bool is_there = row < operand.rows && at + byte < inner;
        const uint8_t* source = is_there ? operand.start + uint64_t(row) * inner + at + byte : operand.start;
        platform::copy_async(shared + row * STRIDE_BYTES + byte, source, is_there);
    }
}

// The word that a lane holds of a fragment: rows go by lane/4, inner bytes by lane%4.
OGV_DEVICE uint32_t fragment_word(const uint8_t* shared, unsigned row, unsigned byte) {
    return *reinterpret_cast<const uint32_t*>(shared + row * STRIDE_BYTES + byte);
}

// 16 rows by 32 times 32 by 8 columns; four narrow products are the same in the same layout.
OGV_DEVICE void multiply_accumulate(int32_t* sums, const uint32_t* left, const uint32_t* right) {
#ifdef OGV_WIDE_PRODUCTS
    platform::multiply_wide(sums, left, right);
#else
    for (int half = 0; half < 2; half++) {
        platform::multiply_narrow(sums + 2 * half, left[half], right[0]);
        platform::multiply_narrow(sums + 2 * half, left[2 + half], right[1]);
    }
#endif
}

template <unsigned COLUMNS>
OGV_DEVICE void multiply_step(int32_t sums[][Shape<COLUMNS>::COLUMN_TILES][4], const uint8_t* left,
                              const uint8_t* right) {
    using S = Shape<COLUMNS>;
    const unsigned warp = platform::thread_index() / 32, lane = platform::thread_index() % 32;
    const unsigned row = warp / S::WARPS_ACROSS * S::ROW_TILES * 16 + lane / 4;
    const unsigned column = warp % S::WARPS_ACROSS * S::COLUMN_TILES * 8 + lane / 4;
    OGV_UNROLL
    for (unsigned at = 0; at < STEP_BYTES; at += 32) {
        const unsigned byte = at + lane % 4 * 4;
        uint32_t held[S::ROW_TILES][4];
        OGV_UNROLL
        for (unsigned tile = 0; tile < S::ROW_TILES; tile++) {
            held[tile][0] = fragment_word(left, row + 16 * tile, byte);
            held[tile][1] = fragment_word(left, row + 16 * tile + 8, byte);
            held[tile][2] = fragment_word(left, row + 16 * tile, byte + 16);
            held[tile][3] = fragment_word(left, row + 16 * tile + 8, byte + 16);
        }
        OGV_UNROLL
        for (unsigned across = 0; across < S::COLUMN_TILES; across++) {
            const uint32_t other[2] = {fragment_word(right, column + 8 * across, byte),
                                       fragment_word(right, column + 8 * across, byte + 16)};
            OGV_UNROLL
            for (unsigned tile = 0; tile < S::ROW_TILES; tile++) {
                multiply_accumulate(sums[tile][across], held[tile], other);
            }
        }
    }
}

// All of the inner dimension. Leaves the block synchronised, so that the stages may be used again.
template <unsigned COLUMNS>
OGV_DEVICE void multiply_block(int32_t sums[][Shape<COLUMNS>::COLUMN_TILES][4], Stages<COLUMNS>& stages,
                               const Operand& left, const Operand& right, uint32_t inner) {
    for (unsigned tile = 0; tile < Shape<COLUMNS>::ROW_TILES; tile++) {
        for (unsigned across = 0; across < Shape<COLUMNS>::COLUMN_TILES; across++) {
            for (unsigned index = 0; index < 4; index++) {
                sums[tile][across][index] = 0;
            }
        }
    }
    load_step(stages.left[0], BLOCK_ROWS, left, inner, 0);
    load_step(stages.right[0], COLUMNS, right, inner, 0);
    platform::commit_copies();
    unsigned stage = 0;
    for (uint32_t at = 0; at < inner; at += STEP_BYTES) {
        if (at + STEP_BYTES < inner) {
            load_step(stages.left[stage ^ 1], BLOCK_ROWS, left, inner, at + STEP_BYTES);
            load_step(stages.right[stage ^ 1], COLUMNS, right, inner, at + STEP_BYTES);
        }
        platform::commit_copies(); // an empty group at the end, so that waiting for all but the newest stays right
        platform::wait_for_copies();
        platform::synchronize_block();
        multiply_step<COLUMNS>(sums, stages.left[stage], stages.right[stage]);
        platform::synchronize_block();
        stage ^= 1;
    }
}

// Row and column, inside the block, of one sum of this thread.
template <unsigned COLUMNS>
OGV_DEVICE unsigned sum_row(unsigned tile, unsigned index) {
    const unsigned warp = platform::thread_index() / 32, lane = platform::thread_index() % 32;
    return (warp / Shape<COLUMNS>::WARPS_ACROSS * Shape<COLUMNS>::ROW_TILES + tile) * 16 + lane / 4 + index / 2 * 8;
}

template <unsigned COLUMNS>
OGV_DEVICE unsigned sum_column(unsigned across, unsigned index) {
    const unsigned warp = platform::thread_index() / 32, lane = platform::thread_index() % 32;
    const unsigned first = warp % Shape<COLUMNS>::WARPS_ACROSS * Shape<COLUMNS>::COLUMN_TILES;
    return (first + across) * 8 + lane % 4 * 2 + index % 2;
}

} // namespace ogv
