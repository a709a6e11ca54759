/*
 * Paths and directories: full and temporary names, the current directory, creating, moving,
 * deleting.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/win32/errors.h"
#include "loader/win32/file.h"
#include "loader/win32/filename.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/process.h"
#include "loader/win32/strings.h"

enum {
    MOVEFILE_REPLACE_EXISTING = 1,
    MOVEFILE_COPY_ALLOWED = 2,
};

/* Frees `path` and returns it the usual way; NULL means no memory. */
static DWORD return_path(WCHAR *path, WCHAR *buffer, DWORD size)
{
    if (!path)
        return (DWORD)win32_fail(ERROR_NOT_ENOUGH_MEMORY);
    DWORD result = win32_return_wide(path, win32_wlen(path), buffer, size);
    free(path);
    return result;
}

static DWORD return_path_a(WCHAR *path, char *buffer, DWORD size)
{
    if (!path)
        return (DWORD)win32_fail(ERROR_NOT_ENOUGH_MEMORY);
    DWORD result = win32_return_path(path, win32_wlen(path), buffer, size);
    free(path);
    return result;
}

/* ---- names -------------------------------------------------------------------------------------
 */

static DWORD WINAPI_DEF k32_GetFullPathNameW(const WCHAR *name, DWORD size, WCHAR *buffer,
                                             WCHAR **part)
{
    if (!name || !name[0])
        return (DWORD)win32_fail(ERROR_INVALID_NAME);
    DWORD result = return_path(win32_full_path(name), buffer, size);
    if (part && result && result < size) {
        WCHAR *last = buffer + result;
        while (last > buffer && last[-1] != '\\')
            last--;
        *part = *last ? last : NULL;
    }
    return result;
}

static DWORD WINAPI_DEF k32_GetFullPathNameA(const char *name, DWORD size, char *buffer,
                                             char **part)
{
    WCHAR *wide;
    if (!win32_widen_path(name, &wide))
        return 0;
    DWORD result = wide && wide[0] ? return_path_a(win32_full_path(wide), buffer, size)
                                   : (DWORD)win32_fail(ERROR_INVALID_NAME);
    free(wide);
    if (part && result && result < size) {
        char *last = strrchr(buffer, '\\');
        *part = last && last[1] ? last + 1 : NULL;
    }
    return result;
}

/* No file has a short name here: the long form is the name itself, once the file exists. */
static DWORD existing_path(const WCHAR *name, WCHAR *buffer, DWORD size)
{
    char *host;
    if (!name)
        return (DWORD)win32_fail(ERROR_INVALID_PARAMETER);
    if (!win32_result(win32_host_path(name, true, &host)))
        return 0;
    free(host);
    return win32_return_wide(name, win32_wlen(name), buffer, size);
}

static DWORD WINAPI_DEF k32_GetLongPathNameW(const WCHAR *name, WCHAR *buffer, DWORD size)
{
    return existing_path(name, buffer, size);
}

static DWORD WINAPI_DEF k32_GetShortPathNameW(const WCHAR *name, WCHAR *buffer, DWORD size)
{
    return existing_path(name, buffer, size);
}

static DWORD existing_path_a(const char *name, char *buffer, DWORD size)
{
    WCHAR *wide;
    char *host;
    DWORD result = 0;
    if (!name)
        return (DWORD)win32_fail(ERROR_INVALID_PARAMETER);
    if (!win32_widen_path(name, &wide))
        return 0;
    if (win32_result(win32_host_path(wide, true, &host))) {
        free(host);
        result = win32_return_path(wide, win32_wlen(wide), buffer, size);
    }
    free(wide);
    return result;
}

static DWORD WINAPI_DEF k32_GetLongPathNameA(const char *name, char *buffer, DWORD size)
{
    return existing_path_a(name, buffer, size);
}

static DWORD WINAPI_DEF k32_GetShortPathNameA(const char *name, char *buffer, DWORD size)
{
    return existing_path_a(name, buffer, size);
}

/* TMP, then TEMP, then USERPROFILE: GetTempPath's documented order. Ends in "\". */
static WCHAR *temp_path(void)
{
    static const WCHAR names[][12] = {{'T', 'M', 'P'},
                                      {'T', 'E', 'M', 'P'},
                                      {'U', 'S', 'E', 'R', 'P', 'R', 'O', 'F', 'I', 'L', 'E'}};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        WCHAR *value = win32_getenv(names[i], win32_wlen(names[i]));
        WCHAR *full = value && value[0] ? win32_full_path(value) : NULL;
        free(value);
        if (!full)
            continue;
        size_t length = win32_wlen(full);
        WCHAR *out = realloc(full, (length + 2) * sizeof(WCHAR));
        if (!out) {
            free(full);
            return NULL;
        }
        if (out[length - 1] != '\\') {
            out[length] = '\\';
            out[length + 1] = 0;
        }
        return out;
    }
    return win32_windows_path("/tmp/");
}

static DWORD WINAPI_DEF k32_GetTempPathW(DWORD size, WCHAR *buffer)
{
    return return_path(temp_path(), buffer, size);
}

static DWORD WINAPI_DEF k32_GetTempPathA(DWORD size, char *buffer)
{
    return return_path_a(temp_path(), buffer, size);
}

/* "<dir>\<up to 3 letters><hex>.TMP"; created when the number was ours to choose. */
static UINT temp_file_name(const WCHAR *directory, const WCHAR *prefix, UINT unique, WCHAR *out)
{
    size_t length = directory ? win32_wlen(directory) : 0;
    UINT number = unique & 0xFFFF;
    if (!length || length > MAX_PATH - 14)
        return (UINT)win32_fail(length ? 111 : ERROR_DIRECTORY); /* ERROR_BUFFER_OVERFLOW */
    memcpy(out, directory, length * sizeof(WCHAR));
    if (out[length - 1] != '\\' && out[length - 1] != '/')
        out[length++] = '\\';
    for (size_t i = 0; i < 3 && prefix && prefix[i]; i++)
        out[length++] = prefix[i];
    if (!unique && getrandom(&number, sizeof(number), 0) < 0)
        number = (UINT)getpid();
    for (unsigned attempt = 0; attempt < 0xFFFF; attempt++, number++) {
        char tail[16];
        bool existed;
        HANDLE handle;
        struct win32_open how = {.access = GENERIC_READ, .disposition = CREATE_NEW};
        number &= 0xFFFF;
        int digits = snprintf(tail, sizeof(tail), "%X.TMP", number ? number : 1);
        for (int i = 0; i <= digits; i++)
            out[length + (size_t)i] = (WCHAR)tail[i];
        if (unique)
            return unique;
        nt_status status = win32_file_open(out, &how, &handle, &existed);
        if (nt_ok(status)) {
            ob_handle_close(win32_ob_handle(handle));
            return number ? number : 1;
        }
        if (status != (nt_status)STATUS_OBJECT_NAME_COLLISION)
            return (UINT)win32_fail(ERROR_DIRECTORY);
    }
    return (UINT)win32_fail(ERROR_FILE_EXISTS);
}

static UINT WINAPI_DEF k32_GetTempFileNameW(const WCHAR *directory, const WCHAR *prefix,
                                            UINT unique, WCHAR *out)
{
    return temp_file_name(directory, prefix, unique, out);
}

static UINT WINAPI_DEF k32_GetTempFileNameA(const char *directory, const char *prefix, UINT unique,
                                            char *out)
{
    WCHAR *wide_directory, *wide_prefix = NULL, name[MAX_PATH];
    UINT result = 0;
    if (win32_widen_path(directory, &wide_directory) && win32_widen_path(prefix, &wide_prefix))
        result = temp_file_name(wide_directory, wide_prefix, unique, name);
    if (result)
        win32_return_path(name, win32_wlen(name), out, MAX_PATH);
    free(wide_directory);
    free(wide_prefix);
    return result;
}

/* ---- the current directory
 * ----------------------------------------------------------------------- */

static DWORD WINAPI_DEF k32_GetCurrentDirectoryW(DWORD size, WCHAR *buffer)
{
    return return_path(win32_current_directory(), buffer, size);
}

static DWORD WINAPI_DEF k32_GetCurrentDirectoryA(DWORD size, char *buffer)
{
    return return_path_a(win32_current_directory(), buffer, size);
}

/* Runs `action` on the host path of a name. */
static BOOL with_path(const WCHAR *name, bool must_exist, nt_status (*action)(const char *path))
{
    char *path;
    nt_status status =
        name ? win32_host_path(name, must_exist, &path) : (nt_status)STATUS_OBJECT_PATH_NOT_FOUND;
    if (nt_ok(status)) {
        status = action(path);
        free(path);
    }
    return win32_result(status);
}

static BOOL with_path_a(const char *name, bool must_exist, nt_status (*action)(const char *path))
{
    WCHAR *wide;
    BOOL ok = win32_widen_path(name, &wide) && with_path(wide, must_exist, action);
    free(wide);
    return ok;
}

static nt_status change_directory(const char *path)
{
    if (chdir(path) == 0)
        return STATUS_SUCCESS;
    /* A file is no directory: ERROR_DIRECTORY. */
    return errno == ENOTDIR ? (nt_status)STATUS_NOT_A_DIRECTORY : win32_status_of_errno(errno);
}

static BOOL WINAPI_DEF k32_SetCurrentDirectoryW(const WCHAR *name)
{
    return with_path(name, true, change_directory);
}

static BOOL WINAPI_DEF k32_SetCurrentDirectoryA(const char *name)
{
    return with_path_a(name, true, change_directory);
}

/* ---- changing the file system
 * --------------------------------------------------------------------- */

static nt_status make_directory(const char *path)
{
    return mkdir(path, 0777) < 0 ? win32_status_of_errno(errno) : STATUS_SUCCESS;
}

static nt_status remove_directory(const char *path)
{
    if (rmdir(path) == 0)
        return STATUS_SUCCESS;
    return errno == ENOTDIR ? (nt_status)STATUS_NOT_A_DIRECTORY : win32_status_of_errno(errno);
}

static BOOL WINAPI_DEF k32_CreateDirectoryW(const WCHAR *name, const SECURITY_ATTRIBUTES *security)
{
    return with_path(name, false, make_directory);
}

static BOOL WINAPI_DEF k32_CreateDirectoryA(const char *name, const SECURITY_ATTRIBUTES *security)
{
    return with_path_a(name, false, make_directory);
}

static BOOL WINAPI_DEF k32_RemoveDirectoryW(const WCHAR *name)
{
    return with_path(name, true, remove_directory);
}

static BOOL WINAPI_DEF k32_RemoveDirectoryA(const char *name)
{
    return with_path_a(name, true, remove_directory);
}

static BOOL WINAPI_DEF k32_DeleteFileW(const WCHAR *name)
{
    return with_path(name, true, win32_file_delete);
}

static BOOL WINAPI_DEF k32_DeleteFileA(const char *name)
{
    return with_path_a(name, true, win32_file_delete);
}

/* Copies content and mode; `exclusive` refuses an existing target. */
static nt_status copy_host(const char *from, const char *to, bool exclusive)
{
    struct stat st;
    nt_status status = STATUS_SUCCESS;
    int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return win32_status_of_errno(errno);
    if (fstat(in, &st) == 0 && S_ISDIR(st.st_mode)) {
        close(in);
        return (nt_status)STATUS_ACCESS_DENIED;
    }
    int flags = O_WRONLY | O_CREAT | O_CLOEXEC | (exclusive ? O_EXCL : O_TRUNC);
    int out = open(to, flags, st.st_mode & 0777);
    if (out < 0)
        status = errno == EISDIR ? (nt_status)STATUS_ACCESS_DENIED : win32_status_of_errno(errno);
    while (nt_ok(status)) {
        ssize_t sent = sendfile(out, in, NULL, 1 << 20);
        if (sent < 0)
            status = win32_status_of_errno(errno);
        if (sent <= 0)
            break;
    }
    if (out >= 0 && nt_ok(status)) {
        struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, st.st_mtim};
        futimens(out, times); /* the copy keeps the time of its original */
    }
    if (out >= 0 && close(out) < 0 && nt_ok(status))
        status = win32_status_of_errno(errno);
    close(in);
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
    nt_status status = win32_file_check_share(from, FILE_DELETE);
    if (!nt_ok(status))
        return status;
    struct stat st, target;
    if (stat(to, &target) == 0 && S_ISDIR(target.st_mode) && stat(from, &st) == 0 &&
        (st.st_ino != target.st_ino || st.st_dev != target.st_dev))
        return flags & MOVEFILE_REPLACE_EXISTING ? (nt_status)STATUS_ACCESS_DENIED
                                                 : (nt_status)STATUS_OBJECT_NAME_COLLISION;
    unsigned how = flags & MOVEFILE_REPLACE_EXISTING ? 0 : RENAME_NOREPLACE;
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, how) == 0)
        return STATUS_SUCCESS;
    if (errno != EXDEV || !(flags & MOVEFILE_COPY_ALLOWED))
        return win32_status_of_errno(errno);
    status = copy_host(from, to, !(flags & MOVEFILE_REPLACE_EXISTING));
    if (nt_ok(status) && unlink(from) < 0)
        status = win32_status_of_errno(errno);
    return status;
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

const struct ldr_builtin_export kernel32_path_exports[] = {
    LDR_FN(k32_, GetFullPathNameA),
    LDR_FN(k32_, GetFullPathNameW),
    LDR_FN(k32_, GetLongPathNameA),
    LDR_FN(k32_, GetLongPathNameW),
    LDR_FN(k32_, GetShortPathNameA),
    LDR_FN(k32_, GetShortPathNameW),
    LDR_FN(k32_, GetTempPathA),
    LDR_FN(k32_, GetTempPathW),
    /* GetTempPath2 differs for processes that run as SYSTEM only. */
    {.name = "GetTempPath2A",
     .kind = LDR_EXPORT_FUNCTION,
     .address = (const void *)k32_GetTempPathA},
    {.name = "GetTempPath2W",
     .kind = LDR_EXPORT_FUNCTION,
     .address = (const void *)k32_GetTempPathW},
    LDR_FN(k32_, GetTempFileNameA),
    LDR_FN(k32_, GetTempFileNameW),
    LDR_FN(k32_, GetCurrentDirectoryA),
    LDR_FN(k32_, GetCurrentDirectoryW),
    LDR_FN(k32_, SetCurrentDirectoryA),
    LDR_FN(k32_, SetCurrentDirectoryW),
    LDR_FN(k32_, CreateDirectoryA),
    LDR_FN(k32_, CreateDirectoryW),
    LDR_FN(k32_, RemoveDirectoryA),
    LDR_FN(k32_, RemoveDirectoryW),
    LDR_FN(k32_, DeleteFileA),
    LDR_FN(k32_, DeleteFileW),
    LDR_FN(k32_, CopyFileA),
    LDR_FN(k32_, CopyFileW),
    LDR_FN(k32_, MoveFileA),
    LDR_FN(k32_, MoveFileW),
    LDR_FN(k32_, MoveFileExA),
    LDR_FN(k32_, MoveFileExW),
};
const size_t kernel32_path_count = sizeof(kernel32_path_exports) / sizeof(*kernel32_path_exports);
