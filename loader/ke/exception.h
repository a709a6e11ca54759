/*
 * EXCEPTION_RECORD, CONTEXT, and the way of an exception through its handlers.
 *
 *   raise:  a signal (fault.c) or RaiseException (raise.c) makes a record and a CONTEXT
 *   then:   ke_dispatch_exception(): vectored handlers (vectored.c), frame handlers
 *           (frames_x64.c, frames_i386.c), the gate's guard, the unhandled filter (unhandled.c)
 *   ends:   somebody continues it (ke_continue), a frame unwinds to itself (RtlUnwind...), a guard
 *           takes it (ldr_gate_leave), or the process ends with a report
 *
 * Dispatch always runs on the stack of the thread that raised, outside any signal handler, so that
 * handlers may do what they like. CONTEXT has Windows's layout for this word size.
 */
#ifndef KE_EXCEPTION_H
#define KE_EXCEPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loader/abi.h"
#include "loader/ke/teb.h"

/* EXCEPTION_RECORD.ExceptionFlags (winnt.h) */
#define KE_EXCEPTION_NONCONTINUABLE  0x01u
#define KE_EXCEPTION_UNWINDING       0x02u
#define KE_EXCEPTION_EXIT_UNWIND     0x04u
#define KE_EXCEPTION_STACK_INVALID   0x08u
#define KE_EXCEPTION_NESTED_CALL     0x10u
#define KE_EXCEPTION_TARGET_UNWIND   0x20u
#define KE_EXCEPTION_COLLIDED_UNWIND 0x40u
#define KE_EXCEPTION_SOFTWARE        0x80u /* EXCEPTION_SOFTWARE_ORIGINATE */
#define KE_EXCEPTION_UNWIND                                                           \
    (KE_EXCEPTION_UNWINDING | KE_EXCEPTION_EXIT_UNWIND | KE_EXCEPTION_TARGET_UNWIND | \
     KE_EXCEPTION_COLLIDED_UNWIND)
#define KE_EXCEPTION_PARAMETERS 15u

struct ke_exception_record {
    uint32_t ExceptionCode, ExceptionFlags;
    struct ke_exception_record *ExceptionRecord;
    void *ExceptionAddress;
    uint32_t NumberParameters;
    uintptr_t ExceptionInformation[KE_EXCEPTION_PARAMETERS];
};
_Static_assert(sizeof(struct ke_exception_record) == KE_BY_WORD(0x98, 0x50), "EXCEPTION_RECORD");

#ifdef __x86_64__
struct ke_xmm {
    uint64_t low, high;
} __attribute__((aligned(16)));

/* XMM_SAVE_AREA32: what fxsave64 writes. */
struct ke_fxsave {
    uint16_t ControlWord, StatusWord;
    uint8_t TagWord, Reserved1;
    uint16_t ErrorOpcode;
    uint32_t ErrorOffset;
    uint16_t ErrorSelector, Reserved2;
    uint32_t DataOffset;
    uint16_t DataSelector, Reserved3;
    uint32_t MxCsr, MxCsr_Mask;
    struct ke_xmm FloatRegisters[8];
    struct ke_xmm XmmRegisters[16];
    uint8_t Reserved4[96];
} __attribute__((aligned(16)));
_Static_assert(sizeof(struct ke_fxsave) == 512, "XMM_SAVE_AREA32");

struct ke_context {
    uint64_t P1Home[6];
    uint32_t ContextFlags, MxCsr;
    uint16_t SegCs, SegDs, SegEs, SegFs, SegGs, SegSs;
    uint32_t EFlags;
    uint64_t Dr[6];
    uint64_t Rax, Rcx, Rdx, Rbx, Rsp, Rbp, Rsi, Rdi, R8, R9, R10, R11, R12, R13, R14, R15, Rip;
    struct ke_fxsave FltSave;
    struct ke_xmm VectorRegister[26];
    uint64_t VectorControl, DebugControl, LastBranch[4];
} __attribute__((aligned(16)));
#define KE_CONTEXT_CONTROL         0x100001u
#define KE_CONTEXT_INTEGER         0x100002u
#define KE_CONTEXT_SEGMENTS        0x100004u
#define KE_CONTEXT_FLOATING_POINT  0x100008u
#define KE_CONTEXT_DEBUG_REGISTERS 0x100010u
#define KE_CONTEXT_FULL            0x10000Bu /* CONTROL, INTEGER, FLOATING_POINT */
#define KE_CONTEXT_ALL             0x10001Fu
#define KE_CONTEXT_UNWOUND         0x20000000u /* CONTEXT_UNWOUND_TO_CALL */
#define KE_CONTEXT_PC(context)     ((context)->Rip)
#define KE_CONTEXT_SP(context)     ((context)->Rsp)
_Static_assert(offsetof(struct ke_context, Rax) == 0x78, "CONTEXT");
_Static_assert(offsetof(struct ke_context, FltSave) == 0x100, "CONTEXT");
_Static_assert(sizeof(struct ke_context) == 0x4D0, "CONTEXT");
#else
struct ke_context {
    uint32_t ContextFlags, Dr[6];
    uint8_t FloatSave[112]; /* FLOATING_SAVE_AREA: what fnsave writes, and Cr0NpxState */
    uint32_t SegGs, SegFs, SegEs, SegDs;
    uint32_t Edi, Esi, Ebx, Edx, Ecx, Eax;
    uint32_t Ebp, Eip, SegCs, EFlags, Esp, SegSs;
    uint8_t ExtendedRegisters[512]; /* what fxsave writes */
};
#define KE_CONTEXT_CONTROL            0x10001u
#define KE_CONTEXT_INTEGER            0x10002u
#define KE_CONTEXT_SEGMENTS           0x10004u
#define KE_CONTEXT_FLOATING_POINT     0x10008u
#define KE_CONTEXT_DEBUG_REGISTERS    0x10010u
#define KE_CONTEXT_EXTENDED_REGISTERS 0x10020u
#define KE_CONTEXT_FULL               0x10007u /* CONTROL, INTEGER, SEGMENTS */
#define KE_CONTEXT_ALL                0x1003Fu
#define KE_CONTEXT_PC(context)        ((context)->Eip)
#define KE_CONTEXT_SP(context)        ((context)->Esp)
_Static_assert(offsetof(struct ke_context, Edi) == 0x9C, "CONTEXT");
_Static_assert(sizeof(struct ke_context) == 0x2CC, "CONTEXT");
#endif

struct ke_exception_pointers {
    struct ke_exception_record *ExceptionRecord;
    struct ke_context *ContextRecord;
};

/* What filters answer. */
enum {
    KE_CONTINUE_EXECUTION = -1,
    KE_CONTINUE_SEARCH = 0,
    KE_EXECUTE_HANDLER = 1,
};

/* EXCEPTION_DISPOSITION: what language handlers answer. */
enum ke_disposition {
    KE_DISPOSITION_CONTINUE_EXECUTION,
    KE_DISPOSITION_CONTINUE_SEARCH,
    KE_DISPOSITION_NESTED_EXCEPTION,
    KE_DISPOSITION_COLLIDED_UNWIND,
};

/* ---- registers (context.c) ---------------------------------------------------------------------
 */

/* RtlCaptureContext: the registers of the caller as they will be when this returns. */
void WINAPI ke_capture_context(struct ke_context *context);
/*
 * NtContinue: loads the parts that ContextFlags names (CONTROL and INTEGER at least, else nothing
 * happens to them) and goes on at its program counter. Every register, volatile ones included.
 */
void ke_continue(const struct ke_context *context) __attribute__((noreturn));

/* ---- dispatch (dispatch.c) ---------------------------------------------------------------------
 */

/*
 * Offers an exception to all handlers. Returns when one of them continues it: the caller then goes
 * on with `context`, which they may have changed. Otherwise a frame has unwound, a guard has taken
 * it or the process has ended, with the exception's code.
 */
void ke_dispatch_exception(struct ke_exception_record *record, struct ke_context *context);

/* Where the search through the frames ended. */
enum ke_search {
    KE_SEARCH_CONTINUE, /* a handler continues execution */
    KE_SEARCH_GATE,     /* at this thread's innermost gate */
    KE_SEARCH_HOST,     /* frames of the host lie between two images: nothing may cross them */
    KE_SEARCH_BOTTOM,   /* no more frames, or a stack that makes no sense */
};
/*
 * One per word size (frames_x64.c, frames_i386.c): walks this thread's frames from `context`
 * outwards and calls their handlers; does not return when one of them unwinds. `*where` gets an
 * address of the host frame that stopped it (KE_SEARCH_HOST).
 */
enum ke_search ke_search_frames(struct ke_exception_record *record, struct ke_context *context,
                                uintptr_t *where);

/* Takes the frames below `end`, whose code is abandoned, out of the chain at fs:[0]; nothing on
 * x86-64, where there is none. */
void ke_unwind_chain(uintptr_t end);

/* ---- raising (raise.c) -------------------------------------------------------------------------
 */

/* RtlRaiseException: dispatches; returns when a handler continues at the same place. */
void ke_raise_record(struct ke_exception_record *record);
/* A handler continued `first`, which says that nobody may: the exception that follows of that. */
void ke_raise_noncontinuable(struct ke_exception_record *first) __attribute__((noreturn));
/* RaiseException, for images; on x86-64 handlers see the registers of its caller. */
void WINAPI ke_raise_exception(uint32_t code, uint32_t flags, uint32_t count,
                               const uintptr_t *parameters);
/* ke_raise() for a known address of origin. */
void ke_raise_at(uint32_t code, uint32_t flags, uint32_t count, const uintptr_t *parameters,
                 const void *address);

/* ---- handlers of the whole process (vectored.c, unhandled.c) ------------------------------------
 */

/* Whether a vectored handler (`is_continue`: continue handler) continues execution. */
bool ke_call_vectored(struct ke_exception_pointers *pointers, bool is_continue);
/* What UnhandledExceptionFilter does: the filter's answer, or a report and KE_EXECUTE_HANDLER. */
int32_t ke_unhandled(struct ke_exception_pointers *pointers);

/* ---- the last words (crash.c) -------------------------------------------------------------------
 */

/* "unhandled exception STATUS_... 0xc0000005 at zlib1.dll+0x1234 (0x...) reading 0x10": one line on
 * standard error. */
void ke_report_exception(const struct ke_exception_record *record);
/* That line and registers, disassembly and backtrace; `context` NULL = the line alone. */
void ke_report_crash(const struct ke_exception_record *record, const struct ke_context *context);
/* "STATUS_ACCESS_VIOLATION", "C++ exception (MSVC)" ..., "" when unknown. */
const char *ke_exception_name(uint32_t code);

#endif
