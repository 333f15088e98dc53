// A handle's memory and the steps that several calls of the interface share.
#pragma once

#include <stdio.h>

#include <new>
#include <vector>

#include "probes.h"
#include "runtime.h"
#include "sweep.h"

using ogv::Fingerprint;
using ogv::Matrix;
using ogv::Seed;
using runtime::Buffer;

namespace {

constexpr unsigned PLAIN_THREADS = 128;
constexpr uint64_t BATCH_TILES = 65536;
constexpr uint64_t LOG_STEPS = 65536;

thread_local char error_text[256] = "";

int fail(int status, const char* what) {
    const char* reason = status > 0 ? runtime::status_text(status) : "refused by the library";
    snprintf(error_text, sizeof error_text, "%s: %s (%d)", what, reason, status);
    return status;
}

uint64_t blocks_for(uint64_t items, uint64_t in_block) { return (items + in_block - 1) / in_block; }

uint64_t padded(uint64_t leaves) {
    uint64_t size = 1;
    while (size < leaves) {
        size *= 2;
    }
    return size;
}

Seed seed_of(const uint8_t* bytes) {
    Seed seed;
    memcpy(seed.bytes, bytes, sizeof seed.bytes);
    return seed;
}

} // namespace

#define OGV_TRY(call, what)                   \
    do {                                      \
        const int status_ = (call);           \
        if (status_ != 0) {                   \
            return fail(status_, what);       \
        }                                     \
    } while (0)

// For functions of ours, which have said already what failed.
#define OGV_PASS(call)                        \
    do {                                      \
        const int status_ = (call);           \
        if (status_ != 0) {                   \
            return status_;                   \
        }                                     \
    } while (0)

#define OGV_REQUIRE(condition, status, what)  \
    do {                                      \
        if (!(condition)) {                   \
            return fail(status, what);        \
        }                                     \
    } while (0)

struct ogv_handle {
    uint32_t device = 0;
    uint64_t chunk_bytes = 0;
    uint64_t host_rows = 0;
    std::vector<Buffer> chunks;
    Buffer chunk_table, operand, raw_masks, weights, fingerprints, levels[2], tags, matches, found, states, log;
    Buffer dense_left, dense_right, dense_stream, product, vector, image;
    Matrix matrix = {};
    uint32_t dense_side = 0;
    ogv_timings_t timings = {};
};

namespace {

int launched(const char* what) {
    OGV_TRY(runtime::last_status(), what);
    return 0;
}

int write_stream(const uint8_t* key, uint8_t* target, uint64_t bytes) {
    OGV_LAUNCH(ogv::write_stream, blocks_for(bytes, 64 * PLAIN_THREADS), PLAIN_THREADS, seed_of(key), target, bytes);
    return launched("key stream");
}

int prepare_round(ogv_handle* h, const uint8_t* operand_key, const uint8_t* mask_key, uint32_t columns,
                  ogv::Round* round) {
    const uint64_t operand_bytes = uint64_t(columns) * h->matrix.inner, mask_bytes = 4ull * columns;
    OGV_TRY(h->operand.reserve(operand_bytes), "operand");
    OGV_TRY(h->raw_masks.reserve(20ull * columns), "masks");
    OGV_TRY(h->weights.reserve(16ull * columns), "weights");
    OGV_PASS(write_stream(operand_key, h->operand.as<uint8_t>(), operand_bytes));
    OGV_PASS(write_stream(mask_key, h->raw_masks.as<uint8_t>(), 20ull * columns));
    // After an odd number of masks the weights would not be aligned.
    OGV_TRY(runtime::on_device(h->weights.as<uint8_t>(), h->raw_masks.as<uint8_t>() + mask_bytes, 16ull * columns),
            "weights");
    *round = {h->operand.as<uint8_t>(), h->raw_masks.as<uint32_t>(), h->weights.as<uint64_t>(), columns};
    return 0;
}

int fingerprint(ogv_handle* h, const ogv::Round& round, uint64_t first_row, uint64_t rows) {
    OGV_TRY(h->fingerprints.reserve(rows * sizeof(Fingerprint)), "fingerprints");
    Fingerprint* target = h->fingerprints.as<Fingerprint>();
    const uint64_t blocks = blocks_for(rows, ogv::BLOCK_ROWS);
    if (round.columns <= 16) {
        OGV_LAUNCH(ogv::fingerprint_rows<16>, blocks, ogv::PRODUCT_THREADS, h->matrix, round, first_row, rows, target);
    } else {
        OGV_LAUNCH(ogv::fingerprint_rows<128>, blocks, ogv::PRODUCT_THREADS, h->matrix, round, first_row, rows, target);
    }
    return launched("sweep");
}

int leaves_of(ogv_handle* h, const ogv::Round& round, uint32_t tile_rows, uint64_t first_tile, uint64_t tiles,
              uint8_t* leaves) {
    // A block of rows begins where a piece of the matrix may begin: start early and leave the first tiles out.
    const uint64_t first_row = first_tile * tile_rows, skipped = first_row % ogv::BLOCK_ROWS;
    OGV_PASS(fingerprint(h, round, first_row - skipped, tiles * tile_rows + skipped));
    OGV_LAUNCH(ogv::make_leaves, blocks_for(tiles, PLAIN_THREADS), PLAIN_THREADS,
               h->fingerprints.as<Fingerprint>() + skipped, tile_rows, first_tile, tiles, leaves);
    return launched("leaves");
}

int check_round(const ogv_handle* h, uint32_t columns, uint32_t tile_rows) {
    OGV_REQUIRE(h->matrix.rows != 0, OGV_OUT_OF_ORDER, "fill first");
    OGV_REQUIRE(columns > 0 && tile_rows > 0 && h->matrix.rows % tile_rows == 0, OGV_BAD_ARGUMENT, "size of a round");
    return 0;
}

// All levels above the leaves; those from `cut` on go to the host.
int join_levels(ogv_handle* h, uint64_t nodes, uint32_t cut, uint8_t* upper) {
    for (uint32_t level = 0;; level++, nodes /= 2) {
        const uint8_t* below = h->levels[level % 2].as<uint8_t>();
        if (level >= cut) {
            OGV_TRY(runtime::from_device(upper, below, 32 * nodes), "levels of the tree");
            upper += 32 * nodes;
        }
        if (nodes == 1) {
            return 0;
        }
        OGV_LAUNCH(ogv::join_nodes, blocks_for(nodes / 2, PLAIN_THREADS), PLAIN_THREADS, below,
                   h->levels[(level + 1) % 2].as<uint8_t>(), nodes / 2);
        OGV_PASS(launched("tree"));
    }
}

// Both operands of the dense product, rows of the left and columns of the right at a stride.
int prepare_dense(ogv_handle* h, const uint8_t* left_key, const uint8_t* right_key, uint32_t inner, uint32_t stride) {
    const uint64_t entries = uint64_t(inner) * inner, bytes = uint64_t(inner) * stride;
    const uint64_t squares = blocks_for(inner, ogv::TRANSPOSE_SIDE);
    OGV_TRY(h->dense_stream.reserve(entries), "stream");
    OGV_TRY(h->dense_left.reserve(bytes), "left operand");
    OGV_TRY(h->dense_right.reserve(bytes), "right operand");
    uint8_t *stream = h->dense_stream.as<uint8_t>(), *left = h->dense_left.as<uint8_t>();
    uint8_t* right = h->dense_right.as<uint8_t>();
    OGV_TRY(runtime::clear(left, bytes), "left operand");
    OGV_TRY(runtime::clear(right, bytes), "right operand");
    OGV_PASS(write_stream(left_key, stream, entries));
    OGV_LAUNCH(ogv::spread_rows, blocks_for(entries, PLAIN_THREADS), PLAIN_THREADS, stream, left, inner, stride);
    OGV_PASS(write_stream(right_key, stream, entries));
    OGV_LAUNCH(ogv::transpose, squares * squares, ogv::TRANSPOSE_SIDE * ogv::TRANSPOSE_SIDE, stream, right, inner,
               stride);
    return launched("operands");
}

} // namespace
