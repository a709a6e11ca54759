/*
 * The gate: how native code calls entry points, TLS callbacks and thread starts of images, and the
 * only place where a call into an image can be ended from below.
 *
 * Images may come back with every register destroyed, the stack pointer off by a few words included
 * (behaviours, TLS: recorded on all systems), and i386 entry points with the wrong clean-up (cdecl
 * for stdcall). The gate keeps what the host's convention wants preserved and its stack pointer in
 * a record that is found again through a thread-local variable, not through a register.
 *
 * No exception passes a gate: its search for a handler ends at the innermost one (ke/dispatch.c).
 */
#ifndef LDR_GATE_H
#define LDR_GATE_H

#include <stdbool.h>
#include <stdint.h>

enum ldr_gate_kind {
    LDR_GATE_CALL,   /* an unhandled exception is the unhandled filter's */
    LDR_GATE_GUARD,  /* an unhandled exception ends the call: there is a handler around it */
    LDR_GATE_THREAD, /* like CALL, and ExitThread ends the call */
};

/* One call in progress; lives on the caller's stack. The caller sets the second half. */
struct ldr_gate {
    uintptr_t saved[8]; /* gate.S; saved[0] is the stack pointer */
    uintptr_t low;      /* where the return address lies: image frames are below */
    struct ldr_gate *outer;
    uint32_t exception; /* 0 = the function returned, or the code that ended a guard */

    enum ldr_gate_kind kind;
    uintptr_t from;  /* the return address that the function sees; 0 = ldr_gate_return */
    uintptr_t stack; /* top of the stack to run on, 16-byte aligned; 0 = go on on this one */
    void *user;      /* the guard's owner's; ke/ fills a peldr_exception behind it */
};

/*
 * Calls `function` as a Windows function of up to three arguments (stdcall on i386) and returns its
 * value. The direction flag, MXCSR and the x87 control word come back as they were.
 */
uintptr_t ldr_gate_run(struct ldr_gate *gate, uintptr_t function, uintptr_t a, uintptr_t b,
                       uintptr_t c);
/* ldr_gate_run() through a plain LDR_GATE_CALL. */
uintptr_t ldr_gate_call(uintptr_t function, uintptr_t a, uintptr_t b, uintptr_t c);
/* The same with a return address that the function sees: code in an image that goes on to
 * ldr_gate_return(). Programs look for kernel32 at the return address of their entry point. */
uintptr_t ldr_gate_call_from(uintptr_t from, uintptr_t function, uintptr_t a, uintptr_t b,
                             uintptr_t c);
/*
 * The same through a guard: false when image code raised an exception that nobody else handled;
 * `*exception` is its code. Else `*value` is what the function returned.
 */
bool ldr_gate_try(uintptr_t function, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t *value,
                  uint32_t *exception);

/* Where image code returns to, by a jump: needs a little stack and nothing else. No function to
 * call. */
void ldr_gate_return(void);

/* The innermost gate of this thread; NULL = a host's own thread that called by a pointer. */
struct ldr_gate *ldr_gate_current(void);
/* The innermost one of a kind, or NULL. */
struct ldr_gate *ldr_gate_of_kind(enum ldr_gate_kind kind);
/* Ends the call of `gate`, one of this thread's, from anywhere below: its ldr_gate_run() returns
 * `value`. Everything between is abandoned. */
void ldr_gate_leave(struct ldr_gate *gate, uintptr_t value) __attribute__((noreturn));

#endif
