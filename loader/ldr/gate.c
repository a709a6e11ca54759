/*
 * The C half of the gate (gate.h): a frame per call, innermost first, per thread. The other half is
 * gate.S, which finds the innermost frame again when the image returns.
 */
#include "loader/ldr/gate.h"

/* What gate.S saves; its offsets are known there. */
struct ldr_gate_frame {
    uintptr_t saved[8];
};

uintptr_t ldr_gate_enter(struct ldr_gate_frame *frame, uintptr_t function, uintptr_t a, uintptr_t b,
                         uintptr_t c);

/* Initial-exec: gate.S reaches it with one load, without the stack. */
extern __thread struct ldr_gate_frame *ldr_gate_frame __attribute__((tls_model("initial-exec")));
__thread struct ldr_gate_frame *ldr_gate_frame;

uintptr_t ldr_gate_call(uintptr_t function, uintptr_t a, uintptr_t b, uintptr_t c)
{
    struct ldr_gate_frame frame;
    struct ldr_gate_frame *outer = ldr_gate_frame;
    ldr_gate_frame = &frame;
    uintptr_t value = ldr_gate_enter(&frame, function, a, b, c);
    ldr_gate_frame = outer;
    return value;
}
