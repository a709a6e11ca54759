/*
 * Heaps for images: what HeapAlloc, malloc and the loader's blocks per thread come from.
 *
 * Everything of a heap, its books included, lies in allocations of images (mm_alloc), so that a
 * snapshot puts it back with the rest of their memory; blocks of the host's malloc have the host's
 * own next to them. Blocks are aligned to 16 bytes. All functions are safe to call from any thread.
 */
#ifndef MM_HEAP_H
#define MM_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mm_heap;

/* The heap of the process, which lives as long; threads keep free blocks of it to themselves. NULL
 * = no memory; it is then a heap that has no blocks to give. */
struct mm_heap *mm_heap_process(void);
/* `protect`: of its pages, PAGE_READWRITE or PAGE_EXECUTE_READWRITE. NULL = no memory. */
struct mm_heap *mm_heap_create(uint32_t protect);
/* With all its blocks. Not for the process's. */
void mm_heap_destroy(struct mm_heap *heap);

/* NULL = no memory. */
void *mm_heap_alloc(struct mm_heap *heap, size_t size);
void *mm_heap_zalloc(struct mm_heap *heap, size_t size);
/* Moves the block if it has to; NULL = no memory, and the block is as it was. */
void *mm_heap_resize(struct mm_heap *heap, void *block, size_t size);
/* Cuts a block off, or lets it grow into the room that it has. False: it has none. */
bool mm_heap_resize_in_place(struct mm_heap *heap, void *block, size_t size);
/* `block` must be one of the heap (mm_heap_owns). */
void mm_heap_free(struct mm_heap *heap, void *block);
/* Bytes as they were asked for. */
size_t mm_heap_size(const struct mm_heap *heap, const void *block);
/* Whether that is a live block of the heap. The 16 bytes before it are read. */
bool mm_heap_owns(const struct mm_heap *heap, const void *block);

/* How many threads keep blocks of the process's heap to themselves. For snapshots. */
unsigned mm_heap_caches(void);
/* The calling thread is one of them from now on. */
void mm_heap_enter(void);
/* It ends: it is none from now on. Other threads do so at their very end. */
void mm_heap_leave(void);

#endif
