/*
 * SEC_RESERVE: pages of a section that are committed one by one, for every process (data.h;
 * facts 4.4).
 *
 * The section's bitmap says which pages are committed. A view has its pages closed (PROT_NONE, no
 * attributes) until it is known here that they are; committing takes the disk space first and sets
 * the bit then, so that an open page never lacks its memory. Bits are only ever set.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "loader/mm/data_object.h"

#define WRITECOPY (PAGE_WRITECOPY | PAGE_EXECUTE_WRITECOPY)
/* A fault opens what is committed of the granule around it. */
#define FAULT_PAGES (MM_GRANULARITY / MM_PAGE)

atomic_uint mm_data_reserved_views;

static bool is_committed(const struct mm_data_view *view, uint64_t page)
{
    const uint32_t *commit = view->data->source.commit;
    uint64_t n = view->offset / MM_PAGE + page;

    return commit != NULL && (__atomic_load_n(&commit[n / 32], __ATOMIC_ACQUIRE) >> n % 32 & 1);
}

/* What a page has that was committed by someone else. */
static uint8_t fresh_attr(const struct mm_data_view *view)
{
    uint32_t protect = view->range.allocation_protect;

    return mm_attr_make(protect, protect & WRITECOPY ? 0 : MM_ATTR_SHARED);
}

uint8_t mm_data_view_attr(const struct mm_data_view *view, uint64_t page)
{
    uint8_t attr = view->range.attr[page];

    return attr == 0 && is_committed(view, page) ? fresh_attr(view) : attr;
}

nt_status mm_data_view_refresh(struct mm_data_view *view, uint64_t page, uint64_t end, bool *opened)
{
    int prot = mm_prot_of_protect(view->range.allocation_protect);
    uint8_t *attr = view->range.attr;

    *opened = false;
    while (page < end) {
        uint64_t first = page;

        while (page < end && attr[page] == 0 && is_committed(view, page))
            page++;
        if (page == first) {
            page++;
            continue;
        }
        if (mprotect(mm_ptr(view->range.base + first * MM_PAGE), (size_t)((page - first) * MM_PAGE),
                     prot) != 0)
            return mm_status_of_errno(errno);
        memset(attr + first, fresh_attr(view), (size_t)(page - first));
        *opened = true;
    }
    return STATUS_SUCCESS;
}

/* ---- VirtualAlloc(MEM_COMMIT) -------------------------------------------------------------------
 */

static void set_bits(uint32_t *commit, uint64_t first, uint64_t end)
{
    while (first < end) {
        uint64_t stop = (first | 31) + 1 < end ? (first | 31) + 1 : end;
        uint32_t bits = UINT32_MAX >> (32 - (stop - first)) << first % 32;

        __atomic_fetch_or(&commit[first / 32], bits, __ATOMIC_ACQ_REL);
        first = stop;
    }
}

/* Disk space for a part of the section. A file system that cannot reserve any gives it later. */
static nt_status take_space(const struct mm_data *data, uint64_t offset, uint64_t size)
{
    int done;

    do
        done = fallocate(data->source.fd, FALLOC_FL_KEEP_SIZE,
                         (off_t)(data->source.offset + offset), (off_t)size);
    while (done != 0 && errno == EINTR);
    if (done == 0 || errno == EOPNOTSUPP)
        return STATUS_SUCCESS;
    if (errno == ENOSPC || errno == EDQUOT || errno == ENOMEM)
        return STATUS_COMMITMENT_LIMIT;
    return mm_status_of_errno(errno);
}

/* The view that [base, base + size) lies in. Lock held. */
static struct mm_data_view *find_view(uint64_t base, uint64_t size)
{
    struct mm_range *range = mm_ranges_find(base);

    if (range == NULL || range->kind != MM_RANGE_DATA || size > mm_range_end(range) - base)
        return NULL;
    return range->data;
}

static nt_status check(const struct mm_data_view *view, uint32_t protect)
{
    if (!view->data->source.paging_file)
        return STATUS_ALREADY_COMMITTED;
    /* VirtualAlloc has no word for a copy, and does not decide about caching. */
    if (protect & (WRITECOPY | PAGE_NOCACHE | PAGE_WRITECOMBINE))
        return STATUS_INVALID_PAGE_PROTECTION;
    return mm_data_view_check(view, protect);
}

/* The pages have their space. Lock held for writing. */
static nt_status open_pages(struct mm_data_view *view, uint64_t base, uint64_t size,
                            uint32_t protect)
{
    uint64_t page = mm_range_page(&view->range, base), end = page + size / MM_PAGE;
    uint64_t skipped = view->offset / MM_PAGE;
    nt_status status = STATUS_SUCCESS;
    bool opened;

    if (view->data->source.commit != NULL) {
        set_bits(view->data->source.commit, skipped + page, skipped + end);
        status = mm_data_view_refresh(view, page, end, &opened);
    }
    return nt_ok(status) ? mm_data_view_protect(view, page, end, protect) : status;
}

/* The space is taken without the lock: that may last, and faults wait for the lock. */
static nt_status commit_pages(struct mm_data *data, uint64_t base, uint64_t size, uint64_t offset,
                              uint32_t protect)
{
    nt_status status = STATUS_SUCCESS;
    struct mm_data_view *view;

    if (data->source.commit != NULL)
        status = take_space(data, offset, size);
    if (!nt_ok(status))
        return status;
    mm_ranges_write_lock();
    view = find_view(base, size);
    status =
        view == NULL || view->data != data || view->offset + (base - view->range.base) != offset
            ? (nt_status)STATUS_CONFLICTING_ADDRESSES
            : open_pages(view, base, size, protect);
    mm_ranges_unlock();
    return status;
}

nt_status mm_data_commit(uint64_t base, uint64_t size, uint32_t protect, bool *is_view,
                         struct pe_error *err)
{
    const struct mm_data_view *view;
    struct mm_data *data = NULL;
    uint64_t offset = 0;
    nt_status status = STATUS_SUCCESS;

    mm_ranges_read_lock();
    view = find_view(base, size);
    *is_view = view != NULL;
    if (view != NULL) {
        status = check(view, protect);
        data = mm_data_ref(view->data);
        offset = view->offset + (base - view->range.base);
    }
    mm_ranges_unlock();
    if (data != NULL && nt_ok(status))
        status = commit_pages(data, base, size, offset, protect);
    if (!nt_ok(status))
        pe_fail(err, status, "%s: 0x%llx bytes at 0x%llx of a view cannot be committed as %s: %s",
                mm_data_name(data), (unsigned long long)size, (unsigned long long)base,
                mm_protect_name(protect), nt_status_text(status));
    mm_data_unref(data);
    return status;
}

/* ---- pages that were committed elsewhere --------------------------------------------------------
 */

static bool allows(uint8_t attr, uint32_t access)
{
    int prot = mm_attr_prot(attr);

    return (prot & (access == 8 ? PROT_EXEC : access == 1 ? PROT_WRITE : PROT_READ)) != 0;
}

bool mm_commit_fault(uint64_t address, uint32_t access)
{
    struct mm_data_view *view;
    bool again = false, opened;

    if (atomic_load(&mm_data_reserved_views) == 0 || !mm_ranges_write_lock_in_fault())
        return false;
    view = find_view(mm_round_down(address, MM_PAGE), MM_PAGE);
    if (view != NULL && view->data->source.commit != NULL) {
        uint64_t page = mm_range_page(&view->range, address);
        uint64_t first = mm_round_down(page, FAULT_PAGES), end = first + FAULT_PAGES;
        uint64_t count = view->range.size / MM_PAGE;

        mm_data_view_refresh(view, first, end < count ? end : count, &opened);
        /* Also when another thread was faster. */
        again = allows(view->range.attr[page], access);
    }
    mm_ranges_unlock();
    return again;
}

bool mm_commit_refresh(uint64_t address, uint64_t size)
{
    uint64_t at = mm_round_down(address, MM_PAGE), end;
    bool any = false, opened;

    if (atomic_load(&mm_data_reserved_views) == 0 || !mm_in_user_space(address, size))
        return false;
    end = mm_round_up(address + size, MM_PAGE);
    mm_ranges_write_lock();
    while (at < end) {
        struct mm_range *range = mm_ranges_from(at);
        uint64_t stop;

        if (range == NULL || range->base >= end)
            break;
        at = at > range->base ? at : range->base;
        stop = end < mm_range_end(range) ? end : mm_range_end(range);
        if (range->data != NULL && range->data->data->source.commit != NULL) {
            mm_data_view_refresh(range->data, mm_range_page(range, at), mm_range_page(range, stop),
                                 &opened);
            any |= opened;
        }
        at = stop;
    }
    mm_ranges_unlock();
    return any;
}

nt_status mm_page_error(uint64_t address)
{
    nt_status status = STATUS_END_OF_FILE;
    const struct mm_data_view *view;
    struct stat st;

    if (!mm_ranges_write_lock_in_fault())
        return status;
    view = find_view(mm_round_down(address, MM_PAGE), MM_PAGE);
    if (view != NULL && fstat(view->data->source.fd, &st) == 0 &&
        view->data->source.offset + view->offset + (address - view->range.base) <
            mm_round_up((uint64_t)st.st_size, MM_PAGE))
        status = STATUS_DISK_FULL;
    mm_ranges_unlock();
    return status;
}
