/*
 * Event tracing: providers register and write, and no session ever listens.
 *
 * Windows answers a provider without a session with success and drops the event (EventRegister and
 * EventWrite in evntprov.h), so that is what every function here does. They return Win32 errors.
 */
#include <stdatomic.h>

#include "loader/win32/errors.h"
#include "loader/win32/ntdll/families.h"

typedef uint64_t REGHANDLE;

static ULONG WINAPI_DEF nt_EtwEventRegister(const void *provider, void *callback, void *context,
                                            REGHANDLE *out)
{
    static _Atomic uint32_t last;
    if (!provider || !out)
        return ERROR_INVALID_PARAMETER;
    *out = ++last;
    return ERROR_SUCCESS;
}

static ULONG registered(REGHANDLE handle)
{
    return handle ? ERROR_SUCCESS : ERROR_INVALID_HANDLE;
}

static ULONG WINAPI_DEF nt_EtwEventUnregister(REGHANDLE handle)
{
    return registered(handle);
}

static ULONG WINAPI_DEF nt_EtwEventSetInformation(REGHANDLE handle, ULONG info_class, void *info,
                                                  ULONG size)
{
    return registered(handle);
}

static BOOLEAN WINAPI_DEF nt_EtwEventEnabled(REGHANDLE handle, const void *descriptor)
{
    return FALSE;
}

static BOOLEAN WINAPI_DEF nt_EtwEventProviderEnabled(REGHANDLE handle, BYTE level,
                                                     ULONGLONG keyword)
{
    return FALSE;
}

static ULONG WINAPI_DEF nt_EtwEventWrite(REGHANDLE handle, const void *descriptor, ULONG count,
                                         const void *data)
{
    return registered(handle);
}

static ULONG WINAPI_DEF nt_EtwEventWriteTransfer(REGHANDLE handle, const void *descriptor,
                                                 const void *activity, const void *related,
                                                 ULONG count, const void *data)
{
    return registered(handle);
}

static ULONG WINAPI_DEF nt_EtwEventWriteEx(REGHANDLE handle, const void *descriptor,
                                           ULONGLONG filter, ULONG flags, const void *activity,
                                           const void *related, ULONG count, const void *data)
{
    return registered(handle);
}

static ULONG WINAPI_DEF nt_EtwEventWriteString(REGHANDLE handle, BYTE level, ULONGLONG keyword,
                                               const WCHAR *text)
{
    return registered(handle);
}

const struct ldr_builtin_export ntdll_etw_exports[] = {
    LDR_FN(nt_, EtwEventRegister),       LDR_FN(nt_, EtwEventUnregister),
    LDR_FN(nt_, EtwEventEnabled),        LDR_FN(nt_, EtwEventProviderEnabled),
    LDR_FN(nt_, EtwEventWrite),          LDR_FN(nt_, EtwEventWriteTransfer),
    LDR_FN(nt_, EtwEventWriteEx),        LDR_FN(nt_, EtwEventWriteString),
    LDR_FN(nt_, EtwEventSetInformation),
};
const size_t ntdll_etw_count = sizeof(ntdll_etw_exports) / sizeof(*ntdll_etw_exports);
