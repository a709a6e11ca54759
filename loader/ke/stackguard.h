/*
 * Stacks that images run on: of a size that they choose, with a guard that can be overflowed once.
 *
 * From the bottom: one page that is never committed, the guard, the stack proper (TEB.StackLimit
 * upwards). Windows keeps one guard page that moves down as the stack is committed; here all of the
 * stack is committed at once, and the guard is what Windows leaves below it for handlers. The first
 * touch opens it and raises STATUS_STACK_OVERFLOW; it stays open, also when the stack is left
 * again, until _resetstkoflw(). What overflows an open guard ends the process.
 *
 * Stacks of the host's own threads are the host's: the first thread's may grow by a little more
 * for a handler, others end where the host has them end.
 */
#ifndef KE_STACKGUARD_H
#define KE_STACKGUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "pe/status.h"

struct ke_thread;

struct ke_stack {
    uint64_t base, size; /* an allocation; 0, 0 = the host's stack */
};

/* `reserve` bytes or a little more; 0 = what the program's header says. */
nt_status ke_stack_create(uint64_t reserve, struct ke_stack *out, struct pe_error *err);
void ke_stack_free(const struct ke_stack *stack);
/* Calls `function` on the stack and comes back to this one. */
void ke_stack_run(const struct ke_stack *stack, void (*function)(void *), void *argument);

/* Enters the stack into the thread's TEB and arms its guard; returns what was there before. */
struct ke_stack ke_stack_enter(struct ke_thread *thread, const struct ke_stack *stack);
/* Arms the guard of this thread's stack, for TEB.GuaranteedStackBytes. False: the stack is in use
 * down to where the guard would lie. True where there is nothing to arm. */
bool ke_stack_arm(void);

/*
 * For the fault handler: an access to `address` by a thread whose stack pointer is `sp`. True if
 * that overflowed a stack of the kind above and there is room for an exception now.
 */
bool ke_stack_overflow(uintptr_t address, uintptr_t sp);
/* The same for the first thread on the host's stack: whether it may grow to `address` now. */
bool ke_stack_grow(uintptr_t address);

#endif
