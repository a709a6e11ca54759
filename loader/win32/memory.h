/*
 * MEMORY_BASIC_INFORMATION, for KERNEL32 and NTDLL (kernel32/memory.c).
 */
#ifndef WIN32_MEMORY_H
#define WIN32_MEMORY_H

#include "loader/win32/types.h"
#include "pe/status.h"

struct win32_memory_information {
    void *BaseAddress, *AllocationBase;
    DWORD AllocationProtect; /* and, in 64-bit processes, a WORD PartitionId */
    SIZE_T RegionSize;
    DWORD State, Protect, Type;
};

_Static_assert(sizeof(struct win32_memory_information) == (sizeof(void *) == 8 ? 48 : 28),
               "MEMORY_BASIC_INFORMATION");

/*
 * Mirrors NtAllocateVirtualMemory in this process: mm_alloc_below(), and what Windows refuses
 * before it looks at memory: STATUS_INVALID_PARAMETER_4 for more than there are addresses,
 * STATUS_PRIVILEGE_NOT_HELD for large pages.
 */
nt_status win32_allocate_memory(uint64_t limit, uint64_t *base, uint64_t *size, uint32_t type,
                                uint32_t protect);
/* STATUS_ACCESS_VIOLATION for a NULL `out`. */
nt_status win32_query_memory(const void *address, struct win32_memory_information *out);

#endif
