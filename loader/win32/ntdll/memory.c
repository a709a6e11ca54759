/*
 * Virtual memory of this process through the system services (facts 1.3, 1.4, 4.5); the bodies are
 * the memory manager's, as they are KERNEL32's.
 */
#include "loader/win32/memory.h"

#include <stdlib.h>
#include <string.h>

#include "loader/mm/view.h"
#include "loader/win32/errors.h"
#include "loader/win32/ntdll/families.h"
#include "loader/win32/otherprocess.h"
#include "loader/win32/process.h"
#include "loader/win32/section.h"
#include "loader/win32/strings.h"

enum { MEMORY_BASIC_INFORMATION_CLASS = 0, MEMORY_MAPPED_FILENAME_CLASS = 2 };

static uint64_t address_of(const void *address)
{
    return (uint64_t)(uintptr_t)address;
}

/* Other processes are out of reach: what is no handle of this one is no process handle at all. */
static nt_status check_process(HANDLE process)
{
    return win32_is_this_process(process) ? STATUS_SUCCESS : (nt_status)STATUS_INVALID_HANDLE;
}

static nt_status WINAPI_DEF nt_NtAllocateVirtualMemory(HANDLE process, void **address,
                                                       ULONG_PTR zero_bits, SIZE_T *size,
                                                       ULONG type, ULONG protect)
{
    nt_status status = check_process(process);
    if (!nt_ok(status))
        return status;
    /* The documented range of the old meaning: how many high bits of an address below 2 GiB. */
    if (zero_bits > 21 && zero_bits < 32)
        return STATUS_INVALID_PARAMETER;
    if (!address || !size)
        return (nt_status)STATUS_ACCESS_VIOLATION;
    uint64_t base = address_of(*address), bytes = *size;
    uint64_t limit = zero_bits == 0   ? 0
                     : zero_bits < 32 ? (uint64_t)1 << (32 - zero_bits)
                                      : (uint64_t)zero_bits + 1; /* a mask */
    status = win32_allocate_memory(limit, &base, &bytes, type, protect);
    if (nt_ok(status)) {
        *address = (void *)(uintptr_t)base;
        *size = (SIZE_T)bytes;
    }
    return status;
}

/* The size that the release of a whole allocation gives back to the caller. */
static uint64_t allocation_size(uint64_t base)
{
    struct mm_region region;
    uint64_t at = base;
    while (nt_ok(mm_query(at, &region)) && region.state != MEM_FREE &&
           region.allocation_base == base)
        at = region.base + region.size;
    return at - base;
}

static nt_status WINAPI_DEF nt_NtFreeVirtualMemory(HANDLE process, void **address, SIZE_T *size,
                                                   ULONG type)
{
    nt_status status = check_process(process);
    if (!nt_ok(status))
        return status;
    uint64_t base = address_of(*address), bytes = *size;
    uint64_t whole = bytes ? 0 : allocation_size(base);
    status = mm_free(base, bytes, type, NULL);
    if (nt_ok(status)) {
        uint64_t start = base & ~(uint64_t)0xFFF, end = (base + bytes + 0xFFF) & ~(uint64_t)0xFFF;
        *address = (void *)(uintptr_t)start;
        *size = (SIZE_T)(bytes ? end - start : whole);
    }
    return status;
}

static nt_status WINAPI_DEF nt_NtProtectVirtualMemory(HANDLE process, void **address, SIZE_T *size,
                                                      ULONG protect, ULONG *old)
{
    uint32_t previous = 0;
    nt_status status = check_process(process);
    if (!nt_ok(status))
        return status;
    if (!old)
        return (nt_status)STATUS_ACCESS_VIOLATION;
    uint64_t base = address_of(*address), bytes = *size;
    status = mm_protect(&base, &bytes, protect, &previous, NULL);
    if (nt_ok(status)) {
        *address = (void *)(uintptr_t)base;
        *size = (SIZE_T)bytes;
        *old = previous;
    }
    return status;
}

static nt_status query_basic(const void *address, void *out, SIZE_T size, SIZE_T *returned)
{
    if (size < sizeof(struct win32_memory_information))
        return (nt_status)STATUS_INFO_LENGTH_MISMATCH;
    nt_status status = win32_query_memory(address, out);
    if (nt_ok(status) && returned)
        *returned = sizeof(struct win32_memory_information);
    return status;
}

/* A UNICODE_STRING and, behind it, what it points to. */
static nt_status query_name(const void *address, void *out, SIZE_T size, SIZE_T *returned)
{
    WCHAR *name;
    UNICODE_STRING *answer = out;
    if (size < sizeof(*answer))
        return (nt_status)STATUS_INFO_LENGTH_MISMATCH;
    nt_status status = win32_mapped_name(address, &name);
    if (!nt_ok(status))
        return status;
    SIZE_T bytes = win32_wlen(name) * sizeof(WCHAR),
           whole = sizeof(*answer) + bytes + sizeof(WCHAR);
    if (returned)
        *returned = whole;
    if (size < whole) {
        status = (nt_status)STATUS_BUFFER_OVERFLOW;
    } else {
        *answer =
            (UNICODE_STRING){(USHORT)bytes, (USHORT)(bytes + sizeof(WCHAR)), (WCHAR *)(answer + 1)};
        memcpy(answer + 1, name, bytes + sizeof(WCHAR));
    }
    free(name);
    return status;
}

static nt_status WINAPI_DEF nt_NtQueryVirtualMemory(HANDLE process, const void *address,
                                                    ULONG info_class, void *out, SIZE_T size,
                                                    SIZE_T *returned)
{
    nt_status status = check_process(process);
    if (!nt_ok(status))
        return status;
    switch (info_class) {
    case MEMORY_BASIC_INFORMATION_CLASS:
        return query_basic(address, out, size, returned);
    case MEMORY_MAPPED_FILENAME_CLASS:
        return query_name(address, out, size, returned);
    default:
        return (nt_status)STATUS_INVALID_INFO_CLASS;
    }
}

static nt_status copy_memory(HANDLE process, const void *address, const void *buffer, SIZE_T size,
                             SIZE_T *done, bool writes)
{
    SIZE_T moved = 0;
    nt_status status = win32_process_copy(process, address, buffer, size, writes, &moved);
    if (done)
        *done = moved;
    return status;
}

static nt_status WINAPI_DEF nt_NtReadVirtualMemory(HANDLE process, const void *address,
                                                   void *buffer, SIZE_T size, SIZE_T *done)
{
    return copy_memory(process, address, buffer, size, done, false);
}

static nt_status WINAPI_DEF nt_NtWriteVirtualMemory(HANDLE process, void *address,
                                                    const void *buffer, SIZE_T size, SIZE_T *done)
{
    return copy_memory(process, address, buffer, size, done, true);
}

/* x86 keeps instruction fetches coherent. */
static nt_status WINAPI_DEF nt_NtFlushInstructionCache(HANDLE process, const void *address,
                                                       SIZE_T size)
{
    return check_process(process);
}

/* ---- memory blocks: the bodies of KERNEL32's RtlMoveMemory and its like -------------------------
 */

static void WINAPI_DEF nt_RtlMoveMemory(void *to, const void *from, SIZE_T size)
{
    memmove(to, from, size);
}

static void WINAPI_DEF nt_RtlFillMemory(void *to, SIZE_T size, BYTE value)
{
    memset(to, value, size);
}

static void WINAPI_DEF nt_RtlZeroMemory(void *to, SIZE_T size)
{
    memset(to, 0, size);
}

/* How many bytes are equal at the start. */
static SIZE_T WINAPI_DEF nt_RtlCompareMemory(const void *a, const void *b, SIZE_T size)
{
    SIZE_T same = 0;
    while (same < size && ((const char *)a)[same] == ((const char *)b)[same])
        same++;
    return same;
}

const struct ldr_builtin_export ntdll_memory_exports[] = {
    NT_ZW(AllocateVirtualMemory), NT_ZW(FreeVirtualMemory),      NT_ZW(ProtectVirtualMemory),
    NT_ZW(QueryVirtualMemory),    NT_ZW(ReadVirtualMemory),      NT_ZW(WriteVirtualMemory),
    NT_ZW(FlushInstructionCache), LDR_FN(nt_, RtlMoveMemory),    LDR_FN(nt_, RtlFillMemory),
    LDR_FN(nt_, RtlZeroMemory),   LDR_FN(nt_, RtlCompareMemory),
};
const size_t ntdll_memory_count = sizeof(ntdll_memory_exports) / sizeof(*ntdll_memory_exports);
