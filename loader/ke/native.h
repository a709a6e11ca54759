/*
 * Frames of native code on the stack of an image: peldr's builtin functions, glibc, the host's.
 *
 * Native code of both word sizes carries DWARF call-frame information (System V ABI, "Unwinding
 * through the stack"; DWARF 5, section 6.4; LSB, "Exception frames"). On x86-64 this includes xmm6
 * to xmm15, which functions of Windows's convention save. Nothing here takes a lock or allocates,
 * so that a fault handler may use it; reads of the stack stay inside the thread's stack.
 */
#ifndef KE_NATIVE_H
#define KE_NATIVE_H

#include "loader/ke/exception.h"

/*
 * Unwinds one native frame: `context` becomes its caller's (program counter, stack pointer and the
 * preserved registers). `*exact`: the program counter is an instruction that was interrupted, not a
 * return address; then the same of the caller's, which is exact where a signal interrupted it. What
 * ke_capture_context() stores is exact: on i386 its argument is off the stack already.
 * `*function` gets the start of the function that was unwound, 0 if unknown. False with `context`
 * unchanged at the end of the stack or where no information is.
 */
bool ke_cfi_step(struct ke_context *context, bool *exact, uintptr_t *function);

enum ke_native {
    KE_NATIVE_IMAGE,  /* context is in an image, which called a builtin function */
    KE_NATIVE_STUB,   /* context is in one of the stubs below */
    KE_NATIVE_GATE,   /* at this thread's innermost gate */
    KE_NATIVE_HOST,   /* an image called a function of the host */
    KE_NATIVE_BOTTOM, /* no more frames */
};
/*
 * Steps from native code outwards to what comes next. `*where` gets the start of the native
 * function that the image called (KE_NATIVE_IMAGE, KE_NATIVE_HOST).
 */
enum ke_native ke_native_skip(struct ke_context *context, bool exact, uintptr_t *where);
/* For backtraces: `context` at a gate (KE_NATIVE_GATE of the gate `gate`) becomes that of the code
 * that entered it. */
struct ldr_gate;
void ke_native_leave_gate(const struct ldr_gate *gate, struct ke_context *context);

/* Whether a function is one of peldr's own for images (loader/abi.h, WIN_BUILTIN). */
bool ke_is_builtin(uintptr_t function);

/*
 * Stubs in assembly through which dispatch calls code of images, found again by their addresses. A
 * walk that comes to one has met a handler that has not returned: nested and collided unwinds. They
 * lie in an ELF section of their own: .pushsection KE_STUB_SECTION_ASM in assembly.
 */
#define KE_STUB_SECTION     "peldr_stub"
#define KE_STUB_SECTION_ASM "peldr_stub, \"ax\", @progbits"
bool ke_is_stub(uintptr_t pc);

#endif
