/*
 * Which process had an id: start times tell two of them apart (proc(5), /proc/PID/stat).
 *
 * Field 22 is the time in clock ticks since boot at which the process started. The second field,
 * its name, may hold blanks and parentheses, so fields are counted from the last ')'.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader/ob/process_object.h"

enum { STATE_FIELD = 3, THREADS_FIELD = 20, START_FIELD = 22 };

static bool read_stat(uint32_t id, char *text, size_t size)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/%u/stat", (unsigned)id);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t got = read(fd, text, size - 1);
    close(fd);
    text[got > 0 ? got : 0] = 0;
    return got > 0;
}

/* The field behind `from` that is `count` fields further; NULL when there are not as many. */
static const char *skip_fields(const char *from, int count)
{
    for (; from && count > 0; count--)
        from = strchr(from + 1, ' ');
    return from;
}

/* A first thread that has ended is a zombie, but the process lives as long as the others do. */
uint64_t ob_process_started(uint32_t id, bool *is_zombie)
{
    char text[1024]; /* the fields up to the 22nd take less, the name is at most 64 bytes */
    if (!read_stat(id, text, sizeof text))
        return 0;
    const char *state = strrchr(text, ')');
    if (!state || state[1] != ' ')
        return 0;
    state++;
    const char *threads = skip_fields(state, THREADS_FIELD - STATE_FIELD);
    const char *start = skip_fields(state, START_FIELD - STATE_FIELD);
    if (!threads || !start)
        return 0;
    *is_zombie = strchr("ZXx", state[1]) && strtoul(threads + 1, NULL, 10) <= 1;
    return strtoull(start + 1, NULL, 10);
}

uint64_t ob_process_start(uint32_t id)
{
    bool is_zombie = false;
    uint64_t start = ob_process_started(id, &is_zombie);
    return is_zombie ? 0 : start;
}
