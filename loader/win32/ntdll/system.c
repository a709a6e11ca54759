/*
 * The process and the system as NTDLL tells of them: version, status codes and errors, basic
 * information classes, the end of the process, random numbers.
 */
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "loader/ke/os.h"
#include "loader/ke/teb.h"
#include "loader/win32/errors.h"
#include "loader/win32/ntdll/families.h"
#include "loader/win32/process.h"
#include "loader/win32/version.h"

enum { STATUS_REVISION_MISMATCH = (int)0xC0000059 };

/* ---- version ------------------------------------------------------------------------------------
 */

/* Any size but that of the long form gets the short one: the documentation names no failure. */
static nt_status WINAPI_DEF nt_RtlGetVersion(struct win32_version_info *out)
{
    DWORD size = out->size;
    if (size != sizeof(*out))
        out->size = WIN32_VERSION_INFO_SHORT;
    win32_get_version(out);
    out->size = size;
    return STATUS_SUCCESS;
}

/* Of NTDLL itself, whatever the program's image says. The build's upper bits tell a free (0xF) from
 * a checked (0xC) build. */
static void WINAPI_DEF nt_RtlGetNtVersionNumbers(ULONG *major, ULONG *minor, ULONG *build)
{
    if (major)
        *major = ke_os()->major;
    if (minor)
        *minor = ke_os()->minor;
    if (build)
        *build = 0xF0000000u | ke_os()->build;
}

static ULONGLONG WINAPI_DEF nt_VerSetConditionMask(ULONGLONG mask, ULONG types, BYTE condition)
{
    return win32_condition_mask(mask, types, condition);
}

static nt_status WINAPI_DEF nt_RtlVerifyVersionInfo(const struct win32_version_info *wanted,
                                                    ULONG types, ULONGLONG conditions)
{
    switch (win32_verify_version(wanted, types, conditions)) {
    case ERROR_SUCCESS:
        return STATUS_SUCCESS;
    case ERROR_OLD_WIN_VERSION:
        return (nt_status)STATUS_REVISION_MISMATCH;
    default:
        return STATUS_INVALID_PARAMETER;
    }
}

/* LongPathsEnabled is off on a Windows that nobody has changed. */
static BOOLEAN WINAPI_DEF nt_RtlAreLongPathsEnabled(void)
{
    return FALSE;
}

/* ---- errors -------------------------------------------------------------------------------------
 */

static ULONG WINAPI_DEF nt_RtlNtStatusToDosErrorNoTeb(nt_status status)
{
    return win32_error_of_status(status);
}

static ULONG WINAPI_DEF nt_RtlNtStatusToDosError(nt_status status)
{
    ke_teb()->LastStatusValue = status;
    return win32_error_of_status(status);
}

static ULONG WINAPI_DEF nt_RtlGetLastWin32Error(void)
{
    return ke_last_error();
}

static void WINAPI_DEF nt_RtlSetLastWin32Error(ULONG error)
{
    ke_set_last_error(error);
}

static nt_status WINAPI_DEF nt_RtlGetLastNtStatus(void)
{
    return ke_teb()->LastStatusValue;
}

static void WINAPI_DEF nt_RtlSetLastWin32ErrorAndNtStatusFromNtStatus(nt_status status)
{
    ke_set_last_error(nt_RtlNtStatusToDosError(status));
}

/* ---- information --------------------------------------------------------------------------------
 */

enum { SYSTEM_BASIC_INFORMATION_CLASS = 0 };

struct system_basic_information {
    ULONG Reserved, TimerResolution, PageSize, NumberOfPhysicalPages, LowestPhysicalPageNumber,
        HighestPhysicalPageNumber, AllocationGranularity;
    ULONG_PTR MinimumUserModeAddress, MaximumUserModeAddress, ActiveProcessorsAffinityMask;
    BYTE NumberOfProcessors;
};

/* An answer of one size: another length is refused, and told the right one. */
static nt_status answer(const void *info, ULONG size, void *out, ULONG room, ULONG *returned)
{
    if (returned)
        *returned = size;
    if (room != size)
        return (nt_status)STATUS_INFO_LENGTH_MISMATCH;
    if (!out)
        return (nt_status)STATUS_ACCESS_VIOLATION;
    memcpy(out, info, size);
    return STATUS_SUCCESS;
}

static nt_status WINAPI_DEF nt_NtQuerySystemInformation(ULONG info_class, void *out, ULONG size,
                                                        ULONG *returned)
{
    struct system_basic_information info;
    bool x64 = sizeof(void *) == 8;
    if (info_class != SYSTEM_BASIC_INFORMATION_CLASS)
        return (nt_status)STATUS_INVALID_INFO_CLASS;
    memset(&info, 0, sizeof(info));
    info.TimerResolution = 156250; /* 15.625 ms */
    info.PageSize = 0x1000;
    info.NumberOfPhysicalPages = (ULONG)sysconf(_SC_PHYS_PAGES);
    info.LowestPhysicalPageNumber = 1;
    info.HighestPhysicalPageNumber = info.NumberOfPhysicalPages;
    info.AllocationGranularity = 0x10000;
    info.MinimumUserModeAddress = 0x10000;
    info.MaximumUserModeAddress = (ULONG_PTR)(x64 ? 0x7FFFFFFEFFFFull : 0x7FFEFFFFull);
    info.ActiveProcessorsAffinityMask = ke_peb()->ActiveProcessAffinityMask;
    info.NumberOfProcessors = (BYTE)ke_peb()->NumberOfProcessors;
    return answer(&info, sizeof(info), out, size, returned);
}

/* ---- the end ------------------------------------------------------------------------------------
 */

static void WINAPI_DEF nt_RtlExitUserProcess(nt_status code)
{
    ke_process_exit(code);
}

/* ---- random numbers -----------------------------------------------------------------------------
 */

#define RANDOM_MODULUS 0x7FFFFFFFu /* results are 0 ... MAXLONG - 1 */

/* A linear congruential generator modulo 2^31 - 1, as RtlUniform is documented (D. H. Lehmer). */
static ULONG WINAPI_DEF nt_RtlUniform(ULONG *seed)
{
    *seed = (ULONG)(((uint64_t)*seed * 0x7FFFFFEDu + 0x7FFFFFC3u) % RANDOM_MODULUS);
    return *seed;
}

/* The generator's numbers leave in the order of a shuffled table (Knuth's algorithm B). */
static ULONG WINAPI_DEF nt_RtlRandom(ULONG *seed)
{
    static _Atomic ULONG table[128];
    ULONG pick = nt_RtlUniform(seed) % 128, fresh = nt_RtlUniform(seed);
    ULONG result = atomic_exchange(&table[pick], fresh);
    return result ? result : nt_RtlUniform(seed);
}

#define ALIAS(alias, fn)                                                              \
    {                                                                                 \
        .name = #alias, .kind = LDR_EXPORT_FUNCTION, .address = (const void *)nt_##fn \
    }

const struct ldr_builtin_export ntdll_system_exports[] = {
    LDR_FN(nt_, RtlGetVersion),
    LDR_FN(nt_, RtlGetNtVersionNumbers),
    LDR_FN(nt_, VerSetConditionMask),
    LDR_FN(nt_, RtlVerifyVersionInfo),
    LDR_FN(nt_, RtlAreLongPathsEnabled),
    LDR_FN(nt_, RtlNtStatusToDosErrorNoTeb),
    LDR_FN(nt_, RtlNtStatusToDosError),
    LDR_FN(nt_, RtlGetLastWin32Error),
    LDR_FN(nt_, RtlSetLastWin32Error),
    ALIAS(RtlRestoreLastWin32Error, RtlSetLastWin32Error),
    LDR_FN(nt_, RtlGetLastNtStatus),
    LDR_FN(nt_, RtlSetLastWin32ErrorAndNtStatusFromNtStatus),
    NT_ZW(QuerySystemInformation),
    LDR_FN(nt_, RtlExitUserProcess),
    LDR_FN(nt_, RtlUniform),
    LDR_FN(nt_, RtlRandom),
    ALIAS(RtlRandomEx, RtlRandom),
};
const size_t ntdll_system_count = sizeof(ntdll_system_exports) / sizeof(*ntdll_system_exports);
