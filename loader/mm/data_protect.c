/*
 * VirtualProtect on views of data sections (data_object.h; facts 4.4).
 *
 * A page that gets a WRITECOPY protection is mapped anew, MAP_PRIVATE; it returns to the section
 * when it loses that protection without having been written. A page with a private copy keeps it,
 * whatever its protection, as in Windows.
 */
#include <errno.h>
#include <sys/mman.h>

#include "loader/mm/data_object.h"
#include "loader/mm/pagemap.h"

#define WRITECOPY (PAGE_WRITECOPY | PAGE_EXECUTE_WRITECOPY)

nt_status mm_data_view_check(const struct mm_data_view *view, uint32_t protect)
{
    uint32_t modifier = protect & (PAGE_NOCACHE | PAGE_WRITECOMBINE);

    if (modifier != 0 && modifier != mm_data_modifier(view->data, protect))
        return STATUS_INVALID_PAGE_PROTECTION;
    return mm_protect_allows_page(view->range.allocation_protect & 0xFF, protect & 0xFF)
               ? STATUS_SUCCESS
               : STATUS_SECTION_PROTECTION;
}

/* Is the page to be mapped shared from now on? */
static bool wants_shared(const struct mm_data_view *view, uint64_t page, uint32_t protect,
                         struct mm_pagemap *pagemap)
{
    if (((protect | view->range.allocation_protect) & WRITECOPY) ||
        (view->range.attr[page] & MM_ATTR_WRITTEN))
        return false;
    return (view->range.attr[page] & MM_ATTR_SHARED) ||
           mm_pagemap_not_private(pagemap, view->range.base + page * MM_PAGE);
}

/* Gives pages that are mapped alike, and are to be mapped alike, their protection. */
static int change(const struct mm_data_view *view, uint64_t page, uint64_t count, bool remap,
                  bool shared, int prot)
{
    const struct mm_data_source *source = &view->data->source;
    void *at = mm_ptr(view->range.base + page * MM_PAGE);
    size_t size = (size_t)(count * MM_PAGE);

    if (!remap)
        return mprotect(at, size, prot) == 0 ? 0 : errno;
    return mmap(at, size, prot, MAP_FIXED | (shared ? MAP_SHARED : MAP_PRIVATE), source->fd,
                (off_t)(source->offset + view->offset + page * MM_PAGE)) != MAP_FAILED
               ? 0
               : errno;
}

nt_status mm_data_view_protect(struct mm_data_view *view, uint64_t page, uint64_t end,
                               uint32_t protect)
{
    uint8_t *attr = view->range.attr;
    struct mm_pagemap pagemap;
    int error = 0;

    protect |= mm_data_modifier(view->data, protect);
    mm_pagemap_init(&pagemap);
    while (page < end && error == 0) {
        uint64_t next = page + 1;
        uint8_t mapped = attr[page] & MM_ATTR_SHARED;
        bool shared = wants_shared(view, page, protect, &pagemap);

        while (next < end && (attr[next] & MM_ATTR_SHARED) == mapped &&
               wants_shared(view, next, protect, &pagemap) == shared)
            next++;
        error = change(view, page, next - page, (mapped != 0) != shared, shared,
                       mm_prot_of_protect(protect));
        for (; page < next && error == 0; page++)
            attr[page] = mm_attr_make(
                protect, (uint8_t)(shared ? MM_ATTR_SHARED : attr[page] & MM_ATTR_WRITTEN));
    }
    mm_pagemap_close(&pagemap);
    return error == 0 ? STATUS_SUCCESS : mm_status_of_errno(error);
}
