/*
 * The list of what a snapshot keeps, and going back as a whole (snapshot.h).
 */
#include "loader/mm/snapshot.h"

#include <stdlib.h>
#include <time.h>

#include "loader/mm/data.h"
#include "loader/mm/heap.h"
#include "loader/mm/poison.h"
#include "loader/mm/snapshot_object.h"
#include "loader/mm/view_object.h"

/* Under the region lock. Records outlive the snapshot that they were made for, as pages stay mapped
 * from the store. */
static struct mm_kept *kept_list;
static bool taken;
static unsigned caches; /* threads with blocks of the heap of their own */

void mm_exempt(uint64_t base)
{
    struct mm_range *range;

    mm_ranges_write_lock();
    range = mm_ranges_find(base);
    if (range != NULL)
        range->exempt = true;
    mm_ranges_unlock();
}

void mm_snapshot_gone(struct mm_kept *kept)
{
    kept->range = NULL;
    /* A view that is gone cannot be had again: nobody waits for its addresses. */
    if (taken && kept->kind == MM_RANGE_PRIVATE)
        mm_held_promise(kept);
}

void mm_snapshot_touch(const struct mm_range *range)
{
    if (range->kept != NULL)
        range->kept->touched = true;
}

static bool is_covered(const struct mm_range *range)
{
    return !range->exempt && range->kind != MM_RANGE_MIRROR;
}

/* The records of ranges that are gone, or that nobody wants to go back to any more, and the
 * addresses that were held for them. */
static void drop_gone(void)
{
    mm_held_drop();
    for (struct mm_kept **link = &kept_list; *link != NULL;) {
        struct mm_kept *kept = *link;

        if (kept->range != NULL && is_covered(kept->range)) {
            link = &kept->next;
            continue;
        }
        *link = kept->next;
        mm_kept_free(kept);
    }
}

static nt_status keep(struct mm_range *range, struct pe_error *err)
{
    if (range->kept == NULL) {
        struct mm_kept *kept = calloc(1, sizeof(*kept));

        if (kept == NULL)
            return pe_fail(err, STATUS_NO_MEMORY, "no memory for a snapshot");
        kept->range = range;
        kept->next = kept_list;
        kept_list = range->kept = kept;
    }
    return mm_kept_fill(range->kept, range, err);
}

nt_status mm_snapshot_take(struct pe_error *err)
{
    nt_status status = STATUS_SUCCESS;
    struct mm_range *range;

    mm_heap_enter();
    caches = mm_heap_caches();
    mm_ranges_write_lock();
    drop_gone();
    for (range = mm_ranges_from(0); range != NULL && nt_ok(status);
         range = mm_ranges_from(mm_range_end(range)))
        if (is_covered(range))
            status = keep(range, err);
    taken = nt_ok(status);
    mm_ranges_unlock();
    return status;
}

void mm_snapshot_drop(void)
{
    mm_ranges_write_lock();
    taken = false;
    drop_gone();
    mm_ranges_unlock();
}

/* ---- going back --------------------------------------------------------------------------------
 */

/* A view cannot be mapped anew: its section may be gone, or be another one by now. */
static nt_status check_kept(const struct mm_kept *kept, struct pe_error *err)
{
    if (kept->range != NULL || kept->kind == MM_RANGE_PRIVATE)
        return STATUS_SUCCESS;
    return pe_fail(err, STATUS_NOT_MAPPED_VIEW, "the %s at 0x%llx was unmapped after the snapshot",
                   kept->kind == MM_RANGE_IMAGE ? "image" : "view", (unsigned long long)kept->base);
}

/*
 * A thread that has ended gives its blocks back as the last thing that it does, when for images it
 * has been gone for a while.
 */
static nt_status check_caches(struct pe_error *err)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    for (int attempt = 0; attempt < 1000; attempt++) {
        if (mm_heap_caches() == caches)
            return STATUS_SUCCESS;
        nanosleep(&pause, NULL);
    }
    return pe_fail(err, STATUS_NOT_SUPPORTED,
                   "other threads have used the heap of images since the snapshot, or have ended");
}

nt_status mm_snapshot_check(struct pe_error *err)
{
    nt_status status = taken ? check_caches(err) : STATUS_SUCCESS;

    if (!nt_ok(status))
        return status;
    mm_ranges_read_lock();
    if (!taken)
        status = pe_fail(err, STATUS_INVALID_PARAMETER, "there is no snapshot to go back to");
    for (const struct mm_kept *kept = kept_list; kept != NULL && nt_ok(status); kept = kept->next)
        status = check_kept(kept, err);
    mm_ranges_unlock();
    return status;
}

/* What an image could end by a call of its own. */
static bool is_new(const struct mm_range *range)
{
    return is_covered(range) && range->kept == NULL &&
           (range->kind != MM_RANGE_IMAGE || range->view->unmappable);
}

static bool find_new(uint64_t from, uint64_t *base, enum mm_range_kind *kind)
{
    struct mm_range *range;

    mm_ranges_read_lock();
    range = mm_ranges_from(from);
    while (range != NULL && !is_new(range))
        range = mm_ranges_from(mm_range_end(range));
    if (range != NULL) {
        *base = range->base;
        *kind = range->kind;
        mm_unpoison(mm_ptr(range->base), (size_t)range->size);
    }
    mm_ranges_unlock();
    return range != NULL;
}

static nt_status end_new(struct pe_error *err)
{
    nt_status status = STATUS_SUCCESS;
    enum mm_range_kind kind;

    for (uint64_t base = 0; nt_ok(status) && find_new(base, &base, &kind);)
        status = kind == MM_RANGE_PRIVATE ? mm_free(base, 0, MEM_RELEASE, err)
                                          : mm_unmap_view(base, err);
    return status;
}

nt_status mm_snapshot_reset(struct pe_error *err)
{
    nt_status status = mm_snapshot_check(err);

    if (nt_ok(status))
        status = end_new(err);
    if (!nt_ok(status))
        return status;
    mm_ranges_write_lock();
    for (struct mm_kept *kept = kept_list; kept != NULL && nt_ok(status); kept = kept->next) {
        /* Which blocks there are is not what it was: from here on all of it can be read. */
        if (kept->kind == MM_RANGE_PRIVATE)
            mm_unpoison(mm_ptr(kept->base), (size_t)kept->size);
        if (kept->range == NULL)
            status = mm_kept_revive(kept, err);
        if (nt_ok(status))
            status = mm_kept_restore(kept, err);
    }
    mm_ranges_unlock();
    return status;
}
