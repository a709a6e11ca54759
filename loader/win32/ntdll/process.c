/*
 * Processes in NTDLL: opening, ending, information classes. Layouts: winternl.h and Microsoft's
 * page on NtQueryInformationProcess.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "loader/ke/teb.h"
#include "loader/win32/createprocess.h"
#include "loader/win32/errors.h"
#include "loader/win32/ntdll/families.h"
#include "loader/win32/otherprocess.h"
#include "loader/win32/strings.h"

enum { STATUS_PORT_NOT_SET = (int)0xC0000353, STATUS_INVALID_PARAMETER_MIX = (int)0xC0000030 };

struct client_id {
    ULONG_PTR UniqueProcess, UniqueThread;
};

struct object_attributes {
    ULONG Length;
    HANDLE RootDirectory;
    UNICODE_STRING *ObjectName;
    ULONG Attributes;
    void *SecurityDescriptor, *SecurityQualityOfService;
};

enum { OBJ_INHERIT = 2 };

static nt_status WINAPI_DEF nt_NtOpenProcess(HANDLE *out, ULONG access,
                                             const struct object_attributes *attributes,
                                             const struct client_id *id)
{
    if (!id || !attributes)
        return STATUS_INVALID_PARAMETER;
    if (attributes->ObjectName)
        return (nt_status)STATUS_INVALID_PARAMETER_MIX;
    if (id->UniqueThread || id->UniqueProcess > UINT32_MAX)
        return STATUS_INVALID_CID;
    return win32_process_open((uint32_t)id->UniqueProcess, access,
                              attributes->Attributes & OBJ_INHERIT, out);
}

/* NULL ends the other threads of the process, which cannot be done from outside of them. */
static nt_status WINAPI_DEF nt_NtTerminateProcess(HANDLE handle, nt_status code)
{
    struct ob_object *process;
    if (!handle)
        return (nt_status)STATUS_NOT_SUPPORTED;
    nt_status status = win32_process(handle, PROCESS_TERMINATE, &process);
    if (!nt_ok(status))
        return status;
    status = win32_process_terminate(process, code);
    ob_object_unref(process);
    return status;
}

/* ---- information --------------------------------------------------------------------------------
 */

struct process_basic_information {
    nt_status ExitStatus;
    void *PebBaseAddress;
    ULONG_PTR AffinityMask;
    LONG BasePriority;
    ULONG_PTR UniqueProcessId, InheritedFromUniqueProcessId;
};

union information {
    struct process_basic_information basic;
    LONGLONG times[4]; /* creation, exit, kernel, user */
    ULONG_PTR word;
    ULONG number;
};

enum process_class {
    PROCESS_BASIC = 0,
    PROCESS_TIMES = 4,
    PROCESS_DEBUG_PORT = 7,
    PROCESS_HANDLE_COUNT = 20,
    PROCESS_SESSION = 24,
    PROCESS_WOW64 = 26,
    PROCESS_IMAGE_FILE_NAME = 27,
    PROCESS_DEBUG_OBJECT = 30,
    PROCESS_DEBUG_FLAGS = 31,
    PROCESS_IMAGE_FILE_NAME_WIN32 = 43,
};

/* What only the process can say is zero for one that has ended. */
static nt_status ask(struct ob_object *process, struct win32_process_info *info)
{
    nt_status status = win32_process_info(process, info);
    if (status != (nt_status)STATUS_PROCESS_IS_TERMINATING)
        return status;
    *info = (struct win32_process_info){.word = sizeof(void *) * 8};
    return STATUS_SUCCESS;
}

static nt_status get_basic(struct ob_object *process, union information *out)
{
    struct win32_process_info info;
    nt_status status = ask(process, &info);
    if (!nt_ok(status))
        return status;
    uint32_t id = ob_process_id(process);
    bool reachable = info.peb <= UINTPTR_MAX;
    out->basic = (struct process_basic_information){
        .ExitStatus = ob_process_exit_code(process),
        .PebBaseAddress = reachable ? (void *)(uintptr_t)info.peb : NULL,
        .AffinityMask = ke_peb()->ActiveProcessAffinityMask,
        .BasePriority = 8, /* NORMAL_PRIORITY_CLASS */
        .UniqueProcessId = id,
        .InheritedFromUniqueProcessId = win32_process_parent(id),
    };
    win32_process_info_free(&info);
    return STATUS_SUCCESS;
}

static nt_status get_asked(struct ob_object *process, enum process_class class,
                           union information *out, ULONG *size)
{
    struct win32_process_info info;
    nt_status status = ask(process, &info);
    if (!nt_ok(status))
        return status;
    bool wow64 = sizeof(void *) == 8 && info.word == 32;
    if (class == PROCESS_WOW64) {
        out->word = wow64 ? (ULONG_PTR)info.peb : 0;
        *size = sizeof(out->word);
    } else {
        out->number = info.handle_count;
        *size = sizeof(out->number);
    }
    win32_process_info_free(&info);
    return STATUS_SUCCESS;
}

/* The answers of one size. */
static nt_status get_fixed(struct ob_object *process, enum process_class class,
                           union information *out, ULONG *size)
{
    switch (class) {
    case PROCESS_BASIC:
        *size = sizeof(out->basic);
        return get_basic(process, out);
    case PROCESS_TIMES: {
        int64_t times[4];
        ob_process_times(process, &times[0], &times[1]);
        win32_process_cpu_times(process, &times[2], &times[3]);
        *size = sizeof(out->times);
        memcpy(out->times, times, sizeof(times));
        return STATUS_SUCCESS;
    }
    case PROCESS_DEBUG_PORT:
        *size = sizeof(out->word);
        return STATUS_SUCCESS;
    case PROCESS_SESSION:
    case PROCESS_DEBUG_FLAGS: /* 1: children would not be debugged */
        out->number = 1;
        *size = sizeof(out->number);
        return STATUS_SUCCESS;
    case PROCESS_WOW64:
    case PROCESS_HANDLE_COUNT:
        return get_asked(process, class, out, size);
    case PROCESS_DEBUG_OBJECT:
        return (nt_status)STATUS_PORT_NOT_SET;
    default:
        return (nt_status)STATUS_INVALID_INFO_CLASS;
    }
}

/* A UNICODE_STRING with its characters behind it. */
static nt_status give_path(struct ob_object *process, UNICODE_STRING *out, ULONG room,
                           ULONG *returned)
{
    struct win32_process_info info;
    nt_status status = win32_process_info(process, &info);
    if (!nt_ok(status))
        return status;
    ULONG bytes = (ULONG)(win32_wlen(info.image_path) * sizeof(WCHAR));
    ULONG needed = (ULONG)sizeof(*out) + bytes + (ULONG)sizeof(WCHAR);
    if (returned)
        *returned = needed;
    if (room < needed) {
        status = (nt_status)STATUS_INFO_LENGTH_MISMATCH;
    } else {
        out->Buffer = (WCHAR *)(out + 1);
        out->Length = (USHORT)bytes;
        out->MaximumLength = (USHORT)(bytes + sizeof(WCHAR));
        memcpy(out->Buffer, info.image_path, bytes + sizeof(WCHAR));
    }
    win32_process_info_free(&info);
    return status;
}

/* An answer of one size: another length is refused, and told the right one. */
static nt_status give_fixed(struct ob_object *process, enum process_class class, void *out,
                            ULONG room, ULONG *returned)
{
    union information information;
    ULONG size = 0;
    memset(&information, 0, sizeof(information));
    nt_status status = get_fixed(process, class, &information, &size);
    if (!nt_ok(status))
        return status;
    if (returned)
        *returned = size;
    if (room != size)
        return (nt_status)STATUS_INFO_LENGTH_MISMATCH;
    if (!out)
        return (nt_status)STATUS_ACCESS_VIOLATION;
    memcpy(out, &information, size);
    return STATUS_SUCCESS;
}

static nt_status WINAPI_DEF nt_NtQueryInformationProcess(HANDLE handle, ULONG class, void *out,
                                                         ULONG size, ULONG *returned)
{
    struct ob_object *process;
    nt_status status = win32_process(handle, PROCESS_QUERY_LIMITED_INFORMATION, &process);
    if (!nt_ok(status))
        return status;
    if (class == PROCESS_IMAGE_FILE_NAME || class == PROCESS_IMAGE_FILE_NAME_WIN32)
        status = give_path(process, out, size, returned);
    else
        status = give_fixed(process, class, out, size, returned);
    ob_object_unref(process);
    return status;
}

const struct ldr_builtin_export ntdll_process_exports[] = {
    NT_ZW(OpenProcess),
    NT_ZW(TerminateProcess),
    NT_ZW(QueryInformationProcess),
};
const size_t ntdll_process_count = sizeof(ntdll_process_exports) / sizeof(*ntdll_process_exports);
