// The label matrix on the device: where a row lies, and the kernel that makes it (spec graval 4.4).
#pragma once

#include "hashes.h"

namespace ogv {

constexpr unsigned FILL_THREADS = 256;
constexpr unsigned CELL_BYTES = 32;
// Cells that a thread makes before the block writes them together, 128 bytes for each row.
constexpr unsigned STAGED_CELLS = 4;
constexpr unsigned STAGED_QUADS = STAGED_CELLS * CELL_BYTES / 16;

// The matrix lies in pieces; a block of rows never crosses the border of one.
struct Matrix {
    uint8_t* const* chunks;
    uint64_t rows;
    uint64_t rows_in_chunk;
    uint32_t inner;
};

OGV_DEVICE uint8_t* row_of(const Matrix& matrix, uint64_t row) {
    return matrix.chunks[row / matrix.rows_in_chunk] + row % matrix.rows_in_chunk * matrix.inner;
}

// The first 16 bytes of a cell, cells counted in row order.
OGV_DEVICE const uint64_t* cell_of(const Matrix& matrix, uint64_t cell) {
    const uint64_t cells_in_chunk = matrix.rows_in_chunk * (matrix.inner / CELL_BYTES);
    const uint8_t* chunk = matrix.chunks[cell / cells_in_chunk];
    return reinterpret_cast<const uint64_t*>(chunk + cell % cells_in_chunk * CELL_BYTES);
}

struct Seed {
    uint8_t bytes[32];
};

// SHA-256("ogv1/row" 0x00 seed row): the digest before a row's first cell.
OGV_DEVICE void start_row(const Seed& seed, uint64_t row, uint32_t* digest) {
    const uint8_t tag[9] = {'o', 'g', 'v', '1', '/', 'r', 'o', 'w', 0};
    Hasher hasher;
    open_hasher(hasher);
    add_bytes(hasher, tag, 9);
    add_bytes(hasher, seed.bytes, 32);
    add_word64(hasher, row);
    uint8_t bytes[32];
    close_hasher(hasher, bytes);
    for (int index = 0; index < 8; index++) {
        digest[index] = hasher.state[index];
    }
}

// One thread for each row. Chains stay in registers; 16-byte units of odd stride keep shared memory free of conflicts.
OGV_KERNEL fill_rows(Matrix matrix, Seed seed, uint32_t chain_length) {
    OGV_SHARED platform::Quad staged[FILL_THREADS][STAGED_QUADS + 1];
    const unsigned thread = platform::thread_index();
    const uint64_t first_row = uint64_t(platform::block_index()) * FILL_THREADS;
    uint32_t digest[8];
    start_row(seed, first_row + thread, digest);
    const unsigned cells = matrix.inner / CELL_BYTES;
    for (unsigned cell = 0; cell < cells; cell += STAGED_CELLS) {
        const unsigned count = cells - cell < STAGED_CELLS ? cells - cell : STAGED_CELLS;
        for (unsigned index = 0; index < count; index++) {
            for (uint32_t link = 0; link < chain_length; link++) {
                hash_digest(digest);
            }
            for (unsigned half = 0; half < 2; half++) {
                const uint32_t* part = digest + 4 * half;
                staged[thread][2 * index + half] = {swap_bytes(part[0]), swap_bytes(part[1]), swap_bytes(part[2]),
                                                    swap_bytes(part[3])};
            }
        }
        platform::synchronize_block();
        const unsigned quads = 2 * count;
        for (unsigned at = thread; at < FILL_THREADS * quads; at += FILL_THREADS) {
            const unsigned row = at / quads, quad = at % quads;
            if (first_row + row < matrix.rows) {
                uint8_t* target = row_of(matrix, first_row + row) + cell * CELL_BYTES;
                reinterpret_cast<platform::Quad*>(target)[quad] = staged[row][quad];
            }
        }
        platform::synchronize_block();
    }
}

// A ChaCha20 stream, one 64-byte block for each thread; a last part is cut.
OGV_KERNEL write_stream(Seed key, uint8_t* target, uint64_t byte_count) {
    const uint64_t counter = uint64_t(platform::block_index()) * platform::block_size() + platform::thread_index();
    const uint64_t start = counter * 64;
    if (start >= byte_count) {
        return;
    }
    uint32_t words[8], block[16];
    for (int index = 0; index < 8; index++) {
        const uint8_t* part = key.bytes + 4 * index;
        words[index] = part[0] | part[1] << 8 | part[2] << 16 | uint32_t(part[3]) << 24;
    }
    stream_block(words, counter, block);
    const uint64_t left = byte_count - start;
    for (unsigned index = 0; index < 64 && index < left; index++) {
        target[start + index] = uint8_t(block[index / 4] >> (8 * (index % 4)));
    }
}

} // namespace ogv
