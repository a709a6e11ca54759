/*
 * Parses /proc/self/maps (format: Linux Documentation/filesystems/proc.rst):
 *     start-end perms offset major:minor inode   path
 */
#include "loader/mm/maps.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

bool mm_maps_open(struct mm_maps *maps)
{
    maps->fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    maps->pos = maps->len = 0;
    return maps->fd >= 0;
}

void mm_maps_close(struct mm_maps *maps)
{
    if (maps->fd >= 0)
        close(maps->fd);
    maps->fd = -1;
}

/* The next character without consuming it; -1 at the end. */
static int peek(struct mm_maps *maps)
{
    if (maps->pos == maps->len) {
        ssize_t got;

        do
            got = read(maps->fd, maps->buf, sizeof(maps->buf));
        while (got < 0 && errno == EINTR);
        if (got <= 0)
            return -1;
        maps->pos = 0;
        maps->len = (size_t)got;
    }
    return (unsigned char)maps->buf[maps->pos];
}

static int hex_digit(int c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
}

/* A number and the one character that ends it. */
static uint64_t number(struct mm_maps *maps, int radix)
{
    uint64_t value = 0;
    int c;

    while ((c = peek(maps)) >= 0 && hex_digit(c) < radix) {
        value = value * (unsigned)radix + (unsigned)hex_digit(c);
        maps->pos++;
    }
    if (c >= 0 && c != '\n')
        maps->pos++;
    return value;
}

static void permissions(struct mm_maps *maps, struct mm_map_entry *out)
{
    int c;

    out->prot = PROT_NONE;
    out->shared = false;
    while ((c = peek(maps)) >= 0 && c != ' ' && c != '\n') {
        out->prot |= c == 'r' ? PROT_READ : c == 'w' ? PROT_WRITE : c == 'x' ? PROT_EXEC : 0;
        out->shared |= c == 's';
        maps->pos++;
    }
    if (c == ' ')
        maps->pos++;
}

/* The path to the end of the line, without the blanks before it. */
static void path(struct mm_maps *maps, struct mm_map_entry *out)
{
    size_t n = 0;
    int c;

    while ((c = peek(maps)) >= 0 && c != '\n') {
        if ((n > 0 || c != ' ') && n < sizeof(out->path) - 1)
            out->path[n++] = (char)c;
        maps->pos++;
    }
    out->path[n] = '\0';
    if (c == '\n')
        maps->pos++;
}

bool mm_maps_next(struct mm_maps *maps, struct mm_map_entry *out)
{
    uint64_t major;

    if (maps->fd < 0 || peek(maps) < 0)
        return false;
    out->start = number(maps, 16);
    out->end = number(maps, 16);
    permissions(maps, out);
    number(maps, 16); /* offset */
    major = number(maps, 16);
    out->dev = major << 32 | number(maps, 16);
    out->inode = number(maps, 10);
    path(maps, out);
    return true;
}
