// The plain C interface of the CUDA library (libogv.so). Nothing throws or exits; every call answers with a status.
//
// Status 0 is success, a positive one is the CUDA runtime's error number, a negative one is ours; ogv_last_error says
// it in words for the calling thread. Keys, seeds and digests are 32 bytes. Buffers belong to the caller and hold host
// memory. A handle is for one thread at a time.
#ifndef OGV_H
#define OGV_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define OGV_ABI_VERSION 2
#define OGV_BAD_ARGUMENT (-1)
#define OGV_OUT_OF_ORDER (-2)

typedef struct {
    char name[64];
    uint8_t uuid[16];
    uint64_t memory_bytes;
    uint64_t processors;
    uint64_t clock_khz;
    uint64_t max_threads;
    int32_t major;
    int32_t minor;
    int32_t ecc;
    int32_t emulated; // 1 in the build without CUDA, whose "device" is this machine's CPU
} ogv_device_info_t;

// Seconds of the last call of each kind by the device's clock, for operators; a verifier believes only his own.
typedef struct {
    double fill;
    double sweep;
    double chase;
    double matmul;
} ogv_timings_t;

typedef struct ogv_handle ogv_handle;

uint32_t ogv_abi_version(void);
const char* ogv_last_error(void);
int ogv_device_count(uint32_t* count);
int ogv_device_info(uint32_t index, ogv_device_info_t* info);

// The matrix is allocated in pieces of at most chunk_bytes, rounded to whole blocks of rows.
int ogv_open(uint32_t index, uint64_t chunk_bytes, ogv_handle** handle);
void ogv_close(ogv_handle* handle);
int ogv_timings(const ogv_handle* handle, ogv_timings_t* timings);

// The label matrix; inner is a multiple of 32.
int ogv_fill(ogv_handle* handle, const uint8_t* seed, uint64_t rows, uint32_t inner, uint32_t chain_length);

// For calibration, before a fill: what a cheat costs who holds the last rows, in whole pieces of the matrix, in pinned
// memory of the host, where the device's kernels read them over its bus. The second call says how many bytes those are.
int ogv_hold_in_host(ogv_handle* handle, uint64_t rows);
int ogv_host_bytes(const ogv_handle* handle, uint64_t* bytes);

// One round: all levels of its tree from level `cut` (0 is the leaves) to the root, one after the other.
int ogv_sweep(ogv_handle* handle, const uint8_t* operand_key, const uint8_t* mask_key, uint32_t columns,
              uint32_t tile_rows, uint32_t cut, uint8_t* upper_levels, uint64_t upper_bytes);

// Leaves of some tiles of a round, made again.
int ogv_open_tiles(ogv_handle* handle, const uint8_t* operand_key, const uint8_t* mask_key, uint32_t columns,
                   uint32_t tile_rows, uint64_t first_tile, uint64_t tiles, uint8_t* leaves);

// Fingerprints (16 bytes each) of the rows that some tags (16 bytes each) belong to; found[i] is 1 where one was.
int ogv_lock_scan(ogv_handle* handle, const uint8_t* operand_key, const uint8_t* mask_key, uint32_t columns,
                  const uint8_t* salt, const uint8_t* tags, uint32_t tag_count, uint8_t* fingerprints, uint8_t* found);

// Steps of all groups; states (two words for each group) go in and out, the log has 16 bytes for each step of a group.
int ogv_chase(ogv_handle* handle, uint64_t* states, uint32_t groups, uint32_t lanes, uint64_t steps, uint8_t* log);

// The dense product stays on the device; leaves has a digest for each row.
int ogv_matmul_commit(ogv_handle* handle, const uint8_t* left_key, const uint8_t* right_key, uint32_t inner,
                      uint8_t* leaves);
// Product times a vector of residues modulo 2^61 - 1.
int ogv_matmul_image(ogv_handle* handle, const uint64_t* vector, uint64_t* image);
int ogv_matmul_row(ogv_handle* handle, uint32_t row, int32_t* product);

// Seconds of one copy of so many bytes inside the device: the ceiling of what a sweep can read.
int ogv_copy(ogv_handle* handle, uint64_t bytes, double* seconds);

#ifdef __cplusplus
}
#endif
#endif
