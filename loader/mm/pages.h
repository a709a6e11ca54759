/*
 * Pages and addresses: rounding, and where user space ends. Internal to mm/.
 *
 * Addresses are uint64_t everywhere in mm/ and become pointers only where memory is touched or the
 * kernel is called.
 */
#ifndef MM_PAGES_H
#define MM_PAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "pe/image.h"

#define MM_PAGE        ((uint64_t)PE_PAGE_SIZE)
#define MM_GRANULARITY ((uint64_t)PE_GRANULARITY)

/* Addresses that Windows never hands out; Linux's vm.mmap_min_addr is usually the same. */
#define MM_USER_BEGIN 0x10000u
/* One past the last address that this process can map. */
#if UINTPTR_MAX > 0xFFFFFFFFu
#define MM_USER_END 0x7FFFFFFFF000u
#else
#define MM_USER_END 0xFFFFF000u
#endif
/* Where 32-bit Windows keeps its half of the address space. */
#define MM_KERNEL32_BEGIN 0x80000000u
/* KUSER_SHARED_DATA: images read it at this address, so nothing else may be placed there. */
#define MM_KUSER_BEGIN 0x7FFE0000u
#define MM_KUSER_END   0x7FFF0000u

static inline uint64_t mm_round_down(uint64_t value, uint64_t unit)
{
    return value & ~(unit - 1);
}

/* The caller makes sure that the result does not wrap. */
static inline uint64_t mm_round_up(uint64_t value, uint64_t unit)
{
    return mm_round_down(value + unit - 1, unit);
}

static inline void *mm_ptr(uint64_t address)
{
    return (void *)(uintptr_t)address;
}

static inline uint64_t mm_address(const void *ptr)
{
    return (uint64_t)(uintptr_t)ptr;
}

/* True when [base, base+size) lies in user space and is not empty. */
static inline bool mm_in_user_space(uint64_t base, uint64_t size)
{
    return size != 0 && base >= MM_USER_BEGIN && base < MM_USER_END && size <= MM_USER_END - base;
}

/* The NTSTATUS for an errno of a mapping or file call (errno.c). */
nt_status mm_status_of_errno(int error);

#endif
