/*
 * File objects over host descriptors (win32/file.h): opening, sharing, transfer, information.
 */
#include "loader/win32/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "loader/ob/port.h"
#include "loader/win32/errors.h"
#include "loader/win32/filename.h"
#include "loader/win32/hosttime.h"

static struct win32_file *open_files;
static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;

static void destroy_file(struct ob_object *object)
{
    struct win32_file *file = (struct win32_file *)object;
    pthread_mutex_lock(&open_lock);
    struct win32_file **link = &open_files;
    while (*link && *link != file)
        link = &(*link)->next;
    if (*link)
        *link = file->next;
    pthread_mutex_unlock(&open_lock);
    if (file->delete_on_close && file->path) {
        if (file->directory)
            rmdir(file->path);
        else
            unlink(file->path);
    }
    if (file->owns_fd)
        close(file->fd);
    if (file->port)
        ob_object_unref(file->port);
    free(file->path);
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
};

/* ---- sharing -----------------------------------------------------------------------------------
 */

/* The rights that sharing is about, as FILE_SHARE_* bits. */
static uint32_t shared_rights(uint32_t access)
{
    uint32_t rights = 0;
    if (access & (FILE_READ_DATA | FILE_EXECUTE))
        rights |= FILE_SHARE_READ;
    if (access & (FILE_WRITE_DATA | FILE_APPEND_DATA))
        rights |= FILE_SHARE_WRITE;
    if (access & FILE_DELETE)
        rights |= FILE_SHARE_DELETE;
    return rights;
}

/* Both ways: what I want must be allowed by all others, what they have by me. open_lock held. */
static bool share_conflict(uint64_t dev, uint64_t ino, uint32_t access, uint32_t share)
{
    uint32_t mine = shared_rights(access);
    for (struct win32_file *file = open_files; file; file = file->next) {
        uint32_t theirs = shared_rights(file->access);
        if (file->dev != dev || file->ino != ino || !theirs || !mine)
            continue;
        if ((mine & ~file->share) || (theirs & ~share))
            return true;
    }
    return false;
}

nt_status win32_file_check_share(const char *path, uint32_t access)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return STATUS_SUCCESS;
    pthread_mutex_lock(&open_lock);
    bool conflict = share_conflict(st.st_dev, st.st_ino, access,
                                   FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE);
    pthread_mutex_unlock(&open_lock);
    return conflict ? (nt_status)STATUS_SHARING_VIOLATION : STATUS_SUCCESS;
}

/* ---- opening -----------------------------------------------------------------------------------
 */

static uint32_t map_generic(uint32_t access)
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

static uint8_t type_of_mode(mode_t mode)
{
    if (S_ISREG(mode) || S_ISDIR(mode) || S_ISBLK(mode))
        return FILE_TYPE_DISK;
    if (S_ISCHR(mode))
        return FILE_TYPE_CHAR;
    return S_ISFIFO(mode) || S_ISSOCK(mode) ? FILE_TYPE_PIPE : FILE_TYPE_UNKNOWN;
}

static struct win32_file *new_file(int fd, uint32_t access, bool owns_fd)
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
        file->dev = st.st_dev;
        file->ino = st.st_ino;
    }
    return file;
}

static int host_flags(const struct win32_open *how, uint32_t rights, bool directory)
{
    bool writes = rights & (FILE_WRITE_DATA | FILE_APPEND_DATA);
    bool reads = rights & (FILE_READ_DATA | FILE_EXECUTE);
    int flags = O_CLOEXEC | O_NOCTTY;
    /* A file that may only be asked about needs no right to its data. */
    if (!shared_rights(rights & ~(uint32_t)FILE_DELETE) && how->disposition == OPEN_EXISTING)
        return O_CLOEXEC | O_PATH;
    if (directory)
        return flags | O_RDONLY | O_DIRECTORY;
    flags |= writes ? (reads ? O_RDWR : O_WRONLY) : O_RDONLY;
    if (writes && !(rights & FILE_WRITE_DATA))
        flags |= O_APPEND;
    if (how->flags & FILE_FLAG_WRITE_THROUGH)
        flags |= O_SYNC;
    switch (how->disposition) {
    case CREATE_NEW:
        return flags | O_CREAT | O_EXCL;
    case CREATE_ALWAYS:
        return flags | O_CREAT | O_TRUNC;
    case OPEN_ALWAYS:
        return flags | O_CREAT;
    case TRUNCATE_EXISTING:
        return flags | O_TRUNC;
    default:
        return flags;
    }
}

/* What speaks against opening a path that is there already. */
static nt_status check_existing(const struct stat *st, const struct win32_open *how,
                                uint32_t rights)
{
    bool truncates = how->disposition == CREATE_ALWAYS || how->disposition == TRUNCATE_EXISTING;
    if (how->disposition == CREATE_NEW)
        return (nt_status)STATUS_OBJECT_NAME_COLLISION;
    if (S_ISDIR(st->st_mode)) {
        bool may_open = how->want_directory || (how->flags & FILE_FLAG_BACKUP_SEMANTICS);
        return may_open && !truncates ? STATUS_SUCCESS : (nt_status)STATUS_ACCESS_DENIED;
    }
    if (how->want_directory)
        return (nt_status)STATUS_NOT_A_DIRECTORY;
    /* The read-only attribute binds everyone, root included. */
    bool writes = truncates || (rights & (FILE_WRITE_DATA | FILE_APPEND_DATA));
    if (S_ISREG(st->st_mode) && !(st->st_mode & 0222) && writes)
        return (nt_status)STATUS_ACCESS_DENIED;
    return STATUS_SUCCESS;
}

/* Opens by host path and puts the file on the list of open ones. open_lock held. */
static nt_status open_locked(const char *path, const struct win32_open *how, uint32_t rights,
                             struct win32_file **out, bool *existed)
{
    struct stat st;
    nt_status status = STATUS_SUCCESS;
    *existed = stat(path, &st) == 0;
    if (*existed)
        status = check_existing(&st, how, rights);
    if (nt_ok(status) && *existed && share_conflict(st.st_dev, st.st_ino, rights, how->share))
        status = (nt_status)STATUS_SHARING_VIOLATION;
    if (!nt_ok(status))
        return status;
    mode_t mode = how->flags & FILE_ATTRIBUTE_READONLY ? 0444 : 0666;
    int fd = open(path, host_flags(how, rights, *existed && S_ISDIR(st.st_mode)), mode);
    if (fd < 0)
        return win32_status_of_errno(errno);
    struct win32_file *file = new_file(fd, rights, true);
    char *copy = strdup(path);
    if (!file || !copy) {
        if (file)
            ob_object_unref(&file->object);
        else
            close(fd);
        free(copy);
        return (nt_status)STATUS_NO_MEMORY;
    }
    file->path = copy;
    file->share = how->share;
    file->flags = how->flags;
    file->delete_on_close = how->flags & FILE_FLAG_DELETE_ON_CLOSE;
    file->next = open_files;
    open_files = file;
    *out = file;
    return STATUS_SUCCESS;
}

static nt_status path_to_open(const WCHAR *name, const struct win32_open *how, char **path)
{
    bool must_exist = how->disposition == OPEN_EXISTING || how->disposition == TRUNCATE_EXISTING;
    WCHAR *full = win32_full_path(name);
    if (!full)
        return (nt_status)STATUS_NO_MEMORY;
    const char *device = win32_host_device(full);
    free(full);
    if (!device)
        return win32_host_path(name, must_exist, path);
    *path = strdup(device);
    return *path ? STATUS_SUCCESS : (nt_status)STATUS_NO_MEMORY;
}

nt_status win32_file_open(const WCHAR *name, const struct win32_open *how, HANDLE *out,
                          bool *existed)
{
    char *path;
    struct win32_file *file = NULL;
    uint32_t rights = map_generic(how->access);
    nt_status status = path_to_open(name, how, &path);
    if (!nt_ok(status))
        return status;
    if (how->flags & FILE_FLAG_DELETE_ON_CLOSE)
        rights |= FILE_DELETE;
    pthread_mutex_lock(&open_lock);
    status = open_locked(path, how, rights, &file, existed);
    pthread_mutex_unlock(&open_lock);
    free(path);
    if (!nt_ok(status))
        return status;
    uint32_t handle = ob_handle_create(&file->object, rights, how->inherit);
    ob_object_unref(&file->object);
    *out = win32_handle(handle);
    return handle ? STATUS_SUCCESS : (nt_status)STATUS_NO_MEMORY;
}

HANDLE win32_file_from_fd(int fd, uint32_t access, bool owns_fd)
{
    struct win32_file *file = new_file(fd, map_generic(access), owns_fd);
    if (!file)
        return INVALID_HANDLE_VALUE;
    uint32_t handle = ob_handle_create(&file->object, file->access, 0);
    ob_object_unref(&file->object);
    return handle ? win32_handle(handle) : INVALID_HANDLE_VALUE;
}

nt_status win32_file_get(HANDLE handle, uint32_t access, struct win32_file **out)
{
    struct ob_object *object;
    uint32_t granted;
    nt_status status = ob_handle_get(win32_ob_handle(handle), &win32_file_type, &object, &granted);
    if (!nt_ok(status))
        return status;
    if (access & ~granted) {
        ob_object_unref(object);
        return (nt_status)STATUS_ACCESS_DENIED;
    }
    *out = (struct win32_file *)object;
    return STATUS_SUCCESS;
}

void win32_file_put(struct win32_file *file)
{
    ob_object_unref(&file->object);
}

nt_status win32_file_get_writable(HANDLE handle, struct win32_file **out)
{
    nt_status status = win32_file_get(handle, 0, out);
    if (nt_ok(status) && !((*out)->access & (FILE_WRITE_DATA | FILE_APPEND_DATA))) {
        win32_file_put(*out);
        status = (nt_status)STATUS_ACCESS_DENIED;
    }
    return status;
}

/* ---- transfer -----------------------------------------------------------------------------------
 */

nt_status win32_file_read(struct win32_file *file, void *buffer, uint32_t size,
                          const uint64_t *offset, uint32_t *done)
{
    ssize_t got;
    *done = 0;
    if (file->directory)
        return (nt_status)STATUS_INVALID_DEVICE_REQUEST;
    do {
        bool at = offset && file->type == FILE_TYPE_DISK;
        got = at ? pread(file->fd, buffer, size, (off_t)*offset) : read(file->fd, buffer, size);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return win32_status_of_errno(errno);
    *done = (uint32_t)got;
    if (got || !size || file->type == FILE_TYPE_CHAR)
        return STATUS_SUCCESS;
    return file->type == FILE_TYPE_PIPE ? (nt_status)STATUS_PIPE_BROKEN
                                        : (nt_status)STATUS_END_OF_FILE;
}

/* write() to a pipe without a reader raises SIGPIPE: Windows has no such thing. */
static ssize_t write_quietly(const struct win32_file *file, const void *buffer, size_t size)
{
    sigset_t pipe_set, old, pending;
    struct timespec zero = {0};
    if (file->type != FILE_TYPE_PIPE)
        return write(file->fd, buffer, size);
    sigemptyset(&pipe_set);
    sigaddset(&pipe_set, SIGPIPE);
    sigpending(&pending);
    bool was_pending = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_set, &old);
    ssize_t wrote = write(file->fd, buffer, size);
    int error = errno;
    if (wrote < 0 && error == EPIPE && !was_pending) {
        while (sigtimedwait(&pipe_set, NULL, &zero) < 0 && errno == EINTR)
            ;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = error;
    return wrote;
}

nt_status win32_file_write(struct win32_file *file, const void *buffer, uint32_t size,
                           const uint64_t *offset, uint32_t *done)
{
    /* An offset of all ones means the end of the file (WriteFile's documentation). */
    bool at = offset && *offset != UINT64_MAX && file->type == FILE_TYPE_DISK;
    *done = 0;
    if (offset && *offset == UINT64_MAX && lseek(file->fd, 0, SEEK_END) < 0)
        return win32_status_of_errno(errno);
    while (*done < size) {
        const char *from = (const char *)buffer + *done;
        ssize_t wrote = at ? pwrite(file->fd, from, size - *done, (off_t)(*offset + *done))
                           : write_quietly(file, from, size - *done);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0 && errno == EFAULT)
            return (nt_status)STATUS_INVALID_USER_BUFFER;
        if (wrote < 0)
            return *done ? STATUS_SUCCESS : win32_status_of_errno(errno);
        *done += (uint32_t)wrote;
    }
    return STATUS_SUCCESS;
}

void win32_file_follow(struct win32_file *file, uint64_t offset, uint32_t done)
{
    if (!(file->flags & FILE_FLAG_OVERLAPPED) && file->type == FILE_TYPE_DISK &&
        offset != UINT64_MAX)
        lseek(file->fd, (off_t)(offset + done), SEEK_SET);
}

void win32_file_signal(HANDLE handle)
{
    struct ob_object *event;
    uint32_t raw = win32_ob_handle(handle) & ~1u; /* bit 0 keeps a completion port out of it */
    if (raw && nt_ok(ob_handle_get(raw, &ob_event_type, &event, NULL))) {
        ob_event_set(event, true);
        ob_object_unref(event);
    }
}

/* ---- information --------------------------------------------------------------------------------
 */

static int64_t statx_ticks(const struct statx_timestamp *time)
{
    return win32_ticks(time->tv_sec, time->tv_nsec);
}

nt_status win32_file_info(int fd, const char *path, struct win32_file_info *out)
{
    struct statx stx;
    int dir = path ? AT_FDCWD : fd, flags = path ? 0 : AT_EMPTY_PATH;
    int failed = statx(dir, path ? path : "", flags, STATX_BASIC_STATS | STATX_BTIME, &stx);
    if (failed && path && errno == ENOENT)
        failed = statx(dir, path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &stx);
    if (failed)
        return win32_status_of_errno(errno);
    memset(out, 0, sizeof(*out));
    out->directory = S_ISDIR(stx.stx_mode);
    out->attributes = out->directory ? FILE_ATTRIBUTE_DIRECTORY : FILE_ATTRIBUTE_ARCHIVE;
    if (S_ISREG(stx.stx_mode) && !(stx.stx_mode & 0222))
        out->attributes |= FILE_ATTRIBUTE_READONLY;
    out->access = statx_ticks(&stx.stx_atime);
    out->write = statx_ticks(&stx.stx_mtime);
    out->change = statx_ticks(&stx.stx_ctime);
    out->creation = stx.stx_mask & STATX_BTIME ? statx_ticks(&stx.stx_btime) : out->write;
    out->size = out->directory ? 0 : stx.stx_size;
    out->allocation = out->directory ? 0 : stx.stx_blocks * 512;
    out->links = stx.stx_nlink;
    out->dev = makedev(stx.stx_dev_major, stx.stx_dev_minor);
    out->ino = stx.stx_ino;
    return STATUS_SUCCESS;
}

nt_status win32_file_delete(const char *path)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return win32_status_of_errno(errno);
    if (S_ISDIR(st.st_mode) || (S_ISREG(st.st_mode) && !(st.st_mode & 0222)))
        return (nt_status)STATUS_ACCESS_DENIED;
    nt_status status = win32_file_check_share(path, FILE_DELETE);
    if (!nt_ok(status))
        return status;
    return unlink(path) < 0 ? win32_status_of_errno(errno) : STATUS_SUCCESS;
}

nt_status win32_file_set_port(struct win32_file *file, struct ob_object *port, uintptr_t key)
{
    nt_status status = STATUS_INVALID_PARAMETER;
    pthread_mutex_lock(&open_lock);
    if (!file->port) {
        ob_object_ref(port);
        file->port_key = key;
        __atomic_store_n(&file->port, port, __ATOMIC_RELEASE);
        status = STATUS_SUCCESS;
    }
    pthread_mutex_unlock(&open_lock);
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
