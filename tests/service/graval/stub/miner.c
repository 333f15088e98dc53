// A STUB with the symbols of the official miner library, for tests of whoever binds it. Its answers are made up.
//
// Seeds with a meaning: 13 cannot be done, 99 ends the process, 7 gives a work product of an impossible size.
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    float* final_matrix;
    uint8_t** intermediate_hashes;
    size_t num_matrices, total_iterations;
} WorkProduct;

typedef struct {
    char name[64];
    char uuid[33];
    size_t memory, processors;
    double clock_rate;
    unsigned int max_threads_per_processor;
    WorkProduct* work_product;
    void *context, *queue, *program, *tanh_kernel, *downsample_kernel;
    bool opencl_initialized;
} DeviceInfo;

typedef struct {
    size_t length;
    unsigned long seed;
    uint8_t* ciphertext;
    uint8_t initialization_vector[16];
} Ciphertext;

_Static_assert(sizeof(DeviceInfo) == 192 && sizeof(WorkProduct) == 32 && sizeof(Ciphertext) == 40, "public layouts");

#define DEVICES 2
static DeviceInfo devices[DEVICES];
static unsigned freed;

unsigned int initialize_node(void) {
    printf("the stub prints to where answers might be expected\n");
    for (int i = 0; i < DEVICES; i++) {
        strcpy(devices[i].name, "STUB GPU");
        memset(devices[i].uuid, 'a' + i, 32);
        devices[i].memory = 1000 + i, devices[i].processors = 4, devices[i].clock_rate = 1500000.5;
        devices[i].max_threads_per_processor = 1024;
    }
    return getenv("STUB_SECRET") ? 0 : DEVICES;
}

unsigned int generate_challenge_matrices(unsigned long seed, unsigned long iterations) {
    if (seed == 99) abort();
    if (seed == 13) return 0;
    for (int i = 0; i < DEVICES; i++) {
        WorkProduct* product = calloc(1, sizeof *product);
        product->num_matrices = seed == 7 ? (size_t)1 << 40 : 3;
        product->total_iterations = iterations;
        product->intermediate_hashes = calloc(3 * iterations, sizeof(uint8_t*));
        for (size_t hash = 0; hash < 3 * iterations; hash++) {
            product->intermediate_hashes[hash] = malloc(32);
            memset(product->intermediate_hashes[hash], (int)(seed + hash + 16 * i), 32);
        }
        devices[i].work_product = product;
    }
    return 1;
}

// "Opens" by undoing an exclusive or with the vector; an empty text does not open.
char* miner_decrypt(Ciphertext* sealed, unsigned int device) {
    if (sealed->length == 0 || device >= DEVICES || sealed->initialization_vector[0] == 0) return NULL;
    char* text = calloc(sealed->length + 1, 1);
    for (size_t i = 0; i < sealed->length; i++) text[i] = sealed->ciphertext[i] ^ sealed->initialization_vector[i % 16];
    return text;
}

char* miner_device_info_challenge(char* challenge) {
    if (challenge[0] == '0') return NULL;
    char* answer = strdup(challenge);
    answer[0] = '5';
    return answer;
}

DeviceInfo* gather_device_info(unsigned int device, char* reason) {
    if (device < DEVICES) return &devices[device];
    snprintf(reason, 1024, "no such device");
    return NULL;
}

void shutdown_node(void) {}

// The handle's own `free` must be the one that is called.
extern void __libc_free(void*);
void free(void* memory) {
    freed++;
    __libc_free(memory);
}
unsigned stub_freed(void) { return freed; }
