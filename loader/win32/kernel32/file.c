/*
 * Opening, reading and writing files (win32/file.h does the work).
 *
 * Transfers are synchronous also on overlapped handles, which the API allows: the operation is
 * complete when the call returns, the OVERLAPPED says so and its event is set.
 */
#include "loader/win32/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/ob/fileshare.h"
#include "loader/win32/errors.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/strings.h"

#define INVALID_FILE_SIZE 0xFFFFFFFFu
enum { LOCKFILE_FAIL_IMMEDIATELY = 1, LOCKFILE_EXCLUSIVE_LOCK = 2 };

/* ---- opening --------------------------------------------------------------------------------- */

static HANDLE WINAPI_DEF k32_CreateFileW(const WCHAR *name, DWORD access, DWORD share,
                                         const SECURITY_ATTRIBUTES *security, DWORD disposition,
                                         DWORD flags, HANDLE template_file)
{
    struct win32_open how = {
        .access = access,
        .share = share,
        .disposition = disposition,
        .flags = flags,
        .inherit = security && security->bInheritHandle,
    };
    HANDLE handle = INVALID_HANDLE_VALUE;
    bool existed = false;
    bool truncate_unwritable = disposition == TRUNCATE_EXISTING &&
                               !(access & (GENERIC_WRITE | GENERIC_ALL | FILE_WRITE_DATA));
    if (disposition < CREATE_NEW || disposition > TRUNCATE_EXISTING || truncate_unwritable) {
        win32_fail(ERROR_INVALID_PARAMETER);
        return INVALID_HANDLE_VALUE;
    }
    if (!name || !name[0]) {
        win32_fail(ERROR_PATH_NOT_FOUND);
        return INVALID_HANDLE_VALUE;
    }
    nt_status status = win32_file_open(name, &how, &handle, &existed);
    if (!nt_ok(status)) {
        /* Only CREATE_NEW collides, and Win32 has a code of its own for it. */
        win32_fail(status == (nt_status)STATUS_OBJECT_NAME_COLLISION
                       ? ERROR_FILE_EXISTS
                       : win32_error_of_status(status));
        return INVALID_HANDLE_VALUE;
    }
    bool tells = existed && (disposition == CREATE_ALWAYS || disposition == OPEN_ALWAYS);
    ke_set_last_error(tells ? ERROR_ALREADY_EXISTS : ERROR_SUCCESS);
    return handle;
}

static HANDLE WINAPI_DEF k32_CreateFileA(const char *name, DWORD access, DWORD share,
                                         const SECURITY_ATTRIBUTES *security, DWORD disposition,
                                         DWORD flags, HANDLE template_file)
{
    WCHAR *wide;
    HANDLE handle = INVALID_HANDLE_VALUE;
    if (win32_widen_path(name, &wide))
        handle = k32_CreateFileW(wide, access, share, security, disposition, flags, template_file);
    free(wide);
    return handle;
}

struct create_file2_parameters {
    DWORD size, attributes, flags, security_flags;
    const SECURITY_ATTRIBUTES *security;
    HANDLE template_file;
};

static HANDLE WINAPI_DEF k32_CreateFile2(const WCHAR *name, DWORD access, DWORD share,
                                         DWORD disposition,
                                         const struct create_file2_parameters *more)
{
    static const struct create_file2_parameters none = {0};
    if (!more)
        more = &none;
    else if (more->size < sizeof(*more)) {
        win32_fail(ERROR_INVALID_PARAMETER);
        return INVALID_HANDLE_VALUE;
    }
    return k32_CreateFileW(name, access, share, more->security, disposition,
                           more->attributes | more->flags, more->template_file);
}

static BOOL WINAPI_DEF k32_CreatePipe(HANDLE *reader, HANDLE *writer,
                                      const SECURITY_ATTRIBUTES *security, DWORD size)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return win32_fail_errno(errno);
    *reader = win32_file_from_fd(fds[0], GENERIC_READ, true);
    *writer = win32_file_from_fd(fds[1], GENERIC_WRITE, true);
    if (*reader != INVALID_HANDLE_VALUE && *writer != INVALID_HANDLE_VALUE) {
        uint32_t inherit = security && security->bInheritHandle;
        ob_handle_flags(win32_ob_handle(*reader), 1, inherit, NULL);
        ob_handle_flags(win32_ob_handle(*writer), 1, inherit, NULL);
        return TRUE;
    }
    if (*reader != INVALID_HANDLE_VALUE)
        ob_handle_close(win32_ob_handle(*reader));
    else
        close(fds[0]);
    close(fds[1]);
    return win32_fail(ERROR_NOT_ENOUGH_MEMORY);
}

static BOOL WINAPI_DEF k32_PeekNamedPipe(HANDLE handle, void *buffer, DWORD size, DWORD *read_bytes,
                                         DWORD *available, DWORD *left)
{
    struct win32_file *file;
    int ready = 0;
    nt_status status = win32_file_get(handle, FILE_READ_DATA, &file);
    if (!nt_ok(status))
        return win32_result(status);
    /* Looking at the bytes without taking them has no counterpart for pipes here. */
    bool usable = file->type == FILE_TYPE_PIPE && !(buffer && size);
    if (!usable || ioctl(file->fd, FIONREAD, &ready) < 0)
        status = usable ? win32_status_of_errno(errno) : (nt_status)STATUS_INVALID_DEVICE_REQUEST;
    win32_file_put(file);
    if (!nt_ok(status))
        return win32_result(status);
    if (read_bytes)
        *read_bytes = 0;
    if (available)
        *available = (DWORD)ready;
    if (left)
        *left = 0;
    return TRUE;
}

/* ---- transfer ----------------------------------------------------------------------------------
 */

static void complete(OVERLAPPED *overlapped, nt_status status, DWORD done)
{
    overlapped->Internal = status;
    overlapped->InternalHigh = done;
    win32_file_signal(overlapped->hEvent);
}

static uint64_t overlapped_offset(const OVERLAPPED *overlapped)
{
    return (uint64_t)overlapped->OffsetHigh << 32 | overlapped->Offset;
}

/* Gives the file back. */
static BOOL finish(struct win32_file *file, nt_status status, DWORD done, DWORD *transferred,
                   OVERLAPPED *overlapped)
{
    if (transferred)
        *transferred = done;
    if (overlapped) {
        HANDLE event = overlapped->hEvent;
        complete(overlapped, status, done);
        /* The last touch of `overlapped`: who takes the packet may free it. */
        win32_file_post(file, status, done, overlapped, event);
    }
    win32_file_put(file);
    return win32_result(status);
}

/* A file that is open for overlapped transfers has no position of its own. */
static bool lacks_offset(const struct win32_file *file, const OVERLAPPED *overlapped)
{
    return !overlapped && file->type == FILE_TYPE_DISK && (file->flags & FILE_FLAG_OVERLAPPED);
}

static BOOL WINAPI_DEF k32_ReadFile(HANDLE handle, void *buffer, DWORD size, DWORD *transferred,
                                    OVERLAPPED *overlapped)
{
    struct win32_file *file;
    uint32_t done = 0;
    uint64_t offset = overlapped ? overlapped_offset(overlapped) : 0;
    if (transferred)
        *transferred = 0;
    nt_status status = win32_file_get(handle, FILE_READ_DATA, &file);
    if (!nt_ok(status))
        return win32_result(status);
    status = lacks_offset(file, overlapped)
                 ? (nt_status)STATUS_INVALID_PARAMETER
                 : win32_file_read(file, buffer, size, overlapped ? &offset : NULL, &done);
    if (overlapped && nt_ok(status))
        win32_file_follow(file, offset, done);
    /* The end of a file is a success without bytes, unless an offset was given. */
    if (status == (nt_status)STATUS_END_OF_FILE && !overlapped)
        status = STATUS_SUCCESS;
    return finish(file, status, done, transferred, overlapped);
}

static BOOL WINAPI_DEF k32_WriteFile(HANDLE handle, const void *buffer, DWORD size,
                                     DWORD *transferred, OVERLAPPED *overlapped)
{
    struct win32_file *file;
    uint32_t done = 0;
    uint64_t offset = overlapped ? overlapped_offset(overlapped) : 0;
    if (transferred)
        *transferred = 0;
    nt_status status = win32_file_get_writable(handle, &file);
    if (!nt_ok(status))
        return win32_result(status);
    status = lacks_offset(file, overlapped)
                 ? (nt_status)STATUS_INVALID_PARAMETER
                 : win32_file_write(file, buffer, size, overlapped ? &offset : NULL, &done);
    if (overlapped && nt_ok(status))
        win32_file_follow(file, offset, done);
    return finish(file, status, done, transferred, overlapped);
}

static BOOL WINAPI_DEF k32_GetOverlappedResult(HANDLE handle, OVERLAPPED *overlapped,
                                               DWORD *transferred, BOOL wait)
{
    *transferred = (DWORD)overlapped->InternalHigh;
    return win32_result((nt_status)overlapped->Internal);
}

/* Nothing is ever outstanding. */
static BOOL WINAPI_DEF k32_CancelIo(HANDLE handle)
{
    struct win32_file *file;
    nt_status status = win32_file_get(handle, 0, &file);
    if (nt_ok(status))
        win32_file_put(file);
    return win32_result(status);
}

static BOOL WINAPI_DEF k32_CancelIoEx(HANDLE handle, OVERLAPPED *overlapped)
{
    return k32_CancelIo(handle) ? win32_fail(ERROR_NOT_FOUND) : FALSE;
}

static BOOL WINAPI_DEF k32_FlushFileBuffers(HANDLE handle)
{
    struct win32_file *file;
    nt_status status = win32_file_get_writable(handle, &file);
    if (!nt_ok(status))
        return win32_result(status);
    if (file->type == FILE_TYPE_CHAR && isatty(file->fd))
        status = (nt_status)STATUS_INVALID_HANDLE;
    else if (file->type == FILE_TYPE_DISK && fsync(file->fd) < 0 && errno != EINVAL)
        status = win32_status_of_errno(errno);
    win32_file_put(file);
    return win32_result(status);
}

/* ---- position and size -------------------------------------------------------------------------
 */

/* NTSTATUS has no code of its own for it, Win32 has: wrapped as MAKE_NTSTATUS's facility 7 does. */
#define NEGATIVE_SEEK (0xC0070000u | ERROR_NEGATIVE_SEEK)

static nt_status seek(HANDLE handle, int64_t distance, DWORD method, int64_t *position)
{
    static const int whence[] = {SEEK_SET, SEEK_CUR, SEEK_END};
    struct win32_file *file;
    if (method > 2)
        return (nt_status)STATUS_INVALID_PARAMETER;
    nt_status status = win32_file_get(handle, 0, &file);
    if (!nt_ok(status))
        return status;
    *position = lseek(file->fd, distance, whence[method]);
    if (*position < 0)
        status = errno == EINVAL && distance < 0 ? NEGATIVE_SEEK : win32_status_of_errno(errno);
    win32_file_put(file);
    return status;
}

static BOOL WINAPI_DEF k32_SetFilePointerEx(HANDLE handle, LARGE_INTEGER distance,
                                            LARGE_INTEGER *position, DWORD method)
{
    int64_t now = 0;
    nt_status status = seek(handle, distance.QuadPart, method, &now);
    if (!nt_ok(status))
        return win32_result(status);
    if (position)
        position->QuadPart = now;
    return TRUE;
}

static DWORD WINAPI_DEF k32_SetFilePointer(HANDLE handle, LONG low, LONG *high, DWORD method)
{
    int64_t distance = high ? (int64_t)((uint64_t)*high << 32 | (uint32_t)low) : low;
    int64_t now = 0, before = 0;
    if (!high && !nt_ok(seek(handle, 0, 1, &before)))
        before = 0;
    nt_status status = seek(handle, distance, method, &now);
    if (nt_ok(status) && !high && now > (int64_t)INVALID_FILE_SIZE) {
        seek(handle, before, 0, &now);
        win32_fail(ERROR_INVALID_PARAMETER);
        return INVALID_FILE_SIZE;
    }
    if (!nt_ok(status)) {
        win32_result(status);
        return INVALID_FILE_SIZE;
    }
    if (high)
        *high = (LONG)(now >> 32);
    /* A low half of all ones is told from a failure by the last error. */
    if ((uint32_t)now == INVALID_FILE_SIZE)
        ke_set_last_error(ERROR_SUCCESS);
    return (DWORD)now;
}

static nt_status file_size(HANDLE handle, uint64_t *size)
{
    struct win32_file *file;
    struct win32_file_info info;
    nt_status status = win32_file_get(handle, 0, &file);
    if (!nt_ok(status))
        return status;
    status = file->type == FILE_TYPE_DISK ? win32_file_info(file->fd, NULL, &info)
                                          : (nt_status)STATUS_INVALID_DEVICE_REQUEST;
    if (nt_ok(status))
        *size = info.size;
    win32_file_put(file);
    return status;
}

static BOOL WINAPI_DEF k32_GetFileSizeEx(HANDLE handle, LARGE_INTEGER *size)
{
    uint64_t bytes = 0;
    nt_status status = file_size(handle, &bytes);
    if (nt_ok(status))
        size->QuadPart = (LONGLONG)bytes;
    return win32_result(status);
}

static DWORD WINAPI_DEF k32_GetFileSize(HANDLE handle, DWORD *high)
{
    uint64_t bytes = 0;
    if (!win32_result(file_size(handle, &bytes)))
        return INVALID_FILE_SIZE;
    if (high)
        *high = (DWORD)(bytes >> 32);
    if ((uint32_t)bytes == INVALID_FILE_SIZE)
        ke_set_last_error(ERROR_SUCCESS);
    return (DWORD)bytes;
}

static BOOL WINAPI_DEF k32_SetEndOfFile(HANDLE handle)
{
    struct win32_file *file;
    nt_status status = win32_file_get(handle, FILE_WRITE_DATA, &file);
    if (!nt_ok(status))
        return win32_result(status);
    off_t position = lseek(file->fd, 0, SEEK_CUR);
    status = position < 0 ? win32_status_of_errno(errno) : win32_file_set_size(file, position);
    win32_file_put(file);
    return win32_result(status);
}

static DWORD WINAPI_DEF k32_GetFileType(HANDLE handle)
{
    struct win32_file *file;
    if (!win32_result(win32_file_get(handle, 0, &file)))
        return FILE_TYPE_UNKNOWN;
    DWORD type = file->type;
    win32_file_put(file);
    ke_set_last_error(ERROR_SUCCESS);
    return type;
}

/* ---- locks --------------------------------------------------------------------------------------
 */

/* Locks of open file descriptions: owned by the handle's file, as on Windows, not by the process.
 */
static nt_status lock_range(HANDLE handle, short type, bool wait, uint64_t offset, uint64_t size)
{
    struct win32_file *file;
    nt_status status = win32_file_get(handle, 0, &file);
    if (!nt_ok(status))
        return status;
    /* Windows programs like to lock up to the last byte of 2^64: here that is the last byte below
     * those that tell who has the file open. */
    uint64_t top = OB_FILESHARE_START, start = offset < top ? offset : top - 1;
    struct flock lock = {
        .l_type = type,
        .l_whence = SEEK_SET,
        .l_start = (off_t)start,
        .l_len = (off_t)(size > top - start ? top - start : size),
    };
    int failed = 0;
    /* No byte conflicts with nobody; to fcntl a length of 0 is all the rest. */
    while (size) {
        failed = fcntl(file->fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &lock);
        if (!failed || errno != EINTR)
            break;
    }
    if (failed)
        status = errno == EAGAIN || errno == EACCES ? 0xC0000054u /* STATUS_FILE_LOCK_CONFLICT */
                                                    : win32_status_of_errno(errno);
    win32_file_put(file);
    return status;
}

static uint64_t join(DWORD low, DWORD high)
{
    return (uint64_t)high << 32 | low;
}

static BOOL WINAPI_DEF k32_LockFile(HANDLE handle, DWORD offset_low, DWORD offset_high,
                                    DWORD size_low, DWORD size_high)
{
    return win32_result(lock_range(handle, F_WRLCK, false, join(offset_low, offset_high),
                                   join(size_low, size_high)));
}

static BOOL WINAPI_DEF k32_LockFileEx(HANDLE handle, DWORD flags, DWORD reserved, DWORD size_low,
                                      DWORD size_high, OVERLAPPED *overlapped)
{
    short type = flags & LOCKFILE_EXCLUSIVE_LOCK ? F_WRLCK : F_RDLCK;
    nt_status status = lock_range(handle, type, !(flags & LOCKFILE_FAIL_IMMEDIATELY),
                                  overlapped_offset(overlapped), join(size_low, size_high));
    complete(overlapped, status, 0);
    return win32_result(status);
}

static BOOL WINAPI_DEF k32_UnlockFile(HANDLE handle, DWORD offset_low, DWORD offset_high,
                                      DWORD size_low, DWORD size_high)
{
    return win32_result(lock_range(handle, F_UNLCK, false, join(offset_low, offset_high),
                                   join(size_low, size_high)));
}

static BOOL WINAPI_DEF k32_UnlockFileEx(HANDLE handle, DWORD reserved, DWORD size_low,
                                        DWORD size_high, OVERLAPPED *overlapped)
{
    return win32_result(lock_range(handle, F_UNLCK, false, overlapped_offset(overlapped),
                                   join(size_low, size_high)));
}

const struct ldr_builtin_export kernel32_file_exports[] = {
    LDR_FN(k32_, CreateFile2),      LDR_FN(k32_, CreateFileA),         LDR_FN(k32_, CreateFileW),
    LDR_FN(k32_, CreatePipe),       LDR_FN(k32_, PeekNamedPipe),       LDR_FN(k32_, ReadFile),
    LDR_FN(k32_, WriteFile),        LDR_FN(k32_, GetOverlappedResult), LDR_FN(k32_, CancelIo),
    LDR_FN(k32_, CancelIoEx),       LDR_FN(k32_, FlushFileBuffers),    LDR_FN(k32_, SetFilePointer),
    LDR_FN(k32_, SetFilePointerEx), LDR_FN(k32_, GetFileSize),         LDR_FN(k32_, GetFileSizeEx),
    LDR_FN(k32_, SetEndOfFile),     LDR_FN(k32_, GetFileType),         LDR_FN(k32_, LockFile),
    LDR_FN(k32_, LockFileEx),       LDR_FN(k32_, UnlockFile),          LDR_FN(k32_, UnlockFileEx),
};
const size_t kernel32_file_count = sizeof(kernel32_file_exports) / sizeof(*kernel32_file_exports);
