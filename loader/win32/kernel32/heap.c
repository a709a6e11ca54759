/*
 * KERNEL32's heap functions: thin over NTDLL's (ntdll/heap.c), to which most of them forward.
 */
#include "loader/win32/heap.h"

#include "loader/win32/errors.h"
#include "loader/win32/kernel32/families.h"

static HANDLE WINAPI_DEF k32_GetProcessHeap(void)
{
    return win32_process_heap();
}

static HANDLE WINAPI_DEF k32_HeapCreate(DWORD options, SIZE_T initial, SIZE_T maximum)
{
    DWORD known = HEAP_NO_SERIALIZE | HEAP_GENERATE_EXCEPTIONS | HEAP_CREATE_ENABLE_EXECUTE;
    if (maximum && initial > maximum) {
        win32_fail(ERROR_INVALID_PARAMETER);
        return NULL;
    }
    return win32_heap_create((options & known) | (maximum ? 0 : HEAP_GROWABLE), maximum, initial);
}

static BOOL WINAPI_DEF k32_HeapDestroy(HANDLE heap)
{
    return win32_heap_destroy(heap) || win32_fail(ERROR_INVALID_HANDLE);
}

/* NTDLL's answers are BOOLEAN or NTSTATUS; these return the BOOL and last error of Win32. */
static BOOL WINAPI_DEF k32_HeapValidate(HANDLE heap, DWORD flags, const void *memory)
{
    return win32_heap_validate(heap, memory);
}

static BOOL WINAPI_DEF k32_HeapLock(HANDLE heap)
{
    return win32_heap_lock(heap, true) || win32_fail(ERROR_INVALID_HANDLE);
}

static BOOL WINAPI_DEF k32_HeapUnlock(HANDLE heap)
{
    return win32_heap_lock(heap, false) || win32_fail(ERROR_INVALID_HANDLE);
}

static BOOL WINAPI_DEF k32_HeapSetInformation(HANDLE heap, DWORD class, void *data, SIZE_T size)
{
    return win32_result(win32_heap_set_information(class, data, size));
}

static BOOL WINAPI_DEF k32_HeapQueryInformation(HANDLE heap, DWORD class, void *data, SIZE_T size,
                                                SIZE_T *returned)
{
    return win32_result(win32_heap_query_information(class, data, size, returned));
}

const struct ldr_builtin_export kernel32_heap_exports[] = {
    LDR_FN(k32_, GetProcessHeap),
    LDR_FN(k32_, HeapCreate),
    LDR_FN(k32_, HeapDestroy),
    LDR_FWD(HeapAlloc, "NTDLL.RtlAllocateHeap"),
    LDR_FWD(HeapReAlloc, "NTDLL.RtlReAllocateHeap"),
    LDR_FWD(HeapFree, "NTDLL.RtlFreeHeap"),
    LDR_FN(k32_, HeapValidate),
    LDR_FN(k32_, HeapLock),
    LDR_FN(k32_, HeapUnlock),
    LDR_FN(k32_, HeapSetInformation),
    LDR_FN(k32_, HeapQueryInformation),
    LDR_FWD(HeapSize, "NTDLL.RtlSizeHeap"),
    LDR_FWD(HeapCompact, "NTDLL.RtlCompactHeap"),
    LDR_FWD(GetProcessHeaps, "NTDLL.RtlGetProcessHeaps"),
};
const size_t kernel32_heap_count = sizeof(kernel32_heap_exports) / sizeof(*kernel32_heap_exports);
