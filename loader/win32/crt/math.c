/*
 * Mathematics: adapters over glibc's libm (libm.h), in double and float. Windows's long double is
 * double.
 */
#include <fenv.h>
#include <float.h>
#include <limits.h>

#include "loader/win32/crt/internal.h"
#include "loader/win32/crt/libm.h"

#define UNARY(name)                                  \
    static WINCDECL_DEF double crt_##name(double x)  \
    {                                                \
        return crt_libm()->name(x);                  \
    }                                                \
    static WINCDECL_DEF float crt_##name##f(float x) \
    {                                                \
        return crt_libm()->name##f(x);               \
    }
#define BINARY(name)                                          \
    static WINCDECL_DEF double crt_##name(double x, double y) \
    {                                                         \
        return crt_libm()->name(x, y);                        \
    }                                                         \
    static WINCDECL_DEF float crt_##name##f(float x, float y) \
    {                                                         \
        return crt_libm()->name##f(x, y);                     \
    }

UNARY(acos)
UNARY(asin)
UNARY(atan)
UNARY(ceil)
UNARY(cos)
UNARY(cosh)
UNARY(exp)
UNARY(fabs)
UNARY(floor)
UNARY(log)
UNARY(log10)
UNARY(sin)
UNARY(sinh)
UNARY(sqrt)
UNARY(tan)
UNARY(tanh)
UNARY(acosh)
UNARY(asinh)
UNARY(atanh)
UNARY(cbrt)
UNARY(erf)
UNARY(erfc)
UNARY(exp2)
UNARY(expm1)
UNARY(lgamma)
UNARY(tgamma)
UNARY(log1p)
UNARY(log2)
UNARY(logb)
UNARY(nearbyint)
UNARY(rint)
UNARY(round)
UNARY(trunc)
BINARY(atan2)
BINARY(fmod)
BINARY(pow)
BINARY(copysign)
BINARY(fdim)
BINARY(fmax)
BINARY(fmin)
BINARY(hypot)
BINARY(nextafter)
BINARY(remainder)

/* ---- functions with integers
 * ------------------------------------------------------------------------------ */

static WINCDECL_DEF double crt_ldexp(double x, int exponent)
{
    return crt_libm()->ldexp(x, exponent);
}

static WINCDECL_DEF double crt_frexp(double x, int *exponent)
{
    return crt_libm()->frexp(x, exponent);
}

static WINCDECL_DEF double crt_modf(double x, double *whole)
{
    return crt_libm()->modf(x, whole);
}

static WINCDECL_DEF float crt_modff(float x, float *whole)
{
    return crt_libm()->modff(x, whole);
}

static WINCDECL_DEF double crt__scalb(double x, crt_long exponent)
{
    return crt_libm()->scalbn(x, exponent);
}

static WINCDECL_DEF float crt__scalbf(float x, crt_long exponent)
{
    return crt_libm()->scalbnf(x, exponent);
}

static WINCDECL_DEF int crt_ilogb(double x)
{
    return crt_libm()->ilogb(x);
}

static WINCDECL_DEF int crt_ilogbf(float x)
{
    return crt_libm()->ilogbf(x);
}

static WINCDECL_DEF double crt_remquo(double x, double y, int *quotient)
{
    return crt_libm()->remquo(x, y, quotient);
}

static WINCDECL_DEF float crt_remquof(float x, float y, int *quotient)
{
    return crt_libm()->remquof(x, y, quotient);
}

static WINCDECL_DEF double crt_fma(double x, double y, double z)
{
    return crt_libm()->fma(x, y, z);
}

static WINCDECL_DEF float crt_fmaf(float x, float y, float z)
{
    return crt_libm()->fmaf(x, y, z);
}

static WINCDECL_DEF int64_t crt_llrint(double x)
{
    return crt_libm()->llrint(x);
}

static WINCDECL_DEF int64_t crt_llrintf(float x)
{
    return crt_libm()->llrintf(x);
}

static WINCDECL_DEF int64_t crt_llround(double x)
{
    return crt_libm()->llround(x);
}

static WINCDECL_DEF int64_t crt_llroundf(float x)
{
    return crt_libm()->llroundf(x);
}

/* What does not fit Windows's long gives the smallest one, as the conversion instruction does. */
static crt_long narrow(long long value)
{
    return value < INT32_MIN || value > INT32_MAX ? INT32_MIN : (crt_long)value;
}

static WINCDECL_DEF crt_long crt_lrint(double x)
{
    return narrow(crt_libm()->llrint(x));
}

static WINCDECL_DEF crt_long crt_lrintf(float x)
{
    return narrow(crt_libm()->llrintf(x));
}

static WINCDECL_DEF crt_long crt_lround(double x)
{
    return narrow(crt_libm()->llround(x));
}

static WINCDECL_DEF crt_long crt_lroundf(float x)
{
    return narrow(crt_libm()->llroundf(x));
}

static WINCDECL_DEF double crt_nan(const char *tag)
{
    return NAN;
}

static WINCDECL_DEF float crt_nanf(const char *tag)
{
    return NAN;
}

static WINCDECL_DEF float crt_nexttowardf(float x, double y)
{
    return crt_libm()->nexttowardf(x, y);
}

/* struct _complex by reference on x86-64 (16 bytes), by value on i386. */
struct complex_number {
    double x, y;
};

static WINCDECL_DEF double crt__cabs(struct complex_number z)
{
    return crt_libm()->hypot(z.x, z.y);
}

static WINCDECL_DEF double crt__chgsign(double x)
{
    return -x;
}

static WINCDECL_DEF float crt__chgsignf(float x)
{
    return -x;
}

/* ---- Bessel functions
 * ---------------------------------------------------------------------------------------- */

static WINCDECL_DEF double crt__j0(double x)
{
    return crt_libm()->j0(x);
}

static WINCDECL_DEF double crt__j1(double x)
{
    return crt_libm()->j1(x);
}

static WINCDECL_DEF double crt__jn(int n, double x)
{
    return crt_libm()->jn(n, x);
}

static WINCDECL_DEF double crt__y0(double x)
{
    return crt_libm()->y0(x);
}

static WINCDECL_DEF double crt__y1(double x)
{
    return crt_libm()->y1(x);
}

static WINCDECL_DEF double crt__yn(int n, double x)
{
    return crt_libm()->yn(n, x);
}

/* ---- classes
 * ---------------------------------------------------------------------------------------------------
 */

static WINCDECL_DEF int crt__isnan(double x)
{
    return isnan(x) != 0;
}

static WINCDECL_DEF int crt__isnanf(float x)
{
    return isnan(x) != 0;
}

static WINCDECL_DEF int crt__finite(double x)
{
    return isfinite(x) != 0;
}

static WINCDECL_DEF int crt__finitef(float x)
{
    return isfinite(x) != 0;
}

/* _FPCLASS_SNAN 1, QNAN 2, NINF 4, NN 8, ND 0x10, NZ 0x20, PZ 0x40, PD 0x80, PN 0x100, PINF 0x200
 */
static int fp_class(int kind, bool negative, bool quiet)
{
    switch (kind) {
    case FP_NAN:
        return quiet ? 2 : 1;
    case FP_INFINITE:
        return negative ? 4 : 0x200;
    case FP_ZERO:
        return negative ? 0x20 : 0x40;
    case FP_SUBNORMAL:
        return negative ? 0x10 : 0x80;
    default:
        return negative ? 8 : 0x100;
    }
}

static WINCDECL_DEF int crt__fpclass(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return fp_class(fpclassify(x), bits >> 63, bits >> 51 & 1);
}

static WINCDECL_DEF int crt__fpclassf(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return fp_class(fpclassify(x), bits >> 31, bits >> 22 & 1);
}

/* UCRT's fpclassify: FP_INFINITE 1, FP_NAN 2, FP_NORMAL -1, FP_SUBNORMAL -2, FP_ZERO 0. */
static int16_t ucrt_class(int kind)
{
    switch (kind) {
    case FP_NAN:
        return 2;
    case FP_INFINITE:
        return 1;
    case FP_ZERO:
        return 0;
    case FP_SUBNORMAL:
        return -2;
    default:
        return -1;
    }
}

static WINCDECL_DEF int16_t crt__dclass(double x)
{
    return ucrt_class(fpclassify(x));
}

static WINCDECL_DEF int16_t crt__fdclass(float x)
{
    return ucrt_class(fpclassify(x));
}

static WINCDECL_DEF int16_t crt__dtest(const double *x)
{
    return ucrt_class(fpclassify(*x));
}

static WINCDECL_DEF int16_t crt__fdtest(const float *x)
{
    return ucrt_class(fpclassify(*x));
}

static WINCDECL_DEF int crt__dsign(double x)
{
    return signbit(x) != 0 ? 0x8000 : 0;
}

static WINCDECL_DEF int crt__fdsign(float x)
{
    return signbit(x) != 0 ? 0x8000 : 0;
}

static const struct ldr_builtin_export functions[] = {
    CRT_FN(acos),
    CRT_FN(acosf),
    CRT_FN(asin),
    CRT_FN(asinf),
    CRT_FN(atan),
    CRT_FN(atanf),
    CRT_FN(ceil),
    CRT_FN(ceilf),
    CRT_FN(cos),
    CRT_FN(cosf),
    CRT_FN(cosh),
    CRT_FN(coshf),
    CRT_FN(exp),
    CRT_FN(expf),
    CRT_FN(fabs),
    CRT_FN(fabsf),
    CRT_FN(floor),
    CRT_FN(floorf),
    CRT_FN(log),
    CRT_FN(logf),
    CRT_FN(log10),
    CRT_FN(log10f),
    CRT_FN(sin),
    CRT_FN(sinf),
    CRT_FN(sinh),
    CRT_FN(sinhf),
    CRT_FN(sqrt),
    CRT_FN(sqrtf),
    CRT_FN(tan),
    CRT_FN(tanf),
    CRT_FN(tanh),
    CRT_FN(tanhf),
    CRT_FN(acosh),
    CRT_FN(acoshf),
    CRT_AS(acoshl, crt_acosh),
    CRT_FN(asinh),
    CRT_FN(asinhf),
    CRT_AS(asinhl, crt_asinh),
    CRT_FN(atanh),
    CRT_FN(atanhf),
    CRT_AS(atanhl, crt_atanh),
    CRT_FN(cbrt),
    CRT_FN(cbrtf),
    CRT_AS(cbrtl, crt_cbrt),
    CRT_FN(erf),
    CRT_FN(erff),
    CRT_AS(erfl, crt_erf),
    CRT_FN(erfc),
    CRT_FN(erfcf),
    CRT_AS(erfcl, crt_erfc),
    CRT_FN(exp2),
    CRT_FN(exp2f),
    CRT_AS(exp2l, crt_exp2),
    CRT_FN(expm1),
    CRT_FN(expm1f),
    CRT_AS(expm1l, crt_expm1),
    CRT_FN(lgamma),
    CRT_FN(lgammaf),
    CRT_AS(lgammal, crt_lgamma),
    CRT_FN(tgamma),
    CRT_FN(tgammaf),
    CRT_AS(tgammal, crt_tgamma),
    CRT_FN(log1p),
    CRT_FN(log1pf),
    CRT_AS(log1pl, crt_log1p),
    CRT_FN(log2),
    CRT_FN(log2f),
    CRT_AS(log2l, crt_log2),
    CRT_FN(logb),
    CRT_FN(logbf),
    CRT_AS(logbl, crt_logb),
    CRT_AS(_logb, crt_logb),
    CRT_AS(_logbf, crt_logbf),
    CRT_FN(nearbyint),
    CRT_FN(nearbyintf),
    CRT_AS(nearbyintl, crt_nearbyint),
    CRT_FN(rint),
    CRT_FN(rintf),
    CRT_AS(rintl, crt_rint),
    CRT_FN(round),
    CRT_FN(roundf),
    CRT_AS(roundl, crt_round),
    CRT_FN(trunc),
    CRT_FN(truncf),
    CRT_AS(truncl, crt_trunc),
    CRT_FN(atan2),
    CRT_FN(atan2f),
    CRT_FN(fmod),
    CRT_FN(fmodf),
    CRT_FN(pow),
    CRT_FN(powf),
    CRT_FN(copysign),
    CRT_FN(copysignf),
    CRT_AS(copysignl, crt_copysign),
    CRT_AS(_copysign, crt_copysign),
    CRT_AS(_copysignf, crt_copysignf),
    CRT_FN(fdim),
    CRT_FN(fdimf),
    CRT_AS(fdiml, crt_fdim),
    CRT_FN(fmax),
    CRT_FN(fmaxf),
    CRT_AS(fmaxl, crt_fmax),
    CRT_FN(fmin),
    CRT_FN(fminf),
    CRT_AS(fminl, crt_fmin),
    CRT_FN(hypot),
    CRT_FN(hypotf),
    CRT_AS(_hypot, crt_hypot),
    CRT_AS(_hypotf, crt_hypotf),
    CRT_FN(nextafter),
    CRT_FN(nextafterf),
    CRT_AS(nextafterl, crt_nextafter),
    CRT_AS(_nextafter, crt_nextafter),
    CRT_AS(_nextafterf, crt_nextafterf),
    CRT_FN(remainder),
    CRT_FN(remainderf),
    CRT_AS(remainderl, crt_remainder),
    CRT_FN(ldexp),
    CRT_FN(frexp),
    CRT_FN(modf),
    CRT_FN(modff),
    CRT_FN(_scalb),
    CRT_FN(_scalbf),
    CRT_FN(ilogb),
    CRT_FN(ilogbf),
    CRT_FN(remquo),
    CRT_FN(remquof),
    CRT_FN(fma),
    CRT_FN(fmaf),
    CRT_FN(llrint),
    CRT_FN(llrintf),
    CRT_FN(llround),
    CRT_FN(llroundf),
    CRT_FN(lrint),
    CRT_FN(lrintf),
    CRT_FN(lround),
    CRT_FN(lroundf),
    CRT_FN(nan),
    CRT_FN(nanf),
    CRT_FN(nexttowardf),
    CRT_FN(_cabs),
    CRT_FN(_chgsign),
    CRT_FN(_chgsignf),
    CRT_FN(_j0),
    CRT_FN(_j1),
    CRT_FN(_jn),
    CRT_FN(_y0),
    CRT_FN(_y1),
    CRT_FN(_yn),
    CRT_FN(_isnan),
    CRT_FN(_isnanf),
    CRT_FN(_finite),
    CRT_FN(_finitef),
    CRT_FN(_fpclass),
    CRT_FN(_fpclassf),
    CRT_FN(_dclass),
    CRT_FN(_fdclass),
    CRT_FN(_dtest),
    CRT_FN(_fdtest),
    CRT_FN(_dsign),
    CRT_FN(_fdsign),
    CRT_AS(ilogbl, crt_ilogb),
    CRT_AS(remquol, crt_remquo),
    CRT_AS(fmal, crt_fma),
    CRT_AS(llrintl, crt_llrint),
    CRT_AS(llroundl, crt_llround),
    CRT_AS(lrintl, crt_lrint),
    CRT_AS(lroundl, crt_lround),
    CRT_AS(nanl, crt_nan),
    CRT_AS(nexttoward, crt_nextafter),
    CRT_AS(nexttowardl, crt_nextafter),
    CRT_AS(scalbn, crt__scalb),
    CRT_AS(scalbnl, crt__scalb),
    CRT_AS(scalbnf, crt__scalbf),
    CRT_AS(scalbln, crt__scalb),
    CRT_AS(scalblnl, crt__scalb),
    CRT_AS(scalblnf, crt__scalbf),
    CRT_AS(_ldclass, crt__dclass),
    CRT_AS(_ldsign, crt__dsign),
    CRT_AS(_ldtest, crt__dtest),
};
CRT_FAMILY(crt_math_family, functions);
