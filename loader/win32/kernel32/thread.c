/*
 * Threads (processthreadsapi.h). Priorities and affinities are kept for images to read back; the
 * host's scheduler is not told.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader/ke/teb.h"
#include "loader/ldr/gate.h"
#include "loader/ldr/ldr.h"
#include "loader/win32/errors.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/strings.h"
#include "loader/win32/waitable.h"

enum { CREATE_SUSPENDED = 0x4, STACK_SIZE_PARAM_IS_A_RESERVATION = 0x10000 };
enum { THREAD_ALL_ACCESS = 0x1FFFFF };
enum { PRIORITY_ERROR = 0x7FFFFFFF, PRIORITY_IDLE = -15, PRIORITY_TIME_CRITICAL = 15 };
#define RESUME_FAILED 0xFFFFFFFFu

static nt_status thread_of(HANDLE handle, struct ob_object **out)
{
    if (handle != CURRENT_THREAD)
        return ob_handle_get(win32_ob_handle(handle), &ke_thread_type, out, NULL);
    *out = ke_thread_current();
    return STATUS_SUCCESS;
}

/* Without the flag, `size` is what to commit at first: the stack is as large as the EXE says, at
 * least that much. */
static uint64_t stack_size(SIZE_T size, DWORD flags)
{
    struct ldr_module *exe = ldr_find(NULL);
    uint64_t reserve = exe ? ldr_module_image(exe)->h.size_of_stack_reserve : 0x100000;
    if (flags & STACK_SIZE_PARAM_IS_A_RESERVATION)
        return size;
    return size > reserve ? (size + 0xFFFFFu) & ~(uint64_t)0xFFFFF : 0;
}

static HANDLE WINAPI_DEF k32_CreateThread(const SECURITY_ATTRIBUTES *attributes, SIZE_T size,
                                          ke_thread_start start, void *parameter, DWORD flags,
                                          DWORD *thread_id)
{
    struct ob_object *thread;
    if (flags & ~(DWORD)(CREATE_SUSPENDED | STACK_SIZE_PARAM_IS_A_RESERVATION))
        return win32_fail_null(ERROR_INVALID_PARAMETER);
    nt_status status = ke_thread_create(start, parameter, stack_size(size, flags),
                                        flags & CREATE_SUSPENDED, &thread, thread_id, NULL);
    if (!nt_ok(status)) {
        win32_result(status);
        return NULL;
    }
    uint32_t handle =
        ob_handle_create(thread, THREAD_ALL_ACCESS, attributes && attributes->bInheritHandle);
    ob_object_unref(thread);
    return handle ? win32_handle(handle) : win32_fail_null(ERROR_NOT_ENOUGH_MEMORY);
}

static void WINAPI_DEF k32_ExitThread(DWORD code)
{
    ke_thread_exit(code);
}

static void WINAPI_DEF k32_FreeLibraryAndExitThread(HMODULE module, DWORD code)
{
    struct ldr_module *loaded = ldr_find_by_address((uintptr_t)module);
    if (loaded)
        ldr_unload(loaded, NULL);
    ke_thread_exit(code); /* nothing here returns to the module */
}

/* Another thread cannot be stopped at an arbitrary instruction: it may hold a lock of the host. */
static BOOL WINAPI_DEF k32_TerminateThread(HANDLE handle, DWORD code)
{
    struct ob_object *thread;
    nt_status status = thread_of(handle, &thread);
    if (!nt_ok(status))
        return win32_result(status);
    bool self = ke_thread_id_of(thread) == ke_thread_id();
    ob_object_unref(thread);
    if (self)
        ke_thread_exit(code);
    return win32_fail(ERROR_NOT_SUPPORTED);
}

static HANDLE WINAPI_DEF k32_GetCurrentThread(void)
{
    return CURRENT_THREAD;
}

static DWORD WINAPI_DEF k32_GetCurrentThreadId(void)
{
    return ke_thread_id();
}

static DWORD WINAPI_DEF k32_GetThreadId(HANDLE handle)
{
    struct ob_object *thread;
    nt_status status = thread_of(handle, &thread);
    if (!nt_ok(status))
        return (DWORD)win32_result(status);
    DWORD id = ke_thread_id_of(thread);
    ob_object_unref(thread);
    return id;
}

static DWORD WINAPI_DEF k32_GetProcessIdOfThread(HANDLE handle)
{
    return k32_GetThreadId(handle) ? ke_process_id() : 0;
}

static HANDLE WINAPI_DEF k32_OpenThread(DWORD access, BOOL inherit, DWORD id)
{
    struct ob_object *thread = ke_thread_by_id(id);
    if (!thread)
        return win32_fail_null(ERROR_INVALID_PARAMETER);
    uint32_t handle = ob_handle_create(thread, access, inherit != 0);
    ob_object_unref(thread);
    return handle ? win32_handle(handle) : win32_fail_null(ERROR_NOT_ENOUGH_MEMORY);
}

static BOOL WINAPI_DEF k32_GetExitCodeThread(HANDLE handle, DWORD *code)
{
    struct ob_object *thread;
    nt_status status = thread_of(handle, &thread);
    if (!nt_ok(status))
        return win32_result(status);
    *code = ke_thread_exit_code(thread);
    ob_object_unref(thread);
    return TRUE;
}

typedef nt_status (*count_function)(struct ob_object *thread, uint32_t *previous);

static DWORD change_count(HANDLE handle, count_function change)
{
    struct ob_object *thread;
    uint32_t previous = RESUME_FAILED;
    nt_status status = thread_of(handle, &thread);
    if (nt_ok(status)) {
        status = change(thread, &previous);
        ob_object_unref(thread);
    }
    return win32_result(status) ? previous : RESUME_FAILED;
}

static DWORD WINAPI_DEF k32_ResumeThread(HANDLE handle)
{
    return change_count(handle, ke_thread_resume);
}

static DWORD WINAPI_DEF k32_SuspendThread(HANDLE handle)
{
    return change_count(handle, ke_thread_suspend);
}

static BOOL WINAPI_DEF k32_SetThreadPriority(HANDLE handle, int priority)
{
    struct ob_object *thread;
    bool extreme = priority == PRIORITY_IDLE || priority == PRIORITY_TIME_CRITICAL;
    if ((priority < -2 || priority > 2) && !extreme)
        return win32_fail(ERROR_INVALID_PARAMETER);
    nt_status status = thread_of(handle, &thread);
    if (!nt_ok(status))
        return win32_result(status);
    __atomic_store_n(ke_thread_priority_of(thread), priority, __ATOMIC_RELAXED);
    ob_object_unref(thread);
    return TRUE;
}

static int WINAPI_DEF k32_GetThreadPriority(HANDLE handle)
{
    struct ob_object *thread;
    nt_status status = thread_of(handle, &thread);
    if (!win32_result(status))
        return PRIORITY_ERROR;
    int priority = __atomic_load_n(ke_thread_priority_of(thread), __ATOMIC_RELAXED);
    ob_object_unref(thread);
    return priority;
}

static bool is_thread(HANDLE handle)
{
    struct ob_object *thread;
    nt_status status = thread_of(handle, &thread);
    if (nt_ok(status))
        ob_object_unref(thread);
    return win32_result(status);
}

/* There is no priority boost to turn off. */
static BOOL WINAPI_DEF k32_SetThreadPriorityBoost(HANDLE handle, BOOL disable)
{
    return is_thread(handle);
}

static BOOL WINAPI_DEF k32_GetThreadPriorityBoost(HANDLE handle, BOOL *disabled)
{
    if (!is_thread(handle))
        return FALSE;
    *disabled = TRUE;
    return TRUE;
}

/* The previous mask: every processor of the process. */
static DWORD_PTR WINAPI_DEF k32_SetThreadAffinityMask(HANDLE handle, DWORD_PTR mask)
{
    DWORD_PTR all = ke_peb()->ActiveProcessAffinityMask;
    if (!is_thread(handle))
        return 0;
    if (mask == 0 || (mask & ~all) != 0)
        return (DWORD_PTR)win32_fail(ERROR_INVALID_PARAMETER);
    return all;
}

static DWORD WINAPI_DEF k32_SetThreadIdealProcessor(HANDLE handle, DWORD processor)
{
    return is_thread(handle) ? 0 : RESUME_FAILED;
}

/* The host shows 15 bytes of a thread's name; the file belongs to the thread as long as it lives.
 */
static HRESULT WINAPI_DEF k32_SetThreadDescription(HANDLE handle, const WCHAR *description)
{
    char path[64], *name = win32_utf8_of_wide(description, win32_wlen(description));
    DWORD id = k32_GetThreadId(handle);
    if (!name || id == 0) {
        free(name);
        return (HRESULT)(name ? 0x80070006 : 0x8007000E); /* E_HANDLE, E_OUTOFMEMORY */
    }
    snprintf(path, sizeof(path), "/proc/self/task/%u/comm", (unsigned)id);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t written = write(fd, name, strnlen(name, 15));
        (void)written; /* a name is a convenience */
        close(fd);
    }
    free(name);
    return (HRESULT)0x10000000; /* a success with a bit that Windows sets too */
}

/* Stack that remains for a handler of a stack overflow; only remembered. */
static BOOL WINAPI_DEF k32_SetThreadStackGuarantee(ULONG *bytes)
{
    struct ke_teb *teb = ke_teb();
    ULONG old = teb->GuaranteedStackBytes;
    if (*bytes)
        teb->GuaranteedStackBytes = (*bytes + 0xFFF) & ~0xFFFu;
    *bytes = old;
    return TRUE;
}

static void WINAPI_DEF k32_GetCurrentThreadStackLimits(ULONG_PTR *low, ULONG_PTR *high)
{
    const struct ke_teb *teb = ke_teb();
    *low = (ULONG_PTR)teb->DeallocationStack;
    *high = (ULONG_PTR)teb->StackBase;
}

/* The registers of a running thread cannot be had without stopping it. */
static BOOL WINAPI_DEF k32_GetThreadContext(HANDLE handle, void *context)
{
    return is_thread(handle) && win32_fail(ERROR_NOT_SUPPORTED);
}

static BOOL WINAPI_DEF k32_SetThreadContext(HANDLE handle, const void *context)
{
    return is_thread(handle) && win32_fail(ERROR_NOT_SUPPORTED);
}

const struct ldr_builtin_export kernel32_thread_exports[] = {
    /* Entry points return into it (behaviours, Imports); nobody calls it. */
    {.name = "BaseThreadInitThunk",
     .kind = LDR_EXPORT_FUNCTION,
     .address = (const void *)ldr_gate_return},
    LDR_FN(k32_, CreateThread),
    LDR_FN(k32_, ExitThread),
    LDR_FN(k32_, FreeLibraryAndExitThread),
    LDR_FN(k32_, TerminateThread),
    LDR_FN(k32_, GetCurrentThread),
    LDR_FN(k32_, GetCurrentThreadId),
    LDR_FN(k32_, GetThreadId),
    LDR_FN(k32_, GetProcessIdOfThread),
    LDR_FN(k32_, OpenThread),
    LDR_FN(k32_, GetExitCodeThread),
    LDR_FN(k32_, ResumeThread),
    LDR_FN(k32_, SuspendThread),
    LDR_FN(k32_, SetThreadPriority),
    LDR_FN(k32_, GetThreadPriority),
    LDR_FN(k32_, SetThreadPriorityBoost),
    LDR_FN(k32_, GetThreadPriorityBoost),
    LDR_FN(k32_, SetThreadAffinityMask),
    LDR_FN(k32_, SetThreadIdealProcessor),
    LDR_FN(k32_, SetThreadDescription),
    LDR_FN(k32_, SetThreadStackGuarantee),
    LDR_FN(k32_, GetCurrentThreadStackLimits),
    LDR_FN(k32_, GetThreadContext),
    LDR_FN(k32_, SetThreadContext),
};
const size_t kernel32_thread_count =
    sizeof(kernel32_thread_exports) / sizeof(*kernel32_thread_exports);
