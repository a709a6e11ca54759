/*
 * VirtualQuery (view.h; facts 1.1, 1.3).
 *
 * Own ranges are answered from their page attributes, everything else from /proc/self/maps. A
 * region begins at the page that was asked about and runs as far as state, protection and type stay
 * equal.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "loader/mm/data_object.h"
#include "loader/mm/held.h"
#include "loader/mm/maps.h"
#include "loader/mm/pagemap.h"
#include "loader/mm/view_object.h"

/* ---- own ranges ----------------------------------------------------------------------------- */

static bool is_writecopy(uint32_t protect)
{
    return (protect & (PAGE_WRITECOPY | PAGE_EXECUTE_WRITECOPY)) != 0;
}

static uint8_t page_attr(const struct mm_range *range, uint64_t page)
{
    return range->data != NULL ? mm_data_view_attr(range->data, page) : range->attr[page];
}

/* Of a relocated form of the cache, where Windows has a copy (section_fixed.c). */
static bool is_fixed(const struct mm_range *range, uint64_t page)
{
    return range->view != NULL && mm_section_is_fixed(range->view->section, page);
}

/* The protection as VirtualQuery reports it. `*written`: the page is a private copy. */
static uint32_t page_protect(const struct mm_range *range, uint64_t page,
                             struct mm_pagemap *pagemap, bool *written)
{
    bool is_view = range->view != NULL || range->data != NULL;
    uint8_t attr = page_attr(range, page);
    uint32_t protect = mm_attr_protect(attr);

    *written =
        is_view && (attr & MM_ATTR_COMMITTED) && !(attr & MM_ATTR_SHARED) &&
        ((attr & MM_ATTR_WRITTEN) || (mm_pagemap_private(pagemap, range->base + page * MM_PAGE) &&
                                      !mm_kept_unchanged(range->kept, page)));
    return is_writecopy(protect) && (*written || is_fixed(range, page))
               ? mm_protect_after_write(protect)
               : protect;
}

/*
 * Extends the region over the pages before `end` that answer alike, counting private copies. Pages
 * of an image that are shared with other processes are kept apart from those that are not.
 */
static uint64_t extend(const struct mm_range *range, uint64_t page, uint64_t end,
                       struct mm_region *out)
{
    struct mm_pagemap pagemap;
    uint64_t first = page;
    uint8_t apart = range->view != NULL ? MM_ATTR_SHARED : 0, shared = range->attr[page] & apart;
    bool written;

    mm_pagemap_init(&pagemap);
    out->protect = page_protect(range, page, &pagemap, &written);
    for (; page < end; page++) {
        if ((range->attr[page] & apart) != shared ||
            page_protect(range, page, &pagemap, &written) != out->protect)
            break;
        out->pages_private += written;
    }
    mm_pagemap_close(&pagemap);
    return page - first;
}

static enum mm_backing view_backing(const struct mm_range *range, uint64_t page,
                                    const struct mm_region *region)
{
    if (region->state != MEM_COMMIT)
        return MM_BACKING_NONE;
    if (range->attr[page] & MM_ATTR_SHARED)
        return MM_BACKING_SHARED_SECTION;
    return region->pages_private == region->size / MM_PAGE ? MM_BACKING_PAGING_FILE
                                                           : MM_BACKING_IMAGE_FILE;
}

static void describe_view(const struct mm_range *range, uint64_t page, struct mm_region *out)
{
    const struct mm_section *section = range->view->section;
    bool inside;
    uint32_t i = mm_section_extent_index(section, (uint32_t)(page * MM_PAGE), &inside);

    out->pe_section = inside ? section->extents[i].pe_section : -1;
    out->initial_protect = inside ? section->extents[i].protect : 0;
    out->backing = view_backing(range, page, out);
}

static enum mm_backing data_backing(const struct mm_range *range, const struct mm_region *region)
{
    if (region->state != MEM_COMMIT)
        return MM_BACKING_NONE;
    if (region->pages_private == region->size / MM_PAGE)
        return MM_BACKING_PAGING_FILE;
    return range->data->data->source.paging_file ? MM_BACKING_SHARED_SECTION : MM_BACKING_DATA_FILE;
}

static uint32_t type_of(const struct mm_range *range)
{
    return range->view != NULL ? MEM_IMAGE : range->data != NULL ? MEM_MAPPED : MEM_PRIVATE;
}

/* How much of a committed region is a copy of this process's own and how much is not. */
static void count_pages(struct mm_region *region)
{
    if (region->state != MEM_COMMIT)
        return;
    region->pages_committed = region->size / MM_PAGE;
    region->pages_shared = region->pages_committed - region->pages_private;
}

/* The region at `page` that ends at page `end` at the latest. Lock held. */
static void describe_range(const struct mm_range *range, uint64_t page, uint64_t end,
                           struct mm_region *out)
{
    *out = (struct mm_region){
        .base = range->base + page * MM_PAGE,
        .allocation_base = range->base,
        .allocation_protect = range->allocation_protect,
        .initial_protect = range->allocation_protect,
        .pe_section = -1,
        .state = page_attr(range, page) & MM_ATTR_COMMITTED ? MEM_COMMIT : MEM_RESERVE,
        .type = type_of(range),
    };
    out->size = extend(range, page, end, out) * MM_PAGE;
    if (range->view != NULL) {
        describe_view(range, page, out);
    } else if (range->data != NULL) {
        out->backing = data_backing(range, out);
    } else if (out->state == MEM_COMMIT) {
        out->backing = MM_BACKING_PAGING_FILE;
        out->pages_private = out->size / MM_PAGE;
    }
    count_pages(out);
}

/* Where the PE section, the headers or the gap that holds `rva` ends. */
static uint32_t section_end(const struct mm_section *section, uint32_t rva)
{
    bool inside;
    uint32_t i = mm_section_extent_index(section, rva, &inside);
    const struct mm_extent *extents = section->extents;

    if (!inside)
        return i < section->extent_count ? extents[i].rva : section->size;
    while (i + 1 < section->extent_count && extents[i + 1].pe_section == extents[i].pe_section)
        i++;
    return extents[i].rva + extents[i].size;
}

bool mm_view_next_region(const struct mm_view *view, uint32_t *cursor, struct mm_region *out)
{
    uint32_t rva = (uint32_t)mm_round_down(*cursor, MM_PAGE);

    if (*cursor >= view->section->size)
        return false;
    if (mm_section_fixed_wanted(view->section))
        mm_section_find_fixed(view->section);
    mm_ranges_read_lock();
    describe_range(&view->range, rva / MM_PAGE, section_end(view->section, rva) / MM_PAGE, out);
    mm_ranges_unlock();
    *cursor = rva + (uint32_t)out->size;
    return true;
}

/* ---- the host's memory ------------------------------------------------------------------------
 */

/* NT's word for a host mapping; a writable private file mapping is copied when it is written. */
static uint32_t host_protect(const struct mm_map_entry *entry)
{
    static const uint32_t table[8] = {
        PAGE_NOACCESS, PAGE_READONLY,     PAGE_READWRITE,         PAGE_READWRITE,
        PAGE_EXECUTE,  PAGE_EXECUTE_READ, PAGE_EXECUTE_READWRITE, PAGE_EXECUTE_READWRITE,
    };
    uint32_t protect =
        table[(entry->prot & PROT_READ ? 1 : 0) | (entry->prot & PROT_WRITE ? 2 : 0) |
              (entry->prot & PROT_EXEC ? 4 : 0)];

    return entry->inode != 0 && !entry->shared ? mm_protect_for_image(protect) : protect;
}

/* Pages from `base` on that are alike in a private file mapping: written or not. */
static void split_written(const struct mm_map_entry *entry, struct mm_region *out)
{
    struct mm_pagemap pagemap;
    uint64_t at = out->base;
    bool written;

    mm_pagemap_init(&pagemap);
    written = mm_pagemap_private(&pagemap, at);
    while (at < entry->end && mm_pagemap_private(&pagemap, at) == written)
        at += MM_PAGE;
    mm_pagemap_close(&pagemap);
    out->size = at - out->base;
    if (written) {
        out->protect = mm_protect_after_write(out->protect);
        out->pages_private = out->size / MM_PAGE;
        out->backing = MM_BACKING_PAGING_FILE;
    }
}

/* A host mapping; `allocation` is where the mappings of the same file around it begin. */
static void describe_mapping(const struct mm_map_entry *entry, uint64_t allocation, uint64_t at,
                             struct mm_region *out)
{
    uint32_t protect = host_protect(entry);
    bool reserved = entry->inode == 0 && entry->prot == PROT_NONE;

    *out = (struct mm_region){
        .base = at,
        .size = entry->end - at,
        .allocation_base = allocation,
        .allocation_protect = protect,
        .initial_protect = protect,
        .state = reserved ? MEM_RESERVE : MEM_COMMIT,
        .protect = reserved ? 0 : protect,
        .type = entry->inode != 0 || entry->shared ? MEM_MAPPED : MEM_PRIVATE,
        .pe_section = -1,
    };
    if (reserved)
        return;
    if (entry->inode == 0 && !entry->shared) {
        out->backing = MM_BACKING_PAGING_FILE;
        out->pages_private = out->size / MM_PAGE;
        return;
    }
    out->backing = entry->inode != 0 ? MM_BACKING_DATA_FILE : MM_BACKING_SHARED_SECTION;
    if (is_writecopy(protect))
        split_written(entry, out);
}

static void describe_host(const struct mm_map_entry *entry, uint64_t allocation, uint64_t at,
                          struct mm_region *out)
{
    describe_mapping(entry, allocation, at, out);
    count_pages(out);
}

static void describe_free(uint64_t at, uint64_t end, struct mm_region *out)
{
    *out = (struct mm_region){.base = at,
                              .size = end - at,
                              .state = MEM_FREE,
                              .protect = PAGE_NOACCESS,
                              .pe_section = -1};
}

/* Through the host's mappings, ascending. */
struct host {
    struct mm_maps maps;
    struct mm_map_entry entry; /* valid if `more` */
    uint64_t allocation;       /* where the mappings of the same file around it begin */
    bool more, begun;
};

/* Own ranges are asked for most: nothing is opened before it is needed. */
static void begin_host(struct host *host)
{
    host->more = host->begun = false;
    host->allocation = 0;
}

static void end_host(struct host *host)
{
    if (host->begun)
        mm_maps_close(&host->maps);
}

/* The first mapping that ends behind `at`. */
static void seek_host(struct host *host, uint64_t at)
{
    struct mm_map_entry before;

    if (!host->begun) {
        host->more = mm_maps_open(&host->maps);
        host->entry = (struct mm_map_entry){0};
        host->begun = true;
    }
    while (host->more && host->entry.end <= at) {
        before = host->entry;
        host->more = mm_maps_next(&host->maps, &host->entry);
        if (host->more && (host->entry.inode == 0 || host->entry.inode != before.inode ||
                           host->entry.dev != before.dev || host->entry.start != before.end))
            host->allocation = host->entry.start;
    }
}

/* What lies between two own ranges: `at` in [low, high). Its name, or NULL. */
static const char *query_host(struct host *host, uint64_t at, uint64_t low, uint64_t high,
                              struct mm_region *out)
{
    struct mm_map_entry entry;

    seek_host(host, at);
    if (!host->more || host->entry.start > at) {
        describe_free(at, host->more && host->entry.start < high ? host->entry.start : high, out);
        return NULL;
    }
    entry = host->entry;
    if (entry.end > high)
        entry.end = high;
    describe_host(&entry, host->allocation > low ? host->allocation : low, at, out);
    return host->entry.path;
}

/* The same, where some of it may be held for a snapshot: that is free. */
static const char *query_held(struct host *host, uint64_t at, uint64_t low, uint64_t high,
                              struct mm_region *out)
{
    struct mm_span held;
    uint64_t before;

    if (!mm_held_any())
        return query_host(host, at, low, high, out);
    mm_ranges_read_lock();
    held = mm_held_from(at);
    before = mm_held_end_before(at);
    mm_ranges_unlock();
    if (held.base <= at) {
        describe_free(at, held.end < high ? held.end : high, out);
        return NULL;
    }
    return query_host(host, at, before > low ? before : low, held.base < high ? held.base : high,
                      out);
}

/* What is free in the one way and in the other is one region. */
static const char *query_gap(struct host *host, uint64_t at, uint64_t low, uint64_t high,
                             struct mm_region *out)
{
    const char *name = query_held(host, at, low, high, out);
    struct mm_region more;

    while (mm_held_any() && out->state == MEM_FREE && out->base + out->size < high) {
        query_held(host, out->base + out->size, low, high, &more);
        if (more.state != MEM_FREE)
            break;
        out->size += more.size;
    }
    return name;
}

/* The first range that ends above `at`. The lock is taken, not before all is known of an image. */
static const struct mm_range *lock_and_find(uint64_t at)
{
    const struct mm_range *range;
    struct mm_section *section;

    mm_ranges_read_lock();
    range = mm_ranges_from(at);
    if (range == NULL || range->view == NULL || range->base > at ||
        !mm_section_fixed_wanted(range->view->section))
        return range;
    section = mm_section_ref(range->view->section);
    mm_ranges_unlock();
    mm_section_find_fixed(section);
    mm_section_unref(section);
    mm_ranges_read_lock();
    return mm_ranges_from(at);
}

/* The region at `at`, a page boundary; ends at `limit` at the latest. */
static void query(struct host *host, uint64_t at, uint64_t limit, struct mm_region *out, char *name,
                  size_t name_size)
{
    const struct mm_range *range;
    const char *found;
    uint64_t low, end;

    range = lock_and_find(at);
    low = mm_ranges_end_before(at);
    if (range != NULL && range->base > at) {
        limit = limit < range->base ? limit : range->base;
        range = NULL;
    }
    if (range != NULL) {
        end = limit < mm_range_end(range) ? limit : mm_range_end(range);
        describe_range(range, mm_range_page(range, at), mm_range_page(range, end), out);
        snprintf(name, name_size, "%s", mm_range_name(range));
    }
    mm_ranges_unlock();
    if (range == NULL) {
        found = query_gap(host, at, low, limit, out);
        snprintf(name, name_size, "%s", found != NULL ? found : "");
    }
}

nt_status mm_query_pages(uint64_t address, uint64_t limit, struct mm_region *out)
{
    struct host host;
    char name[1];

    if (address >= MM_USER_END)
        return STATUS_INVALID_PARAMETER;
    begin_host(&host);
    query(&host, mm_round_down(address, MM_PAGE), limit, out, name, sizeof(name));
    end_host(&host);
    return STATUS_SUCCESS;
}

nt_status mm_query(uint64_t address, struct mm_region *out)
{
    return mm_query_pages(address, MM_USER_END, out);
}

bool mm_query_each(bool (*visit)(void *user, const struct mm_region *region, const char *name),
                   void *user)
{
    struct mm_region region = {0};
    struct host host;
    char name[1024];
    bool go_on = true;

    begin_host(&host);
    for (uint64_t at = 0; at < MM_USER_END && go_on; at = region.base + region.size) {
        query(&host, at, MM_USER_END, &region, name, sizeof(name));
        go_on = visit(user, &region, name);
    }
    end_host(&host);
    return go_on;
}
