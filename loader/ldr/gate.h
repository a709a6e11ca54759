/*
 * The gate: how the loader calls entry points and TLS callbacks of images.
 *
 * Images may come back with every register destroyed, the stack pointer off by a few words included
 * (behaviours, TLS: recorded on all systems), and i386 entry points with the wrong clean-up (cdecl
 * for stdcall). The gate keeps what the host's convention wants preserved and its stack pointer in
 * a frame that is found again through a thread-local variable, not through a register.
 */
#ifndef LDR_GATE_H
#define LDR_GATE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Calls `function` as a Windows function of up to three arguments (stdcall on i386) and returns its
 * value. The direction flag, MXCSR and the x87 control word come back as they were.
 */
uintptr_t ldr_gate_call(uintptr_t function, uintptr_t a, uintptr_t b, uintptr_t c);

/*
 * The same with a return address that the function sees: code in an image that goes on to
 * ldr_gate_return(). Programs look for kernel32 at the return address of their entry point.
 */
uintptr_t ldr_gate_call_from(uintptr_t from, uintptr_t function, uintptr_t a, uintptr_t b,
                             uintptr_t c);
/* Where image code returns to, by a jump: needs a little stack and nothing else. No function to
 * call. */
void ldr_gate_return(void);

/*
 * The same under the loader's own exception handler: false when image code raised an exception that
 * nobody else handled; `*exception` is its code. Else `*value` is what the function returned.
 */
bool ldr_gate_try(uintptr_t function, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t *value,
                  uint32_t *exception);
/*
 * For ke/, when an exception of this thread is unhandled: true when the innermost gate was entered
 * by ldr_gate_try(). The thread then has to go on at `*pc` with the stack pointer `*sp`; what is
 * between is abandoned.
 */
bool ldr_gate_abandon(uint32_t exception, uintptr_t *pc, uintptr_t *sp);
/* The same for an exception that was raised by a call: does not return when there is such a gate.
 */
void ldr_gate_leave(uint32_t exception);

#endif
