/*
 * What can be asked of a process: times, memory, processors, priority, image, word size. Of another
 * process the kernel tells most; what only the process itself knows it is asked for.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "loader/win32/createprocess.h"
#include "loader/win32/errors.h"
#include "loader/win32/hosttime.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/otherprocess.h"
#include "loader/win32/process.h"
#include "loader/win32/strings.h"

/* The id of the process behind a handle, for the host's calls; 0 with the last error set. One that
 * has ended has no answers any more. */
static pid_t host_id(HANDLE handle, uint32_t needed)
{
    struct ob_object *process;
    if (!win32_process_get(handle, needed, &process))
        return 0;
    bool runs = ob_process_is_current(process) || ob_process_exit_code(process) == OB_STILL_ACTIVE;
    pid_t id = (pid_t)ob_process_id(process);
    ob_object_unref(process);
    return runs ? id : win32_fail(ERROR_ACCESS_DENIED);
}

static bool may(HANDLE handle, uint32_t needed)
{
    struct ob_object *process;
    if (!win32_process_get(handle, needed, &process))
        return false;
    ob_object_unref(process);
    return true;
}

/* ---- times and memory ---------------------------------------------------------------------------
 */

static BOOL WINAPI_DEF k32_GetProcessTimes(HANDLE handle, FILETIME *creation, FILETIME *exit_time,
                                           FILETIME *kernel, FILETIME *user)
{
    struct ob_object *process;
    int64_t times[4];
    if (!win32_process_get(handle, PROCESS_QUERY_LIMITED_INFORMATION, &process))
        return FALSE;
    ob_process_times(process, &times[0], &times[1]);
    win32_process_cpu_times(process, &times[2], &times[3]);
    ob_object_unref(process);
    *creation = win32_filetime(times[0]);
    *exit_time = win32_filetime(times[1]);
    *kernel = win32_filetime(times[2]);
    *user = win32_filetime(times[3]);
    return TRUE;
}

struct memory_counters {
    DWORD cb, PageFaultCount;
    SIZE_T PeakWorkingSetSize, WorkingSetSize;
    SIZE_T QuotaPeakPagedPoolUsage, QuotaPagedPoolUsage;
    SIZE_T QuotaPeakNonPagedPoolUsage, QuotaNonPagedPoolUsage;
    SIZE_T PagefileUsage, PeakPagefileUsage;
};

static SIZE_T kib_of(const char *status, const char *field)
{
    const char *at = strstr(status, field);
    return at ? (SIZE_T)strtoull(at + strlen(field), NULL, 10) * 1024 : 0;
}

/* /proc/ID/status, which is text; what could not be read is 0. */
static void read_memory(pid_t id, struct memory_counters *out)
{
    char name[64], text[4096];
    snprintf(name, sizeof(name), "/proc/%d/status", (int)id);
    FILE *file = fopen(name, "re");
    size_t got = file ? fread(text, 1, sizeof(text) - 1, file) : 0;
    if (file)
        fclose(file);
    text[got] = 0;
    out->WorkingSetSize = kib_of(text, "VmRSS:");
    out->PeakWorkingSetSize = kib_of(text, "VmHWM:");
    out->PagefileUsage = out->PeakPagefileUsage = kib_of(text, "RssAnon:");
}

static BOOL WINAPI_DEF k32_K32GetProcessMemoryInfo(HANDLE process, struct memory_counters *out,
                                                   DWORD size)
{
    struct rusage usage = {0};
    pid_t id = host_id(process, PROCESS_QUERY_LIMITED_INFORMATION);
    if (!id)
        return FALSE;
    if (size < sizeof(*out))
        return win32_fail(ERROR_INSUFFICIENT_BUFFER);
    memset(out, 0, sizeof(*out));
    out->cb = sizeof(*out);
    read_memory(id, out);
    if (id == getpid())
        getrusage(RUSAGE_SELF, &usage);
    out->PageFaultCount = (DWORD)(usage.ru_majflt + usage.ru_minflt);
    return TRUE;
}

/* ---- processors ---------------------------------------------------------------------------------
 */

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
    pid_t id = host_id(process, PROCESS_QUERY_LIMITED_INFORMATION);
    if (!id)
        return FALSE;
    if (sched_getaffinity(id, sizeof(set), &set) < 0)
        return win32_fail_errno(errno);
    *process_mask = *system_mask = mask_of_set(&set);
    return TRUE;
}

static BOOL WINAPI_DEF k32_SetProcessAffinityMask(HANDLE process, DWORD_PTR mask)
{
    cpu_set_t set;
    pid_t id = host_id(process, PROCESS_SET_INFORMATION);
    if (!id)
        return FALSE;
    CPU_ZERO(&set);
    for (int i = 0; i < (int)(8 * sizeof(mask)); i++) {
        if (mask >> i & 1)
            CPU_SET(i, &set);
    }
    return (mask && sched_setaffinity(id, sizeof(set), &set) == 0) ||
           win32_fail(ERROR_INVALID_PARAMETER);
}

/* All processors are in group 0. */
static BOOL WINAPI_DEF k32_GetProcessGroupAffinity(HANDLE process, USHORT *count, USHORT *groups)
{
    if (!may(process, PROCESS_QUERY_LIMITED_INFORMATION))
        return FALSE;
    USHORT room = *count;
    *count = 1;
    if (!room)
        return win32_fail(ERROR_INSUFFICIENT_BUFFER);
    groups[0] = 0;
    return TRUE;
}

/* ---- priority -----------------------------------------------------------------------------------
 */

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
    {0x100, -20}, /* REALTIME */
};

bool win32_priority_nice(DWORD class, int *nice_value)
{
    for (size_t i = 0; i < sizeof(priorities) / sizeof(*priorities); i++) {
        if (priorities[i].class == class) {
            *nice_value = priorities[i].nice;
            return true;
        }
    }
    return false;
}

DWORD win32_priority_class(int nice_value)
{
    for (size_t i = 0; i < sizeof(priorities) / sizeof(*priorities); i++) {
        if (priorities[i].nice == nice_value)
            return priorities[i].class;
    }
    return nice_value > 0 ? 0x4000 : 0x8000;
}

static DWORD WINAPI_DEF k32_GetPriorityClass(HANDLE process)
{
    pid_t id = host_id(process, PROCESS_QUERY_LIMITED_INFORMATION);
    return id ? win32_priority_class(getpriority(PRIO_PROCESS, (id_t)id)) : 0;
}

/* Without the right to raise it, Windows too silently gives less than was asked for. */
static BOOL WINAPI_DEF k32_SetPriorityClass(HANDLE process, DWORD class)
{
    int nice_value;
    pid_t id = host_id(process, PROCESS_SET_INFORMATION);
    if (!id)
        return FALSE;
    if (!win32_priority_nice(class, &nice_value))
        return win32_fail(ERROR_INVALID_PARAMETER);
    return setpriority(PRIO_PROCESS, (id_t)id, nice_value) == 0 || errno == EACCES ||
           errno == EPERM || win32_fail_errno(errno);
}

/* Linux has no boost that could be on. */
static BOOL WINAPI_DEF k32_SetProcessPriorityBoost(HANDLE process, BOOL disable)
{
    return may(process, PROCESS_SET_INFORMATION);
}

static BOOL WINAPI_DEF k32_GetProcessPriorityBoost(HANDLE process, BOOL *disabled)
{
    *disabled = TRUE;
    return may(process, PROCESS_QUERY_LIMITED_INFORMATION);
}

/* ---- image --------------------------------------------------------------------------------------
 */

/* malloc'ed, or NULL with the last error: that of a device which is gone for one that has ended. */
static WCHAR *image_path(HANDLE handle)
{
    struct win32_process_info info;
    struct ob_object *process;
    if (!win32_process_get(handle, PROCESS_QUERY_LIMITED_INFORMATION, &process))
        return NULL;
    nt_status status = win32_process_info(process, &info);
    ob_object_unref(process);
    if (status == (nt_status)STATUS_PROCESS_IS_TERMINATING)
        return win32_fail_null(ERROR_GEN_FAILURE);
    return win32_result(status) ? info.image_path : NULL;
}

/* `*size` counts without the NUL; flag 1 asks for NT's own form of the path, which there is not. */
static WCHAR *query_name(HANDLE process, DWORD flags)
{
    if (flags)
        return win32_fail_null(flags == 1 ? ERROR_NOT_SUPPORTED : ERROR_INVALID_PARAMETER);
    return image_path(process);
}

static BOOL WINAPI_DEF k32_QueryFullProcessImageNameW(HANDLE process, DWORD flags, WCHAR *buffer,
                                                      DWORD *size)
{
    WCHAR *path = query_name(process, flags);
    if (!path)
        return FALSE;
    DWORD length = (DWORD)win32_wlen(path);
    bool fits = win32_return_wide(path, length, buffer, *size) <= length;
    free(path);
    if (fits)
        *size = length;
    return fits || win32_fail(ERROR_INSUFFICIENT_BUFFER);
}

static BOOL WINAPI_DEF k32_QueryFullProcessImageNameA(HANDLE process, DWORD flags, char *buffer,
                                                      DWORD *size)
{
    WCHAR *path = query_name(process, flags);
    if (!path)
        return FALSE;
    DWORD length = (DWORD)win32_wlen(path);
    bool fits = win32_return_path(path, length, buffer, *size) <= length;
    free(path);
    if (fits)
        *size = length;
    return fits || win32_fail(ERROR_INSUFFICIENT_BUFFER);
}

/* ---- what a process may be part of --------------------------------------------------------------
 */

static BOOL WINAPI_DEF k32_IsProcessInJob(HANDLE process, HANDLE job, BOOL *result)
{
    if (!may(process, PROCESS_QUERY_LIMITED_INFORMATION))
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
    if (!may(process, PROCESS_QUERY_INFORMATION))
        return FALSE;
    if (!size || size > 64)
        return win32_fail(ERROR_INVALID_PARAMETER);
    memset(out, 0, size);
    return TRUE;
}

/* See otherprocess.h: only a 64-bit system has WOW64. */
static bool is_wow64(HANDLE handle, bool *result)
{
    struct win32_process_info info = {.word = sizeof(void *) * 8};
    struct ob_object *process;
    if (!win32_process_get(handle, PROCESS_QUERY_LIMITED_INFORMATION, &process))
        return false;
    nt_status status = sizeof(void *) == 8 ? win32_process_info(process, &info) : STATUS_SUCCESS;
    ob_object_unref(process);
    *result = sizeof(void *) == 8 && info.word == 32;
    if (nt_ok(status))
        win32_process_info_free(&info);
    return win32_result(status);
}

static BOOL WINAPI_DEF k32_IsWow64Process(HANDLE process, BOOL *result)
{
    bool wow64;
    if (!is_wow64(process, &wow64))
        return FALSE;
    *result = wow64;
    return TRUE;
}

static BOOL WINAPI_DEF k32_IsWow64Process2(HANDLE process, USHORT *machine, USHORT *native)
{
    bool wow64;
    if (!is_wow64(process, &wow64))
        return FALSE;
    *machine = wow64 ? 0x14C : 0; /* IMAGE_FILE_MACHINE_UNKNOWN: not a WOW64 process */
    if (native)
        *native = sizeof(void *) == 8 ? 0x8664 : 0x14C;
    return TRUE;
}

const struct ldr_builtin_export kernel32_processinfo_exports[] = {
    LDR_FN(k32_, GetProcessTimes),
    LDR_FN(k32_, K32GetProcessMemoryInfo),
    LDR_FN(k32_, GetProcessAffinityMask),
    LDR_FN(k32_, SetProcessAffinityMask),
    LDR_FN(k32_, GetProcessGroupAffinity),
    LDR_FN(k32_, GetPriorityClass),
    LDR_FN(k32_, SetPriorityClass),
    LDR_FN(k32_, SetProcessPriorityBoost),
    LDR_FN(k32_, GetProcessPriorityBoost),
    LDR_FN(k32_, QueryFullProcessImageNameA),
    LDR_FN(k32_, QueryFullProcessImageNameW),
    LDR_FN(k32_, IsProcessInJob),
    LDR_FN(k32_, QueryInformationJobObject),
    LDR_FN(k32_, GetProcessMitigationPolicy),
    LDR_FN(k32_, IsWow64Process),
    LDR_FN(k32_, IsWow64Process2),
};
const size_t kernel32_processinfo_count =
    sizeof(kernel32_processinfo_exports) / sizeof(*kernel32_processinfo_exports);
