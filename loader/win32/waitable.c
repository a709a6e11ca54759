/*
 * Handles of waitable objects and named objects (see waitable.h).
 */
#include "loader/win32/waitable.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "loader/ke/apc.h"
#include "loader/ke/ke.h"
#include "loader/win32/errors.h"
#include "loader/win32/process.h"
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
        object = win32_process_object();
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

struct name {
    struct name *next;
    struct ob_object *object; /* a reference; the name goes when it is the last one */
    WCHAR *text;
};

static pthread_mutex_t names_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct name *names;

static bool has_prefix(const WCHAR *name, const char *prefix, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (name[i] != (WCHAR)prefix[i])
            return false;
    return true;
}

/* The part after Local\ or Global\; another backslash names a directory that does not exist. */
static nt_status strip_prefix(const WCHAR **name)
{
    if (has_prefix(*name, "Local\\", 6))
        *name += 6;
    else if (has_prefix(*name, "Global\\", 7))
        *name += 7;
    return win32_wchr(*name, '\\') ? STATUS_OBJECT_PATH_NOT_FOUND : STATUS_SUCCESS;
}

/* The object of that name with a new reference, or NULL. Drops names that nobody has open. Locked.
 */
static struct ob_object *find_name(const WCHAR *text)
{
    struct ob_object *found = NULL;
    for (struct name **link = &names; *link;) {
        struct name *entry = *link;
        if (__atomic_load_n(&entry->object->references, __ATOMIC_ACQUIRE) == 1) {
            *link = entry->next;
            ob_object_unref(entry->object);
            free(entry->text);
            free(entry);
            continue;
        }
        if (!found && win32_wcmp(entry->text, text) == 0) {
            found = entry->object;
            ob_object_ref(found);
        }
        link = &entry->next;
    }
    return found;
}

static nt_status add_name(const WCHAR *text, struct ob_object *object)
{
    struct name *entry = malloc(sizeof(*entry));
    WCHAR *copy = win32_wdup(text, SIZE_MAX);
    if (!entry || !copy) {
        free(entry);
        free(copy);
        return STATUS_NO_MEMORY;
    }
    *entry = (struct name){names, object, copy};
    ob_object_ref(object);
    names = entry;
    return STATUS_SUCCESS;
}

nt_status win32_name_object(const WCHAR *name, struct ob_object *fresh, struct ob_object **out)
{
    *out = fresh;
    if (!name || !*name)
        return STATUS_SUCCESS;
    nt_status status = strip_prefix(&name);
    if (nt_ok(status)) {
        pthread_mutex_lock(&names_mutex);
        struct ob_object *found = find_name(name);
        if (!found)
            status = add_name(name, fresh);
        else if (found->type != fresh->type)
            status = STATUS_OBJECT_TYPE_MISMATCH;
        else
            status = STATUS_OBJECT_NAME_EXISTS;
        pthread_mutex_unlock(&names_mutex);
        if (status == STATUS_OBJECT_NAME_EXISTS)
            *out = found;
        else if (found)
            ob_object_unref(found);
    }
    if (status != STATUS_SUCCESS)
        ob_object_unref(fresh);
    return status;
}

nt_status win32_name_open(const WCHAR *name, const struct ob_type *type, struct ob_object **out)
{
    nt_status status = name ? strip_prefix(&name) : (nt_status)STATUS_INVALID_PARAMETER;
    if (!nt_ok(status))
        return status;
    pthread_mutex_lock(&names_mutex);
    struct ob_object *found = find_name(name);
    pthread_mutex_unlock(&names_mutex);
    if (!found)
        return STATUS_OBJECT_NAME_NOT_FOUND;
    if (found->type != type) {
        ob_object_unref(found);
        return STATUS_OBJECT_TYPE_MISMATCH;
    }
    *out = found;
    return STATUS_SUCCESS;
}

static HANDLE make_handle(struct ob_object *object, uint32_t access, bool inherit)
{
    uint32_t handle = ob_handle_create(object, access, inherit);
    ob_object_unref(object);
    return handle ? win32_handle(handle) : win32_fail_null(ERROR_NOT_ENOUGH_MEMORY);
}

HANDLE win32_create_handle(struct ob_object *fresh, const WCHAR *name, uint32_t access,
                           const SECURITY_ATTRIBUTES *attributes)
{
    struct ob_object *object;
    if (!fresh)
        return win32_fail_null(ERROR_NOT_ENOUGH_MEMORY);
    nt_status status = win32_name_object(name, fresh, &object);
    if (!nt_ok(status)) {
        win32_result(status);
        return NULL;
    }
    HANDLE handle = make_handle(object, access, attributes && attributes->bInheritHandle);
    if (handle)
        ke_set_last_error(status == STATUS_OBJECT_NAME_EXISTS ? ERROR_ALREADY_EXISTS : 0);
    return handle;
}

HANDLE win32_open_handle(const struct ob_type *type, const WCHAR *name, uint32_t access,
                         BOOL inherit)
{
    struct ob_object *object;
    nt_status status = win32_name_open(name, type, &object);
    if (!nt_ok(status)) {
        win32_result(status);
        return NULL;
    }
    return make_handle(object, access, inherit != 0);
}
