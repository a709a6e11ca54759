/*
 * Interlocked functions as exports: 32-bit KERNEL32 has them, on x86-64 they are compiler
 * intrinsics.
 */
#include "loader/win32/kernel32/families.h"

#ifdef __i386__

static LONG WINAPI_DEF k32_InterlockedIncrement(LONG *value)
{
    return __atomic_add_fetch(value, 1, __ATOMIC_SEQ_CST);
}

static LONG WINAPI_DEF k32_InterlockedDecrement(LONG *value)
{
    return __atomic_sub_fetch(value, 1, __ATOMIC_SEQ_CST);
}

static LONG WINAPI_DEF k32_InterlockedExchange(LONG *value, LONG fresh)
{
    return __atomic_exchange_n(value, fresh, __ATOMIC_SEQ_CST);
}

static LONG WINAPI_DEF k32_InterlockedExchangeAdd(LONG *value, LONG add)
{
    return __atomic_fetch_add(value, add, __ATOMIC_SEQ_CST);
}

static LONG WINAPI_DEF k32_InterlockedCompareExchange(LONG *value, LONG fresh, LONG expected)
{
    __atomic_compare_exchange_n(value, &expected, fresh, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return expected;
}

/* By hand: the image's value may be 4-byte aligned only, where the builtin would call libatomic. */
static LONGLONG WINAPI_DEF k32_InterlockedCompareExchange64(LONGLONG *value, LONGLONG fresh,
                                                            LONGLONG expected)
{
    __asm__ volatile("lock cmpxchg8b %1"
                     : "+A"(expected), "+m"(*value)
                     : "b"((uint32_t)fresh), "c"((uint32_t)((uint64_t)fresh >> 32))
                     : "memory", "cc");
    return expected;
}

#endif

const struct ldr_builtin_export kernel32_interlocked_exports[] = {
#ifdef __i386__
    LDR_FN(k32_, InterlockedIncrement),       LDR_FN(k32_, InterlockedDecrement),
    LDR_FN(k32_, InterlockedExchange),        LDR_FN(k32_, InterlockedExchangeAdd),
    LDR_FN(k32_, InterlockedCompareExchange), LDR_FN(k32_, InterlockedCompareExchange64),
#endif
};
const size_t kernel32_interlocked_count =
    sizeof(kernel32_interlocked_exports) / sizeof(struct ldr_builtin_export);
