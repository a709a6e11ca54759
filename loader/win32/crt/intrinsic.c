/*
 * Functions with a calling convention of their own on i386: _CIpow and its like take their
 * arguments on the x87 stack and return there, _ftol turns the top of it into edx:eax; _chkesp ends
 * the process when the stack pointer went wrong. x86-64 has none of these.
 */
#include "loader/ke/ke.h"
#include "loader/win32/crt/internal.h"
#include "loader/win32/crt/libm.h"

#if defined(__i386__)

/* st(0), for two arguments st(1) and st(0), becomes the stack arguments of a C function, whose
 * result comes back in st(0). The function has an assembler name, so that this file can call it. */
#define X87_CALL(name, spill)                                            \
    __attribute__((naked)) static void WIN_BUILTIN crt__CI##name(void)   \
    {                                                                    \
        __asm__("pushl %ebp\n\t"                                         \
                ".cfi_def_cfa_offset 8\n\t"                              \
                ".cfi_offset %ebp, -8\n\t"                               \
                "movl %esp, %ebp\n\t"                                    \
                ".cfi_def_cfa_register %ebp\n\t"                         \
                "subl $16, %esp\n\t"                                     \
                "andl $-16, %esp\n\t" spill "call crt_x87_" #name "\n\t" \
                "leave\n\t"                                              \
                ".cfi_def_cfa %esp, 4\n\t"                               \
                "ret");                                                  \
    }

#define X87_UNARY(name)                                                                 \
    static double x87_##name(double x) __asm__("crt_x87_" #name) __attribute__((used)); \
    static double x87_##name(double x)                                                  \
    {                                                                                   \
        return crt_libm()->name(x);                                                     \
    }                                                                                   \
    X87_CALL(name, "fstpl (%esp)\n\t")

#define X87_BINARY(name)                                                                          \
    static double x87_##name(double x, double y) __asm__("crt_x87_" #name) __attribute__((used)); \
    static double x87_##name(double x, double y)                                                  \
    {                                                                                             \
        return crt_libm()->name(x, y);                                                            \
    }                                                                                             \
    X87_CALL(name, "fstpl 8(%esp)\n\tfstpl (%esp)\n\t")

X87_UNARY(acos)
X87_UNARY(asin)
X87_UNARY(atan)
X87_UNARY(cos)
X87_UNARY(cosh)
X87_UNARY(exp)
X87_UNARY(log)
X87_UNARY(log10)
X87_UNARY(sin)
X87_UNARY(sinh)
X87_UNARY(sqrt)
X87_UNARY(tan)
X87_UNARY(tanh)
X87_BINARY(atan2)
X87_BINARY(fmod)
X87_BINARY(pow)

/* Truncates st(0) to a 64-bit integer in edx:eax. */
__attribute__((naked)) static void WIN_BUILTIN crt__ftol(void)
{
    __asm__("subl $12, %esp\n\t"
            ".cfi_adjust_cfa_offset 12\n\t"
            "fnstcw 8(%esp)\n\t"
            "movw 8(%esp), %ax\n\t"
            "orw $0x0C00, %ax\n\t"
            "movw %ax, 10(%esp)\n\t"
            "fldcw 10(%esp)\n\t"
            "fistpll (%esp)\n\t"
            "fldcw 8(%esp)\n\t"
            "movl (%esp), %eax\n\t"
            "movl 4(%esp), %edx\n\t"
            "addl $12, %esp\n\t"
            ".cfi_adjust_cfa_offset -12\n\t"
            "ret");
}

static void stack_is_wrong(void) __asm__("crt_stack_is_wrong") __attribute__((used));
static void stack_is_wrong(void)
{
    ke_process_terminate(0xC0000409u);
}

/* Called with the flags of a comparison of the stack pointer. */
__attribute__((naked)) static void WIN_BUILTIN crt__chkesp(void)
{
    __asm__("jne 1f\n\t"
            "ret\n"
            "1:\n\t"
            "andl $-16, %esp\n\t"
            "call crt_stack_is_wrong\n\t"
            "hlt");
}

static const struct ldr_builtin_export functions[] = {
    CRT_FN(_CIacos), CRT_FN(_CIasin), CRT_FN(_CIatan),  CRT_FN(_CIcos),   CRT_FN(_CIcosh),
    CRT_FN(_CIexp),  CRT_FN(_CIlog),  CRT_FN(_CIlog10), CRT_FN(_CIsin),   CRT_FN(_CIsinh),
    CRT_FN(_CIsqrt), CRT_FN(_CItan),  CRT_FN(_CItanh),  CRT_FN(_CIatan2), CRT_FN(_CIfmod),
    CRT_FN(_CIpow),  CRT_FN(_ftol),   CRT_FN(_chkesp),
};
CRT_FAMILY(crt_intrinsic_family, functions);
#else
const struct ldr_builtin_family crt_intrinsic_family = {NULL, 0};
#endif
