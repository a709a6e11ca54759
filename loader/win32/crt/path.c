/*
 * Paths: _fullpath, _splitpath, _getcwd and the functions that change the file system by name. The
 * wide function does the work, the narrow one converts.
 */
#include "loader/win32/crt/path.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/win32/errors.h"
#include "loader/win32/file.h"
#include "loader/win32/filename.h"
#include "loader/win32/strings.h"

crt_wchar *crt_path_widen(const char *path)
{
    crt_wchar *wide = NULL;
    if (path == NULL) {
        crt_invalid(CRT_EINVAL);
    } else if (!win32_widen_path(path, &wide)) {
        crt_set_errno(CRT_EILSEQ);
    }
    return wide;
}

char *crt_path_host(const crt_wchar *path, bool must_exist)
{
    char *host = NULL;
    if (path == NULL) {
        crt_invalid(CRT_EINVAL);
        return NULL;
    }
    nt_status status = win32_host_path(path, must_exist, &host);
    if (!nt_ok(status)) {
        crt_fail_from_status(status);
        return NULL;
    }
    return host;
}

/* Bytes into the caller's buffer of `room` bytes, or into a block that it frees. */
static void *put_text(const void *text, size_t bytes, void *buffer, size_t room)
{
    if (buffer == NULL) {
        buffer = crt_heap_copy(text, bytes);
        if (buffer == NULL) {
            crt_set_errno(CRT_ENOMEM);
        }
        return buffer;
    }
    if (bytes > room) {
        crt_set_errno(CRT_ERANGE);
        return NULL;
    }
    return memcpy(buffer, text, bytes);
}

char *crt_path_return(crt_wchar *text, char *buffer, size_t size)
{
    char *narrow = text != NULL ? win32_narrow(text) : NULL;
    free(text);
    if (narrow == NULL) {
        crt_set_errno(CRT_ENOMEM);
        return NULL;
    }
    char *out = put_text(narrow, strlen(narrow) + 1, buffer, size);
    free(narrow);
    return out;
}

crt_wchar *crt_path_return_wide(crt_wchar *text, crt_wchar *buffer, size_t size)
{
    if (text == NULL) {
        crt_set_errno(CRT_ENOMEM);
        return NULL;
    }
    const size_t unit = sizeof(*text);
    bool too_large = size > SIZE_MAX / unit;
    crt_wchar *out =
        put_text(text, (crt_wlen(text) + 1) * unit, buffer, too_large ? SIZE_MAX : size * unit);
    free(text);
    return out;
}

/* ---- names
 * -----------------------------------------------------------------------------------------------
 */

static WINCDECL_DEF crt_wchar *crt__wfullpath(crt_wchar *buffer, const crt_wchar *path, size_t size)
{
    static const crt_wchar here[] = {'.', 0};
    bool empty = path == NULL || *path == 0;
    return crt_path_return_wide(win32_full_path(empty ? here : path), buffer, size);
}

static WINCDECL_DEF char *crt__fullpath(char *buffer, const char *path, size_t size)
{
    crt_wchar *wide = crt_path_widen(path != NULL && *path != 0 ? path : ".");
    crt_wchar *full = wide != NULL ? win32_full_path(wide) : NULL;
    free(wide);
    return crt_path_return(full, buffer, size);
}

static WINCDECL_DEF crt_wchar *crt__wgetcwd(crt_wchar *buffer, int size)
{
    return crt_path_return_wide(win32_current_directory(), buffer, size > 0 ? (size_t)size : 0);
}

static WINCDECL_DEF char *crt__getcwd(char *buffer, int size)
{
    return crt_path_return(win32_current_directory(), buffer, size > 0 ? (size_t)size : 0);
}

static WINCDECL_DEF crt_wchar *crt__wgetdcwd(int drive, crt_wchar *buffer, int size)
{
    return crt__wgetcwd(buffer, size);
}

static WINCDECL_DEF char *crt__getdcwd(int drive, char *buffer, int size)
{
    return crt__getcwd(buffer, size);
}

/* 1 = A: ... */
static WINCDECL_DEF int crt__getdrive(void)
{
    crt_wchar *path = win32_current_directory();
    int drive = path != NULL && path[1] == ':' ? crt_upper(path[0]) - 'A' + 1 : 0;
    free(path);
    return drive;
}

static WINCDECL_DEF int crt__chdrive(int drive)
{
    if (drive == crt__getdrive()) {
        return 0;
    }
    crt_set_errno(CRT_EACCES);
    return -1;
}

/* The four parts of a path, as offsets: drive [0, d), directory [d, n), name [n, e), extension. */
struct parts {
    size_t drive, name, extension, end;
};

static struct parts split(const crt_wchar *path)
{
    struct parts p = {0};
    p.drive = path[0] != 0 && path[1] == ':' ? 2 : 0;
    p.end = crt_wlen(path);
    p.name = p.drive;
    for (size_t i = p.drive; i < p.end; i++) {
        if (path[i] == '/' || path[i] == '\\') {
            p.name = i + 1;
        }
    }
    p.extension = p.end;
    for (size_t i = p.end; i > p.name; i--) {
        if (path[i - 1] == '.') {
            p.extension = i - 1;
            break;
        }
    }
    return p;
}

static int put_part(crt_wchar *out, size_t room, const crt_wchar *from, size_t length)
{
    if (out == NULL) {
        return 0;
    }
    if (length >= room) {
        return CRT_ERANGE;
    }
    memcpy(out, from, length * sizeof(*out));
    out[length] = 0;
    return 0;
}

static WINCDECL_DEF int crt__wsplitpath_s(const crt_wchar *path, crt_wchar *drive,
                                          size_t drive_room, crt_wchar *directory,
                                          size_t directory_room, crt_wchar *name, size_t name_room,
                                          crt_wchar *extension, size_t extension_room)
{
    if (path == NULL) {
        return crt_invalid(CRT_EINVAL);
    }
    struct parts p = split(path);
    int failed = put_part(drive, drive_room, path, p.drive) |
                 put_part(directory, directory_room, path + p.drive, p.name - p.drive) |
                 put_part(name, name_room, path + p.name, p.extension - p.name) |
                 put_part(extension, extension_room, path + p.extension, p.end - p.extension);
    return failed != 0 ? crt_invalid(CRT_ERANGE) : 0;
}

static WINCDECL_DEF void crt__wsplitpath(const crt_wchar *path, crt_wchar *drive,
                                         crt_wchar *directory, crt_wchar *name,
                                         crt_wchar *extension)
{
    crt__wsplitpath_s(path, drive, 3, directory, 256, name, 256, extension, 256);
}

static int put_narrow_part(char *out, size_t room, const char *from, size_t length)
{
    if (out == NULL) {
        return 0;
    }
    if (length >= room) {
        return CRT_ERANGE;
    }
    memcpy(out, from, length);
    out[length] = 0;
    return 0;
}

/* The ANSI code page has one byte a character, so the wide offsets hold for the narrow text. */
static WINCDECL_DEF int crt__splitpath_s(const char *path, char *drive, size_t drive_room,
                                         char *directory, size_t directory_room, char *name,
                                         size_t name_room, char *extension, size_t extension_room)
{
    crt_wchar *wide = crt_path_widen(path);
    if (wide == NULL) {
        return CRT_EINVAL;
    }
    struct parts p = split(wide);
    free(wide);
    int failed =
        put_narrow_part(drive, drive_room, path, p.drive) |
        put_narrow_part(directory, directory_room, path + p.drive, p.name - p.drive) |
        put_narrow_part(name, name_room, path + p.name, p.extension - p.name) |
        put_narrow_part(extension, extension_room, path + p.extension, p.end - p.extension);
    return failed != 0 ? crt_invalid(CRT_ERANGE) : 0;
}

static WINCDECL_DEF void crt__splitpath(const char *path, char *drive, char *directory, char *name,
                                        char *extension)
{
    crt__splitpath_s(path, drive, 3, directory, 256, name, 256, extension, 256);
}

static WINCDECL_DEF int crt__makepath_s(char *out, size_t room, const char *drive,
                                        const char *directory, const char *name,
                                        const char *extension)
{
    bool has_drive = drive != NULL && *drive != 0;
    bool has_directory = directory != NULL && *directory != 0;
    bool has_extension = extension != NULL && *extension != 0;
    char last = has_directory ? directory[strlen(directory) - 1] : 0;
    if (out == NULL || room == 0) {
        return crt_invalid(CRT_EINVAL);
    }
    int length =
        snprintf(out, room, "%.*s%s%s%s%s%s%s", has_drive ? 1 : 0, has_drive ? drive : "",
                 has_drive ? ":" : "", has_directory ? directory : "",
                 has_directory && last != '\\' && last != '/' ? "\\" : "", name != NULL ? name : "",
                 has_extension && *extension != '.' ? "." : "", has_extension ? extension : "");
    if ((size_t)length >= room) {
        out[0] = 0;
        return crt_invalid(CRT_ERANGE);
    }
    return 0;
}

static WINCDECL_DEF void crt__makepath(char *out, const char *drive, const char *directory,
                                       const char *name, const char *extension)
{
    crt__makepath_s(out, 260, drive, directory, name, extension);
}

struct joiner {
    crt_wchar *out;
    size_t used, room;
};

static void join(struct joiner *j, const crt_wchar *text, size_t length)
{
    for (size_t i = 0; i < length && text[i] != 0; i++, j->used++) {
        if (j->used < j->room) {
            j->out[j->used] = text[i];
        }
    }
}

static WINCDECL_DEF int crt__wmakepath_s(crt_wchar *out, size_t room, const crt_wchar *drive,
                                         const crt_wchar *directory, const crt_wchar *name,
                                         const crt_wchar *extension)
{
    static const crt_wchar colon[] = {':', 0}, backslash[] = {'\\', 0}, dot[] = {'.', 0};
    struct joiner j = {out, 0, room};
    if (out == NULL || room == 0) {
        return crt_invalid(CRT_EINVAL);
    }
    if (drive != NULL && *drive != 0) {
        join(&j, drive, 1);
        join(&j, colon, 1);
    }
    if (directory != NULL && *directory != 0) {
        crt_wchar last = directory[crt_wlen(directory) - 1];
        join(&j, directory, SIZE_MAX);
        join(&j, backslash, last != '\\' && last != '/');
    }
    if (name != NULL) {
        join(&j, name, SIZE_MAX);
    }
    if (extension != NULL && *extension != 0) {
        join(&j, dot, *extension != '.');
        join(&j, extension, SIZE_MAX);
    }
    if (j.used >= room) {
        out[0] = 0;
        return crt_invalid(CRT_ERANGE);
    }
    out[j.used] = 0;
    return 0;
}

static WINCDECL_DEF void crt__wmakepath(crt_wchar *out, const crt_wchar *drive,
                                        const crt_wchar *directory, const crt_wchar *name,
                                        const crt_wchar *extension)
{
    crt__wmakepath_s(out, 260, drive, directory, name, extension);
}

static const struct ldr_builtin_export functions[] = {
    CRT_FN(_fullpath),  CRT_FN(_wfullpath),   CRT_FN(_getcwd),     CRT_FN(_wgetcwd),
    CRT_FN(_getdcwd),   CRT_FN(_wgetdcwd),    CRT_FN(_getdrive),   CRT_FN(_chdrive),
    CRT_FN(_splitpath), CRT_FN(_splitpath_s), CRT_FN(_wsplitpath), CRT_FN(_wsplitpath_s),
    CRT_FN(_makepath),  CRT_FN(_makepath_s),  CRT_FN(_wmakepath),  CRT_FN(_wmakepath_s),
};
CRT_FAMILY(crt_path_family, functions);
