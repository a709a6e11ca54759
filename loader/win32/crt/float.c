/*
 * The floating-point environment: _controlfp and its like in Windows's abstract bits, and C99's
 * fenv.
 *
 * On x86-64 the environment is MXCSR, on i386 x87 and SSE together; glibc's fenv functions write
 * both.
 */
#include <fenv.h>

#include "loader/win32/crt/internal.h"

enum { /* Windows's abstract control word (float.h) */
       EM_INEXACT = 0x1,
       EM_UNDERFLOW = 0x2,
       EM_OVERFLOW = 0x4,
       EM_ZERODIVIDE = 0x8,
       EM_INVALID = 0x10,
       EM_DENORMAL = 0x80000,
       MCW_EM = 0x8001F,
       MCW_RC = 0x300,
       MCW_PC = 0x30000,
       MCW_DN = 0x3000000,
       DN_FLUSH = 0x1000000,
       PC_53 = 0x10000,
};

static const struct {
    unsigned windows, host;
} exceptions[] = {
    {EM_INEXACT, FE_INEXACT},      {EM_UNDERFLOW, FE_UNDERFLOW}, {EM_OVERFLOW, FE_OVERFLOW},
    {EM_ZERODIVIDE, FE_DIVBYZERO}, {EM_INVALID, FE_INVALID},     {EM_DENORMAL, 2 /* x86's bit */},
};

/* The hardware keeps rounding modes in the same order as Windows's bits: near, down, up, chop. */
enum { MXCSR_MASK_SHIFT = 7, MXCSR_ROUND_SHIFT = 13, X87_ROUND_SHIFT = 10 };
#define MXCSR_FLUSH 0x8040u /* flush to zero, denormals are zero */

static unsigned from_host(unsigned bits)
{
    unsigned out = 0;
    for (size_t i = 0; i < CRT_COUNT(exceptions); i++) {
        out |= bits & exceptions[i].host ? exceptions[i].windows : 0;
    }
    return out;
}

static unsigned to_host(unsigned bits)
{
    unsigned out = 0;
    for (size_t i = 0; i < CRT_COUNT(exceptions); i++) {
        out |= bits & exceptions[i].windows ? exceptions[i].host : 0;
    }
    return out;
}

static unsigned read_control(void)
{
    unsigned mxcsr = __builtin_ia32_stmxcsr();
    unsigned control = from_host(mxcsr >> MXCSR_MASK_SHIFT & 0x3F);
    control |= (mxcsr >> MXCSR_ROUND_SHIFT & 3) << 8;
    control |= (mxcsr & MXCSR_FLUSH) == MXCSR_FLUSH ? DN_FLUSH : 0;
#if defined(__i386__)
    uint16_t x87;
    __asm__ volatile("fnstcw %0" : "=m"(x87));
    control |= (x87 >> 8 & 3) == 3 ? 0 : (x87 >> 8 & 3) == 2 ? PC_53 : 0x20000;
#endif
    return control;
}

static void write_control(unsigned control)
{
    unsigned masks = to_host(control & MCW_EM), round = control >> 8 & 3;
    unsigned mxcsr = __builtin_ia32_stmxcsr();
    mxcsr &= ~(0x3Fu << MXCSR_MASK_SHIFT | 3u << MXCSR_ROUND_SHIFT | MXCSR_FLUSH);
    mxcsr |= masks << MXCSR_MASK_SHIFT | round << MXCSR_ROUND_SHIFT;
    mxcsr |= (control & MCW_DN) == DN_FLUSH ? MXCSR_FLUSH : 0;
    __builtin_ia32_ldmxcsr(mxcsr);
    uint16_t x87;
    __asm__ volatile("fnstcw %0" : "=m"(x87));
    x87 = (uint16_t)((x87 & ~(0x3Fu | 3u << X87_ROUND_SHIFT)) | masks | round << X87_ROUND_SHIFT);
#if defined(__i386__)
    unsigned precision = control & MCW_PC;
    x87 = (uint16_t)((x87 & ~0x300u) | (precision == 0 ? 0x300 : precision == PC_53 ? 0x200 : 0));
#endif
    __asm__ volatile("fldcw %0" : : "m"(x87));
}

/* x86-64 has no precision to control. */
static unsigned control87(unsigned value, unsigned mask)
{
    unsigned old = read_control();
#if defined(__x86_64__)
    mask &= ~(unsigned)MCW_PC;
#endif
    unsigned wanted = (old & ~mask) | (value & mask);
    if (wanted != old) {
        write_control(wanted);
    }
    return wanted;
}

static WINCDECL_DEF unsigned crt__control87(unsigned value, unsigned mask)
{
    return control87(value, mask);
}

/* _controlfp leaves the denormal mask alone. */
static WINCDECL_DEF unsigned crt__controlfp(unsigned value, unsigned mask)
{
    return control87(value, mask & ~(unsigned)EM_DENORMAL);
}

static WINCDECL_DEF int crt__controlfp_s(unsigned *current, unsigned value, unsigned mask)
{
    unsigned control = control87(value, mask & ~(unsigned)EM_DENORMAL);
    if (current != NULL) {
        *current = control;
    }
    return 0;
}

static WINCDECL_DEF void crt__set_controlfp(unsigned value, unsigned mask)
{
    control87(value, mask & ~(unsigned)EM_DENORMAL);
}

#if defined(__i386__)
static WINCDECL_DEF int crt___control87_2(unsigned value, unsigned mask, unsigned *x87,
                                          unsigned *sse)
{
    unsigned control = control87(value, mask);
    if (x87 != NULL) {
        *x87 = control;
    }
    if (sse != NULL) {
        *sse = control;
    }
    return 1;
}

static WINCDECL_DEF void crt__statusfp2(unsigned *x87, unsigned *sse)
{
    uint16_t status;
    __asm__ volatile("fnstsw %0" : "=m"(status));
    if (x87 != NULL) {
        *x87 = from_host(status & 0x3F);
    }
    if (sse != NULL) {
        *sse = from_host(__builtin_ia32_stmxcsr() & 0x3F);
    }
}

/* Whether SSE2 may be used by the runtime: it is. */
static WINCDECL_DEF int crt__set_SSE2_enable(int enable)
{
    return 1;
}
#endif

static unsigned status(void)
{
    uint16_t x87;
    __asm__ volatile("fnstsw %0" : "=m"(x87));
    return from_host((x87 | __builtin_ia32_stmxcsr()) & 0x3F);
}

static WINCDECL_DEF unsigned crt__statusfp(void)
{
    return status();
}

static WINCDECL_DEF unsigned crt__clearfp(void)
{
    unsigned old = status();
    __asm__ volatile("fnclex");
    __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() & ~0x3Fu);
    return old;
}

/* All exceptions masked, rounding to nearest, 53 bits (64 on x86-64), as at the start of a program.
 */
static WINCDECL_DEF void crt__fpreset(void)
{
    __asm__ volatile("fninit");
    __builtin_ia32_ldmxcsr(0x1F80);
#if defined(__i386__)
    write_control(MCW_EM | PC_53);
#endif
}

/* ---- C99 (UCRT): FE_INEXACT 1, UNDERFLOW 2, OVERFLOW 4, DIVBYZERO 8, INVALID 0x10
 * -------------------- */

struct windows_fenv {
    crt_ulong control, status;
};

static void set_status(unsigned windows)
{
    crt__clearfp();
    __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() | to_host(windows));
}

static WINCDECL_DEF int crt_fegetround(void)
{
    return (int)(read_control() & MCW_RC);
}

static WINCDECL_DEF int crt_fesetround(int mode)
{
    if (mode & ~MCW_RC) {
        return 1;
    }
    control87((unsigned)mode, MCW_RC);
    return 0;
}

static WINCDECL_DEF int crt_fegetenv(struct windows_fenv *out)
{
    *out = (struct windows_fenv){read_control(), status()};
    return 0;
}

static WINCDECL_DEF int crt_fesetenv(const struct windows_fenv *in)
{
    set_status(in->status);
    write_control(in->control);
    return 0;
}

static WINCDECL_DEF int crt_feholdexcept(struct windows_fenv *out)
{
    crt_fegetenv(out);
    crt__clearfp();
    control87(MCW_EM, MCW_EM);
    return 0;
}

static WINCDECL_DEF int crt_fetestexcept(int flags)
{
    return (int)status() & flags;
}

static WINCDECL_DEF int crt_feclearexcept(int flags)
{
    set_status(status() & ~(unsigned)flags);
    return 0;
}

static WINCDECL_DEF int crt_fegetexceptflag(crt_ulong *out, int flags)
{
    *out = status() & (unsigned)flags;
    return 0;
}

static WINCDECL_DEF int crt_fesetexceptflag(const crt_ulong *in, int flags)
{
    set_status((status() & ~(unsigned)flags) | (*in & (unsigned)flags));
    return 0;
}

/* FLT_ROUNDS: 0 toward zero, 1 nearest, 2 up, 3 down. */
static WINCDECL_DEF int crt___fpe_flt_rounds(void)
{
    static const int rounds[] = {1, 3, 2, 0};
    return rounds[read_control() >> 8 & 3];
}

static const struct ldr_builtin_export functions[] = {
    CRT_FN(_control87),      CRT_FN(_controlfp),       CRT_FN(_controlfp_s),
    CRT_FN(_set_controlfp),  CRT_FN(_statusfp),        CRT_FN(_clearfp),
    CRT_FN(_fpreset),        CRT_FN(fegetround),       CRT_FN(fesetround),
    CRT_FN(fegetenv),        CRT_FN(fesetenv),         CRT_FN(feholdexcept),
    CRT_FN(fetestexcept),    CRT_FN(feclearexcept),    CRT_FN(fegetexceptflag),
    CRT_FN(fesetexceptflag), CRT_FN(__fpe_flt_rounds),
#if defined(__i386__)
    CRT_FN(__control87_2),   CRT_FN(_statusfp2),       CRT_FN(_set_SSE2_enable),
#endif
};
CRT_FAMILY(crt_float_family, functions);
