/*
 * UTF-16 helpers and the conversions of the A functions (win32/strings.h).
 */
#include "loader/win32/strings.h"

#include <stdlib.h>
#include <string.h>

#include "loader/ldr/path.h"
#include "loader/win32/codepage.h"
#include "loader/win32/errors.h"

bool win32_file_apis_oem;

size_t win32_wlen(const WCHAR *s)
{
    size_t length = 0;
    while (s[length])
        length++;
    return length;
}

int win32_wcmp(const WCHAR *a, const WCHAR *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return (int)*a - (int)*b;
}

int win32_wnicmp(const WCHAR *a, const WCHAR *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        WCHAR ca = win32_upper(a[i]), cb = win32_upper(b[i]);
        if (ca != cb || !ca)
            return (int)ca - (int)cb;
    }
    return 0;
}

int win32_wicmp(const WCHAR *a, const WCHAR *b)
{
    return win32_wnicmp(a, b, SIZE_MAX);
}

WCHAR *win32_wchr(const WCHAR *s, WCHAR c)
{
    for (;; s++) {
        if (*s == c)
            return (WCHAR *)s;
        if (!*s)
            return NULL;
    }
}

WCHAR *win32_wdup(const WCHAR *s, size_t length)
{
    if (length == SIZE_MAX)
        length = win32_wlen(s);
    WCHAR *copy = malloc((length + 1) * sizeof(WCHAR));
    if (!copy) {
        win32_fail(ERROR_NOT_ENOUGH_MEMORY);
        return NULL;
    }
    memcpy(copy, s, length * sizeof(WCHAR));
    copy[length] = 0;
    return copy;
}

static bool widen(UINT codepage, const char *in, WCHAR **out)
{
    *out = NULL;
    if (!in)
        return true;
    size_t length = strlen(in) + 1, units;
    WCHAR *wide = malloc(length * sizeof(WCHAR));
    if (!wide)
        return win32_fail(ERROR_NOT_ENOUGH_MEMORY);
    win32_to_wide(codepage, false, in, length, wide, length, &units);
    *out = wide;
    return true;
}

bool win32_widen(const char *in, WCHAR **out)
{
    return widen(CP_ACP, in, out);
}

bool win32_widen_path(const char *in, WCHAR **out)
{
    return widen(win32_file_apis_oem ? CP_OEMCP : CP_ACP, in, out);
}

char *win32_narrow(const WCHAR *in)
{
    size_t length = win32_wlen(in) + 1, units;
    char *narrow = malloc(length);
    if (!narrow) {
        win32_fail(ERROR_NOT_ENOUGH_MEMORY);
        return NULL;
    }
    win32_from_wide(CP_ACP, false, in, length, narrow, length, '?', NULL, &units);
    return narrow;
}

char *win32_utf8_of_wide(const WCHAR *in, size_t length)
{
    if (length == SIZE_MAX)
        length = win32_wlen(in);
    size_t size = ldr_utf16_to_utf8(in, length, NULL, 0) + 1;
    char *out = malloc(size);
    if (out)
        ldr_utf16_to_utf8(in, length, out, size);
    return out;
}

WCHAR *win32_wide_of_utf8(const char *in)
{
    size_t size = ldr_utf8_to_utf16(in, strlen(in), NULL, 0) + 1;
    WCHAR *out = malloc(size * sizeof(WCHAR));
    if (out)
        ldr_utf8_to_utf16(in, strlen(in), out, size);
    return out;
}

DWORD win32_return_wide(const WCHAR *s, size_t length, WCHAR *buffer, DWORD size)
{
    if (length >= size)
        return (DWORD)length + 1;
    memcpy(buffer, s, length * sizeof(WCHAR));
    buffer[length] = 0;
    return (DWORD)length;
}

static DWORD return_narrow(UINT codepage, const WCHAR *s, size_t length, char *buffer, DWORD size)
{
    size_t units;
    /* Both narrow pages are single-byte: one byte a unit. */
    if (length >= size)
        return (DWORD)length + 1;
    if (length)
        win32_from_wide(codepage, false, s, length, buffer, size, '?', NULL, &units);
    buffer[length] = 0;
    return (DWORD)length;
}

DWORD win32_return_ansi(const WCHAR *s, size_t length, char *buffer, DWORD size)
{
    return return_narrow(CP_ACP, s, length, buffer, size);
}

DWORD win32_return_path(const WCHAR *s, size_t length, char *buffer, DWORD size)
{
    return return_narrow(win32_file_apis_oem ? CP_OEMCP : CP_ACP, s, length, buffer, size);
}
