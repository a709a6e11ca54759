/*
 * The C half of the gate (gate.h): a record per call, innermost first, per thread. The other half
 * is gate.S, which finds the innermost record again when the image returns.
 */
#include "loader/ldr/gate.h"

#include <stddef.h>

#include "loader/stack.h"

/* gate.S knows these offsets. */
_Static_assert(offsetof(struct ldr_gate, low) == 8 * sizeof(uintptr_t), "gate.S");
_Static_assert(offsetof(struct ldr_gate, stack) == (sizeof(void *) == 8 ? 96 : 52), "gate.S");

uintptr_t ldr_gate_enter(struct ldr_gate *gate, uintptr_t function, uintptr_t a, uintptr_t b,
                         uintptr_t c, uintptr_t from);
void ldr_gate_jump(uintptr_t sp, uintptr_t value) __attribute__((noreturn));

/* Stack that ldr_gate_return() may use below the saved stack pointer. */
#define RETURN_ROOM 256u

/* Initial-exec: gate.S reaches it with one load, without the stack. */
extern __thread struct ldr_gate *ldr_gate_frame __attribute__((tls_model("initial-exec")));
__thread struct ldr_gate *ldr_gate_frame;

uintptr_t ldr_gate_run(struct ldr_gate *gate, uintptr_t function, uintptr_t a, uintptr_t b,
                       uintptr_t c)
{
    uintptr_t from = gate->from ? gate->from : (uintptr_t)ldr_gate_return;
    gate->outer = ldr_gate_frame;
    gate->exception = 0;
    ldr_gate_frame = gate;
    uintptr_t value = ldr_gate_enter(gate, function, a, b, c, from);
    ldr_gate_frame = gate->outer;
    return value;
}

uintptr_t ldr_gate_call(uintptr_t function, uintptr_t a, uintptr_t b, uintptr_t c)
{
    return ldr_gate_call_from(0, function, a, b, c);
}

uintptr_t ldr_gate_call_from(uintptr_t from, uintptr_t function, uintptr_t a, uintptr_t b,
                             uintptr_t c)
{
    struct ldr_gate gate = {.kind = LDR_GATE_CALL, .from = from};
    return ldr_gate_run(&gate, function, a, b, c);
}

bool ldr_gate_try(uintptr_t function, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t *value,
                  uint32_t *exception)
{
    struct ldr_gate gate = {.kind = LDR_GATE_GUARD};
    *value = ldr_gate_run(&gate, function, a, b, c);
    *exception = gate.exception;
    return gate.exception == 0;
}

struct ldr_gate *ldr_gate_current(void)
{
    return ldr_gate_frame;
}

struct ldr_gate *ldr_gate_of_kind(enum ldr_gate_kind kind)
{
    struct ldr_gate *gate = ldr_gate_frame;
    while (gate && gate->kind != kind) {
        gate = gate->outer;
    }
    return gate;
}

STACK_JUMPER void ldr_gate_leave(struct ldr_gate *gate, uintptr_t value)
{
    ldr_gate_frame = gate;
    stack_forget(gate->low);
    ldr_gate_jump((gate->saved[0] - RETURN_ROOM) & ~(uintptr_t)15, value);
}
