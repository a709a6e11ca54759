/*
 * Environment variables and the command line.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "loader/ke/teb.h"
#include "loader/win32/codepage.h"
#include "loader/win32/errors.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/process.h"
#include "loader/win32/strings.h"

static WCHAR *WINAPI_DEF k32_GetEnvironmentStringsW(void)
{
    WCHAR *copy = win32_environment_copy(NULL);
    return copy ? copy : win32_fail_null(ERROR_NOT_ENOUGH_MEMORY);
}

static char *WINAPI_DEF k32_GetEnvironmentStringsA(void)
{
    size_t units, written;
    WCHAR *wide = win32_environment_copy(&units);
    char *narrow = wide ? malloc(units) : NULL;
    if (narrow)
        win32_from_wide(CP_ACP, false, wide, units, narrow, units, '?', NULL, &written);
    free(wide);
    return narrow ? narrow : win32_fail_null(ERROR_NOT_ENOUGH_MEMORY);
}

static BOOL WINAPI_DEF k32_FreeEnvironmentStringsW(WCHAR *strings)
{
    free(strings);
    return TRUE;
}

static BOOL WINAPI_DEF k32_FreeEnvironmentStringsA(char *strings)
{
    free(strings);
    return TRUE;
}

/* The value of a variable, or NULL with the last error set. */
static WCHAR *get_variable(const WCHAR *name)
{
    WCHAR *value = name ? win32_getenv(name, win32_wlen(name)) : NULL;
    ke_set_last_error(value ? ERROR_SUCCESS : ERROR_ENVVAR_NOT_FOUND);
    return value;
}

static DWORD WINAPI_DEF k32_GetEnvironmentVariableW(const WCHAR *name, WCHAR *buffer, DWORD size)
{
    WCHAR *value = get_variable(name);
    DWORD result = value ? win32_return_wide(value, win32_wlen(value), buffer, size) : 0;
    free(value);
    return result;
}

static DWORD WINAPI_DEF k32_GetEnvironmentVariableA(const char *name, char *buffer, DWORD size)
{
    WCHAR *wide;
    if (!win32_widen(name, &wide))
        return 0;
    WCHAR *value = get_variable(wide);
    DWORD result = value ? win32_return_ansi(value, win32_wlen(value), buffer, size) : 0;
    free(wide);
    free(value);
    return result;
}

static BOOL set_variable(const WCHAR *name, const WCHAR *value)
{
    uint32_t error = win32_setenv(name, value);
    return error ? win32_fail(error) : TRUE;
}

static BOOL WINAPI_DEF k32_SetEnvironmentVariableW(const WCHAR *name, const WCHAR *value)
{
    return set_variable(name, value);
}

static BOOL WINAPI_DEF k32_SetEnvironmentVariableA(const char *name, const char *value)
{
    WCHAR *wide_name = NULL, *wide_value = NULL;
    BOOL ok = win32_widen(name, &wide_name) && win32_widen(value, &wide_value) &&
              set_variable(wide_name, wide_value);
    free(wide_name);
    free(wide_value);
    return ok;
}

/* Appends to a growing string; `*out` NULL afterwards means no memory. */
static void append(WCHAR **out, size_t *length, const WCHAR *s, size_t count)
{
    if (!*out)
        return;
    WCHAR *grown = realloc(*out, (*length + count + 1) * sizeof(WCHAR));
    if (!grown)
        free(*out);
    else
        memcpy(grown + *length, s, count * sizeof(WCHAR));
    *out = grown;
    *length += count;
}

/* "%NAME%" becomes its value; names that are not set stay as they stand. */
static WCHAR *expand(const WCHAR *in, size_t *length)
{
    WCHAR *out = malloc(sizeof(WCHAR));
    *length = 0;
    while (*in) {
        const WCHAR *end = *in == '%' ? win32_wchr(in + 1, '%') : NULL;
        WCHAR *value = end && end > in + 1 ? win32_getenv(in + 1, (size_t)(end - in - 1)) : NULL;
        if (value) {
            append(&out, length, value, win32_wlen(value));
            in = end + 1;
        } else {
            append(&out, length, in++, 1);
        }
        free(value);
    }
    if (out)
        out[*length] = 0;
    return out;
}

/* The result counts the NUL, both when it fits and when it does not. */
static DWORD WINAPI_DEF k32_ExpandEnvironmentStringsW(const WCHAR *in, WCHAR *buffer, DWORD size)
{
    size_t length;
    WCHAR *out = expand(in, &length);
    if (!out)
        return (DWORD)win32_fail(ERROR_NOT_ENOUGH_MEMORY);
    win32_return_wide(out, length, buffer, size);
    free(out);
    return (DWORD)length + 1;
}

static DWORD WINAPI_DEF k32_ExpandEnvironmentStringsA(const char *in, char *buffer, DWORD size)
{
    size_t length = 0;
    WCHAR *wide = NULL, *out = NULL;
    if (win32_widen(in, &wide) && wide)
        out = expand(wide, &length);
    free(wide);
    if (!out)
        return (DWORD)win32_fail(ERROR_NOT_ENOUGH_MEMORY);
    win32_return_ansi(out, length, buffer, size);
    free(out);
    return (DWORD)length + 1;
}

static WCHAR *WINAPI_DEF k32_GetCommandLineW(void)
{
    return ke_peb()->ProcessParameters->CommandLine.Buffer;
}

/* The ANSI form lives as long as the process; it is made anew when an EXE's replaces the host's. */
static char *WINAPI_DEF k32_GetCommandLineA(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static const WCHAR *source;
    static char *narrow;
    pthread_mutex_lock(&lock);
    const WCHAR *wide = ke_peb()->ProcessParameters->CommandLine.Buffer;
    if (wide != source) {
        narrow = win32_narrow(wide);
        source = narrow ? wide : NULL;
    }
    pthread_mutex_unlock(&lock);
    return narrow;
}

const struct ldr_builtin_export kernel32_env_exports[] = {
    LDR_FN(k32_, GetEnvironmentStringsA),
    LDR_FN(k32_, GetEnvironmentStringsW),
    {.name = "GetEnvironmentStrings",
     .kind = LDR_EXPORT_FUNCTION,
     .address = (const void *)k32_GetEnvironmentStringsA},
    LDR_FN(k32_, FreeEnvironmentStringsA),
    LDR_FN(k32_, FreeEnvironmentStringsW),
    LDR_FN(k32_, GetEnvironmentVariableA),
    LDR_FN(k32_, GetEnvironmentVariableW),
    LDR_FN(k32_, SetEnvironmentVariableA),
    LDR_FN(k32_, SetEnvironmentVariableW),
    LDR_FN(k32_, ExpandEnvironmentStringsA),
    LDR_FN(k32_, ExpandEnvironmentStringsW),
    LDR_FN(k32_, GetCommandLineA),
    LDR_FN(k32_, GetCommandLineW),
};
const size_t kernel32_env_count = sizeof(kernel32_env_exports) / sizeof(*kernel32_env_exports);
