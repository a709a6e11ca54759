/*
 * Mapping a view of a data section (data.h; facts 4.2, 4.3).
 *
 * The kernel keeps views coherent: all of them map the same pages of one file, MAP_SHARED, or
 * MAP_PRIVATE where a write makes a copy. A range of addresses is reserved first and the view laid
 * over it, so nothing else is ever mapped over.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "loader/mm/data_object.h"
#include "loader/mm/reserve.h"

#define WRITECOPY (PAGE_WRITECOPY | PAGE_EXECUTE_WRITECOPY)

/* Rounds up to pages what `how` wants of the section. */
static nt_status check_part(const struct mm_data *data, const struct mm_data_map *how,
                            uint64_t *size, struct pe_error *err)
{
    uint64_t whole = data->source.size;

    if (how->offset % MM_GRANULARITY != 0 || how->base % MM_GRANULARITY != 0)
        return pe_fail(err, STATUS_MAPPED_ALIGNMENT,
                       "%s: a view at 0x%llx of offset 0x%llx: both must be multiples of 64 KiB",
                       mm_data_name(data), (unsigned long long)how->base,
                       (unsigned long long)how->offset);
    if (how->offset >= whole || how->size > whole - how->offset)
        return pe_fail(err, STATUS_INVALID_VIEW_SIZE,
                       "%s: a view of 0x%llx bytes from offset 0x%llx does not fit a section of "
                       "0x%llx bytes",
                       mm_data_name(data), (unsigned long long)how->size,
                       (unsigned long long)how->offset, (unsigned long long)whole);
    *size = mm_round_up(how->size != 0 ? how->size : whole - how->offset, MM_PAGE);
    return STATUS_SUCCESS;
}

static nt_status check_protect(const struct mm_data *data, uint32_t protect, struct pe_error *err)
{
    if (!mm_protect_valid(protect) || protect > 0xFF)
        return pe_fail(err, STATUS_INVALID_PAGE_PROTECTION, "%s: 0x%x is no protection for a view",
                       mm_data_name(data), protect);
    if (!mm_protect_allows_view(data->source.protect, protect))
        return pe_fail(err, STATUS_SECTION_PROTECTION, "%s: a %s section has no %s views",
                       mm_data_name(data), mm_protect_name(data->source.protect),
                       mm_protect_name(protect));
    return STATUS_SUCCESS;
}

/* Lays the file over the view's reserved range; pages of a reserved section are closed at first. */
static nt_status overlay(const struct mm_data_view *view, struct pe_error *err)
{
    const struct mm_data_source *source = &view->data->source;
    uint32_t protect = view->range.allocation_protect;
    int prot = mm_prot_of_protect(protect);
    int flags = protect & WRITECOPY ? MAP_PRIVATE : MAP_SHARED;

    if (mmap(mm_ptr(view->range.base), (size_t)view->range.size,
             source->commit != NULL ? PROT_NONE : prot, MAP_FIXED | flags, source->fd,
             (off_t)(source->offset + view->offset)) != MAP_FAILED)
        return STATUS_SUCCESS;
    if (errno == EPERM && (prot & PROT_EXEC))
        return pe_fail(err, STATUS_ACCESS_DENIED,
                       "%s: no executable view: its file system is mounted noexec",
                       mm_data_name(view->data));
    return pe_fail(err, mm_status_of_errno(errno), "%s: cannot be mapped %s: %s",
                   mm_data_name(view->data), mm_protect_name(protect), strerror(errno));
}

static nt_status populate(struct mm_data_view *view, struct pe_error *err)
{
    const struct mm_range *range = &view->range;
    uint32_t *commit = view->data->source.commit;
    nt_status status = overlay(view, err);

    if (!nt_ok(status))
        return status;
    if (commit == NULL)
        memset(range->attr,
               mm_attr_make(range->allocation_protect,
                            range->allocation_protect & WRITECOPY ? 0 : MM_ATTR_SHARED),
               (size_t)(range->size / MM_PAGE));
    mm_ranges_write_lock();
    status = mm_ranges_insert(&view->range);
    if (nt_ok(status) && commit != NULL) {
        bool opened;

        atomic_fetch_add(&mm_data_reserved_views, 1);
        mm_data_view_refresh(view, 0, range->size / MM_PAGE, &opened); /* or at the fault */
    }
    mm_ranges_unlock();
    if (!nt_ok(status))
        pe_fail(err, status, "%s: no memory for the view", mm_data_name(view->data));
    return status;
}

static nt_status map_at(struct mm_data *data, const struct mm_data_map *how, uint64_t base,
                        uint64_t size, struct pe_error *err)
{
    uint32_t protect = how->protect | mm_data_modifier(data, how->protect);
    struct mm_data_view *view = calloc(1, sizeof(*view));
    nt_status status;

    if (view == NULL || !mm_range_init(&view->range, MM_RANGE_DATA, base, size, protect)) {
        free(view);
        return pe_fail(err, STATUS_NO_MEMORY, "%s: no memory for the view", mm_data_name(data));
    }
    view->range.data = view;
    view->data = mm_data_ref(data);
    view->offset = how->offset;
    status = populate(view, err);
    if (!nt_ok(status)) {
        mm_data_unref(data);
        free(view->range.attr);
        free(view);
    }
    return status;
}

nt_status mm_data_map(struct mm_data *data, const struct mm_data_map *how, uint64_t *base,
                      uint64_t *size, struct pe_error *err)
{
    uint64_t at = how->base, bytes = 0;
    nt_status status = check_part(data, how, &bytes, err);

    if (nt_ok(status))
        status = check_protect(data, how->protect, err);
    if (nt_ok(status)) {
        status = mm_reserve(how->limit, &at, bytes, PROT_NONE, err);
        if (!nt_ok(status))
            pe_error_prefix(err, "%s: ", mm_data_name(data));
    }
    if (!nt_ok(status))
        return status;
    status = map_at(data, how, at, bytes, err);
    if (!nt_ok(status)) {
        mm_unreserve(at, bytes);
        return status;
    }
    *base = at;
    *size = bytes;
    return status;
}
