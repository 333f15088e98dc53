// Kernels of the random-access probes and of the dense product (spec graval 4.6, 4.9).
#pragma once

#include "product.h"

namespace ogv {

constexpr uint64_t LANE_SPREAD = 0xD1B54A32D192ED03ull;
constexpr uint64_t MERSENNE_61 = (1ull << 61) - 1;
constexpr unsigned DENSE_COLUMNS = 128;
constexpr unsigned TRANSPOSE_SIDE = 16;
constexpr unsigned MAXIMUM_WARPS = 32;

struct State {
    uint64_t low;
    uint64_t high;
};

// Sum over all threads of a block, in all of them.
OGV_DEVICE uint64_t block_sum(uint64_t value, uint64_t* partial) {
    for (unsigned mask = 1; mask < 32; mask *= 2) {
        value += platform::shuffle_xor(value, mask);
    }
    const unsigned thread = platform::thread_index(), warps = platform::block_size() / 32;
    if (thread % 32 == 0) {
        partial[thread / 32] = value;
    }
    platform::synchronize_block();
    uint64_t total = 0;
    for (unsigned warp = 0; warp < warps; warp++) {
        total += partial[warp];
    }
    platform::synchronize_block();
    return total;
}

// A block for each group, a thread for each lane, rounded up to whole warps. A step waits for the slowest read.
OGV_KERNEL chase_steps(Matrix matrix, State* states, uint32_t lanes, uint64_t steps, State* log) {
    OGV_SHARED uint64_t partial[2][MAXIMUM_WARPS];
    const uint64_t lane = platform::thread_index(), group = platform::block_index();
    const uint64_t cells = matrix.rows * (matrix.inner / CELL_BYTES);
    State state = states[group];
    for (uint64_t step = 0; step < steps; step++) {
        uint64_t first = 0, second = 0;
        if (lane < lanes) {
            const uint64_t address = splitmix64(state.low ^ ((lane + 1) * LANE_SPREAD));
            const uint64_t* words = cell_of(matrix, platform::multiply_high(address, cells));
            first = splitmix64(words[0] ^ address);
            second = splitmix64(words[1] + address);
        }
        first = block_sum(first, partial[0]);
        second = block_sum(second, partial[1]);
        state.low = splitmix64(state.low ^ first);
        state.high = splitmix64(state.high ^ second ^ ((state.low << 17) | (state.low >> 47)));
        if (lane == 0) {
            log[group * steps + step] = state;
        }
    }
    if (lane == 0) {
        states[group] = state;
    }
}

// Rows at a stride that the product can read; what lies between is zero already.
OGV_KERNEL spread_rows(const uint8_t* source, uint8_t* target, uint32_t side, uint32_t stride) {
    const uint64_t at = uint64_t(platform::block_index()) * platform::block_size() + platform::thread_index();
    if (at < uint64_t(side) * side) {
        target[at / side * stride + at % side] = source[at];
    }
}

// The right operand comes row by row and is multiplied column by column.
OGV_KERNEL transpose(const uint8_t* source, uint8_t* target, uint32_t side, uint32_t stride) {
    OGV_SHARED uint8_t square[TRANSPOSE_SIDE][TRANSPOSE_SIDE + 4];
    const uint32_t squares = (side + TRANSPOSE_SIDE - 1) / TRANSPOSE_SIDE;
    const uint32_t row = platform::block_index() / squares * TRANSPOSE_SIDE;
    const uint32_t column = platform::block_index() % squares * TRANSPOSE_SIDE;
    const uint32_t down = platform::thread_index() / TRANSPOSE_SIDE, across = platform::thread_index() % TRANSPOSE_SIDE;
    if (row + down < side && column + across < side) {
        square[down][across] = source[uint64_t(row + down) * side + column + across];
    }
    platform::synchronize_block();
    if (column + down < side && row + across < side) {
        target[uint64_t(column + down) * stride + row + across] = square[across][down];
    }
}

// One block of the stored product for each pair of 128 rows and 128 columns.
OGV_KERNEL multiply_dense(const uint8_t* left, const uint8_t* right, uint32_t side, uint32_t stride, int32_t* product) {
    using S = Shape<DENSE_COLUMNS>;
    OGV_SHARED Stages<DENSE_COLUMNS> stages;
    const uint32_t blocks = (side + DENSE_COLUMNS - 1) / DENSE_COLUMNS;
    const uint32_t row = platform::block_index() / blocks * BLOCK_ROWS;
    const uint32_t column = platform::block_index() % blocks * DENSE_COLUMNS;
    int32_t sums[S::ROW_TILES][S::COLUMN_TILES][4];
    multiply_block<DENSE_COLUMNS>(sums, stages, {left + uint64_t(row) * stride, side - row},
                                  {right + uint64_t(column) * stride, side - column}, stride);
    OGV_UNROLL
    for (unsigned tile = 0; tile < S::ROW_TILES; tile++) {
        OGV_UNROLL
        for (unsigned across = 0; across < S::COLUMN_TILES; across++) {
            OGV_UNROLL
            for (unsigned index = 0; index < 4; index++) {
                const uint32_t at = row + sum_row<DENSE_COLUMNS>(tile, index);
                const uint32_t beside = column + sum_column<DENSE_COLUMNS>(across, index);
                if (at < side && beside < side) {
                    product[uint64_t(at) * side + beside] = sums[tile][across][index];
                }
            }
        }
    }
}

// SHA-256(0x00 row product): one thread for each row.
OGV_KERNEL hash_product_rows(const int32_t* product, uint32_t side, uint8_t* leaves) {
    const uint64_t row = uint64_t(platform::block_index()) * platform::block_size() + platform::thread_index();
    if (row >= side) {
        return;
    }
    Hasher hasher;
    open_hasher(hasher);
    add_byte(hasher, 0);
    add_word64(hasher, row);
    add_bytes(hasher, reinterpret_cast<const uint8_t*>(product + row * side), 4ull * side);
    close_hasher(hasher, leaves + 32 * row);
}

OGV_DEVICE uint64_t reduce_61(uint64_t value) {
    value = (value & MERSENNE_61) + (value >> 61);
    return value >= MERSENNE_61 ? value - MERSENNE_61 : value;
}

OGV_DEVICE uint64_t multiply_61(uint64_t left, uint64_t right) {
    const uint64_t low = left * right, high = platform::multiply_high(left, right);
    return reduce_61((low & MERSENNE_61) + ((low >> 61) | (high << 3)));
}

// Product times vector modulo 2^61 - 1: one thread for each row.
OGV_KERNEL multiply_vector(const int32_t* product, uint32_t side, const uint64_t* vector, uint64_t* image) {
    const uint64_t row = uint64_t(platform::block_index()) * platform::block_size() + platform::thread_index();
    if (row >= side) {
        return;
    }
    uint64_t total = 0;
    for (uint32_t column = 0; column < side; column++) {
        const int64_t entry = product[row * side + column];
        const uint64_t residue = entry < 0 ? MERSENNE_61 - uint64_t(-entry) : uint64_t(entry);
        total = reduce_61(total + multiply_61(residue, vector[column]));
    }
    image[row] = total;
}

} // namespace ogv
