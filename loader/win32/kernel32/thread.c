/*
 * Threads (processthreadsapi.h). Priorities and affinities are kept for images to read back; the
 * host's scheduler is not told.
 */
#include <string.h>

#include "loader/ke/stackguard.h"
#include "loader/ke/suspend.h"
#include "loader/ldr/gate.h"
#include "loader/ldr/ldr.h"
#include "loader/win32/child.h"
#include "loader/win32/errors.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/process.h"
#include "loader/win32/waitable.h"

enum { CREATE_SUSPENDED = 0x4, STACK_SIZE_PARAM_IS_A_RESERVATION = 0x10000 };
enum { PRIORITY_ERROR = 0x7FFFFFFF, PRIORITY_IDLE = -15, PRIORITY_TIME_CRITICAL = 15 };
#define RESUME_FAILED 0xFFFFFFFFu

static nt_status thread_of(HANDLE handle, struct ob_object **out)
{
    return win32_thread(handle, 0, out);
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

/* Suspended at first: handle and id are written before the thread runs. */
static HANDLE WINAPI_DEF k32_CreateThread(const SECURITY_ATTRIBUTES *attributes, SIZE_T size,
                                          ke_thread_start start, void *parameter, DWORD flags,
                                          DWORD *thread_id)
{
    struct ob_object *thread;
    if (flags & ~(DWORD)(CREATE_SUSPENDED | STACK_SIZE_PARAM_IS_A_RESERVATION))
        return win32_fail_null(ERROR_INVALID_PARAMETER);
    nt_status status =
        ke_thread_create(start, parameter, stack_size(size, flags), true, &thread, thread_id, NULL);
    if (!nt_ok(status)) {
        win32_result(status);
        return NULL;
    }
    uint32_t handle =
        ob_handle_create(thread, WIN32_THREAD_ALL_ACCESS, attributes && attributes->bInheritHandle);
    if (!handle)
        ke_thread_terminate(thread, 0);
    else if (!(flags & CREATE_SUSPENDED))
        ke_thread_resume(thread, NULL);
    ob_object_unref(thread);
    return handle ? win32_handle(handle) : win32_fail_null(ERROR_NOT_ENOUGH_MEMORY);
}

/* CreateRemoteThread(Ex) for this process, the only one that can be reached. */
static HANDLE WINAPI_DEF k32_CreateRemoteThreadEx(HANDLE process,
                                                  const SECURITY_ATTRIBUTES *attributes,
                                                  SIZE_T size, ke_thread_start start,
                                                  void *parameter, DWORD flags, void *list,
                                                  DWORD *thread_id)
{
    if (!win32_is_this_process(process))
        return NULL;
    return k32_CreateThread(attributes, size, start, parameter, flags, thread_id);
}

static HANDLE WINAPI_DEF k32_CreateRemoteThread(HANDLE process,
                                                const SECURITY_ATTRIBUTES *attributes, SIZE_T size,
                                                ke_thread_start start, void *parameter, DWORD flags,
                                                DWORD *thread_id)
{
    return k32_CreateRemoteThreadEx(process, attributes, size, start, parameter, flags, NULL,
                                    thread_id);
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

/* A thread of another process (win32/child.h): false when the handle is none. Else `*status`. */
static bool other_process(HANDLE handle, uint32_t needed, enum child_thread_op op, uint32_t *value,
                          nt_status *status)
{
    struct ob_object *thread;
    *status = win32_typed(handle, &child_thread_type, needed, &thread);
    if (*status == (nt_status)STATUS_OBJECT_TYPE_MISMATCH ||
        *status == (nt_status)STATUS_INVALID_HANDLE)
        return false;
    if (nt_ok(*status)) {
        *status = child_thread_request(thread, op, value);
        ob_object_unref(thread);
    }
    return true;
}

static BOOL WINAPI_DEF k32_TerminateThread(HANDLE handle, DWORD code)
{
    struct ob_object *thread;
    nt_status status;
    if (other_process(handle, WIN32_THREAD_TERMINATE, CHILD_THREAD_TERMINATE, &code, &status))
        return win32_result(status);
    status = win32_thread(handle, WIN32_THREAD_TERMINATE, &thread);
    if (!nt_ok(status))
        return win32_result(status);
    bool self = ke_thread_id_of(thread) == ke_thread_id();
    if (self) /* its own record holds it */
        ob_object_unref(thread);
    status = ke_thread_terminate(thread, code); /* does not return for this thread */
    ob_object_unref(thread);
    return win32_result(status);
}

static HANDLE WINAPI_DEF k32_GetCurrentThread(void)
{
    return CURRENT_THREAD;
}

static DWORD WINAPI_DEF k32_GetCurrentThreadId(void)
{
    return ke_thread_id();
}

static bool ids_of(HANDLE handle, DWORD *thread_id, DWORD *process_id)
{
    struct ob_object *thread;
    nt_status status = win32_typed(handle, &child_thread_type, 0, &thread);
    if (nt_ok(status)) {
        *thread_id = child_thread_id(thread);
        *process_id = child_thread_process_id(thread);
    } else {
        status = thread_of(handle, &thread);
        if (!win32_result(status))
            return false;
        *thread_id = ke_thread_id_of(thread);
        *process_id = ke_process_id();
    }
    ob_object_unref(thread);
    return true;
}

static DWORD WINAPI_DEF k32_GetThreadId(HANDLE handle)
{
    DWORD thread_id, process_id;
    return ids_of(handle, &thread_id, &process_id) ? thread_id : 0;
}

static DWORD WINAPI_DEF k32_GetProcessIdOfThread(HANDLE handle)
{
    DWORD thread_id, process_id;
    return ids_of(handle, &thread_id, &process_id) ? process_id : 0;
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
    nt_status status;
    if (other_process(handle, 0, CHILD_THREAD_EXIT_CODE, code, &status))
        return win32_result(status);
    status = thread_of(handle, &thread);
    if (!nt_ok(status))
        return win32_result(status);
    *code = ke_thread_exit_code(thread);
    ob_object_unref(thread);
    return TRUE;
}

typedef nt_status (*count_function)(struct ob_object *thread, uint32_t *previous);

static DWORD change_count(HANDLE handle, count_function change, enum child_thread_op op)
{
    struct ob_object *thread;
    uint32_t previous = RESUME_FAILED;
    nt_status status;
    if (other_process(handle, WIN32_THREAD_SUSPEND_RESUME, op, &previous, &status))
        return win32_result(status) ? previous : RESUME_FAILED;
    status = win32_thread(handle, WIN32_THREAD_SUSPEND_RESUME, &thread);
    if (nt_ok(status)) {
        status = change(thread, &previous);
        ob_object_unref(thread);
    }
    return win32_result(status) ? previous : RESUME_FAILED;
}

static DWORD WINAPI_DEF k32_ResumeThread(HANDLE handle)
{
    return change_count(handle, ke_thread_resume, CHILD_THREAD_RESUME);
}

static DWORD WINAPI_DEF k32_SuspendThread(HANDLE handle)
{
    return change_count(handle, ke_thread_suspend, CHILD_THREAD_SUSPEND);
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

/* Stack that remains for a handler of a stack overflow. */
static BOOL WINAPI_DEF k32_SetThreadStackGuarantee(ULONG *bytes)
{
    struct ke_teb *teb = ke_teb();
    ULONG old = teb->GuaranteedStackBytes;
    if (*bytes)
        teb->GuaranteedStackBytes = (*bytes + 0xFFF) & ~0xFFFu;
    if (*bytes > old)
        ke_stack_arm();
    *bytes = old;
    return TRUE;
}

static void WINAPI_DEF k32_GetCurrentThreadStackLimits(ULONG_PTR *low, ULONG_PTR *high)
{
    const struct ke_teb *teb = ke_teb();
    *low = (ULONG_PTR)teb->DeallocationStack;
    *high = (ULONG_PTR)teb->StackBase;
}

/* Windows wants CONTEXT aligned on x86-64; images that have it elsewhere get along here. */
static BOOL WINAPI_DEF k32_GetThreadContext(HANDLE handle, void *context)
{
    struct ob_object *thread;
    struct ke_context copy;
    nt_status status = win32_thread(handle, WIN32_THREAD_GET_CONTEXT, &thread);
    if (!nt_ok(status))
        return win32_result(status);
    memcpy(&copy, context, sizeof(copy));
    status = ke_thread_get_context(thread, &copy);
    if (nt_ok(status))
        memcpy(context, &copy, sizeof(copy));
    ob_object_unref(thread);
    return win32_result(status);
}

static BOOL WINAPI_DEF k32_SetThreadContext(HANDLE handle, const void *context)
{
    struct ob_object *thread;
    struct ke_context copy;
    nt_status status = win32_thread(handle, WIN32_THREAD_SET_CONTEXT, &thread);
    if (!nt_ok(status))
        return win32_result(status);
    memcpy(&copy, context, sizeof(copy));
    if (ke_thread_id_of(thread) == ke_thread_id()) /* this may be the end of this call */
        ob_object_unref(thread);
    status = ke_thread_set_context(thread, &copy);
    if (ke_thread_id_of(thread) != ke_thread_id())
        ob_object_unref(thread);
    return win32_result(status);
}

#ifdef __x86_64__
/* No thread here is one of WOW64. */
static BOOL WINAPI_DEF k32_Wow64GetThreadContext(HANDLE handle, void *context)
{
    return is_thread(handle) && win32_fail(ERROR_INVALID_PARAMETER);
}

static BOOL WINAPI_DEF k32_Wow64SetThreadContext(HANDLE handle, const void *context)
{
    return is_thread(handle) && win32_fail(ERROR_INVALID_PARAMETER);
}
#endif

const struct ldr_builtin_export kernel32_thread_exports[] = {
    /* Entry points return into it (behaviours, Imports); nobody calls it. */
    {.name = "BaseThreadInitThunk",
     .kind = LDR_EXPORT_FUNCTION,
     .address = (const void *)ldr_gate_return},
    LDR_FN(k32_, CreateThread),
    LDR_FN(k32_, CreateRemoteThread),
    LDR_FN(k32_, CreateRemoteThreadEx),
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
    LDR_FN(k32_, SetThreadStackGuarantee),
    LDR_FN(k32_, GetCurrentThreadStackLimits),
    LDR_FN(k32_, GetThreadContext),
    LDR_FN(k32_, SetThreadContext),
#ifdef __x86_64__
    LDR_FN(k32_, Wow64GetThreadContext),
    LDR_FN(k32_, Wow64SetThreadContext),
    {.name = "Wow64SuspendThread",
     .kind = LDR_EXPORT_FUNCTION,
     .address = (const void *)k32_SuspendThread},
#endif
};
const size_t kernel32_thread_count =
    sizeof(kernel32_thread_exports) / sizeof(*kernel32_thread_exports);
