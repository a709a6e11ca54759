/*
 * Threads, fiber-local storage and the TEB's companions in NTDLL.
 */
#include <sched.h>

#include "loader/ke/slots.h"
#include "loader/ke/suspend.h"
#include "loader/win32/errors.h"
#include "loader/win32/ntdll/families.h"
#include "loader/win32/waitable.h"

static void WINAPI_DEF nt_RtlExitUserThread(nt_status code)
{
    ke_thread_exit(code);
}

/* 0 and the pseudo handle mean this thread. */
static nt_status WINAPI_DEF nt_NtTerminateThread(HANDLE thread, nt_status code)
{
    struct ob_object *object;
    nt_status status =
        win32_thread(thread ? thread : CURRENT_THREAD, WIN32_THREAD_TERMINATE, &object);
    if (!nt_ok(status))
        return status;
    if (ke_thread_id_of(object) == ke_thread_id()) /* its own record holds it */
        ob_object_unref(object);
    status = ke_thread_terminate(object, (uint32_t)code); /* does not return for this thread */
    ob_object_unref(object);
    return status;
}

static nt_status WINAPI_DEF nt_NtYieldExecution(void)
{
    sched_yield();
    return STATUS_SUCCESS;
}

static ULONG WINAPI_DEF nt_NtGetCurrentProcessorNumber(void)
{
    int cpu = sched_getcpu();
    return cpu >= 0 ? (ULONG)cpu : 0;
}

typedef struct {
    USHORT Group;
    BYTE Number, Reserved;
} PROCESSOR_NUMBER;

static void WINAPI_DEF nt_RtlGetCurrentProcessorNumberEx(PROCESSOR_NUMBER *out)
{
    ULONG cpu = nt_NtGetCurrentProcessorNumber();
    *out = (PROCESSOR_NUMBER){.Group = (USHORT)(cpu / 64), .Number = (BYTE)(cpu % 64)};
}

static ULONG WINAPI_DEF nt_RtlGetCurrentProcessorNumber(void)
{
    return nt_NtGetCurrentProcessorNumber();
}

static ULONG WINAPI_DEF nt_NtGetCurrentProcessorNumberEx(PROCESSOR_NUMBER *out)
{
    nt_RtlGetCurrentProcessorNumberEx(out);
    return nt_NtGetCurrentProcessorNumber();
}

static BOOLEAN WINAPI_DEF nt_RtlIsCurrentThread(HANDLE thread)
{
    struct ob_object *object;
    if (!nt_ok(win32_thread(thread, 0, &object)))
        return FALSE;
    bool self = ke_thread_id_of(object) == ke_thread_id();
    ob_object_unref(object);
    return self;
}

static nt_status WINAPI_DEF nt_RtlFlsAlloc(ke_fls_callback callback, ULONG *index)
{
    *index = ke_fls_alloc(callback);
    return *index == KE_NO_SLOT ? STATUS_NO_MEMORY : STATUS_SUCCESS;
}

static nt_status WINAPI_DEF nt_RtlFlsFree(ULONG index)
{
    return ke_fls_free(index) ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;
}

static nt_status WINAPI_DEF nt_RtlFlsGetValue(ULONG index, void **value)
{
    if (!ke_fls_valid(index))
        return STATUS_INVALID_PARAMETER;
    *value = ke_fls_get(ke_teb(), index);
    return STATUS_SUCCESS;
}

static nt_status WINAPI_DEF nt_RtlFlsSetValue(ULONG index, void *value)
{
    if (!ke_fls_valid(index))
        return STATUS_INVALID_PARAMETER;
    return ke_fls_set(ke_teb(), index, value) ? STATUS_SUCCESS : STATUS_NO_MEMORY;
}

static BOOLEAN WINAPI_DEF nt_RtlDllShutdownInProgress(void)
{
    return ke_process_exiting();
}

static struct ke_peb *WINAPI_DEF nt_RtlGetCurrentPeb(void)
{
    return ke_peb();
}

const struct ldr_builtin_export ntdll_thread_exports[] = {
    LDR_FN(nt_, RtlExitUserThread),
    NT_ZW(TerminateThread),
    NT_ZW(YieldExecution),
    NT_ZW(GetCurrentProcessorNumber),
    LDR_FN(nt_, RtlGetCurrentProcessorNumberEx),
    LDR_FN(nt_, RtlGetCurrentProcessorNumber),
    NT_ZW(GetCurrentProcessorNumberEx),
    LDR_FN(nt_, RtlIsCurrentThread),
    LDR_FN(nt_, RtlFlsAlloc),
    LDR_FN(nt_, RtlFlsFree),
    LDR_FN(nt_, RtlFlsGetValue),
    LDR_FN(nt_, RtlFlsSetValue),
    LDR_FN(nt_, RtlDllShutdownInProgress),
    LDR_FN(nt_, RtlGetCurrentPeb),
};
const size_t ntdll_thread_count = sizeof(ntdll_thread_exports) / sizeof(*ntdll_thread_exports);
