/*
 * Freed addresses that are kept for a snapshot (held.h): two sorted arrays of spans.
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

struct spans {
    struct mm_span *span; /* ascending */
    size_t count, room;
};

static struct spans homes; /* one an allocation */
static struct spans held;  /* in homes; neighbours are one */
static atomic_size_t home_count;

bool mm_held_any(void)
{
    return atomic_load_explicit(&home_count, memory_order_relaxed) != 0;
}

/* ---- spans -------------------------------------------------------------------------------------
 */

/* Index of the first span that ends above `address`. */
static size_t find(const struct spans *spans, uint64_t address)
{
    size_t low = 0, high = spans->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (spans->span[middle].end <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* For one span more. */
static bool have_room(struct spans *spans)
{
    size_t room = spans->room ? 2 * spans->room : 16;
    struct mm_span *grown;

    if (spans->count < spans->room)
        return true;
    grown = realloc(spans->span, room * sizeof(*grown));
    if (grown == NULL)
        return false;
    spans->span = grown;
    spans->room = room;
    return true;
}

/* There is room. */
static void insert(struct spans *spans, size_t at, uint64_t base, uint64_t end)
{
    memmove(&spans->span[at + 1], &spans->span[at], (spans->count - at) * sizeof(*spans->span));
    spans->span[at] = (struct mm_span){base, end};
    spans->count++;
}

static void erase(struct spans *spans, size_t at)
{
    spans->count--;
    memmove(&spans->span[at], &spans->span[at + 1], (spans->count - at) * sizeof(*spans->span));
}

static void clear(struct spans *spans)
{
    free(spans->span);
    *spans = (struct spans){0};
}

/* ---- homes -------------------------------------------------------------------------------------
 */

static void count_homes(void)
{
    atomic_store_explicit(&home_count, homes.count, memory_order_relaxed);
}

void mm_held_promise(uint64_t base, uint64_t size)
{
    if (have_room(&homes))
        insert(&homes, find(&homes, base), base, base + size);
    count_homes();
}

void mm_held_keep_promise(uint64_t base)
{
    size_t at = find(&homes, base);

    if (at < homes.count && homes.span[at].base == base)
        erase(&homes, at);
    count_homes();
}

void mm_held_drop(void)
{
    for (size_t i = 0; i < held.count; i++)
        munmap(mm_ptr(held.span[i].base), (size_t)(held.span[i].end - held.span[i].base));
    clear(&held);
    clear(&homes);
    count_homes();
}

/* ---- what is held ------------------------------------------------------------------------------
 */

struct mm_span mm_held_from(uint64_t address)
{
    size_t at = find(&held, address);

    return at < held.count ? held.span[at] : (struct mm_span){UINT64_MAX, UINT64_MAX};
}

uint64_t mm_held_end_before(uint64_t address)
{
    size_t at = find(&held, address);

    return at > 0 ? held.span[at - 1].end : 0;
}

/* There is room, and nothing of it is held. */
static void add_held(uint64_t base, uint64_t end)
{
    size_t at = find(&held, base);

    if (at < held.count && held.span[at].base == end) {
        end = held.span[at].end;
        erase(&held, at);
    }
    if (at > 0 && held.span[at - 1].end == base)
        held.span[at - 1].end = end;
    else
        insert(&held, at, base, end);
}

/* There is room: a span may become two. */
static void remove_held(uint64_t base, uint64_t end)
{
    size_t at = find(&held, base);

    while (at < held.count && held.span[at].base < end) {
        struct mm_span was = held.span[at];

        erase(&held, at);
        if (was.base < base)
            insert(&held, at++, was.base, base);
        if (was.end > end)
            insert(&held, at++, end, was.end);
    }
}

/* Mapped memory becomes reserved addresses, or is gone. */
static void hold(uint64_t base, uint64_t end)
{
    if (have_room(&held) &&
        mmap(mm_ptr(base), (size_t)(end - base), PROT_NONE,
             MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) != MAP_FAILED)
        add_held(base, end);
    else
        munmap(mm_ptr(base), (size_t)(end - base));
}

void mm_held_give(uint64_t base, uint64_t size)
{
    const uint64_t end = base + size;
    uint64_t at = base;

    for (size_t i = find(&homes, base); i < homes.count && homes.span[i].base < end; i++) {
        struct mm_span home = homes.span[i];

        if (home.base > at)
            munmap(mm_ptr(at), (size_t)(home.base - at));
        else
            home.base = at;
        at = home.end < end ? home.end : end;
        hold(home.base, at);
    }
    if (at < end)
        munmap(mm_ptr(at), (size_t)(end - at));
}

/* [base, end) was reserved but for what is held of it. */
static void undo(uint64_t base, uint64_t end)
{
    for (size_t i = find(&held, base); base < end; i++) {
        uint64_t to = i < held.count && held.span[i].base < end ? held.span[i].base : end;

        if (to > base)
            munmap(mm_ptr(base), (size_t)(to - base));
        base = to < end ? held.span[i].end : end;
    }
}

nt_status mm_held_take(uint64_t base, uint64_t size)
{
    const uint64_t end = base + size;
    nt_status status = have_room(&held) ? STATUS_SUCCESS : STATUS_NO_MEMORY;
    uint64_t at = base;

    for (size_t i = find(&held, base); nt_ok(status) && at < end; i++) {
        uint64_t to = i < held.count && held.span[i].base < end ? held.span[i].base : end;

        if (to > at)
            status = mm_reserve_unused(at, to - at, -1, 0, PROT_NONE);
        if (nt_ok(status))
            at = to < end ? held.span[i].end : end;
    }
    if (nt_ok(status))
        remove_held(base, end);
    else
        undo(base, at < end ? at : end);
    return status;
}
