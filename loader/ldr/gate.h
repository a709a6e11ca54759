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

#include <stdint.h>

/*
 * Calls `function` as a Windows function of up to three arguments (stdcall on i386) and returns its
 * value. The direction flag, MXCSR and the x87 control word come back as they were.
 */
uintptr_t ldr_gate_call(uintptr_t function, uintptr_t a, uintptr_t b, uintptr_t c);

#endif
