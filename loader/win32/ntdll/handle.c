/*
 * Handles of any type through the system services (Microsoft's documentation of ZwDuplicateObject,
 * ZwQueryObject, and of the structures in ntifs.h).
 */
#include "loader/win32/handle.h"

#include <string.h>

#include "loader/win32/errors.h"
#include "loader/win32/ntdll/families.h"

enum { OBJ_PROTECT_CLOSE = 1, OBJ_INHERIT = 2 };

static nt_status WINAPI_DEF nt_NtDuplicateObject(HANDLE source_process, HANDLE source,
                                                 HANDLE target_process, HANDLE *target,
                                                 ULONG access, ULONG attributes, ULONG options)
{
    uint32_t flags = attributes & OBJ_INHERIT ? HANDLE_FLAG_INHERIT : 0;
    if (attributes & OBJ_PROTECT_CLOSE)
        flags |= HANDLE_FLAG_PROTECT_FROM_CLOSE;
    return win32_duplicate(source_process, source, target_process, target, access, flags, options);
}

static nt_status WINAPI_DEF nt_NtCompareObjects(HANDLE first, HANDLE second)
{
    return win32_compare(first, second);
}

/* ---- information classes ------------------------------------------------------------------------
 */

enum { OBJECT_BASIC = 0, OBJECT_TYPE = 2, OBJECT_HANDLE_FLAGS = 4 };

typedef struct {
    ULONG Attributes, GrantedAccess, HandleCount, PointerCount, Reserved[10];
} OBJECT_BASIC_INFORMATION;

typedef struct {
    UNICODE_STRING TypeName; /* its text follows the structure */
    ULONG Reserved[22];
} PUBLIC_OBJECT_TYPE_INFORMATION;

typedef struct {
    BOOLEAN Inherit, ProtectFromClose;
} OBJECT_HANDLE_FLAG_INFORMATION;

struct count {
    const struct ob_object *object;
    ULONG handles;
};

static nt_status count_handle(void *user, uint32_t handle, struct ob_object *object,
                              uint32_t access, uint32_t flags)
{
    struct count *count = user;
    count->handles += object == count->object;
    return STATUS_SUCCESS;
}

static nt_status query_basic(HANDLE handle, void *out, ULONG size, ULONG *needed)
{
    OBJECT_BASIC_INFORMATION *info = out;
    struct ob_object *object;
    uint32_t access, flags = 0;
    *needed = sizeof(*info);
    if (size != sizeof(*info))
        return STATUS_INFO_LENGTH_MISMATCH;
    nt_status status = win32_handle_object(handle, &object, &access);
    if (!nt_ok(status))
        return status;
    struct count count = {object, 0};
    ob_handle_each(true, count_handle, &count);
    ob_handle_flags(win32_ob_handle(handle), 0, 0, &flags);
    memset(info, 0, sizeof(*info));
    info->Attributes = (flags & HANDLE_FLAG_INHERIT ? OBJ_INHERIT : 0) |
                       (flags & HANDLE_FLAG_PROTECT_FROM_CLOSE ? OBJ_PROTECT_CLOSE : 0);
    info->GrantedAccess = access;
    info->HandleCount = count.handles;
    info->PointerCount =
        (ULONG)__atomic_load_n(&object->references, __ATOMIC_RELAXED) - 1; /* without ours */
    ob_object_unref(object);
    return STATUS_SUCCESS;
}

static nt_status query_type(HANDLE handle, void *out, ULONG size, ULONG *needed)
{
    PUBLIC_OBJECT_TYPE_INFORMATION *info = out;
    struct ob_object *object;
    uint32_t access;
    nt_status status = win32_handle_object(handle, &object, &access);
    if (!nt_ok(status))
        return status;
    const char *name = object->type->name;
    USHORT length = (USHORT)(strlen(name) * sizeof(WCHAR));
    *needed = (ULONG)(sizeof(*info) + length + sizeof(WCHAR));
    if (size < *needed) {
        status = STATUS_INFO_LENGTH_MISMATCH;
    } else {
        memset(info, 0, *needed);
        info->TypeName =
            (UNICODE_STRING){length, (USHORT)(length + sizeof(WCHAR)), (WCHAR *)(info + 1)};
        for (size_t i = 0; name[i]; i++)
            info->TypeName.Buffer[i] = (WCHAR)name[i];
    }
    ob_object_unref(object);
    return status;
}

static nt_status query_flags(HANDLE handle, void *out, ULONG size, ULONG *needed)
{
    OBJECT_HANDLE_FLAG_INFORMATION *info = out;
    uint32_t flags;
    *needed = sizeof(*info);
    if (size != sizeof(*info))
        return STATUS_INFO_LENGTH_MISMATCH;
    nt_status status = ob_handle_flags(win32_ob_handle(handle), 0, 0, &flags);
    if (!nt_ok(status))
        return status;
    info->Inherit = (flags & HANDLE_FLAG_INHERIT) != 0;
    info->ProtectFromClose = (flags & HANDLE_FLAG_PROTECT_FROM_CLOSE) != 0;
    return STATUS_SUCCESS;
}

static nt_status WINAPI_DEF nt_NtQueryObject(HANDLE handle, ULONG class, void *out, ULONG size,
                                             ULONG *returned)
{
    ULONG needed = 0;
    nt_status status = STATUS_INVALID_INFO_CLASS;
    if (class == OBJECT_BASIC)
        status = query_basic(handle, out, size, &needed);
    else if (class == OBJECT_TYPE)
        status = query_type(handle, out, size, &needed);
    else if (class == OBJECT_HANDLE_FLAGS)
        status = query_flags(handle, out, size, &needed);
    if (returned)
        *returned = needed;
    return status;
}

static nt_status WINAPI_DEF nt_NtSetInformationObject(HANDLE handle, ULONG class, const void *in,
                                                      ULONG size)
{
    const OBJECT_HANDLE_FLAG_INFORMATION *info = in;
    if (class != OBJECT_HANDLE_FLAGS)
        return STATUS_INVALID_INFO_CLASS;
    if (size != sizeof(*info))
        return STATUS_INFO_LENGTH_MISMATCH;
    uint32_t flags = (info->Inherit ? HANDLE_FLAG_INHERIT : 0) |
                     (info->ProtectFromClose ? HANDLE_FLAG_PROTECT_FROM_CLOSE : 0);
    return ob_handle_flags(win32_ob_handle(handle),
                           HANDLE_FLAG_INHERIT | HANDLE_FLAG_PROTECT_FROM_CLOSE, flags, NULL);
}

const struct ldr_builtin_export ntdll_handle_exports[] = {
    NT_ZW(DuplicateObject),
    NT_ZW(CompareObjects),
    NT_ZW(QueryObject),
    NT_ZW(SetInformationObject),
};
const size_t ntdll_handle_count = sizeof(ntdll_handle_exports) / sizeof(*ntdll_handle_exports);
