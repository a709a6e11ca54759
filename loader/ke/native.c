/*
 * Walking over native frames (see native.h): whose function it is that an image called.
 */
#include "loader/ke/native.h"

#include "loader/ldr/gate.h"
#include "loader/ldr/imagemap.h"

/* The linker defines these for sections whose names are C identifiers, where they exist at all. */
#define BOUND __attribute__((weak, visibility("hidden")))
extern const char __start_peldr_builtin[] BOUND, __stop_peldr_builtin[] BOUND;
extern const char __start_peldr_stub[] BOUND, __stop_peldr_stub[] BOUND;

#define FRAMES_MAX 100000u /* of native code in a row: ends a walk over a broken stack */

bool ke_is_builtin(uintptr_t function)
{
    return function >= (uintptr_t)__start_peldr_builtin &&
           function < (uintptr_t)__stop_peldr_builtin;
}

bool ke_is_stub(uintptr_t pc)
{
    return pc >= (uintptr_t)__start_peldr_stub && pc < (uintptr_t)__stop_peldr_stub;
}

enum ke_native ke_native_skip(struct ke_context *context, bool exact, uintptr_t *where)
{
    const struct ldr_gate *gate = ldr_gate_current();
    uintptr_t function = 0;
    *where = 0;
    for (uint32_t i = 0; i < FRAMES_MAX; i++) {
        if (gate && KE_CONTEXT_SP(context) > gate->low)
            return KE_NATIVE_GATE;
        if (ke_is_stub(KE_CONTEXT_PC(context)))
            return KE_NATIVE_STUB;
        if (ldr_image_at(KE_CONTEXT_PC(context), NULL)) {
            *where = function;
            return !function || ke_is_builtin(function) ? KE_NATIVE_IMAGE : KE_NATIVE_HOST;
        }
        if (!ke_cfi_step(context, &exact, &function))
            return KE_NATIVE_BOTTOM;
    }
    return KE_NATIVE_BOTTOM;
}

void ke_native_leave_gate(const struct ldr_gate *gate, struct ke_context *context)
{
    const uintptr_t *saved = gate->saved; /* in the order in which gate.S saves them */
#ifdef __x86_64__
    context->Rbx = saved[1];
    context->Rbp = saved[2];
    context->R12 = saved[3];
    context->R13 = saved[4];
    context->R14 = saved[5];
    context->R15 = saved[6];
#else
    context->Ebx = saved[1];
    context->Ebp = saved[2];
    context->Esi = saved[3];
    context->Edi = saved[4];
#endif
    KE_CONTEXT_PC(context) = *(const uintptr_t *)saved[0];
    KE_CONTEXT_SP(context) = saved[0] + sizeof(uintptr_t);
}
