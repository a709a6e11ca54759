/*
 * How dispatch calls code of images on x86-64, such that a walk finds out what it was doing.
 *
 * Windows recognises an exception in a handler, and an unwind that meets another, by the language
 * handlers of the functions that make these calls. Here they are found by their addresses; each
 * keeps what the walk needs above the home space of the call.
 */
#include "loader/ke/native.h"
#include "loader/ke/probe.h"
#include "loader/ke/unwind_x64.h"

#ifdef __x86_64__

void ke_stub_search_return(void);
void ke_stub_unwind_return(void);
void ke_stub_consolidate_return(void);

#define ARGUMENT_AT 32 /* of the stack pointer at the return addresses above */

_Static_assert(offsetof(struct ke_dispatcher_context, LanguageHandler) == 0x30, "assembly below");

/* rdi = record, rsi = frame, rdx = context, rcx = dispatcher, as the handler's four arguments. */
#define HANDLER_STUB(name)                    \
    ".globl " name ", " name "_return\n"      \
    ".hidden " name ", " name "_return\n"     \
    ".type " name ", @function\n" name ":\n"  \
    "    .cfi_startproc\n"                    \
    "    sub $56, %rsp\n"                     \
    "    .cfi_adjust_cfa_offset 56\n"         \
    "    mov %rcx, 32(%rsp)\n"                \
    "    mov %rcx, %r9\n"                     \
    "    mov %rdx, %r8\n"                     \
    "    mov %rsi, %rdx\n"                    \
    "    mov %rdi, %rcx\n"                    \
    "    cld\n"                               \
    "    call *0x30(%r9)\n" name "_return:\n" \
    "    cld\n"                               \
    "    add $56, %rsp\n"                     \
    "    .cfi_adjust_cfa_offset -56\n"        \
    "    ret\n"                               \
    "    .cfi_endproc\n"                      \
    ".size " name ", . - " name "\n"

__asm__(".pushsection " KE_STUB_SECTION_ASM "\n" /**/
        HANDLER_STUB("ke_stub_search")           /**/
        HANDLER_STUB("ke_stub_unwind")           /**/
        /* rdi = the function, rsi = its argument, rdx = the context. */
        ".globl ke_stub_consolidate, ke_stub_consolidate_return\n"
        ".hidden ke_stub_consolidate, ke_stub_consolidate_return\n"
        ".type ke_stub_consolidate, @function\n"
        "ke_stub_consolidate:\n"
        "    .cfi_startproc\n"
        "    sub $56, %rsp\n"
        "    .cfi_adjust_cfa_offset 56\n"
        "    mov %rdx, 32(%rsp)\n"
        "    mov %rsi, %rcx\n"
        "    cld\n"
        "    call *%rdi\n"
        "ke_stub_consolidate_return:\n"
        "    add $56, %rsp\n"
        "    .cfi_adjust_cfa_offset -56\n"
        "    ret\n"
        "    .cfi_endproc\n"
        ".size ke_stub_consolidate, . - ke_stub_consolidate\n"
        ".popsection\n");

enum ke_stub ke_stub_at(const struct ke_context *context, uintptr_t *argument)
{
    static void (*const returns[])(void) = {
        [KE_STUB_SEARCH] = ke_stub_search_return,
        [KE_STUB_UNWIND] = ke_stub_unwind_return,
        [KE_STUB_CONSOLIDATE] = ke_stub_consolidate_return,
    };
    for (unsigned i = 0; i < KE_STUB_OTHER; i++)
        if (context->Rip == (uintptr_t)returns[i] &&
            ke_probe_word(argument, context->Rsp + ARGUMENT_AT))
            return (enum ke_stub)i;
    return KE_STUB_OTHER;
}

#endif
