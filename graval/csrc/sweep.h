// Kernels of one round: fingerprints of all rows, leaves, tree; and the search for locked rows (spec graval 4.5, 4.8).
#pragma once

#include "product.h"

namespace ogv {

// Operand, masks and weights of a round, as the streams give them: m words, then m and m double words.
struct Round {
    const uint8_t* operand;
    const uint32_t* masks;
    const uint64_t* weights;
    uint32_t columns;
};

struct Fingerprint {
    uint64_t first;
    uint64_t second;
};

// Fingerprints of rows first_row and on; the product is never stored. One block for each 128 rows.
template <unsigned COLUMNS>
OGV_KERNEL fingerprint_rows(Matrix matrix, Round round, uint64_t first_row, uint64_t row_count,
                            Fingerprint* fingerprints) {
    using S = Shape<COLUMNS>;
    OGV_SHARED Stages<COLUMNS> stages;
    OGV_SHARED Fingerprint halves[S::WARPS_ACROSS][BLOCK_ROWS];
    const uint64_t start = uint64_t(platform::block_index()) * BLOCK_ROWS;
    const Operand left = {row_of(matrix, first_row + start), row_count - start};
    Fingerprint sums[S::ROW_TILES][2] = {};
    for (uint32_t column = 0; column < round.columns; column += COLUMNS) {
        const Operand right = {round.operand + uint64_t(column) * matrix.inner, round.columns - column};
        int32_t product[S::ROW_TILES][S::COLUMN_TILES][4];
        multiply_block<COLUMNS>(product, stages, left, right, matrix.inner);
        OGV_UNROLL
        for (unsigned across = 0; across < S::COLUMN_TILES; across++) {
            OGV_UNROLL
            for (unsigned side = 0; side < 2; side++) {
                const uint32_t at = column + sum_column<COLUMNS>(across, side);
                if (at >= round.columns) {
                    continue;
                }
                const uint32_t mask = round.masks[at];
                const uint64_t first = round.weights[at] | 1, second = round.weights[round.columns + at] | 1;
                OGV_UNROLL
                for (unsigned tile = 0; tile < S::ROW_TILES; tile++) {
                    OGV_UNROLL
                    for (unsigned half = 0; half < 2; half++) {
                        const uint64_t mixed = fmix32(uint32_t(product[tile][across][2 * half + side]) ^ mask);
                        sums[tile][half].first += mixed * first;
                        sums[tile][half].second += mixed * second;
                    }
                }
            }
        }
    }
    const unsigned warp = platform::thread_index() / 32, lane = platform::thread_index() % 32;
    for (unsigned tile = 0; tile < S::ROW_TILES; tile++) {
        for (unsigned half = 0; half < 2; half++) {
            Fingerprint& sum = sums[tile][half];
            for (unsigned mask = 1; mask < 4; mask *= 2) {
                sum.first += platform::shuffle_xor(sum.first, mask);
                sum.second += platform::shuffle_xor(sum.second, mask);
            }
            if (lane % 4 == 0) {
                halves[warp % S::WARPS_ACROSS][sum_row<COLUMNS>(tile, 2 * half)] = sum;
            }
        }
    }
    platform::synchronize_block();
    const unsigned row = platform::thread_index();
    if (row < BLOCK_ROWS && row < row_count - start) {
        Fingerprint whole = halves[0][row];
        for (unsigned other = 1; other < S::WARPS_ACROSS; other++) {
            whole.first += halves[other][row].first;
            whole.second += halves[other][row].second;
        }
        fingerprints[start + row] = whole;
    }
}

// A leaf for each tile of rows: SHA-256(0x00 tile fingerprints).
OGV_KERNEL make_leaves(const Fingerprint* fingerprints, uint32_t tile_rows, uint64_t first_tile, uint64_t tiles,
                       uint8_t* leaves) {
    const uint64_t tile = uint64_t(platform::block_index()) * platform::block_size() + platform::thread_index();
    if (tile >= tiles) {
        return;
    }
    Hasher hasher;
    open_hasher(hasher);
    add_byte(hasher, 0);
    add_word64(hasher, first_tile + tile);
    for (uint32_t row = 0; row < tile_rows; row++) {
        const Fingerprint& fingerprint = fingerprints[tile * tile_rows + row];
        add_word64(hasher, fingerprint.first);
        add_word64(hasher, fingerprint.second);
    }
    close_hasher(hasher, leaves + 32 * tile);
}

// One level of the tree above another: SHA-256(0x01 left right). Levels are few and small beside a sweep.
OGV_KERNEL join_nodes(const uint8_t* below, uint8_t* above, uint64_t nodes) {
    const uint64_t node = uint64_t(platform::block_index()) * platform::block_size() + platform::thread_index();
    if (node >= nodes) {
        return;
    }
    Hasher hasher;
    open_hasher(hasher);
    add_byte(hasher, 1);
    add_bytes(hasher, below + 64 * node, 64);
    close_hasher(hasher, above + 32 * node);
}

struct Tag {
    uint8_t bytes[16];
};

// Rows whose tag SHA-256("ogv1/tag" 0x00 salt fingerprint)[:16] is one of those asked for.
OGV_KERNEL find_tags(const Fingerprint* fingerprints, uint64_t rows, Tag salt, const Tag* tags, uint32_t tag_count,
                     Fingerprint* matches, uint8_t* found) {
    const uint64_t row = uint64_t(platform::block_index()) * platform::block_size() + platform::thread_index();
    if (row >= rows) {
        return;
    }
    const uint8_t name[9] = {'o', 'g', 'v', '1', '/', 't', 'a', 'g', 0};
    uint8_t digest[32];
    Hasher hasher;
    open_hasher(hasher);
    add_bytes(hasher, name, 9);
    add_bytes(hasher, salt.bytes, 16);
    add_word64(hasher, fingerprints[row].first);
    add_word64(hasher, fingerprints[row].second);
    close_hasher(hasher, digest);
    for (uint32_t index = 0; index < tag_count; index++) {
        bool is_equal = true;
        for (unsigned byte = 0; byte < 16 && is_equal; byte++) {
            is_equal = digest[byte] == tags[index].bytes[byte];
        }
        if (is_equal) {
            matches[index] = fingerprints[row];
            found[index] = 1;
        }
    }
}

} // namespace ogv
