/* A disk that fails or hangs, for a process that is started with this library in LD_PRELOAD.
 *
 * DISK_FAULTS_BELOW is the directory that plays the disk. While the file DISK_FAULTS_SWITCH.eio
 * exists, every call on a file below it fails with EIO; while DISK_FAULTS_SWITCH.hang exists, it
 * does not return. What is in no file of that directory is never touched.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static int exists(const char *suffix) {
    const char *name = getenv("DISK_FAULTS_SWITCH");
    char path[PATH_MAX];
    if (name == NULL || snprintf(path, sizeof path, "%s.%s", name, suffix) >= (int)sizeof path)
        return 0;
    int before = errno;
    int found = access(path, F_OK) == 0;
    errno = before;
    return found;
}

/* Whether the call is to fail; waits while the disk hangs. */
static int fails(const char *path) {
    const char *below = getenv("DISK_FAULTS_BELOW");
    if (below == NULL || path == NULL || strncmp(path, below, strlen(below)) != 0)
        return 0;
    while (exists("hang")) {
        struct timespec pause = {0, 20 * 1000 * 1000};
        nanosleep(&pause, NULL);
    }
    if (!exists("eio"))
        return 0;
    errno = EIO;
    return 1;
}

static int fails_fd(int fd) {
    char link[64], path[PATH_MAX];
    if (!exists("hang") && !exists("eio"))
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int before = errno;
    ssize_t size = readlink(link, path, sizeof path - 1);
    errno = before;
    if (size < 0)
        return 0;
    path[size] = 0;
    return fails(path);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define ON_FD(result, name, parameters, arguments) \
    result name parameters { return fails_fd(fd) ? -1 : NEXT(name) arguments; }

#define ON_PATH(result, name, parameters, arguments) \
    result name parameters { return fails(path) ? -1 : NEXT(name) arguments; }

ON_FD(ssize_t, read, (int fd, void *data, size_t size), (fd, data, size))
ON_FD(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size))
ON_FD(ssize_t, pread, (int fd, void *data, size_t size, off_t at), (fd, data, size, at))
ON_FD(ssize_t, pread64, (int fd, void *data, size_t size, off64_t at), (fd, data, size, at))
ON_FD(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at))
ON_FD(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at))
ON_FD(ssize_t, preadv, (int fd, const struct iovec *v, int n, off_t at), (fd, v, n, at))
ON_FD(ssize_t, preadv64, (int fd, const struct iovec *v, int n, off64_t at), (fd, v, n, at))
ON_FD(ssize_t, pwritev, (int fd, const struct iovec *v, int n, off_t at), (fd, v, n, at))
ON_FD(ssize_t, pwritev64, (int fd, const struct iovec *v, int n, off64_t at), (fd, v, n, at))
ON_FD(ssize_t, preadv64v2, (int fd, const struct iovec *v, int n, off64_t at, int flags),
      (fd, v, n, at, flags))
ON_FD(ssize_t, pwritev64v2, (int fd, const struct iovec *v, int n, off64_t at, int flags),
      (fd, v, n, at, flags))
ON_FD(ssize_t, writev, (int fd, const struct iovec *v, int n), (fd, v, n))
ON_FD(int, fsync, (int fd), (fd))
ON_FD(int, fdatasync, (int fd), (fd))
ON_FD(int, ftruncate, (int fd, off_t size), (fd, size))
ON_FD(int, ftruncate64, (int fd, off64_t size), (fd, size))
ON_PATH(int, unlink, (const char *path), (path))
ON_PATH(int, rename, (const char *path, const char *to), (path, to))
ON_PATH(int, mkdir, (const char *path, mode_t mode), (path, mode))

#define OPENS(name) \
    int name(const char *path, int flags, ...) { \
        mode_t mode = 0; \
        if (flags & (O_CREAT | O_TMPFILE)) { \
            va_list rest; \
            va_start(rest, flags); \
            mode = va_arg(rest, mode_t); \
            va_end(rest); \
        } \
        return fails(path) ? -1 : NEXT(name)(path, flags, mode); \
    }

OPENS(open)
OPENS(open64)
