/*
 * RtlCaptureContext and NtContinue in assembly: a C function would capture its own frame, and has
 * no way to load every register.
 */
#include <string.h>

#include "loader/ke/exception.h"
#include "loader/stack.h"

/* Loads the general registers, flags, stack pointer and program counter. */
void ke_load_registers(const struct ke_context *context) __attribute__((noreturn));

static void load_floating_point(const struct ke_context *context)
{
#ifdef __x86_64__
    if ((context->ContextFlags & KE_CONTEXT_FLOATING_POINT) == KE_CONTEXT_FLOATING_POINT) {
        struct ke_fxsave area = context->FltSave; /* an image's context may lie askew */
        __asm__ volatile("fxrstor64 %0" : : "m"(area));
        __asm__ volatile("ldmxcsr %0" : : "m"(context->MxCsr));
    }
#else
    if ((context->ContextFlags & KE_CONTEXT_EXTENDED_REGISTERS) == KE_CONTEXT_EXTENDED_REGISTERS) {
        _Alignas(16) uint8_t area[sizeof(context->ExtendedRegisters)];
        memcpy(area, context->ExtendedRegisters, sizeof(area));
        __asm__ volatile("fxrstor %0" : : "m"(area));
    } else if ((context->ContextFlags & KE_CONTEXT_FLOATING_POINT) == KE_CONTEXT_FLOATING_POINT) {
        __asm__ volatile("frstor %0" : : "m"(context->FloatSave));
    }
#endif
}

STACK_JUMPER void ke_continue(const struct ke_context *context)
{
    load_floating_point(context);
    stack_forget(KE_CONTEXT_SP(context));
    ke_load_registers(context);
}

#ifdef __x86_64__
/* rcx = the context; every register but rax is stored before it is touched. */
__asm__(".pushsection .text\n"
        ".globl ke_capture_context\n"
        ".hidden ke_capture_context\n"
        ".type ke_capture_context, @function\n"
        "ke_capture_context:\n"
        "    .cfi_startproc\n"
        "    pushfq\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    mov %rax, 0x78(%rcx)\n"
        "    mov %rcx, 0x80(%rcx)\n"
        "    mov %rdx, 0x88(%rcx)\n"
        "    mov %rbx, 0x90(%rcx)\n"
        "    mov %rbp, 0xA0(%rcx)\n"
        "    mov %rsi, 0xA8(%rcx)\n"
        "    mov %rdi, 0xB0(%rcx)\n"
        "    mov %r8, 0xB8(%rcx)\n"
        "    mov %r9, 0xC0(%rcx)\n"
        "    mov %r10, 0xC8(%rcx)\n"
        "    mov %r11, 0xD0(%rcx)\n"
        "    mov %r12, 0xD8(%rcx)\n"
        "    mov %r13, 0xE0(%rcx)\n"
        "    mov %r14, 0xE8(%rcx)\n"
        "    mov %r15, 0xF0(%rcx)\n"
        "    fxsave 0x100(%rcx)\n"
        "    stmxcsr 0x34(%rcx)\n"
        "    mov %cs, 0x38(%rcx)\n"
        "    mov %ds, 0x3A(%rcx)\n"
        "    mov %es, 0x3C(%rcx)\n"
        "    mov %fs, 0x3E(%rcx)\n"
        "    mov %gs, 0x40(%rcx)\n"
        "    mov %ss, 0x42(%rcx)\n"
        "    mov (%rsp), %eax\n"
        "    mov %eax, 0x44(%rcx)\n"
        "    mov 8(%rsp), %rax\n"
        "    mov %rax, 0xF8(%rcx)\n"
        "    lea 16(%rsp), %rax\n"
        "    mov %rax, 0x98(%rcx)\n"
        "    movl $0x10000F, 0x30(%rcx)\n" /* CONTROL, INTEGER, SEGMENTS, FLOATING_POINT */
        "    mov 0x78(%rcx), %rax\n"
        "    add $8, %rsp\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    ret\n"
        "    .cfi_endproc\n"
        ".size ke_capture_context, . - ke_capture_context\n"
        /* rdi = the context. iretq is the one instruction that loads rip, rsp and the flags after
         * every other register has its value. */
        ".globl ke_load_registers\n"
        ".hidden ke_load_registers\n"
        ".type ke_load_registers, @function\n"
        "ke_load_registers:\n"
        "    and $-16, %rsp\n"
        "    mov %ss, %eax\n"
        "    push %rax\n"
        "    push 0x98(%rdi)\n"
        "    mov 0x44(%rdi), %eax\n"
        "    push %rax\n"
        "    mov %cs, %eax\n"
        "    push %rax\n"
        "    push 0xF8(%rdi)\n"
        "    mov 0x78(%rdi), %rax\n"
        "    mov 0x80(%rdi), %rcx\n"
        "    mov 0x88(%rdi), %rdx\n"
        "    mov 0x90(%rdi), %rbx\n"
        "    mov 0xA0(%rdi), %rbp\n"
        "    mov 0xA8(%rdi), %rsi\n"
        "    mov 0xB8(%rdi), %r8\n"
        "    mov 0xC0(%rdi), %r9\n"
        "    mov 0xC8(%rdi), %r10\n"
        "    mov 0xD0(%rdi), %r11\n"
        "    mov 0xD8(%rdi), %r12\n"
        "    mov 0xE0(%rdi), %r13\n"
        "    mov 0xE8(%rdi), %r14\n"
        "    mov 0xF0(%rdi), %r15\n"
        "    mov 0xB0(%rdi), %rdi\n"
        "    iretq\n"
        ".size ke_load_registers, . - ke_load_registers\n"
        ".popsection\n");
#else
/* The context at 4(%esp), 12(%esp) after the two pushes. */
__asm__(".pushsection .text\n"
        ".globl ke_capture_context\n"
        ".hidden ke_capture_context\n"
        ".type ke_capture_context, @function\n"
        "ke_capture_context:\n"
        "    .cfi_startproc\n"
        "    pushf\n"
        "    .cfi_adjust_cfa_offset 4\n"
        "    push %eax\n"
        "    .cfi_adjust_cfa_offset 4\n"
        "    mov 12(%esp), %eax\n"
        "    mov %edi, 0x9C(%eax)\n"
        "    mov %esi, 0xA0(%eax)\n"
        "    mov %ebx, 0xA4(%eax)\n"
        "    mov %edx, 0xA8(%eax)\n"
        "    mov %ecx, 0xAC(%eax)\n"
        "    mov (%esp), %ecx\n"
        "    mov %ecx, 0xB0(%eax)\n"
        "    mov %ebp, 0xB4(%eax)\n"
        "    mov 8(%esp), %ecx\n"
        "    mov %ecx, 0xB8(%eax)\n"
        "    mov 4(%esp), %ecx\n"
        "    mov %ecx, 0xC0(%eax)\n"
        "    lea 16(%esp), %ecx\n"
        "    mov %ecx, 0xC4(%eax)\n"
        "    xor %ecx, %ecx\n"
        "    mov %gs, %cx\n"
        "    mov %ecx, 0x8C(%eax)\n"
        "    mov %fs, %cx\n"
        "    mov %ecx, 0x90(%eax)\n"
        "    mov %es, %cx\n"
        "    mov %ecx, 0x94(%eax)\n"
        "    mov %ds, %cx\n"
        "    mov %ecx, 0x98(%eax)\n"
        "    mov %cs, %cx\n"
        "    mov %ecx, 0xBC(%eax)\n"
        "    mov %ss, %cx\n"
        "    mov %ecx, 0xC8(%eax)\n"
        "    mov 0xAC(%eax), %ecx\n"
        "    movl $0x10007, (%eax)\n" /* CONTROL, INTEGER, SEGMENTS */
        "    pop %eax\n"
        "    .cfi_adjust_cfa_offset -4\n"
        "    popf\n"
        "    .cfi_adjust_cfa_offset -4\n"
        "    ret $4\n"
        "    .cfi_endproc\n"
        ".size ke_capture_context, . - ke_capture_context\n"
        /* The context at 4(%esp). iret loads no esp without a change of rings, so three words below
         * the new stack's top carry ecx, the flags and eip; nothing there is anybody's. */
        ".globl ke_load_registers\n"
        ".hidden ke_load_registers\n"
        ".type ke_load_registers, @function\n"
        "ke_load_registers:\n"
        "    mov 4(%esp), %edi\n"
        "    mov 0xC4(%edi), %ecx\n"
        "    mov 0xB8(%edi), %eax\n"
        "    mov %eax, -4(%ecx)\n"
        "    mov 0xC0(%edi), %eax\n"
        "    mov %eax, -8(%ecx)\n"
        "    mov 0xAC(%edi), %eax\n"
        "    mov %eax, -12(%ecx)\n"
        "    mov 0xA0(%edi), %esi\n"
        "    mov 0xA4(%edi), %ebx\n"
        "    mov 0xA8(%edi), %edx\n"
        "    mov 0xB0(%edi), %eax\n"
        "    mov 0xB4(%edi), %ebp\n"
        "    mov 0x9C(%edi), %edi\n"
        "    lea -12(%ecx), %esp\n"
        "    pop %ecx\n"
        "    popf\n"
        "    ret\n"
        ".size ke_load_registers, . - ke_load_registers\n"
        ".popsection\n");
#endif
