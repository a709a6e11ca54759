/*
 * USER32.dll without windows: string resources, characters, wsprintf.
 *
 * A string table resource holds 16 counted UTF-16 strings; string N is number N % 16 of the
 * resource named N / 16 + 1 (Microsoft, "STRINGTABLE resource").
 */
#include <stdlib.h>
#include <string.h>

#include "loader/ke/ke.h"
#include "loader/win32/codepage.h"
#include "loader/win32/crt/format.h"
#include "loader/win32/errors.h"
#include "loader/win32/resource.h"
#include "loader/win32/smalldlls.h"
#include "loader/win32/strings.h"
#include "pe/span.h"

#define RT_STRING      ((const WCHAR *)(uintptr_t)6)
#define WSPRINTF_UNITS 1024 /* with the NUL */

/* ---- string resources ---- */

/* The string, not NUL-terminated, inside the image; NULL with the last error set. */
static const WCHAR *find_string(HMODULE module, UINT id, size_t *length)
{
    HRSRC resource;
    uint32_t size = 0;
    const WCHAR *block = (const WCHAR *)(uintptr_t)((id >> 4 & 0xFFF) + 1);
    if (!win32_result(win32_resource_find(module, RT_STRING, block, 0, &resource)))
        return NULL;
    const uint8_t *bytes = win32_resource_data(module, resource, &size);
    struct pe_span span = {bytes, bytes ? size : 0};
    uint64_t at = 0;
    uint16_t count;
    for (unsigned i = 0; pe_u16(span, at, &count); i++, at += 2 + 2ull * count) {
        if (i < (id & 15))
            continue;
        if (!count || !pe_sub(span, at + 2, 2ull * count, &span))
            break;
        *length = count;
        return (const WCHAR *)(const void *)span.data;
    }
    return win32_fail_null(ERROR_RESOURCE_NAME_NOT_FOUND);
}

/* With a size of 0, `buffer` is where to put a pointer to the string in the image. */
static INT WINAPI_DEF u32_LoadStringW(HMODULE module, UINT id, WCHAR *buffer, INT size)
{
    size_t length = 0;
    if (!buffer || size < 0)
        return win32_fail(ERROR_INVALID_PARAMETER);
    const WCHAR *text = find_string(module, id, &length);
    if (!size) {
        if (text)
            memcpy(buffer, &text, sizeof(text));
        return (INT)length;
    }
    if (length >= (size_t)size)
        length = (size_t)size - 1;
    if (length)
        memcpy(buffer, text, length * sizeof(WCHAR));
    buffer[length] = 0;
    return (INT)length;
}

static INT WINAPI_DEF u32_LoadStringA(HMODULE module, UINT id, char *buffer, INT size)
{
    size_t length = 0;
    if (!buffer || size <= 0)
        return win32_fail(ERROR_INVALID_PARAMETER);
    const WCHAR *text = find_string(module, id, &length);
    if (length >= (size_t)size)
        length = (size_t)size - 1;
    if (length)
        win32_from_wide(CP_ACP, false, text, length, buffer, (size_t)size - 1, '?', NULL, &length);
    buffer[length] = 0;
    return (INT)length;
}

/* ---- letters ---- */

typedef WCHAR (*map_unit)(WCHAR c);

static void map_wide(WCHAR *text, size_t length, map_unit map)
{
    for (size_t i = 0; i < length; i++)
        text[i] = map(text[i]);
}

/* The ANSI page is single-byte: characters map one to one, or stay when the page lacks the other.
 */
static void map_narrow(char *text, size_t length, map_unit map)
{
    for (size_t i = 0; i < length; i++) {
        WCHAR wide;
        char mapped;
        bool lost = false;
        size_t units;
        win32_to_wide(CP_ACP, false, text + i, 1, &wide, 1, &units);
        wide = map(wide);
        win32_from_wide(CP_ACP, false, &wide, 1, &mapped, 1, '?', &lost, &units);
        if (!lost)
            text[i] = mapped;
    }
}

/* A "string" below 64 KiB is one character, which is returned mapped. */
static WCHAR *map_wide_string(WCHAR *text, map_unit map)
{
    if ((uintptr_t)text <= 0xFFFF)
        return (WCHAR *)(uintptr_t)map((WCHAR)(uintptr_t)text);
    map_wide(text, win32_wlen(text), map);
    return text;
}

static char *map_narrow_string(char *text, map_unit map)
{
    if ((uintptr_t)text <= 0xFFFF) {
        char c = (char)(uintptr_t)text;
        map_narrow(&c, 1, map);
        return (char *)(uintptr_t)(uint8_t)c;
    }
    map_narrow(text, strlen(text), map);
    return text;
}

#define DEFINE_MAPPING(name, map)                                        \
    static WCHAR *WINAPI_DEF u32_##name##W(WCHAR *text)                  \
    {                                                                    \
        return map_wide_string(text, map);                               \
    }                                                                    \
    static char *WINAPI_DEF u32_##name##A(char *text)                    \
    {                                                                    \
        return map_narrow_string(text, map);                             \
    }                                                                    \
    static DWORD WINAPI_DEF u32_##name##BuffW(WCHAR *text, DWORD length) \
    {                                                                    \
        map_wide(text, length, map);                                     \
        return length;                                                   \
    }                                                                    \
    static DWORD WINAPI_DEF u32_##name##BuffA(char *text, DWORD length)  \
    {                                                                    \
        map_narrow(text, length, map);                                   \
        return length;                                                   \
    }
DEFINE_MAPPING(CharUpper, win32_upper)
DEFINE_MAPPING(CharLower, win32_lower)

/* At the NUL there is no next character, at the begin no previous one. */
static WCHAR *WINAPI_DEF u32_CharNextW(const WCHAR *at)
{
    return (WCHAR *)at + (*at != 0);
}

static char *WINAPI_DEF u32_CharNextA(const char *at)
{
    return (char *)at + (*at != 0);
}

static WCHAR *WINAPI_DEF u32_CharPrevW(const WCHAR *start, const WCHAR *at)
{
    return (WCHAR *)at - (at > start);
}

static char *WINAPI_DEF u32_CharPrevA(const char *start, const char *at)
{
    return (char *)at - (at > start);
}

enum { C1_UPPER = 0x1, C1_LOWER = 0x2, C1_DIGIT = 0x4, C1_ALPHA = 0x100 };

static BOOL WINAPI_DEF u32_IsCharAlphaW(WCHAR c)
{
    return (win32_ctype(c)->ctype1 & C1_ALPHA) != 0;
}

static BOOL WINAPI_DEF u32_IsCharAlphaNumericW(WCHAR c)
{
    return (win32_ctype(c)->ctype1 & (C1_ALPHA | C1_DIGIT)) != 0;
}

static BOOL WINAPI_DEF u32_IsCharUpperW(WCHAR c)
{
    return (win32_ctype(c)->ctype1 & C1_UPPER) != 0;
}

static BOOL WINAPI_DEF u32_IsCharLowerW(WCHAR c)
{
    return (win32_ctype(c)->ctype1 & C1_LOWER) != 0;
}

/* ---- wsprintf: printf cut at 1024 units; %s is of the function's own width ---- */

static INT format_text(bool wide, void *out, const void *format, win_va_list arguments)
{
    size_t unit = wide ? sizeof(WCHAR) : 1;
    unsigned options = CRT_FORMAT_MSVCRT | CRT_FORMAT_STANDARD_SNPRINTF;
    INT length = crt_format_buffer(wide, out, WSPRINTF_UNITS, format, options, arguments);
    if (length >= WSPRINTF_UNITS) {
        length = WSPRINTF_UNITS - 1;
        memset((char *)out + (size_t)length * unit, 0, unit);
    }
    return length;
}

static INT WINAPI_DEF u32_wvsprintfA(char *out, const char *format, win_va_list arguments)
{
    return format_text(false, out, format, arguments);
}

static INT WINAPI_DEF u32_wvsprintfW(WCHAR *out, const WCHAR *format, win_va_list arguments)
{
    return format_text(true, out, format, arguments);
}

static INT WINCDECL_DEF u32_wsprintfA(char *out, const char *format, ...)
{
    win_va_list arguments;
    win_va_start(arguments, format);
    INT length = format_text(false, out, format, arguments);
    win_va_end(arguments);
    return length;
}

static INT WINCDECL_DEF u32_wsprintfW(WCHAR *out, const WCHAR *format, ...)
{
    win_va_list arguments;
    win_va_start(arguments, format);
    INT length = format_text(true, out, format, arguments);
    win_va_end(arguments);
    return length;
}

const struct ldr_builtin_export user32_exports[] = {
    LDR_FN(u32_, LoadStringA),         LDR_FN(u32_, LoadStringW),    LDR_FN(u32_, CharUpperA),
    LDR_FN(u32_, CharUpperW),          LDR_FN(u32_, CharUpperBuffA), LDR_FN(u32_, CharUpperBuffW),
    LDR_FN(u32_, CharLowerA),          LDR_FN(u32_, CharLowerW),     LDR_FN(u32_, CharLowerBuffA),
    LDR_FN(u32_, CharLowerBuffW),      LDR_FN(u32_, CharNextA),      LDR_FN(u32_, CharNextW),
    LDR_FN(u32_, CharPrevA),           LDR_FN(u32_, CharPrevW),      LDR_FN(u32_, IsCharAlphaW),
    LDR_FN(u32_, IsCharAlphaNumericW), LDR_FN(u32_, IsCharUpperW),   LDR_FN(u32_, IsCharLowerW),
    LDR_FN(u32_, wsprintfA),           LDR_FN(u32_, wsprintfW),      LDR_FN(u32_, wvsprintfA),
    LDR_FN(u32_, wvsprintfW),
};
const size_t user32_count = sizeof(user32_exports) / sizeof(*user32_exports);
