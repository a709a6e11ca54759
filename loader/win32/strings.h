/*
 * Strings that cross the API: UTF-16 helpers, and the A functions' conversion to their W twins.
 *
 * What the functions here return with malloc is freed by the caller.
 */
#ifndef WIN32_STRINGS_H
#define WIN32_STRINGS_H

#include "loader/win32/types.h"

size_t win32_wlen(const WCHAR *s);
int win32_wcmp(const WCHAR *a, const WCHAR *b);
/* By upper case, as Windows compares names of objects, files and variables. */
int win32_wicmp(const WCHAR *a, const WCHAR *b);
int win32_wnicmp(const WCHAR *a, const WCHAR *b, size_t count);
WCHAR *win32_wchr(const WCHAR *s, WCHAR c);
/* A copy, or NULL with the last error set. `length` SIZE_MAX = up to the NUL. */
WCHAR *win32_wdup(const WCHAR *s, size_t length);

/* ANSI -> UTF-16. True with `*out` NULL for NULL; false with the last error set. */
bool win32_widen(const char *in, WCHAR **out);
/* The same for file names, which follow SetFileApisToOEM. */
bool win32_widen_path(const char *in, WCHAR **out);
/* UTF-16 -> ANSI; NULL with the last error set. */
char *win32_narrow(const WCHAR *in);
extern bool win32_file_apis_oem;

/* UTF-8 <-> UTF-16; NULL without memory. */
char *win32_utf8_of_wide(const WCHAR *in, size_t length);
WCHAR *win32_wide_of_utf8(const char *in);

/*
 * Copies a result into a caller's buffer as most Get...W functions do: returns the length without
 * the NUL, or, when `size` is too small, the size needed with it (nothing is written).
 */
DWORD win32_return_wide(const WCHAR *s, size_t length, WCHAR *buffer, DWORD size);
/* The same for the A twin: `s` is converted to the ANSI (or, for paths, the file) code page. */
DWORD win32_return_ansi(const WCHAR *s, size_t length, char *buffer, DWORD size);
DWORD win32_return_path(const WCHAR *s, size_t length, char *buffer, DWORD size);

#endif
