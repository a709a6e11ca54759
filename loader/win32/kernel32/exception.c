/*
 * Raising and registering for exceptions, fast fail (errhandlingapi.h).
 */
#include "loader/ke/exception.h"

#include "loader/win32/kernel32/families.h"

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

const struct ldr_builtin_export kernel32_exception_exports[] = {
    {.name = "RaiseException",
     .kind = LDR_EXPORT_FUNCTION,
     .address = (const void *)ke_raise_exception},
    LDR_FN(k32_, RaiseFailFastException),
    LDR_FN(k32_, SetUnhandledExceptionFilter),
    LDR_FN(k32_, UnhandledExceptionFilter),
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
    LDR_FWD(RtlRestoreContext, "NTDLL.RtlRestoreContext"),
    LDR_FWD(RtlAddFunctionTable, "NTDLL.RtlAddFunctionTable"),
    LDR_FWD(RtlDeleteFunctionTable, "NTDLL.RtlDeleteFunctionTable"),
    LDR_FWD(RtlInstallFunctionTableCallback, "NTDLL.RtlInstallFunctionTableCallback"),
    LDR_FWD(__C_specific_handler, "NTDLL.__C_specific_handler"),
    LDR_FWD(_local_unwind, "NTDLL._local_unwind"),
#endif
    LDR_FWD(EncodePointer, "NTDLL.RtlEncodePointer"),
    LDR_FWD(DecodePointer, "NTDLL.RtlDecodePointer"),
    LDR_FWD(EncodeSystemPointer, "NTDLL.RtlEncodeSystemPointer"),
    LDR_FWD(DecodeSystemPointer, "NTDLL.RtlDecodeSystemPointer"),
};
const size_t kernel32_exception_count =
    sizeof(kernel32_exception_exports) / sizeof(*kernel32_exception_exports);
