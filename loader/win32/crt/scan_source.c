/*
 * Where scanned text comes from: strings, with or without a length, and streams.
 */
#include "loader/win32/crt/scan.h"
#include "loader/win32/crt/stream.h"

struct string_source {
    struct crt_source source;
    const void *text;
    size_t at, size;
};

static int string_get(struct crt_source *source)
{
    struct string_source *s = (struct string_source *)source;
    if (s->at >= s->size) {
        return -1;
    }
    int c = source->wide ? ((const crt_wchar *)s->text)[s->at]
                         : ((const unsigned char *)s->text)[s->at];
    if (c == 0) {
        return -1;
    }
    s->at++;
    return c;
}

static void string_unget(struct crt_source *source, int unit)
{
    ((struct string_source *)source)->at--;
}

int crt_scan_string(bool wide, const void *text, size_t size, const void *format, unsigned options,
                    win_va_list args)
{
    struct string_source s = {{wide, string_get, string_unget}, text, 0, size};
    if (text == NULL) {
        crt_invalid(CRT_EINVAL);
        return -1;
    }
    return crt_scan(&s.source, format, options, args);
}

struct stream_source {
    struct crt_source source;
    struct crt_file *file;
};

static int stream_get(struct crt_source *source)
{
    struct crt_file *file = ((struct stream_source *)source)->file;
    if (!source->wide) {
        return crt_stream_getc(file);
    }
    crt_wchar c = crt_stream_getwc(file);
    return c == 0xFFFF ? -1 : c;
}

static void stream_unget(struct crt_source *source, int unit)
{
    struct crt_file *file = ((struct stream_source *)source)->file;
    if (source->wide) {
        crt_stream_ungetwc(file, (crt_wchar)unit);
    } else {
        crt_stream_ungetc(file, unit);
    }
}

int crt_scan_stream(bool wide, struct crt_file *file, const void *format, unsigned options,
                    win_va_list args)
{
    struct stream_source s = {{wide, stream_get, stream_unget}, file};
    if (file == NULL) {
        crt_invalid(CRT_EINVAL);
        return -1;
    }
    crt_stream_lock(file);
    int stored = crt_scan(&s.source, format, options, args);
    crt_stream_unlock(file);
    return stored;
}
