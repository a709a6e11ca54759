/*
 * The process: ids, exit, start-up information, times, affinity, priority.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/times.h>
#include <unistd.h>

#include "loader/ke/teb.h"
#include "loader/win32/errors.h"
#include "loader/win32/hosttime.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/process.h"
#include "loader/win32/strings.h"

static HANDLE WINAPI_DEF k32_GetCurrentProcess(void)
{
    return CURRENT_PROCESS;
}

static DWORD WINAPI_DEF k32_GetCurrentProcessId(void)
{
    return ke_process_id();
}

static DWORD WINAPI_DEF k32_GetProcessId(HANDLE process)
{
    return win32_is_this_process(process) ? ke_process_id() : 0;
}

static void WINAPI_DEF k32_ExitProcess(UINT code)
{
    ke_process_exit(code);
}

static BOOL WINAPI_DEF k32_TerminateProcess(HANDLE process, UINT code)
{
    if (!win32_is_this_process(process))
        return FALSE;
    ke_process_terminate(code);
}

static BOOL WINAPI_DEF k32_GetExitCodeProcess(HANDLE process, DWORD *code)
{
    if (!win32_is_this_process(process))
        return FALSE;
    *code = KE_STILL_ACTIVE;
    return TRUE;
}

/* Other processes are out of reach; one that does not exist is an invalid parameter. */
static HANDLE WINAPI_DEF k32_OpenProcess(DWORD access, BOOL inherit, DWORD id)
{
    if (id != ke_process_id())
        return win32_fail_null(ERROR_INVALID_PARAMETER);
    struct ob_object *object = win32_process_object();
    uint32_t handle = object ? ob_handle_create(object, access, inherit ? 1 : 0) : 0;
    if (object)
        ob_object_unref(object);
    return handle ? win32_handle(handle) : win32_fail_null(ERROR_NOT_ENOUGH_MEMORY);
}

/* ---- start-up information
 * --------------------------------------------------------------------------- */

struct startup_info {
    DWORD cb;
    void *lpReserved, *lpDesktop, *lpTitle;
    DWORD dwX, dwY, dwXSize, dwYSize, dwXCountChars, dwYCountChars, dwFillAttribute, dwFlags;
    WORD wShowWindow, cbReserved2;
    void *lpReserved2;
    HANDLE hStdInput, hStdOutput, hStdError;
};

#define STARTF_USESTDHANDLES 0x100

static void fill_startup_info(struct startup_info *out)
{
    const struct ke_process_parameters *parameters = ke_peb()->ProcessParameters;
    memset(out, 0, sizeof(*out));
    out->cb = sizeof(*out);
    out->dwFlags = parameters->WindowFlags | STARTF_USESTDHANDLES;
    out->wShowWindow = (WORD)parameters->ShowWindowFlags;
    out->hStdInput = parameters->StandardInput;
    out->hStdOutput = parameters->StandardOutput;
    out->hStdError = parameters->StandardError;
    out->lpDesktop = parameters->DesktopInfo.Buffer;
    out->lpTitle = parameters->WindowTitle.Buffer;
}

static void WINAPI_DEF k32_GetStartupInfoW(struct startup_info *out)
{
    fill_startup_info(out);
}

static void WINAPI_DEF k32_GetStartupInfoA(struct startup_info *out)
{
    /* The strings live as long as the process. */
    static char *desktop, *title;
    fill_startup_info(out);
    if (!desktop)
        desktop = win32_narrow(out->lpDesktop);
    if (!title)
        title = win32_narrow(out->lpTitle);
    out->lpDesktop = desktop;
    out->lpTitle = title;
}

/* ---- times and memory
 * --------------------------------------------------------------------------------- */

static int64_t ticks_of_timeval(struct timeval time)
{
    return time.tv_sec * WIN32_TICKS + time.tv_usec * 10;
}

/* The start of the process: field 22 of /proc/self/stat, in clock ticks since boot. */
static int64_t start_time(void)
{
    char line[1024];
    unsigned long long start = 0;
    FILE *file = fopen("/proc/self/stat", "re");
    size_t got = file ? fread(line, 1, sizeof(line) - 1, file) : 0;
    if (file)
        fclose(file);
    line[got] = 0;
    const char *rest = strrchr(line, ')'); /* the name may hold anything */
    if (rest)
        sscanf(rest + 2,
               "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
               "%*d %llu",
               &start);
    struct timespec boot;
    clock_gettime(CLOCK_BOOTTIME, &boot);
    int64_t uptime = boot.tv_sec * WIN32_TICKS + boot.tv_nsec / 100;
    int64_t since_boot = (int64_t)(start * (uint64_t)WIN32_TICKS / (uint64_t)sysconf(_SC_CLK_TCK));
    return win32_now() - uptime + since_boot;
}

static BOOL WINAPI_DEF k32_GetProcessTimes(HANDLE process, FILETIME *creation, FILETIME *exit_time,
                                           FILETIME *kernel, FILETIME *user)
{
    struct rusage usage;
    if (!win32_is_this_process(process))
        return FALSE;
    getrusage(RUSAGE_SELF, &usage);
    *creation = win32_filetime(start_time());
    *exit_time = win32_filetime(0);
    *kernel = win32_filetime(ticks_of_timeval(usage.ru_stime));
    *user = win32_filetime(ticks_of_timeval(usage.ru_utime));
    return TRUE;
}

struct memory_counters {
    DWORD cb, PageFaultCount;
    SIZE_T PeakWorkingSetSize, WorkingSetSize;
    SIZE_T QuotaPeakPagedPoolUsage, QuotaPagedPoolUsage;
    SIZE_T QuotaPeakNonPagedPoolUsage, QuotaNonPagedPoolUsage;
    SIZE_T PagefileUsage, PeakPagefileUsage;
};

static BOOL WINAPI_DEF k32_K32GetProcessMemoryInfo(HANDLE process, struct memory_counters *out,
                                                   DWORD size)
{
    struct rusage usage;
    unsigned long total = 0, resident = 0, shared = 0;
    if (!win32_is_this_process(process))
        return FALSE;
    if (size < sizeof(*out))
        return win32_fail(ERROR_INSUFFICIENT_BUFFER);
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file || fscanf(file, "%lu %lu %lu", &total, &resident, &shared) != 3)
        total = resident = shared = 0;
    if (file)
        fclose(file);
    getrusage(RUSAGE_SELF, &usage);
    SIZE_T page = (SIZE_T)sysconf(_SC_PAGESIZE);
    memset(out, 0, sizeof(*out));
    out->cb = sizeof(*out);
    out->PageFaultCount = (DWORD)(usage.ru_majflt + usage.ru_minflt);
    out->WorkingSetSize = resident * page;
    out->PeakWorkingSetSize = (SIZE_T)usage.ru_maxrss * 1024;
    out->PagefileUsage = out->PeakPagefileUsage = (resident - shared) * page;
    return TRUE;
}

/* ---- processors
 * ------------------------------------------------------------------------------------------ */

static DWORD_PTR mask_of_set(const cpu_set_t *set)
{
    DWORD_PTR mask = 0;
    for (int i = 0; i < (int)(8 * sizeof(mask)); i++) {
        if (CPU_ISSET(i, set))
            mask |= (DWORD_PTR)1 << i;
    }
    return mask;
}

static BOOL WINAPI_DEF k32_GetProcessAffinityMask(HANDLE process, DWORD_PTR *process_mask,
                                                  DWORD_PTR *system_mask)
{
    cpu_set_t set;
    if (!win32_is_this_process(process))
        return FALSE;
    if (sched_getaffinity(0, sizeof(set), &set) < 0)
        return win32_fail_errno(errno);
    *process_mask = *system_mask = mask_of_set(&set);
    return TRUE;
}

static BOOL WINAPI_DEF k32_SetProcessAffinityMask(HANDLE process, DWORD_PTR mask)
{
    cpu_set_t set;
    if (!win32_is_this_process(process))
        return FALSE;
    CPU_ZERO(&set);
    for (int i = 0; i < (int)(8 * sizeof(mask)); i++) {
        if (mask >> i & 1)
            CPU_SET(i, &set);
    }
    return (mask && sched_setaffinity(getpid(), sizeof(set), &set) == 0) ||
           win32_fail(ERROR_INVALID_PARAMETER);
}

/* All processors are in group 0. */
static BOOL WINAPI_DEF k32_GetProcessGroupAffinity(HANDLE process, USHORT *count, USHORT *groups)
{
    if (!win32_is_this_process(process))
        return FALSE;
    USHORT room = *count;
    *count = 1;
    if (!room)
        return win32_fail(ERROR_INSUFFICIENT_BUFFER);
    groups[0] = 0;
    return TRUE;
}

/* ---- priority
 * --------------------------------------------------------------------------------------------- */

/* Priority classes and the nice values that come nearest. */
static const struct {
    DWORD class;
    int nice;
} priorities[] = {
    {0x20, 0},    /* NORMAL */
    {0x40, 19},   /* IDLE */
    {0x4000, 10}, /* BELOW_NORMAL */
    {0x8000, -5}, /* ABOVE_NORMAL */
    {0x80, -10},  /* HIGH */
};

static DWORD WINAPI_DEF k32_GetPriorityClass(HANDLE process)
{
    if (!win32_is_this_process(process))
        return 0;
    int nice_value = getpriority(PRIO_PROCESS, 0);
    for (size_t i = 0; i < sizeof(priorities) / sizeof(*priorities); i++) {
        if (priorities[i].nice == nice_value)
            return priorities[i].class;
    }
    return nice_value > 0 ? 0x4000 : 0x8000;
}

/* Without the right to raise it, Windows too silently gives less than was asked for. */
static BOOL WINAPI_DEF k32_SetPriorityClass(HANDLE process, DWORD class)
{
    if (!win32_is_this_process(process))
        return FALSE;
    for (size_t i = 0; i < sizeof(priorities) / sizeof(*priorities); i++) {
        if (priorities[i].class != class)
            continue;
        if (setpriority(PRIO_PROCESS, 0, priorities[i].nice) < 0 && errno != EACCES &&
            errno != EPERM)
            return win32_fail_errno(errno);
        return TRUE;
    }
    return win32_fail(ERROR_INVALID_PARAMETER);
}

/* Linux has no boost that could be on. */
static BOOL WINAPI_DEF k32_SetProcessPriorityBoost(HANDLE process, BOOL disable)
{
    return win32_is_this_process(process);
}

static BOOL WINAPI_DEF k32_GetProcessPriorityBoost(HANDLE process, BOOL *disabled)
{
    *disabled = TRUE;
    return win32_is_this_process(process);
}

/* ---- what a process may be part of
 * --------------------------------------------------------------------------- */

static BOOL WINAPI_DEF k32_IsProcessInJob(HANDLE process, HANDLE job, BOOL *result)
{
    if (!win32_is_this_process(process))
        return FALSE;
    *result = FALSE;
    return TRUE;
}

/* A null handle means the caller's job, and it is in none. */
static BOOL WINAPI_DEF k32_QueryInformationJobObject(HANDLE job, DWORD class, void *out, DWORD size,
                                                     DWORD *returned)
{
    return win32_fail(job ? ERROR_INVALID_HANDLE : ERROR_ACCESS_DENIED);
}

/* None of the mitigations is enforced by us: every policy is all zeroes. */
static BOOL WINAPI_DEF k32_GetProcessMitigationPolicy(HANDLE process, DWORD policy, void *out,
                                                      SIZE_T size)
{
    if (!win32_is_this_process(process))
        return FALSE;
    if (!size || size > 64)
        return win32_fail(ERROR_INVALID_PARAMETER);
    memset(out, 0, size);
    return TRUE;
}

/* A 64-bit build runs 64-bit images and a 32-bit one is a 32-bit system: nothing is emulated. */
static BOOL WINAPI_DEF k32_IsWow64Process(HANDLE process, BOOL *result)
{
    if (!win32_is_this_process(process))
        return FALSE;
    *result = FALSE;
    return TRUE;
}

static BOOL WINAPI_DEF k32_IsWow64Process2(HANDLE process, USHORT *machine, USHORT *native)
{
    if (!win32_is_this_process(process))
        return FALSE;
    *machine = 0; /* IMAGE_FILE_MACHINE_UNKNOWN: not a WOW64 process */
    if (native)
        *native = sizeof(void *) == 8 ? 0x8664 : 0x14C;
    return TRUE;
}

static BOOL WINAPI_DEF k32_ProcessIdToSessionId(DWORD id, DWORD *session)
{
    *session = ke_peb()->SessionId;
    return TRUE;
}

const struct ldr_builtin_export kernel32_process_exports[] = {
    LDR_FN(k32_, GetCurrentProcess),
    LDR_FN(k32_, GetCurrentProcessId),
    LDR_FN(k32_, GetProcessId),
    LDR_FN(k32_, ExitProcess),
    LDR_FN(k32_, TerminateProcess),
    LDR_FN(k32_, GetExitCodeProcess),
    LDR_FN(k32_, OpenProcess),
    LDR_FN(k32_, GetStartupInfoA),
    LDR_FN(k32_, GetStartupInfoW),
    LDR_FN(k32_, GetProcessTimes),
    LDR_FN(k32_, K32GetProcessMemoryInfo),
    LDR_FN(k32_, GetProcessAffinityMask),
    LDR_FN(k32_, SetProcessAffinityMask),
    LDR_FN(k32_, GetProcessGroupAffinity),
    LDR_FN(k32_, GetPriorityClass),
    LDR_FN(k32_, SetPriorityClass),
    LDR_FN(k32_, SetProcessPriorityBoost),
    LDR_FN(k32_, GetProcessPriorityBoost),
    LDR_FN(k32_, IsProcessInJob),
    LDR_FN(k32_, QueryInformationJobObject),
    LDR_FN(k32_, GetProcessMitigationPolicy),
    LDR_FN(k32_, IsWow64Process),
    LDR_FN(k32_, IsWow64Process2),
    LDR_FN(k32_, ProcessIdToSessionId),
};
const size_t kernel32_process_count =
    sizeof(kernel32_process_exports) / sizeof(*kernel32_process_exports);
