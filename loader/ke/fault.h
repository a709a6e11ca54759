/*
 * From signal to exception: what the parts of it share, and what a walk over the stack needs.
 *
 * The signal handler (fault.c) runs on an alternate stack, decides and copies the interrupted state
 * into a frame on the thread's own stack; a stub in assembly (fault_stub.S) is where the thread
 * goes on, outside of the signal, with fault_dispatch.c. What it returns from is rt_sigreturn(2) on
 * the copy, which alone gives back every register.
 */
#ifndef KE_FAULT_H
#define KE_FAULT_H

#include <signal.h>
#include <ucontext.h>

#include "loader/ke/exception.h"

/* Trap numbers of the processor (Intel SDM, volume 3, 6.3), as Linux passes them on. */
enum ke_trap {
    KE_TRAP_DIVIDE = 0,
    KE_TRAP_DEBUG = 1,
    KE_TRAP_BREAKPOINT = 3,
    KE_TRAP_OVERFLOW = 4,
    KE_TRAP_BOUND = 5,
    KE_TRAP_OPCODE = 6,
    KE_TRAP_STACK = 12,
    KE_TRAP_PROTECTION = 13,
    KE_TRAP_PAGE = 14,
    KE_TRAP_X87 = 16,
    KE_TRAP_ALIGNMENT = 17,
    KE_TRAP_SSE = 19,
};

/* ExceptionInformation[0] of an access violation. */
enum ke_access {
    KE_ACCESS_READ = 0,
    KE_ACCESS_WRITE = 1,
    KE_ACCESS_EXECUTE = 8,
};

/* One fault, as far as the code of its exception depends on it. */
struct ke_fault {
    enum ke_trap trap;
    enum ke_access access; /* page faults */
    uintptr_t address;     /* page faults; UINTPTR_MAX = the processor names none */
    bool end_of_file;      /* a page fault in a mapped file's page that could not be had */
    bool guard_page;       /* ... in a page of PAGE_GUARD, which has lost it */
    bool stack_overflow;   /* ... in the guard of this thread's stack, which is open now */
};

/* On the stack of the thread that faulted. The first part is what rt_sigreturn(2) reads. */
struct ke_fault_frame {
#ifdef __i386__
    int32_t number;
    siginfo_t *info_at;
    ucontext_t *host_at;
    siginfo_t info;
#endif
    ucontext_t host;
    uint64_t mark; /* says that this is such a frame */
    struct ke_fault fault;
    struct ke_exception_record record;
    struct ke_context context;
} __attribute__((aligned(64)));

#ifdef __x86_64__
#define KE_FAULT_REGPARM
#define KE_FAULT_PC REG_RIP
#define KE_FAULT_SP REG_RSP
#else
#define KE_FAULT_REGPARM __attribute__((fastcall))
#define KE_FAULT_PC      REG_EIP
#define KE_FAULT_SP      REG_ESP
#endif

/* Called by the stub; returning continues the thread with frame->host. */
void KE_FAULT_REGPARM ke_fault_dispatch(struct ke_fault_frame *frame);
void ke_fault_stub(void);
void ke_fault_stub_end(void);

/*
 * A walk has reached the stub: `pc` in it, `sp` as it is after its call returned. `*out` gets the
 * CONTEXT of the fault, from which the walk goes on; false if this is not that stub.
 */
bool ke_fault_stub_context(uintptr_t pc, uintptr_t sp, struct ke_context *out);

/* What the signal says, without the instruction. */
void ke_fault_read(struct ke_fault *fault, const siginfo_t *info, const ucontext_t *host);
/*
 * Windows's record of the fault; may move the program counter to where Windows shows it. Reads the
 * instruction at the program counter and the operand that it divided by.
 */
void ke_fault_record(const struct ke_fault *fault, struct ke_context *context,
                     struct ke_exception_record *record);

#endif
