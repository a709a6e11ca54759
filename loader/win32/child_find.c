/*
 * Which file CreateProcess means (Microsoft's documentation of CreateProcessW, lpApplicationName
 * and lpCommandLine), and whether it can be run.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/ke/teb.h"
#include "loader/mm/section.h"
#include "loader/ob/fileshare.h"
#include "loader/win32/child.h"
#include "loader/win32/errors.h"
#include "loader/win32/filename.h"
#include "loader/win32/process.h"
#include "loader/win32/strings.h"

enum { SUBSYSTEM_NATIVE = 1, SUBSYSTEM_GUI = 2 };

static bool is_blank(WCHAR c)
{
    return c == ' ' || c == '\t';
}

static bool is_separator(WCHAR c)
{
    return c == '\\' || c == '/' || c == ':';
}

/* ---- names --------------------------------------------------------------------------------------
 */

/* Directory, name and extension as one path: a regular file's host path, or NULL. */
static char *existing(const WCHAR *directory, size_t directory_length, const WCHAR *name,
                      size_t length, bool add_exe, uint32_t *error)
{
    static const WCHAR exe[] = {'.', 'e', 'x', 'e', 0};
    struct stat st;
    char *host = NULL;
    WCHAR *path = calloc(directory_length + length + 6, sizeof(*path));
    nt_status status = path ? STATUS_SUCCESS : (nt_status)STATUS_NO_MEMORY;
    if (path) {
        size_t at = directory_length;
        memcpy(path, directory, at * sizeof(WCHAR));
        if (at && !is_separator(path[at - 1]))
            path[at++] = '\\';
        memcpy(path + at, name, length * sizeof(WCHAR));
        if (add_exe)
            memcpy(path + at + length, exe, sizeof(exe));
        status = win32_host_path(path, true, &host);
    }
    free(path);
    *error = win32_error_of_status(status);
    if (nt_ok(status) && stat(host, &st) == 0 && S_ISREG(st.st_mode))
        return host;
    if (nt_ok(status))
        *error = ERROR_ACCESS_DENIED; /* a directory, a device */
    free(host);
    return NULL;
}

struct wanted {
    const WCHAR *name;
    size_t length;
    bool has_path, has_extension;
};

static struct wanted wanted_of(const WCHAR *name, size_t length)
{
    struct wanted out = {name, length, false, false};
    for (size_t i = 0; i < length; i++) {
        if (is_separator(name[i])) {
            out.has_path = true;
            out.has_extension = false;
        } else if (name[i] == '.') {
            out.has_extension = true;
        }
    }
    return out;
}

static char *in_directory(const struct wanted *wanted, const WCHAR *directory, size_t length)
{
    uint32_t ignored;
    return existing(directory, length, wanted->name, wanted->length, !wanted->has_extension,
                    &ignored);
}

static char *in_list(const struct wanted *wanted, const WCHAR *list)
{
    char *found = NULL;
    while (list && *list && !found) {
        const WCHAR *end = win32_wchr(list, ';');
        size_t length = end ? (size_t)(end - list) : win32_wlen(list);
        if (length)
            found = in_directory(wanted, list, length);
        list += length + (end ? 1 : 0);
    }
    return found;
}

static bool is_set(const char *name)
{
    WCHAR *wide = win32_wide_of_utf8(name);
    WCHAR *value = wide ? win32_getenv(wide, win32_wlen(wide)) : NULL;
    bool set = value != NULL;
    free(wide);
    free(value);
    return set;
}

/* The application's directory, the current one, the system's, those of PATH. */
static char *search(const struct wanted *wanted)
{
    static const WCHAR here[] = {'.'}, path_name[] = {'P', 'A', 'T', 'H'};
    static const WCHAR system[] = {'C',  ':', '\\', 'W', 'i', 'n', 'd', 'o', 'w', 's',
                                   '\\', 'S', 'y',  's', 't', 'e', 'm', '3', '2'};
    const struct ke_unicode_string *image = &ke_peb()->ProcessParameters->ImagePathName;
    size_t length = image->Length / sizeof(WCHAR);
    while (length && image->Buffer[length - 1] != '\\')
        length--;
    char *found = length ? in_directory(wanted, image->Buffer, length) : NULL;
    if (!found && !is_set("NoDefaultCurrentDirectoryInExePath"))
        found = in_directory(wanted, here, 1);
    if (!found)
        found = in_directory(wanted, system, sizeof(system) / sizeof(*system));
    if (!found)
        found = in_directory(wanted, system, 10); /* C:\Windows */
    WCHAR *path = found ? NULL : win32_getenv(path_name, 4);
    if (!found)
        found = in_list(wanted, path);
    free(path);
    return found;
}

/* One candidate of a command line. */
static char *find_token(const WCHAR *name, size_t length, uint32_t *error)
{
    struct wanted wanted = wanted_of(name, length);
    char *found = NULL;
    *error = ERROR_FILE_NOT_FOUND;
    if (!length)
        return NULL;
    if (!wanted.has_path)
        return search(&wanted);
    found = existing(name, 0, name, length, false, error);
    if (!found && !wanted.has_extension) {
        uint32_t ignored;
        found = existing(name, 0, name, length, true, &ignored);
    }
    return found;
}

/*
 * The program's name at the beginning of a command line: what is in quotes, or the shortest run up
 * to a blank that names a file ("c:\program files\x" may be c:\program.exe).
 */
static char *find_in_line(const WCHAR *line, size_t *quote, uint32_t *error)
{
    const WCHAR *at = line;
    char *found = NULL;
    while (is_blank(*at))
        at++;
    if (*at == '"') {
        const WCHAR *end = win32_wchr(at + 1, '"');
        return find_token(at + 1, end ? (size_t)(end - at - 1) : win32_wlen(at + 1), error);
    }
    bool first = true, blank_inside = false;
    for (const WCHAR *end = at; !found; end++) {
        while (*end && !is_blank(*end))
            end++;
        uint32_t why;
        found = find_token(at, (size_t)(end - at), &why);
        if (first)
            *error = why;
        if (found && blank_inside)
            *quote = (size_t)(end - line);
        first = false;
        blank_inside = true;
        if (!*end)
            break;
    }
    return found;
}

/* ---- images -------------------------------------------------------------------------------------
 */

static uint32_t check_headers(const struct pe_headers *headers)
{
    if (headers->characteristics & IMAGE_FILE_DLL)
        return ERROR_BAD_EXE_FORMAT;
    if (headers->machine != IMAGE_FILE_MACHINE_AMD64 && headers->machine != IMAGE_FILE_MACHINE_I386)
        return ERROR_EXE_MACHINE_TYPE_MISMATCH;
    return headers->subsystem == SUBSYSTEM_NATIVE ? ERROR_CHILD_NOT_COMPLETE : ERROR_SUCCESS;
}

static uint32_t check_image(struct child_image *image)
{
    struct pe_headers headers;
    int fd = open(image->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return win32_error_of_errno(errno);
    /* Nobody may be writing to it, nor forbid that it is read. */
    nt_status shared = ob_fileshare_claim(fd, OB_SHARE_READ, OB_SHARE_READ | OB_SHARE_DELETE);
    nt_status status = mm_file_check_image(fd, image->path, mm_windows(), &headers, NULL);
    close(fd);
    if (!nt_ok(shared))
        return win32_error_of_status(shared);
    if (!nt_ok(status))
        return status == (nt_status)STATUS_NO_MEMORY ? ERROR_NOT_ENOUGH_MEMORY
                                                     : ERROR_BAD_EXE_FORMAT;
    image->machine = headers.machine;
    image->gui = headers.subsystem == SUBSYSTEM_GUI;
    return check_headers(&headers);
}

uint32_t child_find(const WCHAR *application, const WCHAR *line, struct child_image *out)
{
    uint32_t error = ERROR_FILE_NOT_FOUND;
    *out = (struct child_image){0};
    out->path = application
                    ? existing(application, 0, application, win32_wlen(application), false, &error)
                    : find_in_line(line, &out->quote, &error);
    error = out->path ? check_image(out) : error;
    if (error)
        child_image_free(out);
    return error;
}

void child_image_free(struct child_image *image)
{
    free(image->path);
    *image = (struct child_image){0};
}
