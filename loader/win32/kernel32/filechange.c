/*
 * Changing the file system by name: creating and removing directories, deleting, copying, moving.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/win32/errors.h"
#include "loader/win32/file.h"
#include "loader/win32/filename.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/kernel32/withpath.h"
#include "loader/win32/strings.h"

enum {
    MOVEFILE_REPLACE_EXISTING = 1,
    MOVEFILE_COPY_ALLOWED = 2,
};

static nt_status make_directory(const char *path)
{
    return mkdir(path, 0777) < 0 ? win32_status_of_errno(errno) : STATUS_SUCCESS;
}

static BOOL WINAPI_DEF k32_CreateDirectoryW(const WCHAR *name, const SECURITY_ATTRIBUTES *security)
{
    return win32_with_path(name, false, make_directory);
}

static BOOL WINAPI_DEF k32_CreateDirectoryA(const char *name, const SECURITY_ATTRIBUTES *security)
{
    return win32_with_path_a(name, false, make_directory);
}

static BOOL WINAPI_DEF k32_RemoveDirectoryW(const WCHAR *name)
{
    return win32_with_path(name, true, win32_directory_delete);
}

static BOOL WINAPI_DEF k32_RemoveDirectoryA(const char *name)
{
    return win32_with_path_a(name, true, win32_directory_delete);
}

static BOOL WINAPI_DEF k32_DeleteFileW(const WCHAR *name)
{
    return win32_with_path(name, true, win32_file_delete);
}

static BOOL WINAPI_DEF k32_DeleteFileA(const char *name)
{
    return win32_with_path_a(name, true, win32_file_delete);
}

static nt_status copy_bytes(int in, int out)
{
    for (;;) {
        ssize_t sent = sendfile(out, in, NULL, 1 << 20);
        if (sent < 0 && errno != EINTR)
            return win32_status_of_errno(errno);
        if (sent == 0)
            return STATUS_SUCCESS;
    }
}

/* Content, permissions and the time of the last change, between two open files. */
static nt_status copy_open(const struct win32_file *in, const struct win32_file *out, bool existed)
{
    struct stat st;
    if (fstat(in->fd, &st) < 0)
        return win32_status_of_errno(errno);
    nt_status status = copy_bytes(in->fd, out->fd);
    struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, st.st_mtim};
    if (nt_ok(status))
        futimens(out->fd, times);
    /* The read-only attribute is copied as well. */
    if (nt_ok(status) && existed && !(st.st_mode & 0222))
        fchmod(out->fd, st.st_mode & 0777);
    return status;
}

/* Both are open as CopyFile opens them: the original for all to share, the copy for itself. */
static nt_status copy_host(const char *from, const char *to, bool exclusive)
{
    struct stat st;
    struct win32_file *in, *out;
    bool existed;
    struct win32_open source = {.access = GENERIC_READ, .share = 7, .disposition = OPEN_EXISTING};
    nt_status status = win32_file_open_host(from, &source, &in, &existed);
    if (!nt_ok(status))
        return status;
    struct win32_open target = {.access = GENERIC_WRITE,
                                .disposition = exclusive ? CREATE_NEW : CREATE_ALWAYS};
    if (fstat(in->fd, &st) == 0)
        target.mode = st.st_mode & 0777;
    status = win32_file_open_host(to, &target, &out, &existed);
    if (nt_ok(status)) {
        status = copy_open(in, out, existed);
        win32_file_put(out);
    }
    win32_file_put(in);
    return status;
}

static nt_status two_paths(const WCHAR *from, const WCHAR *to, char **from_path, char **to_path)
{
    *from_path = *to_path = NULL;
    if (!from || !to)
        return (nt_status)STATUS_OBJECT_PATH_NOT_FOUND;
    nt_status status = win32_host_path(from, true, from_path);
    if (nt_ok(status))
        status = win32_host_path(to, false, to_path);
    if (!nt_ok(status)) {
        free(*from_path);
        *from_path = NULL;
    }
    return status;
}

static BOOL copy_file(const WCHAR *from, const WCHAR *to, BOOL fail_if_exists)
{
    char *from_path, *to_path;
    nt_status status = two_paths(from, to, &from_path, &to_path);
    if (nt_ok(status))
        status = copy_host(from_path, to_path, fail_if_exists);
    free(from_path);
    free(to_path);
    if (status == (nt_status)STATUS_OBJECT_NAME_COLLISION)
        return win32_fail(ERROR_FILE_EXISTS);
    return win32_result(status);
}

static nt_status move_host(const char *from, const char *to, DWORD flags)
{
    bool replace = flags & MOVEFILE_REPLACE_EXISTING;
    nt_status status = win32_file_rename(from, to, replace);
    if (status != (nt_status)STATUS_NOT_SAME_DEVICE || !(flags & MOVEFILE_COPY_ALLOWED))
        return status;
    status = copy_host(from, to, !replace);
    return nt_ok(status) ? win32_file_delete(from) : status;
}

static BOOL move_file(const WCHAR *from, const WCHAR *to, DWORD flags)
{
    char *from_path, *to_path;
    /* Deleting at the next start of the system is out of reach. */
    if (flags & 4)
        return win32_fail(ERROR_NOT_SUPPORTED);
    nt_status status = two_paths(from, to, &from_path, &to_path);
    if (nt_ok(status))
        status = move_host(from_path, to_path, flags);
    free(from_path);
    free(to_path);
    return win32_result(status);
}

typedef BOOL (*two_names)(const WCHAR *from, const WCHAR *to, DWORD flags);

static BOOL with_two_a(const char *from, const char *to, DWORD flags, two_names action)
{
    WCHAR *wide_from = NULL, *wide_to = NULL;
    BOOL ok = win32_widen_path(from, &wide_from) && win32_widen_path(to, &wide_to) &&
              action(wide_from, wide_to, flags);
    free(wide_from);
    free(wide_to);
    return ok;
}

static BOOL copy_with_flags(const WCHAR *from, const WCHAR *to, DWORD flags)
{
    return copy_file(from, to, flags & 1); /* COPY_FILE_FAIL_IF_EXISTS, or the BOOL */
}

static BOOL WINAPI_DEF k32_CopyFileW(const WCHAR *from, const WCHAR *to, BOOL fail_if_exists)
{
    return copy_file(from, to, fail_if_exists);
}

static BOOL WINAPI_DEF k32_CopyFileA(const char *from, const char *to, BOOL fail_if_exists)
{
    return with_two_a(from, to, fail_if_exists != 0, copy_with_flags);
}

static BOOL WINAPI_DEF k32_MoveFileW(const WCHAR *from, const WCHAR *to)
{
    return move_file(from, to, MOVEFILE_COPY_ALLOWED);
}

static BOOL WINAPI_DEF k32_MoveFileA(const char *from, const char *to)
{
    return with_two_a(from, to, MOVEFILE_COPY_ALLOWED, move_file);
}

static BOOL WINAPI_DEF k32_MoveFileExW(const WCHAR *from, const WCHAR *to, DWORD flags)
{
    return move_file(from, to, flags);
}

static BOOL WINAPI_DEF k32_MoveFileExA(const char *from, const char *to, DWORD flags)
{
    return with_two_a(from, to, flags, move_file);
}

const struct ldr_builtin_export kernel32_filechange_exports[] = {
    LDR_FN(k32_, CreateDirectoryA), LDR_FN(k32_, CreateDirectoryW), LDR_FN(k32_, RemoveDirectoryA),
    LDR_FN(k32_, RemoveDirectoryW), LDR_FN(k32_, DeleteFileA),      LDR_FN(k32_, DeleteFileW),
    LDR_FN(k32_, CopyFileA),        LDR_FN(k32_, CopyFileW),        LDR_FN(k32_, MoveFileA),
    LDR_FN(k32_, MoveFileW),        LDR_FN(k32_, MoveFileExA),      LDR_FN(k32_, MoveFileExW),
};
const size_t kernel32_filechange_count =
    sizeof(kernel32_filechange_exports) / sizeof(*kernel32_filechange_exports);
