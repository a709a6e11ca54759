/*
 * String functions of KERNEL32: lstr*, comparison, case mapping, character types.
 *
 * Linguistic comparison is approximated by a word sort over upper-cased UTF-16 units: equal strings
 * are equal as on Windows, letters order before case differences, but accents order by code point.
 */
#include <stdlib.h>
#include <string.h>

#include "loader/win32/codepage.h"
#include "loader/win32/errors.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/strings.h"

enum {
    NORM_IGNORECASE = 0x1,
    LINGUISTIC_IGNORECASE = 0x10,
    NORM_LINGUISTIC_CASING = 0x08000000,
    SORT_STRINGSORT = 0x1000,
    CSTR_LESS_THAN = 1,
    CSTR_EQUAL = 2,
    CSTR_GREATER_THAN = 3,
    LCMAP_LOWERCASE = 0x100,
    LCMAP_UPPERCASE = 0x200,
    LCMAP_SORTKEY = 0x400,
    LCMAP_BYTEREV = 0x800,
    LCMAP_LINGUISTIC_CASING = 0x01000000,
    CT_CTYPE1 = 1,
    CT_CTYPE2 = 2,
    CT_CTYPE3 = 4,
};

/* ---- lstr* --------------------------------------------------------------------------------- */

static INT WINAPI_DEF k32_lstrlenA(const char *s)
{
    return s ? (INT)strlen(s) : 0;
}

static INT WINAPI_DEF k32_lstrlenW(const WCHAR *s)
{
    return s ? (INT)win32_wlen(s) : 0;
}

static char *WINAPI_DEF k32_lstrcpyA(char *out, const char *in)
{
    return strcpy(out, in);
}

static WCHAR *WINAPI_DEF k32_lstrcpyW(WCHAR *out, const WCHAR *in)
{
    return memcpy(out, in, (win32_wlen(in) + 1) * sizeof(WCHAR));
}

static char *WINAPI_DEF k32_lstrcatA(char *out, const char *in)
{
    return strcat(out, in);
}

static WCHAR *WINAPI_DEF k32_lstrcatW(WCHAR *out, const WCHAR *in)
{
    k32_lstrcpyW(out + win32_wlen(out), in);
    return out;
}

static char *WINAPI_DEF k32_lstrcpynA(char *out, const char *in, INT size)
{
    if (size <= 0)
        return out;
    size_t length = strnlen(in, (size_t)size - 1);
    memcpy(out, in, length);
    out[length] = 0;
    return out;
}

static WCHAR *WINAPI_DEF k32_lstrcpynW(WCHAR *out, const WCHAR *in, INT size)
{
    INT i = 0;
    if (size <= 0)
        return out;
    for (; i < size - 1 && in[i]; i++)
        out[i] = in[i];
    out[i] = 0;
    return out;
}

/* ---- comparison ------------------------------------------------------------------------------ */

/* Windows's word sort puts punctuation before digits before letters, and disregards the hyphen and
 * the apostrophe at first. */
static uint32_t sort_weight(WCHAR c)
{
    const struct win32_ctype_run *type = win32_ctype(c);
    uint32_t group = type->ctype1 & 0x100 ? 3 : type->ctype1 & 0x4 ? 2 : 1;
    return group << 16 | win32_upper(c);
}

static int compare_weights(const WCHAR *a, size_t na, const WCHAR *b, size_t nb)
{
    for (size_t i = 0; i < na && i < nb; i++) {
        uint32_t wa = sort_weight(a[i]), wb = sort_weight(b[i]);
        if (wa != wb)
            return wa < wb ? -1 : 1;
    }
    return na == nb ? 0 : na < nb ? -1 : 1;
}

/* Lower case sorts before upper case, when nothing else differs. */
static int compare_case(const WCHAR *a, const WCHAR *b, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (a[i] != b[i])
            return win32_lower(a[i]) == a[i] ? -1 : 1;
    }
    return 0;
}

static int compare(DWORD flags, const WCHAR *a, INT a_length, const WCHAR *b, INT b_length)
{
    size_t na = a_length < 0 ? win32_wlen(a) : (size_t)a_length;
    size_t nb = b_length < 0 ? win32_wlen(b) : (size_t)b_length;
    int order = compare_weights(a, na, b, nb);
    if (!order && !(flags & (NORM_IGNORECASE | LINGUISTIC_IGNORECASE)))
        order = compare_case(a, b, na);
    return order;
}

static INT compare_result(DWORD flags, const WCHAR *a, INT a_length, const WCHAR *b, INT b_length)
{
    if (!a || !b)
        return win32_fail(ERROR_INVALID_PARAMETER);
    /* Comparisons that disregard kana, width, symbols or accents have no table here. */
    if (flags & ~(DWORD)(NORM_IGNORECASE | LINGUISTIC_IGNORECASE | NORM_LINGUISTIC_CASING |
                         SORT_STRINGSORT))
        return win32_fail(ERROR_INVALID_FLAGS);
    return CSTR_EQUAL + compare(flags, a, a_length, b, b_length);
}

static INT WINAPI_DEF k32_CompareStringW(LCID locale, DWORD flags, const WCHAR *a, INT a_length,
                                         const WCHAR *b, INT b_length)
{
    return compare_result(flags, a, a_length, b, b_length);
}

static INT WINAPI_DEF k32_CompareStringEx(const WCHAR *locale, DWORD flags, const WCHAR *a,
                                          INT a_length, const WCHAR *b, INT b_length, void *version,
                                          void *reserved, LONG_PTR parameter)
{
    return compare_result(flags, a, a_length, b, b_length);
}

static WCHAR *widen_counted(const char *s, INT length, INT *wide_length)
{
    size_t bytes = length < 0 ? strlen(s) : (size_t)length, units = 0;
    WCHAR *wide = malloc((bytes + 1) * sizeof(WCHAR));
    if (!wide)
        return win32_fail_null(ERROR_NOT_ENOUGH_MEMORY);
    if (bytes)
        win32_to_wide(CP_ACP, false, s, bytes, wide, bytes, &units);
    wide[units] = 0;
    *wide_length = (INT)units;
    return wide;
}

static INT WINAPI_DEF k32_CompareStringA(LCID locale, DWORD flags, const char *a, INT a_length,
                                         const char *b, INT b_length)
{
    if (!a || !b)
        return win32_fail(ERROR_INVALID_PARAMETER);
    INT na, nb, result = 0;
    WCHAR *wa = widen_counted(a, a_length, &na), *wb = widen_counted(b, b_length, &nb);
    if (wa && wb)
        result = compare_result(flags & ~0x40000000u, wa, na, wb, nb);
    free(wa);
    free(wb);
    return result;
}

/* Ordinal comparison is exact: by code unit, with the system's case table when asked. */
static INT WINAPI_DEF k32_CompareStringOrdinal(const WCHAR *a, INT a_length, const WCHAR *b,
                                               INT b_length, BOOL ignore_case)
{
    if (!a || !b || a_length < -1 || b_length < -1)
        return win32_fail(ERROR_INVALID_PARAMETER);
    size_t na = a_length < 0 ? win32_wlen(a) : (size_t)a_length;
    size_t nb = b_length < 0 ? win32_wlen(b) : (size_t)b_length;
    for (size_t i = 0; i < na && i < nb; i++) {
        WCHAR ca = ignore_case ? win32_upper(a[i]) : a[i];
        WCHAR cb = ignore_case ? win32_upper(b[i]) : b[i];
        if (ca != cb)
            return ca < cb ? CSTR_LESS_THAN : CSTR_GREATER_THAN;
    }
    return na == nb ? CSTR_EQUAL : na < nb ? CSTR_LESS_THAN : CSTR_GREATER_THAN;
}

/* NULL sorts first (lstrcmp's behaviour, though undocumented). */
static INT compare_lstr_w(DWORD flags, const WCHAR *a, const WCHAR *b)
{
    if (!a || !b)
        return (a != NULL) - (b != NULL);
    return compare(flags, a, -1, b, -1);
}

static INT compare_lstr_a(DWORD flags, const char *a, const char *b)
{
    if (!a || !b)
        return (a != NULL) - (b != NULL);
    WCHAR *wa = NULL, *wb = NULL;
    INT result = win32_widen(a, &wa) && win32_widen(b, &wb) ? compare(flags, wa, -1, wb, -1) : 0;
    free(wa);
    free(wb);
    return result;
}

static INT WINAPI_DEF k32_lstrcmpA(const char *a, const char *b)
{
    return compare_lstr_a(0, a, b);
}

static INT WINAPI_DEF k32_lstrcmpW(const WCHAR *a, const WCHAR *b)
{
    return compare_lstr_w(0, a, b);
}

static INT WINAPI_DEF k32_lstrcmpiA(const char *a, const char *b)
{
    return compare_lstr_a(NORM_IGNORECASE, a, b);
}

static INT WINAPI_DEF k32_lstrcmpiW(const WCHAR *a, const WCHAR *b)
{
    return compare_lstr_w(NORM_IGNORECASE, a, b);
}

/* ---- case mapping ------------------------------------------------------------------------------
 */

static WCHAR map_unit(DWORD flags, WCHAR c)
{
    if (flags & LCMAP_UPPERCASE)
        c = win32_upper(c);
    if (flags & LCMAP_LOWERCASE)
        c = win32_lower(c);
    if (flags & LCMAP_BYTEREV)
        c = (WCHAR)(c << 8 | c >> 8);
    return c;
}

static INT map_string(DWORD flags, const WCHAR *in, INT in_length, WCHAR *out, INT out_length)
{
    if (!in || in_length == 0 || out_length < 0 || (out_length && !out))
        return win32_fail(ERROR_INVALID_PARAMETER);
    DWORD known = LCMAP_LOWERCASE | LCMAP_UPPERCASE | LCMAP_BYTEREV | LCMAP_LINGUISTIC_CASING;
    DWORD both = LCMAP_LOWERCASE | LCMAP_UPPERCASE;
    /* Sort keys, hashes, kana and width forms are not provided. */
    if (!(flags & known) || (flags & ~known) || (flags & both) == both)
        return win32_fail(ERROR_INVALID_FLAGS);
    INT length = in_length < 0 ? (INT)win32_wlen(in) + 1 : in_length;
    if (!out_length)
        return length;
    if (out_length < length)
        return win32_fail(ERROR_INSUFFICIENT_BUFFER);
    for (INT i = 0; i < length; i++)
        out[i] = map_unit(flags, in[i]);
    return length;
}

static INT WINAPI_DEF k32_LCMapStringW(LCID locale, DWORD flags, const WCHAR *in, INT in_length,
                                       WCHAR *out, INT out_length)
{
    return map_string(flags, in, in_length, out, out_length);
}

static INT WINAPI_DEF k32_LCMapStringEx(const WCHAR *locale, DWORD flags, const WCHAR *in,
                                        INT in_length, WCHAR *out, INT out_length, void *version,
                                        void *reserved, LONG_PTR parameter)
{
    return map_string(flags, in, in_length, out, out_length);
}

static INT WINAPI_DEF k32_LCMapStringA(LCID locale, DWORD flags, const char *in, INT in_length,
                                       char *out, INT out_length)
{
    if (!in || in_length == 0 || out_length < 0 || (out_length && !out))
        return win32_fail(ERROR_INVALID_PARAMETER);
    INT length;
    WCHAR *wide = widen_counted(in, in_length < 0 ? (INT)strlen(in) + 1 : in_length, &length);
    if (!wide)
        return 0;
    INT result = map_string(flags & ~0x40000000u, wide, length, out_length ? wide : NULL,
                            out_length ? length : 0);
    size_t units = 0;
    if (result && out_length) {
        uint32_t error = win32_from_wide(CP_ACP, false, wide, (size_t)length, out,
                                         (size_t)out_length, '?', NULL, &units);
        result = error ? win32_fail(error) : (INT)units;
    }
    free(wide);
    return result;
}

/* ---- character types ---------------------------------------------------------------------------
 */

static BOOL string_type(DWORD kind, const WCHAR *in, INT length, WORD *out)
{
    if (!in || !out || length == 0 || (kind != CT_CTYPE1 && kind != CT_CTYPE2 && kind != CT_CTYPE3))
        return win32_fail(ERROR_INVALID_PARAMETER);
    size_t count = length < 0 ? win32_wlen(in) + 1 : (size_t)length;
    for (size_t i = 0; i < count; i++) {
        const struct win32_ctype_run *run = win32_ctype(in[i]);
        out[i] = kind == CT_CTYPE1 ? run->ctype1 : kind == CT_CTYPE2 ? run->ctype2 : run->ctype3;
    }
    return TRUE;
}

static BOOL WINAPI_DEF k32_GetStringTypeW(DWORD kind, const WCHAR *in, INT length, WORD *out)
{
    return string_type(kind, in, length, out);
}

static BOOL WINAPI_DEF k32_GetStringTypeExW(LCID locale, DWORD kind, const WCHAR *in, INT length,
                                            WORD *out)
{
    return string_type(kind, in, length, out);
}

static BOOL string_type_a(DWORD kind, const char *in, INT length, WORD *out)
{
    if (!in)
        return win32_fail(ERROR_INVALID_PARAMETER);
    INT units;
    WCHAR *wide = widen_counted(in, length < 0 ? (INT)strlen(in) + 1 : length, &units);
    BOOL ok = wide && string_type(kind, wide, units, out);
    free(wide);
    return ok;
}

static BOOL WINAPI_DEF k32_GetStringTypeA(LCID locale, DWORD kind, const char *in, INT length,
                                          WORD *out)
{
    return string_type_a(kind, in, length, out);
}

static BOOL WINAPI_DEF k32_GetStringTypeExA(LCID locale, DWORD kind, const char *in, INT length,
                                            WORD *out)
{
    return string_type_a(kind, in, length, out);
}

#define ALIAS(alias, fn)                                                               \
    {                                                                                  \
        .name = #alias, .kind = LDR_EXPORT_FUNCTION, .address = (const void *)k32_##fn \
    }

const struct ldr_builtin_export kernel32_string_exports[] = {
    LDR_FN(k32_, lstrlenA),         LDR_FN(k32_, lstrlenW),
    LDR_FN(k32_, lstrcpyA),         LDR_FN(k32_, lstrcpyW),
    LDR_FN(k32_, lstrcatA),         LDR_FN(k32_, lstrcatW),
    LDR_FN(k32_, lstrcpynA),        LDR_FN(k32_, lstrcpynW),
    LDR_FN(k32_, lstrcmpA),         LDR_FN(k32_, lstrcmpW),
    LDR_FN(k32_, lstrcmpiA),        LDR_FN(k32_, lstrcmpiW),
    ALIAS(lstrlen, lstrlenA),       ALIAS(lstrcpy, lstrcpyA),
    ALIAS(lstrcat, lstrcatA),       ALIAS(lstrcpyn, lstrcpynA),
    ALIAS(lstrcmp, lstrcmpA),       ALIAS(lstrcmpi, lstrcmpiA),
    LDR_FN(k32_, CompareStringA),   LDR_FN(k32_, CompareStringW),
    LDR_FN(k32_, CompareStringEx),  LDR_FN(k32_, CompareStringOrdinal),
    LDR_FN(k32_, LCMapStringA),     LDR_FN(k32_, LCMapStringW),
    LDR_FN(k32_, LCMapStringEx),    LDR_FN(k32_, GetStringTypeA),
    LDR_FN(k32_, GetStringTypeW),   LDR_FN(k32_, GetStringTypeExA),
    LDR_FN(k32_, GetStringTypeExW),
};
const size_t kernel32_string_count =
    sizeof(kernel32_string_exports) / sizeof(*kernel32_string_exports);
