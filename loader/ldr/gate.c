/*
 * The C half of the gate (gate.h): a frame per call, innermost first, per thread. The other half is
 * gate.S, which finds the innermost frame again when the image returns.
 */
#include "loader/ldr/gate.h"

/* gate.S knows the offsets in `saved`; saved[0] is the stack pointer. */
struct ldr_gate_frame {
    uintptr_t saved[8];
    bool guarded;
    uint32_t exception;
};

uintptr_t ldr_gate_enter(struct ldr_gate_frame *frame, uintptr_t function, uintptr_t a, uintptr_t b,
                         uintptr_t c, uintptr_t from);
void ldr_gate_jump(uintptr_t sp) __attribute__((noreturn));

/* Stack that ldr_gate_return() may use below the saved stack pointer. */
#define RETURN_ROOM 256u

/* Initial-exec: gate.S reaches it with one load, without the stack. */
extern __thread struct ldr_gate_frame *ldr_gate_frame __attribute__((tls_model("initial-exec")));
__thread struct ldr_gate_frame *ldr_gate_frame;

static uintptr_t call(struct ldr_gate_frame *frame, uintptr_t from, uintptr_t function, uintptr_t a,
                      uintptr_t b, uintptr_t c)
{
    struct ldr_gate_frame *outer = ldr_gate_frame;
    ldr_gate_frame = frame;
    uintptr_t value = ldr_gate_enter(frame, function, a, b, c, from);
    ldr_gate_frame = outer;
    return value;
}

uintptr_t ldr_gate_call(uintptr_t function, uintptr_t a, uintptr_t b, uintptr_t c)
{
    return ldr_gate_call_from((uintptr_t)ldr_gate_return, function, a, b, c);
}

uintptr_t ldr_gate_call_from(uintptr_t from, uintptr_t function, uintptr_t a, uintptr_t b,
                             uintptr_t c)
{
    struct ldr_gate_frame frame = {.guarded = false};
    return call(&frame, from, function, a, b, c);
}

bool ldr_gate_try(uintptr_t function, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t *value,
                  uint32_t *exception)
{
    struct ldr_gate_frame frame = {.guarded = true};
    *value = call(&frame, (uintptr_t)ldr_gate_return, function, a, b, c);
    *exception = frame.exception;
    return frame.exception == 0;
}

bool ldr_gate_abandon(uint32_t exception, uintptr_t *pc, uintptr_t *sp)
{
    struct ldr_gate_frame *frame = ldr_gate_frame;
    if (!frame || !frame->guarded) {
        return false;
    }
    frame->exception = exception;
    *pc = (uintptr_t)ldr_gate_return;
    *sp = (frame->saved[0] - RETURN_ROOM) & ~(uintptr_t)15;
    return true;
}

void ldr_gate_leave(uint32_t exception)
{
    uintptr_t pc, sp;
    if (ldr_gate_abandon(exception, &pc, &sp)) {
        ldr_gate_jump(sp);
    }
}
