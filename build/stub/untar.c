/* Unpacks a ustar archive made by pack.py: directories, files and links, with relative names. */
#include "stub.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BLOCK = 512,
    NAME_BYTES = 100,
    MODE_AT = 100,
    SIZE_AT = 124,
    TYPE_AT = 156,
    LINK_AT = 157,
    PREFIX_AT = 345,
    PREFIX_BYTES = 155
};

static size_t octal(const uint8_t *field, int n)
{
    size_t value = 0;
    for (int i = 0; i < n && field[i] >= '0' && field[i] <= '7'; i++)
        value = value * 8 + (size_t)(field[i] - '0');
    return value;
}

/* A name that stays inside the root: relative and without "..". */
static int is_inside(const char *name)
{
    if (name[0] == '\0' || name[0] == '/')
        return 0;
    for (const char *part = name;; part++) {
        if (strncmp(part, "..", 2) == 0 && (part[2] == '\0' || part[2] == '/'))
            return 0;
        part = strchr(part, '/');
        if (part == NULL)
            return 1;
    }
}

static const char *write_file(int root, const char *name, mode_t mode, const uint8_t *bytes,
                              size_t size)
{
    int file = openat(root, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (file < 0)
        return strerror(errno);
    while (size > 0) {
        ssize_t written = write(file, bytes, size);
        if (written < 0) {
            if (errno == EINTR)
                continue;
            const char *why = strerror(errno);
            close(file);
            return why;
        }
        bytes += written;
        size -= (size_t)written;
    }
    if (fchmod(file, mode) != 0) {
        const char *why = strerror(errno);
        close(file);
        return why;
    }
    return close(file) == 0 ? NULL : strerror(errno);
}

const char *untar(int root, const uint8_t *archive, size_t size)
{
    for (size_t at = 0; at + BLOCK <= size && archive[at] != 0;) {
        const uint8_t *head = archive + at;
        char name[PREFIX_BYTES + NAME_BYTES + 2], link[NAME_BYTES + 1];
        int prefix = (int)strnlen((const char *)head + PREFIX_AT, PREFIX_BYTES);
        snprintf(name, sizeof name, "%.*s%s%.*s", prefix, (const char *)head + PREFIX_AT,
                 prefix ? "/" : "", NAME_BYTES, (const char *)head);
        snprintf(link, sizeof link, "%.*s", NAME_BYTES, (const char *)head + LINK_AT);
        mode_t mode = (octal(head + MODE_AT, 8) & 0100) ? 0700 : 0600;
        size_t length = octal(head + SIZE_AT, 12);
        at += BLOCK;
        if (length > size - at || !is_inside(name))
            return "the archive inside the executable is malformed";
        const char *why = NULL;
        switch (head[TYPE_AT]) {
        case '5':
            why = mkdirat(root, name, 0700) == 0 ? NULL : strerror(errno);
            break;
        case '2':
            why = symlinkat(link, root, name) == 0 ? NULL : strerror(errno);
            break;
        case '0':
            why = write_file(root, name, mode, archive + at, length);
            break;
        default:
            why = "the archive inside the executable holds a kind of file that is not known";
        }
        if (why != NULL)
            return why;
        at += (length + BLOCK - 1) / BLOCK * BLOCK;
    }
    return NULL;
}
