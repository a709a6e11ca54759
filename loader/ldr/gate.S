/*
 * The assembly half of the gate (gate.h), for x86-64 and i386.
 *
 * ldr_gate_enter(gate, function, a, b, c, from) saves the registers that the host's convention
 * preserves into the record, leaves some slack on the stack, so that a stack pointer that comes back
 * a little too high still points to memory that nobody needs, and calls with the return address
 * `from`. On return nothing but the thread pointer is trusted.
 */
#define SLACK 512

    .text
    .hidden ldr_gate_frame
    .globl  ldr_gate_enter
    .hidden ldr_gate_enter
    .globl  ldr_gate_return
    .hidden ldr_gate_return
    .type   ldr_gate_enter, @function
    .p2align 4
ldr_gate_enter:
    .cfi_startproc

#if defined(__x86_64__)
    movq    %rsp, 0(%rdi)
    movq    %rbx, 8(%rdi)
    movq    %rbp, 16(%rdi)
    movq    %r12, 24(%rdi)
    movq    %r13, 32(%rdi)
    movq    %r14, 40(%rdi)
    movq    %r15, 48(%rdi)
    stmxcsr 56(%rdi)
    fnstcw  60(%rdi)
    movq    %rcx, %rax
    movq    %rdx, %rcx              /* a */
    movq    %rax, %rdx              /* b; c is in %r8 already */
    subq    $SLACK, %rsp
    andq    $-16, %rsp
    movq    96(%rdi), %rax          /* gate->stack */
    testq   %rax, %rax
    cmovnzq %rax, %rsp
    subq    $32, %rsp               /* the home space of the four register arguments */
    pushq   %r9                     /* the return address */
    movq    %rsp, 64(%rdi)          /* gate->low */
    jmp     *%rsi
ldr_gate_return:
    movq    ldr_gate_frame@gottpoff(%rip), %rcx
    movq    %fs:(%rcx), %rcx
    movq    0(%rcx), %rsp
    movq    8(%rcx), %rbx
    movq    16(%rcx), %rbp
    movq    24(%rcx), %r12
    movq    32(%rcx), %r13
    movq    40(%rcx), %r14
    movq    48(%rcx), %r15
    ldmxcsr 56(%rcx)
    fldcw   60(%rcx)
    cld
    ret

#elif defined(__i386__)
    movl    4(%esp), %eax
    movl    %esp, 0(%eax)
    movl    %ebx, 4(%eax)
    movl    %ebp, 8(%eax)
    movl    %esi, 12(%eax)
    movl    %edi, 16(%eax)
    stmxcsr 20(%eax)
    fnstcw  24(%eax)
    movl    8(%esp), %ebx           /* the function */
    movl    12(%esp), %ecx          /* a */
    movl    16(%esp), %edx          /* b */
    movl    20(%esp), %esi          /* c */
    movl    24(%esp), %edi          /* the return address */
    subl    $SLACK, %esp
    andl    $-16, %esp
    cmpl    $0, 52(%eax)            /* gate->stack */
    cmovnel 52(%eax), %esp
    subl    $4, %esp                /* 16-byte alignment at the call */
    pushl   %esi
    pushl   %edx
    pushl   %ecx
    pushl   %edi
    movl    %esp, 32(%eax)          /* gate->low */
    jmp     *%ebx
ldr_gate_return:
    call    1f                      /* at worst this writes into the slack */
1:  popl    %ecx
    addl    $_GLOBAL_OFFSET_TABLE_+(.-1b), %ecx
    movl    ldr_gate_frame@gotntpoff(%ecx), %ecx
    movl    %gs:(%ecx), %ecx
    movl    0(%ecx), %esp
    movl    4(%ecx), %ebx
    movl    8(%ecx), %ebp
    movl    12(%ecx), %esi
    movl    16(%ecx), %edi
    ldmxcsr 20(%ecx)
    fldcw   24(%ecx)
    cld
    ret
#endif

    .cfi_endproc
    .size   ldr_gate_enter, . - ldr_gate_enter

/* ldr_gate_jump(sp, value): the way to ldr_gate_return without returning from image code. */
    .globl  ldr_gate_jump
    .hidden ldr_gate_jump
    .type   ldr_gate_jump, @function
ldr_gate_jump:
#if defined(__x86_64__)
    movq    %rsi, %rax
    movq    %rdi, %rsp
#else
    movl    8(%esp), %eax
    movl    4(%esp), %esp
#endif
    jmp     ldr_gate_return
    .size   ldr_gate_jump, . - ldr_gate_jump
    .section .note.GNU-stack, "", @progbits
