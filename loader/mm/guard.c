/*
 * Guard pages and pages that are executed without being executable (view.h): what a fault handler
 * asks about the page that was touched.
 */
#include <sched.h>
#include <string.h>
#include <sys/mman.h>

#include "loader/mm/view_object.h"

/* Of a fault handler: its own thread may hold the lock, others will let go of it. */
#define LOCK_TRIES 64

bool mm_is_allocation(uint64_t address)
{
    for (int i = 0; i < LOCK_TRIES; i++, sched_yield()) {
        if (!mm_ranges_try_read_lock())
            continue;
        const struct mm_range *range = mm_ranges_find(address);
        bool found =
            range != NULL && (range->kind == MM_RANGE_PRIVATE || range->kind == MM_RANGE_DATA ||
                              (range->view != NULL && range->view->unmappable));
        mm_ranges_unlock();
        return found;
    }
    return false;
}

bool mm_guard_consume(uint64_t address)
{
    uint64_t at = mm_round_down(address, MM_PAGE);
    struct mm_range *range;
    bool consumed = false;

    mm_ranges_write_lock();
    range = mm_ranges_find(at);
    if (range != NULL) {
        uint8_t *attr = &range->attr[mm_range_page(range, at)];
        uint32_t protect = mm_attr_protect(*attr);

        if ((protect & PAGE_GUARD) &&
            mprotect(mm_ptr(at), (size_t)MM_PAGE, mm_prot_of_protect(protect & ~PAGE_GUARD)) == 0) {
            *attr = mm_attr_make(protect & ~PAGE_GUARD, *attr & (MM_ATTR_SHARED | MM_ATTR_WRITTEN));
            mm_snapshot_touch(range);
            consumed = true;
        }
    }
    mm_ranges_unlock();
    return consumed;
}

void mm_guard_open(uint64_t base, uint64_t size)
{
    struct mm_range *range;

    mprotect(mm_ptr(base), (size_t)size, PROT_READ | PROT_WRITE);
    for (int i = 0; i < LOCK_TRIES; i++, sched_yield()) {
        if (!mm_ranges_try_write_lock())
            continue;
        range = mm_ranges_find(base);
        if (range != NULL && range->kind == MM_RANGE_PRIVATE && size <= mm_range_end(range) - base)
            memset(range->attr + mm_range_page(range, base), mm_attr_make(PAGE_READWRITE, 0),
                   (size_t)(size / MM_PAGE));
        mm_ranges_unlock();
        return;
    }
}

static bool may_execute(uint64_t at, int prot)
{
    return (prot & PROT_READ) && !(prot & PROT_EXEC) &&
           mprotect(mm_ptr(at), (size_t)MM_PAGE, prot | PROT_EXEC) == 0;
}

/* The host's heap and stacks, which images take for their own. */
static bool execute_host(uint64_t at)
{
    struct mm_region region;

    if (!nt_ok(mm_query_pages(at, at + MM_PAGE, &region)) || region.state != MEM_COMMIT ||
        region.type != MEM_PRIVATE)
        return false;
    return may_execute(at, mm_prot_of_protect(region.protect));
}

bool mm_execute_anyway(uint64_t address)
{
    uint64_t at = mm_round_down(address, MM_PAGE);
    const struct mm_range *range;
    bool own, done = false;

    if (!mm_in_user_space(at, MM_PAGE))
        return false;
    mm_ranges_write_lock();
    range = mm_ranges_find(at);
    own = range != NULL;
    if (own && range->kind != MM_RANGE_MIRROR && !(range->view != NULL && range->view->open))
        done = may_execute(at, mm_attr_prot(range->attr[mm_range_page(range, at)]));
    mm_ranges_unlock();
    return own ? done : execute_host(at);
}
