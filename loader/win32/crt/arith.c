/*
 * Integer arithmetic of stdlib.h: abs, div, rotations, byte swaps, and rand().
 *
 * Structs of 8 bytes come back in registers in Windows's convention for both word sizes, larger
 * ones through a hidden first pointer, which the caller pops on i386: hence the unusual signatures.
 */
#include <stdlib.h>
#include <sys/random.h>

#include "loader/win32/crt/internal.h"

static WINCDECL_DEF int crt_abs(int value)
{
    return value < 0 ? (int)(0u - (unsigned)value) : value;
}

static WINCDECL_DEF int64_t crt__abs64(int64_t value)
{
    return value < 0 ? (int64_t)(0u - (uint64_t)value) : value;
}

/* div_t and ldiv_t: quotient in the low half, remainder in the high half. */
static WINCDECL_DEF uint64_t crt_div(int numerator, int denominator)
{
    uint32_t quotient = (uint32_t)(numerator / denominator);
    uint32_t remainder = (uint32_t)(numerator % denominator);
    return quotient | (uint64_t)remainder << 32;
}

struct long_division {
    int64_t quotient, remainder;
};

static WINCDECL_DEF struct long_division *crt_lldiv(struct long_division *out, int64_t numerator,
                                                    int64_t denominator)
{
    out->quotient = numerator / denominator;
    out->remainder = numerator % denominator;
    return out;
}

static WINCDECL_DEF uint32_t crt__rotl(uint32_t value, int shift)
{
    return value << (shift & 31) | value >> (-shift & 31);
}

static WINCDECL_DEF uint32_t crt__rotr(uint32_t value, int shift)
{
    return value >> (shift & 31) | value << (-shift & 31);
}

static WINCDECL_DEF uint64_t crt__rotl64(uint64_t value, int shift)
{
    return value << (shift & 63) | value >> (-shift & 63);
}

static WINCDECL_DEF uint64_t crt__rotr64(uint64_t value, int shift)
{
    return value >> (shift & 63) | value << (-shift & 63);
}

static WINCDECL_DEF uint16_t crt__byteswap_ushort(uint16_t value)
{
    return __builtin_bswap16(value);
}

static WINCDECL_DEF crt_ulong crt__byteswap_ulong(crt_ulong value)
{
    return __builtin_bswap32(value);
}

static WINCDECL_DEF uint64_t crt__byteswap_uint64(uint64_t value)
{
    return __builtin_bswap64(value);
}

/* The generator that programs expect the same sequence from; each thread has its own, seeded 1. */
static WINCDECL_DEF void crt_srand(unsigned seed)
{
    crt_thread()->random = seed - 1;
}

static WINCDECL_DEF int crt_rand(void)
{
    uint32_t state = (crt_thread()->random + 1) * 214013u + 2531011u;
    crt_thread()->random = state - 1;
    return (int)(state >> 16 & 0x7FFF);
}

static WINCDECL_DEF int crt_rand_s(unsigned *out)
{
    if (out == NULL) {
        return crt_invalid(CRT_EINVAL);
    }
    return getrandom(out, sizeof(*out), 0) == (ssize_t)sizeof(*out) ? 0 : CRT_ENOMEM;
}

static const struct ldr_builtin_export functions[] = {
    CRT_FN(abs),
    CRT_AS(labs, crt_abs),
    CRT_FN(_abs64),
    CRT_AS(llabs, crt__abs64),
    CRT_AS(imaxabs, crt__abs64),
    CRT_FN(div),
    CRT_AS(ldiv, crt_div),
    CRT_FN(lldiv),
    CRT_AS(imaxdiv, crt_lldiv),
    CRT_FN(_rotl),
    CRT_FN(_rotr),
    CRT_AS(_lrotl, crt__rotl),
    CRT_AS(_lrotr, crt__rotr),
    CRT_FN(_rotl64),
    CRT_FN(_rotr64),
    CRT_FN(_byteswap_ushort),
    CRT_FN(_byteswap_ulong),
    CRT_FN(_byteswap_uint64),
    CRT_FN(srand),
    CRT_FN(rand),
    CRT_FN(rand_s),
};
CRT_FAMILY(crt_arith_family, functions);
