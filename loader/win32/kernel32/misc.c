/*
 * What fits nowhere else: arithmetic, application policy, packages, error reporting, atoms'
 * absence.
 */
#include "loader/ke/teb.h"
#include "loader/win32/errors.h"
#include "loader/win32/file.h"
#include "loader/win32/kernel32/families.h"

/* a * b / c, rounded half away from zero; -1 for a division by zero or an overflow. */
static INT WINAPI_DEF k32_MulDiv(INT a, INT b, INT c)
{
    if (!c)
        return -1;
    int64_t product = (int64_t)a * b, divisor = c;
    if (divisor < 0) {
        product = -product;
        divisor = -divisor;
    }
    product += product < 0 ? -(divisor / 2) : divisor / 2;
    int64_t result = product / divisor;
    return result > INT32_MAX || result < INT32_MIN ? -1 : (INT)result;
}

/* ---- application policy: a classic desktop program
 * ------------------------------------------------- */

static LONG policy(LONG *out, LONG value)
{
    *out = value;
    return ERROR_SUCCESS;
}

static LONG WINAPI_DEF k32_AppPolicyGetProcessTerminationMethod(HANDLE token, LONG *out)
{
    return policy(out, 0); /* ExitProcess */
}

static LONG WINAPI_DEF k32_AppPolicyGetThreadInitializationType(HANDLE token, LONG *out)
{
    return policy(out, 0); /* none */
}

static LONG WINAPI_DEF k32_AppPolicyGetShowDeveloperDiagnostic(HANDLE token, LONG *out)
{
    return policy(out, 1); /* show the UI */
}

static LONG WINAPI_DEF k32_AppPolicyGetWindowingModel(HANDLE token, LONG *out)
{
    return policy(out, 2); /* classic desktop */
}

/* ---- packages
 * ----------------------------------------------------------------------------------------- */

static LONG WINAPI_DEF k32_GetCurrentPackageId(UINT *size, BYTE *buffer)
{
    return APPMODEL_ERROR_NO_PACKAGE;
}

static LONG WINAPI_DEF k32_GetCurrentPackageFullName(UINT *size, WCHAR *name)
{
    return APPMODEL_ERROR_NO_PACKAGE;
}

static LONG WINAPI_DEF k32_GetCurrentPackageFamilyName(UINT *size, WCHAR *name)
{
    return APPMODEL_ERROR_NO_PACKAGE;
}

static LONG WINAPI_DEF k32_GetCurrentPackagePath(UINT *size, WCHAR *path)
{
    return APPMODEL_ERROR_NO_PACKAGE;
}

/* ---- Windows Error Reporting: nobody reports, but the flags are the caller's
 * ---------------------------- */

static DWORD wer_flags;

static HRESULT WINAPI_DEF k32_WerSetFlags(DWORD flags)
{
    wer_flags = flags;
    return 0;
}

static HRESULT WINAPI_DEF k32_WerGetFlags(HANDLE process, DWORD *flags)
{
    *flags = wer_flags;
    return 0;
}

static UINT WINAPI_DEF k32_SetHandleCount(UINT count)
{
    return count;
}

/* ---- power, data execution prevention, NUMA
 * -------------------------------------------------------- */

#define ES_CONTINUOUS 0x80000000u

/* A request to stay awake is kept and given back; nothing here puts the machine to sleep. */
static DWORD WINAPI_DEF k32_SetThreadExecutionState(DWORD flags)
{
    static DWORD state = ES_CONTINUOUS;
    if (flags & ~(ES_CONTINUOUS | 0x47u))
        return 0;
    return flags & ES_CONTINUOUS ? __atomic_exchange_n(&state, flags, __ATOMIC_RELAXED)
                                 : __atomic_load_n(&state, __ATOMIC_RELAXED);
}

static DWORD WINAPI_DEF k32_GetSystemDEPPolicy(void)
{
    return 1; /* AlwaysOn: pages are executable only where their protection says so */
}

/* With AlwaysOn a process cannot choose (documentation). */
static BOOL WINAPI_DEF k32_SetProcessDEPPolicy(DWORD flags)
{
    return win32_fail(ERROR_ACCESS_DENIED);
}

struct group_affinity {
    ULONG_PTR mask;
    WORD group, reserved[3];
};

static BOOL WINAPI_DEF k32_GetNumaNodeProcessorMaskEx(USHORT node, struct group_affinity *out)
{
    if (node)
        return win32_fail(ERROR_INVALID_PARAMETER);
    *out = (struct group_affinity){.mask = ke_peb()->ActiveProcessAffinityMask};
    return TRUE;
}

static BOOL WINAPI_DEF k32_GetNumaNodeProcessorMask(BYTE node, ULONGLONG *mask)
{
    if (node)
        return win32_fail(ERROR_INVALID_PARAMETER);
    *mask = ke_peb()->ActiveProcessAffinityMask;
    return TRUE;
}

static BOOL WINAPI_DEF k32_GetNumaProcessorNode(BYTE processor, BYTE *node)
{
    bool exists =
        processor < 8 * sizeof(ULONG_PTR) && (ke_peb()->ActiveProcessAffinityMask >> processor & 1);
    *node = exists ? 0 : 0xFF;
    return exists || win32_fail(ERROR_INVALID_PARAMETER);
}

/* ---- WOW64: there is none, and what would turn its redirection off says so
 * ---------------------------- */

static BOOL WINAPI_DEF k32_Wow64DisableWow64FsRedirection(void **old)
{
    return win32_fail(ERROR_INVALID_FUNCTION);
}

static BOOL WINAPI_DEF k32_Wow64RevertWow64FsRedirection(void *old)
{
    return win32_fail(ERROR_INVALID_FUNCTION);
}

const struct ldr_builtin_export kernel32_misc_exports[] = {
    LDR_FN(k32_, SetThreadExecutionState),
    LDR_FN(k32_, GetSystemDEPPolicy),
    LDR_FN(k32_, SetProcessDEPPolicy),
    LDR_FN(k32_, GetNumaNodeProcessorMask),
    LDR_FN(k32_, GetNumaNodeProcessorMaskEx),
    LDR_FN(k32_, GetNumaProcessorNode),
    LDR_FN(k32_, Wow64DisableWow64FsRedirection),
    LDR_FN(k32_, Wow64RevertWow64FsRedirection),
    LDR_FN(k32_, MulDiv),
    LDR_FN(k32_, AppPolicyGetProcessTerminationMethod),
    LDR_FN(k32_, AppPolicyGetThreadInitializationType),
    LDR_FN(k32_, AppPolicyGetShowDeveloperDiagnostic),
    LDR_FN(k32_, AppPolicyGetWindowingModel),
    LDR_FN(k32_, GetCurrentPackageId),
    LDR_FN(k32_, GetCurrentPackageFullName),
    LDR_FN(k32_, GetCurrentPackageFamilyName),
    LDR_FN(k32_, GetCurrentPackagePath),
    LDR_FN(k32_, WerSetFlags),
    LDR_FN(k32_, WerGetFlags),
    LDR_FN(k32_, SetHandleCount),
};
const size_t kernel32_misc_count = sizeof(kernel32_misc_exports) / sizeof(*kernel32_misc_exports);
