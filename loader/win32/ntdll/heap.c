/*
 * NTDLL's heaps, over the host's malloc.
 *
 * Each block carries a header with the requested size (HeapSize must return it, not what malloc
 * rounded it up to) and the heap that owns it. Blocks of heaps that can be destroyed are on the
 * heap's list; the process heap lives as long as the process and keeps none. Heaps that were
 * created with HEAP_CREATE_ENABLE_EXECUTE take their blocks from the memory manager.
 */
#include "loader/win32/heap.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "loader/mm/view.h"
#include "loader/win32/errors.h"
#include "loader/win32/ntdll/families.h"

struct block {
    struct win32_heap *owner; /* NULL once freed */
    SIZE_T size;              /* as requested */
    struct block *next, *prev;
};

struct win32_heap {
    uint32_t signature;
    uint32_t flags;
    SIZE_T limit, used;  /* bytes; limit 0 = it can grow */
    struct block blocks; /* list head */
    pthread_mutex_t lock;
    struct win32_heap *next;
};

_Static_assert(sizeof(struct block) % 16 == 0, "blocks keep malloc's alignment");

#define HEAP_SIGNATURE 0xEEFFEEFFu
/* Heaps that cannot grow serve no block above this size (HeapCreate's documentation). */
#define FIXED_HEAP_MAX_BLOCK (sizeof(void *) == 8 ? 0xFFFF8u : 0x7FFF8u)

static struct win32_heap process_heap = {
    .signature = HEAP_SIGNATURE,
    .flags = HEAP_GROWABLE,
    .lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP,
};
static struct win32_heap *heaps = &process_heap; /* every live heap */
static pthread_mutex_t heaps_lock = PTHREAD_MUTEX_INITIALIZER;

HANDLE win32_process_heap(void)
{
    return &process_heap;
}

static struct win32_heap *heap_of(HANDLE handle)
{
    struct win32_heap *heap = handle;
    return heap && heap->signature == HEAP_SIGNATURE ? heap : NULL;
}

static struct block *block_of(struct win32_heap *heap, const void *memory)
{
    if (!heap || !memory || (uintptr_t)memory % 8)
        return NULL;
    struct block *block = (struct block *)memory - 1;
    return block->owner == heap ? block : NULL;
}

static bool is_tracked(const struct win32_heap *heap)
{
    return heap != &process_heap;
}

static void *raw_allocate(const struct win32_heap *heap, SIZE_T size)
{
    if (!(heap->flags & HEAP_CREATE_ENABLE_EXECUTE))
        return malloc(size);
    uint64_t base = 0, bytes = size;
    nt_status status =
        mm_alloc(&base, &bytes, MEM_RESERVE | MEM_COMMIT, PAGE_EXECUTE_READWRITE, NULL);
    return nt_ok(status) ? (void *)(uintptr_t)base : NULL;
}

static void raw_free(const struct win32_heap *heap, struct block *block)
{
    if (heap->flags & HEAP_CREATE_ENABLE_EXECUTE)
        mm_free((uintptr_t)block, 0, MEM_RELEASE, NULL);
    else
        free(block);
}

/* Accounts for a block of a tracked heap; false when the heap's limit is reached. Heap lock held.
 */
static bool charge(struct win32_heap *heap, SIZE_T size)
{
    if (heap->limit && (size > FIXED_HEAP_MAX_BLOCK || size > heap->limit - heap->used))
        return false;
    heap->used += size;
    return true;
}

static void link_block(struct win32_heap *heap, struct block *block)
{
    block->next = heap->blocks.next;
    block->prev = &heap->blocks;
    heap->blocks.next->prev = block;
    heap->blocks.next = block;
}

static void unlink_block(struct block *block)
{
    block->prev->next = block->next;
    block->next->prev = block->prev;
}

static void *allocation_failed(ULONG flags)
{
    ke_set_last_error(ERROR_NOT_ENOUGH_MEMORY);
    if (flags & HEAP_GENERATE_EXCEPTIONS)
        ke_raise((uint32_t)STATUS_NO_MEMORY, 0, 0, NULL);
    return NULL;
}

static struct block *new_block(struct win32_heap *heap, SIZE_T size)
{
    struct block *block = NULL;
    if (size > SIZE_MAX / 2)
        return NULL;
    if (is_tracked(heap)) {
        pthread_mutex_lock(&heap->lock);
        if (charge(heap, size)) {
            block = raw_allocate(heap, sizeof(*block) + size);
            if (block)
                link_block(heap, block);
            else
                heap->used -= size;
        }
        pthread_mutex_unlock(&heap->lock);
    } else {
        block = raw_allocate(heap, sizeof(*block) + size);
    }
    if (block) {
        block->owner = heap;
        block->size = size;
    }
    return block;
}

static void drop_block(struct win32_heap *heap, struct block *block)
{
    block->owner = NULL;
    if (is_tracked(heap)) {
        pthread_mutex_lock(&heap->lock);
        unlink_block(block);
        heap->used -= block->size;
        pthread_mutex_unlock(&heap->lock);
    }
    raw_free(heap, block);
}

static void *WINAPI_DEF nt_RtlAllocateHeap(HANDLE handle, ULONG flags, SIZE_T size)
{
    struct win32_heap *heap = heap_of(handle);
    struct block *block = heap ? new_block(heap, size) : NULL;
    if (!block)
        return allocation_failed(heap ? flags | heap->flags : flags);
    if (flags & HEAP_ZERO_MEMORY)
        memset(block + 1, 0, size);
    return block + 1;
}

static ULONG WINAPI_DEF nt_RtlFreeHeap(HANDLE handle, ULONG flags, void *memory)
{
    struct win32_heap *heap = heap_of(handle);
    if (!memory)
        return TRUE;
    struct block *block = block_of(heap, memory);
    if (!block)
        return win32_fail(ERROR_INVALID_PARAMETER);
    drop_block(heap, block);
    return TRUE;
}

/* Resizes a block of the process heap, or moves one of another heap. */
static struct block *resize_block(struct win32_heap *heap, struct block *block, SIZE_T size)
{
    if (!is_tracked(heap)) {
        struct block *moved = realloc(block, sizeof(*block) + size);
        if (moved)
            moved->size = size;
        return moved;
    }
    struct block *fresh = new_block(heap, size);
    if (!fresh)
        return NULL;
    memcpy(fresh + 1, block + 1, size < block->size ? size : block->size);
    drop_block(heap, block);
    return fresh;
}

static void *WINAPI_DEF nt_RtlReAllocateHeap(HANDLE handle, ULONG flags, void *memory, SIZE_T size)
{
    struct win32_heap *heap = heap_of(handle);
    struct block *block = block_of(heap, memory);
    if (!block) {
        win32_fail(ERROR_INVALID_PARAMETER);
        return NULL;
    }
    SIZE_T old = block->size;
    if (flags & HEAP_REALLOC_IN_PLACE_ONLY) {
        if (size > old)
            return allocation_failed(flags | heap->flags);
        if (is_tracked(heap)) {
            pthread_mutex_lock(&heap->lock);
            heap->used -= old - size;
            pthread_mutex_unlock(&heap->lock);
        }
        block->size = size;
        return memory;
    }
    block = size <= SIZE_MAX / 2 ? resize_block(heap, block, size) : NULL;
    if (!block)
        return allocation_failed(flags | heap->flags);
    if ((flags & HEAP_ZERO_MEMORY) && size > old)
        memset((char *)(block + 1) + old, 0, size - old);
    return block + 1;
}

static SIZE_T WINAPI_DEF nt_RtlSizeHeap(HANDLE handle, ULONG flags, const void *memory)
{
    struct block *block = block_of(heap_of(handle), memory);
    if (!block) {
        win32_fail(ERROR_INVALID_PARAMETER);
        return (SIZE_T)-1;
    }
    return block->size;
}

static HANDLE WINAPI_DEF nt_RtlCreateHeap(ULONG flags, void *base, SIZE_T reserve, SIZE_T commit,
                                          void *lock, const void *parameters)
{
    /* A heap at a given address would need an allocator of its own. */
    if (base) {
        win32_fail(ERROR_NOT_SUPPORTED);
        return NULL;
    }
    struct win32_heap *heap = calloc(1, sizeof(*heap));
    if (!heap)
        return allocation_failed(flags);
    heap->signature = HEAP_SIGNATURE;
    heap->flags = flags;
    heap->limit = flags & HEAP_GROWABLE ? 0 : reserve;
    heap->blocks.next = heap->blocks.prev = &heap->blocks;
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&heap->lock, &attr);
    pthread_mutexattr_destroy(&attr);
    pthread_mutex_lock(&heaps_lock);
    heap->next = process_heap.next;
    process_heap.next = heap;
    pthread_mutex_unlock(&heaps_lock);
    return heap;
}

/* Returns NULL for success and the heap otherwise, as documented. */
static HANDLE WINAPI_DEF nt_RtlDestroyHeap(HANDLE handle)
{
    struct win32_heap *heap = heap_of(handle);
    if (!heap || !is_tracked(heap))
        return handle;
    pthread_mutex_lock(&heaps_lock);
    struct win32_heap **link = &process_heap.next;
    while (*link && *link != heap)
        link = &(*link)->next;
    if (*link)
        *link = heap->next;
    pthread_mutex_unlock(&heaps_lock);
    for (struct block *block = heap->blocks.next; block != &heap->blocks;) {
        struct block *next = block->next;
        raw_free(heap, block);
        block = next;
    }
    pthread_mutex_destroy(&heap->lock);
    heap->signature = 0;
    free(heap);
    return NULL;
}

bool win32_heap_validate(HANDLE handle, const void *memory)
{
    struct win32_heap *heap = heap_of(handle);
    return heap && (!memory || block_of(heap, memory));
}

bool win32_heap_lock(HANDLE handle, bool lock)
{
    struct win32_heap *heap = heap_of(handle);
    if (!heap)
        return false;
    return (lock ? pthread_mutex_lock(&heap->lock) : pthread_mutex_unlock(&heap->lock)) == 0;
}

static BOOLEAN WINAPI_DEF nt_RtlValidateHeap(HANDLE handle, ULONG flags, const void *memory)
{
    return win32_heap_validate(handle, memory);
}

static BOOLEAN WINAPI_DEF nt_RtlLockHeap(HANDLE handle)
{
    return win32_heap_lock(handle, true);
}

static BOOLEAN WINAPI_DEF nt_RtlUnlockHeap(HANDLE handle)
{
    return win32_heap_lock(handle, false);
}

static ULONG WINAPI_DEF nt_RtlGetProcessHeaps(ULONG count, HANDLE *out)
{
    ULONG total = 0;
    pthread_mutex_lock(&heaps_lock);
    for (struct win32_heap *heap = heaps; heap; heap = heap->next, total++) {
        if (total < count)
            out[total] = heap;
    }
    pthread_mutex_unlock(&heaps_lock);
    return total;
}

/* malloc keeps no free list that one could ask for; Windows returns the largest free block. */
static SIZE_T WINAPI_DEF nt_RtlCompactHeap(HANDLE handle, ULONG flags)
{
    return heap_of(handle) ? 0x10000 : 0;
}

enum { HEAP_COMPATIBILITY_INFORMATION, HEAP_ENABLE_TERMINATION_ON_CORRUPTION };

nt_status win32_heap_set_information(ULONG info_class, const void *data, SIZE_T size)
{
    switch (info_class) {
    case HEAP_COMPATIBILITY_INFORMATION: /* 2 = the low-fragmentation heap, which we count as on */
        if (size < sizeof(ULONG))
            return (nt_status)STATUS_BUFFER_TOO_SMALL;
        return *(const ULONG *)data == 2 ? STATUS_SUCCESS : (nt_status)STATUS_UNSUCCESSFUL;
    case HEAP_ENABLE_TERMINATION_ON_CORRUPTION:
        return STATUS_SUCCESS; /* malloc aborts on corruption */
    default:
        return (nt_status)STATUS_INVALID_PARAMETER;
    }
}

nt_status win32_heap_query_information(ULONG info_class, void *data, SIZE_T size, SIZE_T *returned)
{
    if (info_class != HEAP_COMPATIBILITY_INFORMATION)
        return (nt_status)STATUS_INVALID_PARAMETER;
    if (returned)
        *returned = sizeof(ULONG);
    if (size < sizeof(ULONG))
        return (nt_status)STATUS_BUFFER_TOO_SMALL;
    *(ULONG *)data = 2;
    return STATUS_SUCCESS;
}

static nt_status WINAPI_DEF nt_RtlSetHeapInformation(HANDLE handle, ULONG info_class, void *data,
                                                     SIZE_T size)
{
    return win32_heap_set_information(info_class, data, size);
}

static nt_status WINAPI_DEF nt_RtlQueryHeapInformation(HANDLE handle, ULONG info_class, void *data,
                                                       SIZE_T size, SIZE_T *returned)
{
    return win32_heap_query_information(info_class, data, size, returned);
}

void *win32_heap_alloc(ULONG flags, SIZE_T size)
{
    return nt_RtlAllocateHeap(&process_heap, flags, size);
}

void *win32_heap_realloc(ULONG flags, void *memory, SIZE_T size)
{
    return nt_RtlReAllocateHeap(&process_heap, flags, memory, size);
}

bool win32_heap_free(void *memory)
{
    return nt_RtlFreeHeap(&process_heap, 0, memory);
}

SIZE_T win32_heap_size(const void *memory)
{
    return nt_RtlSizeHeap(&process_heap, 0, memory);
}

HANDLE win32_heap_create(ULONG flags, SIZE_T reserve, SIZE_T commit)
{
    return nt_RtlCreateHeap(flags, NULL, reserve, commit, NULL, NULL);
}

bool win32_heap_destroy(HANDLE heap)
{
    return nt_RtlDestroyHeap(heap) == NULL;
}

const struct ldr_builtin_export ntdll_heap_exports[] = {
    LDR_FN(nt_, RtlAllocateHeap),         LDR_FN(nt_, RtlFreeHeap),
    LDR_FN(nt_, RtlReAllocateHeap),       LDR_FN(nt_, RtlSizeHeap),
    LDR_FN(nt_, RtlCreateHeap),           LDR_FN(nt_, RtlDestroyHeap),
    LDR_FN(nt_, RtlValidateHeap),         LDR_FN(nt_, RtlLockHeap),
    LDR_FN(nt_, RtlUnlockHeap),           LDR_FN(nt_, RtlGetProcessHeaps),
    LDR_FN(nt_, RtlCompactHeap),          LDR_FN(nt_, RtlSetHeapInformation),
    LDR_FN(nt_, RtlQueryHeapInformation),
};
const size_t ntdll_heap_count = sizeof(ntdll_heap_exports) / sizeof(*ntdll_heap_exports);
