/*
 * Where a module comes from: name rules, builtin modules, files (facts 3.1, 3.2).
 *
 * A name with a path means that file alone. A bare name is an API set's host, a builtin module, or
 * a file in one of the directories of search.h. Files are found without regard to case; those of
 * another machine are passed over, so that 32- and 64-bit DLLs may share a search path.
 */
#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/ldr/builtin_image.h"
#include "loader/ldr/ldr.h"
#include "loader/ldr/path.h"
#include "loader/ldr/search.h"

struct search {
    uint32_t flags;
    uint16_t machine;
    char *resolved;
    size_t resolved_size;
    char *searched;
    size_t searched_size;
};

/* Adds a line to `searched`; one that does not fit is left out as a whole. */
__attribute__((format(printf, 2, 3))) static void note(struct search *s, const char *fmt, ...)
{
    va_list ap;
    if (s->searched == NULL || s->searched_size == 0)
        return;
    size_t used = strlen(s->searched), left = s->searched_size - used;
    size_t newline = used > 0;
    va_start(ap, fmt);
    int length = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (length < 0 || (size_t)length + newline >= left)
        return;
    if (newline)
        s->searched[used++] = '\n';
    va_start(ap, fmt);
    vsnprintf(s->searched + used, s->searched_size - used, fmt, ap);
    va_end(ap);
}

static enum ldr_found found(struct search *s, const char *what, enum ldr_found kind)
{
    size_t length = strlen(what);
    if (length >= s->resolved_size) {
        note(s, "%s: the path is too long", what);
        return LDR_FOUND_NOTHING;
    }
    memcpy(s->resolved, what, length + 1);
    return kind;
}

/* ---- names ---- */

bool ldr_is_path(const char *name)
{
    return strpbrk(name, "\\/") != NULL || (isalpha((unsigned char)name[0]) && name[1] == ':');
}

const char *ldr_base_name(const char *name)
{
    const char *base = name;
    for (const char *c = name; *c != '\0'; c++)
        if (*c == '\\' || *c == '/' || (*c == ':' && c == name + 1))
            base = c + 1;
    return base;
}

bool ldr_file_name(const char *name, uint32_t flags, char *out, size_t size)
{
    const char *extension = flags & LDR_EXE ? ".exe" : ".dll";
    size_t length = strlen(name);
    while (length > 0 && name[length - 1] == ' ')
        length--;
    bool dotted = length > 0 && name[length - 1] == '.';
    while (dotted && length > 0 && (name[length - 1] == '.' || name[length - 1] == ' '))
        length--;
    if (length + strlen(extension) >= size)
        return false;
    memcpy(out, name, length);
    out[length] = '\0';
    if (!dotted && length > 0 && strchr(ldr_base_name(out), '.') == NULL)
        strcpy(out + length, extension);
    return true;
}

/* Why no module can have this name, or NULL. */
static const char *name_fault(const char *name)
{
    if (name[0] == '\0')
        return "the module name is empty";
    if (strnlen(name, PATH_MAX) == PATH_MAX)
        return "the module name is longer than any path";
    for (const char *c = name; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7F)
            return "the module name holds control characters";
    return NULL;
}

/* ---- files ---- */

static bool is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* The machine of a PE file; 0 for what cannot be read or is none (loading it tells why). */
static uint16_t machine_of(const char *path)
{
    uint8_t bytes[64];
    struct pe_span span = {bytes, sizeof(bytes)};
    uint32_t e_lfanew, signature;
    uint16_t magic, machine = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return 0;
    if (pread(fd, bytes, 64, 0) == 64 && pe_u16(span, 0, &magic) && magic == 0x5A4D &&
        pe_u32(span, 60, &e_lfanew) && pread(fd, bytes, 6, e_lfanew) == 6 &&
        pe_u32(span, 0, &signature) && signature == 0x4550)
        pe_u16(span, 4, &machine);
    close(fd);
    return machine;
}

/* Looks for `file` in one directory and says in `searched` that it did. */
static enum ldr_found look_in(struct search *s, const char *dir, const char *file)
{
    char path[PATH_MAX];
    if (!ldr_path_find(dir, file, path, sizeof(path)) || !is_file(path)) {
        note(s, "%s", dir);
        return LDR_FOUND_NOTHING;
    }
    uint16_t machine = s->machine ? machine_of(path) : 0;
    if (machine != 0 && machine != s->machine) {
        note(s, "%s (%s there is for %s)", dir, file, pe_machine_name(machine));
        return LDR_FOUND_NOTHING;
    }
    note(s, "%s", dir);
    return found(s, path, LDR_FOUND_FILE);
}

static enum ldr_found look_everywhere(struct search *s, const char *file, const char *importer_dir)
{
    struct ldr_strings dirs = {0};
    enum ldr_found result = LDR_FOUND_NOTHING;
    if (!ldr_search_directories(importer_dir, s->flags, &dirs))
        note(s, "no memory for the search path");
    for (size_t i = 0; i < dirs.count && result == LDR_FOUND_NOTHING; i++)
        result = look_in(s, dirs.items[i], file);
    ldr_strings_free(&dirs);
    return result;
}

/* ---- bare names ---- */

static enum ldr_found resolve_bare(struct search *s, const char *name, const char *importer_dir)
{
    char file[NAME_MAX + 1];
    const char *host = ldr_apiset_host(name);
    if (host != NULL && host[0] == '\0') {
        note(s, "%s is an API set that no module serves", name);
        return LDR_FOUND_NOTHING;
    }
    if (!ldr_file_name(host ? host : name, s->flags, file, sizeof(file))) {
        note(s, "the module name is longer than a file name can be");
        return LDR_FOUND_NOTHING;
    }
    const struct ldr_builtin *builtin = s->flags & LDR_EXE ? NULL : ldr_builtin_find(file);
    enum ldr_found result = LDR_FOUND_NOTHING;
    if (builtin == NULL || (s->flags & LDR_PREFER_NATIVE))
        result = look_everywhere(s, file, importer_dir);
    if (result == LDR_FOUND_NOTHING && builtin != NULL)
        result = found(s, builtin->name, LDR_FOUND_BUILTIN);
    return result;
}

/* ---- names with a path ---- */

/* C:\Windows\System32 and SysWOW64 are where the builtin modules are. */
static bool is_system_directory(const char *path, size_t length)
{
    static const char *const directories[] = {"C:/windows/system32/", "C:/windows/syswow64/",
                                              "//?/C:/windows/system32/"};
    char normal[32];
    if (length >= sizeof(normal))
        return false;
    for (size_t i = 0; i < length; i++)
        normal[i] = path[i] == '\\' ? '/' : path[i];
    normal[length] = '\0';
    for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++)
        if (ldr_casecmp(normal, directories[i]) == 0)
            return true;
    return false;
}

/* A host path as it is spelled (an absolute one may hold backslashes), then as a Windows path. */
static enum ldr_found resolve_file(struct search *s, const char *path)
{
    char host[PATH_MAX];
    bool as_spelled = path[0] == '/' ||
                      (path[1] != ':' && strpbrk(path, "\\") == NULL && strstr(path, "..") == NULL);
    if (as_spelled && is_file(path))
        return found(s, path, LDR_FOUND_FILE);
    if (ldr_path_to_host_utf8(path, true, host, sizeof(host)) == STATUS_SUCCESS && is_file(host))
        return found(s, host, LDR_FOUND_FILE);
    return LDR_FOUND_NOTHING;
}

/* The name with the default extension comes first; as it is given second, which goes beyond Windows
 * for hosts whose images have no extension. */
static enum ldr_found resolve_path(struct search *s, const char *path)
{
    char file[PATH_MAX];
    size_t dir_length = (size_t)(ldr_base_name(path) - path);
    if (!ldr_file_name(path, s->flags, file, sizeof(file))) {
        note(s, "the module name is longer than any path");
        return LDR_FOUND_NOTHING;
    }
    const struct ldr_builtin *builtin =
        is_system_directory(path, dir_length) ? ldr_builtin_find(ldr_base_name(file)) : NULL;
    enum ldr_found result = LDR_FOUND_NOTHING;
    if (builtin == NULL || (s->flags & LDR_PREFER_NATIVE)) {
        note(s, "%.*s", dir_length > 1 ? (int)dir_length - 1 : (int)dir_length, path);
        result = resolve_file(s, file);
        if (result == LDR_FOUND_NOTHING)
            result = resolve_file(s, path);
    }
    if (result == LDR_FOUND_NOTHING && builtin != NULL)
        result = found(s, builtin->name, LDR_FOUND_BUILTIN);
    return result;
}

enum ldr_found ldr_resolve(const char *name, const char *importer_dir, uint32_t flags,
                           uint16_t machine, char *resolved, size_t resolved_size, char *searched,
                           size_t searched_size)
{
    struct search s = {.flags = flags,
                       .machine = machine,
                       .resolved = resolved,
                       .resolved_size = resolved_size,
                       .searched = searched,
                       .searched_size = searched_size};
    if (resolved_size > 0)
        resolved[0] = '\0';
    if (searched != NULL && searched_size > 0)
        searched[0] = '\0';
    const char *fault = name_fault(name);
    if (fault != NULL) {
        note(&s, "%s", fault);
        return LDR_FOUND_NOTHING;
    }
    ldr_lock();
    enum ldr_found result =
        ldr_is_path(name) ? resolve_path(&s, name) : resolve_bare(&s, name, importer_dir);
    ldr_unlock();
    return result;
}
