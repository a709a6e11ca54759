/*
 * Paths: full and temporary names, the current directory.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "loader/win32/errors.h"
#include "loader/win32/file.h"
#include "loader/win32/filename.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/kernel32/withpath.h"
#include "loader/win32/process.h"
#include "loader/win32/strings.h"

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
    bool ours = !number; /* to choose, and to create */
    if (!directory || !out)
        return (UINT)win32_fail(ERROR_INVALID_PARAMETER);
    if (!length || length > MAX_PATH - 14)
        return (UINT)win32_fail(length ? 111 : ERROR_DIRECTORY); /* ERROR_BUFFER_OVERFLOW */
    memcpy(out, directory, length * sizeof(WCHAR));
    if (out[length - 1] != '\\' && out[length - 1] != '/')
        out[length++] = '\\';
    for (size_t i = 0; i < 3 && prefix && prefix[i]; i++)
        out[length++] = prefix[i];
    if (ours && getrandom(&number, sizeof(number), 0) < 0)
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
        if (!ours)
            return unique;
        nt_status status = win32_file_open(out, &how, &handle, &existed);
        if (nt_ok(status)) {
            ob_handle_close(win32_ob_handle(handle));
            return number ? number : 1;
        }
        if (status == (nt_status)STATUS_OBJECT_PATH_NOT_FOUND)
            return (UINT)win32_fail(ERROR_DIRECTORY);
        if (status != (nt_status)STATUS_OBJECT_NAME_COLLISION)
            return (UINT)win32_result(status);
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
    if (!out)
        return (UINT)win32_fail(ERROR_INVALID_PARAMETER);
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

BOOL win32_with_path(const WCHAR *name, bool must_exist, nt_status (*action)(const char *path))
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

BOOL win32_with_path_a(const char *name, bool must_exist, nt_status (*action)(const char *path))
{
    WCHAR *wide;
    BOOL ok = win32_widen_path(name, &wide) && win32_with_path(wide, must_exist, action);
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
    return win32_with_path(name, true, change_directory);
}

static BOOL WINAPI_DEF k32_SetCurrentDirectoryA(const char *name)
{
    return win32_with_path_a(name, true, change_directory);
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
};
const size_t kernel32_path_count = sizeof(kernel32_path_exports) / sizeof(*kernel32_path_exports);
