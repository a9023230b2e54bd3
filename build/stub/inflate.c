/* Raw inflate (RFC 1951) from memory to memory, written so that the launcher needs libc alone
 * (zlib's static library is a separate Debian package). A table of 10 bits decodes nearly every
 * symbol in one look; longer codes fall back to the canonical walk over the lengths. */
#include "stub.h"

#include <string.h>

enum { CODE_BITS_MAX = 15, LOOK_BITS = 10, LITERALS = 288, DISTANCES = 30, END_OF_BLOCK = 256 };

struct reader {
    const uint8_t *in, *end;
    uint64_t hold;
    int bits;
};

struct code {
    uint16_t look[1 << LOOK_BITS]; /* length << 12 | symbol; 0: longer than LOOK_BITS or unused */
    uint16_t count[CODE_BITS_MAX + 1];
    uint16_t symbol[LITERALS];
};

static void refill(struct reader *r)
{
    while (r->bits <= 56 && r->in < r->end) {
        r->hold |= (uint64_t)*r->in++ << r->bits;
        r->bits += 8;
    }
}

/* The next n <= 16 bits, or -1 when the input has ended. */
static int take(struct reader *r, int n)
{
    refill(r);
    if (r->bits < n)
        return -1;
    int value = (int)(r->hold & ((1u << n) - 1));
    r->hold >>= n;
    r->bits -= n;
    return value;
}

static unsigned reversed(unsigned value, int bits)
{
    unsigned out = 0;
    for (; bits > 0; bits--, value >>= 1)
        out = out << 1 | (value & 1);
    return out;
}

/* Builds the canonical code of `lengths`. Returns 0, or -1 for an over-subscribed set. */
static int build(struct code *c, const uint8_t *lengths, int n)
{
    unsigned offset[CODE_BITS_MAX + 2] = {0}, next[CODE_BITS_MAX + 2] = {0};
    memset(c, 0, sizeof *c);
    for (int s = 0; s < n; s++)
        c->count[lengths[s]]++;
    c->count[0] = 0;
    int left = 1;
    for (int len = 1; len <= CODE_BITS_MAX; len++) {
        left = (left << 1) - c->count[len];
        if (left < 0)
            return -1;
        offset[len + 1] = offset[len] + c->count[len];
        next[len + 1] = (next[len] + c->count[len]) << 1;
    }
    for (int s = 0; s < n; s++) {
        int len = lengths[s];
        if (len == 0)
            continue;
        c->symbol[offset[len]++] = (uint16_t)s;
        unsigned bits = reversed(next[len]++, len);
        if (len <= LOOK_BITS)
            for (unsigned at = bits; at < 1u << LOOK_BITS; at += 1u << len)
                c->look[at] = (uint16_t)(len << 12 | s);
    }
    return 0;
}

static int decode(struct reader *r, const struct code *c)
{
    refill(r);
    unsigned entry = c->look[r->hold & ((1u << LOOK_BITS) - 1)];
    if (entry != 0) {
        int len = (int)(entry >> 12);
        if (len > r->bits)
            return -1;
        r->hold >>= len;
        r->bits -= len;
        return (int)(entry & 0xfff);
    }
    int code = 0, first = 0, index = 0;
    uint64_t hold = r->hold;
    for (int len = 1; len <= CODE_BITS_MAX && len <= r->bits; len++, hold >>= 1) {
        code |= (int)(hold & 1);
        int count = c->count[len];
        if (code - count < first) {
            r->hold >>= len;
            r->bits -= len;
            return c->symbol[index + (code - first)];
        }
        index += count;
        first = (first + count) << 1;
        code <<= 1;
    }
    return -1;
}

static const uint16_t LENGTH_BASE[29] = {
    3,  4,  5,  6,  7,  8,  9,  10, 11, 13,  15,  17,  19,  23, 27,
    31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
static const uint8_t LENGTH_BITS[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                        2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
static const uint16_t DISTANCE_BASE[DISTANCES] = {
    1,   2,   3,   4,   5,   7,    9,    13,   17,   25,   33,   49,   65,    97,    129,
    193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
static const uint8_t DISTANCE_BITS[DISTANCES] = {
    0, 0, 0, 0, 1, 1, 2, 2, 3,  3,  4,  4,  5,  5,  6,
    6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13};

/* Decodes one compressed block to out[*at ..]. Returns 0 or -1. */
static int block(struct reader *r, const struct code *literal, const struct code *distance,
                 uint8_t *out, size_t out_size, size_t *at)
{
    for (;;) {
        int symbol = decode(r, literal);
        if (symbol < 0)
            return -1;
        if (symbol < END_OF_BLOCK) {
            if (*at >= out_size)
                return -1;
            out[(*at)++] = (uint8_t)symbol;
            continue;
        }
        if (symbol == END_OF_BLOCK)
            return 0;
        symbol -= END_OF_BLOCK + 1;
        if (symbol >= 29)
            return -1;
        int extra = take(r, LENGTH_BITS[symbol]);
        int code = decode(r, distance);
        if (extra < 0 || code < 0 || code >= DISTANCES)
            return -1;
        int extra_distance = take(r, DISTANCE_BITS[code]);
        size_t length = (size_t)LENGTH_BASE[symbol] + (size_t)extra;
        size_t back = (size_t)DISTANCE_BASE[code] + (size_t)extra_distance;
        if (extra_distance < 0 || back > *at || length > out_size - *at)
            return -1;
        if (back >= length) {
            memcpy(out + *at, out + *at - back, length);
            *at += length;
        } else {
            for (; length > 0; length--, (*at)++) /* the copy overlaps itself: it repeats */
                out[*at] = out[*at - back];
        }
    }
}

static int dynamic_codes(struct reader *r, struct code *literal, struct code *distance)
{
    static const uint8_t ORDER[19] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                      11, 4,  12, 3, 13, 2, 14, 1, 15};
    uint8_t lengths[LITERALS + 32] = {0};
    int literals = take(r, 5), distances = take(r, 5), codes = take(r, 4);
    if (literals < 0 || distances < 0 || codes < 0)
        return -1;
    literals += 257, distances += 1, codes += 4;
    if (literals > 286 || distances > DISTANCES)
        return -1;
    for (int i = 0; i < codes; i++) {
        int length = take(r, 3);
        if (length < 0)
            return -1;
        lengths[ORDER[i]] = (uint8_t)length;
    }
    if (build(literal, lengths, 19) != 0)
        return -1;
    memset(lengths, 0, sizeof lengths);
    for (int i = 0; i < literals + distances;) {
        int symbol = decode(r, literal), times = 1;
        uint8_t length = 0;
        if (symbol < 0 || (symbol == 16 && i == 0))
            return -1;
        if (symbol < 16)
            length = (uint8_t)symbol;
        else if (symbol == 16)
            length = lengths[i - 1], times = 3 + take(r, 2);
        else
            times = symbol == 17 ? 3 + take(r, 3) : 11 + take(r, 7);
        if (times > literals + distances - i)
            return -1;
        for (; times > 0; times--)
            lengths[i++] = length;
    }
    if (lengths[END_OF_BLOCK] == 0)
        return -1;
    return build(literal, lengths, literals) | build(distance, lengths + literals, distances);
}

static void fixed_codes(struct code *literal, struct code *distance)
{
    uint8_t lengths[LITERALS];
    for (int s = 0; s < LITERALS; s++)
        lengths[s] = s < 144 ? 8 : s < 256 ? 9 : s < 280 ? 7 : 8;
    build(literal, lengths, LITERALS);
    memset(lengths, 5, DISTANCES);
    build(distance, lengths, DISTANCES);
}

static int stored(struct reader *r, uint8_t *out, size_t out_size, size_t *at)
{
    take(r, r->bits % 8);
    int length = take(r, 16), complement = take(r, 16);
    if (length < 0 || complement != (length ^ 0xffff) || (size_t)length > out_size - *at)
        return -1;
    for (; length > 0; length--) {
        int byte = take(r, 8);
        if (byte < 0)
            return -1;
        out[(*at)++] = (uint8_t)byte;
    }
    return 0;
}

long inflate_raw(const uint8_t *in, size_t in_size, uint8_t *out, size_t out_size)
{
    static struct code literal, distance;
    struct reader r = {in, in + in_size, 0, 0};
    size_t at = 0;
    for (int last = 0; !last;) {
        last = take(&r, 1);
        int type = take(&r, 2), result = -1;
        if (last < 0 || type < 0)
            return -1;
        if (type == 0) {
            result = stored(&r, out, out_size, &at);
        } else if (type == 1) {
            fixed_codes(&literal, &distance);
            result = block(&r, &literal, &distance, out, out_size, &at);
        } else if (type == 2 && dynamic_codes(&r, &literal, &distance) == 0) {
            result = block(&r, &literal, &distance, out, out_size, &at);
        }
        if (result != 0)
            return -1;
    }
    return (long)at;
}
