/*
 * How handlers of i386 frames are called: under a registration record (chain.h).
 *
 * Image code may come back with ebx, esi, edi, ebp destroyed and with the wrong clean-up, so the
 * way back starts at fs:[0], which the called code has to restore in any case. Handlers start with
 * zeroed registers and a clear direction flag, as Windows has it.
 */
#include "loader/ke/chain.h"

#include "loader/ke/native.h"

#ifdef __i386__

__asm__(".pushsection " KE_STUB_SECTION_ASM "\n"
        ".globl ke_frame_call\n"
        ".hidden ke_frame_call\n"
        ".type ke_frame_call, @function\n"
        "ke_frame_call:\n"
        "    .cfi_startproc\n"
        "    push %ebp\n"
        "    .cfi_def_cfa_offset 8\n"
        "    .cfi_offset %ebp, -8\n"
        "    mov %esp, %ebp\n"
        "    .cfi_def_cfa_register %ebp\n"
        "    push %ebx\n"
        "    .cfi_offset %ebx, -12\n"
        "    push %esi\n"
        "    .cfi_offset %esi, -16\n"
        "    push %edi\n"
        "    .cfi_offset %edi, -20\n"
        "    push 12(%ebp)\n" /* struct ke_inner_frame: the frame, */
        "    push 28(%ebp)\n" /* inner */
        "    push %fs:0\n"
        "    mov %esp, %fs:0\n"
        "    push 20(%ebp)\n"
        "    push 16(%ebp)\n"
        "    push 12(%ebp)\n"
        "    push 8(%ebp)\n"
        "    mov 24(%ebp), %ecx\n"
        "    xor %eax, %eax\n"
        "    xor %ebx, %ebx\n"
        "    xor %esi, %esi\n"
        "    xor %edi, %edi\n"
        "    cld\n"
        "    call *%ecx\n"
        "    cld\n"
        "    mov %fs:0, %esp\n"
        "    pop %fs:0\n"
        "    add $8, %esp\n"
        "    pop %edi\n"
        "    pop %esi\n"
        "    pop %ebx\n"
        "    pop %ebp\n"
        "    .cfi_def_cfa %esp, 4\n"
        "    ret\n"
        "    .cfi_endproc\n"
        ".size ke_frame_call, . - ke_frame_call\n"
        ".popsection\n");

#endif
