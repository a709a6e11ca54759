/*
 * What a jump out of C frames owes the sanitizers: AddressSanitizer marks the stack around the
 * variables of a frame, and only its epilogue takes the marks away.
 */
#ifndef LOADER_STACK_H
#define LOADER_STACK_H

#include <stdint.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define STACK_HAS_MARKS 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define STACK_HAS_MARKS 1
#endif

/* A function that jumps away, or reads the stack as words. */
#define STACK_JUMPER __attribute__((no_sanitize("address")))

#ifdef STACK_HAS_MARKS
void __asan_unpoison_memory_region(void const volatile *address, uintptr_t size);
#endif

/* Before a jump to a frame above: the stack from here up to `end` holds nothing any more. */
STACK_JUMPER static inline void stack_forget(uintptr_t end)
{
#ifdef STACK_HAS_MARKS
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    enum {
        BELOW = 4096,
        SAME_STACK = 64 << 20
    }; /* of this frame; another stack is not in between */
    if (end > here && end - here < SAME_STACK)
        __asan_unpoison_memory_region((void *)(here - BELOW), end - here + BELOW);
#else
    (void)end;
#endif
}

#endif
