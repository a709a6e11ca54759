/*
 * The end of a view, and flushing (data.h; facts 4.4).
 *
 * Dirty pages of a data view are in the page cache, which is the file for everyone who reads it;
 * msync(2) is what makes the file system write them, and only those. A SEC_NOCACHE view is written
 * before it goes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "loader/mm/data_object.h"
#include "loader/mm/reserve.h"
#include "loader/mm/view_object.h"

void mm_data_view_end(struct mm_data_view *view)
{
    const struct mm_data_source *source = &view->data->source;

    if (source->commit != NULL)
        atomic_fetch_sub(&mm_data_reserved_views, 1);
    if (!source->paging_file && (source->attributes & SEC_NOCACHE))
        msync(mm_ptr(view->range.base), (size_t)view->range.size, MS_SYNC);
    mm_unreserve(view->range.base, view->range.size);
    mm_data_unref(view->data);
    free(view->range.attr);
    free(view);
}

/* The view that holds `address` leaves the list, so that one caller only ends it. */
static nt_status take(uint64_t address, struct mm_range **out)
{
    struct mm_range *range;
    nt_status status = STATUS_SUCCESS;

    mm_ranges_write_lock();
    range = mm_ranges_find(address);
    if (range == NULL || (range->view == NULL && range->data == NULL))
        status = STATUS_NOT_MAPPED_VIEW;
    else if (range->view != NULL && !range->view->unmappable)
        status = STATUS_NOT_SUPPORTED;
    else
        mm_ranges_remove(range);
    mm_ranges_unlock();
    *out = range;
    return status;
}

nt_status mm_unmap_view(uint64_t address, struct pe_error *err)
{
    struct mm_range *range;
    nt_status status = take(address, &range);

    if (status == (nt_status)STATUS_NOT_SUPPORTED)
        return pe_fail(err, status,
                       "0x%llx lies in a module: it goes when the module is freed, not before",
                       (unsigned long long)address);
    if (!nt_ok(status))
        return pe_fail(err, status, "0x%llx lies in no mapped view", (unsigned long long)address);
    if (range->data != NULL)
        mm_data_view_end(range->data);
    else
        mm_view_end(range->view);
    return STATUS_SUCCESS;
}

/* ---- FlushViewOfFile ----------------------------------------------------------------------------
 */

/* Rounds the range outwards to pages. `*data` is a reference, NULL where nothing can be dirty. */
static nt_status find_pages(uint64_t *address, uint64_t *size, struct mm_data **data)
{
    uint64_t at = mm_round_down(*address, MM_PAGE);
    nt_status status = STATUS_NOT_MAPPED_VIEW;
    const struct mm_range *range;

    mm_ranges_read_lock();
    range = mm_ranges_find(at);
    if (range != NULL && (range->view != NULL || range->data != NULL)) {
        uint64_t room = mm_range_end(range) - *address;

        status = *size <= room ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;
        if (nt_ok(status)) {
            *size = mm_round_up(*address - at + (*size != 0 ? *size : room), MM_PAGE);
            *address = at;
            if (range->data != NULL && !range->data->data->source.paging_file)
                *data = mm_data_ref(range->data->data);
        }
    }
    mm_ranges_unlock();
    return status;
}

nt_status mm_flush_view(uint64_t *address, uint64_t *size, struct pe_error *err)
{
    struct mm_data *data = NULL;
    nt_status status = find_pages(address, size, &data);
    int error = 0;

    if (!nt_ok(status))
        return pe_fail(err, status, "0x%llx bytes at 0x%llx cannot be flushed: %s",
                       (unsigned long long)*size, (unsigned long long)*address,
                       nt_status_text(status));
    if (data == NULL)
        return status;
    if (msync(mm_ptr(*address), (size_t)*size, MS_SYNC) != 0)
        error = errno;
    /* Unmapped by another thread since: its pages are in the file. */
    if (error != 0 && error != ENOMEM)
        status = pe_fail(err, mm_status_of_errno(error), "%s: cannot be written: %s",
                         mm_data_name(data), strerror(error));
    mm_data_unref(data);
    return status;
}
