/*
 * Wide stdio functions over FILE objects (stream.h).
 */
#include <stdlib.h>

#include "loader/win32/crt/stream.h"

#define WEOF_WINDOWS ((crt_wchar)0xFFFF)

static WINCDECL_DEF crt_wchar crt_fgetwc(struct crt_file *file)
{
    if (file == NULL) {
        crt_invalid(CRT_EINVAL);
        return WEOF_WINDOWS;
    }
    crt_stream_lock(file);
    crt_wchar c = crt_stream_getwc(file);
    crt_stream_unlock(file);
    return c;
}

static WINCDECL_DEF crt_wchar crt_getwchar(void)
{
    return crt_fgetwc(crt_stream_std(0));
}

static WINCDECL_DEF crt_wchar crt_ungetwc(crt_wchar c, struct crt_file *file)
{
    return file != NULL ? crt_stream_ungetwc(file, c) : WEOF_WINDOWS;
}

static WINCDECL_DEF crt_wchar crt_fputwc(crt_wchar c, struct crt_file *file)
{
    return file != NULL && crt_stream_write_wide(file, &c, 1) == 1 ? c : WEOF_WINDOWS;
}

static WINCDECL_DEF crt_wchar crt_putwchar(crt_wchar c)
{
    return crt_fputwc(c, crt_stream_std(1));
}

static WINCDECL_DEF crt_wchar *crt_fgetws(crt_wchar *buffer, int size, struct crt_file *file)
{
    int used = 0;
    crt_wchar c = 0;
    if (buffer == NULL || size <= 0 || file == NULL) {
        crt_invalid(CRT_EINVAL);
        return NULL;
    }
    crt_stream_lock(file);
    while (used + 1 < size && c != '\n' && (c = crt_stream_getwc(file)) != WEOF_WINDOWS) {
        buffer[used++] = c;
    }
    crt_stream_unlock(file);
    buffer[used] = 0;
    return used > 0 || size == 1 ? buffer : NULL;
}

static crt_wchar *get_line(crt_wchar *buffer, size_t room)
{
    struct crt_file *file = crt_stream_std(0);
    size_t used = 0;
    crt_wchar c = 0;
    if (buffer == NULL || room == 0) {
        crt_invalid(CRT_EINVAL);
        return NULL;
    }
    crt_stream_lock(file);
    while (used < room && (c = crt_stream_getwc(file)) != WEOF_WINDOWS && c != '\n') {
        buffer[used++] = c;
    }
    crt_stream_unlock(file);
    if (used == room) {
        buffer[0] = 0;
        crt_invalid(CRT_ERANGE);
        return NULL;
    }
    buffer[used] = 0;
    return c == WEOF_WINDOWS && used == 0 ? NULL : buffer;
}

static WINCDECL_DEF crt_wchar *crt__getws(crt_wchar *buffer)
{
    return get_line(buffer, SIZE_MAX);
}

static WINCDECL_DEF crt_wchar *crt__getws_s(crt_wchar *buffer, size_t size)
{
    return get_line(buffer, size);
}

static WINCDECL_DEF int crt_fputws(const crt_wchar *text, struct crt_file *file)
{
    if (text == NULL || file == NULL) {
        crt_invalid(CRT_EINVAL);
        return -1;
    }
    size_t length = crt_wlen(text);
    return crt_stream_write_wide(file, text, length) == length ? 0 : -1;
}

static WINCDECL_DEF int crt__putws(const crt_wchar *text)
{
    struct crt_file *file = crt_stream_std(1);
    crt_stream_lock(file);
    int result = crt_fputws(text, file);
    if (result == 0 && crt_fputwc('\n', file) == WEOF_WINDOWS) {
        result = -1;
    }
    crt_stream_unlock(file);
    return result;
}

static const struct ldr_builtin_export functions[] = {
    CRT_FN(fgetwc),
    CRT_AS(getwc, crt_fgetwc),
    CRT_FN(getwchar),
    CRT_AS(_fgetwchar, crt_getwchar),
    CRT_FN(ungetwc),
    CRT_FN(fputwc),
    CRT_AS(putwc, crt_fputwc),
    CRT_FN(putwchar),
    CRT_AS(_fputwchar, crt_putwchar),
    CRT_FN(fgetws),
    CRT_FN(_getws),
    CRT_FN(_getws_s),
    CRT_FN(fputws),
    CRT_FN(_putws),
};
CRT_FAMILY(crt_wstdio_family, functions);
