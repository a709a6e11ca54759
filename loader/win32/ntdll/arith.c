/*
 * 64-bit arithmetic: the helper functions that compiled i386 code calls (stdcall, the result in
 * EDX:EAX), and the Rtl functions of the same purpose.
 */
#include "loader/win32/ntdll/families.h"

static ULONGLONG WINAPI_DEF nt_RtlUlonglongByteSwap(ULONGLONG value)
{
    return __builtin_bswap64(value);
}

#ifdef __i386__
static int64_t WINAPI_DEF nt__allmul(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a * (uint64_t)b);
}

static int64_t WINAPI_DEF nt__alldiv(int64_t a, int64_t b)
{
    return a / b;
}

static int64_t WINAPI_DEF nt__allrem(int64_t a, int64_t b)
{
    return a % b;
}

static uint64_t WINAPI_DEF nt__aulldiv(uint64_t a, uint64_t b)
{
    return a / b;
}

static uint64_t WINAPI_DEF nt__aullrem(uint64_t a, uint64_t b)
{
    return a % b;
}

static int64_t WINAPI_DEF nt_RtlExtendedIntegerMultiply(int64_t a, LONG b)
{
    return (int64_t)((uint64_t)a * (uint64_t)(int64_t)b);
}

static int64_t WINAPI_DEF nt_RtlEnlargedIntegerMultiply(LONG a, LONG b)
{
    return (int64_t)a * b;
}

static uint64_t WINAPI_DEF nt_RtlEnlargedUnsignedMultiply(ULONG a, ULONG b)
{
    return (uint64_t)a * b;
}
#endif

const struct ldr_builtin_export ntdll_arith_exports[] = {
#ifdef __i386__
    LDR_FN(nt_, _allmul),
    LDR_FN(nt_, _alldiv),
    LDR_FN(nt_, _allrem),
    LDR_FN(nt_, _aulldiv),
    LDR_FN(nt_, _aullrem),
    LDR_FN(nt_, RtlExtendedIntegerMultiply),
    LDR_FN(nt_, RtlEnlargedIntegerMultiply),
    LDR_FN(nt_, RtlEnlargedUnsignedMultiply),
#endif
    LDR_FN(nt_, RtlUlonglongByteSwap),
};
const size_t ntdll_arith_count = sizeof(ntdll_arith_exports) / sizeof(*ntdll_arith_exports);
