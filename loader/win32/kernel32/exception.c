/*
 * Raising and registering for exceptions, error modes, fast fail (errhandlingapi.h).
 */
#include "loader/ke/exception.h"

#include "loader/win32/errors.h"
#include "loader/win32/kernel32/families.h"

static DWORD process_error_mode;

static void WINAPI_DEF k32_RaiseException(DWORD code, DWORD flags, DWORD count,
                                          const ULONG_PTR *parameters)
{
    /* Bit 28 is reserved and cleared, as documented. */
    ke_raise_at(code & ~0x10000000u, flags, count, parameters, __builtin_return_address(0));
}

static void WINAPI_DEF k32_RaiseFailFastException(struct ke_exception_record *record,
                                                  struct ke_context *context, DWORD flags)
{
    struct ke_exception_record made = {
        .ExceptionCode = 0xC0000602, /* STATUS_FAIL_FAST_EXCEPTION */
        .ExceptionAddress = __builtin_return_address(0),
    };
    ke_report_exception(record ? record : &made);
    ke_process_terminate(record ? record->ExceptionCode : made.ExceptionCode);
}

static void *WINAPI_DEF k32_SetUnhandledExceptionFilter(void *filter)
{
    return ke_set_unhandled_filter(filter);
}

static LONG WINAPI_DEF k32_UnhandledExceptionFilter(struct ke_exception_pointers *pointers)
{
    return ke_unhandled(pointers);
}

static UINT WINAPI_DEF k32_GetErrorMode(void)
{
    return __atomic_load_n(&process_error_mode, __ATOMIC_RELAXED);
}

static UINT WINAPI_DEF k32_SetErrorMode(UINT mode)
{
    return __atomic_exchange_n(&process_error_mode, mode, __ATOMIC_RELAXED);
}

static DWORD WINAPI_DEF k32_GetThreadErrorMode(void)
{
    return ke_teb()->HardErrorMode;
}

/* SEM_FAILCRITICALERRORS, SEM_NOGPFAULTERRORBOX and SEM_NOOPENFILEERRORBOX are a thread's. */
static BOOL WINAPI_DEF k32_SetThreadErrorMode(DWORD mode, DWORD *old)
{
    if (mode & ~(DWORD)0x8003)
        return win32_fail(ERROR_INVALID_PARAMETER);
    if (old)
        *old = ke_teb()->HardErrorMode;
    ke_teb()->HardErrorMode = mode;
    return TRUE;
}

static BOOL WINAPI_DEF k32_IsDebuggerPresent(void)
{
    return ke_peb()->BeingDebugged;
}

const struct ldr_builtin_export kernel32_exception_exports[] = {
    LDR_FN(k32_, RaiseException),
    LDR_FN(k32_, RaiseFailFastException),
    LDR_FN(k32_, SetUnhandledExceptionFilter),
    LDR_FN(k32_, UnhandledExceptionFilter),
    LDR_FN(k32_, GetErrorMode),
    LDR_FN(k32_, SetErrorMode),
    LDR_FN(k32_, GetThreadErrorMode),
    LDR_FN(k32_, SetThreadErrorMode),
    LDR_FN(k32_, IsDebuggerPresent),
    LDR_FWD(AddVectoredExceptionHandler, "NTDLL.RtlAddVectoredExceptionHandler"),
    LDR_FWD(AddVectoredContinueHandler, "NTDLL.RtlAddVectoredContinueHandler"),
    LDR_FWD(RemoveVectoredExceptionHandler, "NTDLL.RtlRemoveVectoredExceptionHandler"),
    LDR_FWD(RemoveVectoredContinueHandler, "NTDLL.RtlRemoveVectoredContinueHandler"),
    LDR_FWD(RtlCaptureContext, "NTDLL.RtlCaptureContext"),
    LDR_FWD(RtlCaptureStackBackTrace, "NTDLL.RtlCaptureStackBackTrace"),
    LDR_FWD(RtlPcToFileHeader, "NTDLL.RtlPcToFileHeader"),
    LDR_FWD(RtlUnwind, "NTDLL.RtlUnwind"),
#ifdef __x86_64__
    LDR_FWD(RtlRaiseException, "NTDLL.RtlRaiseException"),
    LDR_FWD(RtlLookupFunctionEntry, "NTDLL.RtlLookupFunctionEntry"),
    LDR_FWD(RtlVirtualUnwind, "NTDLL.RtlVirtualUnwind"),
    LDR_FWD(RtlUnwindEx, "NTDLL.RtlUnwindEx"),
#endif
    LDR_FWD(EncodePointer, "NTDLL.RtlEncodePointer"),
    LDR_FWD(DecodePointer, "NTDLL.RtlDecodePointer"),
    LDR_FWD(EncodeSystemPointer, "NTDLL.RtlEncodeSystemPointer"),
    LDR_FWD(DecodeSystemPointer, "NTDLL.RtlDecodeSystemPointer"),
};
const size_t kernel32_exception_count =
    sizeof(kernel32_exception_exports) / sizeof(*kernel32_exception_exports);
