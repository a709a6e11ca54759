/*
 * Where a thread goes on after a fault (fault.h): on its own stack, the stack pointer at the
 * struct ke_fault_frame, with flags that the handler has cleaned. The floating-point unit is put
 * into the state that Windows starts threads with, so that a pending x87 exception does not come
 * again inside the dispatch.
 */
#define FPU_CONTROL 0x27F
#define SSE_CONTROL 0x1F80

    .section peldr_stub, "ax", @progbits
    .globl  ke_fault_stub
    .hidden ke_fault_stub
    .type   ke_fault_stub, @function
    .globl  ke_fault_stub_end
    .hidden ke_fault_stub_end
    .hidden ke_fault_dispatch
    .p2align 4
ke_fault_stub:
    .cfi_startproc
#if defined(__x86_64__)
    .cfi_undefined rip
    fninit
    pushq   $FPU_CONTROL
    fldcw   (%rsp)
    movl    $SSE_CONTROL, (%rsp)
    ldmxcsr (%rsp)
    popq    %rdi
    movq    %rsp, %rdi
    call    ke_fault_dispatch
    movl    $15, %eax               /* rt_sigreturn: reads the ucontext at the stack pointer */
    syscall
#else
    .cfi_undefined eip
    fninit
    pushl   $FPU_CONTROL
    fldcw   (%esp)
    movl    $SSE_CONTROL, (%esp)
    ldmxcsr (%esp)
    popl    %ecx
    movl    %esp, %ecx
    call    ke_fault_dispatch
    movl    $173, %eax              /* rt_sigreturn: reads a struct rt_sigframe without its first word */
    int     $0x80
#endif
    hlt
ke_fault_stub_end:
    .cfi_endproc
    .size   ke_fault_stub, . - ke_fault_stub
    .section .note.GNU-stack, "", @progbits
