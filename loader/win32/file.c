/*
 * File objects and their handles (win32/file.h).
 */
#include "loader/win32/file.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "loader/ob/fileshare.h"
#include "loader/ob/port.h"
#include "loader/win32/errors.h"

static void destroy_file(struct ob_object *object)
{
    struct win32_file *file = (struct win32_file *)object;
    win32_file_close(file);
    if (file->port)
        ob_object_unref(file->port);
    free(file->path);
}

static void leave_file(struct ob_object *object)
{
    win32_file_leave((struct win32_file *)object);
}

static bool file_signaled(struct ob_object *object, uint32_t thread_id)
{
    return true; /* no transfer is ever outstanding */
}

static bool file_acquired(struct ob_object *object, uint32_t thread_id)
{
    return false;
}

const struct ob_type win32_file_type = {
    .name = "File",
    .destroy = destroy_file,
    .signaled = file_signaled,
    .acquired = file_acquired,
    .leave = leave_file,
};

/* ---- rights ---- */

uint32_t win32_file_rights(uint32_t access)
{
    static const struct {
        uint32_t generic, rights;
    } map[] = {
        {GENERIC_READ, FILE_GENERIC_READ},
        {GENERIC_WRITE, FILE_GENERIC_WRITE},
        {GENERIC_EXECUTE, FILE_GENERIC_EXECUTE},
        {GENERIC_ALL, FILE_ALL_ACCESS},
    };
    uint32_t rights = access & 0x1FFFFF;
    for (size_t i = 0; i < sizeof(map) / sizeof(*map); i++) {
        if (access & map[i].generic)
            rights |= map[i].rights;
    }
    /* A file's attributes can be read by whoever can list its directory. */
    return rights | FILE_READ_ATTRIBUTES;
}

uint32_t win32_file_claims(uint32_t rights)
{
    uint32_t claims = 0;
    if (rights & (FILE_READ_DATA | FILE_EXECUTE))
        claims |= OB_SHARE_READ;
    if (rights & (FILE_WRITE_DATA | FILE_APPEND_DATA))
        claims |= OB_SHARE_WRITE;
    if (rights & FILE_DELETE)
        claims |= OB_SHARE_DELETE;
    return claims;
}

/* ---- objects and handles ---- */

static uint8_t type_of_mode(mode_t mode)
{
    if (S_ISREG(mode) || S_ISDIR(mode) || S_ISBLK(mode))
        return FILE_TYPE_DISK;
    if (S_ISCHR(mode))
        return FILE_TYPE_CHAR;
    return S_ISFIFO(mode) || S_ISSOCK(mode) ? FILE_TYPE_PIPE : FILE_TYPE_UNKNOWN;
}

struct win32_file *win32_file_new(int fd, uint32_t access, bool owns_fd)
{
    struct stat st;
    struct win32_file *file = ob_object_create(&win32_file_type, sizeof(*file));
    if (!file)
        return NULL;
    file->fd = fd;
    file->owns_fd = owns_fd;
    file->access = access;
    file->share = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
    if (fstat(fd, &st) == 0) {
        file->type = type_of_mode(st.st_mode);
        file->directory = S_ISDIR(st.st_mode);
    }
    return file;
}

nt_status win32_file_handle(struct win32_file *file, uint32_t access, bool inherit, HANDLE *out)
{
    uint32_t handle = ob_handle_create(&file->object, access, inherit);
    ob_object_unref(&file->object);
    *out = win32_handle(handle);
    return handle ? STATUS_SUCCESS : (nt_status)STATUS_NO_MEMORY;
}

HANDLE win32_file_from_fd(int fd, uint32_t access, bool owns_fd)
{
    HANDLE handle;
    uint32_t rights = win32_file_rights(access);
    struct win32_file *file = win32_file_new(fd, rights, false);
    if (!file)
        return INVALID_HANDLE_VALUE;
    /* The descriptor stays the caller's when this fails. */
    ob_object_ref(&file->object);
    nt_status status = win32_file_handle(file, rights, false, &handle);
    file->owns_fd = owns_fd && nt_ok(status);
    ob_object_unref(&file->object);
    return nt_ok(status) ? handle : INVALID_HANDLE_VALUE;
}

/* The file behind a handle that grants all of `all` and, if that is not 0, one of `any`. */
static nt_status get(HANDLE handle, uint32_t all, uint32_t any, struct win32_file **out)
{
    struct ob_object *object;
    uint32_t granted;
    nt_status status = ob_handle_get(win32_ob_handle(handle), &win32_file_type, &object, &granted);
    if (!nt_ok(status))
        return status;
    /* A duplicate may have been asked for with generic rights, and with more than there are. */
    granted = win32_file_rights(granted) & ((struct win32_file *)object)->access;
    if ((all & ~granted) || (any && !(any & granted))) {
        ob_object_unref(object);
        return (nt_status)STATUS_ACCESS_DENIED;
    }
    *out = (struct win32_file *)object;
    return STATUS_SUCCESS;
}

nt_status win32_file_get(HANDLE handle, uint32_t access, struct win32_file **out)
{
    return get(handle, access, 0, out);
}

nt_status win32_file_get_writable(HANDLE handle, struct win32_file **out)
{
    return get(handle, 0, FILE_WRITE_DATA | FILE_APPEND_DATA, out);
}

void win32_file_put(struct win32_file *file)
{
    ob_object_unref(&file->object);
}

/* ---- completion ---- */

void win32_file_signal(HANDLE handle)
{
    struct ob_object *event;
    uint32_t raw = win32_ob_handle(handle) & ~1u; /* bit 0 keeps a completion port out of it */
    if (raw && nt_ok(ob_handle_get(raw, &ob_event_type, &event, NULL))) {
        ob_event_set(event, true);
        ob_object_unref(event);
    }
}

nt_status win32_file_set_port(struct win32_file *file, struct ob_object *port, uintptr_t key)
{
    static pthread_mutex_t port_lock = PTHREAD_MUTEX_INITIALIZER;
    nt_status status = STATUS_INVALID_PARAMETER;
    pthread_mutex_lock(&port_lock);
    if (!file->port) {
        ob_object_ref(port);
        file->port_key = key;
        __atomic_store_n(&file->port, port, __ATOMIC_RELEASE);
        status = STATUS_SUCCESS;
    }
    pthread_mutex_unlock(&port_lock);
    return status;
}

void win32_file_post(struct win32_file *file, nt_status status, uint32_t done, void *context,
                     HANDLE event)
{
    struct ob_object *port = __atomic_load_n(&file->port, __ATOMIC_ACQUIRE);
    struct ob_completion packet = {file->port_key, context, status, done};
    if (port && context && nt_ok(status) && !file->skip_port && !((uintptr_t)event & 1))
        ob_port_post(port, &packet);
}
