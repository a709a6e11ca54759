/*
 * Handles of any type (Microsoft's documentation of DuplicateHandle and CompareObjectHandles).
 */
#include "loader/win32/handle.h"

#include "loader/ke/ke.h"
#include "loader/win32/errors.h"
#include "loader/win32/otherprocess.h"

#define ALL_ACCESS 0x1FFFFFu /* what pseudo handles grant */

nt_status win32_handle_object(HANDLE handle, struct ob_object **out, uint32_t *access)
{
    *access = ALL_ACCESS;
    if (handle == CURRENT_PROCESS)
        *out = ob_process_current();
    else if (handle == CURRENT_THREAD)
        *out = ke_thread_current();
    else
        return ob_handle_get(win32_ob_handle(handle), NULL, out, access);
    return *out ? STATUS_SUCCESS : (nt_status)STATUS_NO_MEMORY;
}

/* A pseudo handle means the source process, or the calling thread; there is nothing to close. */
static nt_status duplicate_pseudo(struct ob_object *from, HANDLE source, struct ob_object *to,
                                  uint32_t *handle, uint32_t access, uint32_t flags,
                                  uint32_t options)
{
    struct ob_object *object;
    if (source == CURRENT_THREAD && !ob_process_is_current(from))
        return STATUS_INVALID_HANDLE;
    object = source == CURRENT_THREAD ? ke_thread_current() : from;
    access = options & OB_DUPLICATE_SAME_ACCESS ? ALL_ACCESS : access;
    nt_status status = ob_duplicate_object(object, to, handle, access, flags, NULL);
    if (source == CURRENT_THREAD)
        ob_object_unref(object);
    return status;
}

nt_status win32_duplicate(HANDLE source_process, HANDLE source, HANDLE target_process,
                          HANDLE *target, uint32_t access, uint32_t flags, uint32_t options)
{
    struct ob_object *from, *to = NULL;
    uint32_t handle = 0;
    nt_status status = win32_process(source_process, PROCESS_DUP_HANDLE, &from);
    if (!nt_ok(status))
        return status;
    if (target_process)
        status = win32_process(target_process, PROCESS_DUP_HANDLE, &to);
    if (!nt_ok(status)) {
        if (options & OB_DUPLICATE_CLOSE_SOURCE) /* whatever else fails */
            ob_duplicate(from, win32_ob_handle(source), NULL, NULL, 0, 0, options, NULL);
    } else if (to && (source == CURRENT_PROCESS || source == CURRENT_THREAD)) {
        status = duplicate_pseudo(from, source, to, &handle, access, flags, options);
    } else {
        status =
            ob_duplicate(from, win32_ob_handle(source), to, &handle, access, flags, options, NULL);
    }
    if (nt_ok(status) && to && target)
        *target = win32_handle(handle);
    ob_object_unref(from);
    if (to)
        ob_object_unref(to);
    return status;
}

nt_status win32_compare(HANDLE first, HANDLE second)
{
    struct ob_object *a = NULL, *b = NULL;
    uint32_t access;
    nt_status status = win32_handle_object(first, &a, &access);
    if (nt_ok(status))
        status = win32_handle_object(second, &b, &access);
    if (nt_ok(status) && a != b)
        status = STATUS_NOT_SAME_OBJECT;
    if (a)
        ob_object_unref(a);
    if (b)
        ob_object_unref(b);
    return status;
}
