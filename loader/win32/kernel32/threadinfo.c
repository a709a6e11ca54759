/*
 * What can be asked of a thread: names, times, processors (processthreadsapi.h). Affinities are
 * kept for images to read back; the host's scheduler is not told.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader/ke/thread.h"
#include "loader/win32/errors.h"
#include "loader/win32/heap.h"
#include "loader/win32/hosttime.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/strings.h"
#include "loader/win32/waitable.h"

#define E_OUTOFMEMORY ((HRESULT)0x8007000E)

static struct ke_thread_object *thread_of(HANDLE handle)
{
    struct ob_object *thread;
    return win32_result(win32_thread(handle, 0, &thread)) ? (struct ke_thread_object *)thread
                                                          : NULL;
}

static HRESULT last_error_result(void)
{
    return (HRESULT)(0x80070000 | (ke_last_error() & 0xFFFF)); /* HRESULT_FROM_WIN32 */
}

/* ---- names -------------------------------------------------------------------------------------
 */

/* The host shows 15 bytes; the file belongs to the thread as long as it lives. */
static void show_name(uint32_t id, const WCHAR *description)
{
    char path[64], *name = win32_utf8_of_wide(description, win32_wlen(description));
    if (!name)
        return;
    snprintf(path, sizeof(path), "/proc/self/task/%u/comm", (unsigned)id);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t written = write(fd, name, strnlen(name, 15));
        (void)written; /* a name is a convenience */
        close(fd);
    }
    free(name);
}

static HRESULT WINAPI_DEF k32_SetThreadDescription(HANDLE handle, const WCHAR *description)
{
    struct ke_thread_object *thread = thread_of(handle);
    if (!thread)
        return last_error_result();
    WCHAR *copy = description ? win32_wdup(description, SIZE_MAX) : NULL;
    if (copy) {
        show_name(thread->id, copy);
        ob_wait_lock();
        WCHAR *old = thread->description;
        thread->description = copy;
        ob_wait_unlock();
        free(old);
    }
    ob_object_unref(&thread->header);
    return copy || !description ? 0x10000000 /* a success with a bit that Windows sets too */
                                : E_OUTOFMEMORY;
}

/* "" for a thread without one. The caller frees it with LocalFree. */
static HRESULT WINAPI_DEF k32_GetThreadDescription(HANDLE handle, WCHAR **out)
{
    static const WCHAR nothing[1] = {0};
    struct ke_thread_object *thread = thread_of(handle);
    *out = NULL;
    if (!thread)
        return last_error_result();
    ob_wait_lock();
    const WCHAR *description = thread->description ? thread->description : nothing;
    size_t size = (win32_wlen(description) + 1) * sizeof(WCHAR);
    *out = win32_heap_alloc(0, size);
    if (*out)
        memcpy(*out, description, size);
    ob_wait_unlock();
    ob_object_unref(&thread->header);
    return *out ? 0x10000000 : E_OUTOFMEMORY;
}

/* ---- times -------------------------------------------------------------------------------------
 */

static BOOL WINAPI_DEF k32_GetThreadTimes(HANDLE handle, FILETIME *creation, FILETIME *exit_time,
                                          FILETIME *kernel, FILETIME *user)
{
    struct ke_thread_object *thread = thread_of(handle);
    if (!thread)
        return FALSE;
    struct ke_thread_times times = ke_thread_times_of(thread);
    int64_t epoch = WIN32_EPOCH_SECONDS * WIN32_TICKS;
    *creation = win32_filetime(epoch + times.created / 100);
    *exit_time = win32_filetime(times.ended ? epoch + times.ended / 100 : 0);
    *kernel = win32_filetime(times.kernel / 100);
    *user = win32_filetime(times.user / 100);
    ob_object_unref(&thread->header);
    return TRUE;
}

/* Nanoseconds on a processor: cycles of one that runs at 1 GHz. */
static BOOL WINAPI_DEF k32_QueryThreadCycleTime(HANDLE handle, ULONGLONG *cycles)
{
    struct ke_thread_object *thread = thread_of(handle);
    if (!thread)
        return FALSE;
    struct ke_thread_times times = ke_thread_times_of(thread);
    *cycles = (ULONGLONG)(times.kernel + times.user);
    ob_object_unref(&thread->header);
    return TRUE;
}

/* Transfers are finished when the function that starts them returns. */
static BOOL WINAPI_DEF k32_GetThreadIOPendingFlag(HANDLE handle, BOOL *pending)
{
    struct ke_thread_object *thread = thread_of(handle);
    if (!thread)
        return FALSE;
    *pending = FALSE;
    ob_object_unref(&thread->header);
    return TRUE;
}

/* ---- processors --------------------------------------------------------------------------------
 */

typedef struct {
    WORD Group;
    BYTE Number, Reserved;
} PROCESSOR_NUMBER;

typedef struct {
    ULONG_PTR Mask;
    WORD Group, Reserved[3];
} GROUP_AFFINITY;

static BOOL is_thread(HANDLE handle)
{
    struct ke_thread_object *thread = thread_of(handle);
    if (thread)
        ob_object_unref(&thread->header);
    return thread != NULL;
}

static GROUP_AFFINITY every_processor(void)
{
    return (GROUP_AFFINITY){.Mask = ke_peb()->ActiveProcessAffinityMask};
}

static BOOL WINAPI_DEF k32_GetThreadIdealProcessorEx(HANDLE handle, PROCESSOR_NUMBER *number)
{
    if (!is_thread(handle))
        return FALSE;
    *number = (PROCESSOR_NUMBER){0};
    return TRUE;
}

static BOOL WINAPI_DEF k32_SetThreadIdealProcessorEx(HANDLE handle, const PROCESSOR_NUMBER *ideal,
                                                     PROCESSOR_NUMBER *previous)
{
    if (!is_thread(handle))
        return FALSE;
    if (ideal->Group != 0 || ideal->Number >= ke_peb()->NumberOfProcessors)
        return win32_fail(ERROR_INVALID_PARAMETER);
    if (previous)
        *previous = (PROCESSOR_NUMBER){0};
    return TRUE;
}

static BOOL WINAPI_DEF k32_GetThreadGroupAffinity(HANDLE handle, GROUP_AFFINITY *affinity)
{
    if (!is_thread(handle))
        return FALSE;
    *affinity = every_processor();
    return TRUE;
}

static BOOL WINAPI_DEF k32_SetThreadGroupAffinity(HANDLE handle, const GROUP_AFFINITY *affinity,
                                                  GROUP_AFFINITY *previous)
{
    GROUP_AFFINITY all = every_processor();
    if (!is_thread(handle))
        return FALSE;
    if (affinity->Group != 0 || affinity->Mask == 0 || (affinity->Mask & ~all.Mask) != 0)
        return win32_fail(ERROR_INVALID_PARAMETER);
    if (previous)
        *previous = all;
    return TRUE;
}

/* ---- hints -------------------------------------------------------------------------------------
 */

/* ThreadMemoryPriority, ThreadAbsoluteCpuPriority, ThreadDynamicCodePolicy, ThreadPowerThrottling
 */
enum { INFORMATION_CLASSES = 4, MEMORY_PRIORITY = 0, MEMORY_PRIORITY_NORMAL = 5 };
static const DWORD information_sizes[INFORMATION_CLASSES] = {4, 4, 4, 12};

static BOOL check_information(HANDLE handle, DWORD class, DWORD size)
{
    if (!is_thread(handle))
        return FALSE;
    if (class >= INFORMATION_CLASSES || size != information_sizes[class])
        return win32_fail(ERROR_INVALID_PARAMETER);
    return TRUE;
}

static BOOL WINAPI_DEF k32_SetThreadInformation(HANDLE handle, DWORD class, const void *data,
                                                DWORD size)
{
    return check_information(handle, class, size);
}

static BOOL WINAPI_DEF k32_GetThreadInformation(HANDLE handle, DWORD class, void *data, DWORD size)
{
    if (!check_information(handle, class, size))
        return FALSE;
    memset(data, 0, size);
    if (class == MEMORY_PRIORITY)
        *(DWORD *)data = MEMORY_PRIORITY_NORMAL;
    return TRUE;
}

const struct ldr_builtin_export kernel32_threadinfo_exports[] = {
    LDR_FN(k32_, SetThreadDescription),
    LDR_FN(k32_, GetThreadDescription),
    LDR_FN(k32_, GetThreadTimes),
    LDR_FN(k32_, QueryThreadCycleTime),
    LDR_FN(k32_, GetThreadIOPendingFlag),
    LDR_FN(k32_, GetThreadIdealProcessorEx),
    LDR_FN(k32_, SetThreadIdealProcessorEx),
    LDR_FN(k32_, GetThreadGroupAffinity),
    LDR_FN(k32_, SetThreadGroupAffinity),
    LDR_FN(k32_, SetThreadInformation),
    LDR_FN(k32_, GetThreadInformation),
};
const size_t kernel32_threadinfo_count =
    sizeof(kernel32_threadinfo_exports) / sizeof(*kernel32_threadinfo_exports);
