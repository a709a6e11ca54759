/*
 * Random bytes (win32/random.h): getrandom(2), which blocks only until the kernel's pool has been
 * seeded once.
 */
#include "loader/win32/random.h"

#include <errno.h>
#include <sys/random.h>

bool win32_random(void *buffer, size_t size)
{
    char *at = buffer;
    while (size) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += got;
        size -= (size_t)got;
    }
    return true;
}
