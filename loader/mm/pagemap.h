/*
 * Which pages has this process a private copy of? (internal to mm/)
 *
 * The kernel tells by /proc/self/pagemap (Documentation/admin-guide/mm/pagemap.rst); that is how
 * WRITECOPY pages that were written are known (facts 1.1).
 */
#ifndef MM_PAGEMAP_H
#define MM_PAGEMAP_H

#include "loader/mm/pages.h"

struct mm_pagemap {
    int fd; /* -1 = not opened yet, -2 = not to be had */
    uint64_t first, count;
    uint64_t known; /* of the entries: those that could be read */
    uint64_t entries[256];
};

/* Opens nothing yet. */
void mm_pagemap_init(struct mm_pagemap *pagemap);
/* True when the page at `address` is a private copy; false when it is not or cannot be known. */
bool mm_pagemap_private(struct mm_pagemap *pagemap, uint64_t address);
/* True when it is known that it is none. */
bool mm_pagemap_not_private(struct mm_pagemap *pagemap, uint64_t address);
void mm_pagemap_close(struct mm_pagemap *pagemap);

#endif
