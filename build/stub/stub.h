/* What the parts of the launcher share: errors, the payload's place, sha256, inflate, unpacking. */
#ifndef PYDFSNODE_STUB_H
#define PYDFSNODE_STUB_H

#include <stddef.h>
#include <stdint.h>

enum { STUB_PATH_BYTES_MAX = 4096, SHA256_BYTES = 32, SHA256_HEX_BYTES = 2 * SHA256_BYTES + 1 };

/* The last TRAILER_BYTES of the executable, little-endian; written by pack.py:
 * magic[8] "PYDFSPAK" | version u32 | reserved u32 | payload offset u64 | payload bytes u64
 * | unpacked bytes u64 | sha256[32] of the payload. */
enum { TRAILER_BYTES = 72, TRAILER_VERSION = 1 };

struct payload {
    const uint8_t *bytes; /* raw deflate of a ustar archive */
    size_t size;
    size_t unpacked_size;
    uint8_t sha256[SHA256_BYTES];
    char name[SHA256_HEX_BYTES]; /* sha256 in hex: the name of the unpacked directory */
};

/* Ends the process with one sentence on stderr. Exit status 70: internal (DESIGN section 7). */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

void sha256(const uint8_t *bytes, size_t size, uint8_t digest[SHA256_BYTES]);

/* Raw deflate (RFC 1951) from memory to memory. Returns the bytes written, or -1 when the input is
 * malformed, cut, or holds more than `out_size`. Never reads or writes outside both areas. */
long inflate_raw(const uint8_t *in, size_t in_size, uint8_t *out, size_t out_size);

/* Writes the files of a ustar archive below the directory `root`. NULL, or what is wrong. */
const char *untar(int root, const uint8_t *archive, size_t size);

/* Makes sure that the payload is unpacked in a cache directory that only this user (or root) could
 * have written, and writes that directory's path to `tree`. Ends the process when there is none. */
void cache_tree(const struct payload *payload, char tree[STUB_PATH_BYTES_MAX]);

#endif
