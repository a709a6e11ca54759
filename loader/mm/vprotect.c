/*
 * VirtualProtect (view.h; facts 1.4).
 *
 * The whole range has to lie in one view or allocation and to be committed. Private image pages
 * store WRITECOPY for READWRITE; whether they were written since is asked from the kernel when
 * somebody queries. Anonymous memory of the host (its heap, its stacks) can be protected too, since
 * images get such memory from builtin functions and expect VirtualProtect to work on it.
 */
#include <errno.h>
#include <sys/mman.h>

#include "loader/mm/data_object.h"
#include "loader/mm/view_object.h"

#define WRITECOPY (PAGE_WRITECOPY | PAGE_EXECUTE_WRITECOPY)

/* May pages of this range get `protect` at all? */
static nt_status check_kind(const struct mm_range *range, uint64_t page, uint64_t end,
                            uint32_t protect)
{
    if (range->kind == MM_RANGE_MIRROR)
        return protect & (PAGE_NOACCESS | PAGE_READONLY) ? STATUS_SUCCESS
                                                         : STATUS_SECTION_PROTECTION;
    if (range->kind == MM_RANGE_DATA)
        return mm_data_view_check(range->data, protect);
    if (range->kind == MM_RANGE_PRIVATE)
        return protect & WRITECOPY ? STATUS_INVALID_PAGE_PROTECTION : STATUS_SUCCESS;
    /* A page that is mapped shared cannot turn private under the image's feet. */
    for (; page < end && (protect & WRITECOPY); page++)
        if (range->attr[page] & MM_ATTR_SHARED)
            return STATUS_SECTION_PROTECTION;
    return STATUS_SUCCESS;
}

static nt_status check_committed(const struct mm_range *range, uint64_t page, uint64_t end)
{
    for (; page < end; page++)
        if (!(range->attr[page] & MM_ATTR_COMMITTED))
            return STATUS_NOT_COMMITTED;
    return STATUS_SUCCESS;
}

static void store(struct mm_range *range, uint64_t page, uint64_t end, uint32_t protect)
{
    uint32_t private_protect =
        range->kind == MM_RANGE_IMAGE ? mm_protect_for_image(protect) : protect;

    mm_snapshot_touch(range);
    for (; page < end; page++) {
        uint8_t flags = range->attr[page] & (MM_ATTR_SHARED | MM_ATTR_WRITTEN);

        range->attr[page] = mm_attr_make(flags & MM_ATTR_SHARED ? protect : private_protect, flags);
    }
}

/* After a call that may have worked in part: back to what the records say. */
static void restore(const struct mm_range *range, uint64_t page, uint64_t end)
{
    for (; page < end; page++)
        mprotect(mm_ptr(range->base + page * MM_PAGE), (size_t)MM_PAGE,
                 mm_attr_prot(range->attr[page]));
}

static nt_status set_pages(struct mm_range *range, uint64_t page, uint64_t end, uint32_t protect)
{
    if (range->kind == MM_RANGE_DATA)
        return mm_data_view_protect(range->data, page, end, protect);
    /* An open view gets its protections when it is sealed. */
    if (!(range->view != NULL && range->view->open) &&
        mprotect(mm_ptr(range->base + page * MM_PAGE), (size_t)((end - page) * MM_PAGE),
                 mm_prot_of_protect(protect)) != 0)
        return mm_status_of_errno(errno);
    store(range, page, end, protect);
    return STATUS_SUCCESS;
}

/* Lock held for writing; [base, base+size) are pages of `range`. */
static nt_status protect_range(struct mm_range *range, uint64_t base, uint64_t size,
                               uint32_t protect)
{
    uint64_t page = mm_range_page(range, base), end = page + size / MM_PAGE;
    nt_status status = check_kind(range, page, end, protect);
    bool opened;

    if (nt_ok(status) && range->kind == MM_RANGE_DATA)
        status = mm_data_view_refresh(range->data, page, end, &opened);
    if (nt_ok(status))
        status = check_committed(range, page, end);
    if (!nt_ok(status))
        return status;
    status = set_pages(range, page, end, protect);
    if (!nt_ok(status))
        restore(range, page, end);
    return status;
}

static nt_status protect_host(uint64_t base, uint64_t size, uint32_t protect)
{
    struct mm_region region;

    for (uint64_t at = base; at < base + size; at = region.base + region.size) {
        nt_status status = mm_query_pages(at, base + size, &region);

        if (!nt_ok(status))
            return status;
        if (region.state == MEM_FREE)
            return STATUS_CONFLICTING_ADDRESSES;
        if (region.state != MEM_COMMIT)
            return STATUS_NOT_COMMITTED;
        if (region.type != MEM_PRIVATE)
            return STATUS_ACCESS_DENIED;
    }
    if (protect & WRITECOPY)
        return STATUS_INVALID_PAGE_PROTECTION;
    return mprotect(mm_ptr(base), (size_t)size, mm_prot_of_protect(protect)) == 0
               ? STATUS_SUCCESS
               : mm_status_of_errno(errno);
}

static nt_status protect_pages(uint64_t base, uint64_t size, uint32_t protect)
{
    struct mm_range *range;
    nt_status status = STATUS_CONFLICTING_ADDRESSES;
    bool own;

    mm_ranges_write_lock();
    range = mm_ranges_from(base);
    own = range != NULL && range->base < base + size;
    if (own && range->base <= base && size <= mm_range_end(range) - base)
        status = protect_range(range, base, size, protect);
    mm_ranges_unlock();
    return own ? status : protect_host(base, size, protect);
}

nt_status mm_protect(uint64_t *base, uint64_t *size, uint32_t protect, uint32_t *old,
                     struct pe_error *err)
{
    struct mm_region before;
    uint64_t at = mm_round_down(*base, MM_PAGE), bytes;
    nt_status status;

    if (!mm_protect_valid(protect))
        return pe_fail(err, STATUS_INVALID_PAGE_PROTECTION, "0x%x is no page protection", protect);
    if (!mm_in_user_space(*base, *size))
        return pe_fail(err, STATUS_INVALID_PARAMETER, "0x%llx bytes at 0x%llx are no pages",
                       (unsigned long long)*size, (unsigned long long)*base);
    bytes = mm_round_up(*base + *size, MM_PAGE) - at;
    status = mm_query_pages(at, at + MM_PAGE, &before);
    if (nt_ok(status))
        status = protect_pages(at, bytes, protect);
    if (!nt_ok(status))
        return pe_fail(err, status, "0x%llx bytes at 0x%llx cannot become %s: %s",
                       (unsigned long long)bytes, (unsigned long long)at, mm_protect_name(protect),
                       nt_status_text(status));
    *base = at;
    *size = bytes;
    *old = before.protect;
    return STATUS_SUCCESS;
}
