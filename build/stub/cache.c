/* Where the unpacked tree lies: chooses a directory, checks who could write it, unpacks it once.
 *
 * $PYDFSNODE_CACHE (only this one when it is set), $XDG_CACHE_HOME, $HOME/.cache,
 * /tmp/pydfsnode-<uid>. A place counts only when the directory is ours and not writable by others,
 * every directory above it belongs to root or us and is not writable by others (or is sticky, like
 * /tmp), and its file system allows execution: whoever can write the tree can run code as us. */
#define _GNU_SOURCE
#include "stub.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { PLACES_MAX = 4, REASON_BYTES = 512 };

/* Why each place was not taken, for the last sentence. */
static char refused[PLACES_MAX * REASON_BYTES];

/* 0: with `reason` noted. */
static int refuse(const char *format, ...)
{
    char reason[REASON_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    size_t used = strlen(refused);
    snprintf(refused + used, sizeof refused - used, "\n  %s", reason);
    return 0;
}

static int join(char *out, const char *directory, const char *name)
{
    return snprintf(out, STUB_PATH_BYTES_MAX, "%s/%s", directory, name) < STUB_PATH_BYTES_MAX;
}

/* mkdir -p with mode 0700; 0 when it cannot be had. */
static int make_directories(const char *path)
{
    char part[STUB_PATH_BYTES_MAX];
    if (path[0] != '/' || strlen(path) >= sizeof part)
        return refuse("%s: not an absolute path", path);
    for (const char *end = path; *end != '\0';) {
        end = strchr(end + 1, '/');
        if (end == NULL)
            end = path + strlen(path);
        snprintf(part, sizeof part, "%.*s", (int)(end - path), path);
        if (mkdir(part, 0700) != 0 && errno != EEXIST && access(part, F_OK) != 0)
            return refuse("%s: %s", part, strerror(errno));
    }
    return 1;
}

/* Whether only root and we can replace what is below `path`, a resolved absolute directory. */
static int is_trusted(const char *path)
{
    char part[STUB_PATH_BYTES_MAX];
    snprintf(part, sizeof part, "%s", path);
    for (int own = 1;; own = 0) {
        struct stat status;
        if (lstat(part, &status) != 0)
            return refuse("%s: %s", part, strerror(errno));
        if (!S_ISDIR(status.st_mode))
            return refuse("%s: not a directory", part);
        if (status.st_uid != geteuid() && (own || status.st_uid != 0))
            return refuse("%s: belongs to user %u, not to user %u", part, status.st_uid,
                          geteuid());
        if ((status.st_mode & 022) && (own || !(status.st_mode & S_ISVTX)))
            return refuse("%s: writable by others (mode %04o); chmod go-w it", part,
                          status.st_mode & 07777);
        if (part[1] == '\0')
            return 1;
        char *slash = strrchr(part, '/');
        slash[slash == part] = '\0';
    }
}

static int allows_execution(const char *path)
{
    struct statvfs status;
    if (statvfs(path, &status) == 0 && (status.f_flag & ST_NOEXEC))
        return refuse("%s: its file system is mounted noexec", path);
    return 1;
}

static void remove_tree(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (directory != NULL) {
        for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
            if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                continue;
            if (unlinkat(dirfd(directory), entry->d_name, 0) != 0)
                remove_tree(dirfd(directory), entry->d_name);
        }
        closedir(directory);
    }
    unlinkat(parent, name, AT_REMOVEDIR);
}

/* Unpacks into a temporary name below `base` and renames it; the caller holds the lock. */
static const char *unpack(int base, const struct payload *payload)
{
    char name[SHA256_HEX_BYTES + 16];
    uint8_t digest[SHA256_BYTES];
    sha256(payload->bytes, payload->size, digest);
    if (memcmp(digest, payload->sha256, SHA256_BYTES) != 0)
        return "this executable is damaged (its checksum does not match): copy it again";
    uint8_t *archive = mmap(NULL, payload->unpacked_size, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (archive == MAP_FAILED)
        return strerror(errno);
    long size = inflate_raw(payload->bytes, payload->size, archive, payload->unpacked_size);
    if (size < 0 || (size_t)size != payload->unpacked_size)
        return "this executable is damaged (it does not decompress): copy it again";
    snprintf(name, sizeof name, ".%s.new", payload->name);
    remove_tree(base, name); /* left by a start that was killed or ran out of space */
    if (mkdirat(base, name, 0700) != 0)
        return strerror(errno);
    int root = openat(base, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    const char *why = root < 0 ? strerror(errno) : untar(root, archive, (size_t)size);
    /* The name must not become durable before the bytes: after a power cut the broken tree would
     * stay for good. */
    if (why == NULL && syncfs(root) != 0)
        why = strerror(errno);
    if (why == NULL && renameat(base, name, base, payload->name) != 0)
        why = strerror(errno);
    if (why != NULL)
        remove_tree(base, name);
    if (root >= 0)
        close(root);
    munmap(archive, payload->unpacked_size);
    return why;
}

static int is_unpacked(int base, const char *name)
{
    struct stat status;
    return fstatat(base, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(status.st_mode) &&
           status.st_uid == geteuid() && !(status.st_mode & 022);
}

/* 1 when `tree` names the unpacked directory below `place`. */
static int use_place(const char *place, const struct payload *payload,
                     char tree[STUB_PATH_BYTES_MAX])
{
    char resolved[PATH_MAX];
    if (!make_directories(place))
        return 0;
    if (realpath(place, resolved) == NULL)
        return refuse("%s: %s", place, strerror(errno));
    if (!is_trusted(resolved) || !allows_execution(resolved))
        return 0;
    if (!join(tree, resolved, payload->name))
        return refuse("%s: the path is too long", resolved);
    int base = open(resolved, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (base < 0)
        return refuse("%s: %s", resolved, strerror(errno));
    const char *why = NULL;
    if (!is_unpacked(base, payload->name)) {
        int lock = openat(base, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (lock < 0 || flock(lock, LOCK_EX) != 0)
            why = strerror(errno);
        else if (!is_unpacked(base, payload->name)) /* else another start did it meanwhile */
            why = unpack(base, payload);
        if (lock >= 0)
            close(lock);
    }
    close(base);
    return why == NULL ? 1 : refuse("%s: %s", resolved, why);
}

void cache_tree(const struct payload *payload, char tree[STUB_PATH_BYTES_MAX])
{
    char place[STUB_PATH_BYTES_MAX];
    const char *given = getenv("PYDFSNODE_CACHE");
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (given != NULL && given[0] != '\0') {
        if (use_place(given, payload, tree))
            return;
        die("cannot unpack into PYDFSNODE_CACHE:%s", refused);
    }
    if (cache != NULL && cache[0] == '/' && join(place, cache, "pydfsnode") &&
        use_place(place, payload, tree))
        return;
    if (home != NULL && home[0] == '/' && join(place, home, ".cache/pydfsnode") &&
        use_place(place, payload, tree))
        return;
    snprintf(place, sizeof place, "/tmp/pydfsnode-%u", geteuid());
    if (use_place(place, payload, tree))
        return;
    die("no directory to unpack into; set PYDFSNODE_CACHE to one of yours:%s", refused);
}
