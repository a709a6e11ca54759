/*
 * errno -> NTSTATUS -> Win32 error: the tables behind win32/errors.h.
 *
 * The NTSTATUS half extends pe/status.h's table by the values that only the Win32 layer returns.
 */
#include "loader/win32/errors.h"

#include <errno.h>

#include "loader/ke/ke.h"

static const struct {
    int host;
    nt_status status;
} errno_table[] = {
    {0, STATUS_SUCCESS},
    {ENOENT, STATUS_OBJECT_NAME_NOT_FOUND},
    {ENOTDIR, STATUS_OBJECT_PATH_NOT_FOUND},
    {EACCES, STATUS_ACCESS_DENIED},
    {EPERM, STATUS_ACCESS_DENIED},
    {EROFS, STATUS_MEDIA_WRITE_PROTECTED},
    {EEXIST, STATUS_OBJECT_NAME_COLLISION},
    {EBADF, STATUS_INVALID_HANDLE},
    {ENOMEM, STATUS_NO_MEMORY},
    {EFAULT, STATUS_ACCESS_VIOLATION},
    {EINVAL, STATUS_INVALID_PARAMETER},
    {EISDIR, STATUS_FILE_IS_A_DIRECTORY},
    {ENOTEMPTY, STATUS_DIRECTORY_NOT_EMPTY},
    {EXDEV, STATUS_NOT_SAME_DEVICE},
    {EMFILE, STATUS_TOO_MANY_OPENED_FILES},
    {ENFILE, STATUS_TOO_MANY_OPENED_FILES},
    {ENOSPC, STATUS_DISK_FULL},
    {EDQUOT, STATUS_DISK_FULL},
    {EFBIG, STATUS_DISK_FULL},
    {EPIPE, STATUS_PIPE_CLOSING},
    {ESPIPE, STATUS_INVALID_DEVICE_REQUEST},
    {EBUSY, STATUS_SHARING_VIOLATION},
    {ETXTBSY, STATUS_SHARING_VIOLATION},
    {EAGAIN, STATUS_PIPE_EMPTY},
    {ENAMETOOLONG, STATUS_NAME_TOO_LONG},
    {ELOOP, STATUS_REPARSE_LOOP},
    {EIO, STATUS_IO_DEVICE_ERROR},
    {ENODEV, STATUS_NO_SUCH_DEVICE},
    {ENXIO, STATUS_NO_SUCH_DEVICE},
    {EOPNOTSUPP, STATUS_NOT_SUPPORTED},
    {ENOSYS, STATUS_NOT_SUPPORTED},
};

static const struct {
    nt_status status;
    uint32_t error;
} status_table[] = {
    {STATUS_PENDING, 997},
    {STATUS_BUFFER_OVERFLOW, ERROR_MORE_DATA},
    {STATUS_PARTIAL_COPY, 299},
    {STATUS_INVALID_INFO_CLASS, ERROR_INVALID_PARAMETER},
    {STATUS_INFO_LENGTH_MISMATCH, 24},
    {STATUS_INVALID_DEVICE_REQUEST, ERROR_INVALID_FUNCTION},
    {STATUS_NO_SUCH_DEVICE, ERROR_FILE_NOT_FOUND},
    {STATUS_SUSPEND_COUNT_EXCEEDED, ERROR_SIGNAL_REFUSED},
    {STATUS_THREAD_IS_TERMINATING, ERROR_ACCESS_DENIED},
    {STATUS_MEDIA_WRITE_PROTECTED, ERROR_WRITE_PROTECT},
    {STATUS_DELETE_PENDING, ERROR_ACCESS_DENIED},
    {STATUS_NOT_SAME_DEVICE, ERROR_NOT_SAME_DEVICE},
    {STATUS_DIRECTORY_NOT_EMPTY, ERROR_DIR_NOT_EMPTY},
    {STATUS_NOT_A_DIRECTORY, ERROR_DIRECTORY},
    {STATUS_TOO_MANY_OPENED_FILES, ERROR_TOO_MANY_OPEN_FILES},
    {STATUS_PIPE_BROKEN, ERROR_BROKEN_PIPE},
    {STATUS_PIPE_EMPTY, ERROR_NO_DATA},
    {STATUS_PIPE_CLOSING, ERROR_NO_DATA},
    {STATUS_IO_DEVICE_ERROR, ERROR_IO_DEVICE},
    {STATUS_INVALID_USER_BUFFER, ERROR_INVALID_USER_BUFFER},
    {STATUS_REPARSE_LOOP, ERROR_CANT_RESOLVE_FILENAME},
    {STATUS_PROCEDURE_NOT_FOUND, ERROR_PROC_NOT_FOUND},
    {STATUS_VARIABLE_NOT_FOUND, ERROR_ENVVAR_NOT_FOUND},
    {STATUS_NOT_FOUND, ERROR_NOT_FOUND},
    {STATUS_RESOURCE_LANG_NOT_FOUND, ERROR_RESOURCE_LANG_NOT_FOUND},
    /* Not returned by anything here; images translate them. */
    {0xC0000120, ERROR_OPERATION_ABORTED}, /* STATUS_CANCELLED */
    {0xC0000044, 1816},                    /* STATUS_QUOTA_EXCEEDED */
    {0xC0000046, ERROR_NOT_OWNER},         /* STATUS_MUTANT_NOT_OWNED */
    {0xC0000047, 298},                     /* STATUS_SEMAPHORE_LIMIT_EXCEEDED */
    {0xC000004B, ERROR_ACCESS_DENIED},     /* STATUS_THREAD_IS_TERMINATING */
    {0xC0000054, ERROR_LOCK_VIOLATION},    /* STATUS_FILE_LOCK_CONFLICT */
    {0xC0000059, 1306},                    /* STATUS_REVISION_MISMATCH */
    {0xC000007E, ERROR_NOT_LOCKED},        /* STATUS_RANGE_NOT_LOCKED */
    {0xC00000AB, 231},                     /* STATUS_INSTANCE_NOT_AVAILABLE */
    {0xC00000AC, 231},                     /* STATUS_PIPE_NOT_AVAILABLE */
    {0xC00000AE, 231},                     /* STATUS_PIPE_BUSY */
    {0xC00000B0, 233},                     /* STATUS_PIPE_DISCONNECTED */
    {STATUS_NOT_SAME_OBJECT, 1656},
    {0xC00000EF, ERROR_INVALID_PARAMETER}, /* STATUS_INVALID_PARAMETER_1 */
    {0xC00000F0, ERROR_INVALID_PARAMETER},
    {0xC00000F1, ERROR_INVALID_PARAMETER},
    {0xC00000F2, ERROR_INVALID_PARAMETER},
    {0xC00000F3, ERROR_INVALID_PARAMETER},
    {0xC00000F5, ERROR_INVALID_PARAMETER},
    {STATUS_INVALID_PARAMETER_8, ERROR_INVALID_PARAMETER},
    {STATUS_INVALID_PARAMETER_9, ERROR_INVALID_PARAMETER},
    {STATUS_SECTION_NOT_IMAGE, ERROR_INVALID_PARAMETER},
    {0xC00000FD, ERROR_STACK_OVERFLOW},
    {0xC000009D, 1167}, /* STATUS_DEVICE_NOT_CONNECTED */
    {0xC00000BE, 53},   /* STATUS_BAD_NETWORK_PATH */
    {0xC00000CC, 67},   /* STATUS_BAD_NETWORK_NAME */
    {0xC0000094, 534},  /* STATUS_INTEGER_DIVIDE_BY_ZERO */
    {0xC0000095, 534},  /* STATUS_INTEGER_OVERFLOW */
};

nt_status win32_status_of_errno(int host_errno)
{
    for (size_t i = 0; i < sizeof(errno_table) / sizeof(*errno_table); i++) {
        if (errno_table[i].host == host_errno)
            return errno_table[i].status;
    }
    return (nt_status)STATUS_UNSUCCESSFUL;
}

uint32_t win32_error_of_status(nt_status status)
{
    /* Customer-defined codes and wrapped Win32 errors pass through, as documented. */
    if (status & 0x20000000)
        return status;
    if ((status >> 16) == 0xC007 || (status >> 16) == 0x8007)
        return status & 0xFFFF;
    for (size_t i = 0; i < sizeof(status_table) / sizeof(*status_table); i++) {
        if (status_table[i].status == status)
            return status_table[i].error;
    }
    return nt_status_to_win32(status);
}

uint32_t win32_error_of_errno(int host_errno)
{
    return win32_error_of_status(win32_status_of_errno(host_errno));
}

int win32_fail(uint32_t error)
{
    ke_set_last_error(error);
    return 0;
}

int win32_fail_errno(int host_errno)
{
    return win32_fail(win32_error_of_errno(host_errno));
}

void *win32_fail_null(uint32_t error)
{
    ke_set_last_error(error);
    return NULL;
}

int win32_result(nt_status status)
{
    if (nt_ok(status))
        return 1;
    return win32_fail(win32_error_of_status(status));
}
