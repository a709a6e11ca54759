/*
 * setjmp and longjmp in Windows's _JUMP_BUFFER layouts (setjmp.h; compilers inline parts of it).
 *
 * Every register that Windows's conventions preserve is kept, on x86-64 xmm6 to xmm15, MXCSR and
 * the x87 control word, too, on i386 the exception registration chain at fs:[0]. longjmp
 * unwinds the frames in between: jump.h, seh_x64.c.
 */
#include "loader/win32/crt/internal.h"

#if defined(__x86_64__)

/* rcx = buffer, rdx = frame. Frame, Rbx, Rsp, Rbp, Rsi, Rdi, R12-R15, Rip, MxCsr, FpCsr, Xmm6-15.
 */
__attribute__((naked)) static void WIN_BUILTIN crt_setjmp_frame(void)
{
    __asm__("movq %rdx, 0x00(%rcx)\n\t"
            "movq %rbx, 0x08(%rcx)\n\t"
            "leaq 8(%rsp), %rax\n\t" /* as it is after the return */
            "movq %rax, 0x10(%rcx)\n\t"
            "movq %rbp, 0x18(%rcx)\n\t"
            "movq %rsi, 0x20(%rcx)\n\t"
            "movq %rdi, 0x28(%rcx)\n\t"
            "movq %r12, 0x30(%rcx)\n\t"
            "movq %r13, 0x38(%rcx)\n\t"
            "movq %r14, 0x40(%rcx)\n\t"
            "movq %r15, 0x48(%rcx)\n\t"
            "movq (%rsp), %rax\n\t"
            "movq %rax, 0x50(%rcx)\n\t"
            "stmxcsr 0x58(%rcx)\n\t"
            "fnstcw 0x5c(%rcx)\n\t"
            "movdqu %xmm6, 0x60(%rcx)\n\t"
            "movdqu %xmm7, 0x70(%rcx)\n\t"
            "movdqu %xmm8, 0x80(%rcx)\n\t"
            "movdqu %xmm9, 0x90(%rcx)\n\t"
            "movdqu %xmm10, 0xa0(%rcx)\n\t"
            "movdqu %xmm11, 0xb0(%rcx)\n\t"
            "movdqu %xmm12, 0xc0(%rcx)\n\t"
            "movdqu %xmm13, 0xd0(%rcx)\n\t"
            "movdqu %xmm14, 0xe0(%rcx)\n\t"
            "movdqu %xmm15, 0xf0(%rcx)\n\t"
            "xorl %eax, %eax\n\t"
            "ret");
}

#else

/*
 * The part that both kinds of setjmp have, which need all registers: ecx = struct crt_jump. Leaves
 * eax = the innermost frame, -1 at the end of the chain, and the level it is at in the buffer.
 */
#define SAVE_REGISTERS          \
    "movl 4(%esp), %ecx\n\t"    \
    "movl %ebp, 0x00(%ecx)\n\t" \
    "movl %ebx, 0x04(%ecx)\n\t" \
    "movl %edi, 0x08(%ecx)\n\t" \
    "movl %esi, 0x0c(%ecx)\n\t" \
    "leal 4(%esp), %eax\n\t"    \
    "movl %eax, 0x10(%ecx)\n\t" \
    "movl (%esp), %eax\n\t"     \
    "movl %eax, 0x14(%ecx)\n\t" \
    "movl $-1, 0x1c(%ecx)\n\t"  \
    "movl %fs:0, %eax\n\t"      \
    "movl %eax, 0x18(%ecx)\n\t" \
    "cmpl $-1, %eax\n\t"        \
    "je 1f\n\t"                 \
    "movl 12(%eax), %edx\n\t"   \
    "movl %edx, 0x1c(%ecx)\n"   \
    "1:\n\t"

/* _setjmp(buffer): the buffer ends behind the level. */
__attribute__((naked)) static void WIN_BUILTIN crt_setjmp_frame(void)
{
    __asm__(SAVE_REGISTERS "xorl %eax, %eax\n\t"
                           "ret");
}

/*
 * _setjmp3(buffer, count, unwind function, level, data ...): the compiler says how to unwind its
 * frame, in `count` words; mingw's has no frame and passes 0.
 */
__attribute__((naked)) static void WIN_BUILTIN crt__setjmp3(void)
{
    __asm__(SAVE_REGISTERS "movl $0x56433230, 0x20(%ecx)\n\t" /* CRT_JUMP_COOKIE */
                           "movl $0, 0x24(%ecx)\n\t"
                           "movl 8(%esp), %edx\n\t"
                           "cmpl $-1, %eax\n\t"
                           "je 4f\n\t"
                           "testl %edx, %edx\n\t"
                           "jz 4f\n\t"
                           "movl 12(%esp), %eax\n\t"
                           "movl %eax, 0x24(%ecx)\n\t"
                           "decl %edx\n\t"
                           "jz 4f\n\t"
                           "movl 16(%esp), %eax\n\t"
                           "movl %eax, 0x1c(%ecx)\n\t"
                           "decl %edx\n\t"
                           "cmpl $6, %edx\n\t" /* what there is room for */
                           "jbe 3f\n\t"
                           "movl $6, %edx\n"
                           "3:\n\t"
                           "decl %edx\n\t"
                           "js 4f\n\t"
                           "movl 20(%esp,%edx,4), %eax\n\t"
                           "movl %eax, 0x28(%ecx,%edx,4)\n\t"
                           "jmp 3b\n"
                           "4:\n\t"
                           "xorl %eax, %eax\n\t"
                           "ret");
}

/* The frames below the one that called setjmp are unwound on this stack, then it is left. */
__attribute__((naked)) static void WIN_BUILTIN crt_longjmp(void)
{
    __asm__("pushl 4(%esp)\n\t"
            ".cfi_adjust_cfa_offset 4\n\t"
            "call crt_jump_unwind\n\t"
            "popl %ecx\n\t"
            ".cfi_adjust_cfa_offset -4\n\t"
            "movl 8(%esp), %eax\n\t"
            "testl %eax, %eax\n\t"
            "jnz 1f\n\t"
            "incl %eax\n"
            "1:\n\t"
            "movl 4(%esp), %ecx\n\t"
            "movl 0x00(%ecx), %ebp\n\t"
            "movl 0x04(%ecx), %ebx\n\t"
            "movl 0x08(%ecx), %edi\n\t"
            "movl 0x0c(%ecx), %esi\n\t"
            "movl 0x10(%ecx), %esp\n\t"
            "jmp *0x14(%ecx)");
}

#endif

static const struct ldr_builtin_export functions[] = {
    CRT_AS(_setjmp, crt_setjmp_frame),
    CRT_AS(setjmp, crt_setjmp_frame),
    CRT_AS(__intrinsic_setjmp, crt_setjmp_frame),
    CRT_AS(_setjmpex, crt_setjmp_frame),
    CRT_AS(__intrinsic_setjmpex, crt_setjmp_frame),
#if defined(__i386__)
    CRT_FN(_setjmp3),
    CRT_FN(longjmp), /* of x86-64: seh_x64.c */
#endif
};
CRT_FAMILY(crt_jump_family, functions);
