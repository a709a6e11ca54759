/*
 * The pages of a heap (heap_object.h): arenas of reserved memory, committed as they are used, in
 * which runs of pages are handed out and merge again when they are free.
 */
#include <string.h>
#include <sys/mman.h>

#include "loader/mm/heap_object.h"
#include "loader/mm/poison.h"
#include "loader/mm/view.h"

#define EXACT_BINS 32u

#if UINTPTR_MAX > 0xFFFFFFFFu
#define PROCESS_ARENA 0x1000000u
#define FIRST_ARENA   0x100000u
#define LARGEST_ARENA 0x4000000u
#else
#define PROCESS_ARENA 0x400000u
#define FIRST_ARENA   0x40000u
#define LARGEST_ARENA 0x1000000u
#endif

#define COMMIT_STEP 64u /* pages */
/* Free pages go back to the kernel when there are so many. */
#define KEPT_PAGES        8192u
#define WORTH_GIVING_BACK 16u

static void *page_address(const struct mm_arena *arena, const struct mm_page *page)
{
    return mm_ptr(arena->base + (uint64_t)(page - arena->page) * MM_PAGE);
}

/* ---- arenas ------------------------------------------------------------------------------------
 */

static bool commit(struct mm_arena *arena, uint32_t protect, uint32_t end)
{
    uint64_t at, size;

    if (end <= arena->committed)
        return true;
    end = end - arena->committed < COMMIT_STEP ? arena->committed + COMMIT_STEP : end;
    if (end > arena->pages)
        end = arena->pages;
    at = arena->base + arena->committed * MM_PAGE;
    size = (end - arena->committed) * MM_PAGE;
    if (!nt_ok(mm_alloc(&at, &size, MEM_COMMIT, protect, NULL)))
        return false;
    arena->committed = end;
    return true;
}

/* `front` bytes at its start are the caller's, its own record follows. */
static struct mm_arena *arena_map(uint64_t size, uint32_t protect, size_t front)
{
    uint64_t base = 0, at, own, first;
    uint32_t pages;
    struct mm_arena *arena;

    if (!nt_ok(mm_alloc(&base, &size, MEM_RESERVE, protect, NULL)))
        return NULL;
    pages = (uint32_t)(size / MM_PAGE);
    at = base;
    own = mm_round_up(front + sizeof(*arena) + pages * sizeof(struct mm_page), MM_PAGE);
    first = own + COMMIT_STEP * MM_PAGE < size ? own + COMMIT_STEP * MM_PAGE : size;
    if (!nt_ok(mm_alloc(&at, &first, MEM_COMMIT, protect, NULL))) {
        mm_free(base, 0, MEM_RELEASE, NULL);
        return NULL;
    }
    arena = mm_ptr(base + front);
    arena->base = base;
    arena->pages = pages;
    arena->top = (uint32_t)(own / MM_PAGE);
    arena->committed = (uint32_t)(first / MM_PAGE);
    return arena;
}

struct mm_heap *mm_heap_map(uint32_t protect, bool process)
{
    size_t front = (sizeof(struct mm_heap) + 63) & ~(size_t)63;
    struct mm_arena *arena = arena_map(process ? PROCESS_ARENA : FIRST_ARENA, protect, front);
    struct mm_heap *heap;

    if (arena == NULL)
        return NULL;
    heap = mm_ptr(arena->base);
    heap->protect = protect;
    heap->arenas = arena;
    heap->huge.next = heap->huge.prev = &heap->huge;
    pthread_mutex_init(&heap->lock, NULL);
    return heap;
}

static void release(uint64_t base, uint64_t size)
{
    mm_unpoison(mm_ptr(base), (size_t)size);
    mm_free(base, 0, MEM_RELEASE, NULL);
}

void mm_heap_unmap(struct mm_heap *heap)
{
    struct mm_arena *arena = heap->arenas, *next;

    for (struct mm_huge *huge = heap->huge.next, *after; huge != &heap->huge; huge = after) {
        after = huge->next;
        release(mm_address(huge), huge->size);
    }
    /* The first one, which comes last, holds the heap. */
    for (; arena != NULL; arena = next) {
        next = arena->next;
        release(arena->base, arena->pages * MM_PAGE);
    }
}

/* Twice as large as the last one, and large enough. */
static struct mm_arena *add_arena(struct mm_heap *heap, uint32_t count)
{
    uint64_t size = 2 * (uint64_t)heap->arenas->pages * MM_PAGE;
    uint64_t least = (count + 1) * (MM_PAGE + sizeof(struct mm_page)) + sizeof(struct mm_arena);
    struct mm_arena *arena;

    if (size > LARGEST_ARENA)
        size = LARGEST_ARENA;
    least = mm_round_up(least, MM_GRANULARITY);
    arena = arena_map(size > least ? size : least, heap->protect, 0);
    if (arena == NULL && size > least)
        arena = arena_map(least, heap->protect, 0);
    if (arena == NULL)
        return NULL;
    arena->next = heap->arenas;
    heap->arenas = arena;
    return arena;
}

static struct mm_arena *arena_of(const struct mm_heap *heap, const void *at)
{
    struct mm_arena *arena = heap->arenas;

    while (arena != NULL && mm_address(at) - arena->base >= arena->pages * MM_PAGE)
        arena = arena->next;
    return arena;
}

static struct mm_page *page_of(struct mm_arena *arena, const void *at)
{
    return &arena->page[(mm_address(at) - arena->base) / MM_PAGE];
}

/* ---- free runs ---------------------------------------------------------------------------------
 */

/* One bin for each small count, then one for each power of two. */
static unsigned bin_of(uint32_t count)
{
    return count < EXACT_BINS ? count : EXACT_BINS - 5 + (31u - (unsigned)__builtin_clz(count));
}

static void mark(struct mm_page *first, uint32_t count, bool is_free)
{
    struct mm_page *last = first + count - 1;

    first->count = last->count = count;
    first->free = last->free = is_free;
}

static void put_free(struct mm_arena *arena, struct mm_page *first, uint32_t count)
{
    unsigned bin = bin_of(count);

    mark(first, count, true);
    first->prev = NULL;
    first->next = arena->bin[bin];
    if (first->next != NULL)
        first->next->prev = first;
    arena->bin[bin] = first;
    arena->bins |= 1ull << bin;
}

static void take_free(struct mm_arena *arena, struct mm_page *first)
{
    unsigned bin = bin_of(first->count);

    if (first->next != NULL)
        first->next->prev = first->prev;
    if (first->prev != NULL)
        first->prev->next = first->next;
    else
        arena->bin[bin] = first->next;
    if (arena->bin[bin] == NULL)
        arena->bins &= ~(1ull << bin);
}

static struct mm_page *find_free(const struct mm_arena *arena, uint32_t count)
{
    uint64_t bins = arena->bins & (~0ull << bin_of(count));

    for (; bins != 0; bins &= bins - 1) {
        struct mm_page *run = arena->bin[__builtin_ctzll(bins)];

        while (run != NULL && run->count < count)
            run = run->next;
        if (run != NULL)
            return run;
    }
    return NULL;
}

/* A run leaves its bin; what is more than `count` returns to one. */
static void split(struct mm_heap *heap, struct mm_arena *arena, struct mm_page *run, uint32_t count)
{
    uint32_t all = run->count;

    heap->free_pages -= count < heap->free_pages ? count : heap->free_pages;
    take_free(arena, run);
    if (all > count)
        put_free(arena, run + count, all - count);
    mark(run, count, false);
}

static struct mm_page *extend_top(struct mm_heap *heap, struct mm_arena *arena, uint32_t count)
{
    struct mm_page *run = &arena->page[arena->top];

    if (count > arena->pages - arena->top || !commit(arena, heap->protect, arena->top + count))
        return NULL;
    arena->top += count;
    mark(run, count, false);
    return run;
}

void *mm_heap_pages(struct mm_heap *heap, uint32_t count, bool *zero)
{
    struct mm_arena *arena;
    struct mm_page *run;

    *zero = false;
    for (arena = heap->arenas; arena != NULL; arena = arena->next) {
        run = find_free(arena, count);
        if (run != NULL) {
            split(heap, arena, run, count);
            return page_address(arena, run);
        }
    }
    *zero = true;
    for (arena = heap->arenas; arena != NULL; arena = arena->next) {
        run = extend_top(heap, arena, count);
        if (run != NULL)
            return page_address(arena, run);
    }
    arena = add_arena(heap, count);
    run = arena != NULL ? extend_top(heap, arena, count) : NULL;
    return run != NULL ? page_address(arena, run) : NULL;
}

/* The pages of free runs go back; they read as zero afterwards, which nobody relies on. */
static void give_back(struct mm_heap *heap)
{
    for (struct mm_arena *arena = heap->arenas; arena != NULL; arena = arena->next)
        for (unsigned bin = bin_of(WORTH_GIVING_BACK); bin < MM_BIN_COUNT; bin++)
            for (struct mm_page *run = arena->bin[bin]; run != NULL; run = run->next)
                madvise(page_address(arena, run), (size_t)(run->count * MM_PAGE), MADV_DONTNEED);
    heap->free_pages = 0;
}

void mm_heap_free_pages(struct mm_heap *heap, void *first)
{
    struct mm_arena *arena = arena_of(heap, first);
    struct mm_page *run = page_of(arena, first);
    uint32_t count = run->count, index = (uint32_t)(run - arena->page);

    heap->free_pages += count;
    if (index + count < arena->top && run[count].free) {
        take_free(arena, run + count);
        count += run[count].count;
    }
    /* The page before the first that is handed out is the arena's own, and never free. */
    if (run[-1].free) {
        run -= run[-1].count;
        count += run->count;
        take_free(arena, run);
    }
    put_free(arena, run, count);
    if (heap->free_pages >= KEPT_PAGES)
        give_back(heap);
}

uint32_t mm_heap_page_count(struct mm_heap *heap, const void *first)
{
    return page_of(arena_of(heap, first), first)->count;
}

bool mm_heap_more_pages(struct mm_heap *heap, void *first, uint32_t count)
{
    struct mm_arena *arena = arena_of(heap, first);
    struct mm_page *run = page_of(arena, first), *behind = run + run->count;
    uint32_t more = count - run->count;

    if ((uint32_t)(behind - arena->page) == arena->top) {
        if (extend_top(heap, arena, more) == NULL)
            return false;
    } else if (behind->free && behind->count >= more) {
        split(heap, arena, behind, more);
    } else {
        return false;
    }
    mark(run, count, false);
    return true;
}
