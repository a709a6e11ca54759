/*
 * glibc's libm, loaded when an image first calculates: most images never do, and mapping and
 * relocating it takes a tenth of the time that a small program runs.
 */
#ifndef CRT_LIBM_H
#define CRT_LIBM_H

#include <math.h>

/* Names with one form in double and one in float; and the others. */
/* clang-format off */
#define CRT_LIBM_NAMES(BOTH, X)                                                            \
    BOTH(acos) BOTH(asin) BOTH(atan) BOTH(ceil) BOTH(cos) BOTH(cosh) BOTH(exp) BOTH(fabs)  \
    BOTH(floor) BOTH(log) BOTH(log10) BOTH(sin) BOTH(sinh) BOTH(sqrt) BOTH(tan) BOTH(tanh) \
    BOTH(acosh) BOTH(asinh) BOTH(atanh) BOTH(cbrt) BOTH(erf) BOTH(erfc) BOTH(exp2)         \
    BOTH(expm1) BOTH(lgamma) BOTH(tgamma) BOTH(log1p) BOTH(log2) BOTH(logb)                \
    BOTH(nearbyint) BOTH(rint) BOTH(round) BOTH(trunc) BOTH(atan2) BOTH(fmod) BOTH(pow)    \
    BOTH(copysign) BOTH(fdim) BOTH(fmax) BOTH(fmin) BOTH(hypot) BOTH(nextafter)            \
    BOTH(remainder) BOTH(modf) BOTH(scalbn) BOTH(ilogb) BOTH(remquo) BOTH(fma)             \
    BOTH(llrint) BOTH(llround) X(ldexp) X(frexp) X(nexttowardf) X(j0) X(j1) X(jn) X(y0)    \
    X(y1) X(yn)
/* clang-format on */

struct crt_libm {
#define CRT_LIBM_POINTER(name)  __typeof__(&name) name;
#define CRT_LIBM_POINTERS(name) CRT_LIBM_POINTER(name) CRT_LIBM_POINTER(name##f)
    CRT_LIBM_NAMES(CRT_LIBM_POINTERS, CRT_LIBM_POINTER)
#undef CRT_LIBM_POINTERS
#undef CRT_LIBM_POINTER
};

/* Never NULL: a process that needs libm and cannot load it ends, as a program linked with it would
 * not have begun. */
const struct crt_libm *crt_libm(void);

#endif
