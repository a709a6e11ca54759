/*
 * The process environment (win32/process.h).
 *
 * The host's variables are taken over as they are, but PATH becomes a list of Windows directories,
 * and variables that every Windows process has are added where the host does not set them.
 */
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader/ke/ke.h"
#include "loader/ke/teb.h"
#include "loader/ldr/path.h"
#include "loader/win32/errors.h"
#include "loader/win32/process.h"
#include "loader/win32/strings.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static WCHAR *block; /* malloc'ed; what the PEB points to once installed */

/* ---- building a block --------------------------------------------------------------------------
 */

/* Strings in a row, each with its NUL, the last of which may be unfinished. */
struct list {
    WCHAR *units;
    size_t used, room;
    size_t *starts; /* of the finished strings in `units` */
    size_t count, starts_room;
    size_t start; /* of the string that is being put together */
    bool failed;  /* no memory: whatever is put now is lost */
};

/* Where `more` units can be written; NULL when the list has failed. */
static WCHAR *room_for(struct list *list, size_t more)
{
    if (!list->failed && list->room - list->used < more) {
        size_t room = (list->used + more) * 2;
        WCHAR *grown = realloc(list->units, room * sizeof(*grown));
        list->failed = !grown;
        if (grown) {
            list->units = grown;
            list->room = room;
        }
    }
    return list->failed ? NULL : list->units + list->used;
}

static void put_utf8(struct list *list, const char *text)
{
    size_t length = strlen(text);
    WCHAR *at = room_for(list, length + 1); /* no character takes more units than bytes */
    if (at)
        list->used += ldr_utf8_to_utf16(text, length, at, length + 1);
}

/* A path of the host as Windows spells it. */
static void put_path(struct list *list, const char *host)
{
    WCHAR *at = room_for(list, PATH_MAX + 3);
    if (at)
        list->used += ldr_path_to_windows(host, at, PATH_MAX + 3);
}

/* What was put since the last call becomes a string. */
static void end_string(struct list *list)
{
    WCHAR *at = room_for(list, 1);
    if (at && list->count == list->starts_room) {
        size_t room = list->starts_room ? list->starts_room * 2 : 64;
        size_t *grown = realloc(list->starts, room * sizeof(*grown));
        list->failed = !grown;
        if (grown) {
            list->starts = grown;
            list->starts_room = room;
        }
    }
    if (list->failed)
        return;
    *at = 0;
    list->used++;
    list->starts[list->count++] = list->start;
    list->start = list->used;
}

/* "/usr/bin:/bin" -> "Z:\usr\bin;Z:\bin" */
static void append_path(struct list *list, const char *value)
{
    char *copy = strdup(value), *save = NULL;
    list->failed = list->failed || !copy;
    put_utf8(list, "PATH=");
    for (char *part = copy ? strtok_r(copy, ":", &save) : NULL, *first = part; part;
         part = strtok_r(NULL, ":", &save)) {
        if (part != first)
            put_utf8(list, ";");
        put_path(list, part);
    }
    free(copy);
    end_string(list);
}

static void append_unless_set(struct list *list, const char *name, const char *value, bool is_path)
{
    if (getenv(name) || !value)
        return;
    put_utf8(list, name);
    put_utf8(list, "=");
    if (is_path)
        put_path(list, value);
    else
        put_utf8(list, value);
    end_string(list);
}

static void append_defaults(struct list *list)
{
    const char *temp = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    const struct {
        const char *name, *value; /* NULL: not without a host's */
        bool is_path;
    } defaults[] = {
        {"SystemRoot", "C:\\Windows", false},
        {"windir", "C:\\Windows", false},
        {"SystemDrive", "C:", false},
        {"OS", "Windows_NT", false},
        {"PATHEXT", ".COM;.EXE", false},
        {"PROCESSOR_ARCHITECTURE", sizeof(void *) == 8 ? "AMD64" : "x86", false},
        {"TEMP", temp, true},
        {"TMP", temp, true},
        {"USERPROFILE", getenv("HOME"), true},
        {"USERNAME", getenv("USER"), false},
    };
    for (size_t i = 0; i < sizeof(defaults) / sizeof(*defaults); i++)
        append_unless_set(list, defaults[i].name, defaults[i].value, defaults[i].is_path);
}

static int compare_strings(const void *a, const void *b, void *units)
{
    return win32_wicmp((const WCHAR *)units + *(const size_t *)a,
                       (const WCHAR *)units + *(const size_t *)b);
}

static WCHAR *join_sorted(struct list *list)
{
    WCHAR *out = calloc(list->used + 2, sizeof(WCHAR)), *at = out;
    if (list->count)
        qsort_r(list->starts, list->count, sizeof(*list->starts), compare_strings, list->units);
    for (size_t i = 0; i < list->count && out; i++) {
        const WCHAR *string = list->units + list->starts[i];
        size_t units = win32_wlen(string) + 1;
        memcpy(at, string, units * sizeof(WCHAR));
        at += units;
    }
    return out;
}

static WCHAR *block_from_host(void)
{
    struct list list = {0};
    for (char **entry = environ; entry && *entry; entry++) {
        if (!strncmp(*entry, "PATH=", 5)) {
            append_path(&list, *entry + 5);
        } else if (**entry) {
            put_utf8(&list, *entry);
            end_string(&list);
        }
    }
    append_defaults(&list);
    WCHAR *out = list.failed ? NULL : join_sorted(&list);
    free(list.units);
    free(list.starts);
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
