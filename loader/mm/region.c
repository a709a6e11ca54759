/*
 * The sorted list of views and allocations (region.h).
 *
 * An array of pointers with binary search: lookups happen on every VirtualQuery and fault, changes
 * only when something is mapped.
 */
#include "loader/mm/region.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static struct mm_range **ranges;
static size_t range_count, range_room;
/* How often this thread has the lock, or is about to: a signal handler may have tried it as well.
 */
static __thread volatile unsigned held __attribute__((tls_model("initial-exec")));

void mm_ranges_read_lock(void)
{
    held++;
    pthread_rwlock_rdlock(&lock);
}

void mm_ranges_write_lock(void)
{
    held++;
    pthread_rwlock_wrlock(&lock);
}

bool mm_ranges_try_read_lock(void)
{
    bool done = pthread_rwlock_tryrdlock(&lock) == 0;

    held += done;
    return done;
}

bool mm_ranges_try_write_lock(void)
{
    bool done = pthread_rwlock_trywrlock(&lock) == 0;

    held += done;
    return done;
}

bool mm_ranges_write_lock_in_fault(void)
{
    if (held != 0)
        return false;
    while (!mm_ranges_try_write_lock())
        sched_yield();
    return true;
}

void mm_ranges_unlock(void)
{
    pthread_rwlock_unlock(&lock);
    held--;
}

/* Index of the first range that ends above `address`. */
static size_t lower_bound(uint64_t address)
{
    size_t low = 0, high = range_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (mm_range_end(ranges[middle]) <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/*
 * A leak checker does not look into mapped memory by itself, but images and thread blocks keep
 * pointers to our heap there.
 */
void __lsan_register_root_region(const void *begin, size_t size) __attribute__((weak));
void __lsan_unregister_root_region(const void *begin, size_t size) __attribute__((weak));

nt_status mm_ranges_insert(struct mm_range *range)
{
    size_t at;

    if (range_count == range_room) {
        size_t room = range_room ? 2 * range_room : 16;
        struct mm_range **grown = realloc(ranges, room * sizeof(*grown));

        if (grown == NULL)
            return STATUS_NO_MEMORY;
        ranges = grown;
        range_room = room;
    }
    at = lower_bound(range->base);
    memmove(&ranges[at + 1], &ranges[at], (range_count - at) * sizeof(*ranges));
    ranges[at] = range;
    range_count++;
    if (__lsan_register_root_region)
        __lsan_register_root_region(mm_ptr(range->base), (size_t)range->size);
    return STATUS_SUCCESS;
}

void mm_ranges_remove(const struct mm_range *range)
{
    size_t at = lower_bound(range->base);

    if (at == range_count || ranges[at] != range)
        return;
    if (range->kept != NULL)
        mm_snapshot_gone(range->kept);
    if (__lsan_unregister_root_region)
        __lsan_unregister_root_region(mm_ptr(range->base), (size_t)range->size);
    range_count--;
    memmove(&ranges[at], &ranges[at + 1], (range_count - at) * sizeof(*ranges));
    if (range_count == 0) {
        free(ranges);
        ranges = NULL;
        range_room = 0;
    }
}

struct mm_range *mm_ranges_from(uint64_t address)
{
    size_t at = lower_bound(address);

    return at < range_count ? ranges[at] : NULL;
}

struct mm_range *mm_ranges_find(uint64_t address)
{
    struct mm_range *range = mm_ranges_from(address);

    return range != NULL && range->base <= address ? range : NULL;
}

uint64_t mm_ranges_end_before(uint64_t address)
{
    size_t at = lower_bound(address);

    return at > 0 ? mm_range_end(ranges[at - 1]) : 0;
}

bool mm_range_init(struct mm_range *range, enum mm_range_kind kind, uint64_t base, uint64_t size,
                   uint32_t allocation_protect)
{
    *range = (struct mm_range){
        .base = base, .size = size, .kind = kind, .allocation_protect = allocation_protect};
    range->attr = calloc((size_t)(size / MM_PAGE), 1);
    return range->attr != NULL;
}
