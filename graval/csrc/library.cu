// The C interface: checks arguments, moves data, launches kernels in order (spec graval 5.2).

#include "handle.h"

extern "C" {

uint32_t ogv_abi_version(void) { return OGV_ABI_VERSION; }

const char* ogv_last_error(void) { return error_text; }

int ogv_device_count(uint32_t* count) {
    OGV_TRY(runtime::count_devices(count), "devices");
    return 0;
}

int ogv_device_info(uint32_t index, ogv_device_info_t* info) {
    memset(info, 0, sizeof *info);
    OGV_TRY(runtime::describe(index, info), "description of the device");
    return 0;
}

int ogv_open(uint32_t index, uint64_t chunk_bytes, ogv_handle** handle) {
    *handle = nullptr;
    OGV_REQUIRE(chunk_bytes > 0, OGV_BAD_ARGUMENT, "chunk_bytes");
    OGV_TRY(runtime::select(index), "device");
    ogv_handle* made = new (std::nothrow) ogv_handle;
    OGV_REQUIRE(made != nullptr, OGV_BAD_ARGUMENT, "no memory for a handle");
    made->device = index;
    made->chunk_bytes = chunk_bytes;
    *handle = made;
    return 0;
}

void ogv_close(ogv_handle* handle) {
    if (handle != nullptr) {
        runtime::select(handle->device);
        delete handle;
    }
}

int ogv_timings(const ogv_handle* handle, ogv_timings_t* timings) {
    *timings = handle->timings;
    return 0;
}

int ogv_fill(ogv_handle* h, const uint8_t* seed, uint64_t rows, uint32_t inner, uint32_t chain_length) {
    OGV_REQUIRE(rows > 0 && inner > 0 && inner % ogv::CELL_BYTES == 0 && chain_length > 0, OGV_BAD_ARGUMENT, "fill");
    OGV_TRY(runtime::select(h->device), "device");
    const uint64_t blocks = h->chunk_bytes / inner / ogv::BLOCK_ROWS;
    const uint64_t rows_in_chunk = (blocks ? blocks : 1) * ogv::BLOCK_ROWS;
    h->matrix = {};
    h->chunks.clear();
    std::vector<uint8_t*> table;
    for (uint64_t done = 0; done < rows; done += rows_in_chunk) {
        const uint64_t held = rows - done < rows_in_chunk ? rows - done : rows_in_chunk;
        h->chunks.emplace_back();
        const bool in_host = rows - done - held < h->host_rows;
        OGV_TRY(h->chunks.back().reserve(held * inner, in_host), in_host ? "pinned memory" : "memory for the matrix");
        table.push_back(h->chunks.back().as<uint8_t>());
    }
    OGV_TRY(h->chunk_table.reserve(table.size() * sizeof table[0]), "table of the matrix");
    OGV_TRY(runtime::to_device(h->chunk_table.as<uint8_t*>(), table.data(), table.size() * sizeof table[0]), "table");
    const Matrix matrix = {h->chunk_table.as<uint8_t*>(), rows, rows_in_chunk, inner};
    runtime::Stopwatch stopwatch;
    OGV_LAUNCH(ogv::fill_rows, blocks_for(rows, ogv::FILL_THREADS), ogv::FILL_THREADS, matrix, seed_of(seed),
               chain_length);
    OGV_PASS(launched("fill"));
    OGV_TRY(runtime::synchronize(), "fill");
    h->matrix = matrix;
    h->timings.fill = stopwatch.seconds();
    return 0;
}

int ogv_hold_in_host(ogv_handle* h, uint64_t rows) {
    h->host_rows = rows;
    return 0;
}

int ogv_host_bytes(const ogv_handle* h, uint64_t* bytes) {
    *bytes = 0;
    for (const Buffer& chunk : h->chunks) {
        *bytes += chunk.host_bytes();
    }
    return 0;
}

int ogv_sweep(ogv_handle* h, const uint8_t* operand_key, const uint8_t* mask_key, uint32_t columns, uint32_t tile_rows,
              uint32_t cut, uint8_t* upper_levels, uint64_t upper_bytes) {
    OGV_PASS(check_round(h, columns, tile_rows));
    OGV_TRY(runtime::select(h->device), "device");
    const uint64_t tiles = h->matrix.rows / tile_rows, nodes = padded(tiles);
    OGV_REQUIRE(cut < 64 && nodes >> cut > 0 && upper_bytes == 32 * (2 * (nodes >> cut) - 1), OGV_BAD_ARGUMENT, "cut");
    runtime::Stopwatch stopwatch;
    ogv::Round round;
    OGV_PASS(prepare_round(h, operand_key, mask_key, columns, &round));
    OGV_TRY(h->levels[0].reserve(32 * nodes), "leaves");
    OGV_TRY(h->levels[1].reserve(16 * nodes + 32), "tree");
    uint8_t* leaves = h->levels[0].as<uint8_t>();
    OGV_TRY(runtime::clear(leaves + 32 * tiles, 32 * (nodes - tiles)), "padding");
    for (uint64_t tile = 0; tile < tiles; tile += BATCH_TILES) {
        const uint64_t count = tiles - tile < BATCH_TILES ? tiles - tile : BATCH_TILES;
        OGV_PASS(leaves_of(h, round, tile_rows, tile, count, leaves + 32 * tile));
    }
    OGV_PASS(join_levels(h, nodes, cut, upper_levels));
    OGV_TRY(runtime::synchronize(), "sweep");
    h->timings.sweep = stopwatch.seconds();
    return 0;
}

int ogv_open_tiles(ogv_handle* h, const uint8_t* operand_key, const uint8_t* mask_key, uint32_t columns,
                   uint32_t tile_rows, uint64_t first_tile, uint64_t tiles, uint8_t* leaves) {
    OGV_PASS(check_round(h, columns, tile_rows));
    const uint64_t there = h->matrix.rows / tile_rows;
    OGV_REQUIRE(tiles > 0 && first_tile < there && tiles <= there - first_tile, OGV_BAD_ARGUMENT, "tiles");
    OGV_TRY(runtime::select(h->device), "device");
    ogv::Round round;
    OGV_PASS(prepare_round(h, operand_key, mask_key, columns, &round));
    OGV_TRY(h->levels[0].reserve(32 * tiles), "leaves");
    OGV_PASS(leaves_of(h, round, tile_rows, first_tile, tiles, h->levels[0].as<uint8_t>()));
    OGV_TRY(runtime::from_device(leaves, h->levels[0].as<uint8_t>(), 32 * tiles), "leaves");
    return 0;
}

int ogv_lock_scan(ogv_handle* h, const uint8_t* operand_key, const uint8_t* mask_key, uint32_t columns,
                  const uint8_t* salt, const uint8_t* tags, uint32_t tag_count, uint8_t* fingerprints, uint8_t* found) {
    OGV_PASS(check_round(h, columns, 1));
    OGV_REQUIRE(tag_count > 0, OGV_BAD_ARGUMENT, "tags");
    OGV_TRY(runtime::select(h->device), "device");
    ogv::Round round;
    OGV_PASS(prepare_round(h, operand_key, mask_key, columns, &round));
    OGV_TRY(h->tags.reserve(16ull * tag_count), "tags");
    OGV_TRY(h->matches.reserve(16ull * tag_count), "matches");
    OGV_TRY(h->found.reserve(tag_count), "matches");
    OGV_TRY(runtime::to_device(h->tags.as<uint8_t>(), tags, 16ull * tag_count), "tags");
    OGV_TRY(runtime::clear(h->matches.as<uint8_t>(), 16ull * tag_count), "matches");
    OGV_TRY(runtime::clear(h->found.as<uint8_t>(), tag_count), "matches");
    ogv::Tag salted;
    memcpy(salted.bytes, salt, sizeof salted.bytes);
    const uint64_t batch = BATCH_TILES * 16;
    for (uint64_t row = 0; row < h->matrix.rows; row += batch) {
        const uint64_t rows = h->matrix.rows - row < batch ? h->matrix.rows - row : batch;
        OGV_PASS(fingerprint(h, round, row, rows));
        OGV_LAUNCH(ogv::find_tags, blocks_for(rows, PLAIN_THREADS), PLAIN_THREADS, h->fingerprints.as<Fingerprint>(),
                   rows, salted, h->tags.as<ogv::Tag>(), tag_count, h->matches.as<Fingerprint>(),
                   h->found.as<uint8_t>());
        OGV_PASS(launched("lock"));
    }
    OGV_TRY(runtime::from_device(fingerprints, h->matches.as<uint8_t>(), 16ull * tag_count), "matches");
    OGV_TRY(runtime::from_device(found, h->found.as<uint8_t>(), tag_count), "matches");
    return 0;
}

int ogv_chase(ogv_handle* h, uint64_t* states, uint32_t groups, uint32_t lanes, uint64_t steps, uint8_t* log) {
    OGV_REQUIRE(h->matrix.rows != 0, OGV_OUT_OF_ORDER, "fill first");
    OGV_REQUIRE(groups > 0 && lanes > 0 && lanes <= 1024 && steps > 0, OGV_BAD_ARGUMENT, "chase");
    OGV_TRY(runtime::select(h->device), "device");
    runtime::Stopwatch stopwatch;
    OGV_TRY(h->states.reserve(sizeof(ogv::State) * groups), "states");
    OGV_TRY(h->log.reserve(sizeof(ogv::State) * groups * (steps < LOG_STEPS ? steps : LOG_STEPS)), "log");
    OGV_TRY(runtime::to_device(h->states.as<uint64_t>(), states, sizeof(ogv::State) * groups), "states");
    for (uint64_t done = 0; done < steps; done += LOG_STEPS) {
        const uint64_t count = steps - done < LOG_STEPS ? steps - done : LOG_STEPS;
        OGV_LAUNCH(ogv::chase_steps, groups, (lanes + 31) / 32 * 32, h->matrix, h->states.as<ogv::State>(), lanes, count,
                   h->log.as<ogv::State>());
        OGV_PASS(launched("chase"));
        for (uint32_t group = 0; group < groups; group++) {
            OGV_TRY(runtime::from_device(log + 16 * (group * steps + done), h->log.as<ogv::State>() + group * count,
                                         16 * count), "log");
        }
    }
    OGV_TRY(runtime::from_device(states, h->states.as<uint64_t>(), sizeof(ogv::State) * groups), "states");
    h->timings.chase = stopwatch.seconds();
    return 0;
}

int ogv_matmul_commit(ogv_handle* h, const uint8_t* left_key, const uint8_t* right_key, uint32_t inner,
                      uint8_t* leaves) {
    OGV_REQUIRE(inner > 0 && inner <= 131071, OGV_BAD_ARGUMENT, "inner");
    OGV_TRY(runtime::select(h->device), "device");
    runtime::Stopwatch stopwatch;
    const uint32_t stride = (inner + 15) / 16 * 16;
    const uint64_t blocks = blocks_for(inner, ogv::BLOCK_ROWS) * blocks_for(inner, ogv::DENSE_COLUMNS);
    h->dense_side = 0;
    OGV_TRY(h->product.reserve(4ull * inner * inner), "product");
    OGV_TRY(h->image.reserve(32ull * inner), "leaves");
    OGV_PASS(prepare_dense(h, left_key, right_key, inner, stride));
    OGV_LAUNCH(ogv::multiply_dense, blocks, ogv::PRODUCT_THREADS, h->dense_left.as<uint8_t>(),
               h->dense_right.as<uint8_t>(), inner, stride, h->product.as<int32_t>());
    OGV_LAUNCH(ogv::hash_product_rows, blocks_for(inner, PLAIN_THREADS), PLAIN_THREADS, h->product.as<int32_t>(), inner,
               h->image.as<uint8_t>());
    OGV_PASS(launched("product"));
    OGV_TRY(runtime::from_device(leaves, h->image.as<uint8_t>(), 32ull * inner), "leaves");
    h->dense_side = inner;
    h->timings.matmul = stopwatch.seconds();
    return 0;
}

int ogv_matmul_image(ogv_handle* h, const uint64_t* vector, uint64_t* image) {
    OGV_REQUIRE(h->dense_side != 0, OGV_OUT_OF_ORDER, "commit first");
    OGV_TRY(runtime::select(h->device), "device");
    OGV_TRY(h->vector.reserve(8ull * h->dense_side), "vector");
    OGV_TRY(runtime::to_device(h->vector.as<uint64_t>(), vector, 8ull * h->dense_side), "vector");
    OGV_LAUNCH(ogv::multiply_vector, blocks_for(h->dense_side, PLAIN_THREADS), PLAIN_THREADS, h->product.as<int32_t>(),
               h->dense_side, h->vector.as<uint64_t>(), h->image.as<uint64_t>());
    OGV_PASS(launched("image"));
    OGV_TRY(runtime::from_device(image, h->image.as<uint64_t>(), 8ull * h->dense_side), "image");
    return 0;
}

int ogv_matmul_row(ogv_handle* h, uint32_t row, int32_t* product) {
    OGV_REQUIRE(row < h->dense_side, OGV_BAD_ARGUMENT, "row");
    OGV_TRY(runtime::select(h->device), "device");
    OGV_TRY(runtime::from_device(product, h->product.as<int32_t>() + uint64_t(row) * h->dense_side, 4ull * h->dense_side),
            "row");
    return 0;
}

int ogv_copy(ogv_handle* h, uint64_t bytes, double* seconds) {
    OGV_REQUIRE(bytes > 0, OGV_BAD_ARGUMENT, "bytes");
    OGV_TRY(runtime::select(h->device), "device");
    Buffer source, target;
    OGV_TRY(source.reserve(bytes), "memory for a copy");
    OGV_TRY(target.reserve(bytes), "memory for a copy");
    // Zeros may be copied faster than what a matrix is made of.
    const uint8_t key[32] = {};
    OGV_PASS(write_stream(key, source.as<uint8_t>(), bytes));
    runtime::Stopwatch stopwatch;
    OGV_TRY(runtime::on_device(target.as<uint8_t>(), source.as<uint8_t>(), bytes), "copy");
    *seconds = stopwatch.seconds();
    return 0;
}

} // extern "C"
