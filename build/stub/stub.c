/* pydfsnode's launcher: one file that holds a PyInstaller directory and becomes it by execv.
 *
 * The payload behind this program is unpacked once a user (cache.c); every later start is a few
 * stats and one execv. The pid stays the same and no second process exists: kill -9 of it ends the
 * node (docs/adr/0002). Works with an empty environment and without /proc. */
#define _GNU_SOURCE
#include "stub.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

_Noreturn void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("pydfsnode: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(70);
}

/* The path by which the kernel started this program; it needs neither argv[0] nor /proc. */
static const char *own_path(void)
{
    static char resolved[PATH_MAX];
    const char *started_as = (const char *)getauxval(AT_EXECFN);
    if (started_as == NULL || realpath(started_as, resolved) == NULL)
        die("cannot find this executable: %s", strerror(errno));
    return resolved;
}

static uint64_t u64(const uint8_t *at)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--)
        value = value << 8 | at[i];
    return value;
}

static struct payload open_payload(const char *path)
{
    struct stat status;
    struct payload payload = {0};
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &status) != 0)
        die("%s: %s", path, strerror(errno));
    size_t size = (size_t)status.st_size;
    if (size < TRAILER_BYTES)
        die("%s: cut short: copy it again", path);
    const uint8_t *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, file, 0);
    if (bytes == MAP_FAILED)
        die("%s: %s", path, strerror(errno));
    close(file);
    const uint8_t *trailer = bytes + size - TRAILER_BYTES;
    uint64_t offset = u64(trailer + 16), payload_size = u64(trailer + 24);
    if (memcmp(trailer, "PYDFSPAK", 8) != 0 || trailer[8] != TRAILER_VERSION || offset > size ||
        payload_size > size - TRAILER_BYTES - offset)
        die("%s: cut short or not packed: copy it again", path);
    payload.bytes = bytes + offset;
    payload.size = payload_size;
    payload.unpacked_size = u64(trailer + 32);
    memcpy(payload.sha256, trailer + 40, SHA256_BYTES);
    for (int i = 0; i < SHA256_BYTES; i++)
        snprintf(payload.name + 2 * i, 3, "%02x", payload.sha256[i]);
    return payload;
}

int main(int argc, char **argv)
{
    char tree[STUB_PATH_BYTES_MAX], program[STUB_PATH_BYTES_MAX];
    const char *path = own_path();
    struct payload payload = open_payload(path);
    cache_tree(&payload, tree);
    if (snprintf(program, sizeof program, "%s/pydfsnode", tree) >= (int)sizeof program)
        die("%s: the path is too long", tree);
    /* For a program that starts itself again (dev up): the file, not the unpacked tree. */
    if (setenv("PYDFSNODE_BINARY", path, 1) != 0)
        die("%s", strerror(errno));
    if (argc == 0)
        die("started without a name");
    argv[0] = program; /* PyInstaller's loader finds its files by it when there is no /proc */
    execv(program, argv);
    die("%s: %s; remove %s and start again", program, strerror(errno), tree);
}
