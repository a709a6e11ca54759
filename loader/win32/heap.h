/*
 * Heaps, for the functions here that give memory to images (ntdll/heap.c). All of them are safe to
 * call from any thread.
 */
#ifndef WIN32_HEAP_H
#define WIN32_HEAP_H

#include "loader/win32/types.h"
#include "pe/status.h"

enum {
    HEAP_NO_SERIALIZE = 0x1,
    HEAP_GROWABLE = 0x2,
    HEAP_GENERATE_EXCEPTIONS = 0x4,
    HEAP_ZERO_MEMORY = 0x8,
    HEAP_REALLOC_IN_PLACE_ONLY = 0x10,
    HEAP_CREATE_ENABLE_EXECUTE = 0x40000,
};

/* GetProcessHeap(); also PEB.ProcessHeap. */
HANDLE win32_process_heap(void);

/* Blocks of the process heap. On failure NULL (false, SIZE_MAX) with the last error set. */
void *win32_heap_alloc(ULONG flags, SIZE_T size);
void *win32_heap_realloc(ULONG flags, void *memory, SIZE_T size);
bool win32_heap_free(void *memory);
SIZE_T win32_heap_size(const void *memory);

/* Without HEAP_GROWABLE `reserve` is the limit. */
HANDLE win32_heap_create(ULONG flags, SIZE_T reserve, SIZE_T commit);
bool win32_heap_destroy(HANDLE heap);                      /* false for the process heap */
bool win32_heap_validate(HANDLE heap, const void *memory); /* memory NULL = the heap itself */
bool win32_heap_lock(HANDLE heap, bool lock);              /* false = unlock */
nt_status win32_heap_set_information(ULONG info_class, const void *data, SIZE_T size);
nt_status win32_heap_query_information(ULONG info_class, void *data, SIZE_T size, SIZE_T *returned);

#endif
