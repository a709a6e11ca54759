/*
 * The inside of a data section and of its views (internal to mm/).
 */
#ifndef MM_DATA_OBJECT_H
#define MM_DATA_OBJECT_H

#include <stdatomic.h>

#include "loader/mm/data.h"
#include "loader/mm/region.h"

struct mm_data {
    atomic_uint references;
    struct mm_data_source source; /* its `fd` and `name` are the section's own */
};

struct mm_data_view {
    struct mm_range range; /* its attributes are guarded by the region lock */
    struct mm_data *data;
    uint64_t offset; /* of the view's first byte in the section */
};

/* For messages. */
static inline const char *mm_data_name(const struct mm_data *data)
{
    return data->source.name[0] != '\0' ? data->source.name : "paging file";
}

/* The section decides about caching, whatever VirtualProtect is told. */
static inline uint32_t mm_data_modifier(const struct mm_data *data, uint32_t protect)
{
    if ((protect & 0xFF) == PAGE_NOACCESS)
        return 0;
    return data->source.attributes & SEC_NOCACHE        ? PAGE_NOCACHE
           : data->source.attributes & SEC_WRITECOMBINE ? PAGE_WRITECOMBINE
                                                        : 0;
}

/*
 * A page's attributes as they are for the image: a page that was committed elsewhere counts as
 * committed although its host page is still closed. Lock held.
 */
uint8_t mm_data_view_attr(const struct mm_data_view *view, uint64_t page);
/* Opens those of [page, end) that were committed elsewhere. Lock held for writing. */
nt_status mm_data_view_refresh(struct mm_data_view *view, uint64_t page, uint64_t end,
                               bool *opened);
/*
 * VirtualProtect on committed and open pages: host pages and attributes. On failure the pages
 * before the one that failed may have changed. Lock held for writing.
 */
nt_status mm_data_view_protect(struct mm_data_view *view, uint64_t page, uint64_t end,
                               uint32_t protect);
/* May these pages get `protect`? */
nt_status mm_data_view_check(const struct mm_data_view *view, uint32_t protect);
/*
 * VirtualAlloc(MEM_COMMIT) of whole pages in a view, if [base, base + size) lies in one: commits
 * pages of the section. `*is_view` false = it does not, and nothing was done.
 */
nt_status mm_data_commit(uint64_t base, uint64_t size, uint32_t protect, bool *is_view,
                         struct pe_error *err);

/* A view that has left the list of ranges: unmaps and frees it. */
void mm_data_view_end(struct mm_data_view *view);

/* How many views of SEC_RESERVE sections there are: mostly none, and then faults ask no further. */
extern atomic_uint mm_data_reserved_views;

#endif
