/*
 * KERNEL32's names of the locks in images' memory: most are forwarders to NTDLL, as on Windows; the
 * others report through the last error what NTDLL returns as a status.
 */
#include "loader/win32/errors.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/locks.h"

enum { ERROR_TIMEOUT = 1460 };

static BOOL WINAPI_DEF k32_InitializeCriticalSectionAndSpinCount(CRITICAL_SECTION *section,
                                                                 DWORD spin_count)
{
    win32_critsec_init(section, spin_count);
    return TRUE;
}

static BOOL WINAPI_DEF k32_InitializeCriticalSectionEx(CRITICAL_SECTION *section, DWORD spin_count,
                                                       DWORD flags)
{
    win32_critsec_init(section, spin_count);
    return TRUE;
}

static BOOL WINAPI_DEF k32_SleepConditionVariableCS(WIN32_WORD_LOCK *condition,
                                                    CRITICAL_SECTION *section, DWORD milliseconds)
{
    return win32_condition_sleep_critsec(condition, section, milliseconds) ||
           win32_fail(ERROR_TIMEOUT);
}

static BOOL WINAPI_DEF k32_SleepConditionVariableSRW(WIN32_WORD_LOCK *condition,
                                                     WIN32_WORD_LOCK *lock, DWORD milliseconds,
                                                     ULONG flags)
{
    if (flags & ~1u)
        return win32_fail(ERROR_INVALID_PARAMETER);
    return win32_condition_sleep_srw(condition, lock, flags & 1, milliseconds) ||
           win32_fail(ERROR_TIMEOUT);
}

static BOOL WINAPI_DEF k32_InitOnceBeginInitialize(uintptr_t *once, DWORD flags, BOOL *pending,
                                                   void **context)
{
    nt_status status = win32_once_begin(once, flags, context);
    if (!nt_ok(status))
        return win32_result(status);
    *pending = status == STATUS_PENDING;
    return TRUE;
}

static BOOL WINAPI_DEF k32_InitOnceComplete(uintptr_t *once, DWORD flags, void *context)
{
    return win32_result(win32_once_complete(once, flags, context));
}

static BOOL WINAPI_DEF k32_InitOnceExecuteOnce(uintptr_t *once, win32_once_function function,
                                               void *parameter, void **context)
{
    /* A callback that fails leaves its own last error. */
    return nt_ok(win32_once_execute(once, function, parameter, context));
}

const struct ldr_builtin_export kernel32_sync_exports[] = {
    LDR_FWD(InitializeCriticalSection, "NTDLL.RtlInitializeCriticalSection"),
    LDR_FN(k32_, InitializeCriticalSectionAndSpinCount),
    LDR_FN(k32_, InitializeCriticalSectionEx),
    LDR_FWD(DeleteCriticalSection, "NTDLL.RtlDeleteCriticalSection"),
    LDR_FWD(EnterCriticalSection, "NTDLL.RtlEnterCriticalSection"),
    LDR_FWD(TryEnterCriticalSection, "NTDLL.RtlTryEnterCriticalSection"),
    LDR_FWD(LeaveCriticalSection, "NTDLL.RtlLeaveCriticalSection"),
    LDR_FWD(SetCriticalSectionSpinCount, "NTDLL.RtlSetCriticalSectionSpinCount"),
    LDR_FWD(InitializeSRWLock, "NTDLL.RtlInitializeSRWLock"),
    LDR_FWD(AcquireSRWLockExclusive, "NTDLL.RtlAcquireSRWLockExclusive"),
    LDR_FWD(AcquireSRWLockShared, "NTDLL.RtlAcquireSRWLockShared"),
    LDR_FWD(ReleaseSRWLockExclusive, "NTDLL.RtlReleaseSRWLockExclusive"),
    LDR_FWD(ReleaseSRWLockShared, "NTDLL.RtlReleaseSRWLockShared"),
    LDR_FWD(TryAcquireSRWLockExclusive, "NTDLL.RtlTryAcquireSRWLockExclusive"),
    LDR_FWD(TryAcquireSRWLockShared, "NTDLL.RtlTryAcquireSRWLockShared"),
    LDR_FWD(InitializeConditionVariable, "NTDLL.RtlInitializeConditionVariable"),
    LDR_FN(k32_, SleepConditionVariableCS),
    LDR_FN(k32_, SleepConditionVariableSRW),
    LDR_FWD(WakeConditionVariable, "NTDLL.RtlWakeConditionVariable"),
    LDR_FWD(WakeAllConditionVariable, "NTDLL.RtlWakeAllConditionVariable"),
    LDR_FWD(InitOnceInitialize, "NTDLL.RtlRunOnceInitialize"),
    LDR_FN(k32_, InitOnceBeginInitialize),
    LDR_FN(k32_, InitOnceComplete),
    LDR_FN(k32_, InitOnceExecuteOnce),
    LDR_FWD(InitializeSListHead, "NTDLL.RtlInitializeSListHead"),
    LDR_FWD(QueryDepthSList, "NTDLL.RtlQueryDepthSList"),
    LDR_FWD(InterlockedPushEntrySList, "NTDLL.RtlInterlockedPushEntrySList"),
    LDR_FWD(InterlockedPushListSListEx, "NTDLL.RtlInterlockedPushListSListEx"),
    LDR_FWD(InterlockedPopEntrySList, "NTDLL.RtlInterlockedPopEntrySList"),
    LDR_FWD(InterlockedFlushSList, "NTDLL.RtlInterlockedFlushSList"),
};
const size_t kernel32_sync_count = sizeof(kernel32_sync_exports) / sizeof(*kernel32_sync_exports);
