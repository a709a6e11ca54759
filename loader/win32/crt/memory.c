/*
 * Memory: malloc and its family over the heap of the process, as in Windows's C runtime; aligned
 * blocks, and the mem* functions.
 */
#include <errno.h>
#include <stdlib.h>

#include "loader/ke/ke.h"
#include "loader/ke/stackguard.h"
#include "loader/mm/heap.h"
#include "loader/state.h"
#include "loader/win32/crt/internal.h"

/* STATUS_HEAP_CORRUPTION, with which Windows ends a process that frees what is no block. */
#define HEAP_CORRUPTION 0xC0000374u

static void check(const void *memory)
{
    if (!mm_heap_owns(mm_heap_process(), memory)) {
        ke_raise(HEAP_CORRUPTION, 1, 0, NULL);
    }
}

void *crt_heap_alloc(size_t size)
{
    return mm_heap_alloc(mm_heap_process(), size);
}

void *crt_heap_realloc(void *memory, size_t size)
{
    if (memory == NULL) {
        return crt_heap_alloc(size);
    }
    check(memory);
    return mm_heap_resize(mm_heap_process(), memory, size);
}

void crt_heap_free(void *memory)
{
    if (memory == NULL) {
        return;
    }
    check(memory);
    mm_heap_free(mm_heap_process(), memory);
}

void *crt_heap_copy(const void *bytes, size_t size)
{
    void *memory = crt_heap_alloc(size);
    return memory != NULL ? memcpy(memory, bytes, size) : NULL;
}

static size_t size_of(const void *memory)
{
    check(memory);
    return mm_heap_size(mm_heap_process(), memory);
}

typedef int(WINCDECL *new_handler)(size_t size);
static void *installed_new_handler IMAGE_STATE;
static int new_mode IMAGE_STATE;

static WINCDECL_DEF int crt__callnewh(size_t size)
{
    new_handler handler = (new_handler)__atomic_load_n(&installed_new_handler, __ATOMIC_ACQUIRE);
    return handler != NULL && handler(size) != 0;
}

/* With _set_new_mode(1) malloc, too, asks the new handler to find memory. */
static bool retry(size_t size)
{
    if (__atomic_load_n(&new_mode, __ATOMIC_RELAXED) != 0 && crt__callnewh(size)) {
        return true;
    }
    crt_set_errno(CRT_ENOMEM);
    return false;
}

static WINCDECL_DEF void *crt_malloc(size_t size)
{
    void *memory;
    do {
        memory = crt_heap_alloc(size);
    } while (memory == NULL && retry(size));
    return memory;
}

static WINCDECL_DEF void *crt_calloc(size_t count, size_t size)
{
    void *memory;
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) {
        crt_set_errno(CRT_ENOMEM);
        return NULL;
    }
    do {
        memory = mm_heap_zalloc(mm_heap_process(), total);
    } while (memory == NULL && retry(total));
    return memory;
}

/* Windows frees the block when the new size is 0, and returns NULL. */
static WINCDECL_DEF void *crt_realloc(void *memory, size_t size)
{
    if (memory != NULL && size == 0) {
        crt_heap_free(memory);
        return NULL;
    }
    void *moved;
    do {
        moved = crt_heap_realloc(memory, size);
    } while (moved == NULL && retry(size));
    return moved;
}

static WINCDECL_DEF void crt_free(void *memory)
{
    crt_heap_free(memory);
}

static WINCDECL_DEF void *crt__recalloc(void *memory, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) {
        crt_set_errno(CRT_ENOMEM);
        return NULL;
    }
    size_t old = memory != NULL ? size_of(memory) : 0;
    char *moved = crt_realloc(memory, total);
    if (moved != NULL && total > old) {
        memset(moved + old, 0, total - old);
    }
    return moved;
}

static WINCDECL_DEF size_t crt__msize(void *memory)
{
    if (memory == NULL) {
        crt_invalid(CRT_EINVAL);
        return (size_t)-1;
    }
    return size_of(memory);
}

static WINCDECL_DEF void *crt__expand(void *memory, size_t size)
{
    if (memory == NULL) {
        return NULL;
    }
    check(memory);
    return mm_heap_resize_in_place(mm_heap_process(), memory, size) ? memory : NULL;
}

/* ---- aligned blocks: a plain block with a record in front of the aligned address
 * ------------------- */

struct aligned_record {
    void *block;
    size_t size;
};

static bool valid_alignment(size_t alignment)
{
    return alignment != 0 && (alignment & (alignment - 1)) == 0;
}

static WINCDECL_DEF void *crt__aligned_offset_malloc(size_t size, size_t alignment, size_t offset)
{
    size_t total;
    if (!valid_alignment(alignment) || (offset != 0 && offset >= size)) {
        crt_invalid(CRT_EINVAL);
        return NULL;
    }
    if (alignment < sizeof(void *)) {
        alignment = sizeof(void *);
    }
    if (__builtin_add_overflow(size, 2 * alignment + sizeof(struct aligned_record), &total)) {
        crt_set_errno(CRT_ENOMEM);
        return NULL;
    }
    char *block = crt_malloc(total);
    if (block == NULL) {
        return NULL;
    }
    uintptr_t first = (uintptr_t)block + sizeof(struct aligned_record) + offset;
    uintptr_t address = ((first + alignment - 1) & ~(uintptr_t)(alignment - 1)) - offset;
    struct aligned_record record = {block, size};
    memcpy((char *)address - sizeof(record), &record, sizeof(record));
    return (void *)address;
}

static struct aligned_record record_of(const void *memory)
{
    struct aligned_record record;
    memcpy(&record, (const char *)memory - sizeof(record), sizeof(record));
    return record;
}

static WINCDECL_DEF void *crt__aligned_malloc(size_t size, size_t alignment)
{
    return crt__aligned_offset_malloc(size, alignment, 0);
}

static WINCDECL_DEF void crt__aligned_free(void *memory)
{
    if (memory != NULL) {
        crt_heap_free(record_of(memory).block);
    }
}

static WINCDECL_DEF void *crt__aligned_offset_realloc(void *memory, size_t size, size_t alignment,
                                                      size_t offset)
{
    if (memory == NULL) {
        return crt__aligned_offset_malloc(size, alignment, offset);
    }
    if (size == 0) {
        crt__aligned_free(memory);
        return NULL;
    }
    void *moved = crt__aligned_offset_malloc(size, alignment, offset);
    if (moved != NULL) {
        size_t old = record_of(memory).size;
        memcpy(moved, memory, old < size ? old : size);
        crt__aligned_free(memory);
    }
    return moved;
}

static WINCDECL_DEF void *crt__aligned_realloc(void *memory, size_t size, size_t alignment)
{
    return crt__aligned_offset_realloc(memory, size, alignment, 0);
}

static WINCDECL_DEF void *crt__aligned_offset_recalloc(void *memory, size_t count, size_t size,
                                                       size_t alignment, size_t offset)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) {
        crt_set_errno(CRT_ENOMEM);
        return NULL;
    }
    size_t old = memory != NULL ? record_of(memory).size : 0;
    char *moved = crt__aligned_offset_realloc(memory, total, alignment, offset);
    if (moved != NULL && total > old) {
        memset(moved + old, 0, total - old);
    }
    return moved;
}

static WINCDECL_DEF void *crt__aligned_recalloc(void *memory, size_t count, size_t size,
                                                size_t alignment)
{
    return crt__aligned_offset_recalloc(memory, count, size, alignment, 0);
}

static WINCDECL_DEF size_t crt__aligned_msize(void *memory, size_t alignment, size_t offset)
{
    if (memory == NULL) {
        crt_invalid(CRT_EINVAL);
        return (size_t)-1;
    }
    return record_of(memory).size;
}

/* ---- C++ new handlers, heap questions
 * ----------------------------------------------------------------- */

static WINCDECL_DEF void *crt__set_new_handler(void *handler)
{
    return __atomic_exchange_n(&installed_new_handler, handler, __ATOMIC_ACQ_REL);
}

static WINCDECL_DEF void *crt__query_new_handler(void)
{
    return __atomic_load_n(&installed_new_handler, __ATOMIC_ACQUIRE);
}

static WINCDECL_DEF int crt__set_new_mode(int mode)
{
    return __atomic_exchange_n(&new_mode, mode, __ATOMIC_RELAXED);
}

static WINCDECL_DEF int crt__query_new_mode(void)
{
    return __atomic_load_n(&new_mode, __ATOMIC_RELAXED);
}

/* operator new: asks the new handler; without one std::bad_alloc would be thrown, here NULL. */
static WINCDECL_DEF void *operator_new(size_t size)
{
    void *memory;
    do {
        memory = crt_heap_alloc(size);
    } while (memory == NULL && crt__callnewh(size));
    return memory;
}

static WINCDECL_DEF int crt__heapchk(void)
{
    return -2; /* _HEAPOK */
}

static WINCDECL_DEF int crt__heapmin(void)
{
    return 0;
}

static WINCDECL_DEF int crt__resetstkoflw(void)
{
    return ke_stack_arm();
}

/* ---- bytes
 * ------------------------------------------------------------------------------------------------
 */

static WINCDECL_DEF void *crt_memcpy(void *to, const void *from, size_t size)
{
    return memmove(to, from, size); /* overlapping memcpy works with msvcrt; programs rely on it */
}

static WINCDECL_DEF void *crt_memmove(void *to, const void *from, size_t size)
{
    return memmove(to, from, size);
}

static WINCDECL_DEF void *crt_memset(void *to, int byte, size_t size)
{
    return memset(to, byte, size);
}

static WINCDECL_DEF int crt_memcmp(const void *a, const void *b, size_t size)
{
    int order = memcmp(a, b, size);
    return (order > 0) - (order < 0);
}

static WINCDECL_DEF void *crt_memchr(const void *in, int byte, size_t size)
{
    return (void *)memchr(in, byte, size);
}

static WINCDECL_DEF void *crt__memccpy(void *to, const void *from, int stop, size_t size)
{
    return memccpy(to, from, stop, size);
}

static WINCDECL_DEF int crt__memicmp(const void *a, const void *b, size_t size)
{
    const unsigned char *x = a, *y = b;
    for (size_t i = 0; i < size; i++) {
        int order = crt_lower(x[i]) - crt_lower(y[i]);
        if (order != 0) {
            return order;
        }
    }
    return 0;
}

/* memcpy_s and memmove_s: what does not fit zeroes the destination. */
static WINCDECL_DEF int crt_memmove_s(void *to, size_t room, const void *from, size_t size)
{
    if (size == 0) {
        return 0;
    }
    if (to == NULL) {
        return crt_invalid(CRT_EINVAL);
    }
    if (from == NULL || room < size) {
        memset(to, 0, room);
        return crt_invalid(from == NULL ? CRT_EINVAL : CRT_ERANGE);
    }
    memmove(to, from, size);
    return 0;
}

static WINCDECL_DEF int crt_wmemmove_s(crt_wchar *to, size_t room, const crt_wchar *from,
                                       size_t count)
{
    return crt_memmove_s(to, room * sizeof(*to), from, count * sizeof(*from));
}

static WINCDECL_DEF void crt__swab(const char *from, char *to, int size)
{
    for (int i = 0; i + 1 < size; i += 2) {
        char first = from[i];
        to[i] = from[i + 1];
        to[i + 1] = first;
    }
}

static const struct ldr_builtin_export functions[] = {
    CRT_FN(malloc),
    CRT_AS(_malloc_base, crt_malloc),
    CRT_FN(calloc),
    CRT_AS(_calloc_base, crt_calloc),
    CRT_FN(realloc),
    CRT_AS(_realloc_base, crt_realloc),
    CRT_FN(free),
    CRT_AS(_free_base, crt_free),
    CRT_FN(_recalloc),
    CRT_FN(_msize),
    CRT_FN(_expand),
    CRT_FN(_aligned_malloc),
    CRT_FN(_aligned_free),
    CRT_FN(_aligned_realloc),
    CRT_FN(_aligned_recalloc),
    CRT_FN(_aligned_msize),
    CRT_FN(_aligned_offset_malloc),
    CRT_FN(_aligned_offset_realloc),
    CRT_FN(_aligned_offset_recalloc),
    CRT_FN(_callnewh),
    CRT_FN(_set_new_handler),
    CRT_FN(_query_new_handler),
    CRT_FN(_set_new_mode),
    CRT_FN(_query_new_mode),
#if defined(__x86_64__)
    {.name = "?\?2@YAPEAX_K@Z", .address = (const void *)operator_new},
    {.name = "?\?_U@YAPEAX_K@Z", .address = (const void *)operator_new},
    {.name = "?\?3@YAXPEAX@Z", .address = (const void *)crt_free},
    {.name = "?\?_V@YAXPEAX@Z", .address = (const void *)crt_free},
#else
    {.name = "?\?2@YAPAXI@Z", .address = (const void *)operator_new},
    {.name = "?\?_U@YAPAXI@Z", .address = (const void *)operator_new},
    {.name = "?\?3@YAXPAX@Z", .address = (const void *)crt_free},
    {.name = "?\?_V@YAXPAX@Z", .address = (const void *)crt_free},
#endif
    CRT_FN(_heapchk),
    CRT_FN(_heapmin),
    CRT_FN(_resetstkoflw),
    CRT_FN(memcpy),
    CRT_FN(memmove),
    CRT_FN(memset),
    CRT_FN(memcmp),
    CRT_FN(memchr),
    CRT_FN(_memccpy),
    CRT_FN(_memicmp),
    CRT_AS(memcpy_s, crt_memmove_s),
    CRT_FN(memmove_s),
    CRT_AS(wmemcpy_s, crt_wmemmove_s),
    CRT_FN(wmemmove_s),
    CRT_FN(_swab),
};
CRT_FAMILY(crt_memory_family, functions);
