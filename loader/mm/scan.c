/*
 * Private pages by PAGEMAP_SCAN of Linux 6.7, whose cost follows the pages that are there; else by
 * /proc/self/pagemap, whose cost follows the size of the range
 * (Documentation/admin-guide/mm/pagemap.rst).
 */
#include "loader/mm/scan.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "loader/mm/pagemap.h"

/* linux/fs.h of 6.7; the distribution's headers may be older than its kernel. */
struct scan_region {
    uint64_t start, end, categories;
};
struct scan_argument {
    uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
    uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define SCAN _IOWR('f', 16, struct scan_argument)
enum {
    IS_FILE = 1 << 2,
    IS_PRESENT = 1 << 3,
    IS_SWAPPED = 1 << 4,
    IS_ZERO_PAGE = 1 << 5,
};

#define REGIONS 64

bool mm_scan_plainly;

/*
 * The descriptor stays open between scans: opening it costs as much as a scan. One that was
 * inherited by fork() describes the parent, so it is kept with the process that it is of.
 */
static struct {
    int fd;
    pid_t owner; /* 0 = not opened */
} file;

static int open_file(void)
{
    pid_t process = getpid();

    if (file.owner == process)
        return file.fd;
    if (file.owner != 0)
        close(file.fd);
    file.fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    file.owner = file.fd < 0 ? 0 : process;
    return file.fd;
}

enum outcome { DONE, ENDED, UNKNOWN };

static enum outcome scan_by_kernel(uint64_t base, uint64_t end, mm_scan_visit visit, void *user)
{
    struct scan_region regions[REGIONS];
    struct scan_argument argument = {
        .size = sizeof(argument),
        .start = base,
        .end = end,
        .vec = (uintptr_t)regions,
        .vec_len = REGIONS,
        .category_inverted = IS_FILE | IS_ZERO_PAGE,
        .category_mask = IS_FILE | IS_ZERO_PAGE,
        .category_anyof_mask = IS_PRESENT | IS_SWAPPED,
        .return_mask = IS_FILE, /* of no page that is found: neighbours come as one region */
    };
    int fd = open_file();

    if (fd < 0)
        return UNKNOWN;
    while (argument.start < end) {
        int count = ioctl(fd, SCAN, &argument);

        if (count < 0)
            return UNKNOWN;
        for (int i = 0; i < count; i++)
            if (!visit(user, regions[i].start, regions[i].end - regions[i].start))
                return ENDED;
        argument.start = argument.walk_end;
    }
    return DONE;
}

static bool scan_plainly(uint64_t base, uint64_t end, mm_scan_visit visit, void *user)
{
    struct mm_pagemap pagemap;
    bool go_on = true;

    mm_pagemap_init(&pagemap);
    for (uint64_t at = base; go_on && at < end;) {
        uint64_t first = at;

        while (at < end && mm_pagemap_private(&pagemap, at))
            at += MM_PAGE;
        if (at > first)
            go_on = visit(user, first, at - first);
        else if (mm_pagemap_not_private(&pagemap, at))
            at += MM_PAGE;
        else
            go_on = false;
    }
    mm_pagemap_close(&pagemap);
    return go_on;
}

bool mm_scan_private(uint64_t base, uint64_t end, mm_scan_visit visit, void *user)
{
    enum outcome outcome = UNKNOWN;

    if (!mm_scan_plainly)
        outcome = scan_by_kernel(base, end, visit, user);
    return outcome == UNKNOWN ? scan_plainly(base, end, visit, user) : outcome == DONE;
}
