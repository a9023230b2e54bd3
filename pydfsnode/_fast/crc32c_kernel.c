/* CRC-32C kernels: portable slice-by-8, SSE4.2 (with PCLMUL three streams at once), AVX-512 with
 * VPCLMULQDQ (sixteen registers of 128 bits at once), ARMv8.
 *
 * A kernel takes and returns the inverted register ("raw"), so that its parts compose linearly:
 * raw(state, A then B) = shift(raw(state, A), size of B) xor raw(0, B).
 * No -march flag: each kernel names its own target and is chosen at run time, so one build runs
 * everywhere. The instructions take 8-byte words as little-endian machines load them; the portable
 * kernel loads bytes.
 */
#include "crc32c_kernel.h"

#include <string.h>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define CRC32C_X86 1
#include <immintrin.h>
#elif defined(__AARCH64EL__) && defined(__linux__) && defined(__GNUC__)
#define CRC32C_ARM 1
#include <sys/auxv.h>
#endif

#define POLYNOMIAL 0x82F63B78u /* reflected: the highest bit is x^0 */
#define X_POW_0 0x80000000u
#define POWERS 67 /* the bits of a u64, times 8 */

static uint32_t slices[8][256];
static uint32_t x_pow_2_pow[POWERS]; /* x^(2^k) mod P */

/* ---- arithmetic of polynomials over GF(2) modulo P, as in zlib's crc32_combine */

static uint32_t multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (uint32_t bit = X_POW_0; bit != 0; bit >>= 1) {
        if (a & bit)
            product ^= b;
        b = (b & 1) ? (b >> 1) ^ POLYNOMIAL : b >> 1;
    }
    return product;
}

/* x^(exponent * 2^k) mod P */
static uint32_t x_pow(uint64_t exponent, int k)
{
    uint32_t product = X_POW_0;
    for (; exponent != 0; exponent >>= 1, k++)
        if (exponent & 1)
            product = multiply(x_pow_2_pow[k], product);
    return product;
}

/* ---- portable: eight table lookups for eight bytes (Kounavis and Berry's slicing) */

static uint32_t extend_portable(uint32_t raw, const uint8_t *p, size_t size)
{
    for (; size >= 8; size -= 8, p += 8) {
        uint32_t low = raw ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16
                              | (uint32_t)p[3] << 24);
        raw = slices[7][low & 0xff] ^ slices[6][(low >> 8) & 0xff] ^ slices[5][(low >> 16) & 0xff]
              ^ slices[4][low >> 24] ^ slices[3][p[4]] ^ slices[2][p[5]] ^ slices[1][p[6]]
              ^ slices[0][p[7]];
    }
    for (; size != 0; size--, p++)
        raw = slices[0][(raw ^ *p) & 0xff] ^ (raw >> 8);
    return raw;
}

#if defined(CRC32C_X86) || defined(CRC32C_ARM)
static inline uint64_t load_8(const uint8_t *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}
#endif

/* ---- x86: crc32 takes 3 cycles, but one can start each cycle, hence three streams */

#ifdef CRC32C_X86

#define STREAM_WORDS_MAX 128

/* shifts[n][0 or 1]: multiplying by it moves a raw register past n (or 2n) words of 8 bytes. */
static uint32_t shifts[STREAM_WORDS_MAX + 1][2];

__attribute__((target("sse4.2,crc32"))) static uint32_t
extend_sse42(uint32_t raw, const uint8_t *p, size_t size)
{
    uint64_t state = raw;
    for (; size >= 8; size -= 8, p += 8)
        state = _mm_crc32_u64(state, load_8(p));
    for (; size != 0; size--, p++)
        state = _mm_crc32_u8((uint32_t)state, *p);
    return (uint32_t)state;
}

/* A carry-less product of reflected 32-bit numbers is 63 bits in a register of 64, so it counts one
 * power of x more; folding it with crc32 adds 32. The factors in `shifts` are 33 powers short. */
__attribute__((target("sse4.2,crc32,pclmul"))) static uint64_t
shifted(uint64_t raw, uint32_t factor)
{
    __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)raw),
                                           _mm_cvtsi64_si128((int64_t)factor), 0);
    return (uint64_t)_mm_cvtsi128_si64(product);
}

__attribute__((target("sse4.2,crc32,pclmul"))) static uint32_t
extend_three_streams(uint32_t raw, const uint8_t *p, size_t size)
{
    while (size >= 48) {
        size_t words = size / 24;
        if (words > STREAM_WORDS_MAX)
            words = STREAM_WORDS_MAX;
        const uint8_t *q = p + 8 * words, *r = q + 8 * words, *end = q;
        uint64_t a = raw, b = 0, c = 0;
        for (; p != end; p += 8, q += 8, r += 8) {
            a = _mm_crc32_u64(a, load_8(p));
            b = _mm_crc32_u64(b, load_8(q));
            c = _mm_crc32_u64(c, load_8(r));
        }
        uint64_t folded = shifted(a, shifts[words][1]) ^ shifted(b, shifts[words][0]);
        raw = (uint32_t)(_mm_crc32_u64(0, folded) ^ c);
        p = r;
        size -= 24 * words;
    }
    return extend_sse42(raw, p, size);
}

/* ---- x86 with AVX-512: the message is folded into 16 bytes that have the same remainder
 * (Gopal et al., "Fast CRC Computation Using PCLMULQDQ", bit-reflected), which crc32 then takes. */

#define FOLD_TARGET __attribute__((target("avx512f,vpclmulqdq,pclmul,sse4.2,crc32")))
#define FOLD_BYTES_MIN 512

/* Multiplying the low and the high half of 16 bytes by it moves them past 256, 64 or 16 bytes. */
static uint64_t past_256[2], past_64[2], past_16[2];

FOLD_TARGET static inline __m512i fold(__m512i state, __m512i past, __m512i next)
{
    __m512i low = _mm512_clmulepi64_epi128(state, past, 0x00);
    __m512i high = _mm512_clmulepi64_epi128(state, past, 0x11);
    return _mm512_ternarylogic_epi64(low, high, next, 0x96); /* all three xored */
}

FOLD_TARGET static inline __m128i fold_lane(__m128i state, __m128i past, __m128i next)
{
    __m128i low = _mm_clmulepi64_si128(state, past, 0x00);
    __m128i high = _mm_clmulepi64_si128(state, past, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

FOLD_TARGET static inline __m512i in_all_lanes(const uint64_t *past)
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)past));
}

FOLD_TARGET static uint32_t extend_folding(uint32_t raw, const uint8_t *p, size_t size)
{
    if (size < FOLD_BYTES_MIN)
        return extend_three_streams(raw, p, size);
    __m512i a = _mm512_loadu_si512(p), b = _mm512_loadu_si512(p + 64);
    __m512i c = _mm512_loadu_si512(p + 128), d = _mm512_loadu_si512(p + 192);
    a = _mm512_xor_si512(a, _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)raw)));
    __m512i past = in_all_lanes(past_256);
    for (p += 256, size -= 256; size >= 256; p += 256, size -= 256) {
        a = fold(a, past, _mm512_loadu_si512(p));
        b = fold(b, past, _mm512_loadu_si512(p + 64));
        c = fold(c, past, _mm512_loadu_si512(p + 128));
        d = fold(d, past, _mm512_loadu_si512(p + 192));
    }
    past = in_all_lanes(past_64);
    d = fold(fold(fold(a, past, b), past, c), past, d);
    for (; size >= 64; p += 64, size -= 64)
        d = fold(d, past, _mm512_loadu_si512(p));
    __m128i lane = _mm512_castsi512_si128(d);
    __m128i past_lane = _mm_loadu_si128((const __m128i *)past_16);
    lane = fold_lane(lane, past_lane, _mm512_extracti32x4_epi32(d, 1));
    lane = fold_lane(lane, past_lane, _mm512_extracti32x4_epi32(d, 2));
    lane = fold_lane(lane, past_lane, _mm512_extracti32x4_epi32(d, 3));
    uint64_t state = _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(lane));
    state = _mm_crc32_u64(state, (uint64_t)_mm_extract_epi64(lane, 1));
    return extend_three_streams((uint32_t)state, p, size);
}

static void fill_past(uint64_t *past, uint64_t bytes)
{
    /* A product counts one power too few in 128 bits: hence the shift. */
    past[0] = (uint64_t)x_pow(8 * bytes + 32, 0) << 1;
    past[1] = (uint64_t)x_pow(8 * bytes - 32, 0) << 1;
}

static void fill_shifts(void)
{
    fill_past(past_256, 256);
    fill_past(past_64, 64);
    fill_past(past_16, 16);
    for (uint64_t words = 1; words <= STREAM_WORDS_MAX; words++) {
        shifts[words][0] = x_pow(64 * words - 33, 0);
        shifts[words][1] = x_pow(128 * words - 33, 0);
    }
}
#endif

/* ---- ARMv8 with the CRC extension */

#ifdef CRC32C_ARM
#define HWCAP_CRC32_BIT (1ul << 7)

/* Assembly, since compilers do not agree on names and targets of the intrinsics. */
static uint32_t extend_armv8(uint32_t raw, const uint8_t *p, size_t size)
{
    for (; size >= 8; size -= 8, p += 8)
        __asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1" : "+r"(raw) : "r"(load_8(p)));
    for (; size != 0; size--, p++)
        __asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1" : "+r"(raw) : "r"((uint32_t)*p));
    return raw;
}
#endif

/* ---- choice of the kernel */

struct kernel {
    const char *name;
    uint32_t (*extend)(uint32_t raw, const uint8_t *bytes, size_t size);
};

static const struct kernel portable = {"portable", extend_portable};
#ifdef CRC32C_X86
static const struct kernel sse42 = {"sse4.2", extend_sse42};
static const struct kernel sse42_pclmul = {"sse4.2+pclmul", extend_three_streams};
static const struct kernel avx512 = {"avx512+vpclmul", extend_folding};
#endif
#ifdef CRC32C_ARM
static const struct kernel armv8 = {"armv8", extend_armv8};
#endif

#define KERNELS_MAX 4

static const struct kernel *found[KERNELS_MAX] = {&portable}; /* of this processor, slowest first */
static int found_count = 1;
static const struct kernel *chosen = &portable;

static void fill_tables(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t raw = byte;
        for (int bit = 0; bit < 8; bit++)
            raw = (raw & 1) ? (raw >> 1) ^ POLYNOMIAL : raw >> 1;
        slices[0][byte] = raw;
    }
    for (int slice = 1; slice < 8; slice++)
        for (int byte = 0; byte < 256; byte++) {
            uint32_t raw = slices[slice - 1][byte];
            slices[slice][byte] = slices[0][raw & 0xff] ^ (raw >> 8);
        }
    uint32_t power = X_POW_0 >> 1; /* x^1 */
    for (int k = 0; k < POWERS; k++) {
        x_pow_2_pow[k] = power;
        power = multiply(power, power);
    }
}

void crc32c_setup(void)
{
    fill_tables();
#ifdef CRC32C_X86
    fill_shifts();
    __builtin_cpu_init();
    if (__builtin_cpu_supports("sse4.2"))
        found[found_count++] = &sse42;
    if (found_count == 2 && __builtin_cpu_supports("pclmul"))
        found[found_count++] = &sse42_pclmul;
    if (found_count == 3 && __builtin_cpu_supports("avx512f")
        && __builtin_cpu_supports("vpclmulqdq"))
        found[found_count++] = &avx512;
#endif
#ifdef CRC32C_ARM
    if (getauxval(AT_HWCAP) & HWCAP_CRC32_BIT)
        found[found_count++] = &armv8;
#endif
    chosen = found[found_count - 1];
}

int crc32c_force(int number)
{
    if (number < 0 || number >= found_count)
        return 0;
    chosen = found[number];
    return 1;
}

const char *crc32c_kernel_name(void)
{
    return chosen->name;
}

uint32_t crc32c_extend(uint32_t value, const uint8_t *bytes, size_t size)
{
    return ~chosen->extend(~value, bytes, size);
}

uint32_t crc32c_joined(uint32_t first, uint32_t second, uint64_t second_size)
{
    /* The two inversions cancel out. 8 bits a byte are the 2^3. */
    return multiply(x_pow(second_size, 3), first) ^ second;
}
