/*
 * UCRT's printf and scanf: the entries that the inline functions of its stdio.h call, with the
 * options word that they pass (format.h, scan.h). Locale arguments are accepted and not used
 * (locale.c).
 */
#include "loader/win32/crt/format.h"
#include "loader/win32/crt/scan.h"
#include "loader/win32/crt/stream.h"

static WINCDECL_DEF int crt___stdio_common_vfprintf(uint64_t options, struct crt_file *file,
                                                    const char *format, void *locale,
                                                    win_va_list args)
{
    return crt_format_stream(false, file, format, (unsigned)options, args);
}

static WINCDECL_DEF int crt___conio_common_vcprintf(uint64_t options, const char *format,
                                                    void *locale, win_va_list args)
{
    return crt_format_stream(false, crt_stream_std(1), format, (unsigned)options, args);
}

static WINCDECL_DEF int crt___stdio_common_vfprintf_s(uint64_t options, struct crt_file *file,
                                                      const char *format, void *locale,
                                                      win_va_list args)
{
    return crt_format_stream(false, file, format, (unsigned)options, args);
}

static WINCDECL_DEF int crt___conio_common_vcprintf_s(uint64_t options, const char *format,
                                                      void *locale, win_va_list args)
{
    return crt_format_stream(false, crt_stream_std(1), format, (unsigned)options, args);
}

static WINCDECL_DEF int crt___stdio_common_vsprintf(uint64_t options, char *buffer, size_t size,
                                                    const char *format, void *locale,
                                                    win_va_list args)
{
    return crt_format_buffer(false, buffer, size, format, (unsigned)options, args);
}

static WINCDECL_DEF int crt___stdio_common_vsprintf_s(uint64_t options, char *buffer, size_t size,
                                                      const char *format, void *locale,
                                                      win_va_list args)
{
    return crt_format_secure(false, buffer, size, format, (unsigned)options, args);
}

static WINCDECL_DEF int crt___stdio_common_vsnprintf_s(uint64_t options, char *buffer, size_t size,
                                                       size_t maximum, const char *format,
                                                       void *locale, win_va_list args)
{
    return crt_format_bounded(false, buffer, size, maximum, format, (unsigned)options, args);
}

static WINCDECL_DEF int crt___stdio_common_vfscanf(uint64_t options, struct crt_file *file,
                                                   const char *format, void *locale,
                                                   win_va_list args)
{
    return crt_scan_stream(false, file, format, (unsigned)options, args);
}

static WINCDECL_DEF int crt___conio_common_vcscanf(uint64_t options, const char *format,
                                                   void *locale, win_va_list args)
{
    return crt_scan_stream(false, crt_stream_std(0), format, (unsigned)options, args);
}

static WINCDECL_DEF int crt___stdio_common_vsscanf(uint64_t options, const char *text, size_t size,
                                                   const char *format, void *locale,
                                                   win_va_list args)
{
    return crt_scan_string(false, text, size, format, (unsigned)options, args);
}

static WINCDECL_DEF int crt___stdio_common_vfwprintf(uint64_t options, struct crt_file *file,
                                                     const crt_wchar *format, void *locale,
                                                     win_va_list args)
{
    return crt_format_stream(true, file, format, (unsigned)options, args);
}

static WINCDECL_DEF int crt___conio_common_vcwprintf(uint64_t options, const crt_wchar *format,
                                                     void *locale, win_va_list args)
{
    return crt_format_stream(true, crt_stream_std(1), format, (unsigned)options, args);
}

static WINCDECL_DEF int crt___stdio_common_vfwprintf_s(uint64_t options, struct crt_file *file,
                                                       const crt_wchar *format, void *locale,
                                                       win_va_list args)
{
    return crt_format_stream(true, file, format, (unsigned)options, args);
}

static WINCDECL_DEF int crt___conio_common_vcwprintf_s(uint64_t options, const crt_wchar *format,
                                                       void *locale, win_va_list args)
{
    return crt_format_stream(true, crt_stream_std(1), format, (unsigned)options, args);
}

static WINCDECL_DEF int crt___stdio_common_vswprintf(uint64_t options, crt_wchar *buffer,
                                                     size_t size, const crt_wchar *format,
                                                     void *locale, win_va_list args)
{
    return crt_format_buffer(true, buffer, size, format, (unsigned)options, args);
}

static WINCDECL_DEF int crt___stdio_common_vswprintf_s(uint64_t options, crt_wchar *buffer,
                                                       size_t size, const crt_wchar *format,
                                                       void *locale, win_va_list args)
{
    return crt_format_secure(true, buffer, size, format, (unsigned)options, args);
}

static WINCDECL_DEF int crt___stdio_common_vsnwprintf_s(uint64_t options, crt_wchar *buffer,
                                                        size_t size, size_t maximum,
                                                        const crt_wchar *format, void *locale,
                                                        win_va_list args)
{
    return crt_format_bounded(true, buffer, size, maximum, format, (unsigned)options, args);
}

static WINCDECL_DEF int crt___stdio_common_vfwscanf(uint64_t options, struct crt_file *file,
                                                    const crt_wchar *format, void *locale,
                                                    win_va_list args)
{
    return crt_scan_stream(true, file, format, (unsigned)options, args);
}

static WINCDECL_DEF int crt___conio_common_vcwscanf(uint64_t options, const crt_wchar *format,
                                                    void *locale, win_va_list args)
{
    return crt_scan_stream(true, crt_stream_std(0), format, (unsigned)options, args);
}

static WINCDECL_DEF int crt___stdio_common_vswscanf(uint64_t options, const crt_wchar *text,
                                                    size_t size, const crt_wchar *format,
                                                    void *locale, win_va_list args)
{
    return crt_scan_string(true, text, size, format, (unsigned)options, args);
}

/* %n stays refused whatever is asked. */
static WINCDECL_DEF int crt__set_printf_count_output(int enable)
{
    return 0;
}

static const struct ldr_builtin_export functions[] = {
    CRT_FN(__stdio_common_vfprintf),
    CRT_FN(__conio_common_vcprintf),
    CRT_FN(__stdio_common_vfprintf_s),
    CRT_FN(__conio_common_vcprintf_s),
    CRT_FN(__stdio_common_vsprintf),
    CRT_FN(__stdio_common_vsprintf_s),
    CRT_FN(__stdio_common_vsnprintf_s),
    CRT_FN(__stdio_common_vfscanf),
    CRT_FN(__conio_common_vcscanf),
    CRT_FN(__stdio_common_vsscanf),
    CRT_FN(__stdio_common_vfwprintf),
    CRT_FN(__conio_common_vcwprintf),
    CRT_FN(__stdio_common_vfwprintf_s),
    CRT_FN(__conio_common_vcwprintf_s),
    CRT_FN(__stdio_common_vswprintf),
    CRT_FN(__stdio_common_vswprintf_s),
    CRT_FN(__stdio_common_vsnwprintf_s),
    CRT_FN(__stdio_common_vfwscanf),
    CRT_FN(__conio_common_vcwscanf),
    CRT_FN(__stdio_common_vswscanf),
    CRT_FN(_set_printf_count_output),
    CRT_AS(_get_printf_count_output, crt__set_printf_count_output),
};
CRT_FAMILY(crt_ucrt_stdio_family, functions);
