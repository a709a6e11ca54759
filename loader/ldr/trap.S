/*
 * Where the traps of builtin images come out (builtin_thunk.h): eax/rax points to the trap's record,
 * two 32-bit distances from itself to the names of the module and of the function.
 *
 * The caller's stack may have any alignment on i386. A walk over the stack takes this for the builtin
 * function that was called, so it lies among those (loader/abi.h) and describes its frame.
 */
    .section peldr_builtin, "ax", @progbits
    .globl  ldr_trap_entry
    .hidden ldr_trap_entry
    .type   ldr_trap_entry, @function
    .p2align 4
ldr_trap_entry:
    .cfi_startproc
#if defined(__x86_64__)
    pushq   %rbp
    .cfi_def_cfa_offset 16
    .cfi_offset %rbp, -16
    movq    %rsp, %rbp
    .cfi_def_cfa_register %rbp
    movl    4(%rax), %edx
    addq    %rax, %rdx              /* the function's name */
    movl    (%rax), %ecx
    addq    %rax, %rcx              /* the module's */
    andq    $-16, %rsp
    subq    $32, %rsp               /* the home space */
#elif defined(__i386__)
    pushl   %ebp
    .cfi_def_cfa_offset 8
    .cfi_offset %ebp, -8
    movl    %esp, %ebp
    .cfi_def_cfa_register %ebp
    movl    4(%eax), %edx
    addl    %eax, %edx
    movl    (%eax), %ecx
    addl    %eax, %ecx
    andl    $-16, %esp
    subl    $8, %esp
    pushl   %edx
    pushl   %ecx
#endif
    call    ldr_builtin_trap        /* does not return */
    ud2
    .cfi_endproc
    .size   ldr_trap_entry, . - ldr_trap_entry
    .section .note.GNU-stack, "", @progbits
