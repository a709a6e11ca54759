/*
 * Address choice: at a wanted base, anywhere, or anywhere below a limit (facts 2.1).
 *
 * MAP_FIXED is never used on an address that was not reserved. A wanted base is asked for with
 * MAP_FIXED_NOREPLACE, which kernels before 4.17 take as a mere hint: the answer is compared.
 * Below a limit the gaps of /proc/self/maps are tried from the top down, so that the low addresses
 * that images prefer stay free.
 */
#include "loader/mm/reserve.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "loader/mm/held.h"
#include "loader/mm/maps.h"
#include "loader/mm/region.h"
#include "loader/mm/view.h"

/* Room that the main thread's stack keeps to grow into. */
#define STACK_ROOM 0x4000000u
/* A gap that is seen but cannot be had was lost to another thread; this often is enough. */
#define MAX_ATTEMPTS 64

nt_status mm_reserve_unused(uint64_t base, uint64_t size, int fd, uint64_t offset, int prot)
{
    int anonymous = fd < 0 ? MAP_ANONYMOUS : 0;
    void *got;

    if (!mm_in_user_space(base, size))
        return STATUS_CONFLICTING_ADDRESSES;
    got = mmap(mm_ptr(base), (size_t)size, prot,
               MAP_PRIVATE | anonymous | MAP_NORESERVE | MAP_FIXED_NOREPLACE, fd, (off_t)offset);
    if (got == MAP_FAILED)
        return errno == ENOMEM ? STATUS_NO_MEMORY : STATUS_CONFLICTING_ADDRESSES;
    if (got == mm_ptr(base))
        return STATUS_SUCCESS;
    munmap(got, (size_t)size);
    return STATUS_CONFLICTING_ADDRESSES;
}

/* Lock held for writing: of what is held and what is unused. */
static nt_status reserve_held(uint64_t base, uint64_t size, int fd, uint64_t offset, int prot)
{
    int anonymous = fd < 0 ? MAP_ANONYMOUS : 0;
    nt_status status = mm_held_take(base, size);

    if (!nt_ok(status) || (fd < 0 && prot == PROT_NONE) ||
        mmap(mm_ptr(base), (size_t)size, prot, MAP_PRIVATE | anonymous | MAP_NORESERVE | MAP_FIXED,
             fd, (off_t)offset) != MAP_FAILED)
        return status;
    status = mm_status_of_errno(errno);
    mm_held_give(base, size);
    return status;
}

nt_status mm_reserve_with(uint64_t base, uint64_t size, int fd, uint64_t offset, int prot)
{
    nt_status status = mm_reserve_unused(base, size, fd, offset, prot);

    if (status != (nt_status)STATUS_CONFLICTING_ADDRESSES || !mm_held_any() ||
        !mm_in_user_space(base, size))
        return status;
    mm_ranges_write_lock();
    status = reserve_held(base, size, fd, offset, prot);
    mm_ranges_unlock();
    return status;
}

nt_status mm_reserve_at(uint64_t base, uint64_t size)
{
    return mm_reserve_with(base, size, -1, 0, PROT_NONE);
}

void mm_unreserve(uint64_t base, uint64_t size)
{
    if (!mm_held_any()) {
        munmap(mm_ptr(base), (size_t)size);
        return;
    }
    mm_ranges_write_lock();
    mm_held_give(base, size);
    mm_ranges_unlock();
}

/* How far below the kernel's own choice the next reservations may lie before it is asked again, so
 * that a process which reserves and frees for ever does not wander through its address space. */
#define MAX_DESCENT 0x4000000u

/* The last reservation that the kernel chose the place of, and the lowest one below it. */
static _Atomic uint64_t chosen, lowest;

/*
 * The kernel fills its address space from the top down, so what follows a reservation fits right
 * below it as a rule, and takes one call there where the kernel's choice takes three. Before the
 * first one that is below the C library's data of this thread, the last mapping of a new process.
 */
static bool reserve_next(uint64_t size, int prot, uint64_t *base)
{
    uint64_t before = atomic_load_explicit(&lowest, memory_order_relaxed), at;
    uint64_t top = atomic_load_explicit(&chosen, memory_order_relaxed);

    if (before == 0)
        before = top = mm_address(&errno);
    if (size > before - MM_USER_BEGIN)
        return false;
    at = mm_round_down(before - size, MM_GRANULARITY);
    if (top - at > MAX_DESCENT || !nt_ok(mm_reserve_unused(at, size, -1, 0, prot)))
        return false;
    atomic_store_explicit(&chosen, top, memory_order_relaxed);
    atomic_store_explicit(&lowest, at, memory_order_relaxed);
    *base = at;
    return true;
}

/* The kernel chooses: ask for a granule more and trim both ends. */
static nt_status reserve_by_kernel(uint64_t size, int prot, uint64_t *base)
{
    uint64_t slack = MM_GRANULARITY - MM_PAGE, start, aligned;
    void *got;

    if (size > MM_USER_END - slack)
        return STATUS_NO_MEMORY;
    if (reserve_next(size, prot, base))
        return STATUS_SUCCESS;
    got = mmap(NULL, (size_t)(size + slack), prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
               0);
    if (got == MAP_FAILED)
        return mm_status_of_errno(errno);
    start = mm_address(got);
    aligned = mm_round_up(start, MM_GRANULARITY);
    if (aligned > start)
        munmap(got, (size_t)(aligned - start));
    if (start + slack > aligned)
        munmap(mm_ptr(aligned + size), (size_t)(start + slack - aligned));
    atomic_store_explicit(&chosen, aligned, memory_order_relaxed);
    atomic_store_explicit(&lowest, aligned, memory_order_relaxed);
    *base = aligned;
    return STATUS_SUCCESS;
}

/* The highest aligned base in the gap [low, high), kept in `best`; KUSER_SHARED_DATA's page is
 * none. */
static void consider(uint64_t low, uint64_t high, uint64_t size, uint64_t *best)
{
    if (low < MM_KUSER_END && high > MM_KUSER_BEGIN) {
        consider(low, MM_KUSER_BEGIN, size, best);
        low = MM_KUSER_END;
    }
    low = mm_round_up(low, MM_GRANULARITY);
    if (low < high && high - low >= size) {
        uint64_t base = mm_round_down(high - size, MM_GRANULARITY);

        if (base > *best)
            *best = base;
    }
}

/* The highest free base for `size` bytes ending at or below `limit`; 0 = none. */
static uint64_t find_gap(uint64_t size, uint64_t limit)
{
    uint64_t low = MM_USER_BEGIN, best = 0;
    struct mm_map_entry entry;
    struct mm_maps maps;

    if (!mm_maps_open(&maps))
        return 0;
    while (low < limit && mm_maps_next(&maps, &entry)) {
        uint64_t high = entry.start < limit ? entry.start : limit;

        if (strcmp(entry.path, "[stack]") == 0)
            high = high > low + STACK_ROOM ? high - STACK_ROOM : low;
        if (high > low)
            consider(low, high, size, &best);
        if (entry.end > low)
            low = entry.end;
    }
    if (low < limit)
        consider(low, limit, size, &best);
    mm_maps_close(&maps);
    return best;
}

static nt_status reserve_under_limit(uint64_t size, uint64_t limit, int prot, uint64_t *base)
{
    for (int attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
        uint64_t at = find_gap(size, limit);
        nt_status status;

        if (at == 0)
            break;
        status = mm_reserve_with(at, size, -1, 0, prot);
        if (status != (nt_status)STATUS_CONFLICTING_ADDRESSES) {
            *base = at;
            return status;
        }
        limit = at + size - MM_GRANULARITY;
    }
    return STATUS_NO_MEMORY;
}

/* What a snapshot waits for is used last: it is free all the same. */
static nt_status reserve_of_held(uint64_t size, uint64_t limit, int prot, uint64_t *base)
{
    uint64_t at = 0;
    nt_status status = STATUS_NO_MEMORY;

    mm_ranges_write_lock();
    for (struct mm_span span = mm_held_from(0); span.base < limit; span = mm_held_from(span.end))
        consider(span.base, span.end < limit ? span.end : limit, size, &at);
    if (at != 0)
        status = reserve_held(at, size, -1, 0, prot);
    mm_ranges_unlock();
    *base = at;
    return status;
}

nt_status mm_reserve_anywhere(uint64_t size, uint64_t limit, int prot, uint64_t *base)
{
    bool limited = limit != 0 && limit < MM_USER_END;
    nt_status status = limited ? reserve_under_limit(size, limit, prot, base)
                               : reserve_by_kernel(size, prot, base);

    if (status != (nt_status)STATUS_NO_MEMORY || !mm_held_any())
        return status;
    return reserve_of_held(size, limited ? limit : MM_USER_END, prot, base);
}

static const char *describe_kind(const struct mm_range *range)
{
    const char *name = mm_range_name(range);

    if (name[0] != '\0')
        return name;
    return range->kind == MM_RANGE_DATA ? "a view of the paging file"
                                        : "memory that was allocated with VirtualAlloc";
}

/* Names the own range in [base, end); false when there is none. */
static bool describe_range(uint64_t base, uint64_t end, char *out, size_t out_size)
{
    const struct mm_range *range;

    mm_ranges_read_lock();
    range = mm_ranges_from(base);
    if (range != NULL && range->base >= end)
        range = NULL;
    if (range != NULL)
        snprintf(out, out_size, "0x%llx-0x%llx is taken by %s", (unsigned long long)range->base,
                 (unsigned long long)mm_range_end(range) - 1, describe_kind(range));
    mm_ranges_unlock();
    return range != NULL;
}

/* Nothing of peldr's own lies in [start, end), and it is more than what is held. */
static bool is_the_hosts(uint64_t start, uint64_t end)
{
    const struct mm_range *range;
    struct mm_span held;

    mm_ranges_read_lock();
    range = mm_ranges_from(start);
    held = mm_held_from(start);
    mm_ranges_unlock();
    return (range == NULL || range->base >= end) && (held.base > start || held.end < end);
}

static bool describe_host(uint64_t base, uint64_t end, char *out, size_t out_size)
{
    struct mm_map_entry entry;
    struct mm_maps maps;
    bool found = false;

    if (!mm_maps_open(&maps))
        return false;
    while (!found && mm_maps_next(&maps, &entry))
        found = entry.start < end && entry.end > base && is_the_hosts(entry.start, entry.end);
    if (found)
        snprintf(out, out_size, "0x%llx-0x%llx is taken by %s", (unsigned long long)entry.start,
                 (unsigned long long)entry.end - 1,
                 entry.path[0] != '\0' ? entry.path : "anonymous memory of the host");
    mm_maps_close(&maps);
    return found;
}

bool mm_describe_own_conflict(uint64_t base, uint64_t size, char *out, size_t out_size)
{
    uint64_t end = size <= UINT64_MAX - base ? base + size : UINT64_MAX;

    if (base < MM_USER_BEGIN || mm_in_user_space(base, size))
        return describe_range(base, end, out, out_size);
    snprintf(out, out_size, "0x%llx-0x%llx leaves the address space of this process",
             (unsigned long long)base, (unsigned long long)end - 1);
    return true;
}

void mm_describe_host_conflict(uint64_t base, uint64_t size, char *out, size_t out_size)
{
    uint64_t end = size <= UINT64_MAX - base ? base + size : UINT64_MAX;

    if (!describe_host(base, end, out, out_size))
        snprintf(out, out_size, "0x%llx-0x%llx was taken, or cannot be mapped in this process",
                 (unsigned long long)base, (unsigned long long)end - 1);
}

void mm_describe_conflict(uint64_t base, uint64_t size, char *out, size_t out_size)
{
    if (!mm_describe_own_conflict(base, size, out, out_size))
        mm_describe_host_conflict(base, size, out, out_size);
}

nt_status mm_reserve(uint64_t limit, uint64_t *base, uint64_t size, int prot, struct pe_error *err)
{
    char conflict[512];
    nt_status status;

    if (*base == 0) {
        status = mm_reserve_anywhere(size, limit, prot, base);
        if (!nt_ok(status))
            return pe_fail(err, status, "no room for 0x%llx bytes", (unsigned long long)size);
        return status;
    }
    if (limit != 0 && (*base >= limit || size > limit - *base))
        return pe_fail(err, STATUS_INVALID_PARAMETER, "0x%llx lies above the limit 0x%llx",
                       (unsigned long long)*base, (unsigned long long)limit);
    status = mm_reserve_with(*base, size, -1, 0, prot);
    if (nt_ok(status))
        return status;
    mm_describe_conflict(*base, size, conflict, sizeof(conflict));
    return pe_fail(err, status, "%s", conflict);
}
