/*
 * Functions of x86-64 that begin a walk over the stack with their caller's registers (exception.h,
 * unwind.h). At their first instruction these are all still there, so that no frame of native code
 * has to be undone to find them: that would be most of the cost of an exception.
 *
 * Each stores its four register arguments where Windows's convention has room for them, so that the C
 * function gets all of them as an array, and the caller's CONTEXT. It does not return.
 */
#if defined(__x86_64__)

    .macro ENTRY name, function
    .globl  \name
    .hidden \name, \function
    .type   \name, @function
    .p2align 4
\name:
    leaq    \function(%rip), %rax
    jmp     enter
    .size   \name, . - \name
    .endm

    .section peldr_builtin, "ax", @progbits
    ENTRY   ke_raise_exception, ke_raise_entered
    ENTRY   ke_unwind_ex, ke_unwind_entered

    .hidden ke_capture_context
    .type   enter, @function
    .p2align 4
enter:                              /* rax = the C function */
    .cfi_startproc
    pushq   %rbp
    .cfi_def_cfa_offset 16
    .cfi_offset %rbp, -16
    movq    %rsp, %rbp
    .cfi_def_cfa_register %rbp
    movq    %rcx, 16(%rbp)
    movq    %rdx, 24(%rbp)
    movq    %r8, 32(%rbp)
    movq    %r9, 40(%rbp)
    subq    $0x4F0, %rsp            /* home space and CONTEXT */
    andq    $-64, %rsp
    leaq    0x20(%rsp), %rcx
    call    ke_capture_context      /* keeps every register */
    movq    (%rbp), %rdx
    movq    %rdx, 0xA0(%rcx)        /* Rbp */
    leaq    16(%rbp), %rsi
    movq    %rsi, 0x98(%rcx)        /* Rsp */
    movq    8(%rbp), %rdx
    movq    %rdx, 0xF8(%rcx)        /* Rip */
    movq    16(%rbp), %rdx
    movq    %rdx, 0x80(%rcx)        /* Rcx */
    movq    %rcx, %rdi
    call    *%rax
    ud2
    .cfi_endproc
    .size   enter, . - enter

#endif
    .section .note.GNU-stack, "", @progbits
