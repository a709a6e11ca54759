/*
 * Code pages and character properties: the generated tables (gen_unicode.py) and what is done with
 * them. The ANSI code page is 1252, the OEM page 437 (a US English Windows); consoles are UTF-8.
 */
#ifndef WIN32_CODEPAGE_H
#define WIN32_CODEPAGE_H

#include "loader/win32/types.h"

enum {
    CP_ACP = 0,
    CP_OEMCP = 1,
    CP_MACCP = 2,
    CP_THREAD_ACP = 3,
    CP_ANSI_PAGE = 1252,
    CP_OEM_PAGE = 437,
    CP_UTF7 = 65000,
    CP_UTF8 = 65001,
};

struct win32_codepage {
    uint16_t id;
    uint16_t to_wide[256];
};
struct win32_case_pair {
    uint16_t from, to;
};
struct win32_ctype_run {
    uint16_t first, last, ctype1, ctype2, ctype3;
};

extern const struct win32_codepage win32_codepages[]; /* ascending ids */
extern const size_t win32_codepage_count;
extern const struct win32_case_pair win32_upper_pairs[], win32_lower_pairs[];
extern const size_t win32_upper_pair_count, win32_lower_pair_count;
extern const struct win32_ctype_run win32_ctype_runs[];
extern const size_t win32_ctype_run_count;

/* CP_ACP ... -> a page number; others unchanged. */
UINT win32_codepage_resolve(UINT codepage);
/* A single-byte page, or NULL. */
const struct win32_codepage *win32_codepage_find(UINT codepage);
bool win32_codepage_valid(UINT codepage);

/*
 * Both return a Win32 error: 0, ERROR_INVALID_PARAMETER (no such page), ERROR_INSUFFICIENT_BUFFER,
 * and with `strict` ERROR_NO_UNICODE_TRANSLATION. `*units` gets the units written, or needed where
 * `size` is 0. No NUL is added.
 */
uint32_t win32_to_wide(UINT codepage, bool strict, const char *in, size_t length, WCHAR *out,
                       size_t size, size_t *units);
/* `fallback` replaces what the page cannot hold and sets `*used_fallback`. Neither is for UTF-8. */
uint32_t win32_from_wide(UINT codepage, bool strict, const WCHAR *in, size_t length, char *out,
                         size_t size, char fallback, bool *used_fallback, size_t *units);

/* Simple case mapping, independent of any locale, as RtlUpcaseUnicodeChar. */
WCHAR win32_upper(WCHAR c);
WCHAR win32_lower(WCHAR c);
const struct win32_ctype_run *win32_ctype(WCHAR c); /* never NULL */

#endif
