/*
 * Locale: setlocale, localeconv, the code page of LC_CTYPE, and characters between it and UTF-16.
 *
 * There are two locales: "C", where a byte is the character of the same number, and "English_United
 * States" with a code page: 1252 (the ANSI code page), 437 or UTF-8. Both format numbers and times
 * alike; the choice matters for conversions and for case mapping only. _locale_t objects are
 * accepted and the current locale is used instead.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "loader/ldr/path.h"
#include "loader/win32/codepage.h"
#include "loader/win32/crt/ctype.h"
#include "loader/win32/crt/data.h"
#include "loader/win32/crt/internal.h"

static unsigned current_codepage;

enum { LC_ALL_WINDOWS, LC_COLLATE_WINDOWS, LC_CTYPE_WINDOWS, LC_MAX_WINDOWS = 5 };

struct windows_lconv {
    char *decimal_point, *thousands_sep, *grouping, *int_curr_symbol, *currency_symbol,
        *mon_decimal_point, *mon_thousands_sep, *mon_grouping, *positive_sign, *negative_sign;
    char int_frac_digits, frac_digits, p_cs_precedes, p_sep_by_space, n_cs_precedes, n_sep_by_space,
        p_sign_posn, n_sign_posn;
    crt_wchar *wide_decimal_point, *wide_thousands_sep, *wide_int_curr_symbol,
        *wide_currency_symbol, *wide_mon_decimal_point, *wide_mon_thousands_sep,
        *wide_positive_sign, *wide_negative_sign;
};

unsigned crt_codepage(void)
{
    return __atomic_load_n(&current_codepage, __ATOMIC_RELAXED);
}

static locale_t c_locale;

static void make_c_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

locale_t crt_c_locale(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_c_locale);
    return c_locale;
}

size_t crt_wlen(const crt_wchar *s)
{
    size_t n = 0;
    while (s[n] != 0) {
        n++;
    }
    return n;
}

crt_wchar crt_wlower(crt_wchar c)
{
    return c < 128 || crt_codepage() == 0 ? (crt_wchar)crt_lower(c) : win32_lower(c);
}

crt_wchar crt_wupper(crt_wchar c)
{
    return c < 128 || crt_codepage() == 0 ? (crt_wchar)crt_upper(c) : win32_upper(c);
}

unsigned crt_wclass(crt_wchar c)
{
    unsigned bits = win32_ctype(c)->ctype1;
    return c == '\t' ? bits & ~CRT_BLANK : bits; /* so that iswprint('\t') is false */
}

/* ---- characters
 * ------------------------------------------------------------------------------------- */

static int decode_utf8(const unsigned char *in, size_t size, size_t *used, crt_wchar out[2])
{
    size_t length = in[0] < 0x80 ? 1 : in[0] < 0xC2 ? 0 : in[0] < 0xE0 ? 2 : in[0] < 0xF0 ? 3 : 4;
    if (length == 0 || in[0] > 0xF4) {
        return -1;
    }
    uint32_t c = length == 1 ? in[0] : in[0] & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++) {
        if (i == size) {
            return 0;
        }
        if ((in[i] & 0xC0) != 0x80) {
            return -1;
        }
        c = c << 6 | (in[i] & 0x3F);
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (c < least[length] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) {
        return -1;
    }
    *used = length;
    if (c < 0x10000) {
        out[0] = (crt_wchar)c;
        return 1;
    }
    out[0] = (crt_wchar)(0xD7C0 + (c >> 10));
    out[1] = (crt_wchar)(0xDC00 + (c & 0x3FF));
    return 2;
}

int crt_decode(const char *in, size_t size, size_t *used, crt_wchar out[2])
{
    unsigned page = crt_codepage();
    if (size == 0) {
        return 0;
    }
    if (page == CP_UTF8) {
        return decode_utf8((const unsigned char *)in, size, used, out);
    }
    const struct win32_codepage *table = page != 0 ? win32_codepage_find(page) : NULL;
    *used = 1;
    out[0] = table != NULL ? table->to_wide[(unsigned char)in[0]] : (unsigned char)in[0];
    return 1;
}

static int encode_utf8(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    int length = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (int i = length - 1; i > 0; i--, c >>= 6) {
        out[i] = (char)(0x80 | (c & 0x3F));
    }
    out[0] = (char)((0xF00u >> length) | c);
    return length;
}

int crt_encode(const crt_wchar *in, size_t size, size_t *used, char out[4])
{
    unsigned page = crt_codepage();
    if (size == 0) {
        return 0;
    }
    *used = 1;
    if (page == CP_UTF8) {
        uint32_t c = in[0];
        if (c >= 0xD800 && c < 0xDC00) {
            if (size < 2) {
                return 0;
            }
            if (in[1] < 0xDC00 || in[1] > 0xDFFF) {
                return -1;
            }
            *used = 2;
            c = 0x10000 + ((c & 0x3FF) << 10 | (in[1] & 0x3FFu));
        } else if (c >= 0xDC00 && c < 0xE000) {
            return -1;
        }
        return encode_utf8(c, out);
    }
    if (page != 0) {
        bool fallback = false;
        size_t units = 0;
        bool ok = win32_from_wide(page, false, in, 1, out, 4, '?', &fallback, &units) == 0;
        return ok && !fallback && units == 1 ? 1 : -1;
    }
    out[0] = (char)in[0];
    return in[0] < 256 ? 1 : -1;
}

crt_wchar *crt_widen(const char *in, size_t size, size_t *length)
{
    crt_wchar *out = malloc((size + 1) * sizeof(*out));
    size_t n = 0;
    if (out == NULL) {
        crt_set_errno(CRT_ENOMEM);
        return NULL;
    }
    for (size_t at = 0, used; at < size; at += used) {
        int units = crt_decode(in + at, size - at, &used, out + n);
        if (units <= 0) {
            crt_set_errno(CRT_EILSEQ);
            free(out);
            return NULL;
        }
        n += (size_t)units;
    }
    out[n] = 0;
    if (length != NULL) {
        *length = n;
    }
    return out;
}

char *crt_narrow(const crt_wchar *in, size_t size, size_t *length)
{
    char *out = malloc(size * 4 + 1);
    size_t n = 0;
    if (out == NULL) {
        crt_set_errno(CRT_ENOMEM);
        return NULL;
    }
    for (size_t at = 0, used; at < size; at += used) {
        char bytes[4];
        int count = crt_encode(in + at, size - at, &used, bytes);
        if (count <= 0) {
            crt_set_errno(CRT_EILSEQ);
            free(out);
            return NULL;
        }
        memcpy(out + n, bytes, (size_t)count);
        n += (size_t)count;
    }
    out[n] = 0;
    if (length != NULL) {
        *length = n;
    }
    return out;
}

/* ---- setlocale
 * ------------------------------------------------------------------------------------------ */

static const char *locale_name(unsigned page)
{
    switch (page) {
    case 0:
        return "C";
    case CP_UTF8:
        return "English_United States.utf8";
    case CP_OEM_PAGE:
        return "English_United States.437";
    default:
        return "English_United States.1252";
    }
}

/* The code page that a locale string asks for; -1 = such a locale does not exist here. */
static int parse_locale(const char *name)
{
    static const char *const languages[] = {
        "", "English_United States", "English", "english-us", "american", "en-US", "en_US", "en",
    };
    char language[64] = "";
    size_t length = strcspn(name, ".");
    const char *dot = name[length] != 0 ? name + length : NULL;
    if (length >= sizeof(language)) {
        return -1;
    }
    memcpy(language, name, length);
    if (strcmp(name, "C") == 0 || strcmp(name, "POSIX") == 0) {
        return 0;
    }
    bool known = false;
    for (size_t i = 0; i < CRT_COUNT(languages); i++) {
        known = known || ldr_casecmp(language, languages[i]) == 0;
    }
    if (!known) {
        return -1;
    }
    if (dot == NULL || ldr_casecmp(dot, ".ACP") == 0) {
        return CP_ANSI_PAGE;
    }
    if (ldr_casecmp(dot, ".UTF8") == 0 || ldr_casecmp(dot, ".UTF-8") == 0) {
        return CP_UTF8;
    }
    if (ldr_casecmp(dot, ".OCP") == 0) {
        return CP_OEM_PAGE;
    }
    int page = atoi(dot + 1);
    return page == CP_UTF8 || page == CP_OEM_PAGE || page == CP_ANSI_PAGE ? page : -1;
}

/* "LC_COLLATE=C;LC_CTYPE=...": what setlocale(LC_ALL, NULL) gave earlier; LC_CTYPE counts. */
static const char *ctype_part(const char *name, char *buffer, size_t size)
{
    const char *part = strstr(name, "LC_CTYPE=");
    if (part == NULL) {
        return name;
    }
    part += strlen("LC_CTYPE=");
    snprintf(buffer, size, "%.*s", (int)strcspn(part, ";"), part);
    return buffer;
}

static WINCDECL_DEF char *crt_setlocale(int category, const char *name)
{
    char buffer[64];
    if (category < LC_ALL_WINDOWS || category > LC_MAX_WINDOWS) {
        crt_invalid(CRT_EINVAL);
        return NULL;
    }
    bool ctype = category == LC_ALL_WINDOWS || category == LC_CTYPE_WINDOWS;
    if (name == NULL) {
        return (char *)locale_name(ctype ? crt_codepage() : 0);
    }
    int page = parse_locale(ctype_part(name, buffer, sizeof(buffer)));
    if (page < 0) {
        return NULL;
    }
    if (ctype) {
        __atomic_store_n(&current_codepage, (unsigned)page, __ATOMIC_RELAXED);
        *crt_data.mb_cur_max = page == CP_UTF8 ? 4 : 1;
    }
    return (char *)locale_name((unsigned)page);
}

static WINCDECL_DEF crt_wchar *crt__wsetlocale(int category, const crt_wchar *name)
{
    static __thread crt_wchar result[64];
    char narrow[64] = "";
    for (size_t i = 0; name != NULL && name[i] != 0; i++) {
        if (i + 1 == sizeof(narrow) || name[i] > 127) {
            return NULL;
        }
        narrow[i] = (char)name[i];
        narrow[i + 1] = 0;
    }
    const char *set = crt_setlocale(category, name != NULL ? narrow : NULL);
    if (set == NULL) {
        return NULL;
    }
    ldr_utf8_to_utf16(set, strlen(set), result, CRT_COUNT(result));
    return result;
}

static char empty[] = "";
static char point[] = ".";
static crt_wchar wide_empty[] = {0};
static crt_wchar wide_point[] = {'.', 0};
static struct windows_lconv conventions = {
    point,      empty,      empty,      empty,      empty,      empty,      empty,
    empty,      empty,      empty,      127,        127,        127,        127,
    127,        127,        127,        127,        wide_point, wide_empty, wide_empty,
    wide_empty, wide_empty, wide_empty, wide_empty, wide_empty,
};

static WINCDECL_DEF struct windows_lconv *crt_localeconv(void)
{
    return &conventions;
}

/* Called by images that look into localeconv(): nothing to prepare. */
static WINCDECL_DEF int crt___lconv_init(void)
{
    return 0;
}

static WINCDECL_DEF unsigned crt____lc_codepage_func(void)
{
    return crt_codepage();
}

static WINCDECL_DEF int crt____mb_cur_max_func(void)
{
    return crt_codepage() == CP_UTF8 ? 4 : 1;
}

/* Locale ids by category, all zero as in the "C" locale. */
static WINCDECL_DEF uint32_t *crt____lc_handle_func(void)
{
    static uint32_t handles[6];
    return handles;
}

static WINCDECL_DEF crt_wchar **crt____lc_locale_name_func(void)
{
    static crt_wchar *names[6];
    return names;
}

/* ---- locale objects: opaque, and all the same
 * ------------------------------------------------------------- */

static int locale_object[4];

static WINCDECL_DEF void *crt__create_locale(int category, const char *name)
{
    return name != NULL && parse_locale(name) >= 0 ? locale_object : NULL;
}

static WINCDECL_DEF void *crt__wcreate_locale(int category, const crt_wchar *name)
{
    return name != NULL ? locale_object : NULL;
}

static WINCDECL_DEF void *crt__get_current_locale(void)
{
    return locale_object;
}

static WINCDECL_DEF void crt__free_locale(void *locale)
{
}

/* All threads share one locale: the answer is "disabled" (2) always. */
static WINCDECL_DEF int crt__configthreadlocale(int type)
{
    return 2;
}

static WINCDECL_DEF void crt__lock_locales(void)
{
}

static WINCDECL_DEF int crt__setmbcp(int page)
{
    return 0;
}

static WINCDECL_DEF int crt__getmbcp(void)
{
    return 0; /* single-byte */
}

static const struct ldr_builtin_export functions[] = {
    CRT_FN(setlocale),
    CRT_FN(_wsetlocale),
    CRT_FN(localeconv),
    CRT_FN(__lconv_init),
    CRT_FN(___lc_codepage_func),
    CRT_AS(___lc_collate_cp_func, crt____lc_codepage_func),
    CRT_FN(___mb_cur_max_func),
    CRT_AS(___mb_cur_max_l_func, crt____mb_cur_max_func),
    CRT_FN(___lc_handle_func),
    CRT_FN(___lc_locale_name_func),
    CRT_FN(_create_locale),
    CRT_FN(_wcreate_locale),
    CRT_FN(_get_current_locale),
    CRT_FN(_free_locale),
    CRT_FN(_configthreadlocale),
    CRT_FN(_lock_locales),
    CRT_AS(_unlock_locales, crt__lock_locales),
    CRT_FN(_setmbcp),
    CRT_FN(_getmbcp),
};
CRT_FAMILY(crt_locale_family, functions);
