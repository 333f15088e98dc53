// Memory, clock and description of a device: the host's side of the platform. No logic of the protocol.
#pragma once

#include "ogv.h"
#include "platform.h"

namespace runtime {

#ifdef OGV_EMULATED

constexpr uint64_t EMULATED_BYTES = 1ull << 28;

inline int last_status() { return 0; }
inline const char* status_text(int) { return "error of the emulation"; }
inline int count_devices(uint32_t* count) { return *count = 1, 0; }
inline int select(uint32_t) { return 0; }
inline int synchronize() { return 0; }
inline int allocate(void** memory, uint64_t bytes) {
    *memory = bytes > EMULATED_BYTES ? nullptr : aligned_alloc(256, (bytes + 255) / 256 * 256);
    return *memory == nullptr ? 2 : 0;
}
inline int allocate_in_host(void** memory, uint64_t bytes) { return allocate(memory, bytes); }
inline void release(void* memory) { free(memory); }
inline void release_in_host(void* memory) { free(memory); }
inline int to_device(void* target, const void* source, uint64_t bytes) { return memcpy(target, source, bytes), 0; }
inline int from_device(void* target, const void* source, uint64_t bytes) { return memcpy(target, source, bytes), 0; }
inline int on_device(void* target, const void* source, uint64_t bytes) { return memcpy(target, source, bytes), 0; }
inline int clear(void* target, uint64_t bytes) { return memset(target, 0, bytes), 0; }

inline int describe(uint32_t, ogv_device_info_t* info) {
    snprintf(info->name, sizeof info->name, "SIMULATED emulation on the CPU");
    memset(info->uuid, 0xEE, sizeof info->uuid);
    info->memory_bytes = EMULATED_BYTES;
    info->processors = 1;
    info->max_threads = 1024;
    info->emulated = 1;
    return 0;
}

class Stopwatch {
  public:
    Stopwatch() : started_(emulation::now_seconds()) {}
    double seconds() { return emulation::now_seconds() - started_; }

  private:
    double started_;
};

#else

inline int last_status() { return int(cudaGetLastError()); }
inline const char* status_text(int status) { return cudaGetErrorString(cudaError_t(status)); }
inline int count_devices(uint32_t* count) {
    int found = 0;
    const int status = int(cudaGetDeviceCount(&found));
    *count = status == 0 ? uint32_t(found) : 0;
    return status;
}
inline int select(uint32_t index) { return int(cudaSetDevice(int(index))); }
inline int synchronize() { return int(cudaDeviceSynchronize()); }
inline int allocate(void** memory, uint64_t bytes) { return int(cudaMalloc(memory, bytes)); }
// Mapped into the device's addresses too, which are the host's own: kernels read it by the same pointer.
inline int allocate_in_host(void** memory, uint64_t bytes) {
    return int(cudaHostAlloc(memory, bytes, cudaHostAllocMapped | cudaHostAllocPortable));
}
inline void release(void* memory) { cudaFree(memory); }
inline void release_in_host(void* memory) { cudaFreeHost(memory); }
inline int to_device(void* target, const void* source, uint64_t bytes) {
    return int(cudaMemcpy(target, source, bytes, cudaMemcpyHostToDevice));
}
inline int from_device(void* target, const void* source, uint64_t bytes) {
    return int(cudaMemcpy(target, source, bytes, cudaMemcpyDeviceToHost));
}
inline int on_device(void* target, const void* source, uint64_t bytes) {
    return int(cudaMemcpy(target, source, bytes, cudaMemcpyDeviceToDevice));
}
inline int clear(void* target, uint64_t bytes) { return int(cudaMemset(target, 0, bytes)); }

inline int describe(uint32_t index, ogv_device_info_t* info) {
    cudaDeviceProp found;
    int clock_khz = 0;
    int status = int(cudaGetDeviceProperties(&found, int(index)));
    if (status == 0) {
        // The member of the properties is gone since CUDA 13; the attribute is not.
        status = int(cudaDeviceGetAttribute(&clock_khz, cudaDevAttrClockRate, int(index)));
    }
    if (status != 0) {
        return status;
    }
    strncpy(info->name, found.name, sizeof info->name - 1);
    memcpy(info->uuid, found.uuid.bytes, sizeof info->uuid);
    info->memory_bytes = found.totalGlobalMem;
    info->processors = uint64_t(found.multiProcessorCount);
    info->clock_khz = uint64_t(clock_khz);
    info->max_threads = uint64_t(found.maxThreadsPerBlock);
    info->major = found.major;
    info->minor = found.minor;
    info->ecc = found.ECCEnabled;
    return 0;
}

class Stopwatch {
  public:
    Stopwatch() {
        cudaEventCreate(&started_);
        cudaEventCreate(&ended_);
        cudaEventRecord(started_);
    }
    ~Stopwatch() {
        cudaEventDestroy(started_);
        cudaEventDestroy(ended_);
    }
    Stopwatch(const Stopwatch&) = delete;
    Stopwatch& operator=(const Stopwatch&) = delete;
    double seconds() {
        float milliseconds = 0;
        cudaEventRecord(ended_);
        cudaEventSynchronize(ended_);
        cudaEventElapsedTime(&milliseconds, started_, ended_);
        return 1e-3 * milliseconds;
    }

  private:
    cudaEvent_t started_, ended_;
};

#endif

// Memory of a device, or of the host for the device, given back at the end of its owner.
class Buffer {
  public:
    Buffer() = default;
    ~Buffer() { give_back(); }
    Buffer(Buffer&& other) noexcept : memory_(other.memory_), bytes_(other.bytes_), in_host_(other.in_host_) {
        other.memory_ = nullptr;
        other.bytes_ = 0;
    }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    // At least so many bytes; what was inside is lost when it grows or moves.
    int reserve(uint64_t bytes, bool in_host = false) {
        if (bytes <= bytes_ && in_host == in_host_) {
            return 0;
        }
        give_back();
        in_host_ = in_host;
        const int status = in_host ? allocate_in_host(&memory_, bytes) : allocate(&memory_, bytes);
        bytes_ = status == 0 ? bytes : 0;
        return status;
    }

    uint64_t host_bytes() const { return in_host_ ? bytes_ : 0; }

    template <typename T>
    T* as() const {
        return static_cast<T*>(memory_);
    }

  private:
    void give_back() {
        if (memory_ != nullptr) {
            in_host_ ? release_in_host(memory_) : release(memory_);
        }
        memory_ = nullptr;
        bytes_ = 0;
    }

    void* memory_ = nullptr;
    uint64_t bytes_ = 0;
    bool in_host_ = false;
};

} // namespace runtime
