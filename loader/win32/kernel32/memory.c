/*
 * Virtual memory of this process (facts 1.3, 1.4, 4.5); the memory manager (mm/) does it all.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "loader/mm/view.h"
#include "loader/win32/errors.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/memory.h"
#include "loader/win32/otherprocess.h"
#include "loader/win32/process.h"

enum { MEM_LARGE_PAGES = 0x20000000 };

static uint64_t address_of(const void *address)
{
    return (uint64_t)(uintptr_t)address;
}

nt_status win32_allocate_memory(uint64_t limit, uint64_t *base, uint64_t *size, uint32_t type,
                                uint32_t protect)
{
    const uint32_t large = MEM_LARGE_PAGES | MEM_RESERVE | MEM_COMMIT;
    const uint64_t most = sizeof(void *) == 8 ? 0x7FFFFFFE0000ull : 0xFFFE0000u;
    if (*size > most)
        return STATUS_INVALID_PARAMETER_4;
    /* Whoever asks rightly lacks SeLockMemoryPrivilege. */
    if ((type & large) == large)
        return STATUS_PRIVILEGE_NOT_HELD;
    return mm_alloc_below(limit, base, size, type, protect, NULL);
}

static void *allocate(void *address, SIZE_T size, DWORD type, DWORD protect)
{
    uint64_t base = address_of(address), bytes = size;
    if (!win32_result(win32_allocate_memory(0, &base, &bytes, type, protect)))
        return NULL;
    return (void *)(uintptr_t)base;
}

static void *WINAPI_DEF k32_VirtualAlloc(void *address, SIZE_T size, DWORD type, DWORD protect)
{
    return allocate(address, size, type, protect);
}

static void *WINAPI_DEF k32_VirtualAllocEx(HANDLE process, void *address, SIZE_T size, DWORD type,
                                           DWORD protect)
{
    return win32_is_this_process(process) ? allocate(address, size, type, protect) : NULL;
}

static void *WINAPI_DEF k32_VirtualAllocExNuma(HANDLE process, void *address, SIZE_T size,
                                               DWORD type, DWORD protect, DWORD node)
{
    return win32_is_this_process(process) ? allocate(address, size, type, protect) : NULL;
}

static BOOL WINAPI_DEF k32_VirtualFree(void *address, SIZE_T size, DWORD type)
{
    return win32_result(mm_free(address_of(address), size, type, NULL));
}

static BOOL WINAPI_DEF k32_VirtualFreeEx(HANDLE process, void *address, SIZE_T size, DWORD type)
{
    return win32_is_this_process(process) &&
           win32_result(mm_free(address_of(address), size, type, NULL));
}

static BOOL protect_memory(void *address, SIZE_T size, DWORD protect, DWORD *old)
{
    uint64_t base = address_of(address), bytes = size;
    uint32_t previous = 0;
    if (!old)
        return win32_fail(ERROR_NOACCESS);
    if (!win32_result(mm_protect(&base, &bytes, protect, &previous, NULL)))
        return FALSE;
    *old = previous;
    return TRUE;
}

static BOOL WINAPI_DEF k32_VirtualProtect(void *address, SIZE_T size, DWORD protect, DWORD *old)
{
    return protect_memory(address, size, protect, old);
}

static BOOL WINAPI_DEF k32_VirtualProtectEx(HANDLE process, void *address, SIZE_T size,
                                            DWORD protect, DWORD *old)
{
    return win32_is_this_process(process) && protect_memory(address, size, protect, old);
}

nt_status win32_query_memory(const void *address, struct win32_memory_information *out)
{
    struct mm_region region;
    if (!out)
        return STATUS_ACCESS_VIOLATION;
    nt_status status = mm_query(address_of(address), &region);
    if (!nt_ok(status))
        return status;
    memset(out, 0, sizeof(*out));
    out->BaseAddress = (void *)(uintptr_t)region.base;
    out->AllocationBase = (void *)(uintptr_t)region.allocation_base;
    out->AllocationProtect = region.allocation_protect;
    out->RegionSize = (SIZE_T)region.size;
    out->State = region.state;
    /* Free memory reports no access; reserved memory reports 0. */
    out->Protect = region.state == MEM_FREE ? PAGE_NOACCESS : region.protect;
    out->Type = region.type;
    return STATUS_SUCCESS;
}

static SIZE_T query(const void *address, struct win32_memory_information *out, SIZE_T size)
{
    if (size < sizeof(*out))
        return (SIZE_T)win32_fail(24); /* ERROR_BAD_LENGTH */
    return win32_result(win32_query_memory(address, out)) ? sizeof(*out) : 0;
}

static SIZE_T WINAPI_DEF k32_VirtualQuery(const void *address, struct win32_memory_information *out,
                                          SIZE_T size)
{
    return query(address, out, size);
}

static SIZE_T WINAPI_DEF k32_VirtualQueryEx(HANDLE process, const void *address,
                                            struct win32_memory_information *out, SIZE_T size)
{
    return win32_is_this_process(process) ? query(address, out, size) : 0;
}

/* Whether all of [at, at + size) is memory that can be accessed in some way. */
static bool is_accessible(uint64_t at, uint64_t size)
{
    for (uint64_t end = at + size; at < end;) {
        struct mm_region region;
        if (!nt_ok(mm_query(at, &region)) || region.state != MEM_COMMIT ||
            (region.protect & 0xFF) == PAGE_NOACCESS)
            return false;
        at = region.base + region.size;
    }
    return true;
}

static BOOL WINAPI_DEF k32_VirtualLock(void *address, SIZE_T size)
{
    if (!is_accessible(address_of(address), size))
        return win32_fail(ERROR_NOACCESS);
    return mlock(address, size) == 0 || win32_fail(1453); /* ERROR_WORKING_SET_QUOTA */
}

static BOOL WINAPI_DEF k32_VirtualUnlock(void *address, SIZE_T size)
{
    return munlock(address, size) == 0 || win32_fail(ERROR_NOT_LOCKED);
}

/* x86 keeps instruction fetches coherent. */
static BOOL WINAPI_DEF k32_FlushInstructionCache(HANDLE process, const void *address, SIZE_T size)
{
    return win32_is_this_process(process);
}

/* Large pages are not provided: the documented answer is 0. */
static SIZE_T WINAPI_DEF k32_GetLargePageMinimum(void)
{
    return 0;
}

static BOOL transfer(HANDLE process, const void *address, const void *buffer, SIZE_T size,
                     SIZE_T *done, bool writes)
{
    SIZE_T moved = 0;
    BOOL ok = win32_result(win32_process_copy(process, address, buffer, size, writes, &moved));
    if (done)
        *done = moved;
    return ok;
}

static BOOL WINAPI_DEF k32_ReadProcessMemory(HANDLE process, const void *address, void *buffer,
                                             SIZE_T size, SIZE_T *done)
{
    return transfer(process, address, buffer, size, done, false);
}

static BOOL WINAPI_DEF k32_WriteProcessMemory(HANDLE process, void *address, const void *buffer,
                                              SIZE_T size, SIZE_T *done)
{
    return transfer(process, address, buffer, size, done, true);
}

/* ---- IsBad*Ptr
 * ------------------------------------------------------------------------------------ */

/* The end of the accessible memory that begins at `address`, or `address` itself. */
static uint64_t accessible_end(uint64_t address, bool writes, bool executes)
{
    struct mm_region region;
    if (!nt_ok(mm_query(address, &region)) || region.state != MEM_COMMIT)
        return address;
    uint32_t readable = PAGE_READONLY | PAGE_READWRITE | PAGE_WRITECOPY | PAGE_EXECUTE_READ |
                        PAGE_EXECUTE_READWRITE | PAGE_EXECUTE_WRITECOPY;
    uint32_t writable =
        PAGE_READWRITE | PAGE_WRITECOPY | PAGE_EXECUTE_READWRITE | PAGE_EXECUTE_WRITECOPY;
    uint32_t executable =
        PAGE_EXECUTE | PAGE_EXECUTE_READ | PAGE_EXECUTE_READWRITE | PAGE_EXECUTE_WRITECOPY;
    uint32_t wanted = writes ? writable : executes ? executable : readable;
    if (!(region.protect & wanted) || (region.protect & PAGE_GUARD))
        return address;
    return region.base + region.size;
}

static bool is_bad(const void *memory, SIZE_T size, bool writes)
{
    uint64_t at = address_of(memory), left = size;
    while (left) {
        uint64_t end = accessible_end(at, writes, false);
        if (end <= at)
            return true;
        uint64_t step = end - at < left ? end - at : left;
        at += step;
        left -= step;
    }
    return false;
}

static BOOL WINAPI_DEF k32_IsBadReadPtr(const void *memory, UINT_PTR size)
{
    return is_bad(memory, size, false);
}

static BOOL WINAPI_DEF k32_IsBadWritePtr(void *memory, UINT_PTR size)
{
    return is_bad(memory, size, true);
}

static BOOL WINAPI_DEF k32_IsBadCodePtr(const void *code)
{
    return accessible_end(address_of(code), false, true) <= address_of(code);
}

/* Is there a readable string of at most `max` units of `unit` bytes, or that many units of one? */
static bool is_bad_string(const char *string, UINT_PTR max, size_t unit)
{
    uint64_t at = address_of(string), end = at;
    for (UINT_PTR i = 0; i < max; i++, at += unit) {
        if (at + unit > end)
            end = accessible_end(at, false, false);
        if (at + unit > end)
            return true;
        const char *c = (const char *)(uintptr_t)at;
        if (!c[0] && (unit == 1 || !c[1]))
            return false;
    }
    return false;
}

static BOOL WINAPI_DEF k32_IsBadStringPtrA(const char *string, UINT_PTR max)
{
    return !string || is_bad_string(string, max, 1);
}

static BOOL WINAPI_DEF k32_IsBadStringPtrW(const WCHAR *string, UINT_PTR max)
{
    return !string || is_bad_string((const char *)string, max, sizeof(WCHAR));
}

const struct ldr_builtin_export kernel32_memory_exports[] = {
    LDR_FN(k32_, VirtualAlloc),
    LDR_FN(k32_, VirtualAllocEx),
    LDR_FN(k32_, VirtualAllocExNuma),
    LDR_FN(k32_, VirtualFree),
    LDR_FN(k32_, VirtualFreeEx),
    LDR_FN(k32_, VirtualProtect),
    LDR_FN(k32_, VirtualProtectEx),
    LDR_FN(k32_, VirtualQuery),
    LDR_FN(k32_, VirtualQueryEx),
    LDR_FN(k32_, VirtualLock),
    LDR_FN(k32_, VirtualUnlock),
    LDR_FN(k32_, FlushInstructionCache),
    LDR_FN(k32_, GetLargePageMinimum),
    LDR_FN(k32_, ReadProcessMemory),
    LDR_FN(k32_, WriteProcessMemory),
    LDR_FWD(RtlMoveMemory, "NTDLL.RtlMoveMemory"),
    LDR_FWD(RtlFillMemory, "NTDLL.RtlFillMemory"),
    LDR_FWD(RtlZeroMemory, "NTDLL.RtlZeroMemory"),
    LDR_FWD(RtlCompareMemory, "NTDLL.RtlCompareMemory"),
    LDR_FN(k32_, IsBadReadPtr),
    LDR_FN(k32_, IsBadWritePtr),
    LDR_FN(k32_, IsBadCodePtr),
    LDR_FN(k32_, IsBadStringPtrA),
    LDR_FN(k32_, IsBadStringPtrW),
    {.name = "IsBadHugeReadPtr",
     .kind = LDR_EXPORT_FUNCTION,
     .address = (const void *)k32_IsBadReadPtr},
    {.name = "IsBadHugeWritePtr",
     .kind = LDR_EXPORT_FUNCTION,
     .address = (const void *)k32_IsBadWritePtr},
};
const size_t kernel32_memory_count =
    sizeof(kernel32_memory_exports) / sizeof(*kernel32_memory_exports);
