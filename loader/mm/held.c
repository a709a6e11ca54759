/*
 * Freed addresses that are kept for a snapshot (held.h): the homes, and what is held of them, each
 * an array in ascending order.
 *
 * What cannot be recorded or reserved is given to the kernel as ever: going back then finds it
 * free, or is refused.
 */
#include "loader/mm/held.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "loader/mm/reserve.h"
#include "loader/mm/snapshot_object.h"

static struct {
    struct mm_kept **kept;
    size_t count, room;
} homes;

static struct {
    struct mm_span *span; /* neighbours are one */
    size_t count, room;
} held;

static atomic_bool any;

bool mm_held_any(void)
{
    return atomic_load_explicit(&any, memory_order_relaxed);
}

/* For one element more. */
static bool grow(void **array, size_t size, size_t count, size_t *room)
{
    size_t more = *room ? 2 * *room : 16;
    void *grown;

    if (count < *room)
        return true;
    grown = realloc(*array, more * size);
    if (grown == NULL)
        return false;
    *array = grown;
    *room = more;
    return true;
}

/* Mapped or not, it is reserved without access and without memory afterwards. */
static bool map_nothing(uint64_t base, uint64_t end)
{
    return mmap(mm_ptr(base), (size_t)(end - base), PROT_NONE,
                MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) != MAP_FAILED;
}

/* ---- homes -------------------------------------------------------------------------------------
 */

/* Index of the first home that ends above `address`. */
static size_t find_home(uint64_t address)
{
    size_t low = 0, high = homes.count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct mm_kept *kept = homes.kept[middle];

        if (kept->base + kept->size <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void mm_held_promise(struct mm_kept *kept)
{
    size_t at = find_home(kept->base);
    void *array = homes.kept;

    if (!grow(&array, sizeof(struct mm_kept *), homes.count, &homes.room)) {
        kept->replaced = true;
        return;
    }
    homes.kept = array;
    memmove(&homes.kept[at + 1], &homes.kept[at], (homes.count - at) * sizeof(struct mm_kept *));
    homes.kept[at] = kept;
    homes.count++;
    atomic_store_explicit(&any, true, memory_order_relaxed);
}

void mm_held_keep_promise(const struct mm_kept *kept)
{
    size_t at = find_home(kept->base);

    if (at == homes.count || homes.kept[at] != kept)
        return;
    homes.count--;
    memmove(&homes.kept[at], &homes.kept[at + 1], (homes.count - at) * sizeof(struct mm_kept *));
    atomic_store_explicit(&any, homes.count != 0, memory_order_relaxed);
}

/* The allocation stays mapped, with what it held at the snapshot, and closed. */
static bool put_to_sleep(struct mm_kept *kept)
{
    void *at = mm_ptr(kept->base);

    kept->asleep = !kept->replaced && madvise(at, (size_t)kept->size, MADV_DONTNEED) == 0 &&
                   mprotect(at, (size_t)kept->size, PROT_NONE) == 0;
    return kept->asleep;
}

/* What sleeps in [base, end) gives way to something else. */
static bool evict(uint64_t base, uint64_t end)
{
    for (size_t i = find_home(base); i < homes.count && homes.kept[i]->base < end; i++) {
        struct mm_kept *kept = homes.kept[i];

        if (kept->asleep && !map_nothing(kept->base, kept->base + kept->size))
            return false;
        kept->asleep = false;
        kept->replaced = true;
    }
    return true;
}

/* ---- what is held ------------------------------------------------------------------------------
 */

/* Index of the first span that ends above `address`. */
static size_t find(uint64_t address)
{
    size_t low = 0, high = held.count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (held.span[middle].end <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool have_room(void)
{
    void *array = held.span;
    bool done = grow(&array, sizeof(*held.span), held.count, &held.room);

    held.span = array;
    return done;
}

/* There is room. */
static void insert(size_t at, uint64_t base, uint64_t end)
{
    memmove(&held.span[at + 1], &held.span[at], (held.count - at) * sizeof(*held.span));
    held.span[at] = (struct mm_span){base, end};
    held.count++;
}

static void erase(size_t at)
{
    held.count--;
    memmove(&held.span[at], &held.span[at + 1], (held.count - at) * sizeof(*held.span));
}

struct mm_span mm_held_from(uint64_t address)
{
    size_t at = find(address);

    return at < held.count ? held.span[at] : (struct mm_span){UINT64_MAX, UINT64_MAX};
}

uint64_t mm_held_end_before(uint64_t address)
{
    size_t at = find(address);

    return at > 0 ? held.span[at - 1].end : 0;
}

void mm_held_drop(void)
{
    for (size_t i = 0; i < held.count; i++)
        munmap(mm_ptr(held.span[i].base), (size_t)(held.span[i].end - held.span[i].base));
    free(held.span);
    held.span = NULL;
    held.count = held.room = 0;
    free(homes.kept);
    homes.kept = NULL;
    homes.count = homes.room = 0;
    atomic_store_explicit(&any, false, memory_order_relaxed);
}

/* There is room, and nothing of it is held. */
static void add_held(uint64_t base, uint64_t end)
{
    size_t at = find(base);

    if (at < held.count && held.span[at].base == end) {
        end = held.span[at].end;
        erase(at);
    }
    if (at > 0 && held.span[at - 1].end == base)
        held.span[at - 1].end = end;
    else
        insert(at, base, end);
}

/* There is room: a span may become two. */
static void remove_held(uint64_t base, uint64_t end)
{
    size_t at = find(base);

    while (at < held.count && held.span[at].base < end) {
        struct mm_span was = held.span[at];

        erase(at);
        if (was.base < base)
            insert(at++, was.base, base);
        if (was.end > end)
            insert(at++, end, was.end);
    }
}

/* [base, end) of the home is given back. */
static void hold(struct mm_kept *kept, uint64_t base, uint64_t end)
{
    bool whole = base == kept->base && end == kept->base + kept->size;
    bool done = have_room() && ((whole && put_to_sleep(kept)) || map_nothing(base, end));

    if (done)
        add_held(base, end);
    else
        munmap(mm_ptr(base), (size_t)(end - base));
    if (!done || !kept->asleep)
        kept->replaced = true;
}

void mm_held_give(uint64_t base, uint64_t size)
{
    const uint64_t end = base + size;
    uint64_t at = base;

    for (size_t i = find_home(base); i < homes.count && homes.kept[i]->base < end; i++) {
        struct mm_kept *kept = homes.kept[i];
        uint64_t to = kept->base + kept->size < end ? kept->base + kept->size : end;

        if (kept->base > at) {
            munmap(mm_ptr(at), (size_t)(kept->base - at));
            at = kept->base;
        }
        hold(kept, at, to);
        at = to;
    }
    if (at < end)
        munmap(mm_ptr(at), (size_t)(end - at));
}

/* [base, end) was reserved but for what is held of it. */
static void undo(uint64_t base, uint64_t end)
{
    for (size_t i = find(base); base < end; i++) {
        uint64_t to = i < held.count && held.span[i].base < end ? held.span[i].base : end;

        if (to > base)
            munmap(mm_ptr(base), (size_t)(to - base));
        base = to < end ? held.span[i].end : end;
    }
}

nt_status mm_held_take(uint64_t base, uint64_t size)
{
    const uint64_t end = base + size;
    nt_status status = have_room() ? STATUS_SUCCESS : STATUS_NO_MEMORY;
    uint64_t at = base;

    for (size_t i = find(base); nt_ok(status) && at < end; i++) {
        uint64_t to = i < held.count && held.span[i].base < end ? held.span[i].base : end;

        if (to > at)
            status = mm_reserve_unused(at, to - at, -1, 0, PROT_NONE);
        if (nt_ok(status))
            at = to < end ? held.span[i].end : end;
    }
    if (nt_ok(status) && !evict(base, end))
        status = STATUS_NO_MEMORY;
    if (nt_ok(status))
        remove_held(base, end);
    else
        undo(base, at < end ? at : end);
    return status;
}

nt_status mm_held_take_home(struct mm_kept *kept)
{
    if (!kept->asleep)
        return mm_held_take(kept->base, kept->size);
    if (!have_room())
        return STATUS_NO_MEMORY;
    remove_held(kept->base, kept->base + kept->size);
    kept->asleep = false;
    return STATUS_SUCCESS;
}
