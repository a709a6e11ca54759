/*
 * VirtualAlloc and VirtualFree (view.h; facts 4.5 and 1.4).
 *
 * An allocation is a reserved range of anonymous memory; committing is a change of protection, and
 * decommitting maps the reservation anew so that the memory goes back and reads as zero next time.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "loader/mm/data_object.h"
#include "loader/mm/reserve.h"
#include "loader/mm/snapshot_object.h"
#include "loader/mm/view.h"

/* Hints that change nothing here are accepted; what could not be kept is refused. */
#define ALLOC_TYPES (MEM_COMMIT | MEM_RESERVE | MEM_TOP_DOWN)
#define WRITECOPY   (PAGE_WRITECOPY | PAGE_EXECUTE_WRITECOPY)

static nt_status check_request(uint64_t base, uint64_t size, uint32_t type, uint32_t protect,
                               struct pe_error *err)
{
    if (size == 0)
        return pe_fail(err, STATUS_INVALID_PARAMETER, "an allocation of 0 bytes");
    if (type != MEM_RESET &&
        ((type & ~(uint32_t)ALLOC_TYPES) != 0 || !(type & (MEM_COMMIT | MEM_RESERVE))))
        return pe_fail(err, STATUS_INVALID_PARAMETER, "allocation type 0x%x is not supported",
                       type);
    if (!mm_protect_valid(protect))
        return pe_fail(err, STATUS_INVALID_PAGE_PROTECTION, "0x%x is no page protection", protect);
    if (base == 0 ? size > MM_USER_END - MM_GRANULARITY : !mm_in_user_space(base, size))
        return pe_fail(err, base == 0 ? STATUS_NO_MEMORY : STATUS_INVALID_PARAMETER,
                       "0x%llx bytes at 0x%llx are not in user space", (unsigned long long)size,
                       (unsigned long long)base);
    return STATUS_SUCCESS;
}

static void note_commit(struct mm_range *range, uint64_t base, uint64_t size, uint32_t protect)
{
    memset(range->attr + mm_range_page(range, base), mm_attr_make(protect, 0),
           (size_t)(size / MM_PAGE));
    mm_snapshot_touch(range);
}

/* Commits pages of an allocation; pages that are committed keep their content. Lock held. */
static int commit(struct mm_range *range, uint64_t base, uint64_t size, uint32_t protect)
{
    if (mprotect(mm_ptr(base), (size_t)size, mm_prot_of_protect(protect)) != 0)
        return errno;
    note_commit(range, base, size, protect);
    return 0;
}

static nt_status check_private(uint32_t protect, struct pe_error *err)
{
    if (!(protect & WRITECOPY))
        return STATUS_SUCCESS;
    return pe_fail(err, STATUS_INVALID_PAGE_PROTECTION,
                   "0x%x is no page protection for private memory", protect);
}

static nt_status alloc_new(uint64_t limit, uint64_t *base, uint64_t *size, uint32_t type,
                           uint32_t protect, struct pe_error *err)
{
    uint64_t at = mm_round_down(*base, MM_GRANULARITY);
    uint64_t bytes = mm_round_up(*base + *size, MM_PAGE) - at;
    struct mm_range *range = malloc(sizeof(*range));
    nt_status status = check_private(protect, err);

    if (range == NULL)
        return pe_fail(err, STATUS_NO_MEMORY, "no memory for an allocation's record");
    *range = (struct mm_range){0};
    if (nt_ok(status))
        status = mm_reserve(limit, &at, bytes,
                            type & MEM_COMMIT ? mm_prot_of_protect(protect) : PROT_NONE, err);
    if (!nt_ok(status)) {
        free(range);
        return status;
    }
    status = STATUS_NO_MEMORY;
    if (mm_range_init(range, MM_RANGE_PRIVATE, at, bytes, protect)) {
        if (type & MEM_COMMIT)
            note_commit(range, at, bytes, protect);
        mm_ranges_write_lock();
        status = mm_ranges_insert(range);
        mm_ranges_unlock();
    }
    if (!nt_ok(status)) {
        mm_unreserve(at, bytes);
        free(range->attr);
        free(range);
        return pe_fail(err, status, "cannot allocate 0x%llx bytes", (unsigned long long)bytes);
    }
    *base = at;
    *size = bytes;
    return STATUS_SUCCESS;
}

/* Lock held for writing. */
static nt_status commit_private(uint64_t at, uint64_t bytes, uint32_t protect)
{
    struct mm_range *range = mm_ranges_find(at);
    int error;

    if (range == NULL || bytes > mm_range_end(range) - at)
        return STATUS_CONFLICTING_ADDRESSES;
    if (range->kind != MM_RANGE_PRIVATE)
        return STATUS_ALREADY_COMMITTED;
    if (protect & WRITECOPY)
        return STATUS_INVALID_PAGE_PROTECTION;
    error = commit(range, at, bytes, protect);
    return error == 0 ? STATUS_SUCCESS : mm_status_of_errno(error);
}

/*
 * The content of the pages is no longer wanted, and need not be dropped. As in Windows, it may be
 * any part of one allocation or view.
 */
static nt_status reset(uint64_t at, uint64_t bytes)
{
    const struct mm_range *range = mm_ranges_find(at);

    return range == NULL || bytes > mm_range_end(range) - at ? STATUS_CONFLICTING_ADDRESSES
                                                             : STATUS_SUCCESS;
}

static nt_status alloc_in_range(uint64_t *base, uint64_t *size, uint32_t type, uint32_t protect,
                                struct pe_error *err)
{
    uint64_t at = mm_round_down(*base, MM_PAGE);
    uint64_t bytes = mm_round_up(*base + *size, MM_PAGE) - at;
    bool is_view = false;
    nt_status status = STATUS_SUCCESS;

    if (type & MEM_COMMIT)
        status = mm_data_commit(at, bytes, protect, &is_view, err);
    if (!is_view) {
        mm_ranges_write_lock();
        status = type & MEM_COMMIT ? commit_private(at, bytes, protect) : reset(at, bytes);
        mm_ranges_unlock();
        if (!nt_ok(status))
            pe_fail(err, status, "0x%llx bytes at 0x%llx cannot be committed: %s",
                    (unsigned long long)bytes, (unsigned long long)at, nt_status_text(status));
    }
    if (!nt_ok(status))
        return status;
    *base = at;
    *size = bytes;
    return STATUS_SUCCESS;
}

nt_status mm_alloc_below(uint64_t limit, uint64_t *base, uint64_t *size, uint32_t type,
                         uint32_t protect, struct pe_error *err)
{
    nt_status status = check_request(*base, *size, type, protect, err);

    if (!nt_ok(status))
        return status;
    /* Without an address, MEM_COMMIT alone reserves as well. */
    if ((*base == 0 && type != MEM_RESET) || (type & MEM_RESERVE))
        return alloc_new(limit, base, size, type, protect, err);
    return alloc_in_range(base, size, type, protect, err);
}

nt_status mm_alloc(uint64_t *base, uint64_t *size, uint32_t type, uint32_t protect,
                   struct pe_error *err)
{
    return mm_alloc_below(0, base, size, type, protect, err);
}

/* ---- VirtualFree --------------------------------------------------------------------------------
 */

/* Lock held for writing; the range leaves the list and goes to the caller. */
static nt_status release(uint64_t base, uint64_t size, struct mm_range **out)
{
    struct mm_range *range = mm_ranges_find(base);

    if (size != 0)
        return STATUS_INVALID_PARAMETER;
    if (range == NULL)
        return STATUS_MEMORY_NOT_ALLOCATED;
    if (range->kind != MM_RANGE_PRIVATE)
        return STATUS_UNABLE_TO_DELETE_SECTION;
    if (range->base != mm_round_down(base, MM_PAGE))
        return STATUS_FREE_VM_NOT_AT_BASE;
    mm_ranges_remove(range);
    *out = range;
    return STATUS_SUCCESS;
}

/* Lock held for writing. */
static nt_status decommit(uint64_t base, uint64_t size)
{
    struct mm_range *range = mm_ranges_find(base);
    uint64_t at = mm_round_down(base, MM_PAGE), room;

    if (range == NULL)
        return STATUS_MEMORY_NOT_ALLOCATED;
    if (range->kind != MM_RANGE_PRIVATE)
        return STATUS_UNABLE_TO_DELETE_SECTION;
    room = mm_range_end(range) - at;
    if (size == 0 && at != range->base)
        return STATUS_FREE_VM_NOT_AT_BASE;
    if (size > room - (base - at))
        return STATUS_UNABLE_TO_FREE_VM;
    size = size == 0 ? room : mm_round_up(base - at + size, MM_PAGE);
    if (mmap(mm_ptr(at), (size_t)size, PROT_NONE,
             MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == MAP_FAILED)
        return mm_status_of_errno(errno);
    memset(range->attr + mm_range_page(range, at), 0, (size_t)(size / MM_PAGE));
    if (range->kept != NULL)
        range->kept->replaced = true;
    mm_snapshot_touch(range);
    return STATUS_SUCCESS;
}

nt_status mm_free(uint64_t base, uint64_t size, uint32_t type, struct pe_error *err)
{
    struct mm_range *released = NULL;
    nt_status status = STATUS_INVALID_PARAMETER;

    mm_ranges_write_lock();
    if (type == MEM_RELEASE)
        status = release(base, size, &released);
    else if (type == MEM_DECOMMIT)
        status = decommit(base, size);
    mm_ranges_unlock();
    if (!nt_ok(status))
        return pe_fail(err, status, "0x%llx bytes at 0x%llx cannot be freed (type 0x%x): %s",
                       (unsigned long long)size, (unsigned long long)base, type,
                       nt_status_text(status));
    if (released != NULL) {
        mm_unreserve(released->base, released->size);
        free(released->attr);
        free(released);
    }
    return STATUS_SUCCESS;
}
