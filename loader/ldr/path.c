/*
 * Windows paths over a Linux file system (path.h).
 *
 * A path is walked component by component into an absolute host path. "." and ".." are resolved in
 * the text, as Windows does, not through symbolic links. Trailing dots and blanks of a component
 * count only where a name with them exists, because Windows drops them.
 */
#include <dirent.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/ldr/path.h"

/* An absolute host path that is being built, without a slash at its end: "" is the root. */
struct host_path {
    char *text;
    size_t size, length;
};

static bool is_separator(char c)
{
    return c == '\\' || c == '/';
}

static bool host_path_push(struct host_path *path, const char *name, size_t length)
{
    if (length + 2 > path->size - path->length)
        return false;
    path->text[path->length] = '/';
    memcpy(path->text + path->length + 1, name, length);
    path->length += length + 1;
    path->text[path->length] = '\0';
    return true;
}

static void host_path_pop(struct host_path *path)
{
    char *slash = strrchr(path->text, '/');
    path->length = slash ? (size_t)(slash - path->text) : 0;
    path->text[path->length] = '\0';
}

static bool host_path_start(struct host_path *path, bool relative)
{
    path->length = 0;
    if (path->size < 2)
        return false;
    path->text[0] = '\0';
    if (!relative)
        return true;
    if (getcwd(path->text, path->size) == NULL)
        return false;
    path->length = strlen(path->text);
    if (path->length == 1) /* the root */
        host_path_pop(path);
    return true;
}

static void host_path_finish(struct host_path *path)
{
    if (path->length == 0)
        strcpy(path->text, "/");
}

/* "." and "..", which never name a directory entry. True when the component was one of them. */
static bool host_path_dots(struct host_path *path, const char *name, size_t length)
{
    if (length == 2 && name[0] == '.' && name[1] == '.')
        host_path_pop(path);
    else if (length != 1 || name[0] != '.')
        return false;
    return true;
}

/* ---- host -> Windows ---- */

static bool normalise_host(const char *host, struct host_path *path)
{
    if (!host_path_start(path, host[0] != '/'))
        return false;
    while (*host != '\0') {
        size_t length = (size_t)(strchrnul(host, '/') - host);
        if (length > 0 && !host_path_dots(path, host, length) &&
            !host_path_push(path, host, length))
            return false;
        host += length + (host[length] == '/');
    }
    host_path_finish(path);
    return true;
}

size_t ldr_path_to_windows(const char *host, uint16_t *out, size_t size)
{
    char text[2 + PATH_MAX];
    struct host_path path = {.text = text + 2, .size = PATH_MAX};
    memcpy(text, "Z:", 2);
    if (!normalise_host(host, &path))
        return 0;
    for (char *c = path.text; *c != '\0'; c++)
        if (*c == '/')
            *c = '\\';
    size_t length = strlen(text);
    if (length < size) /* no character takes more units than bytes */
        return ldr_utf8_to_utf16(text, length, out, size);
    size_t needed = ldr_utf8_to_utf16(text, length, NULL, 0);
    if (needed < size)
        ldr_utf8_to_utf16(text, length, out, size);
    return needed;
}

/* ---- finding a name ---- */

static bool exists(const char *dir, const char *name)
{
    char path[PATH_MAX];
    struct stat st;
    size_t dir_length = strlen(dir), name_length = strlen(name);
    if (dir_length + name_length + 2 > sizeof(path))
        return false;
    memcpy(path, dir, dir_length);
    path[dir_length] = '/';
    memcpy(path + dir_length + 1, name, name_length + 1);
    return lstat(path, &st) == 0;
}

/* The entry of `dir` that is spelled `name` or differs in case only. Several such entries: the
 * first by strcmp, so that the answer does not depend on the file system's order. */
static bool find_entry(const char *dir, const char *name, char found[NAME_MAX + 1])
{
    size_t length = strlen(name);
    if (length == 0 || length > NAME_MAX)
        return false;
    if (exists(dir, name)) {
        memcpy(found, name, length + 1);
        return true;
    }
    DIR *stream = opendir(dir);
    if (stream == NULL)
        return false;
    found[0] = '\0';
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;)
        if (ldr_casecmp(entry->d_name, name) == 0 &&
            (found[0] == '\0' || strcmp(entry->d_name, found) < 0))
            memcpy(found, entry->d_name, length + 1);
    closedir(stream);
    return found[0] != '\0';
}

bool ldr_path_find(const char *dir, const char *name, char *out, size_t size)
{
    char found[NAME_MAX + 1];
    if (strchr(name, '/') != NULL || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
        !find_entry(dir, name, found))
        return false;
    size_t dir_length = strlen(dir), length = strlen(found);
    if (dir_length > 0 && dir[dir_length - 1] == '/')
        dir_length--;
    if (dir_length >= size || length + 2 > size - dir_length)
        return false;
    memcpy(out, dir, dir_length);
    out[dir_length] = '/';
    memcpy(out + dir_length + 1, found, length + 1);
    return true;
}

/* ---- Windows -> host ---- */

/* \\?\ and \\.\ in either slash, and the NT form \??\ . */
static bool has_device_prefix(const char *path)
{
    if (!is_separator(path[0]))
        return false;
    if (is_separator(path[1]))
        return (path[2] == '?' || path[2] == '.') && is_separator(path[3]);
    return path[1] == '?' && path[2] == '?' && is_separator(path[3]);
}

static bool has_drive(const char *path)
{
    return ((path[0] >= 'A' && path[0] <= 'Z') || (path[0] >= 'a' && path[0] <= 'z')) &&
           path[1] == ':';
}

/* Steps over prefix and drive. `relative`: what follows starts at the current directory. */
static nt_status split_root(const char **path, bool *relative)
{
    const char *p = *path;
    bool device = has_device_prefix(p);
    if (device)
        p += 4;
    else if (p[0] == '\\' && p[1] == '\\') /* \\server\share: there is no network */
        return STATUS_OBJECT_PATH_NOT_FOUND;
    if (has_drive(p)) {
        if (strchr("CcZz", p[0]) == NULL)
            return STATUS_OBJECT_PATH_NOT_FOUND;
        p += 2;
    } else if (device) { /* a device other than a drive */
        return STATUS_OBJECT_NAME_NOT_FOUND;
    }
    *relative = !device && !is_separator(p[0]);
    *path = p;
    return STATUS_SUCCESS;
}

/* Windows drops dots and blanks at the end of a component; one of nothing else stays as it is. */
static size_t trimmed_length(const char *name, size_t length)
{
    size_t kept = length;
    while (kept > 0 && (name[kept - 1] == '.' || name[kept - 1] == ' '))
        kept--;
    return kept > 0 ? kept : length;
}

/* Names that Windows cannot create. An entry of such a name that is there already can be used. */
static bool is_creatable(const char *name, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((uint8_t)name[i] < 0x20 || strchr("<>:\"|?*", name[i]) != NULL)
            return false;
    return length <= NAME_MAX;
}

static bool is_directory(const char *path)
{
    struct stat st;
    return stat(path[0] ? path : "/", &st) == 0 && S_ISDIR(st.st_mode);
}

/* The entry of the directory `path` that `name` means: as it is spelled, then as Windows trims it.
 */
static bool find_component(const struct host_path *path, const char *name, size_t length,
                           char found[NAME_MAX + 1])
{
    char wanted[NAME_MAX + 1];
    size_t kept = trimmed_length(name, length);
    for (size_t n = length;; n = kept) {
        if (n <= NAME_MAX) {
            memcpy(wanted, name, n);
            wanted[n] = '\0';
            if (find_entry(path->length ? path->text : "/", wanted, found))
                return true;
        }
        if (n == kept)
            return false;
    }
}

static nt_status enter(struct host_path *path, const char *name, size_t length, bool last,
                       bool must_exist)
{
    char found[NAME_MAX + 1];
    if (host_path_dots(path, name, length))
        return STATUS_SUCCESS;
    if (find_component(path, name, length, found)) {
        name = found;
        length = strlen(found);
    } else if (!is_creatable(name, length)) {
        return STATUS_OBJECT_NAME_INVALID;
    } else if (!last || !is_directory(path->text)) {
        return STATUS_OBJECT_PATH_NOT_FOUND;
    } else if (must_exist) {
        return STATUS_OBJECT_NAME_NOT_FOUND;
    } else {
        length = trimmed_length(name, length);
    }
    return host_path_push(path, name, length) ? STATUS_SUCCESS : STATUS_BUFFER_TOO_SMALL;
}

nt_status ldr_path_to_host_utf8(const char *windows, bool must_exist, char *out, size_t size)
{
    struct host_path path = {.text = out, .size = size};
    bool relative;
    if (windows[0] == '\0')
        return STATUS_OBJECT_PATH_NOT_FOUND;
    nt_status status = split_root(&windows, &relative);
    if (status != STATUS_SUCCESS)
        return status;
    if (!host_path_start(&path, relative))
        return STATUS_BUFFER_TOO_SMALL;
    for (;;) {
        while (is_separator(*windows))
            windows++;
        if (*windows == '\0')
            break;
        size_t length = strcspn(windows, "\\/");
        const char *rest = windows + length + strspn(windows + length, "\\/");
        status = enter(&path, windows, length, *rest == '\0', must_exist);
        if (status != STATUS_SUCCESS)
            return status;
        windows = rest;
    }
    host_path_finish(&path);
    return STATUS_SUCCESS;
}

nt_status ldr_path_to_host(const uint16_t *windows, size_t length, bool must_exist, char *out,
                           size_t size)
{
    char utf8[PATH_MAX];
    for (size_t i = 0; i < length; i++)
        if (windows[i] == 0)
            return STATUS_OBJECT_NAME_INVALID;
    if (ldr_utf16_to_utf8(windows, length, utf8, sizeof(utf8)) >= sizeof(utf8))
        return STATUS_OBJECT_NAME_INVALID;
    return ldr_path_to_host_utf8(utf8, must_exist, out, size);
}
