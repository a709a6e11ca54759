/*
 * Critical sections, SRW locks, condition variables, one-time initialisation, waiting on addresses:
 * the Rtl functions, which KERNEL32 forwards to where Windows does.
 */
#include "loader/win32/locks.h"

#include "loader/win32/errors.h"
#include "loader/win32/ntdll/families.h"
#include "loader/win32/waitable.h"

static nt_status WINAPI_DEF nt_RtlInitializeCriticalSection(CRITICAL_SECTION *section)
{
    win32_critsec_init(section, 0);
    return STATUS_SUCCESS;
}

static nt_status WINAPI_DEF nt_RtlInitializeCriticalSectionAndSpinCount(CRITICAL_SECTION *section,
                                                                        ULONG spin_count)
{
    win32_critsec_init(section, spin_count);
    return STATUS_SUCCESS;
}

static nt_status WINAPI_DEF nt_RtlInitializeCriticalSectionEx(CRITICAL_SECTION *section,
                                                              ULONG spin_count, ULONG flags)
{
    win32_critsec_init(section, spin_count);
    return STATUS_SUCCESS;
}

static nt_status WINAPI_DEF nt_RtlDeleteCriticalSection(CRITICAL_SECTION *section)
{
    /* Windows leaves it zeroed: entering it afterwards hangs rather than works by chance. */
    *section = (CRITICAL_SECTION){0};
    return STATUS_SUCCESS;
}

static nt_status WINAPI_DEF nt_RtlEnterCriticalSection(CRITICAL_SECTION *section)
{
    win32_critsec_enter(section);
    return STATUS_SUCCESS;
}

static BOOL WINAPI_DEF nt_RtlTryEnterCriticalSection(CRITICAL_SECTION *section)
{
    return win32_critsec_try_enter(section);
}

static nt_status WINAPI_DEF nt_RtlLeaveCriticalSection(CRITICAL_SECTION *section)
{
    win32_critsec_leave(section);
    return STATUS_SUCCESS;
}

static ULONG WINAPI_DEF nt_RtlSetCriticalSectionSpinCount(CRITICAL_SECTION *section, ULONG count)
{
    ULONG old = (ULONG)section->SpinCount;
    section->SpinCount = count & 0x00FFFFFF;
    return old;
}

static BOOL WINAPI_DEF nt_RtlIsCriticalSectionLocked(const CRITICAL_SECTION *section)
{
    return section->RecursionCount != 0;
}

static BOOL WINAPI_DEF nt_RtlIsCriticalSectionLockedByThread(const CRITICAL_SECTION *section)
{
    return section->OwningThread == ke_thread_id() && section->RecursionCount != 0;
}

static void WINAPI_DEF nt_RtlAcquirePebLock(void)
{
    win32_critsec_enter(ke_peb()->FastPebLock);
}

static void WINAPI_DEF nt_RtlReleasePebLock(void)
{
    win32_critsec_leave(ke_peb()->FastPebLock);
}

/* One for every kind of pointer-sized object that starts as zero. */
static void WINAPI_DEF nt_RtlInitializeWord(uintptr_t *word)
{
    *word = 0;
}

static void WINAPI_DEF nt_RtlAcquireSRWLockExclusive(WIN32_WORD_LOCK *lock)
{
    win32_srw_acquire_exclusive(lock);
}

static void WINAPI_DEF nt_RtlAcquireSRWLockShared(WIN32_WORD_LOCK *lock)
{
    win32_srw_acquire_shared(lock);
}

static void WINAPI_DEF nt_RtlReleaseSRWLockExclusive(WIN32_WORD_LOCK *lock)
{
    win32_srw_release_exclusive(lock);
}

static void WINAPI_DEF nt_RtlReleaseSRWLockShared(WIN32_WORD_LOCK *lock)
{
    win32_srw_release_shared(lock);
}

static BOOLEAN WINAPI_DEF nt_RtlTryAcquireSRWLockExclusive(WIN32_WORD_LOCK *lock)
{
    return win32_srw_try_exclusive(lock);
}

static BOOLEAN WINAPI_DEF nt_RtlTryAcquireSRWLockShared(WIN32_WORD_LOCK *lock)
{
    return win32_srw_try_shared(lock);
}

static nt_status WINAPI_DEF nt_RtlSleepConditionVariableCS(WIN32_WORD_LOCK *condition,
                                                           CRITICAL_SECTION *section,
                                                           const int64_t *timeout)
{
    return win32_condition_sleep_critsec(condition, section, win32_timeout(timeout))
               ? STATUS_SUCCESS
               : STATUS_TIMEOUT;
}

static nt_status WINAPI_DEF nt_RtlSleepConditionVariableSRW(WIN32_WORD_LOCK *condition,
                                                            WIN32_WORD_LOCK *lock,
                                                            const int64_t *timeout, ULONG flags)
{
    return win32_condition_sleep_srw(condition, lock, flags & 1, win32_timeout(timeout))
               ? STATUS_SUCCESS
               : STATUS_TIMEOUT;
}

static void WINAPI_DEF nt_RtlWakeConditionVariable(WIN32_WORD_LOCK *condition)
{
    win32_condition_wake(condition, false);
}

static void WINAPI_DEF nt_RtlWakeAllConditionVariable(WIN32_WORD_LOCK *condition)
{
    win32_condition_wake(condition, true);
}

static nt_status WINAPI_DEF nt_RtlRunOnceBeginInitialize(uintptr_t *once, ULONG flags,
                                                         void **context)
{
    return win32_once_begin(once, flags, context);
}

static nt_status WINAPI_DEF nt_RtlRunOnceComplete(uintptr_t *once, ULONG flags, void *context)
{
    return win32_once_complete(once, flags, context);
}

static nt_status WINAPI_DEF nt_RtlRunOnceExecuteOnce(uintptr_t *once, win32_once_function function,
                                                     void *parameter, void **context)
{
    return win32_once_execute(once, function, parameter, context);
}

static nt_status WINAPI_DEF nt_RtlWaitOnAddress(const volatile void *address, const void *compare,
                                                SIZE_T size, const int64_t *timeout)
{
    if (size != 1 && size != 2 && size != 4 && size != 8)
        return STATUS_INVALID_PARAMETER;
    return win32_address_wait(address, compare, size, win32_timeout(timeout)) ? STATUS_SUCCESS
                                                                              : STATUS_TIMEOUT;
}

static void WINAPI_DEF nt_RtlWakeAddressAll(const void *address)
{
    win32_address_wake(address, true);
}

static void WINAPI_DEF nt_RtlWakeAddressSingle(const void *address)
{
    win32_address_wake(address, false);
}

#define ZERO_INIT(fn)                                                                           \
    {                                                                                           \
        .name = #fn, .kind = LDR_EXPORT_FUNCTION, .address = (const void *)nt_RtlInitializeWord \
    }

const struct ldr_builtin_export ntdll_locks_exports[] = {
    LDR_FN(nt_, RtlInitializeCriticalSection),
    LDR_FN(nt_, RtlInitializeCriticalSectionAndSpinCount),
    LDR_FN(nt_, RtlInitializeCriticalSectionEx),
    LDR_FN(nt_, RtlDeleteCriticalSection),
    LDR_FN(nt_, RtlEnterCriticalSection),
    LDR_FN(nt_, RtlTryEnterCriticalSection),
    LDR_FN(nt_, RtlLeaveCriticalSection),
    LDR_FN(nt_, RtlSetCriticalSectionSpinCount),
    LDR_FN(nt_, RtlIsCriticalSectionLocked),
    LDR_FN(nt_, RtlIsCriticalSectionLockedByThread),
    LDR_FN(nt_, RtlAcquirePebLock),
    LDR_FN(nt_, RtlReleasePebLock),
    ZERO_INIT(RtlInitializeSRWLock),
    LDR_FN(nt_, RtlAcquireSRWLockExclusive),
    LDR_FN(nt_, RtlAcquireSRWLockShared),
    LDR_FN(nt_, RtlReleaseSRWLockExclusive),
    LDR_FN(nt_, RtlReleaseSRWLockShared),
    LDR_FN(nt_, RtlTryAcquireSRWLockExclusive),
    LDR_FN(nt_, RtlTryAcquireSRWLockShared),
    ZERO_INIT(RtlInitializeConditionVariable),
    LDR_FN(nt_, RtlSleepConditionVariableCS),
    LDR_FN(nt_, RtlSleepConditionVariableSRW),
    LDR_FN(nt_, RtlWakeConditionVariable),
    LDR_FN(nt_, RtlWakeAllConditionVariable),
    ZERO_INIT(RtlRunOnceInitialize),
    LDR_FN(nt_, RtlRunOnceBeginInitialize),
    LDR_FN(nt_, RtlRunOnceComplete),
    LDR_FN(nt_, RtlRunOnceExecuteOnce),
    LDR_FN(nt_, RtlWaitOnAddress),
    LDR_FN(nt_, RtlWakeAddressAll),
    LDR_FN(nt_, RtlWakeAddressSingle),
};
const size_t ntdll_locks_count = sizeof(ntdll_locks_exports) / sizeof(*ntdll_locks_exports);
