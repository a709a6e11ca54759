/*
 * Functions that ask or change the file system by name: _access, remove, rename, _mkdir, _chmod,
 * _searchenv, temporary names. The wide function does the work, the narrow one converts.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/win32/crt/path.h"
#include "loader/win32/file.h"
#include "loader/win32/filename.h"
#include "loader/win32/process.h"
#include "loader/win32/strings.h"

/* Runs `operation` on the host path of `path`. 0, or -1 with errno set. */
static int on_host(const crt_wchar *path, bool must_exist, int (*operation)(const char *host))
{
    char *host = crt_path_host(path, must_exist);
    if (host == NULL) {
        return -1;
    }
    int result = operation(host);
    if (result != 0) {
        crt_fail_from_host();
    }
    free(host);
    return result;
}

#define NARROW_PATH_FUNCTION(name, wide_name)                   \
    static WINCDECL_DEF int crt_##name(const char *path)        \
    {                                                           \
        crt_wchar *wide = crt_path_widen(path);                 \
        int result = wide != NULL ? crt_##wide_name(wide) : -1; \
        free(wide);                                             \
        return result;                                          \
    }

static int make_directory(const char *host)
{
    return mkdir(host, 0777);
}

static WINCDECL_DEF int crt__wmkdir(const crt_wchar *path)
{
    return on_host(path, false, make_directory);
}

static WINCDECL_DEF int crt__wrmdir(const crt_wchar *path)
{
    char *host = crt_path_host(path, true);
    if (host == NULL) {
        return -1;
    }
    nt_status status = win32_directory_delete(host);
    free(host);
    return nt_ok(status) ? 0 : crt_fail_from_status(status);
}

static WINCDECL_DEF int crt__wchdir(const crt_wchar *path)
{
    return on_host(path, true, chdir);
}

/* Sharing rules and the read-only attribute hold as for DeleteFile. */
static WINCDECL_DEF int crt__wremove(const crt_wchar *path)
{
    char *host = crt_path_host(path, true);
    if (host == NULL) {
        return -1;
    }
    nt_status status = win32_file_delete(host);
    free(host);
    return nt_ok(status) ? 0 : crt_fail_from_status(status);
}

NARROW_PATH_FUNCTION(_mkdir, _wmkdir)
NARROW_PATH_FUNCTION(_rmdir, _wrmdir)
NARROW_PATH_FUNCTION(_chdir, _wchdir)
NARROW_PATH_FUNCTION(remove, _wremove)

/* Unlike Linux's, Windows's rename() does not replace. */
static WINCDECL_DEF int crt__wrename(const crt_wchar *from, const crt_wchar *to)
{
    int result = -1;
    char *host_from = crt_path_host(from, true);
    char *host_to = host_from != NULL ? crt_path_host(to, false) : NULL;
    if (host_to != NULL) {
        nt_status status = win32_file_rename(host_from, host_to, false);
        result = nt_ok(status) ? 0 : crt_fail_from_status(status);
    }
    free(host_from);
    free(host_to);
    return result;
}

static WINCDECL_DEF int crt_rename(const char *from, const char *to)
{
    crt_wchar *wide_from = crt_path_widen(from);
    crt_wchar *wide_to = wide_from != NULL ? crt_path_widen(to) : NULL;
    int result = wide_to != NULL ? crt__wrename(wide_from, wide_to) : -1;
    free(wide_from);
    free(wide_to);
    return result;
}

/* Mode 0 existence, 2 write, 4 read, 6 both; execution is not asked. */
static int check_access(const crt_wchar *path, int mode)
{
    char *host = crt_path_host(path, true);
    if (host == NULL) {
        return -1;
    }
    struct stat st;
    int result = access(host, mode & 6);
    if (result != 0 && (mode & 2) && stat(host, &st) == 0 && S_ISDIR(st.st_mode)) {
        result = 0; /* a directory counts as writable on Windows */
    }
    if (result != 0) {
        crt_fail_from_host();
    }
    free(host);
    return result;
}

static WINCDECL_DEF int crt__waccess(const crt_wchar *path, int mode)
{
    if (mode & ~6) {
        crt_invalid(CRT_EINVAL);
        return -1;
    }
    return check_access(path, mode);
}

static WINCDECL_DEF int crt__access(const char *path, int mode)
{
    crt_wchar *wide = crt_path_widen(path);
    int result = wide != NULL ? crt__waccess(wide, mode) : -1;
    free(wide);
    return result;
}

static WINCDECL_DEF int crt__waccess_s(const crt_wchar *path, int mode)
{
    return crt__waccess(path, mode) == 0 ? 0 : crt_thread()->error;
}

static WINCDECL_DEF int crt__access_s(const char *path, int mode)
{
    return crt__access(path, mode) == 0 ? 0 : crt_thread()->error;
}

/* Only _S_IWRITE matters: it is the read-only attribute. */
static int change_mode(const crt_wchar *path, int mode)
{
    struct stat st;
    char *host = crt_path_host(path, true);
    if (host == NULL) {
        return -1;
    }
    int result = stat(host, &st);
    if (result == 0) {
        mode_t bits = st.st_mode & 07777;
        result = chmod(host, mode & 0x80 ? bits | S_IWUSR : bits & ~(mode_t)0222);
    }
    if (result != 0) {
        crt_fail_from_host();
    }
    free(host);
    return result;
}

static WINCDECL_DEF int crt__wchmod(const crt_wchar *path, int mode)
{
    return change_mode(path, mode);
}

static WINCDECL_DEF int crt__chmod(const char *path, int mode)
{
    crt_wchar *wide = crt_path_widen(path);
    int result = wide != NULL ? change_mode(wide, mode) : -1;
    free(wide);
    return result;
}

/* ---- _searchenv: a file in the current directory, or in those that a variable lists
 * ------------------- */

static bool try_file(const crt_wchar *directory, size_t length, const crt_wchar *name,
                     crt_wchar *out, size_t room)
{
    size_t used = length, name_length = crt_wlen(name);
    char *host = NULL;
    if (length + name_length + 2 > room) {
        return false;
    }
    memcpy(out, directory, length * sizeof(*out));
    if (length != 0 && out[length - 1] != '\\' && out[length - 1] != '/') {
        out[used++] = '\\';
    }
    memcpy(out + used, name, (name_length + 1) * sizeof(*out));
    bool found = nt_ok(win32_host_path(out, true, &host)) && access(host, F_OK) == 0;
    free(host);
    return found;
}

static int search_environment(const crt_wchar *name, const crt_wchar *variable, crt_wchar *out,
                              size_t room)
{
    if (name == NULL || out == NULL || room == 0) {
        return crt_invalid(CRT_EINVAL);
    }
    crt_wchar *here = win32_current_directory();
    crt_wchar *list = variable != NULL ? win32_getenv(variable, crt_wlen(variable)) : NULL;
    bool found = here != NULL && try_file(here, crt_wlen(here), name, out, room);
    for (const crt_wchar *at = list; !found && at != NULL && *at != 0;) {
        size_t length = 0;
        while (at[length] != 0 && at[length] != ';') {
            length++;
        }
        found = length != 0 && try_file(at, length, name, out, room);
        at += length + (at[length] == ';');
    }
    free(here);
    free(list);
    if (!found) {
        out[0] = 0;
        crt_set_errno(CRT_ENOENT);
    }
    return found ? 0 : CRT_ENOENT;
}

static WINCDECL_DEF int crt__wsearchenv_s(const crt_wchar *name, const crt_wchar *variable,
                                          crt_wchar *out, size_t room)
{
    return search_environment(name, variable, out, room);
}

static WINCDECL_DEF void crt__wsearchenv(const crt_wchar *name, const crt_wchar *variable,
                                         crt_wchar *out)
{
    search_environment(name, variable, out, MAX_PATH);
}

static WINCDECL_DEF int crt__searchenv_s(const char *name, const char *variable, char *out,
                                         size_t room)
{
    crt_wchar found[MAX_PATH];
    crt_wchar *wide_name = crt_path_widen(name), *wide_variable = crt_path_widen(variable);
    int result = wide_name != NULL && wide_variable != NULL
                     ? search_environment(wide_name, wide_variable, found, MAX_PATH)
                     : CRT_EINVAL;
    free(wide_name);
    free(wide_variable);
    if (result == 0 && crt_path_return(win32_wdup(found, SIZE_MAX), out, room) == NULL) {
        result = CRT_ERANGE;
    }
    if (result != 0 && out != NULL && room != 0) {
        out[0] = 0;
    }
    return result;
}

static WINCDECL_DEF void crt__searchenv(const char *name, const char *variable, char *out)
{
    crt__searchenv_s(name, variable, out, MAX_PATH);
}

/* ---- temporary names
 * ------------------------------------------------------------------------------------------ */

/* Replaces the six X at the end by a letter and five digits, such that the file is new. */
static WINCDECL_DEF char *crt__mktemp(char *pattern)
{
    size_t length = pattern != NULL ? strlen(pattern) : 0;
    if (length < 6 || strcmp(pattern + length - 6, "XXXXXX") != 0) {
        crt_invalid(CRT_EINVAL);
        return NULL;
    }
    for (int letter = 'a'; letter <= 'z'; letter++) {
        char tail[8];
        snprintf(tail, sizeof(tail), "%c%05u", letter, (unsigned)getpid() % 100000);
        memcpy(pattern + length - 6, tail, 6);
        crt_wchar *wide = crt_path_widen(pattern);
        bool exists = wide != NULL && check_access(wide, 0) == 0;
        free(wide);
        if (!exists) {
            return pattern;
        }
    }
    crt_set_errno(CRT_EEXIST);
    return NULL;
}

static WINCDECL_DEF int crt__mktemp_s(char *pattern, size_t room)
{
    if (pattern == NULL || strnlen(pattern, room) == room) {
        return crt_invalid(CRT_EINVAL);
    }
    return crt__mktemp(pattern) != NULL ? 0 : crt_thread()->error;
}

/* msvcrt: "\s1a4.0" in the root directory; here a name in the directory for temporary files. */
static void temporary_name(char *out, size_t room)
{
    static unsigned counter;
    unsigned number = __atomic_add_fetch(&counter, 1, __ATOMIC_RELAXED);
    snprintf(out, room, "Z:\\tmp\\s%x.%x", (unsigned)getpid(), number);
}

static WINCDECL_DEF char *crt_tmpnam(char *out)
{
    static __thread char own[L_tmpnam + 32];
    temporary_name(out != NULL ? out : own, out != NULL ? 32 : sizeof(own));
    return out != NULL ? out : own;
}

static WINCDECL_DEF int crt_tmpnam_s(char *out, size_t room)
{
    char name[40];
    temporary_name(name, sizeof(name));
    if (out == NULL || strlen(name) >= room) {
        return crt_invalid(out == NULL ? CRT_EINVAL : CRT_ERANGE);
    }
    strcpy(out, name);
    return 0;
}

static const struct ldr_builtin_export functions[] = {
    CRT_FN(_mkdir),      CRT_FN(_wmkdir),
    CRT_FN(_rmdir),      CRT_FN(_wrmdir),
    CRT_FN(_chdir),      CRT_FN(_wchdir),
    CRT_FN(remove),      CRT_AS(_unlink, crt_remove),
    CRT_FN(_wremove),    CRT_AS(_wunlink, crt__wremove),
    CRT_FN(rename),      CRT_FN(_wrename),
    CRT_FN(_access),     CRT_FN(_access_s),
    CRT_FN(_waccess),    CRT_FN(_waccess_s),
    CRT_FN(_chmod),      CRT_FN(_wchmod),
    CRT_FN(_searchenv),  CRT_FN(_searchenv_s),
    CRT_FN(_wsearchenv), CRT_FN(_wsearchenv_s),
    CRT_FN(_mktemp),     CRT_FN(_mktemp_s),
    CRT_FN(tmpnam),      CRT_FN(tmpnam_s),
};
CRT_FAMILY(crt_fileops_family, functions);
