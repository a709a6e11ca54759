/*
 * The stack that a thread's signals are handled on: a fault may be that the thread's own stack has
 * no room left, or that its stack pointer is no stack at all. sigaltstack(2).
 */
#include "loader/ke/thread.h"
#include "loader/mm/snapshot.h"

/* The kernel's frame with all of AVX-512, the walk over native frames, a last line. */
#define SIZE_WANTED 65536u
#define SIZE_ENOUGH 32768u

/* The lowest page stays reserved: a handler that overflows stops there. */
static uint64_t allocate(void)
{
    uint64_t base = 0, size = SIZE_WANTED, at;
    if (!nt_ok(mm_alloc(&base, &size, MEM_RESERVE, PAGE_READWRITE, NULL)))
        return 0;
    mm_exempt(base);
    at = base + PE_PAGE_SIZE;
    size = SIZE_WANTED - PE_PAGE_SIZE;
    if (nt_ok(mm_alloc(&at, &size, MEM_COMMIT, PAGE_READWRITE, NULL)))
        return base;
    mm_free(base, 0, MEM_RELEASE, NULL);
    return 0;
}

void ke_signal_stack_enter(struct ke_signal_stack *stack)
{
    stack->own = 0;
    if (sigaltstack(NULL, &stack->before) != 0 ||
        (!(stack->before.ss_flags & SS_DISABLE) && stack->before.ss_size >= SIZE_ENOUGH))
        return;
    stack->own = allocate();
    stack_t fresh = {.ss_sp = (void *)(uintptr_t)(stack->own + PE_PAGE_SIZE),
                     .ss_size = SIZE_WANTED - PE_PAGE_SIZE};
    if (stack->own && sigaltstack(&fresh, NULL) != 0) {
        mm_free(stack->own, 0, MEM_RELEASE, NULL);
        stack->own = 0;
    }
}

void ke_signal_stack_leave(struct ke_signal_stack *stack)
{
    stack_t now;
    if (!stack->own)
        return;
    if (sigaltstack(NULL, &now) == 0 && (uintptr_t)now.ss_sp == stack->own + PE_PAGE_SIZE)
        sigaltstack(&stack->before, NULL);
    mm_free(stack->own, 0, MEM_RELEASE, NULL);
    stack->own = 0;
}
