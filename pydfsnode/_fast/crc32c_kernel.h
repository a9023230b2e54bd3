/* CRC-32C (Castagnoli, reflected polynomial 0x82F63B78) on bytes; the only C of the project.
 *
 * crc32c_setup() must have returned once before any other call; afterwards every function is pure,
 * needs no Python and may run on any thread without the GIL.
 */
#ifndef PYDFSNODE_CRC32C_KERNEL_H
#define PYDFSNODE_CRC32C_KERNEL_H

#include <stddef.h>
#include <stdint.h>

/* Fill the tables and choose the fastest kernel that this processor has. */
void crc32c_setup(void);

/* The CRC of `size` bytes at `bytes`, continued from `value` (0 at the start of a message). */
uint32_t crc32c_extend(uint32_t value, const uint8_t *bytes, size_t size);

/* The CRC of A followed by B, from the CRC of A, the CRC of B and the size of B. */
uint32_t crc32c_joined(uint32_t first, uint32_t second, uint64_t second_size);

/* The kernel in use: "avx512+vpclmul", "sse4.2+pclmul", "sse4.2", "armv8" or "portable". */
const char *crc32c_kernel_name(void);

/* Tests only: use one of this processor's kernels, 0 is the portable one, the last is the fastest.
 * 0: there are not so many. */
int crc32c_force(int number);

#endif
