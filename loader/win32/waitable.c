/*
 * Handles of waitable objects and named objects (see waitable.h).
 */
#include "loader/win32/waitable.h"

#include <stdlib.h>
#include <time.h>

#include "loader/ke/apc.h"
#include "loader/ke/ke.h"
#include "loader/ob/process.h"
#include "loader/win32/errors.h"
#include "loader/win32/strings.h"

#define GENERIC_ALL    0x10000000u
#define MAXIMUM_ACCESS 0x02000000u

nt_status win32_waitable(HANDLE handle, struct ob_object **out)
{
    struct ob_object *object = NULL;
    nt_status status = STATUS_SUCCESS;
    uint32_t access;
    if (handle == CURRENT_THREAD)
        object = ke_thread_current();
    else if (handle == CURRENT_PROCESS)
        object = ob_process_current();
    else
        status = ob_handle_get(win32_ob_handle(handle), NULL, &object, &access);
    if (!nt_ok(status))
        return status;
    if (!object)
        return STATUS_NO_MEMORY;
    if (!object->type->signaled) {
        ob_object_unref(object);
        return STATUS_OBJECT_TYPE_MISMATCH;
    }
    *out = object;
    return STATUS_SUCCESS;
}

nt_status win32_typed(HANDLE handle, const struct ob_type *type, uint32_t needed,
                      struct ob_object **out)
{
    uint32_t access;
    nt_status status = ob_handle_get(win32_ob_handle(handle), type, out, &access);
    if (!nt_ok(status) || (access & needed) == needed || access & (GENERIC_ALL | MAXIMUM_ACCESS))
        return status;
    ob_object_unref(*out);
    *out = NULL; /* a caller may release what it was given */
    return STATUS_ACCESS_DENIED;
}

nt_status win32_thread(HANDLE handle, uint32_t needed, struct ob_object **out)
{
    if (handle != CURRENT_THREAD)
        return win32_typed(handle, &ke_thread_type, needed, out);
    *out = ke_thread_current();
    return STATUS_SUCCESS;
}

nt_status win32_wait(const HANDLE *handles, DWORD count, bool all, DWORD milliseconds)
{
    return win32_wait_alertable(handles, count, all, milliseconds, false);
}

nt_status win32_wait_alertable(const HANDLE *handles, DWORD count, bool all, DWORD milliseconds,
                               bool alertable)
{
    struct ob_object *objects[WIN32_WAIT_MAX];
    uint32_t taken = 0, index = 0;
    nt_status status = STATUS_SUCCESS;
    if (count == 0 || count > WIN32_WAIT_MAX)
        return STATUS_INVALID_PARAMETER;
    while (taken < count && nt_ok(status)) {
        status = win32_waitable(handles[taken], &objects[taken]);
        taken += nt_ok(status);
    }
    if (nt_ok(status))
        status = ke_wait(objects, count, all, milliseconds, alertable, &index);
    while (taken)
        ob_object_unref(objects[--taken]);
    ke_wait_done(status);
    return status == STATUS_SUCCESS ? index : status; /* index holds ABANDONED where it applies */
}

DWORD win32_wait_result(const HANDLE *handles, DWORD count, bool all, DWORD milliseconds)
{
    nt_status status = win32_wait(handles, count, all, milliseconds);
    if (nt_ok(status))
        return status;
    win32_result(status);
    return WAIT_FAILED;
}

DWORD win32_timeout(const int64_t *timeout)
{
    if (!timeout)
        return OB_INFINITE;
    int64_t relative = -*timeout;
    if (*timeout > 0) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        relative = *timeout - INT64_C(116444736000000000) - (int64_t)now.tv_sec * 10000000 -
                   now.tv_nsec / 100;
    }
    if (relative <= 0)
        return 0;
    int64_t rounded = relative / 10000 + (relative % 10000 != 0);
    return rounded < OB_INFINITE ? (DWORD)rounded : OB_INFINITE - 1;
}

static HANDLE make_handle(struct ob_object *object, uint32_t access, bool inherit)
{
    uint32_t handle = ob_handle_create(object, access, inherit);
    ob_object_unref(object);
    return handle ? win32_handle(handle) : win32_fail_null(ERROR_NOT_ENOUGH_MEMORY);
}

HANDLE win32_created(nt_status status, struct ob_object *object, uint32_t access,
                     const SECURITY_ATTRIBUTES *attributes)
{
    if (!win32_result(status))
        return NULL;
    HANDLE handle = make_handle(object, access, attributes && attributes->bInheritHandle);
    if (handle)
        ke_set_last_error(status == STATUS_OBJECT_NAME_EXISTS ? ERROR_ALREADY_EXISTS : 0);
    return handle;
}

/* An empty name is that of the directory itself. */
HANDLE win32_open_handle(const struct ob_record_type *type, const WCHAR *name, uint32_t access,
                         BOOL inherit)
{
    struct ob_name wanted;
    struct ob_object *object;
    bool global;
    if (!name)
        return win32_fail_null(ERROR_INVALID_PARAMETER);
    nt_status status = ob_name_parse(name, &wanted, &global);
    if (nt_ok(status) && wanted.length == 0)
        status = STATUS_OBJECT_TYPE_MISMATCH;
    if (nt_ok(status))
        status = ob_record_open(&wanted, global, type, &object, NULL);
    if (!win32_result(status))
        return NULL;
    return make_handle(object, access, inherit != 0);
}

HANDLE win32_open_handle_a(const struct ob_record_type *type, const char *name, uint32_t access,
                           BOOL inherit)
{
    WCHAR *wide;
    if (!win32_widen(name, &wide))
        return NULL;
    HANDLE handle = win32_open_handle(type, wide, access, inherit);
    free(wide);
    return handle;
}
