/*
 * The process environment (win32/process.h).
 *
 * The host's variables are taken over as they are, but PATH becomes a list of Windows directories,
 * and variables that every Windows process has are added where the host does not set them.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader/ke/ke.h"
#include "loader/ke/teb.h"
#include "loader/win32/errors.h"
#include "loader/win32/filename.h"
#include "loader/win32/process.h"
#include "loader/win32/strings.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static WCHAR *block; /* malloc'ed; what the PEB points to once installed */

/* ---- building a block --------------------------------------------------------------------------
 */

struct list {
    WCHAR **strings;
    size_t count;
};

static bool append(struct list *list, WCHAR *string)
{
    WCHAR **grown = realloc(list->strings, (list->count + 1) * sizeof(*grown));
    if (!grown || !string) {
        list->strings = grown ? grown : list->strings;
        free(string);
        return false;
    }
    list->strings = grown;
    grown[list->count++] = string;
    return true;
}

static bool append_utf8(struct list *list, const char *name, const char *value)
{
    size_t size = strlen(name) + strlen(value) + 2;
    char *text = malloc(size);
    if (!text)
        return false;
    snprintf(text, size, "%s=%s", name, value);
    bool ok = append(list, win32_wide_of_utf8(text));
    free(text);
    return ok;
}

static void free_list(struct list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->strings[i]);
    free(list->strings);
}

/* "/usr/bin:/bin" -> "Z:\usr\bin;Z:\bin" */
static bool append_path(struct list *list, const char *value)
{
    static const WCHAR name[] = {'P', 'A', 'T', 'H', '=', 0};
    char *copy = strdup(value), *save = NULL;
    WCHAR *out = win32_wdup(name, SIZE_MAX);
    size_t length = win32_wlen(name);
    for (char *part = copy ? strtok_r(copy, ":", &save) : NULL; part && out;
         part = strtok_r(NULL, ":", &save)) {
        WCHAR *dir = win32_windows_path(part);
        size_t more = dir ? win32_wlen(dir) : 0;
        WCHAR *grown = realloc(out, (length + more + 2) * sizeof(WCHAR));
        if (!dir || !grown) {
            free(dir);
            free(grown ? grown : out);
            out = NULL;
            break;
        }
        out = grown;
        if (out[length - 1] != '=')
            out[length++] = ';';
        memcpy(out + length, dir, (more + 1) * sizeof(WCHAR));
        length += more;
        free(dir);
    }
    free(copy);
    return append(list, out);
}

static bool append_directory(struct list *list, const char *name, const char *host)
{
    char *utf8 = NULL;
    WCHAR *path = win32_windows_path(host);
    if (path)
        utf8 = win32_utf8_of_wide(path, SIZE_MAX);
    bool ok = utf8 && append_utf8(list, name, utf8);
    free(path);
    free(utf8);
    return ok;
}

static bool append_defaults(struct list *list)
{
    static const struct {
        const char *name, *value;
    } fixed[] = {
        {"SystemRoot", "C:\\Windows"},
        {"windir", "C:\\Windows"},
        {"SystemDrive", "C:"},
        {"OS", "Windows_NT"},
        {"PATHEXT", ".COM;.EXE"},
        {"PROCESSOR_ARCHITECTURE", sizeof(void *) == 8 ? "AMD64" : "x86"},
    };
    const char *temp = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    bool ok = true;
    for (size_t i = 0; i < sizeof(fixed) / sizeof(*fixed) && ok; i++)
        ok = getenv(fixed[i].name) || append_utf8(list, fixed[i].name, fixed[i].value);
    ok = ok && (getenv("TEMP") || append_directory(list, "TEMP", temp));
    ok = ok && (getenv("TMP") || append_directory(list, "TMP", temp));
    ok = ok && (getenv("USERPROFILE") || !getenv("HOME") ||
                append_directory(list, "USERPROFILE", getenv("HOME")));
    return ok &&
           (getenv("USERNAME") || !getenv("USER") || append_utf8(list, "USERNAME", getenv("USER")));
}

static int compare_strings(const void *a, const void *b)
{
    return win32_wicmp(*(WCHAR *const *)a, *(WCHAR *const *)b);
}

static WCHAR *join_list(const struct list *list)
{
    size_t units = 2;
    for (size_t i = 0; i < list->count; i++)
        units += win32_wlen(list->strings[i]) + 1;
    WCHAR *out = calloc(units, sizeof(WCHAR)), *at = out;
    for (size_t i = 0; i < list->count && out; i++) {
        size_t length = win32_wlen(list->strings[i]) + 1;
        memcpy(at, list->strings[i], length * sizeof(WCHAR));
        at += length;
    }
    return out;
}

static WCHAR *block_from_host(void)
{
    struct list list = {0};
    bool ok = true;
    for (char **entry = environ; entry && *entry && ok; entry++) {
        if (!strncmp(*entry, "PATH=", 5))
            ok = append_path(&list, *entry + 5);
        else if (**entry)
            ok = append(&list, win32_wide_of_utf8(*entry));
    }
    ok = ok && append_defaults(&list);
    if (ok)
        qsort(list.strings, list.count, sizeof(*list.strings), compare_strings);
    WCHAR *out = ok ? join_list(&list) : NULL;
    free_list(&list);
    return out;
}

/* ---- the process's block ------------------------------------------------------------------------
 */

/* The current block, which the PEB is made to show. Lock held; never NULL. */
static WCHAR *current(void)
{
    static WCHAR empty[2];
    struct ke_process_parameters *parameters = ke_peb()->ProcessParameters;
    if (!block)
        block = block_from_host();
    WCHAR *now = block ? block : empty;
    parameters->Environment = now;
    return now;
}

static size_t block_units(const WCHAR *at)
{
    const WCHAR *start = at;
    while (*at)
        at += win32_wlen(at) + 1;
    /* An empty block has two NULs as well. */
    return (size_t)(at - start) + (at == start ? 2 : 1);
}

void win32_environment_install(void)
{
    pthread_mutex_lock(&lock);
    current();
    pthread_mutex_unlock(&lock);
}

bool win32_environment_take(const WCHAR *source, size_t units)
{
    WCHAR *copy = calloc(units + 2, sizeof(*copy)); /* ends with two NULs whatever it holds */
    if (!copy)
        return false;
    if (units)
        memcpy(copy, source, units * sizeof(*copy));
    pthread_mutex_lock(&lock);
    free(block);
    block = copy;
    current();
    pthread_mutex_unlock(&lock);
    return true;
}

/* The entry of a variable, or the end of the block. Hidden "=C:" names begin with their "=". */
static WCHAR *find(WCHAR *at, const WCHAR *name, size_t length)
{
    while (*at) {
        const WCHAR *equals = win32_wchr(at + 1, '=');
        if (equals && (size_t)(equals - at) == length && !win32_wnicmp(at, name, length))
            return at;
        at += win32_wlen(at) + 1;
    }
    return at;
}

WCHAR *win32_getenv(const WCHAR *name, size_t name_length)
{
    pthread_mutex_lock(&lock);
    const WCHAR *entry = find(current(), name, name_length);
    WCHAR *value = *entry ? win32_wdup(entry + name_length + 1, SIZE_MAX) : NULL;
    pthread_mutex_unlock(&lock);
    return value;
}

WCHAR *win32_environment_copy(size_t *units)
{
    pthread_mutex_lock(&lock);
    const WCHAR *now = current();
    size_t count = block_units(now);
    WCHAR *copy = malloc(count * sizeof(WCHAR));
    if (copy)
        memcpy(copy, now, count * sizeof(WCHAR));
    pthread_mutex_unlock(&lock);
    if (units)
        *units = count;
    return copy;
}

/* A new block: the old one with the entry at `old` replaced (by nothing where `value` is NULL). */
static uint32_t replace(WCHAR *now, WCHAR *old, const WCHAR *name, const WCHAR *value)
{
    size_t units = block_units(now), before = (size_t)(old - now);
    size_t drop = *old ? win32_wlen(old) + 1 : 0;
    size_t name_length = win32_wlen(name);
    size_t add = value ? name_length + 1 + win32_wlen(value) + 1 : 0;
    WCHAR *fresh = calloc(units + add + 2, sizeof(WCHAR)), *at = fresh;
    if (!fresh)
        return ERROR_NOT_ENOUGH_MEMORY;
    memcpy(at, now, before * sizeof(WCHAR));
    at += before;
    if (value) {
        memcpy(at, name, name_length * sizeof(WCHAR));
        at[name_length] = '=';
        memcpy(at + name_length + 1, value, (add - name_length - 1) * sizeof(WCHAR));
        at += add;
    }
    memcpy(at, old + drop, (units - before - drop) * sizeof(WCHAR));
    WCHAR *previous = block;
    block = fresh;
    current();
    free(previous);
    return ERROR_SUCCESS;
}

uint32_t win32_setenv(const WCHAR *name, const WCHAR *value)
{
    if (!name || !name[0] || win32_wchr(name + 1, '='))
        return ERROR_INVALID_PARAMETER;
    pthread_mutex_lock(&lock);
    WCHAR *now = current(), *old = find(now, name, win32_wlen(name));
    uint32_t error = !value && !*old ? ERROR_ENVVAR_NOT_FOUND : replace(now, old, name, value);
    pthread_mutex_unlock(&lock);
    return error;
}
