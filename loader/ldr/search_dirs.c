/*
 * What is searched: the directories that program and user have set, and their order (search.h).
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/ldr/ldr.h"
#include "loader/ldr/path.h"
#include "loader/ldr/search.h"

#define SEARCH_FLAGS                                                               \
    (LDR_SEARCH_DLL_LOAD_DIR | LDR_SEARCH_APPLICATION_DIR | LDR_SEARCH_USER_DIRS | \
     LDR_SEARCH_SYSTEM32 | LDR_SEARCH_DEFAULT_DIRS)

/* Under the loader lock. */
static struct {
    char *application_dir;
    char *dll_directory; /* SetDllDirectory: NULL = not called, "" = only drops the current one */
    struct ldr_strings user;
    uint32_t default_flags;
} settings;

bool ldr_strings_add(struct ldr_strings *list, const char *text, size_t length)
{
    for (size_t i = 0; i < list->count; i++)
        if (strlen(list->items[i]) == length && memcmp(list->items[i], text, length) == 0)
            return true;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 8;
        char **items = realloc(list->items, capacity * sizeof(*items));
        if (items == NULL)
            return false;
        list->items = items;
        list->capacity = capacity;
    }
    char *copy = strndup(text, length);
    if (copy == NULL)
        return false;
    list->items[list->count++] = copy;
    return true;
}

void ldr_strings_free(struct ldr_strings *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct ldr_strings){0};
}

/* ---- settings ---- */

static char *host_program_dir(void)
{
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
    path[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(path, '/');
    if (slash == NULL)
        return strdup("/");
    slash[slash == path] = '\0';
    return strdup(path);
}

void ldr_search_set_application_dir(const char *dir)
{
    char *copy = dir ? strdup(dir) : NULL;
    ldr_lock();
    free(settings.application_dir);
    settings.application_dir = copy;
    ldr_unlock();
}

const char *ldr_search_application_dir(void)
{
    if (settings.application_dir == NULL)
        settings.application_dir = host_program_dir();
    return settings.application_dir ? settings.application_dir : "/";
}

nt_status ldr_add_directory(const char *path, struct pe_error *err)
{
    char absolute[PATH_MAX];
    struct stat st;
    if (realpath(path, absolute) == NULL || stat(absolute, &st) != 0)
        return pe_fail(err, STATUS_OBJECT_PATH_NOT_FOUND, "%s: no such directory", path);
    if (!S_ISDIR(st.st_mode))
        return pe_fail(err, STATUS_OBJECT_PATH_NOT_FOUND, "%s: not a directory", path);
    ldr_lock();
    bool added = ldr_strings_add(&settings.user, absolute, strlen(absolute));
    ldr_unlock();
    if (!added)
        return pe_fail(err, STATUS_NO_MEMORY, "%s: no memory for a search directory", path);
    return STATUS_SUCCESS;
}

nt_status ldr_set_dll_directory(const char *path)
{
    char host[PATH_MAX];
    char *copy = NULL;
    if (path != NULL) {
        /* Windows takes a directory that does not exist (yet). */
        bool known = path[0] != '\0' &&
                     ldr_path_to_host_utf8(path, true, host, sizeof(host)) == STATUS_SUCCESS;
        copy = strdup(known ? host : path);
        if (copy == NULL)
            return STATUS_NO_MEMORY;
    }
    ldr_lock();
    free(settings.dll_directory);
    settings.dll_directory = copy;
    ldr_unlock();
    return STATUS_SUCCESS;
}

void ldr_set_default_flags(uint32_t flags)
{
    ldr_lock();
    settings.default_flags = flags & SEARCH_FLAGS;
    ldr_unlock();
}

/* ---- the order ---- */

static bool add_dir(struct ldr_strings *out, const char *dir)
{
    return dir == NULL || dir[0] == '\0' || ldr_strings_add(out, dir, strlen(dir));
}

static bool add_user_dirs(struct ldr_strings *out)
{
    bool ok = add_dir(out, settings.dll_directory);
    for (size_t i = 0; ok && i < settings.user.count; i++)
        ok = add_dir(out, settings.user.items[i]);
    const char *path = secure_getenv("PELDR_PATH");
    while (ok && path != NULL && *path != '\0') {
        size_t length = strcspn(path, ":");
        ok = length == 0 || ldr_strings_add(out, path, length);
        path += length + (path[length] == ':');
    }
    return ok;
}

static bool add_current_dir(struct ldr_strings *out)
{
    char cwd[PATH_MAX];
    return settings.dll_directory != NULL || getcwd(cwd, sizeof(cwd)) == NULL || add_dir(out, cwd);
}

/* The flags that decide: those of the call, else the process's default. An altered search keeps its
 * meaning under default flags as DLL_LOAD_DIR. */
static uint32_t effective_flags(uint32_t flags)
{
    uint32_t search = flags & SEARCH_FLAGS;
    if (search == 0 && settings.default_flags != 0)
        search =
            settings.default_flags | ((flags & LDR_ALTERED_SEARCH) ? LDR_SEARCH_DLL_LOAD_DIR : 0);
    if (search & LDR_SEARCH_DEFAULT_DIRS)
        search |= LDR_SEARCH_APPLICATION_DIR | LDR_SEARCH_USER_DIRS | LDR_SEARCH_SYSTEM32;
    return search;
}

bool ldr_search_directories(const char *importer_dir, uint32_t flags, struct ldr_strings *out)
{
    const char *application_dir = ldr_search_application_dir();
    uint32_t search = effective_flags(flags);
    if (search != 0)
        return (!(search & LDR_SEARCH_DLL_LOAD_DIR) || add_dir(out, importer_dir)) &&
               (!(search & LDR_SEARCH_APPLICATION_DIR) || add_dir(out, application_dir)) &&
               (!(search & LDR_SEARCH_USER_DIRS) || add_user_dirs(out));
    bool altered = (flags & LDR_ALTERED_SEARCH) && importer_dir != NULL;
    return (altered || add_dir(out, application_dir)) && add_dir(out, importer_dir) &&
           add_user_dirs(out) && add_current_dir(out);
}
