/*
 * The inside of a heap (internal to mm/).
 *
 * Small blocks come from size classes, whose memory is never given back to the pages; larger ones
 * are runs of pages of an arena, and very large ones allocations of their own.
 */
#ifndef MM_HEAP_OBJECT_H
#define MM_HEAP_OBJECT_H

#include <pthread.h>

#include "loader/mm/heap.h"
#include "loader/mm/pages.h"

/* In front of each block. A heap lies at a multiple of 64 KiB: its low bits hold the class. */
struct mm_block {
    uintptr_t tag; /* heap + class; 0 = free */
    union {
        size_t size;           /* as asked for */
        struct mm_block *next; /* of a free one */
    };
#if UINTPTR_MAX <= 0xFFFFFFFFu
    uint32_t unused[2];
#endif
};
_Static_assert(sizeof(struct mm_block) == 16, "blocks keep their alignment");

#define MM_SMALL_MAX   8192u /* with the header */
#define MM_CLASS_COUNT 47u
#define MM_CLASS_LARGE 0x100u /* pages of an arena */
#define MM_CLASS_HUGE  0x101u

/* A run of pages that nobody uses, by its first and its last page; or one that somebody does. */
struct mm_page {
    uint32_t count;
    bool free;
    struct mm_page *next, *prev; /* in a bin */
};

#define MM_BIN_COUNT 48u

struct mm_arena {
    struct mm_arena *next;
    uint64_t base;
    uint32_t pages, committed;
    uint32_t top;  /* pages from here on have never been used */
    uint64_t bins; /* a bit a bin that is not empty */
    struct mm_page *bin[MM_BIN_COUNT];
    struct mm_page page[];
};

/* A block that is an allocation of its own: in front of its header. */
struct mm_huge {
    struct mm_huge *next, *prev;
    uint64_t size; /* of the allocation */
    uint64_t unused[sizeof(void *) == 8 ? 1 : 0];
};

struct mm_heap {
    pthread_mutex_t lock;
    uint32_t protect;
    struct mm_arena *arenas; /* the last one made first */
    struct mm_huge huge;     /* list head */
    uint64_t free_pages;     /* that the kernel has not got back */
    unsigned caches;
    /* By class: free blocks, and memory that has been none yet. */
    struct mm_block *blocks[MM_CLASS_COUNT];
    char *fresh[MM_CLASS_COUNT], *fresh_end[MM_CLASS_COUNT];
};

/* heap_pages.c; lock held but for the first two. */
struct mm_heap *mm_heap_map(uint32_t protect, bool process);
void mm_heap_unmap(struct mm_heap *heap);
/* `*zero`: the pages have never been used. */
void *mm_heap_pages(struct mm_heap *heap, uint32_t count, bool *zero);
void mm_heap_free_pages(struct mm_heap *heap, void *first);
/* How many pages a run has, and making it longer by those behind it. */
uint32_t mm_heap_page_count(struct mm_heap *heap, const void *first);
bool mm_heap_more_pages(struct mm_heap *heap, void *first, uint32_t count);
/* Pages of an arena, most that can be asked for. */
#define MM_HEAP_PAGES_MAX (sizeof(void *) == 8 ? 4096u : 1024u)

#endif
