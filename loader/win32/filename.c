/*
 * Windows's path grammar (Microsoft, "Naming Files, Paths, and Namespaces"; "File path formats on
 * Windows systems"), and the step from there to a host path (ldr/path.h).
 */
#include "loader/win32/filename.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader/ldr/path.h"
#include "loader/win32/codepage.h"
#include "loader/win32/strings.h"

/* What a UNICODE_STRING can hold. */
enum { MAX_LENGTH = 32767 };

static bool is_slash(WCHAR c)
{
    return c == '\\' || c == '/';
}

static bool is_drive(const WCHAR *s)
{
    WCHAR letter = win32_upper(s[0]);
    return letter >= 'A' && letter <= 'Z' && s[1] == ':';
}

WCHAR *win32_windows_path(const char *host)
{
    size_t size = ldr_path_to_windows(host, NULL, 0) + 1;
    WCHAR *out = malloc(size * sizeof(WCHAR));
    if (out)
        ldr_path_to_windows(host, out, size);
    return out;
}

WCHAR *win32_current_directory(void)
{
    char host[PATH_MAX];
    return win32_windows_path(getcwd(host, sizeof(host)) ? host : "/");
}

/* DOS device names, which stand for themselves in any directory. */
static const struct {
    const char *name;
    const char *host;
} dos_devices[] = {
    {"NUL", "/dev/null"},    {"CON", "/dev/tty"}, {"CONIN$", "/dev/tty"},
    {"CONOUT$", "/dev/tty"}, {"AUX", NULL},       {"PRN", NULL},
};
#define DOS_DEVICE_COUNT ((int)(sizeof(dos_devices) / sizeof(*dos_devices)))

static bool equals_ascii(const WCHAR *s, size_t length, const char *ascii)
{
    if (strlen(ascii) != length)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (win32_upper(s[i]) != (WCHAR)ascii[i])
            return false;
    }
    return true;
}

/* COM1 to COM9, LPT1 to LPT9. */
static bool is_port(const WCHAR *s, size_t length)
{
    return length == 4 && s[3] >= '1' && s[3] <= '9' &&
           (equals_ascii(s, 3, "COM") || equals_ascii(s, 3, "LPT"));
}

/* What does not belong to a device's name: a colon, dots and blanks. */
static size_t device_length(const WCHAR *s, size_t length)
{
    while (length && (s[length - 1] == '.' || s[length - 1] == ' '))
        length--;
    return length && s[length - 1] == ':' ? length - 1 : length;
}

/* Index in the table, its size for what exists on Windows and not here, -1 for what is none. */
static int dos_device(const WCHAR *s, size_t length)
{
    length = device_length(s, length);
    if (is_port(s, length))
        return DOS_DEVICE_COUNT;
    for (int i = 0; i < DOS_DEVICE_COUNT; i++) {
        if (equals_ascii(s, length, dos_devices[i].name))
            return i;
    }
    return -1;
}

const char *win32_host_device(const WCHAR *full)
{
    bool prefix = is_slash(full[0]) && is_slash(full[1]) && (full[2] == '.' || full[2] == '?') &&
                  is_slash(full[3]);
    int device = prefix ? dos_device(full + 4, win32_wlen(full + 4)) : -1;
    return device < 0 || device == DOS_DEVICE_COUNT ? NULL : dos_devices[device].host;
}

/* Length of the part of a full path that ".." cannot remove: "C:\", "\\server\share\", "\\.\". */
static size_t root_length(const WCHAR *s)
{
    size_t i = 2;
    if (!is_slash(s[0]))
        return is_drive(s) ? 3 : 0;
    if ((s[2] == '.' || s[2] == '?') && is_slash(s[3]))
        return is_drive(s + 4) && is_slash(s[6]) ? 7 : 4;
    for (int part = 0; part < 2; part++) {
        while (s[i] && !is_slash(s[i]))
            i++;
        if (s[i])
            i++;
    }
    return i;
}

/* What has to stand before `name` to make it absolute; `*skip` characters of it are dropped. */
static WCHAR *base_of(const WCHAR *name, size_t *skip)
{
    *skip = 0;
    bool unc = is_slash(name[0]) && is_slash(name[1]);
    if (unc || (is_drive(name) && is_slash(name[2])))
        return calloc(1, sizeof(WCHAR));
    WCHAR *current = win32_current_directory();
    if (!current)
        return NULL;
    if (is_slash(name[0])) {
        current[is_drive(current) ? 2 : 0] = 0;
    } else if (is_drive(name)) {
        *skip = 2;
        /* Drives other than the current one are at their root: nothing here sets "=C:" variables.
         */
        if (win32_upper(name[0]) != win32_upper(current[0])) {
            current[0] = name[0];
            current[2] = 0;
        }
    }
    return current;
}

/* Resolves "." and "..", joins components by single backslashes. In place: never longer. */
static void normalize(WCHAR *path)
{
    size_t root = root_length(path), out = root, in = root, length = win32_wlen(path);
    for (size_t i = 0; i < root && i < length; i++)
        path[i] = path[i] == '/' ? '\\' : path[i];
    if (root > length)
        return;
    while (in < length) {
        size_t end = in;
        while (end < length && !is_slash(path[end]))
            end++;
        size_t size = end - in;
        bool last = end == length;
        if (size == 2 && path[in] == '.' && path[in + 1] == '.') {
            /* `out` is behind the separator of the component to drop. */
            if (out > root)
                out--;
            while (out > root && path[out - 1] != '\\')
                out--;
        } else if (size && !(size == 1 && path[in] == '.')) {
            memmove(path + out, path + in, size * sizeof(WCHAR));
            out += size;
            if (!last)
                path[out++] = '\\';
        }
        in = end + 1;
    }
    path[out] = 0;
}

/* Trailing dots and blanks of the last component do not belong to the name. */
static void strip_tail(WCHAR *path)
{
    size_t root = root_length(path), length = win32_wlen(path);
    while (length > root && (path[length - 1] == '.' || path[length - 1] == ' '))
        path[--length] = 0;
}

static WCHAR *device_path(const WCHAR *name, size_t length)
{
    static const WCHAR prefix[] = {'\\', '\\', '.', '\\'};
    length = device_length(name, length);
    WCHAR *out = calloc(length + 5, sizeof(WCHAR));
    if (out) {
        memcpy(out, prefix, sizeof(prefix));
        memcpy(out + 4, name, length * sizeof(WCHAR));
    }
    return out;
}

WCHAR *win32_full_path(const WCHAR *name)
{
    size_t length = win32_wlen(name), skip, last = length;
    while (last && !is_slash(name[last - 1]))
        last--;
    if (dos_device(name + last, length - last) >= 0 && !(last >= 4 && name[2] == '?'))
        return device_path(name + last, length - last);
    bool verbatim = length >= 4 && name[0] == '\\' && name[1] == '\\' && name[2] == '?';
    if (verbatim)
        return win32_wdup(name, length);
    WCHAR *base = base_of(name, &skip);
    if (!base)
        return NULL;
    size_t base_length = win32_wlen(base), rest = length - skip;
    WCHAR *out = malloc((base_length + rest + 3) * sizeof(WCHAR));
    if (out) {
        memcpy(out, base, base_length * sizeof(WCHAR));
        if (base_length)
            out[base_length++] = '\\';
        memcpy(out + base_length, name + skip, (rest + 1) * sizeof(WCHAR));
        normalize(out);
        strip_tail(out);
    }
    free(base);
    return out;
}

static bool is_dots(const WCHAR *s, size_t length)
{
    return length && length <= 2 && s[0] == '.' && s[length - 1] == '.';
}

/* A path behind \\?\ is taken as it is, and no file is called "." or "..". */
static bool has_dots(const WCHAR *s)
{
    while (*s) {
        size_t length = 0;
        while (s[length] && s[length] != '\\')
            length++;
        if (is_dots(s, length))
            return true;
        s += length + (s[length] == '\\');
    }
    return false;
}

/* Characters that no file name has; ":" after the drive would name a stream. */
static bool is_valid_name(const WCHAR *full)
{
    size_t i = root_length(full);
    if (full[0] == '\\' && full[1] == '\\' && full[2] == '?' && has_dots(full + i))
        return false;
    for (; full[i]; i++) {
        if (full[i] < 0x20 || (full[i] < 0x80 && strchr("<>\"|?*:", (char)full[i])))
            return false;
    }
    return true;
}

static nt_status host_path_of(const WCHAR *full, bool must_exist, char *host)
{
    size_t length = win32_wlen(full);
    if (length > MAX_LENGTH || ldr_utf16_to_utf8(full, length, NULL, 0) >= PATH_MAX)
        return (nt_status)STATUS_NAME_TOO_LONG;
    if (!is_valid_name(full))
        return (nt_status)STATUS_OBJECT_NAME_INVALID;
    nt_status status = ldr_path_to_host(full, length, must_exist, host, PATH_MAX);
    return status == (nt_status)STATUS_BUFFER_TOO_SMALL ? (nt_status)STATUS_NAME_TOO_LONG : status;
}

nt_status win32_host_path(const WCHAR *name, bool must_exist, char **out)
{
    *out = NULL;
    if (!name[0])
        return (nt_status)STATUS_OBJECT_PATH_NOT_FOUND;
    if (win32_wlen(name) > MAX_LENGTH)
        return (nt_status)STATUS_NAME_TOO_LONG;
    WCHAR *full = win32_full_path(name);
    char *host = malloc(PATH_MAX);
    nt_status status = (nt_status)STATUS_NO_MEMORY;
    if (full && host)
        status = host_path_of(full, must_exist, host);
    free(full);
    if (nt_ok(status))
        *out = host;
    else
        free(host);
    return status;
}
