// What the kernels need of CUDA, under the same names as the emulation has. No logic of the protocol.
#pragma once

#include <cuda_runtime.h>
#include <stdint.h>
#include <string.h>

#define OGV_KERNEL static __global__ void
#define OGV_DEVICE static __device__ __forceinline__
#define OGV_DEVICE_CALL static __device__ __noinline__
#define OGV_SHARED __shared__
#define OGV_CONSTANT static __constant__
#define OGV_UNROLL _Pragma("unroll")
#define OGV_LAUNCH(kernel, blocks, threads, ...) kernel<<<unsigned(blocks), threads>>>(__VA_ARGS__)

namespace platform {

using Quad = uint4;

OGV_DEVICE unsigned thread_index() { return threadIdx.x; }
OGV_DEVICE unsigned block_index() { return blockIdx.x; }
OGV_DEVICE unsigned block_size() { return blockDim.x; }
OGV_DEVICE void synchronize_block() { __syncthreads(); }
OGV_DEVICE uint64_t multiply_high(uint64_t left, uint64_t right) { return __umul64hi(left, right); }
OGV_DEVICE uint64_t shuffle_xor(uint64_t value, unsigned mask) {
    return __shfl_xor_sync(0xFFFFFFFFu, (unsigned long long)value, mask);
}

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
#define OGV_WIDE_PRODUCTS
#endif

// 16 rows by 32 times 32 by 8 columns, since sm_80.
OGV_DEVICE void multiply_wide(int32_t* sums, const uint32_t* left, const uint32_t* right) {
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+r"(sums[0]), "+r"(sums[1]), "+r"(sums[2]), "+r"(sums[3])
                 : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right[0]), "r"(right[1]));
}

// 8 rows by 16 times 16 by 8 columns, which sm_75 has too.
OGV_DEVICE void multiply_narrow(int32_t* sums, uint32_t left, uint32_t right) {
    asm volatile("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0,%1}, {%2}, {%3}, {%0,%1};"
                 : "+r"(sums[0]), "+r"(sums[1])
                 : "r"(left), "r"(right));
}

OGV_DEVICE void copy_async(void* shared, const void* global, bool is_there) {
#if __CUDA_ARCH__ >= 800
    const uint32_t bytes = is_there ? sizeof(Quad) : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :: "r"(uint32_t(__cvta_generic_to_shared(shared))), "l"(global), "r"(bytes) : "memory");
#else
    *static_cast<Quad*>(shared) = is_there ? *static_cast<const Quad*>(global) : make_uint4(0, 0, 0, 0);
#endif
}

OGV_DEVICE void commit_copies() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// All groups but the newest one are in shared memory.
OGV_DEVICE void wait_for_copies() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group 1;" ::: "memory");
#endif
}

} // namespace platform
