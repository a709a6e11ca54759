/*
 * msvcrt's scanf family. UCRT exports one entry behind all of these (ucrt_stdio.c).
 */
#include "loader/win32/crt/scan.h"
#include "loader/win32/crt/stream.h"

#define PARAMETERS(...) __VA_ARGS__
/* crt_<name>(parameters, ...); `last` names the last parameter. */
#define SCANF(name, last, parameters, call)                        \
    static WINCDECL_DEF int crt_##name(PARAMETERS parameters, ...) \
    {                                                              \
        win_va_list args;                                          \
        win_va_start(args, last);                                  \
        int result = call;                                         \
        win_va_end(args);                                          \
        return result;                                             \
    }

enum { OPTIONS = CRT_SCAN_MSVCRT, SECURE = OPTIONS | CRT_SCAN_SECURE };

/* narrow input */
SCANF(scanf, format, (const char *format),
      crt_scan_stream(false, crt_stream_std(0), format, OPTIONS, args))
SCANF(_scanf_l, locale, (const char *format, void *locale),
      crt_scan_stream(false, crt_stream_std(0), format, OPTIONS, args))
SCANF(fscanf, format, (struct crt_file * file, const char *format),
      crt_scan_stream(false, file, format, OPTIONS, args))
SCANF(_fscanf_l, locale, (struct crt_file * file, const char *format, void *locale),
      crt_scan_stream(false, file, format, OPTIONS, args))
SCANF(sscanf, format, (const char *text, const char *format),
      crt_scan_string(false, text, SIZE_MAX, format, OPTIONS, args))
SCANF(_sscanf_l, locale, (const char *text, const char *format, void *locale),
      crt_scan_string(false, text, SIZE_MAX, format, OPTIONS, args))
SCANF(_snscanf, format, (const char *text, size_t size, const char *format),
      crt_scan_string(false, text, size, format, OPTIONS, args))
SCANF(_snscanf_l, locale, (const char *text, size_t size, const char *format, void *locale),
      crt_scan_string(false, text, size, format, OPTIONS, args))
SCANF(_cscanf, format, (const char *format),
      crt_scan_stream(false, crt_stream_std(0), format, OPTIONS, args))
SCANF(_cscanf_l, locale, (const char *format, void *locale),
      crt_scan_stream(false, crt_stream_std(0), format, OPTIONS, args))
SCANF(scanf_s, format, (const char *format),
      crt_scan_stream(false, crt_stream_std(0), format, SECURE, args))
SCANF(_scanf_s_l, locale, (const char *format, void *locale),
      crt_scan_stream(false, crt_stream_std(0), format, SECURE, args))
SCANF(fscanf_s, format, (struct crt_file * file, const char *format),
      crt_scan_stream(false, file, format, SECURE, args))
SCANF(_fscanf_s_l, locale, (struct crt_file * file, const char *format, void *locale),
      crt_scan_stream(false, file, format, SECURE, args))
SCANF(sscanf_s, format, (const char *text, const char *format),
      crt_scan_string(false, text, SIZE_MAX, format, SECURE, args))
SCANF(_sscanf_s_l, locale, (const char *text, const char *format, void *locale),
      crt_scan_string(false, text, SIZE_MAX, format, SECURE, args))
SCANF(_snscanf_s, format, (const char *text, size_t size, const char *format),
      crt_scan_string(false, text, size, format, SECURE, args))
SCANF(_snscanf_s_l, locale, (const char *text, size_t size, const char *format, void *locale),
      crt_scan_string(false, text, size, format, SECURE, args))
SCANF(_cscanf_s, format, (const char *format),
      crt_scan_stream(false, crt_stream_std(0), format, SECURE, args))
SCANF(_cscanf_s_l, locale, (const char *format, void *locale),
      crt_scan_stream(false, crt_stream_std(0), format, SECURE, args))

/* wide input */
SCANF(wscanf, format, (const crt_wchar *format),
      crt_scan_stream(true, crt_stream_std(0), format, OPTIONS, args))
SCANF(_wscanf_l, locale, (const crt_wchar *format, void *locale),
      crt_scan_stream(true, crt_stream_std(0), format, OPTIONS, args))
SCANF(fwscanf, format, (struct crt_file * file, const crt_wchar *format),
      crt_scan_stream(true, file, format, OPTIONS, args))
SCANF(_fwscanf_l, locale, (struct crt_file * file, const crt_wchar *format, void *locale),
      crt_scan_stream(true, file, format, OPTIONS, args))
SCANF(swscanf, format, (const crt_wchar *text, const crt_wchar *format),
      crt_scan_string(true, text, SIZE_MAX, format, OPTIONS, args))
SCANF(_swscanf_l, locale, (const crt_wchar *text, const crt_wchar *format, void *locale),
      crt_scan_string(true, text, SIZE_MAX, format, OPTIONS, args))
SCANF(_snwscanf, format, (const crt_wchar *text, size_t size, const crt_wchar *format),
      crt_scan_string(true, text, size, format, OPTIONS, args))
SCANF(_snwscanf_l, locale,
      (const crt_wchar *text, size_t size, const crt_wchar *format, void *locale),
      crt_scan_string(true, text, size, format, OPTIONS, args))
SCANF(_cwscanf, format, (const crt_wchar *format),
      crt_scan_stream(true, crt_stream_std(0), format, OPTIONS, args))
SCANF(_cwscanf_l, locale, (const crt_wchar *format, void *locale),
      crt_scan_stream(true, crt_stream_std(0), format, OPTIONS, args))
SCANF(wscanf_s, format, (const crt_wchar *format),
      crt_scan_stream(true, crt_stream_std(0), format, SECURE, args))
SCANF(_wscanf_s_l, locale, (const crt_wchar *format, void *locale),
      crt_scan_stream(true, crt_stream_std(0), format, SECURE, args))
SCANF(fwscanf_s, format, (struct crt_file * file, const crt_wchar *format),
      crt_scan_stream(true, file, format, SECURE, args))
SCANF(_fwscanf_s_l, locale, (struct crt_file * file, const crt_wchar *format, void *locale),
      crt_scan_stream(true, file, format, SECURE, args))
SCANF(swscanf_s, format, (const crt_wchar *text, const crt_wchar *format),
      crt_scan_string(true, text, SIZE_MAX, format, SECURE, args))
SCANF(_swscanf_s_l, locale, (const crt_wchar *text, const crt_wchar *format, void *locale),
      crt_scan_string(true, text, SIZE_MAX, format, SECURE, args))
SCANF(_snwscanf_s, format, (const crt_wchar *text, size_t size, const crt_wchar *format),
      crt_scan_string(true, text, size, format, SECURE, args))
SCANF(_snwscanf_s_l, locale,
      (const crt_wchar *text, size_t size, const crt_wchar *format, void *locale),
      crt_scan_string(true, text, size, format, SECURE, args))
SCANF(_cwscanf_s, format, (const crt_wchar *format),
      crt_scan_stream(true, crt_stream_std(0), format, SECURE, args))
SCANF(_cwscanf_s_l, locale, (const crt_wchar *format, void *locale),
      crt_scan_stream(true, crt_stream_std(0), format, SECURE, args))

static const struct ldr_builtin_export functions[] = {
    CRT_FN(scanf),       CRT_FN(_scanf_l),      CRT_FN(fscanf),     CRT_FN(_fscanf_l),
    CRT_FN(sscanf),      CRT_FN(_sscanf_l),     CRT_FN(_snscanf),   CRT_FN(_snscanf_l),
    CRT_FN(_cscanf),     CRT_FN(_cscanf_l),     CRT_FN(scanf_s),    CRT_FN(_scanf_s_l),
    CRT_FN(fscanf_s),    CRT_FN(_fscanf_s_l),   CRT_FN(sscanf_s),   CRT_FN(_sscanf_s_l),
    CRT_FN(_snscanf_s),  CRT_FN(_snscanf_s_l),  CRT_FN(_cscanf_s),  CRT_FN(_cscanf_s_l),
    CRT_FN(wscanf),      CRT_FN(_wscanf_l),     CRT_FN(fwscanf),    CRT_FN(_fwscanf_l),
    CRT_FN(swscanf),     CRT_FN(_swscanf_l),    CRT_FN(_snwscanf),  CRT_FN(_snwscanf_l),
    CRT_FN(_cwscanf),    CRT_FN(_cwscanf_l),    CRT_FN(wscanf_s),   CRT_FN(_wscanf_s_l),
    CRT_FN(fwscanf_s),   CRT_FN(_fwscanf_s_l),  CRT_FN(swscanf_s),  CRT_FN(_swscanf_s_l),
    CRT_FN(_snwscanf_s), CRT_FN(_snwscanf_s_l), CRT_FN(_cwscanf_s), CRT_FN(_cwscanf_s_l),
};
CRT_FAMILY(crt_msvcrt_scanf_family, functions);
