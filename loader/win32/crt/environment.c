/*
 * The environment as the C runtime keeps it: _environ and _wenviron, a copy of the process
 * environment taken at start, changed by _putenv, which also changes the process's (KERNEL32's).
 */
#include <pthread.h>
#include <stdlib.h>

#include "loader/win32/codepage.h"
#include "loader/win32/crt/data.h"
#include "loader/win32/crt/startup.h"
#include "loader/win32/errors.h"
#include "loader/win32/process.h"
#include "loader/win32/strings.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static size_t used, room;      /* strings in both arrays, and places for them without the NULL */
static void *outgrown[2 * 64]; /* arrays that are too small by now; sizes double, so they are few */
static size_t outgrown_count;
/* The strings of the start, which stay where they are when a program lets go of some. */
static struct {
    crt_wchar *wide;
    char *narrow;
    size_t units; /* in both */
} inherited;

static crt_wchar **wide_array(void)
{
    return *crt_data.wide_environment;
}

static char **narrow_array(void)
{
    return *crt_data.environment;
}

/*
 * Makes place for one more string. Old arrays stay, since main's envp and __initenv may point to
 * them; sizes double, so they are few.
 */
static bool grow(void)
{
    if (used < room) {
        return true;
    }
    size_t size = room != 0 ? 2 * room : 64;
    crt_wchar **wide = calloc(size + 1, sizeof(*wide));
    char **narrow = calloc(size + 1, sizeof(*narrow));
    if (wide == NULL || narrow == NULL) {
        free(wide);
        free(narrow);
        return false;
    }
    for (size_t i = 0; i < used; i++) {
        wide[i] = wide_array()[i];
        narrow[i] = narrow_array()[i];
    }
    outgrown[outgrown_count++] = wide_array();
    outgrown[outgrown_count++] = narrow_array();
    *crt_data.wide_environment = wide;
    *crt_data.environment = narrow;
    room = size;
    return true;
}

static bool append(crt_wchar *wide, char *narrow)
{
    if (!grow()) {
        return false;
    }
    wide_array()[used] = wide;
    narrow_array()[used] = narrow;
    used++;
    return true;
}

/* `string` is "NAME=value"; both copies are owned by the arrays. */
static bool add(const crt_wchar *string)
{
    crt_wchar *wide = win32_wdup(string, SIZE_MAX);
    char *narrow = wide != NULL ? win32_narrow(wide) : NULL;
    if (narrow == NULL || !append(wide, narrow)) {
        free(wide);
        free(narrow);
        return false;
    }
    return true;
}

/* The code page is a single-byte one: a string begins at the same place in both. */
static bool narrow_inherited(void)
{
    size_t units;
    inherited.narrow = malloc(inherited.units);
    return inherited.narrow != NULL &&
           win32_from_wide(CP_ACP, false, inherited.wide, inherited.units, inherited.narrow,
                           inherited.units, '?', NULL, &units) == ERROR_SUCCESS;
}

void crt_environment_init(void)
{
    pthread_mutex_lock(&lock);
    grow(); /* an empty environment has arrays, too */
    inherited.wide = win32_environment_copy(&inherited.units);
    if (inherited.wide != NULL && narrow_inherited()) {
        for (crt_wchar *at = inherited.wide; *at != 0; at += crt_wlen(at) + 1) {
            if (*at != '=') { /* "=C:=..." are the drives' current directories */
                append(at, inherited.narrow + (at - inherited.wide));
            }
        }
    }
    *crt_data.initial_environment = narrow_array();
    *crt_data.wide_initial_environment = wide_array();
    pthread_mutex_unlock(&lock);
}

static size_t name_length(const crt_wchar *string)
{
    size_t n = 0;
    while (string[n] != 0 && string[n] != '=') {
        n++;
    }
    return n;
}

/* Index of a variable; `used` = there is none. Lock held. */
static size_t find(const crt_wchar *name, size_t length)
{
    size_t i = 0;
    while (i < used && !(name_length(wide_array()[i]) == length &&
                         win32_wnicmp(wide_array()[i], name, length) == 0)) {
        i++;
    }
    return i;
}

static void erase(size_t i)
{
    if ((uintptr_t)wide_array()[i] - (uintptr_t)inherited.wide >=
        inherited.units * sizeof(*inherited.wide)) {
        free(wide_array()[i]);
        free(narrow_array()[i]);
    }
    for (used--; i < used; i++) {
        wide_array()[i] = wide_array()[i + 1];
        narrow_array()[i] = narrow_array()[i + 1];
    }
    wide_array()[used] = NULL;
    narrow_array()[used] = NULL;
}

/* "NAME=value" sets, "NAME=" deletes. 0, or an errno value. */
static int put(const crt_wchar *assignment)
{
    size_t length = assignment != NULL ? name_length(assignment) : 0;
    if (length == 0 || assignment[length] == 0) {
        return crt_invalid(CRT_EINVAL);
    }
    crt_wchar *name = win32_wdup(assignment, length);
    const crt_wchar *value = assignment + length + 1;
    bool ok = name != NULL;
    pthread_mutex_lock(&lock);
    size_t old = find(assignment, length);
    if (ok && old < used) {
        erase(old);
    }
    ok = ok && (*value == 0 || add(assignment));
    pthread_mutex_unlock(&lock);
    if (ok) {
        win32_setenv(name, *value != 0 ? value : NULL);
    }
    free(name);
    if (!ok) {
        crt_set_errno(CRT_ENOMEM);
    }
    return ok ? 0 : CRT_ENOMEM;
}

/* ---- what images call
 * ------------------------------------------------------------------------------------ */

static WINCDECL_DEF crt_wchar *crt__wgetenv(const crt_wchar *name)
{
    crt_wchar *value = NULL;
    if (name == NULL) {
        crt_invalid(CRT_EINVAL);
        return NULL;
    }
    size_t length = crt_wlen(name);
    pthread_mutex_lock(&lock);
    size_t i = find(name, length);
    if (i < used && length != 0) {
        value = wide_array()[i] + length + 1;
    }
    pthread_mutex_unlock(&lock);
    return value;
}

static WINCDECL_DEF char *crt_getenv(const char *name)
{
    crt_wchar *wide;
    char *value = NULL;
    if (name == NULL || !win32_widen(name, &wide)) {
        crt_invalid(CRT_EINVAL);
        return NULL;
    }
    size_t length = crt_wlen(wide);
    pthread_mutex_lock(&lock);
    size_t i = find(wide, length);
    if (i < used && length != 0) {
        value = strchr(narrow_array()[i], '=') + 1;
    }
    pthread_mutex_unlock(&lock);
    free(wide);
    return value;
}

static WINCDECL_DEF int crt__wputenv(const crt_wchar *assignment)
{
    return put(assignment) == 0 ? 0 : -1;
}

static WINCDECL_DEF int crt__putenv(const char *assignment)
{
    crt_wchar *wide = NULL;
    if (assignment != NULL && !win32_widen(assignment, &wide)) {
        return -1;
    }
    int result = put(wide) == 0 ? 0 : -1;
    free(wide);
    return result;
}

static WINCDECL_DEF int crt__wputenv_s(const crt_wchar *name, const crt_wchar *value)
{
    if (name == NULL || value == NULL) {
        return crt_invalid(CRT_EINVAL);
    }
    size_t name_size = crt_wlen(name), value_size = crt_wlen(value) + 1;
    crt_wchar *assignment = malloc((name_size + 1 + value_size) * sizeof(*assignment));
    if (assignment == NULL) {
        return CRT_ENOMEM;
    }
    memcpy(assignment, name, name_size * sizeof(*name));
    assignment[name_size] = '=';
    memcpy(assignment + name_size + 1, value, value_size * sizeof(*value));
    int result = put(assignment);
    free(assignment);
    return result;
}

static WINCDECL_DEF int crt__putenv_s(const char *name, const char *value)
{
    crt_wchar *wide_name = NULL, *wide_value = NULL;
    if (name == NULL || value == NULL) {
        return crt_invalid(CRT_EINVAL);
    }
    int result = CRT_ENOMEM;
    if (win32_widen(name, &wide_name) && win32_widen(value, &wide_value)) {
        result = crt__wputenv_s(wide_name, wide_value);
    }
    free(wide_name);
    free(wide_value);
    return result;
}

/* getenv_s: `*needed` counts the NUL, 0 = not set. */
static WINCDECL_DEF int crt_getenv_s(size_t *needed, char *buffer, size_t size, const char *name)
{
    if (needed == NULL || (buffer == NULL && size != 0) || name == NULL) {
        return crt_invalid(CRT_EINVAL);
    }
    const char *value = crt_getenv(name);
    *needed = value != NULL ? strlen(value) + 1 : 0;
    if (buffer == NULL) {
        return 0;
    }
    if (*needed > size) {
        return CRT_ERANGE;
    }
    memcpy(buffer, value != NULL ? value : "", value != NULL ? *needed : 1);
    return 0;
}

static WINCDECL_DEF int crt__wgetenv_s(size_t *needed, crt_wchar *buffer, size_t size,
                                       const crt_wchar *name)
{
    if (needed == NULL || (buffer == NULL && size != 0) || name == NULL) {
        return crt_invalid(CRT_EINVAL);
    }
    const crt_wchar *value = crt__wgetenv(name);
    *needed = value != NULL ? crt_wlen(value) + 1 : 0;
    if (buffer == NULL) {
        return 0;
    }
    if (*needed > size) {
        return CRT_ERANGE;
    }
    buffer[0] = 0;
    if (value != NULL) {
        memcpy(buffer, value, *needed * sizeof(*value));
    }
    return 0;
}

static WINCDECL_DEF int crt__dupenv_s(char **out, size_t *size, const char *name)
{
    if (out == NULL || name == NULL) {
        return crt_invalid(CRT_EINVAL);
    }
    const char *value = crt_getenv(name);
    *out = value != NULL ? crt_heap_copy(value, strlen(value) + 1) : NULL;
    if (size != NULL) {
        *size = *out != NULL ? strlen(*out) + 1 : 0;
    }
    return value != NULL && *out == NULL ? CRT_ENOMEM : 0;
}

static WINCDECL_DEF int crt__wdupenv_s(crt_wchar **out, size_t *size, const crt_wchar *name)
{
    if (out == NULL || name == NULL) {
        return crt_invalid(CRT_EINVAL);
    }
    const crt_wchar *value = crt__wgetenv(name);
    *out = value != NULL ? crt_heap_copy(value, (crt_wlen(value) + 1) * sizeof(*value)) : NULL;
    if (size != NULL) {
        *size = *out != NULL ? crt_wlen(*out) + 1 : 0;
    }
    return value != NULL && *out == NULL ? CRT_ENOMEM : 0;
}

static const struct ldr_builtin_export functions[] = {
    CRT_FN(getenv),     CRT_FN(_wgetenv), CRT_FN(_putenv),    CRT_FN(_wputenv),  CRT_FN(_putenv_s),
    CRT_FN(_wputenv_s), CRT_FN(getenv_s), CRT_FN(_wgetenv_s), CRT_FN(_dupenv_s), CRT_FN(_wdupenv_s),
};
CRT_FAMILY(crt_environment_family, functions);
