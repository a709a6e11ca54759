/*
 * msvcrt's printf family: each function beside its twin that takes a va_list.
 *
 * msvcrt's swprintf and vswprintf have no size, as Visual C++ had them before 2005. Locale
 * arguments are accepted and not used (locale.c). UCRT exports one entry behind all of these
 * (ucrt_stdio.c).
 */
#include "loader/win32/crt/format.h"
#include "loader/win32/crt/stream.h"

#define PARAMETERS(...) __VA_ARGS__
/* crt_<list>(parameters, va_list) and crt_<plain>(parameters, ...); `last` names the last
 * parameter. */
#define PRINTF_PAIR(plain, list, last, parameters, call)                        \
    static WINCDECL_DEF int crt_##list(PARAMETERS parameters, win_va_list args) \
    {                                                                           \
        return call;                                                            \
    }                                                                           \
    static WINCDECL_DEF int crt_##plain(PARAMETERS parameters, ...)             \
    {                                                                           \
        win_va_list args;                                                       \
        win_va_start(args, last);                                               \
        int result = call;                                                      \
        win_va_end(args);                                                       \
        return result;                                                          \
    }

enum { OPTIONS = CRT_FORMAT_MSVCRT, SNPRINTF = OPTIONS | CRT_FORMAT_LEGACY_NULL_TERMINATION };

/* narrow output */
PRINTF_PAIR(printf, vprintf, format, (const char *format),
            crt_format_stream(false, crt_stream_std(1), format, OPTIONS, args))
PRINTF_PAIR(_printf_l, _vprintf_l, locale, (const char *format, void *locale),
            crt_format_stream(false, crt_stream_std(1), format, OPTIONS, args))
PRINTF_PAIR(fprintf, vfprintf, format, (struct crt_file * file, const char *format),
            crt_format_stream(false, file, format, OPTIONS, args))
PRINTF_PAIR(_fprintf_l, _vfprintf_l, locale,
            (struct crt_file * file, const char *format, void *locale),
            crt_format_stream(false, file, format, OPTIONS, args))
PRINTF_PAIR(printf_s, vprintf_s, format, (const char *format),
            crt_format_stream(false, crt_stream_std(1), format, OPTIONS, args))
PRINTF_PAIR(_printf_s_l, _vprintf_s_l, locale, (const char *format, void *locale),
            crt_format_stream(false, crt_stream_std(1), format, OPTIONS, args))
PRINTF_PAIR(fprintf_s, vfprintf_s, format, (struct crt_file * file, const char *format),
            crt_format_stream(false, file, format, OPTIONS, args))
PRINTF_PAIR(_fprintf_s_l, _vfprintf_s_l, locale,
            (struct crt_file * file, const char *format, void *locale),
            crt_format_stream(false, file, format, OPTIONS, args))
PRINTF_PAIR(sprintf, vsprintf, format, (char *buffer, const char *format),
            crt_format_buffer(false, buffer, SIZE_MAX, format, OPTIONS, args))
PRINTF_PAIR(_sprintf_l, _vsprintf_l, locale, (char *buffer, const char *format, void *locale),
            crt_format_buffer(false, buffer, SIZE_MAX, format, OPTIONS, args))
PRINTF_PAIR(sprintf_s, vsprintf_s, format, (char *buffer, size_t size, const char *format),
            crt_format_secure(false, buffer, size, format, OPTIONS, args))
PRINTF_PAIR(_sprintf_s_l, _vsprintf_s_l, locale,
            (char *buffer, size_t size, const char *format, void *locale),
            crt_format_secure(false, buffer, size, format, OPTIONS, args))
PRINTF_PAIR(_snprintf, _vsnprintf, format, (char *buffer, size_t size, const char *format),
            crt_format_buffer(false, buffer, size, format, SNPRINTF, args))
PRINTF_PAIR(_snprintf_l, _vsnprintf_l, locale,
            (char *buffer, size_t size, const char *format, void *locale),
            crt_format_buffer(false, buffer, size, format, SNPRINTF, args))
PRINTF_PAIR(_snprintf_s, _vsnprintf_s, format,
            (char *buffer, size_t size, size_t maximum, const char *format),
            crt_format_bounded(false, buffer, size, maximum, format, OPTIONS, args))
PRINTF_PAIR(_snprintf_s_l, _vsnprintf_s_l, locale,
            (char *buffer, size_t size, size_t maximum, const char *format, void *locale),
            crt_format_bounded(false, buffer, size, maximum, format, OPTIONS, args))
PRINTF_PAIR(_snprintf_c, _vsnprintf_c, format, (char *buffer, size_t size, const char *format),
            crt_format_buffer(false, buffer, size, format, OPTIONS, args))
PRINTF_PAIR(_snprintf_c_l, _vsnprintf_c_l, locale,
            (char *buffer, size_t size, const char *format, void *locale),
            crt_format_buffer(false, buffer, size, format, OPTIONS, args))
PRINTF_PAIR(_scprintf, _vscprintf, format, (const char *format),
            crt_format_buffer(false, NULL, 0, format, OPTIONS, args))
PRINTF_PAIR(_scprintf_l, _vscprintf_l, locale, (const char *format, void *locale),
            crt_format_buffer(false, NULL, 0, format, OPTIONS, args))
PRINTF_PAIR(_cprintf, _vcprintf, format, (const char *format),
            crt_format_stream(false, crt_stream_std(1), format, OPTIONS, args))
PRINTF_PAIR(_cprintf_l, _vcprintf_l, locale, (const char *format, void *locale),
            crt_format_stream(false, crt_stream_std(1), format, OPTIONS, args))

/* wide output */
PRINTF_PAIR(wprintf, vwprintf, format, (const crt_wchar *format),
            crt_format_stream(true, crt_stream_std(1), format, OPTIONS, args))
PRINTF_PAIR(_wprintf_l, _vwprintf_l, locale, (const crt_wchar *format, void *locale),
            crt_format_stream(true, crt_stream_std(1), format, OPTIONS, args))
PRINTF_PAIR(fwprintf, vfwprintf, format, (struct crt_file * file, const crt_wchar *format),
            crt_format_stream(true, file, format, OPTIONS, args))
PRINTF_PAIR(_fwprintf_l, _vfwprintf_l, locale,
            (struct crt_file * file, const crt_wchar *format, void *locale),
            crt_format_stream(true, file, format, OPTIONS, args))
PRINTF_PAIR(wprintf_s, vwprintf_s, format, (const crt_wchar *format),
            crt_format_stream(true, crt_stream_std(1), format, OPTIONS, args))
PRINTF_PAIR(_wprintf_s_l, _vwprintf_s_l, locale, (const crt_wchar *format, void *locale),
            crt_format_stream(true, crt_stream_std(1), format, OPTIONS, args))
PRINTF_PAIR(fwprintf_s, vfwprintf_s, format, (struct crt_file * file, const crt_wchar *format),
            crt_format_stream(true, file, format, OPTIONS, args))
PRINTF_PAIR(_fwprintf_s_l, _vfwprintf_s_l, locale,
            (struct crt_file * file, const crt_wchar *format, void *locale),
            crt_format_stream(true, file, format, OPTIONS, args))
PRINTF_PAIR(swprintf, vswprintf, format, (crt_wchar * buffer, const crt_wchar *format),
            crt_format_buffer(true, buffer, SIZE_MAX, format, OPTIONS, args))
PRINTF_PAIR(_swprintf_l, _vswprintf_l, locale,
            (crt_wchar * buffer, const crt_wchar *format, void *locale),
            crt_format_buffer(true, buffer, SIZE_MAX, format, OPTIONS, args))
PRINTF_PAIR(swprintf_s, vswprintf_s, format,
            (crt_wchar * buffer, size_t size, const crt_wchar *format),
            crt_format_secure(true, buffer, size, format, OPTIONS, args))
PRINTF_PAIR(_swprintf_s_l, _vswprintf_s_l, locale,
            (crt_wchar * buffer, size_t size, const crt_wchar *format, void *locale),
            crt_format_secure(true, buffer, size, format, OPTIONS, args))
PRINTF_PAIR(_snwprintf, _vsnwprintf, format,
            (crt_wchar * buffer, size_t size, const crt_wchar *format),
            crt_format_buffer(true, buffer, size, format, SNPRINTF, args))
PRINTF_PAIR(_snwprintf_l, _vsnwprintf_l, locale,
            (crt_wchar * buffer, size_t size, const crt_wchar *format, void *locale),
            crt_format_buffer(true, buffer, size, format, SNPRINTF, args))
PRINTF_PAIR(_snwprintf_s, _vsnwprintf_s, format,
            (crt_wchar * buffer, size_t size, size_t maximum, const crt_wchar *format),
            crt_format_bounded(true, buffer, size, maximum, format, OPTIONS, args))
PRINTF_PAIR(_snwprintf_s_l, _vsnwprintf_s_l, locale,
            (crt_wchar * buffer, size_t size, size_t maximum, const crt_wchar *format,
             void *locale),
            crt_format_bounded(true, buffer, size, maximum, format, OPTIONS, args))
PRINTF_PAIR(_swprintf_c, _vswprintf_c, format,
            (crt_wchar * buffer, size_t size, const crt_wchar *format),
            crt_format_buffer(true, buffer, size, format, OPTIONS, args))
PRINTF_PAIR(_swprintf_c_l, _vswprintf_c_l, locale,
            (crt_wchar * buffer, size_t size, const crt_wchar *format, void *locale),
            crt_format_buffer(true, buffer, size, format, OPTIONS, args))
PRINTF_PAIR(_scwprintf, _vscwprintf, format, (const crt_wchar *format),
            crt_format_buffer(true, NULL, 0, format, OPTIONS, args))
PRINTF_PAIR(_scwprintf_l, _vscwprintf_l, locale, (const crt_wchar *format, void *locale),
            crt_format_buffer(true, NULL, 0, format, OPTIONS, args))
PRINTF_PAIR(_cwprintf, _vcwprintf, format, (const crt_wchar *format),
            crt_format_stream(true, crt_stream_std(1), format, OPTIONS, args))
PRINTF_PAIR(_cwprintf_l, _vcwprintf_l, locale, (const crt_wchar *format, void *locale),
            crt_format_stream(true, crt_stream_std(1), format, OPTIONS, args))

static const struct ldr_builtin_export functions[] = {
    CRT_FN(printf),
    CRT_FN(vprintf),
    CRT_FN(_printf_l),
    CRT_FN(_vprintf_l),
    CRT_FN(fprintf),
    CRT_FN(vfprintf),
    CRT_FN(_fprintf_l),
    CRT_FN(_vfprintf_l),
    CRT_FN(printf_s),
    CRT_FN(vprintf_s),
    CRT_FN(_printf_s_l),
    CRT_FN(_vprintf_s_l),
    CRT_FN(fprintf_s),
    CRT_FN(vfprintf_s),
    CRT_FN(_fprintf_s_l),
    CRT_FN(_vfprintf_s_l),
    CRT_FN(sprintf),
    CRT_FN(vsprintf),
    CRT_FN(_sprintf_l),
    CRT_FN(_vsprintf_l),
    CRT_FN(sprintf_s),
    CRT_FN(vsprintf_s),
    CRT_FN(_sprintf_s_l),
    CRT_FN(_vsprintf_s_l),
    CRT_FN(_snprintf),
    CRT_FN(_vsnprintf),
    CRT_FN(_snprintf_l),
    CRT_FN(_vsnprintf_l),
    CRT_FN(_snprintf_s),
    CRT_FN(_vsnprintf_s),
    CRT_FN(_snprintf_s_l),
    CRT_FN(_vsnprintf_s_l),
    CRT_FN(_snprintf_c),
    CRT_FN(_vsnprintf_c),
    CRT_FN(_snprintf_c_l),
    CRT_FN(_vsnprintf_c_l),
    CRT_FN(_scprintf),
    CRT_FN(_vscprintf),
    CRT_FN(_scprintf_l),
    CRT_FN(_vscprintf_l),
    CRT_FN(_cprintf),
    CRT_FN(_vcprintf),
    CRT_FN(_cprintf_l),
    CRT_FN(_vcprintf_l),
    CRT_FN(wprintf),
    CRT_FN(vwprintf),
    CRT_FN(_wprintf_l),
    CRT_FN(_vwprintf_l),
    CRT_FN(fwprintf),
    CRT_FN(vfwprintf),
    CRT_FN(_fwprintf_l),
    CRT_FN(_vfwprintf_l),
    CRT_FN(wprintf_s),
    CRT_FN(vwprintf_s),
    CRT_FN(_wprintf_s_l),
    CRT_FN(_vwprintf_s_l),
    CRT_FN(fwprintf_s),
    CRT_FN(vfwprintf_s),
    CRT_FN(_fwprintf_s_l),
    CRT_FN(_vfwprintf_s_l),
    CRT_FN(swprintf),
    CRT_FN(vswprintf),
    CRT_FN(_swprintf_l),
    CRT_FN(_vswprintf_l),
    CRT_FN(swprintf_s),
    CRT_FN(vswprintf_s),
    CRT_FN(_swprintf_s_l),
    CRT_FN(_vswprintf_s_l),
    CRT_FN(_snwprintf),
    CRT_FN(_vsnwprintf),
    CRT_FN(_snwprintf_l),
    CRT_FN(_vsnwprintf_l),
    CRT_FN(_snwprintf_s),
    CRT_FN(_vsnwprintf_s),
    CRT_FN(_snwprintf_s_l),
    CRT_FN(_vsnwprintf_s_l),
    CRT_FN(_swprintf_c),
    CRT_FN(_vswprintf_c),
    CRT_FN(_swprintf_c_l),
    CRT_FN(_vswprintf_c_l),
    CRT_FN(_scwprintf),
    CRT_FN(_vscwprintf),
    CRT_FN(_scwprintf_l),
    CRT_FN(_vscwprintf_l),
    CRT_FN(_cwprintf),
    CRT_FN(_vcwprintf),
    CRT_FN(_cwprintf_l),
    CRT_FN(_vcwprintf_l),
    CRT_AS(_vswprintf, crt_vswprintf),
};
CRT_FAMILY(crt_msvcrt_printf_family, functions);
