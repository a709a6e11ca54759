/*
 * /proc/self/pagemap through a window of entries, so that walking a region reads it in blocks.
 *
 * The file is opened anew for each question: a descriptor that survives fork() would go on to
 * describe the parent.
 */
#include "loader/mm/pagemap.h"

#include <fcntl.h>
#include <unistd.h>

/* Bits of an entry. A migrating page counts as swapped but keeps the file bit. */
#define ENTRY_PRESENT (1ull << 63)
#define ENTRY_SWAPPED (1ull << 62)
#define ENTRY_FILE    (1ull << 61) /* of a file or of shared memory: not a private copy */

#define WINDOW (sizeof(((struct mm_pagemap *)0)->entries) / sizeof(uint64_t))

void mm_pagemap_init(struct mm_pagemap *pagemap)
{
    pagemap->fd = -1;
    pagemap->first = pagemap->count = 0;
}

void mm_pagemap_close(struct mm_pagemap *pagemap)
{
    if (pagemap->fd >= 0)
        close(pagemap->fd);
    pagemap->fd = -1;
}

/* Fills the window from `page` on; an unreadable one stays empty. */
static void load(struct mm_pagemap *pagemap, uint64_t page)
{
    ssize_t got = -1;

    if (pagemap->fd == -1) {
        pagemap->fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
        if (pagemap->fd < 0)
            pagemap->fd = -2;
    }
    if (pagemap->fd >= 0)
        got = pread(pagemap->fd, pagemap->entries, sizeof(pagemap->entries),
                    (off_t)(page * sizeof(uint64_t)));
    pagemap->first = page;
    pagemap->known = got > 0 ? (uint64_t)got / sizeof(uint64_t) : 0;
    /* What cannot be read is not asked for again in this window. */
    for (uint64_t i = pagemap->known; i < WINDOW; i++)
        pagemap->entries[i] = 0;
    pagemap->count = WINDOW;
}

/* Index of the page's entry in the window. */
static uint64_t find(struct mm_pagemap *pagemap, uint64_t address)
{
    uint64_t page = address / MM_PAGE;

    if (page < pagemap->first || page - pagemap->first >= pagemap->count)
        load(pagemap, page);
    return page - pagemap->first;
}

bool mm_pagemap_private(struct mm_pagemap *pagemap, uint64_t address)
{
    uint64_t entry = pagemap->entries[find(pagemap, address)];

    return (entry & (ENTRY_PRESENT | ENTRY_SWAPPED)) != 0 && !(entry & ENTRY_FILE);
}

bool mm_pagemap_not_private(struct mm_pagemap *pagemap, uint64_t address)
{
    return find(pagemap, address) < pagemap->known && !mm_pagemap_private(pagemap, address);
}
