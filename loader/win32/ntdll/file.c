/*
 * Files through the system services: closing, transfer, information classes (ntifs.h's
 * documentation). Transfers are finished when the services return; APC routines are not called, and
 * asking for one is refused.
 */
#include "loader/win32/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader/win32/errors.h"
#include "loader/win32/filename.h"
#include "loader/win32/ntdll/families.h"
#include "loader/win32/process.h"
#include "loader/win32/strings.h"

static nt_status WINAPI_DEF nt_NtClose(HANDLE handle)
{
    return win32_handle_close(handle);
}

/* ---- transfer -----------------------------------------------------------------------------------
 */

#define FILE_WRITE_TO_END_OF_FILE      ((int64_t)-1)
#define FILE_USE_FILE_POINTER_POSITION ((int64_t)-2)

/* The offset of a transfer, or NULL for the file's own position. */
static const uint64_t *offset_of(const int64_t *given, uint64_t *storage)
{
    if (!given || *given == FILE_USE_FILE_POINTER_POSITION)
        return NULL;
    *storage = (uint64_t)*given; /* FILE_WRITE_TO_END_OF_FILE is what win32_file_write calls it */
    return storage;
}

/* A file that was opened without one of the FILE_SYNCHRONOUS_IO options. */
static bool has_no_position(const struct win32_file *file)
{
    return file->type == FILE_TYPE_DISK && (file->flags & FILE_FLAG_OVERLAPPED);
}

static nt_status finish(nt_status status, uint32_t done, IO_STATUS_BLOCK *io, HANDLE event)
{
    io->u.Status = (int32_t)status;
    io->Information = done;
    win32_file_signal(event);
    return status;
}

static nt_status WINAPI_DEF nt_NtReadFile(HANDLE handle, HANDLE event, void *apc, void *apc_context,
                                          IO_STATUS_BLOCK *io, void *buffer, ULONG size,
                                          const int64_t *given, const ULONG *key)
{
    struct win32_file *file;
    uint64_t storage;
    uint32_t done = 0;
    const uint64_t *offset = offset_of(given, &storage);
    if (apc)
        return (nt_status)STATUS_NOT_SUPPORTED;
    if (!io)
        return (nt_status)STATUS_ACCESS_VIOLATION;
    nt_status status = win32_file_get(handle, FILE_READ_DATA, &file);
    if (!nt_ok(status))
        return status;
    if (offset ? *given < 0 : has_no_position(file))
        status = STATUS_INVALID_PARAMETER;
    else
        status = win32_file_read(file, buffer, size, offset, &done);
    if (offset && nt_ok(status))
        win32_file_follow(file, *offset, done);
    win32_file_put(file);
    return finish(status, done, io, event);
}

static nt_status WINAPI_DEF nt_NtWriteFile(HANDLE handle, HANDLE event, void *apc,
                                           void *apc_context, IO_STATUS_BLOCK *io,
                                           const void *buffer, ULONG size, const int64_t *given,
                                           const ULONG *key)
{
    struct win32_file *file;
    uint64_t storage;
    uint32_t done = 0;
    const uint64_t *offset = offset_of(given, &storage);
    if (apc)
        return (nt_status)STATUS_NOT_SUPPORTED;
    if (!io)
        return (nt_status)STATUS_ACCESS_VIOLATION;
    nt_status status = win32_file_get_writable(handle, &file);
    if (!nt_ok(status))
        return status;
    if (offset ? *given < FILE_WRITE_TO_END_OF_FILE : has_no_position(file))
        status = STATUS_INVALID_PARAMETER;
    else
        status = win32_file_write(file, buffer, size, offset, &done);
    if (offset && nt_ok(status))
        win32_file_follow(file, *offset, done);
    win32_file_put(file);
    return finish(status, done, io, event);
}

static nt_status WINAPI_DEF nt_NtFlushBuffersFile(HANDLE handle, IO_STATUS_BLOCK *io)
{
    struct win32_file *file;
    if (!io)
        return (nt_status)STATUS_ACCESS_VIOLATION;
    nt_status status = win32_file_get_writable(handle, &file);
    if (!nt_ok(status))
        return status;
    if (file->type == FILE_TYPE_DISK && fsync(file->fd) < 0 && errno != EINVAL)
        status = win32_status_of_errno(errno);
    win32_file_put(file);
    return finish(status, 0, io, NULL);
}

/* ---- information --------------------------------------------------------------------------------
 */

enum {
    FILE_BASIC_INFORMATION_CLASS = 4,
    FILE_STANDARD_INFORMATION_CLASS = 5,
    FILE_NAME_INFORMATION_CLASS = 9,
    FILE_DISPOSITION_INFORMATION_CLASS = 13,
    FILE_POSITION_INFORMATION_CLASS = 14,
    FILE_END_OF_FILE_INFORMATION_CLASS = 20,
    FILE_DISPOSITION_INFORMATION_EX_CLASS = 64,
};

struct file_basic_information {
    int64_t CreationTime __attribute__((aligned(8)));
    int64_t LastAccessTime, LastWriteTime, ChangeTime;
    ULONG FileAttributes;
};

struct file_standard_information {
    int64_t AllocationSize __attribute__((aligned(8)));
    int64_t EndOfFile;
    ULONG NumberOfLinks;
    BOOLEAN DeletePending, Directory;
};

_Static_assert(sizeof(struct file_basic_information) == 40, "FILE_BASIC_INFORMATION");
_Static_assert(sizeof(struct file_standard_information) == 24, "FILE_STANDARD_INFORMATION");

/* Each answers for an open file; `size` is the room on entry and what was written on return. */
typedef nt_status (*query_function)(struct win32_file *file, void *out, ULONG *size);

static nt_status query_basic(struct win32_file *file, void *out, ULONG *size)
{
    struct win32_file_info info;
    struct file_basic_information answer = {0};
    nt_status status = win32_file_info(file->fd, NULL, &info);
    if (!nt_ok(status))
        return status;
    answer.CreationTime = info.creation;
    answer.LastAccessTime = info.access;
    answer.LastWriteTime = info.write;
    answer.ChangeTime = info.change;
    answer.FileAttributes = info.attributes;
    memcpy(out, &answer, *size = sizeof(answer));
    return STATUS_SUCCESS;
}

static nt_status query_standard(struct win32_file *file, void *out, ULONG *size)
{
    struct win32_file_info info;
    struct file_standard_information answer = {0};
    nt_status status = win32_file_info(file->fd, NULL, &info);
    if (!nt_ok(status))
        return status;
    bool has_data = file->type == FILE_TYPE_DISK && !info.directory;
    answer.AllocationSize = has_data ? (int64_t)info.allocation : 0;
    answer.EndOfFile = has_data ? (int64_t)info.size : 0;
    answer.NumberOfLinks = info.links;
    answer.DeletePending = win32_file_is_deleted(file);
    answer.Directory = info.directory;
    memcpy(out, &answer, *size = sizeof(answer));
    return STATUS_SUCCESS;
}

/* Pipes and consoles have no position: theirs is 0. */
static nt_status query_position(struct win32_file *file, void *out, ULONG *size)
{
    int64_t position = lseek(file->fd, 0, SEEK_CUR);
    if (position < 0)
        position = 0;
    memcpy(out, &position, *size = sizeof(position));
    return STATUS_SUCCESS;
}

/* FILE_NAME_INFORMATION: a length in bytes and the path without the drive, cut when it is long. */
static nt_status query_name(struct win32_file *file, void *out, ULONG *size)
{
    if (!file->path)
        return (nt_status)STATUS_INVALID_PARAMETER;
    WCHAR *path = win32_windows_path(file->path);
    if (!path)
        return STATUS_NO_MEMORY;
    const WCHAR *name = path[0] && path[1] == ':' ? path + 2 : path;
    ULONG bytes = (ULONG)(win32_wlen(name) * sizeof(WCHAR)), room = *size - (ULONG)sizeof(ULONG);
    ULONG copy = bytes < room ? bytes : room & ~1u;
    memcpy(out, &bytes, sizeof(bytes));
    memcpy((char *)out + sizeof(bytes), name, copy);
    *size = (ULONG)sizeof(bytes) + copy;
    free(path);
    return copy < bytes ? (nt_status)STATUS_BUFFER_OVERFLOW : STATUS_SUCCESS;
}

static const struct {
    ULONG info_class, minimum;
    query_function query;
} queries[] = {
    {FILE_BASIC_INFORMATION_CLASS, sizeof(struct file_basic_information), query_basic},
    {FILE_STANDARD_INFORMATION_CLASS, sizeof(struct file_standard_information), query_standard},
    {FILE_NAME_INFORMATION_CLASS, 8, query_name},
    {FILE_POSITION_INFORMATION_CLASS, sizeof(int64_t), query_position},
};

static nt_status WINAPI_DEF nt_NtQueryInformationFile(HANDLE handle, IO_STATUS_BLOCK *io, void *out,
                                                      ULONG size, ULONG info_class)
{
    for (size_t i = 0; i < sizeof(queries) / sizeof(*queries); i++) {
        struct win32_file *file;
        if (queries[i].info_class != info_class)
            continue;
        if (size < queries[i].minimum)
            return (nt_status)STATUS_INFO_LENGTH_MISMATCH;
        if (!io || !out)
            return (nt_status)STATUS_ACCESS_VIOLATION;
        nt_status status = win32_file_get(handle, 0, &file);
        if (!nt_ok(status))
            return status;
        status = queries[i].query(file, out, &size);
        win32_file_put(file);
        bool answered = nt_ok(status) || status == (nt_status)STATUS_BUFFER_OVERFLOW;
        return finish(status, answered ? size : 0, io, NULL);
    }
    return (nt_status)STATUS_INVALID_INFO_CLASS;
}

static nt_status set_disposition(struct win32_file *file, const void *in)
{
    return win32_file_set_deleted(file, *(const BOOLEAN *)in);
}

/* Bit 0 deletes; the other flags say how, and there is one way here. */
static nt_status set_disposition_ex(struct win32_file *file, const void *in)
{
    ULONG flags;
    memcpy(&flags, in, sizeof(flags));
    return win32_file_set_deleted(file, flags & 1);
}

static nt_status set_position(struct win32_file *file, const void *in)
{
    int64_t value;
    memcpy(&value, in, sizeof(value));
    if (value < 0)
        return (nt_status)STATUS_INVALID_PARAMETER;
    return lseek(file->fd, value, SEEK_SET) < 0 ? win32_status_of_errno(errno) : STATUS_SUCCESS;
}

static nt_status set_end(struct win32_file *file, const void *in)
{
    int64_t value;
    memcpy(&value, in, sizeof(value));
    return win32_file_set_size(file, value);
}

static const struct {
    ULONG info_class, size, access;
    nt_status (*set)(struct win32_file *file, const void *in);
} settings[] = {
    {FILE_DISPOSITION_INFORMATION_CLASS, sizeof(BOOLEAN), FILE_DELETE, set_disposition},
    {FILE_DISPOSITION_INFORMATION_EX_CLASS, sizeof(ULONG), FILE_DELETE, set_disposition_ex},
    {FILE_POSITION_INFORMATION_CLASS, sizeof(int64_t), 0, set_position},
    {FILE_END_OF_FILE_INFORMATION_CLASS, sizeof(int64_t), FILE_WRITE_DATA, set_end},
};

static nt_status WINAPI_DEF nt_NtSetInformationFile(HANDLE handle, IO_STATUS_BLOCK *io,
                                                    const void *in, ULONG size, ULONG info_class)
{
    for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++) {
        struct win32_file *file;
        if (settings[i].info_class != info_class)
            continue;
        if (size < settings[i].size)
            return (nt_status)STATUS_INFO_LENGTH_MISMATCH;
        if (!io || !in)
            return (nt_status)STATUS_ACCESS_VIOLATION;
        nt_status status = win32_file_get(handle, settings[i].access, &file);
        if (!nt_ok(status))
            return status;
        status = settings[i].set(file, in);
        win32_file_put(file);
        return finish(status, 0, io, NULL);
    }
    return (nt_status)STATUS_INVALID_INFO_CLASS;
}

const struct ldr_builtin_export ntdll_file_exports[] = {
    NT_ZW(Close),
    NT_ZW(ReadFile),
    NT_ZW(WriteFile),
    NT_ZW(FlushBuffersFile),
    NT_ZW(QueryInformationFile),
    NT_ZW(SetInformationFile),
};
const size_t ntdll_file_count = sizeof(ntdll_file_exports) / sizeof(*ntdll_file_exports);
