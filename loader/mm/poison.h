/*
 * What AddressSanitizer is told of memory that this library hands out itself (internal to mm/).
 */
#ifndef MM_POISON_H
#define MM_POISON_H

#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MM_HAS_POISON 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(MM_HAS_POISON)
#undef MM_HAS_POISON
#define MM_HAS_POISON 1
#include <sanitizer/asan_interface.h>
static inline void mm_poison(const void *at, size_t size)
{
    __asan_poison_memory_region(at, size);
}
static inline void mm_unpoison(const void *at, size_t size)
{
    __asan_unpoison_memory_region(at, size);
}
#else
#define MM_HAS_POISON 0
static inline void mm_poison(const void *at, size_t size)
{
}
static inline void mm_unpoison(const void *at, size_t size)
{
}
#endif

#endif
