/*
 * LocalAlloc and GlobalAlloc: one allocator under two names, over the process heap.
 *
 * A fixed block's handle is its address. A movable block's handle points 8 bytes into a small
 * entry, so that its low bits tell it from an address (heap blocks are 16-byte aligned); locking
 * gives the address of the memory, which never really moves.
 */
#include <string.h>

#include "loader/win32/errors.h"
#include "loader/win32/heap.h"
#include "loader/win32/kernel32/families.h"

enum {
    MEM_MOVEABLE = 0x2,
    MEM_ZEROINIT = 0x40,
    MEM_MODIFY = 0x80,
    MEM_DISCARDABLE = 0xF00,
    MEM_INVALID_HANDLE = 0x8000,
    MEM_DISCARDED = 0x4000,
};

struct movable {
    uint32_t magic;
    uint16_t locks;
    uint16_t flags;
    /* The handle points here: 8 bytes into a 16-byte aligned block. */
    void *memory; /* NULL = discarded */
};

#define MOVABLE_MAGIC 0x4C4D454Du

_Static_assert(offsetof(struct movable, memory) == 8, "handles end in 8");

static struct movable *movable_of(const void *handle)
{
    if (((uintptr_t)handle & 15) != offsetof(struct movable, memory))
        return NULL;
    struct movable *entry = (struct movable *)((char *)handle - offsetof(struct movable, memory));
    return entry->magic == MOVABLE_MAGIC ? entry : NULL;
}

static ULONG heap_flags(UINT flags)
{
    return flags & MEM_ZEROINIT ? HEAP_ZERO_MEMORY : 0;
}

static void *allocate(UINT flags, SIZE_T size)
{
    if (!(flags & MEM_MOVEABLE))
        return win32_heap_alloc(heap_flags(flags), size);
    struct movable *entry = win32_heap_alloc(HEAP_ZERO_MEMORY, sizeof(*entry));
    if (!entry)
        return NULL;
    entry->magic = MOVABLE_MAGIC;
    entry->flags = flags & MEM_DISCARDABLE;
    /* A movable block of size 0 is a discarded one. */
    if (size) {
        entry->memory = win32_heap_alloc(heap_flags(flags), size);
        if (!entry->memory) {
            win32_heap_free(entry);
            return NULL;
        }
    }
    return &entry->memory;
}

static void *release(void *handle)
{
    if (!handle)
        return NULL;
    struct movable *entry = movable_of(handle);
    if (!entry) {
        if (win32_heap_free(handle))
            return NULL;
        win32_fail(ERROR_INVALID_HANDLE);
        return handle;
    }
    win32_heap_free(entry->memory);
    entry->magic = 0;
    win32_heap_free(entry);
    return NULL;
}

static void *resize_movable(struct movable *entry, SIZE_T size, UINT flags)
{
    void *memory = entry->memory ? win32_heap_realloc(heap_flags(flags), entry->memory, size)
                                 : win32_heap_alloc(heap_flags(flags), size);
    if (!memory)
        return NULL;
    entry->memory = memory;
    return &entry->memory;
}

static void *resize(void *handle, SIZE_T size, UINT flags)
{
    struct movable *entry = movable_of(handle);
    if (flags & MEM_MODIFY) {
        if (entry)
            entry->flags = flags & MEM_DISCARDABLE;
        return handle;
    }
    if (entry)
        return resize_movable(entry, size, flags);
    /* A fixed block may move only with the caller's consent, the MOVEABLE flag. */
    ULONG in_place = flags & MEM_MOVEABLE ? 0 : HEAP_REALLOC_IN_PLACE_ONLY;
    return win32_heap_realloc(heap_flags(flags) | in_place, handle, size);
}

static SIZE_T size_of(const void *handle)
{
    const struct movable *entry = movable_of(handle);
    const void *memory = entry ? entry->memory : handle;
    if (entry && !memory)
        return 0;
    SIZE_T size = win32_heap_size(memory);
    if (size == (SIZE_T)-1) {
        win32_fail(ERROR_INVALID_HANDLE);
        return 0;
    }
    return size;
}

static UINT flags_of(const void *handle)
{
    const struct movable *entry = movable_of(handle);
    if (entry) {
        UINT locks = entry->locks > 0xFF ? 0xFF : entry->locks;
        return entry->flags | locks | (entry->memory ? 0 : MEM_DISCARDED);
    }
    if (win32_heap_size(handle) != (SIZE_T)-1)
        return 0;
    win32_fail(ERROR_INVALID_HANDLE);
    return MEM_INVALID_HANDLE;
}

static void *lock(void *handle)
{
    struct movable *entry = movable_of(handle);
    if (!entry)
        return handle; /* fixed memory: the handle is the address */
    if (!entry->memory)
        return win32_fail_null(157); /* ERROR_DISCARDED */
    if (entry->locks < UINT16_MAX)
        entry->locks++;
    return entry->memory;
}

/* FALSE with NO_ERROR when the count reaches zero, as documented. */
static BOOL unlock(void *handle)
{
    struct movable *entry = movable_of(handle);
    if (!entry)
        return TRUE;
    if (!entry->locks)
        return win32_fail(ERROR_NOT_LOCKED);
    if (--entry->locks)
        return TRUE;
    return win32_fail(ERROR_SUCCESS);
}

/* LocalUnlock of fixed memory reports that it is not locked; GlobalUnlock returns TRUE. */
static BOOL WINAPI_DEF k32_LocalUnlock(HLOCAL handle)
{
    return movable_of(handle) ? unlock(handle) : win32_fail(ERROR_NOT_LOCKED);
}

static BOOL WINAPI_DEF k32_GlobalUnlock(HGLOBAL handle)
{
    return unlock(handle);
}

static void *WINAPI_DEF k32_LocalAlloc(UINT flags, SIZE_T size)
{
    return allocate(flags, size);
}

static void *WINAPI_DEF k32_LocalFree(void *handle)
{
    return release(handle);
}

static void *WINAPI_DEF k32_LocalReAlloc(void *handle, SIZE_T size, UINT flags)
{
    return resize(handle, size, flags);
}

static SIZE_T WINAPI_DEF k32_LocalSize(void *handle)
{
    return size_of(handle);
}

static UINT WINAPI_DEF k32_LocalFlags(void *handle)
{
    return flags_of(handle);
}

static void *WINAPI_DEF k32_LocalLock(void *handle)
{
    return lock(handle);
}

/* One function under its Local and its Global name. */
#define BOTH(local, global, fn)                                                  \
    {.name = local, .kind = LDR_EXPORT_FUNCTION, .address = (const void *)fn},   \
    {                                                                            \
        .name = global, .kind = LDR_EXPORT_FUNCTION, .address = (const void *)fn \
    }

const struct ldr_builtin_export kernel32_localmem_exports[] = {
    BOTH("LocalAlloc", "GlobalAlloc", k32_LocalAlloc),
    BOTH("LocalFree", "GlobalFree", k32_LocalFree),
    BOTH("LocalReAlloc", "GlobalReAlloc", k32_LocalReAlloc),
    BOTH("LocalSize", "GlobalSize", k32_LocalSize),
    BOTH("LocalFlags", "GlobalFlags", k32_LocalFlags),
    BOTH("LocalLock", "GlobalLock", k32_LocalLock),
    LDR_FN(k32_, LocalUnlock),
    LDR_FN(k32_, GlobalUnlock),
};
const size_t kernel32_localmem_count =
    sizeof(kernel32_localmem_exports) / sizeof(*kernel32_localmem_exports);
