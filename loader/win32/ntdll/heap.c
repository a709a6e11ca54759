/*
 * NTDLL's heaps, over the memory manager's (mm/heap.h).
 *
 * The records of heaps lie in the heap of the process themselves, so that a snapshot puts back
 * which heaps there are.
 */
#include "loader/win32/heap.h"

#include <pthread.h>
#include <string.h>

#include "loader/ke/process.h"
#include "loader/mm/heap.h"
#include "loader/mm/view.h"
#include "loader/win32/errors.h"
#include "loader/win32/ntdll/families.h"

struct win32_heap {
    uint32_t signature;
    uint32_t flags;
    SIZE_T limit, used; /* bytes; limit 0 = it can grow */
    struct mm_heap *blocks;
    pthread_mutex_t lock;
    struct win32_heap *next; /* of the process heap: the first of the others */
};

#define HEAP_SIGNATURE 0xEEFFEEFFu
/* Heaps that cannot grow serve no block above this size (HeapCreate's documentation). */
#define FIXED_HEAP_MAX_BLOCK (sizeof(void *) == 8 ? 0xFFFF8u : 0x7FFF8u)

static struct win32_heap *process_heap;
static pthread_mutex_t heaps_lock = PTHREAD_MUTEX_INITIALIZER;

/* A record without blocks yet; NULL = no memory. */
static struct win32_heap *new_record(ULONG flags)
{
    struct mm_heap *memory = mm_heap_process();
    struct win32_heap *heap = memory ? mm_heap_zalloc(memory, sizeof(*heap)) : NULL;
    if (!heap)
        return NULL;
    heap->signature = HEAP_SIGNATURE;
    heap->flags = flags;
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&heap->lock, &attr);
    pthread_mutexattr_destroy(&attr);
    return heap;
}

static void make_process_heap(void)
{
    struct win32_heap *heap = new_record(HEAP_GROWABLE);
    if (!heap)
        ke_process_die("no memory for the heap of the process");
    heap->blocks = mm_heap_process();
    __atomic_store_n(&process_heap, heap, __ATOMIC_RELEASE);
}

HANDLE win32_process_heap(void)
{
    static pthread_once_t made = PTHREAD_ONCE_INIT;
    struct win32_heap *heap = __atomic_load_n(&process_heap, __ATOMIC_ACQUIRE);
    if (!heap)
        pthread_once(&made, make_process_heap);
    return process_heap;
}

static struct win32_heap *heap_of(HANDLE handle)
{
    struct win32_heap *heap = handle;
    return heap && heap->signature == HEAP_SIGNATURE ? heap : NULL;
}

static bool owns(const struct win32_heap *heap, const void *memory)
{
    return heap && mm_heap_owns(heap->blocks, memory);
}

/* Other heaps than the process's count their bytes, and one call at a time uses them. */
static bool is_counted(const struct win32_heap *heap)
{
    return heap->blocks != mm_heap_process();
}

static void enter(struct win32_heap *heap)
{
    if (is_counted(heap))
        pthread_mutex_lock(&heap->lock);
}

static void leave(struct win32_heap *heap)
{
    if (is_counted(heap))
        pthread_mutex_unlock(&heap->lock);
}

/* Whether a block may have `size` bytes, where it had `before`. Heap entered. */
static bool within_limit(const struct win32_heap *heap, SIZE_T size, SIZE_T before)
{
    if (!heap->limit || size <= before)
        return true;
    return size <= FIXED_HEAP_MAX_BLOCK && size - before <= heap->limit - heap->used;
}

static void *allocation_failed(ULONG flags)
{
    ke_set_last_error(ERROR_NOT_ENOUGH_MEMORY);
    if (flags & HEAP_GENERATE_EXCEPTIONS)
        ke_raise((uint32_t)STATUS_NO_MEMORY, 0, 0, NULL);
    return NULL;
}

static void *WINAPI_DEF nt_RtlAllocateHeap(HANDLE handle, ULONG flags, SIZE_T size)
{
    struct win32_heap *heap = heap_of(handle);
    void *memory = NULL;
    if (!heap)
        return allocation_failed(flags);
    enter(heap);
    if (within_limit(heap, size, 0))
        memory = flags & HEAP_ZERO_MEMORY ? mm_heap_zalloc(heap->blocks, size)
                                          : mm_heap_alloc(heap->blocks, size);
    if (memory && is_counted(heap))
        heap->used += size;
    leave(heap);
    return memory ? memory : allocation_failed(flags | heap->flags);
}

static ULONG WINAPI_DEF nt_RtlFreeHeap(HANDLE handle, ULONG flags, void *memory)
{
    struct win32_heap *heap = heap_of(handle);
    if (!memory)
        return TRUE;
    if (!owns(heap, memory))
        return win32_fail(ERROR_INVALID_PARAMETER);
    enter(heap);
    if (is_counted(heap))
        heap->used -= mm_heap_size(heap->blocks, memory);
    mm_heap_free(heap->blocks, memory);
    leave(heap);
    return TRUE;
}

/* Heap entered. */
static void *resize(struct win32_heap *heap, ULONG flags, void *memory, SIZE_T size, SIZE_T before)
{
    if (!within_limit(heap, size, before))
        return NULL;
    if (!(flags & HEAP_REALLOC_IN_PLACE_ONLY))
        return mm_heap_resize(heap->blocks, memory, size);
    /* Windows never lets a block grow into what happens to lie behind it, so nobody expects it. */
    return size <= before && mm_heap_resize_in_place(heap->blocks, memory, size) ? memory : NULL;
}

static void *WINAPI_DEF nt_RtlReAllocateHeap(HANDLE handle, ULONG flags, void *memory, SIZE_T size)
{
    struct win32_heap *heap = heap_of(handle);
    if (!owns(heap, memory)) {
        win32_fail(ERROR_INVALID_PARAMETER);
        return NULL;
    }
    enter(heap);
    SIZE_T before = mm_heap_size(heap->blocks, memory);
    void *resized = resize(heap, flags, memory, size, before);
    if (resized && is_counted(heap))
        heap->used += size - before;
    leave(heap);
    if (!resized)
        return allocation_failed(flags | heap->flags);
    if ((flags & HEAP_ZERO_MEMORY) && size > before)
        memset((char *)resized + before, 0, size - before);
    return resized;
}

static SIZE_T WINAPI_DEF nt_RtlSizeHeap(HANDLE handle, ULONG flags, const void *memory)
{
    struct win32_heap *heap = heap_of(handle);
    if (!owns(heap, memory)) {
        win32_fail(ERROR_INVALID_PARAMETER);
        return (SIZE_T)-1;
    }
    return mm_heap_size(heap->blocks, memory);
}

static HANDLE WINAPI_DEF nt_RtlCreateHeap(ULONG flags, void *base, SIZE_T reserve, SIZE_T commit,
                                          void *lock, const void *parameters)
{
    /* A heap at a given address would need an allocator of its own. */
    if (base) {
        win32_fail(ERROR_NOT_SUPPORTED);
        return NULL;
    }
    struct win32_heap *first = win32_process_heap(), *heap = new_record(flags);
    if (!heap)
        return allocation_failed(flags);
    heap->blocks = mm_heap_create(flags & HEAP_CREATE_ENABLE_EXECUTE ? PAGE_EXECUTE_READWRITE
                                                                     : PAGE_READWRITE);
    if (!heap->blocks) {
        mm_heap_free(mm_heap_process(), heap);
        return allocation_failed(flags);
    }
    heap->limit = flags & HEAP_GROWABLE ? 0 : reserve;
    pthread_mutex_lock(&heaps_lock);
    heap->next = first->next;
    first->next = heap;
    pthread_mutex_unlock(&heaps_lock);
    return heap;
}

/* Returns NULL for success and the heap otherwise, as documented. */
static HANDLE WINAPI_DEF nt_RtlDestroyHeap(HANDLE handle)
{
    struct win32_heap *heap = heap_of(handle);
    if (!heap || !is_counted(heap))
        return handle;
    pthread_mutex_lock(&heaps_lock);
    struct win32_heap **link = &process_heap->next;
    while (*link && *link != heap)
        link = &(*link)->next;
    if (*link)
        *link = heap->next;
    pthread_mutex_unlock(&heaps_lock);
    mm_heap_destroy(heap->blocks);
    pthread_mutex_destroy(&heap->lock);
    heap->signature = 0;
    mm_heap_free(mm_heap_process(), heap);
    return NULL;
}

bool win32_heap_validate(HANDLE handle, const void *memory)
{
    struct win32_heap *heap = heap_of(handle);
    return heap && (!memory || owns(heap, memory));
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
    for (struct win32_heap *heap = win32_process_heap(); heap; heap = heap->next, total++) {
        if (total < count)
            out[total] = heap;
    }
    pthread_mutex_unlock(&heaps_lock);
    return total;
}

/* Windows returns the largest free block. */
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
        return STATUS_SUCCESS; /* a block that is none is refused */
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
    return nt_RtlAllocateHeap(win32_process_heap(), flags, size);
}

void *win32_heap_realloc(ULONG flags, void *memory, SIZE_T size)
{
    return nt_RtlReAllocateHeap(win32_process_heap(), flags, memory, size);
}

bool win32_heap_free(void *memory)
{
    return nt_RtlFreeHeap(win32_process_heap(), 0, memory);
}

SIZE_T win32_heap_size(const void *memory)
{
    return nt_RtlSizeHeap(win32_process_heap(), 0, memory);
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
