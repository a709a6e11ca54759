/*
 * EXCEPTION_RECORD, CONTEXT and the handler lists.
 *
 * CONTEXT has Windows's layout for this word size; fields that a software exception does not know
 * are zero. Dispatch to frame-based handlers (SEH) is not here: vectored handlers, the unhandled
 * filter, and the end of the process.
 */
#ifndef KE_EXCEPTION_H
#define KE_EXCEPTION_H

#include <stddef.h>
#include <stdint.h>

#include "loader/abi.h"
#include "loader/ke/teb.h"

#define KE_EXCEPTION_NONCONTINUABLE 0x1u
#define KE_EXCEPTION_PARAMETERS     15u

struct ke_exception_record {
    uint32_t ExceptionCode, ExceptionFlags;
    struct ke_exception_record *ExceptionRecord;
    void *ExceptionAddress;
    uint32_t NumberParameters;
    uintptr_t ExceptionInformation[KE_EXCEPTION_PARAMETERS];
};

#ifdef __x86_64__
struct ke_context {
    uint64_t P1Home[6];
    uint32_t ContextFlags, MxCsr;
    uint16_t SegCs, SegDs, SegEs, SegFs, SegGs, SegSs;
    uint32_t EFlags;
    uint64_t Dr[6];
    uint64_t Rax, Rcx, Rdx, Rbx, Rsp, Rbp, Rsi, Rdi, R8, R9, R10, R11, R12, R13, R14, R15, Rip;
    uint8_t FltSave[512] __attribute__((aligned(16)));
    uint8_t VectorRegisters[26 * 16];
    uint64_t VectorControl, DebugControl, LastBranch[4];
};
#define KE_CONTEXT_CONTROL_INTEGER 0x100003u
_Static_assert(offsetof(struct ke_context, Rax) == 0x78, "CONTEXT");
_Static_assert(offsetof(struct ke_context, FltSave) == 0x100, "CONTEXT");
_Static_assert(sizeof(struct ke_context) == 0x4D0, "CONTEXT");
#else
struct ke_context {
    uint32_t ContextFlags, Dr[6];
    uint8_t FloatSave[112];
    uint32_t SegGs, SegFs, SegEs, SegDs;
    uint32_t Edi, Esi, Ebx, Edx, Ecx, Eax;
    uint32_t Ebp, Eip, SegCs, EFlags, Esp, SegSs;
    uint8_t ExtendedRegisters[512];
};
#define KE_CONTEXT_CONTROL_INTEGER 0x10003u
_Static_assert(offsetof(struct ke_context, Edi) == 0x9C, "CONTEXT");
_Static_assert(sizeof(struct ke_context) == 0x2CC, "CONTEXT");
#endif

struct ke_exception_pointers {
    struct ke_exception_record *ExceptionRecord;
    struct ke_context *ContextRecord;
};

enum {
    KE_CONTINUE_EXECUTION = -1,
    KE_CONTINUE_SEARCH = 0,
    KE_EXECUTE_HANDLER = 1,
};

/* RtlCaptureContext: the registers of the caller as they will be when this returns. */
void WINAPI ke_capture_context(struct ke_context *context);
/*
 * Offers an exception to the handlers. Returns when one continues it; otherwise reports and ends
 * the process with the exception's code.
 */
void ke_dispatch_exception(struct ke_exception_record *record, struct ke_context *context);
/* What UnhandledExceptionFilter does: the filter's answer, or a report and KE_EXECUTE_HANDLER. */
int32_t ke_unhandled(struct ke_exception_pointers *pointers);
/* One line on standard error. */
void ke_report_exception(const struct ke_exception_record *record);
/* ke_raise() for a known address of origin. */
void ke_raise_at(uint32_t code, uint32_t flags, uint32_t count, const uintptr_t *parameters,
                 const void *address);

#endif
