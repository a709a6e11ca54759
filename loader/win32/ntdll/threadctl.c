/*
 * Threads as NTDLL has them: creation, suspension, contexts, procedure calls, information. Layouts:
 * winternl.h and the process and thread headers of the Windows driver kit.
 */
#include <string.h>

#include "loader/ke/apc.h"
#include "loader/ke/suspend.h"
#include "loader/win32/errors.h"
#include "loader/win32/hosttime.h"
#include "loader/win32/ntdll/families.h"
#include "loader/win32/process.h"
#include "loader/win32/waitable.h"

typedef struct {
    ULONG_PTR UniqueProcess, UniqueThread;
} CLIENT_ID;

static CLIENT_ID client_id(uint32_t thread)
{
    return (CLIENT_ID){ke_process_id(), thread};
}

/* ---- creation ----------------------------------------------------------------------------------
 */

typedef struct {
    ULONG_PTR Attribute;
    SIZE_T Size;
    void *ValuePtr;
    SIZE_T *ReturnLength;
} PS_ATTRIBUTE;

typedef struct {
    SIZE_T TotalLength;
    PS_ATTRIBUTE Attributes[];
} PS_ATTRIBUTE_LIST;

enum { PS_ATTRIBUTE_CLIENT_ID = 0x10003, PS_ATTRIBUTE_TEB_ADDRESS = 0x10004 };
enum { CREATE_FLAGS_SUSPENDED = 1 };

static void answer(const PS_ATTRIBUTE *attribute, const void *value, SIZE_T size)
{
    if (attribute->Size < size)
        return;
    memcpy(attribute->ValuePtr, value, size);
    if (attribute->ReturnLength)
        *attribute->ReturnLength = size;
}

static void answer_all(const PS_ATTRIBUTE_LIST *list, const struct ke_thread_object *thread)
{
    CLIENT_ID id = client_id(thread->id);
    SIZE_T count = list && list->TotalLength > sizeof(*list)
                       ? (list->TotalLength - sizeof(*list)) / sizeof(PS_ATTRIBUTE)
                       : 0;
    for (SIZE_T i = 0; i < count; i++) {
        if (list->Attributes[i].Attribute == PS_ATTRIBUTE_CLIENT_ID)
            answer(&list->Attributes[i], &id, sizeof(id));
        else if (list->Attributes[i].Attribute == PS_ATTRIBUTE_TEB_ADDRESS)
            answer(&list->Attributes[i], &thread->teb, sizeof(thread->teb));
    }
}

/* Everything is written before the thread runs. */
static nt_status create(HANDLE *out, ULONG access, ke_thread_start start, void *parameter,
                        bool suspended, SIZE_T reserve, const PS_ATTRIBUTE_LIST *list,
                        CLIENT_ID *id)
{
    struct ob_object *thread;
    nt_status status = ke_thread_create(start, parameter, reserve, true, &thread, NULL, NULL);
    if (!nt_ok(status))
        return status;
    uint32_t handle = ob_handle_create(thread, access, 0);
    if (handle) {
        *out = win32_handle(handle);
        answer_all(list, (struct ke_thread_object *)thread);
        if (id)
            *id = client_id(ke_thread_id_of(thread));
        if (!suspended)
            ke_thread_resume(thread, NULL);
    } else {
        status = STATUS_INSUFFICIENT_RESOURCES;
        ke_thread_terminate(thread, 0);
    }
    ob_object_unref(thread);
    return status;
}

static nt_status WINAPI_DEF nt_NtCreateThreadEx(HANDLE *out, ULONG access, const void *attributes,
                                                HANDLE process, ke_thread_start start,
                                                void *parameter, ULONG flags, SIZE_T zero_bits,
                                                SIZE_T commit, SIZE_T reserve,
                                                const PS_ATTRIBUTE_LIST *list)
{
    if (!win32_is_this_process(process))
        return STATUS_INVALID_HANDLE;
    return create(out, access, start, parameter, flags & CREATE_FLAGS_SUSPENDED,
                  reserve > commit ? reserve : commit, list, NULL);
}

static nt_status WINAPI_DEF nt_RtlCreateUserThread(HANDLE process, const void *descriptor,
                                                   BOOLEAN suspended, ULONG zero_bits,
                                                   SIZE_T reserve, SIZE_T commit,
                                                   ke_thread_start start, void *parameter,
                                                   HANDLE *out, CLIENT_ID *id)
{
    HANDLE handle;
    if (!win32_is_this_process(process))
        return STATUS_INVALID_HANDLE;
    nt_status status = create(&handle, WIN32_THREAD_ALL_ACCESS, start, parameter, suspended != 0,
                              reserve > commit ? reserve : commit, NULL, id);
    if (nt_ok(status) && out)
        *out = handle;
    else if (nt_ok(status))
        ob_handle_close(win32_ob_handle(handle));
    return status;
}

static nt_status WINAPI_DEF nt_NtOpenThread(HANDLE *out, ULONG access, const void *attributes,
                                            const CLIENT_ID *id)
{
    if (id->UniqueProcess && id->UniqueProcess != ke_process_id())
        return STATUS_INVALID_CID;
    struct ob_object *thread = ke_thread_by_id((uint32_t)id->UniqueThread);
    if (!thread)
        return STATUS_INVALID_CID;
    uint32_t handle = ob_handle_create(thread, access, 0);
    ob_object_unref(thread);
    *out = win32_handle(handle);
    return handle ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
}

/* ---- stopping ----------------------------------------------------------------------------------
 */

static nt_status change_count(HANDLE handle, ULONG *previous,
                              nt_status (*change)(struct ob_object *thread, uint32_t *previous))
{
    struct ob_object *thread;
    nt_status status = win32_thread(handle, WIN32_THREAD_SUSPEND_RESUME, &thread);
    if (!nt_ok(status))
        return status;
    status = change(thread, previous);
    ob_object_unref(thread);
    return status;
}

static nt_status WINAPI_DEF nt_NtSuspendThread(HANDLE handle, ULONG *previous)
{
    return change_count(handle, previous, ke_thread_suspend);
}

static nt_status WINAPI_DEF nt_NtResumeThread(HANDLE handle, ULONG *previous)
{
    return change_count(handle, previous, ke_thread_resume);
}

static nt_status alert_and_resume(struct ob_object *thread, uint32_t *previous)
{
    ke_thread_alert(thread);
    return ke_thread_resume(thread, previous);
}

static nt_status WINAPI_DEF nt_NtAlertResumeThread(HANDLE handle, ULONG *previous)
{
    return change_count(handle, previous, alert_and_resume);
}

static nt_status WINAPI_DEF nt_NtGetContextThread(HANDLE handle, void *context)
{
    struct ob_object *thread;
    struct ke_context copy;
    nt_status status = win32_thread(handle, WIN32_THREAD_GET_CONTEXT, &thread);
    if (!nt_ok(status))
        return status;
    memcpy(&copy, context, sizeof(copy));
    status = ke_thread_get_context(thread, &copy);
    if (nt_ok(status))
        memcpy(context, &copy, sizeof(copy));
    ob_object_unref(thread);
    return status;
}

static nt_status WINAPI_DEF nt_NtSetContextThread(HANDLE handle, const void *context)
{
    struct ob_object *thread;
    struct ke_context copy;
    nt_status status = win32_thread(handle, WIN32_THREAD_SET_CONTEXT, &thread);
    if (!nt_ok(status))
        return status;
    bool self = ke_thread_id_of(thread) == ke_thread_id();
    memcpy(&copy, context, sizeof(copy));
    if (self) /* its own record holds it; this may be the end of this call */
        ob_object_unref(thread);
    status = ke_thread_set_context(thread, &copy);
    if (!self)
        ob_object_unref(thread);
    return status;
}

/* ---- procedure calls ---------------------------------------------------------------------------
 */

static nt_status WINAPI_DEF nt_NtQueueApcThread(HANDLE handle, const void *function, void *a,
                                                void *b, void *c)
{
    struct ob_object *thread;
    const uintptr_t arguments[KE_APC_ARGUMENTS] = {(uintptr_t)a, (uintptr_t)b, (uintptr_t)c};
    nt_status status = win32_thread(handle, WIN32_THREAD_SET_CONTEXT, &thread);
    if (!nt_ok(status))
        return status;
    status = ke_apc_queue_new(thread, function, 3, arguments);
    ob_object_unref(thread);
    return status;
}

/* `reserve` 1 asks for a call that interrupts the thread wherever it is. */
static nt_status WINAPI_DEF nt_NtQueueApcThreadEx(HANDLE handle, HANDLE reserve,
                                                  const void *function, void *a, void *b, void *c)
{
    if (reserve)
        return STATUS_NOT_SUPPORTED;
    return nt_NtQueueApcThread(handle, function, a, b, c);
}

static nt_status WINAPI_DEF nt_NtTestAlert(void)
{
    return ke_thread_test_alert() ? (nt_status)OB_STATUS_ALERTED : STATUS_SUCCESS;
}

static nt_status WINAPI_DEF nt_NtAlertThread(HANDLE handle)
{
    struct ob_object *thread;
    nt_status status = win32_thread(handle, WIN32_THREAD_ALERT, &thread);
    if (!nt_ok(status))
        return status;
    ke_thread_alert(thread);
    ob_object_unref(thread);
    return STATUS_SUCCESS;
}

/* ---- information -------------------------------------------------------------------------------
 */

enum thread_class {
    THREAD_BASIC = 0,
    THREAD_TIMES = 1,
    THREAD_PRIORITY = 2,
    THREAD_BASE_PRIORITY = 3,
    THREAD_AFFINITY = 4,
    THREAD_START_ADDRESS = 9,
    THREAD_ZERO_TLS = 10,
    THREAD_AM_I_LAST = 12,
    THREAD_IDEAL_PROCESSOR = 13,
    THREAD_PRIORITY_BOOST = 14,
    THREAD_HIDE_FROM_DEBUGGER = 17,
    THREAD_SUSPEND_COUNT = 35,
};

union information {
    struct {
        nt_status ExitStatus;
        void *TebBaseAddress;
        CLIENT_ID ClientId;
        ULONG_PTR AffinityMask;
        LONG Priority, BasePriority;
    } basic;
    int64_t times[4];
    const void *pointer;
    ULONG number;
};

enum { PRIORITY_NORMAL_BASE = 8 };

static SIZE_T get_information(struct ke_thread_object *thread, enum thread_class class,
                              union information *out)
{
    struct ke_thread_times times;
    switch (class) {
    case THREAD_BASIC:
        out->basic.ExitStatus = (nt_status)ke_thread_exit_code(&thread->header);
        out->basic.TebBaseAddress = thread->teb;
        out->basic.ClientId = client_id(thread->id);
        out->basic.AffinityMask = ke_peb()->ActiveProcessAffinityMask;
        out->basic.BasePriority = __atomic_load_n(&thread->priority, __ATOMIC_RELAXED);
        out->basic.Priority = PRIORITY_NORMAL_BASE + out->basic.BasePriority;
        return sizeof(out->basic);
    case THREAD_TIMES:
        times = ke_thread_times_of(thread);
        out->times[0] = WIN32_EPOCH_SECONDS * WIN32_TICKS + times.created / 100;
        out->times[1] = times.ended ? WIN32_EPOCH_SECONDS * WIN32_TICKS + times.ended / 100 : 0;
        out->times[2] = times.kernel / 100;
        out->times[3] = times.user / 100;
        return sizeof(out->times);
    case THREAD_START_ADDRESS:
        out->pointer = thread->start;
        return sizeof(out->pointer);
    case THREAD_AM_I_LAST:
        out->number = ke_thread_is_last();
        return sizeof(out->number);
    case THREAD_PRIORITY_BOOST:
        out->number = 1;
        return sizeof(out->number);
    case THREAD_SUSPEND_COUNT:
        out->number = (ULONG)__atomic_load_n(&thread->suspend_count, __ATOMIC_RELAXED);
        return sizeof(out->number);
    case THREAD_HIDE_FROM_DEBUGGER:
        out->number = thread->hidden;
        return sizeof(BOOLEAN);
    default:
        return 0;
    }
}

static nt_status WINAPI_DEF nt_NtQueryInformationThread(HANDLE handle, ULONG class, void *data,
                                                        ULONG size, ULONG *returned)
{
    struct ob_object *thread;
    union information information = {0};
    nt_status status = win32_thread(handle, 0, &thread);
    if (!nt_ok(status))
        return status;
    SIZE_T length = get_information((struct ke_thread_object *)thread, class, &information);
    ob_object_unref(thread);
    if (length == 0)
        return STATUS_INVALID_INFO_CLASS;
    if (size != length)
        return STATUS_INFO_LENGTH_MISMATCH;
    memcpy(data, &information, length);
    if (returned)
        *returned = (ULONG)length;
    return STATUS_SUCCESS;
}

static nt_status set_information(struct ke_thread_object *thread, enum thread_class class,
                                 const void *data, ULONG size)
{
    switch (class) {
    case THREAD_HIDE_FROM_DEBUGGER: /* no data */
        if (size != 0)
            return STATUS_INFO_LENGTH_MISMATCH;
        thread->hidden = true;
        return STATUS_SUCCESS;
    case THREAD_BASE_PRIORITY:
        if (size != sizeof(LONG))
            return STATUS_INFO_LENGTH_MISMATCH;
        __atomic_store_n(&thread->priority, *(const LONG *)data, __ATOMIC_RELAXED);
        return STATUS_SUCCESS;
    case THREAD_PRIORITY:
    case THREAD_IDEAL_PROCESSOR:
    case THREAD_PRIORITY_BOOST:
        return size == sizeof(ULONG) ? STATUS_SUCCESS : (nt_status)STATUS_INFO_LENGTH_MISMATCH;
    case THREAD_AFFINITY:
        return size == sizeof(ULONG_PTR) ? STATUS_SUCCESS : (nt_status)STATUS_INFO_LENGTH_MISMATCH;
    default:
        return STATUS_INVALID_INFO_CLASS;
    }
}

static nt_status WINAPI_DEF nt_NtSetInformationThread(HANDLE handle, ULONG class, const void *data,
                                                      ULONG size)
{
    struct ob_object *thread;
    nt_status status = win32_thread(handle, 0, &thread);
    if (!nt_ok(status))
        return status;
    status = set_information((struct ke_thread_object *)thread, class, data, size);
    ob_object_unref(thread);
    return status;
}

const struct ldr_builtin_export ntdll_threadctl_exports[] = {
    NT_ZW(CreateThreadEx),
    LDR_FN(nt_, RtlCreateUserThread),
    {.name = "RtlUserThreadStart",
     .kind = LDR_EXPORT_FUNCTION,
     .address = (const void *)ke_user_thread_start},
    NT_ZW(OpenThread),
    NT_ZW(SuspendThread),
    NT_ZW(ResumeThread),
    NT_ZW(AlertResumeThread),
    NT_ZW(GetContextThread),
    NT_ZW(SetContextThread),
    NT_ZW(QueueApcThread),
    NT_ZW(QueueApcThreadEx),
    NT_ZW(TestAlert),
    NT_ZW(AlertThread),
    NT_ZW(QueryInformationThread),
    NT_ZW(SetInformationThread),
};
const size_t ntdll_threadctl_count =
    sizeof(ntdll_threadctl_exports) / sizeof(*ntdll_threadctl_exports);
