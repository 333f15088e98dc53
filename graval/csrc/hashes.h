// SHA-256, ChaCha20 and the integer mixers of the scheme, for one thread (spec graval 4.2).
#pragma once

#include "platform.h"

namespace ogv {

OGV_CONSTANT uint32_t ROUND_CONSTANTS[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

OGV_DEVICE uint32_t rotate_right(uint32_t value, int bits) { return (value >> bits) | (value << (32 - bits)); }
OGV_DEVICE uint32_t rotate_left(uint32_t value, int bits) { return (value << bits) | (value >> (32 - bits)); }
OGV_DEVICE uint32_t swap_bytes(uint32_t value) {
    return (value >> 24) | ((value >> 8) & 0xFF00u) | ((value << 8) & 0xFF0000u) | (value << 24);
}

OGV_DEVICE void start_hash(uint32_t* state) {
    state[0] = 0x6a09e667, state[1] = 0xbb67ae85, state[2] = 0x3c6ef372, state[3] = 0xa54ff53a;
    state[4] = 0x510e527f, state[5] = 0x9b05688c, state[6] = 0x1f83d9ab, state[7] = 0x5be0cd19;
}

// One compression; the message schedule is overwritten.
OGV_DEVICE void compress(uint32_t* state, uint32_t* schedule) {
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    OGV_UNROLL
    for (int round = 0; round < 64; round++) {
        uint32_t word = schedule[round & 15];
        if (round >= 16) {
            const uint32_t early = schedule[(round + 1) & 15], late = schedule[(round + 14) & 15];
            const uint32_t mixed_early = rotate_right(early, 7) ^ rotate_right(early, 18) ^ (early >> 3);
            const uint32_t mixed_late = rotate_right(late, 17) ^ rotate_right(late, 19) ^ (late >> 10);
            word += mixed_early + schedule[(round + 9) & 15] + mixed_late;
            schedule[round & 15] = word;
        }
        const uint32_t choice = (e & f) ^ (~e & g), majority = (a & b) ^ (a & c) ^ (b & c);
        const uint32_t from_e = rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25);
        const uint32_t from_a = rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22);
        const uint32_t first = h + from_e + choice + ROUND_CONSTANTS[round] + word;
        h = g, g = f, f = e, e = d + first, d = c, c = b, b = a, a = first + from_a + majority;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

// SHA-256 of a 32-byte digest, in place: one link of a label chain.
OGV_DEVICE void hash_digest(uint32_t* digest) {
    uint32_t schedule[16] = {digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7],
                             0x80000000u, 0, 0, 0, 0, 0, 0, 256};
    start_hash(digest);
    compress(digest, schedule);
}

// The same as a call: where it is rare, code size counts more than speed.
OGV_DEVICE_CALL void compress_once(uint32_t* state, uint32_t* schedule) { compress(state, schedule); }

// Hash of a message that comes byte by byte, for everything that is short or rare.
struct Hasher {
    uint32_t state[8];
    uint32_t words[16];
    uint64_t length;
};

OGV_DEVICE void open_hasher(Hasher& hasher) {
    start_hash(hasher.state);
    hasher.length = 0;
}

OGV_DEVICE void add_byte(Hasher& hasher, uint8_t byte) {
    const unsigned at = unsigned(hasher.length & 63), shift = 24 - 8 * (at & 3);
    hasher.words[at / 4] = (at & 3 ? hasher.words[at / 4] : 0) | uint32_t(byte) << shift;
    hasher.length++;
    if (at == 63) {
        compress_once(hasher.state, hasher.words);
    }
}

OGV_DEVICE void add_bytes(Hasher& hasher, const uint8_t* bytes, uint64_t count) {
    for (uint64_t index = 0; index < count; index++) {
        add_byte(hasher, bytes[index]);
    }
}

OGV_DEVICE void add_word64(Hasher& hasher, uint64_t value) {
    for (int shift = 0; shift < 64; shift += 8) {
        add_byte(hasher, uint8_t(value >> shift));
    }
}

OGV_DEVICE void close_hasher(Hasher& hasher, uint8_t* digest) {
    const uint64_t bits = hasher.length * 8;
    add_byte(hasher, 0x80);
    while ((hasher.length & 63) != 56) {
        add_byte(hasher, 0);
    }
    for (int shift = 56; shift >= 0; shift -= 8) {
        add_byte(hasher, uint8_t(bits >> shift));
    }
    for (int index = 0; index < 32; index++) {
        digest[index] = uint8_t(hasher.state[index / 4] >> (24 - 8 * (index & 3)));
    }
}

OGV_DEVICE void quarter_round(uint32_t& a, uint32_t& b, uint32_t& c, uint32_t& d) {
    a += b, d = rotate_left(d ^ a, 16), c += d, b = rotate_left(b ^ c, 12);
    a += b, d = rotate_left(d ^ a, 8), c += d, b = rotate_left(b ^ c, 7);
}

// Block number `counter` of the ChaCha20 stream with counter and nonce zero; words are little-endian, as memory is.
OGV_DEVICE void stream_block(const uint32_t* key, uint64_t counter, uint32_t* block) {
    uint32_t start[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574, key[0], key[1], key[2], key[3], key[4],
                          key[5], key[6], key[7], uint32_t(counter), uint32_t(counter >> 32), 0, 0};
    for (int index = 0; index < 16; index++) {
        block[index] = start[index];
    }
    for (int round = 0; round < 10; round++) {
        quarter_round(block[0], block[4], block[8], block[12]);
        quarter_round(block[1], block[5], block[9], block[13]);
        quarter_round(block[2], block[6], block[10], block[14]);
        quarter_round(block[3], block[7], block[11], block[15]);
        quarter_round(block[0], block[5], block[10], block[15]);
        quarter_round(block[1], block[6], block[11], block[12]);
        quarter_round(block[2], block[7], block[8], block[13]);
        quarter_round(block[3], block[4], block[9], block[14]);
    }
    for (int index = 0; index < 16; index++) {
        block[index] += start[index];
    }
}

OGV_DEVICE uint32_t fmix32(uint32_t value) {
    value = (value ^ (value >> 16)) * 0x85EBCA6Bu;
    value = (value ^ (value >> 13)) * 0xC2B2AE35u;
    return value ^ (value >> 16);
}

OGV_DEVICE uint64_t splitmix64(uint64_t value) {
    value += 0x9E3779B97F4A7C15ull;
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9ull;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EBull;
    return value ^ (value >> 31);
}

} // namespace ogv
