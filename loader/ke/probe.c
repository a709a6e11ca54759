/*
 * The reads behind probe.h. A fault in one of them goes on at the label that answers 0; the stack
 * is the same there.
 */
#include "loader/ke/probe.h"

#include <string.h>

/* 1, or 0 after a fault. */
#ifdef __x86_64__
int ke_probe_copy(void *out, uintptr_t from, size_t size);
int ke_probe_load(uintptr_t *out, uintptr_t from);
#else
__attribute__((fastcall)) int ke_probe_copy(void *out, uintptr_t from, size_t size);
__attribute__((fastcall)) int ke_probe_load(uintptr_t *out, uintptr_t from);
#endif
void ke_probe_failed(void);
void ke_probe_failed_copy(void);

__asm__(".pushsection .text\n"
        ".globl ke_probe_copy, ke_probe_load, ke_probe_failed, ke_probe_failed_copy\n"
        ".hidden ke_probe_copy, ke_probe_load, ke_probe_failed, ke_probe_failed_copy\n"
        ".type ke_probe_copy, @function\n"
        ".type ke_probe_load, @function\n"
        "ke_probe_load:\n"
        "    .cfi_startproc\n"
#ifdef __x86_64__
        "    mov (%rsi), %rax\n"
        "    mov %rax, (%rdi)\n"
#else
        "    mov (%edx), %eax\n"
        "    mov %eax, (%ecx)\n"
#endif
        "    mov $1, %eax\n"
        "    ret\n"
        "ke_probe_failed:\n"
        "    xor %eax, %eax\n"
        "    ret\n"
        "    .cfi_endproc\n"
        ".size ke_probe_load, . - ke_probe_load\n"
        "ke_probe_copy:\n"
        "    .cfi_startproc\n"
#ifdef __x86_64__
        "    mov %rdx, %rcx\n"
        "    rep movsb\n"
        "    mov $1, %eax\n"
        "    ret\n"
        "ke_probe_failed_copy:\n"
        "    xor %eax, %eax\n"
        "    ret\n"
#else
        "    push %esi\n"
        "    .cfi_adjust_cfa_offset 4\n"
        "    .cfi_rel_offset %esi, 0\n"
        "    push %edi\n"
        "    .cfi_adjust_cfa_offset 4\n"
        "    .cfi_rel_offset %edi, 0\n"
        "    mov %ecx, %edi\n"
        "    mov %edx, %esi\n"
        "    mov 12(%esp), %ecx\n"
        "    rep movsb\n"
        "    mov $1, %eax\n"
        "    jmp 1f\n"
        "ke_probe_failed_copy:\n"
        "    xor %eax, %eax\n"
        "1:  pop %edi\n"
        "    .cfi_adjust_cfa_offset -4\n"
        "    .cfi_restore %edi\n"
        "    pop %esi\n"
        "    .cfi_adjust_cfa_offset -4\n"
        "    .cfi_restore %esi\n"
        "    ret $4\n"
#endif
        "    .cfi_endproc\n"
        ".size ke_probe_copy, . - ke_probe_copy\n"
        ".popsection\n");

/* A string instruction takes longer to start than a few words take. */
#define FEW_WORDS 8

bool ke_probe(void *out, uintptr_t from, size_t size)
{
    const size_t width = sizeof(uintptr_t);
    uintptr_t word;
    if (from > UINTPTR_MAX - size)
        return false;
    if (size < width || size > FEW_WORDS * width)
        return ke_probe_copy(out, from, size);
    for (size_t i = 0; i < size; i += width) {
        if (size - i < width)
            i = size - width; /* the last word overlaps the one before */
        if (!ke_probe_load(&word, from + i))
            return false;
        memcpy((char *)out + i, &word, width);
    }
    return true;
}

bool ke_probe_word(uintptr_t *out, uintptr_t from)
{
    return ke_probe_load(out, from);
}

bool ke_probe_fault(uintptr_t *pc)
{
    if (*pc >= (uintptr_t)ke_probe_load && *pc < (uintptr_t)ke_probe_failed)
        *pc = (uintptr_t)ke_probe_failed;
    else if (*pc >= (uintptr_t)ke_probe_copy && *pc < (uintptr_t)ke_probe_failed_copy)
        *pc = (uintptr_t)ke_probe_failed_copy;
    else
        return false;
    return true;
}
